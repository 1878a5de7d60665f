/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kind describes a runtime: which program it is, how it is started, prepared, greeted, stopped and
 * limited. Kinds are files (NAME.kind); no C code knows a language. This header is all that other rooms
 * need: the set of kinds as loaded, one kind's description as plain read-only fields, and the expansion of
 * a kind into the words that are to be executed.
 *
 * A kind whose files can't be understood is still in the set, with `problem` telling where and why, so that
 * a person who asks for the list sees the mistake. All its other fields except name and path are then unset.
 *
 * A KindSet owns one reference to each of its kinds; a runtime takes its own, and keeps what it was started
 * from when the set is replaced by a reload. Kinds never change after loading.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

/* A time, a size or a limit that isn't given. */
#define KIND_UNSET UINT64_MAX

/* What a kind may hold at most. What it expands to is limited like a client's Command (util/limits.h). */
enum {
        KIND_SET_MAX = 256,          /* kinds in a set */
        KIND_NAME_MAX = 32,          /* bytes of a kind's name */
        KIND_FILE_MAX = 64 * 1024,   /* bytes of a kind file or drop-in */
        KIND_DROPINS_MAX = 64,       /* drop-ins of a kind */
        KIND_OPTIONS_MAX = 64,       /* options that a kind declares */
        KIND_MORE_PROBLEMS_MAX = 31, /* mistakes in a file that its author is told, but for the first */
        KIND_OPTION_NAME_MAX = 64,   /* bytes of an option's name */
        KIND_STEPS_MAX = 32,         /* setup steps */
        KIND_WORDS_MAX = 256,        /* words of one Exec=, Environment=, strings Default= or Values= */
};

typedef enum KindOptionType {
        KIND_OPTION_STRING,
        KIND_OPTION_STRINGS,
        KIND_OPTION_BOOLEAN,
        KIND_OPTION_INTEGER,
        KIND_OPTION_SIZE, /* bytes, UINT64_MAX = infinity */
        KIND_OPTION_TIME, /* µs, UINT64_MAX = infinity */
        KIND_OPTION_PATH, /* absolute */
        _KIND_OPTION_TYPE_MAX,
} KindOptionType;

/* `s` belongs to string and path, `strv` to strings, `b` to boolean, `x` to integer, `t` to size and time. */
typedef struct KindValue {
        KindOptionType type;
        union {
                char *s;
                char **strv;
                bool b;
                int64_t x;
                uint64_t t;
        };
} KindValue;

typedef struct KindOption {
        char *name;
        KindOptionType type;
        bool required;
        KindValue *default_value; /* NULL: none */
        char **values;            /* the only values allowed, as written; NULL: any */
        char *description;        /* NULL: none */
} KindOption;

typedef struct KindTemplate KindTemplate;

typedef struct KindStep {
        char *name;
        KindTemplate *exec;
        char *announce;        /* NULL: none */
        char *failure;         /* NULL: none */
        uint64_t timeout_usec; /* KIND_UNSET: the daemon's own */
} KindStep;

typedef enum KindHandshakeType {
        KIND_HANDSHAKE_EXEC,     /* ready when the command has been executed */
        KIND_HANDSHAKE_LINE,     /* ready when a line of its output matches */
        KIND_HANDSHAKE_NOTIFY,   /* ready when it says READY=1 to $NOTIFY_SOCKET */
        KIND_HANDSHAKE_PROTOCOL, /* ready when the two-way handshake is complete */
        _KIND_HANDSHAKE_TYPE_MAX,
} KindHandshakeType;

typedef enum KindTransport {
        KIND_TRANSPORT_SOCKET,
        KIND_TRANSPORT_PIPES,
        _KIND_TRANSPORT_MAX,
} KindTransport;

typedef struct KindHandshake {
        KindHandshakeType type;
        KindTransport transport; /* protocol only */
        uint64_t timeout_usec;   /* always set, never 0 or infinite */
        char *line;              /* line only: POSIX extended regular expression, compiles */
} KindHandshake;

/* At most one of message and signal is set; neither means: no way of the kind's own. */
typedef struct KindStop {
        char *message;         /* method of the protocol */
        int signal;            /* 0: none */
        uint64_t timeout_usec; /* KIND_UNSET: the daemon's own */
} KindStop;

/* As above; neither means that runtimes of this kind can't be interrupted. */
typedef struct KindInterrupt {
        char *message;
        int signal;
} KindInterrupt;

/* KIND_UNSET: no limit of the kind's own. None is ever 0. */
typedef struct KindLimits {
        uint64_t memory_max;
        uint64_t memory_high;
        uint64_t cpu_quota_per_sec_usec;
        uint64_t cpu_weight;
        uint64_t io_weight;
        uint64_t tasks_max;
        uint64_t runtime_max_usec;
} KindLimits;

/* Read-only for everyone but the loader. */
typedef struct Kind {
        unsigned n_ref;
        char *name;
        char *path;           /* of NAME.kind, absolute */
        char *problem;        /* NULL: none. One line of UTF-8: "FILE:LINE: reason" */
        char **more_problems; /* of kind_load_file() alone: what else is wrong, likewise. NULL: nothing */

        char *description;           /* NULL: none */
        char *executable;            /* NULL: none; a name to look up, or an absolute path */
        char *executable_missing;    /* the sentence for it; set whenever executable is */
        KindTemplate *requires_file; /* NULL: none; a file without which nothing is started */
        char *requires_file_missing; /* the sentence for it; set whenever requires_file is */
        char *terminated;            /* what is said of a program that ends unexpectedly; NULL: general words */
        KindTemplate *exec;          /* NULL: the client must say Command */
        KindTemplate *environment;   /* NULL: none */
        KindTemplate *directory;     /* NULL: none */

        KindOption *options; /* in the order of the file */
        size_t n_options;
        KindStep *steps; /* in the order of the file */
        size_t n_steps;

        KindHandshake handshake;
        KindStop stop;
        KindInterrupt interrupt;
        KindLimits limits;
} Kind;

Kind *kind_ref(const Kind *kind);
Kind *kind_unref(Kind *kind);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Kind, kind_unref)

bool kind_name_is_valid(const char *name);
const KindOption *kind_get_option(const Kind *kind, const char *name);

const char *kind_option_type_to_string(KindOptionType type);
const char *kind_option_type_to_signature(KindOptionType type); /* the D-Bus type of its value */
const char *kind_handshake_type_to_string(KindHandshakeType type);
const char *kind_transport_to_string(KindTransport transport);

/*
 * The set of all kinds. `directories` are searched for NAME.kind, the last one wins; a kind whose winning
 * file is empty or a link to /dev/null is masked, as if there were none. NAME.kind.d/ (files *.conf) of all
 * directories are merged over it in the order of their names, the last directory wins for the same name.
 * `reserved_options` (may be NULL) are the names that no kind may give to an option.
 *
 * Mistakes in kinds are no failure. Negative errno only when this process is short of something (EMFILE,
 * ENFILE, ENOMEM), so that a reload at a bad moment keeps the set it has.
 */
typedef struct KindSet KindSet;

int kind_set_load(const char *const *directories, const char *const *reserved_options, KindSet **ret);
KindSet *kind_set_free(KindSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindSet, kind_set_free)

const Kind *kind_set_get(const KindSet *set, const char *name);
size_t kind_set_size(const KindSet *set);
const Kind *kind_set_at(const KindSet *set, size_t index); /* ordered by name; NULL past the end */

/* What was found beside the kinds: files whose names can't be a kind's, unreadable directories, too many
 * kinds. One line each, NULL-terminated; for the log. */
const char *const *kind_set_get_problems(const KindSet *set);

/* Reads one file as a kind, by itself and without drop-ins, for its author: its mistakes are in `problem` and
 * `more_problems`. *ret is NULL for a file that
 * masks. Negative errno as for kind_set_load(). */
int kind_load_file(const char *path, const char *const *reserved_options, Kind **ret);

/* Values of options. The constructors copy. */
KindValue *kind_value_new_string(const char *s);
KindValue *kind_value_new_strings(const char *const *strv);
KindValue *kind_value_new_boolean(bool b);
KindValue *kind_value_new_integer(int64_t x);
KindValue *kind_value_new_size(uint64_t t);
KindValue *kind_value_new_time(uint64_t t);
KindValue *kind_value_new_path(const char *s);
KindValue *kind_value_free(KindValue *value);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindValue, kind_value_free)

/* A table for KindContext.values: name → KindValue, both owned by it. */
GHashTable *kind_values_new(void);

/* Reads a value as it is written in a kind file (and on a command line). -EINVAL with a reason. */
int kind_value_parse(KindOptionType type, const char *text, KindValue **ret, char **ret_problem);

/* The text that stands for a value in an expanded word: sizes in bytes, times in µs, "true" or "false",
 * "infinity". Strings are joined by spaces. */
char *kind_value_to_string(const KindValue *value);

/* Whether the option takes this value: its type, an absolute path, Values=. -EINVAL with a sentence that
 * names the option. */
int kind_option_check(const KindOption *option, const KindValue *value, char **ret_problem);

/* What a kind is expanded with. Strings that aren't known may be NULL; a kind that uses them is refused. */
typedef struct KindContext {
        const char *id;          /* %i */
        const char *runtime_dir; /* %t */
        const char *home;        /* %h */
        const char *user;        /* %u */
        uid_t uid;               /* %U */
        const char *host;        /* %H, the short name */
        const char *executable;  /* %e, as found by kind_find_executable() */
        GHashTable *values;      /* option name → KindValue*; NULL: none given */
} KindContext;

typedef struct KindPlanStep {
        char *name;
        char **argv;
        char *announce;        /* NULL: none */
        char *failure;         /* NULL: none */
        uint64_t timeout_usec; /* KIND_UNSET: the daemon's own */
} KindPlanStep;

typedef struct KindPlan {
        char **argv;         /* NULL: the client must say Command; else at least one word */
        char **environment;  /* NAME=VALUE; never NULL */
        char *directory;     /* absolute; NULL: none */
        char *required_file; /* absolute; NULL: none */
        KindPlanStep *steps;
        size_t n_steps;
} KindPlan;

/*
 * Expands all of a kind. Refuses (-EINVAL, or -E2BIG when it would get too long, with a sentence) unknown
 * options and wrong values, required options that are missing, and a kind with a problem.
 *
 * The environment comes first when the executable is to be looked up in the PATH that the runtime will have:
 * it can't use %e, so kind_expand_environment() takes a context without it.
 */
int kind_expand(const Kind *kind, const KindContext *context, KindPlan **ret, char **ret_problem);
int kind_expand_environment(const Kind *kind, const KindContext *context, char ***ret, char **ret_problem);
KindPlan *kind_plan_free(KindPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KindPlan, kind_plan_free)

/*
 * Finds a program as execvp() would, but never in a directory that isn't absolute: the working directory
 * here isn't the runtime's. An absolute name is only checked. `path` is a PATH; NULL: the usual directories.
 * -ENOENT: no such regular file; -EACCES: only such as may not be executed by this process.
 */
int kind_find_executable(const char *name, const char *path, char **ret);

/* The sentences that a client is told, from the errno of the look. missing: the kind's own sentence (of an executable it may be NULL). EISDIR of a file: it is
 * there, and something else; ENOTDIR of a directory likewise. */
char *kind_describe_missing_executable(const char *name, const char *missing, int error);
char *kind_describe_missing_file(const char *missing, const char *path, int error);
char *kind_describe_missing_directory(const char *path, int error);
