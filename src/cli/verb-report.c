/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl report: how a runtime ended, with all that its report says. What came with a later version is shown as it is. */

#include "cli/cli.h"

#include <string.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/pager.h"
#include "cli/parse.h"
#include "cli/report.h"
#include "cli/targets.h"

typedef struct Report {
        const Cli *cli;
        unsigned n_shown;
} Report;

static char *show_value(const json_t *value) {
        _cleanup_free_ char *dump = NULL;

        if (json_is_string(value))
                return g_strdup(json_string_value(value));
        dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        return g_strdup(dump);
}

static char *show_message(const json_t *value) {
        return g_strdup(kinds_text(json_string_value(value) ?: ""));
}

static char *show_usec(const json_t *value) {
        return format_span((uint64_t) json_integer_value(value));
}

static char *show_nsec(const json_t *value) {
        return format_span((uint64_t) json_integer_value(value) / NSEC_PER_USEC);
}

static char *show_size(const json_t *value) {
        return format_size((uint64_t) json_integer_value(value));
}

static char *show_signal(const json_t *value) {
        return signal_name((int) json_integer_value(value));
}

static char *show_user(const json_t *value) {
        return format_user((uint64_t) json_integer_value(value));
}

typedef struct Entry {
        const char *key, *name;
        char *(*show)(const json_t *value);
} Entry;

/* In this order. */
static const Entry entries[] = {
        {"Result", N_("Result"), show_value},
        {"Reason", N_("Reason"), show_value},
        {"Message", N_("Message"), show_message},
        {"Phase", N_("Phase"), show_value},
        {"Step", N_("Step"), show_value},
        {"StepFirstLine", N_("First line"), show_value},
        {"StepLastLine", N_("Last line"), show_value},
        {"ExitCode", N_("Exit code"), show_value},
        {"Signal", N_("Signal"), show_signal},
        {"RequestedBy", N_("Asked for by"), show_value},
        {"RequestedByUID", N_("User"), show_user},
        {"StopStage", N_("Stop stage"), show_value},
        {"Leftovers", N_("Left behind"), show_value},
        {"DurationUSec", N_("Ran for"), show_usec},
        {"CPUUsageNSec", N_("CPU"), show_nsec},
        {"MemoryPeak", N_("Memory"), show_size},
        {"OOMKills", N_("OOM kills"), show_value},
        {"LastLine", N_("Lines"), show_value},
        {"OutputTail", N_("Output"), NULL},
};

static const Entry *find_entry(const char *key) {
        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                if (strcmp(entries[i].key, key) == 0)
                        return &entries[i];
        return NULL;
}

static void print_report(const json_t *facts, const json_t *report) {
        Color color = format_state_color("ended", json_get_string(report, "Result", ""));
        g_autofree char *id = format_harmless(json_get_string(facts, "Id", "?")), *sentence = report_sentence(report);
        uint64_t end = json_get_u64(facts, "EndTimestamp", 0);
        const char *key;
        json_t *value;

        printf("%s%s%s %s: %s\n", format_color(color), format_bullet(), format_color_off(), id, sentence);
        if (end > 0) {
                g_autofree char *when = format_timestamp(end), *ago = format_ago(end), *text = g_strdup_printf("%s; %s", when, ago);

                format_print_fact(_("Ended"), text);
        }
        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                g_autofree char *text = NULL;

                value = json_object_get(report, entries[i].key);
                if (!value || !entries[i].show)
                        continue;
                text = entries[i].show(value);
                format_print_fact(_(entries[i].name), text);
        }
        json_object_foreach((json_t *) report, key, value) if (!find_entry(key)) {
                g_autofree char *name = format_harmless(key), *text = show_value(value);

                format_print_fact(name, text);
        }
        if (*json_get_string(report, "OutputTail", "")) {
                putchar('\n');
                report_print_tail(report, stdout, "");
        }
}

static int report_one(sd_bus *bus, const Target *target, json_t *result, void *userdata) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_t *facts = NULL;
        Report *request = userdata;
        const json_t *report;
        int r;

        r = client_get_properties(bus, target->path, &error, &facts);
        if (r < 0)
                return client_fail(&error, r);
        report = json_object_get(facts, "EndReport");
        if (json_object_size(report) == 0) {
                cli_error(_("The runtime %s has not ended: it is %s. 'runtimectl status %s' shows it, 'runtimectl wait %s' waits for its end."), target->id,
                          json_get_string(facts, "State", "?"), target->id, target->id);
                return EXIT_ERROR;
        }
        (void) json_object_set(result, "EndTimestamp", json_object_get(facts, "EndTimestamp"));
        (void) json_object_set(result, "EndReport", (json_t *) report);
        if (request->cli->json != CLI_JSON_OFF)
                return EXIT_OK;
        if (request->n_shown++ > 0)
                putchar('\n');
        print_report(facts, report);
        return EXIT_OK;
}

int verb_report(Cli *cli, const Verb *verb, int argc, char **argv) {
        Report request = {.cli = cli};

        if (!cli_parse(cli, verb, NULL, NULL, 1, -1, &argc, &argv))
                return EXIT_USAGE;
        pager_open(cli);
        return targets_do(cli, argv + 1, report_one, NULL, &request);
}
