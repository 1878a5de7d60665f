/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl kinds: what can be started, and why not. */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/pager.h"

static void print_table(const json_t *kinds, bool legend) {
        const char *const headings[] = {N_("NAME"), N_("AVAILABLE"), N_("HANDSHAKE"), N_("DESCRIPTION")};
        g_autoptr(Table) table = table_new(ELEMENTSOF(headings));
        const json_t *kind;
        size_t i;

        json_array_foreach(kinds, i, kind) {
                bool available = json_is_true(json_object_get(kind, "Available"));
                const char *problem = json_get_string(kind, "Problem", "");

                table_add(table, json_get_string(kind, "Name", "?"));
                table_add_colored(table, available ? COLOR_GREEN : COLOR_RED, available ? _("yes") : _("no"));
                table_add(table, json_get_string(kind, "Handshake", ""));
                table_add(table, kinds_text(available ? json_get_string(kind, "Description", "") : problem));
        }
        table_print(table, legend ? headings : NULL);
        if (!legend)
                return;
        printf(ngettext("\n%zu kind.", "\n%zu kinds.", json_array_size(kinds)), json_array_size(kinds));
        puts(_(" 'runtimectl kind NAME' shows one and its options."));
}

int verb_kinds(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ json_t *kinds = NULL;
        int r;

        if (!cli_parse(cli, verb, NULL, NULL, 0, 0, &argc, &argv))
                return EXIT_USAGE;
        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = kinds_read(bus, &kinds);
        if (r != EXIT_OK)
                return r;
        pager_open(cli);
        if (cli->json != CLI_JSON_OFF)
                json_print(kinds, cli->json);
        else
                print_table(kinds, !cli->no_legend);
        return EXIT_OK;
}
