/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* kinds, kind, kind check, reload. */

#include "cli.h"

#include <string.h>

static const char with_options[] = "[Kind]\nDescription=One of mine\nExec=sleep 100\n"
                                   "[Option Mode]\nType=string\nValues=fast;slow\nDefault=fast\nDescription=How it runs\n"
                                   "[Option Script]\nType=path\nRequired=yes\n"
                                   "[Option Patience]\nType=time\nDefault=2s\n[Option Room]\nType=size\nDefault=1K\n[Option Words]\nType=strings\n"
                                   "[Handshake]\nType=exec\n";

static const json_t *find_kind(const json_t *kinds, const char *name) {
        const json_t *kind;
        size_t i;

        json_array_foreach(kinds, i, kind) if (g_strcmp0(json_string_value(json_object_get(kind, "Name")), name) == 0) return kind;
        return NULL;
}

static void test_kinds(Harness *h) {
        g_autofree char *text = NULL, *bare = NULL;
        _cleanup_json_ json_t *kinds = NULL;
        const json_t *wrong;

        harness_add_kind(h, "mine", with_options);
        harness_add_kind(h, "wrong", "[Kind]\nExec=true\n\n[Handshake]\nType=handstand\n");
        harness_start_daemon(h, NULL);
        text = cli_text(h, "kinds", NULL);
        g_assert_true(g_str_has_prefix(text, "NAME "));
        assert_contains(text, "One of mine\n");
        assert_contains(text, "wrong.kind:5: Type: must be one of");
        assert_contains(text, "'runtimectl kind NAME' shows one");
        bare = cli_text(h, "kinds", "--no-legend", NULL);
        g_assert_true(g_str_has_prefix(bare, "command "));
        assert_contains_not(bare, "runtimectl");
        kinds = cli_json(h, "kinds", NULL);
        wrong = find_kind(kinds, "wrong");
        g_assert_true(json_is_false(json_object_get(wrong, "Available")));
        assert_member(json_array_get(json_object_get(find_kind(kinds, "mine"), "Options"), 0), "Name", "Mode");
}

static void test_kind(Harness *h) {
        g_autofree char *text = NULL, *err = NULL;
        _cleanup_json_ json_t *kind = NULL;

        harness_add_kind(h, "mine", with_options);
        harness_start_daemon(h, NULL);
        text = cli_text(h, "kind", "mine", NULL);
        g_assert_true(g_str_has_prefix(text, "● mine\n Description: One of mine\n   Available: yes\n"));
        assert_contains(text, "/mine.kind\n");
        assert_contains(text, "--Mode (text) How it runs; default: fast; one of: fast, slow\n");
        assert_contains(text, "--Script (path); required\n");
        assert_contains(text, "--Patience (time); default: 2000000\n");
        assert_contains(text, "--Room (size); default: 1024\n");
        assert_contains(text, "--Words (texts)\n");
        assert_contains(text, "'runtimectl start mine' starts one.");
        kind = cli_json(h, "kind", "mine", NULL);
        assert_member(kind, "Name", "mine");
        assert_member(kind, "Handshake", "exec");
        err = cli_fails(h, 3, "kind", "yours", NULL);
        assert_contains(err, "There is no kind 'yours'.\n'runtimectl kinds' lists");
}

/* By their type in the kind's file: their names say nothing of it, and D-Bus has the same for a path as for any text, and for a time as for any number. */
static void test_values(Harness *h) {
        g_autofree char *here = g_get_current_dir(), *expected = g_strdup_printf("%s/some/script 5000000 2048 as/is\n", here), *text = NULL;

        harness_add_kind(h, "values",
                         "[Kind]\nExec=echo ${Script} ${Patience} ${Room} ${ThePath}\n[Option Script]\nType=path\n[Option Patience]\nType=time\n"
                         "[Option Room]\nType=size\n[Option ThePath]\n");
        harness_start_daemon(h, NULL);
        cli_run(h, 0, &text, NULL, "start", "values", "-fq", "--script=some/script", "--patience=5", "--room=2K", "--the-path=as/is", NULL);
        g_assert_cmpstr(text, ==, expected);
}

static void test_unknown_option(Harness *h) {
        g_autofree char *own = NULL, *none = NULL;

        harness_add_kind(h, "mine", with_options);
        harness_start_daemon(h, NULL);
        own = cli_fails(h, 2, "start", "mine", "--Mod=fast", NULL);
        assert_contains(own, "This kind has these of its own: Mode, Script, Patience, Room, Words.\n'runtimectl kind mine' shows the options of this kind");
        none = cli_fails(h, 2, "start", "command", "--Mod=fast", NULL);
        assert_contains(none, "this kind has none of its own.\n'runtimectl kind command' shows");
}

static void test_check(Harness *h) {
        g_autofree char *good = harness_add_file(h, "good.kind", with_options, 0644),
                        *bad = harness_add_file(h, "bad.kind", "[Kind]\nExc=true\n[Stop]\nSignal=none\n", 0644);
        g_autofree char *out = NULL, *err = NULL, *ok = g_strdup_printf("%s: ok\n", good), *place = g_strdup_printf("%s:2: ", bad),
                        *more = g_strdup_printf("\n%s:4: Signal: ", bad);
        g_autofree char *json = NULL;
        _cleanup_json_ json_t *checks = NULL;

        /* It asks no service. */
        cli_run(h, 1, &out, &err, "kind", "check", good, bad, NULL);
        g_assert_cmpstr(out, ==, ok);
        g_assert_true(g_str_has_prefix(err, place));
        assert_contains(err, more);
        cli_run(h, 1, &json, NULL, "kind", "check", "--json", good, bad, NULL);
        checks = json_loads(json, 0, NULL);
        g_assert_cmpuint(json_array_size(checks), ==, 2);
        g_assert_true(json_is_true(json_object_get(json_array_get(checks, 0), "Valid")));
        g_assert_true(json_is_false(json_object_get(json_array_get(checks, 1), "Valid")));
        assert_contains(json_string_value(json_object_get(json_array_get(checks, 1), "Problem")), place);
        g_assert_cmpuint(json_array_size(json_object_get(json_array_get(checks, 1), "MoreProblems")), ==, 1);
}

static void test_reload(Harness *h) {
        g_autofree char *none = NULL, *start = NULL, *option = NULL, *out = NULL;
        _cleanup_json_ json_t *kinds = NULL;

        harness_start_daemon(h, NULL);
        g_free(harness_add_file(h, "config/runtime-manager/kinds/later.kind", with_options, 0644));
        none = cli_fails(h, 3, "kind", "later", NULL);
        assert_contains(none, "\n'runtimectl kinds' lists them; if you have just written its file: 'runtimectl reload'.\n");
        start = cli_fails(h, 3, "start", "later", NULL);
        assert_contains(start, "There is no kind of runtime called \"later\"");
        assert_contains(start, "'runtimectl reload'.\n");
        option = cli_fails(h, 3, "start", "later", "--Mode=fast", NULL);
        assert_contains(option, "'runtimectl reload'.\n");
        out = cli_text(h, "reload", NULL);
        g_assert_cmpstr(out, ==, "");
        kinds = cli_json(h, "reload", NULL);
        g_assert_nonnull(find_kind(kinds, "later"));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"kinds-with-what-is-wrong-with-them", test_kinds},
                {"kind-shows-one-with-its-options", test_kind},
                {"options-by-their-type-in-the-kinds-file", test_values},
                {"options-that-the-kind-has-not-got", test_unknown_option},
                {"kind-check-needs-no-service", test_check},
                {"reload-reads-them-again", test_reload},
        };

        return harness_main(argc, argv, "cli-kinds", cases, G_N_ELEMENTS(cases));
}
