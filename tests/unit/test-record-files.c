/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of the runtime directory: replaced whole, read as a stranger's; and the structs that records are made of, there and back. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/kind.h"
#include "core/record.h"
#include "core/report.h"
#include "core/start-options.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/ring.h"

typedef struct Fixture {
        char *path, *folder;
        RecordStore *store;
} Fixture;

static Fixture *fixture_new(void) {
        Fixture *fixture = g_new0(Fixture, 1);

        fixture->path = g_dir_make_tmp("rm-XXXXXX", NULL);
        g_assert_cmpint(record_store_open(fixture->path, &fixture->store), ==, 0);
        g_assert_cmpint(record_store_add(fixture->store, "a", &fixture->folder), ==, 0);
        return fixture;
}

static void fixture_free(Fixture *fixture) {
        g_autofree char *beside = g_build_filename(fixture->path, RECORD_SUBSCRIBERS, NULL);

        record_store_remove(fixture->store, "a");
        record_store_free(fixture->store);
        (void) g_unlink(beside);
        g_assert_cmpint(g_rmdir(fixture->path), ==, 0);
        g_free(fixture->path);
        g_free(fixture->folder);
        g_free(fixture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void save_number(Fixture *fixture, const char *id, const char *name, int number, int expected) {
        json_t *record = json_pack("{s:i}", "number", number);

        g_assert_cmpint(record_store_save(fixture->store, id, name, record), ==, expected);
        json_decref(record);
}

static void assert_number(Fixture *fixture, const char *id, const char *name, int number) {
        json_t *record;

        g_assert_cmpint(record_store_load(fixture->store, id, name, &record), ==, 0);
        g_assert_cmpint(json_integer_value(json_object_get(record, "number")), ==, number);
        json_decref(record);
}

static void assert_load_fails(Fixture *fixture, int expected) {
        json_t *record = NULL;

        g_assert_cmpint(record_store_load(fixture->store, "a", RECORD_FILE, &record), ==, expected);
        g_assert_null(record);
}

static void test_replaced(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = g_build_filename(fixture->folder, RECORD_FILE, NULL);
        g_autoptr(GDir) directory = NULL;
        GStatBuf st;

        save_number(fixture, "a", RECORD_FILE, 1, 0);
        save_number(fixture, "a", RECORD_FILE, 2, 0);
        assert_number(fixture, "a", RECORD_FILE, 2);
        save_number(fixture, NULL, RECORD_SUBSCRIBERS, 3, 0);
        assert_number(fixture, NULL, RECORD_SUBSCRIBERS, 3);
        save_number(fixture, "b", RECORD_FILE, 1, -ENOENT);
        /* For its user alone, and nothing is left of the writing. */
        g_assert_cmpint(g_stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
        directory = g_dir_open(fixture->folder, 0, NULL);
        g_assert_cmpstr(g_dir_read_name(directory), ==, RECORD_FILE);
        g_assert_null(g_dir_read_name(directory));
}

/* A daemon that was killed while it wrote has left half a file: beside the whole one. */
static void test_half_written(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = g_build_filename(fixture->folder, "." RECORD_FILE ".new", NULL);

        save_number(fixture, "a", RECORD_FILE, 1, 0);
        g_assert_true(g_file_set_contents(path, "{\"number\":", -1, NULL));
        assert_number(fixture, "a", RECORD_FILE, 1);
        save_number(fixture, "a", RECORD_FILE, 2, 0);
        assert_number(fixture, "a", RECORD_FILE, 2);
        g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_not_a_record(gconstpointer data) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = g_build_filename(fixture->folder, RECORD_FILE, NULL), *aside = g_strconcat(path, ".bad", NULL);

        g_assert_true(g_file_set_contents(path, data, -1, NULL));
        assert_load_fails(fixture, -EBADMSG);
        record_store_set_aside(fixture->store, "a", RECORD_FILE);
        assert_load_fails(fixture, -ENOENT);
        g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
}

static void test_not_a_file(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = g_build_filename(fixture->folder, RECORD_FILE, NULL);

        assert_load_fails(fixture, -ENOENT);
        g_assert_cmpint(symlink("/etc/passwd", path), ==, 0);
        assert_load_fails(fixture, -ELOOP);
        /* Replaced, and not followed. */
        save_number(fixture, "a", RECORD_FILE, 1, 0);
        assert_number(fixture, "a", RECORD_FILE, 1);
        g_assert_cmpint(g_unlink(path), ==, 0);
        g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
        assert_load_fails(fixture, -EBADMSG);
        g_assert_cmpint(g_rmdir(path), ==, 0);
        /* Nobody writes to it: opening it must not wait. */
        g_assert_cmpint(mkfifo(path, 0600), ==, 0);
        assert_load_fails(fixture, -EBADMSG);
}

static void test_list(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_auto(GStrv) ids = NULL;

        save_number(fixture, NULL, RECORD_SUBSCRIBERS, 1, 0);
        g_assert_cmpint(record_store_list(fixture->store, &ids), ==, 0);
        g_assert_cmpuint(g_strv_length(ids), ==, 1);
        g_assert_cmpstr(ids[0], ==, "a");
}

static void test_tidied(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *other = g_build_filename(fixture->folder, "other", NULL), *again = NULL;

        save_number(fixture, "a", RECORD_FILE, 1, 0);
        save_number(fixture, "a", RECORD_CLIENTS, 2, 0);
        g_assert_true(g_file_set_contents(other, "x", 1, NULL));
        g_assert_cmpint(record_store_renew(fixture->store, "a", &again), ==, 0);
        g_assert_cmpstr(again, ==, fixture->folder);
        g_assert_false(g_file_test(other, G_FILE_TEST_EXISTS));
        assert_number(fixture, "a", RECORD_FILE, 1);
        assert_number(fixture, "a", RECORD_CLIENTS, 2);
}

static void test_ring(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = g_build_filename(fixture->folder, RECORD_RING, NULL);
        _cleanup_close_ int ring_fd = ring_create(LIMIT_RING_DEFAULT, 41), copy_fd = -EBADF;
        RingCursor cursor = ring_cursor_after(0);
        char text[RING_LINE_MAX];
        struct ring_record record;
        RingWriter writer;
        RingReader reader;
        struct stat st;

        g_assert_cmpint(record_store_load_ring(fixture->store, "a", &copy_fd), ==, -ENOENT);
        g_assert_cmpint(ring_writer_init(&writer, ring_fd), ==, 0);
        ring_append(&writer, RING_STREAM_STDOUT, 0, 5, "one", 3);
        ring_append(&writer, RING_STREAM_STDERR, RING_PARTIAL, 6, "two", 3);
        g_assert_cmpint(record_store_save_ring(fixture->store, "a", ring_fd), ==, 0);
        /* Holes stay holes. */
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpint(st.st_size, >, LIMIT_RING_DEFAULT);
        g_assert_cmpint(st.st_blocks * 512, <, LIMIT_RING_DEFAULT / 4);

        g_assert_cmpint(record_store_load_ring(fixture->store, "a", &copy_fd), ==, 0);
        g_assert_cmpint(ring_reader_init(&reader, copy_fd), ==, 0);
        g_assert_cmpuint(ring_reader_last(&reader), ==, 43);
        g_assert_cmpint(ring_read(&reader, &cursor, &record, text), ==, 1);
        g_assert_cmpuint(record.number, ==, 42);
        g_assert_cmpmem(text, record.size, "one", 3);
        g_assert_cmpint(ring_read(&reader, &cursor, &record, text), ==, 1);
        g_assert_cmpuint(record.flags, ==, RING_PARTIAL);
        g_assert_cmpint(ring_read(&reader, &cursor, &record, text), ==, 0);
        ring_reader_done(&reader);
        ring_writer_done(&writer);

        /* One that was cut short isn't one. */
        copy_fd = fd_close(copy_fd);
        g_assert_cmpint(truncate(path, 100), ==, 0);
        if (record_store_load_ring(fixture->store, "a", &copy_fd) >= 0)
                g_assert_cmpint(ring_reader_init(&reader, copy_fd), <, 0);
}

/* The folder's path may be longer than an address. */
static void test_connect(void) {
        g_autoptr(Fixture) fixture = fixture_new();
        g_autofree char *path = g_build_filename(fixture->folder, RM_KEEPER_SOCKET, NULL);
        _cleanup_close_ int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd = -EBADF;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        pid_t pid = 0;

        g_assert_cmpint(record_store_connect(fixture->store, "a", getuid(), &pid, &fd), ==, -ENOENT);
        g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
        g_assert_cmpint(bind(listener, (struct sockaddr *) &address, sizeof(address)), ==, 0);
        g_assert_cmpint(record_store_connect(fixture->store, "a", getuid(), &pid, &fd), ==, -ECONNREFUSED);
        g_assert_cmpint(listen(listener, 1), ==, 0);
        g_assert_cmpint(record_store_connect(fixture->store, "a", getuid(), &pid, &fd), ==, 0);
        g_assert_cmpint(pid, ==, getpid());
}

static StartOptions *options_example(void) {
        StartOptions *options = start_options_new(1000);

        options->id = g_strdup("a");
        options->description = g_strdup("Größe – 大小");
        options->labels = g_strdupv((char *[]){(char *) "app", (char *) "test", NULL});
        options->command = g_strdupv((char *[]){(char *) "sh", (char *) "-c", (char *) "exit 0", NULL});
        options->environment = g_strdupv((char *[]){(char *) "A=1\n2", NULL});
        options->input_pipe = true;
        options->owner = OWNER_REQUIRED;
        options->journal = true;
        options->limits.value[LIMIT_MEMORY_MAX] = 1 << 30;
        g_hash_table_insert(options->values, g_strdup("ProjectPath"), kind_value_new_path("/tmp"));
        g_hash_table_insert(options->values, g_strdup("Words"), kind_value_new_strings((const char *const[]){"x", "y", NULL}));
        g_hash_table_insert(options->values, g_strdup("Flag"), kind_value_new_boolean(true));
        g_hash_table_insert(options->values, g_strdup("Number"), kind_value_new_integer(-7));
        g_hash_table_insert(options->values, g_strdup("Size"), kind_value_new_size(UINT64_MAX));
        start_options_seal(options);
        return options;
}

static void test_options(void) {
        g_autoptr(StartOptions) options = options_example(), copy = NULL;
        g_autofree char *fingerprint = g_strdup(options->fingerprint);
        json_t *record;

        g_assert_cmpint(start_options_to_record(options, &record), ==, 0);
        g_assert_cmpint(start_options_from_record(record, &copy), ==, 0);
        json_decref(record);
        g_assert_cmpstr(copy->fingerprint, ==, fingerprint);
        /* All that the fingerprint is made of has come back. */
        start_options_seal(copy);
        g_assert_cmpstr(copy->fingerprint, ==, fingerprint);
        g_assert_cmpuint(copy->uid, ==, 1000);
}

static void change(json_t *record, const char *what) {
        if (strcmp(what, "missing") == 0)
                g_assert_cmpint(json_object_del(record, "owner"), ==, 0);
        else if (strcmp(what, "mistyped") == 0)
                g_assert_cmpint(json_object_set_new(record, "input_pipe", json_integer(1)), ==, 0);
        else if (strcmp(what, "unknown-name") == 0)
                g_assert_cmpint(json_object_set_new(record, "owner", json_string("somebody")), ==, 0);
        else if (strcmp(what, "left-over") == 0)
                g_assert_cmpint(json_object_set_new(record, "new", json_null()), ==, 0);
        else if (strcmp(what, "not-a-list") == 0)
                g_assert_cmpint(json_object_set_new(record, "command", json_string("sh")), ==, 0);
        else if (strcmp(what, "half-a-label") == 0)
                g_assert_cmpint(json_object_set_new(record, "labels", json_pack("[s]", "app")), ==, 0);
        else if (strcmp(what, "value") == 0)
                g_assert_cmpint(json_object_set_new(record, "values", json_pack("{s:[s,i]}", "x", "string", 5)), ==, 0);
        else if (strcmp(what, "value-and-more") == 0)
                g_assert_cmpint(json_object_set_new(record, "values", json_pack("{s:[s,s,s]}", "x", "string", "y", "z")), ==, 0);
        else
                g_assert_not_reached();
}

static void test_options_refused(gconstpointer data) {
        g_autoptr(StartOptions) options = options_example(), copy = NULL;
        json_t *record;

        g_assert_cmpint(start_options_to_record(options, &record), ==, 0);
        change(record, data);
        g_assert_cmpint(start_options_from_record(record, &copy), ==, -EBADMSG);
        g_assert_null(copy);
        json_decref(record);
}

static void test_report(void) {
        g_autoptr(Report) report = report_new(), copy = report_new();
        json_t *record;

        report->result = RESULT_OOM_KILL;
        report->reason = REASON_OOM_KILL;
        report->message = g_strdup("Out.");
        report->phase = RUNTIME_READY;
        report->requested_by = REQUESTED_BY_NOBODY;
        report->stop_stage = STOP_STAGE_UNIT;
        report->memory_peak = UINT64_MAX;
        report->cpu_usage_nsec = 5;
        g_assert_cmpint(report_to_record(report, &record), ==, 0);
        g_assert_cmpint(report_from_record(copy, record), ==, 0);
        g_assert_cmpint(copy->result, ==, RESULT_OOM_KILL);
        g_assert_cmpint(copy->requested_by, ==, REQUESTED_BY_NOBODY);
        g_assert_cmpint(copy->stop_stage, ==, STOP_STAGE_UNIT);
        g_assert_cmpuint(copy->memory_peak, ==, UINT64_MAX);
        g_assert_cmpuint(copy->cpu_usage_nsec, ==, 5);
        g_assert_cmpstr(copy->message, ==, "Out.");
        g_assert_null(copy->step);
        /* It has been taken apart, so it isn't one any more. */
        g_assert_cmpint(report_from_record(copy, record), ==, -EBADMSG);
        json_decref(record);
}

int main(int argc, char *argv[]) {
        static const char *const wrong[] = {"missing", "mistyped", "unknown-name", "left-over", "not-a-list", "half-a-label", "value", "value-and-more"};
        static const struct {
                const char *name, *text;
        } bad[] = {{"empty", ""}, {"half", "{\"number\":"}, {"a-list", "[]"}, {"garbage", "\x01\xff garbage"}, {"twice", "{\"a\":1,\"a\":2}"}};

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/record-files/replaced", test_replaced);
        g_test_add_func("/record-files/half-written", test_half_written);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                g_autofree char *path = g_strdup_printf("/record-files/not-a-record/%s", bad[i].name);

                g_test_add_data_func(path, bad[i].text, test_not_a_record);
        }
        g_test_add_func("/record-files/not-a-file", test_not_a_file);
        g_test_add_func("/record-files/list", test_list);
        g_test_add_func("/record-files/tidied", test_tidied);
        g_test_add_func("/record-files/ring", test_ring);
        g_test_add_func("/record-files/connect", test_connect);
        g_test_add_func("/record-files/options", test_options);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                g_autofree char *path = g_strdup_printf("/record-files/options/refused/%s", wrong[i]);

                g_test_add_data_func(path, wrong[i], test_options_refused);
        }
        g_test_add_func("/record-files/report", test_report);
        return g_test_run();
}
