/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bytes on their way to stdout and stderr, in one order over both, written only when that doesn't block: the program
 * that doesn't read what we write must not keep us from hearing a signal, or the end of the runtime.
 */

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>
#include <systemd/sd-event.h>

typedef struct Writer Writer;

typedef struct WriterEvents {
        /* Everything has been written. */
        void (*on_empty)(void *userdata);
        /* An fd takes no more (errno; EPIPE: nobody reads it any more). What is written to it from now on is dropped. */
        void (*on_broken)(int fd, int error, void *userdata);
} WriterEvents;

Writer *writer_new(sd_event *event, const WriterEvents *events, void *userdata);
Writer *writer_free(Writer *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Writer, writer_free)

/* Takes a copy. fd is STDOUT_FILENO or STDERR_FILENO. Nothing is written before writer_flush(). */
void writer_add(Writer *writer, int fd, const void *data, size_t size);
/* Writes what can be written now, and the rest when it can. Calls on_empty at the end, at once if there is nothing. */
void writer_flush(Writer *writer);
bool writer_is_empty(const Writer *writer);
