/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From the bytes of one stream to its lines: records of at most LIMIT_LINE bytes, from which the bytes can be rebuilt exactly. The text of
 * each record, and behind it a newline unless it is RING_PARTIAL or RING_UNTERMINATED, is what the stream carried. */

#include <stddef.h>
#include <stdint.h>

#include "util/limits.h"
#include "util/macro.h"
#include "util/ring.h"

/* After this long without its newline, what there is of a line is told as a part: a prompt, a progress bar. */
#define LINE_SPLITTER_PATIENCE_USEC (50 * USEC_PER_MSEC)
/* Of a terminal, where somebody waits for the echo of a key. */
#define LINE_SPLITTER_TERMINAL_USEC (2 * USEC_PER_MSEC)

typedef void (*LineSplitterEmit)(void *userdata, uint16_t flags, uint64_t realtime_usec, const void *text, size_t size);

typedef struct LineSplitter {
        LineSplitterEmit emit;
        void *userdata;
        size_t size;            /* bytes of the unfinished line that have not been emitted */
        bool open;              /* parts of this line have been emitted, all PARTIAL so far */
        uint64_t patience_usec; /* may be changed after line_splitter_init() */
        uint64_t deadline_usec; /* CLOCK_MONOTONIC when they are emitted as a part, or USEC_INFINITY */
        uint64_t realtime_usec; /* when the last of them came */
        uint8_t bytes[LIMIT_LINE];
} LineSplitter;

/* Leaves bytes alone: they cost no memory until used. */
void line_splitter_init(LineSplitter *splitter, LineSplitterEmit emit, void *userdata);

/* Takes what has just been read, and emits all lines that end in it. */
void line_splitter_feed(LineSplitter *splitter, const void *bytes, size_t size, uint64_t monotonic_usec, uint64_t realtime_usec);

/* Emits the unfinished line as a part if its time has come. */
void line_splitter_tick(LineSplitter *splitter, uint64_t monotonic_usec);

/* The stream has ended: emits what is left, UNTERMINATED. The splitter is as new after it. */
void line_splitter_end(LineSplitter *splitter);

/* How many of the last bytes are the beginning of a valid UTF-8 character whose rest is still to come: 0 to 3. */
size_t utf8_incomplete_tail(const uint8_t *bytes, size_t size);
