/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What OpenOutput of the Runtime interface takes and gives, as docs/output.md tells it to clients.
 *
 * A framed pipe is a sequence of frames: a struct output_frame, so many bytes as its size says, and 0 to 7 more, so that the next one stands at a multiple
 * of 8. All in host byte order: both ends are on one machine. A line's frame is laid out as its record in the ring is, so that one is made of the other by
 * copying. */

#include <stddef.h>
#include <stdint.h>

#include "util/ring.h"

/* Flags of OpenOutput. */
#define OUTPUT_SETUP 1U
#define OUTPUT_STDOUT 2U
#define OUTPUT_STDERR 4U
#define OUTPUT_STREAMS (OUTPUT_SETUP | OUTPUT_STDOUT | OUTPUT_STDERR) /* none of them: all */
#define OUTPUT_FRAMED 8U
#define OUTPUT_LOSSLESS 16U
#define OUTPUT_FLAGS (OUTPUT_STREAMS | OUTPUT_FRAMED | OUTPUT_LOSSLESS)

enum output_frame_kind {
        OUTPUT_FRAME_LINE = 0,
        OUTPUT_FRAME_GAP, /* lines from number on are missing; their count, a uint64_t, follows */
        OUTPUT_FRAME_END, /* there will be no more, of any stream; number: of the last line of the runtime, 0 if it printed none */
};

struct output_frame {
        uint32_t size;
        uint16_t flags; /* RING_PARTIAL, RING_UNTERMINATED */
        uint8_t stream; /* enum ring_stream */
        uint8_t kind;   /* enum output_frame_kind */
        uint64_t number;
        uint64_t realtime_usec; /* 0, but in the frame of a line */
};

_Static_assert(sizeof(struct output_frame) == sizeof(struct ring_record) && offsetof(struct output_frame, flags) == offsetof(struct ring_record, flags) &&
                       offsetof(struct output_frame, stream) == offsetof(struct ring_record, stream) &&
                       offsetof(struct output_frame, kind) == offsetof(struct ring_record, zero) &&
                       offsetof(struct output_frame, number) == offsetof(struct ring_record, number) &&
                       offsetof(struct output_frame, realtime_usec) == offsetof(struct ring_record, realtime_usec),
               "a record of the ring begins as the frame of its line");

static inline bool output_selects(uint32_t flags, uint8_t stream) {
        return (flags & OUTPUT_STREAMS) == 0 || (flags & (1U << stream)) != 0;
}

/* Behind the text of a line in a pipe that is not framed. */
static inline bool output_has_newline(const struct ring_record *record) {
        return (record->flags & (RING_PARTIAL | RING_UNTERMINATED)) == 0;
}

/* What a line takes in the pipe. */
static inline size_t output_line_size(uint32_t flags, const struct ring_record *record) {
        if (!output_selects(flags, record->stream))
                return 0;
        return flags & OUTPUT_FRAMED ? (size_t) ring_record_length(record->size) : (size_t) record->size + output_has_newline(record);
}
