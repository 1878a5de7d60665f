/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "keeper/cgroup.h"
#include "keeper/plan.h"
#include "util/link.h"

/* What a new process is made of. Its fds must all be above 4; the parent keeps and closes its own copies. */
typedef struct ProcessStart {
        const Cgroup *cgroup;
        const PlanCommand *command;
        const char *working_directory;
        bool no_new_privileges;
        bool terminal; /* input_fd is one, and becomes its controlling terminal */
        int input_fd;  /* -EBADF: /dev/null */
        int output_fd;
        int error_fd;
        int protocol_read_fd; /* both or none */
        int protocol_write_fd;
} ProcessStart;

/* What the child says through its status pipe when it can't go on. */
typedef struct ProcessFailure {
        uint32_t stage; /* enum link_stage */
        int32_t error;
} ProcessFailure;

/* Makes the process in the payload. It then executes the command, which closes the status pipe, or writes a ProcessFailure into it and
 * ends. Negative errno if there is no process; ret_stage says why. */
int process_start(const ProcessStart *start, pid_t *ret_pid, int *ret_status_fd, enum link_stage *ret_stage);
