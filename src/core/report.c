/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tables for every code that a client may see, and the one place where an exit status gets its meaning. */

#include "core/report.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "core/fields.h"
#include "util/macro.h"

const char *const runtime_state_names[_RUNTIME_STATE_MAX] = {
        [RUNTIME_STARTING] = "starting", [RUNTIME_PREPARING] = "preparing", [RUNTIME_CONNECTING] = "connecting", [RUNTIME_INITIALIZING] = "initializing",
        [RUNTIME_READY] = "ready",       [RUNTIME_STOPPING] = "stopping",   [RUNTIME_ENDED] = "ended",
};

#define TO(state) (1U << RUNTIME_##state)

/* A runtime that isn't connecting or initializing (handshake exec) goes from starting or preparing straight to ready. */
static const unsigned move_table[_RUNTIME_STATE_MAX] = {
        [RUNTIME_STARTING] = TO(PREPARING) | TO(CONNECTING) | TO(READY) | TO(STOPPING) | TO(ENDED),
        [RUNTIME_PREPARING] = TO(CONNECTING) | TO(READY) | TO(STOPPING) | TO(ENDED),
        [RUNTIME_CONNECTING] = TO(INITIALIZING) | TO(READY) | TO(STOPPING) | TO(ENDED),
        [RUNTIME_INITIALIZING] = TO(READY) | TO(STOPPING) | TO(ENDED),
        [RUNTIME_READY] = TO(STOPPING) | TO(ENDED),
        [RUNTIME_STOPPING] = TO(ENDED),
        [RUNTIME_ENDED] = TO(STARTING), /* Restart */
};

static const char *const result_table[_RESULT_MAX] = {
        [RESULT_SUCCESS] = "success",           [RESULT_EXIT_CODE] = "exit-code",       [RESULT_SIGNAL] = "signal",
        [RESULT_CORE_DUMP] = "core-dump",       [RESULT_OOM_KILL] = "oom-kill",         [RESULT_TIMEOUT] = "timeout",
        [RESULT_SETUP_FAILED] = "setup-failed", [RESULT_START_FAILED] = "start-failed", [RESULT_HANDSHAKE_FAILED] = "handshake-failed",
        [RESULT_STOPPED] = "stopped",           [RESULT_OWNER_LOST] = "owner-lost",     [RESULT_LOST] = "lost",
};

const char *const reason_names[_REASON_MAX] = {
        [REASON_EXITED] = "exited",
        [REASON_KILLED] = "killed",
        [REASON_DUMPED] = "dumped",
        [REASON_OOM_KILL] = "oom-kill",
        [REASON_SETUP_STEP_FAILED] = "setup-step-failed",
        [REASON_SETUP_DEADLINE] = "setup-deadline",
        [REASON_EXECUTABLE_NOT_FOUND] = "executable-not-found",
        [REASON_EXEC_FAILED] = "exec-failed",
        [REASON_START_DEADLINE] = "start-deadline",
        [REASON_HANDSHAKE_DEADLINE] = "handshake-deadline",
        [REASON_EXITED_BEFORE_READY] = "exited-before-ready",
        [REASON_PROTOCOL_VIOLATION] = "protocol-violation",
        [REASON_CONNECTION_CLOSED] = "connection-closed",
        [REASON_INITIALIZE_FAILED] = "initialize-failed",
        [REASON_RUNTIME_MAX] = "runtime-max",
        [REASON_STOP_REQUESTED] = "stop-requested",
        [REASON_OWNER_GONE] = "owner-gone",
        [REASON_NO_OWNER] = "no-owner",
        [REASON_UNIT_STOPPED] = "unit-stopped",
        [REASON_KEEPER_LOST] = "keeper-lost",
        [REASON_SCOPE_FAILED] = "scope-failed",
};

static const char *const requested_by_table[_REQUESTED_BY_MAX] = {
        [REQUESTED_BY_CLIENT] = "client",
        [REQUESTED_BY_OWNER] = "owner",
        [REQUESTED_BY_LIMIT] = "limit",
        [REQUESTED_BY_SYSTEM] = "system",
};

static const char *const stop_stage_table[_STOP_STAGE_MAX] = {
        [STOP_STAGE_REQUEST] = "request",
        [STOP_STAGE_TERMINATE] = "terminate",
        [STOP_STAGE_KILL] = "kill",
        [STOP_STAGE_UNIT] = "kill",
};

const char *runtime_state_to_string(RuntimeState state) {
        return runtime_state_names[state];
}

static int find_in_table(const char *const *table, size_t size, const char *text) {
        for (size_t i = 0; i < size; i++)
                if (strcmp(table[i], text) == 0)
                        return i;
        return -EINVAL;
}

int runtime_state_from_string(const char *text, RuntimeState *ret) {
        int r = find_in_table(runtime_state_names, _RUNTIME_STATE_MAX, text);

        if (r < 0)
                return r;
        *ret = r;
        return 0;
}

bool runtime_state_may_follow(RuntimeState from, RuntimeState to) {
        return move_table[from] & (1U << to);
}

const char *result_to_string(Result result) {
        return result_table[result];
}

const char *reason_to_string(Reason reason) {
        return reason_names[reason];
}

int reason_from_string(const char *text, Reason *ret) {
        int r = find_in_table(reason_names, _REASON_MAX, text);

        if (r < 0)
                return r;
        *ret = r;
        return 0;
}

const char *requested_by_to_string(RequestedBy by) {
        return requested_by_table[by];
}

const char *stop_stage_to_string(StopStage stage) {
        return stop_stage_table[stage];
}

Report *report_new(void) {
        Report *report = g_new0(Report, 1);

        report->duration_usec = report->cpu_usage_nsec = report->memory_peak = report->oom_kills = UINT64_MAX;
        report->step_first_line = report->step_last_line = UINT64_MAX;
        return report;
}

Report *report_free(Report *report) {
        if (!report)
                return NULL;
        g_free(report->message);
        g_free(report->step);
        g_free(report->output_tail);
        g_free(report);
        return NULL;
}

static const char *const stop_stage_names[_STOP_STAGE_MAX] = {
        [STOP_STAGE_NONE] = "none", [STOP_STAGE_REQUEST] = "request", [STOP_STAGE_TERMINATE] = "terminate",
        [STOP_STAGE_KILL] = "kill", [STOP_STAGE_UNIT] = "unit",
};

static const Field report_fields[] = {
        FIELD_OF(Report, result, result_table),
        FIELD_OF(Report, reason, reason_names),
        FIELD(Report, NULL_STRING, message),
        FIELD_OF(Report, phase, runtime_state_names),
        FIELD(Report, NULL_STRING, step),
        FIELD(Report, UINT64, step_first_line),
        FIELD(Report, UINT64, step_last_line),
        FIELD(Report, BOOL, has_exit_code),
        FIELD(Report, BOOL, has_signal),
        FIELD(Report, BOOL, has_leftovers),
        FIELD(Report, INT, exit_code),
        FIELD(Report, INT, signal),
        FIELD_OF(Report, requested_by, requested_by_table),
        FIELD(Report, INT, requested_by_uid),
        FIELD_OF(Report, stop_stage, stop_stage_names),
        FIELD(Report, INT, leftovers),
        FIELD(Report, UINT64, duration_usec),
        FIELD(Report, UINT64, cpu_usage_nsec),
        FIELD(Report, UINT64, memory_peak),
        FIELD(Report, UINT64, oom_kills),
        FIELD(Report, UINT64, last_line),
        FIELD(Report, NULL_STRING, output_tail),
};

int report_to_record(const Report *report, json_t **ret) {
        json_t *record = json_object();
        int r;

        r = fields_write(record, report_fields, ELEMENTSOF(report_fields), report);
        if (r < 0)
                json_decref(record);
        else
                *ret = record;
        return r;
}

int report_from_record(Report *report, json_t *record) {
        int r;

        if (!json_is_object(record))
                return -EBADMSG;
        r = fields_read(record, report_fields, ELEMENTSOF(report_fields), report);
        return r < 0 || json_object_size(record) == 0 ? r : -EBADMSG;
}

static void report_set_cause(Report *report, Result result, Reason reason, char *message) {
        report->result = result;
        report->reason = reason;
        g_free(report->message);
        report->message = message;
}

void report_set_oom_kill(Report *report) {
        report_set_cause(report, RESULT_OOM_KILL, REASON_OOM_KILL, g_strdup("The process was killed because there was no memory left for it."));
}

char *report_name_subject(char *message, const char *terminated) {
        static const char subject[] = "The process ";
        char *named;

        if (!terminated || !g_str_has_prefix(message, subject))
                return message;
        named = g_strdup_printf("%s: it %s", terminated, message + strlen(subject));
        g_free(message);
        return named;
}

void report_set_exit(Report *report, int code, int status, bool oom, bool had_cause) {
        if (code == CLD_EXITED) {
                report->has_exit_code = true;
                report->exit_code = status;
        } else {
                report->has_signal = true;
                report->signal = status;
        }
        if (had_cause)
                return;

        if (oom)
                report_set_oom_kill(report);
        else if (code == CLD_EXITED && status == 0)
                report_set_cause(report, RESULT_SUCCESS, REASON_EXITED, g_strdup("The process exited."));
        else if (code == CLD_EXITED)
                report_set_cause(report, RESULT_EXIT_CODE, REASON_EXITED, g_strdup_printf("The process exited with status %d.", status));
        else if (code == CLD_DUMPED)
                report_set_cause(report, RESULT_CORE_DUMP, REASON_DUMPED,
                                 g_strdup_printf("The process was ended by signal %d (%s) and left a core dump.", status, strsignal(status)));
        else
                report_set_cause(report, RESULT_SIGNAL, REASON_KILLED, g_strdup_printf("The process was ended by signal %d (%s).", status, strsignal(status)));
}
