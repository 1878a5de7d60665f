/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts that systemd spoils: the client hears why, in time, and nothing of them is left. No cgroup is needed: none of these gets so far. */

#include <unistd.h>

#include "daemon.h"
#include "loop.h"
#include "private-bus.h"
#include "util/macro.h"

#define UNIT "runtime-command-a.scope"
/* Sooner than anything else that could end a start: five seconds of the stages, 25 of a D-Bus call. */
#define SOON "{'TimeoutStartUSec': <uint64 300000>}"

static void test_refused(void) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL, again = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_REFUSED);
        call = daemon_start(daemon, "a", "exit 7", NULL);
        call_assert_error(call, "StartFailed", "Told to refuse it.");
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "StartTransientUnit"), ==, 1);

        /* The id is free for another try. */
        fake_systemd_expect(daemon->fake, FAKE_START_REFUSED);
        again = daemon_start(daemon, "a", "exit 8", NULL);
        call_assert_error(again, "StartFailed", "Told to refuse it.");
}

static void test_job_ends_otherwise(gconstpointer data) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL;
        FakeStart how = GPOINTER_TO_INT(data);

        fake_systemd_expect(daemon->fake, how);
        call = daemon_start(daemon, "a", "exit 7", NULL);
        call_assert_error(call, "StartFailed", how == FAKE_START_JOB_FAILED ? "\"failed\"" : "\"canceled\"");
}

static void test_not_moved(void) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_ELSEWHERE);
        call = daemon_start(daemon, "a", "exit 7", NULL);
        call_assert_error(call, "StartFailed", "isn't in it");
        AWAIT(fake_systemd_count_calls(daemon->fake, "StopUnit " UNIT) == 1);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

static void test_unanswered(void) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL;
        gint64 begin = g_get_monotonic_time();

        fake_systemd_expect(daemon->fake, FAKE_START_UNANSWERED);
        call = daemon_start(daemon, "a", "exit 7", SOON);
        call_assert_error(call, "Timeout", "in time");
        g_assert_cmpint(g_get_monotonic_time() - begin, >=, 300 * 1000);
        /* The stages of a stop, 5 s and more, have not been waited for. */
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 4 * G_TIME_SPAN_SECOND);

        /* When systemd comes round to it, the unit is undone. */
        fake_systemd_go_on(daemon->fake);
        AWAIT(fake_systemd_count_calls(daemon->fake, "StopUnit " UNIT) == 1);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

static void test_job_does_not_end(void) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_JOB_UNENDING);
        call = daemon_start(daemon, "a", "exit 7", SOON);
        call_assert_error(call, "Timeout", "in time");
        AWAIT(fake_systemd_count_calls(daemon->fake, "StopUnit " UNIT) == 1);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

/* The one who starts hears that it was cancelled; the one who stops, that it is done. */
static void test_cancelled(gconstpointer data) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL, stop = NULL;
        FakeStart how = GPOINTER_TO_INT(data);

        fake_systemd_expect(daemon->fake, how);
        call = daemon_start(daemon, "a", "exit 7", NULL);
        AWAIT(fake_systemd_count_calls(daemon->fake, "StartTransientUnit " UNIT) == 1);
        stop = daemon_call(daemon, "StopRuntime", g_variant_new("(sa{sv})", "a", NULL));
        call_assert_good(stop);
        if (how == FAKE_START_UNANSWERED)
                fake_systemd_go_on(daemon->fake);
        else
                fake_systemd_end_job(daemon->fake, UNIT);
        call_assert_error(call, "Cancelled", "stopped");
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

/* A systemd that hangs can't hold up a stop for ever. */
static void test_cancelled_without_systemd(void) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autoptr(Call) call = NULL, stop = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_UNANSWERED);
        call = daemon_start(daemon, "a", "exit 7", "{'TimeoutStopUSec': <uint64 100000>}");
        AWAIT(fake_systemd_count_calls(daemon->fake, "StartTransientUnit " UNIT) == 1);
        stop = daemon_call(daemon, "StopRuntime", g_variant_new("(sa{sv})", "a", NULL));
        call_assert_good(stop);
        call_assert_error(call, "Cancelled", "stopped");
        fake_systemd_go_on(daemon->fake);
        AWAIT(fake_systemd_count_calls(daemon->fake, "StopUnit " UNIT) > 0);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

/* The session bus has one user, who may say its name. */
static void test_another_user(void) {
        g_autoptr(Daemon) daemon = daemon_new(NULL);
        g_autofree char *self = g_strdup_printf("{'User': <'%u'>}", (unsigned) getuid());
        g_autoptr(Call) other = daemon_start(daemon, "a", "exit 7", "{'User': <'somebody'>}"), same = NULL;

        call_assert_error(other, "NotSupported", "option User");
        fake_systemd_expect(daemon->fake, FAKE_START_REFUSED);
        same = daemon_start(daemon, "a", "exit 7", self);
        call_assert_error(same, "StartFailed", "Told to refuse it.");
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/start-failures/refused", test_refused);
        g_test_add_data_func("/start-failures/job-fails", GINT_TO_POINTER(FAKE_START_JOB_FAILED), test_job_ends_otherwise);
        g_test_add_data_func("/start-failures/job-is-canceled", GINT_TO_POINTER(FAKE_START_JOB_CANCELED), test_job_ends_otherwise);
        g_test_add_func("/start-failures/process-is-not-in-the-scope", test_not_moved);
        g_test_add_func("/start-failures/systemd-does-not-answer", test_unanswered);
        g_test_add_func("/start-failures/job-does-not-end", test_job_does_not_end);
        g_test_add_data_func("/start-failures/cancelled-before-the-answer", GINT_TO_POINTER(FAKE_START_UNANSWERED), test_cancelled);
        g_test_add_data_func("/start-failures/cancelled-before-the-job-is-done", GINT_TO_POINTER(FAKE_START_JOB_UNENDING), test_cancelled);
        g_test_add_func("/start-failures/cancelled-without-systemd", test_cancelled_without_systemd);
        g_test_add_func("/start-failures/another-user-on-the-session-bus", test_another_user);
        r = g_test_run();
        private_bus_stop();
        return r;
}
