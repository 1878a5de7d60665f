/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's side of the link in its barest form: it writes down what it is told. Each keeper gets a cgroup below our own, which it enters
 * before it is executed, as systemd would have put it into a scope. */

#include "keeper-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "util/names.h"

#define MARKER "marker"

static char *keeper_path;
static char *cgroup_root;

static bool is_cgroup2(const char *path) {
        struct statfs fs;

        return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static const char *find_obstacle(int argc, char *argv[]) {
        const char *mount = is_cgroup2("/sys/fs/cgroup") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
        g_autofree char *text = NULL, *probe = NULL;
        const char *own;

        keeper_path = g_strdup(argc > 1 ? argv[1] : g_getenv("RUNTIME_KEEPER"));
        if (!keeper_path)
                return "no keeper was given: as first argument, or as $RUNTIME_KEEPER";

        if (!is_cgroup2(mount) || !g_file_get_contents("/proc/self/cgroup", &text, NULL, NULL))
                return "there is no cgroup v2 tree";
        own = strstr(text, "0::/");
        if (!own)
                return "this process is in no v2 cgroup";
        *strchrnul(own, '\n') = '\0';
        cgroup_root = g_build_filename(mount, own + strlen("0::"), NULL);

        probe = g_strdup_printf("%s/keeper-test-%d", cgroup_root, getpid());
        if (mkdir(probe, 0755) < 0)
                return "no cgroup can be made below our own (run it with tests/with-user-manager)";
        g_assert_cmpint(rmdir(probe), ==, 0);
        return NULL;
}

bool fixture_prepare(int argc, char *argv[]) {
        const char *obstacle = find_obstacle(argc, argv);

        /* Not by g_print(), which makes a comment of it. */
        if (obstacle)
                printf("1..0 # SKIP %s\n", obstacle);
        return !obstacle;
}

/* What: the failure to tell of when nothing happens in time. */
static void wait_for_event(int fd, short events, gint64 until, const char *what) {
        struct pollfd pollfd = {.fd = fd, .events = events};
        int n;

        do {
                gint64 left = MAX(until - g_get_monotonic_time(), 0);

                n = poll(&pollfd, 1, (int) (left / 1000) + 1);
        } while (n < 0 && errno == EINTR);
        if (n != 1)
                g_error("%s", what);
}

static void control_event_free(gpointer data) {
        ControlEvent *event = data;

        g_string_free(event->text, TRUE);
        g_free(event);
}

static void forget_connection(Fixture *f) {
        memset(f->seen, 0, sizeof(f->seen));
        g_ptr_array_set_size(f->controls, 0);
        f->reply_fd = fd_close(f->reply_fd);
        f->link = fd_close(f->link);
}

Fixture *fixture_new(void) {
        static unsigned n;
        Fixture *f = g_new0(Fixture, 1);

        f->directory = g_dir_make_tmp("keeper-test-XXXXXX", NULL);
        g_assert_nonnull(f->directory);
        f->cgroup = g_strdup_printf("%s/keeper-test-%d-%u", cgroup_root, getpid(), n++);
        g_assert_cmpint(mkdir(f->cgroup, 0755), ==, 0);
        f->link = f->ring_fd = f->reply_fd = f->marker_fd = f->socket_fd = -EBADF;
        f->controls = g_ptr_array_new_with_free_func(control_event_free);
        f->header = (struct spec_header){.leftover_usec = 5 * USEC_PER_SEC, .abandon_usec = 60 * USEC_PER_SEC};
        f->cursor = ring_cursor_after(0);
        f->ring_bytes = LIMIT_RING_DEFAULT;
        f->spec = NULL;
        return f;
}

/* Made when first needed, so that a test can set the header before. */
SpecBuilder *fixture_spec(Fixture *f) {
        if (!f->spec) {
                f->spec = spec_new(&f->header);
                spec_add_string(f->spec, SPEC_DIRECTORY, f->directory);
                spec_add_string(f->spec, SPEC_ENVIRONMENT, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
        }
        return f->spec;
}

void fixture_add_command(Fixture *f, bool setup, const char *const *argv) {
        SpecBuilder *spec = fixture_spec(f);
        uint32_t value = setup;

        spec_add(spec, SPEC_COMMAND, &value, sizeof(value));
        spec_add_string(spec, SPEC_EXECUTABLE, argv[0]);
        for (; *argv; argv++)
                spec_add_string(spec, SPEC_ARGUMENT, *argv);
}

void fixture_add_shell(Fixture *f, bool setup, const char *script) {
        fixture_add_command(f, setup, (const char *const[]){"/bin/bash", "-c", script, NULL});
}

/* Between fork and exec: into the cgroup, and the fds to their places. */
static void enter(const char *procs, int link, int ring, int spec, int socket_fd) {
        int fd = open(procs, O_WRONLY | O_CLOEXEC);

        /* Above the places, before any of them is overwritten. */
        link = fcntl(link, F_DUPFD_CLOEXEC, 10);
        ring = fcntl(ring, F_DUPFD_CLOEXEC, 10);
        spec = fcntl(spec, F_DUPFD_CLOEXEC, 10);
        socket_fd = fcntl(socket_fd, F_DUPFD_CLOEXEC, 10);
        if (fd < 0 || write(fd, "0", 1) != 1 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                _exit(70);
        if (dup2(link, LINK_FD) < 0 || dup2(ring, LINK_RING_FD) < 0 || dup2(spec, LINK_SPEC_FD) < 0)
                _exit(71);
        if (socket_fd >= 0 && dup2(socket_fd, LINK_SOCKET_FD) < 0)
                _exit(73);
}

void fixture_start(Fixture *f) {
        g_autofree char *procs = g_build_filename(f->cgroup, "cgroup.procs", NULL);
        int pair[2], spec_fd;

        spec_fd = spec_to_memfd(fixture_spec(f));
        g_assert_cmpint(spec_fd, >=, 0);
        f->ring_fd = ring_create(f->ring_bytes, 0);
        g_assert_cmpint(f->ring_fd, >=, 0);
        g_assert_cmpint(ring_reader_init(&f->ring, f->ring_fd), ==, 0);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);

        f->pid = fork();
        g_assert_cmpint(f->pid, >=, 0);
        if (f->pid == 0) {
                enter(procs, pair[1], f->ring_fd, spec_fd, f->socket_fd);
                execl(keeper_path, "runtime-keeper", NULL);
                _exit(72);
        }
        fd_close(pair[1]);
        fd_close(spec_fd);
        f->link = pair[0];
        fixture_wait(f, LINK_HELLO, 1);
        g_assert_cmpuint(f->hello.version, ==, LINK_VERSION);
        g_assert_cmpuint(f->hello.pid, ==, (unsigned) f->pid);
}

static int wait_exit(GPid pid) {
        _cleanup_close_ int pidfd = pidfd_open(pid, 0);
        siginfo_t info = {};

        g_assert_cmpint(pidfd, >=, 0);
        wait_for_event(pidfd, POLLIN, g_get_monotonic_time() + DEADLINE_USEC, "the keeper doesn't exit");
        g_assert_cmpint(waitid(P_PID, (id_t) pid, &info, WEXITED), ==, 0);
        if (info.si_code != CLD_EXITED)
                g_error("the keeper was killed by signal %d", info.si_status);
        return info.si_status;
}

static void remove_cgroup(const char *path) {
        g_autofree char *events = g_build_filename(path, "cgroup.events", NULL), *what = g_strdup_printf("%s does not become empty", path);
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        _cleanup_close_ int fd = -EBADF;
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                if (g_file_test(child, G_FILE_TEST_IS_DIR))
                        remove_cgroup(child);
        }
        fd = open(events, O_RDONLY | O_CLOEXEC);
        for (;;) {
                char text[256];

                /* Read before the attempt: what changes after it is an event. */
                (void) !pread(fd, text, sizeof(text), 0);
                if (rmdir(path) == 0 || errno == ENOENT)
                        return;
                if (errno != EBUSY)
                        g_error("%s can't be removed: %s", path, g_strerror(errno));
                wait_for_event(fd, POLLPRI, until, what);
        }
}

void fixture_free(Fixture *f) {
        forget_connection(f);
        if (f->pid > 0)
                g_assert_cmpint(wait_exit(f->pid), ==, 0);
        remove_cgroup(f->cgroup);
        if (f->marker_fd >= 0) {
                g_autofree char *marker = fixture_path(f, MARKER);

                g_assert_cmpint(g_unlink(marker), ==, 0);
                fd_close(f->marker_fd);
        }

        /* Whatever the keeper had put here is gone. */
        for (unsigned i = 0; i < 3; i++) {
                g_autofree char *path = fixture_path(f, (const char *[]){RM_KEEPER_SOCKET, RM_CONTROL_SOCKET, RM_NOTIFY_SOCKET}[i]);

                g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        }
        g_assert_cmpint(g_rmdir(f->directory), ==, 0);

        spec_free(f->spec);
        ring_reader_done(&f->ring);
        fd_close(f->ring_fd);
        g_ptr_array_unref(f->controls);
        g_free(f->directory);
        g_free(f->cgroup);
        g_free(f);
}

void fixture_send(Fixture *f, const void *message, size_t size, const void *body, size_t body_size) {
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;
        int r;

        while ((r = link_send_message(f->link, message, size, body, body_size, -EBADF)) == -EAGAIN)
                wait_for_event(f->link, POLLOUT, until, "the keeper doesn't read its link");
        g_assert_cmpint(r, ==, 0);
}

void fixture_run(Fixture *f, uint32_t command) {
        struct link_run message = {.type = LINK_RUN, .command = command};

        fixture_send(f, &message, sizeof(message), NULL, 0);
}

void fixture_collect(Fixture *f) {
        uint32_t type = LINK_COLLECT;

        fixture_send(f, &type, sizeof(type), NULL, 0);
}

void fixture_acknowledge(Fixture *f, uint64_t number) {
        struct link_acknowledge message = {.type = LINK_ACKNOWLEDGE, .number = number};

        fixture_send(f, &message, sizeof(message), NULL, 0);
}

int fixture_wait_reply(Fixture *f, uint32_t cookie) {
        while (f->seen[LINK_REPLY] == 0 || f->reply.cookie != cookie)
                fixture_wait(f, LINK_REPLY, f->seen[LINK_REPLY] + 1);
        return f->reply.error;
}

int fixture_signal(Fixture *f, enum link_who who, int signo) {
        struct link_signal message = {.type = LINK_SIGNAL, .cookie = ++f->cookie, .who = who, .signo = signo};

        fixture_send(f, &message, sizeof(message), NULL, 0);
        return fixture_wait_reply(f, message.cookie);
}

int fixture_input(Fixture *f, enum link_type type, const void *bytes, size_t size) {
        struct link_request message = {.type = type, .cookie = ++f->cookie};

        fixture_send(f, &message, sizeof(message), bytes, size);
        return fixture_wait_reply(f, message.cookie);
}

int fixture_open_output(Fixture *f, uint64_t after, uint32_t flags) {
        struct link_output_open message = {.type = LINK_OUTPUT_OPEN, .cookie = ++f->cookie, .flags = flags, .after = after};

        fixture_send(f, &message, sizeof(message), NULL, 0);
        return fixture_wait_reply(f, message.cookie);
}

uint32_t fixture_send_line(Fixture *f, const char *text, size_t size) {
        struct link_send message = {.type = LINK_SEND, .cookie = ++f->cookie, .total = (uint32_t) size};

        do {
                size_t n = MIN(size - message.offset, LINK_CHUNK_MAX);

                fixture_send(f, &message, sizeof(message), text + message.offset, n);
                message.offset += (uint32_t) n;
        } while (message.offset < size);
        return message.cookie;
}

static void on_control(Fixture *f, const struct link_control *head, const uint8_t *bytes, size_t size) {
        ControlEvent *event = f->controls->len > 0 ? g_ptr_array_index(f->controls, f->controls->len - 1) : NULL;

        if (head->offset == 0) {
                if (event)
                        g_assert_cmpuint(head->number, ==, event->number + 1);
                event = g_new0(ControlEvent, 1);
                *event = (ControlEvent){.number = head->number, .line = head->line, .kind = head->kind, .text = g_string_new(NULL)};
                g_ptr_array_add(f->controls, event);
        }
        g_assert_nonnull(event);
        g_assert_cmpuint(head->number, ==, event->number);
        g_assert_cmpuint(head->offset, ==, event->text->len);
        g_assert_cmpuint(size, <=, LINK_CHUNK_MAX);
        g_string_append_len(event->text, (const char *) bytes, (gssize) size);
        g_assert_cmpuint(event->text->len, <=, head->total);
}

static void on_message(Fixture *f, uint32_t type, size_t size, int fd) {
        struct {
                void *place;
                size_t size;
        } places[] = {
                [LINK_HELLO] = {&f->hello, sizeof(f->hello)},    [LINK_EXECUTED] = {&f->executed, sizeof(f->executed)},
                [LINK_FAILED] = {&f->failed, sizeof(f->failed)}, [LINK_EXITED] = {&f->exited, sizeof(f->exited)},
                [LINK_OUTPUT] = {&f->output, sizeof(f->output)}, [LINK_DONE] = {&f->done, sizeof(f->done)},
                [LINK_REPLY] = {&f->reply, sizeof(f->reply)},    [LINK_MEMORY] = {&f->memory, sizeof(f->memory)},
        };

        if (type == LINK_CONTROL) {
                g_assert_cmpuint(f->seen[LINK_EXECUTED], >, 0); /* before it says anything */
                g_assert_cmpuint(size, >=, sizeof(struct link_control));
                on_control(f, (const struct link_control *) f->buffer, f->buffer + sizeof(struct link_control), size - sizeof(struct link_control));
        } else {
                g_assert_cmpuint(type, <, G_N_ELEMENTS(places));
                g_assert_cmpuint(size, ==, places[type].size);
                memcpy(places[type].place, f->buffer, size);
        }

        if (type == LINK_HELLO)
                g_assert_cmpint(fd, >=, 0);
        if (type == LINK_REPLY) {
                fd_close(f->reply_fd);
                f->reply_fd = fd;
        } else
                fd_close(fd);
        f->seen[type]++;
}

bool fixture_read(Fixture *f, gint64 until, int *ret_type) {
        for (;;) {
                struct pollfd pollfd = {.fd = f->link, .events = POLLIN};
                gint64 left = until - g_get_monotonic_time();
                uint32_t type;
                int fd = -EBADF;
                ssize_t n;

                n = link_receive_message(f->link, f->buffer, &fd);
                if (n == -ECONNRESET)
                        n = 0;
                if (n >= 0) {
                        *ret_type = -1;
                        if (n > 0) {
                                memcpy(&type, f->buffer, sizeof(type));
                                on_message(f, type, (size_t) n, fd);
                                *ret_type = (int) type;
                        }
                        return true;
                }
                g_assert_cmpint(n, ==, -EAGAIN);
                if (left <= 0)
                        return false;
                (void) poll(&pollfd, 1, (int) (left / 1000) + 1);
        }
}

void fixture_wait(Fixture *f, enum link_type type, unsigned n) {
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;

        while (f->seen[type] < n) {
                int seen;

                if (!fixture_read(f, until, &seen))
                        g_error("no message of type %d came", type);
                if (seen < 0)
                        g_error("the link ended before a message of type %d", type);
        }
}

void fixture_wait_settled(Fixture *f) {
        while (f->seen[LINK_FAILED] == 0 && (f->seen[LINK_EXITED] == 0 || f->exited.settled == 0)) {
                int seen;

                if (!fixture_read(f, g_get_monotonic_time() + DEADLINE_USEC, &seen) || seen < 0)
                        g_error("the command does not settle");
        }
}

void fixture_wait_end(Fixture *f) {
        int seen = 0;

        while (seen >= 0)
                if (!fixture_read(f, g_get_monotonic_time() + DEADLINE_USEC, &seen))
                        g_error("the keeper does not close the link");
}

const ControlEvent *fixture_wait_control(Fixture *f, uint64_t number) {
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;

        for (;;) {
                int seen;

                for (unsigned i = 0; i < f->controls->len; i++) {
                        const ControlEvent *event = g_ptr_array_index(f->controls, i);

                        if (event->number == number)
                                return event;
                }
                if (!fixture_read(f, until, &seen) || seen < 0)
                        g_error("event %" PRIu64 " does not come", number);
        }
}

void fixture_execute(Fixture *f, uint32_t command) {
        unsigned seen = f->seen[LINK_EXECUTED];

        fixture_run(f, command);
        fixture_wait(f, LINK_EXECUTED, seen + 1);
        g_assert_cmpuint(f->executed.command, ==, command);
}

void fixture_run_to_done(Fixture *f) {
        fixture_start(f);
        fixture_run(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

void fixture_disconnect(Fixture *f) {
        forget_connection(f);
}

void fixture_reconnect(Fixture *f) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        g_autofree char *path = fixture_path(f, RM_KEEPER_SOCKET);

        forget_connection(f);
        f->link = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        if (connect(f->link, (struct sockaddr *) &address, sizeof(address)) < 0)
                g_error("%s: %s", path, g_strerror(errno));
        fixture_wait(f, LINK_HELLO, 1);
}

void fixture_wait_last(Fixture *f, uint64_t number) {
        struct link_watch watch = {.type = LINK_WATCH, .after = number - 1};
        unsigned seen = f->seen[LINK_OUTPUT];

        fixture_send(f, &watch, sizeof(watch), NULL, 0);
        fixture_wait(f, LINK_OUTPUT, seen + 1);
        g_assert_cmpuint(f->output.last, >=, number);
}

const char *fixture_next_line(Fixture *f, struct ring_record *ret) {
        gint64 until = g_get_monotonic_time() + DEADLINE_USEC;

        for (;;) {
                struct link_watch watch = {.type = LINK_WATCH, .after = f->cursor.number - 1};
                unsigned seen = f->seen[LINK_OUTPUT];
                int r = ring_read(&f->ring, &f->cursor, ret, f->text), type;

                g_assert_cmpint(r, >=, 0);
                if (r > 0) {
                        f->text[ret->size] = '\0';
                        return f->text;
                }
                fixture_send(f, &watch, sizeof(watch), NULL, 0);
                while (f->seen[LINK_OUTPUT] == seen)
                        if (!fixture_read(f, until, &type) || type < 0)
                                g_error("line %" PRIu64 " does not come", f->cursor.number);
                g_assert_cmpuint(f->output.last, >, watch.after);
        }
}

void fixture_assert_line(Fixture *f, enum ring_stream stream, uint16_t flags, const char *text) {
        struct ring_record record;
        const char *line = fixture_next_line(f, &record);

        g_assert_cmpstr(line, ==, text);
        g_assert_cmpint(record.stream, ==, stream);
        g_assert_cmpint(record.flags, ==, flags);
}

void fixture_assert_no_line(Fixture *f) {
        struct ring_record record;

        g_assert_cmpint(ring_read(&f->ring, &f->cursor, &record, f->text), ==, 0);
}

char *fixture_path(Fixture *f, const char *name) {
        return g_build_filename(f->directory, name, NULL);
}

unsigned fixture_count_payload(Fixture *f) {
        g_autofree char *path = g_build_filename(f->cgroup, RM_CGROUP_PAYLOAD, "cgroup.procs", NULL), *text = NULL;
        unsigned n = 0;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return 0;
        for (const char *c = text; *c; c++)
                n += *c == '\n';
        return n;
}

void fixture_wait_gone(GPid pid) {
        _cleanup_close_ int pidfd = pidfd_open(pid, 0);
        g_autofree char *what = g_strdup_printf("process %d does not end", pid);

        if (pidfd < 0)
                g_assert_cmpint(errno, ==, ESRCH);
        else
                wait_for_event(pidfd, POLLIN, g_get_monotonic_time() + DEADLINE_USEC, what);
}

char *fixture_add_marker(Fixture *f) {
        g_autofree char *path = fixture_path(f, MARKER);

        g_assert_cmpint(mkfifo(path, 0600), ==, 0);
        f->marker_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        g_assert_cmpint(f->marker_fd, >=, 0);
        return g_steal_pointer(&path);
}

void fixture_wait_marker(Fixture *f) {
        char byte;

        wait_for_event(f->marker_fd, POLLIN, g_get_monotonic_time() + DEADLINE_USEC, "the runtime does not come to its marker");
        g_assert_cmpint(read(f->marker_fd, &byte, 1), ==, 1);
}
