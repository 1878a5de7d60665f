/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * runtimectl: the service by hand. It is an ordinary client of the D-Bus interface, with no rights and no knowledge of its
 * own: whatever it can do, a program can do with the same calls. This file finds the verb; each verb is a file.
 */

#include "cli/cli.h"

#include <locale.h>
#include <stdarg.h>
#include <string.h>

#include "cli/format.h"
#include "util/paths.h"

static const Verb verbs[] = {
        {"start", N_("KIND [--OPTION=VALUE...] [-- ARGUMENT...]"), N_("Start a runtime"), verb_start},
        {"list", "", N_("List runtimes"), verb_list},
        {"status", N_("ID..."), N_("Show a runtime"), verb_status},
        {"logs", N_("ID"), N_("Show what a runtime has printed"), verb_logs},
        {"report", N_("ID..."), N_("Show how runtimes ended"), verb_report},
        {"attach", N_("ID"), N_("Use a runtime's input and output, or its terminal"), verb_attach},
        {"wait", N_("ID"), N_("Wait until a runtime is ready or has ended"), verb_wait},
        {"stop", N_("ID..."), N_("Stop runtimes"), verb_stop},
        {"kill", N_("ID..."), N_("Send a signal to runtimes"), verb_kill},
        {"interrupt", N_("ID..."), N_("Interrupt what runtimes compute"), verb_interrupt},
        {"restart", N_("ID..."), N_("Start runtimes again, under the same ids"), verb_restart},
        {"monitor", N_("[ID...]"), N_("Show the signals of the service as they come"), verb_monitor},
        {"top", "", N_("Show what runtimes use, over and over"), verb_top},
        {"limit", N_("ID KEY=VALUE..."), N_("Change what a runtime may use"), verb_limit},
        {"connection", N_("ID [NAME...]"), N_("Show what it takes to connect to a runtime"), verb_connection},
        {"forget", N_("ID..."), N_("Remove ended runtimes and their output"), verb_forget},
        {"kinds", "", N_("List the kinds of runtime"), verb_kinds},
        {"kind", N_("NAME | check FILE..."), N_("Show a kind, or say what is wrong with files of kinds"), verb_kind},
        {"metrics", "", N_("Print the service's numbers in the format of Prometheus"), verb_metrics},
        {"reload", "", N_("Read the files that describe kinds again"), verb_reload},
};

static gboolean on_json(const char *name, const char *value, void *data, GError **error) {
        static const struct {
                const char *word;
                CliJson mode;
        } modes[] = {
                {"short", CLI_JSON_SHORT},
                {"pretty", CLI_JSON_PRETTY},
                {"off", CLI_JSON_OFF},
        };
        Cli *cli = data;

        for (size_t i = 0; i < ELEMENTSOF(modes); i++)
                if (strcmp(modes[i].word, value) == 0) {
                        cli->json = modes[i].mode;
                        return TRUE;
                }
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _("%s is 'short', 'pretty' or 'off', not '%s'"), name, value);
        return FALSE;
}

static gboolean on_version(const char *name, const char *value, void *data, GError **error) {
        puts("runtimectl " PROJECT_VERSION);
        exit(EXIT_OK);
}

const GOptionEntry *cli_common_entries(void) {
        static const GOptionEntry entries[] = {
                {"json", 0, 0, G_OPTION_ARG_CALLBACK, on_json, N_("Print JSON: short (as --json alone), pretty or off"), N_("MODE")},
                {"no-legend", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Print neither headings nor hints"), NULL},
                {"no-pager", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Don't show long output a page at a time"), NULL},
                {"host", 'H', 0, G_OPTION_ARG_STRING, NULL, N_("Ask the service of another host, through ssh"), N_("[USER@]HOST[:PORT]")},
                {"machine", 'M', 0, G_OPTION_ARG_STRING, NULL, N_("Ask the service of a local container"), N_("[USER@]CONTAINER")},
                {"user", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Ask the service of this user (default)"), NULL},
                {"system", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Ask the service of the system, which is for all users"), NULL},
                {"version", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, on_version, N_("Show the version"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };

        return entries;
}

/* Where the value of a common option goes. */
static void *common_value(Cli *cli, const char *option) {
        const struct {
                const char *option;
                void *value;
        } values[] = {
                {"no-legend", &cli->no_legend}, {"no-pager", &cli->no_pager}, {"host", &cli->host},
                {"machine", &cli->machine},     {"user", &cli->user},         {"system", &cli->system},
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++)
                if (strcmp(values[i].option, option) == 0)
                        return values[i].value;
        return NULL;
}

/* GOption writes to where an entry points, and its callbacks get the data of their group: so a group is built around each Cli. */
static GOptionGroup *new_common_group(Cli *cli, const GOptionEntry *more) {
        GOptionGroup *group = g_option_group_new("common", "", "", cli, NULL);

        g_option_group_set_translation_domain(group, GETTEXT_PACKAGE);
        if (more)
                g_option_group_add_entries(group, more);
        for (const GOptionEntry *entry = cli_common_entries(); entry->long_name; entry++) {
                GOptionEntry one[] = {*entry, {NULL, 0, 0, 0, NULL, NULL, NULL}};

                if (entry->arg != G_OPTION_ARG_CALLBACK)
                        one[0].arg_data = common_value(cli, entry->long_name);
                g_option_group_add_entries(group, one);
        }
        return group;
}

const char *cli_common_exit_codes_help(void) {
        return _("Exit codes: 0 done, 1 error of the service, 2 wrong usage, 3 no such runtime or kind.");
}

const char *cli_exit_codes_help(void) {
        return _("Exit codes, once the runtime has ended:\n"
                 "  0      it ended with success\n"
                 "  N      it exited with status N\n"
                 "  128+S  it was ended by signal number S\n"
                 "  70     its program could not be started\n"
                 "  71     a setup step failed\n"
                 "  72     its handshake failed, or was not done in time\n"
                 "  73     its time was up (RuntimeMaxUSec)\n"
                 "  74     it ran out of memory\n"
                 "  75     it was stopped\n"
                 "  76     it was lost: how it ended is not known\n"
                 "  77     it ended in another way\n"
                 "Otherwise: 1 error of the service, 2 wrong usage, 3 no such runtime or kind.");
}

static void vprint_error(const char *format, va_list arguments) _printf_(1, 0);
static void vprint_error(const char *format, va_list arguments) {
        g_autofree char *message = g_strdup_vprintf(format, arguments);
        g_autofree char *text = format_harmless(message);

        fflush(stdout);
        fprintf(stderr, "runtimectl: %s\n", text);
}

void cli_error(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        vprint_error(format, arguments);
        va_end(arguments);
}

int cli_usage_error(const Verb *verb, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        vprint_error(format, arguments);
        va_end(arguments);
        if (verb)
                fprintf(stderr, _("Try 'runtimectl %s --help'.\n"), verb->name);
        else
                fputs(_("Try 'runtimectl --help'.\n"), stderr);
        return EXIT_USAGE;
}

/* The option with a value whose short name the word begins with. */
static const GOptionEntry *find_short(const GOptionEntry *entries, const char *word) {
        for (; entries && entries->long_name; entries++)
                if (entries->short_name == word[1] && entries->arg != G_OPTION_ARG_NONE)
                        return entries;
        return NULL;
}

/* What people are used to and GOption doesn't know: "-n20", and "--json" without a value (it would take the next word for one). */
static void rewrite_words(Cli *cli, const GOptionEntry *entries, char **argv) {
        for (; *argv && strcmp(*argv, "--") != 0; argv++) {
                const GOptionEntry *entry = NULL;

                if (strcmp(*argv, "--json") == 0)
                        *argv = (char *) "--json=short";
                else if ((*argv)[0] == '-' && (*argv)[1] && (*argv)[1] != '-' && (*argv)[2])
                        entry = find_short(entries, *argv);
                if (entry) {
                        *argv = g_strdup_printf("--%s=%s", entry->long_name, *argv + 2);
                        g_ptr_array_add(cli->words, *argv);
                }
        }
}

bool cli_parse(Cli *cli, const Verb *verb, const GOptionEntry *entries, const char *description, int min, int max, int *argc, char ***argv) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GOptionContext) context = NULL;
        g_autofree char *program = g_strdup_printf("runtimectl %s", verb->name);

        /* The name shown in "Usage:" is that of argv[0]'s program. */
        g_set_prgname(program);
        context = g_option_context_new(*verb->parameters ? _(verb->parameters) : NULL);
        g_option_context_set_summary(context, _(verb->summary));
        g_option_context_set_main_group(context, new_common_group(cli, entries));
        g_option_context_set_description(context, description ?: cli_common_exit_codes_help());
        rewrite_words(cli, entries, *argv);
        rewrite_words(cli, cli_common_entries(), *argv);
        if (!g_option_context_parse(context, argc, argv, &error)) {
                cli_usage_error(verb, "%s.", error->message);
                return false;
        }
        if (*argc > 1 && strcmp((*argv)[1], "--") == 0) {
                (*argv)++;
                (*argc)--;
        }
        if (*argc - 1 < min) {
                cli_usage_error(verb, _("Too few arguments: it is 'runtimectl %s %s'."), verb->name, _(verb->parameters));
                return false;
        }
        if (max >= 0 && *argc - 1 > max) {
                cli_usage_error(verb, _("Too many arguments: '%s'."), (*argv)[max + 1]);
                return false;
        }
        return true;
}

static char *make_verbs_help(void) {
        GString *text = g_string_new(_("Starts, shows and stops the runtimes of the Runtime Manager.\n\nVerbs:"));

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                g_autofree char *left = g_strdup_printf("%s %s", verbs[i].name, *verbs[i].parameters ? _(verbs[i].parameters) : "");

                g_string_append(text, "\n  ");
                format_pad(text, left, 49);
                g_string_append(text, _(verbs[i].summary));
        }
        return g_string_free(text, FALSE);
}

bool cli_is_here(const Cli *cli) {
        return !cli->host && !cli->machine;
}

bool cli_is_system(const Cli *cli) {
        return cli->system || (!cli_is_here(cli) && !cli->user);
}

static void cli_clear(Cli *cli) {
        g_ptr_array_unref(cli->words);
        g_free(cli->host);
        g_free(cli->machine);
}

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

int main(int argc, char **argv) {
        _cleanup_free_ char *locales = path_of_locales();
        g_autoptr(GError) error = NULL;
        g_autoptr(GOptionContext) context = NULL;
        g_autofree char *help = NULL;
        _cleanup_(cli_clear) Cli cli = {.words = g_ptr_array_new_with_free_func(g_free)};
        const Verb *verb;

        setlocale(LC_ALL, "");
        /* As other tools of systemd have them, and options take them. */
        setlocale(LC_NUMERIC, "C");
        (void) bindtextdomain(GETTEXT_PACKAGE, locales);
        (void) bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        (void) textdomain(GETTEXT_PACKAGE);

        help = make_verbs_help();
        context = g_option_context_new(_("VERB"));
        g_option_context_set_summary(context, help);
        g_option_context_set_description(
                context, _("An ID may be shortened to as many characters as make it unique.\n'runtimectl VERB --help' tells more.\n\n"
                           "Exit codes: 0 done, 1 error of the service, 2 wrong usage, 3 no such runtime or kind; 4 and more: 'runtimectl wait --help'."));
        g_option_context_set_strict_posix(context, TRUE);
        g_option_context_set_main_group(context, new_common_group(&cli, NULL));
        g_set_prgname("runtimectl");
        rewrite_words(&cli, cli_common_entries(), argv);
        if (!g_option_context_parse(context, &argc, &argv, &error))
                return cli_usage_error(NULL, "%s.", error->message);

        if (argc < 2)
                return cli_usage_error(NULL, _("Which verb?"));
        verb = find_verb(argv[1]);
        if (!verb)
                return cli_usage_error(NULL, _("There is no verb '%s'."), argv[1]);
        return verb->run(&cli, verb, argc - 1, argv + 1);
}
