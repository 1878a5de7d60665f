/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl attach: a runtime's input and output are ours until one of the two leaves. Several may be attached at once, as to a screen that all look at. */

#include "cli/cli.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/follow.h"
#include "cli/json.h"
#include "cli/records.h"
#include "cli/report.h"

/* What the runtime has for input decides what we are to it. */
static int choose(sd_bus *bus, const Target *target, FollowOptions *options) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *facts = NULL;
        const char *input;
        int r;

        r = client_get_properties(bus, target->path, &error, &facts);
        if (r < 0)
                return client_fail(&error, r);
        input = json_get_string(facts, "Input", "null");
        options->terminal = strcmp(input, "terminal") == 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        options->input = !options->terminal && strcmp(input, "null") != 0;
        options->input_terminal = options->input && strcmp(input, "terminal") == 0;
        if (strcmp(input, "null") == 0 && !options->quiet)
                cli_error(_("The runtime %s has no input; here is its output, and Ctrl-C leaves it. To type to it, start it with --Input=pipe or "
                            "--Input=terminal."),
                          target->id);
        options->leaves = options->split = !options->terminal;
        options->harmless = !options->terminal && isatty(STDOUT_FILENO);
        return EXIT_OK;
}

static void tell_entered(const Target *target, const FollowOptions *options) {
        if (options->quiet)
                return;
        if (options->terminal)
                cli_error(_("Attached to the runtime %s. Press Ctrl-] to leave it."), target->id);
        else if (options->input && isatty(STDIN_FILENO))
                cli_error(_("Attached to the runtime %s. It reads the lines you type, and Ctrl-D ends them. Press Ctrl-C to leave it."), target->id);
}

static bool is_left_by_signal(int r) {
        /* Who doesn't read us any more doesn't want to hear of it. */
        return r > EXIT_SIGNAL && r != EXIT_SIGNAL + SIGPIPE;
}

/* `r`: as follow_run() has it, which has told what went wrong. */
static int leave(const Target *target, const FollowOptions *options, int r, const json_t *report) {
        g_autofree char *sentence = NULL;

        if (r != EXIT_OK && !is_left_by_signal(r))
                return r;
        if (!report) {
                if (!options->quiet)
                        cli_error(_("Left the runtime %s, which goes on; 'runtimectl attach %s' comes back."), target->id, target->id);
                return r;
        }
        sentence = report_sentence(report);
        if (!options->quiet)
                cli_error("%s", sentence);
        return report_exit_code(report);
}

/* Of which the event loop hears, with those that end us. */
static void block_signals(bool terminal) {
        sigset_t mask;

        follow_block_signals();
        if (!terminal)
                return;
        sigemptyset(&mask);
        sigaddset(&mask, SIGWINCH);
        sigaddset(&mask, SIGQUIT);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
}

static int attach(const Cli *cli, const char *word, int n_lines, FollowOptions *options) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_target_ Target target = {};
        _cleanup_json_ json_t *report = NULL;
        int r;

        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = client_find(bus, word, &target);
        if (r == EXIT_OK)
                r = choose(bus, &target, options);
        if (r != EXIT_OK)
                return r;
        r = records_find_tail(bus, target.path, (uint64_t) n_lines, &error, &options->after);
        if (r < 0)
                return client_fail(&error, r);
        block_signals(options->terminal);
        tell_entered(&target, options);
        r = follow_run(bus, &target, options, &report);
        if (options->terminal || (is_left_by_signal(r) && isatty(STDERR_FILENO)))
                /* What the runtime has printed last, or the terminal for Ctrl-C, may not have ended its line. */
                fputs("\n", stderr);
        return leave(&target, options, r, report);
}

int verb_attach(Cli *cli, const Verb *verb, int argc, char **argv) {
        gboolean quiet = FALSE;
        int n_lines = 10;
        FollowOptions options = {.streams = UINT_MAX, .until_end = true};
        const GOptionEntry entries[] = {
                {"lines", 'n', 0, G_OPTION_ARG_INT, &n_lines, N_("Begin with the last N lines; default: 10"), N_("N")},
                {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_("Say nothing of our own"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };
        g_autofree char *help = g_strconcat(
                _("Ctrl-] leaves a runtime with a terminal (started with --Input=terminal); the runtime goes on. Otherwise stdin is its input, to the end,\n"
                  "its stdout comes out of stdout, its stderr and its setup out of stderr, and Ctrl-C leaves it. Once it has ended, we exit as it did."),
                "\n\n", cli_exit_codes_help(), NULL);

        if (!cli_parse(cli, verb, entries, help, 1, 1, &argc, &argv))
                return EXIT_USAGE;
        if (n_lines < 0)
                return cli_usage_error(verb, _("-n needs a number of lines."));
        if (cli->json != CLI_JSON_OFF)
                return cli_usage_error(verb, _("What a runtime prints is no JSON; 'runtimectl logs --follow --json' has it as such."));
        options.quiet = quiet;
        return attach(cli, argv[1], n_lines, &options);
}
