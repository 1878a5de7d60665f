/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When and how a runtime ends that has lost its owner or never had the one that it needs, and what becomes of it when the bus goes.
 *
 * That something does not end a runtime is shown without waiting for a time: by a second one, the witness, which has the same time, began later and is left
 * alone. When that one has ended, the first must still be ready. */

#include <gio/gio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "owner.h"
#include "util/names.h"

/* Long enough for a few calls on a machine under load. */
#define A_WHILE "<uint64 4000000>"
#define A_WHILE_USEC 4000000

static void wait_no_owner(Harness *h, const char *path) {
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>, 'RequestedBy': <'owner'>, 'Phase': <'ready'>}", "RequestedByUID");
        g_assert_cmpstr(report_string(report, "Message"), ==, "Nobody took ownership of the runtime in time.");
}

/* Through the stages of any stop. */
static void test_stages(Harness *h) {
        g_autofree char *path = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command",
                            options_shell("trap '' TERM; echo deaf; while :; do sleep 1; done", "{'Owner': <'caller'>, 'TimeoutStopUSec': <uint64 300000>}"));
        wait_has_printed(h, path);
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

                reply = client_try(
                        h->client, NULL, "StartRuntime",
                        g_variant_new("(s@a{sv})", "command", options_shell("exec sleep 1000", "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 1>}")),
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
        harness_add_kind(h, "slow-to-connect", "[Kind]\nDescription=Says nothing\nExec=/bin/sleep 1000\n[Handshake]\nType=line\nLine=never\nTimeoutSec=1h\n");
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
                                       g_variant_new("(s@a{sv})", "command", options_shell("exec sleep 1000", "{'Owner': <'caller'>}")), NULL, 0, -1, NULL,
                                       NULL, NULL);
                client_wait_nth_signal(h->client, RM_OBJECT_PATH, "RuntimeAdded", i);
                client_free(owner);
                report = g_variant_get_child_value(client_wait_nth_signal(h->client, NULL, "Ended", i)->parameters, 0);
                report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'RequestedBy': <'owner'>}", NULL);
        }
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
        client_free(h->client);
        h->client = client_new(h);
        wait_for_name(h, RM_BUS_NAME);
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
                {"an-owner-on-a-bus-that-was-replaced-is-lost", test_bus_gone},
                {"an-owner-on-a-bus-that-stays-away-is-lost", test_bus_gone_for_good},
        };

        return harness_main(argc, argv, "ownership-loss", cases, G_N_ELEMENTS(cases));
}
