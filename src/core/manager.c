/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager owns every runtime from its start until it is forgotten. A runtime whose start failed is forgotten at once: the caller has been told
 * all there is. Others stay readable for their time, the oldest giving way when there are too many. */

#include "core/manager.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/cgroup.h"
#include "core/manager-private.h"
#include "core/plan.h"
#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/message-ids.h"
#include "util/names.h"
#include "util/text.h"

/* Takes it out of the lists. */
static void manager_unlink(Manager *manager, Entry *entry) {
        g_hash_table_remove(manager->by_name, runtime_get_name(entry->runtime));
        g_queue_unlink(&manager->all, &entry->in_all);
        quotas_give(manager->quotas, runtime_get_uid(entry->runtime), entry->ended ? QUOTA_ENDED : QUOTA_RUNTIMES, 1);
        quotas_give(manager->quotas, runtime_get_uid(entry->runtime), QUOTA_RING_BYTES, runtime_get_options(entry->runtime)->ring_bytes);
        manager->n_runtimes -= !entry->ended;
        manager_users_remove(manager, entry);
}

static void entry_free(Entry *entry) {
        sd_event_source_disable_unref(entry->retain_timer);
        runtime_free(entry->runtime);
        g_free(entry);
}

static void manager_remove(Manager *manager, Entry *entry) {
        manager_unlink(manager, entry);
        manager->handler->on_removed(manager->userdata, entry->runtime);
        record_store_remove(manager->context.records, runtime_get_name(entry->runtime));
        runtime_remove_directory(&manager->context, runtime_get_name(entry->runtime));
        entry_free(entry);
}

Entry *manager_insert(Manager *manager, Runtime *runtime) {
        Entry *entry = g_new0(Entry, 1);

        *entry = (Entry){.manager = manager, .runtime = runtime, .in_all.data = entry};
        runtime_set_link(runtime, entry);
        g_hash_table_insert(manager->by_name, (gpointer) runtime_get_name(runtime), entry);
        g_queue_push_tail_link(&manager->all, &entry->in_all);
        manager_users_add(manager, entry);
        manager->n_runtimes++;
        quotas_add(manager->quotas, runtime_get_uid(runtime), QUOTA_RUNTIMES, 1);
        quotas_add(manager->quotas, runtime_get_uid(runtime), QUOTA_RING_BYTES, runtime_get_options(runtime)->ring_bytes);
        return entry;
}

static int on_retain_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Entry *entry = userdata;

        manager_remove(entry->manager, entry);
        return 0;
}

void manager_retain(Manager *manager, Entry *entry) {
        uid_t uid = runtime_get_uid(entry->runtime);
        uint64_t retain_usec = runtime_get_options(entry->runtime)->retain_usec, since_usec = runtime_get_over_usec(entry->runtime);
        uint64_t usec = retain_usec < USEC_INFINITY - since_usec ? since_usec + retain_usec : USEC_INFINITY;

        manager_users_set_ended(manager, entry, true);
        manager->n_runtimes--;
        (void) sd_event_add_time(manager->context.event, &entry->retain_timer, CLOCK_MONOTONIC, usec, USEC_PER_SEC, on_retain_timer, entry);
        quotas_give(manager->quotas, uid, QUOTA_RUNTIMES, 1);
        /* Of whom too much is kept, the oldest goes. */
        if (!quotas_take(manager->quotas, uid, QUOTA_ENDED, 1)) {
                quotas_add(manager->quotas, uid, QUOTA_ENDED, 1);
                manager_remove(manager, manager_users_get_oldest_ended(manager, uid));
        }
}

static void manager_restart_ended(Manager *manager, Entry *entry);

static void on_over(void *userdata, Runtime *runtime, bool restart) {
        Entry *entry = runtime_get_link(runtime);
        Manager *manager = entry->manager;

        manager->statistics.ends[runtime_get_report(runtime)->result]++;
        /* One whose restart failed was seen to run before, and has output. */
        if (runtime_has_run(runtime) || restart)
                manager_retain(manager, entry);
        else
                manager_remove(manager, entry);
        if (restart)
                manager_restart_ended(manager, entry);
        if (manager->stopping && manager->n_runtimes == 0)
                manager->handler->on_idle(manager->userdata);
}

/* Who has the service for itself. */
static const QuotaLimits one_user = {
        .max =
                {
                        [QUOTA_RUNTIMES] = UINT64_MAX,
                        [QUOTA_ENDED] = LIMIT_ENDED,
                        [QUOTA_RING_BYTES] = UINT64_MAX,
                        [QUOTA_CALLS] = UINT64_MAX,
                        [QUOTA_SUBSCRIBERS] = UINT64_MAX,
                        [QUOTA_PIPES] = UINT64_MAX,
                },
        .starts_per_second = UINT64_MAX,
        .starts_burst = UINT64_MAX,
        .arguments_size_max = UINT64_MAX,
};

static void manager_log_kinds(const Manager *manager) {
        for (size_t i = 0; i < kind_set_size(manager->kinds); i++) {
                const Kind *kind = kind_set_at(manager->kinds, i);

                if (kind->problem)
                        journal_write(manager->context.journal, JOURNAL_WARNING, MESSAGE_ID_KIND_MISTAKE,
                                      (const JournalField[]){{"RUNTIME_KIND", kind->name}, {}}, "The kind \"%s\" can't be used: %s", kind->name, kind->problem);
        }
        for (const char *const *problem = kind_set_get_problems(manager->kinds); *problem; problem++)
                journal_write(manager->context.journal, JOURNAL_WARNING, MESSAGE_ID_KIND_MISTAKE, NULL, "%s", *problem);
}

int manager_new(const ManagerConfig *config, const ManagerHandler *handler, void *userdata, Manager **ret) {
        Manager *manager;
        int r;

        manager = g_new0(Manager, 1);
        manager->handler = handler;
        manager->userdata = userdata;
        manager->runtime_handler = handler->runtime;
        manager->runtime_handler.on_over = on_over;
        manager->runtime_handler.on_returned = manager_on_returned;
        manager->kind_directories = config->kind_directories;
        manager->reserved_options = config->reserved_options;
        manager->runtime_directory = g_strdup(config->runtime_directory);
        manager->by_name = g_hash_table_new(g_str_hash, g_str_equal);
        manager->by_uid = manager_users_new();
        manager->context = (RuntimeContext){
                .event = config->event,
                .scopes = config->scopes,
                .keeper_path = config->keeper_path,
                .slice = config->slice,
                .journal = journal_new(config->event, JOURNAL_SOCKET),
                .directory = manager->runtime_directory,
                .fd_limit = config->fd_limit,
                .many_users = config->many_users,
        };
        g_queue_init(&manager->all);
        manager->quotas = quotas_new(config->quota_limits ?: &one_user);
        manager->runtimes_max = config->runtimes_max;
        manager->statistics.since_usec = (uint64_t) g_get_real_time();

        r = turns_new(config->event, LIMIT_STARTS_AT_ONCE, &manager->context.starts);
        if (r >= 0)
                r = record_store_open(config->runtime_directory, &manager->context.records);
        if (r >= 0)
                r = kind_set_load(config->kind_directories, config->reserved_options, &manager->kinds);
        if (r < 0) {
                manager_free(manager);
                return r;
        }
        manager_log_kinds(manager);
        *ret = manager;
        return 0;
}

Manager *manager_free(Manager *manager) {
        Entry *entry;

        if (!manager)
                return NULL;
        while ((entry = g_queue_peek_head(&manager->all))) {
                manager_unlink(manager, entry);
                manager->handler->on_unloaded(manager->userdata, entry->runtime);
                entry_free(entry);
        }
        sd_event_source_disable_unref(manager->load_timer);
        g_hash_table_unref(manager->by_name);
        g_hash_table_unref(manager->by_uid);
        kind_set_free(manager->kinds);
        turns_free(manager->context.starts);
        record_store_free(manager->context.records);
        quotas_free(manager->quotas);
        journal_free(manager->context.journal);
        g_free(manager->runtime_directory);
        g_free(manager);
        return NULL;
}

static char *manager_name(const Manager *manager, uid_t uid, const char *id) {
        return runtime_name(manager->context.many_users, uid, id);
}

static int manager_choose_id(Manager *manager, uid_t uid, char **ret) {
        static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
        g_autofree char *name = NULL;
        uint64_t bits = 0;
        char id[9] = {0};

        do {
                /* 5 bytes: 8 characters of 5 bits. */
                if (getrandom(&bits, 5, 0) != 5)
                        return -errno;
                for (size_t i = 0; i < 8; i++)
                        id[i] = alphabet[(bits >> (5 * i)) & 31];
                g_free(name);
                name = manager_name(manager, uid, id);
        } while (g_hash_table_contains(manager->by_name, name));
        *ret = g_strdup(id);
        return 0;
}

/* A repeated start returns the runtime that the first one made. */
static int manager_check_existing(Entry *entry, const Kind *kind, const StartOptions *options, Runtime **ret, sd_bus_error *reterr) {
        const StartOptions *theirs = runtime_get_options(entry->runtime);

        if (strcmp(runtime_get_kind(entry->runtime)->name, kind->name) != 0 || strcmp(theirs->fingerprint, options->fingerprint) != 0 ||
            theirs->uid != options->uid || theirs->starter_uid != options->starter_uid)
                return sd_bus_error_setf(reterr, RM_ERROR_RUNTIME_EXISTS,
                                         "There is a runtime \"%s\" already, started with other options; choose another Id, or Forget it once it has ended.",
                                         options->id);
        /* The first call has found its daemon's end. What is left of it goes, then it is done. */
        if (runtime_is_start_lost(entry->runtime))
                runtime_set_again(entry->runtime, true);
        *ret = entry->runtime;
        return 0;
}

int manager_find_kind(Manager *manager, const char *kind_name, const Kind **ret, sd_bus_error *reterr) {
        _cleanup_free_ char *quoted = NULL;
        const Kind *kind;

        if (manager->stopping)
                return sd_bus_error_set(reterr, RM_ERROR_START_FAILED, "The service is ending; start it again to start runtimes.");
        kind = kind_set_get(manager->kinds, kind_name);
        if (!kind) {
                quoted = text_quote_name(kind_name);
                return sd_bus_error_setf(reterr, RM_ERROR_NO_SUCH_KIND, "There is no kind of runtime called %s; ListKinds tells which there are.", quoted);
        }
        if (kind->problem)
                return sd_bus_error_setf(reterr, RM_ERROR_NO_SUCH_KIND, "The kind \"%s\" can't be used until its file is mended: %s", kind_name, kind->problem);
        *ret = kind;
        return 0;
}

/* What a plan says, as parameters of a runtime. */
static RuntimeParameters parameters_from_plan(const Kind *kind, const char *name, Plan *plan, const char *directory) {
        return (RuntimeParameters){
                .name = name,
                .kind = kind,
                .plan = g_steal_pointer(&plan->kind_plan),
                .argv = plan->argv,
                .environment = plan->environment,
                .executable = plan->executable,
                .step_executables = plan->step_executables,
                .directory = plan->directory,
                .init_ref = plan->init_ref,
                .runtime_directory = directory,
                .limits = plan->limits,
                .handshake_usec = plan->handshake_usec,
                .max_usec = plan->max_usec,
        };
}

static int manager_plan_restart(Manager *manager, Entry *entry, Plan **ret_plan, const Kind **ret_kind, sd_bus_error *reterr) {
        g_autofree char *directory = NULL;
        int r;

        r = manager_find_kind(manager, runtime_get_kind(entry->runtime)->name, ret_kind, reterr);
        if (r < 0)
                return r;
        directory = runtime_directory_of(&manager->context, runtime_get_name(entry->runtime));
        return plan_new(*ret_kind, runtime_get_options(entry->runtime), runtime_get_name(entry->runtime), directory, ret_plan, reterr);
}

static int manager_restart_now(Manager *manager, Entry *entry, sd_bus_error *reterr) {
        const char *name = runtime_get_name(entry->runtime);
        g_autofree char *directory = NULL;
        g_autoptr(Plan) plan = NULL;
        RuntimeParameters parameters;
        const Kind *kind;
        int r;

        r = manager_plan_restart(manager, entry, &plan, &kind, reterr);
        if (r < 0)
                return r;
        r = record_store_renew(manager->context.records, name, NULL);
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "The runtime's folder in %s could not be made: %s.", manager->runtime_directory,
                                         g_strerror(-r));
        directory = runtime_directory_of(&manager->context, name);
        manager_users_set_ended(manager, entry, false);
        entry->retain_timer = sd_event_source_disable_unref(entry->retain_timer);
        manager->n_runtimes++;
        quotas_give(manager->quotas, runtime_get_uid(entry->runtime), QUOTA_ENDED, 1);
        quotas_add(manager->quotas, runtime_get_uid(entry->runtime), QUOTA_RUNTIMES, 1);
        parameters = parameters_from_plan(kind, name, plan, directory);
        manager->statistics.starts++;
        runtime_restart(entry->runtime, &parameters);
        return 0;
}

static int manager_add(Manager *manager, const Kind *kind, const char *name, StartOptions *options, Plan *plan, const char *directory, Runtime **ret,
                       sd_bus_error *reterr) {
        RuntimeParameters parameters = parameters_from_plan(kind, name, plan, directory);
        Runtime *runtime;
        int r;

        parameters.options = options;
        r = runtime_new(&manager->context, &parameters, &manager->runtime_handler, manager->userdata, &runtime);
        if (r == -E2BIG)
                return sd_bus_error_set(reterr, RM_ERROR_LIMIT_EXCEEDED, "Command, arguments and environment are too large together.");
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "The runtime could not be set up: %s.", g_strerror(-r));
        r = runtime_start(runtime, reterr);
        if (r < 0) {
                runtime_free(runtime);
                return r;
        }

        (void) manager_insert(manager, runtime);
        manager->statistics.starts++;
        manager->handler->on_added(manager->userdata, runtime);
        *ret = runtime;
        return 0;
}

void manager_find_user(Manager *manager, uid_t uid, const char *name, UserFunc done, void *userdata) {
        if (manager->context.many_users)
                scope_bus_find_user(manager->context.scopes, uid, name, done, userdata);
        else
                done(userdata, 0, NULL);
}

int manager_start(Manager *manager, const char *kind_name, StartOptions *options, Runtime **ret, sd_bus_error *reterr) {
        g_autoptr(StartOptions) owned = options;
        g_autofree char *directory = NULL, *name = NULL;
        g_autoptr(Plan) plan = NULL;
        const Kind *kind;
        Entry *entry;
        int r;

        if (!scope_bus_is_connected(manager->context.scopes))
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "There is no connection to %s just now; try again in a moment.",
                                         manager->context.many_users ? "the spawner" : "systemd");
        r = manager_find_kind(manager, kind_name, &kind, reterr);
        if (r < 0)
                return r;
        if (options->id)
                name = manager_name(manager, options->uid, options->id);
        entry = name ? g_hash_table_lookup(manager->by_name, name) : NULL;
        if (entry)
                return manager_check_existing(entry, kind, options, ret, reterr);
        r = manager_check_room(manager, options->uid, options->ring_bytes, reterr);
        if (r < 0)
                return r;
        if (!options->id) {
                r = manager_choose_id(manager, options->uid, &options->id);
                if (r < 0)
                        return sd_bus_error_set_errno(reterr, r);
                name = manager_name(manager, options->uid, options->id);
        }
        if (!options->description || options->description[0] == '\0') {
                g_free(options->description);
                options->description = g_strdup_printf("Runtime %s (%s)", options->id, kind->name);
        }

        directory = runtime_directory_of(&manager->context, name);
        r = plan_new(kind, options, name, directory, &plan, reterr);
        if (r < 0)
                return r;
        r = record_store_add(manager->context.records, name, NULL);
        if (r < 0)
                return sd_bus_error_setf(reterr, RM_ERROR_START_FAILED, "The runtime's folder in %s could not be made: %s.", manager->runtime_directory,
                                         g_strerror(-r));
        /* From runtime_new() on the options are the runtime's, whether it came to be or not. */
        owned = NULL;
        r = manager_add(manager, kind, name, options, plan, directory, ret, reterr);
        if (r < 0)
                record_store_remove(manager->context.records, name);
        return r;
}

Runtime *manager_get(Manager *manager, const char *name) {
        Entry *entry = g_hash_table_lookup(manager->by_name, name);

        return entry ? entry->runtime : NULL;
}

Runtime *manager_find(Manager *manager, uid_t uid, const char *id) {
        g_autofree char *name = manager_name(manager, uid, id);

        /* Of another user's the caller gives the name: an id of its own comes first. */
        return manager_get(manager, name) ?: manager_get(manager, id);
}

Runtime *manager_find_by_pid(Manager *manager, pid_t pid) {
        g_autofree char *cgroup = NULL;

        if (cgroup_of_pid(pid, &cgroup) < 0)
                return NULL;

        /* The unit's name ends in the runtime's; the process is in a cgroup somewhere below the unit's. */
        for (char *slash; (slash = strrchr(cgroup, '/')); *slash = '\0') {
                const char *dash = strrchr(slash, '-');
                g_autofree char *name = NULL;
                Runtime *runtime;

                if (!g_str_has_prefix(slash + 1, RM_UNIT_PREFIX) || !g_str_has_suffix(slash, ".scope") || !dash)
                        continue;
                name = g_strndup(dash + 1, strcspn(dash + 1, "."));
                runtime = manager_get(manager, name);
                if (runtime && strcmp(runtime_get_unit(runtime), slash + 1) == 0)
                        return runtime;
        }
        return NULL;
}

Runtime *manager_next(Manager *manager, Runtime *runtime) {
        GList *next = manager->all.head;

        if (runtime)
                next = ((Entry *) runtime_get_link(runtime))->in_all.next;
        return next ? ((Entry *) next->data)->runtime : NULL;
}

unsigned manager_get_n_runtimes(const Manager *manager, uid_t uid) {
        return (unsigned) quotas_get(manager->quotas, uid, QUOTA_RUNTIMES);
}

const ManagerStatistics *manager_get_statistics(const Manager *manager) {
        return &manager->statistics;
}

Journal *manager_get_journal(Manager *manager) {
        return manager->context.journal;
}

unsigned manager_get_runtimes_max(const Manager *manager) {
        return manager->runtimes_max;
}

Quotas *manager_get_quotas(Manager *manager) {
        return manager->quotas;
}

const KindSet *manager_get_kinds(const Manager *manager) {
        return manager->kinds;
}

bool manager_kind_is_available(Manager *manager, const Kind *kind, char **ret_problem) {
        g_auto(GStrv) environment = NULL;
        g_autofree char *path = NULL;

        if (kind->problem) {
                *ret_problem = g_strdup(kind->problem);
                return false;
        }
        if (!kind->executable)
                return true;
        /* Of many users nobody's PATH is known: most have this one. */
        environment = manager->context.many_users ? g_environ_setenv(NULL, "PATH", USER_PATH, TRUE) : plan_base_environment();
        if (kind_find_executable(kind->executable, g_environ_getenv(environment, "PATH"), &path) >= 0)
                return true;
        *ret_problem = g_strdup(kind->executable_missing);
        return false;
}

/* What can go wrong now goes wrong for a runtime that stays ended. */
static void manager_restart_ended(Manager *manager, Entry *entry) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        if (manager_restart_now(manager, entry, &error) < 0)
                manager->handler->runtime.on_start_failed(manager->userdata, entry->runtime, &error);
}

int manager_restart(Manager *manager, Runtime *runtime, uid_t uid, sd_bus_error *reterr) {
        Entry *entry = runtime_get_link(runtime);
        g_autoptr(Plan) plan = NULL;
        const Kind *kind;
        int r;

        /* What would refuse the new start refuses it while the old runtime still runs. */
        r = manager_plan_restart(manager, entry, &plan, &kind, reterr);
        if (r < 0)
                return r;
        if (entry->ended) {
                r = manager_check_room(manager, runtime_get_uid(runtime), 0, reterr);
                if (r < 0)
                        return r;
                manager_restart_ended(manager, entry);
                return 0;
        }
        if (runtime_get_state(runtime) == RUNTIME_STARTING)
                return sd_bus_error_set(reterr, RM_ERROR_BAD_STATE, "The runtime is just being started; wait until it has, or stop it.");
        runtime_set_again(runtime, true);
        if (runtime_get_state(runtime) < RUNTIME_STOPPING)
                return runtime_stop(runtime, REQUESTED_BY_CLIENT, uid, TIME_UNSET, reterr);
        return 0;
}

int manager_stop(Manager *manager, Runtime *runtime, uid_t uid, uint64_t timeout_usec, sd_bus_error *reterr) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        bool cancelled = runtime_get_again(runtime);
        int r;

        if (cancelled) {
                runtime_set_again(runtime, false);
                sd_bus_error_set(&error, RM_ERROR_CANCELLED, "The runtime was stopped before it was started again.");
                manager->handler->runtime.on_start_failed(manager->userdata, runtime, &error);
        }
        r = runtime_stop(runtime, REQUESTED_BY_CLIENT, uid, timeout_usec, cancelled ? NULL : reterr);
        /* It may have ended but for the telling; the stop has done something all the same. */
        return cancelled ? 0 : r;
}

int manager_reload(Manager *manager, sd_bus_error *reterr) {
        KindSet *kinds;
        int r;

        r = kind_set_load(manager->kind_directories, manager->reserved_options, &kinds);
        if (r < 0)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_FAILED, "The kinds could not be read again, the old ones stay: %s.", g_strerror(-r));
        kind_set_free(manager->kinds);
        manager->kinds = kinds;
        manager_log_kinds(manager);
        return 0;
}

int manager_forget(Manager *manager, Runtime *runtime, sd_bus_error *reterr) {
        Entry *entry = runtime_get_link(runtime);

        if (!entry->ended)
                return sd_bus_error_setf(reterr, RM_ERROR_BAD_STATE, "The runtime \"%s\" has not ended (state %s); stop it first.", runtime_get_id(runtime),
                                         runtime_state_to_string(runtime_get_state(runtime)));
        manager_remove(manager, entry);
        return 0;
}

void manager_stop_all(Manager *manager, bool at_once) {
        GList *next;

        manager->stopping = true;
        /* A start that hasn't got far ends here and now, and takes its entry with it. */
        for (GList *item = manager->all.head; item; item = next) {
                Entry *entry = item->data;

                next = item->next;
                if (!entry->ended)
                        (void) runtime_stop(entry->runtime, REQUESTED_BY_SYSTEM, 0, at_once ? 0 : TIME_UNSET, NULL);
        }
        if (manager->n_runtimes == 0)
                manager->handler->on_idle(manager->userdata);
}
