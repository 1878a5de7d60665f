/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How people write times, sizes and signals, as systemd takes them. All return false for what isn't one. */

#include <stdbool.h>
#include <stdint.h>

/* "10s", "1min 30s", "500ms", "1.5h"; "infinity" is UINT64_MAX. A number alone counts `unit_usec`; 0: it is refused. */
bool parse_time(const char *text, uint64_t unit_usec, uint64_t *ret_usec);
/* A point in time, as µs of CLOCK_REALTIME: "now", "today", "yesterday", "5min ago", "-5min", "@1795334400", "08:15", "2026-11-22", "2026-11-22 08:15:30",
 * the last three in local time unless "UTC" follows; what format_timestamp() prints is understood too. */
bool parse_past(const char *text, uint64_t *ret_usec);
/* "512", "64K", "1.5G" (of 1024); "infinity" is UINT64_MAX. */
bool parse_size(const char *text, uint64_t *ret_bytes);
/* "150%" of one CPU's time, as µs a second. */
bool parse_percent(const char *text, uint64_t *ret_usec);
bool parse_u64(const char *text, uint64_t *ret);
bool parse_i64(const char *text, int64_t *ret);
bool parse_boolean(const char *text, bool *ret);
/* "TERM", "SIGTERM", "15", "RTMIN+3" */
bool parse_signal(const char *text, int *ret_signal);

/* "SIGTERM", or "signal 77" for what has no name. Caller frees. */
char *signal_name(int signal);
