/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl connection: what a client needs to connect to a runtime itself. It holds secrets, so it is only shown when
 * asked for by name. */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "util/names.h"

static void print_member(const char *key, const json_t *value, bool bare) {
        g_autofree char *text = NULL;

        if (json_is_string(value))
                text = format_harmless(json_string_value(value));
        else if (json_is_integer(value))
                text = g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else
                text = g_strdup(json_is_true(value) ? "true" : "false");
        if (bare)
                puts(text);
        else
                printf("%s=%s\n", key, text);
}

/* For scripts: the values alone, one a line, of those that are named. */
static int print_named(const json_t *connection, char **names) {
        for (char **name = names; *name; name++)
                if (!json_object_get(connection, *name)) {
                        cli_error(_("The connection of this runtime has no '%s'."), *name);
                        return EXIT_ERROR;
                }
        for (; *names; names++)
                print_member(*names, json_object_get(connection, *names), true);
        return EXIT_OK;
}

int verb_connection(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_target_ Target target = {};
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *connection = NULL;
        const char *key;
        json_t *value;
        int r;

        if (!cli_parse(cli, verb, NULL, NULL, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = client_find(bus, argv[1], &target);
        if (r != EXIT_OK)
                return r;
        r = client_call(bus, target.path, RM_RUNTIME_INTERFACE, "GetConnection", CLIENT_TIMEOUT_DEFAULT, &error, &reply, NULL);
        if (r >= 0)
                r = json_read_value(reply, &connection);
        if (r < 0)
                return client_fail(&error, r);
        if (cli->json != CLI_JSON_OFF)
                json_print(connection, cli->json);
        else if (argc > 2)
                return print_named(connection, argv + 2);
        else
                json_object_foreach(connection, key, value) print_member(key, value, false);
        return EXIT_OK;
}
