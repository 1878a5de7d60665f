/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a manager before this one has left: a folder for each runtime, with its record, and in most cases a keeper that listens. All are read and looked for
 * first, and go on together, when there is somebody to be told. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/manager-private.h"
#include "core/sd-autoptr.h"
#include "util/macro.h"
#include "util/message-ids.h"

/* Nobody waits longer for a keeper that doesn't answer (its cgroup may be frozen): it is met when it does. */
#define LOAD_TIMEOUT_USEC (2 * USEC_PER_SEC)

static void manager_check_loaded(Manager *manager) {
        if (!manager->loading || manager->n_returning > 0)
                return;
        manager->loading = false;
        manager->load_timer = sd_event_source_disable_unref(manager->load_timer);
        manager->handler->on_all_loaded(manager->userdata);
}

void manager_on_returned(void *userdata, Runtime *runtime) {
        Manager *manager = ((Entry *) runtime_get_link(runtime))->manager;

        /* It may come when nobody waits any more. */
        if (!manager->loading) {
                manager->handler->runtime.on_output(manager->userdata, runtime);
                return;
        }
        manager->n_returning--;
        manager_check_loaded(manager);
}

static int on_load_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;

        manager->n_returning = 0;
        manager_check_loaded(manager);
        return 0;
}

/* -EBADMSG: the record is of no use, but for a person to look at. */
static int manager_load_runtime(Manager *manager, const char *name, Runtime **ret) {
        json_t *record;
        bool bad;
        int r;

        r = record_store_load(manager->context.records, name, RECORD_FILE, &record);
        if (r >= 0) {
                r = runtime_new_from_record(&manager->context, record, &manager->runtime_handler, manager->userdata, ret);
                json_decref(record);
        }
        if (r >= 0 && strcmp(runtime_get_name(*ret), name) != 0) {
                runtime_free(*ret);
                r = -EBADMSG;
        }
        if (r >= 0 || r == -ESTALE)
                return r;

        if (r != -ENOENT) {
                journal_write(
                        manager->context.journal, JOURNAL_WARNING, MESSAGE_ID_RECORD_REFUSED, (const JournalField[]){{"RUNTIME_ID", name}, {}},
                        "The record of runtime %s can't be understood (%s); it is set aside as %s.bad, and the runtime goes on with what its keeper knows.",
                        name, g_strerror(-r), RECORD_FILE);
                record_store_set_aside(manager->context.records, name, RECORD_FILE);
        }
        bad = r != -ENOENT;
        r = runtime_new_found(&manager->context, name, &manager->runtime_handler, manager->userdata, ret);
        return r < 0 && bad ? -EBADMSG : r;
}

static gint compare_created(gconstpointer a, gconstpointer b) {
        uint64_t one = runtime_get_created_usec(*(Runtime *const *) a), other = runtime_get_created_usec(*(Runtime *const *) b);

        return (one > other) - (one < other);
}

void manager_load(Manager *manager) {
        g_autoptr(GPtrArray) runtimes = g_ptr_array_new();
        g_auto(GStrv) names = NULL;
        int r;

        manager->loading = true;
        if (record_store_list(manager->context.records, &names) >= 0)
                for (char **name = names; *name; name++) {
                        Runtime *runtime;

                        r = manager_load_runtime(manager, *name, &runtime);
                        if (r >= 0)
                                g_ptr_array_add(runtimes, runtime);
                        else if (r != -EBADMSG) {
                                /* Of another boot, or of a start that didn't get far. */
                                record_store_remove(manager->context.records, *name);
                                runtime_remove_directory(&manager->context, *name);
                        }
                }
        g_ptr_array_sort(runtimes, compare_created);
        manager->n_returning = runtimes->len;
        for (unsigned i = 0; i < runtimes->len; i++) {
                Runtime *runtime = runtimes->pdata[i];
                Entry *entry = manager_insert(manager, runtime);

                manager->handler->on_loaded(manager->userdata, runtime);
                if (runtime_is_over(runtime))
                        manager_retain(manager, entry);
        }
        if (manager->n_returning > 0)
                (void) sd_event_add_time_relative(manager->context.event, &manager->load_timer, CLOCK_MONOTONIC, LOAD_TIMEOUT_USEC, 0, on_load_timer, manager);
        for (unsigned i = 0; i < runtimes->len; i++)
                runtime_return(runtimes->pdata[i]);
        manager_check_loaded(manager);
}

void manager_resume(Manager *manager) {
        GList *next;

        /* One that turns out to have never begun takes its entry with it. */
        for (GList *item = manager->all.head; item; item = next) {
                next = item->next;
                runtime_resume(((Entry *) item->data)->runtime);
        }
}

int manager_save(Manager *manager, const Runtime *runtime, const char *name, const json_t *record) {
        return record_store_save(manager->context.records, runtime ? runtime_get_name(runtime) : NULL, name, record);
}

int manager_load_record(Manager *manager, const Runtime *runtime, const char *name, json_t **ret) {
        return record_store_load(manager->context.records, runtime ? runtime_get_name(runtime) : NULL, name, ret);
}
