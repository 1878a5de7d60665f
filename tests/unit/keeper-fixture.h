/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A real keeper in a cgroup of its own, and this process as its daemon. Every wait has a deadline, and says what it waited for. */

#include <glib.h>

#include "util/link.h"
#include "util/ring.h"
#include "util/spec.h"

#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

/* An event of the runtime, whole. */
typedef struct ControlEvent {
        uint64_t number;
        uint64_t line;
        enum link_control_kind kind;
        GString *text;
} ControlEvent;

typedef struct Fixture {
        char *directory; /* the runtime's own */
        char *cgroup;
        GPid pid;
        int link;
        int ring_fd;
        uint64_t ring_bytes; /* LIMIT_RING_DEFAULT, if nobody says otherwise */
        RingReader ring;
        RingCursor cursor;
        uint32_t cookie;

        /* What has been said on this connection. The count is of messages of that type. */
        unsigned seen[LINK_MEMORY + 1];
        struct link_hello hello;
        struct link_executed executed;
        struct link_failed failed;
        struct link_exited exited;
        struct link_output output;
        struct link_done done;
        struct link_reply reply;
        struct link_memory memory;
        int reply_fd;
        int marker_fd;
        int socket_fd;       /* bound, for SPEC_LISTEN; -EBADF: none */
        GPtrArray *controls; /* of ControlEvent */

        SpecBuilder *spec;
        struct spec_header header;
        char text[RING_LINE_MAX + 1];
        uint8_t buffer[LINK_MESSAGE_MAX] __attribute__((aligned(8))); /* messages are read where they stand */
} Fixture;

/* Finds what all fixtures need. False: the tests can't run here, and have been skipped, with the reason. */
bool fixture_prepare(int argc, char *argv[]);

/* Two steps, so that a test can say what is special. */
Fixture *fixture_new(void);
void fixture_add_command(Fixture *f, bool setup, const char *const *argv);
void fixture_add_shell(Fixture *f, bool setup, const char *script);
/* To add records of another kind; the header must be set before. */
SpecBuilder *fixture_spec(Fixture *f);
void fixture_start(Fixture *f);

/* Checks that the keeper exits with 0, and leaves no socket and no process. */
void fixture_free(Fixture *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

void fixture_send(Fixture *f, const void *message, size_t size, const void *body, size_t body_size);
void fixture_run(Fixture *f, uint32_t command);
void fixture_collect(Fixture *f);
void fixture_acknowledge(Fixture *f, uint64_t number);

/* Sends a request and waits for its answer. */
int fixture_signal(Fixture *f, enum link_who who, int signo);
int fixture_input(Fixture *f, enum link_type type, const void *bytes, size_t size);
/* The error; a pipe is in reply_fd. */
int fixture_open_output(Fixture *f, uint64_t after, uint32_t flags);
/* 0, or the cookie alone if the answer isn't waited for. */
uint32_t fixture_send_line(Fixture *f, const char *text, size_t size);
int fixture_wait_reply(Fixture *f, uint32_t cookie);

/* Reads one message, if one comes by then (g_get_monotonic_time()). False: none came. -1 as ret_type: the connection has ended. */
bool fixture_read(Fixture *f, gint64 until, int *ret_type);

/* Waits until n messages of the type have come on this connection. */
void fixture_wait(Fixture *f, enum link_type type, unsigned n);
void fixture_wait_settled(Fixture *f);
void fixture_wait_end(Fixture *f);
const ControlEvent *fixture_wait_control(Fixture *f, uint64_t number);

/* Runs a command and waits for its execution; or for the end of all. */
void fixture_execute(Fixture *f, uint32_t command);
void fixture_run_to_done(Fixture *f);

/* The daemon dies; the next one comes: not before a command has been executed, as the keeper has no socket until then. */
void fixture_disconnect(Fixture *f);
void fixture_reconnect(Fixture *f);

/* Waits until the keeper has as many lines. */
void fixture_wait_last(Fixture *f, uint64_t number);
/* Waits for the next line of output. */
const char *fixture_next_line(Fixture *f, struct ring_record *ret);
void fixture_assert_line(Fixture *f, enum ring_stream stream, uint16_t flags, const char *text);
void fixture_assert_no_line(Fixture *f);

char *fixture_path(Fixture *f, const char *name);

/* How many processes live in the payload, by the kernel's list. */
unsigned fixture_count_payload(Fixture *f);

/* Waits until it has exited; somebody else's zombie has. */
void fixture_wait_gone(GPid pid);

/* A way for the runtime to say how far it is past its keeper, and without any reader of the link: it writes a byte to the path. */
char *fixture_add_marker(Fixture *f);
void fixture_wait_marker(Fixture *f);
