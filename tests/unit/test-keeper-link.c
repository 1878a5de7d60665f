/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's end of the link against a keeper that this test plays: what is said is delivered, and no answer to a request is lost or given twice. What
 * keepers may not do is in test-keeper-link-broken.c. */

#include "keeper-link-fixture.h"

static void test_facts(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        g_assert_cmpint(
                link_send_message(fixture->keeper, &(struct link_hello){LINK_HELLO, LINK_VERSION, 77, 2}, sizeof(struct link_hello), NULL, 0, STDERR_FILENO),
                ==, 0);
        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 1);
        SAY(fixture, link_output, LINK_OUTPUT, 0, 5);
        SAY(fixture, link_exited, LINK_EXITED, 0, CLD_EXITED, 255, 1, 0, 1, 5);
        SAY(fixture, link_failed, LINK_FAILED, 1, LINK_STAGE_EXEC, ENOENT);
        SAY(fixture, link_memory, LINK_MEMORY, 1, 1, 0, 2, 3);
        SAY(fixture, link_done, LINK_DONE, .last_line = 5);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2 fd) executed(0 78) output(5) exited(0 1 255) failed(1 8 2) memory(1 1 2 3) done(5)");
}

static void test_the_end_is_no_error(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        fixture->keeper = fd_close(fixture->keeper);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "executed(0 78) lost(end)");
        g_assert_cmpuint(fixture->n_lost, ==, 1);
}

/* Unread words of ours make the kernel say ECONNRESET, once and before all else, to our reading or our sending. What the keeper said before its end is heard
 * all the same. */
static void test_the_end_with_unread_words(gconstpointer data) {
        g_autoptr(Fixture) fixture = greeted_new();
        bool send_more = GPOINTER_TO_INT(data);

        g_assert_cmpint(keeper_link_run(fixture->link, 0), ==, 0);
        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        SAY(fixture, link_exited, LINK_EXITED, 0, CLD_EXITED, 3, 1, 0, 1, 0);
        fixture->keeper = fd_close(fixture->keeper);
        if (send_more)
                g_assert_cmpint(keeper_link_run(fixture->link, 1), <, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "executed(0 78) exited(0 1 3) lost(end)");
        g_assert_cmpuint(fixture->n_lost, ==, 1);
}

/* A link that was met again says nothing behind its hello before it may; nor does its end, which the kernel goes on telling, keep the daemon busy. */
static void test_a_pause(void) {
        g_autoptr(Fixture) fixture = fixture_new_with(true);

        GREET(fixture);
        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        settle(fixture);
        fixture->keeper = fd_close(fixture->keeper);
        g_assert_cmpint(sd_event_run(fixture->event, 0), ==, 0);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2)");

        keeper_link_resume(fixture->link);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2) executed(0 78) lost(end)");
}

static void assert_acknowledged(Fixture *fixture, uint64_t number) {
        g_autofree struct link_acknowledge *acknowledge = NULL;
        size_t size = 0;

        acknowledge = hear(fixture, &size);
        g_assert_nonnull(acknowledge);
        g_assert_cmpuint(size, ==, sizeof(*acknowledge));
        g_assert_cmpuint(acknowledge->type, ==, LINK_ACKNOWLEDGE);
        g_assert_cmpuint(acknowledge->number, ==, number);
}

static void test_control_in_parts(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        size_t size;

        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_OPENED, 1, 0, 0, 0}, NULL, 0);
        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_MESSAGE, 2, 0, 0, 6}, "abc", 3);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "control(2 0 0)");
        assert_acknowledged(fixture, 1);
        g_assert_null(hear(fixture, &size));

        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_MESSAGE, 2, 0, 3, 6}, "d\0f", 3);
        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_LINE, 3, 9, 0, 2}, "ok", 2);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "control(2 0 0) control(1 0 6) control(6 9 2)");
        assert_acknowledged(fixture, 2);
        assert_acknowledged(fixture, 3);
}

/* A keeper repeats what it has no acknowledgement for; an acknowledgement may have been lost with the connection. */
static void test_control_repeated(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        const struct link_control first = {LINK_CONTROL, LINK_CONTROL_MESSAGE, 1, 0, 0, 1}, half = {LINK_CONTROL, LINK_CONTROL_MESSAGE, 2, 0, 0, 2};

        say_control(fixture, &first, "a", 1);
        say_control(fixture, &first, "a", 1);
        say_control(fixture, &half, "b", 1);
        say_control(fixture, &half, "bc", 2);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "control(1 0 1) control(1 0 2)");
        g_assert_cmpstr(fixture->bytes->str, ==, "bc");
        assert_acknowledged(fixture, 1);
        assert_acknowledged(fixture, 1);
        assert_acknowledged(fixture, 2);
}

static void test_the_longest_control(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        g_autofree char *bytes = g_malloc(LIMIT_PROTOCOL_LINE);

        for (size_t i = 0; i < LIMIT_PROTOCOL_LINE; i++)
                bytes[i] = 'a' + i % 23;
        for (uint32_t offset = 0; offset < LIMIT_PROTOCOL_LINE; offset += LINK_CHUNK_MAX) {
                say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_MESSAGE, 1, 0, offset, LIMIT_PROTOCOL_LINE}, bytes + offset,
                            LINK_CHUNK_MAX);
                settle(fixture);
        }
        g_assert_cmpstr(fixture->seen->str, ==, "control(1 0 1048576)");
        g_assert_cmpmem(fixture->bytes->str, fixture->bytes->len, bytes, LIMIT_PROTOCOL_LINE);
}

static void test_requests_are_answered(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        uint32_t cookies[5];

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_MAIN, SIGINT, 0, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_send(fixture->link, "{}", 0, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_input_write(fixture->link, "in", 2, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_input_open(fixture->link, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_input_close(fixture->link, NULL, NULL), ==, 0);
        cookies[0] = hear_request(fixture, LINK_SIGNAL);
        cookies[1] = hear_request(fixture, LINK_SEND);
        cookies[2] = hear_request(fixture, LINK_INPUT_WRITE);
        cookies[3] = hear_request(fixture, LINK_INPUT_OPEN);
        cookies[4] = hear_request(fixture, LINK_INPUT_CLOSE);
        for (size_t i = 0; i < ELEMENTSOF(cookies); i++) {
                g_assert_cmpuint(cookies[i], !=, 0);
                for (size_t j = 0; j < i; j++)
                        g_assert_cmpuint(cookies[i], !=, cookies[j]);
        }

        /* In any order; one with an fd; one that nobody waits for. */
        g_assert_cmpint(
                link_send_message(fixture->keeper, &(struct link_reply){LINK_REPLY, cookies[3], 0, 0}, sizeof(struct link_reply), NULL, 0, STDERR_FILENO), ==,
                0);
        SAY(fixture, link_reply, LINK_REPLY, cookies[4], 0, 0);
        SAY(fixture, link_reply, LINK_REPLY, cookies[0], ESRCH, 0);
        SAY(fixture, link_reply, LINK_REPLY, cookies[2], EAGAIN, 0);
        SAY(fixture, link_reply, LINK_REPLY, cookies[1], 0, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "answer(0 fd) answer(3) answer(11) answer(0)");
}

static void test_an_answer_twice(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        uint32_t cookie;

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, 0, on_answer, fixture), ==, 0);
        cookie = hear_request(fixture, LINK_SIGNAL);
        SAY(fixture, link_reply, LINK_REPLY, cookie, 0, 0);
        SAY(fixture, link_reply, LINK_REPLY, cookie, 0, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "answer(0) lost(error)");
}

/* The request isn't lost with the answer that makes no sense: it is answered when the link is freed. */
static void test_an_answer_with_a_negative_errno(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, 0, on_answer, fixture), ==, 0);
        SAY(fixture, link_reply, LINK_REPLY, hear_request(fixture, LINK_SIGNAL), -1, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
        fixture->link = keeper_link_free(fixture->link);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error) answer(104)");
}

static void test_requests_at_the_end(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        g_assert_cmpint(keeper_link_input_open(fixture->link, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_send(fixture->link, "{}", 0, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_input_close(fixture->link, NULL, NULL), ==, 0);
        fixture->keeper = fd_close(fixture->keeper);
        settle(fixture);
        fixture->link = keeper_link_free(fixture->link);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(end) answer(104) answer(104)");
}

static void test_what_cannot_be_sent(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        g_autofree char *bytes = g_malloc0(LIMIT_INPUT + 1), *message = g_strnfill(LIMIT_PROTOCOL_LINE + 1, 'x');
        size_t size;

        g_assert_cmpint(keeper_link_input_write(fixture->link, bytes, LIMIT_INPUT + 1, on_answer, fixture), ==, -EMSGSIZE);
        g_assert_cmpint(keeper_link_send(fixture->link, message, 0, on_answer, fixture), ==, -EMSGSIZE);
        g_assert_cmpint(keeper_link_send(fixture->link, "", 0, on_answer, fixture), ==, -EMSGSIZE);
        g_assert_null(hear(fixture, &size));
        fixture->link = keeper_link_free(fixture->link);
        g_assert_cmpstr(fixture->seen->str, ==, "");
}

/* A keeper that doesn't read: what was accepted arrives whole and in order when it does; the rest was refused, and is not answered. */
static void test_queue(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        g_autofree char *message = g_strnfill(300 * 1024, 'x');
        unsigned n_accepted = 0, n_heard = 0;
        uint32_t expected = 0;
        size_t size;
        int r;

        while ((r = keeper_link_send(fixture->link, message, 0, on_answer, fixture)) == 0) {
                n_accepted++;
                g_assert_cmpuint(n_accepted, <, 1000);
        }
        g_assert_cmpint(r, ==, -ENOBUFS);
        /* Two of the longest messages fit, whatever the socket takes. */
        g_assert_cmpuint(n_accepted * 300, >=, 2 * LIMIT_PROTOCOL_LINE / 1024 - 300);
        /* The small ones of a stop still find room, and come last. */
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGKILL, 0, on_answer, fixture), ==, 0);

        for (;;) {
                g_autofree struct link_send *part = hear(fixture, &size);

                if (!part) {
                        settle(fixture);
                        part = hear(fixture, &size);
                }
                g_assert_nonnull(part);
                if (part->type == LINK_SIGNAL)
                        break;
                g_assert_cmpuint(part->type, ==, LINK_SEND);
                g_assert_cmpuint(part->total, ==, 300 * 1024);
                g_assert_cmpuint(part->offset, ==, expected);
                expected += size - sizeof(*part);
                if (expected == part->total) {
                        n_heard++;
                        expected = 0;
                        SAY(fixture, link_reply, LINK_REPLY, part->cookie, 0, 0);
                }
        }
        settle(fixture);
        g_assert_cmpuint(expected, ==, 0);
        g_assert_cmpuint(n_heard, ==, n_accepted);
        g_assert_cmpint(keeper_link_send(fixture->link, message, 0, NULL, NULL), ==, 0);
        fixture->link = keeper_link_free(fixture->link);
        /* One answer for each, and ECONNRESET for the signal. */
        g_assert_cmpuint(fixture->seen->len, ==, n_accepted * strlen("answer(0) ") + strlen("answer(104)"));
}

static void test_too_many_requests(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        unsigned n = 0;
        int r;

        while ((r = keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGCONT, 0, on_answer, fixture)) == 0) {
                n++;
                g_assert_cmpuint(n, <, 100000);
        }
        g_assert_cmpint(r, ==, -ENOBUFS);
        /* One is answered: there is room for one. */
        SAY(fixture, link_reply, LINK_REPLY, hear_request(fixture, LINK_SIGNAL), 0, 0);
        settle(fixture);
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGCONT, 0, NULL, NULL), ==, 0);
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGCONT, 0, NULL, NULL), ==, -ENOBUFS);
}

/* A flood is read in turns, so that it can't hold up the loop. */
static void test_a_flood_leaves_room_for_others(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        for (unsigned i = 0; i < 100; i++)
                SAY(fixture, link_output, LINK_OUTPUT, 0, i);
        g_assert_cmpint(sd_event_run(fixture->event, 0), >, 0);
        g_assert_nonnull(strstr(fixture->seen->str, "output(0)"));
        g_assert_null(strstr(fixture->seen->str, "output(99)"));
        settle(fixture);
        g_assert_nonnull(strstr(fixture->seen->str, "output(99)"));
}

static const char *last_call(const Fixture *fixture) {
        const char *open = strrchr(fixture->seen->str, '('), *space;

        g_assert_nonnull(open);
        space = g_strrstr_len(fixture->seen->str, open - fixture->seen->str, " ");
        return space ? space + 1 : fixture->seen->str;
}

static void test_free_inside(gconstpointer data) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *begin = g_strdup_printf("%s(", (const char *) data);

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, 0, NULL, NULL), ==, 0);
        fixture->free_in = data;
        GREET(fixture);
        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        SAY(fixture, link_output, LINK_OUTPUT, 0, 1);
        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_MESSAGE, 1, 0, 0, 2}, "hi", 2);
        SAY(fixture, link_exited, LINK_EXITED, 0, CLD_KILLED, SIGKILL, 1, 0, 1, 0);
        SAY(fixture, link_failed, LINK_FAILED, 1, LINK_STAGE_EXEC, ENOENT);
        SAY(fixture, link_done, LINK_DONE, .last_line = 1);
        say(fixture, "?", 1);
        settle(fixture);
        g_assert_null(fixture->link);
        /* The last call of all. */
        g_assert_true(g_str_has_prefix(last_call(fixture), begin));
        g_assert_cmpuint(fixture->n_lost, ==, strcmp(data, "lost") == 0 ? 1 : 0);
}

static void test_free_inside_an_answer(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, 0, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_input_open(fixture->link, on_answer, fixture), ==, 0);
        fixture->free_in = "answer";
        SAY(fixture, link_reply, LINK_REPLY, hear_request(fixture, LINK_SIGNAL), 0, 0);
        settle(fixture);
        g_assert_null(fixture->link);
        g_assert_cmpstr(fixture->seen->str, ==, "answer(0) answer(104)");
}

/* Nothing behind the greeting is read before it is wanted; and the events may begin anywhere. */
static void test_rejoined(void) {
        g_autoptr(Fixture) fixture = fixture_new_with(true);

        GREET(fixture);
        SAY(fixture, link_executed, LINK_EXECUTED, 1, 99, 0, 5);
        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_MESSAGE, 7, 0, 0, 1}, "a", 1);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2)");
        keeper_link_resume(fixture->link);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2) executed(1 99) control(1 0 1)");
        assert_acknowledged(fixture, 7);
        /* But then without a gap. */
        say_control(fixture, &(struct link_control){LINK_CONTROL, LINK_CONTROL_MESSAGE, 9, 0, 0, 1}, "b", 1);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2) executed(1 99) control(1 0 1) lost(error)");
}

/* A keeper that greets late keeps nobody waiting, and isn't kept waiting itself. */
static void test_resumed_before_the_greeting(void) {
        g_autoptr(Fixture) fixture = fixture_new_with(true);

        keeper_link_resume(fixture->link);
        GREET(fixture);
        SAY(fixture, link_executed, LINK_EXECUTED, 1, 99, 0, 5);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2) executed(1 99)");
}

/* Such a keeper takes exactly the messages that it knows. */
static void test_version_1(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        char buffer[256];

        SAY(fixture, link_hello, LINK_HELLO, 1, 77, 2);
        settle(fixture);
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, 5, NULL, NULL), ==, 0);
        g_assert_cmpint(recv(fixture->keeper, buffer, sizeof(buffer), 0), ==, 16);
        g_assert_cmpint(keeper_link_send(fixture->link, "{}", 6, NULL, NULL), ==, 0);
        g_assert_cmpint(recv(fixture->keeper, buffer, sizeof(buffer), 0), ==, 16 + 2);
        g_assert_cmpmem(buffer + 16, 2, "{}", 2);
}

/* What it doesn't know it isn't sent. */
static void test_no_pipes_of_output(gconstpointer data) {
        g_autoptr(Fixture) fixture = fixture_new();
        char buffer[256];

        g_assert_cmpint(keeper_link_output_open(fixture->link, 0, 0, on_answer, fixture), ==, -EAGAIN);
        SAY(fixture, link_hello, LINK_HELLO, GPOINTER_TO_UINT(data), 77, 2);
        settle(fixture);
        g_assert_cmpint(keeper_link_output_open(fixture->link, 0, 0, on_answer, fixture), ==, -EOPNOTSUPP);
        g_assert_cmpint(keeper_link_output_release(fixture->link), ==, 0);
        g_assert_cmpint(recv(fixture->keeper, buffer, sizeof(buffer), MSG_DONTWAIT), <, 0);
}

static void test_pipes_of_output(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        struct link_output_open open;
        uint32_t type;

        GREET(fixture);
        settle(fixture);
        g_assert_cmpint(keeper_link_output_open(fixture->link, 7, 24, on_answer, fixture), ==, 0);
        g_assert_cmpint(recv(fixture->keeper, &open, sizeof(open), 0), ==, sizeof(open));
        g_assert_cmpuint(open.type, ==, LINK_OUTPUT_OPEN);
        g_assert_cmpuint(open.after, ==, 7);
        g_assert_cmpuint(open.flags, ==, 24);
        g_assert_cmpint(keeper_link_output_release(fixture->link), ==, 0);
        g_assert_cmpint(recv(fixture->keeper, &type, sizeof(type), 0), ==, sizeof(type));
        g_assert_cmpuint(type, ==, LINK_OUTPUT_RELEASE);
}

static void test_unknown_version(gconstpointer data) {
        g_autoptr(Fixture) fixture = fixture_new();

        SAY(fixture, link_hello, LINK_HELLO, GPOINTER_TO_UINT(data), 77, 2);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
        g_assert_cmpint(fixture->lost, ==, -EPROTONOSUPPORT);
}

int main(int argc, char *argv[]) {
        static const char *const handlers[] = {"hello", "executed", "output", "control", "exited", "failed", "done", "lost"};

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/keeper-link/facts-are-delivered", test_facts);
        g_test_add_func("/keeper-link/rejoined", test_rejoined);
        g_test_add_func("/keeper-link/rejoined/resumed-before-the-greeting", test_resumed_before_the_greeting);
        g_test_add_func("/keeper-link/version/1", test_version_1);
        g_test_add_data_func("/keeper-link/version/1/no-pipes-of-output", GUINT_TO_POINTER(1), test_no_pipes_of_output);
        g_test_add_data_func("/keeper-link/version/2/no-pipes-of-output", GUINT_TO_POINTER(2), test_no_pipes_of_output);
        g_test_add_func("/keeper-link/pipes-of-output", test_pipes_of_output);
        g_test_add_data_func("/keeper-link/version/none", GUINT_TO_POINTER(0), test_unknown_version);
        g_test_add_data_func("/keeper-link/version/of-the-future", GUINT_TO_POINTER(LINK_VERSION + 1), test_unknown_version);
        g_test_add_func("/keeper-link/the-end-is-no-error", test_the_end_is_no_error);
        g_test_add_data_func("/keeper-link/the-end-with-unread-words/met-by-reading", GINT_TO_POINTER(false), test_the_end_with_unread_words);
        g_test_add_data_func("/keeper-link/the-end-with-unread-words/met-by-sending", GINT_TO_POINTER(true), test_the_end_with_unread_words);
        g_test_add_func("/keeper-link/a-pause", test_a_pause);
        g_test_add_func("/keeper-link/control/in-parts", test_control_in_parts);
        g_test_add_func("/keeper-link/control/repeated", test_control_repeated);
        g_test_add_func("/keeper-link/control/the-longest", test_the_longest_control);
        g_test_add_func("/keeper-link/requests/are-answered-in-any-order", test_requests_are_answered);
        g_test_add_func("/keeper-link/requests/answered-twice", test_an_answer_twice);
        g_test_add_func("/keeper-link/requests/answered-with-a-negative-errno", test_an_answer_with_a_negative_errno);
        g_test_add_func("/keeper-link/requests/at-the-end", test_requests_at_the_end);
        g_test_add_func("/keeper-link/requests/what-cannot-be-sent-is-refused", test_what_cannot_be_sent);
        g_test_add_func("/keeper-link/requests/too-many", test_too_many_requests);
        g_test_add_func("/keeper-link/queue-is-bounded-and-keeps-order", test_queue);
        g_test_add_func("/keeper-link/a-flood-leaves-room-for-others", test_a_flood_leaves_room_for_others);
        for (size_t i = 0; i < ELEMENTSOF(handlers); i++) {
                g_autofree char *path = g_strdup_printf("/keeper-link/freed-inside/%s", handlers[i]);

                g_test_add_data_func(path, handlers[i], test_free_inside);
        }
        g_test_add_func("/keeper-link/freed-inside/answer", test_free_inside_an_answer);
        return g_test_run();
}
