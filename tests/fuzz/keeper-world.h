/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The world that a keeper under test lives in: a clock that stands still unless it is waited for, processes that are only numbers, a payload that
 * is a count. The keeper's own sources are built with the names of a few system calls changed to the ones here (meson.build), and with these
 * doubles in place of process.c and cgroup.c: its whole loop runs, and no process is ever made or signalled. */

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/keeper.h"

/* Above what any kernel gives a process. */
#define WORLD_PID ((pid_t) 0x7ffffff0)

typedef struct World {
        uint64_t now_usec;
        int signal_fd; /* what the keeper takes for a signalfd; borrowed */

        bool alive;  /* the first process of the command */
        bool zombie; /* it has ended and isn't reaped */
        int code;    /* how it has ended: si_code, si_status */
        int status;
        unsigned orphans; /* what it left in the payload */
        unsigned dead_orphans;
        unsigned n_undying; /* that many kills find a process that takes its time */
        bool changed;       /* cgroup.events would say so */
        int32_t command;    /* that was started last, -1: none */

        /* What the next start meets. */
        int start_error;
        enum link_stage start_stage;

        /* The runtime's ends, -EBADF if it hasn't got them. */
        int status_fd, input_fd, output_fd, error_fd, protocol_read_fd, protocol_write_fd;

        /* What has happened when the keeper has nothing to do: false if nothing more will. */
        bool (*on_idle)(void *userdata);
        void *userdata;
        unsigned n_turns; /* since it was idle */
        unsigned n_waits; /* since nothing more happens */
} World;

extern World world;

void world_init(bool (*on_idle)(void *userdata), void *userdata);
void world_done(void);

/* The first process ends as told. */
void world_exit(int code, int status);
bool world_is_populated(void);
