# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154
#
# Makes the machine that system-init.sh lays out a fresh one: there is nothing of
# this machine in it but the way to its packages, and what is committed here.
# Sourced by it.

fresh() {
        local branch
        # shellcheck disable=SC2034 # for system-init.sh
        cwd=/home/$user session=login
        # As an installation leaves them.
        printf '127.0.0.1 localhost\n127.0.1.1 with-system\n' >"$root/etc/hosts"
        echo with-system >"$root/etc/hostname"
        echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/with-fresh"
        apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https|Check-)' >"$root/etc/apt/apt.conf.d/50with-fresh"

        # The repository may be another user's than the one who is root here.
        branch=$(git -c safe.directory='*' -C "$source_dir" symbolic-ref --quiet HEAD)
        # shellcheck disable=SC2086 # none when HEAD is detached
        git -c safe.directory='*' -C "$source_dir" bundle create --quiet "$io/runtime-manager.bundle" HEAD $branch 2>"$top/log" ||
                give_up "git can't bundle $source_dir"
        chmod 644 "$io/runtime-manager.bundle"
}
