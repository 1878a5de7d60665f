/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kinds as the service describes them, with names for what is told by its place on the bus. */

#include <jansson.h>
#include <systemd/sd-bus.h>

/* All of them, as an array of objects. An exit code; what is wrong has been said. */
int kinds_read(sd_bus *bus, json_t **ret);
/* The one of this name (borrowed), or NULL, which has then been said. */
json_t *kinds_find(const json_t *kinds, const char *name);
/* Says that there is none of this name. */
void kinds_tell_missing(const char *name);
/* What a kind says of itself, which the bus has in English: translated if it is a text of the kinds that we ship (po/kinds.c). */
const char *kinds_text(const char *text);
