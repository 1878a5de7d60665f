/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See json.h. One recursive reader for every type that the interface uses; a type it doesn't know is -EOPNOTSUPP. */

#include "cli/json.h"

#include <stdio.h>
#include <string.h>

static json_t *json_from_u64(uint64_t value) {
        /* jansson's integers are signed; nothing but "infinite" lies above. */
        return value > INT64_MAX ? json_null() : json_integer((json_int_t) value);
}

static int read_basic(sd_bus_message *message, char type, json_t **ret) {
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                int b;
                double d;
                const char *s;
        } value;
        int r;

        r = sd_bus_message_read_basic(message, type, &value);
        if (r < 0)
                return r;
        switch (type) {
        case 'y':
                *ret = json_integer(value.y);
                break;
        case 'n':
                *ret = json_integer(value.n);
                break;
        case 'q':
                *ret = json_integer(value.q);
                break;
        case 'i':
                *ret = json_integer(value.i);
                break;
        case 'u':
                *ret = json_integer(value.u);
                break;
        case 'x':
                *ret = json_integer(value.x);
                break;
        case 't':
                *ret = json_from_u64(value.t);
                break;
        case 'b':
                *ret = json_boolean(value.b);
                break;
        case 'd':
                *ret = json_real(value.d) ?: json_null();
                break;
        case 's':
        case 'o':
        case 'g':
                *ret = json_string(value.s);
                break;
        default:
                return -EOPNOTSUPP;
        }
        return *ret ? 0 : -EBADMSG;
}

static int read_dictionary(sd_bus_message *message, const char *entry, json_t **ret) {
        _cleanup_json_ json_t *object = json_object();
        g_autofree char *inner = g_strndup(entry + 1, strlen(entry) - 2);
        int r;

        while ((r = sd_bus_message_enter_container(message, 'e', inner)) > 0) {
                _cleanup_json_ json_t *value = NULL;
                const char *key;

                r = sd_bus_message_read_basic(message, 's', &key);
                if (r >= 0)
                        r = json_read_value(message, &value);
                if (r >= 0)
                        r = json_object_set_new(object, key, TAKE_PTR(value)) < 0 ? -EBADMSG : 0;
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

static int read_values(sd_bus_message *message, json_t **ret) {
        _cleanup_json_ json_t *array = json_array();
        int r;

        while ((r = sd_bus_message_at_end(message, false)) == 0) {
                _cleanup_json_ json_t *value = NULL;

                r = json_read_value(message, &value);
                if (r < 0)
                        return r;
                if (json_array_append_new(array, TAKE_PTR(value)) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(array);
        return 0;
}

int json_read_value(sd_bus_message *message, json_t **ret) {
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -EBADMSG;
        if (!strchr("avr", type))
                return read_basic(message, type, ret);

        r = sd_bus_message_enter_container(message, type, contents);
        if (r < 0)
                return r;
        if (type == 'v')
                r = json_read_value(message, ret);
        else if (type == 'a' && contents[0] == '{' && contents[1] == 's')
                r = read_dictionary(message, contents, ret);
        else
                r = read_values(message, ret);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(message);
}

const char *json_get_string(const json_t *object, const char *key, const char *fallback) {
        return json_string_value(json_object_get(object, key)) ?: fallback;
}

uint64_t json_get_u64(const json_t *object, const char *key, uint64_t fallback) {
        const json_t *value = json_object_get(object, key);

        return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t) json_integer_value(value) : fallback;
}

size_t json_dump_flags(CliJson mode) {
        size_t flags = JSON_ENCODE_ANY | (mode == CLI_JSON_PRETTY ? JSON_INDENT(2) : JSON_COMPACT);

        /* jansson escapes C0 control characters alone; some terminals obey C1 too. */
        return isatty(STDOUT_FILENO) ? flags | JSON_ENSURE_ASCII : flags;
}

void json_print(const json_t *json, CliJson mode) {
        json_dumpf(json, stdout, json_dump_flags(mode));
        putchar('\n');
}
