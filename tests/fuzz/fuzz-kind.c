/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A kind file of any content, and, behind a line "---", a drop-in: reading it must never do worse than refuse, and what is taken must expand to
 * something that respects the limits. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "core/kind-file.h"
#include "core/kind-parse.h"
#include "core/kind.h"
#include "util/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_value(GHashTable *values, const KindOption *option) {
        static const char *const texts[_KIND_OPTION_TYPE_MAX] = {
                [KIND_OPTION_STRING] = "a ${b} %h", [KIND_OPTION_STRINGS] = "a '' 'b c'", [KIND_OPTION_BOOLEAN] = "yes",  [KIND_OPTION_INTEGER] = "-1",
                [KIND_OPTION_SIZE] = "64K",         [KIND_OPTION_TIME] = "1min 30s",      [KIND_OPTION_PATH] = "/a/path",
        };
        g_autoptr(KindValue) value = NULL;
        g_autofree char *problem = NULL;

        if (kind_value_parse(option->type, texts[option->type], &value, &problem) < 0)
                abort();
        if (kind_option_check(option, value, &problem) >= 0)
                g_hash_table_replace(values, g_strdup(option->name), g_steal_pointer(&value));
}

static void expand(const Kind *kind, GHashTable *values) {
        const KindContext context = {
                .id = "abc",
                .runtime_dir = "/run/rm/abc",
                .home = "/home/me",
                .user = "me",
                .uid = 1000,
                .host = "box",
                .executable = "/usr/bin/prog",
                .values = values,
        };
        g_autoptr(KindPlan) plan = NULL;
        g_autofree char *problem = NULL;
        size_t total = 0;

        if (kind_expand(kind, &context, &plan, &problem) < 0) {
                if (!problem || plan)
                        abort();
                return;
        }
        if (problem || (kind->exec && (!plan->argv || !plan->argv[0][0])))
                abort();
        for (size_t i = 0; plan->argv && plan->argv[i]; i++)
                total += strlen(plan->argv[i]) + 1;
        for (size_t i = 0; plan->environment[i]; i++) {
                total += strlen(plan->environment[i]) + 1;
                if (!strchr(plan->environment[i], '='))
                        abort();
        }
        if (total > LIMIT_COMMAND || (plan->directory && plan->directory[0] != '/'))
                abort();
}

static int read_texts(KindFile *file, const char *text, size_t size, char **ret_problem) {
        static const char separator[] = "\n---\n";
        const char *dropin = memmem(text, size, separator, strlen(separator));
        int r;

        r = kind_file_merge_text(file, "/kinds/x.kind", text, dropin ? (size_t) (dropin - text) : size, ret_problem);
        if (r < 0 || !dropin)
                return r;
        dropin += strlen(separator);
        return kind_file_merge_text(file, "/kinds/x.kind.d/a.conf", dropin, size - (size_t) (dropin - text), ret_problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const reserved[] = {"Command", NULL};
        g_autoptr(KindFile) file = kind_file_new();
        g_autoptr(Kind) kind = NULL;
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(GPtrArray) more_problems = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *problem = NULL;
        int r;

        r = read_texts(file, (const char *) data, size, &problem);
        if (r >= 0)
                r = kind_parse("x", "/kinds/x.kind", file, reserved, &kind, &problem, more_problems);
        if (r < 0) {
                /* what is wrong is said, each in one line that D-Bus takes */
                if (!problem || kind || more_problems->len > KIND_MORE_PROBLEMS_MAX)
                        abort();
                g_ptr_array_add(more_problems, g_steal_pointer(&problem));
                for (size_t i = 0; i < more_problems->len; i++)
                        if (strchr(more_problems->pdata[i], '\n') || !g_utf8_validate(more_problems->pdata[i], -1, NULL))
                                abort();
                return 0;
        }

        expand(kind, NULL);
        for (size_t i = 0; i < kind->n_options; i++)
                add_value(values, &kind->options[i]);
        expand(kind, values);
        return 0;
}
