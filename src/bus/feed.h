/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The feed of one runtime: its output, from the ring to each subscriber, in batches, as far as each one's window goes. */

#include <jansson.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bus/peer.h"
#include "core/runtime.h"

typedef struct Feed Feed;
typedef struct Bus Bus;

/* How a peer came to be subscribed; a stream ends when none is left. */
typedef enum FeedSource {
        FEED_BY_RUNTIME = 1 << 0,
        FEED_BY_MANAGER = 1 << 1,
} FeedSource;

int feed_new(Bus *bus, const char *path, Runtime *runtime, Feed **ret);
/* Its streams are gone from their peers when this returns. */
Feed *feed_free(Feed *feed);

/* Lines with numbers above after are for the peer, which has one stream of a runtime however often it subscribes. feed_pump() begins to send them. */
void feed_subscribe(Feed *feed, Peer *peer, FeedSource source, uint64_t after);
void feed_unsubscribe(Feed *feed, Peer *peer, FeedSource source);
bool feed_has_subscriber(const Feed *feed, const Peer *peer);
unsigned feed_get_n_subscribers(const Feed *feed);

/* New lines are in the ring, or some window has room again. */
void feed_pump(Feed *feed);
/* No line will be added: sends the rest without pause. Returns true if subscribers that read well aren't done: runtime_finish() is then called when they are,
 * or after a short while. */
bool feed_finish(Feed *feed);

/* The peer is sent what there is, as far as it has room; true: that is all. */
bool feed_send_rest(Feed *feed, const Peer *peer);

/* [{peer, sources, after}]: each subscriber, and the last line that it is known to have. */
json_t *feed_to_record(const Feed *feed);

/* The runtime begins anew. */
void feed_resume(Feed *feed);

/* The peer has gone: its streams end, in whichever feeds they are. */
void feed_drop_peer(Peer *peer);
/* What was sent to the peer so far is asked to be acknowledged; it is; it may be lost, and is sent again. */
void feed_mark_peer(Peer *peer);
void feed_acknowledge_peer(Peer *peer);
void feed_rewind_peer(Peer *peer);
/* The peer has room again. */
void feed_pump_peer(Peer *peer);
