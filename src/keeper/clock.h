/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <time.h>

#include "util/macro.h"

static inline uint64_t clock_usec(clockid_t clock) {
        struct timespec now;

        (void) clock_gettime(clock, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

/* A time that far from now, or never. */
static inline uint64_t clock_add_usec(uint64_t usec, uint64_t more_usec) {
        return more_usec > USEC_INFINITY - usec ? USEC_INFINITY : usec + more_usec;
}
