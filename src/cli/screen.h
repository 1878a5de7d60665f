/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The whole terminal for a while: a screen of its own, without a cursor, where keys come as they are pressed. What the terminal showed, and how it worked, is
 * as before afterwards. Ctrl-C and Ctrl-Z still send signals. */

#include <stdbool.h>

/* Whether stdout is a terminal that can do it. */
bool screen_is_possible(void);
void screen_enter(void);
/* Does nothing outside. */
void screen_leave(void);
/* The top left corner of an empty screen. */
void screen_clear(void);
