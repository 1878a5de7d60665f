/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The few macros that every room uses: cleanup attributes for the owned locals of plain C, and the steal that hands an
 * owned value over. Nothing here hides a return. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_TO(value, alignment) (((value) + (alignment) -1) / (alignment) * (alignment))

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

/* Hand over an owned value: the local is left empty, so that its cleanup does nothing. */
#define TAKE_PTR(pointer)                                                                                                                                      \
        ({                                                                                                                                                     \
                __typeof__(pointer) _taken = (pointer);                                                                                                        \
                (pointer) = NULL;                                                                                                                              \
                _taken;                                                                                                                                        \
        })
#define TAKE_FD(fd)                                                                                                                                            \
        ({                                                                                                                                                     \
                int _taken_fd = (fd);                                                                                                                          \
                (fd) = -EBADF;                                                                                                                                 \
                _taken_fd;                                                                                                                                     \
        })

/* Closes and returns the value an empty fd has, so that "fd = fd_close(fd)" forgets it. Keeps errno. */
static inline int fd_close(int fd) {
        if (fd >= 0) {
                int saved_errno = errno;

                close(fd);
                errno = saved_errno;
        }
        return -EBADF;
}

static inline void cleanup_fd(int *fd) {
        fd_close(*fd);
}

static inline void cleanup_free(void *pointer) {
        free(*(void **) pointer);
}

static inline void cleanup_file(FILE **file) {
        if (*file)
                fclose(*file);
}

#define _cleanup_close_ _cleanup_(cleanup_fd)
#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_fclose_ _cleanup_(cleanup_file)
