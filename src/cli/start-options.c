/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See start-options.h. Names match without regard to case, "-" and "_", and to a unit at their end (USec, PerSecUSec), so
 * that --memory-max=, --MemoryMax=, --timeout-stop= and --TimeoutStopUSec= all work. */

#include "cli/start-options.h"

#include <string.h>

#include "cli/json.h"
#include "cli/parse.h"

/* What a number or a text stands for, which its D-Bus type doesn't tell. */
typedef enum Meaning {
        MEANING_PLAIN,
        MEANING_TIME,
        MEANING_SIZE,
        MEANING_SHARE,       /* of CPU time: "50%" */
        MEANING_PATH,        /* made absolute */
        MEANING_ENVIRONMENT, /* NAME alone: with the value it has here */
} Meaning;

typedef struct CommonOption {
        const char *name, *type;
        Meaning meaning;
        const char *help;
        bool limit; /* SetLimits changes it while the runtime runs */
} CommonOption;

static const CommonOption common_options[] = {
        {"Id", "s", MEANING_PLAIN, N_("its id, [a-z0-9_]; default: 8 random characters")},
        {"Description", "s", MEANING_PLAIN, N_("one line for people")},
        {"Labels", "a{ss}", MEANING_PLAIN, N_("KEY=VALUE; may be repeated (or --label)")},
        {"Command", "as", MEANING_PLAIN, N_("a word of the command; may be repeated (or behind --)")},
        {"Arguments", "as", MEANING_PLAIN, N_("a further argument; may be repeated (or behind --)")},
        {"Environment", "as", MEANING_ENVIRONMENT, N_("NAME=VALUE, or NAME; may be repeated (or -E)")},
        {"UnsetEnvironment", "as", MEANING_PLAIN, N_("NAME; may be repeated")},
        {"WorkingDirectory", "s", MEANING_PATH, N_("a directory; default: the kind's, or the home directory")},
        {"Input", "s", MEANING_PLAIN, N_("null, pipe or terminal; with --follow, pipe hands on standard input")},
        {"Owner", "s", MEANING_PLAIN, N_("none, caller or required: whether it ends when its owner leaves the bus")},
        {"OwnerName", "s", MEANING_PLAIN, N_("what people call the owner")},
        {"OwnerTimeoutUSec", "t", MEANING_TIME, N_("how long a required owner may take to come")},
        {"OwnerGraceUSec", "t", MEANING_TIME, N_("how long an owner that left may take to come back")},
        {"TimeoutStartUSec", "t", MEANING_TIME, N_("for the start of its first process")},
        {"TimeoutSetupUSec", "t", MEANING_TIME, N_("for each setup step")},
        {"TimeoutHandshakeUSec", "t", MEANING_TIME, N_("until it is ready")},
        {"TimeoutStopUSec", "t", MEANING_TIME, N_("for each stage of a stop")},
        {"RuntimeMaxUSec", "t", MEANING_TIME, N_("how long it may run")},
        {"RetainUSec", "t", MEANING_TIME, N_("how long output and report are kept after the end")},
        {"RingBytes", "t", MEANING_SIZE, N_("how much output is kept")},
        {"MemoryMax", "t", MEANING_SIZE, N_("a size: what goes over it is killed"), true},
        {"MemoryHigh", "t", MEANING_SIZE, N_("a size: what goes over it is held back"), true},
        {"CPUQuotaPerSecUSec", "t", MEANING_SHARE, N_("as --cpu-quota=50%: of one CPU"), true},
        {"CPUWeight", "t", MEANING_SIZE, N_("1 to 10000, against others; default: 100"), true},
        {"TasksMax", "t", MEANING_SIZE, N_("how many processes and threads"), true},
        {"IOWeight", "t", MEANING_SIZE, N_("1 to 10000, against others; default: 100"), true},
        {"NoNewPrivileges", "b", MEANING_PLAIN, N_("as in systemd.exec(5)")},
        {"Journal", "b", MEANING_PLAIN, N_("whether its output goes to the journal too")},
        {"User", "s", MEANING_PLAIN, N_("for which user it is, on the system bus (as --uid)")},
};

typedef struct StartOption {
        char *word; /* as it was written, for messages */
        char *name; /* until resolved: as it was written */
        char *type; /* NULL: not resolved */
        Meaning meaning;
        GPtrArray *values;
        bool bare; /* written without "=" */
} StartOption;

struct StartOptions {
        GPtrArray *options;
};

static void option_free(void *data) {
        StartOption *option = data;

        g_free(option->word);
        g_free(option->name);
        g_free(option->type);
        g_ptr_array_unref(option->values);
        g_free(option);
}

StartOptions *start_options_new(void) {
        StartOptions *options = g_new0(StartOptions, 1);

        options->options = g_ptr_array_new_with_free_func(option_free);
        return options;
}

StartOptions *start_options_free(StartOptions *options) {
        if (!options)
                return NULL;
        g_ptr_array_unref(options->options);
        g_free(options);
        return NULL;
}

/* "working-directory" and "WorkingDirectory" are "workingdirectory". */
static char *fold(const char *name) {
        GString *folded = g_string_new(NULL);

        for (; *name; name++)
                if (*name != '-' && *name != '_')
                        g_string_append_c(folded, g_ascii_tolower(*name));
        return g_string_free(folded, FALSE);
}

static bool same_name(const char *written, const char *name) {
        static const char *const units[] = {"", "usec", "persecusec"};
        g_autofree char *a = fold(written), *b = fold(name);

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                g_autofree char *with_unit = g_strconcat(a, units[i], NULL);

                if (strcmp(with_unit, b) == 0)
                        return true;
        }
        return false;
}

static const CommonOption *find_common(const char *written) {
        for (size_t i = 0; i < ELEMENTSOF(common_options); i++)
                if (same_name(written, common_options[i].name))
                        return &common_options[i];
        return NULL;
}

const char *const *start_options_reserved(void) {
        /* And those that a later version of the service has. */
        static const char *names[ELEMENTSOF(common_options) + 2] = {"Journal"};

        for (size_t i = 0; i < ELEMENTSOF(common_options); i++)
                names[i + 1] = common_options[i].name;
        return names;
}

static StartOption *add_option(StartOptions *options, const char *written, const char *word) {
        const CommonOption *common = find_common(written);
        const char *name = common ? common->name : written;
        StartOption *option;

        for (unsigned i = 0; i < options->options->len; i++) {
                option = options->options->pdata[i];
                if (same_name(name, option->name) || same_name(option->name, name))
                        return option;
        }
        option = g_new0(StartOption, 1);
        option->word = g_strdup(word);
        option->name = g_strdup(name);
        option->type = common ? g_strdup(common->type) : NULL;
        option->meaning = common ? common->meaning : MEANING_PLAIN;
        option->values = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(options->options, option);
        return option;
}

void start_options_add(StartOptions *options, const char *name, const char *value) {
        g_autofree char *word = g_strconcat("--", name, NULL);

        g_ptr_array_add(add_option(options, name, word)->values, g_strdup(value));
}

void start_options_add_word(StartOptions *options, const char *word) {
        const char *equals = strchrnul(word, '=');
        g_autofree char *written = g_strndup(word, (size_t) (equals - word));
        StartOption *option = add_option(options, g_str_has_prefix(written, "--") ? written + strlen("--") : written, written);

        if (*equals)
                g_ptr_array_add(option->values, g_strdup(equals + 1));
        else
                option->bare = true;
}

bool start_options_is_empty(const StartOptions *options) {
        return options->options->len == 0;
}

bool start_options_need_kind(const StartOptions *options) {
        for (unsigned i = 0; i < options->options->len; i++)
                if (!((const StartOption *) options->options->pdata[i])->type)
                        return true;
        return false;
}

static bool is_limit(const StartOption *option) {
        const CommonOption *common = find_common(option->name);

        return common && common->limit;
}

const char *start_options_find_fixed(const StartOptions *options) {
        for (unsigned i = 0; i < options->options->len; i++) {
                const StartOption *option = options->options->pdata[i];

                if (!is_limit(option))
                        return option->word;
        }
        return NULL;
}

bool start_options_has_value(const StartOptions *options, const char *name, const char *value) {
        for (unsigned i = 0; i < options->options->len; i++) {
                const StartOption *option = options->options->pdata[i];

                if (strcmp(option->name, name) == 0)
                        return option->values->len > 0 && strcmp(option->values->pdata[0], value) == 0;
        }
        return false;
}

/* `type`: as the kind's file has it; what D-Bus has is the same for a path as for any text, and for a time as for any number. */
static Meaning meaning_of_type(const char *type) {
        static const struct {
                const char *type;
                Meaning meaning;
        } meanings[] = {
                {"path", MEANING_PATH},
                {"size", MEANING_SIZE},
                {"time", MEANING_TIME},
        };

        for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
                if (strcmp(meanings[i].type, type) == 0)
                        return meanings[i].meaning;
        return MEANING_PLAIN;
}

static char *list_names(const json_t *declared) {
        GString *names = g_string_new(NULL);
        const json_t *entry;
        size_t i;

        json_array_foreach(declared, i, entry) g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", json_string_value(json_array_get(entry, 0)) ?: "?");
        return g_string_free(names, FALSE);
}

static bool resolve_from(StartOption *option, const json_t *kind) {
        const json_t *declared = json_object_get(kind, "Options"), *types = json_object_get(kind, "OptionTypes"), *entry;
        size_t i;

        json_array_foreach(declared, i, entry) {
                const char *name = json_string_value(json_array_get(entry, 0)), *type = json_string_value(json_array_get(entry, 1));

                if (!name || !type || !same_name(option->name, name))
                        continue;
                g_free(option->name);
                option->name = g_strdup(name);
                option->type = g_strdup(type);
                option->meaning = meaning_of_type(json_get_string(types, name, ""));
                return true;
        }
        return false;
}

bool start_options_resolve(StartOptions *options, const json_t *kind, char **ret_problem) {
        for (unsigned i = 0; i < options->options->len; i++) {
                StartOption *option = options->options->pdata[i];
                g_autofree char *names = NULL;

                if (option->type || resolve_from(option, kind))
                        continue;
                names = list_names(json_object_get(kind, "Options"));
                *ret_problem = *names ? g_strdup_printf(_("There is no option %s. This kind has these of its own: %s."), option->word, names)
                                      : g_strdup_printf(_("There is no option %s, and this kind has none of its own."), option->word);
                return false;
        }
        return true;
}

/* The values of each type. True, or false for a text that isn't one. Containers are open already. */

static bool read_unsigned(const StartOption *option, const char *text, uint64_t *ret) {
        switch (option->meaning) {
        case MEANING_TIME:
                return parse_time(text, USEC_PER_SEC, ret);
        case MEANING_SHARE:
                return parse_percent(text, ret) || parse_time(text, 0, ret);
        case MEANING_PLAIN:
        case MEANING_SIZE:
        case MEANING_PATH:
        case MEANING_ENVIRONMENT:
                break;
        }
        return parse_size(text, ret);
}

static int append_number(const StartOption *option, sd_bus_message *message, const char *text) {
        static const struct {
                char type;
                int64_t min;
                uint64_t max;
        } ranges[] = {
                {'y', 0, UINT8_MAX},  {'n', INT16_MIN, INT16_MAX}, {'q', 0, UINT16_MAX}, {'i', INT32_MIN, INT32_MAX},
                {'u', 0, UINT32_MAX}, {'x', INT64_MIN, INT64_MAX}, {'t', 0, UINT64_MAX},
        };
        char type = option->type[0];
        uint64_t u = 0;
        int64_t x = 0;

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
                if (ranges[i].type != type)
                        continue;
                if (ranges[i].min == 0 ? !read_unsigned(option, text, &u) || u > ranges[i].max
                                       : !parse_i64(text, &x) || x < ranges[i].min || x > (int64_t) ranges[i].max)
                        return -EINVAL;
                if (ranges[i].min < 0)
                        u = (uint64_t) x;
                switch (type) {
                case 'y':
                        return sd_bus_message_append_basic(message, type, &(uint8_t){(uint8_t) u});
                case 'n':
                case 'q':
                        return sd_bus_message_append_basic(message, type, &(uint16_t){(uint16_t) u});
                case 'i':
                case 'u':
                        return sd_bus_message_append_basic(message, type, &(uint32_t){(uint32_t) u});
                default:
                        return sd_bus_message_append_basic(message, type, &u);
                }
        }
        return -EOPNOTSUPP;
}

static int append_text(const StartOption *option, sd_bus_message *message, const char *text) {
        g_autofree char *changed = NULL;

        if (!g_utf8_validate(text, -1, NULL))
                return -EILSEQ;
        if (option->meaning == MEANING_PATH && *text && *text != '/') {
                g_autofree char *here = g_get_current_dir();

                /* ".." behind a symbolic link isn't what it looks like: only the kernel knows. */
                changed = strstr(text, "..") ? realpath(text, NULL) : NULL;
                text = changed = changed ?: g_canonicalize_filename(text, here);
        } else if (option->meaning == MEANING_ENVIRONMENT && !strchr(text, '=')) {
                const char *value = g_getenv(text);

                if (!value)
                        return -ENOENT;
                text = changed = g_strconcat(text, "=", value, NULL);
                if (!g_utf8_validate(text, -1, NULL))
                        return -EILSEQ;
        }
        return sd_bus_message_append_basic(message, 's', text);
}

static int append_pair(sd_bus_message *message, const char *text) {
        const char *equals = strchr(text, '=');
        g_autofree char *key = equals ? g_strndup(text, (size_t) (equals - text)) : NULL;

        if (!equals)
                return -EINVAL;
        if (!g_utf8_validate(text, -1, NULL))
                return -EILSEQ;
        return sd_bus_message_append(message, "{ss}", key, equals + 1);
}

static int append_single(const StartOption *option, sd_bus_message *message, const char *text) {
        bool b;
        double d;
        char *end;

        switch (option->type[0]) {
        case 's':
                return append_text(option, message, text);
        case 'b':
                if (!parse_boolean(text, &b))
                        return -EINVAL;
                return sd_bus_message_append(message, "b", (int) b);
        case 'd':
                d = g_ascii_strtod(text, &end);
                if (end == text || *end)
                        return -EINVAL;
                return sd_bus_message_append(message, "d", d);
        default:
                return append_number(option, message, text);
        }
}

static int append_values(const StartOption *option, sd_bus_message *message, const char **ret_bad) {
        bool pairs = strcmp(option->type, "a{ss}") == 0, texts = strcmp(option->type, "as") == 0;
        int r;

        if (!pairs && !texts) {
                *ret_bad = option->values->pdata[0];
                return strlen(option->type) == 1 ? append_single(option, message, *ret_bad) : -EOPNOTSUPP;
        }
        r = sd_bus_message_open_container(message, 'a', option->type + 1);
        for (unsigned i = 0; r >= 0 && i < option->values->len; i++) {
                *ret_bad = option->values->pdata[i];
                r = pairs ? append_pair(message, *ret_bad) : append_text(option, message, *ret_bad);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static const char *describe_type(const StartOption *option) {
        if (option->meaning == MEANING_TIME)
                return _("a time like 10s");
        if (option->meaning == MEANING_SHARE)
                return _("a share like 50%");
        if (option->meaning == MEANING_SIZE)
                return _("a number, perhaps with K, M or G");
        if (option->type[0] == 'b')
                return _("'yes' or 'no'");
        if (strcmp(option->type, "a{ss}") == 0)
                return _("KEY=VALUE");
        return _("a number in its range");
}

static int append_option(const StartOption *option, sd_bus_message *message, char **ret_problem) {
        bool array = option->type[0] == 'a';
        const char *bad = "";
        int r;

        if (option->bare && option->type[0] != 'b') {
                *ret_problem = g_strdup_printf(_("%s needs a value: %s=VALUE."), option->word, option->word);
                return -EINVAL;
        }
        if (option->bare && option->values->len == 0)
                g_ptr_array_add(option->values, g_strdup("yes"));
        if (!array && (option->values->len > 1)) {
                *ret_problem = g_strdup_printf(_("%s was given more than once."), option->word);
                return -EINVAL;
        }
        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(message, 's', option->name);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', option->type);
        if (r < 0)
                return r;
        r = append_values(option, message, &bad);
        if (r == -EILSEQ)
                *ret_problem = g_strdup_printf(_("The value of %s isn't valid UTF-8, as D-Bus needs it."), option->word);
        else if (r == -ENOENT)
                *ret_problem = g_strdup_printf(_("%s=%s: there is no such variable here; write NAME=VALUE."), option->word, bad);
        else if (r == -EOPNOTSUPP)
                *ret_problem = g_strdup_printf(_("%s has the type %s, which this program can't write."), option->word, option->type);
        else if (r == -EINVAL && *bad == '\0' && is_limit(option))
                *ret_problem = g_strdup_printf(_("%s= has no value; 'infinity' takes the limit away."), option->word);
        else if (r == -EINVAL)
                *ret_problem = g_strdup_printf(_("%s=%s: that is not %s."), option->word, bad, describe_type(option));
        if (*ret_problem)
                return -EINVAL;
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int start_options_append(const StartOptions *options, sd_bus_message *message, char **ret_problem) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        for (unsigned i = 0; r >= 0 && i < options->options->len; i++)
                r = append_option(options->options->pdata[i], message, ret_problem);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static void append_help(GString *text, bool limits_alone) {
        for (size_t i = 0; i < ELEMENTSOF(common_options); i++)
                if (common_options[i].limit || !limits_alone)
                        g_string_append_printf(text, "  %s%-22s %s\n", limits_alone ? "" : "--", common_options[i].name, _(common_options[i].help));
}

char *start_options_help(void) {
        GString *text =
                g_string_new(_("Options of the runtime, as --NAME=VALUE, for all kinds (their own: 'runtimectl kind KIND'). Times are like '1min 30s',\n"
                               "sizes like 512M, and --memory-max, --timeout-stop and the like are understood too:\n"));

        append_help(text, false);
        return g_string_free(text, FALSE);
}

char *start_options_limits(void) {
        GString *names = g_string_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(common_options); i++)
                if (common_options[i].limit)
                        g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", common_options[i].name);
        return g_string_free(names, FALSE);
}

char *start_options_limits_help(void) {
        GString *text =
                /* xgettext:no-c-format */
                g_string_new(_("The limits, as KEY=VALUE; 'infinity' takes one away. memory-max=512M, --cpu-quota=50% and the like are understood too:\n"));

        append_help(text, true);
        return g_string_free(text, FALSE);
}
