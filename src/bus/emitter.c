/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every signal but output goes through here, InterfacesAdded and PropertiesChanged too: sd-bus's own emitters broadcast, which is right on the session bus,
 * where every peer is the same user, and wrong on the system bus. send_signals() is the one place that knows to whom.
 *
 * What is in a signal is appended by a function that is called for each who is sent it: a message has one destination, and a runtime's id is told to each as
 * that one would write it. */

#include <string.h>

#include "bus/bus.h"
#include "util/limits.h"
#include "util/names.h"

/* What signals take in a window, about: it needs a bound, not an account. */
#define SIGNAL_SIZE 1024U
#define PROPERTIES_SIZE 4096U

#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
#define PROPERTIES "org.freedesktop.DBus.Properties"

typedef struct Signal Signal;
struct Signal {
        RuntimeObject *object; /* NULL: of one that is gone */
        const char *path, *interface, *member;
        int (*append)(sd_bus_message *message, const Signal *signal, uid_t uid);
        AudienceNews news;
        size_t size;
        /* For append(). */
        unsigned properties;
        RuntimeState old, new;
        const char *id, *runtime_path, *code, *text, *key;
        uint64_t value;
};

/* to: NULL: everybody. A signal that can't be sent has nobody to be told to: the connection is about to be lost. */
static void send_to(Bus *bus, const Signal *signal, Peer *to) {
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        if (!bus->bus)
                return;
        r = sd_bus_message_new_signal(bus->bus, &message, signal->path, signal->interface, signal->member);
        if (r >= 0)
                r = signal->append(message, signal, to ? peer_get_uid(to) : UID_UNKNOWN);
        if (r < 0)
                return;
        if (!to)
                (void) sd_bus_send(bus->bus, message, NULL);
        else if (sd_bus_send_to(bus->bus, message, peer_get_name(to), NULL) >= 0)
                peer_sent(to, signal->size);
}

static void send_pair(Bus *bus, const Signal *signal, const Signal *second, Peer *to) {
        send_to(bus, signal, to);
        if (second)
                send_to(bus, second, to);
}

/* second: NULL, or one that says the same in other words, for the same. */
static void send_signals(const Signal *signal, const Signal *second, Peer *to) {
        Bus *bus = signal->object->bus;
        g_autoptr(GPtrArray) audience = NULL;

        if (to || !bus->many_users) {
                send_pair(bus, signal, second, to);
                return;
        }
        audience = audience_get(signal->object, signal->news, signal->size + (second ? second->size : 0));
        for (unsigned i = 0; i < audience->len; i++)
                send_pair(bus, signal, second, audience->pdata[i]);
}

static void send_signal(const Signal *signal, Peer *to) {
        send_signals(signal, NULL, to);
}

/* Labels are the largest that a client may give, the end's tail of the output the largest that a runtime may. */
static size_t properties_size(const RuntimeObject *object, unsigned properties) {
        size_t size = PROPERTIES_SIZE;

        for (char **label = properties == 0 ? runtime_get_options(object->runtime)->labels : NULL; label && *label; label++)
                size += strlen(*label) + 8;
        if (properties == 0 || (properties & RUNTIME_PROPERTY_END_REPORT))
                size += LIMIT_OUTPUT_TAIL;
        return size;
}

static int append_no_properties(sd_bus_message *message, const char *interface) {
        return sd_bus_message_append(message, "{sa{sv}}", interface, 0);
}

static int append_interfaces_added(sd_bus_message *message, const Signal *signal, uid_t uid) {
        int r;

        r = sd_bus_message_append(message, "o", signal->object->path);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sa{sv}}");
        if (r >= 0)
                r = append_no_properties(message, "org.freedesktop.DBus.Peer");
        if (r >= 0)
                r = append_no_properties(message, "org.freedesktop.DBus.Introspectable");
        if (r >= 0)
                r = append_no_properties(message, PROPERTIES);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'e', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", RM_RUNTIME_INTERFACE);
        if (r >= 0)
                r = bus_append_runtime_properties(message, signal->object, 0);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_id_and_path(sd_bus_message *message, const Signal *signal, uid_t uid) {
        return sd_bus_message_append(message, "so", signal->id ?: bus_runtime_id(signal->object->bus, uid, signal->object->runtime),
                                     signal->runtime_path ?: signal->object->path);
}

static void tell_added(RuntimeObject *object, Peer *to) {
        const Signal interfaces = {.object = object,
                                   .path = RM_OBJECT_PATH,
                                   .interface = OBJECT_MANAGER,
                                   .member = "InterfacesAdded",
                                   .append = append_interfaces_added,
                                   .news = NEWS_ADDED,
                                   .size = properties_size(object, 0)};
        const Signal added = {.object = object,
                              .path = RM_OBJECT_PATH,
                              .interface = RM_MANAGER_INTERFACE,
                              .member = "RuntimeAdded",
                              .append = append_id_and_path,
                              .news = NEWS_ADDED,
                              .size = SIGNAL_SIZE};

        send_signals(&interfaces, &added, to);
}

void emit_runtime_added(RuntimeObject *object) {
        tell_added(object, NULL);
}

static int append_interfaces_removed(sd_bus_message *message, const Signal *signal, uid_t uid) {
        return sd_bus_message_append(message, "oas", signal->runtime_path ?: signal->object->path, 4, "org.freedesktop.DBus.Peer",
                                     "org.freedesktop.DBus.Introspectable", PROPERTIES, RM_RUNTIME_INTERFACE);
}

static const Signal interfaces_removed = {.path = RM_OBJECT_PATH,
                                          .interface = OBJECT_MANAGER,
                                          .member = "InterfacesRemoved",
                                          .append = append_interfaces_removed,
                                          .news = NEWS_REMOVED,
                                          .size = SIGNAL_SIZE};
static const Signal runtime_removed = {.path = RM_OBJECT_PATH,
                                       .interface = RM_MANAGER_INTERFACE,
                                       .member = "RuntimeRemoved",
                                       .append = append_id_and_path,
                                       .news = NEWS_REMOVED,
                                       .size = SIGNAL_SIZE};

void emit_runtime_removed(RuntimeObject *object) {
        Signal interfaces = interfaces_removed, removed = runtime_removed;

        interfaces.object = removed.object = object;
        send_signals(&interfaces, &removed, NULL);
}

void emit_runtime_removed_to(Bus *bus, Peer *peer, const char *id, const char *path) {
        Signal interfaces = interfaces_removed, removed = runtime_removed;

        interfaces.runtime_path = removed.runtime_path = path;
        removed.id = id;
        send_pair(bus, &interfaces, &removed, peer);
}

static int append_properties_changed(sd_bus_message *message, const Signal *signal, uid_t uid) {
        int r;

        r = sd_bus_message_append(message, "s", RM_RUNTIME_INTERFACE);
        if (r >= 0)
                r = bus_append_runtime_properties(message, signal->object, signal->properties);
        return r < 0 ? r : sd_bus_message_append(message, "as", 0);
}

static void tell_properties(RuntimeObject *object, unsigned properties, Peer *to) {
        const Signal changed = {.object = object,
                                .path = object->path,
                                .interface = PROPERTIES,
                                .member = "PropertiesChanged",
                                .append = append_properties_changed,
                                .size = properties_size(object, properties),
                                .properties = properties};

        send_signal(&changed, to);
}

void emit_properties(RuntimeObject *object, unsigned properties) {
        tell_properties(object, properties, NULL);
}

/* A signal of the runtime's own interface. */
static Signal own_signal(RuntimeObject *object, const char *member, int (*append)(sd_bus_message *message, const Signal *signal, uid_t uid)) {
        return (Signal){.object = object, .path = object->path, .interface = RM_RUNTIME_INTERFACE, .member = member, .append = append, .size = SIGNAL_SIZE};
}

static int append_states(sd_bus_message *message, const Signal *signal, uid_t uid) {
        return sd_bus_message_append(message, "ss", runtime_state_to_string(signal->old), runtime_state_to_string(signal->new));
}

static void tell_state(RuntimeObject *object, RuntimeState old, RuntimeState new, Peer *to) {
        Signal changed = own_signal(object, "StateChanged", append_states);

        changed.old = old;
        changed.new = new;
        send_signal(&changed, to);
}

void emit_state(RuntimeObject *object, RuntimeState old, RuntimeState new) {
        tell_state(object, old, new, NULL);
}

static int append_progress(sd_bus_message *message, const Signal *signal, uid_t uid) {
        const Runtime *runtime = signal->object->runtime;

        return sd_bus_message_append(message, "suu", runtime_get_step(runtime), (uint32_t) signal->value, runtime_get_n_steps(runtime));
}

void emit_setup_progress(RuntimeObject *object, unsigned index) {
        Signal progress = own_signal(object, "SetupProgress", append_progress);

        progress.value = index + 1;
        send_signal(&progress, NULL);
}

static int append_handshake(sd_bus_message *message, const Signal *signal, uid_t uid) {
        const Runtime *runtime = signal->object->runtime;
        const char *node = runtime_get_node(runtime);
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0 && node[0] != '\0')
                r = sd_bus_message_append(message, "{sv}", "Node", "s", node);
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}", "PID", "u", (uint32_t) runtime_get_main_pid(runtime));
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static void tell_handshake_completed(RuntimeObject *object, Peer *to) {
        const Signal completed = own_signal(object, "HandshakeCompleted", append_handshake);

        send_signal(&completed, to);
}

void emit_handshake_completed(RuntimeObject *object) {
        tell_handshake_completed(object, NULL);
}

static int append_warning(sd_bus_message *message, const Signal *signal, uid_t uid) {
        int r;

        r = sd_bus_message_append(message, "s", signal->code);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}", "Message", "s", signal->text);
        if (r >= 0 && signal->key)
                r = sd_bus_message_append(message, "{sv}", signal->key, "t", signal->value);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

void emit_warning(RuntimeObject *object, const char *code, const char *text, const char *key, uint64_t value) {
        Signal warning = own_signal(object, "Warning", append_warning);

        warning.code = code;
        warning.text = text;
        warning.key = key;
        warning.value = value;
        warning.size += strlen(text);
        send_signal(&warning, NULL);
}

static int append_owner(sd_bus_message *message, const Signal *signal, uid_t uid) {
        return sd_bus_message_append(message, "s", signal->object->owner ? peer_get_name(signal->object->owner) : "");
}

void emit_owner_changed(RuntimeObject *object) {
        const Signal changed = own_signal(object, "OwnerChanged", append_owner);

        send_signal(&changed, NULL);
}

static int append_ended(sd_bus_message *message, const Signal *signal, uid_t uid) {
        return bus_append_report(message, runtime_get_report(signal->object->runtime));
}

static void tell_ended(RuntimeObject *object, Peer *to) {
        Signal ended = own_signal(object, "Ended", append_ended);

        ended.size += LIMIT_OUTPUT_TAIL;
        send_signal(&ended, to);
}

void emit_ended(RuntimeObject *object) {
        tell_ended(object, NULL);
}

void emit_present_to(RuntimeObject *object, Peer *peer, bool added) {
        RuntimeState state = runtime_get_state(object->runtime);

        if (added)
                tell_added(object, peer);
        else
                tell_properties(object, 0, peer);
        tell_state(object, state, state, peer);
        if (state == RUNTIME_READY)
                tell_handshake_completed(object, peer);
        else if (state == RUNTIME_ENDED)
                tell_ended(object, peer);
}
