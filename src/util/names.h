/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every name by which the world knows this service, in one place. They are interface: D-Bus names, object paths, error
 * names, unit names, environment variables. dbus/ documents them; a rename here is a rename for every client. */

#define RM_BUS_NAME "org.example.RuntimeManager"
#define RM_OBJECT_PATH "/org/example/RuntimeManager"
#define RM_RUNTIME_PREFIX RM_OBJECT_PATH "/runtime"
#define RM_MANAGER_INTERFACE "org.example.RuntimeManager"
#define RM_RUNTIME_INTERFACE "org.example.RuntimeManager.Runtime"
#define RM_INTERFACE_VERSION 1U

#define RM_ERROR_PREFIX "org.example.RuntimeManager.Error."
#define RM_ERROR_NO_SUCH_RUNTIME RM_ERROR_PREFIX "NoSuchRuntime"
#define RM_ERROR_NO_SUCH_KIND RM_ERROR_PREFIX "NoSuchKind"
#define RM_ERROR_RUNTIME_EXISTS RM_ERROR_PREFIX "RuntimeExists"
#define RM_ERROR_INVALID_OPTION RM_ERROR_PREFIX "InvalidOption"
#define RM_ERROR_EXECUTABLE_NOT_FOUND RM_ERROR_PREFIX "ExecutableNotFound"
#define RM_ERROR_START_FAILED RM_ERROR_PREFIX "StartFailed"
#define RM_ERROR_SETUP_FAILED RM_ERROR_PREFIX "SetupFailed"
#define RM_ERROR_HANDSHAKE_FAILED RM_ERROR_PREFIX "HandshakeFailed"
#define RM_ERROR_LIMIT_EXCEEDED RM_ERROR_PREFIX "LimitExceeded"
#define RM_ERROR_HAS_OWNER RM_ERROR_PREFIX "HasOwner"
#define RM_ERROR_NOT_SUPPORTED RM_ERROR_PREFIX "NotSupported"
#define RM_ERROR_WOULD_BLOCK RM_ERROR_PREFIX "WouldBlock"
#define RM_ERROR_BAD_STATE RM_ERROR_PREFIX "BadState"
#define RM_ERROR_CANCELLED RM_ERROR_PREFIX "Cancelled"
#define RM_ERROR_TIMEOUT RM_ERROR_PREFIX "Timeout"

/* Actions of polkit, asked for on the system bus. */
#define RM_ACTION_START RM_BUS_NAME ".start"
#define RM_ACTION_START_AS_USER RM_BUS_NAME ".start-as-user"
#define RM_ACTION_MANAGE RM_BUS_NAME ".manage"
#define RM_ACTION_MONITOR RM_BUS_NAME ".monitor"

#define RM_UNIT_PREFIX "runtime-"
#define RM_USER_SLICE "app-runtimes.slice"

/* Below $XDG_RUNTIME_DIR or /run: a folder a runtime, with the sockets that its keeper listens on. */
#define RM_RUNTIME_DIRECTORY "runtime-manager"
#define RM_KEEPER_SOCKET "keeper"
#define RM_CONTROL_SOCKET "control"
#define RM_NOTIFY_SOCKET "notify"

/* The two child cgroups that the keeper makes inside the delegated scope. */
#define RM_CGROUP_KEEPER "keeper"
#define RM_CGROUP_PAYLOAD "payload"

#define RM_ENV_ID "RUNTIME_MANAGER_ID"
#define RM_ENV_SOCKET "RUNTIME_MANAGER_SOCKET"
#define RM_ENV_INIT_REF "RUNTIME_MANAGER_INIT_REF"
#define RM_ENV_DEADLINE "RUNTIME_MANAGER_DEADLINE_USEC"
#define RM_ENV_TIMEOUT "RUNTIME_MANAGER_TIMEOUT_USEC"

/* Transport=pipes: the runtime reads messages from the one and writes to the other. */
#define RM_PROTOCOL_READ_FD 3
#define RM_PROTOCOL_WRITE_FD 4
#define RM_PROTOCOL_VERSION 1
