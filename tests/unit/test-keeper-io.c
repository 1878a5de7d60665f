/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real keeper between a runtime and its daemon: output, input, and what the two say to each other. */

#include "keeper-fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "util/names.h"

static Fixture *start_shell(enum spec_transport transport, enum spec_input input, const char *script) {
        Fixture *f = fixture_new();

        f->header.transport = transport;
        f->header.input = input;
        fixture_add_shell(f, false, script);
        return f;
}

static void finish(Fixture *f) {
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* Collects twice: for runtimes that wouldn't end by themselves. */
static void end(Fixture *f) {
        fixture_collect(f);
        finish(f);
}

static void test_ten_mebibytes_in_one_line(void) {
        g_autoptr(Fixture) f = fixture_new();
        struct ring_record record;
        uint64_t bytes = 0;

        fixture_add_shell(f, false, "head -c 10485760 /dev/zero | tr '\\0' x; echo; echo after");
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.last_line, >=, 10485760 / RING_LINE_MAX + 1);
        while (strcmp(fixture_next_line(f, &record), "after") != 0)
                bytes += record.size;
        g_assert_cmpuint(bytes, >=, LIMIT_RING_DEFAULT - RING_LINE_MAX);
        g_assert_cmpuint(record.number, ==, f->done.last_line);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_no_final_newline(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_NULL, "printf one; printf two >&2");

        fixture_run_to_done(f);
        for (unsigned i = 0; i < 2; i++) {
                struct ring_record record;
                const char *line = fixture_next_line(f, &record);

                g_assert_cmpstr(line, ==, record.stream == RING_STREAM_STDOUT ? "one" : "two");
                g_assert_cmpint(record.flags, ==, RING_UNTERMINATED);
        }
}

static void test_a_prompt_is_seen_at_once(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_PIPE, "printf 'name? '; read -r x; echo \"hello $x\"");

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, RING_PARTIAL, "name? ");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "bob\n", 4), ==, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "hello bob");
        finish(f);
}

/* Many lines while nobody reads: each is there, once, as long as the ring has room. */
static void test_all_lines_in_order(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_NULL, "seq 1 20000");

        fixture_run_to_done(f);
        for (unsigned i = 1; i <= 20000; i++) {
                struct ring_record record;
                const char *line = fixture_next_line(f, &record);

                g_assert_cmpuint(record.number, ==, i);
                g_assert_cmpuint(strtoull(line, NULL, 10), ==, i);
        }
        fixture_assert_no_line(f);
}

/* Somebody outside of the payload holds stdout and stderr, and goes on writing: the end comes all the same. */
static void test_an_escaped_holder_of_stdout(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *script = NULL;
        struct ring_record record;
        GPid escaped;

        script = g_strdup_printf("( (echo $BASHPID >%s/cgroup.procs; trap '' PIPE HUP TERM; echo \"$BASHPID\"; while echo y 2>/dev/null; do :; done) & ) ;"
                                 " exec sleep 1000",
                                 f->cgroup);
        /* Outside of keeper and payload: only possible while the scope hands out no controllers. */
        fixture_add_shell(f, false, script);
        fixture_start(f);
        fixture_execute(f, 0);
        escaped = atoi(fixture_next_line(f, &record));
        g_assert_cmpint(escaped, >, 1);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGKILL), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.leftovers, ==, 0);
        fixture_collect(f);
        fixture_wait_end(f);
        fixture_wait_gone(escaped); /* its pipe has no reader any more */
}

static void test_a_watch_is_answered_once(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_PIPE, "while read -r x; do echo \"$x\"; done");
        struct link_watch watch = {.type = LINK_WATCH, .after = 0};

        fixture_start(f);
        fixture_send(f, &watch, sizeof(watch), NULL, 0);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "a\n", 2), ==, 0);
        fixture_wait(f, LINK_OUTPUT, 1);
        g_assert_cmpuint(f->output.last, ==, 1);

        watch.after = 1;
        fixture_send(f, &watch, sizeof(watch), NULL, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "b\nc\n", 4), ==, 0);
        fixture_wait(f, LINK_OUTPUT, 2);
        watch.after = 0; /* it is there already */
        fixture_send(f, &watch, sizeof(watch), NULL, 0);
        fixture_wait(f, LINK_OUTPUT, 3);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_CLOSE, NULL, 0), ==, 0);
        finish(f);
        g_assert_cmpuint(f->seen[LINK_OUTPUT], ==, 3);
}

static void test_input_is_all_or_nothing(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_PIPE, "trap 'exec cat' USR1; echo ready; while :; do sleep 0.01; done");
        g_autofree char *block = g_strnfill(LIMIT_INPUT, 'x');
        size_t accepted = 0, seen = 0;
        struct ring_record record;

        for (size_t i = 999; i < LIMIT_INPUT; i += 1000)
                block[i] = '\n';
        block[LIMIT_INPUT - 1] = '\n';
        fixture_start(f);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "early", 5), ==, ENOTCONN);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, ENOTCONN);
        fixture_execute(f, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "ready");

        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, block, LIMIT_INPUT), ==, 0);
        accepted += LIMIT_INPUT;
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, block, LIMIT_INPUT), ==, EAGAIN);
        while (fixture_input(f, LINK_INPUT_WRITE, block, 1000) == 0)
                accepted += 1000;
        g_assert_cmpint(f->reply.error, ==, EAGAIN);

        g_assert_cmpint(fixture_signal(f, LINK_WHO_MAIN, SIGUSR1), ==, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_CLOSE, NULL, 0), ==, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "late", 4), ==, EPIPE);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, EPIPE);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_CLOSE, NULL, 0), ==, 0);
        while (seen < accepted) {
                (void) fixture_next_line(f, &record);
                seen += record.size + ((record.flags & (RING_PARTIAL | RING_UNTERMINATED)) == 0);
        }
        g_assert_cmpuint(seen, ==, accepted);
        finish(f);
        g_assert_cmpint(fcntl(f->ring_fd, F_GETFD), >=, 0);
}

static void test_input_to_a_closed_stdin(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_PIPE, "exec <&-; echo closed; exec sleep 1000");
        struct ring_record record;

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "closed");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, EPIPE);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "x", 1), ==, EPIPE);
        end(f);
}

static void test_no_input(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_NULL, "exec sleep 1000");

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "x", 1), ==, EPIPE);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, EPIPE);
        end(f);
}

/* What a client does to its fd is its own matter. */
static void test_an_opened_input_is_its_own(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NONE, SPEC_INPUT_PIPE, "while read -r x; do echo \"$x\"; done; echo eof");
        int first, second;

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, 0);
        first = TAKE_FD(f->reply_fd);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, 0);
        second = TAKE_FD(f->reply_fd);
        g_assert_cmpint(first, >=, 0);
        g_assert_cmpint(fcntl(first, F_GETFL) & (O_ACCMODE | O_NONBLOCK), ==, O_WRONLY);
        g_assert_cmpint(fcntl(first, F_SETFL, O_NONBLOCK), ==, 0);
        g_assert_cmpint(fcntl(second, F_GETFL) & O_NONBLOCK, ==, 0);

        g_assert_cmpint(write(first, "a\n", 2), ==, 2);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "a");
        fd_close(first);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_CLOSE, NULL, 0), ==, 0);
        g_assert_cmpint(write(second, "b\n", 2), ==, 2);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "b");
        fd_close(second);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "eof");
        finish(f);
}

static void test_a_line_that_matches(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_LINE, SPEC_INPUT_NULL,
                                           "echo 'not yet'; printf 'Listening '; sleep 0.15; echo 'on port 4711'; echo 'Listening on port 1'; exec sleep 1000");
        const ControlEvent *event;
        struct ring_record record;

        spec_add_string(f->spec, SPEC_LINE, "^Listening on port [0-9]+$");
        fixture_start(f);
        fixture_execute(f, 0);
        event = fixture_wait_control(f, 1);
        g_assert_cmpint(event->kind, ==, LINK_CONTROL_LINE);
        g_assert_cmpuint(event->line, ==, 3); /* it came in two parts */
        while (strcmp(fixture_next_line(f, &record), "Listening on port 1") != 0)
                ;
        end(f);
        g_assert_cmpuint(f->controls->len, ==, 1);
}

static void test_lines_of_steps_do_not_match(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.transport = SPEC_TRANSPORT_LINE;
        fixture_add_shell(f, true, "echo ready");
        fixture_add_shell(f, false, "echo steady; echo ready >&2");
        spec_add_string(f->spec, SPEC_LINE, "ready");
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait_settled(f);
        fixture_run(f, 1);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->controls->len, ==, 1);
        g_assert_cmpuint(((ControlEvent *) g_ptr_array_index(f->controls, 0))->line, >=, 2);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_protocol_over_pipes(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL,
                                           "echo started >&4; while read -r x <&3; do echo \"got $x\" >&4; [ $x = stop ] && exit; done");
        uint32_t cookie;

        fixture_start(f);
        cookie = fixture_send_line(f, "early", 5);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, ENOTCONN);
        fixture_execute(f, 0);
        g_assert_cmpstr(fixture_wait_control(f, 1)->text->str, ==, "started");
        cookie = fixture_send_line(f, "one", 3);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, 0);
        g_assert_cmpstr(fixture_wait_control(f, 2)->text->str, ==, "got one");
        cookie = fixture_send_line(f, "stop", 4);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, 0);
        g_assert_cmpstr(fixture_wait_control(f, 3)->text->str, ==, "got stop");
        g_assert_cmpint(fixture_wait_control(f, 4)->kind, ==, LINK_CONTROL_CLOSED);
        finish(f);
}

static int connect_to(Fixture *f, int type, const char *name) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_autofree char *path = fixture_path(f, name);
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                g_error("%s: %s", path, g_strerror(errno));
        return fd;
}

static void test_protocol_over_a_socket(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_SOCKET, SPEC_INPUT_NULL, "exec sleep 1000");
        char buffer[64];
        uint32_t cookie;
        int first, second;

        fixture_start(f);
        fixture_execute(f, 0);
        cookie = fixture_send_line(f, "nobody", 6);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, ENOTCONN);

        first = connect_to(f, SOCK_STREAM, RM_CONTROL_SOCKET);
        g_assert_cmpint(fixture_wait_control(f, 1)->kind, ==, LINK_CONTROL_OPENED);
        second = connect_to(f, SOCK_STREAM, RM_CONTROL_SOCKET);
        g_assert_cmpint(read(second, buffer, sizeof(buffer)), ==, 0); /* one at a time */
        fd_close(second);

        g_assert_cmpint(write(first, "a\n\nbc", 5), ==, 5);
        g_assert_cmpstr(fixture_wait_control(f, 2)->text->str, ==, "a");
        g_assert_cmpstr(fixture_wait_control(f, 3)->text->str, ==, "");
        g_assert_cmpint(write(first, "d\nlost", 6), ==, 6);
        g_assert_cmpstr(fixture_wait_control(f, 4)->text->str, ==, "bcd");
        cookie = fixture_send_line(f, "hello", 5);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, 0);
        g_assert_cmpint(read(first, buffer, sizeof(buffer)), ==, 6);
        g_assert_cmpmem(buffer, 6, "hello\n", 6);

        fd_close(first);
        g_assert_cmpint(fixture_wait_control(f, 5)->kind, ==, LINK_CONTROL_CLOSED);
        first = connect_to(f, SOCK_STREAM, RM_CONTROL_SOCKET);
        g_assert_cmpint(fixture_wait_control(f, 6)->kind, ==, LINK_CONTROL_OPENED);
        fd_close(first);
        end(f);
}

static void test_the_longest_messages(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL, "head -n 1 <&3 >&4; read -r x <&3");
        g_autofree char *line = g_strnfill(LIMIT_PROTOCOL_LINE, 'x');
        uint32_t cookie;

        fixture_start(f);
        fixture_execute(f, 0);
        line[17] = 'y';
        cookie = fixture_send_line(f, line, LIMIT_PROTOCOL_LINE);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, 0);
        while (fixture_wait_control(f, 1)->text->len < LIMIT_PROTOCOL_LINE)
                fixture_wait(f, LINK_CONTROL, f->seen[LINK_CONTROL] + 1);
        g_assert_cmpstr(fixture_wait_control(f, 1)->text->str, ==, line);
        end(f);
}

static void test_a_message_too_long(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL, "echo first >&4; exec cat /dev/zero >&4");

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_wait_control(f, 2)->kind, ==, LINK_CONTROL_TOO_LONG);
        g_assert_cmpuint(fixture_wait_control(f, 2)->text->len, ==, 256);
        end(f);
        g_assert_cmpuint(f->controls->len, ==, 3);
        g_assert_cmpint(fixture_wait_control(f, 3)->kind, ==, LINK_CONTROL_CLOSED);
}

/* A runtime that talks without end is held back, and nothing it said is lost. */
static void test_back_pressure(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL, "for ((i = 1; i <= 5000; i++)); do echo $i; done >&4; echo written");
        struct ring_record record;
        int type;

        fixture_start(f);
        fixture_execute(f, 0);
        (void) fixture_wait_control(f, LINK_CONTROL_EVENTS_MAX);
        g_assert_false(fixture_read(f, g_get_monotonic_time() + 200000, &type));
        g_assert_cmpuint(ring_reader_last(&f->ring), ==, 0);

        for (uint64_t number = 1; number <= 5000; number++) {
                g_assert_cmpuint(strtoull(fixture_wait_control(f, number)->text->str, NULL, 10), ==, number);
                if (number % 10 == 0)
                        fixture_acknowledge(f, number);
        }
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "written");
        finish(f);
}

static void test_a_runtime_that_does_not_read(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL, "exec sleep 1000");
        g_autofree char *line = g_strnfill(LIMIT_PROTOCOL_LINE, 'x');
        uint32_t first, second, third;

        fixture_start(f);
        fixture_execute(f, 0);
        first = fixture_send_line(f, line, LIMIT_PROTOCOL_LINE - 1);
        second = fixture_send_line(f, "small", 5);
        third = fixture_send_line(f, line, LIMIT_PROTOCOL_LINE);
        g_assert_cmpint(fixture_wait_reply(f, third), ==, EAGAIN);
        g_assert_cmpint(fixture_signal(f, LINK_WHO_ALL, SIGKILL), ==, 0);
        g_assert_cmpint(fixture_wait_reply(f, first), ==, EPIPE);
        g_assert_cmpint(fixture_wait_reply(f, second), ==, EPIPE);
        finish(f);
}

static void test_unacknowledged_events_come_again(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL, "for i in 1 2 3 4; do echo $i; done >&4; read -r x <&3");
        uint32_t cookie;

        fixture_start(f);
        fixture_execute(f, 0);
        (void) fixture_wait_control(f, 4);
        fixture_acknowledge(f, 2);
        fixture_disconnect(f);

        fixture_reconnect(f);
        (void) fixture_wait_control(f, 4);
        g_assert_cmpuint(f->controls->len, ==, 2);
        g_assert_cmpstr(fixture_wait_control(f, 3)->text->str, ==, "3");
        fixture_disconnect(f);

        /* This one knows already that 3 was acted on. */
        fixture_reconnect(f);
        fixture_acknowledge(f, 3);
        cookie = fixture_send_line(f, "go", 2);
        g_assert_cmpint(fixture_wait_reply(f, cookie), ==, 0);
        finish(f);
        fixture_disconnect(f);
}

static uint32_t send_effect(Fixture *f, const char *text, uint64_t effect) {
        struct link_send message = {.type = LINK_SEND, .cookie = ++f->cookie, .total = (uint32_t) strlen(text), .effect = effect};

        fixture_send(f, &message, sizeof(message), text, strlen(text));
        return message.cookie;
}

static uint32_t signal_effect(Fixture *f, int signo, uint64_t effect) {
        struct link_signal message = {.type = LINK_SIGNAL, .cookie = ++f->cookie, .who = LINK_WHO_MAIN, .signo = signo, .effect = effect};

        fixture_send(f, &message, sizeof(message), NULL, 0);
        return message.cookie;
}

/* A daemon that came back asks again for what the one before it may have asked for. */
static void test_an_effect_is_had_once(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL,
                                           "(while read -r x <&3; do echo \"got $x\"; done) & trap 'echo usr1' USR1; "
                                           "trap 'echo usr2; kill $!; exit 3' USR2; echo up; while kill -0 $!; do wait $!; done");
        struct ring_record record;

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "up");
        g_assert_cmpint(fixture_wait_reply(f, send_effect(f, "one", 1)), ==, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "got one");
        g_assert_cmpint(fixture_wait_reply(f, send_effect(f, "one", 1)), ==, 0);
        g_assert_cmpint(fixture_wait_reply(f, signal_effect(f, SIGUSR1, 4)), ==, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "usr1");
        fixture_disconnect(f);
        fixture_reconnect(f);
        g_assert_cmpint(fixture_wait_reply(f, signal_effect(f, SIGUSR1, 4)), ==, 0);
        g_assert_cmpint(fixture_wait_reply(f, signal_effect(f, SIGUSR1, 3)), ==, 0);
        g_assert_cmpint(fixture_wait_reply(f, signal_effect(f, SIGUSR2, 5)), ==, 0);
        g_assert_cmpstr(fixture_next_line(f, &record), ==, "usr2");
        finish(f);
}

static void test_last_words_come_before_the_end(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_PIPES, SPEC_INPUT_NULL, "echo bye >&4");

        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait(f, LINK_EXITED, 1);
        g_assert_cmpuint(f->controls->len, >=, 1);
        g_assert_cmpstr(fixture_wait_control(f, 1)->text->str, ==, "bye");
        finish(f);
}

static void test_notify_and_its_barrier(void) {
        g_autoptr(Fixture) f = start_shell(SPEC_TRANSPORT_NOTIFY, SPEC_INPUT_NULL, "exec sleep 1000");
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        char barrier[] = "BARRIER=1", huge[LIMIT_NOTIFY + 1] = {};
        struct iovec part = {.iov_base = barrier, .iov_len = strlen(barrier)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        struct pollfd pollfd = {.events = 0};
        int fd, pipes[2];

        fixture_start(f);
        fixture_execute(f, 0);
        fd = connect_to(f, SOCK_DGRAM, RM_NOTIFY_SOCKET);
        g_assert_cmpint(send(fd, huge, sizeof(huge), 0), ==, sizeof(huge)); /* dropped */
        g_assert_cmpint(send(fd, "READY=1\nSTATUS=up", 17, 0), ==, 17);
        g_assert_cmpstr(fixture_wait_control(f, 1)->text->str, ==, "READY=1\nSTATUS=up");
        g_assert_cmpint(fixture_wait_control(f, 1)->kind, ==, LINK_CONTROL_NOTIFY);

        g_assert_cmpint(pipe2(pipes, O_CLOEXEC), ==, 0);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &pipes[1], sizeof(int));
        g_assert_cmpint(sendmsg(fd, &message, 0), ==, part.iov_len);
        fd_close(pipes[1]);
        pollfd.fd = pipes[0];
        g_assert_cmpint(poll(&pollfd, 1, DEADLINE_USEC / 1000), ==, 1); /* nobody holds the other end */
        g_assert_cmpstr(fixture_wait_control(f, 2)->text->str, ==, "BARRIER=1");
        fd_close(pipes[0]);
        fd_close(fd);
        end(f);
}

static void test_systemd_notify_works(void) {
        g_autoptr(Fixture) f = NULL;
        g_autofree char *variable = NULL, *path = NULL, *program = g_find_program_in_path("systemd-notify");

        if (!program) {
                g_test_skip("no systemd-notify");
                return;
        }
        f = start_shell(SPEC_TRANSPORT_NOTIFY, SPEC_INPUT_NULL, "systemd-notify --ready --status=fine && echo done");
        path = fixture_path(f, RM_NOTIFY_SOCKET);
        variable = g_strconcat("NOTIFY_SOCKET=", path, NULL);
        spec_add_string(f->spec, SPEC_ENVIRONMENT, variable);
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "done");
        g_assert_nonnull(strstr(fixture_wait_control(f, 1)->text->str, "READY=1"));
        finish(f);
}

/* Output goes on while the daemon neither reads its link nor acknowledges: all of it can be written, which is far more than a pipe holds. */
static void test_a_daemon_that_hangs(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *marker = fixture_add_marker(f), *script = NULL;

        script = g_strdup_printf("for ((i = 0; i < 1000; i++)); do echo x >&4; done & seq 1 100000; echo >%s; exec cat", marker);
        f->header.transport = SPEC_TRANSPORT_PIPES;
        f->header.input = SPEC_INPUT_PIPE;
        fixture_add_shell(f, false, script);
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait_marker(f);
        g_assert_cmpuint(ring_reader_last(&f->ring), >, 50000);
        end(f);
        g_assert_cmpuint(f->done.last_line, ==, 100000);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;

        g_test_add_func("/keeper-io/ten-mebibytes-in-one-line", test_ten_mebibytes_in_one_line);
        g_test_add_func("/keeper-io/no-final-newline", test_no_final_newline);
        g_test_add_func("/keeper-io/a-prompt-is-seen-at-once", test_a_prompt_is_seen_at_once);
        g_test_add_func("/keeper-io/all-lines-in-order", test_all_lines_in_order);
        g_test_add_func("/keeper-io/an-escaped-holder-of-stdout", test_an_escaped_holder_of_stdout);
        g_test_add_func("/keeper-io/a-watch-is-answered-once", test_a_watch_is_answered_once);
        g_test_add_func("/keeper-io/input-is-all-or-nothing", test_input_is_all_or_nothing);
        g_test_add_func("/keeper-io/input-to-a-closed-stdin", test_input_to_a_closed_stdin);
        g_test_add_func("/keeper-io/no-input", test_no_input);
        g_test_add_func("/keeper-io/an-opened-input-is-its-own", test_an_opened_input_is_its_own);
        g_test_add_func("/keeper-io/a-line-that-matches", test_a_line_that_matches);
        g_test_add_func("/keeper-io/lines-of-steps-do-not-match", test_lines_of_steps_do_not_match);
        g_test_add_func("/keeper-io/protocol-over-pipes", test_protocol_over_pipes);
        g_test_add_func("/keeper-io/protocol-over-a-socket", test_protocol_over_a_socket);
        g_test_add_func("/keeper-io/the-longest-messages", test_the_longest_messages);
        g_test_add_func("/keeper-io/a-message-too-long", test_a_message_too_long);
        g_test_add_func("/keeper-io/back-pressure", test_back_pressure);
        g_test_add_func("/keeper-io/a-runtime-that-does-not-read", test_a_runtime_that_does_not_read);
        g_test_add_func("/keeper-io/unacknowledged-events-come-again", test_unacknowledged_events_come_again);
        g_test_add_func("/keeper-io/an-effect-is-had-once", test_an_effect_is_had_once);
        g_test_add_func("/keeper-io/last-words-come-before-the-end", test_last_words_come_before_the_end);
        g_test_add_func("/keeper-io/notify-and-its-barrier", test_notify_and_its_barrier);
        g_test_add_func("/keeper-io/systemd-notify-works", test_systemd_notify_works);
        g_test_add_func("/keeper-io/a-daemon-that-hangs", test_a_daemon_that_hangs);
        return g_test_run();
}
