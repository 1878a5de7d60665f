/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The examples of docs/kinds.md and the README as they are there; kinds that change while runtimes run; runtimectl kind check. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "harness.h"
#include "node.h"

static char *source_path(const char *name) {
        return g_test_build_filename(G_TEST_DIST, "..", "..", "docs", name, NULL);
}

static char *read_source(const char *name) {
        g_autofree char *path = source_path(name);
        g_autoptr(GError) error = NULL;
        char *text;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

/* Each into the folder of kinds, where the kind files look for what is beside them. */
static void add_example(Harness *h, const char *name) {
        g_autofree char *source = g_build_filename("examples", name, NULL), *text = read_source(source);
        g_autofree char *file = g_build_filename("config/runtime-manager/kinds", name, NULL);

        g_free(harness_add_file(h, file, text, 0644));
}

static char *start_ready(Harness *h, const char *kind, const char *options) {
        char *path = client_start(h->client, kind, g_variant_new_parsed(options));
        g_autofree char *state = client_wait_ready(h->client, path);

        if (strcmp(state, "ready") != 0) {
                g_autofree char *text = client_read_text(h->client, path);

                g_error("%s is %s, and said: %s", kind, state, text);
        }
        return path;
}

static void stop(Harness *h, const char *path, const char *expected) {
        g_autoptr(GVariant) report = NULL;

        client_stop(h->client, path);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>}", NULL);
        report_check(report, expected, NULL);
}

static gboolean has_program(const char *name) {
        g_autofree char *path = g_find_program_in_path(name);

        if (!path) {
                g_autofree char *why = g_strdup_printf("no %s is installed", name);

                g_test_skip(why);
        }
        return path != NULL;
}

static void test_python(Harness *h) {
        g_autofree char *path = NULL;

        if (!has_program("python3"))
                return;
        add_example(h, "python.kind");
        add_example(h, "python-runtime.py");
        harness_start_daemon(h, NULL);
        path = start_ready(h, "python", "@a{sv} {}");
        node_wait_output(h->client, path, 1, "ready\n");
        g_variant_unref(client_call(h->client, path, "Interrupt", NULL));
        node_wait_output(h->client, path, 1, "interrupted\n");
        stop(h, path, "{'ExitCode': <0>, 'StopStage': <'request'>}");
}

/* Thirty lines, and the standard library. */
static void test_python_is_short(Harness *h) {
        g_autofree char *text = read_source("examples/python-runtime.py");
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        guint n = 0;

        for (char **line = lines; *line; line++)
                n += (*line)[0] != '\0' && (*line)[0] != '#';
        g_assert_cmpuint(n, <=, 30);
}

static void test_lua(Harness *h) {
        g_autofree char *path = NULL;

        if (!has_program("lua5.4"))
                return;
        add_example(h, "lua.kind");
        add_example(h, "lua-runtime.lua");
        harness_start_daemon(h, NULL);
        path = start_ready(h, "lua", "@a{sv} {}");
        node_wait_output(h->client, path, 1, "ready\n");
        stop(h, path, "{'ExitCode': <0>, 'StopStage': <'request'>}");
}

static void test_shell(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;

        add_example(h, "shell.kind");
        add_example(h, "shell-runtime.sh");
        harness_start_daemon(h, NULL);
        path = start_ready(h, "shell", "{'Greeting': <'good day'>}");
        text = client_read_text(h->client, path);
        node_check_text(text, "good day\n");
        client_wait_string(h->client, path, "StatusText", "at work");
        stop(h, path, "{'ExitCode': <0>, 'StopStage': <'request'>}");
        g_free(text);
        text = client_read_text(h->client, path);
        node_check_text(text, "asked to stop\n");
}

static void test_elixir(Harness *h) {
        static const char name[] = "a\") IO.puts(\"x";
        g_autofree char *path = NULL, *options = NULL, *text = NULL;

        if (!has_program("elixir"))
                return;
        add_example(h, "hello.kind");
        add_example(h, "hello.exs");
        harness_start_daemon(h, NULL);
        options = g_strdup_printf("{'Name': <'%s'>, 'Input': <'pipe'>}", name);
        path = start_ready(h, "hello", options);
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "good morning\n")));
        node_wait_output(h->client, path, 1, "a\") IO.puts(\"x said: good morning\n");
        stop(h, path, "{'ExitCode': <0>, 'StopStage': <'request'>}");
        text = client_read_text(h->client, path);
        node_check_text(text, "goodbye, a\") IO.puts(\"x\n");
}

/* The indented block that begins with [Kind], without its indentation. */
static char *readme_kind(void) {
        g_autofree char *page = read_source("../README.md");
        const char *begin = strstr(page, "\n    [Kind]\n");
        g_auto(GStrv) lines = NULL;
        GString *text = g_string_new(NULL);

        g_assert_nonnull(begin);
        lines = g_strsplit(begin + 1, "\n", -1);
        for (char **line = lines; *line; line++) {
                if (!g_str_has_prefix(*line, "    ") && (*line)[0] != '\0')
                        break;
                g_string_append_printf(text, "%s\n", (*line)[0] != '\0' ? *line + 4 : "");
        }
        return g_string_free(text, FALSE);
}

static void test_readme(Harness *h) {
        g_autofree char *kind = NULL, *path = NULL;

        if (!has_program("elixir"))
                return;
        kind = readme_kind();
        harness_add_kind(h, "greeter", kind);
        harness_start_daemon(h, NULL);
        path = start_ready(h, "greeter", "{'Name': <'bob'>}");
        node_wait_output(h->client, path, 1, "ready for bob\n");
        stop(h, path, "{'StopStage': <'request'>}");
}

static void test_line(Harness *h) {
        g_autofree char *page = NULL, *folder = NULL, *options = NULL, *path = NULL, *message = NULL;

        if (!has_program("python3"))
                return;
        add_example(h, "web.kind");
        page = harness_add_file(h, "site/index.html", "<p>hello\n", 0644);
        folder = g_path_get_dirname(page);
        harness_start_daemon(h, NULL);
        options = g_strdup_printf("{'Root': <'%s'>}", folder);
        path = start_ready(h, "web", options);
        node_wait_output(h->client, path, 0, "Looking at the files...\n");
        node_wait_output(h->client, path, 1, "Serving HTTP on 127.0.0.1 port ");
        g_variant_unref(client_call(h->client, path, "Interrupt", NULL));
        g_variant_unref(client_wait_ended(h->client, path));

        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('web', {'Root': <'/nowhere'>})"), "InvalidOption");
        g_assert_cmpstr(message, ==, "Root must be a directory with an index.html (/nowhere/index.html: No such file or directory)");
}

/* Each block of the page is the file that runs, letter by letter. */
static void test_page(Harness *h) {
        g_autofree char *page = read_source("kinds.md"), *path = source_path("examples");
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name;
        guint n = 0;

        g_assert_nonnull(directory);
        while ((name = g_dir_read_name(directory))) {
                g_autofree char *file = g_build_filename(path, name, NULL), *source = g_build_filename("examples", name, NULL), *text = NULL;
                const char *body;

                if (g_file_test(file, G_FILE_TEST_IS_DIR)) /* programs, which are no kinds */
                        continue;
                text = read_source(source);
                body = strchr(text, '\n') + 1; /* without the line about the licence */
                if (!strstr(page, body))
                        g_error("docs/kinds.md doesn't show docs/examples/%s as it is", name);
                n++;
        }
        g_assert_cmpuint(n, ==, 9);
}

static char *kind_file(Harness *h, const char *name) {
        return g_build_filename(h->config_directory, "runtime-manager", "kinds", name, NULL);
}

static void write_kind(Harness *h, const char *name, const char *text) {
        g_autofree char *path = kind_file(h, name);

        g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void reload(Harness *h) {
        g_variant_unref(client_call(h->client, NULL, "Reload", NULL));
}

static void test_reload(Harness *h) {
        g_autofree char *old = NULL, *new = NULL, *file = NULL, *message = NULL, *state = NULL, *gone = NULL;

        harness_add_kind(h, "mine", "[Kind]\nExec=/bin/sh -c 'echo old; exec tail -f /dev/null'\n");
        harness_start_daemon(h, NULL);
        old = start_ready(h, "mine", "@a{sv} {}");
        node_wait_output(h->client, old, 1, "old\n");

        write_kind(h, "mine.kind", "[Kind]\nExec=/bin/sh -c 'echo ${Word}; exec tail -f /dev/null'\n[Option Word]\nDefault=new\n");
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('mine', {'Word': <'x'>})"), "InvalidOption");
        reload(h);
        new = start_ready(h, "mine", "{'Word': <'newer'>}");
        node_wait_output(h->client, new, 1, "newer\n");

        /* A mistake makes the kind unusable and says where; what runs goes on, and so do other kinds. */
        write_kind(h, "mine.kind", "[Kind]\nExce=/bin/true\n");
        write_kind(h, "another.kind", "[Kind]\nExec=/bin/true\n");
        reload(h);
        g_free(message);
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('mine', @a{sv} {})"), "NoSuchKind");
        node_check_text(message, "mine.kind:2: unknown key \"Exce\" in section \"Kind\"");
        g_variant_unref(client_call(h->client, NULL, "StartRuntime", g_variant_new_parsed("('another', @a{sv} {})")));

        file = kind_file(h, "mine.kind");
        g_assert_cmpint(g_unlink(file), ==, 0);
        reload(h);
        gone = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('mine', @a{sv} {})"), "NoSuchKind");
        for (size_t i = 0; i < 2; i++) {
                state = client_get_string(h->client, i == 0 ? old : new, "State");
                g_assert_cmpstr(state, ==, "ready");
                g_clear_pointer(&state, g_free);
        }
        stop(h, old, "{'StopStage': <'terminate'>}");
}

static int run_check(const char *const *files, char **ret_output, char **ret_errors) {
        g_autofree char *program = g_build_filename(harness_build_directory(), "runtimectl", NULL);
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        g_autoptr(GError) error = NULL;
        int status;

        g_ptr_array_add(argv, (char *) "env");
        g_ptr_array_add(argv, (char *) "LANGUAGE=en");
        g_ptr_array_add(argv, program);
        g_ptr_array_add(argv, (char *) "kind");
        g_ptr_array_add(argv, (char *) "check");
        for (; *files; files++)
                g_ptr_array_add(argv, (char *) *files);
        g_ptr_array_add(argv, NULL);
        g_spawn_sync(NULL, (char **) argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, ret_output, ret_errors, &status, &error);
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_check(Harness *h) {
        static const char *const examples[] = {"python", "lua", "shell", "hello", "web"};
        g_autofree char *wrong = harness_add_file(h, "kinds/wrong.kind", "[Kind]\nExec=true\n\n[Handshake]\nType=handstand\n", 0644);
        g_autofree char *output = NULL, *errors = NULL, *expected = NULL;

        for (size_t i = 0; i < G_N_ELEMENTS(examples); i++) {
                g_autofree char *name = g_strdup_printf("examples/%s.kind", examples[i]), *path = source_path(name), *good = NULL, *bad = NULL;
                g_autofree char *ok = g_strdup_printf("%s: ok\n", path);

                g_assert_cmpint(run_check((const char *const[]){path, NULL}, &good, &bad), ==, 0);
                g_assert_cmpstr(good, ==, ok);
                g_assert_cmpstr(bad, ==, "");
        }
        g_assert_cmpint(run_check((const char *const[]){wrong, NULL}, &output, &errors), ==, 1);
        expected = g_strdup_printf("%s:5: Type: must be one of exec, line, notify, protocol\n", wrong);
        g_assert_cmpstr(errors, ==, expected);
        g_assert_cmpstr(output, ==, "");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-Python-one-by-the-two-way-handshake", test_python},
                {"the-Python-one-is-thirty-lines", test_python_is_short},
                {"a-Lua-one-over-pipes", test_lua},
                {"a-shell-one-with-systemd-notify", test_shell},
                {"an-Elixir-script-whose-options-are-arguments", test_elixir},
                {"the-one-of-the-README", test_readme},
                {"one-that-is-ready-with-a-line-of-its-output", test_line},
                {"the-page-shows-what-runs", test_page},
                {"a-reload-picks-up-changes-and-touches-nothing-that-runs", test_reload},
                {"runtimectl-kind-check-says-what-is-wrong", test_check},
        };

        return harness_main(argc, argv, "kinds-by-others", cases, G_N_ELEMENTS(cases));
}
