/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A pseudo terminal for a command: its input, both its outputs, and its controlling terminal. */

#include <stdint.h>

/* The size until somebody says another one: as old as terminals. */
#define TERMINAL_ROWS 24
#define TERMINAL_COLUMNS 80

/* A new one: the master doesn't block. 0 or negative errno. */
int terminal_open(int *ret_master_fd, int *ret_slave_fd);

/* Its foreground processes get SIGWINCH. 0 or negative errno. */
int terminal_resize(int master_fd, uint16_t rows, uint16_t columns);
