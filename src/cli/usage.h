/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What runtimes use, asked again and again, and so how fast. All questions of a round are on their way at once, and nothing blocks. */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "cli/cli.h"

/* Numbers are UINT64_MAX, and rates negative, while they aren't known. */
typedef struct UsageRow {
        char *id, *path, *kind, *state, *description;
        uint64_t uid;
        uint64_t cpu_nsec, memory, tasks, last_line;
        double cpu_percent, lines_per_second; /* since the round before; 100 % is one CPU */
} UsageRow;

typedef struct Usage Usage;

typedef struct UsageEvents {
        void (*on_round)(void *userdata);
        /* The round came to nothing. */
        void (*on_failed)(const sd_bus_error *error, void *userdata);
} UsageEvents;

/* The bus is attached to an event loop and kept by the caller. */
Usage *usage_new(sd_bus *bus, const UsageEvents *events, void *userdata);
Usage *usage_free(Usage *usage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Usage, usage_free)

/* Begins a round, unless one is under way. Only the first has a service that isn't there started. Negative errno. */
int usage_ask(Usage *usage);
/* The rows of the last round, of UsageRow, in no order; of runtimes that haven't ended. They are the usage's. */
GPtrArray *usage_rows(Usage *usage);
