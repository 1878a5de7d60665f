/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runtimes as objects on the bus: made and removed with them; the calls that wait for them; what the manager's news mean here.
 *
 * Every call that is kept is answered exactly once: by bus_answer_start(), bus_answer_waits() or bus_answer_call(), also when its runtime goes. A
 * caller that has gone meanwhile is answered all the same; the bus drops that. */

#include "bus/bus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "bus/steer-request.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

typedef struct WaitCall {
        RuntimeObject *object;
        Peer *caller;
        sd_bus_message *call;
        bool until_ended;
} WaitCall;

static void wait_call_free(gpointer data) {
        WaitCall *wait = data;

        g_ptr_array_remove_fast(peer_get_calls(wait->caller), wait);
        if (wait->object->bus->manager)
                quotas_give(manager_get_quotas(wait->object->bus->manager), peer_get_uid(wait->caller), QUOTA_CALLS, 1);
        sd_bus_message_unref(wait->call);
        g_free(wait);
}

int bus_refuse_call(Bus *bus, sd_bus_error *reterr) {
        return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "%" PRIu64 " calls of this user wait already (%s).",
                                 quotas_get_limits(manager_get_quotas(bus->manager))->max[QUOTA_CALLS], quota_key_to_string(QUOTA_CALLS));
}

int bus_refuse_subscription(Bus *bus, sd_bus_error *reterr) {
        return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "This user has %" PRIu64 " subscriptions already (%s).",
                                 quotas_get_limits(manager_get_quotas(bus->manager))->max[QUOTA_SUBSCRIBERS], quota_key_to_string(QUOTA_SUBSCRIBERS));
}

/* As much as is asked about at once (peer.c). */
#define PIPE_SIZE (LIMIT_WINDOW / 8)

int bus_take_pipe(Bus *bus, Peer *peer, sd_bus_error *reterr) {
        Quotas *quotas = manager_get_quotas(bus->manager);

        if (!quotas_take(quotas, peer_get_uid(peer), QUOTA_PIPES, 1))
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "%" PRIu64 " pipes were sent to this user and not taken yet (%s).",
                                         quotas_get_limits(quotas)->max[QUOTA_PIPES], quota_key_to_string(QUOTA_PIPES));
        peer_get_pipes(peer)->sent++;
        peer_sent(peer, PIPE_SIZE);
        return 0;
}

void bus_mark_pipes(Peer *peer) {
        PeerPipes *pipes = peer_get_pipes(peer);

        pipes->marked = pipes->sent;
}

void bus_give_pipes(Bus *bus, Peer *peer) {
        PeerPipes *pipes = peer_get_pipes(peer);

        if (pipes->marked > 0 && bus->manager)
                quotas_give(manager_get_quotas(bus->manager), peer_get_uid(peer), QUOTA_PIPES, pipes->marked);
        *pipes = (PeerPipes){.sent = pipes->sent - pipes->marked};
}

void bus_give_all_pipes(Bus *bus, Peer *peer) {
        bus_mark_pipes(peer);
        bus_give_pipes(bus, peer);
}

void bus_drop_peer_calls(Peer *peer) {
        GPtrArray *calls = peer_get_calls(peer);

        while (calls->len > 0) {
                WaitCall *wait = calls->pdata[0];

                g_ptr_array_remove(wait->object->wait_calls, wait);
        }
}

static void message_unref(gpointer data) {
        sd_bus_message_unref(data);
}

/* A name is a path element as it is: nothing is escaped, so clients can make the path themselves. */
static char *runtime_path(const char *name) {
        return g_strconcat(RM_RUNTIME_PREFIX "/", name, NULL);
}

RuntimeObject *bus_get_object(Bus *bus, Runtime *runtime) {
        return g_hash_table_lookup(bus->objects, runtime);
}

static RuntimeObject *object_free(RuntimeObject *object) {
        if (!object)
                return NULL;
        clients_forget(object);
        ends_forget(object);
        ownership_end(object);
        audience_drop_object(object);
        g_ptr_array_unref(object->followers);
        feed_free(object->feed);
        g_ptr_array_unref(object->start_calls);
        g_ptr_array_unref(object->wait_calls);
        g_free(object->path);
        g_free(object);
        return NULL;
}

static RuntimeObject *object_new(Bus *bus, Runtime *runtime) {
        RuntimeObject *object = g_new0(RuntimeObject, 1);

        object->bus = bus;
        object->runtime = runtime;
        object->start_calls = g_ptr_array_new_with_free_func(message_unref);
        object->wait_calls = g_ptr_array_new_with_free_func(wait_call_free);
        object->followers = g_ptr_array_new();
        object->path = runtime_path(runtime_get_name(runtime));
        if (feed_new(bus, object->path, runtime, &object->feed) < 0)
                g_error("Out of memory");
        g_hash_table_insert(bus->objects, runtime, object);
        return object;
}

/* Those who follow all runtimes follow this one from its first line. */
static void object_add_subscribers(RuntimeObject *object) {
        GPtrArray *subscribers = object->bus->subscribers;

        for (unsigned i = 0; i < subscribers->len; i++)
                if ((peer_get_subscription(subscribers->pdata[i]) & SUBSCRIBE_OUTPUT) &&
                    bus_may_see(object->bus, peer_get_uid(subscribers->pdata[i]), object->runtime))
                        feed_subscribe(object->feed, subscribers->pdata[i], FEED_BY_MANAGER, 0);
}

static void on_added(void *userdata, Runtime *runtime) {
        RuntimeObject *object = object_new(userdata, runtime);

        emit_runtime_added(object);
        object_add_subscribers(object);
}

static void on_added_again(void *userdata, Runtime *runtime) {
        emit_runtime_added(bus_get_object(userdata, runtime));
}

static void on_loaded(void *userdata, Runtime *runtime) {
        RuntimeObject *object = object_new(userdata, runtime);

        clients_load(object);
        object_add_subscribers(object);
}

static void on_unloaded(void *userdata, Runtime *runtime) {
        Bus *bus = userdata;
        RuntimeObject *object = bus_get_object(bus, runtime);

        if (g_hash_table_contains(bus->moved, object))
                clients_save(object);
        g_hash_table_remove(bus->objects, runtime);
        object_free(object);
}

static void on_all_loaded(void *userdata) {
        Bus *bus = userdata;

        bus->on_all_loaded(bus);
}

static void answer_start(RuntimeObject *object, const sd_bus_error *error) {
        for (unsigned i = 0; i < object->start_calls->len; i++) {
                sd_bus_message *call = object->start_calls->pdata[i];

                if (error)
                        (void) sd_bus_reply_method_error(call, error);
                else if (sd_bus_message_is_method_call(call, RM_RUNTIME_INTERFACE, "Restart"))
                        (void) sd_bus_reply_method_return(call, NULL);
                else
                        (void) sd_bus_reply_method_return(call, "so", bus_runtime_id(object->bus, bus_get_caller_uid(object->bus, call), object->runtime),
                                                          object->path);
        }
        g_ptr_array_set_size(object->start_calls, 0);
}

static int answer_wait(RuntimeObject *object, sd_bus_message *call) {
        g_autoptr(sd_bus_message) reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", runtime_state_to_string(runtime_get_state(object->runtime)));
        if (r >= 0)
                r = bus_append_report(reply, runtime_get_report(object->runtime));
        return r < 0 ? r : bus_reply_sized(object->bus, reply, call, LIMIT_OUTPUT_TAIL);
}

static void answer_waits(RuntimeObject *object) {
        for (unsigned i = object->wait_calls->len; i > 0; i--) {
                const WaitCall *wait = object->wait_calls->pdata[i - 1];

                if (wait->until_ended && runtime_get_state(object->runtime) != RUNTIME_ENDED)
                        continue;
                (void) answer_wait(object, wait->call);
                g_ptr_array_remove_index(object->wait_calls, i - 1);
        }
}

/* A caller whose call timed out asks again, and we aren't told: its oldest call gives way. */
static bool make_room_to_wait(RuntimeObject *object, const Peer *caller) {
        unsigned n = 0, oldest = 0;

        for (unsigned i = object->wait_calls->len; i > 0; i--)
                if (((const WaitCall *) object->wait_calls->pdata[i - 1])->caller == caller) {
                        oldest = i - 1;
                        n++;
                }
        if (n >= LIMIT_WAITERS) {
                const WaitCall *wait = object->wait_calls->pdata[oldest];

                (void) sd_bus_reply_method_errorf(wait->call, RM_ERROR_TIMEOUT, "The same caller waits by later calls.");
                g_ptr_array_remove_index(object->wait_calls, oldest);
        }
        return object->wait_calls->len < LIMIT_WAITS;
}

int bus_wait(RuntimeObject *object, sd_bus_message *call, bool until_ended, sd_bus_error *reterr) {
        RuntimeState state = runtime_get_state(object->runtime);
        WaitCall *wait;
        Peer *caller;

        if (state == RUNTIME_ENDED || (state == RUNTIME_READY && !until_ended))
                return answer_wait(object, call);
        caller = bus_get_caller(object->bus, call);
        if (!make_room_to_wait(object, caller))
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "%u calls wait for this runtime already.", LIMIT_WAITS);
        if (!quotas_take(manager_get_quotas(object->bus->manager), peer_get_uid(caller), QUOTA_CALLS, 1))
                return bus_refuse_call(object->bus, reterr);
        wait = g_new0(WaitCall, 1);
        *wait = (WaitCall){object, caller, sd_bus_message_ref(call), until_ended};
        g_ptr_array_add(object->wait_calls, wait);
        g_ptr_array_add(peer_get_calls(caller), wait);
        return 1;
}

static void on_removed(void *userdata, Runtime *runtime) {
        RuntimeObject *object = bus_get_object(userdata, runtime);
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        sd_bus_error_setf(&error, RM_ERROR_NO_SUCH_RUNTIME, "The runtime \"%s\" has been forgotten.", runtime_get_id(runtime));
        answer_start(object, &error);
        answer_waits(object);
        emit_runtime_removed(object);
        g_hash_table_remove(object->bus->objects, runtime);
        object_free(object);
}

static void on_properties(void *userdata, Runtime *runtime, unsigned properties) {
        emit_properties(bus_get_object(userdata, runtime), properties);
}

/* The runtime begins anew, for the same subscribers and the same owner. */
static void object_resume(RuntimeObject *object) {
        feed_resume(object->feed);
        ownership_resume(object);
}

static void on_state(void *userdata, Runtime *runtime, RuntimeState old, RuntimeState new) {
        if (new == RUNTIME_STARTING)
                object_resume(bus_get_object(userdata, runtime));
        emit_state(bus_get_object(userdata, runtime), old, new);
}

static void on_setup_progress(void *userdata, Runtime *runtime, unsigned index) {
        emit_setup_progress(bus_get_object(userdata, runtime), index);
}

static void on_started(void *userdata, Runtime *runtime) {
        RuntimeObject *object = bus_get_object(userdata, runtime);

        answer_start(object, NULL);
        /* After a restart a new keeper has to be asked to ring. */
        feed_pump(object->feed);
}

static void on_start_failed(void *userdata, Runtime *runtime, const sd_bus_error *error) {
        answer_start(bus_get_object(userdata, runtime), error);
}

static void on_ready(void *userdata, Runtime *runtime) {
        RuntimeObject *object = bus_get_object(userdata, runtime);

        emit_handshake_completed(object);
        answer_waits(object);
}

static void on_output(void *userdata, Runtime *runtime) {
        feed_pump(bus_get_object(userdata, runtime)->feed);
}

static void on_warning(void *userdata, Runtime *runtime, const char *code, const char *message, const char *key, uint64_t value) {
        emit_warning(bus_get_object(userdata, runtime), code, message, key, value);
}

static bool on_ending(void *userdata, Runtime *runtime) {
        return feed_finish(bus_get_object(userdata, runtime)->feed);
}

static bool on_ended(void *userdata, Runtime *runtime) {
        RuntimeObject *object = bus_get_object(userdata, runtime);

        emit_ended(object);
        answer_waits(object);
        return ends_sent(object);
}

int bus_stop(RuntimeObject *object, sd_bus_message *call, sd_bus_error *reterr) {
        uint64_t timeout_usec;
        int r;

        r = stop_request_read(call, &timeout_usec, reterr);
        if (r < 0)
                return r;
        r = manager_stop(object->bus->manager, object->runtime, bus_get_caller_uid(object->bus, call), timeout_usec, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, NULL);
}

static bool gives_pipe(sd_bus_message *call) {
        return sd_bus_message_is_method_call(call, RM_RUNTIME_INTERFACE, "OpenInput") ||
               sd_bus_message_is_method_call(call, RM_RUNTIME_INTERFACE, "OpenOutput");
}

/* The keeper is the user's: what it gives is passed on if it is what was asked for. */
static bool is_pipe(int fd, sd_bus_message *call) {
        int mode = sd_bus_message_is_method_call(call, RM_RUNTIME_INTERFACE, "OpenInput") ? O_WRONLY : O_RDONLY;
        struct stat st;

        return fd >= 0 && fstat(fd, &st) >= 0 && S_ISFIFO(st.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) == mode;
}

void bus_answer_call(void *userdata, int error, int fd) {
        g_autoptr(sd_bus_message) call = userdata;

        if (error == 0 && gives_pipe(call))
                (void) (is_pipe(fd, call) ? sd_bus_reply_method_return(call, "h", fd)
                                          : sd_bus_reply_method_errorf(call, RM_ERROR_BAD_STATE, "The keeper gave no pipe."));
        else if (error == 0)
                (void) sd_bus_reply_method_return(call, NULL);
        else if (error == EAGAIN)
                (void) sd_bus_reply_method_errorf(call, RM_ERROR_WOULD_BLOCK,
                                                  "The runtime hasn't read what it was sent before; nothing was written, try again later.");
        else if ((error == ENOTCONN || error == EPIPE) && sd_bus_message_is_method_call(call, RM_RUNTIME_INTERFACE, "Interrupt"))
                (void) sd_bus_reply_method_errorf(call, RM_ERROR_HANDSHAKE_FAILED,
                                                  "The runtime has closed the connection on which it would be interrupted; use Kill or Stop.");
        else if (error == EOPNOTSUPP)
                (void) sd_bus_reply_method_errorf(
                        call, RM_ERROR_NOT_SUPPORTED,
                        "The runtime's input is a terminal; use WriteInput, and for its end the character that means it (Ctrl-D is 4).");
        else if (error == ENOTTY)
                (void) sd_bus_reply_method_errorf(call, RM_ERROR_NOT_SUPPORTED, "The runtime has no terminal; start it with the option Input=\"terminal\".");
        else if (error == EINVAL)
                (void) sd_bus_reply_method_errorf(call, SD_BUS_ERROR_INVALID_ARGS, "The kernel refused the signal.");
        else if (error == EUSERS)
                (void) sd_bus_reply_method_errorf(call, RM_ERROR_LIMIT_EXCEEDED,
                                                  "%u pipes of this runtime's output are open already; close one, or use ReadOutput.", LIMIT_READERS);
        else
                (void) sd_bus_reply_method_errorf(call, RM_ERROR_BAD_STATE, "That isn't possible any more: the runtime, or its input, is closed (%s).",
                                                  g_strerror(error));
}

int bus_kill(RuntimeObject *object, sd_bus_message *call, const char *who, int32_t signo, sd_bus_error *reterr) {
        bool all = strcmp(who, "all") == 0;
        int r;

        if (!all && strcmp(who, "main") != 0)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_INVALID_ARGS, "who must be \"main\" or \"all\".");
        if (signo < 1 || signo > SIGRTMAX)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_INVALID_ARGS, "There is no signal %d; signals are numbered from 1 to %d.", signo, SIGRTMAX);
        r = runtime_kill(object->runtime, all ? LINK_WHO_ALL : LINK_WHO_MAIN, signo, bus_answer_call, sd_bus_message_ref(call), reterr);
        if (r < 0)
                sd_bus_message_unref(call);
        return r < 0 ? r : 1;
}

void bus_drop_calls(Bus *bus) {
        GHashTableIter iter;
        gpointer value;

        g_hash_table_iter_init(&iter, bus->objects);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                RuntimeObject *object = value;

                g_ptr_array_set_size(object->start_calls, 0);
                g_ptr_array_set_size(object->wait_calls, 0);
        }
}

int bus_reply_sized(Bus *bus, sd_bus_message *reply, sd_bus_message *call, size_t size) {
        const char *sender = sd_bus_message_get_sender(call);
        Peer *peer = sender ? peer_table_find(bus->peers, sender) : NULL;

        if (peer)
                peer_sent(peer, size);
        return sd_bus_send(bus->bus, reply, NULL);
}

static void on_idle(void *userdata) {
        Bus *bus = userdata;

        bus->on_idle(bus->on_idle_userdata);
}

const ManagerHandler bus_manager_handler = {
        .runtime =
                {
                        .on_properties = on_properties,
                        .on_state = on_state,
                        .on_setup_progress = on_setup_progress,
                        .on_started = on_started,
                        .on_start_failed = on_start_failed,
                        .on_ready = on_ready,
                        .on_output = on_output,
                        .on_warning = on_warning,
                        .on_ending = on_ending,
                        .on_ended = on_ended,
                        .on_added_again = on_added_again,
                },
        .on_added = on_added,
        .on_removed = on_removed,
        .on_loaded = on_loaded,
        .on_unloaded = on_unloaded,
        .on_all_loaded = on_all_loaded,
        .on_idle = on_idle,
};
