/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>

#include "keeper/events.h"
#include "util/spec.h"

/* A message on its way to the runtime. */
typedef struct ControlSend {
        struct ControlSend *next;
        uint32_t cookie;
        uint64_t connection; /* of the link, that the answer goes to */
        size_t size;
        size_t offset;
        uint8_t bytes[];
} ControlSend;

/* Tells how a message for the runtime fared: 0 or negative errno. */
typedef void (*ControlSent)(void *userdata, uint64_t connection, uint32_t cookie, int error);

typedef struct Control {
        EventQueue *events;
        ControlSent sent;
        void *userdata;

        int listener_fd; /* stream socket, or the datagram socket of notify */
        bool notify;
        int read_fd; /* of the one connection; the same as write_fd if it is a socket */
        int write_fd;

        uint8_t *line; /* what has been read and is not an event yet */
        size_t line_size;
        size_t line_capacity;
        bool deaf;  /* it sent too much: nothing more is read */
        bool ended; /* EOF has been read; CLOSED follows behind what is in line */

        ControlSend *send_first;
        ControlSend *send_last;
        unsigned n_sends;
        size_t send_size;
} Control;

enum {
        CONTROL_POLL_LISTENER,
        CONTROL_POLL_READ,
        CONTROL_POLL_WRITE,
        CONTROL_POLL_FDS,
};

/* Messages for the runtime that may wait for it to read. */
#define CONTROL_SENDS_MAX 8U

void control_init(Control *control, EventQueue *events, ControlSent sent, void *userdata);

/* Makes the socket in the runtime's directory. */
int control_listen(Control *control, enum spec_transport transport, int directory_fd, const char *directory);

/* Makes the two pipes; the runtime's ends are the caller's. */
int control_open_pipes(Control *control, int *ret_runtime_read_fd, int *ret_runtime_write_fd);

void control_prepare_poll(const Control *control, struct pollfd *fds);
void control_process(Control *control, const struct pollfd *fds);

/* Goes on with what had to wait for an acknowledgement. */
void control_resume(Control *control);

/* Takes a whole message, without its newline. 0 when `sent` will tell; or -ENOTCONN, -EAGAIN, -ENOMEM. */
int control_send(Control *control, uint64_t connection, uint32_t cookie, const void *bytes, size_t size);

/* Nobody of the payload is left: takes what has been said already. */
void control_drain(Control *control);

void control_done(Control *control);
