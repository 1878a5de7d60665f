/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The environment of a case: folders, bus, daemon. What a client does with them is in client.c.
 *
 * The bus of a test program is of the same sort as the session's, so that running the tests under dbus-broker tests with dbus-broker. Whatever
 * way the program ends, daemon and bus end with it: by PR_SET_PDEATHSIG, and when it is about to fail the daemon is told to stop its runtimes before. */

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "private-bus.h"
#include "records.h"
#include "util/names.h"

static volatile sig_atomic_t daemon_to_end;
static char service_to_stop[256];
static Harness *current;

/* Also for a time-out of the test's runner: nothing of ours shall be left in somebody's session. */
static void on_fatal_signal(int signo) {
        pid_t pid = daemon_to_end;

        signal(signo, SIG_DFL);
        if (pid > 0) {
                /* Two, so that it waits for no runtime: two that are pending at the same time are one if they are the same. */
                kill(pid, SIGINT);
                kill(pid, SIGTERM);
                alarm(10);
                (void) waitpid(pid, NULL, 0);
        }
        if (service_to_stop[0] != '\0') {
                pid = fork();
                if (pid == 0) {
                        execlp("systemctl", "systemctl", "--user", "stop", service_to_stop, NULL);
                        _exit(127);
                }
                alarm(60);
                (void) waitpid(pid, NULL, 0);
        }
        raise(signo);
}

const char *harness_build_directory(void) {
        static char *directory;

        if (!directory && g_getenv("RM_BUILD_DIR"))
                directory = g_strdup(g_getenv("RM_BUILD_DIR"));
        if (!directory) {
                g_autofree char *program = g_file_read_link("/proc/self/exe", NULL), *folder = g_path_get_dirname(program);

                directory = g_build_filename(folder, "..", "..", "src", NULL);
        }
        return directory;
}

char *harness_id(const char *name) {
        return g_strdup_printf("%.24s_%d", name, (int) getpid() % 10000000);
}

static void print_log(Harness *h) {
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;

        if (!h->log || !g_file_get_contents(h->log, &text, NULL, NULL) || !text[0])
                return;
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                g_printerr("# daemon: %s\n", *line);
}

static void print_signals(Client *client) {
        if (!client)
                return;
        for (guint i = 0; i < client->signals->len; i++) {
                const Signal *signal = client->signals->pdata[i];
                g_autofree char *text = g_variant_print(signal->parameters, FALSE);

                g_printerr("# seen: %s %s %.300s\n", signal->path, signal->member, text);
        }
}

/* Where a process is: running, or waiting for what. */
static void print_process(GPid pid) {
        static const char *const names[] = {"comm", "wchan", "syscall", "stat"};
        GString *line = g_string_new(NULL);

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, names[i]), *text = NULL;

                if (g_file_get_contents(path, &text, NULL, NULL))
                        g_string_append_printf(line, " %s: %.120s", names[i], g_strchomp(text));
        }
        g_printerr("# process %d%s\n", pid, line->str);
        g_string_free(line, TRUE);
}

static GPid parent_of(guint pid) {
        g_autofree char *path = g_strdup_printf("/proc/%u/stat", pid), *text = NULL;
        int parent = 0;

        if (!g_file_get_contents(path, &text, NULL, NULL) || !strrchr(text, ')') || sscanf(strrchr(text, ')'), ") %*c %d", &parent) != 1)
                return 0;
        return parent;
}

/* The daemon, all that runtimes run, and who started that: the keepers have no mark. */
static void print_processes(Harness *h) {
        g_autoptr(GArray) pids = harness_find_processes(h);

        if (h->daemon > 0)
                print_process(h->daemon);
        for (guint i = 0; i < pids->len; i++) {
                guint pid = g_array_index(pids, guint, i);

                print_process((GPid) pid);
                if (i == 0 || parent_of(pid) != (GPid) g_array_index(pids, guint, i - 1))
                        print_process(parent_of(pid));
        }
}

/* What the daemon has and has not sent: the lines it knows of, if it answers at all. */
static void print_output(Client *client) {
        const Signal *signal;

        for (size_t n = 0; client && (signal = client_find_signal(client, NULL, "StateChanged", n)); n++) {
                g_autoptr(GError) error = NULL;
                g_autoptr(GVariant) reply =
                        g_dbus_connection_call_sync(client->bus, RM_BUS_NAME, signal->path, RM_RUNTIME_INTERFACE, "ReadOutput",
                                                    g_variant_new("(tu)", (guint64) 0, 10), NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, 2000, NULL, &error);
                g_autofree char *text = reply ? g_variant_print(reply, FALSE) : g_strdup(error->message);

                g_printerr("# output of %s: %.300s\n", signal->path, text);
                if (!reply)
                        return;
        }
}

void harness_fail(Harness *h, const char *format, ...) {
        g_autofree char *message = NULL;
        va_list list;

        va_start(list, format);
        message = g_strdup_vprintf(format, list);
        va_end(list);
        /* What was on a terminal: the logs of tests are XML, too. */
        for (char *c = message; *c; c++)
                if (g_ascii_iscntrl(*c) && *c != '\n' && *c != '\t')
                        *c = '?';
        print_signals(h->client);
        print_processes(h);
        print_output(h->client);
        g_printerr("# FAILED: %s\n", message);
        /* The log is printed when the program aborts, as for every other failure. */
        g_error("%s", message);
}

static gboolean on_tick(gpointer userdata) {
        return G_SOURCE_CONTINUE;
}

void harness_wait(Harness *h, HarnessCondition condition, gpointer userdata, const char *what) {
        gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;
        /* Conditions outside of this process (files, processes) tell no main context when they change. */
        guint tick = g_timeout_add(20, on_tick, NULL);

        while (!condition(userdata)) {
                if (g_get_monotonic_time() > deadline)
                        harness_fail(h, "this did not happen within %d s: %s", (int) (HARNESS_DEADLINE_USEC / G_USEC_PER_SEC), what);
                g_main_context_iteration(NULL, TRUE);
        }
        g_source_remove(tick);
}

char *harness_add_file(Harness *h, const char *name, const char *text, int mode) {
        g_autofree char *path = g_build_filename(h->directory, name, NULL), *folder = g_path_get_dirname(path);
        g_autoptr(GError) error = NULL;

        g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
        g_file_set_contents(path, text, -1, &error);
        g_assert_no_error(error);
        g_assert_cmpint(chmod(path, mode), ==, 0);
        return g_steal_pointer(&path);
}

void harness_add_kind(Harness *h, const char *name, const char *text) {
        g_autofree char *file = g_strdup_printf("config/runtime-manager/kinds/%s.kind", name);

        g_assert_cmpint(h->daemon, ==, 0);
        g_free(harness_add_file(h, file, text, 0644));
}

static int open_notify_socket(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpuint(g_strlcpy(address.sun_path, path, sizeof(address.sun_path)), <, sizeof(address.sun_path));
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        return fd;
}

static Harness *harness_new(void) {
        Harness *h = g_new0(Harness, 1);
        g_autofree char *notify = NULL;
        static unsigned n;

        h->directory = g_dir_make_tmp("rm-XXXXXX", NULL);
        g_assert_nonnull(h->directory);
        h->runtime_directory = g_build_filename(h->directory, "run", NULL);
        h->config_directory = g_build_filename(h->directory, "config", NULL);
        h->home = g_build_filename(h->directory, "home", NULL);
        h->log = g_build_filename(h->directory, "log", NULL);
        g_assert_cmpint(g_mkdir(h->runtime_directory, 0700), ==, 0);
        g_assert_cmpint(g_mkdir(h->config_directory, 0700), ==, 0);
        g_assert_cmpint(g_mkdir(h->home, 0700), ==, 0);
        h->mark = g_strdup_printf("RUNTIME_MANAGER_TEST_MARK=%d.%u", (int) getpid(), ++n);
        h->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        h->bus_address = g_strdup(private_bus_address());
        notify = g_build_filename(h->directory, "notify-of-service", NULL);
        h->notify = open_notify_socket(notify);
        return h;
}

static void harness_free(Harness *h) {
        harness_stop_daemon(h);
        close(h->notify);
        records_remove_tree(h->directory);
        g_hash_table_unref(h->ids);
        g_free(h->directory);
        g_free(h->runtime_directory);
        g_free(h->config_directory);
        g_free(h->home);
        g_free(h->log);
        g_free(h->bus_address);
        g_free(h->program);
        g_free(h->systemd_address);
        g_free(h->mark);
        g_free(h);
}

static void before_exec(gpointer userdata) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static char **daemon_environment(Harness *h, const char *const *variables) {
        char **environment = g_get_environ();
        g_autofree char *notify = g_build_filename(h->directory, "notify-of-service", NULL);

        environment = g_environ_setenv(environment, "XDG_RUNTIME_DIR", h->runtime_directory, TRUE);
        environment = g_environ_setenv(environment, "XDG_CONFIG_HOME", h->config_directory, TRUE);
        environment = g_environ_setenv(environment, "HOME", h->home, TRUE);
        environment = g_environ_setenv(environment, "NOTIFY_SOCKET", notify, TRUE);
        environment = g_environ_setenv(environment, "DBUS_SESSION_BUS_ADDRESS", h->bus_address, TRUE);
        environment = g_environ_setenv(environment, "LANGUAGE", "en", TRUE);
        environment = g_environ_setenv(environment, "INVOCATION_ID", "0123456789abcdef0123456789abcdef", TRUE);
        environment = g_environ_setenv(environment, "RUNTIME_MANAGER_TEST_MARK", strchr(h->mark, '=') + 1, TRUE);
        environment = g_environ_unsetenv(environment, "JOURNAL_STREAM");
        for (; variables && *variables; variables++) {
                g_autofree char *name = g_strndup(*variables, strcspn(*variables, "="));

                environment = g_environ_setenv(environment, name, *variables + strlen(name) + 1, TRUE);
        }
        return environment;
}

gboolean harness_daemon_said_ready(Harness *h) {
        char text[4096];
        ssize_t size;

        while ((size = recv(h->notify, text, sizeof(text) - 1, 0)) > 0) {
                text[size] = '\0';
                if (g_str_has_prefix(text, "READY=1"))
                        return TRUE;
        }
        return FALSE;
}

static gboolean daemon_is_ready(gpointer userdata) {
        Harness *h = userdata;
        int status;

        if (harness_daemon_said_ready(h))
                return TRUE;
        if (waitpid(h->daemon, &status, WNOHANG) > 0) {
                h->daemon = daemon_to_end = 0;
                harness_fail(h, "the daemon ended before it was ready, status 0x%x", status);
        }
        return FALSE;
}

void harness_use_service(Harness *h, const char *unit) {
        g_assert_cmpint(h->daemon, ==, 0);
        (void) g_strlcpy(service_to_stop, unit ?: "", sizeof(service_to_stop));
}

void harness_launch_daemon(Harness *h, const char *const *variables) {
        g_autofree char *program = h->program ? g_strdup(h->program) : g_build_filename(harness_build_directory(), "runtime-managerd", NULL);
        g_autofree char *bus = g_strdup_printf("--bus-address=%s", h->bus_address);
        g_autofree char *systemd = g_strdup_printf("--systemd-address=%s", h->systemd_address ?: g_getenv("DBUS_SESSION_BUS_ADDRESS"));
        char *argv[] = {program, (char *) "--user", bus, systemd, NULL};
        g_auto(GStrv) environment = daemon_environment(h, variables);
        g_autoptr(GError) error = NULL;
        int log;

        g_assert_cmpint(h->daemon, ==, 0);
        /* What one before it has said. */
        while (harness_daemon_said_ready(h))
                ;
        log = open(h->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        g_assert_cmpint(log, >=, 0);
        g_spawn_async_with_fds(h->home, argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, before_exec, NULL, &h->daemon, -1, log, log, &error);
        close(log);
        g_assert_no_error(error);
        daemon_to_end = h->daemon;
}

void harness_start_daemon(Harness *h, const char *const *variables) {
        harness_launch_daemon(h, variables);
        harness_wait(h, daemon_is_ready, h, "the daemon is ready");
        if (!h->client)
                h->client = client_new(h);
}

gboolean harness_daemon_was_killed(Harness *h) {
        int status;

        if (waitpid(h->daemon, &status, WNOHANG) <= 0)
                return FALSE;
        h->daemon = daemon_to_end = 0;
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                harness_fail(h, "the daemon ended with status 0x%x instead of SIGKILL", status);
        return TRUE;
}

static gboolean daemon_has_exited(gpointer userdata) {
        Harness *h = userdata;
        int status;
        pid_t pid;

        pid = waitpid(h->daemon, &status, WNOHANG);
        if (pid == 0)
                return FALSE;
        h->daemon = daemon_to_end = 0;
        g_assert_cmpint(pid, >, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                harness_fail(h, "the daemon ended with status 0x%x instead of exit code 0", status);
        return TRUE;
}

void harness_hurry_daemon(Harness *h) {
        if (h->daemon == 0)
                return;
        /* Two signals that are pending at the same time are one: these are two different ones. */
        g_assert_cmpint(kill(h->daemon, SIGINT), ==, 0);
        g_assert_cmpint(kill(h->daemon, SIGTERM), ==, 0);
}

void harness_kill_daemon(Harness *h) {
        g_assert_cmpint(h->daemon, >, 0);
        g_assert_cmpint(kill(h->daemon, SIGKILL), ==, 0);
        g_assert_cmpint(waitpid(h->daemon, NULL, 0), ==, h->daemon);
        h->daemon = daemon_to_end = 0;
}

GArray *harness_find_processes(Harness *h) {
        GArray *pids = g_array_new(FALSE, FALSE, sizeof(guint));
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        const char *name;

        while ((name = g_dir_read_name(proc))) {
                g_autofree char *path = g_strdup_printf("/proc/%s/environ", name), *text = NULL;
                guint pid = g_ascii_strtoull(name, NULL, 10);
                size_t size;

                if (pid == 0 || (GPid) pid == h->daemon || !g_file_get_contents(path, &text, &size, NULL) || size == 0)
                        continue;
                for (const char *entry = text; entry < text + size; entry += strlen(entry) + 1)
                        if (strcmp(entry, h->mark) == 0) {
                                g_array_append_val(pids, pid);
                                break;
                        }
        }
        return pids;
}

static gboolean no_process_is_left(gpointer userdata) {
        g_autoptr(GArray) pids = harness_find_processes(userdata);

        return pids->len == 0;
}

static gboolean nothing_is_left(gpointer userdata) {
        Harness *h = userdata;
        g_autofree char *leftover = records_find_leftover(h->runtime_directory);

        return !leftover;
}

/* unit: runtime-KIND-ID.scope, or with a number when it had to be made again. */
static char *id_of_unit(const char *unit) {
        const char *dash = strrchr(unit, '-');

        return g_strndup(dash + 1, strcspn(dash + 1, "."));
}

static gboolean no_unit_is_left(gpointer userdata) {
        Harness *h = userdata;
        const char *patterns[] = {RM_UNIT_PREFIX "*.scope", NULL};
        g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, NULL);
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GVariantIter) units = NULL;
        g_autoptr(GError) error = NULL;
        const char *unit;

        reply = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                            "ListUnitsByPatterns", g_variant_new("(^as^as)", (const char *[]){NULL}, patterns),
                                            G_VARIANT_TYPE("(a(ssssssouso))"), 0, -1, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(a(ssssssouso))", &units);
        while (g_variant_iter_next(units, "(&s&s&s&s&s&s&ou&s&o)", &unit, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)) {
                g_autofree char *id = id_of_unit(unit);

                if (g_hash_table_contains(h->ids, id))
                        return FALSE;
        }
        return TRUE;
}

void harness_wait_clean(Harness *h) {
        harness_wait(h, no_process_is_left, h, "no process of any runtime is left");
        harness_wait(h, nothing_is_left, h, "nothing of any runtime is left but its record");
        harness_wait(h, no_unit_is_left, h, "no unit of any runtime is left");
}

void harness_stop_daemon(Harness *h) {
        if (h->daemon == 0)
                return;
        if (h->client)
                client_sync(h->client);
        g_assert_cmpint(kill(h->daemon, SIGTERM), ==, 0);
        harness_wait(h, daemon_has_exited, h, "the daemon exits after SIGTERM");
        harness_wait_clean(h);
        g_clear_pointer(&h->client, client_free);
}

GVariant *harness_get_unit_property(const char *unit, const char *interface, const char *property) {
        g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, NULL);
        g_autofree char *full = g_strdup_printf("org.freedesktop.systemd1.%s", interface);
        g_autoptr(GVariant) found = NULL, value = NULL;
        const char *path;
        GVariant *inner;

        found = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnit",
                                            g_variant_new("(s)", unit), G_VARIANT_TYPE("(o)"), 0, -1, NULL, NULL);
        if (!found)
                return NULL;
        g_variant_get(found, "(&o)", &path);
        value = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", path, "org.freedesktop.DBus.Properties", "Get",
                                            g_variant_new("(ss)", full, property), G_VARIANT_TYPE("(v)"), 0, -1, NULL, NULL);
        if (!value)
                return NULL;
        g_variant_get(value, "(v)", &inner);
        return inner;
}

gboolean harness_unit_exists(const char *unit) {
        g_autoptr(GVariant) state = harness_get_unit_property(unit, "Unit", "ActiveState");

        return state && strcmp(g_variant_get_string(state, NULL), "inactive") != 0;
}

void harness_call_systemd(const char *method, GVariant *parameters) {
        g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, NULL);
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;

        reply = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", method,
                                            parameters, NULL, 0, -1, NULL, &error);
        g_assert_no_error(error);
}

static void run_case(gconstpointer data) {
        const HarnessCase *test = data;
        Harness *h = current = harness_new();

        test->run(h);
        harness_free(h);
        current = NULL;
}

/* Why the tests can't run here, or NULL. */
static const char *find_obstacle(void) {
        g_autoptr(GDBusConnection) bus = NULL;
        g_autoptr(GVariant) version = NULL;

        if (!g_getenv("DBUS_SESSION_BUS_ADDRESS"))
                return "there is no session bus (run it with tests/with-user-manager)";
        bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, NULL);
        if (!bus)
                return "no session bus answers";
        g_dbus_connection_set_exit_on_close(bus, FALSE);
        version = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties", "Get",
                                              g_variant_new("(ss)", "org.freedesktop.systemd1.Manager", "Version"), NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1,
                                              NULL, NULL);
        return version ? NULL : "no systemd user manager answers on the session bus (run it with tests/with-user-manager)";
}

/* g_assert… and all else that is fatal prints first, then ends in SIGABRT, g_error() in SIGTRAP; the log belongs to it. */
static void on_abort(int signo) {
        if (current)
                print_log(current);
        on_fatal_signal(signo);
}

int harness_main(int argc, char *argv[], const char *name, const HarnessCase *cases, size_t n_cases) {
        const char *obstacle;
        int r;

        g_test_init(&argc, &argv, NULL);
        obstacle = find_obstacle();
        if (obstacle) {
                g_print("1..0 # SKIP %s\n", obstacle);
                return EXIT_SUCCESS;
        }
        signal(SIGABRT, on_abort);
        signal(SIGTRAP, on_abort);
        signal(SIGTERM, on_fatal_signal);
        signal(SIGINT, on_fatal_signal);
        signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; i < n_cases; i++) {
                g_autofree char *path = g_strdup_printf("/%s/%s", name, cases[i].name);

                g_test_add_data_func(path, &cases[i], run_case);
        }
        r = g_test_run();
        private_bus_stop();
        return r;
}
