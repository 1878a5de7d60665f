/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/names.h"

/* What a program without a runtime library of its own does with the protocol. */
static const char peer[] = "log=$HOME/$RUNTIME_MANAGER_ID.log\n"
                           "[ ! -p \"$HOME/$RUNTIME_MANAGER_ID.$1\" ] || read -r go <\"$HOME/$RUNTIME_MANAGER_ID.$1\"\n"
                           "echo \"$1\" >>\"$log\"\n"
                           "echo \"output of $1\"\n"
                           "[ \"$1\" = command ] || exit 0\n"
                           "say() { printf '{\"jsonrpc\":\"2.0\",%s}\\n' \"$1\" >&4; }\n"
                           "say "
                           "\"\\\"method\\\":\\\"node_started\\\",\\\"params\\\":{\\\"protocol\\\":1,\\\"init_ref\\\":\\\"$RUNTIME_MANAGER_INIT_REF\\\","
                           "\\\"pid\\\":$$}\"\n"
                           "while read -r message <&3; do\n"
                           "        case $message in\n"
                           "        *'\"initialize\"'*) echo initialize >>\"$log\"; say '\"id\":1,\"result\":{}' ;;\n"
                           "        *'\"node_initialized\"'*) echo initialized >>\"$log\" ;;\n"
                           "        *'\"shutdown\"'*) echo shutdown >>\"$log\"; exit 0 ;;\n"
                           "        esac\n"
                           "done\n";

void trial_add_kinds(Harness *h) {
        g_autofree char *script = harness_add_file(h, "peer.sh", peer, 0644), *kind = NULL;

        kind = g_strdup_printf("[Kind]\nExec=sh %s command\n[Step prepare]\nExec=sh %s step\n"
                               "[Handshake]\nType=protocol\nTransport=pipes\nTimeoutSec=30\n[Stop]\nMessage=shutdown\nTimeoutSec=20\n",
                               script, script);
        harness_add_kind(h, "peer", kind);
}

static char *file_of(Trial *trial, const char *suffix) {
        return g_strdup_printf("%s/%s.%s", trial->h->home, trial->id, suffix);
}

static GVariant *with_id(Trial *trial, GVariant *options) {
        GVariantDict dict;

        g_variant_dict_init(&dict, options);
        g_variant_dict_insert(&dict, "Id", "s", trial->id);
        return g_variant_ref_sink(g_variant_dict_end(&dict));
}

void trial_start(Trial *trial, const char *kind, GVariant *options) {
        g_autoptr(GVariant) reply = NULL, owned = g_variant_ref_sink(options);
        const char *id;

        trial->options = with_id(trial, owned);
        g_hash_table_add(trial->h->ids, g_strdup(trial->id));
        reply = crash_ask(trial->crash, NULL, "StartRuntime", g_variant_new("(s@a{sv})", kind, trial->options), NULL);
        g_variant_get(reply, "(&so)", &id, &trial->path);
        g_assert_cmpstr(id, ==, trial->id);
}

GVariant *trial_shell(Trial *trial, const char *script, const char *more) {
        g_autofree char *log = file_of(trial, "log"), *gate = file_of(trial, "command");
        g_autofree char *whole = g_strdup_printf("LOG='%s'; GATE='%s'; %s", log, gate, script);

        return options_shell(whole, more);
}

static void trial_clear(Trial *trial) {
        g_free(trial->id);
        trial->id = NULL;
        trial->path = NULL;
        g_clear_pointer(&trial->options, g_variant_unref);
        g_clear_pointer(&trial->report, g_variant_unref);
}

void trial_next(Trial *trial) {
        static guint n;

        if (trial->path)
                g_ptr_array_add(trial->others, trial->path);
        trial_clear(trial);
        trial->id = g_strdup_printf("c%d_%u", (int) getpid(), ++n);
}

void trial_wait_ready(Trial *trial) {
        g_autofree char *state = crash_wait_runtime(trial->crash, trial->path, "ready", NULL);

        g_assert_cmpstr(state, ==, "ready");
}

void trial_wait_ended(Trial *trial) {
        g_autofree char *state = NULL;

        g_clear_pointer(&trial->report, g_variant_unref);
        state = crash_wait_runtime(trial->crash, trial->path, "ended", &trial->report);
        g_assert_cmpstr(state, ==, "ended");
}

void trial_stop(Trial *trial, const char *options) {
        GVariant *reply;

        /* It may have ended by the first call, if that one got no answer. */
        reply = crash_ask(trial->crash, trial->path, "Stop", g_variant_new("(@a{sv})", g_variant_new_parsed(options ?: "@a{sv} {}")), "BadState");
        if (reply)
                g_variant_unref(reply);
        trial_wait_ended(trial);
}

char *trial_log(Trial *trial) {
        g_autofree char *path = file_of(trial, "log");
        char *text;

        return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

void trial_assert_log(Trial *trial, const char *expected) {
        g_autofree char *text = trial_log(trial);

        g_assert_cmpstr(text, ==, expected);
}

typedef struct Expected {
        Trial *trial;
        const char *text;
} Expected;

static gboolean log_is(gpointer userdata) {
        Expected *expected = userdata;
        g_autofree char *text = trial_log(expected->trial);

        return strcmp(text, expected->text) == 0;
}

void trial_wait_log(Trial *trial, const char *expected) {
        Expected wanted = {trial, expected};

        crash_wait(trial->crash, log_is, &wanted, expected);
}

static gboolean state_is(gpointer userdata) {
        Expected *expected = userdata;
        g_autofree char *state = client_get_string(expected->trial->h->client, expected->trial->path, "State");

        return strcmp(state, expected->text) == 0;
}

/* A moment later at the most: what has happened may not have been told yet. */
void trial_assert_state(Trial *trial, const char *state) {
        Expected expected = {trial, state};

        harness_wait(trial->h, state_is, &expected, state);
}

typedef struct Processes {
        Harness *h;
        guint n;
} Processes;

static gboolean are_so_many(gpointer userdata) {
        Processes *processes = userdata;
        g_autoptr(GArray) pids = harness_find_processes(processes->h);

        return pids->len == processes->n;
}

/* A shell has a child for a moment here and there. */
void trial_assert_processes(Trial *trial, guint n) {
        Processes processes = {trial->h, n};
        g_autofree char *what = g_strdup_printf("%u processes run", n);

        harness_wait(trial->h, are_so_many, &processes, what);
}

static gboolean output_is(gpointer userdata) {
        Expected *expected = userdata;
        g_autofree char *text = client_read_text(expected->trial->h->client, expected->trial->path);

        return strcmp(text, expected->text) == 0;
}

void trial_assert_output(Trial *trial, const char *expected) {
        Expected wanted = {trial, expected};
        g_autoptr(GPtrArray) lines = NULL;

        harness_wait(trial->h, output_is, &wanted, expected);
        lines = client_read_lines(trial->h->client, trial->path, 0);
        for (guint i = 0; i < lines->len; i++)
                g_assert_cmpuint(((const Line *) lines->pdata[i])->number, ==, i + 1);
}

void trial_add_gate(Trial *trial, const char *name) {
        g_autofree char *path = file_of(trial, name);

        g_assert_cmpint(mkfifo(path, 0600), ==, 0);
}

static gboolean gate_opens(gpointer userdata) {
        int fd = open(userdata, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0) {
                g_assert_cmpint(errno, ==, ENXIO);
                return FALSE;
        }
        g_assert_cmpint(write(fd, "go\n", 3), ==, 3);
        close(fd);
        return TRUE;
}

void trial_open_gate(Trial *trial, const char *name) {
        g_autofree char *path = file_of(trial, name);

        crash_wait(trial->crash, gate_opens, path, "somebody waits at the gate");
}

/* Whatever it was about: it ends, and is forgotten. */
static void end_runtime(Trial *trial, const char *path) {
        g_autofree char *folder = g_build_filename(trial->h->runtime_directory, RM_RUNTIME_DIRECTORY, path_to_id(path), NULL);
        GVariant *reply;

        reply = crash_ask(trial->crash, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)"), "BadState");
        if (reply)
                g_variant_unref(reply);
        g_free(crash_wait_runtime(trial->crash, path, "ended", NULL));
        g_variant_unref(crash_ask(trial->crash, path, "Forget", NULL, NULL));
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
}

static void finish(Trial *trial) {
        if (trial->path)
                g_ptr_array_add(trial->others, trial->path);
        for (guint i = 0; i < trial->others->len; i++)
                end_runtime(trial, trial->others->pdata[i]);
        harness_wait_clean(trial->h);
        trial_clear(trial);
        g_clear_pointer(&trial->client, client_free);
        g_ptr_array_unref(trial->others);
        client_sync(trial->h->client);
        g_ptr_array_set_size(trial->h->client->signals, 0);
}

/* Names it in the daemon's log, which is shown when a test fails. */
static void announce(Harness *h, const char *when, guint n, char **acts) {
        g_autofree char *text = g_strdup_printf("== killed %s act %u (%s)\n", when, n, n > 0 ? acts[n - 1] : "none");

        g_assert_true(g_file_set_contents(h->log, text, -1, NULL));
}

static gboolean run_trial(Harness *h, Crash *crash, const Scenario *scenario, const char *when, guint n) {
        Trial trial = {.h = h, .crash = crash, .when = when, .n = n, .others = g_ptr_array_new_with_free_func(g_free)};
        gboolean died;

        trial_next(&trial);
        if (scenario->prepare)
                scenario->prepare(&trial);
        crash_arm(crash, when, n);
        scenario->act(&trial);
        crash_settle(crash);
        died = crash->n_crashes > 0;
        scenario->check(&trial);
        finish(&trial);
        return died;
}

/* $CRASH_POINT: "before 12" plays that one alone, "before 12-" all from there on. */
static gboolean is_wanted(const char *when, guint n) {
        const char *wanted = g_getenv("CRASH_POINT");
        g_autofree char *name = g_strdup_printf("%s %u", when, n);
        static gboolean begun;

        if (wanted && g_str_has_prefix(wanted, name) && wanted[strlen(name)] == '-')
                begun = TRUE;
        return !wanted || begun || strcmp(wanted, name) == 0;
}

void trials_run(Harness *h, const Scenario *scenario) {
        static const char *const whens[] = {"before", "after"};
        g_autoptr(Crash) crash = NULL;
        g_auto(GStrv) acts = NULL;
        guint n_acts, n_points = 0, n_missed = 0;
        gint64 begin;

        trial_add_kinds(h);
        crash = crash_new(h);
        begin = g_get_monotonic_time();
        g_assert_false(run_trial(h, crash, scenario, "before", 0));
        acts = crash_acts(crash);
        n_acts = g_strv_length(acts);
        g_assert_cmpuint(n_acts, >, 0);
        for (guint n = 1; n <= n_acts; n++)
                for (size_t i = 0; i < G_N_ELEMENTS(whens); i++) {
                        if (!is_wanted(whens[i], n) || (scenario->by_turns && i != n % 2))
                                continue;
                        announce(h, whens[i], n, acts);
                        n_points++;
                        /* How many acts there are is a matter of time, too: on a busy machine it may come to the last ones at the next try. */
                        if (!run_trial(h, crash, scenario, whens[i], n) && !run_trial(h, crash, scenario, whens[i], n))
                                n_missed++;
                }
        g_test_message("%u acts, %u points hit, %u not come to, %.1f s", n_acts, n_points - n_missed, n_missed,
                       (double) (g_get_monotonic_time() - begin) / G_USEC_PER_SEC);
        /* Some of the last acts are a matter of time. */
        g_assert_cmpuint(n_missed * 5, <=, n_points);
}
