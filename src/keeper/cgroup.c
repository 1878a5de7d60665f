/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two cgroups inside the delegated scope: `keeper`, where this process lives, and `payload`, where all that the runtime forks is.
 *
 * The payload is what makes "nothing of it runs" a fact: the kernel tells when it is empty, and kills all of it in one step. It may
 * have grown child cgroups of its own by then, so whoever lists processes walks the whole tree. A process in it could write our own
 * PID there; we never signal ourselves. */

#include "keeper/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "util/names.h"

#define MOUNT_UNIFIED "/sys/fs/cgroup"
#define MOUNT_HYBRID "/sys/fs/cgroup/unified"

/* A payload that nests deeper is still killed by the kernel, only not listed below this. */
#define WALK_DEPTH_MAX 32U

/* How many processes are remembered while the tree is listed, and how often that is done. */
#define SIGNALLED_MAX 1024U
#define PASSES_MAX 8U

static ssize_t read_file_at(int directory_fd, const char *name, char *buffer, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        size_t length = 0;

        fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        while (length < size - 1) {
                ssize_t n = read(fd, buffer + length, size - 1 - length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t) n;
        }
        buffer[length] = '\0';
        return (ssize_t) length;
}

static int write_file_at(int directory_fd, const char *name, const char *text) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(directory_fd, name, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

static bool is_cgroup2(const char *path) {
        struct statfs fs;

        return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Who had the right to has made the two already, and put us into ours. */
static bool strip_keeper(char *path) {
        char *slash = strrchr(path, '/');

        if (!slash || strcmp(slash + 1, RM_CGROUP_KEEPER) != 0)
                return false;
        *slash = '\0';
        return true;
}

/* Opens the scope that this process is in. */
static int open_scope(bool *ret_is_placed) {
        static const char prefix[] = "0::/";
        const char *mount = is_cgroup2(MOUNT_UNIFIED) ? MOUNT_UNIFIED : MOUNT_HYBRID;
        _cleanup_close_ int mount_fd = -EBADF;
        char buffer[8192], *line, *end;
        ssize_t n;
        int fd;

        if (!is_cgroup2(mount))
                return -ENOMEDIUM;

        n = read_file_at(AT_FDCWD, "/proc/self/cgroup", buffer, sizeof(buffer));
        if (n < 0)
                return (int) n;
        line = buffer;
        while (line && strncmp(line, prefix, strlen(prefix)) != 0) {
                line = strchr(line, '\n');
                if (line)
                        line++;
        }
        if (!line)
                return -ENOMEDIUM;
        line += strlen(prefix);
        end = strchr(line, '\n');
        if (!end)
                return -ENAMETOOLONG;
        *end = '\0';
        *ret_is_placed = strip_keeper(line);

        mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return -errno;
        fd = openat(mount_fd, *line ? line : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Passes every controller that the scope has down to the payload. What fails is a count that will be missing, not a fault. */
static void enable_controllers(int scope_fd) {
        char buffer[1024], entry[64], *save = NULL;

        if (read_file_at(scope_fd, "cgroup.controllers", buffer, sizeof(buffer)) < 0)
                return;
        for (char *name = strtok_r(buffer, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
                if (strlen(name) + 2 > sizeof(entry))
                        continue;
                entry[0] = '+';
                memcpy(entry + 1, name, strlen(name) + 1);
                (void) write_file_at(scope_fd, "cgroup.subtree_control", entry);
        }
}

/* See limit_payload_memory(). Later changes are the daemon's. Where the limits aren't ours to set, they have been set. */
static void limit_memory(int scope_fd, int payload_fd) {
        char buffer[32];

        /* "max" is no number. */
        if (read_file_at(scope_fd, "memory.max", buffer, sizeof(buffer)) <= 0 || buffer[0] < '0' || buffer[0] > '9')
                return;
        (void) snprintf(buffer, sizeof(buffer), "%" PRIu64, limit_payload_memory(strtoull(buffer, NULL, 10)));
        (void) write_file_at(payload_fd, "memory.max", buffer);
}

int cgroup_prepare(Cgroup *cgroup) {
        _cleanup_close_ int scope_fd = -EBADF, keeper_fd = -EBADF, payload_fd = -EBADF, events_fd = -EBADF;
        bool is_placed;
        int r;

        scope_fd = open_scope(&is_placed);
        if (scope_fd < 0)
                return scope_fd;

        if (mkdirat(scope_fd, RM_CGROUP_KEEPER, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (mkdirat(scope_fd, RM_CGROUP_PAYLOAD, 0755) < 0 && errno != EEXIST)
                return -errno;
        keeper_fd = openat(scope_fd, RM_CGROUP_KEEPER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (keeper_fd < 0)
                return -errno;
        payload_fd = openat(scope_fd, RM_CGROUP_PAYLOAD, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (payload_fd < 0)
                return -errno;
        events_fd = openat(payload_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (events_fd < 0)
                return -errno;

        /* Controllers can't be passed down while a process is in the scope itself. */
        r = is_placed ? 0 : write_file_at(keeper_fd, "cgroup.procs", "0");
        if (r < 0)
                return r;
        enable_controllers(scope_fd);
        limit_memory(scope_fd, payload_fd);

        *cgroup = (Cgroup){
                .kill_fd = openat(payload_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC),
                .payload_fd = TAKE_FD(payload_fd),
                .events_fd = TAKE_FD(events_fd),
        };
        return 0;
}

void cgroup_done(Cgroup *cgroup) {
        fd_close(cgroup->payload_fd);
        fd_close(cgroup->events_fd);
        fd_close(cgroup->kill_fd);
        *cgroup = CGROUP_EMPTY;
}

void cgroup_set_memory_high(const Cgroup *cgroup, uint64_t bytes) {
        char buffer[32];

        if (bytes == UINT64_MAX)
                return;
        (void) snprintf(buffer, sizeof(buffer), "%" PRIu64, bytes);
        (void) write_file_at(cgroup->payload_fd, "memory.high", buffer);
}

uint64_t cgroup_keyed_value(const char *text, const char *key) {
        size_t length = strlen(key);

        for (const char *line = text; line && *line; line = strchr(line, '\n')) {
                if (*line == '\n')
                        line++;
                if (strncmp(line, key, length) == 0 && line[length] == ' ')
                        return strtoull(line + length + 1, NULL, 10);
        }
        return UINT64_MAX;
}

int cgroup_is_populated(const Cgroup *cgroup) {
        char buffer[256];
        uint64_t populated;
        ssize_t n;

        n = pread(cgroup->events_fd, buffer, sizeof(buffer) - 1, 0);
        if (n < 0)
                /* Removed under us: then it is empty, for a cgroup with a process in it can't be. */
                return errno == ENODEV ? 0 : -errno;
        buffer[n] = '\0';
        populated = cgroup_keyed_value(buffer, "populated");
        return populated == UINT64_MAX ? -ENODATA : populated != 0;
}

int cgroup_enter(const Cgroup *cgroup) {
        return write_file_at(cgroup->payload_fd, "cgroup.procs", "0");
}

/* Processes fork while they are listed. So the tree is listed again until there is nobody new, who is known by not being here. */
typedef struct Signalled {
        int signo;
        unsigned n;
        pid_t pids[SIGNALLED_MAX];
} Signalled;

static bool signalled_add(Signalled *signalled, pid_t pid) {
        for (unsigned i = 0; i < signalled->n; i++)
                if (signalled->pids[i] == pid)
                        return false;
        if (signalled->n < SIGNALLED_MAX)
                signalled->pids[signalled->n++] = pid;
        return true;
}

/* Returns 1 for a process that is new. */
static unsigned signal_process(Signalled *signalled, pid_t pid) {
        int signo = signalled->signo;

        if (pid <= 1 || pid == getpid() || !signalled_add(signalled, pid))
                return 0;
        if (signo != 0)
                (void) kill(pid, signo);
        if (signo == SIGTERM || signo == SIGHUP)
                (void) kill(pid, SIGCONT);
        return 1;
}

/* Signals the processes of one cgroup. */
static unsigned signal_members(int directory_fd, Signalled *signalled) {
        _cleanup_close_ int fd = -EBADF;
        bool in_number = false;
        unsigned count = 0;
        uint32_t pid = 0;
        char buffer[1024];

        fd = openat(directory_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;

        for (;;) {
                ssize_t n = read(fd, buffer, sizeof(buffer));

                if (n <= 0)
                        return count;
                for (ssize_t i = 0; i < n; i++) {
                        if (buffer[i] >= '0' && buffer[i] <= '9') {
                                pid = pid * 10 + (uint32_t) (buffer[i] - '0');
                                in_number = true;
                        } else if (in_number) {
                                count += signal_process(signalled, (pid_t) pid);
                                pid = 0;
                                in_number = false;
                        }
                }
        }
}

static unsigned signal_tree(int directory_fd, Signalled *signalled, unsigned depth) {
        unsigned count = signal_members(directory_fd, signalled);
        _cleanup_close_ int list_fd = -EBADF;
        char buffer[1024] __attribute__((aligned(__alignof__(struct dirent64))));

        if (depth >= WALK_DEPTH_MAX)
                return count;
        list_fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (list_fd < 0)
                return count;

        for (;;) {
                ssize_t n = getdents64(list_fd, buffer, sizeof(buffer));

                if (n <= 0)
                        return count;
                for (ssize_t offset = 0; offset < n;) {
                        const struct dirent64 *entry = (const struct dirent64 *) (buffer + offset);
                        int child_fd;

                        offset += entry->d_reclen;
                        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                                continue;
                        child_fd = openat(directory_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        if (child_fd < 0)
                                continue;
                        count += signal_tree(child_fd, signalled, depth + 1);
                        fd_close(child_fd);
                }
        }
}

unsigned cgroup_signal(const Cgroup *cgroup, int signo) {
        Signalled signalled = {.signo = signo};
        unsigned count = 0, found;

        for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
                found = signal_tree(cgroup->payload_fd, &signalled, 0);
                count += found;
                /* Of more than can be remembered, those already signalled would seem new. */
                if (found == 0 || signalled.n == SIGNALLED_MAX)
                        break;
        }
        return count;
}

void cgroup_kill(const Cgroup *cgroup) {
        if (cgroup->kill_fd >= 0 && pwrite(cgroup->kill_fd, "1", 1, 0) == 1)
                return;
        (void) cgroup_signal(cgroup, SIGKILL);
}

static uint64_t read_keyed(int directory_fd, const char *name, const char *key) {
        char buffer[4096];

        if (read_file_at(directory_fd, name, buffer, sizeof(buffer)) < 0)
                return UINT64_MAX;
        return cgroup_keyed_value(buffer, key);
}

uint64_t cgroup_read_oom_kills(const Cgroup *cgroup) {
        return read_keyed(cgroup->payload_fd, "memory.events", "oom_kill");
}

void cgroup_read_usage(const Cgroup *cgroup, struct link_done *done) {
        char buffer[64];
        uint64_t usec;

        usec = read_keyed(cgroup->payload_fd, "cpu.stat", "usage_usec");
        done->cpu_usage_nsec = usec > UINT64_MAX / NSEC_PER_USEC ? UINT64_MAX : usec * NSEC_PER_USEC;
        done->oom_kills = cgroup_read_oom_kills(cgroup);
        done->memory_peak = UINT64_MAX;
        if (read_file_at(cgroup->payload_fd, "memory.peak", buffer, sizeof(buffer)) > 0)
                done->memory_peak = strtoull(buffer, NULL, 10);
}
