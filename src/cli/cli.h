/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What all verbs of runtimectl share: the options every verb takes, the exit codes, and how an error is said. A verb is
 * one file and one function; it parses its own words with cli_parse(), does one thing, and returns an exit code.
 */

#include <libintl.h>
#include <stdbool.h>

#include <glib.h>

#include "util/macro.h"

#define _(text) gettext(text)
#define N_(text) text

/* Scripts depend on these: a number is never given another meaning. cli_exit_codes_help() explains them to people. */
typedef enum ExitCode {
        EXIT_OK = 0,
        EXIT_ERROR = 1, /* the service, or the way to it, refused */
        EXIT_USAGE = 2,
        EXIT_NOT_FOUND = 3,
        EXIT_TIMED_OUT = 4, /* wait --timeout= */

        /* How a runtime ended, when it has neither an exit status nor a signal of its own to tell. */
        EXIT_START_FAILED = 70,
        EXIT_SETUP_FAILED = 71,
        EXIT_HANDSHAKE_FAILED = 72,
        EXIT_RUNTIME_TIMEOUT = 73,
        EXIT_OUT_OF_MEMORY = 74,
        EXIT_STOPPED = 75,
        EXIT_LOST = 76,
        EXIT_UNKNOWN_END = 77,

        EXIT_SIGNAL = 128, /* and the signal's number */
} ExitCode;

typedef enum CliJson {
        CLI_JSON_OFF,
        CLI_JSON_SHORT,
        CLI_JSON_PRETTY,
} CliJson;

typedef struct Cli {
        CliJson json;
        gboolean no_legend, no_pager;
        gboolean user, system;
        char *host, *machine; /* where the service is, if it isn't here */
        GPtrArray *words;     /* of the command line, those that were rewritten */
} Cli;

typedef struct Verb {
        const char *name;
        const char *parameters; /* behind the name in the help text */
        const char *summary;    /* one line */
        int (*run)(Cli *cli, const struct Verb *verb, int argc, char **argv);
} Verb;

int verb_start(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_attach(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_list(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_status(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_logs(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_wait(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_stop(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_kill(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_interrupt(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_forget(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_kinds(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_kind(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_reload(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_restart(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_limit(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_monitor(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_top(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_report(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_metrics(Cli *cli, const Verb *verb, int argc, char **argv);
int verb_connection(Cli *cli, const Verb *verb, int argc, char **argv);

/*
 * Parses the words of a verb: `entries` (may be NULL) and the common options; anything else that looks like an option is
 * refused. `description` (may be NULL) is more help text. On return argv[1] to argv[argc - 1] are the words that are no
 * options, and there are at least `min` and at most `max` of them (-1: any number). Returns false when the words are
 * wrong, which has then been said: the verb returns EXIT_USAGE. --help and --version end the program.
 */
bool cli_parse(Cli *cli, const Verb *verb, const GOptionEntry *entries, const char *description, int min, int max, int *argc, char ***argv);

/* The options of every verb, for those that must look at the words before they are parsed. */
const GOptionEntry *cli_common_entries(void);

/* For help texts: the exit codes of most verbs, and the table of those of runtimes for verbs that return them. */
const char *cli_common_exit_codes_help(void);
const char *cli_exit_codes_help(void);

/* Whether the service is on this machine, so that its files are ours. */
bool cli_is_here(const Cli *cli);
/* The service of the system, which is what is asked elsewhere unless --user is said. */
bool cli_is_system(const Cli *cli);

/* "runtimectl: sentence" on stderr. What comes from elsewhere is made harmless to terminals. */
void cli_error(const char *format, ...) _printf_(1, 2);
/* The same, and where to find help. Returns EXIT_USAGE. */
int cli_usage_error(const Verb *verb, const char *format, ...) _printf_(2, 3);
