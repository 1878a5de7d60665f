/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The same thing done to each runtime that is named: all of them are looked for first, and nothing is done if one isn't found.
 * After that each is done, whatever became of those before; the first failure is the exit code. With --json one object tells of
 * each to which it was done: alone if one was named, else in an array. */

#include <jansson.h>

#include "cli/cli.h"
#include "cli/client.h"

/* `result` has the Id and the Object, and takes what more there is to say. */
typedef int (*TargetAction)(sd_bus *bus, const Target *target, json_t *result, void *userdata);

/* `words`: the ids, to NULL. Calls `action`, and when that has been done to all, `after` (may be NULL) for those that went well. */
int targets_do(const Cli *cli, char **words, TargetAction action, TargetAction after, void *userdata);
