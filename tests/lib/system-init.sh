#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# PID 1 of the namespaces that with-system, with-vm and with-fresh make: lays out
# the machine's root as overlays with everything written in memory, installs the
# build into it (a fresh one gets a clone), boots it, passes on what the command
# prints and exits with its code.
#
# Usage, with the options in WITH_SYSTEM_*: system-init.sh NAME=VALUE... -- COMMAND...

set -u
cwd=$PWD
source_dir=$WITH_SYSTEM_SOURCE build_dir=$WITH_SYSTEM_BUILD
user=$WITH_SYSTEM_USER results=$WITH_SYSTEM_RESULTS install=$WITH_SYSTEM_INSTALL
# shellcheck disable=SC2034 # for boot-*.sh
machine=$WITH_SYSTEM_MACHINE base=$WITH_SYSTEM_BASE boots=$WITH_SYSTEM_BOOTS time_limit=$WITH_SYSTEM_TIME_LIMIT
# shellcheck disable=SC2034 # for boot-vm.sh
packages=${WITH_SYSTEM_PACKAGES:-}
unset "${!WITH_SYSTEM_@}"

top=/run/with-system
io=$top/io
root=$top/root
inside=/run/with-system     # where $io is seen in the machine

give_up() {
        {
                echo "with-$machine: $*"
                [ ! -s "$top/log" ] || tail -n 60 "$top/log"
        } >&2
        exit 125
}

# A writable view of a folder, whose changes go away with this namespace.
overlay_count=0
overlay() {
        local store=$top/store/$((overlay_count += 1))
        mkdir -p "$store/upper" "$store/work" "$2"
        chmod --reference="$1" "$store/upper"
        mount -t overlay -o "lowerdir=$1,upperdir=$store/upper,workdir=$store/work" overlay "$2" ||
                give_up "can't make an overlay of $1"
}

umount --recursive --lazy /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup || give_up "can't mount a cgroup v2 tree"
mount -t tmpfs -o mode=755 tmpfs /run || give_up "can't mount a tmpfs on /run"
mkdir -p "$io" "$root"
overlay "$base" "$root"

# The trees may be in places that the machine has its own version of, as
# /tmp, or on file systems that the overlay of / does not show.
views=() places=() build_view='' session=''
show() {
        views+=("$1")
        places+=("$2")
}
share() {
        local view=$top/share/${#views[@]}
        overlay "$1" "$view"
        show "$view" "$1"
        # For any user, since what root runs may be a test of several.
        find "$view" ! -type l ! -perm -o=r -exec chmod o+rX {} +
        # The way to it, too: a checkout in a home folder is behind a 0700.
        local parent=$1
        while parent=$(dirname "$parent") && [ "$parent" != / ]; do
                [ ! -d "$root$parent" ] || chmod o+x "$root$parent"
        done
}
if [ "$base" = / ]; then
        share "$source_dir"
        case $build_dir/ in
                "$source_dir"/*) build_view=$top/share/0${build_dir#"$source_dir"} ;;
                *)
                        build_view=$top/share/${#views[@]}
                        [ ! -d "$build_dir" ] || share "$build_dir" ;;
        esac
        case $cwd/ in
                /|"$source_dir"/*|"$build_dir"/*) ;;
                /tmp/*|/run/*|/proc/*|/sys/*|/dev/*) cwd=/ ;;
                *) [ -d "$root$cwd" ] || cwd=/ ;;
        esac
else
        # shellcheck source=tests/lib/fresh.sh
        . "${0%/*}/fresh.sh"
        fresh
fi

# What this machine mounts, decrypts and identifies itself as is not for us.
for file in fstab crypttab machine-id; do
        rm -f "$root/etc/$file"
        : >"$root/etc/$file"
done
# With a place on disk, the journal is split by user as on a real machine.
mkdir -p "$root/var/log/journal"

if [ -n "$install" ]; then
        DESTDIR=$root meson install -C "$build_dir" --no-rebuild --quiet >"$top/log" 2>&1 ||
                give_up "meson install failed"
        # What a package's installation does too: the message bus must know this user when it starts.
        systemd-sysusers --root="$root" runtime-manager.conf >"$top/log" 2>&1 || give_up "systemd-sysusers failed"
        : >"$top/log"
fi

# What the command writes into its build folder's logs, it writes as its user.
if [ -n "$user" ] && [ -d "$build_view/meson-logs" ]; then
        chmod -R a+rwX "$build_view/meson-logs"
fi
if [ -n "$results" ]; then
        mkdir -p "$io/results"
        chmod 1777 "$io/results"
        show "$io/results" "$results"
fi

mkfifo "$io/stdout" "$io/stderr"
environment=()
while [ "$1" != -- ]; do
        environment+=("$1")
        shift
done
shift
{
        printf 'user=%q cwd=%q machine=%q boots=%q session=%q\n' "$user" "$cwd" "$machine" "$boots" "$session"
        echo "environment=(${environment[*]@Q})"
        echo "command=(${*@Q})"
} >"$io/job"
cp "${0%/*}/system-job.sh" "$io/run"

# A target of our own: what this machine runs as a server is not started again.
unit=$root/etc/systemd/system
cat >"$unit/with-system.service" <<END
[Unit]
Description=The command that with-system runs
After=basic.target dbus.socket systemd-logind.service systemd-user-sessions.service
[Service]
Type=exec
ExecStart=/bin/bash $inside/run
KillMode=process
TimeoutStartSec=infinity
LimitNOFILE=1024:524288
END
cat >"$unit/with-system.target" <<END
[Unit]
Description=with-system
Requires=basic.target
Wants=dbus.socket systemd-logind.service systemd-user-sessions.service with-system.service
After=basic.target
AllowIsolate=yes
END

cat "$io/stdout" &
readers=($!)
cat "$io/stderr" >&2 &
readers+=($!)

# shellcheck source=tests/lib/boot-container.sh
. "${0%/*}/boot-$machine.sh"
boot

# All writers are gone. Where there never was one, the readers still wait for it.
: <>"$io/stdout" <>"$io/stderr"
wait "${readers[@]}"

[ -z "$results" ] || cp --recursive --no-preserve=ownership "$io/results/." "$results/"
[ -s "$io/code" ] || give_up "the machine ended before the command did"
exit "$(cat "$io/code")"
