/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The interface of the manager. dbus/org.example.RuntimeManager.xml says what each member means; a test holds the vtable below against it. Methods about
 * one runtime find it and hand over to the same code as those of its own object. */

#include "bus/bus.h"

#include <errno.h>
#include <string.h>

#include "bus/list-request.h"
#include "bus/start-call.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

/* What a row of a list takes in a message, about. */
#define ROW_SIZE 512U

/* The runtime that the call's first argument names. */
static int read_runtime(Bus *bus, sd_bus_message *call, RuntimeObject **ret, sd_bus_error *reterr) {
        const char *id;
        int r;

        r = sd_bus_message_read(call, "s", &id);
        return r < 0 ? r : bus_find_by_id(bus, call, id, ret, reterr);
}

static int method_wait_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object;
        const char *until;
        bool until_ended;
        int r;

        r = read_runtime(userdata, call, &object, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "s", &until);
        if (r < 0)
                return r;
        until_ended = strcmp(until, "ended") == 0;
        if (!until_ended && strcmp(until, "ready") != 0)
                return sd_bus_error_set(reterr, SD_BUS_ERROR_INVALID_ARGS, "until must be \"ready\" or \"ended\".");
        return bus_wait(object, call, until_ended, reterr);
}

static int method_get_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object;
        int r;

        r = read_runtime(userdata, call, &object, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, "o", object->path);
}

static int reply_runtime_of_pid(Bus *bus, sd_bus_message *call, uint32_t pid, sd_bus_error *reterr) {
        RuntimeObject *object;
        int r;

        r = bus_find_by_pid(bus, call, pid, &object, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, "so", bus_runtime_id(bus, bus_get_caller_uid(bus, call), object->runtime), object->path);
}

typedef struct CallerPID {
        Bus *bus;
        sd_bus_message *call;
} CallerPID;

static void caller_pid_free(void *userdata) {
        CallerPID *caller = userdata;

        sd_bus_message_unref(caller->call);
        g_free(caller);
}

static int on_caller_pid(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        CallerPID *caller = userdata;
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        uint32_t pid = 0;
        int r;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "u", &pid);
        r = reply_runtime_of_pid(caller->bus, caller->call, pid, &error);
        return r < 0 ? sd_bus_reply_method_error(caller->call, &error) : 0;
}

/* The bus knows who called; it is asked without waiting. */
static int ask_for_caller_pid(Bus *bus, sd_bus_message *call) {
        sd_bus_slot *slot = NULL;
        CallerPID *caller;
        int r;

        caller = g_new(CallerPID, 1);
        *caller = (CallerPID){bus, sd_bus_message_ref(call)};
        r = sd_bus_call_method_async(bus->bus, &slot, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixProcessID",
                                     on_caller_pid, caller, "s", sd_bus_message_get_sender(call));
        if (r < 0) {
                caller_pid_free(caller);
                return r;
        }
        (void) sd_bus_slot_set_destroy_callback(slot, caller_pid_free);
        /* Floating: it lives until it is answered, or the connection ends. */
        (void) sd_bus_slot_set_floating(slot, 1);
        sd_bus_slot_unref(slot);
        return 1;
}

static int method_get_runtime_by_pid(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        uint32_t pid;
        int r;

        r = sd_bus_message_read(call, "u", &pid);
        if (r < 0)
                return r;
        return pid == 0 ? ask_for_caller_pid(userdata, call) : reply_runtime_of_pid(userdata, call, pid, reterr);
}

static int method_list_runtimes(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        g_autoptr(ListFilter) filter = NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        Bus *bus = userdata;
        uid_t uid = bus_get_caller_uid(bus, call);
        size_t size = 0;
        int r;

        r = list_filter_read(call, &filter, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(soa{sv})");
        for (Runtime *runtime = NULL; r >= 0 && (runtime = bus_next_visible(bus, uid, runtime));) {
                if (!list_filter_matches(filter, runtime))
                        continue;
                size += ROW_SIZE;
                for (char **label = runtime_get_options(runtime)->labels; label && *label; label++)
                        size += strlen(*label) + 8;
                r = sd_bus_message_open_container(reply, 'r', "soa{sv}");
                if (r >= 0)
                        r = sd_bus_message_append(reply, "so", bus_runtime_id(bus, uid, runtime), bus_get_object(bus, runtime)->path);
                if (r >= 0)
                        r = bus_append_runtime_summary(reply, bus_get_object(bus, runtime));
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_reply_sized(bus, reply, call, size);
}

static int append_kind_value(sd_bus_message *reply, const KindOption *option) {
        const KindValue *value = option->default_value;

        switch (option->type) {
        case KIND_OPTION_STRING:
        case KIND_OPTION_PATH:
                return sd_bus_message_append(reply, "v", "s", value ? value->s : "");
        case KIND_OPTION_STRINGS: {
                int r = sd_bus_message_open_container(reply, 'v', "as");

                if (r >= 0)
                        r = sd_bus_message_append_strv(reply, value ? value->strv : NULL);
                return r < 0 ? r : sd_bus_message_close_container(reply);
        }
        case KIND_OPTION_BOOLEAN:
                return sd_bus_message_append(reply, "v", "b", value ? value->b : 0);
        case KIND_OPTION_INTEGER:
                return sd_bus_message_append(reply, "v", "x", value ? value->x : INT64_C(0));
        case KIND_OPTION_SIZE:
        case KIND_OPTION_TIME:
                return sd_bus_message_append(reply, "v", "t", value ? value->t : UINT64_MAX);
        case _KIND_OPTION_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

static int append_kind_options(sd_bus_message *reply, const Kind *kind) {
        int r;

        r = sd_bus_message_open_container(reply, 'v', "a(sssbvas)");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sssbvas)");
        for (size_t i = 0; r >= 0 && i < kind->n_options; i++) {
                const KindOption *option = &kind->options[i];

                r = sd_bus_message_open_container(reply, 'r', "sssbvas");
                if (r >= 0)
                        r = sd_bus_message_append(reply, "sssb", option->name, kind_option_type_to_signature(option->type), option->description ?: "",
                                                  option->required);
                if (r >= 0)
                        r = append_kind_value(reply, option);
                if (r >= 0)
                        r = sd_bus_message_append_strv(reply, option->values);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* What the D-Bus type doesn't tell: that a text is a path, and a number a time. */
static int append_kind_option_types(sd_bus_message *reply, const Kind *kind) {
        int r;

        r = sd_bus_message_open_container(reply, 'v', "a{ss}");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{ss}");
        for (size_t i = 0; r >= 0 && i < kind->n_options; i++)
                r = sd_bus_message_append(reply, "{ss}", kind->options[i].name, kind_option_type_to_string(kind->options[i].type));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_kind_steps(sd_bus_message *reply, const Kind *kind) {
        int r;

        r = sd_bus_message_open_container(reply, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < kind->n_steps; i++)
                r = sd_bus_message_append(reply, "s", kind->steps[i].name);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_kind(sd_bus_message *reply, Manager *manager, const Kind *kind) {
        g_autofree char *problem = NULL;
        bool available = manager_kind_is_available(manager, kind, &problem);
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", kind->name);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "Description", "s", kind->description ?: "", "Available", "b", available,
                                          "Problem", "s", problem ?: "", "Path", "s", kind->path, "Handshake", "s",
                                          kind_handshake_type_to_string(kind->handshake.type), "Interrupt", "b",
                                          kind->interrupt.message || kind->interrupt.signal != 0);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", "Steps");
        if (r >= 0)
                r = append_kind_steps(reply, kind);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", "Options");
        if (r >= 0)
                r = append_kind_options(reply, kind);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", "OptionTypes");
        if (r >= 0)
                r = append_kind_option_types(reply, kind);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_list_kinds(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        g_autoptr(sd_bus_message) reply = NULL;
        Bus *bus = userdata;
        const KindSet *kinds = manager_get_kinds(bus->manager);
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sa{sv})");
        for (size_t i = 0; r >= 0 && i < kind_set_size(kinds); i++)
                r = append_kind(reply, bus->manager, kind_set_at(kinds, i));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_reply_sized(bus, reply, call, kind_set_size(kinds) * ROW_SIZE);
}

static int method_stop_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object;
        int r;

        r = read_runtime(userdata, call, &object, reterr);
        if (r < 0)
                return r;
        return bus_stop(object, call, reterr);
}

static int method_kill_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object;
        const char *who;
        int32_t signo;
        int r;

        r = read_runtime(userdata, call, &object, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(call, "si", &who, &signo);
        if (r < 0)
                return r;
        return bus_kill(object, call, who, signo, reterr);
}

static int method_subscribe(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        Bus *bus = userdata;
        Peer *peer = bus_get_caller(bus, call);
        unsigned before = peer_get_subscription(peer);
        uint32_t flags;
        int r;

        r = sd_bus_message_read(call, "u", &flags);
        if (r < 0)
                return r;
        if (flags == 0 || (flags & ~(SUBSCRIBE_LIFE | SUBSCRIBE_OUTPUT)))
                return sd_bus_error_set(reterr, SD_BUS_ERROR_INVALID_ARGS, "flags must be 1 (life), 2 (output) or 3 (both).");
        if (before == 0 && bus->subscribers->len >= LIMIT_SUBSCRIPTIONS)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "There are %u subscribers already.", LIMIT_SUBSCRIPTIONS);
        if (!audience_subscribe(bus, peer, before | flags))
                return bus_refuse_subscription(bus, reterr);
        clients_save_subscribers(bus);
        r = sd_bus_reply_method_return(call, NULL);
        if (!(before & SUBSCRIBE_OUTPUT) && (flags & SUBSCRIBE_OUTPUT))
                for (Runtime *runtime = NULL; (runtime = bus_next_visible(bus, peer_get_uid(peer), runtime));) {
                        RuntimeObject *object = bus_get_object(bus, runtime);

                        feed_subscribe(object->feed, peer, FEED_BY_MANAGER, UINT64_MAX);
                        feed_pump(object->feed);
                        clients_moved(object);
                }
        return r;
}

static int method_unsubscribe(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        Bus *bus = userdata;
        Peer *peer = bus_get_caller(bus, call);

        (void) audience_subscribe(bus, peer, 0);
        clients_save_subscribers(bus);
        for (Runtime *runtime = NULL; (runtime = bus_next_visible(bus, peer_get_uid(peer), runtime));)
                feed_unsubscribe(bus_get_object(bus, runtime)->feed, peer, FEED_BY_MANAGER);
        return sd_bus_reply_method_return(call, NULL);
}

static int method_reload(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        Bus *bus = userdata;
        int r;

        r = manager_reload(bus->manager, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, NULL);
}

static int method_get_statistics(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return bus_reply_statistics(userdata, call);
}

static int property_get_runtime_count(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                                      sd_bus_error *reterr) {
        Bus *bus = userdata;

        return sd_bus_message_append(reply, "u",
                                     (uint32_t) manager_get_n_runtimes(bus->manager, bus_get_caller_uid(bus, sd_bus_get_current_message(connection))));
}

static int property_get_runtimes_max(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                                     sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "u", (uint32_t) manager_get_runtimes_max(((Bus *) userdata)->manager));
}

static int property_get_retained_max(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                                     sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "u", (uint32_t) quotas_get_limits(manager_get_quotas(((Bus *) userdata)->manager))->max[QUOTA_ENDED]);
}

static int property_get_quotas(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                               sd_bus_error *reterr) {
        const QuotaLimits *limits = quotas_get_limits(manager_get_quotas(((Bus *) userdata)->manager));
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (QuotaKey key = 0; r >= 0 && key < _QUOTA_KEY_MAX; key++)
                r = sd_bus_message_append(reply, "{st}", quota_key_to_string(key), limits->max[key]);
        if (r >= 0)
                r = sd_bus_message_append(reply, "{st}{st}{st}", "StartsPerSecond", limits->starts_per_second, "StartsBurst", limits->starts_burst,
                                          "ArgumentsSizeMax", limits->arguments_size_max);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_get_version(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                                sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", PROJECT_VERSION);
}

static int property_get_features(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                                 sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "as", 0);
}

/* For numbers that are what they are: the row's offset is the number. */
static int property_get_constant(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                                 sd_bus_error *reterr) {
        uint32_t number = (uintptr_t) userdata;

        return sd_bus_message_append(reply, "u", number);
}

static int property_get_window(sd_bus *connection, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata,
                               sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "t", (uint64_t) LIMIT_WINDOW);
}

/* An absolute "offset": sd-bus hands it over as userdata. */
#define CONSTANT(name, number) SD_BUS_PROPERTY(name, "u", property_get_constant, number, SD_BUS_VTABLE_PROPERTY_CONST | SD_BUS_VTABLE_ABSOLUTE_OFFSET)

const sd_bus_vtable bus_manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("StartRuntime", SD_BUS_ARGS("s", kind, "a{sv}", options), SD_BUS_RESULT("s", id, "o", runtime), method_start_runtime,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WaitRuntime", SD_BUS_ARGS("s", id, "s", until), SD_BUS_RESULT("s", state, "a{sv}", report), method_wait_runtime,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetRuntime", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", runtime), method_get_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetRuntimeByPID", SD_BUS_ARGS("u", pid), SD_BUS_RESULT("s", id, "o", runtime), method_get_runtime_by_pid,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListRuntimes", SD_BUS_ARGS("a{sv}", filter), SD_BUS_RESULT("a(soa{sv})", runtimes), method_list_runtimes,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListKinds", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sa{sv})", kinds), method_list_kinds, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StopRuntime", SD_BUS_ARGS("s", id, "a{sv}", options), SD_BUS_NO_RESULT, method_stop_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("KillRuntime", SD_BUS_ARGS("s", id, "s", who, "i", signal), SD_BUS_NO_RESULT, method_kill_runtime, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_ARGS("u", flags), SD_BUS_NO_RESULT, method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_unsubscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetStatistics", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", statistics), method_get_statistics, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("RuntimeAdded", SD_BUS_ARGS("s", id, "o", runtime), 0),
        SD_BUS_SIGNAL_WITH_ARGS("RuntimeRemoved", SD_BUS_ARGS("s", id, "o", runtime), 0),
        SD_BUS_PROPERTY("Version", "s", property_get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        CONSTANT("InterfaceVersion", RM_INTERFACE_VERSION),
        SD_BUS_PROPERTY("Features", "as", property_get_features, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("RuntimeCount", "u", property_get_runtime_count, 0, 0),
        SD_BUS_PROPERTY("RuntimesMax", "u", property_get_runtimes_max, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("RetainedMax", "u", property_get_retained_max, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Quotas", "a{st}", property_get_quotas, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("WindowBytes", "t", property_get_window, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};
