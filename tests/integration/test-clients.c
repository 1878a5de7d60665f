/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The clients of docs/clients.md as they are there, each against the real service: what the page promises of them, and of the service with them.
 *
 * What they start waits for the test at a FIFO, so that nothing here depends on how fast anybody is. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "private-bus.h"
#include "util/names.h"

#define NOTEBOOK "Röntgen 1895" /* any text is a label */

/* A client that was started. */
typedef struct App {
        Harness *h;
        GSubprocess *process;
        char *output;
        char *errors;
} App;

static char *folder_of(Harness *h) {
        char *folder = g_build_filename(h->directory, "app", NULL);

        g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
        return folder;
}

static char *program_of(const char *client) {
        if (g_str_has_prefix(client, "notes-"))
                return g_build_filename(harness_build_directory(), "..", "docs", client, NULL);
        return g_test_build_filename(G_TEST_DIST, "..", "..", "docs", "examples", "clients", client, NULL);
}

/* arguments: in the text format of GVariant, as. */
static App *launch(Harness *h, const char *client, const char *arguments) {
        g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
        g_autofree char *folder = folder_of(h), *program = program_of(client);
        g_autoptr(GVariant) rest = g_variant_ref_sink(g_variant_new_parsed(arguments));
        g_autofree const char **words = g_variant_get_strv(rest, NULL);
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        g_autoptr(GError) error = NULL;
        App *app = g_new0(App, 1);
        static unsigned n;

        app->h = h;
        app->output = g_strdup_printf("%s/output-%u", folder, ++n);
        app->errors = g_strdup_printf("%s/errors-%u", folder, n);
        g_ptr_array_add(argv, program);
        for (const char **word = words; *word; word++)
                g_ptr_array_add(argv, (char *) *word);
        g_ptr_array_add(argv, NULL);
        g_subprocess_launcher_set_cwd(launcher, folder);
        g_subprocess_launcher_setenv(launcher, "DBUS_SESSION_BUS_ADDRESS", h->bus_address, TRUE);
        g_subprocess_launcher_set_stdout_file_path(launcher, app->output);
        g_subprocess_launcher_set_stderr_file_path(launcher, app->errors);
        app->process = g_subprocess_launcher_spawnv(launcher, (const char *const *) argv->pdata, &error);
        g_assert_no_error(error);
        return app;
}

static char *read_file(const char *path) {
        char *text = NULL;

        (void) g_file_get_contents(path, &text, NULL, NULL);
        return text ?: g_strdup("");
}

typedef struct Wanted {
        const char *file;
        const char *text;
} Wanted;

static gboolean is_there(gpointer userdata) {
        Wanted *wanted = userdata;
        g_autofree char *text = read_file(wanted->file);

        return strstr(text, wanted->text) != NULL;
}

static void wait_errors(App *app, const char *text) {
        harness_wait(app->h, is_there, &(Wanted){app->errors, text}, text);
}

/* Until it has shown so much: that, and nothing else. */
static void wait_output(App *app, const char *expected) {
        g_autofree char *text = NULL;

        harness_wait(app->h, is_there, &(Wanted){app->output, expected}, expected);
        text = read_file(app->output);
        g_assert_cmpstr(text, ==, expected);
}

static gboolean has_exited(gpointer userdata) {
        App *app = userdata;

        return !g_subprocess_get_identifier(app->process);
}

static void app_free(App *app) {
        g_object_unref(app->process);
        g_free(app->output);
        g_free(app->errors);
        g_free(app);
}

/* It ends by itself, having shown and said this; NULL: anything. */
static void wait_exit(App *app, int status, const char *output, const char *errors) {
        g_autofree char *text = NULL, *said = NULL;

        harness_wait(app->h, has_exited, app, "the client exits");
        text = read_file(app->output);
        said = read_file(app->errors);
        if (!g_subprocess_get_if_exited(app->process) || g_subprocess_get_exit_status(app->process) != status || (errors && !strstr(said, errors)))
                harness_fail(app->h, "the client ended with 0x%x and said: %s%s", g_subprocess_get_status(app->process), text, said);
        if (output)
                g_assert_cmpstr(text, ==, output);
        app_free(app);
}

/* Without a chance to do anything about it. */
static void crash(App *app) {
        g_subprocess_send_signal(app->process, SIGKILL);
        harness_wait(app->h, has_exited, app, "the client is gone");
        app_free(app);
}

static char *step_path(Harness *h) {
        return g_build_filename(h->directory, "app", "step", NULL);
}

/* The FIFO that what is started waits at. */
static void make_steps(Harness *h) {
        g_autofree char *path = step_path(h);

        g_free(folder_of(h));
        g_assert_cmpint(mkfifo(path, 0600), ==, 0);
}

static gboolean went_on(gpointer userdata) {
        g_autofree char *path = step_path(userdata);
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0) {
                g_assert_cmpint(errno, ==, ENXIO);
                return FALSE;
        }
        g_assert_cmpint(write(fd, "\n", 1), ==, 1);
        close(fd);
        return TRUE;
}

static void step(Harness *h) {
        harness_wait(h, went_on, h, "the runtime waits at the FIFO");
}

/* The one there is. That it was added may have been told before we listened. */
static const char *runtime_path(Harness *h) {
        g_autoptr(GVariant) reply = client_call(h->client, NULL, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)")), list = NULL;
        const char *path;

        list = g_variant_get_child_value(reply, 0);
        g_assert_cmpuint(g_variant_n_children(list), ==, 1);
        g_variant_get_child(list, 0, "(&s&o@a{sv})", NULL, &path, NULL);
        return g_intern_string(path);
}

static char *read_transcript(Harness *h) {
        g_autofree char *path = g_build_filename(h->directory, "app", NOTEBOOK ".log", NULL);

        return read_file(path);
}

/* What the client keeps: exactly this. */
static void check_transcript(Harness *h, const char *expected) {
        g_autofree char *text = read_transcript(h);

        g_assert_cmpstr(text, ==, expected);
}

static void check_forgotten(Harness *h) {
        g_autoptr(GVariant) reply = client_call(h->client, NULL, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)")), list = NULL;

        list = g_variant_get_child_value(reply, 0);
        g_assert_cmpuint(g_variant_n_children(list), ==, 0);
}

static gboolean is_possible(const char *client) {
        static const struct {
                const char *suffix;
                const char *check;
        } needs[] = {
                {".py", "/usr/bin/python3 -c 'import gi'"},
                {".js", "/usr/bin/gjs --version"},
                {".sh", "jq --version"},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(needs); i++) {
                g_autofree char *output = NULL, *errors = NULL;
                int status = -1;

                if (!g_str_has_suffix(client, needs[i].suffix))
                        continue;
                if (g_spawn_command_line_sync(needs[i].check, &output, &errors, &status, NULL) && status == 0)
                        return TRUE;
                g_test_skip(needs[i].check);
                return FALSE;
        }
        return TRUE;
}

static void comes_back(Harness *h, const char *client) {
        g_autofree char *text = NULL;
        App *app;

        make_steps(h);
        harness_start_daemon(h, NULL);
        app = launch(h, client,
                     "['run', '" NOTEBOOK "', 'sh', '-c', 'echo one; printf \"raw \\\\377\\\\n\"; until read _ <step; do :; done; printf \"  two\\\\\\\\ \\\\t "
                     "\\\\n\"; until read _ <step; do :; done; echo "
                     "three; until read _ <step; do :; done; printf four; exit 7']");
        wait_output(app, "one\nraw \377\n");
        crash(app);
        step(h);
        client_wait_text(h->client, runtime_path(h), "two");
        app = launch(h, client, "['run', '" NOTEBOOK "']");
        wait_output(app, "  two\\ \t \n");
        step(h);
        wait_output(app, "  two\\ \t \nthree\n");
        step(h);
        wait_exit(app, 7, "  two\\ \t \nthree\nfour", "[exit-code: The process exited with status 7.]");
        check_forgotten(h);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 1));
        /* The end of the last line comes with it, or behind. */
        text = read_transcript(h);
        g_assert_true(g_str_has_prefix(text, "1 1 0 one\n2 1 2 raw \377\n3 1 0   two\\ \t \n4 1 0 three\n5 1 "));
}

static void ended_meanwhile(Harness *h, const char *client) {
        App *app;

        make_steps(h);
        harness_start_daemon(h, NULL);
        app = launch(h, client, "['run', '" NOTEBOOK "', 'sh', '-c', 'echo one; until read _ <step; do :; done; echo two; exit 3']");
        wait_output(app, "one\n");
        crash(app);
        step(h);
        g_variant_unref(client_wait_ended(h->client, runtime_path(h)));
        wait_exit(launch(h, client, "['run', '" NOTEBOOK "']"), 3, "two\n", "[exit-code: ");
        check_transcript(h, "1 1 0 one\n2 1 0 two\n");
        check_forgotten(h);

        /* The next one begins anew. */
        wait_exit(launch(h, client, "['run', '" NOTEBOOK "', 'echo', 'again']"), 0, "again\n", "[success: ");
        check_transcript(h, "1 1 0 again\n");
}

static void torn_line(Harness *h, const char *client) {
        App *app;

        make_steps(h);
        harness_start_daemon(h, NULL);
        app = launch(h, client, "['run', '" NOTEBOOK "', 'sh', '-c', 'echo one; echo two; until read _ <step; do :; done; exit 0']");
        wait_output(app, "one\ntwo\n");
        crash(app);
        /* As if it had been killed in the middle of writing the second. */
        g_free(harness_add_file(h, "app/" NOTEBOOK ".log", "1 1 0 one\n2 1 0 t", 0600));
        app = launch(h, client, "['run', '" NOTEBOOK "']");
        wait_output(app, "two\n");
        step(h);
        wait_exit(app, 0, "two\n", NULL);
        check_transcript(h, "1 1 0 one\n2 1 0 two\n");
}

static void service_restarts(Harness *h, const char *client) {
        App *app;

        make_steps(h);
        harness_start_daemon(h, NULL);
        private_bus_wait_for(RM_BUS_NAME);
        app = launch(
                h, client,
                "['run', '" NOTEBOOK
                "', 'sh', '-c', 'echo one; until read _ <step; do :; done; echo two; until read _ <step; do :; done; echo three; exec tail -f /dev/null']");
        wait_output(app, "one\n");
        harness_kill_daemon(h);
        step(h);
        harness_start_daemon(h, NULL);
        wait_output(app, "one\ntwo\n");
        step(h);
        wait_output(app, "one\ntwo\nthree\n");
        wait_exit(launch(h, client, "['stop', '" NOTEBOOK "']"), 0, "", NULL);
        wait_exit(app, 1, "one\ntwo\nthree\n", "[stopped: ");
        check_transcript(h, "1 1 0 one\n2 1 0 two\n3 1 0 three\n");
        check_forgotten(h);
        wait_exit(launch(h, client, "['stop', '" NOTEBOOK "']"), 1, "", "It doesn't run.");
}

static void wait_owner_lost(Harness *h, const char *path) {
        g_autoptr(GVariant) report = client_wait_ended(h->client, path);

        report_check(report, "{'Result': <'owner-lost'>, 'RequestedBy': <'owner'>}", NULL);
}

static void owns(Harness *h, const char *client) {
        App *app;

        harness_start_daemon(h, NULL);
        app = launch(h, client, "['own', '" NOTEBOOK "', 'sh', '-c', 'echo one; exec tail -f /dev/null']");
        wait_output(app, "one\n");
        crash(app);
        wait_owner_lost(h, runtime_path(h));
        wait_exit(launch(h, client, "['run', '" NOTEBOOK "']"), 1, "", "[owner-lost: ");
        check_forgotten(h);
}

static void owns_later(Harness *h, const char *client) {
        App *app;

        harness_start_daemon(h, NULL);
        app = launch(h, client, "['run', '" NOTEBOOK "', 'sh', '-c', 'echo one; exec tail -f /dev/null']");
        wait_output(app, "one\n");
        crash(app);
        app = launch(h, client, "['own', '" NOTEBOOK "']");
        wait_errors(app, "[ready]");
        if (!g_str_has_suffix(client, ".sh")) /* a script is no owner between its calls */
                wait_exit(launch(h, client, "['own', '" NOTEBOOK "']"), 1, "", "This notebook is open in another window.");
        crash(app);
        wait_owner_lost(h, runtime_path(h));
}

static void can_not_start(Harness *h, const char *client) {
        harness_start_daemon(h, NULL);
        wait_exit(launch(h, client, "['run', '" NOTEBOOK "', 'nothing-there']"), 1, "", "no executable \"nothing-there\" found in PATH");
        check_forgotten(h);
}

/* Each number is there once, as itself or as lost. */
static void check_numbers(Harness *h, guint64 last) {
        g_autofree char *text = read_transcript(h);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        guint64 before = 0, lost = 0;

        for (char **line = lines; **line; line++) {
                guint64 number = g_ascii_strtoull(*line, NULL, 10), first = number, end;

                if (strstr(*line, " are lost]")) {
                        g_assert_cmpint(sscanf(*line, "%*u 0 0 [lines %" G_GINT64_MODIFIER "u to %" G_GINT64_MODIFIER "u are lost]", &first, &end), ==, 2);
                        g_assert_cmpuint(end, ==, number);
                        lost += end - first + 1;
                }
                g_assert_cmpuint(first, ==, before + 1);
                before = number;
        }
        g_assert_cmpuint(before, ==, last);
        g_assert_cmpuint(lost, >, 0);
}

static void flooded(Harness *h, const char *client) {
        App *app;

        make_steps(h);
        harness_start_daemon(h, NULL);
        /* Much more than the ring and a window hold; each line is one write, so that none is taken in two halves when it is late. */
        app = launch(h, client,
                     "['run', '" NOTEBOOK "', 'sh', '-c', 'line=$(printf %01000d 0); echo one; until read _ <step; do :; done; i=0; while [ $i -lt 8000 ]; do "
                     "echo $line; i=$((i + 1)); done; echo last; until read _ <step; do :; done']");
        wait_output(app, "one\n");
        g_subprocess_send_signal(app->process, SIGSTOP);
        step(h);
        client_wait_text(h->client, runtime_path(h), "last");
        g_subprocess_send_signal(app->process, SIGCONT);
        harness_wait(h, is_there, &(Wanted){app->output, "last\n"}, "the last line is shown");
        step(h);
        wait_exit(app, 0, NULL, " are lost]");
        check_numbers(h, 8002);
}

#define LINE(number, text) "(" number ", byte 1, uint64 0, uint32 0, '" text "')"

static void send_signal(GDBusConnection *bus, const char *to, const char *name, const char *parameters) {
        g_autoptr(GDBusMessage) message = g_dbus_message_new_signal(RM_RUNTIME_PREFIX "/x", RM_RUNTIME_INTERFACE, name);

        g_dbus_message_set_destination(message, to);
        g_dbus_message_set_body(message, g_variant_new_parsed(parameters));
        g_assert_true(g_dbus_connection_send_message(bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL));
}

/* In GDBus's own thread: a service of some years from now, that says things twice. */
static GDBusMessage *on_message(GDBusConnection *bus, GDBusMessage *message, gboolean incoming, gpointer userdata) {
        static const char *const replies[][2] = {
                {"ListRuntimes", "([('x', objectpath '" RM_RUNTIME_PREFIX "/x', {'Kind': <'of-the-future'>})],)"},
                {"Subscribe", "(uint64 3,)"},
                {"Get", "(<'hibernating'>,)"},
                {"ReadOutputText", "(@a(tytus) [], uint64 6, false)"},
                {"Forget", "()"},
        };
        static const char *const signals[][2] = {
                {"Dreamt", "('of sheep', 7)"},
                {"OutputLines", "([" LINE("uint64 1", "one") ", " LINE("2", "two") "],)"},
                {"StateChanged", "('hibernating', 'awakening')"},
                {"OutputLines", "([" LINE("uint64 1", "one") ", " LINE("2", "two") ", " LINE("3", "three") "],)"},
                {"OutputDropped", "(uint64 4, uint64 2)"},
                {"OutputLines", "([(uint64 6, byte 9, uint64 0, uint32 64, 'six')],)"},
                {"Ended", "({'Result': <'evaporated'>, 'Message': <'It is gone.'>, 'Cloud': <[1, 2]>},)"},
        };
        const char *member = g_dbus_message_get_member(message), *sender = g_dbus_message_get_sender(message);

        if (!incoming || g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
                return message;
        for (size_t i = 0; i < G_N_ELEMENTS(replies); i++) {
                g_autoptr(GDBusMessage) reply = NULL;

                if (!g_str_equal(member, replies[i][0]))
                        continue;
                reply = g_dbus_message_new_method_reply(message);
                g_dbus_message_set_body(reply, g_variant_new_parsed(replies[i][1]));
                g_assert_true(g_dbus_connection_send_message(bus, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL));
                for (size_t j = 0; g_str_equal(member, "Subscribe") && j < G_N_ELEMENTS(signals); j++)
                        send_signal(bus, sender, signals[j][0], signals[j][1]);
                g_object_unref(message);
                return NULL;
        }
        return message;
}

static void of_the_future(Harness *h, const char *client) {
        g_autoptr(Client) service = client_new(h);
        guint filter = g_dbus_connection_add_filter(service->bus, on_message, NULL, NULL);
        g_autofree char *said = NULL;
        App *app;

        g_variant_unref(g_dbus_connection_call_sync(service->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
                                                    g_variant_new("(su)", RM_BUS_NAME, 0), NULL, 0, -1, NULL, NULL));
        app = launch(h, client, "['run', '" NOTEBOOK "']");
        wait_errors(app, "[evaporated: It is gone.]");
        said = read_file(app->errors);
        g_assert_cmpstr(said, ==, "[busy]\n[busy]\n[lines 4 to 5 are lost]\n[evaporated: It is gone.]\n");
        wait_exit(app, 1, "one\ntwo\nthree\nsix\n", NULL);
        check_transcript(h, "1 1 0 one\n2 1 0 two\n3 1 0 three\n5 0 0 [lines 4 to 5 are lost]\n6 9 64 six\n");
        g_dbus_connection_remove_filter(service->bus, filter);
}

#define CLIENTS(X) X(gdbus, "notes-gdbus") X(sdbus, "notes-sdbus") X(python, "notes.py") X(gjs, "notes.js") X(shell, "notes.sh")
#define BEHAVIOURS(X, client)                                                                                                                                  \
        X(client, comes_back, "comes-back-and-shows-each-line-once")                                                                                           \
        X(client, ended_meanwhile, "learns-how-it-ended-meanwhile")                                                                                            \
        X(client, torn_line, "was-killed-while-it-wrote")                                                                                                      \
        X(client, service_restarts, "goes-on-when-the-service-is-restarted-and-stops")                                                                         \
        X(client, owns, "is-the-owner-without-whom-it-ends")                                                                                                   \
        X(client, owns_later, "becomes-the-owner-when-it-comes-back")                                                                                          \
        X(client, can_not_start, "says-why-it-can-t-be-started")                                                                                               \
        X(client, flooded, "says-which-lines-are-lost")

/* A case takes no argument. */
#define DEFINE_CASE(client, behaviour, name)                                                                                                                   \
        static void client##_##behaviour(Harness *h) {                                                                                                         \
                if (is_possible(client##_name))                                                                                                                \
                        behaviour(h, client##_name);                                                                                                           \
        }
#define DEFINE_CASES(client, file)                                                                                                                             \
        static const char client##_name[] = file;                                                                                                              \
        BEHAVIOURS(DEFINE_CASE, client)
#define CASE(client, behaviour, name) {#client "-" name, client##_##behaviour},
#define CASES(client, file) BEHAVIOURS(CASE, client)

CLIENTS(DEFINE_CASES)

/* A script hears no signals. */
#define LISTENERS(X)                                                                                                                                           \
        X(gdbus, of_the_future, "takes-what-it-does-not-know")                                                                                                 \
        X(sdbus, of_the_future, "takes-what-it-does-not-know")                                                                                                 \
        X(python, of_the_future, "takes-what-it-does-not-know")                                                                                                \
        X(gjs, of_the_future, "takes-what-it-does-not-know")

LISTENERS(DEFINE_CASE)

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {CLIENTS(CASES) LISTENERS(CASE)};

        return harness_main(argc, argv, "clients", cases, G_N_ELEMENTS(cases));
}
