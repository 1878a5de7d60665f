/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See console.h. */

#include "cli/console.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/input-calls.h"
#include "util/macro.h"
#include "util/names.h"

#define KEY_LEAVE 0x1d /* Ctrl-], as telnet and machinectl have it */

static const int end_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

struct Console {
        sd_bus *bus;
        const char *path;
        ConsoleLeft on_left;
        ConsoleRefused on_refused;
        void *userdata;

        InputCalls *keys;
        sd_event_source *resized, *ended[ELEMENTSOF(end_signals)];
        struct termios before;
        bool changed;
};

static void console_send_size(Console *console) {
        struct winsize size;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
                return;
        /* Where it can't be said it isn't missed. */
        (void) sd_bus_call_method_async(console->bus, NULL, RM_BUS_NAME, console->path, RM_RUNTIME_INTERFACE, "ResizeTerminal", NULL, NULL, "qq", size.ws_row,
                                        size.ws_col);
}

static int on_resized(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        console_send_size(userdata);
        return 0;
}

static int on_end_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Console *console = userdata;

        console->on_left((int) info->ssi_signo, console->userdata);
        return 0;
}

static void console_write_last(Console *console, const uint8_t *bytes, size_t size) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(console->bus, &message, RM_BUS_NAME, console->path, RM_RUNTIME_INTERFACE, "WriteInput");
        if (r >= 0)
                r = sd_bus_message_append_array(message, 'y', bytes, size);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(message, 0);
        if (r >= 0)
                (void) sd_bus_send(console->bus, message, NULL);
}

static size_t on_keys(const uint8_t *bytes, size_t size, void *userdata) {
        const uint8_t *leave = memchr(bytes, KEY_LEAVE, size);
        Console *console = userdata;

        if (!leave)
                return size;
        /* It may go with what was typed ahead of it; nobody waits for an answer to that. */
        if (leave > bytes)
                console_write_last(console, bytes, (size_t) (leave - bytes));
        console->on_left(0, console->userdata);
        return 0;
}

static void on_keys_refused(const sd_bus_error *error, int r, void *userdata) {
        Console *console = userdata;

        console->on_refused(error, r, console->userdata);
}

void console_continue(Console *console) {
        if (!console)
                return;
        console_send_size(console);
        input_calls_continue(console->keys);
}

static int console_make_raw(Console *console) {
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &console->before) < 0)
                return -errno;
        raw = console->before;
        cfmakeraw(&raw);
        /* What was typed before is for the runtime, too. */
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
                return -errno;
        console->changed = true;
        return 0;
}

int console_new(sd_event *event, sd_bus *bus, const char *path, ConsoleLeft on_left, ConsoleRefused on_refused, void *userdata, Console **ret) {
        g_autoptr(Console) console = g_new0(Console, 1);
        int fd, r;

        console->bus = bus;
        console->path = path;
        console->on_left = on_left;
        console->on_refused = on_refused;
        console->userdata = userdata;
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        console->keys = input_calls_new(event, bus, path, fd, on_keys, on_keys_refused, console);
        if (!console->keys)
                return -ENOMEM;
        r = sd_event_add_signal(event, &console->resized, SIGWINCH, on_resized, console);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(end_signals); i++) {
                r = sd_event_add_signal(event, &console->ended[i], end_signals[i], on_end_signal, console);
                if (r < 0)
                        return r;
        }
        r = console_make_raw(console);
        if (r < 0)
                return r;
        /* Ahead of what has been typed already: a program asks for it when it starts. */
        console_send_size(console);
        *ret = TAKE_PTR(console);
        return 0;
}

Console *console_free(Console *console) {
        if (!console)
                return NULL;
        input_calls_free(console->keys);
        sd_event_source_disable_unref(console->resized);
        for (size_t i = 0; i < ELEMENTSOF(end_signals); i++)
                sd_event_source_disable_unref(console->ended[i]);
        if (console->changed)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &console->before);
        g_free(console);
        return NULL;
}
