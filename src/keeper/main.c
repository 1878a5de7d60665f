/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtime-keeper: the first process of every scope and the parent of the runtime. The daemon starts it, or has it started, with
 * three or four fds and nothing in its argv; people only ever meet it in a process list. */

#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "keeper/keeper.h"

#define EXIT_USAGE 64 /* EX_USAGE of sysexits.h */

static const char usage[] = "Usage: runtime-keeper [--help | --version]\n"
                            "\n"
                            "Keeps one runtime: its parent, the reader of its output, and the record of how it ended.\n"
                            "runtime-managerd starts one for each runtime; there is no use for it by hand.\n";

static bool is_link(int fd) {
        int type;
        socklen_t size = sizeof(type);

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* The fds below ours must be taken, or our own would end up where the runtime's belong. */
static int occupy_standard_fds(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                if (open("/dev/null", O_RDWR | O_NOCTTY) != fd)
                        return -EBADF;
        }
        return 0;
}

static int prepare_process(int last_fd) {
        if (occupy_standard_fds() < 0)
                return -errno;
        for (int fd = LINK_FD; fd <= last_fd; fd++)
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return -errno;
        if (close_range((unsigned) last_fd + 1, ~0U, 0) < 0)
                return -errno;

        (void) prctl(PR_SET_NAME, "runtime-keeper");
        /* The runtime has our uid: nobody of it may look into us, or hold us with ptrace(). */
        if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return -errno;
        return 0;
}

static int keep(void) {
        static Keeper keeper; /* not on the stack: most of it is never touched */
        int socket_fd = is_link(LINK_SOCKET_FD) ? LINK_SOCKET_FD : -EBADF, r, score;

        if (!is_link(LINK_FD) || fcntl(LINK_RING_FD, F_GETFD) < 0 || fcntl(LINK_SPEC_FD, F_GETFD) < 0) {
                (void) dprintf(STDERR_FILENO, "runtime-keeper is started by runtime-managerd, with a connection to it as fd %d. See --help.\n", LINK_FD);
                return EXIT_USAGE;
        }

        score = memory_stand_back();
        r = prepare_process(MAX_OF(socket_fd, LINK_SPEC_FD));
        if (r >= 0) {
                r = keeper_init(&keeper, LINK_FD, LINK_RING_FD, LINK_SPEC_FD, socket_fd);
                keeper.runtime_score = score;
                fd_close(LINK_SPEC_FD);
                if (r >= 0)
                        r = keeper_loop(&keeper);
                keeper_done(&keeper);
        }
        if (r < 0) {
                (void) dprintf(STDERR_FILENO, "runtime-keeper: %s\n", strerrordesc_np(-r) ?: "failed");
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        if (argc == 2 && strcmp(argv[1], "--help") == 0)
                return dprintf(STDOUT_FILENO, "%s", usage) < 0;
        if (argc == 2 && strcmp(argv[1], "--version") == 0)
                return dprintf(STDOUT_FILENO, "runtime-keeper %s\n", PROJECT_VERSION) < 0;
        if (argc > 1) {
                (void) dprintf(STDERR_FILENO, "runtime-keeper: unknown argument \"%s\"\n%s", argv[1], usage);
                return EXIT_USAGE;
        }
        return keep();
}
