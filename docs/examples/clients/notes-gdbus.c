/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A notebook app in small, in C with GDBus: see docs/clients.md.
 *
 *     cc -o notes notes-gdbus.c $(pkg-config --cflags --libs gio-2.0)
 *     ./notes run|own NOTEBOOK COMMAND [ARGUMENT...]    starts it, or comes back to it; its output goes to stdout and NOTEBOOK.log
 *     ./notes stop NOTEBOOK */

#include <gio/gio.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVICE "org.example.RuntimeManager"
#define MANAGER "org.example.RuntimeManager"
#define MANAGER_PATH "/org/example/RuntimeManager"
#define RUNTIME "org.example.RuntimeManager.Runtime"
#define ERROR "org.example.RuntimeManager.Error."
#define LABEL "org.example.Notes.notebook"

enum { LIFE = 1, OUTPUT = 2 };                     /* flags of Subscribe */
enum { PARTIAL = 1, LOSSY = 2, UNTERMINATED = 4 }; /* flags of a line */

typedef struct Notebook {
        GDBusConnection *bus;
        GMainLoop *loop;
        FILE *transcript;
        guint64 last; /* number of the last line in it */
        char *path;   /* object of the runtime */
        int status;   /* to exit with */
} Notebook;

/* ret_error: the name of an error that the caller knows what to do about; NULL: it knows nothing. */
static GVariant *call(Notebook *n, const char *path, const char *interface, const char *method, GVariant *parameters, char **ret_error) {
        g_autoptr(GVariant) arguments = parameters ? g_variant_ref_sink(parameters) : NULL;

        for (;;) {
                g_autoptr(GError) error = NULL;
                GVariant *reply = g_dbus_connection_call_sync(n->bus, SERVICE, path, interface, method, arguments, NULL, 0, -1, NULL, &error);

                if (reply)
                        return reply;
                /* The service was restarted in the middle of it: every call may be repeated. */
                if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY))
                        continue;
                if (ret_error && (*ret_error = g_dbus_error_get_remote_error(error)))
                        return NULL;
                (void) g_dbus_error_strip_remote_error(error);
                fprintf(stderr, "%s\n", error->message);
                exit(EXIT_FAILURE);
        }
}

static GVariant *get(Notebook *n, const char *name) {
        g_autoptr(GVariant) reply = call(n, n->path, "org.freedesktop.DBus.Properties", "Get", g_variant_new("(ss)", RUNTIME, name), NULL);
        GVariant *value;

        g_variant_get(reply, "(v)", &value);
        return value;
}

/* The newest runtime of this notebook, ended or not; NULL: there is none. */
static char *find(Notebook *n, const char *notebook) {
        GVariant *filter = g_variant_new_parsed("({'Labels': <{%s: %s}>},)", LABEL, notebook);
        g_autoptr(GVariant) reply = call(n, MANAGER_PATH, MANAGER, "ListRuntimes", filter, NULL), runtimes = g_variant_get_child_value(reply, 0);
        size_t count = g_variant_n_children(runtimes);
        char *path = NULL;

        if (count > 0)
                g_variant_get_child(runtimes, count - 1, "(so@a{sv})", NULL, &path, NULL);
        return path;
}

static char *start(Notebook *n, const char *notebook, char **command, gboolean own) {
        g_autofree char *directory = g_get_current_dir(), *uuid = g_uuid_string_random();
        g_auto(GStrv) parts = g_strsplit(uuid, "-", -1);
        /* Our own id makes it safe to repeat the start. */
        g_autofree char *id = g_strjoinv(NULL, parts);
        g_autoptr(GVariant) reply = NULL;
        char *path;

        /* Emptied before there is a runtime: killed in between, we must not take the old numbers for the new runtime's. */
        if (ftruncate(fileno(n->transcript), 0) < 0)
                g_error("The transcript can't be emptied.");
        n->last = 0;
        reply = call(n, MANAGER_PATH, MANAGER, "StartRuntime",
                     g_variant_new_parsed("('command', {'Id': <%s>, 'Command': <%^as>, 'WorkingDirectory': <%s>, 'Labels': <{%s: %s}>, 'Owner': <%s>})", id,
                                          command, directory, LABEL, notebook, own ? "caller" : "none"),
                     NULL);
        g_variant_get(reply, "(so)", NULL, &path);
        return path;
}

/* From now on the runtime ends when we leave the bus, whatever the reason. */
static void take_ownership(Notebook *n) {
        g_autofree char *error = NULL;
        g_autoptr(GVariant) reply = call(n, n->path, RUNTIME, "TakeOwnership", g_variant_new_parsed("(@a{sv} {},)"), &error);

        if (!reply && !g_str_equal(error, ERROR "BadState")) { /* it has ended: we shall be told why */
                fprintf(stderr, "%s\n", g_str_equal(error, ERROR "HasOwner") ? "This notebook is open in another window." : error);
                exit(EXIT_FAILURE);
        }
}

/* The number of the last line in it is where we go on: what is shown and what is remembered can't differ. */
static void open_transcript(Notebook *n, const char *notebook) {
        g_autofree char *name = g_strconcat(notebook, ".log", NULL), *line = NULL;
        size_t size = 0;
        ssize_t length;
        off_t end = 0;

        n->transcript = fopen(name, "a+e");
        if (!n->transcript)
                g_error("%s can't be opened.", name);
        rewind(n->transcript);
        while ((length = getline(&line, &size, n->transcript)) > 0 && line[length - 1] == '\n') {
                n->last = g_ascii_strtoull(line, NULL, 10);
                end += length;
        }
        if (ftruncate(fileno(n->transcript), end) < 0)
                g_error("%s can't be written.", name);
}

static void write_line(Notebook *n, guint64 number, guint8 stream, guint32 flags, const char *data, size_t size) {
        fprintf(n->transcript, "%" G_GUINT64_FORMAT " %u %u ", number, stream, flags);
        fwrite(data, 1, size, n->transcript);
        fputc('\n', n->transcript);
        fflush(n->transcript);
        n->last = number;
}

/* Lines up to this one are no longer kept. */
static void lose(Notebook *n, guint64 last) {
        g_autofree char *text = NULL;

        if (last <= n->last)
                return;
        text = g_strdup_printf("[lines %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are lost]", n->last + 1, last);
        fprintf(stderr, "%s\n", text);
        write_line(n, last, 0, 0, text, strlen(text));
}

/* The bytes of a line that wasn't text. NULL: they are no longer kept. */
static GVariant *read_raw(Notebook *n, guint64 number) {
        g_autoptr(GVariant) reply = call(n, n->path, RUNTIME, "ReadOutput", g_variant_new("(tu)", number - 1, 1), NULL);
        g_autoptr(GVariant) lines = g_variant_get_child_value(reply, 0);
        guint64 found = 0;
        GVariant *bytes;

        if (g_variant_n_children(lines) == 0)
                return NULL;
        g_variant_get_child(lines, 0, "(tytu@ay)", &found, NULL, NULL, NULL, &bytes);
        if (found != number)
                g_clear_pointer(&bytes, g_variant_unref);
        return bytes;
}

/* lines: a(tytus), of OutputLines and ReadOutputText. */
static void take(Notebook *n, GVariant *lines) {
        GVariantIter iter;
        const char *text;
        guint64 number;
        guint8 stream;
        guint32 flags;

        g_variant_iter_init(&iter, lines);
        while (g_variant_iter_next(&iter, "(tytu&s)", &number, &stream, NULL, &flags, &text)) {
                g_autoptr(GVariant) raw = NULL;
                size_t size = strlen(text);

                if (number <= n->last) /* it may come again: signals do after the service was restarted */
                        continue;
                lose(n, number - 1);
                if ((flags & LOSSY) && (raw = read_raw(n, number)))
                        text = g_variant_get_fixed_array(raw, &size, 1);
                write_line(n, number, stream, flags, text, size);
                fwrite(text, 1, size, stdout);
                if (!(flags & (PARTIAL | UNTERMINATED)))
                        putchar('\n');
        }
        fflush(stdout);
}

static void show(const char *state) {
        /* There may be new states: what we don't know is busy. */
        fprintf(stderr, "[%s]\n", g_str_equal(state, "ready") || g_str_equal(state, "ended") ? state : "busy");
}

/* What hasn't come is read. The service forgets the runtime when we have all of it, so that it isn't found again. */
static void finish(Notebook *n, GVariant *report) {
        const char *result = "", *message = "";
        gboolean more = TRUE;
        guint64 last = 0;

        while (more) {
                g_autoptr(GVariant) reply = call(n, n->path, RUNTIME, "ReadOutputText", g_variant_new("(tu)", n->last, 0), NULL), lines = NULL;

                g_variant_get(reply, "(@a(tytus)tb)", &lines, &last, &more);
                take(n, lines);
        }
        lose(n, last);
        g_variant_unref(call(n, n->path, RUNTIME, "Forget", NULL, NULL));
        g_variant_lookup(report, "Result", "&s", &result);
        g_variant_lookup(report, "Message", "&s", &message);
        fprintf(stderr, "[%s: %s]\n", result, message);
        if (g_str_equal(result, "success") || g_str_equal(result, "exit-code"))
                g_variant_lookup(report, "ExitCode", "i", &n->status);
        g_main_loop_quit(n->loop);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *signal, GVariant *parameters,
                      gpointer userdata) {
        Notebook *n = userdata;
        g_autoptr(GVariant) first = g_variant_n_children(parameters) > 0 ? g_variant_get_child_value(parameters, 0) : NULL;

        if (!g_main_loop_is_running(n->loop))
                return;
        if (g_str_equal(signal, "OutputLines"))
                take(n, first);
        else if (g_str_equal(signal, "OutputDropped")) {
                guint64 count;

                g_variant_get_child(parameters, 1, "t", &count);
                lose(n, g_variant_get_uint64(first) + count - 1);
        } else if (g_str_equal(signal, "StateChanged")) {
                const char *state;

                g_variant_get_child(parameters, 1, "&s", &state);
                show(state);
        } else if (g_str_equal(signal, "Ended"))
                finish(n, first);
        /* There are others, and will be more. */
}

/* Called at once, and each time when the service has been restarted. That it vanishes is not an end of any runtime. */
static void on_service(GDBusConnection *bus, const char *name, const char *owner, gpointer userdata) {
        Notebook *n = userdata;
        g_autoptr(GVariant) state = NULL;

        g_variant_unref(call(n, n->path, RUNTIME, "Subscribe", g_variant_new("(tu)", n->last, LIFE | OUTPUT), NULL));
        state = get(n, "State");
        show(g_variant_get_string(state, NULL));
        if (g_str_equal(g_variant_get_string(state, NULL), "ended")) {
                g_autoptr(GVariant) report = get(n, "EndReport");

                finish(n, report);
        }
}

static void run(Notebook *n, const char *notebook, char **command, gboolean own) {
        open_transcript(n, notebook);
        n->path = find(n, notebook);
        if (!n->path)
                n->path = start(n, notebook, command, own);
        else if (own)
                take_ownership(n);
        g_dbus_connection_signal_subscribe(n->bus, SERVICE, RUNTIME, NULL, n->path, NULL, 0, on_signal, n, NULL);
        g_bus_watch_name_on_connection(n->bus, SERVICE, 0, on_service, NULL, n, NULL);
        g_main_loop_run(n->loop);
}

static void stop(Notebook *n, const char *notebook) {
        n->path = find(n, notebook);
        if (n->path)
                g_variant_unref(call(n, n->path, RUNTIME, "Stop", g_variant_new_parsed("(@a{sv} {},)"), NULL));
        else
                fprintf(stderr, "It doesn't run.\n");
        n->status = n->path ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        Notebook n = {.status = EXIT_FAILURE};
        g_autoptr(GError) error = NULL;

        if (argc < 3 || !g_strv_contains((const char *[]){"run", "own", "stop", NULL}, argv[1])) {
                fprintf(stderr, "Usage: %s run|own|stop NOTEBOOK [COMMAND [ARGUMENT...]]\n", argv[0]);
                return EXIT_FAILURE;
        }
        n.loop = g_main_loop_new(NULL, FALSE);
        n.bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, &error);
        if (!n.bus)
                g_error("%s", error->message);
        if (g_str_equal(argv[1], "stop"))
                stop(&n, argv[2]);
        else
                run(&n, argv[2], argv + 3, g_str_equal(argv[1], "own"));
        g_clear_pointer(&n.transcript, fclose);
        g_free(n.path);
        g_object_unref(n.bus);
        g_main_loop_unref(n.loop);
        return n.status;
}
