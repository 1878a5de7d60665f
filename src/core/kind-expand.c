/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From a kind and what a client asked for to the words that are to be executed: the plan of one runtime.
 * Values come from clients and may be long; what is made of them is bounded before it is made.
 */

#include "core/kind.h"

#include <errno.h>
#include <string.h>

#include "core/kind-template.h"
#include "util/limits.h"

/* A value for each option of the kind, NULL for unset. `room` is how many bytes may still be made, over all
 * its words. */
typedef struct Expansion {
        const Kind *kind;
        const KindContext *context;
        const KindValue *const *values;
        size_t room;
        char **ret_problem;
} Expansion;

static int refuse_length(Expansion *x, const char *what, size_t limit) {
        *x->ret_problem = g_strdup_printf("with these options kind %s needs %s than %zu", x->kind->name, what, limit);
        return -E2BIG;
}

/* Before the text is copied, so that a short kind with a long value repeated can't take all memory. */
static int append_text(Expansion *x, GString *word, const char *text) {
        size_t length = strlen(text);

        if (word->len + length >= LIMIT_ARGUMENT)
                return refuse_length(x, "a word with more bytes", LIMIT_ARGUMENT - 1);
        if (length > x->room)
                return refuse_length(x, "more bytes", LIMIT_COMMAND);
        x->room -= length;
        g_string_append_len(word, text, (gssize) length);
        return 0;
}

static int add_word(Expansion *x, GPtrArray *words, GString *word) {
        if (words->len >= LIMIT_ARGUMENTS)
                return refuse_length(x, "more words", LIMIT_ARGUMENTS);
        if (x->room == 0)
                return refuse_length(x, "more bytes", LIMIT_COMMAND);
        x->room--;
        g_ptr_array_add(words, g_strndup(word->str, word->len));
        return 0;
}

static int expand_specifier(Expansion *x, GString *word, char specifier) {
        const KindContext *c = x->context;
        g_autofree char *made = NULL;
        const char *text = NULL;

        switch (specifier) {
        case 'e':
                text = c->executable;
                break;
        case 'h':
                text = c->home;
                break;
        case 'H':
                text = c->host;
                break;
        case 'i':
                text = c->id;
                break;
        case 't':
                text = c->runtime_dir;
                break;
        case 'u':
                text = c->user;
                break;
        case 'U':
                text = made = g_strdup_printf("%lu", (unsigned long) c->uid);
                break;
        case 'Y':
                text = made = g_path_get_dirname(x->kind->path);
                break;
        }
        if (!text) {
                *x->ret_problem = g_strdup_printf("kind %s uses %%%c, which isn't known here", x->kind->name, specifier);
                return -EINVAL;
        }
        return append_text(x, word, text);
}

static int expand_option(Expansion *x, GString *word, const KindValue *value) {
        g_autofree char *text = NULL;

        if (!value)
                return 0;
        text = kind_value_to_string(value);
        return append_text(x, word, text);
}

static bool is_given(const KindValue *value) {
        if (!value)
                return false;
        if (value->type == KIND_OPTION_BOOLEAN)
                return value->b;
        if (value->type == KIND_OPTION_STRINGS)
                return value->strv[0] != NULL;
        return true;
}

static int expand_list(Expansion *x, const KindValue *value, GPtrArray *words) {
        for (char **s = value->strv; *s; s++) {
                g_autoptr(GString) word = g_string_new(NULL);
                int r;

                r = append_text(x, word, *s);
                if (r >= 0)
                        r = add_word(x, words, word);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int expand_word(Expansion *x, const KindWord *word, GPtrArray *words) {
        g_autoptr(GString) text = NULL;

        if (word->condition != KIND_NO_CONDITION && !is_given(x->values[word->condition]))
                return 0;
        if (word->pieces->len == 1 && kind_word_piece(word, 0)->type == KIND_PIECE_OPTION) {
                const KindValue *value = x->values[kind_word_piece(word, 0)->option];

                if (!value)
                        return 0;
                if (value->type == KIND_OPTION_STRINGS)
                        return expand_list(x, value, words);
        }

        text = g_string_new(NULL);
        for (size_t i = 0; i < word->pieces->len; i++) {
                const KindPiece *piece = kind_word_piece(word, i);
                int r = 0;

                switch (piece->type) {
                case KIND_PIECE_TEXT:
                        r = append_text(x, text, piece->text);
                        break;
                case KIND_PIECE_SPECIFIER:
                        r = expand_specifier(x, text, piece->specifier);
                        break;
                case KIND_PIECE_OPTION:
                        r = expand_option(x, text, x->values[piece->option]);
                        break;
                }
                if (r < 0)
                        return r;
        }
        return add_word(x, words, text);
}

/* The strv may be empty. */
static int expand_template(Expansion *x, const KindTemplate *template, char ***ret) {
        g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = 0; i < template->words->len; i++) {
                int r = expand_word(x, &g_array_index(template->words, KindWord, i), words);

                if (r < 0)
                        return r;
        }
        g_ptr_array_add(words, NULL);
        *ret = (char **) g_ptr_array_free(g_steal_pointer(&words), FALSE);
        return 0;
}

static int check_given(const Kind *kind, GHashTable *values, char **ret_problem) {
        GHashTableIter iter;
        void *name, *value;

        if (!values)
                return 0;
        g_hash_table_iter_init(&iter, values);
        while (g_hash_table_iter_next(&iter, &name, &value)) {
                const KindOption *option = kind_get_option(kind, name);
                int r;

                if (!option) {
                        *ret_problem = g_strdup_printf("kind %s has no option %s", kind->name, (const char *) name);
                        return -EINVAL;
                }
                r = kind_option_check(option, value, ret_problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The value of each option, in their order; NULL for unset. */
static int collect_values(const Kind *kind, GHashTable *given, const KindValue ***ret, char **ret_problem) {
        g_autofree const KindValue **values = g_new0(const KindValue *, kind->n_options + 1);
        int r;

        r = check_given(kind, given, ret_problem);
        if (r < 0)
                return r;
        for (size_t i = 0; i < kind->n_options; i++) {
                const KindOption *option = &kind->options[i];

                values[i] = given ? g_hash_table_lookup(given, option->name) : NULL;
                if (!values[i] && option->required) {
                        *ret_problem = g_strdup_printf("kind %s needs the option %s", kind->name, option->name);
                        return -EINVAL;
                }
                if (!values[i])
                        values[i] = option->default_value;
        }
        *ret = g_steal_pointer(&values);
        return 0;
}

static int expansion_init(Expansion *x, const Kind *kind, const KindContext *context, const KindValue ***ret_values, char **ret_problem) {
        int r;

        if (kind->problem) {
                *ret_problem = g_strdup_printf("kind %s can't be used: %s", kind->name, kind->problem);
                return -EINVAL;
        }
        r = collect_values(kind, context->values, ret_values, ret_problem);
        if (r < 0)
                return r;
        *x = (Expansion){
                .kind = kind,
                .context = context,
                .values = *ret_values,
                .room = LIMIT_COMMAND,
                .ret_problem = ret_problem,
        };
        return 0;
}

static int expand_exec(Expansion *x, const KindTemplate *template, char ***ret) {
        g_auto(GStrv) argv = NULL;
        int r;

        r = expand_template(x, template, &argv);
        if (r < 0)
                return r;
        if (!argv[0] || argv[0][0] == '\0') {
                *x->ret_problem = g_strdup_printf("with these options kind %s has an empty command", x->kind->name);
                return -EINVAL;
        }
        *ret = g_steal_pointer(&argv);
        return 0;
}

static int expand_environment(Expansion *x, char ***ret) {
        if (!x->kind->environment) {
                *ret = g_new0(char *, 1);
                return 0;
        }
        return expand_template(x, x->kind->environment, ret);
}

/* what: for people. NULL for no template. */
static int expand_path(Expansion *x, const KindTemplate *template, const char *what, char **ret) {
        g_auto(GStrv) words = NULL;
        int r;

        if (!template)
                return 0;
        r = expand_template(x, template, &words);
        if (r < 0)
                return r;
        /* Nothing but an option that isn't set: as if the kind said nothing. */
        if (!words[0])
                return 0;
        if (!g_path_is_absolute(words[0])) {
                *x->ret_problem = g_strdup_printf("with these options the %s of kind %s isn't an absolute path", what, x->kind->name);
                return -EINVAL;
        }
        *ret = g_steal_pointer(&words[0]);
        return 0;
}

static int expand_steps(Expansion *x, KindPlan *plan) {
        plan->steps = g_new0(KindPlanStep, x->kind->n_steps);
        for (size_t i = 0; i < x->kind->n_steps; i++) {
                const KindStep *step = &x->kind->steps[i];
                KindPlanStep *planned = &plan->steps[plan->n_steps++];
                int r;

                r = expand_exec(x, step->exec, &planned->argv);
                if (r < 0)
                        return r;
                planned->name = g_strdup(step->name);
                planned->announce = g_strdup(step->announce);
                planned->failure = g_strdup(step->failure);
                planned->timeout_usec = step->timeout_usec;
        }
        return 0;
}

int kind_expand(const Kind *kind, const KindContext *context, KindPlan **ret, char **ret_problem) {
        g_autoptr(KindPlan) plan = g_new0(KindPlan, 1);
        g_autofree const KindValue **values = NULL;
        Expansion x;
        int r;

        r = expansion_init(&x, kind, context, &values, ret_problem);
        if (r < 0)
                return r;
        r = expand_environment(&x, &plan->environment);
        if (r < 0)
                return r;
        r = expand_path(&x, kind->directory, "directory", &plan->directory);
        if (r < 0)
                return r;
        r = expand_path(&x, kind->requires_file, "required file", &plan->required_file);
        if (r < 0)
                return r;
        r = expand_steps(&x, plan);
        if (r < 0)
                return r;
        if (kind->exec) {
                r = expand_exec(&x, kind->exec, &plan->argv);
                if (r < 0)
                        return r;
        }
        *ret = g_steal_pointer(&plan);
        return 0;
}

int kind_expand_environment(const Kind *kind, const KindContext *context, char ***ret, char **ret_problem) {
        g_autofree const KindValue **values = NULL;
        Expansion x;
        int r;

        r = expansion_init(&x, kind, context, &values, ret_problem);
        if (r < 0)
                return r;
        return expand_environment(&x, ret);
}

KindPlan *kind_plan_free(KindPlan *plan) {
        if (!plan)
                return NULL;

        for (size_t i = 0; i < plan->n_steps; i++) {
                g_free(plan->steps[i].name);
                g_strfreev(plan->steps[i].argv);
                g_free(plan->steps[i].announce);
                g_free(plan->steps[i].failure);
        }
        g_free(plan->steps);
        g_strfreev(plan->argv);
        g_strfreev(plan->environment);
        g_free(plan->directory);
        g_free(plan->required_file);
        g_free(plan);
        return NULL;
}
