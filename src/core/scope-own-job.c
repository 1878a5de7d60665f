/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* At SIGTERM a service isn't told whether it will be started again, but systemd knows: the job of its unit is of the type restart or stop. The unit's Job
 * property leads to the job, whose JobType tells. */

#include <errno.h>
#include <string.h>

#include "core/scope-private.h"
#include "core/sd-autoptr.h"
#include "util/macro.h"

#define SYSTEMD_JOB "org.freedesktop.systemd1.Job"
/* A signal without a job (kill) isn't worth a long wait. */
#define ASK_TIMEOUT_USEC (2 * UINT64_C(1000000))

void scope_bus_end_ask(ScopeBus *bus, bool restart) {
        ScopeRestartFunc func = TAKE_PTR(bus->restart_func);

        bus->own_job_call = sd_bus_slot_unref(bus->own_job_call);
        bus->restart_timer = sd_event_source_disable_unref(bus->restart_timer);
        if (func)
                func(bus->restart_userdata, restart);
}

static int get_property(ScopeBus *bus, const char *path, const char *interface, const char *name, sd_bus_message_handler_t handler) {
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, path, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(message, "ss", interface, name);
        if (r >= 0)
                r = sd_bus_call_async(bus->bus, &bus->own_job_call, message, handler, bus, ASK_TIMEOUT_USEC);
        return r;
}

static int on_job_type(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const char *type = NULL;

        (void) sd_bus_message_read(reply, "v", "s", &type);
        /* try-restart has become restart by then, or nothing. */
        scope_bus_end_ask(userdata, type && strcmp(type, "restart") == 0);
        return 0;
}

static int on_job(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;
        const char *path;
        uint32_t id;

        bus->own_job_call = sd_bus_slot_unref(bus->own_job_call);
        if (sd_bus_message_enter_container(reply, 'v', "(uo)") < 0 || sd_bus_message_read(reply, "(uo)", &id, &path) < 0 || id == 0 ||
            get_property(bus, path, SYSTEMD_JOB, "JobType", on_job_type) < 0)
                scope_bus_end_ask(bus, false);
        return 0;
}

static int on_unit(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;
        const char *path;

        bus->own_job_call = sd_bus_slot_unref(bus->own_job_call);
        if (sd_bus_message_read(reply, "o", &path) < 0 || get_property(bus, path, SYSTEMD_UNIT, "Job", on_job) < 0)
                scope_bus_end_ask(bus, false);
        return 0;
}

void scope_bus_ask_restart(ScopeBus *bus, pid_t pid, ScopeRestartFunc func, void *userdata) {
        g_autoptr(sd_bus_message) message = NULL;
        int r = -ENOTCONN;

        bus->restart_func = func;
        bus->restart_userdata = userdata;
        if (bus->link) {
                scope_spawner_ask_restart(bus);
                return;
        }
        if (bus->bus)
                r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "GetUnitByPID");
        if (r >= 0)
                r = sd_bus_message_append(message, "u", (uint32_t) pid);
        if (r >= 0)
                r = sd_bus_call_async(bus->bus, &bus->own_job_call, message, on_unit, bus, ASK_TIMEOUT_USEC);
        if (r < 0)
                scope_bus_end_ask(bus, false);
}
