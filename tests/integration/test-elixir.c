/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* elixir-standalone on real Elixir: what the nodes of a notebook server do, row by row as the design lists it. */

#include <string.h>

#include "harness.h"
#include "node.h"

static void check_name(Harness *h, GVariant *with, const char *host) {
        g_autofree char *path = node_start_ready(h, with), *node = client_get_string(h->client, path, "Node");
        g_autofree char *expected = g_strdup_printf("runtime_manager_%s@%s", path_to_id(path), host);

        g_assert_cmpstr(node, ==, expected);
        node_check(h->client, path, "Node.self() == :\"#{Node.self()}\" and Node.alive?()", "true");
}

static void test_node_name(Harness *h) {
        g_autofree char *path = NULL, *node = NULL, *message = NULL;

        harness_start_daemon(h, NULL);
        check_name(h, node_options(NULL), "localhost");
        check_name(h, node_options("{'Distribution': <'short'>}"), "localhost");
        check_name(h, node_options("{'Distribution': <'long'>}"), "127.0.0.1");
        check_name(h, node_options("{'Distribution': <'long'>, 'NodeHost': <'127.0.0.2'>, 'ListenAddress': <'127.0.0.2'>}"), "127.0.0.2");

        path = node_start_ready(h, node_options("{'Distribution': <'none'>}"));
        node = client_get_string(h->client, path, "Node");
        g_assert_cmpstr(node, ==, "");
        message = client_call_fails(h->client, path, "GetConnection", NULL, "NotSupported");
}

static void test_executable(Harness *h) {
        g_autofree char *message = NULL, *own = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('elixir-standalone', {'Environment': <['PATH=/nowhere']>})"),
                                    "ExecutableNotFound");
        g_assert_cmpstr(message, ==, "no Elixir executable found in PATH");
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 0));

        /* The PATH of the runtime, not that of the service. */
        own = node_add_elixir(h, "#!/bin/sh\necho mine: it; exit 5\n");
        report = node_fail(h, node_options("{'Environment': <[%s]>}", own), "{'ExitCode': <5>}");
        node_check_text(report_string(report, "OutputTail"), "mine: ");
}

static void test_flags(Harness *h) {
        g_autofree char *path = NULL, *file = NULL, *line = NULL;
        gsize size;

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        file = g_strdup_printf("/proc/%u/cmdline", client_get_number(h->client, path, "MainPID"));
        g_assert_true(g_file_get_contents(file, &line, &size, NULL));
        for (gsize i = 0; i + 1 < size; i++)
                if (line[i] == '\0')
                        line[i] = ' ';
        node_check_text(line, "-sbwt none ");
        node_check_text(line, "-sbwtdcpu none ");
        node_check_text(line, "-sbwtdio none ");
        node_check_text(line, "-elixir ansi_enabled true");
        node_check(h->client, path, "IO.ANSI.enabled?()", "true");
}

static void test_terminated(Harness *h) {
        g_autofree char *failing = NULL, *path = NULL;
        g_autoptr(GVariant) before = NULL, after = NULL;

        harness_start_daemon(h, NULL);
        failing = node_add_elixir(h, "#!/bin/sh\necho something is wrong >&2\nexit 1\n");
        before = node_fail(h, node_options("{'Environment': <[%s]>}", failing),
                           "{'Result': <'handshake-failed'>, 'Reason': <'exited-before-ready'>, 'Phase': <'connecting'>, 'ExitCode': <1>,"
                           " 'Message': <'Elixir process terminated unexpectedly: it exited with status 1 before it was ready.'>,"
                           " 'OutputTail': <'something is wrong\\n'>}");

        path = node_start_ready(h, node_options(NULL));
        node_tell(h->client, path, "spawn(fn -> IO.puts(:standard_error, \"last words\"); System.halt(3) end)");
        after = client_wait_ended(h->client, path);
        report_check(after,
                     "{'Result': <'exit-code'>, 'Phase': <'ready'>, 'ExitCode': <3>,"
                     " 'Message': <'Elixir process terminated unexpectedly: it exited with status 3.'>}",
                     NULL);
        node_check_text(report_string(after, "OutputTail"), "last words\n");
}

static void test_time_out(Harness *h) {
        g_autofree char *silent = NULL, *path = NULL;
        g_autoptr(GVariant) deadline = NULL, report = NULL;
        guint64 left;

        harness_start_daemon(h, NULL);
        silent = node_add_elixir(h, "#!/bin/sh\nexec tail -f /dev/null\n");
        /* After 10 s, which this one isn't waited for. */
        path = node_start(h, g_variant_new_parsed("{'Environment': <[%s]>}", silent));
        client_wait_state(h->client, path, "connecting");
        deadline = client_get(h->client, path, "Deadline");
        left = g_variant_get_uint64(deadline) - (guint64) g_get_monotonic_time();
        g_assert_cmpuint(left, <=, 10 * G_USEC_PER_SEC);
        client_stop(h->client, path);

        report = node_fail(h, node_options("{'Environment': <[%s]>, 'TimeoutHandshakeUSec': <uint64 1000000>}", silent),
                           "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'Phase': <'connecting'>, 'RequestedBy': <'limit'>,"
                           " 'Message': <'connection timed out'>}");
}

static void test_exactly_one(Harness *h) {
        g_autofree char *path = NULL, *failing = NULL;
        g_autoptr(GVariant) report = NULL, failed = NULL;

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        node_tell(h->client, path, "System.stop(1)");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'Phase': <'ready'>}", NULL);
        node_check_signals(h, path, TRUE);

        failing = node_add_elixir(h, "#!/bin/sh\nexit 0\n");
        failed = node_fail(
                h, node_options("{'Environment': <[%s]>}", failing),
                "{'Result': <'handshake-failed'>, 'Message': <'Elixir process terminated unexpectedly: it exited with status 0 before it was ready.'>}");
}

static void test_owner(Harness *h) {
        g_autofree char *path = NULL, *unowned = NULL, *state = NULL;
        g_autoptr(GVariant) report = NULL, report_unowned = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "elixir-standalone", node_options("{'Owner': <'caller'>}"));
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_free(owner);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'owner-lost'>, 'RequestedBy': <'owner'>, 'ExitCode': <0>, 'StopStage': <'request'>}", NULL);
        node_check_signals(h, path, TRUE);

        unowned = node_start(h, node_options("{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 1500000>}"));
        report_unowned = client_wait_ended(h->client, unowned);
        report_check(report_unowned, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>}", NULL);
}

static void check_manager_end(Harness *h, const char *how, const char *expected) {
        g_autofree char *path = node_start_ready(h, node_options(NULL)), *code = g_strconcat("System.no_halt(true); ", how, NULL);
        g_autoptr(GVariant) report = NULL;

        node_tell(h->client, path, code);
        report = client_wait_ended(h->client, path);
        report_check(report, expected, "StopStage");
        node_check_signals(h, path, TRUE);
}

static void test_manager_process(Harness *h) {
        harness_start_daemon(h, NULL);
        check_manager_end(h, "GenServer.stop(RuntimeManager.Manager)", "{'Result': <'success'>, 'ExitCode': <0>}");
        check_manager_end(h, "Process.exit(Process.whereis(RuntimeManager.Manager), :kill)",
                          "{'Result': <'exit-code'>, 'ExitCode': <1>, 'Message': <'Elixir process terminated unexpectedly: it exited with status 1.'>}");
}

static void test_output(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        node_tell(h->client, path, "IO.puts(:user, \"long after\"); IO.puts(:standard_error, \"and an error\")");
        node_wait_output(h->client, path, 1, "long after\n");
        node_wait_output(h->client, path, 2, "and an error\n");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"random-node-name-short-or-long-by-configuration", test_node_name},
                {"executable-looked-up-in-PATH-no-Elixir-executable-found-in-PATH", test_executable},
                {"flags-no-scheduler-busy-wait-ansi-enabled", test_flags},
                {"child-ends-unexpectedly-Elixir-process-terminated-unexpectedly", test_terminated},
                {"time-out-connection-timed-out-after-10-s-and-it-is-stopped", test_time_out},
                {"exactly-one-of-success-or-error-at-the-end", test_exactly_one},
                {"no-owner-in-time-or-the-owner-gone-the-node-ends", test_owner},
                {"Manager-process-ends-the-node-ends", test_manager_process},
                {"output-after-the-handshake-keeps-streaming", test_output},
        };

        if (!node_is_possible())
                return 0;
        return harness_main(argc, argv, "elixir", cases, G_N_ELEMENTS(cases));
}
