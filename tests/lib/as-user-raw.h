/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A connection to the system bus without a library behind it: nothing is read, no ping answered, and what is sent need not be a message. */

#include <gio/gio.h>

typedef struct RawConnection RawConnection;

/* NULL with errno. *ret_name belongs to it. */
RawConnection *raw_connection_new(const char **ret_name);
void raw_connection_free(RawConnection *raw);
/* 0, or -EAGAIN when nobody has taken anything of it for a second, or another negative errno. */
int raw_connection_send(RawConnection *raw, const void *data, size_t size);
/* The same, with a serial of its own. */
int raw_connection_send_message(RawConnection *raw, GDBusMessage *message);
/* Reads, and throws away, until it is closed or the time is over. */
gboolean raw_connection_is_closed(RawConnection *raw, guint msec);
