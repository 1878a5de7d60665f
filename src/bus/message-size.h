/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <systemd/sd-bus.h>

/* About how many bytes a message's contents take, for what is held of messages needs a bound; stops counting at max, and returns it. The message is
 * rewound. */
size_t message_size(sd_bus_message *message, size_t max);
