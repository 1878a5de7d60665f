/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Many runtimes that do nothing, for cases that ask what their number costs, and the processes that they consist of. */

#include "bench.h"

typedef struct Crowd {
        sd_bus *bus;
        BenchCalls calls;
        unsigned n; /* runtimes, called crowd_0, crowd_1, … */
} Crowd;

/* Starts more, until there are n. */
void crowd_grow(Crowd *crowd, unsigned n);

/* The service's keepers. The result is for free(). */
pid_t *crowd_find_keepers(unsigned *ret_n);
