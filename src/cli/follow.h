/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A runtime's output as it comes, until it has ended. The bytes are those that ReadOutput gives, so that what we print is
 * what the runtime has printed; signals only say when to ask again. Each line is printed once, whatever happens on the
 * way: the service may be restarted meanwhile, and we go on behind the last line we had.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "cli/cli.h"
#include "cli/client.h"

typedef struct FollowOptions {
        uint64_t after;      /* number of the line behind which to begin */
        uint64_t since;      /* and when: CLOCK_REALTIME, 0: the oldest there is */
        bool harmless;       /* for a terminal: nothing but text and colours, else the bytes as they are */
        unsigned streams;    /* 1 << RecordStream, those to print */
        CliJson json;        /* a line of JSON for each line */
        bool until_end;      /* else: only what there is now */
        bool split;          /* stdout to stdout and the others to stderr, else all to stdout */
        bool input;          /* our stdin is the runtime's */
        bool input_terminal; /* and goes to a terminal, though we have none */
        bool terminal;       /* our terminal is that of the runtime; Ctrl-] leaves it */
        bool quiet;
        /* We stand for the runtime: a signal that would end us stops it, and we wait for its end; a second one ends us. */
        bool owned;
        bool leaves; /* a signal that would end us leaves the runtime, which goes on; for terminals, the console hears them */
} FollowOptions;

/* For runtimes that are owned or left: from now on the signals wait for follow_run(). The former call it before the start. */
void follow_block_signals(void);

/* An exit code; what went wrong has been said. ret_report (may be NULL) is set, at EXIT_OK, when the end has been seen; the
 * exit code is then the caller's to find. It stays NULL when somebody has left the terminal. */
int follow_run(sd_bus *bus, const Target *target, const FollowOptions *options, json_t **ret_report);
