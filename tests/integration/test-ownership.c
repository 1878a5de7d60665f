/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose leaving ends a runtime, when and how it is told, and that nobody else's does.
 *
 * That something does not end a runtime is shown without waiting for a time: by a second one, the witness, which has the same time, began later and is left
 * alone. When that one has ended, the first must still be ready. */

#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "util/names.h"

/* Long enough for a few calls on a machine under load. */
#define A_WHILE "<uint64 4000000>"
#define A_WHILE_USEC 4000000
#define AN_HOUR "<uint64 3600000000>"

static const char *name_of(Client *client) {
        return g_dbus_connection_get_unique_name(client->bus);
}

static char *start(Client *client, const char *more) {
        return client_start(client, "command", options_shell("exec sleep 1000", more));
}

static void take(Client *client, const char *path, const char *options) {
        g_variant_unref(client_call(client, path, "TakeOwnership", g_variant_new("(@a{sv})", g_variant_new_parsed(options))));
}

static char *take_fails(Client *client, const char *path, const char *options, const char *error) {
        return client_call_fails(client, path, "TakeOwnership", g_variant_new("(@a{sv})", g_variant_new_parsed(options)), error);
}

static void release(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "ReleaseOwnership", NULL));
}

static void assert_owner(Harness *h, const char *path, Client *owner, const char *owner_name) {
        g_autofree char *unique = client_get_string(h->client, path, "Owner"), *name = client_get_string(h->client, path, "OwnerName");

        g_assert_cmpstr(unique, ==, owner ? name_of(owner) : "");
        g_assert_cmpstr(name, ==, owner_name);
}

/* All OwnerChanged so far, as "name,name,". */
static char *owners_signalled(Harness *h, const char *path) {
        GString *text = g_string_new(NULL);
        const Signal *signal;

        client_sync(h->client);
        for (size_t n = 0; (signal = client_find_signal(h->client, path, "OwnerChanged", n)); n++) {
                const char *owner;

                g_variant_get(signal->parameters, "(&s)", &owner);
                g_string_append_printf(text, "%s,", owner);
        }
        return g_string_free(text, FALSE);
}

static gboolean has_name(GDBusConnection *bus, const char *name) {
        g_autoptr(GVariant) reply = NULL;
        gboolean has;

        reply = g_dbus_connection_call_sync(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                                            g_variant_new("(s)", name), G_VARIANT_TYPE("(b)"), 0, -1, NULL, NULL);
        g_assert_nonnull(reply);
        g_variant_get(reply, "(b)", &has);
        return has;
}

typedef struct Name {
        GDBusConnection *bus;
        const char *name;
} Name;

static gboolean name_is_gone(gpointer userdata) {
        Name *name = userdata;

        return !has_name(name->bus, name->name);
}

static gboolean name_is_there(gpointer userdata) {
        return !name_is_gone(userdata);
}

/* When this returns, the service has been told: what the bus sends it keeps its order. */
static void leave(Harness *h, Client *client) {
        g_autofree char *unique = g_strdup(name_of(client));
        Name name = {h->client->bus, unique};

        client_free(client);
        harness_wait(h, name_is_gone, &name, "the bus has noticed that a client left");
        client_sync(h->client);
}

static void assert_ready(Harness *h, const char *path) {
        g_autofree char *state = client_get_string(h->client, path, "State");

        g_assert_cmpstr(state, ==, "ready");
}

/* Nothing else has begun to end it before. */
static void stop_undisturbed(Harness *h, const char *path) {
        g_autoptr(GVariant) report = NULL;

        assert_ready(h, path);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>}", NULL);
}

static void wait_owner_gone(Harness *h, const char *path, const char *more) {
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'RequestedBy': <'owner'>}", "RequestedByUID");
        report_check(report, more ?: "{'Phase': <'ready'>, 'StopStage': <'terminate'>}", NULL);
        g_assert_cmpstr(report_string(report, "Message"), ==, "The owner of the runtime has left the bus.");
}

static void wait_no_owner(Harness *h, const char *path) {
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>, 'RequestedBy': <'owner'>, 'Phase': <'ready'>}", "RequestedByUID");
        g_assert_cmpstr(report_string(report, "Message"), ==, "Nobody took ownership of the runtime in time.");
}

static void wait_printed(Harness *h, const char *path) {
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, path, "OutputLines");
}

static void test_none(Harness *h) {
        g_autofree char *path = NULL, *other = NULL, *owners = NULL;
        Client *starter;

        harness_start_daemon(h, NULL);
        starter = client_new(h);
        path = start(starter, NULL);
        other = start(starter, "{'Owner': <'none'>, 'OwnerName': <'nobody'>}");
        assert_owner(h, path, NULL, "");
        assert_owner(h, other, NULL, "");
        leave(h, starter);
        stop_undisturbed(h, path);
        stop_undisturbed(h, other);
        owners = owners_signalled(h, other);
        g_assert_cmpstr(owners, ==, "");
}

static void test_caller(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL, *expected = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerName': <'A notebook: größe'>}");
        assert_owner(h, path, owner, "A notebook: größe");
        expected = g_strdup_printf("%s,,", name_of(owner));
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
        assert_owner(h, path, NULL, "");
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
        client_wait_signal(h->client, path, "Ended");
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

/* The change of the property comes before the signal that names the news. */
static void test_properties(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) changed = NULL;
        const char *owner = NULL, *name = NULL;
        const Signal *before = NULL, *signal;

        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        take(h->client, path, "{'OwnerName': <'me'>}");
        client_wait_signal(h->client, path, "OwnerChanged");
        for (size_t n = 0; (signal = client_find_signal(h->client, path, NULL, n)) && strcmp(signal->member, "OwnerChanged") != 0; n++)
                before = signal;
        g_assert_cmpstr(before->member, ==, "PropertiesChanged");
        changed = g_variant_get_child_value(before->parameters, 1);
        g_assert_true(g_variant_lookup(changed, "Owner", "&s", &owner));
        g_assert_true(g_variant_lookup(changed, "OwnerName", "&s", &name));
        g_assert_cmpstr(owner, ==, name_of(h->client));
        g_assert_cmpstr(name, ==, "me");
        stop_undisturbed(h, path);
}

static void start_fails(Harness *h, const char *more, const char *mentioned) {
        g_autofree char *message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 0", more)),
                                                     "InvalidOption");

        if (!strstr(message, mentioned))
                harness_fail(h, "the message doesn't mention \"%s\": %s", mentioned, message);
}

static void test_bad_options(Harness *h) {
        static const struct {
                const char *options, *mentioned;
        } table[] = {
                {"{'Owner': <'me'>}", "Owner"},
                {"{'OwnerName': <5>}", "OwnerName"},
                {"{'OwnerName': <'a\\nb'>}", "OwnerName"},
                {"{'OwnerGraceUSec': <'long'>}", "OwnerGraceUSec"},
                {"{'OwnerGraceUSec': <uint64 18446744073709551615>}", "OwnerGraceUSec"},
                {"{'Replace': <'yes'>}", "Replace"},
        };
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        start_fails(h, "{'Owner': <'somebody'>}", "Owner");
        start_fails(h, "{'Owner': <true>}", "Owner");
        start_fails(h, "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 0>}", "OwnerTimeoutUSec");
        start_fails(h, "{'Owner': <'caller'>, 'OwnerName': <'a\\nb'>}", "OwnerName");

        path = start(h->client, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
                g_autofree char *message = take_fails(h->client, path, table[i].options, "InvalidOption");

                if (!strstr(message, table[i].mentioned))
                        harness_fail(h, "the message doesn't mention \"%s\": %s", table[i].mentioned, message);
        }
        /* Refused, nothing of it was done. */
        g_free(take_fails(h->client, path, "{'OwnerName': <'x'>, 'Lasting': <true>}", "InvalidOption"));
        assert_owner(h, path, NULL, "");
        stop_undisturbed(h, path);
}

static void test_take(Harness *h) {
        g_autofree char *path = NULL, *message = NULL, *owners = NULL, *expected = NULL;
        Client *first, *second;

        harness_start_daemon(h, NULL);
        first = client_new(h);
        second = client_new(h);
        path = start(h->client, NULL);
        take(first, path, "{'OwnerName': <'the first'>}");
        assert_owner(h, path, first, "the first");

        message = take_fails(second, path, "@a{sv} {}", "HasOwner");
        g_assert_nonnull(strstr(message, "the first"));
        g_free(take_fails(second, path, "{'Replace': <false>}", "HasOwner"));
        assert_owner(h, path, first, "the first");

        take(second, path, "{'Replace': <true>, 'OwnerName': <'the second'>}");
        assert_owner(h, path, second, "the second");
        expected = g_strdup_printf("%s,%s,,", name_of(first), name_of(second));
        /* It owns nothing any more. */
        leave(h, first);
        assert_ready(h, path);
        assert_owner(h, path, second, "the second");
        leave(h, second);
        wait_owner_gone(h, path, NULL);
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
}

static void test_take_again(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL, *expected = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerName': <'old'>, 'OwnerGraceUSec': " AN_HOUR "}");
        take(owner, path, "{'OwnerName': <'new'>}");
        assert_owner(h, path, owner, "new");
        /* What isn't given stays. */
        take(owner, path, "{'OwnerGraceUSec': <uint64 0>}");
        assert_owner(h, path, owner, "new");
        owners = owners_signalled(h, path);
        expected = g_strdup_printf("%s,", name_of(owner));
        g_assert_cmpstr(owners, ==, expected);
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
}

static void test_release(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL, *expected = NULL;
        Client *owner, *other;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        other = client_new(h);
        path = start(owner, "{'Owner': <'caller'>}");
        g_free(client_call_fails(other, path, "ReleaseOwnership", NULL, "BadState"));
        assert_owner(h, path, owner, "");
        release(owner, path);
        assert_owner(h, path, NULL, "");
        g_free(client_call_fails(owner, path, "ReleaseOwnership", NULL, "BadState"));
        expected = g_strdup_printf("%s,,%s,,", name_of(owner), name_of(other));
        leave(h, owner);
        assert_ready(h, path);
        /* Free for anybody. */
        take(other, path, "@a{sv} {}");
        assert_owner(h, path, other, "");
        release(other, path);
        leave(h, other);
        stop_undisturbed(h, path);
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
}

/* The starter, a subscriber of everything, one who waits, one who stopped something else. */
static void test_others(Harness *h) {
        g_autofree char *path = NULL, *mine = NULL;
        Client *starter, *subscriber, *owner, *bystander;

        harness_start_daemon(h, NULL);
        starter = client_new(h);
        subscriber = client_new(h);
        owner = client_new(h);
        bystander = client_new(h);
        path = start(starter, NULL);
        mine = start(bystander, "{'Owner': <'caller'>}");
        take(owner, path, "@a{sv} {}");
        g_variant_unref(client_call(subscriber, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
        leave(h, starter);
        leave(h, subscriber);
        leave(h, bystander);
        wait_owner_gone(h, mine, NULL);
        assert_owner(h, path, owner, "");
        stop_undisturbed(h, path);
        leave(h, owner);
}

static void test_two_of_one(Harness *h) {
        g_autofree char *first = NULL, *second = NULL, *theirs = NULL;
        Client *owner, *other;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        other = client_new(h);
        first = start(owner, "{'Owner': <'caller'>}");
        theirs = start(other, "{'Owner': <'caller'>}");
        second = start(other, NULL);
        take(owner, second, "@a{sv} {}");
        leave(h, owner);
        wait_owner_gone(h, first, NULL);
        wait_owner_gone(h, second, NULL);
        assert_owner(h, theirs, other, "");
        stop_undisturbed(h, theirs);
        leave(h, other);
}

/* Through the stages of any stop. */
static void test_stages(Harness *h) {
        g_autofree char *path = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command", options_shell("trap '' TERM; echo deaf; while :; do sleep 1; done",
                                                            "{'Owner': <'caller'>, 'TimeoutStopUSec': <uint64 300000>}"));
        wait_printed(h, path);
        leave(h, owner);
        wait_owner_gone(h, path, "{'Phase': <'ready'>, 'StopStage': <'kill'>, 'Signal': <9>}");
}

static void test_grace(Harness *h) {
        g_autofree char *path = NULL, *witness = NULL, *expected = NULL, *owners = NULL;
        Client *owner, *other;
        gint64 left;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        other = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': " A_WHILE "}");
        witness = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': " A_WHILE "}");
        expected = g_strdup_printf("%s,,%s,", name_of(owner), name_of(other));
        left = g_get_monotonic_time();
        leave(h, owner);
        assert_owner(h, path, NULL, "");
        assert_ready(h, path);
        take(other, path, "{'OwnerName': <'who came after'>}");
        assert_owner(h, path, other, "who came after");
        wait_owner_gone(h, witness, NULL);
        g_assert_cmpint(g_get_monotonic_time() - left, >=, A_WHILE_USEC);
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
        stop_undisturbed(h, path);
        leave(h, other);
}

/* The one given last holds, for whoever owns it. */
static void test_grace_given_later(Harness *h) {
        g_autofree char *path = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'OwnerGraceUSec': <uint64 0>}");
        take(owner, path, "{'OwnerGraceUSec': " AN_HOUR "}");
        leave(h, owner);
        assert_owner(h, path, NULL, "");
        assert_ready(h, path);
        owner = client_new(h);
        take(owner, path, "{'OwnerGraceUSec': <uint64 0>}");
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
}

static void test_stop_in_grace(Harness *h) {
        g_autofree char *path = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': " AN_HOUR "}");
        leave(h, owner);
        stop_undisturbed(h, path);
}

static void test_required_and_not_taken(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 300000>}");
        wait_no_owner(h, path);
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, "");
}

/* The deadline runs while it starts, too: then the start is what fails. */
static void test_required_at_once(Harness *h) {
        harness_start_daemon(h, NULL);
        for (guint i = 0; i < 10; i++) {
                g_autofree char *error = NULL, *message = NULL;
                g_autoptr(GVariant) reply = NULL, report = NULL;

                reply = client_try(h->client, NULL, "StartRuntime",
                                   g_variant_new("(s@a{sv})", "command",
                                                 options_shell("exec sleep 1000", "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 1>}")),
                                   &error, &message);
                if (!reply) {
                        g_assert_cmpstr(error, ==, RM_ERROR_CANCELLED);
                        g_assert_cmpstr(message, ==, "Nobody took ownership of the runtime in time.");
                }
                report = g_variant_get_child_value(client_wait_nth_signal(h->client, NULL, "Ended", i)->parameters, 0);
                report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>, 'RequestedBy': <'owner'>}", NULL);
        }
}

static void test_required_and_taken(Harness *h) {
        g_autofree char *path = NULL, *witness = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(h->client, "{'Owner': <'required'>, 'OwnerTimeoutUSec': " A_WHILE "}");
        take(owner, path, "@a{sv} {}");
        witness = start(h->client, "{'Owner': <'required'>, 'OwnerTimeoutUSec': " A_WHILE "}");
        wait_no_owner(h, witness);
        assert_owner(h, path, owner, "");
        assert_ready(h, path);
        /* From here on it is as with any other owner. */
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
}

static void test_required_and_released(Harness *h) {
        g_autofree char *path = NULL, *retaken = NULL;
        gint64 released;

        harness_start_daemon(h, NULL);
        path = start(h->client, "{'Owner': <'required'>, 'OwnerTimeoutUSec': " A_WHILE "}");
        retaken = start(h->client, "{'Owner': <'required'>, 'OwnerTimeoutUSec': " A_WHILE "}");
        take(h->client, path, "@a{sv} {}");
        take(h->client, retaken, "@a{sv} {}");
        release(h->client, retaken);
        take(h->client, retaken, "@a{sv} {}");
        released = g_get_monotonic_time();
        release(h->client, path);
        wait_no_owner(h, path);
        g_assert_cmpint(g_get_monotonic_time() - released, >=, A_WHILE_USEC);
        stop_undisturbed(h, retaken);
}

static void add_slow_kinds(Harness *h) {
        harness_add_kind(h, "slow-to-prepare",
                         "[Kind]\nDescription=Prepares and prepares\nExec=/bin/sleep 1000\n[Step dawdle]\nExec=/bin/sleep 1000\n[Handshake]\nType=exec\n");
        harness_add_kind(h, "slow-to-connect",
                         "[Kind]\nDescription=Says nothing\nExec=/bin/sleep 1000\n[Handshake]\nType=line\nLine=never\nTimeoutSec=1h\n");
}

static void test_before_ready(Harness *h) {
        g_autofree char *preparing = NULL, *connecting = NULL;
        Client *owner;

        add_slow_kinds(h);
        harness_start_daemon(h, NULL);
        owner = client_new(h);
        preparing = client_start(owner, "slow-to-prepare", g_variant_new_parsed("{'Owner': <'caller'>}"));
        connecting = client_start(owner, "slow-to-connect", g_variant_new_parsed("{'Owner': <'caller'>}"));
        client_wait_state(h->client, preparing, "preparing");
        client_wait_state(h->client, connecting, "connecting");
        leave(h, owner);
        wait_owner_gone(h, preparing, "{'Phase': <'preparing'>, 'Step': <'dawdle'>}");
        wait_owner_gone(h, connecting, "{'Phase': <'connecting'>}");
}

/* Who asks for a runtime and leaves without waiting for the answer; mostly it still starts when they are missed. */
static void test_while_starting(Harness *h) {
        harness_start_daemon(h, NULL);
        for (guint i = 0; i < 10; i++) {
                Client *owner = client_new(h);
                g_autoptr(GVariant) report = NULL;

                g_dbus_connection_call(owner->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime",
                                       g_variant_new("(s@a{sv})", "command", options_shell("exec sleep 1000", "{'Owner': <'caller'>}")), NULL, 0, -1, NULL, NULL,
                                       NULL);
                client_wait_nth_signal(h->client, RM_OBJECT_PATH, "RuntimeAdded", i);
                client_free(owner);
                report = g_variant_get_child_value(client_wait_nth_signal(h->client, NULL, "Ended", i)->parameters, 0);
                report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'RequestedBy': <'owner'>}", NULL);
        }
}

static void test_after_end(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) before = NULL, after = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command", options_shell("exit 0", "{'Owner': <'caller'>}"));
        before = client_wait_ended(h->client, path);
        g_free(take_fails(owner, path, "@a{sv} {}", "BadState"));
        leave(h, owner);
        assert_owner(h, path, NULL, "");
        after = client_get(h->client, path, "EndReport");
        g_assert_true(g_variant_equal(before, after));
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

static void test_while_stopping(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command", options_shell("trap '' TERM; echo deaf; while :; do sleep 1; done",
                                                            "{'Owner': <'required'>, 'TimeoutStopUSec': " AN_HOUR ", 'OwnerTimeoutUSec': " AN_HOUR "}"));
        take(owner, path, "@a{sv} {}");
        wait_printed(h, path);
        client_stop(h->client, path);
        client_wait_state(h->client, path, "stopping");
        g_free(take_fails(owner, path, "@a{sv} {}", "BadState"));
        g_free(take_fails(h->client, path, "{'Replace': <true>}", "BadState"));
        /* These only change who owns it: it is ending already. */
        release(owner, path);
        assert_owner(h, path, NULL, "");
        leave(h, owner);
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)")));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'StopStage': <'kill'>}", NULL);
}

typedef struct OwnBus {
        Harness *h;
        char *socket;
        GPid pid;
} OwnBus;

static void before_exec(gpointer userdata) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static gboolean bus_answers(gpointer userdata) {
        OwnBus *bus = userdata;
        g_autoptr(GDBusConnection) connection = g_dbus_connection_new_for_address_sync(
                bus->h->bus_address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, NULL);

        return connection != NULL;
}

static void own_bus_start(OwnBus *bus) {
        g_autofree char *address = g_strdup_printf("--address=%s", bus->h->bus_address);
        char *argv[] = {(char *) "dbus-daemon", (char *) "--session", address, (char *) "--nofork", (char *) "--nopidfile", (char *) "--nosyslog", NULL};
        g_autoptr(GError) error = NULL;

        (void) unlink(bus->socket);
        g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, before_exec, NULL, &bus->pid, &error);
        g_assert_no_error(error);
        harness_wait(bus->h, bus_answers, bus, "the bus answers");
}

static void own_bus_kill(OwnBus *bus) {
        g_assert_cmpint(kill(bus->pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(bus->pid, NULL, 0), ==, bus->pid);
}

/* A bus for this case alone; for one that can be killed it makes no difference which sort it is. FALSE: there is none. */
static gboolean own_bus_init(OwnBus *bus, Harness *h) {
        g_autofree char *program = g_find_program_in_path("dbus-daemon");

        if (!program) {
                g_test_skip("there is no dbus-daemon");
                return FALSE;
        }
        *bus = (OwnBus){.h = h, .socket = g_build_filename(h->directory, "own-bus", NULL)};
        g_free(h->bus_address);
        h->bus_address = g_strdup_printf("unix:path=%s", bus->socket);
        own_bus_start(bus);
        return TRUE;
}

/* At the bus as it is now. */
static void connect_again(Harness *h) {
        Name name;

        client_free(h->client);
        h->client = client_new(h);
        name = (Name){h->client->bus, RM_BUS_NAME};
        harness_wait(h, name_is_there, &name, "the service is on the new bus");
}

static void own_bus_done(OwnBus *bus) {
        harness_stop_daemon(bus->h);
        own_bus_kill(bus);
        (void) unlink(bus->socket);
        g_free(bus->socket);
}

static void test_bus_gone(Harness *h) {
        g_autofree char *owned = NULL, *free_one = NULL, *graceful = NULL;
        OwnBus bus;

        if (!own_bus_init(&bus, h))
                return;
        harness_start_daemon(h, NULL);
        owned = start(h->client, "{'Owner': <'caller'>}");
        free_one = start(h->client, NULL);
        graceful = start(h->client, "{'Owner': <'caller'>, 'OwnerGraceUSec': " AN_HOUR "}");
        own_bus_kill(&bus);
        own_bus_start(&bus);
        connect_again(h);
        wait_owner_gone(h, owned, NULL);
        assert_owner(h, graceful, NULL, "");
        take(h->client, graceful, "@a{sv} {}");
        assert_owner(h, graceful, h->client, "");
        stop_undisturbed(h, free_one);
        stop_undisturbed(h, graceful);
        own_bus_done(&bus);
}

static gboolean process_is_gone(gpointer userdata) {
        return kill(*(pid_t *) userdata, 0) < 0;
}

static void test_bus_gone_for_good(Harness *h) {
        g_autofree char *owned = NULL, *free_one = NULL;
        OwnBus bus;
        pid_t pid;

        if (!own_bus_init(&bus, h))
                return;
        harness_start_daemon(h, NULL);
        owned = start(h->client, "{'Owner': <'caller'>}");
        free_one = start(h->client, NULL);
        pid = (pid_t) client_get_number(h->client, owned, "MainPID");
        own_bus_kill(&bus);
        harness_wait(h, process_is_gone, &pid, "the runtime that was owned ends");
        own_bus_start(&bus);
        connect_again(h);
        wait_owner_gone(h, owned, NULL);
        stop_undisturbed(h, free_one);
        own_bus_done(&bus);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-runtime-without-an-owner-outlives-its-starter", test_none},
                {"a-runtime-of-its-caller-ends-when-that-leaves", test_caller},
                {"the-properties-change-before-OwnerChanged", test_properties},
                {"options-that-make-no-sense-are-refused", test_bad_options},
                {"ownership-is-taken-over-with-Replace-alone", test_take},
                {"the-owner-may-take-it-again", test_take_again},
                {"the-owner-alone-can-release-it", test_release},
                {"nobody-elses-leaving-matters", test_others},
                {"all-runtimes-of-one-owner-end-and-no-others", test_two_of_one},
                {"a-lost-owner-stops-it-through-the-normal-stages", test_stages},
                {"it-goes-on-if-it-is-taken-within-the-grace-time", test_grace},
                {"the-grace-time-can-be-given-when-it-is-taken", test_grace_given_later},
                {"it-can-be-stopped-within-the-grace-time", test_stop_in_grace},
                {"a-required-owner-that-does-not-come-ends-it", test_required_and_not_taken},
                {"a-required-owner-may-be-missed-while-it-starts", test_required_at_once},
                {"a-required-owner-that-came-in-time-keeps-it", test_required_and_taken},
                {"a-required-owner-that-releases-it-begins-the-time-anew", test_required_and_released},
                {"an-owner-may-leave-while-it-prepares-or-connects", test_before_ready},
                {"an-owner-may-leave-while-it-starts", test_while_starting},
                {"an-owner-that-leaves-after-the-end-changes-nothing", test_after_end},
                {"nobody-can-take-one-that-is-stopping", test_while_stopping},
                {"an-owner-on-a-bus-that-was-replaced-is-lost", test_bus_gone},
                {"an-owner-on-a-bus-that-stays-away-is-lost", test_bus_gone_for_good},
        };

        return harness_main(argc, argv, "ownership", cases, G_N_ELEMENTS(cases));
}
