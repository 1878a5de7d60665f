/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The truth of the interface stands in dbus/: here it is held, both ways, against what the real vtables say of themselves over a connection, and against
 * the tables of the code. What isn't documented doesn't exist, what doesn't exist isn't documented. */

#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>

#include "bus/bus.h"
#include "bus/start-request.h"
#include "core/sd-autoptr.h"
#include "util/macro.h"
#include "util/names.h"

typedef struct Interface {
        const char *name;
        const char *file;
        const sd_bus_vtable *vtable;
} Interface;

static const Interface interfaces[] = {
        {RM_MANAGER_INTERFACE, "org.example.RuntimeManager.xml", bus_manager_vtable},
        {RM_RUNTIME_INTERFACE, "org.example.RuntimeManager.Runtime.xml", bus_runtime_vtable},
};

static char *read_source(const char *folder, const char *file) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", folder, file, NULL);
        g_autoptr(GError) error = NULL;
        char *text;

        if (!g_file_get_contents(path, &text, NULL, &error))
                g_error("%s", error->message);
        return text;
}

/* Two ends in one process take turns. */
static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        sd_bus_message **ret = userdata;

        *ret = sd_bus_message_ref(reply);
        return 0;
}

static sd_bus *connection_new(int fd, bool server) {
        sd_id128_t id = SD_ID128_MAKE(52, 75, 6e, 74, 69, 6d, 65, 4d, 61, 6e, 61, 67, 65, 72, 2e, 31);
        sd_bus *bus;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(bus, fd, fd), >=, 0);
        g_assert_cmpint(sd_bus_set_anonymous(bus, 1), >=, 0);
        if (server)
                g_assert_cmpint(sd_bus_set_server(bus, 1, id), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        return bus;
}

static char *introspect(const Interface *interface) {
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(sd_bus) server = NULL, client = NULL;
        gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
        sd_bus_slot *call = NULL;
        const char *text;
        char *copy;
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        server = connection_new(pair[0], true);
        client = connection_new(pair[1], false);
        g_assert_cmpint(sd_bus_add_object_vtable(server, NULL, RM_OBJECT_PATH, interface->name, interface->vtable, &server), >=, 0);
        g_assert_cmpint(
                sd_bus_call_method_async(client, &call, NULL, RM_OBJECT_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", on_reply, &reply, NULL), >=,
                0);
        while (!reply) {
                int r = sd_bus_process(server, NULL), s = sd_bus_process(client, NULL);

                g_assert_cmpint(r, >=, 0);
                g_assert_cmpint(s, >=, 0);
                g_assert_cmpint(g_get_monotonic_time(), <, deadline);
                if (r == 0 && s == 0)
                        (void) sd_bus_wait(client, 1000);
        }
        sd_bus_slot_unref(call);
        g_assert_false(sd_bus_message_is_method_error(reply, NULL));
        g_assert_cmpint(sd_bus_message_read(reply, "s", &text), >=, 0);
        copy = g_strdup(text);
        return copy;
}

static void add_arguments(GPtrArray *lines, const char *member, const char *kind, GDBusArgInfo **arguments) {
        for (unsigned i = 0; arguments && arguments[i]; i++)
                g_ptr_array_add(lines, g_strdup_printf("%s %s %u: %s %s", member, kind, i, arguments[i]->signature, arguments[i]->name));
}

#define QT_TYPE "org.qtproject.QtDBus.QtTypeName"

/* What an absent annotation means. */
static const char *emits_changed(const GDBusPropertyInfo *property) {
        return g_dbus_annotation_info_lookup(property->annotations, "org.freedesktop.DBus.Property.EmitsChangedSignal") ?: "true";
}

/* An interface as sorted lines, so that a difference can be read. */
static GPtrArray *describe(const GDBusInterfaceInfo *interface) {
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

        for (GDBusMethodInfo **method = interface->methods; method && *method; method++) {
                g_autofree char *member = g_strdup_printf("method %s", (*method)->name);

                g_ptr_array_add(lines, g_strdup(member));
                add_arguments(lines, member, "in", (*method)->in_args);
                add_arguments(lines, member, "out", (*method)->out_args);
                for (GDBusAnnotationInfo **annotation = (*method)->annotations; annotation && *annotation; annotation++)
                        /* For generators of code alone, and of the file. */
                        if (!g_str_has_prefix((*annotation)->key, QT_TYPE))
                                g_ptr_array_add(lines, g_strdup_printf("%s %s=%s", member, (*annotation)->key, (*annotation)->value));
        }
        for (GDBusSignalInfo **signal = interface->signals; signal && *signal; signal++) {
                g_autofree char *member = g_strdup_printf("signal %s", (*signal)->name);

                g_ptr_array_add(lines, g_strdup(member));
                add_arguments(lines, member, "arg", (*signal)->args);
        }
        for (GDBusPropertyInfo **property = interface->properties; property && *property; property++)
                g_ptr_array_add(lines, g_strdup_printf("property %s: %s %s%s, changes: %s", (*property)->name, (*property)->signature,
                                                       (*property)->flags & G_DBUS_PROPERTY_INFO_FLAGS_READABLE ? "r" : "",
                                                       (*property)->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE ? "w" : "", emits_changed(*property)));
        return lines;
}

static unsigned count_missing(GPtrArray *lines, GPtrArray *from, const char *where) {
        unsigned n = 0;

        for (unsigned i = 0; i < lines->len; i++)
                if (!g_ptr_array_find_with_equal_func(from, lines->pdata[i], g_str_equal, NULL)) {
                        g_test_message("not in the %s: %s", where, (char *) lines->pdata[i]);
                        n++;
                }
        return n;
}

static void test_vtable_is_the_xml(gconstpointer data) {
        const Interface *interface = data;
        g_autofree char *introspected = introspect(interface), *written = read_source("dbus", interface->file);
        g_autoptr(GDBusNodeInfo) code = NULL, file = NULL;
        g_autoptr(GPtrArray) of_code = NULL, of_file = NULL;
        g_autoptr(GError) error = NULL;
        unsigned problems;

        code = g_dbus_node_info_new_for_xml(introspected, &error);
        g_assert_no_error(error);
        file = g_dbus_node_info_new_for_xml(written, &error);
        g_assert_no_error(error);
        g_assert_nonnull(file->interfaces[0]);
        g_assert_null(file->interfaces[1]);
        g_assert_cmpstr(file->interfaces[0]->name, ==, interface->name);
        g_assert_nonnull(g_dbus_node_info_lookup_interface(code, interface->name));

        of_code = describe(g_dbus_node_info_lookup_interface(code, interface->name));
        of_file = describe(file->interfaces[0]);
        g_assert_cmpuint(of_file->len, >, 10);
        problems = count_missing(of_code, of_file, "XML") + count_missing(of_file, of_code, "vtable");
        g_assert_cmpuint(problems, ==, 0);
}

/* The comment directly before the element, NULL if something else stands there. */
static char *doc_comment(const char *xml, const char *element, const char *name) {
        g_autofree char *tag = g_strdup_printf("<%s name=\"%s\"", element, name);
        const char *end = strstr(xml, tag), *start;

        g_assert_nonnull(end);
        while (end > xml && g_ascii_isspace(end[-1]))
                end--;
        if (end - xml < 3 || strncmp(end - 3, "-->", 3) != 0)
                return NULL;
        end -= 3;
        start = g_strrstr_len(xml, end - xml, "<!--");
        g_assert_nonnull(start);
        return g_strstrip(g_strndup(start + 4, end - start - 4));
}

static unsigned check_comment(const char *xml, const char *element, const char *name, GDBusArgInfo **in, GDBusArgInfo **out) {
        g_autofree char *comment = doc_comment(xml, element, name), *begin = g_strdup_printf("%s: ", name);
        unsigned problems = 0;

        if (!comment || !g_str_has_prefix(comment, begin) || !strstr(comment, "Since: ")) {
                g_test_message("%s %s has no doc comment that begins with \"%s\" and says \"Since: \"", element, name, begin);
                return 1;
        }
        for (unsigned which = 0; which < 2; which++)
                for (GDBusArgInfo **argument = which == 0 ? in : out; argument && *argument; argument++) {
                        g_autofree char *wanted = g_strdup_printf("@%s:", (*argument)->name);

                        if (!strstr(comment, wanted)) {
                                g_test_message("%s %s doesn't document its argument %s", element, name, (*argument)->name);
                                problems++;
                        }
                }
        return problems;
}

static void test_each_member_is_documented(gconstpointer data) {
        const Interface *interface = data;
        g_autofree char *xml = read_source("dbus", interface->file);
        g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);
        GDBusInterfaceInfo *info = node->interfaces[0];
        unsigned problems = 0;

        for (GDBusMethodInfo **method = info->methods; method && *method; method++)
                problems += check_comment(xml, "method", (*method)->name, (*method)->in_args, (*method)->out_args);
        for (GDBusSignalInfo **signal = info->signals; signal && *signal; signal++)
                problems += check_comment(xml, "signal", (*signal)->name, (*signal)->args, NULL);
        for (GDBusPropertyInfo **property = info->properties; property && *property; property++)
                problems += check_comment(xml, "property", (*property)->name, NULL, NULL);
        g_assert_cmpuint(problems, ==, 0);
}

/* qdbusxml2cpp refuses a whole file for one type of which it isn't told the name: what has a dictionary or a structure in it. */
static unsigned check_qt_type(const char *member, const char *signature, GDBusAnnotationInfo **annotations, const char *key) {
        gboolean wanted = strpbrk(signature, "({") != NULL, named = g_dbus_annotation_info_lookup(annotations, key) != NULL;

        if (wanted != named)
                g_test_message("%s: %s %s the annotation %s", member, signature, wanted ? "lacks" : "doesn't need", key);
        return wanted != named;
}

static unsigned check_qt_arguments(const char *member, GDBusArgInfo **arguments, GDBusAnnotationInfo **annotations, const char *direction) {
        unsigned problems = 0;

        for (unsigned i = 0; arguments && arguments[i]; i++) {
                g_autofree char *key = g_strdup_printf(QT_TYPE ".%s%u", direction, i);

                problems += check_qt_type(member, arguments[i]->signature, annotations, key);
        }
        return problems;
}

static void test_each_type_has_a_name_for_qt(gconstpointer data) {
        const Interface *interface = data;
        g_autofree char *xml = read_source("dbus", interface->file);
        g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);
        GDBusInterfaceInfo *info = node->interfaces[0];
        unsigned problems = 0;

        for (GDBusMethodInfo **method = info->methods; method && *method; method++) {
                problems += check_qt_arguments((*method)->name, (*method)->in_args, (*method)->annotations, "In");
                problems += check_qt_arguments((*method)->name, (*method)->out_args, (*method)->annotations, "Out");
        }
        for (GDBusSignalInfo **signal = info->signals; signal && *signal; signal++)
                problems += check_qt_arguments((*signal)->name, (*signal)->args, (*signal)->annotations, "Out");
        for (GDBusPropertyInfo **property = info->properties; property && *property; property++)
                problems += check_qt_type((*property)->name, (*property)->signature, (*property)->annotations, QT_TYPE);
        g_assert_cmpuint(problems, ==, 0);
}

/* The first groups of all matches. */
static GPtrArray *find_all(const char *pattern, const char *text) {
        g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_MULTILINE, 0, NULL);
        GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GMatchInfo) match = NULL;

        g_assert_nonnull(regex);
        for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match); g_match_info_next(match, NULL))
                g_ptr_array_add(found, g_match_info_fetch(match, 1));
        return found;
}

static GPtrArray *documented_errors(void) {
        g_autofree char *xml = read_source("dbus", "org.example.RuntimeManager.xml"), *list = NULL;
        const char *begin = strstr(xml, "Errors, all with the prefix " RM_ERROR_PREFIX), *end;

        g_assert_nonnull(begin);
        end = strstr(begin, "-->");
        list = g_strndup(begin, end - begin);
        return find_all("^    ([A-Z][A-Za-z]+)  ", list);
}

static GPtrArray *defined_errors(GPtrArray **ret_symbols) {
        g_autofree char *header = read_source("src/util", "names.h");

        if (ret_symbols)
                *ret_symbols = find_all("^#define (RM_ERROR_[A-Z_]+) RM_ERROR_PREFIX \"[A-Za-z]+\"$", header);
        return find_all("^#define RM_ERROR_[A-Z_]+ RM_ERROR_PREFIX \"([A-Za-z]+)\"$", header);
}

static void test_errors_are_listed(void) {
        g_autoptr(GPtrArray) documented = documented_errors(), defined = defined_errors(NULL);
        unsigned problems;

        g_assert_cmpuint(defined->len, >=, 14);
        problems = count_missing(defined, documented, "XML's list of errors") + count_missing(documented, defined, "header of names");
        g_assert_cmpuint(problems, ==, 0);
}

/* "Errors: A, B (why), C." of each member names errors that there are. */
static void test_errors_of_members_exist(gconstpointer data) {
        const Interface *interface = data;
        g_autoptr(GRegex) parentheses = g_regex_new("\\([^()]*\\)", 0, 0, NULL);
        g_autofree char *xml = read_source("dbus", interface->file), *plain = g_regex_replace_literal(parentheses, xml, -1, 0, "", 0, NULL);
        g_autoptr(GPtrArray) errors = documented_errors(), sentences = find_all("Errors: ([^.:]*)", plain);
        unsigned problems = 0;

        g_assert_cmpuint(sentences->len, >, 3);
        for (unsigned i = 0; i < sentences->len; i++) {
                g_autoptr(GPtrArray) words = find_all("\\b([A-Z][a-z]+[A-Z][A-Za-z]+)\\b", sentences->pdata[i]);

                for (unsigned j = 0; j < words->len; j++)
                        if (strcmp(words->pdata[j], "InvalidArgs") != 0 && strcmp(words->pdata[j], "AccessDenied") != 0 &&
                            !g_ptr_array_find_with_equal_func(errors, words->pdata[j], g_str_equal, NULL)) {
                                g_test_message("\"Errors: %s\": there is no %s", (char *) sentences->pdata[i], (char *) words->pdata[j]);
                                problems++;
                        }
        }
        g_assert_cmpuint(problems, ==, 0);
}

static void add_sources(GString *all, const char *folder) {
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;

        g_assert_nonnull(dir);
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;

                if (g_file_test(path, G_FILE_TEST_IS_DIR))
                        add_sources(all, path);
                /* A list of all names uses none, and nor does this test. */
                else if ((g_str_has_suffix(name, ".c") || g_str_has_suffix(name, ".h") || g_str_has_suffix(name, ".py")) && strcmp(name, "names.h") != 0 &&
                         strcmp(name, "test-interface.c") != 0 && g_file_get_contents(path, &text, NULL, NULL))
                        g_string_append(all, text);
        }
}

static void check_errors_used(const char *folder, const char *what) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", folder, NULL);
        g_autoptr(GString) all = g_string_new(NULL);
        g_autoptr(GPtrArray) symbols = NULL, names = defined_errors(&symbols);
        unsigned problems = 0;

        add_sources(all, path);
        for (unsigned i = 0; i < names->len; i++) {
                g_autofree char *symbol = g_strdup_printf("\\b%s\\b", (char *) symbols->pdata[i]),
                                *word = g_strdup_printf("[\".]%s\"", (char *) names->pdata[i]);

                if (g_regex_match_simple(symbol, all->str, 0, 0) || g_regex_match_simple(word, all->str, 0, 0))
                        continue;
                g_test_message("%s is not %s anywhere in %s/", (char *) symbols->pdata[i], what, folder);
                problems++;
        }
        g_assert_cmpuint(problems, ==, 0);
}

static void test_errors_are_used(void) {
        check_errors_used("src", "used");
}

static void test_errors_are_tested(void) {
        check_errors_used("tests", "asserted");
}

/* The options of StartRuntime: the table of the code, and the paragraph of the XML. */
static void test_options_are_documented(void) {
        g_autofree char *xml = read_source("dbus", "org.example.RuntimeManager.xml"), *comment = doc_comment(xml, "method", "StartRuntime");
        g_autoptr(GPtrArray) documented = find_all("(?:^ {8}|, )([A-Z][A-Za-z]+) (?:s|t|b|as|a\\{ss\\})(?=[ ,\n])", comment);
        g_autoptr(GPtrArray) known = g_ptr_array_new();
        unsigned problems;

        for (const char *const *name = start_request_names(); *name; name++)
                g_ptr_array_add(known, (gpointer) *name);
        g_assert_cmpuint(known->len, >, 15);
        problems = count_missing(known, documented, "documentation of StartRuntime") + count_missing(documented, known, "table of options");
        g_assert_cmpuint(problems, ==, 0);
}

static GPtrArray *words_between(const char *text, const char *begin, const char *end) {
        const char *from = strstr(text, begin);
        g_autofree char *part = NULL;

        g_assert_nonnull(from);
        from += strlen(begin);
        g_assert_nonnull(strstr(from, end));
        part = g_strndup(from, strstr(from, end) - from);
        return find_all("\\b([a-z]+(?:-[a-z]+)*)\\b(?=[,\\n (])(?![^(]*\\))", part);
}

static void check_codes(const char *where, GPtrArray *documented, const char *(*to_string)(int code), int first, int max) {
        g_autoptr(GPtrArray) known = g_ptr_array_new();
        unsigned problems;

        for (int code = first; code < max; code++)
                if (!g_ptr_array_find_with_equal_func(known, to_string(code), g_str_equal, NULL))
                        g_ptr_array_add(known, (gpointer) to_string(code));
        problems = count_missing(known, documented, where) + count_missing(documented, known, "tables of report.c");
        g_assert_cmpuint(problems, ==, 0);
}

static const char *state_of(int code) {
        return runtime_state_to_string(code);
}

static const char *result_of(int code) {
        return result_to_string(code);
}

static const char *reason_of(int code) {
        return reason_to_string(code);
}

static const char *requester_of(int code) {
        return requested_by_to_string(code);
}

static const char *stop_stage_of(int code) {
        return stop_stage_to_string(code);
}

static void test_codes_are_documented(void) {
        g_autofree char *xml = read_source("dbus", "org.example.RuntimeManager.Runtime.xml");
        g_autoptr(GPtrArray) states = words_between(xml, "States: ", "\n\n");
        g_autoptr(GPtrArray) results = words_between(xml, "    Result s ", "    Reason s");
        g_autoptr(GPtrArray) reasons = words_between(xml, "a finer code: ", "    Message s");
        g_autoptr(GPtrArray) requesters = words_between(xml, "who asked for the end: ", "; with");
        g_autoptr(GPtrArray) stages = words_between(xml, "how far a stop had to go: ", "    Leftovers");

        /* "with" ends the list of requesters before its last word's comma. */
        g_ptr_array_add(requesters, g_strdup("system"));
        check_codes("list of states", states, state_of, 0, _RUNTIME_STATE_MAX);
        check_codes("list of results", results, result_of, 0, _RESULT_MAX);
        check_codes("list of reasons", reasons, reason_of, 0, _REASON_MAX);
        check_codes("list of requesters", requesters, requester_of, REQUESTED_BY_CLIENT, _REQUESTED_BY_MAX);
        check_codes("list of stop stages", stages, stop_stage_of, STOP_STAGE_REQUEST, _STOP_STAGE_MAX);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < ELEMENTSOF(interfaces); i++) {
                g_autofree char *vtable = g_strdup_printf("/interface/%s/vtable-and-xml-say-the-same", interfaces[i].name);
                g_autofree char *comments = g_strdup_printf("/interface/%s/each-member-is-documented", interfaces[i].name);
                g_autofree char *types = g_strdup_printf("/interface/%s/each-type-has-a-name-for-qt", interfaces[i].name);
                g_autofree char *errors = g_strdup_printf("/interface/%s/errors-of-members-exist", interfaces[i].name);

                g_test_add_data_func(vtable, &interfaces[i], test_vtable_is_the_xml);
                g_test_add_data_func(comments, &interfaces[i], test_each_member_is_documented);
                g_test_add_data_func(types, &interfaces[i], test_each_type_has_a_name_for_qt);
                g_test_add_data_func(errors, &interfaces[i], test_errors_of_members_exist);
        }
        g_test_add_func("/interface/errors/are-listed", test_errors_are_listed);
        g_test_add_func("/interface/errors/are-used", test_errors_are_used);
        g_test_add_func("/interface/errors/are-tested", test_errors_are_tested);
        g_test_add_func("/interface/start-options-are-documented", test_options_are_documented);
        g_test_add_func("/interface/codes-are-documented", test_codes_are_documented);
        return g_test_run();
}
