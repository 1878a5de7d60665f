/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl interrupt: in the way of the runtime's kind. */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/targets.h"
#include "util/names.h"

static int interrupt_one(sd_bus *bus, const Target *target, json_t *result, void *userdata) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = client_call(bus, target->path, RM_RUNTIME_INTERFACE, "Interrupt", CLIENT_TIMEOUT_DEFAULT, &error, NULL, NULL);

        return r < 0 ? client_fail(&error, r) : EXIT_OK;
}

int verb_interrupt(Cli *cli, const Verb *verb, int argc, char **argv) {
        if (!cli_parse(cli, verb, NULL, NULL, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        return targets_do(cli, argv + 1, interrupt_one, NULL, NULL);
}
