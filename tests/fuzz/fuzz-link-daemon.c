/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's end of the link against a keeper that says anything, with fds that nobody asked for, and goes whenever it likes; while the daemon asks
 * for this and that, and may drop the link in the middle of any news.
 *
 * Held against it are the promises of core/keeper-link.h and util/link.h: hello first and once, sane values only, each event of the runtime once
 * and whole, each request answered exactly once, nothing after the loss, what the daemon sends well-formed and in order, and no fd left open.
 *
 * The input is steps of the keeper, the daemon and the loop. Most messages are right but for what the input says, or few would get past the first
 * check. */

#include "core/keeper-link.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fuzz-input.h"

#define REQUESTS_SEEN_MAX 64U
#define ROUNDS_MAX 100000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Request {
        bool answered;
        bool refused;
        struct Model *model;
} Request;

typedef struct Model {
        FuzzInput input;
        sd_event *event;
        KeeperLink *link;
        int keeper; /* our end */
        bool rejoined;
        bool paused; /* until the input says resume */
        bool resumed;
        bool greeted;
        bool lost;
        uint32_t version; /* of the keeper */
        unsigned free_in; /* calls of handlers until one of them frees the link; 0: none does */

        GPtrArray *requests; /* Request */
        uint32_t cookies[REQUESTS_SEEN_MAX];
        unsigned n_cookies;
        bool has_part;
        struct link_send part; /* the next one that must come */

        uint64_t heard;  /* number of the newest event that a handler was given */
        uint64_t before; /* what a keeper that has been at work says first tells that all before was acknowledged to a daemon before */
        uint64_t acknowledged;
        struct link_control saying; /* what is said in parts: number, offset, total */
} Model;

/* Called first in each handler. */
static void note(Model *model, bool hello) {
        g_assert_false(model->lost || model->paused);
        g_assert_true(model->greeted != hello);
        if (hello)
                model->greeted = true;
}

/* Called last in each handler. */
static void maybe_free(Model *model) {
        if (model->free_in == 0 || --model->free_in > 0)
                return;
        /* Taken first: freeing calls what waits for answers. */
        keeper_link_free(TAKE_PTR(model->link));
        model->lost = true;
}

static void on_hello(void *userdata, const struct link_hello *hello, int ring_fd) {
        Model *model = userdata;

        note(model, true);
        model->paused = model->rejoined && !model->resumed;
        model->version = hello->version;
        g_assert_cmpuint(hello->version, >=, LINK_VERSION_OLDEST);
        g_assert_cmpuint(hello->version, <=, LINK_VERSION);
        g_assert_true(ring_fd < 0 || fcntl(ring_fd, F_GETFD) == FD_CLOEXEC);
        maybe_free(userdata);
}

static void on_executed(void *userdata, const struct link_executed *executed) {
        note(userdata, false);
        g_assert_cmpuint(executed->pid, >, 1);
        g_assert_cmpuint(executed->pid, <=, INT32_MAX);
        maybe_free(userdata);
}

static void on_failed(void *userdata, const struct link_failed *failed) {
        note(userdata, false);
        g_assert_nonnull(link_stage_to_string(failed->stage));
        g_assert_cmpint(failed->error, >=, 0);
        maybe_free(userdata);
}

static void on_exited(void *userdata, const struct link_exited *exited) {
        note(userdata, false);
        g_assert_true(exited->code == CLD_EXITED || exited->code == CLD_KILLED || exited->code == CLD_DUMPED);
        g_assert_cmpint(exited->status, >=, exited->code == CLD_EXITED ? 0 : 1);
        g_assert_cmpint(exited->status, <=, exited->code == CLD_EXITED ? 255 : SIGRTMAX);
        maybe_free(userdata);
}

static void on_output(void *userdata, uint64_t last) {
        note(userdata, false);
        maybe_free(userdata);
}

static void on_control(void *userdata, uint64_t number, enum link_control_kind kind, uint64_t line, const char *bytes, size_t size) {
        Model *model = userdata;

        note(model, false);
        g_assert_cmpint(kind, >, 0);
        g_assert_cmpint(kind, <, _LINK_CONTROL_MAX);
        g_assert_cmpuint(size, <=, LIMIT_PROTOCOL_LINE);
        g_assert_cmpint(bytes[size], ==, '\0');
        if (model->heard > 0 || !model->rejoined)
                g_assert_cmpuint(number, ==, model->heard + 1);
        model->heard = number;
        /* The first byte of each says its number, and the others are their places. */
        if (size > 0)
                g_assert_cmpuint((uint8_t) bytes[0], ==, (uint8_t) model->heard);
        for (size_t i = 1; i < size; i++)
                g_assert_cmpuint((uint8_t) bytes[i], ==, (uint8_t) (model->heard + i));
        maybe_free(model);
}

static void on_done(void *userdata, const struct link_done *done) {
        note(userdata, false);
        maybe_free(userdata);
}

static void on_lost(void *userdata, int error) {
        Model *model = userdata;

        g_assert_cmpint(error, <=, 0);
        g_assert_false(model->lost);
        model->lost = true;
        if (model->free_in > 0)
                keeper_link_free(TAKE_PTR(model->link));
}

static void on_reply(void *userdata, int error, int fd) {
        Request *request = userdata;

        g_assert_false(request->answered);
        g_assert_cmpint(error, >=, 0);
        g_assert_true(fd < 0 || fcntl(fd, F_GETFD) == FD_CLOEXEC);
        request->answered = true;
        if (!request->model->lost)
                maybe_free(request->model);
}

static void say(Model *model, const void *bytes, size_t size, uint8_t flags) {
        unsigned n_fds = flags >> 6;
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(20 * sizeof(int))];
        } control = {};
        struct iovec part = {.iov_base = (void *) bytes, .iov_len = size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

        if (n_fds > 0) {
                n_fds = n_fds == 3 ? 20 : n_fds;
                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                for (unsigned i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &model->keeper, sizeof(int));
        }
        if (model->keeper >= 0)
                (void) sendmsg(model->keeper, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* A struct of the right size but for what the input says. */
static void say_fact(Model *model, uint8_t flags) {
        static const size_t sizes[] = {
                [LINK_HELLO] = sizeof(struct link_hello),   [LINK_EXECUTED] = sizeof(struct link_executed), [LINK_FAILED] = sizeof(struct link_failed),
                [LINK_EXITED] = sizeof(struct link_exited), [LINK_OUTPUT] = sizeof(struct link_output),     [LINK_DONE] = sizeof(struct link_done),
        };
        union {
                uint32_t type;
                struct link_hello hello;
                struct link_executed executed;
                struct link_failed failed;
                struct link_exited exited;
                uint8_t bytes[128];
        } message = {};
        uint8_t choice = fuzz_u8(&model->input);
        uint32_t type = (uint32_t) (LINK_HELLO + choice % (LINK_DONE - LINK_HELLO + 1U));
        size_t size = type < ELEMENTSOF(sizes) && sizes[type] > 0 ? sizes[type] : sizeof(uint32_t);

        fuzz_fill(&model->input, message.bytes + sizeof(uint32_t), size - sizeof(uint32_t));
        message.type = type;
        if (choice < 0xe0) {
                if (type == LINK_HELLO)
                        message.hello.version = choice & 1 ? LINK_VERSION : LINK_VERSION_OLDEST;
                if (type == LINK_FAILED)
                        message.failed.stage %= _LINK_STAGE_MAX;
                if (type == LINK_EXITED) {
                        message.exited.code = CLD_EXITED + (int32_t) (message.bytes[8] % 3);
                        message.exited.status &= 31;
                }
        } else if (choice < 0xf0)
                size += fuzz_u8(&model->input) % 8;
        say(model, message.bytes, size, flags);
}

/* Events of the runtime, whole or in parts, now and then one that is wrong. */
static void say_control(Model *model, uint8_t flags) {
        struct link_control *saying = &model->saying;
        g_autofree uint8_t *message = g_malloc(LINK_MESSAGE_MAX + 16);
        uint8_t choice = fuzz_u8(&model->input);
        size_t size;

        if (choice & 1 || saying->offset == saying->total) {
                uint8_t number = fuzz_u8(&model->input);

                *saying = (struct link_control){
                        .type = LINK_CONTROL,
                        .kind = 1 + choice / 2 % (_LINK_CONTROL_MAX - 1),
                        .number = number < 0xf0 ? model->heard + 1 : model->heard + number - 0xf4,
                        .line = choice,
                        .total = fuzz_u8(&model->input) < 0xf0 ? fuzz_u8(&model->input) : fuzz_u32(&model->input) % (LIMIT_PROTOCOL_LINE + 2),
                };
        }
        size = (size_t) fuzz_u16(&model->input);
        if (size % 2 == 0)
                size = MIN_OF(size, (size_t) saying->total - saying->offset);
        size = MIN_OF(size, LINK_MESSAGE_MAX + 16 - sizeof(*saying));
        if (choice > 0xf8)
                saying->offset += (uint32_t) (int8_t) fuzz_u8(&model->input);
        if (choice == 0xf8)
                saying->kind = fuzz_u32(&model->input);

        if (model->rejoined && model->heard == 0 && saying->number > 0)
                model->before = MAX(model->before, saying->number - 1);
        memcpy(message, saying, sizeof(*saying));
        for (size_t i = 0; i < size; i++)
                message[sizeof(*saying) + i] = (uint8_t) (saying->number + saying->offset + i);
        say(model, message, sizeof(*saying) + size, flags);
        saying->offset = MIN_OF(saying->offset + (uint32_t) size, saying->total);
}

static void say_reply(Model *model, uint8_t flags) {
        struct link_reply reply = {.type = LINK_REPLY};
        uint8_t choice = fuzz_u8(&model->input);

        if (choice < 0xf0 && model->n_cookies > 0) {
                unsigned i = choice % model->n_cookies;

                reply.cookie = model->cookies[i];
                if (choice & 0x80)
                        model->cookies[i] = model->cookies[--model->n_cookies]; /* or else it may be answered again */
        } else
                reply.cookie = fuzz_u32(&model->input);
        reply.error = (int8_t) fuzz_u8(&model->input);
        if (choice & 0x40 && reply.error < 0)
                reply.error = 0;
        say(model, &reply, sizeof(reply), flags);
}

/* Old keepers know no effect numbers. */
static size_t size_of_effect(const Model *model) {
        return model->version == 1 ? sizeof(uint64_t) : 0;
}

static void hear_part(Model *model, const struct link_send *message, size_t size) {
        size_t head = sizeof(*message) - size_of_effect(model), n = size - head;
        struct link_send copy = {}, *part = &copy;

        memcpy(part, message, MIN_OF(size, head));
        g_assert_cmpuint(n, >, 0);
        g_assert_cmpuint(n, <=, LINK_CHUNK_MAX);
        if (model->has_part)
                g_assert_cmpmem(part, head, &model->part, head);
        else
                g_assert_cmpuint(part->offset, ==, 0);
        g_assert_cmpuint(part->offset + n, <=, part->total);
        g_assert_cmpuint(part->total, <=, LIMIT_PROTOCOL_LINE);
        model->part = *part;
        model->part.offset += (uint32_t) n;
        model->has_part = model->part.offset < part->total;
}

static void hear_message(Model *model, const uint64_t *message, size_t size) {
        static const size_t sizes[] = {
                [LINK_RUN - LINK_RUN] = sizeof(struct link_run),
                [LINK_SIGNAL - LINK_RUN] = sizeof(struct link_signal),
                [LINK_SEND - LINK_RUN] = sizeof(struct link_send),
                [LINK_ACKNOWLEDGE - LINK_RUN] = sizeof(struct link_acknowledge),
                [LINK_WATCH - LINK_RUN] = sizeof(struct link_watch),
                [LINK_INPUT_WRITE - LINK_RUN] = sizeof(struct link_request),
                [LINK_INPUT_OPEN - LINK_RUN] = sizeof(struct link_request),
                [LINK_INPUT_CLOSE - LINK_RUN] = sizeof(struct link_request),
                [LINK_COLLECT - LINK_RUN] = sizeof(uint32_t),
                [LINK_OUTPUT_OPEN - LINK_RUN] = sizeof(struct link_output_open),
                [LINK_OUTPUT_RELEASE - LINK_RUN] = sizeof(uint32_t),
        };
        const struct link_request *request = (const void *) message;
        const struct link_acknowledge *acknowledge = (const void *) message;
        size_t expected;

        g_assert_true(request->type >= LINK_RUN && request->type - LINK_RUN < ELEMENTSOF(sizes));
        expected = sizes[request->type - LINK_RUN];
        if (request->type == LINK_SEND || request->type == LINK_SIGNAL)
                expected -= size_of_effect(model);
        g_assert_cmpuint(size, >=, expected);
        if (request->type != LINK_SEND && request->type != LINK_INPUT_WRITE)
                g_assert_cmpuint(size, ==, expected);
        g_assert_true(!model->has_part || request->type == LINK_SEND);

        switch (request->type) {
        case LINK_SEND:
                hear_part(model, (const void *) message, size);
                if (model->has_part)
                        return;
                break;
        case LINK_ACKNOWLEDGE:
                g_assert_cmpuint(acknowledge->number, >=, model->acknowledged);
                g_assert_cmpuint(acknowledge->number, <=, MAX(model->heard, model->before));
                model->acknowledged = acknowledge->number;
                return;
        case LINK_RUN:
        case LINK_WATCH:
        case LINK_COLLECT:
                return;
        case LINK_OUTPUT_RELEASE:
                g_assert_cmpuint(model->version, >=, LINK_VERSION_OUTPUT);
                return;
        case LINK_OUTPUT_OPEN:
                g_assert_cmpuint(model->version, >=, LINK_VERSION_OUTPUT);
                break;
        default:
                break;
        }
        g_assert_cmpuint(request->cookie, !=, 0);
        if (model->n_cookies < REQUESTS_SEEN_MAX)
                model->cookies[model->n_cookies++] = request->cookie;
}

static void hear(Model *model, unsigned max) {
        g_autofree uint64_t *buffer = g_malloc(LINK_MESSAGE_MAX);

        for (unsigned i = 0; i < max && model->keeper >= 0; i++) {
                int fd = -EBADF;
                ssize_t size = link_receive_message(model->keeper, buffer, &fd);

                g_assert_cmpint(fd, <, 0);
                if (size == -ECONNRESET)
                        continue;
                if (size <= 0)
                        return;
                hear_message(model, buffer, (size_t) size);
        }
}

/* The daemon's wishes. */
static void ask(Model *model) {
        uint8_t choice = fuzz_u8(&model->input);
        g_autofree char *bytes = NULL;
        Request *request;
        size_t size;
        int r = 0;

        /* Nobody asks a keeper for anything before knowing what it understands. */
        if (!model->link || !model->greeted)
                return;
        switch (choice % 8) {
        case 0:
                (void) keeper_link_run(model->link, choice);
                return;
        case 1:
                (void) keeper_link_collect(model->link);
                return;
        case 2:
                (void) keeper_link_watch(model->link, choice);
                return;
        default:
                break;
        }

        request = g_new0(Request, 1);
        request->model = model;
        g_ptr_array_add(model->requests, request);
        size = (size_t) fuzz_u16(&model->input) << (choice & 0x80 ? 5 : 0);
        switch (choice % 8) {
        case 3:
                r = keeper_link_signal(model->link, LINK_WHO_ALL, SIGTERM, model->requests->len, on_reply, request);
                break;
        case 4:
                bytes = g_strnfill(size, 'x');
                r = keeper_link_send(model->link, bytes, model->requests->len, on_reply, request);
                break;
        case 5:
                bytes = g_strnfill(size, 'x');
                r = keeper_link_input_write(model->link, bytes, size, on_reply, request);
                break;
        case 6:
                r = keeper_link_input_open(model->link, on_reply, request);
                break;
        case 7:
                if (choice < 0xc0)
                        r = keeper_link_input_close(model->link, on_reply, request);
                else if (size > 0)
                        r = keeper_link_output_open(model->link, size, choice, on_reply, request);
                else
                        r = keeper_link_output_release(model->link) < 0 ? -ENOTCONN : -ECANCELED;
                break;
        }
        g_assert_cmpint(r, <=, 0);
        request->refused = r < 0;
        g_assert_false(request->answered);
}

/* All that can be done without waiting. Its steps are bounded by what has been said. */
static void settle(Model *model) {
        for (unsigned i = 0; sd_event_run(model->event, 0) > 0; i++)
                g_assert_cmpuint(i, <, ROUNDS_MAX);
}

static void resume(Model *model) {
        model->resumed = true;
        model->paused = false;
        if (model->link)
                keeper_link_resume(model->link);
}

static void step(Model *model) {
        uint8_t what = fuzz_u8(&model->input);
        const uint8_t *bytes;
        size_t size;

        switch (what % 16) {
        case 0:
        case 1:
        case 2:
                say_fact(model, what);
                break;
        case 3:
        case 4:
        case 5:
                say_control(model, what);
                break;
        case 6:
                say_reply(model, what);
                break;
        case 7:
                bytes = fuzz_take(&model->input, fuzz_u8(&model->input), &size);
                /* An event could not be told from one of the model's. */
                if (size < sizeof(uint32_t) || bytes[0] != LINK_CONTROL)
                        say(model, bytes, size, what);
                break;
        case 8:
        case 9:
                ask(model);
                break;
        case 10:
                hear(model, 1U + what / 16);
                break;
        case 11:
                hear(model, UINT32_MAX);
                break;
        case 12:
                if (what & 0x80)
                        resume(model);
                (void) sd_event_run(model->event, 0);
                break;
        case 13:
                settle(model);
                break;
        case 14:
                if (what < 0x80)
                        model->keeper = fd_close(model->keeper);
                else
                        (void) shutdown(model->keeper, SHUT_WR);
                break;
        case 15:
                model->free_in = 1U + what / 16;
                break;
        }
}

static void check_requests(const Model *model) {
        for (guint i = 0; i < model->requests->len; i++) {
                const Request *request = model->requests->pdata[i];

                g_assert_true(request->answered != request->refused);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const KeeperHandler handler = {on_hello, on_executed, on_failed, on_exited, on_output, on_control, on_done, on_lost};
        int lowest_fd = fuzz_lowest_fd(), pair[2];
        Model model = {.input = {data, size}};

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        g_assert_cmpint(sd_event_new(&model.event), >=, 0);
        model.keeper = pair[1];
        model.rejoined = fuzz_u8(&model.input) & 1;
        model.requests = g_ptr_array_new_with_free_func(g_free);
        g_assert_cmpint(keeper_link_new(model.event, pair[0], &handler, &model, model.rejoined, &model.link), ==, 0);

        while (model.input.size > 0)
                step(&model);
        settle(&model);
        hear(&model, UINT32_MAX);
        settle(&model);
        model.keeper = fd_close(model.keeper);
        settle(&model);
        resume(&model);
        settle(&model);
        /* Its end is always heard. */
        g_assert_true(model.lost);
        model.free_in = 0;
        model.link = keeper_link_free(model.link);
        check_requests(&model);

        g_ptr_array_unref(model.requests);
        sd_event_unref(model.event);
        g_assert_cmpint(fuzz_lowest_fd(), ==, lowest_fd);
        return 0;
}
