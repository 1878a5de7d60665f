#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds docs/security-attempts.md against the tests: each case of tests/system/test-attempts-*.c has a row, and each row has a case.

Usage: check-attempts.py SRCROOT
"""

import pathlib
import re
import sys

ROW = re.compile(r"^\|.*\| `([^`/]+)/([^`]+)` \|$", re.MULTILINE)
# A case's name, and the function.
CASE = re.compile(r'\{"([^"]+)",\s*test_')


def main():
    root = pathlib.Path(sys.argv[1])
    page = root / "docs/security-attempts.md"
    rows = ROW.findall(page.read_text(encoding="utf-8"))
    sources = {path.stem.removeprefix("test-"): path.read_text(encoding="utf-8") for path in root.glob("tests/*/test-*.c")}
    problems = []

    for program, case in rows:
        if not re.search(rf'"(/{re.escape(program)}/)?{re.escape(case)}"', sources.get(program, "")):
            problems.append(f"{page}: there is no case {program}/{case}")
    for program, source in sources.items():
        if program.startswith("attempts-"):
            problems += [f"{page}: {program}/{case} has no row" for case in CASE.findall(source) if (program, case) not in rows]
    if len(rows) != len(set(rows)):
        problems.append(f"{page}: a case has two rows")
    print("\n".join(problems) or f"{len(rows)} attempts")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
