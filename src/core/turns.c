/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What many want of one that works at its own speed goes to it a few at a time, in order. systemd takes all that it is asked before it does any of it: of a
 * thousand starts it would begin none until it has read of the last, and each would have waited for all the others. */

#include "core/turns.h"

#include "util/macro.h"

/* Those of one user, in their order. */
typedef struct Waiting {
        uid_t uid;
        GQueue turns;
        GList link; /* of the users who wait */
} Waiting;

struct Turns {
        unsigned max, n;
        GQueue users;            /* who wait; the first is next */
        GHashTable *by_uid;      /* uid → Waiting */
        sd_event_source *source; /* calls those whose turn has come: from the loop, as one that fails ends its turn in its begin */
};

static void turns_remove_user(Turns *turns, Waiting *waiting) {
        g_queue_unlink(&turns->users, &waiting->link);
        g_hash_table_remove(turns->by_uid, GUINT_TO_POINTER(waiting->uid));
}

/* The first of the user who is next; the user is the last then. */
static Turn *turns_pop(Turns *turns) {
        Waiting *waiting = g_queue_peek_head(&turns->users);
        Turn *turn = g_queue_pop_head_link(&waiting->turns)->data;

        if (g_queue_is_empty(&waiting->turns))
                turns_remove_user(turns, waiting);
        else
                g_queue_push_tail_link(&turns->users, g_queue_pop_head_link(&turns->users));
        return turn;
}

static void turns_call_later(Turns *turns) {
        if (turns->n < turns->max && !g_queue_is_empty(&turns->users))
                (void) sd_event_source_set_enabled(turns->source, SD_EVENT_ONESHOT);
}

static int on_turn(sd_event_source *source, void *userdata) {
        Turns *turns = userdata;

        /* Those that fail make no room for more than as many: others have their turn of the loop. */
        for (unsigned i = 0; i < turns->max && turns->n < turns->max && !g_queue_is_empty(&turns->users); i++) {
                Turn *turn = turns_pop(turns);

                turns->n++;
                turn->waits = false;
                turn->begin(turn->userdata);
        }
        turns_call_later(turns);
        return 0;
}

int turns_new(sd_event *event, unsigned max, Turns **ret) {
        Turns *turns = g_new0(Turns, 1);
        int r;

        turns->max = max;
        turns->by_uid = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        r = sd_event_add_defer(event, &turns->source, on_turn, turns);
        if (r >= 0)
                r = sd_event_source_set_enabled(turns->source, SD_EVENT_OFF);
        if (r < 0) {
                turns_free(turns);
                return r;
        }
        *ret = turns;
        return 0;
}

Turns *turns_free(Turns *turns) {
        if (!turns)
                return NULL;
        sd_event_source_disable_unref(turns->source);
        g_hash_table_unref(turns->by_uid);
        g_free(turns);
        return NULL;
}

bool turn_take(Turns *turns, uid_t uid, void (*begin)(void *userdata), void *userdata, Turn *turn) {
        Waiting *waiting;

        *turn = (Turn){.turns = turns, .uid = uid, .begin = begin, .userdata = userdata, .link.data = turn};
        if (turns->n < turns->max && g_queue_is_empty(&turns->users)) {
                turns->n++;
                return true;
        }
        turn->waits = true;
        waiting = g_hash_table_lookup(turns->by_uid, GUINT_TO_POINTER(uid));
        if (!waiting) {
                waiting = g_new0(Waiting, 1);
                waiting->uid = uid;
                waiting->link.data = waiting;
                g_queue_push_tail_link(&turns->users, &waiting->link);
                g_hash_table_insert(turns->by_uid, GUINT_TO_POINTER(uid), waiting);
        }
        g_queue_push_tail_link(&waiting->turns, &turn->link);
        return false;
}

void turn_end(Turn *turn) {
        Turns *turns = TAKE_PTR(turn->turns);
        Waiting *waiting;

        if (!turns)
                return;
        if (!turn->waits) {
                turns->n--;
                turns_call_later(turns);
                return;
        }
        waiting = g_hash_table_lookup(turns->by_uid, GUINT_TO_POINTER(turn->uid));
        g_queue_unlink(&waiting->turns, &turn->link);
        if (g_queue_is_empty(&waiting->turns))
                turns_remove_user(turns, waiting);
}
