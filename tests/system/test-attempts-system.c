/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Beside the bus: cgroups, processes, sockets, folders and what others can read of them. */

#include <string.h>
#include <sys/stat.h>

#include "harness.h"
#include "util/names.h"
#include "victim.h"

#define STATE_FOLDER "/run/runtime-manager"
#define RUNTIMES_FOLDER "/run/runtime-manager-runtimes"
#define SPAWNER_SOCKET "/run/runtime-manager-spawner/socket"

static char *cgroup_of(Victim *v) {
        g_autofree char *cgroup = as_user_get_string(v->s->alice, v->path, "ControlGroup");

        g_assert_cmpstr(cgroup, !=, "");
        return g_strconcat("/sys/fs/cgroup", cgroup, NULL);
}

static void check_shell_fails(AsUser *user, const char *script) {
        g_autofree char *output = NULL;

        if (as_user_shell(user, script, &output) == 0)
                g_error("%s could do this: %s, and got: %s", as_user_get_name(user), script, output);
}

/* All that alice may write there is what moves processes within the runtime, and ends or freezes them. */
static void test_cgroup_files(System *s, gconstpointer data) {
        static const char expected[] = "./cgroup.procs\n./keeper/cgroup.procs\n./payload\n./payload/cgroup.freeze\n./payload/cgroup.kill\n"
                                       "./payload/cgroup.procs\n./payload/cgroup.subtree_control\n./payload/cgroup.threads\n";
        g_auto(Victim) v = {0};
        g_autofree char *cgroup = NULL, *found = NULL;

        victim_init(&v, s);
        cgroup = cgroup_of(&v);
        found = as_user_run(s->alice, "cd %s && find . -writable | LC_ALL=C sort", cgroup);
        g_assert_cmpstr(found, ==, expected);
        g_free(found);
        found = as_user_run(s->bob, "cd %s && find . -writable", cgroup);
        g_assert_cmpstr(found, ==, "");
}

static void test_cgroup_escape(System *s, gconstpointer data) {
        static const char *const elsewhere[] = {"..", "../..", "../../..", "../../../system.slice/dbus.service", "../../../init.scope"};
        g_autofree char *cgroup = NULL, *inside = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        cgroup = cgroup_of(&v);
        for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++) {
                g_autofree char *script = g_strdup_printf("cd %s/%s && echo %u >cgroup.procs", cgroup, elsewhere[i], v.main_pid);

                check_shell_fails(s->alice, script);
        }
        inside = as_user_run(s->alice, "cat /proc/%u/cgroup", v.main_pid);
        g_assert_nonnull(strstr(inside, "/payload\n"));
}

static void test_cgroup_subgroups(System *s, gconstpointer data) {
        g_autofree char *cgroup = NULL, *in_scope = NULL, *in_keeper = NULL, *controllers = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        cgroup = cgroup_of(&v);
        in_scope = g_strdup_printf("mkdir %s/more", cgroup);
        in_keeper = g_strdup_printf("mkdir %s/keeper/more", cgroup);
        controllers = g_strdup_printf("echo -hugetlb >%s/cgroup.subtree_control", cgroup);
        check_shell_fails(s->alice, in_scope);
        check_shell_fails(s->alice, in_keeper);
        check_shell_fails(s->alice, controllers);
        /* Below the payload she may, and it is gone with the runtime. */
        g_free(as_user_run(s->alice, "mkdir -p %s/payload/more/and/more", cgroup));
}

/* Neither in the keeper's cgroup nor in one of its own does it outlive its end. */
static void test_cgroup_hideouts(System *s, gconstpointer data) {
        static const char *const hideouts[] = {"keeper", "payload/own"};

        for (size_t i = 0; i < G_N_ELEMENTS(hideouts); i++) {
                g_autofree char *script = g_strdup_printf("c=/sys/fs/cgroup$(sed -n 's/^0:://;s,/payload$,,p' /proc/self/cgroup); mkdir -p $c/payload/own;"
                                                          " trap '' TERM; sh -c 'trap \"\" TERM HUP; echo $$ >'$c/%s'/cgroup.procs; echo moved;"
                                                          " exec tail -f /dev/null' & wait; exec tail -f /dev/null",
                                                          hideouts[i]);
                g_autofree char *path = as_user_start_shell(s->alice, script), *unit = as_user_get_string(s->alice, path, "Unit"), *gone = NULL;

                as_user_wait_text(s->alice, path, "moved");
                as_user_stop(s->alice, path);
                gone = g_strdup_printf("systemctl is-active %s; pgrep -u alice tail", unit);
                system_wait_output(gone, "inactive");
        }
}

/* The keeper holds what the service relies on. */
static void test_keeper_closed(System *s, gconstpointer data) {
        static const char *const secrets[] = {"environ", "mem", "maps", "fd", "fdinfo", "root", "cwd", "exe", "auxv", "syscall", "stack"};
        g_auto(Victim) v = {0};
        AsUser *users[] = {s->alice, s->bob};

        victim_init(&v, s);
        for (size_t u = 0; u < G_N_ELEMENTS(users); u++) {
                g_autofree char *traced = as_user_trace(users[u], v.keeper);

                g_assert_cmpstr(traced, ==, "EPERM");
                for (int fd = 0; fd < 12; fd++) {
                        g_autofree char *taken = as_user_take_fd(users[u], v.keeper, fd);

                        g_assert_cmpstr(taken, ==, "EPERM");
                }
                for (size_t i = 0; i < G_N_ELEMENTS(secrets); i++) {
                        g_autofree char *script = g_strdup_printf("f=/proc/%d/%s; if [ -d $f/ ]; then ls $f/* ; elif [ -L $f ]; then readlink $f; else"
                                                                  " head -c1 $f | grep -q .; fi",
                                                                  (int) v.keeper, secrets[i]);

                        check_shell_fails(users[u], script);
                }
        }
}

static void test_bob_kills(System *s, gconstpointer data) {
        g_autofree char *script = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        script = g_strdup_printf("kill -9 %d || kill -9 %u || kill -9 %u", (int) v.keeper, v.main_pid, system_service_pid("runtime-manager.service"));
        check_shell_fails(s->bob, script);
}

/* Her own she may; the runtime is lost, truthfully, and nothing else. */
static void test_alice_kills_keeper(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->alice, "exec tail -f /dev/null");
        g_autoptr(GVariant) report = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        g_free(as_user_run(s->alice, "kill -9 %d", (int) system_keeper_of(s->alice, path)));
        report = as_user_wait_ended(s->alice, path);
        report_check(report, "{'Result': <'lost'>, 'Reason': <'keeper-lost'>}", NULL);
}

/* A main process that alice may not signal any more is ended all the same. */
static void test_setuid(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *unit = NULL, *gone = NULL;
        g_autoptr(GVariant) report = NULL;

        g_free(system_run("install -o root -m 4755 $(command -v tail) /usr/local/bin/setuid-tail"));
        path = as_user_start_shell(s->alice, "echo up; exec setuid-tail -f /dev/null");
        as_user_wait_text(s->alice, path, "up");
        system_wait_output("ps -o euid= -C setuid-tail | tr -d ' '", "0");
        unit = as_user_get_string(s->alice, path, "Unit");
        g_variant_unref(as_user_call(s->alice, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 100000>},)")));
        report = as_user_wait_ended(s->alice, path);
        report_check(report, "{'Result': <'stopped'>}", NULL);
        gone = g_strdup_printf("systemctl is-active %s; pgrep setuid-tail", unit);
        system_wait_output(gone, "inactive");
        g_free(system_run("rm /usr/local/bin/setuid-tail"));
}

static void test_sockets(System *s, gconstpointer data) {
        g_autofree char *keeper = NULL, *control = NULL, *name = NULL;
        g_auto(Victim) v = {0};
        AsUser *users[] = {s->alice, s->bob};

        victim_init(&v, s);
        name = system_name_of(s->alice, v.id);
        keeper = g_strdup_printf(STATE_FOLDER "/%s/" RM_KEEPER_SOCKET, name);
        control = g_strdup_printf(RUNTIMES_FOLDER "/%s/" RM_CONTROL_SOCKET, name);
        g_assert_true(g_file_test(keeper, G_FILE_TEST_EXISTS));
        for (size_t u = 0; u < G_N_ELEMENTS(users); u++) {
                g_autofree char *spawner = as_user_connect(users[u], SPAWNER_SOCKET, "seqpacket"), *link = as_user_connect(users[u], keeper, "stream"),
                                *link_packet = as_user_connect(users[u], keeper, "seqpacket");

                g_assert_cmpstr(spawner, ==, "EACCES");
                g_assert_cmpstr(link, ==, "EACCES");
                g_assert_cmpstr(link_packet, ==, "EACCES");
        }
        g_free(keeper);
        keeper = as_user_connect(s->bob, control, "stream");
        g_assert_cmpstr(keeper, ==, "EACCES");
}

static void test_folders(System *s, gconstpointer data) {
        static const char *const forbidden[] = {
                "ls " STATE_FOLDER,
                "ls " RUNTIMES_FOLDER,
                "cat " STATE_FOLDER "/*/*",
                "touch " STATE_FOLDER "/x",
                "touch " RUNTIMES_FOLDER "/x",
                "mkdir " RUNTIMES_FOLDER "/u1_x",
                "ln -s / " RUNTIMES_FOLDER "/u1_x",
                "rm -r " RUNTIMES_FOLDER,
                "mv " RUNTIMES_FOLDER " /tmp",
                "touch /run/runtime-manager-spawner/x",
                "touch " SYSCONFDIR "/runtime-manager.conf",
                "touch " DATADIR "/kinds/command.kind",
        };
        g_autofree char *name = NULL, *record = NULL, *folder = NULL, *other_mode = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        for (size_t i = 0; i < G_N_ELEMENTS(forbidden); i++) {
                check_shell_fails(s->alice, forbidden[i]);
                check_shell_fails(s->bob, forbidden[i]);
        }
        name = system_name_of(s->alice, v.id);
        record = g_strdup_printf("cd " STATE_FOLDER "/%s", name);
        folder = g_strdup_printf("cd " RUNTIMES_FOLDER "/%s", name);
        check_shell_fails(s->alice, record);
        check_shell_fails(s->bob, record);
        check_shell_fails(s->bob, folder);
        g_free(as_user_run(s->alice, "%s", folder));
        other_mode = g_strdup_printf("rmdir " RUNTIMES_FOLDER "/%s || mv " RUNTIMES_FOLDER "/%s " RUNTIMES_FOLDER "/other", name, name);
        check_shell_fails(s->alice, other_mode);
}

/* In the folder that is hers she plants what she likes: nothing behind it is touched when it goes. */
static void test_planted_links(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command", options_shell("exec tail -f /dev/null", "{'Id': <'planter'>}")),
                        *name = system_name_of(s->alice, "planter"), *left = NULL, *gone = NULL;

        g_free(system_run("rm -rf /var/lib/precious; mkdir -p /var/lib/precious/sub && echo kept >/var/lib/precious/file; chmod -R a+rwX /var/lib/precious"));
        g_free(as_user_run(s->bob, "mkdir -p ~/precious && echo kept >~/precious/file && chmod -R a+rwX ~/precious"));
        g_free(as_user_run(s->alice,
                           "cd " RUNTIMES_FOLDER "/%s && rm -f * && ln -s /var/lib/precious a && ln -s /var/lib/precious/file b && ln -s ../.. c &&"
                           " ln -s /home/bob/precious d && mkdir e && ln -s /var/lib/precious e/f && ln -s / g && mkfifo h &&"
                           " mkdir i && chmod 0 i && ln -s loop loop && ln -s /dev/full " RM_CONTROL_SOCKET " && ln -s /etc/passwd " RM_NOTIFY_SOCKET,
                           name));
        as_user_stop(s->alice, path);
        g_variant_unref(as_user_call(s->alice, path, "Forget", NULL));
        gone = g_strdup_printf("ls -d " RUNTIMES_FOLDER "/%s 2>&1 | grep -c 'No such file'", name);
        system_wait_output(gone, "1");
        left = system_run("cat /var/lib/precious/file /home/bob/precious/file && ls -d /var/lib/precious/sub /etc/passwd && rm -r /var/lib/precious");
        g_assert_cmpstr(left, ==, "kept\nkept\n/etc/passwd\n/var/lib/precious/sub");
}

/* A tree that is too deep for a path, and much of it. */
static void test_planted_tree(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command", options_shell("exec tail -f /dev/null", "{'Id': <'planter'>}")),
                        *name = system_name_of(s->alice, "planter"), *gone = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        g_free(as_user_run(s->alice,
                           "cd " RUNTIMES_FOLDER "/%s && python3 -c 'import os\n"
                           "for i in range(3000): os.mkdir(\"d\" * 200); os.chdir(\"d\" * 200)' && seq 5000 | xargs touch",
                           name));
        as_user_stop(s->alice, path);
        g_variant_unref(as_user_call(s->alice, path, "Forget", NULL));
        gone = g_strdup_printf("ls -d " RUNTIMES_FOLDER "/%s 2>&1 | grep -c 'No such file'", name);
        system_wait_output(gone, "1");
}

/* Folders and programs that alice can't enter or run, also behind links in her home. */
static void test_working_directory(System *s, gconstpointer data) {
        static const char *const folders[] = {"/root", "/home/bob", "/home/alice/link-to-root", "/run/runtime-manager", "/etc/shadow", "/nowhere"};

        g_free(as_user_run(s->bob, "chmod 700 ~"));
        g_free(as_user_run(s->alice, "ln -sfn /root ~/link-to-root"));
        for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
                g_auto(Outcome) outcome =
                        as_user_try(s->alice, NULL, "StartRuntime",
                                    g_variant_new("(s@a{sv})", "command", options_shell("pwd; ls", "{'WorkingDirectory': <%s>}", folders[i])));

                if (outcome.reply)
                        g_error("a runtime was started in %s", folders[i]);
                g_test_message("%s: %s: %s", folders[i], outcome.error, outcome.message);
        }
        g_free(as_user_run(s->alice, "rm ~/link-to-root"));
}

/* What anybody can read: processes, units, the journal. */
static void test_secrets(System *s, gconstpointer data) {
        g_autofree char *unit = NULL, *cmdline = NULL, *show = NULL, *files = NULL, *journal = NULL, *status = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        unit = as_user_get_string(s->alice, v.path, "Unit");
        cmdline = as_user_run(s->bob, "tr '\\0' ' ' </proc/%d/cmdline; cat /proc/%d/comm", (int) v.keeper, (int) v.keeper);
        g_assert_null(strstr(cmdline, VICTIM_SECRET));
        cmdline[0] = '\0';
        show = as_user_run(s->bob, "systemctl show %s; systemctl status %s | grep -v 'sh -c'", unit, unit);
        g_assert_nonnull(strstr(show, "Description="));
        g_assert_null(strstr(show, VICTIM_SECRET));
        files = system_run("cat /run/systemd/transient/%s* 2>/dev/null; ls /run/systemd/transient", unit);
        g_assert_null(strstr(files, VICTIM_SECRET));
        status = system_run("tr '\\0' ' ' </proc/%d/environ", (int) v.keeper);
        g_assert_cmpstr(status, ==, "");
        journal = system_run("journalctl --sync; journalctl -b -q -o json --all | grep -c " VICTIM_SECRET " || :");
        g_assert_cmpstr(journal, ==, "0");
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"files-of-the-cgroup-that-alice-may-write", test_cgroup_files, NULL},
                {"alice-moves-her-process-out-of-the-scope", test_cgroup_escape, NULL},
                {"alice-makes-cgroups-in-the-scope", test_cgroup_subgroups, NULL},
                {"a-runtime-hides-in-another-cgroup", test_cgroup_hideouts, NULL},
                {"alice-and-bob-open-the-keeper", test_keeper_closed, NULL},
                {"bob-kills-processes", test_bob_kills, NULL},
                {"alice-kills-the-keeper", test_alice_kills_keeper, NULL},
                {"a-runtime-becomes-root-by-a-setuid-program", test_setuid, NULL},
                {"alice-and-bob-connect-to-the-sockets", test_sockets, NULL},
                {"alice-and-bob-enter-the-folders", test_folders, NULL},
                {"alice-plants-links-in-her-runtime's-folder", test_planted_links, NULL},
                {"alice-plants-a-deep-tree", test_planted_tree, NULL},
                {"alice-starts-where-she-may-not-go", test_working_directory, NULL},
                {"bob-reads-what-everybody-can", test_secrets, NULL},
        };

        return system_main(argc, argv, "attempts-system", TRUE, cases, G_N_ELEMENTS(cases));
}
