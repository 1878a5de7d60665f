/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two services are killed at random moments, some of them before they are back from the last time, while runtimes of alice's and bob's print numbered
 * lines, others come and go, and are stopped. In the end each line is there once, in order and whole; each process is the one that it was; each end has its
 * true report; and nothing is left. Then the same for a restart, with all that is kept for clients. */

#include <signal.h>
#include <string.h>

#include "harness.h"
#include "util/names.h"
#include "system-harness.h"

#define MANAGER "runtime-manager.service"
#define SPAWNER "runtime-spawner.service"
#define N_KILLS 30
#define RETRY_MSEC 20
#define DEADLINE_USEC (60 * G_USEC_PER_SEC)
#define NO_OPTIONS g_variant_new_parsed("(@a{sv} {},)")

/* At random moments of either's life, until there were N_KILLS. */
static const char killer_script[] =
        "n=0; declare -A last\n"
        "while [ $n -lt $1 ]; do\n"
        "        unit=runtime-manager.service; [ $((RANDOM % 5)) -lt 3 ] || unit=runtime-spawner.service\n"
        "        pid=$(systemctl show -P MainPID $unit)\n"
        "        sleep 0.$(printf %03d $((RANDOM % 300)))\n"
        "        [ $pid -gt 1 ] && [ $pid != \"${last[$unit]}\" ] && kill -KILL $pid 2>/dev/null && n=$((n + 1)) && last[$unit]=$pid && echo $unit\n"
        "done\n";

/* Three processes that number their lines, and say last how many there were. */
static const char talker_script[] = "import os, select, sys\n"
                                    "finish = os.path.expanduser('~/finish.' + sys.argv[1])\n"
                                    "def talk(fd, writer, msec):\n"
                                    "    n = 0\n"
                                    "    while not os.path.exists(finish):\n"
                                    "        n += 1\n"
                                    "        os.write(fd, f'{writer} {n}\\n'.encode())\n"
                                    "        select.select([], [], [], msec / 1000)\n"
                                    "    os.write(fd, f'{writer} end {n}\\n'.encode())\n"
                                    "pids = []\n"
                                    "for fd, writer, msec in (1, 'b', 37), (2, 'c', 53):\n"
                                    "    pid = os.fork()\n"
                                    "    if pid == 0:\n"
                                    "        talk(fd, writer, msec)\n"
                                    "        os._exit(0)\n"
                                    "    pids.append(pid)\n"
                                    "talk(1, 'a', 23)\n"
                                    "for pid in pids:\n"
                                    "    os.waitpid(pid, 0)\n"
                                    "sys.exit(int(sys.argv[2]))\n";

typedef enum Fate { FATE_EXITS, FATE_EXITS_EARLY, FATE_STOPPED, FATE_OWNER_LOST } Fate;

typedef struct Talker {
        Fate fate;
        gboolean is_bobs;
        AsUser *user;
        char id[16], *path;
        guint code;
        guint32 pid;
        pid_t keeper;
} Talker;

static const Fate fates[] = {FATE_EXITS, FATE_EXITS_EARLY, FATE_STOPPED, FATE_OWNER_LOST};
#define N_TALKERS (2 * G_N_ELEMENTS(fates))

typedef struct Test {
        System *s;
        Talker talkers[N_TALKERS];
        AsUser *owners[2]; /* one more connection of alice's, and of bob's */
        guint n_repeated, n_sprints;
        gboolean over;
        char *killed;
} Test;

/* The service has left, isn't back yet, or is away from its spawner: to be asked once more. */
static gboolean is_absence(const Outcome *outcome) {
        static const char *const names[] = {"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown",
                                            "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.Disconnected", NULL};

        return g_strv_contains(names, outcome->error) ||
               (strcmp(outcome->error, RM_ERROR_START_FAILED) == 0 && (strstr(outcome->message, "spawner") || strstr(outcome->message, "keeper"))) ||
               (strcmp(outcome->error, RM_ERROR_BAD_STATE) == 0 && strstr(outcome->message, "try again"));
}

static Outcome insist(Test *test, AsUser *user, const char *path, const char *method, GVariant *arguments) {
        g_autoptr(GVariant) kept = arguments ? g_variant_ref_sink(arguments) : NULL;
        gint64 deadline = g_get_monotonic_time() + DEADLINE_USEC;

        for (;;) {
                Outcome outcome = as_user_try(user, path, method, kept);

                if (outcome.reply || !is_absence(&outcome))
                        return outcome;
                test->n_repeated++;
                g_test_message("%s: %s: %s", method, outcome.error, outcome.message);
                if (g_get_monotonic_time() > deadline)
                        g_error("%s of %s was not answered, at last with %s: %s", method, path ?: "the manager", outcome.error, outcome.message);
                outcome_clear(&outcome);
                (void) g_poll(NULL, 0, RETRY_MSEC);
        }
}

static GVariant *insist_on(Test *test, AsUser *user, const char *path, const char *method, GVariant *arguments) {
        Outcome outcome = insist(test, user, path, method, arguments);

        if (!outcome.reply)
                g_error("%s: %s of %s failed with %s: %s", as_user_get_name(user), method, path ?: "the manager", outcome.error, outcome.message);
        return outcome.reply;
}

static char *start(Test *test, AsUser *user, GVariant *options) {
        g_autoptr(GVariant) reply = insist_on(test, user, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options));
        char *path;

        g_variant_get(reply, "(so)", NULL, &path);
        return path;
}

static GVariant *wait_ended(Test *test, AsUser *user, const char *id) {
        g_autoptr(GVariant) reply = insist_on(test, user, NULL, "WaitRuntime", g_variant_new("(ss)", id, "ended"));

        return g_variant_get_child_value(reply, 1);
}

static void forget(Test *test, AsUser *user, const char *path) {
        g_auto(Outcome) outcome = insist(test, user, path, "Forget", NULL);

        /* It was forgotten, but the answer was lost. */
        if (!outcome.reply)
                g_assert_cmpstr(outcome.error, ==, "org.freedesktop.DBus.Error.UnknownObject");
}

static void start_talkers(Test *test) {
        for (guint i = 0; i < N_TALKERS; i++) {
                Talker *talker = &test->talkers[i];
                g_autofree char *code = NULL;

                talker->fate = fates[i / 2];
                talker->is_bobs = i % 2 == 1;
                talker->user = talker->is_bobs ? test->s->bob : test->s->alice;
                talker->code = 10 + i;
                (void) g_snprintf(talker->id, sizeof(talker->id), "talker%u", i);
                g_free(as_user_run(talker->user, "rm -f ~/finish.%s", talker->id));
                code = g_strdup_printf("%u", talker->code);
                talker->path =
                        as_user_start(talker->fate == FATE_OWNER_LOST ? test->owners[i % 2] : talker->user, "command",
                                      g_variant_new_parsed("{'Command': <['python3', '-SEc', %s, %s, %s]>, 'Id': <%s>, 'RingBytes': <uint64 8388608>,"
                                                           " 'Owner': <%s>}",
                                                           talker_script, talker->id, code, talker->id, talker->fate == FATE_OWNER_LOST ? "caller" : "none"));
                g_variant_unref(as_user_call(talker->user, talker->path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
                talker->pid = as_user_get_number(talker->user, talker->path, "MainPID");
                talker->keeper = system_keeper_of(talker->user, talker->path);
        }
}

static void finish(Talker *talker) {
        g_free(as_user_run(talker->user, "touch ~/finish.%s", talker->id));
}

/* One comes, ends, is looked at and forgotten. */
static void sprint(Test *test) {
        guint n = ++test->n_sprints;
        AsUser *user = n % 2 == 0 ? test->s->alice : test->s->bob;
        g_autofree char *id = g_strdup_printf("sprint%u", n), *script = g_strdup_printf("echo sprint %u; echo done; exit %u", n, n % 7),
                        *expected = g_strdup_printf("{'Result': <'%s'>, 'ExitCode': <%u>, 'LastLine': <uint64 2>, 'OutputTail': <'sprint %u\\ndone\\n'>}",
                                                    n % 7 == 0 ? "success" : "exit-code", n % 7, n),
                        *path = NULL;
        g_autoptr(GVariant) report = NULL;

        path = start(test, user, options_shell(script, "{'Id': <%s>}", id));
        report = wait_ended(test, user, id);
        report_check(report, expected, "Signal RequestedBy");
        forget(test, user, path);
}

static void on_killer_exit(GObject *source, GAsyncResult *result, gpointer userdata) {
        Test *test = userdata;
        g_autoptr(GError) error = NULL;

        (void) g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), result, &test->killed, NULL, &error);
        g_assert_no_error(error);
        test->over = TRUE;
}

static void live_while_they_are_killed(Test *test) {
        const char *argv[] = {"bash", "-c", killer_script, "killer", G_STRINGIFY(N_KILLS), NULL};
        g_autoptr(GError) error = NULL;
        g_autoptr(GSubprocess) killer = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
        guint n = 0;

        g_assert_no_error(error);
        g_subprocess_communicate_utf8_async(killer, NULL, NULL, on_killer_exit, test);
        while (!test->over) {
                sprint(test);
                for (guint i = 0; i < N_TALKERS && n == 3; i++)
                        if (test->talkers[i].fate == FATE_EXITS_EARLY)
                                finish(&test->talkers[i]);
                n++;
                g_main_context_iteration(NULL, FALSE);
        }
}

/* "a 1", "a 2", …, "a end 2" of each of the three. */
static void judge_line(const Talker *talker, guint64 counts[static 3], gboolean ended[static 3], const char *line) {
        guint writer = (guint) (line[0] - 'a');
        g_autofree char *next = NULL, *end = NULL;

        g_assert_cmpuint(writer, <, 3);
        next = g_strdup_printf("%c %" G_GUINT64_FORMAT, line[0], counts[writer] + 1);
        end = g_strdup_printf("%c end %" G_GUINT64_FORMAT, line[0], counts[writer]);
        if (!ended[writer] && strcmp(line, next) == 0)
                counts[writer]++;
        else if (!ended[writer] && strcmp(line, end) == 0)
                ended[writer] = TRUE;
        else
                g_error("%s: \"%s\" where \"%s\" is expected", talker->path, line, next);
}

/* How many lines. */
static guint64 judge_output(Test *test, const Talker *talker) {
        gboolean ended[3] = {0}, more = TRUE;
        guint64 counts[3] = {0}, after = 0;

        while (more) {
                g_autoptr(GVariant) reply = insist_on(test, talker->user, talker->path, "ReadOutputText", g_variant_new("(tu)", after, 0));
                g_autoptr(GVariantIter) lines = NULL;
                const char *line;
                guint64 number;
                guint32 flags;

                g_variant_get(reply, "(a(tytus)tb)", &lines, NULL, &more);
                while (g_variant_iter_next(lines, "(tytu&s)", &number, NULL, NULL, &flags, &line)) {
                        g_assert_cmpuint(number, ==, ++after);
                        g_assert_cmpuint(flags, ==, 0);
                        judge_line(talker, counts, ended, line);
                }
        }
        for (guint i = 0; i < 3; i++) {
                g_assert_cmpuint(counts[i], >, talker->fate == FATE_EXITS_EARLY ? 0 : 20);
                g_assert_true(ended[i] == (talker->fate == FATE_EXITS || talker->fate == FATE_EXITS_EARLY));
        }
        return after;
}

/* Each line has come by signal at least once, and the end too. */
static void judge_signals(const Talker *talker, guint64 last) {
        g_autoptr(GPtrArray) signals = NULL;
        g_autofree gboolean *seen = g_new0(gboolean, last + 1);

        g_variant_unref(as_user_wait_signal(talker->user, talker->path, "Ended", 1));
        as_user_sync(talker->user);
        signals = as_user_get_signals(talker->user);
        for (guint i = 0; i < signals->len; i++) {
                const SeenSignal *signal = signals->pdata[i];
                g_autoptr(GVariantIter) lines = NULL;
                guint64 number;

                if (strcmp(signal->path, talker->path) != 0 || strcmp(signal->member, "OutputLines") != 0)
                        continue;
                g_variant_get(signal->body, "(a(tytus))", &lines);
                while (g_variant_iter_next(lines, "(tytus)", &number, NULL, NULL, NULL, NULL)) {
                        g_assert_cmpuint(number, <=, last);
                        seen[number] = TRUE;
                }
        }
        for (guint64 number = 1; number <= last; number++)
                if (!seen[number])
                        g_error("line %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " of %s was not sent", number, last, talker->path);
}

static void judge(Test *test, const Talker *talker) {
        g_autoptr(GVariant) report = wait_ended(test, talker->user, talker->id);
        guint64 last = judge_output(test, talker);
        g_autofree char *expected = NULL;

        g_assert_cmpuint(report_number(report, "LastLine"), ==, last);
        switch (talker->fate) {
        case FATE_EXITS:
        case FATE_EXITS_EARLY:
                expected = g_strdup_printf("{'Result': <'exit-code'>, 'ExitCode': <%u>}", talker->code);
                report_check(report, expected, "Signal RequestedBy");
                break;
        case FATE_STOPPED:
                report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'Signal': <15>}", "ExitCode");
                break;
        case FATE_OWNER_LOST:
                report_check(report, "{'Result': <'owner-lost'>, 'RequestedBy': <'owner'>, 'Signal': <15>}", "ExitCode");
                break;
        }
        judge_signals(talker, last);
}

static void check_alive(const Talker *talker) {
        g_autofree char *state = as_user_get_string(talker->user, talker->path, "State");

        if (talker->fate == FATE_EXITS_EARLY)
                return;
        g_assert_cmpstr(state, ==, "ready");
        g_assert_cmpuint(as_user_get_number(talker->user, talker->path, "MainPID"), ==, talker->pid);
        g_assert_cmpint(system_keeper_of(talker->user, talker->path), ==, talker->keeper);
        g_assert_cmpuint(as_user_get_number(talker->user, talker->path, "Generation"), ==, 1);
}

static void free_user(System *s, AsUser *user) {
        g_assert_true(g_ptr_array_remove(s->users, user));
}

static void test_kills(System *s, gconstpointer data) {
        Test test = {.s = s};

        system_expect_restart();
        test.owners[0] = system_new_user(s, "alice");
        test.owners[1] = system_new_user(s, "bob");
        start_talkers(&test);
        live_while_they_are_killed(&test);
        g_test_message("%u runtimes came and went, %u calls were repeated; killed: %s", test.n_sprints, test.n_repeated, test.killed);
        g_assert_nonnull(strstr(test.killed, MANAGER));
        g_assert_nonnull(strstr(test.killed, SPAWNER));
        /* Both are there again, and nobody kills them any more. */
        as_user_sync(s->alice);
        as_user_sync(s->bob);
        for (guint i = 0; i < N_TALKERS; i++)
                check_alive(&test.talkers[i]);
        for (guint i = 0; i < N_TALKERS; i++)
                if (test.talkers[i].fate == FATE_EXITS)
                        finish(&test.talkers[i]);
                else if (test.talkers[i].fate == FATE_STOPPED)
                        g_variant_unref(insist_on(&test, test.talkers[i].user, test.talkers[i].path, "Stop", NO_OPTIONS));
        for (guint i = 0; i < G_N_ELEMENTS(test.owners); i++)
                free_user(s, test.owners[i]);
        for (guint i = 0; i < N_TALKERS; i++) {
                judge(&test, &test.talkers[i]);
                forget(&test, test.talkers[i].user, test.talkers[i].path);
                g_free(as_user_run(test.talkers[i].user, "rm -f ~/finish.%s", test.talkers[i].id));
                g_free(test.talkers[i].path);
        }
        system_wait_output(
                "systemctl list-units --all --plain --no-legend 'runtime-*.scope'; ls -A /run/runtime-manager-runtimes; ls -d /run/runtime-manager/*/"
                " 2>/dev/null; pgrep -a runtime-keeper; pgrep -u alice,bob -af finish",
                "");
        g_free(test.killed);
}

static void start_is_refused(AsUser *user, const char *options, const char *quota) {
        g_autofree char *message = as_user_call_fails(user, NULL, "StartRuntime",
                                                      g_variant_new("(s@a{sv})", "command", options_shell("exec tail -f /dev/null", options)), "LimitExceeded");

        g_assert_nonnull(strstr(message, quota));
}

static char *start_with_pipe(AsUser *user, const char *more) {
        return as_user_start(user, "command", options_shell("exec cat", more));
}

static void say(AsUser *user, const char *path, const char *text) {
        g_variant_unref(as_user_call(user, path, "WriteInput", g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, text, strlen(text), 1))));
}

/* data: how the services come to be others */
static void test_return(System *s, gconstpointer data) {
        AsUser *owner = system_new_user(s, "alice");
        g_autofree char *owned = NULL, *followed = NULL, *ended = NULL, *name = NULL;
        g_autoptr(GVariant) report = NULL, lines = NULL;
        Test test = {.s = s};
        guint32 pid;

        system_configure("[Quota]\nRuntimesPerUser=2\nRingBytesPerUser=4M\n");
        owned = start_with_pipe(owner, "{'Id': <'owned'>, 'Input': <'pipe'>, 'Owner': <'caller'>, 'OwnerName': <'a notebook'>}");
        followed = start_with_pipe(s->alice, "{'Id': <'followed'>, 'Input': <'pipe'>}");
        g_variant_unref(as_user_call(s->alice, followed, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
        g_variant_unref(as_user_call(s->alice, NULL, "Subscribe", g_variant_new("(u)", 1)));
        ended = as_user_start_shell(s->bob, "echo last words; exit 3");
        g_variant_unref(as_user_wait_ended(s->bob, ended));
        say(s->alice, followed, "before\n");
        as_user_wait_text(s->alice, followed, "before\n");
        pid = as_user_get_number(s->alice, followed, "MainPID");

        system_expect_restart();
        g_free(system_run("%s", (const char *) data));
        g_variant_unref(insist_on(&test, s->alice, NULL, "ListKinds", NULL));

        /* What clients were told of it holds on. */
        name = as_user_get_string(s->alice, owned, "Owner");
        g_assert_cmpstr(name, ==, as_user_get_bus_name(owner));
        g_assert_cmpuint(as_user_get_number(s->alice, followed, "MainPID"), ==, pid);
        as_user_forget_signals(s->alice);
        as_user_forget_signals(s->bob);
        say(s->alice, followed, "after\n");
        lines = as_user_wait_signal(s->alice, followed, "OutputLines", 1);
        report = as_user_wait_ended(s->bob, ended);
        report_check(report, "{'Result': <'exit-code'>, 'ExitCode': <3>, 'OutputTail': <'last words\\n'>}", NULL);
        /* What was used up is used up. */
        start_is_refused(s->alice, NULL, "RuntimesPerUser");
        g_free(as_user_start_shell(s->bob, "exec tail -f /dev/null"));
        /* Its owner's end is its end. */
        free_user(s, owner);
        g_variant_unref(as_user_wait_signal(s->alice, owned, "Ended", 1));
        start_is_refused(s->alice, "{'RingBytes': <uint64 4194304>}", "RingBytesPerUser");
        g_free(as_user_start_shell(s->alice, "exec tail -f /dev/null"));
        start_is_refused(s->alice, NULL, "RuntimesPerUser");
}

/* A scope is made around a process that has ended, but that nobody has waited for: so it was when the spawner was killed at the wrong moment. */
static const char empty_scope_script[] =
        "file=$(mktemp)\n"
        "(sh -c 'sleep 0.2 & echo $!; exec sleep 60' >$file 2>&1 &)\n"
        "until read -r pid <$file && grep -q '^State:.Z' /proc/$pid/status; do sleep 0.01; done\n"
        "rm $file\n"
        "busctl call --quiet org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartTransientUnit "
        "'ssa(sv)a(sa(sv))' $1 fail 3 PIDs au 1 $pid Slice s $2 Delegate b true 0\n";

static void test_empty_scope(System *s, gconstpointer data) {
        g_autofree char *unit = g_strdup_printf("runtime-command-u%u_hollow.scope", (unsigned) as_user_get_uid(s->alice)),
                        *slice = g_strdup_printf("runtimes-u%u.slice", (unsigned) as_user_get_uid(s->alice)), *other = NULL, *path = NULL;
        Test test = {.s = s};

        other = as_user_start_shell(s->bob, "exec tail -f /dev/null");
        g_free(system_run("set -- %s %s\n%s", unit, slice, empty_scope_script));
        system_wait_output("systemctl show --property=ActiveState --value 'runtime-command-*_hollow.scope'", "active");
        system_expect_restart();
        g_free(system_run("systemctl kill --kill-whom=main --signal=KILL " SPAWNER));
        path = start(&test, s->alice, options_shell("exec tail -f /dev/null", "{'Id': <'hollow'>}"));
        g_assert_cmpuint(as_user_get_number(s->alice, path, "MainPID"), >, 1);
        /* Nobody else's end. */
        g_assert_cmpuint(as_user_get_number(s->bob, other, "MainPID"), >, 1);
}

int main(int argc, char *argv[]) {
        const SystemCase cases[] = {
                {"nothing-is-lost-when-the-services-are-killed-at-random", test_kills, NULL},
                {"a-scope-that-nobody-was-ever-in-is-stopped", test_empty_scope, NULL},
                {"owner-subscriptions-and-quotas-return-after-a-restart", test_return, "systemctl restart " MANAGER},
                {"owner-subscriptions-and-quotas-return-after-a-crash", test_return, "systemctl kill -s KILL " MANAGER " " SPAWNER},
        };

        return system_main(argc, argv, "crashes", TRUE, cases, G_N_ELEMENTS(cases));
}
