/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>

#include "util/limits.h"
#include "util/macro.h"

typedef struct Input {
        int fd;          /* write end, -EBADF before and after */
        bool terminal;   /* fd is the master of one, which can read too: it isn't given away */
        int slave_fd;    /* of it: while we have it open too, a runtime may close its own and open it again, and nobody takes that for an end */
        bool ended;      /* there was a pipe and it is closed, or there will never be one */
        bool closing;    /* closed behind what is buffered */
        uint8_t *buffer; /* LIMIT_INPUT bytes, when first needed */
        size_t offset;
        size_t size;
} Input;

void input_init(Input *input);

/* Makes the pipe; the read end is the caller's, to give away and close. */
int input_open(Input *input, int *ret_read_fd);
/* The same with a terminal's two ends, which are taken. */
void input_open_terminal(Input *input, int master_fd, int slave_fd);
void input_close(Input *input);

void input_prepare_poll(const Input *input, struct pollfd *fd);
void input_process(Input *input, const struct pollfd *fd);

/* The requests. 0, or -ENOTCONN before there is a pipe, -EPIPE when it is closed, -EAGAIN when it is full; -EOPNOTSUPP: not with a terminal, -ENOTTY: only with
 * one. */
int input_write(Input *input, const void *bytes, size_t size);
int input_duplicate(Input *input);
int input_request_close(Input *input);
int input_resize(Input *input, uint16_t rows, uint16_t columns);
