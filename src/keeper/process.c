/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The birth of a command: in the payload cgroup from its first instruction, in a session of its own, with nothing of ours but what it
 * is meant to have. Everything between fork and exec is here, and calls only what may be called there. */

#include "keeper/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "util/names.h"

static __attribute__((noreturn)) void fail(int status_fd, enum link_stage stage, int error) {
        ProcessFailure failure = {.stage = stage, .error = error};

        (void) !write(status_fd, &failure, sizeof(failure));
        _exit(127);
}

/* dup2() leaves the copy without CLOEXEC, which is what the standard streams need. */
static bool place_fd(int fd, int place) {
        return dup2(fd, place) == place;
}

static int place_streams(const ProcessStart *start) {
        _cleanup_close_ int null_fd = -EBADF;

        if (start->input_fd < 0) {
                null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (null_fd < 0)
                        return -errno;
        }
        if (!place_fd(start->input_fd < 0 ? null_fd : start->input_fd, STDIN_FILENO) || !place_fd(start->output_fd, STDOUT_FILENO) ||
            !place_fd(start->error_fd, STDERR_FILENO))
                return -errno;
        if (start->protocol_read_fd >= 0 &&
            (!place_fd(start->protocol_read_fd, RM_PROTOCOL_READ_FD) || !place_fd(start->protocol_write_fd, RM_PROTOCOL_WRITE_FD)))
                return -errno;

        /* Not closed at once: the status pipe has to stay until execve() has worked. */
        if (close_range(start->protocol_read_fd >= 0 ? RM_PROTOCOL_WRITE_FD + 1 : STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                return -errno;
        return 0;
}

/* Signals that came since the fork are blocked and wait; those that end a process do so when the mask goes. */
static void reset_signals(void) {
        /* The kernel's struct sigaction, all default. By hand, since glibc doesn't let its own two signals be changed, and posix_spawn(), by which the keeper
         * was started, leaves those ignored. */
        static const unsigned long action[16];
        sigset_t none;

        for (int signo = 1; signo < NSIG; signo++)
                (void) syscall(SYS_rt_sigaction, signo, action, NULL, NSIG / 8); /* EINVAL for those nobody may change */
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static __attribute__((noreturn)) void run_child(const ProcessStart *start, pid_t parent, bool entered, int status_fd) {
        int r;

        /* If the keeper was killed before this worked, nobody else would end us. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                fail(status_fd, LINK_STAGE_PROCESS, ESRCH);

        if (!entered) {
                r = cgroup_enter(start->cgroup);
                if (r < 0)
                        fail(status_fd, LINK_STAGE_CGROUP, -r);
        }
        if (setsid() < 0)
                fail(status_fd, LINK_STAGE_PROCESS, errno);
        r = place_streams(start);
        if (r < 0)
                fail(status_fd, LINK_STAGE_STDIO, -r);
        if (start->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
                fail(status_fd, LINK_STAGE_STDIO, errno);
        if (start->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0)
                fail(status_fd, LINK_STAGE_PROCESS, errno);
        if (chdir(start->working_directory ?: "/") < 0)
                fail(status_fd, LINK_STAGE_DIRECTORY, errno);

        reset_signals();
        (void) execve(start->command->executable, start->command->arguments, start->command->environment);
        fail(status_fd, LINK_STAGE_EXEC, errno);
}

/* fork(), but born in the payload. */
static pid_t fork_into(const Cgroup *cgroup) {
        struct clone_args arguments = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t) cgroup->payload_fd,
        };

        return (pid_t) syscall(SYS_clone3, &arguments, sizeof(arguments));
}

int process_start(const ProcessStart *start, pid_t *ret_pid, int *ret_status_fd, enum link_stage *ret_stage) {
        _cleanup_close_ int status_fd = -EBADF, child_fd = -EBADF;
        pid_t pid, parent = getpid();
        bool entered = true;
        int fds[2];

        *ret_stage = LINK_STAGE_FORK;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        status_fd = fds[0];
        child_fd = fds[1];
        if (fcntl(status_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        pid = fork_into(start->cgroup);
        if (pid < 0 && errno != EAGAIN && errno != ENOMEM) {
                /* Old kernels and seccomp filters know no clone3(): then it moves itself. */
                entered = false;
                pid = fork();
        }
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(start, parent, entered, child_fd);

        *ret_stage = LINK_STAGE_NONE;
        *ret_pid = pid;
        *ret_status_fd = TAKE_FD(status_fd);
        return 0;
}
