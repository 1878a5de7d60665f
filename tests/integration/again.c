/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "again.h"

#include "util/names.h"

static void on_reply(GObject *source, GAsyncResult *result, gpointer userdata) {
        Call *call = userdata;

        call->reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &call->error);
        call->done = TRUE;
}

Call *call_begin(Client *client, const char *path, const char *method, GVariant *parameters) {
        Call *call = g_new0(Call, 1);

        call->h = client->harness;
        g_dbus_connection_call(client->bus, RM_BUS_NAME, path ?: RM_OBJECT_PATH, path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE, method, parameters, NULL,
                               0, (int) (HARNESS_DEADLINE_USEC / 1000), NULL, on_reply, call);
        return call;
}

static gboolean call_is_done(gpointer userdata) {
        return ((Call *) userdata)->done;
}

GVariant *call_end(Call *call, char **ret_error) {
        GVariant *reply;

        harness_wait(call->h, call_is_done, call, "a call is answered");
        reply = call->reply;
        *ret_error = call->error ? g_dbus_error_get_remote_error(call->error) : NULL;
        g_clear_error(&call->error);
        g_free(call);
        return reply;
}

void call_end_well(Call *call) {
        g_autofree char *error = NULL;
        g_autoptr(GVariant) reply = NULL;
        Harness *h = call->h;

        reply = call_end(call, &error);
        if (!reply)
                harness_fail(h, "a call under way failed with %s", error);
}

void call_end_badly(Call *call, const char *name) {
        g_autofree char *error = NULL;
        g_autoptr(GVariant) reply = call_end(call, &error);

        g_assert_null(reply);
        g_assert_cmpstr(error, ==, name);
}

void restart(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "Restart", NULL));
}

void assert_state(Harness *h, const char *path, const char *state, guint32 generation) {
        g_autofree char *found = client_get_string(h->client, path, "State");

        g_assert_cmpstr(found, ==, state);
        g_assert_cmpuint(client_get_number(h->client, path, "Generation"), ==, generation);
}

void assert_text(Harness *h, const char *path, const char *expected) {
        g_autofree char *text = client_read_text(h->client, path);

        g_assert_cmpstr(text, ==, expected);
}

GVariant *nth_report(Harness *h, const char *path, guint n) {
        return g_variant_get_child_value(client_wait_nth_signal(h->client, path, "Ended", n)->parameters, 0);
}

void add_kind(Harness *h, const char *name, const char *text) {
        g_autofree char *file = g_strdup_printf("config/runtime-manager/kinds/%s.kind", name);

        g_free(harness_add_file(h, file, text, 0644));
}
