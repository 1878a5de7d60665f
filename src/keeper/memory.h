/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <signal.h>

#include "keeper/cgroup.h"

/* What the kernel's choice depends on: oom_score_adj of the runtime, if it is another than ours. */
#define MEMORY_SCORE_NONE INT32_MIN

typedef struct Memory {
        int events_fd;          /* the payload's memory.events: POLLPRI when that changes; -EBADF without a memory controller */
        uint64_t look_usec;     /* CLOCK_MONOTONIC when to look next, whatever the kernel says */
        bool settling;          /* until then the kernel isn't listened to */
        uint64_t seen;          /* kills in the payload at the last look */
        uint64_t others;        /* those of them that didn't hit the first process of the command that runs */
        uint64_t high;          /* how often MemoryHigh= held it back */
        uint64_t tell_oom_usec; /* when the next news of each kind may be told */
        uint64_t tell_high_usec;
        struct link_memory told;
} Memory;

#define MEMORY_EMPTY ((Memory){.events_fd = -EBADF, .look_usec = USEC_INFINITY})

/* The kernel takes the largest process of a scope that is out of memory. Of many small ones that might be the keeper, which would take the
 * record with it: so it stands back a little, if it may. Returns the score that the runtime is to have, or MEMORY_SCORE_NONE. Before the keeper
 * becomes undumpable: its files in /proc are not its own then. */
int memory_stand_back(void);
/* And the runtime doesn't, from when it is executed. */
void memory_set_score(pid_t pid, int score);

/* The cgroups are there. Without a memory controller nothing is ever seen. */
void memory_open(Memory *memory, const Cgroup *cgroup);
void memory_close(Memory *memory);

/* Each returns true if memory->told is news. */

/* A command begins: who was killed before was not it. */
bool memory_begin(Memory *memory, const Cgroup *cgroup, uint32_t command);

/* The kernel has something new, or it is time. main: the first process of the command, 0 if none runs. */
bool memory_look(Memory *memory, const Cgroup *cgroup, pid_t main);

/* The first process has been reaped; killed_here: it was sent SIGKILL by us. */
bool memory_reaped(Memory *memory, const Cgroup *cgroup, const siginfo_t *info, bool killed_here);
