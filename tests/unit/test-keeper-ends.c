/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real keeper at the end: who is left of what it keeps, and when it goes itself. */

#include "keeper-fixture.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>

#include "util/names.h"

static void test_a_failed_step_is_collected(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, true, (const char *const[]){"/no/such/step", NULL});
        fixture_add_shell(f, false, "true");
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait(f, LINK_FAILED, 1);
        g_assert_cmpuint(f->seen[LINK_DONE], ==, 0);
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_collect_ends_what_runs(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, true, "trap '' TERM; setsid sleep 1000 & setsid sleep 1000 & wait");
        fixture_add_shell(f, false, "true");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, SIGKILL);
        g_assert_cmpuint(f->exited.settled, ==, 1);
        g_assert_cmpuint(fixture_count_payload(f), ==, 0);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Who notices the end of the main process and goes too was not left behind. */
static void test_helpers_that_follow(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, false, "exec 3> >(exec cat >/dev/null); exit 5");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, 5);
        g_assert_cmpuint(f->done.leftovers, ==, 0);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Daemons of the runtime's own making: counted, and gone. */
static void test_leftovers(void) {
        g_autoptr(Fixture) f = fixture_new();

        /* Each one says when it is there; the double fork is over by then. */
        fixture_add_shell(f, false, "for i in 1 2 3; do (setsid sh -c 'echo >&3; exec sleep 1000' 3>&1 >/dev/null &); done | head -n 3; exit 5");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, 5);
        g_assert_cmpuint(f->done.leftovers, ==, 3);
        g_assert_cmpuint(f->seen[LINK_EXITED], <=, 2);
        g_assert_cmpuint(fixture_count_payload(f), ==, 0);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_leftovers_that_ignore_sigterm(void) {
        g_autoptr(Fixture) f = fixture_new();
        gint64 start;

        f->header.leftover_usec = 200 * USEC_PER_MSEC;
        fixture_add_shell(f, false, "(trap '' TERM; sh -c 'echo ready >&3; exec sleep 1000' 3>&1 >/dev/null &) | head -n 1; exit 0");
        fixture_start(f);
        start = g_get_monotonic_time();
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(g_get_monotonic_time() - start, >=, 200000);
        g_assert_cmpuint(f->done.leftovers, ==, 1);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "ready");
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Who ends when all are told to is not left behind, in whatever order they are reaped. */
static void test_a_clean_stop_leaves_nothing_behind(void) {
        for (unsigned i = 0; i < 30; i++) {
                g_autoptr(Fixture) f = fixture_new();
                struct ring_record record;

                /* dash, since a bash that has just forked may lose a SIGTERM. Some are still forking when it comes. */
                fixture_add_shell(f, false, "for i in 1 2 3 4 5; do dash -c 'echo there; sleep 1000; :' & done; wait");
                fixture_start(f);
                fixture_execute(f, 0);
                for (unsigned j = 0; j < 5; j++)
                        (void) fixture_next_line(f, &record);
                g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, i % 2 ? SIGTERM : SIGKILL), ==, 0);
                fixture_wait(f, LINK_DONE, 1);
                g_assert_cmpuint(f->done.leftovers, ==, 0);
                fixture_collect(f);
                fixture_wait_end(f);
        }
}

static void test_a_stop_that_one_ignores(void) {
        g_autoptr(Fixture) f = fixture_new();
        struct ring_record record;

        f->header.leftover_usec = 100 * USEC_PER_MSEC;
        fixture_add_shell(f, false, "(trap '' TERM; sleep 1000 & echo there; exec sleep 1000) & wait");
        fixture_start(f);
        fixture_execute(f, 0);
        (void) fixture_next_line(f, &record);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGTERM), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.leftovers, ==, 2);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* A stopped process takes a SIGTERM only when it goes on. */
static void test_stopped_leftovers(void) {
        g_autoptr(Fixture) f = fixture_new();
        gint64 start;

        f->header.leftover_usec = 15 * USEC_PER_SEC;
        fixture_add_shell(f, false, "sleep 1000 & kill -STOP $!; exit 0");
        fixture_start(f);
        start = g_get_monotonic_time();
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.leftovers, ==, 1);
        g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_a_stopped_main_process_meets_sigterm(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, SIGSTOP), ==, 0);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, SIGTERM), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, SIGTERM);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Processes that hide in cgroups of their own below the payload. */
static void test_nested_cgroups(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, false,
                          "here=$(mount -t cgroup2 | head -n1 | cut -d' ' -f3)$(grep -o '^0::.*' /proc/self/cgroup | cut -c4-); mkdir -p $here/a/b;"
                          "(setsid sh -c \"echo \\$\\$ >$here/a/b/cgroup.procs; echo in >&3; exec sleep 1000\" 3>&1 >/dev/null &) | head -n 1; exit 0");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "in");
        g_assert_cmpuint(f->done.leftovers, ==, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Faster than anybody could list them: still killed, while the link stays alive. */
static void test_a_flood_of_forks(void) {
        g_autoptr(Fixture) f = fixture_new();
        struct ring_record record;

        fixture_add_shell(f, false, "trap '' TERM HUP; f() { while :; do (:) & (setsid bash -c ':' &); done; }; f & f & f & echo go; wait");
        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "go");
        for (unsigned i = 0; i < 20; i++)
                g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGCONT), ==, 0);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGKILL), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, SIGKILL);
        g_assert_cmpuint(fixture_count_payload(f), ==, 0);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_the_runtime_dies_with_the_keeper(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *socket = NULL;

        fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(kill(f->pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(f->pid, NULL, 0), ==, f->pid);
        f->pid = 0;
        fixture_wait_gone((GPid) f->executed.pid);
        socket = fixture_path(f, RM_KEEPER_SOCKET);
        g_assert_cmpint(g_unlink(socket), ==, 0);
}

static void test_what_ends_others_does_not_end_a_keeper(void) {
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTOU, SIGTTIN, SIGTSTP, SIGALRM};
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
        fixture_start(f);
        fixture_execute(f, 0);
        for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++)
                g_assert_cmpint(kill(f->pid, signals[i]), ==, 0);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, SIGTERM), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_closed_before_the_first_run(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, false, "true");
        fixture_start(f);
        fixture_disconnect(f); /* the cleanup sees it exit */
}

static void test_reconnect_after_its_end(void) {
        g_autoptr(Fixture) f = fixture_new();
        uint32_t pid;

        fixture_add_shell(f, false, "exit 9");
        fixture_start(f);
        fixture_execute(f, 0);
        pid = f->executed.pid;
        fixture_disconnect(f);

        for (unsigned i = 0; i < 3; i++) {
                fixture_reconnect(f);
                fixture_wait(f, LINK_DONE, 1);
                g_assert_cmpuint(f->seen[LINK_EXECUTED], ==, 1);
                g_assert_cmpuint(f->executed.pid, ==, pid);
                g_assert_cmpint(f->exited.status, ==, 9);
                g_assert_cmpuint(f->exited.settled, ==, 1);
        }
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_abandoned(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.abandon_usec = 100 * USEC_PER_MSEC;
        fixture_add_shell(f, false, "exit 0");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_disconnect(f); /* the cleanup sees it exit, without its sockets */
}

static void test_abandoned_between_steps(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.abandon_usec = 100 * USEC_PER_MSEC;
        fixture_add_shell(f, true, "exit 0");
        fixture_add_shell(f, false, "exit 0");
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait_settled(f);
        fixture_disconnect(f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;

        g_test_add_func("/keeper-ends/a-failed-step-is-collected", test_a_failed_step_is_collected);
        g_test_add_func("/keeper-ends/collect-ends-what-runs", test_collect_ends_what_runs);
        g_test_add_func("/keeper-ends/helpers-that-follow", test_helpers_that_follow);
        g_test_add_func("/keeper-ends/leftovers", test_leftovers);
        g_test_add_func("/keeper-ends/leftovers-that-ignore-sigterm", test_leftovers_that_ignore_sigterm);
        g_test_add_func("/keeper-ends/a-clean-stop-leaves-nothing-behind", test_a_clean_stop_leaves_nothing_behind);
        g_test_add_func("/keeper-ends/a-stop-that-one-ignores", test_a_stop_that_one_ignores);
        g_test_add_func("/keeper-ends/stopped-leftovers", test_stopped_leftovers);
        g_test_add_func("/keeper-ends/a-stopped-main-process-meets-sigterm", test_a_stopped_main_process_meets_sigterm);
        g_test_add_func("/keeper-ends/nested-cgroups", test_nested_cgroups);
        g_test_add_func("/keeper-ends/a-flood-of-forks", test_a_flood_of_forks);
        g_test_add_func("/keeper-ends/the-runtime-dies-with-the-keeper", test_the_runtime_dies_with_the_keeper);
        g_test_add_func("/keeper-ends/what-ends-others-does-not-end-a-keeper", test_what_ends_others_does_not_end_a_keeper);
        g_test_add_func("/keeper-ends/closed-before-the-first-run", test_closed_before_the_first_run);
        g_test_add_func("/keeper-ends/reconnect-after-its-end", test_reconnect_after_its_end);
        g_test_add_func("/keeper-ends/abandoned", test_abandoned);
        g_test_add_func("/keeper-ends/abandoned-between-steps", test_abandoned_between_steps);
        return g_test_run();
}
