/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the handshake share: its exact lines (runtimes in any language depend on each character's meaning), and short ways to
 * bring a handshake where a case begins. */

#include "core/handshake.h"

#include <string.h>

#include <glib.h>

#define ID "abc_1"
#define REF "ref-42"
#define STARTED_PARAMS "\"protocol\":1,\"init_ref\":\"" REF "\",\"pid\":77"
#define STARTED_WITH(params) "{\"jsonrpc\":\"2.0\",\"method\":\"node_started\",\"params\":{" params "}}"
#define STARTED STARTED_WITH(STARTED_PARAMS ",\"node\":\"n_1@host.example\",\"capabilities\":{\"evaluate\":true}")
#define INITIALIZE "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"id\":\"" ID "\",\"protocol\":1}}"
#define ANSWER "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"
#define INITIALIZED "{\"jsonrpc\":\"2.0\",\"method\":\"node_initialized\",\"params\":{\"init_ref\":\"" REF "\"}}"

#define _cleanup_outcome_ _cleanup_(handshake_outcome_done)

static inline Handshake *make(HandshakeType type) {
        Handshake *handshake = NULL;

        g_assert_cmpint(handshake_new(type, ID, REF, &handshake), ==, 0);
        return handshake;
}

static inline HandshakeOutcome say(Handshake *handshake, const char *line) {
        HandshakeOutcome outcome;

        g_assert_cmpint(handshake_message(handshake, line, strlen(line), &outcome), ==, 0);
        return outcome;
}

static inline HandshakeOutcome notify(Handshake *handshake, const char *text) {
        HandshakeOutcome outcome;

        g_assert_cmpint(handshake_notify(handshake, text, strlen(text), &outcome), ==, 0);
        return outcome;
}

static inline void assert_nothing(const HandshakeOutcome *outcome) {
        g_assert_cmpint(outcome->event, ==, HANDSHAKE_EVENT_NONE);
        g_assert_null(outcome->send);
        g_assert_null(outcome->node);
        g_assert_cmpuint(outcome->pid, ==, 0);
        g_assert_null(outcome->reason);
        g_assert_null(outcome->message);
        g_assert_null(outcome->warning);
        g_assert_null(outcome->status_text);
        g_assert_cmpuint(outcome->extend_usec, ==, 0);
        g_assert_cmpint(outcome->answered_id, ==, 0);
        g_assert_cmpint(outcome->answered_code, ==, 0);
}

/* A handshake in the given phase. */
static inline Handshake *make_in_phase(HandshakePhase phase) {
        Handshake *handshake = make(HANDSHAKE_PROTOCOL);
        _cleanup_outcome_ HandshakeOutcome started = {}, ready = {};

        if (phase >= HANDSHAKE_INITIALIZING)
                started = say(handshake, STARTED);
        if (phase >= HANDSHAKE_READY)
                ready = say(handshake, ANSWER);
        g_assert_cmpint(handshake_phase(handshake), ==, phase);
        return handshake;
}

typedef struct Line {
        const char *name;
        const char *line;
        const char *expected;
} Line;

static inline void assert_failed(Handshake *handshake, const HandshakeOutcome *outcome, const char *reason, const char *words) {
        g_assert_cmpint(outcome->event, ==, HANDSHAKE_EVENT_FAILED);
        g_assert_cmpstr(outcome->reason, ==, reason);
        g_assert_nonnull(outcome->message);
        if (!strstr(outcome->message, words))
                g_error("expected \"%s\" in: %s", words, outcome->message);
        g_assert_null(outcome->warning);
        g_assert_null(outcome->send);
        g_assert_cmpint(handshake_phase(handshake), ==, HANDSHAKE_FAILED);
}

static inline void add_lines(const char *group, const Line *lines, size_t n_lines, GTestDataFunc test) {
        for (size_t i = 0; i < n_lines; i++) {
                _cleanup_free_ char *path = g_strdup_printf("/handshake/%s/%s", group, lines[i].name);

                g_test_add_data_func(path, &lines[i], test);
        }
}
