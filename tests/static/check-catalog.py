#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the journal's catalog against the code: each MESSAGE_ID is used, and explained once; each @FIELD@ is one that is written.

Usage: check-catalog.py SRCROOT
"""

import collections
import pathlib
import re
import sys

IDS = "src/util/message-ids.h"
CATALOG = "systemd/runtime-manager.catalog"
DEFINITION = re.compile(r'^#define (MESSAGE_ID_\w+) "([0-9a-f]{32})"', re.MULTILINE)
ENTRY = re.compile(r"^-- ([0-9a-f]{32})\nSubject: \S.*\nDefined-By: \S.*\n(?:Documentation: \S.*\n)?\n\S", re.MULTILINE)


def main():
    root = pathlib.Path(sys.argv[1])
    ids = DEFINITION.findall((root / IDS).read_text(encoding="utf-8"))
    catalog = (root / CATALOG).read_text(encoding="utf-8")
    entries = ENTRY.findall(catalog)
    sources = "".join(f.read_text(encoding="utf-8") for f in sorted((root / "src").rglob("*.c")))
    problems = []

    if not ids:
        problems.append(f"{IDS}: no ids")
    if len(re.findall(r"^--", catalog, re.MULTILINE)) != len(entries):
        problems.append(f"{CATALOG}: an entry lacks its subject, its text, or an id")
    for name, number in ids:
        if not re.search(rf"\b{name}\b", sources):
            problems.append(f"{IDS}: nothing writes {name}")
        if number not in entries:
            problems.append(f"{CATALOG}: {name} ({number}) is not explained")
    for numbers, file in ([number for _, number in ids], IDS), (entries, CATALOG):
        problems += [f"{file}: {number} is there twice" for number, n in collections.Counter(numbers).items() if n > 1]
    problems += [f"{CATALOG}: {number} is no id of ours" for number in entries if number not in dict(map(reversed, ids))]
    for field in sorted(set(re.findall(r"@(\w+)@", catalog))):
        if not re.search(rf'["\\]n?{field}["=]', sources):
            problems.append(f"{CATALOG}: nothing writes the field {field}")
    print("\n".join(problems) or f"{len(ids)} messages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
