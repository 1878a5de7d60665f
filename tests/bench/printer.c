/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "printer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FLOOD_BLOCK (64U * 1024U)

static uint64_t now_nsec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * UINT64_C(1000000000) + (uint64_t) now.tv_nsec;
}

bool printer_wait(int fd, char stamp[static 32]) {
        char byte;

        if (read(fd, &byte, 1) != 1)
                return false;
        (void) snprintf(stamp, 32, "%" PRIu64 "\n", now_nsec());
        return true;
}

double printer_read_stamp(const char *text) {
        return 1e-6 * (double) strtoull(text, NULL, 10);
}

static void print_when_asked(const char *fifo) {
        int fd = open(fifo, O_RDONLY | O_CLOEXEC);
        char stamp[32];

        while (fd >= 0 && printer_wait(fd, stamp))
                if (write(STDOUT_FILENO, stamp, strlen(stamp)) < 0)
                        return;
}

static void print_without_end(void) {
        static char block[FLOOD_BLOCK];

        for (uint64_t number = 1;;) {
                size_t size = 0;

                while (size + 64 <= sizeof(block))
                        size += (size_t) snprintf(block + size, 64, "%" PRIu64 " bottles of beer on the wall\n", number++);
                for (size_t written = 0; written < size;) {
                        ssize_t n = write(STDOUT_FILENO, block + written, size - written);

                        if (n < 0)
                                return;
                        written += (size_t) n;
                }
        }
}

void printer_main(int argc, char *const *argv) {
        if (argc == 3 && strcmp(argv[1], "print") == 0)
                print_when_asked(argv[2]);
        else if (argc == 2 && strcmp(argv[1], "flood") == 0)
                print_without_end();
        else
                return;
        exit(EXIT_SUCCESS);
}

static char *own_executable(void) {
        char *path = realpath("/proc/self/exe", NULL);

        bench_check(path ? 0 : -errno, "/proc/self/exe");
        return path;
}

static int on_lines(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Printer *printer = userdata;
        const char *text;

        printer->to = bench_now_msec();
        bench_check(sd_bus_message_enter_container(message, 'a', "(tytus)"), "OutputLines");
        while (sd_bus_message_read(message, "(tytus)", NULL, NULL, NULL, NULL, &text) > 0) {
                printer->from = printer_read_stamp(text);
                printer->n_lines++;
        }
        return 0;
}

void printer_start(Printer *printer, sd_bus *bus, const char *id) {
        _cleanup_free_ char *self = own_executable();

        *printer = (Printer){.bus = bus, .id = strdup(id), .path = bench_runtime_path(id), .fifo_fd = -EBADF};
        bench_check(printer->id && asprintf(&printer->fifo, "%s/bench-%s", getenv("XDG_RUNTIME_DIR"), id) >= 0 ? 0 : -ENOMEM, "memory");
        bench_check(mkfifo(printer->fifo, 0600) < 0 ? -errno : 0, printer->fifo);
        /* For writing too: it opens at once, and isn't at its end between two readers. */
        printer->fifo_fd = open(printer->fifo, O_RDWR | O_CLOEXEC);
        bench_check(printer->fifo_fd < 0 ? -errno : 0, printer->fifo);
        bench_start(bus, id, (char *[]){self, (char *) "print", printer->fifo, NULL});
        bench_check(sd_bus_match_signal(bus, &printer->slot, RM_BUS_NAME, printer->path, RM_RUNTIME_INTERFACE, "OutputLines", on_lines, printer), "AddMatch");
        bench_check(sd_bus_call_method(bus, RM_BUS_NAME, printer->path, RM_RUNTIME_INTERFACE, "Subscribe", NULL, NULL, "tu", UINT64_C(0), 2), "Subscribe");
}

double printer_print(Printer *printer) {
        unsigned n_lines = printer->n_lines + 1;

        bench_check(write(printer->fifo_fd, "x", 1) == 1 ? 0 : -EIO, printer->fifo);
        bench_run_until(printer->bus, &printer->n_lines, n_lines);
        return printer->to - printer->from;
}

void printer_end(Printer *printer) {
        bench_end(printer->bus, printer->id);
        sd_bus_slot_unref(printer->slot);
        fd_close(printer->fifo_fd);
        (void) unlink(printer->fifo);
        free(printer->fifo);
        free(printer->path);
        free(printer->id);
}

void printer_start_flood(sd_bus *bus, const char *id, uint64_t cpu_usec) {
        _cleanup_free_ char *self = own_executable();
        _cleanup_free_ char *path = bench_runtime_path(id);

        bench_start(bus, id, (char *[]){self, (char *) "flood", NULL});
        if (cpu_usec != 0)
                bench_check(sd_bus_call_method(bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "SetLimits", NULL, NULL, "a{sv}", 1, "CPUQuotaPerSecUSec", "t",
                                               cpu_usec),
                            "SetLimits");
}

uint64_t printer_read_number(const char *text) {
        return strtoull(text, NULL, 10);
}
