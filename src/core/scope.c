/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One scope's life on systemd's bus: StartTransientUnit, the job's own JobRemoved, and from then on the unit's ActiveState. Until the job is
 * done the unit's state says nothing: a new scope is announced as inactive first. systemd tells a unit's Result with each change of its state, and before
 * that, an order it promises; so nothing has to be asked, nor the unit to be held, when it ends: it may be gone by then.
 *
 * Whether a scope that systemd calls dead really is, is for the caller to decide: it holds the process. */

#include "core/scope.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "core/scope-private.h"
#include "core/sd-autoptr.h"
#include "core/sd-error.h"
#include "util/macro.h"

static int scope_call_start(Scope *scope);

static ScopeResult scope_result_from_string(const char *text) {
        static const struct {
                const char *name;
                ScopeResult result;
        } table[] = {
                {"success", SCOPE_RESULT_SUCCESS},
                {"resources", SCOPE_RESULT_RESOURCES},
                {"timeout", SCOPE_RESULT_TIMEOUT},
                {"oom-kill", SCOPE_RESULT_OOM_KILL},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].name, text) == 0)
                        return table[i].result;
        return SCOPE_RESULT_UNKNOWN;
}

void scope_drop_calls(Scope *scope) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_DISCONNECTED, "the connection to systemd was lost");

        scope->start_call = scope_call_drop(scope->start_call);
        scope->stop_call = scope_call_drop(scope->stop_call);
        scope->check_call = scope_call_drop(scope->check_call);
        scope->limits_call = scope_call_drop(scope->limits_call);
        scope_end_limits(scope, &error);
}

static void scope_ask_later(Scope *scope) {
        scope->ask_again = true;
        scope_bus_ask_later(scope->bus);
}

static void scope_end_unit(Scope *scope, ScopeResult result) {
        /* There is no more to be asked: an answer would end it a second time. */
        scope->check_call = scope_call_drop(scope->check_call);
        scope->stop_call = scope_call_drop(scope->stop_call);
        scope_end(scope, result);
}

static int on_result(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Scope *scope = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        ScopeResult result = SCOPE_RESULT_UNKNOWN;
        const char *text;

        /* All is asked again when there is a connection. */
        if (sd_error_is_local(error))
                return 0;
        /* The bus's word: calls whose time was up are open there until they are answered. */
        if (sd_bus_error_has_name(error, SD_BUS_ERROR_LIMITS_EXCEEDED)) {
                scope_ask_later(scope);
                return 0;
        }
        if (!error && sd_bus_message_read(reply, "v", "s", &text) > 0)
                result = scope_result_from_string(text);

        scope_end_unit(scope, result);
        return 0;
}

static int scope_ask(Scope *scope, const char *interface, const char *property, sd_bus_message_handler_t handler) {
        return scope_call_method(scope->bus, &scope->check_call, scope->path, "org.freedesktop.DBus.Properties", "Get", handler, scope, "ss", interface,
                                 property);
}

static void scope_apply_active_state(Scope *scope, const char *active_state) {
        if (strcmp(active_state, "deactivating") == 0)
                scope->handler->on_stopping(scope->userdata);
        else if (strcmp(active_state, "inactive") == 0 || strcmp(active_state, "failed") == 0)
                scope_end_unit(scope, scope->result);
}

/* A new unit is inactive until it is started. One that has been active, and isn't any more, has been lost (systemd's issue 36781), whatever
 * becomes of its job. */
static void scope_note_active_state(Scope *scope, const char *active_state) {
        if (strcmp(active_state, "active") == 0)
                scope->was_active = true;
        scope->is_dead = scope->was_active && (strcmp(active_state, "inactive") == 0 || strcmp(active_state, "failed") == 0);
}

/* *ret is NULL if it isn't among them. */
static int read_changed(sd_bus_message *message, const char *property, const char **ret) {
        const char *interface, *name;
        int r;

        *ret = NULL;
        r = sd_bus_message_read(message, "s", &interface);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r < 0)
                        return r;
                r = strcmp(name, property) == 0 ? sd_bus_message_read(message, "v", "s", ret) : sd_bus_message_skip(message, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        return r;
}

int scope_on_result_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;
        const char *result;
        Scope *scope;

        scope = g_hash_table_lookup(bus->by_path, sd_bus_message_get_path(message));
        if (scope && read_changed(message, "Result", &result) >= 0 && result)
                scope->result = scope_result_from_string(result);
        return 0;
}

int scope_on_state_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;
        const char *active_state;
        Scope *scope;

        scope = g_hash_table_lookup(bus->by_path, sd_bus_message_get_path(message));
        if (!scope || read_changed(message, "ActiveState", &active_state) < 0 || !active_state)
                return 0;
        if (scope->state == SCOPE_ACTIVE)
                scope_apply_active_state(scope, active_state);
        else
                scope_note_active_state(scope, active_state);
        return 0;
}

static void scope_enter_active(Scope *scope) {
        if (scope->is_dead) {
                scope_end_unit(scope, scope->result);
                return;
        }
        scope->state = SCOPE_ACTIVE;
        scope->handler->on_started(scope->userdata);
}

static void scope_on_job_result(Scope *scope, const char *result) {
        g_autofree char *text = NULL;

        if (strcmp(result, "done") == 0) {
                scope_enter_active(scope);
                return;
        }
        text = g_strdup_printf("systemd ended the start job of %s with the result \"%s\"", scope->unit, result);
        scope_fail_start(scope, text);
}

int scope_on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;
        const char *job, *unit, *result;
        Scope *scope;
        uint32_t id;

        if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        scope = g_hash_table_lookup(bus->by_unit, unit);
        if (!scope)
                return 0;
        /* Nothing promises that the answer to StartTransientUnit comes first. */
        if (scope->state == SCOPE_CALLING) {
                g_free(scope->ended_job);
                g_free(scope->ended_result);
                scope->ended_job = g_strdup(job);
                scope->ended_result = g_strdup(result);
        } else if (scope->state == SCOPE_STARTING && strcmp(scope->job, job) == 0)
                scope_on_job_result(scope, result);
        return 0;
}

static int on_start_reply(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Scope *scope = userdata;
        const sd_bus_error *error;
        const char *job;

        error = sd_bus_message_get_error(reply);
        if (error) {
                /* The only property of ours that a systemd we support may lack. */
                if (scope->has_oom_policy && strstr(error->message ?: "", "OOMPolicy")) {
                        scope->bus->no_oom_policy = true;
                        if (scope_call_start(scope) >= 0)
                                return 0;
                }
                scope_fail_start(scope, error->message ?: error->name);
                return 0;
        }
        if (sd_bus_message_read(reply, "o", &job) < 0) {
                scope_fail_start(scope, "systemd gave an answer that makes no sense");
                return 0;
        }
        scope->job = g_strdup(job);
        scope->state = SCOPE_STARTING;
        if (g_strcmp0(scope->ended_job, job) == 0)
                scope_on_job_result(scope, scope->ended_result);
        return 0;
}

/* What is the payload's is only ever taken away from the unit, which has it if an older daemon made it. */
static int append_limits(sd_bus_message *message, const LimitSet *limits, unsigned keys) {
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++) {
                uint64_t value = limit_key_table[i].of_payload ? UINT64_MAX : limits->value[i];
                int r;

                if (!(keys & (1U << i)))
                        continue;
                r = sd_bus_message_append(message, "(sv)", limit_key_table[i].name, "t", value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int scope_call_start(Scope *scope) {
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        r = sd_bus_message_new_method_call(scope->bus->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit");
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "ss", scope->unit, "fail");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(message, 'a', "(sv)");
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", scope->description, "Slice", "s", scope->slice, "PIDs", "au", 1,
                                  (uint32_t) scope->pid, "Delegate", "b", 1, "CollectMode", "s", "inactive-or-failed", "TimeoutStopUSec", "t",
                                  scope->timeout_stop_usec);
        if (r < 0)
                return r;
        scope->has_oom_policy = !scope->bus->no_oom_policy;
        if (scope->has_oom_policy) {
                r = sd_bus_message_append(message, "(sv)", "OOMPolicy", "s", "continue");
                if (r < 0)
                        return r;
        }
        r = append_limits(message, &scope->limits, limit_set_unit_keys(&scope->limits));
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(message);
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "a(sa(sv))", 0);
        if (r < 0)
                return r;
        return scope_call(scope->bus, &scope->start_call, message, on_start_reply, scope);
}

static int on_check_reply(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Scope *scope = userdata;
        const char *active_state = "inactive";
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        bool starting = scope->state < SCOPE_ACTIVE;

        /* Only systemd's own word says that there is no such unit; until it can be asked, all stays as it is. */
        if (error && !sd_bus_error_has_name(error, SYSTEMD_NAME ".NoSuchUnit") && !sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT)) {
                if (!sd_error_is_local(error))
                        scope_ask_later(scope);
                return 0;
        }
        if (!error)
                (void) sd_bus_message_read(reply, "v", "s", &active_state);
        if (!starting) {
                /* It is kept for the processes that are left in it. (One that is gone is called inactive.) */
                if (strcmp(active_state, "failed") != 0 || scope_ask(scope, SYSTEMD_SCOPE, "Result", on_result) < 0)
                        scope_apply_active_state(scope, active_state);
        } else if (strcmp(active_state, "active") == 0) {
                scope->state = SCOPE_ACTIVE;
                scope->handler->on_started(scope->userdata);
        } else {
                scope_fail_start(scope, "the connection was lost while the scope was being made");
        }
        return 0;
}

/* Asks how the unit is, for news that may have been missed. */
static void scope_check(Scope *scope) {
        if (!scope->check_call && scope_ask(scope, SYSTEMD_UNIT, "ActiveState", on_check_reply) < 0)
                scope_ask_later(scope);
}

void scope_ask_again(Scope *scope) {
        if (!scope->ask_again)
                return;
        scope->ask_again = false;
        scope_check(scope);
}

void scope_resync(Scope *scope) {
        /* All that was under way went with the old connection, and what is known is old. */
        scope_drop_calls(scope);
        scope->ask_again = false;
        scope->result = SCOPE_RESULT_UNKNOWN;
        scope_check(scope);
}

static int direct_find_path(Scope *scope) {
        int r;

        r = sd_bus_path_encode(SYSTEMD_UNIT_PREFIX, scope->unit, &scope->path);
        if (r >= 0)
                g_hash_table_insert(scope->bus->by_path, scope->path, scope);
        return r;
}

static int direct_start(Scope *scope, const ScopeOptions *options) {
        int r;

        if (!scope->bus->bus)
                return -ENOTCONN;
        r = direct_find_path(scope);
        return r < 0 ? r : scope_call_start(scope);
}

static void direct_adopt(Scope *scope) {
        /* Without a connection it is asked when there is one. */
        if (direct_find_path(scope) >= 0 && scope->bus->bus)
                scope_resync(scope);
}

static bool direct_forget(Scope *scope) {
        bool is_known = !scope_call_waits(scope->start_call);

        /* Calls are met in their order: a unit that is still being asked for, or started, will be there to be stopped. */
        if (scope->bus->bus && ((scope->state < SCOPE_ACTIVE && is_known) || scope_call_waits(scope->stop_call)))
                (void) sd_bus_call_method_async(scope->bus->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "StopUnit", NULL, NULL, "ss", scope->unit,
                                                "replace");
        scope_drop_calls(scope);
        return false;
}

static int on_stop_reply(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Scope *scope = userdata;

        if (!sd_bus_message_is_method_error(reply, SYSTEMD_NAME ".NoSuchUnit")) {
                /* It may have been inactive all the while. */
                scope_check(scope);
                return 0;
        }

        /* It has been collected already, and nothing has said so. */
        scope_end_unit(scope, SCOPE_RESULT_UNKNOWN);
        return 0;
}

static void direct_stop(Scope *scope) {
        if (scope->stop_call || !scope->bus->bus)
                return;
        (void) scope_call_method(scope->bus, &scope->stop_call, SYSTEMD_PATH, SYSTEMD_MANAGER, "StopUnit", on_stop_reply, scope, "ss", scope->unit, "replace");
}

static void direct_kill(Scope *scope) {
        if (!scope->bus->bus)
                return;
        (void) sd_bus_call_method_async(scope->bus->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "KillUnit", NULL, NULL, "ssi", scope->unit, "all",
                                        9);
}

static int on_limits_reply(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Scope *scope = userdata;

        scope_end_limits(scope, sd_bus_message_get_error(reply));
        return 0;
}

static int direct_set_limits(Scope *scope, const LimitSet *limits, unsigned keys) {
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        if (!scope->bus->bus)
                return -ENOTCONN;
        r = sd_bus_message_new_method_call(scope->bus->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "SetUnitProperties");
        if (r < 0)
                return r;
        r = sd_bus_message_append(message, "sb", scope->unit, 1);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(message, 'a', "(sv)");
        if (r < 0)
                return r;
        r = append_limits(message, limits, keys);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(message);
        if (r < 0)
                return r;
        return scope_call(scope->bus, &scope->limits_call, message, on_limits_reply, scope);
}

static bool direct_is_connected(const ScopeBus *bus) {
        return bus->bus;
}

const ScopeBackend scope_direct = {
        .is_connected = direct_is_connected,
        .close = scope_bus_close,
        .start = direct_start,
        .adopt = direct_adopt,
        .forget = direct_forget,
        .stop = direct_stop,
        .kill = direct_kill,
        .set_limits = direct_set_limits,
};
