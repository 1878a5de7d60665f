/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each refusal names the option and says what would be right. */

#include "bus/option.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/text.h"

int option_refuse(sd_bus_error *reterr, const char *option, const char *problem) {
        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The option %s %s.", option, problem);
}

int option_refuse_size(sd_bus_error *reterr, const char *option, const char *what, size_t most) {
        return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "The option %s has too many or too long %s; the most is %zu.", option, what, most);
}

int option_check_number(const char *name, uint64_t value, uint64_t min, uint64_t max, bool infinity, sd_bus_error *reterr) {
        if ((infinity && value == UINT64_MAX) || (value >= min && value <= max))
                return 0;
        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The option %s must be from %" PRIu64 " to %" PRIu64 "%s, not %" PRIu64 ".", name, min, max,
                                 infinity ? " or infinity" : "", value);
}

/* One line of text for people. */
int option_read_line(sd_bus_message *message, const char *name, char **ret, sd_bus_error *reterr) {
        _cleanup_free_ char *line = NULL;
        const char *text;
        int r;

        r = sd_bus_message_read(message, "s", &text);
        if (r < 0)
                return r;
        if (strlen(text) > LIMIT_DESCRIPTION)
                return option_refuse_size(reterr, name, "bytes", LIMIT_DESCRIPTION);
        for (const char *c = text; *c; c = g_utf8_next_char(c)) {
                gunichar character = g_utf8_get_char(c);

                if (g_unichar_iscntrl(character) || character == 0x2028 || character == 0x2029)
                        return option_refuse(reterr, name, "must be one line without control characters");
        }
        line = text_one_line(text, LIMIT_DESCRIPTION);
        if (!line)
                return -ENOMEM;
        *ret = g_strdup(line);
        return 0;
}

int option_enter(sd_bus_message *message, const char *name, const char *signature, sd_bus_error *reterr) {
        const char *contents;
        int r;

        r = sd_bus_message_peek_type(message, NULL, &contents);
        if (r < 0)
                return r;
        if (strcmp(contents, signature) != 0)
                return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The option %s must have the type \"%s\", not \"%s\".", name, signature, contents);
        return sd_bus_message_enter_container(message, 'v', signature);
}

int option_find_limit(const char *name) {
        for (int i = 0; i < _LIMIT_KEY_MAX; i++)
                if (strcmp(limit_key_table[i].name, name) == 0)
                        return i;
        return -ENOENT;
}

int option_read_limit(sd_bus_message *message, int key, LimitSet *limits, sd_bus_error *reterr) {
        const LimitKeyInfo *info = &limit_key_table[key];
        uint64_t value;
        int r;

        r = option_enter(message, info->name, "t", reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(message, "t", &value);
        if (r < 0)
                return r;
        r = option_check_number(info->name, value, info->min, info->max, true, reterr);
        if (r < 0)
                return r;
        limits->value[key] = value;
        return sd_bus_message_exit_container(message);
}

/* Enters the next entry of a{sv} and reads its name; 0 at the end. */
int option_next(sd_bus_message *message, const char **ret_name) {
        int r;

        r = sd_bus_message_enter_container(message, 'e', "sv");
        return r <= 0 ? r : sd_bus_message_read(message, "s", ret_name);
}

int option_exit(sd_bus_message *message) {
        int r;

        r = sd_bus_message_exit_container(message);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}
