/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The end report of a runtime, told to people and to scripts. Reports grow: what isn't known here is shown as it is. */

#include <stdbool.h>
#include <stdio.h>

#include <glib.h>
#include <jansson.h>

/* What runtimectl exits with for a runtime that ended so: the table of cli_exit_codes_help(). */
int report_exit_code(const json_t *report);
/* Whether the end came before the runtime was ready. */
bool report_is_early(const json_t *report);
/* How it ended, as one sentence. */
char *report_sentence(const json_t *report);
/* What else there is to say, each a short line. */
GPtrArray *report_details(const json_t *report);
/* The last lines it printed, each behind `indent`; nothing if there are none. */
void report_print_tail(const json_t *report, FILE *file, const char *indent);
