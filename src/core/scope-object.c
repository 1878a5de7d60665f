/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A scope as an object, whoever makes the unit: its memory, its name in the table, and who may be told what. A unit has one Scope at a time, and each Scope's
 * handler hears one beginning and one end. */

#include "core/scope.h"

#include <errno.h>

#include "core/scope-private.h"

ScopeBus *scope_bus_alloc(sd_event *event, const ScopeBackend *backend) {
        ScopeBus *bus = g_new0(ScopeBus, 1);

        bus->backend = backend;
        bus->event = sd_event_ref(event);
        bus->by_unit = g_hash_table_new(g_str_hash, g_str_equal);
        return bus;
}

ScopeBus *scope_bus_free(ScopeBus *bus) {
        if (!bus)
                return NULL;
        bus->backend->close(bus);
        sd_event_source_disable_unref(bus->retry_timer);
        sd_event_source_disable_unref(bus->restart_timer);
        sd_event_unref(bus->event);
        g_hash_table_unref(bus->by_unit);
        g_clear_pointer(&bus->by_path, g_hash_table_unref);
        g_free(bus->address);
        g_free(bus);
        return NULL;
}

bool scope_bus_is_connected(const ScopeBus *bus) {
        return bus->backend->is_connected(bus);
}

void scope_release(Scope *scope) {
        if (scope->state == SCOPE_DEAD)
                return;
        scope->state = SCOPE_DEAD;
        g_hash_table_remove(scope->bus->by_unit, scope->unit);
        if (scope->path)
                g_hash_table_remove(scope->bus->by_path, scope->path);
}

void scope_fail_start(Scope *scope, const char *message) {
        scope_release(scope);
        scope->handler->on_start_failed(scope->userdata, message);
}

void scope_end(Scope *scope, ScopeResult result) {
        scope_release(scope);
        scope->handler->on_gone(scope->userdata, result);
}

void scope_end_limits(Scope *scope, const sd_bus_error *error) {
        ScopeLimitsFunc done = scope->limits_done;

        scope->limits_done = NULL;
        if (done)
                done(scope->limits_userdata, error);
}

static int scope_new(ScopeBus *bus, const ScopeOptions *options, const ScopeHandler *handler, void *userdata, Scope **ret) {
        Scope *scope;

        if (g_hash_table_contains(bus->by_unit, options->unit))
                return -EBUSY;
        scope = g_new0(Scope, 1);
        *scope = (Scope){
                .bus = bus,
                .unit = g_strdup(options->unit),
                .description = g_strdup(options->description),
                .slice = g_strdup(options->slice),
                .pid = options->pid,
                .limits = options->limits,
                .timeout_stop_usec = options->timeout_stop_usec,
                .handler = handler,
                .userdata = userdata,
        };
        g_hash_table_insert(bus->by_unit, scope->unit, scope);
        *ret = scope;
        return 0;
}

int scope_start(ScopeBus *bus, const ScopeOptions *options, const ScopeHandler *handler, void *userdata, Scope **ret) {
        Scope *scope;
        int r;

        if (!scope_bus_is_connected(bus))
                return -ENOTCONN;
        r = scope_new(bus, options, handler, userdata, &scope);
        if (r < 0)
                return r;
        r = bus->backend->start(scope, options);
        if (r < 0) {
                scope_release(scope);
                scope_destroy(scope);
                return r;
        }
        *ret = scope;
        return 0;
}

int scope_adopt(ScopeBus *bus, const ScopeOptions *options, const ScopeHandler *handler, void *userdata, Scope **ret) {
        int r;

        r = scope_new(bus, options, handler, userdata, ret);
        if (r < 0)
                return r;
        (*ret)->state = SCOPE_ACTIVE;
        bus->backend->adopt(*ret);
        return 0;
}

void scope_destroy(Scope *scope) {
        g_free(scope->unit);
        g_free(scope->path);
        g_free(scope->description);
        g_free(scope->slice);
        g_free(scope->job);
        g_free(scope->ended_job);
        g_free(scope->ended_result);
        g_free(scope);
}

Scope *scope_free(Scope *scope) {
        if (!scope || scope->bus->backend->forget(scope))
                return NULL;
        scope_release(scope);
        scope_destroy(scope);
        return NULL;
}

const char *scope_unit(const Scope *scope) {
        return scope->unit;
}

void scope_stop(Scope *scope) {
        if (scope->state == SCOPE_ACTIVE)
                scope->bus->backend->stop(scope);
}

void scope_kill(Scope *scope) {
        if (scope->state == SCOPE_ACTIVE)
                scope->bus->backend->kill(scope);
}

int scope_set_limits(Scope *scope, const LimitSet *limits, unsigned keys, ScopeLimitsFunc done, void *userdata) {
        int r;

        if (scope->state != SCOPE_ACTIVE)
                return -ENOTCONN;
        if (scope->limits_done)
                return -EBUSY;
        r = scope->bus->backend->set_limits(scope, limits, keys);
        if (r < 0)
                return r;
        scope->limits_done = done;
        scope->limits_userdata = userdata;
        return 0;
}
