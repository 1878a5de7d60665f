#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What was installed, in the booted system it was installed into: the units, the user, the bus policy, the polkit actions. As
# root, in tests/with-system. Prints TAP.

set -u
count=0 failures=0

if [ "$(id -u)" != 0 ] || [ ! -d /run/with-system ] || ! systemctl cat runtime-manager.service >/dev/null 2>&1; then
        echo "1..0 # SKIP takes root of a booted container with the project installed"
        exit 0
fi
log=$(mktemp)
# Other tests kill services in this same machine.
begin=@$(date +%s.%N)
trap 'rm -f "$log"' EXIT
id alice >/dev/null 2>&1 || useradd --create-home --shell /bin/bash alice

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

# as USER COMMAND...
as() {
        setpriv --reuid="$1" --regid="$1" --init-groups "${@:2}"
}

# says PATTERN COMMAND...: it prints that, whatever its exit code is.
says() {
        local output
        output=$("${@:2}" 2>&1)
        echo "$output"
        grep -qE -- "$1" <<<"$output"
}

is() {
        local output
        output=$("${@:2}" 2>&1)
        echo "$output"
        [ "$output" = "$1" ]
}

bus_call() {
        busctl --system --timeout=30 call "$@"
}
bus=(org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus)
service=(org.example.RuntimeManager /org/example/RuntimeManager)
polkit=(org.freedesktop.PolicyKit1 /org/freedesktop/PolicyKit1/Authority org.freedesktop.PolicyKit1.Authority)
export -f bus_call
call_as() {
        as "$1" bash -c 'bus_call "$@"' bash "${@:2}"
}

# may USER ACTION: what polkit tells our service about the first connection of the bus, which is root's.
may() {
        call_as "$1" "${polkit[@]}" CheckAuthorization '(sa{sv})sa{ss}us' system-bus-name 1 name s :1.0 "$2" 1 kind command 0 ''
}

mount='run-runtime\x2dmanager\x2druntimes.mount'
for unit in runtime-manager.service runtime-spawner.service runtime-spawner.socket runtimes.slice "$mount"; do
        check "$unit is loaded" is loaded systemctl show -P LoadState "$unit"
done
check "the service is exposed by 1.5 at most" systemd-analyze --no-pager security --threshold=15 runtime-manager.service

check "the spawner's socket can be listened on" systemctl start runtime-spawner.socket
check "and is the service's alone" is "runtime-manager 600" stat -c '%U %a' /run/runtime-manager-spawner/socket
check "in a folder of root's" is "root 755" stat -c '%U %a' /run/runtime-manager-spawner

check "a user can't take the service's name" says 'Access denied|AccessDenied' call_as alice "${bus[@]}" RequestName su org.example.RuntimeManager 4
check "nor can root" says 'Access denied|AccessDenied' bus_call "${bus[@]}" RequestName su org.example.RuntimeManager 4

check "the service can ping a peer" call_as runtime-manager org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.DBus.Peer Ping
check "and do nothing else to it" says 'Access denied|AccessDenied' \
        call_as runtime-manager org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListUsers
systemd=(org.freedesktop.systemd1 /org/freedesktop/systemd1)
manager=(org.freedesktop.systemd1.Manager)
check "the service can't call PID 1" says 'Access denied|AccessDenied' call_as runtime-manager "${systemd[@]}" "${manager[@]}" GetUnit s dbus.service
check "nor by its unique name" says 'Access denied|AccessDenied' call_as runtime-manager \
        "$(bus_call "${bus[@]}" GetNameOwner s org.freedesktop.systemd1 | cut -d'"' -f2)" "${systemd[1]}" "${manager[@]}" GetUnit s dbus.service
check "nor ping it" says 'Access denied|AccessDenied' call_as runtime-manager "${systemd[@]}" org.freedesktop.DBus.Peer Ping
check "the service can't have others started" says 'Access denied|AccessDenied' \
        call_as runtime-manager "${bus[@]}" StartServiceByName su org.freedesktop.hostname1 0
check "the service can ask who a peer is" says UnixUserID call_as runtime-manager "${bus[@]}" GetConnectionCredentials s org.freedesktop.login1

for action in start start-as-user manage monitor; do
        check "polkit knows the action $action" says "implicit any: +$([ $action = start ] && echo yes || echo auth_admin)" \
                pkaction --verbose --action-id org.example.RuntimeManager.$action
        check "the service may ask about $action, with details" says '^\(bba\{ss\}\) true' may runtime-manager org.example.RuntimeManager.$action
        check "a user may not" says 'Only trusted callers' may alice org.example.RuntimeManager.$action
done
check "the service may not ask about actions of others" says 'Only trusted callers' may runtime-manager org.freedesktop.login1.reboot

# The real service.
program=$(systemctl cat runtime-manager.service | sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p')
if "$program" --help | grep -qE -e '--system( |$)'; then
        properties=("${service[@]}" org.freedesktop.DBus.Properties GetAll s org.example.RuntimeManager)
        check "a user's call starts the service" says InterfaceVersion call_as alice "${properties[@]}"
        check "it runs as its user, without capabilities" says '^CapEff:[[:space:]]0+$' grep CapEff "/proc/$(systemctl show -P MainPID runtime-manager.service)/status"
        check "a user can't send it what isn't its interface" says 'Access denied|AccessDenied' \
                call_as alice "${service[@]}" org.freedesktop.systemd1.Manager Reload
        check "its records are its own" is "runtime-manager 700" stat -c '%U %a' /run/runtime-manager
        check "the spawner runs" is active systemctl is-active runtime-spawner.service
        check "the folder of all runtimes can be entered and not read" is "root 711" stat -c '%U %a' /run/runtime-manager-runtimes
        check "it is a file system of its own" is "tmpfs" findmnt -n -o FSTYPE /run/runtime-manager-runtimes
        check "with nothing to run, and no devices" says 'nosuid,nodev,noexec' findmnt -n -o OPTIONS /run/runtime-manager-runtimes
        mounted=$(findmnt -n -o ID /run/runtime-manager-runtimes)

        # What Prometheus scrapes.
        scrape() { as alice curl --silent --show-error --include --max-time 30 "http://127.0.0.1:9766$1"; }
        check "the metrics are off" is disabled systemctl is-enabled runtime-manager-metrics.socket
        check "a user can't have the sums" says 'Access denied|AuthorizationRequired' call_as alice "${service[@]}" org.example.RuntimeManager GetStatistics
        check "root can" says '"Starts" t ' bus_call "${service[@]}" org.example.RuntimeManager GetStatistics
        check "the metrics can be turned on" systemctl start runtime-manager-metrics.socket
        check "they are listened for on loopback alone" is 127.0.0.1:9766 bash -c 'ss -Hltn "sport = 9766" | tr -s " " | cut -d" " -f4'
        check "a scrape is answered" says '^HTTP/1.1 200 OK' scrape /metrics
        check "as Prometheus wants it" says '^Content-Type: text/plain; version=0.0.4' scrape /metrics
        check "with the service's numbers" says '^runtime_manager_starts_total [0-9]+$' scrape /metrics
        check "there is nothing else" says '^HTTP/1.1 404 ' scrape /
        before=$(systemctl show -P InvocationID runtime-spawner.service)
        check "it restarts" systemctl restart runtime-manager.service
        check "and the spawner with it" test "$before" != "$(systemctl show -P InvocationID runtime-spawner.service)"
        check "and answers" says InterfaceVersion call_as alice "${properties[@]}"
        check "it stops" systemctl stop runtime-manager.service
        check "and the spawner with it" is inactive systemctl is-active runtime-spawner.service
        check "a scrape says so" says '^runtime_manager_up 0' scrape /metrics
        check "and starts nothing" is inactive systemctl is-active runtime-manager.service
        check "nor does it leave anything" says '^$' systemctl --no-legend --plain list-units --all 'runtime-manager-metrics@*'
        check "the metrics can be turned off" systemctl stop runtime-manager-metrics.socket
        check "what is mounted stays" is "$mounted" findmnt -n -o ID /run/runtime-manager-runtimes
        check "until it is asked to go" systemctl stop "$mount"
        check "nothing went wrong" is '' journalctl --no-pager -q --priority=warning --since="$begin" --unit=runtime-manager.service --unit=runtime-spawner.service
else
        echo "ok $((count += 1)) - the service answers # SKIP it can't serve the system bus yet"
fi

echo "1..$count"
[ $failures -eq 0 ]
