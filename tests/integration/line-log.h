/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one subscriber is told of one runtime's output, checked as it comes: each line once, in order, or announced as dropped. */

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct LogLine {
        uint64_t number;
        uint8_t stream;
        uint64_t realtime_usec;
        uint32_t flags;
        GBytes *bytes; /* text or raw, without the newline */
} LogLine;

/* Line flags of the interface. */
#define LINE_PARTIAL 1U
#define LINE_LOSSY 2U
#define LINE_UNTERMINATED 4U

typedef struct LineLog LineLog;

/* Listens for the signals of that runtime on that connection. keep: keep the lines, not only their count. The first line is to be first, 0: any. */
LineLog *line_log_new(GDBusConnection *connection, const char *path, bool keep, uint64_t first);
void line_log_free(LineLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineLog, line_log_free)

/* From now on the next line is to be this one, as after a new Subscribe; 0: any. */
void line_log_expect(LineLog *log, uint64_t first);
/* For those that come in another way than as signals of a GDBusConnection. */
void line_log_add_lines(LineLog *log, uint64_t first, uint64_t count);
void line_log_add_dropped(LineLog *log, uint64_t first, uint64_t count);
void line_log_add_ended(LineLog *log, uint64_t last);

/* The number up to which everything was received or announced as dropped. */
uint64_t line_log_get_last(const LineLog *log);
uint64_t line_log_get_received(const LineLog *log);
uint64_t line_log_get_dropped(const LineLog *log);
/* LogLine, in the order of their numbers. */
GPtrArray *line_log_get_lines(LineLog *log);
bool line_log_has_ended(const LineLog *log);
/* LastLine of the report. */
uint64_t line_log_get_report_last(const LineLog *log);
/* What line_log_get_last() was when Ended came. */
uint64_t line_log_get_last_at_end(const LineLog *log);

/* They run the main context; a deadline that passes is a failed test that says what was seen. */
void line_log_wait_for(LineLog *log, uint64_t number);
void line_log_wait_ended(LineLog *log);

/* One call of ReadOutput, or ReadOutputText. */
GPtrArray *read_output_page(GDBusConnection *connection, const char *path, bool text, uint64_t after, uint32_t max, uint64_t *ret_last, bool *ret_more);
/* All there is behind that number, page by page; fails if a line is missing or comes twice. */
GPtrArray *read_output_all(GDBusConnection *connection, const char *path, bool text, uint64_t after);
/* The bytes of one stream, as the interface says that they can be rebuilt. */
GBytes *lines_to_bytes(GPtrArray *lines, uint8_t stream);
const LogLine *lines_at(GPtrArray *lines, guint i);
/* Its text as a string; the line has no NUL in it. */
char *line_text(const LogLine *line);
