/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each method and property of dbus/, and what it takes. A test holds the tables against the interface: what is new there needs a row here, or nobody may
 * have it. */

#include <glib.h>
#include <string.h>

#include "bus/auth.h"
#include "util/macro.h"
#include "util/names.h"

typedef struct AuthRow {
        const char *interface;
        const char *name;
        AuthNeed need;
} AuthRow;

static const AuthRow methods[] = {
        /* About runtimes these speak to everybody, of those that the caller may see. */
        {"org.freedesktop.DBus.Peer", "Ping", AUTH_ANYBODY},
        {"org.freedesktop.DBus.Peer", "GetMachineId", AUTH_ANYBODY},
        {"org.freedesktop.DBus.ObjectManager", "GetManagedObjects", AUTH_ANYBODY},
        {"org.freedesktop.DBus.Introspectable", "Introspect", AUTH_ANYBODY},
        /* By the property, see below; the path of a runtime takes what seeing it takes. */
        {"org.freedesktop.DBus.Properties", "Get", AUTH_ANYBODY},
        {"org.freedesktop.DBus.Properties", "GetAll", AUTH_ANYBODY},
        /* None can be written. */
        {"org.freedesktop.DBus.Properties", "Set", AUTH_NOBODY},

        {RM_MANAGER_INTERFACE, "StartRuntime", AUTH_START},
        {RM_MANAGER_INTERFACE, "WaitRuntime", AUTH_SEE},
        {RM_MANAGER_INTERFACE, "GetRuntime", AUTH_SEE},
        {RM_MANAGER_INTERFACE, "GetRuntimeByPID", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "ListRuntimes", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "ListKinds", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "StopRuntime", AUTH_OWN},
        {RM_MANAGER_INTERFACE, "KillRuntime", AUTH_OWN},
        {RM_MANAGER_INTERFACE, "Subscribe", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "Unsubscribe", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "Reload", AUTH_ADMIN},
        {RM_MANAGER_INTERFACE, "GetStatistics", AUTH_MONITOR},

        {RM_RUNTIME_INTERFACE, "Stop", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "Kill", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "Interrupt", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "Restart", AUTH_RESTART},
        {RM_RUNTIME_INTERFACE, "Forget", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "GetUsage", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "GetConnection", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "ReadOutput", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "ReadOutputText", AUTH_SEE},
        /* Without loss it takes more: see the method. */
        {RM_RUNTIME_INTERFACE, "OpenOutput", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "OpenInput", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "WriteInput", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "CloseInput", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "ResizeTerminal", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "Subscribe", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Unsubscribe", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "TakeOwnership", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "ReleaseOwnership", AUTH_OWN},
        {RM_RUNTIME_INTERFACE, "SetLimits", AUTH_OWN},
};

static const AuthRow properties[] = {
        {RM_MANAGER_INTERFACE, "Version", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "InterfaceVersion", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "Features", AUTH_ANYBODY},
        /* Of the caller's own. */
        {RM_MANAGER_INTERFACE, "RuntimeCount", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "RuntimesMax", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "RetainedMax", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "Quotas", AUTH_ANYBODY},
        {RM_MANAGER_INTERFACE, "WindowBytes", AUTH_ANYBODY},

        {RM_RUNTIME_INTERFACE, "Id", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Kind", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Description", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Labels", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "UID", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "StarterUID", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Input", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "StartTimestamp", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "State", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "StatusText", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Step", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Deadline", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Unit", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "ControlGroup", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "MainPID", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Node", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Limits", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "ReadyTimestamp", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "EndTimestamp", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Generation", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "Owner", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "OwnerName", AUTH_SEE},
        {RM_RUNTIME_INTERFACE, "EndReport", AUTH_SEE},
};

static AuthNeed find_need(const AuthRow *rows, size_t n_rows, const char *interface, const char *name) {
        for (size_t i = 0; i < n_rows; i++)
                if (g_strcmp0(rows[i].interface, interface) == 0 && g_strcmp0(rows[i].name, name) == 0)
                        return rows[i].need;
        return AUTH_NOBODY;
}

AuthNeed auth_method_need(const char *interface, const char *member) {
        return find_need(methods, ELEMENTSOF(methods), interface, member);
}

AuthNeed auth_property_need(const char *interface, const char *property) {
        return find_need(properties, ELEMENTSOF(properties), interface, property);
}
