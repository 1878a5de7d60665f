/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel's text files, read with GLib and no cache: what they say is asked for, never polled. */

#include "core/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/macro.h"

const char *cgroup_mount(void) {
        static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                struct statfs fs;

                if (statfs(places[i], &fs) >= 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                        return places[i];
        }
        return NULL;
}

int cgroup_of_pid(pid_t pid, char **ret) {
        g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", (int) pid), *text = NULL;
        g_auto(GStrv) lines = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return -ESRCH;
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
                if (g_str_has_prefix(*line, "0::/")) {
                        *ret = g_strdup(*line + strlen("0::"));
                        return 0;
                }
        return -ENODATA;
}

char *cgroup_root(void) {
        g_autofree char *cgroup = NULL;

        if (cgroup_of_pid(1, &cgroup) < 0 || !g_str_has_suffix(cgroup, "/init.scope"))
                return g_strdup("");
        return g_strndup(cgroup, strlen(cgroup) - strlen("/init.scope"));
}

static int read_file(const char *cgroup, const char *child, const char *file, char **ret) {
        g_autofree char *path = NULL;
        const char *mount = cgroup_mount();

        if (!mount)
                return -ENOENT;
        path = g_build_filename(mount, cgroup, child ?: file, child ? file : NULL, NULL);
        return g_file_get_contents(path, ret, NULL, NULL) ? 0 : -ENOENT;
}

bool cgroup_is_gone(const char *cgroup) {
        const char *mount = cgroup_mount();
        g_autofree char *path = mount ? g_build_filename(mount, cgroup, NULL) : NULL;

        return path && access(path, F_OK) < 0 && errno == ENOENT;
}

void cgroup_kill(const char *cgroup) {
        g_autofree char *path = g_build_filename(cgroup_mount() ?: "/", cgroup, "cgroup.kill", NULL);
        _cleanup_close_ int fd = -EBADF;

        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
                (void) !write(fd, "1", 1);
}

void cgroup_limit_memory(const char *cgroup, const char *child, const char *file, uint64_t bytes) {
        g_autofree char *path = g_build_filename(cgroup_mount() ?: "/", cgroup, child, file, NULL);
        g_autofree char *text = bytes == UINT64_MAX ? g_strdup("max") : g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
        _cleanup_close_ int fd = -EBADF;

        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
                (void) !write(fd, text, strlen(text));
}

static int parse(const char *text, uint64_t *ret) {
        g_autofree char *word = g_strndup(text, strcspn(text, " \n"));

        if (strcmp(word, "max") == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        return g_ascii_string_to_unsigned(word, 10, 0, UINT64_MAX, ret, NULL) ? 0 : -ENODATA;
}

int cgroup_read(const char *cgroup, const char *child, const char *file, const char *key, uint64_t *ret) {
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        int r;

        r = read_file(cgroup, child, file, &text);
        if (r < 0)
                return r;
        if (!key)
                return parse(text, ret);
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                size_t length = strlen(key);

                if (strncmp(*line, key, length) == 0 && (*line)[length] == ' ')
                        return parse(*line + length + 1, ret);
        }
        return -ENODATA;
}

int cgroup_read_io(const char *cgroup, const char *child, const char *field, uint64_t *ret) {
        g_autofree char *text = NULL;
        g_auto(GStrv) words = NULL;
        uint64_t sum = 0, value;
        int r;

        r = read_file(cgroup, child, "io.stat", &text);
        if (r < 0)
                return r;
        words = g_strsplit_set(text, " \n", -1);
        for (char **word = words; *word; word++)
                if (g_str_has_prefix(*word, field) && (*word)[strlen(field)] == '=' && parse(*word + strlen(field) + 1, &value) >= 0)
                        sum += value;
        *ret = sum;
        return 0;
}
