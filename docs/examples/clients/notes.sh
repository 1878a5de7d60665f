#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A notebook app in small, as a script with busctl and jq: see docs/clients.md.
#
# notes.sh run|own NOTEBOOK COMMAND [ARGUMENT...]    starts it, or comes back to it; its output goes to stdout and NOTEBOOK.log
# notes.sh stop NOTEBOOK
#
# Each busctl is a client of its own that has left again before the next line. So a script has no signals: it reads what is new, and
# waits for the end with a time-out. To follow output as it comes, use "runtimectl logs -f".

set -euo pipefail

[[ $# -ge 2 && $1 =~ ^(run|own|stop)$ ]] || { sed -n 's/^# \(notes.sh .*\)/\1/p' "$0" >&2; exit 1; }
verb=$1 notebook=$2
shift 2

service=org.example.RuntimeManager
manager=(/org/example/RuntimeManager org.example.RuntimeManager)
runtime=org.example.RuntimeManager.Runtime
label=org.example.Notes.notebook
grace=5000000  # µs
lossy=2 no_newline=$((1 | 4))  # flags of a line
transcript=$notebook.log

# The reply as JSON. When the service is restarted in the middle of it, every call may be repeated; since busctl doesn't tell the names of errors, we
# repeat after any.
call() {
        busctl --user --json=short call -- "$service" "$@" 2>/dev/null || busctl --user --json=short call -- "$service" "$@"
}

get() {
        call "$path" org.freedesktop.DBus.Properties Get ss "$runtime" "$1" | jq -c '.data[0].data'
}

# The newest runtime of this notebook, ended or not; "": there is none.
find_runtime() {
        call "${manager[@]}" ListRuntimes 'a{sv}' 1 Labels 'a{ss}' 1 "$label" "$notebook" | jq -r '.data[0][-1] // empty | .[1]'
}

start_runtime() {
        local owner=none id
        [ "$verb" != own ] || owner=caller
        id=$(tr -d - </proc/sys/kernel/random/uuid)  # our own id makes it safe to repeat the start
        # Emptied before there is a runtime: killed in between, we must not take the old numbers for the new runtime's.
        : >"$transcript"
        call "${manager[@]}" StartRuntime 'sa{sv}' command 6 Id s "$id" Command as $# "$@" WorkingDirectory s "$PWD" \
                Labels 'a{ss}' 1 "$label" "$notebook" Owner s $owner OwnerGraceUSec t $grace | jq -r '.data[1]'
}

# A script can't stay on the bus, so it owns as one pays a rent: in each turn for a while. If it isn't paid again, the runtime ends.
take_ownership() {
        call "$path" "$runtime" TakeOwnership 'a{sv}' 1 OwnerGraceUSec t $grace >/dev/null 2>&1 || [ "$(get State)" = '"ended"' ]
}

# Of a line that wasn't text, in octal for printf.
raw_bytes() {
        call "$path" "$runtime" ReadOutput tu $(($1 - 1)) 1 |
                jq -r '.data[0][0][4] | map("\\0\(. / 64 | floor)\(. % 64 / 8 | floor)\(. % 8)") | join("")'
}

# Lines up to this one are no longer kept.
lose() {
        if [ "$1" -gt "$last" ]; then
                echo "[lines $((last + 1)) to $1 are lost]" >&2
                echo "$1 0 0 [lines $((last + 1)) to $1 are lost]" >>"$transcript"
                last=$1
        fi
}

# "NUMBER STREAM FLAGS TEXT"
take() {
        local line=$1 number stream flags text
        read -r number stream flags _ <<<"$line"
        text=${line#* * * }
        lose $((number - 1))
        if [ $((flags & lossy)) != 0 ]; then
                text=$(raw_bytes "$number")
        else
                text=${text//\\/\\\\}
        fi
        { printf '%s ' "$number" "$stream" "$flags" && printf '%b\n' "$text"; } >>"$transcript"
        printf '%b' "$text"
        [ $((flags & no_newline)) != 0 ] || echo
        last=$number
}

read_new() {
        local more=true reply line
        while [ "$more" = true ]; do
                reply=$(call "$path" "$runtime" ReadOutputText tu "$last" 0)
                while IFS= read -r line; do
                        take "$line"
                done < <(jq -r '.data[0][] | "\(.[0]) \(.[1]) \(.[3]) \(.[4])"' <<<"$reply")
                more=$(jq '.data[2]' <<<"$reply")
        done
        lose "$(jq '.data[1]' <<<"$reply")"
}

show() {
        case $1 in
                "$shown") ;;
                '"ready"'|'"ended"') jq -r '"[\(.)]"' <<<"$1" >&2 ;;
                *) echo '[busy]' >&2 ;;  # there may be new states: what we don't know is busy
        esac
        shown=$1
}

follow() {
        local state='' shown='' report
        until [ "$state" = '"ended"' ]; do
                [ "$verb" != own ] || take_ownership || { echo "This notebook is open in another window." >&2; exit 1; }
                state=$(get State)  # before the output: what has ended prints no more
                show "$state"
                read_new
                busctl --user --timeout=1 call -- "$service" "${manager[@]}" WaitRuntime ss "${path##*/}" ended >/dev/null 2>&1 || :
        done
        report=$(get EndReport)
        # We have all of it: it need not be found again.
        call "$path" "$runtime" Forget >/dev/null
        jq -r '"[\(.Result.data): \(.Message.data)]"' <<<"$report" >&2
        exit "$(jq 'if .Result.data | . == "success" or . == "exit-code" then .ExitCode.data else 1 end' <<<"$report")"
}

path=$(find_runtime)
if [ "$verb" = stop ]; then
        [ -n "$path" ] || { echo "It doesn't run." >&2; exit 1; }
        call "$path" "$runtime" Stop 'a{sv}' 0 >/dev/null
        exit
fi
[ -n "$path" ] || path=$(start_runtime "$@")

# The number of the last line in it is where we go on: what is shown and what is remembered can't differ. A line without its end was being written
# when we were killed.
touch "$transcript"
[ -z "$(tail -c 1 "$transcript")" ] || sed -i '$d' "$transcript"
last=$(tail -n 1 "$transcript" | cut -d ' ' -f 1)
last=${last:-0}
follow
