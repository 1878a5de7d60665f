/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spawner's one connection: whatever comes over it that isn't a request ends it, and reaches nobody. */

#include "spawner/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "util/macro.h"

#define DEADLINE_USEC (20 * USEC_PER_SEC)

typedef struct Fixture {
        sd_event *event;
        Peer *peer;
        struct sockaddr_un address;
        socklen_t address_size;
        int connection;
        unsigned requests, connected, lost;
        uint32_t last_type;
        size_t answers; /* sent from within a request */
        int fds[SPAWNER_FDS];
} Fixture;

static void on_request(void *userdata, const SpawnerRequest *request, const int *fds) {
        Fixture *f = userdata;

        f->requests++;
        f->last_type = request->type;
        g_assert_true((fds != NULL) == (request->type == SPAWNER_START));
        for (size_t i = 0; fds && i < SPAWNER_FDS; i++) {
                f->fds[i] = fds[i];
                g_assert_cmpint(fcntl(fds[i], F_GETFD), ==, FD_CLOEXEC);
        }
        for (size_t i = 0; i < f->answers; i++) {
                struct spawner_unit answer = {.type = SPAWNER_STARTED};

                peer_send(f->peer, &answer, sizeof(answer), -EBADF);
        }
}

static void on_lost(void *userdata) {
        Fixture *f = userdata;

        f->lost++;
}

static void on_connected(void *userdata) {
        Fixture *f = userdata;

        f->connected++;
}

static const PeerHandler handler = {on_request, on_connected, on_lost};

static int fixture_connect(Fixture *f) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(connect(fd, (struct sockaddr *) &f->address, f->address_size), ==, 0);
        return fd;
}

static Fixture *fixture_new_for(uid_t uid) {
        Fixture *f = g_new0(Fixture, 1);
        int listener;

        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(listener, >=, 0);
        /* The kernel makes up a name. */
        f->address.sun_family = AF_UNIX;
        g_assert_cmpint(bind(listener, (struct sockaddr *) &f->address, sizeof(sa_family_t)), ==, 0);
        f->address_size = sizeof(f->address);
        g_assert_cmpint(getsockname(listener, (struct sockaddr *) &f->address, &f->address_size), ==, 0);
        g_assert_cmpint(listen(listener, 8), ==, 0);
        g_assert_cmpint(peer_new(f->event, listener, uid, &handler, f, &f->peer), ==, 0);
        f->connection = fixture_connect(f);
        return f;
}

static Fixture *fixture_new(void) {
        return fixture_new_for(getuid());
}

static void fixture_free(Fixture *f) {
        peer_free(f->peer);
        fd_close(f->connection);
        sd_event_unref(f->event);
        g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* Until nothing is left to do. */
static void settle(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void send_raw(int fd, const void *bytes, size_t size, size_t n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 32)];
        } control = {};
        struct iovec part = {.iov_base = (void *) bytes, .iov_len = size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

        g_assert_cmpuint(n_fds, <=, 32);
        if (n_fds > 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                for (size_t i = 0; i < n_fds; i++) {
                        int zero = STDERR_FILENO;

                        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &zero, sizeof(int));
                }
        }
        g_assert_cmpint(sendmsg(fd, &message, MSG_NOSIGNAL), ==, (ssize_t) size);
}

static bool is_closed(int fd) {
        char bytes[sizeof(SpawnerRequest)];
        ssize_t n;

        do
                n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        while (n > 0);
        return n == 0 || errno != EAGAIN;
}

static int lowest_fd(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        fd_close(fd);
        return fd;
}

static const struct spawner_user user = {.type = SPAWNER_USER, .uid = 1000};
static const struct spawner_start start = {.type = SPAWNER_START};

static void test_requests_arrive(void) {
        g_autoptr(Fixture) f = fixture_new();
        int lowest;

        send_raw(f->connection, &user, sizeof(user), 0);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 1);
        g_assert_cmpuint(f->last_type, ==, SPAWNER_USER);
        g_assert_cmpint(peer_get_pid(f->peer), ==, getpid());
        lowest = lowest_fd();
        send_raw(f->connection, &start, sizeof(start), SPAWNER_FDS);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 2);
        for (size_t i = 0; i < SPAWNER_FDS; i++)
                g_assert_cmpint(fcntl(f->fds[i], F_GETFD), <, 0);
        g_assert_cmpint(lowest_fd(), ==, lowest);
        g_assert_false(is_closed(f->connection));
        g_assert_cmpuint(f->lost, ==, 0);
}

/* A second connection is as good as new afterwards, and no fd has stayed. */
static void assert_shown_out(const void *bytes, size_t size, size_t n_fds) {
        g_autoptr(Fixture) f = fixture_new();
        int lowest;

        settle(f);
        f->connection = fd_close(f->connection);
        settle(f);
        g_assert_cmpuint(f->lost, ==, 1);
        lowest = lowest_fd();
        f->connection = fixture_connect(f);
        settle(f);
        send_raw(f->connection, bytes, size, n_fds);
        /* What comes behind it isn't heard. */
        if (send(f->connection, &user, sizeof(user), MSG_NOSIGNAL) < 0)
                g_assert_cmpint(errno, ==, EPIPE);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 0);
        g_assert_cmpuint(f->lost, ==, 2);
        g_assert_true(is_closed(f->connection));
        g_assert_cmpint(peer_get_pid(f->peer), ==, 0);
        f->connection = fd_close(f->connection);
        g_assert_cmpint(lowest_fd(), ==, lowest);
        f->connection = fixture_connect(f);
        send_raw(f->connection, &user, sizeof(user), 0);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 1);
}

static void test_wrong_size(void) {
        uint8_t bytes[sizeof(SpawnerRequest) + 1000] = {SPAWNER_START};

        for (size_t size = 1; size < sizeof(bytes); size += size < 8 ? 1 : 61)
                if (size != sizeof(start))
                        assert_shown_out(bytes, size, SPAWNER_FDS);
        assert_shown_out(bytes, sizeof(SpawnerRequest) + 1, 0);
        assert_shown_out(bytes, sizeof(start) - 1, SPAWNER_FDS);
        assert_shown_out(bytes, sizeof(start) + 1, SPAWNER_FDS);
}

static void test_wrong_type(void) {
        SpawnerRequest request = {};

        for (uint32_t type = 0; type < 80; type++) {
                if (type >= SPAWNER_USER && type <= SPAWNER_JOB)
                        continue;
                request.type = type;
                assert_shown_out(&request, sizeof(struct spawner_unit), 0);
        }
        request.type = UINT32_MAX;
        assert_shown_out(&request, sizeof(uint32_t), 0);
}

static void test_wrong_fds(void) {
        for (size_t n = 0; n < 32; n++)
                if (n != SPAWNER_FDS)
                        assert_shown_out(&start, sizeof(start), n);
        assert_shown_out(&user, sizeof(user), 1);
        assert_shown_out(&user, sizeof(user), 30);
}

static void test_strings_without_end(void) {
        struct spawner_unit unit = {.type = SPAWNER_KILL};
        struct spawner_user name = user;

        memset(unit.unit, 'x', sizeof(unit.unit));
        assert_shown_out(&unit, sizeof(unit), 0);
        memset(name.name, 'x', sizeof(name.name));
        assert_shown_out(&name, sizeof(name), 0);
}

static void test_only_the_daemon(void) {
        g_autoptr(Fixture) f = fixture_new_for(getuid() + 1);

        if (send(f->connection, &user, sizeof(user), MSG_NOSIGNAL) < 0)
                g_assert_cmpint(errno, ==, EPIPE);
        settle(f);
        g_assert_cmpuint(f->requests + f->lost, ==, 0);
        g_assert_true(is_closed(f->connection));
}

static void test_new_connection_replaces(void) {
        g_autoptr(Fixture) f = fixture_new();
        int old;

        settle(f);
        old = f->connection;
        f->connection = fixture_connect(f);
        settle(f);
        g_assert_cmpuint(f->lost, ==, 1);
        g_assert_true(is_closed(old));
        fd_close(old);
        send_raw(f->connection, &user, sizeof(user), 0);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 1);
}

static void test_paused(void) {
        g_autoptr(Fixture) f = fixture_new();

        settle(f);
        peer_pause(f->peer, true);
        send_raw(f->connection, &user, sizeof(user), 0);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 0);
        peer_pause(f->peer, false);
        settle(f);
        g_assert_cmpuint(f->requests, ==, 1);
        /* Its end is seen all the same. */
        peer_pause(f->peer, true);
        f->connection = fd_close(f->connection);
        settle(f);
        g_assert_cmpuint(f->lost, ==, 1);
}

static void test_answers_are_queued(void) {
        g_autoptr(Fixture) f = fixture_new();
        struct spawner_unit answer;
        size_t n = 0;

        f->answers = 5000;
        send_raw(f->connection, &user, sizeof(user), 0);
        settle(f);
        while (n < f->answers) {
                ssize_t size = recv(f->connection, &answer, sizeof(answer), MSG_DONTWAIT);

                if (size < 0) {
                        g_assert_cmpint(errno, ==, EAGAIN);
                        g_assert_cmpint(sd_event_run(f->event, DEADLINE_USEC), >, 0);
                        continue;
                }
                g_assert_cmpint(size, ==, sizeof(answer));
                n++;
        }
        g_assert_cmpuint(f->lost, ==, 0);
}

static void test_peer_that_does_not_read(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->answers = 200000;
        send_raw(f->connection, &user, sizeof(user), 0);
        settle(f);
        g_assert_cmpuint(f->lost, ==, 1);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/spawner-peer/requests arrive, and their fds go again", test_requests_arrive);
        g_test_add_func("/spawner-peer/a message of the wrong size ends it", test_wrong_size);
        g_test_add_func("/spawner-peer/a message of the wrong type ends it", test_wrong_type);
        g_test_add_func("/spawner-peer/missing and surplus fds end it", test_wrong_fds);
        g_test_add_func("/spawner-peer/a string without end ends it", test_strings_without_end);
        g_test_add_func("/spawner-peer/nobody but the daemon is let in", test_only_the_daemon);
        g_test_add_func("/spawner-peer/a new connection replaces the old", test_new_connection_replaces);
        g_test_add_func("/spawner-peer/nothing is read while it is paused", test_paused);
        g_test_add_func("/spawner-peer/answers are queued", test_answers_are_queued);
        g_test_add_func("/spawner-peer/who doesn't read is shown out", test_peer_that_does_not_read);
        return g_test_run();
}
