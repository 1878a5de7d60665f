/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Looks up programs where the daemon can't: it runs as another user than the runtime, and sees neither that user's directories nor what that user may execute.
 * The rules are those of kind-executable.c, and a test holds the two together. */

#include "keeper/executable.h"

#include <string.h>
#include <sys/stat.h>

#include "util/macro.h"

#define USUAL_PATH "/usr/local/bin:/usr/bin:/bin"

static int check(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == EACCES ? -EACCES : -ENOENT;
        if (!S_ISREG(st.st_mode))
                return -ENOENT;
        return access(path, X_OK) < 0 ? -EACCES : 0;
}

int executable_find(const char *name, const char *path, char **ret) {
        int result = -ENOENT, r;

        if (name[0] == '/') {
                r = check(name);
                if (r < 0)
                        return r;
                *ret = strdup(name);
                return *ret ? 0 : -ENOMEM;
        }
        if (name[0] == '\0' || strchr(name, '/'))
                return -ENOENT;

        for (const char *directory = path ?: USUAL_PATH; directory; directory = strchr(directory, ':')) {
                _cleanup_free_ char *candidate = NULL;

                directory += *directory == ':';
                /* The working directory here isn't the runtime's. */
                if (*directory != '/')
                        continue;
                if (asprintf(&candidate, "%.*s/%s", (int) strcspn(directory, ":"), directory, name) < 0)
                        return -ENOMEM;
                r = check(candidate);
                if (r >= 0) {
                        *ret = TAKE_PTR(candidate);
                        return 0;
                }
                if (r == -EACCES)
                        result = r;
        }
        return result;
}
