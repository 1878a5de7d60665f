/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sd-event's own three steps are those of a GSource. */

#include "loop.h"

typedef struct EventSource {
        GSource source;
        sd_event *event;
        GPollFD fd;
} EventSource;

static gboolean event_prepare(GSource *source, gint *timeout) {
        *timeout = -1;
        return sd_event_prepare(((EventSource *) source)->event) > 0;
}

static gboolean event_check(GSource *source) {
        return sd_event_wait(((EventSource *) source)->event, 0) > 0;
}

static gboolean event_dispatch(GSource *source, GSourceFunc callback, gpointer userdata) {
        return sd_event_dispatch(((EventSource *) source)->event) >= 0;
}

static void event_finalize(GSource *source) {
        sd_event_unref(((EventSource *) source)->event);
}

GSource *loop_add_event(sd_event *event) {
        static GSourceFuncs functions = {.prepare = event_prepare, .check = event_check, .dispatch = event_dispatch, .finalize = event_finalize};
        EventSource *source = (EventSource *) g_source_new(&functions, sizeof(EventSource));

        source->event = sd_event_ref(event);
        source->fd = (GPollFD){.fd = sd_event_get_fd(event), .events = G_IO_IN | G_IO_HUP | G_IO_ERR};
        g_source_add_poll((GSource *) source, &source->fd);
        g_source_attach((GSource *) source, NULL);
        return (GSource *) source;
}

static gboolean on_late(gpointer userdata) {
        *(gboolean *) userdata = TRUE;
        return G_SOURCE_CONTINUE;
}

void loop_step(gint64 deadline_usec, const char *condition, const char *location) {
        gint64 left = deadline_usec - g_get_monotonic_time();
        gboolean late = left <= 0;
        guint timeout;

        timeout = g_timeout_add(late ? 0 : left / 1000 + 1, on_late, &late);
        g_main_context_iteration(NULL, TRUE);
        g_source_remove(timeout);
        if (late)
                g_error("%s: waited in vain for: %s", location, condition);
}
