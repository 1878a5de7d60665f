/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the manager is asked about runtimes: to start one safely twice, to find, list, wait for, cancel and forget them. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "util/limits.h"
#include "util/names.h"

#define SLEEPER "exec sleep 1000"

static void kill_now(Harness *h, const char *path) {
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)")));
        g_variant_unref(client_wait_ended(h->client, path));
}

/* Calls whose replies are awaited together. */
typedef struct Call {
        GVariant *reply;
        GError *error;
        gboolean done;
} Call;

static void on_reply(GObject *source, GAsyncResult *result, gpointer userdata) {
        Call *call = userdata;

        call->reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &call->error);
        call->done = TRUE;
}

static void call_async(Harness *h, const char *method, GVariant *parameters, Call *call) {
        *call = (Call){0};
        g_dbus_connection_call(h->client->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, method, parameters, NULL, 0, -1, NULL, on_reply, call);
}

static gboolean call_is_done(gpointer userdata) {
        return ((Call *) userdata)->done;
}

static void call_done(Call *call) {
        g_clear_pointer(&call->reply, g_variant_unref);
        g_clear_error(&call->error);
}

static void test_cancel(Harness *h) {
        g_autofree char *id = harness_id("cancel"), *name = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autofree char *message = NULL;
        Call start, stop;

        harness_start_daemon(h, NULL);
        /* Both are waiting for it when it goes on: the second is read while systemd makes the scope. */
        g_assert_cmpint(kill(h->daemon, SIGSTOP), ==, 0);
        call_async(h, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell(SLEEPER, "{'Id': <%s>}", id)), &start);
        call_async(h, "StopRuntime", g_variant_new_parsed("(%s, @a{sv} {})", id), &stop);
        g_assert_true(g_dbus_connection_flush_sync(h->client->bus, NULL, NULL));
        g_assert_cmpint(kill(h->daemon, SIGCONT), ==, 0);
        harness_wait(h, call_is_done, &stop, "StopRuntime is answered");
        g_assert_no_error(stop.error);
        harness_wait(h, call_is_done, &start, "StartRuntime is answered");
        g_assert_nonnull(start.error);
        name = g_dbus_error_get_remote_error(start.error);
        g_assert_cmpstr(name, ==, RM_ERROR_CANCELLED);

        report = g_variant_get_child_value(client_wait_signal(h->client, NULL, "Ended")->parameters, 0);
        report_check(report, "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>, 'Phase': <'starting'>}", "ExitCode Signal");
        client_wait_signal(h->client, NULL, "RuntimeRemoved");
        message = client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", id), "NoSuchRuntime");
        call_done(&start);
        call_done(&stop);
}

static void test_start_twice(Harness *h) {
        g_autofree char *id = harness_id("twice"), *path = NULL, *again = NULL, *after = NULL, *message = NULL, *text = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo once; " SLEEPER, "{'Id': <%s>, 'Labels': <{'a': 'b'}>}", id));
        again = client_start(h->client, "command", options_shell("echo once; " SLEEPER, "{'Labels': <{'a': 'b'}>, 'Id': <%s>}", id));
        g_assert_cmpstr(again, ==, path);
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 1);
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 1", "{'Id': <%s>}", id)),
                                    "RuntimeExists");
        g_assert_nonnull(strstr(message, id));

        client_wait_text(h->client, path, "once\n");
        kill_now(h, path);
        after = client_start(h->client, "command", options_shell("echo once; " SLEEPER, "{'Id': <%s>, 'Labels': <{'a': 'b'}>}", id));
        g_assert_cmpstr(after, ==, path);
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "once\n");
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
}

static void test_start_twice_at_once(Harness *h) {
        g_autofree char *id = harness_id("at_once");
        const char *paths[3];
        Call calls[3];

        harness_start_daemon(h, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++)
                call_async(h, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell(SLEEPER, "{'Id': <%s>}", id)), &calls[i]);
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
                harness_wait(h, call_is_done, &calls[i], "StartRuntime is answered");
                g_assert_no_error(calls[i].error);
                g_variant_get(calls[i].reply, "(s&o)", NULL, &paths[i]);
                g_assert_cmpstr(paths[i], ==, paths[0]);
        }
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 1));
        kill_now(h, paths[0]);
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++)
                call_done(&calls[i]);
}

static void test_wait(Harness *h) {
        g_autofree char *path = NULL, *state = NULL, *message = NULL, *unknown = NULL;
        g_autoptr(GVariant) reply = NULL, report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, SLEEPER);
        reply = client_call(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ready"));
        g_variant_get(reply, "(s@a{sv})", &state, &report);
        g_assert_cmpstr(state, ==, "ready");
        g_assert_cmpuint(g_variant_n_children(report), ==, 0);

        message = client_call_fails(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "stopping"),
                                    "org.freedesktop.DBus.Error.InvalidArgs");
        unknown = client_call_fails(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", "nobody", "ended"), "NoSuchRuntime");
        kill_now(h, path);
        /* Again, and ready is answered by one that has ended. */
        g_variant_unref(client_wait_ended(h->client, path));
        g_free(state);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ended");
}

/* A client whose calls time out is not known to have given them up. */
static void test_the_oldest_wait_gives_way(Harness *h) {
        Call calls[LIMIT_WAITERS + 1];
        g_autofree char *path = NULL, *name = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, SLEEPER);
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++)
                call_async(h, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"), &calls[i]);
        harness_wait(h, call_is_done, &calls[0], "the oldest WaitRuntime gives way");
        name = g_dbus_error_get_remote_error(calls[0].error);
        g_assert_cmpstr(name, ==, "org.example.RuntimeManager.Error.Timeout");
        call_done(&calls[0]);
        client_stop(h->client, path);
        for (size_t i = 1; i < G_N_ELEMENTS(calls); i++) {
                harness_wait(h, call_is_done, &calls[i], "WaitRuntime is answered");
                g_assert_no_error(calls[i].error);
                call_done(&calls[i]);
        }
}

/* The ids that a filter leaves, joined by spaces. */
static char *list(Harness *h, GVariant *filter) {
        g_autoptr(GVariant) reply = client_call(h->client, NULL, "ListRuntimes", g_variant_new("(@a{sv})", filter));
        g_autoptr(GVariant) rows = g_variant_get_child_value(reply, 0);
        GString *ids = g_string_new(NULL);

        for (gsize i = 0; i < g_variant_n_children(rows); i++) {
                const char *id;

                g_variant_get_child(rows, i, "(&so@a{sv})", &id, NULL, NULL);
                g_string_append_printf(ids, "%s%s", i > 0 ? " " : "", id);
        }
        return g_string_free(ids, FALSE);
}

static void assert_list(Harness *h, GVariant *filter, const char *expected) {
        g_autofree char *ids = list(h, filter);

        g_assert_cmpstr(ids, ==, expected);
}

static void test_list(Harness *h) {
        g_autofree char *a = harness_id("list_a"), *b = harness_id("list_b"), *both = g_strdup_printf("%s %s", a, b);
        g_autofree char *path_a = NULL, *path_b = NULL, *unit = NULL, *message = NULL, *wrong = NULL;
        g_autoptr(GVariant) reply = NULL, row = NULL, summary = NULL;

        harness_start_daemon(h, NULL);
        assert_list(h, g_variant_new_parsed("@a{sv} {}"), "");
        path_a = client_start(h->client, "command", options_shell(SLEEPER, "{'Id': <%s>, 'Labels': <{'book': 'x', 'cell': '1'}>, 'Description': <'A'>}", a));
        path_b = client_start(h->client, "command", options_shell(SLEEPER, "{'Id': <%s>, 'Labels': <{'book': 'x', 'cell': '2'}>}", b));
        unit = client_get_string(h->client, path_b, "Unit");

        assert_list(h, g_variant_new_parsed("@a{sv} {}"), both);
        assert_list(h, g_variant_new_parsed("{'Kind': <'command'>}"), both);
        assert_list(h, g_variant_new_parsed("{'Kind': <'other'>}"), "");
        assert_list(h, g_variant_new_parsed("{'Id': <%s>}", b), b);
        assert_list(h, g_variant_new_parsed("{'Description': <'A'>}"), a);
        assert_list(h, g_variant_new_parsed("{'Unit': <%s>}", unit), b);
        assert_list(h, g_variant_new_parsed("{'MainPID': <%u>}", client_get_number(h->client, path_a, "MainPID")), a);
        assert_list(h, g_variant_new_parsed("{'UID': <%u>}", (guint) getuid()), both);
        assert_list(h, g_variant_new_parsed("{'UID': <%u>}", (guint) getuid() + 1), "");
        assert_list(h, g_variant_new_parsed("{'Labels': <{'book': 'x'}>}"), both);
        assert_list(h, g_variant_new_parsed("{'Labels': <{'book': 'x', 'cell': '2'}>}"), b);
        assert_list(h, g_variant_new_parsed("{'Labels': <{'book': 'y'}>}"), "");
        assert_list(h, g_variant_new_parsed("{'State': <'ready'>, 'Labels': <{'cell': '1'}>}"), a);
        kill_now(h, path_a);
        assert_list(h, g_variant_new_parsed("{'State': <'ended'>}"), a);
        assert_list(h, g_variant_new_parsed("{'State': <'ready'>}"), b);

        message = client_call_fails(h->client, NULL, "ListRuntimes", g_variant_new_parsed("({'Colour': <'red'>},)"), "InvalidOption");
        g_assert_nonnull(strstr(message, "Colour"));
        wrong = client_call_fails(h->client, NULL, "ListRuntimes", g_variant_new_parsed("({'MainPID': <'1'>},)"), "InvalidOption");
        g_assert_nonnull(strstr(wrong, "MainPID"));

        reply = client_call(h->client, NULL, "ListRuntimes", g_variant_new_parsed("({'Id': <%s>},)", b));
        g_variant_get(reply, "(@a(soa{sv}))", &row);
        g_variant_get_child(row, 0, "(so@a{sv})", NULL, NULL, &summary);
        report_check(summary, "{'Kind': <'command'>, 'State': <'ready'>, 'Labels': <{'book': 'x', 'cell': '2'}>}", NULL);
        g_assert_cmpuint(report_number(summary, "MainPID"), ==, client_get_number(h->client, path_b, "MainPID"));
        g_assert_cmpuint(report_number(summary, "StartTimestamp"), >, 0);
        kill_now(h, path_b);
}

static void assert_runtime_of_pid(Harness *h, guint pid, const char *path) {
        g_autoptr(GVariant) reply = client_call(h->client, NULL, "GetRuntimeByPID", g_variant_new("(u)", pid));
        const char *found;

        g_variant_get(reply, "(s&o)", NULL, &found);
        g_assert_cmpstr(found, ==, path);
}

static void test_by_pid(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        g_autoptr(GArray) pids = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "setsid sh -c 'setsid sleep 1000 & echo ready; sleep 1000' & wait");
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, path, "OutputLines");
        assert_runtime_of_pid(h, client_get_number(h->client, path, "MainPID"), path);
        pids = harness_find_processes(h);
        g_assert_cmpuint(pids->len, >=, 2);
        for (guint i = 0; i < pids->len; i++)
                assert_runtime_of_pid(h, g_array_index(pids, guint, i), path);

        for (guint i = 0; i < 4; i++) {
                const guint strangers[] = {1, (guint) getpid(), (guint) h->daemon, G_MAXUINT32};

                g_free(client_call_fails(h->client, NULL, "GetRuntimeByPID", g_variant_new("(u)", strangers[i]), "NoSuchRuntime"));
        }
        /* 0: the caller, which is no runtime here. */
        text = client_call_fails(h->client, NULL, "GetRuntimeByPID", g_variant_new("(u)", 0), "NoSuchRuntime");
        kill_now(h, path);
}

static void test_who_am_i(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "gdbus call --session --dest " RM_BUS_NAME " --object-path " RM_OBJECT_PATH " --method " RM_MANAGER_INTERFACE
                                             ".GetRuntimeByPID 0");
        report = client_wait_ended(h->client, path);
        text = client_read_text(h->client, path);
        g_test_message("%s", text);
        report_check(report, "{'Result': <'success'>}", NULL);
        g_assert_nonnull(strstr(text, path));
}

static void test_retention(Harness *h) {
        g_autofree char *path = NULL, *kept = NULL, *message = NULL, *object = NULL;
        const char *removed;

        harness_start_daemon(h, NULL);
        kept = client_start_shell(h->client, "exit 0");
        path = client_start(h->client, "command", options_shell("exit 0", "{'RetainUSec': <uint64 1000>}"));
        client_wait_signal(h->client, path, "Ended");
        g_variant_get(client_wait_signal(h->client, NULL, "RuntimeRemoved")->parameters, "(s&o)", NULL, &removed);
        g_assert_cmpstr(removed, ==, path);
        message = client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(path)), "NoSuchRuntime");
        object = client_call_fails(h->client, path, "GetUsage", NULL, "org.freedesktop.DBus.Error.UnknownObject");
        g_variant_unref(client_wait_ended(h->client, kept));
        g_variant_unref(client_call(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(kept))));
}

static void test_forget(Harness *h) {
        g_autofree char *id = harness_id("forget"), *path = NULL, *again = NULL, *early = NULL, *gone = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(SLEEPER, "{'Id': <%s>}", id));
        early = client_call_fails(h->client, path, "Forget", NULL, "BadState");
        kill_now(h, path);
        g_variant_unref(client_call(h->client, path, "Forget", NULL));
        client_wait_signal(h->client, RM_OBJECT_PATH, "RuntimeRemoved");
        client_wait_signal(h->client, RM_OBJECT_PATH, "InterfacesRemoved");
        gone = client_call_fails(h->client, path, "Forget", NULL, "org.freedesktop.DBus.Error.UnknownObject");

        again = client_start(h->client, "command", options_shell("exit 5", "{'Id': <%s>}", id));
        g_assert_cmpstr(again, ==, path);
        g_variant_unref(client_wait_ended(h->client, again));
}

static void test_managed_objects(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) reply = NULL, objects = NULL, of_object = NULL, properties = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exit 0");
        g_variant_unref(client_wait_ended(h->client, path));
        reply = g_dbus_connection_call_sync(h->client->bus, RM_BUS_NAME, RM_OBJECT_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL,
                                            G_VARIANT_TYPE("(a{oa{sa{sv}}})"), 0, -1, NULL, NULL);
        g_assert_nonnull(reply);
        objects = g_variant_get_child_value(reply, 0);
        of_object = g_variant_lookup_value(objects, path, NULL);
        g_assert_nonnull(of_object);
        properties = g_variant_lookup_value(of_object, RM_RUNTIME_INTERFACE, NULL);
        g_assert_nonnull(properties);
        report_check(properties, "{'State': <'ended'>, 'Kind': <'command'>}", NULL);
}

static void test_unknown_id(Harness *h) {
        static const struct {
                const char *method, *parameters;
        } calls[] = {
                {"GetRuntime", "('nobody',)"},
                {"StopRuntime", "('nobody', @a{sv} {})"},
                {"KillRuntime", "('nobody', 'main', 15)"},
                {"WaitRuntime", "('', 'ended')"},
        };

        harness_start_daemon(h, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
                g_free(client_call_fails(h->client, NULL, calls[i].method, g_variant_new_parsed(calls[i].parameters), "NoSuchRuntime"));
        }
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-start-in-progress-can-be-cancelled", test_cancel},
                {"a-start-can-be-repeated-with-the-same-id", test_start_twice},
                {"starts-with-the-same-id-at-once-are-one", test_start_twice_at_once},
                {"a-runtime-can-be-waited-for", test_wait},
                {"the-oldest-wait-of-a-caller-gives-way", test_the_oldest_wait_gives_way},
                {"runtimes-are-listed-by-each-filter", test_list},
                {"each-process-of-a-runtime-is-found", test_by_pid},
                {"a-runtime-can-ask-which-it-is", test_who_am_i},
                {"an-ended-runtime-is-kept-for-its-time", test_retention},
                {"an-ended-runtime-can-be-forgotten", test_forget},
                {"objects-are-managed-objects", test_managed_objects},
                {"what-is-not-there-is-told", test_unknown_id},
        };

        return harness_main(argc, argv, "manager", cases, G_N_ELEMENTS(cases));
}
