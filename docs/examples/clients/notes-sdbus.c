/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A notebook app in small, in C with sd-bus: see docs/clients.md.
 *
 *     cc -o notes notes-sdbus.c $(pkg-config --cflags --libs libsystemd)
 *     ./notes run|own NOTEBOOK COMMAND [ARGUMENT...]    starts it, or comes back to it; its output goes to stdout and NOTEBOOK.log
 *     ./notes stop NOTEBOOK */

#define _GNU_SOURCE
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define SERVICE "org.example.RuntimeManager"
#define MANAGER "org.example.RuntimeManager"
#define MANAGER_PATH "/org/example/RuntimeManager"
#define RUNTIME "org.example.RuntimeManager.Runtime"
#define ERROR "org.example.RuntimeManager.Error."
#define LABEL "org.example.Notes.notebook"

#define MESSAGE __attribute__((cleanup(sd_bus_message_unrefp))) sd_bus_message

enum { LIFE = 1, OUTPUT = 2 };                     /* flags of Subscribe */
enum { PARTIAL = 1, LOSSY = 2, UNTERMINATED = 4 }; /* flags of a line */

typedef struct Notebook {
        sd_bus *bus;
        sd_event *event;
        FILE *transcript;
        uint64_t last; /* number of the last line in it */
        char *path;    /* object of the runtime; NULL: we are done with it */
        int status;    /* to exit with */
} Notebook;

static int check(int r, const char *what) {
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", what, strerror(-r));
                exit(EXIT_FAILURE);
        }
        return r;
}

static void check_libc(int ok, const char *what) {
        if (!ok) {
                perror(what);
                exit(EXIT_FAILURE);
        }
}

static sd_bus_message *new_call(Notebook *n, const char *path, const char *interface, const char *method) {
        sd_bus_message *m;

        check(sd_bus_message_new_method_call(n->bus, &m, SERVICE, path, interface, method), method);
        return m;
}

/* Takes the message. An error goes to error, if the caller knows what to do about it. */
static sd_bus_message *send_call(Notebook *n, sd_bus_message *m, sd_bus_error *error) {
        for (;;) {
                __attribute__((cleanup(sd_bus_error_free))) sd_bus_error failed = SD_BUS_ERROR_NULL;
                sd_bus_message *reply = NULL;
                int r = sd_bus_call(n->bus, m, 0, &failed, &reply);

                /* The service was restarted in the middle of it: every call may be repeated. */
                if (r < 0 && sd_bus_error_has_name(&failed, SD_BUS_ERROR_NO_REPLY))
                        continue;
                if (r < 0 && !error) {
                        fprintf(stderr, "%s\n", failed.message ?: strerror(-r));
                        exit(EXIT_FAILURE);
                }
                if (r < 0)
                        sd_bus_error_move(error, &failed);
                sd_bus_message_unref(m);
                return reply;
        }
}

static sd_bus_message *call(Notebook *n, const char *path, const char *interface, const char *method, const char *types, ...) {
        sd_bus_message *m = new_call(n, path, interface, method);
        va_list arguments;

        va_start(arguments, types);
        check(sd_bus_message_appendv(m, types, arguments), method);
        va_end(arguments);
        return send_call(n, m, NULL);
}

/* The newest runtime of this notebook, ended or not; NULL: there is none. */
static char *find(Notebook *n, const char *notebook) {
        MESSAGE *reply = call(n, MANAGER_PATH, MANAGER, "ListRuntimes", "a{sv}", 1, "Labels", "a{ss}", 1, LABEL, notebook);
        const char *path, *newest = NULL;

        check(sd_bus_message_enter_container(reply, 'a', "(soa{sv})"), "ListRuntimes");
        while (check(sd_bus_message_enter_container(reply, 'r', "soa{sv}"), "ListRuntimes") > 0) {
                check(sd_bus_message_read(reply, "so", NULL, &path), "ListRuntimes");
                check(sd_bus_message_skip(reply, "a{sv}"), "ListRuntimes");
                check(sd_bus_message_exit_container(reply), "ListRuntimes");
                newest = path;
        }
        return newest ? strdup(newest) : NULL;
}

static char *start(Notebook *n, const char *notebook, char **command, int own) {
        char directory[PATH_MAX], id[SD_ID128_STRING_MAX];
        const char *path;
        sd_id128_t random;

        /* Emptied before there is a runtime: killed in between, we must not take the old numbers for the new runtime's. */
        check_libc(ftruncate(fileno(n->transcript), 0) == 0, "The transcript can't be emptied");
        n->last = 0;
        check_libc(getcwd(directory, sizeof(directory)) != NULL, "There is no working directory");
        check(sd_id128_randomize(&random), "There is no random id");

        sd_bus_message *m = new_call(n, MANAGER_PATH, MANAGER, "StartRuntime");
        /* Our own id makes it safe to repeat the start. */
        check(sd_bus_message_append(m, "s", "command"), "StartRuntime");
        check(sd_bus_message_open_container(m, 'a', "{sv}"), "StartRuntime");
        check(sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "Id", "s", sd_id128_to_string(random, id), "WorkingDirectory", "s", directory, "Labels", "a{ss}", 1,
                                    LABEL, notebook, "Owner", "s", own ? "caller" : "none"),
              "StartRuntime");
        check(sd_bus_message_open_container(m, 'e', "sv"), "StartRuntime");
        check(sd_bus_message_append(m, "s", "Command"), "StartRuntime");
        check(sd_bus_message_open_container(m, 'v', "as"), "StartRuntime");
        check(sd_bus_message_append_strv(m, command), "StartRuntime");
        for (int i = 0; i < 3; i++)
                check(sd_bus_message_close_container(m), "StartRuntime");

        MESSAGE *reply = send_call(n, m, NULL);
        check(sd_bus_message_read(reply, "so", NULL, &path), "StartRuntime");
        return strdup(path);
}

/* From now on the runtime ends when we leave the bus, whatever the reason. */
static void take_ownership(Notebook *n) {
        __attribute__((cleanup(sd_bus_error_free))) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *m = new_call(n, n->path, RUNTIME, "TakeOwnership");

        check(sd_bus_message_append(m, "a{sv}", 0), "TakeOwnership");
        MESSAGE *reply = send_call(n, m, &error);
        if (!reply && !sd_bus_error_has_name(&error, ERROR "BadState")) { /* it has ended: we shall be told why */
                fprintf(stderr, "%s\n", sd_bus_error_has_name(&error, ERROR "HasOwner") ? "This notebook is open in another window." : error.message);
                exit(EXIT_FAILURE);
        }
}

/* The number of the last line in it is where we go on: what is shown and what is remembered can't differ. */
static void open_transcript(Notebook *n, const char *notebook) {
        char *name = NULL, *line = NULL;
        size_t size = 0;
        ssize_t length;
        off_t end = 0;

        check_libc(asprintf(&name, "%s.log", notebook) > 0, notebook);
        n->transcript = fopen(name, "a+e");
        check_libc(n->transcript != NULL, name);
        rewind(n->transcript);
        while ((length = getline(&line, &size, n->transcript)) > 0 && line[length - 1] == '\n') {
                n->last = strtoull(line, NULL, 10);
                end += length;
        }
        check_libc(ftruncate(fileno(n->transcript), end) == 0, name);
        free(line);
        free(name);
}

static void write_line(Notebook *n, uint64_t number, uint8_t stream, uint32_t flags, const char *data, size_t size) {
        fprintf(n->transcript, "%" PRIu64 " %" PRIu8 " %" PRIu32 " ", number, stream, flags);
        fwrite(data, 1, size, n->transcript);
        fputc('\n', n->transcript);
        fflush(n->transcript);
        n->last = number;
}

/* Lines up to this one are no longer kept. */
static void lose(Notebook *n, uint64_t last) {
        char text[128];

        if (last <= n->last)
                return;
        snprintf(text, sizeof(text), "[lines %" PRIu64 " to %" PRIu64 " are lost]", n->last + 1, last);
        fprintf(stderr, "%s\n", text);
        write_line(n, last, 0, 0, text, strlen(text));
}

static void accept_line(Notebook *n, uint64_t number, uint8_t stream, uint32_t flags, const char *text) {
        MESSAGE *raw = NULL;
        const void *data = text;
        size_t size = strlen(text);

        if (number <= n->last) /* it may come again: signals do after the service was restarted */
                return;
        lose(n, number - 1);
        if (flags & LOSSY) { /* it wasn't text: what it was is for ReadOutput */
                raw = call(n, n->path, RUNTIME, "ReadOutput", "tu", number - 1, 1);
                uint64_t found = 0;

                check(sd_bus_message_enter_container(raw, 'a', "(tytuay)"), "ReadOutput");
                if (check(sd_bus_message_enter_container(raw, 'r', "tytuay"), "ReadOutput") > 0 &&
                    check(sd_bus_message_read(raw, "tytu", &found, NULL, NULL, NULL), "ReadOutput") > 0 && found == number)
                        check(sd_bus_message_read_array(raw, 'y', &data, &size), "ReadOutput");
        }
        write_line(n, number, stream, flags, data, size);
        fwrite(data, 1, size, stdout);
        if (!(flags & (PARTIAL | UNTERMINATED)))
                putchar('\n');
}

/* m is at an a(tytus), of OutputLines or ReadOutputText. */
static void take(Notebook *n, sd_bus_message *m) {
        uint64_t number;
        const char *text;
        uint32_t flags;
        uint8_t stream;

        check(sd_bus_message_enter_container(m, 'a', "(tytus)"), "OutputLines");
        while (check(sd_bus_message_read(m, "(tytus)", &number, &stream, NULL, &flags, &text), "OutputLines") > 0)
                accept_line(n, number, stream, flags, text);
        check(sd_bus_message_exit_container(m), "OutputLines");
        fflush(stdout);
}

static void show(const char *state) {
        /* There may be new states: what we don't know is busy. */
        fprintf(stderr, "[%s]\n", strcmp(state, "ready") == 0 || strcmp(state, "ended") == 0 ? state : "busy");
}

/* What hasn't come is read. The service forgets the runtime when we have all of it, so that it isn't found again. m is at the report, a{sv}. */
static void finish(Notebook *n, sd_bus_message *m) {
        const char *key, *result = "", *message = "";
        int more = 1, status = EXIT_FAILURE;
        uint64_t last = 0;

        while (more) {
                MESSAGE *reply = call(n, n->path, RUNTIME, "ReadOutputText", "tu", n->last, 0);

                take(n, reply);
                check(sd_bus_message_read(reply, "tb", &last, &more), "ReadOutputText");
        }
        lose(n, last);
        sd_bus_message_unref(call(n, n->path, RUNTIME, "Forget", ""));
        check(sd_bus_message_enter_container(m, 'a', "{sv}"), "EndReport");
        while (check(sd_bus_message_enter_container(m, 'e', "sv"), "EndReport") > 0) {
                check(sd_bus_message_read(m, "s", &key), "EndReport");
                if (strcmp(key, "Result") == 0)
                        check(sd_bus_message_read(m, "v", "s", &result), key);
                else if (strcmp(key, "Message") == 0)
                        check(sd_bus_message_read(m, "v", "s", &message), key);
                else if (strcmp(key, "ExitCode") == 0)
                        check(sd_bus_message_read(m, "v", "i", &status), key);
                else
                        check(sd_bus_message_skip(m, "v"), key);
                check(sd_bus_message_exit_container(m), "EndReport");
        }
        fprintf(stderr, "[%s: %s]\n", result, message);
        if (strcmp(result, "success") == 0 || strcmp(result, "exit-code") == 0)
                n->status = status;
        free(n->path);
        n->path = NULL;
        sd_event_exit(n->event, 0);
}

/* The same at the start, when we come back, and when the service does. */
static void follow(Notebook *n) {
        sd_bus_message_unref(call(n, n->path, RUNTIME, "Subscribe", "tu", n->last, LIFE | OUTPUT));

        MESSAGE *state = call(n, n->path, "org.freedesktop.DBus.Properties", "Get", "ss", RUNTIME, "State");
        const char *name;

        check(sd_bus_message_read(state, "v", "s", &name), "State");
        show(name);
        if (strcmp(name, "ended") == 0) {
                MESSAGE *report = call(n, n->path, "org.freedesktop.DBus.Properties", "Get", "ss", RUNTIME, "EndReport");

                check(sd_bus_message_enter_container(report, 'v', "a{sv}"), "EndReport");
                finish(n, report);
        }
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Notebook *n = userdata;
        uint64_t first, count;
        const char *state;

        if (!n->path)
                return 0;
        if (sd_bus_message_is_signal(m, RUNTIME, "OutputLines"))
                take(n, m);
        else if (sd_bus_message_is_signal(m, RUNTIME, "OutputDropped")) {
                check(sd_bus_message_read(m, "tt", &first, &count), "OutputDropped");
                lose(n, first + count - 1);
        } else if (sd_bus_message_is_signal(m, RUNTIME, "StateChanged")) {
                check(sd_bus_message_read(m, "ss", NULL, &state), "StateChanged");
                show(state);
        } else if (sd_bus_message_is_signal(m, RUNTIME, "Ended"))
                finish(n, m);
        /* There are others, and will be more. */
        return 0;
}

/* NameOwnerChanged: that the service vanishes is not an end of any runtime, and when it is back we go on from where we were. */
static int on_service(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Notebook *n = userdata;
        const char *owner;

        check(sd_bus_message_read(m, "sss", NULL, NULL, &owner), "NameOwnerChanged");
        if (owner[0] != '\0' && n->path)
                follow(n);
        return 0;
}

static void run(Notebook *n, const char *notebook, char **command, int own) {
        open_transcript(n, notebook);
        n->path = find(n, notebook);
        if (!n->path)
                n->path = start(n, notebook, command, own);
        else if (own)
                take_ownership(n);
        check(sd_bus_match_signal(n->bus, NULL, SERVICE, n->path, RUNTIME, NULL, on_signal, n), "The match for signals");
        check(sd_bus_add_match(n->bus, NULL,
                               "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SERVICE "'",
                               on_service, n),
              "The match for the service");
        follow(n);
        check(sd_event_loop(n->event), "The event loop");
        fclose(n->transcript);
}

static void stop(Notebook *n, const char *notebook) {
        n->path = find(n, notebook);
        if (n->path)
                sd_bus_message_unref(call(n, n->path, RUNTIME, "Stop", "a{sv}", 0));
        else
                fprintf(stderr, "It doesn't run.\n");
        n->status = n->path ? EXIT_SUCCESS : EXIT_FAILURE;
        free(n->path);
}

int main(int argc, char *argv[]) {
        Notebook n = {.status = EXIT_FAILURE};

        if (argc < 3 || (strcmp(argv[1], "run") != 0 && strcmp(argv[1], "own") != 0 && strcmp(argv[1], "stop") != 0)) {
                fprintf(stderr, "Usage: %s run|own|stop NOTEBOOK [COMMAND [ARGUMENT...]]\n", argv[0]);
                return EXIT_FAILURE;
        }
        check(sd_bus_open_user(&n.bus), "The session bus");
        check(sd_bus_set_exit_on_disconnect(n.bus, 1), "The session bus");
        check(sd_event_default(&n.event), "The event loop");
        check(sd_bus_attach_event(n.bus, n.event, 0), "The event loop");
        if (strcmp(argv[1], "stop") == 0)
                stop(&n, argv[2]);
        else
                run(&n, argv[2], argv + 3, strcmp(argv[1], "own") == 0);
        sd_bus_flush_close_unref(n.bus);
        sd_event_unref(n.event);
        return n.status;
}
