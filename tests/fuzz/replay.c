/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target over the files of the folders (or files) given, in the order of their names: the corpus as an ordinary test, for any
 * compiler, in a moment. With libFuzzer the same target is linked without this file. */

#include <stdint.h>
#include <string.h>

#include <glib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static gboolean replay_file(const char *path, GError **error) {
        g_autofree char *bytes = NULL;
        g_autofree uint8_t *exact = NULL;
        size_t size;

        if (!g_file_get_contents(path, &bytes, &size, error))
                return FALSE;
        /* The reader's buffer is longer than the file: a copy lets the sanitizers see what reads on. Also of nothing, as libFuzzer has it. */
        exact = g_malloc(MAX(size, 1));
        memcpy(exact, bytes, size);
        g_printerr("replay: %s, %zu bytes\n", path, size);
        (void) LLVMFuzzerTestOneInput(exact, size);
        return TRUE;
}

/* Number of files, or -1 with error. */
static int replay(const char *path, GError **error) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GDir) dir = NULL;
        const char *name;

        if (!g_file_test(path, G_FILE_TEST_IS_DIR))
                return replay_file(path, error) ? 1 : -1;

        dir = g_dir_open(path, 0, error);
        if (!dir)
                return -1;
        while ((name = g_dir_read_name(dir)))
                g_ptr_array_add(names, g_build_filename(path, name, NULL));
        g_ptr_array_sort(names, compare_names);
        for (guint i = 0; i < names->len; i++)
                if (!replay_file(g_ptr_array_index(names, i), error))
                        return -1;
        return (int) names->len;
}

int main(int argc, char **argv) {
        if (argc < 2) {
                g_printerr("usage: %s CORPUS…\n", argv[0]);
                return 2;
        }
        for (int i = 1; i < argc; i++) {
                g_autoptr(GError) error = NULL;
                int n_files = replay(argv[i], &error);

                if (n_files <= 0) {
                        g_printerr("%s: %s\n", argv[i], error ? error->message : "no files: not a corpus");
                        return 1;
                }
                g_print("%s: %d files\n", argv[i], n_files);
        }
        return 0;
}
