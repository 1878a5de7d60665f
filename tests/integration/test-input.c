/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The runtime's standard input: by a pipe of the client's own, or by calls that take all or nothing. */

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "util/limits.h"
#include "util/names.h"

static GVariant *bytes_new(const char *bytes, size_t size) {
        return g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, bytes, size, 1));
}

static void write_input(Client *client, const char *path, const char *text) {
        g_variant_unref(client_call(client, path, "WriteInput", bytes_new(text, strlen(text))));
}

static void close_input(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "CloseInput", NULL));
}

static void fails(Client *client, const char *path, const char *method, GVariant *parameters, const char *error) {
        g_free(client_call_fails(client, path, method, parameters, error));
}

static int open_input(Client *client, const char *path) {
        g_autoptr(GUnixFDList) fds = NULL;
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        gint32 index;
        int fd;

        reply = g_dbus_connection_call_with_unix_fd_list_sync(client->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "OpenInput", NULL, G_VARIANT_TYPE("(h)"),
                                                              G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, &fds, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(h)", &index);
        fd = g_unix_fd_list_get(fds, index, &error);
        g_assert_no_error(error);
        return fd;
}

static void write_pipe(int fd, const char *text) {
        g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t) strlen(text));
}

static void subscribe_from_start(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
}

static char *start(Client *client, const char *script) {
        return client_start(client, "command", options_shell(script, "{'Input': <'pipe'>}"));
}

static char *wait_text(Client *client, const char *path) {
        g_variant_unref(client_wait_ended(client, path));
        return client_read_text(client, path);
}

static void test_pipe(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        int fd;

        harness_start_daemon(h, NULL);
        path = start(h->client, "cat; echo end");
        fd = open_input(h->client, path);
        g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
        g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_WRONLY);
        g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
        write_pipe(fd, "one\ntwo");
        write_pipe(fd, "\n");
        close(fd);
        close_input(h->client, path);
        text = wait_text(h->client, path);
        g_assert_cmpstr(text, ==, "one\ntwo\nend\n");
}

/* End of file only when CloseInput was called and all pipes are closed, in whatever order. */
static void test_end_of_file(Harness *h) {
        g_autofree char *path = NULL, *text = NULL, *state = NULL;
        int first, second;

        harness_start_daemon(h, NULL);
        path = start(h->client, "while read line; do echo got $line; done; echo end");
        first = open_input(h->client, path);
        second = open_input(h->client, path);
        write_pipe(first, "1\n");
        close(first);
        write_input(h->client, path, "2\n");
        close_input(h->client, path);
        fails(h->client, path, "OpenInput", NULL, "BadState");
        fails(h->client, path, "WriteInput", bytes_new("x", 1), "BadState");
        write_pipe(second, "3\n");
        client_wait_signal(h->client, path, "HandshakeCompleted");
        /* That it still waits for more can't be seen before it says more. */
        write_pipe(second, "4\n");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        close(second);
        text = wait_text(h->client, path);
        g_assert_cmpstr(text, ==, "got 1\ngot 2\ngot 3\ngot 4\nend\n");
}

static void test_close_twice(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "while [ ! -e $HOME/go ]; do sleep 0.01; done; cat");
        write_input(h->client, path, "what was written before still comes");
        close_input(h->client, path);
        close_input(h->client, path);
        g_free(harness_add_file(h, "home/go", "", 0600));
        text = wait_text(h->client, path);
        g_assert_cmpstr(text, ==, "what was written before still comes");
}

/* What flags the client sets on its pipe is nobody else's matter: the runtime's end blocks, the keeper's doesn't. */
static void test_flags(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        g_autofree char *full = g_strnfill(LIMIT_INPUT, 'x');
        int nonblocking, blocking;

        harness_start_daemon(h, NULL);
        path = start(h->client, "cat; echo end");
        nonblocking = open_input(h->client, path);
        g_assert_cmpint(fcntl(nonblocking, F_SETFL, O_NONBLOCK), ==, 0);
        write_pipe(nonblocking, "1\n");
        subscribe_from_start(h->client, path);
        client_wait_signal(h->client, path, "OutputLines");
        blocking = open_input(h->client, path);
        g_assert_cmpint(fcntl(blocking, F_GETFL) & O_NONBLOCK, ==, 0);
        write_pipe(blocking, "2\n");
        client_wait_nth_signal(h->client, path, "OutputLines", 1);
        close(nonblocking);
        close(blocking);
        close_input(h->client, path);
        text = wait_text(h->client, path);
        g_assert_cmpstr(text, ==, "1\n2\nend\n");

        g_clear_pointer(&path, g_free);
        path = start(h->client, "kill -STOP $$");
        blocking = open_input(h->client, path);
        g_variant_unref(client_call(h->client, path, "WriteInput", bytes_new(full, LIMIT_INPUT)));
        fails(h->client, path, "WriteInput", bytes_new(full, LIMIT_INPUT), "WouldBlock");
        close(blocking);
}

static void test_all_or_nothing(Harness *h) {
        g_autoptr(GString) expected = g_string_new(NULL), text = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        g_autofree char *path = NULL;
        unsigned refused = 0;

        harness_start_daemon(h, NULL);
        path = start(h->client, "while [ ! -e $HOME/go ]; do sleep 0.01; done; cat");
        /* Pieces of many sizes, so that one of them would fit in part. */
        for (unsigned i = 0; refused < 20; i++) {
                g_autofree char *piece = g_strnfill(1 + i * 997 % 5000, 'a' + i % 26), *error = NULL, *message = NULL;
                g_autoptr(GVariant) reply = client_try(h->client, path, "WriteInput", bytes_new(piece, strlen(piece)), &error, &message);

                if (reply)
                        g_string_append(expected, piece);
                else {
                        g_assert_cmpstr(error, ==, RM_ERROR_WOULD_BLOCK);
                        refused++;
                }
                g_assert_cmpuint(i, <, 1000);
        }
        g_assert_cmpuint(expected->len, >=, LIMIT_INPUT - 5000);
        g_assert_cmpuint(expected->len, <=, 4 * LIMIT_INPUT);
        g_free(harness_add_file(h, "home/go", "", 0600));
        close_input(h->client, path);
        report = client_wait_ended(h->client, path);
        lines = client_read_lines(h->client, path, 0);
        text = lines_join(lines, 1);
        g_assert_cmpmem(text->str, text->len, expected->str, expected->len);
}

static gboolean has_been_taken(gpointer userdata) {
        Harness *h = ((void **) userdata)[0];
        const char *path = ((void **) userdata)[1];
        g_autofree char *full = g_strnfill(LIMIT_INPUT, 'x');
        g_autofree char *error = NULL, *message = NULL;
        g_autoptr(GVariant) reply = client_try(h->client, path, "WriteInput", bytes_new(full, LIMIT_INPUT), &error, &message);

        if (!reply)
                g_assert_cmpstr(error, ==, RM_ERROR_WOULD_BLOCK);
        return reply != NULL;
}

static void test_again_when_read(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        void *arguments[2];

        harness_start_daemon(h, NULL);
        path = start(h->client, "while [ ! -e $HOME/go ]; do sleep 0.01; done; wc -c");
        arguments[0] = h;
        arguments[1] = path;
        g_assert_true(has_been_taken(arguments));
        g_assert_false(has_been_taken(arguments));
        g_free(harness_add_file(h, "home/go", "", 0600));
        harness_wait(h, has_been_taken, arguments, "WriteInput takes more when the runtime has read");
        close_input(h->client, path);
        text = wait_text(h->client, path);
        g_assert_cmpstr(text, ==, "131072\n");
}

static void test_too_much(Harness *h) {
        g_autofree char *full = g_strnfill(LIMIT_INPUT + 1, 'x'), *path = NULL, *text = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "wc -c");
        fails(h->client, path, "WriteInput", bytes_new(full, LIMIT_INPUT + 1), "LimitExceeded");
        g_variant_unref(client_call(h->client, path, "WriteInput", bytes_new(full, LIMIT_INPUT)));
        g_variant_unref(client_call(h->client, path, "WriteInput", bytes_new("", 0)));
        close_input(h->client, path);
        text = wait_text(h->client, path);
        g_assert_cmpstr(text, ==, "65536\n");
}

static void test_none(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "cat; readlink /proc/self/fd/0; exec sleep 1000");
        fails(h->client, path, "OpenInput", NULL, "NotSupported");
        fails(h->client, path, "WriteInput", bytes_new("x", 1), "NotSupported");
        fails(h->client, path, "CloseInput", NULL, "NotSupported");
        client_wait_text(h->client, path, "/dev/null\n");
}

static void test_closed_by_runtime(Harness *h) {
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "exec 0<&-; echo closed; sleep 1000");
        subscribe_from_start(h->client, path);
        client_wait_signal(h->client, path, "OutputLines");
        fails(h->client, path, "WriteInput", bytes_new("x", 1), "BadState");
        fails(h->client, path, "OpenInput", NULL, "BadState");
}

static void test_ended(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, ":");
        report = client_wait_ended(h->client, path);
        fails(h->client, path, "OpenInput", NULL, "BadState");
        fails(h->client, path, "WriteInput", bytes_new("x", 1), "BadState");
        fails(h->client, path, "CloseInput", NULL, "BadState");
}

/* The end doesn't wait for a client that keeps its pipe open. */
static void test_pipe_kept_open(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        int fd;

        harness_start_daemon(h, NULL);
        path = start(h->client, "read line; exit 3");
        fd = open_input(h->client, path);
        write_pipe(fd, "now\n");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <3>, 'Leftovers': <uint32 0>}", NULL);
        g_assert_cmpint(write(fd, "x", 1), ==, -1);
        g_assert_cmpint(errno, ==, EPIPE);
        close(fd);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"bytes-arrive-by-a-pipe", test_pipe},
                {"the-end-comes-when-CloseInput-was-called-and-all-pipes-are-closed", test_end_of_file},
                {"CloseInput-comes-behind-what-was-written-and-may-be-repeated", test_close_twice},
                {"flags-of-a-pipe-are-its-owners-own", test_flags},
                {"WriteInput-takes-all-or-nothing", test_all_or_nothing},
                {"WriteInput-takes-more-when-the-runtime-has-read", test_again_when_read},
                {"WriteInput-takes-at-most-64-KiB", test_too_much},
                {"a-runtime-without-input-reads-nothing", test_none},
                {"a-runtime-may-close-its-input", test_closed_by_runtime},
                {"an-ended-runtime-has-no-input", test_ended},
                {"a-pipe-that-is-kept-open-holds-up-no-end", test_pipe_kept_open},
        };

        return harness_main(argc, argv, "input", cases, G_N_ELEMENTS(cases));
}
