/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the runtime room share; for nobody else. */

#include "core/handshake.h"
#include "core/runtime.h"

/* From the keeper's exit until systemd must have noticed that the scope is empty. */
#define UNIT_TIMEOUT_USEC (2 * USEC_PER_SEC)

struct Runtime {
        const RuntimeContext *context;
        const RuntimeHandler *handler;
        void *userdata;
        void *link_of_owner;

        char *name;            /* its Id, on the system bus with the user's number before it: unique among all users' */
        uint64_t created_usec; /* CLOCK_MONOTONIC */
        Kind *kind;
        StartOptions *options;
        KindPlan *plan;
        LimitSet limits;

        char *program, *directory; /* of the command, as they were asked for; NULL after a return */

        int ring_fd; /* for the keeper, and the next one after a restart */
        int spec_fd; /* for the keeper; gone when it has been started */

        RuntimeState state, previous_state;
        unsigned changed;                                         /* properties not announced yet */
        uint64_t start_timestamp, ready_timestamp, end_timestamp; /* CLOCK_REALTIME, 0: not yet */
        uint64_t executed_usec, ended_usec;                       /* CLOCK_MONOTONIC, 0: not yet */
        uint64_t over_usec;                                       /* CLOCK_MONOTONIC, when its end was told */
        uint64_t deadline_usec;                                   /* of the state, CLOCK_MONOTONIC */
        uint64_t owner_usec;                                      /* when it ends for want of an owner, CLOCK_MONOTONIC */
        Reason owner_reason;
        uint64_t max_usec; /* RuntimeMaxUSec as a point in time */
        uint64_t handshake_timeout_usec, max_timeout_usec;
        sd_event_source *timer;

        Scope *scope;
        char *unit;
        char *control_group;
        unsigned scope_attempts;
        bool scope_up; /* the job is done, and the unit hasn't gone */
        bool scope_pending;
        Turn turn; /* until systemd has made the scope, or won't */

        pid_t keeper_pid; /* 0: not started, or reaped */
        int keeper_pidfd;
        sd_event_source *keeper_source;
        KeeperLink *link;
        bool run_sent;   /* the keeper was told to run something */
        bool collecting; /* it was told to end */
        bool done;       /* it has told all */

        /* What the next daemon must know to ask for nothing twice; see runtime-record.c. */
        uint64_t control_number; /* of the last event of the runtime that was acted on */
        uint64_t effect;         /* number of the last message or signal that went to the keeper, and must not be lost */
        char *effect_message;    /* that message, or … */
        int effect_who;          /* … whom … */
        int effect_signal;       /* … to send this signal; 0: neither */
        bool unsaved;            /* the last attempt to save it failed */
        bool ring_saved;
        bool over;     /* on_ended() was called */
        bool told_end; /* and that will be heard, whatever becomes of us */
        bool again;    /* to be started again when it has ended */

        /* After a restart of the daemon; see runtime-return.c. */
        bool returning;       /* until runtime_resume(): nothing is done, and no time passes */
        bool found;           /* by its keeper alone: there was no record */
        bool refused;         /* its keeper speaks a language that we don't */
        uint64_t search_usec; /* when its keeper is looked for again, CLOCK_MONOTONIC */
        unsigned n_searches;

        Handshake *handshake;
        uint32_t told;    /* the command that the keeper was told to run last */
        bool is_told;     /* it hasn't answered yet */
        uint32_t command; /* that runs, or ran last; n_steps is the runtime's own */
        pid_t main_pid;
        char *status_text, *node, *connection;
        unsigned generation;
        uint64_t lines_before; /* number of the last line of the generations before */
        bool started;          /* on_started() or on_start_failed() was called */
        bool has_run;          /* on_started() was, in this generation or in one before */

        Report *report;
        bool has_cause; /* report has result, reason and message */
        bool ending;    /* on_ending() is being waited for */
        bool exited;    /* exit_code and exit_status of the main process are known */
        int exit_code, exit_status;
        uint64_t exited_usec; /* CLOCK_MONOTONIC, when we were told */
        ScopeResult scope_result;
        StopStage first_stage; /* with which the stop begins, if that runtime has it */
        StopStage stop_stage;
        uint64_t stop_timeout_usec;
        bool killed;                            /* SIGKILL was sent at somebody's request */
        bool start_lost;                        /* the daemon before was killed while it started it, and nothing of it has run */
        bool has_unit;                          /* there is a unit, or was */
        bool oom_killed;                        /* the main process was what the kernel killed for memory */
        uint64_t warned_kills, warned_high;     /* what on_warning() has said */
        uint64_t warn_oom_usec, warn_high_usec; /* when it may say more, CLOCK_MONOTONIC */
        unsigned logged_warnings;               /* bits (1 << Warning) */
        bool told_closed;                       /* that the control connection was closed */
        char *closed;                           /* it was closed before ready; what to say if the process doesn't end at once */
        uint64_t chatter_usec;                  /* when to announce what the runtime says of itself, CLOCK_MONOTONIC */
        uint64_t announced_usec;
        char *start_error; /* name of the D-Bus error that answers the start */

        RingReader ring;
};

uint64_t now_usec(clockid_t clock);

/* runtime.c */
/* All that every runtime has, however it came to be. */
int runtime_alloc(const RuntimeContext *context, const RuntimeHandler *handler, void *userdata, Runtime **ret);
void runtime_set_state(Runtime *runtime, RuntimeState state, uint64_t timeout_usec);
/* Deadline, RuntimeMaxUSec, and what waits to be announced: the next of them. */
void runtime_set_timer(Runtime *runtime);
void runtime_set_deadline(Runtime *runtime, uint64_t deadline_usec);
void runtime_changed(Runtime *runtime, unsigned properties);
void runtime_announce(Runtime *runtime);
/* For what the runtime says of itself: not more often than a client can bear. */
void runtime_announce_chatter(Runtime *runtime);
unsigned runtime_n_steps(const Runtime *runtime);
bool runtime_is_main_command(const Runtime *runtime, uint32_t command);

/* Ends a keeper that runs nothing yet, and that nobody else will wait for. */
void runtime_reap_keeper(Runtime *runtime);

/* runtime-record.c */
/* Writes the record. Whatever must not be forgotten is written before it is done, and before it is told. A failure is logged once. */
int runtime_save(Runtime *runtime);
/* The same for the output, when no line will be added. */
void runtime_save_ring(Runtime *runtime);
/* Sends what the keeper is to do exactly once, by way of the record. */
int runtime_send_once(Runtime *runtime, const char *message);
int runtime_signal_once(Runtime *runtime, enum link_who who, int signo);
/* Sends the last of these again: the daemon before may not have come to it. */
void runtime_repeat_effect(Runtime *runtime);

/* runtime-return.c */
/* The keeper's ring, after a return. */
void runtime_take_ring(Runtime *runtime, const struct link_hello *hello, int ring_fd);
/* What was waited for has come, or won't come. */
void runtime_end_search(Runtime *runtime);
void runtime_search_again(Runtime *runtime);

/* runtime-spawn.c */
/* Starts the keeper, and watches it. */
int runtime_start_keeper(Runtime *runtime);
/* The same by way of the scope room; see ScopeHandler. */
int runtime_ask_for_keeper(Runtime *runtime, ScopeOptions *options);
void runtime_on_keeper(void *userdata, pid_t pid, int pidfd);
void runtime_on_scope_gone(void *userdata, ScopeResult result);
/* Another one is going to be started in its place. */
void runtime_forget_keeper(Runtime *runtime);
/* Notices the keeper's exit. */
int runtime_watch_keeper(Runtime *runtime);
/* runtime-start.c */
/* For the scope, however we came to it. */
extern const ScopeHandler runtime_scope_handler;
int runtime_make_spec(Runtime *runtime, const RuntimeParameters *parameters);
/* The next may ask systemd, unless it is still busy with this one. */
void runtime_end_turn(Runtime *runtime);
/* Nothing runs yet, and nothing will. Takes message. */
void runtime_give_up_start(Runtime *runtime, Reason reason, const char *error_name, char *message);

/* runtime-keeper.c */
extern const KeeperHandler runtime_keeper_handler;
void runtime_enter_initializing(Runtime *runtime);
void runtime_enter_ready(Runtime *runtime);
/* Tells the keeper to run a setup step, or the command. */
void runtime_run(Runtime *runtime, uint32_t command);

/* runtime-log.c */
typedef enum Warning {
        WARNING_CONNECTION_CLOSED,
        WARNING_LEFTOVERS,
        WARNING_MEMORY_HIGH,
        WARNING_OOM_KILL,
        WARNING_SCOPE_LOST,
        _WARNING_MAX,
} Warning;

void runtime_log_started(const Runtime *runtime);
void runtime_log_ready(const Runtime *runtime);
void runtime_log_ended(const Runtime *runtime);
/* Writes it down, and tells it. */
void runtime_warn(Runtime *runtime, Warning warning, const char *message, const char *key, uint64_t value);
void runtime_log(const Runtime *runtime, int priority, const char *message_id, const JournalField *more, const char *format, ...) _printf_(5, 6);
/* What each line of its output carries in the journal, as the protocol has it. */
char *runtime_journal_fields(const Runtime *runtime);

/* runtime-end.c */
/* The first cause of an end is the one that is told. Takes message. */
void runtime_set_cause(Runtime *runtime, Result result, Reason reason, RequestedBy by, char *message);
/* Begins the stop with the first stage that this runtime has. */
void runtime_enter_stopping(Runtime *runtime, StopStage first);
void runtime_begin_stage(Runtime *runtime, StopStage stage);
void runtime_escalate(Runtime *runtime);
void runtime_collect(Runtime *runtime);
void runtime_check_end(Runtime *runtime);
/* Stops it for a cause, from whatever state it is in. Takes message. */
void runtime_stop_for(Runtime *runtime, Result result, Reason reason, RequestedBy by, char *message, StopStage first);
void runtime_on_keeper_exit(Runtime *runtime);
/* It ended before the daemon was killed, but it isn't known to whom that was told. */
void runtime_end_again(Runtime *runtime);
void runtime_on_timer(Runtime *runtime);
