/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The spec: what is built is walked again, and what isn't a spec is refused without being believed. */

#include "util/spec.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

static SpecBuilder *builder_new(void) {
        struct spec_header header = {.input = SPEC_INPUT_PIPE, .transport = SPEC_TRANSPORT_LINE, .leftover_usec = 5, .abandon_usec = 6};
        SpecBuilder *spec = spec_new(&header);

        g_assert_nonnull(spec);
        return spec;
}

/* A sealed memfd with any bytes. */
static int memfd_with(const void *bytes, size_t size) {
        int fd = memfd_create("spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        g_assert_cmpint(write(fd, bytes, size), ==, (gssize) size);
        g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), ==, 0);
        return fd;
}

static void test_what_is_built_is_walked(void) {
        static const char *const strings[] = {"", "a", "ab", "abc", "abcd", "abcde"};
        SpecBuilder *spec = builder_new();
        const uint64_t memory_high = UINT64_C(5) << 32;
        uint32_t setup = 1;
        enum spec_type type;
        const void *bytes;
        SpecView view;
        size_t size;
        int fd;

        spec_add(spec, SPEC_MEMORY_HIGH, &memory_high, sizeof(memory_high));
        spec_add(spec, SPEC_COMMAND, &setup, sizeof(setup));
        for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++)
                spec_add_string(spec, SPEC_ARGUMENT, strings[i]);
        fd = spec_to_memfd(spec);
        g_assert_cmpint(fd, >=, 0);
        spec_free(spec);

        g_assert_cmpint(spec_map(&view, fd), ==, 0);
        fd_close(fd);
        g_assert_cmpuint(view.header->version, ==, SPEC_VERSION);
        g_assert_cmpuint(view.header->transport, ==, SPEC_TRANSPORT_LINE);
        g_assert_cmpuint(view.header->abandon_usec, ==, 6);

        for (unsigned round = 0; round < 2; round++) {
                g_assert_cmpint(spec_next(&view, &type, &bytes, &size), ==, 1);
                g_assert_cmpint(type, ==, SPEC_MEMORY_HIGH);
                g_assert_cmpmem(bytes, size, &memory_high, sizeof(memory_high));
                g_assert_cmpint(spec_next(&view, &type, &bytes, &size), ==, 1);
                g_assert_cmpint(type, ==, SPEC_COMMAND);
                g_assert_cmpmem(bytes, size, &setup, sizeof(setup));
                for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++) {
                        g_assert_cmpint(spec_next(&view, &type, &bytes, &size), ==, 1);
                        g_assert_cmpint(type, ==, SPEC_ARGUMENT);
                        g_assert_cmpuint(size, ==, strlen(strings[i]));
                        g_assert_cmpstr(bytes, ==, strings[i]); /* a NUL follows */
                }
                g_assert_cmpint(spec_next(&view, &type, &bytes, &size), ==, 0);
                spec_rewind(&view);
        }
        spec_unmap(&view);
}

static void test_too_much_is_told_at_the_end(void) {
        g_autofree char *megabyte = g_strnfill(1024 * 1024, 'x');
        SpecBuilder *spec = builder_new();

        for (unsigned i = 0; i < 5; i++)
                spec_add_string(spec, SPEC_ARGUMENT, megabyte);
        g_assert_cmpint(spec_to_memfd(spec), ==, -E2BIG);
        spec_free(spec);
}

static void test_refuses_another_version(void) {
        struct spec_header header = {.version = SPEC_VERSION + 1};
        int fd = memfd_with(&header, sizeof(header));
        SpecView view;

        g_assert_cmpint(spec_map(&view, fd), ==, -EPROTONOSUPPORT);
        fd_close(fd);
}

static void test_refuses_what_is_no_spec(void) {
        SpecView view;
        int fd;

        fd = memfd_with("short", 5);
        g_assert_cmpint(spec_map(&view, fd), ==, -EINVAL);
        fd_close(fd);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        g_assert_cmpint(spec_map(&view, fd), ==, -EINVAL);
        fd_close(fd);
        fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        g_assert_cmpint(ftruncate(fd, 4096), ==, 0);
        g_assert_cmpint(spec_map(&view, fd), ==, -EINVAL);
        fd_close(fd);
}

static void walk(const void *bytes, size_t size, int expected) {
        int fd = memfd_with(bytes, size), r;
        enum spec_type type;
        const void *record;
        SpecView view;
        size_t n;

        g_assert_cmpint(spec_map(&view, fd), ==, 0);
        do
                r = spec_next(&view, &type, &record, &n);
        while (r > 0);
        if (expected != INT_MAX)
                g_assert_cmpint(r, ==, expected);
        spec_unmap(&view);
        fd_close(fd);
}

static void test_refuses_broken_records(void) {
        struct {
                struct spec_header header;
                struct spec_record record;
                char text[8];
        } spec;
#define BROKEN(type_, size_, ...)                                                                                                                              \
        spec = (typeof(spec)){{.version = SPEC_VERSION}, {type_, size_}, {__VA_ARGS__}};                                                                       \
        walk(&spec, sizeof(spec), -EBADMSG)

        BROKEN(0, 4, 'a', 'b', 'c', 'd');
        BROKEN(_SPEC_TYPE_MAX, 4, 'a', 'b', 'c', 'd');
        BROKEN(SPEC_ARGUMENT, 8, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
        BROKEN(SPEC_ARGUMENT, UINT32_MAX, 'a');
        BROKEN(SPEC_ARGUMENT, UINT32_MAX - 3, 'a');
        BROKEN(SPEC_ARGUMENT, 7, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
        BROKEN(SPEC_ARGUMENT, 7, 'a', 0, 'c', 'd', 'e', 'f', 'g', 0);
        BROKEN(SPEC_COMMAND, 5, 1);
        BROKEN(SPEC_MEMORY_HIGH, 4, 1);
        BROKEN(SPEC_MEMORY_HIGH, 7, 1);
        BROKEN(SPEC_ARGUMENT, 3, 'a', 'b', 'c', 0, 'x');
#undef BROKEN
}

static void test_any_bytes_are_survived(void) {
        for (unsigned round = 0; round < 2000; round++) {
                uint32_t words[64];

                for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
                        words[i] = (uint32_t) g_test_rand_int_range(0, round % 2 ? 12 : G_MAXINT32);
                words[0] = SPEC_VERSION;
                walk(words, sizeof(words) - (size_t) g_test_rand_int_range(0, 4), INT_MAX);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/spec/what-is-built-is-walked", test_what_is_built_is_walked);
        g_test_add_func("/spec/too-much-is-told-at-the-end", test_too_much_is_told_at_the_end);
        g_test_add_func("/spec/refuses-another-version", test_refuses_another_version);
        g_test_add_func("/spec/refuses-what-is-no-spec", test_refuses_what_is_no_spec);
        g_test_add_func("/spec/refuses-broken-records", test_refuses_broken_records);
        g_test_add_func("/spec/any-bytes-are-survived", test_any_bytes_are_survived);
        return g_test_run();
}
