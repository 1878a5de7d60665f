/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scope room's other back end, against a spawner that the test plays: one that answers in the wrong order, not at all, or with what no spawner says.
 * Whatever it does, each scope's handler hears one beginning and one end. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/scope.h"
#include "loop.h"
#include "util/macro.h"
#include "util/spawner.h"

#define A "runtime-command-u1000_a.scope"
#define B "runtime-command-u1000_b.scope"

typedef union Message {
        uint32_t type;
        struct spawner_unit unit;
        struct spawner_user user;
        struct spawner_user_is user_is;
        struct spawner_start start;
        struct spawner_keeper keeper;
        struct spawner_news news;
        struct spawner_job_is job;
} Message;

typedef struct Fixture {
        char *directory, *path;
        int listener_fd, fd;
        guint tick;
        Message message; /* that was received last */
        unsigned n_fds;
        sd_event *event;
        GSource *source;
        ScopeBus *bus;
        Scope *scope;
        GString *seen; /* a word for each call of a handler */
        int error;
        User *user;
} Fixture;

static void note(Fixture *f, const char *word) {
        g_string_append_printf(f->seen, "%s%s", f->seen->len > 0 ? " " : "", word);
}

static void on_started(void *userdata) {
        note(userdata, "started");
}

static void on_start_failed(void *userdata, const char *message) {
        g_test_message("failed: %s", message);
        note(userdata, "failed:");
        g_string_append(((Fixture *) userdata)->seen, message);
}

static void on_stopping(void *userdata) {
        note(userdata, "stopping");
}

static void on_gone(void *userdata, ScopeResult result) {
        note(userdata, result == SCOPE_RESULT_OOM_KILL ? "gone:oom-kill" : "gone");
}

static void on_keeper(void *userdata, pid_t pid, int pidfd) {
        g_assert_cmpint(pid, ==, getpid());
        g_assert_cmpint(pidfd_send_signal(pidfd, 0, NULL, 0), ==, 0);
        fd_close(pidfd);
        note(userdata, "keeper");
}

static const ScopeHandler handler = {on_started, on_start_failed, on_stopping, on_gone, on_keeper};

static void listen_again(Fixture *f) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        (void) g_unlink(f->path);
        g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
        f->listener_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(bind(f->listener_fd, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(listen(f->listener_fd, 4), ==, 0);
}

static gboolean accepted(Fixture *f) {
        f->fd = accept4(f->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return f->fd >= 0;
}

/* The test's own side is looked at whenever something happens, and now and then. */
static gboolean on_tick(gpointer userdata) {
        return G_SOURCE_CONTINUE;
}

static Fixture *fixture_new(bool there) {
        Fixture *f = g_new0(Fixture, 1);

        f->directory = g_dir_make_tmp("rm-spawner-XXXXXX", NULL);
        f->path = g_build_filename(f->directory, "socket", NULL);
        f->listener_fd = f->fd = -EBADF;
        f->error = -1;
        f->seen = g_string_new(NULL);
        f->tick = g_timeout_add(5, on_tick, NULL);
        if (there)
                listen_again(f);
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        f->source = loop_add_event(f->event);
        g_assert_cmpint(scope_bus_new_spawner(f->event, f->path, &f->bus), ==, 0);
        g_assert_true(scope_bus_is_connected(f->bus) == there);
        if (there)
                AWAIT(accepted(f));
        return f;
}

static void fixture_free(Fixture *f) {
        scope_free(f->scope);
        scope_bus_free(f->bus);
        g_source_destroy(f->source);
        g_source_unref(f->source);
        sd_event_unref(f->event);
        fd_close(f->fd);
        fd_close(f->listener_fd);
        (void) g_unlink(f->path);
        g_assert_cmpint(g_rmdir(f->directory), ==, 0);
        user_free(f->user);
        g_string_free(f->seen, TRUE);
        g_free(f->directory);
        g_free(f->path);
        g_source_remove(f->tick);
        g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static gboolean received(Fixture *f) {
        char control[CMSG_SPACE(sizeof(int) * 8)];
        struct iovec part = {.iov_base = &f->message, .iov_len = sizeof(f->message)};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        struct cmsghdr *fds;

        if (recvmsg(f->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
                return FALSE;
        fds = CMSG_FIRSTHDR(&header);
        f->n_fds = fds ? (fds->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (unsigned i = 0; i < f->n_fds; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(fds) + i * sizeof(int), sizeof(int));
                fd_close(fd);
        }
        return TRUE;
}

static void expect(Fixture *f, uint32_t type) {
        AWAIT(received(f));
        g_assert_cmpuint(f->message.type, ==, type);
}

static void expect_unit(Fixture *f, uint32_t type, const char *unit) {
        expect(f, type);
        g_assert_cmpstr(f->message.unit.unit, ==, unit);
}

static void send_bytes(Fixture *f, const void *bytes, size_t size, unsigned n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 3)];
        } control = {};
        struct iovec part = {.iov_base = (void *) bytes, .iov_len = size};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
        _cleanup_close_ int pidfd = pidfd_open(getpid(), 0);

        if (n_fds > 0) {
                header.msg_control = control.bytes;
                header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                for (unsigned i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &pidfd, sizeof(int));
        }
        g_assert_cmpint(sendmsg(f->fd, &header, MSG_NOSIGNAL), ==, (gssize) size);
}

static void say_unit(Fixture *f, uint32_t type, const char *unit) {
        struct spawner_unit message = {.type = type};

        g_strlcpy(message.unit, unit, sizeof(message.unit));
        send_bytes(f, &message, sizeof(message), 0);
}

static void say_news(Fixture *f, uint32_t type, const char *unit, int error, uint32_t result, const char *text) {
        struct spawner_news message = {.type = type, .error = error, .result = result};

        g_strlcpy(message.unit, unit, sizeof(message.unit));
        g_strlcpy(message.text, text, sizeof(message.text));
        send_bytes(f, &message, sizeof(message), 0);
}

static void say_keeper(Fixture *f, const char *unit) {
        struct spawner_keeper message = {.type = SPAWNER_KEEPER, .pid = (uint32_t) getpid()};

        g_strlcpy(message.unit, unit, sizeof(message.unit));
        send_bytes(f, &message, sizeof(message), 1);
}

static int start(Fixture *f, const char *unit, bool with_keeper) {
        _cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        ScopeKeeper keeper = {fd, fd, fd, fd};
        ScopeOptions options = {.unit = unit, .uid = 1000, .pid = with_keeper ? 0 : 77, .limits = limit_set_none(), .timeout_stop_usec = 5};

        options.keeper = with_keeper ? &keeper : NULL;
        options.limits.value[LIMIT_TASKS_MAX] = 9;
        options.limits.value[LIMIT_MEMORY_HIGH] = 8;
        return scope_start(f->bus, &options, &handler, f, &f->scope);
}

#define AWAIT_SEEN(f, words) AWAIT(strcmp((f)->seen->str, words) == 0)

static Fixture *active_new(void) {
        Fixture *f = fixture_new(true);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        say_keeper(f, A);
        say_unit(f, SPAWNER_STARTED, A);
        AWAIT_SEEN(f, "keeper started");
        return f;
}

static void test_life(void) {
        g_autoptr(Fixture) f = fixture_new(true);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        g_assert_cmpstr(f->message.start.unit, ==, A);
        g_assert_cmpuint(f->message.start.uid, ==, 1000);
        g_assert_cmpuint(f->message.start.pid, ==, 0);
        g_assert_cmpuint(f->message.start.keys, ==, (1 << LIMIT_TASKS_MAX) | (1 << LIMIT_MEMORY_HIGH));
        g_assert_cmpuint(f->message.start.limits[LIMIT_TASKS_MAX], ==, 9);
        g_assert_cmpuint(f->n_fds, ==, SPAWNER_FDS);
        say_keeper(f, A);
        say_unit(f, SPAWNER_STARTED, A);
        say_unit(f, SPAWNER_STOPPING, A);
        say_news(f, SPAWNER_GONE, A, 0, SCOPE_RESULT_OOM_KILL, "");
        AWAIT_SEEN(f, "keeper started stopping gone:oom-kill");
}

static void test_refusal(void) {
        g_autoptr(Fixture) f = fixture_new(true);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        say_news(f, SPAWNER_FAILED, A, EPERM, 0, "Not for\nthis user.");
        AWAIT_SEEN(f, "failed:Not for this user.");
}

static void test_again(void) {
        g_autoptr(Fixture) f = fixture_new(true);

        g_assert_cmpint(start(f, A, false), ==, 0);
        expect(f, SPAWNER_SCOPE);
        g_assert_cmpuint(f->message.start.pid, ==, 77);
        g_assert_cmpuint(f->n_fds, ==, 0);
        say_unit(f, SPAWNER_STARTED, A);
        AWAIT_SEEN(f, "started");
        scope_kill(f->scope);
        expect_unit(f, SPAWNER_KILL, A);
        scope_stop(f->scope);
        expect_unit(f, SPAWNER_STOP, A);
        f->scope = scope_free(f->scope);
        expect_unit(f, SPAWNER_RELEASE, A);
        scope_bus_remove_folder(f->bus, A);
        expect_unit(f, SPAWNER_REMOVE, A);
}

static void test_late_news(void) {
        g_autoptr(Fixture) f = fixture_new(true);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        say_unit(f, SPAWNER_STARTED, A);
        say_unit(f, SPAWNER_STOPPING, A);
        say_news(f, SPAWNER_GONE, A, 0, 0, "");
        say_unit(f, SPAWNER_STARTED, B);
        say_keeper(f, B);
        say_keeper(f, A);
        say_keeper(f, A);
        say_unit(f, SPAWNER_STARTED, A);
        say_unit(f, SPAWNER_STARTED, A);
        say_news(f, SPAWNER_FAILED, A, EIO, 0, "");
        say_news(f, SPAWNER_GONE, A, 0, 999, "");
        say_news(f, SPAWNER_GONE, A, 0, 0, "");
        AWAIT_SEEN(f, "keeper started gone");
}

static void test_given_up(void) {
        g_autoptr(Fixture) f = fixture_new(true);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        f->scope = scope_free(f->scope);
        expect_unit(f, SPAWNER_STOP, A);
        g_assert_cmpint(start(f, A, true), ==, -EBUSY);
        say_keeper(f, A);
        say_unit(f, SPAWNER_STARTED, A);
        expect_unit(f, SPAWNER_STOP, A);
        expect_unit(f, SPAWNER_RELEASE, A);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        f->scope = scope_free(f->scope);
        expect_unit(f, SPAWNER_STOP, A);
        say_news(f, SPAWNER_FAILED, A, ECANCELED, 0, "");
        say_unit(f, SPAWNER_STOPPING, B);
        AWAIT(start(f, A, true) == 0);
        g_assert_cmpstr(f->seen->str, ==, "");
}

static void on_limits(void *userdata, const sd_bus_error *error) {
        note(userdata, error ? error->message : "limited");
}

static void set_limits(Fixture *f) {
        LimitSet limits = limit_set_none();

        g_string_truncate(f->seen, 0);
        g_assert_cmpint(scope_set_limits(f->scope, &limits, 1 << LIMIT_TASKS_MAX, on_limits, f), ==, 0);
        g_assert_cmpint(scope_set_limits(f->scope, &limits, 1 << LIMIT_TASKS_MAX, on_limits, f), ==, -EBUSY);
        expect(f, SPAWNER_LIMIT);
}

static void test_limits(void) {
        g_autoptr(Fixture) f = active_new();

        set_limits(f);
        say_news(f, SPAWNER_LIMITED, A, 0, 0, "");
        AWAIT_SEEN(f, "limited");
        set_limits(f);
        say_news(f, SPAWNER_LIMITED, A, EINVAL, 0, "too few");
        AWAIT_SEEN(f, "too few");
        set_limits(f);
        fd_close(f->fd);
        AWAIT_SEEN(f, "the connection to the spawner was lost");
        AWAIT(accepted(f));
}

static void on_user(void *userdata, int error, const User *user) {
        Fixture *f = userdata;

        f->error = error;
        user_free(f->user);
        f->user = user_copy(user);
}

static void on_restart(void *userdata, bool restart) {
        note(userdata, restart ? "restart" : "stop");
}

static void test_lost_while_starting(void) {
        g_autoptr(Fixture) f = fixture_new(true);

        g_assert_cmpint(start(f, A, true), ==, 0);
        expect(f, SPAWNER_START);
        say_keeper(f, A);
        AWAIT_SEEN(f, "keeper");
        scope_bus_find_user(f->bus, 1, NULL, on_user, f);
        fd_close(f->fd);
        AWAIT(f->error == EIO);
        AWAIT_SEEN(f, "keeper failed:The connection to the spawner was lost while the runtime was being started.");
        g_assert_false(scope_bus_is_connected(f->bus));
        f->scope = scope_free(f->scope);
        g_assert_cmpint(start(f, A, true), ==, -ENOTCONN);
        f->error = -1;
        scope_bus_find_user(f->bus, 1, NULL, on_user, f);
        g_assert_cmpint(f->error, ==, EIO);
        scope_bus_ask_restart(f->bus, getpid(), on_restart, f);
        g_assert_true(g_str_has_suffix(f->seen->str, " restart"));
        AWAIT(accepted(f));
}

static void test_adopted_again(void) {
        g_autoptr(Fixture) f = active_new();

        fd_close(f->fd);
        AWAIT(accepted(f));
        expect_unit(f, SPAWNER_ADOPT, A);
        g_string_truncate(f->seen, 0);
        say_news(f, SPAWNER_GONE, A, 0, 0, "");
        AWAIT_SEEN(f, "gone");
}

static void test_not_there_yet(void) {
        g_autoptr(Fixture) f = fixture_new(false);
        ScopeOptions options = {.unit = A};

        g_assert_cmpint(start(f, B, true), ==, -ENOTCONN);
        g_assert_cmpint(scope_adopt(f->bus, &options, &handler, f, &f->scope), ==, 0);
        listen_again(f);
        AWAIT(accepted(f));
        expect_unit(f, SPAWNER_ADOPT, A);
}

static void test_users(void) {
        g_autoptr(Fixture) f = fixture_new(true);
        struct spawner_user_is answer = {
                .type = SPAWNER_USER_IS, .uid = 1001, .gid = 100, .has_runtime_directory = 1, .name = "bob", .home = "/h", .shell = "/s"};
        char long_name[SPAWNER_TEXT_MAX + 1];

        scope_bus_find_user(f->bus, 0, "bob", on_user, f);
        expect(f, SPAWNER_USER);
        g_assert_cmpstr(f->message.user.name, ==, "bob");
        answer.cookie = f->message.user.cookie + 1;
        send_bytes(f, &answer, sizeof(answer), 0);
        answer.cookie--;
        send_bytes(f, &answer, sizeof(answer), 0);
        send_bytes(f, &answer, sizeof(answer), 0);
        AWAIT(f->error == 0);
        g_assert_cmpstr(f->user->runtime_directory, ==, "/run/user/1001");
        g_assert_cmpstr(f->user->home, ==, "/h");
        g_assert_cmpuint(f->user->gid, ==, 100);

        scope_bus_find_user(f->bus, 7, NULL, on_user, f);
        expect(f, SPAWNER_USER);
        g_assert_cmpuint(f->message.user.uid, ==, 7);
        g_assert_cmpstr(f->message.user.name, ==, "");
        answer.cookie = f->message.user.cookie;
        answer.error = EPERM;
        send_bytes(f, &answer, sizeof(answer), 0);
        AWAIT(f->error == EPERM);

        memset(long_name, 'a', sizeof(long_name) - 1);
        long_name[sizeof(long_name) - 1] = '\0';
        scope_bus_find_user(f->bus, 0, long_name, on_user, f);
        g_assert_cmpint(f->error, ==, ENOENT);
}

static void test_job(void) {
        g_autoptr(Fixture) f = fixture_new(true);
        struct spawner_job_is answer = {.type = SPAWNER_JOB_IS, .restart = 1};

        scope_bus_ask_restart(f->bus, getpid(), on_restart, f);
        expect(f, SPAWNER_JOB);
        send_bytes(f, &answer, sizeof(answer), 0);
        send_bytes(f, &answer, sizeof(answer), 0);
        AWAIT_SEEN(f, "restart");
}

static void test_many_messages(void) {
        g_autoptr(Fixture) f = active_new();

        for (unsigned i = 0; i < 5000; i++)
                scope_kill(f->scope);
        scope_stop(f->scope);
        for (unsigned i = 0; i < 5000; i++)
                expect_unit(f, SPAWNER_KILL, A);
        expect_unit(f, SPAWNER_STOP, A);
}

/* Each of these ends the connection, does nothing else, and another connection follows. */
static void test_broken(gconstpointer data) {
        const char *what = data;
        g_autoptr(Fixture) f = active_new();
        Message message = {.news = {.type = SPAWNER_GONE, .unit = A}};
        size_t size = sizeof(message.news);
        unsigned n_fds = 0;

        if (strcmp(what, "short") == 0)
                size--;
        else if (strcmp(what, "long") == 0)
                size++;
        else if (strcmp(what, "no type") == 0)
                size = 2;
        else if (strcmp(what, "unknown type") == 0)
                message.type = 4711;
        else if (strcmp(what, "our own type") == 0)
                message.type = SPAWNER_STOP;
        else if (strcmp(what, "unit without end") == 0)
                memset(message.news.unit, 'a', sizeof(message.news.unit));
        else if (strcmp(what, "text without end") == 0)
                memset(message.news.text, 'a', sizeof(message.news.text));
        else if (strcmp(what, "fd not asked for") == 0)
                n_fds = 1;
        else {
                message = (Message){.keeper = {.type = SPAWNER_KEEPER, .pid = (uint32_t) getpid(), .unit = A}};
                size = sizeof(message.keeper);
                n_fds = strcmp(what, "keeper without fd") == 0 ? 0 : strcmp(what, "keeper with more fds") == 0 ? 2 : 1;
                if (strcmp(what, "keeper without pid") == 0)
                        message.keeper.pid = 0;
        }
        send_bytes(f, &message, size, n_fds);
        AWAIT(!scope_bus_is_connected(f->bus));
        g_assert_cmpstr(f->seen->str, ==, "keeper started");
        fd_close(f->fd);
        AWAIT(accepted(f));
        expect_unit(f, SPAWNER_ADOPT, A);
}

int main(int argc, char *argv[]) {
        static const char *const broken[] = {"short",
                                             "long",
                                             "no type",
                                             "unknown type",
                                             "our own type",
                                             "unit without end",
                                             "text without end",
                                             "fd not asked for",
                                             "keeper without fd",
                                             "keeper with more fds",
                                             "keeper without pid"};

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/scope-spawner/a unit's life is told in order", test_life);
        g_test_add_func("/scope-spawner/a refusal is told in one line", test_refusal);
        g_test_add_func("/scope-spawner/a scope around a keeper that runs, killed, stopped, released", test_again);
        g_test_add_func("/scope-spawner/late news of an earlier unit are ignored", test_late_news);
        g_test_add_func("/scope-spawner/a start that is given up keeps its name until its fate is known", test_given_up);
        g_test_add_func("/scope-spawner/limits are answered once, also when the connection is lost", test_limits);
        g_test_add_func("/scope-spawner/a connection lost while starting fails the start", test_lost_while_starting);
        g_test_add_func("/scope-spawner/a new connection adopts what is there", test_adopted_again);
        g_test_add_func("/scope-spawner/a spawner that isn't there yet is found", test_not_there_yet);
        g_test_add_func("/scope-spawner/users are asked for by name and by number", test_users);
        g_test_add_func("/scope-spawner/a restart is told once", test_job);
        g_test_add_func("/scope-spawner/what the socket doesn't take waits in order", test_many_messages);
        for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
                g_autofree char *path = g_strdup_printf("/scope-spawner/broken message: %s", broken[i]);

                g_test_add_data_func(path, broken[i], test_broken);
        }
        return g_test_run();
}
