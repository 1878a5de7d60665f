/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Internal to the kind rooms; KindValue itself is in kind.h. */

#include <stdbool.h>

#include "core/kind.h"

/* Deep equality. */
bool kind_value_equal(const KindValue *a, const KindValue *b);
