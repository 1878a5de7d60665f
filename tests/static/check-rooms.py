#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the #include lines below src/ and fails on an edge between rooms that the table doesn't allow.

Usage: check-rooms.py SRCROOT

A room is a folder of src/; src/core holds several, each a file or a family of files that share a prefix (kind: kind.c,
kind-file.c, ...). Includes of the project are written "folder/file.h", so that each one names the room it goes to.
"""

import pathlib
import re
import sys

# The rooms of src/core. Plain data that several rooms pass to each other stands below the leaves; a leaf knows that, util and itself, and
# never another leaf.
DATA = {"fields", "limits-record", "limits-set", "user"}
LEAVES = {"cgroup", "config", "handshake", "journal", "keeper-link", "kind", "record", "quota", "report", "ring-view", "scope", "spawn", "turns"}
BELOW_RUNTIME = {"util", "start-options"} | DATA | LEAVES
CORE = DATA | LEAVES | {"start-options", "plan", "runtime", "manager"}

# Headers of src/core that are nobody's room: macros alone, for all of core and above.
SHARED = {"core/sd-autoptr.h", "core/sd-error.h"}

# What each room may include beside itself.
ALLOWED = {
    "util": set(),
    **{room: {"util"} | DATA for room in DATA},
    **{leaf: {"util"} | DATA for leaf in LEAVES},
    "start-options": {"util", "kind"} | DATA,
    "plan": {"util", "kind", "start-options"} | DATA,
    "runtime": BELOW_RUNTIME,
    "manager": BELOW_RUNTIME | {"plan", "runtime"},
    "bus": BELOW_RUNTIME | {"runtime", "manager"},
    "daemon": BELOW_RUNTIME | {"runtime", "manager", "bus"},
    "keeper": {"util"},
    "spawner": {"util", "limits-set", "cgroup", "config", "scope"},
    "cli": {"util", "kind"},
}

# Includes of the project that have no folder: made by the build.
GENERATED = {"config.h"}

# <…> that a room must not see. The keeper lives as long as a runtime, thousands of times: libc is all it loads.
LIBC_ONLY = {"util", "keeper"}
NOT_LIBC = re.compile(r"^(glib|gio/|gobject/|systemd/|jansson|dbus/|expat)")

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def room_of(path):
    """The room of a path relative to src/, or None."""
    folder, _, name = path.partition("/")
    if folder != "core":
        return folder if folder in ALLOWED else None
    stem = name.rsplit(".", 1)[0]
    while stem not in CORE and "-" in stem:
        stem = stem.rpartition("-")[0]
    return stem if stem in CORE else None


def check_project_include(source, path, room, included):
    if included in GENERATED:
        return None
    if not (source / included).is_file():
        return f'"{included}" is not a file below src/ (write "folder/file.h")'
    if included in SHARED:
        return None if room in CORE or room in {"bus", "daemon", "spawner"} else f"{room} must not include core's macros ({included})"
    target = room_of(included)
    if target is None:
        return f"{included} belongs to no room"
    if target != room and target not in ALLOWED[room]:
        return f"{room} must not include {target} ({included})"
    return None


def check_file(source, file):
    path = file.relative_to(source).as_posix()
    room = room_of(path)
    if path in SHARED:
        room = "util"
    if room is None:
        yield f"{path}: belongs to no room; name it in the table of check-rooms.py"
        return

    first = True
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        project, system = match.groups()
        if first and file.suffix == ".c":
            own = path[:-2] + ".h"
            if (source / own).is_file() and project != own:
                yield f'{path}:{number}: the own header "{own}" comes first'
        first = False
        if system and room in LIBC_ONLY and path not in SHARED and NOT_LIBC.match(system):
            yield f"{path}:{number}: {room} is made of libc alone, not <{system}>"
        if project:
            problem = check_project_include(source, path, room, project)
            if problem:
                yield f"{path}:{number}: {problem}"


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} SRCROOT")
    source = pathlib.Path(sys.argv[1]) / "src"
    files = sorted(f for f in source.rglob("*") if f.suffix in {".c", ".h"})
    if not files:
        sys.exit(f"{source}: no sources")
    problems = [problem for file in files for problem in check_file(source, file)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(files)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
