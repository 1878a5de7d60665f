/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl -M with a container in the container: another boot of what is here, with a service of its own. */

#include <string.h>

#include "harness.h"
#include "system-harness.h"

#define BOX "test-box.service"
#define BOX_ROOT "/run/test-box"

static void start_box(void) {
        /* The same files to read, and a state of its own: not an overlay, of which this may be the third, one more than a kernel puts on each other. */
        g_free(system_run("mkdir -p " BOX_ROOT "; mountpoint -q " BOX_ROOT " || mount --bind / " BOX_ROOT));
        g_free(system_run("systemctl stop " BOX " 2>/dev/null; systemd-run --quiet --collect --unit=" BOX " --property=Delegate=yes --property=KillMode=mixed"
                          " systemd-nspawn --quiet --directory=" BOX_ROOT " --volatile=state --private-users=no --machine=box --boot --console=read-only"));
        system_wait_output("busctl --machine=box get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager OnExternalPower"
                           " >/dev/null 2>&1 && echo up",
                           "up");
}

static void stop_box(void) {
        g_free(system_run("systemctl stop " BOX "; umount " BOX_ROOT));
}

static void test_system(System *s, gconstpointer data) {
        g_autofree char *listed = NULL, *here = NULL, *lines = NULL, *fed = NULL, *report = NULL;

        start_box();
        g_free(system_run("runtimectl -M box start command --User=alice --Id=far -- sh -c 'echo hello; exec tail -f /dev/null'"));
        listed = system_run("runtimectl -M box list --no-legend");
        g_assert_true(g_str_has_prefix(listed, "alice "));
        g_assert_nonnull(strstr(listed, "_far "));
        here = system_run("runtimectl --system list --no-legend");
        g_assert_cmpstr(here, ==, "");
        lines = system_run("runtimectl -M alice@box logs far");
        g_assert_cmpstr(lines, ==, "hello");
        fed = system_run("seq 3 | runtimectl -M box start command --User=alice --Input=pipe --follow --quiet -- cat");
        g_assert_cmpstr(fed, ==, "1\n2\n3");
        g_free(system_run("runtimectl -M alice@box stop far"));
        report = system_run("runtimectl -M alice@box report far");
        g_assert_nonnull(strstr(report, "stop-requested"));
        stop_box();
}

static void test_user(System *s, gconstpointer data) {
        g_autofree char *listed = NULL, *fed = NULL;

        start_box();
        /* Whose bus goes when the last of these is done. */
        g_free(system_run("machinectl --quiet shell box /usr/bin/loginctl enable-linger alice"));
        g_free(system_run("runtimectl --user -M alice@box start command --Id=own -- tail -f /dev/null"));
        listed = system_run("runtimectl --user -M alice@box list --no-legend");
        g_assert_true(g_str_has_prefix(listed, "own "));
        fed = system_run("seq 3 | runtimectl --user -M alice@box start command --Input=pipe --follow --quiet -- cat");
        g_assert_cmpstr(fed, ==, "1\n2\n3");
        stop_box();
}

static void test_none(System *s, gconstpointer data) {
        g_autofree char *output = NULL;

        g_assert_cmpint(system_shell("runtimectl -M nowhere list", &output), ==, 1);
        g_assert_cmpstr(output, ==, "runtimectl: There is no container 'nowhere' that runs. 'machinectl' lists them.");
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"the-service-of-a-container-is-asked", test_system, NULL},
                {"a-user-of-a-container-has-one-too", test_user, NULL},
                {"a-container-that-is-not-there", test_none, NULL},
        };

        return system_main(argc, argv, "machine", TRUE, cases, G_N_ELEMENTS(cases));
}
