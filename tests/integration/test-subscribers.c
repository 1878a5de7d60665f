/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who gets which lines when. */

#include "line-log.h"
#include "paced.h"
#include "util/limits.h"
#include "util/names.h"

static void test_from(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GDBusConnection) all = NULL, some = NULL, none = NULL;
        g_autoptr(LineLog) all_log = NULL, some_log = NULL, none_log = NULL;

        harness_start_daemon(h, NULL);
        all = connect_plainly(h);
        some = connect_plainly(h);
        none = connect_plainly(h);
        path = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("go") "seq 11 20");
        wait_printed(h, path, 10);
        all_log = line_log_new(h, all, path, 1);
        some_log = line_log_new(h, some, path, 8);
        none_log = line_log_new(h, none, path, 11);
        g_assert_cmpuint(subscribe(all, path, 0, 3), ==, 10);
        g_assert_cmpuint(subscribe(some, path, 7, 2), ==, 10);
        g_assert_cmpuint(subscribe(none, path, G_MAXUINT64, 2), ==, 10);
        line_log_wait_for(all_log, 10);
        line_log_wait_for(some_log, 10);
        g_assert_cmpuint(none_log->n_received, ==, 0);
        go(h, "go");
        line_log_wait_ended(all_log);
        line_log_wait_ended(some_log);
        line_log_wait_ended(none_log);
        g_assert_cmpuint(all_log->n_received, ==, 20);
        g_assert_cmpuint(some_log->n_received, ==, 13);
        g_assert_cmpuint(none_log->n_received, ==, 10);
}

static void test_after_end(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(LineLog) log = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "seq 1 1000");
        report = client_wait_ended(h->client, path);
        log = line_log_new(h, h->client->bus, path, 501);
        g_assert_cmpuint(subscribe(h->client->bus, path, 500, 2), ==, 1000);
        line_log_wait_for(log, 1000);
        g_assert_cmpuint(log->n_received, ==, 500);
}

static void test_anew(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("go") "seq 11 20");
        log = line_log_new(h, h->client->bus, path, 1);
        subscribe(h->client->bus, path, 0, 2);
        line_log_wait_for(log, 10);
        log->next = 6;
        subscribe(h->client->bus, path, 5, 2);
        line_log_wait_for(log, 10);
        g_assert_cmpuint(log->n_received, ==, 15);
        go(h, "go");
        line_log_wait_ended(log);
        g_assert_cmpuint(log->n_received, ==, 25);
}

static void test_manager(Harness *h) {
        g_autofree char *early = NULL, *later = NULL;
        g_autoptr(LineLog) early_log = NULL, later_log = NULL;

        harness_start_daemon(h, NULL);
        early = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("go") "seq 11 20");
        wait_printed(h, early, 10);
        early_log = line_log_new(h, h->client->bus, early, 11);
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 2)));
        later = client_start_shell(h->client, WAIT_FOR("go") "seq 1 10");
        later_log = line_log_new(h, h->client->bus, later, 1);
        go(h, "go");
        line_log_wait_ended(early_log);
        line_log_wait_ended(later_log);
        g_assert_cmpuint(early_log->n_received, ==, 10);
        g_assert_cmpuint(later_log->n_received, ==, 10);
}

static void test_unsubscribe(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;
        GDBusConnection *bus;

        harness_start_daemon(h, NULL);
        bus = h->client->bus;
        path = client_start_shell(h->client, WAIT_FOR("one") "seq 1 10; " WAIT_FOR("two") "seq 11 20; " WAIT_FOR("three") "seq 21 30");
        log = line_log_new(h, bus, path, 1);
        /* No error if there is nothing. */
        g_variant_unref(client_call(h->client, path, "Unsubscribe", NULL));
        g_variant_unref(client_call(h->client, NULL, "Unsubscribe", NULL));
        subscribe(bus, path, 0, 2);
        go(h, "one");
        line_log_wait_for(log, 10);
        g_variant_unref(client_call(h->client, path, "Unsubscribe", NULL));
        go(h, "two");
        wait_printed(h, path, 20);
        client_sync(h->client);
        g_assert_cmpuint(log->n_received, ==, 10);
        log->next = 21;
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 3)));
        g_variant_unref(client_call(h->client, NULL, "Unsubscribe", NULL));
        go(h, "three");
        line_log_wait_ended(log);
        g_assert_cmpuint(log->n_received, ==, 10);
}

/* At the manager and at the runtime: each line once; as long as one of the two is left. */
static void test_twice(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;
        GDBusConnection *bus;

        harness_start_daemon(h, NULL);
        bus = h->client->bus;
        path = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("one") "seq 11 20; " WAIT_FOR("two") "seq 21 30");
        log = line_log_new(h, bus, path, 1);
        subscribe(bus, path, 0, 2);
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 2)));
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 2)));
        line_log_wait_for(log, 10);
        g_variant_unref(client_call(h->client, path, "Unsubscribe", NULL));
        go(h, "one");
        line_log_wait_for(log, 20);
        subscribe(bus, path, 20, 2);
        g_variant_unref(client_call(h->client, NULL, "Unsubscribe", NULL));
        go(h, "two");
        line_log_wait_ended(log);
        g_assert_cmpuint(log->n_received, ==, 30);
}

static void test_flags(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;
        static const guint32 bad[] = {0, 4, 7, G_MAXUINT32};

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, WAIT_FOR("go") "seq 1 10");
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_free(client_call_fails(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, bad[i]), "org.freedesktop.DBus.Error.InvalidArgs"));
                g_free(client_call_fails(h->client, NULL, "Subscribe", g_variant_new("(u)", bad[i]), "org.freedesktop.DBus.Error.InvalidArgs"));
        }
        log = line_log_new(h, h->client->bus, path, 1);
        /* Life alone. */
        subscribe(h->client->bus, path, 0, 1);
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 1)));
        go(h, "go");
        line_log_wait_ended(log);
        g_assert_cmpuint(log->n_received, ==, 0);
}

static void test_dropped(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GDBusConnection) bus = NULL;
        g_autoptr(LineLog) log = NULL;

        harness_start_daemon(h, NULL);
        bus = connect_plainly(h);
        path = client_start(h->client, "command", options_shell("stdbuf -oL seq 1 300000", "{'RingBytes': <%t>}", (guint64) 64 << 10));
        log = line_log_new(h, bus, path, 1);
        subscribe(bus, path, 0, 2);
        line_log_wait_ended(log);
        g_assert_cmpuint(log->report_last, ==, 300000);
        g_assert_cmpuint(log->last_at_end, ==, 300000);
        g_assert_cmpuint(log->n_received, >, 0);
        g_assert_cmpuint(log->n_dropped, >, 0);
        g_assert_cmpuint(log->n_received + log->n_dropped, ==, 300000);
}

static void test_dropped_before(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(LineLog) log = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("stdbuf -oL seq 1 100000", "{'RingBytes': <%t>}", (guint64) 64 << 10));
        report = client_wait_ended(h->client, path);
        log = line_log_new(h, h->client->bus, path, 11);
        subscribe(h->client->bus, path, 10, 2);
        line_log_wait_for(log, 100000);
        g_assert_cmpuint(log->n_dropped, >, 0);
        g_assert_cmpuint(log->n_received + log->n_dropped, ==, 100000 - 10);
}

static void test_limit(Harness *h) {
        GDBusConnection *connections[LIMIT_SUBSCRIBERS];
        g_autoptr(GDBusConnection) another = NULL;
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;

        harness_start_daemon(h, NULL);
        another = connect_plainly(h);
        path = client_start_shell(h->client, "echo one; " WAIT_FOR("go") "echo two");
        wait_printed(h, path, 1);
        for (size_t i = 0; i < LIMIT_SUBSCRIBERS; i++) {
                connections[i] = connect_plainly(h);
                subscribe(connections[i], path, G_MAXUINT64, 2);
        }
        call_fails(another, path, RM_RUNTIME_INTERFACE, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2), RM_ERROR_LIMIT_EXCEEDED);
        /* Its life isn't output, and one that is subscribed may begin anew. */
        subscribe(another, path, 0, 1);
        log = line_log_new(h, connections[0], path, 1);
        subscribe(connections[0], path, 0, 2);
        line_log_wait_for(log, 1);
        g_assert_true(g_dbus_connection_close_sync(connections[1], NULL, NULL));
        /* The bus tells the service of that after it has told us; a call behind it would come too early. */
        for (gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;;) {
                g_autoptr(GVariant) reply = g_dbus_connection_call_sync(another, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Subscribe",
                                                                        g_variant_new("(tu)", (guint64) 0, 2), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);

                if (reply)
                        break;
                if (g_get_monotonic_time() > deadline)
                        harness_fail(h, "a subscriber that has left the bus still counts");
        }
        go(h, "go");
        line_log_wait_ended(log);
        g_assert_cmpuint(log->n_received, ==, 2);
        for (size_t i = 0; i < LIMIT_SUBSCRIBERS; i++)
                g_object_unref(connections[i]);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"lines-come-from-the-one-on-that-was-asked-for", test_from},
                {"lines-come-after-the-end-too", test_after_end},
                {"a-second-Subscribe-begins-anew", test_anew},
                {"a-subscriber-of-the-manager-gets-lines-of-all-runtimes", test_manager},
                {"nothing-comes-after-Unsubscribe", test_unsubscribe},
                {"one-that-is-subscribed-twice-gets-each-line-once", test_twice},
                {"flags-are-life-or-output-or-both", test_flags},
                {"lines-that-are-dropped-in-a-flood-are-announced-exactly", test_dropped},
                {"lines-that-were-dropped-before-are-announced-exactly", test_dropped_before},
                {"a-runtime-has-at-most-64-subscribers", test_limit},
        };

        return harness_main(argc, argv, "subscribers", cases, G_N_ELEMENTS(cases));
}
