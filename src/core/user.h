/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For whom a runtime is: what the system's user database says of a user. The service of the session bus knows one alone, itself; that is NULL wherever a
 * user may be named. */

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct User {
        uid_t uid;
        gid_t gid;
        char *name;
        char *home;
        char *shell;
        char *runtime_directory; /* $XDG_RUNTIME_DIR, "" if there is none now */
} User;

User *user_new(uid_t uid, gid_t gid, const char *name, const char *home, const char *shell, const char *runtime_directory);
User *user_copy(const User *user);
User *user_free(User *user);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(User, user_free)

/* Tells who a user is: error 0, and the user, borrowed (NULL: the one that this process runs for); or ENOENT: there is no such user, EPERM: runtimes aren't
 * started for that one, another errno: it couldn't be asked. */
typedef void (*UserFunc)(void *userdata, int error, const User *user);

/* The same as systemd's for services (DEFAULT_PATH): a user's own additions are made by its shell. */
#define USER_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What login(1) would set, and the service's own language: HOME, USER, LOGNAME, SHELL, PATH, XDG_RUNTIME_DIR, LANG, LC_*. */
char **user_environment(const User *user);

/* Who this process runs for; user: NULL for itself. */
uid_t user_get_uid(const User *user);
const char *user_get_name(const User *user);
const char *user_get_home(const User *user);
