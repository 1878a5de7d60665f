/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the system's user database says, with all of a user's groups. */

#include <stddef.h>
#include <sys/types.h>

typedef struct Account {
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
        char *name, *home, *shell;
} Account;

/* -ENOENT: no such user. It may have to be waited for, if the database is elsewhere. */
int account_of_uid(uid_t uid, Account *ret);
int account_of_name(const char *name, Account *ret);
/* The groups too, which takes longer. */
int account_load_groups(Account *account);
void account_done(Account *account);
