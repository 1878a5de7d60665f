/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines of a ring as arrays of D-Bus structs: (tytus) as text, (tytuay) as bytes. */

#include <systemd/sd-bus.h>

#include "util/ring.h"

/* What one line takes in a message besides its text, and about what a message takes. */
#define LINES_OVERHEAD 64U

typedef enum LinesFlags {
        LINES_TEXT = 1 << 0,   /* text, not bytes */
        LINES_NO_GAP = 1 << 1, /* behind the first line, stop where one is missing */
} LinesFlags;

/* Appends an array of at most max lines and about size_max bytes (one line always), moving the cursor. Returns how many lines there are in it, or negative
 * errno; ret_size is what they take. */
int lines_append(sd_bus_message *message, const RingReader *ring, RingCursor *cursor, LinesFlags flags, uint32_t max, size_t size_max, size_t *ret_size);
