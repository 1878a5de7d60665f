/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* runtimectl in each language that it was translated to, in a real locale of its: the C locale, also that of UTF-8, has no languages. */

#include "cli.h"

typedef struct Language {
        const char *name, *locale, *source; /* for localedef */
        const char *verbs;                  /* in the help text */
        const char *stop;                   /* in that of a verb */
        const char *no_kind;
        const char *heading, *description; /* of the table of kinds */
        const char *fact;                  /* padded to its columns */
        const char *count;                 /* of the kinds that we ship */
} Language;

static const Language german = {
        .name = "de",
        .locale = "de_DE.UTF-8",
        .source = "de_DE",
        .verbs = "Laufzeitumgebungen auflisten\n",
        .stop = "Nur anfordern, nicht auf das Ende warten\n",
        .no_kind = "runtimectl: Es gibt keine Art »nosuch«.",
        .heading = "BESCHREIBUNG\n",
        .description = " Ein eigener Befehl\n",
        .fact = "\nBeschreibung: Ein eigener Befehl\n   Verfügbar: ja\n",
        .count = "\n3 Arten. »runtimectl kind NAME«",
};

static const Language polish = {
        .name = "pl",
        .locale = "pl_PL.UTF-8",
        .source = "pl_PL",
        .verbs = "Wyświetla listę środowisk\n",
        .stop = "Wysyła żądanie i nie czeka na zakończenie\n",
        .no_kind = "runtimectl: Nie ma rodzaju „nosuch”.",
        .heading = "OPIS\n",
        .description = " Własne polecenie\n",
        .fact = "\n        Opis: Własne polecenie\n    Dostępny: tak\n",
        .count = "\n3 rodzaje. „runtimectl kind NAZWA”",
};

static const Language chinese = {
        .name = "zh_CN",
        .locale = "zh_CN.UTF-8",
        .source = "zh_CN",
        .verbs = "列出运行时\n",
        .stop = "仅发出请求，不等待结束\n",
        .no_kind = "runtimectl: 没有类型“nosuch”。",
        .heading = "描述\n",
        .description = " 自定义命令\n",
        .fact = "\n        描述: 自定义命令\n        可用: 是\n",
        .count = "\n3 个类型。“runtimectl kind 名称”",
};

static char *make_locales(Harness *h, const Language *language) {
        g_autofree char *folder = g_build_filename(h->directory, "locales", NULL), *place = g_build_filename(folder, language->locale, NULL);
        g_autofree char *source = g_build_filename("/usr/share/i18n/locales", language->source, NULL), *err = NULL;
        char *argv[] = {"localedef", "--no-archive", "-f", "UTF-8", "-i", (char *) language->source, place, NULL};
        g_autoptr(GError) error = NULL;
        int status = 0;

        if (!g_file_test(source, G_FILE_TEST_EXISTS)) {
                g_test_skip("no sources of locales");
                return NULL;
        }
        g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &err, &status, &error);
        g_assert_no_error(error);
        if (status != 0)
                harness_fail(h, "localedef: %s", err);
        return g_steal_pointer(&folder);
}

/* What runtimectl says with these words: on a terminal, both of its streams. */
static char *say(Harness *h, const Language *language, const char *locales, int code, const char *word, const char *more) {
        g_autofree char *locpath = g_strconcat("LOCPATH=", locales, NULL), *locale = g_strconcat("LC_ALL=", language->locale, NULL);
        g_autofree char *name = g_strconcat("LANGUAGE=", language->name, NULL);
        const char *const variables[] = {locpath, locale, name, "NO_COLOR=1", NULL};
        g_autoptr(Terminal) terminal = terminal_new(h, 300, 100, variables, "--no-pager", word, more, NULL);

        g_assert_cmpint(terminal_wait_exit(terminal), ==, code);
        return terminal_text(terminal);
}

static void speaks(Harness *h, const Language *language) {
        g_autofree char *locales = make_locales(h, language), *help = NULL, *stop = NULL, *error = NULL, *kinds = NULL, *kind = NULL;
        g_autofree char *refusal = NULL, *path = NULL, *status = NULL, *report = NULL;
        g_autofree char *locpath = g_strconcat("LOCPATH=", locales, NULL), *locale = g_strconcat("LC_ALL=", language->locale, NULL);
        g_autofree char *name = g_strconcat("LANGUAGE=", language->name, NULL);

        g_autofree char *known = harness_add_file(h, "known-leaks", "leak:argz_add_sep\n", 0644),
                        *lsan = g_strconcat("LSAN_OPTIONS=suppressions=", known, NULL);

        if (!locales)
                return;
        /* The C library's setlocale() never frees what it has made of $LOCPATH. */
        harness_start_daemon(h, (const char *const[]){locpath, locale, name, lsan, NULL});
        help = say(h, language, locales, 0, "--help", NULL);
        assert_contains(help, language->verbs);
        stop = say(h, language, locales, 0, "stop", "--help");
        assert_contains(stop, language->stop);
        error = say(h, language, locales, 3, "kind", "nosuch");
        assert_contains(error, language->no_kind);
        kinds = say(h, language, locales, 0, "kinds", NULL);
        assert_contains(kinds, language->heading);
        assert_contains(kinds, language->description);
        assert_contains(kinds, language->count);
        kind = say(h, language, locales, 0, "kind", "command");
        assert_contains(kind, language->fact);
        /* What comes from the service is all in one language, whatever its own locale. */
        refusal = client_call_fails(h->client, NULL, "StartRuntime",
                                    g_variant_new("(s@a{sv})", "command", options_shell("true", "{'WorkingDirectory': <'/nowhere'>}")), "InvalidOption");
        g_assert_cmpstr(refusal, ==, "WorkingDirectory: /nowhere: No such file or directory.");
        path = client_start(h->client, "command", options_shell("exec sleep 1000", "{'MemoryMax': <@t 1610612736>}"));
        status = say(h, language, locales, 0, "status", path_to_id(path));
        /* As limit and --memory-max take it. */
        assert_contains(status, "1.5G");
        client_stop(h->client, path);
        g_variant_unref(client_wait_ended(h->client, path));
        /* As --since takes it. */
        report = say(h, language, locales, 0, "report", path_to_id(path));
        g_assert_true(g_regex_match_simple(": (Mon|Tue|Wed|Thu|Fri|Sat|Sun) [0-9]{4}-", report, 0, 0));
}

static void test_german(Harness *h) {
        speaks(h, &german);
}

static void test_polish(Harness *h) {
        speaks(h, &polish);
}

static void test_chinese(Harness *h) {
        speaks(h, &chinese);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"german", test_german},
                {"polish", test_polish},
                {"simplified-chinese", test_chinese},
        };

        return harness_main(argc, argv, "cli-languages", cases, G_N_ELEMENTS(cases));
}
