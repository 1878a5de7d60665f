/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The runtime's standard input. A write is taken whole or not at all, so what the pipe has no room for waits in one buffer of
 * limited size. Clients that ask for the pipe get an open file description of their own: flags they set on it are theirs. */

#include "keeper/input.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "keeper/terminal.h"

/* The buffer is ours; the pipe itself needs no more than a page, and a uid may only have so many. */
#define INPUT_PIPE_SIZE 4096

void input_init(Input *input) {
        *input = (Input){.fd = -EBADF, .slave_fd = -EBADF};
}

int input_open(Input *input, int *ret_read_fd) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        if (fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0) {
                int r = -errno;

                fd_close(fds[0]);
                fd_close(fds[1]);
                return r;
        }
        (void) fcntl(fds[1], F_SETPIPE_SZ, INPUT_PIPE_SIZE);

        input->fd = fds[1];
        *ret_read_fd = fds[0];
        return 0;
}

void input_open_terminal(Input *input, int master_fd, int slave_fd) {
        input->fd = master_fd;
        input->slave_fd = slave_fd;
        input->terminal = true;
}

void input_close(Input *input) {
        input->fd = fd_close(input->fd);
        input->slave_fd = fd_close(input->slave_fd);
        input->ended = true;
        free(input->buffer);
        input->buffer = NULL;
        input->offset = input->size = 0;
}

static int input_check(Input *input) {
        struct pollfd fd = {.fd = input->fd};

        if (input->ended || input->closing)
                return -EPIPE;
        if (input->fd < 0)
                return -ENOTCONN;

        /* Nobody is told when the last reader goes: it has to be looked at. */
        if (poll(&fd, 1, 0) > 0 && (fd.revents & POLLERR)) {
                input_close(input);
                return -EPIPE;
        }
        return 0;
}

/* Writes what the pipe takes. */
static void input_flush(Input *input) {
        while (input->size > 0) {
                ssize_t n = write(input->fd, input->buffer + input->offset, input->size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        input_close(input); /* the runtime has closed its end */
                        return;
                }
                input->offset += (size_t) n;
                input->size -= (size_t) n;
        }
        input->offset = 0;
        if (input->closing)
                input_close(input);
}

void input_prepare_poll(const Input *input, struct pollfd *fd) {
        /* Only while something waits: a pipe without a reader would be reported for ever. */
        *fd = (struct pollfd){.fd = input->size > 0 ? input->fd : -1, .events = POLLOUT};
}

void input_process(Input *input, const struct pollfd *fd) {
        if (input->fd >= 0 && fd->fd == input->fd && fd->revents != 0)
                input_flush(input);
}

int input_write(Input *input, const void *bytes, size_t size) {
        int r;

        r = input_check(input);
        if (r < 0)
                return r;
        if (size > LIMIT_INPUT - input->size)
                return -EAGAIN;
        if (size == 0)
                return 0;

        if (!input->buffer) {
                input->buffer = malloc(LIMIT_INPUT);
                if (!input->buffer)
                        return -EAGAIN;
        }
        if (input->offset > 0)
                memmove(input->buffer, input->buffer + input->offset, input->size);
        input->offset = 0;
        memcpy(input->buffer + input->size, bytes, size);
        input->size += size;
        input_flush(input);
        return input->ended ? -EPIPE : 0;
}

int input_duplicate(Input *input) {
        char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        int fd, r;

        r = input_check(input);
        if (r < 0)
                return r;
        if (input->terminal)
                return -EOPNOTSUPP;

        /* A pipe without a name opens at once, reader or not. */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", input->fd);
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? -errno : fd;
}

int input_request_close(Input *input) {
        int r;

        r = input_check(input);
        if (r == -EPIPE)
                return 0; /* it is closed, as asked */
        if (r < 0)
                return r;
        if (input->terminal)
                return -EOPNOTSUPP; /* which character means its end is the runtime's affair */
        input->closing = true;
        input_flush(input);
        return 0;
}

int input_resize(Input *input, uint16_t rows, uint16_t columns) {
        int r;

        r = input_check(input);
        if (r < 0)
                return r;
        return input->terminal ? terminal_resize(input->fd, rows, columns) : -ENOTTY;
}
