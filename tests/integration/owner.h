/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Clients that own runtimes or leave the bus, for the tests of what comes of that. */

#include "harness.h"

#define AN_HOUR "<uint64 3600000000>"

const char *name_of(Client *client);
/* Runs until it is ended. more: further options, or NULL. */
char *start(Client *client, const char *more);

void take(Client *client, const char *path, const char *options);
char *take_fails(Client *client, const char *path, const char *options, const char *error);
void release(Client *client, const char *path);
/* owner: NULL if there must be none. */
void assert_owner(Harness *h, const char *path, Client *owner, const char *owner_name);
/* All OwnerChanged so far, as "name,name,". */
char *owners_signalled(Harness *h, const char *path);

/* When this returns, the service has been told: what the bus sends it keeps its order. */
void leave(Harness *h, Client *client);
/* Until somebody on the bus of the first client has it. */
void wait_for_name(Harness *h, const char *name);

void assert_ready(Harness *h, const char *path);
/* Nothing else has begun to end it before. */
void stop_undisturbed(Harness *h, const char *path);
/* more: what its report says too; NULL: that it was ready and heard SIGTERM. */
void wait_owner_gone(Harness *h, const char *path, const char *more);
/* Until it has printed something. */
void wait_has_printed(Harness *h, const char *path);
