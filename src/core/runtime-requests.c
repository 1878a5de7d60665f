/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client asks of a runtime that runs, and its keeper answers: signals, an interruption, input. Here is only said what can't be asked for now. */

#include "core/runtime-private.h"
#include "util/names.h"
#include "util/text.h"

static int refuse_request(int r, sd_bus_error *reterr) {
        if (r == -EAGAIN)
                return sd_bus_error_set(reterr, RM_ERROR_WOULD_BLOCK,
                                        "The runtime's keeper hasn't answered this instance of the service yet; try again later.");
        if (r == -EOPNOTSUPP)
                return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED, "The runtime was started by an older version of this service; restart it.");
        if (r == -ENOBUFS)
                return sd_bus_error_set(reterr, RM_ERROR_WOULD_BLOCK, "The runtime hasn't taken what it was sent before; try again later.");
        if (r < 0)
                return sd_bus_error_set(reterr, RM_ERROR_BAD_STATE, "The runtime is ending; wait for Ended.");
        return 0;
}

int runtime_kill(Runtime *runtime, enum link_who who, int signo, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        if (!runtime->link || runtime->main_pid == 0)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "Nothing runs in the runtime \"%s\" (state %s), so nothing can be signalled.",
                                         runtime->options->id, runtime_state_to_string(runtime->state));
        runtime->killed |= signo == SIGKILL;
        return refuse_request(keeper_link_signal(runtime->link, who, signo, 0, reply, userdata), reterr);
}

int runtime_interrupt(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        const KindInterrupt *interrupt = &runtime->kind->interrupt;
        g_autofree char *request = NULL;
        int64_t id;

        if (!interrupt->message && interrupt->signal == 0)
                return sd_bus_error_setf(reterr, RM_ERROR_NOT_SUPPORTED, "Runtimes of the kind \"%s\" can't be interrupted; use Kill or Stop.",
                                         runtime->kind->name);
        if (runtime->state != RUNTIME_READY)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" is in the state %s; only one that is ready can be interrupted.",
                                         runtime->name, runtime_state_to_string(runtime->state));
        if (interrupt->signal != 0)
                return runtime_kill(runtime, LINK_WHO_MAIN, interrupt->signal, reply, userdata, reterr);

        request = handshake_request(runtime->handshake, interrupt->message, &id);
        if (!request)
                return sd_bus_error_set(reterr, RM_ERROR_HANDSHAKE_FAILED, "The runtime has no connection to be sent a message on.");
        return refuse_request(keeper_link_send(runtime->link, request, 0, reply, userdata), reterr);
}

static int runtime_check_input(Runtime *runtime, sd_bus_error *reterr) {
        if (!runtime->options->input_pipe && !runtime->options->input_terminal)
                return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED, "The runtime has no input; start it with the option Input, \"pipe\" or \"terminal\".");
        if (!runtime->link || runtime->main_pid == 0 || !runtime_is_main_command(runtime, runtime->command))
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The command of the runtime \"%s\" doesn't run (state %s).", runtime->options->id,
                                         runtime_state_to_string(runtime->state));
        return 0;
}

int runtime_input_write(Runtime *runtime, const void *bytes, size_t size, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        int r;

        r = runtime_check_input(runtime, reterr);
        if (r < 0)
                return r;
        if (size > LIMIT_INPUT)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "WriteInput takes at most %u bytes, not %zu; use OpenInput for more.", LIMIT_INPUT,
                                         size);
        return refuse_request(keeper_link_input_write(runtime->link, bytes, size, reply, userdata), reterr);
}

int runtime_input_open(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        int r;

        r = runtime_check_input(runtime, reterr);
        if (r < 0)
                return r;
        return refuse_request(keeper_link_input_open(runtime->link, reply, userdata), reterr);
}

int runtime_input_close(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        int r;

        r = runtime_check_input(runtime, reterr);
        if (r < 0)
                return r;
        return refuse_request(keeper_link_input_close(runtime->link, reply, userdata), reterr);
}

int runtime_resize_terminal(Runtime *runtime, uint16_t rows, uint16_t columns, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        int r;

        r = runtime_check_input(runtime, reterr);
        if (r < 0)
                return r;
        if (rows == 0 || columns == 0)
                return sd_bus_error_set(reterr, SD_BUS_ERROR_INVALID_ARGS, "A terminal has at least one row and one column.");
        return refuse_request(keeper_link_resize(runtime->link, rows, columns, reply, userdata), reterr);
}
