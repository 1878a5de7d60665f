/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The end report as a dictionary: what isn't known is absent, never 0. */

#include "bus/bus.h"

static int append_string(sd_bus_message *message, const char *key, const char *value) {
        return value ? sd_bus_message_append(message, "{sv}", key, "s", value) : 0;
}

static int append_known(sd_bus_message *message, const char *key, uint64_t value) {
        return value != UINT64_MAX ? sd_bus_message_append(message, "{sv}", key, "t", value) : 0;
}

static int append_cause(sd_bus_message *message, const Report *report) {
        int r;

        r = append_string(message, "Result", result_to_string(report->result));
        if (r >= 0)
                r = append_string(message, "Reason", reason_to_string(report->reason));
        if (r >= 0)
                r = append_string(message, "Message", report->message);
        if (r >= 0)
                r = append_string(message, "Phase", runtime_state_to_string(report->phase));
        if (r >= 0)
                r = append_string(message, "Step", report->step);
        if (r >= 0)
                r = append_known(message, "StepFirstLine", report->step_first_line);
        if (r >= 0)
                r = append_known(message, "StepLastLine", report->step_last_line);
        return r;
}

static int append_circumstances(sd_bus_message *message, const Report *report) {
        int r = 0;

        if (report->has_exit_code)
                r = sd_bus_message_append(message, "{sv}", "ExitCode", "i", (int32_t) report->exit_code);
        if (r >= 0 && report->has_signal)
                r = sd_bus_message_append(message, "{sv}", "Signal", "i", (int32_t) report->signal);
        if (r >= 0)
                r = append_string(message, "RequestedBy", requested_by_to_string(report->requested_by));
        if (r >= 0 && report->requested_by == REQUESTED_BY_CLIENT)
                r = sd_bus_message_append(message, "{sv}", "RequestedByUID", "u", (uint32_t) report->requested_by_uid);
        if (r >= 0)
                r = append_string(message, "StopStage", stop_stage_to_string(report->stop_stage));
        if (r >= 0 && report->has_leftovers)
                r = sd_bus_message_append(message, "{sv}", "Leftovers", "u", report->leftovers);
        return r;
}

static int append_readings(sd_bus_message *message, const Report *report) {
        int r;

        r = append_known(message, "DurationUSec", report->duration_usec);
        if (r >= 0)
                r = append_known(message, "CPUUsageNSec", report->cpu_usage_nsec);
        if (r >= 0)
                r = append_known(message, "MemoryPeak", report->memory_peak);
        if (r >= 0)
                r = append_known(message, "OOMKills", report->oom_kills);
        if (r >= 0)
                r = append_known(message, "LastLine", report->last_line);
        if (r >= 0)
                r = append_string(message, "OutputTail", report->output_tail);
        return r;
}

int bus_append_report(sd_bus_message *message, const Report *report) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        if (report) {
                r = append_cause(message, report);
                if (r >= 0)
                        r = append_circumstances(message, report);
                if (r >= 0)
                        r = append_readings(message, report);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(message);
}
