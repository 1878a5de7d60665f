/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The handshake: how a runtime says that it is ready, and what it may say afterwards. A pure state machine: what the keeper reports goes
 * in, an outcome comes out; it opens nothing, knows no clock (deadlines are the runtime's) and never asks for anything again.
 *
 * Four ways, as a kind names them: exec (ready when the command runs), line (when a line of output matches), notify (sd_notify()), and
 * protocol, the two-way exchange of protocol 1 over JSON-RPC 2.0:
 *
 *      runtime → manager   notification node_started {protocol: 1, init_ref, node?, pid, capabilities?}    waiting → initializing
 *      manager → runtime   request      initialize {id, protocol: 1}
 *      runtime → manager   its answer: any result                                                          initializing → ready
 *      manager → runtime   notification node_initialized {init_ref}
 *
 * All that comes in is untrusted. Before ready, anything against the protocol ends the handshake, in words that quote the line;
 * after ready the runtime is working for somebody and the same is only a warning (a second node_started too: it is told and ignored).
 * Unknown notifications, members and answers are ignored, unknown requests answered with error -32601, always. A handshake that has failed
 * says nothing more.
 *
 * For coming back after a restart: for each message, first record handshake_phase(), handshake_next_id() and outcome.send, then send that, then
 * acknowledge the message to the keeper. Killed in between, the daemon sends what it has recorded once more; the keeper knows it by its number. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/macro.h"

#define HANDSHAKE_NODE_MAX 255U   /* bytes of a node's name */
#define HANDSHAKE_QUOTE_MAX 200U  /* bytes of a line that a message quotes */
#define HANDSHAKE_PENDING_MAX 16U /* requests whose answers are awaited; a further one forgets the oldest */

/* Reason of the report. */
#define HANDSHAKE_REASON_PROTOCOL_VIOLATION "protocol-violation" /* another version of the protocol too */
#define HANDSHAKE_REASON_CONNECTION_CLOSED "connection-closed"
#define HANDSHAKE_REASON_INITIALIZE_FAILED "initialize-failed" /* the runtime answered initialize with an error */

/* The names are those of kind files: Type= in [Handshake]. */
typedef enum HandshakeType {
        HANDSHAKE_EXEC,
        HANDSHAKE_LINE,
        HANDSHAKE_NOTIFY,
        HANDSHAKE_PROTOCOL,
        _HANDSHAKE_TYPE_MAX,
} HandshakeType;

const char *handshake_type_to_string(HandshakeType type);
int handshake_type_from_string(const char *name); /* -EINVAL */

/* The names are those of records. */
typedef enum HandshakePhase {
        HANDSHAKE_WAITING,      /* for node_started, READY=1, the line, or the command to run */
        HANDSHAKE_INITIALIZING, /* protocol: for the answer to initialize */
        HANDSHAKE_READY,
        HANDSHAKE_FAILED,
        _HANDSHAKE_PHASE_MAX,
} HandshakePhase;

const char *handshake_phase_to_string(HandshakePhase phase);
int handshake_phase_from_string(const char *name); /* -EINVAL */

typedef enum HandshakeEvent {
        HANDSHAKE_EVENT_NONE,
        HANDSHAKE_EVENT_STARTED, /* now initializing; send holds the initialize request */
        HANDSHAKE_EVENT_READY,   /* now ready; send holds node_initialized if it is the protocol */
        HANDSHAKE_EVENT_FAILED,  /* reason and message tell */
        HANDSHAKE_EVENT_STATUS,  /* status_text is new */
        HANDSHAKE_EVENT_EXTEND,  /* the runtime asks that its present deadline be extend_usec from now */
} HandshakeEvent;

/* All of it belongs to the outcome; NULL and 0 where nothing is said. Texts are valid on the bus and one line each. An sd_notify()
 * datagram can say several things: event is the first that applies of READY, EXTEND, STATUS, and status_text and extend_usec are
 * filled whichever it is. */
typedef struct HandshakeOutcome {
        HandshakeEvent event;
        char *send;         /* a line for the runtime, without newline; with any event */
        char *node;         /* STARTED: name of the node, if it has one */
        uint32_t pid;       /* STARTED: as the runtime sees itself, which may be in another namespace: never signal it */
        const char *reason; /* FAILED: HANDSHAKE_REASON_… */
        char *message;      /* FAILED: a sentence. An answer with an error: its text */
        char *warning;      /* NONE: what the runtime did against the protocol after ready. It may do so as often as it likes */
        char *connection;   /* READY: how to connect to the runtime, a JSON object that only its users may see: never log it; NULL: nothing */
        char *status_text;  /* "" clears it */
        uint64_t extend_usec;
        int64_t answered_id;   /* NONE: the request of ours that this answers */
        int64_t answered_code; /* of that answer: 0 if it is a result, else the code of the error */
} HandshakeOutcome;

void handshake_outcome_done(HandshakeOutcome *outcome);

typedef struct Handshake Handshake;

/* 0, -EINVAL if id or init_ref is empty or not UTF-8, -ENOMEM. */
int handshake_new(HandshakeType type, const char *id, const char *init_ref, Handshake **ret);
Handshake *handshake_free(Handshake *handshake);

static inline void cleanup_handshake(Handshake **handshake) {
        handshake_free(*handshake);
}
#define _cleanup_handshake_ _cleanup_(cleanup_handshake)

HandshakeType handshake_type(const Handshake *handshake);
HandshakePhase handshake_phase(const Handshake *handshake);
const char *handshake_init_ref(const Handshake *handshake);

/* Re-entry after a restart; next_id as recorded, so that a late answer to a request of the daemon before isn't taken for one of ours. */
int64_t handshake_next_id(const Handshake *handshake);
void handshake_set_phase(Handshake *handshake, HandshakePhase phase, int64_t next_id);

/* What the keeper reports. Each fills ret (which then needs handshake_outcome_done()) and returns 0, or -ENOMEM: then nothing has
 * changed. */
int handshake_executed(Handshake *handshake, HandshakeOutcome *ret);
int handshake_line_matched(Handshake *handshake, HandshakeOutcome *ret);
int handshake_opened(Handshake *handshake, HandshakeOutcome *ret);
int handshake_closed(Handshake *handshake, HandshakeOutcome *ret);
int handshake_too_long(Handshake *handshake, const void *prefix, size_t size, HandshakeOutcome *ret);
int handshake_message(Handshake *handshake, const void *bytes, size_t size, HandshakeOutcome *ret);
int handshake_notify(Handshake *handshake, const void *bytes, size_t size, HandshakeOutcome *ret);

/* A request (shutdown, interrupt, ping, status) for a runtime that is ready: the line to send and the id that its answer will carry.
 * NULL if it isn't ready, has no connection to ask on (another handshake than protocol), or there is no memory. */
char *handshake_request(Handshake *handshake, const char *method, int64_t *ret_id);
