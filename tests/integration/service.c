/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "service.h"

#include <string.h>
#include <unistd.h>

static void run(Harness *h, const char *const *argv) {
        g_autoptr(GError) error = NULL;
        int status;

        g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL, &status, &error);
        g_assert_no_error(error);
        if (!g_spawn_check_wait_status(status, &error))
                harness_fail(h, "%s %s: %s", argv[0], argv[1], error->message);
}

static void add(GPtrArray *argv, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void add(GPtrArray *argv, const char *format, ...) {
        va_list list;

        va_start(list, format);
        g_ptr_array_add(argv, g_strdup_vprintf(format, list));
        va_end(list);
}

char *service_start(Harness *h) {
        static const char *const properties[] = {"Type=notify",     "Restart=always", "RestartSec=10ms",   "StartLimitIntervalSec=0",
                                                 "WatchdogSec=30s", "KillMode=mixed", "TimeoutStopSec=60s"};
        static const char *const handed_down[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "PATH"};
        g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
        char *unit = g_strdup_printf("runtime-managerd-test-%d.service", (int) getpid());

        add(argv, "systemd-run");
        add(argv, "--user");
        add(argv, "--quiet");
        add(argv, "--collect");
        add(argv, "--unit=%s", unit);
        for (size_t i = 0; i < G_N_ELEMENTS(properties); i++)
                add(argv, "--property=%s", properties[i]);
        add(argv, "--property=StandardError=append:%s", h->log);
        add(argv, "--setenv=XDG_RUNTIME_DIR=%s", h->runtime_directory);
        add(argv, "--setenv=XDG_CONFIG_HOME=%s", h->config_directory);
        add(argv, "--setenv=HOME=%s", h->home);
        add(argv, "--setenv=DBUS_SESSION_BUS_ADDRESS=%s", h->bus_address);
        add(argv, "--setenv=%s", h->mark);
        for (size_t i = 0; i < G_N_ELEMENTS(handed_down); i++)
                if (g_getenv(handed_down[i]))
                        add(argv, "--setenv=%s=%s", handed_down[i], g_getenv(handed_down[i]));
        add(argv, "%s/runtime-managerd", harness_build_directory());
        add(argv, "--user");
        add(argv, "--bus-address=%s", h->bus_address);
        add(argv, "--systemd-address=%s", g_getenv("DBUS_SESSION_BUS_ADDRESS"));
        g_ptr_array_add(argv, NULL);
        harness_use_service(h, unit);
        run(h, (const char *const *) argv->pdata);
        h->client = client_new(h);
        return unit;
}

void service_stop(Harness *h, char *unit) {
        const char *const argv[] = {"systemctl", "--user", "stop", unit, NULL};

        client_sync(h->client);
        run(h, argv);
        harness_wait_clean(h);
        harness_use_service(h, NULL);
        g_clear_pointer(&h->client, client_free);
        g_free(unit);
}

pid_t service_main_pid(const char *unit) {
        g_autoptr(GVariant) pid = harness_get_unit_property(unit, "Service", "MainPID");

        return pid ? (pid_t) g_variant_get_uint32(pid) : 0;
}
