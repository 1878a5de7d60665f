/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All that is made before a command can run: once the two cgroups and the socket for the next daemon, then for each command its pipes
 * and its process. What can't be made is told by its stage. */

#include "keeper/start.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "keeper/clock.h"
#include "keeper/executable.h"
#include "keeper/process.h"
#include "keeper/socket.h"
#include "keeper/terminal.h"
#include "util/names.h"

static int listen_for_daemon(Keeper *keeper) {
        int r;

        if (keeper->link.listener_fd >= 0)
                return 0;
        if (keeper->plan.spec.header->flags & SPEC_LISTEN) {
                r = socket_listen(keeper->socket_fd);
                if (r < 0)
                        return r;
                keeper->link.listener_fd = TAKE_FD(keeper->socket_fd);
                keeper->was_given_socket = true;
                return 0;
        }
        r = socket_bind(SOCK_SEQPACKET, keeper->directory_fd, keeper->plan.directory, RM_KEEPER_SOCKET);
        if (r < 0)
                return r;
        keeper->link.listener_fd = r;
        return 0;
}

/* What the daemon would have looked for, if it could see what we see. */
static int look_for_requirements(Plan *plan, enum link_stage *ret_stage) {
        _cleanup_free_ char *program = NULL;
        struct stat st;

        *ret_stage = LINK_STAGE_REQUIRED_PROGRAM;
        if (plan->required_program) {
                int r;

                r = executable_find(plan->required_program, plan_get_path(plan), &program);
                if (r < 0)
                        return r;
        }

        *ret_stage = LINK_STAGE_REQUIRED_FILE;
        if (!plan->required_file)
                return 0;
        if (stat(plan->required_file, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? 0 : -EISDIR;
}

/* Once, before the first command: the cgroups, the socket for the next daemon, and what must be there for any. */
static int prepare(Keeper *keeper, enum link_stage *ret_stage) {
        int r;

        if (keeper->prepared)
                return look_for_requirements(&keeper->plan, ret_stage);

        *ret_stage = LINK_STAGE_SPEC;
        if (keeper->plan_error < 0)
                return keeper->plan_error;

        *ret_stage = LINK_STAGE_CGROUP;
        if (keeper->cgroup.payload_fd < 0) {
                r = cgroup_prepare(&keeper->cgroup);
                if (r < 0)
                        return r;
                cgroup_set_memory_high(&keeper->cgroup, keeper->plan.memory_high);
                memory_open(&keeper->memory, &keeper->cgroup);
        }

        *ret_stage = LINK_STAGE_SOCKET;
        if (keeper->directory_fd < 0)
                keeper->directory_fd = open(keeper->plan.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (keeper->directory_fd < 0)
                return -errno;
        r = listen_for_daemon(keeper);
        if (r < 0)
                return r;

        keeper->prepared = true;
        return look_for_requirements(&keeper->plan, ret_stage);
}

/* The runtime's ends of its pipes, while the process is being made. */
typedef struct RuntimeEnds {
        int input, output, error, protocol_read, protocol_write;
} RuntimeEnds;

static void close_ends(RuntimeEnds *ends) {
        fd_close(ends->input);
        fd_close(ends->output);
        fd_close(ends->error);
        fd_close(ends->protocol_read);
        fd_close(ends->protocol_write);
}

/* Input and output each hold its master, so that each can be closed by itself. */
static int open_terminal(Keeper *keeper, RuntimeEnds *ends) {
        _cleanup_close_ int master_fd = -EBADF, slave_fd = -EBADF, input_fd = -EBADF, own_fd = -EBADF;
        int r;

        r = terminal_open(&master_fd, &slave_fd);
        if (r < 0)
                return r;
        input_fd = fcntl(master_fd, F_DUPFD_CLOEXEC, 0);
        own_fd = fcntl(slave_fd, F_DUPFD_CLOEXEC, 0);
        if (input_fd < 0 || own_fd < 0)
                return -errno;
        ends->output = fcntl(slave_fd, F_DUPFD_CLOEXEC, 0);
        ends->error = fcntl(slave_fd, F_DUPFD_CLOEXEC, 0);
        if (ends->output < 0 || ends->error < 0)
                return -errno;
        ends->input = TAKE_FD(slave_fd);
        input_open_terminal(&keeper->input, TAKE_FD(input_fd), TAKE_FD(own_fd));
        output_open_terminal(&keeper->output, TAKE_FD(master_fd));
        return 0;
}

/* Only the command itself has input and a way to talk to the daemon: a setup step could say READY=1 in its stead. */
static int open_ends(Keeper *keeper, bool setup, RuntimeEnds *ends, enum link_stage *ret_stage) {
        const struct spec_header *header = keeper->plan.spec.header;
        int r;

        *ret_stage = LINK_STAGE_STDIO;
        if (!setup && header->input == SPEC_INPUT_TERMINAL)
                r = open_terminal(keeper, ends);
        else
                r = output_open(&keeper->output, setup, &ends->output, &ends->error);
        if (r < 0 || setup)
                return r;

        if (header->input == SPEC_INPUT_PIPE) {
                r = input_open(&keeper->input, &ends->input);
                if (r < 0)
                        return r;
        } else if (header->input == SPEC_INPUT_NULL)
                input_close(&keeper->input);

        switch ((enum spec_transport) header->transport) {
        case SPEC_TRANSPORT_PIPES:
                return control_open_pipes(&keeper->control, &ends->protocol_read, &ends->protocol_write);
        case SPEC_TRANSPORT_SOCKET:
        case SPEC_TRANSPORT_NOTIFY:
                *ret_stage = LINK_STAGE_SOCKET;
                return control_listen(&keeper->control, (enum spec_transport) header->transport, keeper->directory_fd, keeper->plan.directory);
        case SPEC_TRANSPORT_LINE:
                *ret_stage = LINK_STAGE_SPEC;
                return output_watch_for(&keeper->output, keeper->plan.line);
        case SPEC_TRANSPORT_NONE:
                break;
        }
        return 0;
}

static void announce(Keeper *keeper) {
        uint32_t cookie = 0;
        const char *text;
        size_t size;

        while (plan_next_announce(&keeper->plan, keeper->command, &cookie, &text, &size) > 0)
                (void) ring_append(&keeper->ring, RING_STREAM_SETUP, 0, clock_usec(CLOCK_REALTIME), text, size);
}

/* When the handshake must be complete, as the runtime's clock will say it. */
static void add_deadline(const Keeper *keeper, PlanCommand *command, char *text, size_t size) {
        uint64_t usec = keeper->plan.spec.header->handshake_usec;
        char **end = command->environment;

        if (command->setup || usec == 0)
                return;
        while (*end)
                end++;
        (void) snprintf(text, size, RM_ENV_DEADLINE "=%" PRIu64, clock_add_usec(clock_usec(CLOCK_MONOTONIC), usec));
        *end = text;
}

int start_process(Keeper *keeper, enum link_stage *ret_stage) {
        char deadline[sizeof(RM_ENV_DEADLINE) + 24];
        _cleanup_free_ char *executable = NULL;
        _cleanup_(close_ends) RuntimeEnds ends = {-EBADF, -EBADF, -EBADF, -EBADF, -EBADF};
        _cleanup_(plan_command_done) PlanCommand command = {};
        int r;

        r = prepare(keeper, ret_stage);
        if (r < 0)
                return r;

        *ret_stage = LINK_STAGE_SPEC;
        r = plan_get_command(&keeper->plan, keeper->command, &command);
        if (r < 0)
                return r;
        add_deadline(keeper, &command, deadline, sizeof(deadline));
        announce(keeper);
        keeper->exited.first_line = ring_writer_last(&keeper->ring) + 1;

        r = open_ends(keeper, command.setup, &ends, ret_stage);
        if (r < 0)
                return r;

        if (keeper->plan.spec.header->flags & SPEC_LOOK_UP) {
                *ret_stage = LINK_STAGE_EXECUTABLE;
                r = executable_find(command.executable, plan_get_path(&keeper->plan), &executable);
                if (r < 0)
                        return r;
                command.executable = executable;
        }

        ProcessStart start = {
                .cgroup = &keeper->cgroup,
                .command = &command,
                .working_directory = keeper->plan.working_directory,
                .no_new_privileges = (keeper->plan.spec.header->flags & SPEC_NO_NEW_PRIVILEGES) != 0,
                .terminal = !command.setup && keeper->plan.spec.header->input == SPEC_INPUT_TERMINAL,
                .input_fd = ends.input,
                .output_fd = ends.output,
                .error_fd = ends.error,
                .protocol_read_fd = ends.protocol_read,
                .protocol_write_fd = ends.protocol_write,
        };
        return process_start(&start, &keeper->pid, &keeper->status_fd, ret_stage);
}
