/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The runtime's output on its way from the pipes into the ring. Nothing here waits for a reader of the ring: what is read too late is
 * overwritten, and the runtime is never held back, unless somebody with the right to it has asked for that (readers.c).
 *
 * The end of a stream is not EOF alone, since a process that escaped may hold the pipe for ever: when the payload is empty, what the pipe
 * holds at that moment is all there is. */

#include "keeper/output.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "keeper/clock.h"

/* More than the kernel holds for a terminal's master. */
#define TERMINAL_PENDING_MAX (256 * 1024)

/* Gathers the line until its last part, since its parts are an accident of time, and matches it then. */
static void match_part(OutputStream *stream, uint16_t flags, uint64_t number, const void *text, size_t size) {
        Output *output = stream->output;

        if (!output->matching || stream->stream == RING_STREAM_SETUP)
                return;

        if (stream->match_size + size <= OUTPUT_MATCH_MAX) {
                memcpy(stream->match + stream->match_size, text, size);
                stream->match_size += size;
        } else
                stream->match_size = OUTPUT_MATCH_MAX + 1;
        if (flags & RING_PARTIAL)
                return;

        if (stream->match_size <= OUTPUT_MATCH_MAX && !memchr(stream->match, '\0', stream->match_size)) {
                stream->match[stream->match_size] = '\0';
                if (regexec(&output->pattern, stream->match, 0, NULL, 0) == 0) {
                        output->matched_line = number;
                        output->matching = false;
                        regfree(&output->pattern);
                }
        }
        stream->match_size = 0;
}

static void on_line(void *userdata, uint16_t flags, uint64_t realtime_usec, const void *text, size_t size) {
        OutputStream *stream = userdata;
        uint64_t number;

        number = ring_append(stream->output->ring, stream->stream, flags, realtime_usec, text, size);
        match_part(stream, flags, number, text, size);
}

void output_init(Output *output, RingWriter *ring, const Readers *readers) {
        output->ring = ring;
        output->readers = readers;
        output->matching = false;
        output->matched_line = 0;
        for (size_t i = 0; i < ELEMENTSOF(output->streams); i++) {
                OutputStream *stream = &output->streams[i];

                stream->output = output;
                stream->fd = -EBADF;
                stream->match_size = 0;
                line_splitter_init(&stream->splitter, on_line, stream);
        }
}

int output_watch_for(Output *output, const char *pattern) {
        if (regcomp(&output->pattern, pattern, REG_EXTENDED | REG_NOSUB) != 0)
                return -EINVAL;
        output->matching = true;
        return 0;
}

void output_done(Output *output) {
        for (size_t i = 0; i < ELEMENTSOF(output->streams); i++)
                output->streams[i].fd = fd_close(output->streams[i].fd);
        if (output->matching)
                regfree(&output->pattern);
        output->matching = false;
}

/* A pipe whose read end, ours, doesn't block. */
static int open_pipe(int *ret_read_fd, int *ret_write_fd) {
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];
        if (fcntl(read_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        *ret_read_fd = TAKE_FD(read_fd);
        *ret_write_fd = TAKE_FD(write_fd);
        return 0;
}

int output_open(Output *output, bool setup, int *ret_output_fd, int *ret_error_fd) {
        _cleanup_close_ int output_fd = -EBADF, output_write_fd = -EBADF, error_fd = -EBADF, error_write_fd = -EBADF;
        int r;

        r = open_pipe(&output_fd, &output_write_fd);
        if (r < 0)
                return r;
        if (setup) {
                error_write_fd = fcntl(output_write_fd, F_DUPFD_CLOEXEC, 0);
                if (error_write_fd < 0)
                        return -errno;
        } else {
                r = open_pipe(&error_fd, &error_write_fd);
                if (r < 0)
                        return r;
        }

        output->streams[0].stream = setup ? RING_STREAM_SETUP : RING_STREAM_STDOUT;
        output->streams[0].fd = TAKE_FD(output_fd);
        output->streams[1].stream = RING_STREAM_STDERR;
        output->streams[1].fd = TAKE_FD(error_fd);
        *ret_output_fd = TAKE_FD(output_write_fd);
        *ret_error_fd = TAKE_FD(error_write_fd);
        return 0;
}

void output_open_terminal(Output *output, int master_fd) {
        OutputStream *stream = &output->streams[0];

        stream->stream = RING_STREAM_STDOUT;
        stream->fd = master_fd;
        stream->terminal = true;
        stream->splitter.patience_usec = LINE_SPLITTER_TERMINAL_USEC;
}

/* How much of a stream may be read. */
static size_t allowance(const Output *output) {
        return readers_allowance(output->readers, output->streams[0].splitter.size + output->streams[1].splitter.size);
}

/* Whether the end of an unfinished line is there, and only we are late. */
static bool has_more(const OutputStream *stream) {
        int pending = 0;

        return stream->fd >= 0 && ioctl(stream->fd, FIONREAD, &pending) >= 0 && pending > 0;
}

void output_prepare_poll(const Output *output, struct pollfd *fds) {
        bool held = allowance(output) == 0;

        for (size_t i = 0; i < ELEMENTSOF(output->streams); i++)
                fds[i] = (struct pollfd){.fd = held ? -1 : output->streams[i].fd, .events = POLLIN};
}

bool output_is_held(const Output *output) {
        return allowance(output) != SIZE_MAX && (has_more(&output->streams[0]) || has_more(&output->streams[1]));
}

uint64_t output_deadline(const Output *output) {
        bool held = allowance(output) == 0;
        uint64_t deadline_usec = USEC_INFINITY;

        for (size_t i = 0; i < ELEMENTSOF(output->streams); i++) {
                const OutputStream *stream = &output->streams[i];

                /* What isn't read has no time either. */
                if (stream->splitter.deadline_usec < deadline_usec && !(held && has_more(stream)))
                        deadline_usec = stream->splitter.deadline_usec;
        }
        return deadline_usec;
}

/* Returns what was read, 0 if the stream has ended or has nothing now. */
static size_t read_stream(OutputStream *stream, void *buffer, size_t size) {
        ssize_t n = read(stream->fd, buffer, size);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                stream->fd = fd_close(stream->fd);
                line_splitter_end(&stream->splitter);
                return 0;
        }
        line_splitter_feed(&stream->splitter, buffer, (size_t) n, clock_usec(CLOCK_MONOTONIC), clock_usec(CLOCK_REALTIME));
        return (size_t) n;
}

void output_process(Output *output, const struct pollfd *fds, void *buffer, size_t size) {
        for (size_t i = 0; i < ELEMENTSOF(output->streams); i++) {
                OutputStream *stream = &output->streams[i];
                uint64_t now_usec;

                if (stream->fd >= 0 && stream->fd == fds[i].fd && fds[i].revents != 0) {
                        size_t allowed = MIN_OF(size, allowance(output));

                        if (allowed > 0)
                                (void) read_stream(stream, buffer, allowed);
                }
                if (stream->splitter.deadline_usec == USEC_INFINITY)
                        continue;
                now_usec = clock_usec(CLOCK_MONOTONIC);
                if (now_usec < stream->splitter.deadline_usec || !has_more(stream))
                        line_splitter_tick(&stream->splitter, now_usec);
        }
}

void output_drain(Output *output, void *buffer, size_t size) {
        for (size_t i = 0; i < ELEMENTSOF(output->streams); i++) {
                OutputStream *stream = &output->streams[i];
                int pending = 0;

                if (stream->fd < 0)
                        continue;
                /* The kernel counts what a terminal holds only when it is read. */
                if (stream->terminal)
                        pending = TERMINAL_PENDING_MAX;
                else if (ioctl(stream->fd, FIONREAD, &pending) < 0)
                        pending = 0;
                while (pending > 0 && stream->fd >= 0) {
                        size_t n = read_stream(stream, buffer, MIN_OF((size_t) pending, size));

                        if (n == 0)
                                break;
                        pending -= (int) n;
                }
                if (stream->fd >= 0) {
                        stream->fd = fd_close(stream->fd);
                        line_splitter_end(&stream->splitter);
                }
        }
}
