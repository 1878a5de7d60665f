/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One who has missed something of any runtime is behind with all, until it has caught up: so what it is told of one of them comes in order. What is kept for it
 * is a pointer for each runtime that it may see, and the names of the last LIMIT_MISSED that are gone. */

#include "bus/audience.h"

#include "bus/bus.h"
#include "util/limits.h"

/* What is told of one runtime by way of catching up takes less. */
#define TOLD_SIZE (64U * 1024U)

typedef struct Removed {
        char *id, *path;
} Removed;

typedef struct Missed {
        GHashTable *objects; /* RuntimeObject → AudienceNews: NEWS_ADDED if it doesn't know of it at all */
        GQueue removed;      /* Removed */
} Missed;

static void removed_free(gpointer data) {
        Removed *removed = data;

        g_free(removed->id);
        g_free(removed->path);
        g_free(removed);
}

static void missed_free(gpointer data) {
        Missed *missed = data;

        g_hash_table_unref(missed->objects);
        g_queue_clear_full(&missed->removed, removed_free);
        g_free(missed);
}

GHashTable *audience_missed_new(void) {
        return g_hash_table_new_full(NULL, NULL, NULL, missed_free);
}

static Missed *get_missed(Bus *bus, Peer *peer) {
        Missed *missed = g_hash_table_lookup(bus->missed, peer);

        if (missed)
                return missed;
        missed = g_new0(Missed, 1);
        missed->objects = g_hash_table_new(NULL, NULL);
        g_hash_table_insert(bus->missed, peer, missed);
        peer_set_behind(peer, true);
        return missed;
}

static void miss_removed(Peer *peer, RuntimeObject *object, Missed *missed) {
        Removed *removed = g_new(Removed, 1);

        *removed = (Removed){g_strdup(bus_runtime_id(object->bus, peer_get_uid(peer), object->runtime)), g_strdup(object->path)};
        if (missed->removed.length >= LIMIT_MISSED)
                removed_free(g_queue_pop_head(&missed->removed));
        g_queue_push_tail(&missed->removed, removed);
}

static void miss(Peer *peer, RuntimeObject *object, AudienceNews news) {
        Missed *missed = get_missed(object->bus, peer);
        gpointer before;
        bool again = g_hash_table_lookup_extended(missed->objects, object, NULL, &before);

        if (news != NEWS_REMOVED) {
                if (!again)
                        g_hash_table_insert(missed->objects, object, GUINT_TO_POINTER(news));
                return;
        }
        g_hash_table_remove(missed->objects, object);
        /* What it has never heard of it needn't forget. */
        if (!again || GPOINTER_TO_UINT(before) != NEWS_ADDED)
                miss_removed(peer, object, missed);
}

static void audience_add(GPtrArray *audience, Peer *peer, RuntimeObject *object, AudienceNews news, size_t size) {
        if (peer_is_behind(peer) || peer_get_room(peer) < size)
                miss(peer, object, news);
        else
                g_ptr_array_add(audience, peer);
}

GPtrArray *audience_get(RuntimeObject *object, AudienceNews news, size_t size) {
        GPtrArray *audience = g_ptr_array_new(), *subscribers = object->bus->subscribers;

        for (unsigned i = 0; i < subscribers->len; i++)
                if ((peer_get_subscription(subscribers->pdata[i]) & SUBSCRIBE_LIFE) &&
                    bus_may_see(object->bus, peer_get_uid(subscribers->pdata[i]), object->runtime))
                        audience_add(audience, subscribers->pdata[i], object, news, size);
        for (unsigned i = 0; i < object->followers->len; i++) {
                const Follower *follower = object->followers->pdata[i];

                /* Who follows it by itself was allowed to, by whatever rule. */
                if (follower->life &&
                    !((peer_get_subscription(follower->peer) & SUBSCRIBE_LIFE) && bus_may_see(object->bus, peer_get_uid(follower->peer), object->runtime)))
                        audience_add(audience, follower->peer, object, news, size);
        }
        return audience;
}

void audience_catch_up(Bus *bus, Peer *peer) {
        Missed *missed = g_hash_table_lookup(bus->missed, peer);
        g_autoptr(GList) objects = NULL;

        if (!missed)
                return;
        while (!g_queue_is_empty(&missed->removed) && peer_get_room(peer) >= TOLD_SIZE) {
                Removed *removed = g_queue_pop_head(&missed->removed);

                emit_runtime_removed_to(bus, peer, removed->id, removed->path);
                removed_free(removed);
        }
        objects = g_hash_table_get_keys(missed->objects);
        for (GList *item = objects; item && peer_get_room(peer) >= TOLD_SIZE; item = item->next) {
                RuntimeObject *object = item->data;
                bool added = GPOINTER_TO_UINT(g_hash_table_lookup(missed->objects, object)) == NEWS_ADDED;

                /* Its end comes behind its last line. */
                if (runtime_get_state(object->runtime) == RUNTIME_ENDED && !feed_send_rest(object->feed, peer))
                        continue;
                g_hash_table_remove(missed->objects, object);
                emit_present_to(object, peer, added);
        }
        if (!g_queue_is_empty(&missed->removed) || g_hash_table_size(missed->objects) > 0)
                return;
        g_hash_table_remove(bus->missed, peer);
        peer_set_behind(peer, false);
}

static Quotas *get_quotas(Bus *bus) {
        return bus->manager ? manager_get_quotas(bus->manager) : NULL;
}

static void give_back(Bus *bus, const Peer *peer) {
        if (get_quotas(bus))
                quotas_give(get_quotas(bus), peer_get_uid(peer), QUOTA_SUBSCRIBERS, 1);
}

Follower *audience_find_follower(const RuntimeObject *object, const Peer *peer) {
        for (unsigned i = 0; i < object->followers->len; i++)
                if (((const Follower *) object->followers->pdata[i])->peer == peer)
                        return object->followers->pdata[i];
        return NULL;
}

unsigned audience_count_followers(const RuntimeObject *object) {
        unsigned n = 0;

        for (unsigned i = 0; i < object->followers->len; i++)
                n += ((const Follower *) object->followers->pdata[i])->life;
        return n;
}

static void insert_follower(RuntimeObject *object, Peer *peer, bool life) {
        Follower *follower = g_new(Follower, 1);

        *follower = (Follower){object, peer, life};
        g_ptr_array_add(object->followers, follower);
        g_ptr_array_add(peer_get_followed(peer), follower);
}

bool audience_follow(RuntimeObject *object, Peer *peer, bool life) {
        Follower *follower = audience_find_follower(object, peer);

        if (follower) {
                follower->life |= life;
                return true;
        }
        if (!quotas_take(get_quotas(object->bus), peer_get_uid(peer), QUOTA_SUBSCRIBERS, 1))
                return false;
        insert_follower(object, peer, life);
        return true;
}

void audience_add_follower(RuntimeObject *object, Peer *peer, bool life) {
        Follower *follower = audience_find_follower(object, peer);

        if (follower) {
                follower->life |= life;
                return;
        }
        quotas_add(get_quotas(object->bus), peer_get_uid(peer), QUOTA_SUBSCRIBERS, 1);
        insert_follower(object, peer, life);
}

static void follower_free(Follower *follower) {
        give_back(follower->object->bus, follower->peer);
        g_ptr_array_remove_fast(follower->object->followers, follower);
        g_ptr_array_remove_fast(peer_get_followed(follower->peer), follower);
        g_free(follower);
}

void audience_unfollow(RuntimeObject *object, Peer *peer) {
        Follower *follower = audience_find_follower(object, peer);

        if (follower)
                follower_free(follower);
}

bool audience_subscribe(Bus *bus, Peer *peer, unsigned flags) {
        if (peer_get_subscription(peer) == 0 && flags != 0) {
                if (!quotas_take(get_quotas(bus), peer_get_uid(peer), QUOTA_SUBSCRIBERS, 1))
                        return false;
                g_ptr_array_add(bus->subscribers, peer);
        } else if (peer_get_subscription(peer) != 0 && flags == 0) {
                give_back(bus, peer);
                g_ptr_array_remove_fast(bus->subscribers, peer);
        }
        peer_set_subscription(peer, flags);
        return true;
}

void audience_add_subscriber(Bus *bus, Peer *peer, unsigned flags) {
        if (peer_get_subscription(peer) == 0) {
                quotas_add(get_quotas(bus), peer_get_uid(peer), QUOTA_SUBSCRIBERS, 1);
                g_ptr_array_add(bus->subscribers, peer);
        }
        peer_set_subscription(peer, flags);
}

void audience_drop_object(RuntimeObject *object) {
        GHashTableIter iter;
        gpointer missed;

        while (object->followers->len > 0)
                follower_free(object->followers->pdata[0]);
        g_hash_table_iter_init(&iter, object->bus->missed);
        while (g_hash_table_iter_next(&iter, NULL, &missed))
                g_hash_table_remove(((Missed *) missed)->objects, object);
}

void audience_drop_peer(Bus *bus, Peer *peer) {
        while (peer_get_followed(peer)->len > 0)
                follower_free(peer_get_followed(peer)->pdata[0]);
        (void) audience_subscribe(bus, peer, 0);
        g_hash_table_remove(bus->missed, peer);
}
