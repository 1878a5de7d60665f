/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything at once, while the daemon, a real service of the user manager, is killed at random moments, some of them before it is back from the last time.
 *
 * Twenty runtimes of several kinds print numbered lines, and so do the processes that they fork; some end meanwhile, one is being set up for most of the time,
 * four are stopped and started again and again, and short ones come and go. Three subscribers and an owner are told of it. In the end each line is there once,
 * in order and whole, for ReadOutput and for each subscriber, and each end has its true report. */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "chaos.h"
#include "util/names.h"

#define N_KILLS 55
/* A talker ends whenever so many more kills have been. */
#define KILLS_AN_END 4
#define N_PEERS 4
#define N_SPRINTERS 2
#define RING "'RingBytes': <uint64 16777216>"

typedef enum Fate { FATE_EXITS_EARLY, FATE_EXITS, FATE_STOPPED, FATE_OWNER_LOST } Fate;

typedef struct Talker {
        const char *kind;
        guint children;
        gboolean is_long, stays;
        Fate fate;
        const char *writers; /* of stdout that come to their end */
        char *id, *path;
        guint code;
} Talker;

static const Talker talkers[] = {
        {"command", 2, TRUE, FALSE, FATE_EXITS_EARLY, "m c0 c1", NULL, NULL, 0},  {"command", 2, TRUE, FALSE, FATE_EXITS, "m c0 c1", NULL, NULL, 11},
        {"command", 2, FALSE, TRUE, FATE_EXITS_EARLY, "m c0 c1", NULL, NULL, 12}, {"command", 1, FALSE, TRUE, FATE_EXITS, "m c0", NULL, NULL, 13},
        {"command", 1, FALSE, FALSE, FATE_EXITS_EARLY, "m c0", NULL, NULL, 14},   {"command", 1, FALSE, FALSE, FATE_EXITS_EARLY, "m c0", NULL, NULL, 15},
        {"command", 0, FALSE, FALSE, FATE_EXITS_EARLY, "m", NULL, NULL, 16},      {"liner", 1, FALSE, FALSE, FATE_EXITS_EARLY, "m c0", NULL, NULL, 17},
        {"liner", 1, FALSE, FALSE, FATE_EXITS, "m c0", NULL, NULL, 18},           {"liner", 1, TRUE, FALSE, FATE_EXITS, "m c0", NULL, NULL, 19},
        {"stepped", 1, FALSE, FALSE, FATE_EXITS, "m c0", NULL, NULL, 20},         {"stepped", 1, FALSE, FALSE, FATE_EXITS, "m c0", NULL, NULL, 21},
        {"command", 1, FALSE, FALSE, FATE_OWNER_LOST, NULL, NULL, NULL, 22},      {"command", 0, FALSE, FALSE, FATE_OWNER_LOST, NULL, NULL, NULL, 23},
        {"command", 1, FALSE, FALSE, FATE_STOPPED, NULL, NULL, NULL, 24},         {"command", 0, FALSE, FALSE, FATE_STOPPED, NULL, NULL, NULL, 25},
};
#define N_TALKERS G_N_ELEMENTS(talkers)

/* A protocol peer that is stopped and started all the time. */
typedef struct Peer {
        struct Test *test;
        char *id, *path;
        guint n_ends;
        gboolean at_rest; /* ready, and left alone, as all is over */
} Peer;

/* Starts a runtime, looks at its end and its output, forgets it, and starts the next. */
typedef struct Sprinter {
        struct Test *test;
        guint n, index;
        char *path;
        gboolean at_rest;
} Sprinter;

typedef struct Test {
        Harness *h;
        Chaos *chaos;
        char *python, *script;
        Talker talkers[N_TALKERS];
        Peer peers[N_PEERS];
        Sprinter sprinters[N_SPRINTERS];
        Observer *all, *each, *some;
        Client *owner;
        guint n_ended_early, n_sprints;
        guint64 n_lines;
} Test;

static void add_kinds(Test *test) {
        g_autofree char *peer = g_test_build_filename(G_TEST_DIST, "protocol-peer.py", NULL), *step = NULL, *step_script = NULL, *kind = NULL;

        kind = g_strdup_printf("[Kind]\nExec=%s -SE '%s'\n[Handshake]\nType=line\nLine=^ready$\nTimeoutSec=30\n", test->python, test->script);
        harness_add_kind(test->h, "liner", kind);
        g_free(kind);
        step_script = g_strdup_printf("exec %s -SE '%s' \"$RUNTIME_MANAGER_ID.step\" 0 1 0 0 2>/dev/null\n", test->python, test->script);
        step = harness_add_file(test->h, "step.sh", step_script, 0644);
        kind = g_strdup_printf("[Kind]\nExec=%s -SE '%s'\n[Step talk]\nExec=sh %s\nTimeoutSec=300\n[Step pass]\nExec=true\n", test->python, test->script, step);
        harness_add_kind(test->h, "stepped", kind);
        for (guint i = 0; i < 2; i++) {
                const char *transport = i == 0 ? "socket" : "pipes";

                g_free(kind);
                kind = g_strdup_printf("[Kind]\nExec=%s -SE '%s' good\n[Handshake]\nType=protocol\nTransport=%s\nTimeoutSec=20\n"
                                       "[Stop]\nMessage=shutdown\nTimeoutSec=20\n",
                                       test->python, peer, transport);
                harness_add_kind(test->h, transport, kind);
        }
}

/* id: of a runtime, or with ".step": it comes to its end. */
static void finish(Test *test, const char *id, const char *step) {
        g_autofree char *path = g_strdup_printf("%s/finish.%s%s", test->h->home, id, step);

        g_assert_true(g_file_set_contents(path, "", 0, NULL));
}

static GVariant *talker_options(Test *test, const Talker *talker) {
        g_autofree char *code = g_strdup_printf("%u", talker->code), *children = g_strdup_printf("%u", talker->children);
        const char *arguments[] = {talker->id, code, children, talker->is_long ? "1" : "0", talker->stays ? "1" : "0", NULL};
        GVariantDict options;

        g_variant_dict_init(&options, NULL);
        g_variant_dict_insert(&options, "Id", "s", talker->id);
        g_variant_dict_insert(&options, "RingBytes", "t", (guint64) 16 << 20);
        if (talker->fate == FATE_OWNER_LOST)
                g_variant_dict_insert(&options, "Owner", "s", "caller");
        if (strcmp(talker->kind, "command") == 0) {
                const char *command[] = {test->python, "-SE", test->script, NULL};

                g_variant_dict_insert(&options, "Command", "^as", command);
        }
        g_variant_dict_insert(&options, "Arguments", "^as", arguments);
        return g_variant_dict_end(&options);
}

static char *start(Test *test, GDBusConnection *bus, const char *kind, const char *id, GVariant *options) {
        g_autoptr(GVariant) reply = NULL;
        const char *answered;
        char *path;

        g_hash_table_add(test->h->ids, g_strdup(id));
        reply = chaos_call(test->chaos, bus, NULL, "StartRuntime", g_variant_new("(s@a{sv})", kind, options));
        g_variant_get(reply, "(&so)", &answered, &path);
        g_assert_cmpstr(answered, ==, id);
        return path;
}

static void subscribe(Test *test, Observer *observer, const char *path) {
        g_variant_unref(chaos_call(test->chaos, observer->bus, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
}

/* A peer's life: what it is told to do when it is ready, and again when it has ended. */
static void peer_wait(Peer *peer, const char *until);

static void peer_on_steered(gpointer userdata, GVariant *reply, const char *error) {
        Peer *peer = userdata;

        /* It is just being started, or has ended, by the call that got no answer. */
        if (error)
                g_assert_cmpstr(error, ==, RM_ERROR_PREFIX "BadState");
        peer_wait(peer, "ready");
}

static void peer_on_stopped(gpointer userdata, GVariant *reply, const char *error) {
        if (error)
                g_assert_cmpstr(error, ==, RM_ERROR_PREFIX "BadState");
        peer_wait(userdata, "ended");
}

/* It was stopped, whatever state it was in; or it was just to be started when the daemon was killed. */
static void peer_check_report(GVariant *report) {
        const char *result = report_string(report, "Result");

        if (strcmp(result, "start-failed") == 0)
                report_check(report, "{'Reason': <'keeper-lost'>}", "ExitCode Signal");
        else
                report_check(report, "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'RequestedBy': <'client'>}", NULL);
}

static void peer_on_state(gpointer userdata, GVariant *reply, const char *error) {
        Peer *peer = userdata;
        Chaos *chaos = peer->test->chaos;
        g_autoptr(GVariant) report = NULL;
        const char *state;

        g_assert_cmpstr(error, ==, NULL);
        g_variant_get(reply, "(&s@a{sv})", &state, &report);
        if (strcmp(state, "ended") == 0) {
                peer->n_ends++;
                peer_check_report(report);
                chaos_ask(chaos, chaos->h->client->bus, peer->path, "Restart", NULL, peer_on_steered, peer);
        } else if (chaos->over)
                peer->at_rest = TRUE;
        else if (g_test_rand_int_range(0, 2) == 0)
                chaos_ask(chaos, chaos->h->client->bus, peer->path, "Restart", NULL, peer_on_steered, peer);
        else
                chaos_ask(chaos, chaos->h->client->bus, peer->path, "Stop", g_variant_new_parsed("(@a{sv} {},)"), peer_on_stopped, peer);
}

static void peer_wait(Peer *peer, const char *until) {
        Chaos *chaos = peer->test->chaos;

        chaos_ask(chaos, chaos->h->client->bus, NULL, "WaitRuntime", g_variant_new("(ss)", peer->id, until), peer_on_state, peer);
}

static void sprinter_start(Sprinter *sprinter);

static guint sprinter_code(const Sprinter *sprinter) {
        return sprinter->n % 200;
}

static void sprinter_on_forgotten(gpointer userdata, GVariant *reply, const char *error) {
        Sprinter *sprinter = userdata;

        if (error)
                g_assert_cmpstr(error, ==, "org.freedesktop.DBus.Error.UnknownObject");
        g_clear_pointer(&sprinter->path, g_free);
        sprinter->test->n_sprints++;
        if (sprinter->test->chaos->over)
                sprinter->at_rest = TRUE;
        else
                sprinter_start(sprinter);
}

static void sprinter_on_output(gpointer userdata, GVariant *reply, const char *error) {
        Sprinter *sprinter = userdata;
        Chaos *chaos = sprinter->test->chaos;
        g_autofree char *expected = g_strdup_printf("[(1, 1, 'sprint %u'), (2, 1, 'done')]", sprinter->n);
        g_autoptr(GVariant) lines = NULL;
        GString *found = g_string_new("[");

        g_assert_null(error);
        lines = g_variant_get_child_value(reply, 0);
        for (gsize i = 0; i < g_variant_n_children(lines); i++) {
                guint64 number;
                guint8 stream;
                const char *text;

                g_variant_get_child(lines, i, "(tytu&s)", &number, &stream, NULL, NULL, &text);
                g_string_append_printf(found, "%s(%u, %u, '%s')", i > 0 ? ", " : "", (guint) number, stream, text);
        }
        g_string_append_c(found, ']');
        g_assert_cmpstr(found->str, ==, expected);
        g_string_free(found, TRUE);
        chaos_ask(chaos, chaos->h->client->bus, sprinter->path, "Forget", NULL, sprinter_on_forgotten, sprinter);
}

static void sprinter_on_ended(gpointer userdata, GVariant *reply, const char *error) {
        Sprinter *sprinter = userdata;
        Chaos *chaos = sprinter->test->chaos;
        g_autofree char *expected =
                g_strdup_printf("{'Result': <'%s'>, 'ExitCode': <%u>, 'LastLine': <uint64 2>, 'Phase': <'ready'>, 'OutputTail': <'sprint %u\\ndone\\n'>}",
                                sprinter_code(sprinter) == 0 ? "success" : "exit-code", sprinter_code(sprinter), sprinter->n);
        g_autoptr(GVariant) report = NULL;

        g_assert_cmpstr(error, ==, NULL);
        report = g_variant_get_child_value(reply, 1);
        report_check(report, expected, "Signal RequestedBy");
        chaos_ask(chaos, chaos->h->client->bus, sprinter->path, "ReadOutputText", g_variant_new("(tu)", (guint64) 0, 0), sprinter_on_output, sprinter);
}

static void sprinter_on_started(gpointer userdata, GVariant *reply, const char *error) {
        Sprinter *sprinter = userdata;
        Chaos *chaos = sprinter->test->chaos;
        const char *id;

        if (error)
                harness_fail(chaos->h, "a start failed with %s", error);
        g_variant_get(reply, "(&so)", &id, &sprinter->path);
        chaos_ask(chaos, chaos->h->client->bus, NULL, "WaitRuntime", g_variant_new("(ss)", id, "ended"), sprinter_on_ended, sprinter);
}

static void sprinter_start(Sprinter *sprinter) {
        Chaos *chaos = sprinter->test->chaos;
        g_autofree char *name = g_strdup_printf("s%u_%u", sprinter->index, ++sprinter->n), *id = harness_id(name), *script = NULL;

        script = g_strdup_printf("echo sprint %u; echo done; exit %u", sprinter->n, sprinter_code(sprinter));
        g_hash_table_add(chaos->h->ids, g_strdup(id));
        chaos_ask(chaos, chaos->h->client->bus, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell(script, "{'Id': <%s>}", id)),
                  sprinter_on_started, sprinter);
}

/* Half of them are there before the chaos begins, the others are started in it. */
static void start_talkers(Test *test, guint from, guint to) {
        for (guint i = from; i < to; i++) {
                Talker *talker = &test->talkers[i];
                g_autofree char *name = g_strdup_printf("t%u", i);
                GDBusConnection *bus = talkers[i].fate == FATE_OWNER_LOST ? test->owner->bus : test->h->client->bus;

                *talker = talkers[i];
                talker->id = harness_id(name);
                talker->path = start(test, bus, talker->kind, talker->id, talker_options(test, talker));
                subscribe(test, test->each, talker->path);
                if (i % 2 == 0)
                        subscribe(test, test->some, talker->path);
        }
}

static void start_peers(Test *test) {
        for (guint i = 0; i < N_PEERS; i++) {
                Peer *peer = &test->peers[i];
                g_autofree char *name = g_strdup_printf("p%u", i);

                peer->test = test;
                peer->id = harness_id(name);
                peer->path =
                        start(test, test->h->client->bus, i % 2 == 0 ? "socket" : "pipes", peer->id, g_variant_new_parsed("{'Id': <%s>, " RING "}", peer->id));
                subscribe(test, test->each, peer->path);
                peer_wait(peer, "ready");
        }
        for (guint i = 0; i < N_SPRINTERS; i++) {
                test->sprinters[i].test = test;
                test->sprinters[i].index = i;
                sprinter_start(&test->sprinters[i]);
        }
}

/* Ends of runtimes, in the midst of it. */
static gboolean is_over(gpointer userdata) {
        Test *test = userdata;
        guint due = test->chaos->n_kills / KILLS_AN_END, n = 0;

        for (guint i = 0; i < N_TALKERS; i++)
                if (talkers[i].fate == FATE_EXITS_EARLY && ++n <= due && n > test->n_ended_early) {
                        finish(test, test->talkers[i].id, "");
                        test->n_ended_early++;
                }
        if (test->chaos->n_kills > N_KILLS / 2)
                finish(test, test->talkers[10].id, ".step");
        return test->chaos->over;
}

/* Also those that were started last have something to lose. */
static gboolean are_at_rest(gpointer userdata) {
        Test *test = userdata;

        for (guint i = 0; i < N_TALKERS; i++) {
                GPtrArray *lines = g_hash_table_lookup(test->each->runtimes, test->talkers[i].path);

                if (!lines || lines->len < 10)
                        return FALSE;
        }
        for (guint i = 0; i < N_PEERS; i++)
                if (!test->peers[i].at_rest)
                        return FALSE;
        for (guint i = 0; i < N_SPRINTERS; i++)
                if (!test->sprinters[i].at_rest)
                        return FALSE;
        return TRUE;
}

static void end_all(Test *test) {
        finish(test, test->talkers[11].id, ".step");
        for (guint i = 0; i < N_TALKERS; i++) {
                Talker *talker = &test->talkers[i];

                if (talker->fate == FATE_EXITS)
                        finish(test, talker->id, "");
                else if (talker->fate == FATE_STOPPED)
                        client_stop(test->h->client, talker->path);
        }
        g_clear_pointer(&test->owner, client_free);
        for (guint i = 0; i < N_PEERS; i++)
                client_stop(test->h->client, test->peers[i].path);
}

static void check_report(Talker *talker, GVariant *report, guint last) {
        g_autofree char *expected = NULL;

        switch (talker->fate) {
        case FATE_EXITS_EARLY:
        case FATE_EXITS:
                expected = g_strdup_printf("{'Result': <'%s'>, 'ExitCode': <%u>, 'Phase': <'ready'>, 'LastLine': <uint64 %u>}",
                                           talker->code == 0 ? "success" : "exit-code", talker->code, last);
                report_check(report, expected, "Signal RequestedBy StopStage");
                if (talker->stays)
                        g_assert_cmpuint(report_number(report, "Leftovers"), >, 0);
                break;
        case FATE_STOPPED:
                report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'StopStage': <'terminate'>, 'Signal': <15>}", "ExitCode");
                break;
        case FATE_OWNER_LOST:
                report_check(report, "{'Result': <'owner-lost'>, 'RequestedBy': <'owner'>, 'StopStage': <'terminate'>, 'Signal': <15>}", "ExitCode");
                break;
        }
}

typedef struct Ended {
        Client *client;
        const char *path;
        GVariant *report;
} Ended;

/* A first start that was lost with its daemon has told of its end, too. */
static gboolean was_told(gpointer userdata) {
        Ended *ended = userdata;
        const Signal *signal;

        for (size_t n = 0; (signal = client_find_signal(ended->client, ended->path, "Ended", n)); n++) {
                g_autoptr(GVariant) told = g_variant_get_child_value(signal->parameters, 0);

                if (g_variant_equal(told, ended->report))
                        return TRUE;
        }
        return FALSE;
}

static void check_talker(Test *test, guint index) {
        Talker *talker = &test->talkers[index];
        g_autoptr(GVariant) report = chaos_wait_ended(test->chaos, talker->path);
        g_autoptr(GPtrArray) lines = chaos_read_lines(test->chaos, talker->path);
        Ended ended;
        guint n;

        check_report(talker, report, lines->len);
        ended = (Ended){test->h->client, talker->path, report};
        harness_wait(test->h, was_told, &ended, "Ended tells what the report says");
        n = chaos_judge(test->chaos, talker->path, lines, 1, talker->writers);
        (void) chaos_judge(test->chaos, talker->path, lines, 2, talker->writers ? "e" : NULL);
        /* The command may come to its end at once, when its setup has taken until then. */
        if (strcmp(talker->kind, "stepped") == 0)
                n = chaos_judge(test->chaos, talker->path, lines, 0, "m c0");
        g_assert_cmpuint(n, >, 0);
        observer_check(test->all, talker->path, lines);
        observer_check(test->each, talker->path, lines);
        if (index % 2 == 0)
                observer_check(test->some, talker->path, lines);
        test->n_lines += lines->len;
}

static void check_peer(Test *test, Peer *peer) {
        g_autoptr(GVariant) report = chaos_wait_ended(test->chaos, peer->path);
        g_autoptr(GPtrArray) lines = chaos_read_lines(test->chaos, peer->path);

        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'Phase': <'ready'>, 'StopStage': <'request'>, 'ExitCode': <0>}", "Signal");
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                gsize size;
                const char *bytes = g_bytes_get_data(line->bytes, &size);
                g_autofree char *text = g_strndup(bytes, size);

                /* At the most one of each a life. */
                if (strcmp(text, "initialized") != 0 && strcmp(text, "shutdown") != 0)
                        harness_fail(test->h, "%s printed: %s", peer->path, text);
                if (i > 0) {
                        const Line *before = lines->pdata[i - 1];

                        if (strcmp(text, "shutdown") == 0)
                                g_assert_false(g_bytes_equal(before->bytes, line->bytes));
                }
        }
        observer_check(test->all, peer->path, lines);
        observer_check(test->each, peer->path, lines);
        test->n_lines += lines->len;
}

static void test_chaos(Harness *h) {
        Test test = {.h = h};
        gint64 begin = g_get_monotonic_time();
        guint n_ends = 0;

        test.python = g_file_test("/usr/bin/python3", G_FILE_TEST_IS_EXECUTABLE) ? g_strdup("/usr/bin/python3") : g_find_program_in_path("python3");
        test.script = g_test_build_filename(G_TEST_DIST, "chaos-runtime.py", NULL);
        if (!test.python) {
                g_free(test.script);
                g_test_skip("there is no python3");
                return;
        }
        add_kinds(&test);
        test.chaos = chaos_new(h);
        test.all = observer_new(test.chaos, "the one who follows all");
        test.each = observer_new(test.chaos, "the one who follows each");
        test.some = observer_new(test.chaos, "the one who follows some");
        test.owner = client_new(h);
        g_variant_unref(chaos_call(test.chaos, test.all->bus, NULL, "Subscribe", g_variant_new("(u)", 3)));

        start_talkers(&test, 0, N_TALKERS / 2);
        start_peers(&test);
        chaos_begin(test.chaos, N_KILLS);
        start_talkers(&test, N_TALKERS / 2, N_TALKERS);
        while (!is_over(&test))
                g_main_context_iteration(NULL, TRUE);
        harness_wait(h, are_at_rest, &test, "those who call have come to rest");
        end_all(&test);
        for (guint i = 0; i < N_TALKERS; i++)
                check_talker(&test, i);
        for (guint i = 0; i < N_PEERS; i++) {
                check_peer(&test, &test.peers[i]);
                n_ends += test.peers[i].n_ends;
        }
        g_test_message("%u kills, %u of them before it was back, %u calls without an answer; %" G_GUINT64_FORMAT " lines, sent %" G_GUINT64_FORMAT
                       " times and %" G_GUINT64_FORMAT " times again; %zu runtimes, %u ends of those started again, %u short ones; %.1f s",
                       test.chaos->n_kills, test.chaos->n_early, test.chaos->n_unanswered, test.n_lines,
                       test.all->n_lines + test.each->n_lines + test.some->n_lines, test.all->n_repeated + test.each->n_repeated + test.some->n_repeated,
                       N_TALKERS + N_PEERS, n_ends, test.n_sprints, (double) (g_get_monotonic_time() - begin) / G_USEC_PER_SEC);
        observer_free(test.all);
        observer_free(test.each);
        observer_free(test.some);
        chaos_free(test.chaos);
        for (guint i = 0; i < N_TALKERS; i++) {
                g_free(test.talkers[i].id);
                g_free(test.talkers[i].path);
        }
        for (guint i = 0; i < N_PEERS; i++) {
                g_free(test.peers[i].id);
                g_free(test.peers[i].path);
        }
        g_free(test.python);
        g_free(test.script);
}

static const HarnessCase cases[] = {
        {"nothing-is-lost-however-often-the-daemon-is-killed", test_chaos},
};

int main(int argc, char *argv[]) {
        return harness_main(argc, argv, "chaos", cases, G_N_ELEMENTS(cases));
}
