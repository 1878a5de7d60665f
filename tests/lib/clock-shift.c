/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* LD_PRELOAD for a daemon under test: CLOCK_REALTIME is off by as many seconds as stand in the file $CLOCK_SHIFT, from the moment that they stand there. It
 * can't be set for one program alone, and a test has no right to set it for all. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t shift(void) {
        const char *path = getenv("CLOCK_SHIFT");
        char text[32] = {0};
        ssize_t n;
        int fd;

        fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0)
                return 0;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        return n > 0 ? (time_t) strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
        /* Not by dlsym(), which allocates: a sanitizer's allocator asks for the time itself. */
        int r = (int) syscall(SYS_clock_gettime, clock, ret);

        if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                ret->tv_sec += shift();
        return r;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
        struct timespec now;
        int r = clock_gettime(CLOCK_REALTIME, &now);

        *ret = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
        return r;
}

time_t time(time_t *ret) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}
