/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Entries go at once if journald takes them. While it doesn't, because it is busy or hangs or is being restarted, they wait here, up to a limit; what comes
 * then is lost, and counted, and that is told when there is a way again. */

#include "core/journal.h"

#include <endian.h>
#include <string.h>
#include <sys/epoll.h>

#include "util/limits.h"
#include "util/message-ids.h"

/* When there is no socket, journald is being restarted, or there is none at all. */
#define RETRY_USEC USEC_PER_SEC

struct Journal {
        sd_event *event;
        const char *path;
        int fd;
        sd_event_source *source; /* of fd, on while something waits */
        sd_event_source *retry;  /* on while there is no fd, and something waits */
        GQueue waiting;          /* of GBytes */
        size_t waiting_size;
        unsigned lost;
};

void journal_append_field(GString *entry, const char *name, const char *value) {
        uint64_t size = htole64(strlen(value));

        if (!strchr(value, '\n')) {
                g_string_append_printf(entry, "%s=%s\n", name, value);
                return;
        }
        g_string_append_printf(entry, "%s\n", name);
        g_string_append_len(entry, (const char *) &size, sizeof(size));
        g_string_append_printf(entry, "%s\n", value);
}

static void journal_disconnect(Journal *journal) {
        journal->source = sd_event_source_disable_unref(journal->source);
        journal->fd = fd_close(journal->fd);
}

static void journal_pump(Journal *journal);

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        journal_pump(userdata);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        journal_pump(userdata);
        return 0;
}

static int journal_open(Journal *journal) {
        int r;

        if (journal->fd >= 0)
                return 0;
        r = journal_connect(journal->path);
        if (r < 0)
                return r;
        journal->fd = r;
        r = sd_event_add_io(journal->event, &journal->source, journal->fd, EPOLLOUT, on_writable, journal);
        if (r < 0)
                journal_disconnect(journal);
        return r;
}

static int journal_send_bytes(Journal *journal, const void *bytes, size_t size) {
        const struct iovec part = {.iov_base = (void *) bytes, .iov_len = size};
        int r;

        /* journald's old socket may have gone: one try with a new one. */
        for (unsigned i = 0; i < 2; i++) {
                r = journal_open(journal);
                if (r < 0)
                        return r;
                r = journal_send(journal->fd, &part, 1);
                if (r >= 0 || r == -EAGAIN || r == -EMSGSIZE)
                        return r;
                journal_disconnect(journal);
        }
        return r;
}

static void journal_wait(Journal *journal) {
        bool waits = journal->waiting.length > 0;

        if (journal->source)
                (void) sd_event_source_set_enabled(journal->source, waits ? SD_EVENT_ON : SD_EVENT_OFF);
        if (!waits || journal->source)
                journal->retry = sd_event_source_disable_unref(journal->retry);
        else if (journal->retry) {
                (void) sd_event_source_set_time_relative(journal->retry, RETRY_USEC);
                (void) sd_event_source_set_enabled(journal->retry, SD_EVENT_ONESHOT);
        } else
                (void) sd_event_add_time_relative(journal->event, &journal->retry, CLOCK_MONOTONIC, RETRY_USEC, RETRY_USEC / 10, on_retry, journal);
}

static void journal_pump(Journal *journal) {
        unsigned lost = journal->lost;
        GBytes *entry;

        while ((entry = g_queue_peek_head(&journal->waiting))) {
                size_t size = g_bytes_get_size(entry);
                int r;

                r = journal_send_bytes(journal, g_bytes_get_data(entry, NULL), size);
                if (r < 0 && r != -EMSGSIZE)
                        break;
                journal->waiting_size -= size;
                g_bytes_unref(g_queue_pop_head(&journal->waiting));
        }
        journal_wait(journal);
        if (journal->waiting.length == 0 && lost > 0) {
                journal->lost = 0;
                journal_write(journal, JOURNAL_WARNING, MESSAGE_ID_JOURNAL_BEHIND, NULL,
                              "The journal didn't take what it was sent; %u messages of this service are missing.", lost);
        }
}

static void journal_add(Journal *journal, const GString *entry) {
        /* In their order. */
        if (journal->waiting.length == 0) {
                int r = journal_send_bytes(journal, entry->str, entry->len);

                /* Where there is no journal nothing is kept for it. */
                if (r >= 0 || r == -ENOENT)
                        return;
        }
        if (journal->waiting_size + entry->len > LIMIT_JOURNAL_WAITING) {
                journal->lost++;
                return;
        }
        g_queue_push_tail(&journal->waiting, g_bytes_new(entry->str, entry->len));
        journal->waiting_size += entry->len;
        journal_wait(journal);
}

void journal_vwrite(Journal *journal, int priority, const char *message_id, const JournalField *fields, const char *format, va_list arguments) {
        g_autoptr(GString) entry = NULL;
        g_autofree char *message = NULL;

        if (!journal)
                return;
        message = g_strdup_vprintf(format, arguments);
        entry = g_string_new(NULL);
        g_string_append_printf(entry, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE_ID=%s\n", priority, program_invocation_short_name, message_id);
        for (; fields && fields->name; fields++)
                if (fields->value)
                        journal_append_field(entry, fields->name, fields->value);
        journal_append_field(entry, "MESSAGE", message);
        journal_add(journal, entry);
}

void journal_write(Journal *journal, int priority, const char *message_id, const JournalField *fields, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        journal_vwrite(journal, priority, message_id, fields, format, arguments);
        va_end(arguments);
}

Journal *journal_new(sd_event *event, const char *path) {
        Journal *journal = g_new(Journal, 1);

        *journal = (Journal){.event = event, .path = path, .fd = -EBADF};
        return journal;
}

Journal *journal_free(Journal *journal) {
        GBytes *entry;

        if (!journal)
                return NULL;
        journal_disconnect(journal);
        sd_event_source_disable_unref(journal->retry);
        while ((entry = g_queue_pop_head(&journal->waiting)))
                g_bytes_unref(entry);
        g_free(journal);
        return NULL;
}
