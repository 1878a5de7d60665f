/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is in a runtime's folder is the user's, so it may be anything: a million files, links to everywhere, mounts of a moment ago. It is never removed as
 * root: a folder is renamed within its parent, where nobody but root can put anything, emptied by a child that has become its user, and then removed by us,
 * empty or not at all. A child has ten seconds; what is left then is tried once more when the next spawner starts.
 *
 * The child allocates between fork and exit, which this process can afford: it has one thread. */

#include "spawner/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "spawner/identity.h"
#include "spawner/log.h"
#include "util/macro.h"

#define REMOVERS_MAX 8U
#define REMOVE_USEC (10 * USEC_PER_SEC)

typedef struct Removal {
        Folders *folders;
        char *name; /* what it was renamed to: .<uid>.<number> */
        uid_t uid;
        pid_t pid;
        sd_event_source *timer;
} Removal;

struct Folders {
        sd_event *event;
        Children *children;
        int fd;
        char *records; /* path, or NULL */
        uint64_t n_removed;
        GQueue *waiting; /* Removal */
        GList *running;  /* Removal */
};

static void folders_run_next(Folders *folders);

static Removal *removal_free(Removal *removal) {
        sd_event_source_disable_unref(removal->timer);
        g_free(removal->name);
        g_free(removal);
        return NULL;
}

/* What can't be changed tells itself when it is opened or moved. */
static void make_mine(int fd, const char *name) {
        int r;

        r = fchmodat(fd, name, 0700, 0);
        (void) r;
}

/* In the child, as the user. Each folder below the top is emptied, those in it moved up to the top: however deep it is, two are open at a time. */
static int empty_below(int top_fd, const char *name, unsigned *n_moved) {
        DIR *dir;
        struct dirent *entry;
        int fd;

        make_mine(top_fd, name);
        fd = openat(top_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                fd_close(fd);
                return -ENOMEM;
        }
        while ((entry = readdir(dir))) {
                char to[32];

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (unlinkat(fd, entry->d_name, 0) >= 0 || unlinkat(fd, entry->d_name, AT_REMOVEDIR) >= 0)
                        continue;
                /* Who moves a folder must be able to write to it. */
                make_mine(fd, entry->d_name);
                (void) snprintf(to, sizeof(to), ".moved-%u", *n_moved);
                if (renameat2(fd, entry->d_name, top_fd, to, RENAME_NOREPLACE) >= 0 || errno == EEXIST)
                        (*n_moved)++;
        }
        closedir(dir);
        return unlinkat(top_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* One pass over the top; 1: something was removed, so that another may find more. */
static int empty_top(int top_fd, unsigned *n_moved) {
        struct dirent *entry;
        int fd, progress = 0;
        DIR *dir;

        fd = openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        dir = fdopendir(fd);
        if (!dir) {
                fd_close(fd);
                return 0;
        }
        while ((entry = readdir(dir))) {
                unsigned before = *n_moved;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (unlinkat(top_fd, entry->d_name, 0) >= 0 || unlinkat(top_fd, entry->d_name, AT_REMOVEDIR) >= 0 ||
                    empty_below(top_fd, entry->d_name, n_moved) >= 0 || *n_moved > before)
                        progress = 1;
        }
        closedir(dir);
        return progress;
}

static _Noreturn void remover(int parent_fd, const char *name, uid_t uid, gid_t gid) {
        const Account account = {.uid = uid, .gid = gid};
        unsigned n_moved = 0;
        sigset_t none;
        int top_fd;

        top_fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (top_fd < 0 || setsid() < 0 || identity_assume(&account) < 0)
                _exit(EXIT_FAILURE);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) fchmod(top_fd, 0700);
        while (empty_top(top_fd, &n_moved) > 0)
                ;
        _exit(EXIT_SUCCESS);
}

static void on_removed(void *userdata, pid_t pid) {
        Removal *removal = userdata;
        Folders *folders = removal->folders;

        if (unlinkat(folders->fd, removal->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                log_warning("The folder %s, which was a runtime's of uid %u, can't be removed: %s.", removal->name, (unsigned) removal->uid, g_strerror(errno));
        folders->running = g_list_remove(folders->running, removal);
        removal_free(removal);
        folders_run_next(folders);
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
        Removal *removal = userdata;

        (void) kill(removal->pid, SIGKILL);
        return 0;
}

/* False: there is nothing to wait for. */
static bool removal_run(Removal *removal) {
        Folders *folders = removal->folders;
        struct stat st;

        if (unlinkat(folders->fd, removal->name, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                return false;
        if (errno == ENOTDIR) {
                (void) unlinkat(folders->fd, removal->name, 0);
                return false;
        }
        /* As whom it is emptied: the one whose it is. */
        if (fstatat(folders->fd, removal->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != removal->uid)
                return false;
        removal->pid = fork();
        if (removal->pid < 0)
                return false;
        if (removal->pid == 0)
                remover(folders->fd, removal->name, st.st_uid, st.st_gid);
        children_add(folders->children, removal->pid, false, on_removed, removal);
        if (sd_event_add_time_relative(folders->event, &removal->timer, CLOCK_MONOTONIC, REMOVE_USEC, 0, on_late, removal) < 0)
                (void) kill(removal->pid, SIGKILL);
        folders->running = g_list_prepend(folders->running, removal);
        return true;
}

static void folders_run_next(Folders *folders) {
        while (g_list_length(folders->running) < REMOVERS_MAX && !g_queue_is_empty(folders->waiting)) {
                Removal *removal = g_queue_pop_head(folders->waiting);

                if (!removal_run(removal))
                        removal_free(removal);
        }
}

static void folders_queue(Folders *folders, const char *name, uid_t uid) {
        Removal *removal = g_new0(Removal, 1);

        *removal = (Removal){.folders = folders, .name = g_strdup(name), .uid = uid};
        g_queue_push_tail(folders->waiting, removal);
        folders_run_next(folders);
}

/* To a name that nothing else has. */
static int folders_put_away(Folders *folders, const char *name, uid_t uid) {
        for (;;) {
                char to[64];

                (void) snprintf(to, sizeof(to), ".%u.%" PRIu64, (unsigned) uid, folders->n_removed++);
                if (renameat2(folders->fd, name, folders->fd, to, RENAME_NOREPLACE) >= 0) {
                        folders_queue(folders, to, uid);
                        return 0;
                }
                if (errno != EEXIST)
                        return -errno;
        }
}

/* The names in the folder of all folders for which this is so. */
static GPtrArray *folders_find(const Folders *folders, bool (*is_meant)(const char *name)) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        struct dirent *entry;
        int fd = openat(folders->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

        if (!dir) {
                fd_close(fd);
                return names;
        }
        while ((entry = readdir(dir)))
                if (is_meant(entry->d_name))
                        g_ptr_array_add(names, g_strdup(entry->d_name));
        closedir(dir);
        return names;
}

static bool is_put_away(const char *name) {
        return name[0] == '.' && g_ascii_isdigit(name[1]);
}

static bool is_of_runtime(const char *name) {
        return name[0] == 'u' && g_ascii_isdigit(name[1]);
}

static void folders_sweep(Folders *folders) {
        g_autoptr(GPtrArray) names = folders_find(folders, is_put_away);

        for (guint i = 0; i < names->len; i++)
                folders_queue(folders, names->pdata[i], (uid_t) g_ascii_strtoull((const char *) names->pdata[i] + 1, NULL, 10));
}

void folders_remove_unknown(Folders *folders) {
        g_autoptr(GPtrArray) names = NULL;
        _cleanup_close_ int records_fd = -EBADF;

        records_fd = folders->records ? open(folders->records, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -EBADF;
        if (records_fd < 0)
                return;
        names = folders_find(folders, is_of_runtime);
        for (guint i = 0; i < names->len; i++) {
                const char *name = names->pdata[i];

                if (faccessat(records_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                        folders_remove(folders, name, (uid_t) g_ascii_strtoull(name + 1, NULL, 10));
        }
}

int folders_open(sd_event *event, Children *children, const char *path, const char *records, Folders **ret) {
        _cleanup_close_ int fd = -EBADF;
        Folders *folders;
        struct stat st;

        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
                return -EPERM;
        folders = g_new0(Folders, 1);
        *folders = (Folders){.event = event, .children = children, .fd = TAKE_FD(fd), .records = g_strdup(records), .waiting = g_queue_new()};
        folders_sweep(folders);
        *ret = folders;
        return 0;
}

Folders *folders_free(Folders *folders) {
        if (!folders)
                return NULL;
        for (GList *item = folders->running; item; item = item->next) {
                Removal *removal = item->data;

                (void) kill(removal->pid, SIGKILL);
                children_forget(folders->children, removal->pid);
                removal_free(removal);
        }
        g_list_free(folders->running);
        while (!g_queue_is_empty(folders->waiting))
                removal_free(g_queue_pop_head(folders->waiting));
        g_queue_free(folders->waiting);
        g_free(folders->records);
        fd_close(folders->fd);
        g_free(folders);
        return NULL;
}

int folders_make(Folders *folders, const char *name, uid_t uid, gid_t gid) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (mkdirat(folders->fd, name, 0700) < 0) {
                if (errno != EEXIST)
                        return -errno;
                r = folders_put_away(folders, name, uid);
                if (r < 0)
                        return r;
                if (mkdirat(folders->fd, name, 0700) < 0)
                        return -errno;
        }
        fd = openat(folders->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0700) < 0 || fchown(fd, uid, gid) < 0)
                return -errno;
        return 0;
}

void folders_remove(Folders *folders, const char *name, uid_t uid) {
        int r;

        r = folders_put_away(folders, name, uid);
        if (r < 0 && r != -ENOENT)
                log_warning("The folder %s can't be put away: %s.", name, g_strerror(-r));
}
