/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See cli.h. */

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct Terminal {
        Harness *h;
        int master, slave;
        GPid pid; /* 0: it has ended */
        int code;
        struct termios before;
        GString *seen;
        size_t position; /* behind what was waited for */
};

static char **make_environment(Harness *h, const char *const *variables) {
        g_autofree char *programs = g_build_filename(h->directory, "programs", NULL), *path = g_strdup_printf("%s:%s", programs, g_getenv("PATH"));
        char **environment = g_get_environ();

        environment = g_environ_setenv(environment, "DBUS_SESSION_BUS_ADDRESS", h->bus_address, TRUE);
        environment = g_environ_setenv(environment, "PATH", path, TRUE);
        environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", TRUE);
        environment = g_environ_setenv(environment, "LANGUAGE", "en", TRUE);
        environment = g_environ_setenv(environment, "TERM", "xterm", TRUE);
        environment = g_environ_setenv(environment, "PAGER", "less", TRUE);
        for (const char *const *name = (const char *const[]){"NO_COLOR", "SYSTEMD_PAGER", "SYSTEMD_LESS", NULL}; *name; name++)
                environment = g_environ_unsetenv(environment, *name);
        for (; variables && *variables; variables++) {
                g_auto(GStrv) parts = g_strsplit(*variables, "=", 2);

                environment = g_environ_setenv(environment, parts[0], parts[1], TRUE);
        }
        return environment;
}

static GPtrArray *make_words(const char *first, va_list rest) {
        GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

        g_ptr_array_add(words, g_build_filename(harness_build_directory(), "runtimectl", NULL));
        for (const char *word = first; word; word = va_arg(rest, const char *))
                g_ptr_array_add(words, g_strdup(word));
        g_ptr_array_add(words, NULL);
        return words;
}

typedef struct Call {
        GSubprocess *process;
        GBytes *out, *err;
        gboolean done;
} Call;

static void on_communicated(GObject *process, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GError) error = NULL;
        Call *call = userdata;

        g_subprocess_communicate_finish(G_SUBPROCESS(process), result, &call->out, &call->err, &error);
        g_assert_no_error(error);
        call->done = TRUE;
}

static gboolean is_done(gpointer userdata) {
        return ((const Call *) userdata)->done;
}

static char *take_text(GBytes *bytes) {
        char *text = g_strndup(g_bytes_get_data(bytes, NULL) ?: "", g_bytes_get_size(bytes));

        g_bytes_unref(bytes);
        return text;
}

static void run(Harness *h, int code, GPtrArray *words, char **ret_out, char **ret_err) {
        g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
        g_auto(GStrv) environment = make_environment(h, NULL);
        g_autoptr(GSubprocess) process = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *line = g_strjoinv(" ", (char **) words->pdata);
        Call call = {};
        int status;

        g_subprocess_launcher_set_environ(launcher, environment);
        process = g_subprocess_launcher_spawnv(launcher, (const char *const *) words->pdata, &error);
        g_assert_no_error(error);
        g_subprocess_communicate_async(process, NULL, NULL, on_communicated, &call);
        harness_wait(h, is_done, &call, line);
        *ret_out = take_text(call.out);
        *ret_err = take_text(call.err);
        status = g_subprocess_get_if_exited(process) ? g_subprocess_get_exit_status(process) : 128 + g_subprocess_get_term_sig(process);
        if (status != code)
                harness_fail(h, "%s: exit code %d instead of %d\n%s%s", line, status, code, *ret_out, *ret_err);
}

static void assert_empty(Harness *h, const char *text) {
        if (*text)
                harness_fail(h, "this should not have been said: %s", text);
}

void cli_run(Harness *h, int code, char **ret_out, char **ret_err, ...) {
        g_autoptr(GPtrArray) words = NULL;
        g_autofree char *out = NULL, *err = NULL;
        va_list list;

        va_start(list, ret_err);
        words = make_words(va_arg(list, const char *), list);
        va_end(list);
        run(h, code, words, &out, &err);
        if (ret_out)
                *ret_out = g_steal_pointer(&out);
        else
                assert_empty(h, out);
        if (ret_err)
                *ret_err = g_steal_pointer(&err);
        else
                assert_empty(h, err);
}

char *cli_text(Harness *h, ...) {
        g_autoptr(GPtrArray) words = NULL;
        g_autofree char *err = NULL;
        char *out;
        va_list list;

        va_start(list, h);
        words = make_words(va_arg(list, const char *), list);
        va_end(list);
        run(h, 0, words, &out, &err);
        assert_empty(h, err);
        return out;
}

json_t *cli_json(Harness *h, ...) {
        g_autoptr(GPtrArray) words = NULL;
        g_autofree char *out = NULL, *err = NULL;
        json_error_t error;
        json_t *json;
        va_list list;

        va_start(list, h);
        words = make_words(va_arg(list, const char *), list);
        va_end(list);
        /* Before the verb: it is an option of all. */
        g_ptr_array_insert(words, 1, g_strdup("--json=short"));
        run(h, 0, words, &out, &err);
        assert_empty(h, err);
        json = json_loads(out, JSON_DECODE_ANY, &error);
        if (!json)
                harness_fail(h, "that is no JSON (%s): %s", error.text, out);
        return json;
}

char *cli_fails(Harness *h, int code, ...) {
        g_autoptr(GPtrArray) words = NULL;
        g_autofree char *out = NULL;
        char *err;
        va_list list;

        va_start(list, code);
        words = make_words(va_arg(list, const char *), list);
        va_end(list);
        run(h, code, words, &out, &err);
        assert_empty(h, out);
        g_assert_cmpstr(err, !=, "");
        return err;
}

void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                g_error("'%s' is not in: %s", part, text);
}

void assert_contains_not(const char *text, const char *part) {
        if (strstr(text, part))
                g_error("'%s' is in: %s", part, text);
}

void assert_member(const json_t *object, const char *key, const char *value) {
        g_assert_cmpstr(json_string_value(json_object_get(object, key)), ==, value);
}

void cli_add_program(Harness *h, const char *name, const char *script) {
        g_autofree char *file = g_build_filename("programs", name, NULL), *text = g_strdup_printf("#!/bin/sh\n%s\n", script);

        g_free(harness_add_file(h, file, text, 0755));
}

/* Terminals */

static void run_on_terminal(int slave, char **argv, char **environment) {
        if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0 || dup2(slave, STDIN_FILENO) < 0 || dup2(slave, STDOUT_FILENO) < 0 || dup2(slave, STDERR_FILENO) < 0)
                _exit(126);
        (void) execve(argv[0], argv, environment);
        _exit(127);
}

Terminal *terminal_new(Harness *h, unsigned columns, unsigned lines, const char *const *variables, ...) {
        const struct winsize size = {.ws_col = (unsigned short) columns, .ws_row = (unsigned short) lines};
        g_auto(GStrv) environment = make_environment(h, variables);
        Terminal *terminal = g_new0(Terminal, 1);
        g_autoptr(GPtrArray) words = NULL;
        va_list list;

        va_start(list, variables);
        words = make_words(va_arg(list, const char *), list);
        va_end(list);
        terminal->h = h;
        terminal->seen = g_string_new(NULL);
        terminal->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        g_assert_cmpint(terminal->master, >=, 0);
        g_assert_cmpint(grantpt(terminal->master), ==, 0);
        g_assert_cmpint(unlockpt(terminal->master), ==, 0);
        terminal->slave = open(ptsname(terminal->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        g_assert_cmpint(terminal->slave, >=, 0);
        g_assert_cmpint(ioctl(terminal->slave, TIOCSWINSZ, &size), ==, 0);
        g_assert_cmpint(tcgetattr(terminal->slave, &terminal->before), ==, 0);
        terminal->pid = fork();
        g_assert_cmpint(terminal->pid, >=, 0);
        if (terminal->pid == 0)
                run_on_terminal(terminal->slave, (char **) words->pdata, environment);
        return terminal;
}

static void read_all(Terminal *terminal) {
        char buffer[4096];
        ssize_t n;

        while ((n = read(terminal->master, buffer, sizeof(buffer))) > 0)
                for (ssize_t i = 0; i < n; i++) {
                        GString *seen = terminal->seen;

                        if (buffer[i] == '\n' && seen->len > 0 && seen->str[seen->len - 1] == '\r')
                                seen->str[seen->len - 1] = '\n';
                        else
                                g_string_append_c(seen, buffer[i]);
                }
}

static void reap(Terminal *terminal, int flags) {
        int status;

        if (terminal->pid == 0 || waitpid(terminal->pid, &status, flags) <= 0)
                return;
        terminal->pid = 0;
        terminal->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void terminal_free(Terminal *terminal) {
        if (!terminal)
                return;
        if (terminal->pid > 0)
                (void) kill(terminal->pid, SIGKILL);
        reap(terminal, 0);
        close(terminal->master);
        close(terminal->slave);
        g_string_free(terminal->seen, TRUE);
        g_free(terminal);
}

void terminal_type(Terminal *terminal, const char *keys) {
        g_assert_cmpint(write(terminal->master, keys, strlen(keys)), ==, (ssize_t) strlen(keys));
}

void terminal_kill(Terminal *terminal, int signal) {
        g_assert_cmpint(kill(terminal->pid, signal), ==, 0);
}

typedef struct Wait {
        Terminal *terminal;
        const char *text;
        void (*poke)(gpointer userdata);
        gpointer userdata;
} Wait;

static gboolean has_text(gpointer userdata) {
        Wait *wait = userdata;
        Terminal *terminal = wait->terminal;
        const char *found;

        read_all(terminal);
        found = strstr(terminal->seen->str + terminal->position, wait->text);
        if (found) {
                terminal->position = (size_t) (found - terminal->seen->str) + strlen(wait->text);
                return TRUE;
        }
        reap(terminal, WNOHANG);
        if (terminal->pid == 0) {
                read_all(terminal);
                if (!strstr(terminal->seen->str + terminal->position, wait->text))
                        harness_fail(terminal->h, "it ended with %d, and has not said '%s': %s", terminal->code, wait->text, terminal->seen->str);
        } else if (wait->poke)
                wait->poke(wait->userdata);
        return FALSE;
}

void terminal_wait_poking(Terminal *terminal, const char *text, void (*poke)(gpointer userdata), gpointer userdata) {
        Wait wait = {.terminal = terminal, .text = text, .poke = poke, .userdata = userdata};

        harness_wait(terminal->h, has_text, &wait, text);
}

void terminal_wait(Terminal *terminal, const char *text) {
        terminal_wait_poking(terminal, text, NULL, NULL);
}

static gboolean has_ended(gpointer userdata) {
        Terminal *terminal = userdata;

        read_all(terminal);
        reap(terminal, WNOHANG);
        return terminal->pid == 0;
}

int terminal_wait_exit(Terminal *terminal) {
        harness_wait(terminal->h, has_ended, terminal, "the program on the terminal ends");
        read_all(terminal);
        return terminal->code;
}

static gboolean has_stopped(gpointer userdata) {
        const Terminal *terminal = userdata;
        siginfo_t info = {};

        return waitid(P_PID, (id_t) terminal->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == terminal->pid;
}

void terminal_wait_stopped(Terminal *terminal) {
        harness_wait(terminal->h, has_stopped, terminal, "the program on the terminal stops");
}

char *terminal_text(Terminal *terminal) {
        read_all(terminal);
        return g_strdup(terminal->seen->str);
}

void terminal_assert_unchanged(Terminal *terminal) {
        struct termios now;

        g_assert_cmpint(tcgetattr(terminal->slave, &now), ==, 0);
        g_assert_cmpuint(now.c_iflag, ==, terminal->before.c_iflag);
        g_assert_cmpuint(now.c_oflag, ==, terminal->before.c_oflag);
        g_assert_cmpuint(now.c_cflag, ==, terminal->before.c_cflag);
        g_assert_cmpuint(now.c_lflag, ==, terminal->before.c_lflag);
        g_assert_cmpmem(now.c_cc, sizeof(now.c_cc), terminal->before.c_cc, sizeof(terminal->before.c_cc));
}

gboolean terminal_is_raw(Terminal *terminal) {
        struct termios now;

        g_assert_cmpint(tcgetattr(terminal->slave, &now), ==, 0);
        return !(now.c_lflag & (ICANON | ECHO));
}
