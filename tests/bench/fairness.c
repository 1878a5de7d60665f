/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What runtimes that print without end cost the others: the start of another, its lines, and a stop, with and without them, in turns. And what they cost the
 * daemon. With a CPU quota too, where there is a controller for it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "printer.h"

#define FLOODERS 4
#define TURNS 4
#define STARTS 15
#define LINES 100
#define STOPS 5
#define SETTLE_MSEC 300
#define WATCH_MSEC 2000
/* A fifth of one CPU, each. */
#define QUOTA_USEC (200 * USEC_PER_MSEC)

static char *const sleeper[] = {(char *) "/bin/sleep", (char *) "1000", NULL};

typedef struct Times {
        BenchTimes starts, lines, stops;
} Times;

typedef struct Bench {
        sd_bus *bus;
        Printer printer;
        Times alone, crowded;
        double idle_cpu, watched_cpu; /* of the daemon, % of one */
        unsigned serial, turns;
} Bench;

static double start_one(Bench *bench) {
        double from = bench_now_msec();
        char id[32];

        (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
        bench_start(bench->bus, id, sleeper);
        from = bench_now_msec() - from;
        bench_end(bench->bus, id);
        return from;
}

/* In the kind's own way, which is SIGTERM, to the end. */
static double stop_one(Bench *bench, const char *id) {
        _cleanup_free_ char *path = bench_runtime_path(id);
        double from;

        bench_drain(bench->bus);
        from = bench_now_msec();
        bench_check(sd_bus_call_method(bench->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Stop", NULL, NULL, "a{sv}", 0), "Stop");
        bench_check(sd_bus_call_method(bench->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime", NULL, NULL, "ss", id, "ended"),
                    "WaitRuntime");
        from = bench_now_msec() - from;
        bench_end(bench->bus, id);
        return from;
}

/* flooder: what the ones to be stopped do, NULL: nothing. */
static void measure(Bench *bench, Times *times, const char *flooder, uint64_t cpu_usec) {
        for (unsigned i = 0; i < bench_rounds(STARTS); i++)
                bench_times_add(&times->starts, start_one(bench));
        for (unsigned i = 0; i < bench_rounds(LINES); i++) {
                bench_run_for(bench->bus, PRINTER_PAUSE_MSEC);
                bench_times_add(&times->lines, printer_print(&bench->printer));
        }
        for (unsigned i = 0; i < bench_rounds(STOPS); i++) {
                const char *id = flooder ?: "bench_idle";

                if (!flooder)
                        bench_start(bench->bus, id, sleeper);
                bench_times_add(&times->stops, stop_one(bench, id));
                if (flooder) {
                        printer_start_flood(bench->bus, id, cpu_usec);
                        bench_run_for(bench->bus, SETTLE_MSEC);
                }
        }
}

static double watch_daemon(Bench *bench) {
        double from = bench_now_msec();
        uint64_t cpu_usec = bench_cpu_usec(bench_service_pid());

        bench_run_for(bench->bus, bench_quick() ? WATCH_MSEC / 10 : WATCH_MSEC);
        cpu_usec = bench_cpu_usec(bench_service_pid()) - cpu_usec;
        return 100 * (double) cpu_usec / (1e3 * (bench_now_msec() - from));
}

static void call_manager(Bench *bench, const char *method, uint32_t flags) {
        bench_check(sd_bus_call_method(bench->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, method, NULL, NULL, flags > 0 ? "u" : NULL, flags),
                    method);
}

static void take_turn(Bench *bench, uint64_t cpu_usec) {
        char ids[FLOODERS][32];

        measure(bench, &bench->alone, NULL, 0);
        for (unsigned i = 0; i < FLOODERS; i++) {
                (void) snprintf(ids[i], sizeof(ids[i]), "bench_flood_%u", i);
                printer_start_flood(bench->bus, ids[i], cpu_usec);
        }
        bench_run_for(bench->bus, SETTLE_MSEC);
        measure(bench, &bench->crowded, ids[0], cpu_usec);
        bench->idle_cpu += watch_daemon(bench);
        call_manager(bench, "Subscribe", 2);
        bench->watched_cpu += watch_daemon(bench);
        call_manager(bench, "Unsubscribe", 0);
        for (unsigned i = 0; i < FLOODERS; i++)
                bench_end(bench->bus, ids[i]);
        bench->turns++;
}

static void compare(json_t *figures, const char *name, const char *how, BenchTimes *crowded, BenchTimes *alone, double goal) {
        char text[64];

        (void) snprintf(text, sizeof(text), "%s%s", name, how);
        bench_compare(figures, text, "ms", bench_percentile(crowded, 50), "without them", bench_percentile(alone, 50), BENCH_AT_MOST, goal);
        (void) snprintf(text, sizeof(text), "... 95th percentile%s", how);
        bench_compare(figures, text, "ms", bench_percentile(crowded, 95), "without them", bench_percentile(alone, 95), BENCH_NO_GOAL, 0);
}

static void times_done(Times *times) {
        bench_times_done(&times->starts);
        bench_times_done(&times->lines);
        bench_times_done(&times->stops);
}

static void measure_flooders(sd_bus *bus, json_t *figures, uint64_t cpu_usec, unsigned turns, const char *how, double goal) {
        Bench bench = {.bus = bus};

        printer_start(&bench.printer, bus, "bench_printer");
        (void) printer_print(&bench.printer);
        (void) start_one(&bench);
        for (unsigned i = 0; i < turns; i++)
                take_turn(&bench, cpu_usec);
        printer_end(&bench.printer);

        compare(figures, "four flooders: another's start", how, &bench.crowded.starts, &bench.alone.starts, goal);
        compare(figures, "... another's line", how, &bench.crowded.lines, &bench.alone.lines, goal);
        compare(figures, "... the stop of one", how, &bench.crowded.stops, &bench.alone.stops, goal);
        bench_alone(figures, "... the daemon's CPU, nobody subscribed", "% of one", bench.idle_cpu / bench.turns, BENCH_AT_MOST, 1);
        bench_alone(figures, "... the daemon's CPU, one subscriber of all", "% of one", bench.watched_cpu / bench.turns, BENCH_AT_MOST, 25);
        times_done(&bench.alone);
        times_done(&bench.crowded);
}

/* Whether a quota holds here: systemd takes one that it has no controller for. */
static bool has_quota(sd_bus *bus) {
        static const char id[] = "bench_quota";
        _cleanup_free_ char *path = bench_runtime_path(id), *cgroup = NULL, *file = NULL;
        _cleanup_fclose_ FILE *stream = NULL;
        unsigned long long quota = 0;

        printer_start_flood(bus, id, QUOTA_USEC);
        bench_check(sd_bus_get_property_string(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "ControlGroup", NULL, &cgroup), "ControlGroup");
        bench_check(asprintf(&file, "/sys/fs/cgroup%s/cpu.max", cgroup), "memory");
        stream = fopen(file, "re");
        if (stream && fscanf(stream, "%llu", &quota) != 1)
                quota = 0;
        bench_end(bus, id);
        return quota > 0;
}

int main(int argc, char *argv[]) {
        json_t *figures;
        sd_bus *bus;

        printer_main(argc, argv);
        figures = bench_figures_new();
        bus = bench_open_bus();
        measure_flooders(bus, figures, 0, bench_quick() ? 1 : TURNS, "", 3);
        if (has_quota(bus))
                measure_flooders(bus, figures, QUOTA_USEC, bench_quick() ? 1 : TURNS, ", with a quota", 1.5);
        bench_print(figures);
        sd_bus_flush_close_unref(bus);
        return EXIT_SUCCESS;
}
