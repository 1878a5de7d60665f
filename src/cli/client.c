/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See client.h. */

#include "cli/client.h"

#include <stdarg.h>
#include <string.h>

#include "cli/format.h"
#include "cli/hints.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "util/names.h"

void target_clear(Target *target) {
        g_clear_pointer(&target->id, g_free);
        g_clear_pointer(&target->path, g_free);
}

/* What may stand in a D-Bus address as it is; everything else is escaped, as the specification has it. */
static char *address_escape(const char *text) {
        GString *escaped = g_string_new(NULL);

        for (; *text; text++)
                if (g_ascii_isalnum(*text) || strchr("-_/.\\*", *text))
                        g_string_append_c(escaped, *text);
                else
                        g_string_append_printf(escaped, "%%%02x", (unsigned char) *text);
        return g_string_free(escaped, FALSE);
}

/* "[USER@]HOST[:PORT]"; a name with several colons is an address. The port, or NULL. */
static const char *host_split(const char *place, char **ret_host) {
        const char *colon = strchr(place, ':');
        bool has_port = colon && colon[1] && colon[1 + strspn(colon + 1, "0123456789")] == '\0';

        *ret_host = has_port ? g_strndup(place, (size_t) (colon - place)) : g_strdup(place);
        return has_port ? colon + 1 : NULL;
}

static char *host_address(const char *place, const char *command) {
        g_autofree char *host = NULL, *escaped_host = NULL, *escaped_command = address_escape(command);
        const char *port = host_split(place, &host);

        escaped_host = address_escape(host);
        if (port)
                return g_strdup_printf("unixexec:path=ssh,argv1=-xT,argv2=-p,argv3=%s,argv4=--,argv5=%s,argv6=%s", port, escaped_host, escaped_command);
        return g_strdup_printf("unixexec:path=ssh,argv1=-xT,argv2=--,argv3=%s,argv4=%s", escaped_host, escaped_command);
}

/*
 * sd-bus has a function for the system bus of another host, but it agrees with the other side on passing fds, which ssh then doesn't. The user's bus is named
 * to the bridge, which before systemd 253 doesn't know it by itself, and only a shell over there knows its name.
 */
static int open_remote(const char *host, bool system, sd_bus **ret) {
        static const char user_bridge[] = "exec sh -c 'exec systemd-stdio-bridge -p \"${DBUS_SESSION_BUS_ADDRESS:-unix:path=${XDG_RUNTIME_DIR:-/run/user/$(id "
                                          "-u)}/bus}\"'";
        g_autofree char *address = host_address(host, system ? "systemd-stdio-bridge" : user_bridge);
        _cleanup_bus_ sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, false);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                *ret = TAKE_PTR(bus);
        return r;
}

static int open_bus(const Cli *cli, bool system, sd_bus **ret) {
        _cleanup_bus_ sd_bus *bus = NULL;
        const char *name;
        int r;

        if (cli->host)
                r = open_remote(cli->host, system, &bus);
        else if (cli->machine)
                r = system ? sd_bus_open_system_machine(&bus, cli->machine) : sd_bus_open_user_machine(&bus, cli->machine);
        else
                r = system ? sd_bus_open_system_with_description(&bus, "runtimectl") : sd_bus_open_user_with_description(&bus, "runtimectl");
        if (r >= 0 && system)
                /* Polkit may ask for a password, where there is somebody to be asked. */
                r = sd_bus_set_allow_interactive_authorization(bus, true);
        /* What leads elsewhere is opened at once and shows only then whether it does. */
        if (r >= 0 && !cli_is_here(cli))
                r = sd_bus_get_unique_name(bus, &name);
        if (r >= 0)
                *ret = TAKE_PTR(bus);
        return r;
}

static void tell_host_unreachable(const char *place, bool system) {
        g_autofree char *host = NULL, *ssh_place = NULL;
        const char *port = host_split(place, &host);

        /* As ssh wants it: a line to be copied. */
        ssh_place = port ? g_strdup_printf("-p %s %s", port, host) : g_strdup(host);
        cli_error(system ? _("The system bus of '%s' can't be reached. Does 'ssh %s systemd-stdio-bridge --version' work, without a password?")
                         : _("The user's bus of '%s' can't be reached. Does 'ssh %s systemctl --user' work, without a password?"),
                  host, ssh_place);
}

static void tell_unreachable(const Cli *cli, bool system, int error) {
        if (cli->host)
                tell_host_unreachable(cli->host, system);
        else if (cli->machine && error == -EHOSTDOWN)
                cli_error(_("There is no container '%s' that runs. 'machinectl' lists them."), cli->machine);
        else if (cli->machine && (error == -ENOTCONN || error == -ECONNRESET))
                cli_error(_("A bus of the container '%s' can't be reached. Does 'machinectl shell %s' work?"), cli->machine, cli->machine);
        else if (cli->machine)
                cli_error(_("A bus of the container '%s' can't be reached: %s."), cli->machine, g_strerror(-error));
        else if (system)
                cli_error(_("The system bus can't be reached: %s."), g_strerror(-error));
        else if (error == -ENOMEDIUM || error == -ENOENT)
                cli_error(_("There is no session bus here. Run this in the user's session, or set DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR."));
        else
                cli_error(_("The session bus can't be reached: %s."), g_strerror(-error));
}

static int check_place(const Cli *cli) {
        if (cli->user && cli->system)
                cli_error(_("--user and --system are two services; name one of them."));
        else if (cli->host && cli->machine)
                cli_error(_("--host and --machine are two places; name one of them."));
        else if (cli->host && (*cli->host == '-' || *cli->host == '\0'))
                cli_error(_("--host=%s: that is no name of a host."), cli->host);
        else
                return EXIT_OK;
        return EXIT_USAGE;
}

int client_open(const Cli *cli, sd_bus **ret) {
        bool system = cli_is_system(cli);
        int r;

        r = check_place(cli);
        if (r != EXIT_OK)
                return r;
        r = open_bus(cli, system, ret);
        if (r < 0)
                tell_unreachable(cli, system, r);
        return r < 0 ? EXIT_ERROR : EXIT_OK;
}

int client_send(sd_bus *bus, sd_bus_message *message, uint64_t timeout_usec, sd_bus_error *reterr, sd_bus_message **ret_reply) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_call(bus, message, timeout_usec, reterr, &reply);
        if (r < 0)
                return r;
        if (ret_reply)
                *ret_reply = TAKE_PTR(reply);
        return 0;
}

int client_call(sd_bus *bus, const char *path, const char *interface, const char *member, uint64_t timeout_usec, sd_bus_error *reterr,
                sd_bus_message **ret_reply, const char *types, ...) {
        _cleanup_message_ sd_bus_message *message = NULL;
        va_list arguments;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, RM_BUS_NAME, path, interface, member);
        if (r < 0)
                return r;
        if (types && *types) {
                va_start(arguments, types);
                r = sd_bus_message_appendv(message, types, arguments);
                va_end(arguments);
                if (r < 0)
                        return r;
        }
        return client_send(bus, message, timeout_usec, reterr, ret_reply);
}

/* Whichever way a loop ends, the connection is closed then: afterwards nothing tells which came first. */
static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return sd_event_exit(userdata, -ECONNRESET);
}

static void on_match_gone(void *userdata) {
        sd_event_unref(userdata);
}

/* The match lives as long as the connection, which by then has let go of the event loop. */
static int watch_disconnected(sd_bus *bus, sd_event *event) {
        sd_bus_slot *slot;
        int r;

        r = sd_bus_match_signal(bus, &slot, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected",
                                on_disconnected, sd_event_ref(event));
        if (r < 0) {
                sd_event_unref(event);
                return r;
        }
        (void) sd_bus_slot_set_destroy_callback(slot, on_match_gone);
        (void) sd_bus_slot_set_floating(slot, true);
        sd_bus_slot_unref(slot);
        return 0;
}

int client_attach(sd_bus *bus, sd_event **ret) {
        sd_event *event = NULL;
        int r;

        r = sd_event_new(&event);
        if (r >= 0)
                r = watch_disconnected(bus, event);
        if (r >= 0)
                r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0) {
                sd_event_unref(event);
                return r;
        }
        *ret = event;
        return 0;
}

void client_detach(sd_bus *bus, sd_event *event) {
        if (bus)
                (void) sd_bus_detach_event(bus);
        sd_event_unref(event);
}

int client_match_owner(sd_bus *bus, sd_bus_slot **ret_slot, sd_bus_message_handler_t handler, void *userdata) {
        static const char match[] = "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/"
                                    "DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" RM_BUS_NAME "'";

        return sd_bus_add_match(bus, ret_slot, match, handler, userdata);
}

int client_get_properties(sd_bus *bus, const char *path, sd_bus_error *reterr, json_t **ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = client_call(bus, path, "org.freedesktop.DBus.Properties", "GetAll", CLIENT_TIMEOUT_DEFAULT, reterr, &reply, "s", RM_RUNTIME_INTERFACE);
        if (r < 0)
                return r;
        return json_read_value(reply, ret);
}

typedef enum Meaning {
        MEANING_OTHER,
        MEANING_NOT_FOUND,
        MEANING_AWAY,
} Meaning;

/* `sentence`: said in place of the message of the bus or of a library, which names a symptom and no way out. */
typedef struct KnownError {
        const char *name;
        Meaning meaning;
        const char *sentence;
} KnownError;

#define NOT_RUNNING                                                                                                                                            \
        N_("The Runtime Manager isn't running, and the bus doesn't know how to start it. Install it with its D-Bus and systemd files, or run "                 \
           "'runtime-managerd --user'.")
#define NO_ANSWER                                                                                                                                              \
        N_("The Runtime Manager didn't answer. Try again; its log may tell more: 'journalctl --user -t runtime-managerd', for --system 'journalctl -u "        \
           "runtime-manager'.")

static const KnownError known_errors[] = {
        {RM_ERROR_NO_SUCH_RUNTIME, MEANING_NOT_FOUND, NULL},
        {RM_ERROR_NO_SUCH_KIND, MEANING_NOT_FOUND, NULL},
        {SD_BUS_ERROR_UNKNOWN_OBJECT, MEANING_NOT_FOUND, N_("There is no such runtime (any more).")},
        {SD_BUS_ERROR_SERVICE_UNKNOWN, MEANING_AWAY, NOT_RUNNING},
        {SD_BUS_ERROR_NAME_HAS_NO_OWNER, MEANING_AWAY, NOT_RUNNING},
        {"org.freedesktop.DBus.Error.Spawn.ServiceNotFound", MEANING_AWAY, NOT_RUNNING},
        {SD_BUS_ERROR_NO_REPLY, MEANING_AWAY, NO_ANSWER},
        {SD_BUS_ERROR_TIMEOUT, MEANING_AWAY, NO_ANSWER},
        {SD_BUS_ERROR_DISCONNECTED, MEANING_AWAY, NO_ANSWER},
};

static const KnownError *find_error(const sd_bus_error *error) {
        for (size_t i = 0; error->name && i < ELEMENTSOF(known_errors); i++)
                if (strcmp(known_errors[i].name, error->name) == 0)
                        return &known_errors[i];
        return NULL;
}

bool client_is_away(const sd_bus_error *error) {
        const KnownError *known = find_error(error);

        return known && known->meaning == MEANING_AWAY;
}

bool client_is_unknown(const sd_bus_error *error) {
        const KnownError *known = find_error(error);

        return known && known->meaning == MEANING_NOT_FOUND;
}

int client_fail(const sd_bus_error *error, int r) {
        const KnownError *known = find_error(error);

        if (known && known->sentence)
                cli_error("%s", _(known->sentence));
        else if (r == -ECONNRESET || r == -ENOTCONN)
                cli_error(_("The connection to the bus was lost."));
        else if (error->message && *error->message)
                cli_error("%s", kinds_text(error->message));
        else if (error->name)
                cli_error(_("The Runtime Manager answered with the error %s."), error->name);
        else
                cli_error(_("The Runtime Manager can't be asked: %s."), g_strerror(r < 0 ? -r : r));
        hints_print(error->name, error->message);
        return known && known->meaning == MEANING_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_ERROR;
}

/* Of another user, too: "u4294967294_", and then the id. */
#define ID_MAX (12 + 32)

static bool may_be_id(const char *word) {
        size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");

        return length > 0 && length <= ID_MAX && word[length] == '\0';
}

static int find_exact(sd_bus *bus, const char *word, sd_bus_error *reterr, Target *ret) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *path;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "GetRuntime", CLIENT_TIMEOUT_DEFAULT, reterr, &reply, "s", word);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        ret->id = g_strdup(word);
        ret->path = g_strdup(path);
        return 0;
}

static int find_prefix(sd_bus *bus, const char *word, sd_bus_error *reterr, GPtrArray *ids, GPtrArray *paths) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *id, *path;
        int r;

        r = client_call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes", CLIENT_TIMEOUT_DEFAULT, reterr, &reply, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "(soa{sv})");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'r', "soa{sv}")) > 0) {
                r = sd_bus_message_read(reply, "so", &id, &path);
                if (r < 0)
                        return r;
                if (g_str_has_prefix(id, word)) {
                        g_ptr_array_add(ids, g_strdup(id));
                        g_ptr_array_add(paths, g_strdup(path));
                }
                r = sd_bus_message_skip(reply, "a{sv}");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        return r;
}

int client_find(sd_bus *bus, const char *word, Target *ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free), paths = g_ptr_array_new_with_free_func(g_free);
        int r;

        if (!may_be_id(word)) {
                cli_error(_("'%s' can't be the id of a runtime. 'runtimectl list' shows them."), word);
                return EXIT_NOT_FOUND;
        }
        r = find_exact(bus, word, &error, ret);
        if (r >= 0)
                return EXIT_OK;
        if (!client_is_unknown(&error))
                return client_fail(&error, r);

        sd_bus_error_free(&error);
        r = find_prefix(bus, word, &error, ids, paths);
        if (r < 0)
                return client_fail(&error, r);
        if (ids->len == 0) {
                cli_error(_("There is no runtime whose id is '%s' or begins with it. 'runtimectl list' shows those there are."), word);
                return EXIT_NOT_FOUND;
        }
        if (ids->len > 1) {
                cli_error(_("Several ids begin with '%s'; write more of the one you mean:"), word);
                for (unsigned i = 0; i < ids->len; i++) {
                        g_autofree char *id = format_harmless(ids->pdata[i]);

                        fprintf(stderr, "  %s\n", id);
                }
                return EXIT_NOT_FOUND;
        }
        ret->id = TAKE_PTR(ids->pdata[0]);
        ret->path = TAKE_PTR(paths->pdata[0]);
        return EXIT_OK;
}
