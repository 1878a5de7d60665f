/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Nothing of a runtime outlives it: whatever it forked, wherever that went. The harness looks for processes by a mark in their environment, so that one
 * that had escaped from its cgroup would be found too. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

/* Five processes that ignore SIGTERM: a child, one in a session of its own, one whose parent has gone, and two that are both of it. */
#define FIVE_STUBBORN                                                                                                                                          \
        "trap '' TERM\n"                                                                                                                                       \
        "sleep 1000 &\n"                                                                                                                                       \
        "setsid sleep 1000 &\n"                                                                                                                                \
        "(sleep 1000 &)\n"                                                                                                                                     \
        "(setsid sh -c 'sleep 1000 & exec sleep 1000' &)\n"

typedef struct Crowd {
        Harness *h;
        guint n;
} Crowd;

static gboolean are_so_many(gpointer userdata) {
        Crowd *crowd = userdata;
        g_autoptr(GArray) pids = harness_find_processes(crowd->h);

        return pids->len >= crowd->n;
}

static void wait_for_processes(Harness *h, guint n) {
        Crowd crowd = {h, n};
        g_autofree char *what = g_strdup_printf("there are %u processes", n);

        harness_wait(h, are_so_many, &crowd, what);
}

static void assert_nothing_runs(Harness *h) {
        g_autoptr(GArray) pids = harness_find_processes(h);

        g_assert_cmpuint(pids->len, ==, 0);
}

/* When it has ended, nothing runs: not a moment later, when somebody looks. */
static GVariant *wait_ended(Harness *h, const char *path) {
        GVariant *report = client_wait_ended(h->client, path);

        assert_nothing_runs(h);
        return report;
}

static void test_stop(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell(FIVE_STUBBORN "trap 'exit 0' TERM\necho ready\nwhile :; do wait; done", "{'TimeoutStopUSec': <uint64 300000>}"));
        client_wait_text(h->client, path, "ready\n");
        wait_for_processes(h, 6);
        client_stop(h->client, path);
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'stopped'>, 'ExitCode': <0>, 'Leftovers': <uint32 5>}", "Signal");
}

static void test_exit(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(FIVE_STUBBORN "read line; exit 6", "{'TimeoutStopUSec': <uint64 300000>, 'Input': <'pipe'>}"));
        wait_for_processes(h, 6);
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <6>, 'Leftovers': <uint32 5>}", "Signal RequestedBy StopStage");
}

/* SIGTERM is enough for those: they needn't be waited for. */
static void test_willing(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("sleep 1000 & setsid sleep 1000 & (setsid sleep 1000 &); read line; exit 0",
                                          "{'Input': <'pipe'>, 'TimeoutStopUSec': <uint64 3600000000>}"));
        wait_for_processes(h, 4);
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'success'>, 'Leftovers': <uint32 3>}", "StopStage");
}

/* 2^7-1 processes at most, since TasksMax holds only where the machine has the pids controller; some of them fork all the time, and none goes for SIGTERM. */
static void test_fork_bomb(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("trap '' TERM\n"
                                          "bomb() {\n"
                                          "        [ $1 -gt 0 ] || while :; do /bin/sleep 0.05; done\n"
                                          "        bomb $(($1 - 1)) &\n"
                                          "        bomb $(($1 - 1)) &\n"
                                          "        wait\n"
                                          "}\n"
                                          "bomb 6\n",
                                          "{'TasksMax': <uint64 64>, 'TimeoutStopUSec': <uint64 200000>}"));
        wait_for_processes(h, 40);
        client_stop(h->client, path);
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'kill'>, 'Signal': <9>}", "ExitCode");
}

/* The main process goes in the middle of it: the others are leftovers that fork. */
static void test_fork_bomb_left(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("trap '' TERM\n"
                                          "for i in 1 2 3 4 5 6 7 8; do (while :; do /bin/sleep 0.01; done) & done\n"
                                          "read line; exit 0\n",
                                          "{'TasksMax': <uint64 64>, 'TimeoutStopUSec': <uint64 200000>, 'Input': <'pipe'>}"));
        wait_for_processes(h, 9);
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'success'>}", "Signal");
        g_assert_cmpuint(report_number(report, "Leftovers"), >=, 8);
}

static char process_state(guint pid) {
        g_autofree char *file = g_strdup_printf("/proc/%u/stat", pid), *text = NULL;

        return g_file_get_contents(file, &text, NULL, NULL) ? strrchr(text, ')')[2] : '?';
}

static gboolean all_are_stopped(gpointer userdata) {
        g_autoptr(GArray) pids = harness_find_processes(userdata);

        for (guint i = 0; i < pids->len; i++)
                if (process_state(g_array_index(pids, guint, i)) != 'T')
                        return FALSE;
        return pids->len == 3;
}

/* A stopped process takes SIGTERM only when it goes on. */
static void test_stopped(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "sleep 1000 & setsid sleep 1000 & wait");
        wait_for_processes(h, 3);
        g_variant_unref(client_call(h->client, path, "Kill", g_variant_new("(si)", "all", SIGSTOP)));
        harness_wait(h, all_are_stopped, h, "all processes are stopped");
        client_stop(h->client, path);
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'Signal': <15>}", "ExitCode");
}

static void test_stopped_by_itself(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("trap '' TERM; sh -c 'kill -STOP $$' & kill -STOP $$", "{'TimeoutStopUSec': <uint64 200000>}"));
        wait_for_processes(h, 1);
        client_stop(h->client, path);
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>}", NULL);
}

/* Freezes the runtime's scope, or (child) a cgroup in it, as its user may. */
static void freeze(Harness *h, const char *path, const char *child) {
        g_autofree char *group = client_get_string(h->client, path, "ControlGroup");
        g_autofree char *file = g_build_filename("/sys/fs/cgroup", group, child ?: ".", "cgroup.freeze", NULL);
        FILE *stream = fopen(file, "we");

        g_assert_nonnull(stream);
        g_assert_cmpint(fputs("1", stream), >=, 0);
        g_assert_cmpint(fclose(stream), ==, 0);
}

/* What takes SIGTERM for its end would end; who handles or ignores it waits for the thaw, and SIGKILL doesn't. */
static void test_frozen(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("trap '' TERM; sleep 1000 & setsid sleep 1000 & wait", "{'TimeoutStopUSec': <uint64 200000>}"));
        wait_for_processes(h, 3);
        freeze(h, path, "payload");
        client_stop(h->client, path);
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'kill'>, 'Signal': <9>}", "ExitCode");
}

/* The keeper too (systemctl freeze): then the unit is killed, and what only the keeper knew isn't known. */
static void test_frozen_with_its_keeper(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("trap '' TERM; sleep 1000 & setsid sleep 1000 & wait", "{'TimeoutStopUSec': <uint64 200000>}"));
        wait_for_processes(h, 3);
        freeze(h, path, NULL);
        client_stop(h->client, path);
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'StopStage': <'kill'>}", "ExitCode Leftovers");
}

/* A main process that never reaps, and orphans by the dozen: neither keeps it from ending, nor stays. */
static void test_zombies(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("for i in $(seq 50); do (sleep 0.01 &) ; done\n"
                                          "exec python3 -c 'import os, sys\n"
                                          "for i in range(50):\n"
                                          "    if os.fork() == 0: os._exit(0)\n"
                                          "print(\"made\", flush=True)\n"
                                          "sys.stdin.read()'",
                                          "{'Input': <'pipe'>}"));
        client_wait_text(h->client, path, "made\n");
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'success'>, 'ExitCode': <0>, 'Leftovers': <uint32 0>}", "StopStage");
}

/* The end comes though somebody else keeps the runtime's output open: here, the test. */
static void test_output_held_open(Harness *h) {
        g_autofree char *path = NULL, *file = NULL;
        g_autoptr(GVariant) report = NULL;
        FILE *held;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo a; read line; echo b", "{'Input': <'pipe'>}"));
        file = g_strdup_printf("/proc/%u/fd/1", client_get_number(h->client, path, "MainPID"));
        held = fopen(file, "we");
        g_assert_nonnull(held);
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = wait_ended(h, path);
        report_check(report, "{'Result': <'success'>, 'LastLine': <uint64 2>}", NULL);
        fclose(held);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"those-who-fork-double-fork-and-setsid-are-gone-after-a-stop", test_stop},
                {"leftovers-are-stopped-when-the-main-process-exits", test_exit},
                {"leftovers-that-take-sigterm-are-not-waited-for", test_willing},
                {"a-fork-bomb-is-gone-after-a-stop", test_fork_bomb},
                {"leftovers-that-fork-are-gone-at-the-end", test_fork_bomb_left},
                {"stopped-processes-are-gone-after-a-stop", test_stopped},
                {"processes-that-stopped-themselves-are-gone-after-a-stop", test_stopped_by_itself},
                {"a-frozen-runtime-is-gone-after-a-stop", test_frozen},
                {"a-runtime-frozen-with-its-keeper-is-gone-after-a-stop", test_frozen_with_its_keeper},
                {"zombies-keep-nothing-from-ending", test_zombies},
                {"an-output-held-open-does-not-keep-it", test_output_held_open},
        };

        return harness_main(argc, argv, "orphans", cases, G_N_ELEMENTS(cases));
}
