/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The way to the journal: its native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL), a datagram an entry, by a socket that doesn't block.
 * sd_journal_send() waits for a journald that hangs, and neither the daemon nor a keeper may. */

#include <sys/uio.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* As of syslog(3), where libsystemd's header isn't to be had. */
#define JOURNAL_WARNING 4
#define JOURNAL_NOTICE 5
#define JOURNAL_INFO 6

/* A connected socket, so that poll() tells when the journal takes more. Negative errno: there is none. */
int journal_connect(const char *path);

/* Sends one entry: 0, -EAGAIN if it isn't taken now, -EMSGSIZE if it never will, or negative errno: connect again. */
int journal_send(int fd, const struct iovec *parts, size_t n_parts);

/* From now on poll() says that the socket can be written to when all that was sent has been received. */
void journal_await_reception(int fd);
