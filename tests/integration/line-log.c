/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks run where the lines arrive, so a failed test names the first line that is wrong and not the count of them at the end. */

#include "line-log.h"

#include <string.h>

#include "util/names.h"

/* A machine under load and sanitizers is slow; a line that never comes is not sooner missed for it. */
#define PATIENCE_USEC (60 * G_USEC_PER_SEC)
#define CALL_MSEC 60000

struct LineLog {
        GDBusConnection *connection;
        char *path;
        guint subscription;
        bool keep;
        uint64_t next; /* the line to come, 0: any */
        uint64_t n_received, n_dropped;
        GPtrArray *lines;
        bool ended;
        uint64_t report_last, last_at_end;
};

static void log_line_free(gpointer data) {
        LogLine *line = data;

        g_bytes_unref(line->bytes);
        g_free(line);
}

static GPtrArray *lines_new(void) {
        return g_ptr_array_new_with_free_func(log_line_free);
}

/* Takes the tuple; the bytes stay in its memory, so a big reply isn't copied. */
static LogLine *log_line_new(GVariant *tuple, bool text) {
        g_autoptr(GVariant) last = g_variant_get_child_value(tuple, 4);
        LogLine *line = g_new0(LogLine, 1);

        g_variant_get_child(tuple, 0, "t", &line->number);
        g_variant_get_child(tuple, 1, "y", &line->stream);
        g_variant_get_child(tuple, 2, "t", &line->realtime_usec);
        g_variant_get_child(tuple, 3, "u", &line->flags);
        if (text) {
                gsize size;
                const char *string = g_variant_get_string(last, &size);

                line->bytes = g_bytes_new(string, size);
        } else
                line->bytes = g_variant_get_data_as_bytes(last);
        return line;
}

void line_log_add_lines(LineLog *log, uint64_t first, uint64_t count) {
        if (log->next != 0 && first != log->next)
                g_error("%s: line %" G_GUINT64_FORMAT " came, line %" G_GUINT64_FORMAT " was to come", log->path, first, log->next);
        log->next = first + count;
        log->n_received += count;
}

void line_log_add_dropped(LineLog *log, uint64_t first, uint64_t count) {
        if (log->next != 0 && first != log->next)
                g_error("%s: dropped from line %" G_GUINT64_FORMAT " on, line %" G_GUINT64_FORMAT " was to come", log->path, first, log->next);
        if (count == 0)
                g_error("%s: nothing dropped at line %" G_GUINT64_FORMAT, log->path, first);
        log->next = first + count;
        log->n_dropped += count;
}

void line_log_add_ended(LineLog *log, uint64_t last) {
        if (log->ended)
                g_error("%s: a second Ended", log->path);
        log->ended = true;
        log->report_last = last;
        log->last_at_end = line_log_get_last(log);
}

static void on_signal(GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *member, GVariant *parameters,
                      gpointer userdata) {
        LineLog *log = userdata;

        if (strcmp(member, "OutputLines") == 0) {
                g_autoptr(GVariant) array = g_variant_get_child_value(parameters, 0);
                gsize n = g_variant_n_children(array);

                g_assert_cmpuint(n, >, 0);
                for (gsize i = 0; i < n; i++) {
                        g_autoptr(GVariant) tuple = g_variant_get_child_value(array, i);
                        uint64_t number;

                        g_variant_get_child(tuple, 0, "t", &number);
                        line_log_add_lines(log, number, 1);
                        if (log->keep)
                                g_ptr_array_add(log->lines, log_line_new(tuple, true));
                }
        } else if (strcmp(member, "OutputDropped") == 0) {
                uint64_t first, count;

                g_variant_get(parameters, "(tt)", &first, &count);
                line_log_add_dropped(log, first, count);
        } else if (strcmp(member, "Ended") == 0) {
                g_autoptr(GVariant) report = g_variant_get_child_value(parameters, 0);
                uint64_t last = 0;

                (void) g_variant_lookup(report, "LastLine", "t", &last);
                line_log_add_ended(log, last);
        }
}

LineLog *line_log_new(GDBusConnection *connection, const char *path, bool keep, uint64_t first) {
        LineLog *log = g_new0(LineLog, 1);

        log->path = g_strdup(path);
        log->keep = keep;
        log->next = first;
        log->lines = lines_new();
        if (connection) {
                log->connection = g_object_ref(connection);
                log->subscription = g_dbus_connection_signal_subscribe(connection, NULL, RM_RUNTIME_INTERFACE, NULL, path, NULL,
                                                                       G_DBUS_SIGNAL_FLAGS_NONE, on_signal, log, NULL);
        }
        return log;
}

void line_log_free(LineLog *log) {
        if (!log)
                return;
        if (log->connection) {
                g_dbus_connection_signal_unsubscribe(log->connection, log->subscription);
                g_object_unref(log->connection);
        }
        g_ptr_array_unref(log->lines);
        g_free(log->path);
        g_free(log);
}

void line_log_expect(LineLog *log, uint64_t first) {
        log->next = first;
}

uint64_t line_log_get_last(const LineLog *log) {
        return log->next == 0 ? 0 : log->next - 1;
}

uint64_t line_log_get_received(const LineLog *log) {
        return log->n_received;
}

uint64_t line_log_get_dropped(const LineLog *log) {
        return log->n_dropped;
}

GPtrArray *line_log_get_lines(LineLog *log) {
        return log->lines;
}

bool line_log_has_ended(const LineLog *log) {
        return log->ended;
}

uint64_t line_log_get_report_last(const LineLog *log) {
        return log->report_last;
}

uint64_t line_log_get_last_at_end(const LineLog *log) {
        return log->last_at_end;
}

static gboolean on_tick(gpointer userdata) {
        return G_SOURCE_CONTINUE;
}

/* The tick only wakes the loop to look at the clock. */
static void line_log_wait(LineLog *log, const char *what, bool (*done)(const LineLog *log, uint64_t number), uint64_t number) {
        int64_t deadline = g_get_monotonic_time() + PATIENCE_USEC;
        guint tick = g_timeout_add(500, on_tick, NULL);

        while (!done(log, number)) {
                if (g_get_monotonic_time() > deadline)
                        g_error("%s: no %s %" G_GUINT64_FORMAT "; seen: up to line %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " received, %" G_GUINT64_FORMAT
                                " dropped, %s",
                                log->path, what, number, line_log_get_last(log), log->n_received, log->n_dropped, log->ended ? "ended" : "not ended");
                (void) g_main_context_iteration(NULL, TRUE);
        }
        g_source_remove(tick);
}

static bool has_line(const LineLog *log, uint64_t number) {
        return log->next > number;
}

static bool has_end(const LineLog *log, uint64_t number) {
        return log->ended;
}

void line_log_wait_for(LineLog *log, uint64_t number) {
        line_log_wait(log, "line", has_line, number);
}

void line_log_wait_ended(LineLog *log) {
        line_log_wait(log, "Ended", has_end, 0);
}

GPtrArray *read_output_page(GDBusConnection *connection, const char *path, bool text, uint64_t after, uint32_t max, uint64_t *ret_last, bool *ret_more) {
        g_autoptr(GVariant) reply = NULL, array = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) lines = lines_new();
        gboolean more;
        gsize n;

        reply = g_dbus_connection_call_sync(connection, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, text ? "ReadOutputText" : "ReadOutput",
                                            g_variant_new("(tu)", after, max), G_VARIANT_TYPE(text ? "(a(tytus)tb)" : "(a(tytuay)tb)"),
                                            G_DBUS_CALL_FLAGS_NO_AUTO_START, CALL_MSEC, NULL, &error);
        g_assert_no_error(error);
        array = g_variant_get_child_value(reply, 0);
        g_variant_get_child(reply, 1, "t", ret_last);
        g_variant_get_child(reply, 2, "b", &more);
        *ret_more = more;
        n = g_variant_n_children(array);
        for (gsize i = 0; i < n; i++) {
                g_autoptr(GVariant) tuple = g_variant_get_child_value(array, i);

                g_ptr_array_add(lines, log_line_new(tuple, text));
        }
        return g_steal_pointer(&lines);
}

GPtrArray *read_output_all(GDBusConnection *connection, const char *path, bool text, uint64_t after) {
        g_autoptr(GPtrArray) all = lines_new();
        uint64_t last;
        bool more;

        do {
                g_autoptr(GPtrArray) page = read_output_page(connection, path, text, after, 0, &last, &more);

                g_assert_true(page->len > 0 || !more);
                if (page->len == 0)
                        break;
                if (all->len > 0)
                        g_assert_cmpuint(lines_at(page, 0)->number, ==, after + 1);
                for (guint i = 1; i < page->len; i++)
                        g_assert_cmpuint(lines_at(page, i)->number, ==, lines_at(page, i - 1)->number + 1);
                after = lines_at(page, page->len - 1)->number;
                g_ptr_array_extend_and_steal(all, g_steal_pointer(&page));
        } while (more);
        return g_steal_pointer(&all);
}

GBytes *lines_to_bytes(GPtrArray *lines, uint8_t stream) {
        GByteArray *array = g_byte_array_new();

        for (guint i = 0; i < lines->len; i++) {
                const LogLine *line = lines_at(lines, i);
                gsize size;
                const void *data = g_bytes_get_data(line->bytes, &size);

                if (line->stream != stream)
                        continue;
                g_byte_array_append(array, data, (guint) size);
                if (!(line->flags & (LINE_PARTIAL | LINE_UNTERMINATED)))
                        g_byte_array_append(array, (const guint8 *) "\n", 1);
        }
        return g_byte_array_free_to_bytes(array);
}

const LogLine *lines_at(GPtrArray *lines, guint i) {
        g_assert_cmpuint(i, <, lines->len);
        return lines->pdata[i];
}

char *line_text(const LogLine *line) {
        gsize size;
        const char *data = g_bytes_get_data(line->bytes, &size);

        return data ? g_strndup(data, size) : g_strdup("");
}
