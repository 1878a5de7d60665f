/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the runtime said through its control connection, kept until the daemon has acted on it: the daemon may be killed between
 * reading a message and acting on it, and the next one must get it again, under the same number. The memory for it is bounded by
 * not listening to the runtime when much is waiting. */

#include "keeper/events.h"

#include <string.h>

/* One message of the longest kind always finds room when few bytes are waiting. */
#define EVENTS_SIZE_MAX (64U * 1024U)

/* What a socket holds when the runtime has ended: it can't be asked to say it later. */
#define LAST_WORDS_EVENTS_MAX 8192U
#define LAST_WORDS_SIZE_MAX LIMIT_PROTOCOL_LINE

bool events_have_room(const EventQueue *events) {
        if (events->last_words)
                return events->count < LAST_WORDS_EVENTS_MAX && events->size <= LAST_WORDS_SIZE_MAX;
        return events->count < LINK_CONTROL_EVENTS_MAX && events->size <= EVENTS_SIZE_MAX;
}

int events_add(EventQueue *events, enum link_control_kind kind, uint64_t line, const void *bytes, size_t size) {
        Event *event;

        event = malloc(sizeof(*event) + size);
        if (!event)
                return -ENOMEM;
        *event = (Event){
                .number = ++events->newest,
                .line = line,
                .kind = kind,
                .size = (uint32_t) size,
        };
        if (size > 0)
                memcpy(event->bytes, bytes, size);

        if (events->last)
                events->last->next = event;
        else
                events->first = event;
        events->last = event;
        if (!events->unsent) {
                events->unsent = event;
                events->unsent_offset = 0;
        }
        events->count++;
        events->size += size;
        return 0;
}

static void drop_first(EventQueue *events) {
        Event *event = events->first;

        if (events->unsent == event) {
                events->unsent = event->next;
                events->unsent_offset = 0;
        }
        events->first = event->next;
        if (!events->first)
                events->last = NULL;
        events->count--;
        events->size -= event->size;
        free(event);
}

int events_acknowledge(EventQueue *events, uint64_t number) {
        if (number > events->sent)
                return -EBADMSG;
        while (events->first && events->first->number <= number)
                drop_first(events);
        return 0;
}

void events_rewind(EventQueue *events) {
        events->unsent = events->first;
        events->unsent_offset = 0;
}

int events_send(EventQueue *events, int socket_fd) {
        while (events->unsent) {
                const Event *event = events->unsent;
                struct link_control head = {
                        .type = LINK_CONTROL,
                        .kind = event->kind,
                        .number = event->number,
                        .line = event->line,
                        .offset = events->unsent_offset,
                        .total = event->size,
                };
                uint32_t n = MIN_OF(event->size - events->unsent_offset, LINK_CHUNK_MAX);
                int r;

                r = link_send_message(socket_fd, &head, sizeof(head), event->bytes + events->unsent_offset, n, -EBADF);
                if (r < 0)
                        return r;

                events->unsent_offset += n;
                if (events->unsent_offset == event->size) {
                        events->sent = MAX_OF(events->sent, event->number);
                        events->unsent = event->next;
                        events->unsent_offset = 0;
                }
        }
        return 0;
}

void events_clear(EventQueue *events) {
        while (events->first)
                drop_first(events);
        *events = (EventQueue){};
}
