/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads of the unified cgroup hierarchy. Small files of a kernel file system: reading them doesn't wait. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where cgroup v2 is mounted: /sys/fs/cgroup, or its unified folder. NULL if it isn't. */
const char *cgroup_mount(void);

/* The cgroup of a process, as "/a/b"; -ESRCH. */
int cgroup_of_pid(pid_t pid, char **ret);

/* Of systemd's tree, as PID 1's own cgroup (…/init.scope) tells: "/a/b", or "". */
char *cgroup_root(void);

/* Limits the memory of a child of a cgroup that is delegated to us, by memory.max or memory.high; UINT64_MAX: no limit. */
void cgroup_limit_memory(const char *cgroup, const char *child, const char *file, uint64_t bytes);

/* systemd removes that of a unit that has ended. */
bool cgroup_is_gone(const char *cgroup);

/* SIGKILL to all processes of a cgroup and those below; nothing if there is no such cgroup. */
void cgroup_kill(const char *cgroup);

/* A number from a file of a cgroup ("max" is UINT64_MAX), or the number behind key in a file of "key value" lines; -ENOENT, -ENODATA. */
int cgroup_read(const char *cgroup, const char *child, const char *file, const char *key, uint64_t *ret);
/* Sum of field ("rbytes") over all devices in io.stat. */
int cgroup_read_io(const char *cgroup, const char *child, const char *field, uint64_t *ret);
