/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to a service manager. It is made again whenever it is lost (the message bus was restarted, say): runtimes go on meanwhile, since their keepers
 * don't need it, and afterwards each scope is asked what has become of it. Matches are installed before anything is asked for.
 *
 * Everybody on the bus can send us a signal that looks like systemd's: a match by a well-known name doesn't keep it out, for sd-bus doesn't know whose that
 * is. So a signal counts if it comes from the connection that has answered our Subscribe, behind which everything else comes, or from the one that the bus
 * says has taken its place: systemd has another one when it has executed itself anew. */

#include <errno.h>
#include <time.h>

#include "core/scope-private.h"
#include "core/sd-autoptr.h"
#include "util/macro.h"

#define BUS_NAME "org.freedesktop.DBus"
#define RETRY_USEC (1 * USEC_PER_SEC)

static int scope_bus_open(ScopeBus *bus);

void scope_bus_close(ScopeBus *bus) {
        scope_bus_drop_calls(bus);
        bus->job_removed_match = sd_bus_slot_unref(bus->job_removed_match);
        bus->state_match = sd_bus_slot_unref(bus->state_match);
        bus->result_match = sd_bus_slot_unref(bus->result_match);
        bus->disconnected_match = sd_bus_slot_unref(bus->disconnected_match);
        bus->owner_match = sd_bus_slot_unref(bus->owner_match);
        bus->filter = sd_bus_slot_unref(bus->filter);
        g_clear_pointer(&bus->systemd, g_free);
        bus->subscribe_call = sd_bus_slot_unref(bus->subscribe_call);
        bus->own_job_call = sd_bus_slot_unref(bus->own_job_call);
        bus->list_call = sd_bus_slot_unref(bus->list_call);
        bus->bus = sd_bus_flush_close_unref(bus->bus);
}

static void scope_bus_schedule_retry(ScopeBus *bus) {
        (void) sd_event_source_set_time_relative(bus->retry_timer, RETRY_USEC);
        (void) sd_event_source_set_enabled(bus->retry_timer, SD_EVENT_ONESHOT);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;
        GHashTableIter iter;
        gpointer scope;

        g_hash_table_iter_init(&iter, bus->by_unit);
        while (g_hash_table_iter_next(&iter, NULL, &scope))
                scope_drop_calls(scope);
        scope_bus_close(bus);
        scope_bus_end_ask(bus, false);
        scope_bus_end_list(bus, NULL);
        scope_bus_schedule_retry(bus);
        return 0;
}

void scope_bus_ask_later(ScopeBus *bus) {
        scope_bus_schedule_retry(bus);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        ScopeBus *bus = userdata;
        g_autoptr(GList) scopes = NULL;
        bool is_new = !bus->bus || bus->is_another;

        if (!bus->bus && scope_bus_open(bus) < 0) {
                scope_bus_close(bus);
                scope_bus_schedule_retry(bus);
                return 0;
        }
        bus->is_another = false;
        scopes = g_hash_table_get_values(bus->by_unit);
        for (GList *scope = scopes; scope; scope = scope->next)
                if (is_new)
                        scope_resync(scope->data);
                else
                        scope_ask_again(scope->data);
        return 0;
}

static bool signal_is_believed(const ScopeBus *bus, const char *sender) {
        if (g_strcmp0(sender, BUS_NAME) == 0 || g_strcmp0(sender, BUS_NAME ".Local") == 0)
                return true;
        return bus->systemd && g_strcmp0(sender, bus->systemd) == 0;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        uint8_t type;

        if (sd_bus_message_get_type(message, &type) < 0 || type != SD_BUS_MESSAGE_SIGNAL)
                return 0;
        return signal_is_believed(userdata, sd_bus_message_get_sender(message)) ? 0 : 1;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *name, *old, *new;
        ScopeBus *bus = userdata;

        if (sd_bus_message_read(message, "sss", &name, &old, &new) < 0 || new[0] == '\0')
                return 0;
        g_free(bus->systemd);
        bus->systemd = g_strdup(new);
        /* Until the name was taken we heard nothing. */
        bus->is_another = true;
        scope_bus_schedule_retry(bus);
        return 0;
}

static int on_subscribed(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        ScopeBus *bus = userdata;

        const char *sender = sd_bus_message_get_sender(reply);

        /* A failure shows in the first start, which then has somebody to be told to. */
        bus->subscribe_call = sd_bus_slot_unref(bus->subscribe_call);
        if (sender && sender[0] == ':') {
                g_free(bus->systemd);
                bus->systemd = g_strdup(sender);
        }
        return 0;
}

static int scope_bus_connect(ScopeBus *bus) {
        int r;

        if (!bus->address)
                return sd_bus_open_user_with_description(&bus->bus, "systemd");
        r = sd_bus_new(&bus->bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus->bus, bus->address);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(bus->bus, 1);
        if (r < 0)
                return r;
        r = sd_bus_set_description(bus->bus, "systemd");
        return r < 0 ? r : sd_bus_start(bus->bus);
}

/* Of all units, and of what the interface has alone. */
static int scope_bus_match_changes(ScopeBus *bus, sd_bus_slot **slot, const char *interface, sd_bus_message_handler_t handler) {
        g_autofree char *match = NULL;

        match = g_strdup_printf("type='signal',sender='" SYSTEMD_NAME "',path_namespace='" SYSTEMD_UNIT_PREFIX "',"
                                "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='%s'",
                                interface);
        return sd_bus_add_match_async(bus->bus, slot, match, handler, NULL, bus);
}

static int scope_bus_open(ScopeBus *bus) {
        int r;

        r = scope_bus_connect(bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(bus->bus, bus->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus->bus, &bus->disconnected_match, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                      "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, bus);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(bus->bus, &bus->filter, on_message, bus);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(bus->bus, &bus->owner_match,
                                   "type='signal',sender='" BUS_NAME "',path='/org/freedesktop/DBus',interface='" BUS_NAME "',member='NameOwnerChanged',"
                                   "arg0='" SYSTEMD_NAME "'",
                                   on_owner_changed, NULL, bus);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus->bus, &bus->job_removed_match, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", scope_on_job_removed, NULL,
                                      bus);
        if (r < 0)
                return r;
        r = scope_bus_match_changes(bus, &bus->result_match, SYSTEMD_SCOPE, scope_on_result_changed);
        if (r < 0)
                return r;
        r = scope_bus_match_changes(bus, &bus->state_match, SYSTEMD_UNIT, scope_on_state_changed);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(bus->bus, &bus->subscribe_call, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", on_subscribed, bus, NULL);
}

int scope_bus_new(sd_event *event, const char *address, ScopeBus **ret) {
        ScopeBus *bus;
        int r;

        bus = scope_bus_alloc(event, &scope_direct);
        bus->address = g_strdup(address);
        bus->by_path = g_hash_table_new(g_str_hash, g_str_equal);

        r = sd_event_add_time(event, &bus->retry_timer, CLOCK_MONOTONIC, 0, 0, on_retry, bus);
        if (r >= 0)
                r = sd_event_source_set_enabled(bus->retry_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = scope_bus_open(bus);
        if (r < 0) {
                scope_bus_free(bus);
                return r;
        }
        *ret = bus;
        return 0;
}
