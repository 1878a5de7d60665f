/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads kind files and their drop-ins into sections and settings.
 *
 * The syntax is GKeyFile's: [Section], Key=Value, comments with '#', blank lines. It is read here and not by
 * GKeyFile, because a kind's author is owed the line of a mistake, which GKeyFile doesn't keep, and because
 * GKeyFile accepts what is nearly always one: the same key or section twice in a file. Values are taken as
 * they are, without GKeyFile's escapes, so that a regular expression or a quoted command needs no second
 * layer of backslashes.
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

char *kind_quote(const char *text) {
        const char *end = text;

        for (size_t n = 0; *end && n < QUOTE_MAX; n++)
                end = g_utf8_next_char(end);
        return g_strdup_printf("\"%.*s%s\"", (int) (end - text), text, *end ? "…" : "");
}

int kind_problem(char **ret_problem, const char *path, unsigned line, const char *format, ...) {
        g_autofree char *reason = NULL;
        va_list ap;

        va_start(ap, format);
        reason = g_strdup_vprintf(format, ap);
        va_end(ap);

        *ret_problem = line > 0 ? g_strdup_printf("%s:%u: %s", path, line, reason)
                                : g_strdup_printf("%s: %s", path, reason);
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

static KindSection *file_get_section(const KindFile *file, const char *title) {
        for (size_t i = 0; i < file->sections->len; i++) {
                KindSection *section = file->sections->pdata[i];

                if (g_str_equal(section->title, title))
                        return section;
        }
        return NULL;
}

/* Where the reading is. The path is the one kept in the file, so that "in this file" is a comparison of
 * pointers. */
typedef struct Cursor {
        KindFile *file;
        const char *path;
        unsigned line;
        KindSection *section;
        char **ret_problem;
} Cursor;

static int cursor_open_section(Cursor *cursor, char *line) {
        size_t length = strlen(line);
        const char *title;
        KindSection *section;

        if (length < 3 || line[length - 1] != ']' || strpbrk(line + 1, "[]") != line + length - 1)
                return kind_problem(cursor->ret_problem, cursor->path, cursor->line, "not a [Section]");
        line[length - 1] = '\0';
        title = line + 1;

        section = file_get_section(cursor->file, title);
        if (section && section->path == cursor->path) {
                g_autofree char *quoted = kind_quote(title);

                return kind_problem(cursor->ret_problem, cursor->path, cursor->line,
                                    "section %s was already there in line %u", quoted, section->line);
        }
        if (!section) {
                if (cursor->file->sections->len >= SECTIONS_MAX)
                        return kind_problem(cursor->ret_problem, cursor->path, cursor->line,
                                            "too many sections (at most %d)", SECTIONS_MAX);
                section = g_new0(KindSection, 1);
                section->title = g_strdup(title);
                section->settings = g_ptr_array_new_with_free_func(setting_free);
                g_ptr_array_add(cursor->file->sections, section);
        }

        section->path = cursor->path;
        section->line = cursor->line;
        cursor->section = section;
        return 0;
}

static int cursor_set(Cursor *cursor, const char *key, const char *value) {
        KindSetting *setting = section_find(cursor->section, key);

        if (setting && setting->path == cursor->path) {
                g_autofree char *quoted = kind_quote(key);

                return kind_problem(cursor->ret_problem, cursor->path, cursor->line,
                                    "key %s was already there in line %u", quoted, setting->line);
        }
        if (!setting) {
                if (cursor->section->settings->len >= SETTINGS_MAX)
                        return kind_problem(cursor->ret_problem, cursor->path, cursor->line,
                                            "too many keys in one section (at most %d)", SETTINGS_MAX);
                setting = g_new0(KindSetting, 1);
                setting->key = g_strdup(key);
                g_ptr_array_add(cursor->section->settings, setting);
        }

        g_free(setting->value);
        setting->value = g_strdup(value);
        setting->path = cursor->path;
        setting->line = cursor->line;
        return 0;
}

static int cursor_read_line(Cursor *cursor, char *line) {
        char *equals;

        g_strstrip(line);
        if (line[0] == '\0' || line[0] == '#')
                return 0;

        for (const char *p = line; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c != '\t' && !is_plain(c))
                        return kind_problem(cursor->ret_problem, cursor->path, cursor->line,
                                            "character U+%04X isn't allowed", c);
        }

        if (line[0] == '[')
                return cursor_open_section(cursor, line);

        equals = strchr(line, '=');
        if (!equals || equals == line)
                return kind_problem(cursor->ret_problem, cursor->path, cursor->line,
                                    "neither [Section], nor Key=Value, nor a # comment");
        if (!cursor->section)
                return kind_problem(cursor->ret_problem, cursor->path, cursor->line, "before the first [Section]");
        *equals = '\0';
        return cursor_set(cursor, g_strchomp(line), g_strchug(equals + 1));
}

int kind_file_merge_text(KindFile *file, const char *path, const char *text, size_t size, char **ret_problem) {
        Cursor cursor = { .file = file, .ret_problem = ret_problem };
        g_autofree char *copy = NULL;
        const char *bad;
        char *next;

        cursor.path = kind_display_path(path);
        g_ptr_array_add(file->paths, (char *) cursor.path);

        if (size > KIND_FILE_MAX)
                return kind_problem(ret_problem, cursor.path, 0, "larger than %d KiB", KIND_FILE_MAX / 1024);
        if (!g_utf8_validate_len(text, size, &bad)) {
                unsigned line = 1;

                for (const char *p = text; p < bad; p++)
                        line += *p == '\n';
                return kind_problem(ret_problem, cursor.path, line, "not UTF-8 text");
        }

        copy = g_strndup(text, size);
        for (char *line = copy; line; line = next) {
                int r;

                next = strchr(line, '\n');
                if (next)
                        *next++ = '\0';
                cursor.line++;
                r = cursor_read_line(&cursor, line);
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
        return (S_ISREG(st->st_mode) && st->st_size == 0) ||
               (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
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
