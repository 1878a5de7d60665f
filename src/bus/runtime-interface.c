/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The interface of one runtime. dbus/org.example.RuntimeManager.Runtime.xml says what each member means; a test holds the vtable below against it. */

#include "bus/bus.h"

#include <errno.h>

#include "bus/lines.h"
#include "bus/steer-request.h"
#include "core/cgroup.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/output-frame.h"

static int method_stop(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return bus_stop(userdata, call, reterr);
}

static int method_kill(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        const char *who;
        int32_t signo;
        int r;

        r = sd_bus_message_read(call, "si", &who, &signo);
        if (r < 0)
                return r;
        return bus_kill(userdata, call, who, signo, reterr);
}

/* For requests that the keeper answers: the call is kept until it does. */
static int keep_call(sd_bus_message *call, int r) {
        if (r < 0)
                sd_bus_message_unref(call);
        return r < 0 ? r : 1;
}

static int method_interrupt(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;

        return keep_call(call, runtime_interrupt(object->runtime, bus_answer_call, sd_bus_message_ref(call), reterr));
}

static int method_forget(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        int r;

        r = manager_forget(object->bus->manager, object->runtime, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, NULL);
}

static int append_usage(sd_bus_message *reply, const char *cgroup) {
        static const struct {
                const char *name, *file, *key;
                uint64_t factor;
        } table[] = {
                {"MemoryCurrent", "memory.current", NULL, 1},
                {"MemoryPeak", "memory.peak", NULL, 1},
                {"CPUUsageNSec", "cpu.stat", "usage_usec", NSEC_PER_USEC},
                {"TasksCurrent", "pids.current", NULL, 1},
                {"OOMKills", "memory.events", "oom_kill", 1},
        };
        static const struct { const char *name, *field; } io_table[] = {{"IOReadBytes", "rbytes"}, {"IOWriteBytes", "wbytes"}};
        uint64_t value;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(table); i++)
                if (cgroup_read(cgroup, RM_CGROUP_PAYLOAD, table[i].file, table[i].key, &value) >= 0)
                        r = sd_bus_message_append(reply, "{sv}", table[i].name, "t", value * table[i].factor);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(io_table); i++)
                if (cgroup_read_io(cgroup, RM_CGROUP_PAYLOAD, io_table[i].field, &value) >= 0)
                        r = sd_bus_message_append(reply, "{sv}", io_table[i].name, "t", value);
        return r;
}

static int method_get_usage(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        g_autoptr(sd_bus_message) reply = NULL;
        RuntimeObject *object = userdata;
        const char *cgroup = runtime_get_control_group(object->runtime);
        int r;

        if (cgroup[0] == '\0')
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" has no cgroup (state %s).", runtime_get_id(object->runtime),
                                         runtime_state_to_string(runtime_get_state(object->runtime)));
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = append_usage(reply, cgroup);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int read_output(sd_bus_message *call, RuntimeObject *object, LinesFlags flags, sd_bus_error *reterr) {
        const RingReader *ring = runtime_get_ring(object->runtime);
        g_autoptr(sd_bus_message) reply = NULL;
        uint64_t after, last;
        RingCursor cursor;
        uint32_t max;
        size_t size;
        int n, r;

        r = sd_bus_message_read(call, "tu", &after, &max);
        if (r < 0)
                return r;
        last = ring_reader_last(ring);
        cursor = ring_cursor_after(MIN_OF(after, last));
        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        n = lines_append(reply, ring, &cursor, flags, max ?: UINT32_MAX, LIMIT_READ_OUTPUT, &size);
        if (n < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime's output can't be read: %s.", g_strerror(-n));
        /* As it was when it was read, and no later look: who is told of more and given none would ask for ever, and who goes on behind "last" would miss what
         * has been written since. A restarted runtime's ring is empty at first, whatever its last number. */
        last = MAX_OF(last, cursor.number - 1);
        r = sd_bus_message_append(reply, "tb", last, n > 0 && cursor.number <= last);
        return r < 0 ? r : bus_reply_sized(object->bus, reply, call, size);
}

static int method_read_output(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return read_output(call, userdata, 0, reterr);
}

static int method_read_output_text(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return read_output(call, userdata, LINES_TEXT, reterr);
}

/* Who may hold the runtime back. */
static bool is_owner_or_starter(RuntimeObject *object, sd_bus_message *call) {
        Peer *caller = bus_get_caller(object->bus, call);

        return (caller && caller == object->owner) || bus_get_caller_uid(object->bus, call) == runtime_get_starter_uid(object->runtime);
}

static int method_open_output(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        uint64_t after;
        uint32_t flags;
        int r;

        r = sd_bus_message_read(call, "tu", &after, &flags);
        if (r < 0)
                return r;
        if (flags & ~OUTPUT_FLAGS)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_INVALID_ARGS,
                                         "flags is %u; there are 1 (setup), 2 (stdout), 4 (stderr), 8 (framed) and 16 (lossless), and their sums.", flags);
        if (flags & OUTPUT_LOSSLESS && !is_owner_or_starter(object, call))
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_ACCESS_DENIED,
                                         "Only the owner of the runtime \"%s\" and who has started it may hold it back; open its output without lossless (16).",
                                         runtime_get_id(object->runtime));
        r = bus_take_pipe(object->bus, bus_get_caller(object->bus, call), reterr);
        if (r < 0)
                return r;
        return keep_call(call, runtime_output_open(object->runtime, after, flags, bus_answer_call, sd_bus_message_ref(call), reterr));
}

static int method_open_input(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        int r;

        r = bus_take_pipe(object->bus, bus_get_caller(object->bus, call), reterr);
        if (r < 0)
                return r;
        return keep_call(call, runtime_input_open(object->runtime, bus_answer_call, sd_bus_message_ref(call), reterr));
}

static int method_write_input(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        const void *bytes;
        size_t size;
        int r;

        r = sd_bus_message_read_array(call, 'y', &bytes, &size);
        if (r < 0)
                return r;
        return keep_call(call, runtime_input_write(object->runtime, bytes, size, bus_answer_call, sd_bus_message_ref(call), reterr));
}

static int method_close_input(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;

        return keep_call(call, runtime_input_close(object->runtime, bus_answer_call, sd_bus_message_ref(call), reterr));
}

static int method_resize_terminal(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        uint16_t rows, columns;
        int r;

        r = sd_bus_message_read(call, "qq", &rows, &columns);
        if (r < 0)
                return r;
        return keep_call(call, runtime_resize_terminal(object->runtime, rows, columns, bus_answer_call, sd_bus_message_ref(call), reterr));
}

static int method_subscribe(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        Peer *peer = bus_get_caller(object->bus, call);
        uint64_t after;
        uint32_t flags;
        int r;

        r = sd_bus_message_read(call, "tu", &after, &flags);
        if (r < 0)
                return r;
        if (flags == 0 || (flags & ~(SUBSCRIBE_LIFE | SUBSCRIBE_OUTPUT)))
                return sd_bus_error_set(reterr, SD_BUS_ERROR_INVALID_ARGS, "flags must be 1 (life), 2 (output) or 3 (both).");
        /* One that is subscribed already may begin anew. */
        if ((flags & SUBSCRIBE_OUTPUT) && feed_get_n_subscribers(object->feed) >= LIMIT_SUBSCRIBERS && !feed_has_subscriber(object->feed, peer))
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "The runtime has %u subscribers already.", LIMIT_SUBSCRIBERS);
        if ((flags & SUBSCRIBE_LIFE) && audience_count_followers(object) >= LIMIT_SUBSCRIBERS && !audience_find_follower(object, peer))
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "The runtime has %u subscribers already.", LIMIT_SUBSCRIBERS);
        if (!audience_follow(object, peer, flags & SUBSCRIBE_LIFE))
                return bus_refuse_subscription(object->bus, reterr);
        if (flags & SUBSCRIBE_OUTPUT)
                feed_subscribe(object->feed, peer, FEED_BY_RUNTIME, after);
        clients_save(object);
        r = sd_bus_reply_method_return(call, "t", ring_reader_last(runtime_get_ring(object->runtime)));
        feed_pump(object->feed);
        return r;
}

static int method_unsubscribe(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;

        Peer *peer = bus_get_caller(object->bus, call);

        feed_unsubscribe(object->feed, peer, FEED_BY_RUNTIME);
        audience_unfollow(object, peer);
        clients_save(object);
        return sd_bus_reply_method_return(call, NULL);
}

static int method_take_ownership(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return ownership_take(userdata, call, reterr);
}

static int method_release_ownership(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        return ownership_release(userdata, call, reterr);
}

static int method_get_connection(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        g_autoptr(sd_bus_message) reply = NULL;
        RuntimeObject *object = userdata;
        int r;

        if (runtime_get_state(object->runtime) != RUNTIME_READY)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" is in the state %s; only one that is ready can be connected to.",
                                         runtime_get_id(object->runtime), runtime_state_to_string(runtime_get_state(object->runtime)));
        if (!runtime_get_connection(object->runtime))
                return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED, "The runtime has told no way to connect to it.");
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_sensitive(reply);
        if (r >= 0)
                r = bus_append_connection(reply, runtime_get_connection(object->runtime));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_restart(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        int r;

        if (object->start_calls->len >= LIMIT_WAITERS)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "%u calls wait for this start already.", LIMIT_WAITERS);
        if (runtime_get_state(object->runtime) == RUNTIME_ENDED)
                ownership_forget_gone(object);
        /* First, for the start may be answered at once. */
        g_ptr_array_add(object->start_calls, sd_bus_message_ref(call));
        r = manager_restart(object->bus->manager, object->runtime, bus_get_caller_uid(object->bus, call), reterr);
        if (r < 0) {
                g_ptr_array_remove_fast(object->start_calls, call);
                return r;
        }
        return 1;
}

typedef struct LimitsCall {
        Bus *bus;
        char *name;
        LimitSet limits;
        unsigned keys;
        sd_bus_message *call;
} LimitsCall;

static void on_limits_set(void *userdata, const sd_bus_error *error) {
        LimitsCall *limits = userdata;
        Runtime *runtime = manager_get(limits->bus->manager, limits->name);

        if (error && sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED))
                (void) sd_bus_reply_method_errorf(limits->call, RM_ERROR_BAD_STATE, "It isn't known whether the limits were set: %s; try again.",
                                                  error->message);
        else if (error)
                (void) sd_bus_reply_method_errorf(limits->call, RM_ERROR_INVALID_OPTION, "systemd refused the limits: %s", error->message);
        else {
                if (runtime)
                        runtime_limits_changed(runtime, &limits->limits, limits->keys);
                (void) sd_bus_reply_method_return(limits->call, NULL);
        }
        sd_bus_message_unref(limits->call);
        g_free(limits->name);
        g_free(limits);
}

static int method_set_limits(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        RuntimeObject *object = userdata;
        LimitSet set = *runtime_get_limits(object->runtime);
        LimitsCall *limits;
        unsigned keys;
        int r;

        r = limits_request_read(call, &set, &keys, reterr);
        if (r < 0)
                return r;
        limits = g_new(LimitsCall, 1);
        *limits = (LimitsCall){object->bus, g_strdup(runtime_get_name(object->runtime)), set, keys, sd_bus_message_ref(call)};
        r = runtime_set_limits(object->runtime, &set, keys, on_limits_set, limits, reterr);
        if (r < 0) {
                sd_bus_message_unref(limits->call);
                g_free(limits->name);
                g_free(limits);
                return r;
        }
        return 1;
}

#define CONST(name, signature) SD_BUS_PROPERTY(name, signature, property_get_runtime, 0, SD_BUS_VTABLE_PROPERTY_CONST)
#define CHANGES(name, signature) SD_BUS_PROPERTY(name, signature, property_get_runtime, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

const sd_bus_vtable bus_runtime_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Kill", SD_BUS_ARGS("s", who, "i", signal), SD_BUS_NO_RESULT, method_kill, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Interrupt", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_interrupt, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Forget", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_forget, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetUsage", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", usage), method_get_usage, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReadOutput", SD_BUS_ARGS("t", after, "u", max), SD_BUS_RESULT("a(tytuay)", lines, "t", last, "b", more), method_read_output,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReadOutputText", SD_BUS_ARGS("t", after, "u", max), SD_BUS_RESULT("a(tytus)", lines, "t", last, "b", more),
                                method_read_output_text, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenOutput", SD_BUS_ARGS("t", after, "u", flags), SD_BUS_RESULT("h", pipe), method_open_output, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenInput", SD_BUS_NO_ARGS, SD_BUS_RESULT("h", pipe), method_open_input, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WriteInput", SD_BUS_ARGS("ay", bytes), SD_BUS_NO_RESULT, method_write_input, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CloseInput", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_close_input, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ResizeTerminal", SD_BUS_ARGS("q", rows, "q", columns), SD_BUS_NO_RESULT, method_resize_terminal, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_ARGS("t", after, "u", flags), SD_BUS_RESULT("t", last), method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_unsubscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetLimits", SD_BUS_ARGS("a{sv}", limits), SD_BUS_NO_RESULT, method_set_limits, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("TakeOwnership", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_take_ownership, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReleaseOwnership", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_release_ownership, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetConnection", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{sv}", connection), method_get_connection,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("Restart", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_restart, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("StateChanged", SD_BUS_ARGS("s", old_state, "s", new_state), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SetupProgress", SD_BUS_ARGS("s", step, "u", index, "u", total), 0),
        SD_BUS_SIGNAL_WITH_ARGS("HandshakeCompleted", SD_BUS_ARGS("a{sv}", details), 0),
        SD_BUS_SIGNAL_WITH_ARGS("OutputLines", SD_BUS_ARGS("a(tytus)", lines), 0),
        SD_BUS_SIGNAL_WITH_ARGS("OutputDropped", SD_BUS_ARGS("t", first, "t", count), 0),
        SD_BUS_SIGNAL_WITH_ARGS("OwnerChanged", SD_BUS_ARGS("s", owner), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Warning", SD_BUS_ARGS("s", code, "a{sv}", details), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Ended", SD_BUS_ARGS("a{sv}", report), 0),
        CONST("Id", "s"),
        CONST("Kind", "s"),
        CONST("Description", "s"),
        CONST("Labels", "a{ss}"),
        CONST("UID", "u"),
        CONST("StarterUID", "u"),
        CONST("Input", "s"),
        CONST("StartTimestamp", "t"),
        CHANGES("State", "s"),
        CHANGES("StatusText", "s"),
        CHANGES("Step", "s"),
        CHANGES("Deadline", "t"),
        CHANGES("Unit", "s"),
        CHANGES("ControlGroup", "s"),
        CHANGES("MainPID", "u"),
        CHANGES("Node", "s"),
        CHANGES("Limits", "a{sv}"),
        CHANGES("ReadyTimestamp", "t"),
        CHANGES("EndTimestamp", "t"),
        CHANGES("EndReport", "a{sv}"),
        CHANGES("Generation", "u"),
        CHANGES("Owner", "s"),
        CHANGES("OwnerName", "s"),
        SD_BUS_VTABLE_END,
};
