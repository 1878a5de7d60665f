/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One unit, from the request to its end. It is in the table of its Units for as long as there is something to tell of it. */

#include <glib.h>

#include "spawner/account.h"
#include "spawner/keeper.h"
#include "spawner/units.h"

typedef enum UnitState {
        UNIT_ASKED,     /* systemd makes the scope; the keeper's process waits */
        UNIT_EXECUTING, /* it is in its cgroup, and executes the keeper's program */
        UNIT_UP,        /* SPAWNER_STARTED has been said, or the unit was adopted */
} UnitState;

typedef struct Unit {
        Units *units;
        char *id; /* the unit's whole name; key of the table */
        UnitName name;
        gid_t gid;
        UnitState state;
        bool stopping; /* it has been told */
        Scope *scope;
        char *cgroup; /* where systemd has it */
        LimitSet limits;
        unsigned limit_keys; /* those that are being changed */
        uint64_t ring_bytes;
        pid_t pid;             /* the keeper's, until it is up */
        bool own;              /* our child */
        int pidfd;             /* until it is up */
        KeeperProcess process; /* until it has executed */
        sd_event_source *status_source, *deadline_source;
} Unit;

struct Units {
        UnitsContext context;
        Peer *peer;
        GHashTable *by_id; /* unit → Unit, owned */
        unsigned n_starting;
        char *cgroup_root; /* of systemd's tree */
        pid_t asked_by;    /* SPAWNER_JOB; 0: nobody */
};

/* Each tells the daemon, of success as of failure. */
void unit_start(Units *units, const struct spawner_start *start, const int fds[static SPAWNER_FDS]);
void unit_start_again(Units *units, const struct spawner_start *start);
void unit_adopt(Units *units, const char *id);
void unit_limit(Units *units, const struct spawner_start *start);

/* Ends what isn't up yet, and says so; text: a sentence, or NULL. */
void unit_fail(Unit *unit, int error, const char *text);
/* Without a word; what runs goes on, what isn't up yet doesn't. Takes it out of the table. */
void unit_forget(Unit *unit);

/* error: positive errno, or 0. */
void units_tell(Units *units, uint32_t type, int error, uint32_t result, const char *id, const char *text);
void units_tell_unit(Units *units, uint32_t type, const char *id);
/* systemd is asked for a scope (1), or isn't any more (-1). */
void units_count_start(Units *units, int more);
