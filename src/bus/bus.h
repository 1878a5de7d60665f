/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this room share: the connection, what is behind it, and the object that stands for a runtime on it. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "bus/feed.h"
#include "bus/peer.h"
#include "core/manager.h"
#include "core/sd-autoptr.h"

struct Bus {
        sd_event *event;
        sd_bus *bus; /* NULL while there is no connection */
        Manager *manager;
        PeerTable *peers;
        GHashTable *objects;    /* Runtime → RuntimeObject */
        GPtrArray *subscribers; /* peers with a subscription at the manager, not owned */
        sd_id128_t id;          /* of the bus that the peers' names are from */
        GHashTable *moved;      /* RuntimeObject: subscribers of it have got on since their places were written */
        sd_event_source *places_timer;
        void (*on_all_loaded)(Bus *bus);
        void (*on_idle)(void *userdata); /* see service.h */
        void *on_idle_userdata;
};

typedef struct RuntimeObject {
        Bus *bus;
        Runtime *runtime;
        char *path;
        Feed *feed;
        Peer *owner;      /* NULL: nobody */
        char *owner_name; /* what the owner calls itself */
        uint64_t owner_grace_usec;
        bool owner_gone;        /* it left the bus, and nobody has taken its place */
        GPtrArray *start_calls; /* sd_bus_message, to be answered when it has started */
        GPtrArray *wait_calls;  /* WaitCall */
} RuntimeObject;

/* Flags of both Subscribe methods. */
#define SUBSCRIBE_LIFE 1U
#define SUBSCRIBE_OUTPUT 2U

/* Answers a call; what the answer takes beyond the flat rate of a call counts in the caller's window. */
int bus_reply_sized(Bus *bus, sd_bus_message *reply, sd_bus_message *call, size_t size);

/* objects.c: runtimes as objects on the bus */
extern const ManagerHandler bus_manager_handler; /* userdata: Bus */
RuntimeObject *bus_get_object(Bus *bus, Runtime *runtime);
/* Finds by path; 1, 0 if there is no such, negative errno. */
int bus_find_object(Bus *bus, const char *path, RuntimeObject **ret);
int bus_wait(RuntimeObject *object, sd_bus_message *call, bool until_ended, sd_bus_error *reterr);
int bus_stop(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr);
int bus_kill(RuntimeObject *object, sd_bus_message *call, const char *who, int32_t signo, sd_bus_error *reterr);
/* An answer of the keeper as the answer to a call; userdata: the call, of which it takes the reference. */
void bus_answer_call(void *userdata, int error, int fd);

/* The peer is gone, and its calls that wait with it. */
void bus_drop_peer_calls(Peer *peer);
/* The connection is gone, and those who called with it. */
void bus_drop_calls(Bus *bus);

/* emitter.c: the only place that sends signals, but for output (feed.c) */
void emit_runtime_added(RuntimeObject *object);
void emit_runtime_removed(RuntimeObject *object);
void emit_properties(RuntimeObject *object, unsigned properties);
void emit_state(RuntimeObject *object, RuntimeState old, RuntimeState new);
void emit_setup_progress(RuntimeObject *object, unsigned index);
void emit_handshake_completed(RuntimeObject *object);
void emit_owner_changed(RuntimeObject *object);
void emit_warning(RuntimeObject *object, const char *code, const char *text, const char *key, uint64_t value);
void emit_ended(RuntimeObject *object);

/* manager-interface.c, runtime-interface.c, runtime-properties.c */
extern const sd_bus_vtable bus_manager_vtable[];
extern const sd_bus_vtable bus_runtime_vtable[]; /* userdata: RuntimeObject */
/* a{sv} of the properties with these bits (RuntimeProperty); 0: of all. */
int bus_append_runtime_properties(sd_bus_message *message, RuntimeObject *object, unsigned bits);
/* a{sv} of those that ListRuntimes tells. */
int bus_append_runtime_summary(sd_bus_message *message, RuntimeObject *object);
int property_get_runtime(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                         sd_bus_error *reterr);

/* clients.c */
/* Writes who owns and who follows a runtime. */
void clients_save(RuntimeObject *object);
/* The same in a while, for places in the output alone; and those now. */
void clients_moved(RuntimeObject *object);
void clients_save_moved(Bus *bus);
void clients_forget(RuntimeObject *object);
/* The subscribers of the manager. */
void clients_save_subscribers(Bus *bus);
/* Before there is a connection. Nobody is sent anything until peer_table_recheck(). */
void clients_load_subscribers(Bus *bus);
void clients_load(RuntimeObject *object);

/* ownership.c */
void ownership_begin(RuntimeObject *object, Peer *caller);
int ownership_take(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr);
int ownership_release(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr);
/* A restart: what its owner's absence means begins anew. */
void ownership_resume(RuntimeObject *object);
/* Who starts an ended one again knows that its owner has left. */
void ownership_forget_gone(RuntimeObject *object);
/* The object goes. */
void ownership_end(RuntimeObject *object);
/* The peer has gone, with all that it owned. */
void ownership_drop_peer(Peer *peer);

/* connection-message.c */
/* a{sv} from the JSON object that a runtime gave; what isn't a string, a number or a boolean is left out. */
int bus_append_connection(sd_bus_message *message, const char *connection);

/* report-message.c */
/* a{sv}; empty if report is NULL. */
int bus_append_report(sd_bus_message *message, const Report *report);
