/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon is killed in each state of a runtime and comes back: the runtime doesn't notice, and what was under way goes on, once. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "again.h"
#include "away.h"
#include "fake-systemd.h"
#include "paced.h"
#include "util/names.h"

#define NO_REPLY "org.freedesktop.DBus.Error.NoReply"

static guint64 get_time(Client *client, const char *path, const char *property) {
        g_autoptr(GVariant) value = client_get(client, path, property);

        return g_variant_get_uint64(value);
}

static void copy_program(const char *from, const char *to) {
        g_autoptr(GFile) source = g_file_new_for_path(from), target = g_file_new_for_path(to);
        g_autoptr(GError) error = NULL;

        g_assert_true(g_file_copy(source, target, G_FILE_COPY_NONE, NULL, NULL, NULL, &error));
}

static pid_t find_keeper(Harness *h) {
        g_autofree char *file = g_strdup_printf("/proc/%d/task/%d/children", (int) h->daemon, (int) h->daemon), *text = NULL;

        return g_file_get_contents(file, &text, NULL, NULL) ? (pid_t) g_ascii_strtoll(text, NULL, 10) : 0;
}

/* The keeper of a runtime that nothing is known of yet: the only child of the daemon. */
static gboolean has_keeper(gpointer userdata) {
        Harness *h = userdata;

        return find_keeper(h) > 0;
}

static GVariant *start_parameters(const char *id, const char *script) {
        return g_variant_new("(s@a{sv})", "command", options_shell(script, "{'Id': <%s>}", id));
}

/* systemd hasn't answered: the keeper waits for a word that doesn't come, and goes. */
static void test_starting(Harness *h) {
        g_autofree char *id = harness_id("starting"), *path = NULL, *folder = NULL;
        g_autoptr(FakeSystemd) fake = fake_systemd_new(h->bus_address, NULL);
        pid_t keeper;
        Call *call;

        fake_systemd_expect(fake, FAKE_START_UNANSWERED);
        h->systemd_address = g_strdup(h->bus_address);
        harness_start_daemon(h, NULL);
        call = call_begin(h->client, NULL, "StartRuntime", start_parameters(id, "exec sleep 1000"));
        client_wait_signal(h->client, RM_OBJECT_PATH, "RuntimeAdded");
        harness_wait(h, has_keeper, h, "the keeper waits");
        keeper = find_keeper(h);
        harness_kill_daemon(h);
        call_end_badly(call, NO_REPLY);
        wait_process_gone(h, keeper);

        g_clear_pointer(&h->systemd_address, g_free);
        come_back(h);
        client_wait_signal(h->client, RM_OBJECT_PATH, "RuntimeRemoved");
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
        folder = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, id, NULL);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        /* The call is safe to repeat. */
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'Id': <%s>}", id));
        client_wait_state(h->client, path, "ready");
}

static gboolean is_starting_in_unit(gpointer userdata) {
        Harness *h = userdata;
        const Signal *signal = client_find_signal(h->client, NULL, "RuntimeAdded", 0);
        g_autofree char *cgroup = NULL;
        const char *path;

        if (!signal)
                return FALSE;
        g_variant_get(signal->parameters, "(&s&o)", NULL, &path);
        cgroup = client_get_string(h->client, path, "ControlGroup");
        return cgroup[0] != '\0';
}

/* A keeper that begins only when it may, or never. Killed when the scope is made and the keeper has been told to run, but hasn't got so far. */
static void begin_told(Harness *h, const char *id) {
        g_autofree char *from = g_build_filename(harness_build_directory(), "runtime-managerd", NULL), *to = g_build_filename(h->directory, "program", NULL);
        g_autofree char *keeper = g_build_filename(harness_build_directory(), "runtime-keeper", NULL), *go_on = home_file(h, "keep");
        g_autofree char *script = g_strdup_printf("#!/bin/sh\nPATH=/bin:/usr/bin\nwhile [ ! -e '%s' ]; do sleep 0.01; done\nexec '%s' \"$@\"\n", go_on, keeper);
        Call *call;

        copy_program(from, to);
        g_free(harness_add_file(h, "runtime-keeper", script, 0755));
        h->program = g_strdup(to);
        harness_add_kind(h, "command", "[Kind]\n");
        harness_start_daemon(h, NULL);
        call = call_begin(h->client, NULL, "StartRuntime", start_parameters(id, "echo $$; exec sleep 1000"));
        harness_wait(h, is_starting_in_unit, h, "the scope is made");
        harness_kill_daemon(h);
        call_end_badly(call, NO_REPLY);
}

static void test_starting_told(Harness *h) {
        g_autofree char *id = harness_id("told"), *path = NULL, *state = NULL, *text = NULL;

        begin_told(h, id);
        go(h, "keep");
        come_back(h);
        path = client_start(h->client, "command", options_shell("echo $$; exec sleep 1000", "{'Id': <%s>}", id));
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_wait_text(h->client, path, "\n");
        text = client_read_text(h->client, path);
        g_assert_cmpint(strtol(text, NULL, 10), ==, main_pid_of(h->client, path));
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

/* The start has failed, and nothing is left of it; a call that repeats it is told so, or starts it anew. */
static void test_starting_never(Harness *h) {
        g_autofree char *id = harness_id("never"), *folder = NULL, *path = NULL, *unit = g_strdup_printf("runtime-command-%s.scope", id);

        begin_told(h, id);
        come_back(h);
        client_wait_signal(h->client, RM_OBJECT_PATH, "RuntimeRemoved");
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
        g_assert_false(harness_unit_exists(unit));
        folder = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, id, NULL);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        go(h, "keep");
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'Id': <%s>}", id));
        client_wait_state(h->client, path, "ready");
}

/* Setup steps go on by the keeper's own, one by one; each runs once. */
static void test_preparing(Harness *h) {
        g_autofree char *path = NULL, *state = NULL, *text = NULL, *step = NULL;
        guint64 deadline;

        harness_add_kind(h, "steps",
                         "[Kind]\nExec=/bin/sh -c \"echo command; exec sleep 1000\"\n"
                         "[Step one]\nExec=/bin/sh -c \"echo one; " WAIT_FOR("go") TELL("did") "echo done\"\nTimeoutSec=1h\n"
                                                                                               "[Step two]\nExec=/bin/sh -c \"echo two\"\n"
                                                                                               "[Handshake]\nType=exec\n");
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "steps", g_variant_new_parsed("@a{sv} {}"));
        client_wait_text(h->client, path, "one\n");
        deadline = get_time(h->client, path, "Deadline");
        go_away_and_come_back(h);
        client_wait_state(h->client, path, "preparing");
        step = client_get_string(h->client, path, "Step");
        g_assert_cmpstr(step, ==, "one");
        g_assert_cmpuint(get_time(h->client, path, "Deadline"), ==, deadline);

        harness_kill_daemon(h);
        go(h, "go");
        wait_for_file(h, "did");
        come_back(h);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_wait_text(h->client, path, "command\n");
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "one\ndone\ntwo\ncommand\n");
}

static void test_step_failed_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_add_kind(h, "steps",
                         "[Kind]\nExec=/bin/false\n[Step one]\nExec=/bin/sh -c \"echo one; " WAIT_FOR("go") TELL("did") "exit 3\"\nFailure=It is broken\n");
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "steps", g_variant_new_parsed("@a{sv} {}"));
        client_wait_text(h->client, path, "one\n");
        harness_kill_daemon(h);
        go(h, "go");
        wait_for_file(h, "did");
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'setup-failed'>, 'Reason': <'setup-step-failed'>, 'Step': <'one'>, 'ExitCode': <3>, 'Phase': <'preparing'>, "
                     "'Message': <'It is broken'>, 'StepFirstLine': <uint64 1>, 'StepLastLine': <uint64 1>}",
                     "RequestedBy");
}

static void test_connecting(Harness *h) {
        g_autofree char *path = NULL, *state = NULL;
        guint64 deadline;

        harness_add_kind(h, "line", LINE_KIND("echo first; " WAIT_FOR("go") "echo hello; " TELL("did") "true", "hello", "1h"));
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "line", g_variant_new_parsed("@a{sv} {}"));
        client_wait_text(h->client, path, "first\n");
        deadline = get_time(h->client, path, "Deadline");
        go_away_and_come_back(h);
        client_wait_state(h->client, path, "connecting");
        g_assert_cmpuint(get_time(h->client, path, "Deadline"), ==, deadline);

        harness_kill_daemon(h);
        go(h, "go");
        wait_for_file(h, "did");
        come_back(h);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_wait_signal(h->client, path, "HandshakeCompleted");
}

/* The time is the runtime's, wherever the daemon is. */
static void test_deadline_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        guint64 deadline;

        harness_add_kind(h, "line", LINE_KIND("echo first", "hello", "4s"));
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "line", g_variant_new_parsed("@a{sv} {}"));
        deadline = get_time(h->client, path, "Deadline");
        harness_kill_daemon(h);
        wait_until_usec(h, (gint64) deadline);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'Phase': <'connecting'>, 'Signal': <15>}", "ExitCode");
}

static void test_runtime_max_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'RuntimeMaxUSec': <uint64 4000000>}"));
        client_wait_state(h->client, path, "ready");
        go_away_and_come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'timeout'>, 'Reason': <'runtime-max'>, 'Phase': <'ready'>}", NULL);
        g_assert_cmpuint(report_number(report, "DurationUSec"), >=, 4000000);
}

/* The message that begins the handshake comes when nobody is there. */
static void test_handshake_away(Harness *h) {
        g_autofree char *path = NULL, *state = NULL;

        if (!add_peer_kind(h, "peer", "good", "go"))
                return;
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "peer", g_variant_new_parsed("@a{sv} {}"));
        client_wait_state(h->client, path, "connecting");
        harness_kill_daemon(h);
        go(h, "go");
        come_back(h);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_wait_text(h->client, path, "initialized\n");
}

/* Killed at each step of the handshake: each message is sent once. */
static void test_initializing(Harness *h) {
        g_autofree char *path = NULL, *state = NULL, *text = NULL;
        g_autoptr(GVariant) connection = NULL;
        guint64 deadline;

        if (!add_peer_kind(h, "peer", "slow", NULL))
                return;
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "peer", g_variant_new_parsed("@a{sv} {}"));
        client_wait_state(h->client, path, "initializing");
        client_wait_text(h->client, path, "initialize\n");
        deadline = get_time(h->client, path, "Deadline");
        go_away_and_come_back(h);
        client_wait_state(h->client, path, "initializing");
        g_assert_cmpuint(get_time(h->client, path, "Deadline"), ==, deadline);
        harness_kill_daemon(h);
        go(h, "initialize");
        come_back(h);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        go_away_and_come_back(h);
        connection = client_call(h->client, path, "GetConnection", NULL);
        g_assert_nonnull(connection);

        /* A stop by message, begun by one daemon and ended by another. */
        client_stop(h->client, path);
        client_wait_text(h->client, path, "shutdown\n");
        deadline = get_time(h->client, path, "Deadline");
        go_away_and_come_back(h);
        client_wait_state(h->client, path, "stopping");
        g_assert_cmpuint(get_time(h->client, path, "Deadline"), ==, deadline);
        go(h, "shutdown");
        {
                g_autoptr(GVariant) report = client_wait_ended(h->client, path);

                report_check(report, "{'Result': <'stopped'>, 'StopStage': <'request'>, 'ExitCode': <0>, 'RequestedBy': <'client'>}", "Signal");
        }
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "initialize\nnode_initialized\nshutdown\n");
}

/* Nothing that a client can see is another. */
static void test_ready(Harness *h) {
        g_autofree char *path = NULL, *before = NULL, *text = NULL;
        pid_t pid;

        if (!add_peer_kind(h, "peer", "good", NULL))
                return;
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "peer",
                            g_variant_new_parsed("{'Labels': <{'a': 'b'}>, 'Description': <'One'>, 'MemoryHigh': <uint64 1000000000>, 'Input': <'pipe'>}"));
        client_wait_text(h->client, path, "initialized\n");
        pid = main_pid_of(h->client, path);
        before = all_properties(h->client, path);
        for (int i = 0; i < 5; i++) {
                g_autofree char *after = NULL;

                go_away_and_come_back(h);
                after = all_properties(h->client, path);
                g_assert_cmpstr(after, ==, before);
        }
        g_assert_cmpint(kill(pid, 0), ==, 0);
        g_variant_unref(client_call(h->client, path, "Interrupt", NULL));
        client_wait_text(h->client, path, "interrupt\n");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "initialized\ninterrupt\nshutdown\n");
}

static char *start_counting(Harness *h, guint64 stop_usec) {
        char *path = client_start(h->client, "command",
                                  options_shell("exec 2>/dev/null; trap 'echo term' TERM; echo up; while [ ! -e $HOME/end ]; do sleep 0.01; done; exit 3",
                                                "{'TimeoutStopUSec': <%t>}", stop_usec));

        client_wait_text(h->client, path, "up\n");
        return path;
}

static void test_terminating(Harness *h) {
        g_autofree char *path = NULL, *before = NULL, *after = NULL;
        g_autoptr(GVariant) report = NULL;
        guint64 deadline;

        harness_start_daemon(h, NULL);
        path = start_counting(h, 3600000000);
        client_stop(h->client, path);
        client_wait_text(h->client, path, "term\n");
        deadline = get_time(h->client, path, "Deadline");
        before = all_properties(h->client, path);
        for (int i = 0; i < 3; i++)
                go_away_and_come_back(h);
        after = all_properties(h->client, path);
        g_assert_cmpstr(after, ==, before);
        g_assert_cmpuint(get_time(h->client, path, "Deadline"), ==, deadline);
        go(h, "end");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'ExitCode': <3>, 'RequestedBy': <'client'>, 'Phase': <'ready'>}", "Signal");
        assert_text(h, path, "up\nterm\n");
}

static void test_terminating_shortened(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_counting(h, 3600000000);
        client_stop(h->client, path);
        client_wait_text(h->client, path, "term\n");
        go_away_and_come_back(h);
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)")));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'kill'>, 'Signal': <9>, 'RequestedBy': <'client'>}", "ExitCode");
        assert_text(h, path, "up\nterm\n");
}

/* The time of a stage passes while nobody is there. */
static void test_stage_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        guint64 deadline;

        harness_start_daemon(h, NULL);
        path = start_counting(h, 1000000);
        client_stop(h->client, path);
        deadline = get_time(h->client, path, "Deadline");
        harness_kill_daemon(h);
        wait_until_usec(h, (gint64) deadline);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'kill'>, 'Signal': <9>}", "ExitCode");
}

static void test_stopped_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        harness_start_daemon(h, NULL);
        path = start_counting(h, 3600000000);
        pid = main_pid_of(h->client, path);
        client_stop(h->client, path);
        client_wait_text(h->client, path, "term\n");
        harness_kill_daemon(h);
        go(h, "end");
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'ExitCode': <3>, 'RequestedBy': <'client'>}", "Signal");
}

/* Between the end of one generation and the start of the next. */
static void test_restarting(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        Call *call;

        harness_start_daemon(h, NULL);
        path = start_counting(h, 3600000000);
        call = call_begin(h->client, path, "Restart", NULL);
        client_wait_text(h->client, path, "term\n");
        harness_kill_daemon(h);
        call_end_badly(call, NO_REPLY);
        come_back(h);
        assert_state(h, path, "stopping", 1);
        go(h, "end");
        report = nth_report(h, path, 0);
        report_check(report, "{'ExitCode': <3>, 'RequestedBy': <'client'>}", NULL);
        client_wait_text(h->client, path, "up\nterm\nup\n");
        report = (g_variant_unref(report), client_wait_ended(h->client, path));
        report_check(report, "{'ExitCode': <3>}", "RequestedBy");
        g_assert_cmpuint(client_get_number(h->client, path, "Generation"), ==, 2);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"while-systemd-is-asked-for-the-scope", test_starting},
                {"while-the-keeper-is-told-to-run", test_starting_told},
                {"while-a-keeper-is-told-to-run-and-never-does", test_starting_never},
                {"while-a-setup-step-runs", test_preparing},
                {"a-setup-step-fails-while-nobody-is-there", test_step_failed_away},
                {"while-the-first-message-is-awaited", test_connecting},
                {"a-deadline-passes-while-nobody-is-there", test_deadline_away},
                {"the-longest-time-of-a-runtime-goes-on", test_runtime_max_away},
                {"a-handshake-begins-while-nobody-is-there", test_handshake_away},
                {"at-each-step-of-a-handshake-and-of-a-stop-by-message", test_initializing},
                {"a-ready-runtime-is-as-it-was", test_ready},
                {"a-stop-by-signal-goes-on-and-is-not-begun-again", test_terminating},
                {"a-stop-can-be-shortened-by-the-next-daemon", test_terminating_shortened},
                {"the-time-of-a-stop-stage-passes-while-nobody-is-there", test_stage_away},
                {"a-stop-ends-while-nobody-is-there", test_stopped_away},
                {"while-a-restart-waits-for-the-end", test_restarting},
        };

        return harness_main(argc, argv, "return", cases, G_N_ELEMENTS(cases));
}
