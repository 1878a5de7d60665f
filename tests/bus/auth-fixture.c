/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "auth-fixture.h"

#include <string.h>

#include "loop.h"
#include "private-bus.h"

const Row rows[3] = {
        {"u1001_mine", ALICE, ALICE},
        {"u1002_his", BOB, BOB},
        {"u1001_for_alice", ALICE, BOB},
};

static const Row *find_row(Fixture *fixture, const char *name) {
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
                if (strcmp(rows[i].name, name) == 0 && !g_ptr_array_find(fixture->gone, &rows[i], NULL))
                        return &rows[i];
        return NULL;
}

static uid_t uid_of(Fixture *fixture, sd_bus_message *call) {
        gpointer uid;

        if (!g_hash_table_lookup_extended(fixture->uids, sd_bus_message_get_sender(call), NULL, &uid))
                return UID_NOBODYS;
        return GPOINTER_TO_UINT(uid);
}

/* An id is the caller's own first, then a name. */
static void find_target(void *userdata, uid_t caller, const char *text, bool is_path, AuthTarget *ret) {
        Fixture *fixture = userdata;
        g_autofree char *own = g_strdup_printf("u%u_%s", caller, text);
        const char *name = is_path ? text + strlen(RM_RUNTIME_PREFIX "/") : text;
        const Row *row = find_row(fixture, name);
        unsigned uid;

        if (!row && !is_path && sscanf(name, "u%u_", &uid) != 1) {
                name = own;
                row = find_row(fixture, name);
        }
        if (sscanf(name, "u%u_", &uid) != 1)
                return;
        ret->uid = uid;
        g_strlcpy(ret->name, name, sizeof(ret->name));
        ret->exists = row;
        if (!row)
                return;
        ret->starter_uid = row->starter_uid;
        ret->kind = "mix-standalone";
        ret->user = "alice";
}

static void on_failing(void *userdata, const char *action, const char *problem) {
}

static const AuthHandler handler = {find_target, on_failing};

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Fixture *fixture = userdata;
        uint8_t type;
        int r;

        if (sd_bus_message_get_type(message, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;
        if (auth_again(fixture->auth, message, &r))
                return r;
        return auth_filter(fixture->auth, message, uid_of(fixture, message));
}

static bool may_reach(Fixture *fixture, sd_bus_message *call, const Row *row) {
        return auth_may_reach(fixture->auth, call, uid_of(fixture, call), row->name, row->uid, row->starter_uid);
}

static int find_object(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found, sd_bus_error *reterr) {
        Fixture *fixture = userdata;
        const Row *row;

        if (!g_str_has_prefix(path, RM_RUNTIME_PREFIX "/"))
                return 0;
        row = find_row(fixture, path + strlen(RM_RUNTIME_PREFIX "/"));
        if (!row || !may_reach(fixture, sd_bus_get_current_message(bus), row))
                return 0;
        *ret_found = fixture;
        return 1;
}

static int reply_done(Fixture *fixture, sd_bus_message *call, const char *what) {
        g_string_append_printf(fixture->done, "%s %s %u;", sd_bus_message_get_member(call), what, uid_of(fixture, call));
        return sd_bus_reply_method_return(call, NULL);
}

static int method_of_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return reply_done(userdata, call, sd_bus_message_get_path(call) + strlen(RM_RUNTIME_PREFIX "/"));
}

static int method_by_id(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        Fixture *fixture = userdata;
        AuthTarget target = {};
        const char *id;
        const Row *row;
        int r;

        r = sd_bus_message_read(call, "s", &id);
        if (r < 0)
                return r;
        find_target(fixture, uid_of(fixture, call), id, false, &target);
        row = find_row(fixture, target.name);
        if (!row || !may_reach(fixture, call, row))
                return sd_bus_error_setf(reterr, RM_ERROR_NO_SUCH_RUNTIME, "There is no runtime \"%s\".", id);
        return reply_done(fixture, call, row->name);
}

static int method_of_manager(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return reply_done(userdata, call, "-");
}

static int method_start(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        Fixture *fixture = userdata;
        uid_t caller = uid_of(fixture, call);
        AuthStart start = {.kind = "command", .id = fixture->start_id, .uid = fixture->start_uid ?: caller, .user = "some\none"};
        int r;

        if (caller == 0 || fixture->start_uid == UID_NOBODYS)
                start.uid = 0;
        r = auth_check_start(fixture->auth, call, caller, &start, reterr);
        if (r <= 0)
                return r < 0 ? r : 1;
        return reply_done(fixture, call, "-");
}

static int property_get(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                        sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", "here");
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("StartRuntime", "sa{sv}", NULL, method_start, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("StopRuntime", "sa{sv}", NULL, method_by_id, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetRuntime", "s", NULL, method_by_id, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListKinds", NULL, NULL, method_of_manager, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Reload", NULL, NULL, method_of_manager, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetStatistics", NULL, NULL, method_of_manager, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Unlisted", NULL, NULL, method_of_manager, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Unlisted", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable runtime_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Stop", "a{sv}", NULL, method_of_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Restart", NULL, NULL, method_of_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("WriteInput", "ay", NULL, method_of_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetUsage", NULL, NULL, method_of_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Unlisted", NULL, NULL, method_of_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("State", "s", property_get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

static int on_name_owner(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Fixture *fixture = userdata;
        const char *name, *old, *new;

        g_assert_cmpint(sd_bus_message_read(message, "sss", &name, &old, &new), >, 0);
        if (*new == '\0') {
                auth_drop_peer(fixture->auth, name);
                g_string_append_printf(fixture->left, "%s ", name);
        }
        return 0;
}

Person *person_new(Fixture *fixture, uid_t uid) {
        Person *person = g_new0(Person, 1);
        g_autoptr(GError) error = NULL;

        person->uid = uid;
        person->bus = g_dbus_connection_new_for_address_sync(
                private_bus_address(), G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        g_hash_table_insert(fixture->uids, g_strdup(g_dbus_connection_get_unique_name(person->bus)), GUINT_TO_POINTER(uid));
        return person;
}

void person_free(Person *person) {
        if (!person)
                return;
        if (!g_dbus_connection_is_closed(person->bus))
                g_dbus_connection_close_sync(person->bus, NULL, NULL);
        g_object_unref(person->bus);
        g_free(person);
}

Fixture *fixture_new(AuthMode mode) {
        Fixture *fixture = g_new0(Fixture, 1);
        sd_bus *bus;

        g_assert_cmpint(sd_event_new(&fixture->event), >=, 0);
        fixture->source = loop_add_event(fixture->event);
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        fixture->bus = bus;
        g_assert_cmpint(sd_bus_set_address(bus, private_bus_address()), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, 1), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_get_unique_name(bus, &fixture->name), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(bus, fixture->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        g_assert_cmpint(sd_bus_add_filter(bus, NULL, on_message, fixture), >=, 0);
        g_assert_cmpint(sd_bus_add_object_vtable(bus, NULL, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, manager_vtable, fixture), >=, 0);
        g_assert_cmpint(sd_bus_add_fallback_vtable(bus, NULL, RM_RUNTIME_PREFIX, RM_RUNTIME_INTERFACE, runtime_vtable, find_object, fixture), >=, 0);
        g_assert_cmpint(sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged",
                                            on_name_owner, fixture),
                        >=, 0);
        fixture->left = g_string_new(NULL);
        fixture->auth = auth_new(mode, &handler, fixture);
        auth_attach(fixture->auth, bus);
        fixture->uids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        fixture->done = g_string_new(NULL);
        fixture->gone = g_ptr_array_new();
        fixture->polkit = fake_polkit_new(private_bus_address());
        fixture->root = person_new(fixture, 0);
        fixture->alice = person_new(fixture, ALICE);
        fixture->bob = person_new(fixture, BOB);
        fixture->carol = person_new(fixture, CAROL);
        return fixture;
}

void fixture_free(Fixture *fixture) {
        person_free(fixture->root);
        person_free(fixture->alice);
        person_free(fixture->bob);
        person_free(fixture->carol);
        auth_free(fixture->auth);
        sd_bus_flush_close_unref(fixture->bus);
        fake_polkit_free(fixture->polkit);
        g_source_destroy(fixture->source);
        g_source_unref(fixture->source);
        sd_event_unref(fixture->event);
        g_hash_table_unref(fixture->uids);
        g_string_free(fixture->done, TRUE);
        g_string_free(fixture->left, TRUE);
        g_ptr_array_unref(fixture->gone);
        g_free(fixture);
}

static void on_called(GObject *object, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GDBusMessage) reply = NULL;
        g_autoptr(GError) error = NULL;
        Call *call = userdata;

        call->done = TRUE;
        reply = g_dbus_connection_send_message_with_reply_finish(G_DBUS_CONNECTION(object), result, &error);
        if (reply && g_dbus_message_to_gerror(reply, &error)) {
                call->error = g_strdup(g_dbus_message_get_error_name(reply));
                g_dbus_error_strip_remote_error(error);
        }
        if (error)
                call->text = g_strdup(error->message);
        if (error && !call->error)
                call->error = g_strdup("local");
}

Call *call_begin(Fixture *fixture, Person *person, const char *path, const char *interface, const char *member, GVariant *body, gboolean interactive) {
        g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(fixture->name, path, interface, member);
        Call *call = g_new0(Call, 1);

        if (body)
                g_dbus_message_set_body(message, body);
        if (interactive)
                g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);
        g_dbus_connection_send_message_with_reply(person->bus, message, 0, G_MAXINT, NULL, NULL, on_called, call);
        return call;
}

void call_free(Call *call) {
        g_free(call->error);
        g_free(call->text);
        g_free(call);
}

Call *call_wait(Fixture *fixture, Person *person, const char *path, const char *interface, const char *member, GVariant *body, gboolean interactive) {
        Call *call = call_begin(fixture, person, path, interface, member, body, interactive);

        AWAIT(call->done);
        return call;
}

GVariant *no_options(void) {
        return g_variant_new_parsed("(@a{sv} {},)");
}

GVariant *body_by_id(const char *id) {
        return g_variant_new_parsed("(%s, @a{sv} {})", id);
}

Call *stop(Fixture *fixture, Person *person, const char *path) {
        return call_wait(fixture, person, path, RM_RUNTIME_INTERFACE, "Stop", no_options(), FALSE);
}

Call *start_begin(Fixture *fixture, Person *person, gboolean interactive) {
        return call_begin(fixture, person, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime", body_by_id("command"), interactive);
}

Call *start(Fixture *fixture, Person *person, gboolean interactive) {
        Call *call = start_begin(fixture, person, interactive);

        AWAIT(call->done);
        return call;
}

void assert_same_refusal(const Call *one, const char *one_name, const Call *other, const char *other_name) {
        g_autoptr(GString) text = g_string_new(one->text);

        g_string_replace(text, one_name, other_name, 0);
        g_assert_cmpstr(one->error, ==, other->error);
        g_assert_cmpstr(text->str, ==, other->text);
}
