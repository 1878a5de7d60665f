/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The set of kinds: names, directories, what overrides, masks and extends what, and the kinds of this project.
 */

#include "core/kind.h"

#include <sys/resource.h>
#include <unistd.h>

#include "kind-test.h"

static void test_names(Fixture *f, const void *data) {
        static const struct {
                const char *name;
                bool valid;
        } names[] = {
                {"a", true},
                {"elixir-standalone", true},
                {"a1", true},
                {"abcdefghijklmnopqrstuvwxyz012345", true},
                {"abcdefghijklmnopqrstuvwxyz0123456", false},
                {"", false},
                {"1a", false},
                {"-a", false},
                {"A", false},
                {"a_b", false},
                {"a.b", false},
                {"a b", false},
                {"a\n", false},
                {"\xc3\xa4", false},
        };
        g_autoptr(KindSet) set = NULL;
        unsigned n_bad = 0;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *file = g_strconcat(names[i].name, ".kind", NULL);

                g_assert_cmpint(kind_name_is_valid(names[i].name), ==, names[i].valid);
                write_file(f->low, file, "[Kind]\n");
                /* ".kind" is a hidden file */
                n_bad += !names[i].valid && names[i].name[0] != '\0';
        }
        write_file(f->low, "editor.kind~", "broken");
        write_file(f->low, ".hidden.kind", "broken");
        write_file(f->low, "README", "broken");

        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 4);
        g_assert_cmpuint(g_strv_length((char **) kind_set_get_problems(set)), ==, n_bad);
        for (const char *const *problem = kind_set_get_problems(set); *problem; problem++) {
                g_assert_true(g_str_has_suffix(*problem, ": a kind's name is a-z, then a-z, 0-9 and -, at most 32"));
                g_assert_null(strchr(*problem, '\n'));
        }
}

static void test_order_and_lookup(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->high, "bb.kind", "[Kind]\n");
        write_file(f->low, "c.kind", "[Kind]\n");
        write_file(f->middle, "a-a.kind", "[Kind]\n");
        write_file(f->low, "b.kind", "[Kind]\n");
        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 4);
        g_assert_cmpstr(kind_set_at(set, 0)->name, ==, "a-a");
        g_assert_cmpstr(kind_set_at(set, 1)->name, ==, "b");
        g_assert_cmpstr(kind_set_at(set, 2)->name, ==, "bb");
        g_assert_cmpstr(kind_set_at(set, 3)->name, ==, "c");
        g_assert_null(kind_set_at(set, 4));
        for (size_t i = 0; i < 4; i++)
                g_assert_true(kind_set_get(set, kind_set_at(set, i)->name) == kind_set_at(set, i));
        g_assert_null(kind_set_get(set, "aa"));
        g_assert_null(kind_set_get(set, ""));
}

static void test_at_most_256_kinds(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;
        g_autofree char *expected = g_strconcat(f->low, "/k256.kind: more than 256 kinds, this one and those behind it are ignored", NULL);

        for (unsigned i = 0; i < KIND_SET_MAX + 5; i++) {
                g_autofree char *name = g_strdup_printf("k%03u.kind", i);

                write_file(f->low, name, "[Kind]\n");
        }
        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, KIND_SET_MAX);
        assert_strv(kind_set_get_problems(set), expected);
}

static void test_later_directory_replaces(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "x.kind", "[Kind]\nDescription=low\nExec=true\n");
        write_file(f->middle, "x.kind", "[Kind]\nDescription=middle\n");
        set = load(f);
        g_assert_cmpstr(kind_set_get(set, "x")->description, ==, "middle");
        g_assert_null(kind_set_get(set, "x")->exec);
        g_clear_pointer(&set, kind_set_free);

        write_file(f->high, "x.kind", "broken");
        set = load(f);
        g_assert_true(g_str_has_suffix(kind_set_get(set, "x")->problem, "/high/x.kind:1: Key file contains line “broken” which is not a "
                                                                        "key-value pair, group, or comment"));
}

static void test_masks(Fixture *f, const void *data) {
        g_autofree char *link = g_build_filename(f->high, "linked.kind", NULL);
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "emptied.kind", "[Kind]\n");
        write_file(f->low, "linked.kind", "[Kind]\n");
        write_file(f->low, "kept.kind", "[Kind]\n");
        write_file(f->low, "back.kind", "[Kind]\n");
        write_file(f->middle, "back.kind", "");
        write_file(f->high, "back.kind", "[Kind]\n");
        write_file(f->high, "emptied.kind", "");
        write_file(f->high, "emptied.kind.d/x.conf", "broken");
        g_assert_cmpint(symlink("/dev/null", link), ==, 0);
        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 2);
        g_assert_nonnull(kind_set_get(set, "kept"));
        g_assert_nonnull(kind_set_get(set, "back"));
        g_assert_null(kind_set_get_problems(set)[0]);
}

static void test_dropins(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;
        g_autoptr(KindPlan) plan = NULL;
        const Kind *kind;

        write_file(f->middle, "x.kind",
                   "[Kind]\nDescription=main\nExec=prog ${A}\nEnvironment=E=%Y\n[Option A]\nDefault=one\n"
                   "[Limits]\nTasksMax=5\nCPUWeight=7\n");
        /* a directory of less priority may hold drop-ins too; they apply in the order of their names */
        write_file(f->low, "x.kind.d/20-b.conf", "[Kind]\nDescription=20 low\n[Limits]\nTasksMax=20\n");
        write_file(f->high, "x.kind.d/10-a.conf", "[Kind]\nDescription=10 high\n[Option A]\nDefault=two\n");
        write_file(f->low, "x.kind.d/30-c.conf", "broken");
        write_file(f->high, "x.kind.d/30-c.conf", "[Limits]\nCPUWeight=\n[Option B]\n[Step s]\nExec=s ${B?b}\n");
        write_file(f->low, "x.kind.d/40-d.conf", "broken");
        write_file(f->high, "x.kind.d/40-d.conf", "");
        write_file(f->high, "x.kind.d/README", "broken");
        write_file(f->high, "other.kind.d/a.conf", "broken");

        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 1);
        kind = kind_set_get(set, "x");
        g_assert_cmpstr(kind->problem, ==, NULL);
        g_assert_cmpstr(kind->description, ==, "20 low");
        g_assert_cmpuint(kind->limits.tasks_max, ==, 20);
        g_assert_cmpuint(kind->limits.cpu_weight, ==, KIND_UNSET);
        g_assert_cmpuint(kind->n_options, ==, 2);
        plan = expand_good(kind, NULL);
        assert_strv(plan->argv, "prog", "two");
        assert_strv(plan->steps[0].argv, "s");
        /* of the main file, wherever the drop-ins are */
        g_assert_true(g_str_has_suffix(plan->environment[0], "/middle"));
}

static void test_mistake_in_a_dropin(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;
        g_autofree char *expected = g_strconcat(f->high,
                                                "/x.kind.d/a.conf:3: Exec: unknown specifier \"%q\" "
                                                "(a percent sign is written %%)",
                                                NULL);

        write_file(f->low, "x.kind", "[Kind]\nExec=true\n");
        write_file(f->high, "x.kind.d/a.conf", "\n[Kind]\nExec=%q\n");
        set = load(f);
        g_assert_cmpstr(kind_set_get(set, "x")->problem, ==, expected);
}

static void test_too_many_dropins(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "x.kind", "[Kind]\n");
        for (unsigned i = 0; i <= KIND_DROPINS_MAX; i++) {
                g_autofree char *name = g_strdup_printf("x.kind.d/%03u.conf", i);

                write_file(f->low, name, "[Kind]\n");
        }
        set = load(f);
        g_assert_cmpstr(kind_set_get(set, "x")->problem, ==, "x.kind.d: more than 64 drop-ins");
}

static void test_directories_that_are_not(Fixture *f, const void *data) {
        g_autofree char *file = g_build_filename(f->root, "file", NULL), *missing = g_build_filename(f->root, "no", NULL);
        g_autofree char *expected = g_strconcat(file, ": Not a directory", NULL);
        const char *directories[] = {missing, file, f->low, NULL};
        const char *none[] = {NULL};
        g_autoptr(KindSet) set = NULL, empty = NULL;

        write_file(f->root, "file", "");
        write_file(f->low, "x.kind", "[Kind]\n");
        g_assert_cmpint(kind_set_load(directories, NULL, &set), ==, 0);
        g_assert_cmpuint(kind_set_size(set), ==, 1);
        assert_strv(kind_set_get_problems(set), expected);

        g_assert_cmpint(kind_set_load(none, NULL, &empty), ==, 0);
        g_assert_cmpuint(kind_set_size(empty), ==, 0);
        g_assert_null(kind_set_get(empty, "x"));
}

static void test_out_of_descriptors(Fixture *f, const void *data) {
        const char *directories[] = {f->low, NULL};
        struct rlimit old, none;
        KindSet *set = NULL;
        int r;

        write_file(f->low, "x.kind", "[Kind]\n");
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        r = kind_set_load(directories, reserved, &set);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
        g_assert_cmpint(r, ==, -EMFILE);
        g_assert_null(set);
}

static void test_a_kind_outlives_its_set(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=true ${A}\n[Option A]\nDefault=x\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);

        assert_strv(plan->argv, "true", "x");
}

static void test_a_file_by_itself(Fixture *f, const void *data) {
        static const struct {
                const char *name, *text, *problem;
        } table[] = {
                {"good.kind", "[Kind]\nExec=true\n", NULL},
                {"wrong.kind", "[Kind]\nExec=true\nNope=1\n", "/wrong.kind:3: unknown key \"Nope\" in section \"Kind\""},
                {"reserved.kind", "[Kind]\n[Option MemoryMax]\n", "/reserved.kind:2: every kind has an option of this name already"},
                {"Bad.kind", "[Kind]\n", "/Bad.kind: a kind's file is NAME.kind; its name is a-z, then a-z, 0-9 and -, at most 32"},
                {"good", "[Kind]\n", "/good: a kind's file is NAME.kind; its name is a-z, then a-z, 0-9 and -, at most 32"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *path = g_build_filename(f->low, table[i].name, NULL), *problem = NULL;
                g_autoptr(Kind) kind = NULL;

                write_file(f->low, table[i].name, table[i].text);
                if (table[i].problem)
                        problem = g_strconcat(f->low, table[i].problem, NULL);
                g_assert_cmpint(kind_load_file(path, reserved, &kind), ==, 0);
                g_assert_cmpstr(kind->problem, ==, problem);
        }
}

/* What follows from a mistake alone is not one more. */
static void test_all_that_is_wrong_with_a_file(Fixture *f, const void *data) {
        g_autofree char *path = g_build_filename(f->low, "x.kind", NULL);
        g_autoptr(Kind) kind = NULL, option = NULL;

        write_file(f->low, "x.kind",
                   "[Kind]\nExec=true %z\nNope=1\nDirectory=a\n[Nowhere]\n[Step a]\nTimeoutSec=soon\n[Handshake]\nType=line\n[Stop]\nMessage=stop\n");
        g_assert_cmpint(kind_load_file(path, reserved, &kind), ==, 0);
        g_assert_true(g_str_has_suffix(kind->problem, "/x.kind:5: unknown section \"Nowhere\""));
        g_assert_cmpuint(g_strv_length(kind->more_problems), ==, 5);
        g_assert_true(g_str_has_suffix(kind->more_problems[0], "/x.kind:3: unknown key \"Nope\" in section \"Kind\""));
        g_assert_nonnull(strstr(kind->more_problems[1], "/x.kind:2: Exec: "));
        g_assert_nonnull(strstr(kind->more_problems[2], "/x.kind:4: Directory: "));
        g_assert_nonnull(strstr(kind->more_problems[3], "/x.kind:7: TimeoutSec: "));
        g_assert_true(g_str_has_suffix(kind->more_problems[4], "/x.kind:8: Type=line needs Line"));

        write_file(f->low, "x.kind", "[Kind]\nExec=true ${Mode}\n[Option Mode]\nType=odd\nDefault=a\n");
        g_assert_cmpint(kind_load_file(path, reserved, &option), ==, 0);
        g_assert_nonnull(strstr(option->problem, "/x.kind:4: Type: "));
        g_assert_null(option->more_problems);
}

static void test_a_file_that_masks_or_is_missing(Fixture *f, const void *data) {
        g_autofree char *path = g_build_filename(f->low, "x.kind", NULL), *missing = g_build_filename(f->low, "y.kind", NULL);
        g_autoptr(Kind) kind = NULL, none = NULL;

        write_file(f->low, "x.kind", "");
        g_assert_cmpint(kind_load_file(path, reserved, &none), ==, 0);
        g_assert_null(none);
        g_assert_cmpint(kind_load_file(missing, reserved, &kind), ==, 0);
        g_assert_true(g_str_has_suffix(kind->problem, "/y.kind: can't be read: No such file or directory"));
}

/* The kinds of this project, as they are in the source tree. */
static void test_shipped_kinds(void) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "data", "kinds", NULL);
        const char *directories[] = {path, NULL};
        g_autoptr(KindSet) set = NULL;

        if (!g_getenv("G_TEST_SRCDIR")) {
                g_test_skip("G_TEST_SRCDIR doesn't say where the sources are");
                return;
        }
        g_assert_cmpint(kind_set_load(directories, NULL, &set), ==, 0);
        g_assert_null(kind_set_get_problems(set)[0]);
        g_assert_nonnull(kind_set_get(set, "command"));
        g_assert_nonnull(kind_set_get(set, "elixir-standalone"));
        g_assert_nonnull(kind_set_get(set, "mix-standalone"));
        for (size_t i = 0; i < kind_set_size(set); i++)
                g_assert_cmpstr(kind_set_at(set, i)->problem, ==, NULL);
}

int main(int argc, char **argv) {
        static const Case cases[] = {
                {"set/names-are-checked", test_names},
                {"set/kinds-are-ordered-and-found", test_order_and_lookup},
                {"set/at-most-256-kinds", test_at_most_256_kinds},
                {"set/a-later-directory-replaces", test_later_directory_replaces},
                {"set/empty-file-and-null-link-mask", test_masks},
                {"set/dropins-merge-in-order", test_dropins},
                {"set/a-mistake-in-a-dropin-names-the-dropin", test_mistake_in_a_dropin},
                {"set/dropins-are-limited", test_too_many_dropins},
                {"set/missing-and-wrong-directories", test_directories_that_are_not},
                {"set/out-of-descriptors-fails-as-a-whole", test_out_of_descriptors},
                {"set/a-kind-outlives-its-set", test_a_kind_outlives_its_set},
                {"file/mistakes-as-in-a-set", test_a_file_by_itself},
                {"file/all-that-is-wrong", test_all_that_is_wrong_with_a_file},
                {"file/masked-or-missing", test_a_file_that_masks_or_is_missing},
        };

        setlocale(LC_ALL, "");
        g_test_init(&argc, &argv, NULL);
        add_cases(cases, ELEMENTSOF(cases));
        g_test_add_func("/kind/shipped-kinds-are-good", test_shipped_kinds);
        return g_test_run();
}
