/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keeper's end of the link. What is to be told is state, not a queue: each fact knows whether this connection has been sent it, and
 * whoever has something new just says so. A new connection begins with everything unsent, so coming back after a crash of the
 * daemon is nothing special here. */

#include "keeper/link-end.h"

#include <string.h>
#include <sys/socket.h>

static uid_t peer_uid(int fd) {
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? (uid_t) -1 : peer.uid;
}

void link_end_init(LinkEnd *link, int fd, int ring_fd) {
        *link = (LinkEnd){.fd = fd, .listener_fd = -EBADF, .ring_fd = ring_fd, .daemon_uid = peer_uid(fd), .connection = 1};
}

/* Forgets all that belonged to the connection there was. */
static void reset_connection(LinkEnd *link) {
        for (size_t i = 0; i < ELEMENTSOF(link->facts); i++)
                link->facts[i].sent = false;
        for (unsigned i = 0; i < link->n_replies; i++)
                fd_close(link->replies[i].fd);
        link->n_replies = 0;
        link->watching = link->blocked = link->mute = false;
        free(link->assembly);
        link->assembly = NULL;
        link->assembled = 0;
        link->connection++;
}

void link_end_close(LinkEnd *link) {
        link->fd = fd_close(link->fd);
        reset_connection(link);
}

void link_end_done(LinkEnd *link) {
        link_end_close(link);
        link->listener_fd = fd_close(link->listener_fd);
}

void link_end_tell(LinkEnd *link, enum fact fact, const void *message, size_t size) {
        Fact *told = &link->facts[fact];

        told->known = true;
        told->sent = false;
        told->size = (uint32_t) size;
        memcpy(&told->hello, message, size);
}

void link_end_forget(LinkEnd *link, enum fact fact) {
        link->facts[fact].known = false;
}

void link_end_reply(LinkEnd *link, uint64_t connection, uint32_t cookie, int error, int fd) {
        if (link->fd < 0 || link->mute || connection != link->connection || link->n_replies >= LINK_END_REPLIES_MAX) {
                fd_close(fd);
                return;
        }
        link->replies[link->n_replies].message = (struct link_reply){.type = LINK_REPLY, .cookie = cookie, .error = error};
        link->replies[link->n_replies].fd = fd;
        link->n_replies++;
}

bool link_end_has_room(const LinkEnd *link) {
        /* The other half is for the answers to messages that the runtime has yet to read. */
        return link->fd >= 0 && (link->mute || link->n_replies < LINK_END_REPLIES_MAX / 2);
}

void link_end_prepare_poll(const LinkEnd *link, struct pollfd *fds) {
        fds[LINK_END_POLL_CONNECTION] = (struct pollfd){
                .fd = link->fd,
                .events = (short) ((link_end_has_room(link) ? POLLIN : 0) | (link->blocked ? POLLOUT : 0)),
        };
        fds[LINK_END_POLL_LISTENER] = (struct pollfd){.fd = link->listener_fd, .events = POLLIN};
}

void link_end_accept(LinkEnd *link, EventQueue *events) {
        _cleanup_close_ int fd = -EBADF;
        uid_t uid;

        fd = accept4(link->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;
        uid = peer_uid(fd);
        if (uid == (uid_t) -1 || (uid != link->daemon_uid && uid != 0))
                return;

        link_end_close(link);
        link->fd = TAKE_FD(fd);
        events_rewind(events);
}

static int send_fact(LinkEnd *link, enum fact fact) {
        Fact *told = &link->facts[fact];
        int r;

        if (!told->known || told->sent)
                return 0;
        r = link_send_message(link->fd, &told->hello, told->size, NULL, 0, fact == FACT_HELLO ? link->ring_fd : -EBADF);
        if (r == 0)
                told->sent = true;
        return r;
}

static int send_replies(LinkEnd *link) {
        while (link->n_replies > 0) {
                int r;

                r = link_send_message(link->fd, &link->replies[0].message, sizeof(link->replies[0].message), NULL, 0, link->replies[0].fd);
                if (r < 0)
                        return r;
                fd_close(link->replies[0].fd);
                link->n_replies--;
                memmove(&link->replies[0], &link->replies[1], link->n_replies * sizeof(link->replies[0]));
        }
        return 0;
}

static int send_output(LinkEnd *link, uint64_t last_line) {
        struct link_output message = {.type = LINK_OUTPUT, .last = last_line};
        int r;

        if (!link->watching || last_line <= link->watch_after)
                return 0;
        r = link_send_message(link->fd, &message, sizeof(message), NULL, 0, -EBADF);
        if (r == 0)
                link->watching = false;
        return r;
}

/* What the runtime said comes before the news of its end. */
static int send_all(LinkEnd *link, EventQueue *events, uint64_t last_line) {
        int r;

        r = send_fact(link, FACT_HELLO);
        if (r == 0)
                r = send_fact(link, FACT_EXECUTED);
        if (r == 0)
                r = send_replies(link);
        if (r == 0)
                r = events_send(events, link->fd);
        if (r == 0)
                r = send_output(link, last_line);
        if (r == 0)
                r = send_fact(link, FACT_MEMORY);
        if (r == 0)
                r = send_fact(link, FACT_FAILED);
        if (r == 0)
                r = send_fact(link, FACT_EXITED);
        if (r == 0)
                r = send_fact(link, FACT_DONE);
        return r;
}

void link_end_flush(LinkEnd *link, EventQueue *events, uint64_t last_line) {
        int r;

        if (link->fd < 0 || link->mute)
                return;

        r = send_all(link, events, last_line);
        link->blocked = r == -EAGAIN;
        if (r == 0 || r == -EAGAIN)
                return;

        /* Gone. What it sent before it went still counts, so reading goes on to the end. */
        if (r == -EPIPE || r == -ECONNRESET)
                link->mute = true;
        else
                link_end_close(link);
}
