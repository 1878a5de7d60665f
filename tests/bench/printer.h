/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Programs that print, as runtimes of this very executable: one prints a line whenever it is asked to, by a byte in a FIFO (the bus, and the keeper's own
 * input, would be part of what is measured), another prints without end. */

#include "bench.h"

/* Between two lines, so that they are as far apart as batches are at least. */
#define PRINTER_PAUSE_MSEC 12

typedef struct Printer {
        sd_bus *bus;
        char *id, *path, *fifo;
        int fifo_fd;
        sd_bus_slot *slot;
        double from;      /* ms, CLOCK_MONOTONIC, of the last line: just before the write() */
        double to;        /* ... when it was received */
        unsigned n_lines; /* received */
} Printer;

/* What main() has to begin with: returns if this process isn't to be one of the programs. */
void printer_main(int argc, char *const *argv);

/* Waits for a byte, and returns the time, as text: for who prints when asked. False at the end. */
bool printer_wait(int fd, char stamp[static 32]);
double printer_read_stamp(const char *text);

/* Starts the one that prints when asked, and subscribes to it. */
void printer_start(Printer *printer, sd_bus *bus, const char *id);
/* Asks for a line, waits for it, and returns its time, in ms. */
double printer_print(Printer *printer);
void printer_end(Printer *printer);

/* Starts one that prints numbered lines without end; cpu_usec: its CPUQuotaPerSecUSec, 0: none. */
void printer_start_flood(sd_bus *bus, const char *id, uint64_t cpu_usec);

/* The number that such a line begins with. */
uint64_t printer_read_number(const char *text);
