/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A keeper runs as the user whose runtime it keeps, so its words are checked like a stranger's: known types, exact sizes, sane
 * values, parts of a control message in order. The first mistake ends the link, and the runtime with it.
 *
 * Sending doesn't wait: what the socket doesn't take is queued, up to QUEUE_MAX bytes, and sent when it does. Chunked messages keep
 * their order because everything goes through the queue once something is in it. */

#include "core/keeper-link.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "util/macro.h"

/* Room for two of the longest protocol messages. */
#define QUEUE_MAX (2U * LIMIT_PROTOCOL_LINE + 64U * 1024U)
#define REQUESTS_MAX 1024U
/* A message is at most this many a wake-up, so that no keeper holds up the loop. */
#define MESSAGES_A_WAKEUP 32

typedef struct Request {
        KeeperReplyFunc reply;
        void *userdata;
} Request;

struct KeeperLink {
        int socket_fd;
        sd_event_source *source;
        const KeeperHandler *handler;
        void *userdata;
        bool greeted;
        bool rejoined;    /* it begins with the first event that is still to be acknowledged, whatever its number */
        bool resumed;     /* keeper_link_resume() was called */
        bool paused;      /* nothing is read before keeper_link_resume() */
        uint32_t version; /* that the keeper speaks */
        bool *freed;      /* set by free while a handler runs */

        GQueue queue; /* GBytes, each one message */
        size_t queued;
        bool watching; /* LINK_WATCH is to be sent when the queue is empty */
        uint64_t watch_after;

        GHashTable *requests; /* cookie → Request */
        uint32_t last_cookie;

        GString *control; /* parts of an unfinished control message */
        uint64_t control_number;
        uint64_t acknowledged;
};

static void keeper_link_lose(KeeperLink *link, int error) {
        link->source = sd_event_source_disable_unref(link->source);
        link->handler->on_lost(link->userdata, error);
}

static int keeper_link_update_events(KeeperLink *link) {
        int r;

        r = sd_event_source_set_io_events(link->source, EPOLLIN | (g_queue_is_empty(&link->queue) ? 0 : EPOLLOUT));
        if (r < 0)
                return r;
        /* All off while it is paused: that the other end is gone is reported whether it was asked for or not, again and again. */
        return sd_event_source_set_enabled(link->source, link->paused ? SD_EVENT_OFF : SD_EVENT_ON);
}

static int keeper_link_flush(KeeperLink *link) {
        GBytes *message;

        while ((message = g_queue_peek_head(&link->queue))) {
                gsize size;
                const void *bytes = g_bytes_get_data(message, &size);
                int r;

                r = link_send_message(link->socket_fd, bytes, size, NULL, 0, -1);
                if (r == -EAGAIN)
                        break;
                if (r < 0)
                        return r;
                link->queued -= size;
                g_bytes_unref(g_queue_pop_head(&link->queue));
        }
        if (g_queue_is_empty(&link->queue) && link->watching) {
                link->watching = false;
                return keeper_link_watch(link, link->watch_after);
        }
        return keeper_link_update_events(link);
}

static int keeper_link_post(KeeperLink *link, const void *head, size_t head_size, const void *body, size_t body_size) {
        GByteArray *whole;
        int r;

        if (!link->source)
                return -ENOTCONN;
        if (g_queue_is_empty(&link->queue)) {
                r = link_send_message(link->socket_fd, head, head_size, body, body_size, -1);
                if (r != -EAGAIN)
                        return r;
        }
        if (link->queued + head_size + body_size > QUEUE_MAX)
                return -ENOBUFS;

        whole = g_byte_array_sized_new(head_size + body_size);
        g_byte_array_append(whole, head, head_size);
        if (body_size > 0)
                g_byte_array_append(whole, body, body_size);
        g_queue_push_tail(&link->queue, g_byte_array_free_to_bytes(whole));
        link->queued += head_size + body_size;
        return keeper_link_update_events(link);
}

static int handle_hello(KeeperLink *link, const void *message, int fd) {
        const struct link_hello *hello = message;

        if (link->greeted)
                return -EBADMSG;
        if (hello->version < LINK_VERSION_OLDEST || hello->version > LINK_VERSION)
                return -EPROTONOSUPPORT;
        link->greeted = true;
        link->version = hello->version;
        link->paused = link->rejoined && !link->resumed;
        if (link->handler->on_hello)
                link->handler->on_hello(link->userdata, hello, fd);
        return 0;
}

static int handle_executed(KeeperLink *link, const void *message, int fd) {
        const struct link_executed *executed = message;

        if (executed->pid <= 1 || executed->pid > INT32_MAX)
                return -EBADMSG;
        link->handler->on_executed(link->userdata, executed);
        return 0;
}

static int handle_failed(KeeperLink *link, const void *message, int fd) {
        const struct link_failed *failed = message;

        if (failed->stage >= _LINK_STAGE_MAX || failed->error < 0)
                return -EBADMSG;
        link->handler->on_failed(link->userdata, failed);
        return 0;
}

static int handle_exited(KeeperLink *link, const void *message, int fd) {
        const struct link_exited *exited = message;

        if (exited->code != CLD_EXITED && exited->code != CLD_KILLED && exited->code != CLD_DUMPED)
                return -EBADMSG;
        if (exited->code == CLD_EXITED ? exited->status < 0 || exited->status > 255 : exited->status < 1 || exited->status > SIGRTMAX)
                return -EBADMSG;
        link->handler->on_exited(link->userdata, exited);
        return 0;
}

static int handle_output(KeeperLink *link, const void *message, int fd) {
        link->handler->on_output(link->userdata, ((const struct link_output *) message)->last);
        return 0;
}

static int handle_memory(KeeperLink *link, const void *message, int fd) {
        const struct link_memory *memory = message;

        if (memory->main_killed > 1)
                return -EBADMSG;
        if (link->handler->on_memory)
                link->handler->on_memory(link->userdata, memory);
        return 0;
}

static int handle_done(KeeperLink *link, const void *message, int fd) {
        link->handler->on_done(link->userdata, message);
        return 0;
}

static int handle_reply(KeeperLink *link, const void *message, int fd) {
        const struct link_reply *reply = message;
        g_autofree Request *request = NULL;

        /* In this order: a request that gets no sane answer is still there to be answered when the link is freed. */
        if (reply->error < 0 || !g_hash_table_steal_extended(link->requests, GUINT_TO_POINTER(reply->cookie), NULL, (gpointer *) &request))
                return -EBADMSG;
        if (request->reply)
                request->reply(request->userdata, reply->error, fd);
        return 0;
}

static int keeper_link_acknowledge(KeeperLink *link, uint64_t number) {
        struct link_acknowledge acknowledge = {.type = LINK_ACKNOWLEDGE, .number = number};

        link->acknowledged = number;
        return keeper_link_post(link, &acknowledge, sizeof(acknowledge), NULL, 0);
}

static int handle_control(KeeperLink *link, const struct link_control *control, const char *bytes, size_t size, bool *freed) {
        uint64_t number = control->number;

        if (control->kind == 0 || control->kind >= _LINK_CONTROL_MAX || control->total > LIMIT_PROTOCOL_LINE || size > control->total ||
            control->offset > control->total - size)
                return -EBADMSG;
        if (link->rejoined && link->acknowledged == 0 && number > 0)
                link->acknowledged = number - 1;
        if (number <= link->acknowledged)
                return keeper_link_acknowledge(link, link->acknowledged);
        if (number != link->acknowledged + 1)
                return -EBADMSG;
        if (control->offset == 0) {
                g_string_truncate(link->control, 0);
                link->control_number = number;
        }
        if (link->control_number != number || control->offset != link->control->len)
                return -EBADMSG;
        g_string_append_len(link->control, bytes, size);
        if (link->control->len < control->total)
                return size > 0 ? 0 : -EBADMSG;

        link->handler->on_control(link->userdata, number, control->kind, control->line, link->control->str, link->control->len);
        if (*freed)
                return 0;
        if (link->control->allocated_len > 2 * LINK_CHUNK_MAX) {
                g_string_free(link->control, TRUE);
                link->control = g_string_new(NULL);
        }
        return link->source ? keeper_link_acknowledge(link, number) : 0;
}

static int keeper_link_dispatch(KeeperLink *link, const void *message, size_t size, int fd, bool *freed) {
        static const struct {
                size_t size;
                int (*handle)(KeeperLink *link, const void *message, int fd);
        } table[] = {
                [LINK_HELLO] = {sizeof(struct link_hello), handle_hello},    [LINK_EXECUTED] = {sizeof(struct link_executed), handle_executed},
                [LINK_FAILED] = {sizeof(struct link_failed), handle_failed}, [LINK_EXITED] = {sizeof(struct link_exited), handle_exited},
                [LINK_OUTPUT] = {sizeof(struct link_output), handle_output}, [LINK_DONE] = {sizeof(struct link_done), handle_done},
                [LINK_REPLY] = {sizeof(struct link_reply), handle_reply},    [LINK_MEMORY] = {sizeof(struct link_memory), handle_memory},
        };
        uint32_t type = *(const uint32_t *) message;

        if (!link->greeted && type != LINK_HELLO)
                return -EBADMSG;
        if (type == LINK_CONTROL) {
                if (size < sizeof(struct link_control))
                        return -EBADMSG;
                return handle_control(link, message, (const char *) message + sizeof(struct link_control), size - sizeof(struct link_control), freed);
        }
        if (type >= ELEMENTSOF(table) || !table[type].handle || size != table[type].size)
                return -EBADMSG;
        return table[type].handle(link, message, fd);
}

static int on_link_io(sd_event_source *source, int socket_fd, uint32_t revents, void *userdata) {
        KeeperLink *link = userdata;
        uint64_t buffer[LINK_MESSAGE_MAX / sizeof(uint64_t)];
        bool freed = false;
        int r;

        if (revents & EPOLLOUT) {
                r = keeper_link_flush(link);
                if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
                        keeper_link_lose(link, r);
                        return 0;
                }
        }

        link->freed = &freed;
        for (unsigned i = 0; i < MESSAGES_A_WAKEUP && !link->paused; i++) {
                _cleanup_close_ int fd = -EBADF;
                ssize_t size;

                size = link_receive_message(link->socket_fd, buffer, &fd);
                if (size == -EAGAIN)
                        break;
                /* Said once, and before all that the keeper said, when it ended without having read all of ours. */
                if (size == -ECONNRESET)
                        continue;
                r = size <= 0 ? (int) size : keeper_link_dispatch(link, buffer, size, fd, &freed);
                if (freed)
                        return 0;
                /* A handler may find out for itself, by sending, that nobody is there: the end of file is still to be read. */
                if (size <= 0 || (r < 0 && r != -EPIPE && r != -ECONNRESET && r != -ENOTCONN)) {
                        link->freed = NULL;
                        keeper_link_lose(link, r);
                        return 0;
                }
        }
        link->freed = NULL;
        if (link->paused)
                (void) keeper_link_update_events(link);
        return 0;
}

void keeper_link_resume(KeeperLink *link) {
        link->resumed = true;
        link->paused = false;
        if (link->source)
                (void) keeper_link_update_events(link);
}

int keeper_link_new(sd_event *event, int socket_fd, const KeeperHandler *handler, void *userdata, bool rejoined, KeeperLink **ret) {
        KeeperLink *link;
        int r;

        link = g_new0(KeeperLink, 1);
        link->socket_fd = socket_fd;
        link->handler = handler;
        link->userdata = userdata;
        link->rejoined = rejoined;
        link->requests = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        link->control = g_string_new(NULL);
        g_queue_init(&link->queue);

        r = sd_event_add_io(event, &link->source, socket_fd, EPOLLIN, on_link_io, link);
        if (r < 0) {
                link->socket_fd = -EBADF;
                keeper_link_free(link);
                return r;
        }
        (void) sd_event_source_set_description(link->source, "keeper-link");
        *ret = link;
        return 0;
}

static gboolean answer_with_reset(gpointer cookie, gpointer value, gpointer userdata) {
        Request *request = value;

        if (request->reply)
                request->reply(request->userdata, ECONNRESET, -EBADF);
        return TRUE;
}

KeeperLink *keeper_link_free(KeeperLink *link) {
        if (!link)
                return NULL;
        if (link->freed)
                *link->freed = true;
        link->source = sd_event_source_disable_unref(link->source);
        g_hash_table_foreach_remove(link->requests, answer_with_reset, NULL);
        g_hash_table_unref(link->requests);
        g_queue_clear_full(&link->queue, (GDestroyNotify) g_bytes_unref);
        g_string_free(link->control, TRUE);
        fd_close(link->socket_fd);
        g_free(link);
        return NULL;
}

int keeper_link_run(KeeperLink *link, uint32_t command) {
        struct link_run run = {.type = LINK_RUN, .command = command};

        return keeper_link_post(link, &run, sizeof(run), NULL, 0);
}

int keeper_link_collect(KeeperLink *link) {
        uint32_t type = LINK_COLLECT;

        return keeper_link_post(link, &type, sizeof(type), NULL, 0);
}

int keeper_link_watch(KeeperLink *link, uint64_t after) {
        struct link_watch watch = {.type = LINK_WATCH, .after = after};

        /* One at a time, and the last one counts: it waits for its turn outside the queue. */
        if (!g_queue_is_empty(&link->queue)) {
                link->watching = true;
                link->watch_after = after;
                return 0;
        }
        return keeper_link_post(link, &watch, sizeof(watch), NULL, 0);
}

/* A request has room for its cookie before anything is sent, and is forgotten when the sending fails. */
static int keeper_link_begin(KeeperLink *link, KeeperReplyFunc reply, void *userdata, uint32_t *ret_cookie) {
        Request *request;

        if (!link->source)
                return -ENOTCONN;
        if (g_hash_table_size(link->requests) >= REQUESTS_MAX)
                return -ENOBUFS;
        do
                link->last_cookie++;
        while (link->last_cookie == 0 || g_hash_table_contains(link->requests, GUINT_TO_POINTER(link->last_cookie)));

        request = g_new(Request, 1);
        *request = (Request){reply, userdata};
        g_hash_table_insert(link->requests, GUINT_TO_POINTER(link->last_cookie), request);
        *ret_cookie = link->last_cookie;
        return 0;
}

static int keeper_link_end(KeeperLink *link, uint32_t cookie, int r) {
        if (r < 0)
                g_hash_table_remove(link->requests, GUINT_TO_POINTER(cookie));
        return r < 0 ? r : 0;
}

/* A keeper of version 1 knows no effect numbers, and takes exactly what it knows. */
static size_t size_without_effect(const KeeperLink *link, size_t size) {
        return link->version == 1 ? size - sizeof(uint64_t) : size;
}

int keeper_link_signal(KeeperLink *link, enum link_who who, int signo, uint64_t effect, KeeperReplyFunc reply, void *userdata) {
        struct link_signal message = {.type = LINK_SIGNAL, .who = who, .signo = signo, .effect = effect};
        int r;

        r = keeper_link_begin(link, reply, userdata, &message.cookie);
        if (r < 0)
                return r;
        return keeper_link_end(link, message.cookie, keeper_link_post(link, &message, size_without_effect(link, sizeof(message)), NULL, 0));
}

int keeper_link_send(KeeperLink *link, const char *message, uint64_t effect, KeeperReplyFunc reply, void *userdata) {
        struct link_send part = {.type = LINK_SEND, .effect = effect};
        size_t total = strlen(message);
        int r;

        if (total == 0 || total > LIMIT_PROTOCOL_LINE)
                return -EMSGSIZE;
        /* All parts or none. */
        if (link->queued + total + (total / LINK_CHUNK_MAX + 1) * sizeof(part) > QUEUE_MAX)
                return -ENOBUFS;
        r = keeper_link_begin(link, reply, userdata, &part.cookie);
        if (r < 0)
                return r;
        part.total = total;
        for (size_t offset = 0; r >= 0 && offset < total; offset += LINK_CHUNK_MAX) {
                part.offset = offset;
                r = keeper_link_post(link, &part, size_without_effect(link, sizeof(part)), message + offset, MIN_OF(total - offset, LINK_CHUNK_MAX));
        }
        return keeper_link_end(link, part.cookie, r);
}

/* For what not every keeper understands: before it has greeted, nobody knows which it is. */
static int keeper_link_begin_new(KeeperLink *link, KeeperReplyFunc reply, void *userdata, uint32_t *ret_cookie) {
        if (!link->greeted)
                return -EAGAIN;
        if (link->version < LINK_VERSION_OUTPUT)
                return -EOPNOTSUPP;
        return keeper_link_begin(link, reply, userdata, ret_cookie);
}

int keeper_link_output_open(KeeperLink *link, uint64_t after, uint32_t flags, KeeperReplyFunc reply, void *userdata) {
        struct link_output_open message = {.type = LINK_OUTPUT_OPEN, .flags = flags, .after = after};
        int r;

        r = keeper_link_begin_new(link, reply, userdata, &message.cookie);
        if (r < 0)
                return r;
        return keeper_link_end(link, message.cookie, keeper_link_post(link, &message, sizeof(message), NULL, 0));
}

int keeper_link_output_release(KeeperLink *link) {
        uint32_t type = LINK_OUTPUT_RELEASE;

        return link->version < LINK_VERSION_OUTPUT ? 0 : keeper_link_post(link, &type, sizeof(type), NULL, 0);
}

int keeper_link_input_write(KeeperLink *link, const void *bytes, size_t size, KeeperReplyFunc reply, void *userdata) {
        struct link_request request = {.type = LINK_INPUT_WRITE};
        int r;

        if (size > LIMIT_INPUT)
                return -EMSGSIZE;
        r = keeper_link_begin(link, reply, userdata, &request.cookie);
        if (r < 0)
                return r;
        return keeper_link_end(link, request.cookie, keeper_link_post(link, &request, sizeof(request), bytes, size));
}

static int keeper_link_request(KeeperLink *link, enum link_type type, KeeperReplyFunc reply, void *userdata) {
        struct link_request request = {.type = type};
        int r;

        r = keeper_link_begin(link, reply, userdata, &request.cookie);
        if (r < 0)
                return r;
        return keeper_link_end(link, request.cookie, keeper_link_post(link, &request, sizeof(request), NULL, 0));
}

int keeper_link_input_open(KeeperLink *link, KeeperReplyFunc reply, void *userdata) {
        return keeper_link_request(link, LINK_INPUT_OPEN, reply, userdata);
}

int keeper_link_input_close(KeeperLink *link, KeeperReplyFunc reply, void *userdata) {
        return keeper_link_request(link, LINK_INPUT_CLOSE, reply, userdata);
}

int keeper_link_resize(KeeperLink *link, uint16_t rows, uint16_t columns, KeeperReplyFunc reply, void *userdata) {
        struct link_resize message = {.type = LINK_RESIZE, .rows = rows, .columns = columns};
        int r;

        r = keeper_link_begin_new(link, reply, userdata, &message.cookie);
        if (r < 0)
                return r;
        return keeper_link_end(link, message.cookie, keeper_link_post(link, &message, sizeof(message), NULL, 0));
}
