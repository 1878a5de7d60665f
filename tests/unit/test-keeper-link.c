/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's end of the link against a keeper that this test plays, honest or not: what is right is delivered, the first thing that isn't ends the link, once,
 * and no answer to a request is lost or given twice. */

#include "core/keeper-link.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "core/sd-autoptr.h"
#include "util/macro.h"

typedef struct Fixture {
        sd_event *event;
        KeeperLink *link;
        int keeper;    /* our end */
        GString *seen; /* a word for each call of a handler */
        GString *bytes; /* of the last control message */
        unsigned n_lost;
        int lost;
        const char *free_in; /* the handler that frees the link */
} Fixture;

static void note(Fixture *fixture, const char *handler, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void note(Fixture *fixture, const char *handler, const char *format, ...) {
        va_list list;

        g_string_append_printf(fixture->seen, "%s%s(", fixture->seen->len > 0 ? " " : "", handler);
        va_start(list, format);
        g_string_append_vprintf(fixture->seen, format, list);
        va_end(list);
        g_string_append_c(fixture->seen, ')');
        if (g_strcmp0(fixture->free_in, handler) == 0)
                /* Taken first: freeing calls what waits for answers. */
                keeper_link_free(TAKE_PTR(fixture->link));
}

static void on_hello(void *userdata, const struct link_hello *hello, int ring_fd) {
        note(userdata, "hello", "%u %u%s", hello->pid, hello->n_commands, ring_fd >= 0 ? " fd" : "");
}

static void on_executed(void *userdata, const struct link_executed *executed) {
        note(userdata, "executed", "%u %u", executed->command, executed->pid);
}

static void on_failed(void *userdata, const struct link_failed *failed) {
        note(userdata, "failed", "%u %u %d", failed->command, failed->stage, failed->error);
}

static void on_exited(void *userdata, const struct link_exited *exited) {
        note(userdata, "exited", "%u %d %d", exited->command, exited->code, exited->status);
}

static void on_output(void *userdata, uint64_t last) {
        note(userdata, "output", "%" G_GUINT64_FORMAT, last);
}

static void on_control(void *userdata, enum link_control_kind kind, uint64_t line, const char *bytes, size_t size) {
        Fixture *fixture = userdata;

        g_assert_cmpint(bytes[size], ==, '\0');
        g_string_truncate(fixture->bytes, 0);
        g_string_append_len(fixture->bytes, bytes, size);
        note(fixture, "control", "%u %" G_GUINT64_FORMAT " %zu", kind, line, size);
}

static void on_done(void *userdata, const struct link_done *done) {
        note(userdata, "done", "%" G_GUINT64_FORMAT, done->last_line);
}

static void on_lost(void *userdata, int error) {
        Fixture *fixture = userdata;

        fixture->n_lost++;
        fixture->lost = error;
        note(fixture, "lost", "%s", error < 0 ? "error" : "end");
}

static const KeeperHandler handler = {on_hello, on_executed, on_failed, on_exited, on_output, on_control, on_done, on_lost};

static void on_answer(void *userdata, int error, int fd) {
        note(userdata, "answer", "%d%s", error, fd >= 0 ? " fd" : "");
}

static Fixture *fixture_new(void) {
        Fixture *fixture = g_new0(Fixture, 1);
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        g_assert_cmpint(sd_event_new(&fixture->event), >=, 0);
        fixture->keeper = pair[1];
        fixture->seen = g_string_new(NULL);
        fixture->bytes = g_string_new(NULL);
        g_assert_cmpint(keeper_link_new(fixture->event, pair[0], &handler, fixture, &fixture->link), ==, 0);
        return fixture;
}

static void fixture_free(Fixture *fixture) {
        keeper_link_free(fixture->link);
        fd_close(fixture->keeper);
        sd_event_unref(fixture->event);
        g_string_free(fixture->seen, TRUE);
        g_string_free(fixture->bytes, TRUE);
        g_free(fixture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* All that can be done without waiting: both ends are here, so nothing is still on its way after it. */
static void settle(Fixture *fixture) {
        gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

        while (sd_event_run(fixture->event, 0) > 0)
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
}

static void say(Fixture *fixture, const void *message, size_t size) {
        g_assert_cmpint(send(fixture->keeper, message, size, MSG_NOSIGNAL), ==, size);
}

#define SAY(fixture, type, ...) say(fixture, &(struct type){__VA_ARGS__}, sizeof(struct type))
#define GREET(fixture) SAY(fixture, link_hello, LINK_HELLO, LINK_VERSION, 77, 2)

static void say_control(Fixture *fixture, const struct link_control *control, const char *bytes, size_t size) {
        g_assert_cmpint(link_send_message(fixture->keeper, control, sizeof(*control), bytes, size, -EBADF), ==, 0);
}

static Fixture *greeted_new(void) {
        Fixture *fixture = fixture_new();

        GREET(fixture);
        settle(fixture);
        g_string_truncate(fixture->seen, 0);
        return fixture;
}

/* What the daemon said; NULL if nothing. */
static void *hear(Fixture *fixture, size_t *ret_size) {
        g_autofree char *buffer = g_malloc(LINK_MESSAGE_MAX);
        _cleanup_close_ int fd = -EBADF;
        ssize_t size;

        size = link_receive_message(fixture->keeper, buffer, &fd);
        if (size == -EAGAIN)
                return NULL;
        g_assert_cmpint(size, >, 0);
        *ret_size = size;
        return g_steal_pointer(&buffer);
}

/* A request of this type, whose cookie is returned. */
static uint32_t hear_request(Fixture *fixture, uint32_t type) {
        g_autofree struct link_request *request = NULL;
        size_t size;

        request = hear(fixture, &size);
        g_assert_nonnull(request);
        g_assert_cmpuint(size, >=, sizeof(*request));
        g_assert_cmpuint(request->type, ==, type);
        return request->cookie;
}

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
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, on_answer, fixture), ==, -ENOTCONN);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
}

static void test_facts(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        g_assert_cmpint(link_send_message(fixture->keeper, &(struct link_hello){LINK_HELLO, LINK_VERSION, 77, 2}, sizeof(struct link_hello), NULL, 0,
                                          STDERR_FILENO),
                        ==, 0);
        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 1);
        SAY(fixture, link_output, LINK_OUTPUT, 0, 5);
        SAY(fixture, link_exited, LINK_EXITED, 0, CLD_EXITED, 255, 1, 0, 1, 5);
        SAY(fixture, link_failed, LINK_FAILED, 1, LINK_STAGE_EXEC, ENOENT);
        SAY(fixture, link_done, LINK_DONE, .last_line = 5);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "hello(77 2 fd) executed(0 78) output(5) exited(0 1 255) failed(1 8 2) done(5)");
}

/* A message that is broken in one way. */
typedef struct Broken {
        const char *what;
        uint32_t words[16];
        size_t size;
} Broken;

#define PID_WORD 2
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

static void test_the_end_is_no_error(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        SAY(fixture, link_executed, LINK_EXECUTED, 0, 78, 0, 0);
        fixture->keeper = fd_close(fixture->keeper);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "executed(0 78) lost(end)");
        g_assert_cmpuint(fixture->n_lost, ==, 1);
}

/* Unread words of ours make the kernel say ECONNRESET, once and before all else, to our reading or our sending. What the keeper said before its end is heard all
 * the same. */
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

static void assert_acknowledged(Fixture *fixture, uint64_t number) {
        g_autofree struct link_acknowledge *acknowledge = NULL;
        size_t size;

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

typedef struct BrokenControl {
        const char *what;
        struct link_control controls[2];
        size_t sizes[2]; /* of what follows; 0 with a type: nothing follows */
} BrokenControl;

#define CONTROL(kind, number, offset, total) {LINK_CONTROL, kind, number, 0, offset, total}
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

static void test_requests_are_answered(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        uint32_t cookies[5];

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_MAIN, SIGINT, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_send(fixture->link, "{}", on_answer, fixture), ==, 0);
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
        g_assert_cmpint(link_send_message(fixture->keeper, &(struct link_reply){LINK_REPLY, cookies[3], 0, 0}, sizeof(struct link_reply), NULL, 0,
                                          STDERR_FILENO),
                        ==, 0);
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

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, on_answer, fixture), ==, 0);
        cookie = hear_request(fixture, LINK_SIGNAL);
        SAY(fixture, link_reply, LINK_REPLY, cookie, 0, 0);
        SAY(fixture, link_reply, LINK_REPLY, cookie, 0, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "answer(0) lost(error)");
}

/* The request isn't lost with the answer that makes no sense: it is answered when the link is freed. */
static void test_an_answer_with_a_negative_errno(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, on_answer, fixture), ==, 0);
        SAY(fixture, link_reply, LINK_REPLY, hear_request(fixture, LINK_SIGNAL), -1, 0);
        settle(fixture);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error)");
        fixture->link = keeper_link_free(fixture->link);
        g_assert_cmpstr(fixture->seen->str, ==, "lost(error) answer(104)");
}

static void test_requests_at_the_end(void) {
        g_autoptr(Fixture) fixture = greeted_new();

        g_assert_cmpint(keeper_link_input_open(fixture->link, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_send(fixture->link, "{}", on_answer, fixture), ==, 0);
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
        g_assert_cmpint(keeper_link_send(fixture->link, message, on_answer, fixture), ==, -EMSGSIZE);
        g_assert_cmpint(keeper_link_send(fixture->link, "", on_answer, fixture), ==, -EMSGSIZE);
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

        while ((r = keeper_link_send(fixture->link, message, on_answer, fixture)) == 0) {
                n_accepted++;
                g_assert_cmpuint(n_accepted, <, 1000);
        }
        g_assert_cmpint(r, ==, -ENOBUFS);
        /* Two of the longest messages fit, whatever the socket takes. */
        g_assert_cmpuint(n_accepted * 300, >=, 2 * LIMIT_PROTOCOL_LINE / 1024 - 300);
        /* The small ones of a stop still find room, and come last. */
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGKILL, on_answer, fixture), ==, 0);

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
        g_assert_cmpint(keeper_link_send(fixture->link, message, NULL, NULL), ==, 0);
        fixture->link = keeper_link_free(fixture->link);
        /* One answer for each, and ECONNRESET for the signal. */
        g_assert_cmpuint(fixture->seen->len, ==, n_accepted * strlen("answer(0) ") + strlen("answer(104)"));
}

static void test_too_many_requests(void) {
        g_autoptr(Fixture) fixture = greeted_new();
        unsigned n = 0;
        int r;

        while ((r = keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGCONT, on_answer, fixture)) == 0) {
                n++;
                g_assert_cmpuint(n, <, 100000);
        }
        g_assert_cmpint(r, ==, -ENOBUFS);
        /* One is answered: there is room for one. */
        SAY(fixture, link_reply, LINK_REPLY, hear_request(fixture, LINK_SIGNAL), 0, 0);
        settle(fixture);
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGCONT, NULL, NULL), ==, 0);
        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGCONT, NULL, NULL), ==, -ENOBUFS);
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

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, NULL, NULL), ==, 0);
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

        g_assert_cmpint(keeper_link_signal(fixture->link, LINK_WHO_ALL, SIGTERM, on_answer, fixture), ==, 0);
        g_assert_cmpint(keeper_link_input_open(fixture->link, on_answer, fixture), ==, 0);
        fixture->free_in = "answer";
        SAY(fixture, link_reply, LINK_REPLY, hear_request(fixture, LINK_SIGNAL), 0, 0);
        settle(fixture);
        g_assert_null(fixture->link);
        g_assert_cmpstr(fixture->seen->str, ==, "answer(0) answer(104)");
}

int main(int argc, char *argv[]) {
        static const char *const handlers[] = {"hello", "executed", "output", "control", "exited", "failed", "done", "lost"};

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/keeper-link/facts-are-delivered", test_facts);
        for (size_t i = 0; i < ELEMENTSOF(broken_table); i++) {
                g_autofree char *path = g_strdup_printf("/keeper-link/broken/%s", broken_table[i].what);

                g_test_add_data_func(path, &broken_table[i], test_broken);
        }
        g_test_add_func("/keeper-link/broken/too long for any message", test_too_long_for_any_message);
        g_test_add_func("/keeper-link/broken/other words before hello", test_other_words_before_hello);
        g_test_add_func("/keeper-link/broken/another version", test_another_version);
        for (size_t i = 0; i < ELEMENTSOF(broken_controls); i++) {
                g_autofree char *path = g_strdup_printf("/keeper-link/broken/control: %s", broken_controls[i].what);

                g_test_add_data_func(path, &broken_controls[i], test_broken_control);
        }
        g_test_add_func("/keeper-link/the-end-is-no-error", test_the_end_is_no_error);
        g_test_add_data_func("/keeper-link/the-end-with-unread-words/met-by-reading", GINT_TO_POINTER(false), test_the_end_with_unread_words);
        g_test_add_data_func("/keeper-link/the-end-with-unread-words/met-by-sending", GINT_TO_POINTER(true), test_the_end_with_unread_words);
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
