/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* logs: which lines, and which bytes. */

#include "cli.h"

#include <string.h>

static char *start(Harness *h, const char *name, const char *script) {
        g_autofree char *id = harness_id(name);

        g_free(client_start(h->client, "command", options_shell(script, "{'Id': <%s>}", id)));
        return g_steal_pointer(&id);
}

static char *start_ended(Harness *h, const char *name, const char *script) {
        char *id = start(h, name, script);
        g_autofree char *path = g_strdup_printf("/org/example/RuntimeManager/runtime/%s", id);

        g_variant_unref(client_wait_ended(h->client, path));
        return id;
}

static void test_lines(Harness *h) {
        g_autofree char *id = NULL, *all = NULL, *two = NULL, *none = NULL, *errors = NULL, *both = NULL;

        harness_start_daemon(h, NULL);
        id = start_ended(h, "lines", "echo 1; echo 2; echo 3 >&2; sleep 0.1; echo 4");
        all = cli_text(h, "logs", id, "--stream=stdout", NULL);
        g_assert_cmpstr(all, ==, "1\n2\n4\n");
        two = cli_text(h, "logs", "-n", "1", id, NULL);
        g_assert_cmpstr(two, ==, "4\n");
        none = cli_text(h, "logs", "-n0", id, NULL);
        g_assert_cmpstr(none, ==, "");
        errors = cli_text(h, "logs", "--stream=stderr", id, NULL);
        g_assert_cmpstr(errors, ==, "3\n");
        both = cli_text(h, "logs", "--stream=stderr,stdout", "-n2", id, NULL);
        g_assert_cmpuint(strlen(both), ==, 4);
}

static void test_json(Harness *h) {
        g_autofree char *id = NULL, *text = NULL;
        g_auto(GStrv) lines = NULL;
        _cleanup_json_ json_t *first = NULL;

        harness_start_daemon(h, NULL);
        id = start_ended(h, "json", "echo one; echo two");
        text = cli_text(h, "logs", "--json", id, NULL);
        lines = g_strsplit(text, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), ==, 3);
        first = json_loads(lines[0], 0, NULL);
        assert_member(first, "Text", "one");
        assert_member(first, "Stream", "stdout");
        g_assert_cmpint(json_integer_value(json_object_get(first, "Number")), ==, 1);
        g_assert_cmpint(json_integer_value(json_object_get(first, "Timestamp")), >, 0);
}

static void assert_since(Harness *h, const char *id, const char *time, const char *expected) {
        g_autofree char *option = g_strdup_printf("--since=%s", time), *text = cli_text(h, "logs", option, id, NULL);

        g_assert_cmpstr(text, ==, expected);
}

static void test_since(Harness *h) {
        g_autofree char *id = NULL, *path = NULL, *seconds = NULL, *local = NULL, *utc = NULL, *shown = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        g_autoptr(GDateTime) second = NULL, second_utc = NULL;
        guint64 usec;

        harness_start_daemon(h, NULL);
        /* A second apart at least, as times are written in seconds. */
        id = start_ended(h, "since", "echo early; a=$(date +%s); while [ $(($(date +%s) - a)) -lt 2 ]; do sleep 0.1; done; echo late");
        path = g_strdup_printf("/org/example/RuntimeManager/runtime/%s", id);
        lines = client_read_lines(h->client, path, 0);
        usec = ((const Line *) lines->pdata[1])->usec;

        seconds = g_strdup_printf("@%" G_GUINT64_FORMAT, usec / G_USEC_PER_SEC);
        assert_since(h, id, seconds, "late\n");
        second = g_date_time_new_from_unix_local((gint64) (usec / G_USEC_PER_SEC));
        second_utc = g_date_time_new_from_unix_utc((gint64) (usec / G_USEC_PER_SEC));
        local = g_date_time_format(second, "%Y-%m-%d %H:%M:%S");
        assert_since(h, id, local, "late\n");
        utc = g_date_time_format(second_utc, "%Y-%m-%d %H:%M:%S UTC");
        assert_since(h, id, utc, "late\n");
        /* As status shows it. */
        shown = g_date_time_format(second, "%a %Y-%m-%d %H:%M:%S %Z");
        assert_since(h, id, shown, "late\n");
        assert_since(h, id, "now", "");
        assert_since(h, id, "1h ago", "early\nlate\n");
        assert_since(h, id, "-1h", "early\nlate\n");
        assert_since(h, id, "yesterday", "early\nlate\n");
        assert_since(h, id, "2001-01-01", "early\nlate\n");
}

static void test_bytes(Harness *h) {
        g_autofree char *id = NULL, *text = NULL;

        harness_start_daemon(h, NULL);
        id = start_ended(h, "bytes", "printf 'a\\033]0;t\\007\\033[31mred\\033[0m\\tb\\r\\n\\377\\n'");
        text = cli_text(h, "logs", id, NULL);
        g_assert_cmpstr(text, ==, "a\033]0;t\007\033[31mred\033[0m\tb\r\n\377\n");
}

static void test_terminal(Harness *h) {
        g_autofree char *id = NULL, *harmless = NULL, *raw = NULL;
        g_autoptr(Terminal) quiet = NULL, exact = NULL;

        harness_start_daemon(h, NULL);
        id = start_ended(h, "bytes", "printf 'a\\033]0;t\\007\\033[31mred\\033[0m\\n\\377\\n'");
        quiet = terminal_new(h, 80, 24, NULL, "logs", "--no-pager", id, NULL);
        g_assert_cmpint(terminal_wait_exit(quiet), ==, 0);
        harmless = terminal_text(quiet);
        g_assert_cmpstr(harmless, ==, "a\357\277\275]0;t\357\277\275\033[31mred\033[0m\033[0m\n\357\277\275\n");
        exact = terminal_new(h, 80, 24, NULL, "logs", "--raw", id, NULL);
        g_assert_cmpint(terminal_wait_exit(exact), ==, 0);
        raw = terminal_text(exact);
        g_assert_cmpstr(raw, ==, "a\033]0;t\007\033[31mred\033[0m\n\377\n");
}

static void test_follow(Harness *h) {
        g_autofree char *id = NULL, *path = NULL, *text = NULL;
        g_autoptr(Terminal) terminal = NULL;

        harness_start_daemon(h, NULL);
        id = harness_id("follow");
        path = client_start(h->client, "command", options_shell("echo begin; read line; echo got $line", "{'Id': <%s>, 'Input': <'pipe'>}", id));
        terminal = terminal_new(h, 80, 24, NULL, "logs", "-f", id, NULL);
        terminal_wait(terminal, "begin\n");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "it\n")));
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        text = terminal_text(terminal);
        g_assert_cmpstr(text, ==, "begin\ngot it\n");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"which-lines", test_lines},
                {"as-JSON-an-object-a-line", test_json},
                {"since-a-time", test_since},
                {"exact-bytes-into-a-pipe", test_bytes},
                {"nothing-but-colours-on-a-terminal-unless-raw", test_terminal},
                {"follow-until-the-end", test_follow},
        };

        return harness_main(argc, argv, "cli-logs", cases, G_N_ELEMENTS(cases));
}
