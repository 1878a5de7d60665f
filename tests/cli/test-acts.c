/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verbs that do something to runtimes: what they print, what they say as JSON, and that it is done. */

#include "cli.h"

#include <string.h>

static char *object_path(const char *id) {
        return g_strdup_printf("/org/example/RuntimeManager/runtime/%s", id);
}

static void start(Harness *h, const char *id, const char *script) {
        g_autofree char *option = g_strdup_printf("--id=%s", id), *out = cli_text(h, "start", "command", option, "--", "sh", "-c", script, NULL);
        g_autofree char *line = g_strdup_printf("%s\n", id);

        g_assert_cmpstr(out, ==, line);
}

static void test_start(Harness *h) {
        g_autofree char *id = harness_id("plain"), *path = object_path(id);
        g_autofree char *state = NULL;

        harness_start_daemon(h, NULL);
        start(h, id, "sleep 100");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
}

static void test_start_json(Harness *h) {
        g_autofree char *id = harness_id("json"), *path = object_path(id), *option = g_strdup_printf("--id=%s", id);
        _cleanup_json_ json_t *plain = NULL, *waited = NULL;

        harness_start_daemon(h, NULL);
        plain = cli_json(h, "start", "command", option, "--", "sleep", "100", NULL);
        assert_member(plain, "Id", id);
        assert_member(plain, "Object", path);
        /* The same again is the same. */
        waited = cli_json(h, "start", "command", option, "--wait", "--", "sleep", "100", NULL);
        assert_member(waited, "Id", id);
        assert_member(waited, "State", "ready");
        g_assert_cmpuint(json_object_size(json_object_get(waited, "EndReport")), ==, 0);
}

static void test_start_too_early(Harness *h) {
        g_autofree char *out = NULL, *err = NULL;

        harness_add_kind(h, "prepared", "[Kind]\nExec=true\n[Step deps]\nExec=sh -c 'echo no luck; exit 3'\n[Handshake]\nType=exec\n");
        harness_start_daemon(h, NULL);
        cli_run(h, 71, &out, &err, "start", "prepared", "--wait", NULL);
        assert_contains(err, "ended before it was ready");
        assert_contains(err, "  no luck\n");
}

static void test_stop(Harness *h) {
        g_autofree char *first = harness_id("first"), *second = harness_id("second"), *out = NULL;
        _cleanup_json_ json_t *one = NULL, *again = NULL;

        harness_start_daemon(h, NULL);
        start(h, first, "sleep 100");
        start(h, second, "sleep 100");
        out = cli_text(h, "stop", first, NULL);
        g_assert_cmpstr(out, ==, "");
        one = cli_json(h, "stop", second, NULL);
        assert_member(one, "Id", second);
        assert_member(one, "State", "ended");
        assert_member(json_object_get(one, "EndReport"), "Result", "stopped");
        /* What has ended is as wanted. */
        again = cli_json(h, "stop", first, second, NULL);
        g_assert_cmpuint(json_array_size(again), ==, 2);
        assert_member(json_array_get(again, 0), "Id", first);
        assert_member(json_array_get(again, 1), "State", "ended");
}

static void test_kill(Harness *h) {
        g_autofree char *first = harness_id("first"), *second = harness_id("second"), *out = NULL, *path = object_path(first);
        _cleanup_json_ json_t *killed = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        start(h, first, "exec sleep 100");
        start(h, second, "exec sleep 100");
        out = cli_text(h, "kill", "--signal=USR1", first, NULL);
        g_assert_cmpstr(out, ==, "");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'signal'>, 'Signal': <10>}", "ExitCode");
        killed = cli_json(h, "kill", "--signal=9", "--who=all", second, NULL);
        assert_member(killed, "Id", second);
}

static void test_interrupt(Harness *h) {
        g_autofree char *first = harness_id("first"), *second = harness_id("second"), *out = NULL, *path = object_path(first);
        _cleanup_json_ json_t *interrupted = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        start(h, first, "exec sleep 100");
        start(h, second, "exec sleep 100");
        out = cli_text(h, "interrupt", first, NULL);
        g_assert_cmpstr(out, ==, "");
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Signal': <2>}", "ExitCode");
        interrupted = cli_json(h, "interrupt", second, NULL);
        assert_member(interrupted, "Id", second);
}

static void test_restart(Harness *h) {
        g_autofree char *id = harness_id("again"), *path = object_path(id), *out = NULL;
        _cleanup_json_ json_t *restarted = NULL;

        harness_start_daemon(h, NULL);
        start(h, id, "sleep 100");
        out = cli_text(h, "restart", id, NULL);
        g_assert_cmpstr(out, ==, "");
        g_assert_cmpuint(client_get_number(h->client, path, "Generation"), ==, 2);
        restarted = cli_json(h, "restart", id, NULL);
        assert_member(restarted, "Object", path);
        g_assert_cmpuint(client_get_number(h->client, path, "Generation"), ==, 3);
}

static void test_forget(Harness *h) {
        g_autofree char *first = harness_id("first"), *second = harness_id("second"), *third = harness_id("third"), *out = NULL, *err = NULL, *gone = NULL;
        _cleanup_json_ json_t *forgotten = NULL;

        harness_start_daemon(h, NULL);
        start(h, first, "exit 0");
        start(h, second, "exit 0");
        start(h, third, "sleep 100");
        g_free(cli_text(h, "stop", first, second, NULL));
        out = cli_text(h, "forget", first, NULL);
        g_assert_cmpstr(out, ==, "");
        forgotten = cli_json(h, "forget", second, NULL);
        assert_member(forgotten, "Id", second);
        gone = cli_fails(h, 3, "status", first, NULL);
        assert_contains(gone, "'runtimectl list' shows");
        err = cli_fails(h, 1, "forget", third, NULL);
        assert_contains(err, "runtimectl: ");
        assert_contains(err, "\nThat is 'runtimectl stop ID'.\n");
}

/* The errors of the interface name its calls and options; each line is held against the words that it is found by. */
static void test_what_next(Harness *h) {
        g_autofree char *id = harness_id("taken"), *option = g_strdup_printf("--id=%s", id), *waits = harness_id("waits"), *wait_option = NULL;
        g_autofree char *exists = NULL, *deaf = NULL, *bare = NULL, *own = NULL, *early = NULL, *late = NULL;

        harness_add_kind(h, "deaf", "[Kind]\nExec=sleep 100\n[Handshake]\nType=exec\n");
        harness_add_kind(h, "waits", "[Kind]\nExec=sleep 100\n[Handshake]\nType=line\nLine=never\n");
        harness_start_daemon(h, NULL);
        g_free(cli_text(h, "start", "deaf", option, NULL));
        exists = cli_fails(h, 1, "start", "command", option, "--", "sleep", "1", NULL);
        assert_contains(exists, "choose another Id, or Forget it");
        assert_contains(exists, "\nChoose another by --id=ID; ");
        deaf = cli_fails(h, 1, "interrupt", id, NULL);
        assert_contains(deaf, "use Kill or Stop.\n'runtimectl stop ID' ends it, 'runtimectl kill --signal=INT ID'");
        bare = cli_fails(h, 1, "start", "command", NULL);
        assert_contains(bare, "\nWrite them behind '--': 'runtimectl start KIND -- PROGRAM ARGUMENT...'.\n");
        own = cli_fails(h, 1, "start", "deaf", "--Command=x", NULL);
        assert_contains(own, "\nWrite them behind '--': 'runtimectl start KIND -- ARGUMENT...'.\n");
        wait_option = g_strdup_printf("--id=%s", waits);
        g_free(cli_text(h, "start", "waits", wait_option, NULL));
        early = cli_fails(h, 1, "connection", waits, NULL);
        assert_contains(early, "\n'runtimectl wait --until=ready ID' waits until it is.\n");
        g_free(cli_text(h, "stop", waits, NULL));
        late = cli_fails(h, 1, "connection", waits, NULL);
        assert_contains(late, "\n'runtimectl restart ID' starts it again.\n");
}

static void test_limit(Harness *h) {
        g_autofree char *id = harness_id("limited"), *out = NULL, *status = NULL, *dashed = NULL, *err = NULL;
        _cleanup_json_ json_t *limited = NULL, *unlimited = NULL;
        json_t *limits;

        harness_start_daemon(h, NULL);
        start(h, id, "sleep 100");
        out = cli_text(h, "limit", id, "MemoryMax=1.5G", "cpu-quota=50%", "tasks-max=100", NULL);
        g_assert_cmpstr(out, ==, "");
        status = cli_text(h, "status", id, NULL);
        assert_contains(status, "MemoryMax=1.5G");
        assert_contains(status, "CPUQuota=50%");
        assert_contains(status, "TasksMax=100");
        limited = cli_json(h, "limit", id, "CPUWeight=200", NULL);
        limits = json_object_get(limited, "Limits");
        g_assert_cmpint(json_integer_value(json_object_get(limits, "CPUWeight")), ==, 200);
        g_assert_cmpint(json_integer_value(json_object_get(limits, "MemoryMax")), ==, 3 * 512 * 1024 * 1024);
        g_assert_cmpint(json_integer_value(json_object_get(limits, "CPUQuotaPerSecUSec")), ==, 500000);
        unlimited = cli_json(h, "limit", id, "MemoryMax=infinity", NULL);
        g_assert_false(json_is_integer(json_object_get(json_object_get(unlimited, "Limits"), "MemoryMax")));
        g_free(cli_text(h, "limit", id, "--memory-high=100M", "--TasksMax=50", NULL));
        g_free(cli_text(h, "limit", "--cpu-quota=20%", id, "--", "io-weight=10", NULL));
        dashed = cli_text(h, "status", id, NULL);
        assert_contains(dashed, "MemoryHigh=100.0M");
        assert_contains(dashed, "TasksMax=50");
        assert_contains(dashed, "CPUQuota=20%");
        assert_contains(dashed, "IOWeight=10");
        err = cli_fails(h, 2, "limit", id, "MemoryMax=lots", NULL);
        assert_contains(err, "MemoryMax=lots: that is not a number");
}

static void test_limit_of_what(Harness *h) {
        g_autofree char *id = harness_id("limited"), *err = NULL, *fixed = NULL, *dashed = NULL, *empty = NULL, *none = NULL;

        harness_start_daemon(h, NULL);
        start(h, id, "sleep 100");
        err = cli_fails(h, 2, "limit", id, "Colour=red", NULL);
        assert_contains(err, "There is no limit 'Colour'. There are MemoryMax, MemoryHigh, CPUQuotaPerSecUSec, CPUWeight, TasksMax, IOWeight.");
        fixed = cli_fails(h, 2, "limit", id, "RingBytes=1M", NULL);
        assert_contains(fixed, "There is no limit 'RingBytes'.");
        dashed = cli_fails(h, 2, "limit", id, "--memory=1M", NULL);
        assert_contains(dashed, "There is no limit '--memory'.");
        empty = cli_fails(h, 2, "limit", id, "MemoryMax=", NULL);
        assert_contains(empty, "MemoryMax= has no value; 'infinity' takes the limit away.");
        none = cli_fails(h, 2, "limit", id, NULL);
        assert_contains(none, "Too few arguments");
}

static void test_connection(Harness *h) {
        static const char peer[] = "import json, os, socket, sys\n"
                                   "c = socket.socket(socket.AF_UNIX)\n"
                                   "c.connect(os.environ['RUNTIME_MANAGER_SOCKET'])\n"
                                   "f = c.makefile('rw')\n"
                                   "def send(**m): f.write(json.dumps(dict(jsonrpc='2.0', **m)) + '\\n'); f.flush()\n"
                                   "send(method='node_started', params=dict(protocol=1, init_ref=os.environ['RUNTIME_MANAGER_INIT_REF'], pid=os.getpid()))\n"
                                   "send(id=json.loads(f.readline())['id'], result=dict(connection=dict(node='me@here', port=4711)))\n"
                                   "f.readline(); f.readline()\n";
        g_autofree char *script = harness_add_file(h, "peer.py", peer, 0644), *python = g_find_program_in_path("python3");
        g_autofree char *kind = g_strdup_printf("[Kind]\nExec=%s %s\n[Handshake]\nType=protocol\n", python, script);
        g_autofree char *id = harness_id("peer"), *option = g_strdup_printf("--id=%s", id), *out = NULL, *port = NULL, *err = NULL;
        _cleanup_json_ json_t *all = NULL, *one = NULL;

        if (!python) {
                g_test_skip("there is no python3");
                return;
        }
        harness_add_kind(h, "peer", kind);
        harness_start_daemon(h, NULL);
        g_free(cli_text(h, "start", "peer", option, "--wait", NULL));
        out = cli_text(h, "connection", id, NULL);
        assert_contains(out, "Node=me@here\n");
        assert_contains(out, "Port=4711\n");
        port = cli_text(h, "connection", id, "Port", "Node", NULL);
        g_assert_cmpstr(port, ==, "4711\nme@here\n");
        all = cli_json(h, "connection", id, NULL);
        assert_member(all, "Node", "me@here");
        one = cli_json(h, "connection", id, "Port", NULL);
        g_assert_cmpuint(json_object_size(one), ==, 1);
        g_assert_cmpint(json_integer_value(json_object_get(one, "Port")), ==, 4711);
        err = cli_fails(h, 1, "connection", id, "Cookie", NULL);
        assert_contains(err, "has no 'Cookie'");
}

static void test_several(Harness *h) {
        g_autofree char *id = harness_id("first"), *err = NULL, *path = object_path(id), *state = NULL;

        harness_start_daemon(h, NULL);
        start(h, id, "sleep 100");
        err = cli_fails(h, 3, "stop", id, "no_such_one", NULL);
        assert_contains(err, "no_such_one");
        state = client_get_string(h->client, path, "State");
        g_assert_cmpstr(state, ==, "ready");
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"start-prints-the-id-alone", test_start},
                {"start-as-JSON-and-again", test_start_json},
                {"start-wait-of-what-ends-before-it-is-ready", test_start_too_early},
                {"stop-waits-for-the-end-and-tells-it", test_stop},
                {"kill-sends-the-signal", test_kill},
                {"interrupt-in-the-way-of-the-kind", test_interrupt},
                {"restart-counts-generations", test_restart},
                {"forget-what-has-ended", test_forget},
                {"errors-tell-what-to-type-next", test_what_next},
                {"limit-takes-human-amounts-and-shows-them", test_limit},
                {"limit-knows-what-is-a-limit", test_limit_of_what},
                {"connection-all-or-by-name", test_connection},
                {"nothing-is-done-if-one-is-not-there", test_several},
        };

        return harness_main(argc, argv, "cli-acts", cases, G_N_ELEMENTS(cases));
}
