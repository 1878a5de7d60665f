/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration: what is read from which file, what overrides what, and what a mistake costs. */

#include "core/config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/macro.h"

/* Two directories, lower priority first, and one that isn't there. */
typedef struct Fixture {
        char *root, *low, *high, *none;
        Config *config;
        char **problems;
} Fixture;

static void remove_tree(const char *path) {
        g_autoptr(GDir) directory = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        g_assert_cmpint(g_remove(path), ==, 0);
}

static void setup(Fixture *f, const void *data) {
        f->root = g_dir_make_tmp("test-config-XXXXXX", NULL);
        g_assert_nonnull(f->root);
        f->low = g_build_filename(f->root, "low", NULL);
        f->high = g_build_filename(f->root, "high", NULL);
        f->none = g_build_filename(f->root, "none", NULL);
        g_assert_cmpint(g_mkdir(f->low, 0755), ==, 0);
        g_assert_cmpint(g_mkdir(f->high, 0755), ==, 0);
}

static void forget(Fixture *f) {
        g_clear_pointer(&f->config, config_free);
        g_clear_pointer(&f->problems, g_strfreev);
}

static void teardown(Fixture *f, const void *data) {
        forget(f);
        remove_tree(f->root);
        g_free(f->root);
        g_free(f->low);
        g_free(f->high);
        g_free(f->none);
}

static void write_bytes(const char *directory, const char *name, const char *bytes, size_t size) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *parent = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, bytes, (gssize) size, NULL));
}

static void write_file(const char *directory, const char *name, const char *text) {
        write_bytes(directory, name, text, strlen(text));
}

static void load(Fixture *f) {
        const char *directories[] = {f->low, f->none, f->high, NULL};

        forget(f);
        g_assert_cmpint(config_load(directories, &f->config, &f->problems), ==, 0);
}

static void load_text(Fixture *f, const char *text) {
        write_file(f->low, "runtime-manager.conf", text);
        load(f);
}

/* The problems, each with the way to it cut off, a line each. */
static char *problems_of(const Fixture *f) {
        GString *all = g_string_new(NULL);

        for (char **problem = f->problems; *problem; problem++) {
                g_assert_true(g_str_has_prefix(*problem, f->root));
                g_assert_null(strchr(*problem, '\n'));
                g_string_append_printf(all, "%s\n", *problem + strlen(f->root) + 1);
        }
        return g_string_free(all, FALSE);
}

#define assert_problems(fixture, expected)                                                                                                                     \
        do {                                                                                                                                                   \
                g_autofree char *_problems = problems_of(fixture);                                                                                             \
                g_assert_cmpstr(_problems, ==, expected);                                                                                                      \
        } while (0)

static uint64_t value_of(const Config *config, const ConfigSetting *setting) {
        const void *place = (const char *) config + setting->offset;

        return setting->type == CONFIG_BOOLEAN ? *(const bool *) place : *(const uint64_t *) place;
}

static void assert_defaults(const Fixture *f) {
        for (const ConfigSetting *setting = config_settings(); setting->key; setting++)
                g_assert_cmpuint(value_of(f->config, setting), ==, setting->default_value);
}

static void test_defaults_without_files(Fixture *f, const void *data) {
        load(f);
        assert_problems(f, "");
        assert_defaults(f);
        g_assert_cmpuint(f->config->runtimes_per_user, ==, 100);
        g_assert_cmpuint(f->config->ring_bytes_per_user, ==, UINT64_C(1) << 30);
        g_assert_false(f->config->allow_root);
        g_assert_cmpuint(f->config->minimum_uid, ==, 1000);
}

static void test_the_table_is_sound(Fixture *f, const void *data) {
        size_t n = 0;

        for (const ConfigSetting *setting = config_settings(); setting->key; setting++, n++) {
                g_assert_cmpuint(setting->min, <=, setting->default_value);
                g_assert_cmpuint(setting->default_value, <=, setting->max);
                for (const ConfigSetting *other = config_settings(); other != setting; other++)
                        g_assert_cmpuint(other->offset, !=, setting->offset);
        }
        g_assert_cmpuint(n, ==, 12);
}

/* The file that is installed says what the defaults are, all of them, and each in its section. */
static void test_the_installed_file_names_the_defaults(Fixture *f, const void *data) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "data", "config", "runtime-manager.conf", NULL);
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        GString *active = g_string_new(NULL);
        size_t n = 0;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        load_text(f, text);
        assert_problems(f, "");
        assert_defaults(f);

        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                bool setting = (*line)[0] == '#' && g_ascii_isupper((*line)[1]) && strchr(*line, '=');

                n += setting;
                g_string_append_printf(active, "%s\n", *line + setting);
        }
        load_text(f, active->str);
        g_string_free(active, TRUE);
        assert_problems(f, "");
        assert_defaults(f);
        for (const ConfigSetting *setting = config_settings(); setting->key; setting++) {
                g_autofree char *start = g_strdup_printf("\n#%s=", setting->key);

                g_assert_nonnull(strstr(text, start));
                n--;
        }
        g_assert_cmpuint(n, ==, 0);
}

static void test_every_setting_can_be_set(Fixture *f, const void *data) {
        for (const ConfigSetting *setting = config_settings(); setting->key; setting++) {
                uint64_t value = setting->default_value == setting->max ? setting->min : setting->max;
                g_autofree char *text = g_strdup_printf("[%s]\n%s=%" G_GUINT64_FORMAT "\n", setting->section, setting->key, value);

                load_text(f, text);
                assert_problems(f, "");
                for (const ConfigSetting *other = config_settings(); other->key; other++)
                        g_assert_cmpuint(value_of(f->config, other), ==, other == setting ? value : other->default_value);
        }
}

static void test_values(Fixture *f, const void *data) {
        static const struct {
                const char *text;
                uint64_t value;
        } sizes[] = {{"65536", 65536}, {"64K", 65536}, {"3M", 3 << 20}, {"2G", UINT64_C(2) << 30}, {"1T", UINT64_C(1) << 40}};
        static const struct {
                const char *text;
                bool value;
        } booleans[] = {{"yes", true}, {"true", true}, {"on", true}, {"1", true}, {"no", false}, {"false", false}, {"off", false}, {"0", false}};

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                g_autofree char *text = g_strdup_printf("[Quota]\nRingBytesPerUser=%s", sizes[i].text);

                load_text(f, text);
                assert_problems(f, "");
                g_assert_cmpuint(f->config->ring_bytes_per_user, ==, sizes[i].value);
        }
        for (size_t i = 0; i < ELEMENTSOF(booleans); i++) {
                g_autofree char *text = g_strdup_printf("[Spawner]\nAllowRoot=%s\n", booleans[i].text);

                load_text(f, text);
                assert_problems(f, "");
                g_assert_true(f->config->allow_root == booleans[i].value);
        }
}

static void test_bad_values_leave_the_default(Fixture *f, const void *data) {
        static const char *const numbers[] = {"-1", "+1", "1x", "1K", "0x10", "ten", "1 2", "100001", "18446744073709551616", "infinity", "1.5"};
        static const char *const sizes[] = {"1", "64k", "1KB", "K", "17000000000G", "2T", "-1M", "16777216T"};
        static const char *const booleans[] = {"Yes", "maybe", "2", "yes please"};
        static const struct {
                const char *start, *values;
                const char *const *texts;
                size_t n;
        } settings[] = {
                {"[Quota]\nRuntimes", "a number from 0 to 100000", numbers, ELEMENTSOF(numbers)},
                {"[Quota]\nRingBytesPerUser", "a number from 65536 to 1099511627776, or with K, M, G or T behind it", sizes, ELEMENTSOF(sizes)},
                {"[Spawner]\nAllowRoot", "yes or no", booleans, ELEMENTSOF(booleans)},
        };

        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                for (size_t j = 0; j < settings[i].n; j++) {
                        g_autofree char *text = g_strdup_printf("%s=%s\n", settings[i].start, settings[i].texts[j]);
                        g_autofree char *expected = g_strdup_printf("low/runtime-manager.conf:2: %s can't be \"%s\", it is %s; ignored\n",
                                                                    strchr(settings[i].start, '\n') + 1, settings[i].texts[j], settings[i].values);

                        load_text(f, text);
                        assert_problems(f, expected);
                        assert_defaults(f);
                }
}

static void test_a_mistake_costs_its_own_line(Fixture *f, const void *data) {
        load_text(f, "Runtimes=1\n"
                     "# [Spawner]\n"
                     "; Runtimes=2\n"
                     "[Quota]\n"
                     "  Runtimes  =  3  \r\n"
                     "runtimes=4\n"
                     "no setting\n"
                     "MinimumUID=2000\n"
                     "\n"
                     "[Quotas]\n"
                     "Runtimes=5\n"
                     "and this\n"
                     "[Spawner\n"
                     "AllowRoot=yes\n"
                     "[Spawner]\n"
                     "MinimumUID=500\n"
                     "=\n"
                     "[]\n"
                     "[\n"
                     "[Quota]\n"
                     "StartsBurst=7");
        assert_problems(f, "low/runtime-manager.conf:1: \"Runtimes=1\" is in no section; ignored\n"
                           "low/runtime-manager.conf:6: the key \"runtimes\" isn't known in the section [Quota]; ignored\n"
                           "low/runtime-manager.conf:7: \"no setting\" is neither a section nor a setting (KEY=VALUE); ignored\n"
                           "low/runtime-manager.conf:8: the key \"MinimumUID\" isn't known in the section [Quota]; ignored\n"
                           "low/runtime-manager.conf:10: the section \"[Quotas]\" isn't known; what is in it is ignored\n"
                           "low/runtime-manager.conf:13: \"[Spawner\" is no section: its ] is missing; what follows is ignored\n"
                           "low/runtime-manager.conf:17: the key \"\" isn't known in the section [Spawner]; ignored\n"
                           "low/runtime-manager.conf:18: the section \"[]\" isn't known; what is in it is ignored\n"
                           "low/runtime-manager.conf:19: \"[\" is no section: its ] is missing; what follows is ignored\n");
        g_assert_cmpuint(f->config->runtimes, ==, 3);
        g_assert_false(f->config->allow_root);
        g_assert_cmpuint(f->config->minimum_uid, ==, 500);
        g_assert_cmpuint(f->config->starts_burst, ==, 7);
}

static void test_the_last_word_counts_and_an_empty_one_is_the_default(Fixture *f, const void *data) {
        load_text(f, "[Quota]\nRuntimes=1\nRuntimes=2\nStartsBurst=3\nStartsBurst=\n[Spawner]\nAllowRoot=yes\n[Quota]\nStartsPerSecond=4\n");
        assert_problems(f, "");
        g_assert_cmpuint(f->config->runtimes, ==, 2);
        g_assert_cmpuint(f->config->starts_burst, ==, 100);
        g_assert_cmpuint(f->config->starts_per_second, ==, 4);
        g_assert_true(f->config->allow_root);
}

static void test_the_later_directory_replaces(Fixture *f, const void *data) {
        write_file(f->low, "runtime-manager.conf", "[Quota]\nRuntimes=1\nStartsBurst=1\nbroken\n");
        write_file(f->high, "runtime-manager.conf", "[Quota]\nRuntimes=2\n");
        load(f);
        assert_problems(f, "");
        g_assert_cmpuint(f->config->runtimes, ==, 2);
        g_assert_cmpuint(f->config->starts_burst, ==, 100);
}

static void test_dropins_come_in_the_order_of_their_names(Fixture *f, const void *data) {
        write_file(f->high, "runtime-manager.conf", "[Quota]\nRuntimes=1\nStartsBurst=1\nCallsPerUser=1\n");
        write_file(f->low, "runtime-manager.conf.d/20.conf", "[Quota]\nRuntimes=20\n");
        write_file(f->high, "runtime-manager.conf.d/10.conf", "[Quota]\nRuntimes=10\nStartsBurst=10\n");
        write_file(f->low, "runtime-manager.conf.d/10.conf", "broken\n");
        write_file(f->low, "runtime-manager.conf.d/.hidden.conf", "broken\n");
        write_file(f->low, "runtime-manager.conf.d/README", "broken\n");
        write_file(f->low, "runtime-manager.conf.d/30.conf.dpkg-old", "broken\n");
        load(f);
        assert_problems(f, "");
        g_assert_cmpuint(f->config->runtimes, ==, 20);
        g_assert_cmpuint(f->config->starts_burst, ==, 10);
        g_assert_cmpuint(f->config->calls_per_user, ==, 1);
}

static void test_an_empty_file_or_a_link_to_null_masks(Fixture *f, const void *data) {
        g_autofree char *link = g_build_filename(f->high, "runtime-manager.conf.d", "20.conf", NULL);

        write_file(f->low, "runtime-manager.conf", "[Quota]\nRuntimes=1\n");
        write_file(f->low, "runtime-manager.conf.d/10.conf", "[Quota]\nStartsBurst=10\n");
        write_file(f->low, "runtime-manager.conf.d/20.conf", "[Quota]\nCallsPerUser=20\n");
        write_file(f->high, "runtime-manager.conf", "");
        write_file(f->high, "runtime-manager.conf.d/10.conf", "");
        g_assert_cmpint(symlink("/dev/null", link), ==, 0);
        load(f);
        assert_problems(f, "");
        assert_defaults(f);
}

static void test_what_is_no_file_of_text(Fixture *f, const void *data) {
        g_autofree char *fifo = g_build_filename(f->high, "runtime-manager.conf.d", "fifo.conf", NULL);
        g_autofree char *zero = g_build_filename(f->high, "runtime-manager.conf.d", "zero.conf", NULL);
        g_autofree char *loop = g_build_filename(f->high, "runtime-manager.conf.d", "loop.conf", NULL);
        g_autofree char *gone = g_build_filename(f->high, "runtime-manager.conf.d", "gone.conf", NULL);
        g_autofree char *folder = g_build_filename(f->high, "runtime-manager.conf.d", "folder.conf", NULL);
        g_autofree char *large = g_strnfill(64 * 1024 + 1, '\n'), *full = g_strnfill(64 * 1024, '\n');

        write_bytes(f->high, "runtime-manager.conf.d/nul.conf", "[Quota]\nRuntimes=1\0\n", 20);
        write_file(f->high, "runtime-manager.conf.d/large.conf", large);
        write_file(f->high, "runtime-manager.conf.d/full.conf", full);
        write_file(f->high, "runtime-manager.conf.d/latin.conf", "\xff\x1b[\n[Quota]\nRuntimes=\xe4\n");
        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
        g_assert_cmpint(symlink("/dev/zero", zero), ==, 0);
        g_assert_cmpint(symlink("loop.conf", loop), ==, 0);
        g_assert_cmpint(symlink("nowhere", gone), ==, 0);
        g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
        load(f);
        assert_problems(f, "high/runtime-manager.conf.d/fifo.conf: can't be read: not a regular file; ignored\n"
                           "high/runtime-manager.conf.d/folder.conf: can't be read: not a regular file; ignored\n"
                           "high/runtime-manager.conf.d/large.conf: can't be read: larger than 64 KiB; ignored\n"
                           "high/runtime-manager.conf.d/latin.conf:1: \"\\xff\\x1b[\" is neither a section nor a setting (KEY=VALUE); ignored\n"
                           "high/runtime-manager.conf.d/latin.conf:3: Runtimes can't be \"\\xe4\", it is a number from 0 to 100000; ignored\n"
                           "high/runtime-manager.conf.d/loop.conf: can't be read: Too many levels of symbolic links; ignored\n"
                           "high/runtime-manager.conf.d/nul.conf: not a text; ignored\n"
                           "high/runtime-manager.conf.d/zero.conf: can't be read: not a regular file; ignored\n");
        assert_defaults(f);
}

static void test_a_directory_that_is_none(Fixture *f, const void *data) {
        write_file(f->low, "runtime-manager.conf.d", "");
        load(f);
        assert_problems(f, "low/runtime-manager.conf.d: can't be read: Not a directory; ignored\n");
}

static void test_problems_are_bounded(Fixture *f, const void *data) {
        g_autofree char *line = g_strnfill(5000, 'x');
        GString *text = g_string_new(line);

        for (size_t i = 0; i < 1000; i++)
                g_string_append(text, "\nx");
        load_text(f, text->str);
        g_string_free(text, TRUE);
        g_assert_cmpuint(g_strv_length(f->problems), ==, 64);
        g_assert_cmpuint(strlen(f->problems[0]), <, 300);
}

static void test_too_many_dropins(Fixture *f, const void *data) {
        for (unsigned i = 0; i < 260; i++) {
                g_autofree char *name = g_strdup_printf("runtime-manager.conf.d/%03u.conf", i);

                write_file(f->low, name, "[Quota]\nRuntimes=1\n");
        }
        load(f);
        assert_problems(f, "low/runtime-manager.conf.d: more than 256 drop-ins, some are ignored\n");
}

#define add(name) g_test_add("/config/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        add(defaults_without_files);
        add(the_table_is_sound);
        add(the_installed_file_names_the_defaults);
        add(every_setting_can_be_set);
        add(values);
        add(bad_values_leave_the_default);
        add(a_mistake_costs_its_own_line);
        add(the_last_word_counts_and_an_empty_one_is_the_default);
        add(the_later_directory_replaces);
        add(dropins_come_in_the_order_of_their_names);
        add(an_empty_file_or_a_link_to_null_masks);
        add(what_is_no_file_of_text);
        add(a_directory_that_is_none);
        add(problems_are_bounded);
        add(too_many_dropins);
        return g_test_run();
}
