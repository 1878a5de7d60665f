/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kind room: each rule of the file format, each refusal with the line it names, the directories and what
 * overrides what, hostile files, and what a kind expands to.
 */

#include "core/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/limits.h"
#include "util/macro.h"

/* Three directories, lowest priority first, in a folder of the test's own. */
typedef struct Fixture {
        char *root;
        char *low, *middle, *high;
} Fixture;

static const char *const reserved[] = { "Command", "Environment", "MemoryMax", NULL };

static void remove_tree(const char *path) {
        g_autoptr(GDir) directory = NULL;
        const char *name;

        if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK))
                directory = g_dir_open(path, 0, NULL);
        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        g_assert_cmpint(g_remove(path), ==, 0);
}

static void setup(Fixture *f, const void *data) {
        f->root = g_dir_make_tmp("test-kind-XXXXXX", NULL);
        g_assert_nonnull(f->root);
        f->low = g_build_filename(f->root, "low", NULL);
        f->middle = g_build_filename(f->root, "middle", NULL);
        f->high = g_build_filename(f->root, "high", NULL);
        g_assert_cmpint(g_mkdir(f->low, 0755), ==, 0);
        g_assert_cmpint(g_mkdir(f->middle, 0755), ==, 0);
        g_assert_cmpint(g_mkdir(f->high, 0755), ==, 0);
}

static void teardown(Fixture *f, const void *data) {
        remove_tree(f->root);
        g_free(f->root);
        g_free(f->low);
        g_free(f->middle);
        g_free(f->high);
}

static void write_bytes(const char *directory, const char *name, const char *bytes, size_t size) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *parent = g_path_get_dirname(path);

        g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, bytes, (gssize) size, NULL));
}

static void write_file(const char *directory, const char *name, const char *text) {
        write_bytes(directory, name, text, strlen(text));
}

static KindSet *load(Fixture *f) {
        const char *directories[] = { f->low, f->middle, f->high, NULL };
        KindSet *set = NULL;

        g_assert_cmpint(kind_set_load(directories, reserved, &set), ==, 0);
        return set;
}

/* The one kind of the given text; it may have a problem. */
static Kind *load_text(Fixture *f, const char *text) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "x.kind", text);
        set = load(f);
        g_assert_nonnull(kind_set_get(set, "x"));
        return kind_ref(kind_set_get(set, "x"));
}

static Kind *load_good(Fixture *f, const char *text) {
        Kind *kind = load_text(f, text);

        g_assert_cmpstr(kind->problem, ==, NULL);
        return kind;
}

static void values_set(GHashTable *values, const char *name, KindValue *value) {
        g_hash_table_replace(values, g_strdup(name), value);
}

static KindContext context_with(GHashTable *values) {
        return (KindContext) {
                .id = "abc",
                .runtime_dir = "/run/rm/abc",
                .home = "/home/me",
                .user = "me",
                .uid = 1000,
                .host = "box",
                .executable = "/usr/bin/prog",
                .values = values,
        };
}

static KindPlan *expand_good(const Kind *kind, GHashTable *values) {
        KindContext context = context_with(values);
        g_autofree char *problem = NULL;
        KindPlan *plan = NULL;
        int r;

        r = kind_expand(kind, &context, &plan, &problem);
        g_assert_cmpstr(problem, ==, NULL);
        g_assert_cmpint(r, ==, 0);
        return plan;
}

static void assert_refused(const Kind *kind, GHashTable *values, int error, const char *part) {
        KindContext context = context_with(values);
        g_autofree char *problem = NULL;
        KindPlan *plan = NULL;

        g_assert_cmpint(kind_expand(kind, &context, &plan, &problem), ==, error);
        g_assert_null(plan);
        g_assert_nonnull(problem);
        if (!strstr(problem, part))
                g_error("\"%s\" doesn't say \"%s\"", problem, part);
}

#define assert_strv(strv, ...)                                                                       \
        G_STMT_START {                                                                               \
                const char *_expected[] = { __VA_ARGS__ __VA_OPT__(, ) NULL };                       \
                g_autofree char *_a = g_strjoinv("|", (char **) (strv));                             \
                g_autofree char *_b = g_strjoinv("|", (char **) _expected);                          \
                g_assert_cmpstr(_a, ==, _b);                                                         \
                g_assert_cmpuint(g_strv_length((char **) (strv)), ==, ELEMENTSOF(_expected) - 1);    \
        }                                                                                            \
        G_STMT_END

static void test_all_keys(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "# comment\r\n"
                                            "[Kind]\n"
                                            "  Description = A language  \n"
                                            "Executable=lang\n"
                                            "ExecutableMissing=no Lang executable found in PATH\n"
                                            "Exec=%e --node\n"
                                            "Environment=A=1 \"B=two words\"\n"
                                            "Directory=%h/work\n"
                                            "\n"
                                            "[Option Level]\n"
                                            "Type=integer\nDefault=-3\nValues=-3;0;3;\nDescription=How much\n"
                                            "[Option Project]\nType=path\nRequired=yes\n"
                                            "[Step deps.get]\n"
                                            "Exec=%e deps\nAnnounce=Running deps...\nFailure=deps failed\nTimeoutSec=1min 30s\n"
                                            "[Step compile]\nExec=%e compile\n"
                                            "[Handshake]\nType=protocol\nTimeoutSec=500ms\nTransport=pipes\n"
                                            "[Stop]\nMessage=shutdown\nTimeoutSec=5\n"
                                            "[Interrupt]\nSignal=SIGUSR1\n"
                                            "[Limits]\nMemoryMax=1G\nMemoryHigh=512M\nCPUQuota=150%\nCPUWeight=50\n"
                                            "IOWeight=10000\nTasksMax=64\nRuntimeMaxSec=1h\n");

        g_assert_cmpstr(kind->name, ==, "x");
        g_assert_true(g_str_has_suffix(kind->path, "/low/x.kind"));
        g_assert_cmpstr(kind->description, ==, "A language");
        g_assert_cmpstr(kind->executable, ==, "lang");
        g_assert_cmpstr(kind->executable_missing, ==, "no Lang executable found in PATH");
        g_assert_nonnull(kind->exec);
        g_assert_nonnull(kind->environment);
        g_assert_nonnull(kind->directory);

        g_assert_cmpuint(kind->n_options, ==, 2);
        g_assert_cmpstr(kind->options[0].name, ==, "Level");
        g_assert_cmpint(kind->options[0].type, ==, KIND_OPTION_INTEGER);
        g_assert_cmpint(kind->options[0].default_value->x, ==, -3);
        assert_strv(kind->options[0].values, "-3", "0", "3");
        g_assert_cmpstr(kind->options[0].description, ==, "How much");
        g_assert_false(kind->options[0].required);
        g_assert_true(kind->options[1].required);
        g_assert_true(kind_get_option(kind, "Project") == &kind->options[1]);
        g_assert_null(kind_get_option(kind, "Nothing"));

        g_assert_cmpuint(kind->n_steps, ==, 2);
        g_assert_cmpstr(kind->steps[0].name, ==, "deps.get");
        g_assert_cmpstr(kind->steps[0].announce, ==, "Running deps...");
        g_assert_cmpstr(kind->steps[0].failure, ==, "deps failed");
        g_assert_cmpuint(kind->steps[0].timeout_usec, ==, 90 * USEC_PER_SEC);
        g_assert_cmpuint(kind->steps[1].timeout_usec, ==, KIND_UNSET);

        g_assert_cmpint(kind->handshake.type, ==, KIND_HANDSHAKE_PROTOCOL);
        g_assert_cmpint(kind->handshake.transport, ==, KIND_TRANSPORT_PIPES);
        g_assert_cmpuint(kind->handshake.timeout_usec, ==, 500 * USEC_PER_MSEC);
        g_assert_cmpstr(kind->stop.message, ==, "shutdown");
        g_assert_cmpuint(kind->stop.timeout_usec, ==, 5 * USEC_PER_SEC);
        g_assert_cmpint(kind->interrupt.signal, ==, SIGUSR1);

        g_assert_cmpuint(kind->limits.memory_max, ==, UINT64_C(1) << 30);
        g_assert_cmpuint(kind->limits.memory_high, ==, UINT64_C(512) << 20);
        g_assert_cmpuint(kind->limits.cpu_quota_per_sec_usec, ==, 1500000);
        g_assert_cmpuint(kind->limits.cpu_weight, ==, 50);
        g_assert_cmpuint(kind->limits.io_weight, ==, 10000);
        g_assert_cmpuint(kind->limits.tasks_max, ==, 64);
        g_assert_cmpuint(kind->limits.runtime_max_usec, ==, 3600 * USEC_PER_SEC);
}

static void test_defaults(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=lang\n[Handshake]\n");
        g_autoptr(Kind) absolute = load_good(f, "[Kind]\nExecutable=/opt/lang\n");

        g_assert_cmpstr(kind->executable_missing, ==, "no lang executable found in PATH");
        g_assert_cmpstr(absolute->executable_missing, ==, "no executable file at /opt/lang");
        g_assert_null(kind->exec);
        g_assert_null(kind->environment);
        g_assert_null(kind->directory);
        g_assert_cmpint(kind->handshake.type, ==, KIND_HANDSHAKE_EXEC);
        g_assert_cmpuint(kind->handshake.timeout_usec, ==, 10 * USEC_PER_SEC);
        g_assert_null(kind->stop.message);
        g_assert_cmpint(kind->stop.signal, ==, 0);
        g_assert_cmpuint(kind->stop.timeout_usec, ==, KIND_UNSET);
        g_assert_cmpint(kind->interrupt.signal, ==, 0);
        g_assert_cmpuint(kind->limits.memory_max, ==, KIND_UNSET);
        g_assert_cmpuint(kind->limits.tasks_max, ==, KIND_UNSET);
}

#define K "[Kind]\nExec=%h/prog\n"          /* two lines */
#define P "[Handshake]\nType=protocol\n"

/* Each mistake, and what is said about it behind the file's name. */
static const struct {
        const char *text;
        const char *problem;
} refusals[] = {
        /* the syntax */
        { "Exec=true\n[Kind]\n", ":1: before the first [Section]" },
        { "[Kind\n", ":1: not a [Section]" },
        { "[]\n", ":1: not a [Section]" },
        { "[Kind]]\n", ":1: not a [Section]" },
        { "[Kind] # x\n", ":1: not a [Section]" },
        { K "nonsense\n", ":3: neither [Section], nor Key=Value, nor a # comment" },
        { K "=x\n", ":3: neither [Section], nor Key=Value, nor a # comment" },
        { K "; comment\n", ":3: neither [Section], nor Key=Value, nor a # comment" },
        { K "Exec=a\n", ":3: key \"Exec\" was already there in line 2" },
        { K "Description=\nDescription=a\n", ":4: key \"Description\" was already there in line 3" },
        { K "[Stop]\n[Kind]\n", ":4: section \"Kind\" was already there in line 1" },
        { K "[Option A]\n[Option A]\n", ":4: section \"Option A\" was already there in line 3" },
        { K "Description=a\x01z\n", ":3: character U+0001 isn't allowed" },
        { K "Description=a\rz\n", ":3: character U+000D isn't allowed" },
        { K "Description=a\xc2\x9bz\n", ":3: character U+009B isn't allowed" },
        { K "Description=a\xef\xbf\xbez\n", ":3: character U+FFFE isn't allowed" },
        { K "Description=a\xef\xb7\x90z\n", ":3: character U+FDD0 isn't allowed" },
        { K "Description=a\xf0\x9f\xbf\xbfz\n", ":3: character U+1FFFF isn't allowed" },
        { K "Description=a\xffz\n", ":3: not UTF-8 text" },
        { "\xef\xbb\xbf" K, ":1: neither [Section], nor Key=Value, nor a # comment" },
        /* sections and keys */
        { "# nothing\n", ": no section [Kind]" },
        { "[Stop]\n", ": no section [Kind]" },
        { K "[Nope]\n", ":3: unknown section \"Nope\"" },
        { K "[kind]\n", ":3: unknown section \"kind\"" },
        { K "[Kind Two]\n", ":3: unknown section \"Kind Two\"" },
        { K "[Option]\n", ":3: unknown section \"Option\"" },
        { K "[Optional X]\n", ":3: unknown section \"Optional X\"" },
        { K "Exce=a\n", ":3: unknown key \"Exce\" in section \"Kind\"" },
        { K "Nope=\n", ":3: unknown key \"Nope\" in section \"Kind\"" },
        { K "Description[de]=a\n", ":3: unknown key \"Description[de]\" in section \"Kind\"" },
        { K "[Limits]\nMemoryMxa=1G\n", ":4: unknown key \"MemoryMxa\" in section \"Limits\"" },
        { K "[Option A]\nMax=1\n", ":4: unknown key \"Max\" in section \"Option A\"" },
        /* [Kind] */
        { "[Kind]\nExecutable=bin/x\n", ":2: Executable: neither a name to look up in PATH nor an absolute path" },
        { "[Kind]\nExecutableMissing=x\n", ":1: ExecutableMissing without Executable" },
        { "[Kind]\nExec=%e\n", ":2: Exec: %e needs an Executable in [Kind]" },
        { "[Kind]\nExec=%q\n", ":2: Exec: unknown specifier \"%q\" (a percent sign is written %%)" },
        { "[Kind]\nExec=a%\n", ":2: Exec: unknown specifier \"%\" (a percent sign is written %%)" },
        { "[Kind]\nExec=%\xc3\xa4\n", ":2: Exec: unknown specifier \"%\xc3\xa4\" (a percent sign is written %%)" },
        { "[Kind]\nExec='a\n", ":2: Exec: a quotation mark or a backslash has no partner" },
        { "[Kind]\nExec=#a\n", ":2: Exec: no words" },
        { "[Kind]\nExec=a ${No}\n", ":2: Exec: there is no [Option] named \"No\"" },
        { "[Kind]\nExec=a ${}\n", ":2: Exec: there is no [Option] named \"\"" },
        { "[Kind]\nExec=a ${No\n", ":2: Exec: \"${\" without \"}\" (to mean these characters, write \"$${\")" },
        { "[Kind]\nExec=a ${No?b}\n", ":2: Exec: there is no [Option] named \"No\"" },
        { "[Kind]\nExec=a x${A?b}\n[Option A]\n",
          ":2: Exec: \"${Option?\" must begin a word, and its \"}\" must end it" },
        { "[Kind]\nExec=a ${A?b c}\n[Option A]\n",
          ":2: Exec: \"${Option?\" must begin a word, and its \"}\" must end it" },
        { "[Kind]\nExec=a ${A?${A?b}}\n[Option A]\n",
          ":2: Exec: \"${Option?\" must begin a word, and its \"}\" must end it" },
        { "[Kind]\nExec=a ${A?b%q}\n[Option A]\n", ":2: Exec: unknown specifier \"%q\" (a percent sign is written %%)" },
        { "[Kind]\nExec=a x${L}\n[Option L]\nType=strings\n",
          ":2: Exec: the list ${L} can only be a whole word of an Exec" },
        { "[Kind]\nEnvironment=A\n", ":2: Environment: each word must be NAME=VALUE" },
        { "[Kind]\nEnvironment=1A=b\n", ":2: Environment: each word must be NAME=VALUE" },
        { "[Kind]\nEnvironment==b\n", ":2: Environment: each word must be NAME=VALUE" },
        { "[Kind]\nEnvironment=A=b ${O}\n[Option O]\n", ":2: Environment: each word must be NAME=VALUE" },
        { "[Kind]\nEnvironment=A${O}=b\n[Option O]\n", ":2: Environment: each word must be NAME=VALUE" },
        { "[Kind]\nEnvironment=${O?b}\n[Option O]\n", ":2: Environment: each word must be NAME=VALUE" },
        { "[Kind]\nEnvironment=A=${L}\n[Option L]\nType=strings\n",
          ":2: Environment: the list ${L} can only be a whole word of an Exec" },
        { "[Kind]\nExecutable=x\nEnvironment=A=%e\n", ":3: Environment: %e can be used in Exec only" },
        { "[Kind]\nDirectory=work\n", ":2: Directory: must begin with /, %h, %t, %Y or an option of type path" },
        { "[Kind]\nDirectory=%i\n", ":2: Directory: must begin with /, %h, %t, %Y or an option of type path" },
        { "[Kind]\nDirectory=${S}\n[Option S]\n",
          ":2: Directory: must begin with /, %h, %t, %Y or an option of type path" },
        { "[Kind]\nDirectory=/${L}\n[Option L]\nType=strings\n",
          ":2: Directory: the list ${L} can only be a whole word of an Exec" },
        /* [Option] */
        { K "[Option a]\n", ":3: an option's name is A-Z, then letters and digits, at most 64" },
        { K "[Option ]\n", ":3: an option's name is A-Z, then letters and digits, at most 64" },
        { K "[Option  A]\n", ":3: an option's name is A-Z, then letters and digits, at most 64" },
        { K "[Option A-b]\n", ":3: an option's name is A-Z, then letters and digits, at most 64" },
        { K "[Option A234567890123456789012345678901234567890123456789012345678901234X]\n",
          ":3: an option's name is A-Z, then letters and digits, at most 64" },
        { K "[Option MemoryMax]\n", ":3: every kind has an option of this name already" },
        { K "[Option A]\nType=float\n",
          ":4: Type: must be one of string, strings, boolean, integer, size, time, path" },
        { K "[Option A]\nRequired=maybe\n", ":4: Required: must be yes or no" },
        { K "[Option A]\nRequired=yes\nDefault=x\n", ":5: Default: an option that is required has no default" },
        { K "[Option A]\nType=integer\nDefault=1x\n", ":5: Default: \"1x\" is not an integer" },
        { K "[Option A]\nType=boolean\nDefault=maybe\n", ":5: Default: \"maybe\" is not yes or no" },
        { K "[Option A]\nType=path\nDefault=here\n", ":5: Default: \"here\" is not an absolute path" },
        { K "[Option A]\nType=size\nDefault=1X\n", ":5: Default: \"1X\" is not a size, like 512M or infinity" },
        { K "[Option A]\nType=time\nDefault=1y\n", ":5: Default: \"1y\" is not a time, like 1min 30s or infinity" },
        { K "[Option A]\nType=strings\nDefault='a\n",
          ":5: Default: \"'a\" is not a list of strings: a quotation mark or a backslash has no partner" },
        { K "[Option A]\nDefault=c\nValues=a;b\n", ":4: Default: option A must be one of a, b, not \"c\"" },
        { K "[Option A]\nValues=a;;b\n", ":4: Values: an empty value" },
        { K "[Option A]\nValues=;\n", ":4: Values: an empty value" },
        { K "[Option A]\nType=integer\nValues=1;b\n", ":5: Values: \"b\" is not an integer" },
        { K "[Option A]\nType=boolean\nValues=yes\n", ":5: Values: a boolean has no list of values" },
        /* [Step] */
        { K "[Step a]\n", ":3: a step needs Exec" },
        { K "[Step a]\nExec=\n", ":3: a step needs Exec" },
        { K "[Step a b]\n", ":3: a step's name is letters, digits and . _ -, at most 64" },
        { K "[Step ]\n", ":3: a step's name is letters, digits and . _ -, at most 64" },
        { K "[Step a]\nExec=true\nTimeoutSec=0\n", ":5: TimeoutSec: must be a time, like 10s, neither 0 nor infinity" },
        { K "[Step a]\nExec=true ${B}\n", ":4: Exec: there is no [Option] named \"B\"" },
        /* [Handshake] */
        { K "[Handshake]\nType=magic\n", ":4: Type: must be one of exec, line, notify, protocol" },
        { K "[Handshake]\nTimeoutSec=infinity\n",
          ":4: TimeoutSec: must be a time, like 10s, neither 0 nor infinity" },
        { K "[Handshake]\nTimeoutSec=soon\n", ":4: TimeoutSec: must be a time, like 10s, neither 0 nor infinity" },
        { K "[Handshake]\nTransport=socket\n", ":4: Transport: only with Type=protocol" },
        { K P "Transport=carrier\n", ":5: Transport: must be one of socket, pipes" },
        { K "[Handshake]\nLine=x\n", ":4: Line: only with Type=line" },
        { K "[Handshake]\nType=line\n", ":3: Type=line needs Line" },
        { K "[Handshake]\nType=line\nLine=(\n", ":5: Line: not a regular expression: Unmatched ( or \\(" },
        { K "[Handshake]\nType=line\nLine=(a)\\1\n", ":5: Line: back references aren't allowed" },
        { K "[Handshake]\nType=line\nLine=((((a{99}){99}){99}){99})\n",
          ":5: Line: too many repetitions in the regular expression" },
        { K "[Handshake]\nType=line\nLine=(((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+\n",
          ":5: Line: too many repetitions in the regular expression" },
        { K "[Handshake]\nType=line\nLine=a++++++++?++++++++?++++++++\n",
          ":5: Line: a repetition right behind another" },
        { K "[Handshake]\nType=line\nLine=){9}{9}{9}{9}{9}{9}{9}{9}\n",
          ":5: Line: a repetition right behind another" },
        { K "[Handshake]\nType=line\nLine=(({9999}))|){9999}\n",
          ":5: Line: too many repetitions in the regular expression" },
        { K "[Handshake]\nType=line\nLine=a{99999999999999999999}\n",
          ":5: Line: too many repetitions in the regular expression" },
        { K "[Handshake]\nType=line\nLine=((((((((((((((((((((((((((((((((((((a\n",
          ":5: Line: too many nested parentheses" },
        /* [Stop], [Interrupt] */
        { K "[Stop]\nMessage=shutdown\n", ":4: Message: only with Type=protocol in [Handshake]" },
        { K "[Interrupt]\nMessage=interrupt\n[Handshake]\nType=notify\n",
          ":4: Message: only with Type=protocol in [Handshake]" },
        { K P "[Stop]\nMessage=a\nSignal=SIGTERM\n", ":5: either Message or Signal, not both" },
        { K P "[Stop]\nMessage=Shut Down\n",
          ":6: Message: must be the name of a message: a-z, 0-9 and _, at most 64" },
        { K "[Stop]\nSignal=TERM\n", ":4: Signal: must be the name of a signal, like SIGINT" },
        { K "[Stop]\nSignal=15\n", ":4: Signal: must be the name of a signal, like SIGINT" },
        { K "[Stop]\nSignal=SIG\n", ":4: Signal: must be the name of a signal, like SIGINT" },
        { K "[Stop]\nSignal=SIGNOPE\n", ":4: Signal: must be the name of a signal, like SIGINT" },
        { K "[Interrupt]\nTimeoutSec=1\n", ":4: unknown key \"TimeoutSec\" in section \"Interrupt\"" },
        /* [Limits] */
        { K "[Limits]\nMemoryMax=0\n", ":4: MemoryMax: must be a size, like 512M or infinity, not 0" },
        { K "[Limits]\nMemoryMax=-1\n", ":4: MemoryMax: must be a size, like 512M or infinity, not 0" },
        { K "[Limits]\nMemoryHigh=99999999999T\n", ":4: MemoryHigh: must be a size, like 512M or infinity, not 0" },
        { K "[Limits]\nCPUQuota=50\n", ":4: CPUQuota: must be a percentage of one processor, like 50% or 200%" },
        { K "[Limits]\nCPUQuota=0%\n", ":4: CPUQuota: must be a percentage of one processor, like 50% or 200%" },
        { K "[Limits]\nCPUQuota=9999999%\n",
          ":4: CPUQuota: must be a percentage of one processor, like 50% or 200%" },
        { K "[Limits]\nCPUWeight=0\n", ":4: CPUWeight: must be a number from 1 to 10000" },
        { K "[Limits]\nIOWeight=10001\n", ":4: IOWeight: must be a number from 1 to 10000" },
        { K "[Limits]\nTasksMax=0\n", ":4: TasksMax: must be a number from 1, or infinity" },
        { K "[Limits]\nTasksMax=50%\n", ":4: TasksMax: must be a number from 1, or infinity" },
        { K "[Limits]\nRuntimeMaxSec=0\n", ":4: RuntimeMaxSec: must be a time, like 10s or infinity, not 0" },
};

static void test_refusals(Fixture *f, const void *data) {
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                g_autoptr(Kind) kind = load_text(f, refusals[i].text);
                g_autofree char *expected = g_strconcat(f->low, "/x.kind", refusals[i].problem, NULL);

                g_assert_cmpstr(kind->problem, ==, expected);
                g_assert_cmpuint(kind->n_options, ==, 0);
                g_assert_null(kind->exec);
        }
}

static void test_empty_value_is_unset(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nDescription=\nExec=\nEnvironment=\n[Option A]\nDefault=\nValues=\n"
                                            "[Handshake]\nType=\n[Limits]\nMemoryMax=\n");

        g_assert_null(kind->description);
        g_assert_null(kind->exec);
        g_assert_null(kind->options[0].default_value);
        g_assert_cmpint(kind->handshake.type, ==, KIND_HANDSHAKE_EXEC);
}

static void test_good_lines(Fixture *f, const void *data) {
        static const char *const lines[] = {
                "^Listening on port [0-9]+$", "ready|started", "\\[info\\] up", "[]a]{1,3}x", "[[:digit:]]{4}-(a|b)*",
                "a{100}b{2,}", "^(.+)+ \\(pid [^)]*\\)$", "[^]]+]",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                g_autofree char *text = g_strdup_printf("[Kind]\n[Handshake]\nType=line\nLine=%s\n", lines[i]);
                g_autoptr(Kind) kind = load_good(f, text);

                g_assert_cmpstr(kind->handshake.line, ==, lines[i]);
        }
}

/* The start, then n times the part, whose "#" is the number of the time. */
static Kind *load_repeated(Fixture *f, const char *start, const char *part, unsigned n) {
        g_autoptr(GString) text = g_string_new(start);

        for (unsigned i = 0; i < n; i++) {
                g_autofree char *number = g_strdup_printf("%u", i);
                g_auto(GStrv) pieces = g_strsplit(part, "#", -1);
                g_autofree char *line = g_strjoinv(number, pieces);

                g_string_append(text, line);
        }
        return load_text(f, text->str);
}

static void test_limits_of_a_file(Fixture *f, const void *data) {
        static const struct {
                const char *start;
                const char *part;
                unsigned n;
                const char *problem;
        } limits[] = {
                { "[Kind]\n", "[Option A#]\n", KIND_OPTIONS_MAX, ":66: more than 64 options" },
                { "[Kind]\n", "[Step s#]\nExec=true\n", KIND_STEPS_MAX, ":66: more than 32 steps" },
                { "[Kind]\nExec=", "w ", KIND_WORDS_MAX, ":2: Exec: more than 256 words" },
                { "[Kind]\n[Option A]\nValues=v", ";v", KIND_WORDS_MAX - 1, ":3: Values: more than 256 values" },
                { "[Kind]\nDescription=", "x", 1024, ":2: Description: longer than 1024 bytes" },
                { "[Kind]\n[Handshake]\nType=line\nLine=", "x", 512, ":4: Line: regular expression longer than 512 bytes" },
        };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                g_autoptr(Kind) good = load_repeated(f, limits[i].start, limits[i].part, limits[i].n);
                g_autoptr(Kind) bad = load_repeated(f, limits[i].start, limits[i].part, limits[i].n + 1);

                g_assert_cmpstr(good->problem, ==, NULL);
                if (!g_str_has_suffix(bad->problem, limits[i].problem))
                        g_error("%s, not %s", bad->problem, limits[i].problem);
        }
}

static void test_hostile_files(Fixture *f, const void *data) {
        g_autofree char *big = g_strnfill(KIND_FILE_MAX + 1, '#'), *fifo = g_build_filename(f->low, "fifo.kind", NULL);
        g_autofree char *dangling = g_build_filename(f->low, "dangling.kind", NULL);
        g_autofree char *zero = g_build_filename(f->low, "zero.kind", NULL);
        g_autofree char *folder = g_build_filename(f->low, "folder.kind", NULL);
        g_autofree char *loop = g_build_filename(f->low, "loop.kind", NULL);
        g_autoptr(GString) sections = g_string_new(NULL), keys = g_string_new("[Kind]\n");
        g_autoptr(KindSet) set = NULL;
        static const struct {
                const char *name;
                const char *problem;
        } expected[] = {
                { "big", "/big.kind: larger than 64 KiB" },
                { "binary", "/binary.kind:1: not UTF-8 text" },
                { "dangling", "/dangling.kind: can't be read: No such file or directory" },
                { "fifo", "/fifo.kind: not a regular file" },
                { "folder", "/folder.kind: not a regular file" },
                { "keys", "/keys.kind:66: too many keys in one section (at most 64)" },
                { "loop", "/loop.kind: can't be read: Too many levels of symbolic links" },
                { "nul", "/nul.kind:2: not UTF-8 text" },
                { "sections", "/sections.kind:257: too many sections (at most 256)" },
                { "zero", "/zero.kind: not a regular file" },
        };

        for (unsigned i = 0; i < 1000; i++) {
                g_string_append_printf(sections, "[%u]\n", i);
                g_string_append_printf(keys, "%u=\n", i);
        }
        write_bytes(f->low, "nul.kind", "[Kind]\nDescription=a\0b\n", 23);
        write_bytes(f->low, "binary.kind", "\x7f""ELF\x02\x01\x01\xff\xfe\x00\x00", 11);
        write_bytes(f->low, "big.kind", big, KIND_FILE_MAX + 1);
        write_bytes(f->low, "full.kind", "[Kind]\n", 7);
        write_file(f->low, "sections.kind", sections->str);
        write_file(f->low, "keys.kind", keys->str);
        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
        g_assert_cmpint(symlink("/nowhere/at/all", dangling), ==, 0);
        g_assert_cmpint(symlink("/dev/zero", zero), ==, 0);
        g_assert_cmpint(symlink("loop.kind", loop), ==, 0);
        g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);

        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, ELEMENTSOF(expected) + 1);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                const Kind *kind = kind_set_get(set, expected[i].name);
                g_autofree char *problem = g_strconcat(f->low, expected[i].problem, NULL);

                g_assert_nonnull(kind);
                g_assert_cmpstr(kind->problem, ==, problem);
        }
        /* the others keep working */
        g_assert_null(kind_set_get(set, "full")->problem);
}

static void test_exactly_the_largest_file(Fixture *f, const void *data) {
        g_autofree char *text = g_strnfill(KIND_FILE_MAX, '#');
        g_autoptr(Kind) kind = NULL;

        memcpy(text, "[Kind]\n", 7);
        kind = load_good(f, text);
}

static void test_unreadable_file(Fixture *f, const void *data) {
        g_autofree char *path = g_build_filename(f->low, "x.kind", NULL);
        g_autofree char *expected = g_strconcat(path, ": can't be read: Permission denied", NULL);
        g_autoptr(KindSet) set = NULL;
        bool root = geteuid() == 0;

        write_file(f->low, "x.kind", "[Kind]\n");
        g_assert_cmpint(chmod(path, 0), ==, 0);
        /* root can read everything, so it is somebody else for a moment */
        if (root) {
                g_assert_cmpint(chmod(f->root, 0755), ==, 0);
                g_assert_cmpint(seteuid(65534), ==, 0);
        }
        set = load(f);
        if (root)
                g_assert_cmpint(seteuid(0), ==, 0);
        g_assert_cmpstr(kind_set_get(set, "x")->problem, ==, expected);
}

static void test_names(Fixture *f, const void *data) {
        static const struct {
                const char *name;
                bool valid;
        } names[] = {
                { "a", true }, { "elixir-standalone", true }, { "a1", true }, { "abcdefghijklmnopqrstuvwxyz012345", true },
                { "abcdefghijklmnopqrstuvwxyz0123456", false }, { "", false }, { "1a", false }, { "-a", false },
                { "A", false }, { "a_b", false }, { "a.b", false }, { "a b", false }, { "a\n", false }, { "\xc3\xa4", false },
        };
        g_autoptr(KindSet) set = NULL;
        unsigned n_bad = 0;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *file = g_strconcat(names[i].name, ".kind", NULL);

                g_assert_cmpint(kind_name_is_valid(names[i].name), ==, names[i].valid);
                write_file(f->low, file, "[Kind]\n");
                /* ".kind" is a hidden file */
                n_bad += !names[i].valid && names[i].name[0] != '\0';
        }
        write_file(f->low, "editor.kind~", "broken");
        write_file(f->low, ".hidden.kind", "broken");
        write_file(f->low, "README", "broken");

        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 4);
        g_assert_cmpuint(g_strv_length((char **) kind_set_get_problems(set)), ==, n_bad);
        for (const char *const *problem = kind_set_get_problems(set); *problem; problem++) {
                g_assert_true(g_str_has_suffix(*problem, ": a kind's name is a-z, then a-z, 0-9 and -, at most 32"));
                g_assert_null(strchr(*problem, '\n'));
        }
}

static void test_order_and_lookup(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->high, "bb.kind", "[Kind]\n");
        write_file(f->low, "c.kind", "[Kind]\n");
        write_file(f->middle, "a-a.kind", "[Kind]\n");
        write_file(f->low, "b.kind", "[Kind]\n");
        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 4);
        g_assert_cmpstr(kind_set_at(set, 0)->name, ==, "a-a");
        g_assert_cmpstr(kind_set_at(set, 1)->name, ==, "b");
        g_assert_cmpstr(kind_set_at(set, 2)->name, ==, "bb");
        g_assert_cmpstr(kind_set_at(set, 3)->name, ==, "c");
        g_assert_null(kind_set_at(set, 4));
        for (size_t i = 0; i < 4; i++)
                g_assert_true(kind_set_get(set, kind_set_at(set, i)->name) == kind_set_at(set, i));
        g_assert_null(kind_set_get(set, "aa"));
        g_assert_null(kind_set_get(set, ""));
}

static void test_at_most_256_kinds(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;
        g_autofree char *expected = g_strconcat(
                f->low, "/k256.kind: more than 256 kinds, this one and those behind it are ignored", NULL);

        for (unsigned i = 0; i < KIND_SET_MAX + 5; i++) {
                g_autofree char *name = g_strdup_printf("k%03u.kind", i);

                write_file(f->low, name, "[Kind]\n");
        }
        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, KIND_SET_MAX);
        assert_strv(kind_set_get_problems(set), expected);
}

static void test_later_directory_replaces(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "x.kind", "[Kind]\nDescription=low\nExec=true\n");
        write_file(f->middle, "x.kind", "[Kind]\nDescription=middle\n");
        set = load(f);
        g_assert_cmpstr(kind_set_get(set, "x")->description, ==, "middle");
        g_assert_null(kind_set_get(set, "x")->exec);
        g_clear_pointer(&set, kind_set_free);

        write_file(f->high, "x.kind", "broken");
        set = load(f);
        g_assert_true(g_str_has_suffix(kind_set_get(set, "x")->problem,
                                       "/high/x.kind:1: neither [Section], nor Key=Value, nor a # comment"));
}

static void test_masks(Fixture *f, const void *data) {
        g_autofree char *link = g_build_filename(f->high, "linked.kind", NULL);
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "emptied.kind", "[Kind]\n");
        write_file(f->low, "linked.kind", "[Kind]\n");
        write_file(f->low, "kept.kind", "[Kind]\n");
        write_file(f->low, "back.kind", "[Kind]\n");
        write_file(f->middle, "back.kind", "");
        write_file(f->high, "back.kind", "[Kind]\n");
        write_file(f->high, "emptied.kind", "");
        write_file(f->high, "emptied.kind.d/x.conf", "broken");
        g_assert_cmpint(symlink("/dev/null", link), ==, 0);
        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 2);
        g_assert_nonnull(kind_set_get(set, "kept"));
        g_assert_nonnull(kind_set_get(set, "back"));
        g_assert_null(kind_set_get_problems(set)[0]);
}

static void test_dropins(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;
        g_autoptr(KindPlan) plan = NULL;
        const Kind *kind;

        write_file(f->middle, "x.kind",
                   "[Kind]\nDescription=main\nExec=prog ${A}\nEnvironment=E=%Y\n[Option A]\nDefault=one\n"
                   "[Limits]\nTasksMax=5\nCPUWeight=7\n");
        /* a directory of less priority may hold drop-ins too; they apply in the order of their names */
        write_file(f->low, "x.kind.d/20-b.conf", "[Kind]\nDescription=20 low\n[Limits]\nTasksMax=20\n");
        write_file(f->high, "x.kind.d/10-a.conf", "[Kind]\nDescription=10 high\n[Option A]\nDefault=two\n");
        write_file(f->low, "x.kind.d/30-c.conf", "broken");
        write_file(f->high, "x.kind.d/30-c.conf", "[Limits]\nCPUWeight=\n[Option B]\n[Step s]\nExec=s ${B?b}\n");
        write_file(f->low, "x.kind.d/40-d.conf", "broken");
        write_file(f->high, "x.kind.d/40-d.conf", "");
        write_file(f->high, "x.kind.d/README", "broken");
        write_file(f->high, "other.kind.d/a.conf", "broken");

        set = load(f);
        g_assert_cmpuint(kind_set_size(set), ==, 1);
        kind = kind_set_get(set, "x");
        g_assert_cmpstr(kind->problem, ==, NULL);
        g_assert_cmpstr(kind->description, ==, "20 low");
        g_assert_cmpuint(kind->limits.tasks_max, ==, 20);
        g_assert_cmpuint(kind->limits.cpu_weight, ==, KIND_UNSET);
        g_assert_cmpuint(kind->n_options, ==, 2);
        plan = expand_good(kind, NULL);
        assert_strv(plan->argv, "prog", "two");
        assert_strv(plan->steps[0].argv, "s");
        /* of the main file, wherever the drop-ins are */
        g_assert_true(g_str_has_suffix(plan->environment[0], "/middle"));
}

static void test_mistake_in_a_dropin(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;
        g_autofree char *expected = g_strconcat(f->high, "/x.kind.d/a.conf:3: Exec: unknown specifier \"%q\" "
                                                         "(a percent sign is written %%)", NULL);

        write_file(f->low, "x.kind", "[Kind]\nExec=true\n");
        write_file(f->high, "x.kind.d/a.conf", "\n[Kind]\nExec=%q\n");
        set = load(f);
        g_assert_cmpstr(kind_set_get(set, "x")->problem, ==, expected);
}

static void test_too_many_dropins(Fixture *f, const void *data) {
        g_autoptr(KindSet) set = NULL;

        write_file(f->low, "x.kind", "[Kind]\n");
        for (unsigned i = 0; i <= KIND_DROPINS_MAX; i++) {
                g_autofree char *name = g_strdup_printf("x.kind.d/%03u.conf", i);

                write_file(f->low, name, "[Kind]\n");
        }
        set = load(f);
        g_assert_cmpstr(kind_set_get(set, "x")->problem, ==, "x.kind.d: more than 64 drop-ins");
}

static void test_directories_that_are_not(Fixture *f, const void *data) {
        g_autofree char *file = g_build_filename(f->root, "file", NULL), *missing = g_build_filename(f->root, "no", NULL);
        g_autofree char *expected = g_strconcat(file, ": Not a directory", NULL);
        const char *directories[] = { missing, file, f->low, NULL };
        const char *none[] = { NULL };
        g_autoptr(KindSet) set = NULL, empty = NULL;

        write_file(f->root, "file", "");
        write_file(f->low, "x.kind", "[Kind]\n");
        g_assert_cmpint(kind_set_load(directories, NULL, &set), ==, 0);
        g_assert_cmpuint(kind_set_size(set), ==, 1);
        assert_strv(kind_set_get_problems(set), expected);

        g_assert_cmpint(kind_set_load(none, NULL, &empty), ==, 0);
        g_assert_cmpuint(kind_set_size(empty), ==, 0);
        g_assert_null(kind_set_get(empty, "x"));
}

static void test_out_of_descriptors(Fixture *f, const void *data) {
        const char *directories[] = { f->low, NULL };
        struct rlimit old, none;
        KindSet *set = NULL;
        int r;

        write_file(f->low, "x.kind", "[Kind]\n");
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
        none = (struct rlimit) { .rlim_cur = 0, .rlim_max = old.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
        r = kind_set_load(directories, reserved, &set);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
        g_assert_cmpint(r, ==, -EMFILE);
        g_assert_null(set);
}

static void test_a_kind_outlives_its_set(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=true ${A}\n[Option A]\nDefault=x\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);

        assert_strv(plan->argv, "true", "x");
}

static void test_specifiers(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=prog\n"
                                            "Exec=%e %%x 100%% %i-%u-%U@%H '%t/a b' $HOME $$ $${x} \"\" a\"\"b\n"
                                            "Environment=X=%h/y E= K=%Y\n"
                                            "Directory=%h/my files\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);
        g_autofree char *directory = g_strconcat("K=", f->low, NULL);

        assert_strv(plan->argv, "/usr/bin/prog", "%x", "100%", "abc-me-1000@box", "/run/rm/abc/a b", "$HOME", "$$", "${x}",
                    "", "ab");
        assert_strv(plan->environment, "X=/home/me/y", "E=", directory);
        g_assert_cmpstr(plan->directory, ==, "/home/me/my files");
}

static void test_unknown_specifiers(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=prog\nExec=%e\nDirectory=%h\n");
        KindContext context = { .id = "abc", .executable = "/bin/prog" };
        g_autofree char *problem = NULL;
        g_autoptr(KindPlan) plan = NULL;

        g_assert_cmpint(kind_expand(kind, &context, &plan, &problem), ==, -EINVAL);
        g_assert_cmpstr(problem, ==, "kind x uses %h, which isn't known here");
}

#define OPTIONS                                                                      \
        "[Option Text]\n[Option List]\nType=strings\n[Option Flag]\nType=boolean\n"  \
        "[Option Number]\nType=integer\n[Option Bytes]\nType=size\n"                 \
        "[Option Wait]\nType=time\n[Option Where]\nType=path\n"

static void test_options_unset(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${Text} ${List} ${Flag} ${Number} ${Bytes} ${Where} "
                                            "-t=${Text} '' ${Text?--text=${Text}} ${List?-l} ${Flag?-f}\n"
                                            "Environment=T=${Text} ${Where?W=${Where}}\nDirectory=${Where}\n" OPTIONS);
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);

        assert_strv(plan->argv, "prog", "-t=", "");
        assert_strv(plan->environment, "T=");
        g_assert_null(plan->directory);
}

static void test_options_set(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${Text} ${List} ${Flag} ${Number} ${Bytes} ${Wait} ${Where} "
                                            "${Text?--text=${Text}} ${List?-l} ${Flag?-f} \"${Number?a b}\" ${Flag?}\n"
                                            "Environment=T=${Text} ${Where?W=${Where}/%i}\nDirectory=${Where}/sub\n"
                                            "[Step s]\nExec=${Where}/step ${List?${List}}\n" OPTIONS);
        const char *list[] = { "one", "", "t w o", NULL };
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) plan = NULL;

        /* what looks like a hole in a value is none */
        values_set(values, "Text", kind_value_new_string("%h ${Flag} $(rm)"));
        values_set(values, "List", kind_value_new_strings(list));
        values_set(values, "Flag", kind_value_new_boolean(true));
        values_set(values, "Number", kind_value_new_integer(INT64_MIN));
        values_set(values, "Bytes", kind_value_new_size(1024));
        values_set(values, "Wait", kind_value_new_time(USEC_INFINITY));
        values_set(values, "Where", kind_value_new_path("/w"));
        plan = expand_good(kind, values);
        assert_strv(plan->argv, "prog", "%h ${Flag} $(rm)", "one", "", "t w o", "true", "-9223372036854775808", "1024",
                    "infinity", "/w", "--text=%h ${Flag} $(rm)", "-l", "-f", "a b", "");
        assert_strv(plan->environment, "T=%h ${Flag} $(rm)", "W=/w/abc");
        g_assert_cmpstr(plan->directory, ==, "/w/sub");
        assert_strv(plan->steps[0].argv, "/w/step", "one", "", "t w o");
}

static void test_options_false_and_empty(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${Text} ${Text?t} ${List} ${List?l} ${Flag} ${Flag?f}\n" OPTIONS);
        const char *list[] = { NULL };
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) plan = NULL;

        values_set(values, "Text", kind_value_new_string(""));
        values_set(values, "List", kind_value_new_strings(list));
        values_set(values, "Flag", kind_value_new_boolean(false));
        plan = expand_good(kind, values);
        assert_strv(plan->argv, "prog", "", "t", "false");
}

static void test_defaults_of_options(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=prog ${L} ${B?b} ${T} ${S}\n"
                                            "[Option L]\nType=strings\nDefault=a 'b c'\n[Option B]\nType=boolean\nDefault=on\n"
                                            "[Option T]\nType=time\nDefault=1.5s\n[Option S]\nDefault=x y\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);
        g_autoptr(GHashTable) values = kind_values_new();
        g_autoptr(KindPlan) other = NULL;

        assert_strv(plan->argv, "prog", "a", "b c", "b", "1500000", "x y");
        values_set(values, "B", kind_value_new_boolean(false));
        values_set(values, "S", kind_value_new_string("z"));
        other = expand_good(kind, values);
        assert_strv(other->argv, "prog", "a", "b c", "1500000", "z");
}

static void test_steps_and_no_exec(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\n[Step b]\nExec=mix b\nAnnounce=Running b...\nFailure=50% failed\n"
                                            "[Step a]\nExec=mix a\nTimeoutSec=2\n");
        g_autoptr(KindPlan) plan = expand_good(kind, NULL);

        g_assert_null(plan->argv);
        g_assert_null(plan->directory);
        g_assert_nonnull(plan->environment);
        g_assert_null(plan->environment[0]);
        g_assert_cmpuint(plan->n_steps, ==, 2);
        g_assert_cmpstr(plan->steps[0].name, ==, "b");
        g_assert_cmpstr(plan->steps[0].announce, ==, "Running b...");
        g_assert_cmpstr(plan->steps[0].failure, ==, "50% failed");
        g_assert_cmpuint(plan->steps[0].timeout_usec, ==, KIND_UNSET);
        assert_strv(plan->steps[1].argv, "mix", "a");
        g_assert_null(plan->steps[1].announce);
        g_assert_cmpuint(plan->steps[1].timeout_usec, ==, 2 * USEC_PER_SEC);
}

static void test_expansion_refused(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExec=${Text} ${Many}\nDirectory=${Where}\n"
                                            "[Option Text]\nRequired=yes\n[Option Level]\nValues=low;high\n"
                                            "[Option Many]\nType=strings\nValues=a;b\n[Option Where]\nType=path\n"
                                            "[Option Size]\nType=size\nValues=1K;1M\n");
        g_autoptr(Kind) broken = load_text(f, "broken");
        const char *bad[] = { "a", "c", NULL };
        g_autoptr(GHashTable) values = kind_values_new();

        assert_refused(broken, NULL, -EINVAL, "kind x can't be used: ");
        assert_refused(kind, NULL, -EINVAL, "kind x needs the option Text");
        assert_refused(kind, values, -EINVAL, "kind x needs the option Text");
        values_set(values, "Text", kind_value_new_integer(1));
        assert_refused(kind, values, -EINVAL, "option Text must be a string");
        values_set(values, "Text", kind_value_new_string(""));
        assert_refused(kind, values, -EINVAL, "with these options kind x has an empty command");
        values_set(values, "Text", kind_value_new_string("prog"));
        values_set(values, "Nope", kind_value_new_string("prog"));
        assert_refused(kind, values, -EINVAL, "kind x has no option Nope");
        g_hash_table_remove(values, "Nope");
        values_set(values, "Where", kind_value_new_path("here"));
        assert_refused(kind, values, -EINVAL, "option Where must be an absolute path");
        values_set(values, "Where", kind_value_new_string("/here"));
        assert_refused(kind, values, -EINVAL, "option Where must be an absolute path");
        g_hash_table_remove(values, "Where");
        values_set(values, "Level", kind_value_new_string("mid"));
        assert_refused(kind, values, -EINVAL, "option Level must be one of low, high, not \"mid\"");
        values_set(values, "Level", kind_value_new_string("low"));
        values_set(values, "Many", kind_value_new_strings(bad));
        assert_refused(kind, values, -EINVAL, "option Many must be one of a, b, not \"c\"");
        g_hash_table_remove(values, "Many");
        values_set(values, "Size", kind_value_new_size(1023));
        assert_refused(kind, values, -EINVAL, "option Size must be one of 1K, 1M, not \"1023\"");
        values_set(values, "Size", kind_value_new_size(1024));
        kind_plan_free(expand_good(kind, values));
}

static void test_expansion_is_bounded(Fixture *f, const void *data) {
        g_autoptr(GString) text = g_string_new("[Kind]\nExec=prog");
        g_autoptr(GHashTable) values = kind_values_new();
        g_autofree char *large = g_strnfill(LIMIT_ARGUMENT / 2, 'x');
        g_autofree char **many = g_new0(char *, LIMIT_ARGUMENTS + 1);
        g_autoptr(Kind) kind = NULL, other = NULL;

        for (unsigned i = 0; i < 200; i++)
                g_string_append(text, " ${A}");
        g_string_append(text, "\n[Option A]\n");
        kind = load_good(f, text->str);
        other = load_good(f, "[Kind]\nExec=prog ${A}${A} ${L}\n[Option A]\n[Option L]\nType=strings\n");

        values_set(values, "A", kind_value_new_string(large));
        assert_refused(kind, values, -E2BIG, "with these options kind x needs more bytes than 1048576");
        assert_refused(other, values, -E2BIG, "with these options kind x needs a word with more bytes than 131071");

        for (unsigned i = 0; i < LIMIT_ARGUMENTS; i++)
                many[i] = (char *) "a";
        g_hash_table_remove(values, "A");
        values_set(values, "L", kind_value_new_strings((const char *const *) many));
        assert_refused(other, values, -E2BIG, "with these options kind x needs more words than 4096");
}

static void test_environment_alone(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "[Kind]\nExecutable=prog\nExec=%e\nEnvironment=PATH=%h/bin\n");
        KindContext context = context_with(NULL);
        g_autofree char *problem = NULL;
        g_auto(GStrv) environment = NULL;

        context.executable = NULL;
        g_assert_cmpint(kind_expand_environment(kind, &context, &environment, &problem), ==, 0);
        assert_strv(environment, "PATH=/home/me/bin");
}

static void test_signatures(void) {
        static const char *const expected[] = { "string:s", "strings:as", "boolean:b", "integer:x", "size:t", "time:t", "path:s" };

        for (unsigned i = 0; i < _KIND_OPTION_TYPE_MAX; i++) {
                g_autofree char *both = g_strdup_printf("%s:%s", kind_option_type_to_string(i),
                                                        kind_option_type_to_signature(i));

                g_assert_cmpstr(both, ==, expected[i]);
        }
        g_assert_null(kind_option_type_to_string(_KIND_OPTION_TYPE_MAX));
        g_assert_cmpstr(kind_handshake_type_to_string(KIND_HANDSHAKE_PROTOCOL), ==, "protocol");
        g_assert_null(kind_handshake_type_to_string(_KIND_HANDSHAKE_TYPE_MAX));
        g_assert_cmpstr(kind_transport_to_string(KIND_TRANSPORT_PIPES), ==, "pipes");
}

static void test_values_as_written(void) {
        static const struct {
                KindOptionType type;
                const char *text;
                const char *expected; /* NULL: refused */
        } values[] = {
                { KIND_OPTION_INTEGER, "0", "0" },
                { KIND_OPTION_INTEGER, "-9223372036854775808", "-9223372036854775808" },
                { KIND_OPTION_INTEGER, "9223372036854775808", NULL },
                { KIND_OPTION_INTEGER, "1 ", NULL },
                { KIND_OPTION_INTEGER, "0x10", NULL },
                { KIND_OPTION_INTEGER, "", NULL },
                { KIND_OPTION_SIZE, "0", "0" },
                { KIND_OPTION_SIZE, "64K", "65536" },
                { KIND_OPTION_SIZE, "3M", "3145728" },
                { KIND_OPTION_SIZE, "2G", "2147483648" },
                { KIND_OPTION_SIZE, "1T", "1099511627776" },
                { KIND_OPTION_SIZE, "infinity", "infinity" },
                { KIND_OPTION_SIZE, "18446744073709551616", NULL },
                { KIND_OPTION_SIZE, "16777216T", NULL },
                { KIND_OPTION_SIZE, "1KB", NULL },
                { KIND_OPTION_SIZE, "1k", NULL },
                { KIND_OPTION_SIZE, "1.5G", NULL },
                { KIND_OPTION_SIZE, "K", NULL },
                { KIND_OPTION_SIZE, "", NULL },
                { KIND_OPTION_TIME, "10", "10000000" },
                { KIND_OPTION_TIME, "10s", "10000000" },
                { KIND_OPTION_TIME, "500ms", "500000" },
                { KIND_OPTION_TIME, "7us", "7" },
                { KIND_OPTION_TIME, "1min 30s", "90000000" },
                { KIND_OPTION_TIME, "1min30s", "90000000" },
                { KIND_OPTION_TIME, "1 min 30", "90000000" },
                { KIND_OPTION_TIME, "1h", "3600000000" },
                { KIND_OPTION_TIME, "2d", "172800000000" },
                { KIND_OPTION_TIME, "1.5s", "1500000" },
                { KIND_OPTION_TIME, "0.25", "250000" },
                { KIND_OPTION_TIME, "infinity", "infinity" },
                { KIND_OPTION_TIME, "", NULL },
                { KIND_OPTION_TIME, "s", NULL },
                { KIND_OPTION_TIME, "-1", NULL },
                { KIND_OPTION_TIME, "1.", NULL },
                { KIND_OPTION_TIME, "1.1234567s", NULL },
                { KIND_OPTION_TIME, "1 2", NULL },
                { KIND_OPTION_TIME, "1parsec", NULL },
                { KIND_OPTION_TIME, "99999999999999999d", NULL },
                { KIND_OPTION_TIME, "18446744073709551615us 1us", NULL },
                { KIND_OPTION_BOOLEAN, "yes", "true" },
                { KIND_OPTION_BOOLEAN, "off", "false" },
                { KIND_OPTION_BOOLEAN, "1", "true" },
                { KIND_OPTION_BOOLEAN, "Yes", NULL },
                { KIND_OPTION_BOOLEAN, "", NULL },
                { KIND_OPTION_PATH, "/a b", "/a b" },
                { KIND_OPTION_PATH, "a", NULL },
                { KIND_OPTION_PATH, "", NULL },
                { KIND_OPTION_STRING, "", "" },
                { KIND_OPTION_STRING, "'a'", "'a'" },
                { KIND_OPTION_STRINGS, "a 'b c' \"\"", "a b c " },
                { KIND_OPTION_STRINGS, "", "" },
                { KIND_OPTION_STRINGS, "a'", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                g_autoptr(KindValue) value = NULL;
                g_autofree char *problem = NULL, *text = NULL;
                int r;

                r = kind_value_parse(values[i].type, values[i].text, &value, &problem);
                if (!values[i].expected) {
                        g_assert_cmpint(r, ==, -EINVAL);
                        g_assert_null(value);
                        g_assert_nonnull(problem);
                        continue;
                }
                g_assert_cmpstr(problem, ==, NULL);
                g_assert_cmpint(r, ==, 0);
                text = kind_value_to_string(value);
                g_assert_cmpstr(text, ==, values[i].expected);
        }
}

static void test_long_texts_are_cut_in_messages(Fixture *f, const void *data) {
        g_autoptr(GString) text = g_string_new("[Kind]\n");
        g_autoptr(Kind) kind = NULL;

        for (unsigned i = 0; i < 1000; i++)
                g_string_append(text, "\xc3\xa4");
        g_string_append(text, "=x\n");
        kind = load_text(f, text->str);
        g_assert_true(g_utf8_validate(kind->problem, -1, NULL));
        g_assert_cmpuint(g_utf8_strlen(strstr(kind->problem, "unknown key"), -1), <, 130);
}

static void make_program(const char *directory, const char *name, unsigned mode) {
        g_autofree char *path = g_build_filename(directory, name, NULL);

        write_file(directory, name, "#!/bin/sh\n");
        g_assert_cmpint(chmod(path, mode), ==, 0);
}

static void test_finding_programs(Fixture *f, const void *data) {
        g_autofree char *path = g_strdup_printf("%s:.::%s:%s", f->low, f->middle, f->high);
        g_autofree char *in_middle = g_build_filename(f->middle, "prog", NULL);
        g_autofree char *in_high = g_build_filename(f->high, "late", NULL);
        g_autofree char *folder = g_build_filename(f->low, "folder", NULL);
        g_autofree char *plain = g_build_filename(f->low, "plain", NULL);
        g_autofree char *nothing = g_build_filename(f->low, "nothing", NULL);
        g_autofree char *old = g_get_current_dir();
        struct {
                const char *name;
                const char *path;
                int result;
                const char *found;
        } cases[] = {
                { "prog", path, 0, in_middle },
                { "late", path, 0, in_high },
                { "plain", path, -EACCES, NULL },
                { "folder", path, -ENOENT, NULL },
                { "nothing", path, -ENOENT, NULL },
                { "here", path, -ENOENT, NULL },
                { "", path, -ENOENT, NULL },
                { "./prog", path, -ENOENT, NULL },
                { "sub/prog", path, -ENOENT, NULL },
                { "prog", "", -ENOENT, NULL },
                { in_middle, "", 0, in_middle },
                { folder, path, -ENOENT, NULL },
                { plain, path, -EACCES, NULL },
                { nothing, path, -ENOENT, NULL },
        };

        make_program(f->middle, "prog", 0755);
        make_program(f->high, "prog", 0755);
        make_program(f->low, "late", 0644);
        make_program(f->high, "late", 0755);
        make_program(f->low, "plain", 0644);
        make_program(f->root, "here", 0755);
        g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
        g_assert_cmpint(g_chdir(f->root), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *found = NULL;

                g_assert_cmpint(kind_find_executable(cases[i].name, cases[i].path, &found), ==, cases[i].result);
                g_assert_cmpstr(found, ==, cases[i].found);
        }
        g_assert_cmpint(g_chdir(old), ==, 0);
}

static void test_usual_directories(void) {
        g_autofree char *found = NULL;

        g_assert_cmpint(kind_find_executable("sh", NULL, &found), ==, 0);
        g_assert_true(g_path_is_absolute(found));
}

/* The kinds of this project, as they are in the source tree. */
static void test_shipped_kinds(void) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "data", "kinds", NULL);
        const char *directories[] = { path, NULL };
        g_autoptr(KindSet) set = NULL;

        if (!g_getenv("G_TEST_SRCDIR")) {
                g_test_skip("G_TEST_SRCDIR doesn't say where the sources are");
                return;
        }
        g_assert_cmpint(kind_set_load(directories, NULL, &set), ==, 0);
        g_assert_null(kind_set_get_problems(set)[0]);
        g_assert_nonnull(kind_set_get(set, "command"));
        g_assert_nonnull(kind_set_get(set, "elixir-standalone"));
        for (size_t i = 0; i < kind_set_size(set); i++)
                g_assert_cmpstr(kind_set_at(set, i)->problem, ==, NULL);
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                void (*run)(Fixture *f, const void *data);
        } cases[] = {
                { "file/every-key-is-read", test_all_keys },
                { "file/what-is-not-said-has-a-default", test_defaults },
                { "file/each-mistake-is-refused-by-line", test_refusals },
                { "file/an-empty-value-is-unset", test_empty_value_is_unset },
                { "file/useful-regular-expressions-are-taken", test_good_lines },
                { "file/numbers-of-things-are-limited", test_limits_of_a_file },
                { "file/hostile-files-are-problems-of-their-own", test_hostile_files },
                { "file/exactly-the-largest-file-is-taken", test_exactly_the_largest_file },
                { "file/an-unreadable-file-is-a-problem", test_unreadable_file },
                { "file/long-texts-are-cut-in-messages", test_long_texts_are_cut_in_messages },
                { "set/names-are-checked", test_names },
                { "set/kinds-are-ordered-and-found", test_order_and_lookup },
                { "set/at-most-256-kinds", test_at_most_256_kinds },
                { "set/a-later-directory-replaces", test_later_directory_replaces },
                { "set/empty-file-and-null-link-mask", test_masks },
                { "set/dropins-merge-in-order", test_dropins },
                { "set/a-mistake-in-a-dropin-names-the-dropin", test_mistake_in_a_dropin },
                { "set/dropins-are-limited", test_too_many_dropins },
                { "set/missing-and-wrong-directories", test_directories_that_are_not },
                { "set/out-of-descriptors-fails-as-a-whole", test_out_of_descriptors },
                { "set/a-kind-outlives-its-set", test_a_kind_outlives_its_set },
                { "expand/specifiers", test_specifiers },
                { "expand/a-specifier-that-is-not-known-is-refused", test_unknown_specifiers },
                { "expand/unset-options-disappear", test_options_unset },
                { "expand/set-options-are-inserted-unread", test_options_set },
                { "expand/false-and-empty-are-not-unset", test_options_false_and_empty },
                { "expand/defaults-stand-in", test_defaults_of_options },
                { "expand/steps-in-order-and-no-exec", test_steps_and_no_exec },
                { "expand/wrong-options-are-refused", test_expansion_refused },
                { "expand/size-is-bounded", test_expansion_is_bounded },
                { "expand/environment-alone", test_environment_alone },
                { "executable/found-as-by-execvp-but-only-absolute", test_finding_programs },
        };

        setlocale(LC_ALL, "");
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                g_autofree char *path = g_strconcat("/kind/", cases[i].name, NULL);

                g_test_add(path, Fixture, NULL, setup, cases[i].run, teardown);
        }
        g_test_add_func("/kind/values/signatures", test_signatures);
        g_test_add_func("/kind/values/as-written", test_values_as_written);
        g_test_add_func("/kind/executable/usual-directories-without-a-path", test_usual_directories);
        g_test_add_func("/kind/shipped-kinds-are-good", test_shipped_kinds);
        return g_test_run();
}
