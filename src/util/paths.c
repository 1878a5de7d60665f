/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A build folder is told by its layout, relative to the running program: src/ with the programs, data/ with the rest. An installed program lies in
 * LIBEXECDIR or BINDIR and has no such neighbour; so no path of a build is compiled in. */

#include "util/paths.h"

#include <limits.h>
#include <string.h>

#include "util/macro.h"

/* The path, relative to the folder that this program is in, if there is such a file. */
static char *find_beside(const char *relative) {
        char program[PATH_MAX], *slash, *path;
        ssize_t size;

        size = readlink("/proc/self/exe", program, sizeof(program) - 1);
        if (size < 0)
                return NULL;
        program[size] = '\0';
        slash = strrchr(program, '/');
        if (!slash)
                return NULL;
        *slash = '\0';
        if (strcmp(program, LIBEXECDIR) == 0 || strcmp(program, BINDIR) == 0)
                return NULL;
        if (asprintf(&path, "%s/%s", program, relative) < 0)
                return NULL;
        if (access(path, F_OK) >= 0)
                return path;
        free(path);
        return NULL;
}

char *path_of_keeper(void) {
        return find_beside("runtime-keeper") ?: strdup(LIBEXECDIR "/runtime-keeper");
}

char *path_of_kinds(void) {
        return find_beside("../data/kinds") ?: strdup(DATADIR "/kinds");
}

char *path_of_locales(void) {
        return find_beside("../po") ?: strdup(LOCALEDIR);
}
