/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output as signals. A single line: from the write() of the runtime until a client has its OutputLines, against a bare signal of one sd-bus program to another,
 * in turns. Then a flood: how much of it a client is sent, that it can account for each line of it, and that the daemon doesn't grow. */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "printer.h"

#define LINES 1000
#define FLOOD_MSEC 10000
#define WARM_UP_MSEC 1000

/* Signals of the bare loop that are under way at most: it would only fill the bus's memory otherwise. */
#define CREDIT 2000

#define BARE_PATH "/bench"
#define BARE_INTERFACE "org.example.Bench"

/* A bare program that emits a signal when asked, by a byte. */
typedef struct Bare {
        pid_t pid;
        int fd;
        double from, to;
        unsigned n_signals;
} Bare;

static void emit_lines(int fd) {
        sd_bus *bus = bench_open_bus();
        char stamp[32];

        while (printer_wait(fd, stamp)) {
                bench_check(sd_bus_emit_signal(bus, BARE_PATH, BARE_INTERFACE, "Line", "s", stamp), "Line");
                bench_check(sd_bus_flush(bus), "Line");
        }
}

/* Half a credit a byte. */
static void emit_flood(int fd) {
        sd_bus *bus = bench_open_bus();
        char byte;

        for (uint64_t number = 1; read(fd, &byte, 1) == 1;) {
                for (unsigned i = 0; i < CREDIT / 2; i++, number++) {
                        char text[64];

                        (void) snprintf(text, sizeof(text), "%" PRIu64 " bottles of beer on the wall", number);
                        bench_check(sd_bus_emit_signal(bus, BARE_PATH, BARE_INTERFACE, "Line", "s", text), "Line");
                }
                bench_check(sd_bus_flush(bus), "Line");
        }
}

static void bare_start(Bare *bare, void (*emit)(int fd)) {
        int fds[2];

        bench_check(pipe(fds) < 0 ? -errno : 0, "pipe");
        *bare = (Bare){.pid = fork(), .fd = fds[1]};
        bench_check(bare->pid, "fork");
        if (bare->pid == 0) {
                (void) close(fds[1]);
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                emit(fds[0]);
                _exit(EXIT_SUCCESS);
        }
        (void) close(fds[0]);
}

static void bare_end(Bare *bare) {
        (void) close(bare->fd);
        (void) waitpid(bare->pid, NULL, 0);
}

static int on_bare_line(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Bare *bare = userdata;
        const char *text;

        bare->to = bench_now_msec();
        bench_check(sd_bus_message_read(message, "s", &text), "Line");
        bare->from = printer_read_stamp(text);
        bare->n_signals++;
        return 0;
}

static double bare_print(sd_bus *bus, Bare *bare) {
        unsigned n_signals = bare->n_signals + 1;

        bench_check(write(bare->fd, "x", 1) == 1 ? 0 : -EIO, "pipe");
        bench_run_until(bus, &bare->n_signals, n_signals);
        return bare->to - bare->from;
}

static void measure_lines(sd_bus *bus, json_t *figures) {
        BenchTimes our_times = {0}, bare_times = {0};
        unsigned rounds = bench_rounds(LINES);
        static const unsigned percents[] = {50, 95, 99};
        sd_bus_slot *slot;
        Printer printer;
        Bare bare;

        bare_start(&bare, emit_lines);
        bench_check(sd_bus_match_signal(bus, &slot, NULL, BARE_PATH, BARE_INTERFACE, "Line", on_bare_line, &bare), "AddMatch");
        printer_start(&printer, bus, "bench_printer");
        /* The first of each isn't counted. */
        (void) printer_print(&printer);
        (void) bare_print(bus, &bare);
        for (unsigned i = 0; i < rounds; i++) {
                bench_run_for(bus, PRINTER_PAUSE_MSEC);
                bench_times_add(&our_times, 1e3 * printer_print(&printer));
                bench_run_for(bus, PRINTER_PAUSE_MSEC);
                bench_times_add(&bare_times, 1e3 * bare_print(bus, &bare));
        }
        for (unsigned i = 0; i < ELEMENTSOF(percents); i++) {
                char name[64];

                (void) snprintf(name, sizeof(name), percents[i] == 50 ? "a line, write() to receipt" : "the same, %uth percentile", percents[i]);
                bench_compare(figures, name, "µs", bench_percentile(&our_times, percents[i]), "bare signal", bench_percentile(&bare_times, percents[i]),
                              percents[i] == 50 ? BENCH_AT_MOST : BENCH_NO_GOAL, 3);
        }
        printer_end(&printer);
        sd_bus_slot_unref(slot);
        bare_end(&bare);
        bench_times_done(&our_times);
        bench_times_done(&bare_times);
}

typedef struct Flood {
        uint64_t next; /* number of the line that is to come */
        uint64_t n_signals, n_lines, n_bytes, n_dropped;
        uint64_t n_wrong; /* lines that came twice, not at all, or under another's number */
        uint64_t last_line;
        unsigned ended;
} Flood;

static int on_flood_lines(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Flood *flood = userdata;
        const char *text;
        uint64_t number;

        flood->n_signals++;
        bench_check(sd_bus_message_enter_container(message, 'a', "(tytus)"), "OutputLines");
        while (sd_bus_message_read(message, "(tytus)", &number, NULL, NULL, NULL, &text) > 0) {
                if (number != flood->next)
                        flood->n_wrong++;
                flood->next = number + 1;
                /* The last is cut short where the flood was stopped. */
                if (printer_read_number(text) != number && strstr(text, "wall"))
                        flood->n_wrong++;
                flood->n_lines++;
                flood->n_bytes += strlen(text) + 1;
        }
        return 0;
}

static int on_flood_dropped(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Flood *flood = userdata;
        uint64_t first, count;

        bench_check(sd_bus_message_read(message, "tt", &first, &count), "OutputDropped");
        if (first != flood->next || count == 0)
                flood->n_wrong++;
        flood->next = first + count;
        flood->n_dropped += count;
        return 0;
}

static int on_flood_ended(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Flood *flood = userdata;
        const char *key;

        bench_check(sd_bus_message_enter_container(message, 'a', "{sv}"), "Ended");
        while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
                bench_check(sd_bus_message_read(message, "s", &key), "Ended");
                bench_check(strcmp(key, "LastLine") == 0 ? sd_bus_message_read(message, "v", "t", &flood->last_line) : sd_bus_message_skip(message, "v"),
                            "Ended");
                bench_check(sd_bus_message_exit_container(message), "Ended");
        }
        flood->ended = 1;
        return 0;
}

static void measure_flood(sd_bus *bus, json_t *figures, double msec) {
        static const struct {
                const char *member;
                sd_bus_message_handler_t handler;
        } matches[] = {{"OutputLines", on_flood_lines}, {"OutputDropped", on_flood_dropped}, {"Ended", on_flood_ended}};
        _cleanup_free_ char *path = bench_runtime_path("bench_flood");
        sd_bus_slot *slots[ELEMENTSOF(matches)];
        uint64_t rss, cpu_usec, rss_before;
        Flood flood = {.next = 1}, before;
        double from;

        printer_start_flood(bus, "bench_flood", 0);
        for (unsigned i = 0; i < ELEMENTSOF(matches); i++)
                bench_check(sd_bus_match_signal(bus, &slots[i], RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, matches[i].member, matches[i].handler, &flood),
                            "AddMatch");
        bench_check(sd_bus_call_method(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Subscribe", NULL, NULL, "tu", UINT64_C(0), 3), "Subscribe");
        bench_run_for(bus, WARM_UP_MSEC);
        before = flood;
        rss_before = bench_memory_kib(bench_service_pid(), "Rss");
        cpu_usec = bench_cpu_usec(bench_service_pid());
        from = bench_now_msec();
        bench_run_for(bus, msec);
        msec = bench_now_msec() - from;
        cpu_usec = bench_cpu_usec(bench_service_pid()) - cpu_usec;
        rss = bench_memory_kib(bench_service_pid(), "Rss");
        bench_alone(figures, "a flood: signals", "1/s", 1e3 * (double) (flood.n_signals - before.n_signals) / msec, BENCH_AT_MOST, 100);
        bench_alone(figures, "... lines received", "1/s", 1e3 * (double) (flood.n_lines - before.n_lines) / msec, BENCH_NO_GOAL, 0);
        bench_alone(figures, "... of those printed", "1/s", 1e3 * (double) (flood.next - before.next) / msec, BENCH_NO_GOAL, 0);
        bench_alone(figures, "... the daemon's CPU", "% of one", 100 * (double) cpu_usec / (1e3 * msec), BENCH_NO_GOAL, 0);
        bench_alone(figures, "... the daemon has grown by", "KiB", (double) rss - (double) rss_before, BENCH_AT_MOST, 64);

        /* All comes before Ended, to one who reads. */
        bench_check(sd_bus_call_method_async(bus, NULL, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "Stop", NULL, NULL, "a{sv}", 0), "Stop");
        bench_run_until(bus, &flood.ended, 1);
        bench_alone(figures, "... lines neither received nor announced as dropped, or twice", "",
                    (double) (flood.n_wrong + (flood.next != flood.last_line + 1)), BENCH_AT_MOST, 0);
        for (unsigned i = 0; i < ELEMENTSOF(matches); i++)
                sd_bus_slot_unref(slots[i]);
        bench_end(bus, "bench_flood");
}

static void measure_bare_flood(sd_bus *bus, json_t *figures, double msec) {
        sd_bus_slot *slot;
        unsigned asked;
        Bare bare;
        double from;

        bare_start(&bare, emit_flood);
        bench_check(sd_bus_match_signal(bus, &slot, NULL, BARE_PATH, BARE_INTERFACE, "Line", on_bare_line, &bare), "AddMatch");
        from = bench_now_msec();
        bench_check(write(bare.fd, "x", 1) == 1 ? 0 : -EIO, "pipe");
        for (asked = CREDIT / 2; bench_now_msec() - from < msec; asked += CREDIT / 2) {
                bench_check(write(bare.fd, "x", 1) == 1 ? 0 : -EIO, "pipe");
                bench_run_until(bus, &bare.n_signals, asked);
        }
        bench_run_until(bus, &bare.n_signals, asked);
        bench_alone(figures, "a bare loop of signals, a line each", "1/s", 1e3 * bare.n_signals / (bench_now_msec() - from), BENCH_NO_GOAL, 0);
        sd_bus_slot_unref(slot);
        bare_end(&bare);
}

int main(int argc, char *argv[]) {
        json_t *figures;
        sd_bus *bus;

        printer_main(argc, argv);
        figures = bench_figures_new();
        bus = bench_open_bus();
        measure_lines(bus, figures);
        measure_flood(bus, figures, bench_quick() ? FLOOD_MSEC / 10 : FLOOD_MSEC);
        measure_bare_flood(bus, figures, bench_quick() ? FLOOD_MSEC / 50 : FLOOD_MSEC / 5);
        bench_print(figures);
        sd_bus_flush_close_unref(bus);
        return EXIT_SUCCESS;
}
