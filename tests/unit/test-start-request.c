/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients may ask for, option by option: each is taken, or refused by name. The messages are built by sd-bus and never sent. */

#include "bus/start-request.h"
#include "bus/steer-request.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

#define INVALID RM_ERROR_INVALID_OPTION
#define EXCEEDED RM_ERROR_LIMIT_EXCEEDED

static const char kind_text[] = "[Kind]\n"
                                "Description=For a test\n"
                                "[Option Text]\nType=string\nValues=one;two\n"
                                "[Option Words]\nType=strings\n"
                                "[Option Flag]\nType=boolean\n"
                                "[Option Count]\nType=integer\n"
                                "[Option Bytes]\nType=size\n"
                                "[Option Wait]\nType=time\n"
                                "[Option Place]\nType=path\n";

typedef struct Fixture {
        char *directory;
        KindSet *kinds;
        const Kind *kind;
        sd_bus *bus;
        int other_end;
} Fixture;

static Fixture fixture;

static void fixture_init(void) {
        g_autofree char *path = NULL;
        int pair[2];

        fixture.directory = g_dir_make_tmp("rm-XXXXXX", NULL);
        path = g_build_filename(fixture.directory, "sample.kind", NULL);
        g_assert_true(g_file_set_contents(path, kind_text, -1, NULL));
        g_assert_cmpint(kind_set_load((const char *const[]){fixture.directory, NULL}, start_request_names(), &fixture.kinds), ==, 0);
        fixture.kind = kind_set_get(fixture.kinds, "sample");
        g_assert_nonnull(fixture.kind);
        g_assert_cmpstr(fixture.kind->problem, ==, NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
        g_assert_cmpint(g_rmdir(fixture.directory), ==, 0);

        /* A bus that makes messages. */
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
        fixture.other_end = pair[1];
        g_assert_cmpint(sd_bus_new(&fixture.bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(fixture.bus, pair[0], pair[0]), >=, 0);
        g_assert_cmpint(sd_bus_start(fixture.bus), >=, 0);
}

static void fixture_done(void) {
        sd_bus_close_unref(fixture.bus);
        fd_close(fixture.other_end);
        kind_set_free(fixture.kinds);
        g_free(fixture.directory);
}

static void append(sd_bus_message *message, GVariant *value) {
        const char *type = g_variant_get_type_string(value);
        g_autofree char *contents = NULL;
        GVariantIter iter;
        GVariant *child;
        char class;

        if (!g_variant_is_container(value)) {
                g_autofree char *string = g_variant_is_of_type(value, G_VARIANT_TYPE_STRING) ? g_variant_dup_string(value, NULL) : NULL;
                int boolean = !string && g_variant_is_of_type(value, G_VARIANT_TYPE_BOOLEAN) && g_variant_get_boolean(value);

                g_assert_cmpint(sd_bus_message_append_basic(message, type[0],
                                                            string           ? (const void *) string
                                                            : type[0] == 'b' ? (const void *) &boolean
                                                                             : g_variant_get_data(value)),
                                >=, 0);
                return;
        }
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_VARIANT)) {
                g_autoptr(GVariant) inner = g_variant_get_variant(value);

                class = 'v';
                contents = g_strdup(g_variant_get_type_string(inner));
        } else if (type[0] == 'a') {
                class = 'a';
                contents = g_strdup(type + 1);
        } else {
                class = type[0] == '{' ? 'e' : 'r';
                contents = g_strndup(type + 1, strlen(type) - 2);
        }
        g_assert_cmpint(sd_bus_message_open_container(message, class, contents), >=, 0);
        g_variant_iter_init(&iter, value);
        while ((child = g_variant_iter_next_value(&iter))) {
                append(message, child);
                g_variant_unref(child);
        }
        g_assert_cmpint(sd_bus_message_close_container(message), >=, 0);
}

/* A message with one value, ready to be read. Takes the value, floating or not. */
static sd_bus_message *message_with(GVariant *value) {
        g_autoptr(GVariant) owned = g_variant_take_ref(value);
        sd_bus_message *message;

        g_assert_cmpint(sd_bus_message_new_method_call(fixture.bus, &message, NULL, "/", "some.interface", "Method"), >=, 0);
        append(message, owned);
        g_assert_cmpint(sd_bus_message_seal(message, 1, 0), >=, 0);
        g_assert_cmpint(sd_bus_message_rewind(message, 1), >=, 0);
        return message;
}

static GVariant *parse(const char *text) {
        g_autoptr(GError) error = NULL;
        GVariant *value;

        value = g_variant_parse(G_VARIANT_TYPE_VARDICT, text, NULL, NULL, &error);
        if (error)
                g_error("%s: %s", text, error->message);
        return value;
}

static StartOptions *read_options(GVariant *value, sd_bus_error *reterr) {
        g_autoptr(sd_bus_message) message = message_with(value);
        StartOptions *options = NULL;
        int r;

        r = start_request_read(message, fixture.kind, 1234, UINT64_MAX, &options, reterr);
        g_assert_true((r >= 0) == (options != NULL));
        g_assert_true((r < 0) == (sd_bus_error_is_set(reterr) > 0));
        return options;
}

static StartOptions *read_good(const char *text) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        StartOptions *options = read_options(parse(text), &error);

        if (!options)
                g_error("%s: %s: %s", text, error.name, error.message);
        return options;
}

static void assert_refused(GVariant *value, const char *name, const char *in_message) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        g_autofree char *text = g_variant_print(value, FALSE);
        g_autoptr(StartOptions) options = read_options(value, &error);

        if (options || strcmp(error.name, name) != 0 || !strstr(error.message, in_message))
                g_error("%.200s: %s (%s) instead of %s (%s)", text, options ? "taken" : error.name, options ? "" : error.message, name, in_message);
}

static void test_nothing(void) {
        g_autoptr(StartOptions) options = read_good("{}");

        g_assert_null(options->id);
        g_assert_null(options->command);
        g_assert_null(options->labels);
        g_assert_false(options->input_pipe);
        g_assert_false(options->no_new_privileges);
        g_assert_false(options->journal);
        g_assert_cmpuint(options->uid, ==, 1234);
        g_assert_cmpuint(options->timeout_start_usec, ==, START_TIMEOUT_MAX_USEC);
        g_assert_cmpuint(options->timeout_setup_usec, ==, TIME_UNSET);
        g_assert_cmpuint(options->timeout_handshake_usec, ==, TIME_UNSET);
        g_assert_cmpuint(options->timeout_stop_usec, ==, TIME_UNSET);
        g_assert_cmpuint(options->runtime_max_usec, ==, TIME_UNSET);
        g_assert_cmpuint(options->retain_usec, ==, RETAIN_DEFAULT_USEC);
        g_assert_cmpuint(options->ring_bytes, ==, LIMIT_RING_DEFAULT);
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                g_assert_cmpuint(options->limits.value[i], ==, UINT64_MAX);
        g_assert_cmpuint(g_hash_table_size(options->values), ==, 0);
}

static void assert_strv(char **strv, const char *joined) {
        g_autofree char *text = strv ? g_strjoinv("|", strv) : g_strdup("(null)");

        g_assert_cmpstr(text, ==, joined);
}

static const KindValue *value_of(const StartOptions *options, const char *name) {
        const KindValue *value = g_hash_table_lookup(options->values, name);

        g_assert_nonnull(value);
        return value;
}

static void test_everything(void) {
        g_autoptr(StartOptions) options = read_good(
                "{'Id': <'a_1'>, 'Description': <'One line, ä'>, 'Labels': <{'b': '2', 'a': '1'}>, 'Command': <['/bin/sh', '', '-c']>, 'Arguments': <['x y']>,"
                " 'Environment': <['A=1', '_B=', 'C=x=y']>, 'UnsetEnvironment': <['D']>, 'WorkingDirectory': <'/tmp'>, 'Input': <'pipe'>,"
                " 'TimeoutStartUSec': <uint64 1>, 'TimeoutSetupUSec': <uint64 2>, 'TimeoutHandshakeUSec': <uint64 3>, 'TimeoutStopUSec': <uint64 0>,"
                " 'RuntimeMaxUSec': <uint64 18446744073709551615>, 'RetainUSec': <uint64 0>, 'RingBytes': <uint64 65536>, 'NoNewPrivileges': <true>, "
                "'Journal': <true>,"
                " 'MemoryMax': <uint64 1048576>, 'MemoryHigh': <uint64 18446744073709551615>, 'CPUQuotaPerSecUSec': <uint64 10000>, 'CPUWeight': <uint64 1>,"
                " 'TasksMax': <uint64 2>, 'IOWeight': <uint64 10000>,"
                " 'Text': <'two'>, 'Words': <['p', 'q']>, 'Flag': <true>, 'Count': <int64 -5>, 'Bytes': <uint64 7>, 'Wait': <uint64 8>, 'Place': <'/x'>}");

        g_assert_cmpstr(options->id, ==, "a_1");
        g_assert_cmpstr(options->description, ==, "One line, ä");
        assert_strv(options->labels, "a|1|b|2");
        assert_strv(options->command, "/bin/sh||-c");
        assert_strv(options->arguments, "x y");
        assert_strv(options->environment, "A=1|_B=|C=x=y");
        assert_strv(options->unset_environment, "D");
        g_assert_cmpstr(options->working_directory, ==, "/tmp");
        g_assert_true(options->input_pipe);
        g_assert_true(options->no_new_privileges);
        g_assert_true(options->journal);
        g_assert_cmpuint(options->timeout_start_usec, ==, 1);
        g_assert_cmpuint(options->timeout_setup_usec, ==, 2);
        g_assert_cmpuint(options->timeout_handshake_usec, ==, 3);
        g_assert_cmpuint(options->timeout_stop_usec, ==, 0);
        g_assert_cmpuint(options->runtime_max_usec, ==, UINT64_MAX);
        g_assert_cmpuint(options->retain_usec, ==, 0);
        g_assert_cmpuint(options->ring_bytes, ==, 65536);
        g_assert_cmpuint(options->limits.value[LIMIT_MEMORY_MAX], ==, 1048576);
        g_assert_cmpuint(options->limits.value[LIMIT_MEMORY_HIGH], ==, UINT64_MAX);
        g_assert_cmpuint(options->limits.value[LIMIT_CPU_QUOTA], ==, 10000);
        g_assert_cmpuint(options->limits.value[LIMIT_CPU_WEIGHT], ==, 1);
        g_assert_cmpuint(options->limits.value[LIMIT_TASKS_MAX], ==, 2);
        g_assert_cmpuint(options->limits.value[LIMIT_IO_WEIGHT], ==, 10000);
        g_assert_cmpstr(value_of(options, "Text")->s, ==, "two");
        assert_strv(value_of(options, "Words")->strv, "p|q");
        g_assert_true(value_of(options, "Flag")->b);
        g_assert_cmpint(value_of(options, "Count")->x, ==, -5);
        g_assert_cmpuint(value_of(options, "Bytes")->t, ==, 7);
        g_assert_cmpuint(value_of(options, "Wait")->t, ==, 8);
        g_assert_cmpstr(value_of(options, "Place")->s, ==, "/x");
        g_assert_cmpstr(start_options_get_label(options, "b"), ==, "2");
        g_assert_null(start_options_get_label(options, "1"));
}

static const struct {
        const char *text, *in_message;
} refused_table[] = {
        {"{'Nonsense': <'x'>}", "Nonsense"},
        {"{'': <'x'>}", "option"},
        {"{'id': <'x'>}", "\"id\""},
        {"{'Owner': <'x'>}", "Owner"},
        {"{'Id': <'a'>, 'Id': <'a'>}", "twice"},
        {"{'MemoryMax': <uint64 1048576>, 'MemoryMax': <uint64 1048576>}", "twice"},
        {"{'Text': <'one'>, 'Text': <'two'>}", "twice"},
        {"{'Id': <''>}", "Id"},
        {"{'Id': <'A'>}", "Id"},
        {"{'Id': <'a/b'>}", "Id"},
        {"{'Id': <'a-b'>}", "Id"},
        {"{'Id': <'..'>}", "Id"},
        {"{'Id': <'a b'>}", "Id"},
        {"{'Id': <'ä'>}", "Id"},
        {"{'Id': <'123456789012345678901234567890123'>}", "Id"},
        {"{'Id': <7>}", "type \"s\", not \"i\""},
        {"{'Id': <objectpath '/a'>}", "type"},
        {"{'Description': <'two\\nlines'>}", "Description"},
        {"{'Description': <'a\\ttab'>}", "Description"},
        {"{'Description': <'a\\u007f'>}", "Description"},
        {"{'Description': <'a\\u0085'>}", "Description"},
        {"{'Description': <'a\\u2028b'>}", "Description"},
        {"{'Description': <['x']>}", "type"},
        {"{'Labels': <{'': 'x'}>}", "Labels"},
        {"{'Labels': <{'a b': 'x'}>}", "Labels"},
        {"{'Labels': <{'a': 'x', 'a': 'y'}>}", "Labels"},
        {"{'Labels': <{'a': <'x'>}>}", "type"},
        {"{'Command': <@as []>}", "Command"},
        {"{'Command': <['']>}", "Command"},
        {"{'Command': <'sh'>}", "type"},
        {"{'Arguments': <'x'>}", "type"},
        {"{'Environment': <['A']>}", "Environment"},
        {"{'Environment': <['=x']>}", "Environment"},
        {"{'Environment': <['1A=x']>}", "Environment"},
        {"{'Environment': <['A B=x']>}", "Environment"},
        {"{'Environment': <['A=1', '']>}", "Environment"},
        {"{'Environment': <{'A': '1'}>}", "type"},
        {"{'UnsetEnvironment': <['A=1']>}", "UnsetEnvironment"},
        {"{'UnsetEnvironment': <['']>}", "UnsetEnvironment"},
        {"{'WorkingDirectory': <''>}", "WorkingDirectory"},
        {"{'WorkingDirectory': <'tmp'>}", "WorkingDirectory"},
        {"{'Input': <''>}", "Input"},
        {"{'Input': <'file'>}", "Input"},
        {"{'TimeoutStartUSec': <uint64 0>}", "TimeoutStartUSec"},
        {"{'TimeoutStartUSec': <uint64 5000001>}", "TimeoutStartUSec"},
        {"{'TimeoutStartUSec': <uint64 18446744073709551615>}", "TimeoutStartUSec"},
        {"{'TimeoutStartUSec': <5>}", "type"},
        {"{'TimeoutStartUSec': <int64 -5>}", "type"},
        {"{'TimeoutSetupUSec': <uint64 0>}", "TimeoutSetupUSec"},
        {"{'TimeoutSetupUSec': <uint64 86400000001>}", "TimeoutSetupUSec"},
        {"{'TimeoutHandshakeUSec': <uint64 0>}", "TimeoutHandshakeUSec"},
        {"{'TimeoutHandshakeUSec': <uint64 18446744073709551614>}", "TimeoutHandshakeUSec"},
        {"{'TimeoutStopUSec': <uint64 86400000001>}", "TimeoutStopUSec"},
        {"{'RuntimeMaxUSec': <uint64 0>}", "RuntimeMaxUSec"},
        {"{'RuntimeMaxUSec': <uint64 18446744073709551614>}", "RuntimeMaxUSec"},
        {"{'RetainUSec': <uint64 86400000001>}", "RetainUSec"},
        {"{'RetainUSec': <uint64 18446744073709551615>}", "RetainUSec"},
        {"{'RingBytes': <uint64 0>}", "RingBytes"},
        {"{'RingBytes': <uint64 65535>}", "RingBytes"},
        {"{'RingBytes': <uint64 67108865>}", "RingBytes"},
        {"{'RingBytes': <uint64 18446744073709551615>}", "RingBytes"},
        {"{'NoNewPrivileges': <'yes'>}", "type"},
        {"{'NoNewPrivileges': <1>}", "type"},
        {"{'MemoryMax': <uint64 0>}", "MemoryMax"},
        {"{'MemoryMax': <uint64 1048575>}", "MemoryMax"},
        {"{'MemoryMax': <uint64 18446744073709551614>}", "MemoryMax"},
        {"{'MemoryMax': <'1M'>}", "type"},
        {"{'MemoryHigh': <uint64 0>}", "MemoryHigh"},
        {"{'CPUQuotaPerSecUSec': <uint64 0>}", "CPUQuotaPerSecUSec"},
        {"{'CPUWeight': <uint64 0>}", "CPUWeight"},
        {"{'CPUWeight': <uint64 10001>}", "CPUWeight"},
        {"{'TasksMax': <uint64 0>}", "TasksMax"},
        {"{'TasksMax': <uint64 1>}", "TasksMax"},
        {"{'IOWeight': <uint64 10001>}", "IOWeight"},
        {"{'Text': <'three'>}", "Text"},
        {"{'Text': <['one']>}", "type"},
        {"{'Words': <'one'>}", "type"},
        {"{'Flag': <'true'>}", "type"},
        {"{'Count': <5>}", "type"},
        {"{'Count': <uint64 5>}", "type"},
        {"{'Bytes': <int64 5>}", "type"},
        {"{'Wait': <'5s'>}", "type"},
        {"{'Place': <'relative'>}", "Place"},
        {"{'Place': <''>}", "Place"},
};

static void test_refused(void) {
        for (size_t i = 0; i < ELEMENTSOF(refused_table); i++)
                assert_refused(parse(refused_table[i].text), INVALID, refused_table[i].in_message);
}

static GVariant *option_with(const char *name, GVariant *value) {
        return g_variant_new_parsed("{%s: %v}", name, value);
}

/* So many strings, all of this one. */
static GVariant *strings(size_t n, const char *string) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE_STRING_ARRAY);
        for (size_t i = 0; i < n; i++)
                g_variant_builder_add(&builder, "s", string);
        return g_variant_builder_end(&builder);
}

static GVariant *labels(size_t n, size_t key_size, size_t value_size) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE("a{ss}"));
        for (size_t i = 0; i < n; i++) {
                g_autofree char *key = g_strdup_printf("%0*zu", (int) key_size, i), *value = g_strnfill(value_size, 'v');

                g_variant_builder_add(&builder, "{ss}", key, value);
        }
        return g_variant_builder_end(&builder);
}

static void assert_taken(GVariant *value) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        g_autoptr(StartOptions) options = read_options(value, &error);

        if (!options)
                g_error("%s: %s", error.name, error.message);
}

/* Each limit: the most that fits, and one more. */
static void test_sizes(void) {
        g_autofree char *word = g_strnfill(LIMIT_ARGUMENT - 1, 'w'), *long_word = g_strnfill(LIMIT_ARGUMENT, 'w');
        g_autofree char *description = g_strnfill(LIMIT_DESCRIPTION, 'd'), *long_description = g_strnfill(LIMIT_DESCRIPTION + 1, 'd');
        g_autofree char *id = g_strnfill(32, 'i');

        assert_taken(option_with("Id", g_variant_new_string(id)));
        assert_taken(option_with("Description", g_variant_new_string(description)));
        assert_refused(option_with("Description", g_variant_new_string(long_description)), EXCEEDED, "Description");
        assert_taken(option_with("Command", strings(LIMIT_ARGUMENTS, "w")));
        assert_refused(option_with("Command", strings(LIMIT_ARGUMENTS + 1, "w")), EXCEEDED, "Command");
        assert_taken(option_with("Arguments", strings(1, word)));
        assert_refused(option_with("Arguments", strings(1, long_word)), EXCEEDED, "Arguments");
        assert_taken(option_with("Arguments", strings(8, word)));
        assert_refused(option_with("Arguments", strings(9, word)), EXCEEDED, "Arguments");
        assert_taken(option_with("Environment", strings(LIMIT_ENVIRONMENT, "A=1")));
        assert_refused(option_with("Environment", strings(LIMIT_ENVIRONMENT + 1, "A=1")), EXCEEDED, "Environment");
        assert_refused(option_with("UnsetEnvironment", strings(LIMIT_ENVIRONMENT + 1, "A")), EXCEEDED, "UnsetEnvironment");
        assert_taken(option_with("Labels", labels(LIMIT_LABELS, LIMIT_LABEL_KEY, LIMIT_LABEL_VALUE)));
        assert_refused(option_with("Labels", labels(LIMIT_LABELS + 1, 3, 1)), EXCEEDED, "Labels");
        assert_refused(option_with("Labels", labels(1, LIMIT_LABEL_KEY + 1, 1)), INVALID, "Labels");
        assert_refused(option_with("Labels", labels(1, 1, LIMIT_LABEL_VALUE + 1)), EXCEEDED, "Labels");
        assert_refused(option_with("Words", strings(LIMIT_ARGUMENTS + 1, "w")), EXCEEDED, "Words");
        assert_refused(option_with("Text", g_variant_new_string(long_word)), EXCEEDED, "Text");
}

/* What fits one by one may be too much together. */
static void test_sizes_together(void) {
        g_autofree char *word = g_strnfill(LIMIT_ARGUMENT - 1, 'w'), *entry = g_strdup_printf("A=%s", word + 2);

        assert_taken(g_variant_new_parsed("{'Command': <%@as>, 'Environment': <%@as>}", strings(4, word), strings(4, entry)));
        assert_refused(
                g_variant_new_parsed("{'Command': <%@as>, 'Arguments': <%@as>, 'Environment': <%@as>}", strings(4, word), strings(1, "x"), strings(4, entry)),
                EXCEEDED, "Command");
        assert_refused(g_variant_new_parsed("{'Command': <%@as>, 'Arguments': <%@as>}", strings(LIMIT_ARGUMENTS, "w"), strings(1, "x")), EXCEEDED, "Command");
}

static char *fingerprint_of(const char *text) {
        g_autoptr(StartOptions) options = read_good(text);

        g_assert_nonnull(options->fingerprint);
        return g_strdup(options->fingerprint);
}

static void test_fingerprint_without_order(void) {
        static const char *const table[][2] = {
                {"{'Id': <'a'>, 'TasksMax': <uint64 5>, 'Text': <'one'>}", "{'Text': <'one'>, 'TasksMax': <uint64 5>, 'Id': <'a'>}"},
                {"{'Labels': <{'a': '1', 'b': '2', 'c': '3'}>}", "{'Labels': <{'c': '3', 'a': '1', 'b': '2'}>}"},
                {"{'Count': <int64 1>, 'Flag': <true>, 'Words': <['x']>}", "{'Words': <['x']>, 'Flag': <true>, 'Count': <int64 1>}"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *one = fingerprint_of(table[i][0]), *other = fingerprint_of(table[i][1]);

                g_assert_cmpstr(one, ==, other);
        }
}

static void test_fingerprint_of_each_value(void) {
        static const char *const table[] = {
                "{}",
                "{'Id': <'a'>}",
                "{'Id': <'b'>}",
                "{'Description': <'a'>}",
                "{'Description': <''>}",
                "{'Labels': <{'a': 'b'}>}",
                "{'Labels': <{'b': 'a'}>}",
                "{'Labels': <{'a': 'b', 'c': ''}>}",
                "{'Command': <['a']>}",
                "{'Command': <['a', '']>}",
                "{'Command': <['a', 'b']>}",
                "{'Command': <['a;1:b']>}",
                "{'Arguments': <['a']>}",
                "{'Arguments': <['a', 'b']>}",
                "{'Arguments': <['ab']>}",
                "{'Arguments': <['b', 'a']>}",
                "{'Environment': <['A=1']>}",
                "{'UnsetEnvironment': <['A']>}",
                "{'WorkingDirectory': <'/a'>}",
                "{'Input': <'pipe'>}",
                "{'TimeoutStartUSec': <uint64 1>}",
                "{'TimeoutSetupUSec': <uint64 1>}",
                "{'TimeoutHandshakeUSec': <uint64 1>}",
                "{'TimeoutStopUSec': <uint64 1>}",
                "{'RuntimeMaxUSec': <uint64 1>}",
                "{'RetainUSec': <uint64 1>}",
                "{'RingBytes': <uint64 65536>}",
                "{'NoNewPrivileges': <true>}",
                "{'Journal': <true>}",
                "{'MemoryMax': <uint64 1048576>}",
                "{'MemoryHigh': <uint64 1048576>}",
                "{'CPUQuotaPerSecUSec': <uint64 10000>}",
                "{'CPUWeight': <uint64 1>}",
                "{'IOWeight': <uint64 1>}",
                "{'TasksMax': <uint64 2>}",
                "{'Text': <'one'>}",
                "{'Text': <'two'>}",
                "{'Words': <['a b']>}",
                "{'Words': <['a', 'b']>}",
                "{'Flag': <true>}",
                "{'Flag': <false>}",
                "{'Count': <int64 1>}",
                "{'Bytes': <uint64 1>}",
                "{'Wait': <uint64 1>}",
                "{'Place': <'/a'>}",
        };
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char *fingerprint = fingerprint_of(table[i]);
                const char *same = g_hash_table_lookup(seen, fingerprint);

                if (same)
                        g_error("%s and %s can't be told apart", same, table[i]);
                g_hash_table_insert(seen, fingerprint, (gpointer) table[i]);
        }
}

static void test_names(void) {
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

        for (const char *const *name = start_request_names(); *name; name++)
                g_assert_true(g_hash_table_add(seen, (gpointer) *name));
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                g_assert_true(g_hash_table_contains(seen, limit_key_table[i].name));
        g_assert_true(g_hash_table_contains(seen, "Command"));
        g_assert_true(g_hash_table_contains(seen, "NoNewPrivileges"));
}

static void test_stop(void) {
        static const struct {
                const char *text, *error;
                uint64_t usec;
        } table[] = {
                {"{}", NULL, TIME_UNSET},
                {"{'TimeoutStopUSec': <uint64 0>}", NULL, 0},
                {"{'TimeoutStopUSec': <uint64 86400000000>}", NULL, TIMEOUT_MAX_USEC},
                {"{'TimeoutStopUSec': <uint64 86400000001>}", INVALID, 0},
                {"{'TimeoutStopUSec': <uint64 18446744073709551614>}", INVALID, 0},
                {"{'TimeoutStopUSec': <5>}", INVALID, 0},
                {"{'TimeoutStopUSec': <uint64 5>, 'TimeoutStopUSec': <uint64 6>}", INVALID, 0},
                {"{'Id': <'a'>}", INVALID, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(sd_bus_message) message = message_with(parse(table[i].text));
                g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
                uint64_t usec = 42;
                int r;

                r = stop_request_read(message, &usec, &error);
                g_assert_cmpstr(error.name, ==, table[i].error);
                g_assert_true((r >= 0) == !table[i].error);
                g_assert_cmpuint(usec, ==, table[i].error ? 42 : table[i].usec);
        }
}

static void test_limits(void) {
        g_autoptr(sd_bus_message) good = message_with(parse("{'MemoryMax': <uint64 1048576>, 'TasksMax': <uint64 18446744073709551615>}"));
        static const char *const refused[] = {"{'MemoryMax': <uint64 1>}", "{'MemoryMax': <'max'>}", "{'Id': <'a'>}", "{'CPUWeight': <uint64 10001>}",
                                              "{'TasksMax': <uint64 5>, 'TasksMax': <uint64 6>}"};
        LimitSet limits = limit_set_none();
        unsigned keys;

        limits.value[LIMIT_TASKS_MAX] = 5;
        limits.value[LIMIT_IO_WEIGHT] = 7;
        g_assert_cmpint(limits_request_read(good, &limits, &keys, NULL), >=, 0);
        g_assert_cmpuint(keys, ==, (1U << LIMIT_MEMORY_MAX) | (1U << LIMIT_TASKS_MAX));
        g_assert_cmpuint(limits.value[LIMIT_MEMORY_MAX], ==, 1048576);
        g_assert_cmpuint(limits.value[LIMIT_TASKS_MAX], ==, UINT64_MAX);
        g_assert_cmpuint(limits.value[LIMIT_IO_WEIGHT], ==, 7);

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                g_autoptr(sd_bus_message) message = message_with(parse(refused[i]));
                g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

                g_assert_cmpint(limits_request_read(message, &limits, &keys, &error), <, 0);
                g_assert_cmpstr(error.name, ==, INVALID);
        }
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        fixture_init();
        g_test_add_func("/start-request/nothing-is-the-defaults", test_nothing);
        g_test_add_func("/start-request/everything", test_everything);
        g_test_add_func("/start-request/refused", test_refused);
        g_test_add_func("/start-request/sizes", test_sizes);
        g_test_add_func("/start-request/sizes-together", test_sizes_together);
        g_test_add_func("/start-request/fingerprint/without-order", test_fingerprint_without_order);
        g_test_add_func("/start-request/fingerprint/of-each-value", test_fingerprint_of_each_value);
        g_test_add_func("/start-request/names", test_names);
        g_test_add_func("/start-request/stop", test_stop);
        g_test_add_func("/start-request/limits", test_limits);
        r = g_test_run();
        fixture_done();
        return r;
}
