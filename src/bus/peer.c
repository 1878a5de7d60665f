/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One match for NameOwnerChanged serves all peers. A peer is made when its first message comes, and the bus tells of its end after its last message, so
 * none is left behind. Sizes are those of the texts plus a flat rate: the window needs a bound, not an account. */

#include "bus/peer.h"

#include <time.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"

/* Little is worth no ping. */
#define PING_FROM (LIMIT_WINDOW / 8)
/* The bus as a whole, for all peers. */
#define BUS_WINDOW (8U * LIMIT_WINDOW)

#define RETRY_USEC (1 * USEC_PER_SEC)

typedef struct Window {
        uint64_t sent, asked, acknowledged; /* bytes; asked: up to where the ping under way will acknowledge */
        uint64_t asked_usec;
        sd_bus_slot *ping;
} Window;

struct PeerTable {
        sd_bus *bus; /* borrowed; NULL: no connection */
        sd_bus_slot *name_match;
        const PeerHandler *handler;
        void *userdata;
        GHashTable *peers; /* unique name → Peer */
        Window window;     /* of the bus itself */
        unsigned n_pings, pings_max, pings_max_uid;
        GHashTable *pings_of; /* uid → number of pings under way to its peers */
        uint64_t window_uid;
        GHashTable *unread_of; /* uid → bytes that its peers haven't acknowledged, all together */
        sd_event_source *retry_timer;
        GQueue waiting; /* peers that want to be pinged */
};

struct Peer {
        PeerTable *table;
        char *name;
        uid_t uid, pinged_uid; /* pinged_uid: in whose account the ping under way is */
        bool vouched, behind;
        Window window;
        GList in_waiting;
        bool is_waiting;
        size_t refused; /* bytes sent past the window */
        GPtrArray *streams;
        GPtrArray *owned;
        GPtrArray *calls;
        GPtrArray *followed;
        PeerPipes pipes;
        unsigned subscription;
};

static uint64_t monotonic_usec(void) {
        return g_get_monotonic_time();
}

static void table_ping_bus(PeerTable *table);
static void peer_ping(Peer *peer);
static void peer_leave(Peer *peer);

static uint64_t peer_get_unread(const Peer *peer) {
        return peer->window.sent - peer->window.acknowledged;
}

static uint64_t table_get_unread(const PeerTable *table, uid_t uid) {
        return GPOINTER_TO_SIZE(g_hash_table_lookup(table->unread_of, GUINT_TO_POINTER(uid)));
}

static void table_set_unread(PeerTable *table, uid_t uid, uint64_t size) {
        if (size > 0)
                g_hash_table_insert(table->unread_of, GUINT_TO_POINTER(uid), GSIZE_TO_POINTER(size));
        else
                g_hash_table_remove(table->unread_of, GUINT_TO_POINTER(uid));
}

/* Few of its peers can be pinged at a time, and what is worth no ping may add up: from here on everything is. */
static bool table_is_tight(const PeerTable *table, uid_t uid) {
        return table_get_unread(table, uid) >= table->window_uid / 2;
}

static void tell_room(Peer *peer) {
        if (peer_get_room(peer) > 0)
                peer->table->handler->on_room(peer->table->userdata, peer);
}

/* uid: UID_UNKNOWN: of all. */
static void table_tell_room(PeerTable *table, uid_t uid) {
        g_autoptr(GPtrArray) peers = g_ptr_array_new();
        GHashTableIter iter;
        gpointer value;

        g_hash_table_iter_init(&iter, table->peers);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                const Peer *peer = value;

                if ((uid == UID_UNKNOWN || peer->uid == uid) && (peer->streams->len > 0 || peer->behind))
                        g_ptr_array_add(peers, value);
        }
        for (unsigned i = 0; i < peers->len; i++)
                tell_room(peers->pdata[i]);
}

static void table_ping_all(PeerTable *table, uid_t uid) {
        GHashTableIter iter;
        gpointer value;

        g_hash_table_iter_init(&iter, table->peers);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                if (((const Peer *) value)->uid == uid)
                        peer_ping(value);
}

/* So much of it has been read, or is lost. Others of the same uid may have waited for that. */
static void peer_read(Peer *peer, uint64_t size) {
        PeerTable *table = peer->table;
        uint64_t before = table_get_unread(table, peer->uid);

        table_set_unread(table, peer->uid, before - size);
        if (size > 0 && before > table->window_uid - MIN_OF((uint64_t) LIMIT_WINDOW, table->window_uid))
                table_tell_room(table, peer->uid);
}

static int on_bus_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        PeerTable *table = userdata;

        table->window.ping = sd_bus_slot_unref(table->window.ping);
        if (sd_bus_message_is_method_error(reply, NULL))
                return 0;
        table->window.acknowledged = table->window.asked;
        table_tell_room(table, UID_UNKNOWN);
        table_ping_bus(table);
        return 0;
}

/* Without a time-out, for that would look like an answer. */
static void table_ping_bus(PeerTable *table) {
        Window *window = &table->window;
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        if (!table->bus || window->ping || window->sent - window->acknowledged < BUS_WINDOW / 8)
                return;
        r = sd_bus_message_new_method_call(table->bus, &message, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId");
        if (r >= 0)
                r = sd_bus_call_async(table->bus, &window->ping, message, on_bus_answer, table, UINT64_MAX);
        if (r >= 0)
                window->asked = window->sent;
}

static unsigned table_get_pings(const PeerTable *table, uid_t uid) {
        return GPOINTER_TO_UINT(g_hash_table_lookup(table->pings_of, GUINT_TO_POINTER(uid)));
}

/* Those of one uid can't take all pings for themselves, by answering none. */
static bool table_may_ping(const PeerTable *table, uid_t uid) {
        return table->n_pings < table->pings_max && table_get_pings(table, uid) < table->pings_max_uid;
}

static void ping_began(Peer *peer) {
        PeerTable *table = peer->table;

        peer->pinged_uid = peer->uid;
        table->n_pings++;
        g_hash_table_insert(table->pings_of, GUINT_TO_POINTER(peer->uid), GUINT_TO_POINTER(table_get_pings(table, peer->uid) + 1));
}

static void ping_ended(Peer *peer) {
        PeerTable *table = peer->table;
        unsigned left = table_get_pings(table, peer->pinged_uid) - 1;

        peer->window.ping = sd_bus_slot_unref(peer->window.ping);
        table->n_pings--;
        if (left > 0)
                g_hash_table_insert(table->pings_of, GUINT_TO_POINTER(peer->pinged_uid), GUINT_TO_POINTER(left));
        else
                g_hash_table_remove(table->pings_of, GUINT_TO_POINTER(peer->pinged_uid));
}

/* Each once: one whose ping is refused goes to the end of the queue again. */
static void table_ping_next(PeerTable *table) {
        GList *item = table->waiting.head, *next;

        for (unsigned n = table->waiting.length; n > 0 && table->n_pings < table->pings_max; n--, item = next) {
                Peer *peer = item->data;

                next = item->next;
                if (!table_may_ping(table, peer->uid))
                        continue;
                g_queue_unlink(&table->waiting, &peer->in_waiting);
                peer->is_waiting = false;
                peer_ping(peer);
        }
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        table_ping_next(userdata);
        return 0;
}

static void peer_wait(Peer *peer) {
        peer->is_waiting = true;
        g_queue_push_tail_link(&peer->table->waiting, &peer->in_waiting);
}

/* The bus refused the ping: it has its limits too, above all for peers that don't read. */
static void peer_ping_later(Peer *peer) {
        PeerTable *table = peer->table;

        if (!peer->is_waiting)
                peer_wait(peer);
        if (!table->retry_timer)
                (void) sd_event_add_time_relative(sd_bus_get_event(table->bus), &table->retry_timer, CLOCK_MONOTONIC, RETRY_USEC, 0, on_retry, table);
        else {
                (void) sd_event_source_set_time_relative(table->retry_timer, RETRY_USEC);
                (void) sd_event_source_set_enabled(table->retry_timer, SD_EVENT_ONESHOT);
        }
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Peer *peer = userdata;
        PeerTable *table = peer->table;
        const char *sender = sd_bus_message_get_sender(reply);
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        uint64_t size;

        ping_ended(peer);
        /* An error made by the bus, or by sd-bus itself, says nothing about the peer. */
        if (!error || g_strcmp0(sender, peer->name) == 0) {
                size = peer->window.asked - peer->window.acknowledged;
                peer->window.acknowledged = peer->window.asked;
                table->handler->on_acknowledged(table->userdata, peer);
                peer_read(peer, size);
                if (!peer_is_full(peer))
                        peer->refused = 0;
                tell_room(peer);
                peer_ping(peer);
        } else if (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) || sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
                peer_leave(peer);
                return 0;
        } else {
                peer_ping_later(peer);
                return 0;
        }
        table_ping_next(table);
        return 0;
}

static void peer_ping(Peer *peer) {
        PeerTable *table = peer->table;
        sd_bus_message *message = NULL;
        int r;

        if (!table->bus || peer->window.ping || peer->is_waiting || peer_get_unread(peer) == 0)
                return;
        if (peer_get_unread(peer) < PING_FROM && !table_is_tight(table, peer->uid))
                return;
        if (!table_may_ping(table, peer->uid)) {
                peer_wait(peer);
                return;
        }
        r = sd_bus_message_new_method_call(table->bus, &message, peer->name, "/", "org.freedesktop.DBus.Peer", "Ping");
        if (r >= 0)
                r = sd_bus_call_async(table->bus, &peer->window.ping, message, on_answer, peer, UINT64_MAX);
        sd_bus_message_unref(message);
        if (r < 0) {
                peer_ping_later(peer);
                return;
        }
        ping_began(peer);
        peer->window.asked = peer->window.sent;
        table->handler->on_asked(table->userdata, peer);
        peer->window.asked_usec = monotonic_usec();
}

static void peer_free(Peer *peer) {
        PeerTable *table = peer->table;

        if (peer->window.ping)
                ping_ended(peer);
        if (peer->is_waiting)
                g_queue_unlink(&table->waiting, &peer->in_waiting);
        g_ptr_array_unref(peer->streams);
        g_ptr_array_unref(peer->owned);
        g_ptr_array_unref(peer->calls);
        g_ptr_array_unref(peer->followed);
        g_free(peer->name);
        g_free(peer);
}

static void peer_leave(Peer *peer) {
        PeerTable *table = peer->table;

        g_hash_table_steal(table->peers, peer->name);
        table->handler->on_gone(table->userdata, peer);
        peer_read(peer, peer_get_unread(peer));
        peer_free(peer);
        table_ping_next(table);
}

static int on_name_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        PeerTable *table = userdata;
        const char *name, *old, *new;
        Peer *peer;

        if (sd_bus_message_read(message, "sss", &name, &old, &new) < 0 || new[0] != '\0')
                return 0;
        peer = g_hash_table_lookup(table->peers, name);
        if (peer)
                peer_leave(peer);
        return 0;
}

int peer_table_new(unsigned pings_max, unsigned pings_max_uid, uint64_t window_uid, const PeerHandler *handler, void *userdata, PeerTable **ret) {
        PeerTable *table;

        table = g_new0(PeerTable, 1);
        table->pings_max = pings_max;
        table->pings_max_uid = pings_max_uid;
        table->pings_of = g_hash_table_new(NULL, NULL);
        table->window_uid = window_uid;
        table->unread_of = g_hash_table_new(NULL, NULL);
        table->handler = handler;
        table->userdata = userdata;
        table->peers = g_hash_table_new(g_str_hash, g_str_equal);
        g_queue_init(&table->waiting);
        *ret = table;
        return 0;
}

/* Nothing is under way any more, and what was sent is lost or read. */
static void window_reset(Window *window) {
        sd_bus_slot_unref(window->ping);
        *window = (Window){0};
}

int peer_table_attach(PeerTable *table, sd_bus *bus) {
        GHashTableIter iter;
        gpointer value;

        table->name_match = sd_bus_slot_unref(table->name_match);
        window_reset(&table->window);
        g_hash_table_iter_init(&iter, table->peers);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Peer *peer = value;

                window_reset(&peer->window);
                if (peer->is_waiting)
                        g_queue_unlink(&table->waiting, &peer->in_waiting);
                peer->is_waiting = false;
        }
        table->n_pings = 0;
        g_hash_table_remove_all(table->pings_of);
        g_hash_table_remove_all(table->unread_of);
        table->bus = bus;
        if (!bus)
                return 0;
        /* arg2 is the new owner: only names that vanish. */
        return sd_bus_add_match_async(bus, &table->name_match,
                                      "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                                      "member='NameOwnerChanged',arg2=''",
                                      on_name_owner_changed, NULL, table);
}

void peer_table_recheck(PeerTable *table, bool same_bus) {
        g_autoptr(GList) peers = g_hash_table_get_values(table->peers);

        for (GList *item = peers; item; item = item->next) {
                Peer *peer = item->data;

                if (same_bus && (peer->subscription != 0 || peer->streams->len > 0 || peer->owned->len > 0 || peer->followed->len > 0)) {
                        /* So much that it is worth a ping. */
                        table->handler->on_rewind(table->userdata, peer);
                        peer_sent(peer, PING_FROM);
                        tell_room(peer);
                } else
                        peer_leave(peer);
        }
}

PeerTable *peer_table_free(PeerTable *table) {
        GHashTableIter iter;
        gpointer peer;

        if (!table)
                return NULL;
        g_hash_table_iter_init(&iter, table->peers);
        while (g_hash_table_iter_next(&iter, NULL, &peer)) {
                g_hash_table_iter_steal(&iter);
                table->handler->on_gone(table->userdata, peer);
                peer_free(peer);
        }
        g_hash_table_unref(table->peers);
        g_hash_table_unref(table->pings_of);
        g_hash_table_unref(table->unread_of);
        sd_bus_slot_unref(table->window.ping);
        sd_event_source_disable_unref(table->retry_timer);
        sd_bus_slot_unref(table->name_match);
        g_free(table);
        return NULL;
}

Peer *peer_table_find(PeerTable *table, const char *name) {
        return g_hash_table_lookup(table->peers, name);
}

Peer *peer_table_get(PeerTable *table, const char *name) {
        Peer *peer = peer_table_find(table, name);

        if (peer)
                return peer;
        peer = g_new0(Peer, 1);
        peer->table = table;
        peer->name = g_strdup(name);
        peer->uid = UID_UNKNOWN;
        peer->in_waiting.data = peer;
        peer->streams = g_ptr_array_new();
        peer->owned = g_ptr_array_new();
        peer->calls = g_ptr_array_new();
        peer->followed = g_ptr_array_new();
        g_hash_table_insert(table->peers, peer->name, peer);
        return peer;
}

GList *peer_table_list(PeerTable *table) {
        return g_hash_table_get_values(table->peers);
}

void peer_table_drop(PeerTable *table, Peer *peer) {
        peer_leave(peer);
}

const char *peer_get_name(const Peer *peer) {
        return peer->name;
}

uid_t peer_get_uid(const Peer *peer) {
        return peer->uid;
}

void peer_set_uid(Peer *peer, uid_t uid, bool vouched) {
        bool before = peer->vouched;
        PeerTable *table = peer->table;

        table_set_unread(table, peer->uid, table_get_unread(table, peer->uid) - peer_get_unread(peer));
        table_set_unread(table, uid, table_get_unread(table, uid) + peer_get_unread(peer));
        peer->uid = uid;
        peer->vouched = vouched;
        if (vouched && !before && (peer->behind || peer->streams->len > 0))
                tell_room(peer);
}

bool peer_is_vouched(const Peer *peer) {
        return peer->vouched;
}

size_t peer_get_room(const Peer *peer) {
        const PeerTable *table = peer->table;
        uint64_t waiting = peer_get_unread(peer), waiting_uid = table_get_unread(table, peer->uid);
        uint64_t waiting_bus = table->window.sent - table->window.acknowledged;

        if (!table->bus || !peer->vouched || waiting >= LIMIT_WINDOW || waiting_uid >= table->window_uid || waiting_bus >= BUS_WINDOW)
                return 0;
        return MIN_OF(MIN_OF(LIMIT_WINDOW - waiting, BUS_WINDOW - waiting_bus), table->window_uid - waiting_uid);
}

bool peer_is_full(const Peer *peer) {
        return peer_get_unread(peer) >= LIMIT_WINDOW || table_get_unread(peer->table, peer->uid) >= peer->table->window_uid;
}

bool peer_refuse(Peer *peer, size_t size) {
        uint64_t unread = table_get_unread(peer->table, peer->uid);

        if (peer->refused + size > LIMIT_REFUSALS || (unread > peer->table->window_uid && unread - peer->table->window_uid > LIMIT_WINDOW))
                return false;
        peer->refused += size;
        peer_sent(peer, size);
        return true;
}

void peer_sent(Peer *peer, size_t size) {
        PeerTable *table = peer->table;
        bool before = table_is_tight(table, peer->uid);

        peer->window.sent += size;
        table->window.sent += size;
        table_set_unread(table, peer->uid, table_get_unread(table, peer->uid) + size);
        if (!before && table_is_tight(table, peer->uid))
                table_ping_all(table, peer->uid);
        else
                peer_ping(peer);
        table_ping_bus(table);
}

bool peer_is_silent(const Peer *peer, uint64_t usec) {
        return peer->is_waiting || (peer->window.ping && monotonic_usec() - peer->window.asked_usec > usec);
}

GPtrArray *peer_get_streams(Peer *peer) {
        return peer->streams;
}

GPtrArray *peer_get_owned(Peer *peer) {
        return peer->owned;
}

GPtrArray *peer_get_calls(Peer *peer) {
        return peer->calls;
}

GPtrArray *peer_get_followed(Peer *peer) {
        return peer->followed;
}

void peer_set_behind(Peer *peer, bool behind) {
        peer->behind = behind;
}

bool peer_is_behind(const Peer *peer) {
        return peer->behind;
}

PeerPipes *peer_get_pipes(Peer *peer) {
        return &peer->pipes;
}

unsigned peer_get_subscription(const Peer *peer) {
        return peer->subscription;
}

void peer_set_subscription(Peer *peer, unsigned flags) {
        peer->subscription = flags;
}
