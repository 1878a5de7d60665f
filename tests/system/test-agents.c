/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tests' other users are who they say, and can do what the tests rely on: against services that every system has. */

#include <string.h>

#include "system-harness.h"

#define LOGIN "org.freedesktop.login1"
#define LOGIN_PATH "/org/freedesktop/login1"

static void test_ids(System *s, gconstpointer data) {
        g_autofree char *ids = as_user_run(s->alice, "id -un; id -ru; echo $HOME; pwd; cat /proc/self/status | grep ^CapEff; ls -d ~/.");
        g_autofree char *expected =
                g_strdup_printf("alice\n%u\n/home/alice\n/home/alice\nCapEff:\t0000000000000000\n/home/alice/.\n", (unsigned) as_user_get_uid(s->alice));

        g_assert_cmpstr(ids, ==, expected);
        g_assert_cmpuint(as_user_get_uid(s->alice), !=, as_user_get_uid(s->bob));
}

static void test_bus_uid(System *s, gconstpointer data) {
        g_autoptr(GVariant) reply = as_user_call_at(s->bob, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
                                                    g_variant_new("(s)", as_user_get_bus_name(s->alice)));
        guint32 uid;

        g_variant_get(reply, "(u)", &uid);
        g_assert_cmpuint(uid, ==, as_user_get_uid(s->alice));
}

static void test_errors(System *s, gconstpointer data) {
        g_auto(Outcome) outcome = as_user_try_at(s->bob, LOGIN, LOGIN_PATH, LOGIN ".Manager", "GetSession", g_variant_new("(s)", "none"));

        g_assert_null(outcome.reply);
        g_assert_cmpstr(outcome.error, ==, "org.freedesktop.login1.NoSuchSession");
        g_assert_nonnull(strstr(outcome.message, "none"));
}

/* The pipe that login1 answers with stays open as long as the lock is wanted. */
static void test_fds(System *s, gconstpointer data) {
        g_autoptr(GVariant) reply = NULL;
        g_autofree char *held = NULL, *error = NULL;

        g_free(system_run("systemctl start systemd-logind"));
        reply = as_user_call_at(s->alice, LOGIN, LOGIN_PATH, LOGIN ".Manager", "Inhibit", g_variant_new("(ssss)", "sleep", "alice-tests", "a test", "delay"));
        held = system_run("busctl call %s %s %s.Manager ListInhibitors", LOGIN, LOGIN_PATH, LOGIN);
        g_assert_nonnull(strstr(held, "alice-tests"));
        as_user_fd_close(s->alice, 0);
        system_wait_output("busctl call " LOGIN " " LOGIN_PATH " " LOGIN ".Manager ListInhibitors | grep -c alice-tests", "0");
        error = as_user_fd_write(s->alice, 0, "x");
        g_assert_cmpstr(error, ==, "EBADF");
}

static void test_signals(System *s, gconstpointer data) {
        g_autoptr(GVariant) body = NULL;
        g_autoptr(GPtrArray) signals = NULL;
        g_auto(Outcome) matched = as_user_add_match(s->bob, "type='signal',interface='org.example.Probe'");
        const char *text;

        g_assert_nonnull(matched.reply);
        g_free(as_user_run(s->alice, "busctl --system emit / org.example.Probe Hello s world"));
        body = as_user_wait_signal(s->bob, "/", "Hello", 1);
        g_variant_get(body, "(&s)", &text);
        g_assert_cmpstr(text, ==, "world");
        signals = as_user_get_signals(s->alice);
        g_assert_cmpuint(signals->len, ==, 0);
        as_user_forget_signals(s->bob);
        g_ptr_array_unref(signals);
        signals = as_user_get_signals(s->bob);
        g_assert_cmpuint(signals->len, ==, 0);
}

static void test_raw_acts(System *s, gconstpointer data) {
        g_autofree char *missing = as_user_connect(s->bob, "/nowhere", "stream"), *bus = as_user_connect(s->bob, "/run/dbus/system_bus_socket", "stream"),
                        *private = as_user_connect(s->bob, "/run/systemd/private", "stream"), *trace = as_user_trace(s->bob, getpid()),
                        *take = as_user_take_fd(s->bob, getpid(), 0), *output = NULL;

        g_assert_cmpstr(missing, ==, "ENOENT");
        g_assert_cmpstr(bus, ==, "");
        g_assert_cmpstr(private, ==, "EACCES");
        g_assert_cmpstr(trace, ==, "EPERM");
        g_assert_cmpstr(take, ==, "EPERM");
        g_assert_cmpint(as_user_shell(s->bob, "cat /etc/shadow; exit 7", &output), ==, 7);
        g_assert_nonnull(strstr(output, "Permission denied"));
}

static void test_raw_bus(System *s, gconstpointer data) {
        g_autofree char *name = as_user_raw_open(s->bob), *sent = NULL;

        g_assert_cmpint(name[0], ==, ':');
        g_assert_false(as_user_raw_is_closed(s->bob, 0));
        sent = as_user_raw_send(s->bob, "no message at all, and long enough to be seen as none", 53);
        g_assert_cmpstr(sent, ==, "");
        g_assert_true(as_user_raw_is_closed(s->bob, 20000));
}

static void test_frozen(System *s, gconstpointer data) {
        g_autoptr(GVariant) reply = NULL;
        g_auto(Outcome) unanswered = {0};

        as_user_freeze(s->bob);
        unanswered = as_user_try_at(s->alice, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
                                    g_variant_new("(s)", as_user_get_bus_name(s->bob)));
        g_assert_nonnull(unanswered.reply);
        as_user_thaw(s->bob);
        reply = as_user_call_at(s->bob, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", NULL);
        g_assert_nonnull(reply);
}

/* With an action that every system has. */
static void test_polkit(System *s, gconstpointer data) {
        static const char action[] = "org.freedesktop.login1.set-wall-message";
        g_auto(Outcome) allowed = {0}, denied = {0};
        const char *const rule = "polkit.addRule(function(action, subject) {\n"
                                 "    if (action.id == \"%s\")\n"
                                 "        return subject.user == \"alice\" ? polkit.Result.YES : polkit.Result.NO;\n"
                                 "});\n";
        g_autofree char *text = g_strdup_printf(rule, action);

        system_set_polkit_rule("return polkit.Result.NO;");
        g_assert_cmpuint(system_count_checks(NULL), ==, 0);
        system_write_file("/etc/polkit-1/rules.d/11-test.rules", text);
        g_free(system_run("systemctl restart polkit"));
        allowed = as_user_try_at(s->alice, LOGIN, LOGIN_PATH, LOGIN ".Manager", "SetWallMessage", g_variant_new("(sb)", "a wall", FALSE));
        denied = as_user_try_at(s->bob, LOGIN, LOGIN_PATH, LOGIN ".Manager", "SetWallMessage", g_variant_new("(sb)", "another wall", FALSE));
        g_assert_cmpstr(allowed.error, ==, NULL);
        g_assert_cmpstr(denied.error, ==, "org.freedesktop.DBus.Error.AccessDenied");
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"have-their-ids-and-homes", test_ids, NULL},
                {"have-their-uid-on-the-bus", test_bus_uid, NULL},
                {"see-errors-as-they-are", test_errors, NULL},
                {"hold-fds-until-they-close-them", test_fds, NULL},
                {"record-signals-they-asked-for-alone", test_signals, NULL},
                {"act-with-their-own-rights-alone", test_raw_acts, NULL},
                {"send-what-is-no-message", test_raw_bus, NULL},
                {"can-be-frozen", test_frozen, NULL},
                {"are-judged-by-polkit", test_polkit, NULL},
        };

        return system_main(argc, argv, "agents", FALSE, cases, G_N_ELEMENTS(cases));
}
