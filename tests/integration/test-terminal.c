/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Input=terminal: a runtime on a terminal, as a client has it. */

#include <string.h>

#include "harness.h"
#include "util/names.h"

static void type(Client *client, const char *path, const char *keys) {
        g_variant_unref(client_call(client, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, keys, strlen(keys), 1))));
}

static char *start(Client *client, const char *script) {
        return client_start(client, "command", options_shell(script, "{'Input': <'terminal'>}"));
}

static void fails(Client *client, const char *path, const char *method, GVariant *parameters, const char *error, const char *part) {
        g_autofree char *message = client_call_fails(client, path, method, parameters, error);

        g_assert_nonnull(strstr(message, part));
}

static void test_a_dialogue(Harness *h) {
        g_autofree char *path = NULL, *text = NULL, *input = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "echo $TERM; read -r name; echo \"hello $name\"; stty size");
        input = client_get_string(h->client, path, "Input");
        g_assert_cmpstr(input, ==, "terminal");
        g_variant_unref(client_call(h->client, path, "ResizeTerminal", g_variant_new("(qq)", 40, 100)));
        /* What is typed earlier comes back earlier. */
        client_wait_text(h->client, path, "xterm-256color");
        type(h->client, path, "bob\r");
        g_variant_unref(client_wait_ended(h->client, path));
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "xterm-256color\r\nbob\r\nhello bob\r\n40 100\r\n");
}

static void test_what_a_terminal_cannot_do(Harness *h) {
        g_autofree char *path = NULL, *other = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "read -r line");
        fails(h->client, path, "OpenInput", NULL, "NotSupported", "use WriteInput");
        fails(h->client, path, "CloseInput", NULL, "NotSupported", "use WriteInput");
        g_free(client_call_fails(h->client, path, "ResizeTerminal", g_variant_new("(qq)", 0, 80), "org.freedesktop.DBus.Error.InvalidArgs"));
        type(h->client, path, "\r");
        g_variant_unref(client_wait_ended(h->client, path));
        fails(h->client, path, "ResizeTerminal", g_variant_new("(qq)", 24, 80), "BadState", "doesn't run");

        other = client_start(h->client, "command", options_shell("read -r line", "{'Input': <'pipe'>}"));
        fails(h->client, other, "ResizeTerminal", g_variant_new("(qq)", 24, 80), "NotSupported", "Input=\"terminal\"");
        g_variant_unref(client_call(h->client, other, "CloseInput", NULL));
        g_variant_unref(client_wait_ended(h->client, other));
}

static void test_it_outlives_the_service(Harness *h) {
        g_autofree char *path = NULL, *text = NULL, *input = NULL;

        harness_start_daemon(h, NULL);
        path = start(h->client, "read -r line; echo \"read $line\"");
        harness_kill_daemon(h);
        harness_start_daemon(h, NULL);
        input = client_get_string(h->client, path, "Input");
        g_assert_cmpstr(input, ==, "terminal");
        type(h->client, path, "late\r");
        g_variant_unref(client_wait_ended(h->client, path));
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "late\r\nread late\r\n");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-dialogue", test_a_dialogue},
                {"what-a-terminal-cannot-do", test_what_a_terminal_cannot_do},
                {"it-outlives-the-service", test_it_outlives_the_service},
        };

        return harness_main(argc, argv, "terminal", cases, G_N_ELEMENTS(cases));
}
