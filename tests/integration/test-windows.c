/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* That subscribers who don't read, leave or are many cost nobody else anything. Those who don't read are made with sd-bus, for GDBus reads and answers in a
 * thread of its own whatever its program does: one in this program that isn't looked at (its main loop hangs), and one in another process, this program
 * with --follow, that can be stopped. */

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "line-log.h"
#include "paced.h"
#include "util/limits.h"
#include "util/names.h"

/* What daemon and bus may grow by while somebody doesn't read: some windows, but nothing like the flood. */
#define GROWTH_MAX (16U << 20)
/* 1 KiB each, so that none begins at the end of a pipe's page: it would be two lines if its other half came late. */
#define FLOOD_LINES 70000U
#define FLOOD "yes $(printf %01023d 0) | head -n 70000; "

/* A subscriber made with sd-bus: tells a log, or the process that started it. */
typedef struct Follower {
        LineLog *log;
        FILE *out;
} Follower;

static int on_lines(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Follower *follower = userdata;
        const char *text;
        guint64 number;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "(tytus)");
        while (r >= 0 && (r = sd_bus_message_read(message, "(tytus)", &number, NULL, NULL, NULL, &text)) > 0) {
                if (follower->log)
                        line_log_add_lines(follower->log, number, 1);
                else
                        fprintf(follower->out, "L %" G_GUINT64_FORMAT " 1\n", number);
        }
        return r;
}

static int on_dropped(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Follower *follower = userdata;
        guint64 first, count;
        int r;

        r = sd_bus_message_read(message, "tt", &first, &count);
        if (r < 0)
                return r;
        if (follower->log)
                line_log_add_dropped(follower->log, first, count);
        else
                fprintf(follower->out, "D %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", first, count);
        return 0;
}

static int on_ended(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Follower *follower = userdata;
        guint64 last = 0;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(message, "s", &key);
                if (r >= 0)
                        r = strcmp(key, "LastLine") == 0 ? sd_bus_message_read(message, "v", "t", &last) : sd_bus_message_skip(message, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        }
        if (r < 0)
                return r;
        if (follower->log)
                line_log_add_ended(follower->log, last);
        else
                fprintf(follower->out, "E %" G_GUINT64_FORMAT " 1\n", last);
        return 0;
}

static sd_bus *connect_sd_bus(const char *address) {
        sd_bus *bus;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, address), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, 1), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        return bus;
}

static void follower_subscribe(Follower *follower, sd_bus *bus, const char *path) {
        static const struct {
                const char *member;
                sd_bus_message_handler_t handler;
        } table[] = {{"OutputLines", on_lines}, {"OutputDropped", on_dropped}, {"Ended", on_ended}};

        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                g_assert_cmpint(sd_bus_match_signal(bus, NULL, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, table[i].member, table[i].handler, follower), >=, 0);
        g_assert_cmpint(sd_bus_call_method(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Subscribe", NULL, NULL, "tu", (guint64) 0, 2U), >=, 0);
}

/* The other process. */
static int follow(const char *address, const char *path) {
        Follower follower = {.out = stdout};
        sd_bus *bus = connect_sd_bus(address);

        follower_subscribe(&follower, bus, path);
        for (;;) {
                int r = sd_bus_process(bus, NULL);

                fflush(stdout);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0)
                        return 0;
        }
}

typedef struct Process {
        LineLog *log;
        GPid pid;
        int fd;
        guint source;
        GString *buffer;
} Process;

static gboolean on_process_output(int fd, GIOCondition condition, gpointer userdata) {
        Process *process = userdata;
        char buffer[65536], *newline;
        ssize_t n;

        n = read(fd, buffer, sizeof(buffer));
        if (n <= 0) {
                process->source = 0;
                return G_SOURCE_REMOVE;
        }
        g_string_append_len(process->buffer, buffer, n);
        for (char *line = process->buffer->str;; line = newline + 1) {
                guint64 first, count;
                char what;

                newline = strchr(line, '\n');
                if (!newline) {
                        g_string_erase(process->buffer, 0, line - process->buffer->str);
                        return G_SOURCE_CONTINUE;
                }
                g_assert_cmpint(sscanf(line, "%c %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, &what, &first, &count), ==, 3);
                if (what == 'L')
                        line_log_add_lines(process->log, first, count);
                else if (what == 'D')
                        line_log_add_dropped(process->log, first, count);
                else
                        line_log_add_ended(process->log, first);
        }
}

/* Also when it is stopped, and this program fails. */
static void die_with_parent(gpointer userdata) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static Process *process_new(Harness *h, const char *path) {
        char *argv[] = {(char *) "/proc/self/exe", (char *) "--follow", h->bus_address, (char *) path, NULL};
        Process *process = g_new0(Process, 1);
        g_autoptr(GError) error = NULL;

        process->log = line_log_new(h, NULL, path, 1);
        process->buffer = g_string_new(NULL);
        g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, die_with_parent, NULL, &process->pid, NULL, &process->fd, NULL, &error);
        g_assert_no_error(error);
        process->source = g_unix_fd_add(process->fd, G_IO_IN | G_IO_HUP, on_process_output, process);
        return process;
}

static void process_free(Process *process) {
        (void) kill(process->pid, SIGKILL);
        (void) waitpid(process->pid, NULL, 0);
        if (process->source != 0)
                g_source_remove(process->source);
        close(process->fd);
        line_log_free(process->log);
        g_string_free(process->buffer, TRUE);
        g_free(process);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Process, process_free)

/* Stopped when this returns. */
static void process_stop(Process *process) {
        int status;

        g_assert_cmpint(kill(process->pid, SIGSTOP), ==, 0);
        g_assert_cmpint(waitpid(process->pid, &status, WUNTRACED), ==, process->pid);
        g_assert_true(WIFSTOPPED(status));
}

static guint64 get_memory(pid_t pid) {
        g_autofree char *file = g_strdup_printf("/proc/%d/status", (int) pid), *text = NULL;
        const char *field;

        g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
        field = strstr(text, "VmRSS:");
        g_assert_nonnull(field);
        return g_ascii_strtoull(field + strlen("VmRSS:"), NULL, 10) << 10;
}

static pid_t get_bus_pid(Harness *h) {
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        guint32 pid;

        reply = g_dbus_connection_call_sync(h->client->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                            "GetConnectionUnixProcessID", g_variant_new("(s)", "org.freedesktop.DBus"), G_VARIANT_TYPE("(u)"),
                                            G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(u)", &pid);
        return (pid_t) pid;
}

typedef struct Memory {
        Harness *h;
        pid_t bus_pid;
        guint64 daemon, bus;
} Memory;

static Memory memory_begin(Harness *h) {
        pid_t bus_pid = get_bus_pid(h);

        return (Memory){h, bus_pid, get_memory(h->daemon), get_memory(bus_pid)};
}

static void memory_check(const Memory *before) {
        guint64 daemon = get_memory(before->h->daemon), bus = get_memory(before->bus_pid);

        g_test_message("daemon %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT " KiB, bus %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT " KiB",
                       before->daemon >> 10, daemon >> 10, before->bus >> 10, bus >> 10);
#if !WITH_ADDRESS_SANITIZER
        g_assert_cmpuint(daemon, <=, before->daemon + GROWTH_MAX);
#endif
        g_assert_cmpuint(bus, <=, before->bus + GROWTH_MAX);
}

static void test_gone(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(FLOOD, NULL));
        log = line_log_new(h, h->client->bus, path, 1);
        subscribe(h->client->bus, path, 0, 2);
        for (unsigned i = 0; i < 20; i++) {
                g_autoptr(Process) process = process_new(h, path);

                line_log_wait_for(process->log, 1);
        }
        line_log_wait_ended(log);
        line_log_wait_for(log, FLOOD_LINES);
}

/* What goes to them all is much at a time, but the caller has read all of its own. */
static void test_many(Harness *h) {
        GDBusConnection *connections[30];
        LineLog *logs[G_N_ELEMENTS(connections)];
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "command",
                options_shell("echo begin; " WAIT_FOR("flood") "yes $(printf %01023d 0) | head -n 20000", "{'RingBytes': <%t>}", (guint64) 8 << 20));
        for (size_t i = 0; i < G_N_ELEMENTS(connections); i++) {
                connections[i] = connect_plainly(h);
                logs[i] = line_log_new(h, connections[i], path, 1);
                subscribe(connections[i], path, 0, 2);
                line_log_wait_for(logs[i], 1);
        }
        go(h, "flood");
        for (guint64 last = 1; last < 20001 || !logs[0]->ended;) {
                g_free(client_get_string(h->client, path, "State"));
                last = get_last(h->client, path);
                /* What has come, but not all that comes meanwhile: that may be without end. */
                for (unsigned n = 0; n < 100 && g_main_context_iteration(NULL, FALSE); n++)
                        ;
        }
        for (size_t i = 0; i < G_N_ELEMENTS(connections); i++) {
                line_log_wait_ended(logs[i]);
                line_log_wait_for(logs[i], 20001);
                g_assert_cmpuint(logs[i]->n_received + logs[i]->n_dropped, ==, 20001);
                line_log_free(logs[i]);
                g_object_unref(connections[i]);
        }
}

#define FLOOD_ON_CALL "echo begin; " WAIT_FOR("flood") FLOOD WAIT_FOR("end") "echo end"
#define FLOOD_LAST (FLOOD_LINES + 2)

/* The others have each line too, while one doesn't read. */
static void flood_past_one(Harness *h, const char *path) {
        Memory memory = memory_begin(h);
        g_autoptr(GDBusConnection) bus = connect_plainly(h);
        g_autoptr(LineLog) log = line_log_new(h, bus, path, 1);

        subscribe(bus, path, 0, 2);
        line_log_wait_for(log, 1);
        go(h, "flood");
        wait_printed(h, path, 1 + FLOOD_LINES);
        line_log_wait_for(log, 1 + FLOOD_LINES);
        memory_check(&memory);
}

static void test_stopped(Harness *h) {
        g_autoptr(Process) process = NULL;
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(FLOOD_ON_CALL, NULL));
        process = process_new(h, path);
        line_log_wait_for(process->log, 1);
        process_stop(process);
        flood_past_one(h, path);
        g_assert_cmpuint(process->log->next, ==, 2);
        g_assert_cmpint(kill(process->pid, SIGCONT), ==, 0);
        line_log_wait_for(process->log, 1 + FLOOD_LINES);
        g_assert_cmpuint(process->log->n_dropped, >, 0);
        g_assert_cmpuint(process->log->n_received, >, 1000);
        g_assert_cmpuint(process->log->n_received + process->log->n_dropped, ==, 1 + FLOOD_LINES);
        go(h, "end");
        line_log_wait_ended(process->log);
        g_assert_cmpuint(process->log->last_at_end, ==, FLOOD_LAST);
}

/* The end comes to the others all the same, and the lines to the stopped one, when it goes on, behind Ended. */
static void test_stopped_at_end(Harness *h) {
        g_autoptr(Process) process = NULL;
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(FLOOD_ON_CALL, NULL));
        process = process_new(h, path);
        line_log_wait_for(process->log, 1);
        process_stop(process);
        flood_past_one(h, path);
        go(h, "end");
        client_wait_signal(h->client, path, "Ended");
        g_assert_cmpint(kill(process->pid, SIGCONT), ==, 0);
        line_log_wait_ended(process->log);
        line_log_wait_for(process->log, FLOOD_LAST);
        g_assert_cmpuint(process->log->n_received + process->log->n_dropped, ==, FLOOD_LAST);
}

/* Looks at the connection until the runtime has ended and all lines are there. */
static void process_bus(Harness *h, sd_bus *bus, LineLog *log) {
        gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;

        while (!log->ended || log->next <= log->report_last) {
                int r = sd_bus_process(bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(bus, G_USEC_PER_SEC);
                g_assert_cmpint(r, >=, 0);
                if (g_get_monotonic_time() > deadline)
                        harness_fail(h, "line %" G_GUINT64_FORMAT " didn't come", log->next);
        }
}

static void test_hung(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;
        Follower follower = {0};
        sd_bus *bus;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(FLOOD_ON_CALL, NULL));
        follower.log = log = line_log_new(h, NULL, path, 1);
        bus = connect_sd_bus(h->bus_address);
        follower_subscribe(&follower, bus, path);
        flood_past_one(h, path);
        g_assert_cmpuint(log->n_received, ==, 0);
        go(h, "end");
        client_wait_signal(h->client, path, "Ended");
        process_bus(h, bus, log);
        g_assert_cmpuint(log->n_received, >, 0);
        g_assert_cmpuint(log->n_received + log->n_dropped, ==, FLOOD_LAST);
        sd_bus_flush_close_unref(bus);
}

typedef struct Answers {
        unsigned n_replies, n_refusals;
        size_t size;
} Answers;

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Answers *answers = userdata;

        if (error) {
                g_assert_cmpstr(error->name, ==, RM_ERROR_LIMIT_EXCEEDED);
                answers->n_refusals++;
        } else
                answers->n_replies++;
        return 0;
}

#define PIPELINED 3000U

static void test_unread_replies(Harness *h) {
        g_autofree char *path = NULL;
        Answers answers = {0};
        Memory memory;
        sd_bus *bus;
        int r;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, FLOOD WAIT_FOR("end"));
        wait_printed(h, path, FLOOD_LINES);
        memory = memory_begin(h);
        bus = connect_sd_bus(h->bus_address);
        for (unsigned i = 0; i < PIPELINED; i++) {
                sd_bus_message *call;

                g_assert_cmpint(sd_bus_message_new_method_call(bus, &call, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "ReadOutput"), >=, 0);
                g_assert_cmpint(sd_bus_message_append(call, "tu", (guint64) 0, 0), >=, 0);
                g_assert_cmpint(sd_bus_call_async(bus, NULL, call, on_answer, &answers, UINT64_MAX), >=, 0);
                sd_bus_message_unref(call);
                if (i % 100 == 0)
                        g_assert_cmpuint(get_last(h->client, path), ==, FLOOD_LINES);
        }
        g_assert_cmpint(sd_bus_flush(bus), >=, 0);
        for (unsigned i = 0; i < 100; i++)
                g_assert_cmpuint(get_last(h->client, path), ==, FLOOD_LINES);
        memory_check(&memory);

        /* Now it reads: what was sent, and nothing for the calls that weren't answered. */
        while ((r = sd_bus_process(bus, NULL)) > 0 || (r == 0 && sd_bus_wait(bus, G_USEC_PER_SEC) > 0))
                ;
        g_assert_cmpint(r, >=, 0);
        g_test_message("%u replies, %u refusals", answers.n_replies, answers.n_refusals);
        g_assert_cmpuint(answers.n_replies, >=, LIMIT_WINDOW / LIMIT_READ_OUTPUT);
        g_assert_cmpuint(answers.n_replies, <=, 64);
        g_assert_cmpuint(answers.n_refusals, >, 0);
        g_assert_cmpuint(answers.n_replies + answers.n_refusals, <, PIPELINED);
        /* And is served again. */
        g_assert_cmpint(sd_bus_call_method(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "ReadOutput", NULL, NULL, "tu", (guint64) 0, 0), >=, 0);
        sd_bus_flush_close_unref(bus);
        go(h, "end");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"subscribers-that-leave-in-a-flood-are-forgotten", test_gone},
                {"a-stopped-subscriber-costs-nothing-and-goes-on-where-it-was", test_stopped},
                {"a-stopped-subscriber-holds-up-no-end", test_stopped_at_end},
                {"a-subscriber-whose-main-loop-hangs-costs-nothing", test_hung},
                {"a-client-that-reads-no-replies-gets-no-more-and-is-served-again-when-it-does", test_unread_replies},
                /* Last, for the bus keeps the memory that it needs for them. */
                {"a-flood-to-many-subscribers-refuses-no-other-call", test_many},
        };

        if (argc == 4 && strcmp(argv[1], "--follow") == 0)
                return follow(argv[2], argv[3]);
        return harness_main(argc, argv, "windows", cases, G_N_ELEMENTS(cases));
}
