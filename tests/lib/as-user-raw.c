/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "as-user-raw.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUS_SOCKET "/run/dbus/system_bus_socket"

struct RawConnection {
        int fd;
        guint32 serial;
        char *name;
};

int raw_connection_send(RawConnection *raw, const void *data, size_t size) {
        while (size > 0) {
                struct pollfd wait = {.fd = raw->fd, .events = POLLOUT};
                ssize_t n = send(raw->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n < 0) {
                        if (poll(&wait, 1, 1000) == 0)
                                return -EAGAIN;
                        continue;
                }
                data = (const char *) data + n;
                size -= (size_t) n;
        }
        return 0;
}

int raw_connection_send_message(RawConnection *raw, GDBusMessage *message) {
        g_autoptr(GDBusMessage) copy = g_dbus_message_copy(message, NULL);
        g_autofree guchar *blob = NULL;
        gsize size;

        g_dbus_message_set_serial(copy, ++raw->serial);
        blob = g_dbus_message_to_blob(copy, &size, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
        return blob ? raw_connection_send(raw, blob, size) : -EINVAL;
}

static gboolean read_some(RawConnection *raw, GByteArray *bytes) {
        struct pollfd wait = {.fd = raw->fd, .events = POLLIN};
        guint8 buffer[4096];
        ssize_t n;

        if (poll(&wait, 1, 10000) <= 0)
                return FALSE;
        n = read(raw->fd, buffer, sizeof(buffer));
        if (n <= 0)
                return FALSE;
        g_byte_array_append(bytes, buffer, (guint) n);
        return TRUE;
}

static gboolean authenticate(RawConnection *raw) {
        g_autofree char *uid = g_strdup_printf("%u", (unsigned) getuid());
        g_autoptr(GString) hello = g_string_new(NULL);
        g_autoptr(GByteArray) answer = g_byte_array_new();

        g_string_append_c(hello, '\0');
        g_string_append(hello, "AUTH EXTERNAL ");
        for (const char *c = uid; *c; c++)
                g_string_append_printf(hello, "%02x", *c);
        g_string_append(hello, "\r\n");
        if (raw_connection_send(raw, hello->str, hello->len) < 0)
                return FALSE;
        while (!memchr(answer->data ?: (guint8 *) "", '\n', answer->len))
                if (!read_some(raw, answer))
                        return FALSE;
        return answer->len > 3 && memcmp(answer->data, "OK ", 3) == 0 && raw_connection_send(raw, "BEGIN\r\n", 7) == 0;
}

/* The reply to Hello is the first message, and has the name. */
static gboolean say_hello(RawConnection *raw) {
        g_autoptr(GDBusMessage) hello = g_dbus_message_new_method_call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello");
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_autoptr(GDBusMessage) reply = NULL;
        gssize needed = 16;

        if (raw_connection_send_message(raw, hello) < 0)
                return FALSE;
        while (bytes->len < 16 || (needed = g_dbus_message_bytes_needed(bytes->data, bytes->len, NULL)) > bytes->len)
                if (needed < 0 || !read_some(raw, bytes))
                        return FALSE;
        reply = g_dbus_message_new_from_blob(bytes->data, (gsize) needed, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
        if (!reply || !g_dbus_message_get_arg0(reply))
                return FALSE;
        raw->name = g_strdup(g_dbus_message_get_arg0(reply));
        return TRUE;
}

RawConnection *raw_connection_new(const char **ret_name) {
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = BUS_SOCKET};
        RawConnection *raw = g_new0(RawConnection, 1);

        raw->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (raw->fd < 0 || connect(raw->fd, (struct sockaddr *) &address, sizeof(address)) < 0 || !authenticate(raw) || !say_hello(raw)) {
                int error = errno;

                raw_connection_free(raw);
                errno = error;
                return NULL;
        }
        *ret_name = raw->name;
        return raw;
}

void raw_connection_free(RawConnection *raw) {
        if (!raw)
                return;
        if (raw->fd >= 0)
                close(raw->fd);
        g_free(raw->name);
        g_free(raw);
}

gboolean raw_connection_is_closed(RawConnection *raw, guint msec) {
        gint64 deadline = g_get_monotonic_time() + (gint64) msec * 1000;
        guint8 buffer[65536];

        for (;;) {
                struct pollfd wait = {.fd = raw->fd, .events = POLLIN};
                gint64 left = deadline - g_get_monotonic_time();

                if (left <= 0 || poll(&wait, 1, (int) (left / 1000 + 1)) == 0)
                        return FALSE;
                if (read(raw->fd, buffer, sizeof(buffer)) <= 0)
                        return TRUE;
        }
}
