/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Plays polkit's authority on a bus, as the test tells it, and remembers what it was asked. It runs in the default main context. */

#include <gio/gio.h>

typedef struct FakePolkit FakePolkit;

typedef enum FakePolkitAnswer {
        FAKE_POLKIT_YES,
        FAKE_POLKIT_NO,
        FAKE_POLKIT_CHALLENGE, /* a password is needed: with the flag it was asked for, and was right */
        FAKE_POLKIT_WAIT,      /* until fake_polkit_release() */
        FAKE_POLKIT_ERROR,
        FAKE_POLKIT_GARBAGE, /* not the type that it should be */
        FAKE_POLKIT_EMPTY,   /* no contents at all */
} FakePolkitAnswer;

typedef struct FakePolkitQuestion {
        char *subject_kind;
        char *subject_name;
        char *action;
        GHashTable *details; /* string → string */
        guint flags;
        char *cancellation;
        gboolean cancelled;
        GDBusMessage *call; /* NULL: answered */
} FakePolkitQuestion;

FakePolkit *fake_polkit_new(const char *address);
FakePolkit *fake_polkit_free(FakePolkit *polkit);

/* To all questions from now on. */
void fake_polkit_set_answer(FakePolkit *polkit, FakePolkitAnswer answer);
/* Answers the oldest that waits. */
void fake_polkit_release(FakePolkit *polkit, FakePolkitAnswer answer);
/* Its answers have reached the bus. */
void fake_polkit_flush(FakePolkit *polkit);

guint fake_polkit_get_n_questions(FakePolkit *polkit);
guint fake_polkit_get_n_waiting(FakePolkit *polkit);
guint fake_polkit_get_n_cancelled(FakePolkit *polkit);
/* In the order of their coming. */
const FakePolkitQuestion *fake_polkit_get_question(FakePolkit *polkit, guint number);
const char *fake_polkit_question_get_detail(const FakePolkitQuestion *question, const char *key);
