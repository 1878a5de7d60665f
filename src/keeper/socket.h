/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A bound socket named `name` in a directory, listening unless it is of datagrams; whatever had the name is gone. Negative errno. */
int socket_bind(int type, int directory_fd, const char *directory, const char *name);

/* Listens on a socket that somebody else has bound: from now on it is known as ours. */
int socket_listen(int fd);
