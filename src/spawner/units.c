/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of units, and what the daemon may ask of them. A unit that isn't in it can't be stopped, killed or limited, and nothing gets into it but what
 * check_unit() lets pass. When the daemon has gone, starts under way are undone; all that is up goes on, and is adopted by the one who comes next. */

#include "spawner/units.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cgroup.h"
#include "spawner/log.h"
#include "spawner/unit.h"
#include "util/macro.h"

/* Until its scope is there a start takes three fds, a few milliseconds, and one call to systemd, of which dbus-daemon's system bus allows 128 at a time. What
 * comes faster waits where it is. */
#define STARTING_MAX 32U
/* All that may run, and those that end meanwhile. */
#define UNITS_MAX 20000U

void units_tell(Units *units, uint32_t type, int error, uint32_t result, const char *id, const char *text) {
        struct spawner_news message = {.type = type, .error = error, .result = result};

        (void) g_strlcpy(message.unit, id, sizeof(message.unit));
        (void) g_strlcpy(message.text, text ?: "", sizeof(message.text));
        peer_send(units->peer, &message, sizeof(message), -EBADF);
}

void units_tell_unit(Units *units, uint32_t type, const char *id) {
        struct spawner_unit message = {.type = type};

        (void) g_strlcpy(message.unit, id, sizeof(message.unit));
        peer_send(units->peer, &message, sizeof(message), -EBADF);
}

void units_count_start(Units *units, int more) {
        units->n_starting += (unsigned) more;
        peer_pause(units->peer, units->n_starting >= STARTING_MAX);
}

/* logind's. Whose it is matters: the daemon will name it to a process of the user. */
static bool has_runtime_directory(uid_t uid) {
        char path[64];
        struct stat st;

        (void) snprintf(path, sizeof(path), "/run/user/%u", (unsigned) uid);
        return lstat(path, &st) >= 0 && S_ISDIR(st.st_mode) && st.st_uid == uid;
}

static int fill_account(struct spawner_user_is *message, const Account *account, int permitted) {
        message->uid = account->uid;
        message->gid = account->gid;
        if (g_strlcpy(message->name, account->name, sizeof(message->name)) >= sizeof(message->name))
                return -ENAMETOOLONG;
        if (permitted < 0)
                return permitted;
        if (g_strlcpy(message->home, account->home, sizeof(message->home)) >= sizeof(message->home) ||
            g_strlcpy(message->shell, account->shell, sizeof(message->shell)) >= sizeof(message->shell))
                return -ENAMETOOLONG;
        message->has_runtime_directory = has_runtime_directory(account->uid);
        return 0;
}

static void on_user(Units *units, const struct spawner_user *request) {
        struct spawner_user_is message = {.type = SPAWNER_USER_IS, .cookie = request->cookie};
        _cleanup_(account_done) Account account = {};
        int r;

        if (request->name[0] == '\0')
                r = account_of_uid(request->uid, &account);
        else {
                r = check_user_name(request->name);
                r = r < 0 ? -ENOENT : account_of_name(request->name, &account);
        }
        if (r >= 0)
                r = fill_account(&message, &account, check_uid(units->context.rights, account.uid));
        message.error = -r;
        peer_send(units->peer, &message, sizeof(message), -EBADF);
}

static void on_unit(Units *units, const struct spawner_unit *request) {
        Unit *unit = g_hash_table_lookup(units->by_id, request->unit);

        /* It may have gone while the daemon asked. */
        if (!unit)
                return;
        if (request->type == SPAWNER_RELEASE)
                unit_forget(unit);
        else if (unit->state != UNIT_UP)
                unit_fail(unit, ECANCELED, "The start was cancelled.");
        else if (request->type == SPAWNER_STOP)
                scope_stop(unit->scope);
        else
                scope_kill(unit->scope);
}

static void on_remove(Units *units, const struct spawner_unit *request) {
        UnitName name;

        if (check_unit(request->unit, &name) >= 0)
                folders_remove(units->context.folders, name.name, name.uid);
}

static void on_restart_known(void *userdata, bool restart) {
        struct spawner_job_is message = {.type = SPAWNER_JOB_IS, .restart = restart};
        Units *units = userdata;

        /* Another daemon has not asked. */
        if (units->asked_by == peer_get_pid(units->peer))
                peer_send(units->peer, &message, sizeof(message), -EBADF);
        units->asked_by = 0;
}

static void on_job(Units *units) {
        if (units->asked_by != 0)
                return;
        units->asked_by = peer_get_pid(units->peer);
        scope_bus_ask_restart(units->context.scopes, units->asked_by, on_restart_known, units);
}

static bool units_are_full(const Units *units, const char *id, uint32_t refusal) {
        if (g_hash_table_size(units->by_id) < UNITS_MAX)
                return false;
        units_tell((Units *) units, refusal, EUSERS, SCOPE_RESULT_UNKNOWN, id, "There are too many units.");
        return true;
}

static void on_request(void *userdata, const SpawnerRequest *request, const int *fds) {
        Units *units = userdata;

        switch ((enum spawner_type) request->type) {
        case SPAWNER_USER:
                on_user(units, &request->user);
                break;
        case SPAWNER_START:
                if (!units_are_full(units, request->start.unit, SPAWNER_FAILED))
                        unit_start(units, &request->start, fds);
                break;
        case SPAWNER_SCOPE:
                if (!units_are_full(units, request->start.unit, SPAWNER_FAILED))
                        unit_start_again(units, &request->start);
                break;
        case SPAWNER_ADOPT:
                if (!units_are_full(units, request->unit.unit, SPAWNER_GONE))
                        unit_adopt(units, request->unit.unit);
                break;
        case SPAWNER_STOP:
        case SPAWNER_KILL:
        case SPAWNER_RELEASE:
                on_unit(units, &request->unit);
                break;
        case SPAWNER_LIMIT:
                unit_limit(units, &request->start);
                break;
        case SPAWNER_REMOVE:
                on_remove(units, &request->unit);
                break;
        case SPAWNER_JOB:
                on_job(units);
                break;
        case SPAWNER_USER_IS:
        case SPAWNER_KEEPER:
        case SPAWNER_STARTED:
        case SPAWNER_FAILED:
        case SPAWNER_STOPPING:
        case SPAWNER_GONE:
        case SPAWNER_LIMITED:
        case SPAWNER_JOB_IS:
                /* Not let pass by check_request(). */
                break;
        }
}

static void on_lost(void *userdata) {
        Units *units = userdata;
        g_autoptr(GList) all = g_hash_table_get_values(units->by_id);

        for (GList *item = all; item; item = item->next)
                unit_forget(item->data);
}

/* What a daemon asked for, and was killed, or we were, before it was done. */
static void on_connected(void *userdata) {
        folders_remove_unknown(((Units *) userdata)->context.folders);
}

const PeerHandler units_peer_handler = {on_request, on_connected, on_lost};

Units *units_new(const UnitsContext *context) {
        Units *units = g_new0(Units, 1);

        units->context = *context;
        units->by_id = g_hash_table_new(g_str_hash, g_str_equal);
        units->cgroup_root = cgroup_root();
        return units;
}

void units_set_peer(Units *units, Peer *peer) {
        units->peer = peer;
}

Units *units_free(Units *units) {
        if (!units)
                return NULL;
        on_lost(units);
        g_hash_table_unref(units->by_id);
        g_free(units->cgroup_root);
        g_free(units);
        return NULL;
}
