/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Single messages of the link: what goes in comes out, nothing blocks, and no fd is leaked. */

#include "util/link.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct Pair {
        int fds[2];
        uint8_t buffer[LINK_MESSAGE_MAX];
} Pair;

static Pair *pair_new(void) {
        Pair *pair = g_new0(Pair, 1);

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair->fds), ==, 0);
        return pair;
}

static void pair_free(Pair *pair) {
        fd_close(pair->fds[0]);
        fd_close(pair->fds[1]);
        g_free(pair);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pair, pair_free)

static unsigned count_fds(void) {
        g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
        unsigned n = 0;

        while (g_dir_read_name(dir))
                n++;
        return n;
}

static void test_head_and_body(void) {
        g_autoptr(Pair) pair = pair_new();
        struct link_request head = {.type = LINK_INPUT_WRITE, .cookie = 7};
        int fd = 0;

        g_assert_cmpint(link_send_message(pair->fds[0], &head, sizeof(head), "body", 4, -EBADF), ==, 0);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, sizeof(head) + 4);
        g_assert_cmpmem(pair->buffer, sizeof(head), &head, sizeof(head));
        g_assert_cmpmem(pair->buffer + sizeof(head), 4, "body", 4);
        g_assert_cmpint(fd, ==, -EBADF);
}

static void test_the_longest_message(void) {
        g_autoptr(Pair) pair = pair_new();
        g_autofree uint8_t *body = g_malloc0(LINK_MESSAGE_MAX);
        struct link_request head = {.type = LINK_INPUT_WRITE};
        int fd;

        g_assert_cmpint(link_send_message(pair->fds[0], &head, sizeof(head), body, LINK_MESSAGE_MAX - sizeof(head), -EBADF), ==, 0);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, LINK_MESSAGE_MAX);
        g_assert_cmpint(link_send_message(pair->fds[0], &head, sizeof(head), body, LINK_MESSAGE_MAX, -EBADF), ==, -EMSGSIZE);
}

static void test_an_fd_travels(void) {
        g_autoptr(Pair) pair = pair_new();
        unsigned before = count_fds();
        uint32_t type = LINK_HELLO;
        int pipes[2], fd;

        g_assert_cmpint(pipe2(pipes, O_CLOEXEC), ==, 0);
        g_assert_cmpint(link_send_message(pair->fds[0], &type, sizeof(type), NULL, 0, pipes[1]), ==, 0);
        fd_close(pipes[1]);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, sizeof(type));
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
        g_assert_cmpint(write(fd, "x", 1), ==, 1);
        fd_close(fd);
        fd_close(pipes[0]);
        g_assert_cmpuint(count_fds(), ==, before);
}

static void send_fds(int socket_fd, unsigned n) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 64)];
        } control = {};
        uint32_t type = LINK_HELLO;
        struct iovec part = {.iov_base = &type, .iov_len = sizeof(type)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n);
        for (unsigned i = 0; i < n; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &null, sizeof(int));
        g_assert_cmpint(sendmsg(socket_fd, &message, 0), ==, sizeof(type));
        fd_close(null);
}

static void test_surplus_fds_are_closed(void) {
        g_autoptr(Pair) pair = pair_new();
        unsigned before = count_fds();
        int fd = -EBADF;

        send_fds(pair->fds[0], 5);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, 4);
        g_assert_cmpint(fd, >=, 0);
        fd_close(fd);
        g_assert_cmpuint(count_fds(), ==, before);

        send_fds(pair->fds[0], 64);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, -EBADMSG);
        g_assert_cmpuint(count_fds(), ==, before);
}

static void test_nothing_blocks(void) {
        g_autoptr(Pair) pair = pair_new();
        uint8_t body[4096] = {};
        uint32_t type = LINK_CONTROL;
        int fd, r;

        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, -EAGAIN);
        do
                r = link_send_message(pair->fds[0], &type, sizeof(type), body, sizeof(body), -EBADF);
        while (r == 0);
        g_assert_cmpint(r, ==, -EAGAIN);
}

static void test_the_end(void) {
        g_autoptr(Pair) pair = pair_new();
        uint32_t type = LINK_COLLECT;
        int fd;

        g_assert_cmpint(link_send_message(pair->fds[0], &type, sizeof(type), NULL, 0, -EBADF), ==, 0);
        pair->fds[0] = fd_close(pair->fds[0]);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, 4);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, 0);
        g_assert_cmpint(link_send_message(pair->fds[1], &type, sizeof(type), NULL, 0, -EBADF), ==, -EPIPE);
}

static void test_too_short_and_too_long(void) {
        g_autoptr(Pair) pair = pair_new();
        g_autofree uint8_t *bytes = g_malloc0(LINK_MESSAGE_MAX + 1);
        int fd;

        g_assert_cmpint(send(pair->fds[0], "abc", 3, 0), ==, 3);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, -EBADMSG);
        g_assert_cmpint(send(pair->fds[0], bytes, LINK_MESSAGE_MAX + 1, 0), ==, LINK_MESSAGE_MAX + 1);
        g_assert_cmpint(link_receive_message(pair->fds[1], pair->buffer, &fd), ==, -EBADMSG);
}

static void test_every_stage_has_a_name(void) {
        for (unsigned stage = 0; stage < _LINK_STAGE_MAX; stage++)
                g_assert_nonnull(link_stage_to_string((enum link_stage) stage));
        g_assert_null(link_stage_to_string(_LINK_STAGE_MAX));
        g_assert_null(link_stage_to_string((enum link_stage) - 1));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/link/head-and-body", test_head_and_body);
        g_test_add_func("/link/the-longest-message", test_the_longest_message);
        g_test_add_func("/link/an-fd-travels", test_an_fd_travels);
        g_test_add_func("/link/surplus-fds-are-closed", test_surplus_fds_are_closed);
        g_test_add_func("/link/nothing-blocks", test_nothing_blocks);
        g_test_add_func("/link/the-end", test_the_end);
        g_test_add_func("/link/too-short-and-too-long", test_too_short_and_too_long);
        g_test_add_func("/link/every-stage-has-a-name", test_every_stage_has_a_name);
        return g_test_run();
}
