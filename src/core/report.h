/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The truth about an end: the codes of dbus/org.example.RuntimeManager.Runtime.xml, and the collection of what is known. docs/end-report.md has the
 * table from causes to Result and Reason. */

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum RuntimeState {
        RUNTIME_STARTING,
        RUNTIME_PREPARING,
        RUNTIME_CONNECTING,
        RUNTIME_INITIALIZING,
        RUNTIME_READY,
        RUNTIME_STOPPING,
        RUNTIME_ENDED,
        _RUNTIME_STATE_MAX,
} RuntimeState;

const char *runtime_state_to_string(RuntimeState state);
/* -EINVAL if there is no such state. */
int runtime_state_from_string(const char *text, RuntimeState *ret);
/* The table of allowed moves. */
bool runtime_state_may_follow(RuntimeState from, RuntimeState to);

typedef enum Result {
        RESULT_SUCCESS,
        RESULT_EXIT_CODE,
        RESULT_SIGNAL,
        RESULT_CORE_DUMP,
        RESULT_OOM_KILL,
        RESULT_TIMEOUT,
        RESULT_SETUP_FAILED,
        RESULT_START_FAILED,
        RESULT_HANDSHAKE_FAILED,
        RESULT_STOPPED,
        RESULT_OWNER_LOST,
        RESULT_LOST,
        _RESULT_MAX,
} Result;

const char *result_to_string(Result result);

typedef enum Reason {
        REASON_EXITED,
        REASON_KILLED,
        REASON_DUMPED,
        REASON_OOM_KILL,
        REASON_SETUP_STEP_FAILED,
        REASON_SETUP_DEADLINE,
        REASON_EXECUTABLE_NOT_FOUND,
        REASON_EXEC_FAILED,
        REASON_START_DEADLINE,
        REASON_HANDSHAKE_DEADLINE,
        REASON_EXITED_BEFORE_READY,
        REASON_PROTOCOL_VIOLATION,
        REASON_CONNECTION_CLOSED,
        REASON_INITIALIZE_FAILED,
        REASON_RUNTIME_MAX,
        REASON_STOP_REQUESTED,
        REASON_OWNER_GONE,
        REASON_NO_OWNER,
        REASON_UNIT_STOPPED,
        REASON_KEEPER_LOST,
        REASON_SCOPE_FAILED,
        _REASON_MAX,
} Reason;

/* The tables behind these functions, for records. */
extern const char *const runtime_state_names[_RUNTIME_STATE_MAX];
extern const char *const reason_names[_REASON_MAX];

const char *reason_to_string(Reason reason);
/* -EINVAL if there is no such reason. */
int reason_from_string(const char *text, Reason *ret);

typedef enum RequestedBy {
        REQUESTED_BY_NOBODY,
        REQUESTED_BY_CLIENT,
        REQUESTED_BY_OWNER,
        REQUESTED_BY_LIMIT,
        REQUESTED_BY_SYSTEM,
        _REQUESTED_BY_MAX,
} RequestedBy;

const char *requested_by_to_string(RequestedBy by); /* NULL for nobody */

typedef enum StopStage {
        STOP_STAGE_NONE,
        STOP_STAGE_REQUEST,   /* the kind's own way */
        STOP_STAGE_TERMINATE, /* SIGTERM */
        STOP_STAGE_KILL,      /* SIGKILL to the payload */
        STOP_STAGE_UNIT,      /* to the unit, the keeper too: the keeper doesn't answer */
        _STOP_STAGE_MAX,
} StopStage;

const char *stop_stage_to_string(StopStage stage); /* NULL for none */

/* UINT64_MAX: not known. */
typedef struct Report {
        Result result;
        Reason reason;
        char *message;
        RuntimeState phase;
        char *step;
        uint64_t step_first_line, step_last_line;
        bool has_exit_code, has_signal, has_leftovers;
        int exit_code;
        int signal;
        RequestedBy requested_by;
        uid_t requested_by_uid; /* with REQUESTED_BY_CLIENT */
        StopStage stop_stage;
        uint32_t leftovers;
        uint64_t duration_usec, cpu_usage_nsec, memory_peak, oom_kills;
        uint64_t last_line;
        char *output_tail;
} Report;

Report *report_new(void);
Report *report_free(Report *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Report, report_free)

/* As a JSON object, and back: what is there is replaced, and nothing may be left over. -EBADMSG. */
int report_to_record(const Report *report, json_t **ret);
int report_from_record(Report *report, json_t *record);

/* Sets status and, unless the cause of the end is known already (had_cause), what follows from it for result, reason and message.
 * code and status as in struct link_exited. */
void report_set_exit(Report *report, int code, int status, bool oom, bool had_cause);
/* The end is that there was no memory left, whatever it was before. */
void report_set_oom_kill(Report *report);

/* Puts the words that a kind has for an unexpected end (NULL: none) in the place of a message's "The process". Takes the message. */
char *report_name_subject(char *message, const char *terminated);
