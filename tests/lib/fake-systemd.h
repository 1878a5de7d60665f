/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A service manager that behaves as it is told: it owns org.freedesktop.systemd1 on a bus where the real one is not, makes scopes, and can do all that the real
 * one does once in ten thousand starts, or only in other versions. It runs in the default main context.
 *
 * With cgroups it moves the processes into cgroups of the test's own, named as the units, and tells their end when these are empty. Without, a unit lives
 * until fake_systemd_end_unit(). */

#include <gio/gio.h>
#include <sys/types.h>

typedef enum FakeStart {
        FAKE_START,            /* as systemd does: an answer, "active", JobRemoved */
        FAKE_START_REFUSED,    /* an error */
        FAKE_START_UNANSWERED, /* neither this nor any other call, until fake_systemd_go_on() */
        FAKE_START_JOB_FAILED, /* the job's result is "failed" */
        FAKE_START_JOB_CANCELED,
        FAKE_START_JOB_UNENDING, /* an answer, and nothing more */
        FAKE_START_JOB_FIRST,    /* JobRemoved before the answer */
        FAKE_START_NEW_INACTIVE, /* as FAKE_START, after telling that the new unit is inactive */
        FAKE_START_DEAD,         /* the unit is called active, then inactive, then its job done: its process runs */
        FAKE_START_KILLED,       /* the process dies before the job is done; the unit stays active, empty */
        FAKE_START_STAYS,        /* stays active when it is empty, until StopUnit */
        FAKE_START_ELSEWHERE,    /* the process isn't moved */
} FakeStart;

typedef struct FakeSystemd FakeSystemd;

/* NULL cgroups: none. */
FakeSystemd *fake_systemd_new(const char *bus_address, const char *cgroups);
void fake_systemd_free(FakeSystemd *fake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeSystemd, fake_systemd_free)

/* A directory below this process's own cgroup to make others in, NULL if that isn't allowed here. */
char *fake_systemd_find_cgroups(void);

/* How the next start goes that nothing has been said about; the default is FAKE_START. */
void fake_systemd_expect(FakeSystemd *fake, FakeStart start);
/* This systemd doesn't know the property OOMPolicy of a scope. */
void fake_systemd_set_no_oom_policy(FakeSystemd *fake);
/* What Result will say of a unit that has ended; "": nothing is ever said of it. */
void fake_systemd_set_result(FakeSystemd *fake, const char *unit, const char *result);
/* Every call of SetUnitProperties is refused. */
void fake_systemd_set_refuse_properties(FakeSystemd *fake);

/* Each call as a line: the method and its plain arguments, "StopUnit a.scope replace"; "Get Result <path>". */
unsigned fake_systemd_count_calls(FakeSystemd *fake, const char *line);
/* The properties of the last StartTransientUnit or SetUnitProperties, a(sv) as a dictionary. */
GVariant *fake_systemd_get_properties(FakeSystemd *fake);

gboolean fake_systemd_has_unit(FakeSystemd *fake, const char *unit);
/* Tells a new state: "deactivating", "inactive", "failed". The unit is kept, as one is that has
 * processes left. */
void fake_systemd_tell_state(FakeSystemd *fake, const char *unit, const char *state);
/* Tells it, and is rid of the unit. */
void fake_systemd_end_unit(FakeSystemd *fake, const char *unit, const char *state, const char *result);
/* Ends the job of a FAKE_START_JOB_UNENDING. */
void fake_systemd_end_job(FakeSystemd *fake, const char *unit);
/* Answers nothing, until fake_systemd_go_on(). */
void fake_systemd_hang(FakeSystemd *fake);
/* As one that the bus has thrown off: it answers nothing and tells nothing, but goes on to remove the cgroups of units that have ended. */
void fake_systemd_fall_silent(FakeSystemd *fake);
/* The calls that wait for that. */
unsigned fake_systemd_count_held(FakeSystemd *fake);
/* After a FAKE_START_UNANSWERED or fake_systemd_hang(): answers that and all calls since, in their order. */
void fake_systemd_go_on(FakeSystemd *fake);
