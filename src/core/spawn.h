/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starts keepers; nothing else in the daemon makes a process. */

#include <sys/resource.h>
#include <sys/types.h>

typedef struct SpawnedKeeper {
        pid_t pid;
        int pidfd;
        int link_fd; /* our end of the link */
} SpawnedKeeper;

/* ring_fd and spec_fd are borrowed. fd_limit: RLIMIT_NOFILE that it gets, and hands on. */
int spawn_keeper(const char *path, int ring_fd, int spec_fd, const struct rlimit *fd_limit, SpawnedKeeper *ret);
