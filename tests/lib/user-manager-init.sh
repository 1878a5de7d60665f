#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# PID 1 of the namespaces that with-user-manager makes: gives them a /run and a
# cgroup tree of their own, starts journald, the user manager and the session
# bus there, runs the command in a scope of that manager, and exits with its
# code; the kernel then kills whatever is left.
#
# Usage: user-manager-init.sh NETWORK BROKER BROKER_ROOT COMMAND...

set -u
network=$1 broker=$2 broker_root=$3
shift 3

log=/run/fixture.log
give_up() {
        {
                echo "with-user-manager: $*"
                cat "$log"
                journalctl --no-pager --quiet --lines 40 2>/dev/null
        } >&2
        exit 125
}

# The fresh tree covers the old one, v1 hierarchies and all.
umount --recursive --lazy /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup || give_up "can't mount a cgroup v2 tree"
mount -t tmpfs -o mode=755 tmpfs /run || give_up "can't mount a tmpfs on /run"
: >"$log"
[ ! -d /var/log/journal ] || mount -t tmpfs tmpfs /var/log/journal

[ "$network" = shared ] || ip link set lo up || give_up "can't bring up lo"

# sd_booted() looks for this directory: without it clients don't try.
mkdir -p /run/systemd/system /run/systemd/journald.conf.d /run/lock
if ! [ -s /etc/machine-id ]; then
        [ -e /etc/machine-id ] || : >/etc/machine-id || give_up "/etc/machine-id is missing"
        tr -d - </proc/sys/kernel/random/uuid >/run/machine-id
        mount --bind /run/machine-id /etc/machine-id
fi
[ -z "$broker_root" ] ||
        # dbus-broker-launch starts /usr/bin/dbus-broker, wherever it is itself.
        mount -t overlay -o "ro,lowerdir=$broker_root/usr/bin:/usr/bin" overlay /usr/bin ||
        give_up "can't show the unpacked dbus-broker in /usr/bin"

uid=$(id -u)
export HOME=/run/home XDG_RUNTIME_DIR=/run/user/$uid
export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_STATE_HOME XDG_SESSION_ID NOTIFY_SOCKET \
        DBUS_SYSTEM_BUS_ADDRESS DBUS_STARTER_ADDRESS DBUS_STARTER_BUS_TYPE \
        INVOCATION_ID JOURNAL_STREAM MANAGERPID SYSTEMD_EXEC_PID LISTEN_FDS LISTEN_PID LISTEN_FDNAMES
mkdir -p /run/user "$HOME/.config/systemd/user"
mkdir -m 0700 "$XDG_RUNTIME_DIR"

cat >/run/systemd/journald.conf.d/fixture.conf <<END
[Journal]
Storage=volatile
ReadKMsg=no
Audit=no
RateLimitIntervalSec=0
ForwardToSyslog=no
ForwardToWall=no
END

# Units of our own, above the distribution's: those may be missing, or be an
# alias of the other message bus.
case $broker in
        dbus-daemon)
                type=notify
                exec='/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only' ;;
        dbus-broker)
                type=notify
                exec='/usr/bin/dbus-broker-launch --scope user' ;;
esac
cat >"$HOME/.config/systemd/user/dbus.socket" <<END
[Unit]
Description=Session Bus Socket
[Socket]
ListenStream=%t/bus
END
cat >"$HOME/.config/systemd/user/dbus.service" <<END
[Unit]
Description=Session Bus ($broker)
DefaultDependencies=no
After=dbus.socket
Before=basic.target shutdown.target
Requires=dbus.socket
Conflicts=shutdown.target
[Service]
Type=$type
Sockets=dbus.socket
ExecStart=$exec
Slice=session.slice
END
# Wanted by the target that is started, so that "running" includes the bus.
mkdir -p "$HOME/.config/systemd/user/basic.target.wants"
ln -s ../dbus.service "$HOME/.config/systemd/user/basic.target.wants/"

# Polls, since there is nothing to wait on before the sockets exist.
await() {
        local process=$1 deadline=$((SECONDS + 20))
        shift
        until "$@" >/dev/null 2>&1; do
                kill -0 "$process" 2>/dev/null || give_up "a part ended at once, before: $*"
                [ $SECONDS -lt $deadline ] || give_up "no success within 20 s: $*"
                sleep 0.01
        done
}

libexec=/usr/lib/systemd
[ -x $libexec/systemd ] || libexec=/lib/systemd
$libexec/systemd-journald </dev/null >>"$log" 2>&1 &
# A manager that starts without a journal never looks for it again.
await $! test -S /run/systemd/journal/socket

# A manager's environment is its own, not that of whoever runs the tests; the
# sanitizers' options are the exception, for services that tests start.
mapfile -t sanitizers < <(env | grep -E '^(ASAN|UBSAN|LSAN)_OPTIONS=')
env -i "${sanitizers[@]}" PATH="$PATH" HOME="$HOME" USER="$(id -un)" LOGNAME="$(id -un)" SHELL=/bin/sh \
        LANG="${LANG:-C.UTF-8}" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" \
        DBUS_SESSION_BUS_ADDRESS="$DBUS_SESSION_BUS_ADDRESS" \
        $libexec/systemd --user --log-target=journal --unit=basic.target </dev/null >>"$log" 2>&1 &
manager=$!

manager_is_up() {
        [ -S "$XDG_RUNTIME_DIR/systemd/private" ] || return
        case $(systemctl --user is-system-running) in running|degraded) ;; *) return 1 ;; esac
}
# The manager takes its name on the bus some time after the bus is up.
manager_is_on_bus() {
        [ "$(busctl --user call org.freedesktop.DBus / org.freedesktop.DBus NameHasOwner s org.freedesktop.systemd1)" = "b true" ]
}
await $manager manager_is_up
await $manager manager_is_on_bus

# In a scope, as a terminal's shell is on a desktop; otherwise the command would
# sit in the manager's own init.scope.
systemd-run --user --scope --quiet --collect --unit=with-user-manager -p Delegate=yes \
        -- env --unset=INVOCATION_ID -- "$@"
