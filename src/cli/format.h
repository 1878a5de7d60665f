/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How things look to a person: times, sizes, tables, colours. Whatever has come from the service is made harmless here
 * before it meets a terminal: a runtime can put what it likes into its status text or its name.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* A copy as one line: control characters, line breaks and what changes the direction of text become spaces or U+FFFD; colours and carriage
 * returns go. */
char *format_harmless(const char *text);
/* The same for a line as a program has printed it, of any bytes: tabs, carriage returns and colours stay. */
char *format_harmless_output(const char *data, size_t size);

/* "Sun 2026-11-22 08:01:24 UTC", in local time. */
char *format_timestamp(uint64_t realtime_usec);
/* "08:01:24.123" */
char *format_clock(uint64_t realtime_usec);
/* "1h 2min", "3.250s", "12ms": at most two units. */
char *format_span(uint64_t usec);
/* "3min 2s ago" */
char *format_ago(uint64_t realtime_usec);
/* "512.0M" */
char *format_size(uint64_t bytes);

/* Appends text and the spaces that make it `columns` wide, at least one. */
void format_pad(GString *line, const char *text, unsigned columns);

/* On stdout, where `column`s of the line are taken: what doesn't fit a terminal goes on in further lines, `indent` columns from the left. The text is harmless.
 */
void format_print_wrapped(const char *text, unsigned column, unsigned indent);

/* How wide the names of facts are; longer ones push what they name to the right, which a test of the translations finds. */
#define FACT_COLUMNS 12U
/* "        Name:" on stdout, for a value that is printed next. */
void format_print_name(const char *name);
/* "        Name: value", wrapped; nothing for an empty value. */
void format_print_fact(const char *name, const char *value);
/* The same for a file: one of this machine, if `here`, can be opened from terminals that know links. */
void format_print_file(const char *name, const char *path, bool here);

typedef enum Color {
        COLOR_NONE,
        COLOR_BOLD,
        COLOR_DIM,
        COLOR_GREEN,
        COLOR_YELLOW,
        COLOR_RED,
        _COLOR_MAX,
} Color;

/* Escape sequences for stdout; "" unless it is a terminal and NO_COLOR isn't set. */
const char *format_color(Color color);
const char *format_color_off(void);
Color format_state_color(const char *state, const char *result);

/* "●", or "*" where the locale hasn't got it. */
const char *format_bullet(void);

/* Of the terminal that stdout is; UINT_MAX: it is none. */
unsigned format_terminal_lines(void);
unsigned format_terminal_columns(void);
/* The same for stderr. */
unsigned format_error_columns(void);
/* What doesn't fit is replaced by one character that says so. The text is harmless. */
char *format_cut(const char *text, unsigned columns);

/* A table of cells; the widest columns but the first are cut so that it fits the terminal. Takes copies, prints to stdout. */
typedef struct Table Table;

/* A user's name, or its number if it has none. */
char *format_user(uint64_t uid);

Table *table_new(unsigned n_columns);
Table *table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

void table_add(Table *table, const char *cell);
void table_add_colored(Table *table, Color color, const char *cell);
void table_align_right(Table *table, unsigned column);
/* The headings, NULL for none, are translated here: they are constants, marked for translators. */
void table_print(const Table *table, const char *const *headings);
