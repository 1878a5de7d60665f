/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hands our standard input on to a runtime, and tells it when there is no more. A small process of its own does the
 * copying, since both ends may block; it dies with us.
 */

#include <stdbool.h>

#include <glib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Input Input;

/* Called with the error when the runtime's input can't be had; the event loop goes on. */
typedef void (*InputRefused)(const sd_bus_error *error, int r, void *userdata);

/* The bus is attached to the event loop; SIGCHLD must be blocked. terminal: it goes to one, which no pipe leads to. `path` is kept by the caller. */
Input *input_new(sd_event *event, sd_bus *bus, const char *path, bool terminal, InputRefused on_refused, void *userdata);
Input *input_free(Input *input);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Input, input_free)

/* To be called at the beginning and at each change of state: while setup steps run there is no input yet. Takes NULL. */
void input_open(Input *input);
