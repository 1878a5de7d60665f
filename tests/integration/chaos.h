/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the chaos test needs that isn't about a single runtime: somebody who kills the daemon at random moments, calls that are repeated until they are
 * answered, subscribers that keep and compare all that they are told, and a judge of what a runtime has printed (chaos-runtime.py). */

#include "harness.h"

typedef struct Chaos {
        Harness *h;
        char *unit;
        guint n_kills, n_early; /* early: it hadn't come back yet */
        guint n_unanswered;     /* calls that were repeated */
        gboolean over;          /* nobody is killed any more */

        /* The killer's. */
        pid_t pid, killed_pid;
        gboolean has_owner; /* of the bus name */
        gint64 kill_at;     /* monotonic, 0: not decided */
        gboolean early;
        guint tick, watch;
} Chaos;

Chaos *chaos_new(Harness *h);
/* Until there were so many. Runs beside everything else in the main loop. */
void chaos_begin(Chaos *chaos, guint n_kills);
/* Stops the service too. */
void chaos_free(Chaos *chaos);

/* reply: NULL if it failed with error (a D-Bus name). Called once, when there was an answer. A floating parameters is taken. path NULL: the manager. */
typedef void (*ChaosAnswer)(gpointer userdata, GVariant *reply, const char *error);
void chaos_ask(Chaos *chaos, GDBusConnection *bus, const char *path, const char *method, GVariant *parameters, ChaosAnswer answer, gpointer userdata);
/* The same, and waits. Must succeed. */
GVariant *chaos_call(Chaos *chaos, GDBusConnection *bus, const char *path, const char *method, GVariant *parameters);
GVariant *chaos_wait_ended(Chaos *chaos, const char *path);

typedef struct Observer {
        Chaos *chaos;
        const char *name;
        GDBusConnection *bus;
        guint subscription;
        GHashTable *runtimes; /* path → GPtrArray of char *, by number - 1 */
        guint64 n_lines, n_repeated;
} Observer;

Observer *observer_new(Chaos *chaos, const char *name);
void observer_free(Observer *observer);
/* Waits until it has been told exactly these lines. */
void observer_check(Observer *observer, const char *path, GPtrArray *lines);

/* All lines, numbered without a gap from 1 on. */
GPtrArray *chaos_read_lines(Chaos *chaos, const char *path);
/* What the writers of a chaos-runtime have put into a stream is complete up to its end ("m e c0", NULL: none of them came to its end), and as they wrote it.
 * The number of their lines. */
guint chaos_judge(Chaos *chaos, const char *path, GPtrArray *lines, guint8 stream, const char *writers);
