/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The runtimes' own folders, below one that is root's alone. */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "spawner/children.h"

typedef struct Folders Folders;

/* path: must be root's, and writable by nobody else; else -EPERM. What an earlier one couldn't remove is removed now. records: the daemon's folder,
 * with one for each runtime that it knows; NULL: nobody knows. */
int folders_open(sd_event *event, Children *children, const char *path, const char *records, Folders **ret);
Folders *folders_free(Folders *folders);

/* Makes the folder, empty, mode 0700, the user's. One that is there is put away first. */
int folders_make(Folders *folders, const char *name, uid_t uid, gid_t gid);

/* The folder is gone from its name at once, and removed in the background. */
void folders_remove(Folders *folders, const char *name, uid_t uid);

/* Those of runtimes that the daemon doesn't know (any more). It makes its own folder of a runtime before it asks for ours, and removes it before ours. */
void folders_remove_unknown(Folders *folders);
