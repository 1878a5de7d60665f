/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The properties of a runtime: one row each, for Get, GetAll, PropertiesChanged and InterfacesAdded alike. */

#include <errno.h>
#include <string.h>

#include "bus/bus.h"
#include "util/macro.h"
#include "util/names.h"

typedef struct PropertyRow {
        const char *name;
        const char *signature;
        int (*append)(sd_bus_message *message, const RuntimeObject *object);
        unsigned bit; /* RuntimeProperty; 0: const */
} PropertyRow;

static int append_id(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_id(object->runtime));
}

static int append_kind(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_kind(object->runtime)->name);
}

static int append_description(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_options(object->runtime)->description);
}

static int append_labels(sd_bus_message *message, const RuntimeObject *object) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "{ss}");
        for (char **label = runtime_get_options(object->runtime)->labels; r >= 0 && label && *label; label += 2)
                r = sd_bus_message_append(message, "{ss}", label[0], label[1]);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_uid(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "u", (uint32_t) runtime_get_uid(object->runtime));
}

static int append_starter_uid(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "u", (uint32_t) runtime_get_starter_uid(object->runtime));
}

static int append_start_timestamp(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "t", runtime_get_start_timestamp(object->runtime));
}

static int append_state(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_state_to_string(runtime_get_state(object->runtime)));
}

static int append_status_text(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_status_text(object->runtime));
}

static int append_step(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_step(object->runtime));
}

static int append_deadline(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "t", runtime_get_deadline(object->runtime));
}

static int append_unit(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_unit(object->runtime));
}

static int append_control_group(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_control_group(object->runtime));
}

static int append_main_pid(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "u", (uint32_t) runtime_get_main_pid(object->runtime));
}

static int append_node(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_node(object->runtime));
}

static int append_limits(sd_bus_message *message, const RuntimeObject *object) {
        const LimitSet *limits = runtime_get_limits(object->runtime);
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < _LIMIT_KEY_MAX; i++)
                if (limits->value[i] != UINT64_MAX)
                        r = sd_bus_message_append(message, "{sv}", limit_key_table[i].name, "t", limits->value[i]);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_ready_timestamp(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "t", runtime_get_ready_timestamp(object->runtime));
}

static int append_end_timestamp(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "t", runtime_get_end_timestamp(object->runtime));
}

static int append_end_report(sd_bus_message *message, const RuntimeObject *object) {
        return bus_append_report(message, runtime_get_report(object->runtime));
}

static int append_generation(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "u", runtime_get_generation(object->runtime));
}

static int append_owner(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", object->owner ? peer_get_name(object->owner) : "");
}

static int append_owner_name(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", object->owner ? object->owner_name : "");
}

static int append_input(sd_bus_message *message, const RuntimeObject *object) {
        return sd_bus_message_append(message, "s", runtime_get_input(object->runtime));
}

static const PropertyRow property_table[] = {
        {"Id", "s", append_id, 0},
        {"Kind", "s", append_kind, 0},
        {"Description", "s", append_description, 0},
        {"Labels", "a{ss}", append_labels, 0},
        {"UID", "u", append_uid, 0},
        {"StarterUID", "u", append_starter_uid, 0},
        {"Input", "s", append_input, 0},
        {"StartTimestamp", "t", append_start_timestamp, 0},
        {"State", "s", append_state, RUNTIME_PROPERTY_STATE},
        {"StatusText", "s", append_status_text, RUNTIME_PROPERTY_STATUS_TEXT},
        {"Step", "s", append_step, RUNTIME_PROPERTY_STEP},
        {"Deadline", "t", append_deadline, RUNTIME_PROPERTY_DEADLINE},
        {"Unit", "s", append_unit, RUNTIME_PROPERTY_UNIT},
        {"ControlGroup", "s", append_control_group, RUNTIME_PROPERTY_CONTROL_GROUP},
        {"MainPID", "u", append_main_pid, RUNTIME_PROPERTY_MAIN_PID},
        {"Node", "s", append_node, RUNTIME_PROPERTY_NODE},
        {"Limits", "a{sv}", append_limits, RUNTIME_PROPERTY_LIMITS},
        {"ReadyTimestamp", "t", append_ready_timestamp, RUNTIME_PROPERTY_READY_TIMESTAMP},
        {"EndTimestamp", "t", append_end_timestamp, RUNTIME_PROPERTY_END_TIMESTAMP},
        {"EndReport", "a{sv}", append_end_report, RUNTIME_PROPERTY_END_REPORT},
        {"Generation", "u", append_generation, RUNTIME_PROPERTY_GENERATION},
        {"Owner", "s", append_owner, RUNTIME_PROPERTY_OWNER},
        {"OwnerName", "s", append_owner_name, RUNTIME_PROPERTY_OWNER},
};

static const PropertyRow *find_property(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(property_table); i++)
                if (strcmp(property_table[i].name, name) == 0)
                        return &property_table[i];
        return NULL;
}

static int append_entry(sd_bus_message *message, const PropertyRow *row, const RuntimeObject *object) {
        int r;

        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", row->name);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', row->signature);
        if (r >= 0)
                r = row->append(message, object);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int bus_append_runtime_properties(sd_bus_message *message, RuntimeObject *object, unsigned bits) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(property_table); i++)
                if (bits == 0 || (property_table[i].bit & bits))
                        r = append_entry(message, &property_table[i], object);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int bus_append_runtime_summary(sd_bus_message *message, RuntimeObject *object) {
        static const char *const names[] = {"Kind", "State", "Unit", "MainPID", "UID", "StarterUID", "Description", "Labels", "StartTimestamp"};
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                r = append_entry(message, find_property(names[i]), object);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int property_get_runtime(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                         sd_bus_error *reterr) {
        const PropertyRow *row = find_property(property);
        RuntimeObject *object = userdata;

        return row ? row->append(reply, object) : -ENOENT;
}
