/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory and defaults of the start options. Reading them from a message is the bus's work, giving them a meaning the manager's. */

#include "core/start-options.h"

#include <string.h>

#include "core/kind.h"
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
        options->uid = uid;
        return options;
}

StartOptions *start_options_free(StartOptions *options) {
        if (!options)
                return NULL;
        g_free(options->id);
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
        const uint64_t numbers[] = {options->input_pipe,
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

        g_free(options->fingerprint);
        options->fingerprint = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *) text->str, text->len);
}
