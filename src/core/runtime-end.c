/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Down from wherever it is: the stages of a stop, and the end.
 *
 * The end has two witnesses: the keeper, whose record says how the main process ended and what it used, and the unit's change of state, which says that
 * nothing is left. A runtime has ended when its keeper has exited and its unit is gone. Each stage has its time; the last one kills by
 * way of systemd, for a keeper that was stopped or killed can't do it. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "core/cgroup.h"
#include "core/runtime-private.h"
#include "core/sd-autoptr.h"
#include "util/names.h"
#include "util/text.h"

/* What SIGKILL and systemd get to take effect, however short a client wants the stages to be. */
#define KILL_TIMEOUT_USEC (5 * USEC_PER_SEC)

void runtime_set_cause(Runtime *runtime, Result result, Reason reason, RequestedBy by, char *message) {
        Report *report = runtime->report;

        if (runtime->has_cause) {
                g_free(message);
                return;
        }
        runtime->has_cause = true;
        report->result = result;
        report->reason = reason;
        report->requested_by = by;
        report->message = message;
        if (runtime->state < RUNTIME_STOPPING)
                report->phase = runtime->state;
}

static const char *runtime_stop_message(const Runtime *runtime) {
        return handshake_phase(runtime->handshake) == HANDSHAKE_READY ? runtime->kind->stop.message : NULL;
}

/* systemd hasn't made the scope when it should have, and isn't waited for: it will find the stop behind the start. */
static void runtime_drop_start(Runtime *runtime) {
        if (!runtime->scope_pending)
                return;
        runtime->scope = scope_free(runtime->scope);
        runtime->scope_pending = false;
        runtime_end_turn(runtime);
}

/* Does what belongs to a stage, having noted it down; false if this runtime has no such stage. */
static bool runtime_act(Runtime *runtime, StopStage stage) {
        g_autofree char *request = NULL;
        int64_t id;

        /* When nothing of it runs any more, what is left to do is no part of the stop. */
        if (stage != STOP_STAGE_NONE && !runtime->done)
                runtime->stop_stage = stage;

        switch (stage) {
        case STOP_STAGE_NONE:
                return true;
        case STOP_STAGE_REQUEST:
                if (!runtime->link || runtime->report->phase < RUNTIME_CONNECTING)
                        return false;
                if (runtime->kind->stop.signal != 0)
                        return runtime_signal_once(runtime, LINK_WHO_MAIN, runtime->kind->stop.signal) >= 0;
                if (!runtime_stop_message(runtime))
                        return false;
                request = handshake_request(runtime->handshake, runtime_stop_message(runtime), &id);
                return request && runtime_send_once(runtime, request) >= 0;
        case STOP_STAGE_TERMINATE:
                return runtime->link && runtime_signal_once(runtime, LINK_WHO_ALL, SIGTERM) >= 0;
        case STOP_STAGE_KILL:
                runtime->killed = true;
                return runtime->link && runtime_signal_once(runtime, LINK_WHO_ALL, SIGKILL) >= 0;
        case STOP_STAGE_UNIT:
        case _STOP_STAGE_MAX:
                break;
        }
        /* Where there are many users it is the spawner that has the right to. */
        if (!runtime->context->many_users) {
                if (runtime->keeper_pid > 0)
                        (void) pidfd_send_signal(runtime->keeper_pidfd, SIGKILL, NULL, 0);
                if (runtime->control_group[0] != '\0')
                        cgroup_kill(runtime->control_group);
        }
        if (runtime->scope) {
                scope_kill(runtime->scope);
                scope_stop(runtime->scope);
        }
        runtime_drop_start(runtime);
        return true;
}

static uint64_t runtime_stage_usec(const Runtime *runtime, StopStage stage) {
        uint64_t timeout_usec = runtime->stop_timeout_usec;

        if (stage >= STOP_STAGE_KILL)
                return MAX_OF(timeout_usec, KILL_TIMEOUT_USEC);
        /* The keeper gives what a main process left behind one such time itself. */
        if (stage == STOP_STAGE_NONE && runtime->stop_stage == STOP_STAGE_NONE)
                timeout_usec += KILL_TIMEOUT_USEC;
        return timeout_usec;
}

/* The deadline first: it is in the record that is written before the stage's effect, and tells a daemon that comes back that the stage has begun. */
void runtime_begin_stage(Runtime *runtime, StopStage stage) {
        if (runtime->link)
                (void) keeper_link_output_release(runtime->link);
        do
                runtime_set_deadline(runtime, now_usec(CLOCK_MONOTONIC) + MIN_OF(runtime_stage_usec(runtime, stage), TIMEOUT_MAX_USEC));
        while (!runtime_act(runtime, stage++));
}

void runtime_enter_stopping(Runtime *runtime, StopStage first) {
        bool stepping = runtime->state == RUNTIME_PREPARING;

        if (runtime->state == RUNTIME_ENDED)
                return;
        if (runtime->state == RUNTIME_STOPPING) {
                if (first > runtime->stop_stage)
                        runtime_begin_stage(runtime, first);
                return;
        }
        if (!runtime->has_cause)
                runtime->report->phase = runtime->state;
        if (stepping) {
                /* Only one that runs: the end may have begun between two commands. */
                if (!runtime->report->step && runtime->main_pid != 0)
                        runtime->report->step = g_strdup(runtime_get_step(runtime));
                runtime_changed(runtime, RUNTIME_PROPERTY_STEP);
        }
        runtime->first_stage = first;
        runtime_set_state(runtime, RUNTIME_STOPPING, USEC_INFINITY);
        runtime_begin_stage(runtime, first);
        /* Between two commands nothing answers a signal by ending. */
        if (first != STOP_STAGE_NONE && runtime->main_pid == 0)
                runtime_collect(runtime);
        runtime_announce(runtime);
}

void runtime_escalate(Runtime *runtime) {
        StopStage stage = runtime->stop_stage;

        /* systemd isn't heard: the bus has thrown it off, say. Its tree tells the same. */
        if (runtime->keeper_pid == 0 && runtime->scope && runtime->control_group[0] != '\0' && cgroup_is_gone(runtime->control_group)) {
                runtime_on_scope_gone(runtime, SCOPE_RESULT_UNKNOWN);
                return;
        }
        /* All has ended, and systemd hasn't said so yet: that is no stage of a stop. */
        if (runtime->keeper_pid == 0 && runtime->done && runtime->scope) {
                scope_stop(runtime->scope);
                runtime_set_deadline(runtime, now_usec(CLOCK_MONOTONIC) + UNIT_TIMEOUT_USEC);
                runtime_announce(runtime);
                return;
        }
        if (runtime->keeper_pid == 0 || runtime->done || stage >= STOP_STAGE_KILL)
                stage = STOP_STAGE_UNIT;
        else
                stage = MAX_OF(stage + 1, STOP_STAGE_TERMINATE);
        /* The main process went by itself: what is left had its SIGTERM. */
        if (runtime->exited && stage < STOP_STAGE_KILL)
                stage = STOP_STAGE_KILL;
        runtime_begin_stage(runtime, stage);
        runtime_announce(runtime);
        runtime_check_end(runtime);
}

void runtime_collect(Runtime *runtime) {
        if (!runtime->run_sent) {
                /* The keeper exits when its link closes before the first command. */
                runtime->collecting = true;
                runtime->link = keeper_link_free(runtime->link);
        } else if (runtime->link && !runtime->done)
                (void) keeper_link_collect(runtime->link);
}

void runtime_stop_for(Runtime *runtime, Result result, Reason reason, RequestedBy by, char *message, StopStage first) {
        runtime_set_cause(runtime, result, reason, by, message);
        if (runtime->state != RUNTIME_STARTING) {
                runtime_enter_stopping(runtime, first);
                return;
        }
        if (!runtime->start_error)
                runtime->start_error = g_strdup(RM_ERROR_CANCELLED);
        runtime_enter_stopping(runtime, STOP_STAGE_NONE);
        runtime_collect(runtime);
        runtime_check_end(runtime);
}

int runtime_stop(Runtime *runtime, RequestedBy by, uid_t uid, uint64_t timeout_usec, sd_bus_error *reterr) {
        uint64_t deadline_usec;

        if (runtime->state == RUNTIME_ENDED || runtime->ending)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" has ended already.", runtime->options->id);
        if (timeout_usec != TIME_UNSET)
                runtime->stop_timeout_usec = MIN_OF(timeout_usec, runtime->state == RUNTIME_STOPPING ? runtime->stop_timeout_usec : timeout_usec);

        if (runtime->state == RUNTIME_STOPPING) {
                if (timeout_usec == TIME_UNSET)
                        return 0;
                deadline_usec = now_usec(CLOCK_MONOTONIC) + runtime->stop_timeout_usec;
                if (timeout_usec == 0 && runtime->stop_stage < STOP_STAGE_KILL)
                        runtime_begin_stage(runtime, STOP_STAGE_KILL);
                else if (deadline_usec < runtime->deadline_usec && runtime->stop_stage < STOP_STAGE_KILL)
                        runtime_set_deadline(runtime, deadline_usec);
                runtime_announce(runtime);
                return 0;
        }

        runtime->report->requested_by_uid = uid;
        runtime_stop_for(runtime, RESULT_STOPPED, REASON_STOP_REQUESTED, by, g_strdup("The runtime was stopped."),
                         timeout_usec == 0 ? STOP_STAGE_KILL : STOP_STAGE_REQUEST);
        return 0;
}

static void runtime_on_deadline(Runtime *runtime) {
        switch (runtime->state) {
        case RUNTIME_STARTING:
                runtime_set_cause(
                        runtime, RESULT_START_FAILED, REASON_START_DEADLINE, REQUESTED_BY_LIMIT,
                        g_strdup(runtime->turn.waits ? "The runtime's turn to be started did not come in time." : "The runtime could not be started in time."));
                if (!runtime->start_error)
                        runtime->start_error = g_strdup(RM_ERROR_TIMEOUT);
                runtime_enter_stopping(runtime, STOP_STAGE_NONE);
                runtime_drop_start(runtime);
                runtime_collect(runtime);
                runtime_check_end(runtime);
                break;
        case RUNTIME_PREPARING:
                runtime_set_cause(runtime, RESULT_SETUP_FAILED, REASON_SETUP_DEADLINE, REQUESTED_BY_LIMIT,
                                  g_strdup_printf("The setup step \"%s\" was not done in time.", runtime_get_step(runtime)));
                runtime_enter_stopping(runtime, STOP_STAGE_TERMINATE);
                break;
        case RUNTIME_CONNECTING:
        case RUNTIME_INITIALIZING:
                if (runtime->closed)
                        runtime_set_cause(runtime, RESULT_HANDSHAKE_FAILED, REASON_CONNECTION_CLOSED, REQUESTED_BY_NOBODY, TAKE_PTR(runtime->closed));
                else
                        runtime_set_cause(runtime, RESULT_TIMEOUT, REASON_HANDSHAKE_DEADLINE, REQUESTED_BY_LIMIT,
                                          g_strdup(runtime->state == RUNTIME_CONNECTING ? "connection timed out" : "initialization timed out"));
                runtime_enter_stopping(runtime, STOP_STAGE_TERMINATE);
                break;
        case RUNTIME_STOPPING:
                runtime_escalate(runtime);
                break;
        case RUNTIME_READY:
        case RUNTIME_ENDED:
        case _RUNTIME_STATE_MAX:
                break;
        }
}

/* One timer for three points in time; it may also come for one that was moved meanwhile. */
void runtime_on_timer(Runtime *runtime) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (runtime->returning) {
                runtime_search_again(runtime);
                return;
        }
        if (now >= runtime->chatter_usec)
                runtime_announce(runtime);
        if (runtime->state < RUNTIME_STOPPING && now >= runtime->max_usec)
                runtime_stop_for(runtime, RESULT_TIMEOUT, REASON_RUNTIME_MAX, REQUESTED_BY_LIMIT,
                                 g_strdup("The runtime has run for as long as it was allowed to."), STOP_STAGE_REQUEST);
        else if (runtime->state < RUNTIME_STOPPING && now >= runtime->owner_usec)
                runtime_stop_for(runtime, RESULT_OWNER_LOST, runtime->owner_reason, REQUESTED_BY_OWNER,
                                 g_strdup(runtime->owner_reason == REASON_NO_OWNER ? "Nobody took ownership of the runtime in time."
                                                                                   : "The owner of the runtime has left the bus."),
                                 STOP_STAGE_REQUEST);
        else if (now >= runtime->deadline_usec)
                runtime_on_deadline(runtime);
        else
                runtime_set_timer(runtime);
}

void runtime_on_keeper_exit(Runtime *runtime) {
        siginfo_t info;

        (void) waitid(P_PIDFD, runtime->keeper_pidfd, &info, WEXITED | WNOHANG);
        runtime->keeper_source = sd_event_source_disable_unref(runtime->keeper_source);
        runtime->keeper_pidfd = fd_close(runtime->keeper_pidfd);
        runtime->keeper_pid = 0;
        runtime->link = keeper_link_free(runtime->link);
        if (runtime->main_pid != 0) {
                runtime->main_pid = 0;
                runtime_changed(runtime, RUNTIME_PROPERTY_MAIN_PID);
        }

        if (!runtime->done && !runtime->has_cause) {
                runtime_set_cause(runtime, runtime->started ? RESULT_LOST : RESULT_START_FAILED, REASON_KEEPER_LOST, REQUESTED_BY_NOBODY,
                                  g_strdup("The keeper of the runtime ended before the runtime."));
                runtime_enter_stopping(runtime, STOP_STAGE_UNIT);
        } else if (runtime->scope && runtime->state == RUNTIME_STOPPING) {
                if (!runtime->done && runtime->run_sent)
                        runtime_begin_stage(runtime, STOP_STAGE_UNIT);
                else if (runtime->scope_up)
                        runtime_set_deadline(runtime, now_usec(CLOCK_MONOTONIC) + UNIT_TIMEOUT_USEC);
        }
        runtime_announce(runtime);
        runtime_check_end(runtime);
}

/* The last lines of this generation as text: whole lines, at most LIMIT_OUTPUT_TAIL bytes. */
static char *runtime_read_tail(const Runtime *runtime) {
        RingCursor cursor = ring_cursor_after(runtime->lines_before);
        g_autoptr(GString) tail = g_string_new(NULL);
        g_autofree char *text = g_malloc(RING_LINE_MAX);
        struct ring_record record;
        char *whole;

        for (uint64_t n = ring_reader_capacity(&runtime->ring); n > 0 && ring_read(&runtime->ring, &cursor, &record, text) > 0; n--) {
                g_string_append_len(tail, text, record.size);
                if (!(record.flags & (RING_PARTIAL | RING_UNTERMINATED)))
                        g_string_append_c(tail, '\n');
                if (tail->len > 4 * RING_LINE_MAX)
                        g_string_erase(tail, 0, tail->len - RING_LINE_MAX);
        }
        if (tail->len > LIMIT_OUTPUT_TAIL) {
                const char *newline;

                g_string_erase(tail, 0, tail->len - LIMIT_OUTPUT_TAIL);
                newline = memchr(tail->str, '\n', tail->len - 1);
                if (newline)
                        g_string_erase(tail, 0, newline + 1 - tail->str);
        }
        whole = text_for_bus(tail->str, tail->len, NULL);
        /* Replacing bytes by U+FFFD makes text longer. */
        if (whole && strlen(whole) > LIMIT_OUTPUT_TAIL)
                whole[text_utf8_whole(whole, LIMIT_OUTPUT_TAIL)] = '\0';
        return whole;
}

static void runtime_complete_report(Runtime *runtime) {
        Report *report = runtime->report;

        report->stop_stage = runtime->stop_stage;
        report->last_line = ring_reader_last(&runtime->ring);
        report->output_tail = runtime_read_tail(runtime);
        if (runtime->executed_usec != 0)
                report->duration_usec = (runtime->ended_usec ?: now_usec(CLOCK_MONOTONIC)) - runtime->executed_usec;
        if (runtime->exited) {
                bool killed = runtime->exit_code != CLD_EXITED && runtime->exit_status == SIGKILL;
                /* Never by the signal alone, nor by somebody of it having been killed for memory: that may have been another process. */
                bool oom = killed && !runtime->killed && (runtime->scope_result == SCOPE_RESULT_OOM_KILL || runtime->oom_killed);

                report_set_exit(report, runtime->exit_code, runtime->exit_status, oom, runtime->has_cause);
                if (!runtime->has_cause && report->result != RESULT_SUCCESS)
                        report->message = report_name_subject(report->message, runtime->kind->terminated);
                runtime->has_cause = true;
        }
        /* systemd-oomd takes a whole scope, and who keeps the record with it. */
        if (runtime->has_cause && report->reason == REASON_KEEPER_LOST && runtime->scope_result == SCOPE_RESULT_OOM_KILL)
                report_set_oom_kill(report);
        runtime_set_cause(runtime, RESULT_LOST, REASON_KEEPER_LOST, REQUESTED_BY_NOBODY, g_strdup("How the runtime ended is not known."));
}

void runtime_check_end(Runtime *runtime) {
        if (runtime->keeper_pid != 0 || runtime->scope || runtime->scope_pending || runtime->ending || runtime->state == RUNTIME_ENDED)
                return;
        runtime->ending = true;
        runtime_save_ring(runtime);
        (void) sd_event_source_set_enabled(runtime->timer, SD_EVENT_OFF);
        runtime_complete_report(runtime);
        if (!runtime->handler->on_ending(runtime->userdata, runtime))
                runtime_finish(runtime);
}

/* What a daemon couldn't tell any more, the next one tells. */
static void runtime_tell_end(Runtime *runtime) {
        bool restart = runtime->again && (runtime->started || runtime->start_lost);
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        if (!runtime->started && !restart) {
                sd_bus_error_set(&error, runtime->start_error ?: RM_ERROR_START_FAILED, runtime->report->message);
                runtime->handler->on_start_failed(runtime->userdata, runtime, &error);
        }
        runtime_log_ended(runtime);
        runtime->over = true;
        runtime->told_end = runtime->handler->on_ended(runtime->userdata, runtime);
        runtime->again = false;
        /* What never ran leaves nothing behind, also if the next daemon finds it here. */
        if (runtime->has_run)
                (void) runtime_save(runtime);
        runtime->handler->on_over(runtime->userdata, runtime, restart);
}

void runtime_end_is_told(Runtime *runtime) {
        /* It may have been started again meanwhile. */
        if (!runtime->over || runtime->told_end)
                return;
        runtime->told_end = true;
        if (runtime->has_run)
                (void) runtime_save(runtime);
}

void runtime_end_again(Runtime *runtime) {
        runtime->ending = true;
        record_store_tidy(runtime->context->records, runtime->name);
        runtime_remove_directory(runtime->context, runtime->name);
        runtime->handler->on_properties(runtime->userdata, runtime, RUNTIME_PROPERTIES_ALL);
        runtime->handler->on_state(runtime->userdata, runtime, runtime->previous_state, runtime->state);
        if (!runtime->handler->on_ending(runtime->userdata, runtime))
                runtime_finish(runtime);
}

void runtime_finish(Runtime *runtime) {
        if (runtime->state == RUNTIME_ENDED) {
                runtime_tell_end(runtime);
                return;
        }
        runtime->over_usec = now_usec(CLOCK_MONOTONIC);
        /* Which may be long ago, if nobody was there. */
        runtime->end_timestamp = now_usec(CLOCK_REALTIME) - (runtime->ended_usec != 0 ? runtime->over_usec - runtime->ended_usec : 0);
        g_free(runtime->control_group);
        runtime->control_group = g_strdup("");
        runtime_changed(runtime, RUNTIME_PROPERTY_END_TIMESTAMP | RUNTIME_PROPERTY_END_REPORT | RUNTIME_PROPERTY_CONTROL_GROUP);
        runtime_set_state(runtime, RUNTIME_ENDED, USEC_INFINITY);
        record_store_tidy(runtime->context->records, runtime->name);
        runtime_remove_directory(runtime->context, runtime->name);
        runtime_tell_end(runtime);
}
