/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The splitter, by a table of what is read and what records come out, and by one rule that holds for every input: the bytes can be
 * rebuilt. */

#include "util/line-splitter.h"

#include <glib.h>
#include <string.h>

#define MAX_RECORDS 64U

typedef struct Seen {
        unsigned n;
        struct {
                uint16_t flags;
                uint64_t realtime_usec;
                GString *text;
        } records[MAX_RECORDS];
        GString *bytes; /* rebuilt */
} Seen;

static void on_line(void *userdata, uint16_t flags, uint64_t realtime_usec, const void *text, size_t size) {
        Seen *seen = userdata;

        g_assert_cmpuint(size, <=, LIMIT_LINE);
        if (seen->n < MAX_RECORDS) {
                seen->records[seen->n].flags = flags;
                seen->records[seen->n].realtime_usec = realtime_usec;
                seen->records[seen->n].text = g_string_new_len(text, (gssize) size);
        }
        seen->n++;
        g_string_append_len(seen->bytes, text, (gssize) size);
        if ((flags & (RING_PARTIAL | RING_UNTERMINATED)) == 0)
                g_string_append_c(seen->bytes, '\n');
}

static void seen_clear(Seen *seen) {
        for (unsigned i = 0; i < MIN(seen->n, MAX_RECORDS); i++)
                g_string_free(seen->records[i].text, TRUE);
        if (seen->bytes)
                g_string_free(seen->bytes, TRUE);
        *seen = (Seen){};
}

static LineSplitter *splitter_new(Seen *seen) {
        LineSplitter *splitter = g_new0(LineSplitter, 1);

        seen_clear(seen);
        seen->bytes = g_string_new(NULL);
        line_splitter_init(splitter, on_line, seen);
        return splitter;
}

/* A step is what is read at once, "~" for 50 ms without anything, "$" for the end. Records are "flags:text". */
typedef struct Case {
        const char *name;
        const char *steps[8];
        const char *records[8];
} Case;

static const Case cases[] = {
        {"a line", {"abc\n"}, {"0:abc"}},
        {"an empty line", {"\n"}, {"0:"}},
        {"several lines in one read", {"a\n\nb\n"}, {"0:a", "0:", "0:b"}},
        {"a line in several reads", {"a", "b", "c\n"}, {"0:abc"}},
        {"a prompt", {"> ", "~"}, {"1:> "}},
        {"a prompt, then the rest of its line", {"> ", "~", "x\n"}, {"1:> ", "0:x"}},
        {"a prompt, then only its newline", {"> ", "~", "\n"}, {"1:> ", "0:"}},
        {"a prompt, then the end", {"> ", "~", "$"}, {"1:> ", "4:"}},
        {"no time-out without anything", {"a\n", "~", "~"}, {"0:a"}},
        {"no final newline", {"a\nb", "$"}, {"0:a", "4:b"}},
        {"an end behind a newline", {"a\n", "$"}, {"0:a"}},
        {"an end without anything", {"$"}, {NULL}},
        {"a character cut by time waits", {"a\xc3", "~", "\xa4\n"}, {"1:a", "0:\xc3\xa4"}},
        {"nothing but half a character waits", {"\xe2\x82", "~", "\xac\n"}, {"0:\xe2\x82\xac"}},
        {"half a character at the end", {"\xe2\x82", "~", "$"}, {"4:\xe2\x82"}},
        {"half a character before a newline", {"\xe2\x82\n"}, {"0:\xe2\x82"}},
        {"a byte that begins nothing does not wait", {"a\xff", "~"}, {"1:a\xff"}},
        {"half a surrogate does not wait", {"a\xed\xa0", "~"}, {"1:a\xed\xa0"}},
        {"an overlong form does not wait", {"a\xe0\x80", "~"}, {"1:a\xe0\x80"}},
        {"the beginning of an emoji waits", {"a\xf0\x9f\x98", "~", "\x80", "~"}, {"1:a", "1:\xf0\x9f\x98\x80"}},
        {"carriage returns are text", {"10%\r20%\r\n"}, {"0:10%\r20%\r"}},
};

static void test_case(gconstpointer data) {
        const Case *c = data;
        Seen seen = {};
        g_autofree LineSplitter *splitter = splitter_new(&seen);
        uint64_t now = 1000;

        for (unsigned i = 0; i < G_N_ELEMENTS(c->steps) && c->steps[i]; i++) {
                if (strcmp(c->steps[i], "~") == 0) {
                        now += LINE_SPLITTER_PATIENCE_USEC - 1;
                        line_splitter_tick(splitter, now);
                        now += 1;
                        line_splitter_tick(splitter, now);
                } else if (strcmp(c->steps[i], "$") == 0)
                        line_splitter_end(splitter);
                else
                        line_splitter_feed(splitter, c->steps[i], strlen(c->steps[i]), now, now + 7);
        }

        for (unsigned i = 0; i < G_N_ELEMENTS(c->records) && c->records[i]; i++) {
                g_assert_cmpuint(i, <, seen.n);
                g_assert_cmpint(seen.records[i].flags, ==, c->records[i][0] - '0');
                g_assert_cmpstr(seen.records[i].text->str, ==, c->records[i] + 2);
        }
        g_assert_true(seen.n == G_N_ELEMENTS(c->records) || !c->records[seen.n]);
        seen_clear(&seen);
}

static void test_patience_counts_from_the_first_byte(void) {
        Seen seen = {};
        g_autofree LineSplitter *splitter = splitter_new(&seen);

        for (uint64_t now = 0; now < LINE_SPLITTER_PATIENCE_USEC; now += 10 * USEC_PER_MSEC) {
                line_splitter_feed(splitter, ".", 1, now, now);
                line_splitter_tick(splitter, now);
                g_assert_cmpuint(seen.n, ==, 0);
        }
        line_splitter_tick(splitter, LINE_SPLITTER_PATIENCE_USEC);
        g_assert_cmpuint(seen.n, ==, 1);
        g_assert_cmpstr(seen.records[0].text->str, ==, ".....");
        g_assert_cmpuint(splitter->deadline_usec, ==, USEC_INFINITY);
        seen_clear(&seen);
}

static void test_held_bytes_do_not_wake_again(void) {
        Seen seen = {};
        g_autofree LineSplitter *splitter = splitter_new(&seen);

        line_splitter_feed(splitter, "\xc3", 1, 0, 0);
        line_splitter_tick(splitter, LINE_SPLITTER_PATIENCE_USEC);
        g_assert_cmpuint(seen.n, ==, 0);
        g_assert_cmpuint(splitter->deadline_usec, ==, USEC_INFINITY);
        seen_clear(&seen);
}

static void test_longest_line_is_one_record(void) {
        Seen seen = {};
        g_autofree LineSplitter *splitter = splitter_new(&seen);
        g_autofree char *line = g_strnfill(LIMIT_LINE, 'x');

        line_splitter_feed(splitter, line, LIMIT_LINE, 0, 0);
        g_assert_cmpuint(seen.n, ==, 0);
        line_splitter_feed(splitter, "\n", 1, 0, 0);
        g_assert_cmpuint(seen.n, ==, 1);
        g_assert_cmpuint(seen.records[0].flags, ==, 0);
        g_assert_cmpuint(seen.records[0].text->len, ==, LIMIT_LINE);
        seen_clear(&seen);
}

static void test_one_byte_more_is_two_records(void) {
        Seen seen = {};
        g_autofree LineSplitter *splitter = splitter_new(&seen);
        g_autofree char *line = g_strnfill(LIMIT_LINE + 1, 'x');

        line[LIMIT_LINE] = 'y';
        line_splitter_feed(splitter, line, LIMIT_LINE + 1, 0, 0);
        line_splitter_feed(splitter, "\n", 1, 0, 0);
        g_assert_cmpuint(seen.n, ==, 2);
        g_assert_cmpuint(seen.records[0].flags, ==, RING_PARTIAL);
        g_assert_cmpuint(seen.records[1].flags, ==, 0);
        g_assert_cmpstr(seen.records[1].text->str, ==, "y");
        seen_clear(&seen);
}

static void test_ten_mebibytes_in_one_line(void) {
        Seen seen = {};
        g_autofree LineSplitter *splitter = splitter_new(&seen);
        g_autoptr(GString) input = g_string_new(NULL);

        while (input->len < 10 * 1024 * 1024)
                g_string_append(input, "\xe2\x82\xac");
        for (size_t i = 0; i < input->len; i += 65000)
                line_splitter_feed(splitter, input->str + i, MIN(input->len - i, (size_t) 65000), 0, 0);
        line_splitter_end(splitter);

        g_assert_cmpuint(seen.n, >=, input->len / LIMIT_LINE);
        for (unsigned i = 0; i < MIN(seen.n, MAX_RECORDS); i++)
                g_assert_true(g_utf8_validate(seen.records[i].text->str, (gssize) seen.records[i].text->len, NULL));
        g_assert_true(g_string_equal(seen.bytes, input));
        seen_clear(&seen);
}

/* A character of each length, at every place around the cut. */
static void test_never_cuts_a_character(void) {
        static const char *const characters[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

        for (unsigned c = 0; c < G_N_ELEMENTS(characters); c++)
                for (size_t before = LIMIT_LINE - 5; before <= LIMIT_LINE + 1; before++)
                        for (unsigned bytewise = 0; bytewise < 2; bytewise++) {
                                Seen seen = {};
                                g_autofree LineSplitter *splitter = splitter_new(&seen);
                                g_autofree char *fill = g_strnfill(before, 'a');
                                g_autofree char *line = g_strconcat(fill, characters[c], "bbbbbbb\n", NULL);
                                size_t step = bytewise ? 1 : strlen(line);

                                for (size_t i = 0; i < strlen(line); i += step)
                                        line_splitter_feed(splitter, line + i, step, 0, 0);
                                g_assert_cmpstr(seen.bytes->str, ==, line);
                                for (unsigned i = 0; i < seen.n; i++)
                                        g_assert_true(g_utf8_validate(seen.records[i].text->str, (gssize) seen.records[i].text->len, NULL));
                                seen_clear(&seen);
                        }
}

static void test_any_bytes_can_be_rebuilt(void) {
        for (unsigned round = 0; round < 300; round++) {
                Seen seen = {};
                g_autofree LineSplitter *splitter = splitter_new(&seen);
                g_autoptr(GString) input = g_string_new(NULL);
                uint64_t now = 0;

                for (unsigned i = 0; i < 40; i++) {
                        size_t n = (size_t) g_test_rand_int_range(1, round % 10 == 0 ? 40000 : 12);
                        size_t start = input->len;

                        for (size_t j = 0; j < n; j++)
                                g_string_append_c(input, (char) (g_test_rand_int_range(0, 50) == 0 ? '\n' : g_test_rand_int_range(0, 256)));
                        line_splitter_feed(splitter, input->str + start, n, now, now);
                        now += (uint64_t) g_test_rand_int_range(0, 60) * USEC_PER_MSEC;
                        line_splitter_tick(splitter, now);
                }
                line_splitter_end(splitter);
                g_assert_true(g_string_equal(seen.bytes, input));
                seen_clear(&seen);
        }
}

static void test_incomplete_tail_agrees_with_glib(void) {
        static const char *const whole[] = {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbd", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};

        for (unsigned i = 0; i < G_N_ELEMENTS(whole); i++) {
                size_t size = strlen(whole[i]);

                g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) whole[i], size), ==, 0);
                for (size_t n = 1; n < size; n++)
                        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) whole[i], n), ==, n);
        }
        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) "", 0), ==, 0);
        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) "\x80\x80\x80", 3), ==, 0);
        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) "\xc0", 1), ==, 0);
        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) "\xf5", 1), ==, 0);
        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) "\xf4\x90", 2), ==, 0);
        g_assert_cmpuint(utf8_incomplete_tail((const uint8_t *) "\xed\xa0", 2), ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path = g_strdelimit(g_strconcat("/lines/", cases[i].name, NULL), " ", '-');

                g_test_add_data_func(path, &cases[i], test_case);
        }
        g_test_add_func("/lines/patience-counts-from-the-first-byte", test_patience_counts_from_the_first_byte);
        g_test_add_func("/lines/held-bytes-do-not-wake-again", test_held_bytes_do_not_wake_again);
        g_test_add_func("/lines/longest-line-is-one-record", test_longest_line_is_one_record);
        g_test_add_func("/lines/one-byte-more-is-two-records", test_one_byte_more_is_two_records);
        g_test_add_func("/lines/ten-mebibytes-in-one-line", test_ten_mebibytes_in_one_line);
        g_test_add_func("/lines/never-cuts-a-character", test_never_cuts_a_character);
        g_test_add_func("/lines/any-bytes-can-be-rebuilt", test_any_bytes_can_be_rebuilt);
        g_test_add_func("/lines/incomplete-tail-agrees-with-glib", test_incomplete_tail_agrees_with_glib);
        return g_test_run();
}
