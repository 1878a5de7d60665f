/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For whom a runtime is started, and who may ask: alice for herself; for others those whom polkit lets; for root nobody but root who says so. */

#include <string.h>

#include "harness.h"
#include "util/names.h"
#include "victim.h"

#define DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define INTERACTION "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
#define ALLOW_ALL "return polkit.Result.YES;"

static Outcome start_for(AsUser *caller, const char *user) {
        return as_user_try(caller, NULL, "StartRuntime",
                           g_variant_new("(s@a{sv})", "command", options_shell("echo started as $(id -un)", "{'User': <%s>}", user)));
}

static void check_refused(Outcome outcome, const char *user) {
        g_auto(Outcome) owned = outcome;

        if (owned.reply)
                g_error("a runtime was started as \"%s\"", user);
        g_test_message("%s: %s", owned.error, owned.message);
        if (strcmp(owned.error, DENIED) != 0 && strcmp(owned.error, INTERACTION) != 0 && strcmp(owned.error, RM_ERROR_INVALID_OPTION) != 0)
                g_error("to start a runtime as \"%s\" failed otherwise: %s, %s", user, owned.error, owned.message);
}

static void check_denied(AsUser *caller, const char *user) {
        Outcome outcome = start_for(caller, user);

        if (outcome.error && strcmp(outcome.error, RM_ERROR_INVALID_OPTION) == 0)
                g_error("%s was told about the user \"%s\" instead of being denied: %s", as_user_get_name(caller), user, outcome.message);
        check_refused(outcome, user);
}

/* data: whom */
static void test_denied(System *s, gconstpointer data) {
        check_denied(s->alice, data);
}

static void test_refused(System *s, gconstpointer data) {
        check_refused(start_for(s->alice, data), data);
}

/* Not even when polkit lets alice start for anybody. */
static void test_refused_with_polkit(System *s, gconstpointer data) {
        system_set_polkit_rule(ALLOW_ALL);
        check_refused(start_for(s->alice, data), data);
}

static void test_root_implicitly(System *s, gconstpointer data) {
        AsUser *root = system_new_root(s);
        g_auto(Outcome) outcome = as_user_try(root, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", NULL)));

        if (outcome.reply)
                g_error("root has got a runtime of its own without asking for that");
}

static void test_root_not_allowed(System *s, gconstpointer data) {
        check_refused(start_for(system_new_root(s), "root"), "root");
}

static void test_root_allowed(System *s, gconstpointer data) {
        AsUser *root = system_new_root(s);
        g_autofree char *path = NULL, *text = NULL;
        g_auto(Outcome) outcome = {0};

        system_configure("[Spawner]\nAllowRoot=yes\n");
        outcome = start_for(root, "root");
        if (!outcome.reply)
                g_error("%s: %s", outcome.error, outcome.message);
        g_variant_get(outcome.reply, "(so)", NULL, &path);
        g_variant_unref(as_user_wait_ended(root, path));
        text = as_user_read_text(root, path);
        g_assert_cmpstr(text, ==, "started as root\n");
        /* It is root's: not alice's by anybody's word. */
        system_set_polkit_rule(ALLOW_ALL);
        check_refused(start_for(s->alice, "root"), "root");
}

static void test_minimum_uid(System *s, gconstpointer data) {
        g_auto(Outcome) outcome = {0};

        system_configure("[Spawner]\nMinimumUID=50000\n");
        outcome = as_user_try(s->alice, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", NULL)));
        g_assert_null(outcome.reply);
        g_test_message("%s: %s", outcome.error, outcome.message);
}

static void test_start_denied(System *s, gconstpointer data) {
        g_auto(Outcome) bobs = {0};

        system_set_polkit_rule("return action.id == \"" RM_BUS_NAME ".start\" && subject.user == \"alice\" ? polkit.Result.NO : polkit.Result.YES;");
        g_free(as_user_call_fails(s->alice, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", NULL)), DENIED));
        bobs = as_user_try(s->bob, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", NULL)));
        g_assert_cmpstr(bobs.error, ==, NULL);
}

/* What was allowed a moment ago is asked again. */
static void test_not_cached(System *s, gconstpointer data) {
        g_autofree char *first = NULL;
        guint checks;

        system_set_polkit_rule(ALLOW_ALL);
        first = as_user_start_shell(s->alice, "exit 0");
        checks = system_count_checks(RM_BUS_NAME ".start");
        g_assert_cmpuint(checks, >, 0);
        g_free(as_user_start_shell(s->alice, "exit 0"));
        g_assert_cmpuint(system_count_checks(RM_BUS_NAME ".start"), ==, 2 * checks);
        system_set_polkit_rule("return polkit.Result.NO;");
        g_free(as_user_call_fails(s->alice, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", NULL)), DENIED));
}

static void test_no_polkit(System *s, gconstpointer data) {
        g_auto(Outcome) outcome = {0}, own = {0};
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        g_free(system_run("systemctl mask --runtime --now polkit.service"));
        check_refused(start_for(s->alice, "bob"), "bob");
        outcome = as_user_try(s->bob, v.path, "Stop", g_variant_new_parsed("(@a{sv} {},)"));
        g_assert_null(outcome.reply);
        /* What is hers needs nobody's say. */
        own = as_user_try(s->alice, v.path, "GetUsage", NULL);
        g_assert_cmpstr(own.error, ==, NULL);
        g_free(system_run("systemctl unmask --runtime polkit.service; systemctl reset-failed polkit; systemctl start polkit"));
}

static void test_reload(System *s, gconstpointer data) {
        g_auto(Outcome) outcome = as_user_try(s->alice, NULL, "Reload", NULL);
        g_autofree char *error = g_strdup(outcome.error);

        g_assert_null(outcome.reply);
        g_assert_true(strcmp(error, DENIED) == 0 || strcmp(error, INTERACTION) == 0);
}

/* Kinds are the administrator's: a file in a home is nobody's kind. */
static void test_own_kind(System *s, gconstpointer data) {
        g_autoptr(GVariant) kinds = NULL;
        g_autofree char *text = NULL;

        g_free(as_user_run(s->alice, "mkdir -p ~/.config/runtime-manager/kinds ~/.local/share/runtime-manager/kinds &&"
                                     " printf '[Kind]\\nDescription=Evil\\nExec=/bin/id\\n[Handshake]\\nType=exec\\n' |"
                                     " tee ~/.config/runtime-manager/kinds/evil.kind >~/.local/share/runtime-manager/kinds/evil.kind"));
        system_restart_services();
        kinds = as_user_call(s->alice, NULL, "ListKinds", NULL);
        text = g_variant_print(kinds, FALSE);
        g_assert_null(strstr(text, "evil"));
        g_assert_nonnull(strstr(text, "command"));
        g_free(as_user_call_fails(s->alice, NULL, "StartRuntime", g_variant_new_parsed("('evil', @a{sv} {})"), "NoSuchKind"));
}

/* The service's own user, as if the daemon had been taken over: the bus keeps it from systemd, and the kernel from everything else. */
static void test_service_user(System *s, gconstpointer data) {
        AsUser *service = as_user_new("runtime-manager");
        static const char *const methods[] = {"StartTransientUnit", "ListUnits", "StopUnit", "KillUnit", "Reload"};

        for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
                g_auto(Outcome) outcome =
                        as_user_try_at(service, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", methods[i], NULL);

                g_assert_cmpstr(outcome.error, ==, DENIED);
        }
        as_user_free(service);
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"alice-starts-as-bob", test_denied, "bob"},
                {"alice-starts-as-root", test_denied, "root"},
                {"alice-starts-as-nobody", test_denied, "nobody"},
                {"alice-starts-as-the-service", test_denied, "runtime-manager"},
                {"alice-starts-as-uid-0", test_refused, "0"},
                {"alice-starts-as-a-name-with-a-newline", test_refused, "alice\nroot"},
                {"alice-starts-as-a-name-that-is-a-path", test_refused, "../root"},
                {"alice-starts-as-nobody-that-exists", test_refused, "no_such_user_here"},
                {"alice-starts-as-root-with-polkit's-say", test_refused_with_polkit, "root"},
                {"alice-starts-as-nobody-with-polkit's-say", test_refused_with_polkit, "nobody"},
                {"alice-starts-as-the-service-with-polkit's-say", test_refused_with_polkit, "runtime-manager"},
                {"alice-starts-as-a-daemon-with-polkit's-say", test_refused_with_polkit, "daemon"},
                {"alice-starts-as-nobody-that-exists-with-polkit's-say", test_refused_with_polkit, "no_such_user_here"},
                {"root-starts-without-saying-as-root", test_root_implicitly, NULL},
                {"root-starts-as-root-where-that-isn't-allowed", test_root_not_allowed, NULL},
                {"root-starts-as-root-where-that-is-allowed", test_root_allowed, NULL},
                {"a-user-below-the-minimum-uid-starts", test_minimum_uid, NULL},
                {"alice-starts-where-polkit-denies-it", test_start_denied, NULL},
                {"polkit's-word-holds-for-one-call", test_not_cached, NULL},
                {"without-polkit-nobody-gets-more", test_no_polkit, NULL},
                {"alice-reloads", test_reload, NULL},
                {"alice-has-a-kind-of-her-own", test_own_kind, NULL},
                {"the-service's-user-talks-to-systemd", test_service_user, NULL},
        };

        return system_main(argc, argv, "attempts-rights", TRUE, cases, G_N_ELEMENTS(cases));
}
