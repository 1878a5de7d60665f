/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl status: all there is to know about a runtime on one page, in the manner of systemctl. */

#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/facts.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/pager.h"
#include "cli/records.h"
#include "cli/report.h"
#include "cli/targets.h"
#include "util/names.h"

typedef struct Status {
        Cli *cli;
        int n_lines;
        unsigned n_shown;
        json_t *kinds; /* read when first needed */
} Status;

static void print_fact(const char *name, const char *format, ...) _printf_(2, 3);
static void print_fact(const char *name, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        format_print_fact(name, text);
}

static void print_state(const json_t *facts) {
        const char *state = json_get_string(facts, "State", "?"), *step = json_get_string(facts, "Step", "");
        const char *key = strcmp(state, "ended") == 0 ? "EndTimestamp" : strcmp(state, "ready") == 0 ? "ReadyTimestamp" : NULL;
        uint64_t since = json_get_u64(facts, key ?: "StartTimestamp", 0), deadline = json_get_u64(facts, "Deadline", USEC_INFINITY);
        Color color = format_state_color(state, json_get_string(json_object_get(facts, "EndReport"), "Result", ""));
        g_autofree char *text = format_harmless(state), *when = format_timestamp(since), *ago = format_ago(since);

        format_print_name(_("State"));
        printf(" %s%s%s", format_color(color), text, format_color_off());
        if (*step) {
                g_autofree char *step_text = format_harmless(step);

                printf(" (%s)", step_text);
        }
        if (since > 0)
                printf(key ? _(" since %s; %s") : _("; started %s; %s"), when, ago);
        if (deadline != USEC_INFINITY && strcmp(state, "ended") != 0) {
                g_autofree char *left = format_span(facts_usec_until(deadline));

                printf(_("; %s left for this"), left);
        }
        putchar('\n');
}

static void print_labels(const json_t *facts) {
        GString *text = g_string_new(NULL);
        const char *key;
        json_t *value;

        json_object_foreach(json_object_get(facts, "Labels"), key, value)
                g_string_append_printf(text, "%s%s=%s", text->len > 0 ? ", " : "", key, json_string_value(value) ?: "");
        format_print_fact(_("Labels"), text->str);
        g_string_free(text, TRUE);
}

static void print_limits(const json_t *facts) {
        g_autofree char *text = facts_limits(json_object_get(facts, "Limits"));

        format_print_fact(_("Limits"), text);
}

static void print_usage(const json_t *usage) {
        uint64_t memory = json_get_u64(usage, "MemoryCurrent", UINT64_MAX), peak = json_get_u64(usage, "MemoryPeak", UINT64_MAX);
        uint64_t tasks = json_get_u64(usage, "TasksCurrent", UINT64_MAX), cpu = json_get_u64(usage, "CPUUsageNSec", UINT64_MAX);
        uint64_t in = json_get_u64(usage, "IOReadBytes", UINT64_MAX), out = json_get_u64(usage, "IOWriteBytes", UINT64_MAX);
        g_autofree char *memory_text = format_size(memory), *peak_text = format_size(peak), *in_text = format_size(in), *out_text = format_size(out);
        g_autofree char *cpu_text = format_span(cpu / NSEC_PER_USEC);
        uint64_t kills = json_get_u64(usage, "OOMKills", 0);

        if (memory != UINT64_MAX)
                print_fact(_("Memory"), peak != UINT64_MAX ? _("%s (peak: %s)") : "%s", memory_text, peak_text);
        if (tasks != UINT64_MAX)
                print_fact(_("Tasks"), "%ju", tasks);
        if (cpu != UINT64_MAX)
                print_fact(_("CPU"), "%s", cpu_text);
        if (in != UINT64_MAX && out != UINT64_MAX)
                print_fact(_("IO"), _("%s read, %s written"), in_text, out_text);
        if (kills > 0)
                print_fact(_("OOM"), ngettext("%ju process was killed for memory", "%ju processes were killed for memory", kills), kills);
}

static void print_report(const json_t *report) {
        g_autofree char *sentence = NULL;
        g_autoptr(GPtrArray) details = NULL;

        if (json_object_size(report) == 0)
                return;
        sentence = report_sentence(report);
        details = report_details(report);
        format_print_fact(_("End"), sentence);
        for (unsigned i = 0; i < details->len; i++) {
                g_autofree char *text = format_harmless(details->pdata[i]);

                printf("%*s%s\n", (int) FACT_COLUMNS + 2, "", text);
        }
}

/* With its file, if there still is one of that name. */
static void print_kind(const Status *status, const char *name) {
        const json_t *kind;
        size_t i;

        format_print_fact(_("Kind"), name);
        json_array_foreach(status->kinds, i, kind) if (g_str_equal(json_get_string(kind, "Name", ""), name) && *json_get_string(kind, "Path", ""))
                format_print_file(_("Kind file"), json_get_string(kind, "Path", ""), cli_is_here(status->cli));
}

static void print_facts(const Status *status, const json_t *facts, const json_t *usage) {
        const char *state = json_get_string(facts, "State", "?");
        const json_t *report = json_object_get(facts, "EndReport");
        Color color = format_state_color(state, json_get_string(report, "Result", ""));
        g_autofree char *id = format_harmless(json_get_string(facts, "Id", "?")), *description = format_harmless(json_get_string(facts, "Description", ""));
        uint64_t pid = json_get_u64(facts, "MainPID", 0), uid = json_get_u64(facts, "UID", getuid());
        g_autofree char *user = uid != getuid() ? format_user(uid) : NULL;

        printf("%s%s%s %s%s%s\n", format_color(color), format_bullet(), format_color_off(), id, *description ? " - " : "", description);
        print_state(facts);
        format_print_fact(_("User"), user ?: "");
        print_kind(status, json_get_string(facts, "Kind", ""));
        format_print_fact(_("Status"), json_get_string(facts, "StatusText", ""));
        format_print_fact(_("Unit"), json_get_string(facts, "Unit", ""));
        format_print_fact(_("CGroup"), json_get_string(facts, "ControlGroup", ""));
        if (pid > 0)
                print_fact(_("Main PID"), "%ju", pid);
        format_print_fact(_("Node"), json_get_string(facts, "Node", ""));
        print_labels(facts);
        print_limits(facts);
        print_usage(usage);
        print_report(report);
}

static int print_lines(sd_bus *bus, const char *path, uint64_t n_lines, sd_bus_error *reterr) {
        uint64_t after, last;
        bool more = true, any = false;
        int r;

        r = records_find_tail(bus, path, n_lines, reterr, &after);
        if (r < 0)
                return r;
        while (more) {
                _cleanup_message_ sd_bus_message *reply = NULL;
                uint64_t before = after;
                Record record;

                r = client_call(bus, path, RM_RUNTIME_INTERFACE, "ReadOutputText", CLIENT_TIMEOUT_DEFAULT, reterr, &reply, "tu", after, 0);
                if (r >= 0)
                        r = records_enter(reply, true);
                if (r < 0)
                        return r;
                while ((r = record_read(reply, true, &record)) > 0) {
                        g_autofree char *text = format_harmless(record.data), *clock = format_clock(record.realtime_usec);

                        after = record.number;
                        printf("%s%s%s%s %s: %s\n", any ? "" : "\n", format_color(COLOR_DIM), clock, format_color_off(), record_stream_to_string(record.stream),
                               text);
                        any = true;
                }
                if (r >= 0)
                        r = records_leave(reply, &last, &more);
                if (r < 0)
                        return r;
                if (after == before)
                        break;
        }
        return 0;
}

/* Absent when it has no cgroup. */
static int read_usage(sd_bus *bus, const char *path, sd_bus_error *reterr, json_t **ret) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = client_call(bus, path, RM_RUNTIME_INTERFACE, "GetUsage", CLIENT_TIMEOUT_DEFAULT, &error, &reply, NULL);
        if (r >= 0)
                return json_read_value(reply, ret);
        if (sd_bus_error_has_name(&error, RM_ERROR_BAD_STATE))
                return 0;
        return sd_bus_error_copy(reterr, &error);
}

static int show_one(sd_bus *bus, const Target *target, json_t *result, void *userdata) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *facts = NULL, *usage = NULL;
        Status *status = userdata;
        int r;

        r = client_get_properties(bus, target->path, &error, &facts);
        if (r >= 0)
                r = read_usage(bus, target->path, &error, &usage);
        if (r < 0)
                return client_fail(&error, r);
        if (status->cli->json != CLI_JSON_OFF) {
                (void) json_object_update(result, facts);
                if (usage)
                        (void) json_object_set(result, "Usage", usage);
                return EXIT_OK;
        }
        if (!status->kinds) {
                r = kinds_read(bus, &status->kinds);
                if (r != EXIT_OK)
                        return r;
        }
        if (status->n_shown++ > 0)
                putchar('\n');
        print_facts(status, facts, usage);
        r = status->n_lines > 0 ? print_lines(bus, target->path, (uint64_t) status->n_lines, &error) : 0;
        return r < 0 ? client_fail(&error, r) : EXIT_OK;
}

int verb_status(Cli *cli, const Verb *verb, int argc, char **argv) {
        Status status = {.cli = cli, .n_lines = 10};
        const GOptionEntry entries[] = {
                {"lines", 'n', 0, G_OPTION_ARG_INT, &status.n_lines, N_("Show the last N lines of output; default: 10"), N_("N")},
                {NULL, 0, 0, 0, NULL, NULL, NULL},
        };
        int r;

        if (!cli_parse(cli, verb, entries, NULL, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        if (status.n_lines < 0)
                return cli_usage_error(verb, _("-n needs a number of lines."));
        pager_open(cli);
        r = targets_do(cli, argv + 1, show_one, NULL, &status);
        json_decref(status.kinds);
        return r;
}
