/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Output in bulk: a runtime that writes lines of 100 bytes, 64 KiB at a time, as fast as it can, to a reader of OpenOutput, framed and raw, without loss. In
 * turns with the floor, the same writer and reader with a bare relay of two pipes between them, and with systemd-run --pipe, where nobody is between them.
 *
 * The writer begins when it has opened a FIFO, so that no start is measured; what counts is what it wrote, not the heads of frames. */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "util/output-frame.h"

#define ROUNDS 5
#define BYTES (UINT64_C(512) * 1024 * 1024)
#define BLOCK (64U * 1024U)
#define LINE 100U

extern char **environ;

typedef struct Bench {
        sd_bus *bus;
        char *program;
        char fifo[64];
        char bytes[32];
        uint64_t size;
        unsigned serial;
        uint8_t buffer[BLOCK + sizeof(struct output_frame)];
} Bench;

/* What the runtime is. */
static int run_writer(const char *bytes, const char *fifo) {
        uint64_t left = strtoull(bytes, NULL, 10);
        static char block[BLOCK];
        int fd = open(fifo, O_RDONLY | O_CLOEXEC);

        bench_check(fd < 0 ? -errno : 0, fifo);
        (void) !read(fd, block, 1);
        for (size_t i = 0; i < sizeof(block); i++)
                block[i] = i % LINE == LINE - 1 ? '\n' : (char) ('a' + i % 26);
        block[BLOCK - 1] = '\n';
        while (left > 0) {
                ssize_t n = write(STDOUT_FILENO, block, MIN_OF((uint64_t) sizeof(block), left));

                bench_check(n < 0 ? -errno : 0, "write");
                left -= (uint64_t) n;
        }
        return EXIT_SUCCESS;
}

static double go(Bench *bench) {
        int fd = open(bench->fifo, O_WRONLY | O_CLOEXEC);

        bench_check(fd < 0 ? -errno : 0, bench->fifo);
        (void) close(fd);
        return bench_now_msec();
}

static void read_raw(Bench *bench, int fd) {
        uint64_t all = 0;
        ssize_t n;

        while ((n = read(fd, bench->buffer, BLOCK)) > 0)
                all += (uint64_t) n;
        bench_check(n < 0 ? -errno : 0, "read");
        bench_check(all == bench->size ? 0 : -ENODATA, "bytes were lost");
}

/* Frames, whole ones of what has been read, as any client would. */
static void read_frames(Bench *bench, int fd) {
        uint64_t all = 0, next = 1;
        size_t held = 0;
        bool ended = false;
        ssize_t n;

        while ((n = read(fd, bench->buffer + held, BLOCK - held)) > 0) {
                uint8_t *from = bench->buffer, *end = from + held + n;

                for (;;) {
                        struct output_frame frame;

                        if ((size_t) (end - from) < sizeof(frame))
                                break;
                        memcpy(&frame, from, sizeof(frame));
                        if ((uint64_t) (end - from) < ring_record_length(frame.size))
                                break;
                        if (frame.kind == OUTPUT_FRAME_LINE) {
                                bench_check(frame.number == next++ ? 0 : -EBADMSG, "lines were lost");
                                all += frame.size + !(frame.flags & (RING_PARTIAL | RING_UNTERMINATED));
                        } else
                                ended = frame.kind == OUTPUT_FRAME_END;
                        from += ring_record_length(frame.size);
                }
                held = (size_t) (end - from);
                memmove(bench->buffer, from, held);
        }
        bench_check(n < 0 ? -errno : 0, "read");
        bench_check(ended && all == bench->size ? 0 : -ENODATA, "bytes were lost");
}

static double rate(const Bench *bench, double from) {
        return (double) bench->size / 1e3 / (bench_now_msec() - from);
}

static int open_output(Bench *bench, const char *id, uint32_t flags) {
        _cleanup_free_ char *path = bench_runtime_path(id);
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int fd, r;

        r = sd_bus_call_method(bench->bus, RM_BUS_NAME, path, RM_RUNTIME_INTERFACE, "OpenOutput", &error, &reply, "tu", UINT64_C(0), flags);
        bench_check(r, error.message ?: "OpenOutput");
        bench_check(sd_bus_message_read(reply, "h", &fd), "OpenOutput");
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        sd_bus_message_unref(reply);
        return fd;
}

static double bulk_ours(Bench *bench, bool framed, BenchTimes *daemon) {
        char *const argv[] = {bench->program, (char *) "--write", bench->bytes, bench->fifo, NULL};
        uint64_t cpu = bench_cpu_usec(bench_service_pid());
        double from, result;
        char id[32];
        int fd;

        (void) snprintf(id, sizeof(id), "bench_%u", bench->serial++);
        bench_start(bench->bus, id, argv);
        fd = open_output(bench, id, OUTPUT_LOSSLESS | (framed ? OUTPUT_FRAMED : 0));
        cpu = bench_cpu_usec(bench_service_pid());
        from = go(bench);
        if (framed)
                read_frames(bench, fd);
        else
                read_raw(bench, fd);
        result = rate(bench, from);
        bench_times_add(daemon, (double) (bench_cpu_usec(bench_service_pid()) - cpu) / 1e3);
        (void) close(fd);
        bench_end(bench->bus, id);
        return result;
}

static pid_t spawn(char *const *argv, int output_fd) {
        posix_spawn_file_actions_t actions;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
        bench_check(-posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ), argv[0]);
        posix_spawn_file_actions_destroy(&actions);
        return pid;
}

static void open_pipe(int fds[2]) {
        bench_check(pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0, "pipe");
}

static pid_t spawn_relay(int from_fd, int to_fd) {
        pid_t pid = fork();

        bench_check(pid < 0 ? -errno : 0, "fork");
        if (pid > 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                static char block[BLOCK];
                ssize_t n = read(from_fd, block, sizeof(block));

                if (n <= 0)
                        _exit(n < 0);
                for (ssize_t done = 0; done < n;) {
                        ssize_t m = write(to_fd, block + done, (size_t) (n - done));

                        if (m < 0)
                                _exit(EXIT_FAILURE);
                        done += m;
                }
        }
}

static double bulk_relay(Bench *bench) {
        char *const argv[] = {bench->program, (char *) "--write", bench->bytes, bench->fifo, NULL};
        int first[2], second[2];
        pid_t writer, relay;
        double from, result;

        open_pipe(first);
        open_pipe(second);
        writer = spawn(argv, first[1]);
        (void) close(first[1]);
        relay = spawn_relay(first[0], second[1]);
        (void) close(first[0]);
        (void) close(second[1]);
        from = go(bench);
        read_raw(bench, second[0]);
        result = rate(bench, from);
        (void) close(second[0]);
        (void) waitpid(writer, NULL, 0);
        (void) waitpid(relay, NULL, 0);
        return result;
}

static double bulk_systemd_run(Bench *bench) {
        char *const argv[] = {(char *) "systemd-run", (char *) "--user",  (char *) "--pipe", (char *) "--quiet", (char *) "--wait",
                              bench->program,         (char *) "--write", bench->bytes,      bench->fifo,        NULL};
        double from, result;
        int fds[2];
        pid_t pid;

        open_pipe(fds);
        pid = spawn(argv, fds[1]);
        (void) close(fds[1]);
        from = go(bench);
        read_raw(bench, fds[0]);
        result = rate(bench, from);
        (void) close(fds[0]);
        (void) waitpid(pid, NULL, 0);
        return result;
}

int main(int argc, char *argv[]) {
        BenchTimes framed = {0}, raw = {0}, relay = {0}, run = {0}, daemon = {0};
        json_t *figures;
        Bench *bench;

        if (argc == 4 && strcmp(argv[1], "--write") == 0)
                return run_writer(argv[2], argv[3]);

        bench = calloc(1, sizeof(*bench));
        bench_check(bench ? 0 : -ENOMEM, "memory");
        figures = bench_figures_new();
        bench->bus = bench_open_bus();
        bench->program = realpath("/proc/self/exe", NULL);
        bench->size = bench_quick() ? BYTES / 100 : BYTES;
        (void) snprintf(bench->bytes, sizeof(bench->bytes), "%" PRIu64, bench->size);
        (void) snprintf(bench->fifo, sizeof(bench->fifo), "/tmp/bench-bulk-%d", (int) getpid());
        bench_check(mkfifo(bench->fifo, 0600) < 0 ? -errno : 0, bench->fifo);

        for (unsigned i = 0; i < ROUNDS; i++) {
                bench_times_add(&relay, bulk_relay(bench));
                bench_times_add(&framed, bulk_ours(bench, true, &daemon));
                bench_times_add(&raw, bulk_ours(bench, false, &daemon));
                bench_times_add(&run, bulk_systemd_run(bench));
        }
        (void) unlink(bench->fifo);

        bench_compare(figures, "OpenOutput, framed, lossless", "MB/s", bench_percentile(&framed, 50), "bare pipe relay", bench_percentile(&relay, 50),
                      BENCH_AT_LEAST, 0.5);
        bench_compare(figures, "OpenOutput, raw, lossless", "MB/s", bench_percentile(&raw, 50), "bare pipe relay", bench_percentile(&relay, 50), BENCH_AT_LEAST,
                      0.5);
        bench_compare(figures, "the same", "MB/s", bench_percentile(&raw, 50), "systemd-run --pipe (nobody between)", bench_percentile(&run, 50), BENCH_NO_GOAL,
                      0);
        bench_alone(figures, "the daemon's CPU for 1 GiB", "ms", bench_percentile(&daemon, 50) * (double) (UINT64_C(1) << 30) / (double) bench->size,
                    BENCH_AT_MOST, 50);
        bench_print(figures);

        bench_times_done(&framed);
        bench_times_done(&raw);
        bench_times_done(&relay);
        bench_times_done(&run);
        bench_times_done(&daemon);
        sd_bus_flush_close_unref(bench->bus);
        free(bench->program);
        free(bench);
        return EXIT_SUCCESS;
}
