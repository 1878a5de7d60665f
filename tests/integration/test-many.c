/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many at once: each is told of truthfully, and no line of any is lost or told twice. */

#include <string.h>

#include "harness.h"
#include "util/names.h"

#define N_RUNTIMES 200
#define N_LINES 100

typedef struct Start {
        Harness *h;
        guint index;
        char *path, *error;
        gboolean done;
} Start;

static void on_started(GObject *source, GAsyncResult *result, gpointer userdata) {
        Start *start = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

        if (!reply)
                harness_fail(start->h, "start number %u failed: %s", start->index, error->message);
        g_variant_get(reply, "(so)", NULL, &start->path);
        start->done = TRUE;
}

static gboolean all_are_started(gpointer userdata) {
        const Start *starts = userdata;

        for (guint i = 0; i < N_RUNTIMES; i++)
                if (!starts[i].done)
                        return FALSE;
        return TRUE;
}

static gboolean all_have_ended(gpointer userdata) {
        Client *client = userdata;
        guint n = 0;

        for (guint i = 0; i < client->signals->len; i++)
                n += strcmp(((Signal *) client->signals->pdata[i])->member, "Ended") == 0;
        return n >= N_RUNTIMES;
}

static void check_lines(Harness *h, const Start *start, GPtrArray *lines) {
        if (lines->len != N_LINES)
                harness_fail(h, "runtime %u has %u lines", start->index, lines->len);
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *expected = g_strdup_printf("%u of %u", i + 1, start->index);

                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_cmpuint(line->flags, ==, 0);
                g_assert_cmpuint(line->stream, ==, 1);
                g_assert_cmpmem(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes), expected, strlen(expected));
        }
}

static void check_report(Harness *h, const Start *start) {
        g_autoptr(GVariant) report = g_variant_get_child_value(client_find_signal(h->client, start->path, "Ended", 0)->parameters, 0), kept = NULL;
        g_autofree char *expected =
                g_strdup_printf("{'Result': <'%s'>, 'Reason': <'exited'>, 'ExitCode': <%u>, 'LastLine': <uint64 %u>, 'Leftovers': <uint32 0>}",
                                start->index == 0 ? "success" : "exit-code", start->index, N_LINES);

        report_check(report, expected, "Signal RequestedBy StopStage");
        g_assert_null(client_find_signal(h->client, start->path, "Ended", 1));
        kept = client_get(h->client, start->path, "EndReport");
        g_assert_true(g_variant_equal(kept, report));
}

static void test_200(Harness *h) {
        Start starts[N_RUNTIMES] = {};

        harness_start_daemon(h, NULL);
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 3)));
        for (guint i = 0; i < N_RUNTIMES; i++) {
                g_autofree char *script = g_strdup_printf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo \"$i of %u\"; done; exit %u", N_LINES, i, i);

                starts[i] = (Start){.h = h, .index = i};
                g_dbus_connection_call(h->client->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime",
                                       g_variant_new("(s@a{sv})", "command", options_shell(script, NULL)), NULL, 0, HARNESS_DEADLINE_USEC / 1000, NULL,
                                       on_started, &starts[i]);
        }
        harness_wait(h, all_are_started, starts, "all runtimes are started");
        harness_wait(h, all_have_ended, h->client, "all runtimes have ended");
        client_sync(h->client);

        for (guint i = 0; i < N_RUNTIMES; i++) {
                g_autoptr(GPtrArray) told = client_signalled_lines(h->client, starts[i].path), read = client_read_lines(h->client, starts[i].path, 0);

                check_lines(h, &starts[i], told);
                check_lines(h, &starts[i], read);
                check_report(h, &starts[i]);
                g_free(starts[i].path);
        }
        g_assert_null(client_find_signal(h->client, NULL, "OutputDropped", 0));
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
}

/* More than have a turn at a time: the last one waits for a while. */
#define N_WAITING 100
#define LAST_PATH RM_RUNTIME_PREFIX "/waits99"

static void on_answered(GObject *source, GAsyncResult *result, gpointer userdata) {
        Start *start = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

        if (reply)
                g_variant_get(reply, "(so)", NULL, &start->path);
        else
                start->error = g_dbus_error_get_remote_error(error);
        start->done = TRUE;
}

static gboolean all_are_answered(gpointer userdata) {
        const Start *starts = userdata;

        for (guint i = 0; i < N_WAITING; i++)
                if (!starts[i].done)
                        return FALSE;
        return TRUE;
}

static gboolean last_is_added(gpointer userdata) {
        Client *client = userdata;

        for (guint i = 0; i < client->signals->len; i++) {
                const Signal *signal = client->signals->pdata[i];
                const char *path;

                if (strcmp(signal->member, "RuntimeAdded") != 0)
                        continue;
                g_variant_get(signal->parameters, "(&s&o)", NULL, &path);
                if (strcmp(path, LAST_PATH) == 0)
                        return TRUE;
        }
        return FALSE;
}

static Start *begin_waiting(Harness *h) {
        Start *starts = g_new0(Start, N_WAITING);

        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 1)));
        for (guint i = 0; i < N_WAITING; i++) {
                g_autofree char *id = g_strdup_printf("waits%u", i);

                starts[i] = (Start){.h = h, .index = i};
                g_dbus_connection_call(h->client->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime",
                                       g_variant_new("(s@a{sv})", "command", options_shell("exec sleep 1000", "{'Id': <%s>}", id)), NULL, 0,
                                       HARNESS_DEADLINE_USEC / 1000, NULL, on_answered, &starts[i]);
        }
        harness_wait(h, last_is_added, h->client, "the last runtime is added");
        return starts;
}

static void test_stop_waiting(Harness *h) {
        g_autofree Start *starts = NULL;
        g_autofree char *state = NULL;

        harness_start_daemon(h, NULL);
        starts = begin_waiting(h);
        state = client_get_string(h->client, LAST_PATH, "State");
        g_assert_cmpstr(state, ==, "starting");
        g_variant_unref(client_call(h->client, LAST_PATH, "Stop", g_variant_new("(a{sv})", NULL)));
        harness_wait(h, all_are_answered, starts, "all starts are answered");
        for (guint i = 0; i < N_WAITING; i++) {
                g_assert_cmpstr(starts[i].error, ==, i == N_WAITING - 1 ? RM_ERROR_PREFIX "Cancelled" : NULL);
                g_free(starts[i].error);
                g_free(starts[i].path);
        }
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, N_WAITING - 1);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"200-runtimes-at-once-are-told-of-truthfully", test_200},
                {"a-start-that-waits-for-its-turn-can-be-stopped", test_stop_waiting},
        };

        return harness_main(argc, argv, "many", cases, G_N_ELEMENTS(cases));
}
