/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is sent: strings that are more than they seem, too much of everything, what is no message, and senders that never read. Whatever bob sends, the
 * service refuses it, or carries it out for him alone; meanwhile alice is served. */

#include <string.h>

#include "harness.h"
#include "util/names.h"
#include "victim.h"

#define SERVICE "runtime-manager.service"
#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

static Outcome start_with(AsUser *user, const char *options) {
        g_autoptr(GVariant) given = g_variant_ref_sink(g_variant_new_parsed(options));
        GVariantDict all;

        g_variant_dict_init(&all, given);
        if (!g_variant_dict_contains(&all, "Command"))
                g_variant_dict_insert_value(&all, "Command", g_variant_new_strv((const char *[]){"true"}, 1));
        return as_user_try(user, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", g_variant_dict_end(&all)));
}

static void check_invalid(Outcome outcome, const char *what) {
        g_auto(Outcome) owned = outcome;

        if (owned.reply)
                g_error("this was taken: %s", what);
        g_test_message("%s: %s", owned.error, owned.message);
        if (strcmp(owned.error, RM_ERROR_INVALID_OPTION) != 0 && strcmp(owned.error, RM_ERROR_LIMIT_EXCEEDED) != 0 && strcmp(owned.error, INVALID_ARGS) != 0)
                g_error("%s failed otherwise: %s, %s", what, owned.error, owned.message);
        /* One line for a log. */
        g_assert_null(strpbrk(owned.message, "\n\r\033"));
}

/* data: options in GVariant's text format */
static void test_invalid_option(System *s, gconstpointer data) {
        check_invalid(start_with(s->bob, data), data);
}

static void test_invalid_kinds(System *s, gconstpointer data) {
        static const char *const kinds[] = {"", "command\n", "../command", "/etc/passwd", "comm*nd", "command.kind", "COMMAND", "\033[31mcommand"};

        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
                g_auto(Outcome) outcome = as_user_try(s->bob, NULL, "StartRuntime", g_variant_new("(s@a{sv})", kinds[i], options_shell("id", NULL)));

                g_assert_null(outcome.reply);
                g_assert_cmpstr(outcome.error, ==, RM_ERROR_NO_SUCH_KIND);
                g_assert_null(strpbrk(outcome.message, "\n\r\033"));
        }
}

static void test_invalid_ids(System *s, gconstpointer data) {
        static const char *const ids[] = {
                "", "a\n", "../x", "a/b", "A", "a-b", "a b", "u1000_%n", "\xc3\xa4", "\033[31m", "a123456789012345678901234567890123456789"};
        static const char *const methods[] = {"GetRuntime", "StopRuntime", "WaitRuntime", "KillRuntime"};

        for (size_t i = 0; i < G_N_ELEMENTS(ids); i++)
                for (size_t m = 0; m < G_N_ELEMENTS(methods); m++) {
                        GVariant *arguments = m == 0   ? g_variant_new("(s)", ids[i])
                                              : m == 1 ? g_variant_new("(s@a{sv})", ids[i], g_variant_new_parsed("@a{sv} {}"))
                                              : m == 2 ? g_variant_new("(ss)", ids[i], "ended")
                                                       : g_variant_new("(ssi)", ids[i], "all", 9);
                        g_autofree char *message = as_user_call_fails(s->bob, NULL, methods[m], arguments, "NoSuchRuntime");

                        g_assert_null(strpbrk(message, "\n\r\033"));
                }
}

/* To one of his own, while it runs. */
static void test_invalid_later(System *s, gconstpointer data) {
        static const struct {
                const char *method, *arguments;
        } calls[] = {
                {"TakeOwnership", "({'OwnerName': <'a\\nb'>},)"},
                {"TakeOwnership", "({'OwnerName': <'a\\u001b[31m'>},)"},
                {"TakeOwnership", "({'OwnerGraceUSec': <'x'>},)"},
                {"SetLimits", "({'TasksMax\\nExecStart': <uint64 1>},)"},
                {"SetLimits", "({'TasksMax': <'1\\n[Service]'>},)"},
                {"Stop", "({'Timeout\\nStopUSec': <uint64 1>},)"},
                {"Kill", "('main\\n', 9)"},
                {"Kill", "('main', 0)"},
                {"Kill", "('main', 65)"},
                {"Kill", "('main', -1)"},
                {"Kill", "('keeper', 9)"},
        };
        g_autofree char *path = as_user_start_shell(s->bob, "exec tail -f /dev/null"), *state = NULL;

        for (size_t i = 0; i < G_N_ELEMENTS(calls); i++)
                check_invalid(as_user_try(s->bob, path, calls[i].method, g_variant_new_parsed(calls[i].arguments)), calls[i].arguments);
        state = as_user_get_string(s->bob, path, "State");
        g_assert_cmpstr(state, ==, "ready");
}

/* Newlines that are allowed, in words and in the environment, are nowhere but in the runtime. */
static void test_newlines_in_words(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *unit = NULL, *show = NULL, *text = NULL, *files = NULL;

        path = as_user_start(s->bob, "command",
                             g_variant_new_parsed("{'Command': <['sh', '-c', 'echo \"$A-$1\"; exec tail -f /dev/null', 'sh']>,"
                                                  " 'Arguments': <['x\\n[Scope]\\nMemoryMax=infinity\\nSlice=system.slice']>,"
                                                  " 'Environment': <['A=y\\nSlice=system.slice']>}"));
        as_user_wait_text(s->bob, path, "y\nSlice=system.slice-x\n[Scope]\nMemoryMax=infinity\nSlice=system.slice\n");
        unit = as_user_get_string(s->bob, path, "Unit");
        show = system_unit_property(unit, "Slice");
        text = g_strdup_printf("runtimes-u%u.slice", (unsigned) as_user_get_uid(s->bob));
        g_assert_cmpstr(show, ==, text);
        files = system_run("cat /run/systemd/transient/%s /run/systemd/transient/%s.d/* 2>/dev/null | grep -c system.slice || :", unit, unit);
        g_assert_cmpstr(files, ==, "0");
}

static GVariant *many(const char *type, const char *prefix, const char *suffix, unsigned n) {
        GVariantBuilder builder;

        g_variant_builder_init(&builder, G_VARIANT_TYPE(type));
        for (unsigned i = 0; i < n; i++) {
                g_autofree char *text = g_strdup_printf("%s%u%s", prefix, i, suffix);

                if (strcmp(type, "as") == 0)
                        g_variant_builder_add(&builder, "s", text);
                else
                        g_variant_builder_add(&builder, "{ss}", text, text);
        }
        return g_variant_builder_end(&builder);
}

static char *long_text(size_t size) {
        char *text = g_malloc(size + 1);

        memset(text, 'x', size);
        text[size] = '\0';
        return text;
}

static Outcome start_with_value(AsUser *user, const char *key, GVariant *value) {
        GVariantDict options;

        g_variant_dict_init(&options, NULL);
        g_variant_dict_insert_value(&options, "Command", g_variant_new_strv((const char *[]){"true"}, 1));
        g_variant_dict_insert_value(&options, key, value);
        return as_user_try(user, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", g_variant_dict_end(&options)));
}

static void test_too_much(System *s, gconstpointer data) {
        g_autofree char *mebibyte = long_text(1 << 20);
        const char *huge[] = {mebibyte, mebibyte, mebibyte, mebibyte, mebibyte, mebibyte, mebibyte, mebibyte};

        check_invalid(start_with_value(s->bob, "Labels", many("a{ss}", "label", "", 10000)), "10,000 labels");
        check_invalid(start_with_value(s->bob, "Environment", many("as", "A", "=1", 10000)), "10,000 variables");
        check_invalid(start_with_value(s->bob, "UnsetEnvironment", many("as", "A", "", 10000)), "10,000 names");
        check_invalid(start_with_value(s->bob, "Arguments", many("as", "", "", 100000)), "100,000 arguments");
        check_invalid(start_with_value(s->bob, "Arguments", g_variant_new_strv(huge, G_N_ELEMENTS(huge))), "8 MiB of arguments");
        check_invalid(start_with_value(s->bob, "Description", g_variant_new_string(mebibyte)), "1 MiB of description");
        check_invalid(start_with_value(s->bob, "Id", g_variant_new_string(mebibyte)), "1 MiB of id");
        check_invalid(start_with_value(s->bob, "WorkingDirectory", g_variant_new_string(mebibyte)), "1 MiB of directory");
        check_invalid(start_with_value(s->bob, mebibyte, g_variant_new_string("x")), "an option with a name of 1 MiB");
        check_invalid(start_with_value(s->bob, "RingBytes", g_variant_new_uint64(UINT64_C(1) << 40)), "1 TiB of ring");
}

/* The bus disconnects who sends this; the service has never seen it. */
static void test_no_messages(System *s, gconstpointer data) {
        static const guint8 wrong_version[] = {'l', 1, 0, 9, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
        static const guint8 huge_length[] = {'l', 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
        static const guint8 wrong_endian[] = {'x', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
        static const struct {
                const guint8 *data;
                size_t size;
        } sent[] = {
                {wrong_version, sizeof(wrong_version)},
                {huge_length, sizeof(huge_length)},
                {wrong_endian, sizeof(wrong_endian)},
        };
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        for (size_t i = 0; i < G_N_ELEMENTS(sent); i++) {
                g_free(as_user_raw_open(s->bob));
                g_free(as_user_raw_send(s->bob, sent[i].data, sent[i].size));
                g_assert_true(as_user_raw_is_closed(s->bob, 20000));
        }
        as_user_raw_close(s->bob);
}

static void test_huge_message(System *s, gconstpointer data) {
        g_autofree char *text = long_text(30 << 20);
        g_auto(Outcome) outcome = {0};
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        outcome = start_with_value(s->bob, "Description", g_variant_new_string(text));
        g_assert_null(outcome.reply);
        as_user_sync(s->alice);
}

static guint64 service_memory(void) {
        g_autofree char *text = system_run("awk '/^VmRSS/ {print $2}' /proc/%u/status", system_service_pid(SERVICE));

        return g_ascii_strtoull(text, NULL, 10);
}

/* Calls with large replies, by a connection that never reads. */
static void test_unread_replies(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->bob, "head -c 900000 /dev/zero | tr '\\0' x | fold -w 1000; echo end; exec cat");
        g_auto(Victim) v = {0};
        guint64 before;

        as_user_wait_text(s->bob, path, "end");
        victim_init(&v, s);
        before = service_memory();
        for (unsigned i = 0; i < 8; i++) {
                g_free(as_user_raw_open(s->bob));
                g_assert_cmpuint(as_user_raw_call(s->bob, path, "ReadOutput", g_variant_new("(tu)", (guint64) 0, 0), 2000), >, 0);
                as_user_sync(s->alice);
        }
        /* Several MiB for what waits, not the gigabytes that were asked for. */
        g_assert_cmpuint(service_memory(), <, before + 64 * 1024);
        g_free(as_user_run(s->alice, "true"));
        as_user_raw_close(s->bob);
}

/* He subscribes to a flood of his own, and is stopped: no ping of the service is answered. */
static void test_unanswered_pings(System *s, gconstpointer data) {
        AsUser *deaf[6];
        g_auto(Victim) v = {0};
        g_autofree char *flood = as_user_start_shell(s->bob, "exec yes"), *line = NULL;
        guint64 before;

        victim_init(&v, s);
        before = service_memory();
        for (size_t i = 0; i < G_N_ELEMENTS(deaf); i++) {
                deaf[i] = as_user_new("bob");
                g_variant_unref(as_user_call(deaf[i], flood, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
                as_user_freeze(deaf[i]);
        }
        /* Alice is told of each line of hers at once, and more often than the service may have open pings. */
        g_variant_unref(as_user_call(s->alice, v.path, "Subscribe", g_variant_new("(tu)", G_MAXUINT64, 3)));
        for (guint i = 1; i <= 40; i++) {
                g_variant_unref(as_user_call(s->alice, v.path, "WriteInput", g_variant_new_parsed("([byte 0x78, 0x0a],)")));
                g_variant_unref(as_user_wait_signal(s->alice, v.path, "OutputLines", i));
        }
        g_variant_unref(as_user_call(s->alice, v.path, "Unsubscribe", NULL));
        g_assert_cmpuint(service_memory(), <, before + 64 * 1024);
        for (size_t i = 0; i < G_N_ELEMENTS(deaf); i++) {
                as_user_thaw(deaf[i]);
                as_user_free(deaf[i]);
        }
        as_user_stop(s->bob, flood);
        /* What a victim prints is checked to be what it was. */
        line = as_user_read_text(s->alice, v.path);
        g_assert_nonnull(strstr(line, "\nx\nx\n"));
        as_user_stop(s->alice, v.path);
        g_clear_pointer(&v.path, g_free);
}

/* Calls that stay open, as many as he gets. */
static void test_open_calls(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->bob, "exec tail -f /dev/null"), *id = as_user_get_string(s->bob, path, "Id");
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        for (unsigned i = 0; i < 500; i++)
                (void) as_user_begin(s->bob, NULL, "WaitRuntime", g_variant_new("(ss)", id, "ended"));
        as_user_sync(s->alice);
        g_free(as_user_wait_ready(s->alice, v.path));
}

/* Starts as fast as the bus takes them, and as many as it keeps open for one connection. */
static void test_start_flood(System *s, gconstpointer data) {
        g_autofree char *hers = NULL;
        g_auto(Victim) v = {0};
        guint cookies[125], refused = 0;

        victim_init(&v, s);
        for (size_t i = 0; i < G_N_ELEMENTS(cookies); i++)
                cookies[i] = as_user_begin(s->bob, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 0", NULL)));
        hers = as_user_start_shell(s->alice, "exit 0");
        g_variant_unref(as_user_wait_ended(s->alice, hers));
        for (size_t i = 0; i < G_N_ELEMENTS(cookies); i++) {
                g_auto(Outcome) outcome = as_user_finish(s->bob, cookies[i]);

                /* On a machine with much to do polkit doesn't always answer in time, and then nobody is authorized. */
                if (g_strcmp0(outcome.error, "org.freedesktop.DBus.Error.AccessDenied") == 0)
                        g_assert_nonnull(strstr(outcome.message, "polkit didn't answer"));
                else if (outcome.error) {
                        g_assert_cmpstr(outcome.error, ==, RM_ERROR_LIMIT_EXCEEDED);
                        refused++;
                }
        }
        g_assert_cmpuint(refused, >, 0);
}

static char *service_fds(void) {
        return system_run("ls /proc/%u/fd | wc -l", system_service_pid(SERVICE));
}

/* A handle for where no fd belongs: refused, and what came is closed. */
static void test_fds(System *s, gconstpointer data) {
        static const char *const calls[][3] = {
                {"StartRuntime", "('command', {'Command': <['true']>, 'Input': <handle 0>})", RM_ERROR_INVALID_OPTION},
                {"StopRuntime", "('x', {'A': <handle 0>})", RM_ERROR_NO_SUCH_RUNTIME},
                {"Subscribe", "(handle 0,)", INVALID_ARGS},
                {"WaitRuntime", "(handle 0, [handle 0, handle 0])", INVALID_ARGS},
        };
        g_autofree char *before = NULL, *after = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        before = service_fds();
        for (unsigned i = 0; i < 200; i++)
                for (size_t k = 0; k < G_N_ELEMENTS(calls); k++) {
                        g_auto(Outcome) outcome = as_user_try(s->bob, NULL, calls[k][0], g_variant_new_parsed(calls[k][1]));

                        g_assert_null(outcome.reply);
                        g_assert_cmpstr(outcome.error, ==, calls[k][2]);
                }
        after = service_fds();
        g_assert_cmpstr(after, ==, before);
}

/* A runtime that says on its control socket, and on its output, what nobody should. */
static void test_hostile_runtime(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start_shell(s->bob, "head -c 3000000 /dev/urandom; printf '\\033]0;x\\007\\n\\0\\377\\n'; echo end; exec tail -f"
                                                            " /dev/null"),
                        *state = NULL;
        g_auto(Victim) v = {0};

        victim_init(&v, s);
        as_user_wait_text(s->bob, path, "end");
        state = as_user_get_string(s->bob, path, "State");
        g_assert_cmpstr(state, ==, "ready");
}

int main(int argc, char *argv[]) {
        static const SystemCase cases[] = {
                {"a-newline-in-the-description", test_invalid_option, "{'Description': <'x\\n[Scope]\\nMemoryMax=infinity'>}"},
                {"a-control-character-in-the-description", test_invalid_option, "{'Description': <'x\\u001b[31m'>}"},
                {"a-newline-in-the-id", test_invalid_option, "{'Id': <'x\\ny'>}"},
                {"a-path-for-an-id", test_invalid_option, "{'Id': <'../../x'>}"},
                {"a-newline-in-a-label's-name", test_invalid_option, "{'Labels': <{'a\\nb': 'c'}>}"},
                {"a-newline-in-the-working-directory", test_invalid_option, "{'WorkingDirectory': <'relative\\n/x'>}"},
                {"a-newline-in-input", test_invalid_option, "{'Input': <'pipe\\n'>}"},
                {"a-newline-in-owner", test_invalid_option, "{'Owner': <'caller\\n'>}"},
                {"a-newline-in-the-owner's-name", test_invalid_option, "{'Owner': <'caller'>, 'OwnerName': <'a\\nb'>}"},
                {"a-newline-in-a-variable's-name", test_invalid_option, "{'Environment': <['A\\nB=c']>}"},
                {"a-variable-without-a-name", test_invalid_option, "{'Environment': <['=c']>}"},
                {"a-newline-in-the-name-of-a-variable-to-unset", test_invalid_option, "{'UnsetEnvironment': <['A\\nB']>}"},
                {"a-newline-in-the-name-of-an-option", test_invalid_option, "{'Memory\\nMax': <uint64 1>}"},
                {"the-wrong-type-for-an-option", test_invalid_option, "{'MemoryMax': <'1\\nSlice=x'>}"},
                {"no-command-at-all", test_invalid_option, "{'Command': <@as []>}"},
                {"kinds-that-are-no-names", test_invalid_kinds, NULL},
                {"ids-that-are-no-ids", test_invalid_ids, NULL},
                {"newlines-in-what-is-sent-to-a-runtime", test_invalid_later, NULL},
                {"newlines-in-words-and-environment", test_newlines_in_words, NULL},
                {"too-much-of-everything", test_too_much, NULL},
                {"what-is-no-message", test_no_messages, NULL},
                {"a-message-of-30-mebibytes", test_huge_message, NULL},
                {"replies-that-are-never-read", test_unread_replies, NULL},
                {"pings-that-are-never-answered", test_unanswered_pings, NULL},
                {"calls-that-stay-open", test_open_calls, NULL},
                {"a-flood-of-starts", test_start_flood, NULL},
                {"fds-where-none-belong", test_fds, NULL},
                {"a-runtime-that-prints-anything", test_hostile_runtime, NULL},
        };

        return system_main(argc, argv, "attempts-input", TRUE, cases, G_N_ELEMENTS(cases));
}
