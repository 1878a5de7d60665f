/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The program runtimectl as people and scripts meet it: run to its end with its output in pipes, or on a terminal where keys can be typed. It talks to the
 * service of the harness, which has to run. */

#include <glib.h>
#include <jansson.h>
#include <termios.h>

#include "harness.h"

static inline void cleanup_json(json_t **json) {
        json_decref(*json);
}

#define _cleanup_json_ __attribute__((cleanup(cleanup_json)))

/* The words behind "runtimectl", to NULL. Must exit with this code. What it says: stdout (ret_out), stderr (ret_err), each may be NULL if there must be
 * nothing. */
void cli_run(Harness *h, int code, char **ret_out, char **ret_err, ...) G_GNUC_NULL_TERMINATED;
/* stdout, of exit code 0 and nothing on stderr. */
char *cli_text(Harness *h, ...) G_GNUC_NULL_TERMINATED;
/* The same as JSON; the words have no --json of their own. */
json_t *cli_json(Harness *h, ...) G_GNUC_NULL_TERMINATED;
/* stderr, of this exit code and nothing on stdout. */
char *cli_fails(Harness *h, int code, ...) G_GNUC_NULL_TERMINATED;

void assert_contains(const char *text, const char *part);
void assert_contains_not(const char *text, const char *part);
/* A member that is a string. */
void assert_member(const json_t *object, const char *key, const char *value);

/* A shell script of this name, found first in PATH by programs on terminals. */
void cli_add_program(Harness *h, const char *name, const char *script);

typedef struct Terminal Terminal;

/* runtimectl on a terminal of this size, with variables ("NAME=value", to NULL; may be NULL) added to the environment. */
Terminal *terminal_new(Harness *h, unsigned columns, unsigned lines, const char *const *variables, ...) G_GNUC_NULL_TERMINATED;
void terminal_free(Terminal *terminal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Terminal, terminal_free)

void terminal_type(Terminal *terminal, const char *keys);
void terminal_kill(Terminal *terminal, int signal);
/* Waits until it has printed this; looks only behind what a wait before has found. */
void terminal_wait(Terminal *terminal, const char *text);
/* The same, and calls poke() again and again until it has. */
void terminal_wait_poking(Terminal *terminal, const char *text, void (*poke)(gpointer userdata), gpointer userdata);
/* Its exit code, 128 and the signal's number if it was killed by one. */
int terminal_wait_exit(Terminal *terminal);
/* Until a signal has stopped it: one to continue, if it came before, would do nothing. */
void terminal_wait_stopped(Terminal *terminal);
/* All so far, "\r\n" as "\n". */
char *terminal_text(Terminal *terminal);
/* Its settings now are those from before. */
void terminal_assert_unchanged(Terminal *terminal);
gboolean terminal_is_raw(Terminal *terminal);
