/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which runtime a call is about. Who may know of it is for auth.c to say; for others it is as if it never was: whatever finds a runtime for a call finds it
 * here, and says in the same words that there is none. */

#include <errno.h>
#include <string.h>

#include "bus/bus.h"
#include "util/macro.h"
#include "util/message-ids.h"
#include "util/names.h"
#include "util/text.h"

Peer *bus_get_caller(Bus *bus, sd_bus_message *call) {
        const char *sender = sd_bus_message_get_sender(call);

        return sender ? peer_table_find(bus->peers, sender) : NULL;
}

uid_t bus_get_caller_uid(Bus *bus, sd_bus_message *call) {
        const Peer *caller = bus_get_caller(bus, call);

        return caller ? peer_get_uid(caller) : UID_UNKNOWN;
}

bool bus_may_see(const Bus *bus, uid_t uid, const Runtime *runtime) {
        return auth_may_see(bus->auth, uid, runtime_get_uid(runtime), runtime_get_starter_uid(runtime));
}

bool bus_may_reach(Bus *bus, sd_bus_message *call, const Runtime *runtime) {
        return auth_may_reach(bus->auth, call, call ? bus_get_caller_uid(bus, call) : UID_UNKNOWN, runtime_get_name(runtime), runtime_get_uid(runtime),
                              runtime_get_starter_uid(runtime));
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
        _cleanup_free_ char *quoted = NULL;

        if (!runtime || !bus_may_reach(bus, call, runtime)) {
                quoted = text_quote_name(id);
                return sd_bus_error_setf(reterr, RM_ERROR_NO_SUCH_RUNTIME, "There is no runtime %s; ListRuntimes tells which there are.", quoted);
        }
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
        bool all = auth_sees_all(bus->auth, uid);

        do
                runtime = all ? manager_next(bus->manager, runtime) : manager_next_of(bus->manager, uid, runtime);
        while (runtime && !bus_may_see(bus, uid, runtime));
        return runtime;
}

int bus_authorize_start(Bus *bus, sd_bus_message *call, const char *kind, const StartOptions *options, sd_bus_error *reterr) {
        const AuthStart start = {kind, options->id, options->uid, user_get_name(options->user)};

        return auth_check_start(bus->auth, call, bus_get_caller_uid(bus, call), &start, reterr);
}

/* What is written in another way than by us is nobody's name. */
static uid_t parse_name(const char *name) {
        g_autofree char *again = NULL;
        const char *id;
        uid_t uid;

        id = runtime_name_parse(true, name, &uid);
        if (!id || strlen(id) > 32 || id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
                return UID_NOBODYS;
        again = runtime_name(true, uid, id);
        return strcmp(again, name) == 0 ? uid : UID_NOBODYS;
}

/* In the order of manager_find(): an id of the caller's own, a name, and what isn't one would be the caller's. */
static void find_target(void *userdata, uid_t caller, const char *text, bool is_path, AuthTarget *ret) {
        const char *given = is_path ? text + strlen(RM_RUNTIME_PREFIX "/") : text, *name = given;
        g_autofree char *own = is_path ? NULL : runtime_name(true, caller, text);
        const Runtime *runtime;
        Bus *bus = userdata;

        if (own && (manager_get(bus->manager, own) || parse_name(given) == UID_NOBODYS))
                name = own;
        runtime = manager_get(bus->manager, name);
        *ret = (AuthTarget){.uid = parse_name(name), .exists = runtime, .starter_uid = UID_NOBODYS};
        if (ret->uid != UID_NOBODYS)
                (void) g_strlcpy(ret->name, name, sizeof(ret->name));
        if (!runtime)
                return;
        ret->uid = runtime_get_uid(runtime);
        ret->starter_uid = runtime_get_starter_uid(runtime);
        ret->kind = runtime_get_kind(runtime)->name;
        ret->user = user_get_name(runtime_get_options(runtime)->user);
}

static void on_failing(void *userdata, const char *action, const char *problem) {
        Bus *bus = userdata;

        if (bus->manager)
                journal_write(manager_get_journal(bus->manager), JOURNAL_WARNING, MESSAGE_ID_NOT_AUTHORIZED,
                              (const JournalField[]){{"POLKIT_ACTION", action}, {}}, "Nobody is authorized: %s (%s)", problem, action);
}

const AuthHandler bus_auth_handler = {.find_target = find_target, .on_failing = on_failing};
