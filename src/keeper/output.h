/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>
#include <regex.h>

#include "keeper/readers.h"
#include "util/line-splitter.h"
#include "util/ring.h"

/* Only lines up to this length are held against the pattern. */
#define OUTPUT_MATCH_MAX 4096U

typedef struct Output Output;

typedef struct OutputStream {
        Output *output;
        int fd; /* read end, -EBADF once it has ended */
        enum ring_stream stream;
        bool terminal;
        LineSplitter splitter;
        size_t match_size; /* of the line so far; above OUTPUT_MATCH_MAX: too long to match */
        char match[OUTPUT_MATCH_MAX + 1];
} OutputStream;

struct Output {
        RingWriter *ring;
        const Readers *readers; /* who may hold the runtime back */
        OutputStream streams[2];
        regex_t pattern;
        bool matching;         /* pattern is compiled, and no line has matched it yet */
        uint64_t matched_line; /* the line that did, 0 if none */
};

#define OUTPUT_POLL_FDS ELEMENTSOF(((Output *) NULL)->streams)

void output_init(Output *output, RingWriter *ring, const Readers *readers);
void output_done(Output *output);

/* From now on looks for a line of stdout or stderr that matches an extended regular expression. */
int output_watch_for(Output *output, const char *pattern);

/* Makes the pipes of a command: one for both streams of a setup step. The write ends are the caller's. */
int output_open(Output *output, bool setup, int *ret_output_fd, int *ret_error_fd);

/* The same with a terminal's master, which is taken: one stream, stdout. */
void output_open_terminal(Output *output, int master_fd);

void output_prepare_poll(const Output *output, struct pollfd *fds);
uint64_t output_deadline(const Output *output);

/* Reads each stream that is ready once, and emits parts whose time has come. The buffer is for its use alone meanwhile. */
void output_process(Output *output, const struct pollfd *fds, void *buffer, size_t size);

/* True while there is something in the pipes that isn't read for a reader's sake. */
bool output_is_held(const Output *output);

/* Nobody of the payload is left: reads what is in the pipes now, and closes them, whoever else may hold the other end. */
void output_drain(Output *output, void *buffer, size_t size);
