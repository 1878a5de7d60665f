/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Checks the regular expression of a `line` handshake.
 *
 * The C library's regcomp() copies what is repeated: "((((a{99}){99}){99}){99})" takes all memory there is,
 * and each nested "+" doubles; the time it takes is cubic in that. So the size is counted before it is compiled.
 * Back references, which POSIX doesn't have in extended expressions, would make matching exponential. What a
 * repetition of a repetition ("a+?") means, POSIX leaves open: refused too.
 */

#include "core/kind-line.h"

#include <errno.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

enum {
        LENGTH_MAX = 512,
        DEPTH_MAX = 32,
        COST_MAX = 512,
};

/* A group being read: the atoms in it so far, and those of its last element, which a repetition copies. */
typedef struct Level {
        uint64_t sum;
        uint64_t last;
} Level;

static void level_add(Level *level, uint64_t cost) {
        level->sum += cost;
        level->last = cost;
}

static bool level_repeat(Level *level, uint64_t times) {
        level->sum += level->last * (times - 1);
        level->last *= times;
        return level->sum <= COST_MAX;
}

/* Behind the bracket expression that starts at p; the end of the text if it is never closed. */
static const char *skip_brackets(const char *p) {
        p++;
        if (*p == '^')
                p++;
        if (*p == ']')
                p++;
        while (*p && *p != ']') {
                if (p[0] == '[' && p[1] != '\0' && strchr(":.=", p[1])) {
                        const char *end = strchr(p + 2, p[1]);

                        while (end && end[1] != ']')
                                end = strchr(end + 1, p[1]);
                        if (end)
                                p = end + 1;
                }
                p++;
        }
        return *p ? p + 1 : p;
}

static const char *read_count(const char *p, uint64_t *count) {
        uint64_t value = 0;

        for (; g_ascii_isdigit(*p); p++)
                value = MIN(value * 10 + (uint64_t) (*p - '0'), COST_MAX + 1);
        *count = MAX(*count, value);
        return p;
}

/* Behind "{n}", "{n,}" or "{n,m}". */
static const char *read_interval(const char *p, uint64_t *ret_times) {
        *ret_times = 1;
        p = read_count(p + 1, ret_times);
        if (*p == ',') {
                /* "at least n" is one more copy, repeated */
                if (p[1] == '}')
                        ++*ret_times;
                p = read_count(p + 1, ret_times);
        }
        return *p == '}' ? p + 1 : p;
}

static int refuse(char **ret_reason, const char *text) {
        *ret_reason = g_strdup(text);
        return -EINVAL;
}

static int check_cost(const char *expression, char **ret_reason) {
        /* A repetition of nothing may stand for itself, and so counts as one. */
        Level levels[DEPTH_MAX + 1] = {{.last = 1}};
        bool repeated = false, fits = true;
        size_t depth = 0;

        for (const char *p = expression; *p && fits;) {
                Level *level = &levels[depth];
                bool repeats = strchr("*?+{", *p) != NULL;
                uint64_t times = 1;

                if (repeats && repeated)
                        return refuse(ret_reason, "a repetition right behind another");
                repeated = repeats;

                switch (*p) {
                case '\\':
                        if (p[1] >= '1' && p[1] <= '9')
                                return refuse(ret_reason, "back references aren't allowed");
                        level_add(level, 1);
                        p += p[1] ? 2 : 1;
                        break;
                case '[':
                        level_add(level, 1);
                        p = skip_brackets(p);
                        break;
                case '(':
                        if (depth == DEPTH_MAX)
                                return refuse(ret_reason, "too many nested parentheses");
                        levels[++depth] = (Level){.sum = 1, .last = 1};
                        p++;
                        break;
                case ')':
                        if (depth > 0)
                                level_add(&levels[--depth], level->sum);
                        else
                                level_add(level, 1); /* stands for itself */
                        p++;
                        break;
                case '*':
                case '?':
                        p++;
                        break;
                case '+':
                        fits = level_repeat(level, 2);
                        p++;
                        break;
                case '{':
                        p = read_interval(p, &times);
                        fits = level_repeat(level, times);
                        break;
                default:
                        level_add(level, 1);
                        p++;
                }
                fits = fits && levels[depth].sum <= COST_MAX;
        }
        return fits ? 0 : refuse(ret_reason, "too many repetitions in the regular expression");
}

int kind_line_check(const char *expression, char **ret_reason) {
        char text[256];
        regex_t regex;
        int r;

        if (strlen(expression) > LENGTH_MAX) {
                *ret_reason = g_strdup_printf("regular expression longer than %d bytes", LENGTH_MAX);
                return -EINVAL;
        }
        r = check_cost(expression, ret_reason);
        if (r < 0)
                return r;

        r = regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB);
        if (r != 0) {
                (void) regerror(r, &regex, text, sizeof(text));
                *ret_reason = g_strdup_printf("not a regular expression: %s", text);
                return -EINVAL;
        }
        regfree(&regex);
        return 0;
}
