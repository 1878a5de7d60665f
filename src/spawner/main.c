/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtime-spawner: root's part of the system service, as small as it can be. systemd starts it when the daemon connects, with the listening socket; by hand it
 * makes one itself. It has no name on the bus, reads no file of a user, and talks to systemd and to the daemon alone. util/spawner.h is the contract.
 *
 * What it is started with (limits, signal mask, priority) is what keepers get: it raises and lowers nothing for itself. */

#include <errno.h>
#include <glib.h>
#include <glib/gi18n.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "core/cgroup.h"
#include "core/config.h"
#include "core/sd-autoptr.h"
#include "spawner/log.h"
#include "spawner/sweep.h"
#include "spawner/units.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/paths.h"

/* Not what the environment says. */
#define SYSTEM_BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
#define DAEMON_USER "runtime-manager"
#define RECORDS "/run/" RM_RUNTIME_DIRECTORY

typedef struct Spawner {
        sd_event *event;
        sd_event_source *terminate_source, *interrupt_source;
        ScopeBus *scopes;
        Children *children;
        Folders *folders;
        Rights rights;
        char *keeper_path;
        Units *units;
        int listener_fd;
        Sweep *sweep;
        Peer *peer;
} Spawner;

typedef struct Arguments {
        gboolean version;
        int daemon_uid;
        char *socket, *runtimes, *records, *systemd_address;
} Arguments;

static int block_signals(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);
        return 0;
}

static int listen_at(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 16) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int find_listener(const char *path) {
        int n;

        if (path)
                return listen_at(path);
        n = sd_listen_fds(1);
        if (n < 0)
                return n;
        if (n != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
                return -ENOTSOCK;
        return SD_LISTEN_FDS_START;
}

static int find_daemon_uid(int given, uid_t *ret) {
        const struct passwd *entry;

        if (given >= 0) {
                *ret = (uid_t) given;
                return 0;
        }
        entry = getpwnam(DAEMON_USER);
        if (!entry)
                return -ENOENT;
        *ret = entry->pw_uid;
        return 0;
}

/* What is wrong in it, the daemon tells. But nobody is started by a guess. */
static int load_rights(int daemon_uid, Rights *ret) {
        g_autoptr(Config) config = NULL;
        g_auto(GStrv) problems = NULL;
        int r;

        r = find_daemon_uid(daemon_uid, &ret->daemon_uid);
        if (r < 0) {
                log_error(_("There is no user \"%s\"."), DAEMON_USER);
                return r;
        }
        r = config_load(config_directories(), &config, &problems);
        if (r < 0) {
                log_error(_("The configuration can't be read: %s."), g_strerror(-r));
                return r;
        }
        ret->minimum_uid = (uid_t) MIN_OF(config->minimum_uid, (uint64_t) UINT32_MAX);
        ret->allow_root = config->allow_root;
        return 0;
}

static int spawner_make_parts(Spawner *spawner, const Arguments *arguments) {
        const char *runtimes = arguments->runtimes ?: SPAWNER_RUNTIMES, *records = arguments->records;
        int r;

        if (!records && !arguments->runtimes)
                records = RECORDS;
        r = sd_event_default(&spawner->event);
        if (r >= 0)
                r = sd_event_add_signal(spawner->event, &spawner->terminate_source, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(spawner->event, &spawner->interrupt_source, SIGINT, NULL, NULL);
        if (r >= 0)
                r = children_new(spawner->event, &spawner->children);
        if (r < 0) {
                log_error(_("The service could not be started: %s."), g_strerror(-r));
                return r;
        }
        (void) sd_event_set_watchdog(spawner->event, 1);
        r = folders_open(spawner->event, spawner->children, runtimes, records, &spawner->folders);
        if (r < 0) {
                log_error(_("The folder %s can't be used: %s."), runtimes, g_strerror(-r));
                return r;
        }
        r = scope_bus_new(spawner->event, arguments->systemd_address ?: SYSTEM_BUS_ADDRESS, &spawner->scopes);
        if (r < 0)
                log_error(_("No connection to systemd: %s."), g_strerror(-r));
        return r;
}

/* Not before: the daemon may ask for what was left. */
static void on_swept(void *userdata) {
        Spawner *spawner = userdata;
        int r;

        r = peer_new(spawner->event, TAKE_FD(spawner->listener_fd), spawner->rights.daemon_uid, &units_peer_handler, spawner->units, &spawner->peer);
        if (r < 0) {
                log_error(_("The service could not be started: %s."), g_strerror(-r));
                (void) sd_event_exit(spawner->event, r);
                return;
        }
        units_set_peer(spawner->units, spawner->peer);
        (void) sd_notify(0, "READY=1\nSTATUS=Waiting for requests.");
}

static int spawner_start(Spawner *spawner, const Arguments *arguments) {
        UnitsContext context;
        int r;

        r = load_rights(arguments->daemon_uid, &spawner->rights);
        if (r < 0)
                return r;
        spawner->keeper_path = path_of_keeper();
        if (!spawner->keeper_path)
                return -ENOMEM;
        r = spawner_make_parts(spawner, arguments);
        if (r < 0)
                return r;
        context = (UnitsContext){
                .event = spawner->event,
                .scopes = spawner->scopes,
                .children = spawner->children,
                .folders = spawner->folders,
                .rights = &spawner->rights,
                .keeper_path = spawner->keeper_path,
        };
        spawner->units = units_new(&context);
        spawner->listener_fd = find_listener(arguments->socket);
        if (spawner->listener_fd < 0) {
                log_error(_("There is no socket to listen on: %s."), g_strerror(-spawner->listener_fd));
                return spawner->listener_fd;
        }
        r = sweep_new(&context, on_swept, spawner, &spawner->sweep);
        if (r < 0)
                log_error(_("The service could not be started: %s."), g_strerror(-r));
        return r;
}

static void spawner_done(Spawner *spawner) {
        peer_free(spawner->peer);
        fd_close(spawner->listener_fd);
        sweep_free(spawner->sweep);
        units_free(spawner->units);
        scope_bus_free(spawner->scopes);
        folders_free(spawner->folders);
        children_free(spawner->children);
        sd_event_source_disable_unref(spawner->terminate_source);
        sd_event_source_disable_unref(spawner->interrupt_source);
        sd_event_unref(spawner->event);
        free(spawner->keeper_path);
}

static void arguments_done(Arguments *arguments) {
        g_free(arguments->socket);
        g_free(arguments->runtimes);
        g_free(arguments->records);
        g_free(arguments->systemd_address);
}

static int parse_arguments(int *argc, char ***argv, Arguments *arguments) {
        const GOptionEntry entries[] = {
                {"socket", 0, 0, G_OPTION_ARG_FILENAME, &arguments->socket, N_("Listen at this path, instead of on the socket that systemd passes"),
                 N_("PATH")},
                {"daemon-uid", 0, 0, G_OPTION_ARG_INT, &arguments->daemon_uid, N_("Serve this user, instead of runtime-manager"), N_("UID")},
                {"runtimes", 0, 0, G_OPTION_ARG_FILENAME, &arguments->runtimes, N_("Make the runtimes' folders here"), N_("PATH")},
                {"records", 0, 0, G_OPTION_ARG_FILENAME, &arguments->records, N_("Find here which runtimes the daemon knows"), N_("PATH")},
                {"systemd-address", 0, 0, G_OPTION_ARG_STRING, &arguments->systemd_address, N_("Find the service manager on the bus at this address"),
                 N_("ADDRESS")},
                {"version", 0, 0, G_OPTION_ARG_NONE, &arguments->version, N_("Show the version"), NULL},
                {0},
        };
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) error = NULL;

        g_option_context_set_summary(context, _("Starts notebook runtimes as their users, for runtime-managerd --system alone."));
        g_option_context_add_main_entries(context, entries, GETTEXT_PACKAGE);
        if (!g_option_context_parse(context, argc, argv, &error)) {
                log_error("%s", error->message);
                return -EINVAL;
        }
        if (*argc > 1) {
                log_error(_("Unexpected argument \"%s\"; see --help."), (*argv)[1]);
                return -EINVAL;
        }
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_free_ char *locales = path_of_locales();
        _cleanup_(arguments_done) Arguments arguments = {.daemon_uid = -1};
        _cleanup_(spawner_done) Spawner spawner = {.listener_fd = -EBADF};
        int r;

        setlocale(LC_ALL, "");
        (void) bindtextdomain(GETTEXT_PACKAGE, locales);
        (void) bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        (void) textdomain(GETTEXT_PACKAGE);

        if (parse_arguments(&argc, &argv, &arguments) < 0)
                return 2;
        if (arguments.version) {
                g_print("runtime-spawner %s\n", PROJECT_VERSION);
                return EXIT_SUCCESS;
        }
        if (!cgroup_mount()) {
                log_error(_("There is no cgroup v2 hierarchy in /sys/fs/cgroup; boot with systemd.unified_cgroup_hierarchy=1."));
                return EXIT_FAILURE;
        }
        if (block_signals() < 0 || spawner_start(&spawner, &arguments) < 0)
                return EXIT_FAILURE;
        r = sd_event_loop(spawner.event);
        (void) sd_notify(0, "STOPPING=1");
        return r < 0 ? EXIT_FAILURE : r;
}
