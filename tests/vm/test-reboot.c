/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is left when the power goes: nothing. Of the installed service, activated on the session's own bus. In the first boot runtimes are started
 * and left running; in the second there must be no trace of them. */

#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

#include "util/names.h"

#define DEADLINE_MSEC 60000

/* Written before the first boot, and not again (tests/lib/system-init.sh). */
#define FIRST_BOOT "/run/with-system/job"

static const char *const ids[] = {"reboot_plain", "reboot_deaf"};

static GVariant *call(const char *name, const char *path, const char *interface, const char *method, GVariant *parameters) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, &error);
        GVariant *reply;

        g_assert_no_error(error);
        reply = g_dbus_connection_call_sync(bus, name, path, interface, method, parameters, NULL, G_DBUS_CALL_FLAGS_NONE, DEADLINE_MSEC, NULL, &error);
        g_assert_no_error(error);
        return reply;
}

static GVariant *call_manager(const char *method, GVariant *parameters) {
        return call(RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, method, parameters);
}

static void start(const char *id, const char *script) {
        g_variant_unref(call_manager("StartRuntime", g_variant_new_parsed("('command', {'Id': <%s>, 'Command': <['sh', '-c', %s]>})", id, script)));
}

static size_t count_runtimes(void) {
        g_autoptr(GVariant) reply = call_manager("ListRuntimes", g_variant_new_parsed("(@a{sv} {},)")), list = g_variant_get_child_value(reply, 0);

        return g_variant_n_children(list);
}

static size_t count_scopes(void) {
        g_autoptr(GVariant) reply = call("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "ListUnitsByPatterns",
                                         g_variant_new_parsed("(@as [], ['runtime-*.scope'])"));
        g_autoptr(GVariant) list = g_variant_get_child_value(reply, 0);

        return g_variant_n_children(list);
}

static void test_left_running(void) {
        start(ids[0], "exec sleep 1000");
        start(ids[1], "trap '' TERM HUP INT; while :; do echo line; sleep 0.2; done");
        g_assert_cmpuint(count_runtimes(), ==, G_N_ELEMENTS(ids));
        g_assert_cmpuint(count_scopes(), ==, G_N_ELEMENTS(ids));
}

static void test_no_unit(void) {
        g_assert_cmpuint(count_scopes(), ==, 0);
}

/* The service starts clean: it knows of none, and finds no folder. */
static void test_no_runtime(void) {
        g_autofree char *folder = g_build_filename(g_get_user_runtime_dir(), RM_RUNTIME_DIRECTORY, NULL);

        g_assert_cmpuint(count_runtimes(), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
                g_autofree char *path = g_build_filename(folder, ids[i], NULL);

                g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        }
}

/* What survives a reboot is a disk, and nothing of a runtime is on one. What was there before the first boot, such as a checkout, is no runtime's. */
static void test_nothing_on_disk(void) {
        g_autofree char *command = g_strdup_printf(
                "find '%s' /var/lib /var/tmp \\( -name '*runtime-manager*' -o -name 'reboot_*' \\) -newer " FIRST_BOOT " 2>/dev/null", g_get_home_dir());
        const char *arguments[] = {"sh", "-c", command, NULL};
        g_autofree char *found = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_true(g_file_test(FIRST_BOOT, G_FILE_TEST_EXISTS));
        g_spawn_sync(NULL, (char **) arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &found, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(found, ==, "");
}

static void test_same_ids(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
                g_autoptr(GVariant) ended = NULL;
                const char *state;

                start(ids[i], "exit 0");
                ended = call_manager("WaitRuntime", g_variant_new("(ss)", ids[i], "ended"));
                g_variant_get_child(ended, 0, "&s", &state);
                g_assert_cmpstr(state, ==, "ended");
        }
}

int main(int argc, char *argv[]) {
        int boot = atoi(g_getenv("WITH_VM_BOOT") ?: "0");

        g_test_init(&argc, &argv, NULL);
        if (boot == 0) {
                g_print("1..0 # SKIP this takes a machine to reboot (tests/with-vm --boots 2)\n");
                return 0;
        }
        if (boot == 1)
                g_test_add_func("/vm-reboot/runtimes-are-left-running", test_left_running);
        else {
                g_test_add_func("/vm-reboot/no-unit-is-left", test_no_unit);
                g_test_add_func("/vm-reboot/the-service-knows-of-no-runtime", test_no_runtime);
                g_test_add_func("/vm-reboot/nothing-is-left-on-disk", test_nothing_on_disk);
                g_test_add_func("/vm-reboot/their-ids-are-free", test_same_ids);
        }
        return g_test_run();
}
