/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon, as the spawner sees it: one connection at a time, of one uid. */

#include <systemd/sd-event.h>

#include "spawner/check.h"

typedef struct Peer Peer;

typedef struct PeerHandler {
        /* A message that check_request() has let pass. fds: SPAWNER_FDS with SPAWNER_START, borrowed; else NULL. */
        void (*on_request)(void *userdata, const SpawnerRequest *request, const int *fds);
        void (*on_connected)(void *userdata);
        /* The connection has ended, or is replaced by another. */
        void (*on_lost)(void *userdata);
} PeerHandler;

/* listener_fd is taken over. Connections of anybody but daemon_uid are closed at once. */
int peer_new(sd_event *event, int listener_fd, uid_t daemon_uid, const PeerHandler *handler, void *userdata, Peer **ret);
Peer *peer_free(Peer *peer);

/* Of a message's struct. fd: borrowed, or -EBADF. Nothing is sent when there is no connection; a peer that doesn't read loses its own. */
void peer_send(Peer *peer, const void *message, size_t size, int fd);
/* Reads nothing meanwhile: what the daemon asks for waits in its own queue. */
void peer_pause(Peer *peer, bool pause);
/* The process that connected, 0 if there is none. */
pid_t peer_get_pid(const Peer *peer);
