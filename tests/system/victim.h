/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A runtime of alice's with something to hide, at which others try what they can: whatever they try, they must get the very answer that they get for a
 * runtime that never was, and nothing may come of it. */

#include "system-harness.h"

/* In its command, its environment, its output, its labels, its description and the name of its owner. */
#define VICTIM_SECRET "Secret4711"

typedef struct Victim {
        System *s;
        char *id, *path;       /* alice's */
        char *ghost, *no_path; /* of the same form, and never was */
        guint32 main_pid;
        pid_t keeper;
} Victim;

void victim_init(Victim *victim, System *s);
/* It runs as it did, nobody else was sent anything of it; then it is stopped. */
void victim_done(Victim *victim);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Victim, victim_done)

/* A call at the service: where and with what is written with $PATH, $ID and $NAME (the id as seen in paths); arguments in GVariant's text format.
 * interface NULL: of the Manager or of a runtime, as the path says. */
typedef struct Attempt {
        const char *path;
        const char *interface;
        const char *method;
        const char *arguments;
} Attempt;

/* Fails, and as it does for what never was. */
void victim_is_hidden(Victim *victim, AsUser *user, const Attempt *attempt);
/* Nothing of it may be in a text that somebody else has got. */
void victim_is_not_in(Victim *victim, const char *text);
/* No signal of the service has come to this user. */
void victim_was_not_told(Victim *victim, AsUser *user);
