/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Like the options of a start: unknown ones, wrong types, and one that is there twice are refused by name. */

#include "bus/steer-request.h"

#include <string.h>

#include "bus/option.h"
#include "core/sd-autoptr.h"
#include "core/start-options.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/text.h"

/* The name stands between the two parts of the sentence. */
static int refuse_name(sd_bus_error *reterr, const char *before, const char *name, const char *after) {
        _cleanup_free_ char *quoted = text_quote_name(name);

        return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "%s %s%s", before, quoted, after);
}

int stop_request_read(sd_bus_message *message, uint64_t *ret_timeout_usec, sd_bus_error *reterr) {
        uint64_t timeout_usec = TIME_UNSET;
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = option_next(message, &name)) > 0) {
                if (strcmp(name, "TimeoutStopUSec") != 0)
                        return refuse_name(reterr, "Stop has no option", name, ", only TimeoutStopUSec.");
                if (timeout_usec != TIME_UNSET)
                        return option_refuse(reterr, name, "is there twice");
                r = option_enter(message, name, "t", reterr);
                if (r >= 0)
                        r = sd_bus_message_read(message, "t", &timeout_usec);
                if (r >= 0)
                        r = option_check_number(name, timeout_usec, 0, TIMEOUT_MAX_USEC, false, reterr);
                if (r >= 0)
                        r = option_exit(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret_timeout_usec = timeout_usec;
        return sd_bus_message_exit_container(message);
}

static int read_ownership(sd_bus_message *message, const char *name, OwnershipRequest *request, sd_bus_error *reterr) {
        int replace, r;

        if (strcmp(name, "Replace") == 0) {
                r = option_enter(message, name, "b", reterr);
                if (r >= 0)
                        r = sd_bus_message_read(message, "b", &replace);
                request->replace = r >= 0 && replace;
                return r;
        }
        if (strcmp(name, "OwnerName") == 0) {
                r = option_enter(message, name, "s", reterr);
                g_clear_pointer(&request->name, g_free);
                return r < 0 ? r : option_read_line(message, name, &request->name, reterr);
        }
        if (strcmp(name, "OwnerGraceUSec") == 0) {
                r = option_enter(message, name, "t", reterr);
                if (r >= 0)
                        r = sd_bus_message_read(message, "t", &request->grace_usec);
                return r < 0 ? r : option_check_number(name, request->grace_usec, 0, TIMEOUT_MAX_USEC, false, reterr);
        }
        return refuse_name(reterr, "TakeOwnership has no option", name, ", only Replace, OwnerName and OwnerGraceUSec.");
}

int ownership_request_read(sd_bus_message *message, OwnershipRequest *ret, sd_bus_error *reterr) {
        _cleanup_(ownership_request_done) OwnershipRequest request = {.grace_usec = TIME_UNSET};
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = option_next(message, &name)) > 0) {
                r = read_ownership(message, name, &request, reterr);
                if (r >= 0)
                        r = option_exit(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = request;
        request.name = NULL;
        return sd_bus_message_exit_container(message);
}

void ownership_request_done(OwnershipRequest *request) {
        g_clear_pointer(&request->name, g_free);
}

int limits_request_read(sd_bus_message *message, LimitSet *limits, unsigned *ret_keys, sd_bus_error *reterr) {
        unsigned keys = 0;
        const char *name;
        int limit, r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r < 0)
                        return r;
                limit = option_find_limit(name);
                if (limit < 0)
                        return refuse_name(reterr, "There is no limit", name, ".");
                if (keys & (1U << limit))
                        return option_refuse(reterr, limit_key_table[limit].name, "is there twice");
                keys |= 1U << limit;
                r = option_read_limit(message, limit, limits, reterr);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret_keys = keys;
        return sd_bus_message_exit_container(message);
}
