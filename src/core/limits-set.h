/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The resource limits of one runtime, as systemd's unit properties know them; MemoryHigh is no property of the unit, though, but the payload's
 * alone: who is over it is held back, and its keeper must not be. UINT64_MAX is "not set" for all of them: for a
 * limit, that and "infinity" are the same thing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum LimitKey {
        LIMIT_MEMORY_MAX,
        LIMIT_MEMORY_HIGH,
        LIMIT_CPU_QUOTA,
        LIMIT_CPU_WEIGHT,
        LIMIT_TASKS_MAX,
        LIMIT_IO_WEIGHT,
        _LIMIT_KEY_MAX,
} LimitKey;

typedef struct LimitSet {
        uint64_t value[_LIMIT_KEY_MAX];
} LimitSet;

typedef struct LimitKeyInfo {
        const char *name;  /* of the start option, and of the unit property */
        uint64_t min, max; /* other values than UINT64_MAX must lie between these */
        bool of_payload;   /* never set for the unit */
} LimitKeyInfo;

extern const LimitKeyInfo limit_key_table[_LIMIT_KEY_MAX];

LimitSet limit_set_none(void);
/* Bits (1 << LimitKey) of those that are set. */
unsigned limit_set_keys(const LimitSet *set);
/* Of those, the ones for the unit. */
unsigned limit_set_unit_keys(const LimitSet *set);
