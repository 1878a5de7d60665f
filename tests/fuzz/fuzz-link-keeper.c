/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keeper's whole loop against a daemon that says anything, goes and comes again, and a runtime that does what it likes meanwhile; in a world
 * without processes (keeper-world.h).
 *
 * Held against it are the promises of util/link.h: commands once and in rising order, facts in their order and told to each connection, a runtime's
 * events under their numbers and never two under one, an answer to each request and to no other, DONE when nothing runs; besides, that it
 * never signals a process that isn't its own, never spins, ends when nobody wants it, and leaves no fd open.
 *
 * The input: a byte each for the plan, then steps of the daemon and the runtime. */

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "keeper-model.h"
#include "keeper/process.h"
#include "util/names.h"

#define BLOCK (64U * 1024U)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Parts in order, now and then one that isn't. */
static void say_send(uint8_t choice) {
        struct link_send *sending = &model->sending;
        g_autofree uint8_t *message = g_malloc0(LINK_MESSAGE_MAX);
        size_t size;

        if (sending->type == 0 || choice & 0x80) {
                uint8_t exponent = fuzz_u8(&model->input);

                memset(sending, 0, sizeof(*sending));
                sending->type = LINK_SEND;
                sending->cookie = fuzz_u8(&model->input);
                sending->total = (uint32_t) fuzz_u8(&model->input) << exponent % 16;
                sending->effect = exponent / 64;
        }
        size = (size_t) fuzz_u8(&model->input) << choice % 8;
        if (size % 2 == 0)
                size = sending->total - sending->offset;
        if (choice & 0x40)
                sending->offset += fuzz_u8(&model->input);
        size = MIN_OF(size, (size_t) LINK_MESSAGE_MAX - sizeof(*sending));
        if (choice < 0xf0)
                size = MIN_OF(size, (size_t) LINK_CHUNK_MAX);
        memcpy(message, sending, sizeof(*sending));
        say(message, sizeof(*sending) + size, 0);
        sending->offset += (uint32_t) size;
        if (sending->offset >= sending->total)
                *sending = (struct link_send){};
}

static void say_request(uint8_t choice) {
        g_autofree uint8_t *message = g_malloc0(LINK_MESSAGE_MAX + 16);
        struct link_request *request = (struct link_request *) (void *) message;
        struct link_signal *signal_request = (struct link_signal *) (void *) message;
        struct link_output_open *open = (struct link_output_open *) (void *) message;
        size_t size = sizeof(*request);

        request->cookie = fuzz_u8(&model->input);
        switch (choice % 6) {
        case 0:
        case 1:
                request->type = LINK_SIGNAL;
                signal_request->who = choice & 0x10 ? LINK_WHO_ALL : LINK_WHO_MAIN;
                signal_request->signo = choice & 0x20 ? SIGKILL : (int8_t) fuzz_u8(&model->input);
                if (choice > 0xf0)
                        signal_request->who = choice;
                signal_request->effect = choice & 0x40 ? choice / 8 % 2 + 1 : 0;
                size = sizeof(*signal_request);
                break;
        case 2:
        case 3:
                request->type = LINK_INPUT_WRITE;
                size += (size_t) fuzz_u8(&model->input) << choice / 8 % 10;
                size = MIN_OF(size, (size_t) LINK_MESSAGE_MAX);
                break;
        case 4:
                request->type = LINK_INPUT_OPEN;
                break;
        case 5:
                request->type = choice & 0x80 ? LINK_INPUT_CLOSE : LINK_OUTPUT_OPEN;
                if (request->type == LINK_OUTPUT_OPEN) {
                        *open = (struct link_output_open){.type = request->type, .cookie = request->cookie, .flags = pipe_flags(request->cookie)};
                        open->after = fuzz_u8(&model->input) % 32;
                        size = sizeof(*open);
                }
                break;
        }
        say(message, size, 0);
}

static void connect_anew(uint8_t choice) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        if (choice & 0x40 && model->daemon.fd >= 0) {
                (void) shutdown(model->daemon.fd, SHUT_WR);
                model->daemon.deaf = true;
                return;
        }
        if (choice & 0x80)
                connection_end();
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", model->directory, RM_KEEPER_SOCKET);
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                fd_close(fd);
                return;
        }
        connection_end();
        connection_begin(fd);
}

static void step_of_daemon(uint8_t choice) {
        uint32_t collect = LINK_COLLECT, release = LINK_OUTPUT_RELEASE;
        struct link_acknowledge acknowledge = {.type = LINK_ACKNOWLEDGE};
        struct link_watch watch = {.type = LINK_WATCH};
        struct link_run run = {.type = LINK_RUN};
        const uint8_t *bytes;
        size_t size;

        switch (choice % 12) {
        case 0:
        case 1:
                run.command = choice < 0xf0 ? (uint32_t) (world.command + 1) : choice % 4U;
                say(&run, sizeof(run), 0);
                break;
        case 2:
                say_send(fuzz_u8(&model->input));
                break;
        case 3:
        case 4:
                say_request(fuzz_u8(&model->input));
                break;
        case 5:
                acknowledge.number = choice < 0xc0 ? model->daemon.control : fuzz_u64(&model->input);
                say(&acknowledge, sizeof(acknowledge), 0);
                break;
        case 6:
                watch.after = choice < 0xc0 ? last_line() : fuzz_u8(&model->input);
                if (choice < 0xf0)
                        say(&watch, sizeof(watch), 0);
                else
                        say(&release, sizeof(release), 0);
                break;
        case 7:
                if (choice & 0x80)
                        say(&collect, sizeof(collect), 0);
                else {
                        bytes = fuzz_take(&model->input, fuzz_u8(&model->input), &size);
                        say(bytes, size, choice / 12 % 4 * 6);
                }
                break;
        case 8:
        case 9:
                (void) hear(1U + choice / 12);
                break;
        case 10:
                (void) hear(UINT32_MAX);
                break;
        case 11:
                connect_anew(choice);
                break;
        }
}

static void write_bytes(int fd, const void *bytes, size_t size) {
        if (fd >= 0 && send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK) {
                (void) fcntl(fd, F_SETFL, O_NONBLOCK);
                (void) !write(fd, bytes, size);
        }
}

static void write_some(int fd, uint8_t choice) {
        g_autofree char *many = NULL;
        const uint8_t *bytes;
        size_t size;

        bytes = fuzz_take(&model->input, fuzz_u8(&model->input), &size);
        if (choice & 0x80 && size > 0) {
                many = g_strnfill(BLOCK, (char) bytes[0]);
                bytes = (const uint8_t *) many;
                size = BLOCK;
        }
        write_bytes(fd, bytes, size);
}

/* A datagram, with fds that are to be closed when it has been kept. */
static void notify_some(uint8_t choice) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(2 * sizeof(int))];
        } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int))}};
        struct msghdr message = {.msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
        struct iovec part;
        const uint8_t *bytes;

        bytes = fuzz_take(&model->input, fuzz_u8(&model->input), &part.iov_len);
        part.iov_base = (void *) bytes;
        message.msg_iov = &part;
        memcpy(CMSG_DATA(&control.header), (int[]){model->protocol_fd, model->protocol_fd}, 2 * sizeof(int));
        if (model->protocol_fd >= 0)
                (void) sendmsg(model->protocol_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void read_some(int fd) {
        char buffer[4096];

        if (fd < 0)
                return;
        (void) fcntl(fd, F_SETFL, O_NONBLOCK);
        for (unsigned i = 0; i < 64; i++)
                if (read(fd, buffer, sizeof(buffer)) <= 0)
                        return;
}

static void connect_protocol(const char *name, int type) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        model->protocol_fd = fd_close(model->protocol_fd);
        model->protocol_fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", model->directory, name);
        if (connect(model->protocol_fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                model->protocol_fd = fd_close(model->protocol_fd);
}

static void end_start(uint8_t choice) {
        ProcessFailure failure = {.stage = LINK_STAGE_EXEC, .error = ENOENT};

        if (world.status_fd < 0)
                return;
        if (choice & 1)
                (void) !write(world.status_fd, &failure, sizeof(failure));
        world.status_fd = fd_close(world.status_fd);
        if (choice & 1)
                world_exit(CLD_EXITED, 1);
}

static void step_of_runtime(uint8_t choice) {
        int *const ends[] = {&world.input_fd, &world.output_fd, &world.error_fd, &world.protocol_read_fd, &world.protocol_write_fd, &model->protocol_fd};
        int protocol_write_fd = world.protocol_write_fd >= 0 ? world.protocol_write_fd : model->protocol_fd;

        switch (choice % 16) {
        case 0:
        case 1:
                end_start(choice >= 0xe0);
                break;
        case 2:
                world_exit(choice & 0x10 ? CLD_KILLED : CLD_EXITED, 1 + choice / 32);
                break;
        case 3:
                if (world.alive)
                        world.orphans = choice / 16 % 4;
                break;
        case 4:
                world.dead_orphans += world.orphans;
                world.orphans = 0;
                world.changed = true;
                (void) !write(world.signal_fd, &(uint64_t){1}, sizeof(uint64_t));
                break;
        case 5:
                world.n_undying = choice / 16 % 4;
                break;
        case 6:
        case 7:
                write_some(choice & 0x10 ? world.error_fd : world.output_fd, choice);
                break;
        case 8:
        case 9:
                write_some(protocol_write_fd, choice);
                break;
        case 10:
                if (choice & 0x80 && model->n_pipes > 0)
                        pipe_read(&model->pipes[choice / 16 % model->n_pipes]);
                read_some(choice & 0x10 ? world.input_fd : choice & 0x20 ? world.protocol_read_fd : model->protocol_fd);
                break;
        case 11:
                *ends[choice / 16 % ELEMENTSOF(ends)] = fd_close(*ends[choice / 16 % ELEMENTSOF(ends)]);
                break;
        case 12:
                connect_protocol(RM_CONTROL_SOCKET, SOCK_STREAM);
                break;
        case 13:
                if (choice & 0x40)
                        notify_some(choice);
                else if (choice & 0x80)
                        model->flood = world.protocol_write_fd >= 0 ? LIMIT_PROTOCOL_LINE / 4096 + 1 : LIMIT_PROTOCOL_LINE / BLOCK + 1;
                else
                        connect_protocol(RM_NOTIFY_SOCKET, SOCK_DGRAM);
                break;
        case 14:
                world.now_usec += (uint64_t) fuzz_u16(&model->input) * 1000;
                break;
        case 15:
                world.start_error = choice & 0x80 ? ENOMEM : 0;
                world.start_stage = LINK_STAGE_FORK;
                break;
        }
}

static bool on_idle(void *userdata) {
        if (model->flood > 0) {
                g_autofree char *block = g_strnfill(BLOCK, 'x');
                int fd = world.protocol_write_fd >= 0 ? world.protocol_write_fd : model->protocol_fd;

                model->flood--;
                write_bytes(fd, block, BLOCK);
                return true;
        }
        if (model->input.size > 0) {
                for (unsigned n = fuzz_u8(&model->input) % 8 + 1; n > 0 && model->input.size > 0; n--) {
                        uint8_t choice = fuzz_u8(&model->input);

                        if (choice & 1)
                                step_of_daemon(fuzz_u8(&model->input));
                        else
                                step_of_runtime(fuzz_u8(&model->input));
                }
                return true;
        }

        /* Until the daemon has heard all. */
        if (model->daemon.fd >= 0) {
                struct pollfd fd = {.fd = model->daemon.fd, .events = POLLIN};

                if (poll(&fd, 1, 0) > 0 && fd.revents & POLLIN && hear(UINT32_MAX))
                        return true;
                hear_answers();
                connection_end();
                return true;
        }
        if (!model->over) {
                model->over = true;
                pipes_close();
                world.n_undying = 0;
                world_exit(CLD_EXITED, 0);
                for (unsigned i = 0; i < 6; i++)
                        step_of_runtime((uint8_t) (11 + 16 * i));
                return true;
        }
        return false;
}

/* Two bytes: setup steps, input and transport; a pattern to wait for; now and then nonsense. */
static int make_spec(void) {
        uint8_t choice = fuzz_u8(&model->input), more = fuzz_u8(&model->input);
        struct spec_header header = {
                .input = choice & 1 ? SPEC_INPUT_NULL : SPEC_INPUT_PIPE,
                .transport = choice / 2 % (SPEC_TRANSPORT_LINE + 1U),
                .leftover_usec = more & 1 ? 0 : USEC_PER_SEC,
                .handshake_usec = more & 2 ? 0 : USEC_PER_SEC,
                .abandon_usec = more & 4 ? 0 : 120 * USEC_PER_SEC,
        };
        SpecBuilder *spec = spec_new(&header);
        const uint64_t memory_high = UINT64_C(1) << 20;
        int fd;

        model->n_commands = choice / 16 % 3 + 1U;
        model->bad_plan = more >= 0xf0;
        spec_add_string(spec, SPEC_DIRECTORY, model->directory);
        for (uint32_t i = 0; i < model->n_commands; i++) {
                uint32_t setup = i + 1 < model->n_commands;
                g_autofree char *argument = g_strdup_printf("%u", i);

                spec_add(spec, SPEC_COMMAND, &setup, sizeof(setup));
                spec_add_string(spec, SPEC_ANNOUNCE, "announced");
                spec_add_string(spec, SPEC_EXECUTABLE, model->bad_plan ? "relative" : "/absolute");
                spec_add_string(spec, SPEC_ARGUMENT, argument);
        }
        spec_add_string(spec, SPEC_LINE, "a");
        spec_add(spec, SPEC_MEMORY_HIGH, &memory_high, sizeof(memory_high));
        fd = spec_to_memfd(spec);
        spec_free(spec);
        g_assert_cmpint(fd, >=, 0);
        if (model->bad_plan)
                model->n_commands = 0;
        return fd;
}

/* The lines that are left are whole and have no gaps. */
static void check_ring(int ring_fd) {
        g_autofree char *text = g_malloc(RING_LINE_MAX);
        RingCursor cursor = ring_cursor_after(0);
        struct ring_record record;
        RingReader reader;
        uint64_t expected;
        int r;

        g_assert_cmpint(ring_reader_init(&reader, ring_fd), ==, 0);
        expected = ring_reader_oldest(&reader);
        while ((r = ring_read(&reader, &cursor, &record, text)) > 0)
                g_assert_cmpuint(record.number, ==, expected++);
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpuint(expected, ==, ring_reader_last(&reader) + 1);
        ring_reader_done(&reader);
}

static char *directory_of_process(void) {
        static char *directory;

        if (!directory) {
                directory = g_dir_make_tmp("fuzz-keeper-XXXXXX", NULL);
                g_assert_nonnull(directory);
                (void) signal(SIGPIPE, SIG_IGN);
        }
        return directory;
}

static void remove_directory(void) {
        (void) rmdir(directory_of_process());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GHashTable) events = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_autoptr(GString) event = g_string_new(NULL);
        Model here = {.input = {data, size}, .events = events, .event = event, .directory = directory_of_process(), .protocol_fd = -EBADF};
        _cleanup_free_ Keeper *keeper = calloc(1, sizeof(*keeper));
        int lowest_fd = fuzz_lowest_fd(), pair[2], ring_fd, spec_fd;
        static bool registered;

        if (!registered)
                registered = atexit(remove_directory) == 0;
        model = &here;
        here.keeper = keeper;
        world_init(on_idle, NULL);
        spec_fd = make_spec();
        ring_fd = ring_create(0, 0);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        connection_begin(pair[0]);

        g_assert_cmpint(keeper_init(keeper, pair[1], ring_fd, spec_fd, -EBADF), ==, 0);
        fd_close(spec_fd);
        /* It ends by itself: collected, or abandoned. */
        g_assert_cmpint(keeper_loop(keeper), ==, 0);
        g_assert_false(world_is_populated());
        pipes_close();
        keeper_done(keeper);

        check_ring(ring_fd);
        connection_end();
        fd_close(here.protocol_fd);
        fd_close(ring_fd);
        world_done();
        g_assert_cmpint(fuzz_lowest_fd(), ==, lowest_fd);
        return 0;
}
