/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager: which runtimes there are, by id; the kinds; what a start means; how long the ended ones are kept. */

#include <sys/resource.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/kind.h"
#include "core/quota.h"
#include "core/runtime.h"

typedef struct Manager Manager;

/* Borrowed strings; they outlive the manager. */
typedef struct ManagerConfig {
        sd_event *event;
        ScopeBus *scopes;
        const char *runtime_directory; /* made if it isn't there */
        const char *keeper_path;
        const char *slice;
        const struct rlimit *fd_limit;       /* RLIMIT_NOFILE for the runtimes */
        bool many_users;                     /* of the system bus: runtimes are for users that their options name */
        const char *const *kind_directories; /* lowest priority first */
        const char *const *reserved_options; /* names that no kind may give to an option of its own */
        const QuotaLimits *quota_limits;     /* NULL: one user, who has all there is */
        unsigned runtimes_max;               /* of all users, that haven't ended */
} ManagerConfig;

/* What the runtimes' handler can't say: it comes and goes. */
typedef struct ManagerHandler {
        RuntimeHandler runtime; /* on_over is the manager's own: leave it NULL */
        void (*on_added)(void *userdata, Runtime *runtime);
        /* It is freed when this returns. */
        void (*on_removed)(void *userdata, Runtime *runtime);
        /* The same two when it doesn't come or go, but this process does: nobody is to be told. */
        void (*on_loaded)(void *userdata, Runtime *runtime);
        void (*on_unloaded)(void *userdata, Runtime *runtime);
        /* After manager_load(). */
        void (*on_all_loaded)(void *userdata);
        /* After manager_stop_all(): nothing runs any more. */
        void (*on_idle)(void *userdata);
} ManagerHandler;

/* What has happened since this process was started. */
typedef struct ManagerStatistics {
        uint64_t since_usec; /* CLOCK_REALTIME */
        uint64_t starts;     /* restarts too */
        uint64_t refusals;   /* starts for which a limit left no room */
        uint64_t ends[_RESULT_MAX];
} ManagerStatistics;

int manager_new(const ManagerConfig *config, const ManagerHandler *handler, void *userdata, Manager **ret);
/* Ends nothing: runtimes go on, for the next manager. */
Manager *manager_free(Manager *manager);

/* Takes up the runtimes that a manager before this one has left, by their records and their keepers: on_loaded for each, then on_all_loaded, when their output
 * can be read. Nothing else is done before manager_resume(), which is for when clients can be told. */
void manager_load(Manager *manager);
void manager_resume(Manager *manager);

/* JSON objects that the owner of the manager wants to find again: of a runtime, or (NULL) its own. Names are those of core/record.h. */
int manager_save(Manager *manager, const Runtime *runtime, const char *name, const json_t *record);
int manager_load_record(Manager *manager, const Runtime *runtime, const char *name, json_t **ret);

/* The kind that a start names, with the error that refuses it. */
int manager_find_kind(Manager *manager, const char *name, const Kind **ret, sd_bus_error *reterr);

/* Asks who a user is: by name, or if that is NULL by uid. done is called once, perhaps before this returns. */
void manager_find_user(Manager *manager, uid_t uid, const char *name, UserFunc done, void *userdata);

/* Takes options. Starts a runtime, or returns the one that was started with that id by the same request. */
int manager_start(Manager *manager, const char *kind_name, StartOptions *options, Runtime **ret, sd_bus_error *reterr);

Runtime *manager_get(Manager *manager, const char *name);
/* By an id among the runtimes of that user, or by a name; or by a process; NULL if there is none. Whether it may be known of is the caller's affair, and so is
 * the error: it must be the same. */
Runtime *manager_find(Manager *manager, uid_t uid, const char *id);
Runtime *manager_find_by_pid(Manager *manager, pid_t pid);

/* All runtimes in the order of their start: NULL begins, NULL ends. */
Runtime *manager_next(Manager *manager, Runtime *runtime);
/* The same, of those that are for a user or were started by it. */
Runtime *manager_next_of(const Manager *manager, uid_t uid, const Runtime *runtime);
unsigned manager_get_n_runtimes(const Manager *manager, uid_t uid); /* that have not ended */
unsigned manager_get_runtimes_max(const Manager *manager);
/* What a user may have; it counts what the manager holds, and is for the bus to count what that holds. */
Quotas *manager_get_quotas(Manager *manager);

const ManagerStatistics *manager_get_statistics(const Manager *manager);
/* Where the service writes what happens. */
Journal *manager_get_journal(Manager *manager);

const KindSet *manager_get_kinds(const Manager *manager);
/* Whether a runtime of this kind could be started, as far as its program goes; ret_problem tells why not. */
bool manager_kind_is_available(Manager *manager, const Kind *kind, char **ret_problem);

/* Starts a runtime again, once it has ended: stops it first if need be. on_started or on_start_failed of the handler tells. */
int manager_restart(Manager *manager, Runtime *runtime, uid_t uid, sd_bus_error *reterr);

/* A client's stop: it also cancels a restart that waits for the end. timeout_usec: as for runtime_stop(). */
int manager_stop(Manager *manager, Runtime *runtime, uid_t uid, uint64_t timeout_usec, sd_bus_error *reterr);

/* Reads the kinds again; what runs keeps the ones that it has. */
int manager_reload(Manager *manager, sd_bus_error *reterr);

/* Removes an ended runtime. */
int manager_forget(Manager *manager, Runtime *runtime, sd_bus_error *reterr);

/* Stops everything, and starts nothing more; at_once: by SIGKILL. */
void manager_stop_all(Manager *manager, bool at_once);
