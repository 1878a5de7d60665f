/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl metrics: what it prints is read as strictly as the text format (0.0.4) of Prometheus is written down, and its counters count. */

#include <string.h>

#include "harness.h"

/* Samples by "name{labels}" as they stand there, each a number as text. */
static GHashTable *parse(const char *text) {
        g_autoptr(GRegex) comment = g_regex_new("^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$", 0, 0, NULL);
        g_autoptr(GRegex) sample = g_regex_new(
                "^([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{[a-zA-Z_]\\w*=\"(?:[^\"\\\\\n]|\\\\[\\\\\"n])*\"(?:,[a-zA-Z_]\\w*=\"(?:[^\"\\\\\n]|\\\\[\\\\\"n])*\")*\\})?"
                " (-?[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$",
                0, 0, NULL);
        GHashTable *samples = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_autoptr(GHashTable) families = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_autofree char *family = NULL, *type = NULL;
        g_auto(GStrv) lines = NULL;

        g_assert_true(g_str_has_suffix(text, "\n"));
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; line[1]; line++) {
                g_autoptr(GMatchInfo) match = NULL, values = NULL;

                if (g_regex_match(comment, *line, 0, &match)) {
                        g_autofree char *what = g_match_info_fetch(match, 1), *name = g_match_info_fetch(match, 2), *rest = g_match_info_fetch(match, 3);

                        if (strcmp(what, "HELP") == 0) {
                                /* Each family is in one piece, and has each line once. */
                                if (!g_hash_table_add(families, g_strdup(name)))
                                        g_error("%s is there twice", name);
                                g_free(family);
                                family = g_steal_pointer(&name);
                                g_clear_pointer(&type, g_free);
                        } else {
                                g_assert_cmpstr(name, ==, family);
                                g_assert_null(type);
                                g_assert_true(strcmp(rest, "counter") == 0 || strcmp(rest, "gauge") == 0);
                                /* As Prometheus wants them called. */
                                g_assert_cmpint(g_str_has_suffix(name, "_total"), ==, strcmp(rest, "counter") == 0);
                                type = g_steal_pointer(&rest);
                        }
                        continue;
                }
                if (!g_regex_match(sample, *line, 0, &values))
                        g_error("not of the format: %s", *line);
                else {
                        g_autofree char *name = g_match_info_fetch(values, 1), *labels = g_match_info_fetch(values, 2);

                        g_assert_cmpstr(name, ==, family);
                        g_assert_nonnull(type);
                        g_assert_true(g_str_has_prefix(name, "runtime_manager_"));
                        if (!g_hash_table_insert(samples, g_strconcat(name + strlen("runtime_manager_"), labels, NULL), g_match_info_fetch(values, 3)))
                                g_error("there twice: %s", *line);
                }
        }
        return samples;
}

typedef struct Run {
        char *output, *error;
        int status;
} Run;

static void run_clear(Run *run) {
        g_free(run->output);
        g_free(run->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

/* input: NULL: none. */
static Run run(Harness *h, const char *option, const char *input) {
        g_autofree char *program = g_build_filename(harness_build_directory(), "runtimectl", NULL);
        g_autoptr(GSubprocessLauncher) launcher =
                g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDIN_PIPE);
        g_autoptr(GSubprocess) process = NULL;
        g_autoptr(GError) error = NULL;
        Run result;

        g_subprocess_launcher_setenv(launcher, "DBUS_SESSION_BUS_ADDRESS", h->bus_address, TRUE);
        g_subprocess_launcher_setenv(launcher, "LC_ALL", "C.UTF-8", TRUE);
        g_subprocess_launcher_setenv(launcher, "LANGUAGE", "en", TRUE);
        process = g_subprocess_launcher_spawn(launcher, &error, program, "metrics", option, NULL);
        g_assert_no_error(error);
        g_subprocess_communicate_utf8(process, input ?: "", NULL, &result.output, &result.error, &error);
        g_assert_no_error(error);
        result.status = g_subprocess_get_exit_status(process);
        return result;
}

static GHashTable *scrape(Harness *h, const char *option) {
        g_auto(Run) metrics = run(h, option, NULL);

        g_assert_cmpstr(metrics.error, ==, "");
        g_assert_cmpint(metrics.status, ==, 0);
        return parse(metrics.output);
}

static void assert_sample(GHashTable *samples, const char *name, const char *value) {
        if (g_strcmp0(g_hash_table_lookup(samples, name), value) != 0)
                g_error("%s is %s, not %s", name, (char *) g_hash_table_lookup(samples, name), value);
}

static void test_counters(Harness *h) {
        g_autoptr(GHashTable) before = NULL, after = NULL, plain = NULL;
        g_autofree char *failed = NULL, *runs = NULL, *cpu = NULL, *lines = NULL;
        double used;

        harness_start_daemon(h, NULL);
        before = scrape(h, NULL);
        assert_sample(before, "up", "1");
        assert_sample(before, "starts_total", "0");
        assert_sample(before, "ends_total{result=\"exit-code\"}", "0");
        assert_sample(before, "ends_total{result=\"lost\"}", "0");
        g_assert_cmpfloat(g_ascii_strtod(g_hash_table_lookup(before, "service_resident_memory_bytes"), NULL), >, 1 << 20);
        g_assert_cmpfloat(g_ascii_strtod(g_hash_table_lookup(before, "start_time_seconds"), NULL), >, 1e9);

        failed = client_start_shell(h->client, "exit 7");
        g_variant_unref(client_wait_ended(h->client, failed));
        runs = client_start_shell(h->client, "echo 1; echo 2; exec sleep 1000");
        client_wait_text(h->client, runs, "2\n");
        after = scrape(h, "--runtimes");
        assert_sample(after, "starts_total", "2");
        assert_sample(after, "start_refusals_total", "0");
        assert_sample(after, "ends_total{result=\"exit-code\"}", "1");
        assert_sample(after, "ends_total{result=\"success\"}", "0");
        assert_sample(after, "runtimes{kind=\"command\",state=\"ready\"}", "1");
        assert_sample(after, "runtimes{kind=\"command\",state=\"ended\"}", "1");
        lines = g_strdup_printf("runtime_output_lines_total{id=\"%s\",kind=\"command\"}", path_to_id(runs));
        assert_sample(after, lines, "2");
        cpu = g_strdup_printf("runtime_cpu_seconds_total{id=\"%s\",kind=\"command\"}", path_to_id(runs));
        used = g_ascii_strtod(g_hash_table_lookup(after, cpu) ?: "0", NULL);
        g_assert_cmpfloat(used, >, 0);
        g_assert_cmpfloat(used, <, 60);

        /* What each uses is only asked for on request. */
        plain = scrape(h, NULL);
        g_assert_false(g_hash_table_contains(plain, lines));
        client_stop(h->client, runs);
        g_variant_unref(client_wait_ended(h->client, runs));
        g_hash_table_unref(g_steal_pointer(&plain));
        plain = scrape(h, NULL);
        assert_sample(plain, "ends_total{result=\"stopped\"}", "1");
}

static void test_json(Harness *h) {
        g_auto(Run) json = {};

        harness_start_daemon(h, NULL);
        json = run(h, "--json=short", NULL);
        g_assert_cmpint(json.status, ==, 0);
        g_assert_nonnull(strstr(json.output, "\"Starts\":0"));
        g_assert_nonnull(strstr(json.output, "\"oom-kill\":0"));
}

/* Not even when the bus could start it. */
static void test_away(Harness *h) {
        g_autoptr(GHashTable) samples = NULL;
        g_auto(Run) json = {};

        harness_start_daemon(h, NULL);
        harness_stop_daemon(h);
        samples = scrape(h, NULL);
        assert_sample(samples, "up", "0");
        g_assert_cmpuint(g_hash_table_size(samples), ==, 1);
        json = run(h, "--json=short", NULL);
        g_assert_cmpint(json.status, ==, 1);
        g_assert_nonnull(strstr(json.error, "isn't running"));
}

static void test_http(Harness *h) {
        static const struct {
                const char *request, *answer;
        } table[] = {
                {"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 "},
                {"GET /metrics?x=y HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "},
                {"GET /metrics HTTP/1.1\n\n", "HTTP/1.1 200 "},
                {"HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "},
                {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
                {"GET /metrics/.. HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
                {"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "},
                {"GET /metrics\r\n\r\n", "HTTP/1.1 400 "},
                {"GET  /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
                {"\r\n\r\n", "HTTP/1.1 400 "},
                {"GET /metrics HTTP/1.1\r\n", "HTTP/1.1 400 "},
                {"", ""},
        };
        g_autofree char *flood = g_strnfill(20000, 'x');
        g_auto(Run) too_long = {};

        harness_start_daemon(h, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
                g_auto(Run) http = run(h, "--http", table[i].request);
                const char *body = strstr(http.output, "\r\n\r\n");

                if (!g_str_has_prefix(http.output, table[i].answer) || (*table[i].answer == '\0' && *http.output != '\0'))
                        g_error("%s was answered by %s", table[i].request, http.output);
                g_assert_cmpint(http.status, ==, 0);
                if (body) {
                        g_autofree char *length = g_strdup_printf("\r\nContent-Length: %zu\r\n", strlen(body + 4));

                        g_assert_cmpint(strstr(http.output, length) != NULL, ==, !g_str_has_prefix(table[i].request, "HEAD"));
                }
                if (body && i == 0) {
                        g_autoptr(GHashTable) samples = parse(body + 4);

                        assert_sample(samples, "up", "1");
                        g_assert_nonnull(strstr(http.output, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
                }
        }
        too_long = run(h, "--http", flood);
        g_assert_true(g_str_has_prefix(too_long.output, "HTTP/1.1 431 "));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"counters-count-and-the-text-is-of-the-format", test_counters},
                {"the-same-as-json", test_json},
                {"a-service-that-is-away-is-told-and-not-started", test_away},
                {"a-request-of-http-is-answered-and-a-bad-one-refused", test_http},
        };

        return harness_main(argc, argv, "metrics", cases, G_N_ELEMENTS(cases));
}
