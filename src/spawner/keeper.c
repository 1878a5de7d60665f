/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts keepers: nothing else here executes a program. The child is the user from its first moment on, isn't dumpable, and runs nothing of the user's before
 * it is in the runtime's own cgroup, so that a user never has a process in ours. No argument, no environment, no terminal; four fds at their places and nothing
 * else.
 *
 * Between fork and exec there are only async-signal-safe calls. */

#include "spawner/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawner/identity.h"
#include "util/link.h"
#include "util/macro.h"

/* Where the daemon's four go, in the order of SPAWNER_START; the last is the socket that the keeper listens on. */
#define FIRST_FD LINK_FD
#define GATE_FD (FIRST_FD + (int) SPAWNER_FDS)
#define STATUS_FD (GATE_FD + 1)

/* All of them first out of the way of all their places. */
static int place_fds(const int fds[static SPAWNER_FDS], int gate, int status) {
        int from[SPAWNER_FDS + 2], null;

        for (size_t i = 0; i < ELEMENTSOF(from); i++) {
                int fd = i < SPAWNER_FDS ? fds[i] : i == SPAWNER_FDS ? gate : status;

                from[i] = fcntl(fd, F_DUPFD_CLOEXEC, STATUS_FD + 1);
                if (from[i] < 0)
                        return -errno;
        }
        null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (null < 0)
                return -errno;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (null == fd ? fcntl(fd, F_SETFD, 0) < 0 : dup2(null, fd) < 0)
                        return -errno;
        for (size_t i = 0; i < ELEMENTSOF(from); i++)
                if (dup3(from[i], FIRST_FD + (int) i, i < SPAWNER_FDS ? 0 : O_CLOEXEC) < 0)
                        return -errno;
        return close_range(STATUS_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

static int reset_signals(void) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigset_t none;

        for (int signo = 1; signo < NSIG; signo++)
                (void) sigaction(signo, &action, NULL);
        sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int become_user(const Account *account) {
        if (setsid() < 0)
                return -errno;
        (void) umask(022);
        if (chdir("/") < 0)
                return -errno;
        return identity_assume(account);
}

static _Noreturn void child(const char *path, const Account *account, const int fds[static SPAWNER_FDS], int gate, int status) {
        char *const argv[] = {(char *) "runtime-keeper", NULL}, *const environment[] = {NULL};
        int32_t error;
        char go;
        int r;

        r = place_fds(fds, gate, status);
        if (r >= 0) {
                status = STATUS_FD;
                r = become_user(account);
        }
        if (r >= 0)
                r = reset_signals();
        if (r >= 0) {
                if (read(GATE_FD, &go, 1) != 1)
                        _exit(EXIT_FAILURE);
                (void) execve(path, argv, environment);
                r = -errno;
        }
        error = r;
        (void) !write(status, &error, sizeof(error));
        _exit(EXIT_FAILURE);
}

int keeper_fork(const char *path, const Account *account, const int fds[static SPAWNER_FDS], KeeperProcess *ret) {
        _cleanup_close_ int gate_read = -EBADF, gate_write = -EBADF, status_read = -EBADF, status_write = -EBADF;
        int gate[2], status[2];
        pid_t pid;

        if (pipe2(gate, O_CLOEXEC) < 0)
                return -errno;
        gate_read = gate[0];
        gate_write = gate[1];
        if (pipe2(status, O_CLOEXEC) < 0)
                return -errno;
        status_read = status[0];
        status_write = status[1];
        if (fcntl(status_read, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child(path, account, fds, gate_read, status_write);
        *ret = (KeeperProcess){.pid = pid, .gate_fd = TAKE_FD(gate_write), .status_fd = TAKE_FD(status_read)};
        return 0;
}

int keeper_let_go(KeeperProcess *process) {
        ssize_t n;

        n = write(process->gate_fd, "", 1);
        process->gate_fd = fd_close(process->gate_fd);
        return n < 0 ? -errno : 0;
}

int keeper_read_status(const KeeperProcess *process) {
        int32_t error;
        ssize_t n;

        n = read(process->status_fd, &error, sizeof(error));
        if (n < 0)
                return -errno;
        return n == (ssize_t) sizeof(error) && error < 0 ? error : 0;
}

void keeper_process_done(KeeperProcess *process) {
        process->gate_fd = fd_close(process->gate_fd);
        process->status_fd = fd_close(process->status_fd);
}
