/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From SPAWNER_START to SPAWNER_STARTED, top down: the folder; a child that has become the user, and waits; its scope; the two cgroups in that, handed over;
 * the keeper's program. A user's process is never in our own cgroup, and runs nothing before its limits hold.
 *
 * Nothing of what the daemon says but names, numbers and fds goes on from here; systemd is told a description that is made of the unit's name. */

#include "spawner/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>

#include "core/cgroup.h"
#include "core/sd-autoptr.h"
#include "spawner/delegation.h"
#include "spawner/log.h"
#include "util/limits.h"
#include "util/macro.h"

/* systemd takes milliseconds; the daemon has given up long before that. */
#define START_USEC (30 * USEC_PER_SEC)

#define DESCRIPTION_MAX 128U

static const ScopeHandler unit_scope_handler;

static void unit_free(Unit *unit) {
        bool starting = unit->state != UNIT_UP;

        if (unit->state == UNIT_ASKED)
                units_count_start(unit->units, -1);
        if (starting) {
                if (unit->own && unit->pid > 0)
                        (void) kill(unit->pid, SIGKILL);
                /* One that isn't active yet is stopped by being freed. */
                if (unit->own && unit->scope)
                        scope_stop(unit->scope);
        }
        scope_free(unit->scope);
        if (unit->own && unit->pid > 0)
                children_forget(unit->units->context.children, unit->pid);
        sd_event_source_disable_unref(unit->status_source);
        sd_event_source_disable_unref(unit->deadline_source);
        keeper_process_done(&unit->process);
        fd_close(unit->pidfd);
        g_free(unit->cgroup);
        g_free(unit->id);
        g_free(unit);
}

void unit_forget(Unit *unit) {
        g_hash_table_remove(unit->units->by_id, unit->id);
        unit_free(unit);
}

void unit_fail(Unit *unit, int error, const char *text) {
        units_tell(unit->units, SPAWNER_FAILED, error, SCOPE_RESULT_UNKNOWN, unit->id, text);
        unit_forget(unit);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        unit_fail(userdata, ETIMEDOUT, "systemd did not make the scope in time.");
        return 0;
}

static Unit *unit_new(Units *units, const char *id, const UnitName *name, UnitState state) {
        Unit *unit = g_new(Unit, 1);

        *unit = (Unit){
                .units = units,
                .id = g_strdup(id),
                .name = *name,
                .state = state,
                .cgroup = check_cgroup_of_unit(units->cgroup_root, name, id),
                .limits = limit_set_none(),
                .pidfd = -EBADF,
                .process = KEEPER_PROCESS_EMPTY,
        };
        g_hash_table_insert(units->by_id, unit->id, unit);
        if (state != UNIT_UP) {
                units_count_start(units, 1);
                (void) sd_event_add_time_relative(units->context.event, &unit->deadline_source, CLOCK_MONOTONIC, START_USEC, 0, on_deadline, unit);
        }
        return unit;
}

static Delegation unit_delegation(const Unit *unit) {
        return (Delegation){.cgroup = unit->cgroup, .uid = unit->name.uid, .gid = unit->gid, .ring_bytes = unit->ring_bytes};
}

/* MemoryHigh is the payload's alone: at the scope's it would hold back the keeper. */
static int unit_ask_for_scope(Unit *unit, uint64_t timeout_stop_usec) {
        char description[DESCRIPTION_MAX], slice[64];
        ScopeOptions options = {
                .unit = unit->id,
                .description = description,
                .slice = slice,
                .pid = unit->pid,
                .limits = unit->limits,
                .timeout_stop_usec = timeout_stop_usec,
        };

        options.limits.value[LIMIT_MEMORY_HIGH] = UINT64_MAX;
        (void) snprintf(description, sizeof(description), "Runtime %s (%s)", unit->name.name, unit->name.kind);
        (void) snprintf(slice, sizeof(slice), "runtimes-u%u.slice", (unsigned) unit->name.uid);
        return scope_start(unit->units->context.scopes, &options, &unit_scope_handler, unit, &unit->scope);
}

static void unit_enter_up(Unit *unit) {
        if (unit->state == UNIT_ASKED)
                units_count_start(unit->units, -1);
        unit->state = UNIT_UP;
        unit->deadline_source = sd_event_source_disable_unref(unit->deadline_source);
        unit->pidfd = fd_close(unit->pidfd);
        if (unit->own)
                children_forget(unit->units->context.children, unit->pid);
        unit->pid = 0;
        units_tell_unit(unit->units, SPAWNER_STARTED, unit->id);
}

/* Before it was let go: it is dead, or says what it could not do. Afterwards: it has executed, or says why not. */
static int on_status(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Unit *unit = userdata;
        g_autofree char *text = NULL;
        int r;

        r = keeper_read_status(&unit->process);
        if (r == -EAGAIN)
                return 0;
        if (r >= 0 && unit->state == UNIT_EXECUTING) {
                unit->status_source = sd_event_source_disable_unref(unit->status_source);
                keeper_process_done(&unit->process);
                unit_enter_up(unit);
                return 0;
        }
        text = r < 0 ? g_strdup_printf("The keeper (%s) could not be started: %s.", unit->units->context.keeper_path, g_strerror(-r))
                     : g_strdup("The keeper of the runtime ended before the runtime.");
        unit_fail(unit, r < 0 ? -r : ESRCH, text);
        return 0;
}

static bool unit_process_lives(const Unit *unit) {
        struct pollfd pollfd = {.fd = unit->pidfd, .events = POLLIN};

        return poll(&pollfd, 1, 0) == 0;
}

static int unit_check_cgroup(const Unit *unit) {
        g_autofree char *cgroup = NULL;
        int r;

        r = cgroup_of_pid(unit->pid, &cgroup);
        if (r < 0)
                return r;
        return strcmp(cgroup, unit->cgroup) == 0 && unit_process_lives(unit) ? 0 : -ESTALE;
}

static void scope_on_started(void *userdata) {
        Unit *unit = userdata;
        Delegation delegation = unit_delegation(unit);
        g_autofree char *text = NULL;
        int r;

        r = unit_check_cgroup(unit);
        if (r < 0) {
                unit_fail(unit, -r, "systemd made the scope, but the process isn't in it.");
                return;
        }
        r = delegation_make(&delegation, unit->pid, &unit->limits);
        if (r < 0) {
                text = g_strdup_printf("The control groups of the runtime could not be made: %s.", g_strerror(-r));
                unit_fail(unit, -r, text);
                return;
        }
        if (!unit->own) {
                unit_enter_up(unit);
                return;
        }
        /* From here on it is up to the user, who may stop the process for as long as it likes: that must not hold up others. */
        unit->state = UNIT_EXECUTING;
        unit->pidfd = fd_close(unit->pidfd);
        units_count_start(unit->units, -1);
        r = keeper_let_go(&unit->process);
        if (r < 0)
                unit_fail(unit, -r, "The keeper of the runtime ended before the runtime.");
}

static void scope_on_start_failed(void *userdata, const char *message) {
        unit_fail(userdata, EREMOTEIO, message);
}

static void scope_on_stopping(void *userdata) {
        Unit *unit = userdata;

        if (unit->state != UNIT_UP || unit->stopping)
                return;
        unit->stopping = true;
        units_tell_unit(unit->units, SPAWNER_STOPPING, unit->id);
}

static void scope_on_gone(void *userdata, ScopeResult result) {
        Unit *unit = userdata;

        if (unit->state != UNIT_UP) {
                unit_fail(unit, EREMOTEIO, "systemd lost the scope of the runtime.");
                return;
        }
        units_tell(unit->units, SPAWNER_GONE, 0, result, unit->id, NULL);
        unit_forget(unit);
}

static const ScopeHandler unit_scope_handler = {scope_on_started, scope_on_start_failed, scope_on_stopping, scope_on_gone};

/* A link and a listening socket, a ring and a spec. What is in them is for the keeper to meet, who is the user. */
static int check_fds(const int fds[static SPAWNER_FDS], uint64_t *ret_ring_bytes) {
        static const mode_t types[SPAWNER_FDS] = {S_IFSOCK, S_IFREG, S_IFREG, S_IFSOCK};
        struct stat st;

        for (size_t i = 0; i < SPAWNER_FDS; i++) {
                if (fstat(fds[i], &st) < 0)
                        return -errno;
                if ((st.st_mode & S_IFMT) != types[i])
                        return -EINVAL;
                if (i == 1)
                        *ret_ring_bytes = st.st_size > 0 ? MIN_OF((uint64_t) st.st_size, (uint64_t) LIMIT_RING_MAX) : 1;
        }
        return 0;
}

/* Of the request, all that can be known before anything is made. */
static int prepare_start(Units *units, const struct spawner_start *start, UnitName *name, LimitSet *limits, Account *ret_account, const char **ret_text) {
        int r;

        *ret_text = "The request makes no sense.";
        r = check_start(start, name, limits);
        if (r < 0)
                return r;
        *ret_text = "There is such a unit already.";
        if (g_hash_table_contains(units->by_id, start->unit))
                return -EEXIST;
        *ret_text = "Runtimes aren't started for this user.";
        r = check_uid(units->context.rights, start->uid);
        if (r < 0) {
                log_warning("The daemon asked for a process of uid %u, which the configuration forbids.", (unsigned) start->uid);
                return r;
        }
        *ret_text = "The user is not known.";
        r = account_of_uid(start->uid, ret_account);
        if (r < 0)
                return r;
        *ret_text = NULL;
        return 0;
}

static void tell_keeper(Unit *unit) {
        struct spawner_keeper message = {.type = SPAWNER_KEEPER, .pid = (uint32_t) unit->pid};

        (void) g_strlcpy(message.unit, unit->id, sizeof(message.unit));
        peer_send(unit->units->peer, &message, sizeof(message), unit->pidfd);
}

static int unit_fork(Unit *unit, const Account *account, const int fds[static SPAWNER_FDS]) {
        const UnitsContext *context = &unit->units->context;
        int r;

        r = keeper_fork(context->keeper_path, account, fds, &unit->process);
        if (r < 0)
                return r;
        unit->own = true;
        unit->pid = unit->process.pid;
        /* systemd is told its PID, so that must be its own until systemd has used it. */
        children_add(context->children, unit->pid, true, NULL, NULL);
        unit->pidfd = pidfd_open(unit->pid, 0);
        if (unit->pidfd < 0)
                return -errno;
        return sd_event_add_io(context->event, &unit->status_source, unit->process.status_fd, EPOLLIN, on_status, unit);
}

void unit_start(Units *units, const struct spawner_start *start, const int fds[static SPAWNER_FDS]) {
        _cleanup_(account_done) Account account = {};
        g_autofree char *folder_text = NULL;
        uint64_t ring_bytes = 0;
        const char *text;
        LimitSet limits;
        UnitName name;
        Unit *unit;
        int r;

        r = prepare_start(units, start, &name, &limits, &account, &text);
        if (r >= 0)
                r = check_fds(fds, &ring_bytes);
        if (r >= 0)
                r = account_load_groups(&account);
        if (r >= 0) {
                r = folders_make(units->context.folders, name.name, account.uid, account.gid);
                if (r < 0)
                        text = folder_text = g_strdup_printf("The folder of the runtime could not be made: %s.", g_strerror(-r));
        }
        if (r < 0) {
                units_tell(units, SPAWNER_FAILED, -r, SCOPE_RESULT_UNKNOWN, start->unit, text);
                return;
        }

        unit = unit_new(units, start->unit, &name, UNIT_ASKED);
        unit->gid = account.gid;
        unit->limits = limits;
        unit->ring_bytes = ring_bytes;
        r = unit_fork(unit, &account, fds);
        if (r < 0) {
                unit_fail(unit, -r, "The process of the keeper could not be made.");
                return;
        }
        tell_keeper(unit);
        r = unit_ask_for_scope(unit, start->timeout_stop_usec);
        if (r < 0)
                unit_fail(unit, -r, "systemd could not be asked for a scope.");
}

/* The four of /proc/PID/status: real, effective, saved, and that of file access. */
static int check_process_uid(pid_t pid, uid_t uid) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) pid), *text = NULL;
        const char *line;
        unsigned ids[4];

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return -ESRCH;
        line = strstr(text, "\nUid:");
        if (!line || sscanf(line + strlen("\nUid:"), "%u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
                return -ENODATA;
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                if (ids[i] != uid)
                        return -EPERM;
        return 0;
}

/* Only what is a keeper by its place: in the cgroup of a unit of this same runtime. */
static int check_process_place(const Unit *unit) {
        g_autofree char *cgroup = NULL, *parent = g_path_get_dirname(unit->cgroup);
        g_auto(GStrv) parts = NULL;
        UnitName name;
        int r;

        r = cgroup_of_pid(unit->pid, &cgroup);
        if (r < 0)
                return r;
        if (!g_str_has_prefix(cgroup, parent) || cgroup[strlen(parent)] != '/')
                return -EPERM;
        parts = g_strsplit(cgroup + strlen(parent) + 1, "/", 2);
        if (!parts[0] || check_unit(parts[0], &name) < 0 || !check_same_runtime(&name, &unit->name))
                return -EPERM;
        return 0;
}

static int unit_take_process(Unit *unit, pid_t pid) {
        int r;

        unit->pid = pid;
        unit->pidfd = pidfd_open(pid, 0);
        if (unit->pidfd < 0)
                return -errno;
        r = check_process_uid(pid, unit->name.uid);
        if (r >= 0)
                r = check_process_place(unit);
        if (r < 0)
                return r;
        /* What was read of the PID was of this process, if it lives still. */
        return unit_process_lives(unit) ? 0 : -ESRCH;
}

void unit_start_again(Units *units, const struct spawner_start *start) {
        _cleanup_(account_done) Account account = {};
        Delegation delegation;
        const char *text;
        LimitSet limits;
        UnitName name;
        Unit *unit;
        int r;

        r = prepare_start(units, start, &name, &limits, &account, &text);
        if (r < 0) {
                units_tell(units, SPAWNER_FAILED, -r, SCOPE_RESULT_UNKNOWN, start->unit, text);
                return;
        }
        unit = unit_new(units, start->unit, &name, UNIT_ASKED);
        unit->gid = account.gid;
        unit->limits = limits;
        r = unit_take_process(unit, (pid_t) start->pid);
        if (r < 0) {
                unit_fail(unit, -r, "The process isn't the keeper of this runtime.");
                return;
        }
        delegation = unit_delegation(unit);
        delegation_take_back(&delegation);
        r = unit_ask_for_scope(unit, start->timeout_stop_usec);
        if (r < 0)
                unit_fail(unit, -r, "systemd could not be asked for a scope.");
}

void unit_adopt(Units *units, const char *id) {
        ScopeOptions options = {.unit = id, .limits = limit_set_none()};
        UnitName name;
        Unit *unit;
        int r;

        r = check_unit(id, &name);
        if (r < 0) {
                units_tell(units, SPAWNER_GONE, -r, SCOPE_RESULT_UNKNOWN, id, NULL);
                return;
        }
        if (g_hash_table_contains(units->by_id, id))
                return;
        unit = unit_new(units, id, &name, UNIT_UP);
        r = scope_adopt(units->context.scopes, &options, &unit_scope_handler, unit, &unit->scope);
        if (r < 0) {
                units_tell(units, SPAWNER_GONE, -r, SCOPE_RESULT_UNKNOWN, id, NULL);
                unit_forget(unit);
        }
}

static void unit_finish_limit(Unit *unit) {
        Delegation delegation = unit_delegation(unit);
        int r;

        r = delegation_limit(&delegation, &unit->limits, unit->limit_keys);
        unit->limit_keys = 0;
        units_tell(unit->units, SPAWNER_LIMITED, -r, SCOPE_RESULT_UNKNOWN, unit->id, NULL);
}

static void on_limits_set(void *userdata, const sd_bus_error *error) {
        Unit *unit = userdata;

        if (error) {
                unit->limit_keys = 0;
                units_tell(unit->units, SPAWNER_LIMITED, sd_bus_error_get_errno(error) ?: EIO, SCOPE_RESULT_UNKNOWN, unit->id, error->message);
        } else
                unit_finish_limit(unit);
}

void unit_limit(Units *units, const struct spawner_start *start) {
        Unit *unit = g_hash_table_lookup(units->by_id, start->unit);
        unsigned keys = start->keys & ~(1U << LIMIT_MEMORY_HIGH);
        LimitSet limits;
        int r;

        r = check_limits(start, &limits);
        if (r >= 0 && (!unit || unit->state != UNIT_UP))
                r = -ENOENT;
        if (r >= 0 && unit->limit_keys != 0)
                r = -EBUSY;
        if (r >= 0 && keys != 0)
                r = scope_set_limits(unit->scope, &limits, keys, on_limits_set, unit);
        if (r < 0) {
                units_tell(units, SPAWNER_LIMITED, -r, SCOPE_RESULT_UNKNOWN, start->unit, NULL);
                return;
        }
        unit->limits = limits;
        unit->limit_keys = start->keys;
        if (keys == 0)
                unit_finish_limit(unit);
}
