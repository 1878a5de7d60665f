/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the journal says of a runtime: that it is started and for whom, that it is ready, how it ended and what it used, and what went wrong meanwhile; nothing
 * else, so that "journalctl RUNTIME_ID=…" is its life on a page. Each entry carries what the runtime is in fields of its own. Nothing here may be a secret: no
 * option, command, environment or cookie, and no words of the runtime's own. */

#include <inttypes.h>
#include <string.h>

#include "core/runtime-private.h"
#include "util/message-ids.h"
#include "util/names.h"

/* The fields that say which runtime it is. */
typedef struct Identity {
        char *uid, *starter_uid, *object, *generation;
        JournalField fields[12];
        unsigned n_fields;
} Identity;

static void identity_add(Identity *identity, const char *name, const char *value) {
        g_assert(identity->n_fields < G_N_ELEMENTS(identity->fields));
        identity->fields[identity->n_fields++] = (JournalField){name, value};
}

static void identity_init(Identity *identity, const Runtime *runtime) {
        const StartOptions *options = runtime->options;

        *identity = (Identity){
                .uid = g_strdup_printf("%u", (unsigned) options->uid),
                .starter_uid = g_strdup_printf("%u", (unsigned) options->starter_uid),
                .object = g_strconcat(RM_RUNTIME_PREFIX "/", runtime->name, NULL),
                .generation = g_strdup_printf("%u", runtime->generation),
        };
        identity_add(identity, "RUNTIME_ID", options->id);
        /* By what root calls it too. */
        if (strcmp(runtime->name, options->id) != 0)
                identity_add(identity, "RUNTIME_ID", runtime->name);
        identity_add(identity, "RUNTIME_KIND", runtime->kind->name);
        identity_add(identity, "RUNTIME_GENERATION", identity->generation);
        identity_add(identity, "RUNTIME_OBJECT", identity->object);
        identity_add(identity, "RUNTIME_UID", identity->uid);
        identity_add(identity, "RUNTIME_USER", options->user ? options->user->name : NULL);
        identity_add(identity, "RUNTIME_STARTER_UID", identity->starter_uid);
}

static void identity_done(Identity *identity) {
        g_free(identity->uid);
        g_free(identity->starter_uid);
        g_free(identity->object);
        g_free(identity->generation);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Identity, identity_done)

char *runtime_journal_fields(const Runtime *runtime) {
        GString *text = g_string_new(NULL);
        g_auto(Identity) identity;

        identity_init(&identity, runtime);
        g_string_append_printf(text, "SYSLOG_IDENTIFIER=" RM_UNIT_PREFIX "%s-%s\n", runtime->kind->name, runtime->name);
        for (unsigned i = 0; i < identity.n_fields; i++)
                if (identity.fields[i].value)
                        journal_append_field(text, identity.fields[i].name, identity.fields[i].value);
        return g_string_free(text, FALSE);
}

void runtime_log(const Runtime *runtime, int priority, const char *message_id, const JournalField *more, const char *format, ...) {
        g_autoptr(GArray) fields = g_array_new(TRUE, FALSE, sizeof(JournalField));
        /* By these journalctl finds what is about a unit: of a user's manager, or the system's. */
        const JournalField place[] = {
                {"RUNTIME_UNIT", runtime->unit},
                {runtime->context->many_users ? "UNIT" : "USER_UNIT", runtime->unit},
                {"RUNTIME_STATE", runtime_state_to_string(runtime->state)},
        };
        g_auto(Identity) identity;
        va_list arguments;

        if (!runtime->context->journal)
                return;
        identity_init(&identity, runtime);
        g_array_append_vals(fields, identity.fields, identity.n_fields);
        g_array_append_vals(fields, place, G_N_ELEMENTS(place));
        for (; more && more->name; more++)
                g_array_append_vals(fields, more, 1);
        va_start(arguments, format);
        journal_vwrite(runtime->context->journal, priority, message_id, (const JournalField *) (void *) fields->data, format, arguments);
        va_end(arguments);
}

void runtime_log_started(const Runtime *runtime) {
        const StartOptions *options = runtime->options;
        g_autofree char *user = NULL;

        if (runtime->context->many_users)
                user = options->starter_uid == options->uid
                               ? g_strdup_printf(" for user %u", (unsigned) options->uid)
                               : g_strdup_printf(" for user %u, as user %u asked", (unsigned) options->uid, (unsigned) options->starter_uid);
        runtime_log(runtime, JOURNAL_INFO, MESSAGE_ID_STARTED, NULL, "Runtime %s (%s) is being %s%s.", runtime->name, runtime->kind->name,
                    runtime->generation == 1 ? "started" : "started again", user ?: "");
}

void runtime_log_ready(const Runtime *runtime) {
        g_autofree char *took = g_strdup_printf("%" PRIu64, now_usec(CLOCK_MONOTONIC) - runtime->executed_usec);
        const JournalField more[] = {{"RUNTIME_NODE", runtime->node[0] != '\0' ? runtime->node : NULL}, {"RUNTIME_READY_USEC", took}, {}};

        runtime_log(runtime, JOURNAL_INFO, MESSAGE_ID_READY, more, "Runtime %s (%s) is ready, %.3f s after its program began.", runtime->name,
                    runtime->kind->name, (double) (now_usec(CLOCK_MONOTONIC) - runtime->executed_usec) / USEC_PER_SEC);
}

typedef struct End {
        const char *message_id;
        int priority;
} End;

static const End ends[_RESULT_MAX] = {
        [RESULT_SUCCESS] = {MESSAGE_ID_ENDED, JOURNAL_INFO},
        [RESULT_EXIT_CODE] = {MESSAGE_ID_FAILED, JOURNAL_NOTICE},
        [RESULT_SIGNAL] = {MESSAGE_ID_FAILED, JOURNAL_NOTICE},
        [RESULT_CORE_DUMP] = {MESSAGE_ID_FAILED, JOURNAL_NOTICE},
        [RESULT_OOM_KILL] = {MESSAGE_ID_OUT_OF_MEMORY, JOURNAL_NOTICE},
        [RESULT_TIMEOUT] = {MESSAGE_ID_TIMED_OUT, JOURNAL_NOTICE},
        [RESULT_SETUP_FAILED] = {MESSAGE_ID_SETUP_FAILED, JOURNAL_NOTICE},
        [RESULT_START_FAILED] = {MESSAGE_ID_START_FAILED, JOURNAL_NOTICE},
        [RESULT_HANDSHAKE_FAILED] = {MESSAGE_ID_HANDSHAKE_FAILED, JOURNAL_NOTICE},
        [RESULT_STOPPED] = {MESSAGE_ID_STOPPED, JOURNAL_INFO},
        [RESULT_OWNER_LOST] = {MESSAGE_ID_OWNER_LOST, JOURNAL_INFO},
        [RESULT_LOST] = {MESSAGE_ID_LOST, JOURNAL_WARNING},
};

/* " It ran for 1.5 s and used 0.2 s of CPU time and 3.0 MiB of memory.": as far as it is known. */
static char *describe_usage(const Report *report) {
        GString *text = g_string_new(NULL);

        if (report->duration_usec == UINT64_MAX)
                return g_string_free(text, FALSE);
        g_string_append_printf(text, " It ran for %.3f s", (double) report->duration_usec / USEC_PER_SEC);
        if (report->cpu_usage_nsec != UINT64_MAX)
                g_string_append_printf(text, ", and used %.3f s of CPU time", (double) report->cpu_usage_nsec / 1e9);
        if (report->memory_peak != UINT64_MAX)
                g_string_append_printf(text, " and %.1f MiB of memory", (double) report->memory_peak / (1 << 20));
        g_string_append_c(text, '.');
        return g_string_free(text, FALSE);
}

/* Such a message may quote what the runtime said, and that may be how to connect to it. */
static bool quotes_runtime(const Report *report) {
        return report->reason == REASON_PROTOCOL_VIOLATION || report->reason == REASON_INITIALIZE_FAILED;
}

static char *number(uint64_t value) {
        return value == UINT64_MAX ? NULL : g_strdup_printf("%" PRIu64, value);
}

void runtime_log_ended(const Runtime *runtime) {
        const Report *report = runtime->report;
        g_autofree char *duration = number(report->duration_usec), *cpu = number(report->cpu_usage_nsec), *memory = number(report->memory_peak),
                        *usage = describe_usage(report), *code = report->has_exit_code ? number((uint64_t) report->exit_code) : NULL,
                        *signal = report->has_signal ? number((uint64_t) report->signal) : NULL,
                        *by_uid = report->requested_by == REQUESTED_BY_CLIENT ? number(report->requested_by_uid) : NULL;
        const JournalField more[] = {
                {"RUNTIME_RESULT", result_to_string(report->result)},
                {"RUNTIME_REASON", reason_to_string(report->reason)},
                {"RUNTIME_EXIT_CODE", code},
                {"RUNTIME_SIGNAL", signal},
                {"RUNTIME_REQUESTED_BY", requested_by_to_string(report->requested_by)},
                {"RUNTIME_REQUESTED_BY_UID", by_uid},
                {"RUNTIME_DURATION_USEC", duration},
                {"CPU_USAGE_NSEC", cpu},
                {"MEMORY_PEAK", memory},
                {},
        };
        bool by_other = by_uid && report->requested_by_uid != runtime->options->uid;
        const char *message = quotes_runtime(report) ? "Its end report says more." : report->message ?: "";

        /* Livebook's own words (connection timed out) are no sentence. */
        runtime_log(runtime, ends[report->result].priority, ends[report->result].message_id, more, "Runtime %s (%s) ended: %s (%s%s%s): %s%s%s", runtime->name,
                    runtime->kind->name, result_to_string(report->result), reason_to_string(report->reason), by_other ? " by user " : "",
                    by_other ? by_uid : "", message, g_str_has_suffix(message, ".") ? "" : ".", usage);
}

static const char *const warning_codes[_WARNING_MAX] = {
        [WARNING_CONNECTION_CLOSED] = "connection-closed",
        [WARNING_LEFTOVERS] = "leftovers",
        [WARNING_MEMORY_HIGH] = "memory-high",
        [WARNING_OOM_KILL] = "oom-kill",
        [WARNING_SCOPE_LOST] = "scope-lost",
};

void runtime_warn(Runtime *runtime, Warning warning, const char *message, const char *key, uint64_t value) {
        const JournalField more[] = {{"RUNTIME_WARNING", warning_codes[warning]}, {}};
        bool scope_lost = warning == WARNING_SCOPE_LOST;

        /* Some come again and again. */
        if (!(runtime->logged_warnings & (1U << warning)))
                runtime_log(runtime, scope_lost ? JOURNAL_WARNING : JOURNAL_NOTICE, scope_lost ? MESSAGE_ID_SCOPE_LOST : MESSAGE_ID_WARNING, more,
                            "Runtime %s (%s): %s", runtime->name, runtime->kind->name, message);
        runtime->logged_warnings |= 1U << warning;
        runtime->handler->on_warning(runtime->userdata, runtime, warning_codes[warning], message, key, value);
}
