/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A keeper before it is one: a child that has become the user, and waits until it is in its cgroup; only then it executes the keeper's program. */

#include "spawner/account.h"
#include "util/spawner.h"

typedef struct KeeperProcess {
        pid_t pid;
        int gate_fd;   /* a byte lets it go on; closed: it exits */
        int status_fd; /* readable: keeper_read_status() */
} KeeperProcess;

#define KEEPER_PROCESS_EMPTY ((KeeperProcess){.gate_fd = -EBADF, .status_fd = -EBADF})

/* fds are borrowed. */
int keeper_fork(const char *path, const Account *account, const int fds[static SPAWNER_FDS], KeeperProcess *ret);
int keeper_let_go(KeeperProcess *process);
/* 0: it has executed the keeper, or is dead; a negative errno is what it failed with. */
int keeper_read_status(const KeeperProcess *process);
/* Closes both fds. */
void keeper_process_done(KeeperProcess *process);
