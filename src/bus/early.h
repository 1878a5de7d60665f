/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls that come too early: the bus delivers those that made it start the service before it answers that the name is ours. Runtimes of before haven't gone
 * on by then, and who was a peer of before isn't known. So they wait until it is, and come in their order. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

typedef struct Early Early;

Early *early_new(void);
Early *early_free(Early *early);
/* There is a new connection, or (NULL) none: what waits is lost with it. */
void early_attach(Early *early, sd_bus *bus);
/* The name is ours: what waits comes again. */
void early_open(Early *early);

/* For a filter of the connection: true: the call isn't to be met now. */
bool early_hold(Early *early, sd_bus_message *call);
