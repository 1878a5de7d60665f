/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See report.h. Sentences are made from the report's codes, so that they can be translated; where only the service knows
 * what happened, its own message is the sentence. */

#include "cli/report.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/parse.h"

static char *say_success(const json_t *report) {
        return g_strdup(_("It ended with success."));
}

static char *say_exit_code(const json_t *report) {
        return g_strdup_printf(_("It exited with status %ju."), json_get_u64(report, "ExitCode", 1));
}

static char *say_signal(const json_t *report) {
        g_autofree char *name = signal_name((int) json_get_u64(report, "Signal", 0));

        return g_strdup_printf(_("It was ended by %s."), name);
}

static char *say_core_dump(const json_t *report) {
        g_autofree char *name = signal_name((int) json_get_u64(report, "Signal", 0));

        return g_strdup_printf(_("It was ended by %s and dumped core."), name);
}

static char *say_oom_kill(const json_t *report) {
        return g_strdup(_("It was killed because there was no memory left for it."));
}

static char *say_timeout(const json_t *report) {
        return g_strdup(_("Its time was up (RuntimeMaxUSec), so it was stopped."));
}

static char *say_late(const json_t *report) {
        return g_strdup(_("It was not ready in time (TimeoutHandshakeUSec), so it was stopped; --timeout-handshake= gives it longer."));
}

static char *say_stopped(const json_t *report) {
        const char *by = json_get_string(report, "RequestedBy", "");

        if (strcmp(by, "client") == 0 && json_object_get(report, "RequestedByUID"))
                return g_strdup_printf(_("It was stopped at the request of user %ju."), json_get_u64(report, "RequestedByUID", 0));
        if (strcmp(by, "system") == 0)
                return g_strdup(_("It was stopped by systemd."));
        if (strcmp(by, "limit") == 0)
                return g_strdup(_("It was stopped because of a limit."));
        return g_strdup(_("It was stopped."));
}

typedef struct Ending {
        const char *result;
        const char *reason;                 /* NULL: any */
        int exit_code;                      /* if the report has no ExitCode or Signal that counts */
        bool own;                           /* its own exit status or signal counts */
        char *(*say)(const json_t *report); /* NULL: in the service's words */
} Ending;

static const Ending endings[] = {
        {"success", NULL, EXIT_OK, false, say_success},
        {"exit-code", NULL, EXIT_ERROR, true, say_exit_code},
        {"signal", NULL, EXIT_SIGNAL, true, say_signal},
        {"core-dump", NULL, EXIT_SIGNAL, true, say_core_dump},
        {"oom-kill", NULL, EXIT_OUT_OF_MEMORY, false, say_oom_kill},
        {"timeout", "handshake-deadline", EXIT_HANDSHAKE_FAILED, false, say_late},
        {"timeout", NULL, EXIT_RUNTIME_TIMEOUT, false, say_timeout},
        {"start-failed", NULL, EXIT_START_FAILED, false, NULL},
        {"setup-failed", NULL, EXIT_SETUP_FAILED, false, NULL},
        {"handshake-failed", NULL, EXIT_HANDSHAKE_FAILED, false, NULL},
        {"stopped", NULL, EXIT_STOPPED, false, say_stopped},
        {"lost", NULL, EXIT_LOST, false, NULL},
};

static const Ending *find_ending(const json_t *report) {
        const char *result = json_get_string(report, "Result", ""), *reason = json_get_string(report, "Reason", "");

        for (size_t i = 0; i < ELEMENTSOF(endings); i++)
                if (strcmp(endings[i].result, result) == 0 && (!endings[i].reason || strcmp(endings[i].reason, reason) == 0))
                        return &endings[i];
        return NULL;
}

int report_exit_code(const json_t *report) {
        const Ending *ending = find_ending(report);

        if (!ending)
                return EXIT_UNKNOWN_END;
        if (ending->own && json_object_get(report, "Signal"))
                return EXIT_SIGNAL + (int) json_get_u64(report, "Signal", 0);
        if (ending->own && json_object_get(report, "ExitCode"))
                return (int) json_get_u64(report, "ExitCode", EXIT_ERROR);
        return ending->exit_code;
}

bool report_is_early(const json_t *report) {
        static const char *const early[] = {"starting", "preparing", "connecting", "initializing", NULL};

        return g_strv_contains(early, json_get_string(report, "Phase", ""));
}

char *report_sentence(const json_t *report) {
        const Ending *ending = find_ending(report);
        const char *message = json_get_string(report, "Message", "");

        if (ending && ending->say)
                return ending->say(report);
        if (*message)
                return format_harmless(kinds_text(message));
        return g_strdup_printf(_("It ended: %s."), json_get_string(report, "Result", _("how is not known")));
}

static void add_line(GPtrArray *lines, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_line(GPtrArray *lines, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        g_ptr_array_add(lines, g_strdup_vprintf(format, arguments));
        va_end(arguments);
}

static void add_consumed(GPtrArray *lines, const json_t *report) {
        uint64_t duration = json_get_u64(report, "DurationUSec", USEC_INFINITY), cpu = json_get_u64(report, "CPUUsageNSec", UINT64_MAX);
        uint64_t peak = json_get_u64(report, "MemoryPeak", UINT64_MAX);
        g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *text = NULL, *duration_text = format_span(duration), *cpu_text = format_span(cpu / NSEC_PER_USEC), *peak_text = format_size(peak);

        if (duration != USEC_INFINITY)
                add_line(parts, _("ran %s"), duration_text);
        if (cpu != UINT64_MAX)
                add_line(parts, _("%s of CPU time"), cpu_text);
        if (peak != UINT64_MAX)
                add_line(parts, _("memory peak %s"), peak_text);
        if (parts->len == 0)
                return;
        g_ptr_array_add(parts, NULL);
        text = g_strjoinv(", ", (char **) parts->pdata);
        add_line(lines, "%s", text);
}

GPtrArray *report_details(const json_t *report) {
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
        const char *stage = json_get_string(report, "StopStage", ""), *step = json_get_string(report, "Step", "");
        uint64_t leftovers = json_get_u64(report, "Leftovers", 0), kills = json_get_u64(report, "OOMKills", 0);

        add_line(lines, _("%s (%s), while it was %s"), json_get_string(report, "Result", "?"), json_get_string(report, "Reason", "?"),
                 json_get_string(report, "Phase", "?"));
        if (*step)
                add_line(lines, _("in the setup step %s"), step);
        if (strcmp(stage, "terminate") == 0)
                add_line(lines, _("it had to be sent SIGTERM"));
        else if (strcmp(stage, "kill") == 0)
                add_line(lines, _("it had to be killed"));
        if (leftovers > 0)
                add_line(lines, ngettext("it left %ju process behind, which was stopped", "it left %ju processes behind, which were stopped", leftovers),
                         leftovers);
        if (kills > 0)
                add_line(lines, ngettext("%ju process was killed for memory", "%ju processes were killed for memory", kills), kills);
        add_consumed(lines, report);
        return lines;
}

void report_print_tail(const json_t *report, FILE *file, const char *indent) {
        g_autofree char *tail = g_strdup(json_get_string(report, "OutputTail", ""));
        g_auto(GStrv) lines = NULL;

        g_strchomp(tail);
        if (!*tail)
                return;
        lines = g_strsplit(tail, "\n", -1);
        for (char **line = lines; *line; line++) {
                g_autofree char *text = format_harmless(*line);

                fprintf(file, "%s%s\n", indent, text);
        }
}
