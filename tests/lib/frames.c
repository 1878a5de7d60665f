/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See frames.h. It knows the format from docs/output.md and the struct in util/output-frame.h, and nothing of who writes it. */

#include "frames.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_MSEC 40000
#define CHUNK (64U * 1024U)

Frames *frames_new(int fd) {
        Frames *frames = g_new0(Frames, 1);

        g_assert_cmpint(fd, >=, 0);
        frames->fd = fd;
        frames->bytes = g_byte_array_new();
        return frames;
}

void frames_free(Frames *frames) {
        if (frames->fd >= 0)
                close(frames->fd);
        g_byte_array_unref(frames->bytes);
        g_free(frames);
}

static size_t read_more(int fd, void *buffer, size_t size) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&pollfd, 1, DEADLINE_MSEC) != 1)
                g_error("nothing comes through the pipe, and it isn't closed");
        n = read(fd, buffer, size);
        if (n < 0)
                g_error("read: %s", g_strerror(errno));
        return (size_t) n;
}

/* False: there isn't so much any more. */
static bool want(Frames *frames, size_t size) {
        while (frames->bytes->len - frames->offset < size) {
                guint before;
                size_t n;

                g_byte_array_remove_range(frames->bytes, 0, (guint) frames->offset);
                frames->offset = 0;
                before = frames->bytes->len;
                g_byte_array_set_size(frames->bytes, before + CHUNK);
                n = read_more(frames->fd, frames->bytes->data + before, CHUNK);
                frames->n_read += n;
                g_byte_array_set_size(frames->bytes, before + (guint) n);
                if (n == 0)
                        return false;
        }
        return true;
}

bool frames_next(Frames *frames, struct output_frame *ret, const char **ret_text) {
        static char text[RING_LINE_MAX + 1];

        if (!want(frames, sizeof(*ret)))
                return false;
        memcpy(ret, frames->bytes->data + frames->offset, sizeof(*ret));
        g_assert_cmpuint(ret->size, <=, RING_LINE_MAX);
        if (!want(frames, ring_record_length(ret->size)))
                return false;
        memcpy(text, frames->bytes->data + frames->offset + sizeof(*ret), ret->size);
        text[ret->size] = '\0';
        for (size_t i = sizeof(*ret) + ret->size; i < ring_record_length(ret->size); i++)
                g_assert_cmpint(frames->bytes->data[frames->offset + i], ==, 0);
        frames->offset += ring_record_length(ret->size);
        *ret_text = text;
        return true;
}

const char *frames_expect(Frames *frames, enum output_frame_kind kind, uint64_t number) {
        struct output_frame frame;
        const char *text;

        if (!frames_next(frames, &frame, &text))
                g_error("the pipe was closed before frame %" PRIu64, number);
        if (frame.kind != kind || frame.number != number)
                g_error("a frame of kind %d and number %" PRIu64 " came in place of one of kind %d and number %" PRIu64, frame.kind, frame.number, (int) kind,
                        number);
        return text;
}

void frames_expect_line(Frames *frames, uint64_t number, enum ring_stream stream, uint16_t flags, const char *text) {
        struct output_frame frame;
        const char *found;

        g_assert_true(frames_next(frames, &frame, &found));
        g_assert_cmpint(frame.kind, ==, OUTPUT_FRAME_LINE);
        g_assert_cmpuint(frame.number, ==, number);
        g_assert_cmpint(frame.stream, ==, stream);
        g_assert_cmpint(frame.flags, ==, flags);
        g_assert_cmpmem(found, frame.size, text, strlen(text));
        g_assert_cmpuint(frame.realtime_usec, <=, g_get_real_time());
        g_assert_cmpuint(frame.realtime_usec + UINT64_C(3600) * G_USEC_PER_SEC, >, g_get_real_time());
}

void frames_expect_gap(Frames *frames, uint64_t first, uint64_t count) {
        uint64_t found;

        memcpy(&found, frames_expect(frames, OUTPUT_FRAME_GAP, first), sizeof(found));
        g_assert_cmpuint(found, ==, count);
}

void frames_expect_end(Frames *frames, uint64_t last) {
        (void) frames_expect(frames, OUTPUT_FRAME_END, last);
        frames_expect_closed(frames);
}

void frames_expect_closed(Frames *frames) {
        g_assert_false(want(frames, frames->bytes->len - frames->offset + 1));
        g_assert_cmpuint(frames->bytes->len, ==, frames->offset);
}

void frames_expect_seq(Frames *frames, uint64_t last) {
        for (uint64_t i = 1; i <= last; i++)
                g_assert_cmpuint(g_ascii_strtoull(frames_expect(frames, OUTPUT_FRAME_LINE, i), NULL, 10), ==, i);
        frames_expect_end(frames, last);
}

GString *frames_read_raw(int fd) {
        g_autofree char *buffer = g_malloc(CHUNK);
        GString *all = g_string_new(NULL);
        size_t n;

        while ((n = read_more(fd, buffer, CHUNK)) > 0)
                g_string_append_len(all, buffer, (gssize) n);
        return all;
}
