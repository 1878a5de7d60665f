/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks run where the lines arrive, so a failed test names the first line that is wrong, not the count of them at the end. */

#include "line-log.h"

#include <string.h>

#include "util/names.h"

void line_log_add_lines(LineLog *log, guint64 first, guint64 count) {
        if (log->next != 0 && first != log->next)
                harness_fail(log->harness, "%s: line %" G_GUINT64_FORMAT " came when line %" G_GUINT64_FORMAT " was to come", log->path, first, log->next);
        log->next = first + count;
        log->n_received += count;
}

void line_log_add_dropped(LineLog *log, guint64 first, guint64 count) {
        if (log->next != 0 && first != log->next)
                harness_fail(log->harness, "%s: dropped from line %" G_GUINT64_FORMAT " on, when line %" G_GUINT64_FORMAT " was to come", log->path, first,
                             log->next);
        if (count == 0)
                harness_fail(log->harness, "%s: nothing was dropped, it says, at line %" G_GUINT64_FORMAT, log->path, first);
        log->next = first + count;
        log->n_dropped += count;
}

void line_log_add_ended(LineLog *log, guint64 last) {
        if (log->ended)
                harness_fail(log->harness, "%s: a second Ended", log->path);
        log->ended = TRUE;
        log->report_last = last;
        log->last_at_end = log->next == 0 ? 0 : log->next - 1;
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *member, GVariant *parameters,
                      gpointer userdata) {
        LineLog *log = userdata;

        if (strcmp(member, "OutputLines") == 0) {
                g_autoptr(GVariant) array = g_variant_get_child_value(parameters, 0);
                size_t n = g_variant_n_children(array);

                g_assert_cmpuint(n, >, 0);
                for (size_t i = 0; i < n; i++) {
                        guint64 number;

                        g_variant_get_child(array, i, "(tytu&s)", &number, NULL, NULL, NULL, NULL);
                        line_log_add_lines(log, number, 1);
                }
        } else if (strcmp(member, "OutputDropped") == 0) {
                guint64 first, count;

                g_variant_get(parameters, "(tt)", &first, &count);
                line_log_add_dropped(log, first, count);
        } else if (strcmp(member, "Ended") == 0) {
                g_autoptr(GVariant) report = g_variant_get_child_value(parameters, 0);

                line_log_add_ended(log, report_number(report, "LastLine"));
        }
}

LineLog *line_log_new(Harness *h, GDBusConnection *bus, const char *path, guint64 first) {
        LineLog *log = g_new0(LineLog, 1);

        log->harness = h;
        log->path = g_strdup(path);
        log->next = first;
        if (bus) {
                log->bus = g_object_ref(bus);
                log->subscription =
                        g_dbus_connection_signal_subscribe(bus, NULL, RM_RUNTIME_INTERFACE, NULL, path, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_signal, log, NULL);
        }
        return log;
}

void line_log_free(LineLog *log) {
        if (!log)
                return;
        if (log->bus) {
                g_dbus_connection_signal_unsubscribe(log->bus, log->subscription);
                g_object_unref(log->bus);
        }
        g_free(log->path);
        g_free(log);
}

typedef struct Wanted {
        LineLog *log;
        guint64 number;
} Wanted;

static gboolean line_has_come(gpointer userdata) {
        Wanted *wanted = userdata;

        return wanted->log->next > wanted->number;
}

void line_log_wait_for(LineLog *log, guint64 number) {
        Wanted wanted = {log, number};
        g_autofree char *what = g_strdup_printf("line %" G_GUINT64_FORMAT " comes to a subscriber of %s", number, log->path);

        harness_wait(log->harness, line_has_come, &wanted, what);
}

static gboolean end_has_come(gpointer userdata) {
        return ((LineLog *) userdata)->ended;
}

void line_log_wait_ended(LineLog *log) {
        g_autofree char *what = g_strdup_printf("Ended comes to a subscriber of %s", log->path);

        harness_wait(log->harness, end_has_come, log, what);
}

GDBusConnection *connect_plainly(Harness *h) {
        g_autoptr(GError) error = NULL;
        GDBusConnection *bus;

        bus = g_dbus_connection_new_for_address_sync(
                h->bus_address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        return bus;
}

guint64 subscribe(GDBusConnection *bus, const char *path, guint64 after, guint32 flags) {
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        guint64 last;

        reply = g_dbus_connection_call_sync(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Subscribe", g_variant_new("(tu)", after, flags),
                                            G_VARIANT_TYPE("(t)"), G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(t)", &last);
        return last;
}

void call_fails(GDBusConnection *bus, const char *path, const char *interface, const char *method, GVariant *parameters, const char *error) {
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) failure = NULL;
        g_autofree char *name = NULL;

        reply = g_dbus_connection_call_sync(bus, RM_BUS_NAME, path, interface, method, parameters, NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, &failure);
        g_assert_null(reply);
        name = g_dbus_error_get_remote_error(failure);
        g_assert_cmpstr(name, ==, error);
}
