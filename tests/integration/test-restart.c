/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A runtime that is started again is the same to everybody who knows it: id, path, options, subscribers, owner; its lines are numbered on. */

#include <string.h>
#include <unistd.h>

#include "again.h"
#include "util/names.h"

/* Ends by SIGKILL alone. */
#define DEAF "trap '' TERM; echo deaf; while :; do sleep 1; done"

static guint64 get_time(Harness *h, const char *path, const char *property) {
        g_autoptr(GVariant) value = client_get(h->client, path, property);

        return g_variant_get_uint64(value);
}

static void subscribe(Client *client, const char *path) {
        g_variant_unref(client_call(client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
}

typedef struct Awaited {
        Client *client;
        const char *path;
        guint n;
} Awaited;

static gboolean has_lines(gpointer userdata) {
        Awaited *awaited = userdata;
        g_autoptr(GPtrArray) lines = client_signalled_lines(awaited->client, awaited->path);

        return lines->len >= awaited->n;
}

/* So many lines have been signalled to a subscriber: numbered from 1, each once; they are the same that can be read. */
static void wait_lines(Client *client, const char *path, guint n) {
        Awaited awaited = {client, path, n};
        g_autofree char *what = g_strdup_printf("%u lines have come", n);
        g_autoptr(GPtrArray) signalled = NULL, readable = NULL;

        harness_wait(client->harness, has_lines, &awaited, what);
        client_sync(client);
        signalled = client_signalled_lines(client, path);
        readable = client_read_lines(client, path, 0);
        g_assert_cmpuint(signalled->len, ==, n);
        g_assert_cmpuint(readable->len, ==, n);
        for (guint i = 0; i < n; i++) {
                const Line *line = signalled->pdata[i], *same = readable->pdata[i];

                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_cmpuint(same->number, ==, i + 1);
                g_assert_true(g_bytes_equal(line->bytes, same->bytes));
        }
}

/* New states, HandshakeCompleted and Ended in their order. */
static char *life_as_text(Harness *h, const char *path) {
        GString *text = g_string_new(NULL);
        const Signal *signal;

        client_sync(h->client);
        for (size_t n = 0; (signal = client_find_signal(h->client, path, NULL, n)); n++) {
                const char *old, *new;

                if (strcmp(signal->member, "StateChanged") == 0) {
                        g_variant_get(signal->parameters, "(&s&s)", &old, &new);
                        g_string_append_printf(text, "%s ", new);
                } else if (strcmp(signal->member, "Ended") == 0 || strcmp(signal->member, "HandshakeCompleted") == 0)
                        g_string_append_printf(text, "%s ", signal->member);
        }
        return g_string_free(text, FALSE);
}

static void assert_life(Harness *h, const char *path, const char *expected) {
        g_autofree char *text = life_as_text(h, path);

        g_assert_cmpstr(text, ==, expected);
}

#define TO_READY "ready HandshakeCompleted "
#define TO_END "stopping ended Ended "

static void test_ready(Harness *h) {
        g_autofree char *id = harness_id("again"), *path = NULL, *unit = NULL, *unit_after = NULL, *owner = NULL, *owner_name = NULL, *description = NULL;
        g_autoptr(GVariant) report = NULL, none = NULL, subscribed = NULL, limits = NULL;
        Client *keen;
        guint64 ready;
        guint32 pid;

        harness_start_daemon(h, NULL);
        keen = client_new(h);
        path = client_start(keen, "command",
                            options_shell("echo hello; echo oops >&2; exec sleep 1000",
                                          "{'Id': <%s>, 'Owner': <'caller'>, 'OwnerName': <'keen'>, 'Description': <'Twice'>, 'CPUWeight': <uint64 50>}", id));
        subscribe(h->client, path);
        /* In this order: one that begins anew, behind what came by the manager, would be sent that again. */
        subscribe(keen, path);
        subscribed = client_call(keen, NULL, "Subscribe", g_variant_new("(u)", 2));
        wait_lines(h->client, path, 2);
        g_assert_cmpuint(client_get_number(h->client, path, "Generation"), ==, 1);
        ready = get_time(h, path, "ReadyTimestamp");
        pid = client_get_number(h->client, path, "MainPID");
        unit = client_get_string(h->client, path, "Unit");

        restart(h->client, path);
        assert_state(h, path, "ready", 2);
        wait_lines(h->client, path, 4);
        wait_lines(keen, path, 4);
        g_assert_cmpuint(client_get_number(h->client, path, "MainPID"), !=, pid);
        g_assert_cmpuint(client_get_number(h->client, path, "MainPID"), !=, 0);
        unit_after = client_get_string(h->client, path, "Unit");
        g_assert_cmpstr(unit_after, ==, unit);
        g_assert_true(harness_unit_exists(unit));
        description = client_get_string(h->client, path, "Description");
        g_assert_cmpstr(description, ==, "Twice");
        limits = harness_get_unit_property(unit, "Scope", "CPUWeight");
        g_assert_cmpuint(g_variant_get_uint64(limits), ==, 50);

        g_assert_cmpuint(get_time(h, path, "ReadyTimestamp"), >, ready);
        g_assert_cmpuint(get_time(h, path, "EndTimestamp"), ==, 0);
        none = client_get(h->client, path, "EndReport");
        g_assert_cmpuint(g_variant_n_children(none), ==, 0);
        report = nth_report(h, path, 0);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'LastLine': <uint64 2>}", NULL);
        assert_life(h, path, TO_READY TO_END "starting " TO_READY);
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeAdded", 1));
        g_assert_null(client_find_signal(h->client, NULL, "RuntimeRemoved", 0));

        owner = client_get_string(h->client, path, "Owner");
        owner_name = client_get_string(h->client, path, "OwnerName");
        g_assert_cmpstr(owner, ==, g_dbus_connection_get_unique_name(keen->bus));
        g_assert_cmpstr(owner_name, ==, "keen");
        client_free(keen);
        g_variant_unref(report);
        report = nth_report(h, path, 1);
        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>}", NULL);
}

static void test_ended(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("echo run; exit 3", "{'Labels': <{'a': 'b'}>}"));
        subscribe(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        wait_lines(h->client, path, 1);
        for (guint i = 1; i <= 3; i++) {
                restart(h->client, path);
                report = nth_report(h, path, i);
                report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <3>, 'OutputTail': <'run\\n'>}", NULL);
                g_assert_cmpuint(report_number(report, "LastLine"), ==, i + 1);
                g_clear_pointer(&report, g_variant_unref);
                wait_lines(h->client, path, i + 1);
                assert_state(h, path, "ended", i + 1);
        }
        assert_life(h, path, TO_READY TO_END "starting " TO_READY TO_END "starting " TO_READY TO_END "starting " TO_READY TO_END);
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
        g_variant_unref(client_call(h->client, path, "Forget", NULL));
        client_wait_signal(h->client, NULL, "RuntimeRemoved");
}

/* The tail of a run that printed nothing is empty, whatever the one before has printed. */
static void test_tail(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "[ -e $HOME/silent ] || echo once; touch $HOME/silent");
        g_variant_unref(client_wait_ended(h->client, path));
        restart(h->client, path);
        report = nth_report(h, path, 1);
        report_check(report, "{'Result': <'success'>, 'OutputTail': <''>, 'LastLine': <uint64 1>}", NULL);
        assert_text(h, path, "once\n");
}

static char *start_deaf(Harness *h, const char *timeout) {
        g_autofree char *more = g_strdup_printf("{'TimeoutStopUSec': <uint64 %s>}", timeout);
        char *path = client_start(h->client, "command", options_shell(DEAF, more));

        subscribe(h->client, path);
        wait_lines(h->client, path, 1);
        return path;
}

static void stop(Harness *h, const char *path, const char *timeout) {
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new("(@a{sv})", g_variant_new_parsed(timeout))));
}

static void test_stopping(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = start_deaf(h, "1000000");
        stop(h, path, "@a{sv} {}");
        client_wait_state(h->client, path, "stopping");
        restart(h->client, path);
        assert_state(h, path, "ready", 2);
        wait_lines(h->client, path, 2);
        report = nth_report(h, path, 0);
        report_check(report, "{'Result': <'stopped'>, 'StopStage': <'kill'>, 'Signal': <9>}", NULL);
        assert_life(h, path, TO_READY TO_END "starting " TO_READY);
        stop(h, path, "{'TimeoutStopUSec': <uint64 0>}");
        g_variant_unref(client_wait_ended(h->client, path));
}

/* What a runtime left behind holds it up in stopping after it has exited by itself. */
static void test_stopping_by_itself(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(
                h->client, "command",
                options_shell("(trap '' TERM; echo left; while :; do sleep 1; done) & read line", "{'Input': <'pipe'>, 'TimeoutStopUSec': <uint64 1000000>}"));
        subscribe(h->client, path);
        wait_lines(h->client, path, 1);
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go\n")));
        client_wait_state(h->client, path, "stopping");
        restart(h->client, path);
        assert_state(h, path, "ready", 2);
        wait_lines(h->client, path, 2);
        report = nth_report(h, path, 0);
        report_check(report, "{'Result': <'success'>, 'Reason': <'exited'>}", NULL);
        /* It has an input again. */
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go\n")));
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_twice(Harness *h) {
        g_autofree char *path = NULL;
        Call *first, *second;

        harness_start_daemon(h, NULL);
        path = start_deaf(h, "1000000");
        first = call_begin(h->client, path, "Restart", NULL);
        second = call_begin(h->client, path, "Restart", NULL);
        call_end_well(first);
        call_end_well(second);
        /* They have met. */
        assert_state(h, path, "ready", 2);
        /* Before it has said so, it is not deaf yet. */
        wait_lines(h->client, path, 2);
        restart(h->client, path);
        wait_lines(h->client, path, 3);
        restart(h->client, path);
        assert_state(h, path, "ready", 4);
        wait_lines(h->client, path, 4);
        stop(h, path, "{'TimeoutStopUSec': <uint64 0>}");
        g_variant_unref(client_wait_ended(h->client, path));
        g_assert_null(client_find_signal(h->client, path, "Ended", 4));
}

static void test_executable_gone(Harness *h) {
        g_autofree char *program = harness_add_file(h, "program", "#!/bin/sh\necho here\nexec sleep 1000\n", 0700), *path = NULL;
        const char *argv[] = {program, NULL};
        GVariantDict options;
        guint32 pid;

        harness_start_daemon(h, NULL);
        g_variant_dict_init(&options, NULL);
        g_variant_dict_insert_value(&options, "Command", g_variant_new_strv(argv, 1));
        path = client_start(h->client, "command", g_variant_dict_end(&options));
        pid = client_get_number(h->client, path, "MainPID");
        subscribe(h->client, path);
        wait_lines(h->client, path, 1);
        g_assert_cmpint(unlink(program), ==, 0);
        g_free(client_call_fails(h->client, path, "Restart", NULL, "ExecutableNotFound"));
        assert_state(h, path, "ready", 1);
        g_assert_cmpuint(client_get_number(h->client, path, "MainPID"), ==, pid);
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        /* Also of one that has ended; its report stays. */
        g_free(client_call_fails(h->client, path, "Restart", NULL, "ExecutableNotFound"));
        assert_state(h, path, "ended", 1);
        assert_text(h, path, "here\n");

        g_free(harness_add_file(h, "program", "#!/bin/sh\necho there\nexec sleep 1000\n", 0700));
        restart(h->client, path);
        wait_lines(h->client, path, 2);
        assert_text(h, path, "here\nthere\n");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_start_fails(Harness *h) {
        g_autofree char *program = harness_add_file(h, "program", "#!/bin/sh\necho good\nexec sleep 1000\n", 0700), *path = NULL;
        g_autofree char *id = harness_id("mended"), *again = NULL;
        g_autoptr(GVariant) first = NULL, second = NULL, property = NULL;
        g_autoptr(GVariant) options = g_variant_ref_sink(g_variant_new_parsed("{'Id': <%s>, 'Command': <[%s]>}", id, program));

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options);
        subscribe(h->client, path);
        wait_lines(h->client, path, 1);
        g_free(harness_add_file(h, "program", "#!/no/such/interpreter\n", 0700));
        g_free(client_call_fails(h->client, path, "Restart", NULL, "StartFailed"));
        assert_state(h, path, "ended", 2);
        first = nth_report(h, path, 0);
        second = nth_report(h, path, 1);
        report_check(first, "{'Result': <'stopped'>, 'OutputTail': <'good\\n'>}", NULL);
        report_check(second, "{'Result': <'start-failed'>, 'Phase': <'starting'>, 'OutputTail': <''>}", "ExitCode Signal");
        property = client_get(h->client, path, "EndReport");
        g_assert_true(g_variant_equal(property, second));
        g_assert_cmpuint(get_time(h, path, "ReadyTimestamp"), ==, 0);
        assert_text(h, path, "good\n");
        /* A repeated start finds the runtime, and isn't made to wait for it. */
        again = client_start(h->client, "command", options);
        g_assert_cmpstr(again, ==, path);
        /* From ended it fails in the same way, again and again. */
        for (guint i = 3; i < 6; i++) {
                g_free(client_call_fails(h->client, path, "Restart", NULL, "StartFailed"));
                assert_state(h, path, "ended", i);
        }

        g_free(harness_add_file(h, "program", "#!/bin/sh\necho mended\nexec sleep 1000\n", 0700));
        restart(h->client, path);
        assert_state(h, path, "ready", 6);
        wait_lines(h->client, path, 2);
        assert_text(h, path, "good\nmended\n");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

/* One that is sent right behind StartRuntime mostly finds it still starting. */
static void test_starting(Harness *h) {
        gboolean seen = FALSE;

        harness_start_daemon(h, NULL);
        for (guint i = 0; i < 30 && !seen; i++) {
                g_autofree char *name = g_strdup_printf("quick%u", i), *id = harness_id(name), *path = g_strconcat(RM_RUNTIME_PREFIX "/", id, NULL);
                g_autofree char *error = NULL;
                g_autoptr(GVariant) reply = NULL;
                Call *started, *restarted;

                started = call_begin(h->client, NULL, "StartRuntime",
                                     g_variant_new("(s@a{sv})", "command", options_shell("exec sleep 1000", "{'Id': <%s>}", id)));
                restarted = call_begin(h->client, path, "Restart", NULL);
                call_end_well(started);
                reply = call_end(restarted, &error);
                if (!reply) {
                        g_assert_cmpstr(error, ==, RM_ERROR_PREFIX "BadState");
                        assert_state(h, path, "ready", 1);
                        seen = TRUE;
                }
                client_stop(h->client, path);
        }
        g_assert_true(seen);
}

static void test_preparing(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        add_kind(h, "prepared",
                 "[Kind]\nDescription=Prepares\nExec=/bin/sleep 1000\n"
                 "[Step wait]\nExec=/bin/sh -c \"[ -e $${HOME}/go ] || exec sleep 1000\"\n[Handshake]\nType=exec\n");
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "prepared", g_variant_new_parsed("@a{sv} {}"));
        client_wait_state(h->client, path, "preparing");
        g_free(harness_add_file(h, "home/go", "", 0600));
        restart(h->client, path);
        report = nth_report(h, path, 0);
        report_check(report, "{'Result': <'stopped'>, 'Phase': <'preparing'>, 'Step': <'wait'>}", NULL);
        client_wait_state(h->client, path, "ready");
        assert_life(h, path, "preparing " TO_END "starting preparing " TO_READY);
        g_assert_nonnull(client_find_signal(h->client, path, "SetupProgress", 1));
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_waits(Harness *h) {
        g_autofree char *path = NULL, *hold = NULL, *state = NULL, *error = NULL;
        g_autoptr(GVariant) reply = NULL, report = NULL;
        Call *ended, *restarted;

        add_kind(h, "waited", LINE_KIND("while [ -e $${HOME}/hold ]; do sleep 0.01; done; echo ready", "ready", "1h"));
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "waited", g_variant_new_parsed("@a{sv} {}"));
        state = client_wait_ready(h->client, path);
        g_assert_cmpstr(state, ==, "ready");

        hold = harness_add_file(h, "home/hold", "", 0600);
        ended = call_begin(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"));
        restarted = call_begin(h->client, path, "Restart", NULL);
        /* This end is that of the first run. */
        reply = call_end(ended, &error);
        g_assert_nonnull(reply);
        g_free(state);
        g_variant_get(reply, "(s@a{sv})", &state, &report);
        g_assert_cmpstr(state, ==, "ended");
        report_check(report, "{'Result': <'stopped'>}", NULL);
        call_end_well(restarted);
        assert_state(h, path, "connecting", 2);

        /* From here on it is about the second. */
        ended = call_begin(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ended"));
        restarted = call_begin(h->client, NULL, "WaitRuntime", g_variant_new("(ss)", path_to_id(path), "ready"));
        client_sync(h->client);
        g_assert_false(ended->done);
        g_assert_false(restarted->done);
        g_assert_cmpint(unlink(hold), ==, 0);
        call_end_well(restarted);
        assert_state(h, path, "ready", 2);
        g_assert_false(ended->done);
        client_stop(h->client, path);
        call_end_well(ended);
}

static void test_retained(Harness *h) {
        g_autofree char *path = NULL, *witness = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("[ -e $HOME/second ] && exec sleep 1000; touch $HOME/second", "{'RetainUSec': <uint64 3000000>}"));
        g_variant_unref(client_wait_ended(h->client, path));
        restart(h->client, path);
        /* Removed later than the first would be if its time still ran. */
        witness = client_start(h->client, "command", options_shell("exit 0", "{'RetainUSec': <uint64 3000000>}"));
        client_wait_signal(h->client, RM_OBJECT_PATH, "RuntimeRemoved");
        g_free(client_call_fails(h->client, NULL, "GetRuntime", g_variant_new("(s)", path_to_id(witness)), "NoSuchRuntime"));
        assert_state(h, path, "ready", 2);
        /* Its time begins at its own end. */
        client_stop(h->client, path);
        client_wait_nth_signal(h->client, RM_OBJECT_PATH, "RuntimeRemoved", 1);
}

static void test_stop_cancels(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        Call *call;

        harness_start_daemon(h, NULL);
        path = start_deaf(h, "3600000000");
        call = call_begin(h->client, path, "Restart", NULL);
        client_wait_state(h->client, path, "stopping");
        g_assert_false(call->done);
        g_variant_unref(client_call(h->client, NULL, "StopRuntime",
                                    g_variant_new("(s@a{sv})", path_to_id(path), g_variant_new_parsed("{'TimeoutStopUSec': <uint64 0>}"))));
        call_end_badly(call, RM_ERROR_PREFIX "Cancelled");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>}", NULL);
        assert_state(h, path, "ended", 1);
        client_sync(h->client);
        assert_life(h, path, TO_READY TO_END);
        /* Which is not for ever. */
        restart(h->client, path);
        assert_state(h, path, "ready", 2);
        wait_lines(h->client, path, 2);
        stop(h, path, "{'TimeoutStopUSec': <uint64 0>}");
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_service_ends(Harness *h) {
        g_autofree char *path = NULL;
        Client *other;
        Call *call;

        harness_start_daemon(h, NULL);
        other = client_new(h);
        path = start_deaf(h, "1000000");
        call = call_begin(other, path, "Restart", NULL);
        client_wait_state(h->client, path, "stopping");
        harness_stop_daemon(h);
        call_end_badly(call, RM_ERROR_START_FAILED);
        client_sync(other);
        g_assert_cmpuint(client_find_signal(other, path, "Ended", 0) != NULL, ==, TRUE);
        g_assert_null(client_find_signal(other, path, "Ended", 1));
        client_free(other);
}

/* It wasn't there to lose the runtime when that was started again, but it is gone all the same. */
static void test_owner_leaves_meanwhile(Harness *h) {
        g_autofree char *path = NULL, *error = NULL;
        g_autoptr(GVariant) reply = NULL, report = NULL;
        Client *owner;
        Call *call;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command", options_shell(DEAF, "{'Owner': <'caller'>, 'TimeoutStopUSec': <uint64 1000000>}"));
        subscribe(h->client, path);
        wait_lines(h->client, path, 1);
        call = call_begin(h->client, path, "Restart", NULL);
        client_wait_state(h->client, path, "stopping");
        client_free(owner);
        client_wait_nth_signal(h->client, path, "OwnerChanged", 1);
        /* Mostly the time is over before the new run has begun. */
        reply = call_end(call, &error);
        if (!reply)
                g_assert_cmpstr(error, ==, RM_ERROR_CANCELLED);
        report = nth_report(h, path, 1);
        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'RequestedBy': <'owner'>}", NULL);
        assert_state(h, path, "ended", 2);
        /* Who starts it now wants it without that owner. */
        restart(h->client, path);
        assert_state(h, path, "ready", 3);
        stop(h, path, "{'TimeoutStopUSec': <uint64 0>}");
        g_variant_unref(report);
        report = nth_report(h, path, 2);
        report_check(report, "{'Result': <'stopped'>}", NULL);
}

static void test_grace(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command", options_shell("exec sleep 1000", "{'Owner': <'caller'>, 'OwnerGraceUSec': <uint64 4000000>}"));
        client_free(owner);
        client_wait_nth_signal(h->client, path, "OwnerChanged", 1);
        restart(h->client, path);
        report = nth_report(h, path, 1);
        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'owner-gone'>, 'Phase': <'ready'>}", NULL);
        assert_state(h, path, "ended", 2);
}

static void test_required_owner(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 500000>}"));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Reason': <'no-owner'>}", NULL);
        restart(h->client, path);
        g_variant_unref(report);
        report = nth_report(h, path, 1);
        report_check(report, "{'Result': <'owner-lost'>, 'Reason': <'no-owner'>}", NULL);
        assert_state(h, path, "ended", 2);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"from-ready-it-is-the-same-runtime-again", test_ready},
                {"from-ended-as-often-as-one-likes", test_ended},
                {"the-tail-is-that-of-the-last-run", test_tail},
                {"while-it-is-stopped-until-it-is-killed", test_stopping},
                {"while-it-stops-by-itself", test_stopping_by_itself},
                {"while-it-prepares", test_preparing},
                {"two-at-once-are-one", test_twice},
                {"a-missing-program-is-told-before-anything-is-stopped", test_executable_gone},
                {"one-that-can-not-start-again-stays-and-can-be-mended", test_start_fails},
                {"not-while-it-is-just-being-started", test_starting},
                {"waiting-calls-are-about-the-run-in-which-they-were-made", test_waits},
                {"one-that-runs-again-is-not-removed", test_retained},
                {"a-stop-cancels-a-pending-restart", test_stop_cancels},
                {"the-service-ends-with-a-restart-pending", test_service_ends},
                {"an-owner-that-leaves-during-a-restart-is-missed-after-it", test_owner_leaves_meanwhile},
                {"the-grace-time-begins-anew", test_grace},
                {"a-required-owner-is-awaited-anew", test_required_owner},
        };

        return harness_main(argc, argv, "restart", cases, G_N_ELEMENTS(cases));
}
