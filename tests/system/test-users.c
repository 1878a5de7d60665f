/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a user gets: a runtime of its own, with what a login shell has, in a slice of its own. What differs from a login shell is in the documentation,
 * and here. */

#include <string.h>
#include <sys/stat.h>

#include "harness.h"
#include "util/names.h"
#include "system-harness.h"

/* What a shell script prints as a runtime of the user, from beginning to end. */
static char *run_as_runtime(AsUser *user, const char *script, const char *options) {
        g_autofree char *path = as_user_start(user, "command", options_shell(script, options));
        g_autoptr(GVariant) report = as_user_wait_ended(user, path);
        char *text = as_user_read_text(user, path);

        report_check(report, "{'Result': <'success'>}", NULL);
        return g_strchomp(text);
}

/* The same as a process that PID 1 starts for that user, without PAM. systemd would expand a single $. */
static char *run_by_systemd(AsUser *user, const char *script) {
        g_autofree char *quoted = g_shell_quote(script);
        g_autoptr(GString) escaped = g_string_new(quoted);

        g_string_replace(escaped, "$", "$$", 0);
        return system_run("systemd-run --quiet --wait --pipe --collect -p IgnoreSIGPIPE=no --uid=%s sh -c %s", as_user_get_name(user), escaped->str);
}

static void test_ids(System *s, gconstpointer data) {
        g_autofree char *ids = NULL, *login = NULL;
        AsUser *carol = system_new_user(s, "carol");

        g_free(system_run("getent group team >/dev/null || groupadd team; usermod -aG team carol"));
        ids = run_as_runtime(carol, "id; grep -E '^(Uid|Gid|Groups)' /proc/self/status", NULL);
        login = system_run("su -l carol -c \"id; grep -E '^(Uid|Gid|Groups)' /proc/self/status\"");
        g_assert_cmpstr(ids, ==, login);
        g_assert_nonnull(strstr(ids, "(team)"));
}

/* Who and where one is; and nothing of the services' own. */
static void test_environment(System *s, gconstpointer data) {
        static const char *const unwanted[] = {"NOTIFY_SOCKET",         "INVOCATION_ID",         "JOURNAL_STREAM", "LISTEN_FDS",
                                               "WATCHDOG_USEC",         "RUNTIME_DIRECTORY",     "MAINPID",        "SYSTEMD_EXEC_PID",
                                               "CREDENTIALS_DIRECTORY", "DBUS_STARTER_BUS_TYPE", "LD_PRELOAD",     "MANAGERPID"};
        g_autofree char *basics = run_as_runtime(s->alice, "echo $HOME $USER $LOGNAME $SHELL; pwd; umask; echo $PATH", NULL),
                        *all = run_as_runtime(s->alice, "env", NULL);
        const char *rest = basics;

        g_assert_true(g_str_has_prefix(rest, "/home/alice alice alice /bin/bash\n/home/alice\n0022\n/"));
        g_assert_nonnull(strstr(rest, "/usr/bin"));
        for (size_t i = 0; i < G_N_ELEMENTS(unwanted); i++) {
                g_autofree char *variable = g_strdup_printf("%s=", unwanted[i]);

                if (g_str_has_prefix(all, variable) || strstr(all, g_strconcat("\n", variable, NULL)))
                        g_error("%s is in the environment of a runtime", unwanted[i]);
        }
}

static void test_limits_of_processes(System *s, gconstpointer data) {
        static const char script[] =
                "cat /proc/self/limits; cat /proc/self/oom_score_adj; ps -o ni= -p $$; grep -E '^(Sig(Blk|Ign|Cgt)|Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp)"
                "' /proc/self/status";
        g_autofree char *here = run_as_runtime(s->alice, script, NULL), *there = run_by_systemd(s->alice, script),
                        *inheritable = run_as_runtime(s->alice, "grep CapInh /proc/self/status", NULL);

        /* The container has a seccomp filter for all that is in it; a runtime has as many as anybody. */
        g_assert_cmpstr(here, ==, g_strchomp(there));
        g_assert_nonnull(strstr(here, "NoNewPrivs:\t0"));
        g_assert_nonnull(strstr(here, "CapEff:\t0000000000000000"));

        /* Newer managers hand on what they have themselves, which is much in a container. */
        g_assert_cmpstr(inheritable, ==, "CapInh:\t0000000000000000");
}

static void test_no_new_privileges(System *s, gconstpointer data) {
        g_autofree char *text = run_as_runtime(s->alice, "grep NoNewPrivs /proc/self/status", "{'NoNewPrivileges': <true>}");

        g_assert_cmpstr(text, ==, "NoNewPrivs:\t1");
}

/* Seen from outside: no namespace is other than that of PID 1, no fd is left open. */
static void test_no_sandbox(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->alice, "exec tail -f /dev/null"), *namespaces = NULL, *of_init = NULL, *fds = NULL;
        guint32 pid = as_user_get_number(s->alice, path, "MainPID");

        system_wait_output("pgrep -c -u alice -x tail", "1");
        namespaces = system_run("cd /proc/%u/ns && for n in *; do readlink $n; done; readlink /proc/%u/root", pid, pid);
        of_init = system_run("cd /proc/1/ns && for n in *; do readlink $n; done; readlink /proc/1/root");
        g_assert_cmpstr(namespaces, ==, of_init);
        fds = as_user_run(s->alice, "ls /proc/%u/fd | head -n 3 | tr '\\n' ' '; ls -l /proc/%u/fd | grep -cE 'memfd|socket' || :", pid, pid);
        g_assert_cmpstr(fds, ==, "0 1 2 0\n");
}

static void test_files(System *s, gconstpointer data) {
        g_autofree char *text = NULL, *seen = NULL;

        g_free(as_user_run(s->alice, "echo mine >~/a-file; rm -rf ~/made"));
        g_free(system_run("rm -f /tmp/of-a-runtime /var/tmp/of-a-runtime"));
        text = run_as_runtime(s->alice, "cat a-file && mkdir made && echo x >/tmp/of-a-runtime && echo y >/var/tmp/of-a-runtime && echo done", NULL);
        g_assert_cmpstr(text, ==, "mine\ndone");
        seen = system_run("stat -c '%%U %%a' /home/alice/made /tmp/of-a-runtime /var/tmp/of-a-runtime; rm -f /tmp/of-a-runtime /var/tmp/of-a-runtime");
        g_assert_cmpstr(seen, ==, "alice 755\nalice 644\nalice 644");
}

static void test_slice(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->alice, "exec tail -f /dev/null"), *unit = as_user_get_string(s->alice, path, "Unit"),
                        *slice = g_strdup_printf("runtimes-u%u.slice", (unsigned) as_user_get_uid(s->alice)), *found = NULL, *parent = NULL, *tree = NULL;

        found = system_unit_property(unit, "Slice");
        g_assert_cmpstr(found, ==, slice);
        parent = system_unit_property(slice, "Slice");
        g_assert_cmpstr(parent, ==, "runtimes.slice");
        tree = system_run("systemd-cgls --no-pager -l -u %s", slice);
        g_assert_nonnull(strstr(tree, unit));
        g_assert_nonnull(strstr(tree, "tail -f /dev/null"));
}

static void check_unit(const char *unit, const char *property, const char *expected) {
        g_autofree char *value = system_unit_property(unit, property);

        g_assert_cmpstr(value, ==, expected);
}

static void test_limits(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command",
                                              options_shell("exec tail -f /dev/null",
                                                            "{'MemoryMax': <uint64 268435456>, 'TasksMax': <uint64 77>, 'CPUWeight': <uint64 50>,"
                                                            " 'CPUQuotaPerSecUSec': <uint64 500000>}")),
                        *unit = as_user_get_string(s->alice, path, "Unit");

        check_unit(unit, "MemoryMax", "268435456");
        check_unit(unit, "TasksMax", "77");
        check_unit(unit, "CPUWeight", "50");
        check_unit(unit, "CPUQuotaPerSecUSec", "500ms");
        g_variant_unref(as_user_call(s->alice, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 55>, 'MemoryMax': <uint64 134217728>},)")));
        check_unit(unit, "TasksMax", "55");
        check_unit(unit, "MemoryMax", "134217728");
}

static void test_pipes(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command", options_shell("cat", "{'Input': <'pipe'>}")), *error = NULL, *text = NULL;

        g_variant_unref(as_user_call(s->alice, path, "OpenInput", NULL));
        error = as_user_fd_write(s->alice, 0, "through the pipe\n");
        g_assert_cmpstr(error, ==, "");
        as_user_wait_text(s->alice, path, "through the pipe\n");
        g_variant_unref(as_user_call(s->alice, path, "CloseInput", NULL));
        as_user_fd_close(s->alice, 0);
        g_variant_unref(as_user_wait_ended(s->alice, path));
        text = as_user_read_text(s->alice, path);
        g_assert_cmpstr(text, ==, "through the pipe\n");
}

static guint count_runtimes(AsUser *user) {
        g_autoptr(GVariant) reply = as_user_call(user, NULL, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)")), list = g_variant_get_child_value(reply, 0);

        return (guint) g_variant_n_children(list);
}

static void test_each_their_own(System *s, gconstpointer data) {
        g_autofree char *hers = as_user_start_shell(s->alice, "exec tail -f /dev/null"), *his = as_user_start_shell(s->bob, "exec tail -f /dev/null");
        AsUser *root = system_new_root(s);

        g_free(as_user_start_shell(s->alice, "exec tail -f /dev/null"));
        g_assert_cmpuint(count_runtimes(s->alice), ==, 2);
        g_assert_cmpuint(count_runtimes(s->bob), ==, 1);
        g_assert_cmpuint(count_runtimes(root), ==, 3);
        g_assert_cmpuint(as_user_get_number(root, hers, "UID"), ==, as_user_get_uid(s->alice));
        /* Root may do what they may. */
        g_variant_unref(as_user_call(root, his, "Stop", g_variant_new_parsed("(@a{sv} {},)")));
        g_variant_unref(as_user_wait_ended(s->bob, his));
}

static void test_default_id(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->alice, "echo $RUNTIME_MANAGER_ID; exec cat </dev/null"), *id = as_user_get_string(s->alice, path, "Id"),
                        *expected = system_path_of(s->alice, id), *unit = as_user_get_string(s->alice, path, "Unit"),
                        *unit_expected = g_strdup_printf("runtime-command-u%u_%s.scope", (unsigned) as_user_get_uid(s->alice), id);

        g_assert_cmpstr(path, ==, expected);
        g_assert_true(unit[0] == '\0' || strcmp(unit, unit_expected) == 0);
        g_assert_cmpuint(as_user_get_number(s->alice, path, "StarterUID"), ==, as_user_get_uid(s->alice));
}

static void test_not_found(System *s, gconstpointer data) {
        g_autofree char *message = as_user_call_fails(s->alice, NULL, "StartRuntime",
                                                      g_variant_new_parsed("('command', {'Command': <['no-such-program-here']>})"), "ExecutableNotFound");

        g_assert_nonnull(strstr(message, "no-such-program-here"));
}

/* A program in her home, found in the PATH that she gives. */
static void test_own_path(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *text = NULL;

        g_free(as_user_run(s->alice, "chmod 700 ~; mkdir -p ~/bin; printf '#!/bin/sh\\necho mine\\n' >~/bin/of-alice; chmod 700 ~/bin/of-alice"));
        path = as_user_start(s->alice, "command", g_variant_new_parsed("{'Command': <['of-alice']>, 'Environment': <['PATH=/home/alice/bin:/usr/bin:/bin']>}"));
        g_variant_unref(as_user_wait_ended(s->alice, path));
        text = as_user_read_text(s->alice, path);
        g_assert_cmpstr(text, ==, "mine\n");
}

static void test_elixir(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *state = NULL;
        g_autoptr(GVariant) connection = NULL;

        if (system_shell("command -v elixir", NULL) != 0)
                return;
        path = as_user_start(s->alice, "elixir-standalone", g_variant_new_parsed("{'TimeoutHandshakeUSec': <uint64 40000000>}"));
        state = as_user_wait_ready(s->alice, path);
        g_assert_cmpstr(state, ==, "ready");
        connection = as_user_call(s->alice, path, "GetConnection", NULL);
}

/* Her project, in a home that is hers alone, compiled there. */
static void test_mix(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *state = NULL, *built = NULL;

        if (system_shell("command -v mix", NULL) != 0)
                return;
        g_free(as_user_run(s->alice, "%s",
                           "chmod 700 ~; rm -rf ~/good; mkdir -p ~/good/lib && cat >~/good/mix.exs <<'END'\n"
                           "defmodule Good.MixProject do\n  use Mix.Project\n  def project, do: [app: :good, version: \"0.1.0\"]\n"
                           "  def application, do: [extra_applications: [:logger]]\nend\nEND\n"
                           "echo 'defmodule Good do\n  def hello, do: :world\nend' >~/good/lib/good.ex"));
        path = as_user_start(s->alice, "mix-standalone",
                             g_variant_new_parsed("{'ProjectPath': <'/home/alice/good'>, 'TimeoutHandshakeUSec': <uint64 40000000>}"));
        state = as_user_wait_ready(s->alice, path);
        g_assert_cmpstr(state, ==, "ready");
        built = as_user_run(s->alice, "stat -c %%U ~/good/_build");
        g_assert_cmpstr(built, ==, "alice\n");
        as_user_stop(s->alice, path);
        /* bob can't even be told whether it is there, but by the file system. */
        g_auto(Outcome) bobs = as_user_try(s->bob, NULL, "StartRuntime", g_variant_new_parsed("('mix-standalone', {'ProjectPath': <'/home/alice/good'>})"));
        if (bobs.reply)
                g_error("bob has got alice's project");
}

/* In her name, by journald's word; and the life of it under the id that she knows, and the name that root knows. */
static void test_journal(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command",
                                              options_shell("echo in-the-journal; exec sleep 1000", "{'Id': <'journaled'>, 'Journal': <true>}")),
                        *name = system_name_of(s->alice, "journaled"), *unit = as_user_get_string(s->alice, path, "Unit"),
                        *lines = g_strdup_printf("journalctl --sync; journalctl -q -o cat RUNTIME_ID=journaled RUNTIME_STREAM=stdout _UID=%u _SYSTEMD_UNIT=%s",
                                                 as_user_get_uid(s->alice), unit);
        g_autofree char *by_id = NULL, *by_name = NULL;

        system_wait_output(lines, "in-the-journal");
        as_user_stop(s->alice, path);
        g_variant_unref(as_user_wait_ended(s->alice, path));
        by_id = system_run("journalctl --sync; journalctl -q -o cat RUNTIME_ID=journaled -t runtime-managerd");
        by_name = system_run("journalctl -q -o cat RUNTIME_ID=%s -t runtime-managerd", name);
        g_assert_nonnull(strstr(by_id, "is ready"));
        g_assert_nonnull(strstr(by_id, "ended: stopped"));
        g_assert_cmpstr(by_id, ==, by_name);
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"ids-and-groups-are-those-of-a-login", test_ids, NULL},
                {"environment-is-that-of-the-user", test_environment, NULL},
                {"limits-signals-and-capabilities-are-those-of-any-process", test_limits_of_processes, NULL},
                {"no-new-privileges-is-an-option", test_no_new_privileges, NULL},
                {"output-goes-to-the-journal-as-its-users", test_journal, NULL},
                {"no-sandbox-and-no-fd-is-inherited", test_no_sandbox, NULL},
                {"files-are-the-user's", test_files, NULL},
                {"the-scope-is-below-the-user's-slice", test_slice, NULL},
                {"limits-are-on-the-unit", test_limits, NULL},
                {"a-pipe-is-passed-to-the-user", test_pipes, NULL},
                {"each-sees-their-own-and-root-all", test_each_their_own, NULL},
                {"a-chosen-id-is-in-path-and-unit", test_default_id, NULL},
                {"a-missing-program-is-told", test_not_found, NULL},
                {"a-program-in-a-private-home-is-found", test_own_path, NULL},
                {"elixir-standalone-is-ready", test_elixir, NULL},
                {"mix-standalone-is-ready-in-a-private-home", test_mix, NULL},
        };

        return system_main(argc, argv, "users", TRUE, cases, G_N_ELEMENTS(cases));
}
