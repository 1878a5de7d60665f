/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How single values are written in a kind file. Internal to the kind rooms. All return -EINVAL for what isn't
 * one, and leave *ret alone then. */

#include <stdbool.h>
#include <stdint.h>

int kind_parse_boolean(const char *text, bool *ret);                    /* yes no true false on off 1 0 */
int kind_parse_integer(const char *text, int64_t *ret);                 /* decimal */
int kind_parse_size(const char *text, uint64_t *ret);                   /* 512, 64K, 1M, 2G, 1T, infinity */
int kind_parse_time(const char *text, uint64_t *ret_usec);              /* 10, 1.5s, 500ms, 1min 30s, infinity */
int kind_parse_percent(const char *text, uint64_t *ret);                /* 50%, 200% */
int kind_parse_signal(const char *text, int *ret);                      /* SIGTERM */
int kind_parse_words(const char *text, char ***ret, char **ret_reason); /* quoted as in a shell; may be none */
