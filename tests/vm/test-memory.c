/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The truth about memory: who was killed for it, and that nobody is said to have been who was not. */

#include <signal.h>
#include <string.h>

#include "core/cgroup.h"
#include "harness.h"

#define MIB (UINT64_C(1) << 20)
#define TIMES 20

/* $hog is the program of hog.c. */
static char *start_hog(Harness *h, const char *script, const char *more) {
        g_autofree char *whole = g_strdup_printf("hog=%s; %s", g_getenv("RM_HOG"), script);

        return client_start(h->client, "command", options_shell(whole, more));
}

/* As anybody with the same uid can. */
static void kill_main(Harness *h, const char *path) {
        guint32 pid = client_get_number(h->client, path, "MainPID");

        g_assert_cmpuint(pid, >, 1);
        g_assert_cmpint(kill((pid_t) pid, SIGKILL), ==, 0);
}

static void write_line(Harness *h, const char *path) {
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go\n")));
}

static unsigned count_warnings(Harness *h, const char *path, const char *code) {
        const Signal *warning;
        unsigned count = 0;

        client_sync(h->client);
        for (size_t n = 0; (warning = client_find_signal(h->client, path, "Warning", n)); n++) {
                const char *said;

                g_variant_get_child(warning->parameters, 0, "&s", &said);
                if (strcmp(said, code) == 0)
                        count++;
        }
        return count;
}

static void test_over_memory_max(Harness *h) {
        harness_start_daemon(h, NULL);
        for (unsigned i = 0; i < TIMES; i++) {
                g_autofree char *path = start_hog(h, "exec $hog memory 200", "{'MemoryMax': <uint64 33554432>}");
                g_autoptr(GVariant) report = client_wait_ended(h->client, path);

                report_check(report, "{'Result': <'oom-kill'>, 'Reason': <'oom-kill'>, 'Signal': <9>, 'Phase': <'ready'>, 'OOMKills': <uint64 1>}",
                             "ExitCode RequestedBy StopStage");
                g_assert_cmpuint(report_number(report, "MemoryPeak"), >, 16 * MIB);
                /* Who is being killed may take what it needs to end. */
                g_assert_cmpuint(report_number(report, "MemoryPeak"), <, 40 * MIB);
                /* It is the end, and no news beside it. */
                g_assert_cmpuint(count_warnings(h, path, "oom-kill"), ==, 0);
        }
}

static void test_ordinary_kill(Harness *h) {
        harness_start_daemon(h, NULL);
        for (unsigned i = 0; i < TIMES; i++) {
                g_autofree char *path = start_hog(h, "exec $hog memory 20", "{'MemoryMax': <uint64 67108864>}");
                g_autoptr(GVariant) report = NULL;

                client_wait_text(h->client, path, "full");
                kill_main(h, path);
                report = client_wait_ended(h->client, path);
                report_check(report, "{'Result': <'signal'>, 'Reason': <'killed'>, 'Signal': <9>, 'OOMKills': <uint64 0>}", "ExitCode RequestedBy");
        }
}

static guint64 warned_kills(const Signal *warning) {
        g_autoptr(GVariant) details = g_variant_get_child_value(warning->parameters, 1);
        const char *code;

        g_variant_get_child(warning->parameters, 0, "&s", &code);
        g_assert_cmpstr(code, ==, "oom-kill");
        return report_number(details, "OOMKills");
}

/* One whose children are killed goes on, and how it ends later is another matter. */
static char *start_with_a_killed_child(Harness *h, const char *then) {
        g_autofree char *script = g_strdup_printf("$hog memory 200; echo child $?; %s", then);
        g_autofree char *path = start_hog(h, script, "{'MemoryMax': <uint64 33554432>, 'Input': <'pipe'>}"), *state = NULL;

        g_assert_cmpuint(warned_kills(client_wait_signal(h->client, path, "Warning")), ==, 1);
        client_wait_text(h->client, path, "child 137");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        return g_steal_pointer(&path);
}

static void test_killed_child(Harness *h) {
        g_autofree char *goes_on = NULL, *is_killed = NULL;
        g_autoptr(GVariant) report = NULL, other = NULL;

        harness_start_daemon(h, NULL);
        goes_on = start_with_a_killed_child(h, "read line; exit 7");
        write_line(h, goes_on);
        report = client_wait_ended(h->client, goes_on);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'OOMKills': <uint64 1>}", "Signal");
        g_assert_cmpuint(count_warnings(h, goes_on, "oom-kill"), ==, 1);

        is_killed = start_with_a_killed_child(h, "exec sleep 1000");
        kill_main(h, is_killed);
        other = client_wait_ended(h->client, is_killed);
        report_check(other, "{'Result': <'signal'>, 'Signal': <9>, 'OOMKills': <uint64 1>}", "ExitCode");
        g_assert_cmpuint(count_warnings(h, is_killed, "oom-kill"), ==, 1);
}

/* The child's death was told, and the main process's own is told too. */
static void test_child_then_main(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_with_a_killed_child(h, "read line; exec $hog memory 200");
        write_line(h, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'oom-kill'>, 'Signal': <9>, 'OOMKills': <uint64 2>}", "ExitCode");
        g_assert_cmpuint(count_warnings(h, path, "oom-kill"), ==, 1);
}

/* How many were killed, or G_MAXUINT64 if it has ended for it. */
static guint64 count_kills(Harness *h, const char *path) {
        g_autofree char *error = NULL, *message = NULL;
        g_autoptr(GVariant) reply = client_try(h->client, path, "GetUsage", NULL, &error, &message), usage = NULL;
        guint64 kills;

        if (!reply)
                return G_MAXUINT64;
        usage = g_variant_get_child_value(reply, 0);
        return g_variant_lookup(usage, "OOMKills", "t", &kills) ? kills : G_MAXUINT64;
}

/* The largest of the scope is what the kernel takes, and here they are all no larger than who keeps them. Its main process is one of them. */
static void test_many_small_processes(Harness *h) {
        harness_start_daemon(h, NULL);
        for (unsigned i = 0; i < 5; i++) {
                g_autofree char *path = start_hog(h, "exec $hog processes", "{'MemoryMax': <uint64 25165824>}"), *error = NULL, *message = NULL;
                gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;
                g_autoptr(GVariant) stopped = NULL, report = NULL;

                while (count_kills(h, path) < 5)
                        if (g_get_monotonic_time() > deadline)
                                harness_fail(h, "nobody was killed for memory");
                stopped = client_try(h->client, path, "Stop", g_variant_new_parsed("(@a{sv} {},)"), &error, &message);
                report = client_wait_ended(h->client, path);
                g_test_message("%s", report_string(report, "Result"));
                g_assert_cmpstr(report_string(report, "Result"), !=, "lost");
                g_assert_cmpuint(report_number(report, "OOMKills"), >=, 1);
        }
}

static void test_memory_peak(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL, reply = NULL, usage = NULL;

        harness_start_daemon(h, NULL);
        path = start_hog(h, "exec $hog memory 50", NULL);
        client_wait_text(h->client, path, "full");
        reply = client_call(h->client, path, "GetUsage", NULL);
        usage = g_variant_get_child_value(reply, 0);
        g_assert_cmpuint(report_number(usage, "MemoryCurrent"), >=, 50 * MIB);
        g_assert_cmpuint(report_number(usage, "MemoryCurrent"), <, 70 * MIB);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        g_assert_cmpuint(report_number(report, "MemoryPeak"), >=, 50 * MIB);
        g_assert_cmpuint(report_number(report, "MemoryPeak"), <, 70 * MIB);
        g_assert_cmpuint(report_number(report, "OOMKills"), ==, 0);
}

static void set_memory_max(Harness *h, const char *path, guint64 bytes) {
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'MemoryMax': <%t>},)", bytes)));
}

static void test_changed_memory_max(Harness *h) {
        g_autofree char *lowered = NULL, *raised = NULL;
        g_autoptr(GVariant) report = NULL, other = NULL;

        harness_start_daemon(h, NULL);
        lowered = start_hog(h, "read line; exec $hog memory 100", "{'Input': <'pipe'>}");
        set_memory_max(h, lowered, 32 * MIB);
        write_line(h, lowered);
        report = client_wait_ended(h->client, lowered);
        report_check(report, "{'Result': <'oom-kill'>}", NULL);

        raised = start_hog(h, "read line; exec $hog memory 100", "{'Input': <'pipe'>, 'MemoryMax': <uint64 33554432>}");
        set_memory_max(h, raised, 200 * MIB);
        write_line(h, raised);
        client_wait_text(h->client, raised, "full");
        client_stop(h->client, raised);
        other = client_wait_ended(h->client, raised);
        report_check(other, "{'Result': <'stopped'>, 'OOMKills': <uint64 0>}", NULL);
}

static void test_memory_high(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        gint64 first;

        harness_start_daemon(h, NULL);
        path = start_hog(h, "exec $hog memory 400", "{'MemoryHigh': <uint64 25165824>, 'TimeoutStopUSec': <uint64 1000000>}");
        client_wait_signal(h->client, path, "Warning");
        first = g_get_monotonic_time();
        client_wait_nth_signal(h->client, path, "Warning", 1);
        /* They are sent five seconds apart, but may come a little closer. */
        g_assert_cmpint(g_get_monotonic_time() - first, >, 3 * G_USEC_PER_SEC);
        g_assert_cmpuint(count_warnings(h, path, "memory-high"), >=, 2);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'OOMKills': <uint64 0>}", NULL);
        g_assert_cmpuint(report_number(report, "MemoryPeak"), >, 16 * MIB);
        g_assert_cmpuint(count_warnings(h, path, "oom-kill"), ==, 0);
}

static char *read_of_cgroup(Harness *h, const char *path, const char *file) {
        g_autofree char *cgroup = client_get_string(h->client, path, "ControlGroup"), *name = g_build_filename(cgroup_mount(), cgroup, file, NULL),
                        *text = NULL;

        g_assert_true(g_file_get_contents(name, &text, NULL, NULL));
        g_strchomp(text);
        return g_steal_pointer(&text);
}

static void assert_memory_high(Harness *h, const char *path, const char *expected) {
        g_autofree char *payload = read_of_cgroup(h, path, "payload/memory.high"), *keeper = read_of_cgroup(h, path, "keeper/memory.high");
        g_autofree char *scope = read_of_cgroup(h, path, "memory.high"), *unit = client_get_string(h->client, path, "Unit");
        g_autoptr(GVariant) value = harness_get_unit_property(unit, "Scope", "MemoryHigh");

        g_assert_cmpstr(payload, ==, expected);
        g_assert_cmpstr(keeper, ==, "max");
        g_assert_cmpstr(scope, ==, "max");
        g_assert_cmpuint(g_variant_get_uint64(value), ==, G_MAXUINT64);
}

static void set_memory_high(Harness *h, const char *path, guint64 bytes) {
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'MemoryHigh': <%t>},)", bytes)));
}

/* As it was given, through all that systemd does to the unit. */
static void test_memory_high_of_payload(Harness *h) {
        g_autofree char *path = NULL, *max = NULL;

        harness_start_daemon(h, NULL);
        path = start_hog(h, "exec sleep 1000", "{'MemoryHigh': <uint64 25165824>}");
        assert_memory_high(h, path, "25165824");
        set_memory_max(h, path, 64 * MIB);
        max = read_of_cgroup(h, path, "payload/memory.max");
        g_assert_cmpstr(max, ==, "62914560");
        assert_memory_high(h, path, "25165824");
        harness_call_systemd("Reload", NULL);
        assert_memory_high(h, path, "25165824");
        set_memory_high(h, path, 32 * MIB);
        assert_memory_high(h, path, "33554432");
        harness_kill_daemon(h);
        harness_start_daemon(h, NULL);
        assert_memory_high(h, path, "33554432");
        set_memory_high(h, path, G_MAXUINT64);
        assert_memory_high(h, path, "max");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

/* Held back while it is there, and not a moment longer. */
static void test_changed_memory_high(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        const char *code;

        harness_start_daemon(h, NULL);
        path = start_hog(h, "read line; exec $hog memory 200", "{'Input': <'pipe'>}");
        set_memory_high(h, path, 24 * MIB);
        write_line(h, path);
        g_variant_get_child(client_wait_signal(h->client, path, "Warning")->parameters, 0, "&s", &code);
        g_assert_cmpstr(code, ==, "memory-high");
        set_memory_high(h, path, G_MAXUINT64);
        client_wait_text(h->client, path, "full");
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'OOMKills': <uint64 0>}", NULL);
        g_assert_cmpuint(report_number(report, "MemoryPeak"), >=, 200 * MIB);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"each-runtime-over-its-memory-max-ends-as-oom-kill", test_over_memory_max},
                {"an-ordinary-sigkill-is-never-oom-kill", test_ordinary_kill},
                {"a-child-killed-for-memory-is-a-warning-and-no-end", test_killed_child},
                {"a-main-process-killed-after-its-child-is-told-as-well", test_child_then_main},
                {"many-small-processes-are-killed-before-their-keeper", test_many_small_processes},
                {"memory-in-report-and-usage-is-what-was-taken", test_memory_peak},
                {"a-changed-memory-max-holds-at-once", test_changed_memory_max},
                {"pressure-by-memory-high-is-a-warning-now-and-then", test_memory_high},
                {"memory-high-is-the-payloads-alone", test_memory_high_of_payload},
                {"a-changed-memory-high-holds-at-once", test_changed_memory_high},
        };

        if (!g_getenv("WITH_VM_BOOT")) {
                g_print("1..0 # SKIP this takes a kernel of its own (tests/with-vm)\n");
                return 0;
        }
        return harness_main(argc, argv, "vm-memory", cases, G_N_ELEMENTS(cases));
}
