/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl metrics: the service's numbers in the text format that Prometheus scrapes (version 0.0.4). Who watches a service must not start it: if it doesn't
 * run, that is what is told. Values of labels are what the service says, and are made harmless. */

#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/http-request.h"
#include "cli/json.h"
#include "cli/pager.h"
#include "util/names.h"

#define PREFIX "runtime_manager_"
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_PATH "/metrics"

/* A call that starts nobody. */
static int call(sd_bus *bus, const char *path, const char *interface, const char *member, sd_bus_error *reterr, const char *types, uint64_t after,
                sd_bus_message **ret) {
        _cleanup_message_ sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, RM_BUS_NAME, path, interface, member);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, 0);
        if (r >= 0 && strcmp(types, "a{sv}") == 0)
                r = sd_bus_message_append(message, "a{sv}", 0);
        else if (r >= 0 && strcmp(types, "tu") == 0)
                r = sd_bus_message_append(message, "tu", after, 1U);
        return r < 0 ? r : client_send(bus, message, CLIENT_TIMEOUT_DEFAULT, reterr, ret);
}

static void add_family(GString *text, const char *name, const char *type, const char *help) {
        g_string_append_printf(text, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void add_label(GString *text, const char *name, const char *value) {
        g_autofree char *harmless = format_harmless(value);

        g_string_append_printf(text, "%s%s=\"", text->str[text->len - 1] == '{' ? "" : ",", name);
        for (const char *c = harmless; *c; c++) {
                if (*c == '\\' || *c == '"')
                        g_string_append_c(text, '\\');
                g_string_append_c(text, *c);
        }
        g_string_append_c(text, '"');
}

/* Up to two labels; a name that is NULL is none. */
static void add_sample(GString *text, const char *name, const char *label, const char *value, const char *label2, const char *value2, const char *number) {
        g_string_append(text, PREFIX);
        g_string_append(text, name);
        if (label) {
                g_string_append_c(text, '{');
                add_label(text, label, value);
                if (label2)
                        add_label(text, label2, value2);
                g_string_append_c(text, '}');
        }
        g_string_append_printf(text, " %s\n", number);
}

static void add_number(GString *text, const char *name, const char *label, const char *value, const char *label2, const char *value2, uint64_t n) {
        g_autofree char *number = g_strdup_printf("%" PRIu64, n);

        add_sample(text, name, label, value, label2, value2, number);
}

/* `unit` of them are a second. */
static char *seconds(uint64_t n, uint64_t unit) {
        char buffer[G_ASCII_DTOSTR_BUF_SIZE];

        return g_strdup(g_ascii_formatd(buffer, sizeof(buffer), "%.6f", (double) n / (double) unit));
}

static void add_service(GString *text, const json_t *statistics) {
        g_autofree char *since = seconds(json_get_u64(statistics, "Since", 0), G_USEC_PER_SEC),
                        *cpu = seconds(json_get_u64(statistics, "CPUUsageNSec", 0), 1000000000);
        const json_t *value;
        const char *key;

        add_family(text, "start_time_seconds", "gauge", "When the service was started and began to count, in seconds since the epoch.");
        add_sample(text, "start_time_seconds", NULL, NULL, NULL, NULL, since);
        add_family(text, "starts_total", "counter", "Starts of runtimes, restarts too.");
        add_number(text, "starts_total", NULL, NULL, NULL, NULL, json_get_u64(statistics, "Starts", 0));
        add_family(text, "start_refusals_total", "counter", "Starts that were refused because of a limit.");
        add_number(text, "start_refusals_total", NULL, NULL, NULL, NULL, json_get_u64(statistics, "Refusals", 0));
        add_family(text, "ends_total", "counter", "Ends of runtimes, by result.");
        json_object_foreach((json_t *) json_object_get(statistics, "Ends"), key, value)
                add_number(text, "ends_total", "result", key, NULL, NULL, (uint64_t) json_integer_value(value));
        add_family(text, "service_cpu_seconds_total", "counter", "CPU time of the service itself.");
        add_sample(text, "service_cpu_seconds_total", NULL, NULL, NULL, NULL, cpu);
        add_family(text, "service_resident_memory_bytes", "gauge", "Resident memory of the service itself.");
        add_number(text, "service_resident_memory_bytes", NULL, NULL, NULL, NULL, json_get_u64(statistics, "MemoryCurrent", 0));
}

static void add_runtimes(GString *text, const json_t *statistics) {
        const json_t *row;
        size_t i;

        add_family(text, "runtimes", "gauge", "Runtimes by kind and state; those that have ended are kept for a while.");
        json_array_foreach(json_object_get(statistics, "Runtimes"), i, row)
                add_number(text, "runtimes", "kind", json_string_value(json_array_get(row, 0)) ?: "", "state", json_string_value(json_array_get(row, 1)) ?: "",
                           (uint64_t) json_integer_value(json_array_get(row, 2)));
}

/* What each runtime uses: families must be in one piece, so each is gathered apart. */
static const struct {
        const char *name, *type, *help, *key;
        uint64_t unit; /* not 0: seconds, of which the value has so many */
} usage_table[] = {
        {"runtime_cpu_seconds_total", "counter", "CPU time of a runtime.", "CPUUsageNSec", 1000000000},
        {"runtime_memory_bytes", "gauge", "Memory of a runtime.", "MemoryCurrent", 0},
        {"runtime_tasks", "gauge", "Processes and threads of a runtime.", "TasksCurrent", 0},
        {"runtime_oom_kills_total", "counter", "Processes of a runtime that were killed for memory.", "OOMKills", 0},
        {"runtime_output_lines_total", "counter", "Lines that a runtime has printed.", "LastLine", 0},
};

/* NULL: it has ended meanwhile. */
static json_t *read_usage(sd_bus *bus, const char *path) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL, *output = NULL;
        _cleanup_json_ json_t *usage = NULL;
        uint64_t last;

        if (call(bus, path, RM_RUNTIME_INTERFACE, "GetUsage", &error, "", 0, &reply) < 0 || json_read_value(reply, &usage) < 0)
                return NULL;
        if (call(bus, path, RM_RUNTIME_INTERFACE, "ReadOutput", &error, "tu", UINT64_MAX, &output) >= 0 && sd_bus_message_skip(output, "a(tytuay)") >= 0 &&
            sd_bus_message_read(output, "t", &last) >= 0)
                (void) json_object_set_new(usage, "LastLine", json_integer((json_int_t) last));
        return TAKE_PTR(usage);
}

static int add_usage(GString *text, sd_bus *bus, sd_bus_error *reterr) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *list = NULL;
        GString *families[ELEMENTSOF(usage_table)];
        const json_t *row;
        size_t i;
        int r;

        r = call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "ListRuntimes", reterr, "a{sv}", 0, &reply);
        if (r >= 0)
                r = json_read_value(reply, &list);
        if (r < 0)
                return r;
        for (size_t n = 0; n < ELEMENTSOF(usage_table); n++) {
                families[n] = g_string_new(NULL);
                add_family(families[n], usage_table[n].name, usage_table[n].type, usage_table[n].help);
        }
        json_array_foreach(list, i, row) {
                const char *id = json_string_value(json_array_get(row, 0)), *path = json_string_value(json_array_get(row, 1));
                const char *kind = json_get_string(json_array_get(row, 2), "Kind", "");
                _cleanup_json_ json_t *usage = id && path ? read_usage(bus, path) : NULL;

                for (size_t n = 0; usage && n < ELEMENTSOF(usage_table); n++) {
                        uint64_t value = json_get_u64(usage, usage_table[n].key, UINT64_MAX);
                        g_autofree char *number = NULL;

                        if (value == UINT64_MAX)
                                continue;
                        number = usage_table[n].unit != 0 ? seconds(value, usage_table[n].unit) : g_strdup_printf("%" PRIu64, value);
                        add_sample(families[n], usage_table[n].name, "id", id, "kind", kind, number);
                }
        }
        for (size_t n = 0; n < ELEMENTSOF(usage_table); n++) {
                g_string_append_len(text, families[n]->str, (gssize) families[n]->len);
                g_string_free(families[n], TRUE);
        }
        return 0;
}

/* 0, -ENOTCONN if the service doesn't run (text says so), or negative errno, with reterr. */
static int make_text(sd_bus *bus, GString *text, bool runtimes, json_t **ret, sd_bus_error *reterr) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        bool up;
        int r;

        r = call(bus, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "GetStatistics", reterr, "", 0, &reply);
        up = r >= 0;
        if (!up && !client_is_away(reterr))
                return r;
        add_family(text, "up", "gauge", "Whether the service runs.");
        add_number(text, "up", NULL, NULL, NULL, NULL, up);
        if (!up)
                return -ENOTCONN;
        r = json_read_value(reply, ret);
        if (r < 0)
                return r;
        add_service(text, *ret);
        add_runtimes(text, *ret);
        return runtimes ? add_usage(text, bus, reterr) : 0;
}

static int answer_http(Cli *cli, bool runtimes) {
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ json_t *statistics = NULL;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(GString) text = g_string_new(NULL);
        int r, status;
        bool is_head;

        status = http_read_request(STDIN_FILENO, METRICS_PATH, &is_head);
        if (status == 0)
                return EXIT_OK;
        if (status == 200 && client_open(cli, &bus) != EXIT_OK)
                status = 503;
        if (status == 200) {
                r = make_text(bus, text, runtimes, &statistics, &error);
                if (r < 0 && r != -ENOTCONN) {
                        status = 503;
                        client_fail(&error, r);
                }
        }
        if (status == 200)
                return http_answer(status, CONTENT_TYPE, text->str, is_head);
        g_string_printf(text, "%s%s\n", http_status_text(status), status == 404 ? ": the metrics are at " METRICS_PATH : "");
        (void) http_answer(status, "text/plain; charset=utf-8", text->str, is_head);
        /* A client's mistake is none of the unit's. */
        return status == 503 ? EXIT_ERROR : EXIT_OK;
}

int verb_metrics(Cli *cli, const Verb *verb, int argc, char **argv) {
        gboolean runtimes = FALSE, http = FALSE;
        const GOptionEntry entries[] = {
                {"runtimes", 0, 0, G_OPTION_ARG_NONE, &runtimes, N_("What each runtime uses, too: asks for each of them"), NULL},
                {"http", 0, 0, G_OPTION_ARG_NONE, &http, N_("Read a request of HTTP from standard input, and answer it"), NULL},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };
        _cleanup_bus_ sd_bus *bus = NULL;
        _cleanup_json_ json_t *statistics = NULL;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(GString) text = g_string_new(NULL);
        int r;

        if (!cli_parse(cli, verb, entries, NULL, 0, 0, &argc, &argv))
                return EXIT_USAGE;
        if (http)
                return answer_http(cli, runtimes);
        r = client_open(cli, &bus);
        if (r != EXIT_OK)
                return r;
        r = make_text(bus, text, runtimes, &statistics, &error);
        if (r < 0 && r != -ENOTCONN)
                return client_fail(&error, r);
        if (r < 0 && cli->json != CLI_JSON_OFF) {
                cli_error(_("The Runtime Manager isn't running, so it counts nothing. Whatever else it is asked starts it, as 'runtimectl list'."));
                return EXIT_ERROR;
        }
        pager_open(cli);
        if (cli->json != CLI_JSON_OFF)
                json_print(statistics, cli->json);
        else
                fputs(text->str, stdout);
        return EXIT_OK;
}
