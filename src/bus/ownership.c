/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who a runtime belongs to: one peer of the bus, whose leaving ends it, after a time to come back in. Nobody else's leaving matters. The runtime's room knows
 * the deadline, this one the peers.
 *
 * Who owns it and until when somebody must are two records. The deadline is set before an owner is dropped, and lifted after one is taken, and one who comes
 * back from a record lifts it again: so a crash in between leaves nobody's runtime running for ever, and ends nobody's who has an owner. */

#include "bus/bus.h"

#include "bus/steer-request.h"
#include "util/macro.h"
#include "util/names.h"

/* gone: there was one, who has left. */
static void set_owner(RuntimeObject *object, Peer *owner, const char *name, bool gone) {
        Peer *old = object->owner;
        char *new_name = g_strdup(name ?: "");

        g_free(object->owner_name);
        object->owner_name = new_name;
        object->owner = owner;
        object->owner_gone = gone;
        if (old != owner) {
                if (old)
                        g_ptr_array_remove_fast(peer_get_owned(old), object);
                if (owner)
                        g_ptr_array_add(peer_get_owned(owner), object);
        }
        clients_save(object);
        emit_properties(object, RUNTIME_PROPERTY_OWNER);
        if (old != owner)
                emit_owner_changed(object);
}

void ownership_begin(RuntimeObject *object, Peer *caller) {
        const StartOptions *options = runtime_get_options(object->runtime);

        object->owner_grace_usec = options->owner_grace_usec;
        switch (options->owner) {
        case OWNER_NONE:
                break;
        case OWNER_CALLER:
                set_owner(object, caller, options->owner_name, false);
                break;
        case OWNER_REQUIRED:
                runtime_expect_owner(object->runtime, options->owner_timeout_usec, REASON_NO_OWNER);
                break;
        }
}

int ownership_take(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr) {
        _cleanup_(ownership_request_done) OwnershipRequest request = {0};
        Peer *caller = bus_get_caller(object->bus, call);
        int r;

        r = ownership_request_read(call, &request, reterr);
        if (r < 0)
                return r;
        if (runtime_get_state(object->runtime) >= RUNTIME_STOPPING)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" is in the state %s; it can't be owned any more.",
                                         runtime_get_id(object->runtime), runtime_state_to_string(runtime_get_state(object->runtime)));
        if (object->owner && object->owner != caller && !request.replace)
                return sd_bus_error_setf(reterr, RM_ERROR_HAS_OWNER, "The runtime \"%s\" is owned by %s (%s); take it over with the option Replace.",
                                         runtime_get_id(object->runtime), object->owner_name[0] ? object->owner_name : "somebody",
                                         peer_get_name(object->owner));
        if (request.grace_usec != TIME_UNSET)
                object->owner_grace_usec = request.grace_usec;
        /* An owner that only wants another grace time keeps its name. */
        set_owner(object, caller, request.name ?: (object->owner == caller ? object->owner_name : NULL), false);
        runtime_expect_owner(object->runtime, USEC_INFINITY, REASON_NO_OWNER);
        return sd_bus_reply_method_return(call, NULL);
}

int ownership_release(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr) {
        const StartOptions *options = runtime_get_options(object->runtime);

        if (!object->owner || bus_get_caller(object->bus, call) != object->owner)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "You don't own the runtime \"%s\".", runtime_get_id(object->runtime));
        if (options->owner == OWNER_REQUIRED)
                runtime_expect_owner(object->runtime, options->owner_timeout_usec, REASON_NO_OWNER);
        set_owner(object, NULL, NULL, false);
        return sd_bus_reply_method_return(call, NULL);
}

/* The time that it has without an owner begins anew. */
void ownership_resume(RuntimeObject *object) {
        const StartOptions *options = runtime_get_options(object->runtime);

        if (object->owner_gone)
                runtime_expect_owner(object->runtime, object->owner_grace_usec, REASON_OWNER_GONE);
        else if (options->owner == OWNER_REQUIRED && !object->owner)
                runtime_expect_owner(object->runtime, options->owner_timeout_usec, REASON_NO_OWNER);
}

void ownership_forget_gone(RuntimeObject *object) {
        object->owner_gone = false;
}

void ownership_end(RuntimeObject *object) {
        if (object->owner)
                g_ptr_array_remove_fast(peer_get_owned(object->owner), object);
        object->owner = NULL;
        g_clear_pointer(&object->owner_name, g_free);
}

void ownership_drop_peer(Peer *peer) {
        GPtrArray *owned = peer_get_owned(peer);

        while (owned->len > 0) {
                RuntimeObject *object = owned->pdata[0];

                runtime_expect_owner(object->runtime, object->owner_grace_usec, REASON_OWNER_GONE);
                set_owner(object, NULL, NULL, true);
        }
}
