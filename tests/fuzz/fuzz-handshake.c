/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A runtime that says anything at all. The first byte chooses the handshake; then each line is one report of the keeper: a command for
 * the lines below, everything else a message of the protocol. A datagram's newlines are written as \x1f.
 *
 * Whatever comes in: phases go forward only, ready comes once, what is sent is JSON of one line, what people read is one line of UTF-8. */

#include <string.h>

#include <glib.h>
#include <jansson.h>

#include "core/handshake.h"
#include "util/text.h"

#define ID "abc"
#define REF "ref"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
        const char *line;
        int (*report)(Handshake *handshake, HandshakeOutcome *ret);
} reports[] = {
        {"!executed", handshake_executed},
        {"!line", handshake_line_matched},
        {"!opened", handshake_opened},
        {"!closed", handshake_closed},
};

static const struct {
        const char *prefix;
        int (*report)(Handshake *handshake, const void *bytes, size_t size, HandshakeOutcome *ret);
} reports_of_bytes[] = {
        {"!notify ", handshake_notify},
        {"!long ", handshake_too_long},
        {"", handshake_message},
};

static void check_text(const char *text) {
        if (!text)
                return;
        g_assert_true(g_utf8_validate(text, -1, NULL));
        for (const char *p = text; *p; p++)
                g_assert_false(g_ascii_iscntrl(*p));
}

static void check(const Handshake *handshake, HandshakePhase before, const HandshakeOutcome *outcome) {
        HandshakePhase after = handshake_phase(handshake);

        g_assert_cmpint(after, >=, before);
        g_assert_true((outcome->event == HANDSHAKE_EVENT_READY) == (before != after && after == HANDSHAKE_READY));
        g_assert_true((outcome->event == HANDSHAKE_EVENT_FAILED) == (before != after && after == HANDSHAKE_FAILED));
        g_assert_true((outcome->event == HANDSHAKE_EVENT_FAILED) == (outcome->reason != NULL));
        g_assert_true(!outcome->reason || outcome->message);
        g_assert_true(!outcome->warning || (outcome->event == HANDSHAKE_EVENT_NONE && after == HANDSHAKE_READY));
        check_text(outcome->message);
        check_text(outcome->warning);
        check_text(outcome->status_text);
        check_text(outcome->node);
        if (outcome->send) {
                json_t *sent = json_loads(outcome->send, JSON_REJECT_DUPLICATES, NULL);

                g_assert_true(json_is_object(sent));
                json_decref(sent);
                check_text(outcome->send);
        }
}

static int report(Handshake *handshake, char *line, size_t size, HandshakeOutcome *ret) {
        for (size_t i = 0; i < ELEMENTSOF(reports); i++)
                if (size == strlen(reports[i].line) && memcmp(line, reports[i].line, size) == 0)
                        return reports[i].report(handshake, ret);

        for (size_t i = 0;; i++) {
                size_t length = strlen(reports_of_bytes[i].prefix);

                if (size < length || memcmp(line, reports_of_bytes[i].prefix, length) != 0)
                        continue;
                if (length > 0)
                        for (char *p = line; (p = memchr(p, '\x1f', (size_t) (line + size - p))); p++)
                                *p = '\n';
                return reports_of_bytes[i].report(handshake, line + length, size - length, ret);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_handshake_ Handshake *handshake = NULL;
        unsigned n_lines = 0;

        if (size == 0)
                return 0;
        g_assert_cmpint(handshake_new((HandshakeType) (data[0] % _HANDSHAKE_TYPE_MAX), ID, REF, &handshake), ==, 0);

        for (size_t offset = 1; offset < size;) {
                const uint8_t *end = memchr(data + offset, '\n', size - offset);
                size_t length = end ? (size_t) (end - data) - offset : size - offset;
                /* A copy of its own size, so that reading past it is seen. */
                _cleanup_free_ char *line = malloc(MAX_OF(length, 1U));
                _cleanup_(handshake_outcome_done) HandshakeOutcome outcome = {};
                HandshakePhase before = handshake_phase(handshake);

                memcpy(line, data + offset, length);
                g_assert_cmpint(report(handshake, line, length, &outcome), ==, 0);
                check(handshake, before, &outcome);

                /* Now and then something to answer. */
                if (n_lines++ % 2 == 0) {
                        int64_t id;
                        _cleanup_free_ char *request = handshake_request(handshake, "ping", &id);

                        check_text(request);
                }
                offset += length + 1;
        }
        return 0;
}
