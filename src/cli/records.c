/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See records.h. */

#include "cli/records.h"

#include <string.h>

#include "cli/client.h"
#include "util/names.h"

enum {
        TAIL_MAX = 1 << 20, /* who wants more lines than this gets all there are */
};

int records_enter(sd_bus_message *reply, bool text) {
        return sd_bus_message_enter_container(reply, 'a', text ? "(tytus)" : "(tytuay)");
}

int record_read(sd_bus_message *reply, bool text, Record *ret) {
        Record record = {};
        const void *bytes;
        int r;

        r = sd_bus_message_enter_container(reply, 'r', text ? "tytus" : "tytuay");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(reply, "tytu", &record.number, &record.stream, &record.realtime_usec, &record.flags);
        if (r < 0)
                return r;
        if (text) {
                r = sd_bus_message_read_basic(reply, 's', &record.data);
                if (r < 0)
                        return r;
                record.size = strlen(record.data);
        } else {
                r = sd_bus_message_read_array(reply, 'y', &bytes, &record.size);
                if (r < 0)
                        return r;
                record.data = bytes;
        }
        r = sd_bus_message_exit_container(reply);
        if (r < 0)
                return r;
        *ret = record;
        return 1;
}

int records_leave(sd_bus_message *reply, uint64_t *ret_last, bool *ret_more) {
        uint64_t last;
        int more, r;

        r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "tb", &last, &more);
        if (r < 0)
                return r;
        *ret_last = last;
        *ret_more = more;
        return 0;
}

/* Of the records behind `after`: the number of the one at which the last `n_lines` lines begin, 0 if all are needed. */
static int find_begin(sd_bus *bus, const char *path, uint64_t after, uint64_t n_lines, sd_bus_error *reterr, uint64_t *ret_begin, uint64_t *ret_last) {
        /* The beginnings of the last lines, as a ring. */
        g_autofree uint64_t *begins = g_new0(uint64_t, n_lines);
        bool open[_RECORD_STREAM_MAX] = {}, more = true;
        uint64_t n = 0, last = after;
        int r;

        while (more) {
                _cleanup_message_ sd_bus_message *reply = NULL;
                uint64_t before = after;
                Record record;

                r = client_call(bus, path, RM_RUNTIME_INTERFACE, "ReadOutput", CLIENT_TIMEOUT_DEFAULT, reterr, &reply, "tu", after, 0);
                if (r >= 0)
                        r = records_enter(reply, false);
                if (r < 0)
                        return r;
                while ((r = record_read(reply, false, &record)) > 0) {
                        after = record.number;
                        if (record.stream >= _RECORD_STREAM_MAX)
                                continue;
                        if (!open[record.stream])
                                begins[n++ % n_lines] = record.number;
                        open[record.stream] = record.flags & RECORD_PARTIAL;
                }
                if (r >= 0)
                        r = records_leave(reply, &last, &more);
                if (r < 0)
                        return r;
                if (after == before)
                        break;
        }
        *ret_begin = n >= n_lines ? begins[n % n_lines] : 0;
        *ret_last = last;
        return 0;
}

int records_find_tail(sd_bus *bus, const char *path, uint64_t n_lines, sd_bus_error *reterr, uint64_t *ret_after) {
        _cleanup_message_ sd_bus_message *reply = NULL;
        uint64_t last, begin = 0, window;
        Record record;
        bool more;
        int r;

        r = client_call(bus, path, RM_RUNTIME_INTERFACE, "ReadOutput", CLIENT_TIMEOUT_DEFAULT, reterr, &reply, "tu", UINT64_C(0), 1);
        if (r >= 0)
                r = records_enter(reply, false);
        while (r >= 0 && (r = record_read(reply, false, &record)) > 0)
                ;
        if (r >= 0)
                r = records_leave(reply, &last, &more);
        if (r < 0)
                return r;

        n_lines = MIN(n_lines, last);
        if (n_lines == 0 || n_lines > TAIL_MAX) {
                *ret_after = n_lines == 0 ? last : 0;
                return 0;
        }
        /* Lines in many parts are rare: look at a few records from the end first, then at ever more. */
        for (window = n_lines + 1;; window *= 4) {
                uint64_t after = window < last ? last - window : 0;

                r = find_begin(bus, path, after, n_lines, reterr, &begin, &last);
                if (r < 0)
                        return r;
                /* The first line of a window may be the rest of one, unless the window has all there is. */
                if (after == 0 || begin > after + 1) {
                        *ret_after = begin > 0 ? begin - 1 : 0;
                        return 0;
                }
        }
}

static const char *const stream_names[_RECORD_STREAM_MAX] = {
        [RECORD_SETUP] = "setup",
        [RECORD_STDOUT] = "stdout",
        [RECORD_STDERR] = "stderr",
};

const char *record_stream_to_string(unsigned stream) {
        return stream < _RECORD_STREAM_MAX ? stream_names[stream] : "?";
}

int record_stream_from_string(const char *name) {
        for (unsigned i = 0; i < _RECORD_STREAM_MAX; i++)
                if (strcmp(stream_names[i], name) == 0)
                        return (int) i;
        return -EINVAL;
}
