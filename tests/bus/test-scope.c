/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The room that talks to systemd, against one that does what the real one does rarely: refuses, fails, answers late, in another order or not at all, and loses
 * units. Whatever it does, each scope's handler hears one beginning and one end. */

#include "core/scope.h"

#include <errno.h>
#include <string.h>

#include "fake-systemd.h"
#include "loop.h"
#include "private-bus.h"
#include "util/macro.h"

#define A "runtime-test-a.scope"
#define B "runtime-test-b.scope"

typedef struct Fixture {
        sd_event *event;
        GSource *source;
        FakeSystemd *fake;
        ScopeBus *bus;
        Scope *scope;
        GString *seen; /* a word for each call of a handler */
        char *message; /* of a failed start */
} Fixture;

static void note(Fixture *fixture, const char *word) {
        g_test_message("handler: %s", word);
        g_string_append_printf(fixture->seen, "%s%s", fixture->seen->len > 0 ? " " : "", word);
}

static void on_started(void *userdata) {
        note(userdata, "started");
}

static void on_start_failed(void *userdata, const char *message) {
        Fixture *fixture = userdata;

        g_free(fixture->message);
        fixture->message = g_strdup(message);
        note(fixture, "failed");
}

static void on_stopping(void *userdata) {
        note(userdata, "stopping");
}

static void on_gone(void *userdata, ScopeResult result) {
        static const char *const words[] = {
                [SCOPE_RESULT_UNKNOWN] = "gone",         [SCOPE_RESULT_SUCCESS] = "gone:success",   [SCOPE_RESULT_RESOURCES] = "gone:resources",
                [SCOPE_RESULT_TIMEOUT] = "gone:timeout", [SCOPE_RESULT_OOM_KILL] = "gone:oom-kill",
        };

        note(userdata, words[result]);
}

static const ScopeHandler handler = {on_started, on_start_failed, on_stopping, on_gone};

static Fixture *fixture_new(void) {
        Fixture *fixture = g_new0(Fixture, 1);

        g_assert_cmpint(sd_event_new(&fixture->event), >=, 0);
        fixture->source = loop_add_event(fixture->event);
        fixture->fake = fake_systemd_new(private_bus_address(), NULL);
        fixture->seen = g_string_new(NULL);
        g_assert_cmpint(scope_bus_new(fixture->event, private_bus_address(), &fixture->bus), >=, 0);
        return fixture;
}

static void fixture_free(Fixture *fixture) {
        scope_free(fixture->scope);
        scope_bus_free(fixture->bus);
        g_source_destroy(fixture->source);
        g_source_unref(fixture->source);
        sd_event_unref(fixture->event);
        fake_systemd_free(fixture->fake);
        g_string_free(fixture->seen, TRUE);
        g_free(fixture->message);
        g_free(fixture);
        while (g_main_context_iteration(NULL, FALSE))
                continue;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void start(Fixture *fixture, const char *unit, Scope **ret) {
        ScopeOptions options = {.unit = unit, .description = "A description", .slice = "some.slice", .pid = getpid(), .limits = limit_set_none()};

        options.limits.value[LIMIT_TASKS_MAX] = 77;
        options.limits.value[LIMIT_MEMORY_HIGH] = 1 << 23;
        g_assert_cmpint(scope_start(fixture->bus, &options, &handler, fixture, ret), >=, 0);
}

static gboolean saw(Fixture *fixture, const char *words) {
        return strcmp(fixture->seen->str, words) == 0;
}

#define AWAIT_SEEN(fixture, words) AWAIT(saw(fixture, words))
#define AWAIT_CALL(fixture, line) AWAIT(fake_systemd_count_calls((fixture)->fake, line) > 0)

static Fixture *active_new(FakeStart how) {
        Fixture *fixture = fixture_new();

        fake_systemd_expect(fixture->fake, how);
        start(fixture, A, &fixture->scope);
        AWAIT_SEEN(fixture, "started");
        g_string_truncate(fixture->seen, 0);
        return fixture;
}

static void assert_property(GVariant *properties, const char *name, const char *expected) {
        g_autoptr(GVariant) value = g_variant_lookup_value(properties, name, NULL);
        g_autofree char *text = value ? g_variant_print(value, FALSE) : g_strdup("nothing");

        if (strcmp(text, expected) != 0)
                g_error("%s is %s, not %s", name, text, expected);
}

static void test_what_is_asked_for(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);
        g_autoptr(GVariant) properties = fake_systemd_get_properties(fixture->fake);
        g_autofree char *pids = g_strdup_printf("[%d]", (int) getpid());

        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "Subscribe"), ==, 1);
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit " A " fail"), ==, 1);
        assert_property(properties, "Description", "'A description'");
        assert_property(properties, "Slice", "'some.slice'");
        assert_property(properties, "PIDs", pids);
        assert_property(properties, "Delegate", "true");
        assert_property(properties, "CollectMode", "'inactive-or-failed'");
        assert_property(properties, "AddRef", "nothing");
        assert_property(properties, "OOMPolicy", "'continue'");
        assert_property(properties, "TasksMax", "77");
        assert_property(properties, "MemoryMax", "nothing");
        assert_property(properties, "MemoryHigh", "nothing");
        g_assert_cmpstr(scope_unit(fixture->scope), ==, A);
}

static void test_refused(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        fake_systemd_expect(fixture->fake, FAKE_START_REFUSED);
        start(fixture, A, &fixture->scope);
        AWAIT_SEEN(fixture, "failed");
        g_assert_cmpstr(fixture->message, ==, "Told to refuse it.");
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit"), ==, 1);
        /* There is nothing to stop, to kill or to limit. */
        scope_stop(fixture->scope);
        scope_kill(fixture->scope);
        g_assert_cmpint(scope_set_limits(fixture->scope, &(LimitSet){0}, 1, NULL, NULL), ==, -ENOTCONN);
}

static void test_job_ends_otherwise(gconstpointer data) {
        g_autoptr(Fixture) fixture = fixture_new();
        FakeStart how = GPOINTER_TO_INT(data);

        fake_systemd_expect(fixture->fake, how);
        start(fixture, A, &fixture->scope);
        AWAIT_SEEN(fixture, "failed");
        g_assert_nonnull(strstr(fixture->message, how == FAKE_START_JOB_FAILED ? "\"failed\"" : "\"canceled\""));
        g_assert_nonnull(strstr(fixture->message, A));
}

static void test_job_removed_first(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START_JOB_FIRST);

        fake_systemd_end_unit(fixture->fake, A, "inactive", "success");
        AWAIT_SEEN(fixture, "gone:success");
}

/* A new unit is inactive until its job is done. */
static void test_inactive_at_first(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START_NEW_INACTIVE);

        fake_systemd_end_unit(fixture->fake, A, "inactive", "success");
        AWAIT_SEEN(fixture, "gone:success");
}

/* systemd's issue 36781: it was active for a moment and is called dead; that its job was a success is no help. */
static void test_dead_before_its_job_is_done(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        fake_systemd_expect(fixture->fake, FAKE_START_DEAD);
        start(fixture, A, &fixture->scope);
        AWAIT_SEEN(fixture, "gone:success");
        AWAIT(!fake_systemd_has_unit(fixture->fake, A));
}

static void test_results(void) {
        static const struct {
                const char *state, *result, *seen;
        } table[] = {
                {"inactive", "success", "gone:success"},   {"failed", "timeout", "gone:timeout"}, {"failed", "oom-kill", "gone:oom-kill"},
                {"failed", "resources", "gone:resources"}, {"failed", "something-new", "gone"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(Fixture) fixture = active_new(FAKE_START);

                fake_systemd_end_unit(fixture->fake, A, table[i].state, table[i].result);
                AWAIT_SEEN(fixture, table[i].seen);
                /* It was told, and nothing is there any more to be asked. */
                g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "Get"), ==, 0);
        }
}

static void adopt(Fixture *fixture) {
        ScopeOptions options = {.unit = A, .limits = limit_set_none()};

        fixture->scope = scope_free(fixture->scope);
        g_assert_cmpint(scope_adopt(fixture->bus, &options, &handler, fixture, &fixture->scope), >=, 0);
}

static void test_adopted(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);

        adopt(fixture);
        AWAIT_CALL(fixture, "Get ActiveState");
        fake_systemd_end_unit(fixture->fake, A, "failed", "timeout");
        AWAIT_SEEN(fixture, "gone:timeout");
}

/* Its end wasn't heard, but it is kept for the processes that are left. */
static void test_adopted_when_it_has_failed(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);
        Scope *second = NULL;

        fixture->scope = scope_free(fixture->scope);
        fake_systemd_set_result(fixture->fake, A, "oom-kill");
        fake_systemd_tell_state(fixture->fake, A, "failed");
        /* The news of the first come ahead of these. */
        start(fixture, B, &second);
        AWAIT_SEEN(fixture, "started");
        adopt(fixture);
        AWAIT_SEEN(fixture, "started gone:oom-kill");
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "Get Result"), ==, 1);
        scope_free(second);
}

/* That it was a success so far says nothing of the end. */
static void test_ends_while_the_bus_is_lost(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);

        private_bus_kill();
        AWAIT(!scope_bus_is_connected(fixture->bus));
        fake_systemd_free(fixture->fake);
        private_bus_start_again();
        fixture->fake = fake_systemd_new(private_bus_address(), NULL);
        AWAIT_SEEN(fixture, "gone");
}

/* systemd calls it inactive, and a success. */
static void test_adopted_when_it_is_gone(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        adopt(fixture);
        AWAIT_SEEN(fixture, "gone");
}

static void test_stopped_by_somebody(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);

        fake_systemd_tell_state(fixture->fake, A, "deactivating");
        AWAIT_SEEN(fixture, "stopping");
        fake_systemd_end_unit(fixture->fake, A, "inactive", "success");
        AWAIT_SEEN(fixture, "stopping gone:success");
}

/* To each connection of the bus, by somebody who isn't systemd; it has gone out before anything that is sent from now on. */
static void tell_everybody(const char *path, const char *interface, const char *member, GVariant *arguments) {
        g_autoptr(GVariant) body = g_variant_ref_sink(arguments), reply = NULL;
        g_autoptr(GDBusConnection) other = NULL;
        g_autoptr(GVariantIter) names = NULL;
        g_autoptr(GError) error = NULL;
        const char *name;

        other = g_dbus_connection_new_for_address_sync(
                private_bus_address(), G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        reply = g_dbus_connection_call_sync(other, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ListNames", NULL, NULL,
                                            G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(as)", &names);
        while (g_variant_iter_loop(names, "&s", &name))
                if (name[0] == ':')
                        g_assert_true(g_dbus_connection_emit_signal(other, name, path, interface, member, body, NULL));
        g_clear_pointer(&reply, g_variant_unref);
        reply = g_dbus_connection_call_sync(other, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", NULL, NULL,
                                            G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
        g_assert_no_error(error);
}

static void test_forged(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);
        g_autofree char *path = NULL;

        g_assert_cmpint(sd_bus_path_encode("/org/freedesktop/systemd1/unit", A, &path), >=, 0);
        tell_everybody(path, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                       g_variant_new_parsed("('org.freedesktop.systemd1.Unit', {'ActiveState': <'inactive'>}, @as [])"));
        fake_systemd_tell_state(fixture->fake, A, "deactivating");
        AWAIT_SEEN(fixture, "stopping");
        fake_systemd_end_unit(fixture->fake, A, "inactive", "timeout");
        AWAIT_SEEN(fixture, "stopping gone:timeout");
}

static void test_forged_result(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = NULL;

        fake_systemd_set_result(fixture->fake, A, "");
        start(fixture, A, &fixture->scope);
        AWAIT_SEEN(fixture, "started");
        g_assert_cmpint(sd_bus_path_encode("/org/freedesktop/systemd1/unit", A, &path), >=, 0);
        tell_everybody(path, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                       g_variant_new_parsed("('org.freedesktop.systemd1.Scope', {'Result': <'oom-kill'>}, @as [])"));
        fake_systemd_end_unit(fixture->fake, A, "failed", "");
        AWAIT_SEEN(fixture, "started gone");
}

static void test_stop(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);

        scope_stop(fixture->scope);
        scope_stop(fixture->scope);
        AWAIT_SEEN(fixture, "stopping gone:success");
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StopUnit " A), ==, 1);
}

static void test_kill(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);

        scope_kill(fixture->scope);
        AWAIT_CALL(fixture, "KillUnit " A " all 9");
}

/* Two scopes, one connection: each hears its own. */
static void test_others_are_left_alone(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);
        g_autoptr(GString) seen = g_string_new(NULL);
        Fixture second = {.seen = seen};
        ScopeOptions options = {.unit = B, .description = "", .slice = "some.slice", .pid = getpid(), .limits = limit_set_none()};

        g_assert_cmpint(scope_start(fixture->bus, &options, &handler, &second, &second.scope), >=, 0);
        AWAIT(saw(&second, "started"));
        fake_systemd_end_unit(fixture->fake, B, "failed", "oom-kill");
        AWAIT(saw(&second, "started gone:oom-kill"));
        g_assert_cmpstr(fixture->seen->str, ==, "");
        fake_systemd_end_unit(fixture->fake, A, "inactive", "success");
        AWAIT_SEEN(fixture, "gone:success");
        scope_free(second.scope);
}

/* systemd 252 has no OOMPolicy for scopes: it is asked once with it, and never again. */
static void test_no_oom_policy(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autoptr(GVariant) properties = NULL;
        Scope *second = NULL;

        fake_systemd_set_no_oom_policy(fixture->fake);
        start(fixture, A, &fixture->scope);
        AWAIT_SEEN(fixture, "started");
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit " A), ==, 2);
        properties = fake_systemd_get_properties(fixture->fake);
        assert_property(properties, "OOMPolicy", "nothing");
        assert_property(properties, "TasksMax", "77");

        start(fixture, B, &second);
        AWAIT_SEEN(fixture, "started started");
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StartTransientUnit " B), ==, 1);
        scope_free(second);
}

typedef struct LimitsDone {
        unsigned n;
        char *error;
} LimitsDone;

static void on_limits(void *userdata, const sd_bus_error *error) {
        LimitsDone *done = userdata;

        done->n++;
        g_free(done->error);
        done->error = error ? g_strdup(error->message) : NULL;
}

static void test_limits(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);
        g_autoptr(GVariant) properties = NULL;
        const unsigned keys = (1U << LIMIT_MEMORY_MAX) | (1U << LIMIT_MEMORY_HIGH) | (1U << LIMIT_TASKS_MAX);
        LimitSet limits = limit_set_none();
        LimitsDone done = {0};

        limits.value[LIMIT_MEMORY_MAX] = 1 << 24;
        limits.value[LIMIT_MEMORY_HIGH] = 1 << 23;
        g_assert_cmpint(scope_set_limits(fixture->scope, &limits, keys, on_limits, &done), ==, 0);
        g_assert_cmpint(scope_set_limits(fixture->scope, &limits, keys, on_limits, &done), ==, -EBUSY);
        AWAIT(done.n == 1);
        g_assert_null(done.error);
        properties = fake_systemd_get_properties(fixture->fake);
        assert_property(properties, "MemoryMax", "16777216");
        /* What is no longer limited is told too. */
        assert_property(properties, "TasksMax", "18446744073709551615");
        assert_property(properties, "CPUWeight", "nothing");
        /* The payload's alone: a unit that was given it by an older version is rid of it. */
        assert_property(properties, "MemoryHigh", "18446744073709551615");

        fake_systemd_set_refuse_properties(fixture->fake);
        g_assert_cmpint(scope_set_limits(fixture->scope, &limits, keys, on_limits, &done), ==, 0);
        AWAIT(done.n == 2);
        g_assert_cmpstr(done.error, ==, "Told to refuse them.");

        /* Freed while they are being set: answered all the same, once. */
        g_assert_cmpint(scope_set_limits(fixture->scope, &limits, keys, on_limits, &done), ==, 0);
        fixture->scope = scope_free(fixture->scope);
        g_assert_cmpuint(done.n, ==, 3);
        g_assert_nonnull(done.error);
        g_free(done.error);
}

/* A start that nobody waits for any more must not leave a unit behind when systemd comes round to it. */
static void test_freed_while_it_is_asked_for(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        fake_systemd_expect(fixture->fake, FAKE_START_UNANSWERED);
        start(fixture, A, &fixture->scope);
        AWAIT_CALL(fixture, "StartTransientUnit " A);
        fixture->scope = scope_free(fixture->scope);
        fake_systemd_go_on(fixture->fake);
        AWAIT_CALL(fixture, "StopUnit " A);
        AWAIT(!fake_systemd_has_unit(fixture->fake, A));
        g_assert_cmpstr(fixture->seen->str, ==, "");
}

static void test_freed_while_its_job_runs(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        Scope *second;

        fake_systemd_expect(fixture->fake, FAKE_START_JOB_UNENDING);
        start(fixture, A, &fixture->scope);
        AWAIT_CALL(fixture, "StartTransientUnit " A);
        /* The answer is on its way ahead of this one. */
        start(fixture, B, &second);
        AWAIT_SEEN(fixture, "started");
        fixture->scope = scope_free(fixture->scope);
        AWAIT_CALL(fixture, "StopUnit " A);
        AWAIT(!fake_systemd_has_unit(fixture->fake, A));
        fake_systemd_end_unit(fixture->fake, B, "inactive", "success");
        AWAIT_SEEN(fixture, "started gone:success");
        scope_free(second);
}

/* What runs is left running. */
static void test_freed_while_active(void) {
        g_autoptr(Fixture) fixture = active_new(FAKE_START);

        Scope *second = NULL;

        fixture->scope = scope_free(fixture->scope);
        /* Whatever was sent for the first comes ahead of this. */
        start(fixture, B, &second);
        AWAIT_SEEN(fixture, "started");
        g_assert_true(fake_systemd_has_unit(fixture->fake, A));
        g_assert_cmpuint(fake_systemd_count_calls(fixture->fake, "StopUnit"), ==, 0);
        fake_systemd_end_unit(fixture->fake, A, "inactive", "success");
        fake_systemd_end_unit(fixture->fake, B, "inactive", "success");
        AWAIT_SEEN(fixture, "started gone:success");
        scope_free(second);
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scope/what-is-asked-for", test_what_is_asked_for);
        g_test_add_func("/scope/start/refused", test_refused);
        g_test_add_data_func("/scope/start/job-fails", GINT_TO_POINTER(FAKE_START_JOB_FAILED), test_job_ends_otherwise);
        g_test_add_data_func("/scope/start/job-is-canceled", GINT_TO_POINTER(FAKE_START_JOB_CANCELED), test_job_ends_otherwise);
        g_test_add_func("/scope/start/job-removed-comes-before-the-answer", test_job_removed_first);
        g_test_add_func("/scope/start/inactive-at-first", test_inactive_at_first);
        g_test_add_func("/scope/start/dead-before-its-job-is-done", test_dead_before_its_job_is_done);
        g_test_add_func("/scope/start/no-oom-policy", test_no_oom_policy);
        g_test_add_func("/scope/results", test_results);
        g_test_add_func("/scope/adopted/while-active", test_adopted);
        g_test_add_func("/scope/adopted/when-it-has-failed", test_adopted_when_it_has_failed);
        g_test_add_func("/scope/adopted/when-it-is-gone", test_adopted_when_it_is_gone);
        g_test_add_func("/scope/ends-while-the-bus-is-lost", test_ends_while_the_bus_is_lost);
        g_test_add_func("/scope/stopped-by-somebody", test_stopped_by_somebody);
        g_test_add_func("/scope/told-by-somebody-else", test_forged);
        g_test_add_func("/scope/result-told-by-somebody-else", test_forged_result);
        g_test_add_func("/scope/stop-is-asked-for-once", test_stop);
        g_test_add_func("/scope/kill", test_kill);
        g_test_add_func("/scope/others-are-left-alone", test_others_are_left_alone);
        g_test_add_func("/scope/limits", test_limits);
        g_test_add_func("/scope/freed/while-it-is-asked-for", test_freed_while_it_is_asked_for);
        g_test_add_func("/scope/freed/while-its-job-runs", test_freed_while_its_job_runs);
        g_test_add_func("/scope/freed/while-active", test_freed_while_active);
        r = g_test_run();
        private_bus_stop();
        return r;
}
