/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service's own memory: its unit is given less than it can live on, by its user, and the kernel kills it as often as systemd starts it. Of the
 * installed service, on the session's own bus. What it works for must not feel it. */

#include <signal.h>
#include <string.h>

#include "harness.h"
#include "util/names.h"

#define SERVICE "runtime-managerd.service"
/* Not even a process that has yet to be executed fits. */
#define TOO_LITTLE "64K"
#define N_RUNTIMES 5
#define KILLS 3

/* A line every 50 ms for as long as it runs; and it ends by itself when it is told to by a file. */
#define COUNTING "i=0; while [ ! -e %s/$RUNTIME_MANAGER_ID ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 7"

typedef struct Service {
        Harness *h;
        pid_t pid; /* when it was here last */
        guint32 restarts;
} Service;

static guint32 get_number(const char *property) {
        g_autoptr(GVariant) value = harness_get_unit_property(SERVICE, "Service", property);

        return value ? g_variant_get_uint32(value) : 0;
}

static void systemctl(const char *const *arguments) {
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        g_autoptr(GError) error = NULL;
        int status;

        g_ptr_array_add(argv, (char *) "systemctl");
        g_ptr_array_add(argv, (char *) "--user");
        while (*arguments)
                g_ptr_array_add(argv, (char *) *arguments++);
        g_ptr_array_add(argv, NULL);
        g_spawn_sync(NULL, (char **) argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
        g_assert_no_error(error);
        g_assert_true(g_spawn_check_wait_status(status, &error));
        g_assert_no_error(error);
}

#define SYSTEMCTL(...) systemctl((const char *const[]){__VA_ARGS__, NULL})

static gboolean has_name(gpointer userdata) {
        Service *service = userdata;
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(service->h->client->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
                                                                "GetConnectionUnixProcessID", g_variant_new("(s)", RM_BUS_NAME), NULL, 0, -1, NULL, NULL);
        guint32 pid = 0;

        if (reply)
                g_variant_get(reply, "(u)", &pid);
        /* Another than before. */
        if (pid == 0 || (pid_t) pid == service->pid || pid != get_number("MainPID"))
                return FALSE;
        service->pid = (pid_t) pid;
        return TRUE;
}

/* In systemd's words, which are the kernel's count. */
static gboolean was_killed_for_memory(gpointer userdata) {
        g_autoptr(GVariant) result = harness_get_unit_property(SERVICE, "Service", "Result");

        return result && strcmp(g_variant_get_string(result, NULL), "oom-kill") == 0;
}

static gboolean was_started_again(gpointer userdata) {
        Service *service = userdata;

        return get_number("NRestarts") >= service->restarts;
}

static void service_start(Service *service, Harness *h) {
        /* The harness has made folders and a bus of its own; this service has the user's. */
        g_free(h->bus_address);
        h->bus_address = g_strdup(g_getenv("DBUS_SESSION_BUS_ADDRESS"));
        g_free(h->runtime_directory);
        h->runtime_directory = g_strdup(g_get_user_runtime_dir());
        harness_use_service(h, SERVICE);
        SYSTEMCTL("start", SERVICE);
        h->client = client_new(h);
        *service = (Service){.h = h};
        harness_wait(h, has_name, service, "the service has its name");
}

static void service_stop(Service *service) {
        Harness *h = service->h;

        SYSTEMCTL("stop", SERVICE);
        harness_wait_clean(h);
        SYSTEMCTL("revert", SERVICE);
        harness_use_service(h, NULL);
        g_clear_pointer(&h->client, client_free);
}

static char *start_counting(Harness *h, int n) {
        g_autofree char *script = g_strdup_printf(COUNTING, h->directory), *name = g_strdup_printf("memory%d", n), *id = harness_id(name), *path = NULL;

        path = client_start(h->client, "command", options_shell(script, "{'Id': <%s>, 'RingBytes': <uint64 8388608>}", id));
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
        client_wait_text(h->client, path, "1\n");
        return g_steal_pointer(&path);
}

/* Line n says n, and there is none between them. */
static guint assert_counted(Harness *h, const char *path) {
        g_autoptr(GPtrArray) lines = client_read_lines(h->client, path, 0);

        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = g_strndup(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes));

                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_cmpuint(g_ascii_strtoull(text, NULL, 10), ==, i + 1);
        }
        return lines->len;
}

typedef struct Told {
        Client *client;
        const char *path;
        guint64 last;
} Told;

/* Each line has been told; those around a kill perhaps twice, under their own numbers. */
static gboolean was_told_up_to(gpointer userdata) {
        Told *told = userdata;
        g_autoptr(GPtrArray) lines = client_signalled_lines(told->client, told->path);
        guint64 last = 0;

        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];

                g_assert_cmpuint(line->number, <=, last + 1);
                last = MAX(last, line->number);
        }
        return last >= told->last;
}

static void assert_told(Harness *h, const char *path, guint64 last) {
        Told told = {h->client, path, last};

        harness_wait(h, was_told_up_to, &told, "the subscriber has been told of all lines");
}

static void end_by_itself(Harness *h, const char *path) {
        g_free(harness_add_file(h, path_to_id(path), "", 0600));
}

static gboolean is_gone(gpointer userdata) {
        return kill((pid_t) GPOINTER_TO_INT(userdata), 0) < 0;
}

static void test_killed_for_memory(Harness *h) {
        guint lines_before[N_RUNTIMES];
        char *paths[N_RUNTIMES];
        pid_t pids[N_RUNTIMES];
        Service service;

        service_start(&service, h);
        for (int i = 0; i < N_RUNTIMES; i++) {
                paths[i] = start_counting(h, i);
                pids[i] = (pid_t) client_get_number(h->client, paths[i], "MainPID");
                lines_before[i] = assert_counted(h, paths[i]);
        }

        service.restarts = get_number("NRestarts") + KILLS;
        SYSTEMCTL("set-property", "--runtime", SERVICE, "MemoryMax=" TOO_LITTLE);
        harness_wait(h, was_killed_for_memory, &service, "systemd says that the service was killed for memory");
        harness_wait(h, was_started_again, &service, "it was killed and started again a few times");
        /* One ends while nobody is there to see it. */
        end_by_itself(h, paths[0]);
        harness_wait(h, is_gone, GINT_TO_POINTER(pids[0]), "a runtime has ended by itself");
        for (int i = 1; i < N_RUNTIMES; i++)
                g_assert_cmpint(kill(pids[i], 0), ==, 0);
        g_assert_false(has_name(&service));
        SYSTEMCTL("set-property", "--runtime", SERVICE, "MemoryMax=infinity");
        harness_wait(h, has_name, &service, "the service has its name again");
        g_test_message("killed %u times", get_number("NRestarts") - service.restarts + KILLS);

        for (int i = 0; i < N_RUNTIMES; i++) {
                g_autoptr(GVariant) report = NULL;
                guint n_lines;

                if (i > 0) {
                        g_autofree char *state = client_get_string(h->client, paths[i], "State");

                        g_assert_cmpstr(state, ==, "ready");
                        g_assert_cmpint((pid_t) client_get_number(h->client, paths[i], "MainPID"), ==, pids[i]);
                        g_assert_cmpuint(assert_counted(h, paths[i]), >, lines_before[i]);
                        /* By itself or stopped: it ends as ever. */
                        if (i == 1)
                                end_by_itself(h, paths[i]);
                        else
                                client_stop(h->client, paths[i]);
                }
                report = client_wait_ended(h->client, paths[i]);
                if (i <= 1)
                        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <7>, 'OOMKills': <uint64 0>}", "RequestedBy");
                else
                        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'OOMKills': <uint64 0>}", NULL);
                n_lines = assert_counted(h, paths[i]);
                g_assert_cmpuint(n_lines, >, lines_before[i]);
                g_assert_cmpuint(report_number(report, "LastLine"), ==, n_lines);
                assert_told(h, paths[i], n_lines);
                /* The service goes on for others, who count. */
                g_variant_unref(client_call(h->client, paths[i], "Forget", NULL));
                g_free(paths[i]);
        }
        service_stop(&service);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"killed-for-the-memory-of-its-own-unit-it-comes-back-to-all-runtimes", test_killed_for_memory},
        };

        if (!g_getenv("WITH_VM_BOOT")) {
                g_print("1..0 # SKIP this takes a kernel of its own (tests/with-vm)\n");
                return 0;
        }
        return harness_main(argc, argv, "vm-memory-service", cases, G_N_ELEMENTS(cases));
}
