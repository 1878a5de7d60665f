/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether there is room for a runtime more: what the service runs for all, and what for one user. Who is refused is told by what name, and so is the journal,
 * once in a while. */

#include <inttypes.h>

#include "core/manager-private.h"
#include "core/sd-autoptr.h"
#include "util/macro.h"
#include "util/message-ids.h"
#include "util/names.h"

/* One who goes on and on shall not fill the journal. */
#define LIMIT_LOG_USEC (60 * USEC_PER_SEC)

static void manager_on_refused(Manager *manager, uid_t uid, const sd_bus_error *error) {
        g_autofree char *who = g_strdup_printf("%u", (unsigned) uid);
        uint64_t now = (uint64_t) g_get_monotonic_time();

        manager->statistics.refusals++;
        if (now < manager->limit_log_usec)
                return;
        manager->limit_log_usec = now + LIMIT_LOG_USEC;
        journal_write(manager->context.journal, JOURNAL_NOTICE, MESSAGE_ID_LIMIT_REACHED, (const JournalField[]){{"RUNTIME_UID", who}, {}},
                      "A runtime of user %u was not started: %s", (unsigned) uid, error->message);
}

static int manager_check_limits(Manager *manager, uid_t uid, uint64_t ring_bytes, sd_bus_error *reterr) {
        const QuotaLimits *limits = quotas_get_limits(manager->quotas);

        if (manager->n_runtimes >= manager->runtimes_max)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "There are %u runtimes already, the most that this service runs at once.",
                                         manager->runtimes_max);
        if (quotas_get(manager->quotas, uid, QUOTA_RUNTIMES) >= limits->max[QUOTA_RUNTIMES])
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED,
                                         "The user has %" PRIu64 " runtimes already, the most that one may have (%s); stop one first.",
                                         limits->max[QUOTA_RUNTIMES], quota_key_to_string(QUOTA_RUNTIMES));
        if (!quotas_take(manager->quotas, uid, QUOTA_RING_BYTES, ring_bytes))
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED,
                                         "The rings of the user's runtimes would be larger together than %" PRIu64
                                         " bytes (%s); choose smaller RingBytes, or Forget "
                                         "runtimes that have ended.",
                                         limits->max[QUOTA_RING_BYTES], quota_key_to_string(QUOTA_RING_BYTES));
        quotas_give(manager->quotas, uid, QUOTA_RING_BYTES, ring_bytes);
        if (!quotas_take_start(manager->quotas, uid, (uint64_t) g_get_monotonic_time()))
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED,
                                         "The user starts more than %" PRIu64 " runtimes a second (StartsPerSecond); try again in a "
                                         "moment.",
                                         limits->starts_per_second);
        return 0;
}

int manager_check_room(Manager *manager, uid_t uid, uint64_t ring_bytes, sd_bus_error *reterr) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        int r;

        r = manager_check_limits(manager, uid, ring_bytes, &error);
        if (r < 0) {
                manager_on_refused(manager, uid, &error);
                (void) sd_bus_error_move(reterr, &error);
        }
        return r;
}
