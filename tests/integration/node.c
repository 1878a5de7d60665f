/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "node.h"

#include <string.h>
#include <sys/stat.h>

Connection *connection_get(Client *client, const char *path) {
        g_autoptr(GVariant) reply = client_call(client, path, "GetConnection", NULL), members = g_variant_get_child_value(reply, 0);
        Connection *connection = g_new0(Connection, 1);
        gint64 port = 0;

        g_variant_lookup(members, "Node", "s", &connection->node);
        g_variant_lookup(members, "Cookie", "s", &connection->cookie);
        g_variant_lookup(members, "Port", "x", &port);
        g_assert_nonnull(connection->node);
        g_assert_nonnull(connection->cookie);
        g_assert_cmpint(port, >, 0);
        connection->port = port;
        return connection;
}

void connection_free(Connection *connection) {
        g_free(connection->node);
        g_free(connection->cookie);
        g_free(connection);
}

char *node_find_program(const char *name) {
        char *path = g_find_program_in_path(name);

        g_assert_nonnull(path);
        return path;
}

gboolean node_is_possible(void) {
        static const char *const programs[] = {"elixir", "mix", "iex", "erl", "epmd"};

        for (size_t i = 0; i < G_N_ELEMENTS(programs); i++) {
                g_autofree char *path = g_find_program_in_path(programs[i]);

                if (!path) {
                        g_print("1..0 # SKIP no %s is installed\n", programs[i]);
                        return FALSE;
                }
        }
        return TRUE;
}

typedef struct Run {
        char *output;
        GError *error;
        gboolean done;
} Run;

static void on_communicated(GObject *process, GAsyncResult *result, gpointer userdata) {
        Run *run = userdata;

        g_subprocess_communicate_utf8_finish(G_SUBPROCESS(process), result, &run->output, NULL, &run->error);
        run->done = TRUE;
}

static gboolean is_done(gpointer userdata) {
        return ((Run *) userdata)->done;
}

char *node_run_program(Harness *h, const char *const *argv, const char *const *variables) {
        g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
        g_autoptr(GSubprocess) process = NULL;
        g_autoptr(GError) error = NULL;
        Run run = {0};

        for (; variables && *variables; variables++) {
                g_autofree char *name = g_strndup(*variables, strcspn(*variables, "="));

                g_subprocess_launcher_setenv(launcher, name, *variables + strlen(name) + 1, TRUE);
        }
        process = g_subprocess_launcher_spawnv(launcher, argv, &error);
        g_assert_no_error(error);
        g_subprocess_communicate_utf8_async(process, NULL, NULL, on_communicated, &run);
        harness_wait(h, is_done, &run, argv[0]);
        g_assert_no_error(run.error);
        if (!g_subprocess_get_successful(process))
                harness_fail(h, "%s failed: %s", argv[0], run.output);
        return run.output;
}

/* The way of a person: the cookie in a file that nobody else reads, since a command line can be read by all. */
static char *make_home(Harness *h, const char *cookie) {
        static unsigned n;
        g_autofree char *name = g_strdup_printf("stock-%u/.erlang.cookie", ++n), *file = harness_add_file(h, name, cookie, 0400);

        return g_path_get_dirname(file);
}

static char *run_erl(Harness *h, const Connection *connection, const char *expression, const char *script) {
        g_autofree char *home = make_home(h, connection->cookie), *port = g_strdup_printf("%u", connection->port);
        g_autofree char *home_variable = g_strconcat("HOME=", home, NULL), *node_variable = g_strconcat("NODE=", connection->node, NULL);
        g_autofree char *expression_variable = g_strconcat("EXPRESSION=", expression, NULL);
        const char *host = strchr(connection->node, '@') + 1;
        gboolean is_long = strchr(host, '.') != NULL;
        const char *const argv[] = {"erl",
                                    "-noshell",
                                    "-hidden",
                                    "-start_epmd",
                                    "false",
                                    "-erl_epmd_port",
                                    port,
                                    "-dist_listen",
                                    "false",
                                    is_long ? "-name" : "-sname",
                                    is_long ? "stock@127.0.0.1" : "stock",
                                    "-eval",
                                    script,
                                    NULL};
        const char *const variables[] = {home_variable, node_variable, expression_variable, NULL};

        return g_strchomp(node_run_program(h, argv, variables));
}

char *node_eval(Harness *h, const Connection *connection, const char *expression) {
        return run_erl(h, connection, expression,
                       "Node = list_to_atom(os:getenv(\"NODE\")),"
                       "Code = unicode:characters_to_binary(os:getenv(\"EXPRESSION\")),"
                       "case rpc:call(Node, 'Elixir.Code', eval_string, [Code]) of"
                       "  {badrpc, Why} -> io:format(\"badrpc ~p~n\", [Why]), halt(1);"
                       "  {Value, _} -> io:format(\"~0p~n\", [Value]), halt(0) "
                       "end.");
}

void node_check(Client *client, const char *path, const char *expression, const char *value) {
        g_autoptr(Connection) connection = connection_get(client, path);
        g_autofree char *text = node_eval(client->harness, connection, expression);

        g_assert_cmpstr(text, ==, value);
}

void node_tell(Client *client, const char *path, const char *expression) {
        g_autoptr(Connection) connection = connection_get(client, path);

        g_free(run_erl(client->harness, connection, expression,
                       "Node = list_to_atom(os:getenv(\"NODE\")),"
                       "Code = unicode:characters_to_binary(os:getenv(\"EXPRESSION\")),"
                       "_ = rpc:call(Node, 'Elixir.Code', eval_string, [Code]),"
                       "halt(0)."));
}

typedef struct Expected {
        Client *client;
        const char *path;
        guint8 stream;
        const char *text;
} Expected;

static gboolean has_output(gpointer userdata) {
        Expected *expected = userdata;
        g_autoptr(GPtrArray) lines = client_read_lines(expected->client, expected->path, 0);
        g_autofree char *text = g_string_free(lines_join(lines, expected->stream), FALSE);

        return strstr(text, expected->text) != NULL;
}

void node_wait_output(Client *client, const char *path, guint8 stream, const char *text) {
        Expected expected = {client, path, stream, text};

        harness_wait(client->harness, has_output, &expected, text);
}

char *report_step_output(Client *client, const char *path, GVariant *report) {
        guint64 first = report_number(report, "StepFirstLine"), last = report_number(report, "StepLastLine");
        g_autoptr(GPtrArray) lines = client_read_lines(client, path, first - 1);

        for (guint i = 0; i < lines->len; i++)
                if (((Line *) lines->pdata[i])->number > last) {
                        g_ptr_array_set_size(lines, i);
                        break;
                }
        return g_string_free(lines_join(lines, 0), FALSE);
}

GVariant *node_options(const char *format, ...) {
        g_autoptr(GVariant) parsed = NULL;
        GVariantDict dict;
        va_list list;

        if (format) {
                va_start(list, format);
                parsed = g_variant_ref_sink(g_variant_new_parsed_va(format, &list));
                va_end(list);
        }
        g_variant_dict_init(&dict, parsed);
        /* Machines that test are busy ones. */
        if (!g_variant_dict_contains(&dict, "TimeoutHandshakeUSec"))
                g_variant_dict_insert(&dict, "TimeoutHandshakeUSec", "t", (guint64) HARNESS_DEADLINE_USEC);
        return g_variant_dict_end(&dict);
}

char *node_start(Harness *h, GVariant *options) {
        return client_start(h->client, "elixir-standalone", options);
}

char *node_start_ready(Harness *h, GVariant *options) {
        char *path = node_start(h, options);
        g_autofree char *state = client_wait_ready(h->client, path);

        g_assert_cmpstr(state, ==, "ready");
        return path;
}

void node_check_text(const char *text, const char *part) {
        if (!strstr(text, part))
                g_error("\"%s\" is not in: %s", part, text);
}

char *node_add_elixir(Harness *h, const char *script) {
        static unsigned n;
        g_autofree char *name = g_strdup_printf("bin-%u/elixir", ++n), *file = harness_add_file(h, name, script, 0755), *folder = g_path_get_dirname(file);

        return g_strdup_printf("PATH=%s:%s", folder, g_getenv("PATH"));
}

void node_check_signals(Harness *h, const char *path, gboolean ready) {
        client_wait_signal(h->client, path, "Ended");
        client_sync(h->client);
        g_assert_true(!!client_find_signal(h->client, path, "HandshakeCompleted", 0) == ready);
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 1));
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

GVariant *node_fail(Harness *h, GVariant *options, const char *expected) {
        g_autofree char *path = node_start(h, options);
        GVariant *report = client_wait_ended(h->client, path);

        report_check(report, expected, NULL);
        g_assert_cmpuint(report_number(report, "DurationUSec"), <, 20 * G_USEC_PER_SEC);
        node_check_signals(h, path, FALSE);
        return report;
}
