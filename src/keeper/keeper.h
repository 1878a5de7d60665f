/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "keeper/cgroup.h"
#include "keeper/control.h"
#include "keeper/events.h"
#include "keeper/input.h"
#include "keeper/journal.h"
#include "keeper/link-end.h"
#include "keeper/memory.h"
#include "keeper/output.h"
#include "keeper/plan.h"
#include "keeper/readers.h"
#include "util/ring.h"

/* The command that was run last. */
typedef enum CommandState {
        COMMAND_NONE,     /* no LINK_RUN yet */
        COMMAND_STARTING, /* its process exists, execve() is not known to have worked */
        COMMAND_RUNNING,
        COMMAND_ENDING,  /* its process has been reaped, others of the payload may be left */
        COMMAND_SETTLED, /* nothing runs */
} CommandState;

typedef struct Keeper {
        LinkEnd link;
        EventQueue events;
        RingWriter ring;
        Plan plan;
        int plan_error; /* why there is no plan */
        Cgroup cgroup;
        Memory memory;
        int runtime_score; /* see memory_stand_back() */
        Output output;
        Readers readers;
        Input input;
        KeeperJournal journal;
        Control control;

        int signal_fd;
        int directory_fd;
        int socket_fd; /* given to listen on, until that is done; -EBADF: one is to be made */
        int status_fd; /* of a process that is starting */
        bool prepared; /* cgroups and sockets are there */
        bool was_given_socket;
        bool more_to_reap;
        bool resume_control; /* an acknowledgement has made room */
        uint64_t effect;     /* the newest that was asked for */

        CommandState state;
        uint32_t command;
        bool last;           /* no command follows */
        pid_t pid;           /* of the first process while it isn't reaped */
        bool asked;          /* all of it has been sent a signal that ends most: who is left may be about to go */
        bool killed;         /* all of it has been sent SIGKILL: who is left is dying, not left behind */
        bool main_killed;    /* the first process has been sent SIGKILL by us */
        bool counted;        /* who is left has been counted, and asked to end */
        uint64_t kill_usec;  /* CLOCK_MONOTONIC when what was left behind is killed (again) */
        uint64_t drain_usec; /* CLOCK_MONOTONIC until when lossless readers may take what it left in its pipes */
        struct link_failed failed;
        struct link_exited exited;

        unsigned leftovers;
        bool finishing;         /* LINK_COLLECT asked for the end */
        bool collected;         /* it is known that the daemon has the record */
        uint64_t patience_usec; /* how long we wait for a daemon while nothing runs */
        uint64_t abandon_usec;  /* CLOCK_MONOTONIC when we stop waiting for a daemon */
        uint64_t linger_usec;   /* CLOCK_MONOTONIC when we stop waiting for readers */

        uint8_t buffer[LINK_MESSAGE_MAX] __attribute__((aligned(8))); /* for one message or one read at a time */
} Keeper;

/* keeper is all zero, and large: its buffers cost nothing until they are used. The fds are the ones link.h names; socket_fd may be
 * -EBADF, and is taken. */
int keeper_init(Keeper *keeper, int link_fd, int ring_fd, int spec_fd, int socket_fd);
void keeper_done(Keeper *keeper);

/* Runs until all is done and collected, or nobody wants it. 0 or negative errno. */
int keeper_loop(Keeper *keeper);
