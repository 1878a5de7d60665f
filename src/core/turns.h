/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whose turn it is: so many have one at a time, the others wait for theirs. Users take turns too: one who waits with many doesn't hold up another's first. */

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Turns Turns;

/* Part of whoever takes turns. All zero: neither has one nor waits. */
typedef struct Turn {
        Turns *turns; /* NULL: neither */
        bool waits;
        uid_t uid;
        void (*begin)(void *userdata);
        void *userdata;
        GList link; /* of its user's, while it waits */
} Turn;

/* max: how many have a turn at a time, at least 1. */
int turns_new(sd_event *event, unsigned max, Turns **ret);
/* Nobody has a turn any more, or waits for one. */
Turns *turns_free(Turns *turns);

/* True: it has its turn, at once. False: begin is called when it has; never before this returns, and not after turn_end(). */
bool turn_take(Turns *turns, uid_t uid, void (*begin)(void *userdata), void *userdata, Turn *turn);
/* It is done, or doesn't want one any more; the next comes to its own when whoever calls this has returned to the loop. */
void turn_end(Turn *turn);
