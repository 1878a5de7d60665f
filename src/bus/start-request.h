/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads what clients ask for: the options of StartRuntime, of Stop and of SetLimits. Each option has one row in a table; whatever is unknown, of another
 * type or out of range is refused by name. */

#include <systemd/sd-bus.h>

#include "core/kind.h"
#include "core/start-options.h"

/* The names of the options that are common to all kinds; no kind may use them for its own. NULL at the end. */
const char *const *start_request_names(void);

/* Reads a{sv}. */
int start_request_read(sd_bus_message *message, const Kind *kind, uid_t uid, StartOptions **ret, sd_bus_error *reterr);

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
