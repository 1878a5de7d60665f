/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Elixir as a client has it: a stock Erlang node that connects to a runtime with what GetConnection says, and nothing else. */

#include "harness.h"

typedef struct Connection {
        char *node;
        char *cookie;
        guint port;
} Connection;

/* GetConnection. */
Connection *connection_get(Client *client, const char *path);
void connection_free(Connection *connection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Connection, connection_free)

/* Whether elixir, mix and erl are in PATH; else says so as the result of the test program. */
gboolean node_is_possible(void);
/* A program of PATH. */
char *node_find_program(const char *name);

/* Runs a program with these variables added to its environment until it ends, which must be with status 0, and returns what it said. */
char *node_run_program(Harness *h, const char *const *argv, const char *const *variables);

/* Evaluates an expression of Elixir in the runtime and returns the value, as Erlang's ~p writes it. */
char *node_eval(Harness *h, const Connection *connection, const char *expression);
/* The same with a connection of its own; the value must be this. */
void node_check(Client *client, const char *path, const char *expression, const char *value);
/* For expressions that end the node: sent, not answered. */
void node_tell(Client *client, const char *path, const char *expression);

/* Whether a line of stream contains this, and until then waits for it. */
void node_wait_output(Client *client, const char *path, guint8 stream, const char *text);
/* The lines of a report's step, as text. */
char *report_step_output(Client *client, const char *path, GVariant *report);
