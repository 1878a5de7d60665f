/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The options are read twice: when the call comes, so that what is wrong is refused at once, and when the user is known, since the kinds may have been read
 * again meanwhile. */

#include "bus/start-call.h"

#include <errno.h>
#include <string.h>

#include "bus/bus.h"
#include "bus/start-request.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/text.h"

/* What waits for the manager to say who a user is: its callback comes, whether there is still somebody to be answered or not. */
typedef struct StartCall {
        Bus *bus;
        Peer *caller; /* NULL: gone */
        uid_t uid;    /* of the caller */
        char *user_name;
        sd_bus_message *call;
        AuthVerdict *verdict; /* NULL: none yet */
} StartCall;

static void start_call_give_up(StartCall *start) {
        if (start->caller && start->bus->manager)
                quotas_give(manager_get_quotas(start->bus->manager), start->uid, QUOTA_CALLS, 1);
        start->caller = NULL;
        start->verdict = auth_drop_verdict(start->verdict);
}

static void start_call_free(StartCall *start) {
        start_call_give_up(start);
        g_ptr_array_remove_fast(start->bus->start_calls, start);
        sd_bus_message_unref(start->call);
        g_free(start->user_name);
        g_free(start);
}

static int read_call(Bus *bus, sd_bus_message *call, uid_t uid, const char **ret_kind, StartOptions **ret, sd_bus_error *reterr) {
        const Kind *kind;
        int r;

        r = sd_bus_message_read(call, "s", ret_kind);
        if (r < 0)
                return r;
        r = manager_find_kind(bus->manager, *ret_kind, &kind, reterr);
        if (r < 0)
                return r;
        return start_request_read(call, kind, uid, quotas_get_limits(manager_get_quotas(bus->manager))->arguments_size_max, ret, reterr);
}

/* Takes options. */
static int start(Bus *bus, Peer *caller, sd_bus_message *call, const char *kind, StartOptions *options, sd_bus_error *reterr) {
        unsigned n_before = g_hash_table_size(bus->objects);
        RuntimeObject *object;
        Runtime *runtime;
        int r;

        r = manager_start(bus->manager, kind, options, &runtime, reterr);
        if (r < 0)
                return r;
        object = bus_get_object(bus, runtime);
        if (g_hash_table_size(bus->objects) > n_before || runtime_is_start_lost(runtime))
                ownership_begin(object, caller);
        /* Of one whose restart failed there is nothing to wait for. */
        if (runtime_is_started(runtime) || runtime_get_state(runtime) == RUNTIME_ENDED)
                return sd_bus_reply_method_return(call, "so", bus_runtime_id(bus, peer_get_uid(caller), runtime), object->path);
        if (object->start_calls->len >= LIMIT_WAITERS)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "%u calls wait for this start already.", LIMIT_WAITERS);
        g_ptr_array_add(object->start_calls, sd_bus_message_ref(call));
        return 1;
}

/* user: NULL: the one that this process runs for. 0: the call will come again. */
static int start_for(StartCall *waiting, const User *user, sd_bus_error *reterr) {
        g_autoptr(StartOptions) options = NULL;
        Bus *bus = waiting->bus;
        const char *kind;
        int r;

        r = sd_bus_message_rewind(waiting->call, true);
        if (r >= 0)
                r = read_call(bus, waiting->call, waiting->uid, &kind, &options, reterr);
        if (r < 0)
                return r;
        if (user)
                start_options_set_user(options, user_copy(user));
        auth_resume_verdict(bus->auth, TAKE_PTR(waiting->verdict));
        r = bus_authorize_start(bus, waiting->call, kind, options, reterr);
        return r <= 0 ? r : start(bus, waiting->caller, waiting->call, kind, g_steal_pointer(&options), reterr);
}

static int refuse_user(const StartCall *waiting, int error, sd_bus_error *reterr) {
        g_autofree char *number = g_strdup_printf("%u", (unsigned) waiting->uid);
        _cleanup_free_ char *name = text_quote_name(waiting->user_name ?: number);

        switch (error) {
        case ENOENT:
                return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "There is no user %s; say by the option User for whom the runtime is.", name);
        case EPERM:
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_ACCESS_DENIED, "The service doesn't start runtimes for the user %s.", name);
        case EIO:
                return sd_bus_error_set(reterr, RM_ERROR_START_FAILED, "There is no connection to the spawner just now; try again in a moment.");
        default:
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "It can't be found out who the user %s is: %s.", name, g_strerror(error));
        }
}

static void on_user(void *userdata, int error, const User *user) {
        StartCall *waiting = userdata;
        g_auto(sd_bus_error) refusal = SD_BUS_ERROR_NULL;
        int r = 0;

        if (waiting->caller) {
                r = error != 0 ? refuse_user(waiting, error, &refusal) : start_for(waiting, user, &refusal);
                if (r < 0)
                        (void) (sd_bus_error_is_set(&refusal) ? sd_bus_reply_method_error(waiting->call, &refusal)
                                                              : sd_bus_reply_method_errno(waiting->call, r, NULL));
        }
        start_call_free(waiting);
}

static bool is_self(const char *user_name) {
        g_autofree char *number = g_strdup_printf("%u", (unsigned) getuid());

        return strcmp(user_name, number) == 0 || g_strcmp0(user_name, g_get_user_name()) == 0;
}

static int check_user(const Bus *bus, uid_t uid, const char *user_name, sd_bus_error *reterr) {
        if (!bus->many_users && user_name && !is_self(user_name))
                return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED,
                                        "The option User is for the service of the system bus; here runtimes are for the user of the session alone.");
        if (bus->many_users && uid == 0 && !user_name)
                return sd_bus_error_set(reterr, RM_ERROR_INVALID_OPTION, "Say User=root if root is meant, or which user the runtime is for.");
        return 0;
}

int method_start_runtime(sd_bus_message *call, void *userdata, sd_bus_error *reterr) {
        g_autoptr(StartOptions) options = NULL;
        Bus *bus = userdata;
        Peer *caller = bus_get_caller(bus, call);
        uid_t uid = bus_get_caller_uid(bus, call);
        StartCall *waiting;
        const char *kind;
        int r;

        r = read_call(bus, call, uid, &kind, &options, reterr);
        if (r < 0)
                return r;
        r = check_user(bus, uid, options->user_name, reterr);
        if (r < 0)
                return r;
        if (!quotas_take(manager_get_quotas(bus->manager), uid, QUOTA_CALLS, 1))
                return bus_refuse_call(bus, reterr);
        waiting = g_new(StartCall, 1);
        *waiting = (StartCall){bus, caller, uid, g_steal_pointer(&options->user_name), sd_bus_message_ref(call), auth_keep_verdict(bus->auth, call)};
        g_ptr_array_add(bus->start_calls, waiting);
        manager_find_user(bus->manager, uid, bus->many_users ? waiting->user_name : NULL, on_user, waiting);
        return 1;
}

void start_calls_drop_peer(Bus *bus, Peer *peer) {
        for (unsigned i = 0; i < bus->start_calls->len; i++) {
                StartCall *waiting = bus->start_calls->pdata[i];

                if (waiting->caller == peer)
                        start_call_give_up(waiting);
        }
}

void start_calls_drop(Bus *bus) {
        for (unsigned i = 0; i < bus->start_calls->len; i++)
                start_call_give_up(bus->start_calls->pdata[i]);
}

void start_calls_free(Bus *bus) {
        while (bus->start_calls->len > 0)
                start_call_free(bus->start_calls->pdata[0]);
        g_ptr_array_unref(bus->start_calls);
}
