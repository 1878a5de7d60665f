/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A key a row: how its value is read, and what it is held against. */

#include "bus/list-request.h"

#include <string.h>

#include "core/sd-autoptr.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/text.h"

static const char *get_kind(const Runtime *runtime) {
        return runtime_get_kind(runtime)->name;
}

static const char *get_state(const Runtime *runtime) {
        return runtime_state_to_string(runtime_get_state(runtime));
}

static const char *get_description(const Runtime *runtime) {
        return runtime_get_options(runtime)->description;
}

static uint32_t get_main_pid(const Runtime *runtime) {
        return runtime_get_main_pid(runtime);
}

static uint32_t get_uid(const Runtime *runtime) {
        return runtime_get_uid(runtime);
}

static uint32_t get_starter_uid(const Runtime *runtime) {
        return runtime_get_starter_uid(runtime);
}

static const struct {
        const char *name;
        const char *(*get_string)(const Runtime *runtime);
        uint32_t (*get_number)(const Runtime *runtime);
} key_table[] = {
        {"Id", runtime_get_id, NULL},           {"Kind", get_kind, NULL},        {"State", get_state, NULL}, {"Unit", runtime_get_unit, NULL},
        {"Description", get_description, NULL}, {"MainPID", NULL, get_main_pid}, {"UID", NULL, get_uid},     {"StarterUID", NULL, get_starter_uid},
};

struct ListFilter {
        bool set[ELEMENTSOF(key_table)];
        const char *string[ELEMENTSOF(key_table)];
        uint32_t number[ELEMENTSOF(key_table)];
        GHashTable *labels;
};

static int read_labels(sd_bus_message *message, ListFilter *filter) {
        const char *key, *value;
        int r;

        r = sd_bus_message_enter_container(message, 'v', "a{ss}");
        if (r >= 0)
                r = sd_bus_message_enter_container(message, 'a', "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "{ss}", &key, &value)) > 0)
                g_hash_table_insert(filter->labels, (gpointer) key, (gpointer) value);
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_key(sd_bus_message *message, ListFilter *filter, const char *name, const char *type, sd_bus_error *reterr) {
        _cleanup_free_ char *quoted = NULL;
        const char *wanted;

        if (strcmp(name, "Labels") == 0 && strcmp(type, "a{ss}") == 0)
                return read_labels(message, filter);
        for (size_t i = 0; i < ELEMENTSOF(key_table); i++) {
                if (strcmp(key_table[i].name, name) != 0)
                        continue;
                wanted = key_table[i].get_string ? "s" : "u";
                if (strcmp(type, wanted) != 0)
                        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The filter %s must have the type \"%s\", not \"%s\".", name, wanted, type);
                filter->set[i] = true;
                return key_table[i].get_string ? sd_bus_message_read(message, "v", "s", &filter->string[i])
                                               : sd_bus_message_read(message, "v", "u", &filter->number[i]);
        }
        quoted = text_quote_name(name);
        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION,
                                 "Runtimes can't be filtered by %s; Id, Kind, State, Unit, MainPID, UID, StarterUID, Description and Labels (a{ss}) can.",
                                 quoted);
}

int list_filter_read(sd_bus_message *message, ListFilter **ret, sd_bus_error *reterr) {
        g_autoptr(ListFilter) filter = g_new0(ListFilter, 1);
        const char *name, *type;
        int r;

        filter->labels = g_hash_table_new(g_str_hash, g_str_equal);
        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r >= 0)
                        r = sd_bus_message_peek_type(message, NULL, &type);
                if (r >= 0)
                        r = read_key(message, filter, name, type, reterr);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&filter);
        return sd_bus_message_exit_container(message);
}

ListFilter *list_filter_free(ListFilter *filter) {
        if (!filter)
                return NULL;
        g_hash_table_unref(filter->labels);
        g_free(filter);
        return NULL;
}

bool list_filter_matches(const ListFilter *filter, const Runtime *runtime) {
        GHashTableIter iter;
        gpointer key, value;

        for (size_t i = 0; i < ELEMENTSOF(key_table); i++) {
                if (!filter->set[i])
                        continue;
                if (key_table[i].get_string ? strcmp(key_table[i].get_string(runtime), filter->string[i]) != 0
                                            : key_table[i].get_number(runtime) != filter->number[i])
                        return false;
        }
        g_hash_table_iter_init(&iter, filter->labels);
        while (g_hash_table_iter_next(&iter, &key, &value))
                if (g_strcmp0(start_options_get_label(runtime_get_options(runtime), key), value) != 0)
                        return false;
        return true;
}
