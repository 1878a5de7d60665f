/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much of what the service holds is held for one user. A user who has used up its part is refused, by name of what it was, and nobody else notices. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum QuotaKey {
        QUOTA_RUNTIMES,    /* that haven't ended */
        QUOTA_ENDED,       /* ended ones that are still readable; the oldest gives way, so that nobody is refused */
        QUOTA_RING_BYTES,  /* rings of all of them */
        QUOTA_CALLS,       /* that wait for their answer */
        QUOTA_SUBSCRIBERS, /* peers that follow all runtimes, or one */
        QUOTA_PIPES,       /* that were sent and not taken yet */
        _QUOTA_KEY_MAX,
} QuotaKey;

/* UINT64_MAX: no limit. */
typedef struct QuotaLimits {
        uint64_t max[_QUOTA_KEY_MAX];
        uint64_t starts_per_second;
        uint64_t starts_burst;
        uint64_t arguments_size_max; /* of one start; for who reads them */
} QuotaLimits;

/* The name of the setting, and of the property. */
const char *quota_key_to_string(QuotaKey key);

typedef struct Quotas Quotas;

Quotas *quotas_new(const QuotaLimits *limits);
Quotas *quotas_free(Quotas *quotas);
const QuotaLimits *quotas_get_limits(const Quotas *quotas);

/* Takes n of it, or nothing: false if that were too much. */
bool quotas_take(Quotas *quotas, uid_t uid, QuotaKey key, uint64_t n);
/* The same for what is there already, and can't be refused. */
void quotas_add(Quotas *quotas, uid_t uid, QuotaKey key, uint64_t n);
void quotas_give(Quotas *quotas, uid_t uid, QuotaKey key, uint64_t n);
uint64_t quotas_get(const Quotas *quotas, uid_t uid, QuotaKey key);

/* One start more; now_usec: CLOCK_MONOTONIC. */
bool quotas_take_start(Quotas *quotas, uid_t uid, uint64_t now_usec);
