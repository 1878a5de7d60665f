/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl kinds: what can be started, and why not; with names, what each takes. */

#include "cli/cli.h"

#include <string.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/pager.h"
#include "util/names.h"

static json_t *object_from_option(const json_t *option) {
        static const char *const keys[] = {"Name", "Type", "Description", "Required", "Default", "Values"};
        json_t *object = json_object();

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                (void) json_object_set(object, keys[i], json_array_get(option, i));
        return object;
}

/* The reply's tuples as objects: with names for what is told by its place on the bus. */
static json_t *object_from_kind(const json_t *entry) {
        json_t *object = json_object(), *options = json_array();
        const json_t *option;
        size_t i;

        (void) json_object_set(object, "Name", json_array_get(entry, 0));
        (void) json_object_update(object, json_array_get(entry, 1));
        json_array_foreach(json_object_get(object, "Options"), i, option)(void) json_array_append_new(options, object_from_option(option));
        (void) json_object_set_new(object, "Options", options);
        return object;
}

static int read_kinds(sd_bus *bus, json_t **ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *raw = NULL, *kinds = json_array();
        const json_t *entry;
        size_t i;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListKinds", CLIENT_TIMEOUT_DEFAULT, &error, &reply, NULL);
        if (r >= 0)
                r = json_read_value(reply, &raw);
        if (r < 0)
                return client_fail(&error, r);
        json_array_foreach(raw, i, entry)(void) json_array_append_new(kinds, object_from_kind(entry));
        *ret = TAKE_PTR(kinds);
        return EXIT_OK;
}

static void print_table(const json_t *kinds, bool legend) {
        const char *const headings[] = {"NAME", "AVAILABLE", "HANDSHAKE", "DESCRIPTION"};
        g_autoptr(Table) table = table_new(ELEMENTSOF(headings));
        const json_t *kind;
        size_t i;

        json_array_foreach(kinds, i, kind) {
                bool available = json_is_true(json_object_get(kind, "Available"));
                const char *problem = json_get_string(kind, "Problem", "");

                table_add(table, json_get_string(kind, "Name", "?"));
                table_add_colored(table, available ? COLOR_GREEN : COLOR_RED, available ? _("yes") : _("no"));
                table_add(table, json_get_string(kind, "Handshake", ""));
                table_add(table, available ? json_get_string(kind, "Description", "") : problem);
        }
        table_print(table, legend ? headings : NULL);
        if (legend)
                fputs(_("\n'runtimectl kinds NAME' shows the options of a kind.\n"), stdout);
}

static char *text_from_json(const json_t *value) {
        _cleanup_free_ char *dump = NULL;

        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        /* What is infinite is null there. */
        if (json_is_null(value))
                return g_strdup("infinity");
        dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        return g_strdup(dump ?: "?");
}

static void print_option(const json_t *option) {
        const json_t *values = json_object_get(option, "Values"), *fallback = json_object_get(option, "Default");
        GString *line = g_string_new(NULL);
        g_autofree char *default_text = text_from_json(fallback), *values_text = text_from_json(values), *text = NULL;
        bool required = json_is_true(json_object_get(option, "Required"));

        g_string_append_printf(line, "--%s (%s)", json_get_string(option, "Name", "?"), json_get_string(option, "Type", "?"));
        if (*json_get_string(option, "Description", ""))
                g_string_append_printf(line, " %s", json_get_string(option, "Description", ""));
        if (required)
                g_string_append_printf(line, _("; required"));
        else if (fallback && *default_text)
                g_string_append_printf(line, _("; default: %s"), default_text);
        if (json_array_size(values) > 0)
                g_string_append_printf(line, _("; one of %s"), values_text);
        text = format_harmless(line->str);
        printf("              %s\n", text);
        g_string_free(line, TRUE);
}

static void print_kind(const json_t *kind) {
        const json_t *options = json_object_get(kind, "Options"), *steps = json_object_get(kind, "Steps"), *entry;
        g_autofree char *name = format_harmless(json_get_string(kind, "Name", "?"));
        GString *step_names = g_string_new(NULL);
        bool available = json_is_true(json_object_get(kind, "Available"));
        size_t i;

        printf("%s%s%s\n", format_color(COLOR_BOLD), name, format_color_off());
        json_array_foreach(steps, i, entry) g_string_append_printf(step_names, "%s%s", i > 0 ? ", " : "", json_string_value(entry) ?: "?");
        format_print_fact(_("Description"), json_get_string(kind, "Description", ""));
        format_print_fact(_("Available"), available ? _("yes") : _("no"));
        format_print_fact(_("Problem"), json_get_string(kind, "Problem", ""));
        format_print_fact(_("File"), json_get_string(kind, "Path", ""));
        format_print_fact(_("Handshake"), json_get_string(kind, "Handshake", ""));
        format_print_fact(_("Interrupt"), json_is_true(json_object_get(kind, "Interrupt")) ? _("yes") : _("no"));
        format_print_fact(_("Setup steps"), step_names->str);
        if (json_array_size(options) > 0)
                printf("%12s:\n", _("Options"));
        json_array_foreach(options, i, entry) print_option(entry);
        g_string_free(step_names, TRUE);
}

/* The kinds of these names, in their order. An exit code. */
static int select_kinds(const json_t *kinds, char **names, json_t **ret) {
        _cleanup_json_ json_t *selected = json_array();

        for (; *names; names++) {
                json_t *kind = NULL;
                size_t i;

                json_array_foreach(kinds, i, kind) if (g_str_equal(json_get_string(kind, "Name", ""), *names)) break;
                if (i == json_array_size(kinds)) {
                        cli_error(_("There is no kind '%s'. 'runtimectl kinds' lists those there are."), *names);
                        return EXIT_NOT_FOUND;
                }
                (void) json_array_append(selected, kind);
        }
        *ret = TAKE_PTR(selected);
        return EXIT_OK;
}

int verb_kinds(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ json_t *kinds = NULL, *selected = NULL;
        const json_t *kind;
        size_t i;
        int r;

        if (!cli_parse(cli, verb, NULL, NULL, 0, -1, &argc, &argv))
                return EXIT_USAGE;
        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = read_kinds(bus, &kinds);
        if (r == EXIT_OK && argc > 1)
                r = select_kinds(kinds, argv + 1, &selected);
        if (r != EXIT_OK)
                return r;
        pager_open(cli);
        if (cli->json != CLI_JSON_OFF)
                json_print(selected ?: kinds, cli->json);
        else if (!selected)
                print_table(kinds, !cli->no_legend);
        else
                json_array_foreach(selected, i, kind) print_kind(kind);
        return EXIT_OK;
}
