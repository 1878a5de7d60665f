/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "keeper-model.h"

#include <fcntl.h>
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

uint32_t pipe_flags(uint32_t cookie) {
        return cookie % (OUTPUT_FLAGS + 2); /* the last one isn't known */
}

static void pipe_keep(uint32_t cookie, int fd) {
        Pipe *pipe = &model->pipes[model->n_pipes];

        if (fd < 0 || model->n_pipes == PIPES_MAX || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
                return;
        *pipe = (Pipe){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .flags = pipe_flags(cookie), .bytes = g_byte_array_new()};
        (void) fcntl(pipe->fd, F_SETFL, O_NONBLOCK);
        model->n_pipes++;
}

/* Each line once and in its order, and what is missing is told exactly. */
static void pipe_check_frame(Pipe *pipe, const struct output_frame *frame, const uint8_t *bytes) {
        bool all = (pipe->flags & OUTPUT_STREAMS) == 0 || (pipe->flags & OUTPUT_STREAMS) == OUTPUT_STREAMS;
        uint64_t count;

        g_assert_false(pipe->ended);
        if (frame->kind == OUTPUT_FRAME_END) {
                g_assert_cmpuint(frame->size, ==, 0);
                g_assert_cmpuint(frame->number, ==, last_line());
                g_assert_cmpuint(frame->number + 1, >=, pipe->next);
                pipe->ended = true;
                return;
        }
        if (pipe->next > 0 && all)
                g_assert_cmpuint(frame->number, ==, pipe->next);
        g_assert_cmpuint(frame->number, >=, pipe->next);
        pipe->next = frame->number + 1;
        if (frame->kind == OUTPUT_FRAME_GAP) {
                g_assert_cmpuint(frame->size, ==, sizeof(count));
                memcpy(&count, bytes, sizeof(count));
                g_assert_cmpuint(count, >, 0);
                pipe->next = frame->number + count;
                return;
        }
        g_assert_cmpuint(frame->kind, ==, OUTPUT_FRAME_LINE);
        g_assert_true(output_selects(pipe->flags, frame->stream));
}

void pipe_read(Pipe *pipe) {
        uint8_t buffer[4096];
        size_t offset = 0;
        ssize_t n;

        while ((n = read(pipe->fd, buffer, sizeof(buffer))) > 0) {
                if (!(pipe->flags & OUTPUT_FRAMED))
                        continue;
                g_byte_array_append(pipe->bytes, buffer, (guint) n);
        }
        for (;;) {
                struct output_frame frame;

                if (pipe->bytes->len - offset < sizeof(frame))
                        break;
                memcpy(&frame, pipe->bytes->data + offset, sizeof(frame));
                g_assert_cmpuint(frame.size, <=, LIMIT_LINE);
                if (pipe->bytes->len - offset < ring_record_length(frame.size))
                        break;
                pipe_check_frame(pipe, &frame, pipe->bytes->data + offset + sizeof(frame));
                offset += ring_record_length(frame.size);
        }
        g_byte_array_remove_range(pipe->bytes, 0, (guint) offset);
}

void pipes_close(void) {
        for (unsigned i = 0; i < model->n_pipes; i++) {
                pipe_read(&model->pipes[i]);
                fd_close(model->pipes[i].fd);
                g_byte_array_unref(model->pipes[i].bytes);
        }
        model->n_pipes = 0;
}

static void hear_reply(const struct link_reply *reply, int fd) {
        Connection *daemon = &model->daemon;
        gpointer cookie = GUINT_TO_POINTER(reply->cookie);

        g_assert_cmpint(reply->error, >=, 0);
        g_assert_true(fd < 0 || (reply->error == 0 && g_hash_table_contains(daemon->opens, cookie)));
        pipe_keep(reply->cookie, fd);
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
        case LINK_OUTPUT_OPEN:
        case LINK_OUTPUT_RELEASE:
        case LINK_RESIZE:
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
        if (request->type == LINK_INPUT_OPEN || request->type == LINK_OUTPUT_OPEN)
                g_hash_table_add(daemon->opens, GUINT_TO_POINTER(request->cookie));
        if (request->type == LINK_SEND)
                count(daemon->allowed, request->cookie, 1);
        if (request->type == LINK_SIGNAL || (request->type >= LINK_INPUT_WRITE && request->type <= LINK_INPUT_CLOSE) || request->type == LINK_OUTPUT_OPEN)
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
