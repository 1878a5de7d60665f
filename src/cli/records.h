/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines of a runtime's output as ReadOutput and ReadOutputText give them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

typedef enum RecordFlags {
        RECORD_PARTIAL = 1 << 0,
        RECORD_LOSSY = 1 << 1,
        RECORD_UNTERMINATED = 1 << 2,
} RecordFlags;

typedef enum RecordStream {
        RECORD_SETUP,
        RECORD_STDOUT,
        RECORD_STDERR,
        _RECORD_STREAM_MAX,
} RecordStream;

/* `data` belongs to the message. */
typedef struct Record {
        uint64_t number;
        uint8_t stream;
        uint64_t realtime_usec;
        uint32_t flags;
        const char *data;
        size_t size;
} Record;

/* Between records_enter() and records_leave(), record_read() gives one after the other: 1, or 0 when there are no more.
 * `text` says which of the two methods has answered. Negative errno. */
int records_enter(sd_bus_message *reply, bool text);
int record_read(sd_bus_message *reply, bool text, Record *ret);
int records_leave(sd_bus_message *reply, uint64_t *ret_last, bool *ret_more);

/* The number behind which the last `n_lines` lines begin, parts counting as the line they belong to. Negative errno, with reterr. */
int records_find_tail(sd_bus *bus, const char *path, uint64_t n_lines, sd_bus_error *reterr, uint64_t *ret_after);

const char *record_stream_to_string(unsigned stream);
/* Negative errno for what is no stream. */
int record_stream_from_string(const char *name);
