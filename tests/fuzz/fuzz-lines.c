/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stream of any bytes, read in any pieces at any pace: its lines give the bytes back, no valid character is cut between two of
 * them, and their texts are such as D-Bus, a unit file and a person can take.
 *
 * The input is pieces: a byte n, then n bytes. From 0xf8 on it is a step: time passes, the stream ends, or the last piece comes again and again, up
 * to lines longer than a record. */

#include <string.h>

#include <glib.h>

#include "fuzz-input.h"
#include "util/line-splitter.h"
#include "util/text.h"

#define STREAM_MAX (160U * 1024U)
#define TEXT_MAX ((size_t) 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Stream {
        GByteArray *fed;     /* of this stream, all that was read */
        GByteArray *rebuilt; /* of its lines */
        GArray *cuts;        /* where in fed one part ends and the next begins */
        bool open;           /* the line that was emitted last goes on */
        bool ended;
        uint64_t now_usec;
} Stream;

static bool is_plain(const uint8_t *bytes, size_t size) {
        if (!g_utf8_validate_len((const char *) bytes, size, NULL))
                return false;
        for (const char *p = (const char *) bytes; p < (const char *) bytes + size; p = g_utf8_next_char(p)) {
                gunichar character = g_utf8_get_char(p);

                if ((character >= 0xfdd0 && character <= 0xfdef) || (character & 0xfffe) == 0xfffe)
                        return false;
        }
        return true;
}

/* One character, or one escape. */
static const char *unquote_one(const char *p, GByteArray *bytes) {
        static const char escapes[] = "n\nr\rt\t\"\"\\\\";
        const char *next = g_utf8_next_char(p);
        uint8_t byte;

        if (*p != '\\') {
                g_byte_array_append(bytes, (const uint8_t *) p, (guint) (next - p));
                return next;
        }
        if (p[1] == 'x') {
                g_assert_true(g_ascii_isxdigit(p[2]) && g_ascii_isxdigit(p[3]));
                byte = (uint8_t) (g_ascii_xdigit_value(p[2]) << 4 | g_ascii_xdigit_value(p[3]));
                g_byte_array_append(bytes, &byte, 1);
                return p + 4;
        }
        for (const char *escape = escapes; *escape; escape += 2)
                if (*escape == p[1]) {
                        g_byte_array_append(bytes, (const uint8_t *) escape + 1, 1);
                        return p + 2;
                }
        g_assert_not_reached();
}

static void check_quote(const uint8_t *bytes, size_t size, size_t max) {
        g_autofree char *quote = text_quote(bytes, size, max);
        g_autoptr(GByteArray) unquoted = g_byte_array_new();
        const char *p;

        g_assert_true(is_plain((const uint8_t *) quote, strlen(quote)));
        g_assert_cmpint(quote[0], ==, '"');
        for (p = quote + 1; *p != '"';) {
                g_assert_false(g_unichar_iscntrl(g_utf8_get_char(p)));
                p = unquote_one(p, unquoted);
        }
        g_assert_cmpstr(p, ==, size > max ? "\"…" : "\"");
        g_assert_cmpuint(unquoted->len, <=, size);
        g_assert_true(unquoted->len == size || (size > max && unquoted->len <= max && unquoted->len + 3 >= max));
        g_assert_cmpmem(unquoted->data, unquoted->len, bytes, unquoted->len);
}

static void check_one_line(const uint8_t *bytes, size_t size, size_t max) {
        g_autofree char *text = g_strndup((const char *) bytes, size), *line = text_one_line(text, max);
        size_t length = strlen(line);

        g_assert_cmpuint(length, <=, max);
        g_assert_true(is_plain((const uint8_t *) line, length));
        for (const char *p = line; *p; p = g_utf8_next_char(p))
                g_assert_false(g_unichar_iscntrl(g_utf8_get_char(p)));
        g_assert_true(length == 0 || (line[0] != ' ' && line[length - 1] != ' '));
}

static void check_text(const uint8_t *bytes, size_t size) {
        bool lossy, plain = is_plain(bytes, size);
        g_autofree char *text = text_for_bus(bytes, size, &lossy);
        g_autofree char *again = NULL;
        size_t length = strlen(text);

        g_assert_true(is_plain((const uint8_t *) text, length));
        g_assert_true(lossy == !plain);
        g_assert_true(lossy || (length == size && memcmp(text, bytes, size) == 0));
        again = text_for_bus(text, length, &lossy);
        g_assert_false(lossy);
        g_assert_cmpstr(again, ==, text);

        g_assert_cmpuint(size - text_utf8_whole(bytes, size), ==, utf8_incomplete_tail(bytes, size));
        check_one_line(bytes, MIN_OF(size, (size_t) 512), 64);
        check_quote(bytes, MIN_OF(size, (size_t) 512), 256);
}

static void on_line(void *userdata, uint16_t flags, uint64_t realtime_usec, const void *text, size_t size) {
        _cleanup_free_ uint8_t *copy = NULL;
        Stream *stream = userdata;

        g_assert_cmpuint(size, <=, LIMIT_LINE);
        g_assert_false(stream->ended);
        g_assert_true(flags == 0 || flags == RING_PARTIAL || flags == RING_UNTERMINATED);
        g_assert_true(size > 0 || flags != RING_PARTIAL);
        g_byte_array_append(stream->rebuilt, text, (guint) size);
        if (flags == 0)
                g_byte_array_append(stream->rebuilt, (const uint8_t *) "\n", 1);
        if (flags == RING_PARTIAL)
                g_array_append_val(stream->cuts, stream->rebuilt->len);
        stream->open = flags == RING_PARTIAL;
        stream->ended = flags == RING_UNTERMINATED;

        /* Of a long one, in which there can be no more news, the beginning. */
        size = MIN_OF(size, TEXT_MAX);
        copy = malloc(MAX_OF(size, (size_t) 1));
        memcpy(copy, text, size);
        check_text(copy, size);
}

/* A valid character begins before the cut and goes on behind it. */
static bool cuts_a_character(const Stream *stream, guint cut) {
        for (guint back = 1; back <= 3 && back <= cut; back++) {
                const char *start = (const char *) stream->fed->data + cut - back;
                gunichar character = g_utf8_get_char_validated(start, (gssize) MIN_OF(stream->fed->len - (cut - back), 4U));

                if (character != (gunichar) -1 && character != (gunichar) -2 && (guint) g_unichar_to_utf8(character, NULL) > back)
                        return true;
        }
        return false;
}

static void end_stream(Stream *stream, LineSplitter *splitter) {
        line_splitter_end(splitter);
        g_assert_cmpuint(splitter->deadline_usec, ==, USEC_INFINITY);
        g_assert_false(stream->open);
        g_assert_true(stream->ended == (stream->fed->len > 0 && stream->fed->data[stream->fed->len - 1] != '\n'));
        g_assert_cmpmem(stream->rebuilt->data, stream->rebuilt->len, stream->fed->data, stream->fed->len);
        for (guint i = 0; i < stream->cuts->len; i++)
                g_assert_false(cuts_a_character(stream, g_array_index(stream->cuts, guint, i)));
        g_byte_array_set_size(stream->fed, 0);
        g_byte_array_set_size(stream->rebuilt, 0);
        g_array_set_size(stream->cuts, 0);
        stream->ended = false;
}

static void feed(Stream *stream, LineSplitter *splitter, const uint8_t *bytes, size_t size) {
        g_byte_array_append(stream->fed, bytes, (guint) size);
        line_splitter_feed(splitter, bytes, size, stream->now_usec, stream->now_usec);
        g_assert_cmpuint(splitter->size, <=, LIMIT_LINE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree LineSplitter *splitter = g_new(LineSplitter, 1);
        g_autoptr(GByteArray) fed = g_byte_array_new(), rebuilt = g_byte_array_new();
        g_autoptr(GArray) cuts = g_array_new(FALSE, FALSE, sizeof(guint));
        Stream stream = {.fed = fed, .rebuilt = rebuilt, .cuts = cuts, .now_usec = 1000};
        FuzzInput input = {data, size};
        const uint8_t *piece = data;
        size_t piece_size = 0, total = 0;

        line_splitter_init(splitter, on_line, &stream);
        while (input.size > 0 && total < STREAM_MAX) {
                uint8_t step = fuzz_u8(&input);
                size_t n;

                if (step < 0xf8) {
                        piece = fuzz_take(&input, step, &piece_size);
                        feed(&stream, splitter, piece, piece_size);
                        total += piece_size;
                } else if (step == 0xf8)
                        end_stream(&stream, splitter);
                else if (step == 0xf9)
                        stream.now_usec += fuzz_u16(&input);
                else if (step < 0xfc) {
                        stream.now_usec += LINE_SPLITTER_PATIENCE_USEC;
                        line_splitter_tick(splitter, stream.now_usec);
                        g_assert_cmpuint(splitter->deadline_usec, ==, USEC_INFINITY);
                        g_assert_cmpuint(splitter->size, <=, 3);
                } else {
                        /* In one read, as the keeper's buffer may hold it. */
                        g_autoptr(GByteArray) many = g_byte_array_new();

                        n = (size_t) fuzz_u16(&input) + 1;
                        while (many->len < n && piece_size > 0)
                                g_byte_array_append(many, piece, (guint) piece_size);
                        feed(&stream, splitter, many->data, many->len);
                        total += many->len;
                }
        }
        end_stream(&stream, splitter);
        return 0;
}
