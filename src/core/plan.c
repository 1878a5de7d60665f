/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The order matters: the environment first, since the program is looked up in the PATH that the runtime will have; then the program, since the kind's
 * words may name it; then the words. */

#include "core/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

/* Set by systemd or the bus for the service itself (systemd.exec(5), sd_notify(3), sd_listen_fds(3)), and by nobody for us to hand on. */
static const char *const service_variables[] = {
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "MANAGERPID",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "CACHE_DIRECTORY",
        "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "MAINPID",
        "FDSTORE",
        "DBUS_STARTER_ADDRESS",
        "DBUS_STARTER_BUS_TYPE",
        "MANAGERPIDFDID",
        RM_ENV_ID,
        RM_ENV_SOCKET,
        RM_ENV_INIT_REF,
        RM_ENV_DEADLINE,
        RM_ENV_TIMEOUT,
};

char **plan_base_environment(void) {
        char **environment = g_get_environ();

        for (size_t i = 0; i < ELEMENTSOF(service_variables); i++)
                environment = g_environ_unsetenv(environment, service_variables[i]);
        return environment;
}

static char **environment_apply(char **environment, char *const *entries) {
        for (; entries && *entries; entries++) {
                g_autofree char *name = g_strndup(*entries, strcspn(*entries, "="));

                environment = g_environ_setenv(environment, name, *entries + strlen(name) + 1, TRUE);
        }
        return environment;
}

static int invalid_option(sd_bus_error *reterr, const char *problem) {
        return sd_bus_error_set(reterr, RM_ERROR_INVALID_OPTION, problem);
}

static int plan_make_environment(Plan *plan, const Kind *kind, const StartOptions *options, const KindContext *context, sd_bus_error *reterr) {
        g_autofree char *problem = NULL, *timeout = NULL, *socket = NULL;
        g_auto(GStrv) of_kind = NULL;
        char **environment;

        if (kind_expand_environment(kind, context, &of_kind, &problem) < 0)
                return invalid_option(reterr, problem);

        environment = options->user ? user_environment(options->user) : plan_base_environment();
        for (char **name = options->unset_environment; name && *name; name++)
                environment = g_environ_unsetenv(environment, *name);
        /* The service has none, or one that isn't meant. */
        if (options->input_terminal)
                environment = g_environ_setenv(environment, "TERM", "xterm-256color", TRUE);
        environment = environment_apply(environment, of_kind);
        environment = environment_apply(environment, options->environment);
        environment = g_environ_setenv(environment, RM_ENV_ID, context->id, TRUE);

        if (kind->handshake.type == KIND_HANDSHAKE_PROTOCOL) {
                timeout = g_strdup_printf("%" PRIu64, plan->handshake_usec + HANDSHAKE_SLACK_USEC);
                environment = g_environ_setenv(environment, RM_ENV_INIT_REF, plan->init_ref, TRUE);
                environment = g_environ_setenv(environment, RM_ENV_TIMEOUT, timeout, TRUE);
                if (kind->handshake.transport == KIND_TRANSPORT_SOCKET) {
                        socket = g_build_filename(context->runtime_dir, RM_CONTROL_SOCKET, NULL);
                        environment = g_environ_setenv(environment, RM_ENV_SOCKET, socket, TRUE);
                }
        } else if (kind->handshake.type == KIND_HANDSHAKE_NOTIFY) {
                socket = g_build_filename(context->runtime_dir, RM_NOTIFY_SOCKET, NULL);
                environment = g_environ_setenv(environment, "NOTIFY_SOCKET", socket, TRUE);
        }
        plan->environment = environment;
        return 0;
}

/* What a runtime's user sees in the file system only that user's processes can say: then the keeper looks, before the first command runs, and what it doesn't
 * find is told in the words that kind-executable.c has for both. */
static bool plan_may_look(const StartOptions *options) {
        return !options->user;
}

static int find(const StartOptions *options, const char *name, char **environment, const char *missing, char **ret, sd_bus_error *reterr) {
        g_autofree char *message = NULL;
        int r;

        if (!plan_may_look(options)) {
                *ret = g_strdup(name);
                return 0;
        }
        r = kind_find_executable(name, g_environ_getenv(environment, "PATH"), ret);
        if (r >= 0)
                return 0;
        message = kind_describe_missing_executable(name, missing, r);
        return sd_bus_error_set(reterr, RM_ERROR_EXECUTABLE_NOT_FOUND, message);
}

/* Whether it can be read is left to the program, which says it better. */
static int plan_check_required_file(const KindPlan *kind_plan, const Kind *kind, const StartOptions *options, sd_bus_error *reterr) {
        g_autofree char *message = NULL;
        struct stat st;
        int error = 0;

        if (!kind_plan->required_file || !plan_may_look(options))
                return 0;
        if (stat(kind_plan->required_file, &st) < 0)
                error = errno;
        else if (!S_ISREG(st.st_mode))
                error = EISDIR;
        if (error == 0)
                return 0;
        message = kind_describe_missing_file(kind->requires_file_missing, kind_plan->required_file, error);
        return invalid_option(reterr, message);
}

static char **words_concatenate(char *const *first, char *const *second) {
        GPtrArray *words = g_ptr_array_new();

        for (; first && *first; first++)
                g_ptr_array_add(words, g_strdup(*first));
        for (; second && *second; second++)
                g_ptr_array_add(words, g_strdup(*second));
        g_ptr_array_add(words, NULL);
        return (char **) g_ptr_array_free(words, FALSE);
}

static int plan_make_words(Plan *plan, const Kind *kind, const StartOptions *options, KindContext *context, sd_bus_error *reterr) {
        g_autofree char *executable = NULL, *problem = NULL;
        KindPlan *kind_plan;
        int r;

        if (kind->executable) {
                r = find(options, kind->executable, plan->environment, kind->executable_missing, &executable, reterr);
                if (r < 0)
                        return r;
                context->executable = executable;
        }
        if (kind_expand(kind, context, &plan->kind_plan, &problem) < 0)
                return invalid_option(reterr, problem);

        kind_plan = plan->kind_plan;
        r = plan_check_required_file(kind_plan, kind, options, reterr);
        if (r < 0)
                return r;
        if (!kind_plan->argv && (!options->command || !options->command[0]))
                return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION, "The kind \"%s\" needs the option Command: the program to run and its arguments.",
                                         kind->name);
        if (kind_plan->argv && options->command)
                return sd_bus_error_setf(reterr, RM_ERROR_INVALID_OPTION,
                                         "The kind \"%s\" has a command of its own and takes no option Command; use Arguments to add to it.", kind->name);
        plan->argv = words_concatenate(kind_plan->argv ?: options->command, options->arguments);
        r = find(options, plan->argv[0], plan->environment, NULL, &plan->executable, reterr);
        if (r < 0)
                return r;

        plan->step_executables = g_new0(char *, kind_plan->n_steps + 1);
        for (size_t i = 0; i < kind_plan->n_steps; i++) {
                r = find(options, kind_plan->steps[i].argv[0], plan->environment, NULL, &plan->step_executables[i], reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int plan_choose_directory(Plan *plan, const StartOptions *options, sd_bus_error *reterr) {
        g_autofree char *message = NULL;
        struct stat st;
        int error = 0;

        plan->directory = g_strdup(options->working_directory ?: plan->kind_plan->directory ?: user_get_home(options->user));
        if (!plan_may_look(options))
                return 0;
        if (stat(plan->directory, &st) < 0)
                error = errno;
        else if (!S_ISDIR(st.st_mode))
                error = ENOTDIR;
        if (error == 0)
                return 0;
        message = kind_describe_missing_directory(plan->directory, error);
        return invalid_option(reterr, message);
}

static void plan_merge_limits(Plan *plan, const Kind *kind, const StartOptions *options) {
        const uint64_t of_kind[_LIMIT_KEY_MAX] = {
                [LIMIT_MEMORY_MAX] = kind->limits.memory_max,
                [LIMIT_MEMORY_HIGH] = kind->limits.memory_high,
                [LIMIT_CPU_QUOTA] = kind->limits.cpu_quota_per_sec_usec,
                [LIMIT_CPU_WEIGHT] = kind->limits.cpu_weight,
                [LIMIT_TASKS_MAX] = kind->limits.tasks_max,
                [LIMIT_IO_WEIGHT] = kind->limits.io_weight,
        };

        plan->limits = options->limits;
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                if (plan->limits.value[i] == UINT64_MAX)
                        plan->limits.value[i] = of_kind[i];
}

static int make_init_ref(char **ret) {
        uint8_t bytes[16];
        GString *text;

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                return -errno;
        text = g_string_sized_new(2 * sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes); i++)
                g_string_append_printf(text, "%02x", bytes[i]);
        *ret = g_string_free(text, FALSE);
        return 0;
}

int plan_new(const Kind *kind, const StartOptions *options, const char *name, const char *runtime_directory, Plan **ret, sd_bus_error *reterr) {
        g_autoptr(Plan) plan = g_new0(Plan, 1);
        g_autofree char *host = g_strdup(g_get_host_name());
        KindContext context = {
                .id = name,
                .runtime_dir = runtime_directory,
                .home = user_get_home(options->user),
                .user = user_get_name(options->user),
                .uid = user_get_uid(options->user),
                .host = host,
                .values = options->values,
        };
        int r;

        host[strcspn(host, ".")] = '\0';
        plan->handshake_usec = options->timeout_handshake_usec != TIME_UNSET ? options->timeout_handshake_usec : kind->handshake.timeout_usec;
        plan->max_usec = options->runtime_max_usec != TIME_UNSET ? options->runtime_max_usec : kind->limits.runtime_max_usec;

        r = make_init_ref(&plan->init_ref);
        if (r < 0)
                return sd_bus_error_set_errno(reterr, r);
        r = plan_make_environment(plan, kind, options, &context, reterr);
        if (r < 0)
                return r;
        r = plan_make_words(plan, kind, options, &context, reterr);
        if (r < 0)
                return r;
        r = plan_choose_directory(plan, options, reterr);
        if (r < 0)
                return r;
        plan_merge_limits(plan, kind, options);
        *ret = g_steal_pointer(&plan);
        return 0;
}

Plan *plan_free(Plan *plan) {
        if (!plan)
                return NULL;
        g_strfreev(plan->step_executables);
        kind_plan_free(plan->kind_plan);
        g_strfreev(plan->argv);
        g_free(plan->executable);
        g_strfreev(plan->environment);
        g_free(plan->directory);
        g_free(plan->init_ref);
        g_free(plan);
        return NULL;
}
