/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mix-standalone on real Mix: projects as people have them, good and broken. None has a dependency from the network. */

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "node.h"

#define PROJECT(module, settings, application)                                                                                                                 \
        "defmodule " module ".MixProject do\n"                                                                                                                 \
        "  use Mix.Project\n"                                                                                                                                  \
        "  def project, do: [version: \"0.1.0\", " settings "]\n"                                                                                              \
        "  def application, do: [" application "]\n"                                                                                                           \
        "end\n"

/* files: path in the project, text, ...; NULL at the end. The project's directory. */
static char *add_project(Harness *h, const char *name, ...) {
        va_list list;
        const char *file;

        va_start(list, name);
        while ((file = va_arg(list, const char *))) {
                g_autofree char *path = g_build_filename("projects", name, file, NULL);

                g_free(harness_add_file(h, path, va_arg(list, const char *), 0644));
        }
        va_end(list);
        return g_build_filename(h->directory, "projects", name, NULL);
}

static char *add_good_project(Harness *h) {
        return add_project(h, "good", "mix.exs", PROJECT("Good", "app: :good", "extra_applications: [:logger]"), "lib/good.ex",
                           "defmodule Good do\n  def hello, do: :world\nend\n", NULL);
}

static GVariant *options_for(const char *project, const char *more) {
        GVariantDict dict;
        g_autoptr(GVariant) added = more ? g_variant_ref_sink(g_variant_new_parsed(more)) : NULL;

        g_variant_dict_init(&dict, added);
        g_variant_dict_insert(&dict, "ProjectPath", "s", project);
        /* Machines that test are busy ones. */
        g_variant_dict_insert(&dict, "TimeoutHandshakeUSec", "t", (guint64) HARNESS_DEADLINE_USEC);
        return g_variant_dict_end(&dict);
}

static char *start(Harness *h, const char *project, const char *more) {
        return client_start(h->client, "mix-standalone", options_for(project, more));
}

static char *start_and_fail_in_step(Harness *h, const char *project, const char *expected, const char *options) {
        g_autofree char *path = start(h, project, options);
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'setup-failed'>, 'Phase': <'preparing'>}", NULL);
        report_check(report, expected, NULL);
        client_wait_signal(h->client, path, "Ended");
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 0));
        return report_step_output(h->client, path, report);
}

static void check_refused(Harness *h, const char *project, const char *part) {
        g_autofree char *message = NULL;

        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "mix-standalone", options_for(project, NULL)), "InvalidOption");
        node_check_text(message, part);
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 0));
}

static void test_no_project(Harness *h) {
        g_autofree char *folder = g_build_filename(h->directory, "projects", "mix.exs-is-a-folder", NULL), *inner = g_build_filename(folder, "mix.exs", NULL);
        g_autofree char *missing = g_build_filename(h->directory, "nowhere", NULL), *message = NULL;

        g_assert_cmpint(g_mkdir_with_parents(inner, 0755), ==, 0);
        harness_start_daemon(h, NULL);
        check_refused(h, h->home, "ProjectPath must be the directory of a Mix project: it has no mix.exs");
        check_refused(h, h->home, "/home/mix.exs: No such file or directory");
        check_refused(h, missing, "/nowhere/mix.exs: No such file or directory");
        check_refused(h, folder, "mix.exs is not a file");
        check_refused(h, "projects/good", "option ProjectPath must be an absolute path");
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('mix-standalone', @a{sv} {})"), "InvalidOption");
        node_check_text(message, "ProjectPath");
}

static void test_no_elixir(Harness *h) {
        g_autofree char *project = add_good_project(h), *message = NULL;

        harness_start_daemon(h, NULL);
        message = client_call_fails(h->client, NULL, "StartRuntime",
                                    g_variant_new("(s@a{sv})", "mix-standalone", options_for(project, "{'Environment': <['PATH=/nowhere']>}")),
                                    "ExecutableNotFound");
        g_assert_cmpstr(message, ==, "no Elixir executable found in PATH");
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 0));
}

static void check_progress(Harness *h, const char *path, size_t n, const char *step) {
        const Signal *signal = client_wait_nth_signal(h->client, path, "SetupProgress", n);
        const char *name;
        guint32 index, total;

        g_variant_get(signal->parameters, "(&suu)", &name, &index, &total);
        g_assert_cmpstr(name, ==, step);
        g_assert_cmpuint(total, ==, 2);
}

/* The row of the design's table, word by word. */
static void test_row(Harness *h) {
        g_autofree char *project = add_good_project(h), *path = NULL, *state = NULL, *setup = NULL, *value = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        g_autoptr(GVariant) report = NULL;
        const char *first, *second;

        harness_start_daemon(h, NULL);
        path = start(h, project, "{'Arguments': <['a b', 'c']>}");
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        check_progress(h, path, 0, "deps.get");
        check_progress(h, path, 1, "compile");

        lines = client_read_lines(h->client, path, 0);
        setup = g_string_free(lines_join(lines, 0), FALSE);
        first = strstr(setup, "Running mix deps.get...\n");
        second = strstr(setup, "Running mix compile...\n");
        g_assert_nonnull(first);
        g_assert_nonnull(second);
        g_assert_true(first < second);
        node_check_text(second, "Generated good app\n");

        node_check(h->client, path, "{Good.hello(), Mix.env(), System.argv()}", "{world,dev,[<<\"a b\">>,<<\"c\">>]}");
        value = g_strdup_printf("<<\"%s\">>", project);
        node_check(h->client, path, "File.cwd!()", value);
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'ExitCode': <0>, 'StopStage': <'request'>}", "Step");
}

/* Mix does so by itself since Elixir 1.15. */
static void test_code_path(Harness *h) {
        g_autofree char *project = add_project(
                h, "alone", "mix.exs",
                "for path <- :code.get_path(), to_string(path) =~ \"/data/elixir/\", do: :code.del_path(path)\n" PROJECT("Alone", "app: :alone", ""), NULL);
        g_autofree char *path = NULL, *state = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start(h, project, NULL);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'ExitCode': <0>, 'StopStage': <'request'>}", NULL);
}

static void test_environment(Harness *h) {
        g_autofree char *project = add_good_project(h), *build = g_build_filename(h->directory, "build", NULL), *path = NULL, *state = NULL, *value = NULL;
        g_autofree char *own = g_build_filename(project, "_build", NULL), *options = NULL;

        harness_start_daemon(h, NULL);
        options = g_strdup_printf("{'MixEnv': <'test'>, 'BuildPath': <'%s'>}", build);
        path = start(h, project, options);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        value = g_strdup_printf("{test,<<\"%s\">>}", build);
        node_check(h->client, path, "{Mix.env(), Mix.Project.build_path()}", value);
        g_assert_false(g_file_test(own, G_FILE_TEST_EXISTS));
}

static void test_compile_error(Harness *h) {
        g_autofree char *project = add_project(h, "wrong", "mix.exs", PROJECT("Wrong", "app: :wrong", ""), "lib/wrong.ex",
                                               "defmodule Wrong do\n  def hello, do: nothing_of_this_name(1)\nend\n", NULL);
        g_autofree char *output = NULL;

        harness_start_daemon(h, NULL);
        output = start_and_fail_in_step(h, project,
                                        "{'Reason': <'setup-step-failed'>, 'Step': <'compile'>, 'ExitCode': <1>,"
                                        " 'Message': <'running mix compile failed, see output for more details'>}",
                                        NULL);
        node_check_text(output, "lib/wrong.ex:2");
        node_check_text(output, "nothing_of_this_name/1");
        g_assert_null(strstr(output, "Running mix deps.get"));
}

static void test_missing_dependency(Harness *h) {
        g_autofree char *path_missing =
                add_project(h, "lonely", "mix.exs", PROJECT("Lonely", "app: :lonely, deps: [{:nobody, path: \"../nobody\"}]", ""), NULL);
        g_autofree char *output = NULL;

        harness_start_daemon(h, NULL);
        output = start_and_fail_in_step(h, path_missing,
                                        "{'Reason': <'setup-step-failed'>, 'Step': <'compile'>,"
                                        " 'Message': <'running mix compile failed, see output for more details'>}",
                                        NULL);
        node_check_text(output, "* nobody (../nobody)");
        node_check_text(output, "the dependency is not available");
}

/* Mix asks whether it shall install Hex, or since Elixir 1.18 tries to; nobody is there to answer, and nothing must wait for one. */
static void test_no_hex(Harness *h) {
        g_autofree char *project = add_project(h, "remote", "mix.exs", PROJECT("Remote", "app: :remote, deps: [{:jason, \"~> 1.0\"}]", ""), NULL);
        g_autofree char *output = NULL;

        harness_start_daemon(h, NULL);
        output = start_and_fail_in_step(h, project, "{'Step': <'deps.get'>, 'Message': <'running mix deps.get failed, see output for more details'>}",
                                        "{'Environment': <['HTTP_PROXY=http://127.0.0.1:9', 'HTTPS_PROXY=http://127.0.0.1:9']>}");
        if (!strstr(output, "Could not install Hex"))
                node_check_text(output, "Could not find Hex, which is needed to build dependency :jason");
}

static void test_silent_step(Harness *h) {
        g_autofree char *project =
                add_project(h, "slow", "mix.exs", "receive do\n  :never -> :ok\nafter\n  60_000 -> :ok\nend\n" PROJECT("Slow", "app: :slow", ""), NULL);
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start(h, project, "{'TimeoutSetupUSec': <uint64 3000000>}");
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'setup-failed'>, 'Reason': <'setup-deadline'>, 'Phase': <'preparing'>, 'Step': <'deps.get'>, 'RequestedBy': <'limit'>,"
                     " 'Message': <'The setup step \"deps.get\" was not done in time.'>}",
                     NULL);
        g_assert_cmpuint(report_number(report, "DurationUSec"), >=, 3 * G_USEC_PER_SEC);
        g_assert_cmpuint(report_number(report, "DurationUSec"), <, 30 * G_USEC_PER_SEC);
        g_assert_true(g_str_has_prefix(report_string(report, "OutputTail"), "Running mix deps.get...\n"));
}

static void test_crash_at_start(Harness *h) {
        g_autofree char *project = add_project(h, "crash", "mix.exs", PROJECT("Crash", "app: :crash", "mod: {Crash, []}"), "lib/crash.ex",
                                               "defmodule Crash do\n  use Application\n  def start(_, _), do: raise(\"no database here\")\nend\n", NULL);
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start(h, project, NULL);
        report = client_wait_ended(h->client, path);
        report_check(report,
                     "{'Result': <'handshake-failed'>, 'Reason': <'exited-before-ready'>, 'Phase': <'connecting'>, 'ExitCode': <1>,"
                     " 'Message': <'Elixir process terminated unexpectedly: it exited with status 1 before it was ready.'>}",
                     "Step");
        node_check_text(report_string(report, "OutputTail"), "no database here");
        node_check_text(report_string(report, "OutputTail"), "Could not start application crash");
}

static void test_umbrella(Harness *h) {
        g_autofree char *project = add_project(
                h, "umbrella", "mix.exs",
                "defmodule Umbrella.MixProject do\n  use Mix.Project\n  def project, do: [apps_path: \"apps\", version: \"0.1.0\"]\nend\n", "apps/one/mix.exs",
                PROJECT("One", "app: :one, build_path: \"../../_build\", deps_path: \"../../deps\", lockfile: \"../../mix.lock\"", ""), "apps/one/lib/one.ex",
                "defmodule One do\n  def number, do: 1\nend\n", "apps/two/mix.exs",
                PROJECT("Two",
                        "app: :two, build_path: \"../../_build\", deps_path: \"../../deps\", lockfile: \"../../mix.lock\", deps: [{:one, in_umbrella: true}]",
                        ""),
                "apps/two/lib/two.ex", "defmodule Two do\n  def number, do: One.number() + 1\nend\n", NULL);
        g_autofree char *path = NULL, *state = NULL, *app = g_build_filename(project, "apps", "two", NULL), *path_of_app = NULL, *state_of_app = NULL;

        harness_start_daemon(h, NULL);
        path = start(h, project, NULL);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        node_check(h->client, path, "Two.number()", "2");

        path_of_app = start(h, app, NULL);
        state_of_app = client_wait_ready(h->client, path_of_app);
        g_assert_cmpstr(state_of_app, ==, "ready");
        node_check(h->client, path_of_app, "{Two.number(), Mix.Project.config()[:app]}", "{2,two}");
}

static void test_path_dependency(Harness *h) {
        g_autofree char *project = add_project(h, "social", "mix.exs", PROJECT("Social", "app: :social, deps: [{:friend, path: \"../friend\"}]", ""),
                                               "lib/social.ex", "defmodule Social do\n  def friend, do: Friend.name()\nend\n", NULL);
        g_autofree char *path = NULL, *state = NULL;

        g_free(add_project(h, "friend", "mix.exs", PROJECT("Friend", "app: :friend", ""), "lib/friend.ex", "defmodule Friend do\n  def name, do: :jane\nend\n",
                           NULL));
        harness_start_daemon(h, NULL);
        path = start(h, project, NULL);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        node_check(h->client, path, "Social.friend()", "jane");
}

/* Behind all others: this program, and what it starts from now on, gives up root's right to write everywhere. */
/* What root starts may write everywhere, by a capability of the bounding set or, in some containers, of those that are inherited. */
static void heed_file_modes(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (geteuid() != 0)
                return;
        g_assert_cmpint(prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE), ==, 0);
        g_assert_cmpint(syscall(SYS_capget, &header, data), ==, 0);
        data[CAP_TO_INDEX(CAP_DAC_OVERRIDE)].inheritable &= ~CAP_TO_MASK(CAP_DAC_OVERRIDE);
        g_assert_cmpint(syscall(SYS_capset, &header, data), ==, 0);
}

static void test_read_only(Harness *h) {
        g_autofree char *project = add_good_project(h), *build = g_build_filename(h->directory, "build", NULL), *options = NULL;
        g_autofree char *output = NULL, *path = NULL, *state = NULL;

        heed_file_modes();
        g_assert_cmpint(chmod(project, 0555), ==, 0);
        harness_start_daemon(h, NULL);
        output = start_and_fail_in_step(h, project, "{'Step': <'compile'>, 'Message': <'running mix compile failed, see output for more details'>}", NULL);
        node_check_text(output, "could not make directory");
        node_check_text(output, "/good/_build");

        options = g_strdup_printf("{'BuildPath': <'%s'>}", build);
        path = start(h, project, options);
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");
        node_check(h->client, path, "Good.hello()", "world");
        g_assert_cmpint(chmod(project, 0755), ==, 0);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-directory-without-mix.exs-is-refused-before-anything-starts", test_no_project},
                {"no-Elixir-executable-found-in-PATH", test_no_elixir},
                {"Running-mix-deps.get-then-Running-mix-compile-then-the-node-in-the-project", test_row},
                {"what-is-ours-works-where-it-is-taken-off-the-code-path", test_code_path},
                {"another-environment-and-build-path", test_environment},
                {"a-compile-error-fails-in-the-step-compile", test_compile_error},
                {"a-missing-dependency-is-named", test_missing_dependency},
                {"a-dependency-that-needs-Hex-fails-and-does-not-wait-for-an-answer", test_no_hex},
                {"a-step-that-prints-nothing-ends-at-its-deadline", test_silent_step},
                {"an-application-that-crashes-at-start-ends-before-ready", test_crash_at_start},
                {"an-umbrella-project-and-one-application-of-it", test_umbrella},
                {"a-project-with-a-path-dependency", test_path_dependency},
                {"a-read-only-directory-says-so-and-works-with-another-build-path", test_read_only},
        };

        if (!node_is_possible())
                return 0;
        return harness_main(argc, argv, "mix", cases, G_N_ELEMENTS(cases));
}
