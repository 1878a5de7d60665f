/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that a client, a runtime or a file can make us hold, and how much of it. Bytes unless the name says otherwise. */

#include <stdint.h>

/* What a client may ask for. */
#define LIMIT_RUNTIMES 10000U         /* runtimes that haven't ended, a manager */
#define LIMIT_STARTS_AT_ONCE 16U      /* scopes that systemd is asked for; further starts wait for their turn */
#define LIMIT_ENDED 1000U             /* ended runtimes kept readable, a uid */
#define LIMIT_WAITERS 16U             /* calls that wait for one runtime, of one caller: the oldest gives way */
#define LIMIT_WAITS 1024U             /* ... of all callers */
#define LIMIT_UNKNOWN_CALLS 32U       /* calls of one connection until the bus has told whose it is (system bus) */
#define LIMIT_UNKNOWN_CALLS_ALL 4096U /* ... of all */
#define LIMIT_ARGUMENTS 4096U         /* words in Command and Arguments together */
#define LIMIT_ARGUMENT (128U * 1024U) /* one word: MAX_ARG_STRLEN of the kernel */
#define LIMIT_COMMAND (1024U * 1024U) /* all words and environment entries together */
#define LIMIT_ENVIRONMENT 1024U       /* entries in Environment, or in UnsetEnvironment */
#define LIMIT_LABELS 64U              /* entries in Labels */
#define LIMIT_LABEL_KEY 64U
#define LIMIT_LABEL_VALUE 256U
#define LIMIT_DESCRIPTION 256U
#define LIMIT_USER_NAME 256U
#define LIMIT_RING_MIN (64U * 1024U)
#define LIMIT_RING_MAX (64U * 1024U * 1024U)
#define LIMIT_RING_DEFAULT (1024U * 1024U)
#define LIMIT_INPUT (64U * 1024U)        /* one WriteInput, and what a keeper holds for a runtime that doesn't read */
#define LIMIT_READ_OUTPUT (256U * 1024U) /* one reply of ReadOutput */
#define LIMIT_SUBSCRIPTIONS 512U         /* subscribed peers of the manager */
#define LIMIT_SUBSCRIBERS 64U            /* subscribers of one runtime */
#define LIMIT_READERS 16U                /* pipes of OpenOutput that are open at a time, a runtime */
#define LIMIT_MISSED 256U                /* removed runtimes that a subscriber has yet to be told of */

/* A scope that is out of memory may cost it any process, and its keeper must not be that one. So the payload has a limit of its own, a little below
 * the scope's, and what happens there happens to the runtime alone. The difference is for the keeper: its buffers, and what it has written to the ring. */
#define LIMIT_KEEPER_MEMORY (UINT64_C(4) << 20)
static inline uint64_t limit_payload_memory(uint64_t scope_max) {
        uint64_t keeper = scope_max / 8 < LIMIT_KEEPER_MEMORY ? scope_max / 8 : LIMIT_KEEPER_MEMORY;

        return scope_max == UINT64_MAX ? UINT64_MAX : scope_max - keeper;
}

/* What a runtime may say. */
#define LIMIT_LINE (64U * 1024U)            /* one record of output: a longer line is delivered in parts */
#define LIMIT_PROTOCOL_LINE (1024U * 1024U) /* one message of the runtime protocol */
#define LIMIT_NOTIFY 4096U                  /* one sd_notify datagram */
#define LIMIT_STATUS_TEXT 256U
#define LIMIT_OUTPUT_TAIL 4096U /* OutputTail of the report */

/* What waits for one peer of the bus. */
#define LIMIT_WINDOW (1024U * 1024U)         /* bytes sent to a peer and not acknowledged */
#define LIMIT_WINDOW_UID (8U * LIMIT_WINDOW) /* ... to all peers of a uid (system bus) */
#define LIMIT_REFUSALS (64U * 1024U)         /* bytes of refusals past that */
#define LIMIT_SIGNAL_BATCH (64U * 1024U)     /* text of one OutputLines signal */

/* Calls that wait for polkit's word, each with its message. dbus-daemon allows a connection of the system bus 128 open calls, pings and all. */
#define LIMIT_POLKIT_ASKED 64U                  /* questions under way */
#define LIMIT_POLKIT_INTERACTIVE 32U            /* ... that may wait for a person */
#define LIMIT_POLKIT_ASKED_UID 4U               /* ... a uid; further ones wait for their turn */
#define LIMIT_POLKIT_WAITING 32U                /* calls under way or waiting for their turn, a uid */
#define LIMIT_EARLY_CALLS (16U * 1024U * 1024U) /* bytes of calls that come before the service is ready, of all peers */
#define LIMIT_JOURNAL_WAITING (1024U * 1024U)   /* bytes of entries that journald doesn't take just now */
#define LIMIT_HELD_CALL (2U * 1024U * 1024U)
#define LIMIT_HELD_CALLS (8U * 1024U * 1024U) /* all of those together, a uid */
