/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runtimes that are started again, the kinds for that, and calls that wait meanwhile. */

#include <gio/gio.h>

#include "harness.h"

#define AN_HOUR "<uint64 3600000000>"

/* A call under way. */
typedef struct Call {
        Harness *h;
        gboolean done;
        GVariant *reply;
        GError *error;
} Call;

/* path: of a runtime; NULL: the manager's. */
Call *call_begin(Client *client, const char *path, const char *method, GVariant *parameters);
/* The reply, or NULL with the error's name. Like the other two it frees the call. */
GVariant *call_end(Call *call, char **ret_error);
void call_end_well(Call *call);
/* It must fail with this error. */
void call_end_badly(Call *call, const char *name);

void restart(Client *client, const char *path);
void assert_state(Harness *h, const char *path, const char *state, guint32 generation);
/* All that it has printed, in all its runs. */
void assert_text(Harness *h, const char *path, const char *expected);
/* That of the run n, counted from 0, when it has ended. */
GVariant *nth_report(Harness *h, const char *path, guint n);

/* Also while the daemon runs, unlike harness_add_kind(). */
void add_kind(Harness *h, const char *name, const char *text);
/* Ready when it has said the line. */
#define LINE_KIND(exec, line, timeout)                                                                                                                         \
        "[Kind]\nDescription=Says a word\nExec=/bin/sh -c \"" exec "; exec sleep 1000\"\n[Handshake]\nType=line\nLine=" line "\nTimeoutSec=" timeout "\n"
