/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl kind check: reads files as the service would, and says what it would say. It asks no service, so that a kind
 * can be checked before it is put where the service finds it. */

#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/format.h"
#include "cli/start-options.h"
#include "core/kind.h"

static int check_file(const char *path) {
        g_autoptr(Kind) kind = NULL;
        g_autofree char *text = NULL;
        int r;

        r = kind_load_file(path, start_options_reserved(), &kind);
        if (r < 0) {
                cli_error("%s: %s", path, g_strerror(-r));
                return EXIT_ERROR;
        }
        text = format_harmless(kind && kind->problem ? kind->problem : path);
        if (kind && kind->problem) {
                /* FILE:LINE: reason, as compilers have it: editors find the place. */
                fprintf(stderr, "%s\n", text);
                return EXIT_ERROR;
        }
        printf(kind ? _("%s: ok\n") : _("%s: ok; empty, so there is no kind of this name\n"), text);
        return EXIT_OK;
}

int verb_kind(Cli *cli, const Verb *verb, int argc, char **argv) {
        int result = EXIT_OK;

        if (!cli_parse(cli, verb, NULL, _("Exit codes: 0 all are right, 1 one has a mistake, 2 wrong usage."), 2, -1, &argc, &argv))
                return EXIT_USAGE;
        if (strcmp(argv[1], "check") != 0)
                return cli_usage_error(verb, _("What can be done with a kind is 'check', not '%s'."), argv[1]);
        for (char **path = argv + 2; *path; path++)
                if (check_file(*path) != EXIT_OK)
                        result = EXIT_ERROR;
        return result;
}
