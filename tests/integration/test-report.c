/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

static void test_hello(Harness *h) {
        g_autofree char *path = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo hi; exit 7");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <7>}", "Signal");
        text = client_read_text(h->client, path);
        g_assert_cmpstr(text, ==, "hi\n");
        client_wait_signal(h->client, path, "Ended");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {{"hello", test_hello}};

        return harness_main(argc, argv, "report", cases, G_N_ELEMENTS(cases));
}
