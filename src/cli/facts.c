/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See facts.h. */

#include "cli/facts.h"

#include <string.h>
#include <time.h>

#include <glib.h>

#include "cli/format.h"
#include "util/macro.h"

uint64_t facts_usec_until(uint64_t monotonic_usec) {
        struct timespec now;
        uint64_t now_usec;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        now_usec = (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
        return monotonic_usec > now_usec ? monotonic_usec - now_usec : 0;
}

/* What is infinite is null there. */
static uint64_t number_from_json(const json_t *value) {
        return json_is_integer(value) ? (uint64_t) json_integer_value(value) : UINT64_MAX;
}

static char *format_limit(const char *key, const json_t *value) {
        char buffer[G_ASCII_DTOSTR_BUF_SIZE];
        uint64_t number = number_from_json(value);
        g_autofree char *amount = g_str_has_prefix(key, "Memory") ? format_size(number)
                                  : number == UINT64_MAX          ? g_strdup("infinity")
                                                                  : g_strdup_printf("%" G_GUINT64_FORMAT, number);

        /* As it was asked for, and as systemctl shows it. */
        if (g_str_equal(key, "CPUQuotaPerSecUSec") && number != UINT64_MAX)
                return g_strdup_printf("CPUQuota=%s%%", g_ascii_formatd(buffer, sizeof(buffer), "%g", (double) number / (double) (USEC_PER_SEC / 100)));
        return g_strdup_printf("%s=%s", key, amount);
}

char *facts_limits(const json_t *limits) {
        GString *text = g_string_new(NULL);
        const char *key;
        json_t *value;

        json_object_foreach((json_t *) limits, key, value) {
                g_autofree char *limit = format_limit(key, value);

                g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", limit);
        }
        return g_string_free(text, FALSE);
}

char *facts_property(const char *name, const json_t *value) {
        uint64_t number = number_from_json(value);

        if (strcmp(name, "Limits") == 0) {
                g_autofree char *limits = facts_limits(value);

                return g_strdup_printf("{%s}", limits);
        }
        if (strcmp(name, "Deadline") == 0)
                return number == UINT64_MAX ? g_strdup("infinity") : format_timestamp((uint64_t) g_get_real_time() + facts_usec_until(number));
        if (g_str_has_suffix(name, "Timestamp") && json_is_integer(value))
                return format_timestamp(number);
        return NULL;
}
