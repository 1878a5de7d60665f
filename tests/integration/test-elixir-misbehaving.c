/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Nodes that misbehave before they are ready: the right words and report each, in time, and nothing left. */

#include <signal.h>
#include <string.h>

#include "harness.h"
#include "node.h"

/* One that runs this on the real Elixir instead of what the kind says; `socket` is connected, and `ref` is that of this start. */
static char *add_speaker(Harness *h, const char *code) {
        g_autofree char *text =
                g_strconcat("{:ok, socket} = :gen_tcp.connect({:local, System.get_env(\"RUNTIME_MANAGER_SOCKET\")}, 0, [:binary, active: false])\n"
                            "ref = System.get_env(\"RUNTIME_MANAGER_INIT_REF\")\n"
                            "say = fn text -> :ok = :gen_tcp.send(socket, text <> \"\\n\") end\n"
                            "hello = fn ref -> say.(~s({\"jsonrpc\":\"2.0\",\"method\":\"node_started\",\"params\":"
                            "{\"protocol\":1,\"init_ref\":\"#{ref}\",\"pid\":#{System.pid()},\"capabilities\":{}}})) end\n",
                            code, "\nreceive do\n  :never -> :ok\nend\n", NULL);
        static unsigned n;
        g_autofree char *name = g_strdup_printf("speaker-%u.exs", ++n), *file = harness_add_file(h, name, text, 0644), *elixir = node_find_program("elixir");
        g_autofree char *script = g_strdup_printf("#!/bin/sh\nexec %s %s\n", elixir, file);

        return node_add_elixir(h, script);
}

static void test_stopped_node(Harness *h) {
        g_autofree char *path = NULL, *comm = NULL, *name = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = node_start(h, node_options("{'TimeoutHandshakeUSec': <uint64 8000000>, 'TimeoutStopUSec': <uint64 500000>}"));
        comm = g_strdup_printf("/proc/%u/comm", client_get_number(h->client, path, "MainPID"));
        /* Erlang, no longer the script that starts it, and not so far yet that it says hello. */
        while (g_file_get_contents(comm, &name, NULL, NULL) && !g_str_has_prefix(name, "beam"))
                g_clear_pointer(&name, g_free);
        g_assert_nonnull(name);
        g_variant_unref(client_call(h->client, path, "Kill", g_variant_new("(si)", "main", SIGSTOP)));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'timeout'>, 'Phase': <'connecting'>, 'Message': <'connection timed out'>}", NULL);
        g_assert_cmpuint(report_number(report, "DurationUSec"), <, 20 * G_USEC_PER_SEC);
        node_check_signals(h, path, FALSE);
}

static void test_endless_output(Harness *h) {
        g_autofree char *elixir = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        elixir = node_add_elixir(h, "#!/bin/sh\nexec erl -noshell -eval 'F = fun F() -> io:put_chars(\"no end\\n\"), F() end, F().'\n");
        report = node_fail(h, node_options("{'Environment': <[%s]>, 'TimeoutHandshakeUSec': <uint64 2000000>, 'TimeoutStopUSec': <uint64 1000000>}", elixir),
                           "{'Result': <'timeout'>, 'Message': <'connection timed out'>, 'Phase': <'connecting'>}");
        node_check_text(report_string(report, "OutputTail"), "no end\n");
}

static void test_closed_connection(Harness *h) {
        g_autofree char *elixir = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        elixir = add_speaker(h, ":gen_tcp.close(socket)");
        report = node_fail(h, node_options("{'Environment': <[%s]>}", elixir),
                           "{'Result': <'handshake-failed'>, 'Reason': <'connection-closed'>, 'Phase': <'connecting'>}");
        node_check_text(report_string(report, "Message"), "closed its control connection before it was ready");
}

static void check_violation(Harness *h, const char *code, const char *phase, const char *quote) {
        g_autofree char *elixir = add_speaker(h, code), *expected = NULL;
        g_autoptr(GVariant) report = NULL;

        expected = g_strdup_printf("{'Result': <'handshake-failed'>, 'Reason': <'protocol-violation'>, 'Phase': <'%s'>}", phase);
        report = node_fail(h, node_options("{'Environment': <[%s]>}", elixir), expected);
        node_check_text(report_string(report, "Message"), quote);
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

typedef struct Process {
        guint32 pid;
        char *ref;
} Process;

/* Its environment is that of its keeper until it has executed. */
static gboolean has_ref(gpointer userdata) {
        Process *process = userdata;
        g_autofree char *file = g_strdup_printf("/proc/%u/environ", process->pid), *text = NULL;
        gsize size;

        g_assert_true(g_file_get_contents(file, &text, &size, NULL));
        for (const char *entry = text; entry < text + size && !process->ref; entry += strlen(entry) + 1)
                if (g_str_has_prefix(entry, "RUNTIME_MANAGER_INIT_REF="))
                        process->ref = g_strdup(strchr(entry, '=') + 1);
        return process->ref != NULL;
}

/* That of a runtime which is there. */
static void test_ref_of_another(Harness *h) {
        g_autofree char *other = NULL, *ref = NULL, *code = NULL, *state = NULL, *elixir = NULL;
        Process process = {0};

        harness_start_daemon(h, NULL);
        elixir = node_add_elixir(h, "#!/bin/sh\nexec tail -f /dev/null\n");
        other = node_start(h, node_options("{'Environment': <[%s]>, 'TimeoutHandshakeUSec': <uint64 30000000>}", elixir));
        process.pid = client_get_number(h->client, other, "MainPID");
        harness_wait(h, has_ref, &process, "the other has its ref");
        ref = process.ref;

        code = g_strdup_printf("hello.(\"%s\")", ref);
        check_violation(h, code, "connecting", ref);
        state = client_get_string(h->client, other, "State");
        g_assert_cmpstr(state, ==, "connecting");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-node-that-is-SIGSTOPped-while-connecting-ends-at-the-deadline", test_stopped_node},
                {"a-node-that-prints-without-end-while-connecting-is-stopped-at-the-deadline", test_endless_output},
                {"a-node-that-closes-the-control-connection-fails", test_closed_connection},
                {"garbage-on-the-control-connection-fails-and-is-quoted", test_garbage},
                {"node_started-twice-fails", test_node_started_twice},
                {"the-ref-of-another-runtime-fails-and-does-no-harm-to-that-one", test_ref_of_another},
        };

        if (!node_is_possible())
                return 0;
        return harness_main(argc, argv, "elixir-misbehaving", cases, G_N_ELEMENTS(cases));
}
