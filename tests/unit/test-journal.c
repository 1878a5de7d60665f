/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service writes to the journal, and that it never waits for it. */

#include "core/journal.h"

#include "journal-socket.h"
#include "util/limits.h"
#include "util/message-ids.h"

typedef struct Fixture {
        JournalSocket *socket;
        sd_event *event;
        Journal *journal;
} Fixture;

static Fixture *fixture_new(void) {
        Fixture *f = g_new0(Fixture, 1);

        f->socket = journal_socket_new();
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        f->journal = journal_new(f->event, f->socket->path);
        return f;
}

static void fixture_free(Fixture *f) {
        journal_free(f->journal);
        sd_event_unref(f->event);
        journal_socket_free(f->socket);
        g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void write_number(Fixture *f, unsigned n) {
        journal_write(f->journal, JOURNAL_INFO, MESSAGE_ID_STARTED, NULL, "number %u", n);
}

/* Reads while the service gets its turns; the number of entries "number N", which come in their order from `next` on. others: of those that aren't one. */
static unsigned read_all(Fixture *f, unsigned next, GPtrArray *others) {
        gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

        for (unsigned idle = 0; idle < 2;) {
                GHashTable *entry;

                g_assert_cmpint(g_get_monotonic_time(), <, until);
                while ((entry = journal_socket_take(f->socket))) {
                        g_autofree char *expected = g_strdup_printf("number %u", next);

                        idle = 0;
                        if (g_str_has_prefix(journal_entry_get(entry, "MESSAGE"), "number ")) {
                                g_assert_cmpstr(journal_entry_get(entry, "MESSAGE"), ==, expected);
                                next++;
                                g_hash_table_unref(entry);
                        } else
                                g_ptr_array_add(others, entry);
                }
                g_assert_cmpint(sd_event_run(f->event, 0), >=, 0);
                idle++;
        }
        return next;
}

static void test_fields(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GHashTable) entry = NULL;

        journal_write(f->journal, JOURNAL_WARNING, MESSAGE_ID_LOST, (const JournalField[]){{"A", "1"}, {"NONE", NULL}, {"LINES", "x\nPRIORITY=0\n"}, {}},
                      "%s, \"%d\"", "text", 7);
        entry = journal_socket_receive(f->socket);
        g_assert_cmpstr(journal_entry_get(entry, "MESSAGE"), ==, "text, \"7\"");
        g_assert_cmpstr(journal_entry_get(entry, "MESSAGE_ID"), ==, MESSAGE_ID_LOST);
        g_assert_cmpstr(journal_entry_get(entry, "PRIORITY"), ==, "4");
        g_assert_cmpstr(journal_entry_get(entry, "SYSLOG_IDENTIFIER"), ==, "test-journal");
        g_assert_cmpstr(journal_entry_get(entry, "A"), ==, "1");
        g_assert_cmpstr(journal_entry_get(entry, "LINES"), ==, "x\nPRIORITY=0\n");
        g_assert_false(g_hash_table_contains(entry, "NONE"));
}

static void test_message_of_lines(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GHashTable) entry = NULL;

        journal_write(f->journal, JOURNAL_INFO, MESSAGE_ID_READY, NULL, "%s", "one\nPRIORITY=0");
        entry = journal_socket_receive(f->socket);
        g_assert_cmpstr(journal_entry_get(entry, "MESSAGE"), ==, "one\nPRIORITY=0");
        g_assert_cmpstr(journal_entry_get(entry, "PRIORITY"), ==, "6");
}

static void test_a_journal_that_hangs(void) {
        g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func((GDestroyNotify) g_hash_table_unref);
        g_autoptr(Fixture) f = fixture_new();

        for (unsigned i = 0; i < 2000; i++)
                write_number(f, i);
        g_assert_cmpuint(read_all(f, 0, others), ==, 2000);
        write_number(f, 2000);
        g_assert_cmpuint(read_all(f, 2000, others), ==, 2001);
        g_assert_cmpuint(others->len, ==, 0);
}

static void test_too_much_for_it(void) {
        g_autoptr(GPtrArray) others = g_ptr_array_new_with_free_func((GDestroyNotify) g_hash_table_unref);
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *lost = NULL;
        unsigned n = LIMIT_JOURNAL_WAITING / 64, got;

        for (unsigned i = 0; i < n; i++)
                write_number(f, i);
        got = read_all(f, 0, others);
        g_assert_cmpuint(got, <, n);
        g_assert_cmpuint(got, >, LIMIT_JOURNAL_WAITING / 256);
        g_assert_cmpuint(others->len, ==, 1);
        g_assert_cmpstr(journal_entry_get(others->pdata[0], "MESSAGE_ID"), ==, MESSAGE_ID_JOURNAL_BEHIND);
        lost = g_strdup_printf(" %u messages", n - got);
        g_assert_nonnull(strstr(journal_entry_get(others->pdata[0], "MESSAGE"), lost));
}

static void test_restarted(void) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GHashTable) first = NULL, second = NULL;

        write_number(f, 0);
        first = journal_socket_receive(f->socket);
        journal_socket_close(f->socket);
        journal_socket_bind(f->socket);
        write_number(f, 1);
        second = journal_socket_receive(f->socket);
        g_assert_cmpstr(journal_entry_get(second, "MESSAGE"), ==, "number 1");
}

/* Nobody is behind the socket for a while: what was written meanwhile comes. */
static void test_away(void) {
        g_autoptr(Fixture) f = fixture_new();
        gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
        GHashTable *entry;

        f->socket->fd = fd_close(f->socket->fd);
        write_number(f, 0);
        journal_socket_close(f->socket);
        journal_socket_bind(f->socket);
        while (!(entry = journal_socket_take(f->socket))) {
                g_assert_cmpint(g_get_monotonic_time(), <, until);
                g_assert_cmpint(sd_event_run(f->event, 2 * USEC_PER_SEC), >=, 0);
        }
        g_assert_cmpstr(journal_entry_get(entry, "MESSAGE"), ==, "number 0");
        g_hash_table_unref(entry);
}

static void test_none(void) {
        g_autoptr(Fixture) f = fixture_new();

        journal_socket_close(f->socket);
        for (unsigned i = 0; i < 10; i++)
                write_number(f, i);
        /* No timer, nothing waits. */
        g_assert_cmpint(sd_event_run(f->event, 0), ==, 0);
        journal_socket_bind(f->socket);
        g_assert_null(journal_socket_take(f->socket));
        journal_write(NULL, JOURNAL_INFO, MESSAGE_ID_READY, NULL, "nobody");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/journal/an-entry-has-its-fields-whatever-is-in-them", test_fields);
        g_test_add_func("/journal/a-message-of-several-lines-is-one-message", test_message_of_lines);
        g_test_add_func("/journal/what-a-hanging-journal-does-not-take-comes-later-in-its-order", test_a_journal_that_hangs);
        g_test_add_func("/journal/what-is-too-much-is-counted-and-told", test_too_much_for_it);
        g_test_add_func("/journal/a-restarted-journal-is-found", test_restarted);
        g_test_add_func("/journal/what-comes-while-the-journal-is-away-waits", test_away);
        g_test_add_func("/journal/without-a-journal-nothing-is-kept", test_none);
        return g_test_run();
}
