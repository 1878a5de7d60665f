/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The end report for every way to end that one user can cause. What isn't known is absent. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "util/names.h"

/* Starts the script and waits until it has said its first line. */
static char *start_and_hear(Harness *h, const char *kind, GVariant *options) {
        g_autofree char *path = client_start(h->client, kind, options);

        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, path, "OutputLines");
        return g_steal_pointer(&path);
}

static GVariant *run(Harness *h, const char *script, const char *more) {
        g_autofree char *path = client_start(h->client, "command", options_shell(script, more));

        return client_wait_ended(h->client, path);
}

static void test_exits(Harness *h) {
        g_autoptr(GVariant) good = NULL, bad = NULL, most = NULL;

        harness_start_daemon(h, NULL);
        good = run(h, "echo a; echo b >&2; exit 0", NULL);
        report_check(good,
                     "{'Result': <'success'>, 'Reason': <'exited'>, 'ExitCode': <0>, 'Phase': <'ready'>, 'LastLine': <uint64 2>, 'Leftovers': <uint32 0>}",
                     "Signal RequestedBy RequestedByUID StopStage Step StepFirstLine StepLastLine");
        g_assert_cmpstr(report_string(good, "Message"), !=, "");
        g_assert_cmpuint(report_number(good, "DurationUSec"), >, 0);
        g_assert_cmpuint(report_number(good, "DurationUSec"), <, HARNESS_DEADLINE_USEC);
        g_assert_cmpuint(report_number(good, "CPUUsageNSec"), >, 0);

        bad = run(h, "echo a; exit 3", NULL);
        report_check(bad, "{'Result': <'exit-code'>, 'Reason': <'exited'>, 'ExitCode': <3>, 'OutputTail': <'a\\n'>}", "Signal RequestedBy StopStage");
        most = run(h, "exit 255", NULL);
        report_check(most, "{'Result': <'exit-code'>, 'ExitCode': <255>, 'OutputTail': <''>, 'LastLine': <uint64 0>}", "Signal");
}

static void test_signal(Harness *h) {
        g_autoptr(GVariant) report = NULL, real_time = NULL;

        harness_start_daemon(h, NULL);
        report = run(h, "kill -TERM $$", NULL);
        report_check(report, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <15>}", "ExitCode RequestedBy StopStage");
        /* By itself: OOM is never guessed from SIGKILL. */
        real_time = run(h, "kill -KILL $$", NULL);
        report_check(real_time, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <9>}", "ExitCode RequestedBy StopStage");
}

/* Whether one of our own children that does the same leaves a core here: limits and core_pattern are the machine's. */
static gboolean cores_are_left(Harness *h) {
        int status;
        pid_t pid;

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

                if (chdir(h->home) < 0)
                        _exit(1);
                setrlimit(RLIMIT_CORE, &limit);
                execl("/bin/sh", "sh", "-c", "ulimit -c unlimited; kill -SEGV $$", NULL);
                _exit(1);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        return WIFSIGNALED(status) && WCOREDUMP(status);
}

static void test_core_dump(Harness *h) {
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        report = run(h, "ulimit -c unlimited; kill -SEGV $$", NULL);
        if (!cores_are_left(h)) {
                report_check(report, "{'Result': <'signal'>, 'Signal': <11>}", "ExitCode");
                g_test_skip("no cores are left on this machine");
                return;
        }
        report_check(report, "{'Result': <'core-dump'>, 'Reason': <'dumped'>, 'Signal': <11>}", "ExitCode RequestedBy");
}

/* The start is answered with the error, and the report is the same story. */
static void check_exec_failure(Harness *h, const char *program, const char *reason, const char *mentions) {
        g_autofree char *message = NULL, *expected = g_strdup_printf("{'Result': <'start-failed'>, 'Reason': <'%s'>, 'Phase': <'starting'>}", reason);
        g_autoptr(GVariant) report = NULL;

        g_ptr_array_set_size(h->client->signals, 0);
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('command', {'Command': <[%s]>})", program), "StartFailed");
        g_assert_nonnull(strstr(message, mentions));
        report = g_variant_get_child_value(client_wait_signal(h->client, NULL, "Ended")->parameters, 0);
        report_check(report, expected, "ExitCode Signal RequestedBy DurationUSec");
        g_assert_cmpstr(report_string(report, "Message"), ==, message);
        client_wait_signal(h->client, NULL, "RuntimeRemoved");
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, NULL, "HandshakeCompleted", 0));
        g_assert_null(client_find_signal(h->client, NULL, "Ended", 1));
}

static void test_exec_failure(Harness *h) {
        g_autofree char *interpreter = harness_add_file(h, "bad-interpreter", "#!/no/such/interpreter\n", 0755);
        g_autofree char *garbage = harness_add_file(h, "garbage",
                                                    "\x7f"
                                                    "ELF is not all of it",
                                                    0755);

        harness_start_daemon(h, NULL);
        check_exec_failure(h, interpreter, "executable-not-found", "No such file");
        check_exec_failure(h, garbage, "exec-failed", "Exec format error");
}

static void test_never_ready(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_add_kind(h, "silent", "[Kind]\n[Handshake]\nType=line\nLine=^never$\nTimeoutSec=500ms\n");
        harness_start_daemon(h, NULL);
        /* Output does not extend the deadline. */
        path = client_start(h->client, "silent", options_shell("while :; do echo busy; sleep 0.1; done", NULL));
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'Message': <'connection timed out'>, 'Phase': <'connecting'>, "
                     "'RequestedBy': <'limit'>, 'StopStage': <'terminate'>, 'Signal': <15>}",
                     "ExitCode RequestedByUID");
        g_assert_true(g_str_has_prefix(report_string(report, "OutputTail"), "busy\n"));
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 0));
}

static void test_exit_before_ready(Harness *h) {
        g_autofree char *exiting = NULL, *killed = NULL;
        g_autoptr(GVariant) report = NULL, other = NULL;

        harness_add_kind(h, "silent", "[Kind]\n[Handshake]\nType=line\nLine=^never$\n");
        harness_start_daemon(h, NULL);
        exiting = client_start(h->client, "silent", options_shell("echo no license >&2; exit 0", NULL));
        report = client_wait_ended(h->client, exiting);
        report_check(report,
                     "{'Result': <'handshake-failed'>, 'Reason': <'exited-before-ready'>, 'Phase': <'connecting'>, 'ExitCode': <0>, "
                     "'OutputTail': <'no license\\n'>}",
                     "Signal RequestedBy StopStage");
        killed = client_start(h->client, "silent", options_shell("kill -9 $$", NULL));
        other = client_wait_ended(h->client, killed);
        report_check(other, "{'Result': <'handshake-failed'>, 'Reason': <'exited-before-ready'>, 'Signal': <9>}", "ExitCode");
}

static GVariant *stop(Harness *h, const char *path) {
        client_stop(h->client, path);
        return client_wait_ended(h->client, path);
}

static void check_stopped(GVariant *report, const char *stage, const char *how) {
        g_autofree char *expected = g_strdup_printf("{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'Phase': <'ready'>, 'RequestedBy': <'client'>, "
                                                    "'RequestedByUID': <uint32 %u>, 'StopStage': <'%s'>, %s}",
                                                    getuid(), stage, how);

        report_check(report, expected, NULL);
}

static void test_stages(Harness *h) {
        g_autofree char *polite = NULL, *plain = NULL, *stubborn = NULL, *deaf = NULL;
        g_autoptr(GVariant) by_request = NULL, by_term = NULL, by_kill = NULL, all_stages = NULL;

        harness_add_kind(h, "polite", "[Kind]\n[Stop]\nSignal=SIGUSR1\nTimeoutSec=200ms\n");
        harness_start_daemon(h, NULL);
        polite = start_and_hear(h, "polite",
                                options_shell("trap 'exit 4' USR1; echo ready; while :; do sleep 0.1; done", "{'TimeoutStopUSec': <uint64 20000000>}"));
        by_request = stop(h, polite);
        check_stopped(by_request, "request", "'ExitCode': <4>");

        plain = start_and_hear(h, "command", options_shell("echo ready; exec sleep 1000", NULL));
        by_term = stop(h, plain);
        check_stopped(by_term, "terminate", "'Signal': <15>");

        stubborn = start_and_hear(h, "command", options_shell("trap '' TERM; echo ready; while :; do sleep 1; done", "{'TimeoutStopUSec': <uint64 200000>}"));
        by_kill = stop(h, stubborn);
        check_stopped(by_kill, "kill", "'Signal': <9>");

        deaf = start_and_hear(h, "polite", options_shell("trap '' TERM USR1; echo ready; while :; do sleep 1; done", NULL));
        all_stages = stop(h, deaf);
        check_stopped(all_stages, "kill", "'Signal': <9>");
}

static void test_stop_at_once(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done", NULL));
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)")));
        report = client_wait_ended(h->client, path);
        check_stopped(report, "kill", "'Signal': <9>");
}

static void test_second_stop_shortens(Harness *h) {
        g_autofree char *path = NULL, *message = NULL;
        g_autoptr(GVariant) first = NULL, longer = NULL, shorter = NULL, report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("trap '' TERM; echo ready; while :; do sleep 1; done", "{'TimeoutStopUSec': <uint64 3600000000>}"));
        client_stop(h->client, path);
        first = client_get(h->client, path, "Deadline");
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 7200000000>},)")));
        longer = client_get(h->client, path, "Deadline");
        g_assert_cmpuint(g_variant_get_uint64(longer), ==, g_variant_get_uint64(first));
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 1800000000>},)")));
        shorter = client_get(h->client, path, "Deadline");
        g_assert_cmpuint(g_variant_get_uint64(shorter), <, g_variant_get_uint64(first));

        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)")));
        report = client_wait_ended(h->client, path);
        check_stopped(report, "kill", "'Signal': <9>");
        message = client_call_fails(h->client, path, "Stop", g_variant_new_parsed("(@a{sv} {},)"), "BadState");
}

/* A stop is wanted, and then the runtime ends by itself with a code of its own: both are told. */
static void test_stopped_but_exits(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("exec 2>/dev/null; trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.1; done", NULL));
        report = stop(h, path);
        check_stopped(report, "terminate", "'ExitCode': <9>, 'OutputTail': <'ready\\nbye\\n'>");
}

static void test_kill(Harness *h) {
        g_autofree char *main_only = NULL, *all = NULL, *message = NULL;
        g_autoptr(GVariant) report = NULL, of_all = NULL;

        harness_start_daemon(h, NULL);
        main_only = start_and_hear(h, "command", options_shell("echo ready; exec sleep 1000", NULL));
        g_variant_unref(client_call(h->client, NULL, "KillRuntime", g_variant_new("(ssi)", path_to_id(main_only), "main", SIGHUP)));
        report = client_wait_ended(h->client, main_only);
        report_check(report, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <1>}", "ExitCode RequestedBy StopStage");

        all = start_and_hear(h, "command", options_shell("sleep 1000 & setsid sleep 1000 & echo ready; wait", NULL));
        g_variant_unref(client_call(h->client, all, "Kill", g_variant_new("(si)", "all", SIGKILL)));
        of_all = client_wait_ended(h->client, all);
        report_check(of_all, "{'Result': <'signal'>, 'Signal': <9>, 'Leftovers': <uint32 0>}", "ExitCode RequestedBy StopStage");
        message = client_call_fails(h->client, all, "Kill", g_variant_new("(si)", "all", SIGKILL), "BadState");
}

static void test_runtime_max(Harness *h) {
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        report = run(h, "exec sleep 1000", "{'RuntimeMaxUSec': <uint64 300000>}");
        report_check(report,
                     "{'Result': <'timeout'>, 'Reason': <'runtime-max'>, 'Phase': <'ready'>, 'RequestedBy': <'limit'>, 'StopStage': <'terminate'>, "
                     "'Signal': <15>}",
                     "ExitCode RequestedByUID");
        g_assert_cmpuint(report_number(report, "DurationUSec"), >=, 300000);
}

static void test_unit_stopped(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("echo ready; exec sleep 1000", NULL));
        unit = client_get_string(h->client, path, "Unit");
        harness_call_systemd("StopUnit", g_variant_new("(ss)", unit, "replace"));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'Reason': <'unit-stopped'>, 'Phase': <'ready'>, 'RequestedBy': <'system'>, 'Signal': <15>}",
                     "ExitCode RequestedByUID");
}

static void test_stubborn_unit_stopped(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("trap '' TERM; echo ready; while :; do sleep 1; done", "{'TimeoutStopUSec': <uint64 300000>}"));
        unit = client_get_string(h->client, path, "Unit");
        harness_call_systemd("StopUnit", g_variant_new("(ss)", unit, "replace"));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'Reason': <'unit-stopped'>, 'RequestedBy': <'system'>, 'StopStage': <'kill'>, 'Signal': <9>}",
                     "ExitCode");
}

/* SIGTERM reaches the keeper too, which ignores it. */
static void test_unit_killed(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("echo ready; exec sleep 1000", NULL));
        unit = client_get_string(h->client, path, "Unit");
        harness_call_systemd("KillUnit", g_variant_new("(ssi)", unit, "all", SIGTERM));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <15>}", "ExitCode RequestedBy StopStage");
}

/* What isn't known isn't told. */
static void check_lost(GVariant *report) {
        report_check(report, "{'Result': <'lost'>, 'Reason': <'keeper-lost'>, 'Phase': <'ready'>, 'LastLine': <uint64 1>, 'OutputTail': <'ready\\n'>}",
                     "ExitCode Signal RequestedBy Leftovers CPUUsageNSec MemoryPeak OOMKills");
}

static void test_unit_killed_hard(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("echo ready; exec sleep 1000", NULL));
        unit = client_get_string(h->client, path, "Unit");
        harness_call_systemd("KillUnit", g_variant_new("(ssi)", unit, "all", SIGKILL));
        report = client_wait_ended(h->client, path);
        check_lost(report);
}

/* The keeper is the parent of the command. */
static pid_t keeper_of(Harness *h, const char *path) {
        g_autofree char *file = g_strdup_printf("/proc/%u/stat", client_get_number(h->client, path, "MainPID")), *text = NULL;
        int parent;

        g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
        g_assert_cmpint(sscanf(strrchr(text, ')'), ") %*c %d", &parent), ==, 1);
        return parent;
}

static void test_keeper_killed(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("(setsid sleep 1000 &) ; echo ready; exec sleep 1000", NULL));
        g_assert_cmpint(kill(keeper_of(h, path), SIGKILL), ==, 0);
        report = client_wait_ended(h->client, path);
        check_lost(report);
}

/* A keeper that doesn't answer: systemd kills in its place. */
static void test_keeper_stopped(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_and_hear(h, "command", options_shell("echo ready; exec sleep 1000", "{'TimeoutStopUSec': <uint64 100000>}"));
        g_assert_cmpint(kill(keeper_of(h, path), SIGSTOP), ==, 0);
        report = stop(h, path);
        report_check(report, "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>, 'StopStage': <'kill'>}",
                     "ExitCode Signal Leftovers");
}

/* The tail is whole lines, at most 4 KiB, and text that D-Bus takes. */
static void test_tail(Harness *h) {
        g_autoptr(GVariant) report = NULL, binary = NULL;
        const char *tail;

        harness_start_daemon(h, NULL);
        report = run(h, "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo \"line $i\"; done; exit 1", NULL);
        tail = report_string(report, "OutputTail");
        g_assert_cmpuint(strlen(tail), <=, 4096);
        g_assert_cmpuint(strlen(tail), >, 4000);
        g_assert_true(g_str_has_prefix(tail, "line "));
        g_assert_true(g_str_has_suffix(tail, "\nline 1000\n"));

        binary = run(h, "printf 'a\\377b\\000c'; exit 1", NULL);
        report_check(binary,
                     "{'OutputTail': <'a\xef\xbf\xbd"
                     "b\xef\xbf\xbd"
                     "c'>}",
                     NULL);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"exit-codes", test_exits},
                {"a-signal-of-its-own", test_signal},
                {"a-core-dump", test_core_dump},
                {"a-program-that-can-not-be-executed", test_exec_failure},
                {"not-ready-in-time", test_never_ready},
                {"exited-before-it-was-ready", test_exit_before_ready},
                {"stopped-at-each-stage", test_stages},
                {"stopped-at-once", test_stop_at_once},
                {"a-second-stop-can-only-shorten-the-first", test_second_stop_shortens},
                {"stopped-and-exited-with-a-code", test_stopped_but_exits},
                {"killed-by-a-client", test_kill},
                {"run-for-as-long-as-allowed", test_runtime_max},
                {"the-unit-was-stopped", test_unit_stopped},
                {"the-unit-of-a-stubborn-one-was-stopped", test_stubborn_unit_stopped},
                {"the-unit-was-killed-by-sigterm", test_unit_killed},
                {"the-unit-was-killed-by-sigkill", test_unit_killed_hard},
                {"the-keeper-was-killed", test_keeper_killed},
                {"the-keeper-was-stopped", test_keeper_stopped},
                {"the-tail-of-the-output", test_tail},
        };

        return harness_main(argc, argv, "report", cases, G_N_ELEMENTS(cases));
}
