/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every signal but output goes through here, InterfacesAdded and PropertiesChanged too: sd-bus's own emitters broadcast, which is right on the session bus,
 * where every peer is the same user, and wrong on the system bus. send() is the one place that knows to whom. */

#include "bus/bus.h"
#include "util/names.h"

static sd_bus_message *new_signal(RuntimeObject *object, const char *path, const char *interface, const char *member) {
        sd_bus_message *message = NULL;

        if (!object->bus->bus)
                return NULL;
        return sd_bus_message_new_signal(object->bus->bus, &message, path, interface, member) >= 0 ? message : NULL;
}

/* Takes the message. A signal that can't be sent has nobody to be told to: the connection is about to be lost. */
static void send_signal(RuntimeObject *object, sd_bus_message *message, int r) {
        if (r >= 0)
                (void) sd_bus_send(object->bus->bus, message, NULL);
        sd_bus_message_unref(message);
}

static int append_no_properties(sd_bus_message *message, const char *interface) {
        return sd_bus_message_append(message, "{sa{sv}}", interface, 0);
}

void emit_runtime_added(RuntimeObject *object) {
        sd_bus_message *message;
        int r;

        message = new_signal(object, RM_OBJECT_PATH, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded");
        if (message) {
                r = sd_bus_message_append(message, "o", object->path);
                if (r >= 0)
                        r = sd_bus_message_open_container(message, 'a', "{sa{sv}}");
                if (r >= 0)
                        r = append_no_properties(message, "org.freedesktop.DBus.Peer");
                if (r >= 0)
                        r = append_no_properties(message, "org.freedesktop.DBus.Introspectable");
                if (r >= 0)
                        r = append_no_properties(message, "org.freedesktop.DBus.Properties");
                if (r >= 0)
                        r = sd_bus_message_open_container(message, 'e', "sa{sv}");
                if (r >= 0)
                        r = sd_bus_message_append(message, "s", RM_RUNTIME_INTERFACE);
                if (r >= 0)
                        r = bus_append_runtime_properties(message, object, 0);
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
                send_signal(object, message, r);
        }
        message = new_signal(object, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "RuntimeAdded");
        if (message)
                send_signal(object, message, sd_bus_message_append(message, "so", runtime_get_id(object->runtime), object->path));
}

void emit_runtime_removed(RuntimeObject *object) {
        sd_bus_message *message;

        message = new_signal(object, RM_OBJECT_PATH, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved");
        if (message)
                send_signal(object, message,
                            sd_bus_message_append(message, "oas", object->path, 4, "org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Introspectable",
                                                  "org.freedesktop.DBus.Properties", RM_RUNTIME_INTERFACE));
        message = new_signal(object, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "RuntimeRemoved");
        if (message)
                send_signal(object, message, sd_bus_message_append(message, "so", runtime_get_id(object->runtime), object->path));
}

void emit_properties(RuntimeObject *object, unsigned properties) {
        sd_bus_message *message;
        int r;

        message = new_signal(object, object->path, "org.freedesktop.DBus.Properties", "PropertiesChanged");
        if (!message)
                return;
        r = sd_bus_message_append(message, "s", RM_RUNTIME_INTERFACE);
        if (r >= 0)
                r = bus_append_runtime_properties(message, object, properties);
        if (r >= 0)
                r = sd_bus_message_append(message, "as", 0);
        send_signal(object, message, r);
}

void emit_state(RuntimeObject *object, RuntimeState old, RuntimeState new) {
        sd_bus_message *message = new_signal(object, object->path, RM_RUNTIME_INTERFACE, "StateChanged");

        if (message)
                send_signal(object, message, sd_bus_message_append(message, "ss", runtime_state_to_string(old), runtime_state_to_string(new)));
}

void emit_setup_progress(RuntimeObject *object, unsigned index) {
        sd_bus_message *message = new_signal(object, object->path, RM_RUNTIME_INTERFACE, "SetupProgress");

        if (message)
                send_signal(object, message,
                            sd_bus_message_append(message, "suu", runtime_get_step(object->runtime), index + 1, runtime_get_n_steps(object->runtime)));
}

void emit_handshake_completed(RuntimeObject *object) {
        sd_bus_message *message = new_signal(object, object->path, RM_RUNTIME_INTERFACE, "HandshakeCompleted");
        const char *node = runtime_get_node(object->runtime);
        int r;

        if (!message)
                return;
        r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0 && node[0] != '\0')
                r = sd_bus_message_append(message, "{sv}", "Node", "s", node);
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}", "PID", "u", (uint32_t) runtime_get_main_pid(object->runtime));
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        send_signal(object, message, r);
}

void emit_warning(RuntimeObject *object, const char *code, const char *text, const char *key, uint64_t value) {
        sd_bus_message *message = new_signal(object, object->path, RM_RUNTIME_INTERFACE, "Warning");
        int r;

        if (!message)
                return;
        r = sd_bus_message_append(message, "s", code);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}", "Message", "s", text);
        if (r >= 0 && key)
                r = sd_bus_message_append(message, "{sv}", key, "t", value);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        send_signal(object, message, r);
}

void emit_owner_changed(RuntimeObject *object) {
        sd_bus_message *message = new_signal(object, object->path, RM_RUNTIME_INTERFACE, "OwnerChanged");

        if (message)
                send_signal(object, message, sd_bus_message_append(message, "s", object->owner ? peer_get_name(object->owner) : ""));
}

void emit_ended(RuntimeObject *object) {
        sd_bus_message *message = new_signal(object, object->path, RM_RUNTIME_INTERFACE, "Ended");

        if (message)
                send_signal(object, message, bus_append_report(message, runtime_get_report(object->runtime)));
}
