/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <glib.h>

#include "core/turns.h"

typedef struct Fixture {
        sd_event *event;
        Turns *turns;
        GString *begun; /* a letter for each whose turn has come */
} Fixture;

typedef struct Client {
        Turn turn;
        Fixture *f;
        char letter;
        bool fails; /* ends its turn as soon as it has it */
} Client;

static void set_up(Fixture *f, gconstpointer max) {
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(turns_new(f->event, GPOINTER_TO_UINT(max), &f->turns), ==, 0);
        f->begun = g_string_new(NULL);
}

static void tear_down(Fixture *f, gconstpointer max) {
        turns_free(f->turns);
        sd_event_unref(f->event);
        g_string_free(f->begun, TRUE);
}

static void on_begin(void *userdata) {
        Client *client = userdata;

        g_string_append_c(client->f->begun, client->letter);
        if (client->fails)
                turn_end(&client->turn);
}

static bool take(Fixture *f, Client *client, uid_t uid, char letter) {
        client->f = f;
        client->letter = letter;
        return turn_take(f->turns, uid, on_begin, client, &client->turn);
}

/* Runs the loop until it has nothing to do. */
static void run(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void test_order(Fixture *f, gconstpointer max) {
        Client client[5] = {0};

        g_assert_true(take(f, &client[0], 7, 'a'));
        g_assert_true(take(f, &client[1], 7, 'b'));
        for (unsigned i = 2; i < 5; i++)
                g_assert_false(take(f, &client[i], 7, "abcde"[i]));
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "");
        turn_end(&client[1].turn);
        /* Not from within: whoever ends a turn is in the middle of something. */
        g_assert_cmpstr(f->begun->str, ==, "");
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "c");
        turn_end(&client[0].turn);
        turn_end(&client[2].turn);
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "cde");
}

static void test_end_twice(Fixture *f, gconstpointer max) {
        Client client[4] = {0};

        for (unsigned i = 0; i < 4; i++)
                g_assert_cmpint(take(f, &client[i], 7, "abcd"[i]), ==, i < 2);
        turn_end(&client[0].turn);
        turn_end(&client[0].turn);
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "c");
}

static void test_give_up(Fixture *f, gconstpointer max) {
        Client client[4] = {0};

        for (unsigned i = 0; i < 4; i++)
                g_assert_cmpint(take(f, &client[i], 7, "abcd"[i]), ==, i < 2);
        turn_end(&client[2].turn);
        turn_end(&client[0].turn);
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "d");
        /* Its turn had come but for the telling. */
        g_assert_false(take(f, &client[2], 7, 'c'));
        turn_end(&client[1].turn);
        turn_end(&client[2].turn);
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "d");
        g_assert_true(take(f, &client[1], 7, 'b'));
}

static void test_users(Fixture *f, gconstpointer max) {
        Client client[6] = {0};

        g_assert_true(take(f, &client[0], 0, 'a'));
        g_assert_false(take(f, &client[1], 0, 'b'));
        g_assert_false(take(f, &client[2], 0, 'c'));
        g_assert_false(take(f, &client[3], 0, 'd'));
        g_assert_false(take(f, &client[4], 1000, 'B'));
        g_assert_false(take(f, &client[5], 1000, 'C'));
        for (unsigned i = 0; i < 6; i++)
                client[i].fails = i > 0;
        turn_end(&client[0].turn);
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "bBcCd");
}

static void test_nobody_overtakes(Fixture *f, gconstpointer max) {
        Client client[3] = {0};

        g_assert_true(take(f, &client[0], 7, 'a'));
        g_assert_false(take(f, &client[1], 7, 'b'));
        turn_end(&client[0].turn);
        g_assert_false(take(f, &client[2], 7, 'c'));
        run(f);
        g_assert_cmpstr(f->begun->str, ==, "b");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add("/turns/so-many-at-a-time-the-others-in-order", Fixture, GUINT_TO_POINTER(2), set_up, test_order, tear_down);
        g_test_add("/turns/ended-twice-is-ended-once", Fixture, GUINT_TO_POINTER(2), set_up, test_end_twice, tear_down);
        g_test_add("/turns/who-gives-up-is-passed-over", Fixture, GUINT_TO_POINTER(2), set_up, test_give_up, tear_down);
        g_test_add("/turns/users-take-turns", Fixture, GUINT_TO_POINTER(1), set_up, test_users, tear_down);
        g_test_add("/turns/nobody-overtakes-who-waits", Fixture, GUINT_TO_POINTER(1), set_up, test_nobody_overtakes, tear_down);
        return g_test_run();
}
