/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads what clients ask of runtimes that are there: the options of Stop, TakeOwnership and SetLimits. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "core/limits-set.h"

/* Reads a{sv} with TimeoutStopUSec alone; TIME_UNSET if it isn't there. */
int stop_request_read(sd_bus_message *message, uint64_t *ret_timeout_usec, sd_bus_error *reterr);

typedef struct OwnershipRequest {
        bool replace;
        char *name;          /* NULL: not given */
        uint64_t grace_usec; /* TIME_UNSET: as it is */
} OwnershipRequest;

/* Reads a{sv}. */
int ownership_request_read(sd_bus_message *message, OwnershipRequest *ret, sd_bus_error *reterr);
void ownership_request_done(OwnershipRequest *request);

/* Reads a{sv} of limits into limits, which holds those that are set now; ret_keys has a bit (1 << LimitKey) for each that was there. */
int limits_request_read(sd_bus_message *message, LimitSet *limits, unsigned *ret_keys, sd_bus_error *reterr);
