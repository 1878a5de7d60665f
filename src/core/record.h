/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The runtime directory: a folder for each runtime below $XDG_RUNTIME_DIR/runtime-manager, mode 0700, for the sockets of its keeper and for what the next
 * daemon must know. Files are replaced whole: whoever is killed leaves the old one or the new one. It is all in memory (tmpfs), so nothing is
 * written to a disk, and gone after a reboot.
 *
 * What is found there is read as a stranger's: sizes are limited, links aren't followed. A record is a JSON object; what it says is for others. */

#include <glib.h>
#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

/* In a runtime's folder. */
#define RECORD_FILE "record.json"     /* the runtime itself */
#define RECORD_CLIENTS "clients.json" /* its owner and its subscribers */
#define RECORD_RING "ring"            /* its output, when its keeper has gone */
/* Beside the folders: no id has a dot. */
#define RECORD_SUBSCRIBERS "subscribers.json"

typedef struct RecordStore RecordStore;

/* Opens (making it if need be) the directory, for one process at a time; -ELOOP, -ENOTDIR, -EPERM if what is there isn't a directory of ours alone,
 * -EWOULDBLOCK if another process has it. */
int record_store_open(const char *path, RecordStore **ret);
RecordStore *record_store_free(RecordStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RecordStore, record_store_free)

/* Makes the folder of a runtime, empty; what an earlier runtime of that id left is removed. Returns its path (ret_path may be NULL). */
int record_store_add(RecordStore *store, const char *id, char **ret_path);
/* The same for a runtime that begins anew: what is recorded of it stays until it is written again. */
int record_store_renew(RecordStore *store, const char *id, char **ret_path);
void record_store_remove(RecordStore *store, const char *id);

/* Leaves nothing in it but what this room has written. */
void record_store_tidy(RecordStore *store, const char *id);

/* The names of all folders, NULL at the end. */
int record_store_list(RecordStore *store, char ***ret);

/* id: whose folder; NULL: beside the folders. Replaces the file. -ENOENT if there is no such folder, -ENOSPC … */
int record_store_save(RecordStore *store, const char *id, const char *name, const json_t *record);
/* -ENOENT if there is no such file, -EBADMSG if it isn't a JSON object. */
int record_store_load(RecordStore *store, const char *id, const char *name, json_t **ret);
/* Renames a file that can't be understood, for a person to look at. */
void record_store_set_aside(RecordStore *store, const char *id, const char *name);

/* Keeps a copy of a ring's memory, holes and all; and makes a new ring of it, sealed like the first. */
int record_store_save_ring(RecordStore *store, const char *id, int ring_fd);
int record_store_load_ring(RecordStore *store, const char *id, int *ret_ring_fd);

/* A socket in the runtime's folder on which its keeper is to listen, where that may not make one itself. Nobody listens yet. */
int record_store_bind(RecordStore *store, const char *id, int *ret_fd);
/* Connects to the runtime's keeper, which runs as that user, and tells which process it is. -ENOENT or -ECONNREFUSED if none listens. */
int record_store_connect(RecordStore *store, const char *id, uid_t uid, pid_t *ret_pid, int *ret_fd);
