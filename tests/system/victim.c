/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "victim.h"

#include <string.h>

#include "harness.h"
#include "util/names.h"

#define SYSTEMD_PATH "/org/freedesktop/systemd1"

void victim_init(Victim *v, System *s) {
        *v = (Victim){.s = s, .id = g_strdup("alices_77"), .ghost = g_strdup("nobody_77")};
        v->no_path = system_path_of(s->alice, v->ghost);
        v->path = as_user_start(s->alice, "command",
                                options_shell(": " VICTIM_SECRET "; echo " VICTIM_SECRET "; exec cat",
                                              "{'Id': <%s>, 'Input': <'pipe'>, 'Environment': <['HIDDEN=" VICTIM_SECRET "']>, 'Owner': <'caller'>,"
                                              " 'OwnerName': <'" VICTIM_SECRET "'>, 'Description': <'" VICTIM_SECRET "'>,"
                                              " 'Labels': <{'hidden': '" VICTIM_SECRET "'}>}",
                                              v->id));
        as_user_wait_text(s->alice, v->path, VICTIM_SECRET);
        v->main_pid = as_user_get_number(s->alice, v->path, "MainPID");
        v->keeper = system_keeper_of(s->alice, v->path);
        as_user_forget_signals(s->bob);
}

/* Each is as it was. */
static void check_untouched(Victim *v) {
        AsUser *alice = v->s->alice;
        g_autofree char *state = as_user_get_string(alice, v->path, "State"), *owner = as_user_get_string(alice, v->path, "Owner"),
                        *text = as_user_read_text(alice, v->path);
        g_autoptr(GVariant) limits = as_user_get(alice, v->path, "Limits");

        g_assert_cmpstr(state, ==, "ready");
        g_assert_cmpstr(owner, ==, as_user_get_bus_name(alice));
        g_assert_cmpstr(text, ==, VICTIM_SECRET "\n");
        g_assert_cmpuint(g_variant_n_children(limits), ==, 0);
        g_assert_cmpuint(as_user_get_number(alice, v->path, "MainPID"), ==, v->main_pid);
        g_assert_cmpuint(as_user_get_number(alice, v->path, "Generation"), ==, 1);
        /* Its input is still open. */
        g_variant_unref(as_user_call(alice, v->path, "WriteInput", g_variant_new_parsed("([byte 0x68, 0x69, 0x0a],)")));
        as_user_wait_text(alice, v->path, "\nhi\n");
}

void victim_done(Victim *v) {
        if (!v->path)
                return;
        check_untouched(v);
        as_user_stop(v->s->alice, v->path);
        as_user_sync(v->s->bob);
        victim_was_not_told(v, v->s->bob);
        g_clear_pointer(&v->id, g_free);
        g_clear_pointer(&v->path, g_free);
        g_clear_pointer(&v->ghost, g_free);
        g_clear_pointer(&v->no_path, g_free);
}

static char *fill(Victim *v, const char *text, const char *id, const char *path) {
        g_autofree char *name = system_name_of(v->s->alice, id);
        g_autoptr(GString) filled = g_string_new(text);

        g_string_replace(filled, "$PATH", path, 0);
        g_string_replace(filled, "$NAME", name, 0);
        g_string_replace(filled, "$ID", id, 0);
        return g_string_free(g_steal_pointer(&filled), FALSE);
}

static Outcome try_with(Victim *v, AsUser *user, const Attempt *attempt, const char *id, const char *runtime) {
        g_autofree char *path = fill(v, attempt->path ?: RM_OBJECT_PATH, id, runtime), *text = fill(v, attempt->arguments, id, runtime);
        const char *interface = attempt->path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE;
        g_autoptr(GError) error = NULL;
        GVariant *arguments = g_variant_parse(NULL, text, NULL, NULL, &error);

        g_assert_no_error(error);
        return as_user_try_at(user, RM_BUS_NAME, path, attempt->interface ?: interface, attempt->method, arguments);
}

void victim_is_hidden(Victim *v, AsUser *user, const Attempt *attempt) {
        g_auto(Outcome) real = try_with(v, user, attempt, v->id, v->path), none = try_with(v, user, attempt, v->ghost, v->no_path);
        g_autoptr(GString) expected = NULL;

        if (real.reply) {
                g_autofree char *text = g_variant_print(real.reply, FALSE);

                g_error("%s was answered %s: %s", as_user_get_name(user), attempt->method, text);
        }
        if (none.reply) {
                g_autofree char *text = g_variant_print(none.reply, FALSE);

                g_error("%s of what never was: %s", attempt->method, text);
        }
        expected = g_string_new(none.message);
        g_string_replace(expected, v->ghost, v->id, 0);
        g_assert_cmpstr(real.error, ==, none.error);
        g_assert_cmpstr(real.message, ==, expected->str);
        g_assert_null(strstr(real.message, VICTIM_SECRET));
}

void victim_is_not_in(Victim *v, const char *text) {
        if (strstr(text, VICTIM_SECRET) || strstr(text, v->id))
                g_error("this tells of the runtime: %s", text);
}

void victim_was_not_told(Victim *v, AsUser *user) {
        g_autoptr(GPtrArray) signals = as_user_get_signals(user);

        for (guint i = 0; i < signals->len; i++) {
                const SeenSignal *signal = signals->pdata[i];
                g_autofree char *text = g_variant_print(signal->body, FALSE);

                if (g_str_has_prefix(signal->path, RM_OBJECT_PATH))
                        g_error("%s was sent %s of %s: %s", as_user_get_name(user), signal->member, signal->path, text);
                /* PID 1 tells everybody what units there are, as the process list does. */
                if (g_str_has_prefix(signal->path, SYSTEMD_PATH) && !strstr(text, VICTIM_SECRET))
                        continue;
                victim_is_not_in(v, text);
        }
}
