/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See events.h. A signal is read by its type, whatever it is; only its words for people are a matter of which it is. */

#include "cli/events.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/facts.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/records.h"
#include "cli/report.h"
#include "util/names.h"

enum {
        ARGUMENTS_MAX = 3,
        ID_COLUMNS = 10,
};

typedef char *(*EventSay)(const json_t *arguments);

typedef struct EventType {
        const char *member;
        const char *arguments[ARGUMENTS_MAX];
        EventSay say; /* NULL: the arguments as they are */
        Color color;
} EventType;

/* What has members of its own is not for a line. */
static char *show_value(const json_t *value) {
        _cleanup_free_ char *dump = NULL;

        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        if (json_object_size(value) > 0 || json_array_size(value) > 0)
                return g_strdup(json_is_object(value) ? "{...}" : "[...]");
        dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        return g_strdup(dump ?: "?");
}

static char *show_members(const json_t *object, char *(*show_known)(const char *key, const json_t *value)) {
        GString *text = g_string_new(NULL);
        const char *key;
        json_t *value;

        json_object_foreach((json_t *) object, key, value) {
                g_autofree char *known = show_known ? show_known(key, value) : NULL, *shown = known ? NULL : show_value(value);

                g_string_append_printf(text, "%s%s=%s", text->len > 0 ? " " : "", key, known ?: shown);
        }
        return g_string_free(text, FALSE);
}

static char *say_added(const json_t *arguments) {
        return g_strdup(_("a new runtime"));
}

static char *say_removed(const json_t *arguments) {
        return g_strdup(_("forgotten"));
}

static char *say_state(const json_t *arguments) {
        return g_strdup_printf(_("%s, was %s"), json_get_string(arguments, "new_state", "?"), json_get_string(arguments, "old_state", "?"));
}

static char *say_progress(const json_t *arguments) {
        return g_strdup_printf(_("setup step %ju of %ju: %s"), json_get_u64(arguments, "index", 0), json_get_u64(arguments, "total", 0),
                               json_get_string(arguments, "step", "?"));
}

static char *say_handshake(const json_t *arguments) {
        g_autofree char *details = show_members(json_object_get(arguments, "details"), NULL);

        return g_strdup_printf(_("handshake completed: %s"), details);
}

static char *say_dropped(const json_t *arguments) {
        uint64_t count = json_get_u64(arguments, "count", 0);

        return g_strdup_printf(ngettext("%ju line of output was dropped, number %ju", "%ju lines of output were dropped, from number %ju", count), count,
                               json_get_u64(arguments, "first", 0));
}

static char *say_owner(const json_t *arguments) {
        const char *owner = json_get_string(arguments, "owner", "");

        return *owner ? g_strdup_printf(_("owned by %s"), owner) : g_strdup(_("has no owner"));
}

static char *say_warning(const json_t *arguments) {
        return g_strdup_printf(_("warning, %s: %s"), json_get_string(arguments, "code", "?"),
                               json_get_string(json_object_get(arguments, "details"), "Message", ""));
}

static char *say_ended(const json_t *arguments) {
        return report_sentence(json_object_get(arguments, "report"));
}

static char *say_properties(const json_t *arguments) {
        return show_members(json_object_get(arguments, "changed"), facts_property);
}

static char *say_service(const json_t *arguments) {
        const char *owner = json_get_string(arguments, "new_owner", "");

        return *owner ? g_strdup_printf(_("the service is there (%s)"), owner) : g_strdup(_("the service has gone"));
}

static const EventType types[] = {
        {"RuntimeAdded", {"id", "runtime"}, say_added, COLOR_BOLD},
        {"RuntimeRemoved", {"id", "runtime"}, say_removed, COLOR_BOLD},
        {"StateChanged", {"old_state", "new_state"}, say_state, COLOR_BOLD},
        {"SetupProgress", {"step", "index", "total"}, say_progress, COLOR_NONE},
        {"HandshakeCompleted", {"details"}, say_handshake, COLOR_GREEN},
        {"OutputLines", {"lines"}, NULL, COLOR_NONE},
        {"OutputDropped", {"first", "count"}, say_dropped, COLOR_YELLOW},
        {"OwnerChanged", {"owner"}, say_owner, COLOR_NONE},
        {"Warning", {"code", "details"}, say_warning, COLOR_YELLOW},
        {"Ended", {"report"}, say_ended, COLOR_BOLD},
        {"PropertiesChanged", {"interface", "changed", "invalidated"}, say_properties, COLOR_DIM},
        {"InterfacesAdded", {"object", "interfaces"}, NULL, COLOR_DIM},
        {"InterfacesRemoved", {"object", "interfaces"}, NULL, COLOR_DIM},
        {"NameOwnerChanged", {"name", "old_owner", "new_owner"}, say_service, COLOR_YELLOW},
};

static const EventType *find_type(const char *member) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (strcmp(types[i].member, member) == 0)
                        return &types[i];
        return NULL;
}

/* Lines are tuples on the bus; here each part has its name, as in "logs --json". */
static json_t *lines_with_names(const json_t *tuples) {
        json_t *lines = json_array();
        const json_t *tuple;
        size_t i;

        json_array_foreach(tuples, i, tuple) {
                unsigned stream = (unsigned) json_integer_value(json_array_get(tuple, 1));

                (void) json_array_append_new(lines, json_pack("{s:O, s:s, s:O, s:O, s:O}", "Number", json_array_get(tuple, 0), "Stream",
                                                              record_stream_to_string(stream), "Timestamp", json_array_get(tuple, 2), "Flags",
                                                              json_array_get(tuple, 3), "Text", json_array_get(tuple, 4)));
        }
        return lines;
}

static int read_arguments(sd_bus_message *message, const EventType *type, json_t **ret) {
        _cleanup_json_ json_t *arguments = json_object();
        int r;

        for (unsigned i = 0; (r = sd_bus_message_at_end(message, true)) == 0; i++) {
                _cleanup_json_ json_t *value = NULL;
                g_autofree char *key = type && i < ARGUMENTS_MAX ? g_strdup(type->arguments[i]) : g_strdup_printf("%u", i);

                r = json_read_value(message, &value);
                if (r < 0)
                        return r;
                if (type && g_str_equal(type->member, "OutputLines"))
                        (void) json_object_set_new(arguments, key ?: "?", lines_with_names(value));
                else
                        (void) json_object_set(arguments, key ?: "?", value);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(arguments);
        return 0;
}

/* The id is the path's last part, also where the path is an argument. */
static const char *find_id(const char *path, const json_t *arguments) {
        const char *object = g_str_has_prefix(path, RM_OBJECT_PATH "/") ? path : json_get_string(arguments, "object", "");

        return g_str_has_prefix(object, RM_OBJECT_PATH "/") ? strrchr(object, '/') + 1 : json_get_string(arguments, "id", NULL);
}

int event_read(sd_bus_message *message, json_t **ret) {
        const char *member = sd_bus_message_get_member(message), *path = sd_bus_message_get_path(message);
        _cleanup_json_ json_t *arguments = NULL;
        int r;

        r = read_arguments(message, find_type(member), &arguments);
        if (r < 0)
                return r;
        *ret = json_pack("{s:I, s:s, s:s, s:s, s:s*, s:O}", "Timestamp", (json_int_t) g_get_real_time(), "Signal", member, "Interface",
                         sd_bus_message_get_interface(message), "Object", path, "Id", find_id(path, arguments), "Arguments", arguments);
        return *ret ? 0 : -ENOMEM;
}

static void print_line(uint64_t realtime_usec, const char *id, Color color, const char *text) {
        g_autofree char *clock = format_clock(realtime_usec), *name = format_harmless(id), *harmless = format_harmless(text);
        GString *column = g_string_new(NULL);

        format_pad(column, name, ID_COLUMNS);
        printf("%s%s%s %s%s%s%s\n", format_color(COLOR_DIM), clock, format_color_off(), column->str, format_color(color), harmless, format_color_off());
        g_string_free(column, TRUE);
}

static void print_lines(const char *id, const json_t *lines) {
        const json_t *line;
        size_t i;

        json_array_foreach(lines, i, line) {
                g_autofree char *text = g_strdup_printf("%s: %s", json_get_string(line, "Stream", "?"), json_get_string(line, "Text", ""));

                print_line(json_get_u64(line, "Timestamp", 0), id, COLOR_NONE, text);
        }
}

void event_print(const json_t *event) {
        const char *member = json_get_string(event, "Signal", "?"), *id = json_get_string(event, "Id", "-");
        const json_t *arguments = json_object_get(event, "Arguments");
        const EventType *type = find_type(member);
        g_autofree char *said = NULL, *text = NULL;

        if (g_str_equal(member, "OutputLines")) {
                print_lines(id, json_object_get(arguments, "lines"));
                return;
        }
        said = type && type->say ? type->say(arguments) : show_members(arguments, NULL);
        text = type && type->say && type->color != COLOR_DIM ? g_strdup(said) : g_strdup_printf("%s %s", member, said);
        print_line(json_get_u64(event, "Timestamp", 0), id, type ? type->color : COLOR_NONE, text);
}
