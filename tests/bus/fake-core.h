/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager and its runtimes as a test plays them, in the place of the real ones: nothing runs, whatever is told to the bus is what the test says. For
 * tests of what the bus makes of it. */

#include "core/manager.h"

Manager *fake_manager_new(const ManagerHandler *handler, void *userdata, const QuotaLimits *limits);
/* What it was given to save it keeps for the next. */
Manager *fake_manager_free(Manager *manager);
/* As if it had been saved otherwise. */
void fake_manager_change_records(const char *from, const char *to);
/* Nothing is saved any more. */
void fake_manager_forget_records(void);

/* Answers to questions who a user is wait until they are let go. */
void fake_manager_hold_users(Manager *manager);
unsigned fake_manager_get_n_held(const Manager *manager);
void fake_manager_let_users_go(Manager *manager);

/* Of uid, started by starter_uid. Before manager_load() it is one that was there before. */
Runtime *fake_runtime_add(Manager *manager, uid_t uid, uid_t starter_uid, const char *id);
void fake_runtime_remove(Runtime *runtime);
void fake_runtime_set_state(Runtime *runtime, RuntimeState state);
void fake_runtime_print(Runtime *runtime, const char *text);
/* Nobody is told of it. */
void fake_runtime_print_unheard(Runtime *runtime, const char *text);
/* So many times from now nobody can ask to be told. */
void fake_runtime_refuse_watches(Runtime *runtime, unsigned n);
/* One line more, of which nobody is told but who watches: just before the service looks at the output for that time from now (1: the next). */
void fake_runtime_print_at_look(Runtime *runtime, unsigned look);
bool fake_runtime_has_printed(const Runtime *runtime);
void fake_runtime_warn(Runtime *runtime, const char *text);
/* By whom it was stopped last; (uid_t) -1: by nobody. */
uid_t fake_runtime_get_stopped_by(const Runtime *runtime);

/* In its answer to OpenOutput, which is always an error. */
#define FAKE_OUTPUT_OPEN "no pipe here"

/* The users there are. The message bus must know them too: these are on every system, whatever their names are there. */
#define ALICE 1U
#define BOB 2U
/* One whom the manager doesn't know. */
#define STRANGER 3U
