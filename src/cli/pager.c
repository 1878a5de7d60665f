/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See pager.h. */

#include "cli/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/macro.h"

/* One of a process, as its stdout is; 0: none. */
static pid_t pager_pid;

bool pager_is_terminal(void) {
        return pager_pid > 0 || isatty(STDOUT_FILENO);
}

static void pager_close(void) {
        /* Its end of file. */
        (void) fflush(stdout);
        (void) close(STDOUT_FILENO);
        while (waitpid(pager_pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

static bool is_privileged(void) {
        return geteuid() == 0 || g_getenv("SUDO_UID") || getuid() != geteuid();
}

/* NULL: none is wanted. */
static char **pager_command(void) {
        const char *text = g_getenv("SYSTEMD_PAGER") ?: g_getenv("PAGER");
        char **argv = NULL;

        if (text && (!*text || g_str_equal(text, "cat")))
                return NULL;
        if (!text || is_privileged() || !g_shell_parse_argv(text, NULL, &argv, NULL))
                return g_strsplit("less", " ", -1);
        return argv;
}

static void run_pager(int in, char **argv) __attribute__((noreturn));
static void run_pager(int in, char **argv) {
        (void) dup2(in, STDIN_FILENO);
        /* Ctrl-C is for who writes; the pager ends when there is no more to show. */
        (void) signal(SIGINT, SIG_IGN);
        (void) g_setenv("LESS", g_getenv("SYSTEMD_LESS") ?: "FRSXMK", true);
        if (g_get_charset(NULL))
                (void) g_setenv("LESSCHARSET", g_getenv("SYSTEMD_LESSCHARSET") ?: "utf-8", true);
        if (is_privileged())
                (void) g_setenv("LESSSECURE", "1", true);
        (void) execvp(argv[0], argv);
        /* Better all at once than nothing. */
        (void) execlp("cat", "cat", NULL);
        _exit(EXIT_FAILURE);
}

void pager_open(const Cli *cli) {
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        g_auto(GStrv) argv = NULL;
        const char *term = g_getenv("TERM");
        int fds[2];
        pid_t pid;

        if (cli->no_pager || pager_pid > 0 || !isatty(STDOUT_FILENO) || !term || g_str_equal(term, "dumb"))
                return;
        argv = pager_command();
        if (!argv || pipe2(fds, O_CLOEXEC) < 0)
                return;
        in = fds[0];
        out = fds[1];
        (void) fflush(stdout);
        pid = fork();
        if (pid < 0)
                return;
        if (pid == 0)
                run_pager(in, argv);
        if (dup2(out, STDOUT_FILENO) < 0)
                return;
        pager_pid = pid;
        (void) atexit(pager_close);
}
