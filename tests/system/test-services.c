/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What happens to runtimes when their services, their users or their quotas go; and what an administrator may do by polkit's say-so. */

#include <signal.h>
#include <string.h>

#include "harness.h"
#include "util/message-ids.h"
#include "util/names.h"
#include "system-harness.h"

#define MANAGER "runtime-manager.service"
#define SPAWNER "runtime-spawner.service"
/* Polkit would ask for a password, if the call had said that it may. */
#define ASKS "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
#define COUNTER "i=0; while read line; do i=$((i+1)); echo $i; done"

static char *start_counter(System *s) {
        char *path = as_user_start(s->alice, "command", options_shell(COUNTER, "{'Id': <'counter'>, 'Input': <'pipe'>}"));

        g_variant_unref(as_user_call(s->alice, path, "OpenInput", NULL));
        g_variant_unref(as_user_call(s->alice, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
        return path;
}

/* One line in, one line out; n: how many since its start. */
static void count(System *s, const char *path, guint n) {
        g_autofree char *error = as_user_fd_write(s->alice, 0, "x\n"), *text = g_strdup_printf("%u\n", n);

        g_assert_cmpstr(error, ==, "");
        as_user_wait_text(s->alice, path, text);
}

static void kill_service(const char *unit) {
        g_autofree char *gone = NULL;
        guint pid = system_service_pid(unit);

        g_assert_cmpuint(pid, >, 1);
        system_expect_restart();
        g_assert_cmpint(kill((pid_t) pid, SIGKILL), ==, 0);
        gone = g_strdup_printf("p=$(systemctl show -P MainPID %s); s=$(systemctl is-active %s); [ $p != %u ] && [ $s = active ] && echo back", unit, unit, pid);
        system_wait_output(gone, "back");
}

/* data: the services that are killed, NULL-terminated */
static void test_killed(System *s, gconstpointer data) {
        g_autofree char *path = start_counter(s), *text = NULL, *state = NULL;
        gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC;
        guint32 pid = as_user_get_number(s->alice, path, "MainPID");
        g_auto(Outcome) outcome = {0};

        count(s, path, 1);
        for (const char *const *unit = data; *unit; unit++) {
                if (strcmp(*unit, SPAWNER) == 0) {
                        /* It may come back when it is needed. */
                        system_expect_restart();
                        g_free(system_run("systemctl kill -s KILL %s", SPAWNER));
                } else {
                        kill_service(*unit);
                }
        }
        count(s, path, 2);
        g_variant_unref(as_user_wait_signal(s->alice, path, "OutputLines", 2));
        g_assert_cmpuint(as_user_get_number(s->alice, path, "MainPID"), ==, pid);
        state = as_user_get_string(s->alice, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        /* And it can be steered as before, as soon as the spawner's end, of a moment ago, has been met. */
        do {
                outcome_clear(&outcome);
                outcome = as_user_try(s->alice, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 50>},)"));
        } while (!outcome.reply && strstr(outcome.message, "try again") && g_get_monotonic_time() < deadline);
        g_assert_cmpstr(outcome.error, ==, NULL);
        g_free(as_user_start_shell(s->alice, "exit 0"));
        as_user_stop(s->alice, path);
        text = as_user_read_text(s->alice, path);
        g_assert_cmpstr(text, ==, "1\n2\n");
}

static void test_restart(System *s, gconstpointer data) {
        g_autofree char *path = start_counter(s), *text = NULL;

        count(s, path, 1);
        system_restart_services();
        count(s, path, 2);
        text = as_user_read_text(s->alice, path);
        g_assert_cmpstr(text, ==, "1\n2\n");
}

/* Who ended it, and what it had printed, is asked for afterwards. */
static void test_stop(System *s, gconstpointer data) {
        g_autofree char *path = start_counter(s), *active = NULL, *text = NULL;
        g_autoptr(GVariant) report = NULL;

        count(s, path, 1);
        system_expect_restart();
        g_free(system_run("systemctl stop %s", MANAGER));
        (void) system_shell("systemctl list-units --plain --no-legend 'runtime-*.scope' | wc -l", &active);
        g_assert_cmpstr(active, ==, "0");
        g_free(system_run("systemctl start %s", MANAGER));
        report = as_user_wait_ended(s->alice, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'system'>}", NULL);
        text = as_user_read_text(s->alice, path);
        g_assert_cmpstr(text, ==, "1\n");
}

static void test_activation(System *s, gconstpointer data) {
        system_expect_restart();
        g_free(system_run("systemctl stop %s", MANAGER));
        as_user_sync(s->alice);
        g_assert_cmpuint(system_service_pid(MANAGER), >, 1);
}

/* Runtimes belong to no session. */
static void test_terminate_user(System *s, gconstpointer data) {
        g_autofree char *path = start_counter(s);

        g_free(system_run("systemctl start systemd-logind && loginctl enable-linger alice"));
        system_wait_output("loginctl show-user alice -P Linger", "yes");
        count(s, path, 1);
        g_free(system_run("loginctl terminate-user alice; loginctl disable-linger alice"));
        count(s, path, 2);
}

static void test_deleted_user(System *s, gconstpointer data) {
        AsUser *dave = system_new_user(s, "dave"), *root = system_new_root(s);
        g_autofree char *path = as_user_start_shell(dave, "exec tail -f /dev/null"), *state = NULL;
        g_auto(Outcome) outcome = {0};

        g_free(system_run("userdel -f -r dave 2>&1"));
        state = as_user_get_string(root, path, "State");
        g_assert_cmpstr(state, ==, "ready");
        outcome = as_user_try(dave, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", NULL)));
        g_assert_null(outcome.reply);
        g_test_message("%s: %s", outcome.error, outcome.message);
        as_user_stop(root, path);
        g_variant_unref(as_user_call(root, path, "Forget", NULL));
}

static GVariant *for_alice(void) {
        return g_variant_new("(s@a{sv})", "command", options_shell("id -un; exec tail -f /dev/null", "{'User': <'alice'>, 'Id': <'for_alice'>}"));
}

static void test_admin(System *s, gconstpointer data) {
        AsUser *carol = system_new_user(s, "carol");
        g_autofree char *path = system_path_of(s->alice, "for_alice"), *details = NULL;

        g_free(as_user_call_fails(carol, NULL, "StartRuntime", for_alice(), ASKS));
        system_set_polkit_rule("if (action.id == \"" RM_BUS_NAME ".start-as-user\" && subject.user == \"carol\" && action.lookup(\"user\") == \"alice\")\n"
                               "        return polkit.Result.YES;");
        g_variant_unref(as_user_call(carol, NULL, "StartRuntime", for_alice()));
        as_user_wait_text(carol, path, "alice\n");
        g_assert_cmpuint(as_user_get_number(s->alice, path, "UID"), ==, as_user_get_uid(s->alice));
        g_assert_cmpuint(as_user_get_number(s->alice, path, "StarterUID"), ==, as_user_get_uid(carol));
        /* Both may steer it, and bob doesn't know of it. */
        g_variant_unref(as_user_call(s->alice, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 50>},)")));
        g_variant_unref(as_user_call(carol, path, "SetLimits", g_variant_new_parsed("({'TasksMax': <uint64 60>},)")));
        g_free(as_user_call_fails(s->bob, path, "Stop", g_variant_new_parsed("(@a{sv} {},)"), "org.freedesktop.DBus.Error.UnknownObject"));
        details = system_run("journalctl --sync; journalctl -q -o cat -u polkit | grep 'start-as-user for carol' | tail -n 1");
        g_test_message("%s", details);
        g_assert_nonnull(strstr(details, "kind=command"));
        g_assert_nonnull(strstr(details, "user=alice"));
        as_user_stop(carol, path);
        /* For bob she has nobody's say. */
        g_free(as_user_call_fails(carol, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("id", "{'User': <'bob'>}")), ASKS));
}

static void test_manage(System *s, gconstpointer data) {
        AsUser *carol = system_new_user(s, "carol");
        g_autofree char *path = as_user_start_shell(s->alice, "exec tail -f /dev/null");

        g_free(as_user_call_fails(carol, path, "Stop", g_variant_new_parsed("(@a{sv} {},)"), "org.freedesktop.DBus.Error.UnknownObject"));
        system_set_polkit_rule("if (action.id == \"" RM_BUS_NAME ".manage\" && subject.user == \"carol\") return polkit.Result.YES;");
        g_variant_unref(as_user_call(carol, path, "Stop", g_variant_new_parsed("(@a{sv} {},)")));
        g_variant_unref(as_user_wait_ended(s->alice, path));
        g_variant_unref(as_user_call(carol, NULL, "Reload", NULL));
}

static void start_and_fail(AsUser *user, const char *options, const char *part) {
        g_autofree char *message = as_user_call_fails(user, NULL, "StartRuntime",
                                                      g_variant_new("(s@a{sv})", "command", options_shell("exec tail -f /dev/null", options)), "LimitExceeded");

        g_test_message("%s", message);
        if (!strstr(message, part))
                g_error("\"%s\" does not name %s", message, part);
}

static void test_runtimes_quota(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *logged = NULL, *counted = NULL;

        system_configure("[Quota]\nRuntimesPerUser=3\n");
        for (unsigned i = 0; i < 2; i++)
                g_free(as_user_start_shell(s->alice, "exec tail -f /dev/null"));
        path = as_user_start_shell(s->alice, "exec tail -f /dev/null");
        start_and_fail(s->alice, NULL, "RuntimesPerUser");
        g_free(as_user_start_shell(s->bob, "exec tail -f /dev/null"));
        /* One that has ended counts no more. */
        as_user_stop(s->alice, path);
        g_free(as_user_start_shell(s->alice, "exec tail -f /dev/null"));
        start_and_fail(s->alice, NULL, "RuntimesPerUser");

        /* Each refusal is counted, and written down once a minute at most. */
        logged = system_run("journalctl --sync; journalctl -q -o cat MESSAGE_ID=" MESSAGE_ID_LIMIT_REACHED " _PID=%u RUNTIME_UID=%u | grep -c RuntimesPerUser",
                            system_service_pid(MANAGER), as_user_get_uid(s->alice));
        g_assert_cmpstr(g_strchomp(logged), ==, "1");
        counted = system_run("runtimectl --system metrics | grep ^runtime_manager_start_refusals_total");
        g_assert_cmpstr(g_strchomp(counted), ==, "runtime_manager_start_refusals_total 2");
}

/* Not for who asked, but for whom it is. */
static void test_quota_of_other(System *s, gconstpointer data) {
        AsUser *carol = system_new_user(s, "carol");

        system_configure("[Quota]\nRuntimesPerUser=1\n");
        system_set_polkit_rule("return polkit.Result.YES;");
        g_variant_unref(as_user_call(carol, NULL, "StartRuntime", for_alice()));
        start_and_fail(s->alice, NULL, "RuntimesPerUser");
        g_free(as_user_start_shell(carol, "exec tail -f /dev/null"));
}

static void test_ring_quota(System *s, gconstpointer data) {
        system_configure("[Quota]\nRingBytesPerUser=4M\n");
        g_free(as_user_start(s->alice, "command", options_shell("exec tail -f /dev/null", "{'RingBytes': <uint64 3145728>}")));
        start_and_fail(s->alice, "{'RingBytes': <uint64 2097152>}", "RingBytesPerUser");
        g_free(as_user_start(s->bob, "command", options_shell("exec tail -f /dev/null", "{'RingBytes': <uint64 3145728>}")));
}

static void test_start_quota(System *s, gconstpointer data) {
        guint cookies[20], refused = 0;

        system_configure("[Quota]\nStartsPerSecond=1\nStartsBurst=5\n");
        for (size_t i = 0; i < G_N_ELEMENTS(cookies); i++)
                cookies[i] = as_user_begin(s->alice, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 0", NULL)));
        for (size_t i = 0; i < G_N_ELEMENTS(cookies); i++) {
                g_auto(Outcome) outcome = as_user_finish(s->alice, cookies[i]);

                if (!outcome.error)
                        continue;
                g_assert_cmpstr(outcome.error, ==, RM_ERROR_LIMIT_EXCEEDED);
                g_assert_nonnull(strstr(outcome.message, "StartsPerSecond"));
                refused++;
        }
        g_assert_cmpuint(refused, >, 0);
        g_assert_cmpuint(refused, <=, 15);
        g_free(as_user_start_shell(s->bob, "exit 0"));
}

static void test_arguments_quota(System *s, gconstpointer data) {
        g_autofree char *text = g_strnfill(50000, 'x'), *options = g_strdup_printf("{'Environment': <['A=%s']>}", text);

        system_configure("[Quota]\nArgumentsSizeMax=20K\n");
        start_and_fail(s->alice, options, "ArgumentsSizeMax");
        g_free(as_user_start_shell(s->alice, "exit 0"));
}

/* Pipes count until who asked for them has read so far: here it never does. */
static void test_pipes_quota(System *s, gconstpointer data) {
        g_autofree char *path = NULL, *message = NULL, *his = NULL, *name = NULL, *gone = NULL;

        system_configure("[Quota]\nPipesPerUser=2\n");
        path = as_user_start(s->alice, "command", options_shell("exec cat", "{'Input': <'pipe'>}"));
        for (unsigned i = 0; i < 2 * 2; i++)
                g_variant_unref(as_user_call(s->alice, path, "OpenInput", NULL));
        name = as_user_raw_open(s->alice);
        g_assert_cmpuint(as_user_raw_call(s->alice, path, "OpenInput", NULL, 3), ==, 3);
        /* Its calls wait until the bus has told whose they are; nobody can see when they have been met but by this. */
        for (gint64 deadline = g_get_monotonic_time() + HARNESS_DEADLINE_USEC; !message;) {
                g_auto(Outcome) outcome = as_user_finish(s->alice, as_user_begin(s->alice, path, "OpenInput", NULL));

                /* They may have met one that was just being read, and been refused for that. */
                g_assert_cmpuint(as_user_raw_call(s->alice, path, "OpenInput", NULL, 1), ==, 1);
                if (outcome.error) {
                        g_assert_cmpstr(outcome.error, ==, RM_ERROR_LIMIT_EXCEEDED);
                        message = g_strdup(outcome.message);
                }
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        }
        g_assert_nonnull(strstr(message, "PipesPerUser"));
        his = as_user_start(s->bob, "command", options_shell("exec cat", "{'Input': <'pipe'>}"));
        g_variant_unref(as_user_call(s->bob, his, "OpenInput", NULL));
        as_user_raw_close(s->alice);
        gone = g_strdup_printf("busctl --system list --unique --no-legend | cut -d\" \" -f1 | grep -cxF %s || true", name);
        system_wait_output(gone, "0");
        g_variant_unref(as_user_call(s->alice, path, "OpenInput", NULL));
}

static void test_calls_quota(System *s, gconstpointer data) {
        g_autofree char *id = NULL, *path = NULL, *his = NULL;
        guint cookies[40], refused = 0;

        system_configure("[Quota]\nCallsPerUser=10\n");
        path = as_user_start_shell(s->alice, "exec tail -f /dev/null");
        id = as_user_get_string(s->alice, path, "Id");
        for (size_t i = 0; i < G_N_ELEMENTS(cookies); i++)
                cookies[i] = as_user_begin(s->alice, NULL, "WaitRuntime", g_variant_new("(ss)", id, "ended"));
        his = as_user_start_shell(s->bob, "exit 0");
        g_variant_unref(as_user_wait_ended(s->bob, his));
        /* Hers are free again for what ends the wait. */
        g_free(as_user_run(s->alice, "kill -9 %u", system_keeper_of(system_new_root(s), path)));
        for (size_t i = 0; i < G_N_ELEMENTS(cookies); i++) {
                g_auto(Outcome) outcome = as_user_finish(s->alice, cookies[i]);

                if (outcome.error && strcmp(outcome.error, RM_ERROR_LIMIT_EXCEEDED) == 0)
                        refused++;
        }
        g_assert_cmpuint(refused, >, 0);
}

static void test_ended_quota(System *s, gconstpointer data) {
        g_autoptr(GVariant) reply = NULL, list = NULL;
        g_autofree char *his = NULL;

        system_configure("[Quota]\nEndedPerUser=2\n");
        his = as_user_start_shell(s->bob, "exit 0");
        g_variant_unref(as_user_wait_ended(s->bob, his));
        for (unsigned i = 0; i < 4; i++) {
                g_autofree char *path = as_user_start_shell(s->alice, "exit 0");

                g_variant_unref(as_user_wait_ended(s->alice, path));
        }
        reply = as_user_call(s->alice, NULL, "ListRuntimes", g_variant_new_parsed("(@a{sv} {},)"));
        list = g_variant_get_child_value(reply, 0);
        g_assert_cmpuint(g_variant_n_children(list), ==, 2);
        g_variant_unref(as_user_get(s->bob, his, "State"));
}

/* Nobody's mistake in a file keeps others from their runtimes. */
static void test_broken_configuration(System *s, gconstpointer data) {
        g_autofree char *journal = NULL;

        system_configure("[Quota]\nRuntimesPerUser=many\nNonsense=1\n[Nowhere]\n");
        g_free(as_user_start_shell(s->alice, "exit 0"));
        journal = system_journal();
        g_assert_nonnull(strstr(journal, "50-test.conf"));
        g_assert_nonnull(strstr(journal, "Nonsense"));
}

#define FOLDERS "/run/runtime-manager-runtimes"

/* Her folder is still there, and the request to remove it is in the spawner's socket, and goes with that. */
static void test_forgotten_while_away(System *s, gconstpointer data) {
        g_autofree char *path = start_counter(s), *other = as_user_start_shell(s->alice, "exec tail -f /dev/null"),
                        *id = as_user_get_string(s->alice, other, "Id"), *name = system_name_of(s->alice, "counter"), *stays = system_name_of(s->alice, id);

        as_user_stop(s->alice, path);
        g_free(system_run("cd " FOLDERS " && mkdir -m 700 %s && chown alice %s && systemctl kill -s STOP " SPAWNER, name, name));
        g_variant_unref(as_user_call(s->alice, path, "Forget", NULL));
        g_free(system_run("ls -d " FOLDERS "/%s", name));
        system_expect_restart();
        g_free(system_run("systemctl kill -s KILL " SPAWNER));
        system_wait_output("ls -A " FOLDERS, stays);
        as_user_stop(s->alice, other);
}

/* What is in her folder takes nothing from /run. But the file system is everybody's: who fills it keeps others from starting, until its runtime is gone. */
static void test_full_folders(System *s, gconstpointer data) {
        g_autofree char *path = as_user_start(s->alice, "command", options_shell("exec tail -f /dev/null", "{'Id': <'greedy'>}")),
                        *name = system_name_of(s->alice, "greedy"), *output = NULL, *before = NULL, *after = NULL, *his = NULL;
        g_auto(Outcome) outcome = {0};

        g_free(system_run("findmnt -n -t tmpfs " FOLDERS));
        before = system_run("df --output=used,iused /run | tail -n 1");
        output = as_user_run(s->alice, "cd " FOLDERS "/%s; head -c 100M /dev/zero 2>&1 >large; seq 70000 | xargs touch 2>&1 | tail -n 1", name);
        g_test_message("%s", output);
        g_assert_nonnull(strstr(output, "No space left on device"));
        after = system_run("df --output=used,iused /run | tail -n 1");
        g_test_message("used of /run: %s, then %s", before, after);
        g_free(system_run("head -c 1M /dev/zero >/run/with-system/room && rm /run/with-system/room"));

        outcome = as_user_try(s->bob, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 0", NULL)));
        g_test_message("%s: %s", outcome.error, outcome.message);
        g_assert_cmpstr(outcome.error, ==, RM_ERROR_START_FAILED);
        g_assert_nonnull(strstr(outcome.message, "No space left on device"));

        as_user_stop(s->alice, path);
        g_variant_unref(as_user_call(s->alice, path, "Forget", NULL));
        system_wait_output("ls -A " FOLDERS " | wc -l", "0");
        his = as_user_start_shell(s->bob, "exit 0");
        g_variant_unref(as_user_wait_ended(s->bob, his));
}

static void test_sandbox(System *s, gconstpointer data) {
        g_autofree char *security = system_run("systemd-analyze security --no-pager %s | tail -n 1 | grep -oE '[0-9]+\\.[0-9]+'", MANAGER), *status = NULL;

        g_assert_cmpfloat(g_ascii_strtod(security, NULL), <=, 3.0);
        status = system_run("grep -E '^(Uid|CapBnd|NoNewPrivs|Seccomp):' /proc/%u/status", system_service_pid(MANAGER));
        g_assert_nonnull(strstr(status, "CapBnd:\t0000000000000000"));
        g_assert_nonnull(strstr(status, "NoNewPrivs:\t1"));
        g_assert_nonnull(strstr(status, "Seccomp:\t2"));
}

int main(int argc, char *argv[]) {
        static const char *const manager[] = {MANAGER, NULL}, *const spawner[] = {SPAWNER, NULL}, *const both[] = {SPAWNER, MANAGER, NULL};
        const SystemCase cases[] = {
                {"runtimes-go-on-when-the-service-is-killed", test_killed, manager},
                {"runtimes-go-on-when-the-spawner-is-killed", test_killed, spawner},
                {"runtimes-go-on-when-both-are-killed", test_killed, both},
                {"runtimes-go-on-when-both-are-restarted", test_restart, NULL},
                {"runtimes-end-when-the-service-is-stopped", test_stop, NULL},
                {"a-call-starts-the-service", test_activation, NULL},
                {"runtimes-go-on-when-their-user-is-logged-out", test_terminate_user, NULL},
                {"a-deleted-user's-runtime-is-root's-to-stop", test_deleted_user, NULL},
                {"an-administrator-starts-as-alice-by-polkit's-say", test_admin, NULL},
                {"an-administrator-manages-by-polkit's-say", test_manage, NULL},
                {"a-quota-of-runtimes-is-one-user's", test_runtimes_quota, NULL},
                {"a-quota-counts-for-whom-a-runtime-is", test_quota_of_other, NULL},
                {"a-quota-of-ring-memory", test_ring_quota, NULL},
                {"a-quota-of-starts", test_start_quota, NULL},
                {"a-quota-of-arguments", test_arguments_quota, NULL},
                {"a-quota-of-pipes", test_pipes_quota, NULL},
                {"a-quota-of-calls", test_calls_quota, NULL},
                {"a-quota-of-ended-runtimes", test_ended_quota, NULL},
                {"a-broken-configuration-is-told-and-passed-over", test_broken_configuration, NULL},
                {"a-folder-forgotten-while-the-spawner-is-away-goes", test_forgotten_while_away, NULL},
                {"who-fills-its-folder-takes-nothing-from-run", test_full_folders, NULL},
                {"the-service-is-in-its-sandbox", test_sandbox, NULL},
        };

        return system_main(argc, argv, "services", TRUE, cases, G_N_ELEMENTS(cases));
}
