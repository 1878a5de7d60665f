/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Apart from the limits themselves, since the spawner has those too, and reads no record. */

#include "core/limits-record.h"

#include <errno.h>

json_t *limit_set_to_record(const LimitSet *set) {
        json_t *object = json_object();

        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                json_object_set_new(object, limit_key_table[i].name, json_integer((json_int_t) set->value[i]));
        return object;
}

int limit_set_from_record(const json_t *object, LimitSet *set) {
        if (json_object_size(object) != _LIMIT_KEY_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++) {
                const json_t *number = json_object_get(object, limit_key_table[i].name);

                if (!json_is_integer(number))
                        return -EBADMSG;
                set->value[i] = (uint64_t) json_integer_value(number);
        }
        return 0;
}
