/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What bob can call, with alice's runtime for its object or its argument: each is answered as for a runtime that never was. */

#include <string.h>

#include "harness.h"
#include "util/names.h"
#include "victim.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"
#define INTROSPECTABLE "org.freedesktop.DBus.Introspectable"

static const Attempt stop = {"$PATH", NULL, "Stop", "(@a{sv} {},)"};
static const Attempt kill_main = {"$PATH", NULL, "Kill", "('main', 9)"};
static const Attempt interrupt = {"$PATH", NULL, "Interrupt", "()"};
static const Attempt forget = {"$PATH", NULL, "Forget", "()"};
static const Attempt get_usage = {"$PATH", NULL, "GetUsage", "()"};
static const Attempt read_output = {"$PATH", NULL, "ReadOutput", "(uint64 0, uint32 0)"};
static const Attempt read_text = {"$PATH", NULL, "ReadOutputText", "(uint64 0, uint32 0)"};
static const Attempt open_output = {"$PATH", NULL, "OpenOutput", "(uint64 0, uint32 8)"};
static const Attempt hold_back = {"$PATH", NULL, "OpenOutput", "(uint64 0, uint32 24)"};
static const Attempt open_input = {"$PATH", NULL, "OpenInput", "()"};
static const Attempt write_input = {"$PATH", NULL, "WriteInput", "([byte 0x78],)"};
static const Attempt close_input = {"$PATH", NULL, "CloseInput", "()"};
static const Attempt resize_terminal = {"$PATH", NULL, "ResizeTerminal", "(uint16 24, uint16 80)"};
static const Attempt subscribe = {"$PATH", NULL, "Subscribe", "(uint64 0, uint32 3)"};
static const Attempt unsubscribe = {"$PATH", NULL, "Unsubscribe", "()"};
static const Attempt set_limits = {"$PATH", NULL, "SetLimits", "({'TasksMax': <uint64 1>},)"};
static const Attempt take_ownership = {"$PATH", NULL, "TakeOwnership", "({'Replace': <true>},)"};
static const Attempt release_ownership = {"$PATH", NULL, "ReleaseOwnership", "()"};
static const Attempt get_connection = {"$PATH", NULL, "GetConnection", "()"};
static const Attempt restart = {"$PATH", NULL, "Restart", "()"};
static const Attempt get_all = {"$PATH", PROPERTIES, "GetAll", "('" RM_RUNTIME_INTERFACE "',)"};
static const Attempt get_all_of_all = {"$PATH", PROPERTIES, "GetAll", "('',)"};
static const Attempt wrong_arguments = {"$PATH", NULL, "Stop", "('no dictionary', 7)"};
static const Attempt unknown_method = {"$PATH", NULL, "Explode", "()"};
static const Attempt unknown_interface = {"$PATH", "org.example.Other", "Stop", "()"};
static const Attempt ping = {"$PATH", "org.freedesktop.DBus.Peer", "Frobnicate", "()"};
static const Attempt managed_there = {"$PATH", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "()"};
static const Attempt below = {"$PATH/below", NULL, "Stop", "(@a{sv} {},)"};
static const Attempt by_bare_id = {RM_RUNTIME_PREFIX "/$ID", NULL, "Stop", "(@a{sv} {},)"};
static const Attempt get_runtime = {NULL, NULL, "GetRuntime", "('$ID',)"};
static const Attempt get_runtime_by_name = {NULL, NULL, "GetRuntime", "('$NAME',)"};
static const Attempt wait_runtime = {NULL, NULL, "WaitRuntime", "('$ID', 'ended')"};
static const Attempt wait_runtime_by_name = {NULL, NULL, "WaitRuntime", "('$NAME', 'ready')"};
static const Attempt stop_runtime = {NULL, NULL, "StopRuntime", "('$ID', @a{sv} {})"};
static const Attempt stop_runtime_by_name = {NULL, NULL, "StopRuntime", "('$NAME', @a{sv} {})"};
static const Attempt kill_runtime = {NULL, NULL, "KillRuntime", "('$ID', 'all', 9)"};
static const Attempt kill_runtime_by_name = {NULL, NULL, "KillRuntime", "('$NAME', 'all', 9)"};

static void test_attempt(System *s, gconstpointer data) {
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        victim_is_hidden(&v, s->bob, data);
}

/* The same, of one that has ended and is kept. */
static void test_attempt_when_ended(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command", options_shell("echo " VICTIM_SECRET, "{'Id': <'alices_77'>}")),
                        *no_path = system_path_of(s->alice, "nobody_77");
        Victim v = {.s = s, .id = (char *) "alices_77", .ghost = (char *) "nobody_77", .path = path, .no_path = no_path};

        g_variant_unref(as_user_wait_ended(s->alice, path));
        victim_is_hidden(&v, s->bob, data);
        g_variant_unref(as_user_call(s->alice, path, "Forget", NULL));
        victim_was_not_told(&v, s->bob);
}

/* To ask for a password is no way to learn that there is something. */
static void test_interactive(System *s, gconstpointer data) {
        g_auto(Victim) v = {0};
        g_auto(Outcome) real = {0}, none = {0};
        g_autoptr(GString) expected = NULL;

        victim_init(&v, s);
        real = as_user_try_interactive(s->bob, v.path, "Stop", g_variant_new_parsed("(@a{sv} {},)"));
        none = as_user_try_interactive(s->bob, v.no_path, "Stop", g_variant_new_parsed("(@a{sv} {},)"));
        g_assert_null(real.reply);
        g_assert_cmpstr(real.error, ==, none.error);
        expected = g_string_new(none.message);
        g_string_replace(expected, v.ghost, v.id, 0);
        g_assert_cmpstr(real.message, ==, expected->str);
}

/* Timing can't be tested; how often somebody else is asked can. */
static void test_polkit_calls(System *s, gconstpointer data) {
        static const char *const methods[] = {"Stop", "SetLimits", "TakeOwnership"};
        g_auto(Victim) v = {0};
        guint for_real, for_none;

        system_set_polkit_rule("return action.id == \"" RM_BUS_NAME ".start\" ? polkit.Result.YES : polkit.Result.NO;");
        victim_init(&v, s);
        for_real = system_count_checks(NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
                g_auto(Outcome) outcome = as_user_try(s->bob, v.path, methods[i], g_variant_new_parsed("(@a{sv} {},)"));

                g_assert_null(outcome.reply);
        }
        for_real = system_count_checks(NULL) - for_real;
        for_none = system_count_checks(NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
                g_auto(Outcome) outcome = as_user_try(s->bob, v.no_path, methods[i], g_variant_new_parsed("(@a{sv} {},)"));

                g_assert_null(outcome.reply);
        }
        for_none = system_count_checks(NULL) - for_none;
        g_assert_cmpuint(for_real, ==, for_none);
        g_assert_cmpuint(for_real, ==, G_N_ELEMENTS(methods));
}

static GDBusInterfaceInfo *introspect_runtime(Victim *v, GDBusNodeInfo **ret_node) {
        g_autoptr(GVariant) reply = as_user_call_at(v->s->alice, RM_BUS_NAME, v->path, INTROSPECTABLE, "Introspect", NULL);
        g_autoptr(GError) error = NULL;
        GDBusInterfaceInfo *info;
        const char *xml;

        g_variant_get(reply, "(&s)", &xml);
        *ret_node = g_dbus_node_info_new_for_xml(xml, &error);
        g_assert_no_error(error);
        info = g_dbus_node_info_lookup_interface(*ret_node, RM_RUNTIME_INTERFACE);
        g_assert_nonnull(info);
        return info;
}

static void test_properties(System *s, gconstpointer data) {
        g_autoptr(GDBusNodeInfo) node = NULL;
        g_auto(Victim) v = {0};
        GDBusInterfaceInfo *info;

        victim_init(&v, s);
        info = introspect_runtime(&v, &node);
        g_assert_nonnull(info->properties);
        for (GDBusPropertyInfo **property = info->properties; *property; property++) {
                g_autofree char *get = g_strdup_printf("('" RM_RUNTIME_INTERFACE "', '%s')", (*property)->name),
                                *set = g_strdup_printf("('" RM_RUNTIME_INTERFACE "', '%s', <'x'>)", (*property)->name);

                victim_is_hidden(&v, s->bob, &(Attempt){"$PATH", PROPERTIES, "Get", get});
                victim_is_hidden(&v, s->bob, &(Attempt){"$PATH", PROPERTIES, "Set", set});
        }
}

/* Whatever tells of a tree: what bob gets has nothing of alice's in it, and is what he gets without her runtime. */
static char *ask_as_text(AsUser *user, const char *path, const char *interface, const char *method, const char *arguments) {
        g_auto(Outcome) outcome = as_user_try_at(user, RM_BUS_NAME, path, interface, method, g_variant_new_parsed(arguments));

        return outcome.reply ? g_variant_print(outcome.reply, FALSE) : g_strdup_printf("%s: %s", outcome.error, outcome.message);
}

static const struct {
        const char *path, *interface, *method, *arguments;
} overviews[] = {
        {"/", INTROSPECTABLE, "Introspect", "()"},
        {"/org", INTROSPECTABLE, "Introspect", "()"},
        {RM_OBJECT_PATH, INTROSPECTABLE, "Introspect", "()"},
        {RM_RUNTIME_PREFIX, INTROSPECTABLE, "Introspect", "()"},
        {RM_OBJECT_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "()"},
        {"/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "()"},
        {RM_RUNTIME_PREFIX, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "()"},
        {RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes", "(@a{sv} {},)"},
        {RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes", "({'Labels': <{'hidden': 'Secret4711'}>},)"},
        {RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes", "({'Id': <'alices_77'>},)"},
        {RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListKinds", "()"},
        {RM_OBJECT_PATH, PROPERTIES, "GetAll", "('" RM_MANAGER_INTERFACE "',)"},
};

static void test_overviews(System *s, gconstpointer data) {
        char *before[G_N_ELEMENTS(overviews)];
        g_auto(Victim) v = {0};

        for (size_t i = 0; i < G_N_ELEMENTS(overviews); i++)
                before[i] = ask_as_text(s->bob, overviews[i].path, overviews[i].interface, overviews[i].method, overviews[i].arguments);
        victim_init(&v, s);
        for (size_t i = 0; i < G_N_ELEMENTS(overviews); i++) {
                g_autofree char *after = ask_as_text(s->bob, overviews[i].path, overviews[i].interface, overviews[i].method, overviews[i].arguments);

                g_assert_cmpstr(after, ==, before[i]);
                victim_is_not_in(&v, after);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(overviews); i++)
                g_free(before[i]);
}

static void test_introspection(System *s, gconstpointer data) {
        g_auto(Victim) v = {0};
        g_autofree char *real = NULL, *none = NULL;
        g_autoptr(GString) expected = NULL;

        victim_init(&v, s);
        real = ask_as_text(s->bob, v.path, INTROSPECTABLE, "Introspect", "()");
        none = ask_as_text(s->bob, v.no_path, INTROSPECTABLE, "Introspect", "()");
        expected = g_string_new(none);
        g_string_replace(expected, v.ghost, v.id, 0);
        g_assert_cmpstr(real, ==, expected->str);
}

/* Whatever process of hers he names; his own are in no runtime. */
static void test_pids(System *s, gconstpointer data) {
        g_auto(Victim) v = {0};
        g_autofree char *of_none = NULL;
        guint32 pids[6];

        victim_init(&v, s);
        of_none = as_user_call_fails(s->bob, NULL, "GetRuntimeByPID", g_variant_new("(u)", 4000000), "NoSuchRuntime");
        pids[0] = v.main_pid;
        pids[1] = (guint32) v.keeper;
        pids[2] = 1;
        pids[3] = system_service_pid("runtime-manager.service");
        pids[4] = (guint32) as_user_get_pid(s->alice);
        pids[5] = (guint32) as_user_get_pid(s->bob);
        for (size_t i = 0; i < G_N_ELEMENTS(pids); i++) {
                g_autofree char *number = g_strdup_printf("%u", pids[i]);
                g_autofree char *message = as_user_call_fails(s->bob, NULL, "GetRuntimeByPID", g_variant_new("(u)", pids[i]), "NoSuchRuntime");
                g_autoptr(GString) text = g_string_new(message);

                g_string_replace(text, number, "4000000", 0);
                g_assert_cmpstr(text->str, ==, of_none);
        }
        g_variant_unref(as_user_call(s->alice, NULL, "GetRuntimeByPID", g_variant_new("(u)", v.main_pid)));
}

/* Ids are a user's own: the same, and one that looks like hers from outside, are free for him. */
static void test_same_id(System *s, gconstpointer data) {
        g_autofree char *same = NULL, *like = NULL, *name = NULL, *expected = NULL;
        g_auto(Victim) v = {0};
        g_auto(Outcome) outcome = {0};

        victim_init(&v, s);
        name = system_name_of(s->alice, v.id);
        same = as_user_start(s->bob, "command", options_shell("exec cat", "{'Id': <%s>, 'Input': <'pipe'>}", v.id));
        like = as_user_start(s->bob, "command", options_shell("exec cat", "{'Id': <%s>, 'Input': <'pipe'>}", name));
        expected = system_path_of(s->bob, v.id);
        g_assert_cmpstr(same, ==, expected);
        g_assert_cmpstr(same, !=, v.path);
        g_assert_cmpstr(like, !=, v.path);
        as_user_stop(s->bob, same);
        as_user_stop(s->bob, like);
        as_user_forget_signals(s->bob);
        /* And alice's, with its id, is hers. */
        outcome = as_user_try(s->alice, NULL, "GetRuntime", g_variant_new("(s)", v.id));
        g_assert_nonnull(outcome.reply);
}

static const SystemCase cases[] = {
        {"bob-stops-by-path", test_attempt, &stop},
        {"bob-kills-by-path", test_attempt, &kill_main},
        {"bob-interrupts", test_attempt, &interrupt},
        {"bob-forgets", test_attempt, &forget},
        {"bob-reads-usage", test_attempt, &get_usage},
        {"bob-reads-output", test_attempt, &read_output},
        {"bob-reads-output-as-text", test_attempt, &read_text},
        {"bob-opens-output", test_attempt, &open_output},
        {"bob-opens-output-without-loss", test_attempt, &hold_back},
        {"bob-opens-output-of-one-that-has-ended", test_attempt_when_ended, &open_output},
        {"bob-opens-input", test_attempt, &open_input},
        {"bob-writes-input", test_attempt, &write_input},
        {"bob-closes-input", test_attempt, &close_input},
        {"bob-resizes-the-terminal", test_attempt, &resize_terminal},
        {"bob-subscribes", test_attempt, &subscribe},
        {"bob-unsubscribes", test_attempt, &unsubscribe},
        {"bob-sets-limits", test_attempt, &set_limits},
        {"bob-takes-ownership", test_attempt, &take_ownership},
        {"bob-releases-ownership", test_attempt, &release_ownership},
        {"bob-gets-connection", test_attempt, &get_connection},
        {"bob-restarts", test_attempt, &restart},
        {"bob-gets-all-properties", test_attempt, &get_all},
        {"bob-gets-properties-of-all-interfaces", test_attempt, &get_all_of_all},
        {"bob-gets-and-sets-each-property", test_properties, NULL},
        {"bob-calls-with-wrong-arguments", test_attempt, &wrong_arguments},
        {"bob-calls-an-unknown-method", test_attempt, &unknown_method},
        {"bob-calls-an-unknown-interface", test_attempt, &unknown_interface},
        {"bob-calls-an-unknown-method-of-peer", test_attempt, &ping},
        {"bob-asks-for-managed-objects-there", test_attempt, &managed_there},
        {"bob-calls-below-the-path", test_attempt, &below},
        {"bob-calls-the-path-without-uid", test_attempt, &by_bare_id},
        {"bob-introspects-the-path", test_introspection, NULL},
        {"bob-asks-for-every-overview", test_overviews, NULL},
        {"bob-gets-by-id", test_attempt, &get_runtime},
        {"bob-gets-by-name", test_attempt, &get_runtime_by_name},
        {"bob-waits-by-id", test_attempt, &wait_runtime},
        {"bob-waits-by-name", test_attempt, &wait_runtime_by_name},
        {"bob-stops-by-id", test_attempt, &stop_runtime},
        {"bob-stops-by-name", test_attempt, &stop_runtime_by_name},
        {"bob-kills-by-id", test_attempt, &kill_runtime},
        {"bob-kills-by-name", test_attempt, &kill_runtime_by_name},
        {"bob-names-her-processes", test_pids, NULL},
        {"bob-takes-the-same-id", test_same_id, NULL},
        {"bob-stops-with-interaction-allowed", test_interactive, NULL},
        {"bob-counts-who-is-asked", test_polkit_calls, NULL},
        {"bob-reads-output-of-one-that-has-ended", test_attempt_when_ended, &read_output},
        {"bob-forgets-one-that-has-ended", test_attempt_when_ended, &forget},
        {"bob-restarts-one-that-has-ended", test_attempt_when_ended, &restart},
        {"bob-waits-for-one-that-has-ended", test_attempt_when_ended, &wait_runtime},
};

/* A method that is added to the interface is added here. */
static void test_complete(System *s, gconstpointer data) {
        g_autoptr(GDBusNodeInfo) node = NULL;
        g_auto(Victim) v = {0};
        GDBusInterfaceInfo *info;

        victim_init(&v, s);
        info = introspect_runtime(&v, &node);
        for (GDBusMethodInfo **method = info->methods; *method; method++) {
                gboolean found = FALSE;

                for (size_t i = 0; i < G_N_ELEMENTS(cases) && !found; i++) {
                        const Attempt *attempt = cases[i].run == test_attempt ? cases[i].data : NULL;

                        found = attempt && attempt->path && !attempt->interface && strcmp(attempt->method, (*method)->name) == 0;
                }
                if (!found)
                        g_error("bob doesn't try %s", (*method)->name);
        }
}

int main(int argc, char *argv[]) {
        SystemCase all[G_N_ELEMENTS(cases) + 1];

        memcpy(all, cases, sizeof(cases));
        all[G_N_ELEMENTS(cases)] = (SystemCase){"bob-has-tried-each-method", test_complete, NULL};
        return system_main(argc, argv, "attempts-calls", TRUE, all, G_N_ELEMENTS(all));
}
