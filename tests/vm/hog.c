/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A runtime that takes as much as it is told to: memory, processes, or time. It says when it has it, and when it is refused. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void say(const char *text) {
        (void) !write(STDOUT_FILENO, text, strlen(text));
}

/* Holds it until a signal comes. */
static int take_memory(size_t size) {
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return EXIT_FAILURE;
        for (size_t i = 0; i < size; i += 4096)
                memory[i] = 1;
        say("full\n");
        pause();
        return EXIT_SUCCESS;
}

/* Every process that there is tries to become two, for ever. */
static __attribute__((noreturn)) void take_processes(void) {
        pid_t first = getpid();
        int refused = 0;

        for (;;) {
                if (fork() >= 0 || errno != EAGAIN)
                        continue;
                if (getpid() == first && !refused) {
                        say("refused\n");
                        refused = 1;
                }
                (void) poll(NULL, 0, 20);
        }
}

static __attribute__((noreturn)) void take_time(void) {
        for (volatile unsigned long n = 0;; n++)
                continue;
}

int main(int argc, char *argv[]) {
        if (argc == 3 && strcmp(argv[1], "memory") == 0)
                return take_memory((size_t) strtoull(argv[2], NULL, 10) << 20);
        if (argc == 2 && strcmp(argv[1], "processes") == 0)
                take_processes();
        if (argc == 2 && strcmp(argv[1], "time") == 0)
                take_time();
        (void) fprintf(stderr, "Usage: hog memory MIB | processes | time\n");
        return EXIT_FAILURE;
}
