/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's end of the link to one keeper (util/link.h): checks what comes, keeps what can't be sent yet, pairs answers with
 * requests. It knows nothing of states. */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "util/link.h"

typedef struct KeeperLink KeeperLink;

typedef struct KeeperHandler {
        /* The keeper's first message. ring_fd is borrowed. */
        void (*on_hello)(void *userdata, const struct link_hello *hello, int ring_fd);
        void (*on_executed)(void *userdata, const struct link_executed *executed);
        void (*on_failed)(void *userdata, const struct link_failed *failed);
        void (*on_exited)(void *userdata, const struct link_exited *exited);
        void (*on_output)(void *userdata, uint64_t last);
        /* One whole event of the runtime; acknowledged when the handler returns. bytes[size] is NUL. */
        void (*on_control)(void *userdata, uint64_t number, enum link_control_kind kind, uint64_t line, const char *bytes, size_t size);
        void (*on_done)(void *userdata, const struct link_done *done);
        /* The link is closed, or the keeper broke its rules (error is then negative). Nothing follows; free it any time. */
        void (*on_lost)(void *userdata, int error);
        /* May be NULL. What it says of the main process comes before on_exited(). */
        void (*on_memory)(void *userdata, const struct link_memory *memory);
} KeeperHandler;

/* error: 0 or positive errno; ECONNRESET when the link was lost first. fd is borrowed, -EBADF if none came. Called exactly once. */
typedef void (*KeeperReplyFunc)(void *userdata, int error, int fd);

/* Takes over socket_fd: to a keeper that was just started, or (rejoined) one that has been at work. The latter tells all that it knows; but nothing is read
 * behind its LINK_HELLO before keeper_link_resume(). */
int keeper_link_new(sd_event *event, int socket_fd, const KeeperHandler *handler, void *userdata, bool rejoined, KeeperLink **ret);
void keeper_link_resume(KeeperLink *link);
/* Unanswered requests are answered with ECONNRESET first. */
KeeperLink *keeper_link_free(KeeperLink *link);

int keeper_link_run(KeeperLink *link, uint32_t command);
int keeper_link_collect(KeeperLink *link);
int keeper_link_watch(KeeperLink *link, uint64_t after);

/* Each returns negative errno (-ENOBUFS: too much is waiting) and doesn't call reply then. reply may be NULL. */
/* effect: 0, or a number that rises from call to call; one that the keeper has met before is answered and does nothing (link.h). */
int keeper_link_signal(KeeperLink *link, enum link_who who, int signo, uint64_t effect, KeeperReplyFunc reply, void *userdata);
int keeper_link_send(KeeperLink *link, const char *message, uint64_t effect, KeeperReplyFunc reply, void *userdata);
/* flags: of OpenOutput. Besides, -EOPNOTSUPP: an older keeper; -EAGAIN: it hasn't said yet which version it is. */
int keeper_link_output_open(KeeperLink *link, uint64_t after, uint32_t flags, KeeperReplyFunc reply, void *userdata);
/* From now on no reader of its output holds the runtime back. An older keeper knows none that could. */
int keeper_link_output_release(KeeperLink *link);
int keeper_link_input_write(KeeperLink *link, const void *bytes, size_t size, KeeperReplyFunc reply, void *userdata);
int keeper_link_input_open(KeeperLink *link, KeeperReplyFunc reply, void *userdata);
/* The reply: also ENOTTY. -EOPNOTSUPP: the keeper is of an older version. */
int keeper_link_resize(KeeperLink *link, uint16_t rows, uint16_t columns, KeeperReplyFunc reply, void *userdata);
int keeper_link_input_close(KeeperLink *link, KeeperReplyFunc reply, void *userdata);
