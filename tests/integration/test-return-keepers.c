/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keepers that a daemon finds when it comes: of the previous version of the link, of an unknown one, and such as don't answer. A test double speaks for other
 * versions, in the sizes that these had. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "again.h"
#include "away.h"
#include "owner.h"
#include "util/names.h"

#define LOG "keeper-log"

/* versions: that of its first connection, and that of the others. FALSE: the test can't run here. */
static gboolean use_other_keeper(Harness *h, const char *versions) {
        g_autofree char *script = g_test_build_filename(G_TEST_DIST, "other-keeper.py", NULL), *python = g_find_program_in_path("python3");
        g_autofree char *from = g_build_filename(harness_build_directory(), "runtime-managerd", NULL), *to = g_build_filename(h->directory, "program", NULL);
        g_autofree char *folders = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, NULL), *log = home_file(h, LOG), *numbers = NULL, *text = NULL;
        g_autoptr(GFile) source = g_file_new_for_path(from), target = g_file_new_for_path(to);
        g_autoptr(GError) error = NULL;

        if (!python || !g_file_test(script, G_FILE_TEST_EXISTS)) {
                g_test_skip("there is no python3, or $G_TEST_SRCDIR isn't set");
                return FALSE;
        }
        g_assert_true(g_file_copy(source, target, G_FILE_COPY_NONE, NULL, NULL, NULL, &error));
        numbers = harness_add_file(h, "versions", versions, 0600);
        text = g_strdup_printf("#!/bin/sh\nexec '%s' -SE '%s' '%s' '%s' '%s'\n", python, script, folders, numbers, log);
        g_free(harness_add_file(h, "runtime-keeper", text, 0755));
        h->program = g_strdup(to);
        harness_add_kind(h, "old", "[Kind]\nExec=/bin/sleep 1000\n[Handshake]\nType=exec\n");
        return TRUE;
}

static char *read_log(Harness *h) {
        g_autofree char *log = home_file(h, LOG);
        char *text = NULL;

        g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
        return text;
}

static char *start_old(Harness *h) {
        char *path = client_start(h->client, "old", g_variant_new_parsed("{'TimeoutStopUSec': <uint64 3600000000>}"));

        client_wait_state(h->client, path, "ready");
        return path;
}

static void test_previous_version(Harness *h) {
        g_autofree char *path = NULL, *before = NULL, *after = NULL, *log = NULL;
        g_autoptr(GVariant) report = NULL;

        if (!use_other_keeper(h, "1"))
                return;
        harness_start_daemon(h, NULL);
        path = start_old(h);
        before = all_properties(h->client, path);
        go_away_and_come_back(h);
        after = all_properties(h->client, path);
        g_assert_cmpstr(after, ==, before);
        assert_ready(h, path);
        /* It wouldn't understand. */
        g_free(client_call_fails(h->client, path, "OpenOutput", g_variant_new("(tu)", (guint64) 0, 8), "NotSupported"));
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'Signal': <15>}", "ExitCode");
        log = read_log(h);
        g_test_message("%s", log);
        g_assert_nonnull(strstr(log, "connected\n"));
        g_assert_nonnull(strstr(log, "signal 16\n"));
        g_assert_null(strstr(log, "wrong"));
}

/* The whole of the end is left to the next daemon. */
static void test_previous_version_ended(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        if (!use_other_keeper(h, "1"))
                return;
        harness_start_daemon(h, NULL);
        path = start_old(h);
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        g_assert_cmpint(kill(pid, SIGUSR1), ==, 0);
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'signal'>, 'Signal': <10>}", "ExitCode CPUUsageNSec");
}

static void test_previous_version_without_record(Harness *h) {
        g_autofree char *path = NULL, *file = NULL;
        g_autoptr(GVariant) report = NULL;

        if (!use_other_keeper(h, "1"))
                return;
        harness_start_daemon(h, NULL);
        path = start_old(h);
        file = record_path(h, path, "record.json");
        harness_kill_daemon(h);
        g_assert_cmpint(remove(file), ==, 0);
        come_back(h);
        /* What it is, its keeper tells. */
        client_wait_state(h->client, path, "ready");
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'Signal': <15>}", NULL);
}

static void test_unknown_version(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        if (!use_other_keeper(h, "1 99"))
                return;
        harness_start_daemon(h, NULL);
        path = start_old(h);
        pid = main_pid_of(h->client, path);
        go_away_and_come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'lost'>, 'Reason': <'keeper-lost'>, 'Phase': <'ready'>, "
                     "'Message': <'The keeper of the runtime is of another version, which this service doesn\\'t understand.'>}",
                     "ExitCode Signal");
        wait_process_gone(h, pid);
        wait_logged(h, path_to_id(path), "speaks a version of the link that this service doesn't know");
}

/* Its cgroup may be frozen, or the machine is busy. The others aren't kept waiting. */
static void test_silent_keeper(Harness *h) {
        g_autofree char *path = NULL, *other = NULL;
        g_autoptr(GVariant) report = NULL;
        gint64 began;
        pid_t keeper;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo before; read line; echo after; exec sleep 1000", "{'Input': <'pipe'>}"));
        other = client_start_shell(h->client, "echo other; exec sleep 1000");
        client_wait_text(h->client, path, "before\n");
        client_wait_text(h->client, other, "other\n");
        keeper = keeper_pid_of(h->client, path);
        harness_kill_daemon(h);
        g_assert_cmpint(kill(keeper, SIGSTOP), ==, 0);
        began = g_get_monotonic_time();
        come_back(h);
        /* 2 s, and what a busy machine adds. */
        g_assert_cmpint(g_get_monotonic_time() - began, <, 10 * G_USEC_PER_SEC);
        assert_ready(h, path);
        assert_text(h, other, "other\n");
        stop_undisturbed(h, other);
        g_assert_cmpint(kill(keeper, SIGCONT), ==, 0);
        client_wait_text(h->client, path, "before\n");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new_parsed("(b'x\\n',)")));
        client_wait_text(h->client, path, "before\nafter\n");
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'Signal': <15>, 'LastLine': <uint64 2>}", "ExitCode");
}

/* Stopped by a client while it doesn't answer: that ends all the same. */
static void test_silent_keeper_stopped(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t keeper, pid;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'TimeoutStopUSec': <uint64 300000>}"));
        pid = main_pid_of(h->client, path);
        keeper = keeper_pid_of(h->client, path);
        harness_kill_daemon(h);
        g_assert_cmpint(kill(keeper, SIGSTOP), ==, 0);
        come_back(h);
        client_stop(h->client, path);
        go_away_and_come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>}", "ExitCode");
        wait_process_gone(h, pid);
        wait_process_gone(h, keeper);
}

/* It ended while its keeper was stopped and nobody was there. */
static void test_silent_keeper_ended(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t keeper, pid;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo line; exec sleep 1000");
        client_wait_text(h->client, path, "line\n");
        pid = main_pid_of(h->client, path);
        keeper = keeper_pid_of(h->client, path);
        harness_kill_daemon(h);
        g_assert_cmpint(kill(keeper, SIGSTOP), ==, 0);
        g_assert_cmpint(kill(pid, SIGUSR1), ==, 0);
        come_back(h);
        g_assert_cmpint(kill(keeper, SIGCONT), ==, 0);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'signal'>, 'Signal': <10>, 'OutputTail': <'line\\n'>}", "ExitCode");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-keeper-of-the-previous-version-is-taken-over", test_previous_version},
                {"a-keeper-of-the-previous-version-reports-its-end", test_previous_version_ended},
                {"a-keeper-of-the-previous-version-is-found-without-a-record", test_previous_version_without_record},
                {"a-keeper-of-an-unknown-version-ends-clearly", test_unknown_version},
                {"a-keeper-that-does-not-answer-is-met-later", test_silent_keeper},
                {"a-runtime-whose-keeper-does-not-answer-can-be-stopped", test_silent_keeper_stopped},
                {"a-runtime-whose-keeper-does-not-answer-ends", test_silent_keeper_ended},
        };

        return harness_main(argc, argv, "return-keepers", cases, G_N_ELEMENTS(cases));
}
