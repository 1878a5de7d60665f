/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Structs as JSON objects, by tables that name their members: how records are written and read. Reading is strict: whatever is missing, of another type or out
 * of range makes the whole unreadable. Numbers of 64 bits are stored as signed ones, so UINT64_MAX (infinity, unknown) is -1. */

#include <jansson.h>
#include <stddef.h>

typedef enum FieldType {
        FIELD_STRING,      /* char *, never NULL */
        FIELD_NULL_STRING, /* char *, may be NULL */
        FIELD_STRV,        /* char **, may be NULL */
        FIELD_BOOL,        /* bool */
        FIELD_FLAG,        /* bool, absent when it is false: what older versions have no member for */
        FIELD_INT,         /* int, pid_t, uid_t: 32 bits, from 0 */
        FIELD_UINT64,      /* uint64_t, int64_t */
        FIELD_ENUM,        /* by name */
} FieldType;

typedef struct Field {
        const char *name;
        FieldType type;
        size_t offset;
        const char *const *names; /* FIELD_ENUM: at most one is NULL, and is null in JSON */
        size_t n_names;
} Field;

#define FIELD(container, type, member)                                                                                                                         \
        { #member, FIELD_##type, offsetof(container, member), NULL, 0 }
#define FIELD_OF(container, member, table)                                                                                                                     \
        { #member, FIELD_ENUM, offsetof(container, member), table, sizeof(table) / sizeof((table)[0]) }

/* Adds all members to the object; -EINVAL if a string isn't UTF-8. */
int fields_write(json_t *object, const Field *fields, size_t n_fields, const void *container);

/* Sets all members, freeing the strings that are there, and takes them out of the object: what is left in it afterwards belongs to nobody. -EBADMSG. */
int fields_read(json_t *object, const Field *fields, size_t n_fields, void *container);

/* A list of strings as a JSON array, and back; NULL is null. */
json_t *fields_from_strv(char *const *strv);
int fields_to_strv(const json_t *value, char ***ret);
