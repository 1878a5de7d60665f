/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose runtimes are whose: for each user those that are for it or were started by it, and of its own those that have ended. So what concerns one user costs
 * nothing by reason of how many runtimes others have. */

#include "core/manager-private.h"

typedef struct UserRuntimes {
        GQueue all;   /* in the order of the start */
        GQueue ended; /* in the order of the end */
} UserRuntimes;

GHashTable *manager_users_new(void) {
        return g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

static UserRuntimes *find(const Manager *manager, uid_t uid) {
        return g_hash_table_lookup(manager->by_uid, GUINT_TO_POINTER(uid));
}

static UserRuntimes *get(Manager *manager, uid_t uid) {
        UserRuntimes *user = find(manager, uid);

        if (!user) {
                user = g_new0(UserRuntimes, 1);
                g_hash_table_insert(manager->by_uid, GUINT_TO_POINTER(uid), user);
        }
        return user;
}

static void forget_if_idle(Manager *manager, uid_t uid) {
        if (g_queue_is_empty(&find(manager, uid)->all))
                g_hash_table_remove(manager->by_uid, GUINT_TO_POINTER(uid));
}

/* One is in two lists if somebody started it for another. */
static bool has_other_starter(const Entry *entry) {
        return runtime_get_starter_uid(entry->runtime) != runtime_get_uid(entry->runtime);
}

void manager_users_add(Manager *manager, Entry *entry) {
        entry->of_user.data = entry->of_starter.data = entry->in_ended.data = entry;
        g_queue_push_tail_link(&get(manager, runtime_get_uid(entry->runtime))->all, &entry->of_user);
        if (has_other_starter(entry))
                g_queue_push_tail_link(&get(manager, runtime_get_starter_uid(entry->runtime))->all, &entry->of_starter);
}

void manager_users_remove(Manager *manager, Entry *entry) {
        uid_t uid = runtime_get_uid(entry->runtime), starter_uid = runtime_get_starter_uid(entry->runtime);

        if (entry->ended)
                manager_users_set_ended(manager, entry, false);
        g_queue_unlink(&find(manager, uid)->all, &entry->of_user);
        if (has_other_starter(entry)) {
                g_queue_unlink(&find(manager, starter_uid)->all, &entry->of_starter);
                forget_if_idle(manager, starter_uid);
        }
        forget_if_idle(manager, uid);
}

void manager_users_set_ended(Manager *manager, Entry *entry, bool ended) {
        GQueue *queue = &find(manager, runtime_get_uid(entry->runtime))->ended;

        entry->ended = ended;
        if (ended)
                g_queue_push_tail_link(queue, &entry->in_ended);
        else
                g_queue_unlink(queue, &entry->in_ended);
}

Entry *manager_users_get_oldest_ended(const Manager *manager, uid_t uid) {
        return g_queue_peek_head(&find(manager, uid)->ended);
}

Runtime *manager_next_of(const Manager *manager, uid_t uid, const Runtime *runtime) {
        const UserRuntimes *user = find(manager, uid);
        const Entry *entry = runtime ? runtime_get_link(runtime) : NULL;
        const GList *next;

        if (!entry)
                next = user ? user->all.head : NULL;
        else
                next = (runtime_get_uid(runtime) == uid ? &entry->of_user : &entry->of_starter)->next;
        return next ? ((const Entry *) next->data)->runtime : NULL;
}
