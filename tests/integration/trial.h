/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One scenario, played again and again, the daemon dying each time at another of its acts. */

#include "crash.h"

typedef struct Trial {
        Harness *h;
        Crash *crash;
        const char *when;  /* "before", "after" */
        guint n;           /* which act; 0: none */
        char *id;          /* of the runtime, another each time */
        char *path;        /* its object, when it has been started */
        GVariant *options; /* it is started with them; a second start says the same */
        GVariant *report;  /* of its end, if the scenario waited for it */
        Client *client;    /* that may leave */
        GPtrArray *others; /* paths of more runtimes */
} Trial;

typedef struct Scenario {
        void (*prepare)(Trial *trial); /* undisturbed; may be NULL */
        void (*act)(Trial *trial);     /* the daemon may die */
        void (*check)(Trial *trial);   /* undisturbed again; what runs then is stopped and looked for */
        gboolean by_turns;             /* before one act, after the next, and so on: for one that takes long */
} Scenario;

/* All trials there are, with a count of them as a comment. */
void trials_run(Harness *h, const Scenario *scenario);

/* The kind "peer" (its handshake is the protocol, over pipes; it has one setup step; both write what happens into the log), to be added before the daemon
 * starts. Step, setup or command waits when there is a fifo for it. */
void trial_add_kinds(Harness *h);

/* Starts trial->id with trial->options, however often that takes. options: floating, without Id; NULL: those of before. */
void trial_start(Trial *trial, const char *kind, GVariant *options);
/* Options of a command: sh -c script, and more. The script has its log's name in $LOG. */
GVariant *trial_shell(Trial *trial, const char *script, const char *more);
/* The next runtime: what was started last is kept among the others. */
void trial_next(Trial *trial);
void trial_wait_ready(Trial *trial);
/* Stops it, however often that takes, and waits for its end. options: of Stop. */
void trial_stop(Trial *trial, const char *options);
void trial_wait_ended(Trial *trial);

/* What the runtime has written into its log: exactly this. */
void trial_assert_log(Trial *trial, const char *expected);
void trial_wait_log(Trial *trial, const char *expected);
char *trial_log(Trial *trial);
void trial_assert_state(Trial *trial, const char *state);
/* It runs once: its processes, without the keeper. */
void trial_assert_processes(Trial *trial, guint n);
/* All that it has printed, numbered from 1 on. */
void trial_assert_output(Trial *trial, const char *expected);

/* A fifo that holds up what reads from it. name: "step", "command". */
void trial_add_gate(Trial *trial, const char *name);
/* Lets it go on, once it is there. */
void trial_open_gate(Trial *trial, const char *name);
