/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon asks for, message by message. Sizes and order are checked here; a daemon that gets them wrong is of another make than we
 * are and loses its connection, not its runtime. */

#include "keeper/requests.h"

#include <signal.h>
#include <string.h>

#include "keeper/command.h"

/* For one turn of the loop. */
#define REQUESTS_MAX 64U

typedef int (*RequestHandler)(Keeper *keeper, const void *message, size_t size);

static int reply(Keeper *keeper, uint32_t cookie, int error, int fd) {
        link_end_reply(&keeper->link, keeper->link.connection, cookie, error < 0 ? -error : 0, fd);
        return 0;
}

static int on_run(Keeper *keeper, const void *message, size_t size) {
        const struct link_run *run = message;

        return command_run(keeper, run->command);
}

/* False: it was asked for before, by a daemon that is gone. */
static bool is_new_effect(const Keeper *keeper, uint64_t effect) {
        return effect == 0 || effect > keeper->effect;
}

/* It has been had. */
static void note_effect(Keeper *keeper, uint64_t effect) {
        keeper->effect = MAX_OF(keeper->effect, effect);
}

static int on_signal(Keeper *keeper, const void *message, size_t size) {
        const struct link_signal *request = message;
        int r = -EINVAL;

        if (!is_new_effect(keeper, request->effect))
                return reply(keeper, request->cookie, 0, -EBADF);
        if (request->signo > 0 && request->signo < NSIG && (request->who == LINK_WHO_MAIN || request->who == LINK_WHO_ALL))
                r = command_signal(keeper, (enum link_who) request->who, request->signo);
        if (r >= 0)
                note_effect(keeper, request->effect);
        return reply(keeper, request->cookie, r, -EBADF);
}

/* Joins the parts of a message for the runtime. They come in order, and no two messages are mixed. */
static int on_send(Keeper *keeper, const void *message, size_t size) {
        const struct link_send *part = message;
        const uint8_t *bytes = (const uint8_t *) message + sizeof(*part);
        size_t n = size - sizeof(*part);
        LinkEnd *link = &keeper->link;
        int r;

        if (part->total > LIMIT_PROTOCOL_LINE || n > LINK_CHUNK_MAX)
                return -EBADMSG;

        if (part->offset == 0) {
                if (link->assembly)
                        return -EBADMSG;
                link->assembly = malloc(MAX_OF(part->total, 1U));
                if (!link->assembly)
                        return -ENOMEM;
                link->assembling = *part;
                link->assembled = 0;
        }
        if (!link->assembly || part->cookie != link->assembling.cookie || part->total != link->assembling.total || part->offset != link->assembled ||
            n > part->total - part->offset || (n == 0 && part->total > 0))
                return -EBADMSG;
        memcpy(link->assembly + link->assembled, bytes, n);
        link->assembled += (uint32_t) n;
        if (link->assembled < part->total)
                return 0;

        if (is_new_effect(keeper, part->effect))
                r = control_send(&keeper->control, link->connection, part->cookie, link->assembly, link->assembled);
        else
                r = reply(keeper, part->cookie, 0, -EBADF);
        free(link->assembly);
        link->assembly = NULL;
        if (r >= 0)
                note_effect(keeper, part->effect);
        return r < 0 ? reply(keeper, part->cookie, r, -EBADF) : 0;
}

static int on_acknowledge(Keeper *keeper, const void *message, size_t size) {
        const struct link_acknowledge *acknowledge = message;

        keeper->resume_control = true;
        return events_acknowledge(&keeper->events, acknowledge->number);
}

static int on_watch(Keeper *keeper, const void *message, size_t size) {
        const struct link_watch *watch = message;

        keeper->link.watching = true;
        keeper->link.watch_after = watch->after;
        return 0;
}

static int on_input_write(Keeper *keeper, const void *message, size_t size) {
        const struct link_request *request = message;

        return reply(keeper, request->cookie, input_write(&keeper->input, request + 1, size - sizeof(*request)), -EBADF);
}

static int on_input_open(Keeper *keeper, const void *message, size_t size) {
        const struct link_request *request = message;
        int fd = input_duplicate(&keeper->input);

        return reply(keeper, request->cookie, fd, fd);
}

static int on_input_close(Keeper *keeper, const void *message, size_t size) {
        const struct link_request *request = message;

        return reply(keeper, request->cookie, input_request_close(&keeper->input), -EBADF);
}

static int on_output_open(Keeper *keeper, const void *message, size_t size) {
        const struct link_output_open *request = message;
        int fd = -EBADF, r;

        r = readers_open(&keeper->readers, request->after, request->flags, &fd);
        return reply(keeper, request->cookie, r, fd);
}

static int on_output_release(Keeper *keeper, const void *message, size_t size) {
        /* Of a command that has ended by itself, lossless readers get all. */
        if (keeper->pid > 0)
                readers_release(&keeper->readers);
        return 0;
}

static int on_resize(Keeper *keeper, const void *message, size_t size) {
        const struct link_resize *resize = message;

        return reply(keeper, resize->cookie, input_resize(&keeper->input, resize->rows, resize->columns), -EBADF);
}

static int on_collect(Keeper *keeper, const void *message, size_t size) {
        command_collect(keeper);
        return 0;
}

static const struct {
        size_t size;
        bool more; /* bytes may follow the struct */
        RequestHandler handle;
} request_table[] = {
        [LINK_RUN - LINK_RUN] = {sizeof(struct link_run), false, on_run},
        [LINK_SIGNAL - LINK_RUN] = {sizeof(struct link_signal), false, on_signal},
        [LINK_SEND - LINK_RUN] = {sizeof(struct link_send), true, on_send},
        [LINK_ACKNOWLEDGE - LINK_RUN] = {sizeof(struct link_acknowledge), false, on_acknowledge},
        [LINK_WATCH - LINK_RUN] = {sizeof(struct link_watch), false, on_watch},
        [LINK_INPUT_WRITE - LINK_RUN] = {sizeof(struct link_request), true, on_input_write},
        [LINK_INPUT_OPEN - LINK_RUN] = {sizeof(struct link_request), false, on_input_open},
        [LINK_INPUT_CLOSE - LINK_RUN] = {sizeof(struct link_request), false, on_input_close},
        [LINK_COLLECT - LINK_RUN] = {sizeof(uint32_t), false, on_collect},
        [LINK_OUTPUT_OPEN - LINK_RUN] = {sizeof(struct link_output_open), false, on_output_open},
        [LINK_OUTPUT_RELEASE - LINK_RUN] = {sizeof(uint32_t), false, on_output_release},
        [LINK_RESIZE - LINK_RUN] = {sizeof(struct link_resize), false, on_resize},
};

static int dispatch(Keeper *keeper, const void *message, size_t size) {
        uint32_t type;

        memcpy(&type, message, sizeof(type));
        if (type < LINK_RUN || type - LINK_RUN >= ELEMENTSOF(request_table))
                return -EBADMSG;
        type -= LINK_RUN;
        if (size < request_table[type].size || (size > request_table[type].size && !request_table[type].more))
                return -EBADMSG;
        return request_table[type].handle(keeper, message, size);
}

void requests_process(Keeper *keeper) {
        LinkEnd *link = &keeper->link;

        for (unsigned i = 0; i < REQUESTS_MAX && link_end_has_room(link) && !keeper->collected; i++) {
                int fd = -EBADF;
                ssize_t n;

                n = link_receive_message(link->fd, keeper->buffer, &fd);
                if (n == -EAGAIN)
                        return;
                if (n == -ECONNRESET)
                        continue; /* told once, before what the other end had sent */
                fd_close(fd);     /* no request carries one */
                if (n <= 0 || dispatch(keeper, keeper->buffer, (size_t) n) < 0) {
                        link_end_close(link);
                        return;
                }
        }
}
