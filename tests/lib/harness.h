/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The real daemon on a message bus of its own, beside the user manager that the tests run under, and clients of it that are not made of sd-bus.
 *
 * A test program is a table of cases. Each case gets a Harness: folders of its own and a bus, but no daemon yet, so that kinds can be written first.
 * After the case the daemon is told to end and must exit with 0 (that is when LeakSanitizer speaks), and no process, unit or folder of its
 * runtimes may be left. Several programs run at once in one user manager, so ids given to runtimes come from harness_id().
 *
 * Everything that waits has a deadline; what was seen until then is printed, and the daemon's log. What is said to go well does, or the test fails. */

#include <gio/gio.h>
#include <stdint.h>
#include <sys/types.h>

#define HARNESS_DEADLINE_USEC (40 * G_USEC_PER_SEC)

typedef struct Harness Harness;
typedef struct Client Client;

/* Signals of the service that came to a client, in their order. */
typedef struct Signal {
        char *path;
        char *interface;
        char *member;
        GVariant *parameters;
} Signal;

/* A connection to the bus that records. */
struct Client {
        Harness *harness;
        GDBusConnection *bus;
        GPtrArray *signals; /* of Signal */
        guint subscription;
};

struct Harness {
        char *directory;         /* all folders are below this one, which is removed at the end */
        char *runtime_directory; /* the daemon's XDG_RUNTIME_DIR */
        char *config_directory;  /* its XDG_CONFIG_HOME */
        char *home;              /* its HOME, which runtimes start in */
        char *log;               /* file with what it says to stdout and stderr */
        char *program;           /* the daemon; NULL: that of this build */
        char *systemd_address;   /* where it finds systemd; NULL: on the session bus */
        char *bus_address;
        GPid daemon;     /* 0: doesn't run */
        Client *client;  /* the first client; connected when the daemon has been started */
        GHashTable *ids; /* of all runtimes that were ever added */

        char *mark; /* a variable that every process of a runtime has in its environment */
        int notify; /* the daemon's $NOTIFY_SOCKET */
};

typedef struct HarnessCase {
        const char *name; /* of the behaviour, in words: "a-runtime-that-…" */
        void (*run)(Harness *h);
} HarnessCase;

/* It keeps what is freed, so the daemon's memory says nothing under it. gcc and clang tell of it each in their own way. */
#ifdef __has_feature
#define WITH_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined __SANITIZE_ADDRESS__
#define WITH_ADDRESS_SANITIZER 1
#else
#define WITH_ADDRESS_SANITIZER 0
#endif

/* The main of every test program. name: its folder in the names of the cases. */
int harness_main(int argc, char *argv[], const char *name, const HarnessCase *cases, size_t n_cases);

/* Starts the daemon and waits until it says READY=1 and h->client is connected. variables, NULL at their end, are added to its environment. */
void harness_start_daemon(Harness *h, const char *const *variables);
/* The same in parts, for a daemon that may not live so long. Told once. */
void harness_launch_daemon(Harness *h, const char *const *variables);
gboolean harness_daemon_said_ready(Harness *h);
/* It has ended, and by SIGKILL, or the test fails. */
gboolean harness_daemon_was_killed(Harness *h);
/* The daemon is a service of the user manager instead, with this name (NULL: no more): it is stopped when the test fails. */
void harness_use_service(Harness *h, const char *unit);
/* SIGTERM, exit code 0, nothing left. Done after each case, if the case didn't. */
void harness_stop_daemon(Harness *h);
/* Sends SIGTERM again and again: all runtimes are killed at once. */
void harness_hurry_daemon(Harness *h);

/* Waits until no process, unit or folder of any runtime is left, but records of those that have ended. */
void harness_wait_clean(Harness *h);

/* SIGKILL. Clients stay connected to the bus; harness_start_daemon() starts the next one, in the same folders. */
void harness_kill_daemon(Harness *h);

/* Before the daemon is started: text of the kind's file. */
void harness_add_kind(Harness *h, const char *name, const char *text);
/* A file below h->directory. Its path. */
char *harness_add_file(Harness *h, const char *name, const char *text, int mode);
/* An id that no other test program has at this time; at most 24 characters are kept of what is given. */
char *harness_id(const char *name);
/* The folder with the programs of this build. */
const char *harness_build_directory(void);

/* Runs the main context until condition() or the deadline, which fails the test. what: for people. */
typedef gboolean (*HarnessCondition)(gpointer userdata);
void harness_wait(Harness *h, HarnessCondition condition, gpointer userdata, const char *what);
/* Fails the test with the daemon's log and all that the clients have seen. */
void harness_fail(Harness *h, const char *format, ...) G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN;

/* Processes anywhere whose environment has the mark: PIDs as guint. They need not be in the cgroup where they belong. */
GArray *harness_find_processes(Harness *h);
/* A property of a unit of the user manager, or NULL if there is no such unit. name: org.freedesktop.systemd1.<interface>. */
GVariant *harness_get_unit_property(const char *unit, const char *interface, const char *property);
gboolean harness_unit_exists(const char *unit);
/* Calls a method of the user manager: org.freedesktop.systemd1.Manager. */
void harness_call_systemd(const char *method, GVariant *parameters);

Client *client_new(Harness *h);
void client_free(Client *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

/* path NULL: the Manager. A floating parameters is taken. The reply is a tuple. */
GVariant *client_call(Client *client, const char *path, const char *method, GVariant *parameters);
/* Must fail with this error (a name without a dot is one of ours). The message, for people. */
char *client_call_fails(Client *client, const char *path, const char *method, GVariant *parameters, const char *error);
/* NULL with error: a name as in D-Bus. */
GVariant *client_try(Client *client, const char *path, const char *method, GVariant *parameters, char **ret_error, char **ret_message);
GVariant *client_get(Client *client, const char *path, const char *property);
char *client_get_string(Client *client, const char *path, const char *property);
guint32 client_get_number(Client *client, const char *path, const char *property);

/* a{sv} of Command sh -c script and, if not NULL, of more: a dictionary in the text format of GVariant, with its arguments:
 * options_shell("exit 7", "{'Id': <%s>}", id). */
GVariant *options_shell(const char *script, const char *more, ...);

/* The object's path. */
char *client_start(Client *client, const char *kind, GVariant *options);
char *client_start_shell(Client *client, const char *script);
/* The id is the path's last part. */
const char *path_to_id(const char *path);
/* WaitRuntime: the report when it has ended. */
GVariant *client_wait_ended(Client *client, const char *path);
/* WaitRuntime: the state when it is ready, or ended. */
char *client_wait_ready(Client *client, const char *path);
/* Waits until a property has a value. */
void client_wait_string(Client *client, const char *path, const char *property, const char *value);
/* The same for State; the runtime must not have passed it. */
void client_wait_state(Client *client, const char *path, const char *state);
void client_stop(Client *client, const char *path);

/* The n-th (from 0) of those recorded; path and member may be NULL: any. NULL if there is none yet. */
const Signal *client_find_signal(Client *client, const char *path, const char *member, size_t n);
/* Waits until there is one. */
const Signal *client_wait_signal(Client *client, const char *path, const char *member);
const Signal *client_wait_nth_signal(Client *client, const char *path, const char *member, size_t n);
/* Waits until nothing that the service has sent before is still on its way. */
void client_sync(Client *client);

typedef struct Line {
        guint64 number;
        guint8 stream;
        guint64 usec;
        guint32 flags;
        GBytes *bytes; /* without NUL at the end */
} Line;

/* All lines after a number that ReadOutput has, of Line. */
GPtrArray *client_read_lines(Client *client, const char *path, guint64 after);
/* All lines in the OutputLines signals so far for this path, in the order in which they came. */
GPtrArray *client_signalled_lines(Client *client, const char *path);
/* The raw bytes of a stream; UINT8_MAX: of all. Ends in a NUL that isn't counted. */
GString *lines_join(GPtrArray *lines, guint8 stream);
/* Of everything. */
char *client_read_text(Client *client, const char *path);
/* Waits until it contains this. */
void client_wait_text(Client *client, const char *path, const char *text);

/* Each key of the dictionary in GVariant's text format must be in the report, with that value. Keys of absent ("A B") must not. */
void report_check(GVariant *report, const char *expected, const char *absent);
/* A string of the report, "" if absent. */
const char *report_string(GVariant *report, const char *key);
guint64 report_number(GVariant *report, const char *key);
