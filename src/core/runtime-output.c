/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pipes with a runtime's output. While it has a keeper, that makes and writes them, and we only pass them on.
 *
 * When it has ended, what is left of its output is in the ring, which nobody writes any more. A pipe is filled from it at once, before anybody has its other
 * end, and closed. So nothing is held for whoever doesn't read it, and we never write to a pipe that is in somebody's hands: a write that doesn't wait for room
 * waits all the same for a reader that sits in a page fault of its own making. What doesn't fit is asked for anew, behind the last line that came. */

#include <fcntl.h>
#include <glib.h>
#include <string.h>

#include "core/runtime-private.h"
#include "util/names.h"
#include "util/output-frame.h"

/* As large as anybody may make one, as the kernel is set up by default. */
#define PIPE_SIZE_MAX (1024U * 1024U)

static void add_note(GByteArray *bytes, enum output_frame_kind kind, uint64_t number, const uint64_t *count) {
        struct output_frame frame = {.size = count ? sizeof(*count) : 0, .kind = (uint8_t) kind, .number = number};

        g_byte_array_append(bytes, (const guint8 *) &frame, sizeof(frame));
        if (count)
                g_byte_array_append(bytes, (const guint8 *) count, sizeof(*count));
}

static void add_line(GByteArray *bytes, uint32_t flags, const struct ring_record *record, const char *text) {
        size_t size = output_line_size(flags, record), before = bytes->len, head = 0;

        if (size == 0)
                return;
        if (flags & OUTPUT_FRAMED) {
                g_byte_array_append(bytes, (const guint8 *) record, sizeof(*record));
                head = sizeof(*record);
        }
        g_byte_array_append(bytes, (const guint8 *) text, record->size);
        g_byte_array_set_size(bytes, before + size);
        memset(bytes->data + before + head + record->size, flags & OUTPUT_FRAMED ? 0 : '\n', size - head - record->size);
}

/* All lines behind a number, as far as they fit. 1: all of them are there; 0: they are not; -EBADMSG: the ring is broken. */
static int fill(const RingReader *ring, uint64_t after, uint32_t flags, size_t max, GByteArray *bytes) {
        /* The frame of the end, and that of a gap. */
        const size_t notes = flags & OUTPUT_FRAMED ? 2 * sizeof(struct output_frame) + sizeof(uint64_t) : 0;
        uint64_t last = ring_reader_last(ring);
        RingCursor cursor = ring_cursor_after(MIN_OF(after, last));
        g_autofree char *text = g_malloc(RING_LINE_MAX);

        for (uint64_t n = 0;; n++) {
                uint64_t wanted = cursor.number;
                struct ring_record record;
                int r;

                r = ring_read(ring, &cursor, &record, text);
                if (r < 0)
                        return r;
                /* Somebody writes it still, who shouldn't. */
                if (n > ring_reader_capacity(ring))
                        return -EBADMSG;
                if (flags & OUTPUT_FRAMED && (r > 0 ? record.number : last + 1) > wanted) {
                        uint64_t count = (r > 0 ? record.number : last + 1) - wanted;

                        add_note(bytes, OUTPUT_FRAME_GAP, wanted, &count);
                }
                if (r == 0)
                        break;
                if (bytes->len + output_line_size(flags, &record) + notes > max)
                        return 0;
                add_line(bytes, flags, &record, text);
        }
        if (flags & OUTPUT_FRAMED)
                add_note(bytes, OUTPUT_FRAME_END, last, NULL);
        return 1;
}

/* A pipe that holds this much; or less, where a user has many already. */
static int open_pipe(int *ret_read_fd, int *ret_write_fd, size_t *ret_size) {
        int fds[2], size;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *ret_read_fd = fds[0];
        *ret_write_fd = fds[1];
        if (fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        (void) fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE_MAX);
        size = fcntl(fds[1], F_GETPIPE_SZ);
        *ret_size = size > 0 ? (size_t) size : 0;
        return 0;
}

static int open_ended(Runtime *runtime, uint64_t after, uint32_t flags, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        size_t size = 0;
        int r;

        /* What is in a pipe of ours is on our account for as long as somebody keeps it, and one user could have all that all users have. */
        if (runtime->context->many_users)
                return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED, "The runtime has ended; read what is kept of its output with ReadOutput.");
        r = open_pipe(&read_fd, &write_fd, &size);
        if (r >= 0)
                r = fill(&runtime->ring, after, flags, size, bytes);
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime's output can't be read: %s.", g_strerror(-r));
        if (r == 0 && (!(flags & OUTPUT_FRAMED) || bytes->len == 0))
                return sd_bus_error_set(reterr, RM_ERROR_LIMIT_EXCEEDED,
                                        "The runtime has ended, and what is kept of its output doesn't fit into a pipe; use ReadOutput, or ask for frames.");
        /* The pipe is empty, has room, and its other end is nobody's yet. */
        if (bytes->len > 0 && write(write_fd, bytes->data, bytes->len) != (ssize_t) bytes->len)
                return sd_bus_error_set(reterr, RM_ERROR_BAD_STATE, "The runtime's output can't be written to a pipe; use ReadOutput.");
        reply(userdata, 0, read_fd);
        return 0;
}

int runtime_output_open(Runtime *runtime, uint64_t after, uint32_t flags, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        int r;

        if (runtime->done || runtime->state == RUNTIME_ENDED)
                return open_ended(runtime, after, flags, reply, userdata, reterr);

        r = runtime->link ? keeper_link_output_open(runtime->link, after, flags, reply, userdata) : -ENOTCONN;
        if (r == -EOPNOTSUPP)
                return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED,
                                        "The runtime was started by an older version of the service, which knows no pipes for output; use ReadOutput.");
        if (r == -ENOBUFS)
                return sd_bus_error_set(reterr, RM_ERROR_WOULD_BLOCK, "The runtime's keeper hasn't taken what it was sent before; try again later.");
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE,
                                         "The keeper of the runtime \"%s\" can't be asked at the moment (state %s); use ReadOutput.", runtime->options->id,
                                         runtime_state_to_string(runtime->state));
        return 0;
}
