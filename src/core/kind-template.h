/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words with specifiers and options in them, read once and expanded for each runtime. Internal to the kind
 * rooms. */

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "core/kind.h"

typedef enum KindPieceType {
        KIND_PIECE_TEXT,
        KIND_PIECE_SPECIFIER,
        KIND_PIECE_OPTION,
} KindPieceType;

typedef struct KindPiece {
        KindPieceType type;
        union {
                char *text;
                char specifier;
                size_t option; /* index into the kind's options */
        };
} KindPiece;

#define KIND_NO_CONDITION SIZE_MAX

typedef struct KindWord {
        size_t condition; /* the option that decides, or KIND_NO_CONDITION */
        GArray *pieces;
} KindWord;

struct KindTemplate {
        GArray *words;
};

const KindPiece *kind_word_piece(const KindWord *word, size_t i);

typedef enum KindTemplateForm {
        KIND_TEMPLATE_EXEC,        /* words; at least one */
        KIND_TEMPLATE_ENVIRONMENT, /* words, each NAME=VALUE */
        KIND_TEMPLATE_DIRECTORY,   /* one absolute path, unquoted */
} KindTemplateForm;

/* What a template may refer to. */
typedef struct KindTemplateScope {
        const KindOption *options;
        size_t n_options;
        bool executable; /* %e is known */
} KindTemplateScope;

/* -EINVAL with a reason. */
int kind_template_parse(KindTemplateForm form, const char *text, const KindTemplateScope *scope, KindTemplate **ret, char **ret_reason);
KindTemplate *kind_template_free(KindTemplate *template);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindTemplate, kind_template_free)
