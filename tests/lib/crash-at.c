/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* LD_PRELOAD: the program under test dies at a chosen one of the calls by which it acts on the world.
 *
 * What a program does between two such calls nobody else can see, so to die at each of them once is to die everywhere. Reading isn't acting: what was
 * read from a socket dies with the socket.
 *
 * CRASH_AT_FILE names a file. While it isn't there nothing is counted. The first call that finds it reads it: "before N" or "after N"; that call is the first
 * to be counted, and at call N the program is killed, before it or after it; 0: never. A line with number and name of each call is appended to CRASH_AT_LOG
 * before the call: that is how many there are, and which one it was. The variables are taken out of the environment, so that nothing that the program starts is
 * met; but a child that has forked counts on for itself until it executes something, and it is still the program that dies.
 *
 * System calls are made directly, for a sanitizer's own wrappers may be before or behind this library, and need not be ready when the first call comes. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char file[PATH_MAX], log_file[PATH_MAX];
static bool armed, after;
static unsigned long at, count;
/* That is who dies, whoever of its children counts. */
static pid_t program;

__attribute__((constructor)) static void take_environment(void) {
        const char *value = getenv("CRASH_AT_FILE");

        if (value)
                (void) snprintf(file, sizeof(file), "%s", value);
        value = getenv("CRASH_AT_LOG");
        if (value)
                (void) snprintf(log_file, sizeof(log_file), "%s", value);
        program = getpid();
        unsetenv("LD_PRELOAD");
        unsetenv("CRASH_AT_FILE");
        unsetenv("CRASH_AT_LOG");
}

static void die(void) {
        (void) syscall(SYS_kill, program, SIGKILL);
}

static bool arm(void) {
        char text[64] = {0}, when[8] = {0};
        int fd;

        if (file[0] == '\0')
                return false;
        if (syscall(SYS_faccessat, AT_FDCWD, file, F_OK) < 0)
                armed = false;
        else if (armed)
                return true;
        count = 0;
        fd = (int) syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0)
                return false;
        armed = read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%7s %lu", when, &at) == 2;
        after = strcmp(when, "after") == 0;
        close(fd);
        return armed;
}

static bool enter(const char *name) {
        int saved = errno, fd;

        if (!arm()) {
                errno = saved;
                return false;
        }
        count++;
        fd = log_file[0] != '\0' ? (int) syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
        if (fd >= 0) {
                char line[64];
                int size = snprintf(line, sizeof(line), "%lu %s\n", count, name);

                (void) syscall(SYS_write, fd, line, size);
                close(fd);
        }
        if (count == at && !after)
                die();
        errno = saved;
        return count == at;
}

static void leave(bool last) {
        if (last)
                die();
}

#define ACT(type, name, parameters, ...)                                                                                                                       \
        type name parameters;                                                                                                                                  \
        type name parameters {                                                                                                                                 \
                bool last = enter(#name);                                                                                                                      \
                long r = syscall(__VA_ARGS__);                                                                                                                 \
                                                                                                                                                               \
                leave(last);                                                                                                                                   \
                return (type) r;                                                                                                                               \
        }

ACT(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), SYS_sendmsg, fd, message, flags)
ACT(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), SYS_sendto, fd, bytes, size, flags, NULL, 0)
ACT(ssize_t, write, (int fd, const void *bytes, size_t size), SYS_write, fd, bytes, size)
ACT(ssize_t, writev, (int fd, const struct iovec *iov, int n), SYS_writev, fd, iov, n)
/* These, and openat(), are the 64-bit functions for all that meson builds, as for the libraries. */
ACT(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t offset), SYS_pwrite64, fd, bytes, size, offset)
ACT(int, ftruncate, (int fd, off_t size), SYS_ftruncate, fd, size)
ACT(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), SYS_renameat2, from_fd, from, to_fd, to, 0)
ACT(int, unlinkat, (int fd, const char *path, int flags), SYS_unlinkat, fd, path, flags)
ACT(int, mkdirat, (int fd, const char *path, mode_t mode), SYS_mkdirat, fd, path, mode)
ACT(int, mkdir, (const char *path, mode_t mode), SYS_mkdirat, AT_FDCWD, path, mode)
ACT(int, bind, (int fd, const struct sockaddr *address, socklen_t size), SYS_bind, fd, address, size)
ACT(int, listen, (int fd, int backlog), SYS_listen, fd, backlog)
ACT(int, connect, (int fd, const struct sockaddr *address, socklen_t size), SYS_connect, fd, address, size)
ACT(int, kill, (pid_t pid, int signo), SYS_kill, pid, signo)
ACT(int, pidfd_send_signal, (int fd, int signo, siginfo_t *info, unsigned flags), SYS_pidfd_send_signal, fd, signo, info, flags)

/* Of a child, until it is somebody else. */
ACT(pid_t, setsid, (void), SYS_setsid)
ACT(int, dup2, (int from, int to), SYS_dup2, from, to)
ACT(int, chdir, (const char *path), SYS_chdir, path)
ACT(int, execve, (const char *path, char *const argv[], char *const environment[]), SYS_execve, path, argv, environment)

/* Only one that may make a file acts. */
int openat(int fd, const char *path, int flags, ...) {
        mode_t mode = 0;
        bool last;
        long r;

        if (flags & O_CREAT) {
                va_list list;

                va_start(list, flags);
                mode = va_arg(list, mode_t);
                va_end(list);
        }
        last = (flags & O_CREAT) && enter("openat");
        r = syscall(SYS_openat, fd, path, flags, mode);
        leave(last);
        return (int) r;
}

typedef int (*SpawnFunc)(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[],
                         char *const environment[]);

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[],
                char *const environment[]) {
        bool last = enter("posix_spawn");
        SpawnFunc real = (SpawnFunc) dlsym(RTLD_NEXT, "posix_spawn");
        int r = real(pid, path, actions, attributes, argv, environment);

        leave(last);
        return r;
}
