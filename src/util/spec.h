/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The spec: all that a keeper is told at its start, in a sealed memfd: never in its argv or environment, which others can read.
 *
 * A struct spec_header, then records: struct spec_record, then `size` bytes and 1 to 4 NULs, so that the next record is aligned. The size of
 * a string counts no NUL, yet one always follows: the keeper hands strings to execve() where they stand. The daemon builds it with
 * spec_new() … spec_to_memfd(), the keeper walks it with spec_map() and spec_next(). */

#include <stdint.h>

#include "util/limits.h"
#include "util/macro.h"

#define SPEC_VERSION 1U
#define SPEC_SIZE_MAX (4U * 1024U * 1024U)

enum spec_input {
        SPEC_INPUT_NULL = 0,
        SPEC_INPUT_PIPE,
        SPEC_INPUT_TERMINAL, /* a pseudo terminal, for both outputs too; of the command, not of setup steps */
};

enum spec_transport {
        SPEC_TRANSPORT_NONE = 0,
        SPEC_TRANSPORT_SOCKET, /* RM_CONTROL_SOCKET in the directory */
        SPEC_TRANSPORT_PIPES,  /* fds 3 and 4 of the command (not of setup steps) */
        SPEC_TRANSPORT_NOTIFY, /* RM_NOTIFY_SOCKET in the directory */
        SPEC_TRANSPORT_LINE,   /* SPEC_LINE is matched against complete lines of the command's stdout and stderr */
};

struct spec_header {
        uint32_t version;
        uint32_t input;          /* enum spec_input */
        uint32_t transport;      /* enum spec_transport */
        uint32_t flags;          /* SPEC_NO_NEW_PRIVILEGES … */
        uint64_t leftover_usec;  /* from SIGTERM to SIGKILL for what a main process left behind */
        uint64_t handshake_usec; /* not 0: the command gets RM_ENV_DEADLINE, so long after its start */
        uint64_t abandon_usec;   /* how long to wait for a daemon that is away, once all is done */
};

#define SPEC_NO_NEW_PRIVILEGES 1U
#define SPEC_LISTEN 2U  /* LINK_SOCKET_FD is the socket to listen on: none is made in the directory */
#define SPEC_LOOK_UP 4U /* executables are names as they were given: they are looked up in the PATH of the environment */

enum spec_type {
        SPEC_DIRECTORY = 1,     /* the runtime's own directory; once */
        SPEC_COMMAND,           /* begins a command; uint32_t: 1 if it is a setup step (both streams are RING_STREAM_SETUP), 0 if the command (last) */
        SPEC_ANNOUNCE,          /* of the command begun last: a line to put into the ring as RING_STREAM_SETUP before it runs */
        SPEC_EXECUTABLE,        /* of the command begun last: absolute path for execve(), or with SPEC_LOOK_UP a name */
        SPEC_ARGUMENT,          /* of the command begun last: argv, in order */
        SPEC_ENVIRONMENT,       /* one "A=B", for all commands */
        SPEC_WORKING_DIRECTORY, /* absolute; once */
        SPEC_LINE,              /* POSIX extended regular expression; with SPEC_TRANSPORT_LINE */
        SPEC_MEMORY_HIGH,       /* uint64_t: the payload's memory.high; once, or there is none. Not said by older daemons */
        SPEC_REQUIRED_PROGRAM,  /* a name that must be found in PATH before the first command runs; once */
        SPEC_REQUIRED_FILE,     /* a path of a file that must be there by then; once */
        SPEC_JOURNAL,           /* fields of the native protocol, each with its newline: each line of output goes to the journal with these; once. With
                                   SPEC_JOURNAL_SOCKET */
        SPEC_JOURNAL_SOCKET,    /* absolute path of journald's socket; once */
        _SPEC_TYPE_MAX,
};

struct spec_record {
        uint32_t type;
        uint32_t size;
};

typedef struct SpecBuilder SpecBuilder;
SpecBuilder *spec_new(const struct spec_header *header); /* NULL: out of memory */
SpecBuilder *spec_free(SpecBuilder *spec);
/* Failures (memory, SPEC_SIZE_MAX) are remembered and told by spec_to_memfd(). */
void spec_add(SpecBuilder *spec, enum spec_type type, const void *bytes, size_t size);
void spec_add_string(SpecBuilder *spec, enum spec_type type, const char *string);
int spec_to_memfd(SpecBuilder *spec); /* fd or negative errno: -E2BIG, -ENOMEM */

typedef struct SpecView {
        const struct spec_header *header;
        const uint8_t *bytes;
        size_t size;
        size_t offset; /* of the next record */
} SpecView;

int spec_map(SpecView *ret, int fd); /* -EINVAL: not a spec; -EPROTONOSUPPORT: another version */
void spec_unmap(SpecView *view);
void spec_rewind(SpecView *view);
/* 1 with a record (bytes stay valid until spec_unmap(), a NUL behind them), 0 at the end, -EBADMSG: cut, unknown, or a string with a NUL in it. */
int spec_next(SpecView *view, enum spec_type *ret_type, const void **ret_bytes, size_t *ret_size);
