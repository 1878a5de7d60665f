/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verbs that tell of runtimes: list, status, wait, report. */

#include "cli.h"

#include <string.h>

/* An id of its own, started by the service and not by the program under test. */
static char *start(Harness *h, const char *name, const char *script) {
        g_autofree char *id = harness_id(name);

        g_free(client_start(h->client, "command", options_shell(script, "{'Id': <%s>, 'Description': <%s>, 'Labels': <{'of': %s}>}", id, name, id)));
        return g_steal_pointer(&id);
}

static char *start_ended(Harness *h, const char *name, const char *script) {
        char *id = start(h, name, script);
        g_autofree char *path = g_strdup_printf("/org/example/RuntimeManager/runtime/%s", id);

        g_variant_unref(client_wait_ended(h->client, path));
        return id;
}

static void test_list(Harness *h) {
        g_autofree char *id = NULL, *text = NULL, *bare = NULL, *label = NULL;
        g_auto(GStrv) lines = NULL, bare_lines = NULL;
        _cleanup_json_ json_t *all = NULL, *none = NULL, *labelled = NULL;

        harness_start_daemon(h, NULL);
        id = start(h, "one", "sleep 100");
        text = cli_text(h, "list", NULL);
        lines = g_strsplit(text, "\n", -1);
        g_assert_true(g_str_has_prefix(lines[0], "ID "));
        assert_contains(lines[0], "KIND");
        g_assert_true(g_str_has_prefix(lines[1], id));
        assert_contains(lines[1], " command ");
        assert_contains(lines[1], " ready ");
        g_assert_true(g_str_has_suffix(lines[1], " one"));
        g_assert_cmpstr(lines[3], ==, "1 runtime.");

        bare = cli_text(h, "list", "--no-legend", NULL);
        bare_lines = g_strsplit(bare, "\n", -1);
        g_assert_true(g_str_has_prefix(bare_lines[0], id));
        g_assert_cmpstr(bare_lines[1], ==, "");

        all = cli_json(h, "list", NULL);
        g_assert_cmpuint(json_array_size(all), ==, 1);
        assert_member(json_array_get(all, 0), "Id", id);
        assert_member(json_array_get(all, 0), "State", "ready");
        none = cli_json(h, "list", "--state=ended", NULL);
        g_assert_true(json_is_array(none));
        g_assert_cmpuint(json_array_size(none), ==, 0);
        label = g_strdup_printf("--label=of=%s", id);
        labelled = cli_json(h, "list", "--kind=command", label, NULL);
        g_assert_cmpuint(json_array_size(labelled), ==, 1);
}

static void test_status(Harness *h) {
        g_autofree char *first = NULL, *second = NULL, *text = NULL, *quiet = NULL, *expected = NULL, *path = NULL;
        _cleanup_json_ json_t *one = NULL, *two = NULL;

        harness_start_daemon(h, NULL);
        first = start(h, "one", "echo hello; sleep 100");
        second = start_ended(h, "two", "exit 3");
        path = g_strdup_printf("/org/example/RuntimeManager/runtime/%s", first);
        client_wait_text(h->client, path, "hello");
        text = cli_text(h, "status", first, NULL);
        expected = g_strdup_printf("● %s - one\n       State: ready since ", first);
        assert_contains(text, expected);
        assert_contains(text, "\n        Kind: command\n");
        assert_contains(text, "/command.kind\n");
        assert_contains(text, "\n        Unit: runtime-command-");
        assert_contains(text, "\n    Main PID: ");
        assert_contains(text, " stdout: hello\n");
        quiet = cli_text(h, "status", "-n0", first, NULL);
        assert_contains_not(quiet, "hello");
        assert_contains_not(text, "\033");

        one = cli_json(h, "status", first, NULL);
        assert_member(one, "Id", first);
        assert_member(one, "Object", path);
        assert_member(one, "Kind", "command");
        g_assert_true(json_is_object(json_object_get(one, "Usage")));
        two = cli_json(h, "status", first, second, NULL);
        g_assert_cmpuint(json_array_size(two), ==, 2);
        assert_member(json_array_get(two, 1), "State", "ended");
}

static void test_wait(Harness *h) {
        g_autofree char *ended = NULL, *runs = NULL, *err = NULL, *late = NULL, *ready = NULL, *out = NULL;
        _cleanup_json_ json_t *waited = NULL;

        harness_start_daemon(h, NULL);
        ended = start_ended(h, "ended", "exit 7");
        runs = start(h, "runs", "sleep 100");
        err = cli_fails(h, 7, "wait", ended, NULL);
        assert_contains(err, "It exited with status 7.");
        late = cli_fails(h, 4, "wait", runs, "--timeout=100ms", NULL);
        assert_contains(late, "The time is up");
        ready = cli_text(h, "wait", "--until=ready", runs, NULL);
        g_assert_cmpstr(ready, ==, "");
        waited = cli_json(h, "wait", "--until=ready", runs, NULL);
        assert_member(waited, "State", "ready");
        g_assert_true(g_str_has_suffix(json_string_value(json_object_get(waited, "Object")), runs));
        cli_run(h, 7, &out, NULL, "wait", "--json", ended, NULL);
        assert_contains(out, "\"ExitCode\":7");
}

static void test_wait_over_a_restart(Harness *h) {
        g_autofree char *id = NULL, *path = NULL;
        g_autoptr(Terminal) terminal = NULL;

        harness_start_daemon(h, NULL);
        id = start(h, "runs", "sleep 100");
        path = g_strdup_printf("/org/example/RuntimeManager/runtime/%s", id);
        terminal = terminal_new(h, 80, 24, NULL, "wait", id, NULL);
        /* Its line says that the call is on its way. */
        terminal_wait(terminal, "ready, 1s");
        harness_kill_daemon(h);
        harness_start_daemon(h, NULL);
        client_stop(h->client, path);
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 75);
}

static void test_report(Harness *h) {
        g_autofree char *id = NULL, *text = NULL, *start_of_it = NULL;
        _cleanup_json_ json_t *report = NULL;

        harness_start_daemon(h, NULL);
        id = start_ended(h, "ended", "echo last words; exit 7");
        text = cli_text(h, "report", id, NULL);
        start_of_it = g_strdup_printf("● %s: It exited with status 7.\n", id);
        g_assert_true(g_str_has_prefix(text, start_of_it));
        assert_contains(text, "\n      Result: exit-code\n");
        assert_contains(text, "\n   Exit code: 7\n");
        assert_contains(text, "\n       Phase: ready\n");
        g_assert_true(g_str_has_suffix(text, "\n\nlast words\n"));
        report = cli_json(h, "report", id, NULL);
        assert_member(report, "Id", id);
        assert_member(json_object_get(report, "EndReport"), "Result", "exit-code");
        assert_member(json_object_get(report, "EndReport"), "OutputTail", "last words\n");
}

static void test_report_of_what_runs(Harness *h) {
        g_autofree char *id = NULL, *err = NULL, *hint = NULL;

        harness_start_daemon(h, NULL);
        id = start(h, "runs", "sleep 100");
        err = cli_fails(h, 1, "report", id, NULL);
        hint = g_strdup_printf("'runtimectl wait %s' waits for its end", id);
        assert_contains(err, hint);
}

static void test_short_ids(Harness *h) {
        g_autofree char *first = NULL, *second = NULL, *text = NULL, *err = NULL;

        harness_start_daemon(h, NULL);
        first = start(h, "same_and_first", "sleep 100");
        second = start(h, "same_and_second", "sleep 100");
        text = cli_text(h, "status", "same_and_s", NULL);
        assert_contains(text, second);
        err = cli_fails(h, 3, "status", "same_and", NULL);
        assert_contains(err, "write more of the one you mean");
        assert_contains(err, first);
}

/* It is another end than that of a runtime which ran for as long as it might. */
static void test_not_ready_in_time(Harness *h) {
        g_autofree char *late = NULL, *expired = NULL;

        harness_add_kind(h, "late", "[Kind]\nExec=sleep 1000\n[Handshake]\nType=line\nLine=^never$\n");
        harness_start_daemon(h, NULL);
        g_free(client_start(h->client, "late", g_variant_new_parsed("{'Id': <'late'>, 'TimeoutHandshakeUSec': <uint64 100000>}")));
        late = cli_fails(h, 72, "wait", "late", NULL);
        assert_contains(late, "--timeout-handshake=");
        g_free(client_start(h->client, "command", options_shell("exec sleep 1000", "{'Id': <'expired'>, 'RuntimeMaxUSec': <uint64 1000>}")));
        expired = cli_fails(h, 73, "wait", "expired", NULL);
        assert_contains(expired, "RuntimeMaxUSec");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"list-as-a-table-and-as-JSON", test_list},   {"status-of-one-and-of-several", test_status},
                {"wait-exits-as-the-runtime-did", test_wait}, {"wait-goes-on-over-a-restart-of-the-service", test_wait_over_a_restart},
                {"report-tells-how-it-ended", test_report},   {"report-of-what-runs-says-what-to-do", test_report_of_what_runs},
                {"ids-may-be-shortened", test_short_ids},     {"not-ready-in-time", test_not_ready_in_time},
        };

        return harness_main(argc, argv, "cli-ends", cases, G_N_ELEMENTS(cases));
}
