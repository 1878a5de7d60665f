/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who sees which runtime. On a bus of many users a runtime exists for the user that it is of, for the one who started it, and for root; for others it is
 * as if it never was: whatever finds a runtime for a call finds it here, and says in the same words that there is none. */

#include <errno.h>
#include <string.h>

#include "bus/bus.h"
#include "util/names.h"

Peer *bus_get_caller(Bus *bus, sd_bus_message *call) {
        const char *sender = sd_bus_message_get_sender(call);

        return sender ? peer_table_find(bus->peers, sender) : NULL;
}

uid_t bus_get_caller_uid(Bus *bus, sd_bus_message *call) {
        const Peer *caller = bus_get_caller(bus, call);

        return caller ? peer_get_uid(caller) : UID_UNKNOWN;
}

bool bus_may_see(const Bus *bus, uid_t uid, const Runtime *runtime) {
        if (!bus->many_users)
                return true;
        if (uid == UID_UNKNOWN)
                return false;
        return uid == 0 || uid == runtime_get_uid(runtime) || uid == runtime_get_starter_uid(runtime);
}

/* The call may be one that sd-bus answers by itself. */
bool bus_may_reach(Bus *bus, sd_bus_message *call, const Runtime *runtime) {
        return !bus->many_users || (call && bus_may_see(bus, bus_get_caller_uid(bus, call), runtime));
}

const char *bus_runtime_id(const Bus *bus, uid_t uid, const Runtime *runtime) {
        return !bus->many_users || uid == runtime_get_uid(runtime) ? runtime_get_id(runtime) : runtime_get_name(runtime);
}

int bus_find_object(Bus *bus, sd_bus_message *call, const char *path, RuntimeObject **ret) {
        Runtime *runtime;

        if (!g_str_has_prefix(path, RM_RUNTIME_PREFIX "/"))
                return 0;
        runtime = manager_get(bus->manager, path + strlen(RM_RUNTIME_PREFIX "/"));
        if (!runtime || !bus_may_reach(bus, call, runtime))
                return 0;
        *ret = bus_get_object(bus, runtime);
        return 1;
}

int bus_find_by_id(Bus *bus, sd_bus_message *call, const char *id, RuntimeObject **ret, sd_bus_error *reterr) {
        Runtime *runtime = manager_find(bus->manager, bus_get_caller_uid(bus, call), id);

        if (!runtime || !bus_may_reach(bus, call, runtime))
                return sd_bus_error_setf(reterr, RM_ERROR_NO_SUCH_RUNTIME, "There is no runtime \"%.64s\"; ListRuntimes tells which there are.", id);
        *ret = bus_get_object(bus, runtime);
        return 0;
}

/* Nor does it tell which processes there are. */
int bus_find_by_pid(Bus *bus, sd_bus_message *call, uint32_t pid, RuntimeObject **ret, sd_bus_error *reterr) {
        Runtime *runtime = pid > 0 && pid <= INT32_MAX ? manager_find_by_pid(bus->manager, (pid_t) pid) : NULL;

        if (!runtime || !bus_may_reach(bus, call, runtime))
                return sd_bus_error_setf(reterr, RM_ERROR_NO_SUCH_RUNTIME, "There is no process %u that belongs to a runtime.", pid);
        *ret = bus_get_object(bus, runtime);
        return 0;
}

Runtime *bus_next_visible(Bus *bus, uid_t uid, Runtime *runtime) {
        do
                runtime = manager_next(bus->manager, runtime);
        while (runtime && !bus_may_see(bus, uid, runtime));
        return runtime;
}

int bus_authorize_start(Bus *bus, sd_bus_message *call, const char *kind, const StartOptions *options, sd_bus_error *reterr) {
        uid_t uid = bus_get_caller_uid(bus, call);

        if (!bus->many_users || (uid != UID_UNKNOWN && uid == options->uid))
                return 1;
        if (uid == 0)
                return 1;
        return sd_bus_error_setf(reterr, SD_BUS_ERROR_ACCESS_DENIED, "You may not start runtimes for another user.");
}
