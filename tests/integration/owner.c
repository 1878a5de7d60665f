/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "owner.h"

const char *name_of(Client *client) {
        return g_dbus_connection_get_unique_name(client->bus);
}

char *start(Client *client, const char *more) {
        return client_start(client, "command", options_shell("exec sleep 1000", more));
}

void take(Client *client, const char *path, const char *options) {
        g_variant_unref(client_call(client, path, "TakeOwnership", g_variant_new("(@a{sv})", g_variant_new_parsed(options))));
}

char *take_fails(Client *client, const char *path, const char *options, const char *error) {
        return client_call_fails(client, path, "TakeOwnership", g_variant_new("(@a{sv})", g_variant_new_parsed(options)), error);
}

void release(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "ReleaseOwnership", NULL));
}

void assert_owner(Harness *h, const char *path, Client *owner, const char *owner_name) {
        g_autofree char *unique = client_get_string(h->client, path, "Owner"), *name = client_get_string(h->client, path, "OwnerName");

        g_assert_cmpstr(unique, ==, owner ? name_of(owner) : "");
        g_assert_cmpstr(name, ==, owner_name);
}

char *owners_signalled(Harness *h, const char *path) {
        GString *text = g_string_new(NULL);
        const Signal *signal;

        client_sync(h->client);
        for (size_t n = 0; (signal = client_find_signal(h->client, path, "OwnerChanged", n)); n++) {
                const char *owner;

                g_variant_get(signal->parameters, "(&s)", &owner);
                g_string_append_printf(text, "%s,", owner);
        }
        return g_string_free(text, FALSE);
}

static gboolean has_name(GDBusConnection *bus, const char *name) {
        g_autoptr(GVariant) reply = NULL;
        gboolean has;

        reply = g_dbus_connection_call_sync(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                                            g_variant_new("(s)", name), G_VARIANT_TYPE("(b)"), 0, -1, NULL, NULL);
        g_assert_nonnull(reply);
        g_variant_get(reply, "(b)", &has);
        return has;
}

typedef struct Name {
        GDBusConnection *bus;
        const char *name;
} Name;

static gboolean name_is_gone(gpointer userdata) {
        Name *name = userdata;

        return !has_name(name->bus, name->name);
}

static gboolean name_is_there(gpointer userdata) {
        return !name_is_gone(userdata);
}

void leave(Harness *h, Client *client) {
        g_autofree char *unique = g_strdup(name_of(client));
        Name name = {h->client->bus, unique};

        client_free(client);
        harness_wait(h, name_is_gone, &name, "the bus has noticed that a client left");
        client_sync(h->client);
}

void wait_for_name(Harness *h, const char *name) {
        Name wanted = {h->client->bus, name};
        g_autofree char *what = g_strdup_printf("somebody on the bus is called %s", name);

        harness_wait(h, name_is_there, &wanted, what);
}

void assert_ready(Harness *h, const char *path) {
        g_autofree char *state = client_get_string(h->client, path, "State");

        g_assert_cmpstr(state, ==, "ready");
}

void stop_undisturbed(Harness *h, const char *path) {
        g_autoptr(GVariant) report = NULL;

        assert_ready(h, path);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>}", NULL);
}

void wait_owner_gone(Harness *h, const char *path, const char *more) {
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'RequestedBy': <'owner'>}", "RequestedByUID");
        report_check(report, more ?: "{'Phase': <'ready'>, 'StopStage': <'terminate'>}", NULL);
        g_assert_cmpstr(report_string(report, "Message"), ==, "The owner of the runtime has left the bus.");
}

void wait_has_printed(Harness *h, const char *path) {
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, path, "OutputLines");
}
