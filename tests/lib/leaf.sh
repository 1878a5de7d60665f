# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A cgroup of our own, for a systemd of our own. A manager that sees the
# cgroup it was started in moves every process of it into its init.scope, so a
# test's manager is never started before it has a leaf cgroup and, with
# "unshare --cgroup", a view of the tree in which that leaf is the root.
#
# Sourced by the fixtures, which set $fixture to their name and $here to the
# folder they are in. Promises: each run has a leaf that no other run has;
# leaf_remove takes it away with all below it; leaves of runs that were killed
# are taken away by the next run.

fixture=${fixture:?} here=${here:?}
leaf_name="runtime-manager-test.$$.$RANDOM"
leaf_dirs=()
leaf_parent=

# What can't work here is a skip, with the reason, for meson and for people.
cannot() {
        echo "$fixture: can't run here: $*" >&2
        exit 77
}

fail() {
        echo "$fixture: $*" >&2
        exit 125
}

# Our own directory in the hierarchy mounted at $1, whose line in
# /proc/self/cgroup starts with $2.
own_cgroup() {
        local path
        path=$(sed -n "s/^[0-9]*:$2:\(.*\)\$/\1/p" /proc/self/cgroup | head -n 1)
        case $path in
                ''|*/../*|*/..) path=/ ;;
        esac
        path=${path%/}
        [ -d "$1$path" ] || path=
        echo "$1$path"
}

# A manager needs a leaf in the v2 tree, and in the systemd v1 tree where that
# exists, or it would climb to the root of that one.
leaf_create() {
        local v2 v1 dir
        v2=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) ||
                cannot "no cgroup v2 tree is mounted (systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2)"
        v1=$(findmnt --noheadings --types cgroup --options name=systemd --output TARGET | head -n 1)

        for dir in "${leaf_parent:-$(own_cgroup "$v2" '')}" ${v1:+"$(own_cgroup "$v1" 'name=systemd')"}; do
                leaf_sweep "$dir"
                mkdir "$dir/$leaf_name" 2>/dev/null ||
                        { leaf_remove; cannot "no cgroup can be made in $dir (read-only?)"; }
                leaf_dirs+=("$dir/$leaf_name")
        done
}

leaf_remove_dir() {
        find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
        ! [ -d "$1" ]
}

# Processes that were just killed leave their cgroup only when they are reaped,
# so the first try may be a moment too early.
leaf_remove() {
        local dir try
        for dir in "${leaf_dirs[@]}"; do
                for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
                        leaf_remove_dir "$dir" && continue 2
                        [ -w "$dir/cgroup.kill" ] && echo 1 >"$dir/cgroup.kill"
                        sleep "0.$((try / 4))5"
                done
                echo "$fixture: $dir could not be removed" >&2
        done
        leaf_dirs=()
}

# A run that was killed with SIGKILL leaves empty directories behind. Its PID
# is in their name: when nobody has it, they are nobody's.
leaf_sweep() {
        local dir pid
        for dir in "$1"/runtime-manager-test.*; do
                [ -d "$dir" ] || continue
                pid=${dir##*/runtime-manager-test.}
                pid=${pid%%.*}
                [ -d "/proc/$pid" ] || leaf_remove_dir "$dir"
        done
        return 0
}

# With systemd as PID 1, its tree is not ours to write to: ask it for a
# delegated scope and go on in there, with the controllers it gives us. The
# process that supervises moves aside, since a cgroup that hands out
# controllers may hold no processes itself.
delegate_from_systemd() {
        [ "$(cat /proc/1/comm)" = systemd ] && [ -d /run/systemd/system ] || return 0
        if [ -z "${RUNTIME_MANAGER_FIXTURE_SCOPE:-}" ]; then
                RUNTIME_MANAGER_FIXTURE_SCOPE=1 exec systemd-run --scope --quiet --collect -p Delegate=yes \
                        --description="$fixture: a systemd for tests" -- "$0" "$@"
        fi
        unset RUNTIME_MANAGER_FIXTURE_SCOPE INVOCATION_ID

        local v2 controllers
        v2=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || return 0
        v2=$(own_cgroup "$v2" '')
        mkdir -p "$v2/supervisor" && echo $$ >"$v2/supervisor/cgroup.procs" || return 0
        controllers=$(sed 's/\([a-z_]\+\)/+\1/g' "$v2/cgroup.controllers")
        [ -z "$controllers" ] || echo "$controllers" >"$v2/cgroup.subtree_control"
        leaf_parent=$v2
}

leaf_namespaces=(--mount --pid)
leaf_child=
leaf_interrupted() {
        trap '' INT TERM HUP
        [ -z "$leaf_child" ] || kill -KILL "$leaf_child" 2>/dev/null
        wait 2>/dev/null
        exit $((128 + $1))
}

# Runs a command as PID 1 of PID, mount and cgroup namespaces of its own (and of
# what else is added to leaf_namespaces), with a new leaf as the root of its
# cgroup tree, and exits with its exit code when nothing of it is left.
leaf_run() {
        unshare "${leaf_namespaces[@]}" --cgroup --fork true 2>/dev/null ||
                cannot "this root may not make namespaces (a container without CAP_SYS_ADMIN?)"

        trap leaf_remove EXIT
        trap 'leaf_interrupted 1' HUP
        trap 'leaf_interrupted 2' INT
        trap 'leaf_interrupted 15' TERM
        leaf_create

        # Bash starts what it puts into the background with SIGINT and SIGQUIT
        # ignored and no standard input; the command shall have both as the
        # caller has them. If we are killed, unshare dies with us, and with it
        # PID 1 of the namespace.
        env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
                unshare "${leaf_namespaces[@]}" --fork --kill-child --mount-proc --propagation private \
                "$here/lib/enter-leaf.sh" "${leaf_dirs[@]}" -- "$@" <&0 &
        leaf_child=$!
        wait "$leaf_child"
        exit
}
