/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The configuration of the system service and its spawner: one table says what there is, what it may be and what it is when nobody says.
 *
 * The rules are systemd's: a file of a later directory takes the place of one with the same name, an empty one, or a link to /dev/null, takes it away;
 * drop-ins are read after the main file, in the order of their names whatever their directory; the last word counts, and an empty value is the default.
 *
 * A service for many users doesn't stop for a slip of the pen. So files are read line by line, each mistake is told with its line, and all other lines
 * count. That is why GKeyFile isn't used here: it refuses the whole file, and doesn't say where.
 *
 * The directories are root's. /run isn't among them: the daemon, which has a folder there, must not be able to tell the spawner what to allow.
 */

#include "core/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/macro.h"
#include "util/text.h"

#define MAIN_FILE "runtime-manager.conf"
#define DROPIN_DIRECTORY MAIN_FILE ".d"
#define DROPIN_SUFFIX ".conf"

enum {
        FILE_MAX = 64 * 1024,
        DROPINS_MAX = 256,
        PROBLEMS_MAX = 64,
        QUOTE_MAX = 80,
};

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

/* The ceilings are what the service was made for, not what would be wise. */
static const ConfigSetting settings[] = {
        {"Quota", "RuntimesPerUser", CONFIG_NUMBER, 0, 100000, 100, offsetof(Config, runtimes_per_user)},
        {"Quota", "Runtimes", CONFIG_NUMBER, 0, 100000, 10000, offsetof(Config, runtimes)},
        {"Quota", "EndedPerUser", CONFIG_NUMBER, 0, 100000, 1000, offsetof(Config, ended_per_user)},
        {"Quota", "StartsPerSecond", CONFIG_NUMBER, 1, 10000, 10, offsetof(Config, starts_per_second)},
        {"Quota", "StartsBurst", CONFIG_NUMBER, 1, 100000, 100, offsetof(Config, starts_burst)},
        {"Quota", "RingBytesPerUser", CONFIG_SIZE, 64 * KIB, TIB, GIB, offsetof(Config, ring_bytes_per_user)},
        {"Quota", "CallsPerUser", CONFIG_NUMBER, 1, 100000, 128, offsetof(Config, calls_per_user)},
        {"Quota", "PipesPerUser", CONFIG_NUMBER, 0, 100000, 256, offsetof(Config, pipes_per_user)},
        {"Quota", "ArgumentsSizeMax", CONFIG_SIZE, 4 * KIB, 2 * MIB, MIB, offsetof(Config, arguments_size_max)},
        {"Quota", "SubscribersPerUser", CONFIG_NUMBER, 1, 10000, 64, offsetof(Config, subscribers_per_user)},
        {"Spawner", "AllowRoot", CONFIG_BOOLEAN, 0, 1, 0, offsetof(Config, allow_root)},
        {"Spawner", "MinimumUID", CONFIG_NUMBER, 1, 4294967294, 1000, offsetof(Config, minimum_uid)},
        {0},
};

const ConfigSetting *config_settings(void) {
        return settings;
}

const char *const *config_directories(void) {
        static const char *const directories[] = {DATADIR, SYSCONFDIR, NULL};

        return directories;
}

Config *config_free(Config *config) {
        g_free(config);
        return NULL;
}

static void config_set(Config *config, const ConfigSetting *setting, uint64_t value) {
        void *place = (char *) config + setting->offset;

        switch (setting->type) {
        case CONFIG_BOOLEAN:
                *(bool *) place = value != 0;
                break;
        case CONFIG_NUMBER:
        case CONFIG_SIZE:
                *(uint64_t *) place = value;
                break;
        }
}

/* Values */

static int parse_boolean(const char *text, uint64_t *ret) {
        static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (g_str_equal(text, words[i])) {
                        *ret = i % 2;
                        return 0;
                }
        return -EINVAL;
}

/* No sign, nothing behind it but one of `suffixes`, nothing that overflows. */
static int parse_number(const char *text, const char *suffixes, uint64_t *ret) {
        const char *suffix;
        uint64_t value;
        char *end;

        if (!g_ascii_isdigit(text[0]))
                return -EINVAL;
        errno = 0;
        value = g_ascii_strtoull(text, &end, 10);
        if (errno != 0)
                return -EINVAL;
        if (*end != '\0') {
                suffix = strchr(suffixes, *end);
                if (!suffix || end[1] != '\0' || __builtin_mul_overflow(value, UINT64_C(1) << (10 * (suffix - suffixes + 1)), &value))
                        return -EINVAL;
        }
        *ret = value;
        return 0;
}

static int parse_value(const ConfigSetting *setting, const char *text, uint64_t *ret) {
        uint64_t value = 0;
        int r = -EINVAL;

        switch (setting->type) {
        case CONFIG_BOOLEAN:
                r = parse_boolean(text, &value);
                break;
        case CONFIG_NUMBER:
                r = parse_number(text, "", &value);
                break;
        case CONFIG_SIZE:
                r = parse_number(text, "KMGT", &value);
                break;
        }
        if (r < 0 || value < setting->min || value > setting->max)
                return -EINVAL;
        *ret = value;
        return 0;
}

/* What would be right, for the one who wrote something else. */
static char *describe_values(const ConfigSetting *setting) {
        if (setting->type == CONFIG_BOOLEAN)
                return g_strdup("yes or no");
        return g_strdup_printf("a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT "%s", setting->min, setting->max,
                               setting->type == CONFIG_SIZE ? ", or with K, M, G or T behind it" : "");
}

/* Files */

typedef struct Reader {
        Config *config;
        GPtrArray *problems; /* char* */
        const char *path;
        unsigned line;
        const char *section; /* of the table; "": none yet; NULL: one that isn't known */
} Reader;

static void complain(Reader *reader, const char *format, ...) _printf_(2, 3);

static void complain(Reader *reader, const char *format, ...) {
        g_autofree char *reason = NULL, *path = g_filename_display_name(reader->path);
        _cleanup_free_ char *shown = text_one_line(path, 4096);
        va_list list;

        if (reader->problems->len >= PROBLEMS_MAX)
                return;
        va_start(list, format);
        reason = g_strdup_vprintf(format, list);
        va_end(list);
        g_ptr_array_add(reader->problems,
                        reader->line > 0 ? g_strdup_printf("%s:%u: %s", shown, reader->line, reason) : g_strdup_printf("%s: %s", shown, reason));
}

static char *quote(const char *text) {
        return text_quote(text, strlen(text), QUOTE_MAX);
}

static void read_section(Reader *reader, char *line) {
        size_t length = strlen(line);
        _cleanup_free_ char *quoted = NULL;

        reader->section = NULL;
        quoted = quote(line);
        if (line[length - 1] != ']') {
                complain(reader, "%s is no section: its ] is missing; what follows is ignored", quoted);
                return;
        }
        line[length - 1] = '\0';
        for (const ConfigSetting *setting = settings; setting->key; setting++)
                if (g_str_equal(setting->section, line + 1)) {
                        reader->section = setting->section;
                        return;
                }
        complain(reader, "the section %s isn't known; what is in it is ignored", quoted);
}

static void read_setting(Reader *reader, const char *key, const char *text) {
        _cleanup_free_ char *quoted = quote(text), *quoted_key = quote(key);
        g_autofree char *values = NULL;
        uint64_t value;

        for (const ConfigSetting *setting = settings; setting->key; setting++) {
                if (!g_str_equal(setting->section, reader->section) || !g_str_equal(setting->key, key))
                        continue;
                if (text[0] == '\0')
                        config_set(reader->config, setting, setting->default_value);
                else if (parse_value(setting, text, &value) == 0)
                        config_set(reader->config, setting, value);
                else {
                        values = describe_values(setting);
                        complain(reader, "%s can't be %s, it is %s; ignored", key, quoted, values);
                }
                return;
        }
        complain(reader, "the key %s isn't known in the section [%s]; ignored", quoted_key, reader->section);
}

static void read_line(Reader *reader, char *line) {
        _cleanup_free_ char *quoted = NULL;
        char *sign;

        g_strstrip(line);
        if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
                return;
        if (line[0] == '[') {
                read_section(reader, line);
                return;
        }
        if (!reader->section)
                return;
        sign = strchr(line, '=');
        quoted = quote(line);
        if (!sign)
                complain(reader, "%s is neither a section nor a setting (KEY=VALUE); ignored", quoted);
        else if (reader->section[0] == '\0')
                complain(reader, "%s is in no section; ignored", quoted);
        else {
                *sign = '\0';
                read_setting(reader, g_strchomp(line), g_strchug(sign + 1));
        }
}

static void read_text(Reader *reader, char *text, size_t size) {
        char *line = text;

        text[size] = '\0';
        reader->section = "";
        if (memchr(text, '\0', size)) {
                complain(reader, "not a text; ignored");
                return;
        }
        while (line) {
                char *end = strchr(line, '\n');

                if (end)
                        *end++ = '\0';
                reader->line++;
                read_line(reader, line);
                line = end;
        }
}

/* A file's text goes to `buffer`, of FILE_MAX + 1 bytes. Its size, or a negative errno. Looked at before it is opened, since to open a device may already do
 * something to it, and a FIFO would be waited for. */
static ssize_t read_file(const char *path, char *buffer) {
        _cleanup_close_ int fd = -EBADF;
        struct stat status;
        size_t size = 0;

        if (stat(path, &status) < 0)
                return -errno;
        if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)) /* /dev/null */
                return 0;
        if (!S_ISREG(status.st_mode))
                return -ENOTSUP;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        while (size <= FILE_MAX) {
                ssize_t n = read(fd, buffer + size, FILE_MAX + 1 - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return (ssize_t) size;
                size += (size_t) n;
        }
        return -EFBIG;
}

/* Whether an error is about this process and not about the file. */
static bool is_shortage(int error) {
        return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static const char *reason_of(int error) {
        const char *text;

        if (error == ENOTSUP)
                return "not a regular file";
        if (error == EFBIG)
                return "larger than 64 KiB";
        text = strerrordesc_np(error);
        return text ?: "unknown error";
}

/* 1, or 0 if there is no such file. */
static int read_path(Config *config, GPtrArray *problems, const char *path) {
        Reader reader = {.config = config, .problems = problems, .path = path};
        g_autofree char *buffer = g_malloc(FILE_MAX + 1);
        ssize_t size = read_file(path, buffer);

        if (size == -ENOENT)
                return 0;
        if (size < 0 && is_shortage((int) -size))
                return (int) size;
        if (size < 0)
                complain(&reader, "can't be read: %s; ignored", reason_of((int) -size));
        else
                read_text(&reader, buffer, (size_t) size);
        return 1;
}

/* Directories */

static DIR *close_directory(DIR *directory) {
        if (directory)
                closedir(directory);
        return NULL;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DIR, close_directory)

/* Adds the drop-ins of one directory to `found`, by name; they take the place of those that are there. */
static int find_dropins(const char *path, GHashTable *found, GPtrArray *problems) {
        Reader reader = {.problems = problems, .path = path};
        g_autoptr(DIR) directory = opendir(path);
        const struct dirent *entry;

        if (!directory) {
                if (is_shortage(errno))
                        return -errno;
                if (errno != ENOENT)
                        complain(&reader, "can't be read: %s; ignored", reason_of(errno));
                return 0;
        }
        while ((entry = readdir(directory))) {
                if (entry->d_name[0] == '.' || !g_str_has_suffix(entry->d_name, DROPIN_SUFFIX))
                        continue;
                if (g_hash_table_size(found) >= DROPINS_MAX && !g_hash_table_contains(found, entry->d_name)) {
                        complain(&reader, "more than %d drop-ins, some are ignored", DROPINS_MAX);
                        return 0;
                }
                g_hash_table_replace(found, g_strdup(entry->d_name), g_build_filename(path, entry->d_name, NULL));
        }
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int read_dropins(const char *const *directories, Config *config, GPtrArray *problems) {
        g_autoptr(GHashTable) found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_autofree void **names = NULL;
        unsigned n;
        int r;

        for (const char *const *directory = directories; *directory; directory++) {
                g_autofree char *path = g_build_filename(*directory, DROPIN_DIRECTORY, NULL);

                r = find_dropins(path, found, problems);
                if (r < 0)
                        return r;
        }
        names = g_hash_table_get_keys_as_array(found, &n);
        qsort(names, n, sizeof(names[0]), compare_names);
        for (unsigned i = 0; i < n; i++) {
                r = read_path(config, problems, g_hash_table_lookup(found, names[i]));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The one of the last directory that has it. */
static int read_main(const char *const *directories, Config *config, GPtrArray *problems) {
        size_t n = 0;

        while (directories[n])
                n++;
        while (n-- > 0) {
                g_autofree char *path = g_build_filename(directories[n], MAIN_FILE, NULL);
                int r = read_path(config, problems, path);

                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return 0;
}

int config_load(const char *const *directories, Config **ret, char ***ret_problems) {
        g_autoptr(Config) config = g_new0(Config, 1);
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        int r;

        for (const ConfigSetting *setting = settings; setting->key; setting++)
                config_set(config, setting, setting->default_value);
        r = read_main(directories, config, problems);
        if (r >= 0)
                r = read_dropins(directories, config, problems);
        if (r < 0)
                return r;

        g_ptr_array_add(problems, NULL);
        *ret_problems = (char **) g_ptr_array_steal(problems, NULL);
        *ret = g_steal_pointer(&config);
        return 0;
}
