/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads single settings of a kind file into the fields they are for. Each says in one sentence what it takes;
 * where the mistake stands is added by the caller.
 */

#include "core/kind-setting.h"

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "core/kind-line.h"
#include "core/kind-scalar.h"
#include "core/kind-template.h"
#include "util/macro.h"

enum {
        TEXT_MAX = 1024,
        MESSAGE_MAX = 64,
        CPU_QUOTA_MAX = 1000 * 1000, /* percent: ten thousand processors */
        WEIGHT_MAX = 10000,
};

static const char *const handshake_types[_KIND_HANDSHAKE_TYPE_MAX] = {
        [KIND_HANDSHAKE_EXEC] = "exec",
        [KIND_HANDSHAKE_LINE] = "line",
        [KIND_HANDSHAKE_NOTIFY] = "notify",
        [KIND_HANDSHAKE_PROTOCOL] = "protocol",
};

static const char *const transports[_KIND_TRANSPORT_MAX] = {
        [KIND_TRANSPORT_SOCKET] = "socket",
        [KIND_TRANSPORT_PIPES] = "pipes",
};

const char *kind_handshake_type_to_string(KindHandshakeType type) {
        return type < _KIND_HANDSHAKE_TYPE_MAX ? handshake_types[type] : NULL;
}

const char *kind_transport_to_string(KindTransport transport) {
        return transport < _KIND_TRANSPORT_MAX ? transports[transport] : NULL;
}

static int reason(char **ret_reason, const char *text) {
        *ret_reason = g_strdup(text);
        return -EINVAL;
}

int kind_setting_text(const Kind *kind, const char *text, void *field, char **ret_reason) {
        if (strlen(text) > TEXT_MAX)
                return reason(ret_reason, "longer than 1024 bytes");
        *(char **) field = g_strdup(text);
        return 0;
}

int kind_setting_executable(const Kind *kind, const char *text, void *field, char **ret_reason) {
        if (strchr(text, '/') && !g_path_is_absolute(text))
                return reason(ret_reason, "neither a name to look up in PATH nor an absolute path");
        return kind_setting_text(kind, text, field, ret_reason);
}

static int parse_template(const Kind *kind, KindTemplateForm form, const char *text, void *field, char **ret_reason) {
        const KindTemplateScope scope = {
                .options = kind->options,
                .n_options = kind->n_options,
                .executable = kind->executable != NULL,
        };

        return kind_template_parse(form, text, &scope, field, ret_reason);
}

int kind_setting_exec(const Kind *kind, const char *text, void *field, char **ret_reason) {
        return parse_template(kind, KIND_TEMPLATE_EXEC, text, field, ret_reason);
}

int kind_setting_environment(const Kind *kind, const char *text, void *field, char **ret_reason) {
        return parse_template(kind, KIND_TEMPLATE_ENVIRONMENT, text, field, ret_reason);
}

int kind_setting_directory(const Kind *kind, const char *text, void *field, char **ret_reason) {
        return parse_template(kind, KIND_TEMPLATE_DIRECTORY, text, field, ret_reason);
}

int kind_setting_boolean(const Kind *kind, const char *text, void *field, char **ret_reason) {
        if (kind_parse_boolean(text, field) < 0)
                return reason(ret_reason, "must be yes or no");
        return 0;
}

static int parse_word(const char *const *words, size_t n, const char *text, unsigned *field, char **ret_reason) {
        g_autoptr(GString) all = NULL;

        for (size_t i = 0; i < n; i++)
                if (g_str_equal(words[i], text)) {
                        *field = (unsigned) i;
                        return 0;
                }
        all = g_string_new("must be one of ");
        for (size_t i = 0; i < n; i++)
                g_string_append_printf(all, "%s%s", i > 0 ? ", " : "", words[i]);
        return reason(ret_reason, all->str);
}

int kind_setting_option_type(const Kind *kind, const char *text, void *field, char **ret_reason) {
        const char *names[_KIND_OPTION_TYPE_MAX];

        for (unsigned i = 0; i < ELEMENTSOF(names); i++)
                names[i] = kind_option_type_to_string(i);
        return parse_word(names, ELEMENTSOF(names), text, field, ret_reason);
}

int kind_setting_handshake_type(const Kind *kind, const char *text, void *field, char **ret_reason) {
        return parse_word(handshake_types, ELEMENTSOF(handshake_types), text, field, ret_reason);
}

int kind_setting_transport(const Kind *kind, const char *text, void *field, char **ret_reason) {
        return parse_word(transports, ELEMENTSOF(transports), text, field, ret_reason);
}

int kind_setting_line(const Kind *kind, const char *text, void *field, char **ret_reason) {
        int r;

        r = kind_line_check(text, ret_reason);
        if (r < 0)
                return r;
        return kind_setting_text(kind, text, field, ret_reason);
}

int kind_setting_timeout(const Kind *kind, const char *text, void *field, char **ret_reason) {
        uint64_t usec;

        if (kind_parse_time(text, &usec) < 0 || usec == 0 || usec == USEC_INFINITY)
                return reason(ret_reason, "must be a time, like 10s, neither 0 nor infinity");
        *(uint64_t *) field = usec;
        return 0;
}

/* For limits: infinity is what isn't limited. */
int kind_setting_time(const Kind *kind, const char *text, void *field, char **ret_reason) {
        uint64_t usec;

        if (kind_parse_time(text, &usec) < 0 || usec == 0)
                return reason(ret_reason, "must be a time, like 10s or infinity, not 0");
        *(uint64_t *) field = usec;
        return 0;
}

int kind_setting_size(const Kind *kind, const char *text, void *field, char **ret_reason) {
        uint64_t size;

        if (kind_parse_size(text, &size) < 0 || size == 0)
                return reason(ret_reason, "must be a size, like 512M or infinity, not 0");
        *(uint64_t *) field = size;
        return 0;
}

int kind_setting_quota(const Kind *kind, const char *text, void *field, char **ret_reason) {
        uint64_t percent;

        if (kind_parse_percent(text, &percent) < 0 || percent == 0 || percent > CPU_QUOTA_MAX)
                return reason(ret_reason, "must be a percentage of one processor, like 50% or 200%");
        *(uint64_t *) field = percent * (USEC_PER_SEC / 100);
        return 0;
}

int kind_setting_weight(const Kind *kind, const char *text, void *field, char **ret_reason) {
        int64_t weight;

        if (kind_parse_integer(text, &weight) < 0 || weight < 1 || weight > WEIGHT_MAX)
                return reason(ret_reason, "must be a number from 1 to 10000");
        *(uint64_t *) field = (uint64_t) weight;
        return 0;
}

int kind_setting_tasks(const Kind *kind, const char *text, void *field, char **ret_reason) {
        int64_t tasks;

        if (g_str_equal(text, "infinity")) {
                *(uint64_t *) field = KIND_UNSET;
                return 0;
        }
        if (kind_parse_integer(text, &tasks) < 0 || tasks < 1)
                return reason(ret_reason, "must be a number from 1, or infinity");
        *(uint64_t *) field = (uint64_t) tasks;
        return 0;
}

int kind_setting_signal(const Kind *kind, const char *text, void *field, char **ret_reason) {
        if (kind_parse_signal(text, field) < 0)
                return reason(ret_reason, "must be the name of a signal, like SIGINT");
        return 0;
}

int kind_setting_message(const Kind *kind, const char *text, void *field, char **ret_reason) {
        size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

        if (!g_ascii_islower(text[0]) || text[length] != '\0' || length > 64)
                return reason(ret_reason, "must be the name of a message: a-z, 0-9 and _, at most 64");
        return kind_setting_text(kind, text, field, ret_reason);
}
