/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See terminal.h. The slave is opened through its master: no /dev/pts is needed, and nobody can come in between. */

#include "keeper/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "util/macro.h"

int terminal_resize(int master_fd, uint16_t rows, uint16_t columns) {
        const struct winsize size = {.ws_row = rows, .ws_col = columns};

        return ioctl(master_fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int terminal_open(int *ret_master_fd, int *ret_slave_fd) {
        _cleanup_close_ int master_fd = -EBADF, slave_fd = -EBADF;
        int r;

        master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (master_fd < 0)
                return -errno;
        if (unlockpt(master_fd) < 0)
                return -errno;
        slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave_fd < 0)
                return -errno;
        r = terminal_resize(master_fd, TERMINAL_ROWS, TERMINAL_COLUMNS);
        if (r < 0)
                return r;
        *ret_master_fd = TAKE_FD(master_fd);
        *ret_slave_fd = TAKE_FD(slave_fd);
        return 0;
}
