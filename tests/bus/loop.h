/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One loop for both sides of a test: the rooms under test use sd-event, their counterparts GDBus. */

#include <glib.h>
#include <systemd/sd-event.h>

/* Runs an sd-event loop in the default main context, until the source is destroyed. */
GSource *loop_add_event(sd_event *event);

/* Runs the default main context until the condition is true, or fails the test at the deadline. */
#define AWAIT(condition)                                                                                                                                       \
        do {                                                                                                                                                   \
                gint64 _deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;                                                                           \
                while (!(condition))                                                                                                                           \
                        loop_step(_deadline, #condition, G_STRLOC);                                                                                            \
        } while (0)
void loop_step(gint64 deadline_usec, const char *condition, const char *location);
