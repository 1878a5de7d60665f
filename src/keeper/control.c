/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection over which the runtime talks to the daemon: one at a time, a stream of lines both ways (a socket or two pipes), or
 * datagrams one way (notify). It is cut into events here and not understood. A runtime can say what it likes as fast as it likes: what
 * is held of it is bounded, and when the daemon is behind, it isn't listened to. */

#include "keeper/control.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "keeper/socket.h"
#include "util/names.h"

#define LINE_CAPACITY_FIRST 4096U
#define LINE_CAPACITY_MAX (LIMIT_PROTOCOL_LINE + 1U) /* with its newline */
#define TOO_LONG_QUOTE 256U

/* Work for one turn of the loop, so that a chatty runtime doesn't keep its own output waiting. */
#define READS_MAX 16U

/* More than sd_notify() passes at once; what goes beyond it the kernel closes. */
#define NOTIFY_FDS_MAX 16U

/* Control messages are short; a uid may only have so many pages in pipes. */
#define CONTROL_PIPE_SIZE 4096

void control_init(Control *control, EventQueue *events, ControlSent sent, void *userdata) {
        *control = (Control){
                .events = events,
                .sent = sent,
                .userdata = userdata,
                .listener_fd = -EBADF,
                .read_fd = -EBADF,
                .write_fd = -EBADF,
        };
}

int control_listen(Control *control, enum spec_transport transport, int directory_fd, const char *directory) {
        int fd;

        control->notify = transport == SPEC_TRANSPORT_NOTIFY;
        fd = socket_bind(control->notify ? SOCK_DGRAM : SOCK_STREAM, directory_fd, directory, control->notify ? RM_NOTIFY_SOCKET : RM_CONTROL_SOCKET);
        if (fd < 0)
                return fd;
        control->listener_fd = fd;
        return 0;
}

int control_open_pipes(Control *control, int *ret_runtime_read_fd, int *ret_runtime_write_fd) {
        int down[2], up[2];

        if (pipe2(down, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(up, O_CLOEXEC) < 0) {
                int r = -errno;

                fd_close(down[0]);
                fd_close(down[1]);
                return r;
        }
        (void) fcntl(down[1], F_SETFL, O_NONBLOCK);
        (void) fcntl(up[0], F_SETFL, O_NONBLOCK);
        (void) fcntl(down[1], F_SETPIPE_SZ, CONTROL_PIPE_SIZE);
        (void) fcntl(up[0], F_SETPIPE_SZ, CONTROL_PIPE_SIZE);

        control->write_fd = down[1];
        control->read_fd = up[0];
        *ret_runtime_read_fd = down[0];
        *ret_runtime_write_fd = up[1];
        return 0;
}

static void finish_send(Control *control, int error) {
        ControlSend *send = control->send_first;

        control->send_first = send->next;
        if (!control->send_first)
                control->send_last = NULL;
        control->n_sends--;
        control->send_size -= send->size;
        control->sent(control->userdata, send->connection, send->cookie, error);
        free(send);
}

static void fail_sends(Control *control, int error) {
        while (control->send_first)
                finish_send(control, error);
}

static void drop_line(Control *control) {
        free(control->line);
        control->line = NULL;
        control->line_size = control->line_capacity = 0;
}

static void close_writing(Control *control, int error) {
        if (control->write_fd != control->read_fd)
                fd_close(control->write_fd);
        control->write_fd = -EBADF;
        fail_sends(control, error);
}

static void close_connection(Control *control) {
        int read_fd = control->read_fd;

        close_writing(control, -EPIPE);
        control->read_fd = -EBADF;
        fd_close(read_fd);
        drop_line(control);
        control->deaf = control->ended = false;
        (void) events_add(control->events, LINK_CONTROL_CLOSED, 0, NULL, 0);
}

/* Turns whole lines into events while there is room. True if something was done. */
static bool take_lines(Control *control) {
        size_t taken = 0;

        while (!control->deaf && events_have_room(control->events)) {
                const uint8_t *start = control->line ? control->line + taken : NULL, *newline = NULL;
                size_t rest = control->line_size - taken;

                if (rest > 0)
                        newline = memchr(start, '\n', rest);
                if (newline) {
                        if (events_add(control->events, LINK_CONTROL_MESSAGE, 0, start, (size_t) (newline - start)) < 0)
                                break;
                        taken += (size_t) (newline - start) + 1;
                        continue;
                }
                if (rest > LIMIT_PROTOCOL_LINE) {
                        (void) events_add(control->events, LINK_CONTROL_TOO_LONG, 0, start, TOO_LONG_QUOTE);
                        control->deaf = true;
                        taken = control->line_size;
                }
                break;
        }
        if (taken == 0)
                return false;

        control->line_size -= taken;
        if (control->line_size == 0)
                drop_line(control);
        else
                memmove(control->line, control->line + taken, control->line_size);
        return true;
}

static bool reserve_line(Control *control) {
        size_t capacity = MIN_OF(MAX_OF(control->line_capacity * 2, (size_t) LINE_CAPACITY_FIRST), (size_t) LINE_CAPACITY_MAX);
        uint8_t *line;

        if (control->line_size < control->line_capacity)
                return true;
        if (control->line_capacity >= LINE_CAPACITY_MAX)
                return false;
        line = realloc(control->line, capacity);
        if (!line)
                return false;
        control->line = line;
        control->line_capacity = capacity;
        return true;
}

static bool wants_to_read(const Control *control) {
        return control->read_fd >= 0 && !control->deaf && !control->ended && events_have_room(control->events);
}

/* Reads and cuts until there is nothing more, or no room. True if it only stopped to let others have their turn. */
static bool read_lines(Control *control) {
        for (unsigned i = 0; i < READS_MAX && wants_to_read(control); i++) {
                ssize_t n;

                if (!reserve_line(control)) {
                        /* Full of lines that there was no room for, or no memory. */
                        if (!take_lines(control))
                                return false;
                        continue;
                }
                n = read(control->read_fd, control->line + control->line_size, control->line_capacity - control->line_size);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return false;
                if (n <= 0)
                        control->ended = true;
                else
                        control->line_size += (size_t) n;
                (void) take_lines(control);
        }
        return wants_to_read(control);
}

/* The end is told behind all that was said before it. */
static void close_if_ended(Control *control) {
        if (control->ended && events_have_room(control->events) && (control->line_size == 0 || !memchr(control->line, '\n', control->line_size)))
                close_connection(control);
}

static void flush_sends(Control *control) {
        while (control->send_first && control->write_fd >= 0) {
                ControlSend *send = control->send_first;
                ssize_t n = write(control->write_fd, send->bytes + send->offset, send->size - send->offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        close_writing(control, -EPIPE);
                        return;
                }
                send->offset += (size_t) n;
                if (send->offset == send->size)
                        finish_send(control, 0);
        }
}

static void accept_connection(Control *control) {
        int fd;

        fd = accept4(control->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;
        if (control->read_fd >= 0) {
                fd_close(fd); /* one at a time */
                return;
        }
        control->read_fd = control->write_fd = fd;
        (void) events_add(control->events, LINK_CONTROL_OPENED, 0, NULL, 0);
}

/* Reads one datagram. Its fds are closed only when it has been stored: that is what BARRIER=1 waits for. False if there is none. */
static bool read_datagram(Control *control) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * NOTIFY_FDS_MAX)];
        } ancillary;
        uint8_t bytes[LIMIT_NOTIFY];
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        struct msghdr message = {
                .msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = ancillary.bytes,
                .msg_controllen = sizeof(ancillary.bytes),
        };
        ssize_t n;

        n = recvmsg(control->listener_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return false;
        if (n > 0 && !(message.msg_flags & MSG_TRUNC))
                (void) events_add(control->events, LINK_CONTROL_NOTIFY, 0, bytes, (size_t) n);

        for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
                        fd_close(fd);
                }
        }
        return true;
}

void control_prepare_poll(const Control *control, struct pollfd *fds) {
        bool room = events_have_room(control->events);

        for (size_t i = 0; i < CONTROL_POLL_FDS; i++)
                fds[i] = (struct pollfd){.fd = -1};

        if (control->listener_fd >= 0 && room)
                fds[CONTROL_POLL_LISTENER] = (struct pollfd){.fd = control->listener_fd, .events = POLLIN};
        if (wants_to_read(control))
                fds[CONTROL_POLL_READ] = (struct pollfd){.fd = control->read_fd, .events = POLLIN};
        else if (control->read_fd >= 0 && control->deaf && room)
                fds[CONTROL_POLL_READ] = (struct pollfd){.fd = control->read_fd}; /* for its POLLHUP */
        if (control->send_first && control->write_fd >= 0)
                fds[CONTROL_POLL_WRITE] = (struct pollfd){.fd = control->write_fd, .events = POLLOUT};
}

void control_process(Control *control, const struct pollfd *fds) {
        if (control->write_fd >= 0 && fds[CONTROL_POLL_WRITE].fd == control->write_fd && fds[CONTROL_POLL_WRITE].revents != 0)
                flush_sends(control);
        if (control->read_fd >= 0 && fds[CONTROL_POLL_READ].fd == control->read_fd && fds[CONTROL_POLL_READ].revents != 0) {
                if (control->deaf)
                        close_connection(control);
                else
                        control_resume(control);
        }
        if (control->listener_fd >= 0 && fds[CONTROL_POLL_LISTENER].revents != 0) {
                if (!control->notify)
                        accept_connection(control);
                else
                        for (unsigned i = 0; i < READS_MAX && events_have_room(control->events) && read_datagram(control); i++)
                                ;
        }
}

void control_resume(Control *control) {
        if (control->read_fd < 0)
                return;
        (void) take_lines(control);
        (void) read_lines(control);
        close_if_ended(control);
}

int control_send(Control *control, uint64_t connection, uint32_t cookie, const void *bytes, size_t size) {
        ControlSend *send;

        if (control->write_fd < 0)
                return -ENOTCONN;
        if (control->n_sends >= CONTROL_SENDS_MAX || control->send_size + size > 2 * (size_t) LIMIT_PROTOCOL_LINE)
                return -EAGAIN;

        send = malloc(sizeof(*send) + size + 1);
        if (!send)
                return -ENOMEM;
        *send = (ControlSend){.cookie = cookie, .connection = connection, .size = size + 1};
        if (size > 0)
                memcpy(send->bytes, bytes, size);
        send->bytes[size] = '\n';

        if (control->send_last)
                control->send_last->next = send;
        else
                control->send_first = send;
        control->send_last = send;
        control->n_sends++;
        control->send_size += send->size;
        flush_sends(control);
        return 0;
}

void control_drain(Control *control) {
        control->events->last_words = true;
        if (control->notify && control->listener_fd >= 0)
                while (events_have_room(control->events) && read_datagram(control))
                        ;
        if (!control->notify && control->listener_fd >= 0 && control->read_fd < 0 && events_have_room(control->events))
                accept_connection(control);
        while (control->read_fd >= 0 && read_lines(control))
                ; /* limited by what may be held */

        /* An escaped process may still hold the other end: it is nobody's runtime any more. */
        control->listener_fd = fd_close(control->listener_fd);
        if (control->read_fd >= 0 || control->write_fd >= 0)
                close_connection(control);
}

void control_done(Control *control) {
        if (control->write_fd != control->read_fd)
                fd_close(control->write_fd);
        fd_close(control->read_fd);
        fd_close(control->listener_fd);
        drop_line(control);
        while (control->send_first) {
                ControlSend *send = control->send_first;

                control->send_first = send->next;
                free(send);
        }
}
