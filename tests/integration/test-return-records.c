/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is found in the runtime directory is read as a stranger's: a record that can't be understood is set aside, and its runtime goes on with what the keeper
 * knows; whatever else lies there does no harm. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "again.h"
#include "away.h"
#include "owner.h"
#include "util/names.h"

static void write_file(const char *path, const char *text, gssize size) {
        g_autoptr(GError) error = NULL;

        g_file_set_contents(path, text, size, &error);
        g_assert_no_error(error);
}

static char *read_file(const char *path) {
        g_autoptr(GError) error = NULL;
        char *text = NULL;

        g_file_get_contents(path, &text, NULL, &error);
        g_assert_no_error(error);
        return text;
}

/* In place of what is there. */
static void replace_in_file(const char *path, const char *old, const char *new) {
        g_autofree char *text = read_file(path), *changed = NULL;
        g_auto(GStrv) parts = g_strsplit(text, old, 2);

        g_assert_nonnull(parts[1]);
        changed = g_strjoinv(new, parts);
        write_file(path, changed, -1);
}

static void spoil_garbage(const char *file) {
        write_file(file, "\0\xff{]garbage", 11);
}

static void spoil_empty(const char *file) {
        g_assert_cmpint(truncate(file, 0), ==, 0);
}

static void spoil_truncated(const char *file) {
        struct stat st;

        g_assert_cmpint(stat(file, &st), ==, 0);
        g_assert_cmpint(truncate(file, st.st_size / 2), ==, 0);
}

static void spoil_version(const char *file) {
        replace_in_file(file, "\"version\":1", "\"version\":1000");
}

static void spoil_unknown_field(const char *file) {
        replace_in_file(file, "{", "{\"unheard_of\":1,");
}

static void spoil_missing_field(const char *file) {
        replace_in_file(file, "\"deadline_usec\"", "\"deadline\"");
}

static void spoil_type(const char *file) {
        replace_in_file(file, "\"state\":\"ready\"", "\"state\":7");
}

static void spoil_state(const char *file) {
        replace_in_file(file, "\"state\":\"ready\"", "\"state\":\"happy\"");
}

static void spoil_id(const char *file) {
        replace_in_file(file, "{\"id\":\"", "{\"id\":\"x");
}

/* Larger than any record, without taking the room. */
static void spoil_huge(const char *file) {
        g_assert_cmpint(truncate(file, (off_t) 4 << 30), ==, 0);
}

static void spoil_nested(const char *file) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (int i = 0; i < 1000000; i++)
                g_string_append(text, "{\"a\":");
        write_file(file, text->str, (gssize) text->len);
}

/* To a good record: links aren't followed. */
static void spoil_symlink(const char *file) {
        g_autofree char *target = g_strconcat(file, ".target", NULL);

        g_assert_cmpint(rename(file, target), ==, 0);
        g_assert_cmpint(symlink(target, file), ==, 0);
}

static void spoil_directory(const char *file) {
        g_assert_cmpint(unlink(file), ==, 0);
        g_assert_cmpint(mkdir(file, 0700), ==, 0);
}

static void spoil_fifo(const char *file) {
        g_assert_cmpint(unlink(file), ==, 0);
        g_assert_cmpint(mkfifo(file, 0600), ==, 0);
}

static const struct {
        const char *name;
        void (*spoil)(const char *file);
} spoilers[] = {
        {"garbage", spoil_garbage},
        {"empty", spoil_empty},
        {"truncated", spoil_truncated},
        {"version", spoil_version},
        {"unknown", spoil_unknown_field},
        {"missing", spoil_missing_field},
        {"type", spoil_type},
        {"state", spoil_state},
        {"id", spoil_id},
        {"huge", spoil_huge},
        {"nested", spoil_nested},
        {"symlink", spoil_symlink},
        {"directory", spoil_directory},
        {"fifo", spoil_fifo},
};

/* One runtime for each way to spoil a record, all at once. Each is found by its keeper, goes on, and can be stopped. */
static void test_spoiled(Harness *h) {
        char *paths[G_N_ELEMENTS(spoilers)];
        pid_t pids[G_N_ELEMENTS(spoilers)];

        harness_start_daemon(h, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(spoilers); i++) {
                g_autofree char *id = harness_id(spoilers[i].name);

                paths[i] = client_start(h->client, "command",
                                        options_shell("echo before; read line; echo $line; exec sleep 1000", "{'Id': <%s>, 'Input': <'pipe'>}", id));
                client_wait_text(h->client, paths[i], "before\n");
                pids[i] = main_pid_of(h->client, paths[i]);
        }
        harness_kill_daemon(h);
        for (size_t i = 0; i < G_N_ELEMENTS(spoilers); i++) {
                g_autofree char *file = record_path(h, paths[i], "record.json");

                spoilers[i].spoil(file);
        }
        come_back(h);
        for (size_t i = 0; i < G_N_ELEMENTS(spoilers); i++) {
                g_autofree char *aside = record_path(h, paths[i], "record.json.bad"), *kind = NULL;
                struct stat st;

                g_test_message("%s", spoilers[i].name);
                wait_logged(h, path_to_id(paths[i]), "can't be understood");
                g_assert_cmpint(lstat(aside, &st), ==, 0);
                client_wait_state(h->client, paths[i], "ready");
                kind = client_get_string(h->client, paths[i], "Kind");
                g_assert_cmpstr(kind, ==, "command");
                g_assert_cmpint(main_pid_of(h->client, paths[i]), ==, pids[i]);
                assert_text(h, paths[i], "before\n");
                g_variant_unref(client_call(h->client, paths[i], "WriteInput", g_variant_new_parsed("(b'x\\n',)")));
                client_wait_text(h->client, paths[i], "before\nx\n");
        }
        /* It has a record again. */
        go_away_and_come_back(h);
        for (size_t i = 0; i < G_N_ELEMENTS(spoilers); i++) {
                g_autoptr(GVariant) report = NULL;

                g_test_message("%s", spoilers[i].name);
                g_assert_cmpint(main_pid_of(h->client, paths[i]), ==, pids[i]);
                client_stop(h->client, paths[i]);
                report = client_wait_ended(h->client, paths[i]);
                report_check(report, "{'Result': <'stopped'>, 'StopStage': <'terminate'>, 'Signal': <15>, 'LastLine': <uint64 2>}", "ExitCode");
                g_free(paths[i]);
        }
}

/* It ends while its record is spoiled and nobody is there. */
static void test_spoiled_and_ended(Harness *h) {
        g_autofree char *path = NULL, *file = NULL;
        g_autoptr(GVariant) report = NULL;
        pid_t pid;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo line; exec sleep 1000");
        client_wait_text(h->client, path, "line\n");
        pid = main_pid_of(h->client, path);
        file = record_path(h, path, "record.json");
        harness_kill_daemon(h);
        spoil_garbage(file);
        g_assert_cmpint(kill(pid, SIGUSR1), ==, 0);
        wait_process_gone(h, pid);
        come_back(h);
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'signal'>, 'Signal': <10>, 'LastLine': <uint64 1>, 'OutputTail': <'line\\n'>}", "ExitCode");
}

/* Nobody knows anything of it any more; the file is there for a person to look at. */
static void test_spoiled_after_the_end(Harness *h) {
        g_autofree char *path = NULL, *file = NULL, *message = NULL, *aside = NULL, *folder = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exit 0");
        g_variant_unref(client_wait_ended(h->client, path));
        file = record_path(h, path, "record.json");
        harness_kill_daemon(h);
        spoil_garbage(file);
        come_back(h);
        message = client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(path)), "NoSuchRuntime");
        aside = record_path(h, path, "record.json.bad");
        g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
        /* The id is free. */
        folder = client_start(h->client, "command", options_shell("exec sleep 1000", "{'Id': <%s>}", path_to_id(path)));
        g_assert_cmpstr(folder, ==, path);
        g_assert_false(g_file_test(aside, G_FILE_TEST_EXISTS));
}

static void test_clients_spoiled(Harness *h) {
        static void (*const spoil[])(const char *file) = {spoil_garbage, spoil_empty, spoil_huge, spoil_symlink, spoil_directory, spoil_fifo};
        g_autofree char *path = NULL, *file = NULL, *all = NULL, *target = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "{'Owner': <'caller'>}");
        g_variant_unref(client_call(h->client, NULL, "Subscribe", g_variant_new("(u)", 3)));
        file = record_path(h, path, "clients.json");
        all = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, "subscribers.json", NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(spoil); i++) {
                harness_kill_daemon(h);
                (void) rmdir(file);
                (void) rmdir(all);
                write_file(file, "{}", -1);
                write_file(all, "{}", -1);
                spoil[i](file);
                spoil[i](all);
                come_back(h);
                assert_ready(h, path);
                (void) rmdir(file);
                (void) rmdir(all);
                (void) unlink(all);
        }
        target = g_strconcat(all, ".target", NULL);
        (void) unlink(target);
        stop_undisturbed(h, path);
}

static void test_strangers(Harness *h) {
        g_autofree char *path = NULL, *root = NULL, *outside = NULL, *precious = NULL, *file = NULL, *dotted = NULL, *link = NULL, *deep = NULL, *fifo = NULL;
        g_autofree char *socket_folder = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        harness_kill_daemon(h);
        root = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, NULL);
        outside = g_build_filename(h->directory, "outside", NULL);
        precious = harness_add_file(h, "outside/precious", "dear", 0600);
        file = g_build_filename(root, "a_file", NULL);
        write_file(file, "text", -1);
        dotted = g_build_filename(root, "with.dot", NULL);
        g_assert_cmpint(mkdir(dotted, 0700), ==, 0);
        fifo = g_build_filename(root, "fifo", NULL);
        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
        /* Links in place of a runtime's folder, and in one: nothing behind them is touched. */
        link = g_build_filename(root, "link", NULL);
        g_assert_cmpint(symlink(outside, link), ==, 0);
        deep = g_build_filename(root, "stranger", "some", "folders", NULL);
        g_assert_cmpint(g_mkdir_with_parents(deep, 0700), ==, 0);
        socket_folder = g_build_filename(deep, "link", NULL);
        g_assert_cmpint(symlink(outside, socket_folder), ==, 0);
        g_free(harness_add_file(h, "run/" RM_RUNTIME_DIRECTORY "/Not An Id/record.json", "{}", 0600));
        g_free(harness_add_file(h, "run/" RM_RUNTIME_DIRECTORY "/nobody/keeper", "no socket", 0600));
        come_back(h);
        assert_ready(h, path);
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 1);
        g_free(read_file(precious));
        stop_undisturbed(h, path);
        harness_kill_daemon(h);
        /* What the harness would take for something left. */
        {
                g_autofree char *not_an_id = g_build_filename(root, "Not An Id", NULL), *bad = g_build_filename(not_an_id, "record.json.bad", NULL);

                (void) unlink(bad);
                (void) rmdir(not_an_id);
        }
        g_assert_cmpint(unlink(file), ==, 0);
        g_assert_cmpint(unlink(fifo), ==, 0);
        g_assert_cmpint(unlink(link), ==, 0);
        g_assert_cmpint(rmdir(dotted), ==, 0);
        come_back(h);
}

/* The computer was started anew: the runtime directory is a new one then, but somebody may keep it elsewhere. */
static void test_other_boot(Harness *h) {
        g_autofree char *path = NULL, *file = NULL, *folder = NULL, *message = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exit 0");
        g_variant_unref(client_wait_ended(h->client, path));
        harness_kill_daemon(h);
        file = record_path(h, path, "record.json");
        replace_in_file(file, "\"boot\":\"", "\"boot\":\"00000000");
        come_back(h);
        message = client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(path)), "NoSuchRuntime");
        folder = g_path_get_dirname(file);
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
}

static void test_second_daemon(Harness *h) {
        g_autofree char *program = g_build_filename(harness_build_directory(), "runtime-managerd", NULL), *path = NULL, *text = NULL;
        g_autofree char *bus = g_strdup_printf("--bus-address=%s", h->bus_address);
        char *argv[] = {program, (char *) "--user", bus, NULL};
        g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "XDG_RUNTIME_DIR", h->runtime_directory, TRUE);
        g_autoptr(GError) error = NULL;
        int status;

        environment = g_environ_setenv(environment, "LANGUAGE", "en", TRUE);
        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        g_spawn_sync(NULL, argv, environment, G_SPAWN_DEFAULT, NULL, NULL, NULL, &text, &status, &error);
        g_assert_no_error(error);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, 1);
        g_assert_nonnull(strstr(text, "Another instance of the service uses the runtime directory"));
        g_assert_nonnull(strstr(text, h->runtime_directory));
        /* One line says it. */
        g_assert_null(strstr(text, "could not be started"));
        assert_ready(h, path);
        stop_undisturbed(h, path);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-spoiled-record-is-set-aside-and-its-runtime-goes-on", test_spoiled},
                {"a-runtime-with-a-spoiled-record-is-reported", test_spoiled_and_ended},
                {"a-spoiled-record-of-an-ended-runtime-is-kept-for-people", test_spoiled_after_the_end},
                {"spoiled-lists-of-clients-do-no-harm", test_clients_spoiled},
                {"strange-files-and-folders-do-no-harm", test_strangers},
                {"a-record-of-another-boot-is-removed", test_other_boot},
                {"a-second-daemon-is-refused", test_second_daemon},
        };

        return harness_main(argc, argv, "return-records", cases, G_N_ELEMENTS(cases));
}
