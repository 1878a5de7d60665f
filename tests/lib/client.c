/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients do: call, record signals, read output. */

#include <stdarg.h>
#include <string.h>

#include "harness.h"
#include "util/names.h"

/* Longer than what is waited for: a call that isn't answered is told by what was waited for, not by GDBus. */
#define CALL_TIMEOUT_MSEC ((int) (HARNESS_DEADLINE_USEC / 1000))

static void signal_free(gpointer data) {
        Signal *signal = data;

        g_free(signal->path);
        g_free(signal->interface);
        g_free(signal->member);
        g_variant_unref(signal->parameters);
        g_free(signal);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *member, GVariant *parameters,
                      gpointer userdata) {
        Client *client = userdata;
        Signal *signal = g_new(Signal, 1);

        *signal = (Signal){g_strdup(path), g_strdup(interface), g_strdup(member), g_variant_ref(parameters)};
        g_ptr_array_add(client->signals, signal);
        if (strcmp(member, "RuntimeAdded") == 0) {
                const char *id;

                g_variant_get(parameters, "(&so)", &id, NULL);
                g_hash_table_add(client->harness->ids, g_strdup(id));
        }
}

Client *client_new(Harness *h) {
        Client *client = g_new0(Client, 1);
        g_autoptr(GError) error = NULL;

        client->harness = h;
        client->signals = g_ptr_array_new_with_free_func(signal_free);
        client->bus = g_dbus_connection_new_for_address_sync(
                h->bus_address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        client->subscription =
                g_dbus_connection_signal_subscribe(client->bus, RM_BUS_NAME, NULL, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_signal, client, NULL);
        return client;
}

void client_free(Client *client) {
        if (!client)
                return;
        g_dbus_connection_signal_unsubscribe(client->bus, client->subscription);
        (void) g_dbus_connection_close_sync(client->bus, NULL, NULL);
        g_object_unref(client->bus);
        g_ptr_array_unref(client->signals);
        g_free(client);
}

static GVariant *call(Client *client, const char *path, const char *interface, const char *method, GVariant *parameters, GError **error) {
        return g_dbus_connection_call_sync(client->bus, RM_BUS_NAME, path ?: RM_OBJECT_PATH, interface, method, parameters, NULL, G_DBUS_CALL_FLAGS_NONE,
                                           CALL_TIMEOUT_MSEC, NULL, error);
}

GVariant *client_try(Client *client, const char *path, const char *method, GVariant *parameters, char **ret_error, char **ret_message) {
        g_autoptr(GError) error = NULL;
        GVariant *reply;

        *ret_error = *ret_message = NULL;
        reply = call(client, path, path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE, method, parameters, &error);
        if (!reply) {
                *ret_error = g_dbus_error_get_remote_error(error);
                if (!*ret_error)
                        *ret_error = g_strdup("local");
                (void) g_dbus_error_strip_remote_error(error);
                *ret_message = g_strdup(error->message);
        }
        return reply;
}

GVariant *client_call(Client *client, const char *path, const char *method, GVariant *parameters) {
        g_autofree char *error = NULL, *message = NULL;
        GVariant *reply = client_try(client, path, method, parameters, &error, &message);

        if (!reply)
                harness_fail(client->harness, "%s of %s failed with %s: %s", method, path ?: "the manager", error, message);
        return reply;
}

char *client_call_fails(Client *client, const char *path, const char *method, GVariant *parameters, const char *error) {
        g_autofree char *full = strchr(error, '.') ? g_strdup(error) : g_strconcat(RM_ERROR_PREFIX, error, NULL), *found = NULL;
        g_autoptr(GVariant) reply = NULL;
        char *message;

        reply = client_try(client, path, method, parameters, &found, &message);
        if (reply) {
                g_autofree char *text = g_variant_print(reply, FALSE);

                harness_fail(client->harness, "%s should have failed with %s, but answered %s", method, full, text);
        }
        if (strcmp(found, full) != 0)
                harness_fail(client->harness, "%s should have failed with %s, not with %s: %s", method, full, found, message);
        g_assert_cmpstr(message, !=, "");
        return message;
}

GVariant *client_get(Client *client, const char *path, const char *property) {
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        GVariant *value;

        reply = call(client, path, "org.freedesktop.DBus.Properties", "Get",
                     g_variant_new("(ss)", path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE, property), &error);
        if (!reply)
                harness_fail(client->harness, "the property %s can't be read: %s", property, error->message);
        g_variant_get(reply, "(v)", &value);
        return value;
}

char *client_get_string(Client *client, const char *path, const char *property) {
        g_autoptr(GVariant) value = client_get(client, path, property);

        return g_variant_dup_string(value, NULL);
}

guint32 client_get_number(Client *client, const char *path, const char *property) {
        g_autoptr(GVariant) value = client_get(client, path, property);

        return g_variant_get_uint32(value);
}

GVariant *options_shell(const char *script, const char *more, ...) {
        GVariantDict options;

        g_variant_dict_init(&options, NULL);
        if (more) {
                g_autoptr(GVariant) added = NULL;
                GVariantIter iter;
                const char *key;
                GVariant *value;
                va_list list;

                va_start(list, more);
                added = g_variant_ref_sink(g_variant_new_parsed_va(more, &list));
                va_end(list);
                g_variant_iter_init(&iter, added);
                while (g_variant_iter_loop(&iter, "{&sv}", &key, &value))
                        g_variant_dict_insert_value(&options, key, value);
        }
        g_variant_dict_insert_value(&options, "Command", g_variant_new_strv((const char *[]){"sh", "-c", script}, 3));
        return g_variant_dict_end(&options);
}

char *client_start(Client *client, const char *kind, GVariant *options) {
        g_autoptr(GVariant) reply = client_call(client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", kind, options));
        const char *id;
        char *path;

        g_variant_get(reply, "(&so)", &id, &path);
        g_assert_cmpstr(path_to_id(path), ==, id);
        return path;
}

char *client_start_shell(Client *client, const char *script) {
        return client_start(client, "command", options_shell(script, NULL));
}

const char *path_to_id(const char *path) {
        return strrchr(path, '/') + 1;
}

GVariant *client_wait_ended(Client *client, const char *path) {
        g_autoptr(GVariant) reply = client_call(client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"));
        const char *state;
        GVariant *report;

        g_variant_get(reply, "(&s@a{sv})", &state, &report);
        g_assert_cmpstr(state, ==, "ended");
        return report;
}

char *client_wait_ready(Client *client, const char *path) {
        g_autoptr(GVariant) reply = client_call(client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ready"));
        char *state;

        g_variant_get(reply, "(sa{sv})", &state, NULL);
        return state;
}

typedef struct Awaited {
        Client *client;
        const char *path, *property, *text;
        size_t n;
} Awaited;

static gboolean has_string(gpointer userdata) {
        Awaited *awaited = userdata;
        g_autofree char *text = client_get_string(awaited->client, awaited->path, awaited->property);

        return strcmp(text, awaited->text) == 0;
}

void client_wait_string(Client *client, const char *path, const char *property, const char *value) {
        Awaited awaited = {client, path, property, value, 0};
        g_autofree char *what = g_strdup_printf("%s of %s is \"%s\"", property, path, value);

        harness_wait(client->harness, has_string, &awaited, what);
}

void client_wait_state(Client *client, const char *path, const char *state) {
        client_wait_string(client, path, "State", state);
}

void client_stop(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "Stop", g_variant_new_parsed("(@a{sv} {},)")));
}

const Signal *client_find_signal(Client *client, const char *path, const char *member, size_t n) {
        for (guint i = 0; i < client->signals->len; i++) {
                const Signal *signal = client->signals->pdata[i];

                if ((!path || strcmp(signal->path, path) == 0) && (!member || strcmp(signal->member, member) == 0) && n-- == 0)
                        return signal;
        }
        return NULL;
}

static gboolean has_signal(gpointer userdata) {
        Awaited *awaited = userdata;

        return client_find_signal(awaited->client, awaited->path, awaited->text, awaited->n) != NULL;
}

const Signal *client_wait_nth_signal(Client *client, const char *path, const char *member, size_t n) {
        Awaited awaited = {client, path, NULL, member, n};
        g_autofree char *what = g_strdup_printf("signal %s number %zu of %s", member, n + 1, path ?: "any");

        harness_wait(client->harness, has_signal, &awaited, what);
        return client_find_signal(client, path, member, n);
}

const Signal *client_wait_signal(Client *client, const char *path, const char *member) {
        return client_wait_nth_signal(client, path, member, 0);
}

/* GDBus has each signal wait in an idle source of the main context, so that the reply to a later call is no proof that they were recorded. */
void client_sync(Client *client) {
        g_autoptr(GVariant) reply = NULL;

        reply = call(client, NULL, "org.freedesktop.DBus.Peer", "Ping", NULL, NULL);
        while (g_main_context_iteration(NULL, FALSE))
                ;
}

static void line_free(gpointer data) {
        Line *line = data;

        g_bytes_unref(line->bytes);
        g_free(line);
}

static GPtrArray *lines_new(void) {
        return g_ptr_array_new_with_free_func(line_free);
}

/* row: (tytuay) or (tytus) */
static void lines_add(GPtrArray *lines, GVariant *row) {
        Line *line = g_new(Line, 1);
        g_autoptr(GVariant) bytes = NULL;

        g_variant_get(row, "(tytu*)", &line->number, &line->stream, &line->usec, &line->flags, &bytes);
        if (g_variant_is_of_type(bytes, G_VARIANT_TYPE_STRING)) {
                gsize size;
                const char *text = g_variant_get_string(bytes, &size);

                line->bytes = g_bytes_new(text, size);
        } else
                line->bytes = g_variant_get_data_as_bytes(bytes);
        g_ptr_array_add(lines, line);
}

static void lines_add_all(GPtrArray *lines, GVariant *rows) {
        for (gsize i = 0; i < g_variant_n_children(rows); i++) {
                g_autoptr(GVariant) row = g_variant_get_child_value(rows, i);

                lines_add(lines, row);
        }
}

GPtrArray *client_read_lines(Client *client, const char *path, guint64 after) {
        GPtrArray *lines = lines_new();
        gboolean more = TRUE;

        while (more) {
                g_autoptr(GVariant) reply = client_call(client, path, "ReadOutput", g_variant_new("(tu)", after, 0)), rows = NULL;
                guint before = lines->len;

                g_variant_get(reply, "(@a(tytuay)tb)", &rows, NULL, &more);
                lines_add_all(lines, rows);
                if (more && lines->len == before)
                        harness_fail(client->harness, "ReadOutput says that there are more lines after %" G_GUINT64_FORMAT ", but gives none", after);
                if (lines->len > 0)
                        after = ((Line *) lines->pdata[lines->len - 1])->number;
        }
        return lines;
}

GPtrArray *client_signalled_lines(Client *client, const char *path) {
        GPtrArray *lines = lines_new();
        const Signal *signal;

        for (size_t n = 0; (signal = client_find_signal(client, path, "OutputLines", n)); n++) {
                g_autoptr(GVariant) rows = g_variant_get_child_value(signal->parameters, 0);

                lines_add_all(lines, rows);
        }
        return lines;
}

static gboolean has_text(gpointer userdata) {
        Awaited *awaited = userdata;
        g_autofree char *text = client_read_text(awaited->client, awaited->path);

        return strstr(text, awaited->text) != NULL;
}

void client_wait_text(Client *client, const char *path, const char *text) {
        Awaited awaited = {client, path, NULL, text, 0};
        g_autofree char *what = g_strdup_printf("%s prints \"%s\"", path, text);

        harness_wait(client->harness, has_text, &awaited, what);
}

/* 1 PARTIAL, 4 UNTERMINATED */
GString *lines_join(GPtrArray *lines, guint8 stream) {
        GString *text = g_string_new(NULL);

        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                gsize size;
                const char *bytes = g_bytes_get_data(line->bytes, &size);

                if (stream != UINT8_MAX && line->stream != stream)
                        continue;
                g_string_append_len(text, bytes, size);
                if (!(line->flags & 5))
                        g_string_append_c(text, '\n');
        }
        return text;
}

char *client_read_text(Client *client, const char *path) {
        g_autoptr(GPtrArray) lines = client_read_lines(client, path, 0);

        return g_string_free(lines_join(lines, UINT8_MAX), FALSE);
}

static G_GNUC_NORETURN void report_fail(GVariant *report, const char *problem, const char *key) {
        g_autofree char *text = g_variant_print(report, TRUE);

        g_error("%s %s in the report %s", key, problem, text);
}

void report_check(GVariant *report, const char *expected, const char *absent) {
        g_autoptr(GVariant) dictionary = g_variant_ref_sink(g_variant_new_parsed(expected));
        g_auto(GStrv) keys = g_strsplit(absent ?: "", " ", -1);
        GVariantIter iter;
        const char *key;
        GVariant *value;

        g_variant_iter_init(&iter, dictionary);
        while (g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
                g_autoptr(GVariant) wanted = value, found = g_variant_lookup_value(report, key, NULL);
                g_autofree char *text = g_variant_print(wanted, TRUE), *problem = g_strdup_printf("is not %s", text);

                if (!found || !g_variant_equal(found, wanted))
                        report_fail(report, problem, key);
        }
        for (char **name = keys; *name; name++) {
                g_autoptr(GVariant) found = g_variant_lookup_value(report, *name, NULL);

                if (found)
                        report_fail(report, "must not be", *name);
        }
}

const char *report_string(GVariant *report, const char *key) {
        const char *text;

        return g_variant_lookup(report, key, "&s", &text) ? text : "";
}

guint64 report_number(GVariant *report, const char *key) {
        g_autoptr(GVariant) value = g_variant_lookup_value(report, key, NULL);

        if (!value)
                report_fail(report, "is missing", key);
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_INT32))
                return g_variant_get_int32(value);
        return g_variant_is_of_type(value, G_VARIANT_TYPE_UINT32) ? g_variant_get_uint32(value) : g_variant_get_uint64(value);
}
