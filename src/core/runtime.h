/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One runtime: its life from the waiting keeper to the end report. See runtime.c for the states, runtime-end.c for the ways to end. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/journal.h"
#include "core/keeper-link.h"
#include "core/kind.h"
#include "core/record.h"
#include "core/report.h"
#include "core/scope.h"
#include "core/start-options.h"
#include "util/ring.h"
#include "core/turns.h"

typedef struct Runtime Runtime;

/* What all runtimes of a manager share. Borrowed; outlives them. */
typedef struct RuntimeContext {
        sd_event *event;
        ScopeBus *scopes;
        RecordStore *records;
        Journal *journal; /* NULL: nothing is written down */
        const char *keeper_path;
        Turns *starts; /* who may be asking systemd for a scope */
        const char *slice;
        const char *directory; /* the runtime directory */
        const struct rlimit *fd_limit;
        bool many_users; /* each runtime is for a user of its own (system bus) */
} RuntimeContext;

/* Under what name a runtime with that id is known to the bus, to systemd and in the runtime directory. */
char *runtime_name(bool many_users, uid_t uid, const char *id);
/* The folder with the sockets that it may use; where there are many users it isn't the one of its record. */
char *runtime_directory_of(const RuntimeContext *context, const char *name);
/* Has that folder removed, if it isn't the one of its record; nothing of the runtime runs. */
void runtime_remove_directory(const RuntimeContext *context, const char *name);
/* The id in such a name, and the user; NULL if it can't be one. */
const char *runtime_name_parse(bool many_users, const char *name, uid_t *ret_uid);

/* Properties that may change: bits for on_properties(). The order is that of runtime_property_table in the bus. */
typedef enum RuntimeProperty {
        RUNTIME_PROPERTY_STATE = 1 << 0,
        RUNTIME_PROPERTY_STATUS_TEXT = 1 << 1,
        RUNTIME_PROPERTY_STEP = 1 << 2,
        RUNTIME_PROPERTY_DEADLINE = 1 << 3,
        RUNTIME_PROPERTY_UNIT = 1 << 4,
        RUNTIME_PROPERTY_CONTROL_GROUP = 1 << 5,
        RUNTIME_PROPERTY_MAIN_PID = 1 << 6,
        RUNTIME_PROPERTY_NODE = 1 << 7,
        RUNTIME_PROPERTY_LIMITS = 1 << 8,
        RUNTIME_PROPERTY_READY_TIMESTAMP = 1 << 9,
        RUNTIME_PROPERTY_END_TIMESTAMP = 1 << 10,
        RUNTIME_PROPERTY_END_REPORT = 1 << 11,
        RUNTIME_PROPERTY_GENERATION = 1 << 12,
        RUNTIME_PROPERTY_OWNER = 1 << 13, /* and OwnerName */
} RuntimeProperty;
#define RUNTIME_PROPERTIES_ALL (RUNTIME_PROPERTY_OWNER | (RUNTIME_PROPERTY_OWNER - 1))

/* News, in the order in which clients are to hear them. No handler may free the runtime, but for on_over. */
typedef struct RuntimeHandler {
        void (*on_properties)(void *userdata, Runtime *runtime, unsigned properties);
        void (*on_state)(void *userdata, Runtime *runtime, RuntimeState old, RuntimeState new);
        void (*on_setup_progress)(void *userdata, Runtime *runtime, unsigned index);
        /* Exactly one of these two answers a start. */
        void (*on_started)(void *userdata, Runtime *runtime);
        void (*on_start_failed)(void *userdata, Runtime *runtime, const sd_bus_error *error);
        void (*on_ready)(void *userdata, Runtime *runtime);
        /* The answer to runtime_watch_output(): there are new lines. */
        void (*on_output)(void *userdata, Runtime *runtime);
        void (*on_warning)(void *userdata, Runtime *runtime, const char *code, const char *message, const char *key, uint64_t value);
        /* Nothing runs any more, and no line will be added. Return true to be waited for: then call runtime_finish(). */
        bool (*on_ending)(void *userdata, Runtime *runtime);
        /* Return false if it hasn't left this process yet: then call runtime_end_is_told() when it has. */
        bool (*on_ended)(void *userdata, Runtime *runtime);
        /* The last: the owner may free it. restart: it is to be started again. */
        void (*on_over)(void *userdata, Runtime *runtime, bool restart);
        /* It was being started when the daemon before went, and may not have been announced. */
        void (*on_added_again)(void *userdata, Runtime *runtime);
        /* The answer to runtime_return(). */
        void (*on_returned)(void *userdata, Runtime *runtime);
} RuntimeHandler;

/* Takes options and plan, whether it succeeds or not; argv and environment are those of the command, ready to be executed. */
typedef struct RuntimeParameters {
        const char *name; /* see runtime_name() */
        const Kind *kind;
        StartOptions *options;
        KindPlan *plan;
        char **argv;             /* borrowed */
        char **environment;      /* borrowed */
        const char *executable;  /* borrowed; absolute, or (many users) a name that the keeper looks up */
        char **step_executables; /* the same, one a step */
        const char *directory;   /* borrowed; absolute */
        const char *init_ref;
        const char *runtime_directory; /* its own: where its sockets are */
        LimitSet limits;
        uint64_t handshake_usec; /* until it must be ready */
        uint64_t max_usec;       /* how long it may run */
} RuntimeParameters;

int runtime_new(const RuntimeContext *context, RuntimeParameters *parameters, const RuntimeHandler *handler, void *userdata, Runtime **ret);
/* Coming back after the daemon was killed or restarted, in three steps, so that nothing is told before there is somebody to tell it to:
 *
 *   runtime_new_from_record()   the runtime as it was, its time stopped; -EBADMSG: not a record, -ESTALE: of another boot
 *   runtime_return()            looks for its keeper; on_returned tells when its output can be read, or that it has no keeper any more
 *   runtime_resume()            goes on: what was missed is learnt, and told
 *
 * runtime_new_found() is for a keeper whose record is lost: the runtime goes on with what the keeper knows, which isn't how to greet or stop it. */
int runtime_new_from_record(const RuntimeContext *context, json_t *record, const RuntimeHandler *handler, void *userdata, Runtime **ret);
int runtime_new_found(const RuntimeContext *context, const char *name, const RuntimeHandler *handler, void *userdata, Runtime **ret);
void runtime_return(Runtime *runtime);
void runtime_resume(Runtime *runtime);

/* Ends nothing: a keeper that hasn't been told to run exits, others go on. */
Runtime *runtime_free(Runtime *runtime);

/* Starts the keeper and asks for the scope, or does so when it has its turn. reterr: StartFailed. */
int runtime_start(Runtime *runtime, sd_bus_error *reterr);

/* Starts an ended runtime again, with the parameters of a new plan (options: NULL, it has them). Numbers of lines go on. As with any start, on_started or
 * on_start_failed tells. */
void runtime_restart(Runtime *runtime, RuntimeParameters *parameters);

/* Ends it in usec from now for want of an owner, with that reason; USEC_INFINITY: it has one, or needs none. */
void runtime_expect_owner(Runtime *runtime, uint64_t usec, Reason reason);

/* timeout_usec: for each stage, 0: kill at once, TIME_UNSET: as the runtime has it. */
int runtime_stop(Runtime *runtime, RequestedBy by, uid_t uid, uint64_t timeout_usec, sd_bus_error *reterr);
/* Goes on after on_ending() returned true. */
void runtime_finish(Runtime *runtime);
/* After on_ended() returned false. Until then a daemon that comes after this one tells the end again. */
void runtime_end_is_told(Runtime *runtime);
int runtime_interrupt(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
int runtime_kill(Runtime *runtime, enum link_who who, int signo, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
int runtime_input_write(Runtime *runtime, const void *bytes, size_t size, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
int runtime_input_open(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
/* "null", "pipe" or "terminal". */
const char *runtime_get_input(const Runtime *runtime);
int runtime_resize_terminal(Runtime *runtime, uint16_t rows, uint16_t columns, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
int runtime_input_close(Runtime *runtime, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
/* flags: of OpenOutput. What has ended is read from the ring: reply is then called before it returns. */
int runtime_output_open(Runtime *runtime, uint64_t after, uint32_t flags, KeeperReplyFunc reply, void *userdata, sd_bus_error *reterr);
/* keys: bits (1 << LimitKey) of those to set. */
int runtime_set_limits(Runtime *runtime, const LimitSet *limits, unsigned keys, ScopeLimitsFunc done, void *userdata, sd_bus_error *reterr);
/* To be called when they are set for the unit: sets what is the payload's. */
void runtime_limits_changed(Runtime *runtime, const LimitSet *limits, unsigned keys);
/* Asks for one on_output() when there is a line after that number. Negative: the keeper could not be asked. */
int runtime_watch_output(Runtime *runtime, uint64_t after);

/* Whether it is to be started again when it has ended; kept for the owner, over restarts of the daemon too. */
void runtime_set_again(Runtime *runtime, bool again);
bool runtime_get_again(const Runtime *runtime);
/* In this generation or in one before. */
bool runtime_has_run(const Runtime *runtime);
/* Its end has been told: nothing will come any more. */
bool runtime_is_over(const Runtime *runtime);
/* The daemon was killed while it started the runtime, and nothing of it has run: who asks for it again gets another start. */
bool runtime_is_start_lost(const Runtime *runtime);

/* For the owner's lists, not owned. */
void runtime_set_link(Runtime *runtime, void *link);
void *runtime_get_link(const Runtime *runtime);

const char *runtime_get_id(const Runtime *runtime);    /* unique among those of its user */
const char *runtime_get_name(const Runtime *runtime);  /* see runtime_name() */
uid_t runtime_get_uid(const Runtime *runtime);         /* for whom it is */
uid_t runtime_get_starter_uid(const Runtime *runtime); /* who started it */
const Kind *runtime_get_kind(const Runtime *runtime);
const StartOptions *runtime_get_options(const Runtime *runtime);
RuntimeState runtime_get_state(const Runtime *runtime);
const char *runtime_get_status_text(const Runtime *runtime);
const char *runtime_get_step(const Runtime *runtime); /* "" if none runs */
unsigned runtime_get_n_steps(const Runtime *runtime);
uint64_t runtime_get_deadline(const Runtime *runtime); /* CLOCK_MONOTONIC, UINT64_MAX: none */
const char *runtime_get_unit(const Runtime *runtime);
const char *runtime_get_control_group(const Runtime *runtime);
pid_t runtime_get_main_pid(const Runtime *runtime);
const char *runtime_get_node(const Runtime *runtime);
const LimitSet *runtime_get_limits(const Runtime *runtime);
uint64_t runtime_get_start_timestamp(const Runtime *runtime);
uint64_t runtime_get_ready_timestamp(const Runtime *runtime);
uint64_t runtime_get_end_timestamp(const Runtime *runtime);
uint64_t runtime_get_created_usec(const Runtime *runtime); /* CLOCK_MONOTONIC */
uint64_t runtime_get_over_usec(const Runtime *runtime);    /* CLOCK_MONOTONIC, when its end was told */
const Report *runtime_get_report(const Runtime *runtime);  /* NULL until it has ended */
const RingReader *runtime_get_ring(const Runtime *runtime);
/* JSON object, NULL if there is nothing to connect to. Secret: for those who may see the runtime, never in a signal, property or log. */
const char *runtime_get_connection(const Runtime *runtime);
unsigned runtime_get_generation(const Runtime *runtime); /* from 1 */
bool runtime_is_started(const Runtime *runtime);         /* whether on_started was called */
