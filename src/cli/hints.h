/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What somebody at a shell does next about an error of the interface. Its sentence names the calls and options of D-Bus, since programs and logs read it too.
 */

/* A line on stderr, if there is one for this error (`name`, `message` may be NULL). */
void hints_print(const char *name, const char *message);
