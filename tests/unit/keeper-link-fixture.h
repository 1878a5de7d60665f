/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the daemon's end of the link share: a keeper that the test plays, and a record of what its handlers heard. */

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
        int keeper;     /* our end */
        GString *seen;  /* a word for each call of a handler */
        GString *bytes; /* of the last control message */
        unsigned n_lost;
        int lost;
        const char *free_in; /* the handler that frees the link */
} Fixture;

static inline void note(Fixture *fixture, const char *handler, const char *format, ...) G_GNUC_PRINTF(3, 4);

static inline void note(Fixture *fixture, const char *handler, const char *format, ...) {
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

static inline void on_hello(void *userdata, const struct link_hello *hello, int ring_fd) {
        note(userdata, "hello", "%u %u%s", hello->pid, hello->n_commands, ring_fd >= 0 ? " fd" : "");
}

static inline void on_executed(void *userdata, const struct link_executed *executed) {
        note(userdata, "executed", "%u %u", executed->command, executed->pid);
}

static inline void on_failed(void *userdata, const struct link_failed *failed) {
        note(userdata, "failed", "%u %u %d", failed->command, failed->stage, failed->error);
}

static inline void on_exited(void *userdata, const struct link_exited *exited) {
        note(userdata, "exited", "%u %d %d", exited->command, exited->code, exited->status);
}

static inline void on_output(void *userdata, uint64_t last) {
        note(userdata, "output", "%" G_GUINT64_FORMAT, last);
}

static inline void on_control(void *userdata, uint64_t number, enum link_control_kind kind, uint64_t line, const char *bytes, size_t size) {
        Fixture *fixture = userdata;

        g_assert_cmpint(bytes[size], ==, '\0');
        g_string_truncate(fixture->bytes, 0);
        g_string_append_len(fixture->bytes, bytes, size);
        note(fixture, "control", "%u %" G_GUINT64_FORMAT " %zu", kind, line, size);
}

static inline void on_done(void *userdata, const struct link_done *done) {
        note(userdata, "done", "%" G_GUINT64_FORMAT, done->last_line);
}

static inline void on_memory(void *userdata, const struct link_memory *memory) {
        note(userdata, "memory", "%u %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, memory->command, memory->main_killed, memory->oom_kills, memory->high);
}

static inline void on_lost(void *userdata, int error) {
        Fixture *fixture = userdata;

        fixture->n_lost++;
        fixture->lost = error;
        note(fixture, "lost", "%s", error < 0 ? "error" : "end");
}

static const KeeperHandler handler = {on_hello, on_executed, on_failed, on_exited, on_output, on_control, on_done, on_lost, on_memory};

static inline void on_answer(void *userdata, int error, int fd) {
        note(userdata, "answer", "%d%s", error, fd >= 0 ? " fd" : "");
}

static inline Fixture *fixture_new_with(bool rejoined) {
        Fixture *fixture = g_new0(Fixture, 1);
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        g_assert_cmpint(sd_event_new(&fixture->event), >=, 0);
        fixture->keeper = pair[1];
        fixture->seen = g_string_new(NULL);
        fixture->bytes = g_string_new(NULL);
        g_assert_cmpint(keeper_link_new(fixture->event, pair[0], &handler, fixture, rejoined, &fixture->link), ==, 0);
        return fixture;
}

static inline Fixture *fixture_new(void) {
        return fixture_new_with(false);
}

static inline void fixture_free(Fixture *fixture) {
        keeper_link_free(fixture->link);
        fd_close(fixture->keeper);
        sd_event_unref(fixture->event);
        g_string_free(fixture->seen, TRUE);
        g_string_free(fixture->bytes, TRUE);
        g_free(fixture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* All that can be done without waiting: both ends are here, so nothing is still on its way after it. */
static inline void settle(Fixture *fixture) {
        gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

        while (sd_event_run(fixture->event, 0) > 0)
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
}

static inline void say(Fixture *fixture, const void *message, size_t size) {
        g_assert_cmpint(send(fixture->keeper, message, size, MSG_NOSIGNAL), ==, size);
}

#define SAY(fixture, type, ...) say(fixture, &(struct type){__VA_ARGS__}, sizeof(struct type))
#define GREET(fixture) SAY(fixture, link_hello, LINK_HELLO, LINK_VERSION, 77, 2)

static inline void say_control(Fixture *fixture, const struct link_control *control, const char *bytes, size_t size) {
        g_assert_cmpint(link_send_message(fixture->keeper, control, sizeof(*control), bytes, size, -EBADF), ==, 0);
}

static inline Fixture *greeted_new(void) {
        Fixture *fixture = fixture_new();

        GREET(fixture);
        settle(fixture);
        g_string_truncate(fixture->seen, 0);
        return fixture;
}

/* What the daemon said; NULL if nothing. */
static inline void *hear(Fixture *fixture, size_t *ret_size) {
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
static inline uint32_t hear_request(Fixture *fixture, uint32_t type) {
        g_autofree struct link_request *request = NULL;
        size_t size = 0;

        request = hear(fixture, &size);
        g_assert_nonnull(request);
        g_assert_cmpuint(size, >=, sizeof(*request));
        g_assert_cmpuint(request->type, ==, type);
        return request->cookie;
}
