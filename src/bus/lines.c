/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The only place where output becomes text for the bus. */

#include "bus/lines.h"

#include <errno.h>

#include <string.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/text.h"

static int append_text(sd_bus_message *message, const struct ring_record *record, const char *text, bool lossy) {
        return sd_bus_message_append(message, "(tytus)", record->number, record->stream, record->realtime_usec,
                                     (uint32_t) record->flags | (lossy ? RING_LOSSY : 0), text);
}

static int append_bytes(sd_bus_message *message, const struct ring_record *record, const char *bytes) {
        int r;

        r = sd_bus_message_open_container(message, 'r', "tytuay");
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "tytu", record->number, record->stream, record->realtime_usec, (uint32_t) record->flags);
        if (r < 0)
                return r;
        r = sd_bus_message_append_array(message, 'y', bytes, record->size);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int lines_append(sd_bus_message *message, const RingReader *ring, RingCursor *cursor, LinesFlags flags, uint32_t max, size_t size_max, size_t *ret_size) {
        g_autofree char *bytes = g_malloc(RING_LINE_MAX);
        size_t size = 0;
        uint32_t n = 0;
        int r;

        r = sd_bus_message_open_container(message, 'a', flags & LINES_TEXT ? "(tytus)" : "(tytuay)");
        if (r < 0)
                return r;
        while (n < max) {
                _cleanup_free_ char *text = NULL;
                RingCursor next = *cursor;
                struct ring_record record;
                bool lossy = false;
                size_t need;

                r = ring_read(ring, &next, &record, bytes);
                if (r < 0)
                        return r;
                if (r == 0 || ((flags & LINES_NO_GAP) && n > 0 && record.number != cursor->number))
                        break;
                if (flags & LINES_TEXT) {
                        text = text_for_bus(bytes, record.size, &lossy);
                        if (!text)
                                return -ENOMEM;
                }
                /* What is replaced grows. */
                need = LINES_OVERHEAD + (text ? strlen(text) : record.size);
                if (n > 0 && size + need > size_max)
                        break;
                r = text ? append_text(message, &record, text, lossy) : append_bytes(message, &record, bytes);
                if (r < 0)
                        return r;
                size += need;
                *cursor = next;
                n++;
        }
        *ret_size = size + LINES_OVERHEAD;
        r = sd_bus_message_close_container(message);
        return r < 0 ? r : (int) n;
}
