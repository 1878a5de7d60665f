/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* attach: a runtime's terminal on ours, and its input and output where there is none. */

#include "cli.h"

#include <signal.h>
#include <string.h>

#include "util/names.h"

static void start(Harness *h, const char *id, const char *input, const char *script) {
        harness_start_daemon(h, NULL);
        g_free(client_start(h->client, "command", options_shell(script, "{'Id': <%s>, 'Input': <%s>}", id, input)));
}

static void test_a_shell_on_a_terminal(Harness *h) {
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *id = harness_id("attach"), *path = NULL;

        start(h, id, "terminal", "PS1='shell> ' exec sh -i");
        terminal = terminal_new(h, 101, 33, NULL, "attach", id, NULL);
        /* The size goes ahead of what is there to be read. */
        terminal_type(terminal, "stty size; tty\r");
        terminal_wait(terminal, "Press Ctrl-]");
        terminal_wait(terminal, "33 101");
        terminal_wait(terminal, "/dev/pts/");
        /* What was typed comes back too; and who prints this is the process group in front, and is sent the signal. */
        terminal_type(terminal, "sh -c 'echo o\"\"ne; exec sleep 1000'\r");
        terminal_wait(terminal, "one");
        terminal_type(terminal, "\003");
        terminal_wait(terminal, "shell> ");
        /* What comes in one piece with it is sent. */
        terminal_type(terminal, "echo la\"\"st\r\035");
        terminal_wait(terminal, "which goes on");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        terminal_assert_unchanged(terminal);
        path = g_strconcat(RM_RUNTIME_PREFIX "/", id, NULL);
        client_wait_text(h->client, path, "last");
}

static void test_coming_back_and_its_end(Harness *h) {
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *id = harness_id("attach");

        start(h, id, "terminal", "echo question; read -r answer; exit 7");
        terminal = terminal_new(h, 80, 24, NULL, "attach", "-q", id, NULL);
        terminal_wait(terminal, "question");
        terminal_type(terminal, "answer\r");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 7);
        terminal_assert_unchanged(terminal);
}

static void test_a_signal_leaves_the_terminal_as_it_was(Harness *h) {
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *id = harness_id("attach");

        start(h, id, "terminal", "echo here; exec cat");
        terminal = terminal_new(h, 80, 24, NULL, "attach", "-q", id, NULL);
        terminal_wait(terminal, "here");
        g_assert_true(terminal_is_raw(terminal));
        terminal_kill(terminal, SIGTERM);
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 128 + SIGTERM);
        terminal_assert_unchanged(terminal);
}

/* Words of a script, which has no terminal. */
static void test_no_terminal_of_ours(Harness *h) {
        g_autofree char *id = harness_id("attach"), *out = NULL, *err = NULL;

        start(h, id, "terminal", "echo question; cat");
        cli_run(h, 0, &out, &err, "attach", id, NULL);
        assert_contains(out, "question");
        assert_contains(err, "success");
}

static void test_a_pipe_on_a_terminal(Harness *h) {
        g_autoptr(Terminal) terminal = NULL, quiet = NULL;
        g_autofree char *id = harness_id("attach"), *text = NULL, *path = NULL;

        start(h, id, "pipe", "while read -r line; do echo \"got $line\"; done; exit 7");
        terminal = terminal_new(h, 200, 24, NULL, "attach", id, NULL);
        terminal_wait(terminal, "It reads the lines you type, and Ctrl-D ends them. Press Ctrl-C to leave it.\n");
        terminal_type(terminal, "one\n");
        terminal_wait(terminal, "got one\n");
        terminal_type(terminal, "\003");
        terminal_wait(terminal, "which goes on; 'runtimectl attach");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 128 + SIGINT);
        terminal_assert_unchanged(terminal);

        quiet = terminal_new(h, 200, 24, NULL, "attach", "-q", "-n0", id, NULL);
        terminal_type(quiet, "two\n");
        terminal_wait(quiet, "got two\n");
        terminal_type(quiet, "\004");
        g_assert_cmpint(terminal_wait_exit(quiet), ==, 7);
        text = terminal_text(quiet);
        assert_contains_not(text, "runtimectl");
        path = g_strconcat(RM_RUNTIME_PREFIX "/", id, NULL);
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_no_input(Harness *h) {
        g_autofree char *id = harness_id("attach"), *out = NULL, *err = NULL;

        start(h, id, "null", "echo here; exit 3");
        cli_run(h, 3, &out, &err, "attach", id, NULL);
        g_assert_cmpstr(out, ==, "here\n");
        assert_contains(err, "has no input; here is its output, and Ctrl-C leaves it. To type to it, start it with --Input=pipe");
}

static void test_no_json(Harness *h) {
        g_autofree char *id = harness_id("attach"), *err = NULL;

        start(h, id, "null", "sleep 1000");
        err = cli_fails(h, 2, "attach", "--json=short", id, NULL);
        assert_contains(err, "logs --follow --json");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-shell-on-a-terminal", test_a_shell_on_a_terminal},
                {"coming-back-and-its-end", test_coming_back_and_its_end},
                {"a-signal-leaves-the-terminal-as-it-was", test_a_signal_leaves_the_terminal_as_it_was},
                {"no-terminal-of-ours", test_no_terminal_of_ours},
                {"a-pipe-on-a-terminal-says-how-to-leave-it", test_a_pipe_on_a_terminal},
                {"no-input", test_no_input},
                {"no-json", test_no_json},
        };

        return harness_main(argc, argv, "cli-attach", cases, G_N_ELEMENTS(cases));
}
