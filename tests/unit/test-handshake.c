/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The four handshakes, step by step, in the order of a runtime's life: names, what makes ready, the protocol in full, the end of the
 * connection, requests of ours, coming back after a restart, sd_notify(). What single lines do is in test-handshake-message.c. */

#include "handshake-lines.h"

#include "util/limits.h"

static void test_names(void) {
        static const char *const types[] = {"exec", "line", "notify", "protocol"};
        static const char *const phases[] = {"waiting", "initializing", "ready", "failed"};

        for (int i = 0; i < _HANDSHAKE_TYPE_MAX; i++) {
                g_assert_cmpstr(handshake_type_to_string((HandshakeType) i), ==, types[i]);
                g_assert_cmpint(handshake_type_from_string(types[i]), ==, i);
        }
        for (int i = 0; i < _HANDSHAKE_PHASE_MAX; i++) {
                g_assert_cmpstr(handshake_phase_to_string((HandshakePhase) i), ==, phases[i]);
                g_assert_cmpint(handshake_phase_from_string(phases[i]), ==, i);
        }
        g_assert_null(handshake_type_to_string(_HANDSHAKE_TYPE_MAX));
        g_assert_null(handshake_phase_to_string(_HANDSHAKE_PHASE_MAX));
        g_assert_cmpint(handshake_type_from_string("Protocol"), ==, -EINVAL);
        g_assert_cmpint(handshake_phase_from_string(""), ==, -EINVAL);
}

static void test_new_refuses(void) {
        Handshake *handshake = NULL;

        g_assert_cmpint(handshake_new(_HANDSHAKE_TYPE_MAX, ID, REF, &handshake), ==, -EINVAL);
        g_assert_cmpint(handshake_new(HANDSHAKE_EXEC, "", REF, &handshake), ==, -EINVAL);
        g_assert_cmpint(handshake_new(HANDSHAKE_EXEC, ID, "", &handshake), ==, -EINVAL);
        g_assert_cmpint(handshake_new(HANDSHAKE_EXEC, ID, "\xff", &handshake), ==, -EINVAL);
        g_assert_null(handshake);
        g_assert_null(handshake_free(NULL));
}

/* What makes each type ready is one thing; the others leave it waiting. */
static void test_what_makes_ready(gconstpointer data) {
        HandshakeType type = GPOINTER_TO_INT(data);
        static const HandshakeEvent expected[_HANDSHAKE_TYPE_MAX][4] = {
                [HANDSHAKE_EXEC] = {HANDSHAKE_EVENT_READY},
                [HANDSHAKE_LINE] = {HANDSHAKE_EVENT_NONE, HANDSHAKE_EVENT_READY},
                [HANDSHAKE_NOTIFY] = {HANDSHAKE_EVENT_NONE, HANDSHAKE_EVENT_NONE, HANDSHAKE_EVENT_READY},
                [HANDSHAKE_PROTOCOL] = {HANDSHAKE_EVENT_NONE, HANDSHAKE_EVENT_NONE, HANDSHAKE_EVENT_NONE, HANDSHAKE_EVENT_STARTED},
        };
        _cleanup_handshake_ Handshake *handshake = make(type);

        g_assert_cmpint(handshake_type(handshake), ==, type);
        /* A second round: once is enough. */
        for (unsigned round = 0; round < 2; round++) {
                _cleanup_outcome_ HandshakeOutcome executed = {}, line = {}, notified = {}, started = {};

                g_assert_cmpint(handshake_executed(handshake, &executed), ==, 0);
                g_assert_cmpint(handshake_line_matched(handshake, &line), ==, 0);
                notified = notify(handshake, "READY=1");
                started = say(handshake, STARTED);
                if (round == 1) {
                        g_assert_cmpint(started.event, ==, type == HANDSHAKE_PROTOCOL ? HANDSHAKE_EVENT_FAILED : HANDSHAKE_EVENT_NONE);
                        assert_nothing(&executed);
                        assert_nothing(&line);
                        assert_nothing(&notified);
                        break;
                }
                g_assert_cmpint(executed.event, ==, expected[type][0]);
                g_assert_cmpint(line.event, ==, expected[type][1]);
                g_assert_cmpint(notified.event, ==, expected[type][2]);
                g_assert_cmpint(started.event, ==, expected[type][3]);
                g_assert_cmpint(handshake_phase(handshake), ==, type == HANDSHAKE_PROTOCOL ? HANDSHAKE_INITIALIZING : HANDSHAKE_READY);
                if (type != HANDSHAKE_PROTOCOL)
                        g_assert_null(started.send);
        }
}

static void test_connection_is_of_no_account_elsewhere(void) {
        for (int type = 0; type < HANDSHAKE_PROTOCOL; type++) {
                _cleanup_handshake_ Handshake *handshake = make((HandshakeType) type);
                HandshakeOutcome opened, closed, too_long;

                g_assert_cmpint(handshake_opened(handshake, &opened), ==, 0);
                g_assert_cmpint(handshake_closed(handshake, &closed), ==, 0);
                g_assert_cmpint(handshake_too_long(handshake, "x", 1, &too_long), ==, 0);
                assert_nothing(&opened);
                assert_nothing(&closed);
                assert_nothing(&too_long);
                g_assert_cmpint(handshake_phase(handshake), ==, HANDSHAKE_WAITING);
        }
}

static void test_protocol_in_full(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome opened = {}, started = {}, ready = {};

        g_assert_cmpint(handshake_opened(handshake, &opened), ==, 0);
        assert_nothing(&opened);

        started = say(handshake, STARTED);
        g_assert_cmpint(started.event, ==, HANDSHAKE_EVENT_STARTED);
        g_assert_cmpstr(started.send, ==, INITIALIZE);
        g_assert_cmpstr(started.node, ==, "n_1@host.example");
        g_assert_cmpuint(started.pid, ==, 77);
        g_assert_cmpint(handshake_phase(handshake), ==, HANDSHAKE_INITIALIZING);

        ready = say(handshake, ANSWER);
        g_assert_cmpint(ready.event, ==, HANDSHAKE_EVENT_READY);
        g_assert_cmpstr(ready.send, ==, INITIALIZED);
        g_assert_cmpint(handshake_phase(handshake), ==, HANDSHAKE_READY);
}

/* What is sent carries the runtime's ref and id whatever characters they hold, on one line. */
static void test_sent_text_is_escaped(void) {
        _cleanup_handshake_ Handshake *handshake = NULL;
        _cleanup_outcome_ HandshakeOutcome started = {};

        g_assert_cmpint(handshake_new(HANDSHAKE_PROTOCOL, "a\"b\nc", REF, &handshake), ==, 0);
        started = say(handshake, STARTED);
        g_assert_nonnull(strstr(started.send, "\"a\\\"b\\nc\""));
        g_assert_null(strchr(started.send, '\n'));
}

static void test_second_start(void) {
        _cleanup_handshake_ Handshake *initializing = make_in_phase(HANDSHAKE_INITIALIZING), *ready = make_in_phase(HANDSHAKE_READY);
        _cleanup_outcome_ HandshakeOutcome failed = say(initializing, STARTED), warned = say(ready, STARTED);

        assert_failed(initializing, &failed, HANDSHAKE_REASON_PROTOCOL_VIOLATION, "second node_started");
        g_assert_cmpint(warned.event, ==, HANDSHAKE_EVENT_NONE);
        g_assert_nonnull(strstr(warned.warning, "second node_started"));
        g_assert_null(warned.send);
}

static void test_too_long(void) {
        for (int phase = HANDSHAKE_WAITING; phase <= HANDSHAKE_READY; phase++) {
                _cleanup_handshake_ Handshake *handshake = make_in_phase((HandshakePhase) phase);
                _cleanup_outcome_ HandshakeOutcome outcome = {};

                g_assert_cmpint(handshake_too_long(handshake, "{{{", 3, &outcome), ==, 0);
                if (phase == HANDSHAKE_READY)
                        g_assert_cmpstr(outcome.warning, ==, "The runtime's message is longer than 1 MiB and begins: \"{{{\"");
                else
                        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, "longer than 1 MiB and begins: \"{{{\"");
        }
}

/* A mebibyte of [{},{},… would become some 100 MiB of objects; the same in a string is nothing. */
static void test_too_many_values(void) {
        static const char head[] = "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":[";

        for (unsigned in_string = 0; in_string <= 1; in_string++) {
                _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
                g_autoptr(GString) line = g_string_new(head);
                _cleanup_outcome_ HandshakeOutcome outcome = {};

                g_string_append(line, in_string ? "\"\\\"" : "{}");
                for (unsigned i = 0; i < 20000; i++)
                        g_string_append(line, ",{}");
                g_string_append(line, in_string ? "\"]}" : "]}");
                outcome = say(handshake, line->str);
                if (in_string)
                        assert_nothing(&outcome);
                else
                        assert_failed(handshake, &outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, "too many values");
        }
}

static void test_answer_before_the_request(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome outcome = say(handshake, ANSWER);

        assert_nothing(&outcome);
        g_assert_cmpint(handshake_phase(handshake), ==, HANDSHAKE_WAITING);
}

static void test_closed(void) {
        for (int phase = HANDSHAKE_WAITING; phase <= HANDSHAKE_READY; phase++) {
                _cleanup_handshake_ Handshake *handshake = make_in_phase((HandshakePhase) phase);
                _cleanup_outcome_ HandshakeOutcome outcome = {};

                g_assert_cmpint(handshake_closed(handshake, &outcome), ==, 0);
                if (phase == HANDSHAKE_READY) {
                        g_assert_cmpint(outcome.event, ==, HANDSHAKE_EVENT_NONE);
                        g_assert_cmpstr(outcome.warning, ==, "The runtime closed its control connection");
                } else
                        assert_failed(handshake, &outcome, HANDSHAKE_REASON_CONNECTION_CLOSED, "before it was ready");
        }
}

static void test_no_requests_on_a_closed_connection(void) {
        _cleanup_handshake_ Handshake *handshake = make_in_phase(HANDSHAKE_READY);
        _cleanup_outcome_ HandshakeOutcome closed = {}, opened = {};
        _cleanup_free_ char *line = NULL;
        int64_t id;

        g_assert_cmpint(handshake_closed(handshake, &closed), ==, 0);
        g_assert_null(handshake_request(handshake, "ping", &id));
        g_assert_cmpint(handshake_opened(handshake, &opened), ==, 0);
        line = handshake_request(handshake, "ping", &id);
        g_assert_nonnull(line);
}

static void test_requests_of_ours_are_answered(void) {
        _cleanup_handshake_ Handshake *handshake = make_in_phase(HANDSHAKE_READY);
        _cleanup_outcome_ HandshakeOutcome second = {}, first = {}, again = {};
        int64_t ping, shutdown;
        _cleanup_free_ char *ping_line = handshake_request(handshake, "ping", &ping), *shutdown_line = handshake_request(handshake, "shutdown", &shutdown);

        g_assert_cmpstr(ping_line, ==, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\",\"params\":{}}");
        g_assert_cmpstr(shutdown_line, ==, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"shutdown\",\"params\":{}}");
        g_assert_cmpint(ping, ==, 2);
        g_assert_cmpint(shutdown, ==, 3);

        second = say(handshake, "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32601,\"message\":\"no\\nsuch\"}}");
        g_assert_cmpint(second.event, ==, HANDSHAKE_EVENT_NONE);
        g_assert_cmpint(second.answered_id, ==, shutdown);
        g_assert_cmpint(second.answered_code, ==, -32601);
        g_assert_cmpstr(second.message, ==, "no such");

        first = say(handshake, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
        g_assert_cmpint(first.answered_id, ==, ping);
        g_assert_cmpint(first.answered_code, ==, 0);
        g_assert_null(first.message);

        again = say(handshake, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
        assert_nothing(&again);
}

static void test_oldest_request_is_forgotten(void) {
        _cleanup_handshake_ Handshake *handshake = make_in_phase(HANDSHAKE_READY);
        _cleanup_outcome_ HandshakeOutcome forgotten = {}, kept = {};

        for (unsigned i = 0; i <= HANDSHAKE_PENDING_MAX; i++) {
                int64_t id;
                _cleanup_free_ char *line = handshake_request(handshake, "ping", &id);

                g_assert_nonnull(line);
        }
        forgotten = say(handshake, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
        kept = say(handshake, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}");
        assert_nothing(&forgotten);
        g_assert_cmpint(kept.answered_id, ==, 3);
}

static void test_requests_need_a_ready_connection(void) {
        _cleanup_handshake_ Handshake *initializing = make_in_phase(HANDSHAKE_INITIALIZING), *exec = make(HANDSHAKE_EXEC);
        HandshakeOutcome outcome;
        int64_t id = -1;

        g_assert_null(handshake_request(initializing, "ping", &id));
        g_assert_cmpint(handshake_executed(exec, &outcome), ==, 0);
        g_assert_null(handshake_request(exec, "ping", &id));
        g_assert_cmpint(id, ==, -1);
}

/* The daemon was killed behind sending initialize, before it could acknowledge node_started. */
static void test_the_same_start_again_after_a_restart(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome started = {}, ready = {}, second_answer = {};

        handshake_set_phase(handshake, HANDSHAKE_WAITING, 2);
        started = say(handshake, STARTED);
        g_assert_cmpstr(started.send, ==, INITIALIZE);
        ready = say(handshake, ANSWER);
        g_assert_cmpint(ready.event, ==, HANDSHAKE_EVENT_READY);
        second_answer = say(handshake, ANSWER);
        assert_nothing(&second_answer);
}

static void test_re_entry(void) {
        _cleanup_handshake_ Handshake *initializing = make(HANDSHAKE_PROTOCOL), *ready = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome answered = {}, late = {}, own = {};
        _cleanup_free_ char *line = NULL;
        int64_t id;

        handshake_set_phase(initializing, HANDSHAKE_INITIALIZING, 0);
        answered = say(initializing, ANSWER);
        g_assert_cmpint(answered.event, ==, HANDSHAKE_EVENT_READY);
        g_assert_cmpint(handshake_next_id(initializing), ==, 2);

        handshake_set_phase(ready, HANDSHAKE_READY, 9);
        line = handshake_request(ready, "ping", &id);
        g_assert_nonnull(line);
        g_assert_cmpint(id, ==, 9);
        g_assert_cmpint(handshake_next_id(ready), ==, 10);
        late = say(ready, "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}");
        assert_nothing(&late);
        own = say(ready, "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}");
        g_assert_cmpint(own.answered_id, ==, 9);
}

typedef struct Datagram {
        const char *name;
        const char *text;
        HandshakeEvent event;
        const char *status;
        uint64_t extend_usec;
} Datagram;

static const Datagram datagrams[] = {
        {"ready", "READY=1", HANDSHAKE_EVENT_READY, NULL, 0},
        {"ready with a newline", "READY=1\n", HANDSHAKE_EVENT_READY, NULL, 0},
        {"status", "STATUS=Compiling 3 files", HANDSHAKE_EVENT_STATUS, "Compiling 3 files", 0},
        {"status cleared", "STATUS=", HANDSHAKE_EVENT_STATUS, "", 0},
        {"status with =", "STATUS=a=b", HANDSHAKE_EVENT_STATUS, "a=b", 0},
        {"status not UTF-8", "STATUS=a\xff\tb", HANDSHAKE_EVENT_STATUS, "a\xef\xbf\xbd b", 0},
        {"the first status counts", "STATUS=a\nSTATUS=b", HANDSHAKE_EVENT_STATUS, "a", 0},
        {"extend", "EXTEND_TIMEOUT_USEC=5000000", HANDSHAKE_EVENT_EXTEND, NULL, 5000000},
        {"extend with status", "STATUS=x\nEXTEND_TIMEOUT_USEC=1", HANDSHAKE_EVENT_EXTEND, "x", 1},
        {"all at once", "STATUS=x\nEXTEND_TIMEOUT_USEC=7\nREADY=1", HANDSHAKE_EVENT_READY, "x", 7},
        {"extend by nothing", "EXTEND_TIMEOUT_USEC=0", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"extend by less", "EXTEND_TIMEOUT_USEC=-1", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"extend by a word", "EXTEND_TIMEOUT_USEC=5s", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"extend beyond 64 bits", "EXTEND_TIMEOUT_USEC=18446744073709551616", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"extend for ever", "EXTEND_TIMEOUT_USEC=18446744073709551615", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"ready with another value", "READY=0\nREADY=11\nREADY=", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"other variables", "ERRNO=2\nSTOPPING=1\nMAINPID=1\nFDSTORE=1\nBARRIER=1", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"no assignments", "READY\n\n=\n=1\n READY=1\nready=1\nXREADY=1", HANDSHAKE_EVENT_NONE, NULL, 0},
        {"malformed beside good", "nonsense\nREADY=1\n=", HANDSHAKE_EVENT_READY, NULL, 0},
        {"empty", "", HANDSHAKE_EVENT_NONE, NULL, 0},
};

static void test_datagram(gconstpointer data) {
        const Datagram *row = data;
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_NOTIFY);
        _cleanup_outcome_ HandshakeOutcome outcome = notify(handshake, row->text);

        g_assert_cmpint(outcome.event, ==, row->event);
        g_assert_cmpstr(outcome.status_text, ==, row->status);
        g_assert_cmpuint(outcome.extend_usec, ==, row->extend_usec);
        g_assert_cmpint(handshake_phase(handshake), ==, row->event == HANDSHAKE_EVENT_READY ? HANDSHAKE_READY : HANDSHAKE_WAITING);
}

static void test_datagram_after_ready(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_NOTIFY);
        _cleanup_outcome_ HandshakeOutcome ready = notify(handshake, "READY=1"), again = notify(handshake, "READY=1\nSTATUS=busy");

        g_assert_cmpint(ready.event, ==, HANDSHAKE_EVENT_READY);
        g_assert_cmpint(again.event, ==, HANDSHAKE_EVENT_STATUS);
        g_assert_cmpstr(again.status_text, ==, "busy");
}

static void test_datagram_with_nul(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_NOTIFY);
        _cleanup_outcome_ HandshakeOutcome inside = {}, nothing = {}, behind = {};

        g_assert_cmpint(handshake_notify(handshake, "READY=1\0\nREADY=1", 16, &inside), ==, 0);
        assert_nothing(&inside);
        g_assert_cmpint(handshake_notify(handshake, NULL, 0, &nothing), ==, 0);
        assert_nothing(&nothing);
        g_assert_cmpint(handshake_notify(handshake, "READY=1", 8, &behind), ==, 0);
        g_assert_cmpint(behind.event, ==, HANDSHAKE_EVENT_READY);
}

static void test_datagram_too_long(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_NOTIFY);
        _cleanup_free_ char *text = g_strnfill(LIMIT_NOTIFY + 1, '\n');
        _cleanup_outcome_ HandshakeOutcome long_one = {}, fits = {};

        memcpy(text, "READY=1", 7);
        long_one = notify(handshake, text);
        assert_nothing(&long_one);
        text[LIMIT_NOTIFY] = '\0';
        fits = notify(handshake, text);
        g_assert_cmpint(fits.event, ==, HANDSHAKE_EVENT_READY);
}

static void test_long_status_is_cut(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_NOTIFY);
        _cleanup_free_ char *long_text = g_strnfill(1000, 's'), *text = g_strdup_printf("STATUS=%s", long_text);
        _cleanup_outcome_ HandshakeOutcome outcome = notify(handshake, text);

        g_assert_cmpuint(strlen(outcome.status_text), ==, LIMIT_STATUS_TEXT);
}

static void test_nothing_after_a_failure(void) {
        _cleanup_handshake_ Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome failed = say(handshake, "x"), status = notify(handshake, "STATUS=x"),
                                           request = say(handshake, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"evaluate\"}");
        HandshakeOutcome closed, too_long, executed;

        g_assert_cmpint(failed.event, ==, HANDSHAKE_EVENT_FAILED);
        g_assert_cmpint(handshake_closed(handshake, &closed), ==, 0);
        g_assert_cmpint(handshake_too_long(handshake, "x", 1, &too_long), ==, 0);
        g_assert_cmpint(handshake_executed(handshake, &executed), ==, 0);
        assert_nothing(&request);
        assert_nothing(&status);
        assert_nothing(&closed);
        assert_nothing(&too_long);
        assert_nothing(&executed);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/handshake/names", test_names);
        g_test_add_func("/handshake/new refuses what it cannot send", test_new_refuses);
        for (int type = 0; type < _HANDSHAKE_TYPE_MAX; type++) {
                _cleanup_free_ char *path = g_strdup_printf("/handshake/what makes ready/%s", handshake_type_to_string((HandshakeType) type));

                g_test_add_data_func(path, GINT_TO_POINTER(type), test_what_makes_ready);
        }
        g_test_add_func("/handshake/a connection is of no account elsewhere", test_connection_is_of_no_account_elsewhere);
        g_test_add_func("/handshake/protocol in full", test_protocol_in_full);
        g_test_add_func("/handshake/sent text is escaped", test_sent_text_is_escaped);
        g_test_add_func("/handshake/second start", test_second_start);
        g_test_add_func("/handshake/too long", test_too_long);
        g_test_add_func("/handshake/too many values", test_too_many_values);
        g_test_add_func("/handshake/answer before the request is ignored", test_answer_before_the_request);
        g_test_add_func("/handshake/closed", test_closed);
        g_test_add_func("/handshake/no requests on a closed connection", test_no_requests_on_a_closed_connection);
        g_test_add_func("/handshake/requests of ours are answered", test_requests_of_ours_are_answered);
        g_test_add_func("/handshake/oldest request is forgotten", test_oldest_request_is_forgotten);
        g_test_add_func("/handshake/requests need a ready connection", test_requests_need_a_ready_connection);
        g_test_add_func("/handshake/the same start again after a restart", test_the_same_start_again_after_a_restart);
        g_test_add_func("/handshake/re-entry", test_re_entry);
        for (size_t i = 0; i < ELEMENTSOF(datagrams); i++) {
                _cleanup_free_ char *path = g_strdup_printf("/handshake/datagram/%s", datagrams[i].name);

                g_test_add_data_func(path, &datagrams[i], test_datagram);
        }
        g_test_add_func("/handshake/datagram after ready", test_datagram_after_ready);
        g_test_add_func("/handshake/datagram with NUL", test_datagram_with_nul);
        g_test_add_func("/handshake/datagram too long", test_datagram_too_long);
        g_test_add_func("/handshake/long status is cut", test_long_status_is_cut);
        g_test_add_func("/handshake/nothing after a failure", test_nothing_after_a_failure);
        return g_test_run();
}
