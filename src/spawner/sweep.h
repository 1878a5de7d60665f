/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Scopes that a spawner before us has left empty, stopped. */

#include "spawner/units.h"

typedef struct Sweep Sweep;
typedef void (*SweepFunc)(void *userdata);

/* done is called once, when none is left or systemd has had its time; perhaps before this returns, but not after sweep_free(). context is borrowed. */
int sweep_new(const UnitsContext *context, SweepFunc done, void *userdata, Sweep **ret);
Sweep *sweep_free(Sweep *sweep);
