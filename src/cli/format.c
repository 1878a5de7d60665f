/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See format.h. Widths are counted in columns of the terminal, not in bytes: descriptions are in all languages. */

#include "cli/format.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/pager.h"

static bool is_direction_control(gunichar c) {
        return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f;
}

/* The length of a sequence that sets colours or the like at the beginning of the text; 0: there is none. */
static size_t color_sequence(const char *text) {
        size_t length;

        if (!g_str_has_prefix(text, "\033["))
                return 0;
        length = strspn(text + 2, "0123456789;:");
        return text[2 + length] == 'm' ? 2 + length + 1 : 0;
}

char *format_harmless(const char *text) {
        g_autofree char *valid = g_utf8_make_valid(text ?: "", -1);
        GString *line = g_string_sized_new(strlen(valid));

        for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);
                size_t length = color_sequence(p);

                if (length > 0)
                        p += length - 1;
                else if (c == '\r')
                        continue;
                else if (c == '\n' || c == '\t' || c == 0x2028 || c == 0x2029)
                        g_string_append_c(line, ' ');
                else if (g_unichar_iscntrl(c) || is_direction_control(c))
                        g_string_append_unichar(line, 0xfffd);
                else
                        g_string_append_unichar(line, c);
        }
        return g_string_free(line, FALSE);
}

char *format_harmless_output(const char *data, size_t size) {
        g_autofree char *valid = g_utf8_make_valid(data, (ssize_t) size);
        GString *line = g_string_sized_new(size);
        bool colored = false;

        for (const char *p = valid; *p;) {
                gunichar c = g_utf8_get_char(p);
                size_t length = color_sequence(p);

                if (length > 0) {
                        g_string_append_len(line, p, (ssize_t) length);
                        p += length;
                        colored = true;
                        continue;
                }
                if (c == '\t' || c == '\r' || !(g_unichar_iscntrl(c) || is_direction_control(c)))
                        g_string_append_unichar(line, c);
                else
                        g_string_append_unichar(line, 0xfffd);
                p = g_utf8_next_char(p);
        }
        /* What comes behind this line is not of this colour. */
        if (colored)
                g_string_append(line, "\033[0m");
        return g_string_free(line, FALSE);
}

static struct tm local_time(uint64_t realtime_usec) {
        time_t seconds = (time_t) (realtime_usec / USEC_PER_SEC);
        struct tm tm = {};

        (void) localtime_r(&seconds, &tm);
        return tm;
}

/* The days are English, as systemd has them, so that the whole can be given back to --since. */
char *format_timestamp(uint64_t realtime_usec) {
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        struct tm tm = local_time(realtime_usec);
        char text[128];

        return strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm) > 0 ? g_strdup_printf("%s %s", days[tm.tm_wday], text) : g_strdup("?");
}

char *format_clock(uint64_t realtime_usec) {
        struct tm tm = local_time(realtime_usec);

        return g_strdup_printf("%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned) (realtime_usec % USEC_PER_SEC / USEC_PER_MSEC));
}

char *format_span(uint64_t usec) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                {"d", 86400 * USEC_PER_SEC},
                {"h", 3600 * USEC_PER_SEC},
                {"min", 60 * USEC_PER_SEC},
                {"s", USEC_PER_SEC},
        };
        GString *text;
        unsigned n = 0;

        if (usec == USEC_INFINITY)
                return g_strdup("infinity");
        if (usec < USEC_PER_MSEC)
                return g_strdup_printf("%" G_GUINT64_FORMAT "us", usec);
        if (usec < USEC_PER_SEC)
                return g_strdup_printf("%" G_GUINT64_FORMAT "ms", usec / USEC_PER_MSEC);
        if (usec < 60 * USEC_PER_SEC)
                return g_strdup_printf("%" G_GUINT64_FORMAT ".%03us", usec / USEC_PER_SEC, (unsigned) (usec % USEC_PER_SEC / USEC_PER_MSEC));

        text = g_string_new(NULL);
        for (size_t i = 0; i < ELEMENTSOF(units) && n < 2; i++) {
                uint64_t count = usec / units[i].usec;

                if (count == 0 && n == 0)
                        continue;
                if (count > 0)
                        g_string_append_printf(text, "%s%" G_GUINT64_FORMAT "%s", n > 0 ? " " : "", count, units[i].name);
                usec %= units[i].usec;
                n++;
        }
        return g_string_free(text, FALSE);
}

char *format_ago(uint64_t realtime_usec) {
        uint64_t now = (uint64_t) g_get_real_time();
        g_autofree char *span = NULL;

        if (realtime_usec >= now)
                return g_strdup(_("now"));
        now -= realtime_usec;
        span = format_span(now >= USEC_PER_SEC && now < 60 * USEC_PER_SEC ? now / USEC_PER_SEC * USEC_PER_SEC : now);
        if (g_str_has_suffix(span, ".000s"))
                strcpy(span + strlen(span) - 5, "s");
        return g_strdup_printf(_("%s ago"), span);
}

char *format_size(uint64_t bytes) {
        static const char units[] = "BKMGTPE";
        double value = (double) bytes;
        unsigned i = 0;

        if (bytes == UINT64_MAX)
                return g_strdup("infinity");
        while (value >= 1024 && i < sizeof(units) - 2) {
                value /= 1024;
                i++;
        }
        return i == 0 ? g_strdup_printf("%" G_GUINT64_FORMAT "B", bytes) : g_strdup_printf("%.1f%c", value, units[i]);
}

static unsigned char_width(gunichar c) {
        return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

static unsigned text_width(const char *text) {
        unsigned width = 0;

        for (; *text; text = g_utf8_next_char(text))
                width += char_width(g_utf8_get_char(text));
        return width;
}

void format_pad(GString *line, const char *text, unsigned columns) {
        unsigned width = text_width(text);

        g_string_append(line, text);
        do
                g_string_append_c(line, ' ');
        while (++width < columns);
}

static void print_spaces(unsigned n) {
        for (; n > 0; n--)
                putchar(' ');
}

/* All 0 if there is none. */
static struct winsize terminal_size(void) {
        struct winsize size = {};

        /* A pager has stdout, and the terminal is then where we complain. */
        if (pager_is_terminal() && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
                (void) ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        return size;
}

unsigned format_terminal_columns(void) {
        return terminal_size().ws_col ?: UINT_MAX;
}

/* Whether a line may end before this character. Scripts without spaces have wide characters. */
static bool is_break(gunichar before, gunichar c) {
        return c == ' ' || (before != ' ' && (g_unichar_iswide(before) || g_unichar_iswide(c)) && !g_unichar_ispunct(c));
}

/* The end of what fits into so many columns; a word that is longer goes over. */
static const char *find_line_end(const char *text, unsigned columns) {
        const char *end = NULL, *p = text;
        unsigned width = 0;
        gunichar before = ' ';

        for (; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (p > text && is_break(before, c))
                        end = p;
                width += char_width(c);
                if (width > columns && end)
                        return end;
                before = c;
        }
        return p;
}

void format_print_wrapped(const char *text, unsigned column, unsigned indent) {
        unsigned columns = format_terminal_columns();

        for (;;) {
                const char *end = find_line_end(text, columns > column ? columns - column : 1);

                printf("%.*s", (int) (end - text), text);
                text = end + strspn(end, " ");
                if (*text == '\0')
                        return;
                putchar('\n');
                print_spaces(indent);
                column = indent;
        }
}

void format_print_name(const char *name) {
        print_spaces(FACT_COLUMNS - MIN(FACT_COLUMNS, text_width(name)));
        printf("%s:", name);
}

void format_print_fact(const char *name, const char *value) {
        g_autofree char *text = format_harmless(value);

        if (!*text)
                return;
        format_print_name(name);
        putchar(' ');
        format_print_wrapped(text, FACT_COLUMNS + 2, FACT_COLUMNS + 2);
        putchar('\n');
}

static bool stdout_has_color(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return pager_is_terminal() && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
}

void format_print_file(const char *name, const char *path, bool here) {
        g_autofree char *text = format_harmless(path), *uri = NULL;

        if (here && stdout_has_color() && *path == '/')
                uri = g_filename_to_uri(path, g_get_host_name(), NULL);
        if (!uri) {
                format_print_fact(name, path);
                return;
        }
        format_print_name(name);
        printf(" \033]8;;%s\033\\%s\033]8;;\033\\\n", uri, text);
}

const char *format_color(Color color) {
        static const char *const sequences[_COLOR_MAX] = {
                [COLOR_NONE] = "",          [COLOR_BOLD] = "\033[1m", [COLOR_DIM] = "\033[2m", [COLOR_GREEN] = "\033[1;32m", [COLOR_YELLOW] = "\033[1;33m",
                [COLOR_RED] = "\033[1;31m",
        };

        return stdout_has_color() ? sequences[color] : "";
}

const char *format_color_off(void) {
        return stdout_has_color() ? "\033[0m" : "";
}

Color format_state_color(const char *state, const char *result) {
        if (g_str_equal(state, "ready"))
                return COLOR_GREEN;
        if (!g_str_equal(state, "ended"))
                return COLOR_YELLOW;
        /* A list doesn't know results: what has ended is then merely past. */
        return !result || g_str_equal(result, "success") || g_str_equal(result, "stopped") ? COLOR_DIM : COLOR_RED;
}

const char *format_bullet(void) {
        return g_get_charset(NULL) ? "●" : "*";
}

typedef struct Cell {
        char *text;
        Color color;
} Cell;

/* A column is never made narrower, whatever the terminal: what is left says nothing any more. */
#define COLUMN_MIN 8

struct Table {
        unsigned n_columns;
        bool *right; /* by column */
        GArray *cells;
};

static void cell_clear(void *data) {
        g_free(((Cell *) data)->text);
}

char *format_user(uint64_t uid) {
        const struct passwd *entry = getpwuid((uid_t) uid);

        return entry ? g_strdup(entry->pw_name) : g_strdup_printf("%" G_GUINT64_FORMAT, uid);
}

Table *table_new(unsigned n_columns) {
        Table *table = g_new0(Table, 1);

        table->n_columns = n_columns;
        table->right = g_new0(bool, n_columns);
        table->cells = g_array_new(FALSE, FALSE, sizeof(Cell));
        g_array_set_clear_func(table->cells, cell_clear);
        return table;
}

Table *table_free(Table *table) {
        if (!table)
                return NULL;
        g_array_unref(table->cells);
        g_free(table->right);
        g_free(table);
        return NULL;
}

void table_add_colored(Table *table, Color color, const char *cell) {
        Cell new_cell = {
                .text = format_harmless(cell && *cell ? cell : "-"),
                .color = color,
        };

        g_array_append_val(table->cells, new_cell);
}

void table_add(Table *table, const char *cell) {
        table_add_colored(table, COLOR_NONE, cell);
}

void table_align_right(Table *table, unsigned column) {
        table->right[column] = true;
}

unsigned format_terminal_lines(void) {
        return terminal_size().ws_row ?: UINT_MAX;
}

unsigned format_error_columns(void) {
        struct winsize size = {};

        (void) ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        return size.ws_col ?: UINT_MAX;
}

char *format_cut(const char *text, unsigned columns) {
        const char *p = text;
        unsigned width = 0;

        if (text_width(text) <= columns)
                return g_strdup(text);
        for (; *p && width + char_width(g_utf8_get_char(p)) < columns; p = g_utf8_next_char(p))
                width += char_width(g_utf8_get_char(p));
        return g_strdup_printf("%.*s%s", (int) (p - text), text, g_get_charset(NULL) ? "…" : ">");
}

static void print_cell(const Cell *cell, unsigned width, bool right, bool last) {
        unsigned spaces = width - MIN(width, text_width(cell->text));
        g_autofree char *text = format_cut(cell->text, width);

        if (right)
                print_spaces(spaces);
        fputs(format_color(cell->color), stdout);
        fputs(text, stdout);
        if (cell->color != COLOR_NONE)
                fputs(format_color_off(), stdout);
        if (!last)
                print_spaces((right ? 0 : spaces) + 1);
}

/* Takes from the widest until all fit, but never from the first (which is what a person goes on with), and leaves each enough to be recognized. */
static void fit_columns(unsigned *widths, unsigned n, unsigned columns) {
        unsigned total = n - 1;

        for (unsigned i = 0; i < n; i++)
                total += widths[i];
        while (total > columns) {
                unsigned widest = 0;

                for (unsigned i = 1; i < n; i++)
                        if (widths[i] > COLUMN_MIN && (widest == 0 || widths[i] > widths[widest]))
                                widest = i;
                if (widest == 0)
                        return;
                widths[widest]--;
                total--;
        }
}

void table_print(const Table *table, const char *const *headings) {
        unsigned n = table->n_columns;
        g_autofree unsigned *widths = g_new0(unsigned, n);

        for (unsigned i = 0; i < n; i++) {
                widths[i] = headings ? text_width(_(headings[i])) : 0;
                for (unsigned row = i; row < table->cells->len; row += n)
                        widths[i] = MAX(widths[i], text_width(g_array_index(table->cells, Cell, row).text));
        }
        fit_columns(widths, n, format_terminal_columns());
        for (unsigned i = 0; headings && i < n; i++) {
                Cell heading = {.text = _(headings[i]), .color = COLOR_BOLD};

                print_cell(&heading, widths[i], table->right[i], i == n - 1);
        }
        if (headings)
                putchar('\n');
        for (unsigned i = 0; i < table->cells->len; i++) {
                print_cell(&g_array_index(table->cells, Cell, i), widths[i % n], table->right[i % n], i % n == n - 1);
                if (i % n == n - 1)
                        putchar('\n');
        }
}
