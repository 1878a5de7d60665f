/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kinds that runtimes are started from, read again: who starts or restarts then gets the new ones, and what runs goes on as it is. */

#include <string.h>
#include <unistd.h>

#include "again.h"

static void reload(Harness *h) {
        g_variant_unref(client_call(h->client, NULL, "Reload", NULL));
}

static GVariant *find_kind(Harness *h, const char *name) {
        g_autoptr(GVariant) reply = client_call(h->client, NULL, "ListKinds", NULL), kinds = g_variant_get_child_value(reply, 0);

        for (gsize i = 0; i < g_variant_n_children(kinds); i++) {
                g_autoptr(GVariant) row = g_variant_get_child_value(kinds, i);
                g_autoptr(GVariant) about = NULL;
                const char *found;

                g_variant_get(row, "(&s@a{sv})", &found, &about);
                if (strcmp(found, name) == 0)
                        return g_steal_pointer(&about);
        }
        return NULL;
}

static GVariant *empty_start(const char *kind) {
        return g_variant_new("(s@a{sv})", kind, g_variant_new_parsed("@a{sv} {}"));
}

static void test_reload(Harness *h) {
        g_autofree char *running = NULL, *fresh = NULL, *message = NULL, *file = NULL;
        g_autoptr(GVariant) about = NULL, limits = NULL;
        guint32 pid;

        add_kind(h, "spoken", LINE_KIND("echo one", "one", "1h"));
        harness_start_daemon(h, NULL);
        running = client_start(h->client, "spoken", g_variant_new_parsed("@a{sv} {}"));
        g_free(client_wait_ready(h->client, running));
        pid = client_get_number(h->client, running, "MainPID");

        /* Nothing is read before it is asked for. */
        add_kind(h, "spoken", LINE_KIND("echo two", "two", "1h"));
        add_kind(h, "added", LINE_KIND("echo new", "new", "1h"));
        g_assert_null(find_kind(h, "added"));
        g_free(client_call_fails(h->client, NULL, "StartRuntime", empty_start("added"), "NoSuchKind"));
        reload(h);
        about = find_kind(h, "added");
        g_assert_nonnull(about);
        report_check(about, "{'Available': <true>, 'Problem': <''>}", NULL);
        fresh = client_start(h->client, "spoken", g_variant_new_parsed("@a{sv} {}"));
        g_free(client_wait_ready(h->client, fresh));
        assert_text(h, fresh, "two\n");
        client_stop(h->client, fresh);
        g_clear_pointer(&fresh, g_free);
        fresh = client_start(h->client, "added", g_variant_new_parsed("@a{sv} {}"));
        g_free(client_wait_ready(h->client, fresh));
        assert_text(h, fresh, "new\n");
        client_stop(h->client, fresh);

        /* What runs goes on, until it is started again. */
        assert_state(h, running, "ready", 1);
        g_assert_cmpuint(client_get_number(h->client, running, "MainPID"), ==, pid);
        assert_text(h, running, "one\n");
        restart(h->client, running);
        g_free(client_wait_ready(h->client, running));
        assert_text(h, running, "one\ntwo\n");

        /* Its limits too. */
        add_kind(h, "spoken", LINE_KIND("echo two", "two", "1h") "[Limits]\nCPUWeight=77\n");
        reload(h);
        restart(h->client, running);
        g_free(client_wait_ready(h->client, running));
        limits = client_get(h->client, running, "Limits");
        report_check(limits, "{'CPUWeight': <uint64 77>}", NULL);

        add_kind(h, "spoken", "[Kind]\nDescription=Broken\nExecutable=\nColour=blue\n");
        reload(h);
        g_variant_unref(about);
        about = find_kind(h, "spoken");
        g_assert_nonnull(about);
        report_check(about, "{'Available': <false>}", NULL);
        g_assert_nonnull(strstr(report_string(about, "Problem"), "spoken.kind"));
        message = client_call_fails(h->client, NULL, "StartRuntime", empty_start("spoken"), "NoSuchKind");
        g_assert_nonnull(strstr(message, "spoken.kind"));
        g_free(client_call_fails(h->client, running, "Restart", NULL, "NoSuchKind"));
        assert_state(h, running, "ready", 3);

        file = g_build_filename(h->config_directory, "runtime-manager", "kinds", "spoken.kind", NULL);
        g_assert_cmpint(unlink(file), ==, 0);
        reload(h);
        g_assert_null(find_kind(h, "spoken"));
        g_free(client_call_fails(h->client, running, "Restart", NULL, "NoSuchKind"));
        assert_state(h, running, "ready", 3);

        add_kind(h, "spoken", LINE_KIND("echo three", "three", "1h"));
        reload(h);
        restart(h->client, running);
        g_free(client_wait_ready(h->client, running));
        assert_text(h, running, "one\ntwo\ntwo\nthree\n");
        client_stop(h->client, running);
        g_variant_unref(client_wait_ended(h->client, running));
}

/* What the client left to the kind is the new kind's; what the client chose stays. */
static void test_reload_times(Harness *h) {
        g_autofree char *path = NULL, *chosen = NULL;
        g_autoptr(GVariant) report = NULL;

        add_kind(h, "timed", LINE_KIND("echo word", "word", "1h"));
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "timed", g_variant_new_parsed("@a{sv} {}"));
        chosen = client_start(h->client, "timed", g_variant_new_parsed("{'TimeoutHandshakeUSec': " AN_HOUR "}"));
        g_free(client_wait_ready(h->client, path));
        g_free(client_wait_ready(h->client, chosen));
        add_kind(h, "timed", LINE_KIND("echo word", "other", "0.5"));
        reload(h);
        restart(h->client, chosen);
        restart(h->client, path);
        report = nth_report(h, path, 1);
        report_check(report, "{'Result': <'timeout'>, 'Reason': <'handshake-deadline'>, 'Phase': <'connecting'>}", NULL);
        assert_state(h, chosen, "connecting", 2);
        client_stop(h->client, chosen);
        g_variant_unref(client_wait_ended(h->client, chosen));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"reloaded-kinds-are-for-new-starts-and-restarts", test_reload},
                {"times-left-to-the-kind-are-those-of-the-new-one", test_reload_times},
        };

        return harness_main(argc, argv, "reload", cases, G_N_ELEMENTS(cases));
}
