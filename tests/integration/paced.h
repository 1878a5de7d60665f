/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runtimes that wait here and there until the test says to go on, by a file in their home; and how far they have come. */

#include "harness.h"

#define WAIT_FOR(name) "while [ ! -e $HOME/" name " ]; do sleep 0.01; done; "
void go(Harness *h, const char *name);

/* The number of the last line there is. */
guint64 get_last(Client *client, const char *path);
/* By asking, so each round is a call that somebody else's trouble must not hold up. */
void wait_printed(Harness *h, const char *path, guint64 last);
