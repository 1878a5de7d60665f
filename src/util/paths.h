/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the project's own files are: beside this program if it runs from a build folder, else where they were installed. */

/* New strings; NULL if there is no memory. */
char *path_of_keeper(void);
char *path_of_kinds(void);
/* What bindtextdomain() takes. */
char *path_of_locales(void);
