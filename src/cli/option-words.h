/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Options that only the service knows, among the words of a command line: taken out before GOption sees them, which refuses what it doesn't know. */

#include "cli/start-options.h"

/* Takes the words "--name=value" and "--name" that are none of `entries` nor of every verb, up to "--". Returns where that stands, or argc. */
int option_words_take(const GOptionEntry *entries, StartOptions *options, int *argc, char **argv);
