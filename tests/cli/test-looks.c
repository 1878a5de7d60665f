/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How things look on a terminal: widths, colours, links, the pager, the line that says what is waited for, hints. */

#include "cli.h"

#include <string.h>

#define COLUMNS 60

static char *start(Harness *h, const char *name, const char *description) {
        g_autofree char *id = harness_id(name);

        g_free(client_start(h->client, "command", options_shell("sleep 100", "{'Id': <%s>, 'Description': <%s>}", id, description)));
        return g_steal_pointer(&id);
}

/* What it looks like, when it has ended with 0. */
static char *on_terminal(Harness *h, const char *const *variables, const char *verb, const char *word) {
        g_autoptr(Terminal) terminal = terminal_new(h, COLUMNS, 24, variables, "--no-pager", verb, word, NULL);

        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        terminal_assert_unchanged(terminal);
        return terminal_text(terminal);
}

static void test_width(Harness *h) {
        g_autofree char *id = NULL, *text = NULL, *piped = NULL;
        g_auto(GStrv) lines = NULL;
        static const char description[] = "a description that is much longer than the terminal is wide, up to its very end";

        harness_start_daemon(h, NULL);
        id = start(h, "wide", description);
        text = on_terminal(h, (const char *const[]){"NO_COLOR=1", NULL}, "list", NULL);
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                g_assert_cmpint(g_utf8_strlen(*line, -1), <=, COLUMNS);
        assert_contains(lines[1], id);
        g_assert_true(g_str_has_suffix(lines[1], "…"));
        piped = cli_text(h, "list", NULL);
        assert_contains(piped, description);
}

/* A pager would cut the lines, and open for what fits the screen. */
static void test_wrapped(Harness *h) {
        static const char kind[] =
                "[Kind]\nDescription=A kind whose description is much longer than the terminal is wide, up to its very end\nExec=sleep 100\n"
                "[Option Mode]\nType=string\nValues=fast;slow\nDefault=fast\nDescription=How it runs, which takes more words than one line has\n"
                "[Option Wide]\nType=string\nDescription=時間時間時間時間時間時間時間時間時間時間\n"
                "[Handshake]\nType=exec\n";
        g_autofree char *text = NULL, *piped = NULL;

        harness_add_kind(h, "long", kind);
        harness_start_daemon(h, NULL);
        text = on_terminal(h, (const char *const[]){"NO_COLOR=1", NULL}, "kind", "long");
        assert_contains(text, " Description: A kind whose description is much longer than\n              the terminal is wide, up to its very end\n");
        assert_contains(text, "              --Mode (text) How it runs, which takes more\n                  words than one line has; default: fast;\n          "
                              "        one of: fast, slow\n");
        /* 16 characters of two columns fit behind "--Wide (text) ". */
        assert_contains(text, "--Wide (text) 時間時間時間時間時間時間時間時間\n                  時間時間\n");
        piped = cli_text(h, "kind", "long", NULL);
        assert_contains(piped, "much longer than the terminal is wide, up to its very end\n");
        assert_contains(piped, "more words than one line has; default: fast; one of: fast, slow\n");
}

static void test_colors(Harness *h) {
        g_autofree char *id = NULL, *colored = NULL, *plain = NULL, *dumb = NULL, *piped = NULL;

        harness_start_daemon(h, NULL);
        id = start(h, "colored", "x");
        colored = on_terminal(h, NULL, "status", id);
        assert_contains(colored, "\033[1;32mready\033[0m");
        /* The file of its kind can be opened from the terminal. */
        assert_contains(colored, "\033]8;;file://");
        plain = on_terminal(h, (const char *const[]){"NO_COLOR=1", NULL}, "status", id);
        assert_contains(plain, "State: ready since");
        assert_contains_not(plain, "\033");
        dumb = on_terminal(h, (const char *const[]){"TERM=dumb", NULL}, "status", id);
        assert_contains_not(dumb, "\033");
        piped = cli_text(h, "status", id, NULL);
        assert_contains_not(piped, "\033");
}

/* As a terminal has it, which most runtimes take for colours. */
static void test_colours_of_a_runtime(Harness *h) {
        g_autofree char *id = harness_id("red"), *path = NULL, *text = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("printf '\\033[1;31mred\\033[0m text\\n'; exec sleep 100", "{'Id': <%s>, 'Input': <'terminal'>}", id));
        client_wait_text(h->client, path, "text");
        text = cli_text(h, "status", id, NULL);
        assert_contains(text, "stdout: red text\n");
}

static void test_harmless(Harness *h) {
        g_autofree char *id = harness_id("evil"), *text = NULL;

        harness_add_kind(h, "evil", "[Kind]\nExec=sh -c 'printf \"\\\\033]0;title\\\\007ready\\\\n\"; exec sleep 100'\n[Handshake]\nType=line\nLine=ready\n");
        harness_start_daemon(h, NULL);
        g_free(client_start(h->client, "evil", g_variant_new_parsed("{'Id': <%s>}", id)));
        g_free(cli_text(h, "wait", "--until=ready", id, NULL));
        text = on_terminal(h, NULL, "status", id);
        assert_contains(text, "]0;title");
        assert_contains_not(text, "\033]0;title");
}

static void test_pager(Harness *h) {
        g_autofree char *id = NULL, *paged = NULL, *unpaged = NULL, *cat = NULL, *piped = NULL, *first = NULL;
        g_autoptr(Terminal) terminal = NULL;

        /* As root no other pager is used. */
        cli_add_program(h, "less", "while IFS= read -r line; do printf 'page: %s\\n' \"$line\"; done; echo \"LESS=$LESS\"");
        harness_start_daemon(h, NULL);
        id = start(h, "paged", "x");
        terminal = terminal_new(h, COLUMNS, 24, (const char *const[]){"NO_COLOR=1", NULL}, "status", id, NULL);
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        paged = terminal_text(terminal);
        first = g_strdup_printf("page: ● %s", id);
        g_assert_true(g_str_has_prefix(paged, first));
        assert_contains(paged, "LESS=FRSXMK\n");
        terminal_assert_unchanged(terminal);

        unpaged = on_terminal(h, NULL, "status", id);
        assert_contains_not(unpaged, "page: ");
        cat = on_terminal(h, (const char *const[]){"SYSTEMD_PAGER=cat", NULL}, "status", id);
        assert_contains_not(cat, "page: ");
        piped = cli_text(h, "status", id, NULL);
        assert_contains_not(piped, "page: ");
}

static void test_progress(Harness *h) {
        g_autofree char *id = harness_id("slow"), *option = g_strdup_printf("--id=%s", id);
        g_autofree char *wait = g_strdup_printf("until [ -e %s/$0 ]; do sleep 0.1; done", h->directory);
        g_autofree char *kind = g_strdup_printf("[Kind]\nExec=sleep 100\n"
                                                "[Step deps]\nExec=sh -c '%s' first\n"
                                                "[Step compile]\nExec=sh -c '%s' second\n"
                                                "[Handshake]\nType=exec\n",
                                                wait, wait);
        g_autofree char *text = NULL, *hint = g_strdup_printf("'runtimectl logs -f %s' shows what it prints", id);
        g_autoptr(Terminal) terminal = NULL;

        harness_add_kind(h, "slow", kind);
        harness_start_daemon(h, NULL);
        terminal = terminal_new(h, COLUMNS, 24, NULL, "start", "slow", option, "--wait", NULL);
        /* Which of how many it is, is told when a step begins. */
        terminal_wait(terminal, "preparing: deps");
        g_free(harness_add_file(h, "first", "", 0644));
        terminal_wait(terminal, "preparing: compile (step 2 of 2), ");
        g_free(harness_add_file(h, "second", "", 0644));
        terminal_wait(terminal, hint);
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        text = terminal_text(terminal);
        g_assert_true(g_str_has_prefix(text, id));
        /* It is gone before anything else is said. */
        assert_contains(text, "\r\033[K'runtimectl logs");
        terminal_assert_unchanged(terminal);
}

static void test_no_hint(Harness *h) {
        g_autofree char *text = NULL;
        g_autoptr(Terminal) terminal = NULL;

        harness_start_daemon(h, NULL);
        terminal = terminal_new(h, COLUMNS, 24, NULL, "start", "command", "--no-legend", "--", "sleep", "100", NULL);
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        text = terminal_text(terminal);
        assert_contains_not(text, "runtimectl");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-table-fits-the-terminal", test_width},
                {"what-is-too-long-for-a-line-goes-on-in-the-next", test_wrapped},
                {"colours-and-links-on-a-terminal-that-wants-them", test_colors},
                {"what-a-runtime-printed-is-harmless", test_harmless},
                {"colours-of-a-runtime-are-left-out", test_colours_of_a_runtime},
                {"long-output-through-the-pager", test_pager},
                {"a-line-says-what-is-waited-for-and-goes", test_progress},
                {"no-hint-without-a-legend", test_no_hint},
        };

        return harness_main(argc, argv, "cli-looks", cases, G_N_ELEMENTS(cases));
}
