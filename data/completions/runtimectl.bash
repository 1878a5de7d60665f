# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for runtimectl(1). Verbs and options are those that the program tells of in its help texts, so that there is no second list of them.

# What is in the help text: --option, or --option= if it takes a value.
_runtimectl_options() {
        runtimectl "$@" --help 2>/dev/null | sed -nE 's/^  (-[[:alpha:]], )?(--[[:alpha:]-]+=?).*/\2/p' | sed -E 's/^(--[A-Z][[:alpha:]]*)$/\1=/'
}

_runtimectl_verbs() {
        runtimectl --help 2>/dev/null | sed -nE '/^  runtimectl /d; s/^  ([a-z]+) .*/\1/p'
}

# The words before the cursor that say which service is asked.
_runtimectl_place() {
        local i
        for ((i = 1; i < cword; i++)); do
                case ${words[i]} in
                        --user|--system|--host=*|--machine=*|-[HM]?*) printf '%s\n' "${words[i]}" ;;
                        -H|-M|--host|--machine) printf '%s\n' "${words[i]}" "${words[i + 1]}" ;;
                esac
        done
}

_runtimectl_column() {
        local place
        mapfile -t place < <(_runtimectl_place)
        runtimectl "$@" --no-legend --no-pager "${place[@]}" 2>/dev/null
}

# The options of a kind's own, which "kind" prints below one another: "--Name (text) ...".
_runtimectl_kind_options() {
        _runtimectl_column kind "$1" | sed -nE 's/^ +(--[[:alpha:]][[:alnum:]_-]*) \(.*/\1=/p'
}

_runtimectl_limits() {
        runtimectl limit --help 2>/dev/null | sed -nE 's/^  ([A-Z][[:alpha:]]+) .*/\1=/p'
}

# "compgen -W" expands what it is given as a shell does: nothing that a service says gets there but what ids and kinds can be.
_runtimectl_ids() {
        local column=1
        # The table of the system's service begins with the users.
        [[ " $(_runtimectl_place | tr '\n' ' ')" =~ \ (--system|-[HM]|--host|--machine) ]] && column=2
        _runtimectl_column list | awk -v column=$column '$column ~ /^[a-z0-9_]+$/ { print $column }'
}

_runtimectl_kinds() {
        _runtimectl_column kinds | awk '$1 ~ /^[a-z0-9-]+$/ { print $1 }'
}

_runtimectl_values() {
        case $1 in
                --json) echo short pretty off ;;
                --kind) _runtimectl_kinds ;;
                --state) echo starting preparing connecting initializing ready stopping ended ;;
                --until) echo ready ended ;;
                --who) echo main all ;;
                --stream) echo setup stdout stderr ;;
                -s|--signal) compgen -A signal SIG ;;
                -H|--host) compgen -A hostname ;;
                -M|--machine) machinectl list --full --no-legend --no-pager 2>/dev/null | awk '$1 ~ /^[A-Za-z0-9._-]+$/ { print $1 }' ;;
                --uid) compgen -u ;;
                --Input) echo null pipe terminal ;;
                --Owner) echo none caller required ;;
                *) return 1 ;;
        esac
}

_runtimectl() {
        local cur prev words cword verb= first= at=0 i values
        _init_completion -n = || return

        for ((i = 1; i < cword; i++)); do
                case ${words[i]} in
                        -H|-M|--host|--machine) ((i++)) ;;
                        --) return ;;
                        -*) ;;
                        *) if [[ $verb ]]; then first=${words[i]}; break; fi; verb=${words[i]} at=$i ;;
                esac
        done

        if [[ $cur == --*=* ]]; then
                values=$(_runtimectl_values "${cur%%=*}") && mapfile -t COMPREPLY < <(compgen -W "$values" -- "${cur#*=}")
                # Readline replaces what is behind the last "=" alone.
                [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/${cur%%=*}=}")
                return
        fi
        if [[ $prev == -* ]] && values=$(_runtimectl_values "$prev"); then
                mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
                return
        fi
        if [[ $cur == -* ]]; then
                values="$(_runtimectl_options ${verb:+"$verb"}) --help"
                [[ $verb != start || ! $first ]] || values+=" $(_runtimectl_kind_options "$first")"
                [[ $verb != limit ]] || values+=" $(_runtimectl_limits | sed 's/^/--/')"
                mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
                [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
                return
        fi
        case $verb in
                '') values=$(_runtimectl_verbs) ;;
                start|kinds) values=$(_runtimectl_kinds) ;;
                kind)
                        if [[ $prev == check || ${words[at + 1]} == check ]] && ((cword > at + 1)); then
                                _filedir kind
                                return
                        fi
                        values="check $(_runtimectl_kinds)"
                        ;;
                list|reload|monitor|metrics|top) return ;;
                limit)
                        values=$(if [[ $first ]]; then _runtimectl_limits; else _runtimectl_ids; fi)
                        # Readline replaces what is behind the "=" alone.
                        [[ $cur != *=* ]] || return
                        [[ ! $first ]] || compopt -o nospace
                        ;;
                *) values=$(_runtimectl_ids) ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
}

complete -F _runtimectl runtimectl
