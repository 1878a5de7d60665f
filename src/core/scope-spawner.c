/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scopes by way of the spawner. The daemon of the system bus has no right to talk to systemd, nor to start, signal or limit what isn't its own: it asks, in the
 * messages of util/spawner.h, and believes the news. A new unit's news begin with SPAWNER_KEEPER, or are SPAWNER_FAILED: what else comes under its name is of a
 * unit before it that was released while the news of it were on their way. For the same reason a scope that its owner gives up while it is being made keeps its
 * name until it is known what has become of it.
 *
 * When the connection is lost, what was being started has failed (the spawner ends such keepers, or they find their own link closed), and all else is adopted
 * over the next one. */

#include "core/scope-private.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/sd-autoptr.h"
#include "util/macro.h"
#include "util/spawner.h"
#include "util/text.h"

#define QUESTIONS_MAX 1024U
/* The spawner asks systemd, and has its own patience for that. */
#define RESTART_TIMEOUT_USEC (5 * USEC_PER_SEC)

_Static_assert(SPAWNER_LIMITS_MAX == _LIMIT_KEY_MAX, "the spawner and the daemon know the same limits");

typedef struct UserQuestion {
        UserFunc done;
        void *userdata;
} UserQuestion;

static int send_unit(ScopeBus *bus, enum spawner_type type, const char *unit) {
        struct spawner_unit message = {.type = type};

        if (g_strlcpy(message.unit, unit, sizeof(message.unit)) >= sizeof(message.unit))
                return -ENAMETOOLONG;
        return scope_link_send(bus->link, &message, sizeof(message), NULL);
}

/* It was given up, and now it is known to be there, or not: that was all. */
static void scope_drop(Scope *scope) {
        scope_release(scope);
        scope_destroy(scope);
}

static bool is_being_made(const Scope *scope) {
        return scope->state < SCOPE_ACTIVE;
}

/* A new unit whose keeper hasn't been heard of: whatever else is said is about another. */
static bool is_awaited(const Scope *scope) {
        return scope->state == SCOPE_CALLING && scope->with_keeper;
}

static int on_keeper(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_keeper *keeper = message;
        Scope *scope = g_hash_table_lookup(bus->by_unit, keeper->unit);

        if (keeper->pid <= 1 || keeper->pid > INT32_MAX)
                return -EBADMSG;
        if (!scope || !is_awaited(scope))
                return 0;
        scope->state = SCOPE_STARTING;
        if (!scope->abandoned)
                scope->handler->on_keeper(scope->userdata, (pid_t) keeper->pid, TAKE_FD(*fd));
        return 0;
}

static int on_started(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_unit *unit = message;
        Scope *scope = g_hash_table_lookup(bus->by_unit, unit->unit);

        if (!scope || !is_being_made(scope) || is_awaited(scope))
                return 0;
        if (scope->abandoned) {
                (void) send_unit(bus, SPAWNER_STOP, scope->unit);
                (void) send_unit(bus, SPAWNER_RELEASE, scope->unit);
                scope_drop(scope);
                return 0;
        }
        scope->state = SCOPE_ACTIVE;
        scope->handler->on_started(scope->userdata);
        return 0;
}

static int on_failed(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_news *news = message;
        Scope *scope = g_hash_table_lookup(bus->by_unit, news->unit);
        _cleanup_free_ char *text = NULL;

        if (!scope || !is_being_made(scope))
                return 0;
        if (scope->abandoned) {
                scope_drop(scope);
                return 0;
        }
        text = text_one_line(news->text, SPAWNER_TEXT_MAX);
        scope_fail_start(scope, text && text[0] != '\0' ? text : g_strerror(news->error > 0 ? news->error : EIO));
        return 0;
}

static int on_stopping(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_unit *unit = message;
        Scope *scope = g_hash_table_lookup(bus->by_unit, unit->unit);

        if (scope && scope->state == SCOPE_ACTIVE)
                scope->handler->on_stopping(scope->userdata);
        return 0;
}

static void end_limits_for(Scope *scope, const char *message) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        (void) sd_bus_error_set(&error, SD_BUS_ERROR_DISCONNECTED, message);
        scope_end_limits(scope, &error);
}

static int on_gone(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_news *news = message;
        Scope *scope = g_hash_table_lookup(bus->by_unit, news->unit);

        if (!scope || is_awaited(scope))
                return 0;
        if (scope->abandoned) {
                scope_drop(scope);
                return 0;
        }
        end_limits_for(scope, "the unit has ended");
        scope_end(scope, news->result <= SCOPE_RESULT_OOM_KILL ? (ScopeResult) news->result : SCOPE_RESULT_UNKNOWN);
        return 0;
}

static int on_limited(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_news *news = message;
        Scope *scope = g_hash_table_lookup(bus->by_unit, news->unit);
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *text = NULL;

        if (!scope)
                return 0;
        if (news->error != 0) {
                text = text_one_line(news->text, SPAWNER_TEXT_MAX);
                (void) sd_bus_error_set(&error, SD_BUS_ERROR_FAILED, text && text[0] != '\0' ? text : g_strerror(news->error > 0 ? news->error : EIO));
        }
        scope_end_limits(scope, news->error != 0 ? &error : NULL);
        return 0;
}

static int on_user_is(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_user_is *answer = message;
        g_autofree UserQuestion *question = NULL;
        g_autofree char *runtime_directory = NULL;
        g_autoptr(User) user = NULL;

        if (!g_hash_table_steal_extended(bus->users, GUINT_TO_POINTER(answer->cookie), NULL, (gpointer *) &question))
                return 0;
        if (answer->error != 0) {
                question->done(question->userdata, answer->error > 0 ? answer->error : EIO, NULL);
                return 0;
        }
        runtime_directory = answer->has_runtime_directory ? g_strdup_printf("/run/user/%u", answer->uid) : g_strdup("");
        user = user_new(answer->uid, answer->gid, answer->name, answer->home[0] == '/' ? answer->home : "/", answer->shell, runtime_directory);
        question->done(question->userdata, 0, user);
        return 0;
}

static int on_job_is(ScopeBus *bus, const void *message, int *fd) {
        const struct spawner_job_is *job = message;

        scope_bus_end_ask(bus, job->restart != 0);
        return 0;
}

static int on_message(void *userdata, uint32_t type, const void *message, int *fd) {
        static const struct {
                uint32_t type;
                int (*handle)(ScopeBus *bus, const void *message, int *fd);
        } table[] = {
                {SPAWNER_USER_IS, on_user_is},   {SPAWNER_KEEPER, on_keeper}, {SPAWNER_STARTED, on_started}, {SPAWNER_FAILED, on_failed},
                {SPAWNER_STOPPING, on_stopping}, {SPAWNER_GONE, on_gone},     {SPAWNER_LIMITED, on_limited}, {SPAWNER_JOB_IS, on_job_is},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (table[i].type == type)
                        return table[i].handle(userdata, message, fd);
        return -EBADMSG;
}

/* Handlers may free scopes, their own and others. */
static Scope *find_lost(ScopeBus *bus) {
        GHashTableIter iter;
        gpointer value;

        g_hash_table_iter_init(&iter, bus->by_unit);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Scope *scope = value;

                if (scope->limits_done || scope->abandoned || (is_being_made(scope) && scope->with_keeper))
                        return scope;
        }
        return NULL;
}

static void fail_questions(ScopeBus *bus) {
        g_autoptr(GHashTable) questions = bus->users;
        GHashTableIter iter;
        gpointer value;

        /* Who is told may ask again, to be told at once. */
        bus->users = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_hash_table_iter_init(&iter, questions);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                UserQuestion *question = value;

                question->done(question->userdata, EIO, NULL);
        }
}

static void on_lost(void *userdata) {
        ScopeBus *bus = userdata;
        Scope *scope;

        while ((scope = find_lost(bus))) {
                if (scope->limits_done)
                        end_limits_for(scope, "the connection to the spawner was lost");
                else if (scope->abandoned)
                        scope_drop(scope);
                else
                        scope_fail_start(scope, "The connection to the spawner was lost while the runtime was being started.");
        }
        fail_questions(bus);
        scope_bus_end_ask(bus, true);
}

static void on_connected(void *userdata) {
        ScopeBus *bus = userdata;
        g_autoptr(GList) units = NULL;

        units = g_hash_table_get_keys(bus->by_unit);
        for (GList *unit = units; unit; unit = unit->next)
                unit->data = g_strdup(unit->data);
        for (GList *unit = units; unit; unit = unit->next) {
                g_autofree char *name = unit->data;
                Scope *scope = g_hash_table_lookup(bus->by_unit, name);

                if (!scope || send_unit(bus, SPAWNER_ADOPT, name) < 0 || scope->state == SCOPE_ACTIVE)
                        continue;
                /* One that was to be made around a keeper that runs: it is there, or SPAWNER_GONE will say that it isn't. */
                scope->state = SCOPE_ACTIVE;
                scope->handler->on_started(scope->userdata);
        }
}

static bool spawner_is_connected(const ScopeBus *bus) {
        return scope_link_is_connected(bus->link);
}

static void spawner_close(ScopeBus *bus) {
        GHashTableIter iter;
        gpointer value;

        bus->link = scope_link_free(bus->link);
        g_hash_table_iter_init(&iter, bus->by_unit);
        while (g_hash_table_iter_next(&iter, NULL, &value))
                /* All others have been freed by those whose they are. */
                if (((Scope *) value)->abandoned) {
                        g_hash_table_iter_remove(&iter);
                        scope_destroy(value);
                }
        g_clear_pointer(&bus->users, g_hash_table_unref);
}

static int spawner_start(Scope *scope, const ScopeOptions *options) {
        struct spawner_start message = {
                .type = options->keeper ? SPAWNER_START : SPAWNER_SCOPE,
                .uid = options->uid,
                .pid = options->keeper ? 0 : (uint32_t) options->pid,
                .keys = limit_set_keys(&options->limits),
                .timeout_stop_usec = options->timeout_stop_usec,
        };

        scope->with_keeper = options->keeper;
        memcpy(message.limits, options->limits.value, sizeof(message.limits));
        if (g_strlcpy(message.unit, scope->unit, sizeof(message.unit)) >= sizeof(message.unit))
                return -ENAMETOOLONG;
        if (!options->keeper)
                return scope_link_send(scope->bus->link, &message, sizeof(message), NULL);
        return scope_link_send(
                scope->bus->link, &message, sizeof(message),
                (const int[SPAWNER_FDS]){options->keeper->link_fd, options->keeper->ring_fd, options->keeper->spec_fd, options->keeper->socket_fd});
}

static void spawner_adopt(Scope *scope) {
        /* Without a connection it is said when there is one. */
        (void) send_unit(scope->bus, SPAWNER_ADOPT, scope->unit);
}

static bool spawner_forget(Scope *scope) {
        if (is_being_made(scope) && scope_link_is_connected(scope->bus->link)) {
                /* Answered with SPAWNER_FAILED, unless it is too late for that. */
                (void) send_unit(scope->bus, SPAWNER_STOP, scope->unit);
                scope->abandoned = true;
                scope->handler = NULL;
                return true;
        }
        if (scope->state == SCOPE_ACTIVE)
                (void) send_unit(scope->bus, SPAWNER_RELEASE, scope->unit);
        end_limits_for(scope, "the runtime has ended");
        return false;
}

static void spawner_stop(Scope *scope) {
        (void) send_unit(scope->bus, SPAWNER_STOP, scope->unit);
}

static void spawner_kill(Scope *scope) {
        (void) send_unit(scope->bus, SPAWNER_KILL, scope->unit);
}

static int spawner_set_limits(Scope *scope, const LimitSet *limits, unsigned keys) {
        struct spawner_start message = {.type = SPAWNER_LIMIT, .keys = keys};

        memcpy(message.limits, limits->value, sizeof(message.limits));
        (void) g_strlcpy(message.unit, scope->unit, sizeof(message.unit));
        return scope_link_send(scope->bus->link, &message, sizeof(message), NULL) < 0 ? -ENOTCONN : 0;
}

static const ScopeBackend scope_spawner = {
        .is_connected = spawner_is_connected,
        .close = spawner_close,
        .start = spawner_start,
        .adopt = spawner_adopt,
        .forget = spawner_forget,
        .stop = spawner_stop,
        .kill = spawner_kill,
        .set_limits = spawner_set_limits,
};

int scope_bus_new_spawner(sd_event *event, const char *path, ScopeBus **ret) {
        static const ScopeLinkHandler handler = {on_connected, on_message, on_lost};
        ScopeBus *bus = scope_bus_alloc(event, &scope_spawner);
        int r;

        bus->users = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        r = scope_link_new(event, path, &handler, bus, &bus->link);
        if (r < 0) {
                scope_bus_free(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

void scope_bus_find_user(ScopeBus *bus, uid_t uid, const char *name, UserFunc done, void *userdata) {
        struct spawner_user message = {.type = SPAWNER_USER, .uid = uid};
        UserQuestion *question;

        if (!bus->link || !scope_link_is_connected(bus->link) || g_hash_table_size(bus->users) >= QUESTIONS_MAX) {
                done(userdata, EIO, NULL);
                return;
        }
        if (name && (name[0] == '\0' || g_strlcpy(message.name, name, sizeof(message.name)) >= sizeof(message.name))) {
                done(userdata, ENOENT, NULL);
                return;
        }
        do
                message.cookie = ++bus->last_cookie;
        while (g_hash_table_contains(bus->users, GUINT_TO_POINTER(message.cookie)));
        if (scope_link_send(bus->link, &message, sizeof(message), NULL) < 0) {
                done(userdata, EIO, NULL);
                return;
        }
        question = g_new(UserQuestion, 1);
        *question = (UserQuestion){done, userdata};
        g_hash_table_insert(bus->users, GUINT_TO_POINTER(message.cookie), question);
}

void scope_bus_remove_folder(ScopeBus *bus, const char *unit) {
        if (bus->link)
                (void) send_unit(bus, SPAWNER_REMOVE, unit);
}

/* When the service is stopped, its spawner is stopped after it. If it can't be asked, then because it died or is being restarted too: in doubt runtimes live.
 */
static int on_restart_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        scope_bus_end_ask(userdata, true);
        return 0;
}

void scope_spawner_ask_restart(ScopeBus *bus) {
        uint32_t type = SPAWNER_JOB;
        int r;

        r = sd_event_add_time_relative(bus->event, &bus->restart_timer, CLOCK_MONOTONIC, RESTART_TIMEOUT_USEC, 0, on_restart_timer, bus);
        if (r >= 0)
                r = scope_link_send(bus->link, &type, sizeof(type), NULL);
        if (r < 0)
                scope_bus_end_ask(bus, true);
}
