/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/spec.h"

/* The spec as the keeper uses it. Everything points into the mapped spec. */
typedef struct Plan {
        SpecView spec;
        uint32_t n_commands;
        const char *directory;
        const char *working_directory; /* NULL: / */
        const char *line;              /* NULL: none */
        uint64_t memory_high;          /* UINT64_MAX: none */
        const char *journal_fields;    /* NULL: none */
        const char *journal_socket;    /* with journal_fields */
        const char *required_program;  /* NULL: none */
        const char *required_file;     /* NULL: none */
} Plan;

/* One command, ready for execve(). Owns the two arrays, not the strings. */
typedef struct PlanCommand {
        bool setup;
        const char *executable;
        char **arguments;
        char **environment;
} PlanCommand;

/* Negative errno: not a spec, or one that doesn't add up. */
int plan_load(Plan *ret, int spec_fd);
void plan_unload(Plan *plan);

int plan_get_command(Plan *plan, uint32_t command, PlanCommand *ret);
void plan_command_done(PlanCommand *command);

/* PATH of the environment that all commands get, NULL if it has none. */
const char *plan_get_path(Plan *plan);

/* Walks the lines to put into the ring before the command runs; *cookie begins as 0. 1 with a line, 0 behind the last. */
int plan_next_announce(Plan *plan, uint32_t command, uint32_t *cookie, const char **ret_text, size_t *ret_size);
