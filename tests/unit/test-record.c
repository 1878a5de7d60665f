/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The runtime directory: what is made there is ours alone, what is found there is trusted only if it is, and nothing outside of it is ever removed. */

#include "core/record.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/names.h"

typedef struct Fixture {
        char *directory, *path;
        RecordStore *store;
} Fixture;

static void remove_tree(const char *path) {
        g_autoptr(GDir) directory = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        (void) g_remove(path);
}

static Fixture *fixture_new(void) {
        Fixture *fixture = g_new0(Fixture, 1);

        fixture->directory = g_dir_make_tmp("rm-XXXXXX", NULL);
        fixture->path = g_build_filename(fixture->directory, "runtimes", NULL);
        return fixture;
}

static void fixture_free(Fixture *fixture) {
        record_store_free(fixture->store);
        remove_tree(fixture->directory);
        g_free(fixture->directory);
        g_free(fixture->path);
        g_free(fixture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static Fixture *opened_new(void) {
        Fixture *fixture = fixture_new();

        g_assert_cmpint(record_store_open(fixture->path, &fixture->store), ==, 0);
        return fixture;
}

static void assert_mode(const char *path, mode_t mode) {
        struct stat st;

        g_assert_cmpint(lstat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, mode);
}

static char *touch(const char *directory, const char *name) {
        char *path = g_build_filename(directory, name, NULL);

        g_assert_true(g_file_set_contents(path, "x", 1, NULL));
        return path;
}

static void test_made_for_us_alone(void) {
        g_autoptr(Fixture) fixture = opened_new();
        g_autofree char *folder = NULL;

        assert_mode(fixture->path, 0700);
        g_assert_cmpint(record_store_add(fixture->store, "a", &folder), ==, 0);
        g_assert_true(g_str_has_prefix(folder, fixture->path));
        assert_mode(folder, 0700);
}

static void test_opened_again(void) {
        g_autoptr(Fixture) fixture = opened_new();
        RecordStore *again = NULL;

        g_assert_cmpint(record_store_open(fixture->path, &again), ==, -EWOULDBLOCK);
        g_assert_null(again);
        fixture->store = record_store_free(fixture->store);
        g_assert_cmpint(record_store_open(fixture->path, &fixture->store), ==, 0);
}

static void assert_refused(Fixture *fixture, int error) {
        g_assert_cmpint(record_store_open(fixture->path, &fixture->store), ==, error);
        g_assert_null(fixture->store);
}

static void test_others_may_write_there(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        g_assert_cmpint(g_mkdir(fixture->path, 0700), ==, 0);
        g_assert_cmpint(chmod(fixture->path, 0722), ==, 0);
        assert_refused(fixture, -EPERM);
}

static void test_somebody_elses(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        if (geteuid() != 0) {
                g_test_skip("only root can give a folder away");
                return;
        }
        g_assert_cmpint(g_mkdir(fixture->path, 0700), ==, 0);
        g_assert_cmpint(chown(fixture->path, 12345, 12345), ==, 0);
        assert_refused(fixture, -EPERM);
}

static void test_a_link(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *target = g_build_filename(fixture->directory, "target", NULL);

        g_assert_cmpint(g_mkdir(target, 0700), ==, 0);
        g_assert_cmpint(symlink(target, fixture->path), ==, 0);
        /* With O_DIRECTORY the kernel says that a link isn't one. */
        assert_refused(fixture, -ENOTDIR);
}

static void test_a_file(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        g_free(touch(fixture->directory, "runtimes"));
        assert_refused(fixture, -ENOTDIR);
}

static void test_no_parent(void) {
        g_autoptr(Fixture) fixture = fixture_new();

        g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
        assert_refused(fixture, -ENOENT);
}

/* Sockets that a killed keeper left don't keep an id from being used again. */
static void test_what_an_earlier_one_left(void) {
        g_autoptr(Fixture) fixture = opened_new();
        g_autofree char *first = NULL, *second = NULL, *socket = NULL;

        g_assert_cmpint(record_store_add(fixture->store, "a", &first), ==, 0);
        socket = touch(first, RM_KEEPER_SOCKET);
        g_free(touch(first, RM_CONTROL_SOCKET));
        g_free(touch(first, RM_NOTIFY_SOCKET));
        g_assert_cmpint(record_store_add(fixture->store, "a", &second), ==, 0);
        g_assert_cmpstr(first, ==, second);
        g_assert_false(g_file_test(socket, G_FILE_TEST_EXISTS));
}

static void test_removed(void) {
        g_autoptr(Fixture) fixture = opened_new();
        g_autofree char *folder = NULL;

        g_assert_cmpint(record_store_add(fixture->store, "a", &folder), ==, 0);
        g_free(touch(folder, RM_KEEPER_SOCKET));
        record_store_remove(fixture->store, "a");
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        record_store_remove(fixture->store, "a");
        record_store_remove(fixture->store, "never-there");
}

/* A runtime knows its folder: whatever it has put there goes with it, but not what its links point to. */
static void test_what_a_runtime_left(void) {
        g_autoptr(Fixture) fixture = opened_new();
        g_autofree char *outside = touch(fixture->directory, "precious"), *folder = NULL, *deep = NULL, *link = NULL, *directory_link = NULL;

        g_assert_cmpint(record_store_add(fixture->store, "a", &folder), ==, 0);
        deep = g_build_filename(folder, "x", "y", "z", NULL);
        g_assert_cmpint(g_mkdir_with_parents(deep, 0700), ==, 0);
        g_free(touch(deep, "file"));
        link = g_build_filename(folder, "link", NULL);
        g_assert_cmpint(symlink(outside, link), ==, 0);
        directory_link = g_build_filename(folder, "x", "directory", NULL);
        g_assert_cmpint(symlink(fixture->directory, directory_link), ==, 0);
        record_store_remove(fixture->store, "a");
        g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
        g_assert_true(g_file_test(outside, G_FILE_TEST_EXISTS));
}

/* There is an end to what is done for one who digs. */
static void test_too_deep(void) {
        g_autoptr(Fixture) fixture = opened_new();
        g_autoptr(GString) deep = g_string_new(NULL);
        g_autofree char *folder = NULL, *again = NULL;

        g_assert_cmpint(record_store_add(fixture->store, "a", &folder), ==, 0);
        g_string_assign(deep, folder);
        for (unsigned i = 0; i < 100; i++)
                g_string_append(deep, "/d");
        g_assert_cmpint(g_mkdir_with_parents(deep->str, 0700), ==, 0);
        record_store_remove(fixture->store, "a");
        g_assert_true(g_file_test(deep->str, G_FILE_TEST_EXISTS));
        g_assert_cmpint(record_store_add(fixture->store, "a", &again), ==, -EEXIST);
        g_assert_null(again);
}

/* A link in the place of a folder: what it points to isn't touched. */
static void test_a_link_is_not_followed(void) {
        g_autoptr(Fixture) fixture = opened_new();
        g_autofree char *target = g_build_filename(fixture->directory, "target", NULL), *link = g_build_filename(fixture->path, "a", NULL), *file = NULL;

        g_assert_cmpint(g_mkdir(target, 0700), ==, 0);
        file = touch(target, RM_KEEPER_SOCKET);
        g_assert_cmpint(symlink(target, link), ==, 0);
        record_store_remove(fixture->store, "a");
        g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/record/made-for-us-alone", test_made_for_us_alone);
        g_test_add_func("/record/opened-again", test_opened_again);
        g_test_add_func("/record/refused/others-may-write-there", test_others_may_write_there);
        g_test_add_func("/record/refused/somebody-elses", test_somebody_elses);
        g_test_add_func("/record/refused/a-link", test_a_link);
        g_test_add_func("/record/refused/a-file", test_a_file);
        g_test_add_func("/record/refused/no-parent", test_no_parent);
        g_test_add_func("/record/what-an-earlier-one-left", test_what_an_earlier_one_left);
        g_test_add_func("/record/removed", test_removed);
        g_test_add_func("/record/what-a-runtime-left", test_what_a_runtime_left);
        g_test_add_func("/record/too-deep", test_too_deep);
        g_test_add_func("/record/a-link-is-not-followed", test_a_link_is_not_followed);
        return g_test_run();
}
