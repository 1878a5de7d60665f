/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls of systemd that are answered. The message bus counts those of a connection that are open, and refuses the next: dbus-daemon's system bus when 128 are.
 * So ours wait here when there are enough, in their order, and the bus sees half as many as it allows. A call that nobody waits for any more is dropped if it
 * has not gone out; one that has is open until its answer comes. What isn't waited for (KillUnit, say) isn't counted, and goes out at once. */

#include "core/scope-private.h"

#include <stdarg.h>

#include "core/sd-autoptr.h"

#define OPEN_MAX 64U

struct ScopeCall {
        ScopeBus *bus;
        ScopeCall **owner; /* where it is known; NULL: nowhere any more */
        sd_bus_message *message;
        sd_bus_slot *slot; /* NULL: it waits */
        sd_bus_message_handler_t handler;
        void *userdata;
        GList link; /* of the bus's open or waiting calls */
};

static void scope_call_free(ScopeCall *call) {
        g_queue_unlink(call->slot ? &call->bus->open_calls : &call->bus->waiting_calls, &call->link);
        if (call->owner)
                *call->owner = NULL;
        sd_bus_slot_unref(call->slot);
        sd_bus_message_unref(call->message);
        g_free(call);
}

static void scope_bus_send_waiting(ScopeBus *bus);

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        ScopeCall *call = userdata;
        sd_bus_message_handler_t handler = call->owner ? call->handler : NULL;
        void *handler_userdata = call->userdata;
        ScopeBus *bus = call->bus;

        scope_call_free(call);
        scope_bus_send_waiting(bus);
        return handler ? handler(reply, handler_userdata, reterr) : 0;
}

static int scope_call_send(ScopeCall *call) {
        int r;

        r = sd_bus_call_async(call->bus->bus, &call->slot, call->message, on_reply, call, 0);
        if (r < 0)
                return r;
        g_queue_unlink(&call->bus->waiting_calls, &call->link);
        g_queue_push_tail_link(&call->bus->open_calls, &call->link);
        return 0;
}

/* One that can't be sent is tried again with the next answer, or goes with the connection. */
static void scope_bus_send_waiting(ScopeBus *bus) {
        while (bus->open_calls.length < OPEN_MAX && !g_queue_is_empty(&bus->waiting_calls))
                if (scope_call_send(bus->waiting_calls.head->data) < 0)
                        return;
}

int scope_call(ScopeBus *bus, ScopeCall **owner, sd_bus_message *message, sd_bus_message_handler_t handler, void *userdata) {
        ScopeCall *call = g_new(ScopeCall, 1);
        int r;

        *call = (ScopeCall){.bus = bus, .owner = owner, .message = sd_bus_message_ref(message), .handler = handler, .userdata = userdata, .link.data = call};
        *owner = call;
        g_queue_push_tail_link(&bus->waiting_calls, &call->link);
        if (bus->open_calls.length >= OPEN_MAX || bus->waiting_calls.length > 1)
                return 0;
        r = scope_call_send(call);
        if (r < 0)
                scope_call_free(call);
        return r;
}

int scope_call_method(ScopeBus *bus, ScopeCall **owner, const char *path, const char *interface, const char *method, sd_bus_message_handler_t handler,
                      void *userdata, const char *types, ...) {
        g_autoptr(sd_bus_message) message = NULL;
        va_list arguments;
        int r;

        r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, path, interface, method);
        if (r < 0)
                return r;
        va_start(arguments, types);
        r = sd_bus_message_appendv(message, types, arguments);
        va_end(arguments);
        return r < 0 ? r : scope_call(bus, owner, message, handler, userdata);
}

bool scope_call_waits(const ScopeCall *call) {
        return call && !call->slot;
}

ScopeCall *scope_call_drop(ScopeCall *call) {
        if (!call)
                return NULL;
        if (scope_call_waits(call)) {
                scope_call_free(call);
                return NULL;
        }
        *call->owner = NULL;
        call->owner = NULL;
        return NULL;
}

void scope_bus_drop_calls(ScopeBus *bus) {
        while (!g_queue_is_empty(&bus->waiting_calls))
                scope_call_free(bus->waiting_calls.head->data);
        while (!g_queue_is_empty(&bus->open_calls))
                scope_call_free(bus->open_calls.head->data);
}
