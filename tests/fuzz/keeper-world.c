/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "keeper-world.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

#include <glib.h>

#include "keeper/process.h"

/* Turns of the loop until there must be nothing left to do. */
#define TURNS_MAX 20000U

World world;

int fuzz_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
int fuzz_clock_gettime(clockid_t clock, struct timespec *ret);
int fuzz_waitid(idtype_t type, id_t id, siginfo_t *ret, int options);
int fuzz_kill(pid_t pid, int signo);
int fuzz_sigprocmask(int how, const sigset_t *set, sigset_t *ret);
int fuzz_signalfd(int fd, const sigset_t *mask, int flags);

static void close_ends(void) {
        int *const ends[] = {&world.status_fd, &world.input_fd, &world.output_fd, &world.error_fd, &world.protocol_read_fd, &world.protocol_write_fd};

        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                *ends[i] = fd_close(*ends[i]);
}

void world_init(bool (*on_idle)(void *userdata), void *userdata) {
        world = (World){
                .now_usec = USEC_PER_SEC,
                .command = -1,
                .status_fd = -EBADF,
                .input_fd = -EBADF,
                .output_fd = -EBADF,
                .error_fd = -EBADF,
                .protocol_read_fd = -EBADF,
                .protocol_write_fd = -EBADF,
                .on_idle = on_idle,
                .userdata = userdata,
        };
}

void world_done(void) {
        close_ends();
}

bool world_is_populated(void) {
        return world.alive || world.orphans > 0;
}

static void tell_child(void) {
        g_assert_cmpint(eventfd_write(world.signal_fd, 1), ==, 0);
}

void world_exit(int code, int status) {
        if (!world.alive)
                return;
        world.alive = false;
        world.zombie = true;
        world.code = code;
        world.status = status;
        world.changed = true;
        world.status_fd = fd_close(world.status_fd);
        tell_child();
}

int fuzz_clock_gettime(clockid_t clock, struct timespec *ret) {
        ret->tv_sec = (time_t) (world.now_usec / USEC_PER_SEC);
        ret->tv_nsec = (long) (world.now_usec % USEC_PER_SEC * NSEC_PER_USEC);
        return 0;
}

int fuzz_sigprocmask(int how, const sigset_t *set, sigset_t *ret) {
        return 0;
}

int fuzz_signalfd(int fd, const sigset_t *mask, int flags) {
        world.signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return world.signal_fd;
}

int fuzz_waitid(idtype_t type, id_t id, siginfo_t *ret, int options) {
        if (world.zombie) {
                world.zombie = false;
                ret->si_pid = WORLD_PID;
                ret->si_code = world.code;
                ret->si_status = world.status;
                return 0;
        }
        if (world.dead_orphans > 0) {
                world.dead_orphans--;
                ret->si_pid = WORLD_PID + 1;
                return 0;
        }
        if (!world_is_populated()) {
                errno = ECHILD;
                return -1;
        }
        ret->si_pid = 0;
        return 0;
}

int fuzz_kill(pid_t pid, int signo) {
        g_assert_cmpint(pid, ==, WORLD_PID);
        /* A number that has been reaped may be anybody's. */
        g_assert_true(world.alive || world.zombie);
        if (signo == SIGKILL)
                world_exit(CLD_KILLED, SIGKILL);
        return 0;
}

int cgroup_prepare(Cgroup *cgroup) {
        cgroup->payload_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cgroup->events_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return 0;
}

void cgroup_set_memory_high(const Cgroup *cgroup, uint64_t bytes) {
}

void cgroup_done(Cgroup *cgroup) {
        fd_close(cgroup->payload_fd);
        fd_close(cgroup->events_fd);
        *cgroup = CGROUP_EMPTY;
}

int cgroup_is_populated(const Cgroup *cgroup) {
        world.changed = false;
        return world_is_populated();
}

unsigned cgroup_signal(const Cgroup *cgroup, int signo) {
        return world.alive + world.orphans;
}

void cgroup_kill(const Cgroup *cgroup) {
        world_exit(CLD_KILLED, SIGKILL);
        if (world.n_undying > 0) {
                world.n_undying--;
                return;
        }
        world.changed |= world.orphans > 0;
        world.dead_orphans += world.orphans;
        world.orphans = 0;
        if (world.dead_orphans > 0)
                tell_child();
}

uint64_t cgroup_keyed_value(const char *text, const char *key) {
        return UINT64_MAX;
}

uint64_t cgroup_read_oom_kills(const Cgroup *cgroup) {
        return UINT64_MAX;
}

void cgroup_read_usage(const Cgroup *cgroup, struct link_done *done) {
        done->oom_kills = 0;
}

static int duplicate(int fd) {
        return fd < 0 ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int process_start(const ProcessStart *start, pid_t *ret_pid, int *ret_status_fd, enum link_stage *ret_stage) {
        int32_t command = (int32_t) strtol(start->command->arguments[0], NULL, 10);
        int fds[2];

        /* One at a time, in rising order, none twice. */
        g_assert_false(world.alive || world.zombie || world.orphans > 0);
        g_assert_cmpint(command, >, world.command);
        world.command = command;
        if (world.start_error > 0) {
                *ret_stage = world.start_stage;
                return -world.start_error;
        }

        close_ends();
        g_assert_cmpint(pipe2(fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
        world.status_fd = fds[1];
        world.input_fd = duplicate(start->input_fd);
        world.output_fd = duplicate(start->output_fd);
        world.error_fd = duplicate(start->error_fd);
        world.protocol_read_fd = duplicate(start->protocol_read_fd);
        world.protocol_write_fd = duplicate(start->protocol_write_fd);
        world.alive = world.changed = true;
        *ret_pid = WORLD_PID;
        *ret_status_fd = fds[0];
        *ret_stage = LINK_STAGE_NONE;
        return 0;
}

static int look(struct pollfd *fds, nfds_t n) {
        int ready;

        do
                ready = poll(fds, n, 0);
        while (ready < 0 && errno == EINTR); /* the fuzzer's own timer */
        g_assert_cmpint(ready, >=, 0);
        for (nfds_t i = 0; i < n; i++)
                if (fds[i].fd >= 0 && fds[i].events == POLLPRI && world.changed) {
                        fds[i].revents = POLLPRI;
                        ready++;
                }
        return ready;
}

int fuzz_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
        /* It gets to an end of what there is to do, or it would spin. */
        g_assert_cmpuint(world.n_turns++, <, TURNS_MAX);

        for (;;) {
                int ready = look(fds, n);

                if (ready > 0)
                        return ready;
                world.n_turns = 0;
                if (!world.on_idle(world.userdata)) {
                        /* Nobody is there and nothing happens: it waits for some times that come, and never for nothing. */
                        g_assert_nonnull(timeout);
                        g_assert_cmpuint(world.n_waits++, <, TURNS_MAX);
                }
                ready = look(fds, n);
                if (ready > 0)
                        return ready;
                if (timeout) {
                        world.now_usec += (uint64_t) timeout->tv_sec * USEC_PER_SEC + (uint64_t) timeout->tv_nsec / NSEC_PER_USEC;
                        return 0;
                }
        }
}
