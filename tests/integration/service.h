/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon as a real service of the user manager, as its unit file has it, but with the folders and the bus of this test, and a name of its own. */

#include "harness.h"

/* The unit's name. It is there when this returns, and h->client is connected. */
char *service_start(Harness *h);
/* As "systemctl --user stop" does it; waits until nothing is left. Frees the name. */
void service_stop(Harness *h, char *unit);
/* 0: none now. */
pid_t service_main_pid(const char *unit);
