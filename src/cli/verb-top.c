/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl top: what the runtimes use just now, on a terminal as a table that is kept up to date, else as one table (or JSON object) after the other. */

#include "cli/cli.h"

#include <signal.h>
#include <string.h>

#include <systemd/sd-event.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/parse.h"
#include "cli/screen.h"
#include "cli/usage.h"

enum {
        DELAY_MIN_USEC = 100 * USEC_PER_MSEC,
        LINES_AROUND = 4, /* of the screen, for what isn't a runtime */
};

typedef struct Order {
        const char *name;
        char key;
        GCompareFunc compare; /* first comes who uses most */
} Order;

typedef struct Top {
        const Cli *cli;
        sd_bus *bus;
        sd_event *event;
        Usage *usage;
        sd_event_source *timer;

        bool batch;
        const Order *order;
        bool reverse;
        uint64_t delay_usec;
        int iterations; /* left; negative: no end */
        unsigned n_rounds;
        bool failed; /* the last round came to nothing */
} Top;

static int compare_ids(const void *a, const void *b) {
        return strcmp((*(UsageRow *const *) a)->id, (*(UsageRow *const *) b)->id);
}

static int compare_rates(double x, double y, const void *a, const void *b) {
        return x > y ? -1 : x < y ? 1 : compare_ids(a, b);
}

static int compare_numbers(uint64_t x, uint64_t y, const void *a, const void *b) {
        /* What isn't known is UINT64_MAX, and becomes 0. */
        return x + 1 > y + 1 ? -1 : x + 1 < y + 1 ? 1 : compare_ids(a, b);
}

static int compare_cpu(const void *a, const void *b) {
        return compare_rates((*(UsageRow *const *) a)->cpu_percent, (*(UsageRow *const *) b)->cpu_percent, a, b);
}

static int compare_output(const void *a, const void *b) {
        return compare_rates((*(UsageRow *const *) a)->lines_per_second, (*(UsageRow *const *) b)->lines_per_second, a, b);
}

static int compare_memory(const void *a, const void *b) {
        return compare_numbers((*(UsageRow *const *) a)->memory, (*(UsageRow *const *) b)->memory, a, b);
}

static int compare_tasks(const void *a, const void *b) {
        return compare_numbers((*(UsageRow *const *) a)->tasks, (*(UsageRow *const *) b)->tasks, a, b);
}

static const Order orders[] = {
        {"cpu", 'c', compare_cpu}, {"memory", 'm', compare_memory}, {"tasks", 't', compare_tasks}, {"output", 'o', compare_output}, {"id", 'i', compare_ids},
};

static const Order *find_order(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(orders); i++)
                if (strcmp(orders[i].name, name) == 0)
                        return &orders[i];
        return NULL;
}

static GPtrArray *sorted_rows(const Top *top) {
        GPtrArray *rows = usage_rows(top->usage);

        g_ptr_array_sort(rows, top->order->compare);
        for (unsigned i = 0; top->reverse && i < rows->len / 2; i++) {
                void *other = rows->pdata[i];

                rows->pdata[i] = rows->pdata[rows->len - 1 - i];
                rows->pdata[rows->len - 1 - i] = other;
        }
        return rows;
}

static json_t *json_from_number(uint64_t number) {
        return number == UINT64_MAX ? json_null() : json_integer((json_int_t) number);
}

static json_t *json_from_rate(double rate) {
        return rate < 0 ? json_null() : json_real(rate);
}

static void print_json(const Top *top, const GPtrArray *rows) {
        _cleanup_json_ json_t *round = NULL;
        json_t *array = json_array();

        for (unsigned i = 0; i < rows->len; i++) {
                const UsageRow *row = rows->pdata[i];

                (void) json_array_append_new(array,
                                             json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "Id", row->id, "Object", row->path,
                                                       "Kind", row->kind, "State", row->state, "Description", row->description, "UID", (json_int_t) row->uid,
                                                       "CPUPercent", json_from_rate(row->cpu_percent), "CPUUsageNSec", json_from_number(row->cpu_nsec),
                                                       "MemoryCurrent", json_from_number(row->memory), "TasksCurrent", json_from_number(row->tasks),
                                                       "LinesPerSecond", json_from_rate(row->lines_per_second), "LastLine", json_from_number(row->last_line)));
        }
        round = json_pack("{s:I, s:o}", "Timestamp", (json_int_t) g_get_real_time(), "Runtimes", array);
        json_print(round, top->cli->json);
}

static void add_row(Table *table, const UsageRow *row, bool users) {
        g_autofree char *user = format_user(row->uid), *memory = row->memory != UINT64_MAX ? format_size(row->memory) : NULL;
        g_autofree char *cpu = row->cpu_percent >= 0 ? g_strdup_printf("%.1f", row->cpu_percent) : NULL;
        g_autofree char *tasks = row->tasks != UINT64_MAX ? g_strdup_printf("%" G_GUINT64_FORMAT, row->tasks) : NULL;
        g_autofree char *lines = row->lines_per_second >= 0 ? g_strdup_printf("%.0f", row->lines_per_second) : NULL;

        table_add(table, row->id);
        if (users)
                table_add(table, user);
        table_add(table, row->kind);
        table_add_colored(table, format_state_color(row->state, NULL), row->state);
        table_add(table, cpu);
        table_add(table, memory);
        table_add(table, tasks);
        table_add(table, lines);
        table_add(table, row->description);
}

static void print_table(const Top *top, const GPtrArray *rows, unsigned n_rows) {
        static const char *const with_users[] = {N_("ID"),     N_("USER"),  N_("KIND"),    N_("STATE"),      N_("CPU%"),
                                                 N_("MEMORY"), N_("TASKS"), N_("LINES/S"), N_("DESCRIPTION")};
        static const char *const without[] = {N_("ID"), N_("KIND"), N_("STATE"), N_("CPU%"), N_("MEMORY"), N_("TASKS"), N_("LINES/S"), N_("DESCRIPTION")};
        bool users = cli_is_system(top->cli);
        unsigned n_columns = users ? ELEMENTSOF(with_users) : ELEMENTSOF(without);
        g_autoptr(Table) table = table_new(n_columns);

        for (unsigned column = n_columns - 5; column < n_columns - 1; column++)
                table_align_right(table, column);
        for (unsigned i = 0; i < n_rows; i++)
                add_row(table, rows->pdata[i], users);
        table_print(table, top->cli->no_legend ? NULL : users ? with_users : without);
}

static void add_known(uint64_t *sum, uint64_t number, bool *any) {
        if (number == UINT64_MAX)
                return;
        *sum += number;
        *any = true;
}

/* Of what is known; what isn't known of any is "-". */
static void print_sums(const Top *top, const GPtrArray *rows) {
        uint64_t memory = 0, tasks = 0;
        double cpu = 0, lines = 0;
        bool any_memory = false, any_tasks = false;
        g_autofree char *clock = NULL, *memory_text = NULL, *tasks_text = NULL, *line = NULL, *cut = NULL;

        for (unsigned i = 0; i < rows->len; i++) {
                const UsageRow *row = rows->pdata[i];

                cpu += MAX(row->cpu_percent, 0);
                lines += MAX(row->lines_per_second, 0);
                add_known(&memory, row->memory, &any_memory);
                add_known(&tasks, row->tasks, &any_tasks);
        }
        clock = format_clock((uint64_t) g_get_real_time());
        memory_text = any_memory ? format_size(memory) : g_strdup("-");
        tasks_text = any_tasks ? g_strdup_printf("%" G_GUINT64_FORMAT, tasks) : g_strdup("-");
        line = top->failed ? g_strdup_printf(_("%.8s  the service doesn't answer; this is what it said last"), clock)
                           : g_strdup_printf(ngettext("%.8s  %u runtime: CPU %.1f%%, memory %s, tasks %s, lines %.0f/s",
                                                      "%.8s  %u runtimes: CPU %.1f%%, memory %s, tasks %s, lines %.0f/s", rows->len),
                                             clock, rows->len, cpu, memory_text, tasks_text, lines);
        cut = format_cut(line, format_terminal_columns());
        puts(cut);
}

static void print_keys(const Top *top) {
        g_autofree char *text = g_strdup_printf(_("q: leave; by %s, other order: c m t o i; r: reverse; space: now"), top->order->name);
        g_autofree char *cut = format_cut(text, format_terminal_columns());

        printf("%s%s%s", format_color(COLOR_DIM), cut, format_color_off());
}

/* A line too many, or one that wraps, would scroll the others away. */
static void draw(const Top *top) {
        g_autoptr(GPtrArray) rows = sorted_rows(top);
        unsigned lines = format_terminal_lines();

        screen_clear();
        if (!top->cli->no_legend) {
                print_sums(top, rows);
                putchar('\n');
        }
        print_table(top, rows, MIN(rows->len, lines > LINES_AROUND ? lines - LINES_AROUND : 1));
        if (!top->cli->no_legend)
                print_keys(top);
        fflush(stdout);
}

static void show(Top *top) {
        g_autoptr(GPtrArray) rows = NULL;

        if (!top->batch) {
                draw(top);
                return;
        }
        rows = sorted_rows(top);
        if (top->cli->json != CLI_JSON_OFF)
                print_json(top, rows);
        else {
                if (top->n_rounds > 2)
                        putchar('\n');
                print_table(top, rows, rows->len);
        }
        fflush(stdout);
}

/* Who asked for so many refreshes goes on to read the last. */
static void leave_last(const Top *top) {
        g_autoptr(GPtrArray) rows = sorted_rows(top);

        if (!top->cli->no_legend) {
                print_sums(top, rows);
                putchar('\n');
        }
        print_table(top, rows, rows->len);
}

static void top_exit(Top *top, int code) {
        (void) sd_event_exit(top->event, code);
}

/* What is said on the other screen goes with it. */
static void top_fail(Top *top, const sd_bus_error *error, int r) {
        screen_leave();
        top_exit(top, client_fail(error, r));
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Top *top = userdata;
        int r = usage_ask(top->usage);

        if (r < 0)
                top_fail(top, &SD_BUS_ERROR_NULL, r);
        return 0;
}

static void wait_for_next(Top *top) {
        int r;

        top->timer = sd_event_source_disable_unref(top->timer);
        r = sd_event_add_time_relative(top->event, &top->timer, CLOCK_MONOTONIC, top->delay_usec, 0, on_time, top);
        if (r < 0)
                top_fail(top, &SD_BUS_ERROR_NULL, r);
}

static void on_round(void *userdata) {
        Top *top = userdata;

        top->failed = false;
        top->n_rounds++;
        /* Rates take two rounds. A terminal shows what there is until then, a script gets what it asked for. */
        if (!top->batch || top->n_rounds > 1)
                show(top);
        if (top->n_rounds > 1 && top->iterations > 0 && --top->iterations == 0) {
                top_exit(top, EXIT_OK);
                return;
        }
        wait_for_next(top);
}

/* A service that has gone for a moment is waited for, where somebody watches. */
static void on_failed(const sd_bus_error *error, void *userdata) {
        Top *top = userdata;

        if (top->batch || top->n_rounds == 0 || !client_is_away(error)) {
                top_fail(top, error, 0);
                return;
        }
        top->failed = true;
        draw(top);
        wait_for_next(top);
}

static void on_key(Top *top, char key) {
        if (key == 'q') {
                top_exit(top, EXIT_OK);
                return;
        }
        if (key == 'r')
                top->reverse = !top->reverse;
        for (size_t i = 0; i < ELEMENTSOF(orders); i++)
                if (orders[i].key == key)
                        top->order = &orders[i];
        if (key == ' ')
                (void) on_time(NULL, 0, top);
        draw(top);
}

static int on_keys(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        char keys[16];
        ssize_t n = read(fd, keys, sizeof(keys));

        if (n <= 0)
                top_exit(userdata, EXIT_ERROR);
        for (ssize_t i = 0; i < n; i++)
                on_key(userdata, keys[i]);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Top *top = userdata;

        switch (info->ssi_signo) {
        case SIGWINCH:
                draw(top);
                break;
        case SIGTSTP:
                screen_leave();
                (void) raise(SIGSTOP);
                screen_enter();
                draw(top);
                break;
        case SIGINT:
                top_exit(top, EXIT_OK);
                break;
        default:
                top_exit(top, EXIT_SIGNAL + (int) info->ssi_signo);
        }
        return 0;
}

static int attach_terminal(Top *top) {
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
        sigset_t mask;
        int r = 0;

        sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&mask, signals[i]);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_event_add_signal(top->event, NULL, signals[i], on_signal, top);
        if (r >= 0 && isatty(STDIN_FILENO))
                r = sd_event_add_io(top->event, NULL, STDIN_FILENO, EPOLLIN, on_keys, top);
        return r;
}

static int top_run(Top *top) {
        static const UsageEvents events = {.on_round = on_round, .on_failed = on_failed};
        int r;

        r = client_attach(top->bus, &top->event);
        if (r >= 0 && !top->batch)
                r = attach_terminal(top);
        if (r < 0)
                return client_fail(&SD_BUS_ERROR_NULL, r);
        top->usage = usage_new(top->bus, &events, top);
        r = usage_ask(top->usage);
        if (r >= 0) {
                if (!top->batch)
                        screen_enter();
                r = sd_event_loop(top->event);
        }
        screen_leave();
        if (r == EXIT_OK && !top->batch && top->iterations == 0)
                leave_last(top);
        return r < 0 ? client_fail(&SD_BUS_ERROR_NULL, r) : r;
}

static void top_done(Top *top) {
        sd_event_source_disable_unref(top->timer);
        usage_free(top->usage);
        client_detach(top->bus, top->event);
        cleanup_bus(&top->bus);
}

int verb_top(Cli *cli, const Verb *verb, int argc, char **argv) {
        _cleanup_(top_done) Top top = {.cli = cli, .order = &orders[0], .delay_usec = USEC_PER_SEC, .iterations = -1};
        g_autofree char *order = NULL, *delay = NULL;
        gboolean batch = FALSE;
        const GOptionEntry entries[] = {
                {"iterations", 'n', 0, G_OPTION_ARG_INT, &top.iterations, N_("Leave after N refreshes"), N_("N")},
                {"delay", 'd', 0, G_OPTION_ARG_FILENAME, &delay, N_("Between refreshes, like 500ms; default: 1s"), N_("TIME")},
                {"sort", 's', 0, G_OPTION_ARG_FILENAME, &order, N_("cpu (default), memory, tasks, output or id"), N_("KEY")},
                {"batch", 'b', 0, G_OPTION_ARG_NONE, &batch, N_("One table after the other, as without a terminal"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };
        int r;

        if (!cli_parse(cli, verb, entries, NULL, 0, 0, &argc, &argv))
                return EXIT_USAGE;
        if (delay && (!parse_time(delay, USEC_PER_SEC, &top.delay_usec) || top.delay_usec < DELAY_MIN_USEC || top.delay_usec == USEC_INFINITY))
                return cli_usage_error(verb, _("--delay=%s: it is a time of 100ms or more."), delay);
        if (top.iterations == 0 || top.iterations < -1)
                return cli_usage_error(verb, _("-n needs a number of refreshes."));
        top.order = order ? find_order(order) : top.order;
        if (!top.order)
                return cli_usage_error(verb, _("--sort=%s: it is cpu, memory, tasks, output or id."), order);
        top.batch = batch || cli->json != CLI_JSON_OFF || !screen_is_possible();
        r = client_open(cli, &top.bus);
        return r == EXIT_OK ? top_run(&top) : r;
}
