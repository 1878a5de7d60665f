/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sd-bus doesn't tell how long a message is, so its contents are walked through: cheap for those that are small, and over when it is clear that it is
 * long. Arrays of numbers are taken in one piece. */

#include "bus/message-size.h"

#include <string.h>

#include "util/macro.h"

/* What anything takes beside its bytes. */
#define FLAT 8U

/* Counts all that is left in the container. */
static int count(sd_bus_message *message, size_t max, size_t *size) {
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(message, &type, &contents)) > 0 && *size < max) {
                *size += FLAT;
                if (type == SD_BUS_TYPE_ARRAY && strlen(contents) == 1 && strchr("ynqiuxtd", contents[0])) {
                        const void *bytes;
                        size_t n;

                        r = sd_bus_message_read_array(message, contents[0], &bytes, &n);
                        if (r < 0)
                                return r;
                        *size += n;
                } else if (strchr("arve", type)) {
                        r = sd_bus_message_enter_container(message, type, contents);
                        if (r < 0)
                                return r;
                        r = count(message, max, size);
                        if (r < 0 || *size >= max)
                                return r;
                        r = sd_bus_message_exit_container(message);
                        if (r < 0)
                                return r;
                } else if (strchr("sog", type)) {
                        const char *text;

                        r = sd_bus_message_read_basic(message, type, &text);
                        if (r < 0)
                                return r;
                        *size += strlen(text);
                } else {
                        char *type_string = (char[]){type, '\0'};

                        r = sd_bus_message_skip(message, type_string);
                        if (r < 0)
                                return r;
                }
        }
        return r;
}

size_t message_size(sd_bus_message *message, size_t max) {
        size_t size = 0;
        int r;

        r = sd_bus_message_rewind(message, 1);
        if (r >= 0)
                r = count(message, max, &size);
        (void) sd_bus_message_rewind(message, 1);
        /* What can't be read won't be handled either: it is as good as too long. */
        return r < 0 ? max : MIN_OF(size, max);
}
