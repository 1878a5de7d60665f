/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See input.h. The pipe's other holders, the service and the keeper, share its flags: so it is left blocking. */

#include "cli/input.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "cli/input-calls.h"
#include "util/names.h"

struct Input {
        sd_event *event;
        sd_bus *bus;
        const char *path;
        bool terminal;
        InputRefused on_refused;
        void *userdata;

        bool opened; /* once, whatever became of it */
        sd_bus_slot *call_open;
        InputCalls *calls; /* where the bus passes no pipes; NULL: else */
        pid_t pid;         /* who copies, 0: nobody */
        sd_event_source *child_source;
};

/* Only calls that are safe after fork(). */
static void copy(int pipe) {
        char buffer[16 * 1024];
        ssize_t n, written;

        for (;;) {
                n = read(STDIN_FILENO, buffer, sizeof(buffer));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                for (ssize_t done = 0; done < n; done += written) {
                        written = write(pipe, buffer + done, (size_t) (n - done));
                        if (written < 0 && errno == EINTR)
                                written = 0;
                        if (written < 0)
                                return;
                }
        }
}

static int on_child_exit(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Input *input = userdata;

        /* sd-event reaps it. */
        input->pid = 0;
        if (input->calls)
                return 0;
        /* It may have ended meanwhile, so the answer is of no interest. */
        (void) sd_bus_call_method_async(input->bus, NULL, RM_BUS_NAME, input->path, RM_RUNTIME_INTERFACE, "CloseInput", NULL, NULL, NULL);
        return 0;
}

static int start_copying(Input *input, int pipe) {
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() == parent)
                        copy(pipe);
                _exit(0);
        }
        input->pid = pid;
        return sd_event_add_child(input->event, &input->child_source, pid, WEXITED, on_child_exit, input);
}

static int on_opened(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Input *input = userdata;
        int fd, r;

        input->call_open = sd_bus_slot_unref(input->call_open);
        if (sd_bus_message_is_method_error(reply, RM_ERROR_BAD_STATE))
                return 0;
        input->opened = true;
        if (sd_bus_message_is_method_error(reply, NULL)) {
                input->on_refused(sd_bus_message_get_error(reply), 0, input->userdata);
                return 0;
        }
        r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = start_copying(input, fd);
        if (r < 0)
                input->on_refused(&SD_BUS_ERROR_NULL, r, input->userdata);
        return 0;
}

/* What is copied into a pipe of our own goes on as calls. */
static int open_calls(Input *input) {
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        in = fds[0];
        out = fds[1];
        input->opened = true;
        input->calls = input_calls_new(input->event, input->bus, input->path, in, NULL, input->on_refused, input->userdata);
        TAKE_FD(in);
        if (input->calls && input->terminal)
                input_calls_set_terminal(input->calls);
        return input->calls ? start_copying(input, out) : -ENOMEM;
}

void input_open(Input *input) {
        int r;

        if (!input || input->call_open)
                return;
        if (input->calls)
                input_calls_continue(input->calls);
        if (input->opened)
                return;
        if (input->terminal || sd_bus_can_send(input->bus, SD_BUS_TYPE_UNIX_FD) == 0) {
                r = open_calls(input);
                if (r < 0)
                        input->on_refused(&SD_BUS_ERROR_NULL, r, input->userdata);
                return;
        }
        r = sd_bus_call_method_async(input->bus, &input->call_open, RM_BUS_NAME, input->path, RM_RUNTIME_INTERFACE, "OpenInput", on_opened, input, NULL);
        if (r < 0)
                input->on_refused(&SD_BUS_ERROR_NULL, r, input->userdata);
}

Input *input_new(sd_event *event, sd_bus *bus, const char *path, bool terminal, InputRefused on_refused, void *userdata) {
        Input *input = g_new0(Input, 1);

        input->event = sd_event_ref(event);
        input->bus = bus;
        input->path = path;
        input->terminal = terminal;
        input->on_refused = on_refused;
        input->userdata = userdata;
        return input;
}

Input *input_free(Input *input) {
        if (!input)
                return NULL;
        sd_bus_slot_unref(input->call_open);
        input_calls_free(input->calls);
        sd_event_source_disable_unref(input->child_source);
        if (input->pid > 0) {
                (void) kill(input->pid, SIGKILL);
                (void) waitpid(input->pid, NULL, 0);
        }
        sd_event_unref(input->event);
        g_free(input);
        return NULL;
}
