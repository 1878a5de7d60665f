/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The record of a runtime, of any content: reading it either refuses it or makes a runtime whose every property can be asked for. As a
 * libFuzzer target, and, built without it, as a test that replays the files and folders given as arguments.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "core/runtime.h"

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

        if (runtime_get_state(runtime) >= _RUNTIME_STATE_MAX || !runtime_get_step(runtime) || !runtime_get_kind(runtime)->name)
                abort();
        if (strcmp(runtime_get_id(runtime), options->id) != 0)
                abort();
        (void) start_options_get_label(options, "app");
        if (report && (!result_to_string(report->result) || !reason_to_string(report->reason)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        RuntimeContext context = {.event = the_event()};
        static const RuntimeHandler handler;
        char boot[SD_ID128_STRING_MAX];
        Runtime *runtime = NULL;
        json_t *record;
        sd_id128_t id;
        int r;

        record = json_loadb((const char *) data, size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(record)) {
                json_decref(record);
                return 0;
        }
        /* Whoever can write records knows this too. */
        if (sd_id128_get_boot(&id) >= 0 && json_object_get(record, "boot"))
                json_object_set_new(record, "boot", json_string(sd_id128_to_string(id, boot)));
        r = runtime_new_from_record(&context, record, &handler, NULL, &runtime);
        if (r >= 0)
                ask_everything(runtime);
        else if (runtime)
                abort();
        runtime_free(runtime);
        json_decref(record);
        return 0;
}
