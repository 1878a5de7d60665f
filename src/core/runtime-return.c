/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Back after the daemon was killed, upgraded or restarted. The runtime is as its record says, and its keeper tells the rest: the same facts in the same
 * order as it would have told the daemon before, met by the same functions. What was under way is asked for again, in words that do nothing twice.
 *
 * First the keepers are found, and nothing but their rings is taken from them. Only when clients can be told does time go on. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "core/cgroup.h"
#include "core/runtime-private.h"
#include "util/message-ids.h"
#include "util/names.h"

/* A keeper that was told to run has made its socket some milliseconds later. */
#define SEARCH_USEC (50 * USEC_PER_MSEC)
#define SEARCHES_MAX 40U
/* A deadline that passed while nobody was there to see what came before it is kept open for so long. */
#define GRACE_USEC (1 * USEC_PER_SEC)

/* Whether the process is in the unit's cgroup: a PID alone may be somebody else's by now. */
static bool pid_is_in_unit(pid_t pid, const char *unit) {
        g_autofree char *cgroup = NULL, *path = NULL;

        if (pid <= 1 || unit[0] == '\0' || cgroup_of_pid(pid, &cgroup) < 0)
                return false;
        path = g_strconcat("/", unit, NULL);
        return strstr(cgroup, path) != NULL;
}

/* The ring of a runtime whose keeper has gone: the copy that was kept, or an empty one that goes on with the numbers. */
static void runtime_restore_ring(Runtime *runtime) {
        if (runtime->ring.header)
                return;
        if (record_store_load_ring(runtime->context->records, runtime->name, &runtime->ring_fd) >= 0 && ring_reader_init(&runtime->ring, runtime->ring_fd) >= 0)
                return;
        fd_close(runtime->ring_fd);
        runtime->ring_saved = false;
        runtime->ring_fd = ring_create(runtime->options->ring_bytes, MAX_OF(runtime->report->last_line, runtime->lines_before));
        if (runtime->ring_fd >= 0)
                (void) ring_reader_init(&runtime->ring, runtime->ring_fd);
}

void runtime_end_search(Runtime *runtime) {
        if (runtime->search_usec == USEC_INFINITY)
                return;
        runtime->search_usec = USEC_INFINITY;
        runtime_set_timer(runtime);
        if (!runtime->link)
                runtime_restore_ring(runtime);
        runtime->handler->on_returned(runtime->userdata, runtime);
}

/* A runtime found without a record has as many steps as its keeper says, and they have no names. */
static void runtime_make_up_steps(Runtime *runtime, uint32_t n_commands) {
        KindPlan *plan = runtime->plan;

        if (n_commands == 0 || n_commands > KIND_STEPS_MAX + 1 || plan->n_steps > 0)
                return;
        plan->n_steps = n_commands - 1;
        plan->steps = g_new0(KindPlanStep, plan->n_steps);
        for (size_t i = 0; i < plan->n_steps; i++) {
                plan->steps[i].name = g_strdup_printf("%zu", i + 1);
                plan->steps[i].timeout_usec = KIND_UNSET;
        }
}

static void runtime_repeat_requests(Runtime *runtime);

void runtime_take_ring(Runtime *runtime, const struct link_hello *hello, int ring_fd) {
        if (runtime->found)
                runtime_make_up_steps(runtime, hello->n_commands);
        if (ring_fd >= 0 && ring_reader_init(&runtime->ring, ring_fd) >= 0)
                runtime->ring_fd = fcntl(ring_fd, F_DUPFD_CLOEXEC, 3);
        else
                runtime_restore_ring(runtime);
        if (runtime->returning)
                runtime_end_search(runtime);
        else {
                /* It was frozen, or slow, and nobody waits any more. */
                runtime_repeat_requests(runtime);
                runtime->handler->on_returned(runtime->userdata, runtime);
        }
}

static int runtime_take_keeper(Runtime *runtime, pid_t pid, int socket_fd) {
        int r;

        runtime->keeper_pidfd = pidfd_open(pid, 0);
        if (runtime->keeper_pidfd < 0)
                return -errno;
        r = keeper_link_new(runtime->context->event, socket_fd, &runtime_keeper_handler, runtime, true, &runtime->link);
        if (r < 0)
                return r;
        runtime->keeper_pid = pid;
        runtime->run_sent = true;
        return 0;
}

/* Looks for the keeper once. Returns false when there is none, and none will come. */
static bool runtime_search(Runtime *runtime) {
        _cleanup_close_ int socket_fd = -EBADF;
        pid_t pid;
        int r;

        r = record_store_connect(runtime->context->records, runtime->name, runtime->options->uid, &pid, &socket_fd);
        if (r >= 0) {
                /* Who else listens there isn't the keeper. */
                if (runtime->keeper_pid != pid || !pid_is_in_unit(pid, runtime->unit) || runtime_take_keeper(runtime, pid, socket_fd) < 0)
                        return false;
                (void) TAKE_FD(socket_fd);
                return true;
        }
        return (r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN) && pid_is_in_unit(runtime->keeper_pid, runtime->unit) &&
               ++runtime->n_searches < SEARCHES_MAX;
}

void runtime_search_again(Runtime *runtime) {
        if (runtime->link || runtime->search_usec == USEC_INFINITY)
                return;
        if (!runtime_search(runtime)) {
                runtime->keeper_pid = 0;
                runtime_end_search(runtime);
                return;
        }
        runtime->search_usec = runtime->link ? USEC_INFINITY - 1 : now_usec(CLOCK_MONOTONIC) + SEARCH_USEC;
        runtime_set_timer(runtime);
}

void runtime_return(Runtime *runtime) {
        runtime->search_usec = 0;
        if (runtime->state == RUNTIME_ENDED || runtime->keeper_pid == 0)
                runtime_end_search(runtime);
        else
                runtime_search_again(runtime);
}

/* A step of the handshake that was recorded, and sent, but hadn't become a state yet. */
static void runtime_resume_handshake(Runtime *runtime) {
        HandshakePhase phase = runtime->handshake ? handshake_phase(runtime->handshake) : HANDSHAKE_FAILED;

        if (runtime->state == RUNTIME_CONNECTING && phase == HANDSHAKE_INITIALIZING)
                runtime_enter_initializing(runtime);
        if ((runtime->state == RUNTIME_CONNECTING || runtime->state == RUNTIME_INITIALIZING) && phase == HANDSHAKE_READY)
                runtime_enter_ready(runtime);
}

/* Asks again for what the daemon before may not have come to, when it is known in which language. */
static void runtime_repeat_requests(Runtime *runtime) {
        if (runtime->is_told && !runtime->found)
                (void) keeper_link_run(runtime->link, runtime->told);
        if (runtime->state == RUNTIME_STOPPING)
                (void) keeper_link_output_release(runtime->link);
        runtime_repeat_effect(runtime);
        if (runtime->state == RUNTIME_STOPPING && !runtime->done && runtime->main_pid == 0 && !runtime->exited)
                runtime_collect(runtime);
}

static void runtime_resume_link(Runtime *runtime) {
        if (runtime->state == RUNTIME_STARTING)
                runtime->is_told = true;
        if (runtime->ring.header)
                runtime_repeat_requests(runtime);
        runtime_resume_handshake(runtime);
        if (runtime->stop_stage == STOP_STAGE_UNIT && !runtime->done)
                runtime_begin_stage(runtime, STOP_STAGE_UNIT);
        else if (runtime->state == RUNTIME_STOPPING && runtime->deadline_usec == USEC_INFINITY)
                /* Recorded, but not begun. */
                runtime_begin_stage(runtime, runtime->first_stage);
        else if (runtime->deadline_usec != USEC_INFINITY)
                runtime_set_deadline(runtime, MAX_OF(runtime->deadline_usec, now_usec(CLOCK_MONOTONIC) + GRACE_USEC));
        keeper_link_resume(runtime->link);
        runtime_set_timer(runtime);
}

static void runtime_end_lost(Runtime *runtime) {
        char *message = g_strdup(runtime->refused ? "The keeper of the runtime is of another version, which this service doesn't understand."
                                                  : "The runtime and its keeper ended while the service was away.");

        if (runtime->refused)
                runtime_log(runtime, JOURNAL_WARNING, MESSAGE_ID_KEEPER_UNKNOWN, NULL,
                            "The keeper of runtime %s speaks a version of the link that this service doesn't know; the runtime is ended.", runtime->name);
        runtime_set_cause(runtime, runtime->started ? RESULT_LOST : RESULT_START_FAILED, REASON_KEEPER_LOST, REQUESTED_BY_NOBODY, message);
        runtime->start_lost = !runtime->started;
        if (runtime->main_pid != 0) {
                runtime->main_pid = 0;
                runtime_changed(runtime, RUNTIME_PROPERTY_MAIN_PID);
        }
        if (runtime->state == RUNTIME_STOPPING)
                runtime_begin_stage(runtime, STOP_STAGE_UNIT);
        else
                runtime_enter_stopping(runtime, STOP_STAGE_UNIT);
        runtime_announce(runtime);
}

/* What the daemon before recorded it may not have told any more. Clients go by what signals say, so those that it did tell do no harm. */
static void runtime_repeat_news(Runtime *runtime) {
        const RuntimeHandler *handler = runtime->handler;

        if (runtime->state == RUNTIME_STARTING) {
                handler->on_added_again(runtime->userdata, runtime);
                return;
        }
        handler->on_properties(runtime->userdata, runtime, RUNTIME_PROPERTIES_ALL);
        handler->on_state(runtime->userdata, runtime, runtime->previous_state, runtime->state);
        if (runtime->state == RUNTIME_PREPARING)
                handler->on_setup_progress(runtime->userdata, runtime, runtime->command);
        else if (runtime->state == RUNTIME_READY)
                handler->on_ready(runtime->userdata, runtime);
}

void runtime_resume(Runtime *runtime) {
        ScopeOptions options = {.unit = runtime->unit};

        if (!runtime->returning)
                return;
        runtime->returning = false;
        runtime->search_usec = USEC_INFINITY;
        if (runtime->state == RUNTIME_ENDED) {
                if (!runtime->told_end)
                        runtime_end_again(runtime);
                return;
        }
        runtime_repeat_news(runtime);
        if (runtime->keeper_pidfd >= 0 && runtime_watch_keeper(runtime) < 0)
                runtime->link = keeper_link_free(runtime->link);
        /* One that nobody has met isn't waited for: its unit's end is the end. */
        if (runtime->keeper_pidfd < 0)
                runtime->keeper_pid = 0;
        if (runtime->unit[0] != '\0' && scope_adopt(runtime->context->scopes, &options, &runtime_scope_handler, runtime, &runtime->scope) >= 0)
                runtime->scope_up = runtime->has_unit = true;

        if (runtime->link)
                runtime_resume_link(runtime);
        else if (runtime->done) {
                /* All is known but that the unit is gone. */
                runtime_set_deadline(runtime, now_usec(CLOCK_MONOTONIC) + UNIT_TIMEOUT_USEC);
                runtime_check_end(runtime);
        } else {
                runtime_end_lost(runtime);
                runtime_check_end(runtime);
        }
}

int runtime_new_found(const RuntimeContext *context, const char *name, const RuntimeHandler *handler, void *userdata, Runtime **ret) {
        _cleanup_close_ int socket_fd = -EBADF;
        g_autofree char *cgroup = NULL;
        char *start, *dash;
        Runtime *runtime;
        const char *id;
        pid_t pid;
        uid_t uid;
        int r;

        id = runtime_name_parse(context->many_users, name, &uid);
        if (!id)
                return -EBADMSG;
        r = record_store_connect(context->records, name, uid, &pid, &socket_fd);
        if (r >= 0)
                r = cgroup_of_pid(pid, &cgroup);
        if (r < 0)
                return r;
        /* …/runtime-KIND-ID.scope/keeper */
        start = strstr(cgroup, "/" RM_UNIT_PREFIX);
        if (!start)
                return -EBADMSG;
        start[1 + strcspn(start + 1, "/")] = '\0';
        dash = strrchr(start, '-');
        if (!g_str_has_suffix(start, ".scope") || dash - start < (ptrdiff_t) sizeof("/" RM_UNIT_PREFIX) - 1 || !g_str_has_prefix(dash + 1, name) ||
            dash[1 + strlen(name)] != '.')
                return -EBADMSG;

        r = runtime_alloc(context, handler, userdata, &runtime);
        if (r < 0)
                return r;
        runtime->returning = runtime->found = runtime->run_sent = runtime->is_told = runtime->has_unit = true;
        runtime->name = g_strdup(name);
        runtime->keeper_pid = pid;
        g_free(runtime->unit);
        runtime->unit = g_strdup(start + 1);
        g_free(runtime->control_group);
        runtime->control_group = g_strdup(cgroup);
        runtime->kind = g_new0(Kind, 1);
        runtime->kind->n_ref = 1;
        runtime->kind->stop.timeout_usec = KIND_UNSET;
        runtime->kind->name = g_strndup(start + sizeof("/" RM_UNIT_PREFIX) - 1, dash - start - (sizeof("/" RM_UNIT_PREFIX) - 1));
        runtime->plan = g_new0(KindPlan, 1);
        runtime->options = start_options_new(uid);
        if (context->many_users)
                start_options_set_user(runtime->options, user_new(uid, (gid_t) -1, "", "/", "", ""));
        runtime->options->id = g_strdup(id);
        runtime->options->description = g_strdup_printf("Runtime %s (%s)", id, runtime->kind->name);
        runtime->options->fingerprint = g_strdup("");
        /* It may have one: the keeper knows. */
        runtime->options->input_pipe = true;
        runtime->limits = limit_set_none();
        runtime->max_timeout_usec = USEC_INFINITY;
        runtime->stop_timeout_usec = STOP_TIMEOUT_DEFAULT_USEC;
        r = handshake_new(HANDSHAKE_EXEC, name, "unknown", &runtime->handshake);
        if (r < 0) {
                runtime_free(runtime);
                return r;
        }
        *ret = runtime;
        return 0;
}
