/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl kill: sends a signal. To end a runtime, "stop" is the way: what is killed reports that it was. */

#include "cli/cli.h"

#include <signal.h>
#include <string.h>

#include "cli/client.h"
#include "cli/parse.h"
#include "cli/targets.h"
#include "util/names.h"

typedef struct Kill {
        const char *who;
        int signal;
} Kill;

static int kill_one(sd_bus *bus, const Target *target, json_t *result, void *userdata) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        const Kill *request = userdata;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "KillRuntime", CLIENT_TIMEOUT_DEFAULT, &error, NULL, "ssi", target->id, request->who,
                        request->signal);
        return r < 0 ? client_fail(&error, r) : EXIT_OK;
}

int verb_kill(Cli *cli, const Verb *verb, int argc, char **argv) {
        g_autofree char *who = NULL, *signal = NULL;
        Kill request = {.who = "main", .signal = SIGTERM};
        const GOptionEntry entries[] = {
                {"who", 0, 0, G_OPTION_ARG_FILENAME, &who, N_("main (default): its first process; all: every process"), N_("WHO")},
                {"signal", 's', 0, G_OPTION_ARG_FILENAME, &signal, N_("By name or number; default: SIGTERM"), N_("SIGNAL")},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };

        if (!cli_parse(cli, verb, entries, NULL, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        if (who && strcmp(who, "main") != 0 && strcmp(who, "all") != 0)
                return cli_usage_error(verb, _("--who=%s: it is 'main' or 'all'."), who);
        if (signal && !parse_signal(signal, &request.signal))
                return cli_usage_error(verb, _("--signal=%s: that is no signal."), signal);
        request.who = who ?: request.who;
        return targets_do(cli, argv + 1, kill_one, NULL, &request);
}
