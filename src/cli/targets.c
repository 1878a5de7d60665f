/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See targets.h. */

#include "cli/targets.h"

static void clear_target(void *data) {
        target_clear(data);
}

int targets_do(const Cli *cli, char **words, TargetAction action, TargetAction after, void *userdata) {
        g_autoptr(GArray) targets = g_array_new(FALSE, TRUE, sizeof(Target));
        _cleanup_bus_ sd_bus *bus = NULL;
        g_autofree bool *done = NULL;
        int r, result = EXIT_OK;

        g_array_set_clear_func(targets, clear_target);
        r = client_open(cli, &bus);
        if (r != EXIT_OK)
                return r;
        for (; *words; words++) {
                Target target = {};

                r = client_find(bus, *words, &target);
                if (r != EXIT_OK)
                        return r;
                g_array_append_val(targets, target);
        }
        done = g_new0(bool, targets->len);
        for (unsigned i = 0; i < targets->len; i++) {
                r = action(bus, &g_array_index(targets, Target, i), userdata);
                done[i] = r == EXIT_OK;
                result = result != EXIT_OK ? result : r;
        }
        for (unsigned i = 0; after && i < targets->len; i++) {
                r = done[i] ? after(bus, &g_array_index(targets, Target, i), userdata) : EXIT_OK;
                result = result != EXIT_OK ? result : r;
        }
        return result;
}
