/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What runtimes that do nothing cost: how often the service and their keepers wake up in a minute, and their memory. */

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "crowd.h"

#define CROWD 1000
#define MINUTE 60
/* What still goes on after the last start: places of subscribers are written, systemd's news come. */
#define SETTLE 3

static void wait_seconds(unsigned seconds) {
        (void) poll(NULL, 0, (int) (1000 * seconds));
}

static double sum_switches(const pid_t *pids, unsigned n) {
        double sum = 0;

        for (unsigned i = 0; i < n; i++)
                sum += (double) bench_switches(pids[i]);
        return sum;
}

/* A keeper isn't dumpable, so only root is told. */
static void report_keepers(json_t *figures, const pid_t *keepers, unsigned n) {
        BenchTimes sizes = {0};

        if (geteuid() != 0)
                return;
        for (unsigned i = 0; i < n; i++)
                bench_times_add(&sizes, (double) bench_memory_kib(keepers[i], "Pss"));
        bench_alone(figures, "PSS of a keeper, median", "KiB", bench_percentile(&sizes, 50), BENCH_AT_MOST, 200);
        bench_alone(figures, "PSS of a keeper, largest", "KiB", bench_percentile(&sizes, 100), BENCH_AT_MOST, 200);
        bench_times_done(&sizes);
}

int main(void) {
        unsigned n = bench_rounds(CROWD), seconds = bench_quick() ? 2 : MINUTE, n_keepers;
        Crowd crowd = {.bus = bench_open_bus()};
        json_t *figures = bench_figures_new();
        pid_t service = bench_service_pid(), *keepers;
        double before, of_keepers;

        crowd_grow(&crowd, n);
        keepers = crowd_find_keepers(&n_keepers);
        wait_seconds(SETTLE);
        of_keepers = sum_switches(keepers, n_keepers);
        before = (double) bench_switches(service);
        wait_seconds(seconds);
        bench_alone(figures, "1,000 idle: wake-ups of the service, a minute", "", (double) bench_switches(service) - before, BENCH_AT_MOST, 0);
        bench_alone(figures, "... of all keepers together", "", sum_switches(keepers, n_keepers) - of_keepers, BENCH_AT_MOST, 0);
        bench_alone(figures, "... RSS of the service", "MiB", (double) bench_memory_kib(service, "Rss") / 1024, BENCH_AT_MOST, 32);
        report_keepers(figures, keepers, n_keepers);
        bench_print(figures);

        free(keepers);
        sd_bus_flush_close_unref(crowd.bus);
        return EXIT_SUCCESS;
}
