/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See follow.h. The order is: matches, Subscribe from now on, the properties (it may have ended already), then ReadOutput
 * from where we are until there is no more; from then on each signal is a reason to read on. So nothing falls between. The
 * next read waits until the last one's bytes are written: who reads us slowly makes us read slowly, and what is lost from
 * the ring by that is told.
 *
 * Anybody on the bus can send us a signal that looks like one of the service's: a match by a well-known name doesn't keep it out, since sd-bus can't tell
 * whose that is. So signals count from the bus itself, and from the connection that has answered our Subscribe.
 *
 * The event loop never blocks, so the service's pings, by which it measures us, are always answered.
 */

#include "cli/follow.h"

#include <signal.h>
#include <string.h>

#include <systemd/sd-event.h>

#include "cli/console.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/json.h"
#include "cli/records.h"
#include "cli/writer.h"
#include "util/names.h"

#define AWAY_USEC (10 * USEC_PER_SEC)   /* how long we wait for a service that has gone */
#define RETRY_USEC (50 * USEC_PER_MSEC) /* when it has no room for our call just now */

typedef struct Follow {
        sd_event *event;
        sd_bus *bus;
        const Target *target;
        const FollowOptions *options;
        Writer *writer;
        Input *input;
        Console *console;

        sd_bus_slot *match_runtime, *match_owner;
        sd_bus_slot *call_subscribe, *call_properties, *call_read, *call_stop;
        sd_event_source *away_timer, *retry_timer;

        char *service;  /* its unique name; NULL: not known yet */
        uint64_t after; /* the last line we have */
        bool begun;     /* the time is reached from which on we print */
        bool subscribed;
        bool doorbell;       /* there may be lines behind it */
        bool line_open;      /* the last thing we printed was a part of a line, */
        uint8_t line_stream; /* of this stream */
        int stop_signal;     /* the one we got, 0: none */
        bool write_failed;
        json_t *report; /* NULL: it hasn't ended, as far as we know */
} Follow;

static void follow_continue(Follow *follow);
static int follow_subscribe(Follow *follow);

static void follow_exit(Follow *follow, int code) {
        (void) sd_event_exit(follow->event, code);
}

/* Ends when a thing that can't fail has. */
static void follow_check(Follow *follow, int r) {
        if (r < 0)
                follow_exit(follow, client_fail(&SD_BUS_ERROR_NULL, r));
}

static void set_ended(Follow *follow, json_t *report) {
        json_decref(follow->report);
        follow->report = report;
        /* All of its output is there before the end is told: one more look gets the rest. */
        follow->doorbell = true;
}

/* The service is not there */

static int on_away_too_long(sd_event_source *source, uint64_t usec, void *userdata) {
        cli_error(_("The Runtime Manager has gone and didn't come back. The runtime may still be running."));
        follow_exit(userdata, EXIT_ERROR);
        return 0;
}

static void follow_enter_away(Follow *follow) {
        follow->subscribed = false;
        if (!follow->away_timer)
                follow_check(follow, sd_event_add_time_relative(follow->event, &follow->away_timer, CLOCK_MONOTONIC, AWAY_USEC, 0, on_away_too_long, follow));
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Follow *follow = userdata;
        const char *name, *old_owner, *new_owner;

        if (g_strcmp0(sd_bus_message_get_sender(message), "org.freedesktop.DBus") != 0)
                return 0;
        if (sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner) < 0)
                return 0;
        if (*new_owner == '\0') {
                follow_enter_away(follow);
                return 0;
        }
        follow->away_timer = sd_event_source_disable_unref(follow->away_timer);
        follow->call_read = sd_bus_slot_unref(follow->call_read);
        follow->call_properties = sd_bus_slot_unref(follow->call_properties);
        follow_check(follow, follow_subscribe(follow));
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Follow *follow = userdata;

        follow->retry_timer = sd_event_source_disable_unref(follow->retry_timer);
        follow_continue(follow);
        return 0;
}

/* What to do about an answer that is an error: wait for the service, try again, or give up. */
static void follow_refused(Follow *follow, sd_bus_message *reply) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);

        if (client_is_away(error)) {
                follow_enter_away(follow);
                return;
        }
        if (sd_bus_error_has_name(error, RM_ERROR_WOULD_BLOCK)) {
                follow->doorbell = true;
                if (!follow->retry_timer)
                        follow_check(follow, sd_event_add_time_relative(follow->event, &follow->retry_timer, CLOCK_MONOTONIC, RETRY_USEC, 0, on_retry, follow));
                return;
        }
        if (follow->report && client_is_unknown(error)) {
                cli_error(_("The runtime has been forgotten before all of its output was read."));
                follow_exit(follow, EXIT_OK);
                return;
        }
        follow_exit(follow, client_fail(error, 0));
}

/* Output */

static void add_json(Follow *follow, const Record *record) {
        _cleanup_json_ json_t *line =
                json_pack("{s:I, s:s, s:I, s:i, s:s%}", "Number", (json_int_t) record->number, "Stream", record_stream_to_string(record->stream), "Timestamp",
                          (json_int_t) record->realtime_usec, "Flags", (int) record->flags, "Text", record->data, record->size);
        _cleanup_free_ char *text = line ? json_dumps(line, json_dump_flags(follow->options->json)) : NULL;

        if (!text)
                return;
        writer_add(follow->writer, STDOUT_FILENO, text, strlen(text));
        writer_add(follow->writer, STDOUT_FILENO, "\n", 1);
}

static void add_line(Follow *follow, int fd, const Record *record) {
        g_autofree char *text = NULL;

        if (!follow->options->harmless) {
                writer_add(follow->writer, fd, record->data, record->size);
                return;
        }
        text = format_harmless_output(record->data, record->size);
        writer_add(follow->writer, fd, text, strlen(text));
}

static void add_record(Follow *follow, const Record *record) {
        int fd = follow->options->split && record->stream != RECORD_STDOUT ? STDERR_FILENO : STDOUT_FILENO;

        /* A clock may be set back: what comes behind the first is printed, whenever it was. */
        follow->begun = follow->begun || record->realtime_usec >= follow->options->since;
        if (!follow->begun)
                return;
        if (record->stream < _RECORD_STREAM_MAX && !(follow->options->streams & (1U << record->stream)))
                return;
        if (follow->options->json != CLI_JSON_OFF) {
                add_json(follow, record);
                return;
        }
        /* Streams that share one fd aren't glued together in the middle of a line. */
        if (!follow->options->split && follow->line_open && follow->line_stream != record->stream)
                writer_add(follow->writer, fd, "\n", 1);
        add_line(follow, fd, record);
        if (!(record->flags & (RECORD_PARTIAL | RECORD_UNTERMINATED)))
                writer_add(follow->writer, fd, "\n", 1);
        follow->line_open = record->flags & RECORD_PARTIAL;
        follow->line_stream = record->stream;
}

static void tell_gap(Follow *follow, uint64_t number) {
        uint64_t missing = number - follow->after - 1;

        /* Who asks for the output of the past gets what is left of it. */
        if (follow->after == 0 && !follow->options->owned)
                return;
        cli_error(ngettext("%ju line of output is missing: it was printed faster than it could be read.",
                           "%ju lines of output are missing: they were printed faster than they could be read.", missing),
                  missing);
}

static int read_records(Follow *follow, sd_bus_message *reply) {
        bool text = follow->options->json != CLI_JSON_OFF, more;
        uint64_t last;
        Record record;
        int r;

        r = records_enter(reply, text);
        if (r < 0)
                return r;
        while ((r = record_read(reply, text, &record)) > 0) {
                /* We may have asked twice. */
                if (record.number <= follow->after)
                        continue;
                if (record.number > follow->after + 1)
                        tell_gap(follow, record.number);
                add_record(follow, &record);
                follow->after = record.number;
        }
        if (r < 0)
                return r;
        r = records_leave(reply, &last, &more);
        if (r < 0)
                return r;
        follow->doorbell = follow->doorbell || more;
        return 0;
}

static int on_read(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Follow *follow = userdata;
        int r;

        follow->call_read = sd_bus_slot_unref(follow->call_read);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                follow_refused(follow, reply);
                return 0;
        }
        r = read_records(follow, reply);
        follow_check(follow, r);
        if (r >= 0)
                writer_flush(follow->writer);
        return 0;
}

/* Reads on, or ends, unless something is still under way that comes back here. */
static void follow_continue(Follow *follow) {
        const char *method = follow->options->json == CLI_JSON_OFF ? "ReadOutput" : "ReadOutputText";
        int r;

        if (follow->call_read || follow->retry_timer || !writer_is_empty(follow->writer) || !follow->subscribed)
                return;
        if (follow->doorbell) {
                follow->doorbell = false;
                r = sd_bus_call_method_async(follow->bus, &follow->call_read, RM_BUS_NAME, follow->target->path, RM_RUNTIME_INTERFACE, method, on_read, follow,
                                             "tu", follow->after, 0);
                if (r < 0)
                        follow_check(follow, r);
                return;
        }
        if (follow->report || !follow->options->until_end)
                follow_exit(follow, EXIT_OK);
}

static void on_input_refused(const sd_bus_error *error, int r, void *userdata) {
        Follow *follow = userdata;

        /* What has ended needs no input. */
        if (!follow->report && !client_is_away(error))
                follow_exit(follow, client_fail(error, r));
}

/* Signals of the runtime */

static int on_runtime_signal(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Follow *follow = userdata;
        json_t *report = NULL;

        /* Before the answer to Subscribe nothing is missed: the properties are asked for after it. */
        if (!follow->service || g_strcmp0(sd_bus_message_get_sender(message), follow->service) != 0)
                return 0;
        if (sd_bus_message_is_signal(message, RM_RUNTIME_INTERFACE, "Ended")) {
                if (json_read_value(message, &report) < 0)
                        report = json_object();
                set_ended(follow, report);
        } else if (sd_bus_message_is_signal(message, RM_RUNTIME_INTERFACE, "StateChanged")) {
                input_open(follow->input);
                console_continue(follow->console);
        } else if (sd_bus_message_is_signal(message, RM_RUNTIME_INTERFACE, "OutputLines") ||
                   sd_bus_message_is_signal(message, RM_RUNTIME_INTERFACE, "OutputDropped"))
                follow->doorbell = true;
        follow_continue(follow);
        return 0;
}

static int on_properties(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Follow *follow = userdata;
        _cleanup_json_ json_t *properties = NULL;

        follow->call_properties = sd_bus_slot_unref(follow->call_properties);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                follow_refused(follow, reply);
                return 0;
        }
        if (json_read_value(reply, &properties) >= 0 && g_str_equal(json_get_string(properties, "State", ""), "ended") && !follow->report)
                set_ended(follow, json_incref(json_object_get(properties, "EndReport")) ?: json_object());
        follow->subscribed = true;
        follow->doorbell = true;
        input_open(follow->input);
        console_continue(follow->console);
        follow_continue(follow);
        return 0;
}

static int on_subscribed(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Follow *follow = userdata;

        follow->call_subscribe = sd_bus_slot_unref(follow->call_subscribe);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                follow_refused(follow, reply);
                return 0;
        }
        g_free(follow->service);
        follow->service = g_strdup(sd_bus_message_get_sender(reply));
        follow_check(follow, sd_bus_call_method_async(follow->bus, &follow->call_properties, RM_BUS_NAME, follow->target->path,
                                                      "org.freedesktop.DBus.Properties", "GetAll", on_properties, follow, "s", RM_RUNTIME_INTERFACE));
        return 0;
}

static int follow_subscribe(Follow *follow) {
        follow->subscribed = false;
        follow->call_subscribe = sd_bus_slot_unref(follow->call_subscribe);
        return sd_bus_call_method_async(follow->bus, &follow->call_subscribe, RM_BUS_NAME, follow->target->path, RM_RUNTIME_INTERFACE, "Subscribe",
                                        on_subscribed, follow, "tu", UINT64_MAX, 3U);
}

/* Signals to us */

static int on_stopped(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Follow *follow = userdata;

        follow->call_stop = sd_bus_slot_unref(follow->call_stop);
        /* BadState: it has ended by itself, and we are about to hear of it. */
        if (sd_bus_message_is_method_error(reply, NULL) && !sd_bus_message_is_method_error(reply, RM_ERROR_BAD_STATE))
                follow_exit(follow, client_fail(sd_bus_message_get_error(reply), 0));
        return 0;
}

static void follow_stop(Follow *follow, int signal) {
        int r;

        if (follow->stop_signal != 0) {
                cli_error(_("Leaving. The runtime %s may still be running."), follow->target->id);
                follow_exit(follow, EXIT_SIGNAL + signal);
                return;
        }
        follow->stop_signal = signal;
        if (!follow->options->quiet)
                cli_error(_("Stopping the runtime %s. Once more to leave it behind."), follow->target->id);
        r = sd_bus_call_method_async(follow->bus, &follow->call_stop, RM_BUS_NAME, RM_OBJECT_PATH, RM_MANAGER_INTERFACE, "StopRuntime", on_stopped, follow,
                                     "sa{sv}", follow->target->id, 0);
        follow_check(follow, r);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        const Follow *follow = userdata;

        if (follow->options->leaves)
                follow_exit(userdata, EXIT_SIGNAL + (int) info->ssi_signo);
        else
                follow_stop(userdata, (int) info->ssi_signo);
        return 0;
}

static void on_written(void *userdata) {
        follow_continue(userdata);
}

static void on_broken(int fd, int error, void *userdata) {
        Follow *follow = userdata;

        if (error != EPIPE) {
                cli_error(_("The output can't be written: %s."), g_strerror(error));
                follow->write_failed = true;
        }
        if (!follow->options->owned) {
                follow_exit(follow, error == EPIPE ? EXIT_SIGNAL + SIGPIPE : EXIT_ERROR);
                return;
        }
        /* A program whose output nobody reads ends; so does the one we stand for. */
        if (follow->stop_signal == 0)
                follow_stop(follow, SIGPIPE);
}

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

void follow_block_signals(void) {
        sigset_t mask;

        sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTSOF(stop_signals); i++)
                sigaddset(&mask, stop_signals[i]);
        sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
}

static void on_left(int signal, void *userdata) {
        follow_exit(userdata, signal > 0 ? EXIT_SIGNAL + signal : EXIT_OK);
}

static int follow_attach(Follow *follow) {
        static const WriterEvents writer_events = {.on_empty = on_written, .on_broken = on_broken};
        int r;

        r = client_attach(follow->bus, &follow->event);
        if (r < 0)
                return r;
        follow->writer = writer_new(follow->event, &writer_events, follow);
        if (follow->options->terminal) {
                r = console_new(follow->event, follow->bus, follow->target->path, on_left, on_input_refused, follow, &follow->console);
                if (r < 0)
                        return r;
        } else if (follow->options->input)
                follow->input = input_new(follow->event, follow->bus, follow->target->path, follow->options->input_terminal, on_input_refused, follow);
        (void) signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; (follow->options->owned || follow->options->leaves) && i < ELEMENTSOF(stop_signals); i++) {
                r = sd_event_add_signal(follow->event, NULL, stop_signals[i], on_signal, follow);
                if (r < 0)
                        return r;
        }
        if (!follow->options->until_end) {
                follow->subscribed = follow->doorbell = true;
                follow_continue(follow);
                return 0;
        }
        r = client_match_owner(follow->bus, &follow->match_owner, on_owner_changed, follow);
        if (r >= 0)
                r = sd_bus_match_signal(follow->bus, &follow->match_runtime, RM_BUS_NAME, follow->target->path, RM_RUNTIME_INTERFACE, NULL, on_runtime_signal,
                                        follow);
        return r < 0 ? r : follow_subscribe(follow);
}

static void follow_done(Follow *follow) {
        sd_bus_slot **slots[] = {
                &follow->match_runtime, &follow->match_owner, &follow->call_subscribe, &follow->call_properties, &follow->call_read, &follow->call_stop,
        };

        for (size_t i = 0; i < ELEMENTSOF(slots); i++)
                sd_bus_slot_unref(*slots[i]);
        sd_event_source_disable_unref(follow->away_timer);
        sd_event_source_disable_unref(follow->retry_timer);
        input_free(follow->input);
        console_free(follow->console);
        writer_free(follow->writer);
        client_detach(follow->bus, follow->event);
        json_decref(follow->report);
        g_free(follow->service);
}

int follow_run(sd_bus *bus, const Target *target, const FollowOptions *options, json_t **ret_report) {
        _cleanup_(follow_done) Follow follow = {.bus = bus, .target = target, .options = options, .after = options->after};
        int r;

        r = follow_attach(&follow);
        if (r >= 0)
                r = sd_event_loop(follow.event);
        if (r < 0)
                return client_fail(&SD_BUS_ERROR_NULL, r);
        if (r == EXIT_OK && follow.write_failed)
                r = EXIT_ERROR;
        if (r == EXIT_OK && follow.stop_signal != 0)
                r = EXIT_SIGNAL + follow.stop_signal;
        if (r == EXIT_OK && ret_report)
                *ret_report = TAKE_PTR(follow.report);
        return r;
}
