/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Properties of a runtime whose values are for programs, in words for people. */

#include <stdint.h>

#include <jansson.h>

/* How long it is until a time of CLOCK_MONOTONIC, which is how the interface has deadlines; 0 if that is past. */
uint64_t facts_usec_until(uint64_t monotonic_usec);
/* "MemoryMax=1.5G, CPUQuota=50%" */
char *facts_limits(const json_t *limits);
/* A time, limits; NULL for a property that needs no words. Caller frees. */
char *facts_property(const char *name, const json_t *value);
