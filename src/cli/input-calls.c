/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See input-calls.h. One call is on its way at a time, so that pieces stay in order. */

#include "cli/input-calls.h"

#include "cli/cli.h"
#include "util/names.h"

#define KEY_END 0x04                    /* Ctrl-D, as long as the runtime doesn't change it */
#define RETRY_USEC (20 * USEC_PER_MSEC) /* when the runtime hasn't read what it was sent before */

enum {
        PIECE_MAX = 16 * 1024, /* WriteInput takes 64 KiB, but all of it or nothing: a small one finds room sooner */
};

struct InputCalls {
        sd_bus *bus;
        const char *path;
        InputCallsFilter filter;
        InputCallsRefused on_refused;
        void *userdata;

        int fd;
        sd_event_source *readable, *retry_timer;
        sd_bus_slot *call;
        size_t size; /* of the piece that waits or is on its way */
        bool at_end; /* there is nothing behind it */
        bool terminal;
        bool last; /* the piece is the last one */
        bool done; /* the end has been told, or nothing more is taken */
        uint8_t piece[PIECE_MAX];
};

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        input_calls_continue(userdata);
        return 0;
}

static void refuse(InputCalls *calls, const sd_bus_error *error, int r) {
        calls->done = true;
        calls->on_refused(error, r, calls->userdata);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        InputCalls *calls = userdata;

        calls->call = sd_bus_slot_unref(calls->call);
        /* Its setup steps run yet, or it has ended: the next state tells. */
        if (sd_bus_message_is_method_error(reply, RM_ERROR_BAD_STATE))
                return 0;
        if (sd_bus_message_is_method_error(reply, RM_ERROR_WOULD_BLOCK)) {
                (void) sd_event_source_set_time_relative(calls->retry_timer, RETRY_USEC);
                (void) sd_event_source_set_enabled(calls->retry_timer, SD_EVENT_ONESHOT);
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL)) {
                refuse(calls, sd_bus_message_get_error(reply), 0);
                return 0;
        }
        calls->done = calls->size == 0 || calls->last;
        calls->size = 0;
        input_calls_continue(calls);
        return 0;
}

static int write_piece(InputCalls *calls) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(calls->bus, &message, RM_BUS_NAME, calls->path, RM_RUNTIME_INTERFACE, "WriteInput");
        if (r >= 0)
                r = sd_bus_message_append_array(message, 'y', calls->piece, calls->size);
        return r < 0 ? r : sd_bus_call_async(calls->bus, &calls->call, message, on_answer, calls, 0);
}

void input_calls_set_terminal(InputCalls *calls) {
        calls->terminal = true;
}

void input_calls_continue(InputCalls *calls) {
        int r;

        if (calls->call || calls->done)
                return;
        if (calls->size == 0 && calls->at_end && calls->terminal) {
                calls->at_end = false;
                calls->last = true;
                calls->piece[calls->size++] = KEY_END;
        }
        if (calls->size > 0)
                r = write_piece(calls);
        else if (calls->at_end)
                r = sd_bus_call_method_async(calls->bus, &calls->call, RM_BUS_NAME, calls->path, RM_RUNTIME_INTERFACE, "CloseInput", on_answer, calls, NULL);
        else
                r = sd_event_source_set_enabled(calls->readable, SD_EVENT_ONESHOT);
        if (r < 0)
                refuse(calls, &SD_BUS_ERROR_NULL, r);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        InputCalls *calls = userdata;
        ssize_t n = read(fd, calls->piece, sizeof(calls->piece));

        if (n > 0 && calls->filter) {
                calls->size = calls->filter(calls->piece, (size_t) n, calls->userdata);
                calls->done = calls->size < (size_t) n;
        } else if (n > 0)
                calls->size = (size_t) n;
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
                calls->at_end = true;
        input_calls_continue(calls);
        return 0;
}

InputCalls *input_calls_new(sd_event *event, sd_bus *bus, const char *path, int fd, InputCallsFilter filter, InputCallsRefused on_refused, void *userdata) {
        g_autoptr(InputCalls) calls = g_new0(InputCalls, 1);
        int r;

        calls->bus = bus;
        calls->path = path;
        calls->fd = fd;
        calls->filter = filter;
        calls->on_refused = on_refused;
        calls->userdata = userdata;
        r = sd_event_add_io(event, &calls->readable, fd, EPOLLIN, on_readable, calls);
        if (r >= 0)
                r = sd_event_source_set_enabled(calls->readable, SD_EVENT_ONESHOT);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &calls->retry_timer, CLOCK_MONOTONIC, 0, 0, on_retry, calls);
        if (r >= 0)
                r = sd_event_source_set_enabled(calls->retry_timer, SD_EVENT_OFF);
        return r < 0 ? NULL : TAKE_PTR(calls);
}

InputCalls *input_calls_free(InputCalls *calls) {
        if (!calls)
                return NULL;
        sd_bus_slot_unref(calls->call);
        sd_event_source_disable_unref(calls->readable);
        sd_event_source_disable_unref(calls->retry_timer);
        fd_close(calls->fd);
        g_free(calls);
        return NULL;
}
