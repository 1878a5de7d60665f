/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Real runtimes in cgroups of the test's own, under a systemd that says what isn't so: process and cgroup decide, not its word. */

#include "daemon.h"
#include "loop.h"
#include "private-bus.h"
#include "util/macro.h"

#define UNIT "runtime-command-a.scope"
#define UNIT2 "runtime-command-a.2.scope"
#define UNIT3 "runtime-command-a.3.scope"
/* Ends when its input does. */
#define WAITING "read line; exit 7"
#define INPUT "{'Input': <'pipe'>}"

static char *cgroups;

static void finish(Daemon *daemon) {
        g_autofree char *path = g_strdup("/org/example/RuntimeManager/runtime/a");

        g_dbus_connection_call(daemon->bus, "org.example.RuntimeManager", path, "org.example.RuntimeManager.Runtime", "CloseInput", NULL, NULL, 0, -1, NULL,
                               NULL, NULL);
}

static void assert_started(Daemon *daemon, const char *script, const char *more) {
        g_autoptr(Call) call = daemon_start(daemon, "a", script, more);

        call_assert_good(call);
}

static void assert_ended(Daemon *daemon, const char *expected) {
        g_autoptr(GVariant) report = daemon_wait_ended(daemon, "a");

        report_assert(report, expected);
}

static void test_as_usual(gconstpointer data) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autofree char *unit = NULL;

        fake_systemd_expect(daemon->fake, GPOINTER_TO_INT(data));
        assert_started(daemon, WAITING, INPUT);
        unit = daemon_get_string(daemon, "a", "Unit");
        g_assert_cmpstr(unit, ==, UNIT);
        finish(daemon);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'Leftovers': <uint32 0>}");
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "StopUnit"), ==, 0);
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "KillUnit"), ==, 0);
}

static void test_no_oom_policy(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);

        fake_systemd_set_no_oom_policy(daemon->fake);
        assert_started(daemon, "exit 7", NULL);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>}");
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "StartTransientUnit " UNIT), ==, 2);
}

/* systemd's issue 36781. The name of the lost unit can't be used again while its cgroup is there. */
static void test_dead_though_its_process_runs(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autofree char *unit = NULL, *cgroup = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_DEAD);
        assert_started(daemon, WAITING, INPUT);
        unit = daemon_get_string(daemon, "a", "Unit");
        cgroup = daemon_get_string(daemon, "a", "ControlGroup");
        g_assert_cmpstr(unit, ==, UNIT2);
        g_assert_true(g_str_has_suffix(cgroup, "/" UNIT2));
        finish(daemon);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'Leftovers': <uint32 0>}");
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT2));
}

static void test_dead_each_time(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autoptr(Call) call = NULL;

        for (unsigned i = 0; i < 4; i++)
                fake_systemd_expect(daemon->fake, FAKE_START_DEAD);
        call = daemon_start(daemon, "a", WAITING, INPUT);
        call_assert_error(call, "StartFailed", "lost the scope");
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "StartTransientUnit"), ==, 3);
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "StartTransientUnit " UNIT3), ==, 1);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT3));
}

/* The keeper dies before its scope is made: systemd keeps such a scope, empty, for ever. */
static void test_empty_from_the_start(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autoptr(Call) call = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_KILLED);
        call = daemon_start(daemon, "a", WAITING, INPUT);
        call_assert_error(call, "StartFailed", "keeper");
        /* As soon as it is found dead, and when its end is seen, if that comes later. */
        AWAIT(fake_systemd_count_calls(daemon->fake, "StopUnit " UNIT) >= 1);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

static void test_active_though_it_is_empty(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);

        fake_systemd_expect(daemon->fake, FAKE_START_STAYS);
        assert_started(daemon, "exit 7", NULL);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>}");
        g_assert_cmpuint(fake_systemd_count_calls(daemon->fake, "StopUnit " UNIT), ==, 1);
        AWAIT(!fake_systemd_has_unit(daemon->fake, UNIT));
}

/* Called dead when the command runs already: it is made again around the cgroup that is there, and nothing is taken from the one who computes. */
static void test_made_again_while_the_command_runs(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autofree char *state = NULL;

        assert_started(daemon, WAITING, INPUT);
        fake_systemd_tell_state(daemon->fake, UNIT, "inactive");
        AWAIT(fake_systemd_count_calls(daemon->fake, "StartTransientUnit " UNIT " fail") == 2);
        state = daemon_get_string(daemon, "a", "State");
        g_assert_cmpstr(state, ==, "ready");
        finish(daemon);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'Leftovers': <uint32 0>}");
        g_assert_cmpuint(daemon->warnings->len, ==, 0);
}

/* It can't be made again either: the runtime goes on without. */
static void test_dead_while_the_command_runs(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autofree char *state = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_STAYS);
        fake_systemd_expect(daemon->fake, FAKE_START_REFUSED);
        assert_started(daemon, WAITING, INPUT);
        fake_systemd_tell_state(daemon->fake, UNIT, "inactive");
        AWAIT(daemon->warnings->len > 0);
        g_assert_cmpstr(daemon->warnings->pdata[0], ==, "scope-lost");
        state = daemon_get_string(daemon, "a", "State");
        g_assert_cmpstr(state, ==, "ready");
        finish(daemon);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'Leftovers': <uint32 0>}");
}

static void test_stop_without_a_unit(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        g_autoptr(Call) stop = NULL;

        fake_systemd_expect(daemon->fake, FAKE_START_STAYS);
        fake_systemd_expect(daemon->fake, FAKE_START_REFUSED);
        assert_started(daemon, "trap '' TERM; echo deaf; read line; exit 7", "{'Input': <'pipe'>, 'TimeoutStopUSec': <uint64 100000>}");
        daemon_wait_output(daemon, "a");
        fake_systemd_tell_state(daemon->fake, UNIT, "failed");
        AWAIT(daemon->warnings->len > 0);
        stop = daemon_call(daemon, "StopRuntime", g_variant_new("(sa{sv})", "a", NULL));
        call_assert_good(stop);
        assert_ended(daemon, "{'Result': <'stopped'>, 'StopStage': <'kill'>, 'Signal': <9>}");
}

/* It has lost the bus, and not its mind: what it says no more its tree tells. */
static void test_systemd_is_not_heard(gconstpointer data) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        const gboolean is_stopped = GPOINTER_TO_INT(data);
        g_autoptr(Call) stop = NULL;

        assert_started(daemon, WAITING, INPUT);
        fake_systemd_fall_silent(daemon->fake);
        if (is_stopped)
                stop = daemon_call(daemon, "StopRuntime", g_variant_new("(sa{sv})", "a", NULL));
        else
                finish(daemon);
        assert_ended(daemon, is_stopped ? "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'Signal': <15>}"
                                        : "{'Result': <'exit-code'>, 'ExitCode': <7>, 'Leftovers': <uint32 0>}");
}

/* SIGKILL alone is no proof of OOM; the unit's Result is. */
static void test_oom_is_not_guessed(gconstpointer data) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);
        const char *result = data;

        fake_systemd_set_result(daemon->fake, UNIT, result);
        assert_started(daemon, "kill -KILL $$", NULL);
        assert_ended(daemon, g_str_equal(result, "oom-kill") ? "{'Result': <'oom-kill'>, 'Reason': <'oom-kill'>, 'Signal': <9>}"
                                                             : "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <9>}");
}

/* Of one that exits by itself, an OOM in a child is not the cause. */
static void test_exit_with_an_oom_result(void) {
        g_autoptr(Daemon) daemon = daemon_new(cgroups);

        fake_systemd_set_result(daemon->fake, UNIT, "oom-kill");
        assert_started(daemon, "exit 7", NULL);
        assert_ended(daemon, "{'Result': <'exit-code'>, 'ExitCode': <7>}");
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        cgroups = fake_systemd_find_cgroups();
        if (!cgroups) {
                g_print("1..0 # SKIP no cgroup can be made here (run it with tests/with-user-manager)\n");
                return EXIT_SUCCESS;
        }
        g_test_add_data_func("/lost-scopes/as-usual", GINT_TO_POINTER(FAKE_START), test_as_usual);
        g_test_add_data_func("/lost-scopes/job-removed-comes-before-the-answer", GINT_TO_POINTER(FAKE_START_JOB_FIRST), test_as_usual);
        g_test_add_data_func("/lost-scopes/inactive-at-first", GINT_TO_POINTER(FAKE_START_NEW_INACTIVE), test_as_usual);
        g_test_add_func("/lost-scopes/no-oom-policy", test_no_oom_policy);
        g_test_add_func("/lost-scopes/dead-though-its-process-runs", test_dead_though_its_process_runs);
        g_test_add_func("/lost-scopes/dead-each-time", test_dead_each_time);
        g_test_add_func("/lost-scopes/empty-from-the-start", test_empty_from_the_start);
        g_test_add_func("/lost-scopes/active-though-it-is-empty", test_active_though_it_is_empty);
        g_test_add_func("/lost-scopes/made-again-while-the-command-runs", test_made_again_while_the_command_runs);
        g_test_add_func("/lost-scopes/dead-while-the-command-runs", test_dead_while_the_command_runs);
        g_test_add_func("/lost-scopes/stop-without-a-unit", test_stop_without_a_unit);
        g_test_add_data_func("/lost-scopes/systemd-is-not-heard-of-an-end", GINT_TO_POINTER(FALSE), test_systemd_is_not_heard);
        g_test_add_data_func("/lost-scopes/systemd-is-not-heard-of-a-stop", GINT_TO_POINTER(TRUE), test_systemd_is_not_heard);
        g_test_add_data_func("/lost-scopes/oom-kill-is-the-unit's-word", "oom-kill", test_oom_is_not_guessed);
        g_test_add_data_func("/lost-scopes/sigkill-is-no-oom-kill", "success", test_oom_is_not_guessed);
        g_test_add_func("/lost-scopes/exit-with-an-oom-kill-of-a-child", test_exit_with_an_oom_result);
        r = g_test_run();
        private_bus_stop();
        g_free(cgroups);
        return r;
}
