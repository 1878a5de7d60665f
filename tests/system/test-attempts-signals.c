/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What bob can hear, and what he can make others hear: nothing of alice's life reaches him, and nothing that he says in another's name is believed. */

#include <string.h>

#include "harness.h"
#include "util/names.h"
#include "victim.h"

#define BUS "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

/* Everything that can happen to a runtime and is told. */
static void live_a_whole_life(System *s) {
        g_autofree char *path = as_user_start(s->alice, "command",
                                              options_shell("echo " VICTIM_SECRET "; read line; echo $line; exit 3",
                                                            "{'Id': <'alices_77'>, 'Input': <'pipe'>, 'Labels': <{'hidden': '" VICTIM_SECRET "'}>}"));
        g_autoptr(GVariant) ended = NULL;

        g_variant_unref(as_user_call(s->alice, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
        g_variant_unref(as_user_wait_signal(s->alice, path, "OutputLines", 1));
        g_variant_unref(as_user_call(s->alice, path, "TakeOwnership", g_variant_new_parsed("({'OwnerName': <'" VICTIM_SECRET "'>},)")));
        g_variant_unref(as_user_call(s->alice, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 50>},)")));
        g_variant_unref(as_user_call(s->alice, path, "ReleaseOwnership", NULL));
        g_variant_unref(as_user_call(s->alice, path, "WriteInput", g_variant_new_parsed("([byte 0x68, 0x69, 0x0a],)")));
        g_variant_unref(as_user_wait_signal(s->alice, path, "Ended", 1));
        ended = as_user_wait_ended(s->alice, path);
        report_check(ended, "{'Result': <'exit-code'>, 'ExitCode': <3>}", NULL);
        g_variant_unref(as_user_call(s->alice, path, "Restart", NULL));
        g_variant_unref(as_user_wait_signal(s->alice, path, "OutputLines", 2));
        as_user_stop(s->alice, path);
        g_variant_unref(as_user_call(s->alice, path, "Forget", NULL));
}

static void check_deaf(System *s) {
        Victim v = {.s = s, .id = (char *) "alices_77"};

        live_a_whole_life(s);
        as_user_sync(s->bob);
        victim_was_not_told(&v, s->bob);
}

static void test_subscriber(System *s, gconstpointer data) {
        g_variant_unref(as_user_call(s->bob, NULL, "Subscribe", g_variant_new("(u)", 3)));
        check_deaf(s);
}

/* The bus may refuse a rule; what it takes is no help. */
static void test_matches(System *s, gconstpointer data) {
        static const char *const rules[] = {
                "type='signal'",
                "type='signal',eavesdrop='true'",
                "eavesdrop='true'",
                "type='signal',sender='" RM_BUS_NAME "'",
                "type='signal',path_namespace='" RM_OBJECT_PATH "'",
                "type='signal',interface='org.freedesktop.DBus.ObjectManager'",
                "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
                "type='signal',interface='" RM_RUNTIME_INTERFACE "'",
                "type='signal',arg0='alices_77'",
                "type='method_call',eavesdrop='true'",
                "type='method_return',eavesdrop='true'",
        };

        g_variant_unref(as_user_call(s->bob, NULL, "Subscribe", g_variant_new("(u)", 3)));
        for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
                g_auto(Outcome) outcome = as_user_add_match(s->bob, rules[i]);

                if (i == 0)
                        g_assert_cmpstr(outcome.error, ==, NULL);
        }
        check_deaf(s);
}

static void test_monitor(System *s, gconstpointer data) {
        g_auto(Outcome) outcome =
                as_user_try_at(s->bob, BUS, BUS_PATH, "org.freedesktop.DBus.Monitoring", "BecomeMonitor", g_variant_new_parsed("(@as [], uint32 0)"));

        g_assert_cmpstr(outcome.error, ==, "org.freedesktop.DBus.Error.AccessDenied");
        check_deaf(s);
}

/* Nor does alice hear of bob, with what she hears of her own. */
static void test_own_signals(System *s, gconstpointer data) {
        g_autofree char *hers = NULL, *his = NULL;
        g_autoptr(GPtrArray) signals = NULL;
        g_autoptr(GVariant) added = NULL;
        const char *path;

        g_variant_unref(as_user_call(s->alice, NULL, "Subscribe", g_variant_new("(u)", 3)));
        his = as_user_start_shell(s->bob, "echo of-bob; exec tail -f /dev/null");
        hers = as_user_start_shell(s->alice, "echo of-alice");
        added = as_user_wait_signal(s->alice, RM_OBJECT_PATH, "RuntimeAdded", 1);
        g_variant_get(added, "(s&o)", NULL, &path);
        g_assert_cmpstr(path, ==, hers);
        g_variant_unref(as_user_wait_signal(s->alice, hers, "Ended", 1));
        g_variant_unref(as_user_wait_signal(s->alice, hers, "OutputLines", 1));
        as_user_sync(s->alice);
        signals = as_user_get_signals(s->alice);
        for (guint i = 0; i < signals->len; i++) {
                const SeenSignal *signal = signals->pdata[i];
                g_autofree char *text = g_variant_print(signal->body, FALSE);

                g_assert_cmpstr(signal->path, !=, his);
                g_assert_null(strstr(text, his));
        }
        as_user_stop(s->bob, his);
}

static char *service_bus_name(System *s) {
        g_autoptr(GVariant) reply = as_user_call_at(s->bob, BUS, BUS_PATH, BUS, "GetNameOwner", g_variant_new("(s)", RM_BUS_NAME));
        char *name;

        g_variant_get(reply, "(s)", &name);
        return name;
}

/* Signals of the bus and of systemd, but from bob, to the service and to the spawner: alice's bus name has gone, her unit has ended and is gone, the job is
 * done. */
static void test_forged_signals(System *s, gconstpointer data) {
        g_autofree char *unit = NULL, *another = NULL;
        g_autoptr(GVariant) reply = NULL;
        const char *unit_path;
        const char *owner = as_user_get_bus_name(s->alice);
        g_auto(Victim) v = {0};
        struct {
                const char *path, *signal;
                char *arguments;
        } forged[] = {
                {BUS_PATH, BUS ".NameOwnerChanged", NULL},
                {"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.UnitRemoved", NULL},
                {"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", NULL},
                {"/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local.Disconnected", NULL},
                {NULL, "org.freedesktop.DBus.Properties.PropertiesChanged", NULL},
                {NULL, "org.freedesktop.DBus.Properties.PropertiesChanged", NULL},
        };

        victim_init(&v, s);
        unit = as_user_get_string(s->alice, v.path, "Unit");
        reply = as_user_call_at(s->bob, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnit",
                                g_variant_new("(s)", unit));
        g_variant_get(reply, "(&o)", &unit_path);
        forged[4].path = forged[5].path = unit_path;
        forged[4].arguments = g_strdup("'\"org.freedesktop.systemd1.Unit\"' \"{'ActiveState': <'deactivating'>}\" '@as []'");
        forged[5].arguments = g_strdup("'\"org.freedesktop.systemd1.Unit\"' \"{'ActiveState': <'inactive'>}\" '@as []'");
        forged[0].arguments = g_strdup_printf("'\"%s\"' '\"%s\"' '\"\"'", owner, owner);
        forged[1].arguments = g_strdup_printf("'\"%s\"' 'objectpath \"/org/freedesktop/systemd1/unit/x\"'", unit);
        forged[2].arguments = g_strdup_printf("'uint32 1' 'objectpath \"/org/freedesktop/systemd1/job/1\"' '\"%s\"' '\"failed\"'", unit);
        forged[3].arguments = g_strdup("");
        for (size_t i = 0; i < G_N_ELEMENTS(forged); i++) {
                g_autofree char *script = g_strdup_printf("busctl --system --no-legend list | awk '$3 ~ /^runtime-/ {print $1}' | while read -r name; do"
                                                          " gdbus emit --system --dest $name --object-path %s --signal %s %s; done",
                                                          forged[i].path, forged[i].signal, forged[i].arguments);

                /* The bus may refuse to pass it on. */
                (void) as_user_shell(s->bob, script, NULL);
                g_free(forged[i].arguments);
        }
        /* Behind all of this, in both. */
        another = as_user_start_shell(s->alice, "exit 0");
        g_variant_unref(as_user_wait_ended(s->alice, another));
        as_user_sync(s->alice);
}

static void test_name(System *s, gconstpointer data) {
        /* Allow a replacement, replace, don't queue. */
        g_auto(Outcome) outcome = as_user_try_at(s->bob, BUS, BUS_PATH, BUS, "RequestName", g_variant_new("(su)", RM_BUS_NAME, 7));

        g_assert_cmpstr(outcome.error, ==, "org.freedesktop.DBus.Error.AccessDenied");
}

/* A message to alice with the service's path and interface has bob's name for its sender. */
static void test_forged_for_alice(System *s, gconstpointer data) {
        g_autofree char *service = service_bus_name(s);
        g_autoptr(GPtrArray) signals = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        (void) as_user_shell(s->bob,
                             "gdbus emit --system --object-path " RM_OBJECT_PATH " --signal " RM_MANAGER_INTERFACE ".RuntimeRemoved '\"x\"' "
                             "'objectpath \"/x\"'",
                             NULL);
        as_user_sync(s->alice);
        signals = as_user_get_signals(s->alice);
        for (guint i = 0; i < signals->len; i++) {
                const SeenSignal *signal = signals->pdata[i];

                if (g_str_has_prefix(signal->interface, RM_BUS_NAME))
                        g_assert_cmpstr(signal->sender, ==, service);
        }
}

/* For every connection that alice has: her runtime has ended well, and the service has left the bus. */
static void test_forged_for_runtimectl(System *s, gconstpointer data) {
        g_autofree char *service = service_bus_name(s), *log = NULL,
                        *path = as_user_start(s->alice, "command", options_shell("echo begun; exec cat", "{'Id': <'alices_77'>, 'Input': <'pipe'>}"));
        const char *read_log = "cat ~alice/followed";

        g_free(as_user_run(s->alice, "rm -f ~/followed ~/done; { runtimectl --system logs --follow "
                                     "alices_77 >~/followed 2>&1; echo $? >~/done; } "
                                     "</dev/null >/dev/null 2>&1 &"));
        system_wait_output(read_log, "begun");
        g_free(as_user_run(s->bob,
                           "busctl --system --no-legend list | awk '$4 == \"alice\" {print $1}' | while read -r name; do"
                           " gdbus emit --system --dest $name --object-path %s --signal " RM_RUNTIME_INTERFACE ".Ended \"{'Result': <'success'>}\";"
                           " gdbus emit --system --dest $name --object-path " BUS_PATH " --signal " BUS ".NameOwnerChanged"
                           " '\"" RM_BUS_NAME "\"' '\"%s\"' '\"\"'; done",
                           path, service));
        g_variant_unref(as_user_call(s->alice, path, "WriteInput", g_variant_new_parsed("(b'heard\\n',)")));
        as_user_wait_text(s->alice, path, "heard");
        as_user_stop(s->alice, path);
        system_wait_output("cat ~alice/done", NULL);
        log = system_run("%s", read_log);
        g_assert_cmpstr(log, ==, "begun\nheard");
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"bob-subscribes-to-all", test_subscriber, NULL},
                {"bob-matches-everything", test_matches, NULL},
                {"bob-becomes-a-monitor", test_monitor, NULL},
                {"alice-hears-of-her-own-alone", test_own_signals, NULL},
                {"bob-forges-signals-of-the-bus-and-of-systemd", test_forged_signals, NULL},
                {"bob-forges-signals-of-the-service", test_forged_for_alice, NULL},
                {"bob-forges-signals-for-runtimectl", test_forged_for_runtimectl, NULL},
                {"bob-takes-the-bus-name", test_name, NULL},
        };

        return system_main(argc, argv, "attempts-signals", TRUE, cases, G_N_ELEMENTS(cases));
}
