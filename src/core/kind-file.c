/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads kind files and their drop-ins into sections and settings.
 *
 * The syntax is GKeyFile's, and GKeyFile reads it. Only two things are added, in one walk over the lines: where
 * each section and key stands, because a kind's author is owed the line of a mistake, and a refusal of the same
 * section or key twice in a file, which is nearly always one and which GKeyFile merges. Values are taken raw,
 * so that a regular expression or a quoted command needs no second layer of backslashes.
 *
 * Everything that comes out of here is valid UTF-8 without control characters (tab apart) and without
 * noncharacters, so that it can go to D-Bus and into unit properties without another look.
 *
 * Files may be anything: a FIFO is not waited for, a device is not read, a file that grows while it is read
 * is refused at the limit.
 */

#include "core/kind-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/kind.h"
#include "util/macro.h"

/* Enough for every option, step and single section, times two; keeps the linear look-ups short. */
enum {
        SECTIONS_MAX = 256,
        SETTINGS_MAX = 64,
        QUOTE_MAX = 80,
        REASON_MAX = 200,
};

static void setting_free(void *p) {
        KindSetting *setting = p;

        g_free(setting->key);
        g_free(setting->value);
        g_free(setting);
}

static void section_free(void *p) {
        KindSection *section = p;

        g_free(section->title);
        g_ptr_array_unref(section->settings);
        g_free(section);
}

KindFile *kind_file_new(void) {
        KindFile *file = g_new0(KindFile, 1);

        file->sections = g_ptr_array_new_with_free_func(section_free);
        file->paths = g_ptr_array_new_with_free_func(g_free);
        return file;
}

KindFile *kind_file_free(KindFile *file) {
        if (!file)
                return NULL;

        g_ptr_array_unref(file->sections);
        g_ptr_array_unref(file->paths);
        g_free(file);
        return NULL;
}

/* Neither a control character nor a noncharacter, which sd-bus refuses to send. */
static bool is_plain(gunichar c) {
        return !g_unichar_iscntrl(c) && (c & 0xfffe) != 0xfffe && (c < 0xfdd0 || c > 0xfdef);
}

char *kind_display_path(const char *path) {
        g_autofree char *name = g_filename_display_name(path);
        GString *plain = g_string_new(NULL);

        for (const char *p = name; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                g_string_append_unichar(plain, is_plain(c) ? c : 0xfffd);
        }
        return g_string_free(plain, FALSE);
}

static char *shorten(const char *text, size_t max) {
        const char *end = text;

        for (size_t n = 0; *end && n < max; n++)
                end = g_utf8_next_char(end);
        return g_strdup_printf("%.*s%s", (int) (end - text), text, *end ? "…" : "");
}

char *kind_quote(const char *text) {
        g_autofree char *start = shorten(text, QUOTE_MAX);

        return g_strdup_printf("\"%s\"", start);
}

int kind_problem(char **ret_problem, const char *path, unsigned line, const char *format, ...) {
        g_autofree char *reason = NULL;
        va_list ap;

        va_start(ap, format);
        reason = g_strdup_vprintf(format, ap);
        va_end(ap);

        *ret_problem = line > 0 ? g_strdup_printf("%s:%u: %s", path, line, reason) : g_strdup_printf("%s: %s", path, reason);
        return -EINVAL;
}

const char *kind_strerror(int error) {
        const char *text = strerrordesc_np(error < 0 ? -error : error);

        return text ?: "unknown error";
}

bool kind_error_is_shortage(int error) {
        switch (error < 0 ? -error : error) {
        case EMFILE:
        case ENFILE:
        case ENOMEM:
                return true;
        default:
                return false;
        }
}

static KindSetting *section_find(const KindSection *section, const char *key) {
        for (size_t i = 0; i < section->settings->len; i++) {
                KindSetting *setting = section->settings->pdata[i];

                if (g_str_equal(setting->key, key))
                        return setting;
        }
        return NULL;
}

const KindSetting *kind_section_get(const KindSection *section, const char *key) {
        const KindSetting *setting = section_find(section, key);

        return setting && setting->value[0] != '\0' ? setting : NULL;
}

/* UTF-8, and plain but for tabs and the ends of lines. There is a NUL behind the text; one in it is refused. */
static int check_text(const char *path, const char *text, size_t size, char **ret_problem) {
        const char *bad;
        bool valid = g_utf8_validate_len(text, size, &bad);
        unsigned line = 1;

        for (const char *p = text; p < bad; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c == '\n')
                        line++;
                else if (valid && c != '\t' && !g_str_has_prefix(p, "\r\n") && !is_plain(c))
                        return kind_problem(ret_problem, path, line, "character U+%04X isn't allowed", c);
        }
        return valid ? 0 : kind_problem(ret_problem, path, line, "not UTF-8 text");
}

/* Also keeps the keys of other languages, "Key[de]": they are unknown keys here, whatever the locale is. */
static bool load(GKeyFile *keys, const char *text, size_t size, GError **ret_error) {
        return g_key_file_load_from_data(keys, text, size, G_KEY_FILE_KEEP_TRANSLATIONS, ret_error);
}

/* GKeyFile doesn't say which line it refused: the first one that it doesn't take together with all before. */
static unsigned find_refused_line(const char *text) {
        unsigned good = 0, bad = 1;

        for (const char *p = text; *p; p++)
                bad += *p == '\n';
        while (bad - good > 1) {
                g_autoptr(GKeyFile) keys = g_key_file_new();
                unsigned middle = good + (bad - good) / 2;
                const char *end = text;

                for (unsigned i = 0; i < middle; i++)
                        end = strchr(end, '\n') + 1;
                *(load(keys, text, (size_t) (end - text), NULL) ? &good : &bad) = middle;
        }
        return bad;
}

static int load_or_explain(GKeyFile *keys, const char *path, const char *text, char **ret_problem) {
        g_autoptr(GError) error = NULL;
        g_autofree char *reason = NULL;

        if (load(keys, text, strlen(text), &error))
                return 0;

        reason = shorten(g_strchomp(error->message), REASON_MAX);
        return kind_problem(ret_problem, path, find_refused_line(text), "%s", reason);
}

/* The line of a key, or, with an empty key, of its section. */
static unsigned get_line(GHashTable *lines, const char *title, const char *key) {
        g_autofree char *name = g_strconcat(title, "\n", key, NULL);

        return GPOINTER_TO_UINT(g_hash_table_lookup(lines, name));
}

/* Only for a text that GKeyFile has taken: what is neither blank, nor a comment, nor a section is a key. */
static int locate(GHashTable *lines, const char *path, const char *text, char **ret_problem) {
        g_auto(GStrv) texts = g_strsplit(text, "\n", -1);
        const char *title = "";

        for (unsigned i = 0; texts[i]; i++) {
                char *start = g_strstrip(texts[i]);
                bool section = start[0] == '[';
                const char *key = "";
                unsigned first;

                if (start[0] == '\0' || start[0] == '#')
                        continue;
                start[strcspn(start, section ? "]" : "=")] = '\0';
                if (section)
                        title = start + 1;
                else
                        key = g_strchomp(start);

                first = get_line(lines, title, key);
                if (first > 0) {
                        g_autofree char *quoted = kind_quote(section ? title : key);

                        return kind_problem(ret_problem, path, i + 1, "%s %s was already there in line %u", section ? "section" : "key", quoted, first);
                }
                g_hash_table_insert(lines, g_strconcat(title, "\n", key, NULL), GUINT_TO_POINTER(i + 1));
        }
        return 0;
}

/* These two return what is there, or add it; NULL when there are too many. */
static KindSection *file_add_section(KindFile *file, const char *title) {
        KindSection *section;

        for (size_t i = 0; i < file->sections->len; i++) {
                section = file->sections->pdata[i];
                if (g_str_equal(section->title, title))
                        return section;
        }
        if (file->sections->len >= SECTIONS_MAX)
                return NULL;

        section = g_new0(KindSection, 1);
        section->title = g_strdup(title);
        section->settings = g_ptr_array_new_with_free_func(setting_free);
        g_ptr_array_add(file->sections, section);
        return section;
}

static KindSetting *section_add(KindSection *section, const char *key) {
        KindSetting *setting = section_find(section, key);

        if (setting || section->settings->len >= SETTINGS_MAX)
                return setting;
        setting = g_new0(KindSetting, 1);
        setting->key = g_strdup(key);
        g_ptr_array_add(section->settings, setting);
        return setting;
}

static int merge_section(KindFile *file, const char *path, GKeyFile *keys, GHashTable *lines, const char *title, char **ret_problem) {
        g_auto(GStrv) names = g_key_file_get_keys(keys, title, NULL, NULL);
        KindSection *section = file_add_section(file, title);
        unsigned line = get_line(lines, title, "");

        if (!section)
                return kind_problem(ret_problem, path, line, "too many sections (at most %d)", SECTIONS_MAX);
        section->path = path;
        section->line = line;

        for (size_t i = 0; names && names[i]; i++) {
                KindSetting *setting = section_add(section, names[i]);

                line = get_line(lines, title, names[i]);
                if (!setting)
                        return kind_problem(ret_problem, path, line, "too many keys in one section (at most %d)", SETTINGS_MAX);
                g_free(setting->value);
                setting->value = g_strchomp(g_key_file_get_value(keys, title, names[i], NULL));
                setting->path = path;
                setting->line = line;
        }
        return 0;
}

int kind_file_merge_text(KindFile *file, const char *path, const char *text, size_t size, char **ret_problem) {
        g_autoptr(GKeyFile) keys = g_key_file_new();
        g_autoptr(GHashTable) lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_autofree char *copy = NULL, *shown = kind_display_path(path);
        g_auto(GStrv) titles = NULL;
        int r;

        /* what is read points to it */
        path = shown;
        g_ptr_array_add(file->paths, g_steal_pointer(&shown));

        if (size > KIND_FILE_MAX)
                return kind_problem(ret_problem, path, 0, "larger than %d KiB", KIND_FILE_MAX / 1024);
        copy = g_strndup(text, size);
        r = check_text(path, copy, size, ret_problem);
        if (r < 0)
                return r;
        r = load_or_explain(keys, path, copy, ret_problem);
        if (r < 0)
                return r;
        r = locate(lines, path, copy, ret_problem);
        if (r < 0)
                return r;

        titles = g_key_file_get_groups(keys, NULL);
        for (size_t i = 0; titles[i]; i++) {
                r = merge_section(file, path, keys, lines, titles[i], ret_problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* At most one byte more than allowed, so that the caller sees that it is too long. */
static ssize_t read_all(int fd, char *buffer, size_t size) {
        size_t done = 0;

        while (done < size) {
                ssize_t n = read(fd, buffer + done, size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t) n;
        }
        return (ssize_t) done;
}

static bool is_mask(const struct stat *st) {
        return (S_ISREG(st->st_mode) && st->st_size == 0) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
}

/* Returns the size of the text, -ENOTSUP for what isn't a regular file. */
static ssize_t read_file(const char *path, char **ret, bool *ret_masked) {
        g_autofree char *buffer = NULL;
        struct stat st;
        _cleanup_close_ int fd = -EBADF;
        ssize_t size;

        /* Looked at before it is opened: to open a device may already do something to it. */
        if (stat(path, &st) < 0)
                return -errno;
        *ret_masked = is_mask(&st);
        if (*ret_masked)
                return 0;
        if (!S_ISREG(st.st_mode))
                return -ENOTSUP;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        /* … and again, as it may have been replaced meanwhile. */
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ENOTSUP;

        buffer = g_malloc(KIND_FILE_MAX + 1);
        size = read_all(fd, buffer, KIND_FILE_MAX + 1);
        if (size < 0)
                return size;

        *ret_masked = size == 0;
        *ret = g_steal_pointer(&buffer);
        return size;
}

int kind_file_merge(KindFile *file, const char *path, bool *ret_masked, char **ret_problem) {
        g_autofree char *text = NULL, *name = NULL;
        ssize_t size;

        size = read_file(path, &text, ret_masked);
        if (size == 0)
                return 0;
        if (size > 0)
                return kind_file_merge_text(file, path, text, (size_t) size, ret_problem);
        if (kind_error_is_shortage((int) size))
                return (int) size;

        name = kind_display_path(path);
        if (size == -ENOTSUP)
                return kind_problem(ret_problem, name, 0, "not a regular file");
        return kind_problem(ret_problem, name, 0, "can't be read: %s", kind_strerror((int) size));
}
