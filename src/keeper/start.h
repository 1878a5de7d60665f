/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keeper/keeper.h"

/* Makes the process of keeper->command and all that it needs. Negative errno, and at which stage. */
int start_process(Keeper *keeper, enum link_stage *ret_stage);
