/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service: the connection to the message bus, the name on it, and the objects. */

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/manager.h"

typedef struct Service Service;

typedef struct ServiceHandler {
        /* The name is ours (again). */
        void (*on_ready)(void *userdata);
        /* The connection is lost; it is being made again. */
        void (*on_lost)(void *userdata);
        /* The name can't be had; `message` is a sentence. */
        void (*on_failed)(void *userdata, const char *message);
        /* Nothing runs any more, after manager_stop_all(). */
        void (*on_idle)(void *userdata);
} ServiceHandler;

/* many_users: as of the system bus. address: of the bus; NULL: the user's, or the system's. */
int service_new(sd_event *event, bool many_users, const char *address, const ServiceHandler *handler, void *userdata, Service **ret);
Service *service_free(Service *service);

/* What to make the manager with: all runtimes' news become signals. */
const ManagerHandler *service_get_manager_handler(void);
void *service_get_manager_userdata(Service *service);

/* Has the manager take up what was left to it, then connects, exports the objects and asks for the name. manager is borrowed; free it before the service, and
 * call this once. */
int service_start(Service *service, Manager *manager);
