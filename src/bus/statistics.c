/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service counts, for who watches over it: sums alone, of all users' runtimes. */

#include "bus/bus.h"

#include <sys/resource.h>

#include "util/macro.h"

#define ROW_SIZE 64U

static int append_ends(sd_bus_message *reply, const ManagerStatistics *statistics) {
        int r;

        r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", "Ends");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', "a{st}");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (Result result = 0; r >= 0 && result < _RESULT_MAX; result++)
                r = sd_bus_message_append(reply, "{st}", result_to_string(result), statistics->ends[result]);
        for (unsigned i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

typedef struct Count {
        unsigned states[_RUNTIME_STATE_MAX];
} Count;

/* Kind → Count. The names are the runtimes'. */
static GHashTable *count_runtimes(Bus *bus) {
        GHashTable *counts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);

        for (Runtime *runtime = NULL; (runtime = manager_next(bus->manager, runtime));) {
                const char *kind = runtime_get_kind(runtime)->name;
                Count *count = g_hash_table_lookup(counts, kind);

                if (!count) {
                        count = g_new0(Count, 1);
                        g_hash_table_insert(counts, (gpointer) kind, count);
                }
                count->states[runtime_get_state(runtime)]++;
        }
        return counts;
}

static int append_runtimes(sd_bus_message *reply, GHashTable *counts) {
        GHashTableIter iter;
        gpointer kind, value;
        int r;

        r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", "Runtimes");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', "a(ssu)");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssu)");
        g_hash_table_iter_init(&iter, counts);
        while (r >= 0 && g_hash_table_iter_next(&iter, &kind, &value))
                for (RuntimeState state = 0; r >= 0 && state < _RUNTIME_STATE_MAX; state++)
                        if (((const Count *) value)->states[state] > 0)
                                r = sd_bus_message_append(reply, "(ssu)", kind, runtime_state_to_string(state), ((const Count *) value)->states[state]);
        for (unsigned i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

static uint64_t get_cpu_nsec(void) {
        struct rusage usage = {};

        (void) getrusage(RUSAGE_SELF, &usage);
        return ((uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * USEC_PER_SEC + (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)) *
               NSEC_PER_USEC;
}

/* 0: /proc doesn't say. */
static uint64_t get_memory(void) {
        _cleanup_fclose_ FILE *file = fopen("/proc/self/statm", "re");
        unsigned long size, resident;

        if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
                return 0;
        return (uint64_t) resident * (uint64_t) sysconf(_SC_PAGESIZE);
}

int bus_reply_statistics(Bus *bus, sd_bus_message *call) {
        const ManagerStatistics *statistics = manager_get_statistics(bus->manager);
        g_autoptr(GHashTable) counts = count_runtimes(bus);
        g_autoptr(sd_bus_message) reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}", "Since", "t", statistics->since_usec, "Starts", "t", statistics->starts, "Refusals",
                                          "t", statistics->refusals, "CPUUsageNSec", "t", get_cpu_nsec(), "MemoryCurrent", "t", get_memory());
        if (r >= 0)
                r = append_ends(reply, statistics);
        if (r >= 0)
                r = append_runtimes(reply, counts);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : bus_reply_sized(bus, reply, call, (size_t) g_hash_table_size(counts) * _RUNTIME_STATE_MAX * ROW_SIZE);
}
