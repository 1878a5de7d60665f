/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of bad input: a named error for each, nothing started, nothing left, and the daemon as it was before. */

#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "util/limits.h"
#include "util/names.h"

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

typedef GVariant *(*MakeOptions)(void);

typedef struct BadStart {
        const char *name;
        const char *kind;    /* NULL: command */
        const char *options; /* in GVariant's text format */
        MakeOptions make;    /* instead of options */
        const char *error;
        const char *mentions; /* what the message must have */
} BadStart;

#define COMMAND "'Command': <['true']>"

static GVariant *make_options(const char *key, GVariant *value, gboolean with_command) {
        GVariantDict options;

        g_variant_dict_init(&options, NULL);
        if (with_command)
                g_variant_dict_insert_value(&options, "Command", g_variant_new_strv((const char *[]){"true"}, 1));
        g_variant_dict_insert_value(&options, key, value);
        return g_variant_dict_end(&options);
}

/* n strings of a size; the first is a program. */
static GVariant *make_strings(size_t n, size_t size, const char *first) {
        g_autofree char *filling = g_strnfill(size, 'x');
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_STRING_ARRAY);
        if (first)
                g_variant_builder_add(&builder, "s", first);
        for (size_t i = 0; i < n; i++)
                g_variant_builder_add(&builder, "s", filling);
        return g_variant_builder_end(&builder);
}

static GVariant *make_huge_argument(void) {
        return make_options("Command", make_strings(1, 2 * 1024 * 1024, "true"), FALSE);
}

/* The kernel's own limit for one word, with its NUL. */
static GVariant *make_too_long_argument(void) {
        return make_options("Command", make_strings(1, LIMIT_ARGUMENT, "true"), FALSE);
}

static GVariant *make_too_many_arguments(void) {
        return make_options("Command", make_strings(LIMIT_ARGUMENTS, 1, "true"), FALSE);
}

static GVariant *make_too_large_command(void) {
        return make_options("Arguments", make_strings(17, 64 * 1024, NULL), TRUE);
}

static GVariant *make_environment(void) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_STRING_ARRAY);
        for (size_t i = 0; i < 10000; i++)
                g_variant_builder_add_value(&builder, g_variant_new_take_string(g_strdup_printf("V%zu=1", i)));
        return make_options("Environment", g_variant_builder_end(&builder), TRUE);
}

static GVariant *make_unset_environment(void) {
        return make_options("UnsetEnvironment", make_strings(10000, 4, NULL), TRUE);
}

static GVariant *make_labels(void) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a{ss}"));
        for (size_t i = 0; i <= LIMIT_LABELS; i++) {
                g_autofree char *key = g_strdup_printf("key%zu", i);

                g_variant_builder_add(&builder, "{ss}", key, "value");
        }
        return make_options("Labels", g_variant_builder_end(&builder), TRUE);
}

static GVariant *make_long_label(void) {
        GVariantBuilder builder;
        g_autofree char *value = g_strnfill(LIMIT_LABEL_VALUE + 1, 'v');

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a{ss}"));
        g_variant_builder_add(&builder, "{ss}", "key", value);
        return make_options("Labels", g_variant_builder_end(&builder), TRUE);
}

static GVariant *make_label_twice(void) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a{ss}"));
        g_variant_builder_add(&builder, "{ss}", "key", "1");
        g_variant_builder_add(&builder, "{ss}", "key", "2");
        return make_options("Labels", g_variant_builder_end(&builder), TRUE);
}

static GVariant *make_long_description(void) {
        return make_options("Description", g_variant_new_take_string(g_strnfill(LIMIT_DESCRIPTION + 1, 'd')), TRUE);
}

/* A dictionary may have a key twice. */
static GVariant *make_twice(void) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&builder, "{sv}", "Command", g_variant_new_strv((const char *[]){"true"}, 1));
        g_variant_builder_add(&builder, "{sv}", "NoNewPrivileges", g_variant_new_boolean(TRUE));
        g_variant_builder_add(&builder, "{sv}", "NoNewPrivileges", g_variant_new_boolean(FALSE));
        return g_variant_builder_end(&builder);
}

#define START(title, text, ...)                                                                                                                                \
        { .name = title, .options = text, __VA_ARGS__ }
#define OPTION(title, option, value)                                                                                                                           \
        { .name = title, .options = "{" COMMAND ", '" option "': <" value ">}", .error = "InvalidOption", .mentions = option }

static const BadStart bad_starts[] = {
        START("unknown kind", "{" COMMAND "}", .kind = "cobol", .error = "NoSuchKind", .mentions = "cobol"),
        START("empty kind", "{" COMMAND "}", .kind = "", .error = "NoSuchKind", .mentions = ""),
        START("a kind that is a path", "{" COMMAND "}", .kind = "../command", .error = "NoSuchKind", .mentions = "../command"),
        START("a kind whose file has a mistake", "{" COMMAND "}", .kind = "broken", .error = "NoSuchKind", .mentions = "broken.kind:2"),
        START("a kind whose program is missing", "@a{sv} {}", .kind = "missing", .error = "ExecutableNotFound",
              .mentions = "no Cobol executable found in PATH"),
        START("a kind's option that is required", "@a{sv} {}", .kind = "picky", .error = "InvalidOption", .mentions = "Where"),
        START("a kind's option with a relative path", "{'Where': <'here'>}", .kind = "picky", .error = "InvalidOption", .mentions = "Where"),
        START("a kind's option with a wrong type", "{'Where': <1>}", .kind = "picky", .error = "InvalidOption", .mentions = "Where"),
        START("a kind's option with a value that isn't allowed", "{'Where': <'/'>, 'Mode': <'c'>}", .kind = "picky", .error = "InvalidOption",
              .mentions = "Mode"),
        START("Command for a kind that has one", "{'Where': <'/'>, " COMMAND "}", .kind = "picky", .error = "InvalidOption", .mentions = "Command"),

        OPTION("unknown option", "Colour", "'red'"),
        OPTION("option in another case", "command", "['true']"),
        OPTION("empty name of an option", "", "1"),
        OPTION("owner of no sort", "Owner", "'me'"),
        OPTION("owner's name of two lines", "OwnerName", "'a\\nb'"),
        OPTION("owner's time out of range", "OwnerTimeoutUSec", "uint64 0"),
        OPTION("wrong type: a number as text", "MemoryMax", "'100M'"),
        OPTION("wrong type: signed", "TasksMax", "100"),
        OPTION("wrong type: boolean as number", "NoNewPrivileges", "1"),
        OPTION("wrong type: one string for several", "Environment", "'A=1'"),
        OPTION("wrong type: labels with variants", "Labels", "{'a': <'b'>}"),
        OPTION("wrong type: a variant in a variant", "Id", "<'x'>"),
        START("wrong type: Command as text", "{'Command': <'true'>}", .error = "InvalidOption", .mentions = "Command"),
        {.name = "option twice", .make = make_twice, .error = "InvalidOption", .mentions = "NoNewPrivileges"},

        START("no command", "@a{sv} {}", .error = "InvalidOption", .mentions = "Command"),
        START("empty command", "{'Command': <@as []>}", .error = "InvalidOption", .mentions = "Command"),
        START("command that begins with an empty word", "{'Command': <['', 'x']>}", .error = "InvalidOption", .mentions = "Command"),
        START("arguments alone", "{'Arguments': <['true']>}", .error = "InvalidOption", .mentions = "Command"),
        START("missing executable", "{'Command': <['no-such-program']>}", .error = "ExecutableNotFound", .mentions = "no-such-program"),
        START("missing executable by path", "{'Command': <['/no/such/program']>}", .error = "ExecutableNotFound", .mentions = "/no/such/program"),
        START("executable that is a directory", "{'Command': <['/usr']>}", .error = "ExecutableNotFound", .mentions = "/usr"),
        START("executable that may not be executed", "{'Command': <['/etc/passwd']>}", .error = "ExecutableNotFound", .mentions = "/etc/passwd"),
        START("executable that isn't in the runtime's PATH", "{" COMMAND ", 'Environment': <['PATH=/nonexistent']>}", .error = "ExecutableNotFound",
              .mentions = "true"),
        START("executable in a relative directory of PATH", "{'Command': <['bin/true']>, 'WorkingDirectory': <'/usr'>}", .error = "ExecutableNotFound",
              .mentions = "bin/true"),
        OPTION("directory that isn't there", "WorkingDirectory", "'/no/such/directory'"),
        OPTION("directory that is a file", "WorkingDirectory", "'/etc/passwd'"),
        OPTION("relative directory", "WorkingDirectory", "'tmp'"),
        OPTION("empty directory", "WorkingDirectory", "''"),

        {.name = "2 MiB argument", .make = make_huge_argument, .error = "LimitExceeded", .mentions = "Command"},
        {.name = "argument longer than the kernel takes", .make = make_too_long_argument, .error = "LimitExceeded", .mentions = "Command"},
        {.name = "too many arguments", .make = make_too_many_arguments, .error = "LimitExceeded", .mentions = "Command"},
        {.name = "too much together", .make = make_too_large_command, .error = "LimitExceeded", .mentions = "Arguments"},
        {.name = "10,000 environment entries", .make = make_environment, .error = "LimitExceeded", .mentions = "Environment"},
        {.name = "10,000 names to unset", .make = make_unset_environment, .error = "LimitExceeded", .mentions = "UnsetEnvironment"},
        {.name = "65 labels", .make = make_labels, .error = "LimitExceeded", .mentions = "Labels"},
        {.name = "a long label", .make = make_long_label, .error = "LimitExceeded", .mentions = "Labels"},
        {.name = "a label twice", .make = make_label_twice, .error = "InvalidOption", .mentions = "Labels"},
        {.name = "a long description", .make = make_long_description, .error = "LimitExceeded", .mentions = "Description"},
        OPTION("environment entry without =", "Environment", "['A=1', 'NOTHING']"),
        OPTION("environment entry without a name", "Environment", "['=value']"),
        OPTION("environment entry with a bad name", "Environment", "['A B=1']"),
        OPTION("name to unset with a value", "UnsetEnvironment", "['A=1']"),
        OPTION("label with an empty key", "Labels", "{'': 'x'}"),
        OPTION("label with a space in its key", "Labels", "{'a b': 'x'}"),

        OPTION("id with /", "Id", "'a/b'"),
        OPTION("id with ..", "Id", "'..'"),
        OPTION("empty id", "Id", "''"),
        OPTION("long id", "Id", "'abcdefghijklmnopqrstuvwxyzabcdefg'"),
        OPTION("id in capitals", "Id", "'Notebook'"),
        OPTION("id with a dash", "Id", "'a-b'"),
        OPTION("id that isn't ASCII", "Id", "'größe'"),
        OPTION("description with newlines", "Description", "'a\\n[Service]\\nExecStart=/bin/sh'"),
        OPTION("description with a carriage return", "Description", "'a\\rb'"),
        OPTION("description with an escape sequence", "Description", "'\\u001b[31mred'"),
        OPTION("description with a line separator", "Description", "'a\\u2028b'"),
        OPTION("unknown input", "Input", "'tty'"),

        OPTION("no memory", "MemoryMax", "uint64 0"),
        OPTION("hardly any memory", "MemoryHigh", "uint64 4096"),
        OPTION("absurd memory", "MemoryMax", "uint64 18446744073709551614"),
        OPTION("no tasks", "TasksMax", "uint64 0"),
        OPTION("one task", "TasksMax", "uint64 1"),
        OPTION("absurd number of tasks", "TasksMax", "uint64 18446744073709551614"),
        OPTION("no CPU", "CPUQuotaPerSecUSec", "uint64 0"),
        OPTION("absurd CPU", "CPUQuotaPerSecUSec", "uint64 18446744073709551614"),
        OPTION("no CPU weight", "CPUWeight", "uint64 0"),
        OPTION("CPU weight above systemd's", "CPUWeight", "uint64 10001"),
        OPTION("no IO weight", "IOWeight", "uint64 0"),
        OPTION("IO weight above systemd's", "IOWeight", "uint64 10001"),
        OPTION("small ring", "RingBytes", "uint64 65535"),
        OPTION("large ring", "RingBytes", "uint64 67108865"),
        OPTION("infinite ring", "RingBytes", "uint64 18446744073709551615"),
        OPTION("no time to start", "TimeoutStartUSec", "uint64 0"),
        OPTION("more time to start than D-Bus callers wait", "TimeoutStartUSec", "uint64 5000001"),
        OPTION("no time for the handshake", "TimeoutHandshakeUSec", "uint64 0"),
        OPTION("infinite time for the handshake", "TimeoutHandshakeUSec", "uint64 18446744073709551615"),
        OPTION("no time for setup", "TimeoutSetupUSec", "uint64 0"),
        OPTION("two days to stop", "TimeoutStopUSec", "uint64 172800000000"),
        OPTION("no time to run", "RuntimeMaxUSec", "uint64 0"),
        OPTION("absurd time to run", "RuntimeMaxUSec", "uint64 18446744073709551614"),
        OPTION("infinite retention", "RetainUSec", "uint64 18446744073709551615"),
};

static guint count_entries(const char *path) {
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        const char *name;
        guint n = 0;

        while (directory && (name = g_dir_read_name(directory)))
                n += !g_str_equal(name, "subscribers.json");
        return n;
}

static guint count_fds(Harness *h) {
        g_autofree char *path = g_strdup_printf("/proc/%d/fd", h->daemon);

        return count_entries(path);
}

static guint count_children(Harness *h) {
        g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", h->daemon, h->daemon), *text = NULL;
        g_auto(GStrv) words = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return 0;
        words = g_strsplit(g_strstrip(text), " ", -1);
        return g_strv_length(words);
}

static void assert_nothing_started(Harness *h, const char *name) {
        g_autofree char *path = g_build_filename(h->runtime_directory, RM_RUNTIME_DIRECTORY, NULL);
        g_autoptr(GVariant) rows = client_call(h->client, NULL, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)"));
        g_autoptr(GArray) pids = harness_find_processes(h);
        g_autofree char *text = g_variant_print(rows, FALSE);

        client_sync(h->client);
        if (strcmp(text, "([],)") != 0 || pids->len > 0 || count_entries(path) > 0 || count_children(h) > 0 ||
            client_find_signal(h->client, NULL, "RuntimeAdded", 0))
                harness_fail(h, "%s left something: %s, %u processes, %u folders, %u children", name, text, pids->len, count_entries(path), count_children(h));
}

static void add_kinds(Harness *h) {
        harness_add_kind(h, "broken", "[Kind]\nColour=red\n");
        harness_add_kind(h, "missing", "[Kind]\nExecutable=cobol\nExecutableMissing=no Cobol executable found in PATH\nExec=%e\n");
        harness_add_kind(h, "picky", "[Kind]\nExec=true\n[Option Where]\nType=path\nRequired=yes\n[Option Mode]\nType=string\nValues=a;b\n");
}

static void test_starts(Harness *h) {
        guint n_fds;

        add_kinds(h);
        harness_start_daemon(h, NULL);
        g_variant_unref(client_call(h->client, NULL, "ListKinds", NULL));
        n_fds = count_fds(h);
        for (size_t i = 0; i < G_N_ELEMENTS(bad_starts); i++) {
                const BadStart *row = &bad_starts[i];
                GVariant *options = row->make ? row->make() : g_variant_new_parsed(row->options);
                g_autofree char *message = NULL;

                g_test_message("%s", row->name);
                message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", row->kind ?: "command", options), row->error);
                if (!strstr(message, row->mentions) || strchr(message, '\n'))
                        harness_fail(h, "%s: the message doesn't mention \"%s\" in one line: %s", row->name, row->mentions, message);
                assert_nothing_started(h, row->name);
        }
        g_assert_cmpuint(count_fds(h), ==, n_fds);
}

/* An Id that is taken has a state of its own: the one who has it isn't disturbed. */
static void test_id_taken(Harness *h) {
        g_autofree char *id = harness_id("taken"), *path = NULL, *message = NULL, *state = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'Id': <%s>}", id));
        message = client_call_fails(h->client, NULL, "StartRuntime", g_variant_new_parsed("('command', {'Id': <%s>, 'Command': <['true']>})", id),
                                    "RuntimeExists");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 1);
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 1));
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

typedef struct BadCall {
        const char *name;
        const char *method;
        const char *parameters;
        const char *error;
} BadCall;

static const BadCall bad_calls[] = {
        {"signal 0", "Kill", "('main', 0)", INVALID_ARGS},
        {"negative signal", "Kill", "('main', -9)", INVALID_ARGS},
        {"signal 65", "Kill", "('main', 65)", INVALID_ARGS},
        {"absurd signal", "Kill", "('all', 2147483647)", INVALID_ARGS},
        {"signal to nobody", "Kill", "('', 15)", INVALID_ARGS},
        {"signal to the keeper", "Kill", "('keeper', 15)", INVALID_ARGS},
        {"signal as unsigned", "Kill", "('main', uint32 15)", INVALID_ARGS},
        {"stop with an unknown option", "Stop", "({'Colour': <'red'>},)", "InvalidOption"},
        {"stop with a wrong type", "Stop", "({'TimeoutStopUSec': <1>},)", "InvalidOption"},
        {"stop with two days", "Stop", "({'TimeoutStopUSec': <uint64 172800000000>},)", "InvalidOption"},
        {"limit 0", "SetLimits", "({'TasksMax': <uint64 0>},)", "InvalidOption"},
        {"absurd limit", "SetLimits", "({'MemoryMax': <uint64 18446744073709551614>},)", "InvalidOption"},
        {"unknown limit", "SetLimits", "({'Colour': <uint64 1>},)", "InvalidOption"},
        {"limit with a wrong type", "SetLimits", "({'CPUWeight': <'50'>},)", "InvalidOption"},
        {"subscription to nothing", "Subscribe", "(uint64 0, uint32 0)", INVALID_ARGS},
        {"subscription to more than there is", "Subscribe", "(uint64 0, uint32 4)", INVALID_ARGS},
        {"input to a runtime without", "WriteInput", "([byte 1],)", "NotSupported"},
        {"pipe to a runtime without", "OpenInput", "()", "NotSupported"},
        {"method that isn't there", "Explode", "()", "org.freedesktop.DBus.Error.UnknownMethod"},
        {"forgetting what runs", "Forget", "()", "BadState"},
};

static void test_calls(Harness *h) {
        g_autofree char *path = NULL, *state = NULL;
        guint main_pid, n_fds;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        main_pid = client_get_number(h->client, path, "MainPID");
        n_fds = count_fds(h);
        for (size_t i = 0; i < G_N_ELEMENTS(bad_calls); i++) {
                g_autofree char *message = NULL;

                g_test_message("%s", bad_calls[i].name);
                message = client_call_fails(h->client, path, bad_calls[i].method, g_variant_new_parsed(bad_calls[i].parameters), bad_calls[i].error);
        }
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        g_assert_cmpuint(client_get_number(h->client, path, "MainPID"), ==, main_pid);
        g_assert_cmpuint(count_fds(h), ==, n_fds);
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

/* ListKinds has them all, says what is wrong with those that can't be used, and the others work. */
static void test_broken_kinds_are_listed(Harness *h) {
        g_autoptr(GVariant) reply = NULL, kinds = NULL;
        guint n_found = 0;

        add_kinds(h);
        harness_start_daemon(h, NULL);
        reply = client_call(h->client, NULL, "ListKinds", NULL);
        kinds = g_variant_get_child_value(reply, 0);
        for (gsize i = 0; i < g_variant_n_children(kinds); i++) {
                g_autoptr(GVariant) about = NULL;
                const char *name;

                g_variant_get_child(kinds, i, "(&s@a{sv})", &name, &about);
                if (strcmp(name, "broken") == 0) {
                        n_found++;
                        report_check(about, "{'Available': <false>}", NULL);
                        g_assert_nonnull(strstr(report_string(about, "Problem"), "broken.kind:2"));
                } else if (strcmp(name, "missing") == 0) {
                        n_found++;
                        report_check(about, "{'Available': <false>, 'Problem': <'no Cobol executable found in PATH'>}", NULL);
                } else if (strcmp(name, "picky") == 0) {
                        n_found++;
                        report_check(about,
                                     "{'Available': <true>, 'Problem': <''>, 'Handshake': <'exec'>, 'Interrupt': <false>, 'Steps': <@as []>, "
                                     "'Options': <[('Where', 's', '', true, <''>, @as []), ('Mode', 's', '', false, <''>, ['a', 'b'])]>}",
                                     NULL);
                }
        }
        g_assert_cmpuint(n_found, ==, 3);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-start-with-bad-input-is-refused-by-name", test_starts},
                {"an-id-that-is-taken-is-refused", test_id_taken},
                {"a-call-with-bad-input-is-refused-by-name", test_calls},
                {"kinds-with-mistakes-are-listed-with-them", test_broken_kinds_are_listed},
        };

        return harness_main(argc, argv, "bad-input", cases, G_N_ELEMENTS(cases));
}
