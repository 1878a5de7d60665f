/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The only room that opens a connection to the bus. Runtimes are not registered one by one: a fallback vtable finds them by their path, so the cost of
 * a call doesn't depend on how many there are.
 *
 * Every method call passes a filter first: it finds out who calls, counts a flat rate for the answer in the caller's window, and refuses, shortly, a caller
 * that hasn't read what it was sent; one that goes on calling all the same isn't answered at all, for even refusals add up.
 *
 * A connection that is lost is made again: runtimes don't depend on it. */

#include "bus/service.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "bus/bus.h"
#include "bus/early.h"
#include "bus/start-call.h"
#include "core/sd-error.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

/* What the answer to a call takes in the caller's window, unless more is counted where it is made. */
#define ANSWER_SIZE 512U
/* The session bus allows thousands of open calls; the system bus 128, of which those of one user must not be all. */
#define PINGS_MAX 256U
#define PINGS_MAX_MANY_USERS 32U
#define PINGS_MAX_UID 4U
#define RETRY_USEC (1 * USEC_PER_SEC)

struct Service {
        Bus bus;
        const ServiceHandler *handler;
        void *userdata;
        char *address; /* NULL: the user's bus, or the system's */
        sd_event_source *retry_timer;
        bool is_starting, is_resumed;
        Early *early;
        int open_result;
        sd_bus_slot *filter;
        sd_bus_slot *disconnected_match;
        sd_bus_slot *manager_slot;
        sd_bus_slot *runtime_slot;
        sd_bus_slot *enumerator_slot;
        sd_bus_slot *object_manager_slot;
        sd_bus_slot *name_call;
};

static void on_room(void *userdata, Peer *peer) {
        /* First: a state that it has missed is older than the lines that it hasn't got. */
        audience_catch_up(userdata, peer);
        feed_pump_peer(peer);
}

static void on_gone(void *userdata, Peer *peer) {
        Bus *bus = userdata;

        bool subscribed = peer_get_subscription(peer) != 0;

        auth_drop_peer(bus->auth, peer_get_name(peer));
        callers_drop_peer(bus->callers, peer);
        audience_drop_peer(bus, peer);
        if (subscribed && bus->bus)
                clients_save_subscribers(bus);
        start_calls_drop_peer(bus, peer);
        ownership_drop_peer(peer);
        bus_drop_peer_calls(peer);
        bus_give_all_pipes(bus, peer);
        feed_drop_peer(peer);
}

static void on_asked(void *userdata, Peer *peer) {
        feed_mark_peer(peer);
        bus_mark_pipes(peer);
}

static void on_acknowledged(void *userdata, Peer *peer) {
        feed_acknowledge_peer(peer);
        bus_give_pipes(userdata, peer);
}

static void on_rewind(void *userdata, Peer *peer) {
        feed_rewind_peer(peer);
        bus_give_all_pipes(userdata, peer);
}

static const PeerHandler peer_handler = {on_asked, on_acknowledged, on_rewind, on_room, on_gone};

static size_t count_visible(Bus *bus, uid_t uid) {
        size_t n = 0;

        if (!bus->many_users)
                return g_hash_table_size(bus->objects);
        for (Runtime *runtime = NULL; (runtime = bus_next_visible(bus, uid, runtime));)
                n++;
        return n;
}

static size_t bus_answer_size(Bus *bus, const Peer *caller, sd_bus_message *call) {
        const char *member = sd_bus_message_get_member(call) ?: "";

        /* Those that sd-bus answers by itself. */
        if (strcmp(member, "GetManagedObjects") == 0)
                return (count_visible(bus, peer_get_uid(caller)) + 1) * 4096;
        if (strcmp(member, "GetAll") == 0 || strcmp(member, "Introspect") == 0)
                return 8192;
        return ANSWER_SIZE;
}

/* Anybody can send us a signal by our unique name, and sd-bus holds that a match for the sender "org.freedesktop.DBus" may mean any peer, for it doesn't
 * know who has which name. */
static bool is_believed(const char *sender) {
        return g_strcmp0(sender, "org.freedesktop.DBus") == 0 || g_strcmp0(sender, "org.freedesktop.DBus.Local") == 0;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *sender = sd_bus_message_get_sender(message);
        Service *service = userdata;
        Bus *bus = &service->bus;
        uint8_t type;
        Peer *peer;
        int r;

        if (sd_bus_message_get_type(message, &type) < 0)
                return 0;
        if (type == SD_BUS_MESSAGE_SIGNAL)
                return is_believed(sender) ? 0 : 1;
        if (!sender || type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;
        if (early_hold(service->early, message))
                return 1;
        if (auth_again(bus->auth, message, &r))
                return r;
        if (callers_pass(bus->callers, message, &peer) == 0)
                return 1;
        /* Who reads is answered however much is on its way to others. */
        if (!peer_is_full(peer)) {
                peer_sent(peer, bus_answer_size(bus, peer, message));
                return auth_filter(bus->auth, message, peer_get_uid(peer));
        }
        if (!peer_refuse(peer, ANSWER_SIZE))
                return 1;
        (void) sd_bus_reply_method_errorf(message, RM_ERROR_LIMIT_EXCEEDED,
                                          "You have not read what you were sent, here or by other connections (%u bytes each, %u all together): answer the "
                                          "Ping of org.freedesktop.DBus.Peer first.",
                                          LIMIT_WINDOW, LIMIT_WINDOW_UID);
        return 1;
}

static int find_runtime(sd_bus *connection, const char *path, const char *interface, void *userdata, void **ret_found, sd_bus_error *reterr) {
        RuntimeObject *object;
        int r;

        r = bus_find_object(userdata, sd_bus_get_current_message(connection), path, &object);
        if (r > 0)
                *ret_found = object;
        return r;
}

static int enumerate_runtimes(sd_bus *connection, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *reterr) {
        sd_bus_message *call = sd_bus_get_current_message(connection);
        Bus *bus = userdata;
        uid_t uid = call ? bus_get_caller_uid(bus, call) : UID_UNKNOWN;
        size_t n = 0;
        char **nodes;

        /* sd-bus frees it with free(). */
        nodes = calloc(count_visible(bus, uid) + 1, sizeof(char *));
        if (!nodes)
                return -ENOMEM;
        for (Runtime *runtime = NULL; (runtime = bus_next_visible(bus, uid, runtime));) {
                nodes[n] = strdup(bus_get_object(bus, runtime)->path);
                if (nodes[n])
                        n++;
        }
        *ret_nodes = nodes;
        return 1;
}

/* The runtimes that were here before us go on, and so do those who follow them. */
static void service_resume(Service *service) {
        Manager *manager = service->bus.manager;

        service->is_resumed = true;
        manager_resume(manager);
        for (Runtime *runtime = NULL; (runtime = manager_next(manager, runtime));)
                feed_pump(bus_get_object(&service->bus, runtime)->feed);
}

static int on_name_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Service *service = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        uint32_t result = 0;
        sd_id128_t id = SD_ID128_NULL;
        bool same, known;

        service->name_call = sd_bus_slot_unref(service->name_call);
        if (!error)
                (void) sd_bus_message_read(reply, "u", &result);
        /* The connection ends: on_disconnected() comes next. */
        if (sd_error_is_local(error))
                return 0;
        if (error) {
                service->handler->on_failed(service->userdata, error->message);
                return 0;
        }
        /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER; we asked not to wait in the queue. */
        if (result != 1) {
                service->handler->on_failed(service->userdata, "Another instance of the service has the name " RM_BUS_NAME " on this bus already.");
                return 0;
        }
        /* The bus has answered, so this doesn't wait. */
        (void) sd_bus_get_bus_id(service->bus.bus, &id);
        same = sd_id128_equal(id, service->bus.id);
        known = !sd_id128_is_null(service->bus.id);
        service->bus.id = id;
        /* Those whom a daemon before us knew, too. */
        if (known)
                peer_table_recheck(service->bus.peers, same);
        callers_recheck(service->bus.callers);
        if (!same)
                clients_save_subscribers(&service->bus);
        if (!service->is_resumed)
                service_resume(service);
        early_open(service->early);
        service->handler->on_ready(service->userdata);
        return 0;
}

static void service_close(Service *service) {
        service->filter = sd_bus_slot_unref(service->filter);
        service->disconnected_match = sd_bus_slot_unref(service->disconnected_match);
        service->manager_slot = sd_bus_slot_unref(service->manager_slot);
        service->runtime_slot = sd_bus_slot_unref(service->runtime_slot);
        service->enumerator_slot = sd_bus_slot_unref(service->enumerator_slot);
        service->object_manager_slot = sd_bus_slot_unref(service->object_manager_slot);
        service->name_call = sd_bus_slot_unref(service->name_call);
        if (service->bus.peers)
                (void) peer_table_attach(service->bus.peers, NULL);
        if (service->bus.callers)
                callers_attach(service->bus.callers, NULL);
        early_attach(service->early, NULL);
        auth_attach(service->bus.auth, NULL);
        start_calls_drop(&service->bus);
        bus_drop_calls(&service->bus);
        service->bus.bus = sd_bus_flush_close_unref(service->bus.bus);
}

static void service_schedule_retry(Service *service) {
        (void) sd_event_source_set_time_relative(service->retry_timer, RETRY_USEC);
        (void) sd_event_source_set_enabled(service->retry_timer, SD_EVENT_ONESHOT);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Service *service = userdata;

        service->handler->on_lost(service->userdata);
        service_close(service);
        service_schedule_retry(service);
        return 0;
}

static int service_connect(Service *service) {
        sd_bus *bus;
        int r;

        if (!service->address && service->bus.many_users)
                return sd_bus_open_system_with_description(&service->bus.bus, "service");
        if (!service->address)
                return sd_bus_open_user_with_description(&service->bus.bus, "service");
        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        service->bus.bus = bus;
        r = sd_bus_set_address(bus, service->address);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, 1);
        if (r >= 0)
                r = sd_bus_set_description(bus, "service");
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, 1);
        return r < 0 ? r : sd_bus_start(bus);
}

static int service_export(Service *service) {
        Bus *bus = &service->bus;
        int r;

        r = sd_bus_add_filter(bus->bus, &service->filter, on_message, service);
        if (r >= 0)
                r = sd_bus_add_object_manager(bus->bus, &service->object_manager_slot, RM_OBJECT_PATH);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus->bus, &service->manager_slot, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, bus_manager_vtable, bus);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(bus->bus, &service->runtime_slot, RM_RUNTIME_PREFIX, RM_RUNTIME_INTERFACE, bus_runtime_vtable, find_runtime,
                                               bus);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(bus->bus, &service->enumerator_slot, RM_OBJECT_PATH, enumerate_runtimes, bus);
        return r;
}

/* The name is asked for last: when a client finds it, everything is there. */
static int service_open(Service *service) {
        Bus *bus = &service->bus;
        int r;

        r = service_connect(service);
        if (r >= 0)
                r = sd_bus_attach_event(bus->bus, bus->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus->bus, &service->disconnected_match, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, service);
        if (r >= 0)
                r = peer_table_attach(bus->peers, bus->bus);
        if (r >= 0)
                callers_attach(bus->callers, bus->bus);
        early_attach(service->early, bus->bus);
        if (r >= 0)
                auth_attach(bus->auth, bus->bus);
        if (r >= 0)
                r = service_export(service);
        if (r >= 0)
                r = sd_bus_request_name_async(bus->bus, &service->name_call, RM_BUS_NAME, 0, on_name_answer, service);
        return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *service = userdata;

        int r;

        r = service_open(service);
        if (r >= 0)
                return 0;
        service_close(service);
        service_schedule_retry(service);
        /* Nobody listens: the bus is gone, and everybody who was on it. */
        if (r == -ECONNREFUSED || r == -ENOENT)
                peer_table_recheck(service->bus.peers, false);
        return 0;
}

static void on_all_loaded(Bus *bus) {
        Service *service = (Service *) bus;
        g_autofree char *message = NULL;

        service->open_result = service_open(service);
        if (service->open_result >= 0 || service->is_starting)
                return;
        message = g_strdup_printf("No connection to the message bus: %s.", g_strerror(-service->open_result));
        service->handler->on_failed(service->userdata, message);
}

int service_new(sd_event *event, bool many_users, const char *address, const ServiceHandler *handler, void *userdata, Service **ret) {
        Service *service;
        int r;

        service = g_new0(Service, 1);
        service->handler = handler;
        service->userdata = userdata;
        service->address = g_strdup(address);
        service->bus.event = event;
        service->early = early_new();
        service->bus.many_users = many_users;
        service->bus.auth = auth_new(many_users ? AUTH_MODE_SYSTEM : AUTH_MODE_USER, &bus_auth_handler, &service->bus);
        service->bus.missed = audience_missed_new();
        service->bus.start_calls = g_ptr_array_new();
        service->bus.on_idle = handler->on_idle;
        service->bus.on_idle_userdata = userdata;
        service->bus.objects = g_hash_table_new(NULL, NULL);
        service->bus.subscribers = g_ptr_array_new();
        service->bus.moved = g_hash_table_new(NULL, NULL);
        service->bus.ends_in_queue = g_hash_table_new(NULL, NULL);
        service->bus.on_all_loaded = on_all_loaded;
        r = peer_table_new(many_users ? PINGS_MAX_MANY_USERS : PINGS_MAX, many_users ? PINGS_MAX_UID : PINGS_MAX, many_users ? LIMIT_WINDOW_UID : UINT64_MAX,
                           &peer_handler, &service->bus, &service->bus.peers);
        if (r >= 0)
                service->bus.callers = callers_new(service->bus.peers, many_users);
        if (r >= 0)
                r = sd_event_add_time(event, &service->retry_timer, CLOCK_MONOTONIC, 0, 0, on_retry, service);
        if (r >= 0)
                r = sd_event_source_set_enabled(service->retry_timer, SD_EVENT_OFF);
        if (r < 0) {
                service_free(service);
                return r;
        }
        *ret = service;
        return 0;
}

Service *service_free(Service *service) {
        if (!service)
                return NULL;
        service->bus.manager = NULL;
        service_close(service);
        peer_table_free(service->bus.peers);
        callers_free(service->bus.callers);
        early_free(service->early);
        auth_free(service->bus.auth);
        start_calls_free(&service->bus);
        g_hash_table_unref(service->bus.missed);
        sd_event_source_disable_unref(service->retry_timer);
        g_hash_table_unref(service->bus.objects);
        g_ptr_array_unref(service->bus.subscribers);
        g_hash_table_unref(service->bus.moved);
        g_hash_table_unref(service->bus.ends_in_queue);
        sd_event_source_disable_unref(service->bus.ends_source);
        sd_event_source_disable_unref(service->bus.places_timer);
        g_free(service->address);
        g_free(service);
        return NULL;
}

const ManagerHandler *service_get_manager_handler(void) {
        return &bus_manager_handler;
}

void *service_get_manager_userdata(Service *service) {
        return &service->bus;
}

int service_start(Service *service, Manager *manager) {
        service->bus.manager = manager;
        clients_load_subscribers(&service->bus);
        service->is_starting = true;
        manager_load(manager);
        service->is_starting = false;
        return service->open_result;
}
