/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib.h>

#include "core/quota.h"

static const QuotaLimits limits = {.max = {3, 2, 1000, 4, 5}, .starts_per_second = 10, .starts_burst = 4};

static void test_one_user_alone(void) {
        Quotas *quotas = quotas_new(&limits);

        for (unsigned i = 0; i < 3; i++)
                g_assert_true(quotas_take(quotas, 1000, QUOTA_RUNTIMES, 1));
        g_assert_false(quotas_take(quotas, 1000, QUOTA_RUNTIMES, 1));
        g_assert_cmpuint(quotas_get(quotas, 1000, QUOTA_RUNTIMES), ==, 3);
        g_assert_true(quotas_take(quotas, 1001, QUOTA_RUNTIMES, 1));
        quotas_give(quotas, 1000, QUOTA_RUNTIMES, 1);
        g_assert_true(quotas_take(quotas, 1000, QUOTA_RUNTIMES, 1));
        quotas_free(quotas);
}

static void test_all_or_nothing(void) {
        Quotas *quotas = quotas_new(&limits);

        g_assert_true(quotas_take(quotas, 7, QUOTA_RING_BYTES, 600));
        g_assert_false(quotas_take(quotas, 7, QUOTA_RING_BYTES, 401));
        g_assert_false(quotas_take(quotas, 7, QUOTA_RING_BYTES, UINT64_MAX));
        g_assert_cmpuint(quotas_get(quotas, 7, QUOTA_RING_BYTES), ==, 600);
        g_assert_true(quotas_take(quotas, 7, QUOTA_RING_BYTES, 400));
        quotas_free(quotas);
}

/* After a restart with a smaller limit there may be more than it allows. */
static void test_what_is_there_counts(void) {
        Quotas *quotas = quotas_new(&limits);

        quotas_add(quotas, 7, QUOTA_RUNTIMES, 9);
        g_assert_false(quotas_take(quotas, 7, QUOTA_RUNTIMES, 1));
        quotas_give(quotas, 7, QUOTA_RUNTIMES, 7);
        g_assert_true(quotas_take(quotas, 7, QUOTA_RUNTIMES, 1));
        quotas_free(quotas);
}

static void test_starts_come_at_a_rate(void) {
        Quotas *quotas = quotas_new(&limits);
        uint64_t now_usec = 5000000;

        for (unsigned i = 0; i < 4; i++)
                g_assert_true(quotas_take_start(quotas, 7, now_usec));
        g_assert_false(quotas_take_start(quotas, 7, now_usec));
        g_assert_true(quotas_take_start(quotas, 8, now_usec));
        g_assert_false(quotas_take_start(quotas, 7, now_usec + 99999));
        g_assert_true(quotas_take_start(quotas, 7, now_usec + 100000));
        g_assert_false(quotas_take_start(quotas, 7, now_usec + 100000));
        /* However long nothing was started: no more than a burst. */
        now_usec += UINT64_C(1000000000000);
        for (unsigned i = 0; i < 4; i++)
                g_assert_true(quotas_take_start(quotas, 7, now_usec));
        g_assert_false(quotas_take_start(quotas, 7, now_usec));
        quotas_free(quotas);
}

static void test_no_limit(void) {
        const QuotaLimits none = {
                .max = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, .starts_per_second = UINT64_MAX, .starts_burst = UINT64_MAX};
        Quotas *quotas = quotas_new(&none);

        for (unsigned i = 0; i < 10000; i++) {
                g_assert_true(quotas_take(quotas, 7, QUOTA_RUNTIMES, 1));
                g_assert_true(quotas_take_start(quotas, 7, 1));
        }
        quotas_free(quotas);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/quota/one-user-alone-is-refused", test_one_user_alone);
        g_test_add_func("/quota/it-is-all-or-nothing", test_all_or_nothing);
        g_test_add_func("/quota/what-is-there-already-counts", test_what_is_there_counts);
        g_test_add_func("/quota/starts-come-at-a-rate", test_starts_come_at_a_rate);
        g_test_add_func("/quota/there-may-be-no-limit", test_no_limit);
        return g_test_run();
}
