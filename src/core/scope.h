/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Transient scopes: the only room that talks to systemd, or to the spawner that does so for a daemon without rights.
 *
 * A ScopeBus is the connection to a service manager (the user's, or PID 1), with its signal matches, which are for all units at once: their
 * number doesn't grow with the number of scopes. Or it is the connection to the spawner (util/spawner.h), which starts the keepers too. A Scope is one
 * unit made around a waiting process. */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/limits-set.h"
#include "core/user.h"

typedef struct ScopeBus ScopeBus;
typedef struct Scope Scope;

/* The Result property of a scope unit. */
typedef enum ScopeResult {
        SCOPE_RESULT_UNKNOWN,
        SCOPE_RESULT_SUCCESS,
        SCOPE_RESULT_RESOURCES,
        SCOPE_RESULT_TIMEOUT,
        SCOPE_RESULT_OOM_KILL,
} ScopeResult;

/* What a keeper is started with where we can't do that ourselves. Borrowed. */
typedef struct ScopeKeeper {
        int link_fd, ring_fd, spec_fd, socket_fd;
} ScopeKeeper;

typedef struct ScopeOptions {
        const char *unit;          /* full name, ending in .scope */
        const char *description;   /* one line; the spawner writes its own */
        const char *slice;         /* the spawner knows it */
        pid_t pid;                 /* a child of ours, not reaped: its PID can't be reused meanwhile; or the keeper that the spawner has started */
        uid_t uid;                 /* for the spawner: as whom the keeper runs */
        const ScopeKeeper *keeper; /* for the spawner: start one, there is no pid yet */
        LimitSet limits;
        uint64_t timeout_stop_usec; /* systemd's own patience when it is asked to stop the unit */
} ScopeOptions;

typedef struct ScopeHandler {
        /* The unit's job is done. */
        void (*on_started)(void *userdata);
        /* There is no unit, and no keeper that was to be started with it. `message` is systemd's sentence, the spawner's, or ours. */
        void (*on_start_failed)(void *userdata, const char *message);
        /* Somebody stops the unit. */
        void (*on_stopping)(void *userdata);
        /* The unit is inactive or failed, or not there any more. Nothing follows. */
        void (*on_gone)(void *userdata, ScopeResult result);
        /* Before on_started, where a keeper was asked for: it waits, and its scope is being made. Takes pidfd. */
        void (*on_keeper)(void *userdata, pid_t pid, int pidfd);
} ScopeHandler;

/* Answer to scope_set_limits(): error is NULL when they are set. */
typedef void (*ScopeLimitsFunc)(void *userdata, const sd_bus_error *error);

/* Connects to the manager on the bus at address (NULL: the user's). A connection that is lost is made again; scope_start() fails with
 * -ENOTCONN meanwhile. */
int scope_bus_new(sd_event *event, const char *address, ScopeBus **ret);
/* The same by way of the spawner that listens at path. One that isn't there yet, or not any more, is looked for until it is. */
int scope_bus_new_spawner(sd_event *event, const char *path, ScopeBus **ret);
ScopeBus *scope_bus_free(ScopeBus *bus);
bool scope_bus_is_connected(const ScopeBus *bus);

/* Why a process is being stopped: whether a job that restarts its unit is under way (systemctl restart), as systemd says. False if it is another job, or
 * none, or if systemd can't be asked; true if the spawner can't be. func is called once; not after scope_bus_free(). One question at a time. */
typedef void (*ScopeRestartFunc)(void *userdata, bool restart);
void scope_bus_ask_restart(ScopeBus *bus, pid_t pid, ScopeRestartFunc func, void *userdata);

/* Which units of names like pattern (a glob) are active. units: NULL-terminated; NULL: systemd couldn't be asked. func is called once, perhaps before this
 * returns; not after scope_bus_free(). Direct connections only, one question at a time. */
typedef void (*ScopeListFunc)(void *userdata, char **units);
void scope_bus_list_active(ScopeBus *bus, const char *pattern, ScopeListFunc func, void *userdata);

/* Who a user is, from the spawner: by name, or if that is NULL by uid. done is called once, perhaps before this returns; not after scope_bus_free(). */
void scope_bus_find_user(ScopeBus *bus, uid_t uid, const char *name, UserFunc done, void *userdata);
/* Has the spawner remove the folder of the runtime that this unit was of (any of its units); nothing of it runs. */
void scope_bus_remove_folder(ScopeBus *bus, const char *unit);

/* Asks for the unit. -ENOTCONN: there is no connection just now, -EBUSY: one of that name is still being given up. Else the handler's on_started or
 * on_start_failed tells. */
int scope_start(ScopeBus *bus, const ScopeOptions *options, const ScopeHandler *handler, void *userdata, Scope **ret);
/* Takes up a unit that was made by a daemon before us, of which only the name is needed. If there is no such unit any more, on_gone tells. */
int scope_adopt(ScopeBus *bus, const ScopeOptions *options, const ScopeHandler *handler, void *userdata, Scope **ret);
/* Forgets the unit without stopping it, unless it has not been started yet. No handler is called any more. */
Scope *scope_free(Scope *scope);

const char *scope_unit(const Scope *scope);
/* Stops the unit: systemd sends SIGTERM, then SIGKILL. */
void scope_stop(Scope *scope);
/* SIGKILL to all of the unit, the keeper too. */
void scope_kill(Scope *scope);
/* keys: bits (1 << LimitKey) of those to set; what is of the payload is taken away from the unit, if it has it. */
int scope_set_limits(Scope *scope, const LimitSet *limits, unsigned keys, ScopeLimitsFunc done, void *userdata);
