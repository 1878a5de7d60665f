/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sd-bus has checked the message's form before: strings are UTF-8 without NUL, arrays within the bus's limits. What is checked here is meaning. */

#include "bus/start-request.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bus/option.h"
#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/text.h"

/* Those of useradd, of directory services (DOMAIN+user, user@domain), and numbers. */
#define USER_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+$"

typedef struct OptionRow OptionRow;
typedef int (*OptionReader)(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr);

struct OptionRow {
        const char *name;
        const char *signature;
        OptionReader read;
        size_t offset;
        uint64_t min, max;
        bool infinity; /* UINT64_MAX is allowed too */
};

static int read_number(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        uint64_t *value = (uint64_t *) ((char *) options + row->offset);
        int r;

        r = sd_bus_message_read(message, "t", value);
        if (r < 0)
                return r;
        return option_check_number(row->name, *value, row->min, row->max, row->infinity, reterr);
}

static int read_boolean(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        int value, r;

        r = sd_bus_message_read(message, "b", &value);
        if (r < 0)
                return r;
        *(bool *) ((char *) options + row->offset) = value;
        return 0;
}

static int read_id(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        const char *id;
        int r;

        r = sd_bus_message_read(message, "s", &id);
        if (r < 0)
                return r;
        if (id[0] == '\0' || strlen(id) > 32 || id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
                return option_refuse(reterr, row->name, "must be 1 to 32 of the characters a-z, 0-9 and _");
        options->id = g_strdup(id);
        return 0;
}

static int read_directory(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        const char *path;
        int r;

        r = sd_bus_message_read(message, "s", &path);
        if (r < 0)
                return r;
        if (path[0] != '/')
                return option_refuse(reterr, row->name, "must be an absolute path");
        options->working_directory = g_strdup(path);
        return 0;
}

static int read_input(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        const char *text;
        int r;

        r = sd_bus_message_read(message, "s", &text);
        if (r < 0)
                return r;
        options->input_pipe = strcmp(text, "pipe") == 0;
        options->input_terminal = strcmp(text, "terminal") == 0;
        if (!options->input_pipe && !options->input_terminal && strcmp(text, "null") != 0)
                return option_refuse(reterr, row->name, "must be \"null\", \"pipe\" or \"terminal\"");
        return 0;
}

static int read_owner(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        static const char *const table[] = {[OWNER_NONE] = "none", [OWNER_CALLER] = "caller", [OWNER_REQUIRED] = "required"};
        const char *text;
        int r;

        r = sd_bus_message_read(message, "s", &text);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(text, table[i]) == 0) {
                        options->owner = i;
                        return 0;
                }
        return option_refuse(reterr, row->name, "must be \"none\", \"caller\" or \"required\"");
}

/* Who it is is found out later. */
static int read_user(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        if (name[0] == '\0' || strlen(name) > LIMIT_USER_NAME || name[strspn(name, USER_NAME_CHARACTERS)] != '\0')
                return option_refuse(reterr, row->name, "must be the name or the number of a user");
        options->user_name = g_strdup(name);
        return 0;
}

static int read_description(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        return option_read_line(message, row->name, &options->description, reterr);
}

static int read_owner_name(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        return option_read_line(message, row->name, &options->owner_name, reterr);
}

/* An array of strings within limits, as a new strv; what an array without elements says is different from none at all. */
static int read_strings(sd_bus_message *message, const char *name, size_t max, char ***ret, sd_bus_error *reterr) {
        g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
        const char *string;
        size_t size = 0;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "s", &string)) > 0) {
                size += strlen(string) + 1;
                if (strings->len >= max)
                        return option_refuse_size(reterr, name, "elements", max);
                if (strlen(string) >= LIMIT_ARGUMENT)
                        return option_refuse_size(reterr, name, "words (in bytes)", LIMIT_ARGUMENT - 1);
                if (size > LIMIT_COMMAND)
                        return option_refuse_size(reterr, name, "elements (in bytes together)", LIMIT_COMMAND);
                g_ptr_array_add(strings, g_strdup(string));
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;
        g_ptr_array_add(strings, NULL);
        *ret = (char **) g_ptr_array_free(g_steal_pointer(&strings), FALSE);
        return 0;
}

static int read_command(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        int r;

        r = read_strings(message, row->name, LIMIT_ARGUMENTS, &options->command, reterr);
        if (r < 0)
                return r;
        if (!options->command[0] || options->command[0][0] == '\0')
                return option_refuse(reterr, row->name, "must begin with a program");
        return 0;
}

static int read_arguments(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        return read_strings(message, row->name, LIMIT_ARGUMENTS, &options->arguments, reterr);
}

static bool is_variable_name(const char *name, size_t size) {
        if (size == 0 || g_ascii_isdigit(name[0]))
                return false;
        for (size_t i = 0; i < size; i++)
                if (!g_ascii_isalnum(name[i]) && name[i] != '_')
                        return false;
        return true;
}

static int read_environment(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        int r;

        r = read_strings(message, row->name, LIMIT_ENVIRONMENT, &options->environment, reterr);
        if (r < 0)
                return r;
        for (char **entry = options->environment; *entry; entry++) {
                const char *equals = strchr(*entry, '=');

                if (!equals || !is_variable_name(*entry, equals - *entry)) {
                        _cleanup_free_ char *quoted = text_quote(*entry, strlen(*entry), 64);

                        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The option Environment must have entries like NAME=value, not %s.",
                                                 quoted ?: "this");
                }
        }
        return 0;
}

static int read_unset_environment(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        int r;

        r = read_strings(message, row->name, LIMIT_ENVIRONMENT, &options->unset_environment, reterr);
        if (r < 0)
                return r;
        for (char **name = options->unset_environment; *name; name++)
                if (!is_variable_name(*name, strlen(*name)))
                        return option_refuse(reterr, row->name, "must have names of variables, without values");
        return 0;
}

static int compare_pairs(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int read_labels(sd_bus_message *message, const OptionRow *row, StartOptions *options, sd_bus_error *reterr) {
        g_autoptr(GPtrArray) pairs = g_ptr_array_new_with_free_func(g_free);
        const char *key, *value;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "{ss}", &key, &value)) > 0) {
                if (pairs->len / 2 >= LIMIT_LABELS)
                        return option_refuse_size(reterr, row->name, "entries", LIMIT_LABELS);
                if (key[0] == '\0' || strlen(key) > LIMIT_LABEL_KEY ||
                    key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] != '\0')
                        return option_refuse(reterr, row->name, "must have keys of 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-'");
                if (strlen(value) > LIMIT_LABEL_VALUE)
                        return option_refuse_size(reterr, row->name, "values (in bytes)", LIMIT_LABEL_VALUE);
                for (unsigned i = 0; i < pairs->len; i += 2)
                        if (strcmp(pairs->pdata[i], key) == 0)
                                return option_refuse(reterr, row->name, "has a key twice");
                g_ptr_array_add(pairs, g_strdup(key));
                g_ptr_array_add(pairs, g_strdup(value));
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;
        if (pairs->len > 0)
                qsort(pairs->pdata, pairs->len / 2, 2 * sizeof(char *), compare_pairs);
        g_ptr_array_add(pairs, NULL);
        options->labels = (char **) g_ptr_array_free(g_steal_pointer(&pairs), FALSE);
        return 0;
}

#define TIME(name, field, min, max, infinity)                                                                                                                  \
        { name, "t", read_number, offsetof(StartOptions, field), min, max, infinity }

static const OptionRow option_table[] = {
        {.name = "Id", .signature = "s", .read = read_id},
        {.name = "Description", .signature = "s", .read = read_description},
        {.name = "Labels", .signature = "a{ss}", .read = read_labels},
        {.name = "Command", .signature = "as", .read = read_command},
        {.name = "Arguments", .signature = "as", .read = read_arguments},
        {.name = "Environment", .signature = "as", .read = read_environment},
        {.name = "UnsetEnvironment", .signature = "as", .read = read_unset_environment},
        {.name = "WorkingDirectory", .signature = "s", .read = read_directory},
        {.name = "Input", .signature = "s", .read = read_input},
        {.name = "Owner", .signature = "s", .read = read_owner},
        {.name = "OwnerName", .signature = "s", .read = read_owner_name},
        TIME("OwnerTimeoutUSec", owner_timeout_usec, 1, TIMEOUT_MAX_USEC, false),
        TIME("OwnerGraceUSec", owner_grace_usec, 0, TIMEOUT_MAX_USEC, false),
        TIME("TimeoutStartUSec", timeout_start_usec, 1, START_TIMEOUT_MAX_USEC, false),
        TIME("TimeoutSetupUSec", timeout_setup_usec, 1, TIMEOUT_MAX_USEC, false),
        TIME("TimeoutHandshakeUSec", timeout_handshake_usec, 1, TIMEOUT_MAX_USEC, false),
        TIME("TimeoutStopUSec", timeout_stop_usec, 0, TIMEOUT_MAX_USEC, false),
        TIME("RuntimeMaxUSec", runtime_max_usec, 1, UINT64_MAX / 4, true),
        TIME("RetainUSec", retain_usec, 0, TIMEOUT_MAX_USEC, false),
        {"RingBytes", "t", read_number, offsetof(StartOptions, ring_bytes), LIMIT_RING_MIN, LIMIT_RING_MAX, false},
        {.name = "User", .signature = "s", .read = read_user},
        {.name = "NoNewPrivileges", .signature = "b", .read = read_boolean, .offset = offsetof(StartOptions, no_new_privileges)},
        {.name = "Journal", .signature = "b", .read = read_boolean, .offset = offsetof(StartOptions, journal)},
};

const char *const *start_request_names(void) {
        static const char *names[ELEMENTSOF(option_table) + _LIMIT_KEY_MAX + 1];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                names[n++] = option_table[i].name;
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                names[n++] = limit_key_table[i].name;
        return names;
}

static const OptionRow *find_option(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
                if (strcmp(option_table[i].name, name) == 0)
                        return &option_table[i];
        return NULL;
}

static int read_kind_value(sd_bus_message *message, const KindOption *option, KindValue **ret, sd_bus_error *reterr) {
        g_auto(GStrv) strings = NULL;
        const char *string;
        uint64_t number;
        int64_t integer;
        int boolean, r;

        switch (option->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                r = sd_bus_message_read(message, "s", &string);
                if (r >= 0 && strlen(string) >= LIMIT_ARGUMENT)
                        return option_refuse_size(reterr, option->name, "bytes", LIMIT_ARGUMENT - 1);
                if (r >= 0)
                        *ret = option->type == KIND_OPTION_PATH ? kind_value_new_path(string) : kind_value_new_string(string);
                return r;
        case KIND_OPTION_STRINGS:
                r = read_strings(message, option->name, LIMIT_ARGUMENTS, &strings, reterr);
                if (r >= 0)
                        *ret = kind_value_new_strings((const char *const *) strings);
                return r;
        case KIND_OPTION_BOOLEAN:
                r = sd_bus_message_read(message, "b", &boolean);
                if (r >= 0)
                        *ret = kind_value_new_boolean(boolean);
                return r;
        case KIND_OPTION_INTEGER:
                r = sd_bus_message_read(message, "x", &integer);
                if (r >= 0)
                        *ret = kind_value_new_integer(integer);
                return r;
        case KIND_OPTION_SIZE:
        case KIND_OPTION_TIME:
                r = sd_bus_message_read(message, "t", &number);
                if (r >= 0)
                        *ret = option->type == KIND_OPTION_SIZE ? kind_value_new_size(number) : kind_value_new_time(number);
                return r;
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

static int read_kind_option(sd_bus_message *message, const KindOption *option, StartOptions *options, sd_bus_error *reterr) {
        g_autofree char *problem = NULL;
        g_autoptr(KindValue) value = NULL;
        int r;

        r = option_enter(message, option->name, kind_option_type_to_signature(option->type), reterr);
        if (r < 0)
                return r;
        r = read_kind_value(message, option, &value, reterr);
        if (r < 0)
                return r;
        if (kind_option_check(option, value, &problem) < 0)
                return sd_bus_error_set(reterr, RM_ERROR_INVALID_OPTION, problem);
        if (!g_hash_table_insert(options->values, g_strdup(option->name), g_steal_pointer(&value)))
                return option_refuse(reterr, option->name, "is there twice");
        return sd_bus_message_exit_container(message);
}

static int read_option(sd_bus_message *message, const char *name, const Kind *kind, StartOptions *options, sd_bus_error *reterr) {
        const OptionRow *row = find_option(name);
        const KindOption *of_kind = kind_get_option(kind, name);
        int limit = option_find_limit(name), r;
        _cleanup_free_ char *quoted = NULL;

        if (limit >= 0)
                return option_read_limit(message, limit, &options->limits, reterr);
        if (of_kind)
                return read_kind_option(message, of_kind, options, reterr);
        if (!row) {
                quoted = text_quote_name(name);
                return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION,
                                         "The kind \"%s\" has no option %s; ListKinds tells which it has besides the common ones.", kind->name, quoted);
        }
        r = option_enter(message, name, row->signature, reterr);
        if (r < 0)
                return r;
        r = row->read(message, row, options, reterr);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(message);
}

/* A dictionary may have a key twice; each option may be given once. */
static int check_once(GHashTable *seen, const char *name, sd_bus_error *reterr) {
        _cleanup_free_ char *quoted = NULL;

        if (g_hash_table_add(seen, (gpointer) name))
                return 0;
        quoted = text_quote_name(name);
        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The option %s is there twice.", quoted);
}

static int check_together(const StartOptions *options, uint64_t size_max, sd_bus_error *reterr) {
        char **const lists[] = {options->command, options->arguments, options->environment};
        size_t size = 0, words = 0;

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                for (char **word = lists[i]; word && *word; word++) {
                        size += strlen(*word) + 1;
                        words += lists[i] != options->environment;
                }
        if (size > size_max)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED,
                                         "Command, Arguments and Environment are %zu bytes together, and no more than %" PRIu64
                                         " are allowed (ArgumentsSizeMax).",
                                         size, size_max);
        if (size > LIMIT_COMMAND)
                return option_refuse_size(reterr, "Command", "words (in bytes, with Arguments and Environment)", LIMIT_COMMAND);
        if (words > LIMIT_ARGUMENTS)
                return option_refuse_size(reterr, "Command", "words (with Arguments)", LIMIT_ARGUMENTS);
        return 0;
}

int start_request_read(sd_bus_message *message, const Kind *kind, uid_t uid, uint64_t size_max, StartOptions **ret, sd_bus_error *reterr) {
        g_autoptr(StartOptions) options = start_options_new(uid);
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r < 0)
                        return r;
                r = check_once(seen, name, reterr);
                if (r < 0)
                        return r;
                r = read_option(message, name, kind, options, reterr);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;
        r = check_together(options, size_max, reterr);
        if (r < 0)
                return r;
        start_options_seal(options);
        *ret = g_steal_pointer(&options);
        return 0;
}
