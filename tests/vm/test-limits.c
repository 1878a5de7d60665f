/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits other than memory, where a kernel enforces them, and cores. */

#include <string.h>

#include "harness.h"

static char *start_hog(Harness *h, const char *arguments, const char *more) {
        g_autofree char *script = g_strdup_printf("exec %s %s", g_getenv("RM_HOG"), arguments);

        return client_start(h->client, "command", options_shell(script, more));
}

static guint64 get_usage(Harness *h, const char *path, const char *key) {
        g_autoptr(GVariant) reply = client_call(h->client, path, "GetUsage", NULL), usage = g_variant_get_child_value(reply, 0);

        return report_number(usage, key);
}

/* How long half a second of CPU time takes it, in µs. A little more than it was, since we have to see it. */
static gint64 measure_half_a_second(Harness *h, const char *path) {
        guint64 goal_nsec = get_usage(h, path, "CPUUsageNSec") + 500000000;
        gint64 begin = g_get_monotonic_time();

        while (get_usage(h, path, "CPUUsageNSec") < goal_nsec)
                if (g_get_monotonic_time() - begin > HARNESS_DEADLINE_USEC)
                        harness_fail(h, "no half second of CPU time in %d s", (int) (HARNESS_DEADLINE_USEC / G_USEC_PER_SEC));
        return g_get_monotonic_time() - begin;
}

static void test_cpu_quota(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        guint64 duration_nsec, used_nsec;

        harness_start_daemon(h, NULL);
        path = start_hog(h, "time", "{'CPUQuotaPerSecUSec': <uint64 100000>}");
        /* Five seconds, but for the periods of 100 ms at each end. */
        g_assert_cmpint(measure_half_a_second(h, path), >, 4 * G_USEC_PER_SEC);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        used_nsec = report_number(report, "CPUUsageNSec");
        duration_nsec = report_number(report, "DurationUSec") * 1000;
        g_assert_cmpuint(used_nsec, >=, 500000000);
        g_assert_cmpuint(used_nsec, <, duration_nsec / 10 + 300000000);
}

static void set_cpu_quota(Harness *h, const char *path, guint64 usec) {
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'CPUQuotaPerSecUSec': <%t>},)", usec)));
}

static void test_changed_cpu_quota(Harness *h) {
        g_autofree char *path = NULL;
        gint64 slow, fast;

        harness_start_daemon(h, NULL);
        path = start_hog(h, "time", NULL);
        set_cpu_quota(h, path, 100000);
        slow = measure_half_a_second(h, path);
        set_cpu_quota(h, path, G_MAXUINT64);
        fast = measure_half_a_second(h, path);
        g_assert_cmpint(slow, >, 4 * G_USEC_PER_SEC);
        g_assert_cmpint(fast, <, slow / 2);
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

/* The keeper is one of the tasks. */
static void test_fork_bomb(Harness *h) {
        g_autofree char *bomb = NULL, *other = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL, stopped = NULL;

        harness_start_daemon(h, NULL);
        bomb = start_hog(h, "processes", "{'TasksMax': <uint64 40>}");
        client_wait_text(h->client, bomb, "refused");
        for (unsigned i = 0; i < 20; i++)
                g_assert_cmpuint(get_usage(h, bomb, "TasksCurrent"), <=, 40);

        /* Beside it everything is as usual. */
        other = client_start_shell(h->client, "for i in 1 2 3 4 5 6 7 8 9; do sh -c 'echo $1' sh $i; done");
        report = client_wait_ended(h->client, other);
        report_check(report, "{'Result': <'success'>, 'LastLine': <uint64 9>}", NULL);

        client_stop(h->client, bomb);
        stopped = client_wait_ended(h->client, bomb);
        report_check(stopped, "{'Result': <'stopped'>, 'RequestedBy': <'client'>}", NULL);
        text = client_read_text(h->client, bomb);
        g_assert_cmpstr(text, ==, "refused\n");
}

static void test_changed_tasks_max(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("read line; for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all; exit 3", "{'Input': <'pipe'>}"));
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 6>},)")));
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go\n")));
        report = client_wait_ended(h->client, path);
        /* The keeper, the shell, and four. */
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <2>, 'Leftovers': <uint32 4>}", NULL);
        g_assert_nonnull(strstr(report_string(report, "OutputTail"), "fork"));
}

static void test_core_dump(Harness *h) {
        g_autofree char *with = NULL, *without = NULL;
        g_autoptr(GVariant) dumped = NULL, plain = NULL;

        harness_start_daemon(h, NULL);
        with = client_start_shell(h->client, "ulimit -c unlimited; kill -SEGV $$");
        dumped = client_wait_ended(h->client, with);
        report_check(dumped, "{'Result': <'core-dump'>, 'Reason': <'dumped'>, 'Signal': <11>}", "ExitCode RequestedBy");
        without = client_start_shell(h->client, "ulimit -c 0; kill -SEGV $$");
        plain = client_wait_ended(h->client, without);
        report_check(plain, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <11>}", "ExitCode RequestedBy");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-cpu-quota-holds", test_cpu_quota},
                {"a-changed-cpu-quota-holds-at-once", test_changed_cpu_quota},
                {"a-fork-bomb-is-bounded-and-stopped", test_fork_bomb},
                {"a-changed-tasks-max-holds-at-once", test_changed_tasks_max},
                {"a-core-is-told-when-there-is-one", test_core_dump},
        };

        if (!g_getenv("WITH_VM_BOOT")) {
                g_print("1..0 # SKIP this takes a kernel of its own (tests/with-vm)\n");
                return 0;
        }
        return harness_main(argc, argv, "vm-limits", cases, G_N_ELEMENTS(cases));
}
