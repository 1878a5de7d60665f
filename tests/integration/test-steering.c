/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a running runtime is like and what can be done with it: its clean start, Interrupt, GetUsage, SetLimits. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "harness.h"
#include "util/names.h"

static char *run(Harness *h, const char *script, const char *more) {
        g_autofree char *path = client_start(h->client, "command", options_shell(script, more));
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'success'>}", NULL);
        return client_read_text(h->client, path);
}

static char *start_and_hear(Harness *h, const char *kind, GVariant *options) {
        g_autofree char *path = client_start(h->client, kind, options);

        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, path, "OutputLines");
        return g_steal_pointer(&path);
}

static void test_environment(Harness *h) {
        static const char *const of_service[] = {"NOTIFY_SOCKET", "LISTEN_FDS",    "LISTEN_PID",  "WATCHDOG_USEC", "INVOCATION_ID",
                                                 "MANAGERPID",    RM_ENV_INIT_REF, RM_ENV_SOCKET, "GONE"};
        const char *const variables[] = {"KEPT=of the service", "GONE=1", "CHANGED=old", "WATCHDOG_USEC=3000000000", "MANAGERPID=1", NULL};
        g_autofree char *id = harness_id("environment"), *text = NULL, *expected = g_strdup_printf("%s", id);
        g_auto(GStrv) lines = NULL;

        harness_start_daemon(h, variables);
        g_free(expected);
        expected = g_strdup_printf("{'Id': <'%s'>, 'UnsetEnvironment': <['GONE']>, 'Environment': <['CHANGED=new', 'ADDED=a=b', 'EMPTY=']>}", id);
        text = run(h, "env", expected);
        lines = g_strsplit(text, "\n", -1);
        for (size_t i = 0; i < G_N_ELEMENTS(of_service); i++)
                g_assert_null(g_environ_getenv(lines, of_service[i]));
        g_assert_cmpstr(g_environ_getenv(lines, "KEPT"), ==, "of the service");
        g_assert_cmpstr(g_environ_getenv(lines, "CHANGED"), ==, "new");
        g_assert_cmpstr(g_environ_getenv(lines, "ADDED"), ==, "a=b");
        g_assert_cmpstr(g_environ_getenv(lines, "EMPTY"), ==, "");
        g_assert_cmpstr(g_environ_getenv(lines, RM_ENV_ID), ==, id);
        g_assert_cmpstr(g_environ_getenv(lines, "PATH"), ==, g_getenv("PATH"));
}

/* /proc/self is the shell: "[" is a part of it and needs no descriptor. */
static void test_descriptors(Harness *h) {
        g_autofree char *text = NULL, *with_pipe = NULL, *kinds = NULL, *limit = NULL, *expected = NULL;
        struct rlimit ours;

        harness_start_daemon(h, NULL);
        text = run(h, "i=0; while [ $i -lt 64 ]; do [ -e /proc/self/fd/$i ] && echo $i; i=$((i+1)); done; exit 0", NULL);
        g_assert_cmpstr(text, ==, "0\n1\n2\n");
        with_pipe = run(h, "i=0; while [ $i -lt 64 ]; do [ -e /proc/self/fd/$i ] && echo $i; i=$((i+1)); done; exit 0", "{'Input': <'pipe'>}");
        g_assert_cmpstr(with_pipe, ==, "0\n1\n2\n");
        kinds = run(h, "readlink /proc/$$/fd/0; for i in 1 2; do readlink /proc/$$/fd/$i | sed 's/:.*//'; done", NULL);
        g_assert_cmpstr(kinds, ==, "/dev/null\npipe\npipe\n");

        /* The daemon raises its own limit. */
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &ours), ==, 0);
        limit = run(h, "ulimit -n", NULL);
        expected = ours.rlim_cur == RLIM_INFINITY ? g_strdup("unlimited\n") : g_strdup_printf("%" G_GUINT64_FORMAT "\n", (guint64) ours.rlim_cur);
        g_assert_cmpstr(limit, ==, expected);
}

static void test_signals(Harness *h) {
        static const char *const sets[] = {"SigBlk", "SigIgn", "SigCgt"};
        g_autofree char *text = NULL;

        harness_start_daemon(h, NULL);
        text = run(h, "exec cat /proc/self/status", NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(sets); i++) {
                g_autofree char *expected = g_strdup_printf("\n%s:\t0000000000000000\n", sets[i]);

                if (!strstr(text, expected))
                        harness_fail(h, "%s is not empty: %s", sets[i], text);
        }
}

static void test_session(Harness *h) {
        g_autofree char *text = NULL;
        g_auto(GStrv) words = NULL;

        harness_start_daemon(h, NULL);
        /* pid, (comm), state, parent, group, session, terminal */
        text = run(h, "read stat </proc/$$/stat; echo $stat", NULL);
        words = g_strsplit(text, " ", -1);
        g_assert_cmpuint(g_strv_length(words), >, 7);
        g_assert_cmpstr(words[4], ==, words[0]);
        g_assert_cmpstr(words[5], ==, words[0]);
        g_assert_cmpstr(words[6], ==, "0");
        g_assert_cmpint(atoi(words[3]), !=, h->daemon);
}

static void test_directory(Harness *h) {
        g_autofree char *home = NULL, *other = NULL, *expected = g_strdup_printf("%s\n", h->home);

        harness_start_daemon(h, NULL);
        home = run(h, "/bin/pwd", NULL);
        g_assert_cmpstr(home, ==, expected);
        other = run(h, "/bin/pwd", "{'WorkingDirectory': <'/usr/share'>}");
        g_assert_cmpstr(other, ==, "/usr/share\n");
}

static void test_words(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            g_variant_new_parsed("{'Command': <['printf', '<%s>']>, 'Arguments': <['', 'a b', '$HOME', '*', '%i', 'größe', '-x\\n']>}"));
        g_variant_unref(client_wait_ended(h->client, path));
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "<><a b><$HOME><*><%i><größe><-x\n>");
}

static void test_no_new_privileges(Harness *h) {
        g_autofree char *without = NULL, *with = NULL;

        harness_start_daemon(h, NULL);
        without = run(h, "grep NoNewPrivs /proc/self/status", NULL);
        with = run(h, "grep NoNewPrivs /proc/self/status", "{'NoNewPrivileges': <true>}");
        g_assert_cmpstr(with, ==, "NoNewPrivs:\t1\n");
        if (strcmp(without, with) == 0)
                g_test_message("these tests themselves run without new privileges");
}

static void test_interrupt(Harness *h) {
        g_autofree char *command = NULL, *custom = NULL, *without = NULL, *message = NULL, *ended = NULL;
        g_autoptr(GVariant) report = NULL, of_custom = NULL;

        harness_add_kind(h, "usr", "[Kind]\n[Interrupt]\nSignal=SIGUSR2\n");
        harness_add_kind(h, "deaf", "[Kind]\n");
        harness_start_daemon(h, NULL);
        /* command has SIGINT. */
        command = start_and_hear(h, "command", options_shell("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done", NULL));
        g_variant_unref(client_call(h->client, command, "Interrupt", NULL));
        report = client_wait_ended(h->client, command);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <3>, 'OutputTail': <'ready\\ninterrupted\\n'>}", "RequestedBy");
        ended = client_call_fails(h->client, command, "Interrupt", NULL, "BadState");

        custom = start_and_hear(h, "usr", options_shell("trap 'exit 4' USR2; echo ready; while :; do sleep 0.1; done", NULL));
        g_variant_unref(client_call(h->client, custom, "Interrupt", NULL));
        of_custom = client_wait_ended(h->client, custom);
        report_check(of_custom, "{'Result': <'exit-code'>, 'ExitCode': <4>}", NULL);

        without = start_and_hear(h, "deaf", options_shell("echo ready; exec sleep 1000", NULL));
        message = client_call_fails(h->client, without, "Interrupt", NULL, "NotSupported");
        client_stop(h->client, without);
        g_variant_unref(client_wait_ended(h->client, without));
}

static void test_interrupt_too_early(Harness *h) {
        g_autofree char *path = NULL, *message = NULL;

        harness_add_kind(h, "slow", "[Kind]\n[Handshake]\nType=line\nLine=^never$\n[Interrupt]\nSignal=SIGINT\n");
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "slow", options_shell("exec sleep 1000", NULL));
        message = client_call_fails(h->client, path, "Interrupt", NULL, "BadState");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

static guint64 cpu_usage(Harness *h, const char *path) {
        g_autoptr(GVariant) reply = client_call(h->client, path, "GetUsage", NULL), usage = g_variant_get_child_value(reply, 0);

        return report_number(usage, "CPUUsageNSec");
}

typedef struct Usage {
        Harness *h;
        const char *path;
        guint64 before;
} Usage;

static gboolean has_used_more(gpointer userdata) {
        Usage *usage = userdata;

        return cpu_usage(usage->h, usage->path) > usage->before + 10 * 1000 * 1000;
}

static void test_usage(Harness *h) {
        g_autofree char *path = NULL, *message = NULL;
        g_autoptr(GVariant) report = NULL;
        Usage usage = {.h = h};

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("while :; do :; done", "{'CPUQuotaPerSecUSec': <uint64 500000>}"));
        usage.path = path;
        usage.before = cpu_usage(h, path);
        harness_wait(h, has_used_more, &usage, "the runtime has used 10 ms more of the CPU");
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        g_assert_cmpuint(report_number(report, "CPUUsageNSec"), >=, usage.before);
        message = client_call_fails(h->client, path, "GetUsage", NULL, "BadState");
}

static guint64 unit_limit(Harness *h, const char *path, const char *limit) {
        g_autofree char *unit = client_get_string(h->client, path, "Unit");
        g_autoptr(GVariant) value = harness_get_unit_property(unit, "Scope", limit);

        g_assert_nonnull(value);
        return g_variant_get_uint64(value);
}

/* Nothing without a memory controller. */
static void assert_memory_high(Harness *h, const char *path, const char *expected) {
        g_autofree char *cgroup = client_get_string(h->client, path, "ControlGroup"), *text = NULL;
        g_autofree char *file = g_build_filename(cgroup_mount(), cgroup, RM_CGROUP_PAYLOAD, "memory.high", NULL);

        if (g_file_get_contents(file, &text, NULL, NULL))
                g_assert_cmpstr(text, ==, expected);
}

static void test_limits_at_start(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) limits = NULL;

        harness_add_kind(h, "limited", "[Kind]\n[Limits]\nTasksMax=50\nMemoryMax=512M\n");
        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "limited",
                options_shell("exec sleep 1000", "{'TasksMax': <uint64 60>, 'CPUQuotaPerSecUSec': <uint64 1500000>, 'MemoryHigh': <uint64 268435456>}"));
        limits = client_get(h->client, path, "Limits");
        report_check(limits,
                     "{'TasksMax': <uint64 60>, 'MemoryMax': <uint64 536870912>, 'CPUQuotaPerSecUSec': <uint64 1500000>, 'MemoryHigh': <uint64 268435456>}",
                     "CPUWeight IOWeight");
        g_assert_cmpuint(unit_limit(h, path, "TasksMax"), ==, 60);
        g_assert_cmpuint(unit_limit(h, path, "MemoryMax"), ==, 536870912);
        g_assert_cmpuint(unit_limit(h, path, "CPUQuotaPerSecUSec"), ==, 1500000);
        g_assert_cmpuint(unit_limit(h, path, "MemoryHigh"), ==, G_MAXUINT64);
        assert_memory_high(h, path, "268435456\n");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_set_limits(Harness *h) {
        g_autofree char *path = NULL, *message = NULL;
        g_autoptr(GVariant) limits = NULL, lifted = NULL, changed = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'CPUWeight': <uint64 50>}"));
        client_sync(h->client);
        g_ptr_array_set_size(h->client->signals, 0);
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 77>, 'MemoryHigh': <uint64 104857600>},)")));
        g_assert_cmpuint(unit_limit(h, path, "TasksMax"), ==, 77);
        /* The payload's alone. */
        g_assert_cmpuint(unit_limit(h, path, "MemoryHigh"), ==, G_MAXUINT64);
        assert_memory_high(h, path, "104857600\n");
        g_assert_cmpuint(unit_limit(h, path, "CPUWeight"), ==, 50);
        limits = client_get(h->client, path, "Limits");
        report_check(limits, "{'TasksMax': <uint64 77>, 'MemoryHigh': <uint64 104857600>, 'CPUWeight': <uint64 50>}", "MemoryMax");
        changed = g_variant_get_child_value(client_wait_signal(h->client, path, "PropertiesChanged")->parameters, 1);
        g_assert_true(g_variant_lookup(changed, "Limits", "@a{sv}", NULL));

        /* Infinity takes one away. */
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'MemoryHigh': <uint64 18446744073709551615>},)")));
        lifted = client_get(h->client, path, "Limits");
        report_check(lifted, "{'TasksMax': <uint64 77>}", "MemoryHigh");
        g_assert_cmpuint(unit_limit(h, path, "MemoryHigh"), ==, G_MAXUINT64);
        assert_memory_high(h, path, "max\n");

        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        message = client_call_fails(h->client, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 77>},)"), "BadState");
}

/* As after an update that went wrong. */
static void test_no_keeper(Harness *h) {
        g_autofree char *from = g_build_filename(harness_build_directory(), "runtime-managerd", NULL), *to = g_build_filename(h->directory, "alone", NULL);
        g_autofree char *id = harness_id("alone"), *folder = NULL;
        g_autoptr(GFile) source = g_file_new_for_path(from), target = g_file_new_for_path(to);
        g_autoptr(GError) error = NULL;

        g_assert_true(g_file_copy(source, target, G_FILE_COPY_NONE, NULL, NULL, NULL, &error));
        /* It is there, so that no other is looked for, but can't be executed. */
        g_free(harness_add_file(h, "runtime-keeper", "", 0644));
        h->program = g_strdup(to);
        harness_add_kind(h, "any", "[Kind]\n");
        harness_start_daemon(h, NULL);
        for (int i = 0; i < 2; i++) {
                g_autofree char *text = client_call_fails(h->client, NULL, "StartRuntime",
                                                          g_variant_new("(s@a{sv})", "any", options_shell("exit 0", "{'Id': <%s>}", id)), "StartFailed");

                g_assert_nonnull(strstr(text, "runtime-keeper"));
        }
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
        folder = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, id, NULL);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"the-environment-is-the-managers-without-what-is-its-own", test_environment},
                {"a-runtime-has-three-descriptors", test_descriptors},
                {"signals-are-at-their-defaults", test_signals},
                {"a-runtime-has-a-session-of-its-own", test_session},
                {"the-working-directory-is-home-or-as-asked", test_directory},
                {"words-arrive-as-they-were-given", test_words},
                {"new-privileges-can-be-denied", test_no_new_privileges},
                {"interrupt-does-what-the-kind-says", test_interrupt},
                {"interrupt-waits-for-ready", test_interrupt_too_early},
                {"usage-is-read-when-asked", test_usage},
                {"limits-are-the-kinds-and-the-clients", test_limits_at_start},
                {"limits-can-be-changed", test_set_limits},
                {"without-a-keeper-a-start-fails-and-leaves-nothing", test_no_keeper},
        };

        return harness_main(argc, argv, "steering", cases, G_N_ELEMENTS(cases));
}
