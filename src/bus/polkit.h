/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Questions to polkit: whether a caller may do something that the administrator decides.
 *
 * polkit may take long, for it may ask a person for a password, and anybody may make us ask. So nothing waits for its answer but the call that it is
 * about, each uid has few questions under way at once and the others of its own wait for their turn, behind nobody else's. No answer is kept for another
 * call. What isn't a clear yes is a no. */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

typedef struct Polkit Polkit;

typedef enum PolkitVerdict {
        POLKIT_ALLOWED,
        POLKIT_DENIED,
        POLKIT_CHALLENGE, /* a person would have to be asked, and the call doesn't allow it */
        POLKIT_FAILED,    /* polkit isn't there, or says nothing that makes sense */
        POLKIT_DROPPED,   /* nobody waits for the answer any more: the caller has left, or the connection is lost */
} PolkitVerdict;

/* Copied. */
typedef struct PolkitQuestion {
        const char *sender; /* unique name of the caller */
        uid_t uid;          /* of the caller, in whose account the question counts */
        const char *action;
        const char *const *details; /* key, value, …, NULL; each one line of text */
        bool interactive;           /* a person may be asked */
} PolkitQuestion;

/* Called once for each question that was taken; problem: a sentence, with POLKIT_FAILED alone. It may not ask another. */
typedef void (*PolkitFunc)(void *userdata, PolkitVerdict verdict, const char *problem);

Polkit *polkit_new(void);
/* Drops what is under way. */
Polkit *polkit_free(Polkit *polkit);
/* There is a connection; NULL: it was lost, and all that is under way with it. */
void polkit_attach(Polkit *polkit, sd_bus *bus);

/* -EBUSY: too many questions of this uid wait. done isn't called before this returns. */
int polkit_ask(Polkit *polkit, const PolkitQuestion *question, PolkitFunc done, void *userdata);
/* The caller has left the bus. */
void polkit_drop_sender(Polkit *polkit, const char *sender);
