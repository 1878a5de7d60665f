/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads what clients ask for: the options of StartRuntime. Each option has one row in a table; whatever is unknown, of another
 * type or out of range is refused by name. */

#include <systemd/sd-bus.h>

#include "core/kind.h"
#include "core/start-options.h"

/* The names of the options that are common to all kinds; no kind may use them for its own. NULL at the end. */
const char *const *start_request_names(void);

/* Reads a{sv}. */
int start_request_read(sd_bus_message *message, const Kind *kind, uid_t uid, uint64_t size_max, StartOptions **ret, sd_bus_error *reterr);
