/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The runtime directory as a service leaves it: of runtimes that have ended there are records to be read later, and nothing else. */

/* What is in it that has no business there any more, as a path; NULL: nothing. */
char *records_find_leftover(const char *runtime_directory);
/* Removes a directory, and all that is in it. */
void records_remove_tree(const char *path);
