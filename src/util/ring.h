/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ring: the last lines of one runtime's output, in a memfd shared by the keeper, its only writer, and the daemon, a reader.
 *
 * The memfd is made by the daemon and sealed against resizing (so that no reader can meet SIGBUS), but it is written in the
 * runtime's own scope, which is so charged for it. It holds one header page and a data area. Positions (head, tail) are byte
 * counts since the beginning that only grow; a position modulo data_size is where the byte stands. Between tail and head stand
 * whole records, each a struct ring_record, then its text, padded to 8 bytes; records may wrap.
 *
 * The writer may be killed at any instruction and leaves a ring that can be read: it moves tail past what it is going to
 * overwrite, writes the record, and commits by moving head and last together. A reader copies first and then checks that tail has
 * not passed what it copied. A reader trusts nothing: the writer lives among the runtime's processes. */

#include <stdatomic.h>
#include <stdint.h>

#include "util/limits.h"
#include "util/macro.h"

#define RING_MAGIC UINT64_C(0x31676e69524d5221) /* "!RMRing1" */
#define RING_HEADER_SIZE 4096U
#define RING_LINE_MAX LIMIT_LINE

/* How far the writer has come. Both values change together or not at all, wherever the writer is killed: there are two of
 * these, and commit_count says which one counts. */
struct ring_commit {
        _Atomic uint64_t head; /* position behind the newest record */
        _Atomic uint64_t last; /* number of the newest line, 0 or (first number - 1) if there is none yet */
};

struct ring_header {
        uint64_t magic;
        uint64_t data_size;
        _Atomic uint64_t tail;         /* position of the oldest whole record */
        _Atomic uint64_t commit_count; /* commits[commit_count % 2] counts */
        struct ring_commit commits[2];
        _Atomic uint64_t middle; /* position of a record in the newer half: for readers who can't keep up with tail */
};

enum ring_stream {
        RING_STREAM_SETUP = 0,
        RING_STREAM_STDOUT = 1,
        RING_STREAM_STDERR = 2,
        _RING_STREAM_MAX,
};

/* Line flags: those of the D-Bus interface. RING_LOSSY is never stored: it is set where text is made of bytes. */
#define RING_PARTIAL 1U      /* the line goes on in a later record of the same stream */
#define RING_LOSSY 2U        /* the text is not the bytes: something in it was replaced by U+FFFD */
#define RING_UNTERMINATED 4U /* the stream ended without a newline */

struct ring_record {
        uint32_t size; /* bytes of text, at most RING_LINE_MAX */
        uint16_t flags;
        uint8_t stream;
        uint8_t zero;
        uint64_t number;
        uint64_t realtime_usec;
};

/* What a record with a text of that size takes in the ring, and in a framed pipe (output-frame.h). */
static inline uint64_t ring_record_length(uint32_t size) {
        return ALIGN_TO(sizeof(struct ring_record) + (uint64_t) size, 8);
}

/* Bytes to give the memfd of a ring that keeps at least ring_bytes of records. */
size_t ring_file_size(uint64_t ring_bytes);

/* A new sealed memfd of that size with a header written in it, line numbers starting behind last_line. Negative errno. */
int ring_create(uint64_t ring_bytes, uint64_t last_line);

/* The writer goes by its own positions, and never reads the shared ones back. */
typedef struct RingWriter {
        struct ring_header *header;
        uint8_t *data;
        uint64_t data_size;
        size_t map_size;
        uint64_t tail;
        uint64_t head;
        uint64_t last;
        uint64_t commit_count;
        uint64_t middle;

        /* Somebody in the writer's own process is in the middle of the record at this position, and is told before it is given up. NULL: nobody is. */
        void (*on_guard)(void *userdata);
        void *guard_userdata;
        uint64_t guard;
} RingWriter;

/* Maps a ring made by ring_create() for writing. -EINVAL if it isn't one. */
int ring_writer_init(RingWriter *ret, int fd);
void ring_writer_done(RingWriter *writer);

/* Adds a line, overwriting the oldest as needed. size ≤ RING_LINE_MAX. Returns its number. */
uint64_t ring_append(RingWriter *writer, enum ring_stream stream, uint16_t flags, uint64_t realtime_usec, const void *text, size_t size);
uint64_t ring_writer_last(const RingWriter *writer);

/* For readers in the writer's own process, who take what they need before the next line is added: the record at a position from tail on. 1, 0 at head, or
 * -EBADMSG if that can't be one. */
int ring_writer_peek(const RingWriter *writer, uint64_t position, struct ring_record *ret);
/* Copies bytes that stand there. */
void ring_writer_copy(const RingWriter *writer, uint64_t position, void *bytes, size_t size);

typedef struct RingReader {
        const struct ring_header *header;
        const uint8_t *data;
        uint64_t data_size;
        size_t map_size;
} RingReader;

/* A place in the ring: the next line wanted. It stays valid however far the writer goes on: ring_read() then says what was missed. */
typedef struct RingCursor {
        uint64_t number;   /* the next line wanted */
        uint64_t position; /* where it would stand, if known is true */
        bool known;
} RingCursor;

/* Maps for reading; checks size, seals and header. -EINVAL with anything that isn't a sealed ring. */
int ring_reader_init(RingReader *ret, int fd);
void ring_reader_done(RingReader *reader);

/* A reader that is all zero has no lines. Number of the newest line, and the oldest still there (last + 1 if none). */
uint64_t ring_reader_last(const RingReader *reader);
uint64_t ring_reader_oldest(const RingReader *reader);

/* As many lines as there can be at one time. Who reads on for more than this reads what is written meanwhile, and may never come to an end. */
uint64_t ring_reader_capacity(const RingReader *reader);

RingCursor ring_cursor_after(uint64_t number);

/* Copies the cursor's line into text (RING_LINE_MAX bytes) and moves the cursor behind it. If older lines are gone already, goes
 * on with the oldest there is: ret->number tells. Returns 1 with a line, 0 when there is none yet, -EBADMSG when the ring is broken. */
int ring_read(const RingReader *reader, RingCursor *cursor, struct ring_record *ret, void *text);
