#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The life of the Debian packages, in a booted system that doesn't have the project: what is installed starts with its
# first call; an upgrade leaves the runtimes running, those of the system bus and those of a user's session; removal ends
# them, and purging leaves nothing. As root, in tests/with-system --no-install or tests/with-fresh. Prints TAP.
#
# Usage: test-packages.sh FOLDER [FOLDER-OF-EARLIER-PACKAGES]
#
# Without earlier packages, the new ones under a lower version stand in for them.

set -u
folder=$1 earlier=${2:-}
count=0 failures=0

skip() {
        echo "1..0 # SKIP $*"
        exit 0
}
if [ "$(id -u)" != 0 ] || [ ! -d /run/with-system ]; then
        skip "takes root of a booted container"
fi
if dpkg-query --show runtime-manager >/dev/null 2>&1 || systemctl cat runtime-manager.service >/dev/null 2>&1; then
        skip "the project is installed here already"
fi
shopt -s nullglob
debs=("$folder"/runtime{ctl,-manager,-manager-dev,-manager-doc}_*.deb)
[ ${#debs[@]} -eq 4 ] || skip "no packages in $folder: tools/build-packages $folder"

scratch=$(mktemp -d)
log=$scratch/log
trap 'rm -rf "$scratch"' EXIT
# apt reads local packages as a user of its own.
chmod 755 "$scratch"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# An image for containers forbids its packages to start services. Here they may.
rm -f /usr/sbin/policy-rc.d

id alice >/dev/null 2>&1 || useradd --create-home --shell /bin/bash alice
uid=$(id -u alice)
loginctl enable-linger alice && systemctl start "user@$uid.service"

# check WHAT COMMAND...
check() {
        if "${@:2}" >"$log" 2>&1; then
                echo "ok $((count += 1)) - $1"
        else
                echo "not ok $((count += 1)) - $1"
                sed 's/^/# /' "$log"
                failures=$((failures + 1))
        fi
}

is() {
        local output
        output=$("${@:2}" 2>&1)
        echo "$output"
        [ "$output" = "$1" ]
}

not() {
        ! "$@"
}

# alice_for SECONDS COMMAND...: as she would call it.
alice_for() {
        (cd / && exec timeout "$1" setpriv --reuid=alice --regid=alice --init-groups env --ignore-environment PATH="$PATH" HOME=/home/alice LC_ALL=C.UTF-8 \
                XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" "${@:2}")
}

alice() {
        alice_for 60 "$@"
}

install() {
        apt-get install --yes --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-confold "$@"
}

# What can be left behind; journals, caches, and what other packages brought along can't.
files() {
        find /etc /lib/ /usr /var /run -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/PackageKit -o -path /var/lib/systemd \
                -o -path '/var/tmp/systemd-private-*' -o -path '/run/systemd' -o -path /run/user -o -path /run/with-system -o -path /run/log -o -path /run/udev \) -prune \
                -o -print | sort
}

# The packages as they would have been before.
repack() {
        local deb tree=$scratch/tree
        for deb in "${debs[@]}"; do
                rm -rf "$tree"
                dpkg-deb --raw-extract "$deb" "$tree" && sed -i 's/^Version: .*/&~earlier/' "$tree/DEBIAN/control" &&
                        dpkg-deb --root-owner-group --build "$tree" "$earlier" || return
        done
}

if [ -z "$earlier" ]; then
        earlier=$scratch/earlier
        mkdir "$earlier"
        check "packages of a lower version are made" repack
fi

# What they depend on is not theirs to take away.
mapfile -t needed < <(apt-get install --simulate --no-install-recommends "$earlier"/*.deb 2>/dev/null |
        sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -v '^runtime')
if [ ${#needed[@]} -gt 0 ]; then
        check "what they depend on can be had: ${needed[*]}" install "${needed[@]}"
        systemctl restart "user@$uid.service"
fi
files >"$scratch/before"

check "they are installed" install "$earlier"/runtime{ctl,-manager,-manager-dev,-manager-doc}_*.deb
user_show() {
        alice systemctl --user show --value --property "$1" runtime-managerd.service
}
system_show() {
        systemctl show --value --property "$1" runtime-manager.service
}
check "the service of the system is there, and does not run" is inactive system_show ActiveState
check "nor does that of a user" is inactive user_show ActiveState
check "nothing is enabled: the buses start them" is static systemctl is-enabled runtime-manager.service
check "the service has its user" id runtime-manager

# Two that count, and an idle one.
# shellcheck disable=SC2016 # it is the runtime's shell that counts
counting=(sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done')
check "a user's first call over the system bus starts the service" alice runtimectl --system start command --id=here -- "${counting[@]}"
check "and the first over its own bus that of the user" alice runtimectl --user start command --id=there -- "${counting[@]}"
check "both run" is "active active" echo "$(system_show ActiveState)" "$(user_show ActiveState)"

# What "status" would tell a person, for a program.
pid_of() {
        alice runtimectl "--$1" status "$2" --json=short | grep -o '"MainPID":[0-9]*' | cut -d: -f2
}
# goes_on BUS ID LINE: lines after that one are printed, and none before it is missing.
goes_on() {
        local line n=0
        while read -r line; do
                [ "$line" = $((n += 1)) ] || { echo "line $n is $line"; return 1; }
                [ $n -le $(($3 + 3)) ] || return 0
        done < <(alice_for 30 runtimectl "--$1" logs "$2" --follow 2>&1)
        echo "no more lines after $n"
        return 1
}
here_pid=$(pid_of system here) there_pid=$(pid_of user there)
check "their processes are known" test "${here_pid:-0}" -gt 1 -a "${there_pid:-0}" -gt 1
check "the runtime of the system bus prints" goes_on system here 1
check "that of the session bus prints" goes_on user there 1
system_was=$(system_show InvocationID) user_was=$(user_show InvocationID)
lines_here=$(alice runtimectl --system logs here | tail -n 1) lines_there=$(alice runtimectl --user logs there | tail -n 1)

check "they are upgraded" install "${debs[@]}"
version=$(dpkg-deb --field "${debs[0]}" Version)
# shellcheck disable=SC2016 # a variable of dpkg-query
check "the version is the new one" is "$version" dpkg-query --show --showformat='${Version}' runtime-manager
check "the packages' version is the project's" is "runtimectl ${version%%[~+]*}" runtimectl --version
check "the service of the system runs" is active system_show ActiveState
check "it is another instance" test "$(system_show InvocationID)" != "$system_was"
check "of the new program" is /usr/libexec/runtime-managerd readlink "/proc/$(system_show MainPID)/exe"
check "the user's service runs" is active user_show ActiveState
check "it is another instance, too" test "$(user_show InvocationID)" != "$user_was"
check "of the new program, too" is /usr/libexec/runtime-managerd readlink "/proc/$(user_show MainPID)/exe"
check "the runtime of the system bus is the same process" is "$here_pid" pid_of system here
check "that of the session bus is, too" is "$there_pid" pid_of user there
check "what the first prints goes on" goes_on system here "${lines_here:-0}"
check "what the second prints goes on" goes_on user there "${lines_there:-0}"
check "the new service starts more" alice runtimectl --system start command -- true
check "nothing went wrong in the system's service" is '' journalctl --quiet --priority=warning --unit=runtime-manager.service --unit=runtime-spawner.service

check "they are removed" apt-get remove --yes runtime-manager runtimectl runtime-manager-dev runtime-manager-doc
check "the services have stopped" is "inactive inactive" echo "$(system_show ActiveState)" "$(user_show ActiveState)"
check "and the runtimes with them" not kill -0 "$here_pid" "$there_pid"
check "their folders are no longer mounted" not mountpoint --quiet /run/runtime-manager-runtimes
check "the configuration is kept" test -e /etc/runtime-manager/runtime-manager.conf
check "they are installed again" install "${debs[@]}"
check "and run again" alice runtimectl --system start command --wait -- true

check "they are purged" apt-get purge --yes runtime-manager runtimectl runtime-manager-dev runtime-manager-doc
files >"$scratch/after"
check "nothing is left" is '' comm -13 "$scratch/before" "$scratch/after"
check "no unit is left" is '' systemctl list-units --all --plain --no-legend 'runtime*' 'run-runtime*'
check "the system bus doesn't know the name" not busctl --system call org.freedesktop.DBus / org.freedesktop.DBus StartServiceByName su org.example.RuntimeManager 0

echo "1..$count"
[ $failures -eq 0 ]
