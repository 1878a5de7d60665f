/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The real daemon, with the real keeper, between a message bus of the test's own and a service manager that the test plays. All calls are made without
 * waiting, since the test has to answer for systemd meanwhile. */

#include <gio/gio.h>

#include "fake-systemd.h"

typedef struct Daemon {
        char *directory; /* its XDG_RUNTIME_DIR, XDG_CONFIG_HOME and HOME */
        GDBusConnection *bus;
        FakeSystemd *fake;
        GPid pid; /* 0: it has exited */
        int status;
        gboolean has_name;
        GPtrArray *warnings; /* codes of the signal Warning */
} Daemon;

typedef struct Call {
        gboolean done;
        GVariant *reply;
        char *error; /* of ours without its prefix, NULL: it was a success */
        char *message;
} Call;

/* cgroups: as for fake_systemd_new(). */
Daemon *daemon_new(const char *cgroups);
/* It must exit with 0 after SIGTERM, and leave no folder of a runtime. */
void daemon_free(Daemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Daemon, daemon_free)

Call *daemon_call(Daemon *daemon, const char *method, GVariant *parameters);
void call_free(Call *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_free)

/* StartRuntime of a shell's script with the kind "command". more: options as a dictionary in GVariant's text format. */
Call *daemon_start(Daemon *daemon, const char *id, const char *script, const char *more);
/* The call must fail with this error; its message must hold the text. */
void call_assert_error(Call *call, const char *error, const char *text);
void call_assert_good(Call *call);
/* A property of the runtime. */
char *daemon_get_string(Daemon *daemon, const char *id, const char *property);
/* Until the runtime has printed something. */
void daemon_wait_output(Daemon *daemon, const char *id);
/* Waits for the end: the report. */
GVariant *daemon_wait_ended(Daemon *daemon, const char *id);
/* Each key of the dictionary in GVariant's text format must be in the report, with that value. */
void report_assert(GVariant *report, const char *expected);
