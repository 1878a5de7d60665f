/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a kind expands to, the values that options take, and where programs are found.
 */

#include "core/kind.h"

#include <sys/stat.h>
#include <unistd.h>

#include "keeper/executable.h"
#include "util/limits.h"
#include "kind-test.h"

static void test_specifiers(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=prog\n"
                                            "Exec=%e %%x 100%% %i-%u-%U@%H '%t/a b' $HOME $$ $${x} \"\" a\"\"b\n"
                                            "Environment=X=%h/y E= K=%Y\n"
                                            "Directory=%h/my files\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);
        g_autofree char *directory = g_strconcat("K=", f->low, NULL);

        assert_strv(plan->argv, "/usr/bin/prog", "%x", "100%", "abc-me-1000@box", "/run/rm/abc/a b", "$HOME", "$$", "${x}", "", "ab");
        assert_strv(plan->environment, "X=/home/me/y", "E=", directory);
        g_assert_cmpstr(plan->directory, ==, "/home/me/my files");
}

static void test_unknown_specifiers(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=prog\nExec=%e\nDirectory=%h\n");
        KindContext context = {.id = "abc", .executable = "/bin/prog"};
        g_autofree char *problem = NULL;
        g_autoptr(KindPlan) plan = NULL;

        g_assert_cmpint(kind_expand(kind, &context, &plan, &problem), ==, -EINVAL);
        g_assert_cmpstr(problem, ==, "kind x uses %h, which isn't known here");
}

static void test_required_file(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nRequiresFile=${Project}/mark\n[Option Project]\nType=path\nRequired=yes\n");
        g_autoptr(Kind) without = load_good(f, "[Kind]\nRequiresFile=${Mark}\n[Option Mark]\nType=path\n");
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) plan = NULL, plan_without = NULL;

        values_set(values, "Project", kind_value_new_path("/my project"));
        plan = expand_good(kind, values);
        g_assert_cmpstr(plan->required_file, ==, "/my project/mark");
        g_assert_cmpstr(kind->requires_file_missing, ==, "a file that is needed is missing");

        plan_without = expand_good(without, NULL);
        g_assert_null(plan_without->required_file);
}

#define OPTIONS                                                                                                                                                \
        "[Option Text]\n[Option List]\nType=strings\n[Option Flag]\nType=boolean\n"                                                                            \
        "[Option Number]\nType=integer\n[Option Bytes]\nType=size\n"                                                                                           \
        "[Option Wait]\nType=time\n[Option Where]\nType=path\n"

static void test_options_unset(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${Text} ${List} ${Flag} ${Number} ${Bytes} ${Where} "
                                            "-t=${Text} '' ${Text?--text=${Text}} ${List?-l} ${Flag?-f}\n"
                                            "Environment=T=${Text} ${Where?W=${Where}}\nDirectory=${Where}\n" OPTIONS);
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);

        assert_strv(plan->argv, "prog", "-t=", "");
        assert_strv(plan->environment, "T=");
        g_assert_null(plan->directory);
}

static void test_options_set(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${Text} ${List} ${Flag} ${Number} ${Bytes} ${Wait} ${Where} "
                                            "${Text?--text=${Text}} ${List?-l} ${Flag?-f} \"${Number?a b}\" ${Flag?}\n"
                                            "Environment=T=${Text} ${Where?W=${Where}/%i}\nDirectory=${Where}/sub\n"
                                            "[Step s]\nExec=${Where}/step ${List?${List}}\n" OPTIONS);
        const char *list[] = {"one", "", "t w o", NULL};
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) plan = NULL;

        /* what looks like a hole in a value is none */
        values_set(values, "Text", kind_value_new_string("%h ${Flag} $(rm)"));
        values_set(values, "List", kind_value_new_strings(list));
        values_set(values, "Flag", kind_value_new_boolean(true));
        values_set(values, "Number", kind_value_new_integer(INT64_MIN));
        values_set(values, "Bytes", kind_value_new_size(1024));
        values_set(values, "Wait", kind_value_new_time(USEC_INFINITY));
        values_set(values, "Where", kind_value_new_path("/w"));
        plan = expand_good(kind, values);
        assert_strv(plan->argv, "prog", "%h ${Flag} $(rm)", "one", "", "t w o", "true", "-9223372036854775808", "1024", "infinity", "/w",
                    "--text=%h ${Flag} $(rm)", "-l", "-f", "a b", "");
        assert_strv(plan->environment, "T=%h ${Flag} $(rm)", "W=/w/abc");
        g_assert_cmpstr(plan->directory, ==, "/w/sub");
        assert_strv(plan->steps[0].argv, "/w/step", "one", "", "t w o");
}

static void test_options_false_and_empty(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${Text} ${Text?t} ${List} ${List?l} ${Flag} ${Flag?f}\n" OPTIONS);
        const char *list[] = {NULL};
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) plan = NULL;

        values_set(values, "Text", kind_value_new_string(""));
        values_set(values, "List", kind_value_new_strings(list));
        values_set(values, "Flag", kind_value_new_boolean(false));
        plan = expand_good(kind, values);
        assert_strv(plan->argv, "prog", "", "t", "false");
}

static void test_defaults_of_options(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${L} ${B?b} ${T} ${S}\n"
                                            "[Option L]\nType=strings\nDefault=a 'b c'\n[Option B]\nType=boolean\nDefault=on\n"
                                            "[Option T]\nType=time\nDefault=1.5s\n[Option S]\nDefault=x y\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) other = NULL;

        assert_strv(plan->argv, "prog", "a", "b c", "b", "1500000", "x y");
        values_set(values, "B", kind_value_new_boolean(false));
        values_set(values, "S", kind_value_new_string("z"));
        other = expand_good(kind, values);
        assert_strv(other->argv, "prog", "a", "b c", "1500000", "z");
}

static void test_steps_and_no_exec(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\n[Step b]\nExec=mix b\nAnnounce=Running b...\nFailure=50% failed\n"
                                            "[Step a]\nExec=mix a\nTimeoutSec=2\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);

        g_assert_null(plan->argv);
        g_assert_null(plan->directory);
        g_assert_nonnull(plan->environment);
        g_assert_null(plan->environment[0]);
        g_assert_cmpuint(plan->n_steps, ==, 2);
        g_assert_cmpstr(plan->steps[0].name, ==, "b");
        g_assert_cmpstr(plan->steps[0].announce, ==, "Running b...");
        g_assert_cmpstr(plan->steps[0].failure, ==, "50% failed");
        g_assert_cmpuint(plan->steps[0].timeout_usec, ==, KIND_UNSET);
        assert_strv(plan->steps[1].argv, "mix", "a");
        g_assert_null(plan->steps[1].announce);
        g_assert_cmpuint(plan->steps[1].timeout_usec, ==, 2 * USEC_PER_SEC);
}

static void test_expansion_refused(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=${Text} ${Many}\nDirectory=${Where}\n"
                                            "[Option Text]\nRequired=yes\n[Option Level]\nValues=low;high\n"
                                            "[Option Many]\nType=strings\nValues=a;b\n[Option Where]\nType=path\n"
                                            "[Option Size]\nType=size\nValues=1K;1M\n");
        g_autoptr(Kind) broken = load_text(f, "broken");
        const char *bad[] = {"a", "c", NULL};
        g_autoptr(GHashTable) values = kind_values_new();

        assert_refused(broken, NULL, -EINVAL, "kind x can't be used: ");
        assert_refused(kind, NULL, -EINVAL, "kind x needs the option Text");
        assert_refused(kind, values, -EINVAL, "kind x needs the option Text");
        values_set(values, "Text", kind_value_new_integer(1));
        assert_refused(kind, values, -EINVAL, "option Text must be a string");
        values_set(values, "Text", kind_value_new_string(""));
        assert_refused(kind, values, -EINVAL, "with these options kind x has an empty command");
        values_set(values, "Text", kind_value_new_string("prog"));
        values_set(values, "Nope", kind_value_new_string("prog"));
        assert_refused(kind, values, -EINVAL, "kind x has no option Nope");
        g_hash_table_remove(values, "Nope");
        values_set(values, "Where", kind_value_new_path("here"));
        assert_refused(kind, values, -EINVAL, "option Where must be an absolute path");
        values_set(values, "Where", kind_value_new_string("/here"));
        assert_refused(kind, values, -EINVAL, "option Where must be an absolute path");
        g_hash_table_remove(values, "Where");
        values_set(values, "Level", kind_value_new_string("mid"));
        assert_refused(kind, values, -EINVAL, "option Level must be one of low, high, not \"mid\"");
        values_set(values, "Level", kind_value_new_string("low"));
        values_set(values, "Many", kind_value_new_strings(bad));
        assert_refused(kind, values, -EINVAL, "option Many must be one of a, b, not \"c\"");
        g_hash_table_remove(values, "Many");
        values_set(values, "Size", kind_value_new_size(1023));
        assert_refused(kind, values, -EINVAL, "option Size must be one of 1K, 1M, not \"1023\"");
        values_set(values, "Size", kind_value_new_size(1024));
        kind_plan_free(expand_good(kind, values));
}

static void test_expansion_is_bounded(Fixture *f, const void *data) {
        g_autoptr(GString) text = g_string_new("[Kind]\nExec=prog");
        g_autoptr(GHashTable) values = kind_values_new();
        g_autofree char *large = g_strnfill(LIMIT_ARGUMENT / 2, 'x');
        g_autofree char **many = g_new0(char *, LIMIT_ARGUMENTS + 1);
        g_autoptr(Kind) kind = NULL, other = NULL;

        for (unsigned i = 0; i < 200; i++)
                g_string_append(text, " ${A}");
        g_string_append(text, "\n[Option A]\n");
        kind = load_good(f, text->str);
        other = load_good(f, "[Kind]\nExec=prog ${A}${A} ${L}\n[Option A]\n[Option L]\nType=strings\n");

        values_set(values, "A", kind_value_new_string(large));
        assert_refused(kind, values, -E2BIG, "with these options kind x needs more bytes than 1048576");
        assert_refused(other, values, -E2BIG, "with these options kind x needs a word with more bytes than 131071");

        for (unsigned i = 0; i < LIMIT_ARGUMENTS; i++)
                many[i] = (char *) "a";
        g_hash_table_remove(values, "A");
        values_set(values, "L", kind_value_new_strings((const char *const *) many));
        assert_refused(other, values, -E2BIG, "with these options kind x needs more words than 4096");
}

static void test_environment_alone(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=prog\nExec=%e\nEnvironment=PATH=%h/bin\n");
        KindContext context = context_with(NULL);
        g_autofree char *problem = NULL;
        g_auto(GStrv) environment = NULL;

        context.executable = NULL;
        g_assert_cmpint(kind_expand_environment(kind, &context, &environment, &problem), ==, 0);
        assert_strv(environment, "PATH=/home/me/bin");
}

static void test_signatures(void) {
        static const char *const expected[] = {"string:s", "strings:as", "boolean:b", "integer:x", "size:t", "time:t", "path:s"};

        for (unsigned i = 0; i < _KIND_OPTION_TYPE_MAX; i++) {
                g_autofree char *both = g_strdup_printf("%s:%s", kind_option_type_to_string(i), kind_option_type_to_signature(i));

                g_assert_cmpstr(both, ==, expected[i]);
        }
        g_assert_null(kind_option_type_to_string(_KIND_OPTION_TYPE_MAX));
        g_assert_cmpstr(kind_handshake_type_to_string(KIND_HANDSHAKE_PROTOCOL), ==, "protocol");
        g_assert_null(kind_handshake_type_to_string(_KIND_HANDSHAKE_TYPE_MAX));
        g_assert_cmpstr(kind_transport_to_string(KIND_TRANSPORT_PIPES), ==, "pipes");
}

static void test_values_as_written(void) {
        static const struct {
                KindOptionType type;
                const char *text;
                const char *expected; /* NULL: refused */
        } values[] = {
                {KIND_OPTION_INTEGER, "0", "0"},
                {KIND_OPTION_INTEGER, "-9223372036854775808", "-9223372036854775808"},
                {KIND_OPTION_INTEGER, "9223372036854775808", NULL},
                {KIND_OPTION_INTEGER, "1 ", NULL},
                {KIND_OPTION_INTEGER, "0x10", NULL},
                {KIND_OPTION_INTEGER, "", NULL},
                {KIND_OPTION_SIZE, "0", "0"},
                {KIND_OPTION_SIZE, "64K", "65536"},
                {KIND_OPTION_SIZE, "3M", "3145728"},
                {KIND_OPTION_SIZE, "2G", "2147483648"},
                {KIND_OPTION_SIZE, "1T", "1099511627776"},
                {KIND_OPTION_SIZE, "infinity", "infinity"},
                {KIND_OPTION_SIZE, "18446744073709551616", NULL},
                {KIND_OPTION_SIZE, "16777216T", NULL},
                {KIND_OPTION_SIZE, "1KB", NULL},
                {KIND_OPTION_SIZE, "1k", NULL},
                {KIND_OPTION_SIZE, "1.5G", NULL},
                {KIND_OPTION_SIZE, "K", NULL},
                {KIND_OPTION_SIZE, "", NULL},
                {KIND_OPTION_TIME, "10", "10000000"},
                {KIND_OPTION_TIME, "10s", "10000000"},
                {KIND_OPTION_TIME, "500ms", "500000"},
                {KIND_OPTION_TIME, "7us", "7"},
                {KIND_OPTION_TIME, "1min 30s", "90000000"},
                {KIND_OPTION_TIME, "1min30s", "90000000"},
                {KIND_OPTION_TIME, "1 min 30", "90000000"},
                {KIND_OPTION_TIME, "1h", "3600000000"},
                {KIND_OPTION_TIME, "2d", "172800000000"},
                {KIND_OPTION_TIME, "5minutes", "300000000"},
                {KIND_OPTION_TIME, "2weeks 1day 3hours 20msec", "1306800020000"},
                {KIND_OPTION_TIME, "1.5s", "1500000"},
                {KIND_OPTION_TIME, "0.25", "250000"},
                {KIND_OPTION_TIME, "infinity", "infinity"},
                {KIND_OPTION_TIME, "", NULL},
                {KIND_OPTION_TIME, "s", NULL},
                {KIND_OPTION_TIME, "-1", NULL},
                {KIND_OPTION_TIME, "1.", NULL},
                {KIND_OPTION_TIME, "1.1234567s", NULL},
                {KIND_OPTION_TIME, "1 2", NULL},
                {KIND_OPTION_TIME, "1parsec", NULL},
                {KIND_OPTION_TIME, "99999999999999999d", NULL},
                {KIND_OPTION_TIME, "18446744073709551615us 1us", NULL},
                {KIND_OPTION_BOOLEAN, "yes", "true"},
                {KIND_OPTION_BOOLEAN, "off", "false"},
                {KIND_OPTION_BOOLEAN, "1", "true"},
                {KIND_OPTION_BOOLEAN, "Yes", NULL},
                {KIND_OPTION_BOOLEAN, "", NULL},
                {KIND_OPTION_PATH, "/a b", "/a b"},
                {KIND_OPTION_PATH, "a", NULL},
                {KIND_OPTION_PATH, "", NULL},
                {KIND_OPTION_STRING, "", ""},
                {KIND_OPTION_STRING, "'a'", "'a'"},
                {KIND_OPTION_STRINGS, "a 'b c' \"\"", "a b c "},
                {KIND_OPTION_STRINGS, "", ""},
                {KIND_OPTION_STRINGS, "a'", NULL},
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                g_autoptr(KindValue) value = NULL;
                g_autofree char *problem = NULL, *text = NULL;
                int r;

                r = kind_value_parse(values[i].type, values[i].text, &value, &problem);
                if (!values[i].expected) {
                        g_assert_cmpint(r, ==, -EINVAL);
                        g_assert_null(value);
                        g_assert_nonnull(problem);
                        continue;
                }
                g_assert_cmpstr(problem, ==, NULL);
                g_assert_cmpint(r, ==, 0);
                text = kind_value_to_string(value);
                g_assert_cmpstr(text, ==, values[i].expected);
        }
}

static void make_program(const char *directory, const char *name, unsigned mode) {
        g_autofree char *path = g_build_filename(directory, name, NULL);

        write_file(directory, name, "#!/bin/sh\n");
        g_assert_cmpint(chmod(path, mode), ==, 0);
}

static void test_finding_programs(Fixture *f, const void *data) {
        g_autofree char *path = g_strdup_printf("%s:.::%s:%s", f->low, f->middle, f->high);
        g_autofree char *in_middle = g_build_filename(f->middle, "prog", NULL);
        g_autofree char *in_high = g_build_filename(f->high, "late", NULL);
        g_autofree char *folder = g_build_filename(f->low, "folder", NULL);
        g_autofree char *plain = g_build_filename(f->low, "plain", NULL);
        g_autofree char *nothing = g_build_filename(f->low, "nothing", NULL);
        g_autofree char *old = g_get_current_dir();
        struct {
                const char *name;
                const char *path;
                int result;
                const char *found;
        } cases[] = {
                {"prog", path, 0, in_middle},      {"late", path, 0, in_high},     {"plain", path, -EACCES, NULL}, {"folder", path, -ENOENT, NULL},
                {"nothing", path, -ENOENT, NULL},  {"here", path, -ENOENT, NULL},  {"", path, -ENOENT, NULL},      {"./prog", path, -ENOENT, NULL},
                {"sub/prog", path, -ENOENT, NULL}, {"prog", "", -ENOENT, NULL},    {in_middle, "", 0, in_middle},  {folder, path, -ENOENT, NULL},
                {plain, path, -EACCES, NULL},      {nothing, path, -ENOENT, NULL},
        };

        make_program(f->middle, "prog", 0755);
        make_program(f->high, "prog", 0755);
        make_program(f->low, "late", 0644);
        make_program(f->high, "late", 0755);
        make_program(f->low, "plain", 0644);
        make_program(f->root, "here", 0755);
        g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
        g_assert_cmpint(g_chdir(f->root), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *found = NULL, *by_keeper = NULL;

                g_assert_cmpint(kind_find_executable(cases[i].name, cases[i].path, &found), ==, cases[i].result);
                g_assert_cmpstr(found, ==, cases[i].found);
                /* By the same rules. */
                g_assert_cmpint(executable_find(cases[i].name, cases[i].path, &by_keeper), ==, cases[i].result);
                g_assert_cmpstr(by_keeper, ==, cases[i].found);
        }
        g_assert_cmpint(g_chdir(old), ==, 0);
}

static void test_usual_directories(void) {
        g_autofree char *found = NULL;

        g_assert_cmpint(kind_find_executable("sh", NULL, &found), ==, 0);
        g_assert_true(g_path_is_absolute(found));
}

int main(int argc, char **argv) {
        static const Case cases[] = {
                {"expand/specifiers", test_specifiers},
                {"expand/a-specifier-that-is-not-known-is-refused", test_unknown_specifiers},
                {"expand/unset-options-disappear", test_options_unset},
                {"expand/set-options-are-inserted-unread", test_options_set},
                {"expand/false-and-empty-are-not-unset", test_options_false_and_empty},
                {"expand/defaults-stand-in", test_defaults_of_options},
                {"expand/a-required-file", test_required_file},
                {"expand/steps-in-order-and-no-exec", test_steps_and_no_exec},
                {"expand/wrong-options-are-refused", test_expansion_refused},
                {"expand/size-is-bounded", test_expansion_is_bounded},
                {"expand/environment-alone", test_environment_alone},
                {"executable/found-as-by-execvp-but-only-absolute", test_finding_programs},
        };

        setlocale(LC_ALL, "");
        g_test_init(&argc, &argv, NULL);
        add_cases(cases, ELEMENTSOF(cases));
        g_test_add_func("/kind/values/signatures", test_signatures);
        g_test_add_func("/kind/values/as-written", test_values_as_written);
        g_test_add_func("/kind/executable/usual-directories-without-a-path", test_usual_directories);
        return g_test_run();
}
