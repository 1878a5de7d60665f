/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Other hosts: through an ssh that stays here. */

#include "cli.h"

#include <signal.h>
#include <string.h>

/* "ssh -xT [-p PORT] -- HOST COMMAND": the command goes to a shell, as one text. */
static const char fake_ssh[] = "echo \"$*\" >>\"$0.log\"\n"
                               "echo $$ >\"$0.pid\"\n"
                               "while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done\n"
                               "[ \"$2\" != far.example ] || { echo 'ssh: no way' >&2; exit 255; }\n"
                               "shift 2\n"
                               "exec sh -c \"$*\"\n";

static gboolean prepare(Harness *h) {
        g_autofree char *bridge = g_find_program_in_path("systemd-stdio-bridge");

        if (!bridge) {
                g_test_skip("there is no systemd-stdio-bridge");
                return FALSE;
        }
        cli_add_program(h, "ssh", fake_ssh);
        harness_start_daemon(h, NULL);
        return TRUE;
}

static void test_list(Harness *h) {
        g_autofree char *id = harness_id("there"), *text = NULL, *log = NULL, *log_path = NULL, *port = NULL;

        if (!prepare(h))
                return;
        g_free(client_start(h->client, "command", options_shell("sleep 100", "{'Id': <%s>}", id)));
        text = cli_text(h, "-H", "me@near.example", "--user", "list", NULL);
        assert_contains(text, id);
        port = cli_text(h, "list", "--user", "--host=near.example:2222", NULL);
        assert_contains(port, id);
        log_path = g_build_filename(h->directory, "programs", "ssh.log", NULL);
        g_assert_true(g_file_get_contents(log_path, &log, NULL, NULL));
        g_assert_true(g_str_has_prefix(log, "-xT -- me@near.example exec sh -c "));
        assert_contains(log, "\n-xT -p 2222 -- near.example exec sh -c ");
}

static void test_input(Harness *h) {
        g_autoptr(Terminal) terminal = NULL;

        if (!prepare(h))
                return;
        terminal = terminal_new(h, 80, 24, NULL, "-Hnear.example", "--user", "start", "command", "--Input=pipe", "--follow", "--", "sh", "-c",
                                "while read line; do echo got $line; done; echo end", NULL);
        terminal_wait(terminal, "Started the runtime");
        terminal_type(terminal, "one\n");
        terminal_wait(terminal, "got one\n");
        terminal_type(terminal, "two\n\004");
        terminal_wait(terminal, "got two\n");
        terminal_wait(terminal, "end\n");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
}

/* The terminal shows that what waits has begun to. */
static void lose(Harness *h, Terminal *terminal, const char *begun) {
        g_autofree char *pid_path = NULL, *pid = NULL, *text = NULL;

        terminal_wait(terminal, begun);
        pid_path = g_build_filename(h->directory, "programs", "ssh.pid", NULL);
        g_assert_true(g_file_get_contents(pid_path, &pid, NULL, NULL));
        g_assert_cmpint(kill((pid_t) g_ascii_strtoll(pid, NULL, 10), SIGKILL), ==, 0);
        terminal_wait(terminal, "The connection to the bus was lost.");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 1);
        text = terminal_text(terminal);
        g_assert_null(strstr(text, "can't be asked"));
}

/* Told once, whatever was waiting. */
static void test_lost(Harness *h) {
        g_autofree char *id = harness_id("waited");
        g_autoptr(Terminal) wait = NULL, logs = NULL;

        if (!prepare(h))
                return;
        g_free(client_start(h->client, "command", options_shell("echo hello; sleep 100", "{'Id': <%s>}", id)));
        wait = terminal_new(h, 80, 24, NULL, "-H", "near.example", "--user", "wait", id, NULL);
        lose(h, wait, "ready, ");
        logs = terminal_new(h, 80, 24, NULL, "-H", "near.example", "--user", "logs", "-f", id, NULL);
        lose(h, logs, "hello");
}

static void test_unreachable(Harness *h) {
        g_autofree char *err = NULL, *port = NULL, *odd = NULL;

        if (!prepare(h))
                return;
        err = cli_fails(h, 1, "-H", "far.example", "list", NULL);
        assert_contains(err, "ssh: no way\n");
        assert_contains(err, "The system bus of 'far.example' can't be reached. Does 'ssh far.example systemd-stdio-bridge --version' work");
        port = cli_fails(h, 1, "--user", "-H", "far.example:2222", "list", NULL);
        assert_contains(port, "The user's bus of 'far.example' can't be reached. Does 'ssh -p 2222 far.example systemctl --user' work");
        odd = cli_fails(h, 2, "--host=-oProxyCommand=true", "list", NULL);
        assert_contains(odd, "that is no name of a host");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-host-is-asked-through-ssh", test_list},
                {"input-where-no-pipe-can-be-passed", test_input},
                {"a-connection-that-is-lost-is-told-once", test_lost},
                {"a-host-that-can-not-be-reached", test_unreachable},
        };

        return harness_main(argc, argv, "cli-remote", cases, G_N_ELEMENTS(cases));
}
