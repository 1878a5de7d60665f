/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "keeper-model.h"

#include <string.h>
#include <sys/socket.h>

Model *model;

void connection_begin(int fd) {
        Connection *daemon = &model->daemon;

        *daemon = (Connection){
                .fd = fd,
                .executed = -1,
                .finished = -1,
                .wanted = g_hash_table_new(NULL, NULL),
                .allowed = g_hash_table_new(NULL, NULL),
                .opens = g_hash_table_new(NULL, NULL),
        };
        model->sending = (struct link_send){};
}

void connection_end(void) {
        Connection *daemon = &model->daemon;

        if (!daemon->wanted)
                return;
        fd_close(daemon->fd);
        g_hash_table_unref(daemon->wanted);
        g_hash_table_unref(daemon->allowed);
        g_hash_table_unref(daemon->opens);
        *daemon = (Connection){.fd = -EBADF};
}

static void count(GHashTable *table, uint32_t cookie, int change) {
        int n = GPOINTER_TO_INT(g_hash_table_lookup(table, GUINT_TO_POINTER(cookie))) + change;

        g_assert_cmpint(n, >=, 0);
        if (n > 0)
                g_hash_table_insert(table, GUINT_TO_POINTER(cookie), GINT_TO_POINTER(n));
        else
                g_hash_table_remove(table, GUINT_TO_POINTER(cookie));
}

uint64_t last_line(void) {
        return ring_writer_last(&model->keeper->ring);
}

static void hear_executed(const struct link_executed *executed) {
        Connection *daemon = &model->daemon;

        g_assert_cmpint(executed->command, >, daemon->finished);
        g_assert_cmpint(executed->command, >, daemon->executed);
        g_assert_cmpint(executed->command, <=, world.command);
        g_assert_cmpuint(executed->pid, ==, (uint32_t) WORLD_PID);
        daemon->executed = executed->command;
        daemon->exited = false;
}

static void hear_failed(const struct link_failed *failed) {
        Connection *daemon = &model->daemon;

        g_assert_cmpint(failed->command, >, daemon->finished);
        g_assert_cmpint(failed->command, >, daemon->executed);
        g_assert_cmpuint(failed->stage, >, LINK_STAGE_NONE);
        g_assert_nonnull(link_stage_to_string(failed->stage));
        g_assert_cmpint(failed->error, >, 0);
        daemon->finished = failed->command;
}

static void hear_exited(const struct link_exited *exited) {
        Connection *daemon = &model->daemon;

        g_assert_cmpint(exited->command, ==, daemon->executed);
        g_assert_cmpint(exited->command, >, daemon->finished);
        g_assert_cmpuint(exited->settled, <=, 1);
        g_assert_true(exited->settled || !daemon->exited);
        g_assert_cmpuint(exited->first_line, <=, exited->last_line + 1);
        g_assert_cmpuint(exited->last_line, <=, last_line());
        daemon->exited = true;
        if (!exited->settled)
                return;
        daemon->finished = exited->command;
        if ((int64_t) exited->command == world.command) {
                g_assert_false(world_is_populated());
                g_assert_cmpuint(exited->last_line, ==, last_line());
        }
}

static void hear_done(const struct link_done *done) {
        Connection *daemon = &model->daemon;

        g_assert_false(world_is_populated());
        g_assert_cmpint(daemon->finished, >=, world.command);
        g_assert_cmpuint(done->last_line, ==, last_line());
        daemon->done = true;
}

static void hear_reply(const struct link_reply *reply, int fd) {
        Connection *daemon = &model->daemon;
        gpointer cookie = GUINT_TO_POINTER(reply->cookie);

        g_assert_cmpint(reply->error, >=, 0);
        g_assert_true(fd < 0 || (reply->error == 0 && g_hash_table_contains(daemon->opens, cookie)));
        if (g_hash_table_contains(daemon->wanted, cookie))
                count(daemon->wanted, reply->cookie, -1);
        else
                count(daemon->allowed, reply->cookie, -1);
}

/* The same under the same number, however often it is told. */
static void remember_event(const struct link_control *control) {
        g_autofree char *fact = g_strdup_printf("%u %" G_GUINT64_FORMAT " ", control->kind, control->line);
        g_autofree char *checksum = NULL;
        const char *before;

        g_string_prepend(model->event, fact);
        checksum = g_compute_checksum_for_data(G_CHECKSUM_SHA1, (const guchar *) model->event->str, model->event->len);
        before = g_hash_table_lookup(model->events, GUINT_TO_POINTER(control->number));
        if (before)
                g_assert_cmpstr(checksum, ==, before);
        else
                g_hash_table_insert(model->events, GUINT_TO_POINTER(control->number), g_steal_pointer(&checksum));
}

static void hear_control(const struct link_control *control, const void *bytes, size_t size) {
        Connection *daemon = &model->daemon;

        g_assert_cmpuint(control->kind, >, 0);
        g_assert_cmpuint(control->kind, <, _LINK_CONTROL_MAX);
        g_assert_cmpuint(size, <=, LINK_CHUNK_MAX);
        g_assert_cmpuint(control->total, <=, LIMIT_PROTOCOL_LINE);
        g_assert_cmpuint(control->offset + size, <=, control->total);

        if (control->offset == 0) {
                /* What has been acknowledged meanwhile is left out, also in the middle of it. */
                if (control->number != daemon->control + 1) {
                        g_assert_cmpuint(control->number, >, daemon->control);
                        g_assert_cmpuint(control->number, <=, model->acknowledged + 1);
                } else
                        g_assert_true(daemon->offset == 0 || daemon->control <= model->acknowledged);
                daemon->control = control->number;
                daemon->part = *control;
                g_string_truncate(model->event, 0);
        }
        daemon->part.offset = control->offset;
        g_assert_cmpmem(control, sizeof(*control), &daemon->part, sizeof(*control));
        g_assert_cmpuint(control->offset, ==, model->event->len);
        g_string_append_len(model->event, bytes, (gssize) size);
        daemon->offset = model->event->len < control->total ? control->offset + (uint32_t) size : 0;
        if (daemon->offset == 0)
                remember_event(control);
        else
                g_assert_cmpuint(size, >, 0);
}

static void hear_message(const uint64_t *message, size_t size, int fd) {
        static const size_t sizes[] = {
                [LINK_HELLO] = sizeof(struct link_hello),   [LINK_EXECUTED] = sizeof(struct link_executed), [LINK_FAILED] = sizeof(struct link_failed),
                [LINK_EXITED] = sizeof(struct link_exited), [LINK_OUTPUT] = sizeof(struct link_output),     [LINK_CONTROL] = sizeof(struct link_control),
                [LINK_DONE] = sizeof(struct link_done),     [LINK_REPLY] = sizeof(struct link_reply),
        };
        const struct link_hello *hello = (const void *) message;
        const struct link_output *output = (const void *) message;
        Connection *daemon = &model->daemon;
        uint32_t type = hello->type;

        g_assert_true(type < ELEMENTSOF(sizes) && sizes[type] > 0);
        g_assert_true(type == LINK_CONTROL ? size >= sizes[type] : size == sizes[type]);
        g_assert_true(daemon->greeted != (type == LINK_HELLO));
        g_assert_true((fd >= 0) == (type == LINK_HELLO) || type == LINK_REPLY);
        g_assert_false(daemon->done && (type == LINK_EXECUTED || type == LINK_FAILED || type == LINK_EXITED || type == LINK_DONE));

        switch ((enum link_type) type) {
        case LINK_HELLO:
                g_assert_cmpuint(hello->version, ==, LINK_VERSION);
                g_assert_cmpuint(hello->n_commands, ==, model->n_commands);
                daemon->greeted = true;
                break;
        case LINK_EXECUTED:
                hear_executed((const void *) message);
                break;
        case LINK_FAILED:
                hear_failed((const void *) message);
                break;
        case LINK_EXITED:
                hear_exited((const void *) message);
                break;
        case LINK_OUTPUT:
                g_assert_cmpuint(++daemon->n_outputs, <=, daemon->n_watches);
                g_assert_cmpuint(output->last, <=, last_line());
                break;
        case LINK_CONTROL:
                hear_control((const void *) message, (const struct link_control *) message + 1, size - sizeof(struct link_control));
                break;
        case LINK_DONE:
                hear_done((const void *) message);
                break;
        case LINK_REPLY:
                hear_reply((const void *) message, fd);
                break;
        case LINK_MEMORY: /* nobody counts in this world */
        case LINK_RUN:
        case LINK_SIGNAL:
        case LINK_SEND:
        case LINK_ACKNOWLEDGE:
        case LINK_WATCH:
        case LINK_INPUT_WRITE:
        case LINK_INPUT_OPEN:
        case LINK_INPUT_CLOSE:
        case LINK_COLLECT:
                g_assert_not_reached();
        }
}

bool hear(unsigned max) {
        g_autofree uint64_t *buffer = g_malloc(LINK_MESSAGE_MAX);

        for (unsigned i = 0; i < max && model->daemon.fd >= 0; i++) {
                _cleanup_close_ int fd = -EBADF;
                ssize_t size = link_receive_message(model->daemon.fd, buffer, &fd);

                if (size == -ECONNRESET)
                        continue;
                if (size == -EAGAIN)
                        return true;
                if (size <= 0)
                        return false;
                hear_message(buffer, (size_t) size, fd);
        }
        return model->daemon.fd >= 0;
}

/* What answers a message makes due, as its reader will see it. */
static void expect_answer(const struct link_request *request, size_t size) {
        Connection *daemon = &model->daemon;

        if (size < sizeof(uint32_t))
                return;
        if (request->type == LINK_WATCH)
                daemon->n_watches++;
        if (size < sizeof(*request))
                return;
        if (request->type == LINK_INPUT_OPEN)
                g_hash_table_add(daemon->opens, GUINT_TO_POINTER(request->cookie));
        if (request->type == LINK_SEND)
                count(daemon->allowed, request->cookie, 1);
        if (request->type == LINK_SIGNAL || (request->type >= LINK_INPUT_WRITE && request->type <= LINK_INPUT_CLOSE))
                count(daemon->wanted, request->cookie, 1);
        if (request->type == LINK_ACKNOWLEDGE && size == sizeof(struct link_acknowledge))
                model->acknowledged = MAX_OF(model->acknowledged, ((const struct link_acknowledge *) (const void *) request)->number);
}

void say(const void *bytes, size_t size, unsigned n_fds) {
        Connection *daemon = &model->daemon;
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(20 * sizeof(int))];
        } control = {};
        struct iovec part = {.iov_base = (void *) bytes, .iov_len = size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        g_autofree void *aligned = g_memdup2(bytes, size);

        if (daemon->fd < 0 || daemon->deaf)
                return;
        if (n_fds > 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                for (unsigned i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &daemon->fd, sizeof(int));
        }
        if (sendmsg(daemon->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                expect_answer(aligned, size);
}

void hear_answers(void) {
        if (!hear(UINT32_MAX) || model->daemon.deaf || !model->daemon.greeted)
                return;
        g_assert_cmpuint(g_hash_table_size(model->daemon.wanted), ==, 0);
}
