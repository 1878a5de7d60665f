/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may do what. What isn't allowed must look as if it weren't there. */

#include "bus/auth.h"

#include <string.h>

#include "auth-fixture.h"
#include "loop.h"
#include "private-bus.h"

static void test_own_runtimes_need_no_polkit(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) own = stop(fixture, fixture->alice, RUNTIME("u1001_mine"));
        g_autoptr(Call) by_bob = NULL, started = NULL, by_root = NULL, by_id = NULL;

        assert_done(own, "Stop u1001_mine 1001;");
        /* What bob has started as alice is hers and his. */
        started = stop(fixture, fixture->alice, RUNTIME("u1001_for_alice"));
        assert_done(started, "Stop u1001_for_alice 1001;");
        by_bob = stop(fixture, fixture->bob, RUNTIME("u1001_for_alice"));
        assert_done(by_bob, "Stop u1001_for_alice 1002;");
        by_root = stop(fixture, fixture->root, RUNTIME("u1002_his"));
        assert_done(by_root, "Stop u1002_his 0;");
        by_id = call_wait(fixture, fixture->alice, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StopRuntime", body_by_id("mine"), FALSE);
        assert_done(by_id, "StopRuntime u1001_mine 1001;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 0);
}

typedef struct Attempt {
        const char *interface, *member, *body;
} Attempt;

static void test_others_runtimes_are_not_there(void) {
        static const Attempt attempts[] = {
                {RM_RUNTIME_INTERFACE, "Stop", "(@a{sv} {},)"},
                {RM_RUNTIME_INTERFACE, "Stop", "('wrong',)"},
                {RM_RUNTIME_INTERFACE, "Restart", NULL},
                {RM_RUNTIME_INTERFACE, "WriteInput", "(@ay [1, 2],)"},
                {RM_RUNTIME_INTERFACE, "Unlisted", NULL},
                {RM_RUNTIME_INTERFACE, "NoSuchMethod", NULL},
                {NULL, "Stop", "(@a{sv} {},)"},
                {RM_MANAGER_INTERFACE, "ListKinds", NULL},
                {"org.freedesktop.DBus.Properties", "Get", "('" RM_RUNTIME_INTERFACE "', 'State')"},
                {"org.freedesktop.DBus.Properties", "GetAll", "('" RM_RUNTIME_INTERFACE "',)"},
                {"org.freedesktop.DBus.Properties", "Set", "('" RM_RUNTIME_INTERFACE "', 'State', <'ended'>)"},
                {"org.freedesktop.DBus.Introspectable", "Introspect", NULL},
                {"org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL},
        };
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_NO);
        for (size_t i = 0; i < G_N_ELEMENTS(attempts); i++) {
                const Attempt *attempt = &attempts[i];
                GVariant *body = attempt->body ? g_variant_new_parsed(attempt->body) : NULL;
                GVariant *same = attempt->body ? g_variant_new_parsed(attempt->body) : NULL;
                g_autoptr(Call) there = call_wait(fixture, fixture->bob, RUNTIME("u1001_mine"), attempt->interface, attempt->member, body, FALSE);
                g_autoptr(Call) never = call_wait(fixture, fixture->bob, RUNTIME("u1001_none"), attempt->interface, attempt->member, same, FALSE);
                const FakePolkitQuestion *one, *other;

                g_test_message("%s", attempt->member);
                assert_refused(there, "org.freedesktop.DBus.Error.UnknownObject");
                assert_same_refusal(there, "u1001_mine", never, "u1001_none");
                /* And asked for in the same way. */
                g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 2 * (i + 1));
                one = fake_polkit_get_question(fixture->polkit, 2 * i);
                other = fake_polkit_get_question(fixture->polkit, 2 * i + 1);
                g_assert_cmpstr(one->action, ==, RM_ACTION_MANAGE);
                g_assert_cmpstr(other->action, ==, RM_ACTION_MANAGE);
                g_assert_cmpuint(g_hash_table_size(one->details), ==, g_hash_table_size(other->details));
                g_assert_cmpstr(fake_polkit_question_get_detail(one, "id"), ==, "u1001_mine");
                g_assert_cmpstr(fake_polkit_question_get_detail(other, "id"), ==, "u1001_none");
                g_assert_cmpstr(fake_polkit_question_get_detail(one, "owner"), ==, "1001");
                g_assert_cmpstr(fake_polkit_question_get_detail(other, "owner"), ==, "1001");
        }
}

static void test_others_ids_are_not_there(void) {
        static const char *const members[] = {"StopRuntime", "GetRuntime"};
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_CHALLENGE);
        for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
                bool options = i == 0;
                g_autoptr(Call) there = call_wait(fixture, fixture->bob, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, members[i],
                                                  options ? body_by_id("u1001_mine") : g_variant_new("(s)", "u1001_mine"), FALSE);
                g_autoptr(Call) never = call_wait(fixture, fixture->bob, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, members[i],
                                                  options ? body_by_id("u1001_none") : g_variant_new("(s)", "u1001_none"), FALSE);

                assert_refused(there, RM_ERROR_NO_SUCH_RUNTIME);
                assert_same_refusal(there, "u1001_mine", never, "u1001_none");
                g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 2 * (i + 1));
        }
}

/* A mistyped id is no reason for a password. */
static void test_own_names_that_are_nothing_ask_nobody(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) by_id = call_wait(fixture, fixture->alice, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StopRuntime", body_by_id("nine"), TRUE);
        g_autoptr(Call) by_path = stop(fixture, fixture->alice, RUNTIME("u1001_nine"));
        g_autoptr(Call) by_nonsense = stop(fixture, fixture->alice, RUNTIME("nonsense"));

        assert_refused(by_id, RM_ERROR_NO_SUCH_RUNTIME);
        assert_refused(by_path, "org.freedesktop.DBus.Error.UnknownObject");
        assert_refused(by_nonsense, "org.freedesktop.DBus.Error.UnknownObject");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 0);
}

static void test_polkit_lets_an_admin_manage(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) by_path = stop(fixture, fixture->carol, RUNTIME("u1001_mine"));
        g_autoptr(Call) by_id = NULL, restart = NULL, get = NULL, never = NULL, unlisted = NULL;
        const FakePolkitQuestion *question = fake_polkit_get_question(fixture->polkit, 0);

        assert_done(by_path, "Stop u1001_mine 1003;");
        g_assert_cmpstr(question->subject_kind, ==, "system-bus-name");
        g_assert_cmpstr(question->subject_name, ==, g_dbus_connection_get_unique_name(fixture->carol->bus));
        g_assert_cmpstr(question->action, ==, RM_ACTION_MANAGE);
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "verb"), ==, "Stop");
        g_assert_cmpuint(question->flags, ==, 0);

        by_id = call_wait(fixture, fixture->carol, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StopRuntime", body_by_id("u1001_mine"), FALSE);
        assert_done(by_id, "StopRuntime u1001_mine 1003;");
        restart = call_wait(fixture, fixture->carol, RUNTIME("u1001_mine"), RM_RUNTIME_INTERFACE, "Restart", NULL, FALSE);
        assert_done(restart, "Restart u1001_mine 1003;");
        get = call_wait(fixture, fixture->carol, RUNTIME("u1001_mine"), "org.freedesktop.DBus.Properties", "Get",
                        g_variant_new("(ss)", RM_RUNTIME_INTERFACE, "State"), FALSE);
        assert_done(get, "");
        /* The answer is for one call: each asks anew. */
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 4);

        never = stop(fixture, fixture->carol, RUNTIME("u1001_none"));
        assert_refused(never, "org.freedesktop.DBus.Error.UnknownObject");
        unlisted = call_wait(fixture, fixture->carol, RUNTIME("u1001_mine"), RM_RUNTIME_INTERFACE, "Unlisted", NULL, FALSE);
        assert_refused(unlisted, "org.freedesktop.DBus.Error.UnknownMethod");
}

static void test_a_runtime_that_goes_while_polkit_thinks(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        call = call_begin(fixture, fixture->carol, RUNTIME("u1001_mine"), RM_RUNTIME_INTERFACE, "Stop", no_options(), FALSE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == 1);
        g_ptr_array_add(fixture->gone, (gpointer) &rows[0]);
        fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(call->done);
        assert_refused(call, "org.freedesktop.DBus.Error.UnknownObject");
}

static void test_a_start_asks(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) own = NULL, again = NULL, other = NULL, by_root = NULL, refused = NULL;
        const FakePolkitQuestion *question;

        fixture->start_id = "my_id";
        own = start(fixture, fixture->alice, FALSE);
        assert_done(own, "StartRuntime - 1001;");
        question = fake_polkit_get_question(fixture->polkit, 0);
        g_assert_cmpstr(question->action, ==, RM_ACTION_START);
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "kind"), ==, "command");
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "id"), ==, "my_id");
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "owner"), ==, "1001");
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "user"), ==, "some one");

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_NO);
        again = start(fixture, fixture->alice, FALSE);
        assert_refused(again, "org.freedesktop.DBus.Error.AccessDenied");
        fixture->start_uid = ALICE;
        refused = start(fixture, fixture->bob, FALSE);
        assert_refused(refused, "org.freedesktop.DBus.Error.AccessDenied");
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        other = start(fixture, fixture->bob, FALSE);
        assert_done(other, "StartRuntime - 1002;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 4);
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 3)->action, ==, RM_ACTION_START_AS_USER);

        by_root = start(fixture, fixture->root, FALSE);
        assert_done(by_root, "StartRuntime - 0;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 4);
}

static void test_nobody_but_root_starts_as_root(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL;

        fixture->start_uid = UID_NOBODYS;
        call = start(fixture, fixture->alice, TRUE);
        assert_refused(call, "org.freedesktop.DBus.Error.AccessDenied");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 0);
}

/* What a start asked for when it was allowed is what is started. */
static void test_a_verdict_is_for_its_question(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        call = start_begin(fixture, fixture->bob, FALSE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == 1);
        fixture->start_uid = ALICE;
        fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(fake_polkit_get_n_questions(fixture->polkit) == 2);
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 0)->action, ==, RM_ACTION_START);
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 1)->action, ==, RM_ACTION_START_AS_USER);
        fake_polkit_release(fixture->polkit, FAKE_POLKIT_NO);
        AWAIT(call->done);
        assert_refused(call, "org.freedesktop.DBus.Error.AccessDenied");
}

static void test_a_restart_takes_what_a_start_takes(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) own = call_wait(fixture, fixture->alice, RUNTIME("u1001_mine"), RM_RUNTIME_INTERFACE, "Restart", NULL, FALSE);
        g_autoptr(Call) other = NULL;
        const FakePolkitQuestion *question;

        assert_done(own, "Restart u1001_mine 1001;");
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 0)->action, ==, RM_ACTION_START);
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_NO);
        other = call_wait(fixture, fixture->bob, RUNTIME("u1001_for_alice"), RM_RUNTIME_INTERFACE, "Restart", NULL, FALSE);
        assert_refused(other, "org.freedesktop.DBus.Error.AccessDenied");
        question = fake_polkit_get_question(fixture->polkit, 1);
        g_assert_cmpstr(question->action, ==, RM_ACTION_START_AS_USER);
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "verb"), ==, "Restart");
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "kind"), ==, "mix-standalone");
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "user"), ==, "alice");
        g_assert_cmpstr(fake_polkit_question_get_detail(question, "id"), ==, "u1001_for_alice");
}

static void test_reload_is_for_admins(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) by_alice = NULL, by_carol = NULL, by_root = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_NO);
        by_alice = call_wait(fixture, fixture->alice, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Reload", NULL, FALSE);
        assert_refused(by_alice, "org.freedesktop.DBus.Error.AccessDenied");
        by_root = call_wait(fixture, fixture->root, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Reload", NULL, FALSE);
        assert_done(by_root, "Reload - 0;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 1);
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        by_carol = call_wait(fixture, fixture->carol, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Reload", NULL, FALSE);
        assert_done(by_carol, "Reload - 1003;");
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 1)->action, ==, RM_ACTION_MANAGE);
}

static void test_sums_are_for_monitors(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) by_alice = NULL, by_carol = NULL, by_root = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_NO);
        by_alice = call_wait(fixture, fixture->alice, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "GetStatistics", NULL, FALSE);
        assert_refused(by_alice, "org.freedesktop.DBus.Error.AccessDenied");
        by_root = call_wait(fixture, fixture->root, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "GetStatistics", NULL, FALSE);
        assert_done(by_root, "GetStatistics - 0;");
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        by_carol = call_wait(fixture, fixture->carol, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "GetStatistics", NULL, FALSE);
        assert_done(by_carol, "GetStatistics - 1003;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 2);
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 1)->action, ==, RM_ACTION_MONITOR);
}

static void test_what_has_no_row_is_for_nobody(void) {
        static const Attempt attempts[] = {
                {RM_MANAGER_INTERFACE, "Unlisted", NULL},
                {NULL, "ListKinds", NULL},
                {"org.freedesktop.DBus.Properties", "Get", "('" RM_MANAGER_INTERFACE "', 'Unlisted')"},
                {"org.freedesktop.DBus.Properties", "Get", "('" RM_RUNTIME_INTERFACE "', 'State')"},
                {"org.freedesktop.DBus.Properties", "Set", "('" RM_MANAGER_INTERFACE "', 'Version', <'2'>)"},
                {"org.example.Other", "ListKinds", NULL},
        };
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) listed = NULL, property = NULL;

        for (size_t i = 0; i < G_N_ELEMENTS(attempts); i++) {
                const Attempt *attempt = &attempts[i];
                g_autoptr(Call) call = call_wait(fixture, fixture->root, RM_OBJECT_PATH, attempt->interface, attempt->member,
                                                 attempt->body ? g_variant_new_parsed(attempt->body) : NULL, FALSE);

                g_test_message("%s", attempt->member);
                g_assert_nonnull(call->error);
                g_assert_cmpstr(fixture->done->str, ==, "");
        }
        listed = call_wait(fixture, fixture->carol, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListKinds", NULL, FALSE);
        assert_done(listed, "ListKinds - 1003;");
        property = call_wait(fixture, fixture->carol, RM_OBJECT_PATH, "org.freedesktop.DBus.Properties", "Get",
                             g_variant_new("(ss)", RM_MANAGER_INTERFACE, "Version"), FALSE);
        assert_done(property, "");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 0);
}

static void test_a_caller_whom_the_bus_does_not_know(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_NO);
        g_hash_table_remove_all(fixture->uids);
        call = stop(fixture, fixture->root, RUNTIME("u1001_mine"));
        assert_refused(call, "org.freedesktop.DBus.Error.UnknownObject");
}

static void test_the_session_bus_asks_nobody(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_USER);
        g_autoptr(Call) by_path = stop(fixture, fixture->bob, RUNTIME("u1001_mine"));
        g_autoptr(Call) reload = NULL, started = NULL;

        assert_done(by_path, "Stop u1001_mine 1002;");
        reload = call_wait(fixture, fixture->bob, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Reload", NULL, FALSE);
        assert_done(reload, "Reload - 1002;");
        started = start(fixture, fixture->bob, FALSE);
        assert_done(started, "StartRuntime - 1002;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 0);
}

typedef struct Interface {
        const char *name, *file;
} Interface;

static const Interface interfaces[] = {
        {RM_MANAGER_INTERFACE, "org.example.RuntimeManager.xml"},
        {RM_RUNTIME_INTERFACE, "org.example.RuntimeManager.Runtime.xml"},
};

static void test_every_member_has_a_row(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
                g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "dbus", interfaces[i].file, NULL);
                g_autofree char *text = NULL;
                g_autoptr(GDBusNodeInfo) node = NULL;
                g_autoptr(GError) error = NULL;
                GDBusInterfaceInfo *info;

                g_file_get_contents(path, &text, NULL, &error);
                g_assert_no_error(error);
                node = g_dbus_node_info_new_for_xml(text, &error);
                g_assert_no_error(error);
                info = g_dbus_node_info_lookup_interface(node, interfaces[i].name);
                g_assert_nonnull(info);
                for (GDBusMethodInfo **method = info->methods; *method; method++)
                        if (auth_method_need(info->name, (*method)->name) == AUTH_NOBODY)
                                g_error("%s of %s has no row: nobody may call it", (*method)->name, info->name);
                for (GDBusPropertyInfo **property = info->properties; *property; property++) {
                        if (auth_property_need(info->name, (*property)->name) == AUTH_NOBODY)
                                g_error("%s of %s has no row: nobody may read it", (*property)->name, info->name);
                        g_assert_cmpuint((*property)->flags, ==, G_DBUS_PROPERTY_INFO_FLAGS_READABLE);
                }
        }
        g_assert_cmpint(auth_method_need(RM_MANAGER_INTERFACE, "Unlisted"), ==, AUTH_NOBODY);
        g_assert_cmpint(auth_method_need(NULL, "ListKinds"), ==, AUTH_NOBODY);
        g_assert_cmpint(auth_method_need(RM_RUNTIME_INTERFACE, "StartRuntime"), ==, AUTH_NOBODY);
        g_assert_cmpint(auth_property_need(RM_RUNTIME_INTERFACE, "Version"), ==, AUTH_NOBODY);
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/auth/table/every-member-of-the-interface-has-a-row", test_every_member_has_a_row);
        g_test_add_func("/auth/table/what-has-no-row-is-for-nobody", test_what_has_no_row_is_for_nobody);
        g_test_add_func("/auth/own-runtimes-need-no-polkit", test_own_runtimes_need_no_polkit);
        g_test_add_func("/auth/others-runtimes-are-not-there", test_others_runtimes_are_not_there);
        g_test_add_func("/auth/others-ids-are-not-there", test_others_ids_are_not_there);
        g_test_add_func("/auth/own-names-that-are-nothing-ask-nobody", test_own_names_that_are_nothing_ask_nobody);
        g_test_add_func("/auth/a-caller-whom-the-bus-does-not-know", test_a_caller_whom_the_bus_does_not_know);
        g_test_add_func("/auth/polkit-lets-an-admin-manage", test_polkit_lets_an_admin_manage);
        g_test_add_func("/auth/a-runtime-that-goes-while-polkit-thinks", test_a_runtime_that_goes_while_polkit_thinks);
        g_test_add_func("/auth/a-start-asks", test_a_start_asks);
        g_test_add_func("/auth/nobody-but-root-starts-as-root", test_nobody_but_root_starts_as_root);
        g_test_add_func("/auth/a-verdict-is-for-its-question", test_a_verdict_is_for_its_question);
        g_test_add_func("/auth/a-restart-takes-what-a-start-takes", test_a_restart_takes_what_a_start_takes);
        g_test_add_func("/auth/reload-is-for-admins", test_reload_is_for_admins);
        g_test_add_func("/auth/sums-over-all-users-are-for-monitors", test_sums_are_for_monitors);
        g_test_add_func("/auth/the-session-bus-asks-nobody", test_the_session_bus_asks_nobody);
        r = g_test_run();
        private_bus_stop();
        return r;
}
