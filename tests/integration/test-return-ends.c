/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ends and output while nobody is there: a runtime that ended when the daemon was away is reported as if it had been watched, one that had ended before stays
 * as it was, and no line is missing. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "again.h"
#include "away.h"
#include "paced.h"
#include "util/names.h"

/* Long enough to be told from the time that starts and stops take. */
#define A_WHILE_USEC (1 * G_USEC_PER_SEC)

static void test_ended_away(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL, end = NULL;
        gint64 gone, gone_realtime, started;
        pid_t pid;

        harness_start_daemon(h, NULL);
        started = g_get_monotonic_time();
        path = client_start(
                h->client, "command",
                options_shell("echo before; " WAIT_FOR("go") "setsid sleep 1000 >/dev/null 2>&1 & echo after; echo error >&2; printf unfinished; exit 7",
                              NULL));
        client_wait_text(h->client, path, "before\n");
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        go(h, "go");
        wait_process_gone(h, pid);
        gone = g_get_monotonic_time();
        gone_realtime = g_get_real_time();
        wait_until_usec(h, gone + A_WHILE_USEC);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'Reason': <'exited'>, 'ExitCode': <7>, 'Leftovers': <uint32 1>, 'Phase': <'ready'>}",
                     "Signal RequestedBy StopStage");
        /* A leftover that goes for SIGTERM takes no time. */
        g_assert_cmpuint(report_number(report, "DurationUSec"), <=, (guint64) (gone - started) + A_WHILE_USEC / 2);
        g_assert_cmpuint(report_number(report, "CPUUsageNSec"), >, 0);
        g_assert_nonnull(strstr(report_string(report, "OutputTail"), "before\n"));
        g_assert_nonnull(strstr(report_string(report, "OutputTail"), "unfinished"));
        end = client_get(h->client, path, "EndTimestamp");
        g_assert_cmpuint(g_variant_get_uint64(end), <=, (guint64) gone_realtime + A_WHILE_USEC / 2);
        /* The order of the two streams is the keeper's. */
        text = client_read_text(h->client, path);
        g_assert_cmpuint(strlen(text), ==, strlen("before\nafter\nerror\nunfinished"));
        client_wait_signal(h->client, path, "Ended");
}

static void test_killed_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <9>}", "ExitCode RequestedBy OOMKills");
}

static void test_exited_before_ready_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        harness_add_kind(h, "line", LINE_KIND("echo first; " WAIT_FOR("go") "exit 4", "hello", "1h"));
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "line", g_variant_new_parsed("@a{sv} {}"));
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        go(h, "go");
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'handshake-failed'>, 'Reason': <'exited-before-ready'>, 'ExitCode': <4>, 'Phase': <'connecting'>}", "Signal");
}

/* Stopped by systemd, while the daemon is away. */
static void test_unit_stopped_away(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        unit = client_get_string(h->client, path, "Unit");
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        harness_call_systemd("StopUnit", g_variant_new("(ss)", unit, "replace"));
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Signal': <15>}", "ExitCode");
}

/* Everything of it is killed: what can't be known isn't told. */
static void test_lost_away(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo line; sleep 1000 & setsid sleep 1000 & wait");
        client_wait_text(h->client, path, "line\n");
        unit = client_get_string(h->client, path, "Unit");
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        harness_call_systemd("KillUnit", g_variant_new("(ssi)", unit, "all", SIGKILL));
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'lost'>, 'Reason': <'keeper-lost'>, 'Phase': <'ready'>}",
                     "ExitCode Signal Leftovers CPUUsageNSec MemoryPeak OOMKills");
        assert_text(h, path, "");
}

/* Only the keeper: the main process dies with it, and what that forked is stopped with the unit. */
static void test_keeper_killed_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid, keeper;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo line; setsid sleep 1000 & wait");
        client_wait_text(h->client, path, "line\n");
        pid = main_pid_of(h->client, path);
        keeper = keeper_pid_of(h->client, path);
        harness_kill_daemon(h);
        g_assert_cmpint(kill(keeper, SIGKILL), ==, 0);
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'lost'>, 'Reason': <'keeper-lost'>}", "ExitCode Signal");
}

typedef struct Told {
        Client *client;
        const char *path;
        guint n;
} Told;

static gboolean was_told(gpointer userdata) {
        const Told *told = userdata;

        return client_find_signal(told->client, told->path, "Ended", told->n - 1) != NULL;
}

static gboolean is_recorded(gpointer userdata) {
        const char *path = userdata;
        g_autofree char *text = NULL;

        return g_file_get_contents(path, &text, NULL, NULL) && strstr(text, "\"ended\"");
}

/* Handed to sd-bus is not told: what the bus was too busy to take is gone with the daemon. */
static void test_ended_in_the_queue(Harness *h) {
        g_autofree char *library = g_build_filename(harness_build_directory(), "..", "tests", "lib", "libhold-bus.so", NULL);
        g_autofree char *preload = g_strdup_printf("LD_PRELOAD=%s", library), *hold = g_strdup_printf("HOLD_BUS=%s/hold", h->directory);
        g_autofree char *asan = g_strdup_printf("ASAN_OPTIONS=%s:verify_asan_link_order=0", g_getenv("ASAN_OPTIONS") ?: "");
        const char *variables[] = {preload, hold, asan, NULL};
        g_autofree char *path = NULL, *record = NULL;
        g_autoptr(GVariant) report = NULL;
        Told told;

        g_assert_true(g_file_test(library, G_FILE_TEST_EXISTS));
        harness_start_daemon(h, variables);
        path = client_start(h->client, "command", options_shell("echo up; " WAIT_FOR("go") "exit 7", NULL));
        client_wait_text(h->client, path, "up\n");
        record = record_path(h, path, "record.json");
        g_free(harness_add_file(h, "hold", "", 0600));
        go(h, "go");
        harness_wait(h, is_recorded, record, "the end is recorded");
        harness_kill_daemon(h);
        told = (Told){h->client, path, 1};
        g_assert_false(was_told(&told));
        come_back(h);
        harness_wait(h, was_told, &told, "Ended is told by the next daemon");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <7>}", "Signal RequestedBy StopStage");
}

static void test_ended_before(Harness *h) {
        g_autofree char *path = NULL, *before = NULL, *state = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo one; echo two; exit 5");
        g_variant_unref(client_wait_ended(h->client, path));
        before = all_properties(h->client, path);
        for (int i = 0; i < 3; i++) {
                g_autofree char *after = NULL;
                g_autoptr(GVariant) report = NULL;

                go_away_and_come_back(h);
                after = all_properties(h->client, path);
                g_assert_cmpstr(after, ==, before);
                assert_text(h, path, "one\ntwo\n");
                report = client_wait_ended(h->client, path);
                report_check(report, "{'ExitCode': <5>, 'LastLine': <uint64 2>}", NULL);
        }
        restart(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        assert_text(h, path, "one\ntwo\none\ntwo\n");
        g_variant_unref(client_call(h->client, path, "Forget", NULL));
        go_away_and_come_back(h);
        state = client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(path)), "NoSuchRuntime");
}

static void test_retention(Harness *h) {
        g_autofree char *path = NULL, *witness = NULL, *message = NULL;
        g_autoptr(GVariant) ended = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exit 0", "{'RetainUSec': <uint64 3000000>}"));
        witness = client_start(h->client, "command", options_shell("exit 0", "{'RetainUSec': <uint64 2000000>}"));
        g_variant_unref(client_wait_ended(h->client, path));
        /* Not when we hear of it: that may be later. */
        ended = client_get(h->client, path, "EndTimestamp");
        g_variant_unref(client_wait_ended(h->client, witness));
        harness_kill_daemon(h);
        wait_until_usec(h, g_get_monotonic_time() + 2000000);
        come_back(h);
        client_wait_nth_signal(h->client, RM_OBJECT_PATH, "RuntimeRemoved", 1);
        /* It didn't begin anew: then it would take 3 s from the return on. */
        g_assert_cmpint(g_get_real_time() - (gint64) g_variant_get_uint64(ended), >=, 3000000);
        message = client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(path)), "NoSuchRuntime");
}

/* Ten times what a pipe holds, of which nobody but the keeper reads anything. 32 lines are a write of seq, which ends in none. */
static void test_output_away(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        guint32 expected = 1;

        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "command",
                options_shell("echo 1; " WAIT_FOR("go") "seq -f %0127.0f 2 6000; " TELL("done") "exec sleep 1000", "{'RingBytes': <uint64 4194304>}"));
        client_wait_text(h->client, path, "1\n");
        harness_kill_daemon(h);
        go(h, "go");
        wait_for_file(h, "done");
        come_back(h);
        wait_printed(h, path, 6000);
        lines = client_read_lines(h->client, path, 0);
        g_assert_cmpuint(lines->len, ==, 6000);
        for (guint i = 0; i < lines->len; i++, expected++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = g_strndup(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes));

                g_assert_cmpuint(line->number, ==, expected);
                g_assert_cmpuint(line->flags, ==, 0);
                g_assert_cmpuint(g_ascii_strtoull(text, NULL, 10), ==, expected);
        }
}

/* Printed all the time, whether the daemon is there or not, and killed as often as it comes: no line is lost, repeated or split. */
static void test_output_all_the_time(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "command",
                options_shell("i=0; while [ ! -e $HOME/end ]; do i=$((i+1)); echo $i; done; echo end; exec sleep 1000", "{'RingBytes': <uint64 67108864>}"));
        for (int i = 0; i < 10; i++) {
                wait_printed(h, path, get_last(h->client, path) + 100);
                go_away_and_come_back(h);
        }
        go(h, "end");
        client_wait_state(h->client, path, "ready");
        wait_printed(h, path, get_last(h->client, path));
        lines = client_read_lines(h->client, path, 0);
        g_assert_cmpuint(lines->len, >, 1000);
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = g_strndup(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes));

                g_assert_cmpuint(line->number, ==, i + 1);
                if (i + 1 < lines->len || strcmp(text, "end") != 0)
                        g_assert_cmpuint(g_ascii_strtoull(text, NULL, 10), ==, i + 1);
        }
}

static void test_generations(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo up; exec sleep 1000");
        client_wait_text(h->client, path, "up\n");
        restart(h->client, path);
        client_wait_text(h->client, path, "up\nup\n");
        go_away_and_come_back(h);
        assert_state(h, path, "ready", 2);
        restart(h->client, path);
        client_wait_text(h->client, path, "up\nup\nup\n");
        assert_state(h, path, "ready", 3);
        g_assert_cmpuint(get_last(h->client, path), ==, 3);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-runtime-that-ended-meanwhile-is-fully-reported", test_ended_away},
                {"a-runtime-that-was-killed-meanwhile-was-killed", test_killed_away},
                {"a-runtime-that-ended-before-it-was-ready", test_exited_before_ready_away},
                {"a-unit-that-was-stopped-meanwhile", test_unit_stopped_away},
                {"a-scope-that-was-killed-meanwhile-is-lost", test_lost_away},
                {"a-keeper-that-was-killed-meanwhile-takes-all-with-it", test_keeper_killed_away},
                {"an-end-that-the-bus-was-too-busy-to-take", test_ended_in_the_queue},
                {"an-ended-runtime-stays-as-it-is", test_ended_before},
                {"the-time-of-ended-runtimes-goes-on", test_retention},
                {"output-is-read-while-nobody-is-there", test_output_away},
                {"output-is-the-same-however-often-the-daemon-is-killed", test_output_all_the_time},
                {"generations-and-lines-are-counted-on", test_generations},
        };

        return harness_main(argc, argv, "return-ends", cases, G_N_ELEMENTS(cases));
}
