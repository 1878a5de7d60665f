/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a runtime comes by its keeper. The daemon of a user starts it itself, as its child. The daemon of the system bus can't start a process as another user:
 * it makes what the keeper needs (the link, the ring, the spec, the socket for the next daemon) and has it started together with its scope. From then on a
 * keeper is a process that isn't ours, known by its pidfd, as it is after a return. */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/runtime-private.h"
#include "core/spawn.h"
#include "util/names.h"

/* Behind the link's priority: all that a keeper said before its exit is read first. */
#define KEEPER_EXIT_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

static int on_keeper_exit(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Runtime *runtime = userdata;

        runtime_on_keeper_exit(runtime);
        return 0;
}

int runtime_watch_keeper(Runtime *runtime) {
        int r;

        r = sd_event_add_io(runtime->context->event, &runtime->keeper_source, runtime->keeper_pidfd, EPOLLIN, on_keeper_exit, runtime);
        return r < 0 ? r : sd_event_source_set_priority(runtime->keeper_source, KEEPER_EXIT_PRIORITY);
}

int runtime_start_keeper(Runtime *runtime) {
        SpawnedKeeper keeper;
        int r;

        r = spawn_keeper(runtime->context->keeper_path, runtime->ring_fd, runtime->spec_fd, runtime->context->fd_limit, &keeper);
        if (r < 0)
                return r;
        runtime->keeper_pid = keeper.pid;
        runtime->keeper_pidfd = keeper.pidfd;
        runtime->spec_fd = fd_close(runtime->spec_fd);

        r = keeper_link_new(runtime->context->event, keeper.link_fd, &runtime_keeper_handler, runtime, false, &runtime->link);
        if (r < 0)
                fd_close(keeper.link_fd);
        else
                r = runtime_watch_keeper(runtime);
        if (r < 0) {
                runtime->keeper_source = sd_event_source_disable_unref(runtime->keeper_source);
                runtime->link = keeper_link_free(runtime->link);
                runtime_reap_keeper(runtime);
        }
        return r;
}

int runtime_ask_for_keeper(Runtime *runtime, ScopeOptions *options) {
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, socket_fd = -EBADF;
        int pair[2], r;

        r = record_store_bind(runtime->context->records, runtime->name, &socket_fd);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        r = keeper_link_new(runtime->context->event, ours, &runtime_keeper_handler, runtime, false, &runtime->link);
        if (r < 0)
                return r;
        (void) TAKE_FD(ours);

        options->keeper = &(ScopeKeeper){.link_fd = theirs, .ring_fd = runtime->ring_fd, .spec_fd = runtime->spec_fd, .socket_fd = socket_fd};
        r = scope_start(runtime->context->scopes, options, &runtime_scope_handler, runtime, &runtime->scope);
        if (r < 0)
                runtime->link = keeper_link_free(runtime->link);
        return r;
}

void runtime_on_keeper(void *userdata, pid_t pid, int pidfd) {
        Runtime *runtime = userdata;
        int r;

        runtime->keeper_pid = pid;
        runtime->keeper_pidfd = pidfd;
        r = runtime_watch_keeper(runtime);
        /* As at a start of our own: a daemon that comes back must know it. */
        if (r >= 0 && runtime->state == RUNTIME_STARTING)
                r = runtime_save(runtime);
        if (r < 0)
                runtime_give_up_start(runtime, REASON_SCOPE_FAILED, RM_ERROR_START_FAILED,
                                      g_strdup_printf("The record of the runtime could not be written: %s.", g_strerror(-r)));
}

void runtime_forget_keeper(Runtime *runtime) {
        runtime->keeper_source = sd_event_source_disable_unref(runtime->keeper_source);
        runtime->link = keeper_link_free(runtime->link);
        runtime->keeper_pidfd = fd_close(runtime->keeper_pidfd);
        runtime->keeper_pid = 0;
}
