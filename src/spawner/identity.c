/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one place where root's rights are given up. Each step is checked by its result and not by its return value alone: a keeper that has kept some right of
 * root would hand it to a user's program. */

#include "spawner/identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/macro.h"

/* Nothing inheritable, and for an ordinary user nothing at all. */
static int drop_capabilities(bool is_root) {
        struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

        if (prctl(PR_SET_KEEPCAPS, 0) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        if (syscall(SYS_capget, &head, data) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(data); i++) {
                if (!is_root && (data[i].permitted != 0 || data[i].effective != 0))
                        return -EPERM;
                data[i].inheritable = 0;
        }
        if (syscall(SYS_capset, &head, data) < 0)
                return -errno;
        return 0;
}

static int verify_ids(const Account *account) {
        uid_t real_uid, effective_uid, saved_uid;
        gid_t real_gid, effective_gid, saved_gid;

        if (getresuid(&real_uid, &effective_uid, &saved_uid) < 0 || getresgid(&real_gid, &effective_gid, &saved_gid) < 0)
                return -errno;
        if (real_uid != account->uid || effective_uid != account->uid || saved_uid != account->uid)
                return -EPERM;
        if (real_gid != account->gid || effective_gid != account->gid || saved_gid != account->gid)
                return -EPERM;
        if (account->uid != 0 && (setuid(0) >= 0 || seteuid(0) >= 0 || (account->gid != 0 && setgid(0) >= 0) || setgroups(0, NULL) >= 0))
                return -EPERM;
        return 0;
}

int identity_assume(const Account *account) {
        int r;

        if (setgroups(account->n_groups, account->groups) < 0)
                return -errno;
        if (setresgid(account->gid, account->gid, account->gid) < 0)
                return -errno;
        if (setresuid(account->uid, account->uid, account->uid) < 0)
                return -errno;
        /* Until another program is executed: the user's other processes may not look into this one, or hold it. */
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return -errno;
        r = drop_capabilities(account->uid == 0);
        if (r >= 0)
                r = verify_ids(account);
        if (r < 0)
                return r;
        /* Ours has nothing in it, yet it is ours. There may be no such thing, in a container; and a user may have too many. */
        (void) syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
        return 0;
}
