/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * runtimectl kind NAME: all there is to know of one kind, to start it or to see why it can't be. runtimectl kind check FILE: reads
 * files as the service would, and says what it would say. That asks no service, so that a kind can be checked before it is put
 * where the service finds it.
 */

#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/pager.h"
#include "cli/start-options.h"
#include "core/kind.h"

/* Below the values of facts. */
#define OPTION_COLUMN ((int) FACT_COLUMNS + 2)

static json_t *check_file(const char *path) {
        g_autoptr(Kind) kind = NULL;
        g_autofree char *error = NULL;
        const char *problem = NULL;
        json_t *check, *more;
        int r;

        r = kind_load_file(path, start_options_reserved(), &kind);
        if (r < 0)
                problem = error = g_strdup_printf("%s: %s", path, g_strerror(-r));
        else if (kind)
                problem = kind->problem;
        check = json_pack("{s:s, s:b, s:b, s:s*}", "Path", path, "Valid", !problem, "Masked", r >= 0 && !kind, "Problem", problem);
        if (!kind || !kind->more_problems)
                return check;
        more = json_array();
        for (char **p = kind->more_problems; *p; p++)
                (void) json_array_append_new(more, json_string(*p));
        (void) json_object_set_new(check, "MoreProblems", more);
        return check;
}

/* FILE:LINE: reason, as compilers have it: editors find the place. */
static void print_problem(const char *problem) {
        g_autofree char *shown = format_harmless(problem);

        fprintf(stderr, "%s\n", shown);
}

static void print_check(const json_t *check) {
        g_autofree char *path = format_harmless(json_get_string(check, "Path", "?"));
        const char *problem = json_get_string(check, "Problem", NULL);
        const json_t *more;
        size_t i;

        if (!problem) {
                printf(json_is_true(json_object_get(check, "Masked")) ? _("%s: ok; empty, so there is no kind of this name\n") : _("%s: ok\n"), path);
                return;
        }
        print_problem(problem);
        json_array_foreach(json_object_get(check, "MoreProblems"), i, more) print_problem(json_string_value(more));
}

static int check_files(const Cli *cli, char **paths) {
        _cleanup_json_ json_t *checks = json_array();
        int result = EXIT_OK;

        for (; *paths; paths++) {
                json_t *check = check_file(*paths);

                (void) json_array_append_new(checks, check);
                if (!json_is_true(json_object_get(check, "Valid")))
                        result = EXIT_ERROR;
                if (cli->json == CLI_JSON_OFF)
                        print_check(check);
        }
        if (cli->json != CLI_JSON_OFF)
                json_print(checks, cli->json);
        return result;
}

static char *text_from_json(const json_t *value) {
        _cleanup_free_ char *dump = NULL;

        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        if (json_is_array(value) && json_array_size(value) == 0)
                return g_strdup("");
        /* What is infinite is null there. */
        if (json_is_null(value))
                return g_strdup("infinity");
        dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        return g_strdup(dump ?: "?");
}

/* Types of kinds' files in words; one that came later is shown as it is. */
static const char *describe_type(const char *type) {
        static const struct {
                const char *type, *words;
        } types[] = {
                {"string", N_("text")}, {"strings", N_("texts")}, {"boolean", N_("yes or no")}, {"integer", N_("number")},
                {"size", N_("size")},   {"time", N_("time")},     {"path", N_("path")},
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (strcmp(types[i].type, type) == 0)
                        return _(types[i].words);
        return type;
}

static void print_option(const json_t *option, const json_t *types) {
        const json_t *values = json_object_get(option, "Values"), *fallback = json_object_get(option, "Default"), *value;
        const char *name = json_get_string(option, "Name", "?");
        GString *line = g_string_new(NULL);
        g_autofree char *default_text = text_from_json(fallback), *text = NULL;
        size_t i;

        g_string_append_printf(line, "--%s (%s)", name, describe_type(json_get_string(types, name, "?")));
        if (*json_get_string(option, "Description", ""))
                g_string_append_printf(line, " %s", kinds_text(json_get_string(option, "Description", "")));
        if (json_is_true(json_object_get(option, "Required")))
                g_string_append(line, _("; required"));
        else if (fallback && *default_text)
                g_string_append_printf(line, _("; default: %s"), default_text);
        json_array_foreach(values, i, value) {
                g_autofree char *one = text_from_json(value);

                g_string_append_printf(line, "%s%s", i == 0 ? _("; one of: ") : ", ", one);
        }
        text = format_harmless(line->str);
        printf("%*s", OPTION_COLUMN, "");
        format_print_wrapped(text, OPTION_COLUMN, OPTION_COLUMN + 4);
        putchar('\n');
        g_string_free(line, TRUE);
}

static void print_kind(const Cli *cli, const json_t *kind) {
        const json_t *options = json_object_get(kind, "Options"), *steps = json_object_get(kind, "Steps"), *entry;
        g_autofree char *name = format_harmless(json_get_string(kind, "Name", "?"));
        GString *step_names = g_string_new(NULL);
        bool available = json_is_true(json_object_get(kind, "Available"));
        size_t i;

        printf("%s%s%s %s\n", format_color(available ? COLOR_GREEN : COLOR_RED), format_bullet(), format_color_off(), name);
        json_array_foreach(steps, i, entry) g_string_append_printf(step_names, "%s%s", i > 0 ? ", " : "", json_string_value(entry) ?: "?");
        format_print_fact(_("Description"), kinds_text(json_get_string(kind, "Description", "")));
        format_print_fact(_("Available"), available ? _("yes") : _("no"));
        format_print_fact(_("Problem"), kinds_text(json_get_string(kind, "Problem", "")));
        format_print_file(_("File"), json_get_string(kind, "Path", ""), cli_is_here(cli));
        format_print_fact(_("Handshake"), json_get_string(kind, "Handshake", ""));
        format_print_fact(_("Interrupt"), json_is_true(json_object_get(kind, "Interrupt")) ? _("yes") : _("no"));
        format_print_fact(_("Setup steps"), step_names->str);
        if (json_array_size(options) > 0) {
                format_print_name(_("Options"));
                putchar('\n');
        }
        json_array_foreach(options, i, entry) print_option(entry, json_object_get(kind, "OptionTypes"));
        if (available && !cli->no_legend)
                printf(_("\n'runtimectl start %s' starts one.\n"), name);
        g_string_free(step_names, TRUE);
}

static int show_kind(const Cli *cli, const char *name) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ json_t *kinds = NULL;
        const json_t *kind;
        int r;

        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = kinds_read(bus, &kinds);
        if (r != EXIT_OK)
                return r;
        kind = kinds_find(kinds, name);
        if (!kind)
                return EXIT_NOT_FOUND;
        pager_open(cli);
        if (cli->json != CLI_JSON_OFF)
                json_print(kind, cli->json);
        else
                print_kind(cli, kind);
        return EXIT_OK;
}

int verb_kind(Cli *cli, const Verb *verb, int argc, char **argv) {
        static const char help[] =
                N_("Exit codes: 0 done, or all files are right; 1 error of the service, or a file has a mistake; 2 wrong usage; 3 no such kind.");

        if (!cli_parse(cli, verb, NULL, _(help), 1, -1, &argc, &argv))
                return EXIT_USAGE;
        if (argc == 2)
                return show_kind(cli, argv[1]);
        if (strcmp(argv[1], "check") != 0)
                return cli_usage_error(verb, _("It is 'kind NAME' or 'kind check FILE...'."));
        return check_files(cli, argv + 2);
}
