/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the keeper says, and what becomes of it, top down in the order of a runtime's life: setup steps one by one, the command, the handshake, ready; then how
 * the processes ended, and that nothing is left. A keeper is checked as a stranger: its facts count only in the order in which they can come. */

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "core/runtime-private.h"
#include "util/message-ids.h"
#include "util/names.h"

/* From the end of the control connection to that of its process. */
#define CLOSED_USEC (500 * USEC_PER_MSEC)

void runtime_run(Runtime *runtime, uint32_t command) {
        runtime->run_sent = true;
        runtime->told = command;
        runtime->is_told = true;
        /* The first is asked for under a record that was written before the scope was. */
        if (runtime->started)
                (void) runtime_save(runtime);
        (void) keeper_link_run(runtime->link, command);
}

/* When a keeper says that something happened: it may have been long ago, but not in the future. */
static uint64_t runtime_fact_usec(uint64_t usec) {
        return MIN_OF(usec, now_usec(CLOCK_MONOTONIC));
}

static void runtime_enter_preparing(Runtime *runtime, uint64_t since_usec) {
        const KindPlanStep *step = &runtime->plan->steps[runtime->command];
        uint64_t timeout_usec = runtime->options->timeout_setup_usec;

        if (timeout_usec == TIME_UNSET)
                timeout_usec = step->timeout_usec != KIND_UNSET ? step->timeout_usec : SETUP_TIMEOUT_DEFAULT_USEC;
        runtime_changed(runtime, RUNTIME_PROPERTY_STEP);
        if (runtime->state == RUNTIME_STARTING)
                runtime_set_state(runtime, RUNTIME_PREPARING, since_usec + timeout_usec);
        else {
                runtime_set_deadline(runtime, since_usec + timeout_usec);
                runtime_announce(runtime);
        }
        runtime->handler->on_setup_progress(runtime->userdata, runtime, runtime->command);
}

static void runtime_enter_connecting(Runtime *runtime, uint64_t since_usec) {
        if (runtime->state == RUNTIME_PREPARING)
                runtime_changed(runtime, RUNTIME_PROPERTY_STEP);
        runtime_set_state(runtime, RUNTIME_CONNECTING, since_usec + runtime->handshake_timeout_usec);
}

void runtime_enter_initializing(Runtime *runtime) {
        /* The handshake has one deadline, which the runtime knows too. */
        runtime_set_state(runtime, RUNTIME_INITIALIZING, runtime->deadline_usec);
}

void runtime_enter_ready(Runtime *runtime) {
        if (runtime->state == RUNTIME_PREPARING)
                runtime_changed(runtime, RUNTIME_PROPERTY_STEP);
        runtime->ready_timestamp = now_usec(CLOCK_REALTIME);
        runtime_changed(runtime, RUNTIME_PROPERTY_READY_TIMESTAMP);
        runtime_set_state(runtime, RUNTIME_READY, runtime->max_usec);
        runtime_log_ready(runtime);
        runtime->handler->on_ready(runtime->userdata, runtime);
}

static void runtime_fail_handshake(Runtime *runtime, const HandshakeOutcome *outcome) {
        Reason reason;

        if (reason_from_string(outcome->reason, &reason) < 0)
                reason = REASON_PROTOCOL_VIOLATION;
        if (reason == REASON_CONNECTION_CLOSED) {
                /* A process that ends closes its connection first; how it ended is the better news, if it comes at once. */
                g_free(runtime->closed);
                runtime->closed = g_strdup(outcome->message);
                runtime_set_deadline(runtime, MIN_OF(runtime->deadline_usec, now_usec(CLOCK_MONOTONIC) + CLOSED_USEC));
                return;
        }
        runtime_set_cause(runtime, RESULT_HANDSHAKE_FAILED, reason, REQUESTED_BY_NOBODY, g_strdup(outcome->message));
        runtime_enter_stopping(runtime, STOP_STAGE_TERMINATE);
}

static void runtime_set_text(Runtime *runtime, char **text, const char *new, unsigned property) {
        if (strcmp(*text, new) == 0)
                return;
        g_free(*text);
        *text = g_strdup(new);
        runtime_changed(runtime, property);
}

/* What the handshake says is done in the order that a client relies on; what is sent is sent first. A step of the handshake is taken once; an answer to some
 * request of the runtime may come twice after a crash. */
static void runtime_apply(Runtime *runtime, HandshakeOutcome *outcome) {
        if (outcome->node)
                runtime_set_text(runtime, &runtime->node, outcome->node, RUNTIME_PROPERTY_NODE);
        if (outcome->connection) {
                free(runtime->connection);
                runtime->connection = TAKE_PTR(outcome->connection);
        }
        if (outcome->status_text)
                runtime_set_text(runtime, &runtime->status_text, outcome->status_text, RUNTIME_PROPERTY_STATUS_TEXT);
        if (outcome->send && runtime->link)
                (void) (outcome->event == HANDSHAKE_EVENT_NONE ? keeper_link_send(runtime->link, outcome->send, 0, NULL, NULL)
                                                               : runtime_send_once(runtime, outcome->send));

        if (runtime->state == RUNTIME_CONNECTING || runtime->state == RUNTIME_INITIALIZING || outcome->event == HANDSHAKE_EVENT_READY)
                switch (runtime->state < RUNTIME_STOPPING ? outcome->event : HANDSHAKE_EVENT_NONE) {
                case HANDSHAKE_EVENT_STARTED:
                        runtime_enter_initializing(runtime);
                        break;
                case HANDSHAKE_EVENT_READY:
                        runtime_enter_ready(runtime);
                        break;
                case HANDSHAKE_EVENT_FAILED:
                        runtime_fail_handshake(runtime, outcome);
                        break;
                case HANDSHAKE_EVENT_EXTEND:
                        if (runtime->state == RUNTIME_CONNECTING)
                                runtime_set_deadline(
                                        runtime, MAX_OF(runtime->deadline_usec, now_usec(CLOCK_MONOTONIC) + MIN_OF(outcome->extend_usec, TIMEOUT_MAX_USEC)));
                        break;
                case HANDSHAKE_EVENT_NONE:
                case HANDSHAKE_EVENT_STATUS:
                        break;
                }
        runtime_announce_chatter(runtime);
        handshake_outcome_done(outcome);
}

static void keeper_on_executed(void *userdata, const struct link_executed *executed) {
        Runtime *runtime = userdata;
        uint64_t since_usec = runtime_fact_usec(executed->monotonic_usec);
        HandshakeOutcome outcome;
        bool first = !runtime->started;

        if (runtime->found && executed->command <= runtime_n_steps(runtime))
                runtime->told = executed->command;
        /* A keeper may repeat itself, or be another than ours. */
        if (!runtime->is_told || executed->command != runtime->told || runtime->done)
                return;
        runtime->is_told = false;
        runtime->command = executed->command;
        runtime->main_pid = executed->pid;
        runtime_changed(runtime, RUNTIME_PROPERTY_MAIN_PID);
        if (runtime->state >= RUNTIME_STOPPING) {
                runtime_announce(runtime);
                return;
        }

        if (first) {
                runtime->started = runtime->has_run = true;
                runtime->executed_usec = since_usec;
                if (runtime->max_timeout_usec != USEC_INFINITY)
                        runtime->max_usec = runtime->executed_usec + runtime->max_timeout_usec;
        }
        if (!runtime_is_main_command(runtime, executed->command))
                runtime_enter_preparing(runtime, since_usec);
        else if (handshake_executed(runtime->handshake, &outcome) >= 0) {
                if (outcome.event != HANDSHAKE_EVENT_READY)
                        runtime_enter_connecting(runtime, since_usec);
                runtime_apply(runtime, &outcome);
        }
        if (first)
                runtime->handler->on_started(runtime->userdata, runtime);
}

/* What plan.c refuses where we can see the user's files, in the same words and with the same error; NULL if it isn't that, or if those words have gone with the
 * daemon before. */
static char *runtime_describe_missing(const Runtime *runtime, const struct link_failed *failed, const char **ret_error) {
        const KindPlan *plan = runtime->plan;
        const char *name = failed->command < plan->n_steps ? (plan->steps[failed->command].argv ?: &runtime->program)[0] : runtime->program;

        *ret_error = RM_ERROR_EXECUTABLE_NOT_FOUND;
        if (failed->stage == LINK_STAGE_REQUIRED_PROGRAM && runtime->kind->executable)
                return kind_describe_missing_executable(runtime->kind->executable, runtime->kind->executable_missing, failed->error);
        if (failed->stage == LINK_STAGE_EXECUTABLE && name)
                return kind_describe_missing_executable(name, NULL, failed->error);
        *ret_error = RM_ERROR_INVALID_OPTION;
        if (failed->stage == LINK_STAGE_REQUIRED_FILE && plan->required_file && runtime->kind->requires_file_missing)
                return kind_describe_missing_file(runtime->kind->requires_file_missing, plan->required_file, failed->error);
        /* One that has gone since it was looked at is told as any other failure. */
        if (failed->stage == LINK_STAGE_DIRECTORY && runtime->directory && !runtime->started && runtime->context->many_users)
                return kind_describe_missing_directory(runtime->directory, failed->error);
        return NULL;
}

static bool is_missing_executable(const struct link_failed *failed) {
        return (failed->error == ENOENT && failed->stage == LINK_STAGE_EXEC) || failed->stage == LINK_STAGE_EXECUTABLE ||
               failed->stage == LINK_STAGE_REQUIRED_PROGRAM;
}

static void keeper_on_failed(void *userdata, const struct link_failed *failed) {
        Runtime *runtime = userdata;
        bool is_step = failed->command < runtime_n_steps(runtime);
        g_autofree char *what = NULL;
        const char *error;
        char *message;

        if (!runtime->is_told || failed->command != runtime->told)
                return;
        runtime->is_told = false;
        message = runtime_describe_missing(runtime, failed, &error);
        if (message && !runtime->started && !runtime->start_error)
                runtime->start_error = g_strdup(error);
        what = is_step ? g_strdup_printf("The setup step \"%s\"", runtime->plan->steps[failed->command].name) : g_strdup("The command");
        if (!message)
                message = g_strdup_printf("%s could not be executed (%s): %s.", what, link_stage_to_string(failed->stage), g_strerror(failed->error));

        if (runtime->started && is_step) {
                g_free(runtime->report->step);
                runtime->report->step = g_strdup(runtime->plan->steps[failed->command].name);
        }
        runtime_set_cause(runtime, runtime->started && is_step ? RESULT_SETUP_FAILED : RESULT_START_FAILED,
                          is_missing_executable(failed) ? REASON_EXECUTABLE_NOT_FOUND : REASON_EXEC_FAILED, REQUESTED_BY_NOBODY, message);
        if (!runtime->start_error)
                runtime->start_error = g_strdup(is_step ? RM_ERROR_SETUP_FAILED : RM_ERROR_START_FAILED);
        runtime_enter_stopping(runtime, STOP_STAGE_NONE);
        runtime_collect(runtime);
}

static void runtime_on_step_exited(Runtime *runtime, const struct link_exited *exited) {
        const KindPlanStep *step = &runtime->plan->steps[exited->command];
        bool good = exited->code == CLD_EXITED && exited->status == 0;

        if (!good || runtime->has_cause) {
                g_free(runtime->report->step);
                runtime->report->step = g_strdup(step->name);
                runtime->report->step_first_line = exited->first_line;
                runtime->report->step_last_line = exited->last_line;
                runtime->exited = true;
                runtime->exit_code = exited->code;
                runtime->exit_status = exited->status;
        }
        if (!good)
                runtime_set_cause(runtime, RESULT_SETUP_FAILED, REASON_SETUP_STEP_FAILED, REQUESTED_BY_NOBODY,
                                  step->failure ? g_strdup(step->failure) : g_strdup_printf("The setup step \"%s\" failed; see its output.", step->name));
        if (!exited->settled)
                return;
        if (runtime->has_cause) {
                runtime_enter_stopping(runtime, STOP_STAGE_NONE);
                runtime_collect(runtime);
        } else
                runtime_run(runtime, exited->command + 1);
}

static char *runtime_describe_early_exit(const struct link_exited *exited) {
        if (exited->code == CLD_EXITED)
                return g_strdup_printf("The process exited with status %d before it was ready.", exited->status);
        return g_strdup_printf("The process was ended by signal %d (%s) before it was ready.", exited->status, strsignal(exited->status));
}

static void keeper_on_exited(void *userdata, const struct link_exited *exited) {
        Runtime *runtime = userdata;

        if (!runtime->started || runtime->is_told || exited->command != runtime->command || runtime->done)
                return;
        if (runtime->main_pid != 0) {
                runtime->main_pid = 0;
                runtime_changed(runtime, RUNTIME_PROPERTY_MAIN_PID);
        }
        if (!runtime_is_main_command(runtime, exited->command)) {
                runtime_on_step_exited(runtime, exited);
                runtime_announce(runtime);
                return;
        }

        if (!runtime->exited)
                runtime->exited_usec = now_usec(CLOCK_MONOTONIC);
        runtime->exited = true;
        runtime->exit_code = exited->code;
        runtime->exit_status = exited->status;
        if (!runtime->has_cause && (runtime->state == RUNTIME_CONNECTING || runtime->state == RUNTIME_INITIALIZING))
                runtime_set_cause(runtime, RESULT_HANDSHAKE_FAILED, REASON_EXITED_BEFORE_READY, REQUESTED_BY_NOBODY,
                                  report_name_subject(runtime_describe_early_exit(exited), runtime->kind->terminated));
        runtime_enter_stopping(runtime, STOP_STAGE_NONE);
        runtime_announce(runtime);
}

static void keeper_on_output(void *userdata, uint64_t last) {
        Runtime *runtime = userdata;

        runtime->handler->on_output(runtime->userdata, runtime);
}

/* Once: a runtime can connect and close as often as it likes. */
static void runtime_warn_closed(Runtime *runtime, const char *message) {
        runtime->told_closed = true;
        runtime_warn(runtime, WARNING_CONNECTION_CLOSED, message, NULL, 0);
}

static void keeper_on_control(void *userdata, uint64_t number, enum link_control_kind kind, uint64_t line, const char *bytes, size_t size) {
        Runtime *runtime = userdata;
        HandshakeOutcome outcome = {0};
        bool was_closed;
        int r = -EINVAL;

        /* Setup steps have no way to say anything. */
        if (!runtime->started || runtime->is_told || !runtime_is_main_command(runtime, runtime->command))
                return;
        /* The daemon before has acted on it, and could not say so any more. */
        if (number <= runtime->control_number)
                return;
        runtime->control_number = number;
        switch (kind) {
        case LINK_CONTROL_MESSAGE:
                r = handshake_message(runtime->handshake, bytes, size, &outcome);
                break;
        case LINK_CONTROL_OPENED:
                r = handshake_opened(runtime->handshake, &outcome);
                break;
        case LINK_CONTROL_CLOSED:
                r = handshake_closed(runtime->handshake, &outcome);
                break;
        case LINK_CONTROL_TOO_LONG:
                r = handshake_too_long(runtime->handshake, bytes, size, &outcome);
                break;
        case LINK_CONTROL_NOTIFY:
                r = handshake_notify(runtime->handshake, bytes, size, &outcome);
                break;
        case LINK_CONTROL_LINE:
                r = handshake_line_matched(runtime->handshake, &outcome);
                break;
        case _LINK_CONTROL_MAX:
                break;
        }
        if (r < 0)
                return;
        was_closed = runtime->closed;
        if (outcome.warning && kind == LINK_CONTROL_CLOSED && runtime->state == RUNTIME_READY && !runtime->told_closed)
                runtime_warn_closed(runtime, outcome.warning);
        runtime_apply(runtime, &outcome);
        /* A verdict that is only told later, and must not be forgotten when the keeper forgets. */
        if (runtime->closed && !was_closed)
                (void) runtime_save(runtime);
}

/* The keeper waits longer between two news of a kind; one that doesn't isn't ours. */
#define WARNING_INTERVAL_USEC (USEC_PER_SEC / 2)

static void runtime_warn_oom(Runtime *runtime, uint64_t kills) {
        if (kills <= runtime->warned_kills)
                return;
        runtime->warned_kills = kills;
        runtime->warn_oom_usec = now_usec(CLOCK_MONOTONIC) + WARNING_INTERVAL_USEC;
        runtime_warn(runtime, WARNING_OOM_KILL, "Processes of the runtime were killed for memory.", "OOMKills", kills);
}

static void keeper_on_memory(void *userdata, const struct link_memory *memory) {
        Runtime *runtime = userdata;

        if (!runtime->started || runtime->done)
                return;
        if (memory->command == runtime->command && !runtime->is_told)
                runtime->oom_killed = memory->main_killed;
        if (now_usec(CLOCK_MONOTONIC) >= runtime->warn_oom_usec)
                runtime_warn_oom(runtime, memory->oom_kills);
        if (memory->high > runtime->warned_high && now_usec(CLOCK_MONOTONIC) >= runtime->warn_high_usec) {
                runtime->warned_high = memory->high;
                runtime->warn_high_usec = now_usec(CLOCK_MONOTONIC) + WARNING_INTERVAL_USEC;
                runtime_warn(runtime, WARNING_MEMORY_HIGH, "The runtime is held back because it uses more memory than MemoryHigh.", "MemoryHighEvents",
                             memory->high);
        }
}

static void keeper_on_done(void *userdata, const struct link_done *done) {
        Runtime *runtime = userdata;
        Report *report = runtime->report;

        if (runtime->done) {
                /* Known from the record; it waits for us to say so. */
                (void) keeper_link_collect(runtime->link);
                return;
        }
        /* Its EXITED came first, if anything ran. */
        runtime_enter_stopping(runtime, STOP_STAGE_NONE);
        runtime->done = true;
        report->has_leftovers = true;
        report->leftovers = done->leftovers;
        report->cpu_usage_nsec = done->cpu_usage_nsec;
        report->memory_peak = done->memory_peak;
        report->oom_kills = done->oom_kills;
        runtime->ended_usec = runtime_fact_usec(done->monotonic_usec);
        if (done->leftovers > 0)
                runtime_warn(runtime, WARNING_LEFTOVERS, "The main process left processes behind; they were stopped.", "Leftovers", done->leftovers);
        /* That the main process was killed is no warning: it is how the runtime ended. */
        if (done->oom_kills != UINT64_MAX && done->oom_kills > runtime->oom_killed)
                runtime_warn_oom(runtime, done->oom_kills - runtime->oom_killed);
        runtime->collecting = true;
        /* From here on only we know it. */
        runtime_save_ring(runtime);
        (void) runtime_save(runtime);
        (void) keeper_link_collect(runtime->link);
}

static void keeper_on_hello(void *userdata, const struct link_hello *hello, int ring_fd) {
        Runtime *runtime = userdata;

        if (!runtime->ring.header)
                runtime_take_ring(runtime, hello, ring_fd);
}

static void keeper_on_lost(void *userdata, int error) {
        Runtime *runtime = userdata;

        runtime->link = keeper_link_free(runtime->link);
        /* The spawner hasn't said who it is, and will say what was wrong. */
        if (runtime->keeper_pid == 0 && runtime->scope_pending)
                return;
        if (runtime->returning) {
                runtime->refused = error < 0;
                runtime_end_search(runtime);
                return;
        }
        if (runtime->collecting)
                return;
        if (error < 0)
                runtime_log(runtime, JOURNAL_WARNING, MESSAGE_ID_KEEPER_BROKEN, NULL,
                            "The keeper of runtime %s doesn't speak as it should (%s); the runtime is ended.", runtime->name, g_strerror(-error));
        runtime_set_cause(runtime, runtime->started ? RESULT_LOST : RESULT_START_FAILED, REASON_KEEPER_LOST, REQUESTED_BY_NOBODY,
                          error < 0 ? g_strdup("The keeper of the runtime sent something that makes no sense.")
                                    : g_strdup("The keeper of the runtime ended before the runtime."));
        runtime_enter_stopping(runtime, STOP_STAGE_UNIT);
}

const KeeperHandler runtime_keeper_handler = {
        .on_hello = keeper_on_hello,
        .on_executed = keeper_on_executed,
        .on_failed = keeper_on_failed,
        .on_exited = keeper_on_exited,
        .on_output = keeper_on_output,
        .on_control = keeper_on_control,
        .on_memory = keeper_on_memory,
        .on_done = keeper_on_done,
        .on_lost = keeper_on_lost,
};
