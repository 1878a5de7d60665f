/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See usage.h. */

#include "cli/usage.h"

#include "cli/client.h"
#include "cli/json.h"
#include "util/names.h"

typedef struct Row {
        UsageRow row; /* first: a row is this */
        Usage *usage;
        unsigned round;
        int64_t cpu_usec, output_usec; /* when it was asked last */
        sd_bus_slot *call_usage, *call_output;
} Row;

struct Usage {
        sd_bus *bus;
        const UsageEvents *events;
        void *userdata;

        GHashTable *rows; /* path → Row */
        unsigned round, n_pending;
        sd_bus_slot *call_list;
};

static void row_free(void *data) {
        Row *row = data;

        sd_bus_slot_unref(row->call_usage);
        sd_bus_slot_unref(row->call_output);
        g_free(row->row.id);
        g_free(row->row.path);
        g_free(row->row.kind);
        g_free(row->row.state);
        g_free(row->row.description);
        g_free(row);
}

static Row *row_get(Usage *usage, const char *id, const char *path) {
        Row *row = g_hash_table_lookup(usage->rows, path);

        if (row)
                return row;
        row = g_new0(Row, 1);
        row->row = (UsageRow){
                .id = g_strdup(id),
                .path = g_strdup(path),
                .cpu_nsec = UINT64_MAX,
                .memory = UINT64_MAX,
                .tasks = UINT64_MAX,
                .last_line = UINT64_MAX,
                .cpu_percent = -1,
                .lines_per_second = -1,
        };
        row->usage = usage;
        g_hash_table_insert(usage->rows, row->row.path, row);
        return row;
}

static void round_step(Usage *usage) {
        if (--usage->n_pending == 0)
                usage->events->on_round(usage->userdata);
}

/* How much it has grown a second. One that has been started anew counts from 0. */
static double rate(uint64_t old, uint64_t new, int64_t *usec) {
        int64_t now = g_get_monotonic_time(), passed = now - *usec;

        *usec = now;
        if (old == UINT64_MAX || new == UINT64_MAX || new < old || passed <= 0)
                return -1;
        return (double) (new - old) * (double) USEC_PER_SEC / (double) passed;
}

static int on_usage(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *answer = NULL;
        Row *row = userdata;
        uint64_t cpu;
        double nsec_per_second;

        row->call_usage = sd_bus_slot_unref(row->call_usage);
        /* What has no cgroup (yet, any more) uses nothing that is known. */
        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) json_read_value(reply, &answer);
        cpu = json_get_u64(answer, "CPUUsageNSec", UINT64_MAX);
        nsec_per_second = rate(row->row.cpu_nsec, cpu, &row->cpu_usec);
        row->row.cpu_percent = nsec_per_second < 0 ? -1 : nsec_per_second / 1e9 * 100;
        row->row.cpu_nsec = cpu;
        row->row.memory = json_get_u64(answer, "MemoryCurrent", UINT64_MAX);
        row->row.tasks = json_get_u64(answer, "TasksCurrent", UINT64_MAX);
        round_step(row->usage);
        return 0;
}

static int on_output(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Row *row = userdata;
        uint64_t last = UINT64_MAX;

        row->call_output = sd_bus_slot_unref(row->call_output);
        if (!sd_bus_message_is_method_error(reply, NULL) && sd_bus_message_skip(reply, "a(tytus)") >= 0)
                (void) sd_bus_message_read(reply, "t", &last);
        row->row.lines_per_second = rate(row->row.last_line, last, &row->output_usec);
        row->row.last_line = last;
        round_step(row->usage);
        return 0;
}

static int row_ask(Row *row) {
        Usage *usage = row->usage;
        int r;

        r = sd_bus_call_method_async(usage->bus, &row->call_usage, RM_BUS_NAME, row->row.path, RM_RUNTIME_INTERFACE, "GetUsage", on_usage, row, NULL);
        if (r < 0)
                return r;
        usage->n_pending++;
        /* No lines, but the number of the last. */
        r = sd_bus_call_method_async(usage->bus, &row->call_output, RM_BUS_NAME, row->row.path, RM_RUNTIME_INTERFACE, "ReadOutputText", on_output, row, "tu",
                                     UINT64_MAX, 1);
        if (r < 0)
                return r;
        usage->n_pending++;
        return 0;
}

static int take_entry(Usage *usage, const json_t *entry) {
        const char *id = json_string_value(json_array_get(entry, 0)), *path = json_string_value(json_array_get(entry, 1));
        const json_t *facts = json_array_get(entry, 2);
        const char *state = json_get_string(facts, "State", "?");
        Row *row;

        if (!id || !path || g_str_equal(state, "ended"))
                return 0;
        row = row_get(usage, id, path);
        row->round = usage->round;
        row->row.uid = json_get_u64(facts, "UID", 0);
        g_free(row->row.kind);
        row->row.kind = g_strdup(json_get_string(facts, "Kind", "?"));
        g_free(row->row.state);
        row->row.state = g_strdup(state);
        g_free(row->row.description);
        row->row.description = g_strdup(json_get_string(facts, "Description", ""));
        return row_ask(row);
}

static gboolean is_past(void *path, void *row, void *usage) {
        return ((const Row *) row)->round != ((const Usage *) usage)->round;
}

static int on_list(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *list = NULL;
        Usage *usage = userdata;
        const json_t *entry;
        size_t i;
        int r;

        usage->call_list = sd_bus_slot_unref(usage->call_list);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                usage->n_pending = 0;
                usage->events->on_failed(sd_bus_message_get_error(reply), usage->userdata);
                return 0;
        }
        r = json_read_value(reply, &list);
        json_array_foreach(list, i, entry) if (r >= 0) r = take_entry(usage, entry);
        if (r < 0) {
                (void) sd_bus_error_set_errno(&error, r);
                usage->events->on_failed(&error, usage->userdata);
                return 0;
        }
        g_hash_table_foreach_remove(usage->rows, is_past, usage);
        round_step(usage);
        return 0;
}

int usage_ask(Usage *usage) {
        _cleanup_message_ sd_bus_message *message = NULL;
        int r;

        if (usage->n_pending > 0)
                return 0;
        r = sd_bus_message_new_method_call(usage->bus, &message, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes");
        if (r >= 0)
                r = sd_bus_message_append(message, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, usage->round == 0);
        if (r >= 0)
                r = sd_bus_call_async(usage->bus, &usage->call_list, message, on_list, usage, 0);
        if (r < 0)
                return r;
        usage->round++;
        usage->n_pending = 1;
        return 0;
}

GPtrArray *usage_rows(Usage *usage) {
        GPtrArray *rows = g_ptr_array_new();
        GHashTableIter iter;
        void *row;

        g_hash_table_iter_init(&iter, usage->rows);
        while (g_hash_table_iter_next(&iter, NULL, &row))
                g_ptr_array_add(rows, row);
        return rows;
}

Usage *usage_new(sd_bus *bus, const UsageEvents *events, void *userdata) {
        Usage *usage = g_new0(Usage, 1);

        usage->bus = bus;
        usage->events = events;
        usage->userdata = userdata;
        usage->rows = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, row_free);
        return usage;
}

Usage *usage_free(Usage *usage) {
        if (!usage)
                return NULL;
        sd_bus_slot_unref(usage->call_list);
        g_hash_table_unref(usage->rows);
        g_free(usage);
        return NULL;
}
