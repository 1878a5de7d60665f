/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A message that is put back goes behind those that were read meanwhile. So until the last of them has come again, calls that weren't held are put behind,
 * too. */

#include "bus/early.h"

#include <glib.h>

#include "bus/message-size.h"
#include "util/limits.h"
#include "util/names.h"

/* What a call takes without its contents. */
#define CALL_SIZE 512U

struct Early {
        sd_bus *bus; /* borrowed; NULL: no connection */
        GQueue held; /* sd_bus_message */
        size_t size;
        bool is_open;
};

static void message_unref(gpointer message) {
        sd_bus_message_unref(message);
}

Early *early_new(void) {
        Early *early = g_new0(Early, 1);

        g_queue_init(&early->held);
        return early;
}

void early_attach(Early *early, sd_bus *bus) {
        g_queue_clear_full(&early->held, message_unref);
        early->size = 0;
        early->is_open = false;
        early->bus = bus;
}

Early *early_free(Early *early) {
        if (!early)
                return NULL;
        early_attach(early, NULL);
        g_free(early);
        return NULL;
}

/* Without memory for it the caller gets no answer, as from a service that was killed. */
static void put_back(Early *early, sd_bus_message *call) {
        if (sd_bus_enqueue_for_read(early->bus, call) >= 0)
                g_queue_push_tail(&early->held, sd_bus_message_ref(call));
}

void early_open(Early *early) {
        unsigned n = g_queue_get_length(&early->held);

        early->is_open = true;
        for (; n > 0; n--) {
                sd_bus_message *call = g_queue_pop_head(&early->held);

                put_back(early, call);
                sd_bus_message_unref(call);
        }
}

bool early_hold(Early *early, sd_bus_message *call) {
        if (early->is_open) {
                if (g_queue_is_empty(&early->held))
                        return false;
                if (g_queue_peek_head(&early->held) == call) {
                        sd_bus_message_unref(g_queue_pop_head(&early->held));
                        return false;
                }
                put_back(early, call);
                return true;
        }
        early->size += CALL_SIZE + message_size(call, LIMIT_EARLY_CALLS);
        if (early->size >= LIMIT_EARLY_CALLS)
                (void) sd_bus_reply_method_errorf(call, RM_ERROR_LIMIT_EXCEEDED, "The service is just being started; try again in a moment.");
        else
                g_queue_push_tail(&early->held, sd_bus_message_ref(call));
        return true;
}
