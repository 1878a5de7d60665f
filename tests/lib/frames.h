/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A client's end of OpenOutput. Every wait has a deadline, and fails the test. */

#include <glib.h>

#include "util/output-frame.h"

typedef struct Frames {
        int fd;
        GByteArray *bytes;
        size_t offset;
        uint64_t n_read; /* bytes, of all that came */
} Frames;

/* Takes the fd. */
Frames *frames_new(int fd);
void frames_free(Frames *frames);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Frames, frames_free)

/* The next frame; its text ends in a NUL that isn't counted, and is good until the next call. False: the pipe has been closed, maybe in the middle of a frame.
 */
bool frames_next(Frames *frames, struct output_frame *ret, const char **ret_text);

/* The next one is of this kind and number. Its text. */
const char *frames_expect(Frames *frames, enum output_frame_kind kind, uint64_t number);
void frames_expect_line(Frames *frames, uint64_t number, enum ring_stream stream, uint16_t flags, const char *text);
/* … a gap: of so many lines. */
void frames_expect_gap(Frames *frames, uint64_t first, uint64_t count);
/* … the end, and then the pipe is closed. */
void frames_expect_end(Frames *frames, uint64_t last);
void frames_expect_closed(Frames *frames);

/* Lines "1", "2", … in order up to the last one, as seq prints them, each under its number, and the end. */
void frames_expect_seq(Frames *frames, uint64_t last);

/* Reads to the end of a pipe that isn't framed. */
GString *frames_read_raw(int fd);
