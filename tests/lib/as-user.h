/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Other users for a test that runs as root: each a process (as-user-agent.c) that has that user's ids and a connection of its own to the system bus.
 *
 * What is said to go well does, or the test ends. Everything has a deadline. A floating arguments is taken; NULL is (). */

#include <gio/gio.h>
#include <stdint.h>
#include <sys/types.h>

#define AS_USER_DEADLINE_MSEC 40000

typedef struct AsUser AsUser;

/* What came of a call: a reply, or an error. */
typedef struct Outcome {
        GVariant *reply; /* NULL: an error */
        char *error;
        char *message;
} Outcome;

typedef struct SeenSignal {
        char *sender, *path, *interface, *member;
        GVariant *body;
} SeenSignal;

void outcome_clear(Outcome *outcome);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)
void seen_signal_free(gpointer signal);

AsUser *as_user_new(const char *name);
void as_user_free(AsUser *user);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AsUser, as_user_free)
const char *as_user_get_name(AsUser *user);
const char *as_user_get_bus_name(AsUser *user);
uid_t as_user_get_uid(AsUser *user);
pid_t as_user_get_pid(AsUser *user);

/* Methods of the service; path NULL: the Manager. With a handle in the arguments go fds. */
Outcome as_user_try(AsUser *user, const char *path, const char *method, GVariant *arguments);
GVariant *as_user_call(AsUser *user, const char *path, const char *method, GVariant *arguments);
/* Must fail with this error (a name without a dot is one of ours). The message, for people. */
char *as_user_call_fails(AsUser *user, const char *path, const char *method, GVariant *arguments, const char *error);
/* With the message's flag for it. */
Outcome as_user_try_interactive(AsUser *user, const char *path, const char *method, GVariant *arguments);
/* Any method of anybody. */
Outcome as_user_try_at(AsUser *user, const char *destination, const char *path, const char *interface, const char *method, GVariant *arguments);
GVariant *as_user_call_at(AsUser *user, const char *destination, const char *path, const char *interface, const char *method, GVariant *arguments);
/* Calls that take their time. The outcome of each is to be asked for. */
guint as_user_begin(AsUser *user, const char *path, const char *method, GVariant *arguments);
Outcome as_user_finish(AsUser *user, guint cookie);

GVariant *as_user_get(AsUser *user, const char *path, const char *property);
char *as_user_get_string(AsUser *user, const char *path, const char *property);
guint32 as_user_get_number(AsUser *user, const char *path, const char *property);

/* The object's path. options_shell() of harness.h makes options. */
char *as_user_start(AsUser *user, const char *kind, GVariant *options);
char *as_user_start_shell(AsUser *user, const char *script);
GVariant *as_user_wait_ended(AsUser *user, const char *path);
char *as_user_wait_ready(AsUser *user, const char *path);
/* SIGKILL at once, until it has ended. */
void as_user_stop(AsUser *user, const char *path);
/* Of all output, as text. */
char *as_user_read_text(AsUser *user, const char *path);
void as_user_wait_text(AsUser *user, const char *path, const char *text);

/* Every signal that has reached this user, whoever sent it, but for those of the bus; of SeenSignal. */
GPtrArray *as_user_get_signals(AsUser *user);
void as_user_forget_signals(AsUser *user);
/* The body of the n-th (from 1); path and member may be NULL: any. */
GVariant *as_user_wait_signal(AsUser *user, const char *path, const char *member, guint n);
Outcome as_user_add_match(AsUser *user, const char *rule);
/* Waits until what the service has sent before is here. */
void as_user_sync(AsUser *user);

/* Exit status of sh -c, or 128 + signal; what it printed. */
int as_user_shell(AsUser *user, const char *script, char **ret_output);
/* Must exit with 0. */
char *as_user_run(AsUser *user, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* "" for success, else the name of the errno. type: "stream", "seqpacket" */
char *as_user_connect(AsUser *user, const char *path, const char *type);
char *as_user_trace(AsUser *user, pid_t pid);
char *as_user_take_fd(AsUser *user, pid_t pid, int fd);
/* fds that came with replies, counted from 0 over all of them. */
char *as_user_fd_write(AsUser *user, guint fd, const char *text);
char *as_user_fd_read(AsUser *user, guint fd);
void as_user_fd_close(AsUser *user, guint fd);

/* SIGSTOP: it reads nothing and answers no ping, and nothing may be asked of it; SIGCONT. */
void as_user_freeze(AsUser *user);
void as_user_thaw(AsUser *user);

/* One more connection to the bus, that is never read. Its unique name. */
char *as_user_raw_open(AsUser *user);
/* Sends so many of the same; how many were taken before the bus took no more. */
guint as_user_raw_call(AsUser *user, const char *path, const char *method, GVariant *arguments, guint count);
char *as_user_raw_send(AsUser *user, const void *data, size_t size);
/* By the bus, within that time. */
gboolean as_user_raw_is_closed(AsUser *user, guint msec);
void as_user_raw_close(AsUser *user);
