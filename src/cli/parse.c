/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See parse.h. Whole numbers are read as such and never pass through a double: the largest sizes must stay exact. */

#include "cli/parse.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <glib.h>

#include "cli/cli.h"
#include "util/macro.h"

bool parse_u64(const char *text, uint64_t *ret) {
        return g_ascii_string_to_unsigned(text, 10, 0, UINT64_MAX, ret, NULL);
}

bool parse_i64(const char *text, int64_t *ret) {
        return g_ascii_string_to_signed(text, 10, INT64_MIN, INT64_MAX, ret, NULL);
}

/* A number that counts `unit`s, at the beginning of the text. */
static bool scan_scaled(const char *text, const char *digits_end, uint64_t unit, uint64_t *ret) {
        g_autofree char *digits = g_strndup(text, (size_t) (digits_end - text));
        uint64_t whole;
        double value;
        char *end;

        if (parse_u64(digits, &whole)) {
                if (__builtin_mul_overflow(whole, unit, ret))
                        return false;
                return *ret != UINT64_MAX;
        }
        value = g_ascii_strtod(digits, &end);
        if (*end != '\0' || end == digits || !isfinite(value) || value < 0)
                return false;
        value = round(value * (double) unit);
        if (value >= 0x1p63)
                return false;
        *ret = (uint64_t) value;
        return true;
}

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

static const Unit *find_unit(const Unit *units, const char *name, size_t length) {
        for (; units->name; units++)
                if (strlen(units->name) == length && memcmp(units->name, name, length) == 0)
                        return units;
        return NULL;
}

bool parse_time(const char *text, uint64_t unit_usec, uint64_t *ret_usec) {
        static const Unit units[] = {
                {"us", 1},
                {"usec", 1},
                {"µs", 1},
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
                {"d", 86400 * USEC_PER_SEC},
                {"day", 86400 * USEC_PER_SEC},
                {"days", 86400 * USEC_PER_SEC},
                {"w", 7 * 86400 * USEC_PER_SEC},
                {"week", 7 * 86400 * USEC_PER_SEC},
                {"weeks", 7 * 86400 * USEC_PER_SEC},
                {NULL, 0},
        };
        uint64_t sum = 0;
        bool any = false;

        if (strcmp(text, "infinity") == 0) {
                *ret_usec = USEC_INFINITY;
                return true;
        }
        for (;;) {
                const char *number, *name;
                uint64_t factor = unit_usec, part;
                size_t length;

                text += strspn(text, " ");
                if (*text == '\0')
                        break;
                number = text;
                name = number + strspn(number, "0123456789.");
                text = name + strspn(name, " ");
                length = strcspn(text, "0123456789. ");
                if (length > 0) {
                        const Unit *unit = find_unit(units, text, length);

                        if (!unit)
                                return false;
                        factor = unit->factor;
                        text += length;
                }
                if (factor == 0 || !scan_scaled(number, name, factor, &part) || __builtin_add_overflow(sum, part, &sum))
                        return false;
                any = true;
        }
        *ret_usec = sum;
        return any;
}

/* Cuts the word at the end off, if it is this one. */
static bool cut_word(char *text, const char *word) {
        size_t length = strlen(text), n = strlen(word);

        if (length <= n + 1 || text[length - n - 1] != ' ' || strcmp(text + length - n, word) != 0)
                return false;
        text[length - n - 1] = '\0';
        return true;
}

static bool parse_date(const char *written, uint64_t *ret_usec) {
        static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M", "today", "yesterday"};
        time_t now = time(NULL), result;
        struct tm today = {};
        g_autofree char *text = g_strdup(written), *rest = NULL;
        bool utc = cut_word(text, "UTC");

        if (utc)
                (void) gmtime_r(&now, &today);
        else {
                (void) localtime_r(&now, &today);
                /* As times are shown: "Sun 2026-11-22 08:15:30 CET". */
                (void) cut_word(text, today.tm_zone);
        }
        today.tm_hour = today.tm_min = today.tm_sec = 0;
        today.tm_isdst = -1;
        /* The name of the day says nothing that the date doesn't. */
        rest = g_strdup(g_ascii_isalpha(text[0]) && strcspn(text, " ") == 3 ? text + 3 + strspn(text + 3, " ") : text);
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                struct tm tm = today;
                const char *end = strptime(rest, formats[i], &tm);

                if (!end || *end)
                        continue;
                if (strcmp(formats[i], "yesterday") == 0)
                        tm.tm_mday--;
                result = utc ? timegm(&tm) : mktime(&tm);
                *ret_usec = (uint64_t) result * USEC_PER_SEC;
                return result >= 0;
        }
        return false;
}

bool parse_past(const char *text, uint64_t *ret_usec) {
        uint64_t now = (uint64_t) g_get_real_time(), span;
        g_autofree char *ago = g_str_has_suffix(text, " ago") ? g_strndup(text, strlen(text) - strlen(" ago")) : *text == '-' ? g_strdup(text + 1) : NULL;

        if (strcmp(text, "now") == 0) {
                *ret_usec = now;
                return true;
        }
        if (*text == '@')
                return parse_time(text + 1, USEC_PER_SEC, ret_usec);
        if (!ago)
                return parse_date(text, ret_usec);
        if (!parse_time(ago, 0, &span))
                return false;
        *ret_usec = now - MIN(span, now);
        return true;
}

bool parse_size(const char *text, uint64_t *ret_bytes) {
        static const Unit units[] = {
                {"", 1},
                {"B", 1},
                {"K", UINT64_C(1) << 10},
                {"M", UINT64_C(1) << 20},
                {"G", UINT64_C(1) << 30},
                {"T", UINT64_C(1) << 40},
                {"P", UINT64_C(1) << 50},
                {NULL, 0},
        };
        const char *name = text + strspn(text, "0123456789.");
        const Unit *unit = find_unit(units, name, strlen(name));

        if (strcmp(text, "infinity") == 0) {
                *ret_bytes = UINT64_MAX;
                return true;
        }
        return unit && scan_scaled(text, name, unit->factor, ret_bytes);
}

bool parse_percent(const char *text, uint64_t *ret_usec) {
        size_t length = strlen(text);

        return length > 1 && text[length - 1] == '%' && scan_scaled(text, text + length - 1, USEC_PER_SEC / 100, ret_usec);
}

bool parse_boolean(const char *text, bool *ret) {
        static const char *const words[][5] = {
                {"false", "no", "off", "0", NULL},
                {"true", "yes", "on", "1", NULL},
        };

        for (unsigned i = 0; i < ELEMENTSOF(words); i++)
                if (g_strv_contains(words[i], text)) {
                        *ret = i;
                        return true;
                }
        return false;
}

bool parse_signal(const char *text, int *ret_signal) {
        const char *name = g_str_has_prefix(text, "SIG") ? text + 3 : text;
        uint64_t number;

        if (parse_u64(text, &number)) {
                *ret_signal = (int) number;
                return number >= 1 && number <= 64;
        }
        if (g_str_has_prefix(name, "RTMIN+") && parse_u64(name + strlen("RTMIN+"), &number) && number <= (uint64_t) (SIGRTMAX - SIGRTMIN)) {
                *ret_signal = SIGRTMIN + (int) number;
                return true;
        }
        for (int i = 1; i < SIGRTMIN; i++) {
                const char *known = sigabbrev_np(i);

                if (known && strcmp(known, name) == 0) {
                        *ret_signal = i;
                        return true;
                }
        }
        return false;
}

char *signal_name(int signal) {
        const char *known = signal > 0 && signal < SIGRTMIN ? sigabbrev_np(signal) : NULL;

        return known ? g_strdup_printf("SIG%s", known) : g_strdup_printf(_("signal %d"), signal);
}
