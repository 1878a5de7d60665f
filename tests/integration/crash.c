/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crash.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/names.h"

static const char *preload(void) {
        return g_getenv("RM_CRASH_AT");
}

/* With a sanitizer whose runtime is a library, ours is loaded before it, on purpose. */
static char *sanitizer_options(void) {
        const char *options = g_getenv("ASAN_OPTIONS");

        return g_strdup_printf("ASAN_OPTIONS=%s%sverify_asan_link_order=0", options ?: "", options && options[0] ? ":" : "");
}

static void launch(Crash *crash) {
        g_autofree char *library = g_strdup_printf("LD_PRELOAD=%s", preload()), *file = g_strdup_printf("CRASH_AT_FILE=%s", crash->armed);
        g_autofree char *log = g_strdup_printf("CRASH_AT_LOG=%s", crash->log), *sanitizer = sanitizer_options();
        const char *variables[] = {library, file, log, sanitizer, NULL};

        harness_launch_daemon(crash->h, variables);
}

static gboolean on_tick(gpointer userdata) {
        return G_SOURCE_CONTINUE;
}

static gboolean on_event(int fd, GIOCondition condition, gpointer userdata) {
        return G_SOURCE_REMOVE;
}

/* One turn of the main loop: ends also when the daemon has died, or has said something while it starts, and after a moment. */
static void turn(Crash *crash, gboolean starting) {
        int pidfd = pidfd_open(crash->h->daemon, 0);
        guint died = g_unix_fd_add(pidfd, G_IO_IN, on_event, NULL), said = starting ? g_unix_fd_add(crash->h->notify, G_IO_IN, on_event, NULL) : 0;
        guint tick = g_timeout_add(20, on_tick, NULL);

        g_assert_cmpint(pidfd, >=, 0);
        g_main_context_iteration(NULL, TRUE);
        g_source_remove(tick);
        if (g_main_context_find_source_by_id(NULL, died))
                g_source_remove(died);
        if (said != 0 && g_main_context_find_source_by_id(NULL, said))
                g_source_remove(said);
        close(pidfd);
}

static void wait_up(Crash *crash) {
        gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;

        while (!harness_daemon_said_ready(crash->h)) {
                if (harness_daemon_was_killed(crash->h)) {
                        crash->n_crashes++;
                        crash_disarm(crash);
                        launch(crash);
                        continue;
                }
                if (g_get_monotonic_time() > deadline)
                        harness_fail(crash->h, "the daemon isn't back in time");
                turn(crash, TRUE);
        }
}

/* Starts it again if it has died. It dies once, so this comes to an end. */
static void tend(Crash *crash) {
        if (!harness_daemon_was_killed(crash->h))
                return;
        crash->n_crashes++;
        crash_disarm(crash);
        launch(crash);
        wait_up(crash);
}

Crash *crash_new(Harness *h) {
        Crash *crash = g_new0(Crash, 1);

        crash->h = h;
        crash->armed = g_build_filename(h->directory, "armed", NULL);
        crash->log = g_build_filename(h->directory, "acts", NULL);
        launch(crash);
        wait_up(crash);
        h->client = client_new(h);
        return crash;
}

void crash_free(Crash *crash) {
        if (!crash)
                return;
        g_free(crash->armed);
        g_free(crash->log);
        g_free(crash);
}

void crash_arm(Crash *crash, const char *when, guint n) {
        g_autofree char *text = g_strdup_printf("%s %u\n", when, n);

        crash->n_crashes = 0;
        (void) g_unlink(crash->log);
        g_assert_true(g_file_set_contents(crash->armed, text, -1, NULL));
}

void crash_disarm(Crash *crash) {
        (void) g_unlink(crash->armed);
}

char **crash_acts(Crash *crash) {
        g_autofree char *text = NULL;

        if (!g_file_get_contents(crash->log, &text, NULL, NULL))
                return g_new0(char *, 1);
        return g_strsplit(g_strchomp(text), "\n", -1);
}

static void kill_daemon(Crash *crash) {
        siginfo_t info;

        g_assert_cmpint(kill(crash->h->daemon, SIGKILL), ==, 0);
        g_assert_cmpint(waitid(P_PID, crash->h->daemon, &info, WEXITED | WNOWAIT), ==, 0);
        g_assert_true(harness_daemon_was_killed(crash->h));
}

void crash_kill(Crash *crash) {
        kill_daemon(crash);
        launch(crash);
        wait_up(crash);
}

void crash_kill_and_arm(Crash *crash, const char *when, guint n) {
        kill_daemon(crash);
        crash_arm(crash, when, n);
        launch(crash);
        wait_up(crash);
}

void crash_wait(Crash *crash, HarnessCondition condition, gpointer userdata, const char *what) {
        gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;

        while (!condition(userdata)) {
                if (g_get_monotonic_time() > deadline)
                        harness_fail(crash->h, "this did not happen within %d s: %s", (int) (HARNESS_DEADLINE_USEC / G_USEC_PER_SEC), what);
                turn(crash, FALSE);
                tend(crash);
        }
}

typedef struct Asked {
        gboolean done;
        GVariant *reply;
        GError *error;
} Asked;

static void on_reply(GObject *source, GAsyncResult *result, gpointer userdata) {
        Asked *asked = userdata;

        asked->reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &asked->error);
        asked->done = TRUE;
}

static gboolean is_done(gpointer userdata) {
        return ((Asked *) userdata)->done;
}

/* What the bus says when the service has left, or isn't back. */
static gboolean is_absence(const char *error) {
        static const char *const names[] = {"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown",
                                            "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.Disconnected", NULL};

        return g_strv_contains(names, error);
}

static gboolean is_accepted(const char *error, const char *accepted) {
        g_auto(GStrv) names = g_strsplit(accepted ?: "", " ", -1);

        return g_strv_contains((const char *const *) names, g_str_has_prefix(error, RM_ERROR_PREFIX) ? error + strlen(RM_ERROR_PREFIX) : error);
}

static GVariant *ask(Crash *crash, const char *path, const char *interface, const char *method, GVariant *parameters, const char *accepted) {
        g_autoptr(GVariant) owned = parameters ? g_variant_ref_sink(parameters) : NULL;

        for (;;) {
                g_autofree char *error = NULL;
                Asked asked = {0};

                g_dbus_connection_call(crash->h->client->bus, RM_BUS_NAME, path ?: RM_OBJECT_PATH, interface, method, owned, NULL, G_DBUS_CALL_FLAGS_NONE,
                                       (int) (HARNESS_DEADLINE_USEC / 1000), NULL, on_reply, &asked);
                crash_wait(crash, is_done, &asked, method);
                if (asked.reply)
                        return asked.reply;
                error = g_dbus_error_get_remote_error(asked.error);
                if (!error || (!is_absence(error) && !is_accepted(error, accepted)))
                        harness_fail(crash->h, "%s of %s failed: %s", method, path ?: "the manager", asked.error->message);
                g_clear_error(&asked.error);
                if (!is_absence(error))
                        return NULL;
                tend(crash);
        }
}

GVariant *crash_ask(Crash *crash, const char *path, const char *method, GVariant *parameters, const char *accepted) {
        return ask(crash, path, path ? RM_RUNTIME_INTERFACE : RM_MANAGER_INTERFACE, method, parameters, accepted);
}

void crash_settle(Crash *crash) {
        crash_disarm(crash);
        g_variant_unref(ask(crash, NULL, "org.freedesktop.DBus.Peer", "Ping", NULL, NULL));
}

char *crash_wait_runtime(Crash *crash, const char *path, const char *until, GVariant **ret_report) {
        g_autoptr(GVariant) reply = crash_ask(crash, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), until), NULL), report = NULL;
        char *state;

        g_variant_get(reply, "(s@a{sv})", &state, &report);
        if (ret_report)
                *ret_report = g_steal_pointer(&report);
        return state;
}

GVariant *crash_get(Crash *crash, const char *path, const char *property) {
        g_autoptr(GVariant) reply = ask(crash, path, "org.freedesktop.DBus.Properties", "Get", g_variant_new("(ss)", RM_RUNTIME_INTERFACE, property), NULL);
        GVariant *value;

        g_variant_get(reply, "(v)", &value);
        return value;
}
