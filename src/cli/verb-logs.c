/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl logs: the output that the service still has of a runtime, as it was printed, and with -f what comes. */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/follow.h"
#include "cli/pager.h"
#include "cli/parse.h"
#include "cli/records.h"

/* "stdout,setup" as bits; 0 for what is no list of streams. */
static unsigned parse_streams(const char *text) {
        g_auto(GStrv) names = g_strsplit(text, ",", -1);
        unsigned streams = 0;

        for (char **name = names; *name; name++) {
                int stream = record_stream_from_string(*name);

                if (stream < 0)
                        return 0;
                streams |= 1U << stream;
        }
        return streams;
}

static int show(const Cli *cli, const char *word, int n_lines, bool raw, FollowOptions *options) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_target_ Target target = {};
        int r;

        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = client_find(bus, word, &target);
        if (r != EXIT_OK)
                return r;
        if (n_lines >= 0) {
                r = records_find_tail(bus, target.path, (uint64_t) n_lines, &error, &options->after);
                if (r < 0)
                        return client_fail(&error, r);
        }
        if (!options->until_end && !raw)
                pager_open(cli);
        options->harmless = !raw && pager_is_terminal();
        return follow_run(bus, &target, options, NULL);
}

int verb_logs(Cli *cli, const Verb *verb, int argc, char **argv) {
        gboolean follow = FALSE, raw = FALSE;
        int n_lines = -1;
        g_autofree char *streams = NULL, *since = NULL, *help = NULL;
        FollowOptions options = {.streams = UINT_MAX};
        const GOptionEntry entries[] = {
                {"follow", 'f', 0, G_OPTION_ARG_NONE, &follow, N_("Go on until it has ended"), NULL},
                {"lines", 'n', 0, G_OPTION_ARG_INT, &n_lines, N_("Begin with the last N lines"), N_("N")},
                {"since", 0, 0, G_OPTION_ARG_FILENAME, &since, N_("Begin at this time"), N_("TIME")},
                {"stream", 0, 0, G_OPTION_ARG_FILENAME, &streams, N_("Only these: setup, stdout, stderr (with commas between)"), N_("STREAM")},
                {"raw", 0, 0, G_OPTION_ARG_NONE, &raw, N_("Exactly the bytes that were printed, on a terminal too"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };

        help = g_strconcat(_("On a terminal only text and colours are shown: other control characters become a replacement character. What goes to a file or\n"
                             "to another program is what the runtime has printed, byte for byte.\n\n"
                             "TIME is like '5min ago', 'today', 'yesterday', '08:15', '2026-11-22 08:15:30' or '@1795334400' (seconds since 1970)."),
                           "\n\n", cli_common_exit_codes_help(), NULL);
        if (!cli_parse(cli, verb, entries, help, 1, 1, &argc, &argv))
                return EXIT_USAGE;
        if (since && !parse_past(since, &options.since))
                return cli_usage_error(verb, _("--since=%s: that is not a time like '5min ago', 'today', '08:15' or '2026-11-22 08:15:30'."), since);
        if (raw && cli->json != CLI_JSON_OFF)
                return cli_usage_error(verb, _("--raw prints bytes as they are, so it can't be combined with --json."));
        if (n_lines < -1)
                return cli_usage_error(verb, _("-n needs a number of lines."));
        if (streams) {
                options.streams = parse_streams(streams);
                if (options.streams == 0)
                        return cli_usage_error(verb, _("--stream=%s: the streams are setup, stdout and stderr."), streams);
        }
        options.json = cli->json;
        options.until_end = follow;
        return show(cli, argv[1], n_lines, raw, &options);
}
