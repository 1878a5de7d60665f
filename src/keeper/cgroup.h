/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/link.h"

typedef struct Cgroup {
        int payload_fd; /* the payload's directory */
        int events_fd;  /* its cgroup.events: POLLPRI when that changes */
        int kill_fd;    /* its cgroup.kill, or -EBADF before Linux 5.14 */
} Cgroup;

#define CGROUP_EMPTY ((Cgroup){.payload_fd = -EBADF, .events_fd = -EBADF, .kill_fd = -EBADF})

/* Makes the two child cgroups of the scope we are in and moves us into ours. Negative errno; nothing is open then. */
int cgroup_prepare(Cgroup *cgroup);
void cgroup_done(Cgroup *cgroup);

/* Holds back the payload, and not us, at so many bytes, where the kernel can; UINT64_MAX: as it is. Later changes are the daemon's. */
void cgroup_set_memory_high(const Cgroup *cgroup, uint64_t bytes);

/* 1 if a process lives anywhere in the payload, 0 if none, negative errno. Rearms events_fd. */
int cgroup_is_populated(const Cgroup *cgroup);

/* Moves the calling process into the payload. Safe between fork and exec. */
int cgroup_enter(const Cgroup *cgroup);

/* Sends signo, unless it is 0, and SIGCONT behind it where a stopped process would sleep through it, to every process in the payload and below.
 * Returns how many there are. Who forks meanwhile is caught up with, within limits: only cgroup_kill() misses nobody. */
unsigned cgroup_signal(const Cgroup *cgroup, int signo);

/* Kills everything in the payload at once, forks in progress included. */
void cgroup_kill(const Cgroup *cgroup);

/* The number behind a key of a flat keyed file, UINT64_MAX if it isn't there. */
uint64_t cgroup_keyed_value(const char *text, const char *key);

/* How many processes of the payload were killed for memory, UINT64_MAX if nobody counts. */
uint64_t cgroup_read_oom_kills(const Cgroup *cgroup);

/* Fills in what the kernel counted, and UINT64_MAX for what it did not. */
void cgroup_read_usage(const Cgroup *cgroup, struct link_done *done);
