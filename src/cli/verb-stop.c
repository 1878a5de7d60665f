/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl stop: asks all of them to end, then waits until they have. What has ended already is as wanted. */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/json.h"
#include "cli/parse.h"
#include "cli/targets.h"
#include "util/names.h"

static int stop_one(sd_bus *bus, const Target *target, json_t *result, void *userdata) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        const uint64_t *timeout = userdata;
        int r;

        if (*timeout == USEC_INFINITY)
                r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StopRuntime", CLIENT_TIMEOUT_DEFAULT, &error, NULL, "sa{sv}", target->id, 0);
        else
                r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StopRuntime", CLIENT_TIMEOUT_DEFAULT, &error, NULL, "sa{sv}", target->id, 1,
                                "TimeoutStopUSec", "t", *timeout);
        return r >= 0 || sd_bus_error_has_name(&error, RM_ERROR_BAD_STATE) ? EXIT_OK : client_fail(&error, r);
}

static int wait_one(sd_bus *bus, const Target *target, json_t *result, void *userdata) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *report = NULL;
        const char *state;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime", CLIENT_TIMEOUT_NEVER, &error, &reply, "ss", target->id, "ended");
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &state);
        if (r >= 0)
                r = json_read_value(reply, &report);
        if (r >= 0) {
                (void) json_object_set_new(result, "State", json_string(state));
                (void) json_object_set(result, "EndReport", report);
        }
        /* Ended and forgotten meanwhile is ended too. */
        return r >= 0 || client_is_unknown(&error) ? EXIT_OK : client_fail(&error, r);
}

int verb_stop(Cli *cli, const Verb *verb, int argc, char **argv) {
        gboolean no_wait = FALSE;
        g_autofree char *timeout = NULL;
        uint64_t timeout_usec = USEC_INFINITY;
        const GOptionEntry entries[] = {
                {"timeout", 0, 0, G_OPTION_ARG_FILENAME, &timeout, N_("For each stage (its own way, SIGTERM, SIGKILL); 0: SIGKILL at once"), N_("TIME")},
                {"no-wait", 0, 0, G_OPTION_ARG_NONE, &no_wait, N_("Ask, and don't wait for the end"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };

        if (!cli_parse(cli, verb, entries, NULL, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        if (timeout && !parse_time(timeout, USEC_PER_SEC, &timeout_usec))
                return cli_usage_error(verb, _("--timeout=%s: that is not a time like 10s."), timeout);
        return targets_do(cli, argv + 1, stop_one, no_wait ? NULL : wait_one, &timeout_usec);
}
