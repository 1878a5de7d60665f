/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* JSON is jansson's, the shape of JSON-RPC is told here, what a method means is the handshake's. */

#include "core/handshake-message.h"

#include <string.h>

/* Every value but the first follows one of , [ { or : and those count only outside strings. Of broken JSON any number may come out: the
 * parser refuses it anyway. */
static bool has_too_many_values(const char *bytes, size_t size) {
        bool in_string = false;
        size_t values = 1;

        for (size_t i = 0; i < size; i++)
                switch (bytes[i]) {
                case '\\':
                        i++;
                        break;
                case '"':
                        in_string = !in_string;
                        break;
                case ',':
                case ':':
                case '[':
                case '{':
                        if (!in_string && ++values > MESSAGE_VALUES_MAX)
                                return true;
                        break;
                default:
                        break;
                }
        return false;
}

static const char *parse_call(Message *message) {
        message->params = json_object_get(message->root, "params");
        if (message->params && !json_is_object(message->params) && !json_is_array(message->params))
                return "has params that are neither an object nor an array";
        if (!message->id)
                return NULL;
        message->type = MESSAGE_REQUEST;
        if (!json_is_string(message->id) && !json_is_number(message->id) && !json_is_null(message->id))
                return "has an id that is neither a string nor a number";
        if (json_string_length(message->id) > MESSAGE_ID_MAX)
                return "has an id that is too long";
        return NULL;
}

static const char *parse_answer(Message *message) {
        json_t *result = json_object_get(message->root, "result"), *error = json_object_get(message->root, "error"), *text;

        message->type = MESSAGE_ANSWER;
        if (!message->id || (!result && !error))
                return "is neither a request nor a notification nor an answer";
        /* Libraries that also speak JSON-RPC 1.0 send both, one of them null. */
        if (json_is_null(error) && result)
                error = NULL;
        if (error && result && !json_is_null(result))
                return "is both a result and an error";
        if (json_is_integer(message->id) && json_integer_value(message->id) > 0)
                message->answered_id = json_integer_value(message->id);
        message->result = error ? NULL : result;
        if (!error)
                return NULL;
        message->error_code = json_integer_value(json_object_get(error, "code"));
        if (message->error_code == 0)
                message->error_code = MESSAGE_INTERNAL_ERROR;
        text = json_object_get(error, "message");
        message->error_text = json_is_string(text) ? json_string_value(text) : "";
        return NULL;
}

static const char *parse_root(Message *message) {
        json_t *version = json_object_get(message->root, "jsonrpc"), *method = json_object_get(message->root, "method");

        if (json_is_array(message->root))
                return "is a batch, which this protocol does not have";
        if (!json_is_object(message->root))
                return "is not a JSON object";
        if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
                return "is not JSON-RPC 2.0 (\"jsonrpc\":\"2.0\" is missing)";

        message->id = json_object_get(message->root, "id");
        if (!method)
                return parse_answer(message);
        if (!json_is_string(method))
                return "has a method that is not a string";
        message->method = json_string_value(method);
        return parse_call(message);
}

int message_parse(Message *ret, const void *bytes, size_t size, const char **ret_problem) {
        _cleanup_(message_done) Message message = {};
        const char *problem;
        json_error_t error;

        if (size > LIMIT_PROTOCOL_LINE) {
                *ret_problem = "is longer than 1 MiB";
                return -EBADMSG;
        }
        if (has_too_many_values(bytes, size)) {
                *ret_problem = "holds too many values";
                return -EBADMSG;
        }

        message.root = json_loadb(size > 0 ? bytes : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
        if (!message.root) {
                enum json_error_code code = json_error_code(&error);

                if (code == json_error_out_of_memory)
                        return -ENOMEM;
                *ret_problem = code == json_error_duplicate_key ? "has the same name twice in one object" : "is not JSON";
                return -EBADMSG;
        }
        problem = parse_root(&message);
        if (problem) {
                *ret_problem = problem;
                return -EBADMSG;
        }

        *ret = message;
        message = (Message){};
        return 0;
}

void message_done(Message *message) {
        json_decref(message->root);
        *message = (Message){};
}

/* Takes root over. */
static char *dump(json_t *root) {
        char *line = root ? json_dumps(root, JSON_COMPACT) : NULL;

        json_decref(root);
        return line;
}

char *message_compose(int64_t id, const char *method, json_t *params) {
        if (id == 0)
                return dump(json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params));
        return dump(json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t) id, "method", method, "params", params));
}

char *message_compose_error(json_t *id, int code, const char *text) {
        return dump(json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", code, "message", text));
}
