/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keeper is killed before and after each of its acts in a start: with a setup step and a handshake, up to ready. Whatever it had come to, its runtime ends,
 * the error or the report says that it was the keeper, and neither a process nor a unit is left. */

#include <glib/gstdio.h>
#include <string.h>

#include "harness.h"
#include "util/names.h"

typedef struct Doomed {
        Harness *h;
        char *armed, *log;
} Doomed;

/* The daemon finds its keeper in its own folder: a copy of it finds a keeper that can be told when to die. */
static void use_doomed_keeper(Doomed *doomed) {
        g_autofree char *daemon = g_build_filename(harness_build_directory(), "runtime-managerd", NULL), *program = NULL, *wrapper = NULL;
        g_autofree char *keeper = g_canonicalize_filename("runtime-keeper", harness_build_directory());
        g_autoptr(GError) error = NULL;
        char *bytes;
        gsize size;

        g_assert_true(g_file_get_contents(daemon, &bytes, &size, &error));
        program = harness_add_file(doomed->h, "programs/runtime-managerd", "", 0755);
        g_assert_true(g_file_set_contents_full(program, bytes, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0755, &error));
        g_free(bytes);
        wrapper = g_strdup_printf("#!/bin/sh\n"
                                  "export LD_PRELOAD='%s' CRASH_AT_FILE='%s' CRASH_AT_LOG='%s' ASAN_OPTIONS=verify_asan_link_order=0\n"
                                  "exec '%s'\n",
                                  g_getenv("RM_CRASH_AT"), doomed->armed, doomed->log, keeper);
        g_free(harness_add_file(doomed->h, "programs/runtime-keeper", wrapper, 0755));
        doomed->h->program = g_steal_pointer(&program);
}

static void add_kind(Harness *h) {
        g_autofree char *script = harness_add_file(h, "peer.sh",
                                                   "say() { printf '{\"jsonrpc\":\"2.0\",%s}\\n' \"$1\" >&4; }\n"
                                                   "echo begins\n"
                                                   "say \"\\\"method\\\":\\\"node_started\\\",\\\"params\\\":{\\\"protocol\\\":1,"
                                                   "\\\"init_ref\\\":\\\"$RUNTIME_MANAGER_INIT_REF\\\",\\\"pid\\\":$$}\"\n"
                                                   "read -r request <&3\n"
                                                   "say '\"id\":1,\"result\":{}'\n"
                                                   "read -r initialized <&3\n"
                                                   "read -r request <&3\n",
                                                   0644);
        g_autofree char *kind = g_strdup_printf("[Kind]\nExec=sh %s\n[Step prepare]\nExec=sh -c \"echo prepares; sleep 1000 & true\"\n"
                                                "[Handshake]\nType=protocol\nTransport=pipes\nTimeoutSec=30\n[Stop]\nMessage=shutdown\n",
                                                script);

        harness_add_kind(h, "peer", kind);
}

static char **read_acts(Doomed *doomed) {
        g_autofree char *text = NULL;

        return g_file_get_contents(doomed->log, &text, NULL, NULL) ? g_strsplit(g_strchomp(text), "\n", -1) : g_new0(char *, 1);
}

/* The keeper and a child of it may both come to an act with that number. Behind execve() there is nobody any more who could kill the keeper. */
static gboolean has_died(char **acts, const char *when, guint n) {
        for (; n > 0 && *acts; acts++) {
                const char *name = strchr(*acts, ' ');

                if (g_ascii_strtoull(*acts, NULL, 10) == n && (strcmp(when, "before") == 0 || strcmp(name, " execve") != 0))
                        return TRUE;
        }
        return FALSE;
}

static void check_end(Doomed *doomed, const char *path, gboolean died) {
        Client *client = doomed->h->client;
        g_autofree char *state = client_wait_ready(client, path);
        g_autoptr(GVariant) report = NULL;

        if (!died) {
                g_assert_cmpstr(state, ==, "ready");
                client_stop(client, path);
        }
        report = client_wait_ended(client, path);
        if (died) {
                report_check(report, "{'Result': <'lost'>, 'Reason': <'keeper-lost'>}", "ExitCode Signal RequestedBy");
                g_assert_nonnull(strstr(report_string(report, "Message"), "keeper"));
        } else
                report_check(report, "{'Result': <'stopped'>}", NULL);
}

/* Returns the acts. */
static char **run_trial(Doomed *doomed, const char *when, guint n) {
        Client *client = doomed->h->client;
        g_autofree char *text = g_strdup_printf("%s %u\n", when, n), *name = g_strdup_printf("%s%u", when, n), *id = harness_id(name);
        g_autofree char *error = NULL, *message = NULL;
        g_autoptr(GVariant) reply = NULL;
        char **acts;

        (void) g_unlink(doomed->log);
        g_assert_true(g_file_set_contents(doomed->h->log, text, -1, NULL));
        g_assert_true(g_file_set_contents(doomed->armed, text, -1, NULL));
        g_hash_table_add(doomed->h->ids, g_strdup(id));
        reply = client_try(client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "peer", g_variant_new_parsed("{'Id': <%s>}", id)), &error, &message);
        if (reply) {
                g_autofree char *path = NULL, *state = NULL;

                g_variant_get(reply, "(&so)", NULL, &path);
                state = client_wait_ready(client, path);
                (void) g_unlink(doomed->armed);
                acts = read_acts(doomed);
                check_end(doomed, path, has_died(acts, when, n));
                harness_wait_clean(doomed->h);
                g_variant_unref(client_call(client, path, "Forget", NULL));
        } else {
                (void) g_unlink(doomed->armed);
                acts = read_acts(doomed);
                g_assert_true(has_died(acts, when, n));
                g_assert_cmpstr(error, ==, RM_ERROR_START_FAILED);
                g_assert_nonnull(strstr(message, "keeper"));
        }
        harness_wait_clean(doomed->h);
        g_ptr_array_set_size(client->signals, 0);
        return acts;
}

static void test_start(Harness *h) {
        static const char *const whens[] = {"before", "after"};
        g_autofree char *armed = g_build_filename(h->directory, "armed", NULL), *log = g_build_filename(h->directory, "acts", NULL);
        gint64 begin = g_get_monotonic_time();
        Doomed doomed = {h, armed, log};
        guint n_acts = 0, n_hit = 0;
        g_auto(GStrv) all = NULL;

        use_doomed_keeper(&doomed);
        add_kind(h);
        harness_start_daemon(h, NULL);
        all = run_trial(&doomed, "before", 0);
        for (char **act = all; *act; act++)
                n_acts = MAX(n_acts, (guint) g_ascii_strtoull(*act, NULL, 10));
        g_assert_cmpuint(n_acts, >, 10);
        for (guint n = 1; n <= n_acts; n++)
                for (size_t i = 0; i < G_N_ELEMENTS(whens); i++) {
                        g_auto(GStrv) acts = run_trial(&doomed, whens[i], n);

                        n_hit += has_died(acts, whens[i], n);
                }
        g_test_message("%u acts of a keeper, %u points hit, %.1f s", n_acts, n_hit, (double) (g_get_monotonic_time() - begin) / G_USEC_PER_SEC);
        /* Some of the last are a matter of time. */
        g_assert_cmpuint(n_hit * 5, >=, 2 * n_acts * 4);
}

static const HarnessCase cases[] = {
        {"a-keeper-that-is-killed-in-a-start-leaves-nothing", test_start},
};

int main(int argc, char *argv[]) {
        if (!g_getenv("RM_CRASH_AT")) {
                g_print("1..0 # SKIP $RM_CRASH_AT isn't set: run it by meson test\n");
                return EXIT_SUCCESS;
        }
        return harness_main(argc, argv, "crash-keeper", cases, G_N_ELEMENTS(cases));
}
