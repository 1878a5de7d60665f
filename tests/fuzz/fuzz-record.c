/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The record of a runtime, of any content: reading it either refuses it or makes a runtime whose every property can be asked for, and which
 * writes the same record again. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "core/runtime-private.h"

#define ID "fuzz"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sd_event *the_event(void) {
        static sd_event *event;

        if (!event && sd_event_new(&event) < 0)
                abort();
        return event;
}

/* All that the bus asks for. */
static void ask_everything(const Runtime *runtime) {
        const StartOptions *options = runtime_get_options(runtime);
        const Report *report = runtime_get_report(runtime);
        int64_t id;

        if (runtime_get_state(runtime) >= _RUNTIME_STATE_MAX || !runtime_get_step(runtime) || !runtime_get_kind(runtime)->name)
                abort();
        if (strcmp(runtime_get_id(runtime), options->id) != 0)
                abort();
        (void) start_options_get_label(options, "app");
        if (runtime->handshake)
                free(handshake_request(runtime->handshake, "ping", &id));
        if (report && (!result_to_string(report->result) || !reason_to_string(report->reason)))
                abort();
}

static char *directory;

static void remove_directory(void) {
        g_autofree char *file = g_build_filename(directory, ID, RECORD_FILE, NULL), *folder = g_path_get_dirname(file),
                        *lock = g_build_filename(directory, "lock", NULL);

        (void) g_remove(file);
        (void) g_remove(folder);
        (void) g_remove(lock);
        (void) g_remove(directory);
}

static RecordStore *the_store(void) {
        static RecordStore *store;
        g_autofree char *folder = NULL;

        if (store)
                return store;
        directory = g_dir_make_tmp("fuzz-record-XXXXXX", NULL);
        if (!directory || record_store_open(directory, &store) < 0 || record_store_add(store, ID, &folder) < 0 || atexit(remove_directory) != 0)
                abort();
        return store;
}

/* What has been understood is all there was. */
static void write_again(Runtime *runtime, const json_t *record) {
        json_t *again = NULL;

        if (strcmp(runtime_get_id(runtime), ID) != 0)
                return;
        runtime->returning = false;
        if (runtime_save(runtime) < 0 || record_store_load(the_store(), ID, RECORD_FILE, &again) < 0)
                abort();
        if (!json_equal(again, record)) {
                (void) json_dumpf(record, stderr, JSON_SORT_KEYS);
                (void) fputs("\n", stderr);
                (void) json_dumpf(again, stderr, JSON_SORT_KEYS);
                (void) fputs("\n", stderr);
                abort();
        }
        json_decref(again);
}

/* Whoever can write records knows the boot, and the name of the folder. */
static void go_along(json_t *record) {
        json_t *options = json_object_get(record, "options");
        char boot[SD_ID128_STRING_MAX];
        sd_id128_t id;

        if (sd_id128_get_boot(&id) >= 0 && json_object_get(record, "boot"))
                json_object_set_new(record, "boot", json_string(sd_id128_to_string(id, boot)));
        if (json_is_string(json_object_get(record, "id")) && json_equal(json_object_get(record, "id"), json_object_get(options, "id"))) {
                json_object_set_new(record, "id", json_string(ID));
                json_object_set_new(options, "id", json_string(ID));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        RuntimeContext context = {.event = the_event(), .records = the_store()};
        static const RuntimeHandler handler;
        Runtime *runtime = NULL;
        json_t *record, *copy;
        int r;

        record = json_loadb((const char *) data, size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(record)) {
                json_decref(record);
                return 0;
        }
        go_along(record);
        copy = json_deep_copy(record);
        r = runtime_new_from_record(&context, record, &handler, NULL, &runtime);
        if (r >= 0) {
                write_again(runtime, copy);
                ask_everything(runtime);
        } else if (runtime || (r != -EBADMSG && r != -ESTALE))
                abort();
        runtime_free(runtime);
        json_decref(copy);
        json_decref(record);
        return 0;
}
