/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The link between the daemon and a keeper: what they say to each other, version by version.
 *
 * One AF_UNIX SOCK_SEQPACKET connection at a time. The first is a socket pair, given to the keeper at its start; if it closes before
 * the first LINK_RUN the keeper exits and nothing has happened. From then on the keeper also listens on RM_KEEPER_SOCKET in the
 * runtime's directory, for the next daemon; a new connection replaces the old one. Each message is one struct of this header,
 * beginning with its type, in host byte order (both ends are on one machine), some followed by bytes; fds travel with SCM_RIGHTS.
 *
 * What the keeper says are facts, each of which it repeats to every new connection (LINK_HELLO first): so a daemon that comes back learns
 * what it missed by reading the same messages. What runtimes say (LINK_CONTROL) is numbered and kept until acknowledged. The keeper
 * decides nothing that a client could see but this: when the main process has ended, what it left behind is stopped.
 *
 * Commands run one at a time, in rising order; some may be skipped, none is run twice. For the one that was run last:
 *
 *   LINK_RUN → LINK_EXECUTED → LINK_EXITED (settled 0) → LINK_EXITED (settled 1)     or     LINK_RUN → LINK_FAILED
 *
 * LINK_EXITED is said at once when the first process has been reaped, and again, settled, when the payload is empty and the pipes have
 * been read to what was in them at that moment: from then on first_line and last_line are final. If both are true by the time it
 * can be said, only the settled one is. LINK_FAILED is always settled. Settled means that the next LINK_RUN may come. A LINK_RUN of
 * the command that was run last is ignored (a daemon that comes back may repeat it); any other that can't be is a broken message.
 *
 * LINK_DONE says that nothing runs or will run. It follows, once settled, the end or failure of the last command; and that of any, or
 * follows at once if nothing runs, when LINK_COLLECT asked for the end: that kills whatever runs. A LINK_COLLECT that arrives when LINK_DONE
 * has been sent on this connection makes the keeper remove its sockets and exit. So a daemon that wants the end early sends
 * LINK_COLLECT, waits for LINK_DONE, keeps the record, and sends LINK_COLLECT again. If the link is lost instead, the keeper goes on
 * with what runs; while nothing runs it waits abandon_usec for a new connection, and then exits.
 *
 * LINK_SEND and LINK_SIGNAL may carry an effect number (0: none). Numbers rise; one that the keeper has met before is answered and does nothing. A
 * daemon records the effect before it asks for it, so that the next one can ask again without knowing whether it was asked for already.
 *
 * A pipe of LINK_OUTPUT_OPEN is the keeper's own affair from then on: it goes on whether there is a link or not. At the end of all the keeper closes it behind
 * the last line; readers that haven't taken all by LINK_COLLECT have a second more.
 *
 * A broken message (unknown type, wrong size, out of order) ends the connection it came on, and nothing else.
 *
 * The keeper shares a uid with the runtime: the daemon checks every message as it would a stranger's. */

#include <stdint.h>
#include <sys/types.h>

#include "util/limits.h"
#include "util/macro.h"

/* 1: no effect numbers; 2: no pipes of output, no terminals. A daemon speaks to keepers of LINK_VERSION_OLDEST and newer; a keeper has the version
 * that it was built with. */
#define LINK_VERSION 3U
#define LINK_VERSION_OLDEST 1U
#define LINK_VERSION_OUTPUT 3U               /* from here on: LINK_OUTPUT_… */
#define LINK_MESSAGE_MAX (LIMIT_INPUT + 64U) /* one LINK_INPUT_WRITE: it is all or nothing */
#define LINK_CHUNK_MAX (32U * 1024U)         /* bytes behind one struct of LINK_CONTROL and LINK_SEND */

/* The fds a keeper is started with. */
#define LINK_FD 3
#define LINK_RING_FD 4
#define LINK_SPEC_FD 5
#define LINK_SOCKET_FD 6 /* if the spec says so: bound, and not listening yet */

enum link_type {
        /* keeper → daemon */
        LINK_HELLO = 1, /* struct link_hello, with the ring's memfd */
        LINK_EXECUTED,  /* struct link_executed */
        LINK_FAILED,    /* struct link_failed */
        LINK_EXITED,    /* struct link_exited */
        LINK_OUTPUT,    /* struct link_output: the answer to one LINK_WATCH */
        LINK_CONTROL,   /* struct link_control, then bytes */
        LINK_DONE,      /* struct link_done: nothing of the payload runs, all output is in the ring */
        LINK_REPLY,     /* struct link_reply, with an fd if it was LINK_INPUT_OPEN or LINK_OUTPUT_OPEN */
        LINK_MEMORY,    /* struct link_memory: a fact, told before LINK_EXITED and again when it changes */

        /* daemon → keeper */
        LINK_RUN = 64,       /* struct link_run */
        LINK_SIGNAL,         /* struct link_signal; answered */
        LINK_SEND,           /* struct link_send, then bytes: a message for the runtime; the last part is answered */
        LINK_ACKNOWLEDGE,    /* struct link_acknowledge */
        LINK_WATCH,          /* struct link_watch */
        LINK_INPUT_WRITE,    /* struct link_request, then bytes: all or -EAGAIN, -EPIPE once closed; answered */
        LINK_INPUT_OPEN,     /* struct link_request; answered with a write end of the input pipe; EOPNOTSUPP: it is a terminal */
        LINK_INPUT_CLOSE,    /* struct link_request; answered; EOPNOTSUPP: it is a terminal */
        LINK_COLLECT,        /* uint32_t type alone: the daemon has the record, or wants it now (see above) */
        LINK_OUTPUT_OPEN,    /* struct link_output_open; answered with the read end of a pipe that the keeper writes */
        LINK_OUTPUT_RELEASE, /* uint32_t type alone: the runtime is being stopped, and no reader may hold it back any more */
        LINK_RESIZE,         /* struct link_resize; answered, with ENOTTY if there is no terminal */
};

/* Where the start of a process failed. The names (link_stage_to_string) are part of the messages that a client sees. */
enum link_stage {
        LINK_STAGE_NONE = 0,
        LINK_STAGE_SPEC,             /* reading what to run */
        LINK_STAGE_CGROUP,           /* making or entering the child cgroups */
        LINK_STAGE_SOCKET,           /* making the sockets in the runtime's directory */
        LINK_STAGE_FORK,             /* making the process */
        LINK_STAGE_STDIO,            /* pipes and standard streams */
        LINK_STAGE_DIRECTORY,        /* entering the working directory */
        LINK_STAGE_PROCESS,          /* session, signals, limits, privileges */
        LINK_STAGE_EXEC,             /* execve() */
        LINK_STAGE_REQUIRED_PROGRAM, /* looking up the required program: ENOENT, EACCES */
        LINK_STAGE_REQUIRED_FILE,    /* looking for the required file; EISDIR: it is something else */
        LINK_STAGE_EXECUTABLE,       /* looking up the executable: ENOENT, EACCES */
        _LINK_STAGE_MAX,
};
const char *link_stage_to_string(enum link_stage stage);

struct link_hello {
        uint32_t type;
        uint32_t version;
        uint32_t pid;
        uint32_t n_commands;
};

struct link_run {
        uint32_t type;
        uint32_t command; /* index in the spec: setup steps first, the last one is the runtime's command */
};

struct link_executed {
        uint32_t type;
        uint32_t command;
        uint32_t pid;
        uint32_t zero;
        uint64_t monotonic_usec;
};

/* The command was not executed; nothing of it runs. LINK_DONE follows if it was the last. */
struct link_failed {
        uint32_t type;
        uint32_t command;
        uint32_t stage; /* enum link_stage */
        int32_t error;  /* errno, positive */
};

/* The first process of a command has ended. Sent at once with settled = 0, and again with settled = 1 when nothing that it left behind
 * runs any more and all output of the command is in the ring: only then is last_line final, and only then may LINK_RUN follow. */
struct link_exited {
        uint32_t type;
        uint32_t command;
        int32_t code;        /* si_code: CLD_EXITED, CLD_KILLED, CLD_DUMPED */
        int32_t status;      /* si_status: exit status or signal */
        uint32_t settled;    /* 0 or 1 */
        uint32_t leftovers;  /* processes that were found after it, so far */
        uint64_t first_line; /* first and last line the command put into the ring; first > last if none */
        uint64_t last_line;
};

struct link_output {
        uint32_t type;
        uint32_t zero;
        uint64_t last;
};

enum link_control_kind {
        LINK_CONTROL_MESSAGE = 1, /* a line of the runtime protocol, without its newline */
        LINK_CONTROL_OPENED,      /* the runtime has connected (socket) */
        LINK_CONTROL_CLOSED,      /* it has closed its connection */
        LINK_CONTROL_TOO_LONG,    /* it sent more than LIMIT_PROTOCOL_LINE without a newline; the first 256 bytes of it */
        LINK_CONTROL_NOTIFY,      /* an sd_notify() datagram */
        LINK_CONTROL_LINE,        /* a line of output matched; its number in line */
        _LINK_CONTROL_MAX,
};

/* At most this many events, and about LIMIT_PROTOCOL_LINE bytes of them, are held: then the keeper stops listening to the runtime. What a
 * runtime has said when it ends is held beyond that. */
#define LINK_CONTROL_EVENTS_MAX 64U

/* Event `number` (from 1, no gaps) of the runtime, bytes [offset, offset + rest of message) of total. */
struct link_control {
        uint32_t type;
        uint32_t kind; /* enum link_control_kind */
        uint64_t number;
        uint64_t line;
        uint32_t offset;
        uint32_t total;
};

/* What is known at the end; UINT64_MAX for what isn't. Counters are of the payload alone, over all commands. */
struct link_done {
        uint32_t type;
        uint32_t leftovers; /* processes found after a main process had ended, but not those that end with it when all were told to */
        uint64_t cpu_usage_nsec;
        uint64_t memory_peak;
        uint64_t oom_kills;
        uint64_t last_line;
        uint64_t monotonic_usec; /* when it was found empty */
};

/* What the kernel did for want of memory. main_killed is of the command, said before its LINK_EXITED; the others are counted over all
 * commands. Nobody says it if nothing was done. */
struct link_memory {
        uint32_t type;
        uint32_t command;
        uint32_t main_killed; /* 1: the first process was killed for memory */
        uint32_t zero;
        uint64_t oom_kills; /* processes that were, other than the first */
        uint64_t high;      /* how often MemoryHigh held the runtime back */
};

struct link_reply {
        uint32_t type;
        uint32_t cookie;
        int32_t error; /* 0 or positive errno */
        uint32_t zero;
};

struct link_request {
        uint32_t type;
        uint32_t cookie;
};

enum link_who {
        LINK_WHO_MAIN = 1, /* the first process of the running command */
        LINK_WHO_ALL,      /* every process of the payload; SIGKILL through cgroup.kill */
};

/* A signal with SIGCONT behind it if it is SIGTERM or SIGHUP, as systemd does it, so that a stopped process meets it. */
struct link_signal {
        uint32_t type;
        uint32_t cookie;
        uint32_t who; /* enum link_who */
        int32_t signo;
        uint64_t effect; /* not in version 1 */
};

struct link_send {
        uint32_t type;
        uint32_t cookie;
        uint32_t offset;
        uint32_t total;  /* at most LIMIT_PROTOCOL_LINE, without the newline: the keeper adds it */
        uint64_t effect; /* the same in all parts; not in version 1 */
};

struct link_acknowledge {
        uint32_t type;
        uint32_t zero;
        uint64_t number; /* all up to this may be forgotten */
};

/* Say so once when a line with a number above `after` is in the ring. A later one replaces it. */
struct link_watch {
        uint32_t type;
        uint32_t zero;
        uint64_t after;
};

/* Not in versions 1 and 2. Errors: EUSERS (LIMIT_READERS). */
struct link_output_open {
        uint32_t type;
        uint32_t cookie;
        uint32_t flags; /* of OpenOutput: output-frame.h */
        uint32_t zero;
        uint64_t after;
};

/* Not in versions 1 and 2. */
struct link_resize {
        uint32_t type;
        uint32_t cookie;
        uint16_t rows;
        uint16_t columns;
        uint32_t zero;
};

/* Sends one message: head, then body (may be NULL, 0), with fd unless negative. 0, -EAGAIN if the socket is full, or negative errno. Never raises SIGPIPE. */
int link_send_message(int socket_fd, const void *head, size_t head_size, const void *body, size_t body_size, int fd);

/* Receives one message into buffer (LINK_MESSAGE_MAX bytes) and at most one fd (ret_fd, -EBADF if none; more are closed).
 * Returns its size (≥ 4), 0 at the end of the connection, -EAGAIN, -EBADMSG when it was cut or too short, or negative errno. */
ssize_t link_receive_message(int socket_fd, void *buffer, int *ret_fd);
