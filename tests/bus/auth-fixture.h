/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A service with the names of the real interfaces, a polkit that the test plays, three runtimes of two users, and callers whose uids the test makes up; over
 * a real message bus. */

#include <gio/gio.h>
#include <systemd/sd-bus.h>

#include "bus/auth.h"
#include "fake-polkit.h"
#include "util/names.h"

#define ALICE 1001U
#define BOB 1002U
#define CAROL 1003U

typedef struct Person {
        GDBusConnection *bus;
        uid_t uid;
} Person;

/* Runtimes: alice's own, bob's own, and one that bob has started as alice. */
typedef struct Row {
        const char *name;
        uid_t uid, starter_uid;
} Row;

extern const Row rows[3];

typedef struct Fixture {
        sd_event *event;
        GSource *source;
        sd_bus *bus;
        const char *name;
        Auth *auth;
        FakePolkit *polkit;
        GHashTable *uids; /* unique name → uid */
        Person *root, *alice, *bob, *carol;
        GString *done;        /* what was done: "Member name uid;" */
        const char *start_id; /* what StartRuntime is to ask for */
        uid_t start_uid;      /* 0: the caller; UID_NOBODYS: root */
        GString *left;        /* names that have left the bus, each with a space behind it */
        GPtrArray *gone;      /* rows that are no more */
} Fixture;

#define RUNTIME(name) RM_RUNTIME_PREFIX "/" name

Fixture *fixture_new(AuthMode mode);
void fixture_free(Fixture *fixture);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

Person *person_new(Fixture *fixture, uid_t uid);
void person_free(Person *person);

typedef struct Call {
        gboolean done;
        char *error; /* name, NULL: none */
        char *text;  /* of the error */
} Call;

Call *call_begin(Fixture *fixture, Person *person, const char *path, const char *interface, const char *member, GVariant *body, gboolean interactive);
Call *call_wait(Fixture *fixture, Person *person, const char *path, const char *interface, const char *member, GVariant *body, gboolean interactive);
void call_free(Call *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_free)

/* Calls of the service: Stop of a runtime, and StartRuntime as the fixture's start_… say. */
Call *stop(Fixture *fixture, Person *person, const char *path);
Call *start_begin(Fixture *fixture, Person *person, gboolean interactive);
Call *start(Fixture *fixture, Person *person, gboolean interactive);
GVariant *no_options(void);
GVariant *body_by_id(const char *id);

/* The same answer, but for the name that was asked for. */
void assert_same_refusal(const Call *one, const char *one_name, const Call *other, const char *other_name);

#define assert_done(call, what)                                                                                                                                \
        do {                                                                                                                                                   \
                g_assert_cmpstr((call)->text, ==, NULL);                                                                                                       \
                g_assert_cmpstr(fixture->done->str, ==, what);                                                                                                 \
                g_string_truncate(fixture->done, 0);                                                                                                           \
        } while (0)
#define assert_refused(call, name)                                                                                                                             \
        do {                                                                                                                                                   \
                g_assert_cmpstr((call)->error, ==, name);                                                                                                      \
                g_assert_cmpstr(fixture->done->str, ==, "");                                                                                                   \
        } while (0)
