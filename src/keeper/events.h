/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/link.h"

/* One thing that the runtime said. */
typedef struct Event {
        struct Event *next;
        uint64_t number;
        uint64_t line;
        enum link_control_kind kind;
        uint32_t size;
        uint8_t bytes[];
} Event;

typedef struct EventQueue {
        Event *first;
        Event *last;
        Event *unsent;          /* the next to send on this connection, NULL if all have been */
        uint32_t unsent_offset; /* bytes of it that have been sent */
        uint64_t newest;        /* number of the last one ever queued */
        uint64_t sent;          /* number of the last one that was ever sent whole */
        unsigned count;
        size_t size;
        bool last_words; /* the runtime can say no more than it has said: more of it is held */
} EventQueue;

/* False when the runtime has to wait for the daemon. Notes that arise by themselves may go over it by a few. */
bool events_have_room(const EventQueue *events);

int events_add(EventQueue *events, enum link_control_kind kind, uint64_t line, const void *bytes, size_t size);

/* Forgets all up to number, whether this connection has been sent it or an earlier one was. -EBADMSG if none was. */
int events_acknowledge(EventQueue *events, uint64_t number);

/* All that is unacknowledged is to be sent again, to another connection. */
void events_rewind(EventQueue *events);

/* Sends what there is. 0 when all is sent, -EAGAIN, or negative errno. */
int events_send(EventQueue *events, int socket_fd);

void events_clear(EventQueue *events);
