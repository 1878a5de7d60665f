/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See kinds.h. */

#include "cli/kinds.h"

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/hints.h"
#include "cli/json.h"
#include "util/names.h"

static json_t *object_from_option(const json_t *option) {
        static const char *const keys[] = {"Name", "Type", "Description", "Required", "Default", "Values"};
        json_t *object = json_object();

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                (void) json_object_set(object, keys[i], json_array_get(option, i));
        return object;
}

static json_t *object_from_kind(const json_t *entry) {
        json_t *object = json_object(), *options = json_array();
        const json_t *option;
        size_t i;

        (void) json_object_set(object, "Name", json_array_get(entry, 0));
        (void) json_object_update(object, json_array_get(entry, 1));
        json_array_foreach(json_object_get(object, "Options"), i, option)(void) json_array_append_new(options, object_from_option(option));
        (void) json_object_set_new(object, "Options", options);
        return object;
}

int kinds_read(sd_bus *bus, json_t **ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *raw = NULL, *kinds = json_array();
        const json_t *entry;
        size_t i;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListKinds", CLIENT_TIMEOUT_DEFAULT, &error, &reply, NULL);
        if (r >= 0)
                r = json_read_value(reply, &raw);
        if (r < 0)
                return client_fail(&error, r);
        json_array_foreach(raw, i, entry)(void) json_array_append_new(kinds, object_from_kind(entry));
        *ret = TAKE_PTR(kinds);
        return EXIT_OK;
}

json_t *kinds_find(const json_t *kinds, const char *name) {
        json_t *kind;
        size_t i;

        json_array_foreach(kinds, i, kind) if (g_str_equal(json_get_string(kind, "Name", ""), name)) return kind;
        kinds_tell_missing(name);
        return NULL;
}

void kinds_tell_missing(const char *name) {
        cli_error(_("There is no kind '%s'."), name);
        hints_print(RM_ERROR_NO_SUCH_KIND, NULL);
}

const char *kinds_text(const char *text) {
        /* The translation of "" is the header of the translations. */
        return *text ? gettext(text) : text;
}
