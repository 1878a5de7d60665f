/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The bus's side of the service as on a bus of many users, over a real message bus, with clients that are really of other users: the test, being root, connects
 * as them. What is behind the bus is played (fake-core.h). */

#include <systemd/sd-bus.h>

#include "bus/service.h"
#include "fake-core.h"
#include "fake-polkit.h"

/* Whether it can be done here; if not, says so as TAP does. */
bool users_can_be_had(void);

typedef struct World {
        sd_event *event;
        GSource *source;
        Service *service;
        Manager *manager;
        FakePolkit *polkit; /* says no */
        bool ready;
} World;

/* limits: NULL: none. */
World *world_new(const QuotaLimits *limits);
World *world_free(World *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)
/* What is left of the parts is kept by records; world_start() makes new ones that find it. Between them runtimes may be added. */
void world_stop(World *world);
void world_prepare(World *world);
void world_start(World *world);

typedef struct Client {
        World *world;
        sd_bus *bus;
        const char *name;
        GPtrArray *signals; /* "Member path", as they came from the service */
        char *added;        /* the id in the last RuntimeAdded */
        uint64_t last_line; /* number of the last line in the last OutputLines */
} Client;

/* Reads what it is sent, and asks for every signal that there is. */
Client *client_new(World *world, uid_t uid);
Client *client_free(Client *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)
void client_stop_reading(Client *client);
void client_read_again(Client *client);
/* How many signals with this text have come by now. */
unsigned client_count(Client *client, const char *text);
/* All that was sent to it before is here when this returns. */
void client_sync(Client *client);

/* Calls and waits: the answer, which may be an error. path: NULL: the manager's; interface: NULL: the manager's, or that of a runtime. */
sd_bus_message *client_call(Client *client, const char *path, const char *interface, const char *member, const char *types, ...);
/* Answers that come when they come, each as "TEXT: the first string in it" or "TEXT: error name". */
void client_send(Client *client, GPtrArray *answers, const char *text, const char *path, const char *interface, const char *member, const char *types, ...);

/* The answer's contents, or the error with its name and message, as a text. */
char *answer_to_text(sd_bus_message *answer);
#define assert_answer(answer_, text_)                                                                                                                          \
        do {                                                                                                                                                   \
                g_autoptr(sd_bus_message) answer__ = (answer_);                                                                                                \
                g_autofree char *found__ = answer_to_text(answer__);                                                                                           \
                g_assert_cmpstr(found__, ==, text_);                                                                                                           \
        } while (0)
#define assert_answer_has(answer_, text_)                                                                                                                      \
        do {                                                                                                                                                   \
                g_autoptr(sd_bus_message) answer__ = (answer_);                                                                                                \
                g_autofree char *found__ = answer_to_text(answer__);                                                                                           \
                if (!strstr(found__, text_))                                                                                                                   \
                        g_error("%s: \"%s\" is not in: %s", G_STRLOC, text_, found__);                                                                         \
        } while (0)
