/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All that the bus asks of core/manager.h and core/runtime.h: what isn't of interest to anyone answers with nothing. */

#include "fake-core.h"

#include <errno.h>
#include <string.h>

#include "util/macro.h"
#include "util/names.h"

struct Runtime {
        Manager *manager;
        char *name;
        StartOptions *options;
        RuntimeState state;
        Report *report;
        RingWriter writer;
        RingReader ring;
        int ring_fd;
        unsigned looks; /* at the ring, until a line comes by itself; 0: none will */
        unsigned watches_refused;
        uid_t stopped_by;
};

typedef struct Question {
        uid_t uid;
        char *name;
        UserFunc done;
        void *userdata;
} Question;

struct Manager {
        const ManagerHandler *handler;
        void *userdata;
        Quotas *quotas;
        GPtrArray *runtimes;
        GQueue questions;
        bool hold_users, loaded;
        unsigned n_ids;
};

/* What is saved outlives its manager: "name of the runtime/name of the record" → text. */
static GHashTable *records;

static const Kind command = {.name = (char *) "command"};
static const LimitSet no_limits;

static const struct {
        uid_t uid;
        const char *name;
} users[] = {{0, "root"}, {ALICE, "alice"}, {BOB, "bob"}};

Manager *fake_manager_new(const ManagerHandler *handler, void *userdata, const QuotaLimits *limits) {
        Manager *manager = g_new0(Manager, 1);

        manager->handler = handler;
        manager->userdata = userdata;
        manager->quotas = quotas_new(limits);
        manager->runtimes = g_ptr_array_new();
        if (!records)
                records = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        return manager;
}

static void runtime_destroy(Runtime *runtime) {
        ring_writer_done(&runtime->writer);
        ring_reader_done(&runtime->ring);
        fd_close(runtime->ring_fd);
        start_options_free(runtime->options);
        report_free(runtime->report);
        g_free(runtime->name);
        g_free(runtime);
}

Manager *fake_manager_free(Manager *manager) {
        fake_manager_let_users_go(manager);
        while (manager->runtimes->len > 0) {
                Runtime *runtime = manager->runtimes->pdata[0];

                g_ptr_array_remove_index(manager->runtimes, 0);
                manager->handler->on_unloaded(manager->userdata, runtime);
                runtime_destroy(runtime);
        }
        g_ptr_array_unref(manager->runtimes);
        quotas_free(manager->quotas);
        g_free(manager);
        return NULL;
}

void fake_manager_change_records(const char *from, const char *to) {
        GHashTableIter iter;
        gpointer text;

        g_hash_table_iter_init(&iter, records);
        while (g_hash_table_iter_next(&iter, NULL, &text)) {
                g_auto(GStrv) parts = g_strsplit(text, from, -1);

                g_hash_table_iter_replace(&iter, g_strjoinv(to, parts));
        }
}

void fake_manager_forget_records(void) {
        g_clear_pointer(&records, g_hash_table_unref);
}

static Runtime *runtime_make(Manager *manager, StartOptions *options) {
        Runtime *runtime = g_new0(Runtime, 1);

        runtime->manager = manager;
        runtime->options = options;
        runtime->name = g_strdup_printf("u%u_%s", (unsigned) options->uid, options->id);
        runtime->state = RUNTIME_STARTING;
        runtime->stopped_by = (uid_t) -1;
        runtime->ring_fd = ring_create(64 * 1024, 0);
        g_assert_cmpint(ring_writer_init(&runtime->writer, runtime->ring_fd), ==, 0);
        g_assert_cmpint(ring_reader_init(&runtime->ring, runtime->ring_fd), ==, 0);
        g_ptr_array_add(manager->runtimes, runtime);
        return runtime;
}

Runtime *fake_runtime_add(Manager *manager, uid_t uid, uid_t starter_uid, const char *id) {
        StartOptions *options = start_options_new(uid);
        Runtime *runtime;

        options->id = g_strdup(id);
        options->description = g_strdup("Played");
        options->starter_uid = starter_uid;
        runtime = runtime_make(manager, options);
        if (manager->loaded)
                manager->handler->on_added(manager->userdata, runtime);
        return runtime;
}

void fake_runtime_remove(Runtime *runtime) {
        g_ptr_array_remove(runtime->manager->runtimes, runtime);
        runtime->manager->handler->on_removed(runtime->manager->userdata, runtime);
        runtime_destroy(runtime);
}

void fake_runtime_set_state(Runtime *runtime, RuntimeState state) {
        const RuntimeHandler *handler = &runtime->manager->handler->runtime;
        void *userdata = runtime->manager->userdata;
        RuntimeState old = runtime->state;

        if (state == RUNTIME_ENDED) {
                runtime->report = report_new();
                runtime->report->message = g_strdup("It was played to its end.");
                (void) handler->on_ending(userdata, runtime);
        }
        runtime->state = state;
        handler->on_properties(userdata, runtime, RUNTIME_PROPERTY_STATE);
        handler->on_state(userdata, runtime, old, state);
        if (state == RUNTIME_READY)
                handler->on_ready(userdata, runtime);
        if (state == RUNTIME_ENDED)
                (void) handler->on_ended(userdata, runtime);
}

void fake_runtime_print(Runtime *runtime, const char *text) {
        (void) ring_append(&runtime->writer, RING_STREAM_STDOUT, 0, 1, text, strlen(text));
        runtime->manager->handler->runtime.on_output(runtime->manager->userdata, runtime);
}

void fake_runtime_print_unheard(Runtime *runtime, const char *text) {
        (void) ring_append(&runtime->writer, RING_STREAM_STDOUT, 0, 1, text, strlen(text));
}

void fake_runtime_refuse_watches(Runtime *runtime, unsigned n) {
        runtime->watches_refused = n;
}

void fake_runtime_print_at_look(Runtime *runtime, unsigned look) {
        runtime->looks = look;
}

bool fake_runtime_has_printed(const Runtime *runtime) {
        return runtime->looks == 0;
}

void fake_runtime_warn(Runtime *runtime, const char *text) {
        runtime->manager->handler->runtime.on_warning(runtime->manager->userdata, runtime, "leftovers", text, "Leftovers", 1);
}

uid_t fake_runtime_get_stopped_by(const Runtime *runtime) {
        return runtime->stopped_by;
}

/* core/manager.h */

static void answer(const Question *question) {
        for (size_t i = 0; i < ELEMENTSOF(users); i++) {
                g_autofree char *number = g_strdup_printf("%u", (unsigned) users[i].uid);

                if (question->name ? strcmp(question->name, users[i].name) == 0 || strcmp(question->name, number) == 0 : question->uid == users[i].uid) {
                        g_autoptr(User) user = user_new(users[i].uid, users[i].uid, users[i].name, "/", "/bin/sh", "");

                        question->done(question->userdata, 0, user);
                        return;
                }
        }
        question->done(question->userdata, g_strcmp0(question->name, "daemon") == 0 ? EPERM : ENOENT, NULL);
}

void fake_manager_hold_users(Manager *manager) {
        manager->hold_users = true;
}

unsigned fake_manager_get_n_held(const Manager *manager) {
        return manager->questions.length;
}

void fake_manager_let_users_go(Manager *manager) {
        Question *question;

        manager->hold_users = false;
        while ((question = g_queue_pop_head(&manager->questions))) {
                answer(question);
                g_free(question->name);
                g_free(question);
        }
}

void manager_find_user(Manager *manager, uid_t uid, const char *name, UserFunc done, void *userdata) {
        Question *question = g_new(Question, 1);

        *question = (Question){uid, g_strdup(name), done, userdata};
        g_queue_push_tail(&manager->questions, question);
        if (!manager->hold_users)
                fake_manager_let_users_go(manager);
}

int manager_find_kind(Manager *manager, const char *name, const Kind **ret, sd_bus_error *reterr) {
        *ret = &command;
        return 0;
}

int manager_start(Manager *manager, const char *kind_name, StartOptions *options, Runtime **ret, sd_bus_error *reterr) {
        if (!options->id)
                options->id = g_strdup_printf("made%u", manager->n_ids++);
        if (!options->description)
                options->description = g_strdup("Played");
        *ret = runtime_make(manager, options);
        manager->handler->on_added(manager->userdata, *ret);
        return 0;
}

Runtime *manager_get(Manager *manager, const char *name) {
        for (unsigned i = 0; i < manager->runtimes->len; i++)
                if (strcmp(((Runtime *) manager->runtimes->pdata[i])->name, name) == 0)
                        return manager->runtimes->pdata[i];
        return NULL;
}

Runtime *manager_find(Manager *manager, uid_t uid, const char *id) {
        g_autofree char *name = g_strdup_printf("u%u_%s", (unsigned) uid, id);

        return manager_get(manager, name) ?: manager_get(manager, id);
}

/* The process is the runtime's place in the list, from 1. */
Runtime *manager_find_by_pid(Manager *manager, pid_t pid) {
        return pid >= 1 && (unsigned) pid <= manager->runtimes->len ? manager->runtimes->pdata[pid - 1] : NULL;
}

Runtime *manager_next(Manager *manager, Runtime *runtime) {
        unsigned place = 0;

        if (runtime)
                g_assert_true(g_ptr_array_find(manager->runtimes, runtime, &place));
        place += runtime != NULL;
        return place < manager->runtimes->len ? manager->runtimes->pdata[place] : NULL;
}

Runtime *manager_next_of(const Manager *manager, uid_t uid, const Runtime *runtime) {
        Runtime *next = (Runtime *) runtime;

        do
                next = manager_next((Manager *) manager, next);
        while (next && next->options->uid != uid && next->options->starter_uid != uid);
        return next;
}

unsigned manager_get_n_runtimes(const Manager *manager, uid_t uid) {
        unsigned n = 0;

        for (unsigned i = 0; i < manager->runtimes->len; i++) {
                const Runtime *runtime = manager->runtimes->pdata[i];

                n += runtime->options->uid == uid && runtime->state != RUNTIME_ENDED;
        }
        return n;
}

unsigned manager_get_runtimes_max(const Manager *manager) {
        return 1000;
}

Quotas *manager_get_quotas(Manager *manager) {
        return manager->quotas;
}

static char *record_key(const Runtime *runtime, const char *name) {
        return g_strdup_printf("%s/%s", runtime ? runtime->name : "", name);
}

int manager_save(Manager *manager, const Runtime *runtime, const char *name, const json_t *record) {
        char *text = json_dumps(record, 0);

        g_hash_table_insert(records, record_key(runtime, name), g_strdup(text));
        free(text);
        return 0;
}

int manager_load_record(Manager *manager, const Runtime *runtime, const char *name, json_t **ret) {
        g_autofree char *key = record_key(runtime, name);
        const char *text = g_hash_table_lookup(records, key);

        if (!text)
                return -ENOENT;
        *ret = json_loads(text, 0, NULL);
        return *ret ? 0 : -EBADMSG;
}

/* Runtimes that were added before there was a bus. */
void manager_load(Manager *manager) {
        manager->loaded = true;
        for (unsigned i = 0; i < manager->runtimes->len; i++)
                manager->handler->on_loaded(manager->userdata, manager->runtimes->pdata[i]);
        manager->handler->on_all_loaded(manager->userdata);
}

void manager_resume(Manager *manager) {
}

int manager_stop(Manager *manager, Runtime *runtime, uid_t uid, uint64_t timeout_usec, sd_bus_error *reterr) {
        runtime->stopped_by = uid;
        return 0;
}

int manager_forget(Manager *manager, Runtime *runtime, sd_bus_error *reterr) {
        fake_runtime_remove(runtime);
        return 0;
}

const ManagerStatistics *manager_get_statistics(const Manager *manager) {
        static const ManagerStatistics none;

        return &none;
}

Journal *manager_get_journal(Manager *manager) {
        return NULL;
}

const KindSet *manager_get_kinds(const Manager *manager) {
        return NULL;
}

bool manager_kind_is_available(Manager *manager, const Kind *kind, char **ret_problem) {
        return true;
}

int manager_reload(Manager *manager, sd_bus_error *reterr) {
        return 0;
}

int manager_restart(Manager *manager, Runtime *runtime, uid_t uid, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

/* core/runtime.h */

char *runtime_name(bool many_users, uid_t uid, const char *id) {
        return g_strdup_printf("u%u_%s", (unsigned) uid, id);
}

const char *runtime_name_parse(bool many_users, const char *name, uid_t *ret_uid) {
        const char *id = strchr(name, '_');

        if (name[0] != 'u' || !id || id[1] == '\0')
                return NULL;
        *ret_uid = (uid_t) g_ascii_strtoull(name + 1, NULL, 10);
        return id + 1;
}

const char *runtime_get_id(const Runtime *runtime) {
        return runtime->options->id;
}

const char *runtime_get_name(const Runtime *runtime) {
        return runtime->name;
}

uid_t runtime_get_uid(const Runtime *runtime) {
        return runtime->options->uid;
}

uid_t runtime_get_starter_uid(const Runtime *runtime) {
        return runtime->options->starter_uid;
}

const Kind *runtime_get_kind(const Runtime *runtime) {
        return &command;
}

const StartOptions *runtime_get_options(const Runtime *runtime) {
        return runtime->options;
}

RuntimeState runtime_get_state(const Runtime *runtime) {
        return runtime->state;
}

const Report *runtime_get_report(const Runtime *runtime) {
        return runtime->report;
}

static void runtime_look(Runtime *runtime) {
        if (runtime->looks > 0 && --runtime->looks == 0)
                (void) ring_append(&runtime->writer, RING_STREAM_STDOUT, 0, 1, "by itself", strlen("by itself"));
}

const RingReader *runtime_get_ring(const Runtime *runtime) {
        runtime_look((Runtime *) runtime);
        return &runtime->ring;
}

const LimitSet *runtime_get_limits(const Runtime *runtime) {
        return &no_limits;
}

bool runtime_is_started(const Runtime *runtime) {
        return true;
}

#define NO_STRING(name)                                                                                                                                        \
        const char *name(const Runtime *runtime) {                                                                                                             \
                return "";                                                                                                                                     \
        }
#define NO_NUMBER(type, name)                                                                                                                                  \
        type name(const Runtime *runtime) {                                                                                                                    \
                return 0;                                                                                                                                      \
        }

NO_STRING(runtime_get_status_text)
NO_STRING(runtime_get_step)
NO_STRING(runtime_get_unit)
NO_STRING(runtime_get_control_group)
NO_STRING(runtime_get_node)
NO_NUMBER(unsigned, runtime_get_n_steps)
NO_NUMBER(uint64_t, runtime_get_deadline)
NO_NUMBER(pid_t, runtime_get_main_pid)
NO_NUMBER(uint64_t, runtime_get_start_timestamp)
NO_NUMBER(uint64_t, runtime_get_ready_timestamp)
NO_NUMBER(uint64_t, runtime_get_end_timestamp)
NO_NUMBER(const char *, runtime_get_connection)
NO_NUMBER(unsigned, runtime_get_generation)
NO_NUMBER(bool, runtime_is_start_lost)

void runtime_expect_owner(Runtime *runtime, uint64_t usec, Reason reason) {
}

void runtime_finish(Runtime *runtime) {
}

/* As a keeper does. */
void runtime_end_is_told(Runtime *runtime) {
}

int runtime_watch_output(Runtime *runtime, uint64_t after) {
        if (runtime->watches_refused > 0) {
                runtime->watches_refused--;
                return -ENOBUFS;
        }
        if (ring_reader_last(&runtime->ring) > after)
                runtime->manager->handler->runtime.on_output(runtime->manager->userdata, runtime);
        return 0;
}

void runtime_limits_changed(Runtime *runtime, const LimitSet *limits, unsigned keys) {
}

int runtime_set_limits(Runtime *runtime, const LimitSet *limits, unsigned keys, ScopeLimitsFunc done, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

int runtime_interrupt(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

int runtime_kill(Runtime *runtime, enum link_who who, int signo, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

int runtime_input_write(Runtime *runtime, const void *bytes, size_t size, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

int runtime_output_open(Runtime *runtime, uint64_t after, uint32_t flags, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return sd_bus_error_set(reterr, RM_ERROR_NOT_SUPPORTED, FAKE_OUTPUT_OPEN);
}

int runtime_input_open(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

int runtime_resize_terminal(Runtime *runtime, uint16_t rows, uint16_t columns, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}

const char *runtime_get_input(const Runtime *runtime) {
        return "null";
}

int runtime_input_close(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr) {
        return -EOPNOTSUPP;
}
