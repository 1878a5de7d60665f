/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who was killed for memory, by a kernel that the test plays: its counters are files, and the first process is a child of the test. */

#include "keeper/memory.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/wait.h>

#include "keeper/clock.h"

typedef struct Fixture {
        char *scope, *payload;
        Cgroup cgroup;
        Memory memory;
        pid_t main;
} Fixture;

static void write_events(const char *directory, unsigned high, unsigned kills) {
        g_autofree char *path = g_build_filename(directory, "memory.events", NULL);
        g_autofree char *text = g_strdup_printf("low 0\nhigh %u\nmax 7\noom 3\noom_kill %u\noom_group_kill 0\n", high, kills);
        int fd;

        /* In place, as the kernel does: the room holds the file open. */
        fd = g_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
        close(fd);
}

static void set_up(Fixture *f, gconstpointer data) {
        f->scope = g_dir_make_tmp("rm-memory-XXXXXX", NULL);
        f->payload = g_build_filename(f->scope, "payload", NULL);
        g_assert_cmpint(g_mkdir(f->payload, 0700), ==, 0);
        write_events(f->scope, 0, 0);
        write_events(f->payload, 0, 0);
        f->cgroup = CGROUP_EMPTY;
        f->cgroup.payload_fd = open(f->payload, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->memory = MEMORY_EMPTY;
        g_assert_false(memory_begin(&f->memory, &f->cgroup, 0));
        memory_open(&f->memory, &f->cgroup);
        g_assert_cmpint(f->memory.events_fd, >=, 0);

        f->main = fork();
        g_assert_cmpint(f->main, >=, 0);
        if (f->main == 0)
                for (;;)
                        pause();
}

static void tear_down(Fixture *f, gconstpointer data) {
        const char *const names[] = {"payload/memory.events", "payload", "memory.events", "."};

        if (f->main > 0) {
                kill(f->main, SIGKILL);
                waitpid(f->main, NULL, 0);
        }
        memory_close(&f->memory);
        cgroup_done(&f->cgroup);
        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                g_autofree char *path = g_build_filename(f->scope, names[i], NULL);

                (void) g_remove(path);
        }
        (void) g_rmdir(f->scope);
        g_free(f->payload);
        g_free(f->scope);
}

/* The kernel counts, and tells. */
static bool count(Fixture *f, unsigned high, unsigned kills) {
        write_events(f->payload, high, kills);
        /* The scope's count is nothing to us. */
        write_events(f->scope, high + 100, kills);
        return memory_look(&f->memory, &f->cgroup, f->main);
}

static bool look_again(Fixture *f) {
        g_assert_cmpuint(f->memory.look_usec, !=, USEC_INFINITY);
        return memory_look(&f->memory, &f->cgroup, f->main);
}

static bool reaped(Fixture *f, int code, int status, bool killed_here) {
        siginfo_t info = {};

        info.si_code = code;
        info.si_status = status;
        return memory_reaped(&f->memory, &f->cgroup, &info, killed_here);
}

static void assert_told(Fixture *f, bool main_killed, unsigned others) {
        g_assert_cmpuint(f->memory.told.main_killed, ==, main_killed);
        g_assert_cmpuint(f->memory.others, ==, others);
}

static void kill_main_unreaped(Fixture *f) {
        siginfo_t info;

        g_assert_cmpint(kill(f->main, SIGKILL), ==, 0);
        g_assert_cmpint(waitid(P_PID, (id_t) f->main, &info, WEXITED | WNOWAIT), ==, 0);
}

/* Not at the first look: the signal may still be on its way to the first process. */
static void test_child(Fixture *f, gconstpointer data) {
        g_assert_false(count(f, 0, 1));
        g_assert_true(look_again(f));
        g_assert_cmpuint(f->memory.told.type, ==, LINK_MEMORY);
        g_assert_cmpuint(f->memory.told.oom_kills, ==, 1);
        g_assert_cmpuint(f->memory.look_usec, ==, USEC_INFINITY);
        /* A stranger's SIGKILL after it is no kill for memory. */
        g_assert_false(reaped(f, CLD_KILLED, SIGKILL, false));
        assert_told(f, false, 1);
}

static void test_main(Fixture *f, gconstpointer data) {
        write_events(f->payload, 0, 1);
        g_assert_true(reaped(f, CLD_KILLED, SIGKILL, false));
        assert_told(f, true, 0);
        g_assert_cmpuint(f->memory.told.oom_kills, ==, 0);
}

static void test_main_dies_slowly(Fixture *f, gconstpointer data) {
        kill_main_unreaped(f);
        g_assert_false(count(f, 0, 1));
        g_assert_false(look_again(f));
        g_assert_false(look_again(f));
        g_assert_true(reaped(f, CLD_KILLED, SIGKILL, false));
        assert_told(f, true, 0);
}

static void test_main_and_children(Fixture *f, gconstpointer data) {
        g_assert_false(count(f, 0, 2));
        g_assert_true(look_again(f));
        write_events(f->payload, 0, 5);
        g_assert_true(reaped(f, CLD_KILLED, SIGKILL, false));
        assert_told(f, true, 4);
        /* What is left of it is killed too. */
        write_events(f->payload, 0, 6);
        (void) memory_look(&f->memory, &f->cgroup, 0);
        assert_told(f, true, 5);
}

static void test_ours(Fixture *f, gconstpointer data) {
        write_events(f->payload, 0, 1);
        g_assert_true(reaped(f, CLD_KILLED, SIGKILL, true));
        assert_told(f, false, 1);
}

static void test_no_kill(Fixture *f, gconstpointer data) {
        g_assert_false(reaped(f, CLD_KILLED, SIGKILL, false));
        assert_told(f, false, 0);
}

static void test_other_ends(Fixture *f, gconstpointer data) {
        write_events(f->payload, 0, 1);
        g_assert_true(reaped(f, CLD_EXITED, SIGKILL, false)); /* exit status 9 */
        assert_told(f, false, 1);
        write_events(f->payload, 0, 2);
        (void) reaped(f, CLD_KILLED, SIGTERM, false);
        assert_told(f, false, 2);
}

static void test_next_command(Fixture *f, gconstpointer data) {
        write_events(f->payload, 0, 1);
        g_assert_true(reaped(f, CLD_KILLED, SIGKILL, false));
        g_assert_true(memory_begin(&f->memory, &f->cgroup, 1));
        g_assert_cmpuint(f->memory.told.command, ==, 1);
        g_assert_cmpuint(f->memory.told.main_killed, ==, 0);
        (void) reaped(f, CLD_KILLED, SIGKILL, false);
        assert_told(f, false, 1);
}

static void test_high(Fixture *f, gconstpointer data) {
        uint64_t now_usec = clock_usec(CLOCK_MONOTONIC);

        g_assert_true(count(f, 3, 0));
        g_assert_cmpuint(f->memory.told.high, ==, 3);
        /* The next time it has to wait, but not for ever, and a kill doesn't wait with it. */
        for (unsigned high = 4; high < 10; high++)
                g_assert_false(count(f, high, 0));
        g_assert_true(f->memory.settling);
        g_assert_false(look_again(f));
        g_assert_false(f->memory.settling);
        g_assert_false(count(f, 10, 1));
        g_assert_true(look_again(f));
        g_assert_cmpuint(f->memory.told.oom_kills, ==, 1);
        g_assert_cmpuint(f->memory.told.high, ==, 3);
        g_assert_cmpuint(f->memory.look_usec, >, now_usec + USEC_PER_SEC);
        g_assert_cmpuint(f->memory.look_usec, <, now_usec + 60 * USEC_PER_SEC);
        f->memory.tell_high_usec = now_usec;
        g_assert_true(look_again(f));
        g_assert_cmpuint(f->memory.told.high, ==, 10);
}

static void test_many_kills(Fixture *f, gconstpointer data) {
        unsigned told = 0;

        for (unsigned kills = 1; kills <= 100; kills++)
                told += count(f, 0, kills);
        told += look_again(f);
        g_assert_cmpuint(told, <, 3);
        f->memory.tell_oom_usec = 0;
        g_assert_true(look_again(f));
        g_assert_cmpuint(f->memory.told.oom_kills, ==, 100);
}

static void test_no_controller(void) {
        Memory memory = MEMORY_EMPTY;
        siginfo_t info = {};

        info.si_code = CLD_KILLED;
        info.si_status = SIGKILL;
        memory_open(&memory, &CGROUP_EMPTY);
        g_assert_cmpint(memory.events_fd, <, 0);
        g_assert_false(memory_begin(&memory, &CGROUP_EMPTY, 0));
        g_assert_false(memory_look(&memory, &CGROUP_EMPTY, getpid()));
        g_assert_false(memory_reaped(&memory, &CGROUP_EMPTY, &info, false));
        g_assert_cmpuint(memory.told.main_killed, ==, 0);
        memory_close(&memory);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *path;
                void (*run)(Fixture *f, gconstpointer data);
        } cases[] = {
                {"/keeper-memory/a-child-is-told-when-the-first-process-is-known-to-live", test_child},
                {"/keeper-memory/the-first-process", test_main},
                {"/keeper-memory/a-first-process-that-is-dying-is-not-taken-for-a-child", test_main_dies_slowly},
                {"/keeper-memory/the-first-process-among-others", test_main_and_children},
                {"/keeper-memory/our-own-sigkill-is-not-the-kernel's", test_ours},
                {"/keeper-memory/sigkill-alone-says-nothing", test_no_kill},
                {"/keeper-memory/other-ends-are-not-for-memory", test_other_ends},
                {"/keeper-memory/a-new-command-begins-anew", test_next_command},
                {"/keeper-memory/memory-high-is-told-now-and-then", test_high},
                {"/keeper-memory/many-kills-are-told-together", test_many_kills},
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
                g_test_add(cases[i].path, Fixture, NULL, set_up, cases[i].run, tear_down);
        g_test_add_func("/keeper-memory/without-a-controller-nothing-is-said", test_no_controller);
        return g_test_run();
}
