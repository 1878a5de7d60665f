/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One request of HTTP on standard input, and its answer on standard output: for a unit that is started anew for each connection. */

#include <stdbool.h>

/* The status to answer with: 200 if it is GET or HEAD of that path; ret_is_head tells which. 0: there is nobody to answer. */
int http_read_request(int fd, const char *path, bool *ret_is_head);

/* Text that says what a status means; "" if none has to. */
const char *http_status_text(int status);

/* Answers and returns an exit code. */
int http_answer(int status, const char *content_type, const char *body, bool is_head);
