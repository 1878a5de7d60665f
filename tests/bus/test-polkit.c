/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls that wait for polkit's word, whatever it says, and whoever goes meanwhile. */

#include "bus/polkit.h"

#include <string.h>

#include "auth-fixture.h"
#include "loop.h"
#include "private-bus.h"
#include "util/limits.h"

static void person_leave(Fixture *fixture, Person **person) {
        g_autofree char *name = g_strdup(g_dbus_connection_get_unique_name((*person)->bus));

        person_free(*person);
        *person = NULL;
        AWAIT(strstr(fixture->left->str, name));
}

static void test_a_challenge(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) mute = NULL, interactive = NULL, hidden = NULL, hidden_interactive = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_CHALLENGE);
        mute = start(fixture, fixture->alice, FALSE);
        assert_refused(mute, "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired");
        g_assert_cmpuint(fake_polkit_get_question(fixture->polkit, 0)->flags, ==, 0);
        interactive = start(fixture, fixture->alice, TRUE);
        assert_done(interactive, "StartRuntime - 1001;");
        g_assert_cmpuint(fake_polkit_get_question(fixture->polkit, 1)->flags, ==, 1);
        g_assert_cmpstr(fake_polkit_get_question(fixture->polkit, 0)->cancellation, !=, fake_polkit_get_question(fixture->polkit, 1)->cancellation);

        hidden = stop(fixture, fixture->carol, RUNTIME("u1001_mine"));
        assert_refused(hidden, "org.freedesktop.DBus.Error.UnknownObject");
        hidden_interactive = call_wait(fixture, fixture->carol, RUNTIME("u1001_mine"), RM_RUNTIME_INTERFACE, "Stop", no_options(), TRUE);
        assert_done(hidden_interactive, "Stop u1001_mine 1003;");
}

static void test_answers_that_make_no_sense(void) {
        static const FakePolkitAnswer answers[] = {FAKE_POLKIT_ERROR, FAKE_POLKIT_GARBAGE, FAKE_POLKIT_EMPTY};
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);

        for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
                g_autoptr(Call) visible = NULL, hidden = NULL;

                fake_polkit_set_answer(fixture->polkit, answers[i]);
                visible = start(fixture, fixture->alice, FALSE);
                assert_refused(visible, "org.freedesktop.DBus.Error.AccessDenied");
                g_assert_nonnull(strstr(visible->text, "polkit"));
                hidden = stop(fixture, fixture->carol, RUNTIME("u1001_mine"));
                assert_refused(hidden, "org.freedesktop.DBus.Error.UnknownObject");
        }
}

static void test_without_polkit(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) visible = NULL, hidden = NULL, own = NULL;

        fixture->polkit = fake_polkit_free(fixture->polkit);
        visible = start(fixture, fixture->alice, FALSE);
        assert_refused(visible, "org.freedesktop.DBus.Error.AccessDenied");
        g_assert_nonnull(strstr(visible->text, "polkit didn't answer"));
        hidden = stop(fixture, fixture->carol, RUNTIME("u1001_mine"));
        assert_refused(hidden, "org.freedesktop.DBus.Error.UnknownObject");
        own = stop(fixture, fixture->alice, RUNTIME("u1001_mine"));
        assert_done(own, "Stop u1001_mine 1001;");
}

static void test_polkit_leaves_while_it_thinks(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        call = start_begin(fixture, fixture->alice, TRUE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == 1);
        fixture->polkit = fake_polkit_free(fixture->polkit);
        AWAIT(call->done);
        assert_refused(call, "org.freedesktop.DBus.Error.AccessDenied");
}

/* Others aren't kept waiting by it, nor by whom it asks for. */
static void test_a_slow_polkit_holds_up_nobody_else(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) slow = NULL, own = NULL, quick = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        slow = start_begin(fixture, fixture->alice, TRUE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == 1);
        own = stop(fixture, fixture->alice, RUNTIME("u1001_mine"));
        assert_done(own, "Stop u1001_mine 1001;");
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        quick = start(fixture, fixture->bob, FALSE);
        assert_done(quick, "StartRuntime - 1002;");
        g_assert_false(slow->done);
        fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(slow->done);
        assert_done(slow, "StartRuntime - 1001;");
}

static void test_a_caller_that_leaves(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL, other = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        call = start_begin(fixture, fixture->alice, TRUE);
        other = start_begin(fixture, fixture->bob, TRUE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == 2);
        person_leave(fixture, &fixture->alice);
        AWAIT(call->done && fake_polkit_get_n_cancelled(fixture->polkit) == 1);
        g_assert_cmpuint(fake_polkit_get_n_waiting(fixture->polkit), ==, 1);
        /* The other's goes on. */
        fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(other->done);
        assert_done(other, "StartRuntime - 1002;");
}

static gboolean is_on_the_bus(Fixture *fixture, const char *name) {
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(fixture->root->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner",
                                                                g_variant_new("(s)", name), G_VARIANT_TYPE("(b)"), 0, -1, NULL, NULL);
        gboolean is = FALSE;

        g_assert_nonnull(reply);
        g_variant_get(reply, "(b)", &is);
        return is;
}

/* The service finds both in its queue: polkit's yes, and that there is nobody any more. */
static void test_a_caller_that_leaves_with_the_answer(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(Call) call = NULL, later = NULL;
        g_autofree char *name = g_strdup(g_dbus_connection_get_unique_name(fixture->alice->bus));

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        call = start_begin(fixture, fixture->alice, FALSE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == 1);
        fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        fake_polkit_flush(fixture->polkit);
        person_free(fixture->alice);
        fixture->alice = NULL;
        while (is_on_the_bus(fixture, name))
                g_thread_yield();
        /* It reads all that came before the answer to this. */
        g_assert_cmpint(sd_bus_call_method(fixture->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId", NULL, NULL, NULL), >=, 0);
        AWAIT(call->done && strstr(fixture->left->str, name));
        /* The call would have come again before a later one. */
        later = stop(fixture, fixture->bob, RUNTIME("u1002_his"));
        assert_done(later, "Stop u1002_his 1002;");
}

static GPtrArray *calls_new(void) {
        return g_ptr_array_new_with_free_func((GDestroyNotify) call_free);
}

static void begin_starts(Fixture *fixture, Person *person, guint n, gboolean interactive, GPtrArray *calls) {
        for (guint i = 0; i < n; i++)
                g_ptr_array_add(calls, start_begin(fixture, person, interactive));
}

static guint count_done(GPtrArray *calls, const char *error) {
        guint n = 0;

        for (guint i = 0; i < calls->len; i++) {
                const Call *call = calls->pdata[i];

                n += call->done && g_strcmp0(call->error, error) == 0;
        }
        return n;
}

static void test_the_connection_is_lost(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(GPtrArray) calls = calls_new();

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        begin_starts(fixture, fixture->alice, 2 * LIMIT_POLKIT_ASKED_UID, FALSE, calls);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID);
        auth_attach(fixture->auth, NULL);
        fixture->bus = sd_bus_flush_close_unref(fixture->bus);
        AWAIT(count_done(calls, "org.freedesktop.DBus.Error.NoReply") == calls->len);
}

/* All of one's calls are answered, a few at a time; who has too many is told, and nobody else waits for it. */
static void test_many_at_once(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(GPtrArray) calls = calls_new();
        g_autoptr(Call) other = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        begin_starts(fixture, fixture->alice, LIMIT_POLKIT_WAITING + 3, FALSE, calls);
        AWAIT(count_done(calls, RM_ERROR_LIMIT_EXCEEDED) == 3 && fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID);
        other = start_begin(fixture, fixture->bob, FALSE);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID + 1);

        /* One answer, one more question, whosever turn it is. */
        for (guint i = 0; i < LIMIT_POLKIT_ASKED_UID; i++) {
                fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
                AWAIT(count_done(calls, NULL) == i + 1 && fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID + 1);
        }
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        while (fake_polkit_get_n_waiting(fixture->polkit) > 0)
                fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(other->done && count_done(calls, NULL) == LIMIT_POLKIT_WAITING);
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, LIMIT_POLKIT_WAITING + 1);
}

/* Those that wait for people leave room for those that don't. */
static void test_people_keep_nobody_else_waiting(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(GPtrArray) calls = calls_new();
        g_autoptr(GPtrArray) crowd = g_ptr_array_new_with_free_func((GDestroyNotify) person_free);
        g_autoptr(Call) quick = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        for (uid_t uid = 2000; uid < 2000 + LIMIT_POLKIT_INTERACTIVE / LIMIT_POLKIT_ASKED_UID + 2; uid++) {
                g_ptr_array_add(crowd, person_new(fixture, uid));
                begin_starts(fixture, crowd->pdata[crowd->len - 1], LIMIT_POLKIT_ASKED_UID, TRUE, calls);
        }
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_INTERACTIVE);
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        quick = start(fixture, fixture->bob, FALSE);
        assert_done(quick, "StartRuntime - 1002;");
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, LIMIT_POLKIT_INTERACTIVE + 1);
        while (fake_polkit_get_n_waiting(fixture->polkit) > 0)
                fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(count_done(calls, NULL) == calls->len);
}

static void test_who_leaves_gives_up_its_turns(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(GPtrArray) calls = calls_new(), others = calls_new();
        Person *twin = person_new(fixture, ALICE);

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        begin_starts(fixture, twin, 2 * LIMIT_POLKIT_ASKED_UID, FALSE, calls);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID);
        /* Of the same user, by another connection. */
        begin_starts(fixture, fixture->alice, LIMIT_POLKIT_ASKED_UID, FALSE, others);
        person_leave(fixture, &twin);
        AWAIT(count_done(calls, "local") == calls->len);
        AWAIT(fake_polkit_get_n_cancelled(fixture->polkit) == LIMIT_POLKIT_ASKED_UID);
        AWAIT(fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID);
        while (fake_polkit_get_n_waiting(fixture->polkit) > 0)
                fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(count_done(others, NULL) == others->len);
        g_assert_cmpuint(fake_polkit_get_n_questions(fixture->polkit), ==, 2 * LIMIT_POLKIT_ASKED_UID);
}

static Call *write_begin(Fixture *fixture, const char *path, gsize size) {
        g_autofree guint8 *bytes = g_malloc0(size);
        GVariant *array = g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, bytes, size, 1);

        return call_begin(fixture, fixture->carol, path, RM_RUNTIME_INTERFACE, "WriteInput", g_variant_new("(@ay)", array), FALSE);
}

static void test_long_calls_are_not_held(void) {
        g_autoptr(Fixture) fixture = fixture_new(AUTH_MODE_SYSTEM);
        g_autoptr(GPtrArray) calls = calls_new();
        g_autoptr(Call) long_call = NULL, never = NULL;

        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_WAIT);
        long_call = write_begin(fixture, RUNTIME("u1001_mine"), LIMIT_HELD_CALL);
        never = write_begin(fixture, RUNTIME("u1001_none"), LIMIT_HELD_CALL);
        AWAIT(long_call->done && never->done);
        assert_refused(long_call, RM_ERROR_LIMIT_EXCEEDED);
        assert_same_refusal(long_call, "u1001_mine", never, "u1001_none");

        for (unsigned i = 0; i < 8; i++)
                g_ptr_array_add(calls, write_begin(fixture, RUNTIME("u1001_mine"), LIMIT_HELD_CALLS / 6));
        AWAIT(count_done(calls, RM_ERROR_LIMIT_EXCEEDED) == 3 && fake_polkit_get_n_waiting(fixture->polkit) == LIMIT_POLKIT_ASKED_UID);
        fake_polkit_set_answer(fixture->polkit, FAKE_POLKIT_YES);
        while (fake_polkit_get_n_waiting(fixture->polkit) > 0)
                fake_polkit_release(fixture->polkit, FAKE_POLKIT_YES);
        AWAIT(count_done(calls, NULL) == 5);
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/polkit/a-challenge", test_a_challenge);
        g_test_add_func("/polkit/answers-that-make-no-sense", test_answers_that_make_no_sense);
        g_test_add_func("/polkit/is-not-there", test_without_polkit);
        g_test_add_func("/polkit/leaves-while-it-thinks", test_polkit_leaves_while_it_thinks);
        g_test_add_func("/polkit/is-slow-and-holds-up-nobody-else", test_a_slow_polkit_holds_up_nobody_else);
        g_test_add_func("/polkit/callers/one-leaves", test_a_caller_that_leaves);
        g_test_add_func("/polkit/callers/one-leaves-with-the-answer", test_a_caller_that_leaves_with_the_answer);
        g_test_add_func("/polkit/callers/one-leaves-and-gives-up-its-turns", test_who_leaves_gives_up_its_turns);
        g_test_add_func("/polkit/callers/the-connection-is-lost", test_the_connection_is_lost);
        g_test_add_func("/polkit/callers/many-at-once", test_many_at_once);
        g_test_add_func("/polkit/callers/people-keep-nobody-else-waiting", test_people_keep_nobody_else_waiting);
        g_test_add_func("/polkit/callers/long-calls-are-not-held", test_long_calls_are_not_held);
        r = g_test_run();
        private_bus_stop();
        return r;
}
