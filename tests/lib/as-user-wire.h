/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a test and its agent of another user (as-user-agent.c) say to each other: one request, one answer, each a serialised GVariant behind its length,
 * on a stream socket. Both are of one build. */

#include <gio/gio.h>

#define WIRE_FD 3
#define WIRE_REQUEST "(sv)" /* operation, its arguments */
#define WIRE_ANSWER "(ssv)" /* error ("": none; a D-Bus error's name, or an errno's), message, result */
#define WIRE_MAX (64U * 1024U * 1024U)

/* operation: arguments → result
 *   call, begin: as WIRE_CALL → v, the reply's body in a variant; begin → u, a cookie
 *   finish: u → as call
 *   signals: b, whether to forget them → a(ssssv): sender, path, interface, member, body
 *   await: (ssuu): path and member ("": any), how many, milliseconds → ssssv of the last of them
 *   connect: (ss): path of a socket, "stream" or "seqpacket" → ()
 *   trace, take-fd: (ui): PID, fd → ()
 *   fd-write: (uay), of the fds that came with replies, in their order → ();  fd-read: u → ay, until its end;  fd-close: u → ()
 *   shell: s → (is): exit status or 128 + signal, what it printed
 *   raw-open: () → s, unique name of one more connection that is never read
 *   raw-call: WIRE_CALL and how often: (ssssvibu) → u, how often it could be sent
 *   raw-send: ay → ()
 *   raw-closed: u, milliseconds → b, whether the bus closed it by then
 *   raw-close: () → () */
#define WIRE_CALL "(ssssvib)" /* destination, path, interface, method, arguments (a tuple), milliseconds, whether interaction is allowed */
