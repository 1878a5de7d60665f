/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Words with holes. A word is split into pieces when the kind is loaded, so that every mistake in it is found
 * then, by line, and not when a runtime is started.
 *
 *   %e %h %H %i %t %u %U %Y     specifiers; %% is a percent sign
 *   ${Option}                   the value of an option, "" when it is unset; a word that is nothing else
 *                               disappears when it is unset, and becomes zero or more words for a list
 *   ${Option?rest of the word}  the whole word is there only if a boolean is true, a list has an entry,
 *                               another option has a value
 *   $${                         the characters "${"; any other "$" stands for itself, for the shells' sake
 *
 * What an option holds is never read again for holes, and never split: a client's value can't become more
 * words than the kind's author gave it. The holes are filled in kind-expand.c.
 */

#include "core/kind-template.h"

#include <errno.h>
#include <string.h>

#include "core/kind-file.h"
#include "core/kind-scalar.h"

static const char specifiers[] = "ehHituUY";

static void piece_clear(void *p) {
        KindPiece *piece = p;

        if (piece->type == KIND_PIECE_TEXT)
                g_free(piece->text);
}

static void word_clear(void *p) {
        KindWord *word = p;

        g_array_unref(word->pieces);
}

KindTemplate *kind_template_free(KindTemplate *template) {
        if (!template)
                return NULL;

        g_array_unref(template->words);
        g_free(template);
        return NULL;
}

const KindPiece *kind_word_piece(const KindWord *word, size_t i) {
        return &g_array_index(word->pieces, KindPiece, i);
}

/* The reader of one word. */
typedef struct Reader {
        KindTemplateForm form;
        const KindTemplateScope *scope;
        KindWord *word;
        GString *text; /* since the last hole */
        char **ret_reason;
} Reader;

static void reader_flush(Reader *reader) {
        KindPiece piece = {.type = KIND_PIECE_TEXT};

        if (reader->text->len == 0)
                return;
        piece.text = g_strndup(reader->text->str, reader->text->len);
        g_array_append_val(reader->word->pieces, piece);
        g_string_truncate(reader->text, 0);
}

static void reader_push(Reader *reader, KindPiece piece) {
        reader_flush(reader);
        g_array_append_val(reader->word->pieces, piece);
}

static int reader_find_option(Reader *reader, const char *name, size_t length, size_t *ret) {
        const KindTemplateScope *scope = reader->scope;
        g_autofree char *copy = g_strndup(name, length), *quoted = NULL;

        for (size_t i = 0; i < scope->n_options; i++)
                if (g_str_equal(scope->options[i].name, copy)) {
                        *ret = i;
                        return 0;
                }
        quoted = kind_quote(copy);
        *reader->ret_reason = g_strdup_printf("there is no [Option] named %s", quoted);
        return -EINVAL;
}

/* At a '%'. */
static int reader_read_specifier(Reader *reader, const char **p) {
        char c = (*p)[1];

        if (c == '%') {
                g_string_append_c(reader->text, '%');
                *p += 2;
                return 0;
        }
        if (c == '\0' || !strchr(specifiers, c)) {
                g_autofree char *name = c ? g_strndup(*p, (size_t) (g_utf8_next_char(*p + 1) - *p)) : g_strdup("%");

                *reader->ret_reason = g_strdup_printf("unknown specifier \"%s\" (a percent sign is written %%%%)", name);
                return -EINVAL;
        }
        if (c == 'e' && reader->form != KIND_TEMPLATE_EXEC) {
                /* The executable is looked up in the PATH that the environment says. */
                *reader->ret_reason = g_strdup("%e can be used in Exec only");
                return -EINVAL;
        }
        if (c == 'e' && !reader->scope->executable) {
                *reader->ret_reason = g_strdup("%e needs an Executable in [Kind]");
                return -EINVAL;
        }
        reader_push(reader, (KindPiece){.type = KIND_PIECE_SPECIFIER, .specifier = c});
        *p += 2;
        return 0;
}

/* At a "${". */
static int reader_read_option(Reader *reader, const char **p) {
        const char *name = *p + 2, *end = name + strcspn(name, "}?");
        KindPiece piece = {.type = KIND_PIECE_OPTION};
        int r;

        if (*end == '\0') {
                *reader->ret_reason = g_strdup("\"${\" without \"}\" (to mean these characters, write \"$${\")");
                return -EINVAL;
        }
        if (*end == '?') {
                *reader->ret_reason = g_strdup("\"${Option?\" must begin a word, and its \"}\" must end it");
                return -EINVAL;
        }
        r = reader_find_option(reader, name, (size_t) (end - name), &piece.option);
        if (r < 0)
                return r;
        reader_push(reader, piece);
        *p = end + 1;
        return 0;
}

static int reader_read_pieces(Reader *reader, const char *p) {
        int r;

        while (*p) {
                if (*p == '%')
                        r = reader_read_specifier(reader, &p);
                else if (g_str_has_prefix(p, "${"))
                        r = reader_read_option(reader, &p);
                else {
                        /* "$${": the first "$" only keeps the second from being special */
                        size_t n = g_str_has_prefix(p, "$${") ? 3 : 1;

                        g_string_append_len(reader->text, n == 3 ? p + 1 : p, n == 3 ? 2 : 1);
                        p += n;
                        r = 0;
                }
                if (r < 0)
                        return r;
        }
        reader_flush(reader);
        return 0;
}

/* A list can't be part of a word. */
static int reader_check_lists(Reader *reader) {
        const KindWord *word = reader->word;

        if (word->pieces->len == 1 && reader->form == KIND_TEMPLATE_EXEC)
                return 0;
        for (size_t i = 0; i < word->pieces->len; i++) {
                const KindPiece *piece = kind_word_piece(word, i);
                const KindOption *option;

                if (piece->type != KIND_PIECE_OPTION)
                        continue;
                option = &reader->scope->options[piece->option];
                if (option->type == KIND_OPTION_STRINGS) {
                        *reader->ret_reason = g_strdup_printf("the list ${%s} can only be a whole word of an Exec", option->name);
                        return -EINVAL;
                }
        }
        return 0;
}

/* The name must stand there as text: what a variable is called is never a client's to say. */
static bool begins_with_assignment(const KindWord *word) {
        const char *p;

        if (word->pieces->len == 0 || kind_word_piece(word, 0)->type != KIND_PIECE_TEXT)
                return false;
        p = kind_word_piece(word, 0)->text;
        if (!g_ascii_isalpha(*p) && *p != '_')
                return false;
        while (g_ascii_isalnum(*p) || *p == '_')
                p++;
        return *p == '=';
}

/* A path that can't but be absolute, as far as it can be told without the values. */
static bool begins_with_root(const KindWord *word, const KindTemplateScope *scope) {
        const KindPiece *piece;

        if (word->pieces->len == 0)
                return false;
        piece = kind_word_piece(word, 0);
        switch (piece->type) {
        case KIND_PIECE_TEXT:
                return piece->text[0] == '/';
        case KIND_PIECE_SPECIFIER:
                return strchr("htY", piece->specifier) != NULL;
        case KIND_PIECE_OPTION:
                return scope->options[piece->option].type == KIND_OPTION_PATH;
        }
        return false;
}

static int reader_check(Reader *reader) {
        int r;

        r = reader_check_lists(reader);
        if (r < 0)
                return r;
        if (reader->form == KIND_TEMPLATE_ENVIRONMENT && !begins_with_assignment(reader->word)) {
                *reader->ret_reason = g_strdup("each word must be NAME=VALUE");
                return -EINVAL;
        }
        if (reader->form == KIND_TEMPLATE_DIRECTORY && !begins_with_root(reader->word, reader->scope)) {
                *reader->ret_reason = g_strdup("must begin with /, %h, %t, %Y or an option of type path");
                return -EINVAL;
        }
        return 0;
}

/* "${Option?rest}": sets the condition, and *ret_rest to what the word is then. 0 for any other word. */
static int reader_read_condition(Reader *reader, const char *text, char **ret_rest) {
        size_t length = strlen(text), name;
        int r;

        if (reader->form == KIND_TEMPLATE_DIRECTORY || !g_str_has_prefix(text, "${"))
                return 0;
        name = strcspn(text + 2, "}?");
        if (text[2 + name] != '?' || text[length - 1] != '}')
                return 0;
        r = reader_find_option(reader, text + 2, name, &reader->word->condition);
        if (r < 0)
                return r;
        *ret_rest = g_strndup(text + 2 + name + 1, length - name - 4);
        return 1;
}

static int template_add_word(KindTemplate *template, Reader *reader, const char *text) {
        g_autoptr(GString) buffer = g_string_new(NULL);
        g_autofree char *rest = NULL;
        KindWord word = {.condition = KIND_NO_CONDITION, .pieces = g_array_new(FALSE, FALSE, sizeof(KindPiece))};
        int r;

        /* The template owns the word from here on, whatever comes. */
        g_array_set_clear_func(word.pieces, piece_clear);
        g_array_append_val(template->words, word);
        reader->word = &g_array_index(template->words, KindWord, template->words->len - 1);
        reader->text = buffer;

        r = reader_read_condition(reader, text, &rest);
        if (r < 0)
                return r;
        r = reader_read_pieces(reader, rest ?: text);
        if (r < 0)
                return r;
        return reader_check(reader);
}

int kind_template_parse(KindTemplateForm form, const char *text, const KindTemplateScope *scope, KindTemplate **ret, char **ret_reason) {
        g_autoptr(KindTemplate) template = g_new0(KindTemplate, 1);
        Reader reader = {.form = form, .scope = scope, .ret_reason = ret_reason};
        g_auto(GStrv) words = NULL;
        int r;

        template->words = g_array_new(FALSE, FALSE, sizeof(KindWord));
        g_array_set_clear_func(template->words, word_clear);

        if (form == KIND_TEMPLATE_DIRECTORY) {
                words = g_new0(char *, 2);
                words[0] = g_strdup(text);
        } else {
                r = kind_parse_words(text, &words, ret_reason);
                if (r < 0)
                        return r;
        }
        if (!words[0]) {
                *ret_reason = g_strdup("no words");
                return -EINVAL;
        }
        for (char **word = words; *word; word++) {
                r = template_add_word(template, &reader, *word);
                if (r < 0)
                        return r;
        }
        *ret = g_steal_pointer(&template);
        return 0;
}
