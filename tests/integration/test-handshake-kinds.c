/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The four handshakes with real programs: how each becomes ready, and what is told when it doesn't. */

#include <string.h>

#include "harness.h"
#include "util/names.h"

static const char *const transports[] = {"socket", "pipes"};

/* Two kinds, socket and pipes, whose Arguments say how the peer behaves. Without Python the case is skipped. */
static gboolean add_protocol_kinds(Harness *h) {
        g_autofree char *script = g_test_build_filename(G_TEST_DIST, "protocol-peer.py", NULL);
        g_autofree char *python = g_file_test("/usr/bin/python3", G_FILE_TEST_IS_EXECUTABLE) ? g_strdup("/usr/bin/python3") : g_find_program_in_path("python3");

        if (!python || !g_file_test(script, G_FILE_TEST_EXISTS)) {
                g_test_skip("there is no python3, or $G_TEST_SRCDIR isn't set");
                return FALSE;
        }
        for (size_t i = 0; i < G_N_ELEMENTS(transports); i++) {
                g_autofree char *text = g_strdup_printf("[Kind]\nExec=%s -SE '%s'\n"
                                                        "[Handshake]\nType=protocol\nTransport=%s\nTimeoutSec=20\n"
                                                        "[Stop]\nMessage=shutdown\nTimeoutSec=20\n"
                                                        "[Interrupt]\nMessage=interrupt\n",
                                                        python, script, transports[i]);

                harness_add_kind(h, transports[i], text);
        }
        harness_start_daemon(h, NULL);
        return TRUE;
}

static char *start_peer(Harness *h, const char *transport, const char *behaviour, guint64 handshake_usec) {
        return client_start(h->client, transport, g_variant_new_parsed("{'Arguments': <[%s]>, 'TimeoutHandshakeUSec': <%t>}", behaviour, handshake_usec));
}

static void wait_ready(Harness *h, const char *path) {
        g_autofree char *state = client_wait_ready(h->client, path);

        if (strcmp(state, "ready") != 0) {
                g_autofree char *output = client_read_text(h->client, path);
                g_autoptr(GVariant) report = client_get(h->client, path, "EndReport");

                harness_fail(h, "it is %s instead of ready: %s; it said: %s", state, report_string(report, "Message"), output);
        }
}

static void assert_states(Harness *h, const char *path, const char *const *expected) {
        const Signal *signal;
        size_t n;

        client_sync(h->client);
        for (n = 0; (signal = client_find_signal(h->client, path, "StateChanged", n)); n++) {
                const char *new;

                g_variant_get(signal->parameters, "(s&s)", NULL, &new);
                g_assert_cmpstr(new, ==, expected[n]);
        }
        g_assert_null(expected[n]);
}

static GVariant *stop(Harness *h, const char *path) {
        client_stop(h->client, path);
        return client_wait_ended(h->client, path);
}

static void test_protocol(Harness *h) {
        const char *const states[] = {"connecting", "initializing", "ready", NULL};

        if (!add_protocol_kinds(h))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(transports); i++) {
                g_autofree char *path = start_peer(h, transports[i], "good", 20 * G_USEC_PER_SEC), *node = NULL, *text = NULL;
                g_autoptr(GVariant) details = NULL, report = NULL, ready = NULL;

                wait_ready(h, path);
                assert_states(h, path, states);
                details = g_variant_get_child_value(client_wait_signal(h->client, path, "HandshakeCompleted")->parameters, 0);
                report_check(details, "{'Node': <'peer@localhost'>}", NULL);
                g_assert_cmpuint(report_number(details, "PID"), ==, client_get_number(h->client, path, "MainPID"));
                node = client_get_string(h->client, path, "Node");
                g_assert_cmpstr(node, ==, "peer@localhost");
                ready = client_get(h->client, path, "ReadyTimestamp");
                g_assert_cmpuint(g_variant_get_uint64(ready), >, 0);

                g_variant_unref(client_call(h->client, path, "Interrupt", NULL));
                client_wait_text(h->client, path, "interrupt\n");
                report = stop(h, path);
                report_check(report, "{'Result': <'stopped'>, 'StopStage': <'request'>, 'ExitCode': <0>}", "Signal");
                text = client_read_text(h->client, path);
                g_assert_cmpstr(text, ==, "initialized\ninterrupt\nshutdown\n");
        }
}

static void test_protocol_extras(Harness *h) {
        static const struct { const char *behaviour, *status; } cases[] = {{"status", "Counting sheep"}, {"chatty", "the last"}, {"asks", ""}};

        if (!add_protocol_kinds(h))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path = start_peer(h, "socket", cases[i].behaviour, 20 * G_USEC_PER_SEC);

                wait_ready(h, path);
                client_wait_string(h->client, path, "StatusText", cases[i].status);
                g_variant_unref(stop(h, path));
        }
}

typedef struct Failure {
        const char *behaviour;
        const char *report;
        const char *mentions;
} Failure;

static const Failure failures[] = {
        {"wrong_ref", "'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'connecting'>", "0000"},
        {"other_protocol", "'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'connecting'>", "protocol"},
        {"twice", "'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'initializing'>", "node_started"},
        {"broken", "'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'connecting'>", "broken"},
        {"too_long", "'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'connecting'>", "xxxx"},
        {"closes", "'Result': <'handshake-failed'>, 'Reason': <'connection-closed'>, 'Phase': <'initializing'>", "closed"},
        {"refuses", "'Result': <'handshake-failed'>, 'Reason': <'initialize-failed'>, 'Phase': <'initializing'>", "no room"},
};

static void test_violations(Harness *h) {
        if (!add_protocol_kinds(h))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(transports); i++)
                for (size_t k = 0; k < G_N_ELEMENTS(failures); k++) {
                        g_autofree char *path = start_peer(h, transports[i], failures[k].behaviour, 20 * G_USEC_PER_SEC);
                        g_autoptr(GVariant) report = client_wait_ended(h->client, path);
                        g_autofree char *expected = g_strdup_printf("{%s}", failures[k].report), *state = NULL;
                        const char *message = report_string(report, "Message");

                        g_test_message("%s over %s: %s", failures[k].behaviour, transports[i], message);
                        report_check(report, expected, "ExitCode RequestedBy");
                        g_assert_nonnull(strstr(message, failures[k].mentions));
                        g_assert_null(strpbrk(message, "\n\a"));
                        client_sync(h->client);
                        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 0));
                        /* Who waits for ready is told. */
                        state = client_wait_ready(h->client, path);
                        g_assert_cmpstr(state, ==, "ended");
                }
}

static void test_stuck(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        if (!add_protocol_kinds(h))
                return;
        path = start_peer(h, "socket", "stuck", 3 * G_USEC_PER_SEC);
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'Phase': <'initializing'>, 'Message': <'initialization timed out'>, "
                     "'RequestedBy': <'limit'>, 'Signal': <15>}",
                     "ExitCode");
}

static void test_leaves(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        const char *code;

        if (!add_protocol_kinds(h))
                return;
        path = start_peer(h, "socket", "leaves", 20 * G_USEC_PER_SEC);
        wait_ready(h, path);
        g_variant_get(client_wait_signal(h->client, path, "Warning")->parameters, "(&sa{sv})", &code, NULL);
        g_assert_cmpstr(code, ==, "connection-closed");
        client_wait_state(h->client, path, "ready");
        g_free(client_call_fails(h->client, path, "Interrupt", NULL, "HandshakeFailed"));
        /* There is nothing to ask it on: SIGTERM. */
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 500000>},)")));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'Signal': <15>}", "ExitCode");
}

static void test_deaf(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        if (!add_protocol_kinds(h))
                return;
        path = start_peer(h, "pipes", "deaf", 20 * G_USEC_PER_SEC);
        wait_ready(h, path);
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 300000>},)")));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'Signal': <15>}", "ExitCode");
}

/* No library and no language needed: a shell on its two pipes. */
static void test_shell(Harness *h) {
        g_autofree char *script = NULL, *kind = NULL, *path = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL;

        script = harness_add_file(h, "peer.sh",
                                  "exec 5<&0\n"
                                  "say() { printf '{\"jsonrpc\":\"2.0\",%s}\\n' \"$1\" >&4; }\n"
                                  "id_of() { printf '%s' \"$1\" | sed 's/.*\"id\": *\\([0-9]*\\).*/\\1/'; }\n"
                                  "say "
                                  "\"\\\"method\\\":\\\"node_started\\\",\\\"params\\\":{\\\"protocol\\\":1,\\\"init_ref\\\":\\\"$RUNTIME_MANAGER_INIT_REF\\\","
                                  "\\\"pid\\\":$$}\"\n"
                                  "read -r request <&3\n"
                                  "say \"\\\"id\\\":1,\\\"result\\\":{}\"\n"
                                  "read -r initialized <&3\n"
                                  "case $initialized in *node_initialized*) echo ready ;; *) exit 1 ;; esac\n"
                                  "read -r request <&3\n"
                                  "case $request in *shutdown*) exit 0 ;; *) exit 1 ;; esac\n",
                                  0644);
        kind = g_strdup_printf("[Kind]\nExec=sh %s\n[Handshake]\nType=protocol\nTransport=pipes\n[Stop]\nMessage=shutdown\nTimeoutSec=20\n", script);
        harness_add_kind(h, "shell", kind);
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "shell", g_variant_new_parsed("@a{sv} {}"));
        wait_ready(h, path);
        report = stop(h, path);
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "ready\n");
        report_check(report, "{'StopStage': <'request'>, 'ExitCode': <0>}", NULL);
}

static void test_exec(Harness *h) {
        const char *const states[] = {"ready", "stopping", "ended", NULL};
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        wait_ready(h, path);
        g_variant_unref(stop(h, path));
        assert_states(h, path, states);
}

static void test_line(Harness *h) {
        const char *const states[] = {"connecting", "ready", NULL};
        g_autofree char *path = NULL, *text = NULL, *state = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_add_kind(h, "server", "[Kind]\n[Handshake]\nType=line\nLine=^Listening on port [0-9]+$\n");
        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "server",
                options_shell("echo Listening on port; echo loading >&2; read line; echo Listening on port 80; read line; exit 0", "{'Input': <'pipe'>}"));
        g_variant_unref(client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, path, "OutputLines");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "connecting");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go on\n")));
        wait_ready(h, path);
        assert_states(h, path, states);
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'success'>, 'Phase': <'ready'>}", NULL);
        text = client_read_text(h->client, path);
        g_assert_nonnull(strstr(text, "Listening on port 80\n"));
}

static void test_notify(Harness *h) {
        g_autofree char *program = g_find_program_in_path("systemd-notify"), *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_add_kind(h, "service", "[Kind]\n[Handshake]\nType=notify\nTimeoutSec=20\n");
        harness_start_daemon(h, NULL);
        if (!program) {
                g_test_skip("there is no systemd-notify");
                return;
        }
        /* It waits until what it said was read, which is asked for by BARRIER=1. */
        path = client_start(h->client, "service",
                            options_shell("systemd-notify --status='Loading packages' && echo told; read line; "
                                          "systemd-notify --ready --status='At your service' && echo told; exec sleep 1000",
                                          "{'Input': <'pipe'>}"));
        client_wait_string(h->client, path, "StatusText", "Loading packages");
        client_wait_state(h->client, path, "connecting");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go on\n")));
        wait_ready(h, path);
        client_wait_string(h->client, path, "StatusText", "At your service");
        client_wait_text(h->client, path, "told\ntold\n");
        report = stop(h, path);
        report_check(report, "{'Result': <'stopped'>}", NULL);
}

/* The deadline is two seconds, and it takes three: it asks for more in time. */
static void test_notify_extends(Harness *h) {
        g_autofree char *program = g_find_program_in_path("systemd-notify"), *path = NULL;

        harness_add_kind(h, "service", "[Kind]\n[Handshake]\nType=notify\nTimeoutSec=2\n");
        harness_start_daemon(h, NULL);
        if (!program) {
                g_test_skip("there is no systemd-notify");
                return;
        }
        path = client_start(h->client, "service",
                            options_shell("systemd-notify EXTEND_TIMEOUT_USEC=20000000; sleep 3; systemd-notify --ready; exec sleep 1000", NULL));
        wait_ready(h, path);
        g_variant_unref(stop(h, path));
}

static void test_notify_never(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_add_kind(h, "service", "[Kind]\n[Handshake]\nType=notify\nTimeoutSec=300ms\n");
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "service", options_shell("[ -S \"$NOTIFY_SOCKET\" ] && echo \"there is one\"; exec sleep 1000", NULL));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'OutputTail': <'there is one\\n'>}", NULL);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"exec-is-ready-at-once", test_exec},
                {"line-is-ready-when-a-line-matches", test_line},
                {"notify-is-ready-when-it-says-so", test_notify},
                {"notify-can-ask-for-more-time", test_notify_extends},
                {"notify-that-never-says-so-times-out", test_notify_never},
                {"protocol-goes-both-ways-over-both-transports", test_protocol},
                {"protocol-has-statuses-and-unknown-requests", test_protocol_extras},
                {"protocol-violations-are-told-with-the-line", test_violations},
                {"protocol-without-an-answer-times-out-in-its-phase", test_stuck},
                {"protocol-connection-that-closes-after-ready-is-a-warning", test_leaves},
                {"protocol-stop-goes-on-when-the-request-is-not-answered", test_deaf},
                {"protocol-can-be-spoken-by-a-shell", test_shell},
        };

        return harness_main(argc, argv, "handshake-kinds", cases, G_N_ELEMENTS(cases));
}
