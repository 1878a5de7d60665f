/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An end counts as told when the bus has it. Until then it may be in our queue, if the bus has no time for us, and a daemon that is killed takes that with it:
 * the next one tells the end again, since it isn't recorded as told. That the queue is empty nobody says, so it is looked at whenever something has happened:
 * its last message goes in an event of the connection. */

#include "bus/bus.h"
#include "util/macro.h"

static bool bus_is_behind(Bus *bus) {
        uint64_t n;

        return !bus->bus || sd_bus_get_n_queued_write(bus->bus, &n) < 0 || n > 0;
}

static int on_post(sd_event_source *source, void *userdata) {
        Bus *bus = userdata;
        GHashTableIter iter;
        gpointer object;

        if (bus_is_behind(bus))
                return 0;
        g_hash_table_iter_init(&iter, bus->ends_in_queue);
        while (g_hash_table_iter_next(&iter, &object, NULL))
                runtime_end_is_told(((RuntimeObject *) object)->runtime);
        g_hash_table_remove_all(bus->ends_in_queue);
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

bool ends_sent(RuntimeObject *object) {
        Bus *bus = object->bus;

        if (!bus_is_behind(bus))
                return true;
        if (!bus->ends_source && sd_event_add_post(bus->event, &bus->ends_source, on_post, bus) < 0)
                return true;
        (void) sd_event_source_set_enabled(bus->ends_source, SD_EVENT_ON);
        g_hash_table_add(bus->ends_in_queue, object);
        return false;
}

void ends_forget(RuntimeObject *object) {
        g_hash_table_remove(object->bus->ends_in_queue, object);
}
