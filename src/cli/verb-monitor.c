/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * runtimectl monitor: what the service says, as it says it, until it is interrupted; over restarts of the service, too. Signals count from the bus itself and
 * from who owns the service's name, as the bus tells it: anybody can send us one that looks like the service's (see follow.c).
 */

#include "cli/cli.h"

#include <string.h>

#include <systemd/sd-event.h>

#include "cli/client.h"
#include "cli/events.h"
#include "cli/json.h"
#include "util/names.h"

enum {
        SUBSCRIBE_LIFE = 1,
        SUBSCRIBE_OUTPUT = 2,
};

typedef struct Monitor {
        const Cli *cli;
        sd_event *event;
        sd_bus *bus;
        sd_bus_slot *match_signals, *match_owner, *call_subscribe;
        GHashTable *ids; /* of those to tell of; NULL: all */
        uint32_t flags;
        char *service; /* its unique name; NULL: it isn't there */
} Monitor;

static int monitor_subscribe(Monitor *monitor);

static void tell(const Monitor *monitor, sd_bus_message *message) {
        _cleanup_json_ json_t *event = NULL;
        const char *id;

        if (event_read(message, &event) < 0)
                return;
        id = json_get_string(event, "Id", NULL);
        if (monitor->ids && id && !g_hash_table_contains(monitor->ids, id))
                return;
        if (monitor->cli->json != CLI_JSON_OFF)
                json_print(event, monitor->cli->json);
        else
                event_print(event);
        fflush(stdout);
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const Monitor *monitor = userdata;

        if (monitor->service && g_strcmp0(sd_bus_message_get_sender(message), monitor->service) == 0)
                tell(monitor, message);
        return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Monitor *monitor = userdata;
        const char *name, *old_owner, *new_owner;
        int r;

        if (g_strcmp0(sd_bus_message_get_sender(message), "org.freedesktop.DBus") != 0)
                return 0;
        if (sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner) < 0)
                return 0;
        (void) sd_bus_message_rewind(message, true);
        /* Our own Subscribe may have had it started, and has named it then. */
        if (g_strcmp0(monitor->service, new_owner) != 0)
                tell(monitor, message);
        g_clear_pointer(&monitor->service, g_free);
        if (*new_owner == '\0')
                return 0;
        monitor->service = g_strdup(new_owner);
        r = monitor_subscribe(monitor);
        if (r < 0)
                (void) sd_event_exit(monitor->event, client_fail(&SD_BUS_ERROR_NULL, r));
        return 0;
}

static int on_subscribed(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Monitor *monitor = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        monitor->call_subscribe = sd_bus_slot_unref(monitor->call_subscribe);
        if (!error) {
                g_free(monitor->service);
                monitor->service = g_strdup(sd_bus_message_get_sender(reply));
        } else if (!monitor->service || !client_is_away(error))
                /* One that has gone again meanwhile is waited for. */
                (void) sd_event_exit(monitor->event, client_fail(error, 0));
        return 0;
}

static int monitor_subscribe(Monitor *monitor) {
        monitor->call_subscribe = sd_bus_slot_unref(monitor->call_subscribe);
        return sd_bus_call_method_async(monitor->bus, &monitor->call_subscribe, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Subscribe", on_subscribed,
                                        monitor, "u", monitor->flags);
}

static int find_ids(Monitor *monitor, char **words) {
        if (!*words)
                return EXIT_OK;
        monitor->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        for (; *words; words++) {
                _cleanup_target_ Target target = {};
                int r = client_find(monitor->bus, *words, &target);

                if (r != EXIT_OK)
                        return r;
                /* As signals have it: the path's last part. */
                g_hash_table_add(monitor->ids, g_strdup(strrchr(target.path, '/') + 1));
        }
        return EXIT_OK;
}

static int monitor_run(Monitor *monitor) {
        int r;

        r = client_attach(monitor->bus, &monitor->event);
        if (r >= 0)
                r = client_match_owner(monitor->bus, &monitor->match_owner, on_owner_changed, monitor);
        if (r >= 0)
                r = sd_bus_match_signal(monitor->bus, &monitor->match_signals, RM_BUS_NAME, NULL, NULL, NULL, on_signal, monitor);
        if (r >= 0)
                r = monitor_subscribe(monitor);
        if (r >= 0)
                r = sd_event_loop(monitor->event);
        return r < 0 ? client_fail(&SD_BUS_ERROR_NULL, r) : r;
}

static void monitor_done(Monitor *monitor) {
        sd_bus_slot_unref(monitor->match_signals);
        sd_bus_slot_unref(monitor->match_owner);
        sd_bus_slot_unref(monitor->call_subscribe);
        g_clear_pointer(&monitor->ids, g_hash_table_unref);
        g_free(monitor->service);
        client_detach(monitor->bus, monitor->event);
        cleanup_bus(&monitor->bus);
}

int verb_monitor(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_(monitor_done) Monitor monitor = {.cli = cli};
        gboolean no_output = FALSE;
        const GOptionEntry entries[] = {
                {"no-output", 0, 0, G_OPTION_ARG_NONE, &no_output, N_("Leave out what runtimes print"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };
        int r;

        if (!cli_parse(cli, verb, entries, NULL, 0, -1, &argc, &argv))
                return EXIT_USAGE;
        monitor.flags = SUBSCRIBE_LIFE | (no_output ? 0 : SUBSCRIBE_OUTPUT);
        r = client_open(cli, &monitor.bus);
        if (r == EXIT_OK)
                r = find_ids(&monitor, argv + 1);
        return r == EXIT_OK ? monitor_run(&monitor) : r;
}
