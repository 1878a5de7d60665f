/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>

#include "keeper/events.h"
#include "util/link.h"

/* What every connection is told once, and again when it changes. In the order in which they are sent. */
enum fact {
        FACT_HELLO,
        FACT_EXECUTED,
        FACT_MEMORY,
        FACT_FAILED,
        FACT_EXITED,
        FACT_DONE,
        _FACT_MAX,
};

typedef struct Fact {
        bool known;
        bool sent; /* on this connection */
        uint32_t size;
        union {
                struct link_hello hello;
                struct link_executed executed;
                struct link_memory memory;
                struct link_failed failed;
                struct link_exited exited;
                struct link_done done;
        };
} Fact;

/* Requests are read only while there is room for their answers. */
#define LINK_END_REPLIES_MAX 16U

typedef struct LinkEnd {
        int fd;
        int listener_fd;
        int ring_fd;         /* borrowed: goes out with HELLO */
        uid_t daemon_uid;    /* who made the first connection: the next daemon is the same user */
        uint64_t connection; /* counts them, so that late answers don't reach the wrong one */
        bool blocked;        /* the socket was full: go on when it has room */
        bool mute;           /* the other end has gone; only what it sent before is still to be read */
        Fact facts[_FACT_MAX];

        struct {
                struct link_reply message;
                int fd;
        } replies[LINK_END_REPLIES_MAX];
        unsigned n_replies;

        bool watching;
        uint64_t watch_after;

        /* A LINK_SEND whose parts are still coming. */
        struct link_send assembling;
        uint8_t *assembly;
        uint32_t assembled;
} LinkEnd;

enum {
        LINK_END_POLL_CONNECTION,
        LINK_END_POLL_LISTENER,
        LINK_END_POLL_FDS,
};

void link_end_init(LinkEnd *link, int fd, int ring_fd);
void link_end_done(LinkEnd *link);

/* A new or changed fact. */
void link_end_tell(LinkEnd *link, enum fact fact, const void *message, size_t size);
void link_end_forget(LinkEnd *link, enum fact fact);

/* Answers a request; owns the fd. Answers to a connection that has gone are dropped. */
void link_end_reply(LinkEnd *link, uint64_t connection, uint32_t cookie, int error, int fd);

/* True while requests may be read. */
bool link_end_has_room(const LinkEnd *link);

void link_end_prepare_poll(const LinkEnd *link, struct pollfd *fds);

/* Takes the connection that waits, in place of the one there is, if who made it may. */
void link_end_accept(LinkEnd *link, EventQueue *events);
void link_end_close(LinkEnd *link);

/* Sends all that is to be sent and fits. */
void link_end_flush(LinkEnd *link, EventQueue *events, uint64_t last_line);
