/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* elixir-standalone on real Elixir: what the nodes of a notebook server do, row by row as the design lists it, then the traps that
 * people who use such nodes know, then nodes that misbehave. */

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "node.h"
#include "util/names.h"

static GVariant *options(const char *format, ...) {
        GVariant *parsed;
        va_list list;

        if (!format)
                return g_variant_new_parsed("@a{sv} {}");
        va_start(list, format);
        parsed = g_variant_new_parsed_va(format, &list);
        va_end(list);
        return parsed;
}

static char *start(Harness *h, GVariant *with) {
        return client_start(h->client, "elixir-standalone", with);
}

static char *start_ready(Harness *h, GVariant *with) {
        char *path = start(h, with);
        g_autofree char *state = client_wait_ready(h->client, path);

        g_assert_cmpstr(state, ==, "ready");
        return path;
}

static void check_text(const char *text, const char *part) {
        if (!strstr(text, part))
                g_error("\"%s\" is not in: %s", part, text);
}

/* A script that takes the place of elixir. PATH with its folder first, as an entry of an environment. */
static char *add_elixir(Harness *h, const char *script) {
        g_autofree char *file = harness_add_file(h, "bin/elixir", script, 0755), *folder = g_path_get_dirname(file);

        return g_strdup_printf("PATH=%s:%s", folder, g_getenv("PATH"));
}

/* One that runs this on the real Elixir instead of what the kind says; `socket` is connected, and `ref` is that of this start. */
static char *add_speaker(Harness *h, const char *code) {
        g_autofree char *text = g_strconcat("{:ok, socket} = :gen_tcp.connect({:local, System.get_env(\"RUNTIME_MANAGER_SOCKET\")}, 0, [:binary, active: false])\n"
                                            "ref = System.get_env(\"RUNTIME_MANAGER_INIT_REF\")\n"
                                            "say = fn text -> :ok = :gen_tcp.send(socket, text <> \"\\n\") end\n"
                                            "hello = fn ref -> say.(~s({\"jsonrpc\":\"2.0\",\"method\":\"node_started\",\"params\":"
                                            "{\"protocol\":1,\"init_ref\":\"#{ref}\",\"pid\":#{System.pid()},\"capabilities\":{}}})) end\n",
                                            code, "\nProcess.sleep(:infinity)\n", NULL);
        g_autofree char *file = harness_add_file(h, "speaker.exs", text, 0644), *elixir = node_find_program("elixir");
        g_autofree char *script = g_strdup_printf("#!/bin/sh\nexec %s %s\n", elixir, file);

        return add_elixir(h, script);
}

/* Either it was ready once and ended without success being taken back, or it ended once and was never ready. */
static void check_signals(Harness *h, const char *path, gboolean ready) {
        client_wait_signal(h->client, path, "Ended");
        client_sync(h->client);
        g_assert_true(!!client_find_signal(h->client, path, "HandshakeCompleted", 0) == ready);
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 1));
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

static GVariant *fail(Harness *h, GVariant *with, const char *expected) {
        g_autofree char *path = start(h, with);
        GVariant *report = client_wait_ended(h->client, path);

        report_check(report, expected, NULL);
        g_assert_cmpuint(report_number(report, "DurationUSec"), <, 20 * G_USEC_PER_SEC);
        check_signals(h, path, FALSE);
        return report;
}

/* Rows of the table. */

static void check_name(Harness *h, GVariant *with, const char *host) {
        g_autofree char *path = start_ready(h, with), *node = client_get_string(h->client, path, "Node");
        g_autofree char *expected = g_strdup_printf("runtime_manager_%s@%s", path_to_id(path), host);

        g_assert_cmpstr(node, ==, expected);
        node_check(h->client, path, "Node.self() == :\"#{Node.self()}\" and Node.alive?()", "true");
}

static void test_node_name(Harness *h) {
        g_autofree char *path = NULL, *node = NULL, *message = NULL;

        harness_start_daemon(h, NULL);
        check_name(h, options(NULL), "localhost");
        check_name(h, options("{'Distribution': <'short'>}"), "localhost");
        check_name(h, options("{'Distribution': <'long'>}"), "127.0.0.1");
        check_name(h, options("{'Distribution': <'long'>, 'NodeHost': <'127.0.0.2'>, 'ListenAddress': <'127.0.0.2'>}"), "127.0.0.2");

        path = start_ready(h, options("{'Distribution': <'none'>}"));
        node = client_get_string(h->client, path, "Node");
        g_assert_cmpstr(node, ==, "");
        message = client_call_fails(h->client, path, "GetConnection", NULL, "NotSupported");
}

static void test_executable(Harness *h) {
        g_autofree char *message = NULL, *own = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        message = client_call_fails(h->client, NULL, "StartRuntime",
                                    g_variant_new_parsed("('elixir-standalone', {'Environment': <['PATH=/nowhere']>})"), "ExecutableNotFound");
        g_assert_cmpstr(message, ==, "no Elixir executable found in PATH");
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 0));

        /* The PATH of the runtime, not that of the service. */
        own = add_elixir(h, "#!/bin/sh\necho mine: $0; exit 5\n");
        report = fail(h, options("{'Environment': <[%s]>}", own), "{'ExitCode': <5>}");
        check_text(report_string(report, "OutputTail"), "/bin/elixir");
}

static void test_flags(Harness *h) {
        g_autofree char *path = NULL, *file = NULL, *line = NULL;
        gsize size;

        harness_start_daemon(h, NULL);
        path = start_ready(h, options(NULL));
        file = g_strdup_printf("/proc/%u/cmdline", client_get_number(h->client, path, "MainPID"));
        g_assert_true(g_file_get_contents(file, &line, &size, NULL));
        for (gsize i = 0; i + 1 < size; i++)
                if (line[i] == '\0')
                        line[i] = ' ';
        check_text(line, "-sbwt none ");
        check_text(line, "-sbwtdcpu none ");
        check_text(line, "-sbwtdio none ");
        check_text(line, "-elixir ansi_enabled true");
        node_check(h->client, path, "IO.ANSI.enabled?()", "true");
}

static void test_terminated(Harness *h) {
        g_autofree char *failing = NULL, *path = NULL;
        g_autoptr(GVariant) before = NULL, after = NULL;

        harness_start_daemon(h, NULL);
        failing = add_elixir(h, "#!/bin/sh\necho something is wrong >&2\nexit 1\n");
        before = fail(h, options("{'Environment': <[%s]>}", failing),
                      "{'Result': <'handshake-failed'>, 'Reason': <'exited-before-ready'>, 'Phase': <'connecting'>, 'ExitCode': <1>,"
                      " 'Message': <'Elixir process terminated unexpectedly: it exited with status 1 before it was ready.'>,"
                      " 'OutputTail': <'something is wrong\\n'>}");

        path = start_ready(h, options(NULL));
        node_tell(h->client, path, "spawn(fn -> IO.puts(:standard_error, \"last words\"); System.halt(3) end)");
        after = client_wait_ended(h->client, path);
        report_check(after,
                     "{'Result': <'exit-code'>, 'Phase': <'ready'>, 'ExitCode': <3>,"
                     " 'Message': <'Elixir process terminated unexpectedly: it exited with status 3.'>}",
                     NULL);
        check_text(report_string(after, "OutputTail"), "last words\n");
}

static void test_time_out(Harness *h) {
        g_autofree char *silent = NULL, *path = NULL;
        g_autoptr(GVariant) deadline = NULL, report = NULL;
        guint64 left;

        harness_start_daemon(h, NULL);
        silent = add_elixir(h, "#!/bin/sh\nexec tail -f /dev/null\n");
        /* After 10 s, which this one isn't waited for. */
        path = start(h, options("{'Environment': <[%s]>}", silent));
        client_wait_state(h->client, path, "connecting");
        deadline = client_get(h->client, path, "Deadline");
        left = g_variant_get_uint64(deadline) - (guint64) g_get_monotonic_time();
        g_assert_cmpuint(left, <=, 10 * G_USEC_PER_SEC);
        client_stop(h->client, path);

        report = fail(h, options("{'Environment': <[%s]>, 'TimeoutHandshakeUSec': <uint64 1000000>}", silent),
                      "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'Phase': <'connecting'>, 'RequestedBy': <'limit'>,"
                      " 'Message': <'connection timed out'>}");
}

static void test_exactly_one(Harness *h) {
        g_autofree char *path = NULL, *failing = NULL;
        g_autoptr(GVariant) report = NULL, failed = NULL;

        harness_start_daemon(h, NULL);
        path = start_ready(h, options(NULL));
        node_tell(h->client, path, "System.stop(1)");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'Phase': <'ready'>}", NULL);
        check_signals(h, path, TRUE);

        failing = add_elixir(h, "#!/bin/sh\nexit 0\n");
        failed = fail(h, options("{'Environment': <[%s]>}", failing),
                      "{'Result': <'handshake-failed'>, 'Message': <'Elixir process terminated unexpectedly: it exited with status 0 before it was ready.'>}");
}

static void test_owner(Harness *h) {
        g_autofree char *path = NULL, *unowned = NULL, *state = NULL;
        g_autoptr(GVariant) report = NULL, report_unowned = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "elixir-standalone", options("{'Owner': <'caller'>}"));
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_free(owner);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'owner-lost'>, 'RequestedBy': <'owner'>, 'ExitCode': <0>, 'StopStage': <'request'>}", NULL);
        check_signals(h, path, TRUE);

        unowned = start_ready(h, options("{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 1500000>}"));
        report_unowned = client_wait_ended(h->client, unowned);
        report_check(report_unowned, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>}", NULL);
}

static void check_manager_end(Harness *h, const char *how, const char *expected) {
        g_autofree char *path = start_ready(h, options(NULL)), *code = g_strconcat("System.no_halt(true); ", how, NULL);
        g_autoptr(GVariant) report = NULL;

        node_tell(h->client, path, code);
        report = client_wait_ended(h->client, path);
        report_check(report, expected, "StopStage");
        check_signals(h, path, TRUE);
}

static void test_manager_process(Harness *h) {
        harness_start_daemon(h, NULL);
        check_manager_end(h, "GenServer.stop(RuntimeManager.Manager)", "{'Result': <'success'>, 'ExitCode': <0>}");
        check_manager_end(h, "Process.exit(Process.whereis(RuntimeManager.Manager), :kill)",
                          "{'Result': <'exit-code'>, 'ExitCode': <1>, 'Message': <'Elixir process terminated unexpectedly: it exited with status 1.'>}");
}

static void test_output(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = start_ready(h, options(NULL));
        node_tell(h->client, path, "IO.puts(:user, \"long after\"); IO.puts(:standard_error, \"and an error\")");
        node_wait_output(h->client, path, 1, "long after\n");
        node_wait_output(h->client, path, 2, "and an error\n");
}

/* Traps. */

static void check_not_in_file(const char *path, const char *secret) {
        g_autofree char *text = NULL;
        gsize size;

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
        path = start_ready(h, options(NULL));
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
        path = start_ready(h, options(NULL));
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
        path = start_ready(h, options(NULL));
        node_check(h->client, path,
                   "for p <- Port.list(), Port.info(p, :name) == {:name, ~c\"tcp_inet\"}, {:ok, {a, _}} <- [:inet.sockname(p)], is_tuple(a), do: a",
                   "[{127,0,0,1},{127,0,0,1}]");
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
        without = start_ready(h, options(NULL));
        node_check(h->client, without, "1 + 1", "2");
        g_assert_false(epmd_answers(&port));

        epmd = start_epmd(h, port);
        one = start_ready(h, options(NULL));
        two = start_ready(h, options(NULL));
        never = start_ready(h, options("{'Epmd': <'never'>}"));
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
                paths[i] = start(h, options("{'TimeoutHandshakeUSec': <uint64 35000000>}"));
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

                        check_text(answer, line);
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
        path = start_ready(h, options(NULL));
        check_remote_shell(h, iex, path, ")1> ", "IO.puts(\"it is #{40 + 2}, #{node()}\")\r", "it is 42, runtime_manager_");
        check_remote_shell(h, erl, path, ")1> ", "io:format(\"it is ~p, ~p~n\", [40 + 2, node()]).\r", "it is 42, runtime_manager_");
}

/* Nodes that misbehave. */

static void test_stopped_node(Harness *h) {
        g_autofree char *path = NULL, *comm = NULL, *name = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start(h, options("{'TimeoutHandshakeUSec': <uint64 3000000>, 'TimeoutStopUSec': <uint64 500000>}"));
        comm = g_strdup_printf("/proc/%u/comm", client_get_number(h->client, path, "MainPID"));
        /* Erlang, no longer the script that starts it, and not so far yet that it says hello. */
        while (g_file_get_contents(comm, &name, NULL, NULL) && !g_str_has_prefix(name, "beam"))
                g_clear_pointer(&name, g_free);
        g_assert_nonnull(name);
        g_variant_unref(client_call(h->client, path, "Kill", g_variant_new("(si)", "main", SIGSTOP)));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'timeout'>, 'Phase': <'connecting'>, 'Message': <'connection timed out'>}", NULL);
        g_assert_cmpuint(report_number(report, "DurationUSec"), <, 20 * G_USEC_PER_SEC);
        check_signals(h, path, FALSE);
}

static void test_endless_output(Harness *h) {
        g_autofree char *elixir = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        elixir = add_elixir(h, "#!/bin/sh\nexec erl -noshell -eval 'F = fun F() -> io:put_chars(\"no end\\n\"), F() end, F().'\n");
        report = fail(h, options("{'Environment': <[%s]>, 'TimeoutHandshakeUSec': <uint64 2000000>, 'TimeoutStopUSec': <uint64 1000000>}", elixir),
                      "{'Result': <'timeout'>, 'Message': <'connection timed out'>, 'Phase': <'connecting'>}");
        check_text(report_string(report, "OutputTail"), "no end\n");
}

static void test_closed_connection(Harness *h) {
        g_autofree char *elixir = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        elixir = add_speaker(h, ":gen_tcp.close(socket)");
        report = fail(h, options("{'Environment': <[%s]>}", elixir),
                      "{'Result': <'handshake-failed'>, 'Reason': <'connection-closed'>, 'Phase': <'connecting'>}");
        check_text(report_string(report, "Message"), "closed its control connection before it was ready");
}

static void check_violation(Harness *h, const char *code, const char *phase, const char *quote) {
        g_autofree char *elixir = add_speaker(h, code), *expected = NULL;
        g_autoptr(GVariant) report = NULL;

        expected = g_strdup_printf("{'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'%s'>}", phase);
        report = fail(h, options("{'Environment': <[%s]>}", elixir), expected);
        check_text(report_string(report, "Message"), quote);
}

static void test_garbage(Harness *h) {
        harness_start_daemon(h, NULL);
        check_violation(h, "say.(\"*** what is this? ***\")", "connecting", "*** what is this? ***");
        check_violation(h, "say.(<<0, 255, 7>>)", "connecting", "\\x07");
        check_violation(h, "hello.(ref); say.(\"and now garbage\")", "initializing", "and now garbage");
}

static void test_node_started_twice(Harness *h) {
        harness_start_daemon(h, NULL);
        check_violation(h, "hello.(ref); hello.(ref)", "initializing", "node_started");
}

/* That of a runtime which is there. */
static void test_ref_of_another(Harness *h) {
        g_autofree char *other = NULL, *file = NULL, *text = NULL, *code = NULL, *state = NULL, *elixir = NULL;
        const char *ref = NULL;
        gsize size;

        harness_start_daemon(h, NULL);
        elixir = add_elixir(h, "#!/bin/sh\nexec tail -f /dev/null\n");
        other = start(h, options("{'Environment': <[%s]>, 'TimeoutHandshakeUSec': <uint64 30000000>}", elixir));
        file = g_strdup_printf("/proc/%u/environ", client_get_number(h->client, other, "MainPID"));
        g_assert_true(g_file_get_contents(file, &text, &size, NULL));
        for (const char *entry = text; entry < text + size; entry += strlen(entry) + 1)
                if (g_str_has_prefix(entry, "RUNTIME_MANAGER_INIT_REF="))
                        ref = strchr(entry, '=') + 1;
        g_assert_nonnull(ref);

        code = g_strdup_printf("hello.(\"%s\")", ref);
        check_violation(h, code, "connecting", ref);
        state = client_get_string(h->client, other, "State");
        g_assert_cmpstr(state, ==, "connecting");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"random-node-name-short-or-long-by-configuration", test_node_name},
                {"executable-looked-up-in-PATH-no-Elixir-executable-found-in-PATH", test_executable},
                {"flags-no-scheduler-busy-wait-ansi-enabled", test_flags},
                {"child-ends-unexpectedly-Elixir-process-terminated-unexpectedly", test_terminated},
                {"time-out-connection-timed-out-after-10-s-and-it-is-stopped", test_time_out},
                {"exactly-one-of-success-or-error-at-the-end", test_exactly_one},
                {"no-owner-in-time-or-the-owner-gone-the-node-ends", test_owner},
                {"Manager-process-ends-the-node-ends", test_manager_process},
                {"output-after-the-handshake-keeps-streaming", test_output},
                {"the-cookie-is-nowhere-but-in-GetConnection", test_cookie},
                {"another-cookie-does-not-connect", test_other_cookie},
                {"distribution-listens-on-loopback", test_loopback},
                {"no-port-mapper-is-started-and-the-names-of-others-stay", test_port_mapper},
                {"twenty-at-once-are-distinct-and-reachable-and-leave-nothing", test_many},
                {"stock-remote-shells-connect-by-the-commands-of-the-documentation", test_remote_shells},
                {"a-node-that-is-SIGSTOPped-while-connecting-ends-at-the-deadline", test_stopped_node},
                {"a-node-that-prints-without-end-while-connecting-is-stopped-at-the-deadline", test_endless_output},
                {"a-node-that-closes-the-control-connection-fails", test_closed_connection},
                {"garbage-on-the-control-connection-fails-and-is-quoted", test_garbage},
                {"node_started-twice-fails", test_node_started_twice},
                {"the-ref-of-another-runtime-fails-and-does-no-harm-to-that-one", test_ref_of_another},
        };

        if (!node_is_possible())
                return 0;
        return harness_main(argc, argv, "elixir", cases, G_N_ELEMENTS(cases));
}
