/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keeper's loop: one process, one thread, one poll(). Nothing here waits for anybody: not for the daemon (what it is to be told is
 * kept), not for the runtime. The rooms beside this one do the work on their own fds; this one knows when. */

#include "keeper/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "keeper/clock.h"
#include "keeper/command.h"
#include "keeper/requests.h"
#include "util/names.h"

enum {
        POLL_LINK,
        POLL_SIGNAL = POLL_LINK + LINK_END_POLL_FDS,
        POLL_STATUS,
        POLL_CGROUP,
        POLL_MEMORY,
        POLL_INPUT,
        POLL_OUTPUT,
        POLL_CONTROL = POLL_OUTPUT + OUTPUT_POLL_FDS,
        POLL_READERS = POLL_CONTROL + CONTROL_POLL_FDS,
        POLL_JOURNAL = POLL_READERS + READERS_POLL_FDS,
        POLL_FDS,
};

/* For readers who haven't taken all, when nobody else waits for us any more. */
#define LINGER_USEC USEC_PER_SEC

static void on_sent(void *userdata, uint64_t connection, uint32_t cookie, int error) {
        Keeper *keeper = userdata;

        link_end_reply(&keeper->link, connection, cookie, -error, -EBADF);
}

/* The loop takes signals as events, and lets none end or stop us: the scope is told to end by signals that reach us too. */
static int open_signals(void) {
        struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
        sigset_t all, child;
        int fd;

        if (sigaction(SIGCHLD, &action, NULL) < 0)
                return -errno;
        sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return -errno;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

int keeper_init(Keeper *keeper, int link_fd, int ring_fd, int spec_fd, int socket_fd) {
        struct link_hello hello = {.type = LINK_HELLO, .version = LINK_VERSION, .pid = (uint32_t) getpid()};
        int r;

        keeper->cgroup = CGROUP_EMPTY;
        keeper->memory = MEMORY_EMPTY;
        keeper->runtime_score = MEMORY_SCORE_NONE;
        keeper->signal_fd = keeper->directory_fd = keeper->status_fd = -EBADF;
        keeper->socket_fd = socket_fd;
        keeper->abandon_usec = keeper->kill_usec = keeper->drain_usec = keeper->linger_usec = USEC_INFINITY;
        link_end_init(&keeper->link, link_fd, ring_fd);
        input_init(&keeper->input);
        keeper_journal_init(&keeper->journal);
        readers_init(&keeper->readers, &keeper->ring);
        output_init(&keeper->output, &keeper->ring, &keeper->readers);
        control_init(&keeper->control, &keeper->events, on_sent, keeper);

        r = ring_writer_init(&keeper->ring, ring_fd);
        if (r < 0)
                return r;
        keeper->signal_fd = open_signals();
        if (keeper->signal_fd < 0)
                return keeper->signal_fd;

        /* Told as the failure of the first command. */
        keeper->plan_error = plan_load(&keeper->plan, spec_fd);
        if (keeper->plan_error == 0 && !(keeper->plan.spec.header->flags & SPEC_LISTEN))
                keeper->socket_fd = fd_close(keeper->socket_fd);
        if (keeper->plan_error == 0)
                keeper->patience_usec = keeper->plan.spec.header->abandon_usec;
        if (keeper->plan_error == 0 && keeper->plan.journal_fields)
                keeper_journal_open(&keeper->journal, keeper->plan.journal_fields, keeper->plan.journal_socket, ring_fd);

        hello.n_commands = keeper->plan.n_commands;
        link_end_tell(&keeper->link, FACT_HELLO, &hello, sizeof(hello));
        return 0;
}

void keeper_done(Keeper *keeper) {
        if (keeper->directory_fd >= 0) {
                if (!keeper->was_given_socket)
                        (void) unlinkat(keeper->directory_fd, RM_KEEPER_SOCKET, 0);
                (void) unlinkat(keeper->directory_fd, RM_CONTROL_SOCKET, 0);
                (void) unlinkat(keeper->directory_fd, RM_NOTIFY_SOCKET, 0);
        }
        control_done(&keeper->control);
        events_clear(&keeper->events);
        input_close(&keeper->input);
        output_done(&keeper->output);
        readers_done(&keeper->readers);
        keeper_journal_done(&keeper->journal);
        link_end_done(&keeper->link);
        ring_writer_done(&keeper->ring);
        plan_unload(&keeper->plan);
        memory_close(&keeper->memory);
        cgroup_done(&keeper->cgroup);
        fd_close(keeper->directory_fd);
        fd_close(keeper->socket_fd);
        fd_close(keeper->signal_fd);
        fd_close(keeper->status_fd);
}

/* Nobody is there and nothing runs: how long that may last. Returns true when it has lasted too long. */
static bool is_abandoned(Keeper *keeper) {
        if (keeper->link.fd >= 0 || command_runs(keeper)) {
                keeper->abandon_usec = USEC_INFINITY;
                return false;
        }
        if (keeper->state == COMMAND_NONE || !keeper->prepared)
                return true; /* nothing has happened, or nobody could find us */
        if (keeper->abandon_usec == USEC_INFINITY)
                keeper->abandon_usec = clock_add_usec(clock_usec(CLOCK_MONOTONIC), keeper->patience_usec);
        if (clock_usec(CLOCK_MONOTONIC) < keeper->abandon_usec)
                return false;

        /* Who came at the last moment has come. */
        link_end_accept(&keeper->link, &keeper->events);
        return keeper->link.fd < 0;
}

/* All has been told and collected. What readers have yet to take is theirs for a moment; then they meet an end without its frame, and ask again. */
static bool has_finished(Keeper *keeper) {
        if (!keeper->collected)
                return false;
        if (!readers_have_work(&keeper->readers))
                return true;
        if (keeper->linger_usec == USEC_INFINITY) {
                keeper->linger_usec = clock_usec(CLOCK_MONOTONIC) + LINGER_USEC;
                link_end_done(&keeper->link);
        }
        return clock_usec(CLOCK_MONOTONIC) >= keeper->linger_usec;
}

static uint64_t next_deadline(const Keeper *keeper) {
        uint64_t deadline_usec = output_deadline(&keeper->output);

        deadline_usec = MIN_OF(deadline_usec, keeper->kill_usec);
        deadline_usec = MIN_OF(deadline_usec, keeper->drain_usec);
        deadline_usec = MIN_OF(deadline_usec, keeper->abandon_usec);
        return MIN_OF(deadline_usec, keeper->linger_usec);
}

static int wait_for_events(Keeper *keeper, struct pollfd *fds) {
        uint64_t deadline_usec = next_deadline(keeper);
        bool listen = command_runs(keeper) && !keeper->memory.settling;
        struct timespec timeout = {};

        if (command_runs(keeper))
                deadline_usec = MIN_OF(deadline_usec, keeper->memory.look_usec);
        deadline_usec = MIN_OF(deadline_usec, keeper_journal_deadline(&keeper->journal));
        link_end_prepare_poll(&keeper->link, &fds[POLL_LINK]);
        fds[POLL_SIGNAL] = (struct pollfd){.fd = keeper->signal_fd, .events = POLLIN};
        fds[POLL_STATUS] = (struct pollfd){.fd = keeper->status_fd, .events = POLLIN};
        fds[POLL_CGROUP] = (struct pollfd){.fd = keeper->state == COMMAND_ENDING ? keeper->cgroup.events_fd : -1, .events = POLLPRI};
        fds[POLL_MEMORY] = (struct pollfd){.fd = listen ? keeper->memory.events_fd : -1, .events = POLLPRI};
        input_prepare_poll(&keeper->input, &fds[POLL_INPUT]);
        output_prepare_poll(&keeper->output, &fds[POLL_OUTPUT]);
        control_prepare_poll(&keeper->control, &fds[POLL_CONTROL]);
        readers_prepare_poll(&keeper->readers, &fds[POLL_READERS]);
        keeper_journal_prepare_poll(&keeper->journal, &fds[POLL_JOURNAL]);

        if (deadline_usec != USEC_INFINITY && !keeper->more_to_reap) {
                uint64_t now_usec = clock_usec(CLOCK_MONOTONIC);
                uint64_t left_usec = deadline_usec > now_usec ? deadline_usec - now_usec : 0;

                timeout.tv_sec = (time_t) (left_usec / USEC_PER_SEC);
                timeout.tv_nsec = (long) (left_usec % USEC_PER_SEC * NSEC_PER_USEC);
        }
        if (ppoll(fds, POLL_FDS, deadline_usec == USEC_INFINITY && !keeper->more_to_reap ? NULL : &timeout, NULL) < 0)
                return errno == EINTR ? 0 : -errno;
        return 0;
}

/* The runtime's side first: what it said before it died is known before its death is told. */
static void process_events(Keeper *keeper, const struct pollfd *fds) {
        output_process(&keeper->output, &fds[POLL_OUTPUT], keeper->buffer, sizeof(keeper->buffer));
        /* Whatever poll() has seen: a command is executed before it says anything. */
        if (keeper->status_fd >= 0)
                command_check_status(keeper);
        control_process(&keeper->control, &fds[POLL_CONTROL]);
        input_process(&keeper->input, &fds[POLL_INPUT]);
        if (keeper->more_to_reap || fds[POLL_SIGNAL].revents != 0)
                command_reap(keeper);
        if (fds[POLL_MEMORY].revents != 0 || (keeper->memory.look_usec != USEC_INFINITY && clock_usec(CLOCK_MONOTONIC) >= keeper->memory.look_usec))
                command_check_memory(keeper);
        if (keeper->state == COMMAND_ENDING)
                command_check_payload(keeper);
        if (keeper->output.matched_line != 0) {
                (void) events_add(&keeper->events, LINK_CONTROL_LINE, keeper->output.matched_line, NULL, 0);
                keeper->output.matched_line = 0;
        }
        readers_process(&keeper->readers, &fds[POLL_READERS], keeper->buffer, sizeof(keeper->buffer));

        if (keeper->link.fd >= 0 && fds[POLL_LINK + LINK_END_POLL_CONNECTION].revents != 0)
                requests_process(keeper);
        if (keeper->link.listener_fd >= 0 && fds[POLL_LINK + LINK_END_POLL_LISTENER].revents != 0) {
                /* What the old connection has sent was sent before. */
                requests_process(keeper);
                link_end_accept(&keeper->link, &keeper->events);
        }
        keeper_journal_process(&keeper->journal, &fds[POLL_JOURNAL], keeper->buffer);
        if (keeper->resume_control) {
                keeper->resume_control = false;
                control_resume(&keeper->control);
        }
}

int keeper_loop(Keeper *keeper) {
        for (;;) {
                struct pollfd fds[POLL_FDS] = {};
                int r;

                link_end_flush(&keeper->link, &keeper->events, ring_writer_last(&keeper->ring));
                if (has_finished(keeper) || (!keeper->collected && is_abandoned(keeper))) {
                        keeper_journal_finish(&keeper->journal, keeper->buffer);
                        return 0;
                }
                r = wait_for_events(keeper, fds);
                if (r < 0)
                        return r;
                process_events(keeper, fds);
        }
}
