/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names of units that systemd calls active, as it lists them. For who begins, and wants to know what was left behind. */

#include "core/scope-private.h"
#include "core/sd-autoptr.h"
#include "util/macro.h"

void scope_bus_end_list(ScopeBus *bus, char **units) {
        ScopeListFunc func = TAKE_PTR(bus->list_func);

        bus->list_call = sd_bus_slot_unref(bus->list_call);
        if (func)
                func(bus->list_userdata, units);
}

static int read_names(sd_bus_message *reply, GPtrArray *names) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'r', "ssssssouso")) > 0) {
                r = sd_bus_message_read(reply, "s", &name);
                if (r >= 0)
                        r = sd_bus_message_skip(reply, "sssssouso");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
                g_ptr_array_add(names, g_strdup(name));
        }
        return r;
}

static int on_units(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        int r = -EIO;

        if (!sd_bus_message_get_error(reply))
                r = read_names(reply, names);
        g_ptr_array_add(names, NULL);
        scope_bus_end_list(userdata, r < 0 ? NULL : (char **) names->pdata);
        return 0;
}

void scope_bus_list_active(ScopeBus *bus, const char *pattern, ScopeListFunc func, void *userdata) {
        g_autoptr(sd_bus_message) message = NULL;
        int r = -ENOTCONN;

        bus->list_func = func;
        bus->list_userdata = userdata;
        if (bus->bus)
                r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitsByPatterns");
        if (r >= 0)
                r = sd_bus_message_append(message, "asas", 1, "active", 1, pattern);
        if (r >= 0)
                r = sd_bus_call_async(bus->bus, &bus->list_call, message, on_units, bus, 0);
        if (r < 0)
                scope_bus_end_list(bus, NULL);
}
