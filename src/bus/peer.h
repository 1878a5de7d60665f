/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Peers of the bus and what they have not read yet: the window.
 *
 * A message bus holds what a peer doesn't read, and in the end the sender pays: dbus-broker disconnects it, dbus-daemon stops reading from it. So everything
 * sent to one peer is counted, and behind the data goes an org.freedesktop.DBus.Peer.Ping: its answer, be it an error, says that the peer
 * has read all before. More than LIMIT_WINDOW unacknowledged bytes are never sent to anyone. On the system bus there is a window for all peers of a uid,
 * too: dbus-daemon stops reading from a sender when it holds 127 MiB of its messages, whoever doesn't read them, and a user may have hundreds of connections.
 * A bus that doesn't take our messages (a
 * suspended monitor) is found in the same way, by a GetId to the bus itself. */

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

typedef struct PeerTable PeerTable;
typedef struct Peer Peer;

/* Nobody's: of a peer of which it isn't known yet. */
#define UID_UNKNOWN ((uid_t) -1)

typedef struct PeerHandler {
        /* A ping goes out behind all that was sent so far, and its answer has come. */
        void (*on_asked)(void *userdata, Peer *peer);
        void (*on_acknowledged)(void *userdata, Peer *peer);
        /* The connection was lost: what it has not acknowledged may be lost too. */
        void (*on_rewind)(void *userdata, Peer *peer);
        /* There is room in its window again. */
        void (*on_room)(void *userdata, Peer *peer);
        /* It has left the bus; it is freed when this returns. */
        void (*on_gone)(void *userdata, Peer *peer);
} PeerHandler;

/* Begins without a connection. window_uid: bytes that all peers of a uid may leave unread together, UINT64_MAX: any number. pings_max: how many unanswered ones
 * there may be, in all and to the peers of one uid; the system bus allows 128 open calls of a connection. */
int peer_table_new(unsigned pings_max, unsigned pings_max_uid, uint64_t window_uid, const PeerHandler *handler, void *userdata, PeerTable **ret);
/* on_gone is called for each. */
PeerTable *peer_table_free(PeerTable *table);

/* There is a connection; NULL: it was lost, and nobody has room until there is another. */
int peer_table_attach(PeerTable *table, sd_bus *bus);
/* After the connection was made again: on the same bus, peers with a subscription are asked whether they are still there, and go on where they were; on
 * another one names mean somebody else, and all are forgotten. */
void peer_table_recheck(PeerTable *table, bool same_bus);

/* The peer with this unique name; made if it is new. */
Peer *peer_table_get(PeerTable *table, const char *name);
/* NULL: it isn't known, which is to say that it never called. */
Peer *peer_table_find(PeerTable *table, const char *name);
/* All that there are, in no order; free the list. */
GList *peer_table_list(PeerTable *table);
/* Treats it as one that has left the bus; on_gone is called, and it is freed. */
void peer_table_drop(PeerTable *table, Peer *peer);

const char *peer_get_name(const Peer *peer);
/* Whose it is. Who isn't vouched for (its uid is unknown, or that of a record) is sent nothing: it has no room. Beginning to be may give it some. */
uid_t peer_get_uid(const Peer *peer);
void peer_set_uid(Peer *peer, uid_t uid, bool vouched);
bool peer_is_vouched(const Peer *peer);
/* How many bytes of output may be sent to it now: as its own window and that of the bus go. */
size_t peer_get_room(const Peer *peer);
/* Its own window is full, or that of its uid: what was sent has not been read. */
bool peer_is_full(const Peer *peer);
/* Whether such a peer may be sent a refusal of this size, for even those add up; counts it as sent. */
bool peer_refuse(Peer *peer, size_t size);
/* Tells that so much was sent to it. */
void peer_sent(Peer *peer, size_t size);
/* Whether it owes an answer for longer than usec. */
bool peer_is_silent(const Peer *peer, uint64_t usec);

/* For the owner; begins as NULL and 0. */
GPtrArray *peer_get_streams(Peer *peer);
GPtrArray *peer_get_owned(Peer *peer);    /* runtimes that it owns */
GPtrArray *peer_get_calls(Peer *peer);    /* of its calls that wait */
GPtrArray *peer_get_followed(Peer *peer); /* runtimes whose life it follows, each by a subscription of its own */
/* It has missed something: it wants to hear of any room that it has. */
void peer_set_behind(Peer *peer, bool behind);
bool peer_is_behind(const Peer *peer);
/* Pipes that were sent to it and that it may not have taken yet; and how many of them the ping under way is behind. */
typedef struct PeerPipes {
        unsigned sent, marked;
} PeerPipes;
PeerPipes *peer_get_pipes(Peer *peer);
unsigned peer_get_subscription(const Peer *peer);
void peer_set_subscription(Peer *peer, unsigned flags);
