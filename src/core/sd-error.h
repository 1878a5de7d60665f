/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who said no. sd-bus answers the calls that are under way itself when its connection ends, or when time is up: such an answer says nothing about what was
 * asked. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

static inline bool sd_error_is_local(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT) ||
               sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED);
}
