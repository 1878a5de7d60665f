/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All that a runtime can say in one line, right and wrong, in each phase in which it can say it. */

#include "handshake-lines.h"

#include "util/limits.h"

static const Line accepted_starts[] = {
        {"without node and capabilities", STARTED_WITH(STARTED_PARAMS), NULL},
        {"node and capabilities null", STARTED_WITH(STARTED_PARAMS ",\"node\":null,\"capabilities\":null"), NULL},
        {"unknown members",
         "{\"x\":[1],\"params\":{\"y\":{},\"pid\":1,\"init_ref\":\"" REF
         "\",\"protocol\":1,\"node\":\"A-z_0.9@h\"},\"method\":\"node_started\",\"jsonrpc\":\"2.0\"}",
         "A-z_0.9@h"},
        {"spaces and a carriage return", " " STARTED_WITH(" " STARTED_PARAMS) " \r", NULL},
        {"a ref written with escapes", STARTED_WITH("\"protocol\":1,\"init_ref\":\"\\u0072ef-42\",\"pid\":2147483647"), NULL},
};

static void test_accepted_start(gconstpointer data) {
        const Line *row = data;
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome started = say(handshake, row->line);

        g_assert_cmpint(started.event, ==, HANDSHAKE_EVENT_STARTED);
        g_assert_cmpstr(started.node, ==, row->expected);
}

/* Each is a violation in every phase. */
static const Line violations[] = {
        {"empty", "", "is not JSON"},
        {"only spaces", "  ", "is not JSON"},
        {"garbage", "hello", "is not JSON"},
        {"cut short", "{\"jsonrpc\":\"2.0\"", "is not JSON"},
        {"two in one line", ANSWER ANSWER, "is not JSON"},
        {"not UTF-8", "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", "is not JSON"},
        {"NUL in a string", "{\"jsonrpc\":\"2.0\",\"method\":\"\\u0000\"}", "is not JSON"},
        {"an integer beyond 64 bits", "{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"result\":1}", "is not JSON"},
        {"a name twice", "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"method\":\"b\"}", "has the same name twice"},
        {"string", "\"node_started\"", "is not a JSON object"},
        {"number", "1", "is not a JSON object"},
        {"null", "null", "is not a JSON object"},
        {"batch", "[" ANSWER "]", "is a batch"},
        {"empty batch", "[]", "is a batch"},
        {"no version", "{\"method\":\"node_started\"}", "is not JSON-RPC 2.0"},
        {"version 1.0", "{\"jsonrpc\":\"1.0\",\"method\":\"x\"}", "is not JSON-RPC 2.0"},
        {"version as a number", "{\"jsonrpc\":2.0,\"method\":\"x\"}", "is not JSON-RPC 2.0"},
        {"method that is no string", "{\"jsonrpc\":\"2.0\",\"method\":1}", "method that is not a string"},
        {"params that are a string", "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"y\"}", "params that are neither"},
        {"params null", "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":null}", "params that are neither"},
        {"id that is an object", "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"id\":{}}", "id that is neither"},
        {"nothing but a version", "{\"jsonrpc\":\"2.0\"}", "is neither a request nor"},
        {"answer without id", "{\"jsonrpc\":\"2.0\",\"result\":{}}", "is neither a request nor"},
        {"answer without result", "{\"jsonrpc\":\"2.0\",\"id\":1}", "is neither a request nor"},
        {"answer with both", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{\"code\":1,\"message\":\"\"}}", "both a result and an error"},
};

/* Violations of node_started, which in later phases are the second of their kind anyway. */
static const Line wrong_starts[] = {
        {"no params", "{\"jsonrpc\":\"2.0\",\"method\":\"node_started\"}", "without params"},
        {"params as a list", "{\"jsonrpc\":\"2.0\",\"method\":\"node_started\",\"params\":[1]}", "without params"},
        {"no protocol", STARTED_WITH("\"init_ref\":\"" REF "\",\"pid\":1"), "another protocol than 1"},
        {"protocol 2", STARTED_WITH("\"protocol\":2,\"init_ref\":\"" REF "\",\"pid\":1"), "another protocol than 1"},
        {"protocol 1.0", STARTED_WITH("\"protocol\":1.0,\"init_ref\":\"" REF "\",\"pid\":1"), "another protocol than 1"},
        {"protocol as a string", STARTED_WITH("\"protocol\":\"1\",\"init_ref\":\"" REF "\",\"pid\":1"), "another protocol than 1"},
        {"no ref", STARTED_WITH("\"protocol\":1,\"pid\":1"), "another init_ref than RUNTIME_MANAGER_INIT_REF"},
        {"another's ref", STARTED_WITH("\"protocol\":1,\"init_ref\":\"ref-43\",\"pid\":1"), "another init_ref"},
        {"the beginning of the ref", STARTED_WITH("\"protocol\":1,\"init_ref\":\"ref-4\",\"pid\":1"), "another init_ref"},
        {"ref as a number", STARTED_WITH("\"protocol\":1,\"init_ref\":42,\"pid\":1"), "another init_ref"},
        {"no pid", STARTED_WITH("\"protocol\":1,\"init_ref\":\"" REF "\""), "no valid pid"},
        {"pid 0", STARTED_WITH("\"protocol\":1,\"init_ref\":\"" REF "\",\"pid\":0"), "no valid pid"},
        {"negative pid", STARTED_WITH("\"protocol\":1,\"init_ref\":\"" REF "\",\"pid\":-1"), "no valid pid"},
        {"pid too large", STARTED_WITH("\"protocol\":1,\"init_ref\":\"" REF "\",\"pid\":2147483648"), "no valid pid"},
        {"pid as a string", STARTED_WITH("\"protocol\":1,\"init_ref\":\"" REF "\",\"pid\":\"1\""), "no valid pid"},
        {"empty node", STARTED_WITH(STARTED_PARAMS ",\"node\":\"\""), "invalid name"},
        {"node with a space", STARTED_WITH(STARTED_PARAMS ",\"node\":\"a b\""), "invalid name"},
        {"node with a newline", STARTED_WITH(STARTED_PARAMS ",\"node\":\"a\\nb\""), "invalid name"},
        {"node beyond ASCII", STARTED_WITH(STARTED_PARAMS ",\"node\":\"größe\""), "invalid name"},
        {"node as a number", STARTED_WITH(STARTED_PARAMS ",\"node\":1"), "invalid name"},
        {"capabilities as a list", STARTED_WITH(STARTED_PARAMS ",\"capabilities\":[]"), "capabilities that are not an object"},
        {"as a request", "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"node_started\",\"params\":{" STARTED_PARAMS "}}", "must be a notification"},
};

static void test_violation(gconstpointer data) {
        const Line *row = data;

        for (int phase = HANDSHAKE_WAITING; phase <= HANDSHAKE_READY; phase++) {
                _cleanup_handshake_ Handshake *handshake = make_in_phase((HandshakePhase) phase);
                _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line), after = {};

                if (phase != HANDSHAKE_READY) {
                        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, row->expected);
                        after = say(handshake, STARTED);
                        assert_nothing(&after);
                        continue;
                }
                g_assert_cmpint(outcome.event, ==, HANDSHAKE_EVENT_NONE);
                g_assert_null(outcome.message);
                g_assert_null(outcome.reason);
                g_assert_nonnull(strstr(outcome.warning, row->expected));
                g_assert_cmpint(handshake_phase(handshake), ==, HANDSHAKE_READY);
        }
}

static void test_wrong_start(gconstpointer data) {
        const Line *row = data;
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line);

        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, row->expected);
}

static void test_message_quotes_the_line(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, "** (Error) \"x\"\x1b[0m\xff");

        g_assert_cmpstr(outcome.message, ==, "The runtime's message is not JSON: \"** (Error) \\\"x\\\"\\x1b[0m\\xff\"");
}

static void test_message_quotes_the_beginning_of_a_long_line(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_free_ char *line = g_strnfill(1000, 'x'), *quoted = g_strnfill(HANDSHAKE_QUOTE_MAX, 'x'),
                            *expected = g_strdup_printf("The runtime's message is not JSON: \"%s\"…", quoted);
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, line);

        g_assert_cmpstr(outcome.message, ==, expected);
}

static void test_node_of_greatest_length(void) {
        for (size_t length = HANDSHAKE_NODE_MAX; length <= HANDSHAKE_NODE_MAX + 1; length++) {
                _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
                _cleanup_free_ char *node = g_strnfill(length, 'n'), *line = g_strdup_printf(STARTED_WITH(STARTED_PARAMS ",\"node\":\"%s\""), node);
                _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, line);

                g_assert_cmpint(outcome.event, ==, length <= HANDSHAKE_NODE_MAX ? HANDSHAKE_EVENT_STARTED : HANDSHAKE_EVENT_FAILED);
        }
}

static void test_line_of_greatest_length(void) {
        for (size_t more = 0; more <= 1; more++) {
                _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
                size_t size = LIMIT_PROTOCOL_LINE + more;
                _cleanup_free_ char *line = g_strnfill(size, ' ');
                _cleanup_outcome_ HandshakeOutcome outcome = {};

                memcpy(line, STARTED, strlen(STARTED));
                g_assert_cmpint(handshake_message(handshake, line, size, &outcome), ==, 0);
                if (more == 0)
                        g_assert_cmpint(outcome.event, ==, HANDSHAKE_EVENT_STARTED);
                else
                        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, "longer than 1 MiB");
        }
}

static void test_too_deep(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_free_ char *line = g_strnfill(10000, '[');
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, line);

        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, "is not JSON");
}

/* Of these nothing comes, in any phase. */
static const Line ignored[] = {
        {"unknown notification", "{\"jsonrpc\":\"2.0\",\"method\":\"hello\"}", NULL},
        {"our own notification", INITIALIZED, NULL},
        {"answer with an unknown id", "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}", NULL},
        {"error with an unknown id", "{\"jsonrpc\":\"2.0\",\"id\":99,\"error\":{\"code\":-1,\"message\":\"no\"}}", NULL},
        {"answer with id 0", "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}", NULL},
        {"answer with a negative id", "{\"jsonrpc\":\"2.0\",\"id\":-1,\"result\":{}}", NULL},
        {"answer with id null", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"\"}}", NULL},
        {"answer with the right id as a string", "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}", NULL},
        {"answer with the right id as a fraction", "{\"jsonrpc\":\"2.0\",\"id\":1.0,\"result\":{}}", NULL},
        {"status without text", "{\"jsonrpc\":\"2.0\",\"method\":\"status\"}", NULL},
        {"status that is no text", "{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":{\"text\":1}}", NULL},
};

static void test_ignored(gconstpointer data) {
        const Line *row = data;

        for (int phase = HANDSHAKE_WAITING; phase <= HANDSHAKE_READY; phase++) {
                _cleanup_handshake_ Handshake *handshake = make_in_phase((HandshakePhase) phase);
                _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line);

                assert_nothing(&outcome);
                g_assert_cmpint(handshake_phase(handshake), ==, phase);
        }
}

#define REFUSED(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}"

static const Line requests[] = {
        {"number", "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"evaluate\",\"params\":{}}", REFUSED("7")},
        {"string", "{\"jsonrpc\":\"2.0\",\"id\":\"a\\nb\",\"method\":\"evaluate\"}", REFUSED("\"a\\nb\"")},
        {"null", "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"evaluate\",\"params\":[]}", REFUSED("null")},
        {"fraction", "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"evaluate\"}", REFUSED("1.5")},
        {"status", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\",\"params\":{\"text\":\"x\"}}", REFUSED("1")},
        {"our own method", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}", REFUSED("1")},
};

static void test_unknown_request(gconstpointer data) {
        const Line *row = data;

        for (int phase = HANDSHAKE_WAITING; phase <= HANDSHAKE_READY; phase++) {
                _cleanup_handshake_ Handshake *handshake = make_in_phase((HandshakePhase) phase);
                _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line);

                g_assert_cmpint(outcome.event, ==, HANDSHAKE_EVENT_NONE);
                g_assert_cmpstr(outcome.send, ==, row->expected);
                g_assert_null(outcome.status_text);
                g_assert_cmpint(handshake_phase(handshake), ==, phase);
        }
}

static void test_request_with_a_long_id(void) {
        for (size_t length = 255; length <= 256; length++) {
                _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
                _cleanup_free_ char *id = g_strnfill(length, 'i'), *line = g_strdup_printf("{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"x\"}", id);
                _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, line);

                if (length == 255)
                        g_assert_nonnull(outcome.send);
                else
                        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, "id that is too long");
        }
}

static const Line initialize_errors[] = {
        {"with message", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no\\nmanager\"}}",
         "The runtime could not be initialized: error -32000, \"no\\nmanager\""},
        {"without message", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":5}}", "The runtime could not be initialized: error 5, \"\""},
        {"without code", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"message\":\"m\"}}", "The runtime could not be initialized: error -32603, \"m\""},
        {"that is no object", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":\"bad\"}", "The runtime could not be initialized: error -32603, \"\""},
        {"that is null alone", "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":null}", "The runtime could not be initialized: error -32603, \"\""},
        {"beside a result that is null", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null,\"error\":{\"code\":1,\"message\":\"m\"}}",
         "The runtime could not be initialized: error 1, \"m\""},
};

static void test_initialize_error(gconstpointer data) {
        const Line *row = data;
        _cleanup_handshake_ Handshake *handshake = make_in_phase(HANDSHAKE_INITIALIZING);
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line);

        assert_failed(handshake, &outcome, HANDSHAKE_REASON_INITIALIZE_FAILED, row->expected);
        g_assert_cmpstr(outcome.message, ==, row->expected);
}

static const Line initialize_results[] = {
        {"object", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"any\":[1]}}", NULL},
        {"null", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", NULL},
        {"true", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}", NULL},
        {"beside an error that is null", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":null}", NULL},
};

static void test_initialize_result(gconstpointer data) {
        const Line *row = data;
        _cleanup_handshake_ Handshake *handshake = make_in_phase(HANDSHAKE_INITIALIZING);
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line);

        g_assert_cmpint(outcome.event, ==, HANDSHAKE_EVENT_READY);
}

static const Line statuses[] = {
        {"plain", "{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":{\"text\":\"compiling\"}}", "compiling"},
        {"one line", "{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":{\"text\":\"a\\nb\\u001b\"}}", "a b"},
        {"noncharacter", "{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":{\"text\":\"\\uffff\"}}", "\xef\xbf\xbd"},
        {"cleared", "{\"jsonrpc\":\"2.0\",\"method\":\"status\",\"params\":{\"text\":\"\"}}", ""},
};

static void test_status(gconstpointer data) {
        const Line *row = data;

        for (int phase = HANDSHAKE_WAITING; phase <= HANDSHAKE_READY; phase++) {
                _cleanup_handshake_ Handshake *handshake = make_in_phase((HandshakePhase) phase);
                _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, row->line);

                g_assert_cmpint(outcome.event, ==, HANDSHAKE_EVENT_STATUS);
                g_assert_cmpstr(outcome.status_text, ==, row->expected);
                g_assert_cmpint(handshake_phase(handshake), ==, phase);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        add_lines("accepted start", accepted_starts, ELEMENTSOF(accepted_starts), test_accepted_start);
        add_lines("violation", violations, ELEMENTSOF(violations), test_violation);
        add_lines("wrong start", wrong_starts, ELEMENTSOF(wrong_starts), test_wrong_start);
        g_test_add_func("/handshake/message quotes the line", test_message_quotes_the_line);
        g_test_add_func("/handshake/message quotes the beginning of a long line", test_message_quotes_the_beginning_of_a_long_line);
        g_test_add_func("/handshake/node of greatest length", test_node_of_greatest_length);
        g_test_add_func("/handshake/line of greatest length", test_line_of_greatest_length);
        g_test_add_func("/handshake/too deep", test_too_deep);
        add_lines("ignored", ignored, ELEMENTSOF(ignored), test_ignored);
        add_lines("unknown request", requests, ELEMENTSOF(requests), test_unknown_request);
        g_test_add_func("/handshake/request with a long id", test_request_with_a_long_id);
        add_lines("initialize error", initialize_errors, ELEMENTSOF(initialize_errors), test_initialize_error);
        add_lines("initialize result", initialize_results, ELEMENTSOF(initialize_results), test_initialize_result);
        add_lines("status", statuses, ELEMENTSOF(statuses), test_status);
        return g_test_run();
}
