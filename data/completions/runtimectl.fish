# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for runtimectl(1). Verbs and options are those that the program tells of in its help texts, so that there is no second list of them.

# The words before the cursor that say which service is asked.
function __runtimectl_place
    set -l words (commandline -opc)
    for i in (seq 2 (count $words))
        switch $words[$i]
            case --user --system '--host=*' '--machine=*' '-H?*' '-M?*'
                echo $words[$i]
            case -H -M --host --machine
                printf '%s\n' $words[$i] $words[(math $i + 1)]
        end
    end
end

# The verb, and the words behind it that are no options.
function __runtimectl_words
    set -l words (commandline -opc)
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -H -M --host --machine
                set skip 1
            case '-*'
            case '*'
                echo $word
        end
    end
end

function __runtimectl_verb
    set -l words (__runtimectl_words)
    and set -q words[1]
    and echo $words[1]
end

# Whether there is a word behind the verb.
function __runtimectl_has_word
    test (count (__runtimectl_words)) -ge 2
end

function __runtimectl_no_verb
    not __runtimectl_verb >/dev/null
end

function __runtimectl_verb_is
    contains -- (__runtimectl_verb) $argv
end

function __runtimectl_verbs
    runtimectl --help 2>/dev/null | string match -rv '^  runtimectl ' | string replace -rf '^  ([a-z]+) .*?(?:  +(\S.*)| (\S.*))$' '$1\t$2'
end

# Each option with its own description: "  -n, --lines=N    Begin with the last N lines".
function __runtimectl_options
    runtimectl (__runtimectl_verb) --help 2>/dev/null | string replace -rf '^  (?:-[A-Za-z], )?(--[A-Za-z-]+=?)\S*(?: +(\S.*))?$' '$1\t$2' | string replace -r '^(--[A-Z][A-Za-z]*)\t' '$1=\t'
end

# The options of a kind's own, which "kind" prints below one another: "--Name (text) ...".
function __runtimectl_kind_options
    set -l words (__runtimectl_words)
    runtimectl kind $words[2] --no-legend --no-pager (__runtimectl_place) 2>/dev/null | string replace -rf '^ +(--[A-Za-z][A-Za-z0-9_-]*) \([^)]*\) *(.*)$' '$1=\t$2'
end

function __runtimectl_limits
    runtimectl limit --help 2>/dev/null | string replace -rf -- '^  ([A-Z][A-Za-z]+) +(.*)$' "$argv[1]\$1=\t\$2"
end

function __runtimectl_ids
    set -l place (__runtimectl_place)
    # The table of the system's service begins with the users.
    set -l column 1
    string match -qr -- '^(--system|-[HM]|--host|--machine)' $place; and set column 2
    runtimectl list --no-legend --no-pager $place 2>/dev/null | awk -v column=$column '{ print $column "\t" $(column + 1) ", " $(column + 2) }'
end

function __runtimectl_kinds
    runtimectl kinds --no-legend --no-pager (__runtimectl_place) 2>/dev/null | awk '{ print $1 }'
end

complete -c runtimectl -f
complete -c runtimectl -n __runtimectl_no_verb -a '(__runtimectl_verbs)'
complete -c runtimectl -n 'string match -q -- "-*" (commandline -ct)' -a '(__runtimectl_options)'
complete -c runtimectl -n 'string match -q -- "-*" (commandline -ct); and __runtimectl_verb_is start; and __runtimectl_has_word' -a '(__runtimectl_kind_options)'
complete -c runtimectl -n 'string match -q -- "-*" (commandline -ct); and __runtimectl_verb_is limit' -a '(__runtimectl_limits --)'
complete -c runtimectl -n '__runtimectl_verb_is limit; and __runtimectl_has_word' -a '(__runtimectl_limits)'
complete -c runtimectl -l json -x -a 'short pretty off'
complete -c runtimectl -s H -l host -x -a '(__fish_print_hostnames)'
complete -c runtimectl -s M -l machine -x -a '(machinectl list --full --no-legend --no-pager 2>/dev/null | awk "{ print \$1 }")'
complete -c runtimectl -n '__runtimectl_verb_is start kinds kind' -a '(__runtimectl_kinds)'
complete -c runtimectl -n '__runtimectl_verb_is kind' -a check
complete -c runtimectl -n '__runtimectl_verb_is kind' -F
complete -c runtimectl -n '__runtimectl_verb_is list' -l kind -x -a '(__runtimectl_kinds)'
complete -c runtimectl -n '__runtimectl_verb_is list' -l state -x -a 'starting preparing connecting initializing ready stopping ended'
complete -c runtimectl -n '__runtimectl_verb_is wait' -l until -x -a 'ready ended'
complete -c runtimectl -n '__runtimectl_verb_is kill' -l who -x -a 'main all'
complete -c runtimectl -n '__runtimectl_verb_is kill' -s s -l signal -x -a 'SIGTERM SIGKILL SIGINT SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGSTOP SIGCONT'
complete -c runtimectl -n '__runtimectl_verb_is logs' -l stream -x -a 'setup stdout stderr'
complete -c runtimectl -n 'not __runtimectl_no_verb; and not __runtimectl_verb_is start list kinds kind reload monitor metrics top limit' -a '(__runtimectl_ids)'
complete -c runtimectl -n '__runtimectl_verb_is limit; and not __runtimectl_has_word' -a '(__runtimectl_ids)'
