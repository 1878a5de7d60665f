/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The filter of ListRuntimes. */

#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "core/runtime.h"

typedef struct ListFilter ListFilter;

/* Reads a{sv}; the strings are the message's. */
int list_filter_read(sd_bus_message *message, ListFilter **ret, sd_bus_error *reterr);
ListFilter *list_filter_free(ListFilter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ListFilter, list_filter_free)

bool list_filter_matches(const ListFilter *filter, const Runtime *runtime);
