/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kernel does to the payload for want of memory, while it does it. The kernel says how many processes it has killed, not which:
 * whether the first process was one of them is what this room finds out, for that is an end and the others are not.
 *
 * The kernel counts a kill, then sends SIGKILL. So if the first process died of a SIGKILL that was not ours, and the count says that
 * somebody was killed who is not accounted for, it was the one. Accounted for is who was counted SETTLE_USEC ago and more, when the first
 * process was neither dead nor about to be. What can't be told: when a child is killed for memory, and within SETTLE_USEC of it a
 * stranger sends SIGKILL to the first process, that looks like two victims of which one is yet to be counted, and is told as oom-kill. */

#include "keeper/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "keeper/clock.h"

/* From the count of a kill until its signal must have been sent; and how long the kernel's next word isn't listened to, which under
 * pressure has one every few milliseconds. */
#define SETTLE_USEC (50 * USEC_PER_MSEC)

/* News of each kind are told no more often. */
#define TELL_OOM_USEC USEC_PER_SEC
#define TELL_HIGH_USEC (5 * USEC_PER_SEC)

#define SIGKILL_BIT (UINT64_C(1) << (SIGKILL - 1))

/* As a part of the limit: a hundred is a tenth of it. */
#define STAND_BACK 100

static int write_score(const char *path, int score) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return dprintf(fd, "%d\n", score) < 0 ? -errno : 0;
}

int memory_stand_back(void) {
        static const char path[] = "/proc/self/oom_score_adj";
        char buffer[16];
        int score, fd;
        ssize_t n;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return MEMORY_SCORE_NONE;
        n = read(fd, buffer, sizeof(buffer) - 1);
        fd_close(fd);
        if (n <= 0)
                return MEMORY_SCORE_NONE;
        buffer[n] = '\0';
        score = (int) strtol(buffer, NULL, 10);
        /* Who isn't privileged may go down to where a privileged process has put it: systemd's user managers leave room. */
        return write_score(path, score - STAND_BACK) < 0 ? MEMORY_SCORE_NONE : score;
}

void memory_set_score(pid_t pid, int score) {
        char path[64];

        if (score == MEMORY_SCORE_NONE)
                return;
        (void) snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
        (void) write_score(path, score);
}

void memory_open(Memory *memory, const Cgroup *cgroup) {
        /* MemoryHigh= is the payload's alone, and a kill is counted where the victim was, whosever limit it was for. */
        memory->events_fd = openat(cgroup->payload_fd, "memory.events", O_RDONLY | O_CLOEXEC);
}

void memory_close(Memory *memory) {
        fd_close(memory->events_fd);
        *memory = MEMORY_EMPTY;
}

/* A field of /proc/PID/status, in hexadecimal. */
static uint64_t status_bits(const char *status, const char *field) {
        const char *found = strstr(status, field);

        return found ? strtoull(found + strlen(field), NULL, 16) : 0;
}

/* Whether a process is dead, or has a SIGKILL that it can't survive. Of one that nobody lets us see it isn't known, so it is not said. */
static bool is_dying(pid_t pid) {
        char path[64], status[4096];
        const char *state;
        int fd;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        n = read(fd, status, sizeof(status) - 1);
        fd_close(fd);
        if (n <= 0)
                return n < 0 && errno == ESRCH;
        status[n] = '\0';

        state = strstr(status, "\nState:\t");
        if (state && (state[8] == 'Z' || state[8] == 'X'))
                return true;
        return ((status_bits(status, "\nSigPnd:\t") | status_bits(status, "\nShdPnd:\t")) & SIGKILL_BIT) != 0;
}

/* The kills in the payload. Rearms events_fd. */
static uint64_t read_counters(Memory *memory, const Cgroup *cgroup) {
        uint64_t kills = cgroup_read_oom_kills(cgroup);
        char buffer[1024];
        ssize_t n;

        n = pread(memory->events_fd, buffer, sizeof(buffer) - 1, 0);
        if (n > 0) {
                uint64_t high;

                buffer[n] = '\0';
                high = cgroup_keyed_value(buffer, "high");
                if (high != UINT64_MAX)
                        memory->high = high;
        }
        return kills == UINT64_MAX ? memory->seen : kills;
}

/* Puts into told what is news and may be told by now; the rest has its time. */
static bool tell(Memory *memory) {
        uint64_t now_usec = clock_usec(CLOCK_MONOTONIC);
        bool news = false;

        if (memory->others > memory->told.oom_kills) {
                if (now_usec >= memory->tell_oom_usec) {
                        memory->told.oom_kills = memory->others;
                        memory->tell_oom_usec = now_usec + TELL_OOM_USEC;
                        news = true;
                } else
                        memory->look_usec = MIN_OF(memory->look_usec, memory->tell_oom_usec);
        }
        if (memory->high > memory->told.high) {
                if (now_usec >= memory->tell_high_usec) {
                        memory->told.high = memory->high;
                        memory->tell_high_usec = now_usec + TELL_HIGH_USEC;
                        news = true;
                } else
                        memory->look_usec = MIN_OF(memory->look_usec, memory->tell_high_usec);
        }
        return news;
}

bool memory_begin(Memory *memory, const Cgroup *cgroup, uint32_t command) {
        bool known = memory->told.main_killed || memory->told.oom_kills > 0 || memory->told.high > 0;

        memory->told.type = LINK_MEMORY;
        memory->told.command = command;
        memory->told.main_killed = 0;
        if (memory->events_fd < 0)
                return false; /* the first: nobody was killed before it */
        memory->seen = memory->others = read_counters(memory, cgroup);
        return tell(memory) || known;
}

bool memory_look(Memory *memory, const Cgroup *cgroup, pid_t main) {
        uint64_t kills, high = memory->high;

        memory->look_usec = USEC_INFINITY;
        memory->settling = false;
        if (memory->events_fd < 0)
                return false;

        kills = read_counters(memory, cgroup);
        if (main <= 0)
                memory->others = kills - memory->told.main_killed;
        else if (memory->others < memory->seen && !is_dying(main))
                memory->others = memory->seen;
        if (kills > memory->others || memory->high != high) {
                memory->look_usec = clock_usec(CLOCK_MONOTONIC) + SETTLE_USEC;
                memory->settling = true;
        }
        memory->seen = kills;
        return tell(memory);
}

bool memory_reaped(Memory *memory, const Cgroup *cgroup, const siginfo_t *info, bool killed_here) {
        if (memory->events_fd < 0)
                return false;
        memory->seen = read_counters(memory, cgroup);
        memory->told.main_killed = info->si_code != CLD_EXITED && info->si_status == SIGKILL && !killed_here && memory->seen > memory->others;
        memory->others = memory->seen - memory->told.main_killed;
        /* In this order: both are to be done. */
        return tell(memory) || memory->told.main_killed;
}
