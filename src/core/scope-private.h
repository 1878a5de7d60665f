/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What scope.c and scope-bus.c share; for nobody else. */

#include <glib.h>

#include "core/scope.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_UNIT_PREFIX "/org/freedesktop/systemd1/unit"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT "org.freedesktop.systemd1.Unit"
#define SYSTEMD_SCOPE "org.freedesktop.systemd1.Scope"

struct ScopeBus {
        sd_bus *bus; /* NULL while there is no connection */
        sd_bus_slot *job_removed_match;
        sd_bus_slot *properties_match;
        sd_bus_slot *disconnected_match;
        sd_bus_slot *subscribe_call;
        sd_event *event;
        char *address; /* NULL: the user's bus */
        sd_event_source *retry_timer;
        GHashTable *by_unit; /* unit name → Scope, not owned */
        GHashTable *by_path; /* object path → Scope, not owned */
        sd_bus_slot *own_job_call;
        ScopeRestartFunc restart_func;
        void *restart_userdata;
        bool no_oom_policy; /* this systemd doesn't know OOMPolicy= for scopes */
};

typedef enum ScopeState {
        SCOPE_CALLING,  /* StartTransientUnit is under way */
        SCOPE_STARTING, /* its job is */
        SCOPE_ACTIVE,
        SCOPE_ENDING, /* inactive; its Result is being asked for */
        SCOPE_DEAD,   /* there is no unit, or it isn't ours any more */
} ScopeState;

struct Scope {
        ScopeBus *bus;
        char *unit, *path, *description, *slice, *job;
        char *ended_job, *ended_result; /* a job of the unit that was removed before we knew which is ours */
        bool was_active, is_dead;       /* what the unit said of itself while it was being started */
        pid_t pid;
        LimitSet limits;
        uint64_t timeout_stop_usec;
        ScopeState state;
        sd_bus_slot *start_call;
        sd_bus_slot *stop_call;
        sd_bus_slot *check_call;
        bool has_oom_policy; /* it was asked for */
        sd_bus_slot *result_call;
        sd_bus_slot *limits_call;
        ScopeLimitsFunc limits_done;
        void *limits_userdata;
        const ScopeHandler *handler;
        void *userdata;
};

/* userdata: ScopeBus */
int scope_on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int scope_on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr);

/* The connection is gone: who has asked for our own job is told that it isn't known. */
void scope_bus_end_ask(ScopeBus *bus, bool restart);
/* The connection is gone: forgets the calls under way. */
void scope_drop_calls(Scope *scope);
/* systemd didn't answer sensibly: asks all scopes again in a while. */
void scope_bus_ask_later(ScopeBus *bus);
/* There is a new one: asks what has become of the unit. */
void scope_resync(Scope *scope);
