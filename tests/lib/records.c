/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "records.h"

#include <glib.h>
#include <glib/gstdio.h>

#include "util/names.h"

static const char *const kept[] = {"record.json", "clients.json", "ring", NULL};

static char *find_in_folder(const char *path) {
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory)))
                if (!g_strv_contains(kept, name))
                        return g_build_filename(path, name, NULL);
        return NULL;
}

/* A record that says so: no other one may be left. */
static gboolean has_ended(const char *path) {
        g_autofree char *file = g_build_filename(path, "record.json", NULL), *text = NULL;

        return g_file_get_contents(file, &text, NULL, NULL) && g_strstr_len(text, -1, "\"state\":\"ended\"");
}

char *records_find_leftover(const char *runtime_directory) {
        g_autofree char *path = g_build_filename(runtime_directory, RM_RUNTIME_DIRECTORY, NULL);
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *folder = g_build_filename(path, name, NULL);
                char *leftover;

                if (g_str_equal(name, "subscribers.json"))
                        continue;
                if (!has_ended(folder))
                        return g_steal_pointer(&folder);
                leftover = find_in_folder(folder);
                if (leftover)
                        return leftover;
        }
        return NULL;
}

void records_remove_tree(const char *path) {
        g_autoptr(GDir) directory = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                records_remove_tree(child);
        }
        (void) g_remove(path);
}
