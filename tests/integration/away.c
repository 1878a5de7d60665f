/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "away.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "util/names.h"

void come_back(Harness *h) {
        harness_start_daemon(h, NULL);
}

void go_away_and_come_back(Harness *h) {
        harness_kill_daemon(h);
        come_back(h);
}

char *home_file(Harness *h, const char *name) {
        return g_build_filename(h->home, name, NULL);
}

static gboolean file_exists(gpointer userdata) {
        return g_file_test(userdata, G_FILE_TEST_EXISTS);
}

void wait_for_file(Harness *h, const char *name) {
        g_autofree char *path = home_file(h, name), *what = g_strdup_printf("the runtime says \"%s\"", name);

        harness_wait(h, file_exists, path, what);
}

static gboolean process_is_gone(gpointer userdata) {
        return kill(*(pid_t *) userdata, 0) < 0;
}

void wait_process_gone(Harness *h, pid_t pid) {
        harness_wait(h, process_is_gone, &pid, "a process is gone");
}

static gboolean time_has_come(gpointer userdata) {
        return g_get_monotonic_time() >= *(gint64 *) userdata;
}

void wait_until_usec(Harness *h, gint64 monotonic_usec) {
        harness_wait(h, time_has_come, &monotonic_usec, "time passes");
}

char *all_properties(Client *client, const char *path) {
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;

        reply = g_dbus_connection_call_sync(client->bus, RM_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
                                            g_variant_new("(s)", RM_RUNTIME_INTERFACE), NULL, 0, -1, NULL, &error);
        g_assert_no_error(error);
        return g_variant_print(reply, TRUE);
}

pid_t main_pid_of(Client *client, const char *path) {
        return (pid_t) client_get_number(client, path, "MainPID");
}

pid_t keeper_pid_of(Client *client, const char *path) {
        g_autofree char *file = g_strdup_printf("/proc/%d/stat", (int) main_pid_of(client, path)), *text = NULL;

        g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
        /* "… (name) state parent …" */
        return (pid_t) g_ascii_strtoll(strrchr(text, ')') + 4, NULL, 10);
}

char *record_path(Harness *h, const char *path, const char *name) {
        return g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, path_to_id(path), name, NULL);
}

gboolean add_peer_kind(Harness *h, const char *name, const char *behaviour, const char *wait) {
        g_autofree char *script = g_test_build_filename(G_TEST_DIST, "protocol-peer.py", NULL), *python = g_find_program_in_path("python3");
        g_autofree char *begin = wait ? g_strdup_printf("while [ ! -e $HOME/%s ]; do sleep 0.01; done; ", wait) : g_strdup(""), *text = NULL;

        if (!python || !g_file_test(script, G_FILE_TEST_EXISTS)) {
                g_test_skip("there is no python3, or $G_TEST_SRCDIR isn't set");
                return FALSE;
        }
        text = g_strdup_printf("[Kind]\nExec=/bin/sh -c \"%sexec %s -SE '%s' %s\"\n"
                               "[Handshake]\nType=protocol\nTransport=socket\nTimeoutSec=20\n"
                               "[Stop]\nMessage=shutdown\nTimeoutSec=20\n"
                               "[Interrupt]\nMessage=interrupt\n",
                               begin, python, script, behaviour);
        harness_add_kind(h, name, text);
        return TRUE;
}

typedef struct Logged {
        const char *id, *text;
} Logged;

static gboolean is_logged(gpointer userdata) {
        const Logged *logged = userdata;
        g_autofree char *match = g_strconcat("RUNTIME_ID=", logged->id, NULL), *output = NULL;
        const char *argv[] = {"journalctl", "--no-pager", "--quiet", "--output=cat", match, NULL};

        return g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output, NULL, NULL, NULL) &&
               strstr(output, logged->text);
}

void wait_logged(Harness *h, const char *id, const char *text) {
        Logged logged = {id, text};
        g_autofree char *what = g_strdup_printf("the journal says of %s: %s", id, text);

        if (geteuid() == 0)
                harness_wait(h, is_logged, &logged, what);
}
