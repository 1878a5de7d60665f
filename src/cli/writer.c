/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See writer.h. stdout may be shared with other programs, so it isn't made O_NONBLOCK. Instead, poll() is asked before each
 * write, and no more is written than a pipe that polls writable has room for: PIPE_BUF. */

#include "cli/writer.h"

#include <limits.h>
#include <poll.h>

#include "cli/cli.h"

enum {
        FD_MAX = STDERR_FILENO + 1,
};

typedef struct Chunk {
        int fd;
        GByteArray *bytes;
} Chunk;

struct Writer {
        sd_event *event;
        const WriterEvents *events;
        void *userdata;
        GQueue chunks;
        size_t position;                        /* in the first chunk */
        sd_event_source *ready_sources[FD_MAX]; /* made when first needed */
        bool broken[FD_MAX];
};

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        writer_flush(userdata);
        return 0;
}

static void chunk_free(void *data) {
        Chunk *chunk = data;

        g_byte_array_unref(chunk->bytes);
        g_free(chunk);
}

static int wait_ready(Writer *writer, int fd) {
        int r = 0;

        if (!writer->ready_sources[fd])
                r = sd_event_add_io(writer->event, &writer->ready_sources[fd], fd, EPOLLOUT, on_ready, writer);
        return r < 0 ? r : sd_event_source_set_enabled(writer->ready_sources[fd], SD_EVENT_ONESHOT);
}

static void drop_chunk(Writer *writer) {
        chunk_free(g_queue_pop_head(&writer->chunks));
        writer->position = 0;
}

static void break_fd(Writer *writer, int fd, int error) {
        writer->broken[fd] = true;
        writer->events->on_broken(fd, error, writer->userdata);
}

/* Whether to go on; else the fd takes nothing now. */
static bool write_some(Writer *writer, Chunk *chunk) {
        struct pollfd poll_fd = {.fd = chunk->fd, .events = POLLOUT};
        size_t left = chunk->bytes->len - writer->position;
        ssize_t n;

        if (writer->broken[chunk->fd] || left == 0) {
                drop_chunk(writer);
                return true;
        }
        if (poll(&poll_fd, 1, 0) <= 0)
                return false;
        n = write(chunk->fd, chunk->bytes->data + writer->position, MIN(left, (size_t) PIPE_BUF));
        if (n < 0 && errno == EINTR)
                return true;
        if (n < 0 && errno == EAGAIN)
                return false;
        if (n < 0) {
                break_fd(writer, chunk->fd, errno);
                return true;
        }
        writer->position += (size_t) n;
        return true;
}

void writer_flush(Writer *writer) {
        Chunk *chunk;

        while ((chunk = g_queue_peek_head(&writer->chunks))) {
                int r;

                if (write_some(writer, chunk))
                        continue;
                r = wait_ready(writer, chunk->fd);
                if (r >= 0)
                        return;
                break_fd(writer, chunk->fd, -r);
        }
        writer->events->on_empty(writer->userdata);
}

bool writer_is_empty(const Writer *writer) {
        return g_queue_is_empty((GQueue *) &writer->chunks);
}

void writer_add(Writer *writer, int fd, const void *data, size_t size) {
        Chunk *chunk = g_queue_peek_tail(&writer->chunks);

        if (!chunk || chunk->fd != fd) {
                chunk = g_new(Chunk, 1);
                chunk->fd = fd;
                chunk->bytes = g_byte_array_new();
                g_queue_push_tail(&writer->chunks, chunk);
        }
        g_byte_array_append(chunk->bytes, data, (unsigned) size);
}

Writer *writer_new(sd_event *event, const WriterEvents *events, void *userdata) {
        Writer *writer = g_new0(Writer, 1);

        writer->event = sd_event_ref(event);
        writer->events = events;
        writer->userdata = userdata;
        g_queue_init(&writer->chunks);
        return writer;
}

Writer *writer_free(Writer *writer) {
        if (!writer)
                return NULL;
        for (unsigned i = 0; i < FD_MAX; i++)
                sd_event_source_disable_unref(writer->ready_sources[i]);
        g_queue_clear_full(&writer->chunks, chunk_free);
        sd_event_unref(writer->event);
        g_free(writer);
        return NULL;
}
