#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs in the machine that with-system or with-vm boots, as a service: makes the
# user, if one is asked for, runs the command, leaves its exit code and powers
# off.

here=/run/with-system
user='' cwd=/ machine='' session='' environment=() command=()
# shellcheck source=/dev/null
. $here/job
: >$here/started
outputs=()
case $machine in
        container) exec </dev/null >$here/stdout 2>$here/stderr ;;
        vm)
                # Ports can be opened once, and by nobody but root; pipes are what the command expects.
                exec </dev/null
                exec > >(exec cat >/dev/virtio-ports/stdout)
                outputs+=($!)
                exec 2> >(exec cat >/dev/virtio-ports/stderr)
                outputs+=($!)
                environment+=("WITH_VM_BOOT=$(cat $here/boot)") ;;
esac

# As if the power had been cut: what is to be left running is left running.
finish() {
        echo "$1" >$here/code
        exec >/dev/null 2>&1
        if [ "$machine" = vm ]; then
                # What still holds the pipes is not waited for.
                timeout 2 tail --pid="${outputs[0]}" --pid="${outputs[1]}" -f /dev/null
                sync -f $here/code
        fi
        exec systemctl poweroff --force --force
}

broken() {
        echo "with-$machine: $*" >&2
        finish 125
}

if [ -z "$user" ]; then
        cd "$cwd" || broken "can't enter $cwd"
        env --unset=INVOCATION_ID --unset=SYSTEMD_EXEC_PID --unset=JOURNAL_STREAM HOME=/root "${environment[@]}" "${command[@]}"
        finish $?
fi

id "$user" >/dev/null 2>&1 ||
        useradd --create-home --shell /bin/bash "$user" || broken "can't make the user $user"

# The command is in a script, since systemd would expand variables in it, and
# percent signs in the environment.
{
        for variable in "${environment[@]}"; do
                echo "export ${variable@Q}"
        done
        echo "cd ${cwd@Q} || exit 125"
        echo "exec ${command[*]@Q}"
} >$here/command

# As somebody who logs in, with what a login gives here and nothing more.
if [ "$session" = login ]; then
        su --login "$user" --command "bash $here/command"
        finish $?
fi

uid=$(id -u "$user")
{ loginctl enable-linger "$user" && systemctl start "user@$uid.service"; } ||
        broken "the user manager of $user did not start"

# A service of that manager, so that limits and environment are those that
# systemd gives an ordinary user, not ours.
cd / && setpriv --reuid="$uid" --regid="$(id -g "$user")" --init-groups \
        env --ignore-environment PATH="$PATH" HOME="$(getent passwd "$user" | cut -d: -f6)" \
        XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" \
        systemd-run --user --quiet --wait --pipe --collect --service-type=exec --unit=with-system-command -- /bin/bash $here/command
finish $?
