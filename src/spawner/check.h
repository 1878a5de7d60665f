/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon may ask for. Nothing here does anything: bytes go in, yes or no comes out. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/limits-set.h"
#include "util/spawner.h"

#define CHECK_KIND_MAX 32U    /* bytes of a kind's name */
#define CHECK_ID_MAX 32U      /* of an id */
#define CHECK_ATTEMPT_MAX 99U /* of the number that a unit's name may have behind the runtime's */

/* systemd's own patience with a unit, at most. */
#define CHECK_TIMEOUT_STOP_MAX_USEC (10 * 60 * UINT64_C(1000000))

/* Any message of the daemon, as it is received. */
typedef union SpawnerRequest {
        uint32_t type;
        struct spawner_user user;
        struct spawner_start start;
        struct spawner_unit unit;
} SpawnerRequest;

/* What a unit's name says. */
typedef struct UnitName {
        char kind[CHECK_KIND_MAX + 1];
        uid_t uid;
        char name[sizeof("u4294967295_") + CHECK_ID_MAX]; /* u<uid>_<id>: the runtime's folder, too */
        unsigned attempt;                                 /* 0: without a number */
} UnitName;

/* For whom runtimes are started. */
typedef struct Rights {
        uid_t minimum_uid;
        uid_t daemon_uid; /* not for the daemon itself: that would be its way out of its sandbox */
        bool allow_root;
} Rights;

/* -EBADMSG: no message that the daemon may send, with so many fds, or one whose strings don't end. */
int check_request(const SpawnerRequest *request, size_t size, size_t n_fds);

/* runtime-<kind>-u<uid>_<id>.scope, or ….<number>.scope; -EINVAL. */
int check_unit(const char *unit, UnitName *ret);

/* Whether both are units of one and the same runtime. */
bool check_same_runtime(const UnitName *a, const UnitName *b);

/* -EPERM. */
int check_uid(const Rights *rights, uid_t uid);

/* The name of a user, as anybody may have made it up; -EINVAL. */
int check_user_name(const char *name);

/* Of SPAWNER_START, SPAWNER_SCOPE and SPAWNER_LIMIT, what each has of it; *ret_limits: UINT64_MAX for those that aren't in keys. -EINVAL, -ERANGE. */
int check_limits(const struct spawner_start *start, LimitSet *ret_limits);
int check_start(const struct spawner_start *start, UnitName *ret_name, LimitSet *ret_limits);

/* The cgroup of the unit: below the root of systemd's tree, as "/a/b" or "". */
char *check_cgroup_of_unit(const char *root, const UnitName *name, const char *unit);
