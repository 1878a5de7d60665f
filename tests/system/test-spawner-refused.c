/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A daemon that has been taken over, as the spawner meets it: what it is refused, and that nothing comes of it. */

#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "core/limits-set.h"
#include "spawner-fixture.h"

static void assert_refused(Spawner *s, const struct spawner_start *start, int error) {
        Fixture *f = spawner_keeper_new(s, "u1_none", "true");

        spawner_send_start(s, start, f);
        spawner_wait(s, SPAWNER_FAILED);
        if (s->answer.news.error != error)
                g_error("%s of uid %u: error %d, not %d: %s", start->unit, start->uid, s->answer.news.error, error, s->answer.news.text);
        spawner_keeper_free(f);
}

static void test_refusals(void) {
        g_autoptr(Spawner) s = spawner_new();
        struct spawner_start start = spawner_request(s, "runtime-command-u0_x.scope");
        g_autofree char *unit = spawner_unit_of(s, "x");

        start.uid = 0;
        assert_refused(s, &start, EPERM);
        start.uid = s->alice;
        assert_refused(s, &start, EINVAL);
        start = spawner_request(s, "runtime-command-u65534_x.scope");
        start.uid = 65534;
        assert_refused(s, &start, EPERM);
        start = spawner_request(s, "runtime-command-u1_x.scope");
        start.uid = 1;
        assert_refused(s, &start, EPERM);
        start = spawner_request(s, "runtime-command-u989_x.scope");
        start.uid = DAEMON_UID;
        assert_refused(s, &start, EPERM);
        start = spawner_request(s, "runtime-command-u54321_x.scope");
        start.uid = 54321;
        assert_refused(s, &start, ENOENT);
        start = spawner_request(s, "ssh.service");
        assert_refused(s, &start, EINVAL);
        start = spawner_request(s, unit);
        start.keys = 1U << LIMIT_TASKS_MAX;
        start.limits[LIMIT_TASKS_MAX] = 1;
        assert_refused(s, &start, ERANGE);
        start = spawner_request(s, unit);
        start.pid = 1;
        assert_refused(s, &start, EINVAL);
        g_assert_true(spawner_is_gone("/run/spawner-test/u0_x"));
}

/* A service has a user of its own while it runs, whom NSS knows: it isn't one of those who log in. */
static void test_users_of_services(void) {
        g_autoptr(Spawner) s = spawner_new();

        g_assert_true(g_spawn_command_line_sync("systemd-run --quiet --unit=own-user -p DynamicUser=yes -p User=own-user sleep 1000", NULL, NULL, NULL, NULL));
        if (!getpwnam("own-user"))
                g_test_skip("NSS doesn't know the users of systemd's services here");
        else
                spawner_assert_user(s, "own-user", 0, EPERM);
        g_assert_true(g_spawn_command_line_sync("systemctl stop own-user.service", NULL, NULL, NULL, NULL));
}

static void assert_no_scope(Spawner *s, struct spawner_start *start, pid_t pid, int error) {
        start->type = SPAWNER_SCOPE;
        start->pid = (uint32_t) pid;
        spawner_send(s, start, sizeof(*start), NULL, 0);
        spawner_wait(s, SPAWNER_FAILED);
        g_assert_cmpint(s->answer.news.error, ==, error);
}

static void test_scope_takes_no_other_process(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "keeper"), *name = spawner_name_of(s, "keeper"), *other = spawner_unit_of(s, "other"), *text = NULL;
        struct spawner_start start = spawner_request(s, unit), again = spawner_request(s, other);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");
        GPid pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                /* alice's, but no keeper. */
                if (setresgid(s->alices_group, s->alices_group, s->alices_group) < 0 || setresuid(s->alice, s->alice, s->alice) < 0)
                        _exit(1);
                pause();
                _exit(0);
        }
        spawner_start(s, &start, f);
        assert_no_scope(s, &again, getpid(), EPERM);
        assert_no_scope(s, &again, 1, EINVAL);
        assert_no_scope(s, &again, f->pid, EPERM);
        assert_no_scope(s, &again, INT32_MAX, ESRCH);
        for (;;) {
                g_autofree char *uids = spawner_status_of(pid, "Uid");

                if (!g_str_has_prefix(uids, "0\t"))
                        break;
        }
        assert_no_scope(s, &again, pid, EPERM);
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        text = spawner_cgroup_of(f->pid);
        g_assert_nonnull(strstr(text, unit));
        spawner_end(s, unit, f);
}

static void test_same_unit_twice(void) {
        g_autoptr(Spawner) s = spawner_new();
        g_autofree char *unit = spawner_unit_of(s, "twice"), *name = spawner_name_of(s, "twice");
        struct spawner_start start = spawner_request(s, unit);
        Fixture *f = spawner_keeper_new(s, name, "exec sleep 1000");

        spawner_start(s, &start, f);
        assert_refused(s, &start, EEXIST);
        spawner_end(s, unit, f);
}

static void test_strangers_and_broken_messages(void) {
        static const int none[20];
        g_autoptr(Spawner) s = spawner_new();
        struct spawner_start start = spawner_request(s, "runtime-command-u1000_x.scope");
        struct spawner_unit unit = {.type = SPAWNER_STOP};
        int stranger;

        /* Whoever isn't the daemon is shown out, and the daemon notices nothing. */
        for (unsigned i = 0; i < 2; i++) {
                Spawner other = {.connection = stranger = spawner_connect_as(s, i == 0 ? s->alice : 0)};

                spawner_wait_closed(&other);
        }
        spawner_assert_user(s, "alice", 0, 0);

        spawner_send(s, &start, sizeof(start) - 1, NULL, 0);
        spawner_wait_closed(s);
        spawner_connect(s);
        spawner_send(s, &start, sizeof(start), NULL, 0);
        spawner_wait_closed(s);
        spawner_connect(s);
        spawner_send(s, &start, sizeof(start), none, 20);
        spawner_wait_closed(s);
        spawner_connect(s);
        memset(unit.unit, 'x', sizeof(unit.unit));
        spawner_send(s, &unit, sizeof(unit), NULL, 0);
        spawner_wait_closed(s);
        spawner_connect(s);
        spawner_assert_user(s, "alice", 0, 0);
}

/* Whatever of it is alice's, she may stop. */
static pid_t stop_all_of(uid_t uid) {
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid != 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setresuid(uid, uid, uid) < 0)
                _exit(1);
        for (;;)
                (void) kill(-1, SIGSTOP);
}

/* More starts than there may be at a time, each stopped as soon as it is somebody's; who asks next is answered. */
static void test_stopped_keepers(void) {
        g_autoptr(Spawner) s = spawner_new();
        enum { N = 40 };
        Fixture *keepers[N];
        unsigned ended = 0;
        pid_t stopper = stop_all_of(s->alice);

        for (unsigned i = 0; i < N; i++) {
                g_autofree char *id = g_strdup_printf("stopped%u", i), *unit = spawner_unit_of(s, id), *name = spawner_name_of(s, id);
                struct spawner_start start = spawner_request(s, unit);

                keepers[i] = spawner_keeper_new(s, name, "exec sleep 1000");
                spawner_send_start(s, &start, keepers[i]);
        }
        spawner_send(s, &(struct spawner_user){.type = SPAWNER_USER, .uid = s->alice}, sizeof(struct spawner_user), NULL, 0);
        spawner_wait_for(s, SPAWNER_USER_IS);
        g_assert_cmpint(s->answer.user.error, ==, 0);
        for (unsigned i = 0; i < N; i++) {
                g_autofree char *id = g_strdup_printf("stopped%u", i), *unit = spawner_unit_of(s, id);

                spawner_send_unit(s, SPAWNER_KILL, unit);
        }
        while (ended < N) {
                spawner_wait(s, 0);
                ended += s->answer.type == SPAWNER_FAILED || s->answer.type == SPAWNER_GONE;
        }
        g_assert_cmpint(kill(stopper, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(stopper, NULL, 0), ==, stopper);
        for (unsigned i = 0; i < N; i++) {
                g_autofree char *id = g_strdup_printf("stopped%u", i), *unit = spawner_unit_of(s, id);

                spawner_remove(s, unit);
                spawner_keeper_free(keepers[i]);
        }
}

int main(int argc, char *argv[]) {
        const char *why;

        g_test_init(&argc, &argv, NULL);
        why = spawner_prepare();
        if (why) {
                g_print("1..0 # SKIP %s\n", why);
                return 0;
        }
        g_test_add_func("/spawner-refused/requests beyond the daemon's rights are refused", test_refusals);
        g_test_add_func("/spawner-refused/the users of services are no users", test_users_of_services);
        g_test_add_func("/spawner-refused/a scope takes no process but its keeper", test_scope_takes_no_other_process);
        g_test_add_func("/spawner-refused/a unit that is there isn't made again", test_same_unit_twice);
        g_test_add_func("/spawner-refused/a user who stops its keepers holds up nobody", test_stopped_keepers);
        g_test_add_func("/spawner-refused/strangers and broken messages are shown out", test_strangers_and_broken_messages);
        return g_test_run();
}
