/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A socket as journald's, read by the test when it likes: until then it hangs. */

#include <endian.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/macro.h"

#define RECEIVE_MSEC 20000

typedef struct JournalSocket {
        char *directory;
        char *path;
        int fd;
} JournalSocket;

static inline void journal_socket_bind(JournalSocket *s) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(s->fd, >=, 0);
        g_assert_cmpuint(g_strlcpy(address.sun_path, s->path, sizeof(address.sun_path)), <, sizeof(address.sun_path));
        g_assert_cmpint(bind(s->fd, (const struct sockaddr *) &address, sizeof(address)), ==, 0);
}

static inline JournalSocket *journal_socket_new(void) {
        JournalSocket *s = g_new0(JournalSocket, 1);

        s->directory = g_dir_make_tmp("journal-XXXXXX", NULL);
        g_assert_nonnull(s->directory);
        s->path = g_build_filename(s->directory, "socket", NULL);
        journal_socket_bind(s);
        return s;
}

static inline void journal_socket_close(JournalSocket *s) {
        s->fd = fd_close(s->fd);
        (void) g_unlink(s->path);
}

static inline void journal_socket_free(JournalSocket *s) {
        journal_socket_close(s);
        (void) g_rmdir(s->directory);
        g_free(s->directory);
        g_free(s->path);
        g_free(s);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalSocket, journal_socket_free)

/* The fields of an entry as the protocol has them; of one that is there twice, the last. */
static inline GHashTable *journal_entry_parse(const char *bytes, size_t size) {
        GHashTable *fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        const char *end = bytes + size;

        while (bytes < end) {
                const char *newline = memchr(bytes, '\n', (size_t) (end - bytes)), *equals;
                uint64_t length;

                g_assert_nonnull(newline);
                equals = memchr(bytes, '=', (size_t) (newline - bytes));
                if (equals) {
                        g_hash_table_insert(fields, g_strndup(bytes, (size_t) (equals - bytes)), g_strndup(equals + 1, (size_t) (newline - equals - 1)));
                        bytes = newline + 1;
                        continue;
                }
                g_assert_cmpint(end - newline, >, (int) sizeof(length));
                memcpy(&length, newline + 1, sizeof(length));
                length = le64toh(length);
                g_assert_cmpuint(length, <, (uint64_t) (end - newline) - sizeof(length) - 1);
                g_hash_table_insert(fields, g_strndup(bytes, (size_t) (newline - bytes)), g_strndup(newline + 1 + sizeof(length), length));
                bytes = newline + 1 + sizeof(length) + length;
                g_assert_cmpint(*bytes++, ==, '\n');
        }
        return fields;
}

/* The next entry that has come; NULL: none. */
static inline GHashTable *journal_socket_take(JournalSocket *s) {
        static char buffer[256 * 1024];
        ssize_t n = recv(s->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

        return n < 0 ? NULL : journal_entry_parse(buffer, (size_t) n);
}

/* The next entry, which must come. */
static inline GHashTable *journal_socket_receive(JournalSocket *s) {
        struct pollfd pollfd = {.fd = s->fd, .events = POLLIN};
        GHashTable *entry;

        if (poll(&pollfd, 1, RECEIVE_MSEC) != 1)
                g_error("nothing was sent to the journal");
        entry = journal_socket_take(s);
        g_assert_nonnull(entry);
        return entry;
}

static inline const char *journal_entry_get(GHashTable *entry, const char *name) {
        return g_hash_table_lookup(entry, name) ?: "";
}
