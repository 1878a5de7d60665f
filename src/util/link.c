/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sending and receiving single messages of the link. What they mean is for the two ends to know; here is only what both need:
 * never to block, never to be killed by SIGPIPE, and never to leak an fd that came uninvited. */

#include "util/link.h"

#include <string.h>
#include <sys/socket.h>

/* More fds than a message may carry, so that the surplus is seen, and closed. */
#define RECEIVED_FDS_MAX 16U

static const char *const stage_table[_LINK_STAGE_MAX] = {
        [LINK_STAGE_NONE] = "none",
        [LINK_STAGE_SPEC] = "spec",
        [LINK_STAGE_CGROUP] = "cgroup",
        [LINK_STAGE_SOCKET] = "socket",
        [LINK_STAGE_FORK] = "fork",
        [LINK_STAGE_STDIO] = "stdio",
        [LINK_STAGE_DIRECTORY] = "directory",
        [LINK_STAGE_PROCESS] = "process",
        [LINK_STAGE_EXEC] = "exec",
        [LINK_STAGE_REQUIRED_PROGRAM] = "required program",
        [LINK_STAGE_REQUIRED_FILE] = "required file",
        [LINK_STAGE_EXECUTABLE] = "executable",
};

const char *link_stage_to_string(enum link_stage stage) {
        if ((unsigned) stage >= ELEMENTSOF(stage_table))
                return NULL;
        return stage_table[stage];
}

int link_send_message(int socket_fd, const void *head, size_t head_size, const void *body, size_t body_size, int fd) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec parts[2] = {
                {.iov_base = (void *) head, .iov_len = head_size},
                {.iov_base = (void *) body, .iov_len = body_size},
        };
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = body_size > 0 ? 2 : 1};
        ssize_t n;

        if (head_size + body_size > LINK_MESSAGE_MAX)
                return -EMSGSIZE;

        if (fd >= 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = sizeof(control.bytes);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        }

        do
                n = sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return 0;
}

/* Keeps the first fd that came, closes the others. */
static int take_fd(struct msghdr *message) {
        int kept = -EBADF;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
                size_t n;

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
                        if (kept < 0)
                                kept = fd;
                        else
                                fd_close(fd);
                }
        }
        return kept;
}

ssize_t link_receive_message(int socket_fd, void *buffer, int *ret_fd) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * RECEIVED_FDS_MAX)];
        } control;
        struct iovec part = {.iov_base = buffer, .iov_len = LINK_MESSAGE_MAX};
        struct msghdr message = {
                .msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        do
                n = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        fd = take_fd(&message);
        if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                return -EBADMSG;
        if (n > 0 && n < (ssize_t) sizeof(uint32_t))
                return -EBADMSG;

        *ret_fd = TAKE_FD(fd);
        return n;
}
