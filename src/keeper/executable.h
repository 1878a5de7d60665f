/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Finds a program in the directories of path (NULL: the usual ones), by the rules of kind_find_executable(): -ENOENT, or -EACCES if there are only such as we
 * may not execute. */
int executable_find(const char *name, const char *path, char **ret);
