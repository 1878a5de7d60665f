/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients at their worst, limits that are reached, and other programs of the same user, which must not notice us. */

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "again.h"
#include "away.h"
#include "line-log.h"
#include "util/names.h"

/* AddressSanitizer keeps what was freed for a while. */
#ifdef __has_feature
#define WITH_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined __SANITIZE_ADDRESS__
#define WITH_ADDRESS_SANITIZER 1
#else
#define WITH_ADDRESS_SANITIZER 0
#endif
#define GROWTH_MAX (WITH_ADDRESS_SANITIZER ? 400U << 20 : 16U << 20)

static guint count_in(const char *directory) {
        g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
        guint n = 0;

        while (dir && g_dir_read_name(dir))
                n++;
        return n;
}

static guint count_fds(Harness *h) {
        g_autofree char *directory = g_strdup_printf("/proc/%d/fd", (int) h->daemon);

        return count_in(directory);
}

static guint64 memory_of(Harness *h) {
        g_autofree char *file = g_strdup_printf("/proc/%d/statm", (int) h->daemon), *text = NULL;
        const char *word;

        g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
        word = strchr(text, ' ');
        return g_ascii_strtoull(word, NULL, 10) * (guint64) sysconf(_SC_PAGESIZE);
}

static void assert_no_growth(Harness *h, guint64 before) {
        guint64 now = memory_of(h);

        g_test_message("memory before %" G_GUINT64_FORMAT ", after %" G_GUINT64_FORMAT, before, now);
        if (!WITH_ADDRESS_SANITIZER)
                g_assert_cmpuint(now, <, before + GROWTH_MAX);
}

/* So many calls under way all the time. */
typedef struct Flood {
        Harness *h;
        Client *client;
        const char *method;
        GVariant *parameters;
        guint n_left, n_pending, n_good, n_bad;
        const char *bad_error; /* the one that is expected; NULL: none */
} Flood;

static void flood_call(Flood *flood);

static void on_flood_answer(GObject *source, GAsyncResult *result, gpointer userdata) {
        Flood *flood = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

        flood->n_pending--;
        if (reply)
                flood->n_good++;
        else {
                g_autofree char *name = g_dbus_error_get_remote_error(error);

                if (g_strcmp0(name, flood->bad_error) != 0)
                        harness_fail(flood->h, "a call failed with %s", error->message);
                flood->n_bad++;
        }
        flood_call(flood);
}

static void flood_call(Flood *flood) {
        if (flood->n_left == 0)
                return;
        flood->n_left--;
        flood->n_pending++;
        g_dbus_connection_call(flood->client->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, flood->method, flood->parameters, NULL, 0, G_MAXINT, NULL,
                               on_flood_answer, flood);
}

static void flood_begin(Flood *flood, guint at_once) {
        g_variant_ref_sink(flood->parameters);
        for (guint i = 0; i < at_once; i++)
                flood_call(flood);
}

static gboolean flood_is_over(gpointer userdata) {
        return ((Flood *) userdata)->n_pending == 0;
}

static void flood_end(Flood *flood) {
        harness_wait(flood->h, flood_is_over, flood, "all calls are answered");
        g_variant_unref(flood->parameters);
}

/* Sends calls that want no answer, so many a second, whether the service keeps up or not. */
typedef struct Hammer {
        GDBusConnection *bus;
        const char *id;
        gint64 began, until;
        guint n_sent;
} Hammer;

#define CALLS_A_SECOND 10000

static gboolean on_hammer(gpointer userdata) {
        Hammer *hammer = userdata;
        gint64 now = g_get_monotonic_time();
        guint due = (guint) ((MIN(now, hammer->until) - hammer->began) * CALLS_A_SECOND / G_USEC_PER_SEC);

        for (; hammer->n_sent < due; hammer->n_sent++) {
                g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "GetRuntime");

                g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
                g_dbus_message_set_body(message, g_variant_new("(s)", hammer->id));
                (void) g_dbus_connection_send_message(hammer->bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
        }
        return now < hammer->until;
}

/* Another client is served all the while, and memory doesn't grow. */
static void test_fast_caller(Harness *h) {
        g_autofree char *path = NULL;
        Hammer hammer = {0};
        gint64 longest = 0;
        guint served = 0;
        guint64 memory;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        memory = memory_of(h);
        hammer = (Hammer){.bus = connect_plainly(h), .id = path_to_id(path), .began = g_get_monotonic_time()};
        hammer.until = hammer.began + 3 * G_USEC_PER_SEC;
        g_timeout_add(5, on_hammer, &hammer);
        while (hammer.n_sent < 3 * CALLS_A_SECOND) {
                g_autofree char *state = NULL;
                gint64 asked = g_get_monotonic_time();

                state = client_get_string(h->client, path, "State");
                g_assert_cmpstr(state, ==, "ready");
                longest = MAX(longest, g_get_monotonic_time() - asked);
                served++;
                g_main_context_iteration(NULL, TRUE);
        }
        g_test_message("%u calls in %d ms; %u of another client, the longest %d ms", hammer.n_sent, (int) ((g_get_monotonic_time() - hammer.began) / 1000),
                       served, (int) (longest / 1000));
        g_assert_cmpint(longest, <, 10 * G_USEC_PER_SEC);
        assert_no_growth(h, memory);
        g_object_unref(hammer.bus);
}

/* A message that the bus has, from somebody who is not there any more when it is answered. */
static void call_and_vanish(Harness *h, const char *path, const char *interface, const char *method, GVariant *parameters) {
        g_autoptr(GDBusConnection) bus = connect_plainly(h);
        g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(RM_BUS_NAME, path, interface, method);
        g_autoptr(GError) error = NULL;

        if (parameters)
                g_dbus_message_set_body(message, parameters);
        g_dbus_connection_send_message(bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, &error);
        g_assert_no_error(error);
        g_assert_true(g_dbus_connection_flush_sync(bus, NULL, &error));
        g_assert_true(g_dbus_connection_close_sync(bus, NULL, &error));
}

#define STOPPER "exec sleep 1000"

static void test_vanishing(Harness *h) {
        static const struct {
                const char *method, *parameters;
        } manager_calls[] =
                {
                        {"StartRuntime", "('command', {'Command': <['sleep', '1000']>, 'Owner': <'caller'>})"},
                        {"StartRuntime", "('command', {'Command': <['sleep', '1000']>})"},
                        {"WaitRuntime", "(%s, 'ended')"},
                        {"WaitRuntime", "(%s, 'ready')"},
                        {"GetRuntime", "(%s,)"},
                        {"GetRuntimeByPID", "(uint32 1,)"},
                        {"ListRuntimes", "(@a{sv} {},)"},
                        {"ListKinds", NULL},
                        {"Subscribe", "(uint32 3,)"},
                        {"Unsubscribe", NULL},
                        {"Reload", NULL},
                        {"KillRuntime", "(%s, 'main', 18)"},
                        {"StopRuntime", "(%s, @a{sv} {})"},
                },
          runtime_calls[] = {
                  {"Subscribe", "(uint64 0, uint32 2)"},
                  {"Unsubscribe", NULL},
                  {"ReadOutput", "(uint64 0, uint32 0)"},
                  {"ReadOutputText", "(uint64 0, uint32 0)"},
                  {"OpenOutput", "(uint64 0, uint32 24)"},
                  {"GetUsage", NULL},
                  {"GetConnection", NULL},
                  {"SetLimits", "({'TasksMax': <uint64 100>},)"},
                  {"Interrupt", NULL},
                  {"OpenInput", NULL},
                  {"WriteInput", "(b'x',)"},
                  {"CloseInput", NULL},
                  {"Kill", "('all', 18)"},
                  {"TakeOwnership", "({'Replace': <true>, 'OwnerGraceUSec': <uint64 3600000000>},)"},
                  {"ReleaseOwnership", NULL},
                  {"Restart", NULL},
                  {"Stop", "(@a{sv} {},)"},
                  {"Forget", NULL},
          };
        g_autofree char *path = NULL, *last = NULL, *error = NULL, *message = NULL;
        g_autoptr(GVariant) reply = NULL;
        guint before;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(STOPPER, "{'Input': <'pipe'>}"));
        last = client_start(h->client, "command", options_shell(STOPPER, NULL));
        client_sync(h->client);
        before = count_fds(h);
        for (size_t i = 0; i < G_N_ELEMENTS(manager_calls); i++)
                for (int n = 0; n < 3; n++) {
                        const char *text = manager_calls[i].parameters;
                        GVariant *parameters = NULL;

                        if (text)
                                parameters = strstr(text, "%s") ? g_variant_new_parsed(text, path_to_id(last)) : g_variant_new_parsed(text);
                        call_and_vanish(h, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, manager_calls[i].method, parameters);
                }
        g_variant_unref(client_wait_ended(h->client, last));
        for (size_t i = 0; i < G_N_ELEMENTS(runtime_calls); i++)
                for (int n = 0; n < 3; n++)
                        call_and_vanish(h, path, RM_RUNTIME_INTERFACE, runtime_calls[i].method,
                                        runtime_calls[i].parameters ? g_variant_new_parsed(runtime_calls[i].parameters) : NULL);
        client_sync(h->client);
        /* Restart and Stop went one after the other, and Forget may have come in time; whatever came of it, it ends now. */
        reply = client_try(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"), &error, &message);
        if (!reply)
                g_assert_cmpstr(error, ==, RM_ERROR_NO_SUCH_RUNTIME);
        /* Three runtimes had nobody else; nothing but these is kept for those who left. */
        for (;;) {
                g_autoptr(GVariant) list = client_call(h->client, NULL, "ListRuntimes", g_variant_new_parsed("({'State': <'ready'>},)")), rows = NULL;
                const char *left;

                rows = g_variant_get_child_value(list, 0);
                if (g_variant_n_children(rows) == 0)
                        break;
                g_variant_get_child(rows, 0, "(s&o@a{sv})", NULL, &left, NULL);
                client_stop(h->client, left);
                g_variant_unref(client_wait_ended(h->client, left));
        }
        client_sync(h->client);
        g_assert_cmpuint(count_fds(h), <=, before + 8);
}

static void limit_fds(Harness *h, rlim_t n, struct rlimit *ret_before) {
        struct rlimit limit;

        g_assert_cmpint(prlimit(h->daemon, RLIMIT_NOFILE, NULL, ret_before), ==, 0);
        limit = (struct rlimit){.rlim_cur = n, .rlim_max = ret_before->rlim_max};
        g_assert_cmpint(prlimit(h->daemon, RLIMIT_NOFILE, &limit, NULL), ==, 0);
}

static void test_fd_limit(Harness *h) {
        g_autofree char *message = NULL, *error = NULL, *again = NULL;
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        struct rlimit before;

        harness_start_daemon(h, NULL);
        g_ptr_array_add(paths, client_start_shell(h->client, "echo up; exec sleep 1000"));
        limit_fds(h, count_fds(h) + 20, &before);
        while (!message) {
                g_autoptr(GVariant) reply = NULL;
                const char *path;

                g_assert_cmpuint(paths->len, <, 30);
                reply = client_try(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("echo up; exec sleep 1000", NULL)),
                                   &error, &message);
                if (!reply)
                        break;
                g_variant_get(reply, "(&s&o)", NULL, &path);
                g_ptr_array_add(paths, g_strdup(path));
        }
        g_test_message("%u runtimes, then: %s: %s", paths->len, error, message);
        g_assert_cmpstr(error, ==, RM_ERROR_START_FAILED);
        g_assert_nonnull(strstr(message, "Too many open files"));
        g_assert_cmpuint(paths->len, >, 1);
        for (guint i = 0; i < paths->len; i++) {
                client_wait_text(h->client, paths->pdata[i], "up\n");
                client_wait_state(h->client, paths->pdata[i], "ready");
        }
        client_stop(h->client, paths->pdata[0]);
        g_variant_unref(client_wait_ended(h->client, paths->pdata[0]));
        g_variant_unref(client_call(h->client, paths->pdata[0], "Forget", NULL));
        client_stop(h->client, paths->pdata[1]);
        g_variant_unref(client_wait_ended(h->client, paths->pdata[1]));
        g_variant_unref(client_call(h->client, paths->pdata[1], "Forget", NULL));
        again = client_start_shell(h->client, "exec sleep 1000");
        client_wait_state(h->client, again, "ready");
        g_assert_cmpint(prlimit(h->daemon, RLIMIT_NOFILE, &before, NULL), ==, 0);
}

static void test_refused_starts(Harness *h) {
        Flood flood = {.h = h, .method = "StartRuntime", .n_left = 10000, .bad_error = RM_ERROR_START_FAILED};
        g_autofree char *folders = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, NULL), *path = NULL;
        guint fds = 0, n_folders = 0;
        guint64 memory = 0;
        struct rlimit before;

        harness_start_daemon(h, NULL);
        flood.client = h->client;
        path = client_start_shell(h->client, "exec sleep 1000");
        limit_fds(h, count_fds(h) + 2, &before);
        for (int round = 0; round < 2; round++) {
                /* The first has the memory that it needs for a while. */
                flood.n_left = round == 0 ? 1000 : 10000;
                flood.parameters = g_variant_new("(s@a{sv})", "command", options_shell("exit 0", NULL));
                flood_begin(&flood, 50);
                flood_end(&flood);
                if (round == 0) {
                        memory = memory_of(h);
                        fds = count_fds(h);
                        n_folders = count_in(folders);
                }
        }
        g_assert_cmpuint(flood.n_bad, ==, 11000);
        g_assert_cmpuint(flood.n_good, ==, 0);
        g_assert_cmpuint(count_fds(h), <=, fds);
        g_assert_cmpuint(count_in(folders), ==, n_folders);
        assert_no_growth(h, memory);
        g_assert_cmpint(prlimit(h->daemon, RLIMIT_NOFILE, &before, NULL), ==, 0);
        client_wait_state(h->client, path, "ready");
}

static void test_refused_options(Harness *h) {
        Flood flood = {.h = h, .method = "StartRuntime", .n_left = 10000, .bad_error = RM_ERROR_INVALID_OPTION};
        guint64 memory;

        harness_start_daemon(h, NULL);
        flood.client = h->client;
        memory = memory_of(h);
        flood.parameters = g_variant_new("(s@a{sv})", "command", options_shell("exit 0", "{'RingBytes': <uint64 1>}"));
        flood_begin(&flood, 50);
        flood_end(&flood);
        g_assert_cmpuint(flood.n_bad, ==, 10000);
        assert_no_growth(h, memory);
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
}

/* One that became a monitor, and is never looked at again: as dbus-monitor behind a pager. */
static sd_bus *monitor_new(Harness *h) {
        sd_bus *bus;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, h->bus_address), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, 1), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Monitoring", "BecomeMonitor", NULL, NULL,
                                           "asu", 0, 0U),
                        >=, 0);
        return bus;
}

static void test_suspended_monitor(Harness *h) {
        g_autofree char *path = NULL, *file = NULL;
        g_autoptr(LineLog) log = NULL;
        g_autoptr(GDBusConnection) subscriber = NULL;
        sd_bus *monitor;
        guint64 memory;

        harness_start_daemon(h, NULL);
        monitor = monitor_new(h);
        path = client_start_shell(h->client, "while [ ! -e $HOME/go ]; do sleep 0.01; done; yes $(printf %01023d 0) | head -n 50000");
        subscriber = connect_plainly(h);
        log = line_log_new(h, subscriber, path, 1);
        (void) subscribe(subscriber, path, 0, 2);
        memory = memory_of(h);
        file = harness_add_file(h, "home/go", "", 0600);
        line_log_wait_ended(log);
        g_assert_cmpuint(log->n_received + log->n_dropped, ==, 50000);
        assert_no_growth(h, memory);
        /* Others are served. */
        for (int i = 0; i < 10; i++) {
                g_autofree char *other = client_start_shell(h->client, "exit 3");
                g_autoptr(GVariant) report = client_wait_ended(h->client, other);

                report_check(report, "{'ExitCode': <3>}", NULL);
        }
        sd_bus_close_unref(monitor);
}

/* What a program with the default limits does: a pipe of the usual size, and fds in flight. */
static int be_another_program(void) {
        struct rlimit limit = {1024, 1024};
        int pair[2], pipe_fds[2], many[250];
        char control[CMSG_SPACE(sizeof(many))] = {0};
        struct iovec iovec = {.iov_base = (void *) "x", .iov_len = 1};
        struct msghdr message = {.msg_iov = &iovec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || pipe(pipe_fds) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                return 1;
        if (fcntl(pipe_fds[0], F_GETPIPE_SZ) != 65536)
                return 2;
        for (size_t i = 0; i < G_N_ELEMENTS(many); i++)
                many[i] = pipe_fds[0];
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(many));
        memcpy(CMSG_DATA(head), many, sizeof(many));
        /* 750 at once, of the 1,024 that the kernel allows all programs of a user together. */
        for (int i = 0; i < 3; i++)
                if (sendmsg(pair[0], &message, MSG_NOSIGNAL) < 0)
                        return 3;
        for (int i = 0; i < 400; i++)
                if (pipe(pipe_fds) < 0)
                        return 4;
        return 0;
}

static void check_another_program(void) {
        int status;
        pid_t pid = fork();

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                /* The test's own connections are no part of it. */
                (void) close_range(3, ~0U, 0);
                _exit(be_another_program());
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

#define N_MANY 200

/* For an ordinary user this is the kernel's limit; for root there is none. */
static void test_another_program(Harness *h) {
        char *paths[N_MANY];

        harness_start_daemon(h, NULL);
        check_another_program();
        for (int i = 0; i < N_MANY; i++)
                paths[i] = client_start(h->client, "command", options_shell("echo up; exec sleep 1000", "{'Input': <'pipe'>}"));
        check_another_program();
        go_away_and_come_back(h);
        for (int i = 0; i < N_MANY; i++)
                client_wait_state(h->client, paths[i], "ready");
        check_another_program();
        for (int i = 0; i < N_MANY; i++)
                g_free(paths[i]);
}

/* The user has more pipes than it may have at their usual size: those of new runtimes are small, and do. */
static void test_small_pipes(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        struct rlimit limit, before;
        int fds[1100][2];

        harness_start_daemon(h, NULL);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        limit = before;
        limit.rlim_cur = limit.rlim_max;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
                g_assert_cmpint(pipe2(fds[i], O_CLOEXEC), ==, 0);
        if (geteuid() != 0)
                g_assert_cmpint(fcntl(fds[G_N_ELEMENTS(fds) - 1][0], F_GETPIPE_SZ), <, 65536);
        /* 16 bytes a line: each write of seq ends with one. */
        path = client_start(h->client, "command", options_shell("seq -f %015.0f 1 20000; exec cat", "{'Input': <'pipe'>, 'RingBytes': <uint64 4194304>}"));
        client_wait_text(h->client, path, "\n000000000020000\n");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, "hello\n", 6, 1))));
        client_wait_text(h->client, path, "hello\n");
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'success'>, 'LastLine': <uint64 20001>}", NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
                close(fds[i][0]);
                close(fds[i][1]);
        }
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"one-that-calls-ten-thousand-times-a-second-does-not-keep-others-waiting", test_fast_caller},
                {"one-that-vanishes-in-the-middle-of-each-call", test_vanishing},
                {"descriptors-run-out", test_fd_limit},
                {"ten-thousand-starts-refused-for-a-limit-cost-nothing", test_refused_starts},
                {"ten-thousand-starts-refused-for-their-options-cost-nothing", test_refused_options},
                {"a-suspended-monitor-keeps-nobody-waiting", test_suspended_monitor},
                {"another-program-of-the-user-does-not-notice-two-hundred-runtimes", test_another_program},
                {"a-user-with-too-many-pipes", test_small_pipes},
        };

        return harness_main(argc, argv, "world-clients", cases, G_N_ELEMENTS(cases));
}
