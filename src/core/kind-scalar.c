/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How single values are written: in a kind file, and by a person on a command line. Numbers are strict: no
 * sign where none belongs, nothing behind them, nothing that overflows.
 */

#include "core/kind-scalar.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <glib.h>

#include "core/kind.h"
#include "util/macro.h"

int kind_parse_boolean(const char *text, bool *ret) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                {"yes", true}, {"no", false}, {"true", true}, {"false", false}, {"on", true}, {"off", false}, {"1", true}, {"0", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (g_str_equal(text, words[i].word)) {
                        *ret = words[i].value;
                        return 0;
                }
        return -EINVAL;
}

int kind_parse_integer(const char *text, int64_t *ret) {
        gint64 value;

        if (!g_ascii_string_to_signed(text, 10, INT64_MIN, INT64_MAX, &value, NULL))
                return -EINVAL;
        *ret = value;
        return 0;
}

/* Reads the digits at *text and moves behind them. */
static int read_digits(const char **text, uint64_t *ret) {
        const char *p = *text;
        uint64_t value = 0;

        if (!g_ascii_isdigit(*p))
                return -EINVAL;
        for (; g_ascii_isdigit(*p); p++)
                if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value))
                        return -EINVAL;
        *text = p;
        *ret = value;
        return 0;
}

int kind_parse_size(const char *text, uint64_t *ret) {
        static const char suffixes[] = "KMGT";
        uint64_t value;

        if (g_str_equal(text, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        if (read_digits(&text, &value) < 0)
                return -EINVAL;
        if (*text != '\0') {
                const char *suffix = strchr(suffixes, *text);

                if (!suffix || text[1] != '\0' || __builtin_mul_overflow(value, UINT64_C(1) << (10 * (suffix - suffixes + 1)), &value))
                        return -EINVAL;
        }
        *ret = value;
        return 0;
}

static const struct {
        const char *name;
        uint64_t usec;
} time_units[] = {
        {"us", 1},
        {"usec", 1},
        {"ms", USEC_PER_MSEC},
        {"msec", USEC_PER_MSEC},
        {"s", USEC_PER_SEC},
        {"sec", USEC_PER_SEC},
        {"second", USEC_PER_SEC},
        {"seconds", USEC_PER_SEC},
        {"m", 60 * USEC_PER_SEC},
        {"min", 60 * USEC_PER_SEC},
        {"minute", 60 * USEC_PER_SEC},
        {"minutes", 60 * USEC_PER_SEC},
        {"h", 3600 * USEC_PER_SEC},
        {"hr", 3600 * USEC_PER_SEC},
        {"hour", 3600 * USEC_PER_SEC},
        {"hours", 3600 * USEC_PER_SEC},
        {"d", 24 * 3600 * USEC_PER_SEC},
        {"day", 24 * 3600 * USEC_PER_SEC},
        {"days", 24 * 3600 * USEC_PER_SEC},
        {"w", 7 * 24 * 3600 * USEC_PER_SEC},
        {"week", 7 * 24 * 3600 * USEC_PER_SEC},
        {"weeks", 7 * 24 * 3600 * USEC_PER_SEC},
};

/* A unit at *text; none, at the end of the text, is seconds. */
static int read_time_unit(const char **text, uint64_t *ret) {
        const char *p = *text;
        size_t length;

        for (length = 0; g_ascii_isalpha(p[length]);)
                length++;
        if (length == 0) {
                *ret = USEC_PER_SEC;
                return *p == '\0' ? 0 : -EINVAL;
        }
        for (size_t i = 0; i < ELEMENTSOF(time_units); i++)
                if (strlen(time_units[i].name) == length && strncmp(p, time_units[i].name, length) == 0) {
                        *text = p + length;
                        *ret = time_units[i].usec;
                        return 0;
                }
        return -EINVAL;
}

/* Part of a unit, down to the µs: the digits after the point, at most six. */
static int read_fraction(const char **text, uint64_t *ret_value, uint64_t *ret_scale) {
        const char *start = ++*text;

        if (read_digits(text, ret_value) < 0 || *text - start > 6)
                return -EINVAL;
        *ret_scale = 1;
        for (const char *p = start; p < *text; p++)
                *ret_scale *= 10;
        return 0;
}

int kind_parse_time(const char *text, uint64_t *ret_usec) {
        uint64_t total = 0;

        if (g_str_equal(text, "infinity")) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }

        do {
                uint64_t value, unit, fraction = 0, scale = 1;

                if (read_digits(&text, &value) < 0)
                        return -EINVAL;
                if (*text == '.' && read_fraction(&text, &fraction, &scale) < 0)
                        return -EINVAL;
                while (*text == ' ')
                        text++;
                if (read_time_unit(&text, &unit) < 0)
                        return -EINVAL;
                while (*text == ' ')
                        text++;

                if (__builtin_mul_overflow(value, unit, &value) || __builtin_add_overflow(value, fraction * unit / scale, &value) ||
                    __builtin_add_overflow(total, value, &total))
                        return -EINVAL;
        } while (*text != '\0');

        *ret_usec = total;
        return 0;
}

int kind_parse_percent(const char *text, uint64_t *ret) {
        uint64_t value;

        if (read_digits(&text, &value) < 0 || !g_str_equal(text, "%"))
                return -EINVAL;
        *ret = value;
        return 0;
}

int kind_parse_signal(const char *text, int *ret) {
        if (!g_str_has_prefix(text, "SIG"))
                return -EINVAL;
        for (int number = 1; number < NSIG; number++) {
                const char *name = sigabbrev_np(number);

                if (name && g_str_equal(name, text + 3)) {
                        *ret = number;
                        return 0;
                }
        }
        return -EINVAL;
}

int kind_parse_words(const char *text, char ***ret, char **ret_reason) {
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) words = NULL;
        int n = 0;

        if (!g_shell_parse_argv(text, &n, &words, &error)) {
                if (!g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING)) {
                        *ret_reason = g_strdup("a quotation mark or a backslash has no partner");
                        return -EINVAL;
                }
                words = g_new0(char *, 1);
        }
        if (n > KIND_WORDS_MAX) {
                *ret_reason = g_strdup_printf("more than %d words", KIND_WORDS_MAX);
                return -EINVAL;
        }
        *ret = g_steal_pointer(&words);
        return 0;
}
