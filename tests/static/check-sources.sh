#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What every source file promises, whoever wrote it. Usage: check-sources.sh SRCROOT
#
#  - each .c and .h begins with the SPDX line; no .c, .h, .py, .sh, .ex or .exs file is longer than 600 lines
#  - no line ends in spaces
#  - nobody sleeps: src/ and tests/ wait for events

set -eu

MAX_LINES=600
SPDX='/* SPDX-License-Identifier: LGPL-2.1-or-later */'

[ $# -eq 1 ] || { echo "usage: $0 SRCROOT" >&2; exit 2; }
cd "$1"
[ -d src ] || { echo "$1: no src/" >&2; exit 2; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
problems=$scratch/problems
: >"$problems"

# Folders are named, so that a build folder inside the tree is never looked at.
for folder in src tests data dbus systemd po tools debian .ci; do
        [ -d "$folder" ] && printf '%s\n' "$folder"
done >"$scratch/folders"
xargs -I{} find {} -name 'corpus*' -prune -o -name _build -prune -o -name deps -prune -o -name __pycache__ -prune -o -type f -print \
        <"$scratch/folders" | sort >"$scratch/all"
grep -E '\.[ch]$' "$scratch/all" >"$scratch/c" || :
grep -E '\.(c|h|py|sh|ex|exs)$' "$scratch/all" >"$scratch/code" || :

while IFS= read -r file; do
        IFS= read -r first <"$file" || first=
        [ "$first" = "$SPDX" ] || echo "$file:1: does not begin with $SPDX"
done <"$scratch/c" >>"$problems"

while IFS= read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le $MAX_LINES ] || echo "$file: $lines lines, more than $MAX_LINES: look for the second room in it"
done <"$scratch/code" >>"$problems"

# grep says 1 when it finds nothing, which is what we hope for, and 2 for a real error.
search() {
        xargs -d '\n' -r grep -nHIE "$@" || [ $? -ne 2 ]
}

search '[[:blank:]]+$' <"$scratch/all" | sed 's/^\([^:]*:[^:]*\):.*/\1: ends in spaces/' >>"$problems"

grep -E '^(src|tests)/' "$scratch/c" | search '(^|[^[:alnum:]_])(sleep|usleep|nanosleep|clock_nanosleep|g_usleep|sleep_for)[[:blank:]]*\(' |
        sed 's/$/   (sleeps: wait for an event with a deadline)/' >>"$problems"
grep -E '^tests/.*\.py$' "$scratch/code" | search 'time\.sleep[[:blank:]]*\(' |
        sed 's/$/   (sleeps: wait for an event with a deadline)/' >>"$problems"

count=$(wc -l <"$problems")
cat "$problems" >&2
echo "$(wc -l <"$scratch/all") files, $count problems"
[ "$count" -eq 0 ]
