/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtime-managerd: reads its options, makes the parts, and runs the loop until it is told to end. SIGTERM and SIGINT stop all runtimes first, each in its
 * stages; a second one doesn't wait for them. But SIGTERM for a restart of our unit leaves them to the one who comes next. */

#include <errno.h>
#include <glib.h>
#include <glib/gi18n.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "bus/service.h"
#include "bus/start-request.h"
#include "core/cgroup.h"
#include "core/config.h"
#include "core/manager.h"
#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/paths.h"
#include "util/spawner.h"

typedef struct Daemon {
        sd_event *event;
        ScopeBus *scopes;
        Service *service;
        Manager *manager;
        sd_event_source *terminate_source, *interrupt_source;
        bool stopping; /* the runtimes too */
        bool keep;     /* runtimes are never stopped */
        bool is_ready;
        bool asking; /* whether it is only a restart */
        char *runtime_directory, *keeper_path;
        char *kind_directories[4];
        struct rlimit fd_limit; /* that we were started with */
        Config *config;         /* of the system bus */
} Daemon;

typedef struct Arguments {
        gboolean user, system, version, keep;
        char *bus_address, *systemd_address, *spawner;
} Arguments;

/* For people and for the journal: sd-daemon's prefix tells the level when stderr is the journal. */
static void complain(const char *format, ...) _printf_(1, 2);

static void complain(const char *format, ...) {
        va_list list;
        g_autofree char *text = NULL;

        va_start(list, format);
        text = g_strdup_vprintf(format, list);
        va_end(list);
        g_printerr("%sruntime-managerd: %s\n", g_getenv("JOURNAL_STREAM") ? SD_ERR : "", text);
}

static void on_ready(void *userdata) {
        Daemon *daemon = userdata;

        daemon->is_ready = true;
        (void) sd_notify(0, "READY=1\nSTATUS=Waiting for requests.");
}

static void on_lost(void *userdata) {
        complain(_("The connection to the message bus was lost; trying to connect again."));
}

static void on_failed(void *userdata, const char *message) {
        Daemon *daemon = userdata;

        complain("%s", message);
        (void) sd_event_exit(daemon->event, EXIT_FAILURE);
}

static void on_idle(void *userdata) {
        Daemon *daemon = userdata;

        (void) sd_event_exit(daemon->event, EXIT_SUCCESS);
}

static void daemon_leave(Daemon *daemon) {
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Leaving all runtimes to the next instance.");
        (void) sd_event_exit(daemon->event, EXIT_SUCCESS);
}

static void daemon_stop(Daemon *daemon) {
        bool again = daemon->stopping;

        daemon->stopping = true;
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Stopping all runtimes.");
        manager_stop_all(daemon->manager, again);
}

static void on_restart_known(void *userdata, bool restart) {
        Daemon *daemon = userdata;

        daemon->asking = false;
        if (restart)
                daemon_leave(daemon);
        else
                daemon_stop(daemon);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Daemon *daemon = userdata;

        /* Before that there is nothing that was started, but something may have been found. */
        if (daemon->keep || !daemon->is_ready)
                daemon_leave(daemon);
        else if (daemon->stopping || info->ssi_signo == SIGINT)
                daemon_stop(daemon);
        else if (!daemon->asking) {
                daemon->asking = true;
                scope_bus_ask_restart(daemon->scopes, getpid(), on_restart_known, daemon);
        }
        return 0;
}

static int daemon_watch_signals(Daemon *daemon) {
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);
        r = sd_event_add_signal(daemon->event, &daemon->terminate_source, SIGTERM, on_signal, daemon);
        if (r < 0)
                return r;
        return sd_event_add_signal(daemon->event, &daemon->interrupt_source, SIGINT, on_signal, daemon);
}

/* Three fds a runtime: the soft limit of 1024 is for programs that use select(). Such a one may be a runtime, so keepers are given the limit that we were
 * started with. */
static void raise_fd_limit(struct rlimit *ret_before) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        *ret_before = limit;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

/* systemd says where, if the unit has a RuntimeDirectory. No kinds but those of the system: what a user writes there would be run for others. */
static void daemon_find_places_of_system(Daemon *daemon) {
        const char *runtime = g_getenv("RUNTIME_DIRECTORY");

        daemon->runtime_directory = g_strdup(runtime && runtime[0] == '/' ? runtime : "/run/" RM_RUNTIME_DIRECTORY);
        daemon->keeper_path = path_of_keeper();
        daemon->kind_directories[0] = path_of_kinds();
        daemon->kind_directories[1] = g_build_filename(SYSCONFDIR, "kinds", NULL);
}

static int daemon_find_places(Daemon *daemon) {
        const char *runtime = g_getenv("XDG_RUNTIME_DIR");

        if (!runtime || runtime[0] != '/') {
                complain(_("XDG_RUNTIME_DIR is not set, so there is no user session to serve."));
                return -ENOENT;
        }
        daemon->runtime_directory = g_build_filename(runtime, RM_RUNTIME_DIRECTORY, NULL);
        daemon->keeper_path = path_of_keeper();
        daemon->kind_directories[0] = path_of_kinds();
        daemon->kind_directories[1] = g_build_filename(SYSCONFDIR, "kinds", NULL);
        daemon->kind_directories[2] = g_build_filename(g_get_user_config_dir(), "runtime-manager", "kinds", NULL);
        return 0;
}

static void report_kinds(const Manager *manager) {
        const KindSet *kinds = manager_get_kinds(manager);

        /* What a service prints is in the journal, where the manager has said the same. */
        if (g_getenv("JOURNAL_STREAM"))
                return;
        for (const char *const *problem = kind_set_get_problems(kinds); *problem; problem++)
                complain("%s", *problem);
        for (size_t i = 0; i < kind_set_size(kinds); i++)
                if (kind_set_at(kinds, i)->problem)
                        complain(_("The kind \"%s\" can't be used: %s"), kind_set_at(kinds, i)->name, kind_set_at(kinds, i)->problem);
}

static int daemon_open_scopes(Daemon *daemon, const Arguments *arguments) {
        int r;

        if (arguments->system)
                r = scope_bus_new_spawner(daemon->event, arguments->spawner ?: SPAWNER_SOCKET, &daemon->scopes);
        else
                r = scope_bus_new(daemon->event, arguments->systemd_address, &daemon->scopes);
        if (r < 0)
                complain(_("No connection to systemd: %s."), g_strerror(-r));
        return r;
}

static int daemon_load_config(Daemon *daemon) {
        g_auto(GStrv) problems = NULL;
        int r;

        r = config_load(config_directories(), &daemon->config, &problems);
        if (r < 0) {
                complain(_("The configuration could not be read: %s."), g_strerror(-r));
                return r;
        }
        for (char **problem = problems; *problem; problem++)
                complain("%s", *problem);
        return 0;
}

static QuotaLimits quota_limits_from_config(const Config *config) {
        return (QuotaLimits){
                .max =
                        {
                                [QUOTA_RUNTIMES] = config->runtimes_per_user,
                                [QUOTA_ENDED] = config->ended_per_user,
                                [QUOTA_RING_BYTES] = config->ring_bytes_per_user,
                                [QUOTA_CALLS] = config->calls_per_user,
                                [QUOTA_SUBSCRIBERS] = config->subscribers_per_user,
                                [QUOTA_PIPES] = config->pipes_per_user,
                        },
                .starts_per_second = config->starts_per_second,
                .starts_burst = config->starts_burst,
                .arguments_size_max = config->arguments_size_max,
        };
}

/* Says what is wrong if it fails. */
static int daemon_start(Daemon *daemon, const Arguments *arguments) {
        static const ServiceHandler handler = {on_ready, on_lost, on_failed, on_idle};
        QuotaLimits quotas = {0};
        ManagerConfig config;
        int r;

        r = sd_event_default(&daemon->event);
        if (r >= 0)
                r = daemon_watch_signals(daemon);
        if (r >= 0)
                r = service_new(daemon->event, arguments->system, arguments->bus_address, &handler, daemon, &daemon->service);
        if (r < 0) {
                complain(_("The service could not be started: %s."), g_strerror(-r));
                return r;
        }
        (void) sd_event_set_watchdog(daemon->event, 1);
        if (arguments->system) {
                daemon_find_places_of_system(daemon);
                r = daemon_load_config(daemon);
        } else
                r = daemon_find_places(daemon);
        if (r < 0)
                return r;
        r = daemon_open_scopes(daemon, arguments);
        if (r < 0)
                return r;
        if (daemon->config)
                quotas = quota_limits_from_config(daemon->config);

        config = (ManagerConfig){
                .event = daemon->event,
                .scopes = daemon->scopes,
                .runtime_directory = daemon->runtime_directory,
                .keeper_path = daemon->keeper_path,
                .slice = RM_USER_SLICE,
                .fd_limit = &daemon->fd_limit,
                .many_users = arguments->system,
                .kind_directories = (const char *const *) daemon->kind_directories,
                .reserved_options = start_request_names(),
                .quota_limits = daemon->config ? &quotas : NULL,
                .runtimes_max = daemon->config ? (unsigned) daemon->config->runtimes : LIMIT_RUNTIMES,
        };
        r = manager_new(&config, service_get_manager_handler(), service_get_manager_userdata(daemon->service), &daemon->manager);
        if (r == -EWOULDBLOCK)
                complain(_("Another instance of the service uses the runtime directory %s."), daemon->runtime_directory);
        else if (r < 0)
                complain(_("The runtime directory %s can't be used: %s."), daemon->runtime_directory, g_strerror(-r));
        if (r < 0)
                return r;
        report_kinds(daemon->manager);
        r = service_start(daemon->service, daemon->manager);
        if (r < 0)
                complain(_("No connection to the message bus: %s."), g_strerror(-r));
        return r;
}

static void daemon_done(Daemon *daemon) {
        manager_free(daemon->manager);
        service_free(daemon->service);
        scope_bus_free(daemon->scopes);
        sd_event_source_disable_unref(daemon->terminate_source);
        sd_event_source_disable_unref(daemon->interrupt_source);
        sd_event_unref(daemon->event);
        config_free(daemon->config);
        g_free(daemon->runtime_directory);
        free(daemon->keeper_path);
        free(daemon->kind_directories[0]);
        g_free(daemon->kind_directories[1]);
        g_free(daemon->kind_directories[2]);
}

static int parse_arguments(int *argc, char ***argv, Arguments *arguments) {
        const GOptionEntry entries[] = {
                {"user", 0, 0, G_OPTION_ARG_NONE, &arguments->user, N_("Serve the session bus, with the user's own service manager"), NULL},
                {"system", 0, 0, G_OPTION_ARG_NONE, &arguments->system, N_("Serve the system bus, for several users, by way of the spawner"), NULL},
                {"keep", 0, 0, G_OPTION_ARG_NONE, &arguments->keep, N_("When told to end, leave the runtimes to the next instance"), NULL},
                {"bus-address", 0, 0, G_OPTION_ARG_STRING, &arguments->bus_address, N_("Serve the bus at this address"), N_("ADDRESS")},
                {"systemd-address", 0, 0, G_OPTION_ARG_STRING, &arguments->systemd_address, N_("Find the service manager on the bus at this address"),
                 N_("ADDRESS")},
                {"spawner", 0, 0, G_OPTION_ARG_FILENAME, &arguments->spawner, N_("Find the spawner at this socket"), N_("PATH")},
                {"version", 0, 0, G_OPTION_ARG_NONE, &arguments->version, N_("Show the version"), NULL},
                {0},
        };
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) error = NULL;

        g_option_context_set_summary(context, _("Starts and looks after notebook runtimes for D-Bus clients."));
        g_option_context_add_main_entries(context, entries, GETTEXT_PACKAGE);
        if (!g_option_context_parse(context, argc, argv, &error)) {
                complain("%s", error->message);
                return -EINVAL;
        }
        if (*argc > 1) {
                complain(_("Unexpected argument \"%s\"; see --help."), (*argv)[1]);
                return -EINVAL;
        }
        if (!arguments->version && arguments->user == arguments->system) {
                complain(_("Say for whom to work: --user serves the session bus, --system the system bus."));
                return -EINVAL;
        }
        if ((arguments->system && arguments->systemd_address) || (arguments->user && arguments->spawner)) {
                complain(_("--systemd-address goes with --user, --spawner with --system."));
                return -EINVAL;
        }
        return 0;
}

int main(int argc, char *argv[]) {
        _cleanup_free_ char *locales = path_of_locales();
        _cleanup_(daemon_done) Daemon daemon = {0};
        Arguments arguments = {0};
        int r;

        setlocale(LC_ALL, "");
        (void) bindtextdomain(GETTEXT_PACKAGE, locales);
        (void) bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        (void) textdomain(GETTEXT_PACKAGE);

        if (parse_arguments(&argc, &argv, &arguments) < 0)
                return 2;
        if (arguments.version) {
                g_print("runtime-managerd %s\n", PROJECT_VERSION);
                return EXIT_SUCCESS;
        }
        if (!cgroup_mount()) {
                complain(_("There is no cgroup v2 hierarchy in /sys/fs/cgroup; boot with systemd.unified_cgroup_hierarchy=1."));
                return EXIT_FAILURE;
        }
        /* It meets everybody, and needs no rights: those are the spawner's. */
        if (arguments.system && geteuid() == 0) {
                complain(_("The service of the system bus must not run as root: start runtime-manager.service, which runs it as the user runtime-manager."));
                return EXIT_FAILURE;
        }
        daemon.keep = arguments.keep;
        raise_fd_limit(&daemon.fd_limit);
        if (daemon_start(&daemon, &arguments) < 0)
                return EXIT_FAILURE;
        /* Who started us has been told in his language. What is said on the bus and in the journal is English, with its words for errors and signals, and its numbers. */
        setlocale(LC_MESSAGES, "C");
        setlocale(LC_NUMERIC, "C");
        r = sd_event_loop(daemon.event);
        g_free(arguments.bus_address);
        g_free(arguments.systemd_address);
        g_free(arguments.spawner);
        return r < 0 ? EXIT_FAILURE : r;
}
