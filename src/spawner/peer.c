/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Receives whole messages, lets check_request() judge their shape, and hands them on; a broken one ends the connection. Whatever fds came with a message are
 * closed when it has been dealt with. What can't be sent at once is queued, within a limit. */

#include "spawner/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "spawner/log.h"
#include "util/macro.h"

/* More than any message brings, so that the surplus is seen, and closed. */
#define RECEIVED_FDS_MAX 16U
/* Each runtime has a few words at a time, and there are at most ten thousand. */
#define QUEUE_MAX 40000U

typedef struct Queued {
        size_t size;
        int fd;
        uint8_t bytes[];
} Queued;

struct Peer {
        sd_event *event;
        sd_event_source *listener_source, *source;
        int listener_fd, fd;
        uid_t daemon_uid;
        pid_t pid;
        bool paused;
        GQueue *queue; /* Queued */
        const PeerHandler *handler;
        void *userdata;
};

typedef struct Received {
        SpawnerRequest request;
        char surplus; /* a message that is longer than any is seen to be */
} Received;

static void queued_free(void *data) {
        Queued *queued = data;

        fd_close(queued->fd);
        g_free(queued);
}

static void peer_watch(Peer *peer) {
        uint32_t events = (peer->paused ? 0U : (uint32_t) EPOLLIN) | (g_queue_is_empty(peer->queue) ? 0U : (uint32_t) EPOLLOUT);

        if (peer->source)
                (void) sd_event_source_set_io_events(peer->source, events);
}

static void peer_disconnect(Peer *peer) {
        if (peer->fd < 0)
                return;
        peer->source = sd_event_source_disable_unref(peer->source);
        peer->fd = fd_close(peer->fd);
        peer->pid = 0;
        g_queue_clear_full(peer->queue, queued_free);
        peer->handler->on_lost(peer->userdata);
}

static void close_fds(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                fds[i] = fd_close(fds[i]);
}

static size_t take_fds(struct msghdr *message, int fds[static RECEIVED_FDS_MAX]) {
        size_t n = 0;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
                size_t count;

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < count && n < RECEIVED_FDS_MAX; i++)
                        memcpy(&fds[n++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
        }
        return n;
}

/* Bytes; 0: the connection has ended; negative errno. fds are whoever's calls. */
static ssize_t receive(int fd, Received *received, int fds[static RECEIVED_FDS_MAX], size_t *ret_n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * RECEIVED_FDS_MAX)];
        } control;
        struct iovec part = {.iov_base = received, .iov_len = sizeof(*received)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
        ssize_t n;

        *ret_n_fds = 0;
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        *ret_n_fds = take_fds(&message, fds);
        if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                return -EBADMSG;
        return n;
}

static void peer_receive(Peer *peer) {
        int fds[RECEIVED_FDS_MAX];
        Received received = {};
        size_t n_fds;
        ssize_t n;
        int r;

        n = receive(peer->fd, &received, fds, &n_fds);
        if (n == -EAGAIN || n == -EINTR)
                return;
        r = n > 0 ? check_request(&received.request, (size_t) n, n_fds) : (int) n;
        if (n > 0 && r >= 0)
                peer->handler->on_request(peer->userdata, &received.request, n_fds > 0 ? fds : NULL);
        close_fds(fds, n_fds);
        if (n > 0 && r >= 0)
                return;
        if (r < 0 && r != -ECONNRESET)
                log_warning("The daemon sent a broken message; its connection is closed.");
        peer_disconnect(peer);
}

static int send_now(int fd, const void *bytes, size_t size, int passed_fd) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec part = {.iov_base = (void *) bytes, .iov_len = size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

        if (passed_fd >= 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = sizeof(control.bytes);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.header), &passed_fd, sizeof(int));
        }
        return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void peer_flush(Peer *peer) {
        while (!g_queue_is_empty(peer->queue)) {
                Queued *queued = g_queue_peek_head(peer->queue);
                int r = send_now(peer->fd, queued->bytes, queued->size, queued->fd);

                if (r == -EAGAIN || r == -EINTR)
                        break;
                /* A connection that has ended tells by itself. */
                queued_free(g_queue_pop_head(peer->queue));
        }
        peer_watch(peer);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Peer *peer = userdata;

        if (revents & EPOLLOUT)
                peer_flush(peer);
        if (!peer->paused && (revents & EPOLLIN))
                peer_receive(peer);
        else if (revents & (EPOLLHUP | EPOLLERR))
                peer_disconnect(peer);
        return 0;
}

static void peer_connect(Peer *peer, int fd) {
        struct ucred credentials;
        socklen_t size = sizeof(credentials);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0 || credentials.uid != peer->daemon_uid) {
                log_warning("A connection of somebody who isn't the daemon was refused.");
                fd_close(fd);
                return;
        }
        peer_disconnect(peer);
        peer->fd = fd;
        peer->pid = credentials.pid;
        if (sd_event_add_io(peer->event, &peer->source, fd, EPOLLIN, on_io, peer) < 0)
                peer_disconnect(peer);
        else {
                peer_watch(peer);
                peer->handler->on_connected(peer->userdata);
        }
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (connection >= 0)
                peer_connect(userdata, connection);
        return 0;
}

int peer_new(sd_event *event, int listener_fd, uid_t daemon_uid, const PeerHandler *handler, void *userdata, Peer **ret) {
        Peer *peer = g_new(Peer, 1);
        int r;

        *peer = (Peer){
                .event = sd_event_ref(event),
                .listener_fd = listener_fd,
                .fd = -EBADF,
                .daemon_uid = daemon_uid,
                .queue = g_queue_new(),
                .handler = handler,
                .userdata = userdata,
        };
        r = sd_event_add_io(event, &peer->listener_source, listener_fd, EPOLLIN, on_listener, peer);
        if (r < 0) {
                peer_free(peer);
                return r;
        }
        *ret = peer;
        return 0;
}

Peer *peer_free(Peer *peer) {
        if (!peer)
                return NULL;
        peer_disconnect(peer);
        sd_event_source_disable_unref(peer->listener_source);
        fd_close(peer->listener_fd);
        g_queue_free(peer->queue);
        sd_event_unref(peer->event);
        g_free(peer);
        return NULL;
}

void peer_send(Peer *peer, const void *message, size_t size, int fd) {
        Queued *queued;

        if (peer->fd < 0)
                return;
        if (g_queue_is_empty(peer->queue) && send_now(peer->fd, message, size, fd) != -EAGAIN)
                return;
        if (g_queue_get_length(peer->queue) >= QUEUE_MAX) {
                /* Its end is seen by the loop, as any other: we may be called from within what its end takes down. */
                (void) shutdown(peer->fd, SHUT_RDWR);
                return;
        }
        queued = g_malloc(sizeof(Queued) + size);
        queued->size = size;
        queued->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -EBADF;
        memcpy(queued->bytes, message, size);
        g_queue_push_tail(peer->queue, queued);
        peer_watch(peer);
}

void peer_pause(Peer *peer, bool pause) {
        peer->paused = pause;
        peer_watch(peer);
}

pid_t peer_get_pid(const Peer *peer) {
        return peer->pid;
}
