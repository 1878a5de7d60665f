/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl -H with a real sshd, which is in a package that is never installed: it would be a service. Root, here, goes to alice, there. */

#include <string.h>

#include "harness.h"
#include "system-harness.h"

#define SSHD "test-sshd.service"
#define KEYS "/run/test-ssh"

static const char sshd_config[] = "ListenAddress 127.0.0.1:2222\n"
                                  "HostKey " KEYS "/host\n"
                                  "AuthorizedKeysFile " KEYS "/id.pub\n"
                                  "StrictModes no\n"
                                  "PasswordAuthentication no\n"
                                  "KbdInteractiveAuthentication no\n"
                                  "UsePAM yes\n"
                                  "PidFile none\n";

static const char ssh_config[] = "Host there stranger\n"
                                 "HostName 127.0.0.1\n"
                                 "Port 2222\n"
                                 "User alice\n"
                                 "IdentitiesOnly yes\n"
                                 "StrictHostKeyChecking no\n"
                                 "UserKnownHostsFile /dev/null\n"
                                 "LogLevel ERROR\n"
                                 "Host there\n"
                                 "IdentityFile " KEYS "/id\n"
                                 "Host stranger\n"
                                 "IdentityFile " KEYS "/host\n";

/* With the session that sshd's own PAM service would give, and with it alice's service manager. */
static const char pam[] = "auth required pam_permit.so\n"
                          "@include common-account\n"
                          "@include common-session\n";

static gboolean start_sshd(void) {
        const char *package = g_getenv("RM_OPENSSH");
        g_autofree char *complete = g_build_filename(package ?: "/nonexistent", ".complete", NULL);

        if (!g_file_test(complete, G_FILE_TEST_EXISTS)) {
                g_test_skip("there is no openssh-server (HACKING.md)");
                return FALSE;
        }
        g_free(system_run("cp -a %s/usr/. /usr/; mkdir -p /run/sshd; rm -rf " KEYS "; mkdir " KEYS, package));
        g_free(system_run("id sshd >/dev/null 2>&1 || useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd"));
        g_free(system_run("for key in host id; do ssh-keygen -q -t ed25519 -N '' -f " KEYS "/$key; done"));
        system_write_file(KEYS "/config", sshd_config);
        system_write_file("/etc/pam.d/sshd", pam);
        system_write_file("/root/.ssh/config", ssh_config);
        g_free(system_run("systemctl stop " SSHD " 2>/dev/null; systemd-run --quiet --collect --service-type=exec --unit=" SSHD " /usr/sbin/sshd -D -e -f " KEYS
                          "/config"));
        system_wait_output("ssh-keyscan -p 2222 127.0.0.1 >/dev/null 2>&1 && echo listens", "listens");
        return TRUE;
}

static void stop_sshd(void) {
        g_free(system_run("systemctl stop " SSHD));
}

static void test_system(System *s, gconstpointer data) {
        g_autofree char *listed = NULL, *lines = NULL, *report = NULL;

        if (!start_sshd())
                return;
        g_free(system_run("runtimectl -H there start command --Id=far -- sh -c 'echo hello; exec tail -f /dev/null'"));
        listed = system_run("runtimectl -H alice@there:2222 list");
        g_assert_nonnull(strstr(listed, "alice far"));
        lines = system_run("runtimectl -H there logs far");
        g_assert_cmpstr(lines, ==, "hello");
        g_free(system_run("runtimectl -H there stop far"));
        report = system_run("runtimectl -H there report far");
        g_assert_nonnull(strstr(report, "stop-requested"));
        g_free(system_run("runtimectl -H there forget far"));
        stop_sshd();
}

static void test_input(System *s, gconstpointer data) {
        g_autofree char *output = NULL;

        if (!start_sshd())
                return;
        output = system_run("seq 3 | runtimectl -H there start command --Id=fed --Input=pipe --follow --quiet -- cat");
        g_assert_cmpstr(output, ==, "1\n2\n3");
        g_free(system_run("runtimectl -H there forget fed"));
        stop_sshd();
}

/* Which takes the bus with it: the service ends before, and doesn't hold the user's manager up. */
static void test_session(System *s, gconstpointer data) {
        guint uid = (guint) as_user_get_uid(s->alice);
        g_autofree char *listed = NULL, *journal = NULL;

        if (!start_sshd())
                return;
        g_free(system_run("runtimectl --user -H there start command --Id=own -- tail -f /dev/null"));
        listed = system_run("runtimectl --user -H there list --no-legend");
        g_assert_true(g_str_has_prefix(listed, "own "));
        g_free(system_run("systemctl stop user@%u.service", uid));
        journal = system_run("journalctl --sync; journalctl -q -o cat _UID=%u", uid);
        g_assert_nonnull(strstr(journal, "Runtime own (command) ended: stopped ("));
        g_assert_nonnull(strstr(journal, "Stopped runtime-managerd.service"));
        g_assert_null(strstr(journal, "timed out"));
        stop_sshd();
}

static void test_stranger(System *s, gconstpointer data) {
        g_autofree char *output = NULL;

        if (!start_sshd())
                return;
        g_assert_cmpint(system_shell("runtimectl -H stranger list </dev/null", &output), ==, 1);
        g_assert_nonnull(strstr(output, "Permission denied (publickey)"));
        g_assert_nonnull(strstr(output, "The system bus of 'stranger' can't be reached. Does 'ssh stranger systemd-stdio-bridge --version' work"));
        stop_sshd();
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"the-service-of-a-host-is-asked-through-ssh", test_system, NULL},
                {"input-goes-through-ssh", test_input, NULL},
                {"the-service-of-a-session-ends-with-it", test_session, NULL},
                {"a-key-that-is-not-known-there", test_stranger, NULL},
        };

        return system_main(argc, argv, "remote", TRUE, cases, G_N_ELEMENTS(cases));
}
