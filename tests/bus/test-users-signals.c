/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signals on a bus of many users: to those who asked and may see, to each once, as far as each one reads; all clients here have match rules for all signals
 * there are. */

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "bus/peer.h"
#include "core/sd-autoptr.h"
#include "loop.h"
#include "private-bus.h"
#include "users.h"
#include "util/limits.h"
#include "util/names.h"

#define A " " RM_RUNTIME_PREFIX "/u1_a"
#define B " " RM_RUNTIME_PREFIX "/u1_b"
#define MANAGER " " RM_OBJECT_PATH
#define LIFE 1
#define OUTPUT 2

static void subscribe(Client *client, unsigned flags) {
        g_autoptr(sd_bus_message) answer = client_call(client, NULL, NULL, "Subscribe", "u", flags);

        g_assert_false(sd_bus_message_is_method_error(answer, NULL));
}

static void subscribe_to(Client *client, const char *path, unsigned flags) {
        g_autoptr(sd_bus_message) answer = client_call(client, path, NULL, "Subscribe", "tu", UINT64_MAX, flags);

        g_assert_false(sd_bus_message_is_method_error(answer, NULL));
}

/* Every signal but output, and once. */
static void live(World *world) {
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        fake_runtime_warn(runtime, "a warning");
        fake_runtime_set_state(runtime, RUNTIME_READY);
        fake_runtime_set_state(runtime, RUNTIME_ENDED);
        fake_runtime_remove(runtime);
}

static void assert_life(Client *client, unsigned n) {
        client_sync(client);
        g_assert_cmpuint(client_count(client, "InterfacesAdded" MANAGER), ==, n);
        g_assert_cmpuint(client_count(client, "RuntimeAdded" MANAGER), ==, n);
        g_assert_cmpuint(client_count(client, "Warning" A), ==, n);
        g_assert_cmpuint(client_count(client, "PropertiesChanged" A), ==, 2 * n);
        g_assert_cmpuint(client_count(client, "StateChanged" A), ==, 2 * n);
        g_assert_cmpuint(client_count(client, "HandshakeCompleted" A), ==, n);
        g_assert_cmpuint(client_count(client, "Ended" A), ==, n);
        g_assert_cmpuint(client_count(client, "InterfacesRemoved" MANAGER), ==, n);
        g_assert_cmpuint(client_count(client, "RuntimeRemoved" MANAGER), ==, n);
        g_assert_cmpuint(client->signals->len, ==, 11 * n);
}

static void test_unicast(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), also_alice = client_new(world, ALICE), silent = client_new(world, ALICE);
        g_autoptr(Client) bob = client_new(world, BOB), root = client_new(world, 0), idle_root = client_new(world, 0);

        subscribe(alice, LIFE);
        subscribe(also_alice, LIFE | OUTPUT);
        subscribe(bob, LIFE | OUTPUT);
        subscribe(root, LIFE);
        live(world);
        assert_life(alice, 1);
        assert_life(also_alice, 1);
        assert_life(root, 1);
        assert_life(bob, 0);
        assert_life(silent, 0);
        assert_life(idle_root, 0);
}

static void test_of_one_runtime(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), both = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        subscribe_to(alice, RM_RUNTIME_PREFIX "/u1_a", LIFE);
        subscribe(both, LIFE);
        subscribe_to(both, RM_RUNTIME_PREFIX "/u1_a", LIFE);
        fake_runtime_add(world->manager, ALICE, ALICE, "b");
        fake_runtime_set_state(runtime, RUNTIME_CONNECTING);
        client_sync(alice);
        client_sync(both);
        g_assert_cmpuint(client_count(alice, "StateChanged" A), ==, 1);
        g_assert_cmpuint(client_count(alice, "RuntimeAdded" MANAGER), ==, 0);
        g_assert_cmpuint(client_count(both, "StateChanged" A), ==, 1);
        g_assert_cmpuint(client_count(both, "RuntimeAdded" MANAGER), ==, 1);
        sd_bus_message_unref(client_call(alice, RM_RUNTIME_PREFIX "/u1_a", NULL, "Unsubscribe", NULL));
        fake_runtime_set_state(runtime, RUNTIME_READY);
        client_sync(alice);
        g_assert_cmpuint(client_count(alice, "StateChanged" A), ==, 1);
}

/* Not the bus, but bob says that alice has left it. */
static void test_forged(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);
        g_autoptr(sd_bus_message) forged = NULL;

        subscribe(alice, LIFE);
        g_assert_cmpint(sd_bus_message_new_signal(bob->bus, &forged, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(forged, "sss", alice->name, alice->name, ""), >=, 0);
        g_assert_cmpint(sd_bus_message_set_destination(forged, RM_BUS_NAME), >=, 0);
        g_assert_cmpint(sd_bus_send(bob->bus, forged, NULL), >=, 0);
        /* Behind it, on the same connection. */
        sd_bus_message_unref(client_call(bob, NULL, NULL, "ListRuntimes", "a{sv}", 0));
        live(world);
        assert_life(alice, 1);
}

static void test_output(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);
        Runtime *before = fake_runtime_add(world->manager, ALICE, ALICE, "a"), *after;

        subscribe(alice, OUTPUT);
        subscribe(bob, OUTPUT);
        after = fake_runtime_add(world->manager, ALICE, ALICE, "b");
        fake_runtime_print(before, "a secret");
        fake_runtime_print(after, "another");
        AWAIT(client_count(alice, "OutputLines" A) == 1 && client_count(alice, "OutputLines" B) == 1);
        client_sync(bob);
        g_assert_cmpuint(bob->signals->len, ==, 0);
        /* Nor does one that asked for output hear of its life. */
        g_assert_cmpuint(alice->signals->len, ==, 2);
}

static void test_line_in_between(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");
        bool printed = true;

        subscribe(alice, OUTPUT);
        for (unsigned look = 1; printed; look++) {
                uint64_t last = alice->last_line;

                fake_runtime_print_at_look(runtime, look);
                fake_runtime_print(runtime, "a line");
                AWAIT(alice->last_line == last + 1 + fake_runtime_has_printed(runtime));
                printed = fake_runtime_has_printed(runtime);
        }
}

/* Signals with this name that the connection doesn't take, as when the kernel has no memory for them. */
static const char *refused_member;
static unsigned n_refused;

/* In the place of libsystemd's. */
int sd_bus_send_to(sd_bus *bus, sd_bus_message *message, const char *destination, uint64_t *ret_cookie) {
        int (*send_to)(sd_bus *, sd_bus_message *, const char *, uint64_t *) = dlsym(RTLD_NEXT, "sd_bus_send_to");

        if (n_refused > 0 && strcmp(sd_bus_message_get_member(message), refused_member) == 0) {
                n_refused--;
                return -ENOBUFS;
        }
        return send_to(bus, message, destination, ret_cookie);
}

static void test_refused_lines(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        subscribe(alice, OUTPUT);
        refused_member = "OutputLines";
        n_refused = 2;
        fake_runtime_print(runtime, "a line");
        AWAIT(client_count(alice, "OutputLines" A) == 1);
        g_assert_cmpuint(n_refused, ==, 0);
        g_assert_cmpuint(alice->last_line, ==, 1);
        g_assert_cmpuint(client_count(alice, "OutputDropped" A), ==, 0);
        fake_runtime_print(runtime, "another");
        AWAIT(alice->last_line == 2);
}

static void test_refused_gap(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");
        g_autofree char *text = g_strnfill(LIMIT_LINE, 'x');

        for (unsigned i = 0; i < 64; i++)
                fake_runtime_print(runtime, text);
        refused_member = "OutputDropped";
        n_refused = 2;
        sd_bus_message_unref(client_call(alice, RM_RUNTIME_PREFIX "/u1_a", NULL, "Subscribe", "tu", UINT64_C(0), OUTPUT));
        AWAIT(alice->last_line == 64);
        g_assert_cmpuint(n_refused, ==, 0);
        g_assert_cmpuint(client_count(alice, "OutputDropped" A), ==, 1);
}

static void test_refused_watch(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        fake_runtime_refuse_watches(runtime, 2);
        subscribe(alice, OUTPUT);
        fake_runtime_print_unheard(runtime, "a line");
        AWAIT(alice->last_line == 1);
}

static void test_ids(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);

        /* Whoever starts for another is told the name. */
        subscribe(alice, LIFE);
        subscribe(bob, LIFE);
        fake_runtime_add(world->manager, ALICE, BOB, "a");
        client_sync(alice);
        client_sync(bob);
        g_assert_cmpstr(alice->added, ==, "a");
        g_assert_cmpstr(bob->added, ==, "u1_a");
}

static void flood(Runtime *runtime) {
        g_autofree char *text = g_strnfill(16 * 1024, 'x');

        for (unsigned i = 0; i < 2 * LIMIT_WINDOW / (16 * 1024); i++)
                fake_runtime_warn(runtime, text);
}

static void test_full_window(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), reader = client_new(world, ALICE);
        Runtime *first = fake_runtime_add(world->manager, ALICE, ALICE, "a"), *gone = fake_runtime_add(world->manager, ALICE, ALICE, "gone"), *brief;

        subscribe(alice, LIFE);
        subscribe(reader, LIFE);
        client_stop_reading(alice);
        flood(first);
        client_sync(reader);
        /* All this she misses; who reads doesn't. */
        fake_runtime_set_state(first, RUNTIME_CONNECTING);
        fake_runtime_set_state(first, RUNTIME_READY);
        fake_runtime_add(world->manager, ALICE, ALICE, "b");
        brief = fake_runtime_add(world->manager, ALICE, ALICE, "brief");
        fake_runtime_remove(brief);
        fake_runtime_remove(gone);
        AWAIT(client_count(reader, "StateChanged" A) == 2);
        client_sync(reader);
        g_assert_cmpuint(client_count(reader, "RuntimeRemoved" MANAGER), ==, 2);

        client_read_again(alice);
        AWAIT(client_count(alice, "HandshakeCompleted" A) == 1 && client_count(alice, "StateChanged" B) == 1);
        client_sync(alice);
        g_assert_cmpuint(client_count(alice, "Warning" A), <=, LIMIT_WINDOW / (16 * 1024));
        g_assert_cmpuint(client_count(alice, "Warning" A), >=, LIMIT_WINDOW / (16 * 1024) / 2);
        g_assert_cmpuint(client_count(alice, "PropertiesChanged" A), ==, 1);
        g_assert_cmpuint(client_count(alice, "StateChanged" A), ==, 1);
        g_assert_cmpuint(client_count(alice, "RuntimeAdded" MANAGER), ==, 1);
        g_assert_cmpuint(client_count(alice, "RuntimeRemoved" MANAGER), ==, 1);
        g_assert_cmpuint(client_count(alice, "InterfacesRemoved" MANAGER), ==, 1);
        /* And from then on as ever. */
        fake_runtime_set_state(first, RUNTIME_ENDED);
        client_sync(alice);
        g_assert_cmpuint(client_count(alice, "Ended" A), ==, 1);
        g_assert_cmpuint(client_count(alice, "StateChanged" A), ==, 2);
}

static void test_end_behind_the_last_line(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        subscribe(alice, LIFE | OUTPUT);
        client_stop_reading(alice);
        flood(runtime);
        fake_runtime_print(runtime, "the last line");
        fake_runtime_set_state(runtime, RUNTIME_ENDED);
        client_read_again(alice);
        AWAIT(client_count(alice, "Ended" A) == 1);
        g_assert_cmpuint(client_count(alice, "OutputLines" A), ==, 1);
        g_assert_cmpstr(alice->signals->pdata[alice->signals->len - 1], ==, "Ended" A);
}

static void test_unsubscribed_while_behind(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) bob = client_new(world, BOB);
        Client *alice = client_new(world, ALICE);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        subscribe(alice, LIFE);
        client_stop_reading(alice);
        flood(runtime);
        fake_runtime_set_state(runtime, RUNTIME_READY);
        client_free(alice);
        AWAIT(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_SUBSCRIBERS) == 0);
        fake_runtime_remove(runtime);
        client_sync(bob);
}

static void test_quota(void) {
        QuotaLimits limits = {.max = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 2}, .starts_per_second = UINT64_MAX, .starts_burst = UINT64_MAX};
        g_autoptr(World) world = world_new(&limits);
        g_autoptr(Client) alice = client_new(world, ALICE), second = client_new(world, ALICE), bob = client_new(world, BOB);

        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        subscribe(alice, LIFE);
        subscribe(alice, OUTPUT);
        subscribe_to(alice, RM_RUNTIME_PREFIX "/u1_a", LIFE);
        assert_answer_has(client_call(second, NULL, NULL, "Subscribe", "u", LIFE), RM_ERROR_LIMIT_EXCEEDED);
        assert_answer_has(client_call(second, RM_RUNTIME_PREFIX "/u1_a", NULL, "Subscribe", "tu", UINT64_C(0), OUTPUT), RM_ERROR_LIMIT_EXCEEDED);
        subscribe(bob, LIFE);
        sd_bus_message_unref(client_call(alice, NULL, NULL, "Unsubscribe", NULL));
        subscribe(second, LIFE);
}

static void test_restart(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), of_one = client_new(world, ALICE), bob = client_new(world, BOB);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        subscribe(alice, LIFE | OUTPUT);
        subscribe(bob, LIFE | OUTPUT);
        subscribe_to(of_one, RM_RUNTIME_PREFIX "/u1_a", LIFE | OUTPUT);
        world_stop(world);

        world_prepare(world);
        runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");
        world_start(world);
        /* At once, before it can be known again who they are. */
        fake_runtime_set_state(runtime, RUNTIME_READY);
        fake_runtime_print(runtime, "a line");
        AWAIT(client_count(alice, "HandshakeCompleted" A) == 1 && client_count(alice, "OutputLines" A) == 1);
        AWAIT(client_count(of_one, "HandshakeCompleted" A) == 1 && client_count(of_one, "OutputLines" A) == 1);
        client_sync(bob);
        g_assert_cmpuint(bob->signals->len, ==, 0);
        g_assert_cmpuint(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_SUBSCRIBERS), ==, 2);
}

/* Under the name that alice had according to the record there is bob now. */
static void test_restart_with_another(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);
        g_autofree char *hers = g_strdup_printf("\"%s\"", alice->name), *his = g_strdup_printf("\"%s\"", bob->name);
        Runtime *runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        subscribe(alice, LIFE | OUTPUT);
        subscribe_to(alice, RM_RUNTIME_PREFIX "/u1_a", LIFE | OUTPUT);
        sd_bus_message_unref(client_call(alice, RM_RUNTIME_PREFIX "/u1_a", NULL, "TakeOwnership", "a{sv}", 0));
        world_stop(world);
        fake_manager_change_records(hers, his);
        world_prepare(world);
        runtime = fake_runtime_add(world->manager, ALICE, ALICE, "a");
        world_start(world);
        fake_runtime_set_state(runtime, RUNTIME_READY);
        fake_runtime_print(runtime, "a secret");
        AWAIT(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_SUBSCRIBERS) == 0);
        client_sync(bob);
        g_assert_cmpuint(bob->signals->len, ==, 0);
        assert_answer_has(client_call(alice, RM_RUNTIME_PREFIX "/u1_a", "org.freedesktop.DBus.Properties", "Get", "ss", RM_RUNTIME_INTERFACE, "Owner"),
                          "STRING \"\"");
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        if (!users_can_be_had())
                return 0;
        g_test_add_func("/users-signals/to-each-who-asked-and-may-see-once", test_unicast);
        g_test_add_func("/users-signals/of-one-runtime", test_of_one_runtime);
        g_test_add_func("/users-signals/forged-by-another", test_forged);
        g_test_add_func("/users-signals/output", test_output);
        g_test_add_func("/users-signals/a-line-that-comes-while-the-one-before-is-sent", test_line_in_between);
        g_test_add_func("/users-signals/lines-that-the-connection-refused-come-later", test_refused_lines);
        g_test_add_func("/users-signals/a-gap-that-the-connection-refused-is-told-later", test_refused_gap);
        g_test_add_func("/users-signals/a-keeper-that-could-not-be-asked-is-asked-again", test_refused_watch);
        g_test_add_func("/users-signals/of-one-started-for-another", test_ids);
        g_test_add_func("/users-signals/behind/told-the-present-when-it-reads", test_full_window);
        g_test_add_func("/users-signals/behind/the-end-comes-behind-the-last-line", test_end_behind_the_last_line);
        g_test_add_func("/users-signals/behind/leaving", test_unsubscribed_while_behind);
        g_test_add_func("/users-signals/quota", test_quota);
        g_test_add_func("/users-signals/restart/they-go-on", test_restart);
        g_test_add_func("/users-signals/restart/another-under-the-same-name", test_restart_with_another);
        r = g_test_run();
        private_bus_stop();
        return r;
}
