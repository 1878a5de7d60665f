/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Input for a runtime where no pipe can be passed, as to another host: what comes out of a pipe of our own goes into WriteInput, a piece after the other, and
 * its end into CloseInput. Who writes to the pipe is held back as the runtime is.
 */

#include <glib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct InputCalls InputCalls;

/* Called with the error when the runtime takes no input. */
typedef void (*InputCallsRefused)(const sd_bus_error *error, int r, void *userdata);

/* Looks at what was read: how much of it is input. Less than all: what is behind it is not, and nothing more is read or sent; the end
 * isn't told to the runtime. */
typedef size_t (*InputCallsFilter)(const uint8_t *bytes, size_t size, void *userdata);

/* Takes the fd, the pipe's read end, or a terminal; filter may be NULL. The bus and `path` are kept by the caller. NULL: no memory for it in the event loop. */
InputCalls *input_calls_new(sd_event *event, sd_bus *bus, const char *path, int fd, InputCallsFilter filter, InputCallsRefused on_refused, void *userdata);
InputCalls *input_calls_free(InputCalls *calls);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(InputCalls, input_calls_free)

/* It is a terminal's: its end is the character that means it. */
void input_calls_set_terminal(InputCalls *calls);

/* To be called when the runtime's state has changed: it may take now what it didn't. */
void input_calls_continue(InputCalls *calls);
