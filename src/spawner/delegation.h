/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The cgroups inside a runtime's scope: made by us, and handed over just so far that the user can't get past the limits. */

#include <sys/types.h>

#include "core/limits-set.h"

typedef struct Delegation {
        const char *cgroup; /* of the scope, as in /proc/PID/cgroup */
        uid_t uid;
        gid_t gid;
        uint64_t ring_bytes; /* what the keeper holds for the output; 0: not known */
} Delegation;

/* Makes keeper and payload, moves the process into the first, sets the limits that are the payload's, and gives the user what it needs to run things there. */
int delegation_make(const Delegation *delegation, pid_t pid, const LimitSet *limits);

/* Of keys (1 << LimitKey), those that are the payload's. What no controller is there for is left out. */
int delegation_limit(const Delegation *delegation, const LimitSet *limits, unsigned keys);

/* Takes the controllers back, so that a process can be put into the scope itself once more. Nothing if it isn't there. */
void delegation_take_back(const Delegation *delegation);
