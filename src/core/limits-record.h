/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The resource limits of one runtime, in its record. */

#include <jansson.h>

#include "core/limits-set.h"

/* As a JSON object, and back: -EBADMSG. */
json_t *limit_set_to_record(const LimitSet *set);
int limit_set_from_record(const json_t *object, LimitSet *set);
