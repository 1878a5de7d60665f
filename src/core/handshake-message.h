/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One message of the runtime protocol: JSON-RPC 2.0, read from a line and written as one.
 *
 * What is read comes from a stranger. A line is parsed only after a look at how many values it holds, because a value of three bytes
 * becomes some 250 in memory; names given twice, NUL inside strings and batches are refused, unknown members are ignored. */

#include <sys/types.h>

#include <jansson.h>

#include "util/limits.h"
#include "util/macro.h"

#define MESSAGE_VALUES_MAX 16384U /* values in one message */
#define MESSAGE_ID_MAX 255U       /* bytes of a request's id that is a string: it is sent back */

/* Error codes of JSON-RPC itself. */
enum {
        MESSAGE_METHOD_NOT_FOUND = -32601,
        MESSAGE_INTERNAL_ERROR = -32603,
};

typedef enum MessageType {
        MESSAGE_NOTIFICATION,
        MESSAGE_REQUEST,
        MESSAGE_ANSWER,
} MessageType;

/* The pointers are valid as long as root is. */
typedef struct Message {
        json_t *root;
        MessageType type;
        const char *method;     /* notification, request */
        json_t *params;         /* notification, request: object, array or NULL */
        json_t *id;             /* request: string, number or null; answer: any of these */
        int64_t answered_id;    /* answer: its id if that is a positive integer, else 0 */
        json_t *result;         /* answer: NULL if it is an error */
        int64_t error_code;     /* answer: 0 if it is a result */
        const char *error_text; /* answer with an error: its message, "" if it has none */
} Message;

/* 0, -EBADMSG with ret_problem (what is wrong with the line, as the end of "The runtime's message …"), or -ENOMEM. */
int message_parse(Message *ret, const void *bytes, size_t size, const char **ret_problem);
void message_done(Message *message);

/* Lines without their newline, NULL when there is no memory. Those with params take them over; id 0 makes a notification. */
char *message_compose(int64_t id, const char *method, json_t *params);
char *message_compose_error(json_t *id, int code, const char *text);
