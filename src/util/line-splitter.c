/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules of output lines in one place, without a clock or an fd of their own, so that a table of inputs can test them.
 *
 * Whole lines go from the reader's buffer straight to the ring; only the unfinished end of what was read is kept here. */

#include "util/line-splitter.h"

#include <string.h>

void line_splitter_init(LineSplitter *splitter, LineSplitterEmit emit, void *userdata) {
        splitter->emit = emit;
        splitter->userdata = userdata;
        splitter->size = 0;
        splitter->open = false;
        splitter->patience_usec = LINE_SPLITTER_PATIENCE_USEC;
        splitter->deadline_usec = USEC_INFINITY;
        splitter->realtime_usec = 0;
}

/* Length of the character that a lead byte begins, and the range of its second byte; 0 if no character of several bytes begins so. */
static size_t utf8_lead(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high) {
        *ret_low = 0x80;
        *ret_high = 0xbf;

        if (lead >= 0xc2 && lead <= 0xdf)
                return 2;
        if (lead >= 0xe0 && lead <= 0xef) {
                if (lead == 0xe0)
                        *ret_low = 0xa0; /* shorter forms exist */
                if (lead == 0xed)
                        *ret_high = 0x9f; /* surrogates */
                return 3;
        }
        if (lead >= 0xf0 && lead <= 0xf4) {
                if (lead == 0xf0)
                        *ret_low = 0x90;
                if (lead == 0xf4)
                        *ret_high = 0x8f; /* above U+10FFFF */
                return 4;
        }
        return 0;
}

size_t utf8_incomplete_tail(const uint8_t *bytes, size_t size) {
        for (size_t n = 1; n <= MIN_OF(size, (size_t) 3); n++) {
                const uint8_t *start = bytes + size - n;
                uint8_t low, high;
                size_t length;

                if ((*start & 0xc0) == 0x80)
                        continue; /* one of the later bytes: its lead may stand before it */

                length = utf8_lead(*start, &low, &high);
                if (length <= n)
                        return 0;
                if (n > 1 && (start[1] < low || start[1] > high))
                        return 0;
                return n;
        }
        return 0;
}

static void emit(LineSplitter *splitter, uint16_t flags, const void *text, size_t size) {
        splitter->emit(splitter->userdata, flags, splitter->realtime_usec, text, size);
        splitter->open = (flags & RING_PARTIAL) != 0;
}

/* Emits the first bytes of the unfinished line as a part, and keeps the others. */
static void emit_part(LineSplitter *splitter, size_t size) {
        emit(splitter, RING_PARTIAL, splitter->bytes, size);
        splitter->size -= size;
        memmove(splitter->bytes, splitter->bytes + size, splitter->size);
}

/* Appends to the unfinished line. A part goes out only when there is certainly more of the line than one record takes. */
static void append(LineSplitter *splitter, const uint8_t *bytes, size_t size) {
        while (size > 0) {
                size_t n;

                if (splitter->size == LIMIT_LINE)
                        emit_part(splitter, LIMIT_LINE - utf8_incomplete_tail(splitter->bytes, LIMIT_LINE));

                n = MIN_OF(size, LIMIT_LINE - splitter->size);
                memcpy(splitter->bytes + splitter->size, bytes, n);
                splitter->size += n;
                bytes += n;
                size -= n;
        }
}

void line_splitter_feed(LineSplitter *splitter, const void *bytes, size_t size, uint64_t monotonic_usec, uint64_t realtime_usec) {
        const uint8_t *next = bytes;

        splitter->realtime_usec = realtime_usec;
        while (size > 0) {
                const uint8_t *newline = memchr(next, '\n', size);
                size_t n = newline ? (size_t) (newline - next) : size;

                if (newline && splitter->size == 0 && n <= LIMIT_LINE)
                        emit(splitter, 0, next, n);
                else {
                        append(splitter, next, n);
                        if (newline) {
                                emit(splitter, 0, splitter->bytes, splitter->size);
                                splitter->size = 0;
                        }
                }

                if (newline) {
                        splitter->deadline_usec = USEC_INFINITY;
                        n++;
                } else if (splitter->deadline_usec == USEC_INFINITY)
                        splitter->deadline_usec = monotonic_usec + splitter->patience_usec;
                next += n;
                size -= n;
        }
}

void line_splitter_tick(LineSplitter *splitter, uint64_t monotonic_usec) {
        size_t held;

        if (monotonic_usec < splitter->deadline_usec)
                return;

        /* What is held back waits for its other bytes, not for time. */
        held = utf8_incomplete_tail(splitter->bytes, splitter->size);
        if (splitter->size > held)
                emit_part(splitter, splitter->size - held);
        splitter->deadline_usec = USEC_INFINITY;
}

void line_splitter_end(LineSplitter *splitter) {
        if (splitter->size > 0 || splitter->open)
                emit(splitter, RING_UNTERMINATED, splitter->bytes, splitter->size);
        splitter->size = 0;
        splitter->open = false;
        splitter->deadline_usec = USEC_INFINITY;
}
