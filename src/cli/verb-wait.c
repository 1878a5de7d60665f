/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl wait: for what WaitRuntime waits for, with a time-out that is ours. */

#include "cli/cli.h"

#include <string.h>

#include "cli/client.h"
#include "cli/json.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "util/names.h"

static int wait_for(Cli *cli, const char *word, const char *until, uint64_t timeout_usec) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_target_ Target target = {};
        _cleanup_json_ json_t *report = NULL;
        g_autofree char *state = NULL;
        int r;

        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = client_find(bus, word, &target);
        if (r != EXIT_OK)
                return r;
        r = progress_wait(cli, bus, &target, until, timeout_usec, &error, &state, &report);
        if (r == -ETIMEDOUT && !sd_bus_error_is_set(&error)) {
                cli_error(_("The time is up, and the runtime %s is still not there."), target.id);
                return EXIT_TIMED_OUT;
        }
        if (r < 0)
                return client_fail(&error, r);

        if (cli->json != CLI_JSON_OFF) {
                _cleanup_json_ json_t *result = json_pack("{s:s, s:s, s:s, s:O}", "Id", target.id, "Object", target.path, "State", state, "EndReport", report);

                json_print(result, cli->json);
        }
        if (strcmp(state, "ended") != 0 || (strcmp(until, "ready") == 0 && !report_is_early(report)))
                return EXIT_OK;
        if (cli->json == CLI_JSON_OFF) {
                g_autofree char *sentence = report_sentence(report);

                cli_error("%s", sentence);
        }
        return report_exit_code(report);
}

int verb_wait(Cli *cli, const Verb *verb, int argc, char **argv) {
        g_autofree char *until = NULL, *timeout = NULL, *help = NULL;
        uint64_t timeout_usec = CLIENT_TIMEOUT_NEVER;
        const GOptionEntry entries[] = {
                {"until", 0, 0, G_OPTION_ARG_FILENAME, &until, N_("ready, or ended (default)"), N_("STATE")},
                {"timeout", 0, 0, G_OPTION_ARG_FILENAME, &timeout, N_("Wait no longer than this, like 10s"), N_("TIME")},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };

        help = g_strconcat(_("4 is the exit code when --timeout is over. --until=ready is 0 for what has been ready, even if it has ended since."), "\n\n",
                           cli_exit_codes_help(), NULL);
        if (!cli_parse(cli, verb, entries, help, 1, 1, &argc, &argv))
                return EXIT_USAGE;
        if (until && strcmp(until, "ready") != 0 && strcmp(until, "ended") != 0)
                return cli_usage_error(verb, _("--until=%s: it is 'ready' or 'ended'."), until);
        /* 0 would be sd-bus's own time-out. */
        if (timeout && (!parse_time(timeout, USEC_PER_SEC, &timeout_usec) || timeout_usec == 0))
                return cli_usage_error(verb, _("--timeout=%s: that is not a time like 10s."), timeout);
        return wait_for(cli, argv[1], until ?: "ended", timeout_usec);
}
