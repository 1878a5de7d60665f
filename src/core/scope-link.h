/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connection to the spawner (util/spawner.h), for the scope room alone: whole messages in and out, nothing that waits, and a new connection when it was
 * lost. It knows nothing of units. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct ScopeLink ScopeLink;

typedef struct ScopeLinkHandler {
        /* There is a connection again; not called for the first one if scope_link_new() has made it. */
        void (*on_connected)(void *userdata);
        /* A message of a known type, of its size, with strings that end. *fd: what came with it, or -EBADF; taken by leaving -EBADF there. Negative: it makes
         * no sense, and the connection ends. */
        int (*on_message)(void *userdata, uint32_t type, const void *message, int *fd);
        void (*on_lost)(void *userdata);
} ScopeLinkHandler;

int scope_link_new(sd_event *event, const char *path, const ScopeLinkHandler *handler, void *userdata, ScopeLink **ret);
ScopeLink *scope_link_free(ScopeLink *link);
bool scope_link_is_connected(const ScopeLink *link);

/* fds: SPAWNER_FDS of them, borrowed, or NULL. -ENOTCONN; -ENOBUFS: too much is waiting. Without fds that ends the connection, since afterwards each unit is
 * asked for again: what was to be said isn't lost without a trace. */
int scope_link_send(ScopeLink *link, const void *message, size_t size, const int *fds);
