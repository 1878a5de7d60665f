/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line a failure, to standard error: sd-daemon's prefix tells the level when that is the journal. What the daemon sent is never in it: its texts come from
 * callers. */

#include "spawner/log.h"

#include <stdarg.h>
#include <systemd/sd-daemon.h>

static void log_line(const char *level, const char *format, va_list list) _printf_(2, 0);

static void log_line(const char *level, const char *format, va_list list) {
        _cleanup_free_ char *text = NULL;

        if (vasprintf(&text, format, list) < 0) {
                text = NULL;
                return;
        }
        (void) fprintf(stderr, "%sruntime-spawner: %s\n", getenv("JOURNAL_STREAM") ? level : "", text);
}

void log_error(const char *format, ...) {
        va_list list;

        va_start(list, format);
        log_line(SD_ERR, format, list);
        va_end(list);
}

void log_warning(const char *format, ...) {
        va_list list;

        va_start(list, format);
        log_line(SD_WARNING, format, list);
        va_end(list);
}
