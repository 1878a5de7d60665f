/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * runtimectl start: starts a runtime and tells its id; waits until it is ready; or stands for it, as if the runtime were
 * this program. Our own options are told apart from the runtime's before GOption sees them, since it can't know those.
 */

#include "cli/cli.h"

#include "cli/client.h"
#include "cli/follow.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/option-words.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/start-options.h"
#include "util/names.h"

/* Longer than the service takes to say that it took too long: a minute for a start's turn, and its own time. */
#define START_TIMEOUT_USEC (90 * USEC_PER_SEC)

typedef struct Start {
        Cli *cli;
        const Verb *verb;
        const char *kind;
        StartOptions *options;

        gboolean wait, follow, quiet;
        char **environment, **labels, *user;
        char **argv; /* what was behind "--", NULL if nothing was */
} Start;

static void start_clear(Start *start) {
        start_options_free(start->options);
        g_strfreev(start->environment);
        g_strfreev(start->labels);
        g_free(start->user);
}

/* What is behind "--" is the runtime's. */
static void split_words(Start *start, const GOptionEntry *entries, int *argc, char **argv) {
        int end = option_words_take(entries, start->options, argc, argv);

        if (end == *argc)
                return;
        start->argv = argv + end + 1;
        argv[end] = NULL;
        *argc = end;
}

static bool parse_words(Start *start, int argc, char **argv) {
        const GOptionEntry entries[] = {
                {"wait", 'w', 0, G_OPTION_ARG_NONE, &start->wait, N_("Wait until it is ready"), NULL},
                {"follow", 'f', 0, G_OPTION_ARG_NONE, &start->follow, N_("Print its output, wait for its end, exit as it did"), NULL},
                {"env", 'E', 0, G_OPTION_ARG_FILENAME_ARRAY, &start->environment, N_("A variable of its environment"), N_("NAME[=VALUE]")},
                {"label", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &start->labels, N_("A label"), N_("KEY=VALUE")},
                {"uid", 0, 0, G_OPTION_ARG_STRING, &start->user, N_("For which user it is, by name or number (with --system)"), N_("USER")},
                {"quiet", 'q', 0, G_OPTION_ARG_NONE, &start->quiet, N_("Say nothing but what was asked for"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };
        g_autofree char *options = start_options_help();
        g_autofree char *help =
                g_strconcat(options, "\n",
                            _("Without --follow, prints the id. With it the runtime's stdout comes out of stdout, its stderr and its setup out of\n"
                              "stderr, unchanged. SIGINT, SIGTERM or SIGHUP, or a closed stdout, then stop the runtime; the exit code is 128 and\n"
                              "the signal's number; a second signal leaves it behind. --wait exits as the runtime did if it ends before it is ready."),
                            "\n\n", cli_exit_codes_help(), NULL);

        split_words(start, entries, &argc, argv);
        if (!cli_parse(start->cli, start->verb, entries, help, 0, -1, &argc, &argv))
                return false;
        if (argc < 2) {
                cli_usage_error(start->verb, _("Which kind of runtime? 'runtimectl kinds' lists them."));
                return false;
        }
        if (argc > 2) {
                cli_usage_error(start->verb, _("What is '%s'? A value goes behind '=', as in --id=VALUE, the words of the runtime go behind '--'."), argv[2]);
                return false;
        }
        if (start->follow && start->cli->json != CLI_JSON_OFF) {
                cli_usage_error(start->verb, _("--follow prints the runtime's own output, so it can't be combined with --json."));
                return false;
        }
        start->kind = argv[1];
        return true;
}

static int read_kind(Start *start, sd_bus *bus, json_t **ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *kinds = NULL;
        json_t *entry;
        size_t i;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListKinds", CLIENT_TIMEOUT_DEFAULT, &error, &reply, NULL);
        if (r >= 0)
                r = json_read_value(reply, &kinds);
        if (r < 0)
                return client_fail(&error, r);
        json_array_foreach(kinds, i, entry) if (g_strcmp0(json_string_value(json_array_get(entry, 0)), start->kind) == 0) {
                *ret = json_incref(json_array_get(entry, 1));
                return EXIT_OK;
        }
        kinds_tell_missing(start->kind);
        return EXIT_NOT_FOUND;
}

/* What `-E`, `--label` and the words behind "--" mean depends on nothing but the kind: "command" has no program of its own. */
static void add_shortcuts(Start *start) {
        const char *words = g_str_equal(start->kind, "command") ? "Command" : "Arguments";

        for (char **p = start->environment; p && *p; p++)
                start_options_add(start->options, "Environment", *p);
        for (char **p = start->labels; p && *p; p++)
                start_options_add(start->options, "Labels", *p);
        if (start->user)
                start_options_add(start->options, "User", start->user);
        for (char **p = start->argv; p && *p; p++)
                start_options_add(start->options, words, *p);
}

static void print_options_hint(const Start *start) {
        g_autofree char *kind = format_harmless(start->kind);

        fprintf(stderr, _("'runtimectl kind %s' shows the options of this kind, 'runtimectl start --help' those of all kinds.\n"), kind);
}

static int make_call(Start *start, sd_bus *bus, sd_bus_message **ret) {
        _cleanup_message_ sd_bus_message *message = NULL;
        _cleanup_json_ json_t *kind = NULL;
        g_autofree char *problem = NULL;
        int r;

        if (start_options_need_kind(start->options)) {
                r = read_kind(start, bus, &kind);
                if (r != EXIT_OK)
                        return r;
        }
        if (!start_options_resolve(start->options, kind, &problem)) {
                cli_error("%s", problem);
                print_options_hint(start);
                return EXIT_USAGE;
        }
        r = sd_bus_message_new_method_call(bus, &message, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", start->kind);
        if (r >= 0)
                r = start_options_append(start->options, message, &problem);
        if (r < 0)
                return problem ? cli_usage_error(start->verb, "%s", problem) : client_fail(&SD_BUS_ERROR_NULL, r);
        *ret = TAKE_PTR(message);
        return EXIT_OK;
}

/* What isn't started at all ends as what is and then fails does: a script needn't know how far it came. */
static int start_fail(const sd_bus_error *error, int r) {
        static const struct {
                const char *name;
                int exit_code;
        } failures[] = {
                {RM_ERROR_EXECUTABLE_NOT_FOUND, EXIT_START_FAILED},
                {RM_ERROR_START_FAILED, EXIT_START_FAILED},
                {RM_ERROR_TIMEOUT, EXIT_START_FAILED},
                {RM_ERROR_SETUP_FAILED, EXIT_SETUP_FAILED},
        };
        int exit_code = client_fail(error, r);

        for (size_t i = 0; i < ELEMENTSOF(failures); i++)
                if (sd_bus_error_has_name(error, failures[i].name))
                        return failures[i].exit_code;
        return exit_code;
}

static int start_runtime(Start *start, sd_bus *bus, Target *ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *message = NULL, *reply = NULL;
        const char *id, *path;
        int r;

        r = make_call(start, bus, &message);
        if (r != EXIT_OK)
                return r;
        r = client_send(bus, message, START_TIMEOUT_USEC, &error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "so", &id, &path);
        if (r < 0)
                return start_fail(&error, r);
        ret->id = g_strdup(id);
        ret->path = g_strdup(path);
        return EXIT_OK;
}

static int follow(Start *start, sd_bus *bus, const Target *target) {
        const FollowOptions options = {
                .streams = UINT_MAX,
                .until_end = true,
                .split = true,
                .input = start_options_has_value(start->options, "Input", "pipe"),
                .quiet = start->quiet,
                .owned = true,
        };
        _cleanup_json_ json_t *report = NULL;
        int r;

        if (!start->quiet)
                cli_error(_("Started the runtime %s."), target->id);
        r = follow_run(bus, target, &options, &report);
        if (r != EXIT_OK)
                return r;
        if (!start->quiet) {
                g_autofree char *sentence = report_sentence(report);

                cli_error("%s", sentence);
        }
        return report_exit_code(report);
}

static int wait_ready(const Cli *cli, sd_bus *bus, const Target *target, json_t *result) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *report = NULL;
        g_autofree char *sentence = NULL, *state = NULL;
        int r;

        r = progress_wait(cli, bus, target, "ready", CLIENT_TIMEOUT_NEVER, &error, &state, &report);
        if (r < 0)
                return client_fail(&error, r);
        (void) json_object_set_new(result, "State", json_string(state));
        (void) json_object_set(result, "EndReport", report);
        if (!report_is_early(report))
                return EXIT_OK;
        sentence = report_sentence(report);
        cli_error(_("The runtime %s ended before it was ready. %s"), target->id, sentence);
        report_print_tail(report, stderr, "  ");
        return report_exit_code(report);
}

/* For people, who type: what one does next. stdout has the id alone, so that $(runtimectl start ...) is it. */
static void print_hint(const Start *start, const Target *target) {
        if (start->quiet || start->cli->no_legend || !isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO))
                return;
        fprintf(stderr, _("'runtimectl logs -f %s' shows what it prints, 'runtimectl stop %s' ends it.\n"), target->id, target->id);
}

static int run(Start *start) {
        _cleanup_json_ json_t *result = NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_target_ Target target = {};
        int r;

        add_shortcuts(start);
        r = client_open(start->cli, &bus);
        if (r != EXIT_OK)
                return r;
        if (start->follow)
                follow_block_signals();
        r = start_runtime(start, bus, &target);
        if (r != EXIT_OK)
                return r;
        if (start->follow)
                return follow(start, bus, &target);

        if (start->cli->json == CLI_JSON_OFF) {
                puts(target.id);
                fflush(stdout);
        }
        result = json_pack("{s:s, s:s}", "Id", target.id, "Object", target.path);
        r = start->wait ? wait_ready(start->cli, bus, &target, result) : EXIT_OK;
        if (start->cli->json != CLI_JSON_OFF)
                json_print(result, start->cli->json);
        else if (r == EXIT_OK)
                print_hint(start, &target);
        return r;
}

int verb_start(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_(start_clear) Start start = {.cli = cli, .verb = verb, .options = start_options_new()};

        return parse_words(&start, argc, argv) ? run(&start) : EXIT_USAGE;
}
