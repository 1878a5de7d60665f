/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The phase is written last in each step, when all that could fail has succeeded: an input that finds no memory leaves the handshake where
 * it was, and may be given once more. */

#include "core/handshake.h"

#include <string.h>

#include <glib.h>
#include <jansson.h>

#include "core/handshake-message.h"
#include "util/limits.h"
#include "util/names.h"
#include "util/text.h"

#define INITIALIZE_ID 1

struct Handshake {
        HandshakeType type;
        HandshakePhase phase;
        char *id;
        char *init_ref;
        int64_t next_id;
        int64_t pending[HANDSHAKE_PENDING_MAX]; /* ids, 0 = free; next_pending is the oldest */
        size_t next_pending;
        bool closed; /* there was a connection */
};

static const char *const type_names[_HANDSHAKE_TYPE_MAX] = {
        [HANDSHAKE_EXEC] = "exec",
        [HANDSHAKE_LINE] = "line",
        [HANDSHAKE_NOTIFY] = "notify",
        [HANDSHAKE_PROTOCOL] = "protocol",
};

static const char *const phase_names[_HANDSHAKE_PHASE_MAX] = {
        [HANDSHAKE_WAITING] = "waiting",
        [HANDSHAKE_INITIALIZING] = "initializing",
        [HANDSHAKE_READY] = "ready",
        [HANDSHAKE_FAILED] = "failed",
};

static int name_index(const char *const *names, size_t n_names, const char *name) {
        for (size_t i = 0; i < n_names; i++)
                if (strcmp(names[i], name) == 0)
                        return (int) i;
        return -EINVAL;
}

const char *handshake_type_to_string(HandshakeType type) {
        return (size_t) type < ELEMENTSOF(type_names) ? type_names[type] : NULL;
}

int handshake_type_from_string(const char *name) {
        return name_index(type_names, ELEMENTSOF(type_names), name);
}

const char *handshake_phase_to_string(HandshakePhase phase) {
        return (size_t) phase < ELEMENTSOF(phase_names) ? phase_names[phase] : NULL;
}

int handshake_phase_from_string(const char *name) {
        return name_index(phase_names, ELEMENTSOF(phase_names), name);
}

void handshake_outcome_done(HandshakeOutcome *outcome) {
        free(outcome->send);
        free(outcome->node);
        free(outcome->message);
        free(outcome->warning);
        free(outcome->connection);
        free(outcome->status_text);
        *outcome = (HandshakeOutcome){};
}

/* Hands the outcome over if the step succeeded. */
static int finish(int r, HandshakeOutcome *outcome, HandshakeOutcome *ret) {
        if (r < 0)
                return r;
        *ret = *outcome;
        *outcome = (HandshakeOutcome){};
        return 0;
}

/* The end of the handshake, or a warning if that is behind us. Takes sentence over. */
static int refuse(Handshake *handshake, HandshakeOutcome *outcome, const char *reason, char *sentence) {
        if (!sentence)
                return -ENOMEM;
        if (handshake->phase == HANDSHAKE_READY) {
                outcome->warning = sentence;
                return 0;
        }
        outcome->event = HANDSHAKE_EVENT_FAILED;
        outcome->reason = reason;
        outcome->message = sentence;
        handshake->phase = HANDSHAKE_FAILED;
        return 0;
}

typedef struct Line {
        const void *bytes;
        size_t size;
} Line;

static int refuse_line(Handshake *handshake, HandshakeOutcome *outcome, Line line, const char *problem) {
        _cleanup_free_ char *quote = NULL;

        /* An answer to initialize may hold what only the runtime's users may see. */
        if (handshake->phase == HANDSHAKE_INITIALIZING && memmem(line.bytes, line.size, "\"connection\"", strlen("\"connection\"")))
                return refuse(handshake, outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION,
                              g_strdup_printf("The runtime's message %s (it is not shown, for it tells how to connect)", problem));
        quote = text_quote(line.bytes, line.size, HANDSHAKE_QUOTE_MAX);
        return refuse(handshake, outcome, HANDSHAKE_REASON_PROTOCOL_VIOLATION, quote ? g_strdup_printf("The runtime's message %s: %s", problem, quote) : NULL);
}

static bool node_is_valid(const char *node, size_t size) {
        return size > 0 && size <= HANDSHAKE_NODE_MAX && strspn(node, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@.-") == size;
}

/* What is wrong with the params of node_started, or NULL. */
static const char *check_node_started(const Handshake *handshake, json_t *params) {
        json_t *protocol = json_object_get(params, "protocol"), *init_ref = json_object_get(params, "init_ref");
        json_t *node = json_object_get(params, "node"), *pid = json_object_get(params, "pid");
        json_t *capabilities = json_object_get(params, "capabilities");

        if (handshake->phase != HANDSHAKE_WAITING)
                return "is a second node_started";
        if (!json_is_object(params))
                return "is a node_started without params";
        if (!json_is_integer(protocol) || json_integer_value(protocol) != RM_PROTOCOL_VERSION)
                return "is a node_started of another protocol than 1";
        if (!json_is_string(init_ref) || strcmp(json_string_value(init_ref), handshake->init_ref) != 0)
                return "is a node_started with another init_ref than " RM_ENV_INIT_REF;
        if (!json_is_integer(pid) || json_integer_value(pid) <= 0 || json_integer_value(pid) > INT32_MAX)
                return "is a node_started with no valid pid";
        if (node && !json_is_null(node) && (!json_is_string(node) || !node_is_valid(json_string_value(node), json_string_length(node))))
                return "is a node_started with an invalid name of the node";
        if (capabilities && !json_is_null(capabilities) && !json_is_object(capabilities))
                return "is a node_started with capabilities that are not an object";
        return NULL;
}

static int on_node_started(Handshake *handshake, HandshakeOutcome *outcome, const Message *message, Line line) {
        const char *problem = check_node_started(handshake, message->params);
        const char *node = json_string_value(json_object_get(message->params, "node"));

        if (problem)
                return refuse_line(handshake, outcome, line, problem);

        outcome->send = message_compose(INITIALIZE_ID, "initialize", json_pack("{s:s, s:i}", "id", handshake->id, "protocol", RM_PROTOCOL_VERSION));
        if (!outcome->send)
                return -ENOMEM;
        outcome->event = HANDSHAKE_EVENT_STARTED;
        outcome->node = g_strdup(node);
        outcome->pid = (uint32_t) json_integer_value(json_object_get(message->params, "pid"));
        handshake->phase = HANDSHAKE_INITIALIZING;
        return 0;
}

/* Only for people to read, so what isn't a text is ignored like what isn't known. */
static int on_status(Handshake *handshake, HandshakeOutcome *outcome, const Message *message, Line line) {
        const char *text = json_string_value(json_object_get(message->params, "text"));

        if (!text)
                return 0;
        outcome->status_text = text_one_line(text, LIMIT_STATUS_TEXT);
        if (!outcome->status_text)
                return -ENOMEM;
        outcome->event = HANDSHAKE_EVENT_STATUS;
        return 0;
}

static const struct {
        const char *method;
        int (*handle)(Handshake *handshake, HandshakeOutcome *outcome, const Message *message, Line line);
        bool required; /* as a request it is a mistake that would otherwise show only as a missed deadline */
} notifications[] = {
        {"node_started", on_node_started, true},
        {"status", on_status, false},
};

static int on_notification(Handshake *handshake, HandshakeOutcome *outcome, const Message *message, Line line) {
        for (size_t i = 0; i < ELEMENTSOF(notifications); i++)
                if (strcmp(notifications[i].method, message->method) == 0)
                        return notifications[i].handle(handshake, outcome, message, line);
        return 0;
}

static int on_request(Handshake *handshake, HandshakeOutcome *outcome, const Message *message, Line line) {
        for (size_t i = 0; i < ELEMENTSOF(notifications); i++)
                if (strcmp(notifications[i].method, message->method) == 0 && notifications[i].required && handshake->phase != HANDSHAKE_READY)
                        return refuse_line(handshake, outcome, line, "has an id, but must be a notification, without one");

        outcome->send = message_compose_error(message->id, MESSAGE_METHOD_NOT_FOUND, "Method not found");
        return outcome->send ? 0 : -ENOMEM;
}

static int on_initialized(Handshake *handshake, HandshakeOutcome *outcome, const Message *message) {
        if (message->error_code != 0) {
                _cleanup_free_ char *quote = text_quote(message->error_text, strlen(message->error_text), HANDSHAKE_QUOTE_MAX);

                return refuse(handshake, outcome, HANDSHAKE_REASON_INITIALIZE_FAILED,
                              quote ? g_strdup_printf("The runtime could not be initialized: error %" G_GINT64_FORMAT ", %s", message->error_code, quote)
                                    : NULL);
        }

        if (json_is_object(json_object_get(message->result, "connection"))) {
                outcome->connection = json_dumps(json_object_get(message->result, "connection"), JSON_COMPACT);
                if (!outcome->connection)
                        return -ENOMEM;
        }
        outcome->send = message_compose(0, "node_initialized", json_pack("{s:s}", "init_ref", handshake->init_ref));
        if (!outcome->send)
                return -ENOMEM;
        outcome->event = HANDSHAKE_EVENT_READY;
        handshake->phase = HANDSHAKE_READY;
        return 0;
}

static int on_answer(Handshake *handshake, HandshakeOutcome *outcome, const Message *message) {
        if (message->answered_id == 0)
                return 0;
        if (handshake->phase == HANDSHAKE_INITIALIZING && message->answered_id == INITIALIZE_ID)
                return on_initialized(handshake, outcome, message);

        for (size_t i = 0; i < HANDSHAKE_PENDING_MAX; i++) {
                if (handshake->pending[i] != message->answered_id)
                        continue;
                if (message->error_code != 0) {
                        outcome->message = text_one_line(message->error_text, HANDSHAKE_QUOTE_MAX);
                        if (!outcome->message)
                                return -ENOMEM;
                }
                outcome->answered_id = message->answered_id;
                outcome->answered_code = message->error_code;
                handshake->pending[i] = 0;
                return 0;
        }
        return 0;
}

static int take_line(Handshake *handshake, HandshakeOutcome *outcome, Line line) {
        _cleanup_(message_done) Message message = {};
        const char *problem;
        int r;

        r = message_parse(&message, line.bytes, line.size, &problem);
        if (r == -EBADMSG)
                return refuse_line(handshake, outcome, line, problem);
        if (r < 0)
                return r;

        switch (message.type) {
        case MESSAGE_NOTIFICATION:
                return on_notification(handshake, outcome, &message, line);
        case MESSAGE_REQUEST:
                return on_request(handshake, outcome, &message, line);
        case MESSAGE_ANSWER:
                return on_answer(handshake, outcome, &message);
        }
        return 0;
}

/* READY=1 counts only where it is awaited. */
static int on_notify_ready(Handshake *handshake, HandshakeOutcome *outcome, const char *value) {
        if (strcmp(value, "1") == 0 && handshake->type == HANDSHAKE_NOTIFY && handshake->phase == HANDSHAKE_WAITING)
                outcome->event = HANDSHAKE_EVENT_READY;
        return 0;
}

static int on_notify_status(Handshake *handshake, HandshakeOutcome *outcome, const char *value) {
        if (outcome->status_text)
                return 0;
        outcome->status_text = text_one_line(value, LIMIT_STATUS_TEXT);
        return outcome->status_text ? 0 : -ENOMEM;
}

static int on_notify_extend(Handshake *handshake, HandshakeOutcome *outcome, const char *value) {
        guint64 usec;

        if (outcome->extend_usec == 0 && g_ascii_string_to_unsigned(value, 10, 1, UINT64_MAX - 1, &usec, NULL))
                outcome->extend_usec = usec;
        return 0;
}

static const struct {
        const char *assignment;
        int (*handle)(Handshake *handshake, HandshakeOutcome *outcome, const char *value);
} variables[] = {
        {"READY=", on_notify_ready},
        {"STATUS=", on_notify_status},
        {"EXTEND_TIMEOUT_USEC=", on_notify_extend},
};

/* Of a variable that is given twice the first counts, as with systemd. What isn't known or isn't an assignment is ignored. */
static int take_datagram(Handshake *handshake, HandshakeOutcome *outcome, const char *text) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        for (size_t i = 0; lines[i]; i++)
                for (size_t j = 0; j < ELEMENTSOF(variables); j++) {
                        size_t length = strlen(variables[j].assignment);
                        int r;

                        if (strncmp(lines[i], variables[j].assignment, length) != 0)
                                continue;
                        r = variables[j].handle(handshake, outcome, lines[i] + length);
                        if (r < 0)
                                return r;
                }

        if (outcome->event == HANDSHAKE_EVENT_READY)
                handshake->phase = HANDSHAKE_READY;
        else if (outcome->extend_usec > 0)
                outcome->event = HANDSHAKE_EVENT_EXTEND;
        else if (outcome->status_text)
                outcome->event = HANDSHAKE_EVENT_STATUS;
        return 0;
}

/* For the types that have one thing to wait for. */
static int take_sign(Handshake *handshake, HandshakeType type, HandshakeOutcome *ret) {
        *ret = (HandshakeOutcome){};
        if (handshake->type == type && handshake->phase == HANDSHAKE_WAITING) {
                ret->event = HANDSHAKE_EVENT_READY;
                handshake->phase = HANDSHAKE_READY;
        }
        return 0;
}

static bool speaks(const Handshake *handshake) {
        return handshake->type == HANDSHAKE_PROTOCOL && handshake->phase != HANDSHAKE_FAILED;
}

int handshake_new(HandshakeType type, const char *id, const char *init_ref, Handshake **ret) {
        Handshake *handshake;

        if (!handshake_type_to_string(type) || id[0] == '\0' || init_ref[0] == '\0' || !g_utf8_validate(id, -1, NULL) || !g_utf8_validate(init_ref, -1, NULL))
                return -EINVAL;

        handshake = g_new(Handshake, 1);
        *handshake = (Handshake){
                .type = type,
                .phase = HANDSHAKE_WAITING,
                .id = g_strdup(id),
                .init_ref = g_strdup(init_ref),
                .next_id = INITIALIZE_ID + 1,
        };
        *ret = handshake;
        return 0;
}

Handshake *handshake_free(Handshake *handshake) {
        if (!handshake)
                return NULL;
        g_free(handshake->id);
        g_free(handshake->init_ref);
        g_free(handshake);
        return NULL;
}

HandshakeType handshake_type(const Handshake *handshake) {
        return handshake->type;
}

const char *handshake_init_ref(const Handshake *handshake) {
        return handshake->init_ref;
}

HandshakePhase handshake_phase(const Handshake *handshake) {
        return handshake->phase;
}

int64_t handshake_next_id(const Handshake *handshake) {
        return handshake->next_id;
}

void handshake_set_phase(Handshake *handshake, HandshakePhase phase, int64_t next_id) {
        handshake->phase = phase;
        handshake->next_id = MAX_OF(next_id, INITIALIZE_ID + 1);
}

int handshake_executed(Handshake *handshake, HandshakeOutcome *ret) {
        return take_sign(handshake, HANDSHAKE_EXEC, ret);
}

int handshake_line_matched(Handshake *handshake, HandshakeOutcome *ret) {
        return take_sign(handshake, HANDSHAKE_LINE, ret);
}

/* Nothing is said until the runtime has spoken first; a runtime over pipes never opens anything. */
int handshake_opened(Handshake *handshake, HandshakeOutcome *ret) {
        handshake->closed = false;
        *ret = (HandshakeOutcome){};
        return 0;
}

int handshake_closed(Handshake *handshake, HandshakeOutcome *ret) {
        _cleanup_(handshake_outcome_done) HandshakeOutcome outcome = {};
        int r = 0;

        handshake->closed = true;
        if (speaks(handshake))
                r = refuse(handshake, &outcome, HANDSHAKE_REASON_CONNECTION_CLOSED,
                           g_strdup(handshake->phase == HANDSHAKE_READY ? "The runtime closed its control connection"
                                                                        : "The runtime closed its control connection before it was ready"));
        return finish(r, &outcome, ret);
}

int handshake_too_long(Handshake *handshake, const void *prefix, size_t size, HandshakeOutcome *ret) {
        _cleanup_(handshake_outcome_done) HandshakeOutcome outcome = {};
        int r = 0;

        if (speaks(handshake))
                r = refuse_line(handshake, &outcome, (Line){prefix, size}, "is longer than 1 MiB and begins");
        return finish(r, &outcome, ret);
}

int handshake_message(Handshake *handshake, const void *bytes, size_t size, HandshakeOutcome *ret) {
        _cleanup_(handshake_outcome_done) HandshakeOutcome outcome = {};
        int r = 0;

        if (speaks(handshake))
                r = take_line(handshake, &outcome, (Line){bytes, size});
        return finish(r, &outcome, ret);
}

int handshake_notify(Handshake *handshake, const void *bytes, size_t size, HandshakeOutcome *ret) {
        _cleanup_(handshake_outcome_done) HandshakeOutcome outcome = {};
        int r = 0;

        /* Some senders count the NUL behind their string; one inside is refused, as systemd does. */
        if (size > 0 && ((const char *) bytes)[size - 1] == '\0')
                size--;
        if (handshake->phase != HANDSHAKE_FAILED && size > 0 && size <= LIMIT_NOTIFY && !memchr(bytes, '\0', size)) {
                g_autofree char *text = g_strndup(bytes, size);

                r = take_datagram(handshake, &outcome, text);
        }
        return finish(r, &outcome, ret);
}

char *handshake_request(Handshake *handshake, const char *method, int64_t *ret_id) {
        char *line;

        if (handshake->type != HANDSHAKE_PROTOCOL || handshake->phase != HANDSHAKE_READY || handshake->closed)
                return NULL;
        line = message_compose(handshake->next_id, method, json_object());
        if (!line)
                return NULL;

        handshake->pending[handshake->next_pending] = handshake->next_id;
        handshake->next_pending = (handshake->next_pending + 1) % HANDSHAKE_PENDING_MAX;
        *ret_id = handshake->next_id++;
        return line;
}
