/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon of the system bus and its spawner say to each other.
 *
 * The daemon meets callers, runtimes and files, and has no rights; the spawner has the rights, and meets the daemon alone. It starts keepers as the user
 * that a runtime is for, makes their scopes, and stops, kills and limits those: nothing else, and nothing for root unless its configuration says so. It
 * checks each request again, as if the daemon had been taken over.
 *
 * One AF_UNIX SOCK_SEQPACKET connection, to SPAWNER_SOCKET; a new one replaces the old. Each message is one struct of this header, beginning with its
 * type, in host byte order; strings are fixed arrays that hold a NUL. Both ends are of one version: they are installed and restarted together. A broken
 * message ends the connection. Scopes outlive both ends: whoever comes back asks for them with SPAWNER_ADOPT.
 *
 *   SPAWNER_START → SPAWNER_KEEPER, then SPAWNER_STARTED or SPAWNER_FAILED;   or   SPAWNER_FAILED at once
 *   SPAWNER_SCOPE → SPAWNER_STARTED or SPAWNER_FAILED
 *   SPAWNER_ADOPT → nothing, as long as the unit is there
 *   … and of each unit that was started or adopted: SPAWNER_STOPPING, when somebody stops it, and SPAWNER_GONE once, the last word. */

#include <stdint.h>

#define SPAWNER_SOCKET "/run/runtime-manager-spawner/socket"
/* Below it each runtime has its own folder, `u<uid>_<id>`, mode 0700, of its user; it comes with SPAWNER_START and goes with SPAWNER_REMOVE. */
#define SPAWNER_RUNTIMES "/run/runtime-manager-runtimes"

#define SPAWNER_UNIT_MAX 256U /* bytes of a unit's name, with its NUL */
#define SPAWNER_TEXT_MAX 512U /* of a sentence, a user's name, a path */
#define SPAWNER_LIMITS_MAX 6U /* LimitKey of core/limits-set.h; a test holds them together */
#define SPAWNER_FDS 4U        /* of SPAWNER_START: link, ring, spec, and the socket on which the keeper is to listen, bound and not yet listening */

enum spawner_type {
        /* daemon → spawner */
        SPAWNER_USER = 1, /* struct spawner_user */
        SPAWNER_START,    /* struct spawner_start, with SPAWNER_FDS fds */
        SPAWNER_SCOPE,    /* struct spawner_start: once more around the keeper that is `pid` */
        SPAWNER_ADOPT,    /* struct spawner_unit */
        SPAWNER_STOP,     /* struct spawner_unit: as systemd stops a unit */
        SPAWNER_KILL,     /* struct spawner_unit: SIGKILL to all of it, the keeper too */
        SPAWNER_LIMIT,    /* struct spawner_start: limits of `keys` alone; answered with SPAWNER_LIMITED */
        SPAWNER_RELEASE,  /* struct spawner_unit: no more is to be told of it */
        SPAWNER_REMOVE,   /* struct spawner_unit: the folder of the runtime whose unit this was; nothing of it runs */
        SPAWNER_JOB,      /* uint32_t type alone: whether the daemon's unit is being restarted; answered with SPAWNER_JOB_IS */

        /* spawner → daemon */
        SPAWNER_USER_IS = 64, /* struct spawner_user_is */
        SPAWNER_KEEPER,       /* struct spawner_keeper, with its pidfd: it waits, and its scope is being made */
        SPAWNER_STARTED,      /* struct spawner_unit: the scope is there, with its two child cgroups, and the keeper is in it */
        SPAWNER_FAILED,       /* struct spawner_news: there is no unit, and no keeper unless it was there before */
        SPAWNER_STOPPING,     /* struct spawner_unit */
        SPAWNER_GONE,         /* struct spawner_news */
        SPAWNER_LIMITED,      /* struct spawner_news: error 0, or what was wrong */
        SPAWNER_JOB_IS,       /* struct spawner_job_is */
};

struct spawner_unit {
        uint32_t type;
        char unit[SPAWNER_UNIT_MAX]; /* runtime-<kind>-u<uid>_<id>.scope, or ….<number>.scope */
};

/* Who a user is: by uid, or by name if that isn't "". */
struct spawner_user {
        uint32_t type;
        uint32_t cookie;
        uint32_t uid;
        char name[SPAWNER_TEXT_MAX];
};

struct spawner_user_is {
        uint32_t type;
        uint32_t cookie;
        int32_t error; /* 0; ENOENT: no such user; EPERM: runtimes aren't started for that one */
        uint32_t uid;
        uint32_t gid;
        uint32_t has_runtime_directory; /* 1: /run/user/<uid> is there, and the user's */
        char name[SPAWNER_TEXT_MAX];
        char home[SPAWNER_TEXT_MAX];
        char shell[SPAWNER_TEXT_MAX];
};

struct spawner_start {
        uint32_t type;
        uint32_t uid;
        uint32_t pid;  /* SPAWNER_SCOPE alone, else 0 */
        uint32_t keys; /* bits (1 << LimitKey) of the limits that are set */
        uint64_t limits[SPAWNER_LIMITS_MAX];
        uint64_t timeout_stop_usec;
        char unit[SPAWNER_UNIT_MAX];
};

struct spawner_keeper {
        uint32_t type;
        uint32_t pid;
        char unit[SPAWNER_UNIT_MAX];
};

struct spawner_news {
        uint32_t type;
        int32_t error;   /* errno, positive; 0: none */
        uint32_t result; /* SPAWNER_GONE: ScopeResult of core/scope.h */
        char unit[SPAWNER_UNIT_MAX];
        char text[SPAWNER_TEXT_MAX]; /* a sentence, "" if there is none */
};

struct spawner_job_is {
        uint32_t type;
        uint32_t restart; /* 0 or 1 */
};
