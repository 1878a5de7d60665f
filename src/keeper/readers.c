/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output in bulk: pipes that clients read, written from the ring as fast as they take it.
 *
 * A reader is a place in the ring, and no queue. Where the ring gives up a line that a reader has yet to be written, the reader goes on with the oldest one
 * left and is told of the gap; but a line of which it has had a part already is saved, whole, before it goes. A lossless reader is not overtaken: while it is
 * far behind the runtime's pipes aren't read, and the kernel holds the runtime back.
 *
 * A reader that stops reading costs its pipe and its place, one that goes nothing: poll() tells. */

#include "keeper/readers.h"

#include <fcntl.h>
#include <string.h>

/* In one turn, so that one reader of much that is past keeps nobody waiting. */
#define TURN_BYTES ((size_t) 256 * 1024)

/* Less than that is not worth a read() while a lossless reader is behind. */
#define ALLOWANCE_MIN (16U * 1024U)

/* Room for what comes into the ring from elsewhere: the heads of lines that are unfinished, announcements of steps. */
#define RESERVE 4096U

/* A pipe may be made so large by anybody, as the kernel is set up by default. */
#define HURRY_PIPE_SIZE (1024 * 1024)

static bool is_open(const Reader *reader) {
        return reader->fd >= 0;
}

static bool is_lossless(const Reader *reader) {
        return is_open(reader) && (reader->flags & OUTPUT_LOSSLESS);
}

static void reader_close(Reader *reader) {
        free(reader->rest);
        *reader = (Reader){.fd = fd_close(reader->fd)};
}

/* A reader to which something is to go before its next line; what there was has gone. */
static void set_rest(Reader *reader, uint8_t *bytes, size_t size) {
        reader->rest = bytes;
        reader->rest_size = size;
        reader->rest_offset = 0;
        if (!bytes)
                reader_close(reader);
}

static void set_note(Reader *reader, enum output_frame_kind kind, uint64_t number, const uint64_t *count) {
        struct output_frame frame = {.size = count ? sizeof(*count) : 0, .kind = (uint8_t) kind, .number = number};
        uint8_t *bytes;

        if (!(reader->flags & OUTPUT_FRAMED))
                return;
        bytes = malloc(sizeof(frame) + frame.size);
        if (bytes) {
                memcpy(bytes, &frame, sizeof(frame));
                if (count)
                        memcpy(bytes + sizeof(frame), count, sizeof(*count));
        }
        set_rest(reader, bytes, sizeof(frame) + frame.size);
}

/* Bytes [offset, offset + size) of what a line is in the pipe. */
static void render(const RingWriter *ring, uint32_t flags, uint64_t position, const struct ring_record *record, size_t offset, uint8_t *bytes, size_t size) {
        size_t begin = flags & OUTPUT_FRAMED ? 0 : sizeof(*record), end = sizeof(*record) + record->size, n;

        /* Where the bytes stand in the ring is where they stand in a frame; behind them comes what the ring hasn't. */
        offset += begin;
        n = offset < end ? MIN_OF(size, end - offset) : 0;
        ring_writer_copy(ring, position + offset, bytes, n);
        memset(bytes + n, flags & OUTPUT_FRAMED ? 0 : '\n', size - n);
}

static void move_on(Reader *reader, const struct ring_record *record) {
        reader->position += ring_record_length(record->size);
        reader->number = record->number + 1;
        reader->offset = 0;
}

static void on_guard(void *userdata);

/* The ring is to tell before it gives up a line of which somebody has had a part. */
static void update_guard(Readers *readers) {
        RingWriter *ring = readers->ring;

        ring->on_guard = NULL;
        ring->guard_userdata = readers;
        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++) {
                const Reader *reader = &readers->reader[i];

                if (!is_open(reader) || reader->offset == 0)
                        continue;
                ring->guard = ring->on_guard ? MIN_OF(ring->guard, reader->position) : reader->position;
                ring->on_guard = on_guard;
        }
}

/* Saves what is still to be written of the line. */
static void save_line(const RingWriter *ring, Reader *reader) {
        struct ring_record record;
        uint8_t *bytes;
        size_t size;

        if (ring_writer_peek(ring, reader->position, &record) <= 0) {
                reader_close(reader);
                return;
        }
        size = output_line_size(reader->flags, &record) - reader->offset;
        bytes = malloc(size);
        if (bytes)
                render(ring, reader->flags, reader->position, &record, reader->offset, bytes, size);
        move_on(reader, &record);
        set_rest(reader, bytes, size);
}

static void on_guard(void *userdata) {
        Readers *readers = userdata;

        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++) {
                Reader *reader = &readers->reader[i];

                if (is_open(reader) && reader->offset > 0 && reader->position <= readers->ring->tail)
                        save_line(readers->ring, reader);
        }
        update_guard(readers);
}

void readers_init(Readers *readers, RingWriter *ring) {
        readers->ring = ring;
        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++)
                readers->reader[i] = (Reader){.fd = -EBADF};
}

void readers_done(Readers *readers) {
        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++)
                reader_close(&readers->reader[i]);
}

/* Goes to the line with the reader's number, or to the first one behind it that is still there. Negative errno: the ring is broken. */
static int find_place(const RingWriter *ring, Reader *reader) {
        struct ring_record record;
        int r;

        reader->position = ring->tail;
        while ((r = ring_writer_peek(ring, reader->position, &record)) > 0 && record.number < reader->number)
                reader->position += ring_record_length(record.size);
        if (r < 0)
                return r;

        /* Nothing is left of what there was, or a new ring goes on with another's numbers. */
        uint64_t number = r > 0 ? record.number : ring->last + 1;

        if (number > reader->number) {
                uint64_t first = reader->number, count = number - first;

                reader->number = number;
                set_note(reader, OUTPUT_FRAME_GAP, first, &count);
        }
        return is_open(reader) ? 0 : -ENOMEM;
}

int readers_open(Readers *readers, uint64_t after, uint32_t flags, int *ret_read_fd) {
        Reader *reader = NULL;
        int fds[2], r;

        if (flags & ~OUTPUT_FLAGS)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(readers->reader) && !reader; i++)
                if (!is_open(&readers->reader[i]))
                        reader = &readers->reader[i];
        if (!reader)
                return -EUSERS;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *reader = (Reader){.fd = fds[1], .flags = flags, .number = MIN_OF(after, readers->ring->last) + 1};
        r = fcntl(reader->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : find_place(readers->ring, reader);
        if (r < 0) {
                reader_close(reader);
                fd_close(fds[0]);
                return r;
        }
        *ret_read_fd = fds[0];
        return 0;
}

static bool has_work(const Readers *readers, const Reader *reader) {
        return is_open(reader) && (reader->rest || reader->position != readers->ring->head || readers->ended);
}

bool readers_have_work(const Readers *readers) {
        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++)
                if (has_work(readers, &readers->reader[i]))
                        return true;
        return false;
}

void readers_prepare_poll(const Readers *readers, struct pollfd *fds) {
        /* That the reader has gone is told in any case. */
        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++)
                fds[i] = (struct pollfd){
                        .fd = readers->reader[i].fd,
                        .events = has_work(readers, &readers->reader[i]) ? POLLOUT : 0,
                };
}

/* How much the pipe took; 0 when it is full, or its reader has gone. */
static size_t write_some(Reader *reader, const void *bytes, size_t size) {
        ssize_t n;

        do
                n = write(reader->fd, bytes, size);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN)
                reader_close(reader);
        reader->full = n < (ssize_t) size;
        return n < 0 ? 0 : (size_t) n;
}

static size_t write_rest(Reader *reader) {
        size_t n = write_some(reader, reader->rest + reader->rest_offset, reader->rest_size - reader->rest_offset);

        reader->rest_offset += n;
        if (is_open(reader) && reader->rest_offset == reader->rest_size) {
                free(TAKE_PTR(reader->rest));
                if (reader->closing)
                        reader_close(reader);
        }
        return n;
}

/* Moves the reader over what the pipe took, and over lines that aren't for it. */
static int advance(const RingWriter *ring, Reader *reader, size_t n) {
        while (reader->position != ring->head) {
                struct ring_record record;
                size_t left;
                int r;

                r = ring_writer_peek(ring, reader->position, &record);
                if (r <= 0)
                        return -EBADMSG;
                left = output_line_size(reader->flags, &record) - reader->offset;
                if (n < left) {
                        reader->offset += n;
                        return 0;
                }
                n -= left;
                move_on(reader, &record);
        }
        return 0;
}

/* Lines from the ring, as many as the buffer holds. */
static size_t write_lines(const RingWriter *ring, Reader *reader, uint8_t *buffer, size_t size) {
        uint64_t position = reader->position;
        size_t offset = reader->offset, filled = 0, n = 0;
        int r = 0;

        while (filled < size && position != ring->head) {
                struct ring_record record;
                size_t length, part;

                r = ring_writer_peek(ring, position, &record);
                if (r <= 0)
                        break;
                length = output_line_size(reader->flags, &record) - offset;
                part = MIN_OF(length, size - filled);
                if (part > 0)
                        render(ring, reader->flags, position, &record, offset, buffer + filled, part);
                filled += part;
                if (part < length)
                        break;
                offset = 0;
                position += ring_record_length(record.size);
        }
        if (filled > 0)
                n = write_some(reader, buffer, filled);
        /* Whoever writes into our ring gets no more of it. */
        if (is_open(reader) && (r < 0 || advance(ring, reader, n) < 0))
                reader_close(reader);
        return n;
}

static void write_turn(const Readers *readers, Reader *reader, void *buffer, size_t size) {
        const RingWriter *ring = readers->ring;
        size_t written = 0;

        while (is_open(reader) && !reader->full && written < TURN_BYTES) {
                if (reader->rest)
                        written += write_rest(reader);
                else if (reader->position < ring->tail) {
                        if (find_place(ring, reader) < 0)
                                reader_close(reader);
                } else if (reader->position != ring->head)
                        written += write_lines(ring, reader, buffer, size);
                else if (!readers->ended)
                        return;
                else if (reader->flags & OUTPUT_FRAMED) {
                        reader->closing = true;
                        set_note(reader, OUTPUT_FRAME_END, ring->last, NULL);
                } else
                        reader_close(reader);
        }
}

void readers_process(Readers *readers, const struct pollfd *fds, void *buffer, size_t size) {
        bool any = false;

        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++) {
                Reader *reader = &readers->reader[i];

                if (!is_open(reader))
                        continue;
                any = true;
                /* One that was opened since poll() looked has no news there. */
                if (fds[i].fd == reader->fd && fds[i].revents & POLLERR) {
                        reader_close(reader);
                        continue;
                }
                if (fds[i].fd == reader->fd && fds[i].revents & POLLOUT)
                        reader->full = false;
                if (!reader->full)
                        write_turn(readers, reader, buffer, size);
        }
        if (any)
                update_guard(readers);
}

size_t readers_allowance(const Readers *readers, size_t unfinished) {
        const RingWriter *ring = readers->ring;
        /* The most that a byte can take there: an empty line. */
        const uint64_t most = sizeof(struct ring_record), kept = unfinished + RESERVE;
        uint64_t behind = 0, room, allowance;
        bool lossless = false;

        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++)
                if (is_lossless(&readers->reader[i])) {
                        lossless = true;
                        behind = MAX_OF(behind, ring->head - readers->reader[i].position);
                }
        if (!lossless || readers->released)
                return SIZE_MAX;

        room = ring->data_size > behind + kept ? ring->data_size - behind - kept : 0;
        allowance = room / most;
        /* A small ring never has room for so much. */
        return allowance >= MIN_OF((uint64_t) ALLOWANCE_MIN, ring->data_size / (4 * most)) || behind == 0 ? MAX_OF((size_t) allowance, (size_t) 1) : 0;
}

void readers_release(Readers *readers) {
        readers->released = true;
}

void readers_hurry(Readers *readers) {
        for (size_t i = 0; i < ELEMENTSOF(readers->reader); i++) {
                Reader *reader = &readers->reader[i];

                if (!has_work(readers, reader) || reader->hurried)
                        continue;
                /* It may be refused: a user may have so much of pipes, and no more. */
                (void) fcntl(reader->fd, F_SETPIPE_SZ, HURRY_PIPE_SIZE);
                reader->hurried = true;
                reader->full = false;
        }
}

void readers_end(Readers *readers) {
        readers->ended = true;
        readers_hurry(readers);
}
