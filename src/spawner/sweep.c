/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A spawner that is killed takes those of its keepers with it that it hadn't let go. systemd may have been asked for their scopes by then, and makes each
 * around a process that is dying: the kernel doesn't move that, and doesn't say so. The scope is active then, and nobody has ever been in it, so its end is
 * never heard of; it would stay for good, and its name with it. */

#include "spawner/sweep.h"

#include <errno.h>
#include <time.h>

#include "core/cgroup.h"
#include "core/sd-autoptr.h"
#include "spawner/log.h"
#include "util/macro.h"
#include "util/names.h"

/* For all together; systemd stops an empty one at once. */
#define SWEEP_USEC (5 * UINT64_C(1000000))

typedef struct Leftover {
        Sweep *sweep;
        Scope *scope;
} Leftover;

struct Sweep {
        ScopeBus *scopes;
        char *cgroup_root;
        GHashTable *leftovers; /* Leftover, owned */
        sd_event_source *deadline;
        SweepFunc done;
        void *userdata;
};

static void leftover_free(void *data) {
        Leftover *leftover = data;

        scope_free(leftover->scope);
        g_free(leftover);
}

static void sweep_end(Sweep *sweep) {
        SweepFunc done = TAKE_PTR(sweep->done);

        sweep->deadline = sd_event_source_disable_unref(sweep->deadline);
        g_hash_table_remove_all(sweep->leftovers);
        if (done)
                done(sweep->userdata);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        log_warning("systemd did not stop the empty scopes of runtimes in time.");
        sweep_end(userdata);
        return 0;
}

static void on_gone(void *userdata, ScopeResult result) {
        Leftover *leftover = userdata;
        Sweep *sweep = leftover->sweep;

        g_hash_table_remove(sweep->leftovers, leftover);
        if (g_hash_table_size(sweep->leftovers) == 0)
                sweep_end(sweep);
}

static void on_stopping(void *userdata) {
}

/* One that is taken up isn't started. */
static const ScopeHandler leftover_handler = {.on_stopping = on_stopping, .on_gone = on_gone};

static bool unit_is_empty(const Sweep *sweep, const char *unit) {
        g_autofree char *cgroup = NULL;
        uint64_t populated;
        UnitName name;

        if (check_unit(unit, &name) < 0)
                return false;
        cgroup = check_cgroup_of_unit(sweep->cgroup_root, &name, unit);
        return cgroup_read(cgroup, NULL, "cgroup.events", "populated", &populated) >= 0 && populated == 0;
}

static void sweep_unit(Sweep *sweep, const char *unit) {
        ScopeOptions options = {.unit = unit, .limits = limit_set_none()};
        Leftover *leftover = g_new0(Leftover, 1);

        leftover->sweep = sweep;
        if (scope_adopt(sweep->scopes, &options, &leftover_handler, leftover, &leftover->scope) < 0) {
                g_free(leftover);
                return;
        }
        g_hash_table_add(sweep->leftovers, leftover);
        scope_stop(leftover->scope);
}

static void on_units(void *userdata, char **units) {
        Sweep *sweep = userdata;

        /* Too late: by now these names may be asked for. */
        if (!sweep->done)
                return;
        if (!units)
                log_warning("systemd can't be asked for the scopes of runtimes.");
        for (; units && *units; units++)
                if (unit_is_empty(sweep, *units))
                        sweep_unit(sweep, *units);
        if (g_hash_table_size(sweep->leftovers) == 0)
                sweep_end(sweep);
}

int sweep_new(const UnitsContext *context, SweepFunc done, void *userdata, Sweep **ret) {
        Sweep *sweep = g_new(Sweep, 1);
        int r;

        *sweep = (Sweep){
                .scopes = context->scopes,
                .cgroup_root = cgroup_root(),
                .leftovers = g_hash_table_new_full(NULL, NULL, leftover_free, NULL),
                .done = done,
                .userdata = userdata,
        };
        *ret = sweep;
        r = sd_event_add_time_relative(context->event, &sweep->deadline, CLOCK_MONOTONIC, SWEEP_USEC, 0, on_deadline, sweep);
        if (r >= 0)
                scope_bus_list_active(sweep->scopes, RM_UNIT_PREFIX "*.scope", on_units, sweep);
        return r;
}

Sweep *sweep_free(Sweep *sweep) {
        if (!sweep)
                return NULL;
        sd_event_source_disable_unref(sweep->deadline);
        g_hash_table_unref(sweep->leftovers);
        g_free(sweep->cgroup_root);
        g_free(sweep);
        return NULL;
}
