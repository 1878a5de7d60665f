/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How far one subscriber has been told of one runtime's output, checked as it comes: each line once, in order, or announced as dropped. Lines aren't
 * kept, so a flood can be followed. */

#include "harness.h"

#define LINE_PARTIAL 1U
#define LINE_LOSSY 2U
#define LINE_UNTERMINATED 4U

typedef struct LineLog {
        Harness *harness;
        GDBusConnection *bus; /* NULL: told of it by line_log_add_…() */
        char *path;
        guint subscription;
        guint64 next;                  /* the number that is to come; 0: any */
        guint64 n_received, n_dropped; /* lines */
        gboolean ended;
        guint64 report_last; /* LastLine of the report */
        guint64 last_at_end; /* how far it had come when Ended came */
} LineLog;

LineLog *line_log_new(Harness *h, GDBusConnection *bus, const char *path, guint64 first);
void line_log_free(LineLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineLog, line_log_free)

void line_log_add_lines(LineLog *log, guint64 first, guint64 count);
void line_log_add_dropped(LineLog *log, guint64 first, guint64 count);
void line_log_add_ended(LineLog *log, guint64 last);

/* Until this line has come, or was announced as dropped. */
void line_log_wait_for(LineLog *log, guint64 number);
void line_log_wait_ended(LineLog *log);

/* A connection that records nothing. */
GDBusConnection *connect_plainly(Harness *h);
/* Runtime.Subscribe: the last line there is. */
guint64 subscribe(GDBusConnection *bus, const char *path, guint64 after, guint32 flags);
/* The call must fail so. */
void call_fails(GDBusConnection *bus, const char *path, const char *interface, const char *method, GVariant *parameters, const char *error);
