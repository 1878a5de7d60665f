/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Only this room touches the runtime directory. It works on directory fds and follows no links. */

#include "core/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/macro.h"

#define DEPTH_MAX 16U

struct RecordStore {
        char *path;
        int fd;
};

int record_store_open(const char *path, RecordStore **ret) {
        g_autoptr(RecordStore) store = NULL;
        struct stat st;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;

        store = g_new0(RecordStore, 1);
        store->path = g_strdup(path);
        store->fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (store->fd < 0)
                return -errno;
        if (fstat(store->fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 0022))
                return -EPERM;
        *ret = g_steal_pointer(&store);
        return 0;
}

RecordStore *record_store_free(RecordStore *store) {
        if (!store)
                return NULL;
        fd_close(store->fd);
        g_free(store->path);
        g_free(store);
        return NULL;
}

int record_store_add(RecordStore *store, const char *id, char **ret_path) {
        record_store_remove(store, id);
        if (mkdirat(store->fd, id, 0700) < 0)
                return -errno;
        *ret_path = g_build_filename(store->path, id, NULL);
        return 0;
}

/* A runtime knows its folder, and may have put anything into it. Links are removed, not followed. */
static void remove_contents(int fd, unsigned depth) {
        struct dirent *entry;
        DIR *dir;

        dir = fdopendir(fd);
        if (!dir) {
                fd_close(fd);
                return;
        }
        while ((entry = readdir(dir))) {
                int child;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (unlinkat(dirfd(dir), entry->d_name, 0) >= 0 || depth == 0)
                        continue;
                child = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (child < 0)
                        continue;
                remove_contents(child, depth - 1);
                (void) unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        }
        closedir(dir);
}

void record_store_remove(RecordStore *store, const char *id) {
        int fd;

        fd = openat(store->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return;
        remove_contents(fd, DEPTH_MAX);
        (void) unlinkat(store->fd, id, AT_REMOVEDIR);
}
