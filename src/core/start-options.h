/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a client asked for, as checked values: the options of StartRuntime that are common to all kinds (dbus/ documents them), and those that the
 * kind declares. */

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/limits-set.h"
#include "core/user.h"

/* A time that wasn't given; UINT64_MAX is infinity. */
#define TIME_UNSET (UINT64_MAX - 1)

typedef enum OwnerMode {
        OWNER_NONE,
        OWNER_CALLER,
        OWNER_REQUIRED,
} OwnerMode;

typedef struct StartOptions {
        char *id;        /* NULL: choose one */
        char *user_name; /* or number, as the client gave it; NULL: it gave none. Not in the record */
        char *description;
        char **labels; /* key, value, key, value …, sorted by key, NULL at the end */
        char **command;
        char **arguments;
        char **environment;
        char **unset_environment;
        char *working_directory;
        bool input_pipe;     /* neither: /dev/null */
        bool input_terminal; /* a terminal, for its output too */
        OwnerMode owner;
        char *owner_name;
        uint64_t owner_timeout_usec;
        uint64_t owner_grace_usec;
        bool no_new_privileges;
        bool journal; /* its output goes to the journal too */
        uint64_t timeout_start_usec;
        uint64_t timeout_setup_usec;
        uint64_t timeout_handshake_usec;
        uint64_t timeout_stop_usec;
        uint64_t runtime_max_usec;
        uint64_t retain_usec;
        uint64_t ring_bytes;
        LimitSet limits;
        GHashTable *values; /* option of the kind → KindValue */
        char *fingerprint;  /* of all of the above as the client sent it: equal if a start is repeated */
        uid_t uid;          /* for whom it is, and who may steer it */
        uid_t starter_uid;  /* who asked; root and those whom polkit lets may ask for another */
        User *user;         /* the same as uid; NULL: who this process runs for */
} StartOptions;

StartOptions *start_options_new(uid_t uid);
/* For another user; takes it. */
void start_options_set_user(StartOptions *options, User *user);
StartOptions *start_options_free(StartOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StartOptions, start_options_free)

/* Sets fingerprint from all the other fields. */
void start_options_seal(StartOptions *options);

/* As a JSON object, and back. Secret: a client's environment is in it. -EBADMSG if anything is missing, wrong or left over. */
int start_options_to_record(const StartOptions *options, json_t **ret);
int start_options_from_record(json_t *record, StartOptions **ret);

/* The value of a label, NULL if there is no such. */
const char *start_options_get_label(const StartOptions *options, const char *key);

/* The defaults and bounds of the common options' times. */
#define START_TIMEOUT_MAX_USEC (UINT64_C(5) * 1000000)
#define STOP_TIMEOUT_DEFAULT_USEC (UINT64_C(5) * 1000000)
#define SETUP_TIMEOUT_DEFAULT_USEC (UINT64_C(10) * 60 * 1000000)
/* A runtime is told a deadline this much later than the one that is kept here: its own giving up is for a manager that is away, and shall not forestall the
 * word of one that is there. */
#define HANDSHAKE_SLACK_USEC (UINT64_C(1) * 1000000)
#define OWNER_TIMEOUT_DEFAULT_USEC (UINT64_C(5) * 1000000)
#define RETAIN_DEFAULT_USEC (UINT64_C(10) * 60 * 1000000)
#define TIMEOUT_MAX_USEC (UINT64_C(24) * 3600 * 1000000)
