/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* NSS is asked here and nowhere else: the daemon's sandbox has no place for its modules, and a keeper is to have its groups before it is one. */

#include "spawner/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "util/macro.h"

#define BUFFER_MAX (1U << 20)
#define GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */

static int account_fill(const struct passwd *entry, Account *ret) {
        Account account = {
                .uid = entry->pw_uid,
                .gid = entry->pw_gid,
                .name = strdup(entry->pw_name),
                .home = strdup(entry->pw_dir ?: "/"),
                .shell = strdup(entry->pw_shell ?: ""),
        };

        if (!account.name || !account.home || !account.shell) {
                account_done(&account);
                return -ENOMEM;
        }
        *ret = account;
        return 0;
}

/* name: NULL to go by uid. */
static int account_find(uid_t uid, const char *name, Account *ret) {
        for (size_t size = 4096; size <= BUFFER_MAX; size *= 4) {
                _cleanup_free_ char *buffer = malloc(size);
                struct passwd entry, *found = NULL;
                int r;

                if (!buffer)
                        return -ENOMEM;
                r = name ? getpwnam_r(name, &entry, buffer, size, &found) : getpwuid_r(uid, &entry, buffer, size, &found);
                if (found)
                        return account_fill(found, ret);
                if (r == ERANGE)
                        continue;
                /* What modules say of a user that isn't there varies. */
                if (r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM)
                        return -ENOENT;
                return -r;
        }
        return -E2BIG;
}

int account_of_uid(uid_t uid, Account *ret) {
        Account account;
        int r;

        r = account_find(uid, NULL, &account);
        if (r < 0)
                return r;
        if (account.uid != uid) {
                account_done(&account);
                return -ENOENT;
        }
        *ret = account;
        return 0;
}

int account_of_name(const char *name, Account *ret) {
        return account_find((uid_t) -1, name, ret);
}

int account_load_groups(Account *account) {
        for (int room = 64; room <= GROUPS_MAX; room *= 4) {
                gid_t *groups = calloc((size_t) room, sizeof(gid_t));
                int n = room;

                if (!groups)
                        return -ENOMEM;
                if (getgrouplist(account->name, account->gid, groups, &n) >= 0) {
                        free(account->groups);
                        account->groups = groups;
                        account->n_groups = (size_t) n;
                        return 0;
                }
                free(groups);
        }
        return -E2BIG;
}

void account_done(Account *account) {
        free(account->groups);
        free(account->name);
        free(account->home);
        free(account->shell);
        *account = (Account){};
}
