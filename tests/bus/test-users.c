/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What alice has is for bob as if it never was: whichever way he asks, he is answered as about what isn't there, to the letter. */

#include <string.h>

#include "bus/peer.h"
#include "core/sd-autoptr.h"
#include "loop.h"
#include "private-bus.h"
#include "users.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/output-frame.h"

#define ALICES RM_RUNTIME_PREFIX "/u1_a"
#define NEVER RM_RUNTIME_PREFIX "/u1_z"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define INTROSPECTABLE "org.freedesktop.DBus.Introspectable"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

/* The same text about a in what is said of z. */
static char *about_a(const char *text) {
        g_auto(GStrv) parts = g_strsplit(text, "u1_z", -1);

        return g_strjoinv("u1_a", parts);
}

static void assert_hidden(Client *client, const char *interface, const char *member, const char *types, const char *one, const char *two) {
        g_autoptr(sd_bus_message) of_hers = client_call(client, ALICES, interface, member, types, one, two);
        g_autoptr(sd_bus_message) of_none = client_call(client, NEVER, interface, member, types, one, two);
        g_autofree char *found = answer_to_text(of_hers), *none = answer_to_text(of_none), *expected = about_a(none);

        g_assert_cmpstr(found, ==, expected);
        g_assert_true(g_str_has_prefix(found, SD_BUS_ERROR_UNKNOWN_OBJECT ": "));
}

static void test_objects(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) bob = client_new(world, BOB);

        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        assert_hidden(bob, INTROSPECTABLE, "Introspect", NULL, NULL, NULL);
        assert_hidden(bob, PROPERTIES, "Get", "ss", RM_RUNTIME_INTERFACE, "State");
        assert_hidden(bob, PROPERTIES, "Get", "ss", RM_RUNTIME_INTERFACE, "NoSuchProperty");
        assert_hidden(bob, PROPERTIES, "Get", "ss", "no.such.interface", "State");
        assert_hidden(bob, PROPERTIES, "GetAll", "s", RM_RUNTIME_INTERFACE, NULL);
        assert_hidden(bob, PROPERTIES, "GetAll", "s", "", NULL);
        assert_hidden(bob, OBJECT_MANAGER, "GetManagedObjects", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "Forget", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "Restart", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "GetConnection", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "Interrupt", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "OpenInput", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "OpenOutput", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "ReleaseOwnership", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "Unsubscribe", NULL, NULL, NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "NoSuchMethod", NULL, NULL, NULL);
        /* With arguments of a wrong type, too. */
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "Stop", "s", "", NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "Subscribe", "s", "", NULL);
        assert_hidden(bob, RM_RUNTIME_INTERFACE, "TakeOwnership", "s", "", NULL);
}

/* Reading takes seeing; to hold the runtime back for it is for its owner, and for who has started it. */
static void test_holding_back(void) {
        QuotaLimits limits = {.starts_per_second = UINT64_MAX, .starts_burst = UINT64_MAX};
        g_autoptr(World) world = NULL;
        g_autoptr(Client) alice = NULL, bob = NULL, root = NULL;

        for (size_t i = 0; i < ELEMENTSOF(limits.max); i++)
                limits.max[i] = UINT64_MAX;
        world = world_new(&limits);
        alice = client_new(world, ALICE);
        bob = client_new(world, BOB);
        root = client_new(world, 0);
        fake_runtime_add(world->manager, ALICE, BOB, "a");
        for (unsigned i = 0; i < 3; i++)
                assert_answer_has(client_call((Client *[]){alice, bob, root}[i], ALICES, NULL, "OpenOutput", "tu", UINT64_C(0), OUTPUT_FRAMED),
                                  FAKE_OUTPUT_OPEN);
        assert_answer_has(client_call(bob, ALICES, NULL, "OpenOutput", "tu", UINT64_C(0), OUTPUT_LOSSLESS), FAKE_OUTPUT_OPEN);
        assert_answer_has(client_call(alice, ALICES, NULL, "OpenOutput", "tu", UINT64_C(0), OUTPUT_LOSSLESS), SD_BUS_ERROR_ACCESS_DENIED ": ");
        assert_answer_has(client_call(root, ALICES, NULL, "OpenOutput", "tu", UINT64_C(0), OUTPUT_LOSSLESS), SD_BUS_ERROR_ACCESS_DENIED ": ");
        sd_bus_message_unref(client_call(alice, ALICES, NULL, "TakeOwnership", "a{sv}", 0));
        assert_answer_has(client_call(alice, ALICES, NULL, "OpenOutput", "tu", UINT64_C(0), OUTPUT_LOSSLESS), FAKE_OUTPUT_OPEN);
        assert_answer_has(client_call(root, ALICES, NULL, "OpenOutput", "tu", UINT64_C(0), OUTPUT_LOSSLESS), SD_BUS_ERROR_ACCESS_DENIED ": ");
}

static void test_trees(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB), root = client_new(world, 0);
        static const char *const paths[] = {"/", "/org", "/org/example", RM_OBJECT_PATH, RM_RUNTIME_PREFIX};
        g_autofree char *before[ELEMENTSOF(paths)] = {0};

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                g_autoptr(sd_bus_message) answer = client_call(bob, paths[i], INTROSPECTABLE, "Introspect", NULL);

                before[i] = answer_to_text(answer);
        }
        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                assert_answer(client_call(bob, paths[i], INTROSPECTABLE, "Introspect", NULL), before[i]);
                g_free(g_steal_pointer(&before[i]));
        }
        assert_answer_has(client_call(alice, RM_OBJECT_PATH, INTROSPECTABLE, "Introspect", NULL), "u1_a");
        assert_answer_has(client_call(alice, RM_RUNTIME_PREFIX, INTROSPECTABLE, "Introspect", NULL), "u1_a");
        assert_answer_has(client_call(root, RM_RUNTIME_PREFIX, INTROSPECTABLE, "Introspect", NULL), "u1_a");
}

static bool contains(sd_bus_message *answer, const char *text) {
        g_autoptr(sd_bus_message) owned = answer;
        g_autofree char *found = answer_to_text(owned);

        return strstr(found, text) != NULL;
}

static void test_lists(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB), root = client_new(world, 0);

        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        fake_runtime_add(world->manager, BOB, BOB, "b");
        g_assert_false(contains(client_call(bob, NULL, OBJECT_MANAGER, "GetManagedObjects", NULL), "u1"));
        g_assert_true(contains(client_call(bob, NULL, OBJECT_MANAGER, "GetManagedObjects", NULL), "u2_b"));
        g_assert_false(contains(client_call(bob, NULL, NULL, "ListRuntimes", "a{sv}", 0), "u1"));
        g_assert_false(contains(client_call(bob, NULL, NULL, "ListRuntimes", "a{sv}", 1, "UID", "u", ALICE), "STRING \"u1"));
        g_assert_true(contains(client_call(bob, NULL, NULL, "ListRuntimes", "a{sv}", 0), "u2_b"));
        g_assert_true(contains(client_call(alice, NULL, NULL, "ListRuntimes", "a{sv}", 1, "StarterUID", "u", ALICE), "u1_a"));
        g_assert_true(contains(client_call(root, NULL, NULL, "ListRuntimes", "a{sv}", 0), "STRING \"u1_a\""));
        g_assert_true(contains(client_call(root, NULL, OBJECT_MANAGER, "GetManagedObjects", NULL), "u2_b"));
        assert_answer_has(client_call(bob, RM_OBJECT_PATH, PROPERTIES, "Get", "ss", RM_MANAGER_INTERFACE, "RuntimeCount"), "UINT32 1;");
        assert_answer_has(client_call(root, RM_OBJECT_PATH, PROPERTIES, "Get", "ss", RM_MANAGER_INTERFACE, "RuntimeCount"), "UINT32 0;");
}

#define NO_SUCH(id) RM_ERROR_NO_SUCH_RUNTIME ": There is no runtime \"" id "\"; ListRuntimes tells which there are."

static void test_ids(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB), root = client_new(world, 0);
        Runtime *hers = fake_runtime_add(world->manager, ALICE, ALICE, "a");

        assert_answer(client_call(bob, NULL, NULL, "GetRuntime", "s", "a"), NO_SUCH("a"));
        assert_answer(client_call(bob, NULL, NULL, "GetRuntime", "s", "u1_a"), NO_SUCH("u1_a"));
        assert_answer(client_call(bob, NULL, NULL, "GetRuntime", "s", "u1_z"), NO_SUCH("u1_z"));
        assert_answer(client_call(bob, NULL, NULL, "WaitRuntime", "ss", "u1_a", "nonsense"), NO_SUCH("u1_a"));
        assert_answer(client_call(bob, NULL, NULL, "StopRuntime", "sa{sv}", "u1_a", 1, "Nonsense", "s", ""), NO_SUCH("u1_a"));
        assert_answer(client_call(bob, NULL, NULL, "KillRuntime", "ssi", "u1_a", "nonsense", 0), NO_SUCH("u1_a"));
        g_assert_cmpuint(fake_runtime_get_stopped_by(hers), ==, UID_UNKNOWN);
        /* By its process: the first in the list, and none. */
        assert_answer(client_call(bob, NULL, NULL, "GetRuntimeByPID", "u", 1), RM_ERROR_NO_SUCH_RUNTIME ": There is no process 1 that belongs to a runtime.");
        assert_answer(client_call(bob, NULL, NULL, "GetRuntimeByPID", "u", 7), RM_ERROR_NO_SUCH_RUNTIME ": There is no process 7 that belongs to a runtime.");

        assert_answer_has(client_call(alice, NULL, NULL, "GetRuntime", "s", "a"), ALICES);
        assert_answer_has(client_call(alice, NULL, NULL, "GetRuntimeByPID", "u", 1), "STRING \"a\"");
        assert_answer(client_call(root, NULL, NULL, "GetRuntime", "s", "a"), NO_SUCH("a"));
        assert_answer_has(client_call(root, NULL, NULL, "GetRuntimeByPID", "u", 1), "STRING \"u1_a\"");
        sd_bus_message_unref(client_call(root, NULL, NULL, "StopRuntime", "sa{sv}", "u1_a", 0));
        g_assert_cmpuint(fake_runtime_get_stopped_by(hers), ==, 0);
        sd_bus_message_unref(client_call(alice, ALICES, NULL, "Stop", "a{sv}", 0));
        g_assert_cmpuint(fake_runtime_get_stopped_by(hers), ==, ALICE);

        /* Each has an own of the same id. */
        fake_runtime_add(world->manager, BOB, BOB, "a");
        assert_answer_has(client_call(bob, NULL, NULL, "GetRuntime", "s", "a"), RM_RUNTIME_PREFIX "/u2_a");
        assert_answer_has(client_call(alice, NULL, NULL, "GetRuntime", "s", "a"), ALICES);
}

/* An id of bob's that is the name of alice's. */
static void test_an_id_like_a_name(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);

        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        fake_runtime_add(world->manager, BOB, BOB, "u1_a");
        assert_answer_has(client_call(bob, NULL, NULL, "GetRuntime", "s", "u1_a"), RM_RUNTIME_PREFIX "/u2_u1_a");
        assert_answer_has(client_call(alice, NULL, NULL, "GetRuntime", "s", "u1_a"), ALICES);
}

static void test_the_starter(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);

        /* bob has started it for alice. */
        fake_runtime_add(world->manager, ALICE, BOB, "a");
        assert_answer_has(client_call(bob, NULL, NULL, "GetRuntime", "s", "u1_a"), ALICES);
        assert_answer_has(client_call(bob, ALICES, PROPERTIES, "Get", "ss", RM_RUNTIME_INTERFACE, "UID"), "UINT32 1;");
        assert_answer_has(client_call(bob, ALICES, PROPERTIES, "Get", "ss", RM_RUNTIME_INTERFACE, "StarterUID"), "UINT32 2;");
        assert_answer_has(client_call(alice, NULL, NULL, "GetRuntime", "s", "a"), ALICES);
        g_assert_true(contains(client_call(bob, NULL, NULL, "ListRuntimes", "a{sv}", 1, "StarterUID", "u", BOB), "STRING \"u1_a\""));
}

/* An administrator who isn't root: one runtime at a time, named, by polkit's word; what there is it is told by nothing. */
static void test_manage(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) bob = client_new(world, BOB);
        Runtime *hers = fake_runtime_add(world->manager, ALICE, ALICE, "a");
        guint n;

        assert_answer_has(client_call(bob, ALICES, NULL, "Stop", "a{sv}", 0), SD_BUS_ERROR_UNKNOWN_OBJECT);
        n = fake_polkit_get_n_questions(world->polkit);
        assert_answer_has(client_call(bob, NEVER, NULL, "Stop", "a{sv}", 0), SD_BUS_ERROR_UNKNOWN_OBJECT);
        /* It is as much work to say that. */
        g_assert_cmpuint(n, ==, 1);
        g_assert_cmpuint(fake_polkit_get_n_questions(world->polkit), ==, 2);
        g_assert_cmpuint(fake_runtime_get_stopped_by(hers), ==, UID_UNKNOWN);

        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_YES);
        sd_bus_message_unref(client_call(bob, ALICES, NULL, "Stop", "a{sv}", 0));
        g_assert_cmpuint(fake_runtime_get_stopped_by(hers), ==, BOB);
        assert_answer_has(client_call(bob, NULL, NULL, "GetRuntime", "s", "u1_a"), ALICES);
        assert_answer_has(client_call(bob, ALICES, PROPERTIES, "Get", "ss", RM_RUNTIME_INTERFACE, "UID"), "UINT32 1;");
        assert_answer(client_call(bob, NULL, NULL, "GetRuntime", "s", "u1_z"), NO_SUCH("u1_z"));
        g_assert_false(contains(client_call(bob, NULL, NULL, "ListRuntimes", "a{sv}", 0), "u1_a"));
        g_assert_false(contains(client_call(bob, NULL, OBJECT_MANAGER, "GetManagedObjects", NULL), "u1_a"));
        g_assert_false(contains(client_call(bob, RM_RUNTIME_PREFIX, INTROSPECTABLE, "Introspect", NULL), "u1_a"));
        /* Not the answer of before. */
        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_NO);
        assert_answer_has(client_call(bob, ALICES, NULL, "Stop", "a{sv}", 0), SD_BUS_ERROR_UNKNOWN_OBJECT);
}

static void test_start(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE), root = client_new(world, 0), stranger = client_new(world, STRANGER);

        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_YES);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "Id", "s", "a"), ALICES);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 2, "Id", "s", "b", "User", "s", "alice"), "STRING \"b\"");
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 2, "Id", "s", "c", "User", "s", "1"), "STRING \"c\"");
        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_NO);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "Id", "s", "d"), SD_BUS_ERROR_ACCESS_DENIED);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", "bob"), SD_BUS_ERROR_ACCESS_DENIED);
        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_YES);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 2, "Id", "s", "e", "User", "s", "bob"), "STRING \"u2_e\"");
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", "root"), SD_BUS_ERROR_ACCESS_DENIED);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", "0"), SD_BUS_ERROR_ACCESS_DENIED);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", "daemon"), SD_BUS_ERROR_ACCESS_DENIED);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", "nosuch"),
                          RM_ERROR_INVALID_OPTION ": There is no user \"nosuch\";");
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", "a\nb"), RM_ERROR_INVALID_OPTION);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", ""), RM_ERROR_INVALID_OPTION);
        assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "u", ALICE), RM_ERROR_INVALID_OPTION);
        assert_answer_has(client_call(stranger, NULL, NULL, "StartRuntime", "sa{sv}", "command", 0), RM_ERROR_INVALID_OPTION ": There is no user \"3\";");

        assert_answer(client_call(root, NULL, NULL, "StartRuntime", "sa{sv}", "command", 0),
                      RM_ERROR_INVALID_OPTION ": Say User=root if root is meant, or which user the runtime is for.");
        assert_answer_has(client_call(root, NULL, NULL, "StartRuntime", "sa{sv}", "command", 2, "Id", "s", "r", "User", "s", "root"), "/u0_r");
        assert_answer_has(client_call(root, NULL, NULL, "StartRuntime", "sa{sv}", "command", 2, "Id", "s", "r", "User", "s", "bob"), "STRING \"u2_r\"");
        assert_answer_has(client_call(root, RM_RUNTIME_PREFIX "/u2_r", PROPERTIES, "Get", "ss", RM_RUNTIME_INTERFACE, "StarterUID"), "UINT32 0;");
        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_NO);
        assert_answer_has(client_call(alice, RM_RUNTIME_PREFIX "/u0_r", NULL, "Stop", "a{sv}", 0), SD_BUS_ERROR_UNKNOWN_OBJECT);
}

static void test_start_waits_for_the_user(void) {
        QuotaLimits limits = {.max = {UINT64_MAX, UINT64_MAX, UINT64_MAX, 2, UINT64_MAX}, .starts_per_second = UINT64_MAX, .starts_burst = UINT64_MAX};
        g_autoptr(World) world = world_new(&limits);
        g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(Client) bob = client_new(world, BOB);
        Client *alice = client_new(world, ALICE);

        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_YES);
        fake_manager_hold_users(world->manager);
        for (unsigned i = 0; i < 3; i++)
                client_send(alice, answers, "start", NULL, NULL, "StartRuntime", "sa{sv}", "command", 0);
        /* The quota is of two calls, and hers alone. */
        AWAIT(answers->len == 1);
        g_assert_cmpstr(answers->pdata[0], ==, "start: " RM_ERROR_LIMIT_EXCEEDED);
        client_send(bob, answers, "bob", NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "Id", "s", "b");
        client_sync(bob);
        g_assert_cmpuint(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_CALLS), ==, 2);
        /* Who leaves meanwhile starts nothing. */
        client_free(alice);
        AWAIT(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_CALLS) == 0);
        fake_manager_let_users_go(world->manager);
        AWAIT(answers->len == 2);
        g_assert_cmpstr(answers->pdata[1], ==, "bob: b");
        g_assert_cmpuint(manager_get_n_runtimes(world->manager, ALICE), ==, 0);
        g_assert_cmpuint(quotas_get(manager_get_quotas(world->manager), BOB, QUOTA_CALLS), ==, 0);
}

/* polkit's word counts for the call that it was asked about, whatever is called while it is looked up who the user is. */
static void test_start_is_asked_about_once(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(Client) alice = client_new(world, ALICE), bob = client_new(world, BOB);

        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_WAIT);
        client_send(alice, answers, "alice", NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "Id", "s", "a");
        AWAIT(fake_polkit_get_n_waiting(world->polkit) == 1);
        fake_manager_hold_users(world->manager);
        fake_polkit_release(world->polkit, FAKE_POLKIT_YES);
        AWAIT(fake_manager_get_n_held(world->manager) == 1);
        client_sync(bob);
        fake_manager_let_users_go(world->manager);
        AWAIT(answers->len == 1 || fake_polkit_get_n_questions(world->polkit) > 1);
        g_assert_cmpuint(fake_polkit_get_n_questions(world->polkit), ==, 1);
        g_assert_cmpstr(answers->pdata[0], ==, "alice: a");

        /* It doesn't for the next. */
        client_send(alice, answers, "alice", NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "Id", "s", "a");
        AWAIT(fake_polkit_get_n_waiting(world->polkit) == 1);
        fake_polkit_release(world->polkit, FAKE_POLKIT_NO);
        AWAIT(answers->len == 2);
        g_assert_cmpstr(answers->pdata[1], ==, "alice: " SD_BUS_ERROR_ACCESS_DENIED);
}

/* Nor does the connection's end leave anything behind, nor that of the service. */
static void test_start_ends_with_its_verdict(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(Client) bob = client_new(world, BOB);
        Client *alice = client_new(world, ALICE);

        fake_polkit_set_answer(world->polkit, FAKE_POLKIT_WAIT);
        for (unsigned i = 0; i < 2; i++)
                client_send(i ? bob : alice, answers, "x", NULL, NULL, "StartRuntime", "sa{sv}", "command", 0);
        AWAIT(fake_polkit_get_n_waiting(world->polkit) == 2);
        fake_manager_hold_users(world->manager);
        fake_polkit_release(world->polkit, FAKE_POLKIT_YES);
        fake_polkit_release(world->polkit, FAKE_POLKIT_YES);
        AWAIT(fake_manager_get_n_held(world->manager) == 2);
        client_free(alice);
        AWAIT(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_CALLS) == 0);
        world_stop(world);
        g_assert_cmpuint(answers->len, ==, 0);
}

/* A refusal quotes what it is about, in part if that is long: whole characters, or no bus would carry it. */
static void test_refusals_that_quote(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) alice = client_new(world, ALICE);

        for (unsigned n = 60; n <= 64; n++) {
                g_autofree char *head = g_strnfill(n, 'x'), *text = g_strconcat(head, "\u20ac\u20ac", NULL);

                assert_answer_has(client_call(alice, NULL, NULL, "GetRuntime", "s", text), RM_ERROR_NO_SUCH_RUNTIME);
                assert_answer_has(client_call(alice, NULL, NULL, "ListRuntimes", "a{sv}", 1, text, "s", ""), RM_ERROR_INVALID_OPTION);
                assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, "User", "s", text), RM_ERROR_INVALID_OPTION);
                assert_answer_has(client_call(alice, NULL, NULL, "StartRuntime", "sa{sv}", "command", 1, text, "s", ""), RM_ERROR_INVALID_OPTION);
        }
}

/* Before it is known who calls, and all at once. */
static void test_order(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(Client) alice = client_new(world, ALICE);

        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        for (unsigned i = 0; i < LIMIT_UNKNOWN_CALLS; i++) {
                g_autofree char *text = g_strdup_printf("%u", i);

                if (i % 2)
                        client_send(alice, answers, text, NULL, NULL, "GetRuntime", "s", "nosuch");
                else
                        client_send(alice, answers, text, ALICES, NULL, "ReadOutput", "s", "");
        }
        AWAIT(answers->len == LIMIT_UNKNOWN_CALLS);
        for (unsigned i = 0; i < LIMIT_UNKNOWN_CALLS; i++) {
                g_autofree char *expected = g_strdup_printf("%u: %s", i, i % 2 ? RM_ERROR_NO_SUCH_RUNTIME : SD_BUS_ERROR_INVALID_ARGS);

                g_assert_cmpstr(answers->pdata[i], ==, expected);
        }
}

static void test_too_many_before(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(Client) alice = client_new(world, ALICE);
        unsigned n = 0;

        for (unsigned i = 0; i < 4 * LIMIT_UNKNOWN_CALLS; i++)
                client_send(alice, answers, "x", NULL, NULL, "GetRuntime", "s", "nosuch");
        AWAIT(answers->len == 4 * LIMIT_UNKNOWN_CALLS);
        for (unsigned i = 0; i < answers->len; i++)
                n += strcmp(answers->pdata[i], "x: " RM_ERROR_NO_SUCH_RUNTIME) == 0;
        g_assert_cmpuint(n, >=, LIMIT_UNKNOWN_CALLS);
        /* Later calls are as usual. */
        assert_answer(client_call(alice, NULL, NULL, "GetRuntime", "s", "a"), NO_SUCH("a"));
}

/* Gone before the bus has told who it was. */
static void test_vanished(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(Client) bob = client_new(world, BOB);

        for (unsigned i = 0; i < 20; i++) {
                g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
                Client *alice = client_new(world, ALICE);

                client_send(alice, answers, "x", NULL, NULL, "StartRuntime", "sa{sv}", "command", 0);
                client_send(alice, answers, "x", NULL, NULL, "Subscribe", "u", 3);
                g_assert_cmpint(sd_bus_flush(alice->bus), >=, 0);
                client_free(alice);
        }
        client_sync(bob);
        AWAIT(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_SUBSCRIBERS) == 0);
        AWAIT(quotas_get(manager_get_quotas(world->manager), ALICE, QUOTA_CALLS) == 0);
}

static void test_many_unknown(void) {
        g_autoptr(World) world = world_new(NULL);
        g_autoptr(GPtrArray) answers = g_ptr_array_new_with_free_func(g_free);
        Client *clients[60];

        fake_runtime_add(world->manager, ALICE, ALICE, "a");
        for (unsigned i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client_new(world, i % 2 ? ALICE : BOB);
                client_send(clients[i], answers, i % 2 ? "alice" : "bob", ALICES, NULL, "Unsubscribe", NULL);
        }
        AWAIT(answers->len == ELEMENTSOF(clients));
        for (unsigned i = 0; i < answers->len; i++)
                g_assert_true(strcmp(answers->pdata[i], "alice: ") == 0 || strcmp(answers->pdata[i], "bob: " SD_BUS_ERROR_UNKNOWN_OBJECT) == 0);
        for (unsigned i = 0; i < ELEMENTSOF(clients); i++)
                client_free(clients[i]);
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        if (!users_can_be_had())
                return 0;
        g_test_add_func("/users/hidden/objects", test_objects);
        g_test_add_func("/users/holding-a-runtime-back", test_holding_back);
        g_test_add_func("/users/hidden/introspection-of-the-tree", test_trees);
        g_test_add_func("/users/hidden/lists", test_lists);
        g_test_add_func("/users/hidden/ids-and-processes", test_ids);
        g_test_add_func("/users/an-id-like-a-name-of-another", test_an_id_like_a_name);
        g_test_add_func("/users/the-starter-sees-it", test_the_starter);
        g_test_add_func("/users/an-administrator-with-the-word-of-polkit", test_manage);
        g_test_add_func("/users/start/for-whom", test_start);
        g_test_add_func("/users/start/waits-for-the-user", test_start_waits_for_the_user);
        g_test_add_func("/users/start/asked-about-once", test_start_is_asked_about_once);
        g_test_add_func("/users/start/ends-with-its-verdict", test_start_ends_with_its_verdict);
        g_test_add_func("/users/refusals-that-quote", test_refusals_that_quote);
        g_test_add_func("/users/callers/their-calls-stay-in-order", test_order);
        g_test_add_func("/users/callers/too-many-calls-before-they-are-known", test_too_many_before);
        g_test_add_func("/users/callers/gone-before-they-are-known", test_vanished);
        g_test_add_func("/users/callers/many-at-once", test_many_unknown);
        r = g_test_run();
        private_bus_stop();
        return r;
}
