/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How to connect to a runtime, as it said itself: a flat JSON object, whose members become entries with the D-Bus habit of a capital letter (node: Node). What
 * comes from a runtime is checked; and it is secret: nothing here logs. */

#include "bus/bus.h"

#include <jansson.h>
#include <string.h>

#include "util/macro.h"
#include "util/text.h"

#define MEMBERS_MAX 32U
#define KEY_MAX 64U
#define STRING_MAX 4096U

static int append_member(sd_bus_message *message, const char *key, const json_t *value) {
        _cleanup_free_ char *text = NULL;

        switch (json_typeof(value)) {
        case JSON_STRING:
                if (json_string_length(value) > STRING_MAX)
                        return 0;
                text = text_for_bus(json_string_value(value), json_string_length(value), NULL);
                return text ? sd_bus_message_append(message, "{sv}", key, "s", text) : -ENOMEM;
        case JSON_INTEGER:
                return sd_bus_message_append(message, "{sv}", key, "x", (int64_t) json_integer_value(value));
        case JSON_TRUE:
        case JSON_FALSE:
                return sd_bus_message_append(message, "{sv}", key, "b", json_is_true(value));
        case JSON_OBJECT:
        case JSON_ARRAY:
        case JSON_REAL:
        case JSON_NULL:
                break;
        }
        return 0;
}

int bus_append_connection(sd_bus_message *message, const char *connection) {
        json_t *root, *value;
        unsigned n = 0;
        const char *key;
        int r;

        root = json_loads(connection, 0, NULL);
        r = sd_bus_message_open_container(message, 'a', "{sv}");
        json_object_foreach(root, key, value) {
                char name[KEY_MAX];

                if (r < 0 || ++n > MEMBERS_MAX)
                        break;
                if (key[0] < 'a' || key[0] > 'z' || g_strlcpy(name, key, sizeof(name)) >= sizeof(name))
                        continue;
                name[0] = g_ascii_toupper(name[0]);
                if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0')
                        r = append_member(message, name, value);
        }
        json_decref(root);
        return r < 0 ? r : sd_bus_message_close_container(message);
}
