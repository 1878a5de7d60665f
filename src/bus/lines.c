/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The only place where output becomes text for the bus. */

#include "bus/lines.h"

#include <errno.h>

#include <string.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/text.h"

static int append_text(sd_bus_message *message, const struct ring_record *record, const char *bytes, size_t *size) {
        _cleanup_free_ char *text = NULL;
        bool lossy;
        int r;

        text = text_for_bus(bytes, record->size, &lossy);
        if (!text)
                return -ENOMEM;
        r = sd_bus_message_append(message, "(tytus)", record->number, record->stream, record->realtime_usec,
                                  (uint32_t) record->flags | (lossy ? RING_LOSSY : 0), text);
        *size += LINES_OVERHEAD + strlen(text);
        return r;
}

static int append_bytes(sd_bus_message *message, const struct ring_record *record, const char *bytes, size_t *size) {
        int r;

        r = sd_bus_message_open_container(message, 'r', "tytuay");
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "tytu", record->number, record->stream, record->realtime_usec, (uint32_t) record->flags);
        if (r < 0)
                return r;
        r = sd_bus_message_append_array(message, 'y', bytes, record->size);
        if (r < 0)
                return r;
        *size += LINES_OVERHEAD + record->size;
        return sd_bus_message_close_container(message);
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
                RingCursor next = *cursor;
                struct ring_record record;

                r = ring_read(ring, &next, &record, bytes);
                if (r < 0)
                        return r;
                if (r == 0 || (n > 0 && size + LINES_OVERHEAD + record.size > size_max))
                        break;
                if ((flags & LINES_NO_GAP) && record.number != cursor->number)
                        break;
                r = flags & LINES_TEXT ? append_text(message, &record, bytes, &size) : append_bytes(message, &record, bytes, &size);
                if (r < 0)
                        return r;
                *cursor = next;
                n++;
        }
        *ret_size = size + LINES_OVERHEAD;
        r = sd_bus_message_close_container(message);
        return r < 0 ? r : (int) n;
}
