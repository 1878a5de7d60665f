/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A fuzzer's bytes taken one by one, as choices. At the end of them all choices are 0. */

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "util/macro.h"

typedef struct FuzzInput {
        const uint8_t *bytes;
        size_t size;
} FuzzInput;

/* Up to size bytes that stay where they are; *ret_size says how many there were. */
static inline const uint8_t *fuzz_take(FuzzInput *input, size_t size, size_t *ret_size) {
        const uint8_t *taken = input->bytes;

        *ret_size = MIN_OF(size, input->size);
        if (*ret_size == 0)
                return (const uint8_t *) "";
        input->bytes += *ret_size;
        input->size -= *ret_size;
        return taken;
}

static inline void fuzz_fill(FuzzInput *input, void *buffer, size_t size) {
        const uint8_t *bytes;
        size_t n;

        bytes = fuzz_take(input, size, &n);
        memcpy(buffer, bytes, n);
        memset((uint8_t *) buffer + n, 0, size - n);
}

static inline uint8_t fuzz_u8(FuzzInput *input) {
        uint8_t value;

        fuzz_fill(input, &value, sizeof(value));
        return value;
}

static inline uint16_t fuzz_u16(FuzzInput *input) {
        uint16_t value;

        fuzz_fill(input, &value, sizeof(value));
        return value;
}

static inline uint32_t fuzz_u32(FuzzInput *input) {
        uint32_t value;

        fuzz_fill(input, &value, sizeof(value));
        return value;
}

static inline uint64_t fuzz_u64(FuzzInput *input) {
        uint64_t value;

        fuzz_fill(input, &value, sizeof(value));
        return value;
}

/* The lowest free fd: the same before and after, or something is left open. */
static inline int fuzz_lowest_fd(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        close(fd);
        return fd;
}
