/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The text of a kind, before it means anything: sections with settings, each with the file and line it came
 * from. Internal to the kind rooms.
 */

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

typedef struct KindSetting {
        char *key;
        char *value; /* empty: as if it weren't set */
        const char *path;
        unsigned line;
} KindSetting;

typedef struct KindSection {
        char *title;         /* what stands between the brackets */
        GPtrArray *settings; /* KindSetting, in the order of the file */
        const char *path;
        unsigned line;
} KindSection;

typedef struct KindFile {
        GPtrArray *sections; /* KindSection, in the order of the file */
        GPtrArray *paths;    /* names of the files, for messages; settings point here */
} KindFile;

KindFile *kind_file_new(void);
KindFile *kind_file_free(KindFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindFile, kind_file_free)

/* Merges a text, or a file, over what is there. After a failure the content is undefined. -EINVAL comes with
 * a problem that names the place; EMFILE, ENFILE and ENOMEM come without. */
int kind_file_merge_text(KindFile *file, const char *path, const char *text, size_t size, char **ret_problem);
int kind_file_merge(KindFile *file, const char *path, bool *ret_masked, char **ret_problem);

/* NULL also for an empty value. */
const KindSetting *kind_section_get(const KindSection *section, const char *key);

/* A path as it can be shown and sent: UTF-8, one line. */
char *kind_display_path(const char *path);

/* A text from a file, cut to a length that fits a message, in quotes. */
char *kind_quote(const char *text);

/* Sets *ret_problem to "FILE:LINE: reason" (line 0: "FILE: reason") and returns -EINVAL. */
int kind_problem(char **ret_problem, const char *path, unsigned line, const char *format, ...) G_GNUC_PRINTF(4, 5);

/* The English words for an error, whatever the locale: they go to the bus. */
const char *kind_strerror(int error);

/* Whether an error is about this process and not about the file. */
bool kind_error_is_shortage(int error);
