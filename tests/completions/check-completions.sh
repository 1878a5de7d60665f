#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What each shell offers, with the service running: verbs, options, ids, kinds, values. Run it under tests/with-user-manager. Prints TAP.
#
# Usage: check-completions.sh SOURCE BUILD

set -u
source=$1 build=$2
count=0 failures=0
PATH=$build/src:$PATH
export PATH LC_ALL=C.UTF-8 LANGUAGE=en

say() {
        if [ "$1" = 0 ]; then echo "ok $((count += 1)) - $2"; else echo "not ok $((count += 1)) - $2"; failures=$((failures + 1)); fi
}

if [ -z "${DBUS_SESSION_BUS_ADDRESS:-}" ]; then
        echo "1..0 # SKIP no session bus: run it with tests/with-user-manager"
        exit 0
fi

runtime-managerd --user &
daemon=$!
trap 'kill $daemon; wait $daemon' EXIT
gdbus wait --session --timeout 20 org.example.RuntimeManager || { echo "Bail out! No service."; exit 1; }
runtimectl start command --Id=complete_me -- sleep 1000 >/dev/null || { echo "Bail out! No runtime."; exit 1; }

# What bash offers for the words of a line, the last of which is being written.
of_bash() {
        # shellcheck disable=SC2016
        bash --norc --noprofile -c '
                source /usr/share/bash-completion/bash_completion
                source "$1"
                shift
                COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_WORDBREAKS=" "
                COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
                compopt() { :; }
                _runtimectl
                printf "%s\n" "${COMPREPLY[@]}"' bash "$source/data/completions/runtimectl.bash" "$@"
}

of_fish() {
        # shellcheck disable=SC2016
        HOME=$(mktemp -d) fish --no-config -c 'source $argv[1]; complete -C "$argv[2..-1]"' "$source/data/completions/runtimectl.fish" "$@" | cut -f1
}

# zsh completes at a prompt only: one is made, and asked to list what there is.
of_zsh() {
        zsh -f "$source/tests/completions/ask-zsh" "$source/data/completions" "$*"
}

# offers SHELL WANTED WORDS...: among what is offered is the word WANTED.
offers() {
        local shell=$1 wanted=$2 offered
        shift 2
        offered=$("of_$shell" "$@" 2>&1)
        if grep -qxF -- "$wanted" <<<"$offered"; then
                say 0 "$shell: '$*' is completed to $wanted"
        else
                say 1 "$shell: '$*' is completed to $wanted"
                sed 's/^/# offered: /' <<<"$offered"
        fi
}

# offers_exactly SHELL "WANTED..." WORDS...
offers_exactly() {
        local shell=$1 wanted=$2 offered
        shift 2
        offered=$("of_$shell" "$@" 2>&1 | sort | tr '\n' ' ')
        [ "$offered" = "$(tr ' ' '\n' <<<"$wanted" | sort | tr '\n' ' ')" ]
        say $? "$shell: '$*' is completed to nothing but $wanted"
}

# offers_not SHELL UNWANTED WORDS...
offers_not() {
        local shell=$1 unwanted=$2
        shift 2
        "of_$shell" "$@" 2>&1 | grep -qxF -- "$unwanted"
        say $((1 - $?)) "$shell: '$*' isn't completed to $unwanted"
}

# A service elsewhere can answer what it likes, and none of it is executed.
hostile() {
        local shell=$1 folder
        folder=$(mktemp -d)
        # shellcheck disable=SC2016
        printf '#!/bin/sh\necho '"'"'$(touch${IFS}%s/done) $(touch${IFS}%s/done) ready x'"'"'\n' "$folder" "$folder" >"$folder/runtimectl"
        chmod +x "$folder/runtimectl"
        PATH=$folder:$PATH "of_$shell" runtimectl stop '' >/dev/null 2>&1
        PATH=$folder:$PATH "of_$shell" runtimectl start '' >/dev/null 2>&1
        PATH=$folder:$PATH "of_$shell" runtimectl start ready -- >/dev/null 2>&1
        PATH=$folder:$PATH "of_$shell" runtimectl limit ready '' >/dev/null 2>&1
        [ ! -e "$folder/done" ]
        say $? "$shell: what a service answers isn't executed"
        rm -rf "$folder"
}

for shell in bash fish zsh; do
        if ! command -v $shell >/dev/null || { [ $shell = bash ] && [ ! -e /usr/share/bash-completion/bash_completion ]; }; then
                echo "ok $((count += 1)) - $shell # SKIP it isn't installed"
                continue
        fi
        mapfile -t verbs < <(runtimectl --help | sed -nE '/^  runtimectl /d; s/^  ([a-z]+) .*/\1/p')
        offers_exactly $shell "${verbs[*]}" runtimectl ''
        offers $shell --lines= runtimectl logs --l
        offers $shell --wait runtimectl start --w
        offers $shell --MemoryMax= runtimectl start --M
        offers_not $shell --wait runtimectl list --w
        offers $shell --no-legend runtimectl --no
        offers $shell complete_me runtimectl stop co
        offers $shell complete_me runtimectl --user status ''
        offers $shell elixir-standalone runtimectl start eli
        offers_not $shell complete_me runtimectl start c
        offers $shell --NodeHost= runtimectl start elixir-standalone --N
        offers $shell --NodeHost= runtimectl start --user elixir-standalone --N
        offers_not $shell --NodeHost= runtimectl start command --N
        offers $shell complete_me runtimectl limit ''
        offers_exactly $shell 'CPUQuotaPerSecUSec= CPUWeight=' runtimectl limit complete_me C
        offers $shell MemoryMax= runtimectl limit complete_me TasksMax=1 ''
        offers_not $shell complete_me runtimectl limit complete_me ''
        offers $shell --MemoryMax= runtimectl limit complete_me --M
        offers $shell check runtimectl kind c
        offers $shell all runtimectl kill --who a
        offers $shell SIGUSR1 runtimectl kill -s SIGU
        hostile $shell
done
runtimectl stop complete_me
echo "1..$count"
[ $failures -eq 0 ]
