/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Only this room touches the runtime directory. It works on directory fds, follows no links, and removes only what is known to be made
 * there: the sockets of a keeper. */

#include "core/record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/macro.h"
#include "util/names.h"

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

void record_store_remove(RecordStore *store, const char *id) {
        static const char *const files[] = {RM_KEEPER_SOCKET, RM_CONTROL_SOCKET, RM_NOTIFY_SOCKET};
        _cleanup_close_ int fd = -EBADF;

        fd = openat(store->fd, id, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                (void) unlinkat(fd, files[i], 0);
        (void) unlinkat(store->fd, id, AT_REMOVEDIR);
}
