/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Our terminal as that of a runtime: keys go to the runtime as they are pressed, the size follows ours, and Ctrl-] is for us. How our terminal worked before is
 * put back at the end.
 */

#include <glib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Console Console;

/* Somebody has pressed Ctrl-] (0), or a signal wants us to end. */
typedef void (*ConsoleLeft)(int signal, void *userdata);
/* The runtime takes no input. */
typedef void (*ConsoleRefused)(const sd_bus_error *error, int r, void *userdata);

/* stdin is a terminal; SIGWINCH, SIGINT, SIGTERM, SIGHUP and SIGQUIT must be blocked. The bus and `path` are kept by the caller. 0 or negative errno. */
int console_new(sd_event *event, sd_bus *bus, const char *path, ConsoleLeft on_left, ConsoleRefused on_refused, void *userdata, Console **ret);
Console *console_free(Console *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Console, console_free)

/* To be called when the runtime's state has changed, or it can be reached: it may take now what it didn't. Takes NULL. */
void console_continue(Console *console);
