/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See progress.h. Signals count from the connection that has answered our Subscribe, see follow.c. */

#include "cli/progress.h"

#include <string.h>

#include <systemd/sd-event.h>

#include "cli/format.h"
#include "cli/json.h"
#include "util/names.h"

#define PATIENCE_USEC USEC_PER_SEC       /* before a line is shown */
#define AWAY_USEC (10 * USEC_PER_SEC)    /* how long a service that has gone is waited for */
#define RETRY_USEC (200 * USEC_PER_MSEC) /* how often it is looked for */

typedef struct Progress {
        sd_event *event;
        sd_bus *bus;
        const Target *target;
        const char *until;
        sd_bus_error *reterr;

        sd_bus_slot *match, *call_wait, *call_subscribe, *call_properties;
        sd_event_source *line_timer, *retry_timer, *timeout_timer;
        char *service; /* its unique name; NULL: not known yet */
        json_t *facts; /* properties, those that came so far */
        uint64_t index, total;
        uint64_t begin_usec, away_usec; /* since when it is away; 0: it isn't */
        uint64_t asked_usec;
        bool shown;

        char *state;
        json_t *report;
} Progress;

static uint64_t now_usec(void) {
        return (uint64_t) g_get_monotonic_time();
}

static void progress_exit(Progress *progress, int r) {
        (void) sd_event_exit(progress->event, r);
}

/* The line */

static void append_step(GString *line, const Progress *progress) {
        const char *step = json_get_string(progress->facts, "Step", "");

        if (!*step)
                return;
        g_string_append_printf(line, ": %s", step);
        if (progress->total > 1)
                g_string_append_printf(line, _(" (step %ju of %ju)"), progress->index, progress->total);
}

static void show_line(Progress *progress) {
        GString *line = g_string_new(json_get_string(progress->facts, "State", progress->away_usec > 0 ? _("waiting for the service") : "?"));
        const char *status = json_get_string(progress->facts, "StatusText", "");
        g_autofree char *span = format_span((now_usec() - progress->begin_usec) / USEC_PER_SEC * USEC_PER_SEC), *text = NULL, *cut = NULL;

        append_step(line, progress);
        if (*status)
                g_string_append_printf(line, ": %s", status);
        if (g_str_has_suffix(span, ".000s"))
                strcpy(span + strlen(span) - strlen(".000s"), "s");
        text = format_harmless(line->str);
        cut = format_cut(text, format_error_columns() - (unsigned) strlen(span) - 2);
        fprintf(stderr, "\r\033[K%s, %s", cut, span);
        fflush(stderr);
        progress->shown = true;
        g_string_free(line, TRUE);
}

static void clear_line(Progress *progress) {
        if (progress->shown)
                fputs("\r\033[K", stderr);
        progress->shown = false;
}

static int on_line_time(sd_event_source *source, uint64_t usec, void *userdata) {
        show_line(userdata);
        (void) sd_event_source_set_time_relative(source, USEC_PER_SEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Progress *progress = userdata;
        _cleanup_json_ json_t *changed = NULL;
        uint32_t index, total;
        const char *text;

        if (!progress->service || g_strcmp0(sd_bus_message_get_sender(message), progress->service) != 0)
                return 0;
        if (sd_bus_message_is_signal(message, RM_RUNTIME_INTERFACE, "SetupProgress") && sd_bus_message_read(message, "suu", &text, &index, &total) >= 0) {
                progress->index = index;
                progress->total = total;
        } else if (sd_bus_message_is_signal(message, "org.freedesktop.DBus.Properties", "PropertiesChanged") && sd_bus_message_read(message, "s", &text) >= 0 &&
                   json_read_value(message, &changed) >= 0)
                (void) json_object_update(progress->facts, changed);
        if (progress->shown)
                show_line(progress);
        return 0;
}

static int on_properties(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        _cleanup_json_ json_t *properties = NULL;
        Progress *progress = userdata;

        progress->call_properties = sd_bus_slot_unref(progress->call_properties);
        if (!sd_bus_message_is_method_error(reply, NULL) && json_read_value(reply, &properties) >= 0)
                (void) json_object_update(progress->facts, properties);
        return 0;
}

static int on_subscribed(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Progress *progress = userdata;

        progress->call_subscribe = sd_bus_slot_unref(progress->call_subscribe);
        if (sd_bus_message_is_method_error(reply, NULL))
                return 0;
        g_free(progress->service);
        progress->service = g_strdup(sd_bus_message_get_sender(reply));
        return sd_bus_call_method_async(progress->bus, &progress->call_properties, RM_BUS_NAME, progress->target->path, "org.freedesktop.DBus.Properties",
                                        "GetAll", on_properties, progress, "s", RM_RUNTIME_INTERFACE);
}

/* What a line needs is no reason to fail: it then says less. */
static int progress_subscribe(Progress *progress) {
        return sd_bus_call_method_async(progress->bus, &progress->call_subscribe, RM_BUS_NAME, progress->target->path, RM_RUNTIME_INTERFACE, "Subscribe",
                                        on_subscribed, progress, "tu", UINT64_MAX, 1);
}

/* The wait */

static int progress_ask(Progress *progress);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Progress *progress = userdata;
        int r = progress_ask(progress);

        if (r >= 0 && progress->match && !progress->call_subscribe)
                r = progress_subscribe(progress);
        if (r < 0)
                progress_exit(progress, r);
        return 0;
}

static int retry_later(Progress *progress) {
        progress->retry_timer = sd_event_source_disable_unref(progress->retry_timer);
        progress->away_usec = progress->away_usec ?: now_usec();
        return sd_event_add_time_relative(progress->event, &progress->retry_timer, CLOCK_MONOTONIC, RETRY_USEC, 0, on_retry, progress);
}

static int on_waited(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Progress *progress = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        const char *state;
        int r;

        progress->call_wait = sd_bus_slot_unref(progress->call_wait);
        /* It was there all the while, and has gone only now: that isn't the absence we knew of. */
        if (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) && now_usec() - progress->asked_usec > USEC_PER_SEC)
                progress->away_usec = 0;
        if (error && client_is_away(error) && (progress->away_usec == 0 || now_usec() - progress->away_usec < AWAY_USEC))
                r = retry_later(progress);
        else if (error)
                r = sd_bus_error_copy(progress->reterr, error);
        else {
                r = sd_bus_message_read(reply, "s", &state);
                if (r >= 0)
                        r = json_read_value(reply, &progress->report);
                if (r >= 0)
                        progress->state = g_strdup(state);
        }
        if (r < 0 || progress->state)
                progress_exit(progress, MIN(r, 0));
        return 0;
}

static int progress_ask(Progress *progress) {
        _cleanup_message_ sd_bus_message *message = NULL;
        int r;

        progress->asked_usec = now_usec();
        r = sd_bus_message_new_method_call(progress->bus, &message, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "WaitRuntime");
        if (r >= 0)
                r = sd_bus_message_append(message, "ss", progress->target->id, progress->until);
        /* The time is ours to count, over restarts of the service. */
        return r < 0 ? r : sd_bus_call_async(progress->bus, &progress->call_wait, message, on_waited, progress, UINT64_MAX);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        progress_exit(userdata, -ETIMEDOUT);
        return 0;
}

static int progress_attach(Progress *progress, const Cli *cli, uint64_t timeout_usec) {
        int r;

        r = client_attach(progress->bus, &progress->event);
        if (r >= 0 && timeout_usec != CLIENT_TIMEOUT_NEVER)
                r = sd_event_add_time_relative(progress->event, &progress->timeout_timer, CLOCK_MONOTONIC, timeout_usec, 0, on_timeout, progress);
        if (r >= 0 && isatty(STDERR_FILENO) && cli->json == CLI_JSON_OFF && !cli->no_legend) {
                r = sd_event_add_time_relative(progress->event, &progress->line_timer, CLOCK_MONOTONIC, PATIENCE_USEC, 0, on_line_time, progress);
                if (r >= 0)
                        r = sd_bus_match_signal(progress->bus, &progress->match, RM_BUS_NAME, progress->target->path, NULL, NULL, on_signal, progress);
                if (r >= 0)
                        r = progress_subscribe(progress);
        }
        return r < 0 ? r : progress_ask(progress);
}

static void progress_done(Progress *progress) {
        sd_bus_slot **slots[] = {&progress->match, &progress->call_wait, &progress->call_subscribe, &progress->call_properties};
        sd_event_source **sources[] = {&progress->line_timer, &progress->retry_timer, &progress->timeout_timer};

        clear_line(progress);
        for (size_t i = 0; i < ELEMENTSOF(slots); i++)
                sd_bus_slot_unref(*slots[i]);
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                sd_event_source_disable_unref(*sources[i]);
        client_detach(progress->bus, progress->event);
        json_decref(progress->facts);
        json_decref(progress->report);
        g_free(progress->state);
        g_free(progress->service);
}

int progress_wait(const Cli *cli, sd_bus *bus, const Target *target, const char *until, uint64_t timeout_usec, sd_bus_error *reterr, char **ret_state,
                  json_t **ret_report) {
        _cleanup_(progress_done) Progress progress = {
                .bus = bus,
                .target = target,
                .until = until,
                .reterr = reterr,
                .facts = json_object(),
                .begin_usec = now_usec(),
        };
        int r;

        r = progress_attach(&progress, cli, timeout_usec);
        if (r >= 0)
                r = sd_event_loop(progress.event);
        if (r < 0)
                return r;
        if (!progress.state)
                return -ECONNRESET;
        *ret_state = TAKE_PTR(progress.state);
        *ret_report = TAKE_PTR(progress.report);
        return 0;
}
