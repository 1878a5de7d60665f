/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Single settings of a kind file. Internal to the kind rooms. */

#include "core/kind.h"

/* Reads a setting into the field, whose type is named behind each. `kind` is what has been read so far.
 * -EINVAL with a reason. */
typedef int KindSettingFunction(const Kind *kind, const char *text, void *field, char **ret_reason);

KindSettingFunction kind_setting_text;           /* char * */
KindSettingFunction kind_setting_executable;     /* char * */
KindSettingFunction kind_setting_exec;           /* KindTemplate * */
KindSettingFunction kind_setting_environment;    /* KindTemplate * */
KindSettingFunction kind_setting_directory;      /* KindTemplate * */
KindSettingFunction kind_setting_boolean;        /* bool */
KindSettingFunction kind_setting_option_type;    /* KindOptionType */
KindSettingFunction kind_setting_handshake_type; /* KindHandshakeType */
KindSettingFunction kind_setting_transport;      /* KindTransport */
KindSettingFunction kind_setting_line;           /* char * */
KindSettingFunction kind_setting_timeout;        /* uint64_t, µs; never 0 or infinity */
KindSettingFunction kind_setting_time;           /* uint64_t, µs; infinity is KIND_UNSET */
KindSettingFunction kind_setting_size;           /* uint64_t; infinity is KIND_UNSET */
KindSettingFunction kind_setting_quota;          /* uint64_t, µs per s */
KindSettingFunction kind_setting_weight;         /* uint64_t */
KindSettingFunction kind_setting_tasks;          /* uint64_t; infinity is KIND_UNSET */
KindSettingFunction kind_setting_signal;         /* int */
KindSettingFunction kind_setting_message;        /* char * */
