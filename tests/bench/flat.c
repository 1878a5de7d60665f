/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service itself does for a start, a line and an end, as µs of its CPU: with few runtimes that do nothing, and with many. The client is subscribed
 * to everything that any of them says, as an app that shows them all. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crowd.h"

#define FEW 20
#define MANY 2000
#define EVENTS 100
#define TURNS 5

typedef struct Bench {
        Crowd crowd;
        pid_t service;
        unsigned serial;
        unsigned lines; /* signals with lines that have come */
} Bench;

/* One with few, one with many. */
typedef struct Costs {
        BenchTimes start, line, end;
} Costs;

static char *const sleeper[] = {(char *) "/bin/sleep", (char *) "infinity", NULL};

static int on_lines(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Bench *bench = userdata;

        bench->lines++;
        return 0;
}

/* Per event, for as many as one turn has. */
static double since(const Bench *bench, uint64_t before, unsigned n) {
        return (double) (bench_cpu_usec(bench->service) - before) / n;
}

static void measure_starts_and_ends(Bench *bench, unsigned n, Costs *costs) {
        sd_bus *bus = bench->crowd.bus;
        unsigned first = bench->serial;
        uint64_t before = bench_cpu_usec(bench->service);
        char id[32];

        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(id, sizeof(id), "flat_%u", bench->serial++);
                bench_start(bus, id, sleeper);
        }
        bench_times_add(&costs->start, since(bench, before, n));
        before = bench_cpu_usec(bench->service);
        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(id, sizeof(id), "flat_%u", first + i);
                bench_end(bus, id);
        }
        bench_times_add(&costs->end, since(bench, before, n));
}

/* A line in, a line out, and the next when that has come. */
static void measure_lines(Bench *bench, unsigned n, int input, Costs *costs) {
        uint64_t before = bench_cpu_usec(bench->service);

        for (unsigned i = 0; i < n; i++) {
                unsigned lines = bench->lines + 1;

                bench_check(write(input, "line\n", 5) == 5 ? 0 : -errno, "input");
                bench_run_until(bench->crowd.bus, &bench->lines, lines);
        }
        bench_times_add(&costs->line, since(bench, before, n));
}

/* A runtime that says what is written to a pipe with a name; returns the pipe. */
static int start_echo(Bench *bench) {
        char path[] = "/tmp/bench-flat-XXXXXX", *fifo, *script;
        int fd;

        bench_check(mkdtemp(path) ? 0 : -errno, path);
        bench_check(asprintf(&fifo, "%s/lines", path) < 0 ? -ENOMEM : 0, "memory");
        bench_check(asprintf(&script, "exec cat <>%s", fifo) < 0 ? -ENOMEM : 0, "memory");
        bench_check(mkfifo(fifo, 0600) < 0 ? -errno : 0, fifo);
        bench_start(bench->crowd.bus, "echo", (char *[]){(char *) "/bin/sh", (char *) "-c", script, NULL});
        fd = open(fifo, O_WRONLY | O_CLOEXEC);
        bench_check(fd < 0 ? -errno : 0, fifo);
        (void) unlink(fifo);
        (void) rmdir(path);
        free(fifo);
        free(script);
        return fd;
}

static void measure(Bench *bench, Costs *costs) {
        unsigned n = bench_rounds(EVENTS) + 1;
        int input;

        input = start_echo(bench);
        for (unsigned i = 0; i < TURNS; i++) {
                measure_starts_and_ends(bench, n / TURNS + 1, costs);
                measure_lines(bench, n, input, costs);
        }
        (void) close(input);
        bench_end(bench->crowd.bus, "echo");
}

static void compare(json_t *figures, const char *name, BenchTimes *with_many, BenchTimes *with_few, const char *peer) {
        bench_compare(figures, name, "us", bench_percentile(with_many, 50), peer, bench_percentile(with_few, 50), BENCH_AT_MOST, 1.2);
        bench_times_done(with_many);
        bench_times_done(with_few);
}

int main(void) {
        unsigned many = bench_quick() ? MANY / 10 : MANY;
        Bench bench = {.service = bench_service_pid(), .crowd.bus = bench_open_bus()};
        json_t *figures = bench_figures_new();
        Costs with_few = {0}, with_many = {0};

        bench_check(sd_bus_match_signal(bench.crowd.bus, NULL, RM_BUS_NAME, NULL, RM_RUNTIME_INTERFACE, "OutputLines", on_lines, &bench), "AddMatch");
        bench_check(sd_bus_call_method(bench.crowd.bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "Subscribe", NULL, NULL, "u", 3), "Subscribe");
        crowd_grow(&bench.crowd, FEW);
        measure(&bench, &with_few);
        crowd_grow(&bench.crowd, many);
        measure(&bench, &with_many);

        compare(figures, "service's CPU a start, 2,000 there", &with_many.start, &with_few.start, "20 there");
        compare(figures, "... a line", &with_many.line, &with_few.line, "20 there");
        compare(figures, "... an end, and Forget", &with_many.end, &with_few.end, "20 there");
        bench_print(figures);
        sd_bus_flush_close_unref(bench.crowd.bus);
        return EXIT_SUCCESS;
}
