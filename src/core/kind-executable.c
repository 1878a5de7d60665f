/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Finds programs: those of kinds and those of a client's own Command alike, so that both have the same rules. And says what is missing, whether we have looked
 * or (for another user) a keeper has. */

#include "core/kind.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/macro.h"
#include "util/text.h"

static int check_executable(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == EACCES ? -EACCES : -ENOENT;
        if (!S_ISREG(st.st_mode))
                return -ENOENT;
        return access(path, X_OK) < 0 ? -EACCES : 0;
}

int kind_find_executable(const char *name, const char *path, char **ret) {
        g_auto(GStrv) directories = NULL;
        int result = -ENOENT;

        if (g_path_is_absolute(name)) {
                result = check_executable(name);
                if (result >= 0)
                        *ret = g_strdup(name);
                return result;
        }
        if (name[0] == '\0' || strchr(name, '/'))
                return -ENOENT;

        directories = g_strsplit(path ?: "/usr/local/bin:/usr/bin:/bin", ":", -1);
        for (char **directory = directories; *directory; directory++) {
                g_autofree char *candidate = NULL;
                int r;

                if (!g_path_is_absolute(*directory))
                        continue;
                candidate = g_build_filename(*directory, name, NULL);
                r = check_executable(candidate);
                if (r >= 0) {
                        *ret = g_steal_pointer(&candidate);
                        return 0;
                }
                if (r == -EACCES)
                        result = r;
        }
        return result;
}

char *kind_describe_missing_executable(const char *name, const char *missing, int error) {
        _cleanup_free_ char *quoted = NULL;

        if (missing)
                return g_strdup(missing);
        quoted = text_quote(name, strlen(name), PATH_MAX);
        if (abs(error) == EACCES)
                return g_strdup_printf("%s may not be executed.", quoted);
        return g_strdup_printf(g_path_is_absolute(name) ? "no executable file at %s" : "no executable %s found in PATH", quoted);
}

char *kind_describe_missing_file(const char *missing, const char *path, int error) {
        _cleanup_free_ char *line = text_one_line(path, PATH_MAX);

        if (abs(error) == EISDIR)
                return g_strdup_printf("%s (%s is not a file)", missing, line);
        return g_strdup_printf("%s (%s: %s)", missing, line, g_strerror(abs(error)));
}

char *kind_describe_missing_directory(const char *path, int error) {
        _cleanup_free_ char *line = text_one_line(path, PATH_MAX);

        if (abs(error) == ENOTDIR)
                return g_strdup_printf("WorkingDirectory: %s is not a directory.", line);
        return g_strdup_printf("WorkingDirectory: %s: %s.", line, g_strerror(abs(error)));
}
