/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See screen.h. */

#include "cli/screen.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <glib.h>

/* As there is one terminal. */
static struct {
        bool entered, has_keys;
        struct termios saved;
} screen;

bool screen_is_possible(void) {
        const char *term = g_getenv("TERM");

        return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

void screen_enter(void) {
        struct termios keys;

        if (screen.entered)
                return;
        screen.entered = true;
        screen.has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen.saved) == 0;
        if (screen.has_keys) {
                keys = screen.saved;
                keys.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
                keys.c_cc[VMIN] = 1;
                keys.c_cc[VTIME] = 0;
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
        }
        /* Alternate screen, no cursor. */
        fputs("\033[?1049h\033[?25l", stdout);
        fflush(stdout);
}

void screen_leave(void) {
        if (!screen.entered)
                return;
        fputs("\033[?25h\033[?1049l", stdout);
        fflush(stdout);
        /* What was typed ahead was for us. */
        if (screen.has_keys)
                (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen.saved);
        screen.entered = false;
}

void screen_clear(void) {
        fputs("\033[H\033[J", stdout);
}
