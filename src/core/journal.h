/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service writes to the journal, without ever waiting for it. */

#include <glib.h>
#include <systemd/sd-event.h>

#include "util/journal.h"
#include "util/macro.h"

typedef struct Journal Journal;

typedef struct JournalField {
        const char *name;
        const char *value; /* NULL: the field is left out */
} JournalField;

/* path: of journald's socket; borrowed. */
Journal *journal_new(sd_event *event, const char *path);
/* What journald hasn't taken by now is lost. */
Journal *journal_free(Journal *journal);

/* Writes an entry; fields (may be NULL) end with a name of NULL. A journal that is NULL takes nothing. */
void journal_write(Journal *journal, int priority, const char *message_id, const JournalField *fields, const char *format, ...) _printf_(5, 6);
void journal_vwrite(Journal *journal, int priority, const char *message_id, const JournalField *fields, const char *format, va_list arguments) _printf_(5, 0);

/* Adds a field as the protocol has it. */
void journal_append_field(GString *entry, const char *name, const char *value);
