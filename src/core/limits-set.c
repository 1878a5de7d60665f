/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of resource limits: one row serves the start options, SetLimits, the Limits property and, but for what is the payload's, the scope's properties.
 * The lower bounds are what the smallest program needs to be started at all; weights have systemd's own range. */

#include "core/limits-set.h"

#include <string.h>

const LimitKeyInfo limit_key_table[_LIMIT_KEY_MAX] = {
        [LIMIT_MEMORY_MAX] = {"MemoryMax", UINT64_C(1) << 20, UINT64_C(1) << 60, false},
        [LIMIT_MEMORY_HIGH] = {"MemoryHigh", UINT64_C(1) << 20, UINT64_C(1) << 60, true},
        [LIMIT_CPU_QUOTA] = {"CPUQuotaPerSecUSec", 10000, UINT64_C(1000000) * 8192, false},
        [LIMIT_CPU_WEIGHT] = {"CPUWeight", 1, 10000, false},
        [LIMIT_TASKS_MAX] = {"TasksMax", 2, UINT64_C(1) << 22, false},
        [LIMIT_IO_WEIGHT] = {"IOWeight", 1, 10000, false},
};

LimitSet limit_set_none(void) {
        LimitSet set;

        memset(&set, 0xff, sizeof(set));
        return set;
}

unsigned limit_set_keys(const LimitSet *set) {
        unsigned keys = 0;

        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                if (set->value[i] != UINT64_MAX)
                        keys |= 1U << i;
        return keys;
}

unsigned limit_set_unit_keys(const LimitSet *set) {
        unsigned keys = 0;

        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                if (set->value[i] != UINT64_MAX && !limit_key_table[i].of_payload)
                        keys |= 1U << i;
        return keys;
}
