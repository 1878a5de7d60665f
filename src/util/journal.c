/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What fits in no datagram is refused: the protocol would take a memfd, but the longest entry there is, a line of output, fits. */

#include "util/journal.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/macro.h"

int journal_connect(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int journal_send(int fd, const struct iovec *parts, size_t n_parts) {
        const struct msghdr message = {.msg_iov = (struct iovec *) parts, .msg_iovlen = n_parts};

        if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                return 0;
        /* No memory for the datagram now. */
        return errno == ENOBUFS || errno == EINTR ? -EAGAIN : -errno;
}

void journal_await_reception(int fd) {
        /* A datagram socket counts as writable while a quarter of its buffer is used: of the smallest buffer a quarter is less than any datagram. */
        const int least = 1;

        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
}
