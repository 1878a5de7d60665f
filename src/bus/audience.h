/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who is sent the signals about the life of a runtime on a bus of many users: those who follow it and may see it, each on its own, each within its window.
 *
 * Such signals are small, but a peer that reads nothing is sent none past its window: it is remembered instead which runtimes it has missed something of. When
 * it has read, it is told of each as it is now, by the same signals: they go by value, and what was in between doesn't matter any more. */

#include <glib.h>

#include "bus/peer.h"

typedef struct Bus Bus;
typedef struct RuntimeObject RuntimeObject;

/* A subscription of a runtime's own: each a unit of the quota. */
typedef struct Follower {
        RuntimeObject *object;
        Peer *peer;
        bool life; /* not only the output */
} Follower;

Follower *audience_find_follower(const RuntimeObject *object, const Peer *peer);
/* Those of its life. */
unsigned audience_count_followers(const RuntimeObject *object);
/* false: the quota of its user is used up. */
bool audience_follow(RuntimeObject *object, Peer *peer, bool life);
void audience_unfollow(RuntimeObject *object, Peer *peer);

/* The same for all runtimes; 0: no longer. Writes nothing. */
bool audience_subscribe(Bus *bus, Peer *peer, unsigned flags);

/* The quotas of those whom a record names. */
void audience_add_follower(RuntimeObject *object, Peer *peer, bool life);
void audience_add_subscriber(Bus *bus, Peer *peer, unsigned flags);

typedef enum AudienceNews {
        NEWS_OF_LIFE,
        NEWS_ADDED,
        NEWS_REMOVED,
} AudienceNews;

/* Who is to be sent a signal of this size now; the others are remembered as having missed it. Free the array. */
GPtrArray *audience_get(RuntimeObject *object, AudienceNews news, size_t size);

/* The peer has room: it is told what it has missed. */
void audience_catch_up(Bus *bus, Peer *peer);

/* Peer → what it has missed. */
GHashTable *audience_missed_new(void);
/* The object goes, the peer goes. */
void audience_drop_object(RuntimeObject *object);
void audience_drop_peer(Bus *bus, Peer *peer);
