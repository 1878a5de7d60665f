/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a start takes, from the call to its answer: ours, the floor under it (a bare StartTransientUnit for a held process, until its job is removed) and
 * systemd-run --scope, in turns, so that what else the machine does meets all of them alike. And a burst: all calls at once, until the last answer.
 *
 * Usage: bench-starts ROUNDS BURST; in a user manager, with the service on the session bus. Prints one JSON object. */

#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "util/macro.h"
#include "util/names.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

extern char **environ;

typedef struct Bench {
        sd_bus *bus;
        unsigned waiting; /* answers that are still to come */
        unsigned n_jobs;  /* of ours that were removed */
        unsigned failed;
        unsigned serial;
} Bench;

static void check(int r, const char *what) {
        if (r >= 0)
                return;
        fprintf(stderr, "bench-starts: %s: %s\n", what, strerror(-r));
        exit(EXIT_FAILURE);
}

static double now_msec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return 1e3 * (double) now.tv_sec + 1e-6 * (double) now.tv_nsec;
}

static void run_until(Bench *bench, const unsigned *counter, unsigned value) {
        while (*counter != value) {
                int r = sd_bus_process(bench->bus, NULL);

                check(r, "the bus");
                if (r == 0)
                        check(sd_bus_wait(bench->bus, 30 * USEC_PER_SEC), "the bus");
        }
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *job, *unit, *result;
        Bench *bench = userdata;
        uint32_t id;

        if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0 && strncmp(unit, "bench-", strlen("bench-")) == 0)
                bench->n_jobs++;
        return 0;
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        Bench *bench = userdata;

        bench->waiting--;
        if (error) {
                if (bench->failed++ == 0)
                        fprintf(stderr, "bench-starts: %s\n", error->message);
        }
        return 0;
}

/* A process as a keeper is one while it waits. */
static pid_t hold(void) {
        pid_t parent = getpid(), pid = fork();

        check(pid, "fork");
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
        bench->waiting++;
        check(sd_bus_call_method_async(bench->bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit", on_answer, bench, "ssa(sv)a(sa(sv))",
                                       unit, "fail", 4, "PIDs", "au", 1, (uint32_t) pid, "Delegate", "b", 1, "CollectMode", "s", "inactive-or-failed", "Slice",
                                       "s", RM_USER_SLICE, 0),
              "StartTransientUnit");
}

static double start_floor(Bench *bench) {
        unsigned jobs = bench->n_jobs + 1;
        pid_t pid = hold();
        double from = now_msec();

        call_floor(bench, pid);
        run_until(bench, &bench->waiting, 0);
        run_until(bench, &bench->n_jobs, jobs);
        from = now_msec() - from;
        release(pid);
        return from;
}

static void call_ours(Bench *bench, const char *id) {
        bench->waiting++;
        check(sd_bus_call_method_async(bench->bus, NULL, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StartRuntime", on_answer, bench, "sa{sv}",
                                       "command", 2, "Id", "s", id, "Command", "as", 2, "/bin/sleep", "1000"),
              "StartRuntime");
}

static void end_ours(Bench *bench, const char *id) {
        char path[128];

        (void) snprintf(path, sizeof(path), RM_RUNTIME_PREFIX "/%s", id);
        (void) sd_bus_call_method(bench->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Stop", NULL, NULL, "a{sv}", 1, "TimeoutStopUSec", "t", UINT64_C(0));
        (void) sd_bus_call_method(bench->bus, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime", NULL, NULL, "ss", id, "ended");
        (void) sd_bus_call_method(bench->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Forget", NULL, NULL, NULL);
        /* The service asks who doesn't read, and sd_bus_call_method() leaves that for later. */
        while (sd_bus_process(bench->bus, NULL) > 0)
                ;
}

static double start_ours(Bench *bench) {
        double from;
        char id[32];

        (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
        from = now_msec();
        call_ours(bench, id);
        run_until(bench, &bench->waiting, 0);
        from = now_msec() - from;
        end_ours(bench, id);
        return from;
}

static double start_systemd_run(void) {
        char *const argv[] = {(char *) "systemd-run", (char *) "--user", (char *) "--scope", (char *) "--quiet", (char *) "true", NULL};
        double from = now_msec();
        pid_t pid;

        check(-posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), "systemd-run");
        (void) waitpid(pid, NULL, 0);
        return now_msec() - from;
}

static double burst_floor(Bench *bench, unsigned n) {
        unsigned jobs = bench->n_jobs + n;
        pid_t *pids = calloc(n, sizeof(pid_t));
        double from;

        check(pids ? 0 : -ENOMEM, "memory");
        for (unsigned i = 0; i < n; i++)
                pids[i] = hold();
        from = now_msec();
        for (unsigned i = 0; i < n; i++)
                call_floor(bench, pids[i]);
        run_until(bench, &bench->waiting, 0);
        run_until(bench, &bench->n_jobs, jobs);
        from = now_msec() - from;
        for (unsigned i = 0; i < n; i++)
                release(pids[i]);
        free(pids);
        return from;
}

static double burst_ours(Bench *bench, unsigned n) {
        unsigned first = bench->serial;
        double from = now_msec();
        char id[32];

        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
                call_ours(bench, id);
        }
        run_until(bench, &bench->waiting, 0);
        from = now_msec() - from;
        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(id, sizeof(id), "bench_%u", first + i);
                end_ours(bench, id);
        }
        return from;
}

static int compare(const void *a, const void *b) {
        double one = *(const double *) a, other = *(const double *) b;

        return (one > other) - (one < other);
}

static void print_times(const char *name, double *times, unsigned n) {
        qsort(times, n, sizeof(double), compare);
        printf("\"%s\": {\"median\": %.3f, \"p95\": %.3f, \"p99\": %.3f, \"n\": %u}", name, times[n / 2], times[n * 95 / 100], times[n * 99 / 100], n);
}

int main(int argc, char *argv[]) {
        unsigned rounds = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 300, burst = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 1000;
        double *floor_times = calloc(rounds + 1, sizeof(double)), *our_times = calloc(rounds + 1, sizeof(double)),
               *run_times = calloc(rounds + 1, sizeof(double));
        Bench bench = {0};

        check(rounds > 0 && floor_times && our_times && run_times ? 0 : -EINVAL, "ROUNDS");
        check(sd_bus_open_user(&bench.bus), "the session bus");
        check(sd_bus_match_signal(bench.bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", on_job_removed, &bench), "AddMatch");
        check(sd_bus_call_method(bench.bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", NULL, NULL, NULL), "Subscribe");

        /* One more than is counted: the first of each is slow. */
        for (unsigned i = 0; i <= rounds; i++) {
                floor_times[i] = start_floor(&bench);
                our_times[i] = start_ours(&bench);
                run_times[i] = start_systemd_run();
        }
        printf("{");
        print_times("floor", floor_times + 1, rounds);
        printf(", ");
        print_times("ours", our_times + 1, rounds);
        printf(", ");
        print_times("systemd_run", run_times + 1, rounds);
        if (burst > 0) {
                double of_floor = burst_floor(&bench, burst), of_ours = burst_ours(&bench, burst);

                printf(", \"burst\": {\"n\": %u, \"floor\": %.1f, \"ours\": %.1f}", burst, of_floor, of_ours);
        }
        printf(", \"failed\": %u}\n", bench.failed);
        free(floor_times);
        free(our_times);
        free(run_times);
        sd_bus_flush_close_unref(bench.bus);
        return bench.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
