/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the call to the keeper's place in its scope: the keeper is started and waits; the scope is made around it; it is told to run. What it says from then on
 * is in runtime-keeper.c.
 *
 * systemd's word about a fresh scope is held against the process: a scope reported dead while the keeper lives is made again under a new name, and
 * one that is there though the keeper has died is stopped. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#include "core/cgroup.h"
#include "core/runtime-private.h"
#include "core/sd-autoptr.h"
#include "util/names.h"
#include "util/spec.h"
#include "util/text.h"

#define SCOPE_ATTEMPTS 3

/* How long others may be started before it. As each of them has a deadline, this is for a systemd that does nothing at all. */
#define TURN_TIMEOUT_USEC (60 * USEC_PER_SEC)

#define ABANDON_USEC (2 * 60 * USEC_PER_SEC)

/* When systemd is asked to stop a unit, it sends SIGKILL to the keeper too, so that has to come later than our own. A session that ends doesn't wait for
 * ever, though. */
#define UNIT_PATIENCE_MORE_USEC (5 * USEC_PER_SEC)
#define UNIT_PATIENCE_MAX_USEC (90 * USEC_PER_SEC)

static int runtime_ask_for_scope(Runtime *runtime);
static int runtime_ask_again(Runtime *runtime);

static enum spec_transport runtime_transport(const Runtime *runtime) {
        const KindHandshake *handshake = &runtime->kind->handshake;

        switch (handshake->type) {
        case KIND_HANDSHAKE_LINE:
                return SPEC_TRANSPORT_LINE;
        case KIND_HANDSHAKE_NOTIFY:
                return SPEC_TRANSPORT_NOTIFY;
        case KIND_HANDSHAKE_PROTOCOL:
                return handshake->transport == KIND_TRANSPORT_PIPES ? SPEC_TRANSPORT_PIPES : SPEC_TRANSPORT_SOCKET;
        case KIND_HANDSHAKE_EXEC:
        case _KIND_HANDSHAKE_TYPE_MAX:
                break;
        }
        return SPEC_TRANSPORT_NONE;
}

static void spec_add_command(SpecBuilder *spec, uint32_t is_setup, const char *announce, const char *executable, char *const *argv) {
        spec_add(spec, SPEC_COMMAND, &is_setup, sizeof(is_setup));
        if (announce)
                spec_add_string(spec, SPEC_ANNOUNCE, announce);
        spec_add_string(spec, SPEC_EXECUTABLE, executable);
        for (; *argv; argv++)
                spec_add_string(spec, SPEC_ARGUMENT, *argv);
}

/* What we couldn't see as the user sees it. */
static void spec_add_requirements(const Runtime *runtime, SpecBuilder *spec) {
        if (runtime->kind->executable)
                spec_add_string(spec, SPEC_REQUIRED_PROGRAM, runtime->kind->executable);
        if (runtime->plan->required_file)
                spec_add_string(spec, SPEC_REQUIRED_FILE, runtime->plan->required_file);
}

int runtime_make_spec(Runtime *runtime, const RuntimeParameters *parameters) {
        const struct spec_header header = {
                .version = SPEC_VERSION,
                .input = runtime->options->input_terminal ? SPEC_INPUT_TERMINAL
                         : runtime->options->input_pipe   ? SPEC_INPUT_PIPE
                                                          : SPEC_INPUT_NULL,
                .transport = runtime_transport(runtime),
                .flags = (runtime->options->no_new_privileges ? SPEC_NO_NEW_PRIVILEGES : 0) | (runtime->context->many_users ? SPEC_LISTEN | SPEC_LOOK_UP : 0),
                .leftover_usec = runtime->stop_timeout_usec,
                .handshake_usec = runtime->kind->handshake.type == KIND_HANDSHAKE_PROTOCOL ? runtime->handshake_timeout_usec + HANDSHAKE_SLACK_USEC : 0,
                .abandon_usec = ABANDON_USEC,
        };
        const uint64_t memory_high = runtime->limits.value[LIMIT_MEMORY_HIGH];
        SpecBuilder *spec;

        g_free(runtime->program);
        runtime->program = g_strdup(parameters->executable);
        g_free(runtime->directory);
        runtime->directory = g_strdup(parameters->directory);
        spec = spec_new(&header);
        if (!spec)
                return -ENOMEM;
        spec_add_string(spec, SPEC_DIRECTORY, parameters->runtime_directory);
        spec_add_string(spec, SPEC_WORKING_DIRECTORY, parameters->directory);
        for (char **entry = parameters->environment; *entry; entry++)
                spec_add_string(spec, SPEC_ENVIRONMENT, *entry);
        if (runtime->context->many_users)
                spec_add_requirements(runtime, spec);
        if (header.transport == SPEC_TRANSPORT_LINE)
                spec_add_string(spec, SPEC_LINE, runtime->kind->handshake.line);
        if (runtime->options->journal) {
                g_autofree char *fields = runtime_journal_fields(runtime);

                spec_add_string(spec, SPEC_JOURNAL, fields);
                spec_add_string(spec, SPEC_JOURNAL_SOCKET, JOURNAL_SOCKET);
        }
        if (memory_high != UINT64_MAX)
                spec_add(spec, SPEC_MEMORY_HIGH, &memory_high, sizeof(memory_high));
        for (size_t i = 0; i < runtime->plan->n_steps; i++) {
                const KindPlanStep *step = &runtime->plan->steps[i];

                spec_add_command(spec, 1, step->announce, parameters->step_executables[i], step->argv);
        }
        spec_add_command(spec, 0, NULL, parameters->executable, parameters->argv);
        runtime->spec_fd = spec_to_memfd(spec);
        spec_free(spec);
        return runtime->spec_fd < 0 ? runtime->spec_fd : 0;
}

/* Gives the unit its name, and notes it down: a daemon that comes back finds the unit by its name alone. */
static int runtime_name_unit(Runtime *runtime) {
        runtime->scope_attempts++;
        /* Under the same name if something runs: then it is the same cgroup, and the limits are for the processes that are in it already. */
        if (!runtime->run_sent) {
                g_free(runtime->unit);
                runtime->unit = runtime->scope_attempts == 1
                                        ? g_strdup_printf(RM_UNIT_PREFIX "%s-%s.scope", runtime->kind->name, runtime->name)
                                        : g_strdup_printf(RM_UNIT_PREFIX "%s-%s.%u.scope", runtime->kind->name, runtime->name, runtime->scope_attempts);
        }
        return runtime_save(runtime);
}

/* It is its turn: the keeper is started, noted down, and the scope is asked for. The time for the start begins. */
static int runtime_begin(Runtime *runtime, sd_bus_error *reterr) {
        int r;

        r = runtime->context->many_users ? 0 : runtime_start_keeper(runtime);
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "The keeper (%s) could not be started: %s.", runtime->context->keeper_path,
                                         g_strerror(-r));
        runtime_set_deadline(runtime, now_usec(CLOCK_MONOTONIC) + runtime->options->timeout_start_usec);
        r = runtime_name_unit(runtime);
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "The record of the runtime could not be written: %s.", g_strerror(-r));
        r = runtime_ask_for_scope(runtime);
        if (r == -EBUSY)
                r = runtime_ask_again(runtime);
        if (r == -ENOTCONN && runtime->context->many_users)
                return sd_bus_error_set(reterr, RM_ERROR_START_FAILED, "The spawner isn't there at the moment; try again.");
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "systemd could not be asked for a scope: %s.", g_strerror(-r));
        return 0;
}

static void on_turn(void *userdata) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        Runtime *runtime = userdata;

        if (runtime_begin(runtime, &error) < 0)
                runtime_give_up_start(runtime, REASON_SCOPE_FAILED, error.name, g_strdup(error.message));
}

void runtime_end_turn(Runtime *runtime) {
        if (!runtime->scope_pending)
                turn_end(&runtime->turn);
}

/* Recorded as any other that is being started: a daemon that comes back tells that it won't be. */
static int runtime_wait_for_turn(Runtime *runtime, sd_bus_error *reterr) {
        int r;

        runtime_set_deadline(runtime, now_usec(CLOCK_MONOTONIC) + TURN_TIMEOUT_USEC);
        r = runtime_save(runtime);
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "The record of the runtime could not be written: %s.", g_strerror(-r));
        return 0;
}

int runtime_start(Runtime *runtime, sd_bus_error *reterr) {
        bool now = turn_take(runtime->context->starts, runtime->options->uid, on_turn, runtime, &runtime->turn);
        int r;

        r = now ? runtime_begin(runtime, reterr) : runtime_wait_for_turn(runtime, reterr);
        if (r < 0)
                return r;
        runtime_log_started(runtime);
        if (runtime->generation == 1)
                runtime->changed = 0; /* nobody has heard of it yet */
        runtime_announce(runtime);
        return 0;
}

static bool runtime_keeper_lives(const Runtime *runtime) {
        struct pollfd pollfd = {.fd = runtime->keeper_pidfd, .events = POLLIN};

        return runtime->keeper_pid > 0 && poll(&pollfd, 1, 0) == 0;
}

/* The keeper hasn't been told to run anything: closing its link is enough to end it. */
void runtime_give_up_start(Runtime *runtime, Reason reason, const char *error_name, char *message) {
        runtime_set_cause(runtime, RESULT_START_FAILED, reason, REQUESTED_BY_NOBODY, message);
        if (!runtime->start_error)
                runtime->start_error = g_strdup(error_name);
        runtime_enter_stopping(runtime, STOP_STAGE_NONE);
        runtime_collect(runtime);
        runtime_check_end(runtime);
}

static void scope_on_started(void *userdata) {
        Runtime *runtime = userdata;
        g_autofree char *cgroup = NULL;
        const char *name;
        int r;

        runtime->scope_pending = false;
        runtime->scope_up = runtime->has_unit = true;
        runtime_end_turn(runtime);
        if (runtime->state != RUNTIME_STARTING) {
                /* Cancelled meanwhile: the unit is empty, and systemd may not have noticed. */
                if (!runtime_keeper_lives(runtime))
                        scope_stop(runtime->scope);
                return;
        }

        /* A link that has ended before its keeper is of one that is about to. */
        if (!runtime_keeper_lives(runtime) || !runtime->link) {
                scope_stop(runtime->scope);
                runtime_give_up_start(runtime, REASON_KEEPER_LOST, RM_ERROR_START_FAILED, g_strdup("The keeper of the runtime ended before the runtime."));
                return;
        }
        r = cgroup_of_pid(runtime->keeper_pid, &cgroup);
        /* The spawner has put it in its place already. */
        if (r >= 0 && runtime->context->many_users && g_str_has_suffix(cgroup, "/" RM_CGROUP_KEEPER))
                *strrchr(cgroup, '/') = '\0';
        name = r >= 0 ? strrchr(cgroup, '/') + 1 : "";
        if (r < 0 || strcmp(name, runtime->unit) != 0) {
                scope_stop(runtime->scope);
                runtime_give_up_start(runtime, REASON_SCOPE_FAILED, RM_ERROR_START_FAILED,
                                      g_strdup_printf("systemd made %s, but the process isn't in it.", runtime->unit));
                return;
        }
        runtime->spec_fd = fd_close(runtime->spec_fd);
        g_free(runtime->control_group);
        runtime->control_group = g_steal_pointer(&cgroup);
        runtime_changed(runtime, RUNTIME_PROPERTY_UNIT | RUNTIME_PROPERTY_CONTROL_GROUP);
        runtime_run(runtime, 0);
}

/* It can't be made again: the runtime goes on without, and its keeper sees to its end alone. */
static void runtime_warn_scope_lost(Runtime *runtime) {
        runtime_warn(runtime, WARNING_SCOPE_LOST, "systemd says that the unit has ended, but its processes run; they are kept without it.", NULL, 0);
}

/* The unit of the generation before may still be going, if that was given up. */
static bool runtime_try_another_unit(Runtime *runtime) {
        if (runtime->state != RUNTIME_STARTING || runtime->generation == 1 || runtime->scope_attempts >= SCOPE_ATTEMPTS)
                return false;
        if (runtime->context->many_users)
                runtime_forget_keeper(runtime);
        else if (!runtime_keeper_lives(runtime))
                return false;
        return runtime_ask_again(runtime) >= 0;
}

static void scope_on_start_failed(void *userdata, const char *message) {
        Runtime *runtime = userdata;

        runtime->scope_pending = false;
        runtime->scope = scope_free(runtime->scope);
        if (runtime_try_another_unit(runtime))
                return;
        runtime_end_turn(runtime);
        if (runtime->state == RUNTIME_STARTING)
                runtime_give_up_start(runtime, REASON_SCOPE_FAILED, RM_ERROR_START_FAILED,
                                      runtime->context->many_users ? g_strdup(message)
                                                                   : g_strdup_printf("systemd refused to make the scope %s: %s", runtime->unit, message));
        else {
                if (runtime->state < RUNTIME_STOPPING)
                        runtime_warn_scope_lost(runtime);
                runtime_check_end(runtime);
        }
}

#define UNIT_STOPPED_MESSAGE "The runtime's unit was stopped."
/* How long after an exit the news that the unit is being stopped can be its explanation. */
#define EXPLANATION_USEC USEC_PER_SEC

/* systemd signals first and tells then, so that the process may be gone, for no reason yet, when we hear why. */
static void runtime_explain_exit(Runtime *runtime) {
        Report *report = runtime->report;

        if (!runtime->exited || runtime->stop_stage != STOP_STAGE_NONE || now_usec(CLOCK_MONOTONIC) > runtime->exited_usec + EXPLANATION_USEC)
                return;
        if (runtime->has_cause && report->reason != REASON_EXITED_BEFORE_READY)
                return;
        runtime->has_cause = false;
        g_clear_pointer(&report->message, g_free);
        runtime_set_cause(runtime, RESULT_STOPPED, REASON_UNIT_STOPPED, REQUESTED_BY_SYSTEM, g_strdup(UNIT_STOPPED_MESSAGE));
        runtime->stop_stage = STOP_STAGE_TERMINATE;
}

static void scope_on_stopping(void *userdata) {
        Runtime *runtime = userdata;

        if (runtime->state >= RUNTIME_STOPPING) {
                runtime_explain_exit(runtime);
                return;
        }
        runtime_set_cause(runtime, RESULT_STOPPED, REASON_UNIT_STOPPED, REQUESTED_BY_SYSTEM, g_strdup(UNIT_STOPPED_MESSAGE));
        /* systemd has sent SIGTERM already; if that isn't enough, we go on with SIGKILL, as at a stop of our own. */
        runtime->stop_stage = STOP_STAGE_TERMINATE;
        runtime_enter_stopping(runtime, STOP_STAGE_NONE);
}

void runtime_on_scope_gone(void *userdata, ScopeResult result) {
        Runtime *runtime = userdata;

        runtime->scope_pending = false;
        runtime_end_turn(runtime);
        runtime->scope_up = false;
        runtime->scope_result = result;
        runtime->scope = scope_free(runtime->scope);

        if (runtime_keeper_lives(runtime) && !runtime->collecting) {
                if (runtime->scope_attempts < SCOPE_ATTEMPTS && runtime_ask_again(runtime) >= 0)
                        return;
                if (runtime->state == RUNTIME_STARTING) {
                        runtime_give_up_start(runtime, REASON_SCOPE_FAILED, RM_ERROR_START_FAILED, g_strdup("systemd lost the scope of the runtime."));
                        return;
                }
                runtime_warn_scope_lost(runtime);
        }
        runtime_check_end(runtime);
}

static int runtime_ask_again(Runtime *runtime) {
        (void) runtime_name_unit(runtime);
        return runtime_ask_for_scope(runtime);
}

const ScopeHandler runtime_scope_handler = {scope_on_started, scope_on_start_failed, scope_on_stopping, runtime_on_scope_gone, runtime_on_keeper};

static int runtime_ask_for_scope(Runtime *runtime) {
        ScopeOptions options;
        int r;

        options = (ScopeOptions){
                .unit = runtime->unit,
                .description = runtime->options->description,
                .slice = runtime->context->slice,
                .pid = runtime->keeper_pid,
                .uid = runtime->options->uid,
                .limits = runtime->limits,
                .timeout_stop_usec = MIN_OF(runtime->stop_timeout_usec, UNIT_PATIENCE_MAX_USEC) + UNIT_PATIENCE_MORE_USEC,
        };
        r = runtime->keeper_pid == 0 ? runtime_ask_for_keeper(runtime, &options)
                                     : scope_start(runtime->context->scopes, &options, &runtime_scope_handler, runtime, &runtime->scope);
        runtime->scope_pending = r >= 0;
        return r;
}
