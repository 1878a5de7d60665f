/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A keeper that breaks the rules of the link, in every way there is: the link is lost with an error, once, and nothing follows. */

#include "keeper-link-fixture.h"

static void assert_lost(Fixture *fixture) {
        settle(fixture);
        g_assert_cmpuint(fixture->n_lost, ==, 1);
        g_assert_cmpint(fixture->lost, <, 0);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
        /* And nothing follows. */
        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
        g_assert_cmpint(keeper_link_run(fixture->link, 0), ==, -ENOTCONN);
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, 0, on_answer, fixture), ==, -ENOTCONN);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
}

/* A message that is broken in one way. */
typedef struct Broken {
        const char *what;
        uint32_t words[16];
        size_t size;
} Broken;

static const Broken broken_table[] = {
        {"an unknown type", {99}, 16},
        {"type 0", {0}, 16},
        {"a type of the daemon's", {LINK_RUN}, 8},
        {"a type beyond 32 bits of a table", {UINT32_MAX}, 16},
        {"a type alone", {LINK_EXECUTED}, 4},
        {"less than a type", {LINK_EXECUTED}, 3},
        {"one byte", {LINK_EXECUTED}, 1},
        {"executed: too short", {LINK_EXECUTED, 0, 78}, sizeof(struct link_executed) - 4},
        {"executed: too long", {LINK_EXECUTED, 0, 78}, sizeof(struct link_executed) + 4},
        {"executed: no pid", {LINK_EXECUTED, 0, 0}, sizeof(struct link_executed)},
        {"executed: pid 1", {LINK_EXECUTED, 0, 1}, sizeof(struct link_executed)},
        {"executed: a negative pid", {LINK_EXECUTED, 0, UINT32_MAX}, sizeof(struct link_executed)},
        {"executed: a huge pid", {LINK_EXECUTED, 0, UINT32_C(0x80000000)}, sizeof(struct link_executed)},
        {"failed: too long", {LINK_FAILED, 0, LINK_STAGE_EXEC, ENOENT}, sizeof(struct link_failed) + 4},
        {"failed: an unknown stage", {LINK_FAILED, 0, _LINK_STAGE_MAX, ENOENT}, sizeof(struct link_failed)},
        {"failed: a huge stage", {LINK_FAILED, 0, UINT32_MAX, ENOENT}, sizeof(struct link_failed)},
        {"failed: a negative errno", {LINK_FAILED, 0, LINK_STAGE_EXEC, (uint32_t) -ENOENT}, sizeof(struct link_failed)},
        {"exited: too short", {LINK_EXITED, 0, CLD_EXITED}, sizeof(struct link_exited) - 8},
        {"exited: no code", {LINK_EXITED, 0, 0, 0}, sizeof(struct link_exited)},
        {"exited: stopped", {LINK_EXITED, 0, CLD_STOPPED, SIGSTOP}, sizeof(struct link_exited)},
        {"exited: a negative status", {LINK_EXITED, 0, CLD_EXITED, (uint32_t) -1}, sizeof(struct link_exited)},
        {"exited: status 256", {LINK_EXITED, 0, CLD_EXITED, 256}, sizeof(struct link_exited)},
        {"exited: signal 0", {LINK_EXITED, 0, CLD_KILLED, 0}, sizeof(struct link_exited)},
        {"exited: signal 65", {LINK_EXITED, 0, CLD_KILLED, 65}, sizeof(struct link_exited)},
        {"output: too long", {LINK_OUTPUT}, sizeof(struct link_output) + 8},
        {"done: too short", {LINK_DONE}, sizeof(struct link_done) - 8},
        {"memory: too long", {LINK_MEMORY}, sizeof(struct link_memory) + 8},
        {"memory: killed twice", {LINK_MEMORY, 0, 2}, sizeof(struct link_memory)},
        {"a second hello", {LINK_HELLO, LINK_VERSION, 77, 2}, sizeof(struct link_hello)},
        {"an answer to no request", {LINK_REPLY, 1, 0, 0}, sizeof(struct link_reply)},
        {"an answer with cookie 0", {LINK_REPLY, 0, 0, 0}, sizeof(struct link_reply)},
        {"an answer that is too short", {LINK_REPLY, 1, 0}, sizeof(struct link_reply) - 4},
        {"control: shorter than its head", {LINK_CONTROL, LINK_CONTROL_OPENED}, sizeof(struct link_control) - 4},
};

static void test_broken(gconstpointer data) {
        g_autoptr(Fixture) fixture = greeted_new();
        const Broken *broken = data;

        say(fixture, broken->words, broken->size);
        assert_lost(fixture);
}

static void test_too_long_for_any_message(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        g_autofree char *bytes = g_malloc0(LINK_MESSAGE_MAX + 1);

        *(uint32_t *) bytes = LINK_CONTROL;
        say(fixture, bytes, LINK_MESSAGE_MAX + 1);
        assert_lost(fixture);
}

static void test_other_words_before_hello(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        assert_lost(fixture);
}

static void test_another_version(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        SAY(fixture, link_hello, LINK_HELLO, LINK_VERSION + 1, 77, 2);
        assert_lost(fixture);
        g_assert_cmpint(fixture->lost, ==, -EPROTONOSUPPORT);
}

typedef struct BrokenControl {
        const char *what;
        struct link_control controls[2];
        size_t sizes[2]; /* of what follows; 0 with a type: nothing follows */
} BrokenControl;

#define CONTROL(kind, number, offset, total)                                                                                                                   \
        { LINK_CONTROL, kind, number, 0, offset, total }
static const BrokenControl broken_controls[] = {
        {"kind 0", {CONTROL(0, 1, 0, 1)}, {1}},
        {"an unknown kind", {CONTROL(_LINK_CONTROL_MAX, 1, 0, 1)}, {1}},
        {"a gap in the numbers", {CONTROL(LINK_CONTROL_MESSAGE, 2, 0, 1)}, {1}},
        {"a huge number", {CONTROL(LINK_CONTROL_MESSAGE, UINT64_MAX, 0, 1)}, {1}},
        {"a total that is too large", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, LIMIT_PROTOCOL_LINE + 1)}, {1}},
        {"a huge total", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, UINT32_MAX)}, {1}},
        {"more bytes than the total", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, 1)}, {2}},
        {"an offset beyond the total", {CONTROL(LINK_CONTROL_MESSAGE, 1, 5, 4)}, {1}},
        {"an offset that wraps", {CONTROL(LINK_CONTROL_MESSAGE, 1, UINT32_MAX, 4)}, {1}},
        {"a second part without a first", {CONTROL(LINK_CONTROL_MESSAGE, 1, 1, 4)}, {1}},
        {"a part left out", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, 4), CONTROL(LINK_CONTROL_MESSAGE, 1, 2, 4)}, {1, 1}},
        {"a part twice", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, 6), CONTROL(LINK_CONTROL_MESSAGE, 1, 1, 6)}, {2, 2}},
        {"the next message before the end of this", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, 4), CONTROL(LINK_CONTROL_MESSAGE, 2, 1, 4)}, {1, 1}},
        {"a part of nothing", {CONTROL(LINK_CONTROL_MESSAGE, 1, 0, 4)}, {0}},
};

static void test_broken_control(gconstpointer data) {
        g_autoptr(Fixture) fixture = greeted_new();
        const BrokenControl *broken = data;

        for (size_t i = 0; i < ELEMENTSOF(broken->controls) && broken->controls[i].type != 0; i++)
                say_control(fixture, &broken->controls[i], "bytes", broken->sizes[i]);
        assert_lost(fixture);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < ELEMENTSOF(broken_table); i++) {
                g_autofree char *path = g_strdup_printf("/keeper-link-broken/%s", broken_table[i].what);

                g_test_add_data_func(path, &broken_table[i], test_broken);
        }
        g_test_add_func("/keeper-link-broken/too long for any message", test_too_long_for_any_message);
        g_test_add_func("/keeper-link-broken/other words before hello", test_other_words_before_hello);
        g_test_add_func("/keeper-link-broken/another version", test_another_version);
        for (size_t i = 0; i < ELEMENTSOF(broken_controls); i++) {
                g_autofree char *path = g_strdup_printf("/keeper-link-broken/control: %s", broken_controls[i].what);

                g_test_add_data_func(path, &broken_controls[i], test_broken_control);
        }
        return g_test_run();
}
