/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl list: the runtimes, those that have ended too until they are forgotten. The service filters. */

#include "cli/cli.h"

#include <string.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/pager.h"
#include "util/names.h"

typedef struct ListFilter {
        char *kind, *state;
        char **labels;
} ListFilter;

static void filter_clear(ListFilter *filter) {
        g_free(filter->kind);
        g_free(filter->state);
        g_strfreev(filter->labels);
}

static int append_labels(sd_bus_message *message, char **labels) {
        int r;

        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(message, 's', "Labels");
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', "a{ss}");
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{ss}");
        for (char **label = labels; r >= 0 && *label; label++) {
                const char *equals = strchr(*label, '=');
                g_autofree char *key = g_strndup(*label, (size_t) (equals - *label));

                r = sd_bus_message_append(message, "{ss}", key, equals + 1);
        }
        for (unsigned i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(message);
        return r;
}

static int append_filter(sd_bus_message *message, const ListFilter *filter) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0 && filter->kind)
                r = sd_bus_message_append(message, "{sv}", "Kind", "s", filter->kind);
        if (r >= 0 && filter->state)
                r = sd_bus_message_append(message, "{sv}", "State", "s", filter->state);
        if (r >= 0 && filter->labels)
                r = append_labels(message, filter->labels);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int read_list(sd_bus *bus, const ListFilter *filter, json_t **ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *message = NULL, *reply = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes");
        if (r >= 0)
                r = append_filter(message, filter);
        if (r >= 0)
                r = client_send(bus, message, CLIENT_TIMEOUT_DEFAULT, &error, &reply);
        if (r >= 0)
                r = json_read_value(reply, ret);
        return r < 0 ? client_fail(&error, r) : EXIT_OK;
}

static void print_json(const json_t *list, CliJson mode) {
        _cleanup_json_ json_t *array = json_array();
        const json_t *entry;
        size_t i;

        json_array_foreach(list, i, entry) {
                json_t *object = json_object();

                (void) json_object_set(object, "Id", json_array_get(entry, 0));
                (void) json_object_set(object, "Object", json_array_get(entry, 1));
                (void) json_object_update(object, json_array_get(entry, 2));
                (void) json_array_append_new(array, object);
        }
        json_print(array, mode);
}

/* The service of the system has runtimes of several users. */
static void print_table(const json_t *list, bool legend, bool users) {
        const char *const headings[] = {N_("USER"), N_("ID"), N_("KIND"), N_("STATE"), N_("MAIN-PID"), N_("SINCE"), N_("DESCRIPTION")};
        g_autoptr(Table) table = table_new(ELEMENTSOF(headings) - !users);
        const json_t *entry;
        size_t i;

        json_array_foreach(list, i, entry) {
                const json_t *facts = json_array_get(entry, 2);
                const char *state = json_get_string(facts, "State", "?");
                uint64_t pid = json_get_u64(facts, "MainPID", 0), start = json_get_u64(facts, "StartTimestamp", 0);
                g_autofree char *pid_text = pid > 0 ? g_strdup_printf("%" G_GUINT64_FORMAT, pid) : NULL;
                g_autofree char *since = start > 0 ? format_ago(start) : NULL, *user = format_user(json_get_u64(facts, "UID", 0));

                if (users)
                        table_add(table, user);
                table_add(table, json_string_value(json_array_get(entry, 0)));
                table_add(table, json_get_string(facts, "Kind", "?"));
                table_add_colored(table, format_state_color(state, NULL), state);
                table_add(table, pid_text);
                table_add(table, since);
                table_add(table, json_get_string(facts, "Description", ""));
        }
        table_print(table, legend ? headings + !users : NULL);
        if (!legend)
                return;
        printf(ngettext("\n%zu runtime.\n", "\n%zu runtimes.\n", json_array_size(list)), json_array_size(list));
        if (json_array_size(list) == 0)
                puts(_("'runtimectl kinds' lists what can be started, 'runtimectl start KIND' starts one."));
}

static int list(Cli *cli, const ListFilter *filter) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ json_t *list = NULL;
        int r;

        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = read_list(bus, filter, &list);
        if (r != EXIT_OK)
                return r;
        pager_open(cli);
        if (cli->json != CLI_JSON_OFF)
                print_json(list, cli->json);
        else
                print_table(list, !cli->no_legend, cli_is_system(cli));
        return EXIT_OK;
}

/* No error to the service, which may be newer; but what is mistyped lists nothing, and looks as if there was nothing. */
static int check_state(const Verb *verb, const char *state) {
        static const char *const states[] = {"starting", "preparing", "connecting", "initializing", "ready", "stopping", "ended", NULL};
        g_autofree char *list = NULL;

        if (!state || g_strv_contains(states, state))
                return EXIT_OK;
        list = g_strjoinv(", ", (char **) states);
        return cli_usage_error(verb, _("--state=%s: the states are %s."), state, list);
}

int verb_list(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_(filter_clear) ListFilter filter = {};
        const GOptionEntry entries[] = {
                {"kind", 0, 0, G_OPTION_ARG_FILENAME, &filter.kind, N_("Only those of this kind"), N_("KIND")},
                {"state", 0, 0, G_OPTION_ARG_FILENAME, &filter.state, N_("Only those in this state"), N_("STATE")},
                {"label", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &filter.labels, N_("Only those with this label"), N_("KEY=VALUE")},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };

        if (!cli_parse(cli, verb, entries, NULL, 0, 0, &argc, &argv))
                return EXIT_USAGE;
        for (char **label = filter.labels; label && *label; label++)
                if (!strchr(*label, '='))
                        return cli_usage_error(verb, _("--label=%s: that is not KEY=VALUE."), *label);
        if (check_state(verb, filter.state) != EXIT_OK)
                return EXIT_USAGE;
        return list(cli, &filter);
}
