/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real keeper, and a runtime's lines on their way to the journal. */

#include "keeper-fixture.h"

#include <sys/socket.h>

#include "journal-socket.h"
#include "util/message-ids.h"

#define FIELDS "RUNTIME_ID=me\nSYSLOG_IDENTIFIER=runtime-x-me\n"

static Fixture *start_shell(JournalSocket *journal, const char *script) {
        Fixture *f = fixture_new();

        f->header.input = SPEC_INPUT_PIPE;
        spec_add_string(fixture_spec(f), SPEC_JOURNAL, FIELDS);
        spec_add_string(fixture_spec(f), SPEC_JOURNAL_SOCKET, journal->path);
        fixture_add_shell(f, false, script);
        return f;
}

static void assert_line(JournalSocket *journal, const char *stream, const char *line, const char *priority, const char *flags, const char *text) {
        g_autoptr(GHashTable) entry = journal_socket_receive(journal);

        g_assert_cmpstr(journal_entry_get(entry, "MESSAGE"), ==, text);
        g_assert_cmpstr(journal_entry_get(entry, "RUNTIME_STREAM"), ==, stream);
        g_assert_cmpstr(journal_entry_get(entry, "RUNTIME_LINE"), ==, line);
        g_assert_cmpstr(journal_entry_get(entry, "RUNTIME_LINE_FLAGS"), ==, flags);
        g_assert_cmpstr(journal_entry_get(entry, "PRIORITY"), ==, priority);
        g_assert_cmpstr(journal_entry_get(entry, "RUNTIME_ID"), ==, "me");
        g_assert_cmpstr(journal_entry_get(entry, "SYSLOG_IDENTIFIER"), ==, "runtime-x-me");
        g_assert_cmpuint(g_ascii_strtoull(journal_entry_get(entry, "RUNTIME_LINE_TIMESTAMP_USEC"), NULL, 10), >, G_USEC_PER_SEC);
}

static void test_lines(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = start_shell(journal, "echo one; read -r x; echo PRIORITY=0 >&2; read -r x; printf end");

        fixture_start(f);
        fixture_execute(f, 0);
        assert_line(journal, "stdout", "1", "6", "", "one");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        assert_line(journal, "stderr", "2", "5", "", "PRIORITY=0");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
        assert_line(journal, "stdout", "3", "6", "unterminated", "end");
        g_assert_null(journal_socket_take(journal));
}

static void test_longest_line(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = start_shell(journal, "head -c 65536 /dev/zero | tr '\\0' x; echo");
        g_autoptr(GHashTable) entry = NULL;

        fixture_start(f);
        fixture_execute(f, 0);
        entry = journal_socket_receive(journal);
        g_assert_cmpuint(strlen(journal_entry_get(entry, "MESSAGE")), ==, LIMIT_LINE);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

/* The end of all is not held up for longer than a moment, and is told before. */
static void test_hangs(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = start_shell(journal, "seq -f %07.0f 1 200000; echo last >&2");

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        g_assert_cmpuint(f->done.last_line, ==, 200001);
        fixture_collect(f);
        fixture_wait_end(f);
}

typedef struct Reader {
        JournalSocket *journal;
        unsigned lines, dropped, notices;
        uint64_t last;
} Reader;

/* Reads until the line of that number, or until nothing is left. */
static void read_entries(Reader *reader, Fixture *f, uint64_t last) {
        while (reader->last < last) {
                g_autoptr(GHashTable) entry = journal_socket_receive(reader->journal);
                uint64_t number = g_ascii_strtoull(journal_entry_get(entry, "RUNTIME_LINE"), NULL, 10);

                if (number > 0) {
                        g_assert_cmpuint(number, >, reader->last);
                        reader->last = number;
                        reader->lines++;
                        continue;
                }
                g_assert_cmpstr(journal_entry_get(entry, "MESSAGE_ID"), ==, MESSAGE_ID_OUTPUT_DROPPED);
                reader->dropped += (unsigned) g_ascii_strtoull(journal_entry_get(entry, "RUNTIME_LINES_DROPPED"), NULL, 10);
                reader->notices++;
        }
}

/* What it printed last is there, and each line that isn't is accounted for. */
static void test_flood(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = start_shell(journal, "seq -f %07.0f 1 300000");
        Reader reader = {.journal = journal};

        fixture_start(f);
        fixture_execute(f, 0);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        read_entries(&reader, f, 300000);
        fixture_wait_end(f);
        g_assert_cmpuint(reader.lines, <, 10000);
        g_assert_cmpuint(reader.lines, >=, 100);
        g_assert_cmpuint(reader.lines + reader.dropped, ==, 300000);
        g_assert_cmpuint(reader.notices, >=, 1);
        g_assert_cmpuint(reader.notices, <=, 10);
}

/* The runtime goes on meanwhile, and what was in the ring comes when there is a journal again. */
static void test_comes_back(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = start_shell(journal, "echo one; read -r x; for i in {1..500}; do echo $i; done; read -r x; echo end");
        Reader reader = {.journal = journal};

        fixture_start(f);
        fixture_execute(f, 0);
        read_entries(&reader, f, 1);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        for (unsigned i = 0; i < 501; i++) {
                struct ring_record record;

                (void) fixture_next_line(f, &record);
        }
        read_entries(&reader, f, 501);
        g_assert_cmpuint(reader.lines, ==, 501);
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        read_entries(&reader, f, 502);
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
        g_assert_cmpuint(reader.notices, ==, 0);
}

static void test_no_journal(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = start_shell(journal, "echo one; read -r x; echo two");

        journal_socket_close(journal);
        fixture_start(f);
        fixture_execute(f, 0);
        fixture_assert_line(f, RING_STREAM_STDOUT, 0, "one");
        journal_socket_bind(journal);
        /* It tries again in a second. */
        assert_line(journal, "stdout", "1", "6", "", "one");
        g_assert_cmpint(fixture_input(f, LINK_INPUT_WRITE, "\n", 1), ==, 0);
        assert_line(journal, "stdout", "2", "6", "", "two");
        fixture_wait(f, LINK_DONE, 1);
        fixture_collect(f);
        fixture_wait_end(f);
}

static void test_off(void) {
        g_autoptr(JournalSocket) journal = journal_socket_new();
        g_autoptr(Fixture) f = fixture_new();

        fixture_add_shell(f, false, "echo one");
        fixture_run_to_done(f);
        g_assert_null(journal_socket_take(journal));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        if (!fixture_prepare(argc, argv))
                return 0;
        g_test_add_func("/keeper-journal/lines-go-with-their-fields", test_lines);
        g_test_add_func("/keeper-journal/the-longest-line-goes-too", test_longest_line);
        g_test_add_func("/keeper-journal/a-journal-that-hangs-holds-nothing-up", test_hangs);
        g_test_add_func("/keeper-journal/of-a-flood-the-last-lines-come-and-the-rest-is-counted", test_flood);
        g_test_add_func("/keeper-journal/what-a-busy-journal-did-not-take-comes-later", test_comes_back);
        g_test_add_func("/keeper-journal/a-journal-that-comes-later-is-found", test_no_journal);
        g_test_add_func("/keeper-journal/nothing-is-sent-unless-it-was-asked-for", test_off);
        return g_test_run();
}
