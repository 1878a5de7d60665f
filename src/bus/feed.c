/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stream is a cursor in the ring and a peer. Lines stay in the ring until they are sent, so nothing here queues: a peer that doesn't read costs a
 * cursor, and when it reads again it goes on where it was, as far as the ring goes back; what is gone is told with OutputDropped.
 *
 * The first line of a quiet runtime goes at once. Under load each peer gets at most one batch a BATCH_USEC. The keeper rings (on_output) once for each time
 * that it is asked to, and is asked only when every stream has caught up or waits for its window: a flood that nobody reads costs the daemon nothing.
 *
 * All floods together get one in OUTPUT_SHARE of the daemon's time: each batch is paid for by the time until the next ones, so that with more of them, or more
 * who read them, each stream has its batches at longer intervals, and calls, starts and ends find the daemon as they would without. */

#include "bus/feed.h"

#include <time.h>

#include "bus/bus.h"
#include "bus/lines.h"
#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"

#define BATCH_USEC (10 * USEC_PER_MSEC)
#define OUTPUT_SHARE 4U
/* What has to be sent at once, as the rest of one that ends, is paid for by others, but not for long. */
#define OUTPUT_DELAY_MAX_USEC (250 * USEC_PER_MSEC)
/* Until what the bus or the keeper didn't take is tried again. */
#define RETRY_USEC (100 * USEC_PER_MSEC)
/* An end waits for subscribers that read: not for one that has been silent for so long, and for all of them no longer than this. */
#define FINISH_SILENCE_USEC (1 * USEC_PER_SEC)
#define FINISH_MAX_USEC (5 * USEC_PER_SEC)

typedef struct Stream {
        Feed *feed;
        Peer *peer;
        unsigned sources;
        RingCursor cursor;
        uint64_t marked, acknowledged; /* numbers of the next line wanted when a ping went out, and when its answer came */
        uint64_t next_usec;            /* no batch before */
} Stream;

struct Feed {
        Bus *bus;
        char *path;
        Runtime *runtime;
        GPtrArray *streams; /* Stream, owned */
        sd_event_source *timer;
        uint64_t finish_usec; /* the end waits no longer; 0: it doesn't wait */
        bool finishing;
};

static uint64_t monotonic_usec(void) {
        return g_get_monotonic_time();
}

/* What this process has used of a CPU: with others in our way, a batch doesn't cost us more. */
static uint64_t cpu_usec(void) {
        struct timespec used;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        return (uint64_t) used.tv_sec * USEC_PER_SEC + (uint64_t) used.tv_nsec / NSEC_PER_USEC;
}

static bool stream_is_behind(const Stream *stream) {
        return stream->cursor.number <= ring_reader_last(runtime_get_ring(stream->feed->runtime));
}

static bool stream_is_blocked(const Stream *stream) {
        return peer_get_room(stream->peer) < LINES_OVERHEAD;
}

static int stream_send_dropped(Stream *stream, uint64_t first, uint64_t count) {
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        r = sd_bus_message_new_signal(stream->feed->bus->bus, &message, stream->feed->path, RM_RUNTIME_INTERFACE, "OutputDropped");
        if (r >= 0)
                r = sd_bus_message_append(message, "tt", first, count);
        if (r >= 0)
                r = sd_bus_send_to(stream->feed->bus->bus, message, peer_get_name(stream->peer), NULL);
        if (r >= 0)
                peer_sent(stream->peer, LINES_OVERHEAD);
        return r;
}

/* One batch: as many lines as are there and fit. Whatever the ring holds by now, the stream gets on: what can't be read is announced as dropped. Negative: it
 * is where it was, or behind what was announced. */
static int stream_send(Stream *stream) {
        const RingReader *ring = runtime_get_ring(stream->feed->runtime);
        uint64_t wanted = stream->cursor.number, last = ring_reader_last(ring), first;
        g_autoptr(sd_bus_message) message = NULL;
        RingCursor cursor = stream->cursor;
        size_t room, size;
        int n, r;

        r = sd_bus_message_new_signal(stream->feed->bus->bus, &message, stream->feed->path, RM_RUNTIME_INTERFACE, "OutputLines");
        if (r < 0)
                return r;
        room = MIN_OF(peer_get_room(stream->peer), LIMIT_SIGNAL_BATCH);
        n = lines_append(message, ring, &cursor, LINES_TEXT | LINES_NO_GAP, UINT32_MAX, room, &size);
        if (n <= 0)
                cursor = ring_cursor_after(MAX_OF(last, wanted));
        first = n > 0 ? cursor.number - (uint64_t) n : cursor.number;
        if (first > wanted) {
                r = stream_send_dropped(stream, wanted, first - wanted);
                if (r < 0)
                        return r;
                stream->cursor = ring_cursor_after(first - 1);
        }
        if (n > 0) {
                r = sd_bus_send_to(stream->feed->bus->bus, message, peer_get_name(stream->peer), NULL);
                if (r < 0)
                        return r;
                peer_sent(stream->peer, size);
        }
        stream->cursor = cursor;
        return n > 0;
}

/* Whether it has caught up. If not, it waits for its window, or wants to go on at a time: next is the earliest of those. */
static bool stream_pump(Stream *stream, uint64_t now, uint64_t *next) {
        Bus *bus = stream->feed->bus;
        bool hurry = stream->feed->finishing;

        while (stream_is_behind(stream)) {
                uint64_t from;

                if (stream_is_blocked(stream))
                        return false;
                if (!hurry && now < stream->next_usec) {
                        *next = MIN_OF(*next, stream->next_usec);
                        return false;
                }
                from = cpu_usec();
                if (stream_send(stream) < 0) {
                        *next = MIN_OF(*next, now + RETRY_USEC);
                        return false;
                }
                bus->output_usec = MIN_OF(MAX_OF(bus->output_usec, now) + OUTPUT_SHARE * (cpu_usec() - from), now + OUTPUT_DELAY_MAX_USEC);
                stream->next_usec = MAX_OF(bus->output_usec, now + BATCH_USEC);
        }
        return true;
}

static bool feed_is_done(const Feed *feed) {
        for (unsigned i = 0; i < feed->streams->len; i++) {
                const Stream *stream = feed->streams->pdata[i];

                if (stream_is_behind(stream) && !peer_is_silent(stream->peer, FINISH_SILENCE_USEC))
                        return false;
        }
        return true;
}

static void feed_set_timer(Feed *feed, uint64_t usec) {
        (void) sd_event_source_set_time(feed->timer, usec);
        (void) sd_event_source_set_enabled(feed->timer, usec == 0 ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void feed_check_finish(Feed *feed) {
        uint64_t now = monotonic_usec();

        if (!feed->finishing || feed->finish_usec == 0)
                return;
        if (!feed_is_done(feed) && now < feed->finish_usec) {
                feed_set_timer(feed, MIN_OF(now + FINISH_SILENCE_USEC, feed->finish_usec));
                return;
        }
        feed->finish_usec = 0;
        feed_set_timer(feed, 0);
        runtime_finish(feed->runtime);
}

void feed_pump(Feed *feed) {
        uint64_t now = monotonic_usec(), next = UINT64_MAX, after = UINT64_MAX;

        for (unsigned i = 0; i < feed->streams->len; i++) {
                Stream *stream = feed->streams->pdata[i];

                /* Lines may come at any moment: up to here this stream was seen to be, and whatever is behind must ring. */
                if (stream_pump(stream, now, &next))
                        after = MIN_OF(after, stream->cursor.number - 1);
        }
        if (feed->finish_usec != 0) {
                feed_check_finish(feed);
                return;
        }
        feed_set_timer(feed, next == UINT64_MAX ? 0 : next);
        if (after != UINT64_MAX && next == UINT64_MAX && runtime_watch_output(feed->runtime, after) < 0)
                feed_set_timer(feed, now + RETRY_USEC);
}

bool feed_finish(Feed *feed) {
        feed->finishing = true;
        feed_pump(feed);
        if (feed_is_done(feed)) {
                feed_set_timer(feed, 0);
                return false;
        }
        feed->finish_usec = monotonic_usec() + FINISH_MAX_USEC;
        feed_set_timer(feed, monotonic_usec() + FINISH_SILENCE_USEC);
        return true;
}

json_t *feed_to_record(const Feed *feed) {
        json_t *streams = json_array();

        for (unsigned i = 0; i < feed->streams->len; i++) {
                const Stream *stream = feed->streams->pdata[i];

                (void) json_array_append_new(streams, json_pack("{s:s,s:i,s:I}", "peer", peer_get_name(stream->peer), "sources", (int) stream->sources, "after",
                                                                (json_int_t) stream->acknowledged - 1));
        }
        return streams;
}

void feed_resume(Feed *feed) {
        feed->finishing = false;
        feed->finish_usec = 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Feed *feed = userdata;

        feed_pump(feed);
        return 0;
}

int feed_new(Bus *bus, const char *path, Runtime *runtime, Feed **ret) {
        Feed *feed;
        int r;

        feed = g_new0(Feed, 1);
        feed->bus = bus;
        feed->path = g_strdup(path);
        feed->runtime = runtime;
        feed->streams = g_ptr_array_new();
        r = sd_event_add_time(bus->event, &feed->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, feed);
        if (r < 0) {
                feed_free(feed);
                return r;
        }
        feed_set_timer(feed, 0);
        *ret = feed;
        return 0;
}

static void stream_free(Stream *stream) {
        g_ptr_array_remove_fast(peer_get_streams(stream->peer), stream);
        g_ptr_array_remove_fast(stream->feed->streams, stream);
        g_free(stream);
}

Feed *feed_free(Feed *feed) {
        if (!feed)
                return NULL;
        while (feed->streams->len > 0)
                stream_free(feed->streams->pdata[0]);
        g_ptr_array_unref(feed->streams);
        sd_event_source_disable_unref(feed->timer);
        g_free(feed->path);
        g_free(feed);
        return NULL;
}

static Stream *feed_find(const Feed *feed, const Peer *peer) {
        for (unsigned i = 0; i < feed->streams->len; i++)
                if (((Stream *) feed->streams->pdata[i])->peer == peer)
                        return feed->streams->pdata[i];
        return NULL;
}

void feed_subscribe(Feed *feed, Peer *peer, FeedSource source, uint64_t after) {
        Stream *stream = feed_find(feed, peer);

        if (!stream) {
                stream = g_new0(Stream, 1);
                stream->feed = feed;
                stream->peer = peer;
                g_ptr_array_add(feed->streams, stream);
                g_ptr_array_add(peer_get_streams(peer), stream);
        } else if (source == FEED_BY_MANAGER) {
                /* It has its place already. */
                stream->sources |= source;
                return;
        }
        stream->sources |= source;
        /* Without a connection it is a subscriber of before, whose place is ahead of a ring that isn't there yet. */
        if (feed->bus->bus)
                after = MIN_OF(after, ring_reader_last(runtime_get_ring(feed->runtime)));
        stream->cursor = ring_cursor_after(after);
        stream->marked = stream->acknowledged = stream->cursor.number;
}

void feed_unsubscribe(Feed *feed, Peer *peer, FeedSource source) {
        Stream *stream = feed_find(feed, peer);

        if (!stream)
                return;
        stream->sources &= ~source;
        if (stream->sources == 0)
                stream_free(stream);
}

bool feed_has_subscriber(const Feed *feed, const Peer *peer) {
        return feed_find(feed, peer) != NULL;
}

unsigned feed_get_n_subscribers(const Feed *feed) {
        return feed->streams->len;
}

void feed_drop_peer(Peer *peer) {
        GPtrArray *streams = peer_get_streams(peer);

        while (streams->len > 0) {
                Stream *stream = streams->pdata[0];
                Feed *feed = stream->feed;

                stream_free(stream);
                feed_check_finish(feed);
        }
}

bool feed_send_rest(Feed *feed, const Peer *peer) {
        Stream *stream = feed_find(feed, peer);

        while (stream && stream_is_behind(stream) && !stream_is_blocked(stream))
                if (stream_send(stream) < 0)
                        return false;
        return !stream || !stream_is_behind(stream);
}

void feed_mark_peer(Peer *peer) {
        GPtrArray *streams = peer_get_streams(peer);

        for (unsigned i = 0; i < streams->len; i++) {
                Stream *stream = streams->pdata[i];

                stream->marked = stream->cursor.number;
        }
}

void feed_acknowledge_peer(Peer *peer) {
        GPtrArray *streams = peer_get_streams(peer);

        for (unsigned i = 0; i < streams->len; i++) {
                Stream *stream = streams->pdata[i];

                if (stream->acknowledged == stream->marked)
                        continue;
                stream->acknowledged = stream->marked;
                clients_moved(bus_get_object(stream->feed->bus, stream->feed->runtime));
        }
}

void feed_rewind_peer(Peer *peer) {
        GPtrArray *streams = peer_get_streams(peer);

        for (unsigned i = 0; i < streams->len; i++) {
                Stream *stream = streams->pdata[i];

                if (stream->acknowledged < stream->cursor.number)
                        stream->cursor = ring_cursor_after(stream->acknowledged - 1);
        }
}

void feed_pump_peer(Peer *peer) {
        GPtrArray *streams = peer_get_streams(peer);
        unsigned n, start;

        /* A runtime that ends here may take its streams with it, and another's place in the array: then it is walked again. Each time from another
         * place, so that those at the front don't always fill the window first. */
        do {
                n = streams->len;
                start = n > 0 ? g_random_int_range(0, n) : 0;
                for (unsigned i = 0; i < n && streams->len == n; i++) {
                        Stream *stream = streams->pdata[(start + i) % n];

                        if (stream_is_behind(stream))
                                feed_pump(stream->feed);
                }
        } while (streams->len != n);
}
