/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether Line= of a handshake is a regular expression that may be used. Internal to the kind rooms.
 * -EINVAL with a reason. */
int kind_line_check(const char *expression, char **ret_reason);
