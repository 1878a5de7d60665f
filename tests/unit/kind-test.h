/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the kind room share: directories with kinds in them, loading, and expanding. */

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <string.h>

#include "core/kind.h"
#include "util/macro.h"

/* Three directories, lowest priority first, in a folder of the test's own. */
typedef struct Fixture {
        char *root;
        char *low, *middle, *high;
} Fixture;

static const char *const reserved[] = {"Command", "Environment", "MemoryMax", NULL};

static inline void remove_tree(const char *path) {
        g_autoptr(GDir) directory = NULL;
        const char *name;

        if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK))
                directory = g_dir_open(path, 0, NULL);
        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        g_assert_cmpint(g_remove(path), ==, 0);
}

static inline void setup(Fixture *f, const void *data) {
        f->root = g_dir_make_tmp("test-kind-XXXXXX", NULL);
        g_assert_nonnull(f->root);
        f->low = g_build_filename(f->root, "low", NULL);
        f->middle = g_build_filename(f->root, "middle", NULL);
        f->high = g_build_filename(f->root, "high", NULL);
        g_assert_cmpint(g_mkdir(f->low, 0755), ==, 0);
        g_assert_cmpint(g_mkdir(f->middle, 0755), ==, 0);
        g_assert_cmpint(g_mkdir(f->high, 0755), ==, 0);
}

static inline void teardown(Fixture *f, const void *data) {
        remove_tree(f->root);
        g_free(f->root);
        g_free(f->low);
        g_free(f->middle);
        g_free(f->high);
}

static inline void write_bytes(const char *directory, const char *name, const char *bytes, size_t size) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *parent = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, bytes, (gssize) size, NULL));
}

static inline void write_file(const char *directory, const char *name, const char *text) {
        write_bytes(directory, name, text, strlen(text));
}

static inline KindSet *load(Fixture *f) {
        const char *directories[] = {f->low, f->middle, f->high, NULL};
        KindSet *set = NULL;

        g_assert_cmpint(kind_set_load(directories, reserved, &set), ==, 0);
        return set;
}

/* The one kind of the given text; it may have a problem. */
static inline Kind *load_text(Fixture *f, const char *text) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "x.kind", text);
        set = load(f);
        g_assert_nonnull(kind_set_get(set, "x"));
        return kind_ref(kind_set_get(set, "x"));
}

static inline Kind *load_good(Fixture *f, const char *text) {
        Kind *kind = load_text(f, text);

        g_assert_cmpstr(kind->problem, ==, NULL);
        return kind;
}

static inline void values_set(GHashTable *values, const char *name, KindValue *value) {
        g_hash_table_replace(values, g_strdup(name), value);
}

static inline KindContext context_with(GHashTable *values) {
        return (KindContext){
                .id = "abc",
                .runtime_dir = "/run/rm/abc",
                .home = "/home/me",
                .user = "me",
                .uid = 1000,
                .host = "box",
                .executable = "/usr/bin/prog",
                .values = values,
        };
}

static inline KindPlan *expand_good(const Kind *kind, GHashTable *values) {
        KindContext context = context_with(values);
        g_autofree char *problem = NULL;
        KindPlan *plan = NULL;
        int r;

        r = kind_expand(kind, &context, &plan, &problem);
        g_assert_cmpstr(problem, ==, NULL);
        g_assert_cmpint(r, ==, 0);
        return plan;
}

static inline void assert_refused(const Kind *kind, GHashTable *values, int error, const char *part) {
        KindContext context = context_with(values);
        g_autofree char *problem = NULL;
        KindPlan *plan = NULL;

        g_assert_cmpint(kind_expand(kind, &context, &plan, &problem), ==, error);
        g_assert_null(plan);
        g_assert_nonnull(problem);
        if (!strstr(problem, part))
                g_error("\"%s\" doesn't say \"%s\"", problem, part);
}

typedef struct Case {
        const char *name;
        void (*run)(Fixture *f, const void *data);
} Case;

static inline void add_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                g_autofree char *path = g_strconcat("/kind/", cases[i].name, NULL);

                g_test_add(path, Fixture, NULL, setup, cases[i].run, teardown);
        }
}

#define assert_strv(strv, ...)                                                                                                                                 \
        G_STMT_START {                                                                                                                                         \
                const char *_expected[] = {__VA_ARGS__ __VA_OPT__(, ) NULL};                                                                                   \
                g_autofree char *_a = g_strjoinv("|", (char **) (strv));                                                                                       \
                g_autofree char *_b = g_strjoinv("|", (char **) _expected);                                                                                    \
                g_assert_cmpstr(_a, ==, _b);                                                                                                                   \
                g_assert_cmpuint(g_strv_length((char **) (strv)), ==, ELEMENTSOF(_expected) - 1);                                                              \
        }                                                                                                                                                      \
        G_STMT_END
