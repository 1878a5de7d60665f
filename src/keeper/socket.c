/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sockets with a name in the runtime's directory. A socket's address has room for 107 characters and directories may be longer: then it is
 * bound through the directory's fd, and only those who connect have to know such a trick. */

#include "keeper/socket.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "util/macro.h"

#define BACKLOG 16

int socket_bind(int type, int directory_fd, const char *directory, const char *name) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -EBADF;
        mode_t mask;
        int n, r;

        fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;

        n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name);
        if (n < 0 || (size_t) n >= sizeof(address.sun_path))
                n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory_fd, name);
        if (n < 0 || (size_t) n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;

        if (unlinkat(directory_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;

        /* The mask is what the runtime is to get, so it is only lent. */
        mask = umask(0177);
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        if (r < 0)
                return r;

        if (type != SOCK_DGRAM) {
                r = socket_listen(fd);
                if (r < 0)
                        return r;
        }
        return TAKE_FD(fd);
}

int socket_listen(int fd) {
        return listen(fd, BACKLOG) < 0 ? -errno : 0;
}
