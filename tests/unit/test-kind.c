/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Kind files: each rule of the format, each refusal with the line it names, and hostile files.
 */

#include "core/kind.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kind-test.h"

static void test_all_keys(Fixture *f, const void *data) {
        g_autoptr(Kind) kind = load_good(f, "# comment\r\n"
                                            "[Kind]\n"
                                            "  Description = A language  \n"
                                            "Executable=lang\n"
                                            "ExecutableMissing=no Lang executable found in PATH\n"
                                            "Exec=%e --node\n"
                                            "Environment=A=1 \"B=two words\"\n"
                                            "Directory=%h/work\n"
                                            "RequiresFile=${Project}/project.lang\n"
                                            "RequiresFileMissing=this is no project\n"
                                            "Terminated=Lang terminated\n"
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
        g_assert_nonnull(kind->requires_file);
        g_assert_cmpstr(kind->requires_file_missing, ==, "this is no project");
        g_assert_cmpstr(kind->terminated, ==, "Lang terminated");

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

#define K "[Kind]\nExec=%h/prog\n" /* two lines */
#define P "[Handshake]\nType=protocol\n"

#define NOT_A_LINE(line) "Key file contains line “" line "” which is not a key-value pair, group, or comment"

/* Each mistake, and what is said about it behind the file's name. */
static const struct {
        const char *text;
        const char *problem;
} refusals[] = {
        /* the syntax */
        {"Exec=true\n[Kind]\n", ":1: Key file does not start with a group"},
        {"[Kind\n", ":1: " NOT_A_LINE("[Kind")},
        {"[]\n", ":1: Invalid group name:"},
        {"[Kind]]\n", ":1: " NOT_A_LINE("[Kind]]")},
        {"[Kind] # x\n", ":1: " NOT_A_LINE("[Kind] # x")},
        {K "nonsense\n", ":3: " NOT_A_LINE("nonsense")},
        {K "=x\n", ":3: " NOT_A_LINE("=x")},
        {K "; comment\n", ":3: " NOT_A_LINE("; comment")},
        {K "Exec=a\n", ":3: key \"Exec\" was already there in line 2"},
        {K "Description=\nDescription=a\n", ":4: key \"Description\" was already there in line 3"},
        {K "[Stop]\n[Kind]\n", ":4: section \"Kind\" was already there in line 1"},
        {K "[Option A]\n[Option A]\n", ":4: section \"Option A\" was already there in line 3"},
        {K "Description=a\x01z\n", ":3: character U+0001 isn't allowed"},
        {K "Description=a\rz\n", ":3: character U+000D isn't allowed"},
        {K "Description=a\xc2\x9bz\n", ":3: character U+009B isn't allowed"},
        {K "Description=a\xef\xbf\xbez\n", ":3: character U+FFFE isn't allowed"},
        {K "Description=a\xef\xb7\x90z\n", ":3: character U+FDD0 isn't allowed"},
        {K "Description=a\xf0\x9f\xbf\xbfz\n", ":3: character U+1FFFF isn't allowed"},
        {K "Description=a\xffz\n", ":3: not UTF-8 text"},
        {"\xef\xbb\xbf" K, ":1: " NOT_A_LINE("\xef\xbb\xbf[Kind]")},
        {"# a\r\n\n  \nnonsense\n" K, ":4: " NOT_A_LINE("nonsense")},
        {K "\n\n[Stop]\n[Limits]]\n[Stop]\nnonsense", ":6: " NOT_A_LINE("[Limits]]")},
        {K "[Stop]=\n", ":3: Invalid key name: [Stop]"},
        {K "Description[a b]=\n", ":3: Invalid key name: Description[a b]"},
        {K "Encoding=latin1\n", ":3: Key file contains unsupported encoding “latin1”"},
        {K "Encoding=UTF-8\n", ":3: unknown key \"Encoding\" in section \"Kind\""},
        /* sections and keys */
        {"# nothing\n", ": no section [Kind]"},
        {"[Stop]\n", ": no section [Kind]"},
        {K "[Nope]\n", ":3: unknown section \"Nope\""},
        {K "[kind]\n", ":3: unknown section \"kind\""},
        {K "[Kind Two]\n", ":3: unknown section \"Kind Two\""},
        {K "[Option]\n", ":3: unknown section \"Option\""},
        {K "[Optional X]\n", ":3: unknown section \"Optional X\""},
        {K "Exce=a\n", ":3: unknown key \"Exce\" in section \"Kind\""},
        {K "Nope=\n", ":3: unknown key \"Nope\" in section \"Kind\""},
        {K "Description[de]=a\n", ":3: unknown key \"Description[de]\" in section \"Kind\""},
        {K "[Limits]\nMemoryMxa=1G\n", ":4: unknown key \"MemoryMxa\" in section \"Limits\""},
        {K "[Option A]\nMax=1\n", ":4: unknown key \"Max\" in section \"Option A\""},
        /* [Kind] */
        {"[Kind]\nExecutable=bin/x\n", ":2: Executable: neither a name to look up in PATH nor an absolute path"},
        {"[Kind]\nExecutableMissing=x\n", ":1: ExecutableMissing without Executable"},
        {"[Kind]\nRequiresFileMissing=x\n", ":1: RequiresFileMissing without RequiresFile"},
        {"[Kind]\nRequiresFile=x\n", ":2: RequiresFile: must begin with /, %h, %t, %Y or an option of type path"},
        {"[Kind]\nExec=%e\n", ":2: Exec: %e needs an Executable in [Kind]"},
        {"[Kind]\nExec=%q\n", ":2: Exec: unknown specifier \"%q\" (a percent sign is written %%)"},
        {"[Kind]\nExec=a%\n", ":2: Exec: unknown specifier \"%\" (a percent sign is written %%)"},
        {"[Kind]\nExec=%\xc3\xa4\n", ":2: Exec: unknown specifier \"%\xc3\xa4\" (a percent sign is written %%)"},
        {"[Kind]\nExec='a\n", ":2: Exec: a quotation mark or a backslash has no partner"},
        {"[Kind]\nExec=#a\n", ":2: Exec: no words"},
        {"[Kind]\nExec=a ${No}\n", ":2: Exec: there is no [Option] named \"No\""},
        {"[Kind]\nExec=a ${}\n", ":2: Exec: there is no [Option] named \"\""},
        {"[Kind]\nExec=a ${No\n", ":2: Exec: \"${\" without \"}\" (to mean these characters, write \"$${\")"},
        {"[Kind]\nExec=a ${No?b}\n", ":2: Exec: there is no [Option] named \"No\""},
        {"[Kind]\nExec=a x${A?b}\n[Option A]\n", ":2: Exec: \"${Option?\" must begin a word, and its \"}\" must end it"},
        {"[Kind]\nExec=a ${A?b c}\n[Option A]\n", ":2: Exec: \"${Option?\" must begin a word, and its \"}\" must end it"},
        {"[Kind]\nExec=a ${A?${A?b}}\n[Option A]\n", ":2: Exec: \"${Option?\" must begin a word, and its \"}\" must end it"},
        {"[Kind]\nExec=a ${A?b%q}\n[Option A]\n", ":2: Exec: unknown specifier \"%q\" (a percent sign is written %%)"},
        {"[Kind]\nExec=a x${L}\n[Option L]\nType=strings\n", ":2: Exec: the list ${L} can only be a whole word of an Exec"},
        {"[Kind]\nEnvironment=A\n", ":2: Environment: each word must be NAME=VALUE"},
        {"[Kind]\nEnvironment=1A=b\n", ":2: Environment: each word must be NAME=VALUE"},
        {"[Kind]\nEnvironment==b\n", ":2: Environment: each word must be NAME=VALUE"},
        {"[Kind]\nEnvironment=A=b ${O}\n[Option O]\n", ":2: Environment: each word must be NAME=VALUE"},
        {"[Kind]\nEnvironment=A${O}=b\n[Option O]\n", ":2: Environment: each word must be NAME=VALUE"},
        {"[Kind]\nEnvironment=${O?b}\n[Option O]\n", ":2: Environment: each word must be NAME=VALUE"},
        {"[Kind]\nEnvironment=A=${L}\n[Option L]\nType=strings\n", ":2: Environment: the list ${L} can only be a whole word of an Exec"},
        {"[Kind]\nExecutable=x\nEnvironment=A=%e\n", ":3: Environment: %e can be used in Exec only"},
        {"[Kind]\nDirectory=work\n", ":2: Directory: must begin with /, %h, %t, %Y or an option of type path"},
        {"[Kind]\nDirectory=%i\n", ":2: Directory: must begin with /, %h, %t, %Y or an option of type path"},
        {"[Kind]\nDirectory=${S}\n[Option S]\n", ":2: Directory: must begin with /, %h, %t, %Y or an option of type path"},
        {"[Kind]\nDirectory=/${L}\n[Option L]\nType=strings\n", ":2: Directory: the list ${L} can only be a whole word of an Exec"},
        /* [Option] */
        {K "[Option a]\n", ":3: an option's name is A-Z, then letters and digits, at most 64"},
        {K "[Option ]\n", ":3: an option's name is A-Z, then letters and digits, at most 64"},
        {K "[Option  A]\n", ":3: an option's name is A-Z, then letters and digits, at most 64"},
        {K "[Option A-b]\n", ":3: an option's name is A-Z, then letters and digits, at most 64"},
        {K "[Option A234567890123456789012345678901234567890123456789012345678901234X]\n", ":3: an option's name is A-Z, then letters and digits, at most 64"},
        {K "[Option MemoryMax]\n", ":3: every kind has an option of this name already"},
        {K "[Option A]\nType=float\n", ":4: Type: must be one of string, strings, boolean, integer, size, time, path"},
        {K "[Option A]\nRequired=maybe\n", ":4: Required: must be yes or no"},
        {K "[Option A]\nRequired=yes\nDefault=x\n", ":5: Default: an option that is required has no default"},
        {K "[Option A]\nType=integer\nDefault=1x\n", ":5: Default: \"1x\" is not an integer"},
        {K "[Option A]\nType=boolean\nDefault=maybe\n", ":5: Default: \"maybe\" is not yes or no"},
        {K "[Option A]\nType=path\nDefault=here\n", ":5: Default: \"here\" is not an absolute path"},
        {K "[Option A]\nType=size\nDefault=1X\n", ":5: Default: \"1X\" is not a size, like 512M or infinity"},
        {K "[Option A]\nType=time\nDefault=1y\n", ":5: Default: \"1y\" is not a time, like 1min 30s or infinity"},
        {K "[Option A]\nType=strings\nDefault='a\n", ":5: Default: \"'a\" is not a list of strings: a quotation mark or a backslash has no partner"},
        {K "[Option A]\nDefault=c\nValues=a;b\n", ":4: Default: option A must be one of a, b, not \"c\""},
        {K "[Option A]\nValues=a;;b\n", ":4: Values: an empty value"},
        {K "[Option A]\nValues=;\n", ":4: Values: an empty value"},
        {K "[Option A]\nType=integer\nValues=1;b\n", ":5: Values: \"b\" is not an integer"},
        {K "[Option A]\nType=boolean\nValues=yes\n", ":5: Values: a boolean has no list of values"},
        /* [Step] */
        {K "[Step a]\n", ":3: a step needs Exec"},
        {K "[Step a]\nExec=\n", ":3: a step needs Exec"},
        {K "[Step a b]\n", ":3: a step's name is letters, digits and . _ -, at most 64"},
        {K "[Step ]\n", ":3: a step's name is letters, digits and . _ -, at most 64"},
        {K "[Step a]\nExec=true\nTimeoutSec=0\n", ":5: TimeoutSec: must be a time, like 10s, neither 0 nor infinity"},
        {K "[Step a]\nExec=true ${B}\n", ":4: Exec: there is no [Option] named \"B\""},
        /* [Handshake] */
        {K "[Handshake]\nType=magic\n", ":4: Type: must be one of exec, line, notify, protocol"},
        {K "[Handshake]\nTimeoutSec=infinity\n", ":4: TimeoutSec: must be a time, like 10s, neither 0 nor infinity"},
        {K "[Handshake]\nTimeoutSec=soon\n", ":4: TimeoutSec: must be a time, like 10s, neither 0 nor infinity"},
        {K "[Handshake]\nTransport=socket\n", ":4: Transport: only with Type=protocol"},
        {K P "Transport=carrier\n", ":5: Transport: must be one of socket, pipes"},
        {K "[Handshake]\nLine=x\n", ":4: Line: only with Type=line"},
        {K "[Handshake]\nType=line\n", ":3: Type=line needs Line"},
        {K "[Handshake]\nType=line\nLine=(\n", ":5: Line: not a regular expression: Unmatched ( or \\("},
        {K "[Handshake]\nType=line\nLine=(a)\\1\n", ":5: Line: back references aren't allowed"},
        {K "[Handshake]\nType=line\nLine=((((a{99}){99}){99}){99})\n", ":5: Line: too many repetitions in the regular expression"},
        {K "[Handshake]\nType=line\nLine=(((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+\n",
         ":5: Line: too many repetitions in the regular expression"},
        {K "[Handshake]\nType=line\nLine=a++++++++?++++++++?++++++++\n", ":5: Line: a repetition right behind another"},
        {K "[Handshake]\nType=line\nLine=){9}{9}{9}{9}{9}{9}{9}{9}\n", ":5: Line: a repetition right behind another"},
        {K "[Handshake]\nType=line\nLine=(({9999}))|){9999}\n", ":5: Line: too many repetitions in the regular expression"},
        {K "[Handshake]\nType=line\nLine=a{99999999999999999999}\n", ":5: Line: too many repetitions in the regular expression"},
        {K "[Handshake]\nType=line\nLine=((((((((((((((((((((((((((((((((((((a\n", ":5: Line: too many nested parentheses"},
        /* [Stop], [Interrupt] */
        {K "[Stop]\nMessage=shutdown\n", ":4: Message: only with Type=protocol in [Handshake]"},
        {K "[Interrupt]\nMessage=interrupt\n[Handshake]\nType=notify\n", ":4: Message: only with Type=protocol in [Handshake]"},
        {K P "[Stop]\nMessage=a\nSignal=SIGTERM\n", ":5: either Message or Signal, not both"},
        {K P "[Stop]\nMessage=Shut Down\n", ":6: Message: must be the name of a message: a-z, 0-9 and _, at most 64"},
        {K "[Stop]\nSignal=TERM\n", ":4: Signal: must be the name of a signal, like SIGINT"},
        {K "[Stop]\nSignal=15\n", ":4: Signal: must be the name of a signal, like SIGINT"},
        {K "[Stop]\nSignal=SIG\n", ":4: Signal: must be the name of a signal, like SIGINT"},
        {K "[Stop]\nSignal=SIGNOPE\n", ":4: Signal: must be the name of a signal, like SIGINT"},
        {K "[Interrupt]\nTimeoutSec=1\n", ":4: unknown key \"TimeoutSec\" in section \"Interrupt\""},
        /* [Limits] */
        {K "[Limits]\nMemoryMax=0\n", ":4: MemoryMax: must be a size, like 512M or infinity, not 0"},
        {K "[Limits]\nMemoryMax=-1\n", ":4: MemoryMax: must be a size, like 512M or infinity, not 0"},
        {K "[Limits]\nMemoryHigh=99999999999T\n", ":4: MemoryHigh: must be a size, like 512M or infinity, not 0"},
        {K "[Limits]\nCPUQuota=50\n", ":4: CPUQuota: must be a percentage of one processor, like 50% or 200%"},
        {K "[Limits]\nCPUQuota=0%\n", ":4: CPUQuota: must be a percentage of one processor, like 50% or 200%"},
        {K "[Limits]\nCPUQuota=9999999%\n", ":4: CPUQuota: must be a percentage of one processor, like 50% or 200%"},
        {K "[Limits]\nCPUWeight=0\n", ":4: CPUWeight: must be a number from 1 to 10000"},
        {K "[Limits]\nIOWeight=10001\n", ":4: IOWeight: must be a number from 1 to 10000"},
        {K "[Limits]\nTasksMax=0\n", ":4: TasksMax: must be a number from 1, or infinity"},
        {K "[Limits]\nTasksMax=50%\n", ":4: TasksMax: must be a number from 1, or infinity"},
        {K "[Limits]\nRuntimeMaxSec=0\n", ":4: RuntimeMaxSec: must be a time, like 10s or infinity, not 0"},
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
                "^Listening on port [0-9]+$", "ready|started", "\\[info\\] up",           "[]a]{1,3}x",
                "[[:digit:]]{4}-(a|b)*",      "a{100}b{2,}",   "^(.+)+ \\(pid [^)]*\\)$", "[^]]+]",
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
                {"[Kind]\n", "[Option A#]\n", KIND_OPTIONS_MAX, ":66: more than 64 options"},
                {"[Kind]\n", "[Step s#]\nExec=true\n", KIND_STEPS_MAX, ":66: more than 32 steps"},
                {"[Kind]\nExec=", "w ", KIND_WORDS_MAX, ":2: Exec: more than 256 words"},
                {"[Kind]\n[Option A]\nValues=v", ";v", KIND_WORDS_MAX - 1, ":3: Values: more than 256 values"},
                {"[Kind]\nDescription=", "x", 1024, ":2: Description: longer than 1024 bytes"},
                {"[Kind]\n[Handshake]\nType=line\nLine=", "x", 512, ":4: Line: regular expression longer than 512 bytes"},
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
                {"big", "/big.kind: larger than 64 KiB"},
                {"binary", "/binary.kind:1: not UTF-8 text"},
                {"dangling", "/dangling.kind: can't be read: No such file or directory"},
                {"fifo", "/fifo.kind: not a regular file"},
                {"folder", "/folder.kind: not a regular file"},
                {"keys", "/keys.kind:66: too many keys in one section (at most 64)"},
                {"loop", "/loop.kind: can't be read: Too many levels of symbolic links"},
                {"nul", "/nul.kind:2: not UTF-8 text"},
                {"sections", "/sections.kind:257: too many sections (at most 256)"},
                {"zero", "/zero.kind: not a regular file"},
        };

        for (unsigned i = 0; i < 1000; i++) {
                g_string_append_printf(sections, "[%u]\n", i);
                g_string_append_printf(keys, "%u=\n", i);
        }
        write_bytes(f->low, "nul.kind", "[Kind]\nDescription=a\0b\n", 23);
        write_bytes(f->low, "binary.kind",
                    "\x7f"
                    "ELF\x02\x01\x01\xff\xfe\x00\x00",
                    11);
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

static void test_long_texts_are_cut_in_messages(Fixture *f, const void *data) {
        g_autoptr(GString) text = g_string_new("[Kind]\n");
        g_autoptr(Kind) kind = NULL;

        for (unsigned i = 0; i < 1000; i++)
                g_string_append(text, "\xc3\xa4");
        g_string_append(text, "=x\n");
        kind = load_text(f, text->str);
        g_assert_true(g_utf8_validate(kind->problem, -1, NULL));
        g_assert_cmpuint(g_utf8_strlen(strstr(kind->problem, "unknown key"), -1), <, 130);

        g_clear_pointer(&kind, kind_unref);
        g_string_truncate(text, text->len - strlen("=x\n"));
        kind = load_text(f, text->str);
        g_assert_true(g_utf8_validate(kind->problem, -1, NULL));
        g_assert_true(g_str_has_suffix(kind->problem, "…"));
        g_assert_cmpuint(g_utf8_strlen(strstr(kind->problem, "x.kind:2: Key file"), -1), <, 250);
}

int main(int argc, char **argv) {
        static const Case cases[] = {
                {"file/every-key-is-read", test_all_keys},
                {"file/what-is-not-said-has-a-default", test_defaults},
                {"file/each-mistake-is-refused-by-line", test_refusals},
                {"file/an-empty-value-is-unset", test_empty_value_is_unset},
                {"file/useful-regular-expressions-are-taken", test_good_lines},
                {"file/numbers-of-things-are-limited", test_limits_of_a_file},
                {"file/hostile-files-are-problems-of-their-own", test_hostile_files},
                {"file/exactly-the-largest-file-is-taken", test_exactly_the_largest_file},
                {"file/an-unreadable-file-is-a-problem", test_unreadable_file},
                {"file/long-texts-are-cut-in-messages", test_long_texts_are_cut_in_messages},
        };

        setlocale(LC_ALL, "");
        g_test_init(&argc, &argv, NULL);
        add_cases(cases, ELEMENTSOF(cases));
        return g_test_run();
}
