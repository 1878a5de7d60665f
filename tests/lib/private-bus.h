/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A message bus for this test program alone, of the same sort as the session's: the name of the service can be owned once on a bus. */

/* Before it is started: how many calls of one connection it lets wait for their answers. dbus-daemon's system bus allows 128, and the session's any number. */
void private_bus_limit_replies(unsigned max);
/* Starts it when it is first asked for. */
const char *private_bus_address(void);
/* The same, where any user may connect. */
const char *private_bus_open_to_all(void);
/* From now on calls to a name wait until somebody has it, for as long as the bus waits for what it has started: which does nothing. */
void private_bus_wait_for(const char *name);
void private_bus_stop(void);
/* Everybody on it loses it; and another one, at the same address. */
void private_bus_kill(void);
void private_bus_start_again(void);
