#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What docs/clients.md quotes of the clients is in them, line by line, and each file that it names is there.

Usage: check-quotes.py SRCROOT
"""

import pathlib
import re
import sys

SUFFIX = {"python": ".py", "js": ".js", "c": ".c", "sh": ".sh"}


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} SRCROOT")
    docs = pathlib.Path(sys.argv[1]) / "docs"
    page = (docs / "clients.md").read_text(encoding="utf-8")
    clients = sorted((docs / "examples" / "clients").iterdir())
    quotes = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    problems = []

    for language, quote in quotes:
        files = [client for client in clients if client.suffix == SUFFIX.get(language)]
        if not any(quote in client.read_text(encoding="utf-8") for client in files):
            problems.append(f"docs/clients.md quotes what is in no client in {language}:\n{quote}")
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        if not (docs / link).is_file():
            problems.append(f"docs/clients.md names {link}, which isn't there")
    for client in clients:
        if f"(examples/clients/{client.name})" not in page:
            problems.append(f"docs/clients.md doesn't name docs/examples/clients/{client.name}")

    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(quotes)} quotes, {len(clients)} clients, {len(problems)} problems")
    return 1 if problems or not quotes else 0


if __name__ == "__main__":
    sys.exit(main())
