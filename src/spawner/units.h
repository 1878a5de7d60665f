/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon asked for, done: keepers and their scopes. */

#include "core/scope.h"
#include "spawner/check.h"
#include "spawner/children.h"
#include "spawner/folder.h"
#include "spawner/peer.h"

typedef struct Units Units;

typedef struct UnitsContext {
        sd_event *event;
        ScopeBus *scopes;
        Children *children;
        Folders *folders;
        const Rights *rights;
        const char *keeper_path;
} UnitsContext;

/* All of context is borrowed. */
Units *units_new(const UnitsContext *context);
/* Whom to tell. */
void units_set_peer(Units *units, Peer *peer);
Units *units_free(Units *units);

extern const PeerHandler units_peer_handler; /* its userdata: Units */
