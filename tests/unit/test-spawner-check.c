/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the spawner lets the daemon ask for: every way in which a name, a number or a message can be wrong. */

#include "spawner/check.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static const Rights usual = {.minimum_uid = 1000, .daemon_uid = 1234};

static void test_good_units(void) {
        static const struct {
                const char *unit, *kind, *name;
                uid_t uid;
                unsigned attempt;
        } cases[] = {
                {"runtime-command-u1000_a.scope", "command", "u1000_a", 1000, 0},
                {"runtime-elixir-standalone-u0_x_y.scope", "elixir-standalone", "u0_x_y", 0, 0},
                {"runtime-a--b-u4294967294_0.2.scope", "a--b", "u4294967294_0", 4294967294, 2},
                {"runtime-c-u1_u2_3.99.scope", "c", "u1_u2_3", 1, 99},
                {"runtime-c3--u1_a.scope", "c3-", "u1_a", 1, 0},
                {"runtime-abcdefghijabcdefghijabcdefghijab-u1000_01234567890123456789012345678901.scope", "abcdefghijabcdefghijabcdefghijab",
                 "u1000_01234567890123456789012345678901", 1000, 0},
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                UnitName name;

                g_test_message("%s", cases[i].unit);
                g_assert_cmpint(check_unit(cases[i].unit, &name), ==, 0);
                g_assert_cmpstr(name.kind, ==, cases[i].kind);
                g_assert_cmpstr(name.name, ==, cases[i].name);
                g_assert_cmpuint(name.uid, ==, cases[i].uid);
                g_assert_cmpuint(name.attempt, ==, cases[i].attempt);
        }
}

static void test_bad_units(void) {
        static const char *const units[] = {
                "",
                "runtime",
                "runtime-",
                ".scope",
                "ssh.service",
                "runtimes.slice",
                "runtime-command-u1000_a",
                "runtime-command-u1000_a.service",
                "runtime-command-u1000_a.slice",
                "runtime-command-u1000_a.scope.service",
                "runtime-command-u1000_a.scope ",
                "runtime-command-u1000_a.scope\n",
                " runtime-command-u1000_a.scope",
                "Runtime-command-u1000_a.scope",
                "runtime-u1000_a.scope",
                "runtime--u1000_a.scope",
                "runtime-Command-u1000_a.scope",
                "runtime-9-u1000_a.scope",
                "runtime--a-u1000_a.scope",
                "runtime-a_b-u1000_a.scope",
                "runtime-a/b-u1000_a.scope",
                "runtime-a.b-u1000_a.scope",
                "runtime-a@b-u1000_a.scope",
                "runtime-a\\x2d-u1000_a.scope",
                "runtime-a\nb-u1000_a.scope",
                "runtime-\xc3\xa4-u1000_a.scope",
                "runtime-abcdefghijabcdefghijabcdefghijabc-u1000_a.scope",
                "runtime-command-1000_a.scope",
                "runtime-command-u_a.scope",
                "runtime-command-u1000a.scope",
                "runtime-command-u1000_.scope",
                "runtime-command-u01000_a.scope",
                "runtime-command-u00_a.scope",
                "runtime-command-u+1_a.scope",
                "runtime-command-u-1_a.scope",
                "runtime-command-u 1_a.scope",
                "runtime-command-u0x1_a.scope",
                "runtime-command-u4294967295_a.scope",
                "runtime-command-u4294967296_a.scope",
                "runtime-command-u18446744073709551616_a.scope",
                "runtime-command-u99999999999999999999999999999999_a.scope",
                "runtime-command-u1000_A.scope",
                "runtime-command-u1000_a-b.scope",
                "runtime-command-u1000_../../x.scope",
                "runtime-command-u1000_a/b.scope",
                "runtime-command-u1000_a b.scope",
                "runtime-command-u1000_a\n.scope",
                "runtime-command-u1000_012345678901234567890123456789012.scope",
                "runtime-command-u1000_a..scope",
                "runtime-command-u1000_a.0.scope",
                "runtime-command-u1000_a.01.scope",
                "runtime-command-u1000_a.100.scope",
                "runtime-command-u1000_a.-1.scope",
                "runtime-command-u1000_a.2x.scope",
                "runtime-command-u1000_a.2.3.scope",
                "runtime-command-u1000_a.99999999999999999999.scope",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
                UnitName name = {.uid = 77};

                g_test_message("unit \"%s\"", units[i]);
                g_assert_cmpint(check_unit(units[i], &name), ==, -EINVAL);
                g_assert_cmpuint(name.uid, ==, 77);
        }
}

static void test_longest_name_fits(void) {
        g_autofree char *kind = g_strnfill(CHECK_KIND_MAX, 'k'), *id = g_strnfill(CHECK_ID_MAX, 'i'),
                        *unit = g_strdup_printf("runtime-%s-u4294967294_%s.99.scope", kind, id);
        UnitName name;

        g_assert_cmpuint(strlen(unit), <, SPAWNER_UNIT_MAX);
        g_assert_cmpint(check_unit(unit, &name), ==, 0);
        g_assert_cmpuint(strlen(name.name), <, sizeof(name.name));
        g_assert_true(g_str_has_suffix(name.name, id));
}

static void test_same_runtime(void) {
        UnitName a, b;

        g_assert_cmpint(check_unit("runtime-command-u1000_a.scope", &a), ==, 0);
        g_assert_cmpint(check_unit("runtime-command-u1000_a.3.scope", &b), ==, 0);
        g_assert_true(check_same_runtime(&a, &b));
        g_assert_cmpint(check_unit("runtime-command-u1000_b.scope", &b), ==, 0);
        g_assert_false(check_same_runtime(&a, &b));
        g_assert_cmpint(check_unit("runtime-command-u1001_a.scope", &b), ==, 0);
        g_assert_false(check_same_runtime(&a, &b));
        g_assert_cmpint(check_unit("runtime-mix-u1000_a.scope", &b), ==, 0);
        g_assert_false(check_same_runtime(&a, &b));
}

static void test_uids(void) {
        Rights root = usual;

        g_assert_cmpint(check_uid(&usual, 1000), ==, 0);
        g_assert_cmpint(check_uid(&usual, 65533), ==, 0);
        g_assert_cmpint(check_uid(&usual, 65536), ==, 0);
        g_assert_cmpint(check_uid(&usual, 4294967294), ==, 0);
        g_assert_cmpint(check_uid(&usual, 0), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, 1), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, 999), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, 1234), ==, -EPERM);
        /* Those that systemd gives to services (DynamicUser=). */
        g_assert_cmpint(check_uid(&usual, 61183), ==, 0);
        g_assert_cmpint(check_uid(&usual, 61184), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, 65519), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, 65520), ==, 0);
        g_assert_cmpint(check_uid(&usual, 65534), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, 65535), ==, -EPERM);
        g_assert_cmpint(check_uid(&usual, UINT32_MAX), ==, -EPERM);

        root.allow_root = true;
        g_assert_cmpint(check_uid(&root, 0), ==, 0);
        g_assert_cmpint(check_uid(&root, 1), ==, -EPERM);
        /* A minimum of 0 is no way to root. */
        root.allow_root = false;
        root.minimum_uid = 0;
        g_assert_cmpint(check_uid(&root, 0), ==, -EPERM);
        g_assert_cmpint(check_uid(&root, 1), ==, 0);
        g_assert_cmpint(check_uid(&root, 65534), ==, -EPERM);
}

static void test_user_names(void) {
        static const char *const good[] = {"alice", "a", "user.name", "DOMAIN\\alice", "alice@example.org", "_x", "bob$", "j\xc3\xbcrgen"};
        static const char *const bad[] = {"", "-rf", "a b", "a\nb", "a:b", "a/b", "../x", "a,b", "a\t", "a\x7f", "a\x01"};

        for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
                g_assert_cmpint(check_user_name(good[i]), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_cmpint(check_user_name(bad[i]), ==, -EINVAL);
}

static struct spawner_start good_start(void) {
        struct spawner_start start = {.type = SPAWNER_START, .uid = 1000, .timeout_stop_usec = 10000000};

        g_strlcpy(start.unit, "runtime-command-u1000_a.scope", sizeof(start.unit));
        return start;
}

static void test_limits_in_their_bounds(void) {
        for (unsigned i = 0; i < _LIMIT_KEY_MAX; i++) {
                struct spawner_start start = good_start();
                LimitSet limits;

                /* What isn't in keys isn't looked at. */
                start.limits[i] = 0;
                g_assert_cmpint(check_limits(&start, &limits), ==, 0);
                g_assert_cmpuint(limits.value[i], ==, UINT64_MAX);

                start.keys = 1U << i;
                g_assert_cmpint(check_limits(&start, &limits), ==, -ERANGE);
                start.limits[i] = limit_key_table[i].min - 1;
                g_assert_cmpint(check_limits(&start, &limits), ==, -ERANGE);
                start.limits[i] = limit_key_table[i].max + 1;
                g_assert_cmpint(check_limits(&start, &limits), ==, -ERANGE);
                start.limits[i] = UINT64_MAX - 1;
                g_assert_cmpint(check_limits(&start, &limits), ==, -ERANGE);
                start.limits[i] = limit_key_table[i].min;
                g_assert_cmpint(check_limits(&start, &limits), ==, 0);
                g_assert_cmpuint(limits.value[i], ==, limit_key_table[i].min);
                start.limits[i] = limit_key_table[i].max;
                g_assert_cmpint(check_limits(&start, &limits), ==, 0);
                start.limits[i] = UINT64_MAX;
                g_assert_cmpint(check_limits(&start, &limits), ==, 0);
                g_assert_cmpuint(limits.value[i], ==, UINT64_MAX);
        }
}

static void test_unknown_limits(void) {
        for (unsigned bit = _LIMIT_KEY_MAX; bit < 32; bit++) {
                struct spawner_start start = good_start();
                LimitSet limits;

                start.keys = 1U << bit;
                g_assert_cmpint(check_limits(&start, &limits), ==, -EINVAL);
        }
}

static int check(const struct spawner_start *start) {
        LimitSet limits;
        UnitName name;

        return check_start(start, &name, &limits);
}

static void test_starts(void) {
        struct spawner_start start = good_start();

        g_assert_cmpint(check(&start), ==, 0);
        start.uid = 1001;
        g_assert_cmpint(check(&start), ==, -EINVAL);
        start = good_start();
        start.pid = 5;
        g_assert_cmpint(check(&start), ==, -EINVAL);
        start.type = SPAWNER_SCOPE;
        g_assert_cmpint(check(&start), ==, 0);
        start.pid = 0;
        g_assert_cmpint(check(&start), ==, -EINVAL);
        start.pid = 1;
        g_assert_cmpint(check(&start), ==, -EINVAL);
        start.pid = (uint32_t) -1;
        g_assert_cmpint(check(&start), ==, -EINVAL);
        start = good_start();
        start.timeout_stop_usec = 0;
        g_assert_cmpint(check(&start), ==, -ERANGE);
        start.timeout_stop_usec = CHECK_TIMEOUT_STOP_MAX_USEC;
        g_assert_cmpint(check(&start), ==, 0);
        start.timeout_stop_usec = UINT64_MAX;
        g_assert_cmpint(check(&start), ==, -ERANGE);
        start = good_start();
        start.unit[0] = 'R';
        g_assert_cmpint(check(&start), ==, -EINVAL);
}

/* As the daemon has them. */
static const struct {
        enum spawner_type type;
        size_t size, n_fds;
} requests[] = {
        {SPAWNER_USER, sizeof(struct spawner_user), 0},   {SPAWNER_START, sizeof(struct spawner_start), SPAWNER_FDS},
        {SPAWNER_SCOPE, sizeof(struct spawner_start), 0}, {SPAWNER_ADOPT, sizeof(struct spawner_unit), 0},
        {SPAWNER_STOP, sizeof(struct spawner_unit), 0},   {SPAWNER_KILL, sizeof(struct spawner_unit), 0},
        {SPAWNER_LIMIT, sizeof(struct spawner_start), 0}, {SPAWNER_RELEASE, sizeof(struct spawner_unit), 0},
        {SPAWNER_REMOVE, sizeof(struct spawner_unit), 0}, {SPAWNER_JOB, sizeof(uint32_t), 0},
};

static void test_requests_of_their_size(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
                SpawnerRequest request = {.type = requests[i].type};

                for (size_t size = 0; size <= sizeof(request) + 1; size++)
                        g_assert_cmpint(check_request(&request, size, requests[i].n_fds), ==, size == requests[i].size ? 0 : -EBADMSG);
                for (size_t n_fds = 0; n_fds < 20; n_fds++)
                        g_assert_cmpint(check_request(&request, requests[i].size, n_fds), ==, n_fds == requests[i].n_fds ? 0 : -EBADMSG);
        }
}

static void test_other_types(void) {
        for (uint32_t type = 0; type < 300; type++) {
                SpawnerRequest request = {.type = type};
                bool known = false;

                for (size_t i = 0; i < G_N_ELEMENTS(requests); i++)
                        known = known || requests[i].type == type;
                for (size_t size = 0; !known && size <= sizeof(request); size++)
                        g_assert_cmpint(check_request(&request, size, 0), ==, -EBADMSG);
        }
        g_assert_cmpint(check_request(&(SpawnerRequest){.type = UINT32_MAX}, 4, 0), ==, -EBADMSG);
}

static void test_strings_that_do_not_end(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
                SpawnerRequest request;

                if (requests[i].size == sizeof(uint32_t))
                        continue;
                memset(&request, 'x', sizeof(request));
                request.type = requests[i].type;
                g_assert_cmpint(check_request(&request, requests[i].size, requests[i].n_fds), ==, -EBADMSG);
                ((char *) &request)[requests[i].size - 1] = '\0';
                g_assert_cmpint(check_request(&request, requests[i].size, requests[i].n_fds), ==, 0);
        }
}

static void test_cgroup(void) {
        g_autofree char *path = NULL;
        UnitName name;

        g_assert_cmpint(check_unit("runtime-command-u1000_a.2.scope", &name), ==, 0);
        path = check_cgroup_of_unit("/machine", &name, "runtime-command-u1000_a.2.scope");
        g_assert_cmpstr(path, ==, "/machine/runtimes.slice/runtimes-u1000.slice/runtime-command-u1000_a.2.scope");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/spawner-check/units of runtimes are taken apart", test_good_units);
        g_test_add_func("/spawner-check/other units are refused", test_bad_units);
        g_test_add_func("/spawner-check/the longest name fits", test_longest_name_fits);
        g_test_add_func("/spawner-check/units of the same runtime are told from others", test_same_runtime);
        g_test_add_func("/spawner-check/some uids are refused", test_uids);
        g_test_add_func("/spawner-check/names of users are names", test_user_names);
        g_test_add_func("/spawner-check/limits keep to their bounds", test_limits_in_their_bounds);
        g_test_add_func("/spawner-check/limits that there aren't are refused", test_unknown_limits);
        g_test_add_func("/spawner-check/a start fits together", test_starts);
        g_test_add_func("/spawner-check/requests have one size each, and their fds", test_requests_of_their_size);
        g_test_add_func("/spawner-check/other types are refused", test_other_types);
        g_test_add_func("/spawner-check/strings end within their arrays", test_strings_that_do_not_end);
        g_test_add_func("/spawner-check/a unit has its place", test_cgroup);
        return g_test_run();
}
