/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a start takes, from the call to its answer: ours, the floor under it (a bare StartTransientUnit for a held process, until its job is removed) and
 * systemd-run --scope, in turns. And a burst: all calls at once, until the last answer; what that takes of the daemon, and what is left in memory. */

#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

#define ROUNDS 300
#define BURST 1000

extern char **environ;

static char *const sleeper[] = {(char *) "/bin/sleep", (char *) "1000", NULL};

typedef struct Bench {
        sd_bus *bus;
        BenchCalls calls;
        unsigned n_jobs; /* of ours that were removed */
        unsigned serial;
} Bench;

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *job, *unit, *result;
        Bench *bench = userdata;
        uint32_t id;

        if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0 && strncmp(unit, "bench-", strlen("bench-")) == 0)
                bench->n_jobs++;
        return 0;
}

/* A process as a keeper is one while it waits. */
static pid_t hold(void) {
        pid_t parent = getpid(), pid = fork();

        bench_check(pid, "fork");
        if (pid > 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        for (;;)
                pause();
}

static void release(pid_t pid) {
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

static void call_floor(Bench *bench, pid_t pid) {
        char unit[64];

        (void) snprintf(unit, sizeof(unit), "bench-%d-%u.scope", (int) getpid(), bench->serial++);
        bench->calls.waiting++;
        bench_check(sd_bus_call_method_async(bench->bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit", bench_on_answer, &bench->calls,
                                             "ssa(sv)a(sa(sv))", unit, "fail", 4, "PIDs", "au", 1, (uint32_t) pid, "Delegate", "b", 1, "CollectMode", "s",
                                             "inactive-or-failed", "Slice", "s", RM_USER_SLICE, 0),
                    "StartTransientUnit");
}

static double start_floor(Bench *bench) {
        unsigned jobs = bench->n_jobs + 1;
        pid_t pid = hold();
        double from = bench_now_msec();

        call_floor(bench, pid);
        bench_run_until(bench->bus, &bench->calls.waiting, 0);
        bench_run_until(bench->bus, &bench->n_jobs, jobs);
        from = bench_now_msec() - from;
        release(pid);
        return from;
}

static double start_ours(Bench *bench) {
        double from;
        char id[32];

        (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
        from = bench_now_msec();
        bench_call_start(bench->bus, &bench->calls, id, sleeper);
        bench_run_until(bench->bus, &bench->calls.waiting, 0);
        from = bench_now_msec() - from;
        bench_end(bench->bus, id);
        return from;
}

static double start_systemd_run(void) {
        char *const argv[] = {(char *) "systemd-run", (char *) "--user", (char *) "--scope", (char *) "--quiet", (char *) "true", NULL};
        double from = bench_now_msec();
        pid_t pid;

        bench_check(-posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), "systemd-run");
        (void) waitpid(pid, NULL, 0);
        return bench_now_msec() - from;
}

static double burst_floor(Bench *bench, unsigned n) {
        unsigned jobs = bench->n_jobs + n;
        pid_t *pids = calloc(n, sizeof(pid_t));
        double from;

        bench_check(pids ? 0 : -ENOMEM, "memory");
        for (unsigned i = 0; i < n; i++)
                pids[i] = hold();
        from = bench_now_msec();
        for (unsigned i = 0; i < n; i++)
                call_floor(bench, pids[i]);
        bench_run_until(bench->bus, &bench->calls.waiting, 0);
        bench_run_until(bench->bus, &bench->n_jobs, jobs);
        from = bench_now_msec() - from;
        for (unsigned i = 0; i < n; i++)
                release(pids[i]);
        free(pids);
        return from;
}

static double burst_ours(Bench *bench, unsigned n, double *ret_cpu_usec) {
        uint64_t cpu_usec = bench_cpu_usec(bench_service_pid());
        unsigned first = bench->serial;
        double from = bench_now_msec();
        char id[32];

        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
                bench_call_start(bench->bus, &bench->calls, id, sleeper);
        }
        bench_run_until(bench->bus, &bench->calls.waiting, 0);
        from = bench_now_msec() - from;
        *ret_cpu_usec = (double) (bench_cpu_usec(bench_service_pid()) - cpu_usec) / n;
        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(id, sizeof(id), "bench_%u", first + i);
                bench_end(bench->bus, id);
        }
        return from;
}

/* Of the keeper of a runtime that is there. */
static double keeper_memory(Bench *bench) {
        _cleanup_free_ char *path = bench_runtime_path("bench_memory");
        char file[64], line[256], *end;
        uint32_t pid;
        FILE *stat;

        bench_start(bench->bus, "bench_memory", sleeper);
        bench_check(sd_bus_get_property_trivial(bench->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "MainPID", NULL, 'u', &pid), "MainPID");
        (void) snprintf(file, sizeof(file), "/proc/%u/stat", pid);
        stat = fopen(file, "re");
        bench_check(stat && fgets(line, sizeof(line), stat) ? 0 : -EIO, file);
        (void) fclose(stat);
        /* PID (NAME) STATE PPID */
        end = strrchr(line, ')');
        bench_check(end ? 0 : -EIO, file);
        return (double) bench_memory_kib((pid_t) strtol(end + 4, NULL, 10), "Pss");
}

int main(void) {
        unsigned rounds = bench_rounds(ROUNDS), burst = bench_rounds(BURST);
        BenchTimes floor_times = {0}, our_times = {0}, run_times = {0};
        json_t *figures = bench_figures_new();
        double of_floor, of_ours, cpu_usec, keeper_kib;
        Bench bench = {0};

        bench.bus = bench_open_bus();
        bench_check(sd_bus_match_signal(bench.bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", on_job_removed, &bench), "AddMatch");
        bench_check(sd_bus_call_method(bench.bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", NULL, NULL, NULL), "Subscribe");

        /* The first of each is slow, and isn't counted. */
        (void) start_floor(&bench);
        (void) start_ours(&bench);
        (void) start_systemd_run();
        for (unsigned i = 0; i < rounds; i++) {
                bench_times_add(&floor_times, start_floor(&bench));
                bench_times_add(&our_times, start_ours(&bench));
                bench_times_add(&run_times, start_systemd_run());
        }
        of_floor = burst_floor(&bench, burst);
        of_ours = burst_ours(&bench, burst, &cpu_usec);
        keeper_kib = keeper_memory(&bench);

        bench_compare(figures, "start, call to answer", "ms", bench_percentile(&our_times, 50), "bare StartTransientUnit", bench_percentile(&floor_times, 50),
                      BENCH_AT_MOST, 1.5);
        bench_compare(figures, "the same, 95th percentile", "ms", bench_percentile(&our_times, 95), "bare StartTransientUnit",
                      bench_percentile(&floor_times, 95), BENCH_NO_GOAL, 0);
        bench_figure(figures,
                     &(BenchFigure){"start, times faster", "ms", bench_percentile(&our_times, 50), "systemd-run --scope", bench_percentile(&run_times, 50),
                                    bench_percentile(&run_times, 50) / bench_percentile(&our_times, 50), BENCH_AT_LEAST, 3});
        bench_compare(figures, "1,000 starts at once", "starts/s", 1e3 * burst / of_ours, "bare StartTransientUnit", 1e3 * burst / of_floor, BENCH_AT_LEAST,
                      0.8);
        bench_alone(figures, "daemon's CPU a start, of those", "µs", cpu_usec, BENCH_NO_GOAL, 0);
        bench_alone(figures, "daemon's memory after all (RSS)", "KiB", (double) bench_memory_kib(bench_service_pid(), "Rss"), BENCH_NO_GOAL, 0);
        bench_alone(figures, "a keeper's memory while it holds a runtime (PSS)", "KiB", keeper_kib, BENCH_NO_GOAL, 0);
        bench_print(figures);

        bench_times_done(&floor_times);
        bench_times_done(&our_times);
        bench_times_done(&run_times);
        sd_bus_flush_close_unref(bench.bus);
        return bench.calls.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
