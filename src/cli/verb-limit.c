/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl limit: what a runtime may use, changed while it runs. Amounts are written as for a start. */

#include "cli/cli.h"

#include <string.h>

#include "cli/client.h"
#include "cli/json.h"
#include "cli/option-words.h"
#include "cli/start-options.h"
#include "util/names.h"

static int set_limits(sd_bus *bus, const Verb *verb, const Target *target, const StartOptions *limits) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *message = NULL;
        g_autofree char *problem = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, RM_BUS_NAME, target->path, RM_RUNTIME_INTERFACE, "SetLimits");
        if (r >= 0)
                r = start_options_append(limits, message, &problem);
        if (problem)
                return cli_usage_error(verb, "%s", problem);
        if (r >= 0)
                r = client_send(bus, message, CLIENT_TIMEOUT_DEFAULT, &error, NULL);
        return r < 0 ? client_fail(&error, r) : EXIT_OK;
}

/* For scripts: all limits there are now. */
static int print_limits(sd_bus *bus, const Target *target, CliJson mode) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *properties = NULL, *result = NULL;
        int r;

        r = client_get_properties(bus, target->path, &error, &properties);
        if (r < 0)
                return client_fail(&error, r);
        result = json_pack("{s:s, s:s, s:O}", "Id", target->id, "Object", target->path, "Limits", json_object_get(properties, "Limits"));
        json_print(result, mode);
        return EXIT_OK;
}

static int tell_no_limit(const Verb *verb, const char *word) {
        g_autofree char *limits = start_options_limits();

        return cli_usage_error(verb, _("There is no limit '%s'. There are %s."), word, limits);
}

int verb_limit(Cli *cli, const Verb *verb, int argc, char **argv) {
        g_autoptr(StartOptions) limits = start_options_new();
        g_autofree char *help = start_options_limits_help(), *more = NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_target_ Target target = {};
        const char *fixed;
        int r;

        more = g_strconcat(help, "\n", cli_common_exit_codes_help(), NULL);
        (void) option_words_take(NULL, limits, &argc, argv);
        if (!cli_parse(cli, verb, NULL, more, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        for (char **word = argv + 2; *word; word++)
                start_options_add_word(limits, *word);
        if (start_options_is_empty(limits))
                return cli_usage_error(verb, _("Too few arguments: it is 'runtimectl %s %s'."), verb->name, _(verb->parameters));
        fixed = start_options_find_fixed(limits);
        if (fixed)
                return tell_no_limit(verb, fixed);
        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = client_find(bus, argv[1], &target);
        if (r == EXIT_OK)
                r = set_limits(bus, verb, &target, limits);
        if (r == EXIT_OK && cli->json != CLI_JSON_OFF)
                r = print_limits(bus, &target, cli->json);
        return r;
}
