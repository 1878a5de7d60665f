/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bus takes a connection's uid from its socket, and that has the effective uid of the moment at which it was connected. */

#include "users.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/sd-autoptr.h"
#include "loop.h"
#include "private-bus.h"
#include "util/macro.h"
#include "util/names.h"

#define NO_LIMIT                                                                                                                                               \
        { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX }

bool users_can_be_had(void) {
        if (geteuid() == 0 && seteuid(ALICE) == 0 && seteuid(0) == 0)
                return true;
        puts("1..0 # SKIP only root can connect to a bus as several users");
        return false;
}

static void on_ready(void *userdata) {
        ((World *) userdata)->ready = true;
}

static void on_lost(void *userdata) {
}

static void on_failed(void *userdata, const char *message) {
        g_error("%s", message);
}

static void on_idle(void *userdata) {
}

static const ServiceHandler handler = {on_ready, on_lost, on_failed, on_idle};

static const QuotaLimits no_limits = {.max = NO_LIMIT, .starts_per_second = UINT64_MAX, .starts_burst = UINT64_MAX};

static void world_make(World *world, const QuotaLimits *limits) {
        g_assert_cmpint(service_new(world->event, true, private_bus_open_to_all(), &handler, world, &world->service), ==, 0);
        world->manager = fake_manager_new(service_get_manager_handler(), service_get_manager_userdata(world->service), limits ?: &no_limits);
}

void world_prepare(World *world) {
        world_make(world, NULL);
}

void world_start(World *world) {
        world->ready = false;
        g_assert_cmpint(service_start(world->service, world->manager), >=, 0);
        AWAIT(world->ready);
}

World *world_new(const QuotaLimits *limits) {
        World *world = g_new0(World, 1);

        g_assert_cmpint(sd_event_new(&world->event), >=, 0);
        world->source = loop_add_event(world->event);
        world->polkit = fake_polkit_new(private_bus_open_to_all());
        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_NO);
        world_make(world, limits);
        world_start(world);
        return world;
}

void world_stop(World *world) {
        world->manager = fake_manager_free(world->manager);
        world->service = service_free(world->service);
}

World *world_free(World *world) {
        if (world->manager)
                world_stop(world);
        fake_polkit_free(world->polkit);
        g_source_destroy(world->source);
        g_source_unref(world->source);
        sd_event_unref(world->event);
        fake_manager_forget_records();
        g_free(world);
        return NULL;
}

static void read_lines(Client *client, sd_bus_message *message) {
        g_assert_cmpint(sd_bus_message_enter_container(message, 'a', "(tytus)"), >=, 0);
        while (sd_bus_message_read(message, "(tytus)", &client->last_line, NULL, NULL, NULL, NULL) > 0)
                ;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Client *client = userdata;
        const char *id;
        uint8_t type;

        if (sd_bus_message_get_type(message, &type) < 0 || type != SD_BUS_MESSAGE_SIGNAL ||
            g_str_has_prefix(sd_bus_message_get_path(message), "/org/freedesktop/"))
                return 0;
        g_ptr_array_add(client->signals, g_strdup_printf("%s %s", sd_bus_message_get_member(message), sd_bus_message_get_path(message)));
        if (strcmp(sd_bus_message_get_member(message), "RuntimeAdded") == 0 && sd_bus_message_read(message, "s", &id) > 0) {
                g_free(client->added);
                client->added = g_strdup(id);
        }
        if (strcmp(sd_bus_message_get_member(message), "OutputLines") == 0)
                read_lines(client, message);
        return 0;
}

Client *client_new(World *world, uid_t uid) {
        Client *client = g_new0(Client, 1);
        int r;

        client->world = world;
        client->signals = g_ptr_array_new_with_free_func(g_free);
        g_assert_cmpint(sd_bus_new(&client->bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(client->bus, private_bus_open_to_all()), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(client->bus, 1), >=, 0);
        g_assert_cmpint(seteuid(uid), ==, 0);
        r = sd_bus_start(client->bus);
        g_assert_cmpint(seteuid(0), ==, 0);
        g_assert_cmpint(r, >=, 0);
        g_assert_cmpint(sd_bus_add_filter(client->bus, NULL, on_message, client), >=, 0);
        g_assert_cmpint(sd_bus_get_unique_name(client->bus, &client->name), >=, 0);
        g_assert_cmpint(sd_bus_add_match(client->bus, NULL, "type='signal'", NULL, NULL), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(client->bus, world->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        return client;
}

Client *client_free(Client *client) {
        sd_bus_flush_close_unref(client->bus);
        g_ptr_array_unref(client->signals);
        g_free(client->added);
        g_free(client);
        return NULL;
}

void client_stop_reading(Client *client) {
        g_assert_cmpint(sd_bus_flush(client->bus), >=, 0);
        g_assert_cmpint(sd_bus_detach_event(client->bus), >=, 0);
}

void client_read_again(Client *client) {
        g_assert_cmpint(sd_bus_attach_event(client->bus, client->world->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
}

unsigned client_count(Client *client, const char *text) {
        unsigned n = 0;

        for (unsigned i = 0; i < client->signals->len; i++)
                n += strcmp(client->signals->pdata[i], text) == 0;
        return n;
}

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *reterr) {
        *(sd_bus_message **) userdata = sd_bus_message_ref(answer);
        return 0;
}

static sd_bus_message *make_call(Client *client, const char *path, const char *interface, const char *member, const char *types, va_list arguments) {
        sd_bus_message *call = NULL;

        g_assert_cmpint(sd_bus_message_new_method_call(client->bus, &call, RM_BUS_NAME, path ?: RM_OBJECT_PATH,
                                                       interface ?: (path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE), member),
                        >=, 0);
        if (types)
                g_assert_cmpint(sd_bus_message_appendv(call, types, arguments), >=, 0);
        return call;
}

sd_bus_message *client_call(Client *client, const char *path, const char *interface, const char *member, const char *types, ...) {
        g_autoptr(sd_bus_message) call = NULL;
        sd_bus_message *answer = NULL;
        sd_bus_slot *slot = NULL;
        va_list arguments;

        va_start(arguments, types);
        call = make_call(client, path, interface, member, types, arguments);
        va_end(arguments);
        g_assert_cmpint(sd_bus_call_async(client->bus, &slot, call, on_answer, &answer, UINT64_MAX), >=, 0);
        AWAIT(answer);
        sd_bus_slot_unref(slot);
        return answer;
}

/* The service's answer to a Ping comes behind all that it sent before. */
void client_sync(Client *client) {
        sd_bus_message_unref(client_call(client, NULL, "org.freedesktop.DBus.Peer", "Ping", NULL));
}

typedef struct Sent {
        GPtrArray *answers;
        char *text;
} Sent;

static void sent_free(void *userdata) {
        Sent *sent = userdata;

        g_ptr_array_unref(sent->answers);
        g_free(sent->text);
        g_free(sent);
}

static int on_sent_answer(sd_bus_message *answer, void *userdata, sd_bus_error *reterr) {
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        Sent *sent = userdata;
        const char *string = "";

        if (!error)
                (void) sd_bus_message_read(answer, "s", &string);
        g_ptr_array_add(sent->answers, g_strdup_printf("%s: %s", sent->text, error ? error->name : string));
        return 0;
}

void client_send(Client *client, GPtrArray *answers, const char *text, const char *path, const char *interface, const char *member, const char *types, ...) {
        g_autoptr(sd_bus_message) call = NULL;
        Sent *sent = g_new(Sent, 1);
        sd_bus_slot *slot = NULL;
        va_list arguments;

        *sent = (Sent){g_ptr_array_ref(answers), g_strdup(text)};
        va_start(arguments, types);
        call = make_call(client, path, interface, member, types, arguments);
        va_end(arguments);
        g_assert_cmpint(sd_bus_call_async(client->bus, &slot, call, on_sent_answer, sent, UINT64_MAX), >=, 0);
        g_assert_cmpint(sd_bus_slot_set_destroy_callback(slot, sent_free), >=, 0);
        g_assert_cmpint(sd_bus_slot_set_floating(slot, 1), >=, 0);
        sd_bus_slot_unref(slot);
}

char *answer_to_text(sd_bus_message *answer) {
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        char *buffer = NULL, *text;
        size_t size = 0;
        FILE *file;

        if (error)
                return g_strdup_printf("%s: %s", error->name, error->message);
        file = open_memstream(&buffer, &size);
        g_assert_nonnull(file);
        g_assert_cmpint(sd_bus_message_dump(answer, file, SD_BUS_MESSAGE_DUMP_SUBTREE_ONLY), >=, 0);
        fclose(file);
        text = g_strdup(buffer);
        free(buffer);
        return text;
}
