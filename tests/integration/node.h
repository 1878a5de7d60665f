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

void node_check_text(const char *text, const char *part);

/* Options in GVariant's text format, or NULL, with a long time for the handshake unless they say one. */
GVariant *node_options(const char *format, ...);
/* Of elixir-standalone. */
char *node_start(Harness *h, GVariant *options);
char *node_start_ready(Harness *h, GVariant *options);
/* One that ends before it is ready, and before long. Its report, in which expected must be. */
GVariant *node_fail(Harness *h, GVariant *options, const char *expected);
/* Either it was ready once and ended without that being taken back, or it ended once and was never ready. */
void node_check_signals(Harness *h, const char *path, gboolean ready);
/* A script that takes the place of elixir. PATH with its folder first, as an entry of an environment. */
char *node_add_elixir(Harness *h, const char *script);
