/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A start costs the same however large the daemon is: its memory isn't copied (CLONE_VM, CLONE_VFORK), nor are its fds. Of those there are three a runtime, and
 * what fork() and posix_spawn() do with them is to copy all and close all: a millisecond with 2,000 runtimes. So the child begins with our table, and makes one
 * of its own from the low end alone, where there are places for what it is given.
 *
 * The keeper gets three fds at fixed numbers and nothing else: no argument, no environment, no terminal; what it is to run stands in the spec. */

#include "core/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "util/link.h"

#define STACK_SIZE (64U * 1024U)

struct SpawnPlaces {
        int null_fd;
        int fds[3]; /* of the link, the ring and the spec while a keeper is started, else /dev/null */
        int end;    /* behind the last of them */
};

typedef struct Child {
        const char *path;
        const SpawnPlaces *places;
        int error;
} Child;

static const int targets[] = {LINK_FD, LINK_RING_FD, LINK_SPEC_FD};

/* Above the numbers that the keeper has them at. */
static int places_add(SpawnPlaces *places, int fd, int *ret) {
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, LINK_SPEC_FD + 1);
        if (*ret < 0)
                return -errno;
        places->end = MAX_OF(places->end, *ret + 1);
        return 0;
}

int spawn_places_new(SpawnPlaces **ret) {
        _cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        SpawnPlaces *places;
        int r;

        if (fd < 0)
                return -errno;
        places = malloc(sizeof(SpawnPlaces));
        if (!places)
                return -ENOMEM;
        *places = (SpawnPlaces){-EBADF, {-EBADF, -EBADF, -EBADF}, 0};
        r = places_add(places, fd, &places->null_fd);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(places->fds); i++)
                r = places_add(places, fd, &places->fds[i]);
        if (r < 0)
                spawn_places_free(places);
        else
                *ret = places;
        return r;
}

SpawnPlaces *spawn_places_free(SpawnPlaces *places) {
        if (!places)
                return NULL;
        fd_close(places->null_fd);
        for (size_t i = 0; i < ELEMENTSOF(places->fds); i++)
                fd_close(places->fds[i]);
        free(places);
        return NULL;
}

static int places_fill(const SpawnPlaces *places, const int *fds) {
        for (size_t i = 0; i < ELEMENTSOF(places->fds); i++)
                if (dup3(fds[i], places->fds[i], O_CLOEXEC) < 0)
                        return -errno;
        return 0;
}

static void places_clear(const SpawnPlaces *places) {
        for (size_t i = 0; i < ELEMENTSOF(places->fds); i++)
                (void) dup3(places->null_fd, places->fds[i], O_CLOEXEC);
}

/* Until the table is its own, what the child does to it is done to ours. */
static bool child_take_fds(const SpawnPlaces *places) {
        if (close_range(places->end, ~0U, CLOSE_RANGE_UNSHARE) < 0 && unshare(CLONE_FILES) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(targets); i++)
                if (dup2(places->fds[i], targets[i]) < 0)
                        return false;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(places->null_fd, fd) < 0)
                        return false;
        return true;
}

/* Our memory, on a stack of its own, while we wait; a sanitizer would think it ours. */
__attribute__((no_sanitize("address"))) static int child_main(void *userdata) {
        const struct sigaction by_default = {.sa_handler = SIG_DFL};
        char *const argv[] = {(char *) "runtime-keeper", NULL};
        char *const environment[] = {NULL};
        Child *child = userdata;
        sigset_t none;

        for (int signo = 1; signo < _NSIG; signo++)
                (void) sigaction(signo, &by_default, NULL);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) setsid();
        if (child_take_fds(child->places))
                (void) execve(child->path, argv, environment);
        child->error = errno;
        _exit(EXIT_FAILURE);
}

static int spawn(const char *path, const SpawnPlaces *places, pid_t *ret) {
        Child child = {.path = path, .places = places};
        alignas(16) char stack[STACK_SIZE];
        sigset_t all, before;
        pid_t pid;
        int r;

        /* No handler of ours must run in the child. */
        sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, &before);
        pid = clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &child);
        r = pid < 0 ? -errno : -child.error;
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        if (r < 0 && pid > 0)
                (void) waitpid(pid, NULL, 0);
        if (r >= 0)
                *ret = pid;
        return r;
}

int spawn_keeper(const SpawnPlaces *places, const char *path, int ring_fd, int spec_fd, const struct rlimit *fd_limit, SpawnedKeeper *ret) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, pidfd = -EBADF;
        int pair[2], r;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        r = places_fill(places, (const int[]){theirs, ring_fd, spec_fd});
        if (r >= 0)
                r = spawn(path, places, &pid);
        places_clear(places);
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
                waitpid(pid, NULL, 0);
                return r;
        }
        *ret = (SpawnedKeeper){.pid = pid, .pidfd = TAKE_FD(pidfd), .link_fd = TAKE_FD(ours)};
        return 0;
}
