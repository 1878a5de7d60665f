/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon as a service of the user manager, as it is installed: restarted, stopped and watched by systemd, while clients call and runtimes print. */

#include <signal.h>
#include <string.h>

#include "away.h"
#include "owner.h"
#include "util/names.h"

typedef struct Service {
        Harness *h;
        char *unit;
        pid_t pid;
} Service;

static pid_t service_pid(const Service *service) {
        g_autoptr(GVariant) pid = harness_get_unit_property(service->unit, "Service", "MainPID");

        return pid ? (pid_t) g_variant_get_uint32(pid) : 0;
}

static gboolean has_name(gpointer userdata) {
        Service *service = userdata;
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(service->h->client->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
                                                                "GetConnectionUnixProcessID", g_variant_new("(s)", RM_BUS_NAME), NULL, 0, -1, NULL, NULL);
        pid_t pid = 0;

        if (reply)
                g_variant_get(reply, "(u)", &pid);
        /* Another than before. */
        return pid > 0 && pid != service->pid && pid == service_pid(service);
}

static void service_wait(Service *service) {
        harness_wait(service->h, has_name, service, "the service has its name");
        service->pid = service_pid(service);
}

static void systemctl(const Service *service, const char *verb) {
        const char *argv[] = {"systemctl", "--user", verb, service->unit, NULL};
        g_autoptr(GError) error = NULL;
        int status;

        g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
        g_assert_no_error(error);
        g_assert_true(g_spawn_check_wait_status(status, &error));
        g_assert_no_error(error);
}

static void systemctl_begin(const Service *service, const char *verb) {
        const char *argv[] = {"systemctl", "--user", "--no-block", verb, service->unit, NULL};
        g_autoptr(GError) error = NULL;

        g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
}

/* With the settings of systemd/runtime-managerd.service.in, but for times that a test can wait for. */
static void service_start(Service *service, Harness *h) {
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        const char *const words[] = {
                "systemd-run",
                "--user",
                "--quiet",
                "--collect",
                "--service-type=notify",
                "--property=StartLimitIntervalSec=0",
                "--property=Restart=always",
                "--property=RestartSec=100ms",
                "--property=WatchdogSec=3s",
                "--property=TimeoutStopSec=60s",
                "--property=TimeoutAbortSec=2s",
        };
        g_autoptr(GError) error = NULL;
        int status;

        *service = (Service){.h = h, .unit = g_strdup_printf("%s-service.service", h->mark + strlen("RUNTIME_MANAGER_TEST_"))};
        g_strdelimit(service->unit, "=", '-');
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
                g_ptr_array_add(argv, g_strdup(words[i]));
        g_ptr_array_add(argv, g_strdup_printf("--unit=%s", service->unit));
        g_ptr_array_add(argv, g_strdup_printf("--setenv=XDG_RUNTIME_DIR=%s", h->runtime_directory));
        g_ptr_array_add(argv, g_strdup_printf("--setenv=XDG_CONFIG_HOME=%s", h->config_directory));
        g_ptr_array_add(argv, g_strdup_printf("--setenv=HOME=%s", h->home));
        g_ptr_array_add(argv, g_strdup_printf("--setenv=%s", h->mark));
        g_ptr_array_add(argv, g_build_filename(harness_build_directory(), "runtime-managerd", NULL));
        g_ptr_array_add(argv, g_strdup("--user"));
        g_ptr_array_add(argv, g_strdup_printf("--bus-address=%s", h->bus_address));
        g_ptr_array_add(argv, g_strdup_printf("--systemd-address=%s", g_getenv("DBUS_SESSION_BUS_ADDRESS")));
        g_ptr_array_add(argv, NULL);
        g_spawn_sync(NULL, (char **) argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
        g_assert_no_error(error);
        g_assert_true(g_spawn_check_wait_status(status, &error));
        g_assert_no_error(error);
        h->client = client_new(h);
        service_wait(service);
}

static gboolean is_gone(gpointer userdata) {
        return !harness_unit_exists(((Service *) userdata)->unit);
}

static gboolean nothing_runs(gpointer userdata) {
        g_autoptr(GArray) pids = harness_find_processes(userdata);

        return pids->len == 0;
}

/* All runtimes are stopped with it. */
static void service_stop(Service *service) {
        Harness *h = service->h;

        systemctl(service, "stop");
        harness_wait(h, is_gone, service, "the service is gone");
        harness_wait(h, nothing_runs, h, "no process of it or of any runtime is left");
        g_free(service->unit);
        g_clear_pointer(&h->client, client_free);
}

/* Calls all the time, and repeats what was not answered. */
typedef struct Load {
        Harness *h;
        gboolean stop, pending;
        guint n_answered, n_failed;
} Load;

static void load_call(Load *load);

static void on_answer(GObject *source, GAsyncResult *result, gpointer userdata) {
        Load *load = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

        load->pending = FALSE;
        if (reply)
                load->n_answered++;
        else {
                g_autofree char *name = g_dbus_error_get_remote_error(error);

                /* This bus starts no service: with activation the second would wait. */
                if (g_strcmp0(name, "org.freedesktop.DBus.Error.NoReply") != 0 && g_strcmp0(name, "org.freedesktop.DBus.Error.ServiceUnknown") != 0)
                        harness_fail(load->h, "a call failed with %s", error->message);
                load->n_failed++;
        }
        if (!load->stop)
                load_call(load);
}

static void load_call(Load *load) {
        load->pending = TRUE;
        g_dbus_connection_call(load->h->client->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)"),
                               NULL, 0, -1, NULL, on_answer, load);
}

static gboolean load_is_over(gpointer userdata) {
        Load *load = userdata;

        load->stop = TRUE;
        return !load->pending;
}

#define N_RUNTIMES 10

static void assert_counted(Harness *h, const char *path) {
        g_autoptr(GPtrArray) lines = client_read_lines(h->client, path, 0);

        g_assert_cmpuint(lines->len, >, 0);
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = g_strndup(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes));

                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_cmpuint(g_ascii_strtoull(text, NULL, 10), ==, i + 1);
        }
}

/* A line every 10 ms, and a word for whoever stops it. */
#define COUNTING "exec 2>/dev/null; trap ': >$HOME/stopped.$RUNTIME_MANAGER_ID; exit 3' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"

static void test_restart(Harness *h) {
        Load load = {.h = h};
        char *paths[N_RUNTIMES];
        pid_t pids[N_RUNTIMES];
        Service service;

        service_start(&service, h);
        for (int i = 0; i < N_RUNTIMES; i++) {
                paths[i] = client_start(h->client, "command", options_shell(COUNTING, "{'RingBytes': <uint64 8388608>}"));
                pids[i] = main_pid_of(h->client, paths[i]);
        }
        load_call(&load);
        for (int round = 0; round < 3; round++) {
                systemctl_begin(&service, "restart");
                service_wait(&service);
                for (int i = 0; i < N_RUNTIMES; i++) {
                        assert_ready(h, paths[i]);
                        g_assert_cmpint(main_pid_of(h->client, paths[i]), ==, pids[i]);
                }
        }
        harness_wait(h, load_is_over, &load, "the last call is answered");
        g_test_message("%u calls answered, %u not", load.n_answered, load.n_failed);
        g_assert_cmpuint(load.n_answered, >, 0);
        for (int i = 0; i < N_RUNTIMES; i++) {
                const Signal *signal;

                g_assert_null(client_find_signal(h->client, paths[i], "Ended", 0));
                /* Signals may repeat what is so. */
                for (size_t n = 0; (signal = client_find_signal(h->client, paths[i], "StateChanged", n)); n++) {
                        const char *state;

                        g_variant_get(signal->parameters, "(&s&s)", NULL, &state);
                        g_assert_cmpstr(state, ==, "ready");
                }
                assert_counted(h, paths[i]);
                g_free(paths[i]);
        }
        service_stop(&service);
}

static void test_stop(Harness *h) {
        char *ids[N_RUNTIMES];
        Service service;

        service_start(&service, h);
        for (int i = 0; i < N_RUNTIMES; i++) {
                g_autofree char *path = client_start_shell(h->client, COUNTING);

                client_wait_text(h->client, path, "1\n");
                ids[i] = g_strdup(path_to_id(path));
        }
        service_stop(&service);
        for (int i = 0; i < N_RUNTIMES; i++) {
                g_autofree char *unit = g_strdup_printf("runtime-command-%s.scope", ids[i]);
                g_autofree char *name = g_strdup_printf("stopped.%s", ids[i]), *file = home_file(h, name);

                g_assert_false(harness_unit_exists(unit));
                g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
                g_free(ids[i]);
        }
}

static void check_killed(Harness *h, int signo) {
        g_autofree char *path = NULL;
        Service service;
        pid_t pid;

        service_start(&service, h);
        path = client_start(h->client, "command", options_shell(COUNTING, "{'RingBytes': <uint64 8388608>}"));
        client_wait_text(h->client, path, "1\n");
        pid = main_pid_of(h->client, path);
        g_assert_cmpint(kill(service.pid, signo), ==, 0);
        service_wait(&service);
        assert_ready(h, path);
        g_assert_cmpint(main_pid_of(h->client, path), ==, pid);
        assert_counted(h, path);
        service_stop(&service);
}

static void test_killed(Harness *h) {
        check_killed(h, SIGKILL);
}

/* It hangs: systemd's watchdog ends and starts it. */
static void test_watchdog(Harness *h) {
        check_killed(h, SIGSTOP);
}

/* A watchdog is fed while there is nothing to do: it lives longer than its time. */
static void test_watchdog_fed(Harness *h) {
        Service service;
        pid_t pid;

        service_start(&service, h);
        pid = service.pid;
        wait_until_usec(h, g_get_monotonic_time() + 5 * G_USEC_PER_SEC);
        g_assert_cmpint(service_pid(&service), ==, pid);
        service_stop(&service);
}

static void test_manager_anew(Harness *h) {
        static const char *const verbs[] = {"daemon-reload", "daemon-reexec"};
        g_autofree char *path = NULL;
        Service service;
        pid_t pid;

        service_start(&service, h);
        pid = service.pid;
        path = start(h->client, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
                const char *argv[] = {"systemctl", "--user", verbs[i], NULL};
                g_autoptr(GError) error = NULL;
                g_autofree char *later = NULL;

                g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, &error);
                g_assert_no_error(error);
                assert_ready(h, path);
                later = start(h->client, NULL);
                stop_undisturbed(h, later);
        }
        g_assert_cmpint(service_pid(&service), ==, pid);
        systemctl(&service, "restart");
        service_wait(&service);
        assert_ready(h, path);
        service_stop(&service);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"restarted-under-load-nobody-notices", test_restart}, {"stopped-all-runtimes-are-stopped-gracefully", test_stop},
                {"killed-it-is-started-again", test_killed},           {"hanging-it-is-ended-by-the-watchdog-and-started-again", test_watchdog},
                {"idle-it-feeds-the-watchdog", test_watchdog_fed},     {"restarted-after-systemd-was", test_manager_anew},
        };

        return harness_main(argc, argv, "world-service", cases, G_N_ELEMENTS(cases));
}
