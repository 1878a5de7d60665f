/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every verb has in common: its help, what it says to wrong words, and to ids that aren't there. */

#include "cli.h"

#include <string.h>

/* From the help itself, so that no verb is forgotten. */
static char **list_verbs(Harness *h) {
        g_autofree char *help = cli_text(h, "--help", NULL);
        g_auto(GStrv) lines = g_strsplit(help, "\n", -1);
        GPtrArray *verbs = g_ptr_array_new();
        gboolean inside = FALSE;

        for (char **line = lines; *line; line++) {
                if (inside && !g_str_has_prefix(*line, "  "))
                        break;
                if (inside)
                        g_ptr_array_add(verbs, g_strndup(*line + 2, strcspn(*line + 2, " ")));
                if (strcmp(*line, "Verbs:") == 0)
                        inside = TRUE;
        }
        g_assert_cmpuint(verbs->len, >, 15);
        g_ptr_array_add(verbs, NULL);
        return (char **) g_ptr_array_free(verbs, FALSE);
}

static void test_help(Harness *h) {
        static const char *const common[] = {"--json=MODE", "--no-legend", "--no-pager", "-H, --host=", "-M, --machine=", "--user", "--system", "--version"};
        g_auto(GStrv) verbs = list_verbs(h);

        for (char **verb = verbs; *verb; verb++) {
                g_autofree char *help = cli_text(h, *verb, "--help", NULL), *usage = g_strdup_printf("runtimectl %s ", *verb);

                assert_contains(help, usage);
                for (size_t i = 0; i < G_N_ELEMENTS(common); i++)
                        assert_contains(help, common[i]);
                assert_contains(help, "xit codes");
        }
}

static void test_wrong_options(Harness *h) {
        g_auto(GStrv) verbs = list_verbs(h);

        for (char **verb = verbs; *verb; verb++) {
                g_autofree char *mode = cli_fails(h, 2, *verb, "--json=yaml", "a", "b=c", NULL), *hint = g_strdup_printf("Try 'runtimectl %s --help'.", *verb);
                g_autofree char *both = NULL;

                assert_contains(mode, "'short', 'pretty' or 'off'");
                assert_contains(mode, hint);
                /* Other options of a start may be the kind's. */
                if (strcmp(*verb, "start") != 0)
                        both = cli_fails(h, 2, *verb, "--no-such-option", NULL);
        }
}

static void test_verbs(Harness *h) {
        g_autofree char *none = cli_fails(h, 2, NULL, NULL), *unknown = cli_fails(h, 2, "frobnicate", NULL);

        assert_contains(none, "Which verb?");
        assert_contains(unknown, "There is no verb 'frobnicate'.");
        assert_contains(unknown, "Try 'runtimectl --help'.");
}

static void test_missing_words(Harness *h) {
        static const char *const verbs[] = {"start",     "status",  "logs",  "report",     "wait",   "stop", "kill",
                                            "interrupt", "restart", "limit", "connection", "forget", "kind"};

        for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
                g_autofree char *err = cli_fails(h, 2, verbs[i], NULL);

                assert_contains(err, "--help'.");
        }
}

static void test_too_many_words(Harness *h) {
        static const char *const verbs[] = {"list", "kinds", "reload", "top"};

        for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
                g_autofree char *err = cli_fails(h, 2, verbs[i], "word", NULL);

                assert_contains(err, "Too many arguments: 'word'.");
        }
}

static void test_unknown_ids(Harness *h) {
        static const char *const verbs[] = {"status", "logs", "report", "wait", "stop", "kill", "interrupt", "restart", "connection", "forget", "monitor"};
        g_autofree char *limit = NULL, *longest = NULL;

        harness_start_daemon(h, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
                g_autofree char *err = cli_fails(h, 3, verbs[i], "nowhere", NULL), *impossible = cli_fails(h, 3, verbs[i], "No/Id", NULL);
                g_autofree char *json = cli_fails(h, 3, "--json", verbs[i], "nowhere", NULL);

                assert_contains(err, "There is no runtime whose id is 'nowhere'");
                assert_contains(impossible, "'No/Id' can't be the id of a runtime");
                assert_contains(json, "nowhere");
        }
        limit = cli_fails(h, 3, "limit", "nowhere", "TasksMax=1", NULL);
        assert_contains(limit, "nowhere");
        /* Of another user of the system. */
        longest = cli_fails(h, 3, "status", "u4294967294_abcdefghijklmnopqrstuvwxyz012345", NULL);
        assert_contains(longest, "There is no runtime whose id is 'u4294967294_");
}

static void test_wrong_values(Harness *h) {
        static const struct {
                const char *words[4];
                const char *said;
        } wrong[] = {
                {{"wait", "a", "--until=never"}, "it is 'ready' or 'ended'"},
                {{"wait", "a", "--timeout=soon"}, "that is not a time like 10s"},
                {{"stop", "a", "--timeout=soon"}, "that is not a time like 10s"},
                {{"kill", "a", "--signal=LOUD"}, "that is no signal"},
                {{"kill", "a", "--who=you"}, "it is 'main' or 'all'"},
                {{"list", "--label=x"}, "that is not KEY=VALUE"},
                {{"list", "--state=redy"}, "the states are starting, preparing, connecting, initializing, ready, stopping, ended."},
                {{"logs", "a", "--since=later"}, "that is not a time like"},
                {{"logs", "a", "--stream=river"}, "the streams are setup, stdout and stderr"},
                {{"logs", "a", "--raw", "--json"}, "--raw prints bytes as they are"},
                {{"top", "--sort=beauty"}, "it is cpu, memory, tasks, output or id"},
                {{"top", "--delay=1ms"}, "it is a time of 100ms or more"},
                {{"top", "-n0"}, "-n needs a number of refreshes"},
                {{"start", "command", "--follow", "--json"}, "--follow prints the runtime's own output"},
                {{"start", "command", "word"}, "behind '--'"},
                {{"list", "--user", "--system"}, "name one of them"},
                {{"list", "-Hhost", "-Mmachine"}, "name one of them"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
                const char *const *words = wrong[i].words;
                g_autofree char *err = cli_fails(h, 2, words[0], words[1], words[2], words[3], NULL);

                assert_contains(err, wrong[i].said);
        }
}

static void test_json_alone(Harness *h) {
        g_autofree char *id = harness_id("plain"), *behind = NULL, *before = NULL, *pretty = NULL, *off = NULL;

        harness_start_daemon(h, NULL);
        g_free(client_start(h->client, "command", options_shell("sleep 100", "{'Id': <%s>}", id)));
        behind = cli_text(h, "status", "--json", id, NULL);
        before = cli_text(h, "--json", "status", id, NULL);
        g_assert_true(g_str_has_prefix(behind, "{\"Id\":"));
        g_assert_true(g_str_has_prefix(before, "{\"Id\":"));
        pretty = cli_text(h, "status", "--json=pretty", id, NULL);
        g_assert_true(g_str_has_prefix(pretty, "{\n  \"Id\": "));
        off = cli_text(h, "--json", "status", "--json=off", id, NULL);
        g_assert_true(g_str_has_prefix(off, "● "));
}

static void test_no_service(Harness *h) {
        g_autofree char *err = cli_fails(h, 1, "list", NULL), *json = cli_fails(h, 1, "list", "--json", NULL);

        assert_contains(err, "The Runtime Manager isn't running");
        assert_contains(json, "The Runtime Manager isn't running");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"help-of-every-verb", test_help},
                {"options-that-are-wrong-for-every-verb", test_wrong_options},
                {"verbs-that-are-not-there", test_verbs},
                {"words-that-are-missing", test_missing_words},
                {"words-that-are-too-many", test_too_many_words},
                {"ids-that-are-not-there", test_unknown_ids},
                {"values-that-are-wrong", test_wrong_values},
                {"json-takes-no-other-word-for-its-mode", test_json_alone},
                {"without-the-service", test_no_service},
        };

        return harness_main(argc, argv, "cli-usage", cases, G_N_ELEMENTS(cases));
}
