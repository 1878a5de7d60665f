/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Only this room touches the runtime directory. It works on directory fds and follows no links. */

#include "core/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

#define DEPTH_MAX 16U
/* A record holds a client's command and environment, which are limited, and some words. */
#define FILE_MAX (16U * 1024U * 1024U)

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
        /* Two daemons would take each other's keepers away. */
        if (flock(store->fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
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
        if (ret_path)
                *ret_path = g_build_filename(store->path, id, NULL);
        return 0;
}

static bool is_kept(const char *name, const char *const *keep) {
        for (; keep && *keep; keep++)
                if (strcmp(name, *keep) == 0)
                        return true;
        return false;
}

/* A runtime knows its folder, and may have put anything into it. Links are removed, not followed. */
static void remove_contents(int fd, const char *const *keep, unsigned depth) {
        struct dirent *entry;
        DIR *dir;

        dir = fdopendir(fd);
        if (!dir) {
                fd_close(fd);
                return;
        }
        while ((entry = readdir(dir))) {
                int child;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_kept(entry->d_name, keep))
                        continue;
                if (unlinkat(dirfd(dir), entry->d_name, 0) >= 0 || depth == 0)
                        continue;
                child = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (child < 0)
                        continue;
                remove_contents(child, NULL, depth - 1);
                (void) unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        }
        closedir(dir);
}

static void clear_folder(RecordStore *store, const char *id, const char *const *keep) {
        int fd;

        fd = openat(store->fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
                remove_contents(fd, keep, DEPTH_MAX);
}

void record_store_remove(RecordStore *store, const char *id) {
        g_autofree char *record = g_build_filename(id, RECORD_FILE, NULL);

        /* First: what is left after a crash is no runtime any more, instead of one that has lost its output. */
        (void) unlinkat(store->fd, record, 0);
        clear_folder(store, id, NULL);
        (void) unlinkat(store->fd, id, AT_REMOVEDIR);
}

void record_store_tidy(RecordStore *store, const char *id) {
        static const char *const keep[] = {RECORD_FILE, RECORD_CLIENTS, RECORD_RING, NULL};

        clear_folder(store, id, keep);
}

int record_store_renew(RecordStore *store, const char *id, char **ret_path) {
        record_store_tidy(store, id);
        if (mkdirat(store->fd, id, 0700) < 0 && errno != EEXIST)
                return -errno;
        if (ret_path)
                *ret_path = g_build_filename(store->path, id, NULL);
        return 0;
}

int record_store_list(RecordStore *store, char ***ret) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        struct dirent *entry;
        DIR *dir;
        int fd;

        fd = openat(store->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                fd_close(fd);
                return -ENOMEM;
        }
        while ((entry = readdir(dir)))
                if (entry->d_type == DT_DIR && !strchr(entry->d_name, '.'))
                        g_ptr_array_add(names, g_strdup(entry->d_name));
        closedir(dir);
        g_ptr_array_add(names, NULL);
        *ret = (char **) g_ptr_array_free(g_steal_pointer(&names), FALSE);
        return 0;
}

static int open_folder(RecordStore *store, const char *id) {
        int fd;

        fd = openat(store->fd, id ?: ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* A new file beside the one that it is to replace. */
static int open_new(int folder_fd, const char *name, char **ret_new_name) {
        g_autofree char *new_name = g_strconcat(".", name, ".new", NULL);
        int fd;

        fd = openat(folder_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        *ret_new_name = g_steal_pointer(&new_name);
        return fd;
}

static int replace(int folder_fd, const char *new_name, const char *name, int r) {
        if (r >= 0 && renameat(folder_fd, new_name, folder_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(folder_fd, new_name, 0);
        return r;
}

static int write_all(int fd, const char *bytes, size_t size, off_t offset) {
        while (size > 0) {
                ssize_t n;

                n = pwrite(fd, bytes, size, offset);
                if (n < 0)
                        return -errno;
                bytes += n;
                offset += n;
                size -= n;
        }
        return 0;
}

int record_store_save(RecordStore *store, const char *id, const char *name, const json_t *record) {
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;
        g_autofree char *new_name = NULL;
        _cleanup_free_ char *text = NULL;

        text = json_dumps(record, JSON_COMPACT);
        if (!text)
                return -EINVAL;
        folder_fd = open_folder(store, id);
        if (folder_fd < 0)
                return folder_fd;
        fd = open_new(folder_fd, name, &new_name);
        if (fd < 0)
                return fd;
        return replace(folder_fd, new_name, name, write_all(fd, text, strlen(text), 0));
}

static int open_file(RecordStore *store, const char *id, const char *name, off_t *ret_size) {
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;
        struct stat st;

        folder_fd = open_folder(store, id);
        if (folder_fd < 0)
                return folder_fd;
        fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
                return -EBADMSG;
        *ret_size = st.st_size;
        return TAKE_FD(fd);
}

int record_store_load(RecordStore *store, const char *id, const char *name, json_t **ret) {
        g_autofree char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        json_t *record;
        off_t size;
        ssize_t n;

        fd = open_file(store, id, name, &size);
        if (fd < 0)
                return fd;
        if (size > FILE_MAX)
                return -EBADMSG;
        text = g_malloc(size + 1);
        n = pread(fd, text, size, 0);
        if (n < 0)
                return -errno;
        record = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(record)) {
                json_decref(record);
                return -EBADMSG;
        }
        *ret = record;
        return 0;
}

void record_store_set_aside(RecordStore *store, const char *id, const char *name) {
        g_autofree char *aside = g_strconcat(name, ".bad", NULL);
        _cleanup_close_ int folder_fd = open_folder(store, id);

        if (folder_fd >= 0)
                (void) renameat(folder_fd, name, folder_fd, aside);
}

/* Only what has ever been written is there to be copied. */
static int copy_data(int from_fd, int to_fd, off_t size) {
        g_autofree char *buffer = g_malloc(LIMIT_SIGNAL_BATCH);
        off_t offset = 0;

        while ((offset = lseek(from_fd, offset, SEEK_DATA)) >= 0 && offset < size) {
                off_t end = MIN_OF(lseek(from_fd, offset, SEEK_HOLE), size);

                while (offset < end) {
                        ssize_t n;
                        int r;

                        n = pread(from_fd, buffer, MIN_OF((size_t) (end - offset), (size_t) LIMIT_SIGNAL_BATCH), offset);
                        if (n <= 0)
                                return n < 0 ? -errno : -EBADMSG;
                        r = write_all(to_fd, buffer, n, offset);
                        if (r < 0)
                                return r;
                        offset += n;
                }
        }
        return 0;
}

int record_store_save_ring(RecordStore *store, const char *id, int ring_fd) {
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;
        g_autofree char *new_name = NULL;
        struct stat st;
        int r;

        if (fstat(ring_fd, &st) < 0)
                return -errno;
        folder_fd = open_folder(store, id);
        if (folder_fd < 0)
                return folder_fd;
        fd = open_new(folder_fd, RECORD_RING, &new_name);
        if (fd < 0)
                return fd;
        r = ftruncate(fd, st.st_size) < 0 ? -errno : copy_data(ring_fd, fd, st.st_size);
        return replace(folder_fd, new_name, RECORD_RING, r);
}

int record_store_load_ring(RecordStore *store, const char *id, int *ret_ring_fd) {
        _cleanup_close_ int fd = -EBADF, ring_fd = -EBADF;
        off_t size;
        int r;

        fd = open_file(store, id, RECORD_RING, &size);
        if (fd < 0)
                return fd;
        if ((uint64_t) size > 2 * LIMIT_RING_MAX)
                return -EBADMSG;
        ring_fd = memfd_create("runtime-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (ring_fd < 0 || ftruncate(ring_fd, size) < 0)
                return -errno;
        r = copy_data(fd, ring_fd, size);
        if (r < 0)
                return r;
        if (fcntl(ring_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        *ret_ring_fd = TAKE_FD(ring_fd);
        return 0;
}

/* An address has room for 107 characters, and the directory's name may be longer. */
static struct sockaddr_un keeper_address(int folder_fd) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" RM_KEEPER_SOCKET, folder_fd);
        return address;
}

int record_store_bind(RecordStore *store, const char *id, int *ret_fd) {
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;
        struct sockaddr_un address;
        mode_t mask;
        int r;

        folder_fd = open_folder(store, id);
        if (folder_fd < 0)
                return folder_fd;
        if (unlinkat(folder_fd, RM_KEEPER_SOCKET, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        address = keeper_address(folder_fd);
        mask = umask(0177);
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int record_store_connect(RecordStore *store, const char *id, uid_t uid, pid_t *ret_pid, int *ret_fd) {
        struct sockaddr_un address;
        _cleanup_close_ int folder_fd = -EBADF, fd = -EBADF;
        struct ucred peer;
        socklen_t size = sizeof(peer);

        folder_fd = open_folder(store, id);
        if (folder_fd < 0)
                return folder_fd;
        address = keeper_address(folder_fd);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        if (peer.uid != uid)
                return -EPERM;
        *ret_pid = peer.pid;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
