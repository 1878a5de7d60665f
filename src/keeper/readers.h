/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>

#include "util/output-frame.h"
#include "util/ring.h"

/* One pipe, and how far it has come. */
typedef struct Reader {
        int fd; /* write end, -EBADF: this place is free */
        uint32_t flags;
        bool full;         /* the pipe was, when it was written to last */
        bool closing;      /* behind what is in rest */
        bool hurried;      /* its pipe is as large as it may be */
        uint64_t position; /* of the next line in the ring, or the place where that will stand */
        uint64_t number;   /* the number of that line */
        size_t offset;     /* bytes of it that have been written */

        /* Goes before that line: what the ring doesn't hold, or not much longer. */
        uint8_t *rest;
        size_t rest_offset, rest_size;
} Reader;

typedef struct Readers {
        RingWriter *ring;
        Reader reader[LIMIT_READERS];
        bool released; /* nobody may hold the runtime back any more */
        bool ended;    /* there will be no more lines */
} Readers;

#define READERS_POLL_FDS LIMIT_READERS

/* The writer is its user's, and must stay where it is. */
void readers_init(Readers *readers, RingWriter *ring);
void readers_done(Readers *readers);

/* A pipe from the line after that number on, or from the oldest that there is; the read end is the caller's. -EINVAL: unknown flags, -EUSERS: there are too
 * many. */
int readers_open(Readers *readers, uint64_t after, uint32_t flags, int *ret_read_fd);

void readers_prepare_poll(const Readers *readers, struct pollfd *fds);

/* Writes what the pipes take. The buffer is for its use alone meanwhile. */
void readers_process(Readers *readers, const struct pollfd *fds, void *buffer, size_t size);

/* True while somebody has more to be written than has been taken. */
bool readers_have_work(const Readers *readers);

/* How much of the runtime's output may be read now, so that no line is overwritten which a lossless reader has yet to be written. unfinished: bytes that
 * have been read, and are no line yet. */
size_t readers_allowance(const Readers *readers, size_t unfinished);

/* The runtime is to end: from now on nobody holds it back. */
void readers_release(Readers *readers);

/* Nothing of the runtime writes any more: its last lines are put into the pipes as far as those can be made to hold them. */
void readers_hurry(Readers *readers);

/* There will be no more lines: each reader is told so behind the last one, and its pipe is closed. */
void readers_end(Readers *readers);
