/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A keeper whose daemon is another user: it listens where it was told to, looks up what only its own user can see, and takes the cgroups as they were made. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "keeper-fixture.h"
#include "util/names.h"

static Fixture *new_with(uint32_t flags) {
        Fixture *f = fixture_new();

        f->header.flags = flags;
        return f;
}

/* A command by a name, in place of fixture_add_command(). */
static void add_named(Fixture *f, bool setup, const char *name) {
        SpecBuilder *spec = fixture_spec(f);
        uint32_t value = setup;

        spec_add(spec, SPEC_COMMAND, &value, sizeof(value));
        spec_add_string(spec, SPEC_EXECUTABLE, name);
        spec_add_string(spec, SPEC_ARGUMENT, name);
}

static void assert_failed(Fixture *f, enum link_stage stage, int error) {
        fixture_wait(f, LINK_FAILED, 1);
        g_assert_cmpuint(f->failed.stage, ==, stage);
        g_assert_cmpint(f->failed.error, ==, error);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_look_up(void) {
        g_autoptr(Fixture) f = new_with(SPEC_LOOK_UP);

        add_named(f, true, "true");
        add_named(f, false, "/bin/true");
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait_settled(f);
        g_assert_cmpint(f->exited.status, ==, 0);
        fixture_run(f, 1);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->seen[LINK_FAILED], ==, 0);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_not_found(void) {
        static const struct {
                const char *name;
                int error;
        } cases[] = {{"no-such-program", ENOENT}, {"bin/true", ENOENT}, {"/etc/passwd", EACCES}, {"/etc", ENOENT}};

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(Fixture) f = new_with(SPEC_LOOK_UP);

                add_named(f, false, cases[i].name);
                fixture_start(f);
                fixture_run(f, 0);
                assert_failed(f, LINK_STAGE_EXECUTABLE, cases[i].error);
        }
}

static void test_name_without_look_up(void) {
        g_autoptr(Fixture) f = new_with(0);

        add_named(f, false, "true");
        fixture_start(f);
        fixture_run(f, 0);
        assert_failed(f, LINK_STAGE_SPEC, EBADMSG);
}

static void test_required_program(void) {
        g_autoptr(Fixture) f = new_with(SPEC_LOOK_UP);

        spec_add_string(fixture_spec(f), SPEC_REQUIRED_PROGRAM, "no-such-program");
        add_named(f, true, "true");
        add_named(f, false, "true");
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait(f, LINK_FAILED, 1);
        g_assert_cmpuint(f->failed.stage, ==, LINK_STAGE_REQUIRED_PROGRAM);
        g_assert_cmpint(f->failed.error, ==, ENOENT);
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_required_file(void) {
        static const struct {
                const char *path;
                int error;
        } cases[] = {{"/etc/passwd", 0}, {"/no/such/file", ENOENT}, {"/etc", EISDIR}, {"/etc/passwd/file", ENOTDIR}};

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autoptr(Fixture) f = new_with(SPEC_LOOK_UP);

                spec_add_string(fixture_spec(f), SPEC_REQUIRED_PROGRAM, "true");
                spec_add_string(fixture_spec(f), SPEC_REQUIRED_FILE, cases[i].path);
                add_named(f, false, "true");
                if (cases[i].error == 0)
                        fixture_run_to_done(f);
                else {
                        fixture_start(f);
                        fixture_run(f, 0);
                        assert_failed(f, LINK_STAGE_REQUIRED_FILE, cases[i].error);
                }
        }
}

static void bind_socket(Fixture *f, const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        f->socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(bind(f->socket_fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
}

static void test_listens_where_it_is_told(void) {
        g_autoptr(Fixture) f = new_with(SPEC_LISTEN);
        g_autofree char *path = g_strconcat(f->directory, ".keeper", NULL), *own = fixture_path(f, RM_KEEPER_SOCKET);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct ucred peer;
        socklen_t size = sizeof(peer);

        bind_socket(f, path);
        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        fixture_add_shell(f, false, "read -r line < /proc/self/fd/6 2>/dev/null && exit 9; exec sleep 60");
        fixture_start(f);
        fd_close(f->socket_fd);
        fixture_execute(f, 0);
        g_assert_false(g_file_test(own, G_FILE_TEST_EXISTS));

        fixture_disconnect(f);
        f->link = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        g_assert_cmpint(connect(f->link, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(getsockopt(f->link, SOL_SOCKET, SO_PEERCRED, &peer, &size), ==, 0);
        /* The keeper's, not of who has bound it. */
        g_assert_cmpint(peer.pid, ==, f->pid);
        fixture_wait(f, LINK_EXECUTED, 1);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGKILL), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
        /* It is the daemon's. */
        g_assert_cmpint(g_unlink(path), ==, 0);
}

static void test_no_socket_to_listen_on(void) {
        g_autoptr(Fixture) f = new_with(SPEC_LISTEN);

        fixture_add_shell(f, false, "true");
        fixture_start(f);
        fixture_run(f, 0);
        assert_failed(f, LINK_STAGE_SOCKET, EBADF);
}

static void test_placed(void) {
        g_autoptr(Fixture) f = new_with(0);
        g_autofree char *scope = g_strdup(f->cgroup), *payload = g_build_filename(scope, RM_CGROUP_PAYLOAD, NULL),
                        *nested = g_build_filename(scope, RM_CGROUP_KEEPER, RM_CGROUP_KEEPER, NULL);

        /* As the spawner leaves it. */
        g_free(f->cgroup);
        f->cgroup = g_build_filename(scope, RM_CGROUP_KEEPER, NULL);
        g_assert_cmpint(mkdir(f->cgroup, 0755), ==, 0);
        g_assert_cmpint(mkdir(payload, 0755), ==, 0);
        fixture_add_shell(f, false, "grep -q '/payload$' /proc/self/cgroup");
        fixture_run_to_done(f);
        g_assert_cmpint(f->exited.status, ==, 0);
        g_assert_false(g_file_test(nested, G_FILE_TEST_EXISTS));
        g_free(f->cgroup);
        f->cgroup = g_steal_pointer(&scope);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;
        g_test_add_func("/keeper-user/executables are looked up in the runtime's PATH", test_look_up);
        g_test_add_func("/keeper-user/an executable that isn't there, or may not be executed", test_not_found);
        g_test_add_func("/keeper-user/a name is no path where nothing is looked up", test_name_without_look_up);
        g_test_add_func("/keeper-user/a required program stops the first step", test_required_program);
        g_test_add_func("/keeper-user/a required file stops the command", test_required_file);
        g_test_add_func("/keeper-user/it listens on the socket that it was given", test_listens_where_it_is_told);
        g_test_add_func("/keeper-user/without that socket nothing is run", test_no_socket_to_listen_on);
        g_test_add_func("/keeper-user/cgroups that were made for it are taken as they are", test_placed);
        return g_test_run();
}
