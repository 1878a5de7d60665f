/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an administrator may set: runtime-manager.conf, and drop-ins in runtime-manager.conf.d/. A mistake in them costs its own line and nothing else. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct Config {
        /* [Quota], of one uid unless it says otherwise */
        uint64_t runtimes_per_user;
        uint64_t runtimes; /* of all */
        uint64_t ended_per_user;
        uint64_t starts_per_second;
        uint64_t starts_burst;
        uint64_t ring_bytes_per_user;
        uint64_t calls_per_user; /* that wait for their answer */
        uint64_t pipes_per_user; /* fds that were sent to clients, and not taken yet */
        uint64_t arguments_size_max;
        uint64_t subscribers_per_user;

        /* [Spawner] */
        bool allow_root;
        uint64_t minimum_uid;
} Config;

/* Where they are looked for, lowest priority first, NULL at the end. */
const char *const *config_directories(void);

/* Reads them; what isn't set, or not well, has its default. *ret_problems: sentences with file and line, in the order of reading, NULL at the end. -EMFILE,
 * -ENFILE, -ENOMEM: it could not be found out what is set, so defaults would be wrong. */
int config_load(const char *const *directories, Config **ret, char ***ret_problems);

Config *config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

typedef enum ConfigType {
        CONFIG_BOOLEAN, /* yes no true false on off 1 0 */
        CONFIG_NUMBER,  /* decimal */
        CONFIG_SIZE,    /* a number, or one with K, M, G or T behind it */
} ConfigType;

typedef struct ConfigSetting {
        const char *section, *key;
        ConfigType type;
        uint64_t min, max, default_value;
        size_t offset; /* in Config: a bool or a uint64_t */
} ConfigSetting;

/* Every setting there is, by section; one without a key at the end. */
const ConfigSetting *config_settings(void);
