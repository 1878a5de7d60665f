/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The test's end of the wire: one request at a time, each with its answer. */

#include "as-user.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "as-user-wire.h"
#include "harness.h"
#include "util/names.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"

struct AsUser {
        char *name;
        char *bus_name;
        uid_t uid;
        GPid pid;
        int fd;
};

void outcome_clear(Outcome *outcome) {
        g_clear_pointer(&outcome->reply, g_variant_unref);
        g_clear_pointer(&outcome->error, g_free);
        g_clear_pointer(&outcome->message, g_free);
}

void seen_signal_free(gpointer data) {
        SeenSignal *signal = data;

        g_free(signal->sender);
        g_free(signal->path);
        g_free(signal->interface);
        g_free(signal->member);
        g_variant_unref(signal->body);
        g_free(signal);
}

static void wire_read(AsUser *user, const char *operation, void *data, size_t size) {
        gint64 deadline = g_get_monotonic_time() + (AS_USER_DEADLINE_MSEC + 5000) * G_GINT64_CONSTANT(1000);

        for (size_t done = 0; done < size;) {
                struct pollfd wait = {.fd = user->fd, .events = POLLIN};
                gint64 left = deadline - g_get_monotonic_time();
                ssize_t n;

                if (left <= 0 || poll(&wait, 1, (int) (left / 1000 + 1)) == 0)
                        g_error("%s did not do this in time: %s", user->name, operation);
                n = read(user->fd, (char *) data + done, size - done);
                if (n <= 0)
                        g_error("the agent of %s has ended at: %s", user->name, operation);
                done += (size_t) n;
        }
}

static GVariant *read_answer(AsUser *user, const char *operation) {
        guint32 size;
        void *data;

        wire_read(user, operation, &size, sizeof(size));
        g_assert_cmpuint(size, <=, WIRE_MAX);
        data = g_malloc(size);
        wire_read(user, operation, data, size);
        return g_variant_ref_sink(g_variant_new_from_data(G_VARIANT_TYPE(WIRE_ANSWER), data, size, FALSE, g_free, data));
}

/* The result, or NULL with the error's name. */
static Outcome ask(AsUser *user, const char *operation, GVariant *arguments) {
        g_autoptr(GVariant) request = g_variant_ref_sink(g_variant_new(WIRE_REQUEST, operation, arguments)), answer = NULL;
        guint32 size = (guint32) g_variant_get_size(request);
        const char *data = g_variant_get_data(request);
        Outcome outcome = {0};

        if (write(user->fd, &size, sizeof(size)) != sizeof(size))
                g_error("the agent of %s has ended before: %s", user->name, operation);
        for (size_t done = 0; done < size;) {
                ssize_t n = write(user->fd, data + done, size - done);

                if (n <= 0)
                        g_error("the agent of %s has ended at: %s", user->name, operation);
                done += (size_t) n;
        }
        answer = read_answer(user, operation);
        g_variant_get(answer, "(ssv)", &outcome.error, &outcome.message, &outcome.reply);
        if (outcome.error[0] == '\0') {
                g_clear_pointer(&outcome.error, g_free);
                g_clear_pointer(&outcome.message, g_free);
        } else {
                g_clear_pointer(&outcome.reply, g_variant_unref);
        }
        return outcome;
}

static GVariant *ask_surely(AsUser *user, const char *operation, GVariant *arguments) {
        Outcome outcome = ask(user, operation, arguments);

        if (!outcome.reply)
                g_error("%s can't do this: %s: %s, %s", user->name, operation, outcome.error, outcome.message);
        return outcome.reply;
}

/* "" or the error. */
static char *ask_for_error(AsUser *user, const char *operation, GVariant *arguments) {
        g_auto(Outcome) outcome = ask(user, operation, arguments);

        return outcome.error ? g_steal_pointer(&outcome.error) : g_strdup("");
}

AsUser *as_user_new(const char *name) {
        g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *folder = g_path_get_dirname(self),
                        *program = g_build_filename(folder, "..", "lib", "as-user-agent", NULL);
        const char *argv[] = {program, name, NULL};
        g_autoptr(GVariant) hello = NULL, value = NULL;
        g_autoptr(GError) error = NULL;
        AsUser *user = g_new0(AsUser, 1);
        int pair[2], wire = WIRE_FD;
        guint32 uid;

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        user->name = g_strdup(name);
        user->fd = pair[0];
        if (!g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, -1, -1, &pair[1], &wire, 1, &user->pid, NULL, NULL,
                                              NULL, &error))
                g_error("%s", error->message);
        close(pair[1]);
        hello = read_answer(user, "beginning");
        g_variant_get(hello, "(&s&sv)", NULL, NULL, &value);
        g_variant_get(value, "(su)", &user->bus_name, &uid);
        user->uid = uid;
        return user;
}

void as_user_free(AsUser *user) {
        if (!user)
                return;
        close(user->fd);
        kill(user->pid, SIGKILL);
        (void) waitpid(user->pid, NULL, 0);
        g_free(user->name);
        g_free(user->bus_name);
        g_free(user);
}

const char *as_user_get_name(AsUser *user) {
        return user->name;
}

const char *as_user_get_bus_name(AsUser *user) {
        return user->bus_name;
}

uid_t as_user_get_uid(AsUser *user) {
        return user->uid;
}

pid_t as_user_get_pid(AsUser *user) {
        return user->pid;
}

static GVariant *pack_call(const char *destination, const char *path, const char *interface, const char *method, GVariant *arguments, gboolean interactive) {
        return g_variant_new(WIRE_CALL, destination, path, interface, method, arguments ?: g_variant_new("()"), AS_USER_DEADLINE_MSEC, interactive);
}

static GVariant *pack_own_call(const char *path, const char *method, GVariant *arguments, gboolean interactive) {
        return pack_call(RM_BUS_NAME, path ?: RM_OBJECT_PATH, path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE, method, arguments, interactive);
}

/* A reply comes in a variant. */
static Outcome unpack_reply(Outcome outcome) {
        if (outcome.reply) {
                GVariant *reply = g_variant_get_variant(outcome.reply);

                g_variant_unref(outcome.reply);
                outcome.reply = reply;
        }
        return outcome;
}

Outcome as_user_try_at(AsUser *user, const char *destination, const char *path, const char *interface, const char *method, GVariant *arguments) {
        return unpack_reply(ask(user, "call", pack_call(destination, path, interface, method, arguments, FALSE)));
}

GVariant *as_user_call_at(AsUser *user, const char *destination, const char *path, const char *interface, const char *method, GVariant *arguments) {
        Outcome outcome = as_user_try_at(user, destination, path, interface, method, arguments);

        if (!outcome.reply)
                g_error("%s: %s of %s at %s failed with %s: %s", user->name, method, path, destination, outcome.error, outcome.message);
        return outcome.reply;
}

Outcome as_user_try(AsUser *user, const char *path, const char *method, GVariant *arguments) {
        return unpack_reply(ask(user, "call", pack_own_call(path, method, arguments, FALSE)));
}

Outcome as_user_try_interactive(AsUser *user, const char *path, const char *method, GVariant *arguments) {
        return unpack_reply(ask(user, "call", pack_own_call(path, method, arguments, TRUE)));
}

GVariant *as_user_call(AsUser *user, const char *path, const char *method, GVariant *arguments) {
        Outcome outcome = as_user_try(user, path, method, arguments);

        if (!outcome.reply)
                g_error("%s: %s of %s failed with %s: %s", user->name, method, path ?: "the manager", outcome.error, outcome.message);
        return outcome.reply;
}

char *as_user_call_fails(AsUser *user, const char *path, const char *method, GVariant *arguments, const char *error) {
        g_autofree char *full = strchr(error, '.') ? g_strdup(error) : g_strconcat(RM_ERROR_PREFIX, error, NULL);
        g_auto(Outcome) outcome = as_user_try(user, path, method, arguments);

        if (outcome.reply) {
                g_autofree char *text = g_variant_print(outcome.reply, FALSE);

                g_error("%s: %s of %s should have failed with %s, but answered %s", user->name, method, path ?: "the manager", full, text);
        }
        if (strcmp(outcome.error, full) != 0)
                g_error("%s: %s of %s should have failed with %s, not with %s: %s", user->name, method, path ?: "the manager", full, outcome.error,
                        outcome.message);
        g_assert_cmpstr(outcome.message, !=, "");
        return g_steal_pointer(&outcome.message);
}

guint as_user_begin(AsUser *user, const char *path, const char *method, GVariant *arguments) {
        g_autoptr(GVariant) cookie = ask_surely(user, "begin", pack_own_call(path, method, arguments, FALSE));

        return g_variant_get_uint32(cookie);
}

Outcome as_user_finish(AsUser *user, guint cookie) {
        return unpack_reply(ask(user, "finish", g_variant_new_uint32(cookie)));
}

GVariant *as_user_get(AsUser *user, const char *path, const char *property) {
        g_autoptr(GVariant) reply = as_user_call_at(user, RM_BUS_NAME, path ?: RM_OBJECT_PATH, PROPERTIES, "Get",
                                                    g_variant_new("(ss)", path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE, property));
        GVariant *value;

        g_variant_get(reply, "(v)", &value);
        return value;
}

char *as_user_get_string(AsUser *user, const char *path, const char *property) {
        g_autoptr(GVariant) value = as_user_get(user, path, property);

        return g_variant_dup_string(value, NULL);
}

guint32 as_user_get_number(AsUser *user, const char *path, const char *property) {
        g_autoptr(GVariant) value = as_user_get(user, path, property);

        return g_variant_get_uint32(value);
}

char *as_user_start(AsUser *user, const char *kind, GVariant *options) {
        g_autoptr(GVariant) reply = as_user_call(user, NULL, "StartRuntime", g_variant_new("(s@a{sv})", kind, options));
        char *path;

        g_variant_get(reply, "(so)", NULL, &path);
        return path;
}

char *as_user_start_shell(AsUser *user, const char *script) {
        return as_user_start(user, "command", options_shell(script, NULL));
}

static GVariant *wait_runtime(AsUser *user, const char *path, const char *until) {
        g_autofree char *own = g_strdup_printf("u%u_", (unsigned) user->uid);
        const char *name = strrchr(path, '/') + 1;

        /* Of others' runtimes the manager takes the name alone. */
        return as_user_call(user, NULL, "WaitRuntime", g_variant_new("(ss)", g_str_has_prefix(name, own) ? name + strlen(own) : name, until));
}

GVariant *as_user_wait_ended(AsUser *user, const char *path) {
        g_autoptr(GVariant) reply = wait_runtime(user, path, "ended");

        return g_variant_get_child_value(reply, 1);
}

char *as_user_wait_ready(AsUser *user, const char *path) {
        g_autoptr(GVariant) reply = wait_runtime(user, path, "ready");
        char *state;

        g_variant_get(reply, "(sa{sv})", &state, NULL);
        return state;
}

void as_user_stop(AsUser *user, const char *path) {
        g_auto(Outcome) outcome = as_user_try(user, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)"));

        /* It may have ended by itself. */
        if (!outcome.reply && strcmp(outcome.error, RM_ERROR_PREFIX "BadState") != 0)
                g_error("%s: Stop of %s failed with %s: %s", user->name, path, outcome.error, outcome.message);
        g_variant_unref(as_user_wait_ended(user, path));
}

char *as_user_read_text(AsUser *user, const char *path) {
        g_autoptr(GString) text = g_string_new(NULL);
        gboolean more = TRUE;
        guint64 after = 0;

        while (more) {
                g_autoptr(GVariant) reply = as_user_call(user, path, "ReadOutputText", g_variant_new("(tu)", after, 0));
                g_autoptr(GVariantIter) lines = NULL;
                const char *line;
                guint32 flags;

                g_variant_get(reply, "(a(tytus)tb)", &lines, NULL, &more);
                while (g_variant_iter_next(lines, "(tytu&s)", &after, NULL, NULL, &flags, &line))
                        g_string_append_printf(text, "%s%s", line, flags & 5 ? "" : "\n");
        }
        return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Looks again and again: to subscribe would change what the test may be about. */
void as_user_wait_text(AsUser *user, const char *path, const char *text) {
        gint64 deadline = g_get_monotonic_time() + AS_USER_DEADLINE_MSEC * G_GINT64_CONSTANT(1000);
        g_autofree char *found = NULL;

        while (found = as_user_read_text(user, path), !strstr(found, text)) {
                g_autofree char *state = as_user_get_string(user, path, "State");
                g_autofree char *later = ask_for_error(user, "await", g_variant_new("(ssuu)", path, "OutputLines", G_MAXUINT32, 20));

                g_assert_cmpstr(later, ==, "ETIME");
                if (g_get_monotonic_time() > deadline || strcmp(state, "ended") == 0)
                        g_error("%s: \"%s\" is not in the output of %s, which is %s and printed: %.2000s", user->name, text, path, state, found);
                g_clear_pointer(&found, g_free);
        }
}

GPtrArray *as_user_get_signals(AsUser *user) {
        g_autoptr(GVariant) list = ask_surely(user, "signals", g_variant_new_boolean(FALSE));
        GPtrArray *signals = g_ptr_array_new_with_free_func(seen_signal_free);
        GVariantIter iter;
        SeenSignal s;

        g_variant_iter_init(&iter, list);
        while (g_variant_iter_next(&iter, "(ssssv)", &s.sender, &s.path, &s.interface, &s.member, &s.body))
                g_ptr_array_add(signals, g_memdup2(&s, sizeof(s)));
        return signals;
}

void as_user_forget_signals(AsUser *user) {
        g_variant_unref(ask_surely(user, "signals", g_variant_new_boolean(TRUE)));
}

GVariant *as_user_wait_signal(AsUser *user, const char *path, const char *member, guint n) {
        g_auto(Outcome) outcome = ask(user, "await", g_variant_new("(ssuu)", path ?: "", member ?: "", n, AS_USER_DEADLINE_MSEC));
        GVariant *body;

        if (!outcome.reply) {
                g_autoptr(GPtrArray) signals = as_user_get_signals(user);

                for (guint i = 0; i < signals->len; i++) {
                        const SeenSignal *s = signals->pdata[i];
                        g_autofree char *text = g_variant_print(s->body, FALSE);

                        g_printerr("# %s saw: %s %s %.300s\n", user->name, s->path, s->member, text);
                }
                g_error("%s was not sent %u × %s of %s", user->name, n, member ?: "any", path ?: "any");
        }
        g_variant_get(outcome.reply, "(ssssv)", NULL, NULL, NULL, NULL, &body);
        return body;
}

Outcome as_user_add_match(AsUser *user, const char *rule) {
        return as_user_try_at(user, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", g_variant_new("(s)", rule));
}

void as_user_sync(AsUser *user) {
        g_variant_unref(as_user_call_at(user, RM_BUS_NAME, RM_OBJECT_PATH, PROPERTIES, "Get", g_variant_new("(ss)", RM_MANAGER_INTERFACE, "Version")));
}

int as_user_shell(AsUser *user, const char *script, char **ret_output) {
        g_autoptr(GVariant) result = ask_surely(user, "shell", g_variant_new_string(script));
        g_autofree char *output = NULL;
        int status;

        g_variant_get(result, "(is)", &status, &output);
        if (ret_output)
                *ret_output = g_steal_pointer(&output);
        return status;
}

char *as_user_run(AsUser *user, const char *format, ...) {
        g_autofree char *script = NULL;
        char *output;
        va_list list;
        int status;

        va_start(list, format);
        script = g_strdup_vprintf(format, list);
        va_end(list);
        status = as_user_shell(user, script, &output);
        if (status != 0)
                g_error("%s: \"%s\" exited with %d and printed: %s", user->name, script, status, output);
        return output;
}

char *as_user_connect(AsUser *user, const char *path, const char *type) {
        return ask_for_error(user, "connect", g_variant_new("(ss)", path, type));
}

char *as_user_trace(AsUser *user, pid_t pid) {
        return ask_for_error(user, "trace", g_variant_new("(ui)", (guint32) pid, 0));
}

char *as_user_take_fd(AsUser *user, pid_t pid, int fd) {
        return ask_for_error(user, "take-fd", g_variant_new("(ui)", (guint32) pid, fd));
}

char *as_user_fd_write(AsUser *user, guint fd, const char *text) {
        return ask_for_error(user, "fd-write", g_variant_new("(u@ay)", fd, g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, text, strlen(text), 1)));
}

char *as_user_fd_read(AsUser *user, guint fd) {
        g_autoptr(GVariant) bytes = ask_surely(user, "fd-read", g_variant_new_uint32(fd));
        gsize size;
        const char *data = g_variant_get_fixed_array(bytes, &size, 1);

        return g_strndup(data, size);
}

void as_user_fd_close(AsUser *user, guint fd) {
        g_variant_unref(ask_surely(user, "fd-close", g_variant_new_uint32(fd)));
}

void as_user_freeze(AsUser *user) {
        g_assert_cmpint(kill(user->pid, SIGSTOP), ==, 0);
        g_assert_cmpint(waitpid(user->pid, NULL, WUNTRACED), ==, user->pid);
}

void as_user_thaw(AsUser *user) {
        g_assert_cmpint(kill(user->pid, SIGCONT), ==, 0);
}

char *as_user_raw_open(AsUser *user) {
        g_autoptr(GVariant) name = ask_surely(user, "raw-open", g_variant_new("()"));

        return g_variant_dup_string(name, NULL);
}

guint as_user_raw_call(AsUser *user, const char *path, const char *method, GVariant *arguments, guint count) {
        g_autoptr(GVariant) n = ask_surely(user, "raw-call",
                                           g_variant_new("(ssssvibu)", RM_BUS_NAME, path ?: RM_OBJECT_PATH, path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE,
                                                         method, arguments ?: g_variant_new("()"), 0, FALSE, count));

        return g_variant_get_uint32(n);
}

char *as_user_raw_send(AsUser *user, const void *data, size_t size) {
        return ask_for_error(user, "raw-send", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, data, size, 1));
}

gboolean as_user_raw_is_closed(AsUser *user, guint msec) {
        g_autoptr(GVariant) closed = ask_surely(user, "raw-closed", g_variant_new_uint32(msec));

        return g_variant_get_boolean(closed);
}

void as_user_raw_close(AsUser *user) {
        g_variant_unref(ask_surely(user, "raw-close", g_variant_new("()")));
}
