/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl reload: kinds as their files are now. What runs keeps the kind that it was started from. As JSON: what kinds there are
 * now. */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "util/names.h"

int verb_reload(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *kinds = NULL;
        int r;

        if (!cli_parse(cli, verb, NULL, NULL, 0, 0, &argc, &argv))
                return EXIT_USAGE;
        r = client_open(cli, &bus);
        if (r != EXIT_OK)
                return r;
        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Reload", CLIENT_TIMEOUT_DEFAULT, &error, NULL, NULL);
        if (r < 0)
                return client_fail(&error, r);
        if (cli->json == CLI_JSON_OFF)
                return EXIT_OK;
        r = kinds_read(bus, &kinds);
        if (r == EXIT_OK)
                json_print(kinds, cli->json);
        return r;
}
