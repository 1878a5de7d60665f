/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For people and for the journal. */

#include "util/macro.h"

void log_error(const char *format, ...) _printf_(1, 2);
void log_warning(const char *format, ...) _printf_(1, 2);
