/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the benchmarks share: a connection that answers the service's pings, runtimes by the way of any client, times and their percentiles, and the figures,
 * which are printed as JSON for tools/bench.
 *
 * Each program is one case: it measures ours and a floor or a peer in turns, so that what else the machine does meets both, and prints one object, "figures".
 * It runs in a user manager with a fresh service on the session bus, whose process is in $RUNTIME_MANAGERD_PID; $BENCH_QUICK asks for a hundredth of the work,
 * to see that it works. No program judges: goals are compared where the table is printed. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "util/macro.h"
#include "util/names.h"

/* Calls that are under way on a connection, and how they ended. */
typedef struct BenchCalls {
        unsigned waiting;
        unsigned failed; /* the first one's message is on stderr */
} BenchCalls;

/* Values of one figure, to be sorted. */
typedef struct BenchTimes {
        double *value;
        unsigned n, size;
} BenchTimes;

enum bench_goal { BENCH_NO_GOAL, BENCH_AT_MOST, BENCH_AT_LEAST };

/* One row of the table. `peer` is NULL for a figure that stands alone: the goal is then one for `ours`, else for `ratio`, which is up to the figure (ours by
 * theirs, or the other way round for "times faster"; its name says which). */
typedef struct BenchFigure {
        const char *name;
        const char *unit; /* "ms", "MB/s", "KiB", … */
        double ours;
        const char *peer;
        double theirs;
        double ratio;
        enum bench_goal kind;
        double goal;
} BenchFigure;

/* Ends the program with a message if r is negative. */
void bench_check(int r, const char *what);

double bench_now_msec(void);

/* True if $BENCH_QUICK asks for little work. */
bool bench_quick(void);

/* n, or a hundredth of it (at least 1) if little work is asked for. */
unsigned bench_rounds(unsigned n);

/* The service's process. */
pid_t bench_service_pid(void);

sd_bus *bench_open_bus(void);

/* Answers and handles what comes on the connection until *counter is value; ends the program after a minute without anything. */
void bench_run_until(sd_bus *bus, const unsigned *counter, unsigned value);

/* Answers and handles what comes, for so long. */
void bench_run_for(sd_bus *bus, double msec);

/* Handles what has come. To be called between blocking calls: the service asks of everybody to read. */
void bench_drain(sd_bus *bus);

/* Counts an answer: the callback for BenchCalls. */
int bench_on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr);

/* Calls StartRuntime of the kind command without waiting; argv ends with NULL. */
void bench_call_start(sd_bus *bus, BenchCalls *calls, const char *id, char *const *argv);

/* Starts a runtime and waits for the answer. */
void bench_start(sd_bus *bus, const char *id, char *const *argv);

/* Kills the runtime, waits for its end, and forgets it. */
void bench_end(sd_bus *bus, const char *id);

/* Where the runtime's object is. The result is for free(). */
char *bench_runtime_path(const char *id);

/* From a process's counters: µs of CPU (user and system) so far; context switches that it made itself; KiB of a field of /proc/PID/smaps_rollup. */
uint64_t bench_cpu_usec(pid_t pid);
uint64_t bench_switches(pid_t pid);
uint64_t bench_memory_kib(pid_t pid, const char *field);

void bench_times_add(BenchTimes *times, double value);
/* The value that `percent` of all are below or at; sorts. 50 is the median. */
double bench_percentile(BenchTimes *times, unsigned percent);
void bench_times_done(BenchTimes *times);

/* A list of figures, to be printed. */
json_t *bench_figures_new(void);
void bench_figure(json_t *figures, const BenchFigure *figure);
/* A figure with ratio = ours / theirs. */
void bench_compare(json_t *figures, const char *name, const char *unit, double ours, const char *peer, double theirs, enum bench_goal kind, double goal);
/* A figure that stands alone. */
void bench_alone(json_t *figures, const char *name, const char *unit, double ours, enum bench_goal kind, double goal);
/* Prints and frees them. */
void bench_print(json_t *figures);
