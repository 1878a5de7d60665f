/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spawner is ours and is root's; still nothing that it sends is believed to be of the right size or to end in a NUL, since a mistake on one side of a
 * privilege boundary shouldn't become one on the other. What the socket doesn't take at once is queued, within bounds. */

#include "core/scope-link.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "util/macro.h"
#include "util/spawner.h"

#define RETRY_USEC (300 * USEC_PER_MSEC)
#define RETRY_ACCURACY_USEC (50 * USEC_PER_MSEC)
/* Two messages for each of the most runtimes that there can be. */
#define QUEUE_MAX (8U * 1024U * 1024U)
/* Each of these holds fds of ours until it has gone. */
#define QUEUE_FDS_MAX (64U * SPAWNER_FDS)
/* A wake-up: the loop has others to serve. */
#define MESSAGES_A_WAKEUP 64

struct ScopeLink {
        sd_event *event;
        char *path;
        const ScopeLinkHandler *handler;
        void *userdata;
        int socket_fd;
        sd_event_source *source;
        sd_event_source *retry_timer;
        uint64_t connected_usec;
        GQueue queue; /* Outgoing */
        size_t queued;
        unsigned queued_fds;
};

typedef struct Outgoing {
        size_t size;
        int fds[SPAWNER_FDS];
        bool has_fds;
        uint8_t bytes[];
} Outgoing;

typedef union Incoming {
        uint32_t type;
        struct spawner_unit unit;
        struct spawner_user_is user;
        struct spawner_keeper keeper;
        struct spawner_news news;
        struct spawner_job_is job;
} Incoming;

#define TEXT(structure, member)                                                                                                                                \
        { offsetof(struct structure, member), sizeof(((struct structure *) NULL)->member) }

/* What the spawner may say. */
static const struct {
        uint32_t type;
        size_t size;
        bool has_fd;
        struct {
                size_t offset, size; /* 0: none */
        } texts[3];
} incoming_table[] = {
        {SPAWNER_USER_IS, sizeof(struct spawner_user_is), false, {TEXT(spawner_user_is, name), TEXT(spawner_user_is, home), TEXT(spawner_user_is, shell)}},
        {SPAWNER_KEEPER, sizeof(struct spawner_keeper), true, {TEXT(spawner_keeper, unit)}},
        {SPAWNER_STARTED, sizeof(struct spawner_unit), false, {TEXT(spawner_unit, unit)}},
        {SPAWNER_FAILED, sizeof(struct spawner_news), false, {TEXT(spawner_news, unit), TEXT(spawner_news, text)}},
        {SPAWNER_STOPPING, sizeof(struct spawner_unit), false, {TEXT(spawner_unit, unit)}},
        {SPAWNER_GONE, sizeof(struct spawner_news), false, {TEXT(spawner_news, unit), TEXT(spawner_news, text)}},
        {SPAWNER_LIMITED, sizeof(struct spawner_news), false, {TEXT(spawner_news, unit), TEXT(spawner_news, text)}},
        {SPAWNER_JOB_IS, sizeof(struct spawner_job_is), false, {}},
};

static bool message_is_sound(const Incoming *message, size_t size, bool has_fd) {
        if (size < sizeof(message->type))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(incoming_table); i++) {
                if (incoming_table[i].type != message->type)
                        continue;
                if (size != incoming_table[i].size || has_fd != incoming_table[i].has_fd)
                        return false;
                for (size_t j = 0; j < ELEMENTSOF(incoming_table[i].texts) && incoming_table[i].texts[j].size > 0; j++)
                        if (!memchr((const uint8_t *) message + incoming_table[i].texts[j].offset, '\0', incoming_table[i].texts[j].size))
                                return false;
                return true;
        }
        return false;
}

static void outgoing_free(Outgoing *outgoing) {
        for (size_t i = 0; outgoing->has_fds && i < SPAWNER_FDS; i++)
                fd_close(outgoing->fds[i]);
        g_free(outgoing);
}

static void scope_link_pop(ScopeLink *link) {
        Outgoing *outgoing = g_queue_pop_head(&link->queue);

        link->queued -= outgoing->size;
        link->queued_fds -= outgoing->has_fds ? SPAWNER_FDS : 0;
        outgoing_free(outgoing);
}

static void scope_link_close(ScopeLink *link) {
        link->source = sd_event_source_disable_unref(link->source);
        link->socket_fd = fd_close(link->socket_fd);
        while (!g_queue_is_empty(&link->queue))
                scope_link_pop(link);
}

static void scope_link_retry_later(ScopeLink *link) {
        (void) sd_event_source_set_time_relative(link->retry_timer, RETRY_USEC);
        (void) sd_event_source_set_enabled(link->retry_timer, SD_EVENT_ONESHOT);
}

static int send_now(int socket_fd, const void *message, size_t size, const int *fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * SPAWNER_FDS)];
        } control = {};
        struct iovec part = {.iov_base = (void *) message, .iov_len = size};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
        ssize_t n;

        if (fds) {
                header.msg_control = control.bytes;
                header.msg_controllen = sizeof(control.bytes);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * SPAWNER_FDS);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * SPAWNER_FDS);
        }
        do
                n = sendmsg(socket_fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static int scope_link_flush(ScopeLink *link) {
        Outgoing *outgoing;

        while ((outgoing = g_queue_peek_head(&link->queue))) {
                int r;

                r = send_now(link->socket_fd, outgoing->bytes, outgoing->size, outgoing->has_fds ? outgoing->fds : NULL);
                if (r == -EAGAIN)
                        return 0;
                if (r < 0)
                        return r;
                scope_link_pop(link);
        }
        return sd_event_source_set_io_events(link->source, EPOLLIN);
}

/* Keeps the only fd that may come; more than one is a broken message. */
static int take_fd(struct msghdr *message, int *ret_fd) {
        unsigned count = 0;

        *ret_fd = -EBADF;
        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
                size_t n;

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++, count++) {
                        fd_close(*ret_fd);
                        memcpy(ret_fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
                }
        }
        return count > 1 || (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? -EBADMSG : 0;
}

/* 1: a message was met, 0: there is none now. */
static int scope_link_receive(ScopeLink *link) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * SPAWNER_FDS)];
        } control;
        Incoming message;
        struct iovec part = {.iov_base = &message, .iov_len = sizeof(message)};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;
        int r;

        do
                n = recvmsg(link->socket_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        r = take_fd(&header, &fd);
        if (r < 0)
                return r;
        if (n == 0)
                return -ECONNRESET;
        if (!message_is_sound(&message, (size_t) n, fd >= 0))
                return -EBADMSG;
        r = link->handler->on_message(link->userdata, message.type, &message, &fd);
        return r < 0 ? r : 1;
}

static uint64_t loop_usec(ScopeLink *link) {
        uint64_t usec = 0;

        (void) sd_event_now(link->event, CLOCK_MONOTONIC, &usec);
        return usec;
}

static int scope_link_connect(ScopeLink *link);

/* systemd listens for a spawner that was killed, and starts the next one for us: nobody need notice. One that doesn't live long isn't hurried. */
static void scope_link_lose(ScopeLink *link) {
        bool lived = loop_usec(link) - link->connected_usec >= RETRY_USEC;

        scope_link_close(link);
        link->handler->on_lost(link->userdata);
        if (lived && scope_link_connect(link) >= 0)
                link->handler->on_connected(link->userdata);
        else
                scope_link_retry_later(link);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        ScopeLink *link = userdata;
        int r = 1;

        for (unsigned i = 0; i < MESSAGES_A_WAKEUP && r > 0; i++)
                r = scope_link_receive(link);
        if (r >= 0)
                r = scope_link_flush(link);
        if (r < 0)
                scope_link_lose(link);
        return 0;
}

/* Only root, or who runs us, may pass for the spawner. */
static int check_peer(int socket_fd) {
        struct ucred peer;
        socklen_t size = sizeof(peer);

        if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

static int scope_link_connect(ScopeLink *link) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (g_strlcpy(address.sun_path, link->path, sizeof(address.sun_path)) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        r = check_peer(fd);
        if (r >= 0)
                r = sd_event_add_io(link->event, &link->source, fd, EPOLLIN, on_ready, link);
        if (r < 0)
                return r;
        link->socket_fd = TAKE_FD(fd);
        link->connected_usec = loop_usec(link);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        ScopeLink *link = userdata;

        if (scope_link_connect(link) < 0)
                scope_link_retry_later(link);
        else
                link->handler->on_connected(link->userdata);
        return 0;
}

int scope_link_new(sd_event *event, const char *path, const ScopeLinkHandler *handler, void *userdata, ScopeLink **ret) {
        ScopeLink *link = g_new0(ScopeLink, 1);
        int r;

        link->event = sd_event_ref(event);
        link->path = g_strdup(path);
        link->handler = handler;
        link->userdata = userdata;
        link->socket_fd = -EBADF;
        g_queue_init(&link->queue);
        r = sd_event_add_time(event, &link->retry_timer, CLOCK_MONOTONIC, 0, RETRY_ACCURACY_USEC, on_retry, link);
        if (r >= 0)
                r = sd_event_source_set_enabled(link->retry_timer, SD_EVENT_OFF);
        if (r < 0) {
                scope_link_free(link);
                return r;
        }
        if (scope_link_connect(link) < 0)
                scope_link_retry_later(link);
        *ret = link;
        return 0;
}

ScopeLink *scope_link_free(ScopeLink *link) {
        if (!link)
                return NULL;
        scope_link_close(link);
        sd_event_source_disable_unref(link->retry_timer);
        sd_event_unref(link->event);
        g_free(link->path);
        g_free(link);
        return NULL;
}

bool scope_link_is_connected(const ScopeLink *link) {
        return link->socket_fd >= 0;
}

static int scope_link_enqueue(ScopeLink *link, const void *message, size_t size, const int *fds) {
        Outgoing *outgoing;

        if (link->queued + size > QUEUE_MAX || (fds && link->queued_fds >= QUEUE_FDS_MAX)) {
                /* Met by the loop: who calls us isn't to hear of its own scopes meanwhile. */
                if (!fds)
                        (void) shutdown(link->socket_fd, SHUT_RDWR);
                return -ENOBUFS;
        }
        outgoing = g_malloc0(sizeof(*outgoing) + size);
        outgoing->size = size;
        memcpy(outgoing->bytes, message, size);
        for (size_t i = 0; fds && i < SPAWNER_FDS; i++)
                outgoing->fds[i] = -EBADF;
        outgoing->has_fds = fds;
        for (size_t i = 0; fds && i < SPAWNER_FDS; i++) {
                outgoing->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
                if (outgoing->fds[i] < 0) {
                        int r = -errno;

                        outgoing_free(outgoing);
                        return r;
                }
        }
        g_queue_push_tail(&link->queue, outgoing);
        link->queued += size;
        link->queued_fds += fds ? SPAWNER_FDS : 0;
        return sd_event_source_set_io_events(link->source, EPOLLIN | EPOLLOUT);
}

int scope_link_send(ScopeLink *link, const void *message, size_t size, const int *fds) {
        int r = -EAGAIN;

        if (link->socket_fd < 0)
                return -ENOTCONN;
        if (g_queue_is_empty(&link->queue))
                r = send_now(link->socket_fd, message, size, fds);
        if (r == -EAGAIN)
                r = scope_link_enqueue(link, message, size, fds);
        /* That it is lost is met by the loop. */
        return r == -EPIPE || r == -ECONNRESET ? -ENOTCONN : r;
}
