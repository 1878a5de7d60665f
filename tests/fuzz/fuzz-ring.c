/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ring as the daemon reads it while somebody else changes it. Between any two looks of the reader at the shared positions the world
 * has its turn, so every moment at which memory can change is met, without threads and each time the same.
 *
 * Two worlds. In the hostile one anything is written anywhere: a read must end, after a number of looks that depends on the size of the ring alone,
 * stay in bounds, and deliver only what a record may be. In the honest one the writer goes on meanwhile, and a reader looks at whatever a
 * killed writer would leave: each line that is read is the one that was written under that number.
 *
 * The input: world and size of the ring, length of the reader's part, the reader's steps, then the world's. */

#include "util/ring.h"

#include <string.h>

#include "fuzz-input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_reader_look(void);
static void on_writer_step(void);

static inline uint64_t load(const _Atomic uint64_t *object) {
        on_reader_look();
        return atomic_load(object);
}

static inline void store(_Atomic uint64_t *object, uint64_t value) {
        on_writer_step();
        atomic_store(object, value);
        on_writer_step();
}

/* The product's own source, with a seam at each look and each step. */
#undef atomic_load_explicit
#define atomic_load_explicit(object, order) load(object)
#undef atomic_store_explicit
#define atomic_store_explicit(object, value, order) store((object), (value))
#include "util/ring.c"

#define CURSORS 3U

typedef struct World {
        FuzzInput script;
        RingWriter writer;
        RingReader reader;
        RingCursor cursors[CURSORS];
        bool honest;
        bool busy;            /* reader or writer is at work: no second one inside it */
        uint64_t line_max;    /* bytes of a line, so that several fit */
        uint64_t n_looks;     /* of this read */
        unsigned wait;        /* looks until the next step of the script */
        unsigned writer_wait; /* steps of the writer until somebody reads */
        uint8_t text[RING_LINE_MAX];
} World;

static World *world;

/* The text of a line is known by its number. */
static size_t make_line(uint64_t number, uint8_t *text) {
        size_t size = (size_t) (number * 2654435761U % (world->line_max + 1));

        memset(text, (int) (number * 31 % 251), size);
        return size;
}

static void write_line(void) {
        uint8_t text[RING_LINE_MAX];
        uint64_t number = world->writer.last + 1;
        size_t size = make_line(number, text);

        g_assert_cmpuint(ring_append(&world->writer, (enum ring_stream)(number % _RING_STREAM_MAX), 0, number, text, size), ==, number);
}

/* Looks that one call may cost, with room to spare: some tries, and a few walks over the most records there can be. */
static uint64_t looks_max(void) {
        return 16 * (RING_TRIES_MAX + RING_WALKS_MAX * ring_reader_capacity(&world->reader));
}

static void check_record(const struct ring_record *record) {
        g_assert_cmpuint(record->size, <=, RING_LINE_MAX);
        g_assert_cmpuint(record->stream, <, _RING_STREAM_MAX);
        g_assert_cmpuint(record->flags & ~(RING_PARTIAL | RING_UNTERMINATED), ==, 0);
        if (world->honest) {
                uint8_t text[RING_LINE_MAX];
                size_t size = make_line(record->number, text);

                g_assert_cmpuint(record->realtime_usec, ==, record->number);
                g_assert_cmpuint(record->stream, ==, record->number % _RING_STREAM_MAX);
                g_assert_cmpmem(world->text, record->size, text, size);
        }
}

static int read_line(RingCursor *cursor) {
        RingCursor before = *cursor;
        struct ring_record record;
        int r;

        world->n_looks = 0;
        r = ring_read(&world->reader, cursor, &record, world->text);
        g_assert_cmpuint(world->n_looks, <=, looks_max());
        if (r > 0) {
                g_assert_cmpint(r, ==, 1);
                g_assert_cmpuint(record.number, >=, before.number);
                g_assert_cmpuint(record.number, >, 0);
                g_assert_true(cursor->known);
                g_assert_cmpuint(cursor->number, ==, record.number + 1);
                g_assert_cmpuint(cursor->number, !=, 0);
                check_record(&record);
        } else {
                g_assert_true(r == 0 || r == -EBADMSG);
                g_assert_true(r == 0 || !world->honest);
                g_assert_cmpuint(cursor->number, ==, before.number);
        }
        return r;
}

/* What the daemon does: from somewhere to the end. While the ring changes there need not be an end, so no more than there is room for. */
static void read_on(RingCursor *cursor) {
        for (uint64_t n = ring_reader_capacity(&world->reader); n > 0 && read_line(cursor) > 0; n--)
                ;
}

static void read_ends(void) {
        uint64_t oldest, last;

        world->n_looks = 0;
        oldest = ring_reader_oldest(&world->reader);
        g_assert_cmpuint(world->n_looks, <=, looks_max());
        last = ring_reader_last(&world->reader);
        g_assert_cmpuint(last, <, UINT64_MAX);
        g_assert_cmpuint(oldest, >, 0);
        if (world->honest)
                g_assert_cmpuint(oldest, <=, last + 1);
}

/* A step of the hostile world: one of the shared positions, a record's head, or any bytes. */
static void spoil(void) {
        struct ring_header *header = world->writer.header;
        struct ring_commit *commit = &header->commits[atomic_load(&header->commit_count) % 2];
        _Atomic uint64_t *const shared[] = {
                &header->tail, &commit->head, &commit->last, &header->commit_count, &header->middle, &header->commits[0].head, &header->commits[1].head,
                &commit->last,
        };
        uint8_t what = fuzz_u8(&world->script);
        _Atomic uint64_t *field = shared[what / 8 % ELEMENTSOF(shared)];
        uint64_t value = atomic_load(field);
        size_t offset, size;
        const uint8_t *bytes;

        switch (what % 8) {
        case 0:
                atomic_store(field, fuzz_u64(&world->script));
                break;
        case 1:
                atomic_store(field, value + 8 * (uint64_t) (int8_t) fuzz_u8(&world->script));
                break;
        case 2: /* unaligned, or at an end of the numbers */
                atomic_store(field, (what & 0x80 ? value : what & 0x40 ? (uint64_t) INT64_MAX : 0) + (uint64_t) (int8_t) fuzz_u8(&world->script));
                break;
        case 3:
                atomic_store(field, what & 8 ? value + world->writer.data_size : value - world->writer.data_size);
                break;
        case 4: /* the same memory, further on */
                atomic_fetch_add(&header->tail, world->writer.data_size);
                atomic_fetch_add(&commit->head, world->writer.data_size);
                break;
        case 5: /* a record where one could be expected */
                offset = (size_t) ((atomic_load(&header->tail) + 8 * (uint64_t) fuzz_u8(&world->script)) % world->writer.data_size);
                bytes = fuzz_take(&world->script, sizeof(struct ring_record), &size);
                memcpy(world->writer.data + offset, bytes, MIN_OF(size, (size_t) world->writer.data_size - offset));
                break;
        case 6:
                offset = (size_t) (fuzz_u16(&world->script) % world->writer.data_size);
                bytes = fuzz_take(&world->script, fuzz_u8(&world->script), &size);
                memcpy(world->writer.data + offset, bytes, MIN_OF(size, (size_t) world->writer.data_size - offset));
                break;
        case 7: /* as if nothing had happened */
                atomic_store(&header->tail, world->writer.tail);
                atomic_store(&header->middle, world->writer.middle);
                atomic_store(&header->commit_count, world->writer.commit_count);
                atomic_store(&header->commits[world->writer.commit_count % 2].head, world->writer.head);
                atomic_store(&header->commits[world->writer.commit_count % 2].last, world->writer.last);
                break;
        }
}

/* The reader looks: meanwhile the world goes on. */
static void on_reader_look(void) {
        world->n_looks++;
        if (world->busy || world->script.size == 0)
                return;
        if (world->wait > 0) {
                world->wait--;
                return;
        }
        world->busy = true;
        if (world->honest)
                for (unsigned n = fuzz_u8(&world->script) % 64; n > 0; n--)
                        write_line();
        else
                spoil();
        world->wait = fuzz_u8(&world->script) % 32;
        world->busy = false;
}

/* The writer may be killed before and after each of its steps: whoever reads then sees whole lines. */
static void on_writer_step(void) {
        RingCursor cursor = ring_cursor_after(world->writer.last > 3 ? world->writer.last - 3 : 0);

        if (world->busy || !world->honest || world->writer_wait-- > 0)
                return;
        world->busy = true;
        (void) read_line(&cursor);
        (void) read_line(&world->cursors[0]);
        read_ends();
        world->writer_wait = fuzz_u8(&world->script) % 16;
        world->busy = false;
}

static void act(FuzzInput *steps) {
        uint8_t step = fuzz_u8(steps);
        RingCursor *cursor = &world->cursors[step / 8 % CURSORS];

        switch (step % 8) {
        case 0:
        case 1:
                (void) read_line(cursor);
                break;
        case 2:
                read_on(cursor);
                break;
        case 3:
                *cursor = ring_cursor_after(fuzz_u8(steps));
                break;
        case 4:
                *cursor = ring_cursor_after(fuzz_u64(steps));
                break;
        case 5:
                read_ends();
                break;
        case 6:
                *cursor = ring_cursor_after(MIN_OF(ring_reader_last(&world->reader), (uint64_t) INT64_MAX));
                break;
        case 7:
                for (unsigned n = fuzz_u8(steps) % 32; n > 0; n--)
                        write_line();
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint64_t data_sizes[] = {64, 256, 1024, 4096, 16384, 2 * RING_RECORD_MAX};
        _cleanup_free_ struct ring_header *header = calloc(1, sizeof(*header));
        FuzzInput input = {data, size}, steps;
        _cleanup_free_ uint8_t *ring = NULL;
        uint64_t data_size;
        uint8_t first;

        if (size < 4 || size > 4096)
                return 0;
        world = g_new0(World, 1);
        first = fuzz_u8(&input);
        world->honest = first & 1;
        data_size = data_sizes[first / 2 % ELEMENTSOF(data_sizes)];
        world->line_max = data_size > RING_RECORD_MAX ? RING_LINE_MAX : data_size / 4;
        /* Two blocks of their own sizes, so that a step out of them is seen. */
        ring = calloc(1, (size_t) data_size);
        world->writer = (RingWriter){.header = header, .data = ring, .data_size = data_size};
        world->reader = (RingReader){.header = header, .data = ring, .data_size = data_size};
        steps.bytes = fuzz_take(&input, fuzz_u8(&input), &steps.size);
        world->script = input;

        for (unsigned n = first / 16; n > 0; n--)
                write_line();
        while (steps.size > 0)
                act(&steps);
        /* The world has stopped: whatever is there now, each reader gets to an end. */
        world->script.size = 0;
        for (unsigned i = 0; i < CURSORS; i++) {
                read_on(&world->cursors[i]);
                g_assert_cmpint(read_line(&world->cursors[i]), <=, 0);
        }
        g_clear_pointer(&world, g_free);
        return 0;
}
