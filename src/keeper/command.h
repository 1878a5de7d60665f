/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keeper/keeper.h"

/* True while something of the payload runs, or may. */
bool command_runs(const Keeper *keeper);

/* What the daemon asks for. command_run() returns -EBADMSG if it can't be now; how the start went is told as a fact. */
int command_run(Keeper *keeper, uint32_t command);
int command_signal(Keeper *keeper, enum link_who who, int signo);
void command_collect(Keeper *keeper);

/* What the loop has seen: the status pipe of a starting process, dead children, and a payload that may be empty or overdue. */
void command_check_status(Keeper *keeper);
void command_reap(Keeper *keeper);
void command_check_payload(Keeper *keeper);

/* The kernel has something to say about memory, or it is time to ask. */
void command_check_memory(Keeper *keeper);
