/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * D-Bus values as JSON values. The verbs read replies in this form too, so that what a person sees and what a script gets
 * is the same. Numbers stay numbers, booleans booleans; UINT64_MAX, which on the bus says "infinite" or "unknown", is null.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "cli/cli.h"

static inline void cleanup_json(json_t **json) {
        json_decref(*json);
}

#define _cleanup_json_ _cleanup_(cleanup_json)

/* The next complete value of the message. Negative errno if it isn't what it must be. */
int json_read_value(sd_bus_message *message, json_t **ret);

/* Members by key; the fallback when the object is NULL, or there is no such member or it has another type. */
const char *json_get_string(const json_t *object, const char *key, const char *fallback);
uint64_t json_get_u64(const json_t *object, const char *key, uint64_t fallback);

/* How jansson shall write for this mode, and for what stdout is. */
size_t json_dump_flags(CliJson mode);
/* Prints as the mode says, with a newline. */
void json_print(const json_t *json, CliJson mode);
