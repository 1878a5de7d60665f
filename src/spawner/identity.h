/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* In a forked child: from root to a user, with no way back. */

#include "spawner/account.h"

/* Async-signal-safe. Negative errno: the child must not go on. */
int identity_assume(const Account *account);
