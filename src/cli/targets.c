/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See targets.h. */

#include "cli/targets.h"

#include "cli/json.h"

static void clear_target(void *data) {
        target_clear(data);
}

/* An exit code. */
static int find_all(sd_bus *bus, char **words, GArray *targets) {
        for (; *words; words++) {
                Target target = {};
                int r;

                r = client_find(bus, *words, &target);
                if (r != EXIT_OK)
                        return r;
                g_array_append_val(targets, target);
        }
        return EXIT_OK;
}

/* Does it to those that still have a result, and takes it from those that fail. An exit code. */
static int do_all(sd_bus *bus, GArray *targets, json_t *results, TargetAction action, void *userdata) {
        int exit_code = EXIT_OK;

        for (unsigned i = 0; i < targets->len; i++) {
                json_t *result = json_array_get(results, i);
                int r;

                if (json_is_null(result))
                        continue;
                r = action(bus, &g_array_index(targets, Target, i), result, userdata);
                if (r != EXIT_OK)
                        (void) json_array_set_new(results, i, json_null());
                exit_code = exit_code != EXIT_OK ? exit_code : r;
        }
        return exit_code;
}

static void print_results(json_t *results, CliJson mode) {
        bool one = json_array_size(results) == 1;

        for (size_t i = json_array_size(results); i-- > 0;)
                if (json_is_null(json_array_get(results, i)))
                        (void) json_array_remove(results, i);
        if (json_array_size(results) > 0)
                json_print(one ? json_array_get(results, 0) : results, mode);
}

int targets_do(const Cli *cli, char **words, TargetAction action, TargetAction after, void *userdata) {
        g_autoptr(GArray) targets = g_array_new(FALSE, TRUE, sizeof(Target));
        _cleanup_json_ json_t *results = json_array();
        _cleanup_bus_ sd_bus *bus = NULL;
        int r, exit_code;

        g_array_set_clear_func(targets, clear_target);
        r = client_open(cli, &bus);
        if (r == EXIT_OK)
                r = find_all(bus, words, targets);
        if (r != EXIT_OK)
                return r;
        for (unsigned i = 0; i < targets->len; i++) {
                const Target *target = &g_array_index(targets, Target, i);

                (void) json_array_append_new(results, json_pack("{s:s, s:s}", "Id", target->id, "Object", target->path));
        }
        exit_code = do_all(bus, targets, results, action, userdata);
        if (after) {
                r = do_all(bus, targets, results, after, userdata);
                exit_code = exit_code != EXIT_OK ? exit_code : r;
        }
        if (cli->json != CLI_JSON_OFF)
                print_results(results, cli->json);
        return exit_code;
}
