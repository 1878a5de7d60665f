/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A daemon that dies at a chosen one of its acts (tests/lib/crash-at.c), and clients that don't mind: who is left without an answer waits until the service
 * is back, and calls again. */

#include "harness.h"

typedef struct Crash {
        Harness *h;
        char *armed;     /* CRASH_AT_FILE */
        char *log;       /* CRASH_AT_LOG */
        guint n_crashes; /* since it was armed */
} Crash;

/* Starts the daemon, which dies at nothing until it is armed. */
Crash *crash_new(Harness *h);
void crash_free(Crash *crash);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Crash, crash_free)

/* when: "before" or "after"; n: which act, from 1 on, 0: none, they are only counted. */
void crash_arm(Crash *crash, const char *when, guint n);
void crash_disarm(Crash *crash);
/* The same, and it is known by then whether it has died. */
void crash_settle(Crash *crash);
/* What it did since it was armed, act by act. */
char **crash_acts(Crash *crash);

/* SIGKILL, whether armed or not; it is started again at once. */
void crash_kill(Crash *crash);
/* Kills it, and lets the one that comes back die at an act of its own. */
void crash_kill_and_arm(Crash *crash, const char *when, guint n);

/* As harness_wait(), with a daemon that comes back when it has died. */
void crash_wait(Crash *crash, HarnessCondition condition, gpointer userdata, const char *what);
/* Calls until there is an answer. It may be one of the errors of accepted ("BadState org.…", NULL: none): NULL then. Takes a floating
 * parameters. */
GVariant *crash_ask(Crash *crash, const char *path, const char *method, GVariant *parameters, const char *accepted);
/* WaitRuntime: the state; ret_report may be NULL. */
char *crash_wait_runtime(Crash *crash, const char *path, const char *until, GVariant **ret_report);
/* Of a runtime. */
GVariant *crash_get(Crash *crash, const char *path, const char *property);
