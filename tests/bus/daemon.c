/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon dies with the test, and with it all keepers that have not been told to run. */

#include "daemon.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "loop.h"
#include "private-bus.h"
#include "records.h"
#include "util/names.h"

static void before_exec(gpointer userdata) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* TAP is the test's alone. */
        dup2(STDERR_FILENO, STDOUT_FILENO);
}

static void on_exit_of_daemon(GPid pid, int status, gpointer userdata) {
        Daemon *daemon = userdata;

        daemon->pid = 0;
        daemon->status = status;
}

static char *find_program(void) {
        g_autofree char *program = NULL, *folder = NULL;

        if (g_getenv("RM_BUILD_DIR"))
                return g_build_filename(g_getenv("RM_BUILD_DIR"), "runtime-managerd", NULL);
        program = g_file_read_link("/proc/self/exe", NULL);
        folder = g_path_get_dirname(program);
        return g_build_filename(folder, "..", "..", "src", "runtime-managerd", NULL);
}

static void daemon_spawn(Daemon *daemon) {
        g_autofree char *program = find_program();
        g_autofree char *bus = g_strdup_printf("--bus-address=%s", private_bus_address());
        g_autofree char *systemd = g_strdup_printf("--systemd-address=%s", private_bus_address());
        char *argv[] = {program, (char *) "--user", bus, systemd, NULL};
        g_auto(GStrv) environment = g_get_environ();
        g_autoptr(GError) error = NULL;

        environment = g_environ_setenv(environment, "XDG_RUNTIME_DIR", daemon->directory, TRUE);
        environment = g_environ_setenv(environment, "XDG_CONFIG_HOME", daemon->directory, TRUE);
        environment = g_environ_setenv(environment, "HOME", daemon->directory, TRUE);
        environment = g_environ_setenv(environment, "LANGUAGE", "en", TRUE);
        environment = g_environ_unsetenv(environment, "NOTIFY_SOCKET");
        environment = g_environ_unsetenv(environment, "JOURNAL_STREAM");
        (void) g_spawn_async(daemon->directory, argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, before_exec, NULL, &daemon->pid, &error);
        g_assert_no_error(error);
        g_child_watch_add(daemon->pid, on_exit_of_daemon, daemon);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *member, GVariant *parameters,
                      gpointer userdata) {
        g_autofree char *text = g_variant_print(parameters, FALSE);
        Daemon *daemon = userdata;

        if (strcmp(member, "Warning") == 0) {
                const char *code;

                g_variant_get_child(parameters, 0, "&s", &code);
                g_ptr_array_add(daemon->warnings, g_strdup(code));
        }
        if (strcmp(member, "NameOwnerChanged") == 0)
                daemon->has_name = TRUE;
        else
                g_test_message("daemon: %s %.300s", member, text);
}

Daemon *daemon_new(const char *cgroups) {
        Daemon *daemon = g_new0(Daemon, 1);
        g_autoptr(GError) error = NULL;

        daemon->directory = g_dir_make_tmp("rm-XXXXXX", NULL);
        g_assert_nonnull(daemon->directory);
        daemon->warnings = g_ptr_array_new_with_free_func(g_free);
        daemon->fake = fake_systemd_new(private_bus_address(), cgroups);
        daemon->bus = g_dbus_connection_new_for_address_sync(
                private_bus_address(), G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        g_dbus_connection_signal_subscribe(daemon->bus, RM_BUS_NAME, NULL, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_signal, daemon, NULL);
        g_dbus_connection_signal_subscribe(daemon->bus, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged", NULL, RM_BUS_NAME,
                                           G_DBUS_SIGNAL_FLAGS_NONE, on_signal, daemon, NULL);
        /* Behind the matches: when this is answered, they are there. */
        g_variant_unref(g_dbus_connection_call_sync(daemon->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId", NULL, NULL,
                                                    G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL));
        daemon_spawn(daemon);
        AWAIT(daemon->has_name || daemon->pid == 0);
        g_assert_cmpint(daemon->pid, !=, 0);
        return daemon;
}

void daemon_free(Daemon *daemon) {
        g_assert_cmpint(daemon->pid, !=, 0);
        g_assert_cmpint(kill(daemon->pid, SIGTERM), ==, 0);
        AWAIT(daemon->pid == 0);
        g_assert_cmpint(daemon->status, ==, 0);
        g_assert_null(records_find_leftover(daemon->directory));
        records_remove_tree(daemon->directory);
        (void) g_dbus_connection_close_sync(daemon->bus, NULL, NULL);
        g_object_unref(daemon->bus);
        fake_systemd_free(daemon->fake);
        g_ptr_array_unref(daemon->warnings);
        g_free(daemon->directory);
        g_free(daemon);
        while (g_main_context_iteration(NULL, FALSE))
                continue;
}

static void on_reply(GObject *source, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GError) error = NULL;
        Call *call = userdata;

        call->done = TRUE;
        call->reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
        if (call->reply)
                return;
        call->error = g_dbus_error_get_remote_error(error);
        if (!call->error)
                call->error = g_strdup("local");
        if (g_str_has_prefix(call->error, RM_ERROR_PREFIX))
                memmove(call->error, call->error + strlen(RM_ERROR_PREFIX), strlen(call->error) - strlen(RM_ERROR_PREFIX) + 1);
        (void) g_dbus_error_strip_remote_error(error);
        call->message = g_strdup(error->message);
        g_test_message("failed: %s: %s", call->error, call->message);
}

static Call *call_begin(Daemon *daemon, const char *path, const char *interface, const char *method, GVariant *parameters) {
        Call *call = g_new0(Call, 1);

        g_dbus_connection_call(daemon->bus, RM_BUS_NAME, path, interface, method, parameters, NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, G_MAXINT, NULL, on_reply,
                               call);
        return call;
}

Call *daemon_call(Daemon *daemon, const char *method, GVariant *parameters) {
        return call_begin(daemon, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, method, parameters);
}

void call_free(Call *call) {
        /* It is the callback's until then. */
        AWAIT(call->done);
        g_clear_pointer(&call->reply, g_variant_unref);
        g_free(call->error);
        g_free(call->message);
        g_free(call);
}

Call *daemon_start(Daemon *daemon, const char *id, const char *script, const char *more) {
        const char *const command[] = {"/bin/sh", "-c", script, NULL};
        g_autoptr(GVariant) added = NULL;
        g_autoptr(GError) error = NULL;
        GVariantDict options;

        added = g_variant_parse(G_VARIANT_TYPE_VARDICT, more ? more : "{}", NULL, NULL, &error);
        g_assert_no_error(error);
        g_variant_dict_init(&options, added);
        g_variant_dict_insert(&options, "Id", "s", id);
        g_variant_dict_insert(&options, "Command", "^as", command);
        return daemon_call(daemon, "StartRuntime", g_variant_new("(s@a{sv})", "command", g_variant_dict_end(&options)));
}

void call_assert_error(Call *call, const char *error, const char *text) {
        AWAIT(call->done);
        g_assert_cmpstr(call->error, ==, error);
        if (!strstr(call->message, text))
                g_error("\"%s\" is not in \"%s\"", text, call->message);
}

void call_assert_good(Call *call) {
        AWAIT(call->done);
        if (call->error)
                g_error("%s: %s", call->error, call->message);
}

char *daemon_get_string(Daemon *daemon, const char *id, const char *property) {
        g_autofree char *path = g_strconcat(RM_RUNTIME_PREFIX "/", id, NULL);
        g_autoptr(Call) call = call_begin(daemon, path, "org.freedesktop.DBus.Properties", "Get", g_variant_new("(ss)", RM_RUNTIME_INTERFACE, property));
        g_autoptr(GVariant) value = NULL;

        call_assert_good(call);
        g_variant_get(call->reply, "(v)", &value);
        return g_variant_dup_string(value, NULL);
}

void daemon_wait_output(Daemon *daemon, const char *id) {
        g_autofree char *path = g_strconcat(RM_RUNTIME_PREFIX "/", id, NULL);
        gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
        guint64 last = 0;

        while (last == 0) {
                g_autoptr(Call) call = call_begin(daemon, path, RM_RUNTIME_INTERFACE, "ReadOutputText", g_variant_new("(tu)", (guint64) 0, 1));

                call_assert_good(call);
                g_variant_get_child(call->reply, 1, "t", &last);
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        }
}

GVariant *daemon_wait_ended(Daemon *daemon, const char *id) {
        g_autoptr(Call) call = daemon_call(daemon, "WaitRuntime", g_variant_new("(ss)", id, "ended"));
        const char *state;
        GVariant *report;

        call_assert_good(call);
        g_variant_get(call->reply, "(&s@a{sv})", &state, &report);
        g_assert_cmpstr(state, ==, "ended");
        return report;
}

void report_assert(GVariant *report, const char *expected) {
        g_autofree char *text = g_variant_print(report, FALSE);
        g_autoptr(GVariant) wanted = NULL;
        g_autoptr(GError) error = NULL;
        GVariantIter iter;
        const char *key;
        GVariant *value;

        wanted = g_variant_parse(G_VARIANT_TYPE_VARDICT, expected, NULL, NULL, &error);
        g_assert_no_error(error);
        g_variant_iter_init(&iter, wanted);
        while (g_variant_iter_loop(&iter, "{&sv}", &key, &value)) {
                g_autoptr(GVariant) found = g_variant_lookup_value(report, key, NULL);

                if (!found || !g_variant_equal(found, value))
                        g_error("the report says of %s something else than %s: %s", key, expected, text);
        }
}
