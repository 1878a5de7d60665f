/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kinds of this service: finds their files, and keeps what was read from them.
 *
 * A set is made once and never changes; a reload makes another. So the question "which kinds are there" has
 * one answer at any moment, and a kind that a runtime was started from stays what it was.
 *
 * One broken kind never harms another: it is kept as a name with a problem. Only if this process itself is
 * short of descriptors or memory, loading as a whole fails.
 */

#include "core/kind.h"

#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <string.h>

#include "core/kind-file.h"
#include "core/kind-parse.h"
#include "core/kind-template.h"
#include "util/macro.h"

#define KIND_SUFFIX ".kind"
#define DROPIN_SUFFIX ".conf"

/* A directory with more than this isn't one of kinds. */
enum {
        DIRECTORY_ENTRIES_MAX = 4096,
        PROBLEMS_MAX = 64,
};

struct KindSet {
        GPtrArray *kinds;    /* ordered by name */
        GPtrArray *problems; /* char*, NULL at the end */
};

/* Kind */

static void kind_free(Kind *kind) {
        for (size_t i = 0; i < kind->n_options; i++) {
                g_free(kind->options[i].name);
                kind_value_free(kind->options[i].default_value);
                g_strfreev(kind->options[i].values);
                g_free(kind->options[i].description);
        }
        for (size_t i = 0; i < kind->n_steps; i++) {
                g_free(kind->steps[i].name);
                kind_template_free(kind->steps[i].exec);
                g_free(kind->steps[i].announce);
                g_free(kind->steps[i].failure);
        }
        g_free(kind->options);
        g_free(kind->steps);
        kind_template_free(kind->exec);
        kind_template_free(kind->environment);
        kind_template_free(kind->directory);
        kind_template_free(kind->requires_file);
        g_free(kind->name);
        g_free(kind->path);
        g_free(kind->problem);
        g_strfreev(kind->more_problems);
        g_free(kind->description);
        g_free(kind->executable);
        g_free(kind->executable_missing);
        g_free(kind->requires_file_missing);
        g_free(kind->terminated);
        g_free(kind->handshake.line);
        g_free(kind->stop.message);
        g_free(kind->interrupt.message);
        g_free(kind);
}

Kind *kind_ref(const Kind *kind) {
        /* The count is the one thing that changes, and no part of what the kind says. */
        Kind *counted = (Kind *) kind;

        counted->n_ref++;
        return counted;
}

Kind *kind_unref(Kind *kind) {
        if (kind && --kind->n_ref == 0)
                kind_free(kind);
        return NULL;
}

bool kind_name_is_valid(const char *name) {
        size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return g_ascii_islower(name[0]) && name[length] == '\0' && length <= KIND_NAME_MAX;
}

const KindOption *kind_get_option(const Kind *kind, const char *name) {
        for (size_t i = 0; i < kind->n_options; i++)
                if (g_str_equal(kind->options[i].name, name))
                        return &kind->options[i];
        return NULL;
}

/* Loading */

typedef struct Loader {
        KindSet *set;
        GPtrArray *directories; /* const char*, those that could be opened */
        const char *const *reserved_options;
} Loader;

static void loader_add_problem(Loader *loader, const char *path, const char *text) {
        g_autofree char *name = kind_display_path(path);

        if (loader->set->problems->len < PROBLEMS_MAX)
                g_ptr_array_add(loader->set->problems, g_strdup_printf("%s: %s", name, text));
}

static DIR *close_directory(DIR *directory) {
        if (directory)
                closedir(directory);
        return NULL;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DIR, close_directory)

/* Puts the files of a directory into `found`, by their name without the suffix; they take the place of those
 * that are already there. 1, or 0 if there is no such directory to be read. */
static int loader_scan(Loader *loader, const char *path, const char *suffix, GHashTable *found) {
        g_autoptr(DIR) directory = opendir(path);
        unsigned n = 0;

        if (!directory) {
                if (kind_error_is_shortage(errno))
                        return -errno;
                if (errno != ENOENT)
                        loader_add_problem(loader, path, kind_strerror(errno));
                return 0;
        }

        for (;;) {
                const struct dirent *entry;
                size_t length;

                errno = 0;
                entry = readdir(directory);
                if (!entry)
                        break;
                /* hidden files and those of editors are no mistakes */
                if (entry->d_name[0] == '.' || !g_str_has_suffix(entry->d_name, suffix))
                        continue;
                if (++n > DIRECTORY_ENTRIES_MAX) {
                        loader_add_problem(loader, path, "too many files, some are ignored");
                        return 1;
                }
                length = strlen(entry->d_name) - strlen(suffix);
                g_hash_table_replace(found, g_strndup(entry->d_name, length), g_build_filename(path, entry->d_name, NULL));
        }
        if (errno != 0)
                loader_add_problem(loader, path, kind_strerror(errno));
        return 1;
}

static GHashTable *found_new(void) {
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The names belong to the table. */
static GPtrArray *found_sorted_names(GHashTable *found) {
        GPtrArray *names = g_ptr_array_new();
        GHashTableIter iter;
        void *name;

        g_hash_table_iter_init(&iter, found);
        while (g_hash_table_iter_next(&iter, &name, NULL))
                g_ptr_array_add(names, name);
        g_ptr_array_sort(names, compare_strings);
        return names;
}

static int loader_merge_dropins(Loader *loader, const char *name, KindFile *file, char **ret_problem) {
        g_autoptr(GHashTable) found = found_new();
        g_autofree char *folder = g_strconcat(name, KIND_SUFFIX ".d", NULL);
        g_autoptr(GPtrArray) names = NULL;
        int r;

        for (size_t i = 0; i < loader->directories->len; i++) {
                g_autofree char *path = g_build_filename(loader->directories->pdata[i], folder, NULL);

                r = loader_scan(loader, path, DROPIN_SUFFIX, found);
                if (r < 0)
                        return r;
        }
        if (g_hash_table_size(found) > KIND_DROPINS_MAX)
                return kind_problem(ret_problem, folder, 0, "more than %d drop-ins", KIND_DROPINS_MAX);

        names = found_sorted_names(found);
        for (size_t i = 0; i < names->len; i++) {
                bool masked;

                r = kind_file_merge(file, g_hash_table_lookup(found, names->pdata[i]), &masked, ret_problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int loader_read_kind(Loader *loader, const char *name, const char *path, Kind **ret, char **ret_problem) {
        g_autoptr(KindFile) file = kind_file_new();
        bool masked;
        int r;

        r = kind_file_merge(file, path, &masked, ret_problem);
        if (r < 0 || masked)
                return r;
        r = loader_merge_dropins(loader, name, file, ret_problem);
        if (r < 0)
                return r;
        return kind_parse(name, path, file, loader->reserved_options, ret, ret_problem, NULL);
}

static int loader_load_kind(Loader *loader, const char *name, const char *path) {
        g_autoptr(Kind) kind = NULL;
        g_autofree char *problem = NULL;
        int r;

        r = loader_read_kind(loader, name, path, &kind, &problem);
        if (r < 0 && !problem)
                return r;
        if (problem) {
                kind = kind_new(name, path);
                kind->problem = g_steal_pointer(&problem);
        }
        if (kind)
                g_ptr_array_add(loader->set->kinds, g_steal_pointer(&kind));
        return 0;
}

static int loader_load(Loader *loader, const char *const *directories) {
        g_autoptr(GHashTable) found = found_new();
        g_autoptr(GPtrArray) names = NULL;
        int r;

        for (const char *const *directory = directories; *directory; directory++) {
                r = loader_scan(loader, *directory, KIND_SUFFIX, found);
                if (r < 0)
                        return r;
                if (r > 0)
                        g_ptr_array_add(loader->directories, (char *) *directory);
        }

        names = found_sorted_names(found);
        for (size_t i = 0; i < names->len; i++) {
                const char *name = names->pdata[i], *path = g_hash_table_lookup(found, name);

                if (!kind_name_is_valid(name)) {
                        loader_add_problem(loader, path, "a kind's name is a-z, then a-z, 0-9 and -, at most 32");
                        continue;
                }
                if (loader->set->kinds->len >= KIND_SET_MAX) {
                        loader_add_problem(loader, path, "more than 256 kinds, this one and those behind it are ignored");
                        break;
                }
                r = loader_load_kind(loader, name, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* KindSet */

static void unref_kind(void *kind) {
        kind_unref(kind);
}

/* Problems go to the bus, in English whatever the locale; GKeyFile and regerror() would translate. */
static int speak_english(locale_t *ret_old) {
        locale_t english = newlocale(LC_MESSAGES_MASK, "C", duplocale(uselocale((locale_t) 0)));

        if (!english)
                return -errno;
        *ret_old = uselocale(english);
        return 0;
}

static void speak_as_before(locale_t old) {
        freelocale(uselocale(old));
}

int kind_set_load(const char *const *directories, const char *const *reserved_options, KindSet **ret) {
        g_autoptr(KindSet) set = g_new0(KindSet, 1);
        g_autoptr(GPtrArray) usable = g_ptr_array_new();
        Loader loader = {
                .set = set,
                .directories = usable,
                .reserved_options = reserved_options,
        };
        locale_t old;
        int r;

        set->kinds = g_ptr_array_new_with_free_func(unref_kind);
        set->problems = g_ptr_array_new_with_free_func(g_free);

        r = speak_english(&old);
        if (r < 0)
                return r;
        r = loader_load(&loader, directories);
        speak_as_before(old);
        if (r < 0)
                return r;

        g_ptr_array_add(set->problems, NULL);
        *ret = g_steal_pointer(&set);
        return 0;
}

/* The name is what stands before the suffix. */
static int load_one(const char *path, const char *const *reserved_options, Kind **ret, char **ret_problem, GPtrArray *more_problems) {
        g_autofree char *base = g_path_get_basename(path), *shown = kind_display_path(path);
        g_autoptr(KindFile) file = kind_file_new();
        bool masked;
        int r;

        if (g_str_has_suffix(base, KIND_SUFFIX))
                base[strlen(base) - strlen(KIND_SUFFIX)] = '\0';
        else
                base[0] = '\0';
        if (!kind_name_is_valid(base))
                return kind_problem(ret_problem, shown, 0, "a kind's file is NAME.kind; its name is a-z, then a-z, 0-9 and -, at most 32");
        r = kind_file_merge(file, path, &masked, ret_problem);
        if (r < 0 || masked)
                return r;
        return kind_parse(base, path, file, reserved_options, ret, ret_problem, more_problems);
}

int kind_load_file(const char *path, const char *const *reserved_options, Kind **ret) {
        g_autoptr(Kind) kind = NULL;
        g_autofree char *problem = NULL;
        g_autoptr(GPtrArray) more_problems = g_ptr_array_new_with_free_func(g_free);
        locale_t old;
        int r;

        r = speak_english(&old);
        if (r < 0)
                return r;
        r = load_one(path, reserved_options, &kind, &problem, more_problems);
        speak_as_before(old);
        if (r < 0 && !problem)
                return r;
        if (problem) {
                kind = kind_new("", path);
                kind->problem = g_steal_pointer(&problem);
                if (more_problems->len > 0) {
                        g_ptr_array_add(more_problems, NULL);
                        kind->more_problems = (char **) g_ptr_array_steal(more_problems, NULL);
                }
        }
        *ret = g_steal_pointer(&kind);
        return 0;
}

KindSet *kind_set_free(KindSet *set) {
        if (!set)
                return NULL;

        g_ptr_array_unref(set->kinds);
        g_ptr_array_unref(set->problems);
        g_free(set);
        return NULL;
}

const Kind *kind_set_get(const KindSet *set, const char *name) {
        size_t low = 0, high = set->kinds->len;

        while (low < high) {
                size_t middle = (low + high) / 2;
                const Kind *kind = set->kinds->pdata[middle];
                int order = strcmp(name, kind->name);

                if (order == 0)
                        return kind;
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

size_t kind_set_size(const KindSet *set) {
        return set->kinds->len;
}

const Kind *kind_set_at(const KindSet *set, size_t index) {
        return index < set->kinds->len ? set->kinds->pdata[index] : NULL;
}

const char *const *kind_set_get_problems(const KindSet *set) {
        return (const char *const *) set->problems->pdata;
}
