/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients have of a daemon that was killed and came back: they need not do anything to be served as before. */

#include <gio/gunixfdlist.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "again.h"
#include "away.h"
#include "owner.h"
#include "paced.h"
#include "private-bus.h"
#include "util/names.h"

#define NO_REPLY "org.freedesktop.DBus.Error.NoReply"

static void test_owner_kept(Harness *h) {
        g_autofree char *path = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerName': <'notebook'>}");
        go_away_and_come_back(h);
        assert_owner(h, path, owner, "notebook");
        assert_ready(h, path);
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
}

static void test_owner_taken(Harness *h) {
        g_autofree char *path = NULL;
        Client *owner, *other;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        other = client_new(h);
        path = start(owner, "{'Owner': <'caller'>}");
        take(other, path, "{'Replace': <true>, 'OwnerName': <'other'>}");
        go_away_and_come_back(h);
        assert_owner(h, path, other, "other");
        leave(h, owner);
        assert_ready(h, path);
        release(other, path);
        go_away_and_come_back(h);
        assert_owner(h, path, NULL, "");
        leave(h, other);
        assert_ready(h, path);
}

static void test_owner_gone(Harness *h) {
        g_autofree char *path = NULL, *free_one = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>}");
        free_one = start(owner, NULL);
        harness_kill_daemon(h);
        client_free(owner);
        come_back(h);
        wait_owner_gone(h, path, NULL);
        assert_ready(h, free_one);
}

/* Within its grace, another may take it over. */
static void test_owner_gone_with_grace(Harness *h) {
        g_autofree char *path = NULL, *lost = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': <uint64 3600000000>}");
        lost = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': <uint64 1000000>}");
        harness_kill_daemon(h);
        client_free(owner);
        come_back(h);
        wait_owner_gone(h, lost, NULL);
        assert_owner(h, path, NULL, "");
        assert_ready(h, path);
        take(h->client, path, "@a{sv} {}");
        assert_owner(h, path, h->client, "");
}

/* It began before the daemon was killed. */
static void test_grace_goes_on(Harness *h) {
        g_autofree char *path = NULL;
        gint64 left;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': <uint64 4000000>}");
        left = g_get_monotonic_time();
        leave(h, owner);
        assert_owner(h, path, NULL, "");
        harness_kill_daemon(h);
        wait_until_usec(h, left + 3500000);
        come_back(h);
        wait_owner_gone(h, path, NULL);
        g_assert_cmpint(g_get_monotonic_time() - left, >=, 4000000);
}

static void test_required_owner(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 3000000>}");
        go_away_and_come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>}", NULL);
}

static void on_waited(GObject *source, GAsyncResult *result, gpointer userdata) {
        GVariant **ret = userdata;
        g_autoptr(GError) error = NULL;

        *ret = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
        if (error)
                *ret = g_variant_ref_sink(g_variant_new("(s)", error->message));
}

static gboolean has_answer(gpointer userdata) {
        return *(GVariant **) userdata != NULL;
}

/* The call that has the bus start the service comes before the service knows that the name is its own. */
static void test_first_call_of_an_activation(Harness *h) {
        g_autoptr(GDBusConnection) bus = NULL;
        g_autoptr(GVariant) answer = NULL;
        g_autofree char *path = NULL, *state = NULL, *id = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        id = client_get_string(h->client, path, "Id");
        harness_kill_daemon(h);
        private_bus_wait_for(RM_BUS_NAME);
        bus = g_dbus_connection_new_for_address_sync(
                private_bus_address(), G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, NULL);
        g_assert_nonnull(bus);
        g_dbus_connection_call(bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime", g_variant_new("(ss)", id, "ended"), NULL, 0, G_MAXINT,
                               NULL, on_waited, &answer);
        g_assert_true(g_dbus_connection_flush_sync(bus, NULL, NULL));
        come_back(h);
        client_stop(h->client, path);
        harness_wait(h, has_answer, &answer, "the answer to the first call");
        g_assert_cmpstr(g_variant_get_type_string(answer), ==, "(sa{sv})");
        g_variant_get_child(answer, 0, "s", &state);
        g_assert_cmpstr(state, ==, "ended");
}

/* Lines may come twice, under their own numbers; but each comes. */
static void assert_all_lines(Client *client, const char *path, guint64 last) {
        g_autoptr(GPtrArray) signalled = client_signalled_lines(client, path);
        g_autoptr(GPtrArray) lines = client_read_lines(client, path, 0);

        g_assert_cmpuint(lines->len, ==, last);
        g_assert_null(client_find_signal(client, path, "OutputDropped", 0));
        for (guint64 number = 1; number <= last; number++) {
                const Line *line = lines->pdata[number - 1];
                gboolean seen = FALSE;

                g_assert_cmpuint(line->number, ==, number);
                for (guint i = 0; i < signalled->len; i++) {
                        const Line *found = signalled->pdata[i];

                        if (found->number != number)
                                continue;
                        g_assert_true(g_bytes_equal(found->bytes, line->bytes));
                        seen = TRUE;
                }
                if (!seen)
                        harness_fail(client->harness, "line %" G_GUINT64_FORMAT " of %s was not signalled", number, path);
        }
}

typedef struct Expected {
        Client *client;
        const char *path;
        guint64 last;
} Expected;

static gboolean has_line(gpointer userdata) {
        Expected *expected = userdata;
        g_autoptr(GPtrArray) lines = client_signalled_lines(expected->client, expected->path);

        for (guint i = 0; i < lines->len; i++)
                if (((Line *) lines->pdata[i])->number == expected->last)
                        return TRUE;
        return FALSE;
}

static void wait_signalled(Client *client, const char *path, guint64 last) {
        Expected expected = {client, path, last};

        harness_wait(client->harness, has_line, &expected, "a line is signalled");
}

static void test_subscribed(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("away") "seq 11 500; " TELL("printed") WAIT_FOR("back") "seq 501 510");
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        wait_signalled(h->client, path, 10);
        harness_kill_daemon(h);
        go(h, "away");
        wait_for_file(h, "printed");
        come_back(h);
        wait_signalled(h->client, path, 500);
        go(h, "back");
        report = client_wait_ended(h->client, path);
        client_wait_signal(h->client, path, "Ended");
        assert_all_lines(h->client, path, 510);
}

/* Its last lines and its end were missed. */
static void test_subscribed_to_one_that_ends(Harness *h) {
        g_autofree char *path = NULL;
        pid_t pid;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("away") "seq 11 20; exit 4");
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        wait_signalled(h->client, path, 10);
        pid = main_pid_of(h->client, path);
        harness_kill_daemon(h);
        go(h, "away");
        wait_process_gone(h, pid);
        come_back(h);
        client_wait_signal(h->client, path, "Ended");
        assert_all_lines(h->client, path, 20);
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

static void test_subscribed_to_all(Harness *h) {
        g_autofree char *one = NULL, *two = NULL, *later = NULL;
        Client *subscriber;

        harness_start_daemon(h, NULL);
        subscriber = client_new(h);
        g_variant_unref(client_call(subscriber, NULL, "Subscribe", g_variant_new("(u)", 3)));
        one = client_start_shell(h->client, "seq 1 10; " WAIT_FOR("away") "seq 11 20; " TELL("one") "exec sleep 1000");
        two = client_start_shell(h->client, WAIT_FOR("away") "seq 1 5; " TELL("two") "exec sleep 1000");
        wait_signalled(subscriber, one, 10);
        harness_kill_daemon(h);
        go(h, "away");
        wait_for_file(h, "one");
        wait_for_file(h, "two");
        come_back(h);
        wait_signalled(subscriber, one, 20);
        wait_signalled(subscriber, two, 5);
        assert_all_lines(subscriber, one, 20);
        assert_all_lines(subscriber, two, 5);
        /* It is subscribed to those to come, too. */
        later = client_start_shell(h->client, "echo 1; exec sleep 1000");
        wait_signalled(subscriber, later, 1);
        g_variant_unref(client_call(subscriber, NULL, "Unsubscribe", NULL));
        client_free(subscriber);
}

static void test_unsubscribed(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo 1; " WAIT_FOR("go") "echo 2; exec sleep 1000");
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        wait_signalled(h->client, path, 1);
        g_variant_unref(client_call(h->client, path, "Unsubscribe", NULL));
        go_away_and_come_back(h);
        go(h, "go");
        wait_printed(h, path, 2);
        client_sync(h->client);
        {
                Expected expected = {h->client, path, 2};

                g_assert_false(has_line(&expected));
        }
}

/* Subscribers that left meanwhile are in nobody's way. */
static void test_subscriber_gone(Harness *h) {
        g_autofree char *path = NULL;
        Client *subscriber;

        harness_start_daemon(h, NULL);
        subscriber = client_new(h);
        path = client_start_shell(h->client, "echo 1; " WAIT_FOR("go") "seq 2 100");
        g_variant_unref(client_call(subscriber, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        wait_signalled(subscriber, path, 1);
        harness_kill_daemon(h);
        client_free(subscriber);
        go(h, "go");
        come_back(h);
        g_variant_unref(client_wait_ended(h->client, path));
        client_wait_signal(h->client, path, "Ended");
        assert_all_lines(h->client, path, 100);
}

static void test_life_signals(Harness *h) {
        g_autofree char *path = NULL, *later = NULL;
        size_t n = 0;

        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        client_sync(h->client);
        go_away_and_come_back(h);
        while (client_find_signal(h->client, path, "StateChanged", n))
                n++;
        client_stop(h->client, path);
        client_wait_signal(h->client, path, "Ended");
        g_assert_nonnull(client_find_signal(h->client, path, "StateChanged", n + 1));
        later = start(h->client, NULL);
        g_assert_nonnull(client_wait_nth_signal(h->client, RM_OBJECT_PATH, "RuntimeAdded", 1));
}

static void test_waits(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        Call *call;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, WAIT_FOR("go") "exit 6");
        call = call_begin(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"));
        client_sync(h->client);
        harness_kill_daemon(h);
        call_end_badly(call, NO_REPLY);
        go(h, "go");
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'ExitCode': <6>}", NULL);
}

static void test_same_start(Harness *h) {
        g_autofree char *id = harness_id("same"), *path = NULL, *again = NULL, *message = NULL, *text = NULL;
        const char *more = "{'Id': <%s>, 'Labels': <{'a': 'b'}>, 'Input': <'pipe'>, 'Environment': <['X=1']>, 'TimeoutStopUSec': <uint64 1000000>}";

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo $X; read line", more, id));
        client_wait_text(h->client, path, "1\n");
        go_away_and_come_back(h);
        again = client_start(h->client, "command", options_shell("echo $X; read line", more, id));
        g_assert_cmpstr(again, ==, path);
        message =
                client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("another", more, id)), "RuntimeExists");
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "1\n");
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 1);
}

static guint count_listed(Harness *h, const char *filter) {
        g_autoptr(GVariant) reply = client_call(h->client, NULL, "ListRuntimes", g_variant_new("(@a{sv})", g_variant_new_parsed(filter))), rows = NULL;

        rows = g_variant_get_child_value(reply, 0);
        return (guint) g_variant_n_children(rows);
}

static void test_lists(Harness *h) {
        g_autofree char *one = NULL, *two = NULL;
        g_autoptr(GVariant) found = NULL;
        const char *path;

        harness_start_daemon(h, NULL);
        one = start(h->client, "{'Labels': <{'app': 'one', 'x': ''}>}");
        two = start(h->client, "{'Labels': <{'app': 'two'}>}");
        go_away_and_come_back(h);
        g_assert_cmpuint(count_listed(h, "@a{sv} {}"), ==, 2);
        g_assert_cmpuint(count_listed(h, "{'Labels': <{'app': 'one'}>}"), ==, 1);
        g_assert_cmpuint(count_listed(h, "{'State': <'ready'>, 'Kind': <'command'>}"), ==, 2);
        found = client_call(h->client, NULL, "GetRuntimeByPID", g_variant_new("(u)", (guint32) main_pid_of(h->client, two)));
        g_variant_get(found, "(&s&o)", NULL, &path);
        g_assert_cmpstr(path, ==, two);
        g_variant_unref(client_call(h->client, NULL, "KillRuntime", g_variant_new("(ssi)", path_to_id(two), "main", SIGUSR1)));
        g_variant_unref(client_wait_ended(h->client, two));
        g_assert_cmpuint(count_listed(h, "{'State': <'ready'>}"), ==, 1);
}

static int open_input(Harness *h, const char *path) {
        g_autoptr(GUnixFDList) fds = NULL;
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        int fd;

        reply = g_dbus_connection_call_with_unix_fd_list_sync(h->client->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "OpenInput", NULL, NULL, 0, -1, NULL,
                                                              &fds, NULL, &error);
        g_assert_no_error(error);
        fd = g_unix_fd_list_get(fds, 0, &error);
        g_assert_no_error(error);
        return fd;
}

static void write_input(Harness *h, const char *path, const char *text) {
        g_variant_unref(
                client_call(h->client, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, text, strlen(text), 1))));
}

static void test_input(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        int before, after;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec cat", "{'Input': <'pipe'>}"));
        write_input(h, path, "one\n");
        client_wait_text(h->client, path, "one\n");
        before = open_input(h, path);
        harness_kill_daemon(h);
        /* The pipe is between client and runtime alone. */
        g_assert_cmpint(write(before, "two\n", 4), ==, 4);
        come_back(h);
        client_wait_text(h->client, path, "one\ntwo\n");
        write_input(h, path, "three\n");
        client_wait_text(h->client, path, "three\n");
        after = open_input(h, path);
        g_assert_cmpint(write(after, "four\n", 5), ==, 5);
        client_wait_text(h->client, path, "four\n");
        close(before);
        close(after);
        go_away_and_come_back(h);
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'success'>, 'ExitCode': <0>}", NULL);
        assert_text(h, path, "one\ntwo\nthree\nfour\n");
}

/* With an owner's options changed after the start, and limits too. */
static void test_limits(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) limits = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "{'TasksMax': <uint64 50>}");
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 77>},)")));
        go_away_and_come_back(h);
        limits = client_get(h->client, path, "Limits");
        report_check(limits, "{'TasksMax': <uint64 77>}", NULL);
        g_variant_unref(client_call(h->client, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 78>},)")));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"an-owner-still-owns", test_owner_kept},
                {"an-owner-that-took-over-still-owns", test_owner_taken},
                {"an-owner-that-left-meanwhile-is-missed", test_owner_gone},
                {"an-owner-that-left-meanwhile-has-its-grace", test_owner_gone_with_grace},
                {"a-grace-time-goes-on", test_grace_goes_on},
                {"a-required-owner-is-still-waited-for", test_required_owner},
                {"the-call-that-starts-the-service-is-answered", test_first_call_of_an_activation},
                {"a-subscriber-gets-the-lines-of-the-time-away", test_subscribed},
                {"a-subscriber-gets-the-last-lines-and-the-end", test_subscribed_to_one_that_ends},
                {"a-subscriber-of-all-gets-all", test_subscribed_to_all},
                {"who-unsubscribed-stays-so", test_unsubscribed},
                {"a-subscriber-that-left-meanwhile-is-in-nobodys-way", test_subscriber_gone},
                {"life-signals-come", test_life_signals},
                {"a-wait-can-be-repeated", test_waits},
                {"a-start-can-be-repeated", test_same_start},
                {"runtimes-are-found-as-before", test_lists},
                {"input-works-as-before", test_input},
                {"limits-are-as-they-were-set", test_limits},
        };

        return harness_main(argc, argv, "return-clients", cases, G_N_ELEMENTS(cases));
}
