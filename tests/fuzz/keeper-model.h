/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon of fuzz-link-keeper: it says what it is told to say, and holds what it hears against the promises of util/link.h. */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "fuzz-input.h"
#include "keeper-world.h"
#include "util/output-frame.h"

/* What one connection has been told and has asked for. */
typedef struct Connection {
        int fd;
        bool deaf; /* shut down for writing */
        bool greeted;
        bool done;
        int64_t executed; /* command, -1: none */
        int64_t finished;
        bool exited;
        uint64_t control; /* number of the newest event, 0: none */
        uint32_t offset;  /* of the next part of it */
        struct link_control part;
        unsigned n_watches;
        unsigned n_outputs;
        GHashTable *wanted;  /* cookie → number of answers that must come */
        GHashTable *allowed; /* ... that may come, when the runtime has read a message */
        GHashTable *opens;   /* cookies of LINK_INPUT_OPEN and LINK_OUTPUT_OPEN */
} Connection;

/* A pipe of output, and what has come through it: with these flags, which are those of its cookie. */
typedef struct Pipe {
        int fd;
        uint32_t flags;
        uint64_t next; /* number of the next line, 0: any */
        bool ended;
        GByteArray *bytes;
} Pipe;

#define PIPES_MAX 4U

typedef struct Model {
        FuzzInput input;
        Keeper *keeper;
        char *directory;
        uint32_t n_commands;
        bool bad_plan;
        bool over; /* the input has ended: daemon and runtime go */

        Connection daemon;
        struct link_send sending;
        uint64_t acknowledged; /* the highest that a daemon has claimed */
        GHashTable *events;    /* number → checksum of what was told under it */
        GString *event;        /* that is being told */

        Pipe pipes[PIPES_MAX];
        unsigned n_pipes;

        int protocol_fd; /* the runtime's connection */
        unsigned flood;  /* blocks without a newline that it has still to say */
} Model;

extern Model *model;

/* Takes over the daemon's end of a new connection; and ends the one there is. */
void connection_begin(int fd);
void connection_end(void);

/* Reads up to max messages and checks them. False when the keeper has closed the connection. */
bool hear(unsigned max);
/* The flags of LINK_OUTPUT_OPEN that go with a cookie. */
uint32_t pipe_flags(uint32_t cookie);
/* Reads what a pipe has, and checks it. */
void pipe_read(Pipe *pipe);
void pipes_close(void);

/* Hears the rest. Who is still connected then has all its answers. */
void hear_answers(void);
void say(const void *bytes, size_t size, unsigned n_fds);

/* Number of the newest line in the ring. */
uint64_t last_line(void);
