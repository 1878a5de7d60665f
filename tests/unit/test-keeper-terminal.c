/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A command on a terminal of the keeper's making. */

#include "keeper-fixture.h"

#include <errno.h>
#include <string.h>

static Fixture *start_shell(const char *script) {
        Fixture *f = fixture_new();

        f->header.transport = SPEC_TRANSPORT_NONE;
        f->header.input = SPEC_INPUT_TERMINAL;
        fixture_add_shell(f, false, script);
        return f;
}

static void finish(Fixture *f) {
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static int resize(Fixture *f, uint16_t rows, uint16_t columns) {
        struct link_resize message = {.type = LINK_RESIZE, .cookie = ++f->cookie, .rows = rows, .columns = columns};

        fixture_send(f, &message, sizeof(message), NULL, 0);
        return fixture_wait_reply(f, message.cookie);
}

static void test_it_is_the_controlling_terminal(void) {
        g_autoptr(Fixture) f = start_shell(
                "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; echo two >/dev/tty; stty size; ps -o tpgid= -p $$ | grep -qw $$ && echo foreground");

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "three\r");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "two\r");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "24 80\r");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "foreground\r");
        finish(f);
}

static void test_what_is_typed_is_echoed_and_read(void) {
        g_autoptr(Fixture) f = start_shell("read -r line; echo \"read $line\"; cat; echo over");

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "one\r", 4), ==, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "one\r");
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "read one\r");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\004", 1), ==, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "over\r");
        finish(f);
}

static void test_ctrl_c_interrupts_the_foreground(void) {
        g_autoptr(Fixture) f = start_shell("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done");

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "ready\r");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\003", 1), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, 3);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_a_new_size_is_told(void) {
        g_autoptr(Fixture) f = start_shell("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done");

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "ready\r");
        g_assert_cmpint(resize(f, 50, 132), ==, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "50 132\r");
        finish(f);
}

/* What is written last may be in the kernel's hands still when its writer is gone. A line that hangs for long comes in parts. */
static void test_nothing_of_the_output_is_lost_at_the_end(void) {
        g_autoptr(Fixture) f = start_shell("seq 1 3000");
        g_autoptr(GString) expected = g_string_new(NULL), seen = g_string_new(NULL);

        for (unsigned i = 1; i <= 3000; i++)
                g_string_append_printf(expected, "%u\r\n", i);
        fixture_run_to_done(f);
        while (seen->len < expected->len) {
                struct ring_record record;

                g_string_append(seen, fixture_next_line(f, &record));
                g_assert_cmpint(record.stream, ==, RING_STREAM_STDOUT);
                if (record.flags == 0)
                        g_string_append_c(seen, '\n');
                else
                        g_assert_cmpint(record.flags, ==, RING_PARTIAL);
        }
        g_assert_cmpstr(seen->str, ==, expected->str);
        fixture_assert_no_line(f);
}

/* The master could be read as well as written. */
static void test_it_is_not_given_away(void) {
        g_autoptr(Fixture) f = start_shell("read -r line");

        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_OPEN, NULL, 0), ==, EOPNOTSUPP);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_CLOSE, NULL, 0), ==, EOPNOTSUPP);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\r", 1), ==, 0);
        finish(f);
}

static void test_a_pipe_has_no_size(void) {
        g_autoptr(Fixture) f = fixture_new();

        f->header.input = SPEC_INPUT_PIPE;
        fixture_add_shell(f, false, "read -r line");
        fixture_start(f);
        fixture_execute(f, 0);
        g_assert_cmpint(resize(f, 50, 132), ==, ENOTTY);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        finish(f);
}

/* Clock ticks of CPU that the keeper has used. */
static unsigned long cpu_ticks(Fixture *f) {
        g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int) f->pid), *text = NULL;
        unsigned long user, system;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_cmpint(sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), ==, 2);
        return user + system;
}

/* Input that waits for a terminal which the runtime has closed is no reason to run in circles, and the terminal is there when it is opened again. */
static void test_a_terminal_may_be_closed_and_opened_again(void) {
        g_autoptr(Fixture) f = start_shell("echo ready; read -r line; exec </dev/null >/dev/null 2>&1; sleep 0.7; echo back >/dev/tty; exit 4");
        g_autofree char *much = g_strnfill(LIMIT_INPUT - 1, 'x');
        unsigned long before;

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "ready\r");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\r", 1), ==, 0);
        before = cpu_ticks(f);
        (void) fixture_input(f, LINK_INPUT_WRITE, much, LIMIT_INPUT - 1);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpint(f->exited.status, ==, 4);
        /* In circles it would be seven tenths of a second; ticks are hundredths. */
        g_assert_cmpuint(cpu_ticks(f) - before, <, 30);
        fixture_collect(f);
        fixture_wait_end(f);
        for (;;) {
                struct ring_record record;

                if (strstr(fixture_next_line(f, &record), "back"))
                        break;
        }
}

/* What is left when the session's leader ends gets SIGHUP from the kernel, and is no reason to wait. */
static void test_what_the_leader_leaves_is_hung_up(void) {
        g_autoptr(Fixture) f = start_shell("(trap 'exit' HUP; while :; do sleep 0.1; done) & echo started");

        fixture_run_to_done(f);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "started\r");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;
        g_test_add_func("/keeper-terminal/it-is-the-controlling-terminal", test_it_is_the_controlling_terminal);
        g_test_add_func("/keeper-terminal/what-is-typed-is-echoed-and-read", test_what_is_typed_is_echoed_and_read);
        g_test_add_func("/keeper-terminal/ctrl-c-interrupts-the-foreground", test_ctrl_c_interrupts_the_foreground);
        g_test_add_func("/keeper-terminal/a-new-size-is-told", test_a_new_size_is_told);
        g_test_add_func("/keeper-terminal/nothing-of-the-output-is-lost-at-the-end", test_nothing_of_the_output_is_lost_at_the_end);
        g_test_add_func("/keeper-terminal/it-is-not-given-away", test_it_is_not_given_away);
        g_test_add_func("/keeper-terminal/a-terminal-may-be-closed-and-opened-again", test_a_terminal_may_be_closed_and_opened_again);
        g_test_add_func("/keeper-terminal/a-pipe-has-no-size", test_a_pipe_has_no_size);
        g_test_add_func("/keeper-terminal/what-the-leader-leaves-is-hung-up", test_what_the_leader_leaves_is_hung_up);
        return g_test_run();
}
