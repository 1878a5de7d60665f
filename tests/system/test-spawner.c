/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spawner as the daemon has it: what it does for whom, with which rights, and what it refuses. A real PID 1, real keepers, an ordinary user. */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "core/limits-set.h"
#include "spawner-fixture.h"

static void assert_status(GPid pid, const char *key, const char *expected) {
        g_autofree char *value = spawner_status_of(pid, key);

        if (strcmp(value, expected) != 0)
                g_error("%s of %d is \"%s\", not \"%s\"", key, pid, value, expected);
}

static char *cgroup_path(Spawner *s, const char *unit, const char *file) {
        g_autofree char *slice = g_strdup_printf("runtimes-u%u.slice", (unsigned) s->alice);

        return g_build_filename("/sys/fs/cgroup/runtimes.slice", slice, unit, file, NULL);
}

static char *output_of(const char *command) {
        char *text = NULL;

        g_assert_true(g_spawn_command_line_sync(command, &text, NULL, NULL, NULL));
        return g_strchomp(text);
}

static void test_users(void) {
        g_autoptr(Spawner) s = spawner_new();

        spawner_assert_user(s, "alice", 0, 0);
        g_assert_cmpuint(s->answer.user.uid, ==, s->alice);
        g_assert_cmpuint(s->answer.user.gid, ==, s->alices_group);
        g_assert_cmpstr(s->answer.user.home, ==, "/home/alice");
        g_assert_cmpstr(s->answer.user.shell, ==, "/bin/bash");
        spawner_assert_user(s, "", s->alice, 0);
        g_assert_cmpstr(s->answer.user.name, ==, "alice");
        spawner_assert_user(s, "root", 0, EPERM);
        spawner_assert_user(s, "", 0, EPERM);
        g_assert_cmpstr(s->answer.user.home, ==, "");
        spawner_assert_user(s, "nobody", 0, EPERM);
        spawner_assert_user(s, "daemon", 0, EPERM);
        spawner_assert_user(s, "no-such-user", 0, ENOENT);
        spawner_assert_user(s, "", 54321, ENOENT);
        spawner_assert_user(s, "", UINT32_MAX, ENOENT);
        spawner_assert_user(s, "al/ice", 0, ENOENT);
        spawner_assert_user(s, "alice\n", 0, ENOENT);
}

static void assert_identity(Spawner *s, GPid pid) {
        g_autofree char *uids = g_strdup_printf("%u\t%u\t%u\t%u", s->alice, s->alice, s->alice, s->alice);
        g_autofree char *gids = g_strdup_printf("%u\t%u\t%u\t%u", s->alices_group, s->alices_group, s->alices_group, s->alices_group);
        g_autofree char *groups = spawner_status_of(pid, "Groups"), *expected = output_of("id -G alice");
        g_auto(GStrv) are = g_strsplit(groups, " ", -1), should = g_strsplit(expected, " ", -1);

        assert_status(pid, "Uid", uids);
        assert_status(pid, "Gid", gids);
        assert_status(pid, "CapInh", "0000000000000000");
        assert_status(pid, "CapPrm", "0000000000000000");
        assert_status(pid, "CapEff", "0000000000000000");
        assert_status(pid, "CapAmb", "0000000000000000");
        assert_status(pid, "NoNewPrivs", "0");
        assert_status(pid, "Umask", "0022");
        g_assert_cmpuint(g_strv_length(are), ==, g_strv_length(should));
        g_assert_cmpuint(g_strv_length(are), ==, 2);
        for (char **group = should; *group; group++)
                g_assert_true(g_strv_contains((const char *const *) are, *group));
}

static void assert_limits_of_session(GPid pid) {
        g_autofree char *limits = spawner_read_of(pid, "limits"), *ours = spawner_read_of(getpid(), "limits");
        const char *line = strstr(limits, "Max open files");

        g_assert_nonnull(line);
        g_assert_true(g_str_has_prefix(strstr(ours, "Max open files"), "Max open files            1024 "));
        g_assert_true(g_str_has_prefix(line, "Max open files            1024 "));
}

static void test_keeper_is_the_user(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "who"), *name = spawner_name_of(s, "who"), *cgroup = NULL, *environment = NULL, *expected = NULL,
                        *folder = NULL, *description = NULL, *show = NULL, *text = NULL;
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");
        struct stat st;

        spawner_start(s, &start, f);
        assert_identity(s, f->pid);
        assert_identity(s, (GPid) f->executed.pid);
        assert_status((GPid) f->executed.pid, "SigBlk", "0000000000000000");
        assert_limits_of_session(f->pid);
        environment = spawner_read_of(f->pid, "environ");
        g_assert_cmpstr(environment, ==, "");
        cgroup = spawner_cgroup_of((GPid) f->executed.pid);
        expected = g_strdup_printf("/runtimes.slice/runtimes-u%u.slice/%s/payload", (unsigned) s->alice, unit);
        g_assert_cmpstr(cgroup, ==, expected);
        text = g_strdup_printf("/proc/%d/cwd", f->pid);
        g_free(cgroup);
        cgroup = g_file_read_link(text, NULL);
        g_assert_cmpstr(cgroup, ==, "/");
        g_assert_cmpint(getsid(f->pid), ==, f->pid);

        folder = g_build_filename(s->runtimes, name, NULL);
        g_assert_cmpint(lstat(folder, &st), ==, 0);
        g_assert_true(S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0700 && st.st_uid == s->alice && st.st_gid == s->alices_group);

        show = g_strdup_printf("systemctl show -P Description %s", unit);
        description = output_of(show);
        g_free(text);
        text = g_strdup_printf("Runtime %s (command)", name);
        g_assert_cmpstr(description, ==, text);
        spawner_end(s, unit, f);
}

static void assert_owner(Spawner *s, const char *unit, const char *file, bool alices) {
        g_autofree char *path = cgroup_path(s, unit, file);
        struct stat st;

        if (lstat(path, &st) < 0)
                g_error("%s: %s", path, g_strerror(errno));
        if (st.st_uid != (alices ? s->alice : 0))
                g_error("%s is of uid %u", path, (unsigned) st.st_uid);
        /* Nobody else may write there. */
        g_assert_cmpuint(st.st_mode & 022, ==, 0);
}

/* All that is there is root's, but for these. */
static void assert_folder_owners(Spawner *s, const char *unit, const char *folder, const char *const *alices) {
        g_autofree char *path = cgroup_path(s, unit, folder);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        g_assert_nonnull(dir);
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *file = g_build_filename(folder, name, NULL);

                assert_owner(s, unit, file, g_strv_contains(alices, file));
        }
}

static void test_cgroups_handed_over(void) {
        static const char *const alices[] = {"cgroup.procs",         "keeper/cgroup.procs",    "payload",
                                             "payload/cgroup.procs", "payload/cgroup.threads", "payload/cgroup.subtree_control",
                                             "payload/cgroup.kill",  "payload/cgroup.freeze",  NULL};
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "tree"), *name = spawner_name_of(s, "tree"), *script = NULL;
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f;

        /* What alice can do with it: groups of her own below the payload, and moves between the two. Nothing else. */
        script = g_strdup_printf("cd /sys/fs/cgroup/$(sed -n 's/^0:..//;s:/payload$::p' /proc/self/cgroup) || exit 1\n"
                                 "mkdir payload/mine && echo $$ >payload/mine/cgroup.procs && echo moved down\n"
                                 "echo $$ >payload/cgroup.procs && rmdir payload/mine && echo moved up\n"
                                 "mkdir mine 2>/dev/null || echo no folder\n"
                                 "rmdir payload keeper 2>/dev/null || echo no removal\n"
                                 "mv payload elsewhere 2>/dev/null || echo no renaming\n"
                                 "{ echo $$ >../cgroup.procs; } 2>/dev/null || echo not out\n"
                                 "{ echo +cpu >cgroup.subtree_control; } 2>/dev/null || echo no controllers\n"
                                 "{ echo 1 >cgroup.kill; } 2>/dev/null || echo no kill\n"
                                 "exec sleep 1000");
        f = spawner_keeper_new(s, name, script);
        spawner_start(s, &start, f);
        assert_owner(s, unit, "", false);
        assert_folder_owners(s, unit, "", alices);
        assert_folder_owners(s, unit, "keeper", alices);
        assert_folder_owners(s, unit, "payload", alices);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "moved down");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "moved up");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "no folder");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "no removal");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "no renaming");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "not out");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "no controllers");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "no kill");
        spawner_end(s, unit, f);
}

static char *property_of(const char *unit, const char *property) {
        g_autofree char *command = g_strdup_printf("systemctl show -P %s %s", property, unit);

        return output_of(command);
}

static void assert_property(const char *unit, const char *property, const char *expected) {
        g_autofree char *value = property_of(unit, property);

        if (strcmp(value, expected) != 0)
                g_error("%s of %s is \"%s\", not \"%s\"", property, unit, value, expected);
}

/* Where there is such a controller. */
static void assert_limit(Spawner *s, const char *unit, const char *file, const char *expected) {
        g_autofree char *path = cgroup_path(s, unit, file), *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return;
        g_test_message("%s: %s", file, g_strchomp(text));
        g_assert_cmpstr(text, ==, expected);
}

static void test_limits(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "limits"), *name = spawner_name_of(s, "limits");
        g_autofree char *room = g_strdup_printf("%zu", ring_file_size(LIMIT_RING_DEFAULT) + (8 << 20));
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");

        start.keys = 1U << LIMIT_MEMORY_MAX | 1U << LIMIT_MEMORY_HIGH | 1U << LIMIT_TASKS_MAX;
        start.limits[LIMIT_MEMORY_MAX] = 512 << 20;
        start.limits[LIMIT_MEMORY_HIGH] = 256 << 20;
        start.limits[LIMIT_TASKS_MAX] = 99;
        spawner_start(s, &start, f);
        assert_property(unit, "MemoryMax", "536870912");
        assert_property(unit, "MemoryHigh", "infinity");
        assert_property(unit, "TasksMax", "99");
        assert_limit(s, unit, "memory.max", "536870912");
        assert_limit(s, unit, "memory.high", "max");
        assert_limit(s, unit, "payload/memory.max", "532676608");
        assert_limit(s, unit, "payload/memory.high", "268435456");
        assert_limit(s, unit, "keeper/memory.high", room);

        start.type = SPAWNER_LIMIT;
        start.keys = 1U << LIMIT_TASKS_MAX | 1U << LIMIT_MEMORY_MAX | 1U << LIMIT_MEMORY_HIGH;
        start.limits[LIMIT_TASKS_MAX] = 55;
        start.limits[LIMIT_MEMORY_MAX] = UINT64_MAX;
        spawner_send(s, &start, sizeof(start), NULL, 0);
        g_assert_cmpint(spawner_wait(s, SPAWNER_LIMITED)->news.error, ==, 0);
        g_assert_cmpstr(s->answer.news.unit, ==, unit);
        assert_property(unit, "MemoryMax", "infinity");
        assert_property(unit, "TasksMax", "55");
        assert_limit(s, unit, "payload/memory.max", "max");
        assert_limit(s, unit, "payload/memory.high", "268435456");

        start.keys = 1U << LIMIT_MEMORY_HIGH;
        start.limits[LIMIT_MEMORY_HIGH] = UINT64_MAX;
        spawner_send(s, &start, sizeof(start), NULL, 0);
        g_assert_cmpint(spawner_wait(s, SPAWNER_LIMITED)->news.error, ==, 0);
        assert_limit(s, unit, "payload/memory.high", "max");
        assert_limit(s, unit, "keeper/memory.high", "max");
        start.keys = 1U << LIMIT_TASKS_MAX;
        start.limits[LIMIT_TASKS_MAX] = 1;
        spawner_send(s, &start, sizeof(start), NULL, 0);
        g_assert_cmpint(spawner_wait(s, SPAWNER_LIMITED)->news.error, ==, ERANGE);
        g_strlcpy(start.unit, "runtime-command-u1000_nothing.scope", sizeof(start.unit));
        start.limits[LIMIT_TASKS_MAX] = 55;
        spawner_send(s, &start, sizeof(start), NULL, 0);
        g_assert_cmpint(spawner_wait(s, SPAWNER_LIMITED)->news.error, ==, ENOENT);
        spawner_end(s, unit, f);
}

static void test_stop_tells(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "stop"), *name = spawner_name_of(s, "stop");
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");

        start.timeout_stop_usec = USEC_PER_SEC;
        spawner_start(s, &start, f);
        spawner_send_unit(s, SPAWNER_STOP, unit);
        spawner_wait(s, SPAWNER_STOPPING);
        g_assert_cmpstr(s->answer.unit.unit, ==, unit);
        spawner_wait(s, SPAWNER_GONE);
        g_assert_cmpstr(s->answer.news.unit, ==, unit);
        g_assert_cmpint(s->answer.news.error, ==, 0);
        spawner_remove(s, unit);
        spawner_keeper_free(f);
}

/* Waits, with what the spawner does next as the clock. */
static void wait_gone(Spawner *s, const char *path) {
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;

        while (!spawner_is_gone(path)) {
                if (g_get_monotonic_time() > until)
                        g_error("%s isn't removed", path);
                spawner_assert_user(s, "alice", 0, 0);
        }
}

static void wait_empty(Spawner *s) {
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;

        for (;;) {
                g_autoptr(GDir) dir = g_dir_open(s->runtimes, 0, NULL);
                const char *name = g_dir_read_name(dir);

                if (!name)
                        return;
                if (g_get_monotonic_time() > until)
                        g_error("%s isn't removed", name);
                spawner_assert_user(s, "alice", 0, 0);
        }
}

static void test_folder_is_removed_as_its_user(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "folder"), *name = spawner_name_of(s, "folder"), *folder = g_build_filename(s->runtimes, name, NULL),
                        *script = NULL;
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f;

        /* A file of root's and one of alice's to be found through links; a deep tree; folders nobody may read. */
        g_assert_true(g_file_set_contents("/run/spawner-test-precious", "x", 1, NULL));
        script = g_strdup_printf("cd %s && echo mine >~alice/precious\n"
                                 "ln -s /run/spawner-test-precious a; ln -s / root; ln -s ~alice home; ln -s .. up\n"
                                 "mkdir -p closed/below/more && touch closed/below/file && chmod 0 closed/below closed\n"
                                 "mkdir -p $(printf 'd/%%.0s' {1..1500})\n"
                                 "touch file-{1..1000}; mkfifo pipe; echo made\n"
                                 "exec sleep 1000",
                                 folder);
        f = spawner_keeper_new(s, name, script);
        spawner_start(s, &start, f);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "made");
        spawner_send_unit(s, SPAWNER_KILL, unit);
        spawner_wait_for(s, SPAWNER_GONE);
        spawner_remove(s, unit);
        wait_gone(s, folder);
        wait_empty(s);
        g_assert_true(g_file_test("/run/spawner-test-precious", G_FILE_TEST_EXISTS));
        g_assert_true(g_file_test("/home/alice/precious", G_FILE_TEST_EXISTS));
        spawner_keeper_free(f);
}

static void test_folder_of_before_is_put_away(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "again"), *name = spawner_name_of(s, "again"), *folder = g_build_filename(s->runtimes, name, NULL),
                        *file = g_build_filename(folder, "left", NULL);
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f;

        /* A link in its place is no way to have another folder given to alice. */
        g_assert_cmpint(symlink("/root", folder), ==, 0);
        f = spawner_keeper_new(s, name, "touch $0/left; echo made; exec sleep 1000");
        spawner_start(s, &start, f);
        g_assert_false(g_file_test(folder, G_FILE_TEST_IS_SYMLINK));
        spawner_send_unit(s, SPAWNER_KILL, unit);
        spawner_wait_for(s, SPAWNER_GONE);
        spawner_keeper_free(f);

        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        f = spawner_keeper_new(s, name, "exec sleep 1000");
        spawner_start(s, &start, f);
        g_assert_true(spawner_is_gone(file));
        spawner_end(s, unit, f);
}

/* A daemon that was killed while it forgot a runtime, or a spawner that was killed before it read of it, leaves a folder that nobody will ask for. */
static void test_unknown_folder_is_removed(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unknown = spawner_name_of(s, "unknown"), *known = spawner_name_of(s, "known"),
                        *unknown_folder = g_build_filename(s->runtimes, unknown, NULL), *known_folder = g_build_filename(s->runtimes, known, NULL),
                        *file = g_build_filename(unknown_folder, "file", NULL), *record = g_build_filename(s->records, known, NULL);

        g_assert_cmpint(mkdir(unknown_folder, 0700), ==, 0);
        g_assert_true(g_file_set_contents(file, "x", 1, NULL));
        g_assert_cmpint(chown(unknown_folder, s->alice, s->alices_group), ==, 0);
        g_assert_cmpint(mkdir(known_folder, 0700), ==, 0);
        spawner_connect(s);
        spawner_assert_user(s, "alice", 0, 0);
        /* Without the folder of records nothing is known of any. */
        g_assert_false(spawner_is_gone(unknown_folder));
        g_assert_cmpint(g_mkdir_with_parents(record, 0700), ==, 0);
        spawner_connect(s);
        wait_gone(s, unknown_folder);
        g_assert_false(spawner_is_gone(known_folder));
        g_assert_cmpint(rmdir(known_folder) + rmdir(record) + rmdir(s->records), ==, 0);
        wait_empty(s);
}

/* As after systemd has lost it: the same unit once more, around the keeper that is in its cgroup. */
static void test_scope_once_more(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "lost"), *name = spawner_name_of(s, "lost"), *second = NULL, *text = NULL, *expected = NULL;
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");

        spawner_start(s, &start, f);
        second = g_strdup_printf("runtime-command-%s.2.scope", name);
        start.type = SPAWNER_SCOPE;
        start.pid = (uint32_t) f->pid;
        g_strlcpy(start.unit, second, sizeof(start.unit));
        spawner_send(s, &start, sizeof(start), NULL, 0);
        spawner_wait(s, SPAWNER_STARTED);
        g_assert_cmpstr(s->answer.unit.unit, ==, second);
        text = spawner_cgroup_of(f->pid);
        expected = g_strdup_printf("/runtimes.slice/runtimes-u%u.slice/%s/keeper", (unsigned) s->alice, second);
        g_assert_cmpstr(text, ==, expected);
        spawner_send_unit(s, SPAWNER_KILL, second);
        spawner_send_unit(s, SPAWNER_KILL, unit);
        spawner_wait_for(s, SPAWNER_GONE);
        spawner_wait_for(s, SPAWNER_GONE);
        spawner_remove(s, unit);
        spawner_keeper_free(f);
}

static void test_daemon_comes_back(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "back"), *name = spawner_name_of(s, "back"), *none = spawner_unit_of(s, "none");
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");

        spawner_start(s, &start, f);
        spawner_connect(s);
        /* Until it is adopted, it isn't known. */
        spawner_send_unit(s, SPAWNER_KILL, unit);
        spawner_send_unit(s, SPAWNER_ADOPT, unit);
        spawner_send_unit(s, SPAWNER_ADOPT, none);
        spawner_wait(s, SPAWNER_GONE);
        g_assert_cmpstr(s->answer.news.unit, ==, none);
        start.type = SPAWNER_LIMIT;
        start.keys = 1U << LIMIT_TASKS_MAX;
        start.limits[LIMIT_TASKS_MAX] = 77;
        spawner_send(s, &start, sizeof(start), NULL, 0);
        g_assert_cmpint(spawner_wait(s, SPAWNER_LIMITED)->news.error, ==, 0);
        assert_property(unit, "TasksMax", "77");
        spawner_send_unit(s, SPAWNER_KILL, unit);
        spawner_wait(s, SPAWNER_GONE);
        g_assert_cmpstr(s->answer.news.unit, ==, unit);
        spawner_remove(s, unit);
        spawner_keeper_free(f);
}

static void test_daemon_gone_in_the_middle(void) {
        g_autoptr(Spawner) s = spawner_new();

        for (unsigned i = 0; i < 20; i++) {
                g_autofree char *id = g_strdup_printf("middle%u", i), *unit = spawner_unit_of(s, id), *name = spawner_name_of(s, id);
                struct spawner_start start = spawner_request(s, unit);
                Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");
                GPid pid;

                spawner_send_start(s, &start, f);
                pid = (GPid) spawner_wait(s, SPAWNER_KEEPER)->keeper.pid;
                g_assert_cmpint(pid, >, 1);
                /* A child that was let go while the connection ended has its keeper end by the link, which we close. */
                spawner_connect(s);
                spawner_keeper_free(f);
                while (spawner_send_unit(s, SPAWNER_ADOPT, unit), spawner_wait_for(s, SPAWNER_GONE), strcmp(s->answer.news.unit, unit) != 0)
                        ;
                spawner_remove(s, unit);
                assert_property(unit, "ActiveState", "inactive");
        }
        wait_empty(s);
}

static void test_many_at_once(void) {
        g_autoptr(Spawner) s = spawner_new();
        enum { N = 300 };
        Fixture *keepers[N];
        unsigned started = 0, gone = 0;

        for (unsigned i = 0; i < N; i++) {
                g_autofree char *id = g_strdup_printf("many%u", i), *unit = spawner_unit_of(s, id), *name = spawner_name_of(s, id);
                struct spawner_start start = spawner_request(s, unit);

                keepers[i] = spawner_keeper_new(s, name, "exec sleep 1000");
                spawner_send_start(s, &start, keepers[i]);
                /* Half of them at a time, or our own fds run out. */
        }
        while (started < N) {
                spawner_wait(s, 0);
                if (s->answer.type == SPAWNER_STARTED)
                        started++;
                else if (s->answer.type != SPAWNER_KEEPER)
                        g_error("%s: a message of type %u, error %d, \"%s\"", s->answer.news.unit, s->answer.type, s->answer.news.error, s->answer.news.text);
        }
        for (unsigned i = 0; i < N; i++) {
                g_autofree char *id = g_strdup_printf("many%u", i), *unit = spawner_unit_of(s, id);

                spawner_send_unit(s, SPAWNER_KILL, unit);
        }
        while (gone < N)
                gone += spawner_wait(s, 0)->type == SPAWNER_GONE;
        for (unsigned i = 0; i < N; i++) {
                g_autofree char *id = g_strdup_printf("many%u", i), *unit = spawner_unit_of(s, id);

                spawner_remove(s, unit);
                spawner_keeper_free(keepers[i]);
        }
        wait_empty(s);
}

static void test_job(void) {
        g_autoptr(Spawner) s = spawner_new();
        uint32_t type = SPAWNER_JOB;

        spawner_send(s, &type, sizeof(type), NULL, 0);
        g_assert_cmpuint(spawner_wait(s, SPAWNER_JOB_IS)->job.restart, ==, 0);
}

int main(int argc, char *argv[]) {
        const char *why;

        g_test_init(&argc, &argv, NULL);
        why = spawner_prepare();
        if (why) {
                g_print("1..0 # SKIP %s\n", why);
                return 0;
        }
        g_test_add_func("/spawner/users are known by name and uid, and some are refused", test_users);
        g_test_add_func("/spawner/a keeper is its user, and nothing else", test_keeper_is_the_user);
        g_test_add_func("/spawner/of the cgroups the user has what it needs", test_cgroups_handed_over);
        g_test_add_func("/spawner/limits are set and changed", test_limits);
        g_test_add_func("/spawner/a stop is told, and the end", test_stop_tells);
        g_test_add_func("/spawner/a folder is removed as its user", test_folder_is_removed_as_its_user);
        g_test_add_func("/spawner/what is in the place of a folder is put away", test_folder_of_before_is_put_away);
        g_test_add_func("/spawner/a folder that the daemon doesn't know is removed", test_unknown_folder_is_removed);
        g_test_add_func("/spawner/a scope can be made once more", test_scope_once_more);
        g_test_add_func("/spawner/a daemon that comes back adopts", test_daemon_comes_back);
        g_test_add_func("/spawner/a start whose daemon is gone is undone", test_daemon_gone_in_the_middle);
        g_test_add_func("/spawner/three hundred at once", test_many_at_once);
        g_test_add_func("/spawner/the job of the daemon's unit", test_job);
        return g_test_run();
}
