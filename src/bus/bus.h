/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this room share: the connection, what is behind it, and the object that stands for a runtime on it. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "bus/audience.h"
#include "bus/auth.h"
#include "bus/callers.h"
#include "bus/feed.h"
#include "bus/peer.h"
#include "core/manager.h"
#include "core/sd-autoptr.h"

struct Bus {
        sd_event *event;
        sd_bus *bus;      /* NULL while there is no connection */
        bool many_users;  /* the system bus: each caller is judged by its uid, and sees and hears of its own */
        Manager *manager; /* NULL: it is gone, and we go too */
        PeerTable *peers;
        uint64_t output_usec; /* see feed.c: when output has paid for all that it has taken of the daemon's time */
        Callers *callers;
        Auth *auth;
        GHashTable *objects;    /* Runtime → RuntimeObject */
        GPtrArray *subscribers; /* peers with a subscription at the manager, not owned */
        GHashTable *missed;     /* Peer → what it has yet to be told, see audience.c */
        GPtrArray *start_calls; /* StartCall, those that wait to know who a user is */
        sd_id128_t id;          /* of the bus that the peers' names are from */
        GHashTable *moved;      /* RuntimeObject: subscribers of it have got on since their places were written */
        sd_event_source *places_timer;
        GHashTable *ends_in_queue; /* RuntimeObject: of these the bus has not been told the end yet */
        sd_event_source *ends_source;
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
        GPtrArray *followers;   /* Follower */
} RuntimeObject;

/* Flags of both Subscribe methods. */
#define SUBSCRIBE_LIFE 1U
#define SUBSCRIBE_OUTPUT 2U

/* Answers a call; what the answer takes beyond the flat rate of a call counts in the caller's window. */
int bus_reply_sized(Bus *bus, sd_bus_message *reply, sd_bus_message *call, size_t size);

/* objects.c: runtimes as objects on the bus */
extern const ManagerHandler bus_manager_handler; /* userdata: Bus */
RuntimeObject *bus_get_object(Bus *bus, Runtime *runtime);
int bus_wait(RuntimeObject *object, sd_bus_message *call, bool until_ended, sd_bus_error *reterr);
int bus_stop(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr);
int bus_kill(RuntimeObject *object, sd_bus_message *call, const char *who, int32_t signo, sd_bus_error *reterr);
/* An answer of the keeper as the answer to a call; userdata: the call, of which it takes the reference. */
void bus_answer_call(void *userdata, int error, int fd);

/* A quota of the caller's is used up. */
int bus_refuse_call(Bus *bus, sd_bus_error *reterr);
int bus_refuse_subscription(Bus *bus, sd_bus_error *reterr);
/* Pipes count for who is sent them until that one has read so far. A ping goes out behind what was sent; so far it has read; it is gone. */
int bus_take_pipe(Bus *bus, Peer *peer, sd_bus_error *reterr);
void bus_mark_pipes(Peer *peer);
void bus_give_pipes(Bus *bus, Peer *peer);
void bus_give_all_pipes(Bus *bus, Peer *peer);

/* The peer is gone, and its calls that wait with it. */
void bus_drop_peer_calls(Peer *peer);
/* The connection is gone, and those who called with it. */
void bus_drop_calls(Bus *bus);

/* visible.c: which runtime a call is about, as far as its caller may know (auth.h) */
extern const AuthHandler bus_auth_handler; /* userdata: Bus */
/* NULL and UID_UNKNOWN: not one that has passed (callers.h). */
Peer *bus_get_caller(Bus *bus, sd_bus_message *call);
uid_t bus_get_caller_uid(Bus *bus, sd_bus_message *call);
/* Whether the runtime exists for that user; and for this call. */
bool bus_may_see(const Bus *bus, uid_t uid, const Runtime *runtime);
bool bus_may_reach(Bus *bus, sd_bus_message *call, const Runtime *runtime);
/* What the methods of the manager call it for that user: its id, or if it is another's its name. */
const char *bus_runtime_id(const Bus *bus, uid_t uid, const Runtime *runtime);
/* Finds by path, for a call; 1, 0 if there is no such. */
int bus_find_object(Bus *bus, sd_bus_message *call, const char *path, RuntimeObject **ret);
/* The same by id (or name), by process, with the error that answers the call. */
int bus_find_by_id(Bus *bus, sd_bus_message *call, const char *id, RuntimeObject **ret, sd_bus_error *reterr);
int bus_find_by_pid(Bus *bus, sd_bus_message *call, uint32_t pid, RuntimeObject **ret, sd_bus_error *reterr);
/* As manager_next(), of those that the user may see. */
Runtime *bus_next_visible(Bus *bus, uid_t uid, Runtime *runtime);
/* Whether the caller may start that: 1, or negative with the error; 0: that is being asked, and the call will come again. */
int bus_authorize_start(Bus *bus, sd_bus_message *call, const char *kind, const StartOptions *options, sd_bus_error *reterr);

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
/* To one peer that has missed something: the runtime as it is now, and one that is gone. */
void emit_present_to(RuntimeObject *object, Peer *peer, bool added);
void emit_runtime_removed_to(Bus *bus, Peer *peer, const char *id, const char *path);

/* statistics.c */
int bus_reply_statistics(Bus *bus, sd_bus_message *call);

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

/* ends.c */
/* After the end of a runtime was told: whether it is with the bus. If not, its runtime is told when it is. */
bool ends_sent(RuntimeObject *object);
/* The object goes. */
void ends_forget(RuntimeObject *object);

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
