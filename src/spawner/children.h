/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The children of this process: keepers, and those that remove folders. */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Children Children;

typedef void (*ChildFunc)(void *userdata, pid_t pid);

/* SIGCHLD must be blocked. */
int children_new(sd_event *event, Children **ret);
Children *children_free(Children *children);

/* func (may be NULL) is told when the child has been reaped. A held child isn't reaped before children_release(), so that its PID stays its own. */
void children_add(Children *children, pid_t pid, bool held, ChildFunc func, void *userdata);
void children_release(Children *children, pid_t pid);
/* Nobody is told any more. */
void children_forget(Children *children, pid_t pid);
