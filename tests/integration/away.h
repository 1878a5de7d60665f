/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon is killed and comes back, in the same folders on the same bus; and runtimes that say by files how far they are when there is nobody to ask. */

#include "harness.h"

/* Words of a shell script: waits for a file in its home that the test makes (go() in paced.h); makes one that wait_for_file() waits for. */
#define TELL(name) ": >$HOME/" name "; "

void come_back(Harness *h);
/* Killed, and back at once. */
void go_away_and_come_back(Harness *h);

/* A file in the home of the runtimes. */
char *home_file(Harness *h, const char *name);
void wait_for_file(Harness *h, const char *name);
/* Until nothing listens to that PID any more. */
void wait_process_gone(Harness *h, pid_t pid);
/* Lets time pass that is itself what is tested. */
void wait_until_usec(Harness *h, gint64 monotonic_usec);

/* All properties at once: two of them are compared by their text. */
char *all_properties(Client *client, const char *path);

pid_t main_pid_of(Client *client, const char *path);
/* The parent of the command's first process. */
pid_t keeper_pid_of(Client *client, const char *path);

/* A file in the folder of the runtime. */
char *record_path(Harness *h, const char *path, const char *name);

/* The kind "peer": protocol-peer.py with a behaviour as its first argument; it waits for a file of that name before it starts if wait isn't NULL. FALSE: the
 * test can't run here. */
gboolean add_peer_kind(Harness *h, const char *name, const char *behaviour, const char *wait);

/* Whether the journal has a message with this text about the runtime; for an ordinary user it can't be read, and TRUE. */
void wait_logged(Harness *h, const char *id, const char *text);
