/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The distribution of Elixir nodes, and the traps that people who use such nodes know: cookies, loopback, port mappers, remote shells. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "node.h"
#include "util/names.h"

static void check_not_in_file(const char *path, const char *secret) {
        g_autofree char *text = NULL;
        GStatBuf st;
        gsize size;

        /* The record is for the next daemon of this user, and nobody else. */
        if (g_str_has_suffix(path, "/record.json") && g_stat(path, &st) == 0 && (st.st_mode & 0777) == 0600)
                return;
        if (g_file_get_contents(path, &text, &size, NULL) && memmem(text, size, secret, strlen(secret)))
                g_error("the cookie is in %s", path);
}

static void check_not_below(const char *path, const char *secret) {
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                if (g_file_test(child, G_FILE_TEST_IS_SYMLINK))
                        continue;
                if (g_file_test(child, G_FILE_TEST_IS_REGULAR))
                        check_not_in_file(child, secret);
                else
                        check_not_below(child, secret);
        }
}

/* Checked before any stock node is used: their cookie files are below the same folder. */
static void test_cookie(Harness *h) {
        g_autofree char *path = NULL, *output = NULL;
        g_autoptr(Connection) connection = NULL;
        g_autoptr(GArray) pids = NULL;
        g_autoptr(GVariant) reply = NULL;

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        connection = connection_get(h->client, path);
        g_assert_cmpuint(strlen(connection->cookie), >=, 20);

        pids = harness_find_processes(h);
        g_assert_cmpuint(pids->len, >, 0);
        for (guint i = 0; i < pids->len; i++) {
                g_autofree char *line = g_strdup_printf("/proc/%u/cmdline", g_array_index(pids, guint, i));
                g_autofree char *environment = g_strdup_printf("/proc/%u/environ", g_array_index(pids, guint, i));

                check_not_in_file(line, connection->cookie);
                check_not_in_file(environment, connection->cookie);
        }
        check_not_below(h->directory, connection->cookie);
        output = client_read_text(h->client, path);
        g_assert_null(strstr(output, connection->cookie));

        reply = g_dbus_connection_call_sync(h->client->bus, RM_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
                                            g_variant_new("(s)", RM_RUNTIME_INTERFACE), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
        g_assert_nonnull(reply);
        for (gsize i = 0;; i++) {
                const Signal *signal = client_find_signal(h->client, NULL, NULL, i);
                g_autofree char *text = g_variant_print(signal ? signal->parameters : reply, FALSE);

                g_assert_null(strstr(text, connection->cookie));
                if (!signal)
                        break;
        }
        node_check(h->client, path, "1 + 1", "2");
}

static void test_other_cookie(Harness *h) {
        g_autofree char *path = NULL, *answer = NULL;
        g_autoptr(Connection) connection = NULL;
        static const char script[] = "io:format(\"~p\", [net_adm:ping(list_to_atom(os:getenv(\"NODE\")))]), halt(0).";
        g_autofree char *port = NULL, *node = NULL, *home = NULL, *file = NULL, *home_variable = NULL;

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        connection = connection_get(h->client, path);
        port = g_strdup_printf("%u", connection->port);
        node = g_strconcat("NODE=", connection->node, NULL);
        file = harness_add_file(h, "wrong/.erlang.cookie", "nocookie", 0400);
        home = g_path_get_dirname(file);
        home_variable = g_strconcat("HOME=", home, NULL);
        answer = node_run_program(h,
                                  (const char *const[]){"erl", "-noshell", "-hidden", "-start_epmd", "false", "-erl_epmd_port", port, "-dist_listen", "false",
                                                        "-sname", "stock", "-eval", script, NULL},
                                  (const char *const[]){home_variable, node, NULL});
        g_assert_true(g_str_has_suffix(answer, "pang"));
        node_check(h->client, path, "length(Node.list(:connected))", "1");
}

static void test_loopback(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        node_check(h->client, path,
                   "Enum.uniq(for p <- Port.list(), Port.info(p, :name) == {:name, ~c\"tcp_inet\"}, {:ok, {a, _}} <- [:inet.sockname(p)], is_tuple(a), do: a)",
                   "[{127,0,0,1}]");
}

static guint pick_port(void) {
        g_autoptr(GSocketListener) listener = g_socket_listener_new();

        return g_socket_listener_add_any_inet_port(listener, NULL, NULL);
}

static gboolean epmd_answers(gpointer userdata) {
        g_autoptr(GSocketClient) client = g_socket_client_new();
        g_autoptr(GSocketConnection) connection = g_socket_client_connect_to_host(client, "127.0.0.1", *(guint *) userdata, NULL, NULL);

        return connection != NULL;
}

/* A port mapper that is nobody's runtime. */
static GSubprocess *start_epmd(Harness *h, guint port) {
        g_autofree char *text = g_strdup_printf("%u", port);
        g_autoptr(GError) error = NULL;
        GSubprocess *epmd = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, "epmd", "-port", text, "-address",
                                             "127.0.0.1", NULL);

        g_assert_no_error(error);
        harness_wait(h, epmd_answers, &port, "epmd answers");
        return epmd;
}

static char *epmd_names(Harness *h, guint port) {
        g_autofree char *text = g_strdup_printf("%u", port);

        return node_run_program(h, (const char *const[]){"epmd", "-port", text, "-names", NULL}, NULL);
}

typedef struct Name {
        Harness *h;
        guint port;
        const char *id;
        gboolean there;
} Name;

static gboolean name_is_as_wanted(gpointer userdata) {
        Name *name = userdata;
        g_autofree char *names = epmd_names(name->h, name->port), *line = g_strdup_printf("name runtime_manager_%s at", name->id);

        return !!strstr(names, line) == name->there;
}

static void wait_name(Harness *h, guint port, const char *path, gboolean there) {
        Name name = {h, port, path_to_id(path), there};

        harness_wait(h, name_is_as_wanted, &name, there ? "the name is known to epmd" : "the name is gone from epmd");
}

static void test_port_mapper(Harness *h) {
        guint port = pick_port();
        g_autofree char *variable = g_strdup_printf("ERL_EPMD_PORT=%u", port);
        g_autofree char *without = NULL, *one = NULL, *two = NULL, *never = NULL;
        g_autoptr(GSubprocess) epmd = NULL;
        g_autoptr(GVariant) report = NULL;

        /* Where none runs, none is started. */
        harness_start_daemon(h, (const char *const[]){variable, NULL});
        without = node_start_ready(h, node_options(NULL));
        node_check(h->client, without, "1 + 1", "2");
        g_assert_false(epmd_answers(&port));

        epmd = start_epmd(h, port);
        one = node_start_ready(h, node_options(NULL));
        two = node_start_ready(h, node_options(NULL));
        never = node_start_ready(h, node_options("{'Epmd': <'never'>}"));
        wait_name(h, port, one, TRUE);
        wait_name(h, port, two, TRUE);
        wait_name(h, port, never, FALSE);

        client_stop(h->client, one);
        report = client_wait_ended(h->client, one);
        wait_name(h, port, one, FALSE);
        wait_name(h, port, two, TRUE);
        node_check(h->client, two, "1 + 1", "2");
        g_subprocess_force_exit(epmd);
        g_assert_true(g_subprocess_wait(epmd, NULL, NULL));
}

enum { MANY = 20 };

/* What a stock node that knows all cookies reaches: one line a node, "pong" or "pang". */
static char *ping_all(Harness *h, guint port, Connection *const *connections) {
        g_autoptr(GString) nodes = g_string_new("NODES=");
        g_autofree char *variable = g_strdup_printf("ERL_EPMD_PORT=%u", port), *file = harness_add_file(h, "pinging/.erlang.cookie", "other", 0600);
        g_autofree char *home = g_path_get_dirname(file), *home_variable = g_strconcat("HOME=", home, NULL);
        static const char script[] = "Lines = string:lexemes(os:getenv(\"NODES\"), \"\\n\"),"
                                     "[begin [N, C] = [list_to_atom(W) || W <- string:lexemes(Line, \" \")], erlang:set_cookie(N, C),"
                                     " io:format(\"~s ~p~n\", [N, net_adm:ping(N)]) end || Line <- Lines], halt(0).";

        for (size_t i = 0; i < MANY; i++)
                g_string_append_printf(nodes, "%s %s\n", connections[i]->node, connections[i]->cookie);
        return node_run_program(h, (const char *const[]){"erl", "-noshell", "-hidden", "-start_epmd", "false", "-sname", "stock", "-eval", script, NULL},
                                (const char *const[]){variable, home_variable, nodes->str, NULL});
}

static void test_many(Harness *h) {
        guint port = pick_port();
        g_autofree char *variable = g_strdup_printf("ERL_EPMD_PORT=%u", port);
        g_autoptr(GSubprocess) epmd = start_epmd(h, port);
        g_autoptr(GHashTable) nodes = g_hash_table_new(g_str_hash, g_str_equal), cookies = g_hash_table_new(g_str_hash, g_str_equal);
        Connection *connections[MANY];
        char *paths[MANY];

        harness_start_daemon(h, (const char *const[]){variable, NULL});
        /* Twenty at once on a small machine. */
        for (size_t i = 0; i < MANY; i++)
                paths[i] = node_start(h, node_options("{'TimeoutHandshakeUSec': <uint64 35000000>}"));
        for (size_t i = 0; i < MANY; i++) {
                g_autofree char *state = client_wait_ready(h->client, paths[i]);

                g_assert_cmpstr(state, ==, "ready");
                connections[i] = connection_get(h->client, paths[i]);
                g_assert_true(g_hash_table_add(nodes, connections[i]->node));
                g_assert_true(g_hash_table_add(cookies, connections[i]->cookie));
        }
        for (size_t half = 0; half < 2; half++) {
                g_autofree char *answer = NULL;

                for (size_t i = 0; i < MANY; i++)
                        wait_name(h, port, paths[i], half == 0 || i % 2 == 0);
                answer = ping_all(h, port, connections);
                for (size_t i = 0; i < MANY; i++) {
                        g_autofree char *line = g_strdup_printf("%s %s\n", connections[i]->node, half == 0 || i % 2 == 0 ? "pong" : "pang");

                        node_check_text(answer, line);
                }
                for (size_t i = half == 0 ? 1 : 0; i < MANY; i += 2)
                        client_stop(h->client, paths[i]);
                for (size_t i = half == 0 ? 1 : 0; i < MANY; i += 2) {
                        g_autoptr(GVariant) report = client_wait_ended(h->client, paths[i]);

                        report_check(report, "{'Result': <'stopped'>, 'ExitCode': <0>}", NULL);
                }
        }
        for (size_t i = 0; i < MANY; i++) {
                wait_name(h, port, paths[i], FALSE);
                connection_free(connections[i]);
                g_free(paths[i]);
        }
        g_subprocess_force_exit(epmd);
        g_assert_true(g_subprocess_wait(epmd, NULL, NULL));
}

/* Between ```sh and ``` behind the mark. */
static char *read_command(const char *mark) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "docs", "elixir.md", NULL), *text = NULL;
        const char *begin, *end;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        begin = strstr(text, mark);
        g_assert_nonnull(begin);
        begin = strstr(begin, "```sh\n");
        g_assert_nonnull(begin);
        begin += strlen("```sh\n");
        end = strstr(begin, "```\n");
        g_assert_nonnull(end);
        return g_strndup(begin, end - begin);
}

typedef struct Terminal {
        int fd;
        GString *seen;
        const char *text;
} Terminal;

static gboolean has_seen(gpointer userdata) {
        Terminal *terminal = userdata;
        char buffer[4096];
        ssize_t size;

        while ((size = read(terminal->fd, buffer, sizeof(buffer))) > 0)
                g_string_append_len(terminal->seen, buffer, size);
        if (strstr(terminal->seen->str, terminal->text))
                return TRUE;
        if (size < 0 && errno == EIO)
                g_error("the remote shell has ended: %s", terminal->seen->str);
        return FALSE;
}

static void type(Terminal *terminal, const char *line) {
        g_assert_cmpint(write(terminal->fd, line, strlen(line)), ==, (ssize_t) strlen(line));
}

/* The command of the documentation in a terminal, as a person types it. */
static void check_remote_shell(Harness *h, const char *command, const char *path, const char *prompt, const char *line, const char *answer) {
        g_autofree char *tools = g_strdup_printf("%s:%s", harness_build_directory(), g_getenv("PATH"));
        g_autoptr(GString) seen = g_string_new(NULL);
        Terminal terminal = {-1, seen, prompt};
        pid_t pid;

        pid = forkpty(&terminal.fd, NULL, NULL, &(struct winsize){.ws_row = 24, .ws_col = 200});
        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                setenv("PATH", tools, TRUE);
                setenv("DBUS_SESSION_BUS_ADDRESS", h->bus_address, TRUE);
                setenv("ID", path_to_id(path), TRUE);
                setenv("TERM", "xterm", TRUE);
                setenv("TMPDIR", h->directory, TRUE);
                execl("/bin/sh", "sh", "-euc", command, NULL);
                _exit(127);
        }
        g_assert_cmpint(fcntl(terminal.fd, F_SETFL, O_NONBLOCK), ==, 0);
        harness_wait(h, has_seen, &terminal, "the prompt of the remote shell");
        type(&terminal, line);
        terminal.text = answer;
        harness_wait(h, has_seen, &terminal, answer);
        /* Its terminal goes, so the shell ends; the runtime must not. */
        close(terminal.fd);
        (void) kill(-pid, SIGKILL);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
        node_check(h->client, path, "1 + 1", "2");
}

static void test_remote_shells(Harness *h) {
        g_autofree char *path = NULL, *iex = read_command("<!-- remote shell: iex -->"), *erl = read_command("<!-- remote shell: erl -->");

        harness_start_daemon(h, NULL);
        path = node_start_ready(h, node_options(NULL));
        check_remote_shell(h, iex, path, ")1> ", "IO.puts(\"it is #{40 + 2}, #{node()}\")\r", "it is 42, runtime_manager_");
        check_remote_shell(h, erl, path, ")1> ", "io:format(\"it is ~p, ~p~n\", [40 + 2, node()]).\r", "it is 42, runtime_manager_");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"the-cookie-is-nowhere-but-in-GetConnection", test_cookie},
                {"another-cookie-does-not-connect", test_other_cookie},
                {"distribution-listens-on-loopback", test_loopback},
                {"no-port-mapper-is-started-and-the-names-of-others-stay", test_port_mapper},
                {"twenty-at-once-are-distinct-and-reachable-and-leave-nothing", test_many},
                {"stock-remote-shells-connect-by-the-commands-of-the-documentation", test_remote_shells},
        };

        if (!node_is_possible())
                return 0;
        return harness_main(argc, argv, "elixir-distribution", cases, G_N_ELEMENTS(cases));
}
