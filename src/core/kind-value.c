/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The values of a kind's options: typed as they come from D-Bus, or read from a text, checked against what
 * the kind's author allows.
 */

#include "core/kind-value.h"

#include <errno.h>

#include "core/kind-file.h"
#include "core/kind-scalar.h"

static const struct {
        const char *name;
        const char *signature;
        const char *article; /* "option X must be …" */
} option_types[_KIND_OPTION_TYPE_MAX] = {
        [KIND_OPTION_STRING] = {"string", "s", "a string"},
        [KIND_OPTION_STRINGS] = {"strings", "as", "a list of strings"},
        [KIND_OPTION_BOOLEAN] = {"boolean", "b", "yes or no"},
        [KIND_OPTION_INTEGER] = {"integer", "x", "an integer"},
        [KIND_OPTION_SIZE] = {"size", "t", "a size, like 512M or infinity"},
        [KIND_OPTION_TIME] = {"time", "t", "a time, like 1min 30s or infinity"},
        [KIND_OPTION_PATH] = {"path", "s", "an absolute path"},
};

const char *kind_option_type_to_string(KindOptionType type) {
        return type < _KIND_OPTION_TYPE_MAX ? option_types[type].name : NULL;
}

const char *kind_option_type_to_signature(KindOptionType type) {
        return type < _KIND_OPTION_TYPE_MAX ? option_types[type].signature : NULL;
}

static KindValue *value_new(KindOptionType type) {
        KindValue *value = g_new0(KindValue, 1);

        value->type = type;
        return value;
}

KindValue *kind_value_new_string(const char *s) {
        KindValue *value = value_new(KIND_OPTION_STRING);

        value->s = g_strdup(s);
        return value;
}

KindValue *kind_value_new_strings(const char *const *strv) {
        KindValue *value = value_new(KIND_OPTION_STRINGS);

        value->strv = g_strdupv((char **) strv);
        return value;
}

KindValue *kind_value_new_boolean(bool b) {
        KindValue *value = value_new(KIND_OPTION_BOOLEAN);

        value->b = b;
        return value;
}

KindValue *kind_value_new_integer(int64_t x) {
        KindValue *value = value_new(KIND_OPTION_INTEGER);

        value->x = x;
        return value;
}

KindValue *kind_value_new_size(uint64_t t) {
        KindValue *value = value_new(KIND_OPTION_SIZE);

        value->t = t;
        return value;
}

KindValue *kind_value_new_time(uint64_t t) {
        KindValue *value = value_new(KIND_OPTION_TIME);

        value->t = t;
        return value;
}

KindValue *kind_value_new_path(const char *s) {
        KindValue *value = value_new(KIND_OPTION_PATH);

        value->s = g_strdup(s);
        return value;
}

KindValue *kind_value_free(KindValue *value) {
        if (!value)
                return NULL;

        switch (value->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                g_free(value->s);
                break;
        case KIND_OPTION_STRINGS:
                g_strfreev(value->strv);
                break;
        case KIND_OPTION_BOOLEAN:
        case KIND_OPTION_INTEGER:
        case KIND_OPTION_SIZE:
        case KIND_OPTION_TIME:
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        g_free(value);
        return NULL;
}

static void value_destroy(void *value) {
        kind_value_free(value);
}

GHashTable *kind_values_new(void) {
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, value_destroy);
}

bool kind_value_equal(const KindValue *a, const KindValue *b) {
        if (a->type != b->type)
                return false;

        switch (a->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                return g_str_equal(a->s, b->s);
        case KIND_OPTION_STRINGS:
                return g_strv_equal((const char *const *) a->strv, (const char *const *) b->strv);
        case KIND_OPTION_BOOLEAN:
                return a->b == b->b;
        case KIND_OPTION_INTEGER:
                return a->x == b->x;
        case KIND_OPTION_SIZE:
        case KIND_OPTION_TIME:
                return a->t == b->t;
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        return false;
}

char *kind_value_to_string(const KindValue *value) {
        switch (value->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                return g_strdup(value->s);
        case KIND_OPTION_STRINGS:
                return g_strjoinv(" ", value->strv);
        case KIND_OPTION_BOOLEAN:
                return g_strdup(value->b ? "true" : "false");
        case KIND_OPTION_INTEGER:
                return g_strdup_printf("%" G_GINT64_FORMAT, (gint64) value->x);
        case KIND_OPTION_SIZE:
        case KIND_OPTION_TIME:
                return value->t == UINT64_MAX ? g_strdup("infinity") : g_strdup_printf("%" G_GUINT64_FORMAT, (guint64) value->t);
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        return g_strdup("");
}

/* The number or the text itself; -EINVAL without a reason: the caller knows what it should have been. */
static int value_read(KindValue *value, const char *text, char **ret_reason) {
        switch (value->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                value->s = g_strdup(text);
                return value->type == KIND_OPTION_STRING || g_path_is_absolute(text) ? 0 : -EINVAL;
        case KIND_OPTION_STRINGS:
                return kind_parse_words(text, &value->strv, ret_reason);
        case KIND_OPTION_BOOLEAN:
                return kind_parse_boolean(text, &value->b);
        case KIND_OPTION_INTEGER:
                return kind_parse_integer(text, &value->x);
        case KIND_OPTION_SIZE:
                return kind_parse_size(text, &value->t);
        case KIND_OPTION_TIME:
                return kind_parse_time(text, &value->t);
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

int kind_value_parse(KindOptionType type, const char *text, KindValue **ret, char **ret_problem) {
        g_autoptr(KindValue) value = value_new(type);
        g_autofree char *reason = NULL;
        int r;

        r = value_read(value, text, &reason);
        if (r < 0) {
                g_autofree char *quoted = kind_quote(text);

                *ret_problem = g_strdup_printf("%s is not %s%s%s", quoted, option_types[type].article, reason ? ": " : "", reason ?: "");
                return r;
        }
        *ret = g_steal_pointer(&value);
        return 0;
}

/* Values= are kept as written, and were checked when they were loaded. */
static bool option_allows(const KindOption *option, const KindValue *value) {
        for (char **text = option->values; *text; text++) {
                g_autoptr(KindValue) allowed = NULL;
                g_autofree char *ignored = NULL;

                if (kind_value_parse(value->type, *text, &allowed, &ignored) >= 0 && kind_value_equal(allowed, value))
                        return true;
        }
        return false;
}

static int refuse_value(const KindOption *option, const char *text, char **ret_problem) {
        g_autofree char *allowed = g_strjoinv(", ", option->values), *quoted = kind_quote(text);

        *ret_problem = g_strdup_printf("option %s must be one of %s, not %s", option->name, allowed, quoted);
        return -EINVAL;
}

int kind_option_check(const KindOption *option, const KindValue *value, char **ret_problem) {
        g_autofree char *text = NULL;

        if (value->type != option->type || (value->type == KIND_OPTION_PATH && !g_path_is_absolute(value->s))) {
                *ret_problem = g_strdup_printf("option %s must be %s", option->name, option_types[option->type].article);
                return -EINVAL;
        }
        if (!option->values)
                return 0;

        /* Of a list, each string must be one of the allowed. */
        if (value->type == KIND_OPTION_STRINGS) {
                for (char **s = value->strv; *s; s++)
                        if (!g_strv_contains((const char *const *) option->values, *s))
                                return refuse_value(option, *s, ret_problem);
                return 0;
        }
        if (option_allows(option, value))
                return 0;
        text = kind_value_to_string(value);
        return refuse_value(option, text, ret_problem);
}
