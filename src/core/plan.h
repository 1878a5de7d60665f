/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a start means: a kind and a client's options become programs, words, an environment and a directory. Refuses here whatever can be refused before
 * anything is started. */

#include <systemd/sd-bus.h>

#include "core/kind.h"
#include "core/start-options.h"

typedef struct Plan {
        KindPlan *kind_plan;
        char **argv;
        char *executable;
        char **step_executables;
        char **environment;
        char *directory;
        LimitSet limits;
        uint64_t handshake_usec; /* until it must be ready */
        uint64_t max_usec;       /* how long it may run */
        char *init_ref;
} Plan;

/* name: of the runtime to be; directory: its own folder below the runtime directory, which need not exist yet. Times that the
 * client left open are the kind's. */
int plan_new(const Kind *kind, const StartOptions *options, const char *name, const char *runtime_directory, Plan **ret, sd_bus_error *reterr);
Plan *plan_free(Plan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plan, plan_free)

/* The environment that runtimes get from this process: its own, without what was meant for the service alone. */
char **plan_base_environment(void);
