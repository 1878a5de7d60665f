/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A message of the daemon, of any content: it is refused, or what it says is within what the spawner may do. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz-input.h"
#include "spawner/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A unit's name is made again from what was read of it, or it was read wrong. */
static void check_name(const char *unit) {
        g_autofree char *again = NULL, *cgroup = NULL;
        UnitName name, second;

        if (check_unit(unit, &name) < 0)
                return;
        again = name.attempt == 0 ? g_strdup_printf("runtime-%s-%s.scope", name.kind, name.name)
                                  : g_strdup_printf("runtime-%s-%s.%u.scope", name.kind, name.name, name.attempt);
        if (strcmp(again, unit) != 0 || check_unit(again, &second) < 0 || !check_same_runtime(&name, &second))
                abort();
        if (strchr(name.name, '/') || name.name[0] != 'u' || (uint64_t) name.uid != g_ascii_strtoull(name.name + 1, NULL, 10))
                abort();
        cgroup = check_cgroup_of_unit("", &name, unit);
        if (!g_str_has_prefix(cgroup, "/runtimes.slice/runtimes-u") || strstr(cgroup, ".."))
                abort();
}

static void check_the_start(const struct spawner_start *start) {
        LimitSet limits;
        UnitName name;

        if (check_start(start, &name, &limits) < 0)
                return;
        if (name.uid != start->uid || (start->type == SPAWNER_START && start->pid != 0))
                abort();
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++)
                if (limits.value[i] != UINT64_MAX && (limits.value[i] < limit_key_table[i].min || limits.value[i] > limit_key_table[i].max))
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Rights rights = {.minimum_uid = 1000, .daemon_uid = 999};
        FuzzInput input = {data, size};
        size_t n_fds = fuzz_u8(&input) % 8;
        SpawnerRequest request = {};

        memcpy(&request, input.bytes, MIN_OF(input.size, sizeof(request)));
        if (check_request(&request, input.size, n_fds) < 0)
                return 0;
        switch (request.type) {
        case SPAWNER_START:
        case SPAWNER_SCOPE:
        case SPAWNER_LIMIT:
                check_name(request.start.unit);
                check_the_start(&request.start);
                if (check_uid(&rights, request.start.uid) >= 0 && request.start.uid < 1000)
                        abort();
                break;
        case SPAWNER_USER:
                if (check_user_name(request.user.name) >= 0 && strpbrk(request.user.name, "/: \n"))
                        abort();
                break;
        case SPAWNER_JOB:
                break;
        default:
                check_name(request.unit.unit);
        }
        return 0;
}
