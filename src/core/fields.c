/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line of a table is one member; adding one to a record is adding a line. */

#include "core/fields.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "util/macro.h"

json_t *fields_from_strv(char *const *strv) {
        json_t *array;

        if (!strv)
                return json_null();
        array = json_array();
        for (; *strv; strv++)
                if (json_array_append_new(array, json_string(*strv)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

int fields_to_strv(const json_t *value, char ***ret) {
        g_autoptr(GPtrArray) strings = NULL;
        json_t *item;
        size_t i;

        if (json_is_null(value)) {
                *ret = NULL;
                return 0;
        }
        if (!json_is_array(value))
                return -EBADMSG;
        strings = g_ptr_array_new_with_free_func(g_free);
        json_array_foreach(value, i, item) {
                if (!json_is_string(item))
                        return -EBADMSG;
                g_ptr_array_add(strings, g_strdup(json_string_value(item)));
        }
        g_ptr_array_add(strings, NULL);
        *ret = (char **) g_ptr_array_free(g_steal_pointer(&strings), FALSE);
        return 0;
}

static json_t *to_json(const Field *field, const void *member) {
        const char *string;

        switch (field->type) {
        case FIELD_STRING:
        case FIELD_NULL_STRING:
                string = *(char *const *) member;
                return string ? json_string(string) : json_null();
        case FIELD_STRV:
                return fields_from_strv(*(char **const *) member);
        case FIELD_BOOL:
        case FIELD_FLAG:
                return json_boolean(*(const bool *) member);
        case FIELD_INT:
                return json_integer(*(const int *) member);
        case FIELD_UINT64:
                return json_integer((json_int_t) * (const uint64_t *) member);
        case FIELD_ENUM:
                string = field->names[*(const unsigned *) member];
                return string ? json_string(string) : json_null();
        }
        return NULL;
}

int fields_write(json_t *object, const Field *fields, size_t n_fields, const void *container) {
        for (size_t i = 0; i < n_fields; i++) {
                const void *member = (const char *) container + fields[i].offset;

                if (fields[i].type == FIELD_FLAG && !*(const bool *) member)
                        continue;
                if (json_object_set_new(object, fields[i].name, to_json(&fields[i], member)) < 0)
                        return -EINVAL;
        }
        return 0;
}

static int read_string(const json_t *value, bool may_be_null, char **member) {
        if (!json_is_string(value) && !(may_be_null && json_is_null(value)))
                return -EBADMSG;
        g_free(*member);
        *member = g_strdup(json_string_value(value));
        return 0;
}

static int read_strv(const json_t *value, char ***member) {
        char **strv;
        int r;

        r = fields_to_strv(value, &strv);
        if (r < 0)
                return r;
        g_strfreev(*member);
        *member = strv;
        return 0;
}

static int read_int(const json_t *value, int *member) {
        json_int_t number = json_integer_value(value);

        if (!json_is_integer(value) || number < 0 || number > INT32_MAX)
                return -EBADMSG;
        *member = (int) number;
        return 0;
}

static int read_enum(const json_t *value, const Field *field, unsigned *member) {
        const char *name = json_string_value(value);

        if (!name && !json_is_null(value))
                return -EBADMSG;
        for (size_t i = 0; i < field->n_names; i++)
                if (g_strcmp0(field->names[i], name) == 0) {
                        *member = i;
                        return 0;
                }
        return -EBADMSG;
}

static int from_json(const json_t *value, const Field *field, void *member) {
        switch (field->type) {
        case FIELD_STRING:
        case FIELD_NULL_STRING:
                return read_string(value, field->type == FIELD_NULL_STRING, member);
        case FIELD_STRV:
                return read_strv(value, member);
        case FIELD_BOOL:
        case FIELD_FLAG:
                if (field->type == FIELD_FLAG && !value)
                        value = json_false();
                if (!json_is_boolean(value))
                        return -EBADMSG;
                *(bool *) member = json_is_true(value);
                return 0;
        case FIELD_INT:
                return read_int(value, member);
        case FIELD_UINT64:
                if (!json_is_integer(value))
                        return -EBADMSG;
                *(uint64_t *) member = (uint64_t) json_integer_value(value);
                return 0;
        case FIELD_ENUM:
                return read_enum(value, field, member);
        }
        return -EBADMSG;
}

int fields_read(json_t *object, const Field *fields, size_t n_fields, void *container) {
        for (size_t i = 0; i < n_fields; i++) {
                int r;

                r = from_json(json_object_get(object, fields[i].name), &fields[i], (char *) container + fields[i].offset);
                if (r < 0)
                        return r;
                (void) json_object_del(object, fields[i].name);
        }
        return 0;
}
