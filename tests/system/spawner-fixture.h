/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A spawner of our own, and this process as its daemon: root, which becomes the daemon's uid while it connects. */

#include <sys/stat.h>

#include "keeper-fixture.h"
#include "util/spawner.h"

#define DAEMON_UID 989

typedef union SpawnerAnswer {
        uint32_t type;
        struct spawner_user_is user;
        struct spawner_keeper keeper;
        struct spawner_unit unit;
        struct spawner_news news;
        struct spawner_job_is job;
} SpawnerAnswer;

typedef struct Spawner {
        char *directory; /* its socket, and the keepers' */
        char *runtimes;
        char *records; /* the daemon's; isn't there, unless a test makes it */
        GPid pid;
        int connection;
        uid_t alice;
        gid_t alices_group;
        SpawnerAnswer answer; /* the last */
        int answer_fd;
} Spawner;

/* NULL, or why the tests can't run here. */
const char *spawner_prepare(void);
uid_t spawner_user(const char *name, gid_t *ret_group);

Spawner *spawner_new(void);
void spawner_free(Spawner *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spawner, spawner_free)

/* Connects as the daemon, or as anybody. */
int spawner_connect_as(Spawner *s, uid_t uid);
void spawner_connect(Spawner *s);

void spawner_send(Spawner *s, const void *message, size_t size, const int *fds, size_t n_fds);
void spawner_send_unit(Spawner *s, enum spawner_type type, const char *unit);
/* The folder of a runtime that has ended; returns when the spawner has been told. */
void spawner_remove(Spawner *s, const char *unit);
/* The next message must be of that type. */
const SpawnerAnswer *spawner_wait(Spawner *s, enum spawner_type type);
/* Skips others. */
const SpawnerAnswer *spawner_wait_for(Spawner *s, enum spawner_type type);
/* The spawner closes the connection, without a word. */
void spawner_wait_closed(Spawner *s);

/* The keeper's end of a start: what it is told, and our end of its link. */
Fixture *spawner_keeper_new(Spawner *s, const char *name, const char *script);
void spawner_keeper_free(Fixture *f);
struct spawner_start spawner_request(Spawner *s, const char *unit);
/* Sends SPAWNER_START with the keeper's fds. */
void spawner_send_start(Spawner *s, const struct spawner_start *start, Fixture *f);
/* All the way to the command's execution. */
void spawner_start(Spawner *s, const struct spawner_start *start, Fixture *f);

/* Of a runtime of alice's. */
char *spawner_unit_of(Spawner *s, const char *id);
char *spawner_name_of(Spawner *s, const char *id);

/* From /proc: a file; the words behind a key of its status; its place in the unified tree. */
char *spawner_read_of(GPid pid, const char *file);
char *spawner_status_of(GPid pid, const char *key);
char *spawner_cgroup_of(GPid pid);

/* Kills the unit, waits for its end, and frees f. */
void spawner_end(Spawner *s, const char *unit, Fixture *f);

/* Asks who that is, and expects this error. The answer stays. */
void spawner_assert_user(Spawner *s, const char *name, uid_t uid, int error);

bool spawner_is_gone(const char *path);
