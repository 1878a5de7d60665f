/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Dictionaries of options in messages: what the readers of all requests need. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "core/limits-set.h"

/* InvalidOption: "The option NAME PROBLEM." */
int option_refuse(sd_bus_error *reterr, const char *option, const char *problem);
/* LimitExceeded. */
int option_refuse_size(sd_bus_error *reterr, const char *option, const char *what, size_t most);
/* Between min and max, or UINT64_MAX if infinity may be. */
int option_check_number(const char *name, uint64_t value, uint64_t min, uint64_t max, bool infinity, sd_bus_error *reterr);
/* A string of one line for people, at most LIMIT_DESCRIPTION bytes. */
int option_read_line(sd_bus_message *message, const char *name, char **ret, sd_bus_error *reterr);
/* Enters the variant behind a name, if it is of this type. */
int option_enter(sd_bus_message *message, const char *name, const char *signature, sd_bus_error *reterr);
/* The LimitKey with this name, or -ENOENT. */
int option_find_limit(const char *name);
/* Reads the variant behind the name of a limit. */
int option_read_limit(sd_bus_message *message, int key, LimitSet *limits, sd_bus_error *reterr);
/* Enters the next entry of a{sv} and reads its name; 0 at the end. */
int option_next(sd_bus_message *message, const char **ret_name);
/* Leaves variant and entry. */
int option_exit(sd_bus_message *message);
