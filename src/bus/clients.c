/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who the clients are, for the next daemon: the subscribers of the manager, and for each runtime its owner and its subscribers with their places in the output.
 * With each name goes the uid that it had: whose it is now is asked anew (callers.h), and if that is another it is nobody. Names are those of one bus: all of
 * it is forgotten if the bus is another by then, and looked up again if it is the same.
 *
 * What a client was promised by an answer is written before the answer. Places move all the time and are written once a second, for the runtimes where
 * they have moved: a client may be sent a line once more after a crash, under its own number. */

#include <jansson.h>
#include <string.h>
#include <time.h>

#include "bus/bus.h"
#include "util/macro.h"

#define PLACES_USEC (1 * USEC_PER_SEC)

/* uids: {name: uid}. */
static void add_uid(json_t *uids, const Peer *peer) {
        if (peer && peer_get_uid(peer) != UID_UNKNOWN)
                (void) json_object_set_new(uids, peer_get_name(peer), json_integer(peer_get_uid(peer)));
}

static json_t *followers_to_record(const RuntimeObject *object, json_t *uids) {
        json_t *followers = json_array();

        for (unsigned i = 0; i < object->followers->len; i++) {
                const Follower *follower = object->followers->pdata[i];

                add_uid(uids, follower->peer);
                if (follower->life)
                        (void) json_array_append_new(followers, json_string(peer_get_name(follower->peer)));
        }
        return followers;
}

void clients_save(RuntimeObject *object) {
        json_t *record, *uids = json_object(), *followers = followers_to_record(object, uids);

        add_uid(uids, object->owner);
        g_hash_table_remove(object->bus->moved, object);
        record = json_pack("{s:s?,s:s?,s:I,s:b,s:o,s:o,s:o}", "owner", object->owner ? peer_get_name(object->owner) : NULL, "owner_name", object->owner_name,
                           "grace_usec", (json_int_t) object->owner_grace_usec, "owner_gone", object->owner_gone, "streams", feed_to_record(object->feed),
                           "followers", followers, "uids", uids);
        if (!record)
                return;
        (void) manager_save(object->bus->manager, object->runtime, RECORD_CLIENTS, record);
        json_decref(record);
}

static int on_places_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *bus = userdata;

        clients_save_moved(bus);
        return 0;
}

void clients_moved(RuntimeObject *object) {
        Bus *bus = object->bus;

        if (g_hash_table_size(bus->moved) == 0) {
                if (!bus->places_timer)
                        (void) sd_event_add_time(bus->event, &bus->places_timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_places_timer, bus);
                (void) sd_event_source_set_time_relative(bus->places_timer, PLACES_USEC);
                (void) sd_event_source_set_enabled(bus->places_timer, SD_EVENT_ONESHOT);
        }
        g_hash_table_add(bus->moved, object);
}

void clients_save_moved(Bus *bus) {
        g_autoptr(GList) objects = g_hash_table_get_keys(bus->moved);

        for (GList *item = objects; item; item = item->next)
                clients_save(item->data);
}

void clients_forget(RuntimeObject *object) {
        g_hash_table_remove(object->bus->moved, object);
}

void clients_save_subscribers(Bus *bus) {
        char id[SD_ID128_STRING_MAX];
        json_t *subscribers = json_object(), *uids = json_object(), *record;

        for (unsigned i = 0; i < bus->subscribers->len; i++) {
                const Peer *peer = bus->subscribers->pdata[i];

                (void) json_object_set_new(subscribers, peer_get_name(peer), json_integer(peer_get_subscription(peer)));
                add_uid(uids, peer);
        }
        record = json_pack("{s:s,s:o,s:o}", "bus", sd_id128_to_string(bus->id, id), "subscribers", subscribers, "uids", uids);
        if (!record)
                return;
        (void) manager_save(bus->manager, NULL, RECORD_SUBSCRIBERS, record);
        json_decref(record);
}

/* On the session bus there is one. */
static uid_t get_uid(const Bus *bus, const char *name, const json_t *uids) {
        const json_t *uid = json_object_get(uids, name);

        if (!bus->many_users)
                return getuid();
        return json_is_integer(uid) && json_integer_value(uid) >= 0 && json_integer_value(uid) < UINT32_MAX ? (uid_t) json_integer_value(uid) : UID_UNKNOWN;
}

/* A unique name, as the bus gives them, and whose it was. NULL: records don't say, or not the same. */
static Peer *get_peer(Bus *bus, const char *name, const json_t *uids) {
        uid_t uid;
        Peer *peer;

        if (!name || name[0] != ':' || sd_bus_service_name_is_valid(name) <= 0)
                return NULL;
        uid = get_uid(bus, name, uids);
        /* One that another record tells of. */
        if (uid == UID_UNKNOWN)
                return peer_table_find(bus->peers, name);
        peer = peer_table_get(bus->peers, name);
        if (peer_get_uid(peer) == UID_UNKNOWN)
                peer_set_uid(peer, uid, false);
        return peer_get_uid(peer) == uid ? peer : NULL;
}

void clients_load_subscribers(Bus *bus) {
        const char *id, *name;
        json_t *record, *subscribers, *flags, *uids = NULL;

        if (manager_load_record(bus->manager, NULL, RECORD_SUBSCRIBERS, &record) < 0)
                return;
        if (json_unpack(record, "{s:s,s:o,s?o}", "bus", &id, "subscribers", &subscribers, "uids", &uids) == 0 && sd_id128_from_string(id, &bus->id) >= 0)
                json_object_foreach(subscribers, name, flags) {
                        Peer *peer = get_peer(bus, name, uids);
                        json_int_t value = json_integer_value(flags) & (SUBSCRIBE_LIFE | SUBSCRIBE_OUTPUT);

                        if (!peer || value == 0)
                                continue;
                        audience_add_subscriber(bus, peer, value);
                }
        json_decref(record);
}

static void load_streams(RuntimeObject *object, json_t *streams, const json_t *uids) {
        json_t *item;
        size_t i;

        json_array_foreach(streams, i, item) {
                const char *name;
                json_int_t after;
                int sources;
                Peer *peer;

                if (json_unpack(item, "{s:s,s:i,s:I}", "peer", &name, "sources", &sources, "after", &after) < 0)
                        continue;
                peer = get_peer(object->bus, name, uids);
                if (!peer || !bus_may_see(object->bus, peer_get_uid(peer), object->runtime))
                        continue;
                if (sources & FEED_BY_RUNTIME) {
                        audience_add_follower(object, peer, false);
                        feed_subscribe(object->feed, peer, FEED_BY_RUNTIME, after);
                }
                if ((sources & FEED_BY_MANAGER) && (peer_get_subscription(peer) & SUBSCRIBE_OUTPUT))
                        feed_subscribe(object->feed, peer, FEED_BY_MANAGER, after);
        }
}

static void load_followers(RuntimeObject *object, json_t *followers, const json_t *uids) {
        json_t *item;
        size_t i;

        json_array_foreach(followers, i, item) {
                Peer *peer = get_peer(object->bus, json_string_value(item), uids);

                if (peer && bus_may_see(object->bus, peer_get_uid(peer), object->runtime))
                        audience_add_follower(object, peer, true);
        }
}

void clients_load(RuntimeObject *object) {
        json_t *record, *owner, *owner_name, *streams, *followers = NULL, *uids = NULL;
        json_int_t grace_usec;
        int gone;

        if (manager_load_record(object->bus->manager, object->runtime, RECORD_CLIENTS, &record) < 0)
                return;
        /* Who owns it may be null. */
        if (json_unpack(record, "{s:o,s:o,s:I,s:b,s:o,s?o,s?o}", "owner", &owner, "owner_name", &owner_name, "grace_usec", &grace_usec, "owner_gone", &gone,
                        "streams", &streams, "followers", &followers, "uids", &uids) == 0) {
                object->owner = get_peer(object->bus, json_string_value(owner), uids);
                if (object->owner) {
                        g_ptr_array_add(peer_get_owned(object->owner), object);
                        /* If it has left meanwhile, that is noticed anew. */
                        runtime_expect_owner(object->runtime, USEC_INFINITY, REASON_NO_OWNER);
                }
                g_free(object->owner_name);
                object->owner_name = g_strdup(json_string_value(owner_name) ?: "");
                object->owner_grace_usec = (uint64_t) grace_usec;
                object->owner_gone = gone;
                /* It can't come back, so it is as if it had left now. */
                if (!object->owner && json_is_string(owner)) {
                        object->owner_gone = true;
                        runtime_expect_owner(object->runtime, object->owner_grace_usec, REASON_OWNER_GONE);
                }
                load_streams(object, streams, uids);
                load_followers(object, followers, uids);
        }
        json_decref(record);
}
