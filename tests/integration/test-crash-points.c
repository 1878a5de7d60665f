/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon is killed before and after each of the calls by which it acts on the world, while it starts, stops, restarts and forgets runtimes, meets their
 * ends, and comes back itself. Each time another daemon takes over, the client that got no answer repeats its call, and all must be as if nothing had been. */

#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "trial.h"
#include "util/names.h"

#define WHOLE_HANDSHAKE "step\ncommand\ninitialize\ninitialized\n"

static void assert_ended_signal(Trial *trial) {
        (void) client_wait_signal(trial->h->client, trial->path, "Ended");
}

static void start_command(Trial *trial) {
        trial_start(trial, "command", trial_shell(trial, "echo run >>\"$LOG\"; echo output; exec sleep 1000", NULL));
        trial_wait_ready(trial);
}

static void check_command(Trial *trial) {
        trial_assert_state(trial, "ready");
        trial_assert_output(trial, "output\n");
        trial_assert_log(trial, "run\n");
        trial_assert_processes(trial, 1);
        trial_stop(trial, NULL);
        report_check(trial->report, "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>, 'Signal': <15>, 'LastLine': <uint64 1>}",
                     "ExitCode");
}

static void start_peer(Trial *trial) {
        trial_start(trial, "peer", g_variant_new_parsed("@a{sv} {}"));
        trial_wait_ready(trial);
}

static void check_peer(Trial *trial) {
        trial_wait_log(trial, WHOLE_HANDSHAKE);
        trial_assert_state(trial, "ready");
        trial_assert_output(trial, "output of step\noutput of command\n");
        trial_assert_processes(trial, 1);
        trial_stop(trial, NULL);
        trial_assert_log(trial, WHOLE_HANDSHAKE "shutdown\n");
}

static void stop(Trial *trial) {
        trial_stop(trial, NULL);
}

static void check_stopped_by_message(Trial *trial) {
        trial_assert_log(trial, WHOLE_HANDSHAKE "shutdown\n");
        report_check(trial->report,
                     "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>, 'Phase': <'ready'>, 'StopStage': <'request'>, "
                     "'ExitCode': <0>, 'Leftovers': <uint32 0>, 'LastLine': <uint64 2>, 'OutputTail': <'output of step\\noutput of command\\n'>}",
                     "Signal");
        assert_ended_signal(trial);
}

/* Each SIGTERM that comes is counted. Its child is born before the trap is set, for in the moment between fork and exec it would have that trap too, and lose
 * the signal. */
static void start_counting(Trial *trial, const char *on_term, const char *more) {
        g_autofree char *script = g_strdup_printf("sleep 1000 & trap 'echo term >>\"$LOG\"; %s' TERM; echo ready >>\"$LOG\"; wait; "
                                                  "while :; do sleep 1000 & wait; done",
                                                  on_term);

        trial_start(trial, "command", trial_shell(trial, script, more));
        trial_wait_log(trial, "ready\n");
}

static void start_obedient(Trial *trial) {
        start_counting(trial, "exit 3", NULL);
}

static void check_terminated(Trial *trial) {
        trial_assert_log(trial, "ready\nterm\n");
        report_check(trial->report,
                     "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>, 'StopStage': <'terminate'>, 'ExitCode': <3>}", "Signal");
        assert_ended_signal(trial);
}

static void start_stubborn(Trial *trial) {
        start_counting(trial, ":", "{'TimeoutStopUSec': <uint64 100000>}");
}

static void check_killed(Trial *trial) {
        trial_assert_log(trial, "ready\nterm\n");
        report_check(trial->report, "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>, 'StopStage': <'kill'>, 'Signal': <9>}",
                     "ExitCode");
        assert_ended_signal(trial);
}

/* A restart that got no answer is being done, or has been; then it is done once more. */
static void restart(Trial *trial) {
        GVariant *reply = crash_ask(trial->crash, trial->path, "Restart", NULL, "BadState");

        if (reply)
                g_variant_unref(reply);
        trial_wait_ready(trial);
}

static void end_by_signal(Trial *trial) {
        g_autoptr(GVariant) pid = crash_get(trial->crash, trial->path, "MainPID");

        g_assert_cmpuint(g_variant_get_uint32(pid), >, 1);
        g_assert_cmpint(kill((pid_t) g_variant_get_uint32(pid), SIGUSR1), ==, 0);
        trial_wait_ended(trial);
}

/* It stays ended then: finishing forgets it, which is refused otherwise. */
static void check_restarted(Trial *trial) {
        g_autoptr(GVariant) generation = crash_get(trial->crash, trial->path, "Generation");

        g_assert_cmpuint(g_variant_get_uint32(generation), >=, 2);
        g_assert_cmpuint(g_variant_get_uint32(generation), <=, 3);
        trial_assert_state(trial, "ready");
        trial_assert_processes(trial, 1);
        end_by_signal(trial);
        report_check(trial->report, "{'Result': <'signal'>, 'Signal': <10>, 'Phase': <'ready'>}", "RequestedBy ExitCode");
        trial_assert_state(trial, "ended");
}

static void start_and_end(Trial *trial) {
        trial_start(trial, "command", trial_shell(trial, "echo output; exit 7", NULL));
        trial_wait_ended(trial);
}

/* Somebody has had its lines. */
static void start_followed(Trial *trial) {
        g_variant_unref(client_call(trial->h->client, NULL, "Subscribe", g_variant_new("(u)", 3)));
        start_and_end(trial);
        (void) client_wait_signal(trial->h->client, trial->path, "OutputLines");
}

static void forget(Trial *trial) {
        /* Forgotten by the call that got no answer, it has no object any more. */
        GVariant *reply = crash_ask(trial->crash, trial->path, "Forget", NULL, "org.freedesktop.DBus.Error.UnknownObject");

        if (reply)
                g_variant_unref(reply);
}

static void forget_again(Trial *trial) {
        g_autofree char *path = g_steal_pointer(&trial->path), *error = NULL, *message = NULL;
        g_autofree char *folder = g_build_filename(trial->h->runtime_directory, RM_RUNTIME_DIRECTORY, trial->id, NULL);

        g_assert_null(client_try(trial->h->client, NULL, "GetRuntime", g_variant_new("(s)", trial->id), &error, &message));
        g_assert_cmpstr(error, ==, RM_ERROR_NO_SUCH_RUNTIME);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        /* It was there with its output, or not at all. */
        client_sync(trial->h->client);
        g_assert_null(client_find_signal(trial->h->client, path, "OutputDropped", 0));
        g_variant_unref(client_call(trial->h->client, NULL, "Unsubscribe", NULL));
}

static void start_waiting(Trial *trial) {
        trial_add_gate(trial, "command");
        trial_start(trial, "command", trial_shell(trial, "echo output; sleep 1000 & read -r go <\"$GATE\"; printf unfinished; exit 7", NULL));
}

static void end_by_itself(Trial *trial) {
        trial_open_gate(trial, "command");
        trial_wait_ended(trial);
}

static void check_ended_by_itself(Trial *trial) {
        report_check(trial->report,
                     "{'Result': <'exit-code'>, 'ExitCode': <7>, 'Phase': <'ready'>, 'Leftovers': <uint32 1>, "
                     "'OutputTail': <'output\\nunfinished'>}",
                     "Signal RequestedBy StopStage");
        g_assert_cmpuint(report_number(trial->report, "DurationUSec"), >, 0);
        trial_assert_output(trial, "output\nunfinished");
        assert_ended_signal(trial);
}

static void start_owned(Trial *trial) {
        g_autoptr(GVariant) taken = NULL;

        trial_start(trial, "command", trial_shell(trial, "exec sleep 1000", NULL));
        trial->client = client_new(trial->h);
        taken = client_call(trial->client, trial->path, "TakeOwnership", g_variant_new_parsed("(@a{sv} {},)"));
}

static void owner_leaves(Trial *trial) {
        g_clear_pointer(&trial->client, client_free);
        trial_wait_ended(trial);
}

static void check_owner_lost(Trial *trial) {
        report_check(trial->report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'RequestedBy': <'owner'>, 'Phase': <'ready'>, 'Signal': <15>}",
                     "RequestedByUID");
        assert_ended_signal(trial);
}

static void start_talking(Trial *trial) {
        trial_add_gate(trial, "command");
        trial_start(trial, "command", trial_shell(trial, "echo 1; echo 2; read -r go <\"$GATE\"; echo 3; echo 4; exec sleep 1000", NULL));
}

static gboolean has_four_lines(gpointer userdata) {
        Trial *trial = userdata;
        g_autoptr(GPtrArray) lines = client_signalled_lines(trial->h->client, trial->path);
        guint seen = 0;

        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, line->number);

                /* Each may come twice, and is the same then. */
                g_assert_cmpmem(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes), text, strlen(text));
                seen |= 1U << line->number;
        }
        return seen == 0x1e;
}

static void subscribe(Trial *trial) {
        g_variant_unref(crash_ask(trial->crash, trial->path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3), NULL));
        trial_open_gate(trial, "command");
        crash_wait(trial->crash, has_four_lines, trial, "four lines come to a subscriber");
}

static void check_subscribed(Trial *trial) {
        trial_assert_output(trial, "1\n2\n3\n4\n");
        trial_assert_state(trial, "ready");
}

/* One in each state. The first is the last: a runtime that is being set up. */
static void start_several(Trial *trial) {
        start_peer(trial);
        trial_next(trial);
        start_command(trial);
        trial_next(trial);
        start_and_end(trial);
        trial_next(trial);
        start_counting(trial, ":", NULL);
        g_variant_unref(crash_ask(trial->crash, trial->path, "Stop", g_variant_new_parsed("(@a{sv} {},)"), NULL));
        trial_wait_log(trial, "ready\nterm\n");
        trial_next(trial);
        trial_add_gate(trial, "command");
        trial_start(trial, "peer", g_variant_new_parsed("@a{sv} {}"));
        trial_next(trial);
        trial_add_gate(trial, "step");
        trial_start(trial, "peer", g_variant_new_parsed("@a{sv} {}"));
        trial_assert_state(trial, "preparing");
}

static void come_back(Trial *trial) {
        crash_kill_and_arm(trial->crash, trial->when, trial->n);
        trial_open_gate(trial, "step");
        trial_wait_ready(trial);
}

static void assert_other(Trial *trial, guint index, const char *state, const char *log) {
        Trial other = {.h = trial->h, .crash = trial->crash, .path = trial->others->pdata[index]};

        other.id = g_strdup(path_to_id(other.path));
        trial_assert_state(&other, state);
        trial_wait_log(&other, log);
        g_free(other.id);
}

static void check_several(Trial *trial) {
        g_autoptr(GVariant) report = client_wait_ended(trial->h->client, trial->others->pdata[2]);

        trial_wait_log(trial, WHOLE_HANDSHAKE);
        assert_other(trial, 0, "ready", WHOLE_HANDSHAKE);
        assert_other(trial, 1, "ready", "run\n");
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'OutputTail': <'output\\n'>}", NULL);
        assert_other(trial, 3, "stopping", "ready\nterm\n");
        assert_other(trial, 4, "connecting", "step\n");
        /* Two peers, one that waits at its gate, one sleeps, one that can't be terminated and its new sleep. */
        trial_assert_processes(trial, 6);
}

#define SCENARIO(name, prepare, act, check, ...)                                                                                                               \
        static void test_##name(Harness *h) {                                                                                                                  \
                static const Scenario scenario = {prepare, act, check, __VA_ARGS__};                                                                           \
                                                                                                                                                               \
                trials_run(h, &scenario);                                                                                                                      \
        }

SCENARIO(start_command, NULL, start_command, check_command)
SCENARIO(start_peer, NULL, start_peer, check_peer)
SCENARIO(stop_by_message, start_peer, stop, check_stopped_by_message)
SCENARIO(stop_by_sigterm, start_obedient, stop, check_terminated)
SCENARIO(stop_by_sigkill, start_stubborn, stop, check_killed)
SCENARIO(restart, start_command, restart, check_restarted)
SCENARIO(forget, start_followed, forget, forget_again)
SCENARIO(end_by_itself, start_waiting, end_by_itself, check_ended_by_itself)
SCENARIO(owner_leaves, start_owned, owner_leaves, check_owner_lost)
SCENARIO(subscribe, start_talking, subscribe, check_subscribed)
SCENARIO(come_back, start_several, come_back, check_several, .by_turns = TRUE)

static const HarnessCase cases[] = {
        {"a-command-is-started-once", test_start_command},
        {"setup-step-and-handshake-happen-once", test_start_peer},
        {"a-stop-by-message-happens-once", test_stop_by_message},
        {"a-stop-by-sigterm-happens-once", test_stop_by_sigterm},
        {"a-stop-comes-to-sigkill", test_stop_by_sigkill},
        {"a-restart-leads-to-one-process", test_restart},
        {"what-is-forgotten-leaves-nothing", test_forget},
        {"an-end-is-reported-truthfully", test_end_by_itself},
        {"an-owner-that-leaves-ends-its-runtime", test_owner_leaves},
        {"a-subscriber-misses-nothing", test_subscribe},
        {"all-states-survive-a-crash-during-the-return", test_come_back},
};

int main(int argc, char *argv[]) {
        if (!g_getenv("RM_CRASH_AT")) {
                g_print("1..0 # SKIP $RM_CRASH_AT isn't set: run it by meson test\n");
                return EXIT_SUCCESS;
        }
        return harness_main(argc, argv, "crash-points", cases, G_N_ELEMENTS(cases));
}
