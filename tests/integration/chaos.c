/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "chaos.h"

#include <signal.h>
#include <string.h>

#include "service.h"
#include "util/names.h"

#define TICK_MSEC 4
/* After it is back, and after it has been started, but may still be loading. */
#define KILL_MAX_MSEC 250
#define KILL_EARLY_MAX_MSEC 60
#define AGAIN_MSEC 10

static void on_name_appeared(GDBusConnection *bus, const char *name, const char *owner, gpointer userdata) {
        ((Chaos *) userdata)->has_owner = TRUE;
}

static void on_name_vanished(GDBusConnection *bus, const char *name, gpointer userdata) {
        ((Chaos *) userdata)->has_owner = FALSE;
}

Chaos *chaos_new(Harness *h) {
        Chaos *chaos = g_new0(Chaos, 1);

        chaos->h = h;
        chaos->unit = service_start(h);
        chaos->watch = g_bus_watch_name_on_connection(h->client->bus, RM_BUS_NAME, 0, on_name_appeared, on_name_vanished, chaos, NULL);
        return chaos;
}

void chaos_free(Chaos *chaos) {
        g_assert_cmpuint(chaos->tick, ==, 0);
        g_bus_unwatch_name(chaos->watch);
        service_stop(chaos->h, chaos->unit);
        g_free(chaos);
}

/* One that is another than the last, and decides when its end comes. */
static void meet(Chaos *chaos) {
        pid_t pid = service_main_pid(chaos->unit);

        if (pid == 0 || pid == chaos->killed_pid)
                return;
        if (chaos->pid == 0) {
                chaos->pid = pid;
                chaos->early = g_test_rand_int_range(0, 10) < 4;
        }
        if (chaos->early)
                chaos->kill_at = g_get_monotonic_time() + g_test_rand_int_range(0, KILL_EARLY_MAX_MSEC * 1000);
        else if (chaos->has_owner)
                chaos->kill_at = g_get_monotonic_time() + g_test_rand_int_range(0, KILL_MAX_MSEC * 1000);
}

typedef struct Killer {
        Chaos *chaos;
        guint n_kills;
} Killer;

static gboolean on_tick(gpointer userdata) {
        Killer *killer = userdata;
        Chaos *chaos = killer->chaos;

        if (chaos->kill_at == 0) {
                meet(chaos);
                return G_SOURCE_CONTINUE;
        }
        if (g_get_monotonic_time() < chaos->kill_at)
                return G_SOURCE_CONTINUE;
        g_assert_cmpint(kill(chaos->pid, SIGKILL), ==, 0);
        chaos->n_kills++;
        if (!chaos->has_owner)
                chaos->n_early++;
        chaos->killed_pid = chaos->pid;
        chaos->pid = 0;
        chaos->kill_at = 0;
        if (chaos->n_kills < killer->n_kills)
                return G_SOURCE_CONTINUE;
        chaos->over = TRUE;
        chaos->tick = 0;
        return G_SOURCE_REMOVE;
}

void chaos_begin(Chaos *chaos, guint n_kills) {
        Killer *killer = g_new0(Killer, 1);

        *killer = (Killer){chaos, n_kills};
        chaos->tick = g_timeout_add_full(G_PRIORITY_HIGH, TICK_MSEC, on_tick, killer, g_free);
}

typedef struct Question {
        Chaos *chaos;
        GDBusConnection *bus;
        char *path, *method;
        GVariant *parameters;
        ChaosAnswer answer;
        gpointer userdata;
} Question;

static gboolean ask(gpointer userdata);

/* What the bus says when the service has left, or isn't back. */
static gboolean is_absence(const char *error) {
        static const char *const names[] = {"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown",
                                            "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.Disconnected", NULL};

        return g_strv_contains(names, error);
}

static void on_reply(GObject *source, GAsyncResult *result, gpointer userdata) {
        Question *question = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(question->bus, result, &error);
        g_autofree char *name = reply ? NULL : g_dbus_error_get_remote_error(error);

        if (!reply && !name)
                harness_fail(question->chaos->h, "%s was not answered: %s", question->method, error->message);
        /* Who has yet to read what the one who came back sends again may be told so. */
        if (name && (is_absence(name) || strcmp(name, RM_ERROR_LIMIT_EXCEEDED) == 0)) {
                question->chaos->n_unanswered++;
                g_timeout_add(AGAIN_MSEC, ask, question);
                return;
        }
        question->answer(question->userdata, reply, name);
        if (question->parameters)
                g_variant_unref(question->parameters);
        g_object_unref(question->bus);
        g_free(question->path);
        g_free(question->method);
        g_free(question);
}

static gboolean ask(gpointer userdata) {
        Question *question = userdata;

        g_dbus_connection_call(question->bus, RM_BUS_NAME, question->path ?: RM_OBJECT_PATH, question->path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE,
                               question->method, question->parameters, NULL, G_DBUS_CALL_FLAGS_NONE, (int) (2 * HARNESS_DEADLINE_USEC / 1000), NULL, on_reply,
                               question);
        return G_SOURCE_REMOVE;
}

void chaos_ask(Chaos *chaos, GDBusConnection *bus, const char *path, const char *method, GVariant *parameters, ChaosAnswer answer, gpointer userdata) {
        Question *question = g_new(Question, 1);

        *question =
                (Question){chaos, g_object_ref(bus), g_strdup(path), g_strdup(method), parameters ? g_variant_ref_sink(parameters) : NULL, answer, userdata};
        (void) ask(question);
}

typedef struct Answer {
        gboolean done;
        GVariant *reply;
        char *error;
} Answer;

static void on_answer(gpointer userdata, GVariant *reply, const char *error) {
        Answer *answer = userdata;

        *answer = (Answer){TRUE, reply ? g_variant_ref(reply) : NULL, g_strdup(error)};
}

static gboolean is_answered(gpointer userdata) {
        return ((Answer *) userdata)->done;
}

GVariant *chaos_call(Chaos *chaos, GDBusConnection *bus, const char *path, const char *method, GVariant *parameters) {
        Answer answer = {0};

        chaos_ask(chaos, bus, path, method, parameters, on_answer, &answer);
        harness_wait(chaos->h, is_answered, &answer, method);
        if (!answer.reply)
                harness_fail(chaos->h, "%s of %s failed: %s", method, path ?: "the manager", answer.error);
        return answer.reply;
}

GVariant *chaos_wait_ended(Chaos *chaos, const char *path) {
        g_autoptr(GVariant) reply = chaos_call(chaos, chaos->h->client->bus, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"));

        return g_variant_get_child_value(reply, 1);
}

/* A line with all that must be the same when it is told again, but its time. */
static void observer_add(Observer *observer, GPtrArray *lines, guint64 number, guint8 stream, guint32 flags, const char *text) {
        g_autofree char *line = g_strdup_printf("%u %u %s", stream, flags, text);
        const char *known;

        g_assert_cmpuint(number, >, 0);
        if (number > lines->len)
                g_ptr_array_set_size(lines, (int) number);
        known = lines->pdata[number - 1];
        if (!known) {
                lines->pdata[number - 1] = g_steal_pointer(&line);
                observer->n_lines++;
                return;
        }
        g_assert_cmpstr(known, ==, line);
        observer->n_repeated++;
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *member, GVariant *parameters,
                      gpointer userdata) {
        Observer *observer = userdata;
        GPtrArray *lines = g_hash_table_lookup(observer->runtimes, path);
        g_autoptr(GVariant) rows = NULL;

        if (strcmp(member, "OutputDropped") == 0) {
                g_autofree char *dropped = g_variant_print(parameters, FALSE);

                harness_fail(observer->chaos->h, "%s: lines of %s were dropped: %s", observer->name, path, dropped);
        }
        if (strcmp(member, "OutputLines") != 0)
                return;
        if (!lines) {
                lines = g_ptr_array_new_with_free_func(g_free);
                g_hash_table_insert(observer->runtimes, g_strdup(path), lines);
        }
        rows = g_variant_get_child_value(parameters, 0);
        for (gsize i = 0; i < g_variant_n_children(rows); i++) {
                guint64 number;
                guint8 stream;
                guint32 flags;
                const char *text;

                g_variant_get_child(rows, i, "(tytu&s)", &number, &stream, NULL, &flags, &text);
                observer_add(observer, lines, number, stream, flags, text);
        }
}

Observer *observer_new(Chaos *chaos, const char *name) {
        Observer *observer = g_new0(Observer, 1);
        g_autoptr(GError) error = NULL;

        observer->chaos = chaos;
        observer->name = name;
        observer->runtimes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
        observer->bus = g_dbus_connection_new_for_address_sync(
                chaos->h->bus_address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        observer->subscription = g_dbus_connection_signal_subscribe(observer->bus, NULL, RM_RUNTIME_INTERFACE, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE,
                                                                    on_signal, observer, NULL);
        return observer;
}

void observer_free(Observer *observer) {
        g_dbus_connection_signal_unsubscribe(observer->bus, observer->subscription);
        (void) g_dbus_connection_close_sync(observer->bus, NULL, NULL);
        g_object_unref(observer->bus);
        g_hash_table_unref(observer->runtimes);
        g_free(observer);
}

typedef struct Awaited {
        Observer *observer;
        const char *path;
        guint n;
} Awaited;

static gboolean has_all(gpointer userdata) {
        Awaited *awaited = userdata;
        GPtrArray *lines = g_hash_table_lookup(awaited->observer->runtimes, awaited->path);

        if (!lines || lines->len < awaited->n)
                return awaited->n == 0;
        for (guint i = 0; i < awaited->n; i++)
                if (!lines->pdata[i])
                        return FALSE;
        return TRUE;
}

void observer_check(Observer *observer, const char *path, GPtrArray *lines) {
        Awaited awaited = {observer, path, lines->len};
        g_autofree char *what = g_strdup_printf("%s is told all %u lines of %s", observer->name, lines->len, path);
        GPtrArray *told;

        harness_wait(observer->chaos->h, has_all, &awaited, what);
        told = g_hash_table_lookup(observer->runtimes, path);
        g_assert_cmpuint(told ? told->len : 0, ==, lines->len);
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                gsize size;
                const char *bytes = g_bytes_get_data(line->bytes, &size);
                g_autofree char *text = g_strdup_printf("%u %u %.*s", line->stream, line->flags, (int) size, bytes ?: "");

                g_assert_cmpstr(told->pdata[i], ==, text);
        }
}

GPtrArray *chaos_read_lines(Chaos *chaos, const char *path) {
        GPtrArray *lines = client_read_lines(chaos->h->client, path, 0);

        for (guint i = 0; i < lines->len; i++)
                g_assert_cmpuint(((const Line *) lines->pdata[i])->number, ==, i + 1);
        return lines;
}

/* The line as its writer made it, see chaos-runtime.py. */
static void judge_line(const char *text, const char *writer, guint64 number, const char *payload) {
        gsize size = strlen(payload);

        if (size != 150000 || number % 50 != 49)
                g_assert_cmpuint(size, ==, number * 7 % 61);
        for (gsize i = 0; i < size; i++)
                if (payload[i] != (char) ('a' + number % 26))
                        g_error("this line was spoiled: %.200s", text);
}

guint chaos_judge(Chaos *chaos, const char *path, GPtrArray *lines, guint8 stream, const char *writers) {
        g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_autoptr(GHashTable) ended = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_autofree char *whole = g_string_free(lines_join(lines, stream), FALSE);
        g_auto(GStrv) texts = g_strsplit(whole, "\n", -1), expected = g_strsplit(writers ?: "", " ", -1);
        guint n = 0;

        for (char **text = texts; *text; text++) {
                g_auto(GStrv) words = g_strsplit(*text, " ", -1);
                guint64 number;

                if ((*text)[0] == '\0' || strcmp(*text, "ready") == 0)
                        continue;
                /* Of one that was killed there may be the beginning of a line. */
                if (!writers && !text[1])
                        continue;
                g_assert_cmpuint(g_strv_length(words), ==, 3);
                number = GPOINTER_TO_UINT(g_hash_table_lookup(counts, words[0]));
                if (strcmp(words[1], "end") == 0) {
                        g_assert_cmpuint(g_ascii_strtoull(words[2], NULL, 10), ==, number);
                        g_assert_true(g_hash_table_add(ended, g_strdup(words[0])));
                        continue;
                }
                if (g_ascii_strtoull(words[1], NULL, 10) != number + 1)
                        harness_fail(chaos->h, "%s: line %" G_GUINT64_FORMAT " of the writer %s was to come, not \"%.100s\"", path, number + 1, words[0],
                                     *text);
                judge_line(*text, words[0], number + 1, words[2]);
                g_hash_table_insert(counts, g_strdup(words[0]), GUINT_TO_POINTER((guint) number + 1));
                n++;
        }
        for (char **writer = expected; writers && *writer; writer++)
                if (!g_hash_table_contains(ended, *writer))
                        harness_fail(chaos->h, "%s: the end of the writer %s is missing", path, *writer);
        return n;
}
