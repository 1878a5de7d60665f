/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The life of a command, from LINK_RUN until it has settled: each step of it is a function here, called by the loop when something has
 * happened or by a request of the daemon. When the first process ends, what it left behind is stopped; when the payload is
 * empty, the output and the record are complete. */

#include "keeper/command.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "keeper/clock.h"
#include "keeper/process.h"
#include "keeper/start.h"

/* A flood of dying processes must not keep the rest waiting. */
#define REAPS_MAX 256U

/* Who was told to end together with the main process, and does, is not left behind; it may be reaped a moment later. */
#define DYING_USEC (500 * USEC_PER_MSEC)

/* Helpers of the main process notice its end and go by themselves (erl_child_setup of an Erlang node, the other end of a pipe). */
#define LEAVING_USEC (250 * USEC_PER_MSEC)

/* For lossless readers to take what a runtime that has ended left in its pipes. */
#define DRAIN_USEC USEC_PER_SEC

/* Time for what has been killed to be gone, before it is looked at again. */
#define KILL_AGAIN_USEC (100 * USEC_PER_MSEC)

bool command_runs(const Keeper *keeper) {
        return keeper->state == COMMAND_STARTING || keeper->state == COMMAND_RUNNING || keeper->state == COMMAND_ENDING;
}

static void tell_memory(Keeper *keeper) {
        link_end_tell(&keeper->link, FACT_MEMORY, &keeper->memory.told, sizeof(keeper->memory.told));
}

/* Nothing runs and nothing will: the last fact. */
static void enter_done(Keeper *keeper) {
        struct link_done done = {
                .type = LINK_DONE,
                .leftovers = keeper->leftovers,
                .cpu_usage_nsec = UINT64_MAX,
                .memory_peak = UINT64_MAX,
                .oom_kills = UINT64_MAX,
                .last_line = ring_writer_last(&keeper->ring),
                .monotonic_usec = clock_usec(CLOCK_MONOTONIC),
        };

        if (keeper->link.facts[FACT_DONE].known)
                return;
        input_close(&keeper->input);
        control_drain(&keeper->control);
        plan_unload(&keeper->plan);
        if (keeper->cgroup.payload_fd >= 0)
                cgroup_read_usage(&keeper->cgroup, &done);
        link_end_tell(&keeper->link, FACT_DONE, &done, sizeof(done));
        readers_end(&keeper->readers);
}

/* The payload is empty: what its pipes hold is all there will be. */
static void enter_settled(Keeper *keeper) {
        output_drain(&keeper->output, keeper->buffer, sizeof(keeper->buffer));
        keeper->state = COMMAND_SETTLED;
        keeper->kill_usec = keeper->drain_usec = USEC_INFINITY;

        if (keeper->failed.stage != LINK_STAGE_NONE)
                link_end_tell(&keeper->link, FACT_FAILED, &keeper->failed, sizeof(keeper->failed));
        else {
                keeper->exited.last_line = ring_writer_last(&keeper->ring);
                keeper->exited.settled = 1;
                link_end_tell(&keeper->link, FACT_EXITED, &keeper->exited, sizeof(keeper->exited));
        }
        if (keeper->last || keeper->finishing)
                enter_done(keeper);
}

static void enter_failed(Keeper *keeper, enum link_stage stage, int error) {
        keeper->failed.stage = stage;
        keeper->failed.error = -error;
        enter_settled(keeper);
}

static void kill_payload(Keeper *keeper) {
        /* Who has outlived the main process and whatever asked them to end was left behind. */
        if (keeper->state == COMMAND_ENDING && !keeper->counted)
                keeper->leftovers += cgroup_signal(&keeper->cgroup, 0);
        keeper->killed = keeper->counted = keeper->main_killed = true;
        cgroup_kill(&keeper->cgroup);
        /* Where it can't be born in the payload it may not have got there yet; and it may have left. */
        if (keeper->pid > 0)
                (void) kill(keeper->pid, SIGKILL);
        if (keeper->state == COMMAND_ENDING)
                keeper->kill_usec = clock_add_usec(clock_usec(CLOCK_MONOTONIC), KILL_AGAIN_USEC);
}

/* Who is left now was left behind: counted, asked to end, and given some time for it. */
static void ask_leftovers(Keeper *keeper) {
        uint64_t patience_usec = keeper->finishing ? 0 : keeper->plan.spec.header->leftover_usec;

        keeper->counted = true;
        keeper->leftovers += cgroup_signal(&keeper->cgroup, patience_usec > 0 ? SIGTERM : 0);
        keeper->kill_usec = clock_add_usec(clock_usec(CLOCK_MONOTONIC), patience_usec);
}

/* fork() blocks signals: who was forking when all were told to end has a child that was told nothing. It is no leftover yet. */
static void ask_again(Keeper *keeper) {
        keeper->asked = false;
        (void) cgroup_signal(&keeper->cgroup, SIGTERM);
        keeper->kill_usec = clock_usec(CLOCK_MONOTONIC) + DYING_USEC;
}

/* Nothing is left but output, which is read as a lossless reader takes it: for a moment. */
static bool is_draining(Keeper *keeper) {
        if (keeper->finishing || !output_is_held(&keeper->output))
                return false;
        if (keeper->drain_usec == USEC_INFINITY) {
                keeper->drain_usec = clock_usec(CLOCK_MONOTONIC) + DRAIN_USEC;
                readers_hurry(&keeper->readers);
        }
        /* Also if somebody has asked for it meanwhile: there is nobody to be killed. */
        keeper->kill_usec = USEC_INFINITY;
        return clock_usec(CLOCK_MONOTONIC) < keeper->drain_usec;
}

/* Settles when nothing is left; what is left and has had its time goes one step further. */
void command_check_payload(Keeper *keeper) {
        if (cgroup_is_populated(&keeper->cgroup) == 0) {
                if (!is_draining(keeper))
                        enter_settled(keeper);
                return;
        }
        if (keeper->drain_usec != USEC_INFINITY) {
                /* It was empty, and somebody has come back. */
                keeper->drain_usec = USEC_INFINITY;
                keeper->kill_usec = clock_usec(CLOCK_MONOTONIC);
        }
        if (!keeper->counted && clock_usec(CLOCK_MONOTONIC) >= keeper->kill_usec) {
                if (keeper->asked)
                        ask_again(keeper);
                else
                        ask_leftovers(keeper);
        }
        if (keeper->counted && clock_usec(CLOCK_MONOTONIC) >= keeper->kill_usec)
                kill_payload(keeper);
}

void command_check_memory(Keeper *keeper) {
        if (command_runs(keeper) && memory_look(&keeper->memory, &keeper->cgroup, keeper->pid))
                tell_memory(keeper);
}

/* The first process has been reaped; others may be left. */
static void enter_ending(Keeper *keeper, const siginfo_t *info) {
        keeper->pid = 0;
        keeper->state = COMMAND_ENDING;
        if (memory_reaped(&keeper->memory, &keeper->cgroup, info, keeper->main_killed))
                tell_memory(keeper);
        keeper->exited.code = info->si_code;
        keeper->exited.status = info->si_status;
        keeper->exited.last_line = ring_writer_last(&keeper->ring);
        if (keeper->failed.stage == LINK_STAGE_NONE)
                link_end_tell(&keeper->link, FACT_EXITED, &keeper->exited, sizeof(keeper->exited));

        keeper->kill_usec = clock_usec(CLOCK_MONOTONIC) + (keeper->asked && !keeper->killed ? DYING_USEC : LEAVING_USEC);
        command_check_payload(keeper);
}

/* The status pipe tells how the start went: a failure, or its end when execve() has closed it. */
void command_check_status(Keeper *keeper) {
        struct link_executed executed = {
                .type = LINK_EXECUTED,
                .command = keeper->command,
                .pid = (uint32_t) keeper->pid,
                .monotonic_usec = clock_usec(CLOCK_MONOTONIC),
        };
        ProcessFailure failure;
        ssize_t n;

        n = read(keeper->status_fd, &failure, sizeof(failure));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        keeper->status_fd = fd_close(keeper->status_fd);
        if (keeper->state == COMMAND_STARTING)
                keeper->state = COMMAND_RUNNING;

        if (n == (ssize_t) sizeof(failure)) {
                keeper->failed.stage = failure.stage;
                keeper->failed.error = failure.error;
        } else {
                memory_set_score(keeper->pid, keeper->runtime_score);
                link_end_tell(&keeper->link, FACT_EXECUTED, &executed, sizeof(executed));
        }
}

/* Reaps whoever has died: the command's first process, and all that was orphaned below it. */
void command_reap(Keeper *keeper) {
        struct signalfd_siginfo ignored;

        (void) !read(keeper->signal_fd, &ignored, sizeof(ignored));
        keeper->more_to_reap = false;

        for (unsigned i = 0; i < REAPS_MAX; i++) {
                siginfo_t info = {};

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                        return;
                if (info.si_pid != keeper->pid)
                        continue;
                if (keeper->status_fd >= 0)
                        command_check_status(keeper);
                enter_ending(keeper, &info);
        }
        keeper->more_to_reap = true;
}

int command_run(Keeper *keeper, uint32_t command) {
        enum link_stage stage = LINK_STAGE_NONE;
        int r;

        if (keeper->state != COMMAND_NONE && command == keeper->command)
                return 0; /* a daemon that came back says what the one before it had said */
        if (keeper->finishing || keeper->link.facts[FACT_DONE].known || command_runs(keeper))
                return -EBADMSG;
        if (keeper->plan_error == 0 && command >= keeper->plan.n_commands)
                return -EBADMSG;
        if (keeper->state == COMMAND_SETTLED && command < keeper->command)
                return -EBADMSG;

        keeper->command = command;
        keeper->last = keeper->plan_error < 0 || command == keeper->plan.n_commands - 1;
        keeper->asked = keeper->killed = keeper->main_killed = keeper->counted = false;
        keeper->failed = (struct link_failed){.type = LINK_FAILED, .command = command};
        keeper->exited = (struct link_exited){.type = LINK_EXITED, .command = command};
        link_end_forget(&keeper->link, FACT_EXECUTED);
        link_end_forget(&keeper->link, FACT_FAILED);
        link_end_forget(&keeper->link, FACT_EXITED);

        if (memory_begin(&keeper->memory, &keeper->cgroup, command))
                tell_memory(keeper);
        r = start_process(keeper, &stage);
        if (r < 0)
                enter_failed(keeper, stage, r);
        else
                keeper->state = COMMAND_STARTING;
        return 0;
}

int command_signal(Keeper *keeper, enum link_who who, int signo) {
        if (!command_runs(keeper))
                return -ESRCH;

        if (who == LINK_WHO_ALL) {
                if (signo == SIGKILL)
                        kill_payload(keeper);
                else {
                        keeper->asked |= signo == SIGTERM || signo == SIGHUP || signo == SIGINT || signo == SIGQUIT;
                        (void) cgroup_signal(&keeper->cgroup, signo);
                }
                return 0;
        }

        if (keeper->pid <= 0)
                return -ESRCH;
        keeper->main_killed |= signo == SIGKILL;
        if (kill(keeper->pid, signo) < 0)
                return -errno;
        if (signo == SIGTERM || signo == SIGHUP)
                (void) kill(keeper->pid, SIGCONT);
        return 0;
}

void command_collect(Keeper *keeper) {
        if (keeper->link.facts[FACT_DONE].known && keeper->link.facts[FACT_DONE].sent) {
                keeper->collected = true;
                return;
        }
        keeper->finishing = true;
        if (command_runs(keeper))
                kill_payload(keeper);
        else
                enter_done(keeper);
}
