/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* monitor and top: what goes on until it is told to stop. */

#include "cli.h"

#include <signal.h>
#include <string.h>

#include "util/names.h"

typedef struct World {
        Harness *h;
        char *id, *path;
        gboolean owned;
} World;

static void world_init(World *world, Harness *h, const char *script) {
        harness_start_daemon(h, NULL);
        world->h = h;
        world->id = harness_id("live");
        world->path = client_start(h->client, "command", options_shell(script, "{'Id': <%s>, 'Input': <'pipe'>}", world->id));
}

static void world_clear(World *world) {
        g_free(world->id);
        g_free(world->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(World, world_clear)

/* Something that is signalled each time it is done. */
static void change_owner(gpointer userdata) {
        World *world = userdata;

        if (world->owned)
                g_variant_unref(client_call(world->h->client, world->path, "ReleaseOwnership", NULL));
        else
                g_variant_unref(client_call(world->h->client, world->path, "TakeOwnership", g_variant_new_parsed("(@a{sv} {},)")));
        world->owned = !world->owned;
}

static void write_input(World *world, const char *text) {
        g_variant_unref(client_call(world->h->client, world->path, "WriteInput", g_variant_new("(^ay)", text)));
}

/* A monitor that has been heard to listen. */
static Terminal *start_monitor(World *world, const char *word, const char *listens) {
        Terminal *terminal = terminal_new(world->h, 250, 24, (const char *const[]){"NO_COLOR=1", NULL}, "monitor", word, NULL);

        terminal_wait_poking(terminal, listens, change_owner, world);
        return terminal;
}

static void end_monitor(Terminal *terminal) {
        terminal_type(terminal, "\003");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 128 + SIGINT);
        terminal_assert_unchanged(terminal);
}

static void test_monitor(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;

        world_init(&world, h, "read line; echo out; exit 7");
        terminal = start_monitor(&world, NULL, "owned by :");
        write_input(&world, "go\n");
        terminal_wait(terminal, " stdout: out\n");
        terminal_wait(terminal, " ended, was stopping\n");
        terminal_wait(terminal, " It exited with status 7.\n");
        g_variant_unref(client_call(h->client, world.path, "Forget", NULL));
        terminal_wait(terminal, " forgotten\n");
        end_monitor(terminal);
}

static void test_monitor_of_properties(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *waits = harness_id("waits"), *text = NULL;

        harness_add_kind(h, "waits", "[Kind]\nExec=sleep 100\n[Handshake]\nType=line\nLine=never\n");
        world_init(&world, h, "sleep 100");
        terminal = start_monitor(&world, NULL, "owned by :");
        g_variant_unref(
                client_call(h->client, world.path, "SetLimits", g_variant_new_parsed("({'MemoryMax': <@t 1610612736>, 'CPUQuotaPerSecUSec': <@t 500000>},)")));
        terminal_wait(terminal, "PropertiesChanged ");
        terminal_wait(terminal, "Limits={");
        terminal_wait(terminal, "}\n");
        g_free(client_start(h->client, "waits", g_variant_new_parsed("{'Id': <%s>}", waits)));
        terminal_wait(terminal, "Deadline=");
        terminal_wait(terminal, "\n");
        text = terminal_text(terminal);
        assert_contains(text, "MemoryMax=1.5G");
        assert_contains(text, "CPUQuota=50%");
        g_assert_true(g_regex_match_simple("Deadline=[^ ]+ [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:", text, 0, 0));
        end_monitor(terminal);
}

static void test_monitor_json(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        gboolean seen_output = FALSE, seen_end = FALSE;

        world_init(&world, h, "read line; echo out; exit 7");
        terminal = start_monitor(&world, "--json", "\"Signal\":\"OwnerChanged\"");
        write_input(&world, "go\n");
        terminal_wait(terminal, "\"Signal\":\"Ended\"");
        terminal_wait(terminal, "\n");
        text = terminal_text(terminal);
        lines = g_strsplit(text, "\n", -1);
        for (guint i = 0; i + 1 < g_strv_length(lines); i++) {
                _cleanup_json_ json_t *event = json_loads(lines[i], 0, NULL);
                const json_t *arguments = json_object_get(event, "Arguments");

                if (!event)
                        harness_fail(h, "that is no JSON: %s", lines[i]);
                g_assert_true(json_is_integer(json_object_get(event, "Timestamp")));
                assert_member(event, "Id", world.id);
                if (g_strcmp0(json_string_value(json_object_get(event, "Signal")), "OutputLines") == 0) {
                        assert_member(json_array_get(json_object_get(arguments, "lines"), 0), "Text", "out");
                        seen_output = TRUE;
                }
                if (g_strcmp0(json_string_value(json_object_get(event, "Signal")), "Ended") == 0) {
                        assert_member(event, "Interface", RM_RUNTIME_INTERFACE);
                        assert_member(json_object_get(arguments, "report"), "Result", "exit-code");
                        seen_end = TRUE;
                }
        }
        g_assert_true(seen_output);
        g_assert_true(seen_end);
        end_monitor(terminal);
}

static void test_monitor_over_a_restart(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;

        world_init(&world, h, "while read line; do echo got $line; done");
        terminal = start_monitor(&world, NULL, "owned by :");
        harness_kill_daemon(h);
        terminal_wait(terminal, "the service has gone\n");
        harness_start_daemon(h, NULL);
        terminal_wait(terminal, "the service is there (:");
        write_input(&world, "more\n");
        terminal_wait(terminal, " stdout: got more\n");
        end_monitor(terminal);
}

static void forge(World *world, const char *destination, const char *id) {
        g_autoptr(GError) error = NULL;

        g_dbus_connection_emit_signal(world->h->client->bus, destination, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "RuntimeAdded",
                                      g_variant_new("(so)", id, "/org/example/RuntimeManager/runtime/forged"), &error);
        g_assert_no_error(error);
}

/* Connections that are there, other than the service's: their names count up. */
static void forge_to_all(World *world) {
        for (guint i = 0; i < 40; i++) {
                g_autofree char *name = g_strdup_printf(":1.%u", i);

                forge(world, name, "forged");
        }
}

static void test_monitor_forged(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *text = NULL;

        world_init(&world, h, "read line; exit 7");
        terminal = start_monitor(&world, NULL, "owned by :");
        forge(&world, NULL, "forged");
        forge_to_all(&world);
        client_sync(h->client);
        write_input(&world, "go\n");
        terminal_wait(terminal, " It exited with status 7.\n");
        text = terminal_text(terminal);
        assert_contains_not(text, "forged");
        end_monitor(terminal);
}

static void test_monitor_of_one(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *other = harness_id("other"), *text = NULL, *path = NULL;

        world_init(&world, h, "read line; exit 7");
        terminal = start_monitor(&world, world.id, "owned by :");
        path = client_start(h->client, "command", options_shell("exit 0", "{'Id': <%s>}", other));
        g_variant_unref(client_wait_ended(h->client, path));
        write_input(&world, "go\n");
        terminal_wait(terminal, " It exited with status 7.\n");
        text = terminal_text(terminal);
        assert_contains_not(text, other);
        end_monitor(terminal);
}

static void test_top_text(Harness *h) {
        g_auto(World) world = {};
        g_autofree char *text = NULL, *bare = NULL;
        g_auto(GStrv) lines = NULL;

        world_init(&world, h, "while :; do echo x; done");
        text = cli_text(h, "top", "-n2", "-d", "200ms", "--sort=output", NULL);
        lines = g_strsplit(text, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), ==, 6);
        assert_contains(lines[0], "CPU%");
        assert_contains(lines[0], "LINES/S");
        g_assert_true(g_str_has_prefix(lines[1], world.id));
        g_assert_cmpstr(lines[2], ==, "");
        g_assert_true(g_str_has_prefix(lines[4], world.id));
        assert_contains_not(text, "\033");
        bare = cli_text(h, "top", "-n1", "-d200ms", "--no-legend", NULL);
        g_assert_true(g_str_has_prefix(bare, world.id));
}

static void test_top_json(Harness *h) {
        g_auto(World) world = {};
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;

        world_init(&world, h, "while :; do echo x; done");
        text = cli_text(h, "top", "-n2", "-d", "200ms", "--json", NULL);
        lines = g_strsplit(text, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), ==, 3);
        for (guint i = 0; i < 2; i++) {
                _cleanup_json_ json_t *round = json_loads(lines[i], 0, NULL);
                const json_t *row = json_array_get(json_object_get(round, "Runtimes"), 0);

                g_assert_true(json_is_integer(json_object_get(round, "Timestamp")));
                assert_member(row, "Id", world.id);
                assert_member(row, "State", "ready");
                g_assert_cmpfloat(json_number_value(json_object_get(row, "CPUPercent")), >, 0);
                g_assert_cmpfloat(json_number_value(json_object_get(row, "LinesPerSecond")), >, 0);
        }
}

static Terminal *start_top(World *world) {
        Terminal *terminal = terminal_new(world->h, 80, 12, NULL, "top", "-d200ms", NULL);

        /* A screen of its own, without a cursor. */
        terminal_wait(terminal, "\033[?1049h\033[?25l");
        terminal_wait(terminal, world->id);
        g_assert_true(terminal_is_raw(terminal));
        return terminal;
}

static void assert_left(Terminal *terminal) {
        g_autofree char *text = terminal_text(terminal);

        g_assert_true(g_str_has_suffix(text, "\033[?25h\033[?1049l"));
        terminal_assert_unchanged(terminal);
}

static void test_top_keys(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;

        world_init(&world, h, "sleep 100");
        terminal = start_top(&world);
        terminal_wait(terminal, "by cpu");
        terminal_type(terminal, "m");
        terminal_wait(terminal, "by memory");
        terminal_type(terminal, "i");
        terminal_wait(terminal, "by id");
        terminal_type(terminal, "q");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        assert_left(terminal);
}

static void test_top_last(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;
        g_autofree char *text = NULL;
        const char *left;

        world_init(&world, h, "sleep 100");
        terminal = terminal_new(h, 80, 12, (const char *const[]){"NO_COLOR=1", NULL}, "top", "-n1", "-d200ms", NULL);
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        text = terminal_text(terminal);
        left = strstr(text, "\033[?25h\033[?1049l");
        g_assert_nonnull(left);
        assert_contains(left, " 1 runtime: CPU ");
        assert_contains(left, "CPU%");
        assert_contains(left, world.id);
        assert_contains_not(left, "q: leave");
        terminal_assert_unchanged(terminal);
}

static void test_top_signals(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) interrupted = NULL, terminated = NULL;

        world_init(&world, h, "sleep 100");
        interrupted = start_top(&world);
        terminal_type(interrupted, "\003");
        g_assert_cmpint(terminal_wait_exit(interrupted), ==, 0);
        assert_left(interrupted);
        terminated = start_top(&world);
        terminal_kill(terminated, SIGTERM);
        g_assert_cmpint(terminal_wait_exit(terminated), ==, 128 + SIGTERM);
        assert_left(terminated);
}

static void test_top_stopped(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;

        world_init(&world, h, "sleep 100");
        terminal = start_top(&world);
        terminal_type(terminal, "\032");
        terminal_wait(terminal, "\033[?25h\033[?1049l");
        terminal_wait_stopped(terminal);
        terminal_kill(terminal, SIGCONT);
        terminal_wait(terminal, "\033[?1049h\033[?25l");
        terminal_wait(terminal, world.id);
        terminal_type(terminal, "q");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        assert_left(terminal);
}

static void test_top_over_a_restart(Harness *h) {
        g_auto(World) world = {};
        g_autoptr(Terminal) terminal = NULL;

        world_init(&world, h, "sleep 100");
        terminal = start_top(&world);
        harness_kill_daemon(h);
        terminal_wait(terminal, "the service doesn't answer");
        harness_start_daemon(h, NULL);
        terminal_wait(terminal, "lines 0/s\n");
        terminal_wait(terminal, world.id);
        terminal_type(terminal, "q");
        g_assert_cmpint(terminal_wait_exit(terminal), ==, 0);
        assert_left(terminal);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"monitor-tells-a-life", test_monitor},
                {"monitor-shows-times-and-limits-to-people", test_monitor_of_properties},
                {"monitor-as-JSON-an-object-a-line", test_monitor_json},
                {"monitor-goes-on-over-a-restart-of-the-service", test_monitor_over_a_restart},
                {"monitor-believes-nobody-else", test_monitor_forged},
                {"monitor-of-one-runtime", test_monitor_of_one},
                {"top-one-table-after-the-other-into-a-pipe", test_top_text},
                {"top-as-JSON-an-object-a-refresh", test_top_json},
                {"top-hears-keys-and-leaves-the-terminal-as-it-was", test_top_keys},
                {"top-leaves-the-last-table-it-was-asked-for", test_top_last},
                {"top-leaves-the-terminal-as-it-was-when-a-signal-ends-it", test_top_signals},
                {"top-gives-the-terminal-back-while-it-is-stopped", test_top_stopped},
                {"top-goes-on-over-a-restart-of-the-service", test_top_over_a_restart},
        };

        return harness_main(argc, argv, "cli-live", cases, G_N_ELEMENTS(cases));
}
