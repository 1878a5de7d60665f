/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Counters by uid, and for starts a bucket that fills with time: a burst goes at once, and what comes after it at the rate. A user who has nothing and has
 * started nothing for a while is forgotten. */

#include "core/quota.h"

#include <glib.h>

#include "util/macro.h"

typedef struct Account {
        uint64_t used[_QUOTA_KEY_MAX];
        /* Time that a bucket full of starts would take to fill; the emptier, the later. */
        uint64_t full_usec;
} Account;

struct Quotas {
        QuotaLimits limits;
        GHashTable *accounts; /* uid → Account */
};

static const char *const key_names[_QUOTA_KEY_MAX] = {
        [QUOTA_RUNTIMES] = "RuntimesPerUser",       [QUOTA_ENDED] = "EndedPerUser", [QUOTA_RING_BYTES] = "RingBytesPerUser", [QUOTA_CALLS] = "CallsPerUser",
        [QUOTA_SUBSCRIBERS] = "SubscribersPerUser", [QUOTA_PIPES] = "PipesPerUser",
};

const char *quota_key_to_string(QuotaKey key) {
        return key_names[key];
}

Quotas *quotas_new(const QuotaLimits *limits) {
        Quotas *quotas = g_new(Quotas, 1);

        *quotas = (Quotas){.limits = *limits, .accounts = g_hash_table_new_full(NULL, NULL, NULL, g_free)};
        return quotas;
}

Quotas *quotas_free(Quotas *quotas) {
        if (!quotas)
                return NULL;
        g_hash_table_unref(quotas->accounts);
        g_free(quotas);
        return NULL;
}

const QuotaLimits *quotas_get_limits(const Quotas *quotas) {
        return &quotas->limits;
}

static Account *find(const Quotas *quotas, uid_t uid) {
        return g_hash_table_lookup(quotas->accounts, GUINT_TO_POINTER(uid));
}

static Account *get(Quotas *quotas, uid_t uid) {
        Account *account = find(quotas, uid);

        if (!account) {
                account = g_new0(Account, 1);
                g_hash_table_insert(quotas->accounts, GUINT_TO_POINTER(uid), account);
        }
        return account;
}

static void forget_if_idle(Quotas *quotas, uid_t uid, const Account *account) {
        for (size_t i = 0; i < _QUOTA_KEY_MAX; i++)
                if (account->used[i] > 0)
                        return;
        if (account->full_usec <= (uint64_t) g_get_monotonic_time())
                g_hash_table_remove(quotas->accounts, GUINT_TO_POINTER(uid));
}

uint64_t quotas_get(const Quotas *quotas, uid_t uid, QuotaKey key) {
        const Account *account = find(quotas, uid);

        return account ? account->used[key] : 0;
}

bool quotas_take(Quotas *quotas, uid_t uid, QuotaKey key, uint64_t n) {
        uint64_t used = quotas_get(quotas, uid, key), max = quotas->limits.max[key];

        if (used >= max || n > max - used)
                return false;
        quotas_add(quotas, uid, key, n);
        return true;
}

void quotas_add(Quotas *quotas, uid_t uid, QuotaKey key, uint64_t n) {
        get(quotas, uid)->used[key] += n;
}

void quotas_give(Quotas *quotas, uid_t uid, QuotaKey key, uint64_t n) {
        Account *account = get(quotas, uid);

        g_assert(account->used[key] >= n);
        account->used[key] -= n;
        forget_if_idle(quotas, uid, account);
}

bool quotas_take_start(Quotas *quotas, uid_t uid, uint64_t now_usec) {
        uint64_t each_usec, full_usec;
        Account *account;

        if (quotas->limits.starts_per_second == UINT64_MAX)
                return true;
        account = get(quotas, uid);
        each_usec = USEC_PER_SEC / MAX_OF(quotas->limits.starts_per_second, UINT64_C(1));
        full_usec = MAX_OF(account->full_usec, now_usec) + each_usec;
        if (full_usec - now_usec > each_usec * MAX_OF(quotas->limits.starts_burst, UINT64_C(1)))
                return false;
        account->full_usec = full_usec;
        return true;
}
