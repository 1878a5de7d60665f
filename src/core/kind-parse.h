/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From sections and settings to a Kind. Internal to the kind rooms. */

#include "core/kind-file.h"
#include "core/kind.h"

/* `path` is that of the kind's main file. -EINVAL with a problem that names the place, and what else is wrong in more_problems (char*, or
 * NULL), in the order in which it was found. */
int kind_parse(const char *name, const char *path, const KindFile *file, const char *const *reserved_options, Kind **ret, char **ret_problem,
               GPtrArray *more_problems);

/* A kind with nothing but its name and path, and defaults. */
Kind *kind_new(const char *name, const char *path);
