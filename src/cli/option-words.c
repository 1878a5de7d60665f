/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See option-words.h. */

#include "cli/option-words.h"

#include <string.h>

/* The entry whose option `word` ("--name", "--name=value") is. */
static const GOptionEntry *find_entry(const GOptionEntry *entries, const char *word) {
        const char *name = word + strlen("--");
        size_t length = strcspn(name, "=");

        for (; entries && entries->long_name; entries++)
                if (strlen(entries->long_name) == length && memcmp(entries->long_name, name, length) == 0)
                        return entries;
        return NULL;
}

static bool takes_next_word(const GOptionEntry *entry, const char *word) {
        return !strchr(word, '=') && entry->arg != G_OPTION_ARG_NONE && !(entry->flags & (G_OPTION_FLAG_NO_ARG | G_OPTION_FLAG_OPTIONAL_ARG));
}

int option_words_take(const GOptionEntry *entries, StartOptions *options, int *argc, char **argv) {
        int kept = 1, i, end;

        for (i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
                const GOptionEntry *entry;

                if (!g_str_has_prefix(argv[i], "--") || strcmp(argv[i], "--help") == 0) {
                        argv[kept++] = argv[i];
                        continue;
                }
                entry = find_entry(entries, argv[i]) ?: find_entry(cli_common_entries(), argv[i]);
                if (!entry)
                        start_options_add_word(options, argv[i]);
                else {
                        bool next = takes_next_word(entry, argv[i]) && i + 1 < *argc;

                        argv[kept++] = argv[i];
                        if (next)
                                argv[kept++] = argv[++i];
                }
        }
        end = kept;
        for (; i < *argc; i++)
                argv[kept++] = argv[i];
        argv[kept] = NULL;
        *argc = kept;
        return end;
}
