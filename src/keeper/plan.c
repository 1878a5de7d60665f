/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What to run, read from the spec. It is walked when something is wanted of it instead of being turned into structures that would
 * lie in every idle keeper's memory: a command is looked up once in its life. plan_load() has checked all of it by then. */

#include "keeper/plan.h"

#include <string.h>

/* Checks that records come where they make sense, and remembers the few that are wanted by name. */
static int plan_check(Plan *plan) {
        bool have_executable = true, have_arguments = true, setup = true;

        for (;;) {
                enum spec_type type;
                const void *bytes;
                size_t size;
                uint32_t value;
                int r;

                r = spec_next(&plan->spec, &type, &bytes, &size);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;

                switch (type) {
                case SPEC_DIRECTORY:
                        plan->directory = bytes;
                        break;
                case SPEC_WORKING_DIRECTORY:
                        plan->working_directory = bytes;
                        break;
                case SPEC_LINE:
                        plan->line = bytes;
                        break;
                case SPEC_COMMAND:
                        if (!have_executable || !have_arguments || !setup)
                                return -EBADMSG;
                        memcpy(&value, bytes, sizeof(value));
                        setup = value != 0;
                        have_executable = have_arguments = false;
                        plan->n_commands++;
                        break;
                case SPEC_EXECUTABLE:
                        if (have_executable || (*(const char *) bytes != '/' && !(plan->spec.header->flags & SPEC_LOOK_UP)))
                                return -EBADMSG;
                        have_executable = true;
                        break;
                case SPEC_ARGUMENT:
                case SPEC_ANNOUNCE:
                        if (plan->n_commands == 0)
                                return -EBADMSG;
                        have_arguments |= type == SPEC_ARGUMENT;
                        break;
                case SPEC_JOURNAL:
                        plan->journal_fields = bytes;
                        break;
                case SPEC_JOURNAL_SOCKET:
                        plan->journal_socket = bytes;
                        break;
                case SPEC_REQUIRED_PROGRAM:
                        plan->required_program = bytes;
                        break;
                case SPEC_REQUIRED_FILE:
                        plan->required_file = bytes;
                        break;
                case SPEC_ENVIRONMENT:
                        break;
                case SPEC_MEMORY_HIGH:
                        memcpy(&plan->memory_high, bytes, sizeof(plan->memory_high));
                        break;
                case _SPEC_TYPE_MAX:
                        return -EBADMSG;
                }
        }

        if (plan->n_commands == 0 || !have_executable || !have_arguments || setup)
                return -EBADMSG;
        if (plan->journal_fields && !plan->journal_socket)
                return -EBADMSG;
        if (!plan->directory || *plan->directory != '/')
                return -EBADMSG;
        if (plan->spec.header->transport == SPEC_TRANSPORT_LINE && !plan->line)
                return -EBADMSG;
        return 0;
}

int plan_load(Plan *ret, int spec_fd) {
        Plan plan = {.memory_high = UINT64_MAX};
        int r;

        r = spec_map(&plan.spec, spec_fd);
        if (r < 0)
                return r;
        r = plan_check(&plan);
        if (r < 0) {
                spec_unmap(&plan.spec);
                return r;
        }
        *ret = plan;
        return 0;
}

void plan_unload(Plan *plan) {
        spec_unmap(&plan->spec);
        *plan = (Plan){.n_commands = plan->n_commands};
}

/* Finds the records of one command, and of all: calls back with each. */
typedef struct PlanWalk {
        Plan *plan;
        uint32_t wanted;
        uint32_t seen; /* commands begun so far */
} PlanWalk;

static PlanWalk plan_walk(Plan *plan, uint32_t command) {
        spec_rewind(&plan->spec);
        return (PlanWalk){.plan = plan, .wanted = command + 1};
}

/* The next record of the wanted command, or an environment entry. False behind the last one. */
static bool plan_walk_next(PlanWalk *walk, enum spec_type *ret_type, const char **ret_text, size_t *ret_size) {
        for (;;) {
                enum spec_type type;
                const void *bytes;
                size_t size;

                if (spec_next(&walk->plan->spec, &type, &bytes, &size) <= 0)
                        return false;
                if (type == SPEC_COMMAND)
                        walk->seen++;
                if (walk->seen != walk->wanted && type != SPEC_ENVIRONMENT)
                        continue;
                *ret_type = type;
                *ret_text = bytes;
                *ret_size = size;
                return true;
        }
}

int plan_get_command(Plan *plan, uint32_t command, PlanCommand *ret) {
        size_t n_arguments = 0, n_environment = 0, size;
        PlanCommand found = {};
        enum spec_type type;
        const char *text;
        PlanWalk walk;

        if (!plan->spec.bytes)
                return -EBADMSG;

        walk = plan_walk(plan, command);
        while (plan_walk_next(&walk, &type, &text, &size)) {
                n_arguments += type == SPEC_ARGUMENT;
                n_environment += type == SPEC_ENVIRONMENT;
        }

        found.arguments = calloc(n_arguments + 1, sizeof(char *));
        /* With room for the one that start.c adds. */
        found.environment = calloc(n_environment + 2, sizeof(char *));
        if (!found.arguments || !found.environment) {
                plan_command_done(&found);
                return -ENOMEM;
        }

        n_arguments = n_environment = 0;
        walk = plan_walk(plan, command);
        while (plan_walk_next(&walk, &type, &text, &size)) {
                uint32_t setup;

                if (type == SPEC_ARGUMENT)
                        found.arguments[n_arguments++] = (char *) text;
                else if (type == SPEC_ENVIRONMENT)
                        found.environment[n_environment++] = (char *) text;
                else if (type == SPEC_EXECUTABLE)
                        found.executable = text;
                else if (type == SPEC_COMMAND) {
                        memcpy(&setup, text, sizeof(setup));
                        found.setup = setup != 0;
                }
        }
        *ret = found;
        return 0;
}

void plan_command_done(PlanCommand *command) {
        free(command->arguments);
        free(command->environment);
        *command = (PlanCommand){};
}

const char *plan_get_path(Plan *plan) {
        static const char prefix[] = "PATH=";
        enum spec_type type;
        const void *text;
        size_t size;

        spec_rewind(&plan->spec);
        while (spec_next(&plan->spec, &type, &text, &size) > 0)
                if (type == SPEC_ENVIRONMENT && strncmp(text, prefix, strlen(prefix)) == 0)
                        return (const char *) text + strlen(prefix);
        return NULL;
}

int plan_next_announce(Plan *plan, uint32_t command, uint32_t *cookie, const char **ret_text, size_t *ret_size) {
        PlanWalk walk = plan_walk(plan, command);
        enum spec_type type;
        uint32_t n = 0;

        while (plan_walk_next(&walk, &type, ret_text, ret_size))
                if (type == SPEC_ANNOUNCE && n++ == *cookie) {
                        *cookie = n;
                        return 1;
                }
        return 0;
}
