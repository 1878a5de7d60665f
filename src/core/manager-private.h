/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the manager room share; for nobody else. */

#include "core/manager.h"

typedef struct Entry {
        Manager *manager;
        Runtime *runtime;
        GList in_all;                        /* of all, in the order of the start */
        GList of_user, of_starter, in_ended; /* see manager-users.c */
        sd_event_source *retain_timer;
        bool ended;
} Entry;

struct Manager {
        RuntimeContext context;
        const ManagerHandler *handler;
        RuntimeHandler runtime_handler;
        void *userdata;
        KindSet *kinds;
        const char *const *kind_directories;
        const char *const *reserved_options;
        char *runtime_directory;
        GHashTable *by_name; /* name → Entry */
        GHashTable *by_uid;  /* uid → its runtimes, see manager-users.c */
        GQueue all;
        Quotas *quotas;
        unsigned runtimes_max;
        ManagerStatistics statistics;
        uint64_t limit_log_usec; /* when a refusal may be logged again, CLOCK_MONOTONIC */
        unsigned n_runtimes;     /* that have not ended */
        bool stopping;
        unsigned n_returning; /* whose keepers are being looked for */
        bool loading;
        sd_event_source *load_timer;
};

/* manager.c */
/* A runtime is ours from here on. */
Entry *manager_insert(Manager *manager, Runtime *runtime);
/* It has ended, and is kept for as long as its options say. */
void manager_retain(Manager *manager, Entry *entry);

/* manager-users.c */
GHashTable *manager_users_new(void);
void manager_users_add(Manager *manager, Entry *entry);
void manager_users_remove(Manager *manager, Entry *entry);
void manager_users_set_ended(Manager *manager, Entry *entry, bool ended);
/* NULL: none of the user's is. */
Entry *manager_users_get_oldest_ended(const Manager *manager, uid_t uid);
/* manager-limits.c */
/* Whether there may be one runtime more, with a ring of that size if it is a new one. */
int manager_check_room(Manager *manager, uid_t uid, uint64_t ring_bytes, sd_bus_error *reterr);

/* manager-load.c */
void manager_on_returned(void *userdata, Runtime *runtime);
