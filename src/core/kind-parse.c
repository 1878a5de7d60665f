/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Gives the settings of a kind file their meaning. One table says which sections there are, one table for
 * each section which keys it has, and how each is read into which field. What isn't in a table is refused: a
 * misspelt limit must not become no limit.
 *
 * Options are read before all else, wherever they stand in the file: other sections refer to them.
 */

#include "core/kind-parse.h"

#include <errno.h>
#include <string.h>

#include "core/kind-setting.h"
#include "util/macro.h"

#define HANDSHAKE_TIMEOUT_USEC (10 * USEC_PER_SEC)

typedef struct Parser {
        Kind *kind;
        const KindFile *file;
        const char *const *reserved_options;
        char **ret_problem;
        GPtrArray *more_problems; /* may be NULL */
} Parser;

typedef struct SettingRule {
        const char *key;
        KindSettingFunction *parse; /* NULL: read by the section's finish function */
        size_t offset;
} SettingRule;

typedef struct SectionRule {
        const char *type;
        const SettingRule *settings;
        /* For sections with a name of their own: adds an object for it. Others are read into the Kind. */
        int (*open)(Parser *parser, const KindSection *section, const char *name, void **ret_object);
        /* What needs several keys at once. */
        int (*finish)(Parser *parser, const KindSection *section, void *object);
} SectionRule;

/* The author of a file wants to know of all mistakes at once; whoever uses a kind is told the first. */
static int parser_problem(Parser *parser, const char *path, unsigned line, const char *text) {
        char *more;

        if (!*parser->ret_problem)
                return kind_problem(parser->ret_problem, path, line, "%s", text);
        if (!parser->more_problems || parser->more_problems->len >= KIND_MORE_PROBLEMS_MAX)
                return -EINVAL;
        (void) kind_problem(&more, path, line, "%s", text);
        g_ptr_array_add(parser->more_problems, more);
        return -EINVAL;
}

static int section_problem(Parser *parser, const KindSection *section, const char *text) {
        return parser_problem(parser, section->path, section->line, text);
}

static int setting_problem(Parser *parser, const KindSetting *setting, const char *text) {
        g_autofree char *problem = g_strdup_printf("%s: %s", setting->key, text);

        return parser_problem(parser, setting->path, setting->line, problem);
}

/* [Kind] */

static const SettingRule kind_settings[] = {
        {"Description", kind_setting_text, offsetof(Kind, description)},
        /* before Exec, which may refer to it */
        {"Executable", kind_setting_executable, offsetof(Kind, executable)},
        {"ExecutableMissing", kind_setting_text, offsetof(Kind, executable_missing)},
        {"Exec", kind_setting_exec, offsetof(Kind, exec)},
        {"Environment", kind_setting_environment, offsetof(Kind, environment)},
        {"Directory", kind_setting_directory, offsetof(Kind, directory)},
        {"RequiresFile", kind_setting_directory, offsetof(Kind, requires_file)},
        {"RequiresFileMissing", kind_setting_text, offsetof(Kind, requires_file_missing)},
        {"Terminated", kind_setting_text, offsetof(Kind, terminated)},
        {},
};

static int finish_kind(Parser *parser, const KindSection *section, void *object) {
        Kind *kind = object;

        if (kind->executable_missing && !kind->executable)
                return section_problem(parser, section, "ExecutableMissing without Executable");
        if (kind->executable && !kind->executable_missing)
                kind->executable_missing = g_path_is_absolute(kind->executable) ? g_strdup_printf("no executable file at %s", kind->executable)
                                                                                : g_strdup_printf("no %s executable found in PATH", kind->executable);
        if (kind->requires_file_missing && !kind->requires_file)
                return section_problem(parser, section, "RequiresFileMissing without RequiresFile");
        if (kind->requires_file && !kind->requires_file_missing)
                kind->requires_file_missing = g_strdup("a file that is needed is missing");
        return 0;
}

/* [Option NAME] */

static const SettingRule option_settings[] = {
        {"Type", kind_setting_option_type, offsetof(KindOption, type)},
        {"Required", kind_setting_boolean, offsetof(KindOption, required)},
        {"Description", kind_setting_text, offsetof(KindOption, description)},
        /* in this order, and with the type known */
        {"Values", NULL, 0},
        {"Default", NULL, 0},
        {},
};

static int open_option(Parser *parser, const KindSection *section, const char *name, void **ret_object) {
        Kind *kind = parser->kind;
        size_t length = strlen(name);
        KindOption *option;

        if (length > KIND_OPTION_NAME_MAX || !g_ascii_isupper(name[0]))
                return section_problem(parser, section, "an option's name is A-Z, then letters and digits, at most 64");
        for (size_t i = 0; i < length; i++)
                if (!g_ascii_isalnum(name[i]))
                        return section_problem(parser, section, "an option's name is A-Z, then letters and digits, at most 64");
        if (parser->reserved_options && g_strv_contains(parser->reserved_options, name))
                return section_problem(parser, section, "every kind has an option of this name already");
        if (kind->n_options >= KIND_OPTIONS_MAX)
                return section_problem(parser, section, "more than 64 options");

        option = &kind->options[kind->n_options++];
        option->name = g_strdup(name);
        *ret_object = option;
        return 0;
}

static int read_allowed_values(Parser *parser, const KindSetting *setting, KindOption *option) {
        g_auto(GStrv) values = g_strsplit(setting->value, ";", KIND_WORDS_MAX + 1);
        size_t n = g_strv_length(values);

        if (option->type == KIND_OPTION_BOOLEAN)
                return setting_problem(parser, setting, "a boolean has no list of values");
        if (n > KIND_WORDS_MAX)
                return setting_problem(parser, setting, "more than 256 values");
        /* a ';' may also end the list */
        if (n > 1 && g_strstrip(values[n - 1])[0] == '\0')
                g_clear_pointer(&values[n - 1], g_free);

        for (char **value = values; *value; value++) {
                g_autoptr(KindValue) parsed = NULL;
                g_autofree char *problem = NULL;

                if (g_strstrip(*value)[0] == '\0')
                        return setting_problem(parser, setting, "an empty value");
                /* of a list, these are its entries */
                if (option->type != KIND_OPTION_STRINGS && kind_value_parse(option->type, *value, &parsed, &problem) < 0)
                        return setting_problem(parser, setting, problem);
        }
        option->values = g_steal_pointer(&values);
        return 0;
}

static int read_default(Parser *parser, const KindSetting *setting, KindOption *option) {
        g_autofree char *problem = NULL;

        if (option->required)
                return setting_problem(parser, setting, "an option that is required has no default");
        if (kind_value_parse(option->type, setting->value, &option->default_value, &problem) < 0 ||
            kind_option_check(option, option->default_value, &problem) < 0)
                return setting_problem(parser, setting, problem);
        return 0;
}

static int finish_option(Parser *parser, const KindSection *section, void *object) {
        const KindSetting *values = kind_section_get(section, "Values"), *fallback = kind_section_get(section, "Default");
        int r;

        if (values) {
                r = read_allowed_values(parser, values, object);
                if (r < 0)
                        return r;
        }
        return fallback ? read_default(parser, fallback, object) : 0;
}

/* [Step NAME] */

static const SettingRule step_settings[] = {
        {"Exec", kind_setting_exec, offsetof(KindStep, exec)},
        {"Announce", kind_setting_text, offsetof(KindStep, announce)},
        {"Failure", kind_setting_text, offsetof(KindStep, failure)},
        {"TimeoutSec", kind_setting_timeout, offsetof(KindStep, timeout_usec)},
        {},
};

static int open_step(Parser *parser, const KindSection *section, const char *name, void **ret_object) {
        Kind *kind = parser->kind;
        size_t length = strlen(name);
        KindStep *step;

        if (!g_ascii_isalnum(name[0]) || length > 64)
                return section_problem(parser, section, "a step's name is letters, digits and . _ -, at most 64");
        for (size_t i = 0; i < length; i++)
                if (!g_ascii_isalnum(name[i]) && !strchr("._-", name[i]))
                        return section_problem(parser, section, "a step's name is letters, digits and . _ -, at most 64");
        if (kind->n_steps >= KIND_STEPS_MAX)
                return section_problem(parser, section, "more than 32 steps");

        step = &kind->steps[kind->n_steps++];
        step->name = g_strdup(name);
        step->timeout_usec = KIND_UNSET;
        *ret_object = step;
        return 0;
}

static int finish_step(Parser *parser, const KindSection *section, void *object) {
        const KindStep *step = object;

        return step->exec ? 0 : section_problem(parser, section, "a step needs Exec");
}

/* [Handshake], [Stop], [Interrupt], [Limits] */

static const SettingRule handshake_settings[] = {
        {"Type", kind_setting_handshake_type, offsetof(Kind, handshake.type)},
        {"TimeoutSec", kind_setting_timeout, offsetof(Kind, handshake.timeout_usec)},
        {"Transport", kind_setting_transport, offsetof(Kind, handshake.transport)},
        {"Line", kind_setting_line, offsetof(Kind, handshake.line)},
        {},
};

static int finish_handshake(Parser *parser, const KindSection *section, void *object) {
        const KindHandshake *handshake = &parser->kind->handshake;
        const KindSetting *transport = kind_section_get(section, "Transport"), *line = kind_section_get(section, "Line");

        if (transport && handshake->type != KIND_HANDSHAKE_PROTOCOL)
                return setting_problem(parser, transport, "only with Type=protocol");
        if (line && handshake->type != KIND_HANDSHAKE_LINE)
                return setting_problem(parser, line, "only with Type=line");
        if (!line && handshake->type == KIND_HANDSHAKE_LINE)
                return section_problem(parser, section, "Type=line needs Line");
        return 0;
}

static const SettingRule stop_settings[] = {
        {"Message", kind_setting_message, offsetof(Kind, stop.message)},
        {"Signal", kind_setting_signal, offsetof(Kind, stop.signal)},
        {"TimeoutSec", kind_setting_timeout, offsetof(Kind, stop.timeout_usec)},
        {},
};

static const SettingRule interrupt_settings[] = {
        {"Message", kind_setting_message, offsetof(Kind, interrupt.message)},
        {"Signal", kind_setting_signal, offsetof(Kind, interrupt.signal)},
        {},
};

/* The handshake may stand behind these in the file, so that its type is checked at the very end. */
static int finish_way(Parser *parser, const KindSection *section, void *object) {
        if (kind_section_get(section, "Message") && kind_section_get(section, "Signal"))
                return section_problem(parser, section, "either Message or Signal, not both");
        return 0;
}

static const SettingRule limits_settings[] = {
        {"MemoryMax", kind_setting_size, offsetof(Kind, limits.memory_max)},
        {"MemoryHigh", kind_setting_size, offsetof(Kind, limits.memory_high)},
        {"CPUQuota", kind_setting_quota, offsetof(Kind, limits.cpu_quota_per_sec_usec)},
        {"CPUWeight", kind_setting_weight, offsetof(Kind, limits.cpu_weight)},
        {"IOWeight", kind_setting_weight, offsetof(Kind, limits.io_weight)},
        {"TasksMax", kind_setting_tasks, offsetof(Kind, limits.tasks_max)},
        {"RuntimeMaxSec", kind_setting_time, offsetof(Kind, limits.runtime_max_usec)},
        {},
};

static const SectionRule section_rules[] = {
        {"Option", option_settings, open_option, finish_option},
        {"Kind", kind_settings, NULL, finish_kind},
        {"Step", step_settings, open_step, finish_step},
        {"Handshake", handshake_settings, NULL, finish_handshake},
        {"Stop", stop_settings, NULL, finish_way},
        {"Interrupt", interrupt_settings, NULL, finish_way},
        {"Limits", limits_settings, NULL, NULL},
};

/* Whether the section is of this type; *ret_name is then the name behind it, NULL for a type without. */
static bool section_is(const KindSection *section, const SectionRule *rule, const char **ret_name) {
        const char *rest;

        if (!rule->open) {
                *ret_name = NULL;
                return g_str_equal(section->title, rule->type);
        }
        if (!g_str_has_prefix(section->title, rule->type))
                return false;
        rest = section->title + strlen(rule->type);
        if (*rest != ' ')
                return false;
        *ret_name = rest + 1;
        return true;
}

static int check_sections(Parser *parser) {
        int r = 0;

        for (size_t i = 0; i < parser->file->sections->len; i++) {
                const KindSection *section = parser->file->sections->pdata[i];
                g_autofree char *title = NULL, *problem = NULL;
                const char *name;
                bool known = false;

                for (size_t j = 0; j < ELEMENTSOF(section_rules) && !known; j++)
                        known = section_is(section, &section_rules[j], &name);
                if (known)
                        continue;
                title = kind_quote(section->title);
                problem = g_strdup_printf("unknown section %s", title);
                r = section_problem(parser, section, problem);
        }
        return r;
}

static int check_keys(Parser *parser, const KindSection *section, const SettingRule *rules) {
        int r = 0;

        for (size_t i = 0; i < section->settings->len; i++) {
                const KindSetting *setting = section->settings->pdata[i];
                g_autofree char *key = NULL, *title = NULL, *problem = NULL;
                bool known = false;

                for (const SettingRule *rule = rules; rule->key && !known; rule++)
                        known = g_str_equal(setting->key, rule->key);
                if (known)
                        continue;
                key = kind_quote(setting->key);
                title = kind_quote(section->title);
                problem = g_strdup_printf("unknown key %s in section %s", key, title);
                r = parser_problem(parser, setting->path, setting->line, problem);
        }
        return r;
}

static int parse_section(Parser *parser, const KindSection *section, const SectionRule *rule, const char *name) {
        void *object = parser->kind;
        int r;

        if (rule->open) {
                r = rule->open(parser, section, name, &object);
                if (r < 0)
                        return r;
        }
        r = check_keys(parser, section, rule->settings);
        /* In the order of the rules, not of the file: a later rule may need an earlier one's result. */
        for (const SettingRule *setting_rule = rule->settings; setting_rule->key; setting_rule++) {
                const KindSetting *setting = kind_section_get(section, setting_rule->key);
                g_autofree char *problem = NULL;

                if (setting && setting_rule->parse && setting_rule->parse(parser->kind, setting->value, (char *) object + setting_rule->offset, &problem) < 0)
                        r = setting_problem(parser, setting, problem);
        }
        /* Whatever it says of settings that aren't as they were meant would be beside the point. */
        return r >= 0 && rule->finish ? rule->finish(parser, section, object) : r;
}

/* A message can only be sent where the protocol is spoken. */
static int check_messages(Parser *parser) {
        if (parser->kind->handshake.type == KIND_HANDSHAKE_PROTOCOL)
                return 0;
        for (size_t i = 0; i < parser->file->sections->len; i++) {
                const KindSection *section = parser->file->sections->pdata[i];
                const KindSetting *message = kind_section_get(section, "Message");

                if (message)
                        return setting_problem(parser, message, "only with Type=protocol in [Handshake]");
        }
        return 0;
}

/* All of a type. */
static int parse_type(Parser *parser, const SectionRule *rule, bool *ret_found) {
        const GPtrArray *sections = parser->file->sections;
        int result = 0;

        *ret_found = false;
        for (size_t i = 0; i < sections->len; i++) {
                const char *name;
                int r;

                if (!section_is(sections->pdata[i], rule, &name))
                        continue;
                *ret_found = true;
                r = parse_section(parser, sections->pdata[i], rule, name);
                if (r < 0)
                        result = r;
        }
        return result;
}

static int parse_sections(Parser *parser) {
        int result;

        result = check_sections(parser);
        for (size_t i = 0; i < ELEMENTSOF(section_rules); i++) {
                const SectionRule *rule = &section_rules[i];
                bool found;
                int r;

                r = parse_type(parser, rule, &found);
                if (r < 0)
                        result = r;
                /* What refers to an option that isn't understood is no mistake. */
                if (r < 0 && rule->settings == option_settings)
                        return r;
                if (!found && rule->settings == kind_settings)
                        result = parser_problem(parser, parser->file->paths->pdata[0], 0, "no section [Kind]");
        }
        return result < 0 ? result : check_messages(parser);
}

Kind *kind_new(const char *name, const char *path) {
        Kind *kind = g_new0(Kind, 1);

        kind->n_ref = 1;
        kind->name = g_strdup(name);
        kind->path = g_canonicalize_filename(path, NULL);
        kind->handshake.timeout_usec = HANDSHAKE_TIMEOUT_USEC;
        kind->stop.timeout_usec = KIND_UNSET;
        kind->limits = (KindLimits){
                .memory_max = KIND_UNSET,
                .memory_high = KIND_UNSET,
                .cpu_quota_per_sec_usec = KIND_UNSET,
                .cpu_weight = KIND_UNSET,
                .io_weight = KIND_UNSET,
                .tasks_max = KIND_UNSET,
                .runtime_max_usec = KIND_UNSET,
        };
        return kind;
}

int kind_parse(const char *name, const char *path, const KindFile *file, const char *const *reserved_options, Kind **ret, char **ret_problem,
               GPtrArray *more_problems) {
        g_autoptr(Kind) kind = kind_new(name, path);
        Parser parser = {
                .kind = kind,
                .file = file,
                .reserved_options = reserved_options,
                .ret_problem = ret_problem,
                .more_problems = more_problems,
        };
        int r;

        *ret_problem = NULL;
        /* Never moved afterwards: templates refer to the options by their place. */
        kind->options = g_new0(KindOption, KIND_OPTIONS_MAX);
        kind->steps = g_new0(KindStep, KIND_STEPS_MAX);

        r = parse_sections(&parser);
        if (r < 0)
                return r;
        *ret = g_steal_pointer(&kind);
        return 0;
}
