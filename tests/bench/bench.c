/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_USEC (60 * USEC_PER_SEC)

void bench_check(int r, const char *what) {
        if (r >= 0)
                return;
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(-r));
        exit(EXIT_FAILURE);
}

double bench_now_msec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return 1e3 * (double) now.tv_sec + 1e-6 * (double) now.tv_nsec;
}

bool bench_quick(void) {
        return getenv("BENCH_QUICK");
}

unsigned bench_rounds(unsigned n) {
        return bench_quick() ? (n + 99) / 100 : n;
}

pid_t bench_service_pid(void) {
        const char *pid = getenv("RUNTIME_MANAGERD_PID");

        bench_check(pid ? 0 : -ENXIO, "$RUNTIME_MANAGERD_PID");
        return (pid_t) strtol(pid, NULL, 10);
}

sd_bus *bench_open_bus(void) {
        sd_bus *bus;

        bench_check(sd_bus_open_user(&bus), "the session bus");
        return bus;
}

void bench_run_until(sd_bus *bus, const unsigned *counter, unsigned value) {
        while (*counter != value) {
                int r = sd_bus_process(bus, NULL);

                bench_check(r, "the bus");
                if (r > 0)
                        continue;
                r = sd_bus_wait(bus, PATIENCE_USEC);
                bench_check(r == 0 ? -ETIMEDOUT : r, "the bus");
        }
}

void bench_run_for(sd_bus *bus, double msec) {
        for (double until = bench_now_msec() + msec, now; (now = bench_now_msec()) < until;) {
                int r = sd_bus_process(bus, NULL);

                bench_check(r == 0 ? sd_bus_wait(bus, (uint64_t) (1e3 * (until - now))) : r, "the bus");
        }
}

void bench_drain(sd_bus *bus) {
        int r;

        while ((r = sd_bus_process(bus, NULL)) > 0)
                ;
        bench_check(r, "the bus");
}

int bench_on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        BenchCalls *calls = userdata;

        calls->waiting--;
        if (error && calls->failed++ == 0)
                fprintf(stderr, "%s: %s\n", program_invocation_short_name, error->message);
        return 0;
}

void bench_call_start(sd_bus *bus, BenchCalls *calls, const char *id, char *const *argv) {
        sd_bus_message *message = NULL;

        calls->waiting++;
        bench_check(sd_bus_message_new_method_call(bus, &message, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime"), "StartRuntime");
        bench_check(sd_bus_message_append(message, "s", "command"), "StartRuntime");
        bench_check(sd_bus_message_open_container(message, 'a', "{sv}"), "StartRuntime");
        bench_check(sd_bus_message_append(message, "{sv}", "Id", "s", id), "StartRuntime");
        bench_check(sd_bus_message_open_container(message, 'e', "sv"), "StartRuntime");
        bench_check(sd_bus_message_append(message, "s", "Command"), "StartRuntime");
        bench_check(sd_bus_message_open_container(message, 'v', "as"), "StartRuntime");
        bench_check(sd_bus_message_append_strv(message, (char **) argv), "StartRuntime");
        for (unsigned i = 0; i < 3; i++)
                bench_check(sd_bus_message_close_container(message), "StartRuntime");
        bench_check(sd_bus_call_async(bus, NULL, message, bench_on_answer, calls, UINT64_MAX), "StartRuntime");
        sd_bus_message_unref(message);
}

void bench_start(sd_bus *bus, const char *id, char *const *argv) {
        BenchCalls calls = {0};

        bench_call_start(bus, &calls, id, argv);
        bench_run_until(bus, &calls.waiting, 0);
        if (calls.failed > 0)
                exit(EXIT_FAILURE);
}

char *bench_runtime_path(const char *id) {
        char *path;

        bench_check(asprintf(&path, RM_RUNTIME_PREFIX "/%s", id) < 0 ? -ENOMEM : 0, "memory");
        return path;
}

void bench_end(sd_bus *bus, const char *id) {
        _cleanup_free_ char *path = bench_runtime_path(id);
        sd_bus_error error = SD_BUS_ERROR_NULL;

        bench_drain(bus);
        (void) sd_bus_call_method(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Stop", &error, NULL, "a{sv}", 1, "TimeoutStopUSec", "t", UINT64_C(0));
        sd_bus_error_free(&error);
        (void) sd_bus_call_method(bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime", &error, NULL, "ss", id, "ended");
        sd_bus_error_free(&error);
        (void) sd_bus_call_method(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Forget", &error, NULL, NULL);
        sd_bus_error_free(&error);
        bench_drain(bus);
}

static FILE *open_proc(pid_t pid, const char *file) {
        char path[64];
        FILE *stream;

        (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, file);
        stream = fopen(path, "re");
        bench_check(stream ? 0 : -errno, path);
        return stream;
}

/* The number behind "FIELD:" in a file of lines. */
static uint64_t read_field(pid_t pid, const char *file, const char *field) {
        FILE *stream = open_proc(pid, file);
        size_t length = strlen(field);
        uint64_t value = 0;
        char line[256];

        while (fgets(line, sizeof(line), stream))
                if (strncmp(line, field, length) == 0 && line[length] == ':')
                        value = strtoull(line + length + 1, NULL, 10);
        (void) fclose(stream);
        return value;
}

uint64_t bench_memory_kib(pid_t pid, const char *field) {
        return read_field(pid, "smaps_rollup", field);
}

uint64_t bench_switches(pid_t pid) {
        return read_field(pid, "status", "voluntary_ctxt_switches");
}

/* The scheduler's own count, in ns: /proc/PID/stat counts ticks. */
uint64_t bench_cpu_usec(pid_t pid) {
        FILE *stream = open_proc(pid, "schedstat");
        uint64_t nsec = 0;

        bench_check(fscanf(stream, "%" SCNu64, &nsec) == 1 ? 0 : -EIO, "schedstat");
        (void) fclose(stream);
        return nsec / 1000;
}

void bench_times_add(BenchTimes *times, double value) {
        if (times->n == times->size) {
                times->size = times->size > 0 ? 2 * times->size : 64;
                times->value = reallocarray(times->value, times->size, sizeof(double));
                bench_check(times->value ? 0 : -ENOMEM, "memory");
        }
        times->value[times->n++] = value;
}

static int compare(const void *a, const void *b) {
        double one = *(const double *) a, other = *(const double *) b;

        return (one > other) - (one < other);
}

double bench_percentile(BenchTimes *times, unsigned percent) {
        bench_check(times->n > 0 ? 0 : -ENODATA, "nothing was measured");
        qsort(times->value, times->n, sizeof(double), compare);
        return times->value[MIN_OF(times->n * percent / 100, times->n - 1)];
}

void bench_times_done(BenchTimes *times) {
        free(times->value);
        *times = (BenchTimes){0};
}

json_t *bench_figures_new(void) {
        json_t *figures = json_array();

        bench_check(figures ? 0 : -ENOMEM, "memory");
        return figures;
}

void bench_figure(json_t *figures, const BenchFigure *figure) {
        static const char *const kinds[] = {[BENCH_AT_MOST] = "at most", [BENCH_AT_LEAST] = "at least"};
        json_t *row = json_pack("{ss ss sf}", "figure", figure->name, "unit", figure->unit, "ours", figure->ours);

        bench_check(row ? 0 : -ENOMEM, "memory");
        if (figure->peer)
                bench_check(json_object_update_new(row, json_pack("{ss sf sf}", "peer", figure->peer, "theirs", figure->theirs, "ratio", figure->ratio)),
                            "memory");
        if (figure->kind != BENCH_NO_GOAL)
                bench_check(json_object_update_new(row, json_pack("{ss sf}", "kind", kinds[figure->kind], "goal", figure->goal)), "memory");
        bench_check(json_array_append_new(figures, row), "memory");
}

void bench_compare(json_t *figures, const char *name, const char *unit, double ours, const char *peer, double theirs, enum bench_goal kind, double goal) {
        bench_figure(
                figures,
                &(BenchFigure){.name = name, .unit = unit, .ours = ours, .peer = peer, .theirs = theirs, .ratio = ours / theirs, .kind = kind, .goal = goal});
}

void bench_alone(json_t *figures, const char *name, const char *unit, double ours, enum bench_goal kind, double goal) {
        bench_figure(figures, &(BenchFigure){.name = name, .unit = unit, .ours = ours, .kind = kind, .goal = goal});
}

void bench_print(json_t *figures) {
        json_t *all = json_pack("{so}", "figures", figures);

        bench_check(all && json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0 ? 0 : -EIO, "output");
        (void) putchar('\n');
        json_decref(all);
}
