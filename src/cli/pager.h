/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Long output a page at a time, as the tools of systemd do it: through $SYSTEMD_PAGER, $PAGER or less, with the options in $SYSTEMD_LESS, and only where
 * stdout is a terminal. As root or under sudo, less is kept from starting other programs, and no other pager is used.
 */

#include <stdbool.h>

#include "cli/cli.h"

/* From now on what is written to stdout goes through a pager, if there is a terminal and nothing speaks against it; main() waits for it at the end. */
void pager_open(const Cli *cli);

/* Whether what we print is for a terminal, through a pager or not. */
bool pager_is_terminal(void);
