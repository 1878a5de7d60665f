/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Text made of any bytes: GLib's own UTF-8 functions are the second opinion. */

#include "util/text.h"

#include <string.h>

#include <glib.h>

#define R "\xef\xbf\xbd"
#define BYTES(literal) literal, sizeof(literal) - 1

typedef struct Row {
        const char *name;
        const char *bytes;
        size_t size;
        const char *expected;
        size_t number; /* max, or the expected: lossy, length */
} Row;

static const Row bus_rows[] = {
        {"empty", BYTES(""), "", 0},
        {"ascii", BYTES("hello, world, longer than a word of memory"), "hello, world, longer than a word of memory", 0},
        {"controls are kept", BYTES("a\tb\x1b[1m\x7f"), "a\tb\x1b[1m\x7f", 0},
        {"two, three and four bytes", BYTES("é€😀"), "é€😀", 0},
        {"first and last of each length", BYTES("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbd"),
         "\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbd", 0},
        {"around the surrogates", BYTES("\xed\x9f\xbf\xee\x80\x80"), "\xed\x9f\xbf\xee\x80\x80", 0},
        {"NUL", BYTES("a\0b\0"), "a" R "b" R, 1},
        {"NUL behind eight",
         BYTES("12345678\0"
               "2345678"),
         "12345678" R "2345678", 1},
        {"lone continuation",
         BYTES("a\x80"
               "b"),
         "a" R "b", 1},
        {"bytes that never occur", BYTES("\xc0\xc1\xf5\xfe\xff"), R R R R R, 1},
        {"overlong slash", BYTES("\xc0\xaf"), R R, 1},
        {"overlong, three bytes", BYTES("\xe0\x80\xaf"), R R R, 1},
        {"overlong, four bytes", BYTES("\xf0\x80\x80\xaf"), R R R R, 1},
        {"surrogate", BYTES("\xed\xa0\x80"), R R R, 1},
        {"above U+10FFFF", BYTES("\xf4\x90\x80\x80"), R R R R, 1},
        {"cut two", BYTES("a\xc3"), "a" R, 1},
        {"cut three is one", BYTES("\xe2\x82"), R, 1},
        {"cut four is one", BYTES("\xf0\x9f\x98"), R, 1},
        {"cut in the middle",
         BYTES("\xf0\x9f\x98"
               "a\xe2\x82"
               "b\xe2"
               "c"),
         R "a" R "b" R "c", 1},
        {"the standard's table 3-8", BYTES("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), R R R R R R R R "A", 1},
        {"the standard's table 3-11", BYTES("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), R R R R "A", 1},
        {"noncharacters FDD0 and FDEF", BYTES("\xef\xb7\x90\xef\xb7\xaf"), R R, 1},
        {"neighbours of FDD0 and FDEF", BYTES("\xef\xb7\x8f\xef\xb7\xb0"), "\xef\xb7\x8f\xef\xb7\xb0", 0},
        {"noncharacters FFFE and FFFF", BYTES("\xef\xbf\xbe\xef\xbf\xbf"), R R, 1},
        {"noncharacters 1FFFE and 10FFFF", BYTES("\xf0\x9f\xbf\xbe\xf4\x8f\xbf\xbf"), R R, 1},
        {"byte order mark is kept", BYTES("\xef\xbb\xbf"), "\xef\xbb\xbf", 0},
        {"a real U+FFFD is no loss", BYTES(R), R, 0},
};

static void test_for_bus(gconstpointer data) {
        const Row *row = data;
        bool lossy = row->number == 0;
        _cleanup_free_ char *text = text_for_bus(row->bytes, row->size, &lossy);

        g_assert_cmpstr(text, ==, row->expected);
        g_assert_cmpuint(lossy, ==, row->number);
}

static void test_for_bus_without_bytes(void) {
        _cleanup_free_ char *text = text_for_bus(NULL, 0, NULL);

        g_assert_cmpstr(text, ==, "");
}

static const Row line_rows[] = {
        {"plain", BYTES("Notebook 1"), "Notebook 1", 256},
        {"empty", BYTES(""), "", 256},
        {"newline would be a directive", BYTES("a\nExecStart=/bin/sh"), "a ExecStart=/bin/sh", 256},
        {"each control character is a space",
         BYTES("a\r\n\t\x1b[0m\x7f"
               "b"),
         "a    [0m b", 256},
        {"C1",
         BYTES("a\xc2\x80\xc2\x85\xc2\x9f"
               "b"),
         "a   b", 256},
        {"U+00A0 is not a control",
         BYTES("a\xc2\xa0"
               "b"),
         "a\xc2\xa0"
         "b",
         256},
        {"line and paragraph separator",
         BYTES("a\xe2\x80\xa8\xe2\x80\xa9"
               "b"),
         "a  b", 256},
        {"trimmed at both ends", BYTES(" \n\t a b \n"), "a b", 256},
        {"only spaces", BYTES(" \n "), "", 256},
        {"invalid",
         BYTES("a\xff\xe2\x82"
               "b"),
         "a" R R "b", 256},
        {"noncharacter", BYTES("a\xef\xbf\xbf"), "a" R, 256},
        {"cut", BYTES("abcdef"), "abc", 3},
        {"just fits", BYTES("abc"), "abc", 3},
        {"cut before a character", BYTES("ab€d"), "ab", 4},
        {"a character just fits", BYTES("ab€d"), "ab€", 5},
        {"cut before a replacement", BYTES("ab\xff"), "ab", 4},
        {"trimmed again after the cut", BYTES("ab cd"), "ab", 3},
        {"leading spaces don't count", BYTES("     abc"), "abc", 3},
        {"nothing allowed", BYTES("abc"), "", 0},
        {"no limit", BYTES("abc"), "abc", SIZE_MAX - 1},
};

static void test_one_line(gconstpointer data) {
        const Row *row = data;
        _cleanup_free_ char *text = text_one_line(row->bytes, row->number);

        g_assert_cmpstr(text, ==, row->expected);
}

static const Row quote_rows[] = {
        {"plain", BYTES("hello"), "\"hello\"", 200},
        {"empty", BYTES(""), "\"\"", 200},
        {"quotes and backslashes", BYTES("{\"a\\b\"}"), "\"{\\\"a\\\\b\\\"}\"", 200},
        {"newline, return, tab", BYTES("a\n\r\t"), "\"a\\n\\r\\t\"", 200},
        {"NUL and escape", BYTES("\0\x1b\x7f"), "\"\\x00\\x1b\\x7f\"", 200},
        {"invalid bytes", BYTES("\xff\xe2\x82"), "\"\\xff\\xe2\\x82\"", 200},
        {"characters stay", BYTES("größe €"), "\"größe €\"", 200},
        {"C1 and separators", BYTES("\xc2\x85\xe2\x80\xa8"), "\"\\xc2\\x85\\xe2\\x80\\xa8\"", 200},
        {"right-to-left override", BYTES("\xe2\x80\xae"), "\"\\xe2\\x80\\xae\"", 200},
        {"noncharacter", BYTES("\xef\xbf\xbf"), "\"\\xef\\xbf\\xbf\"", 200},
        {"just fits", BYTES("abc"), "\"abc\"", 3},
        {"cut", BYTES("abcd"), "\"abc\"…", 3},
        {"cut at a character", BYTES("ab€"), "\"ab\"…", 4},
        {"nothing allowed", BYTES("abc"), "\"\"…", 0},
};

static void test_quote(gconstpointer data) {
        const Row *row = data;
        _cleanup_free_ char *text = text_quote(row->bytes, row->size, row->number);

        g_assert_cmpstr(text, ==, row->expected);
}

static const Row whole_rows[] = {
        {"empty", BYTES(""), NULL, 0},
        {"ascii", BYTES("abc"), NULL, 3},
        {"whole characters", BYTES("é€😀"), NULL, 9},
        {"one of two", BYTES("a\xc3"), NULL, 1},
        {"one of three", BYTES("a\xe2"), NULL, 1},
        {"two of three", BYTES("a\xe2\x82"), NULL, 1},
        {"one of four", BYTES("a\xf0"), NULL, 1},
        {"two of four", BYTES("a\xf0\x9f"), NULL, 1},
        {"three of four", BYTES("a\xf0\x9f\x98"), NULL, 1},
        {"only a beginning", BYTES("\xf0\x9f\x98"), NULL, 0},
        {"never to be valid: overlong", BYTES("a\xe0\x80"), NULL, 3},
        {"never to be valid: surrogate", BYTES("a\xed\xa0"), NULL, 3},
        {"never to be valid: too high", BYTES("a\xf4\x90"), NULL, 3},
        {"never to be valid: lead", BYTES("a\xff"), NULL, 2},
        {"continuations of nothing", BYTES("a\x80\x80\x80\x80"), NULL, 5},
        {"continuations alone", BYTES("\x80\x80"), NULL, 2},
        {"one continuation too many", BYTES("\xc3\xa9\xa9"), NULL, 3},
};

static void test_whole(gconstpointer data) {
        const Row *row = data;

        g_assert_cmpuint(text_utf8_whole(row->bytes, row->size), ==, row->number);
}

/* Bytes that make and break characters often. */
static size_t random_bytes(uint8_t *bytes, size_t max) {
        static const uint8_t interesting[] = {0x00, 'a',  '"',  '\n', ' ',  0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xb7, 0xbd,
                                              0xbe, 0xbf, 0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff};
        size_t size = (size_t) g_test_rand_int_range(0, (int) max + 1);

        for (size_t i = 0; i < size; i++)
                bytes[i] = interesting[g_test_rand_int_range(0, ELEMENTSOF(interesting))];
        return size;
}

static void test_any_bytes_become_text(void) {
        for (unsigned round = 0; round < 50000; round++) {
                uint8_t bytes[24];
                size_t size = random_bytes(bytes, sizeof(bytes) - 1);
                bool lossy, again_lossy;
                _cleanup_free_ char *text = text_for_bus(bytes, size, &lossy);
                _cleanup_free_ char *again = text_for_bus(text, strlen(text), &again_lossy);
                _cleanup_free_ char *quote = text_quote(bytes, size, 11);
                _cleanup_free_ char *line = NULL;
                _cleanup_free_ char *valid = g_utf8_make_valid((const char *) bytes, (gssize) size);

                g_assert_true(g_utf8_validate(text, -1, NULL));
                g_assert_cmpstr(text, ==, again);
                g_assert_false(again_lossy);
                if (!lossy)
                        g_assert_cmpmem(text, strlen(text), bytes, size);
                if (!memchr(bytes, 0, size) && g_utf8_validate((const char *) bytes, (gssize) size, NULL) && !lossy)
                        g_assert_cmpstr(text, ==, valid);

                g_assert_true(g_utf8_validate(quote, -1, NULL));
                for (const char *p = quote; *p; p++)
                        g_assert_false(g_ascii_iscntrl(*p));

                bytes[size] = 0;
                line = text_one_line((const char *) bytes, 13);
                g_assert_cmpuint(strlen(line), <=, 13);
                g_assert_true(g_utf8_validate(line, -1, NULL));
                for (const char *p = line; *p; p++)
                        g_assert_false(g_ascii_iscntrl(*p));
        }
}

/* Cut anywhere it says, the parts of valid text are valid. */
static void test_cut_never_splits_a_character(void) {
        static const char text[] = "aé€😀\xf4\x8f\xbf\xbdz";

        for (size_t size = 0; size < sizeof(text); size++) {
                size_t whole = text_utf8_whole(text, size);

                g_assert_cmpuint(whole, <=, size);
                g_assert_cmpuint(size - whole, <=, 3);
                g_assert_true(g_utf8_validate(text, (gssize) whole, NULL));
                g_assert_true(g_utf8_validate(text + whole, -1, NULL));
        }
}

static void add_rows(const char *group, const Row *rows, size_t n_rows, GTestDataFunc test) {
        for (size_t i = 0; i < n_rows; i++) {
                _cleanup_free_ char *path = g_strdup_printf("/text/%s/%s", group, rows[i].name);

                g_test_add_data_func(path, &rows[i], test);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        add_rows("for-bus", bus_rows, ELEMENTSOF(bus_rows), test_for_bus);
        add_rows("one-line", line_rows, ELEMENTSOF(line_rows), test_one_line);
        add_rows("quote", quote_rows, ELEMENTSOF(quote_rows), test_quote);
        add_rows("whole", whole_rows, ELEMENTSOF(whole_rows), test_whole);
        g_test_add_func("/text/for-bus/no bytes at all", test_for_bus_without_bytes);
        g_test_add_func("/text/any bytes become text", test_any_bytes_become_text);
        g_test_add_func("/text/a cut never splits a character", test_cut_never_splits_a_character);
        return g_test_run();
}
