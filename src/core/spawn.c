/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* posix_spawn() (CLONE_VFORK underneath) so that a start costs the same however large the daemon is. The keeper gets three fds at fixed numbers and
 * nothing else: no argument, no environment, no terminal; what it is to run stands in the spec. All other fds are close-on-exec. */

#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "util/link.h"

/* dup2() onto a number that another of the three still occupies would lose that one: all are first moved out of the way. */
static int move_up(int fd, int *ret) {
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, LINK_SPEC_FD + 1);
        return *ret < 0 ? -errno : 0;
}

static int add_actions(posix_spawn_file_actions_t *actions, int link_fd, int ring_fd, int spec_fd) {
        const struct { int from, to; } moves[] = {{link_fd, LINK_FD}, {ring_fd, LINK_RING_FD}, {spec_fd, LINK_SPEC_FD}};
        int r;

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                r = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
                if (r != 0)
                        return -r;
        }
        for (size_t i = 0; i < ELEMENTSOF(moves); i++) {
                r = posix_spawn_file_actions_adddup2(actions, moves[i].from, moves[i].to);
                if (r != 0)
                        return -r;
        }
        return 0;
}

static int set_attributes(posix_spawnattr_t *attributes) {
        sigset_t all, none;
        int r;

        sigfillset(&all);
        sigemptyset(&none);
        r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
        return -r;
}

static int spawn(const char *path, const posix_spawn_file_actions_t *actions, pid_t *ret) {
        char *const argv[] = {(char *) "runtime-keeper", NULL};
        char *const environment[] = {NULL};
        posix_spawnattr_t attributes;
        int r;

        r = -posix_spawnattr_init(&attributes);
        if (r < 0)
                return r;
        r = set_attributes(&attributes);
        if (r >= 0)
                r = -posix_spawn(ret, path, actions, &attributes, argv, environment);
        posix_spawnattr_destroy(&attributes);
        return r;
}

int spawn_keeper(const char *path, int ring_fd, int spec_fd, const struct rlimit *fd_limit, SpawnedKeeper *ret) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, link_up = -EBADF, ring_up = -EBADF, spec_up = -EBADF, pidfd = -EBADF;
        posix_spawn_file_actions_t actions;
        int pair[2], r;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        r = move_up(theirs, &link_up);
        if (r >= 0)
                r = move_up(ring_fd, &ring_up);
        if (r >= 0)
                r = move_up(spec_fd, &spec_up);
        if (r < 0)
                return r;

        r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = add_actions(&actions, link_up, ring_up, spec_up);
        if (r >= 0)
                r = spawn(path, &actions, &pid);
        posix_spawn_file_actions_destroy(&actions);
        if (r < 0)
                return r;

        /* It waits to be told to run, so this comes before anything that the limit is for. */
        (void) prlimit(pid, RLIMIT_NOFILE, fd_limit, NULL);
        pidfd = pidfd_open(pid, 0);
        if (pidfd < 0) {
                /* The link's closing ends it. */
                r = -errno;
                theirs = fd_close(theirs);
                ours = fd_close(ours);
                link_up = fd_close(link_up);
                waitpid(pid, NULL, 0);
                return r;
        }
        *ret = (SpawnedKeeper){.pid = pid, .pidfd = TAKE_FD(pidfd), .link_fd = TAKE_FD(ours)};
        return 0;
}
