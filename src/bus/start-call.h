/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* StartRuntime: from the call to the manager's start. On a bus of many users it has to be asked first who the user is, so the call waits meanwhile. */

#include <systemd/sd-bus.h>

#include "bus/peer.h"

typedef struct Bus Bus;

/* A handler; userdata: Bus. */
int method_start_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr);

/* Nobody waits for the answers any more: the peer has gone; all have. */
void start_calls_drop_peer(Bus *bus, Peer *peer);
void start_calls_drop(Bus *bus);
/* The manager is gone, and will not answer any more. */
void start_calls_free(Bus *bus);
