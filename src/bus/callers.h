/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who calls: every method call passes here first, and goes on when the bus has vouched for the uid of the one who sent it.
 *
 * sd-bus would ask the bus and wait, and everybody else with it. So the calls of a connection that isn't known yet are held, the bus is asked once, without
 * waiting, and when it has answered they are put back into the queue of incoming messages, in their order. On the session bus there is one user, and nothing is
 * asked. */

#include <systemd/sd-bus.h>

#include "bus/peer.h"

typedef struct Callers Callers;

/* many_users: whether there are others than the one who runs this process. */
Callers *callers_new(PeerTable *peers, bool many_users);
Callers *callers_free(Callers *callers);

/* There is a connection; NULL: it was lost, and all that is held with it. */
void callers_attach(Callers *callers, sd_bus *bus);
/* Peers that a record names, after peer_table_recheck(): each is who it was, or is dropped. */
void callers_recheck(Callers *callers);
/* It has left the bus. */
void callers_drop_peer(Callers *callers, Peer *peer);

/* 1: the call is of ret_peer, which is vouched for. 0: it is held and will come again, or has been refused. */
int callers_pass(Callers *callers, sd_bus_message *call, Peer **ret_peer);
