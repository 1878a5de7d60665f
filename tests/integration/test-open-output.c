/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* OpenOutput: a pipe of the keeper's, as clients meet it. What a keeper promises its readers is tested in unit/test-keeper-readers. */

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "away.h"
#include "frames.h"
#include "util/limits.h"
#include "util/names.h"

/* Some 118 MB. */
#define FLOOD_LINES 14000000
#define FLOOD "seq 1 14000000"
/* 72 MB, 8 bytes a line: none is cut between two writes. */
#define WHOLE_LINES 9000000
#define PRINT_WHOLE "seq -f %07.0f 1 9000000"
/* More than ring and pipes hold. */
#define MANY 300000
#define PRINT_MANY "seq 1 300000"

static GVariant *arguments(guint64 after, guint32 flags) {
        return g_variant_new("(tu)", after, flags);
}

static int open_output(Client *client, const char *path, guint64 after, guint32 flags) {
        g_autoptr(GUnixFDList) fds = NULL;
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        gint32 index;
        int fd;

        reply = g_dbus_connection_call_with_unix_fd_list_sync(client->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "OpenOutput", arguments(after, flags),
                                                              G_VARIANT_TYPE("(h)"), G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, &fds, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(h)", &index);
        fd = g_unix_fd_list_get(fds, index, &error);
        g_assert_no_error(error);
        return fd;
}

static Frames *open_frames(Client *client, const char *path, guint64 after, guint32 flags) {
        return frames_new(open_output(client, path, after, flags | OUTPUT_FRAMED));
}

static void fails(Client *client, const char *path, guint64 after, guint32 flags, const char *error) {
        g_free(client_call_fails(client, path, "OpenOutput", arguments(after, flags), error));
}

/* A runtime that begins when go_on() says so. */
static char *start_waiting(Client *client, const char *script) {
        g_autofree char *whole = g_strdup_printf("read -r x; %s", script);

        return client_start(client, "command", options_shell(whole, "{'Input': <'pipe'>}"));
}

static void go_on(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "WriteInput", g_variant_new_parsed("(b'go\\n',)")));
}

/* Lines to expect, as they are made: the whole would be more than a test should hold. */
typedef struct Expected {
        uint64_t next;
        char text[32];
        size_t offset, size;
} Expected;

static void expect_bytes(Expected *expected, const char *bytes, size_t size) {
        while (size > 0) {
                size_t n;

                if (expected->offset == expected->size) {
                        expected->size = (size_t) g_snprintf(expected->text, sizeof(expected->text), "%" G_GUINT64_FORMAT "\n", ++expected->next);
                        expected->offset = 0;
                }
                n = MIN(size, expected->size - expected->offset);
                if (memcmp(bytes, expected->text + expected->offset, n) != 0)
                        g_error("the bytes are others in line %" G_GUINT64_FORMAT, expected->next);
                expected->offset += n;
                bytes += n;
                size -= n;
        }
}

static void test_raw(Harness *h) {
        g_autofree char *path = NULL, *buffer = g_malloc(64 * 1024);
        Expected expected = {0};
        ssize_t n;
        int fd;

        harness_start_daemon(h, NULL);
        path = start_waiting(h->client, FLOOD);
        fd = open_output(h->client, path, 0, OUTPUT_LOSSLESS);
        g_assert_cmpint(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), ==, O_RDONLY);
        go_on(h->client, path);
        while ((n = read(fd, buffer, 64 * 1024)) > 0)
                expect_bytes(&expected, buffer, (size_t) n);
        g_assert_cmpint(n, ==, 0);
        g_assert_cmpuint(expected.next, ==, FLOOD_LINES);
        g_assert_cmpuint(expected.offset, ==, expected.size);
        close(fd);
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_framed(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(Frames) frames = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_waiting(h->client, PRINT_WHOLE);
        frames = open_frames(h->client, path, 0, OUTPUT_LOSSLESS);
        go_on(h->client, path);
        frames_expect_seq(frames, WHOLE_LINES);
        report = client_wait_ended(h->client, path);
        g_assert_cmpuint(report_number(report, "LastLine"), ==, WHOLE_LINES);
}

/* The slowest sets the pace; each has all. */
static void test_many_readers(Harness *h) {
        struct pollfd fds[LIMIT_READERS];
        Expected expected[LIMIT_READERS] = {0};
        g_autofree char *path = NULL, *buffer = g_malloc(64 * 1024);
        unsigned n_open = LIMIT_READERS;

        harness_start_daemon(h, NULL);
        path = start_waiting(h->client, PRINT_MANY);
        for (unsigned i = 0; i < LIMIT_READERS; i++)
                fds[i] = (struct pollfd){.fd = open_output(h->client, path, 0, OUTPUT_LOSSLESS), .events = POLLIN};
        fails(h->client, path, 0, 0, "LimitExceeded");
        go_on(h->client, path);
        while (n_open > 0) {
                g_assert_cmpint(poll(fds, LIMIT_READERS, 40000), >, 0);
                for (unsigned i = 0; i < LIMIT_READERS; i++) {
                        ssize_t n;

                        if (fds[i].fd < 0 || fds[i].revents == 0)
                                continue;
                        n = read(fds[i].fd, buffer, 1024U << (i % 7));
                        g_assert_cmpint(n, >=, 0);
                        expect_bytes(&expected[i], buffer, (size_t) n);
                        if (n > 0)
                                continue;
                        g_assert_cmpuint(expected[i].next, ==, MANY);
                        close(fds[i].fd);
                        fds[i].fd = -1;
                        n_open--;
                }
        }
        g_variant_unref(client_wait_ended(h->client, path));
}

/* The daemon goes by SIGKILL, then by SIGTERM with the runtimes kept as a restart does it: nobody notices who reads. */
static void test_the_daemon_goes_and_comes(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(Frames) frames = NULL, second = NULL;

        harness_start_daemon(h, NULL);
        path = start_waiting(h->client, "seq -f %07.0f 1 300000");
        frames = open_frames(h->client, path, 0, OUTPUT_LOSSLESS);
        go_on(h->client, path);
        for (uint64_t i = 1; i <= 1000; i++)
                (void) frames_expect(frames, OUTPUT_FRAME_LINE, i);
        harness_kill_daemon(h);
        for (uint64_t i = 1001; i <= 100000; i++)
                (void) frames_expect(frames, OUTPUT_FRAME_LINE, i);
        come_back(h);
        for (uint64_t i = 100001; i <= 200000; i++)
                (void) frames_expect(frames, OUTPUT_FRAME_LINE, i);
        go_away_and_come_back(h);
        second = open_frames(h->client, path, UINT64_MAX, 0);
        for (uint64_t i = 200001; i <= MANY; i++)
                (void) frames_expect(frames, OUTPUT_FRAME_LINE, i);
        frames_expect_end(frames, MANY);
        g_variant_unref(client_wait_ended(h->client, path));
}

/* An end that isn't one: there is no frame for it. */
static void test_the_keeper_is_killed(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(Frames) frames = NULL, again = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo one; exec sleep 1000");
        frames = open_frames(h->client, path, 0, 0);
        frames_expect_line(frames, 1, RING_STREAM_STDOUT, 0, "one");
        g_assert_cmpint(kill(keeper_pid_of(h->client, path), SIGKILL), ==, 0);
        frames_expect_closed(frames);
        report = client_wait_ended(h->client, path);
        g_assert_cmpstr(report_string(report, "Result"), ==, "lost");
        again = open_frames(h->client, path, 1, 0);
        frames_expect_end(again, 1);
}

/* A reader that has a right to hold the runtime back, and doesn't read: it holds until the stop, and no longer. */
static void test_stop_is_not_held(Harness *h) {
        g_autofree char *path = NULL, *state = NULL;
        g_autoptr(GVariant) report = NULL;
        int fd;

        harness_start_daemon(h, NULL);
        path = start_waiting(h->client, PRINT_MANY "; trap 'echo bye; exit 3' TERM; while :; do sleep 1000 & wait; done");
        fd = open_output(h->client, path, 0, OUTPUT_LOSSLESS);
        go_on(h->client, path);
        client_wait_text(h->client, path, "10000\n");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("(@a{sv} {},)")));
        report = client_wait_ended(h->client, path);
        g_assert_cmpstr(report_string(report, "Result"), ==, "stopped");
        g_assert_cmpstr(report_string(report, "StopStage"), ==, "terminate");
        close(fd);
}

/* From the ring alone, and in as many parts as it takes. */
static void test_ended(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(Frames) frames = NULL, later = NULL, errors = NULL;
        g_autoptr(GString) text = NULL;
        g_autoptr(GVariant) report = NULL;
        uint64_t next = 1, last, count;
        struct output_frame frame;
        const char *bytes;
        unsigned n_parts = 1;
        int fd;

        harness_start_daemon(h, NULL);
        /* 32 bytes a line: each write of seq ends with one, however late the next. */
        path = client_start(h->client, "command",
                            options_shell("seq -f 'this is line %018.0f' 1 200000; echo error >&2; printf end", "{'RingBytes': <uint64 4194304>}"));
        report = client_wait_ended(h->client, path);
        last = report_number(report, "LastLine");

        /* Not framed it can't be told that it isn't all. */
        fails(h->client, path, 0, 0, "LimitExceeded");
        later = open_frames(h->client, path, last - 1, 0);
        (void) frames_expect(later, OUTPUT_FRAME_LINE, last);
        frames_expect_end(later, last);
        errors = open_frames(h->client, path, 0, OUTPUT_STDERR);
        while (frames_next(errors, &frame, &bytes) && frame.kind == OUTPUT_FRAME_GAP)
                ;
        g_assert_cmpstr(bytes, ==, "error");
        frames_expect_end(errors, last);
        fd = open_output(h->client, path, 199999, OUTPUT_STDOUT);
        text = frames_read_raw(fd);
        close(fd);
        g_assert_cmpstr(text->str, ==, "this is line 000000000000200000\nend");

        frames = open_frames(h->client, path, 0, 0);
        for (;;) {
                if (!frames_next(frames, &frame, &bytes)) {
                        frames_free(frames);
                        frames = open_frames(h->client, path, next - 1, 0);
                        n_parts++;
                        continue;
                }
                g_assert_cmpuint(frame.number, ==, frame.kind == OUTPUT_FRAME_END ? next - 1 : next);
                if (frame.kind == OUTPUT_FRAME_END)
                        break;
                next++;
                if (frame.kind == OUTPUT_FRAME_GAP) {
                        g_assert_cmpuint(frame.number, ==, 1);
                        memcpy(&count, bytes, sizeof(count));
                        next = frame.number + count;
                }
        }
        g_assert_cmpuint(next, ==, last + 1);
        g_assert_cmpuint(n_parts, >, 1);
}

/* Numbers go on, and so does what is kept; but a pipe is of one generation. */
static void test_started_again(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(Frames) first = NULL, second = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo line; exec sleep 1000");
        first = open_frames(h->client, path, 0, 0);
        frames_expect_line(first, 1, RING_STREAM_STDOUT, 0, "line");
        g_variant_unref(client_call(h->client, path, "Restart", NULL));
        frames_expect_end(first, 1);
        second = open_frames(h->client, path, 0, 0);
        frames_expect_line(second, 1, RING_STREAM_STDOUT, 0, "line");
        frames_expect_line(second, 2, RING_STREAM_STDOUT, 0, "line");
        client_stop(h->client, path);
        frames_expect_end(second, 2);
}

static void test_flags(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        fails(h->client, path, 0, OUTPUT_FLAGS + 1, "org.freedesktop.DBus.Error.InvalidArgs");
        fails(h->client, path, 0, UINT32_MAX, "org.freedesktop.DBus.Error.InvalidArgs");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        fails(h->client, path, 0, OUTPUT_FLAGS + 1, "org.freedesktop.DBus.Error.InvalidArgs");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"raw-bytes-are-the-same", test_raw},
                {"each-line-in-a-frame", test_framed},
                {"many-readers", test_many_readers},
                {"the-daemon-goes-and-comes", test_the_daemon_goes_and_comes},
                {"the-keeper-is-killed", test_the_keeper_is_killed},
                {"stop-is-not-held", test_stop_is_not_held},
                {"of-one-that-has-ended", test_ended},
                {"of-one-that-was-started-again", test_started_again},
                {"unknown-flags", test_flags},
        };

        return harness_main(argc, argv, "open-output", cases, G_N_ELEMENTS(cases));
}
