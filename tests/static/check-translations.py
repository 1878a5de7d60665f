#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the translations against the sources: every text is found by xgettext, and each language has all of them, and nothing else, in the
right format.

Usage: check-translations.py SRCROOT XGETTEXT-ARGUMENT...
"""

import gettext
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata

MARK = re.compile(r"(?<!define )\b(?:[NCQ]?_|ngettext)\(")
# What a kind's file says to people, and the names that runtimectl puts in front of facts, which are aligned to so many columns.
KIND_TEXT = re.compile(r"^(?:Description|\w+Missing|Terminated|Failure)=(.*)$", re.MULTILINE)
FACT = re.compile(r'print_(?:fact|file|name)\(_\("([^"]*)"\)')
REPORT_ENTRY = re.compile(r'^ *\{"\w+", N_\("([^"]*)"\), (?:show_\w+|NULL)\}', re.MULTILINE)
OPTION = re.compile(r"--[a-z][\w-]*")


def run(*command):
    """What it complained about."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C.UTF-8", "GETTEXTDATADIRS": "po"})
    lines = [line for line in result.stderr.splitlines() if line.strip() and not re.match(r"\d+ translated messages?\.$", line)]
    return lines or ([f"{command[0]}: exit code {result.returncode}"] if result.returncode else [])


def check_files(potfiles):
    marked = {str(f) for f in pathlib.Path("src").rglob("*.[ch]") if MARK.search(f.read_text(encoding="utf-8"))}
    listed = {f for f in potfiles if f.startswith("src/")}

    yield from (f"po/POTFILES: {f} has texts, and is missing" for f in sorted(marked - listed))
    yield from (f"po/POTFILES: {f} has no texts" for f in sorted(listed - marked))
    yield from (f"po/POTFILES: there is no {f}" for f in potfiles if not os.path.exists(f))
    yield from (f"po/POTFILES: {f} is there twice" for f in sorted({f for f in potfiles if potfiles.count(f) > 1}))


def check_kinds():
    kinds = {text for f in pathlib.Path("data/kinds").glob("*.kind") for text in KIND_TEXT.findall(f.read_text(encoding="utf-8"))}
    listed = set(re.findall(r'^N_\("(.*)"\);$', pathlib.Path("po/kinds.c").read_text(encoding="utf-8"), re.MULTILINE))

    if not kinds:
        yield "data/kinds: no texts"
    yield from (f'po/kinds.c: a kind says "{text}", which is missing' for text in sorted(kinds - listed))
    yield from (f'po/kinds.c: no kind says "{text}"' for text in sorted(listed - kinds))


def fact_names():
    sources = "".join(f.read_text(encoding="utf-8") for f in pathlib.Path("src/cli").glob("*.c"))
    return set(FACT.findall(sources)) | set(REPORT_ENTRY.findall(sources))


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def check_language(language, template, folder):
    po, mo = f"po/{language}.po", f"{folder}/{language}.mo"
    problems = run("msgfmt", "--check", "--statistics", f"--output-file={mo}", po) + run("msgcmp", po, template)
    if problems:
        return problems
    if run("msgattrib", "--only-obsolete", f"--output-file={folder}/obsolete", po) or os.path.exists(f"{folder}/obsolete"):
        problems.append(f"{po}: has texts that are no more")
    with open(mo, "rb") as file:
        translations = gettext.GNUTranslations(file)
    columns_max = int(re.search(r"^#define FACT_COLUMNS (\d+)", pathlib.Path("src/cli/format.h").read_text(encoding="utf-8"), re.MULTILINE)[1])
    names = fact_names()
    if len(names) < 20:
        problems.append("src/cli: the names of facts aren't found any more")
    for name in sorted(names):
        if columns(translations.gettext(name)) > columns_max:
            problems.append(f"{po}: \"{translations.gettext(name)}\" ({name}) is wider than {columns_max} columns")
    for key, text in translations._catalog.items():  # pylint: disable=protected-access
        key = key[0] if isinstance(key, tuple) else key
        if set(OPTION.findall(key)) != set(OPTION.findall(text)):
            problems.append(f'{po}: "{text}" has other options than "{key}"')
    return problems


def main():
    os.chdir(sys.argv[1])
    potfiles = pathlib.Path("po/POTFILES").read_text(encoding="utf-8").split()
    languages = pathlib.Path("po/LINGUAS").read_text(encoding="utf-8").split()
    problems = [*check_files(potfiles), *check_kinds()]
    problems += [f"po/LINGUAS: {f.stem} is missing" for f in pathlib.Path("po").glob("*.po") if f.stem not in languages]

    with tempfile.TemporaryDirectory() as folder:
        template = f"{folder}/template.pot"
        problems += run("xgettext", *sys.argv[2:], "--files-from=po/POTFILES", f"--output={template}")
        for language in languages if not problems else []:
            problems += check_language(language, template, folder)
    print("\n".join(problems) or f"{len(languages)} languages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
