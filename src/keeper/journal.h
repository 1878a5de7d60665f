/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>

#include "util/ring.h"

/* The runtime's output on its way to the journal. Off until it is opened. */
typedef struct KeeperJournal {
        char *fields; /* of each line; NULL: off */
        char *path;
        RingReader ring;
        RingCursor cursor;   /* of the next line to send */
        int fd;              /* -EBADF: not connected */
        bool is_full;        /* poll() tells when it isn't any more */
        uint64_t again_usec; /* CLOCK_MONOTONIC, when to go on by ourselves; USEC_INFINITY: when there is a line, or room */
        uint64_t full_usec;  /* when all that may be sent at once may be again */
        uint64_t dropped;    /* lines that were left out and not told of yet */
        uint64_t told_usec;  /* when the next may be told of */
} KeeperJournal;

void keeper_journal_init(KeeperJournal *journal);
/* Takes copies: the spec goes when all has run. */
void keeper_journal_open(KeeperJournal *journal, const char *fields, const char *path, int ring_fd);
void keeper_journal_done(KeeperJournal *journal);

uint64_t keeper_journal_deadline(const KeeperJournal *journal);
void keeper_journal_prepare_poll(const KeeperJournal *journal, struct pollfd *fd);

/* Sends what there is, some lines at a time. buffer: RING_LINE_MAX bytes for its use alone meanwhile. */
void keeper_journal_process(KeeperJournal *journal, const struct pollfd *fd, void *buffer);
/* No line will be added: sends the rest, the last lines before all, and waits a moment for the journal to take them. */
void keeper_journal_finish(KeeperJournal *journal, void *buffer);
