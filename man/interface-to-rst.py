#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes org.example.RuntimeManager(5) from the XML that documents the interfaces.

Usage: interface-to-rst.py VERSION XML...

The comment before an element is its documentation: "Name: text", then "@argument: text" lines and plain lines, where a deeper indent marks a list. The comment
before the root tells of the object as a whole.
"""

import re
import sys
import textwrap
import xml.etree.ElementTree as ET

NAME = "org.example.RuntimeManager"
HEAD = f"""\
.. SPDX-License-Identifier: LGPL-2.1-or-later

{'=' * len(NAME)}
{NAME}
{'=' * len(NAME)}

{'-' * 45}
the D-Bus interface of the Runtime Manager
{'-' * 45}

:Manual section: 5
:Manual group: Runtime Manager
:Version: runtime-manager @VERSION@

DESCRIPTION
===========

The bus name **org.example.RuntimeManager**, on the session bus and on the system bus, has the object **/org/example/RuntimeManager**, and below it one for each runtime.

"""
TAIL = """
EXAMPLE
=======

Start a runtime, wait for its end, read what it has printed, and see how it ended::

    n=org.example.RuntimeManager p=/org/example/RuntimeManager
    busctl --user call -- $n $p $n StartRuntime 'sa{sv}' command \\
        2 Id s mine Command as 3 sh -c 'echo hi'
    busctl --user --timeout=60 call $n $p $n WaitRuntime ss mine ended
    r=$p/runtime/mine
    busctl --user call $n $r $n.Runtime ReadOutputText tu 0 0
    busctl --user get-property $n $r $n.Runtime EndReport

SEE ALSO
========

**runtimectl**\\ (1), **runtime-managerd**\\ (8), **runtime-kind**\\ (5), **runtime-manager.conf**\\ (5), **runtime-protocol**\\ (7), **busctl**\\ (1), **gdbus**\\ (1)
"""


def escape(text):
    """Plain text for reStructuredText, where no character of ours means anything."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)


ITEM = re.compile(r"((?:[A-Z]\w*(?: [a-z{}()]{1,12})?(?:, )?)+)(?:  +|$)|([A-Z]\w* (?:t|s|u|i|b|as)) ")


def blocks(text):
    """The comment as [kind, text] of its paragraphs, arguments and items of lists; a line goes on with the one above it if it is deeper than where an argument or an
    item began, or as deep as a paragraph."""
    found = []
    start = None
    for line in textwrap.dedent(text).splitlines():
        indent, body = len(line) - len(line.lstrip()), line.strip()
        if not body:
            start = None
            continue
        kind = "argument" if body.startswith("@") else "item" if indent > 0 and ITEM.match(body) else "paragraph"
        goes_on = start is not None and kind == "paragraph" and not re.match(r"(Errors|Since)\b.*:", body) and (
            indent > start or (indent == start and found[-1][0] == "paragraph"))
        if goes_on:
            # An item whose name takes a line of its own.
            alone = found[-1][0] == "item" and "  " not in found[-1][1]
            found[-1][1] += ("  " if alone else " ") + body
        else:
            found.append([kind, body])
            start = indent
    return found


def render(text):
    out = []
    margin = "  "
    for kind, body in blocks(text):
        # A list that an argument ends with is a part of what is said of it.
        margin = "    " if kind == "argument" or (kind == "item" and margin == "    ") else "  "
        if kind == "argument":
            name, rest = re.match(r"@(\w+): (.*)", body).groups()
            out += [f"*{name}*", f"    {escape(rest)}", ""]
        elif kind == "item":
            match = ITEM.match(body)
            out += [f"{margin}**{escape((match[1] or match[2]).strip())}**", f"{margin}    {escape(body[match.end():].strip())}", ""]
        else:
            out += [escape(body), ""]
    return out


def signature(element):
    def side(direction):
        return ", ".join(f"{arg.get('type')} {arg.get('name')}" for arg in element.findall("arg") if arg.get("direction", "out") == direction)

    if element.tag == "property":
        return f"{element.get('name')}  {element.get('type')}"
    if element.tag == "signal":
        return f"{element.get('name')}({side('out')})"
    result = side("out")
    return f"{element.get('name')}({side('in')})" + (f" → ({result})" if result else "")


def heading(text, line):
    return [text, line * len(text), ""]


def page(path):
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    with open(path, encoding="utf-8") as file:
        source = file.read()
    # What stands before the root is no part of the tree.
    before = re.findall(r"<!--(.*?)-->", source[: source.index("<node>")], re.S)[-1]
    root = ET.fromstring(source, parser)
    interface = root.find("interface")
    out = heading("INTERFACE " + interface.get("name"), "=") + render(before)
    section, comment = None, ""
    titles = {"method": "Methods", "signal": "Signals", "property": "Properties"}
    for child in interface:
        if child.tag is ET.Comment:
            comment = child.text
            continue
        if section != child.tag and child.tag in titles:
            section = child.tag
            out += heading(f"{titles[section]} of {interface.get('name')}", "-")
        if child.tag in titles:
            text = re.sub(rf"^\s*{child.get('name')}: ", "", comment)
            body = render(text)
            out += [f"**{escape(signature(child))}**"] + ["    " + line if line else "" for line in body]
            out.append("")
        comment = ""
    return out


def main():
    version, *paths = sys.argv[1:]
    text = HEAD.replace("@VERSION@", version) + "\n".join(line for path in paths for line in page(path)) + TAIL
    sys.stdout.reconfigure(encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
