/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many scopes at once on a bus that lets 128 calls of a connection wait for their answers, as dbus-daemon's system bus does: nobody's news are lost for that,
 * nothing is asked twice, and what hasn't gone out yet is as good as not asked for. */

#include "core/scope.h"

#include <errno.h>
#include <string.h>

#include "fake-systemd.h"
#include "loop.h"
#include "private-bus.h"
#include "util/macro.h"

#define N 300U
/* What is open at once, at most. */
#define OPEN_MAX 64U

typedef struct Seen {
        unsigned started, failed, stopping, gone, results[SCOPE_RESULT_OOM_KILL + 1];
} Seen;

typedef struct Fixture {
        sd_event *event;
        GSource *source;
        FakeSystemd *fake;
        ScopeBus *bus;
        Scope *scopes[N];
        Seen seen;
} Fixture;

static void on_started(void *userdata) {
        ((Seen *) userdata)->started++;
}

static void on_start_failed(void *userdata, const char *message) {
        g_test_message("handler: %s", message);
        ((Seen *) userdata)->failed++;
}

static void on_stopping(void *userdata) {
        ((Seen *) userdata)->stopping++;
}

static void on_gone(void *userdata, ScopeResult result) {
        Seen *seen = userdata;

        seen->gone++;
        seen->results[result]++;
}

static const ScopeHandler handler = {on_started, on_start_failed, on_stopping, on_gone};

static Fixture *fixture_new(void) {
        Fixture *fixture = g_new0(Fixture, 1);

        g_assert_cmpint(sd_event_new(&fixture->event), >=, 0);
        fixture->source = loop_add_event(fixture->event);
        fixture->fake = fake_systemd_new(private_bus_address(), NULL);
        g_assert_cmpint(scope_bus_new(fixture->event, private_bus_address(), &fixture->bus), >=, 0);
        AWAIT(fake_systemd_count_calls(fixture->fake, "Subscribe") > 0);
        return fixture;
}

static void free_scopes(Fixture *fixture) {
        for (unsigned i = 0; i < N; i++)
                fixture->scopes[i] = scope_free(fixture->scopes[i]);
}

static void fixture_free(Fixture *fixture) {
        free_scopes(fixture);
        scope_bus_free(fixture->bus);
        g_source_destroy(fixture->source);
        g_source_unref(fixture->source);
        sd_event_unref(fixture->event);
        fake_systemd_free(fixture->fake);
        g_free(fixture);
        while (g_main_context_iteration(NULL, FALSE))
                continue;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static const char *unit_of(unsigned i) {
        static char name[64];

        (void) g_snprintf(name, sizeof(name), "runtime-test-%03u.scope", i);
        return name;
}

static void ask_for_all(Fixture *fixture) {
        for (unsigned i = 0; i < N; i++) {
                ScopeOptions options = {.unit = unit_of(i), .description = "", .slice = "some.slice", .pid = getpid(), .limits = limit_set_none()};

                g_assert_cmpint(scope_start(fixture->bus, &options, &handler, &fixture->seen, &fixture->scopes[i]), >=, 0);
        }
}

static void adopt_all(Fixture *fixture) {
        for (unsigned i = 0; i < N; i++) {
                ScopeOptions options = {.unit = unit_of(i), .limits = limit_set_none()};

                g_assert_cmpint(scope_adopt(fixture->bus, &options, &handler, &fixture->seen, &fixture->scopes[i]), >=, 0);
        }
}

/* systemd takes its time, until it has been asked as much as it is asked at once: at no time is more open. */
static void fill_and_go_on(Fixture *fixture) {
        AWAIT(fake_systemd_count_held(fixture->fake) >= OPEN_MAX);
        g_assert_cmpuint(fake_systemd_count_held(fixture->fake), ==, OPEN_MAX);
        fake_systemd_go_on(fixture->fake);
}

static Fixture *active_new(void) {
        Fixture *fixture = fixture_new();

        fake_systemd_hang(fixture->fake);
        ask_for_all(fixture);
        fill_and_go_on(fixture);
        AWAIT(fixture->seen.started + fixture->seen.failed == N);
        g_assert_cmpuint(fixture->seen.started, ==, N);
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit"), ==, N);
        return fixture;
}

static void end_all(Fixture *fixture) {
        for (unsigned i = 0; i < N; i++)
                fake_systemd_end_unit(fixture->fake, unit_of(i), "failed", "oom-kill");
}

static void test_all_end_at_once(void) {
        g_autoptr(Fixture) fixture = active_new();

        end_all(fixture);
        AWAIT(fixture->seen.gone == N);
        g_assert_cmpuint(fixture->seen.results[SCOPE_RESULT_OOM_KILL], ==, N);
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "Get"), ==, 0);
}

static void test_all_are_adopted_at_once(void) {
        g_autoptr(Fixture) fixture = active_new();

        free_scopes(fixture);
        fake_systemd_hang(fixture->fake);
        adopt_all(fixture);
        fill_and_go_on(fixture);
        AWAIT(fake_systemd_count_calls(fixture->fake, "Get ActiveState") == N);
        end_all(fixture);
        AWAIT(fixture->seen.gone == N);
        g_assert_cmpuint(fixture->seen.results[SCOPE_RESULT_OOM_KILL], ==, N);
        /* Each was asked once. */
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "Get ActiveState"), ==, N);
}

static void test_all_are_stopped_at_once(void) {
        g_autoptr(Fixture) fixture = active_new();

        for (unsigned i = 0; i < N; i++)
                scope_stop(fixture->scopes[i]);
        AWAIT(fixture->seen.gone == N);
        g_assert_cmpuint(fixture->seen.results[SCOPE_RESULT_SUCCESS], ==, N);
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StopUnit"), ==, N);
}

/* Stopped, and given up before that has gone out: they are stopped. */
static void test_freed_while_their_stops_wait(void) {
        g_autoptr(Fixture) fixture = active_new();

        fake_systemd_hang(fixture->fake);
        for (unsigned i = 0; i < N; i++)
                scope_stop(fixture->scopes[i]);
        AWAIT(fake_systemd_count_held(fixture->fake) == OPEN_MAX);
        free_scopes(fixture);
        fake_systemd_go_on(fixture->fake);
        AWAIT(fake_systemd_count_calls(fixture->fake, "StopUnit") == N);
        for (unsigned i = 0; i < N; i++)
                AWAIT(!fake_systemd_has_unit(fixture->fake, unit_of(i)));
}

/* Given up before they were asked for: they never are. */
static void test_freed_while_their_starts_wait(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        fake_systemd_hang(fixture->fake);
        ask_for_all(fixture);
        AWAIT(fake_systemd_count_held(fixture->fake) == OPEN_MAX);
        for (unsigned i = 0; i < N - 1; i++)
                fixture->scopes[i] = scope_free(fixture->scopes[i]);
        fake_systemd_go_on(fixture->fake);
        /* It comes behind all others. */
        AWAIT(fixture->seen.started == 1);
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit"), ==, OPEN_MAX + 1);
        AWAIT(fake_systemd_count_calls(fixture->fake, "StopUnit") == OPEN_MAX);
        for (unsigned i = 0; i < N - 1; i++)
                AWAIT(!fake_systemd_has_unit(fixture->fake, unit_of(i)));
        g_assert_cmpuint(fixture->seen.failed, ==, 0);
}

/* With the connection goes all that waits: each start is told to have failed, once. */
static void test_bus_is_lost(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        fake_systemd_hang(fixture->fake);
        ask_for_all(fixture);
        AWAIT(fake_systemd_count_held(fixture->fake) == OPEN_MAX);
        private_bus_kill();
        AWAIT(!scope_bus_is_connected(fixture->bus));
        fake_systemd_free(fixture->fake);
        private_bus_start_again();
        fixture->fake = fake_systemd_new(private_bus_address(), NULL);
        AWAIT(fixture->seen.failed == N);
        g_assert_cmpuint(fixture->seen.started + fixture->seen.gone, ==, 0);
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit"), ==, 0);
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        private_bus_limit_replies(128);
        g_test_add_func("/scope-many/end-at-once", test_all_end_at_once);
        g_test_add_func("/scope-many/adopted-at-once", test_all_are_adopted_at_once);
        g_test_add_func("/scope-many/stopped-at-once", test_all_are_stopped_at_once);
        g_test_add_func("/scope-many/freed/while-their-stops-wait", test_freed_while_their_stops_wait);
        g_test_add_func("/scope-many/freed/while-their-starts-wait", test_freed_while_their_starts_wait);
        g_test_add_func("/scope-many/bus-is-lost", test_bus_is_lost);
        r = g_test_run();
        private_bus_stop();
        return r;
}
