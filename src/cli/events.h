/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signals of the service, told to people and to scripts. What isn't known here is told as it is. */

#include <jansson.h>
#include <systemd/sd-bus.h>

/* {Timestamp, Signal, Interface, Object, Id (of a runtime), Arguments: an object by the names that the interface gives them}. Negative errno. */
int event_read(sd_bus_message *message, json_t **ret);
/* On stdout, mostly in one line; lines of output each in their own. */
void event_print(const json_t *event);
