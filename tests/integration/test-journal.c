/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a real journal has of runtimes: their lives, explained, and for who asks for it their output. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "again.h"
#include "harness.h"
#include "paced.h"
#include "util/message-ids.h"

/* Entries with all these fields, oldest first, as journalctl gives them. */
static json_t *read_entries(const char *const *matches) {
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        g_auto(GStrv) lines = NULL;
        g_autofree char *output = NULL;
        json_t *entries = json_array();

        g_ptr_array_add(argv, (gpointer) "journalctl");
        g_ptr_array_add(argv, (gpointer) "--no-pager");
        g_ptr_array_add(argv, (gpointer) "--quiet");
        g_ptr_array_add(argv, (gpointer) "--all");
        g_ptr_array_add(argv, (gpointer) "--output=json");
        for (; *matches; matches++)
                g_ptr_array_add(argv, (gpointer) *matches);
        g_ptr_array_add(argv, NULL);
        g_assert_true(g_spawn_sync(NULL, (char **) argv->pdata, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output, NULL, NULL, NULL));
        lines = g_strsplit(output, "\n", -1);
        for (char **line = lines; *line; line++) {
                json_t *entry = **line ? json_loads(*line, 0, NULL) : NULL;

                if (entry)
                        (void) json_array_append_new(entries, entry);
        }
        return entries;
}

typedef struct Wanted {
        const char *matches[3];
        size_t n;
        json_t *entries;
} Wanted;

static gboolean has_entries(gpointer userdata) {
        Wanted *wanted = userdata;

        json_decref(wanted->entries);
        wanted->entries = read_entries(wanted->matches);
        return json_array_size(wanted->entries) >= wanted->n;
}

/* Waits until there are n of them. */
static json_t *wait_entries(Harness *h, const char *path, const char *match, size_t n) {
        g_autofree char *id = g_strdup_printf("RUNTIME_ID=%s", path_to_id(path)), *what = g_strdup_printf("%zu entries with %s %s", n, id, match ?: "");
        Wanted wanted = {{id, match, NULL}, n, NULL};

        harness_wait(h, has_entries, &wanted, what);
        return wanted.entries;
}

static const char *field(const json_t *entries, size_t i, const char *name) {
        return json_string_value(json_object_get(json_array_get(entries, i), name)) ?: "";
}

/* root's journal is all there is in the fixture; an ordinary user's own may not be kept at all. */
static gboolean has_journal(void) {
        if (geteuid() == 0)
                return TRUE;
        g_test_skip("the journal is looked at as root alone: see tests/with-user-manager");
        return FALSE;
}

static void test_life(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL, *uid = g_strdup_printf("%u", (unsigned) getuid());
        json_t *entries;

        if (!has_journal())
                return;
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("echo secret-output; exit 7", "{'Environment': <['KEY=secret-value']>, 'Description': <'secret-description'>}"));
        g_variant_unref(client_wait_ended(h->client, path));
        unit = client_get_string(h->client, path, "Unit");
        entries = wait_entries(h, path, NULL, 3);
        g_assert_cmpuint(json_array_size(entries), ==, 3);

        g_assert_cmpstr(field(entries, 0, "MESSAGE_ID"), ==, MESSAGE_ID_STARTED);
        g_assert_cmpstr(field(entries, 1, "MESSAGE_ID"), ==, MESSAGE_ID_READY);
        g_assert_cmpstr(field(entries, 2, "MESSAGE_ID"), ==, MESSAGE_ID_FAILED);
        for (size_t i = 0; i < 3; i++) {
                g_autofree char *text = json_dumps(json_array_get(entries, i), 0);

                g_assert_cmpstr(field(entries, i, "RUNTIME_KIND"), ==, "command");
                g_assert_cmpstr(field(entries, i, "RUNTIME_OBJECT"), ==, path);
                g_assert_cmpstr(field(entries, i, "RUNTIME_UID"), ==, uid);
                g_assert_cmpstr(field(entries, i, "RUNTIME_UNIT"), ==, unit);
                g_assert_cmpstr(field(entries, i, "USER_UNIT"), ==, unit);
                g_assert_cmpstr(field(entries, i, "SYSLOG_IDENTIFIER"), ==, "runtime-managerd");
                g_assert_null(strstr(text, "secret"));
        }
        g_assert_cmpstr(field(entries, 2, "RUNTIME_RESULT"), ==, "exit-code");
        g_assert_cmpstr(field(entries, 2, "RUNTIME_REASON"), ==, "exited");
        g_assert_cmpstr(field(entries, 2, "RUNTIME_EXIT_CODE"), ==, "7");
        g_assert_cmpstr(field(entries, 2, "RUNTIME_STATE"), ==, "ended");
        g_assert_cmpuint(g_ascii_strtoull(field(entries, 2, "RUNTIME_DURATION_USEC"), NULL, 10), >, 0);
        g_assert_nonnull(strstr(field(entries, 2, "MESSAGE"), "exited with status 7"));
        json_decref(entries);
}

static void test_ends(Harness *h) {
        g_autofree char *stopped = NULL, *good = NULL, *late = NULL;
        const struct {
                char **path;
                const char *message_id;
        } table[] = {{&stopped, MESSAGE_ID_STOPPED}, {&good, MESSAGE_ID_ENDED}, {&late, MESSAGE_ID_TIMED_OUT}};

        if (!has_journal())
                return;
        harness_start_daemon(h, NULL);
        stopped = client_start_shell(h->client, "exec sleep 1000");
        good = client_start_shell(h->client, "exit 0");
        late = client_start(h->client, "command", options_shell("exec sleep 1000", "{'RuntimeMaxUSec': <uint64 10000>}"));
        client_stop(h->client, stopped);
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
                g_autofree char *match = g_strdup_printf("MESSAGE_ID=%s", table[i].message_id);

                g_variant_unref(client_wait_ended(h->client, *table[i].path));
                json_decref(wait_entries(h, *table[i].path, match, 1));
        }
}

/* A message that quotes what the runtime said could quote its cookie. */
static void test_no_words_of_a_runtime(Harness *h) {
        g_autofree char *path = NULL, *script = NULL, *kind = NULL;
        g_autoptr(GVariant) report = NULL;
        json_t *entries;

        if (!has_journal())
                return;
        script = harness_add_file(h, "liar.sh", "echo '{\"cookie\": very-secret' >&4; exec sleep 1000\n", 0644);
        kind = g_strdup_printf("[Kind]\nExec=sh %s\n[Handshake]\nType=protocol\nTransport=pipes\n", script);
        harness_add_kind(h, "liar", kind);
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "liar", g_variant_new_parsed("@a{sv} {}"));
        report = client_wait_ended(h->client, path);
        g_assert_nonnull(strstr(report_string(report, "Message"), "very-secret"));
        entries = wait_entries(h, path, "MESSAGE_ID=" MESSAGE_ID_HANDSHAKE_FAILED, 1);
        g_assert_null(strstr(field(entries, 0, "MESSAGE"), "very-secret"));
        json_decref(entries);
}

static void test_kind_mistake(Harness *h) {
        const char *const matches[] = {"MESSAGE_ID=" MESSAGE_ID_KIND_MISTAKE, "RUNTIME_KIND=mistaken-for-journal", NULL};
        Wanted wanted = {{matches[0], matches[1], NULL}, 1, NULL};

        if (!has_journal())
                return;
        harness_add_kind(h, "mistaken-for-journal", "[Kind]\nColour=blue\n");
        harness_start_daemon(h, NULL);
        harness_wait(h, has_entries, &wanted, "the mistake is in the journal");
        g_assert_nonnull(strstr(field(wanted.entries, 0, "MESSAGE"), "mistaken-for-journal.kind"));
        json_decref(wanted.entries);
}

static void test_output(Harness *h) {
        g_autofree char *path = NULL, *other = NULL, *unit = NULL;
        json_t *entries;

        if (!has_journal())
                return;
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo one; echo two >&2; exec sleep 1000", "{'Journal': <true>}"));
        other = client_start_shell(h->client, "echo three; exec sleep 1000");
        unit = client_get_string(h->client, path, "Unit");
        json_decref(wait_entries(h, path, "RUNTIME_STREAM=stdout", 1));
        entries = wait_entries(h, path, "RUNTIME_STREAM=stderr", 1);
        g_assert_cmpstr(field(entries, 0, "MESSAGE"), ==, "two");
        g_assert_cmpstr(field(entries, 0, "PRIORITY"), ==, "5");
        g_assert_cmpstr(field(entries, 0, "RUNTIME_KIND"), ==, "command");
        /* By journald's own word. */
        g_assert_nonnull(strstr(field(entries, 0, "_SYSTEMD_CGROUP"), unit));
        json_decref(entries);

        client_wait_text(h->client, other, "three\n");
        client_stop(h->client, path);
        client_stop(h->client, other);
        g_variant_unref(client_wait_ended(h->client, other));
        json_decref(wait_entries(h, other, "MESSAGE_ID=" MESSAGE_ID_STOPPED, 1));
        entries = wait_entries(h, other, "RUNTIME_STREAM=stdout", 0);
        g_assert_cmpuint(json_array_size(entries), ==, 0);
        json_decref(entries);
}

/* It is an option like others: the next daemon knows it, and what is started again has it too. */
static void test_output_after_a_crash(Harness *h) {
        g_autofree char *path = NULL;

        if (!has_journal())
                return;
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo up; exec sleep 1000", "{'Journal': <true>}"));
        json_decref(wait_entries(h, path, "RUNTIME_STREAM=stdout", 1));
        harness_kill_daemon(h);
        harness_start_daemon(h, NULL);
        restart(h->client, path);
        g_free(client_wait_ready(h->client, path));
        json_decref(wait_entries(h, path, "RUNTIME_GENERATION=2", 1));
        json_decref(wait_entries(h, path, "RUNTIME_STREAM=stdout", 2));
        client_stop(h->client, path);
}

static pid_t find_journald(void) {
        g_autofree char *init = NULL;
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        const char *name;

        if (geteuid() != 0 || !g_file_get_contents("/proc/1/comm", &init, NULL, NULL) || !g_str_has_prefix(init, "user-manager"))
                return 0;
        while ((name = g_dir_read_name(proc))) {
                g_autofree char *file = g_strdup_printf("/proc/%s/comm", name), *text = NULL;

                if (g_ascii_isdigit(name[0]) && g_file_get_contents(file, &text, NULL, NULL) && g_str_has_prefix(text, "systemd-journal"))
                        return (pid_t) g_ascii_strtoll(name, NULL, 10);
        }
        return 0;
}

#define N_RELOADS 300U
#define N_RUNTIMES 5U

/* More than its socket takes is written meanwhile, by the service and by the runtimes. systemd waits for such a journal, so nothing is started and nothing
 * ends. */
static void test_hangs(Harness *h) {
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        Wanted wanted = {{"MESSAGE_ID=" MESSAGE_ID_KIND_MISTAKE, "RUNTIME_KIND=hangs-in-journal", NULL}, N_RELOADS + 1, NULL};
        pid_t pid = find_journald();

        if (pid == 0) {
                g_test_skip("journald isn't ours here: done under tests/with-user-manager as root alone");
                return;
        }
        harness_add_kind(h, "hangs-in-journal", "[Kind]\nColour=blue\n");
        harness_start_daemon(h, NULL);
        for (unsigned i = 0; i < N_RUNTIMES; i++)
                g_ptr_array_add(paths, client_start(h->client, "command",
                                                    options_shell("echo up; " WAIT_FOR("go") "seq 1 1000; echo done; exec sleep 1000", "{'Journal': <true>}")));
        g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
        go(h, "go");
        for (unsigned i = 0; i < N_RELOADS; i++)
                g_variant_unref(client_call(h->client, NULL, "Reload", NULL));
        for (unsigned i = 0; i < paths->len; i++)
                client_wait_text(h->client, paths->pdata[i], "1000\ndone\n");
        g_assert_cmpint(kill(pid, SIGCONT), ==, 0);
        /* Of what the service wrote nothing is lost, nor of what is in the rings. */
        harness_wait(h, has_entries, &wanted, "all that the service wrote");
        g_assert_cmpuint(json_array_size(wanted.entries), ==, N_RELOADS + 1);
        json_decref(wanted.entries);
        for (unsigned i = 0; i < paths->len; i++) {
                json_decref(wait_entries(h, paths->pdata[i], "RUNTIME_STREAM=stdout", 1002));
                client_stop(h->client, paths->pdata[i]);
        }
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-life-is-in-the-journal-without-secrets", test_life},
                {"each-end-has-a-message-of-its-own", test_ends},
                {"what-a-runtime-said-is-not-quoted", test_no_words_of_a_runtime},
                {"a-mistake-in-a-kind-is-there", test_kind_mistake},
                {"output-is-there-for-who-asks-for-it", test_output},
                {"output-is-there-after-a-crash-and-a-restart", test_output_after_a_crash},
                {"a-journal-that-hangs-holds-nobody-up", test_hangs},
        };

        return harness_main(argc, argv, "journal", cases, G_N_ELEMENTS(cases));
}
