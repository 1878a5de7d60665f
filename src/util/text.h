/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bytes of unknown origin made into text that can be shown: on the bus, in a unit's description, in a log, in an error message.
 *
 * Runtimes print what they like. D-Bus takes only UTF-8 without NUL, and sd-bus refuses Unicode's noncharacters too; systemd writes a
 * description into a unit file, where a newline begins the next directive; a terminal acts on control characters. Each function is
 * made for one of these destinations, takes any bytes at all, and returns malloc()ed text that is valid there, NULL when there is no
 * memory. What cannot be shown becomes U+FFFD, one for each maximal subpart of an ill-formed sequence, as the Unicode standard
 * recommends, so that everybody's decoders agree on how many there are. */

#include "util/macro.h"

/* UTF-8 that every D-Bus library takes: NUL, ill-formed sequences and noncharacters are replaced by U+FFFD, all else is kept.
 * ret_lossy (may be NULL): whether anything was. */
char *text_for_bus(const void *bytes, size_t size, bool *ret_lossy);

/* One line without control characters (each becomes a space), no spaces at its ends, at most max bytes, whole characters.
 * For all that reaches unit descriptions and logs. */
char *text_one_line(const char *text, size_t max);

/* The bytes between double quotes, for an error message: printable, one line, and nothing lost: what isn't printable is escaped
 * (\n, \", \xNN). Of more than max bytes only the first, in whole characters, with … behind the closing quote. */
char *text_quote(const void *bytes, size_t size, size_t max);
/* The same for a name that a client gave, of which the first 64 bytes are enough. */
char *text_quote_name(const char *name);

/* How many of the bytes can be cut off here without cutting a valid character in two: size, or up to 3 less. */
size_t text_utf8_whole(const void *bytes, size_t size);
