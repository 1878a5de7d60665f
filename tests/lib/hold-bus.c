/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* LD_PRELOAD for a daemon under test: while there is the file $HOLD_BUS, a message bus takes nothing from the connection that has asked it for a name, as one
 * that is busy with others. What the daemon reads goes on, and so do its other connections. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int named_fd = -1;

static int asks_for_name(const struct msghdr *message) {
        for (size_t i = 0; i < message->msg_iovlen; i++)
                if (memmem(message->msg_iov[i].iov_base, message->msg_iov[i].iov_len, "RequestName", strlen("RequestName")))
                        return 1;
        return 0;
}

static int is_held(void) {
        const char *path = getenv("HOLD_BUS");
        int saved = errno, held;

        held = path && access(path, F_OK) == 0;
        errno = saved;
        return held;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
        if (named_fd < 0 && asks_for_name(message))
                named_fd = fd;
        if (fd == named_fd && is_held()) {
                errno = EAGAIN;
                return -1;
        }
        return syscall(SYS_sendmsg, fd, message, flags);
}

/* A socket that can't be written to isn't ready for it either. */
int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event) {
        struct epoll_event changed = event ? *event : (struct epoll_event){};

        if (fd == named_fd && is_held())
                changed.events &= ~(uint32_t) EPOLLOUT;
        return (int) syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event ? &changed : NULL);
}
