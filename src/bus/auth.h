/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may do what: the only room that decides it.
 *
 * On the session bus there is one user, and nothing is asked. On the system bus a caller is its uid, as the bus vouches for it; what is in no table is
 * refused to everybody. A user may see and steer the runtimes that run as it or that it has started; root all. What goes beyond is for polkit to say,
 * for this one call, and the call is held until it has: then it is put back into the queue of incoming messages and comes again, with the verdict known here.
 *
 *   1. Each call passes auth_filter() before it is dispatched, when its caller's uid is known.
 *   2. Whatever finds a runtime for a call asks auth_may_reach(), and hasn't found it if the answer is no. So a runtime that isn't for the caller's eyes is
 *      answered for as one that never was, by the same code. polkit is asked in either case, about what the call itself says: the time doesn't tell.
 *   3. StartRuntime asks auth_check_start() when it knows for whom it is to start what. */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

typedef struct Auth Auth;

#define UID_NOBODYS ((uid_t) -1)

typedef enum AuthMode {
        AUTH_MODE_USER,   /* the session bus */
        AUTH_MODE_SYSTEM, /* the system bus */
} AuthMode;

/* What a method or property takes. */
typedef enum AuthNeed {
        AUTH_NOBODY,  /* refused */
        AUTH_ANYBODY, /* it shows only what the caller may see */
        AUTH_START,   /* auth_check_start() decides */
        AUTH_SEE,     /* the runtime that it is about */
        AUTH_OWN,     /* to steer the runtime that it is about: it is the same who may */
        AUTH_RESTART, /* the same, and what a start would take now */
        AUTH_ADMIN,   /* the service itself */
        AUTH_MONITOR, /* sums over all users */
} AuthNeed;

/* What an object path, or the id in a call's first argument, names. */
typedef struct AuthTarget {
        uid_t uid;         /* as whom it runs, or would, going by the name; UID_NOBODYS: no runtime can have that name */
        bool exists;       /* then also: */
        uid_t starter_uid; /* who has started it */
        const char *kind;  /* borrowed */
        const char *user;  /* borrowed: the name of uid */
        char name[64];     /* u<uid>_<id>, whether there is such a runtime or not */
} AuthTarget;

typedef struct AuthHandler {
        /* text: an object path, or an id or name as this caller may write it. */
        void (*find_target)(void *userdata, uid_t caller, const char *text, bool is_path, AuthTarget *ret);
        /* polkit can't be asked, so that nobody gets what takes its word; said once until it can. */
        void (*on_failing)(void *userdata, const char *action, const char *problem);
} AuthHandler;

/* handler: for the system bus alone. */
Auth *auth_new(AuthMode mode, const AuthHandler *handler, void *userdata);
Auth *auth_free(Auth *auth);
/* There is a connection; NULL: it was lost, and all calls with it. */
void auth_attach(Auth *auth, sd_bus *bus);
/* The caller has left the bus. */
void auth_drop_peer(Auth *auth, const char *name);

/* For a filter of the connection: 0: the call is to be dispatched; 1: it has been answered, or will come again. */
int auth_filter(Auth *auth, sd_bus_message *call, uid_t caller);
/* First of all in that filter: true: the call has been there before, and isn't to be counted again; its caller may have left. The filter is to return
 * ret_result, as of auth_filter(). */
bool auth_again(Auth *auth, sd_bus_message *call, int *ret_result);

/* Whether the caller sees every runtime that there is. */
bool auth_sees_all(const Auth *auth, uid_t caller);
/* Whether the caller sees a runtime that runs as uid and was started by starter_uid. */
bool auth_may_see(const Auth *auth, uid_t caller, uid_t uid, uid_t starter_uid);
/* Whether this call may be about the runtime of that name (u<uid>_<id>): the caller sees it, or polkit allows the call. */
bool auth_may_reach(const Auth *auth, sd_bus_message *call, uid_t caller, const char *name, uid_t uid, uid_t starter_uid);

typedef struct AuthStart {
        const char *kind;
        const char *id;   /* as the caller gave it, NULL: none */
        uid_t uid;        /* for whom */
        const char *user; /* that user's name */
} AuthStart;

/* 1: go on. 0: it is asked: the handler is to return 1, and is called again with the same message. Negative: refused. */
int auth_check_start(Auth *auth, sd_bus_message *call, uid_t caller, const AuthStart *start, sd_bus_error *reterr);

/* A call that came again may take another while until auth_check_start() is asked, and other calls come meanwhile: its verdict is kept by who handles it, and
 * taken back just before. */
typedef struct Held AuthVerdict;
/* NULL: there is none. */
AuthVerdict *auth_keep_verdict(Auth *auth, sd_bus_message *call);
/* Takes it; NULL does nothing. */
void auth_resume_verdict(Auth *auth, AuthVerdict *verdict);
AuthVerdict *auth_drop_verdict(AuthVerdict *verdict);

/* The tables, for tests and documentation; AUTH_NOBODY: there is no row. */
AuthNeed auth_method_need(const char *interface, const char *member);
AuthNeed auth_property_need(const char *interface, const char *property);
