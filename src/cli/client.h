/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The way to the service: the connection, calls, and what an error means for a person and for a script. Only here are
 * names of errors known.
 */

#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cli/cli.h"

/* sd_bus_call()'s own: 25 seconds, and for ever. */
#define CLIENT_TIMEOUT_DEFAULT UINT64_C(0)
#define CLIENT_TIMEOUT_NEVER UINT64_MAX

typedef struct Target {
        char *id;
        char *path;
} Target;

void target_clear(Target *target);

static inline void cleanup_bus(sd_bus **bus) {
        sd_bus_flush_close_unref(*bus);
}

static inline void cleanup_message(sd_bus_message **message) {
        sd_bus_message_unref(*message);
}

#define _cleanup_bus_ _cleanup_(cleanup_bus)
#define _cleanup_message_ _cleanup_(cleanup_message)
#define _cleanup_error_ _cleanup_(sd_bus_error_free)
#define _cleanup_target_ _cleanup_(target_clear)

/* Connects to the user's bus, or to the system's: as the options say. An exit code; what is wrong has then been said. */
int client_open(const Cli *cli, sd_bus **ret);

/* A call with arguments as for sd_bus_message_append(), and its answer (ret_reply may be NULL). Negative errno, with reterr. */
int client_call(sd_bus *bus, const char *path, const char *interface, const char *member, uint64_t timeout_usec, sd_bus_error *reterr,
                sd_bus_message **ret_reply, const char *types, ...);
/* The same for a message made elsewhere. */
int client_send(sd_bus *bus, sd_bus_message *message, uint64_t timeout_usec, sd_bus_error *reterr, sd_bus_message **ret_reply);
/* For what goes on for a while: a loop with this connection in it, which ends with -ECONNRESET when that is lost. Negative errno. */
int client_attach(sd_bus *bus, sd_event **ret);
/* Both may be NULL. */
void client_detach(sd_bus *bus, sd_event *event);
/* Tells of a service that comes or goes. Messages of others reach the handler too: it must look at the sender. Negative errno. */
int client_match_owner(sd_bus *bus, sd_bus_slot **ret_slot, sd_bus_message_handler_t handler, void *userdata);

/* All properties of a runtime as one object. */
int client_get_properties(sd_bus *bus, const char *path, sd_bus_error *reterr, json_t **ret);

/* Says what failed and what can be done, and returns the exit code for it. */
int client_fail(const sd_bus_error *error, int r);

/* Whether a call failed because the service isn't there (any more), so that it may be worth waiting for it. */
bool client_is_away(const sd_bus_error *error);
/* Whether it failed because the runtime isn't there (any more). */
bool client_is_unknown(const sd_bus_error *error);

/* The runtime whose id is `word`, or the only one whose id begins with it. An exit code; what is wrong has been said. */
int client_find(sd_bus *bus, const char *word, Target *ret);
