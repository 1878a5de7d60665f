/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As little of HTTP/1.1 as a scraper needs: one request, without a body, then the end. What is longer or slower than a scraper's is refused. */

#include "cli/http-request.h"

#include <glib.h>
#include <poll.h>
#include <string.h>

#include "cli/cli.h"

#define REQUEST_MAX 8192U
#define REQUEST_TIME_USEC (5 * G_USEC_PER_SEC)

/* All up to the empty line. 0, or a status. */
static int read_head(int fd, GString *head) {
        gint64 until = g_get_monotonic_time() + REQUEST_TIME_USEC;

        while (!strstr(head->str, "\r\n\r\n") && !strstr(head->str, "\n\n")) {
                gint64 left = until - g_get_monotonic_time();
                struct pollfd pollfd = {.fd = fd, .events = POLLIN};
                char buffer[1024];
                ssize_t n;

                if (head->len >= REQUEST_MAX)
                        return 431;
                if (left <= 0 || poll(&pollfd, 1, (int) (left / 1000) + 1) <= 0)
                        return 408;
                n = read(fd, buffer, MIN(sizeof(buffer), REQUEST_MAX - head->len));
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n <= 0)
                        return 400;
                if (memchr(buffer, '\0', (size_t) n))
                        return 400;
                g_string_append_len(head, buffer, n);
        }
        return 0;
}

int http_read_request(int fd, const char *path, bool *ret_is_head) {
        g_autoptr(GString) head = g_string_new(NULL);
        g_auto(GStrv) words = NULL;
        int status;

        *ret_is_head = false;
        status = read_head(fd, head);
        if (status == 400 && head->len == 0)
                return 0;
        if (status != 0)
                return status;

        g_string_truncate(head, strcspn(head->str, "\r\n"));
        words = g_strsplit(head->str, " ", -1);
        if (g_strv_length(words) != 3 || !g_str_has_prefix(words[2], "HTTP/1."))
                return 400;
        *ret_is_head = strcmp(words[0], "HEAD") == 0;
        if (!*ret_is_head && strcmp(words[0], "GET") != 0)
                return 405;
        words[1][strcspn(words[1], "?")] = '\0';
        return strcmp(words[1], path) == 0 ? 200 : 404;
}

const char *http_status_text(int status) {
        switch (status) {
        case 200:
                return "OK";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 408:
                return "Request Timeout";
        case 431:
                return "Request Header Fields Too Large";
        case 503:
                return "Service Unavailable";
        default:
                return "Bad Request";
        }
}

int http_answer(int status, const char *content_type, const char *body, bool is_head) {
        printf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n%s", status, http_status_text(status), content_type,
               strlen(body), status == 405 ? "Allow: GET, HEAD\r\n" : "", is_head ? "" : body);
        return fflush(stdout) == 0 && status == 200 ? EXIT_OK : EXIT_ERROR;
}
