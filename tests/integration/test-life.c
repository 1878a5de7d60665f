/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The whole path once, as a client lives it: start, signals, properties, the scope in systemd, the end. */

#include <string.h>

#include "harness.h"
#include "util/names.h"

static void test_subscribe_from_0(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) subscribed = NULL, report = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "echo hi; exit 7");
        subscribed = client_call(h->client, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3));

        client_wait_signal(h->client, path, "OutputLines");
        report = g_variant_get_child_value(client_wait_signal(h->client, path, "Ended")->parameters, 0);
        report_check(report, "{'Result': <'exit-code'>, 'Reason': <'exited'>, 'ExitCode': <7>, 'LastLine': <uint64 1>, 'OutputTail': <'hi\\n'>}", "Signal");

        client_sync(h->client);
        lines = client_signalled_lines(h->client, path);
        g_assert_cmpuint(lines->len, ==, 1);
        g_assert_cmpuint(((Line *) lines->pdata[0])->number, ==, 1);
        g_assert_cmpuint(((Line *) lines->pdata[0])->stream, ==, 1);
        g_assert_cmpmem(g_bytes_get_data(((Line *) lines->pdata[0])->bytes, NULL), g_bytes_get_size(((Line *) lines->pdata[0])->bytes), "hi", 2);
}

/* A runtime that ends when it is sent a line. */
static char *start_that_waits(Harness *h, const char *more) {
        return client_start(h->client, "command", options_shell("read line", more));
}

static void let_it_end(Harness *h, const char *path) {
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(^ay)", "go on\n")));
}

static const char *changed_state(const Signal *signal) {
        g_autoptr(GVariant) properties = g_variant_get_child_value(signal->parameters, 1);
        const char *state = "";

        (void) g_variant_lookup(properties, "State", "&s", &state);
        return state;
}

static GPtrArray *signals_of(Harness *h, const char *path) {
        GPtrArray *signals = g_ptr_array_new();
        const Signal *signal;

        client_sync(h->client);
        for (size_t n = 0; (signal = client_find_signal(h->client, path, NULL, n)); n++)
                g_ptr_array_add(signals, (gpointer) signal);
        return signals;
}

static void test_order_of_signals(Harness *h) {
        static const char *const states[] = {"starting", "ready", "stopping", "ended"};
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) signals = NULL;
        const Signal *last;
        guint n_changes = 0;

        harness_start_daemon(h, NULL);
        path = start_that_waits(h, "{'Input': <'pipe'>}");
        let_it_end(h, path);
        report = client_wait_ended(h->client, path);

        signals = signals_of(h, path);
        for (guint i = 0; i < signals->len; i++) {
                const Signal *signal = signals->pdata[i], *before = i > 0 ? signals->pdata[i - 1] : NULL;
                const Signal *next = i + 1 < signals->len ? signals->pdata[i + 1] : NULL;
                const char *old, *new;

                if (strcmp(signal->member, "StateChanged") != 0)
                        continue;
                g_variant_get(signal->parameters, "(&s&s)", &old, &new);
                g_assert_cmpuint(n_changes, <, G_N_ELEMENTS(states) - 1);
                g_assert_cmpstr(old, ==, states[n_changes]);
                g_assert_cmpstr(new, ==, states[n_changes + 1]);
                n_changes++;

                g_assert_nonnull(before);
                g_assert_cmpstr(before->member, ==, "PropertiesChanged");
                g_assert_cmpstr(changed_state(before), ==, new);
                if (strcmp(new, "stopping") != 0) {
                        g_assert_nonnull(next);
                        g_assert_cmpstr(next->member, ==, strcmp(new, "ready") == 0 ? "HandshakeCompleted" : "Ended");
                }
        }
        g_assert_cmpuint(n_changes, ==, 3);
        last = signals->pdata[signals->len - 1];
        g_assert_cmpstr(last->member, ==, "Ended");
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 1));
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

static void take_over(GVariantDict *known, GVariant *properties) {
        GVariantIter iter;
        const char *name;
        GVariant *value;

        g_variant_iter_init(&iter, properties);
        while (g_variant_iter_loop(&iter, "{&sv}", &name, &value))
                g_variant_dict_insert_value(known, name, value);
}

static void assert_same_properties(GVariantDict *known, GVariant *all) {
        GVariantIter iter;
        const char *name;
        GVariant *value;

        g_variant_iter_init(&iter, all);
        while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
                g_autoptr(GVariant) mine = g_variant_dict_lookup_value(known, name, NULL);
                g_autofree char *theirs_text = g_variant_print(value, TRUE), *mine_text = mine ? g_variant_print(mine, TRUE) : NULL;
                g_autofree char *text = g_strdup_printf("%s=%s", name, mine_text), *wanted = g_strdup_printf("%s=%s", name, theirs_text);

                g_assert_cmpstr(text, ==, wanted);
        }
}

/* A client that never reads a property, but starts from InterfacesAdded and goes by PropertiesChanged, knows the same as one that asks. */
static void test_properties_by_signals(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL, interfaces = NULL, first = NULL, reply = NULL, all = NULL;
        g_autoptr(GPtrArray) signals = NULL;
        GVariantDict known;

        harness_start_daemon(h, NULL);
        path = start_that_waits(h, "{'Input': <'pipe'>, 'Labels': <{'a': 'b'}>, 'CPUWeight': <uint64 50>}");
        let_it_end(h, path);
        report = client_wait_ended(h->client, path);

        signals = signals_of(h, path);
        interfaces = g_variant_get_child_value(client_wait_signal(h->client, RM_OBJECT_PATH, "InterfacesAdded")->parameters, 1);
        first = g_variant_lookup_value(interfaces, RM_RUNTIME_INTERFACE, NULL);
        g_assert_nonnull(first);
        g_variant_dict_init(&known, first);
        for (guint i = 0; i < signals->len; i++) {
                const Signal *signal = signals->pdata[i];
                g_autoptr(GVariant) changed = NULL;

                if (strcmp(signal->member, "PropertiesChanged") != 0)
                        continue;
                changed = g_variant_get_child_value(signal->parameters, 1);
                take_over(&known, changed);
        }

        reply = g_dbus_connection_call_sync(h->client->bus, RM_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
                                            g_variant_new("(s)", RM_RUNTIME_INTERFACE), G_VARIANT_TYPE("(a{sv})"), 0, -1, NULL, NULL);
        g_assert_nonnull(reply);
        all = g_variant_get_child_value(reply, 0);
        assert_same_properties(&known, all);
        g_variant_dict_clear(&known);
}

static void test_scope(Harness *h) {
        g_autofree char *path = NULL, *unit = NULL, *cgroup = NULL, *file = NULL, *of_process = NULL, *expected = NULL;
        g_autoptr(GVariant) description = NULL, slice = NULL, delegate = NULL, control_group = NULL, weight = NULL, report = NULL;

        harness_start_daemon(h, NULL);
        path = start_that_waits(h, "{'Input': <'pipe'>, 'Description': <'A notebook: größe %n'>, 'CPUWeight': <uint64 50>}");
        unit = client_get_string(h->client, path, "Unit");
        expected = g_strdup_printf("runtime-command-%s.scope", path_to_id(path));
        g_assert_cmpstr(unit, ==, expected);

        description = harness_get_unit_property(unit, "Unit", "Description");
        g_assert_cmpstr(g_variant_get_string(description, NULL), ==, "A notebook: größe %n");
        slice = harness_get_unit_property(unit, "Scope", "Slice");
        g_assert_cmpstr(g_variant_get_string(slice, NULL), ==, RM_USER_SLICE);
        delegate = harness_get_unit_property(unit, "Scope", "Delegate");
        g_assert_true(g_variant_get_boolean(delegate));
        weight = harness_get_unit_property(unit, "Scope", "CPUWeight");
        g_assert_cmpuint(g_variant_get_uint64(weight), ==, 50);
        control_group = harness_get_unit_property(unit, "Scope", "ControlGroup");
        cgroup = client_get_string(h->client, path, "ControlGroup");
        g_assert_true(g_str_has_suffix(cgroup, g_variant_get_string(control_group, NULL)));

        file = g_strdup_printf("/proc/%u/cgroup", client_get_number(h->client, path, "MainPID"));
        g_assert_true(g_file_get_contents(file, &of_process, NULL, NULL));
        g_free(expected);
        expected = g_strdup_printf("0::%s/" RM_CGROUP_PAYLOAD "\n", cgroup);
        g_assert_true(g_str_has_suffix(of_process, expected));

        let_it_end(h, path);
        report = client_wait_ended(h->client, path);
        g_assert_false(harness_unit_exists(unit));
        g_free(cgroup);
        cgroup = client_get_string(h->client, path, "ControlGroup");
        g_assert_cmpstr(cgroup, ==, "");
        g_assert_cmpuint(client_get_number(h->client, path, "MainPID"), ==, 0);
}

static void test_default_description(Harness *h) {
        g_autofree char *id = harness_id("plain"), *path = NULL, *text = NULL, *expected = g_strdup_printf("Runtime %s (command)", id);

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exit 0", "{'Id': <%s>}", id));
        text = client_get_string(h->client, path, "Description");
        g_assert_cmpstr(text, ==, expected);
        g_variant_unref(client_wait_ended(h->client, path));
}

static void test_manager_properties(Harness *h) {
        g_autofree char *path = NULL, *version = NULL;

        harness_start_daemon(h, NULL);
        version = client_get_string(h->client, NULL, "Version");
        g_assert_cmpstr(version, !=, "");
        g_assert_cmpuint(client_get_number(h->client, NULL, "InterfaceVersion"), ==, RM_INTERFACE_VERSION);
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
        path = start_that_waits(h, "{'Input': <'pipe'>}");
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 1);
        let_it_end(h, path);
        g_variant_unref(client_wait_ended(h->client, path));
        g_assert_cmpuint(client_get_number(h->client, NULL, "RuntimeCount"), ==, 0);
}

/* Also while they run: the harness checks that nothing is left. */
static void test_daemon_stops_its_runtimes(Harness *h) {
        g_autofree char *path = NULL, *stubborn = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "exec sleep 1000");
        stubborn = client_start(h->client, "command",
                                options_shell("trap '' TERM; echo ready; while :; do sleep 1; done", "{'TimeoutStopUSec': <uint64 300000>}"));
        g_variant_unref(client_call(h->client, stubborn, "Subscribe", g_variant_new("(tu)", (guint64) 0, 2)));
        client_wait_signal(h->client, stubborn, "OutputLines");
        harness_hurry_daemon(h);
        report = g_variant_get_child_value(client_wait_signal(h->client, path, "Ended")->parameters, 0);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'system'>}", "RequestedByUID");
        client_wait_signal(h->client, stubborn, "Ended");
        harness_stop_daemon(h);
}

static void test_second_daemon(Harness *h) {
        g_autofree char *program = g_build_filename(harness_build_directory(), "runtime-managerd", NULL), *error = NULL;
        g_autofree char *bus = g_strdup_printf("--bus-address=%s", h->bus_address), *other = g_build_filename(h->directory, "other", NULL);
        g_autofree char *variable = g_strdup_printf("XDG_RUNTIME_DIR=%s", other);
        const char *argv[] = {"env", variable, "LANGUAGE=en", program, "--user", bus, NULL};
        int status;

        harness_start_daemon(h, NULL);
        g_free(harness_add_file(h, "other/file", "", 0600));
        g_assert_true(g_spawn_sync(NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &error, &status, NULL));
        g_assert_true(g_spawn_check_wait_status(0, NULL));
        g_assert_false(g_spawn_check_wait_status(status, NULL));
        g_assert_nonnull(strstr(error, "Another instance of the service has the name org.example.RuntimeManager"));
        /* The first isn't bothered. */
        g_variant_unref(client_call(h->client, NULL, "ListKinds", NULL));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-client-that-starts-then-subscribes-from-0-sees-all", test_subscribe_from_0},
                {"signals-come-in-the-documented-order", test_order_of_signals},
                {"properties-can-be-followed-by-signals-alone", test_properties_by_signals},
                {"the-scope-is-described-while-it-runs-and-gone-after", test_scope},
                {"a-runtime-without-a-description-gets-one", test_default_description},
                {"the-manager-counts-what-runs", test_manager_properties},
                {"the-daemon-stops-its-runtimes-when-it-is-told-to-end", test_daemon_stops_its_runtimes},
                {"a-second-daemon-says-that-there-is-one", test_second_daemon},
        };

        return harness_main(argc, argv, "life", cases, G_N_ELEMENTS(cases));
}
