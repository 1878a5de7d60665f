/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "spawner-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

/* Only where nothing that we do stays: users are made. */
#define MARKER "/run/with-system/job"

const char *spawner_prepare(void) {
        if (getuid() != 0 || sd_booted() <= 0 || access(MARKER, F_OK) < 0)
                return "needs a booted machine of its own, as root (run it with tests/with-system)";
        if (access("/run/dbus/system_bus_socket", F_OK) < 0)
                return "there is no system bus";
        return NULL;
}

uid_t spawner_user(const char *name, gid_t *ret_group) {
        g_autofree char *line = getpwnam(name) ? g_strdup_printf("usermod --append --groups audio %s", name)
                                               : g_strdup_printf("useradd --create-home --shell /bin/bash --groups audio %s", name);
        const struct passwd *entry;

        /* Other tests may have made the user, in fewer groups. */
        g_assert_true(g_spawn_command_line_sync(line, NULL, NULL, NULL, NULL));
        entry = getpwnam(name);
        g_assert_nonnull(entry);
        if (ret_group)
                *ret_group = entry->pw_gid;
        return entry->pw_uid;
}

static char *spawner_path(void) {
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *directory = g_path_get_dirname(self);
        const char *build = g_getenv("RM_BUILD_DIR");

        return build ? g_build_filename(build, "runtime-spawner", NULL) : g_build_filename(directory, "..", "..", "src", "runtime-spawner", NULL);
}

int spawner_connect_as(Spawner *s, uid_t uid) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

        g_assert_cmpint(fd, >=, 0);
        (void) g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", s->directory);
        g_assert_cmpint(seteuid(uid), ==, 0);
        do
                r = connect(fd, (struct sockaddr *) &address, sizeof(address));
        while (r < 0 && errno == EINTR && g_get_monotonic_time() < until);
        g_assert_cmpint(seteuid(0), ==, 0);
        g_assert_cmpint(r, ==, 0);
        return fd;
}

void spawner_connect(Spawner *s) {
        fd_close(s->connection);
        s->connection = spawner_connect_as(s, DAEMON_UID);
}

/* Its socket is made and listened on by us, and passed as systemd passes it: then nobody has to wait for it. */
static void run(int listener, const char *runtimes, const char *records) {
        g_autofree char *path = spawner_path(), *uid = g_strdup_printf("%d", DAEMON_UID), *pid = g_strdup_printf("%d", getpid());

        if (listener != SD_LISTEN_FDS_START)
                dup2(listener, SD_LISTEN_FDS_START);
        else
                (void) fcntl(listener, F_SETFD, 0);
        g_setenv("LISTEN_FDS", "1", TRUE);
        g_setenv("LISTEN_PID", pid, TRUE);
        execl(path, "runtime-spawner", "--daemon-uid", uid, "--runtimes", runtimes, "--records", records, NULL);
        _exit(72);
}

Spawner *spawner_new(void) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        Spawner *s = g_new0(Spawner, 1);
        int fd;

        s->connection = s->answer_fd = -EBADF;
        s->alice = spawner_user("alice", &s->alices_group);
        s->directory = g_dir_make_tmp("spawner-test-XXXXXX", NULL);
        g_assert_nonnull(s->directory);
        g_assert_cmpint(chmod(s->directory, 0755), ==, 0);
        s->runtimes = g_build_filename("/run", "spawner-test", NULL);
        (void) mkdir(s->runtimes, 0711);
        s->records = g_build_filename(s->directory, "records", NULL);

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        (void) g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", s->directory);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(chmod(address.sun_path, 0666), ==, 0);
        g_assert_cmpint(listen(fd, 8), ==, 0);
        s->pid = fork();
        g_assert_cmpint(s->pid, >=, 0);
        if (s->pid == 0)
                run(fd, s->runtimes, s->records);
        fd_close(fd);
        spawner_connect(s);
        return s;
}

void spawner_free(Spawner *s) {
        g_autofree char *path = g_build_filename(s->directory, "socket", NULL);
        int status;

        fd_close(s->connection);
        fd_close(s->answer_fd);
        g_assert_cmpint(kill(s->pid, SIGTERM), ==, 0);
        g_assert_cmpint(waitpid(s->pid, &status, 0), ==, s->pid);
        g_assert_cmpint(status, ==, 0);
        (void) g_unlink(path);
        (void) g_rmdir(s->directory);
        g_free(s->directory);
        g_free(s->runtimes);
        g_free(s->records);
        g_free(s);
}

void spawner_send(Spawner *s, const void *message, size_t size, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 20)];
        } control = {};
        struct iovec part = {.iov_base = (void *) message, .iov_len = size};
        struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};

        if (n_fds > 0) {
                head.msg_control = control.bytes;
                head.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        }
        g_assert_cmpint(sendmsg(s->connection, &head, MSG_NOSIGNAL), ==, (ssize_t) size);
}

void spawner_send_unit(Spawner *s, enum spawner_type type, const char *unit) {
        struct spawner_unit message = {.type = type};

        g_strlcpy(message.unit, unit, sizeof(message.unit));
        spawner_send(s, &message, sizeof(message), NULL, 0);
}

static void wait_readable(Spawner *s, const char *what) {
        struct pollfd pollfd = {.fd = s->connection, .events = POLLIN};

        if (poll(&pollfd, 1, DEADLINE_USEC / 1000) != 1)
                g_error("no %s came; the last message was of type %u, error %d, \"%s\"", what, s->answer.type, s->answer.news.error, s->answer.news.text);
}

const SpawnerAnswer *spawner_wait(Spawner *s, enum spawner_type type) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec part = {.iov_base = &s->answer, .iov_len = sizeof(s->answer)};
        struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
        g_autofree char *what = g_strdup_printf("message of type %d", type);
        ssize_t n;

        wait_readable(s, what);
        n = recvmsg(s->connection, &head, MSG_CMSG_CLOEXEC);
        if (n <= 0)
                g_error("the connection ended when a message of type %d was expected", type);
        s->answer_fd = fd_close(s->answer_fd);
        if (CMSG_FIRSTHDR(&head))
                memcpy(&s->answer_fd, CMSG_DATA(CMSG_FIRSTHDR(&head)), sizeof(int));
        if (type != 0 && s->answer.type != type)
                g_error("a message of type %u came instead of %d: error %d, \"%s\"", s->answer.type, type, s->answer.news.error, s->answer.news.text);
        return &s->answer;
}

const SpawnerAnswer *spawner_wait_for(Spawner *s, enum spawner_type type) {
        while (spawner_wait(s, 0)->type != type)
                ;
        return &s->answer;
}

void spawner_wait_closed(Spawner *s) {
        char byte;

        wait_readable(s, "end of the connection");
        g_assert_cmpint(recv(s->connection, &byte, 1, 0), <=, 0);
        s->connection = fd_close(s->connection);
}

Fixture *spawner_keeper_new(Spawner *s, const char *name, const char *script) {
        Fixture *f = g_new0(Fixture, 1);

        f->directory = g_build_filename(s->runtimes, name, NULL);
        f->link = f->ring_fd = f->reply_fd = f->marker_fd = -EBADF;
        f->controls = g_ptr_array_new_with_free_func(g_free);
        f->header = (struct spec_header){.version = SPEC_VERSION, .leftover_usec = 5 * USEC_PER_SEC, .abandon_usec = 60 * USEC_PER_SEC};
        f->cursor = ring_cursor_after(0);
        f->spec = spec_new(&f->header);
        spec_add_string(f->spec, SPEC_DIRECTORY, f->directory);
        spec_add_string(f->spec, SPEC_WORKING_DIRECTORY, "/");
        spec_add_string(f->spec, SPEC_ENVIRONMENT, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
        fixture_add_shell(f, false, script);
        f->ring_fd = ring_create(LIMIT_RING_DEFAULT, 0);
        g_assert_cmpint(ring_reader_init(&f->ring, f->ring_fd), ==, 0);
        return f;
}

void spawner_keeper_free(Fixture *f) {
        fd_close(f->link);
        fd_close(f->ring_fd);
        ring_reader_done(&f->ring);
        spec_free(f->spec);
        g_ptr_array_unref(f->controls);
        g_free(f->directory);
        g_free(f);
}

struct spawner_start spawner_request(Spawner *s, const char *unit) {
        struct spawner_start start = {.type = SPAWNER_START, .uid = s->alice, .timeout_stop_usec = 10 * USEC_PER_SEC};

        g_strlcpy(start.unit, unit, sizeof(start.unit));
        return start;
}

/* As the daemon does: in a folder of its own, bound and not yet listening. */
static int bind_keeper_socket(Spawner *s) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void) g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/keeper", s->directory);
        (void) g_unlink(address.sun_path);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        return fd;
}

void spawner_send_start(Spawner *s, const struct spawner_start *start, Fixture *f) {
        g_autofree char *path = g_build_filename(s->directory, "keeper", NULL);
        _cleanup_close_ int theirs = -EBADF, spec = -EBADF, socket_fd = -EBADF;
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        f->link = pair[0];
        theirs = pair[1];
        spec = spec_to_memfd(f->spec);
        g_assert_cmpint(spec, >=, 0);
        socket_fd = bind_keeper_socket(s);
        spawner_send(s, start, sizeof(*start), (int[]){theirs, f->ring_fd, spec, socket_fd}, SPAWNER_FDS);
        (void) g_unlink(path);
}

void spawner_start(Spawner *s, const struct spawner_start *start, Fixture *f) {
        spawner_send_start(s, start, f);
        f->pid = (GPid) spawner_wait(s, SPAWNER_KEEPER)->keeper.pid;
        g_assert_cmpint(s->answer_fd, >=, 0);
        g_assert_cmpstr(s->answer.keeper.unit, ==, start->unit);
        spawner_wait(s, SPAWNER_STARTED);
        g_assert_cmpstr(s->answer.unit.unit, ==, start->unit);
        fixture_wait(f, LINK_HELLO, 1);
        g_assert_cmpuint(f->hello.pid, ==, (unsigned) f->pid);
        fixture_run(f, 0);
        while (f->seen[LINK_EXECUTED] == 0) {
                int seen;

                if (!fixture_read(f, g_get_monotonic_time() + DEADLINE_USEC, &seen) || seen < 0 || f->seen[LINK_FAILED] > 0)
                        g_error("the keeper executes nothing: stage %u, %s", f->failed.stage, g_strerror(f->failed.error));
        }
}

/* Names of this test alone: units of other tests may still be going. */
char *spawner_unit_of(Spawner *s, const char *id) {
        return g_strdup_printf("runtime-command-u%u_%s.scope", (unsigned) s->alice, id);
}

char *spawner_name_of(Spawner *s, const char *id) {
        return g_strdup_printf("u%u_%s", (unsigned) s->alice, id);
}

char *spawner_read_of(GPid pid, const char *file) {
        g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, file);
        g_autoptr(GError) error = NULL;
        char *text;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

/* The words behind a key of /proc/PID/status. */
char *spawner_status_of(GPid pid, const char *key) {
        g_autofree char *text = spawner_read_of(pid, "status"), *start = g_strdup_printf("\n%s:", key);
        const char *line = strstr(text, start);

        g_assert_nonnull(line);
        line += strlen(start);
        return g_strstrip(g_strndup(line, strcspn(line, "\n")));
}

/* In the unified tree; there may be others beside it. */
char *spawner_cgroup_of(GPid pid) {
        g_autofree char *text = spawner_read_of(pid, "cgroup");
        const char *line = strstr(text, "0::/");

        g_assert_nonnull(line);
        line += strlen("0::");
        return g_strndup(line, strcspn(line, "\n"));
}

void spawner_assert_user(Spawner *s, const char *name, uid_t uid, int error) {
        struct spawner_user request = {.type = SPAWNER_USER, .cookie = 7, .uid = uid};

        g_strlcpy(request.name, name, sizeof(request.name));
        spawner_send(s, &request, sizeof(request), NULL, 0);
        spawner_wait(s, SPAWNER_USER_IS);
        g_assert_cmpuint(s->answer.user.cookie, ==, 7);
        g_assert_cmpint(s->answer.user.error, ==, error);
}

void spawner_remove(Spawner *s, const char *unit) {
        spawner_send_unit(s, SPAWNER_REMOVE, unit);
        /* No answer comes to that. A later question's says that it has been read, by a spawner that may be ended right after. */
        spawner_assert_user(s, "alice", 0, 0);
}

void spawner_end(Spawner *s, const char *unit, Fixture *f) {
        spawner_send_unit(s, SPAWNER_KILL, unit);
        spawner_wait_for(s, SPAWNER_GONE);
        spawner_remove(s, unit);
        spawner_keeper_free(f);
}

bool spawner_is_gone(const char *path) {
        return access(path, F_OK) < 0;
}
