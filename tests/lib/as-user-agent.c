/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Somebody else: a process of another user, with that user's ids, groups and home, and a connection of its own to the system bus, that does what the test
 * asks for, also what no honest client does. Everything it can, that user can; nothing here is a part of the product.
 *
 * Usage: as-user-agent USER, with the test at WIRE_FD. Ends with the test. */

#include "as-user-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "as-user-raw.h"

/* That go with a call that has a handle. */
#define CALL_FDS 8

typedef struct Seen {
        char *sender, *path, *interface, *member;
        GVariant *body;
} Seen;

typedef struct Agent {
        GDBusConnection *bus;
        GArray *fds;       /* int: came with replies */
        GHashTable *begun; /* cookie → Pending */
        guint last_cookie;
        RawConnection *raw;

        GMutex lock; /* of seen, which GDBus' own thread fills */
        GCond more;
        GPtrArray *seen;
} Agent;

typedef struct Pending {
        Agent *agent;
        GDBusMessage *reply;
        GError *error;
        gboolean done;
} Pending;

typedef struct Answer {
        char *error;
        char *message;
        GVariant *value;
} Answer;

typedef void (*Operation)(Agent *agent, GVariant *arguments, Answer *answer);

static void answer_errno(Answer *answer, int error) {
        answer->error = g_strdup(strerrorname_np(error) ?: "?");
        answer->message = g_strdup(g_strerror(error));
}

static void answer_error(Answer *answer, GError *error) {
        answer->error = g_dbus_error_get_remote_error(error) ?: g_strdup("local");
        (void) g_dbus_error_strip_remote_error(error);
        answer->message = g_strdup(error->message);
}

static void seen_free(gpointer data) {
        Seen *seen = data;

        g_free(seen->sender);
        g_free(seen->path);
        g_free(seen->interface);
        g_free(seen->member);
        g_variant_unref(seen->body);
        g_free(seen);
}

/* Whatever comes, to us or to all, and whether or not it was asked for; but for what the bus itself says. */
static GDBusMessage *on_message(GDBusConnection *bus, GDBusMessage *message, gboolean incoming, gpointer userdata) {
        Agent *agent = userdata;
        GVariant *body = g_dbus_message_get_body(message);
        Seen *seen;

        if (!incoming || g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_SIGNAL ||
            g_strcmp0(g_dbus_message_get_sender(message), "org.freedesktop.DBus") == 0)
                return message;
        seen = g_new(Seen, 1);
        *seen = (Seen){g_strdup(g_dbus_message_get_sender(message)), g_strdup(g_dbus_message_get_path(message)),
                       g_strdup(g_dbus_message_get_interface(message)), g_strdup(g_dbus_message_get_member(message)),
                       body ? g_variant_ref(body) : g_variant_ref_sink(g_variant_new("()"))};
        g_mutex_lock(&agent->lock);
        g_ptr_array_add(agent->seen, seen);
        g_cond_broadcast(&agent->more);
        g_mutex_unlock(&agent->lock);
        return message;
}

static gboolean has_handles(GVariant *value) {
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_HANDLE))
                return TRUE;
        if (!g_variant_is_container(value))
                return FALSE;
        for (gsize i = 0; i < MIN(g_variant_n_children(value), 16); i++) {
                g_autoptr(GVariant) child = g_variant_get_child_value(value, i);

                if (has_handles(child))
                        return TRUE;
        }
        return FALSE;
}

/* For whatever handles there are, and more. */
static void attach_fds(GDBusMessage *message) {
        g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        for (unsigned i = 0; i < CALL_FDS && fd >= 0; i++)
                (void) g_unix_fd_list_append(list, fd, NULL);
        if (fd >= 0)
                (void) close(fd);
        g_dbus_message_set_unix_fd_list(message, list);
}

static GDBusMessage *new_call(GVariant *arguments, int *ret_timeout_msec) {
        const char *destination, *path, *interface, *method;
        g_autoptr(GVariant) body = NULL;
        GDBusMessage *message;
        gboolean interactive;

        g_variant_get(arguments, "(&s&s&s&svib)", &destination, &path, &interface, &method, &body, ret_timeout_msec, &interactive);
        message = g_dbus_message_new_method_call(destination, path, interface, method);
        if (interactive)
                g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);
        if (has_handles(body))
                attach_fds(message);
        g_dbus_message_set_body(message, body);
        return message;
}

static void answer_reply(Agent *agent, GDBusMessage *reply, GError *error, Answer *answer) {
        GUnixFDList *list;
        GVariant *body;

        if (!reply || g_dbus_message_to_gerror(reply, &error)) {
                answer_error(answer, error);
                g_clear_error(&error);
                return;
        }
        list = g_dbus_message_get_unix_fd_list(reply);
        if (list) {
                int n;
                g_autofree int *fds = g_unix_fd_list_steal_fds(list, &n);

                g_array_append_vals(agent->fds, fds, (guint) n);
        }
        body = g_dbus_message_get_body(reply);
        answer->value = g_variant_new_variant(body ?: g_variant_new("()"));
}

static void on_reply(GObject *source, GAsyncResult *result, gpointer userdata) {
        Pending *pending = userdata;

        pending->reply = g_dbus_connection_send_message_with_reply_finish(pending->agent->bus, result, &pending->error);
        pending->done = TRUE;
}

static Pending *begin(Agent *agent, GVariant *arguments) {
        Pending *pending = g_new0(Pending, 1);
        g_autoptr(GDBusMessage) message = NULL;
        int timeout_msec;

        pending->agent = agent;
        message = new_call(arguments, &timeout_msec);
        g_dbus_connection_send_message_with_reply(agent->bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, timeout_msec, NULL, NULL, on_reply, pending);
        return pending;
}

static void finish(Agent *agent, Pending *pending, Answer *answer) {
        while (!pending->done)
                g_main_context_iteration(NULL, TRUE);
        answer_reply(agent, pending->reply, pending->error, answer);
        g_clear_object(&pending->reply);
        g_free(pending);
}

static void operation_call(Agent *agent, GVariant *arguments, Answer *answer) {
        finish(agent, begin(agent, arguments), answer);
}

static void operation_begin(Agent *agent, GVariant *arguments, Answer *answer) {
        agent->last_cookie++;
        g_hash_table_insert(agent->begun, GUINT_TO_POINTER(agent->last_cookie), begin(agent, arguments));
        /* The next request may be a SIGSTOP: then it shall have been sent. */
        (void) g_dbus_connection_flush_sync(agent->bus, NULL, NULL);
        answer->value = g_variant_new_uint32(agent->last_cookie);
}

static void operation_finish(Agent *agent, GVariant *arguments, Answer *answer) {
        gpointer pending = NULL;

        if (!g_hash_table_steal_extended(agent->begun, GUINT_TO_POINTER(g_variant_get_uint32(arguments)), NULL, &pending))
                return answer_errno(answer, ENOENT);
        finish(agent, pending, answer);
}

static GVariant *seen_to_variant(const Seen *seen) {
        return g_variant_new("(ssssv)", seen->sender ?: "", seen->path, seen->interface, seen->member, seen->body);
}

static void operation_signals(Agent *agent, GVariant *arguments, Answer *answer) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a(ssssv)"));
        g_mutex_lock(&agent->lock);
        for (guint i = 0; i < agent->seen->len; i++)
                g_variant_builder_add_value(&builder, seen_to_variant(agent->seen->pdata[i]));
        if (g_variant_get_boolean(arguments))
                g_ptr_array_set_size(agent->seen, 0);
        g_mutex_unlock(&agent->lock);
        answer->value = g_variant_builder_end(&builder);
}

static const Seen *find_seen(Agent *agent, const char *path, const char *member, guint count) {
        for (guint i = 0; i < agent->seen->len; i++) {
                const Seen *seen = agent->seen->pdata[i];

                if ((path[0] == '\0' || strcmp(seen->path, path) == 0) && (member[0] == '\0' || strcmp(seen->member, member) == 0) && --count == 0)
                        return seen;
        }
        return NULL;
}

static void operation_await(Agent *agent, GVariant *arguments, Answer *answer) {
        const char *path, *member;
        guint count, msec;
        const Seen *seen;
        gint64 deadline;

        g_variant_get(arguments, "(&s&suu)", &path, &member, &count, &msec);
        deadline = g_get_monotonic_time() + (gint64) msec * 1000;
        g_mutex_lock(&agent->lock);
        while (!(seen = find_seen(agent, path, member, count)))
                if (!g_cond_wait_until(&agent->more, &agent->lock, deadline))
                        break;
        if (seen)
                answer->value = seen_to_variant(seen);
        g_mutex_unlock(&agent->lock);
        if (!answer->value)
                answer_errno(answer, ETIME);
}

static void operation_connect(Agent *agent, GVariant *arguments, Answer *answer) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const char *path, *type;
        int fd;

        g_variant_get(arguments, "(&s&s)", &path, &type);
        (void) g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        fd = socket(AF_UNIX, (strcmp(type, "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                answer_errno(answer, errno);
        if (fd >= 0)
                close(fd);
}

static void operation_trace(Agent *agent, GVariant *arguments, Answer *answer) {
        guint pid;

        g_variant_get(arguments, "(ui)", &pid, NULL);
        if (ptrace(PTRACE_SEIZE, (pid_t) pid, NULL, NULL) < 0)
                return answer_errno(answer, errno);
        (void) ptrace(PTRACE_DETACH, (pid_t) pid, NULL, NULL);
}

static void operation_take_fd(Agent *agent, GVariant *arguments, Answer *answer) {
        int pidfd, theirs, fd = -1;
        guint pid;

        g_variant_get(arguments, "(ui)", &pid, &theirs);
        pidfd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0);
        if (pidfd >= 0)
                fd = (int) syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
        if (fd < 0)
                answer_errno(answer, errno);
        else
                close(fd);
        if (pidfd >= 0)
                close(pidfd);
}

static int *find_fd(Agent *agent, guint i, Answer *answer) {
        if (i < agent->fds->len && g_array_index(agent->fds, int, i) >= 0)
                return &g_array_index(agent->fds, int, i);
        answer_errno(answer, EBADF);
        return NULL;
}

static void operation_fd_write(Agent *agent, GVariant *arguments, Answer *answer) {
        g_autoptr(GVariant) bytes = NULL;
        const char *data;
        gsize size;
        guint i;
        int *fd;

        g_variant_get(arguments, "(u@ay)", &i, &bytes);
        data = g_variant_get_fixed_array(bytes, &size, 1);
        fd = find_fd(agent, i, answer);
        while (fd && size > 0) {
                ssize_t n = write(*fd, data, size);

                if (n < 0)
                        return answer_errno(answer, errno);
                data += n;
                size -= (gsize) n;
        }
}

static void operation_fd_read(Agent *agent, GVariant *arguments, Answer *answer) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        int *fd = find_fd(agent, g_variant_get_uint32(arguments), answer);
        guint8 buffer[4096];
        ssize_t n;

        if (!fd)
                return;
        while ((n = read(*fd, buffer, sizeof(buffer))) > 0)
                g_byte_array_append(bytes, buffer, (guint) n);
        if (n < 0)
                return answer_errno(answer, errno);
        answer->value = g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, bytes->data, bytes->len, 1);
}

static void operation_fd_close(Agent *agent, GVariant *arguments, Answer *answer) {
        int *fd = find_fd(agent, g_variant_get_uint32(arguments), answer);

        if (fd) {
                close(*fd);
                *fd = -1;
        }
}

static void operation_shell(Agent *agent, GVariant *arguments, Answer *answer) {
        const char *argv[] = {"sh", "-c", g_variant_get_string(arguments, NULL), NULL};
        g_autoptr(GSubprocess) shell = NULL;
        g_autoptr(GBytes) output = NULL;
        g_autoptr(GError) error = NULL;
        g_autofree char *text = NULL;
        int status;

        shell = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, &error);
        if (!shell || !g_subprocess_communicate(shell, NULL, NULL, &output, NULL, &error))
                return answer_error(answer, error);
        status = g_subprocess_get_if_exited(shell) ? g_subprocess_get_exit_status(shell) : 128 + g_subprocess_get_term_sig(shell);
        text = g_utf8_make_valid(g_bytes_get_data(output, NULL) ?: "", (gssize) g_bytes_get_size(output));
        answer->value = g_variant_new("(is)", status, text);
}

static void operation_raw_open(Agent *agent, GVariant *arguments, Answer *answer) {
        const char *name;

        raw_connection_free(agent->raw);
        agent->raw = raw_connection_new(&name);
        if (!agent->raw)
                return answer_errno(answer, errno);
        answer->value = g_variant_new_string(name);
}

static void operation_raw_call(Agent *agent, GVariant *arguments, Answer *answer) {
        const char *destination, *path, *interface, *method;
        g_autoptr(GVariant) body = NULL, call = NULL;
        g_autoptr(GDBusMessage) message = NULL;
        guint count, n = 0;
        int timeout_msec;

        g_variant_get(arguments, "(&s&s&s&svibu)", &destination, &path, &interface, &method, &body, NULL, NULL, &count);
        call = g_variant_ref_sink(g_variant_new(WIRE_CALL, destination, path, interface, method, body, 0, FALSE));
        message = new_call(call, &timeout_msec);
        while (agent->raw && n < count && raw_connection_send_message(agent->raw, message) >= 0)
                n++;
        answer->value = g_variant_new_uint32(n);
}

static void operation_raw_send(Agent *agent, GVariant *arguments, Answer *answer) {
        gsize size;
        const void *data = g_variant_get_fixed_array(arguments, &size, 1);
        int r = agent->raw ? raw_connection_send(agent->raw, data, size) : -ENOTCONN;

        if (r < 0)
                answer_errno(answer, -r);
}

static void operation_raw_closed(Agent *agent, GVariant *arguments, Answer *answer) {
        answer->value = g_variant_new_boolean(!agent->raw || raw_connection_is_closed(agent->raw, g_variant_get_uint32(arguments)));
}

static void operation_raw_close(Agent *agent, GVariant *arguments, Answer *answer) {
        g_clear_pointer(&agent->raw, raw_connection_free);
}

static const struct {
        const char *name;
        const char *arguments;
        Operation run;
} operations[] = {
        {"call", WIRE_CALL, operation_call},       {"begin", WIRE_CALL, operation_begin},          {"finish", "u", operation_finish},
        {"signals", "b", operation_signals},       {"await", "(ssuu)", operation_await},           {"connect", "(ss)", operation_connect},
        {"trace", "(ui)", operation_trace},        {"take-fd", "(ui)", operation_take_fd},         {"fd-write", "(uay)", operation_fd_write},
        {"fd-read", "u", operation_fd_read},       {"fd-close", "u", operation_fd_close},          {"shell", "s", operation_shell},
        {"raw-open", "()", operation_raw_open},    {"raw-call", "(ssssvibu)", operation_raw_call}, {"raw-send", "ay", operation_raw_send},
        {"raw-closed", "u", operation_raw_closed}, {"raw-close", "()", operation_raw_close},
};

static void die(const char *what) {
        fprintf(stderr, "# as-user-agent: %s: %s\n", what, g_strerror(errno));
        exit(1);
}

static void become(const char *name) {
        const struct passwd *user = getpwnam(name);

        if (!user || initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0)
                die(name);
        /* After the change of user, which clears it. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (clearenv() < 0 || setenv("HOME", user->pw_dir, 1) < 0 || setenv("USER", name, 1) < 0 || setenv("LOGNAME", name, 1) < 0 ||
            setenv("SHELL", user->pw_shell, 1) < 0 || setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1) < 0 || chdir(user->pw_dir) < 0)
                die("environment");
        umask(022);
}

static gboolean read_all(void *data, size_t size) {
        for (size_t done = 0; done < size;) {
                ssize_t n = read(WIRE_FD, (char *) data + done, size - done);

                if (n <= 0)
                        return FALSE;
                done += (size_t) n;
        }
        return TRUE;
}

/* NULL: the test has ended. What is sent to us meanwhile is read by GDBus' thread. */
static GVariant *read_request(void) {
        guint32 size;
        void *data;

        if (!read_all(&size, sizeof(size)))
                return NULL;
        g_assert_cmpuint(size, <=, WIRE_MAX);
        data = g_malloc(size);
        if (!read_all(data, size))
                return NULL;
        return g_variant_ref_sink(g_variant_new_from_data(G_VARIANT_TYPE(WIRE_REQUEST), data, size, FALSE, g_free, data));
}

static void write_answer(Answer *answer) {
        g_autoptr(GVariant) variant =
                g_variant_ref_sink(g_variant_new(WIRE_ANSWER, answer->error ?: "", answer->message ?: "", answer->value ?: g_variant_new("()")));
        guint32 size = (guint32) g_variant_get_size(variant);
        const char *data = g_variant_get_data(variant);

        if (write(WIRE_FD, &size, sizeof(size)) != sizeof(size))
                die("test");
        for (size_t done = 0; done < size;) {
                ssize_t n = write(WIRE_FD, data + done, size - done);

                if (n <= 0)
                        die("test");
                done += (size_t) n;
        }
        g_free(answer->error);
        g_free(answer->message);
}

static void serve(Agent *agent, GVariant *request) {
        const char *name;
        g_autoptr(GVariant) arguments = NULL;
        Answer answer = {0};

        g_variant_get(request, "(&sv)", &name, &arguments);
        for (size_t i = 0; i < G_N_ELEMENTS(operations); i++)
                if (strcmp(operations[i].name, name) == 0 && g_variant_is_of_type(arguments, G_VARIANT_TYPE(operations[i].arguments))) {
                        operations[i].run(agent, arguments, &answer);
                        write_answer(&answer);
                        return;
                }
        g_error("no operation %s with %s", name, g_variant_get_type_string(arguments));
}

int main(int argc, char *argv[]) {
        Agent agent = {0};
        g_autoptr(GError) error = NULL;
        Answer hello = {0};
        GVariant *request;

        if (argc != 2)
                return 2;
        become(argv[1]);
        signal(SIGPIPE, SIG_IGN);
        (void) fcntl(WIRE_FD, F_SETFD, FD_CLOEXEC);
        agent.fds = g_array_new(FALSE, FALSE, sizeof(int));
        agent.begun = g_hash_table_new(NULL, NULL);
        agent.seen = g_ptr_array_new_with_free_func(seen_free);
        agent.bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
        if (!agent.bus)
                g_error("%s", error->message);
        g_dbus_connection_set_exit_on_close(agent.bus, FALSE);
        (void) g_dbus_connection_add_filter(agent.bus, on_message, &agent, NULL);
        hello.value = g_variant_new("(su)", g_dbus_connection_get_unique_name(agent.bus), (guint32) getuid());
        write_answer(&hello);
        while ((request = read_request())) {
                serve(&agent, request);
                g_variant_unref(request);
        }
        raw_connection_free(agent.raw);
        return 0;
}
