/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ring with an honest writer, with a writer that is killed, and with one that lies. */

#include "util/ring.h"

#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct Ring {
        int fd;
        RingWriter writer;
        RingReader reader;
        char text[RING_LINE_MAX];
} Ring;

static Ring *ring_new(uint64_t bytes, uint64_t last_line) {
        Ring *ring = g_new0(Ring, 1);

        ring->fd = ring_create(bytes, last_line);
        g_assert_cmpint(ring->fd, >=, 0);
        g_assert_cmpint(ring_writer_init(&ring->writer, ring->fd), ==, 0);
        g_assert_cmpint(ring_reader_init(&ring->reader, ring->fd), ==, 0);
        return ring;
}

static void ring_free(Ring *ring) {
        ring_writer_done(&ring->writer);
        ring_reader_done(&ring->reader);
        fd_close(ring->fd);
        g_free(ring);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ring, ring_free)

static void test_empty(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        RingCursor cursor = ring_cursor_after(0);
        struct ring_record record;

        g_assert_cmpuint(ring_reader_last(&ring->reader), ==, 0);
        g_assert_cmpuint(ring_reader_oldest(&ring->reader), ==, 1);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 0);
}

static void test_no_ring_has_no_lines(void) {
        RingReader reader = {};
        RingCursor cursor = ring_cursor_after(0);
        struct ring_record record;
        char text[1];

        g_assert_cmpuint(ring_reader_last(&reader), ==, 0);
        g_assert_cmpuint(ring_reader_oldest(&reader), ==, 1);
        g_assert_cmpint(ring_read(&reader, &cursor, &record, text), ==, 0);
}

static void test_what_is_written_is_read(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        RingCursor cursor = ring_cursor_after(0);
        struct ring_record record;

        g_assert_cmpuint(ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 11, "hello", 5), ==, 1);
        g_assert_cmpuint(ring_append(&ring->writer, RING_STREAM_STDERR, RING_PARTIAL, 12, "a\0b", 3), ==, 2);
        g_assert_cmpuint(ring_append(&ring->writer, RING_STREAM_SETUP, RING_UNTERMINATED, 13, NULL, 0), ==, 3);
        g_assert_cmpuint(ring_writer_last(&ring->writer), ==, 3);

        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.number, ==, 1);
        g_assert_cmpuint(record.stream, ==, RING_STREAM_STDOUT);
        g_assert_cmpuint(record.realtime_usec, ==, 11);
        g_assert_cmpmem(ring->text, record.size, "hello", 5);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.flags, ==, RING_PARTIAL);
        g_assert_cmpmem(ring->text, record.size, "a\0b", 3);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.flags, ==, RING_UNTERMINATED);
        g_assert_cmpuint(record.size, ==, 0);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 0);

        ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 14, "more", 4);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.number, ==, 4);
}

static void test_numbers_go_on(void) {
        g_autoptr(Ring) ring = ring_new(0, 41);
        RingCursor cursor = ring_cursor_after(10);
        struct ring_record record;

        g_assert_cmpuint(ring_reader_last(&ring->reader), ==, 41);
        g_assert_cmpuint(ring_reader_oldest(&ring->reader), ==, 42);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 0);
        g_assert_cmpuint(ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "x", 1), ==, 42);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.number, ==, 42);
}

static void test_read_from_anywhere(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);

        for (unsigned i = 1; i <= 100; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, i, &i, sizeof(i));
        for (unsigned i = 0; i < 100; i++) {
                RingCursor cursor = ring_cursor_after(i);
                struct ring_record record;

                g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
                g_assert_cmpuint(record.number, ==, i + 1);
                g_assert_cmpuint(cursor.number, ==, i + 2);
        }
        for (unsigned i = 0; i < 3; i++) {
                RingCursor cursor = ring_cursor_after((uint64_t[]){100, 101, UINT64_MAX}[i]);
                struct ring_record record;

                g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 0);
        }
}

/* Every size, so that heads and texts wrap at every place. */
static void test_wraps_and_overwrites(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        g_autofree char *line = g_malloc(RING_LINE_MAX);
        RingCursor follower = ring_cursor_after(0);

        for (unsigned i = 1; i <= 20000; i++) {
                size_t size = i % 1000 == 0 ? RING_LINE_MAX : (i * 7919U) % 600;
                struct ring_record record;

                memset(line, (char) i, size);
                g_assert_cmpuint(ring_append(&ring->writer, RING_STREAM_STDOUT, 0, i, line, size), ==, i);
                g_assert_cmpint(ring_read(&ring->reader, &follower, &record, ring->text), ==, 1);
                g_assert_cmpuint(record.number, ==, i);
                g_assert_cmpuint(record.realtime_usec, ==, i);
                g_assert_cmpmem(ring->text, record.size, line, size);
        }
}

static void test_keeps_at_least_what_it_promises(void) {
        g_autoptr(Ring) ring = ring_new(LIMIT_RING_MIN, 0);
        g_autofree char *line = g_malloc0(RING_LINE_MAX);

        for (unsigned i = 0; i < 3000; i++) {
                size_t size = i % 100 == 0 ? RING_LINE_MAX : 100 + i % 50;
                uint64_t kept;

                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, line, size);
                kept = ring->writer.head - ring->writer.tail;
                g_assert_true(kept >= LIMIT_RING_MIN || ring->writer.tail == 0);
                g_assert_cmpuint(kept, <=, ring->writer.data_size);
        }
}

static void test_a_slow_reader_is_told_what_it_missed(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        RingCursor cursor = ring_cursor_after(0);
        struct ring_record record;
        uint64_t oldest;

        ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "x", 1);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        for (unsigned i = 0; i < 100000; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "xyz", 3);

        oldest = ring_reader_oldest(&ring->reader);
        g_assert_cmpuint(oldest, >, 2);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.number, ==, oldest);
        for (uint64_t number = oldest + 1; number <= ring_reader_last(&ring->reader); number++) {
                g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
                g_assert_cmpuint(record.number, ==, number);
        }
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 0);
}

static void test_middle_is_a_record_in_the_newer_half(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);

        for (uint64_t i = 0; i < 2000; i++) {
                RingCursor cursor = ring_cursor_after(0);
                struct ring_record record;
                uint64_t middle;
                bool found = false;

                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, ring->text, (size_t) (i * 2654435761U % 3000));
                middle = atomic_load(&ring->writer.header->middle);
                g_assert_cmpuint(ring->writer.head - middle, <=, ring->writer.data_size / 2);
                if (i % 50 != 0 || middle == 0)
                        continue;
                while (ring_read(&ring->reader, &cursor, &record, ring->text) == 1)
                        found = found || cursor.position == middle;
                g_assert_true(found);
        }
}

/* A line whose text can be checked from its number. */
static size_t make_line(uint64_t number, uint8_t *line) {
        size_t size = (size_t) (number * 2654435761U % 2000);

        for (size_t i = 0; i < size; i++)
                line[i] = (uint8_t) (number + i);
        return size;
}

static void check_line(const struct ring_record *record, const char *text) {
        uint8_t expected[2000];
        size_t size = make_line(record->number, expected);

        g_assert_cmpuint(record->realtime_usec, ==, record->number);
        g_assert_cmpmem(text, record->size, expected, size);
}

static pid_t fork_writer(int fd) {
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                RingWriter writer;
                uint8_t line[2000];

                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (ring_writer_init(&writer, fd) < 0)
                        _exit(1);
                for (;;) {
                        uint64_t number = ring_writer_last(&writer) + 1;

                        ring_append(&writer, RING_STREAM_STDOUT, 0, number, line, make_line(number, line));
                }
        }
        return pid;
}

static void kill_writer(pid_t pid) {
        g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void test_reader_races_with_writer(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        RingCursor cursor = ring_cursor_after(0);
        gint64 end = g_get_monotonic_time() + (g_test_quick() ? 500000 : 5000000);
        uint64_t previous = 0, n = 0;
        pid_t pid = fork_writer(ring->fd);

        while (g_get_monotonic_time() < end) {
                struct ring_record record;
                uint64_t oldest = ring_reader_oldest(&ring->reader), last = ring_reader_last(&ring->reader);
                int r = ring_read(&ring->reader, &cursor, &record, ring->text);

                g_assert_cmpuint(oldest, <=, last + 1);
                g_assert_cmpint(r, >=, 0);
                if (r == 0)
                        continue;
                g_assert_cmpuint(record.number, >, previous);
                check_line(&record, ring->text);
                previous = record.number;
                n++;
        }
        kill_writer(pid);
        g_assert_cmpuint(n, >, 100);
}

/* Wherever the writer was killed, all lines up to the last are whole, and another writer could go on. */
/* The writer gives up the oldest line faster than a reader can look at it; half the ring is left to read all the same. */
static void test_a_writer_that_is_always_faster_holds_up_no_reader(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "", 0);
        }
        for (unsigned i = 0; i < 100000; i++) {
                RingCursor cursor = ring_cursor_after(0);
                struct ring_record record;
                int r = ring_read(&ring->reader, &cursor, &record, ring->text);

                g_assert_cmpint(r, >=, 0);
        }
        kill_writer(pid);
}

static void test_writer_is_killed(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);

        for (unsigned round = 0; round < (g_test_quick() ? 200U : 2000U); round++) {
                uint64_t before = ring_reader_last(&ring->reader), oldest, last;
                pid_t pid = fork_writer(ring->fd);
                struct ring_record record;
                RingCursor cursor;

                while (ring_reader_last(&ring->reader) == before)
                        ;
                for (volatile int spin = g_test_rand_int_range(0, 20000); spin > 0; spin--)
                        ;
                kill_writer(pid);

                oldest = ring_reader_oldest(&ring->reader);
                last = ring_reader_last(&ring->reader);
                g_assert_cmpuint(last, >, before);
                cursor = ring_cursor_after(0);
                for (uint64_t number = oldest; number <= last; number++) {
                        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
                        g_assert_cmpuint(record.number, ==, number);
                        check_line(&record, ring->text);
                }
                g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 0);
        }
}

static void test_refuses_what_is_no_ring(void) {
        RingReader reader;
        RingWriter writer;
        int fd;

        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        g_assert_cmpint(ring_reader_init(&reader, fd), ==, -EINVAL);
        g_assert_cmpint(ring_writer_init(&writer, fd), ==, -EINVAL);
        fd_close(fd);

        fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        g_assert_cmpint(ftruncate(fd, (off_t) ring_file_size(0)), ==, 0);
        g_assert_cmpint(ring_reader_init(&reader, fd), ==, -EINVAL);
        g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
        g_assert_cmpint(ring_reader_init(&reader, fd), ==, -EINVAL); /* no magic */
        fd_close(fd);

        for (unsigned i = 0; i < 3; i++) {
                off_t size = (off_t[]){0, 4096, (off_t) ring_file_size(0) + 1}[i];

                fd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                g_assert_cmpint(ftruncate(fd, size), ==, 0);
                g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
                g_assert_cmpint(ring_reader_init(&reader, fd), ==, -EINVAL);
                fd_close(fd);
        }
}

/* Reads as a daemon would, for no more steps than there can be lines. */
static void read_all(Ring *ring) {
        RingCursor cursor = ring_cursor_after((uint64_t) g_test_rand_int_range(0, 300));
        struct ring_record record;

        (void) ring_reader_last(&ring->reader);
        (void) ring_reader_oldest(&ring->reader);
        for (unsigned i = 0; i < 10000; i++) {
                int r = ring_read(&ring->reader, &cursor, &record, ring->text);

                g_assert_true(r == 0 || r == 1 || r == -EBADMSG);
                if (r <= 0)
                        return;
                g_assert_cmpuint(record.size, <=, RING_LINE_MAX);
        }
        g_assert_not_reached();
}

static void test_hostile_headers(void) {
        static const uint64_t values[] = {0, 1, 7, 8, 24, 4096, 131072, UINT64_MAX, UINT64_MAX - 7, UINT64_MAX / 2, INT64_MAX, 1ULL << 32};
        g_autoptr(Ring) ring = ring_new(0, 0);
        struct ring_header honest;

        for (unsigned i = 0; i < 200; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, i, "hello", 5);
        memcpy(&honest, ring->writer.header, sizeof(honest));

        for (unsigned a = 0; a < G_N_ELEMENTS(values); a++)
                for (unsigned b = 0; b < G_N_ELEMENTS(values); b++)
                        for (unsigned c = 0; c < 4; c++) {
                                struct ring_header *header = ring->writer.header;

                                memcpy(header, &honest, sizeof(honest));
                                if (c != 0)
                                        atomic_store(&header->tail, values[a]);
                                if (c != 1)
                                        atomic_store(&header->commits[0].head, values[b]);
                                if (c != 2)
                                        atomic_store(&header->commits[0].last, values[a] ^ values[b]);
                                if (c == 3)
                                        header->data_size = values[b];
                                read_all(ring);
                        }
}

static void test_hostile_records(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);

        for (unsigned i = 0; i < 200; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, i, "hello", 5);
        for (unsigned i = 0; i < 20000; i++) {
                size_t offset = (size_t) g_test_rand_int_range(0, 200 * 32);
                uint8_t before = ring->writer.data[offset];

                ring->writer.data[offset] = (uint8_t) g_test_rand_int_range(0, 256);
                read_all(ring);
                if (i % 2)
                        ring->writer.data[offset] = before;
        }
}

/* Readers count on from what they are told, so a number that nothing can follow is no number. */
static void test_a_last_line_beyond_all_numbers(void) {
        static const uint64_t numbers[] = {UINT64_MAX, UINT64_MAX - 1, 1ULL << 63};
        g_autoptr(Ring) ring = ring_new(0, 0);

        ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "hello", 5);
        for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
                RingCursor cursor = ring_cursor_after(0);
                struct ring_record record;

                atomic_store(&ring->writer.header->commits[ring->writer.commit_count % 2].last, numbers[i]);
                g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, -EBADMSG);
                g_assert_cmpuint(ring_reader_last(&ring->reader), ==, 0);
                g_assert_cmpuint(ring_reader_oldest(&ring->reader), ==, 1);
        }
}

/* A hostile writer that moves all positions on shows the same lines again: the reader isn't sent over all of them once more for each line. */
static void test_lines_that_come_again(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        RingCursor cursor = ring_cursor_after(3);
        struct ring_record record;

        for (unsigned i = 0; i < 10; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "hello", 5);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.number, ==, 4);

        atomic_fetch_add(&ring->writer.header->tail, ring->writer.data_size);
        atomic_fetch_add(&ring->writer.header->commits[ring->writer.commit_count % 2].head, ring->writer.data_size);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, -EBADMSG);
        g_assert_cmpuint(cursor.number, ==, 5);
}

/* The next keeper of a runtime goes on with the ring of the one before, whoever has had that in hand. */
static void test_a_writer_refuses_a_spoiled_ring(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        struct ring_header *header = ring->writer.header;
        struct ring_commit *commit;
        struct ring_header honest;
        RingWriter next;

        for (unsigned i = 0; i < 10; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "hello", 5);
        memcpy(&honest, header, sizeof(honest));
        commit = &header->commits[ring->writer.commit_count % 2];
        for (unsigned i = 0; i < 6; i++) {
                _Atomic uint64_t *const fields[] = {&header->tail, &header->tail, &commit->head, &commit->head, &commit->last, &header->middle};
                const uint64_t values[] = {ring->writer.head + 8, 4, ring->writer.data_size + 8, ring->writer.head + 4, UINT64_MAX, ring->writer.head + 8};

                memcpy(header, &honest, sizeof(honest));
                g_assert_cmpint(ring_writer_init(&next, ring->fd), ==, 0);
                ring_writer_done(&next);
                atomic_store(fields[i], values[i]);
                g_assert_cmpint(ring_writer_init(&next, ring->fd), ==, -EINVAL);
        }
}

static void test_a_writer_survives_a_spoiled_ring(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        RingCursor cursor;
        struct ring_record record;

        for (unsigned i = 0; i < 2000; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "hello", 5);
        memset(ring->writer.data, 0xff, ring->writer.data_size);
        for (unsigned i = 0; i < 20000; i++)
                ring_append(&ring->writer, RING_STREAM_STDOUT, 0, 0, "hello", 5);

        cursor = ring_cursor_after(21000);
        g_assert_cmpint(ring_read(&ring->reader, &cursor, &record, ring->text), ==, 1);
        g_assert_cmpuint(record.number, ==, 21001);
}

/* A liar that changes the ring while it is read: no crash, no endless loop. */
static void test_hostile_writer_races(void) {
        g_autoptr(Ring) ring = ring_new(0, 0);
        gint64 end = g_get_monotonic_time() + 300000;
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                uint64_t *words = (uint64_t *) ring->writer.header;
                uint64_t state = 88172645463325252ULL;

                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        words[2 + state % 6] = state >> (state % 64);
                        words[512 + state % 1000] = state;
                }
        }
        while (g_get_monotonic_time() < end)
                read_all(ring);
        kill_writer(pid);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/ring/empty", test_empty);
        g_test_add_func("/ring/no-ring-has-no-lines", test_no_ring_has_no_lines);
        g_test_add_func("/ring/what-is-written-is-read", test_what_is_written_is_read);
        g_test_add_func("/ring/numbers-go-on", test_numbers_go_on);
        g_test_add_func("/ring/read-from-anywhere", test_read_from_anywhere);
        g_test_add_func("/ring/wraps-and-overwrites", test_wraps_and_overwrites);
        g_test_add_func("/ring/keeps-at-least-what-it-promises", test_keeps_at_least_what_it_promises);
        g_test_add_func("/ring/a-slow-reader-is-told-what-it-missed", test_a_slow_reader_is_told_what_it_missed);
        g_test_add_func("/ring/middle-is-a-record-in-the-newer-half", test_middle_is_a_record_in_the_newer_half);
        g_test_add_func("/ring/reader-races-with-writer", test_reader_races_with_writer);
        g_test_add_func("/ring/a-writer-that-is-always-faster-holds-up-no-reader", test_a_writer_that_is_always_faster_holds_up_no_reader);
        g_test_add_func("/ring/writer-is-killed", test_writer_is_killed);
        g_test_add_func("/ring/refuses-what-is-no-ring", test_refuses_what_is_no_ring);
        g_test_add_func("/ring/hostile-headers", test_hostile_headers);
        g_test_add_func("/ring/hostile-records", test_hostile_records);
        g_test_add_func("/ring/a-last-line-beyond-all-numbers", test_a_last_line_beyond_all_numbers);
        g_test_add_func("/ring/lines-that-come-again", test_lines_that_come_again);
        g_test_add_func("/ring/a-writer-refuses-a-spoiled-ring", test_a_writer_refuses_a_spoiled_ring);
        g_test_add_func("/ring/a-writer-survives-a-spoiled-ring", test_a_writer_survives_a_spoiled_ring);
        g_test_add_func("/ring/hostile-writer-races", test_hostile_writer_races);
        return g_test_run();
}
