/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real keeper and those who read its pipes: all of them, however far behind, and none. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "frames.h"
#include "keeper-fixture.h"
#include "util/output-frame.h"

/* Far more than ring and pipes hold, as each line takes 32 bytes there. */
/* All lines have 8 bytes, and each write of seq, of 4096, ends with one: a line that is late is never cut. */
#define MANY 300000
/* Lines that are there before a reader begins, who is to be behind. */
#define SOME 10000

static Fixture *start_shell(const char *script) {
        Fixture *f = fixture_new();

        f->header.input = SPEC_INPUT_PIPE;
        fixture_add_shell(f, false, script);
        fixture_start(f);
        return f;
}

static int open_pipe(Fixture *f, uint64_t after, uint32_t flags) {
        g_assert_cmpint(fixture_open_output(f, after, flags), ==, 0);
        g_assert_cmpint(f->reply_fd, >=, 0);
        return TAKE_FD(f->reply_fd);
}

static Frames *open_frames(Fixture *f, uint64_t after, uint32_t flags) {
        return frames_new(open_pipe(f, after, flags | OUTPUT_FRAMED));
}

static void finish(Fixture *f) {
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void release(Fixture *f) {
        uint32_t type = LINK_OUTPUT_RELEASE;

        fixture_send(f, &type, sizeof(type), NULL, 0);
}

static void test_every_line(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 20000");
        g_autoptr(Frames) frames = open_frames(f, 0, 0);
        int fd;

        g_assert_cmpint(fcntl(frames->fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), ==, O_RDONLY);
        fixture_execute(f, 0);
        fd = open_pipe(f, 0, 0);
        frames_expect_seq(frames, 20000);
        fd_close(fd);
        finish(f);
}

static void test_whose_lines(void) {
        g_autoptr(Fixture) f = start_shell("printf 'name? '; read -r x; echo \"hello $x\"; echo; echo error >&2; printf end");
        g_autoptr(Frames) errors = open_frames(f, 0, OUTPUT_STDERR), all = open_frames(f, 0, OUTPUT_STREAMS);
        int raw = open_pipe(f, 0, OUTPUT_STDOUT);
        g_autoptr(GString) text = NULL;
        struct output_frame frame;
        const char *line;
        uint64_t last;

        fixture_execute(f, 0);
        frames_expect_line(all, 1, RING_STREAM_STDOUT, RING_PARTIAL, "name? ");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "bob\n", 4), ==, 0);
        text = frames_read_raw(raw);
        fd_close(raw);
        g_assert_cmpmem(text->str, text->len, "name? hello bob\n\nend", strlen("name? hello bob\n\nend"));
        g_assert_true(frames_next(errors, &frame, &line));
        g_assert_cmpint(frame.stream, ==, RING_STREAM_STDERR);
        g_assert_cmpstr(line, ==, "error");
        fixture_wait(f, LINK_DONE, 1);
        /* The last one may have been told in parts. */
        last = f->done.last_line;
        frames_expect_end(errors, last);
        for (uint64_t i = 2; i <= last; i++)
                (void) frames_expect(all, OUTPUT_FRAME_LINE, i);
        frames_expect_end(all, last);
        finish(f);
}

/* One pipe over all commands: a step's end is not the end. */
static void test_setup_and_command(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(Frames) frames = NULL;

        fixture_add_shell(f, true, "echo setup");
        fixture_add_shell(f, false, "echo command");
        fixture_start(f);
        frames = open_frames(f, 0, OUTPUT_LOSSLESS);
        fixture_run(f, 0);
        fixture_wait_settled(f);
        frames_expect_line(frames, 1, RING_STREAM_SETUP, 0, "setup");
        fixture_run(f, 1);
        frames_expect_line(frames, 2, RING_STREAM_STDOUT, 0, "command");
        frames_expect_end(frames, 2);
        finish(f);
}

static void test_positions(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 100000");
        g_autoptr(Frames) past = NULL, later = NULL, now = NULL, beyond = NULL;
        uint64_t oldest;

        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        oldest = ring_reader_oldest(&f->ring);
        g_assert_cmpuint(oldest, >, 1);
        past = open_frames(f, 0, OUTPUT_LOSSLESS);
        frames_expect_gap(past, 1, oldest - 1);
        for (uint64_t i = oldest; i <= 100000; i++)
                g_assert_cmpuint(g_ascii_strtoull(frames_expect(past, OUTPUT_FRAME_LINE, i), NULL, 10), ==, i);
        frames_expect_end(past, 100000);

        later = open_frames(f, 99998, 0);
        frames_expect_line(later, 99999, RING_STREAM_STDOUT, 0, "0099999");
        frames_expect_line(later, 100000, RING_STREAM_STDOUT, 0, "0100000");
        frames_expect_end(later, 100000);
        now = open_frames(f, 100000, 0);
        frames_expect_end(now, 100000);
        beyond = open_frames(f, UINT64_MAX, 0);
        frames_expect_end(beyond, 100000);
        finish(f);
}

/* Lines so long that the pipe is full in the middle of one, which is given up by the ring meanwhile. */
static void test_a_slow_reader_is_told_of_the_gap(void) {
        g_autoptr(Fixture) f = start_shell("read -r x; x=$(head -c 60000 /dev/zero | tr '\\0' x); for ((i = 1; i <= 100; i++)); do echo \"$i $x\"; done");
        g_autoptr(Frames) frames = open_frames(f, 0, 0);
        struct output_frame frame;
        uint64_t next = 1, n_gaps = 0, count;
        const char *text;

        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        while (frames_next(frames, &frame, &text) && frame.kind != OUTPUT_FRAME_END) {
                g_assert_cmpuint(frame.number, ==, next);
                next++;
                if (frame.kind == OUTPUT_FRAME_GAP) {
                        g_assert_cmpuint(next, >, 2);
                        memcpy(&count, text, sizeof(count));
                        next = frame.number + count;
                        n_gaps++;
                        continue;
                }
                g_assert_cmpuint(g_ascii_strtoull(text, NULL, 10), ==, frame.number);
                g_assert_cmpuint(strspn(strchr(text, ' ') + 1, "x"), ==, 60000);
                g_assert_cmpuint(frame.size, ==, strlen(text));
        }
        g_assert_cmpint(frame.kind, ==, OUTPUT_FRAME_END);
        g_assert_cmpuint(frame.number, ==, 100);
        g_assert_cmpuint(next, ==, 101);
        g_assert_cmpuint(n_gaps, ==, 1);
        finish(f);
}

/* It begins when the ring has been full for long, and has everything. Not framed, so that a byte too many would be seen. */
static void test_lossless(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 300000");
        g_autoptr(GString) text = NULL, expected = g_string_new(NULL);
        int fd = open_pipe(f, 0, OUTPUT_LOSSLESS);

        fixture_execute(f, 0);
        fixture_wait_last(f, SOME);
        for (unsigned i = 0; i < 1000; i++)
                (void) fixture_signal(f, LINK_WHO_MAIN, SIGCONT);
        g_assert_cmpuint(ring_reader_last(&f->ring), <, MANY);
        text = frames_read_raw(fd);
        fd_close(fd);
        for (unsigned i = 1; i <= MANY; i++)
                g_string_append_printf(expected, "%07u\n", i);
        g_assert_true(g_string_equal(text, expected));
        finish(f);
}

static void test_lossless_in_frames(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 300000");
        g_autoptr(Frames) frames = open_frames(f, 0, OUTPUT_LOSSLESS);

        fixture_execute(f, 0);
        fixture_wait_last(f, SOME);
        frames_expect_seq(frames, MANY);
        finish(f);
}

/* Each empty line takes 24 bytes in the ring: much more than the pipe has given. */
static void test_lossless_with_empty_lines(void) {
        g_autoptr(Fixture) f = start_shell("yes '' | head -n 400000");
        g_autoptr(Frames) frames = open_frames(f, 0, OUTPUT_LOSSLESS);

        fixture_execute(f, 0);
        fixture_wait_last(f, SOME);
        for (uint64_t i = 1; i <= 400000; i++)
                g_assert_cmpstr(frames_expect(frames, OUTPUT_FRAME_LINE, i), ==, "");
        frames_expect_end(frames, 400000);
        finish(f);
}

/* It doesn't read before the runtime has ended and the keeper is to go. */
static void test_lossless_past_the_end(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 34000");
        g_autoptr(Frames) frames = open_frames(f, 0, OUTPUT_LOSSLESS);

        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.last_line, ==, 34000);
        fixture_collect(f);
        fixture_wait_end(f);
        frames_expect_seq(frames, 34000);
}

/* The runtime is to end, and can go on. */
static void test_release(void) {
        g_autoptr(Fixture) f = start_shell("trap 'echo asked; exit 0' TERM; seq -f %07.0f 1 300000");
        g_autoptr(Frames) frames = open_frames(f, 0, OUTPUT_LOSSLESS);
        struct output_frame frame;
        uint64_t next = 1, count;
        const char *text;

        fixture_execute(f, 0);
        fixture_wait_last(f, SOME);
        release(f);
        fixture_wait(f, LINK_DONE, 1);
        while (frames_next(frames, &frame, &text) && frame.kind != OUTPUT_FRAME_END) {
                g_assert_cmpuint(frame.number, ==, next);
                next++;
                if (frame.kind == OUTPUT_FRAME_GAP) {
                        memcpy(&count, text, sizeof(count));
                        next = frame.number + count;
                }
        }
        g_assert_cmpint(frame.kind, ==, OUTPUT_FRAME_END);
        g_assert_cmpuint(next, ==, MANY + 1);
        finish(f);
}

/* A reader that is there and never reads: neither the end of the runtime nor that of the keeper waits for it. */
static void test_a_dead_reader_ends_nothing(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(Frames) frames = NULL;
        struct output_frame frame;
        const char *text;

        f->ring_bytes = 4 * LIMIT_RING_DEFAULT; /* more than a pipe can be made to take */
        fixture_add_shell(f, false, "seq -f %07.0f 1 300000");
        fixture_start(f);
        frames = open_frames(f, 0, OUTPUT_LOSSLESS);
        fixture_execute(f, 0);
        fixture_wait_last(f, 50000);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGKILL), ==, 0);
        finish(f);
        fixture_wait_gone(f->pid);
        /* What it reads then says that it isn't all. */
        while (frames_next(frames, &frame, &text))
                g_assert_cmpint(frame.kind, !=, OUTPUT_FRAME_END);
}

static void test_a_vanished_reader_holds_nobody(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 300000");
        int fd = open_pipe(f, 0, OUTPUT_LOSSLESS);

        fixture_execute(f, 0);
        fixture_wait_last(f, SOME);
        fd_close(fd);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.last_line, ==, MANY);
        finish(f);
}

static void test_no_more_than_so_many(void) {
        g_autoptr(Fixture) f = start_shell("read -r x; echo \"$x\"");
        int fds[LIMIT_READERS];
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;

        for (unsigned i = 0; i < LIMIT_READERS; i++)
                fds[i] = open_pipe(f, 0, 0);
        g_assert_cmpint(fixture_open_output(f, 0, 0), ==, EUSERS);
        g_assert_cmpint(f->reply_fd, <, 0);
        fd_close(fds[3]);
        while (fixture_open_output(f, 0, 0) != 0)
                g_assert_cmpint(g_get_monotonic_time(), <, until);
        fds[3] = TAKE_FD(f->reply_fd);

        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "all\n", 4), ==, 0);
        for (unsigned i = 0; i < LIMIT_READERS; i++) {
                g_autoptr(GString) text = frames_read_raw(fds[i]);

                g_assert_cmpstr(text->str, ==, "all\n");
                fd_close(fds[i]);
        }
        finish(f);
}

static void test_unknown_flags(void) {
        g_autoptr(Fixture) f = start_shell("true");

        g_assert_cmpint(fixture_open_output(f, 0, OUTPUT_FLAGS + 1), ==, EINVAL);
        fixture_execute(f, 0);
        finish(f);
}

/* Nothing of it is the daemon's affair. */
static void test_without_a_daemon(void) {
        g_autoptr(Fixture) f = start_shell("seq -f %07.0f 1 300000");
        g_autoptr(Frames) frames = open_frames(f, 0, OUTPUT_LOSSLESS);

        fixture_execute(f, 0);
        fixture_wait_last(f, SOME);
        fixture_disconnect(f);
        for (uint64_t i = 1; i <= MANY / 2; i++)
                (void) frames_expect(frames, OUTPUT_FRAME_LINE, i);
        fixture_reconnect(f);
        fixture_disconnect(f);
        for (uint64_t i = MANY / 2 + 1; i <= MANY; i++)
                (void) frames_expect(frames, OUTPUT_FRAME_LINE, i);
        frames_expect_end(frames, MANY);
        fixture_reconnect(f);
        finish(f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;
        g_test_add_func("/keeper-readers/every-line", test_every_line);
        g_test_add_func("/keeper-readers/whose-lines", test_whose_lines);
        g_test_add_func("/keeper-readers/setup-and-command", test_setup_and_command);
        g_test_add_func("/keeper-readers/positions", test_positions);
        g_test_add_func("/keeper-readers/a-slow-reader-is-told-of-the-gap", test_a_slow_reader_is_told_of_the_gap);
        g_test_add_func("/keeper-readers/lossless", test_lossless);
        g_test_add_func("/keeper-readers/lossless/in-frames", test_lossless_in_frames);
        g_test_add_func("/keeper-readers/lossless/with-empty-lines", test_lossless_with_empty_lines);
        g_test_add_func("/keeper-readers/lossless/past-the-end", test_lossless_past_the_end);
        g_test_add_func("/keeper-readers/lossless/until-it-is-released", test_release);
        g_test_add_func("/keeper-readers/a-dead-reader-ends-nothing", test_a_dead_reader_ends_nothing);
        g_test_add_func("/keeper-readers/a-vanished-reader-holds-nobody", test_a_vanished_reader_holds_nobody);
        g_test_add_func("/keeper-readers/no-more-than-so-many", test_no_more_than_so_many);
        g_test_add_func("/keeper-readers/unknown-flags", test_unknown_flags);
        g_test_add_func("/keeper-readers/without-a-daemon", test_without_a_daemon);
        return g_test_run();
}
