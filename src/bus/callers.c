/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call that is put back goes behind those of the same connection that have been read meanwhile. So until the last of them has come again, calls that weren't
 * held are held too, and put behind: what comes is let through only if it is the first of those held. */

#include "bus/callers.h"

#include <errno.h>
#include <unistd.h>

#include "bus/message-size.h"
#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

/* What a refusal takes in the caller's window. */
#define REFUSAL_SIZE 512U

struct Callers {
        sd_bus *bus; /* borrowed; NULL: no connection */
        PeerTable *peers;
        bool many_users;
        GHashTable *unknown; /* Peer → Unknown, owned */
        unsigned n_held;
};

/* A peer that isn't vouched for yet, or has calls to come again. */
typedef struct Unknown {
        Callers *callers;
        Peer *peer;
        sd_bus_slot *question; /* NULL: it is answered */
        GQueue held;           /* sd_bus_message */
        size_t size;           /* of those held since it was asked, about */
} Unknown;

static void unknown_free(gpointer data) {
        Unknown *unknown = data;
        sd_bus_message *message;

        sd_bus_slot_unref(unknown->question);
        while ((message = g_queue_pop_head(&unknown->held))) {
                unknown->callers->n_held--;
                sd_bus_message_unref(message);
        }
        g_free(unknown);
}

static void refuse(Peer *peer, sd_bus_message *call, const char *name, const char *text) {
        if (peer_refuse(peer, REFUSAL_SIZE))
                (void) sd_bus_reply_method_errorf(call, name, "%s", text);
}

static void hold(Unknown *unknown, sd_bus_message *call) {
        g_queue_push_tail(&unknown->held, sd_bus_message_ref(call));
        unknown->callers->n_held++;
}

/* uid: UID_UNKNOWN: the bus wouldn't say. */
static void unknown_settle(Unknown *unknown, uid_t uid) {
        Callers *callers = unknown->callers;
        Peer *peer = unknown->peer;
        uid_t before = peer_get_uid(peer);

        if (uid == UID_UNKNOWN || (before != UID_UNKNOWN && before != uid)) {
                /* The name is somebody else's than the record says, or nobody's. What that one itself has called is worth an answer. */
                for (GList *item = unknown->held.head; item; item = item->next)
                        refuse(peer, item->data, SD_BUS_ERROR_ACCESS_DENIED, "The message bus doesn't tell who you are; connect to it again.");
                peer_table_drop(callers->peers, peer);
                return;
        }
        for (GList *item = unknown->held.head; item; item = item->next)
                if (sd_bus_enqueue_for_read(callers->bus, item->data) < 0)
                        return;
        if (g_queue_is_empty(&unknown->held))
                g_hash_table_remove(callers->unknown, peer);
        peer_set_uid(peer, uid, true);
}

/* a{sv} */
static uid_t read_uid(sd_bus_message *reply) {
        const char *name;
        uint32_t uid = UID_UNKNOWN;

        if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_enter_container(reply, 'a', "{sv}") < 0)
                return UID_UNKNOWN;
        while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
                if (sd_bus_message_read(reply, "s", &name) < 0)
                        return UID_UNKNOWN;
                if (strcmp(name, "UnixUserID") == 0)
                        return sd_bus_message_read(reply, "v", "u", &uid) < 0 ? UID_UNKNOWN : (uid_t) uid;
                if (sd_bus_message_skip(reply, "v") < 0 || sd_bus_message_exit_container(reply) < 0)
                        return UID_UNKNOWN;
        }
        return UID_UNKNOWN;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Unknown *unknown = userdata;

        unknown->question = sd_bus_slot_unref(unknown->question);
        unknown_settle(unknown, read_uid(reply));
        return 0;
}

static int ask(Callers *callers, Peer *peer, Unknown **ret) {
        Unknown *unknown = g_new0(Unknown, 1);
        int r;

        *unknown = (Unknown){.callers = callers, .peer = peer, .held = G_QUEUE_INIT};
        r = sd_bus_call_method_async(callers->bus, &unknown->question, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                     "GetConnectionCredentials", on_credentials, unknown, "s", peer_get_name(peer));
        if (r < 0) {
                unknown_free(unknown);
                return r;
        }
        g_hash_table_insert(callers->unknown, peer, unknown);
        *ret = unknown;
        return 0;
}

Callers *callers_new(PeerTable *peers, bool many_users) {
        Callers *callers = g_new0(Callers, 1);

        callers->peers = peers;
        callers->many_users = many_users;
        callers->unknown = g_hash_table_new_full(NULL, NULL, NULL, unknown_free);
        return callers;
}

Callers *callers_free(Callers *callers) {
        if (!callers)
                return NULL;
        g_hash_table_unref(callers->unknown);
        g_free(callers);
        return NULL;
}

void callers_attach(Callers *callers, sd_bus *bus) {
        g_hash_table_remove_all(callers->unknown);
        callers->bus = bus;
}

void callers_recheck(Callers *callers) {
        g_autoptr(GList) peers = peer_table_list(callers->peers);

        for (GList *item = peers; item; item = item->next) {
                Unknown *unknown;

                if (peer_is_vouched(item->data))
                        continue;
                if (!callers->many_users)
                        peer_set_uid(item->data, getuid(), true);
                else if (!g_hash_table_contains(callers->unknown, item->data) && ask(callers, item->data, &unknown) < 0)
                        peer_table_drop(callers->peers, item->data);
        }
}

void callers_drop_peer(Callers *callers, Peer *peer) {
        g_hash_table_remove(callers->unknown, peer);
}

/* A call of one who has calls to come again. */
static int pass_in_order(Unknown *unknown, sd_bus_message *call) {
        Callers *callers = unknown->callers;

        if (g_queue_peek_head(&unknown->held) == call) {
                sd_bus_message_unref(g_queue_pop_head(&unknown->held));
                callers->n_held--;
                if (g_queue_is_empty(&unknown->held))
                        g_hash_table_remove(callers->unknown, unknown->peer);
                return 1;
        }
        if (sd_bus_enqueue_for_read(callers->bus, call) < 0)
                return 0;
        hold(unknown, call);
        return 0;
}

int callers_pass(Callers *callers, sd_bus_message *call, Peer **ret_peer) {
        Peer *peer = peer_table_get(callers->peers, sd_bus_message_get_sender(call));
        Unknown *unknown;

        *ret_peer = peer;
        if (!callers->many_users) {
                if (!peer_is_vouched(peer))
                        peer_set_uid(peer, getuid(), true);
                return 1;
        }
        unknown = g_hash_table_lookup(callers->unknown, peer);
        if (!unknown && peer_is_vouched(peer))
                return 1;
        if (unknown && !unknown->question)
                return pass_in_order(unknown, call);
        if (!unknown && ask(callers, peer, &unknown) < 0) {
                peer_table_drop(callers->peers, peer);
                return 0;
        }
        unknown->size += message_size(call, LIMIT_HELD_CALLS);
        if (unknown->size >= LIMIT_HELD_CALLS || g_queue_get_length(&unknown->held) >= LIMIT_UNKNOWN_CALLS || callers->n_held >= LIMIT_UNKNOWN_CALLS_ALL)
                refuse(peer, call, RM_ERROR_LIMIT_EXCEEDED, "Too many calls before it is known who calls; wait for the answer to the first.");
        else
                hold(unknown, call);
        return 0;
}
