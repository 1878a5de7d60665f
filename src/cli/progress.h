/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting for a runtime, with a line on the terminal (stderr) that says what it is doing meanwhile: the setup step, what it says of itself, and for how long.
 * The line comes when the wait is long enough to wonder, and is gone at the end. A service that is restarted meanwhile is waited for.
 */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "cli/cli.h"
#include "cli/client.h"

/* WaitRuntime until "ready" or "ended": the state, and the end report. -ETIMEDOUT when the time is up (CLIENT_TIMEOUT_NEVER: it never is); other negative
 * errno, with reterr. */
int progress_wait(const Cli *cli, sd_bus *bus, const Target *target, const char *until, uint64_t timeout_usec, sd_bus_error *reterr, char **ret_state,
                  json_t **ret_report);
