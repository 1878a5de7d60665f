/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A runtime as an object: its memory, its state and deadline, what may be asked of it and when.
 *
 * The state is written by runtime_set_state() alone, which holds every move against the table, sets the one deadline of the new state, and
 * tells the news in the order clients rely on: properties first, then the state. What leads up to ready is in runtime-start.c, what leads down from
 * there in runtime-end.c. */

#include "core/runtime.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#include "core/cgroup.h"
#include "core/runtime-private.h"
#include "core/sd-autoptr.h"
#include "util/names.h"
#include "util/spawner.h"

/* Deadlines are about seconds: a little slack lets the kernel serve several with one wake-up. */
#define TIMER_ACCURACY_USEC (5 * USEC_PER_MSEC)
/* A runtime may say things of itself as often as it likes; this often they are told. */
#define CHATTER_USEC (100 * USEC_PER_MSEC)

uint64_t now_usec(clockid_t clock) {
        struct timespec now;

        (void) clock_gettime(clock, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + now.tv_nsec / NSEC_PER_USEC;
}

unsigned runtime_n_steps(const Runtime *runtime) {
        return runtime->plan->n_steps;
}

bool runtime_is_main_command(const Runtime *runtime, uint32_t command) {
        return command == runtime_n_steps(runtime);
}

void runtime_changed(Runtime *runtime, unsigned properties) {
        runtime->changed |= properties;
}

void runtime_announce(Runtime *runtime) {
        unsigned changed = runtime->changed;

        runtime->changed = 0;
        runtime->chatter_usec = USEC_INFINITY;
        if (changed == 0)
                return;
        (void) runtime_save(runtime);
        runtime->announced_usec = now_usec(CLOCK_MONOTONIC);
        runtime->handler->on_properties(runtime->userdata, runtime, changed);
}

void runtime_announce_chatter(Runtime *runtime) {
        if (runtime->changed == 0)
                return;
        if (now_usec(CLOCK_MONOTONIC) >= runtime->announced_usec + CHATTER_USEC) {
                runtime_announce(runtime);
                return;
        }
        runtime->chatter_usec = runtime->announced_usec + CHATTER_USEC;
        runtime_set_timer(runtime);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Runtime *runtime = userdata;

        runtime_on_timer(runtime);
        return 0;
}

void runtime_set_deadline(Runtime *runtime, uint64_t deadline_usec) {
        runtime->deadline_usec = deadline_usec;
        runtime_changed(runtime, RUNTIME_PROPERTY_DEADLINE);
        runtime_set_timer(runtime);
}

void runtime_set_timer(Runtime *runtime) {
        uint64_t next = MIN_OF(runtime->deadline_usec, runtime->chatter_usec);

        if (runtime->state < RUNTIME_STOPPING)
                next = MIN_OF(next, MIN_OF(runtime->max_usec, runtime->owner_usec));
        if (runtime->returning)
                next = runtime->search_usec;
        (void) sd_event_source_set_time(runtime->timer, next);
        (void) sd_event_source_set_enabled(runtime->timer, next == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

void runtime_set_state(Runtime *runtime, RuntimeState state, uint64_t deadline_usec) {
        RuntimeState old = runtime->state;

        g_assert(runtime_state_may_follow(old, state));
        runtime->previous_state = old;
        runtime->state = state;
        if (old == RUNTIME_STARTING)
                runtime_end_turn(runtime);
        runtime_changed(runtime, RUNTIME_PROPERTY_STATE);
        runtime_set_deadline(runtime, deadline_usec);
        runtime_announce(runtime);
        runtime->handler->on_state(runtime->userdata, runtime, old, state);
}

static void runtime_set_timeouts(Runtime *runtime, const RuntimeParameters *parameters) {
        runtime->handshake_timeout_usec = parameters->handshake_usec;
        runtime->max_timeout_usec = parameters->max_usec;
        if (runtime->options->timeout_stop_usec != TIME_UNSET)
                runtime->stop_timeout_usec = runtime->options->timeout_stop_usec;
        else
                runtime->stop_timeout_usec = runtime->kind->stop.timeout_usec != KIND_UNSET ? runtime->kind->stop.timeout_usec : STOP_TIMEOUT_DEFAULT_USEC;
}

char *runtime_name(bool many_users, uid_t uid, const char *id) {
        return many_users ? g_strdup_printf("u%lu_%s", (unsigned long) uid, id) : g_strdup(id);
}

char *runtime_directory_of(const RuntimeContext *context, const char *name) {
        return g_build_filename(context->many_users ? SPAWNER_RUNTIMES : context->directory, name, NULL);
}

void runtime_remove_directory(const RuntimeContext *context, const char *name) {
        g_autofree char *unit = NULL;

        if (!context->many_users)
                return;
        /* It goes by the name alone; the unit may never have been. */
        unit = g_strdup_printf(RM_UNIT_PREFIX "command-%s.scope", name);
        scope_bus_remove_folder(context->scopes, unit);
}

const char *runtime_name_parse(bool many_users, const char *name, uid_t *ret_uid) {
        guint64 uid;
        char *end;

        if (!many_users) {
                *ret_uid = getuid();
                return name;
        }
        if (name[0] != 'u' || !g_ascii_isdigit(name[1]))
                return NULL;
        uid = g_ascii_strtoull(name + 1, &end, 10);
        if (uid >= UINT32_MAX || end[0] != '_' || end[1] == '\0')
                return NULL;
        *ret_uid = (uid_t) uid;
        return end + 1;
}

int runtime_alloc(const RuntimeContext *context, const RuntimeHandler *handler, void *userdata, Runtime **ret) {
        Runtime *runtime;
        int r;

        runtime = g_new0(Runtime, 1);
        *runtime = (Runtime){
                .context = context,
                .handler = handler,
                .userdata = userdata,
                .ring_fd = -EBADF,
                .spec_fd = -EBADF,
                .keeper_pidfd = -EBADF,
                .created_usec = now_usec(CLOCK_MONOTONIC),
                .start_timestamp = now_usec(CLOCK_REALTIME),
                .deadline_usec = USEC_INFINITY,
                .max_usec = USEC_INFINITY,
                .owner_usec = USEC_INFINITY,
                .search_usec = USEC_INFINITY,
                .generation = 1,
                .chatter_usec = USEC_INFINITY,
                .unit = g_strdup(""),
                .control_group = g_strdup(""),
                .status_text = g_strdup(""),
                .node = g_strdup(""),
                .report = report_new(),
        };
        r = sd_event_add_time(context->event, &runtime->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC, on_timer, runtime);
        if (r < 0) {
                runtime_free(runtime);
                return r;
        }
        (void) sd_event_source_set_enabled(runtime->timer, SD_EVENT_OFF);
        *ret = runtime;
        return 0;
}

int runtime_new(const RuntimeContext *context, RuntimeParameters *parameters, const RuntimeHandler *handler, void *userdata, Runtime **ret) {
        g_autoptr(StartOptions) options = g_steal_pointer(&parameters->options);
        g_autoptr(KindPlan) plan = g_steal_pointer(&parameters->plan);
        Runtime *runtime;
        int r;

        r = runtime_alloc(context, handler, userdata, &runtime);
        if (r < 0)
                return r;
        runtime->name = g_strdup(parameters->name);
        runtime->kind = kind_ref(parameters->kind);
        runtime->options = g_steal_pointer(&options);
        runtime->plan = g_steal_pointer(&plan);
        runtime->limits = parameters->limits;
        runtime_set_timeouts(runtime, parameters);

        r = runtime->ring_fd = ring_create(runtime->options->ring_bytes, 0);
        if (r < 0)
                goto fail;
        r = ring_reader_init(&runtime->ring, runtime->ring_fd);
        if (r < 0)
                goto fail;
        r = runtime_make_spec(runtime, parameters);
        if (r < 0)
                goto fail;
        r = handshake_new((HandshakeType) runtime->kind->handshake.type, parameters->name, parameters->init_ref, &runtime->handshake);
        if (r < 0)
                goto fail;
        *ret = runtime;
        return 0;

fail:
        runtime_free(runtime);
        return r;
}

void runtime_reap_keeper(Runtime *runtime) {
        siginfo_t info;

        /* One that the spawner has started is neither ours to signal nor to wait for; its link has been closed, which is enough. */
        (void) pidfd_send_signal(runtime->keeper_pidfd, SIGKILL, NULL, 0);
        (void) waitid(P_PIDFD, runtime->keeper_pidfd, &info, WEXITED);
        runtime->keeper_pidfd = fd_close(runtime->keeper_pidfd);
        runtime->keeper_pid = 0;
}

Runtime *runtime_free(Runtime *runtime) {
        if (!runtime)
                return NULL;
        sd_event_source_disable_unref(runtime->timer);
        sd_event_source_disable_unref(runtime->keeper_source);
        keeper_link_free(runtime->link);
        if (runtime->keeper_pid > 0 && !runtime->run_sent)
                runtime_reap_keeper(runtime);
        scope_free(runtime->scope);
        turn_end(&runtime->turn);
        handshake_free(runtime->handshake);
        ring_reader_done(&runtime->ring);
        fd_close(runtime->ring_fd);
        fd_close(runtime->spec_fd);
        fd_close(runtime->keeper_pidfd);
        kind_plan_free(runtime->plan);
        kind_unref(runtime->kind);
        start_options_free(runtime->options);
        report_free(runtime->report);
        g_free(runtime->name);
        g_free(runtime->program);
        g_free(runtime->directory);
        g_free(runtime->unit);
        g_free(runtime->control_group);
        g_free(runtime->status_text);
        g_free(runtime->node);
        free(runtime->connection);
        g_free(runtime->start_error);
        g_free(runtime->closed);
        g_free(runtime->effect_message);
        g_free(runtime);
        return NULL;
}

/* Back to how a new runtime is, but for what goes on: id, options, the ring. */
static void runtime_reset(Runtime *runtime, RuntimeParameters *parameters) {
        kind_unref(runtime->kind);
        runtime->kind = kind_ref(parameters->kind);
        kind_plan_free(runtime->plan);
        runtime->plan = g_steal_pointer(&parameters->plan);
        runtime->handshake = handshake_free(runtime->handshake);
        runtime->report = report_free(runtime->report);
        runtime->report = report_new();
        g_clear_pointer(&runtime->start_error, g_free);
        g_clear_pointer(&runtime->connection, free);
        g_free(runtime->status_text);
        runtime->status_text = g_strdup("");
        g_free(runtime->node);
        runtime->node = g_strdup("");

        g_clear_pointer(&runtime->effect_message, g_free);

        runtime->ready_timestamp = runtime->end_timestamp = runtime->executed_usec = runtime->ended_usec = runtime->over_usec = 0;
        runtime->control_number = runtime->effect = 0;
        runtime->effect_who = runtime->effect_signal = 0;
        runtime->ring_saved = runtime->over = runtime->told_end = runtime->found = runtime->refused = runtime->start_lost = false;
        runtime->max_usec = runtime->owner_usec = USEC_INFINITY;
        runtime->scope_attempts = runtime->command = 0;
        runtime->run_sent = runtime->collecting = runtime->done = runtime->started = false;
        runtime->has_cause = runtime->ending = runtime->exited = false;
        runtime->is_told = runtime->killed = runtime->oom_killed = runtime->told_closed = runtime->has_unit = false;
        runtime->warned_kills = runtime->warned_high = runtime->warn_oom_usec = runtime->warn_high_usec = runtime->logged_warnings = 0;
        runtime->limits = parameters->limits;
        g_clear_pointer(&runtime->closed, g_free);
        runtime->chatter_usec = USEC_INFINITY;
        runtime->told = 0;
        runtime->first_stage = runtime->stop_stage = STOP_STAGE_NONE;
        runtime->scope_result = SCOPE_RESULT_UNKNOWN;
        runtime->generation++;
        runtime->lines_before = ring_reader_last(&runtime->ring);
        runtime->spec_fd = fd_close(runtime->spec_fd);
        runtime_set_timeouts(runtime, parameters);
        runtime_changed(runtime, RUNTIME_PROPERTY_STATUS_TEXT | RUNTIME_PROPERTY_NODE | RUNTIME_PROPERTY_READY_TIMESTAMP | RUNTIME_PROPERTY_END_TIMESTAMP |
                                         RUNTIME_PROPERTY_END_REPORT | RUNTIME_PROPERTY_GENERATION | RUNTIME_PROPERTY_UNIT | RUNTIME_PROPERTY_LIMITS);
}

void runtime_restart(Runtime *runtime, RuntimeParameters *parameters) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        int r;

        g_assert(runtime->state == RUNTIME_ENDED);
        runtime_reset(runtime, parameters);
        /* First: a record of a runtime that starts has one. */
        r = handshake_new((HandshakeType) runtime->kind->handshake.type, parameters->name, parameters->init_ref, &runtime->handshake);
        runtime_set_state(runtime, RUNTIME_STARTING, now_usec(CLOCK_MONOTONIC) + runtime->options->timeout_start_usec);

        if (r >= 0)
                r = runtime_make_spec(runtime, parameters);
        if (r >= 0)
                r = runtime_start(runtime, &error);
        if (r < 0)
                runtime_give_up_start(runtime, REASON_SCOPE_FAILED, RM_ERROR_START_FAILED, g_strdup(error.message ?: g_strerror(-r)));
}

void runtime_expect_owner(Runtime *runtime, uint64_t usec, Reason reason) {
        if (runtime->state >= RUNTIME_STOPPING)
                return;
        runtime->owner_usec = usec == USEC_INFINITY ? USEC_INFINITY : now_usec(CLOCK_MONOTONIC) + usec;
        runtime->owner_reason = reason;
        runtime_set_timer(runtime);
        (void) runtime_save(runtime);
}

const char *runtime_get_input(const Runtime *runtime) {
        return runtime->options->input_terminal ? "terminal" : runtime->options->input_pipe ? "pipe" : "null";
}

int runtime_set_limits(Runtime *runtime, const LimitSet *limits, unsigned keys, ScopeLimitsFunc done, void *userdata, sd_bus_error *reterr) {
        int r;

        /* Not before its keeper has set those that it was started with. */
        if (!runtime->scope || !runtime->scope_up || !runtime->started)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" has no scope to limit (state %s).", runtime->options->id,
                                         runtime_state_to_string(runtime->state));
        r = scope_set_limits(runtime->scope, limits, keys, done, userdata);
        if (r == -EBUSY)
                return sd_bus_error_set(reterr, RM_ERROR_BAD_STATE, "Other limits are just being set; try again.");
        if (r < 0)
                return sd_bus_error_set(reterr, RM_ERROR_BAD_STATE, "systemd can't be asked to set limits at the moment; try again.");
        return 0;
}

/* What the payload has of its own; a kernel that doesn't know a limit can't be told it, and then systemd couldn't either. */
static void runtime_limit_payload(const Runtime *runtime, unsigned keys) {
        const uint64_t *value = runtime->limits.value;

        /* Where there are many users it is the spawner that has the right to. */
        if (runtime->control_group[0] == '\0' || runtime->context->many_users)
                return;
        if (keys & (1U << LIMIT_MEMORY_MAX))
                cgroup_limit_memory(runtime->control_group, RM_CGROUP_PAYLOAD, "memory.max", limit_payload_memory(value[LIMIT_MEMORY_MAX]));
        if (keys & (1U << LIMIT_MEMORY_HIGH))
                cgroup_limit_memory(runtime->control_group, RM_CGROUP_PAYLOAD, "memory.high", value[LIMIT_MEMORY_HIGH]);
}

void runtime_limits_changed(Runtime *runtime, const LimitSet *limits, unsigned keys) {
        runtime->limits = *limits;
        runtime_limit_payload(runtime, keys);
        runtime_changed(runtime, RUNTIME_PROPERTY_LIMITS);
        runtime_announce(runtime);
}

int runtime_watch_output(Runtime *runtime, uint64_t after) {
        return runtime->link ? keeper_link_watch(runtime->link, after) : 0;
}

void runtime_set_again(Runtime *runtime, bool again) {
        if (runtime->again == again)
                return;
        runtime->again = again;
        (void) runtime_save(runtime);
}

bool runtime_get_again(const Runtime *runtime) {
        return runtime->again;
}

bool runtime_has_run(const Runtime *runtime) {
        return runtime->has_run;
}

bool runtime_is_over(const Runtime *runtime) {
        return runtime->over;
}

bool runtime_is_start_lost(const Runtime *runtime) {
        return runtime->start_lost && !runtime->over;
}

void runtime_set_link(Runtime *runtime, void *link) {
        runtime->link_of_owner = link;
}

void *runtime_get_link(const Runtime *runtime) {
        return runtime->link_of_owner;
}

const char *runtime_get_id(const Runtime *runtime) {
        return runtime->options->id;
}

const char *runtime_get_name(const Runtime *runtime) {
        return runtime->name;
}

uid_t runtime_get_uid(const Runtime *runtime) {
        return runtime->options->uid;
}

uid_t runtime_get_starter_uid(const Runtime *runtime) {
        return runtime->options->starter_uid;
}

const Kind *runtime_get_kind(const Runtime *runtime) {
        return runtime->kind;
}

const StartOptions *runtime_get_options(const Runtime *runtime) {
        return runtime->options;
}

RuntimeState runtime_get_state(const Runtime *runtime) {
        return runtime->state;
}

const char *runtime_get_status_text(const Runtime *runtime) {
        return runtime->status_text;
}

const char *runtime_get_step(const Runtime *runtime) {
        return runtime->state == RUNTIME_PREPARING ? runtime->plan->steps[runtime->command].name : "";
}

unsigned runtime_get_n_steps(const Runtime *runtime) {
        return runtime_n_steps(runtime);
}

uint64_t runtime_get_deadline(const Runtime *runtime) {
        return runtime->deadline_usec;
}

const char *runtime_get_unit(const Runtime *runtime) {
        return runtime->has_unit ? runtime->unit : "";
}

const char *runtime_get_control_group(const Runtime *runtime) {
        return runtime->control_group;
}

pid_t runtime_get_main_pid(const Runtime *runtime) {
        return runtime->main_pid;
}

const char *runtime_get_node(const Runtime *runtime) {
        return runtime->node;
}

const LimitSet *runtime_get_limits(const Runtime *runtime) {
        return &runtime->limits;
}

uint64_t runtime_get_start_timestamp(const Runtime *runtime) {
        return runtime->start_timestamp;
}

uint64_t runtime_get_ready_timestamp(const Runtime *runtime) {
        return runtime->ready_timestamp;
}

uint64_t runtime_get_end_timestamp(const Runtime *runtime) {
        return runtime->end_timestamp;
}

uint64_t runtime_get_created_usec(const Runtime *runtime) {
        return runtime->created_usec;
}

uint64_t runtime_get_over_usec(const Runtime *runtime) {
        return runtime->over_usec;
}

const Report *runtime_get_report(const Runtime *runtime) {
        return runtime->state == RUNTIME_ENDED ? runtime->report : NULL;
}

const RingReader *runtime_get_ring(const Runtime *runtime) {
        return &runtime->ring;
}

const char *runtime_get_connection(const Runtime *runtime) {
        return runtime->connection;
}

unsigned runtime_get_generation(const Runtime *runtime) {
        return runtime->generation;
}

bool runtime_is_started(const Runtime *runtime) {
        return runtime->started;
}
