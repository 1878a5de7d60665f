/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program that was started runs no case: it runs itself once for each, and looks after the machine before and afterwards. What the case has
 * changed it finds in STATE, where the case notes it, so that a case may end in any way.
 *
 * There is one machine and one service, so these programs run one after the other. */

#include "system-harness.h"

#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "util/names.h"

#define MACHINE "/run/with-system/job"
#define STATE "/run/system-test"
#define MANAGER "runtime-manager.service"
#define SPAWNER "runtime-spawner.service"
#define RULES "/etc/polkit-1/rules.d/10-test.rules"
/* Its own unit throws away what rules log. */
#define POLKIT_UNIT "/run/systemd/system/polkit.service.d/50-test.conf"
#define CONFIGURATION SYSCONFDIR "/runtime-manager.conf.d/50-test.conf"
#define CASE_TIMEOUT_USEC (UINT64_C(240) * G_USEC_PER_SEC)

int system_shell(const char *script, char **ret_output) {
        const char *argv[] = {"sh", "-c", script, NULL};
        g_autoptr(GSubprocess) shell = NULL;
        g_autoptr(GBytes) output = NULL;
        g_autoptr(GError) error = NULL;

        shell = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, &error);
        g_assert_no_error(error);
        (void) g_subprocess_communicate(shell, NULL, NULL, &output, NULL, &error);
        g_assert_no_error(error);
        if (ret_output) {
                *ret_output = g_strndup(g_bytes_get_data(output, NULL) ?: "", g_bytes_get_size(output));
                g_strchomp(*ret_output);
        }
        return g_subprocess_get_if_exited(shell) ? g_subprocess_get_exit_status(shell) : 128 + g_subprocess_get_term_sig(shell);
}

char *system_run(const char *format, ...) {
        g_autofree char *script = NULL;
        char *output;
        va_list list;
        int status;

        va_start(list, format);
        script = g_strdup_vprintf(format, list);
        va_end(list);
        status = system_shell(script, &output);
        if (status != 0)
                g_error("\"%s\" exited with %d and printed: %s", script, status, output);
        return output;
}

static gboolean on_tick(gpointer userdata) {
        return G_SOURCE_CONTINUE;
}

void system_wait_output(const char *script, const char *expected) {
        gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;
        g_autofree char *output = NULL;
        guint tick = g_timeout_add(50, on_tick, NULL);

        while ((void) system_shell(script, &output), expected ? strcmp(output, expected) != 0 : output[0] == '\0') {
                if (g_get_monotonic_time() > deadline)
                        g_error("\"%s\" did not come to print \"%s\", but: %s", script, expected ?: "anything", output);
                g_clear_pointer(&output, g_free);
                g_main_context_iteration(NULL, TRUE);
        }
        g_source_remove(tick);
}

char *system_unit_property(const char *unit, const char *property) {
        return system_run("systemctl show -P %s %s", property, unit);
}

guint system_service_pid(const char *unit) {
        g_autofree char *text = system_unit_property(unit, "MainPID");

        return (guint) g_ascii_strtoull(text, NULL, 10);
}

/* What the case did to the machine, for the program that looks after it. */
static void note(const char *file, const char *line) {
        FILE *f = fopen(file, "ae");

        g_assert_nonnull(f);
        fprintf(f, "%s\n", line);
        g_assert_cmpint(fclose(f), ==, 0);
}

void system_expect_restart(void) {
        note(STATE "/restarted", "yes");
}

void system_restart_services(void) {
        system_expect_restart();
        g_free(system_run("systemctl reset-failed %s %s; systemctl restart %s %s", SPAWNER, MANAGER, SPAWNER, MANAGER));
}

void system_write_file(const char *path, const char *text) {
        g_autofree char *folder = g_path_get_dirname(path);
        g_autoptr(GError) error = NULL;

        note(STATE "/files", path);
        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_file_set_contents(path, text, -1, &error);
        g_assert_no_error(error);
        g_assert_cmpint(chmod(path, 0644), ==, 0);
}

/* It reads its rules when a file changes, but tells nobody reliably when it has. */
static void restart_polkit(void) {
        g_free(system_run("systemctl daemon-reload; systemctl reset-failed polkit; systemctl restart polkit"));
}

static char *now(void) {
        gint64 usec = g_get_real_time();

        return g_strdup_printf("@%" G_GINT64_FORMAT ".%06d", usec / G_USEC_PER_SEC, (int) (usec % G_USEC_PER_SEC));
}

static char *noted(const char *file) {
        char *text = NULL;

        (void) g_file_get_contents(file, &text, NULL, NULL);
        return g_strchomp(text ?: g_strdup(""));
}

void system_set_polkit_rule(const char *body) {
        g_autofree char *begin = now(), *exec = NULL;
        g_autofree char *text =
                g_strdup_printf("polkit.addRule(function(action, subject) {\n"
                                "    if (action.id.indexOf(\"" RM_BUS_NAME ".\") != 0)\n"
                                "        return polkit.Result.NOT_HANDLED;\n"
                                "    polkit.log(\"checked \" + action.id + \" for \" + subject.user + \" kind=\" + action.lookup(\"kind\") + \" owner=\" +\n"
                                "               action.lookup(\"owner\") + \" user=\" + action.lookup(\"user\") + \" id=\" + action.lookup(\"id\"));\n"
                                "    %s\n"
                                "});\n",
                                body);

        exec = system_run("sed -n 's/^ExecStart=\\([^ ]*\\).*/[Service]\\nExecStart=\\nExecStart=\\1/p' $(systemctl show -P FragmentPath polkit)");
        system_write_file(POLKIT_UNIT, exec);
        system_write_file(RULES, text);
        g_assert_true(g_file_set_contents(STATE "/rule-since", begin, -1, NULL));
        restart_polkit();
}

guint system_count_checks(const char *action) {
        g_autofree char *since = noted(STATE "/rule-since");
        g_autofree char *text = system_run("journalctl --sync; journalctl -q -o cat --since=%s -u polkit | grep -c 'checked %s%s' || :", since,
                                           action ?: RM_BUS_NAME, action ? " " : "");

        return (guint) g_ascii_strtoull(text, NULL, 10);
}

void system_configure(const char *text) {
        system_write_file(CONFIGURATION, text);
        system_restart_services();
}

char *system_journal(void) {
        g_autofree char *since = noted(STATE "/since");

        return system_run("journalctl --sync; journalctl -q --no-pager -o short-monotonic --since=%s -u " MANAGER " -u " SPAWNER, since);
}

char *system_name_of(AsUser *user, const char *id) {
        return g_strdup_printf("u%u_%s", (unsigned) as_user_get_uid(user), id);
}

char *system_path_of(AsUser *user, const char *id) {
        return g_strdup_printf(RM_RUNTIME_PREFIX "/u%u_%s", (unsigned) as_user_get_uid(user), id);
}

pid_t system_keeper_of(AsUser *user, const char *path) {
        g_autofree char *cgroup = as_user_get_string(user, path, "ControlGroup");
        g_autofree char *text = system_run("cat /sys/fs/cgroup%s/" RM_CGROUP_KEEPER "/cgroup.procs", cgroup);

        return (pid_t) g_ascii_strtoll(text, NULL, 10);
}

AsUser *system_new_user(System *s, const char *name) {
        AsUser *user;

        g_free(system_run("id %s >/dev/null 2>&1 || useradd --create-home --shell /bin/bash %s", name, name));
        user = as_user_new(name);
        g_ptr_array_add(s->users, user);
        return user;
}

AsUser *system_new_root(System *s) {
        AsUser *user = as_user_new("root");

        g_ptr_array_add(s->users, user);
        return user;
}

/* Whatever the case left running is no mistake; that it can be stopped and forgotten is a part of every case. */
static void forget_runtimes(AsUser *user) {
        g_autoptr(GVariant) reply = as_user_call(user, NULL, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)"));
        g_autoptr(GVariantIter) list = NULL;
        const char *path;
        GVariant *values;

        g_variant_get(reply, "(a(soa{sv}))", &list);
        while (g_variant_iter_loop(list, "(&s&o@a{sv})", NULL, &path, &values)) {
                const char *state = "";
                guint32 uid = 0;

                (void) g_variant_lookup(values, "State", "&s", &state);
                (void) g_variant_lookup(values, "UID", "u", &uid);
                if (uid != as_user_get_uid(user))
                        continue;
                if (strcmp(state, "ended") != 0)
                        as_user_stop(user, path);
                g_variant_unref(as_user_call(user, path, "Forget", NULL));
        }
}

static void run_here(const SystemCase *c, gboolean needs_service) {
        System s = {.users = g_ptr_array_new_with_free_func((GDestroyNotify) as_user_free)};

        s.alice = system_new_user(&s, "alice");
        s.bob = system_new_user(&s, "bob");
        c->run(&s, c->data);
        if (needs_service)
                for (guint i = 0; i < s.users->len; i++)
                        forget_runtimes(s.users->pdata[i]);
        g_ptr_array_unref(s.users);
}

/* Files of the case; whoever has read them is told that they are gone. */
static void remove_files(void) {
        g_autofree char *text = noted(STATE "/files");
        g_auto(GStrv) files = g_strsplit(text, "\n", -1);

        for (char **file = files; *file; file++)
                if ((*file)[0] != '\0')
                        (void) g_unlink(*file);
        if (strstr(text, RULES))
                restart_polkit();
        if (strstr(text, CONFIGURATION))
                system_restart_services();
}

/* "" if nothing is. */
static char *find_leftovers(void) {
        char *output;

        (void) system_shell("systemctl list-units --all --plain --no-legend 'runtime-*.scope' 'runtimes-u*.slice' | grep -v '\\.slice .*active' ;"
                            "ls -d /run/runtime-manager/*/ /run/runtime-manager-runtimes/* 2>/dev/null; pgrep -a runtime-keeper",
                            &output);
        return output;
}

static void clean_by_force(void) {
        (void) system_shell("systemctl kill -s KILL 'runtime-*.scope'; systemctl stop " MANAGER " " SPAWNER ";"
                            "systemctl reset-failed; rm -rf /run/runtime-manager/* /run/runtime-manager-runtimes/*; systemctl start " MANAGER,
                            NULL);
}

typedef struct Job {
        const SystemCase *c;
        gboolean needs_service;
} Job;

static void fail(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void fail(const char *format, ...) {
        g_autofree char *text = NULL;
        va_list list;

        va_start(list, format);
        text = g_strdup_vprintf(format, list);
        va_end(list);
        g_printerr("# FAILED: %s\n", text);
        g_test_fail();
}

static void check_services(guint manager, guint spawner) {
        guint manager_now = system_service_pid(MANAGER), spawner_now = system_service_pid(SPAWNER);

        if (manager_now != manager || manager_now == 0)
                fail("the service was process %u, and is %u", manager, manager_now);
        if (spawner_now != spawner && spawner != 0)
                fail("the spawner was process %u, and is %u", spawner, spawner_now);
}

static void run_case(gconstpointer userdata) {
        const Job *job = userdata;
        g_autofree char *since = NULL, *leftovers = NULL, *journal = NULL;
        g_auto(GStrv) lines = NULL;
        guint manager = 0, spawner = 0;

        if (g_test_subprocess()) {
                run_here(job->c, job->needs_service);
                return;
        }
        g_free(system_run("rm -rf " STATE "; mkdir -p " STATE));
        since = now();
        g_assert_true(g_file_set_contents(STATE "/since", since, -1, NULL));
        if (job->needs_service) {
                manager = system_service_pid(MANAGER);
                spawner = system_service_pid(SPAWNER);
        }
        g_test_trap_subprocess(NULL, CASE_TIMEOUT_USEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
        if (!g_test_trap_has_passed())
                fail("%s", g_test_trap_reached_timeout() ? "not done in time" : "the case failed");
        remove_files();
        if (!job->needs_service)
                return;
        if (!g_file_test(STATE "/restarted", G_FILE_TEST_EXISTS))
                check_services(manager, spawner);
        if (!g_test_failed()) {
                leftovers = find_leftovers();
                if (leftovers[0] != '\0')
                        fail("this was left: %s", leftovers);
        }
        if (!g_test_failed())
                return;
        journal = system_journal();
        lines = g_strsplit(journal, "\n", -1);
        for (char **line = lines; *line; line++)
                g_printerr("# journal: %s\n", *line);
        clean_by_force();
}

static const char *find_obstacle(gboolean needs_service) {
        if (geteuid() != 0 || !g_file_test(MACHINE, G_FILE_TEST_EXISTS))
                return "this takes a booted container, as root (tests/with-system)";
        if (needs_service && system_shell("systemctl cat " MANAGER " " SPAWNER, NULL) != 0)
                return "the service of the system bus is not installed";
        return NULL;
}

int system_main(int argc, char *argv[], const char *name, gboolean needs_service, const SystemCase *cases, size_t n_cases) {
        const char *obstacle = find_obstacle(needs_service);

        if (obstacle) {
                g_print("1..0 # SKIP %s\n", obstacle);
                return 0;
        }
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < n_cases; i++) {
                g_autofree char *path = g_strdup_printf("/%s/%s", name, cases[i].name);
                Job *job = g_new(Job, 1);

                *job = (Job){&cases[i], needs_service};
                g_test_add_data_func_full(path, job, run_case, g_free);
        }
        if (needs_service && !g_test_subprocess()) {
                g_autofree char *output = NULL;

                if (system_shell("systemctl reset-failed; systemctl start " MANAGER " || { journalctl -b -n 20 -u " MANAGER " -u " SPAWNER "; false; }",
                                 &output) != 0) {
                        g_printerr("%s\n", output);
                        g_print("Bail out! The service does not start\n");
                        return 1;
                }
        }
        return g_test_run();
}
