/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The installed service of the system bus, in a booted container (tests/with-system) with users of its own: alice and bob, and whoever a case makes.
 *
 * A test program is a table of cases. Each case is run in a process of its own, so that one that fails leaves the others alone, with new agents of the
 * users; after it the services must be the same processes as before (unless the case said otherwise), and no runtime, unit, process or folder of one
 * may be left. What a case writes below /etc goes with system_write_file(). */

#include "as-user.h"

typedef struct System {
        AsUser *alice;
        AsUser *bob;
        GPtrArray *users; /* all, to be freed */
} System;

typedef struct SystemCase {
        const char *name; /* of the behaviour, in words */
        void (*run)(System *s, gconstpointer data);
        gconstpointer data;
} SystemCase;

/* What the program is about; needs_service: skips while the service isn't installed. */
int system_main(int argc, char *argv[], const char *name, gboolean needs_service, const SystemCase *cases, size_t n_cases);

/* One more agent; the user is made if there is none of that name. */
AsUser *system_new_user(System *s, const char *name);
/* root, not the test itself. */
AsUser *system_new_root(System *s);

/* Commands of root. system_run: must exit with 0. What it printed. */
int system_shell(const char *script, char **ret_output);
char *system_run(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Until it prints what is expected (NULL: anything), tried again and again: for what nobody announces. */
void system_wait_output(const char *script, const char *expected);

/* A file of root's, gone after the case. */
void system_write_file(const char *path, const char *text);
/* Rules of polkit, JavaScript: the body of a function(action, subject). Each check is logged by polkit first: system_count_checks(). */
void system_set_polkit_rule(const char *body);
/* How often polkit was asked for an action since system_set_polkit_rule(); NULL: for any of this service. */
guint system_count_checks(const char *action);
/* A drop-in of the service's configuration, and both services restarted. */
void system_configure(const char *text);
/* systemctl restart of both; the case may say so itself with system_expect_restart(). */
void system_restart_services(void);
/* After the case the services may be other processes. */
void system_expect_restart(void);

/* What the two services have logged since the beginning of the case. */
char *system_journal(void);
/* systemctl show -P */
char *system_unit_property(const char *unit, const char *property);
guint system_service_pid(const char *unit);
/* Of a runtime of this user with this id. */
char *system_path_of(AsUser *user, const char *id);
char *system_name_of(AsUser *user, const char *id);
/* The keeper of a runtime. */
pid_t system_keeper_of(AsUser *user, const char *path);
