/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the scope room share; for nobody else. Two back ends stand behind scope.h: scope.c with scope-bus.c talks to systemd, scope-spawner.c
 * with scope-link.c to the spawner. scope-object.c has what they have in common. */

#include <glib.h>

#include "core/scope.h"
#include "core/scope-link.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_UNIT_PREFIX "/org/freedesktop/systemd1/unit"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT "org.freedesktop.systemd1.Unit"
#define SYSTEMD_SCOPE "org.freedesktop.systemd1.Scope"

/* What each back end does in its own way. None calls a handler before it returns, but for ask_restart. */
typedef struct ScopeBackend {
        bool (*is_connected)(const ScopeBus *bus);
        void (*close)(ScopeBus *bus);
        /* The scope is new, and in the state SCOPE_CALLING. */
        int (*start)(Scope *scope, const ScopeOptions *options);
        /* It is in the state SCOPE_ACTIVE, if it is there at all. */
        void (*adopt)(Scope *scope);
        /* We have lost interest, in whatever state it is; true: the memory is the back end's now. */
        bool (*forget)(Scope *scope);
        void (*stop)(Scope *scope);
        void (*kill)(Scope *scope);
        int (*set_limits)(Scope *scope, const LimitSet *limits, unsigned keys);
} ScopeBackend;

/* A call of systemd, from when it is asked for until it is answered or nobody waits for that any more. */
typedef struct ScopeCall ScopeCall;

struct ScopeBus {
        const ScopeBackend *backend;
        sd_event *event;
        GHashTable *by_unit; /* unit name → Scope, not owned */
        ScopeRestartFunc restart_func;
        void *restart_userdata;
        sd_event_source *retry_timer;

        /* of the direct back end */
        sd_bus *bus; /* NULL while there is no connection */
        sd_bus_slot *job_removed_match;
        sd_bus_slot *state_match;
        sd_bus_slot *result_match;
        sd_bus_slot *disconnected_match;
        sd_bus_slot *owner_match;
        sd_bus_slot *filter;
        char *systemd;   /* its unique name; NULL: not known yet */
        bool is_another; /* than the one that our scopes have asked */
        sd_bus_slot *subscribe_call;
        char *address;       /* NULL: the user's bus */
        GHashTable *by_path; /* object path → Scope, not owned */
        sd_bus_slot *own_job_call;
        sd_bus_slot *list_call;
        ScopeListFunc list_func;
        void *list_userdata;
        GQueue open_calls, waiting_calls; /* ScopeCall */
        bool no_oom_policy;               /* this systemd doesn't know OOMPolicy= for scopes */

        /* of the spawner's */
        ScopeLink *link;
        GHashTable *users; /* cookie → UserQuestion */
        uint32_t last_cookie;
        sd_event_source *restart_timer;
};

typedef enum ScopeState {
        SCOPE_CALLING,  /* StartTransientUnit is under way */
        SCOPE_STARTING, /* its job is */
        SCOPE_ACTIVE,
        SCOPE_DEAD, /* there is no unit, or it isn't ours any more */
} ScopeState;

struct Scope {
        ScopeBus *bus;
        char *unit, *path, *description, *slice, *job;
        char *ended_job, *ended_result; /* a job of the unit that was removed before we knew which is ours */
        bool was_active, is_dead;       /* what the unit said of itself while it was being started */
        pid_t pid;
        LimitSet limits;
        uint64_t timeout_stop_usec;
        bool abandoned;   /* freed by its owner while the spawner was making it; what becomes of it is awaited */
        bool with_keeper; /* the spawner starts its keeper */
        ScopeState state;
        ScopeResult result; /* what was told last */
        ScopeCall *start_call;
        ScopeCall *stop_call;
        ScopeCall *check_call; /* how it is, and then perhaps its Result */
        bool has_oom_policy;   /* it was asked for */
        bool ask_again;        /* how it is; it wasn't answered sensibly */
        ScopeCall *limits_call;
        ScopeLimitsFunc limits_done; /* NULL: none are being set */
        void *limits_userdata;
        const ScopeHandler *handler;
        void *userdata;
};

/* scope-object.c */
/* The part of a ScopeBus that both have. */
ScopeBus *scope_bus_alloc(sd_event *event, const ScopeBackend *backend);
/* There is no unit any more, or it isn't ours. */
void scope_release(Scope *scope);
void scope_fail_start(Scope *scope, const char *message);
void scope_end(Scope *scope, ScopeResult result);
void scope_end_limits(Scope *scope, const sd_bus_error *error);
/* Its memory alone. */
void scope_destroy(Scope *scope);

/* scope.c */
extern const ScopeBackend scope_direct;
/* scope-spawner.c */
void scope_spawner_ask_restart(ScopeBus *bus);

/* scope-call.c */
/* *owner is the call until handler is called, or it is dropped. It goes out at once, or when enough others have been answered. */
int scope_call(ScopeBus *bus, ScopeCall **owner, sd_bus_message *message, sd_bus_message_handler_t handler, void *userdata);
int scope_call_method(ScopeBus *bus, ScopeCall **owner, const char *path, const char *interface, const char *method, sd_bus_message_handler_t handler,
                      void *userdata, const char *types, ...);
/* Whether there is one, and systemd doesn't know of it. */
bool scope_call_waits(const ScopeCall *call);
/* Its handler isn't called any more. One that waits is never sent. */
ScopeCall *scope_call_drop(ScopeCall *call);
/* All of them, since the connection is gone. */
void scope_bus_drop_calls(ScopeBus *bus);

/* scope-bus.c */
void scope_bus_close(ScopeBus *bus);

/* userdata: ScopeBus */
int scope_on_state_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int scope_on_result_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int scope_on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr);

/* The connection is gone: who has asked for our own job is told that it isn't known. */
void scope_bus_end_ask(ScopeBus *bus, bool restart);
/* units: NULL: they aren't known. */
void scope_bus_end_list(ScopeBus *bus, char **units);
/* The connection is gone: forgets the calls under way. */
void scope_drop_calls(Scope *scope);
/* systemd didn't answer sensibly: asks those again that want it (ask_again) in a while. */
void scope_bus_ask_later(ScopeBus *bus);
void scope_ask_again(Scope *scope);
/* There is a new connection: asks what has become of the unit. */
void scope_resync(Scope *scope);
