/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Both ends of the ring of output lines, which ring.h describes.
 *
 * The protocol between them is that of a sequence lock, spread over positions: whatever the writer is about to destroy, it first
 * gives up (tail), with a fence behind it; whatever a reader has copied, it only believes after a fence and another look at tail.
 * Line numbers have no gaps, so a reader can hold each record it meets against the one before, and a ring that a hostile process
 * writes into can mislead, but never crash, stall or grow its reader: each read has so many looks at the shared memory, and no more,
 * and the numbers it returns only grow. */

#include "util/ring.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define RING_PAGE 4096U
#define RING_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define RING_RECORD_MAX ALIGN_TO(sizeof(struct ring_record) + RING_LINE_MAX, 8)

/* A reader begins again when the writer overtakes it: at the oldest record first, and if that one is given up again and again before it can be read, in
 * the middle of the ring. It has so many tries, and may besides walk over so many times as many records as there can be. */
#define RING_TRIES_MAX 1000U
#define RING_TRIES_AT_TAIL 8U
#define RING_WALKS_MAX 4U

/* Nobody prints as many lines: a last line beyond this is a lie, and a reader can count on from any number without an overflow. */
#define RING_NUMBER_MAX ((uint64_t) INT64_MAX)

size_t ring_file_size(uint64_t ring_bytes) {
        uint64_t kept = MIN_OF(MAX_OF(ring_bytes, (uint64_t) LIMIT_RING_MIN), (uint64_t) LIMIT_RING_MAX);

        /* Whole records are overwritten, so that one record's worth may be empty at any time. */
        return RING_HEADER_SIZE + ALIGN_TO(kept + RING_RECORD_MAX, RING_PAGE);
}

int ring_create(uint64_t ring_bytes, uint64_t last_line) {
        _cleanup_close_ int fd = -EBADF;
        size_t size = ring_file_size(ring_bytes);
        struct ring_header header = {.magic = RING_MAGIC, .data_size = size - RING_HEADER_SIZE};

        fd = memfd_create("runtime-output", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("runtime-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;

        atomic_init(&header.commits[0].last, last_line);
        if (ftruncate(fd, (off_t) size) < 0)
                return -errno;
        if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t) sizeof(header))
                return -EIO;
        if (fcntl(fd, F_ADD_SEALS, RING_SEALS) < 0)
                return -errno;

        return TAKE_FD(fd);
}

/* Maps a sealed memfd of a plausible size. What its header says is for the caller to judge. */
static int map_sealed(int fd, int protection, void **ret_map, size_t *ret_size) {
        struct stat st;
        void *map;
        int seals;

        if (fstat(fd, &st) < 0)
                return -errno;
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
                return -EINVAL;
        if (st.st_size % RING_PAGE != 0 || st.st_size < (off_t) ring_file_size(0) || st.st_size > (off_t) ring_file_size(UINT64_MAX))
                return -EINVAL;

        map = mmap(NULL, (size_t) st.st_size, protection, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;

        *ret_map = map;
        *ret_size = (size_t) st.st_size;
        return 0;
}

int ring_writer_init(RingWriter *ret, int fd) {
        struct ring_header *header;
        struct ring_commit *commit;
        void *map = NULL;
        size_t size = 0;
        int r;

        r = map_sealed(fd, PROT_READ | PROT_WRITE, &map, &size);
        if (r < 0)
                return r;

        header = map;
        if (header->magic != RING_MAGIC || header->data_size != size - RING_HEADER_SIZE) {
                (void) munmap(map, size);
                return -EINVAL;
        }

        *ret = (RingWriter){
                .header = header,
                .data = (uint8_t *) map + RING_HEADER_SIZE,
                .data_size = size - RING_HEADER_SIZE,
                .map_size = size,
                .tail = atomic_load(&header->tail),
                .commit_count = atomic_load(&header->commit_count),
                .middle = atomic_load(&header->middle),
        };
        commit = &header->commits[ret->commit_count % 2];
        ret->head = atomic_load(&commit->head);
        ret->last = atomic_load(&commit->last);
        /* It goes by these from now on, and would look for its tail for ever. */
        if (ret->tail > ret->head || ret->head - ret->tail > ret->data_size || ret->tail % 8 != 0 || ret->head % 8 != 0 || ret->middle > ret->head ||
            ret->last > RING_NUMBER_MAX) {
                ring_writer_done(ret);
                return -EINVAL;
        }
        return 0;
}

void ring_writer_done(RingWriter *writer) {
        if (writer->header)
                (void) munmap(writer->header, writer->map_size);
        *writer = (RingWriter){};
}

static void copy_in(RingWriter *writer, uint64_t position, const void *bytes, size_t size) {
        uint64_t offset = position % writer->data_size;
        size_t first = (size_t) MIN_OF((uint64_t) size, writer->data_size - offset);

        if (first > 0)
                memcpy(writer->data + offset, bytes, first);
        if (size > first)
                memcpy(writer->data, (const uint8_t *) bytes + first, size - first);
}

static void copy_out(const uint8_t *data, uint64_t data_size, uint64_t position, void *bytes, size_t size) {
        uint64_t offset = position % data_size;
        size_t first = (size_t) MIN_OF((uint64_t) size, data_size - offset);

        if (first > 0)
                memcpy(bytes, data + offset, first);
        if (size > first)
                memcpy((uint8_t *) bytes + first, data, size - first);
}

/* Moves tail behind the oldest record. */
static void give_up_oldest(RingWriter *writer) {
        struct ring_record oldest;

        copy_out(writer->data, writer->data_size, writer->tail, &oldest, sizeof(oldest));
        if (oldest.size <= RING_LINE_MAX && ring_record_length(oldest.size) <= writer->head - writer->tail)
                writer->tail += ring_record_length(oldest.size);
        else
                writer->tail = writer->head; /* somebody has written into our ring: begin anew */
}

static void commit(RingWriter *writer) {
        struct ring_commit *next = &writer->header->commits[(writer->commit_count + 1) % 2];

        atomic_store_explicit(&next->head, writer->head, memory_order_relaxed);
        atomic_store_explicit(&next->last, writer->last, memory_order_relaxed);
        writer->commit_count++;
        atomic_store_explicit(&writer->header->commit_count, writer->commit_count, memory_order_release);
        /* The next commit writes into what has just become the old one: not before everybody could know. */
        atomic_thread_fence(memory_order_release);
}

uint64_t ring_append(RingWriter *writer, enum ring_stream stream, uint16_t flags, uint64_t realtime_usec, const void *text, size_t size) {
        size = MIN_OF(size, (size_t) RING_LINE_MAX);

        struct ring_record record = {
                .size = (uint32_t) size,
                .flags = flags,
                .stream = (uint8_t) stream,
                .number = writer->last + 1,
                .realtime_usec = realtime_usec,
        };
        uint64_t length = ring_record_length(record.size);
        bool moved = false;

        while (writer->head + length - writer->tail > writer->data_size) {
                if (writer->on_guard && writer->tail >= writer->guard)
                        writer->on_guard(writer->guard_userdata);
                give_up_oldest(writer);
                moved = true;
        }
        if (moved) {
                atomic_store_explicit(&writer->header->tail, writer->tail, memory_order_relaxed);
                atomic_thread_fence(memory_order_release);
        }

        copy_in(writer, writer->head, &record, sizeof(record));
        copy_in(writer, writer->head + sizeof(record), text, size);
        writer->head += length;
        writer->last = record.number;
        commit(writer);
        if (writer->head - writer->middle > writer->data_size / 2) {
                writer->middle = writer->head - length;
                atomic_store_explicit(&writer->header->middle, writer->middle, memory_order_release);
        }
        return record.number;
}

uint64_t ring_writer_last(const RingWriter *writer) {
        return writer->last;
}

int ring_writer_peek(const RingWriter *writer, uint64_t position, struct ring_record *ret) {
        if (position == writer->head)
                return 0;
        if (position < writer->tail || position > writer->head || writer->head - position < sizeof(*ret))
                return -EBADMSG;
        copy_out(writer->data, writer->data_size, position, ret, sizeof(*ret));
        if (ret->size > RING_LINE_MAX || ring_record_length(ret->size) > writer->head - position || ret->stream >= _RING_STREAM_MAX)
                return -EBADMSG;
        return 1;
}

void ring_writer_copy(const RingWriter *writer, uint64_t position, void *bytes, size_t size) {
        copy_out(writer->data, writer->data_size, position, bytes, size);
}

int ring_reader_init(RingReader *ret, int fd) {
        const struct ring_header *header;
        void *map = NULL;
        size_t size = 0;
        int r;

        r = map_sealed(fd, PROT_READ, &map, &size);
        if (r < 0)
                return r;

        header = map;
        if (header->magic != RING_MAGIC || header->data_size != size - RING_HEADER_SIZE) {
                (void) munmap(map, size);
                return -EINVAL;
        }

        *ret = (RingReader){
                .header = header,
                .data = (const uint8_t *) map + RING_HEADER_SIZE,
                .data_size = size - RING_HEADER_SIZE,
                .map_size = size,
        };
        return 0;
}

void ring_reader_done(RingReader *reader) {
        if (reader->header)
                (void) munmap((void *) reader->header, reader->map_size);
        *reader = (RingReader){};
}

typedef struct Bounds {
        uint64_t tail;
        uint64_t head;
        uint64_t last;
} Bounds;

/* Looks that one read may still have. Whoever changes the ring while it is read can make us look again, but not for ever. */
typedef uint64_t Patience;

static Patience patience_new(const RingReader *reader) {
        return RING_TRIES_MAX + RING_WALKS_MAX * ring_reader_capacity(reader);
}

static bool patience_take(Patience *patience) {
        if (*patience == 0)
                return false;
        (*patience)--;
        return true;
}

/* Where the ring begins and ends now. head and last belong together; tail may be newer than they are. */
static int read_bounds(const RingReader *reader, Patience *patience, Bounds *ret) {
        const struct ring_header *header = reader->header;

        for (unsigned try = 0; try < RING_TRIES_MAX && patience_take(patience); try++) {
                uint64_t count = atomic_load_explicit(&header->commit_count, memory_order_acquire);
                const struct ring_commit *now = &header->commits[count % 2];
                Bounds bounds = {
                        .head = atomic_load_explicit(&now->head, memory_order_relaxed),
                        .last = atomic_load_explicit(&now->last, memory_order_relaxed),
                };

                atomic_thread_fence(memory_order_acquire);
                if (atomic_load_explicit(&header->commit_count, memory_order_relaxed) != count)
                        continue;
                bounds.tail = atomic_load_explicit(&header->tail, memory_order_acquire);
                if (bounds.tail > bounds.head)
                        continue; /* overtaken between the two looks */
                if (bounds.head - bounds.tail > reader->data_size || bounds.tail % 8 != 0 || bounds.head % 8 != 0 || bounds.last > RING_NUMBER_MAX)
                        return -EBADMSG;
                *ret = bounds;
                return 0;
        }
        return -EBADMSG;
}

/* True if nothing from position on had been given up when it was copied. */
static bool still_there(const RingReader *reader, uint64_t position) {
        atomic_thread_fence(memory_order_acquire);
        return atomic_load_explicit(&reader->header->tail, memory_order_relaxed) <= position;
}

/* Copies the head of the record at position. 1, 0 if the writer has overtaken us, -EBADMSG if it can't be a record. */
static int read_record(const RingReader *reader, const Bounds *bounds, uint64_t position, struct ring_record *ret) {
        struct ring_record record;

        if (bounds->head - position < sizeof(record))
                return still_there(reader, position) ? -EBADMSG : 0;
        copy_out(reader->data, reader->data_size, position, &record, sizeof(record));
        if (!still_there(reader, position))
                return 0;
        if (record.size > RING_LINE_MAX || ring_record_length(record.size) > bounds->head - position || record.stream >= _RING_STREAM_MAX ||
            (record.flags & ~(RING_PARTIAL | RING_UNTERMINATED)) != 0 || record.number == 0 || record.number > bounds->last)
                return -EBADMSG;
        *ret = record;
        return 1;
}

/* Finds the place of the first line with at least the wanted number, from tail on or from the middle on. 1 with a record, 0 if overtaken, -EBADMSG. */
static int find_record(const RingReader *reader, const Bounds *bounds, Patience *patience, bool from_middle, uint64_t number, uint64_t *ret_position,
                       struct ring_record *ret) {
        uint64_t position = bounds->tail, expected = 0;

        if (from_middle) {
                uint64_t middle = atomic_load_explicit(&reader->header->middle, memory_order_acquire);

                if (middle > bounds->tail && middle < bounds->head && middle % 8 == 0)
                        position = middle;
        }
        while (position != bounds->head && patience_take(patience)) {
                struct ring_record record;
                int r;

                r = read_record(reader, bounds, position, &record);
                if (r <= 0)
                        return r;
                if (expected != 0 && record.number != expected)
                        return -EBADMSG;
                if (record.number >= number) {
                        *ret_position = position;
                        *ret = record;
                        return 1;
                }
                position += ring_record_length(record.size);
                expected = record.number + 1;
        }
        return -EBADMSG; /* the caller has seen that the number is there */
}

uint64_t ring_reader_last(const RingReader *reader) {
        Patience patience = RING_TRIES_MAX;
        Bounds bounds;

        if (!reader->header || read_bounds(reader, &patience, &bounds) < 0)
                return 0;
        return bounds.last;
}

uint64_t ring_reader_oldest(const RingReader *reader) {
        Patience patience;

        if (!reader->header)
                return 1;

        patience = patience_new(reader);
        for (unsigned try = 0; try < RING_TRIES_MAX; try++) {
                struct ring_record record;
                uint64_t position;
                Bounds bounds;
                int r;

                if (read_bounds(reader, &patience, &bounds) < 0)
                        break;
                if (bounds.tail == bounds.head)
                        return bounds.last + 1;
                r = find_record(reader, &bounds, &patience, try >= RING_TRIES_AT_TAIL, 0, &position, &record);
                if (r < 0)
                        break;
                if (r > 0)
                        return record.number;
        }
        return ring_reader_last(reader) + 1;
}

uint64_t ring_reader_capacity(const RingReader *reader) {
        return reader->data_size / sizeof(struct ring_record);
}

RingCursor ring_cursor_after(uint64_t number) {
        return (RingCursor){.number = number == UINT64_MAX ? number : number + 1};
}

int ring_read(const RingReader *reader, RingCursor *cursor, struct ring_record *ret, void *text) {
        Patience patience;

        if (!reader->header)
                return 0;

        patience = patience_new(reader);
        for (unsigned try = 0; try < RING_TRIES_MAX; try++) {
                struct ring_record record;
                uint64_t position;
                Bounds bounds;
                int r;

                r = read_bounds(reader, &patience, &bounds);
                if (r < 0)
                        return r;

                if (cursor->number > bounds.last) {
                        /* Remember the place, so that the next line need not be looked for from the beginning. */
                        if (cursor->number - bounds.last == 1 && !cursor->known) {
                                cursor->position = bounds.head;
                                cursor->known = true;
                        }
                        return 0;
                }
                if (bounds.tail == bounds.head)
                        return 0; /* a new ring that goes on with another's numbers */

                if (cursor->known && cursor->position >= bounds.tail) {
                        position = cursor->position;
                        if (position >= bounds.head)
                                return -EBADMSG;
                        r = read_record(reader, &bounds, position, &record);
                        if (r > 0 && record.number != cursor->number)
                                return -EBADMSG;
                } else {
                        /* Where its place has been given up, all that is left is newer: there is nothing to look for. */
                        r = find_record(reader, &bounds, &patience, try >= RING_TRIES_AT_TAIL, cursor->known ? 0 : cursor->number, &position, &record);
                        if (r > 0 && record.number < cursor->number)
                                return -EBADMSG;
                }
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;

                copy_out(reader->data, reader->data_size, position + sizeof(record), text, record.size);
                if (!still_there(reader, position))
                        continue;

                *ret = record;
                *cursor = (RingCursor){
                        .number = record.number + 1,
                        .position = position + ring_record_length(record.size),
                        .known = true,
                };
                return 1;
        }
        return -EBADMSG;
}
