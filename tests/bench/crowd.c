/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few calls are under way at a time: as many as keep systemd busy. */

#include "crowd.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 16U

static char *const sleeper[] = {(char *) "/bin/sleep", (char *) "infinity", NULL};

static void crowd_start_one(Crowd *crowd) {
        char id[32];

        (void) snprintf(id, sizeof(id), "crowd_%u", crowd->n++);
        bench_call_start(crowd->bus, &crowd->calls, id, sleeper);
}

void crowd_grow(Crowd *crowd, unsigned n) {
        while (crowd->n < n) {
                crowd_start_one(crowd);
                if (crowd->calls.waiting == AT_ONCE)
                        bench_run_until(crowd->bus, &crowd->calls.waiting, AT_ONCE - 1);
        }
        bench_run_until(crowd->bus, &crowd->calls.waiting, 0);
        if (crowd->calls.failed > 0)
                exit(EXIT_FAILURE);
}

static bool is_keeper(pid_t pid) {
        char path[64], name[32] = "";
        FILE *stream;

        (void) snprintf(path, sizeof(path), "/proc/%d/comm", (int) pid);
        stream = fopen(path, "re");
        if (!stream)
                return false;
        (void) fgets(name, sizeof(name), stream);
        (void) fclose(stream);
        return strcmp(name, "runtime-keeper\n") == 0;
}

pid_t *crowd_find_keepers(unsigned *ret_n) {
        DIR *dir = opendir("/proc");
        struct dirent *entry;
        pid_t *pids = NULL;
        unsigned n = 0;

        bench_check(dir ? 0 : -errno, "/proc");
        while ((entry = readdir(dir))) {
                pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10);

                if (pid <= 0 || !is_keeper(pid))
                        continue;
                pids = reallocarray(pids, n + 1, sizeof(pid_t));
                bench_check(pids ? 0 : -ENOMEM, "memory");
                pids[n++] = pid;
        }
        (void) closedir(dir);
        *ret_n = n;
        return pids;
}
