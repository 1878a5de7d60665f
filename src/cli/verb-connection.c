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

/* Those that are named alone, in their order. An exit code. */
static int select_named(json_t **connection, char **names) {
        _cleanup_json_ json_t *selected = json_object();

        for (; *names; names++) {
                json_t *value = json_object_get(*connection, *names);

                if (!value) {
                        cli_error(_("The connection of this runtime has no '%s'."), *names);
                        return EXIT_ERROR;
                }
                (void) json_object_set(selected, *names, value);
        }
        json_decref(*connection);
        *connection = TAKE_PTR(selected);
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
        r = argc > 2 ? select_named(&connection, argv + 2) : EXIT_OK;
        if (r != EXIT_OK)
                return r;
        if (cli->json != CLI_JSON_OFF)
                json_print(connection, cli->json);
        else
                /* For scripts: of those that are named the values alone. */
                json_object_foreach(connection, key, value) print_member(key, value, argc > 2);
        return EXIT_OK;
}
