/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A runtime as a record: what the next daemon must know and can't learn from the keeper. Written whole, in one go, whenever something of it has changed and
 * before anybody hears of it; read strictly, for a half-understood record would do more harm than none.
 *
 * What a keeper is to do once (a message of the handshake, a signal) is an effect: it gets a number, is recorded, and then asked for. A daemon that comes back
 * asks for the last one again, and the keeper, which knows the numbers, does nothing if it has been done. */

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "core/fields.h"
#include "core/limits-record.h"
#include "core/runtime-private.h"
#include "util/message-ids.h"
#include "util/names.h"

#define RECORD_VERSION 1

static const Field runtime_fields[] = {
        {"id", FIELD_STRING, offsetof(Runtime, name), NULL, 0},
        FIELD(Runtime, UINT64, created_usec),
        FIELD_OF(Runtime, state, runtime_state_names),
        FIELD_OF(Runtime, previous_state, runtime_state_names),
        FIELD(Runtime, UINT64, start_timestamp),
        FIELD(Runtime, UINT64, ready_timestamp),
        FIELD(Runtime, UINT64, end_timestamp),
        FIELD(Runtime, UINT64, executed_usec),
        FIELD(Runtime, UINT64, ended_usec),
        FIELD(Runtime, UINT64, over_usec),
        FIELD(Runtime, UINT64, deadline_usec),
        FIELD(Runtime, UINT64, owner_usec),
        FIELD_OF(Runtime, owner_reason, reason_names),
        FIELD(Runtime, UINT64, max_usec),
        FIELD(Runtime, UINT64, handshake_timeout_usec),
        FIELD(Runtime, UINT64, max_timeout_usec),
        FIELD(Runtime, UINT64, stop_timeout_usec),
        FIELD(Runtime, STRING, unit),
        FIELD(Runtime, STRING, control_group),
        FIELD(Runtime, INT, scope_attempts),
        FIELD(Runtime, BOOL, has_unit),
        FIELD(Runtime, INT, keeper_pid),
        FIELD(Runtime, BOOL, run_sent),
        FIELD(Runtime, BOOL, collecting),
        FIELD(Runtime, BOOL, done),
        FIELD(Runtime, INT, told),
        FIELD(Runtime, BOOL, is_told),
        FIELD(Runtime, INT, command),
        FIELD(Runtime, INT, main_pid),
        FIELD(Runtime, UINT64, control_number),
        FIELD(Runtime, UINT64, effect),
        FIELD(Runtime, NULL_STRING, effect_message),
        FIELD(Runtime, INT, effect_who),
        FIELD(Runtime, INT, effect_signal),
        FIELD(Runtime, STRING, status_text),
        FIELD(Runtime, STRING, node),
        FIELD(Runtime, NULL_STRING, connection),
        FIELD(Runtime, INT, generation),
        FIELD(Runtime, UINT64, lines_before),
        FIELD(Runtime, BOOL, started),
        FIELD(Runtime, BOOL, has_run),
        FIELD(Runtime, BOOL, has_cause),
        FIELD(Runtime, BOOL, exited),
        FIELD(Runtime, INT, exit_code),
        FIELD(Runtime, INT, exit_status),
        FIELD(Runtime, UINT64, exited_usec),
        FIELD(Runtime, INT, first_stage),
        FIELD(Runtime, INT, stop_stage),
        FIELD(Runtime, BOOL, killed),
        FIELD(Runtime, BOOL, oom_killed),
        FIELD(Runtime, UINT64, warned_kills),
        FIELD(Runtime, UINT64, warned_high),
        FIELD(Runtime, BOOL, told_closed),
        FIELD(Runtime, NULL_STRING, closed),
        FIELD(Runtime, NULL_STRING, start_error),
        FIELD(Runtime, BOOL, ring_saved),
        FIELD(Runtime, BOOL, told_end),
        FIELD(Runtime, BOOL, again),
};

/* What a runtime still needs of its kind when it runs. The kind's file may be another by then. */
static const char *const handshake_type_names[_KIND_HANDSHAKE_TYPE_MAX] = {
        [KIND_HANDSHAKE_EXEC] = "exec",
        [KIND_HANDSHAKE_LINE] = "line",
        [KIND_HANDSHAKE_NOTIFY] = "notify",
        [KIND_HANDSHAKE_PROTOCOL] = "protocol",
};

static const Field kind_fields[] = {
        FIELD(Kind, STRING, name),
        FIELD(Kind, NULL_STRING, terminated),
        FIELD_OF(Kind, handshake.type, handshake_type_names),
        FIELD(Kind, NULL_STRING, stop.message),
        FIELD(Kind, INT, stop.signal),
        FIELD(Kind, UINT64, stop.timeout_usec),
        FIELD(Kind, NULL_STRING, interrupt.message),
        FIELD(Kind, INT, interrupt.signal),
};

static const Field step_fields[] = {
        FIELD(KindPlanStep, STRING, name),
        FIELD(KindPlanStep, NULL_STRING, failure),
        FIELD(KindPlanStep, UINT64, timeout_usec),
};

static json_t *struct_to_json(const Field *fields, size_t n_fields, const void *container) {
        json_t *object = json_object();

        if (fields_write(object, fields, n_fields, container) < 0) {
                json_decref(object);
                return NULL;
        }
        return object;
}

static int struct_from_json(json_t *object, const Field *fields, size_t n_fields, void *container) {
        int r;

        if (!json_is_object(object))
                return -EBADMSG;
        r = fields_read(object, fields, n_fields, container);
        return r < 0 || json_object_size(object) == 0 ? r : -EBADMSG;
}

static json_t *steps_to_json(const KindPlan *plan) {
        json_t *array = json_array();

        for (size_t i = 0; i < plan->n_steps; i++)
                (void) json_array_append_new(array, struct_to_json(step_fields, ELEMENTSOF(step_fields), &plan->steps[i]));
        return array;
}

static int steps_from_json(json_t *array, KindPlan *plan) {
        size_t n = json_array_size(array);

        if (!json_is_array(array) || n > KIND_STEPS_MAX)
                return -EBADMSG;
        plan->steps = g_new0(KindPlanStep, n);
        for (plan->n_steps = 0; plan->n_steps < n; plan->n_steps++) {
                int r;

                r = struct_from_json(json_array_get(array, plan->n_steps), step_fields, ELEMENTSOF(step_fields), &plan->steps[plan->n_steps]);
                if (r < 0) {
                        g_free(plan->steps[plan->n_steps].name);
                        g_free(plan->steps[plan->n_steps].failure);
                        return r;
                }
        }
        return 0;
}

static json_t *handshake_to_json(const Handshake *handshake) {
        return json_pack("{s:s,s:s,s:I}", "init_ref", handshake_init_ref(handshake), "phase", handshake_phase_to_string(handshake_phase(handshake)), "next_id",
                         (json_int_t) handshake_next_id(handshake));
}

static int handshake_from_json(json_t *object, Runtime *runtime) {
        const char *init_ref, *phase_name;
        json_int_t next_id;
        int phase, r;

        if (json_unpack(object, "{s:s,s:s,s:I!}", "init_ref", &init_ref, "phase", &phase_name, "next_id", &next_id) < 0)
                return -EBADMSG;
        phase = handshake_phase_from_string(phase_name);
        if (phase < 0)
                return -EBADMSG;
        r = handshake_new((HandshakeType) runtime->kind->handshake.type, runtime->name, init_ref, &runtime->handshake);
        if (r < 0)
                return r == -EINVAL ? -EBADMSG : r;
        /* One that is to be counted on from, and no answer to which can be on its way. */
        if (next_id < handshake_next_id(runtime->handshake) || next_id > INT64_MAX / 2)
                return -EBADMSG;
        handshake_set_phase(runtime->handshake, phase, next_id);
        return 0;
}

static bool runtime_name_fits(const Runtime *runtime) {
        g_autofree char *name = runtime_name(runtime->context->many_users, runtime->options->uid, runtime->options->id);

        return strcmp(name, runtime->name) == 0 && runtime->context->many_users == !!runtime->options->user;
}

static char *boot_id(void) {
        char text[SD_ID128_STRING_MAX];
        sd_id128_t id;

        return sd_id128_get_boot(&id) < 0 ? NULL : g_strdup(sd_id128_to_string(id, text));
}

static int add(json_t *record, const char *name, json_t *value) {
        return json_object_set_new(record, name, value) < 0 ? -EINVAL : 0;
}

static int runtime_to_record(const Runtime *runtime, json_t *record) {
        g_autofree char *boot = boot_id();
        json_t *report, *options;
        int r;

        r = fields_write(record, runtime_fields, ELEMENTSOF(runtime_fields), runtime);
        if (r >= 0)
                r = report_to_record(runtime->report, &report);
        if (r >= 0)
                r = add(record, "report", report);
        if (r >= 0)
                r = start_options_to_record(runtime->options, &options);
        if (r >= 0)
                r = add(record, "options", options);
        if (r >= 0)
                r = add(record, "version", json_integer(RECORD_VERSION));
        if (r >= 0)
                r = add(record, "boot", boot ? json_string(boot) : json_null());
        if (r >= 0)
                r = add(record, "kind", struct_to_json(kind_fields, ELEMENTSOF(kind_fields), runtime->kind));
        if (r >= 0)
                r = add(record, "steps", steps_to_json(runtime->plan));
        if (r >= 0)
                r = add(record, "limits", limit_set_to_record(&runtime->limits));
        if (r >= 0 && runtime->handshake)
                r = add(record, "handshake", handshake_to_json(runtime->handshake));
        return r;
}

/* Said once, and once more when it works again: a full disk would fill the log too. */
static void runtime_note_saved(Runtime *runtime, int r) {
        if (runtime->unsaved == (r < 0))
                return;
        runtime->unsaved = r < 0;
        if (r < 0)
                runtime_log(runtime, JOURNAL_WARNING, MESSAGE_ID_RECORD_UNWRITABLE, NULL,
                            "The record of runtime %s can't be written (%s); it would not survive the service as it is now.", runtime->name, g_strerror(-r));
        else
                runtime_log(runtime, JOURNAL_NOTICE, MESSAGE_ID_RECORD_WRITABLE, NULL, "The record of runtime %s can be written again.", runtime->name);
}

int runtime_save(Runtime *runtime) {
        json_t *record;
        int r;

        /* Until it goes on, the record that it came from stands. */
        if (runtime->returning)
                return 0;
        record = json_object();
        r = runtime_to_record(runtime, record);
        if (r >= 0)
                r = record_store_save(runtime->context->records, runtime->name, RECORD_FILE, record);
        json_decref(record);
        runtime_note_saved(runtime, r);
        return r;
}

void runtime_save_ring(Runtime *runtime) {
        int r;

        if (runtime->ring_saved || runtime->ring_fd < 0)
                return;
        r = record_store_save_ring(runtime->context->records, runtime->name, runtime->ring_fd);
        runtime->ring_saved = r >= 0;
        if (r < 0)
                runtime_note_saved(runtime, r);
}

int runtime_send_once(Runtime *runtime, const char *message) {
        runtime->effect++;
        g_free(runtime->effect_message);
        runtime->effect_message = g_strdup(message);
        runtime->effect_signal = 0;
        (void) runtime_save(runtime);
        return keeper_link_send(runtime->link, message, runtime->effect, NULL, NULL);
}

int runtime_signal_once(Runtime *runtime, enum link_who who, int signo) {
        runtime->effect++;
        g_clear_pointer(&runtime->effect_message, g_free);
        runtime->effect_who = who;
        runtime->effect_signal = signo;
        (void) runtime_save(runtime);
        return keeper_link_signal(runtime->link, who, signo, runtime->effect, NULL, NULL);
}

void runtime_repeat_effect(Runtime *runtime) {
        if (runtime->effect_message)
                (void) keeper_link_send(runtime->link, runtime->effect_message, runtime->effect, NULL, NULL);
        else if (runtime->effect_signal != 0)
                (void) keeper_link_signal(runtime->link, runtime->effect_who, runtime->effect_signal, runtime->effect, NULL, NULL);
}

/* The parts that are objects of their own. Each is taken out of the record, so that nothing may be left. */
static int runtime_read_parts(Runtime *runtime, json_t *record) {
        json_t *handshake = json_object_get(record, "handshake");
        int r;

        runtime->kind = g_new0(Kind, 1);
        runtime->kind->n_ref = 1;
        runtime->plan = g_new0(KindPlan, 1);
        r = struct_from_json(json_object_get(record, "kind"), kind_fields, ELEMENTSOF(kind_fields), runtime->kind);
        if (r >= 0)
                r = steps_from_json(json_object_get(record, "steps"), runtime->plan);
        if (r >= 0)
                r = limit_set_from_record(json_object_get(record, "limits"), &runtime->limits);
        if (r >= 0)
                r = report_from_record(runtime->report, json_object_get(record, "report"));
        if (r >= 0)
                r = start_options_from_record(json_object_get(record, "options"), &runtime->options);
        if (r >= 0 && handshake)
                r = handshake_from_json(handshake, runtime);
        if (r < 0)
                return r;
        return json_object_size(record) == (handshake ? 8 : 7) ? 0 : -EBADMSG;
}

static bool runtime_is_sane(const Runtime *runtime) {
        unsigned n_steps = runtime_n_steps(runtime);

        if (!kind_name_is_valid(runtime->kind->name) || !runtime_name_fits(runtime))
                return false;
        if (runtime->command > n_steps || runtime->told > n_steps || runtime->first_stage >= _STOP_STAGE_MAX || runtime->stop_stage >= _STOP_STAGE_MAX)
                return false;
        if (runtime->state == RUNTIME_PREPARING && runtime->command >= n_steps)
                return false;
        /* A start that failed while it was made again has none. */
        return runtime->handshake || runtime->state >= RUNTIME_STOPPING;
}

int runtime_new_from_record(const RuntimeContext *context, json_t *record, const RuntimeHandler *handler, void *userdata, Runtime **ret) {
        const char *boot = json_string_value(json_object_get(record, "boot"));
        g_autofree char *this_boot = boot_id();
        Runtime *runtime;
        int r;

        if (json_integer_value(json_object_get(record, "version")) != RECORD_VERSION)
                return -EBADMSG;
        if (g_strcmp0(boot, this_boot) != 0)
                return boot ? -ESTALE : -EBADMSG;
        r = runtime_alloc(context, handler, userdata, &runtime);
        if (r < 0)
                return r;
        runtime->returning = true;
        r = fields_read(record, runtime_fields, ELEMENTSOF(runtime_fields), runtime);
        runtime->over = runtime->told_end;
        if (r >= 0)
                r = runtime_read_parts(runtime, record);
        if (r >= 0 && !runtime_is_sane(runtime))
                r = -EBADMSG;
        if (r < 0) {
                runtime_free(runtime);
                return r;
        }
        *ret = runtime;
        return 0;
}
