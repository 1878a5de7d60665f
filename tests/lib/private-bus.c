/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Both sorts of bus take a listening socket as from systemd: a client may connect at once, and there is no address to wait for. The bus dies with this
 * program. */

#include "private-bus.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* $LISTEN_PID is known only after the fork, when this program, which has threads, must not allocate any more. */
#define LAUNCHER "sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"

/* The session bus's own policy and limits, but not its folders with services: one that is installed must not be activated beside the one under test. */
/* %s: a folder for services of this test's own; %u: how many calls of one connection may wait for their answers. */
#define BUS_CONFIG                                                                                                                                             \
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"                                                                 \
        "  \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"                                                                                 \
        "<busconfig>\n"                                                                                                                                        \
        "  <type>session</type>\n"                                                                                                                             \
        "  <listen>unix:tmpdir=/tmp</listen>\n"                                                                                                                \
        "  <servicedir>%s</servicedir>\n"                                                                                                                      \
        "  <auth>EXTERNAL</auth>\n"                                                                                                                            \
        "  <policy context=\"default\">\n"                                                                                                                     \
        "    <allow send_destination=\"*\" eavesdrop=\"true\"/>\n"                                                                                             \
        "    <allow eavesdrop=\"true\"/>\n"                                                                                                                    \
        "    <allow own=\"*\"/>\n"                                                                                                                             \
        "    <allow user=\"*\"/>\n"                                                                                                                            \
        "  </policy>\n"                                                                                                                                        \
        "  <limit name=\"max_incoming_bytes\">1000000000</limit>\n"                                                                                            \
        "  <limit name=\"max_incoming_unix_fds\">250000000</limit>\n"                                                                                          \
        "  <limit name=\"max_outgoing_bytes\">1000000000</limit>\n"                                                                                            \
        "  <limit name=\"max_outgoing_unix_fds\">250000000</limit>\n"                                                                                          \
        "  <limit name=\"max_message_size\">1000000000</limit>\n"                                                                                              \
        "  <limit name=\"max_completed_connections\">100000</limit>\n"                                                                                         \
        "  <limit name=\"max_incomplete_connections\">10000</limit>\n"                                                                                         \
        "  <limit name=\"max_connections_per_user\">100000</limit>\n"                                                                                          \
        "  <limit name=\"max_names_per_connection\">50000</limit>\n"                                                                                           \
        "  <limit name=\"max_match_rules_per_connection\">50000</limit>\n"                                                                                     \
        "  <limit name=\"max_replies_per_connection\">%u</limit>\n"                                                                                            \
        "</busconfig>\n"

static char *address, *directory, *config, *services;
static pid_t bus_pid;
static unsigned replies_max = 50000;

/* By the process behind dbus.service: its name is the same whichever bus it is. */
static gboolean session_is_broker(void) {
        g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, NULL);
        g_autoptr(GVariant) unit = NULL, reply = NULL, value = NULL;
        g_autofree char *file = NULL, *name = NULL;
        const char *path;

        if (!bus)
                return FALSE;
        unit = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnit",
                                           g_variant_new("(s)", "dbus.service"), G_VARIANT_TYPE("(o)"), 0, -1, NULL, NULL);
        if (!unit)
                return FALSE;
        g_variant_get(unit, "(&o)", &path);
        reply = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1", path, "org.freedesktop.DBus.Properties", "Get",
                                            g_variant_new("(ss)", "org.freedesktop.systemd1.Service", "MainPID"), G_VARIANT_TYPE("(v)"), 0, -1, NULL, NULL);
        if (!reply)
                return FALSE;
        g_variant_get(reply, "(v)", &value);
        file = g_strdup_printf("/proc/%u/comm", g_variant_get_uint32(value));
        return g_file_get_contents(file, &name, NULL, NULL) && g_str_has_prefix(name, "dbus-broker");
}

static pid_t start(const char *const *argv, int fd) {
        pid_t parent = getpid(), pid;

        pid = fork();
        g_assert_cmpint(pid, >=, 0);
        if (pid > 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        dup2(fd, 3);
        (void) fcntl(3, F_SETFD, 0);
        /* TAP is for us alone. */
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(argv[0], (char **) argv);
        _exit(127);
}

static int listen_at(const char *path) {
        struct sockaddr_un socket_address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpuint(g_strlcpy(socket_address.sun_path, path, sizeof(socket_address.sun_path)), <, sizeof(socket_address.sun_path));
        g_assert_cmpint(bind(fd, (struct sockaddr *) &socket_address, sizeof(socket_address)), ==, 0);
        g_assert_cmpint(listen(fd, SOMAXCONN), ==, 0);
        return fd;
}

static void start_bus(void) {
        const char *broker[] = {LAUNCHER, "dbus-broker-launch", "--scope", "user", "--config-file", config, NULL};
        const char *reference[] = {LAUNCHER, "dbus-daemon", "--address=systemd:", "--nofork", "--nopidfile", "--nosyslog", "--config-file", config, NULL};
        g_autofree char *path = g_build_filename(directory, "bus", NULL);
        int fd = listen_at(path);

        bus_pid = start(session_is_broker() ? broker : reference, fd);
        close(fd);
}

void private_bus_limit_replies(unsigned max) {
        g_assert_null(address);
        replies_max = max;
}

const char *private_bus_address(void) {
        g_autofree char *text = NULL;

        if (address)
                return address;
        directory = g_dir_make_tmp("rm-bus-XXXXXX", NULL);
        g_assert_nonnull(directory);
        config = g_build_filename(directory, "bus.conf", NULL);
        services = g_build_filename(directory, "services", NULL);
        g_assert_cmpint(g_mkdir(services, 0755), ==, 0);
        text = g_strdup_printf(BUS_CONFIG, services, replies_max);
        g_assert_true(g_file_set_contents(config, text, -1, NULL));
        address = g_strdup_printf("unix:path=%s/bus", directory);
        start_bus();
        return address;
}

const char *private_bus_open_to_all(void) {
        g_autofree char *path = NULL;

        (void) private_bus_address();
        path = g_build_filename(directory, "bus", NULL);
        g_assert_cmpint(g_chmod(directory, 0755), ==, 0);
        g_assert_cmpint(g_chmod(path, 0666), ==, 0);
        return address;
}

void private_bus_kill(void) {
        g_autofree char *path = g_build_filename(directory, "bus", NULL);

        kill(bus_pid, SIGKILL);
        waitpid(bus_pid, NULL, 0);
        (void) g_unlink(path);
}

void private_bus_start_again(void) {
        start_bus();
}

static char *service_file(const char *name) {
        return g_strdup_printf("%s/%s.service", services, name);
}

static GPtrArray *waited_for;

void private_bus_wait_for(const char *name) {
        g_autofree char *file = service_file(name), *text = g_strdup_printf("[D-BUS Service]\nName=%s\nExec=/bin/sleep 60\n", name);
        g_autoptr(GDBusConnection) bus = NULL;
        g_autoptr(GVariant) reply = NULL;

        g_assert_true(g_file_set_contents(file, text, -1, NULL));
        if (!waited_for)
                waited_for = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(waited_for, g_steal_pointer(&file));
        bus = g_dbus_connection_new_for_address_sync(address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                                     NULL, NULL, NULL);
        g_assert_nonnull(bus);
        reply = g_dbus_connection_call_sync(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig", NULL, NULL, 0, -1,
                                            NULL, NULL);
        g_assert_nonnull(reply);
}

void private_bus_stop(void) {
        g_autofree char *path = NULL;

        if (!address)
                return;
        kill(bus_pid, SIGTERM);
        waitpid(bus_pid, NULL, 0);
        path = g_build_filename(directory, "bus", NULL);
        (void) g_unlink(path);
        (void) g_unlink(config);
        for (guint i = 0; waited_for && i < waited_for->len; i++)
                (void) g_unlink(waited_for->pdata[i]);
        g_clear_pointer(&waited_for, g_ptr_array_unref);
        (void) g_rmdir(services);
        g_clear_pointer(&services, g_free);
        g_clear_pointer(&config, g_free);
        (void) g_rmdir(directory);
        g_clear_pointer(&address, g_free);
        g_clear_pointer(&directory, g_free);
}
