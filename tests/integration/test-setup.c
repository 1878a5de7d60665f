/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Setup steps: run one by one before the command, told of, stopped when they take too long, and what is told when one fails. */

#include <string.h>

#include "harness.h"
#include "util/names.h"

/* Two steps and a command, each a word of the kind's own options: a case says what they do. */
static void add_project_kind(Harness *h) {
        harness_add_kind(h, "project",
                         "[Kind]\n"
                         "Exec=sh -c ${Main}\n"
                         "[Option First]\nType=string\nDefault=echo first\n"
                         "[Option Second]\nType=string\nDefault=echo second\n"
                         "[Option Main]\nType=string\nDefault=echo main\n"
                         "[Step deps]\nExec=sh -c ${First}\nAnnounce=Running deps...\nFailure=running deps failed, see output for more details\n"
                         "[Step compile]\nExec=sh -c ${Second}\nAnnounce=Running compile...\n");
}

static GVariant *options(const char *first, const char *second, const char *more) {
        GVariantDict options;

        g_variant_dict_init(&options, NULL);
        if (more) {
                g_autoptr(GVariant) added = g_variant_ref_sink(g_variant_new_parsed(more));

                g_variant_dict_clear(&options);
                g_variant_dict_init(&options, added);
        }
        if (first)
                g_variant_dict_insert(&options, "First", "s", first);
        if (second)
                g_variant_dict_insert(&options, "Second", "s", second);
        return g_variant_dict_end(&options);
}

static void assert_line(GPtrArray *lines, guint index, guint8 stream, const char *text) {
        const Line *line;

        g_assert_cmpuint(index, <, lines->len);
        line = lines->pdata[index];
        g_assert_cmpuint(line->number, ==, index + 1);
        g_assert_cmpuint(line->stream, ==, stream);
        g_assert_cmpmem(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes), text, strlen(text));
}

static void assert_progress(Harness *h, const char *path, size_t n, const char *name) {
        const Signal *signal = client_wait_nth_signal(h->client, path, "SetupProgress", n);
        const char *step;
        guint32 index, total;

        g_variant_get(signal->parameters, "(&suu)", &step, &index, &total);
        g_assert_cmpstr(step, ==, name);
        g_assert_cmpuint(index, ==, n + 1);
        g_assert_cmpuint(total, ==, 2);
}

static void test_steps(Harness *h) {
        static const char *const states[] = {"preparing", "ready", "stopping", "ended"};
        g_autofree char *path = NULL, *step = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        const Signal *signal;

        add_project_kind(h);
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "project", options("echo first; echo problem >&2", NULL, NULL));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'success'>, 'ExitCode': <0>, 'Phase': <'ready'>, 'LastLine': <uint64 6>}", "Step StepFirstLine StepLastLine");

        lines = client_read_lines(h->client, path, 0);
        g_assert_cmpuint(lines->len, ==, 6);
        assert_line(lines, 0, 0, "Running deps...");
        assert_line(lines, 1, 0, "first");
        assert_line(lines, 2, 0, "problem");
        assert_line(lines, 3, 0, "Running compile...");
        assert_line(lines, 4, 0, "second");
        assert_line(lines, 5, 1, "main");

        client_sync(h->client);
        assert_progress(h, path, 0, "deps");
        assert_progress(h, path, 1, "compile");
        g_assert_null(client_find_signal(h->client, path, "SetupProgress", 2));
        for (size_t n = 0; (signal = client_find_signal(h->client, path, "StateChanged", n)); n++) {
                const char *new;

                g_variant_get(signal->parameters, "(s&s)", NULL, &new);
                g_assert_cmpuint(n, <, G_N_ELEMENTS(states));
                g_assert_cmpstr(new, ==, states[n]);
        }
        step = client_get_string(h->client, path, "Step");
        g_assert_cmpstr(step, ==, "");
}

static void test_step_is_told(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        add_project_kind(h);
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "project", options(NULL, "exec sleep 1000", NULL));
        client_wait_string(h->client, path, "Step", "compile");
        client_wait_state(h->client, path, "preparing");
        g_assert_cmpuint(client_get_number(h->client, path, "MainPID"), >, 0);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'stopped'>, 'Reason': <'stop-requested'>, 'Phase': <'preparing'>, 'Step': <'compile'>, 'StopStage': <'terminate'>, "
                     "'Signal': <15>}",
                     "ExitCode");
}

static void test_failing_step(Harness *h) {
        g_autofree char *first = NULL, *second = NULL;
        g_autoptr(GVariant) report = NULL, of_second = NULL;

        add_project_kind(h);
        harness_start_daemon(h, NULL);
        first = client_start(h->client, "project", options("echo a; echo b; exit 9", NULL, NULL));
        report = client_wait_ended(h->client, first);
        report_check(report,
                     "{'Result': <'setup-failed'>, 'Reason': <'setup-step-failed'>, 'Message': <'running deps failed, see output for more details'>, "
                     "'Phase': <'preparing'>, 'Step': <'deps'>, 'StepFirstLine': <uint64 2>, 'StepLastLine': <uint64 3>, 'ExitCode': <9>, "
                     "'OutputTail': <'Running deps...\\na\\nb\\n'>}",
                     "Signal RequestedBy StopStage");
        second = client_start(h->client, "project", options(NULL, "kill -SEGV $$", NULL));
        of_second = client_wait_ended(h->client, second);
        report_check(of_second, "{'Result': <'setup-failed'>, 'Reason': <'setup-step-failed'>, 'Step': <'compile'>, 'Signal': <11>}", "ExitCode");
        g_assert_nonnull(strstr(report_string(of_second, "Message"), "compile"));
}

static void test_deadline(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        add_project_kind(h);
        harness_start_daemon(h, NULL);
        /* The chatty one too. Each step has a deadline of its own. */
        path = client_start(h->client, "project", options("sleep 0.7", "while :; do echo busy; sleep 0.1; done", "{'TimeoutSetupUSec': <uint64 1200000>}"));
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'setup-failed'>, 'Reason': <'setup-deadline'>, 'Phase': <'preparing'>, 'Step': <'compile'>, 'RequestedBy': <'limit'>, "
                     "'StopStage': <'terminate'>, 'Signal': <15>}",
                     "ExitCode");
}

static void test_step_that_can_not_run(Harness *h) {
        g_autofree char *bad = harness_add_file(h, "bad", "#!/no/such/interpreter\n", 0755), *message = NULL, *kind = NULL, *later = NULL, *path = NULL;
        g_autoptr(GVariant) report = NULL;

        kind = g_strdup_printf("[Kind]\nExec=true\n[Step only]\nExec=%s\n", bad);
        harness_add_kind(h, "first", kind);
        later = g_strdup_printf("[Kind]\nExec=true\n[Step good]\nExec=true\n[Step bad]\nExec=%s\n", bad);
        harness_add_kind(h, "later", later);
        harness_add_kind(h, "unknown", "[Kind]\nExec=true\n[Step only]\nExec=no-such-program\n");
        harness_start_daemon(h, NULL);

        /* The first process of the runtime: the start itself fails. */
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('first', @a{sv} {})"), "SetupFailed");
        g_assert_nonnull(strstr(message, "only"));
        g_free(message);
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('unknown', @a{sv} {})"), "ExecutableNotFound");
        g_assert_nonnull(strstr(message, "no-such-program"));

        path = client_start(h->client, "later", g_variant_new_parsed("@a{sv} {}"));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'setup-failed'>, 'Reason': <'executable-not-found'>, 'Phase': <'preparing'>, 'Step': <'bad'>}", "ExitCode Signal");
}

static void test_command_that_can_not_run(Harness *h) {
        g_autofree char *bad = harness_add_file(h, "bad", "#!/no/such/interpreter\n", 0755), *kind = NULL, *path = NULL;
        g_autoptr(GVariant) report = NULL;

        kind = g_strdup_printf("[Kind]\nExec=%s\n[Step good]\nExec=true\n", bad);
        harness_add_kind(h, "late", kind);
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "late", g_variant_new_parsed("@a{sv} {}"));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'start-failed'>, 'Reason': <'executable-not-found'>}", "ExitCode Signal Step");
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 0));
}

/* What a step leaves behind does not run beside the next one. */
static void test_leftovers_of_a_step(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL;

        add_project_kind(h);
        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "project",
                options("setsid sleep 1000 & echo $! >pid", "kill -0 $(cat pid) 2>/dev/null && echo it runs; exit 0", "{'TimeoutStopUSec': <uint64 5000000>}"));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'success'>, 'Leftovers': <uint32 1>}", NULL);
        text = client_read_text(h->client, path);
        g_assert_null(strstr(text, "it runs"));
}

/* Only the command itself has input and can say that it is ready. */
static void test_steps_are_not_the_command(Harness *h) {
        g_autofree char *script = harness_add_file(h, "script", "readlink /proc/$$/fd/0 | sed 's/:.*//'; echo READY; read line; exit 0\n", 0644);
        g_autofree char *path = NULL, *state = NULL,
                        *kind = g_strdup_printf("[Kind]\nExec=sh %s\n[Step prepare]\nExec=sh %s\n"
                                                "[Handshake]\nType=line\nLine=^READY$\n",
                                                script, script);
        g_autoptr(GPtrArray) lines = NULL;

        harness_add_kind(h, "eager", kind);
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "eager", g_variant_new_parsed("{'Input': <'pipe'>}"));
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        g_variant_unref(client_wait_ended(h->client, path));
        lines = client_read_lines(h->client, path, 0);
        g_assert_cmpuint(lines->len, ==, 4);
        assert_line(lines, 0, 0, "/dev/null");
        assert_line(lines, 1, 0, "READY");
        assert_line(lines, 2, 1, "pipe");
        assert_line(lines, 3, 1, "READY");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"steps-run-one-by-one-before-the-command", test_steps},
                {"the-running-step-is-told-and-can-be-stopped", test_step_is_told},
                {"a-step-that-fails-ends-the-runtime-in-its-words", test_failing_step},
                {"each-step-has-a-deadline", test_deadline},
                {"a-step-that-can-not-be-executed", test_step_that_can_not_run},
                {"a-command-that-can-not-be-executed-after-its-steps", test_command_that_can_not_run},
                {"what-a-step-leaves-behind-is-stopped", test_leftovers_of_a_step},
                {"a-step-has-no-input-and-no-say", test_steps_are_not_the_command},
        };

        return harness_main(argc, argv, "setup", cases, G_N_ELEMENTS(cases));
}
