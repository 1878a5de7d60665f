/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One decoder for all destinations, and a sink that first measures and then writes, so that nothing is allocated for the worst case.
 * Output is nearly always plain ASCII and nearly all of what the daemon handles: that path looks at eight bytes at a time and
 * copies once. */

#include "util/text.h"

#include <string.h>

static const char replacement[] = "\xef\xbf\xbd";

#define REPLACEMENT_SIZE (sizeof(replacement) - 1)

enum sequence {
        SEQUENCE_WHOLE,      /* one well-formed character */
        SEQUENCE_ILL,        /* a maximal subpart that nothing can complete */
        SEQUENCE_UNFINISHED, /* the bytes end where a character could still go on */
};

/* The first character of size > 0 bytes. Returns its length, or that of the maximal subpart. */
static size_t decode(const uint8_t *bytes, size_t size, enum sequence *ret_sequence, uint32_t *ret_character) {
        uint8_t first = bytes[0], low = 0x80, high = 0xbf;
        uint32_t character;
        size_t length;

        *ret_character = first;
        if (first < 0x80) {
                *ret_sequence = SEQUENCE_WHOLE;
                return 1;
        }

        *ret_sequence = SEQUENCE_ILL;
        if (first < 0xc2 || first > 0xf4)
                return 1;
        length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        character = first & (0x7fU >> length);

        /* Overlong forms, surrogates and all above U+10FFFF are told by the second byte alone (table 3-7 of the standard). */
        if (first == 0xe0)
                low = 0xa0;
        else if (first == 0xed)
                high = 0x9f;
        else if (first == 0xf0)
                low = 0x90;
        else if (first == 0xf4)
                high = 0x8f;

        for (size_t i = 1; i < length; i++) {
                if (i == size) {
                        *ret_sequence = SEQUENCE_UNFINISHED;
                        return i;
                }
                if (bytes[i] < low || bytes[i] > high)
                        return i;
                character = character << 6 | (bytes[i] & 0x3fU);
                low = 0x80;
                high = 0xbf;
        }

        *ret_sequence = SEQUENCE_WHOLE;
        *ret_character = character;
        return length;
}

static bool is_noncharacter(uint32_t character) {
        return (character >= 0xfdd0 && character <= 0xfdef) || (character & 0xfffe) == 0xfffe;
}

static bool is_control(uint32_t character) {
        return character < 0x20 || (character >= 0x7f && character <= 0x9f) || character == 0x2028 || character == 0x2029;
}

/* What can't be seen, or reorders its surroundings: in a quotation it could make one text look like another. */
static bool is_deceptive(uint32_t character) {
        return (character >= 0x200b && character <= 0x200f) || (character >= 0x202a && character <= 0x202e) || (character >= 0x2060 && character <= 0x206f) ||
               character == 0xfeff;
}

/* How many bytes at the beginning are ASCII other than NUL. */
static size_t ascii_prefix(const uint8_t *bytes, size_t size) {
        const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
        size_t offset = 0;

        for (uint64_t word; size - offset >= sizeof(word); offset += sizeof(word)) {
                memcpy(&word, bytes + offset, sizeof(word));
                if ((word | (word - ones)) & highs)
                        break;
        }
        while (offset < size && bytes[offset] > 0 && bytes[offset] < 0x80)
                offset++;
        return offset;
}

typedef struct Sink {
        char *bytes; /* NULL: only measures */
        size_t size;
} Sink;

static void sink_put(Sink *sink, const void *bytes, size_t size) {
        if (sink->bytes && size > 0)
                memcpy(sink->bytes + sink->size, bytes, size);
        sink->size += size;
}

static char *sink_finish(Sink *sink) {
        sink->bytes[sink->size] = '\0';
        return sink->bytes;
}

static int sink_allocate(Sink *sink) {
        char *bytes = malloc(sink->size + 1);

        if (!bytes)
                return -ENOMEM;
        *sink = (Sink){.bytes = bytes};
        return 0;
}

/* How many bytes at the beginning are for the bus as they are; ret_bad: how many behind them are to be replaced by one U+FFFD. */
static size_t clean_prefix(const uint8_t *bytes, size_t size, size_t *ret_bad) {
        size_t offset = 0;

        *ret_bad = 0;
        for (;;) {
                enum sequence sequence;
                uint32_t character;
                size_t length;

                offset += ascii_prefix(bytes + offset, size - offset);
                if (offset == size)
                        return offset;
                length = decode(bytes + offset, size - offset, &sequence, &character);
                if (sequence != SEQUENCE_WHOLE || character == 0 || is_noncharacter(character)) {
                        *ret_bad = length;
                        return offset;
                }
                offset += length;
        }
}

static void put_for_bus(Sink *sink, const uint8_t *bytes, size_t size) {
        for (size_t offset = 0; offset < size;) {
                size_t bad, clean = clean_prefix(bytes + offset, size - offset, &bad);

                sink_put(sink, bytes + offset, clean);
                if (bad > 0)
                        sink_put(sink, replacement, REPLACEMENT_SIZE);
                offset += clean + bad;
        }
}

char *text_for_bus(const void *bytes, size_t size, bool *ret_lossy) {
        size_t bad = 0, clean = size > 0 ? clean_prefix(bytes, size, &bad) : 0;
        const uint8_t *rest = bad > 0 ? (const uint8_t *) bytes + clean : NULL;
        Sink sink = {.size = clean};

        if (size > SIZE_MAX / (2 * REPLACEMENT_SIZE))
                return NULL;
        if (rest)
                put_for_bus(&sink, rest, size - clean);
        if (sink_allocate(&sink) < 0)
                return NULL;
        sink_put(&sink, bytes, clean);
        if (rest)
                put_for_bus(&sink, rest, size - clean);
        if (ret_lossy)
                *ret_lossy = bad > 0;
        return sink_finish(&sink);
}

char *text_one_line(const char *text, size_t max) {
        size_t size = strlen(text);
        /* Allocated for what it may be at most, which callers keep small; no character grows to more than three times its bytes. */
        Sink sink = {.size = MIN_OF(max, size > SIZE_MAX / 4 ? max : size * REPLACEMENT_SIZE)};

        if (sink.size == SIZE_MAX || sink_allocate(&sink) < 0)
                return NULL;

        for (size_t offset = 0, length; offset < size; offset += length) {
                const char *put = text + offset;
                enum sequence sequence;
                uint32_t character;
                size_t put_size;

                length = put_size = decode((const uint8_t *) put, size - offset, &sequence, &character);
                if (sequence != SEQUENCE_WHOLE || is_noncharacter(character)) {
                        put = replacement;
                        put_size = REPLACEMENT_SIZE;
                } else if (is_control(character)) {
                        put = " ";
                        put_size = 1;
                }
                if (sink.size == 0 && put[0] == ' ')
                        continue;
                if (put_size > max - sink.size)
                        break;
                sink_put(&sink, put, put_size);
        }
        while (sink.size > 0 && sink.bytes[sink.size - 1] == ' ')
                sink.size--;
        return sink_finish(&sink);
}

static void put_escaped(Sink *sink, const uint8_t *bytes, size_t size) {
        static const char hex[] = "0123456789abcdef";
        static const char letters[256] = {['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};

        for (size_t i = 0; i < size; i++) {
                uint8_t byte = bytes[i];

                if (letters[byte])
                        sink_put(sink, (const char[]){'\\', letters[byte]}, 2);
                else
                        sink_put(sink, (const char[]){'\\', 'x', hex[byte >> 4], hex[byte & 0xf]}, 4);
        }
}

static void put_quoted(Sink *sink, const uint8_t *bytes, size_t size, bool cut) {
        sink_put(sink, "\"", 1);
        for (size_t offset = 0, length; offset < size; offset += length) {
                enum sequence sequence;
                uint32_t character;

                length = decode(bytes + offset, size - offset, &sequence, &character);
                if (sequence != SEQUENCE_WHOLE || is_control(character) || is_noncharacter(character) || is_deceptive(character) || character == '"' ||
                    character == '\\')
                        put_escaped(sink, bytes + offset, length);
                else
                        sink_put(sink, bytes + offset, length);
        }
        sink_put(sink, "\"", 1);
        if (cut)
                sink_put(sink, "…", strlen("…"));
}

char *text_quote(const void *bytes, size_t size, size_t max) {
        bool cut = size > max;
        Sink sink = {};

        if (cut)
                size = text_utf8_whole(bytes, max);
        if (size > SIZE_MAX / 8)
                return NULL;
        put_quoted(&sink, bytes, size, cut);
        if (sink_allocate(&sink) < 0)
                return NULL;
        put_quoted(&sink, bytes, size, cut);
        return sink_finish(&sink);
}

char *text_quote_name(const char *name) {
        return text_quote(name, strlen(name), 64);
}

size_t text_utf8_whole(const void *bytes, size_t size) {
        const uint8_t *first = bytes;

        /* A character has at most four bytes, so an unfinished one began at most three ago, with the last byte that can begin one. */
        for (size_t back = 1; back <= 3 && back <= size; back++) {
                enum sequence sequence;
                uint32_t character;

                if ((first[size - back] & 0xc0) == 0x80)
                        continue;
                (void) decode(first + size - back, back, &sequence, &character);
                return sequence == SEQUENCE_UNFINISHED ? size - back : size;
        }
        return size;
}
