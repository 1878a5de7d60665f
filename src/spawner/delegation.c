/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* In the user's own manager the keeper makes these cgroups, for they are the user's, and so are the limits. Here they are root's:
 *
 *   the scope      cgroup.procs is the user's: the kernel wants that for moves between the two below
 *   ├ keeper       cgroup.procs is the user's
 *   └ payload      the folder is the user's, and what takes cgroups below it: cgroup.procs, .threads, .subtree_control, .kill, .freeze
 *
 * No file of a controller is: no memory.*, cpu.*, pids.* or io.* of any of the three, and not the scope's folder, so none of them can be removed or made anew.
 * A process that the user moves into `keeper` is still below the scope's own limits, and below a memory.high that leaves room for the keeper's ring and
 * buffers.
 *
 * All by fds of the folders, whose owner is checked: nothing is followed. */

#include "spawner/delegation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/cgroup.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

/* What a keeper needs beside its ring, while it must not be held back. */
#define KEEPER_ROOM (UINT64_C(8) << 20)

static int open_scope(const char *cgroup) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *mount = cgroup_mount();
        struct statfs fs;
        struct stat st;

        if (!mount)
                return -ENOMEDIUM;
        if (asprintf(&path, "%s%s", mount, cgroup) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (fs.f_type != CGROUP2_SUPER_MAGIC || st.st_uid != 0)
                return -EPERM;
        return TAKE_FD(fd);
}

static int open_child(int scope_fd, const char *name, bool make) {
        int fd;

        if (make && mkdirat(scope_fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(scope_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* Whatever our umask is: the user's processes find their way by it. */
        if (make && fchmod(fd, 0755) < 0) {
                int r = -errno;

                fd_close(fd);
                return r;
        }
        return fd;
}

static int write_file(int fd, const char *name, const char *text) {
        _cleanup_close_ int file = -EBADF;

        file = openat(fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0 || write(file, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

static int read_file(int fd, const char *name, char *buffer, size_t size) {
        _cleanup_close_ int file = -EBADF;
        ssize_t n;

        file = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0)
                return -errno;
        n = read(file, buffer, size - 1);
        if (n < 0)
                return -errno;
        buffer[n] = '\0';
        return 0;
}

/* sign: '+' or '-'. What fails is a limit that systemd couldn't set either. */
static void pass_controllers(int scope_fd, const char *file, char sign) {
        char buffer[1024], entry[64], *save = NULL;

        if (read_file(scope_fd, file, buffer, sizeof(buffer)) < 0)
                return;
        for (char *name = strtok_r(buffer, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
                if (strlen(name) + 2 > sizeof(entry))
                        continue;
                entry[0] = sign;
                memcpy(entry + 1, name, strlen(name) + 1);
                (void) write_file(scope_fd, "cgroup.subtree_control", entry);
        }
}

/* No such file: no such controller, and nobody enforces it. */
static int write_limit(int fd, const char *name, uint64_t value) {
        char text[32] = "max";
        int r;

        if (value != UINT64_MAX)
                (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        r = write_file(fd, name, text);
        return r == -ENOENT ? 0 : r;
}

/* Of a runtime that was started by the spawner before us, what it set stays. */
static int limit_keeper(int keeper_fd, uint64_t ring_bytes, uint64_t high) {
        char buffer[32];

        if (high == UINT64_MAX)
                return write_limit(keeper_fd, "memory.high", UINT64_MAX);
        if (ring_bytes == 0 && read_file(keeper_fd, "memory.high", buffer, sizeof(buffer)) >= 0 && buffer[0] >= '0' && buffer[0] <= '9')
                return 0;
        return write_limit(keeper_fd, "memory.high", (ring_bytes > 0 ? ring_bytes : LIMIT_RING_MAX) + KEEPER_ROOM);
}

static int limit_children(const Delegation *delegation, int keeper_fd, int payload_fd, const LimitSet *limits, unsigned keys) {
        int r = 0;

        if (keys & (1U << LIMIT_MEMORY_MAX))
                r = write_limit(payload_fd, "memory.max", limit_payload_memory(limits->value[LIMIT_MEMORY_MAX]));
        if (r >= 0 && keys & (1U << LIMIT_MEMORY_HIGH)) {
                r = write_limit(payload_fd, "memory.high", limits->value[LIMIT_MEMORY_HIGH]);
                if (r >= 0)
                        r = limit_keeper(keeper_fd, delegation->ring_bytes, limits->value[LIMIT_MEMORY_HIGH]);
        }
        return r;
}

static int give(int fd, const char *name, const Delegation *delegation) {
        return fchownat(fd, name, delegation->uid, delegation->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int hand_over(const Delegation *delegation, int scope_fd, int keeper_fd, int payload_fd) {
        static const struct {
                const char *name;
                bool needed; /* else it came with a later kernel */
        } files[] = {{"cgroup.procs", true}, {"cgroup.threads", true}, {"cgroup.subtree_control", true}, {"cgroup.freeze", false}, {"cgroup.kill", false}};
        int r;

        r = give(scope_fd, "cgroup.procs", delegation);
        if (r >= 0)
                r = give(keeper_fd, "cgroup.procs", delegation);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(files); i++) {
                r = give(payload_fd, files[i].name, delegation);
                if (r == -ENOENT && !files[i].needed)
                        r = 0;
        }
        if (r >= 0 && fchown(payload_fd, delegation->uid, delegation->gid) < 0)
                r = -errno;
        return r;
}

int delegation_make(const Delegation *delegation, pid_t pid, const LimitSet *limits) {
        _cleanup_close_ int scope_fd = -EBADF, keeper_fd = -EBADF, payload_fd = -EBADF;
        char text[32];
        int r;

        scope_fd = open_scope(delegation->cgroup);
        if (scope_fd < 0)
                return scope_fd;
        keeper_fd = open_child(scope_fd, RM_CGROUP_KEEPER, true);
        if (keeper_fd < 0)
                return keeper_fd;
        payload_fd = open_child(scope_fd, RM_CGROUP_PAYLOAD, true);
        if (payload_fd < 0)
                return payload_fd;

        /* Controllers can't be passed down while a process is in the scope itself. */
        (void) snprintf(text, sizeof(text), "%d", (int) pid);
        r = write_file(keeper_fd, "cgroup.procs", text);
        if (r < 0)
                return r;
        pass_controllers(scope_fd, "cgroup.controllers", '+');
        r = limit_children(delegation, keeper_fd, payload_fd, limits, ~0U);
        return r < 0 ? r : hand_over(delegation, scope_fd, keeper_fd, payload_fd);
}

int delegation_limit(const Delegation *delegation, const LimitSet *limits, unsigned keys) {
        _cleanup_close_ int scope_fd = -EBADF, keeper_fd = -EBADF, payload_fd = -EBADF;

        if (!(keys & ((1U << LIMIT_MEMORY_MAX) | (1U << LIMIT_MEMORY_HIGH))))
                return 0;
        scope_fd = open_scope(delegation->cgroup);
        if (scope_fd < 0)
                return scope_fd;
        keeper_fd = open_child(scope_fd, RM_CGROUP_KEEPER, false);
        if (keeper_fd < 0)
                return keeper_fd;
        payload_fd = open_child(scope_fd, RM_CGROUP_PAYLOAD, false);
        if (payload_fd < 0)
                return payload_fd;
        return limit_children(delegation, keeper_fd, payload_fd, limits, keys);
}

void delegation_take_back(const Delegation *delegation) {
        _cleanup_close_ int scope_fd = open_scope(delegation->cgroup);

        if (scope_fd >= 0)
                pass_controllers(scope_fd, "cgroup.subtree_control", '-');
}
