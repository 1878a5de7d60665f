/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A copy of a line of the user database, and the environment that follows from it. Nothing here asks the database: that may take a network. */

#include "core/user.h"

#include <string.h>
#include <unistd.h>

User *user_new(uid_t uid, gid_t gid, const char *name, const char *home, const char *shell, const char *runtime_directory) {
        User *user = g_new(User, 1);

        *user = (User){uid, gid, g_strdup(name), g_strdup(home), g_strdup(shell), g_strdup(runtime_directory)};
        return user;
}

User *user_copy(const User *user) {
        return user ? user_new(user->uid, user->gid, user->name, user->home, user->shell, user->runtime_directory) : NULL;
}

User *user_free(User *user) {
        if (!user)
                return NULL;
        g_free(user->name);
        g_free(user->home);
        g_free(user->shell);
        g_free(user->runtime_directory);
        g_free(user);
        return NULL;
}

char **user_environment(const User *user) {
        g_auto(GStrv) own = g_get_environ();
        char **environment = NULL;

        for (char **entry = own; *entry; entry++) {
                g_autofree char *name = g_strndup(*entry, strcspn(*entry, "="));

                if (strcmp(name, "LANG") == 0 || g_str_has_prefix(name, "LC_"))
                        environment = g_environ_setenv(environment, name, *entry + strlen(name) + 1, TRUE);
        }
        environment = g_environ_setenv(environment, "HOME", user->home, TRUE);
        environment = g_environ_setenv(environment, "USER", user->name, TRUE);
        environment = g_environ_setenv(environment, "LOGNAME", user->name, TRUE);
        environment = g_environ_setenv(environment, "SHELL", user->shell[0] ? user->shell : "/bin/sh", TRUE);
        environment = g_environ_setenv(environment, "PATH", USER_PATH, TRUE);
        if (user->runtime_directory[0])
                environment = g_environ_setenv(environment, "XDG_RUNTIME_DIR", user->runtime_directory, TRUE);
        return environment;
}

uid_t user_get_uid(const User *user) {
        return user ? user->uid : getuid();
}

const char *user_get_name(const User *user) {
        return user ? user->name : g_get_user_name();
}

const char *user_get_home(const User *user) {
        return user ? user->home : g_get_home_dir();
}
