/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keeper writes a runtime's output to the journal itself: so each entry is of the runtime's own unit, by journald's word, and paid for there. It reads the
 * lines from the ring, as any reader does: nothing is held for a journal that doesn't take them, and nobody waits for it. What the ring has lost by then is
 * counted, and told.
 *
 * journald limits what a unit may write, and all that a user's manager runs may count as one; so that a flood doesn't silence others, it is
 * bounded here: some lines at once, then so many a second. */

#include "keeper/journal.h"

#include <endian.h>
#include <string.h>

#include "keeper/clock.h"
#include "util/journal.h"
#include "util/message-ids.h"

#define LINE_USEC (10 * USEC_PER_MSEC)   /* each line and each kibibyte: 100 a second */
#define BURST_USEC (2000 * LINE_USEC)    /* so many at once */
#define BATCH_USEC (100 * USEC_PER_MSEC) /* how often a keeper wakes up for this */
#define LINES_MAX 64U                    /* in a row, while others wait */
#define LAST_LINES 100U                  /* which come in any case: they say how it ended */
#define TELL_USEC (10 * USEC_PER_SEC)    /* how often it is told what was left out */
#define RETRY_USEC USEC_PER_SEC
#define FINISH_USEC (500 * USEC_PER_MSEC)

static const char *const stream_names[] = {[RING_STREAM_SETUP] = "setup", [RING_STREAM_STDOUT] = "stdout", [RING_STREAM_STDERR] = "stderr"};

void keeper_journal_init(KeeperJournal *journal) {
        *journal = (KeeperJournal){.fd = -EBADF, .again_usec = USEC_INFINITY};
}

void keeper_journal_open(KeeperJournal *journal, const char *fields, const char *path, int ring_fd) {
        _cleanup_free_ char *own_fields = strdup(fields), *own_path = strdup(path);

        if (!own_fields || !own_path || ring_reader_init(&journal->ring, ring_fd) < 0)
                return;
        journal->fields = TAKE_PTR(own_fields);
        journal->path = TAKE_PTR(own_path);
        journal->cursor = ring_cursor_after(ring_reader_last(&journal->ring));
}

void keeper_journal_done(KeeperJournal *journal) {
        ring_reader_done(&journal->ring);
        journal->fd = fd_close(journal->fd);
        free(journal->fields);
        free(journal->path);
        journal->fields = journal->path = NULL;
}

uint64_t keeper_journal_deadline(const KeeperJournal *journal) {
        return journal->again_usec;
}

void keeper_journal_prepare_poll(const KeeperJournal *journal, struct pollfd *fd) {
        *fd = (struct pollfd){.fd = journal->is_full ? journal->fd : -1, .events = POLLOUT};
}

/* 0: sent, or never to be. -EAGAIN: not now. */
static int send_entry(KeeperJournal *journal, const char *head, const void *text, size_t size) {
        const uint64_t size_le = htole64(size);
        const struct iovec parts[] = {
                {journal->fields, strlen(journal->fields)},
                {(void *) head, strlen(head)},
                {(void *) &size_le, sizeof(size_le)},
                {(void *) text, size},
                {(void *) "\n", 1},
        };
        int r;

        if (journal->fd < 0)
                journal->fd = journal_connect(journal->path);
        r = journal->fd < 0 ? journal->fd : journal_send(journal->fd, parts, ELEMENTSOF(parts));
        if (r >= 0)
                return 0;
        if (r == -EMSGSIZE) {
                journal->dropped++;
                return 0;
        }
        if (r == -EAGAIN)
                journal->is_full = true;
        else {
                journal->fd = fd_close(journal->fd);
                journal->again_usec = clock_add_usec(clock_usec(CLOCK_MONOTONIC), RETRY_USEC);
        }
        return -EAGAIN;
}

/* "MESSAGE" without "=": its size follows, and then any bytes. */
static int send_line(KeeperJournal *journal, const struct ring_record *record, const void *text) {
        char head[256];

        (void) snprintf(head, sizeof(head), "PRIORITY=%d\nRUNTIME_STREAM=%s\nRUNTIME_LINE=%llu\nRUNTIME_LINE_TIMESTAMP_USEC=%llu\n%s%sMESSAGE\n",
                        record->stream == RING_STREAM_STDERR ? JOURNAL_NOTICE : JOURNAL_INFO, stream_names[record->stream], (unsigned long long) record->number,
                        (unsigned long long) record->realtime_usec, record->flags & RING_PARTIAL ? "RUNTIME_LINE_FLAGS=partial\n" : "",
                        record->flags & RING_UNTERMINATED ? "RUNTIME_LINE_FLAGS=unterminated\n" : "");
        return send_entry(journal, head, text, record->size);
}

static int tell_dropped(KeeperJournal *journal, uint64_t now_usec) {
        char head[160], text[128];
        int r;

        if (journal->dropped == 0 || now_usec < journal->told_usec)
                return 0;
        (void) snprintf(head, sizeof(head), "PRIORITY=%d\nMESSAGE_ID=" MESSAGE_ID_OUTPUT_DROPPED "\nRUNTIME_LINES_DROPPED=%llu\nMESSAGE\n", JOURNAL_WARNING,
                        (unsigned long long) journal->dropped);
        (void) snprintf(text, sizeof(text), "%llu lines of the runtime's output before this are not in the journal: there were too many.",
                        (unsigned long long) journal->dropped);
        r = send_entry(journal, head, text, strlen(text));
        if (r < 0)
                return r;
        journal->dropped = 0;
        journal->told_usec = clock_add_usec(now_usec, TELL_USEC);
        return 0;
}

/* False: when all that may be sent at once has been, it says when to come again. */
static bool may_send(KeeperJournal *journal, uint64_t now_usec) {
        if (journal->full_usec < now_usec + BURST_USEC)
                return true;
        journal->again_usec = now_usec + BATCH_USEC;
        return false;
}

/* 1: a line was sent; 0: there is none; -EAGAIN: not now. */
static int send_next(KeeperJournal *journal, void *buffer, bool is_bounded) {
        uint64_t now_usec = clock_usec(CLOCK_MONOTONIC);
        RingCursor cursor = journal->cursor;
        struct ring_record record;
        int r;

        journal->is_full = false;
        if (is_bounded && !may_send(journal, now_usec))
                return -EAGAIN;
        r = ring_read(&journal->ring, &cursor, &record, buffer);
        if (r <= 0)
                return 0;
        if (record.number > journal->cursor.number) {
                journal->dropped += record.number - journal->cursor.number;
                journal->cursor = ring_cursor_after(record.number - 1);
        }
        r = tell_dropped(journal, now_usec);
        if (r >= 0)
                r = send_line(journal, &record, buffer);
        if (r < 0)
                return r;
        journal->cursor = cursor;
        journal->full_usec = MAX_OF(journal->full_usec, now_usec) + LINE_USEC * (1 + record.size / 1024);
        return 1;
}

void keeper_journal_process(KeeperJournal *journal, const struct pollfd *fd, void *buffer) {
        uint64_t now_usec;

        if (!journal->fields || (journal->is_full && fd->revents == 0))
                return;
        if (journal->cursor.number > ring_reader_last(&journal->ring)) {
                /* What the last turn came back for has been met by others of its kind: nothing is left to come for. */
                journal->again_usec = USEC_INFINITY;
                return;
        }
        now_usec = clock_usec(CLOCK_MONOTONIC);
        if (journal->again_usec != USEC_INFINITY && now_usec < journal->again_usec)
                return;
        journal->again_usec = USEC_INFINITY;
        for (unsigned i = 0; i < LINES_MAX; i++)
                if (send_next(journal, buffer, true) <= 0)
                        return;
        /* There may be more, after the others' turn. */
        journal->again_usec = now_usec;
}

/* Waits until there is room: false when it is too late. */
static bool wait_for_room(KeeperJournal *journal, uint64_t until_usec) {
        struct pollfd fd = {.fd = journal->fd, .events = POLLOUT};
        uint64_t now_usec = clock_usec(CLOCK_MONOTONIC);

        return journal->fd >= 0 && now_usec < until_usec && poll(&fd, 1, (int) ((until_usec - now_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC)) > 0;
}

/* Lines that there is no time for. */
static void skip_to_last(KeeperJournal *journal) {
        uint64_t last = ring_reader_last(&journal->ring);

        if (last - (journal->cursor.number - 1) <= LAST_LINES)
                return;
        journal->dropped += last - LAST_LINES - (journal->cursor.number - 1);
        journal->cursor = ring_cursor_after(last - LAST_LINES);
        /* Before these, however lately others were told of. */
        journal->told_usec = 0;
}

void keeper_journal_finish(KeeperJournal *journal, void *buffer) {
        uint64_t until_usec = clock_usec(CLOCK_MONOTONIC) + FINISH_USEC;
        bool is_bounded = true;

        if (!journal->fields)
                return;
        journal->told_usec = 0;
        for (;;) {
                int r = send_next(journal, buffer, is_bounded);

                if (r == 0)
                        break;
                if (r < 0 && journal->is_full) {
                        if (!wait_for_room(journal, until_usec))
                                return;
                } else if (r < 0 && is_bounded && journal->fd >= 0) {
                        is_bounded = false;
                        skip_to_last(journal);
                } else if (r < 0)
                        return;
        }
        journal->told_usec = 0;
        (void) tell_dropped(journal, clock_usec(CLOCK_MONOTONIC));
        /* As long as we are there, journald finds out whose entries they are. */
        if (journal->fd >= 0) {
                journal_await_reception(journal->fd);
                (void) wait_for_room(journal, until_usec);
        }
}
