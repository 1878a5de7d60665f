/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory and defaults of the start options. Reading them from a message is the bus's work, giving them a meaning the manager's. */

#include "core/start-options.h"

#include <errno.h>
#include <string.h>

#include "core/fields.h"
#include "core/kind.h"
#include "core/limits-record.h"
#include "util/limits.h"

static void value_destroy(gpointer value) {
        kind_value_free(value);
}

StartOptions *start_options_new(uid_t uid) {
        StartOptions *options = g_new0(StartOptions, 1);

        options->timeout_start_usec = START_TIMEOUT_MAX_USEC;
        options->timeout_setup_usec = TIME_UNSET;
        options->timeout_handshake_usec = TIME_UNSET;
        options->timeout_stop_usec = TIME_UNSET;
        options->runtime_max_usec = TIME_UNSET;
        options->owner_timeout_usec = OWNER_TIMEOUT_DEFAULT_USEC;
        options->retain_usec = RETAIN_DEFAULT_USEC;
        options->ring_bytes = LIMIT_RING_DEFAULT;
        options->limits = limit_set_none();
        options->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, value_destroy);
        options->uid = options->starter_uid = uid;
        return options;
}

void start_options_set_user(StartOptions *options, User *user) {
        user_free(options->user);
        options->user = user;
        options->uid = user->uid;
}

StartOptions *start_options_free(StartOptions *options) {
        if (!options)
                return NULL;
        g_free(options->id);
        g_free(options->user_name);
        g_free(options->description);
        g_strfreev(options->labels);
        g_strfreev(options->command);
        g_strfreev(options->arguments);
        g_strfreev(options->environment);
        g_strfreev(options->unset_environment);
        g_free(options->working_directory);
        g_free(options->owner_name);
        g_hash_table_unref(options->values);
        g_free(options->fingerprint);
        user_free(options->user);
        g_free(options);
        return NULL;
}

const char *start_options_get_label(const StartOptions *options, const char *key) {
        for (char **label = options->labels; label && *label; label += 2)
                if (strcmp(label[0], key) == 0)
                        return label[1];
        return NULL;
}

static void add_string(GString *text, const char *string) {
        /* The length keeps neighbours apart, and NULL from empty. */
        if (string)
                g_string_append_printf(text, "%zu:%s;", strlen(string), string);
        else
                g_string_append(text, "-;");
}

static void add_strings(GString *text, char *const *strings) {
        g_string_append_printf(text, "%u[", strings ? g_strv_length((char **) strings) : 0);
        for (; strings && *strings; strings++)
                add_string(text, *strings);
        g_string_append_c(text, ']');
}

static void add_values(GString *text, GHashTable *values) {
        g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(values), (GCompareFunc) strcmp);

        for (const GList *name = names; name; name = name->next) {
                const KindValue *value = g_hash_table_lookup(values, name->data);
                g_autofree char *as_text = kind_value_to_string(value);

                add_string(text, name->data);
                if (value->type == KIND_OPTION_STRINGS)
                        add_strings(text, value->strv);
                else
                        add_string(text, as_text);
        }
}

void start_options_seal(StartOptions *options) {
        const uint64_t numbers[] = {options->input_pipe + 2U * options->input_terminal,
                                    options->no_new_privileges,
                                    options->timeout_start_usec,
                                    options->timeout_setup_usec,
                                    options->timeout_handshake_usec,
                                    options->timeout_stop_usec,
                                    options->runtime_max_usec,
                                    options->retain_usec,
                                    options->ring_bytes,
                                    options->owner,
                                    options->owner_timeout_usec,
                                    options->owner_grace_usec};
        g_autoptr(GString) text = g_string_new(NULL);

        add_string(text, options->id);
        add_string(text, options->description);
        add_strings(text, options->labels);
        add_strings(text, options->command);
        add_strings(text, options->arguments);
        add_strings(text, options->environment);
        add_strings(text, options->unset_environment);
        add_string(text, options->working_directory);
        add_string(text, options->owner_name);
        for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
                g_string_append_printf(text, "%" G_GUINT64_FORMAT ";", numbers[i]);
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                g_string_append_printf(text, "%" G_GUINT64_FORMAT ";", options->limits.value[i]);
        add_values(text, options->values);
        /* Not of old, and no start that was made then is another for it. */
        if (options->journal)
                add_string(text, "journal");

        g_free(options->fingerprint);
        options->fingerprint = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *) text->str, text->len);
}

static const char *const owner_mode_names[] = {[OWNER_NONE] = "none", [OWNER_CALLER] = "caller", [OWNER_REQUIRED] = "required"};

static const Field option_fields[] = {
        FIELD(StartOptions, STRING, id),
        FIELD(StartOptions, NULL_STRING, description),
        FIELD(StartOptions, STRV, labels),
        FIELD(StartOptions, STRV, command),
        FIELD(StartOptions, STRV, arguments),
        FIELD(StartOptions, STRV, environment),
        FIELD(StartOptions, STRV, unset_environment),
        FIELD(StartOptions, NULL_STRING, working_directory),
        FIELD(StartOptions, BOOL, input_pipe),
        FIELD(StartOptions, FLAG, input_terminal),
        FIELD(StartOptions, FLAG, journal),
        FIELD_OF(StartOptions, owner, owner_mode_names),
        FIELD(StartOptions, NULL_STRING, owner_name),
        FIELD(StartOptions, UINT64, owner_timeout_usec),
        FIELD(StartOptions, UINT64, owner_grace_usec),
        FIELD(StartOptions, BOOL, no_new_privileges),
        FIELD(StartOptions, UINT64, timeout_start_usec),
        FIELD(StartOptions, UINT64, timeout_setup_usec),
        FIELD(StartOptions, UINT64, timeout_handshake_usec),
        FIELD(StartOptions, UINT64, timeout_stop_usec),
        FIELD(StartOptions, UINT64, runtime_max_usec),
        FIELD(StartOptions, UINT64, retain_usec),
        FIELD(StartOptions, UINT64, ring_bytes),
        FIELD(StartOptions, NULL_STRING, fingerprint),
        FIELD(StartOptions, INT, uid),
};

/* Which member of the union a type uses. */
static json_t *value_to_json(const KindValue *value) {
        switch (value->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                return json_string(value->s);
        case KIND_OPTION_STRINGS:
                return fields_from_strv(value->strv);
        case KIND_OPTION_BOOLEAN:
                return json_boolean(value->b);
        case KIND_OPTION_INTEGER:
                return json_integer(value->x);
        case KIND_OPTION_SIZE:
        case KIND_OPTION_TIME:
                return json_integer((json_int_t) value->t);
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        return NULL;
}

static KindValue *value_from_json(const char *type, const json_t *json) {
        bool is_string = json_is_string(json), is_integer = json_is_integer(json);
        g_auto(GStrv) strv = NULL;

        if (is_string && strcmp(type, kind_option_type_to_string(KIND_OPTION_STRING)) == 0)
                return kind_value_new_string(json_string_value(json));
        if (is_string && strcmp(type, kind_option_type_to_string(KIND_OPTION_PATH)) == 0)
                return kind_value_new_path(json_string_value(json));
        if (strcmp(type, kind_option_type_to_string(KIND_OPTION_STRINGS)) == 0 && fields_to_strv(json, &strv) >= 0 && strv)
                return kind_value_new_strings((const char *const *) strv);
        if (json_is_boolean(json) && strcmp(type, kind_option_type_to_string(KIND_OPTION_BOOLEAN)) == 0)
                return kind_value_new_boolean(json_is_true(json));
        if (is_integer && strcmp(type, kind_option_type_to_string(KIND_OPTION_INTEGER)) == 0)
                return kind_value_new_integer(json_integer_value(json));
        if (is_integer && strcmp(type, kind_option_type_to_string(KIND_OPTION_SIZE)) == 0)
                return kind_value_new_size((uint64_t) json_integer_value(json));
        if (is_integer && strcmp(type, kind_option_type_to_string(KIND_OPTION_TIME)) == 0)
                return kind_value_new_time((uint64_t) json_integer_value(json));
        return NULL;
}

/* {NAME: [TYPE, VALUE]} */
static json_t *values_to_json(GHashTable *values) {
        json_t *object = json_object();
        GHashTableIter iter;
        gpointer name, value;

        g_hash_table_iter_init(&iter, values);
        while (g_hash_table_iter_next(&iter, &name, &value))
                if (json_object_set_new(object, name, json_pack("[so]", kind_option_type_to_string(((KindValue *) value)->type), value_to_json(value))) < 0) {
                        json_decref(object);
                        return NULL;
                }
        return object;
}

static int values_from_json(json_t *object, GHashTable *values) {
        const char *name;
        json_t *pair;

        if (!json_is_object(object))
                return -EBADMSG;
        json_object_foreach(object, name, pair) {
                const char *type = json_string_value(json_array_get(pair, 0));
                KindValue *value = type ? value_from_json(type, json_array_get(pair, 1)) : NULL;

                if (!value)
                        return -EBADMSG;
                g_hash_table_insert(values, g_strdup(name), value);
                if (json_array_size(pair) != 2)
                        return -EBADMSG;
        }
        return 0;
}

/* The service of the session bus has no need of them, and its records are as they were before there were others. */
static int user_to_record(json_t *record, const StartOptions *options) {
        if (!options->user)
                return 0;
        return json_object_set_new(record, "user",
                                   json_pack("{s:I,s:I,s:s,s:s,s:s,s:s}", "starter_uid", (json_int_t) options->starter_uid, "gid",
                                             (json_int_t) options->user->gid, "name", options->user->name, "home", options->user->home, "shell",
                                             options->user->shell, "runtime_directory", options->user->runtime_directory));
}

static int user_from_record(json_t *record, StartOptions *options) {
        const char *name, *home, *shell, *runtime_directory;
        json_t *user = json_object_get(record, "user");
        json_int_t starter_uid, gid;

        options->starter_uid = options->uid;
        if (!user)
                return 0;
        if (json_unpack(user, "{s:I,s:I,s:s,s:s,s:s,s:s!}", "starter_uid", &starter_uid, "gid", &gid, "name", &name, "home", &home, "shell", &shell,
                        "runtime_directory", &runtime_directory) < 0 ||
            starter_uid < 0 || starter_uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
                return -EBADMSG;
        start_options_set_user(options, user_new(options->uid, (gid_t) gid, name, home, shell, runtime_directory));
        options->starter_uid = (uid_t) starter_uid;
        return json_object_del(record, "user");
}

int start_options_to_record(const StartOptions *options, json_t **ret) {
        json_t *record = json_object();

        if (fields_write(record, option_fields, G_N_ELEMENTS(option_fields), options) < 0 || user_to_record(record, options) < 0 ||
            json_object_set_new(record, "limits", limit_set_to_record(&options->limits)) < 0 ||
            json_object_set_new(record, "values", values_to_json(options->values)) < 0) {
                json_decref(record);
                return -EINVAL;
        }
        *ret = record;
        return 0;
}

int start_options_from_record(json_t *record, StartOptions **ret) {
        g_autoptr(StartOptions) options = start_options_new(0);

        if (!json_is_object(record) || fields_read(record, option_fields, G_N_ELEMENTS(option_fields), options) < 0 || user_from_record(record, options) < 0 ||
            limit_set_from_record(json_object_get(record, "limits"), &options->limits) < 0 ||
            values_from_json(json_object_get(record, "values"), options->values) < 0 || json_object_size(record) != 2)
                return -EBADMSG;
        /* Pairs. */
        if (options->labels && g_strv_length(options->labels) % 2 != 0)
                return -EBADMSG;
        *ret = g_steal_pointer(&options);
        return 0;
}
