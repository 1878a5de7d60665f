/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a runtime prints is what a client gets: all of it, byte for byte, numbered, however it was printed. Who gets it when is in test-subscribers.c. */

#include <string.h>

#include "line-log.h"
#include "util/limits.h"
#include "util/names.h"

#define REPLACEMENT "\357\277\275"

/* Each of the lines must be this text with these flags, and no line more. */
typedef struct Expected {
        guint8 stream;
        guint32 flags;
        const char *text;
        size_t size; /* 0: up to its NUL */
} Expected;

static void check_lines(Harness *h, GPtrArray *lines, const Expected *expected, size_t n) {
        for (size_t i = 0; i < MAX(n, lines->len); i++) {
                const Line *line = i < lines->len ? lines->pdata[i] : NULL;
                size_t size;
                const char *bytes;

                if (i >= n || !line)
                        harness_fail(h, "%u lines, not %zu", lines->len, n);
                bytes = g_bytes_get_data(line->bytes, &size);
                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_cmpuint(line->stream, ==, expected[i].stream);
                g_assert_cmphex(line->flags, ==, expected[i].flags);
                g_assert_cmpmem(bytes, size, expected[i].text, expected[i].size ?: strlen(expected[i].text));
        }
}

/* One reply of ReadOutput or ReadOutputText: how many lines, the number of the first and the last of them, and how much text. */
typedef struct Page {
        size_t n, size;
        guint64 first, final;
        guint64 last;
        gboolean more;
} Page;

static Page read_page(Client *client, const char *path, const char *method, guint64 after, guint32 max) {
        g_autoptr(GVariant) reply = client_call(client, path, method, g_variant_new("(tu)", after, max));
        g_autoptr(GVariant) lines = g_variant_get_child_value(reply, 0);
        Page page = {.n = g_variant_n_children(lines), .size = g_variant_get_size(reply)};

        for (size_t i = 0; i < page.n; i++) {
                g_autoptr(GVariant) line = g_variant_get_child_value(lines, i);
                guint64 number;

                g_variant_get_child(line, 0, "t", &number);
                if (i == 0)
                        page.first = number;
                else
                        g_assert_cmpuint(number, >, page.final);
                page.final = number;
        }
        g_variant_get_child(reply, 1, "t", &page.last);
        g_variant_get_child(reply, 2, "b", &page.more);
        return page;
}

static void test_streams(Harness *h) {
        guint64 before = g_get_real_time(), seen[3] = {0};
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done");
        report = client_wait_ended(h->client, path);
        g_assert_cmpuint(report_number(report, "LastLine"), ==, 10);
        lines = client_read_lines(h->client, path, 0);
        g_assert_cmpuint(lines->len, ==, 10);
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = NULL;

                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_true(line->stream == 1 || line->stream == 2);
                text = g_strdup_printf("%s %" G_GUINT64_FORMAT, line->stream == 1 ? "out" : "err", ++seen[line->stream]);
                g_assert_cmpmem(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes), text, strlen(text));
                g_assert_cmpuint(line->usec, >=, before);
                g_assert_cmpuint(line->usec, <=, g_get_real_time());
        }
        g_assert_cmpuint(seen[1], ==, 5);
        g_assert_cmpuint(seen[2], ==, 5);
}

static void test_not_text(Harness *h) {
        static const Expected as_text[] = {
                {1, LINE_LOSSY, "byte a" REPLACEMENT "b"},
                {1, LINE_LOSSY, "nul a" REPLACEMENT "b"},
                {1, LINE_LOSSY, "noncharacters " REPLACEMENT REPLACEMENT REPLACEMENT "."},
                {1, LINE_LOSSY, "cut " REPLACEMENT "."},
                {1, 0, "text \303\251\342\202\254\360\237\230\200\357\277\275."},
        };
        static const Expected as_bytes[] = {
                {1, 0, "byte a\377b"},
                {1, 0, "nul a\0b", 7},
                {1, 0, "noncharacters \357\277\276\357\267\220\360\237\277\277."},
                {1, 0, "cut \342\202."},
                {1, 0, "text \303\251\342\202\254\360\237\230\200\357\277\275."},
        };
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GVariant) texts = NULL;
        g_autoptr(GPtrArray) bytes = NULL, signalled = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "printf 'byte a\\377b\\nnul a\\000b\\n"
                                             "noncharacters \\357\\277\\276\\357\\267\\220\\360\\237\\277\\277.\\n"
                                             "cut \\342\\202.\\ntext \\303\\251\\342\\202\\254\\360\\237\\230\\200\\357\\277\\275.\\n'");
        report = client_wait_ended(h->client, path);
        g_assert_cmpuint(report_number(report, "LastLine"), ==, 5);

        bytes = client_read_lines(h->client, path, 0);
        check_lines(h, bytes, as_bytes, G_N_ELEMENTS(as_bytes));

        subscribe(h->client->bus, path, 0, 2);
        client_wait_signal(h->client, path, "OutputLines");
        client_sync(h->client);
        signalled = client_signalled_lines(h->client, path);
        check_lines(h, signalled, as_text, G_N_ELEMENTS(as_text));

        reply = client_call(h->client, path, "ReadOutputText", g_variant_new("(tu)", (guint64) 0, 0));
        texts = g_variant_get_child_value(reply, 0);
        g_assert_cmpuint(g_variant_n_children(texts), ==, G_N_ELEMENTS(as_text));
        for (size_t i = 0; i < G_N_ELEMENTS(as_text); i++) {
                const char *text;
                guint32 flags;

                g_variant_get_child(texts, i, "(tytu&s)", NULL, NULL, NULL, &flags, &text);
                g_assert_cmphex(flags, ==, as_text[i].flags);
                g_assert_cmpstr(text, ==, as_text[i].text);
        }
}

/* é€😀, 9 bytes, again and again: 64 KiB end somewhere inside of a character. */
#define LONG_PATTERN "\303\251\342\202\254\360\237\230\200"
#define LONG_SIZE (1165085U * 9U)
#define LONG_SCRIPT "yes '" LONG_PATTERN "' | tr -d '\\n' | head -c 10485765; echo; echo behind"

static void check_long(Harness *h, GPtrArray *lines) {
        g_autoptr(GString) text = lines_join(lines, 1);

        g_assert_cmpuint(text->len, ==, LONG_SIZE + strlen("\nbehind\n"));
        for (size_t i = 0; i < LONG_SIZE; i += 9)
                if (memcmp(text->str + i, LONG_PATTERN, 9) != 0)
                        harness_fail(h, "the text is another at byte %zu", i);
        g_assert_cmpstr(text->str + LONG_SIZE, ==, "\nbehind\n");
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                size_t size;
                const char *bytes = g_bytes_get_data(line->bytes, &size);

                g_assert_cmpuint(line->number, ==, i + 1);
                g_assert_cmpuint(size, <=, LIMIT_LINE);
                g_assert_cmphex(line->flags, ==, i + 2 < lines->len ? LINE_PARTIAL : 0);
                g_assert_true(g_utf8_validate_len(bytes, size, NULL));
        }
}

static void test_long_line_read(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(LONG_SCRIPT, "{'RingBytes': <%t>}", (guint64) 16 << 20));
        report = client_wait_ended(h->client, path);
        lines = client_read_lines(h->client, path, 0);
        check_long(h, lines);
        g_assert_cmpuint(report_number(report, "LastLine"), ==, lines->len);
}

static void test_long_line_followed(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell(LONG_SCRIPT, "{'RingBytes': <%t>}", (guint64) 16 << 20));
        subscribe(h->client->bus, path, 0, 2);
        client_wait_signal(h->client, path, "Ended");
        g_assert_null(client_find_signal(h->client, path, "OutputDropped", 0));
        lines = client_signalled_lines(h->client, path);
        check_long(h, lines);
}

static void test_unterminated(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        g_autoptr(GString) raw = NULL;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "printf 'a\\nb'");
        report = client_wait_ended(h->client, path);
        lines = client_read_lines(h->client, path, 0);
        /* Two lines; three if the end comes late. */
        g_assert_cmpuint(lines->len, >=, 2);
        g_assert_cmphex(((Line *) lines->pdata[0])->flags, ==, 0);
        g_assert_cmphex(((Line *) lines->pdata[lines->len - 1])->flags, ==, LINE_UNTERMINATED);
        raw = lines_join(lines, 1);
        g_assert_cmpstr(raw->str, ==, "a\nb");
}

static void test_unterminated_after_part(Harness *h) {
        static const Expected expected[] = {{2, LINE_PARTIAL, "prompt"}, {2, LINE_UNTERMINATED, ""}};
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        g_autoptr(GString) raw = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("printf prompt >&2; read x", "{'Input': <'pipe'>}"));
        subscribe(h->client->bus, path, 0, 2);
        client_wait_signal(h->client, path, "OutputLines");
        g_variant_unref(client_call(h->client, path, "CloseInput", NULL));
        report = client_wait_ended(h->client, path);
        lines = client_read_lines(h->client, path, 0);
        check_lines(h, lines, expected, G_N_ELEMENTS(expected));
        raw = lines_join(lines, 2);
        g_assert_cmpstr(raw->str, ==, "prompt");
}

static void test_prompt(Harness *h) {
        static const Expected expected[] = {{1, LINE_PARTIAL, "name? "}, {1, 0, "hello you"}};
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("printf 'name? '; read name; echo hello $name", "{'Input': <'pipe'>}"));
        subscribe(h->client->bus, path, 0, 2);
        /* It prints nothing more until it is answered, so this comes by time alone. */
        client_wait_signal(h->client, path, "OutputLines");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, "you\n", 4, 1))));
        client_wait_signal(h->client, path, "Ended");
        lines = client_signalled_lines(h->client, path);
        check_lines(h, lines, expected, G_N_ELEMENTS(expected));
}

static void test_around_ready(Harness *h) {
        static const Expected expected[] = {{1, 0, "before"}, {1, 0, "ready"}, {1, 0, "after"}};
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_add_kind(h, "saysready", "[Kind]\nDescription=Ready by a line\n[Handshake]\nType=line\nLine=^ready$\n");
        harness_start_daemon(h, NULL);
        path = client_start(h->client, "saysready", options_shell("echo before; read go; echo ready; read go; echo after", "{'Input': <'pipe'>}"));
        subscribe(h->client->bus, path, 0, 2);
        client_wait_signal(h->client, path, "OutputLines");
        g_assert_null(client_find_signal(h->client, path, "HandshakeCompleted", 0));
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, "\n", 1, 1))));
        client_wait_signal(h->client, path, "HandshakeCompleted");
        g_variant_unref(client_call(h->client, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, "\n", 1, 1))));
        client_wait_signal(h->client, path, "Ended");
        lines = client_signalled_lines(h->client, path);
        check_lines(h, lines, expected, G_N_ELEMENTS(expected));
}

/* The child is told to end when its parent has ended, and has something to say to that. */
static void test_child_outlives(Harness *h) {
        static const Expected expected[] = {{1, 0, "child"}, {1, 0, "main"}, {1, 0, "late"}};
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command",
                            options_shell("mkfifo $HOME/started; (exec 2> /dev/null; trap 'sleep 0.2; echo late; exit' TERM; echo child; "
                                          ": > $HOME/started; while :; do sleep 0.05; done) & read x < $HOME/started; echo main",
                                          NULL));
        subscribe(h->client->bus, path, 0, 2);
        report = g_variant_get_child_value(client_wait_signal(h->client, path, "Ended")->parameters, 0);
        report_check(report, "{'Result': <'success'>, 'LastLine': <@t 3>, 'ExitCode': <0>}", NULL);
        lines = client_signalled_lines(h->client, path);
        check_lines(h, lines, expected, G_N_ELEMENTS(expected));
}

static void test_before_ended(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(LineLog) log = NULL;
        g_autoptr(GDBusConnection) bus = NULL;

        harness_start_daemon(h, NULL);
        bus = connect_plainly(h);
        path = client_start(h->client, "command", options_shell("stdbuf -oL seq 1 40000", "{'RingBytes': <%t>}", (guint64) 8 << 20));
        log = line_log_new(h, bus, path, 1);
        subscribe(bus, path, 0, 2);
        line_log_wait_ended(log);
        g_assert_cmpuint(log->report_last, ==, 40000);
        g_assert_cmpuint(log->last_at_end, ==, 40000);
        g_assert_cmpuint(log->n_received, ==, 40000);
}

static void test_pages(Harness *h) {
        static const char *const methods[] = {"ReadOutput", "ReadOutputText"};
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;

        harness_start_daemon(h, NULL);
        /* 1,000 bytes with its newline. */
        path = client_start_shell(h->client, "line=$(printf %0999d 0); i=0; while [ $i -lt 700 ]; do echo $line; i=$((i+1)); done");
        report = client_wait_ended(h->client, path);
        g_assert_cmpuint(report_number(report, "LastLine"), ==, 700);
        for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
                guint64 after = 0;
                Page page;

                page = read_page(h->client, path, methods[i], 0, 3);
                g_assert_cmpuint(page.n, ==, 3);
                g_assert_cmpuint(page.first, ==, 1);
                g_assert_cmpuint(page.last, ==, 700);
                g_assert_true(page.more);
                page = read_page(h->client, path, methods[i], 697, 3);
                g_assert_cmpuint(page.n, ==, 3);
                g_assert_cmpuint(page.final, ==, 700);
                g_assert_false(page.more);
                page = read_page(h->client, path, methods[i], 697, 2);
                g_assert_true(page.more);
                for (guint round = 0;; round++) {
                        page = read_page(h->client, path, methods[i], after, 0);
                        g_assert_cmpuint(page.first, ==, after + 1);
                        g_assert_cmpuint(page.final, ==, after + page.n);
                        g_assert_cmpuint(page.size, <=, LIMIT_READ_OUTPUT);
                        after = page.final;
                        if (!page.more)
                                break;
                        g_assert_cmpuint(page.size, >, LIMIT_READ_OUTPUT / 2);
                        g_assert_cmpuint(round, <, 10);
                }
                g_assert_cmpuint(after, ==, 700);
                /* Behind the last one, and far behind it. */
                page = read_page(h->client, path, methods[i], 700, 0);
                g_assert_cmpuint(page.n, ==, 0);
                g_assert_cmpuint(page.last, ==, 700);
                g_assert_false(page.more);
                page = read_page(h->client, path, methods[i], G_MAXUINT64, 0);
                g_assert_cmpuint(page.n, ==, 0);
                g_assert_false(page.more);
        }
}

/* NUL takes three bytes as text. */
static void test_pages_of_lossy_text(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        guint64 after = 0;
        Page page;

        harness_start_daemon(h, NULL);
        path = client_start_shell(h->client, "for i in 1 2 3 4 5 6 7 8; do head -c 60000 /dev/zero; echo; done");
        report = client_wait_ended(h->client, path);
        do {
                page = read_page(h->client, path, "ReadOutputText", after, 0);
                g_assert_cmpuint(page.first, ==, after + 1);
                /* One line always. */
                if (page.n > 1)
                        g_assert_cmpuint(page.size, <=, LIMIT_READ_OUTPUT);
                after = page.final;
        } while (page.more);
        /* At least 8: a newline that comes late makes one of two. */
        g_assert_cmpuint(after, ==, report_number(report, "LastLine"));
}

static void test_overwritten(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        g_autoptr(GPtrArray) lines = NULL;
        const Line *first, *last;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("stdbuf -oL seq 1 100000", "{'RingBytes': <%t>}", (guint64) 64 << 10));
        report = client_wait_ended(h->client, path);
        lines = client_read_lines(h->client, path, 0);
        g_assert_cmpuint(lines->len, >, 0);
        first = lines->pdata[0];
        last = lines->pdata[lines->len - 1];
        g_assert_cmpuint(last->number, ==, 100000);
        g_assert_cmpuint(last->number - first->number, ==, lines->len - 1);
        for (guint i = 0; i < lines->len; i++) {
                const Line *line = lines->pdata[i];
                g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, line->number);

                g_assert_cmpmem(g_bytes_get_data(line->bytes, NULL), g_bytes_get_size(line->bytes), text, strlen(text));
        }
}

/* While a runtime prints as fast as it can, followed by one client and read by another, a third one is served. */
static void test_flood(Harness *h) {
        g_autoptr(GDBusConnection) follower = NULL;
        g_autoptr(LineLog) log = NULL;
        g_autofree char *path = NULL;
        guint64 after = 0;

        harness_start_daemon(h, NULL);
        follower = connect_plainly(h);
        path = client_start(h->client, "command", options_shell("yes $(printf %0999d 0)", NULL));
        log = line_log_new(h, follower, path, 1);
        subscribe(follower, path, 0, 2);
        for (unsigned i = 0; i < 100; i++) {
                g_autofree char *state = client_get_string(h->client, path, "State");
                Page page = read_page(h->client, path, "ReadOutput", after, 0);

                g_assert_cmpstr(state, ==, "ready");
                if (page.n > 0) {
                        g_assert_cmpuint(page.first, >, after);
                        after = page.final;
                }
                /* Some of the flood, which may come as fast as it is taken in. */
                for (unsigned n = 0; n < 64 && g_main_context_iteration(NULL, FALSE); n++)
                        ;
        }
        line_log_wait_for(log, 1);
        client_stop(h->client, path);
        line_log_wait_ended(log);
        line_log_wait_for(log, log->report_last);
        g_assert_cmpuint(log->n_received + log->n_dropped, ==, log->report_last);
}

/* A line may be written between the read and any look behind it. */
static void test_more(Harness *h) {
        g_autofree char *path = NULL;
        unsigned empty = 0;

        harness_start_daemon(h, NULL);
        path = client_start(h->client, "command", options_shell("exec yes $(printf %0999d 0)", NULL));
        for (unsigned i = 0; i < 1000; i++) {
                Page page = read_page(h->client, path, "ReadOutput", G_MAXUINT64, 0);

                if (page.n == 0) {
                        g_assert_false(page.more);
                        empty++;
                }
        }
        g_assert_cmpuint(empty, >, 0);
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"both-streams-are-numbered-from-1-in-one-row-and-timed", test_streams},
                {"what-is-no-text-is-replaced-and-flagged-as-text-and-kept-as-bytes", test_not_text},
                {"a-line-of-10-MiB-is-read-in-parts-of-whole-characters", test_long_line_read},
                {"a-line-of-10-MiB-is-followed-in-parts-of-whole-characters", test_long_line_followed},
                {"a-last-line-without-newline-is-flagged", test_unterminated},
                {"a-stream-that-ends-after-a-part-gets-a-last-empty-part", test_unterminated_after_part},
                {"a-prompt-comes-without-its-newline", test_prompt},
                {"output-comes-before-ready-and-after", test_around_ready},
                {"output-of-a-child-that-outlives-the-main-process-is-kept", test_child_outlives},
                {"all-output-comes-before-Ended", test_before_ended},
                {"replies-are-pages", test_pages},
                {"pages-of-text-that-grows-are-no-larger", test_pages_of_lossy_text},
                {"only-the-newest-lines-are-kept", test_overwritten},
                {"a-flood-stops-no-other-call", test_flood},
                {"who-is-told-of-more-is-given-some", test_more},
        };

        return harness_main(argc, argv, "output", cases, G_N_ELEMENTS(cases));
}
