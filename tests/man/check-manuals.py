#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the manual pages against what they tell of: programs, settings, interfaces. Prints TAP.

Usage: check-manuals.py SOURCE BUILD

An option counts as described where a page has it in bold, in the section of its verb or among the options that all have.
"""

import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

SOURCE, BUILD = (pathlib.Path(path) for path in sys.argv[1:])
PAGES = ["runtimectl.1", "runtime-managerd.8", "runtime-manager.conf.5", "runtime-kind.5", "runtime-protocol.7", "org.example.RuntimeManager.5"]
OPTION = re.compile(r"(?<![\w-])--(?:[a-z]|[A-Z][A-Za-z]*[a-z])[A-Za-z-]*")
ALIASES = ["runtime-keeper.8", "runtime-spawner.8"]
results = []


def case(name, problems):
    results.append(not problems)
    print(f"{'ok' if not problems else 'not ok'} {len(results)} - {name}")
    for problem in problems:
        print(f"# {problem}")


def page(name):
    return (BUILD / "man" / f"{name}.rst").read_text(encoding="utf-8")


def run(*command):
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "en", "MANWIDTH": "80", "GROFF_NO_SGR": "1"}
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, encoding="utf-8", check=False, env=environment)


def help_of(program, *words):
    return run(BUILD / "src" / program, *words, "--help").stdout


def without_markup(text):
    return text.replace("**", "").replace("\\ ", "").replace("\\", "")


def sections(text):
    """The page's sections by their headings."""
    parts = re.split(r"\n([^\n]+)\n([=-])\2+\n", text)
    return dict(zip(parts[1::3], parts[3::3]))


def check_rendering(name):
    shown = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", BUILD / "man" / name)
    problems = shown.stderr.splitlines()
    # Bold is a letter twice, where the terminal isn't one.
    text = re.sub(".\b", "", shown.stdout)
    if shown.returncode != 0 or "NAME" not in text:
        problems.append("man did not show it")
    # Examples aren't filled; those with a path of the build may be as long as that is.
    return problems + [f"wider than a terminal: {line.strip()}" for line in text.splitlines() if len(line) > 80 and "/" not in line]


def check_alias(name):
    """What stands for another page names it, as man looks for it below the folder of all pages."""
    target = re.fullmatch(r"\.so (man(\d)/([\w.-]+\.\2))\n", (BUILD / "man" / name).read_text(encoding="utf-8"))
    return [] if target and target[3] in PAGES else ["it names no page of ours"]


def check_verbs():
    """Each verb has a heading, and the heading no verb that isn't there; each of its options is below it, or among those of all verbs."""
    found = sections(page("runtimectl.1"))
    general = help_of("runtimectl")
    verbs = re.findall(r"^  ([a-z]+) ", general[general.index("Verbs:"):general.index("Help Options:")], re.M)
    headings = {heading.split()[0].strip("*"): without_markup(text) for heading, text in found.items() if heading.startswith("**")}
    common = without_markup(found["OPTIONS"])
    problems = [f"no verb {verb}" for verb in sorted(set(headings) - set(verbs))]
    problems += [f"OPTIONS lacks {option}" for option in sorted(set(OPTION.findall(general[general.index("Application Options:"):])) - set(OPTION.findall(common)))]
    for verb in verbs:
        if verb not in headings:
            problems.append(f"{verb} has no heading")
            continue
        there, here = set(OPTION.findall(help_of("runtimectl", verb))) - {"--option"}, set(OPTION.findall(headings[verb]))
        problems += [f"{verb}: {option} isn't described" for option in sorted(there - here - set(OPTION.findall(common)))]
    return problems if verbs else ["there are no verbs"]


def check_exit_codes():
    text, told = without_markup(sections(page("runtimectl.1"))["EXIT STATUS"]), help_of("runtimectl", "wait")
    codes = re.findall(r"^  (\d+) ", told, re.M)
    return [f"{code} isn't described" for code in codes if not re.search(rf"^{code}$", text, re.M)] if codes else ["there are no exit codes"]


def check_options(program, name):
    options, text = set(OPTION.findall(help_of(program))), without_markup(page(name))
    return [f"{option} isn't described" for option in sorted(options - set(OPTION.findall(text)))] if options else ["there are no options"]


def check_configuration():
    settings = set(re.findall(r"^#(\w+)=(.*)$", (SOURCE / "data/config/runtime-manager.conf").read_text(encoding="utf-8"), re.M))
    text = page("runtime-manager.conf.5")
    described = set(re.findall(r"^\*\*(\w+)=\*\*$", text, re.M))
    problems = [f"{name} isn't described" for name in sorted({name for name, _ in settings} - described)]
    problems += [f"there is no {name}" for name in sorted(described - {name for name, _ in settings})]
    blocks = dict(re.findall(r"^\*\*(\w+)=\*\*\n((?:    .*\n)+)", text, re.M))
    return problems + [f"{name}: the default is {value}" for name, value in settings if f"Default: **{value}**" not in blocks.get(name, "")]


def check_journal():
    """Each field that the sources write is told of, on the page and in docs/journal.md."""
    written = set()
    for path in [*(SOURCE / "src/core").glob("*.c"), SOURCE / "src/keeper/journal.c"]:
        written.update(re.findall(r'["\\n](RUNTIME_[A-Z_]+|CPU_USAGE_NSEC|MEMORY_PEAK)["=]', path.read_text(encoding="utf-8")))
    written.discard("RUNTIME_DIRECTORY")
    manual, guide = page("runtime-managerd.8"), (SOURCE / "docs/journal.md").read_text(encoding="utf-8")
    problems = [f"runtime-managerd.8: {name} isn't described" for name in sorted(written) if f"**{name}=**" not in manual]
    problems += [f"docs/journal.md: {name} isn't described" for name in sorted(written) if f"`{name}`" not in guide]
    return problems if written else ["there are no fields"]


def check_kinds():
    """The keys of each section, as the parser has them."""
    parser, found = (SOURCE / "src/core/kind-parse.c").read_text(encoding="utf-8"), sections(page("runtime-kind.5"))
    tables = dict(re.findall(r"(\w+)\[\] = \{\n(.*?)\n\};", parser, re.S))
    names = re.findall(r'\{"(\w+)", (\w+_settings),', parser)
    problems = [] if names else ["there are no sections"]
    for name, table in names:
        heading = next((heading for heading in found if re.match(rf"\[{name}\b", heading)), None)
        if not heading:
            problems.append(f"[{name}] isn't described")
            continue
        keys = re.findall(r'\{"(\w+)"', tables[table])
        problems += [f"[{name}] {key} isn't described" for key in keys if f"**{key}**" not in found[heading]]
    return problems


def check_interface():
    text = without_markup(page("org.example.RuntimeManager.5"))
    problems, count = [], 0
    for path in sorted((SOURCE / "dbus").glob("*.xml")):
        for member in ET.parse(path).getroot().find("interface"):
            if member.tag in ("method", "signal", "property"):
                count += 1
                if not re.search(rf"^{member.get('name')}(\(|  )", text, re.M):
                    problems.append(f"{path.stem}.{member.get('name')} isn't described")
    return problems if count else ["there are no members"]


def main():
    for name in PAGES:
        case(f"{name} is rendered without warnings", check_rendering(name))
    for name in ALIASES:
        case(f"{name} is another name of a page", check_alias(name))
    case("runtimectl(1) has each verb and each of its options", check_verbs())
    case("runtimectl(1) has each exit code", check_exit_codes())
    case("runtime-managerd(8) has each option", check_options("runtime-managerd", "runtime-managerd.8"))
    case("runtime-managerd(8) has each option of the spawner", check_options("runtime-spawner", "runtime-managerd.8"))
    case("runtime-managerd(8) and docs/journal.md have each field of the journal", check_journal())
    case("runtime-manager.conf(5) has each setting, and its default", check_configuration())
    case("runtime-kind(5) has each key of each section", check_kinds())
    case("org.example.RuntimeManager(5) has each method, signal and property", check_interface())
    print(f"1..{len(results)}")


main()
