/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The runtime directory: a folder for each runtime below $XDG_RUNTIME_DIR/runtime-manager, mode 0700, for the sockets of its keeper. */

#include <glib.h>

typedef struct RecordStore RecordStore;

/* Opens (making it if need be) the directory; -ELOOP, -ENOTDIR, -EPERM if what is there isn't a directory of ours alone. */
int record_store_open(const char *path, RecordStore **ret);
RecordStore *record_store_free(RecordStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RecordStore, record_store_free)

/* Makes the folder of a runtime, empty; what an earlier runtime of that id left is removed. Returns its path. */
int record_store_add(RecordStore *store, const char *id, char **ret_path);
void record_store_remove(RecordStore *store, const char *id);
