/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the world does to the service: its bus and systemd are restarted, the clock is set, the disk is full, descriptors are short. Runtimes go on, what can't
 * be done is refused with a reason, and works again when it can be. What needs rights that an ordinary user lacks is done as root alone. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "again.h"
#include "away.h"
#include "owner.h"
#include "private-bus.h"
#include "util/names.h"

#define WAIT_FOR(name) "while [ ! -e $HOME/" name " ]; do sleep 0.01; done; "

static void go_on(Harness *h, const char *name) {
        g_autofree char *file = g_build_filename("home", name, NULL);

        g_free(harness_add_file(h, file, "", 0600));
}

static void connect_again(Harness *h) {
        client_free(h->client);
        h->client = client_new(h);
        wait_for_name(h, RM_BUS_NAME);
}

static void test_bus_restarted(Harness *h) {
        g_autofree char *path = NULL, *later = NULL, *owned = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start_shell(h->client, "echo before; " WAIT_FOR("go") "echo meanwhile; " TELL("did") "exec sleep 1000");
        owned = start(owner, "{'Owner': <'caller'>}");
        client_wait_text(h->client, path, "before\n");
        private_bus_kill();
        go_on(h, "go");
        wait_for_file(h, "did");
        private_bus_start_again();
        connect_again(h);
        client_free(owner);
        client_wait_text(h->client, path, "before\nmeanwhile\n");
        assert_ready(h, path);
        /* Nobody is on the new bus who was on the old one. */
        wait_owner_gone(h, owned, NULL);
        later = start(h->client, "{'Owner': <'caller'>}");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        client_wait_signal(h->client, path, "Ended");
}

/* The daemon comes back to a bus that is not the one it left. */
static void test_bus_restarted_away(Harness *h) {
        g_autofree char *path = NULL, *owned = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(h->client, NULL);
        owned = start(owner, "{'Owner': <'caller'>}");
        g_variant_unref(client_call(owner, NULL, "Subscribe", g_variant_new("(u)", 3)));
        harness_kill_daemon(h);
        private_bus_kill();
        client_free(owner);
        client_free(h->client);
        h->client = NULL;
        private_bus_start_again();
        come_back(h);
        wait_owner_gone(h, owned, NULL);
        stop_undisturbed(h, path);
}

static void run_systemctl(Harness *h, const char *verb) {
        const char *argv[] = {"systemctl", "--user", verb, NULL};
        g_autoptr(GError) error = NULL;
        int status;

        g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
        g_assert_no_error(error);
        g_assert_true(g_spawn_check_wait_status(status, &error));
        g_assert_no_error(error);
}

static void check_systemd(Harness *h, const char *verb) {
        g_autofree char *path = NULL, *unit = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        unit = client_get_string(h->client, path, "Unit");
        for (int i = 0; i < 3; i++) {
                g_autofree char *later = NULL;
                g_autoptr(GVariant) report = NULL;

                run_systemctl(h, verb);
                assert_ready(h, path);
                g_assert_true(harness_unit_exists(unit));
                later = client_start_shell(h->client, "exit 3");
                report = client_wait_ended(h->client, later);
                report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <3>}", NULL);
                g_assert_null(client_find_signal(h->client, NULL, "Warning", 0));
        }
        stop_undisturbed(h, path);
        g_assert_false(harness_unit_exists(unit));
}

static void test_reload(Harness *h) {
        check_systemd(h, "daemon-reload");
}

static void test_reexec(Harness *h) {
        check_systemd(h, "daemon-reexec");
}

/* While starts and stops are under way. */
static void test_reexec_under_load(Harness *h) {
        const char *argv[] = {"systemctl", "--user", "daemon-reexec", NULL};
        Call *calls[12];
        g_autoptr(GError) error = NULL;
        GPid pid;

        harness_start_daemon(h, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
                calls[i] =
                        call_begin(h->client, NULL, "StartRuntime",
                                   g_variant_new("(s@a{sv})", "command", options_shell("echo up; exec sleep 1000", "{'TimeoutStartUSec': <uint64 30000000>}")));
                if (i == G_N_ELEMENTS(calls) / 2) {
                        g_spawn_async(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
                        g_assert_no_error(error);
                }
        }
        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
                g_autofree char *name = NULL;
                g_autoptr(GVariant) reply = call_end(calls[i], &name), report = NULL;
                const char *path;

                if (!reply) {
                        g_assert_true(g_str_has_prefix(name, RM_ERROR_PREFIX));
                        continue;
                }
                g_variant_get(reply, "(&s&o)", NULL, &path);
                client_wait_text(h->client, path, "up\n");
                client_stop(h->client, path);
                report = client_wait_ended(h->client, path);
                report_check(report, "{'Result': <'stopped'>, 'Signal': <15>}", NULL);
        }
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void set_clock(Harness *h, gint64 seconds) {
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, seconds);

        g_free(harness_add_file(h, "shift", text, 0600));
}

#define A_YEAR (365 * 24 * 3600LL)

/* All times are of a clock that nobody sets. */
static void test_clock(Harness *h) {
        g_autofree char *library = g_build_filename(harness_build_directory(), "..", "tests", "lib", "libclock-shift.so", NULL);
        g_autofree char *preload = g_strdup_printf("LD_PRELOAD=%s", library), *file = g_strdup_printf("CLOCK_SHIFT=%s/shift", h->directory);
        g_autofree char *asan = g_strdup_printf("ASAN_OPTIONS=%s:verify_asan_link_order=0", g_getenv("ASAN_OPTIONS") ?: "");
        const char *variables[] = {preload, file, asan, NULL};
        static const gint64 shifts[] = {-A_YEAR, A_YEAR, 0};
        g_autofree char *steady = NULL;

        g_assert_true(g_file_test(library, G_FILE_TEST_EXISTS));
        set_clock(h, 0);
        harness_start_daemon(h, variables);
        steady = start(h->client, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(shifts); i++) {
                g_autofree char *limited = NULL, *owned = NULL, *ended = NULL;
                g_autoptr(GVariant) report = NULL, timestamp = NULL;
                gint64 began = g_get_monotonic_time(), wrong;
                Client *owner = client_new(h);

                limited = start(h->client, "{'RuntimeMaxUSec': <uint64 2000000>}");
                owned = start(owner, "{'Owner': <'caller'>, 'OwnerGraceUSec': <uint64 1000000>}");
                ended = client_start(h->client, "command", options_shell("exit 0", "{'RetainUSec': <uint64 20000000>}"));
                g_variant_unref(client_wait_ended(h->client, ended));
                leave(h, owner);
                set_clock(h, shifts[i]);
                wait_owner_gone(h, owned, NULL);
                report = client_wait_ended(h->client, limited);
                report_check(report, "{'Result': <'timeout'>, 'Reason': <'runtime-max'>}", NULL);
                g_assert_cmpint(g_get_monotonic_time() - began, >=, 2000000);
                g_assert_cmpuint(report_number(report, "DurationUSec"), <, 30000000);
                g_assert_cmpuint(report_number(report, "DurationUSec"), >=, 2000000);
                /* The shift is real: this is what a clock on the wall says. */
                timestamp = client_get(h->client, limited, "EndTimestamp");
                wrong = (gint64) g_variant_get_uint64(timestamp) - g_get_real_time() - shifts[i] * G_USEC_PER_SEC;
                g_assert_cmpint(ABS(wrong), <, (gint64) 3600 * G_USEC_PER_SEC);
                client_wait_state(h->client, ended, "ended");
                assert_ready(h, steady);
                /* Also over a return. */
                harness_kill_daemon(h);
                harness_start_daemon(h, variables);
                assert_ready(h, steady);
                client_wait_state(h->client, ended, "ended");
        }
        stop_undisturbed(h, steady);
}

static void fill(const char *path) {
        char block[4096] = {1};
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        g_assert_cmpint(fd, >=, 0);
        while (write(fd, block, sizeof(block)) > 0)
                ;
        g_assert_cmpint(errno, ==, ENOSPC);
        close(fd);
}

/* options: of a small tmpfs. */
static void check_disk_full(Harness *h, const char *options, void (*use_up)(const char *directory), void (*make_room)(const char *directory)) {
        g_autofree char *path = NULL, *message = NULL, *later = NULL, *ends = NULL;
        g_autoptr(GVariant) report = NULL;

        if (geteuid() != 0) {
                g_test_message("an ordinary user can't mount a small disk: done as root alone");
                return;
        }
        g_assert_cmpint(mount("tmpfs", h->runtime_directory, "tmpfs", 0, options), ==, 0);
        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client,
                                  "exec 2>/dev/null; trap 'echo term; exit 4' TERM; echo before; " WAIT_FOR("go") "echo after; while :; do sleep 0.01; done");
        ends = client_start_shell(h->client, "echo before; " WAIT_FOR("go") "echo after; exit 5");
        client_wait_text(h->client, path, "before\n");
        client_wait_text(h->client, ends, "before\n");
        use_up(h->runtime_directory);
        for (int i = 0; i < 3; i++) {
                g_free(message);
                message =
                        client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 0", NULL)), "StartFailed");
                g_test_message("%s", message);
                g_assert_nonnull(strstr(message, "No space left on device"));
        }
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 2);
        go_on(h, "go");
        report = client_wait_ended(h->client, ends);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <5>, 'OutputTail': <'before\\nafter\\n'>}", NULL);
        assert_text(h, ends, "before\nafter\n");
        client_wait_text(h->client, path, "after\n");
        /* It is known by its last record, and goes on. */
        go_away_and_come_back(h);
        client_wait_state(h->client, path, "ready");
        client_stop(h->client, path);
        g_clear_pointer(&report, g_variant_unref);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'ExitCode': <4>, 'LastLine': <uint64 3>}", NULL);
        make_room(h->runtime_directory);
        later = client_start_shell(h->client, "exec sleep 1000");
        client_wait_state(h->client, later, "ready");
        go_away_and_come_back(h);
        assert_ready(h, later);
        /* Ended when there was no room for the record of it. */
        client_wait_state(h->client, ends, "ended");
        harness_stop_daemon(h);
        g_assert_cmpint(umount2(h->runtime_directory, MNT_DETACH), ==, 0);
}

static void use_up_blocks(const char *directory) {
        g_autofree char *path = g_build_filename(directory, "filler", NULL);

        fill(path);
}

static void free_blocks(const char *directory) {
        g_autofree char *path = g_build_filename(directory, "filler", NULL);

        g_assert_cmpint(unlink(path), ==, 0);
}

static void test_disk_full(Harness *h) {
        check_disk_full(h, "size=2m,mode=0700", use_up_blocks, free_blocks);
}

static void use_up_inodes(const char *directory) {
        for (unsigned i = 0;; i++) {
                g_autofree char *path = g_strdup_printf("%s/filler.%u", directory, i);
                int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                if (fd < 0)
                        break;
                close(fd);
        }
        g_assert_cmpint(errno, ==, ENOSPC);
}

static void free_inodes(const char *directory) {
        for (unsigned i = 0;; i++) {
                g_autofree char *path = g_strdup_printf("%s/filler.%u", directory, i);

                if (unlink(path) < 0)
                        break;
        }
}

static void test_no_inodes(Harness *h) {
        check_disk_full(h, "nr_inodes=100,mode=0700", use_up_inodes, free_inodes);
}

/* A machine of the test's own, in which journald and bus are nobody else's. */
static gboolean fixture_is_ours(void) {
        g_autofree char *init = NULL;

        return geteuid() == 0 && g_file_get_contents("/proc/1/comm", &init, NULL, NULL) && g_str_has_prefix(init, "user-manager");
}

static pid_t find_journald(void) {
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        const char *name;

        if (!fixture_is_ours())
                return 0;
        while ((name = g_dir_read_name(proc))) {
                g_autofree char *file = g_strdup_printf("/proc/%s/comm", name), *text = NULL;

                if (g_ascii_isdigit(name[0]) && g_file_get_contents(file, &text, NULL, NULL) && g_str_has_prefix(text, "systemd-journal"))
                        return (pid_t) g_ascii_strtoll(name, NULL, 10);
        }
        return 0;
}

static gboolean journald_runs(gpointer userdata) {
        return find_journald() > 0 && g_file_test("/run/systemd/journal/socket", G_FILE_TEST_EXISTS);
}

static void test_journald(Harness *h) {
        const char *argv[] = {"/usr/lib/systemd/systemd-journald", NULL};
        g_autofree char *path = NULL;
        g_autoptr(GError) error = NULL;
        pid_t pid = find_journald();

        if (pid == 0) {
                g_test_message("journald isn't ours here: done under tests/with-user-manager as root alone");
                return;
        }
        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo up; exec sleep 1000");
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        wait_process_gone(h, pid);
        for (int i = 0; i < 10; i++) {
                g_autofree char *other = client_start_shell(h->client, "echo up; exit 3");
                g_autoptr(GVariant) report = client_wait_ended(h->client, other);

                report_check(report, "{'ExitCode': <3>}", NULL);
        }
        assert_ready(h, path);
        (void) unlink("/run/systemd/journal/socket");
        g_spawn_async(NULL, (char **) argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        harness_wait(h, journald_runs, h, "journald runs again");
        stop_undisturbed(h, path);
        wait_logged(h, path_to_id(path), "ended: stopped");
}

/* The one bus of a session, on which systemd is too: both connections are lost at once. */
static void test_session_bus(Harness *h) {
        g_autofree char *path = NULL, *later = NULL, *unit = NULL;
        g_autoptr(GVariant) bus = NULL, report = NULL;
        pid_t pid;

        if (!fixture_is_ours()) {
                g_test_message("the session isn't ours here: done under tests/with-user-manager as root alone");
                return;
        }
        g_free(h->bus_address);
        h->bus_address = g_strdup(g_getenv("DBUS_SESSION_BUS_ADDRESS"));
        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo up; " WAIT_FOR("go") "exit 4");
        unit = client_get_string(h->client, path, "Unit");
        bus = harness_get_unit_property("dbus.service", "Service", "MainPID");
        pid = (pid_t) g_variant_get_uint32(bus);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        wait_process_gone(h, pid);
        /* It ends while systemd can't say so. */
        go_on(h, "go");
        connect_again(h);
        wait_for_name(h, "org.freedesktop.systemd1");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <4>, 'LastLine': <uint64 1>}", NULL);
        g_assert_false(harness_unit_exists(unit));
        later = start(h->client, NULL);
        stop_undisturbed(h, later);
        harness_stop_daemon(h);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"the-bus-is-restarted", test_bus_restarted},
                {"the-bus-is-restarted-while-the-daemon-is-away", test_bus_restarted_away},
                {"the-session-bus-is-restarted-with-systemd-on-it", test_session_bus},
                {"systemd-reloads", test_reload},
                {"systemd-is-executed-anew", test_reexec},
                {"systemd-is-executed-anew-under-load", test_reexec_under_load},
                {"the-clock-is-set-by-a-year", test_clock},
                {"the-disk-is-full", test_disk_full},
                {"the-disk-has-no-inodes", test_no_inodes},
                {"journald-is-restarted", test_journald},
        };

        return harness_main(argc, argv, "world", cases, G_N_ELEMENTS(cases));
}
