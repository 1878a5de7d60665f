/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keeper/keeper.h"

/* Reads what the daemon has sent and does it. Closes the link when it has ended or made no sense. */
void requests_process(Keeper *keeper);
