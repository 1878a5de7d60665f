/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The options of StartRuntime as people write them: --Name=value or --name-in-words=value, turned into the types that the
 * interface wants. The common ones are in a table here; those of a kind are asked from the service, so that no kind is
 * known to this program.
 */

#include <stdbool.h>

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "cli/cli.h"

typedef struct StartOptions StartOptions;

StartOptions *start_options_new(void);
StartOptions *start_options_free(StartOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StartOptions, start_options_free)

/* `word` is "--name=value" or "--name", or the same without dashes. Nothing is judged yet. */
void start_options_add_word(StartOptions *options, const char *word);
/* A further value for the option of this very name. */
void start_options_add(StartOptions *options, const char *name, const char *value);

bool start_options_is_empty(const StartOptions *options);
/* Whether some option isn't in the common table, so that the kind must be known. */
bool start_options_need_kind(const StartOptions *options);
/* Gives each option its full name and type. `kind` is the kind's dictionary of ListKinds, or NULL. False with a sentence. */
bool start_options_resolve(StartOptions *options, const json_t *kind, char **ret_problem);
/* Appends all of them as a{sv}. -EINVAL with a sentence if a value can't be what it must be; other negative errno without. */
int start_options_append(const StartOptions *options, sd_bus_message *message, char **ret_problem);
/* One that is no limit, and so can't be changed while a runtime runs, as it was written; NULL: there is none. */
const char *start_options_find_fixed(const StartOptions *options);
/* Whether the option has been given with this value. */
bool start_options_has_value(const StartOptions *options, const char *name, const char *value);

/* The names that no kind may give to an option of its own, to NULL. */
const char *const *start_options_reserved(void);

/* The common options with their meanings, and the limits among them, for --help. */
char *start_options_help(void);
/* The names of the limits, for messages. */
char *start_options_limits(void);
char *start_options_limits_help(void);
