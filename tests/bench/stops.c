/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a stop takes, from the call until the end is known: ours with TimeoutStopUSec=0 against the floor under it, SIGKILL for the process of a bare scope
 * until systemd has removed the unit. Ours knows more by then: how it ended, that nothing is left, and that no output is to come. And jupyter_client's
 * KernelManager, as a peer for start and stop of a process that is ready at once; its rows are missing where that isn't installed. */

#include <fcntl.h>
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

#define ROUNDS 200

extern char **environ;

static char *const sleeper[] = {(char *) "/bin/sleep", (char *) "1000", NULL};

typedef struct Bench {
        sd_bus *bus;
        BenchCalls calls;
        unsigned n_started, n_removed; /* units of ours */
        unsigned serial;
        FILE *to_peer, *from_peer; /* NULL: there is none */
} Bench;

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *job, *unit, *result;
        Bench *bench = userdata;
        uint32_t id;

        if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0 && strncmp(unit, "bench-", strlen("bench-")) == 0)
                bench->n_started++;
        return 0;
}

static int on_unit_removed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *unit, *path;
        Bench *bench = userdata;

        if (sd_bus_message_read(message, "so", &unit, &path) >= 0 && strncmp(unit, "bench-", strlen("bench-")) == 0)
                bench->n_removed++;
        return 0;
}

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

static double stop_floor(Bench *bench) {
        unsigned started = bench->n_started + 1, removed = bench->n_removed + 1;
        pid_t pid = hold();
        char unit[64];
        double from;

        (void) snprintf(unit, sizeof(unit), "bench-%d-%u.scope", (int) getpid(), bench->serial++);
        bench->calls.waiting++;
        bench_check(sd_bus_call_method_async(bench->bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit", bench_on_answer, &bench->calls,
                                             "ssa(sv)a(sa(sv))", unit, "fail", 4, "PIDs", "au", 1, (uint32_t) pid, "Delegate", "b", 1, "CollectMode", "s",
                                             "inactive-or-failed", "Slice", "s", RM_USER_SLICE, 0),
                    "StartTransientUnit");
        bench_run_until(bench->bus, &bench->calls.waiting, 0);
        bench_run_until(bench->bus, &bench->n_started, started);

        from = bench_now_msec();
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        bench_run_until(bench->bus, &bench->n_removed, removed);
        return bench_now_msec() - from;
}

static double stop_ours(Bench *bench, BenchTimes *starts) {
        _cleanup_free_ char *path = NULL;
        double from, start = bench_now_msec();
        char id[32];

        (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
        path = bench_runtime_path(id);
        bench_start(bench->bus, id, sleeper);
        bench_times_add(starts, bench_now_msec() - start);
        bench->calls.waiting += 2;
        bench_check(sd_bus_call_method_async(bench->bus, NULL, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime", bench_on_answer, &bench->calls,
                                             "ss", id, "ended"),
                    "WaitRuntime");

        from = bench_now_msec();
        bench_check(sd_bus_call_method_async(bench->bus, NULL, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Stop", bench_on_answer, &bench->calls, "a{sv}", 1,
                                             "TimeoutStopUSec", "t", UINT64_C(0)),
                    "Stop");
        bench_run_until(bench->bus, &bench->calls.waiting, 0);
        from = bench_now_msec() - from;
        bench_end(bench->bus, id);
        return from;
}

static void start_peer(Bench *bench) {
        /* The system's, which has the packages. */
        char *const argv[] = {(char *) "/usr/bin/python3", (char *) BENCH_SOURCE "/kernel-manager.py", NULL};
        posix_spawn_file_actions_t actions;
        int to[2], from[2];
        pid_t pid;

        (void) signal(SIGPIPE, SIG_IGN);
        bench_check(pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0 ? -errno : 0, "pipe");
        bench_check(-posix_spawn_file_actions_init(&actions), "memory");
        bench_check(-posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO), "memory");
        bench_check(-posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO), "memory");
        bench_check(-posix_spawn(&pid, argv[0], &actions, NULL, argv, environ), "python3");
        posix_spawn_file_actions_destroy(&actions);
        (void) close(to[0]);
        (void) close(from[1]);
        bench->to_peer = fdopen(to[1], "w");
        bench->from_peer = fdopen(from[0], "r");
        bench_check(bench->to_peer && bench->from_peer ? 0 : -errno, "pipe");
}

/* False: there is no such peer here. */
static bool ask_peer(Bench *bench, const char *what, BenchTimes *times) {
        double value;

        if (fprintf(bench->to_peer, "%s\n", what) < 0 || fflush(bench->to_peer) != 0 || fscanf(bench->from_peer, "%lf", &value) != 1)
                return false;
        if (times)
                bench_times_add(times, value);
        return true;
}

static void add_peer(json_t *figures, const char *name, BenchTimes *ours, BenchTimes *theirs) {
        bench_figure(figures, &(BenchFigure){name, "ms", bench_percentile(ours, 50), "jupyter_client KernelManager", bench_percentile(theirs, 50),
                                             bench_percentile(theirs, 50) / bench_percentile(ours, 50), BENCH_NO_GOAL, 0});
}

int main(void) {
        BenchTimes floor_times = {0}, our_times = {0}, our_starts = {0}, their_starts = {0}, their_stops = {0};
        unsigned rounds = bench_rounds(ROUNDS);
        json_t *figures = bench_figures_new();
        Bench bench = {0};
        bool has_peer;

        bench.bus = bench_open_bus();
        bench_check(sd_bus_match_signal(bench.bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", on_job_removed, &bench), "AddMatch");
        bench_check(sd_bus_match_signal(bench.bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "UnitRemoved", on_unit_removed, &bench), "AddMatch");
        bench_check(sd_bus_call_method(bench.bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", NULL, NULL, NULL), "Subscribe");
        start_peer(&bench);

        /* The first of each is slow, and isn't counted. */
        has_peer = ask_peer(&bench, "start", NULL) && ask_peer(&bench, "stop", NULL);
        (void) stop_floor(&bench);
        (void) stop_ours(&bench, &our_starts);
        bench_times_done(&our_starts);
        for (unsigned i = 0; i < rounds; i++) {
                bench_times_add(&floor_times, stop_floor(&bench));
                bench_times_add(&our_times, stop_ours(&bench, &our_starts));
                bench_drain(bench.bus);
                has_peer = has_peer && ask_peer(&bench, "start", &their_starts) && ask_peer(&bench, "stop", &their_stops);
        }

        bench_compare(figures, "stop, call to end known", "ms", bench_percentile(&our_times, 50), "SIGKILL to UnitRemoved", bench_percentile(&floor_times, 50),
                      BENCH_NO_GOAL, 0);
        bench_compare(figures, "the same, 95th percentile", "ms", bench_percentile(&our_times, 95), "SIGKILL to UnitRemoved",
                      bench_percentile(&floor_times, 95), BENCH_NO_GOAL, 0);
        if (has_peer) {
                add_peer(figures, "start of sleep, times faster", &our_starts, &their_starts);
                add_peer(figures, "stop of sleep, times faster", &our_times, &their_stops);
        }
        bench_print(figures);
        return bench.calls.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
