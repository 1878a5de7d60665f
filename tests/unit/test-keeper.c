/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real keeper while it works: how it starts what it is told to, what it says of it, and the daemons that come and go meanwhile. */

#include "keeper-fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util/names.h"

static void test_echo(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, false, "echo hello; echo oops >&2; echo $0");
        fixture_run_to_done(f);

        g_assert_cmpuint(f->hello.n_commands, ==, 1);
        g_assert_cmpuint(f->seen[LINK_EXECUTED], ==, 1);
        g_assert_cmpint(f->exited.code, ==, CLD_EXITED);
        g_assert_cmpint(f->exited.status, ==, 0);
        g_assert_cmpuint(f->exited.settled, ==, 1);
        g_assert_cmpuint(f->exited.first_line, ==, 1);
        g_assert_cmpuint(f->exited.last_line, ==, 3);
        g_assert_cmpuint(f->done.last_line, ==, 3);
        g_assert_cmpuint(f->done.leftovers, ==, 0);
        g_assert_cmpuint(f->done.cpu_usage_nsec, !=, UINT64_MAX);
        g_assert_cmpuint(f->done.monotonic_usec, >=, f->executed.monotonic_usec);
}

static void test_exit_codes(void) {
        for (int code = 0; code < 256; code += 51) {
                g_autoptr(Fixture) f = fixture_new();
                g_autofree char *script = g_strdup_printf("exit %d", code);

                fixture_add_shell(f, false, script);
                fixture_run_to_done(f);
                g_assert_cmpint(f->exited.code, ==, CLD_EXITED);
                g_assert_cmpint(f->exited.status, ==, code);
                g_assert_cmpuint(f->exited.first_line, >, f->exited.last_line);
        }
}

static void test_signals(void) {
        static const int signals[] = {SIGTERM, SIGKILL, SIGUSR1, SIGINT, SIGHUP, SIGPIPE};

        for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
                g_autoptr(Fixture) f = fixture_new();

                fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
                fixture_start(f);
                g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, SIGTERM), ==, ESRCH);
                fixture_execute(f, 0);
                g_assert_cmpint(fixture_signal(f, i % 2 ? LINK_WHO_MAIN : LINK_WHO_ALL, signals[i]), ==, 0);
                fixture_wait(f, LINK_DONE, 1);
                g_assert_cmpint(f->exited.code, ==, CLD_KILLED);
                g_assert_cmpint(f->exited.status, ==, signals[i]);
                g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGTERM), ==, ESRCH);
                fixture_collect(f);
                fixture_wait_end(f);
        }
}

/* A signal that comes before execve() is neither lost nor met with our own ignoring of it. */
static void test_a_signal_during_the_start(void) {
        for (unsigned i = 0; i < 50; i++) {
                g_autoptr(Fixture) f = fixture_new();
                struct link_signal message = {.type = LINK_SIGNAL, .cookie = 1, .who = LINK_WHO_MAIN, .signo = SIGTERM};

                fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
                fixture_start(f);
                fixture_run(f, 0);
                fixture_send(f, &message, sizeof(message), NULL, 0);
                fixture_wait(f, LINK_DONE, 1);
                g_assert_cmpint(f->exited.status, ==, SIGTERM);
                fixture_collect(f);
                fixture_wait_end(f);
        }
}

static void test_bad_signals_are_refused(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, 0), ==, EINVAL);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, -1), ==, EINVAL);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, 65), ==, EINVAL);
        g_assert_cmpint(fixture_signal(f, 7, SIGTERM), ==, EINVAL);
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, SIGKILL);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void check_failure(const char *const *argv, const char *directory, enum link_stage stage, int error) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, false, argv);
        if (directory)
                spec_add_string(f->spec, SPEC_WORKING_DIRECTORY, directory);
        fixture_run_to_done(f);
        g_assert_cmpuint(f->seen[LINK_FAILED], ==, 1);
        g_assert_cmpuint(f->seen[LINK_EXECUTED], ==, 0);
        g_assert_cmpuint(f->seen[LINK_EXITED], ==, 0);
        g_assert_cmpint(f->failed.stage, ==, stage);
        g_assert_cmpint(f->failed.error, ==, error);
}

static void test_failures_of_the_start(void) {
        g_autofree char *huge = g_strnfill(200 * 1024, 'x');

        check_failure((const char *const[]){"/no/such/executable", NULL}, NULL, LINK_STAGE_EXEC, ENOENT);
        check_failure((const char *const[]){"/etc/passwd", NULL}, NULL, LINK_STAGE_EXEC, EACCES);
        check_failure((const char *const[]){"/bin/echo", huge, NULL}, NULL, LINK_STAGE_EXEC, E2BIG);
        check_failure((const char *const[]){"/bin/true", NULL}, "/no/such/directory", LINK_STAGE_DIRECTORY, ENOENT);
        check_failure((const char *const[]){"/bin/true", NULL}, "/etc/passwd", LINK_STAGE_DIRECTORY, ENOTDIR);
}

static void test_a_broken_spec_fails_the_first_command(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, false, (const char *const[]){"relative", NULL});
        fixture_run_to_done(f);
        g_assert_cmpuint(f->hello.n_commands, ==, 0);
        g_assert_cmpint(f->failed.stage, ==, LINK_STAGE_SPEC);
}

static void test_no_directory_for_the_sockets(void) {
        g_autoptr(Fixture) f = fixture_new();
        char *real = f->directory;

        f->directory = g_build_filename(real, "gone", NULL);
        fixture_add_shell(f, false, "true");
        g_free(f->directory);
        f->directory = real;
        fixture_run_to_done(f);
        g_assert_cmpint(f->failed.stage, ==, LINK_STAGE_SOCKET);
        g_assert_cmpint(f->failed.error, ==, ENOENT);
}

static void test_a_long_directory_is_no_obstacle(void) {
        g_autoptr(Fixture) f = fixture_new();
        char *real = f->directory;
        g_autofree char *name = g_strnfill(150, 'd');

        f->directory = g_build_filename(real, name, NULL);
        g_assert_cmpint(mkdir(f->directory, 0700), ==, 0);
        f->header.transport = SPEC_TRANSPORT_SOCKET;
        fixture_add_shell(f, false, "test -S \"$PWD/control\" && echo here");
        spec_add_string(f->spec, SPEC_WORKING_DIRECTORY, f->directory);
        fixture_run_to_done(f);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "here");

        g_assert_cmpint(rmdir(f->directory), ==, 0);
        g_free(f->directory);
        f->directory = real;
}

/* Everything a runtime gets from us, as it sees it. */
static void test_a_clean_start(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *expected = NULL;

        f->header.flags = SPEC_NO_NEW_PRIVILEGES;
        fixture_add_shell(f, false,
                          "read -r pid _ _ _ pgrp session _ </proc/self/stat; [ $pgrp = $$ ] && [ $session = $$ ] && echo leader;"
                          "grep -E 'Sig(Blk|Ign|Cgt)|NoNewPrivs' /proc/self/status | tr -s '\\t\\n' '  '; echo;"
                          "(cd /proc/self/fd; echo *); readlink /proc/$$/fd/0; pwd; umask; env | grep -v -E '^(PWD|SHLVL|_|PATH)='; grep -o '[^/]*$' "
                          "/proc/self/cgroup | tail -1");
        fixture_run_to_done(f);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "leader");
        {
                struct ring_record record;
                const char *line = fixture_next_line(f, &record);

                g_assert_nonnull(strstr(line, "NoNewPrivs: 1"));
                g_assert_nonnull(strstr(line, "SigBlk: 0000000000000000 SigIgn: 0000000000000000"));
        }
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "0 1 2 3"); /* 3: the directory that is listed */
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "/dev/null");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "/");
        expected = g_strdup_printf("%04o", umask(0));
        (void) umask((mode_t) strtoul(expected, NULL, 8));
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, expected);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, RM_CGROUP_PAYLOAD);
        fixture_assert_no_line(f);
}

/* On the runtime's own clock; and only for what has a handshake. */
static void test_the_deadline_of_the_handshake(void) {
        static const char script[] = "echo \"${" RM_ENV_DEADLINE "-none}\"";
        g_autoptr(Fixture) f = fixture_new();
        struct ring_record record;
        gint64 earliest, latest, told;

        f->header.handshake_usec = 100 * USEC_PER_SEC;
        fixture_add_shell(f, true, script);
        fixture_add_shell(f, false, script);
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait_settled(f);
        fixture_assert_line(f, RING_STREAM_SETUP, 0, "none");

        earliest = g_get_monotonic_time() + 100 * G_USEC_PER_SEC;
        fixture_execute(f, 1);
        latest = g_get_monotonic_time() + 100 * G_USEC_PER_SEC;
        told = g_ascii_strtoll(fixture_next_line(f, &record), NULL, 10);
        g_assert_cmpint(record.stream, ==, RING_STREAM_STDOUT);
        g_assert_cmpint(told, >=, earliest);
        g_assert_cmpint(told, <=, latest);
        fixture_wait(f, LINK_DONE, 1);
        fixture_assert_no_line(f);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_no_handshake_no_deadline(void) {
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, false, "echo \"${" RM_ENV_DEADLINE "-none}\"");
        fixture_run_to_done(f);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "none");
}

static void test_setup_steps(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.input = SPEC_INPUT_PIPE;
        fixture_add_shell(f, true, "echo out; echo err >&2; readlink /proc/$$/fd/0");
        spec_add_string(f->spec, SPEC_ANNOUNCE, "Running one...");
        fixture_add_shell(f, true, "exit 3");
        spec_add_string(f->spec, SPEC_ANNOUNCE, "Running two...");
        fixture_add_shell(f, false, "echo main");
        fixture_start(f);
        g_assert_cmpuint(f->hello.n_commands, ==, 3);

        fixture_run(f, 0);
        fixture_wait_settled(f);
        fixture_assert_line(f, RING_STREAM_SETUP, 0, "Running one...");
        fixture_assert_line(f, RING_STREAM_SETUP, 0, "out");
        fixture_assert_line(f, RING_STREAM_SETUP, 0, "err");
        fixture_assert_line(f, RING_STREAM_SETUP, 0, "/dev/null");
        g_assert_cmpuint(f->exited.first_line, ==, 2);
        g_assert_cmpuint(f->exited.last_line, ==, 4);

        f->exited.settled = 0;
        fixture_run(f, 1);
        fixture_wait_settled(f);
        g_assert_cmpuint(f->exited.command, ==, 1);
        g_assert_cmpint(f->exited.status, ==, 3);
        g_assert_cmpuint(f->exited.first_line, >, f->exited.last_line);
        g_assert_cmpuint(f->seen[LINK_DONE], ==, 0);

        fixture_run(f, 2);
        fixture_wait(f, LINK_DONE, 1);
        fixture_assert_line(f, RING_STREAM_SETUP, 0, "Running two...");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "main");
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_reconnect_while_it_runs(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.input = SPEC_INPUT_PIPE;
        fixture_add_shell(f, false, "echo one; read; echo two; exit 4");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "one");
        fixture_disconnect(f);

        fixture_reconnect(f);
        fixture_wait(f, LINK_EXECUTED, 1);
        fixture_run(f, 0); /* once more: ignored */
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "x\n", 2), ==, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "two");
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* What was sent before the daemon was killed is still done. */
static void test_a_run_from_a_daemon_that_died(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *marker = fixture_add_marker(f), *script = g_strdup_printf("echo >%s; exit 6", marker);

        fixture_add_shell(f, false, script);
        fixture_start(f);
        fixture_run(f, 0);
        fixture_disconnect(f);
        fixture_wait_marker(f);
        fixture_reconnect(f);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, 6);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_broken_messages_only_end_the_link(void) {
        static const struct {
                uint32_t words[6];
                size_t size;
        } messages[] = {
                {{0}, 4},
                {{LINK_HELLO}, 4},
                {{LINK_COLLECT + 1}, 4},
                {{LINK_RUN}, 4},
                {{LINK_RUN, 0, 0}, 12},
                {{LINK_RUN, 1}, 8},
                {{LINK_SIGNAL, 1, 1}, 12},
                {{LINK_SEND, 1, 0, UINT32_MAX}, 16},
                {{LINK_SEND, 1, 5, 10, 0}, 20},
                {{LINK_SEND, 1, 0, 2, 0, 0}, 24},
                {{LINK_ACKNOWLEDGE, 0, 1, 0}, 16},
                {{0}, 2},
        };
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
        fixture_start(f);
        fixture_execute(f, 0);
        for (unsigned i = 0; i < G_N_ELEMENTS(messages); i++) {
                g_assert_cmpint(send(f->link, messages[i].words, messages[i].size, MSG_NOSIGNAL), ==, (gssize) messages[i].size);
                fixture_wait_end(f);
                fixture_reconnect(f);
                fixture_wait(f, LINK_EXECUTED, 1);
        }
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Any bytes, as long as they don't ask for the end: a keeper outlives them. */
static void test_random_messages(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.input = SPEC_INPUT_PIPE;
        f->header.transport = SPEC_TRANSPORT_PIPES;
        fixture_add_command(f, false, (const char *const[]){"/bin/sleep", "1000", NULL});
        fixture_start(f);
        fixture_execute(f, 0);
        for (unsigned i = 0; i < 3000; i++) {
                size_t size = (size_t) g_test_rand_int_range(1, 40);
                uint32_t words[40];
                int type;

                for (unsigned j = 0; j < G_N_ELEMENTS(words); j++)
                        words[j] = (uint32_t) g_test_rand_int_range(0, i % 3 ? 4 : G_MAXINT32);
                words[0] = (uint32_t) g_test_rand_int_range(LINK_RUN, LINK_COLLECT);
                if (words[0] == LINK_SIGNAL)
                        words[3] = SIGCONT;
                if (send(f->link, words, size * sizeof(uint32_t) - (i % 50 == 0), MSG_NOSIGNAL) < 0)
                        g_assert_true(errno == EPIPE || errno == ECONNRESET);
                while (fixture_read(f, 0, &type))
                        if (type < 0) {
                                fixture_reconnect(f);
                                break;
                        }
        }
        fixture_reconnect(f);
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, SIGKILL);
        fixture_collect(f);
        fixture_wait_end(f);
}

static int read_oom_score(GPid pid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/oom_score_adj", pid), *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        return atoi(text);
}

static void write_oom_score(int score) {
        g_autofree char *text = g_strdup_printf("%d", score);
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
        close(fd);
}

/* Of many small processes the kernel takes the keeper last, and the runtime is no safer than the daemon made it. Anybody may go back down to where he was. */
static void test_oom_scores(void) {
        g_autoptr(Fixture) f = fixture_new();
        int before = read_oom_score(getpid());

        write_oom_score(before + 100);
        fixture_add_shell(f, false, "exec sleep 1000");
        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(read_oom_score((GPid) f->executed.pid), ==, before + 100);
        g_assert_cmpint(read_oom_score(f->pid), ==, before);
        write_oom_score(before);
        fixture_collect(f);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;

        g_test_add_func("/keeper/the-kernel-takes-the-runtime-before-its-keeper", test_oom_scores);
        g_test_add_func("/keeper/echo", test_echo);
        g_test_add_func("/keeper/exit-codes", test_exit_codes);
        g_test_add_func("/keeper/signals", test_signals);
        g_test_add_func("/keeper/a-signal-during-the-start", test_a_signal_during_the_start);
        g_test_add_func("/keeper/bad-signals-are-refused", test_bad_signals_are_refused);
        g_test_add_func("/keeper/failures-of-the-start", test_failures_of_the_start);
        g_test_add_func("/keeper/a-broken-spec-fails-the-first-command", test_a_broken_spec_fails_the_first_command);
        g_test_add_func("/keeper/no-directory-for-the-sockets", test_no_directory_for_the_sockets);
        g_test_add_func("/keeper/a-long-directory-is-no-obstacle", test_a_long_directory_is_no_obstacle);
        g_test_add_func("/keeper/a-clean-start", test_a_clean_start);
        g_test_add_func("/keeper/the-deadline-of-the-handshake", test_the_deadline_of_the_handshake);
        g_test_add_func("/keeper/no-handshake-no-deadline", test_no_handshake_no_deadline);
        g_test_add_func("/keeper/setup-steps", test_setup_steps);
        g_test_add_func("/keeper/reconnect-while-it-runs", test_reconnect_while_it_runs);
        g_test_add_func("/keeper/a-run-from-a-daemon-that-died", test_a_run_from_a_daemon_that_died);
        g_test_add_func("/keeper/broken-messages-only-end-the-link", test_broken_messages_only_end_the_link);
        g_test_add_func("/keeper/random-messages", test_random_messages);
        return g_test_run();
}
