/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The state machine as a picture, and every word that a client may read: each has one code, each code has one word, and none is missing. */

#include "core/report.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "util/macro.h"

/* One row a state to leave, one column a state to enter, in the order of a life: starting, preparing, connecting, initializing, ready, stopping, ended. A state
 * is never entered twice and never left backwards, but for Restart, which begins anew; connecting and initializing may be left out (handshake exec, line,
 * notify), ready too. */
static const char *const moves[_RUNTIME_STATE_MAX] = {
        [RUNTIME_STARTING] = ".pc.rse", [RUNTIME_PREPARING] = "..c.rse", [RUNTIME_CONNECTING] = "...irse", [RUNTIME_INITIALIZING] = "....rse",
        [RUNTIME_READY] = ".....se",    [RUNTIME_STOPPING] = "......e",  [RUNTIME_ENDED] = "s......",
};

static void test_every_move(void) {
        for (unsigned from = 0; from < _RUNTIME_STATE_MAX; from++)
                for (unsigned to = 0; to < _RUNTIME_STATE_MAX; to++) {
                        bool wanted = moves[from][to] != '.';

                        if (runtime_state_may_follow(from, to) != wanted)
                                g_error("%s to %s must %sbe allowed", runtime_state_to_string(from), runtime_state_to_string(to), wanted ? "" : "not ");
                }
}

/* Every state but the first can be entered, every state but the last can be left, and the end can be reached from all. */
static void test_no_dead_ends(void) {
        for (unsigned state = 0; state < _RUNTIME_STATE_MAX; state++) {
                bool entered = state == RUNTIME_STARTING;

                for (unsigned from = 0; from < _RUNTIME_STATE_MAX; from++)
                        entered |= runtime_state_may_follow(from, state);
                g_assert_true(entered);
                if (state != RUNTIME_ENDED)
                        g_assert_true(runtime_state_may_follow(state, RUNTIME_ENDED));
        }
}

static void test_states_both_ways(void) {
        static const char *const words[_RUNTIME_STATE_MAX] = {"starting", "preparing", "connecting", "initializing", "ready", "stopping", "ended"};

        for (unsigned state = 0; state < _RUNTIME_STATE_MAX; state++) {
                RuntimeState found;

                g_assert_cmpstr(runtime_state_to_string(state), ==, words[state]);
                g_assert_cmpint(runtime_state_from_string(words[state], &found), ==, 0);
                g_assert_cmpint(found, ==, state);
        }
}

static void test_unknown_words(void) {
        static const char *const words[] = {"", "Ready", "ready ", "read", "readyy", "unknown"};

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                RuntimeState state = RUNTIME_STOPPING;
                Reason reason = REASON_DUMPED;

                g_assert_cmpint(runtime_state_from_string(words[i], &state), ==, -EINVAL);
                g_assert_cmpint(state, ==, RUNTIME_STOPPING);
                g_assert_cmpint(reason_from_string(words[i], &reason), ==, -EINVAL);
                g_assert_cmpint(reason, ==, REASON_DUMPED);
        }
}

static void assert_word(GHashTable *seen, const char *word) {
        g_assert_nonnull(word);
        g_assert_cmpstr(word, !=, "");
        for (const char *c = word; *c; c++)
                g_assert_true(g_ascii_islower(*c) || *c == '-');
        if (!g_hash_table_add(seen, (gpointer) word))
                g_error("\"%s\" stands for two things", word);
}

static void test_results(void) {
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

        for (unsigned result = 0; result < _RESULT_MAX; result++)
                assert_word(seen, result_to_string(result));
}

static void test_reasons_both_ways(void) {
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

        for (unsigned reason = 0; reason < _REASON_MAX; reason++) {
                Reason found;

                assert_word(seen, reason_to_string(reason));
                g_assert_cmpint(reason_from_string(reason_to_string(reason), &found), ==, 0);
                g_assert_cmpint(found, ==, reason);
        }
}

static void test_requesters(void) {
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

        g_assert_null(requested_by_to_string(REQUESTED_BY_NOBODY));
        for (unsigned by = REQUESTED_BY_NOBODY + 1; by < _REQUESTED_BY_MAX; by++)
                assert_word(seen, requested_by_to_string(by));
}

/* A client sees three stages: that the last one goes by way of systemd is our business. */
static void test_stop_stages(void) {
        static const char *const words[_STOP_STAGE_MAX] = {NULL, "request", "terminate", "kill", "kill"};

        for (unsigned stage = 0; stage < _STOP_STAGE_MAX; stage++)
                g_assert_cmpstr(stop_stage_to_string(stage), ==, words[stage]);
}

static void test_new_report_knows_nothing(void) {
        g_autoptr(Report) report = report_new();

        g_assert_false(report->has_exit_code);
        g_assert_false(report->has_signal);
        g_assert_false(report->has_leftovers);
        g_assert_null(report->message);
        g_assert_null(report->step);
        g_assert_cmpint(report->requested_by, ==, REQUESTED_BY_NOBODY);
        g_assert_cmpint(report->stop_stage, ==, STOP_STAGE_NONE);
        g_assert_cmpuint(report->duration_usec, ==, UINT64_MAX);
        g_assert_cmpuint(report->cpu_usage_nsec, ==, UINT64_MAX);
        g_assert_cmpuint(report->memory_peak, ==, UINT64_MAX);
        g_assert_cmpuint(report->oom_kills, ==, UINT64_MAX);
        g_assert_cmpuint(report->step_first_line, ==, UINT64_MAX);
        g_assert_cmpuint(report->step_last_line, ==, UINT64_MAX);
}

static void test_exits(void) {
        static const struct {
                int code, status;
                bool oom;
                Result result;
                Reason reason;
                const char *message; /* what it holds */
        } table[] = {
                {CLD_EXITED, 0, false, RESULT_SUCCESS, REASON_EXITED, "exited"},
                {CLD_EXITED, 1, false, RESULT_EXIT_CODE, REASON_EXITED, "status 1."},
                {CLD_EXITED, 137, false, RESULT_EXIT_CODE, REASON_EXITED, "status 137."},
                {CLD_EXITED, 255, false, RESULT_EXIT_CODE, REASON_EXITED, "status 255."},
                {CLD_KILLED, SIGTERM, false, RESULT_SIGNAL, REASON_KILLED, "signal 15 "},
                {CLD_KILLED, SIGKILL, false, RESULT_SIGNAL, REASON_KILLED, "signal 9 "},
                {CLD_KILLED, 64, false, RESULT_SIGNAL, REASON_KILLED, "signal 64 "},
                {CLD_KILLED, SIGKILL, true, RESULT_OOM_KILL, REASON_OOM_KILL, "memory"},
                {CLD_DUMPED, SIGSEGV, false, RESULT_CORE_DUMP, REASON_DUMPED, "signal 11 "},
                {CLD_DUMPED, SIGABRT, false, RESULT_CORE_DUMP, REASON_DUMPED, "core dump"},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(Report) report = report_new();
                bool exited = table[i].code == CLD_EXITED;

                report_set_exit(report, table[i].code, table[i].status, table[i].oom, false);
                g_assert_cmpint(report->result, ==, table[i].result);
                g_assert_cmpint(report->reason, ==, table[i].reason);
                g_assert_nonnull(strstr(report->message, table[i].message));
                g_assert_true(report->has_exit_code == exited);
                g_assert_true(report->has_signal == !exited);
                g_assert_cmpint(exited ? report->exit_code : report->signal, ==, table[i].status);
        }
}

/* A runtime that was asked to stop, and then exits with 143, was stopped: but how it went is told too. */
static void test_first_cause_stays(void) {
        static const struct {
                int code, status;
                bool oom;
        } table[] = {{CLD_EXITED, 0, false}, {CLD_EXITED, 143, false}, {CLD_KILLED, SIGTERM, false}, {CLD_DUMPED, SIGQUIT, false}, {CLD_KILLED, SIGKILL, true}};

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(Report) report = report_new();

                report->result = RESULT_STOPPED;
                report->reason = REASON_STOP_REQUESTED;
                report->message = g_strdup("why");
                report_set_exit(report, table[i].code, table[i].status, table[i].oom, true);
                g_assert_cmpint(report->result, ==, RESULT_STOPPED);
                g_assert_cmpint(report->reason, ==, REASON_STOP_REQUESTED);
                g_assert_cmpstr(report->message, ==, "why");
                g_assert_true(report->has_exit_code == (table[i].code == CLD_EXITED));
                g_assert_true(report->has_signal == (table[i].code != CLD_EXITED));
        }
}

static void test_words_of_the_kind(void) {
        g_autofree char *named = report_name_subject(g_strdup("The process exited with status 1 before it was ready."), "Lang process terminated unexpectedly");
        g_autofree char *unnamed = report_name_subject(g_strdup("The process exited."), NULL);
        g_autofree char *other = report_name_subject(g_strdup("connection timed out"), "Lang process terminated unexpectedly");

        g_assert_cmpstr(named, ==, "Lang process terminated unexpectedly: it exited with status 1 before it was ready.");
        g_assert_cmpstr(unnamed, ==, "The process exited.");
        g_assert_cmpstr(other, ==, "connection timed out");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/report/states/every-move-is-allowed-or-refused-as-documented", test_every_move);
        g_test_add_func("/report/states/all-can-be-entered-and-can-end", test_no_dead_ends);
        g_test_add_func("/report/states/words-both-ways", test_states_both_ways);
        g_test_add_func("/report/unknown-words-are-refused", test_unknown_words);
        g_test_add_func("/report/results-have-words-of-their-own", test_results);
        g_test_add_func("/report/reasons-have-words-of-their-own-both-ways", test_reasons_both_ways);
        g_test_add_func("/report/requesters-have-words-of-their-own", test_requesters);
        g_test_add_func("/report/stop-stages-have-words", test_stop_stages);
        g_test_add_func("/report/a-new-one-claims-to-know-nothing", test_new_report_knows_nothing);
        g_test_add_func("/report/exit/table", test_exits);
        g_test_add_func("/report/exit/the-first-cause-stays", test_first_cause_stays);
        g_test_add_func("/report/exit/in-the-words-of-the-kind", test_words_of_the_kind);
        return g_test_run();
}
